//! EndpointSlices: addresses and ports behind services.
//!
//! All endpoints count, also those that are not ready: as in Calico, whether an endpoint serves is no matter of policy. A port
//! without a number gives none, as in Calico and as for service proxies.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};
use tortie_api::{Kind, Metadata};

use super::{ConversionError, Converted, Warning, object, without_zeros};
use crate::meta::{Meta, null_is_empty};

/// The label that names the service.
const SERVICE: &str = "kubernetes.io/service-name";
/// The label that names a service proxy other than kube-proxy.
const PROXY: &str = "service.kubernetes.io/service-proxy-name";
/// The label of what no service proxy looks at.
const HEADLESS: &str = "service.kubernetes.io/headless";

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
    /// Whether what only service proxies use is left out.
    #[serde(skip)]
    pub is_for_rules: bool,
}

/// One endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Its addresses, which are all of the slice's type.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<String>,
    /// Its state.
    #[serde(deserialize_with = "null_is_empty")]
    pub conditions: Conditions,
    /// Its node.
    pub node_name: Option<String>,
    /// Who is meant to use it.
    #[serde(deserialize_with = "null_is_empty")]
    pub hints: Hints,
}

/// The state of an endpoint. What is absent has the value that kube-proxy takes for it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Whether service proxies send packets to it; true if absent.
    pub ready: Option<bool>,
    /// Whether it answers; true if absent.
    pub serving: Option<bool>,
    /// Whether it is about to end; false if absent.
    pub terminating: Option<bool>,
}

impl Conditions {
    /// None if it is ready.
    fn state(&self) -> Option<&'static str> {
        let serves_until_it_ends = self.terminating == Some(true) && self.serving != Some(false);
        (self.ready == Some(false)).then_some(if serves_until_it_ends { "terminating" } else { "notReady" })
    }
}

/// Who is meant to use an endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hints {
    /// Zones, whose nodes use it.
    #[serde(deserialize_with = "null_is_empty")]
    pub for_zones: Vec<Named>,
    /// Nodes.
    #[serde(deserialize_with = "null_is_empty")]
    pub for_nodes: Vec<Named>,
}

/// A name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    /// The name.
    pub name: String,
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
    let all = source.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    let mut addresses: Vec<Cow<'_, str>> = all.map(|address| decimal(address)).collect();
    if source.address_type == "FQDN" && !addresses.is_empty() {
        let text = format!("its endpoints are names, not addresses: no rule means them by the service {service}");
        warnings.push(Warning::ignored(text));
        addresses.clear();
    }
    let is_without_number = |port: &EndpointPort| port.port.is_none();
    if !addresses.is_empty() && source.ports.iter().any(is_without_number) {
        let text = format!("it has a port without a number: no egress rule means it by the service {service}");
        warnings.push(Warning::ignored(text));
    }
    let port = |port: &EndpointPort| {
        let protocol = port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP");
        let mut made = json!({ "protocol": protocol, "port": port.port? });
        if let Some(name) = port.name.as_ref().filter(|name| !name.is_empty() && !source.is_for_rules) {
            made["name"] = json!(name);
        }
        Some(made)
    };
    let ports: Vec<_> = source.ports.iter().filter_map(port).collect();
    let mut spec = json!({ "service": service, "addresses": addresses, "ports": ports });
    let is_looked_at = !addresses.is_empty() && !source.is_for_rules && !labels.contains_key(HEADLESS);
    if is_looked_at {
        spec["endpoints"] = source.endpoints.iter().filter_map(proxied).collect();
        if let Some(proxy) = labels.get(PROXY) {
            spec["serviceProxy"] = json!(proxy);
        }
    }
    Ok(Converted { object: object(Kind::KubernetesEndpointSlice, metadata, spec), warnings })
}

/// An address as Kubernetes reads it: zeros before a number of an IPv4 address do not count.
fn decimal(address: &str) -> Cow<'_, str> {
    if address.contains(':') || address.parse::<IpAddr>().is_ok() {
        return address.into();
    }
    address.split('.').map(without_zeros).collect::<Vec<_>>().join(".").into()
}

