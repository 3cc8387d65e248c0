//! The services of Kubernetes that a store holds, for questions about packets to them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use tortie_api::{Key, Kind, decode};
use tortie_explain::{EndpointState, Service, ServiceAddress, ServiceEndpoint, ServicePort};
use tortie_net::{Protocol, parse_address, parse_cidr};
use tortie_store::{Listing, Revision, Stored};

/// The label of a service that names a service proxy other than kube-proxy.
const PROXY: &str = "service.kubernetes.io/service-proxy-name";
/// The label of a service that no service proxy looks at.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// The endpoints of a slice, with the service proxy that they are for: empty for kube-proxy.
type Slice = (String, Vec<ServiceEndpoint>);

/// The services of a store, with the endpoints in its EndpointSlices.
pub(crate) fn services(listing: &Listing) -> Vec<Service> {
    let mut services: BTreeMap<(String, String), Value> = BTreeMap::new();
    for stored in listing.items.iter().filter(|it| it.key.kind == Kind::KubernetesService) {
        if let Some(body) = body(stored) {
            services.insert((stored.key.namespace.clone(), stored.key.name.clone()), body);
        }
    }
    if services.is_empty() {
        return Vec::new();
    }
    let mut slices: BTreeMap<(String, String), Vec<Slice>> = BTreeMap::new();
    for stored in listing.items.iter().filter(|it| it.key.kind == Kind::KubernetesEndpointSlice) {
        let Some(spec) = body(stored).map(|mut body| body["spec"].take()) else { continue };
        let service = (stored.key.namespace.clone(), text(&spec["service"]).to_owned());
        slices.entry(service).or_default().push((text(&spec["serviceProxy"]).to_owned(), endpoints_of(&spec)));
    }
    services
        .into_iter()
        .map(|((namespace, name), body)| {
            let slices = slices.remove(&(namespace.clone(), name.clone())).unwrap_or_default();
            service(namespace, name, &body, slices)
        })
        .collect()
}

fn body(stored: &Stored) -> Option<Value> {
    let object = decode::stored(&stored.key, &stored.value).ok()?;
    Some(Value::Object(object.body))
}

/// What a store has of a service, of which it has `stored` now, once a manifest is applied. Its namespace is that of the key.
pub(crate) fn applied(key: &Key, stored: Option<&Stored>, manifest: &Value) -> Stored {
    let there = stored.and_then(|stored| serde_json::from_slice(&stored.value).ok());
    let mut there = there.unwrap_or_else(
        || json!({ "metadata": { "name": key.name, "namespace": key.namespace, "labels": {} }, "spec": {} }),
    );
    apply(&mut there, manifest);
    let value = serde_json::to_vec(&there).unwrap_or_default();
    Stored { key: key.clone(), revision: Revision::default(), value: value.into() }
}

/// What is there once a manifest is applied: the server keeps what it filled in before.
fn apply(there: &mut Value, manifest: &Value) {
    for (label, value) in manifest["metadata"]["labels"].as_object().into_iter().flatten() {
        there["metadata"]["labels"][label.as_str()] = value.clone();
    }
    let Some(spec) = manifest["spec"].as_object() else { return };
    for (field, value) in spec {
        there["spec"][field.as_str()] = match field.as_str() {
            "ports" => ports(&there["spec"]["ports"], value),
            _ => value.clone(),
        };
    }
    if spec.contains_key("clusterIP") && !spec.contains_key("clusterIPs") {
        there["spec"]["clusterIPs"] = Value::Null;
    }
}

/// The ports of a manifest. The server has filled in what it knows of one by its number and its protocol.
fn ports(there: &Value, given: &Value) -> Value {
    let of = |port: &Value| (port["port"].clone(), port["protocol"].as_str().unwrap_or("TCP").to_owned());
    let port = |given: &Value| {
        let mut made =
            list(there).find(|one| of(one) == of(given)).cloned().unwrap_or_else(|| json!({ "protocol": "TCP" }));
        for (field, value) in given.as_object().into_iter().flatten() {
            made[field.as_str()] = value.clone();
        }
        made
    };
    list(given).map(port).collect()
}

