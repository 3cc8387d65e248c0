//! Random resources and histories.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::NODE;
use super::case::Step;
use super::rules::{LABELS, NAMESPACES, PORT_NAMES, PORTS, SERVICES, VALUES, labels, nets, rules, selector};
use tortie_random::Random;

/// Interfaces of workloads.
pub(super) const WORKLOADS: [&str; 3] = ["cali1", "cali2", "cali3"];
/// Interfaces of the host; the last is one that host endpoints leave alone.
pub(super) const LINKS: [&str; 4] = ["eth0", "eth1", "lo", "kube-ipvs0"];
const TIERS: [&str; 5] = ["t1", "t2", "t3", "default", "gone"];
/// Some begin like others, and go on with what sorts before or after what ends a name in the order of ties.
const POLICIES: [&str; 6] = ["p0", "p1", "p1-a", "p1.a", "p10", "p2"];
const HOST_ENDPOINTS: [&str; 4] = ["h0", "h1", "h1-a", "h2"];
const PROFILES: [&str; 6] = ["kns.a", "kns.b", "ksa.a.s", "pr1", "pr2", "projectcalico-default-allow"];

/// The addresses of worlds: workloads', the host's, others'.
pub(super) const ADDRESSES: [&str; 14] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.0.0.5",
    "fd00::1",
    "fd00::2",
    "fd00::3",
    "192.0.2.1",
    "192.0.3.1",
    "fd01::1",
    "192.0.2.9",
    "203.0.113.9",
    "fd02::9",
];

/// Fills a store at once, then changes it step by step, with a flush after each.
pub(super) fn history(random: &mut Random) -> Vec<Step> {
    let mut there: BTreeMap<String, Value> = BTreeMap::new();
    let mut steps = vec![Step::Links(links(random))];
    // Something to police: most interfaces have an endpoint, most profiles exist.
    for (number, interface) in WORKLOADS.into_iter().enumerate() {
        if random.once_in(5) {
            continue;
        }
        let mut endpoint = of_kind(random, "WorkloadEndpoint");
        endpoint["name"] = json!(format!("w{number}"));
        let spec = &mut endpoint["spec"];
        (spec["node"], spec["interfaceName"]) = (json!(NODE), json!(interface));
        spec["ipNetworks"] = json!([format!("{}/32", ADDRESSES[number]), format!("{}/128", ADDRESSES[5 + number])]);
        if random.once_in(2) {
            spec["allowSpoofedSourcePrefixes"] = json!([]);
        }
        steps.push(put(endpoint, &mut there));
    }
    for kind in [
        "FelixConfiguration",
        "HostEndpoint",
        "Profile",
        "Profile",
        "Profile",
        "GlobalNetworkPolicy",
        "GlobalNetworkPolicy",
    ] {
        steps.push(put(of_kind(random, kind), &mut there));
    }
    for _ in 0..6 + random.below(16) {
        steps.push(put(object(random), &mut there));
    }
    steps.push(Step::Flush);
    for _ in 0..6 + random.below(8) {
        for _ in 0..1 + usize::from(random.once_in(4)) * 3 {
            steps.push(change(random, &mut there));
        }
        steps.push(Step::Flush);
    }
    steps
}

fn change(random: &mut Random, there: &mut BTreeMap<String, Value>) -> Step {
    if random.once_in(12) {
        return Step::Links(links(random));
    }
    let known: Vec<String> = there.keys().cloned().collect();
    if !known.is_empty() && random.once_in(3) {
        let key = random.pick(&known).clone();
        if let Some(object) = there.remove(&key) {
            return Step::Delete(
                json!({"kind": object["kind"], "namespace": object["namespace"], "name": object["name"]}),
            );
        }
    }
    if !known.is_empty() && random.once_in(3) {
        let mut object = there[random.pick(&known)].clone();
        mutate(random, &mut object);
        return put(object, there);
    }
    put(object(random), there)
}

fn put(object: Value, there: &mut BTreeMap<String, Value>) -> Step {
    there.insert(format!("{} {} {}", object["kind"], object["namespace"], object["name"]), object.clone());
    Step::Put(object)
}

/// Changes one thing of an object.
fn mutate(random: &mut Random, object: &mut Value) {
    let fresh = of_kind(random, object["kind"].as_str().unwrap_or_default());
    if random.once_in(3) {
        object["labels"] = fresh["labels"].clone();
        keep_namespace(object);
        return;
    }
    let fields: Vec<String> = fresh["spec"].as_object().map(|spec| spec.keys().cloned().collect()).unwrap_or_default();
    if !fields.is_empty() {
        let field = random.pick(&fields);
        object["spec"][field] = fresh["spec"][field].clone();
    }
}

