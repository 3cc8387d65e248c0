//! What holds between the fields of a kind.

use serde_json::{Map, Value, json};
use tortie_api::names::workload;
use tortie_api::{Kind, Object};

use super::rule::{self, Place};
use super::{Random, text, value};

/// Makes a random object valid as a whole.
pub(super) fn object(object: &mut Object, random: &mut Random) {
    let kind = object.kind;
    let name = object.metadata.name.clone();
    let Some(Value::Object(spec)) = object.body.get_mut("spec") else { return };
    match kind {
        Kind::HostEndpoint => {
            spec.insert("node".into(), json!(text::name(random, 2)));
            if !has(spec, "expectedIPs") {
                spec.insert("interfaceName".into(), json!(random.pick(&["*", "eth0", "bond0.7"])));
            }
        }
        Kind::WorkloadEndpoint => workload_endpoint(spec, random),
        Kind::NetworkPolicy
        | Kind::GlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy => {
            policy(spec, random, matches!(kind, Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy));
        }
        Kind::StagedKubernetesNetworkPolicy => kubernetes(spec, random),
        Kind::Profile => rules(spec, random, false),
        Kind::FelixConfiguration => {
            if name == "default" || name.starts_with("node.") {
                spec.remove("nodeSelector");
            }
            if has(spec, "routeTableRanges") {
                spec.remove("routeTableRange");
            }
            range(spec.get_mut("routeTableRange"), 1, 250);
            for each in spec.get_mut("routeTableRanges").and_then(Value::as_array_mut).into_iter().flatten() {
                range(Some(each), 1, 1000);
            }
            for name in ["natPortRange", "bpfPSNATPorts"] {
                if has(spec, name) {
                    spec.insert(name.to_owned(), value::port(random));
                }
            }
        }
        Kind::IPPool => pool(spec, random),
        Kind::BGPConfiguration => {
            let mesh = has(spec, "nodeMeshPassword") || has(spec, "nodeMeshMaxRestartTime");
            if mesh && has(spec, "nodeToNodeMeshEnabled") {
                spec.insert("nodeToNodeMeshEnabled".into(), json!(true));
            }
            if has(spec, "communities") {
                spec.insert("communities".into(), json!([{ "name": "all", "value": "64512:1" }]));
                let nets = json!([{ "cidr": text::net(random, false), "communities": ["all", "1:2:3"] }]);
                spec.insert("prefixAdvertisements".into(), nets);
            } else {
                spec.remove("prefixAdvertisements");
            }
        }
        Kind::BGPPeer => {
            let mut apart = |one: &str, other: &str| {
                if has(spec, one) {
                    spec.remove(other);
                }
            };
            apart("node", "nodeSelector");
            apart("localWorkloadSelector", "peerSelector");
            apart("localWorkloadSelector", "peerIP");
            apart("peerSelector", "peerIP");
            apart("peerSelector", "asNumber");
            apart("nextHopMode", "keepOriginalNextHop");
            if !has(spec, "peerIP") {
                spec.remove("reachableBy");
            }
            if has(spec, "localWorkloadSelector") {
                spec.insert("asNumber".into(), json!(64512));
            }
        }
        Kind::BGPFilter => {
            for rule in spec.values_mut().filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
                filter(rule);
            }
        }
        Kind::CalicoNodeStatus => {
            spec.insert("node".into(), json!(text::name(random, 2)));
            spec.insert("classes".into(), json!(["BGP", "Agent"]));
            spec.insert("updatePeriodSeconds".into(), json!(random.between(0, 86_400)));
        }
        Kind::BlockAffinity => {
            spec.insert("deleted".into(), json!(false));
        }
        Kind::KubeControllersConfiguration => templates(spec, random),
        Kind::Node if spec.get("bgp") == Some(&json!({})) => _ = spec.remove("bgp"),
        _ => {}
    }
}

/// Templates of host endpoints are named, each for itself, and say which interfaces they are for.
fn templates(spec: &mut Map<String, Value>, random: &mut Random) {
    let all = spec.get_mut("controllers").and_then(|controllers| {
        controllers.get_mut("node")?.get_mut("hostEndpoint")?.get_mut("templates")?.as_array_mut()
    });
    let each = all.into_iter().flatten().filter_map(Value::as_object_mut);
    for (at, template) in each.enumerate() {
        template.insert("generateName".into(), json!(format!("t{at}-{}", text::label(random))));
        if !has(template, "interfacePattern") {
            template.insert("interfaceCIDRs".into(), json!([text::net(random, false)]));
        }
    }
}

fn has(map: &Map<String, Value>, name: &str) -> bool {
    map.contains_key(name)
}

fn range(range: Option<&mut Value>, low: i64, high: i64) {
    if let Some(range) = range {
        let first = range["min"].as_i64().unwrap_or(low).rem_euclid(high - low) + low;
        range["min"] = json!(first);
        range["max"] = json!((first + 5).min(high));
    }
}