/// The service as service proxies see it: one that they leave alone has no addresses.
fn service(namespace: String, name: String, body: &Value, slices: Vec<Slice>) -> Service {
    let (spec, labels) = (&body["spec"], &body["metadata"]["labels"]);
    let proxy = labels[PROXY].as_str();
    let is_proxied =
        text(&spec["type"]) != "ExternalName" && text(&spec["clusterIP"]) != "None" && labels[HEADLESS].is_null();
    let port = |one: &Value| {
        Some(ServicePort {
            name: text(&one["name"]).to_owned(),
            protocol: protocol(&one["protocol"])?,
            port: number(&one["port"])?,
            node_port: number(&one["nodePort"]).filter(|port| *port > 0 && is_proxied),
        })
    };
    // A service of this type takes nothing from outside but at its externalIPs.
    let is_inner = ["", "ClusterIP"].contains(&text(&spec["type"])) && list(&spec["externalIPs"]).next().is_none();
    let ranges = list(&spec["loadBalancerSourceRanges"]);
    let of_proxy = slices.into_iter().filter(|(of, _)| of == proxy.unwrap_or_default());
    Service {
        namespace,
        name,
        ports: list(&spec["ports"]).filter_map(port).collect(),
        addresses: if is_proxied { addresses(body) } else { Vec::new() },
        endpoints: of_proxy.flat_map(|(_, endpoints)| endpoints).collect(),
        internal_is_local: text(&spec["internalTrafficPolicy"]) == "Local",
        external_is_local: text(&spec["externalTrafficPolicy"]) == "Local" && !is_inner,
        // The API server accepts spaces around them.
        source_ranges: ranges.filter_map(|range| parse_cidr(text(range).trim()).ok()).collect(),
        proxy: proxy.map(str::to_owned),
    }
}

/// The addresses of a service. Of other IP versions than its clusterIPs none is translated.
fn addresses(body: &Value) -> Vec<(IpAddr, ServiceAddress)> {
    let spec = &body["spec"];
    let mut found: Vec<(IpAddr, ServiceAddress)> = Vec::new();
    let mut add = |value: &Value, is: ServiceAddress| {
        if let Ok(address) = parse_address(text(value))
            && !found.iter().any(|(known, _)| *known == address)
        {
            found.push((address, is));
        }
    };
    list(&spec["clusterIPs"]).for_each(|one| add(one, ServiceAddress::ClusterIp));
    add(&spec["clusterIP"], ServiceAddress::ClusterIp);
    list(&spec["externalIPs"]).for_each(|one| add(one, ServiceAddress::ExternalIp));
    for one in list(&body["status"]["loadBalancer"]["ingress"]) {
        // With this mode the balancer itself translates, and service proxies leave its address alone.
        if text(&one["ipMode"]) != "Proxy" {
            add(&one["ip"], ServiceAddress::LoadBalancer);
        }
    }
    let is_cluster_ip = |(_, is): &&(IpAddr, ServiceAddress)| *is == ServiceAddress::ClusterIp;
    let families: Vec<bool> = found.iter().filter(is_cluster_ip).map(|(address, _)| address.is_ipv4()).collect();
    found.retain(|(address, _)| families.is_empty() || families.contains(&address.is_ipv4()));
    found
}