fn object(random: &mut Random) -> Value {
    let kind = *random.pick(&[
        "Tier",
        "Tier",
        "GlobalNetworkPolicy",
        "GlobalNetworkPolicy",
        "GlobalNetworkPolicy",
        "GlobalNetworkPolicy",
        "NetworkPolicy",
        "NetworkPolicy",
        "NetworkPolicy",
        "StagedGlobalNetworkPolicy",
        "StagedNetworkPolicy",
        "StagedKubernetesNetworkPolicy",
        "KubernetesEndpointSlice",
        "KubernetesEndpointSlice",
        "Profile",
        "Profile",
        "HostEndpoint",
        "HostEndpoint",
        "HostEndpoint",
        "WorkloadEndpoint",
        "WorkloadEndpoint",
        "WorkloadEndpoint",
        "WorkloadEndpoint",
        "NetworkSet",
        "GlobalNetworkSet",
        "GlobalNetworkSet",
        "Node",
        "IPPool",
        "FelixConfiguration",
    ]);
    of_kind(random, kind)
}

fn of_kind(random: &mut Random, kind: &str) -> Value {
    let namespaced = matches!(
        kind,
        "NetworkPolicy"
            | "StagedNetworkPolicy"
            | "StagedKubernetesNetworkPolicy"
            | "WorkloadEndpoint"
            | "NetworkSet"
            | "KubernetesEndpointSlice"
    );
    let namespace = if namespaced { *random.pick(&NAMESPACES) } else { "" };
    let (name, spec) = match kind {
        "Tier" => (random.pick(&TIERS[..4]).to_string(), tier(random)),
        "Profile" => (random.pick(&PROFILES[..5]).to_string(), profile(random)),
        "HostEndpoint" => (random.pick(&HOST_ENDPOINTS).to_string(), host_endpoint(random)),
        "WorkloadEndpoint" => (format!("w{}", random.below(4)), workload_endpoint(random)),
        "NetworkSet" | "GlobalNetworkSet" => (format!("s{}", random.below(3)), network_set(random)),
        "KubernetesEndpointSlice" => (format!("e{}", random.below(3)), endpoint_slice(random)),
        "StagedKubernetesNetworkPolicy" => (format!("k{}", random.below(2)), kubernetes(random)),
        "Node" => (random.pick(&[NODE, "n2"]).to_string(), node(random)),
        "IPPool" => ("pool".to_owned(), pool(random)),
        "FelixConfiguration" => (random.pick(&["default", "node.n1"]).to_string(), configuration(random)),
        _ => (random.pick(&POLICIES).to_string(), policy(random, !namespaced, kind.starts_with("Staged"))),
    };
    let mut object =
        json!({"kind": kind, "namespace": namespace, "name": name, "labels": labels(random), "spec": spec});
    if kind.ends_with("Endpoint") && random.once_in(8) {
        // What only profiles and specs may say of workloads, said by the endpoint itself.
        let label =
            *random.pick(&["pcns.x", "pcsa.y", "projectcalico.org/serviceaccount", "projectcalico.org/namespace"]);
        object["labels"][label] = json!(random.pick(&["1", "2", "a", "s"]));
    }
    keep_namespace(&mut object);
    object
}

/// Workloads carry their namespace as a label.
fn keep_namespace(object: &mut Value) {
    if object["kind"] == "WorkloadEndpoint" {
        let namespace = object["namespace"].clone();
        object["labels"]["projectcalico.org/namespace"] = namespace;
    }
}

fn tier(random: &mut Random) -> Value {
    let mut spec = json!({});
    if !random.once_in(4) {
        spec["order"] = json!(random.pick(&[-1.0, 1.0, 1.0, 2.0, 1e9]));
    }
    if !random.once_in(3) {
        spec["defaultAction"] = json!(random.pick(&["Deny", "Pass"]));
    }
    spec
}

/// Once in a while one with something in it that is not a net.
fn network_set(random: &mut Random) -> Value {
    let mut nets = nets(random, 4);
    if random.once_in(8) {
        nets.push("10.0.0.0/33");
    }
    json!({ "nets": nets })
}

