//! The files in `packaging/kubernetes` say what the types say, and a real API server and kubectl take them.

mod support;

use std::fmt::Write;

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_store_kube::custom::Group;
use tortie_store_kube::definitions;

use support::Cluster;

fn text(group: Group) -> String {
    let mut text = format!(
        "# The definitions of Calico's resources in the group {}, made of tortie's own types. To make them again:\n\
         # UPDATE=1 cargo test -p tortie-store-kube --test definitions\n",
        group.name()
    );
    for definition in definitions::all(group) {
        write!(text, "---\n{}", tortie_manifest::write::yaml(&definition)).expect("memory takes all");
    }
    text
}

#[test]
fn the_definition_files_follow_from_the_types() {
    for group in [Group::Packed, Group::Native] {
        let path = support::workspace().join(format!("packaging/kubernetes/{}.yaml", group.name()));
        let text = text(group);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).expect("the file can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} is old: run this test with UPDATE=1", path.display());
    }
}

/// The spec of a valid object of each kind, under the name that fits all kinds.
fn examples() -> Vec<(Kind, Value)> {
    let rule = json!({ "action": "Allow", "protocol": "TCP", "source": { "nets": ["10.0.0.0/8"], "selector": "has(a)" },
        "destination": { "ports": [80, "81:90", "http"] } });
    let policy =
        json!({ "tier": "default", "order": 5.5, "selector": "all()", "types": ["Ingress"], "ingress": [rule] });
    vec![
        (Kind::BGPConfiguration, json!({ "asNumber": 64512 })),
        (Kind::BGPFilter, json!({ "exportV4": [{ "action": "Accept", "cidr": "10.0.0.0/8", "matchOperator": "In" }] })),
        (Kind::BGPPeer, json!({ "peerIP": "10.0.0.1", "asNumber": 64512 })),
        (Kind::CalicoNodeStatus, json!({ "node": "n", "classes": ["BGP"], "updatePeriodSeconds": 10 })),
        (Kind::ClusterInformation, json!({ "clusterGUID": "x", "datastoreReady": true })),
        (
            Kind::FelixConfiguration,
            json!({ "logSeverityScreen": "Info", "failsafeInboundHostPorts": [{ "protocol": "tcp", "port": 22 }] }),
        ),
        (Kind::GlobalNetworkPolicy, policy.clone()),
        (Kind::GlobalNetworkSet, json!({ "nets": ["10.0.0.0/8"] })),
        (
            Kind::HostEndpoint,
            json!({ "node": "n", "interfaceName": "eth0", "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }] }),
        ),
        (Kind::IPAMConfiguration, json!({ "strictAffinity": true, "autoAllocateBlocks": true, "maxBlocksPerHost": 4 })),
        (Kind::IPPool, json!({ "cidr": "10.0.0.0/16", "blockSize": 26 })),
        (Kind::IPReservation, json!({ "reservedCIDRs": ["10.0.0.1/32"] })),
        (
            Kind::KubeControllersConfiguration,
            json!({ "controllers": { "node": { "hostEndpoint": { "autoCreate": "Enabled" } } } }),
        ),
        (Kind::NetworkPolicy, policy.clone()),
        (Kind::NetworkSet, json!({ "nets": ["10.0.0.0/8"] })),
        (Kind::StagedGlobalNetworkPolicy, policy.clone()),
        (
            Kind::StagedKubernetesNetworkPolicy,
            json!({ "podSelector": { "matchLabels": { "a": "b" } }, "policyTypes": ["Ingress"] }),
        ),
        (Kind::StagedNetworkPolicy, policy),
        (Kind::Tier, json!({ "order": 1000000, "defaultAction": "Deny" })),
    ]
}

#[test]
fn kubectl_applies_an_example_of_each_kind_and_the_store_reads_it_whole() {
    for group in [Group::Packed, Group::Native] {
        let cluster = Cluster::start(group);
        let store = cluster.store();
        for (kind, spec) in examples() {
            let (name, plural) = group.resource(kind).expect("it is a custom resource");
            let object = json!({ "apiVersion": group.api_version(), "kind": name, "metadata": { "name": "default" }, "spec": spec });
            cluster.kubectl(&["apply", "-f", "-"], &object.to_string());
            assert!(cluster.kubectl(&["get", &cluster.resource(plural), "default"], "").contains("default"));
            let key = Key {
                kind,
                namespace: if kind.namespaced() { "default".into() } else { String::new() },
                name: "default".into(),
            };
            let stored = store.get(&key).expect("a get").expect("it exists");
            let read: Value = serde_json::from_slice(&stored.value).expect("JSON");
            for (field, value) in spec.as_object().expect("a record") {
                assert_eq!(
                    read["spec"][field], *value,
                    "{group:?} {kind} {field}: a field that the definition lacks is dropped"
                );
            }
        }
    }
}

#[test]
fn kubectl_knows_the_native_group_by_calicos_short_names() {
    let cluster = Cluster::start(Group::Native);
    let tier = json!({ "apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": { "name": "t" }, "spec": { "order": 7 } });
    cluster.kubectl(&["apply", "-f", "-"], &tier.to_string());
    for name in [
        "hep",
        "heps",
        "gnp",
        "cgnp",
        "gns",
        "sgnp",
        "snp",
        "sknp",
        "bgpconfig",
        "clusterinfo",
        "ipamconfig",
        "caliconetworkpolicy",
        "hostendpoint.p",
        "HostEndpoints.projectcalico.org",
    ] {
        cluster.kubectl(&["get", name], "");
    }
    let columns = cluster.kubectl(&["get", "tiers"], "");
    assert!(columns.starts_with("NAME   ORDER   DEFAULT ACTION"), "{columns}");
    assert_eq!(
        columns.lines().nth(1).map(|line| line.split_whitespace().collect::<Vec<_>>()),
        Some(vec!["t", "7", "Deny"])
    );
}