/// The endpoints of a slice, as the store has it: each at each port.
fn endpoints_of(spec: &Value) -> Vec<ServiceEndpoint> {
    let texts = |value: &Value| list(value).map(|one| text(one).to_owned()).collect::<Vec<_>>();
    let mut endpoints = Vec::new();
    for one in list(&spec["endpoints"]) {
        let Ok(address) = parse_address(text(&one["address"])) else { continue };
        endpoints.extend(list(&spec["ports"]).filter_map(|port| {
            Some(ServiceEndpoint {
                address,
                port_name: text(&port["name"]).to_owned(),
                protocol: protocol(&port["protocol"])?,
                port: number(&port["port"]).filter(|port| *port > 0)?,
                state: match text(&one["state"]) {
                    "" => EndpointState::Ready,
                    "terminating" => EndpointState::Terminating,
                    _ => EndpointState::NotReady,
                },
                node: one["nodeName"].as_str().map(str::to_owned),
                for_zones: texts(&one["forZones"]),
                for_nodes: texts(&one["forNodes"]),
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
    use super::*;

    #[test]
    fn what_the_server_filled_in_is_no_change_of_a_manifest_that_does_not_name_it() {
        let key = Key::namespaced(Kind::KubernetesService, "shop", "db");
        let there = json!({ "metadata": { "name": "db", "namespace": "shop", "labels": { "a": "b" } }, "spec": {
            "clusterIP": "10.96.0.10", "type": "NodePort",
            "ports": [{ "port": 80, "protocol": "TCP", "targetPort": 80, "nodePort": 30080 }, { "port": 81, "protocol": "TCP" }] } });
        let stored =
            Stored { key: key.clone(), revision: Revision::default(), value: there.to_string().into_bytes().into() };
        let after = |ports: Value| -> Value {
            let made = applied(&key, Some(&stored), &json!({ "spec": { "ports": ports } }));
            serde_json::from_slice(&made.value).unwrap()
        };
        assert_eq!(after(json!([{ "port": 80 }, { "port": 81, "protocol": "TCP" }])), there);
        let ports =
            after(json!([{ "port": 80, "targetPort": "web" }, { "port": 81, "protocol": "UDP" }]))["spec"]["ports"]
                .take();
        let expected = json!([{ "port": 80, "protocol": "TCP", "targetPort": "web", "nodePort": 30080 }, { "port": 81, "protocol": "UDP" }]);
        assert_eq!(ports, expected);
    }

    /// The service with this spec.
    fn made(spec: Value) -> Service {
        service("shop".into(), "db".into(), &json!({ "spec": spec }), Vec::new())
    }

    #[test]
    fn a_service_has_the_addresses_that_a_proxy_translates_and_no_others() {
        let of = |spec: Value, status: Value, labels: Value| {
            let body = json!({ "metadata": { "labels": labels }, "spec": spec, "status": status });
            let made = service("shop".into(), "db".into(), &body, Vec::new());
            let open = made.ports.iter().filter_map(|port| port.node_port).map(|port| port.to_string());
            made.addresses.iter().map(|(address, _)| address.to_string()).chain(open).collect::<Vec<_>>()
        };
        let both =
            json!({ "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10", "fd00::a"], "externalIPs": ["192.0.2.7"] });
        let balancer = json!({ "loadBalancer": { "ingress": [
            { "ip": "203.0.113.1", "ipMode": "VIP" }, { "ip": "203.0.113.2", "ipMode": "Proxy" }, { "hostname": "lb.example" }] } });
        assert_eq!(of(both, balancer, Value::Null), ["10.96.0.10", "fd00::a", "192.0.2.7", "203.0.113.1"]);
        let with = |mut spec: Value, labels: Value| {
            spec["externalIPs"] = json!(["192.0.2.7", "2001:db8::7"]);
            spec["ports"] = json!([{ "port": 80, "nodePort": 30080 }, { "port": 81, "nodePort": 0 }]);
            of(spec, Value::Null, labels)
        };
        assert_eq!(with(json!({ "clusterIP": "10.96.0.10" }), json!({})), ["10.96.0.10", "192.0.2.7", "30080"]);
        assert_eq!(with(json!({ "clusterIP": "fd00::a" }), json!({})), ["fd00::a", "2001:db8::7", "30080"]);
        assert!(with(json!({ "clusterIP": "None", "clusterIPs": ["None"] }), json!({})).is_empty(), "headless");
        assert!(with(json!({ "type": "ExternalName", "clusterIP": "10.96.0.10" }), json!({})).is_empty());
        assert!(with(json!({ "clusterIP": "10.96.0.10" }), json!({ HEADLESS: "" })).is_empty());
    }

    #[test]
    fn traffic_policies_and_source_ranges_are_those_that_kube_proxy_sees() {
        let local = json!({ "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local" });
        assert!(made(local.clone()).internal_is_local);
        assert!(!made(local).external_is_local, "nothing comes to it from outside");
        assert!(made(json!({ "externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.7"] })).external_is_local);
        assert!(made(json!({ "externalTrafficPolicy": "Local", "type": "NodePort" })).external_is_local);
        let ranges = made(json!({ "loadBalancerSourceRanges": [" 192.0.2.0/24 ", "fd00::/8", "nonsense", ""] }));
        assert_eq!(
            ranges.source_ranges.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["192.0.2.0/24", "fd00::/8"]
        );
    }

    #[test]
    fn the_endpoints_of_a_service_are_those_of_slices_for_its_own_proxy() {
        let slice = |proxy: &str| {
            let spec = json!({ "endpoints": [{ "address": "10.65.0.9", "nodeName": "web1", "state": "terminating", "forZones": ["a"] }],
                "ports": [{ "port": 8080 }, { "port": 0 }, { "protocol": "TCP" }] });
            (proxy.to_owned(), endpoints_of(&spec))
        };
        let of = |labels: Value| {
            let body = json!({ "metadata": { "labels": labels }, "spec": { "clusterIP": "10.96.0.10" } });
            let made = service("shop".into(), "db".into(), &body, vec![slice(""), slice("mesh"), slice("mesh")]);
            (made.proxy, made.endpoints.len())
        };
        assert_eq!(of(json!({})), (None, 1));
        assert_eq!(of(json!({ PROXY: "mesh" })), (Some("mesh".to_owned()), 2));
        let one = &slice("").1[0];
        assert_eq!((one.state, one.node.as_deref()), (EndpointState::Terminating, Some("web1")));
        assert_eq!(one.for_zones, ["a"]);
    }

    #[test]
    fn a_previewed_service_keeps_what_the_server_filled_in() {
        let mut there =
            json!({ "spec": { "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{ "port": 80 }] } });
        apply(&mut there, &json!({ "spec": { "ports": [{ "port": 81, "protocol": "UDP" }] } }));
        let made = service("shop".into(), "db".into(), &there, Vec::new());
        assert_eq!(made.addresses.len(), 1);
        assert_eq!((made.ports[0].port, made.ports[0].protocol), (81, Protocol::UDP));
        apply(
            &mut there,
            &json!({ "metadata": { "labels": { PROXY: "mesh" } }, "spec": { "clusterIP": "10.96.0.11" } }),
        );
        let made = service("shop".into(), "db".into(), &there, Vec::new());
        assert_eq!(made.addresses[0].0.to_string(), "10.96.0.11");
        assert_eq!(made.addresses.len(), 1);
        assert_eq!(made.proxy.as_deref(), Some("mesh"));
    }
}