/// Often of the same service, often with addresses in common. Once in a while one with something in it that is no address.
fn endpoint_slice(random: &mut Random) -> Value {
    let mut addresses: Vec<&str> = (0..random.below(4)).map(|_| *random.pick(&ADDRESSES)).collect();
    if random.once_in(12) {
        addresses.push("none");
    }
    let port = |random: &mut Random| json!({"protocol": random.pick(&["TCP", "TCP", "UDP", "SCTP"]), "port": random.pick(&PORTS)});
    let ports: Vec<Value> = (0..random.below(3)).map(|_| port(random)).collect();
    json!({ "service": random.pick(&SERVICES), "addresses": addresses, "ports": ports })
}

fn kubernetes(random: &mut Random) -> Value {
    let pods = json!({"matchLabels": {*random.pick(&LABELS): random.pick(&VALUES)}});
    json!({"podSelector": pods, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]})
}

fn policy(random: &mut Random, global: bool, staged: bool) -> Value {
    let types = *random.pick(&[["Ingress", "Egress"].as_slice(), &["Ingress"], &["Egress"]]);
    let mut spec = json!({
        "tier": random.pick(&TIERS),
        "selector": if random.once_in(3) { String::new() } else { selector(random, 1) },
        "types": types,
        "ingress": rules(random, 3),
        "egress": rules(random, 3),
    });
    if staged && random.once_in(4) {
        spec["stagedAction"] = json!(random.pick(&["Set", "Delete", "Learn", "Ignore"]));
    }
    if random.once_in(16) {
        // As old programs left it: both directions.
        spec["types"] = json!([]);
    }
    if !random.once_in(4) {
        spec["order"] = json!(random.pick(&[-1.0, 0.0, 1.0, 2.0, 2.0, 2.5]));
    }
    if random.once_in(8) {
        spec["serviceAccountSelector"] = json!(selector(random, 0));
    }
    if random.once_in(16) {
        spec["performanceHints"] = json!(["AssumeNeededOnEveryNode"]);
    }
    if global {
        if random.once_in(8) {
            spec["namespaceSelector"] = json!(selector(random, 0));
        }
        match random.below(6) {
            0 => (spec["doNotTrack"], spec["applyOnForward"]) = (json!(true), json!(true)),
            1 => {
                (spec["preDNAT"], spec["applyOnForward"]) = (json!(true), json!(true));
                (spec["types"], spec["egress"]) = (json!(["Ingress"]), json!([]));
            }
            2 | 3 => spec["applyOnForward"] = json!(true),
            _ => {}
        }
    }
    spec
}

fn profile(random: &mut Random) -> Value {
    let prefix = *random.pick(&["", "", "pcns.", "pcsa."]);
    let labels: serde_json::Map<String, Value> =
        labels(random).into_iter().map(|(label, value)| (format!("{prefix}{label}"), value)).collect();
    json!({"labelsToApply": labels, "ingress": rules(random, 2), "egress": rules(random, 2)})
}

/// Profiles, in any order.
fn profile_names(random: &mut Random) -> Vec<&'static str> {
    let mut profiles = random.some(&PROFILES, 3);
    random.shuffle(&mut profiles);
    profiles
}

fn ports(random: &mut Random) -> Value {
    let count = random.below(3);
    let port = |random: &mut Random| json!({"name": random.pick(&PORT_NAMES), "protocol": random.pick(&["TCP", "UDP", "SCTP"]), "port": random.pick(&PORTS)});
    (0..count).map(|_| port(random)).collect()
}

fn host_endpoint(random: &mut Random) -> Value {
    json!({
        "node": if random.once_in(5) { "n2" } else { NODE },
        "interfaceName": random.pick(&["eth0", "eth0", "eth1", "*", "*", "", "", "cali1", "kube-ipvs0", "lo"]),
        "expectedIPs": random.some(&ADDRESSES, 2),
        "profiles": profile_names(random),
        "ports": ports(random),
    })
}