/// An endpoint as service proxies see it: by its first address, as kube-proxy.
fn proxied(endpoint: &Endpoint) -> Option<Value> {
    let mut made = json!({ "address": decimal(endpoint.addresses.first()?) });
    if let Some(node) = endpoint.node_name.as_ref().filter(|node| !node.is_empty()) {
        made["nodeName"] = json!(node);
    }
    if let Some(state) = endpoint.conditions.state() {
        made["state"] = json!(state);
    }
    let names = |all: &[Named]| all.iter().map(|one| one.name.clone()).collect();
    made["forZones"] = names(&endpoint.hints.for_zones);
    made["forNodes"] = names(&endpoint.hints.for_nodes);
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(slice: Value) -> (Value, Vec<String>) {
        let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        let Converted { object, warnings } = endpoint_slice(&slice).unwrap();
        (object.body["spec"].clone(), warnings.into_iter().map(|one| one.text).collect())
    }

    /// A slice of the service db.
    fn slice(rest: Value) -> Value {
        let mut slice = json!({ "metadata": { "name": "db-x7k", "namespace": "shop", "labels": { "kubernetes.io/service-name": "db" } }, "addressType": "IPv4" });
        slice.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        slice
    }

    #[test]
    fn a_slice_has_all_its_addresses_on_all_its_ports_under_the_name_of_its_service() {
        let slice = slice(json!({
            "endpoints": [
                { "addresses": ["10.65.1.7", "10.65.1.9"], "conditions": { "ready": true }, "nodeName": "web1" },
                { "addresses": ["10.65.1.8"], "conditions": { "ready": false }, "hints": null },
            ],
            "ports": [{ "name": "sql", "protocol": "TCP", "port": 5432 }, { "port": 53, "protocol": "UDP" }, { "port": 1 }],
        }));
        let expected = json!({
            "service": "db",
            "addresses": ["10.65.1.7", "10.65.1.9", "10.65.1.8"],
            "ports": [{ "protocol": "TCP", "port": 5432, "name": "sql" }, { "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 1 }],
            "endpoints": [{ "address": "10.65.1.7", "nodeName": "web1" }, { "address": "10.65.1.8", "state": "notReady" }],
        });
        assert_eq!(spec(slice.clone()), (expected, Vec::new()));
        // An agent keeps none of what rules do not use, and sees no change when it changes.
        let mut slice: EndpointSlice = serde_json::from_value(slice).unwrap();
        slice.is_for_rules = true;
        let for_rules = endpoint_slice(&slice).unwrap().object.body["spec"].clone();
        assert_eq!(for_rules.get("endpoints"), None);
        assert_eq!(for_rules["ports"][0], json!({ "protocol": "TCP", "port": 5432 }));
    }

    #[test]
    fn the_state_of_an_endpoint_is_what_kube_proxy_makes_of_its_conditions() {
        for (conditions, state) in [
            (Value::Null, None),
            (json!({}), None),
            (json!({ "ready": null, "serving": false, "terminating": true }), None),
            (json!({ "ready": true, "serving": true, "terminating": true }), None),
            (json!({ "ready": false }), Some("notReady")),
            (json!({ "ready": false, "serving": true, "terminating": false }), Some("notReady")),
            (json!({ "ready": false, "serving": false, "terminating": true }), Some("notReady")),
            (json!({ "ready": false, "serving": true, "terminating": true }), Some("terminating")),
            (json!({ "ready": false, "terminating": true }), Some("terminating")),
        ] {
            let one = json!({ "endpoints": [{ "addresses": ["10.65.1.7"], "conditions": conditions }] });
            assert_eq!(spec(slice(one)).0["endpoints"][0]["state"].as_str(), state, "{conditions}");
        }
    }

    #[test]
    fn hints_of_an_endpoint_and_the_proxy_of_a_slice_are_kept() {
        let hints = json!({ "forZones": [{ "name": "a" }, { "name": "b" }], "forNodes": [{ "name": "web1" }] });
        let mut slice = slice(json!({ "endpoints": [{ "addresses": ["10.65.1.7"], "hints": hints }] }));
        slice["metadata"]["labels"][PROXY] = json!("other");
        let made = spec(slice.clone()).0;
        assert_eq!(made["serviceProxy"], "other");
        assert_eq!(
            made["endpoints"][0],
            json!({ "address": "10.65.1.7", "forZones": ["a", "b"], "forNodes": ["web1"] })
        );
        // No proxy looks at these, and rules match them all the same.
        slice["metadata"]["labels"][HEADLESS] = json!("");
        assert_eq!(spec(slice).0, json!({ "service": "db", "addresses": ["10.65.1.7"] }));
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
    fn a_port_without_a_number_gives_no_port_and_closes_nothing_else() {
        let made = spec(slice(json!({
            "endpoints": [{ "addresses": ["10.65.1.7"] }],
            "ports": [{ "protocol": "TCP", "port": null }, { "port": 80 }],
        })));
        let warning = "it has a port without a number: no egress rule means it by the service db".to_owned();
        assert_eq!(made.0["addresses"], json!(["10.65.1.7"]));
        assert_eq!((&made.0["ports"], made.1), (&json!([{ "protocol": "TCP", "port": 80 }]), vec![warning]));
        let of_nothing = slice(json!({ "ports": [{}] }));
        assert_eq!(spec(of_nothing), (json!({ "service": "db" }), Vec::new()));
    }

    #[test]
    fn zeros_before_the_numbers_of_an_address_do_not_count() {
        let made =
            spec(slice(json!({ "endpoints": [{ "addresses": ["010.65.001.0"] }, { "addresses": ["fd00::00a"] }] })));
        assert_eq!(made.0["addresses"], json!(["10.65.1.0", "fd00::00a"]));
        assert_eq!(made.0["endpoints"][0]["address"], "10.65.1.0");
    }
}