fn workload_endpoint(spec: &mut Map<String, Value>, random: &mut Random) {
    for name in ["workload", "pod", "containerID", "endpoint", "node"] {
        spec.insert(name.to_owned(), json!(text::label(random)));
    }
    spec.insert("orchestrator".into(), json!(random.pick(&["k8s", "cni", "libnetwork", "openstack"])));
    let (four, six) = (text::address(random, false), text::address(random, true));
    spec.insert("ipNetworks".into(), json!([format!("{four}/32"), format!("{six}/128")]));
    if has(spec, "ipNATs") {
        let nats = json!([
            { "internalIP": four, "externalIP": text::address(random, false) },
            { "internalIP": six, "externalIP": text::address(random, true) }
        ]);
        spec.insert("ipNATs".into(), nats);
    }
}

/// Sets the name that a workload endpoint must have.
pub(super) fn name(object: &mut Object) {
    if object.kind == Kind::WorkloadEndpoint
        && let Some(name) = object.spec().ok().and_then(|spec| workload::compose(&spec).ok())
    {
        object.metadata.name = name;
    }
}

fn rules(spec: &mut Map<String, Value>, random: &mut Random, global: bool) {
    for (direction, ingress) in [("ingress", true), ("egress", false)] {
        if has(spec, direction) {
            spec.insert(direction.to_owned(), rule::list(random, Place { ingress, global }));
        }
    }
}

fn policy(spec: &mut Map<String, Value>, random: &mut Random, global: bool) {
    // The only tier that is always there.
    spec.insert("tier".into(), json!("default"));
    if spec.get("stagedAction") == Some(&json!("Delete")) {
        spec.retain(|name, _| name == "tier" || name == "stagedAction");
        return;
    }
    rules(spec, random, global);
    if has(spec, "types") {
        let types = [json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"]), json!(["Egress", "Ingress"])];
        spec.insert("types".into(), types[random.below(types.len())].clone());
    }
    if global {
        if has(spec, "preDNAT") {
            spec.remove("doNotTrack");
            spec.remove("egress");
            spec.insert("types".into(), json!(["Ingress"]));
        }
        if has(spec, "preDNAT") || has(spec, "doNotTrack") {
            spec.insert("applyOnForward".into(), json!(true));
        }
    }
}

fn kubernetes(spec: &mut Map<String, Value>, random: &mut Random) {
    if spec.get("stagedAction") == Some(&json!("Delete")) {
        spec.retain(|name, _| name == "stagedAction");
        spec.insert("podSelector".into(), json!({}));
        return;
    }
    let labels = |random: &mut Random| {
        json!({ "matchLabels": { text::word(random): text::word(random) },
                "matchExpressions": [{ "key": text::word(random), "operator": "In", "values": [text::word(random)] }] })
    };
    spec.insert("podSelector".into(), if random.chance(50) { labels(random) } else { json!({}) });
    spec.insert("policyTypes".into(), json!(["Ingress", "Egress"]));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        if has(spec, direction) {
            let peer = match random.below(3) {
                0 => json!({ "podSelector": labels(random) }),
                1 => json!({ "namespaceSelector": labels(random), "podSelector": {} }),
                _ => json!({ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"] } }),
            };
            let ports =
                json!([{ "protocol": "UDP", "port": 53 }, { "port": 8000, "endPort": 8010 }, { "port": "http" }]);
            spec.insert(direction.to_owned(), json!([{ "ports": ports, peers: [peer] }]));
        }
    }
}

fn pool(spec: &mut Map<String, Value>, random: &mut Random) {
    let six = random.chance(30);
    let (net, size) = if six { (text::address(random, true), 122) } else { (text::address(random, false), 26) };
    let net = if six { net.split("::").next().map(|net| format!("{net}::/64")) } else { None };
    let net = net.unwrap_or_else(|| format!("10.{}.0.0/16", random.below(256)));
    spec.insert("cidr".into(), json!(net));
    if has(spec, "blockSize") {
        spec.insert("blockSize".into(), json!(size));
    }
    if six {
        spec.remove("ipipMode");
    }
    if has(spec, "ipipMode") {
        spec.insert("vxlanMode".into(), json!("Never"));
    }
    if has(spec, "namespaceSelector") {
        spec.insert("allowedUses".into(), json!(["Workload"]));
    } else if has(spec, "allowedUses") {
        spec.insert("allowedUses".into(), json!(["Workload", "Tunnel"]));
    }
}

fn filter(rule: &mut Map<String, Value>) {
    if has(rule, "cidr") {
        rule.insert("matchOperator".into(), json!("In"));
    } else {
        rule.remove("matchOperator");
        rule.remove("prefixLength");
    }
    if rule.get("action") != Some(&json!("Accept")) {
        rule.remove("operations");
    } else if has(rule, "operations") {
        let operations = json!([
            { "addCommunity": { "value": "1:2" } },
            { "prependASPath": { "prefix": [64512] } },
            { "setPriority": { "value": 100 } }
        ]);
        rule.insert("operations".into(), operations);
    }
}