fn workload_endpoint(random: &mut Random) -> Value {
    let net = |address: &&str| format!("{address}/{}", if address.contains(':') { 128 } else { 32 });
    let mut addresses = random.some(&ADDRESSES[..8], 2);
    if addresses.is_empty() && !random.once_in(8) {
        addresses.push(*random.pick(&ADDRESSES[..8]));
    }
    let nats: Vec<Value> = addresses
        .iter()
        .filter(|_| random.once_in(5))
        .map(|internal| json!({"internalIP": internal, "externalIP": if internal.contains(':') { "fd02::9" } else { "192.0.2.9" }}))
        .collect();
    json!({
        "node": if random.once_in(3) { "n2" } else { NODE },
        "orchestrator": random.pick(&["k8s", "k8s", "k8s", "cni", "openstack"]),
        "pod": format!("pod{}", random.below(3)),
        "containerID": random.pick(&["1", "2"]),
        "workload": random.pick(&["vm", "vm-1"]),
        "endpoint": random.pick(&["eth0", "eth0", "eth1"]),
        "interfaceName": random.pick(&WORKLOADS),
        "ipNetworks": addresses.iter().map(net).collect::<Vec<_>>(),
        "ipNATs": nats,
        "profiles": profile_names(random),
        "ports": ports(random),
        "serviceAccountName": if random.once_in(4) { "s" } else { "" },
        "allowSpoofedSourcePrefixes": if random.once_in(3) { vec!["10.0.0.0/29"] } else { vec![] },
    })
}

fn node(random: &mut Random) -> Value {
    let mut spec =
        json!({"bgp": {"ipv4Address": format!("{}/24", random.pick(&["192.0.2.1", "203.0.113.9", "10.0.0.5"]))}});
    if random.once_in(2) {
        spec["ipv4VXLANTunnelAddr"] = json!("10.0.0.3");
    }
    spec
}

fn pool(random: &mut Random) -> Value {
    json!({
        "cidr": random.pick(&["10.0.0.0/16", "10.0.0.0/24"]),
        "ipipMode": random.pick(&["Never", "Always"]),
        "vxlanMode": random.pick(&["Never", "Always"]),
        "natOutgoing": random.once_in(2),
    })
}

fn configuration(random: &mut Random) -> Value {
    let mut spec = json!({});
    for _ in 0..1 + random.below(4) {
        match random.below(17) {
            0 => spec["defaultEndpointToHostAction"] = json!(random.pick(&["Drop", "Return", "Accept"])),
            1 => spec["nftablesFilterDenyAction"] = json!(random.pick(&["Drop", "Reject"])),
            2 => spec["disableConntrackInvalidCheck"] = json!(random.once_in(2)),
            3 => spec["floatingIPs"] = json!(random.pick(&["Enabled", "Enabled", "Disabled"])),
            4 => spec["workloadSourceSpoofing"] = json!(random.pick(&["Any", "Any", "Disabled"])),
            5 => spec["allowVXLANPacketsFromWorkloads"] = json!(random.once_in(2)),
            6 => spec["allowIPIPPacketsFromWorkloads"] = json!(random.once_in(2)),
            7 => spec["interfacePrefix"] = json!(random.pick(&["cali", "cali", "cali1,cali2", "cali,eth1"])),
            8 => spec["externalNodesList"] = json!(["203.0.113.8/30"]),
            9 => spec["wireguardEnabled"] = json!(random.once_in(2)),
            10 => spec["interfaceExclude"] = json!(random.pick(&["eth1", "/^eth/", "lo,/ipvs0$/", "kube-ipvs0"])),
            11 => spec["vxlanEnabled"] = json!(random.once_in(2)),
            12 => spec["ipipEnabled"] = json!(random.once_in(2)),
            13 => spec["vxlanPort"] = json!(random.pick(&[4789, 443])),
            14 => spec["ipv6Support"] = json!(random.once_in(2)),
            15 => (spec["metadataAddr"], spec["metadataPort"]) = (json!("192.0.2.11"), json!(80)),
            _ => {
                let field = *random.pick(&["failsafeInboundHostPorts", "failsafeOutboundHostPorts"]);
                let one = |random: &mut Random| {
                    let net = *random.pick(&["", "10.0.0.0/30", "fd00::/126"]);
                    json!({"protocol": random.pick(&["TCP", "UDP", "SCTP"]), "port": random.pick(&PORTS), "net": net})
                };
                let count = random.below(4);
                spec[field] = (0..count).map(|_| one(random)).collect();
            }
        }
    }
    spec
}

fn links(random: &mut Random) -> Vec<(String, Vec<IpAddr>)> {
    let mut links = Vec::new();
    for name in LINKS {
        if random.once_in(8) {
            continue;
        }
        let addresses: Vec<&str> = match name {
            "lo" => vec!["127.0.0.1"],
            _ => random.some(&ADDRESSES[8..12], 3),
        };
        links.push((name.to_owned(), addresses.iter().filter_map(|address| address.parse().ok()).collect()));
    }
    links
}
