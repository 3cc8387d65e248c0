//! EndpointSlices: addresses and ports behind services.
//!
//! All endpoints count, also those that are not ready: as in Calico, whether an endpoint serves is no matter of policy.

use serde::Deserialize;
use serde_json::json;
use tortie_api::{Kind, Metadata};

use super::{ConversionError, Converted, object};
use crate::meta::{Meta, null_is_empty};

/// The label that names the service.
const SERVICE: &str = "kubernetes.io/service-name";

/// An EndpointSlice, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Its metadata.
    pub metadata: Meta,
    /// IPv4, IPv6 or FQDN.
    pub address_type: String,
    /// The endpoints.
    #[serde(deserialize_with = "null_is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The ports of each of them.
    #[serde(deserialize_with = "null_is_empty")]
    pub ports: Vec<EndpointPort>,
}

/// One endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Its addresses, which are all of the slice's type.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<String>,
    /// Its state.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Conditions,
}

/// The state of an endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Whether service proxies send packets to it; absent if that is not known, which counts as ready.
    pub ready: Option<bool>,
}

/// One port.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The name of the service's port.
    pub name: Option<String>,
    /// TCP if absent.
    pub protocol: Option<String>,
    /// The number.
    pub port: Option<i64>,
}

/// The slice without what only service proxies use: which endpoints are ready, and the names of ports.
pub fn for_rules_only(mut slice: EndpointSlice) -> EndpointSlice {
    slice.endpoints.iter_mut().for_each(|endpoint| endpoint.conditions = Conditions::default());
    slice.ports.iter_mut().for_each(|port| port.name = None);
    slice
}

/// The slice as policies mean it. One of no service is empty.
pub fn endpoint_slice(source: &EndpointSlice) -> Result<Converted, ConversionError> {
    let Meta { name, namespace, labels, .. } = &source.metadata;
    let metadata = Metadata { name: name.clone(), namespace: namespace.clone(), ..Metadata::default() };
    let service = labels.get(SERVICE).filter(|service| !service.is_empty());
    let mut warnings = Vec::new();
    let Some(service) = service else {
        let object = object(Kind::KubernetesEndpointSlice, metadata, json!({}));
        return Ok(Converted { object, warnings });
    };
    let mut addresses: Vec<&String> = source.endpoints.iter().flat_map(|endpoint| &endpoint.addresses).collect();
    if source.address_type == "FQDN" && !addresses.is_empty() {
        warnings.push(format!("its endpoints are names, not addresses: no rule means them by the service {service}"));
        addresses.clear();
    }
    let port = |port: &EndpointPort| {
        let protocol = port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
        let mut made = json!({ "protocol": protocol, "port": port.port });
        if let Some(name) = port.name.as_ref().filter(|name| !name.is_empty()) {
            made["name"] = json!(name);
        }
        made
    };
    let ports: Vec<_> = source.ports.iter().map(port).collect();
    let mut spec = json!({ "service": service, "addresses": addresses, "ports": ports });
    let is_not_ready = |endpoint: &&Endpoint| endpoint.conditions.ready == Some(false);
    let not_ready: Vec<&String> = source.endpoints.iter().filter(is_not_ready).flat_map(|one| &one.addresses).collect();
    if !not_ready.is_empty() {
        spec["notReady"] = json!(not_ready);
    }
    Ok(Converted { object: object(Kind::KubernetesEndpointSlice, metadata, spec), warnings })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn spec(slice: Value) -> (Value, Vec<String>) {
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        let Converted { object, warnings } = endpoint_slice(&slice).unwrap();
        (object.body["spec"].clone(), warnings)
    }

    #[test]
    fn a_slice_has_all_its_addresses_on_all_its_ports_under_the_name_of_its_service() {
        let slice = json!({
            "metadata": { "name": "db-x7k", "namespace": "shop", "labels": { "kubernetes.io/service-name": "db" } },
            "addressType": "IPv4",
            "endpoints": [
                { "addresses": ["10.65.1.7"], "conditions": { "ready": true } },
                { "addresses": ["10.65.1.8"], "conditions": { "ready": false, "terminating": true } },
            ],
            "ports": [{ "name": "sql", "protocol": "TCP", "port": 5432 }, { "port": 53, "protocol": "UDP" }, { "port": 1 }],
        });
        let expected = json!({
            "service": "db",
            "addresses": ["10.65.1.7", "10.65.1.8"],
            "ports": [{ "protocol": "TCP", "port": 5432, "name": "sql" }, { "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 1 }],
            "notReady": ["10.65.1.8"],
        });
        assert_eq!(spec(slice.clone()), (expected, Vec::new()));
        // An agent keeps none of what rules do not use, and sees no change when it changes.
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        let for_rules = endpoint_slice(&for_rules_only(slice)).unwrap().object.body["spec"].clone();
        assert_eq!(for_rules.get("notReady"), None);
        assert_eq!(for_rules["ports"][0], json!({ "protocol": "TCP", "port": 5432 }));
    }

    #[test]
    fn a_slice_without_a_service_is_empty_and_host_names_are_not_addresses() {
        let of_nobody = json!({ "metadata": { "name": "a" }, "endpoints": [{ "addresses": ["10.65.1.7"] }] });
        assert_eq!(spec(of_nobody), (json!({}), Vec::new()));
        let names = json!({
            "metadata": { "name": "a", "labels": { "kubernetes.io/service-name": "db" } },
            "addressType": "FQDN",
            "endpoints": [{ "addresses": ["db.example"] }],
            "ports": null,
        });
        let warning = "its endpoints are names, not addresses: no rule means them by the service db".to_owned();
        assert_eq!(spec(names), (json!({ "service": "db" }), vec![warning]));
    }

    #[test]
    fn a_port_without_a_number_is_left_for_policy_to_find_unreadable() {
        let any = json!({
            "metadata": { "name": "a", "labels": { "kubernetes.io/service-name": "db" } },
            "endpoints": [{ "addresses": ["10.65.1.7"] }],
            "ports": [{ "protocol": "TCP", "port": null }],
        });
        assert_eq!(spec(any).0["ports"], json!([{ "protocol": "TCP" }]));
    }
}
