//! The services of Kubernetes that a store holds, for questions about packets to them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;
use tortie_api::{Kind, decode};
use tortie_explain::{Service, ServiceAddress, ServiceEndpoint, ServicePort};
use tortie_net::{Protocol, parse_address};
use tortie_store::{Listing, Stored};

/// The services of a store, with the endpoints in its EndpointSlices. `previewed` are manifests of services that would be applied.
pub(crate) fn services(listing: &Listing, previewed: &[Value]) -> Vec<Service> {
    let mut services: BTreeMap<(String, String), Value> = BTreeMap::new();
    for stored in listing.items.iter().filter(|it| it.key.kind == Kind::KubernetesService) {
        if let Some(body) = body(stored) {
            services.insert((stored.key.namespace.clone(), stored.key.name.clone()), body);
        }
    }
    for manifest in previewed {
        let name = |field: &str| text(&manifest["metadata"][field]).to_owned();
        let there = services.entry((name("namespace"), name("name"))).or_default();
        apply(there, manifest);
    }
    if services.is_empty() {
        return Vec::new();
    }
    let mut endpoints: BTreeMap<(String, String), Vec<ServiceEndpoint>> = BTreeMap::new();
    for stored in listing.items.iter().filter(|it| it.key.kind == Kind::KubernetesEndpointSlice) {
        let Some(spec) = body(stored).map(|mut body| body["spec"].take()) else { continue };
        let service = (stored.key.namespace.clone(), text(&spec["service"]).to_owned());
        endpoints.entry(service).or_default().extend(endpoints_of(&spec));
    }
    services
        .into_iter()
        .map(|((namespace, name), body)| {
            let endpoints = endpoints.remove(&(namespace.clone(), name.clone())).unwrap_or_default();
            service(namespace, name, &body, endpoints)
        })
        .collect()
}

fn body(stored: &Stored) -> Option<Value> {
    let object = decode::stored(&stored.key, &stored.value).ok()?;
    Some(Value::Object(object.body))
}

/// What is there once a manifest is applied: the server keeps what it filled in before.
fn apply(there: &mut Value, manifest: &Value) {
    let Some(spec) = manifest["spec"].as_object() else { return };
    for (field, value) in spec {
        there["spec"][field.as_str()] = value.clone();
    }
    if spec.contains_key("clusterIP") && !spec.contains_key("clusterIPs") {
        there["spec"]["clusterIPs"] = Value::Null;
    }
}

fn service(namespace: String, name: String, body: &Value, endpoints: Vec<ServiceEndpoint>) -> Service {
    let spec = &body["spec"];
    let mut addresses: Vec<(IpAddr, ServiceAddress)> = Vec::new();
    let mut add = |value: &Value, is: ServiceAddress| {
        if let Ok(address) = parse_address(text(value))
            && !addresses.iter().any(|(known, _)| *known == address)
        {
            addresses.push((address, is));
        }
    };
    // A service of this type is a name in DNS and nothing else.
    if text(&spec["type"]) != "ExternalName" {
        list(&spec["clusterIPs"]).for_each(|one| add(one, ServiceAddress::ClusterIp));
        add(&spec["clusterIP"], ServiceAddress::ClusterIp);
        list(&spec["externalIPs"]).for_each(|one| add(one, ServiceAddress::ExternalIp));
        for one in list(&body["status"]["loadBalancer"]["ingress"]) {
            // With this mode the balancer itself translates, and service proxies leave its address alone.
            if text(&one["ipMode"]) != "Proxy" {
                add(&one["ip"], ServiceAddress::LoadBalancer);
            }
        }
    }
    let port = |one: &Value| {
        Some(ServicePort {
            name: text(&one["name"]).to_owned(),
            protocol: protocol(&one["protocol"])?,
            port: number(&one["port"])?,
            node_port: number(&one["nodePort"]).filter(|port| *port > 0),
        })
    };
    Service {
        namespace,
        name,
        ports: list(&spec["ports"]).filter_map(port).collect(),
        addresses,
        endpoints,
        internal_is_local: text(&spec["internalTrafficPolicy"]) == "Local",
        external_is_local: text(&spec["externalTrafficPolicy"]) == "Local",
    }
}

/// The endpoints of a slice, as the store has it: each address at each port.
fn endpoints_of(spec: &Value) -> Vec<ServiceEndpoint> {
    let not_ready: Vec<&Value> = list(&spec["notReady"]).collect();
    let mut endpoints = Vec::new();
    for written in list(&spec["addresses"]) {
        let Ok(address) = parse_address(text(written)) else { continue };
        let is_ready = !not_ready.contains(&written);
        endpoints.extend(list(&spec["ports"]).filter_map(|port| {
            let port_name = text(&port["name"]).to_owned();
            Some(ServiceEndpoint {
                address,
                port_name,
                protocol: protocol(&port["protocol"])?,
                port: number(&port["port"])?,
                is_ready,
            })
        }));
    }
    endpoints
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> Option<u16> {
    u16::try_from(value.as_u64()?).ok()
}

fn protocol(value: &Value) -> Option<Protocol> {
    match value {
        Value::Null => Some(Protocol::TCP),
        value => Protocol::parse_any_case(text(value)).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_has_the_addresses_that_a_proxy_translates_and_no_others() {
        let of = |spec: Value, status: Value| {
            let made = service("shop".into(), "db".into(), &json!({ "spec": spec, "status": status }), Vec::new());
            made.addresses.iter().map(|(address, _)| address.to_string()).collect::<Vec<_>>()
        };
        let both =
            json!({ "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00::a"], "externalIPs": ["192.0.2.7"] });
        let balancer = json!({ "loadBalancer": { "ingress": [
            { "ip": "203.0.113.1", "ipMode": "VIP" }, { "ip": "203.0.113.2", "ipMode": "Proxy" }, { "hostname": "lb.example" }] } });
        assert_eq!(of(both, balancer), ["10.96.0.10", "fd00::a", "192.0.2.7", "203.0.113.1"]);
        assert!(of(json!({ "clusterIP": "None", "clusterIPs": ["None"] }), Value::Null).is_empty(), "headless");
        assert!(of(json!({ "type": "ExternalName", "clusterIP": "10.96.0.10" }), Value::Null).is_empty());
    }

    #[test]
    fn a_previewed_service_keeps_what_the_server_filled_in() {
        let mut there =
            json!({ "spec": { "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{ "port": 80 }] } });
        apply(&mut there, &json!({ "spec": { "ports": [{ "port": 81, "protocol": "UDP" }] } }));
        let made = service("shop".into(), "db".into(), &there, Vec::new());
        assert_eq!(made.addresses.len(), 1);
        assert_eq!((made.ports[0].port, made.ports[0].protocol), (81, Protocol::UDP));
        apply(&mut there, &json!({ "spec": { "clusterIP": "10.96.0.11" } }));
        let made = service("shop".into(), "db".into(), &there, Vec::new());
        assert_eq!(made.addresses[0].0.to_string(), "10.96.0.11");
        assert_eq!(made.addresses.len(), 1);
    }
}
