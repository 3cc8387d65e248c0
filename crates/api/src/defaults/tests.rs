//! What is stored, as Calico's client was seen to store it.

use serde_json::json;

use super::*;
use crate::kind::Key;

fn applied(kind: Kind, spec: Value) -> Object {
    let mut object = Object::new(Key::cluster(kind, "x"));
    object.body.insert("spec".to_owned(), spec);
    apply(&mut object);
    let once = object.clone();
    apply(&mut object);
    assert_eq!(object, once, "twice is once");
    object
}

#[test]
fn defaults_are_those_that_calico_stores() {
    for (kind, written, stored) in [
        (Kind::NetworkPolicy, json!({}), json!({"types": ["Ingress"], "tier": "default"})),
        (
            Kind::NetworkPolicy,
            json!({"tier": "", "egress": [{"action": "Allow"}]}),
            json!({"tier": "default", "egress": [{"action": "Allow"}], "types": ["Egress"]}),
        ),
        (
            Kind::GlobalNetworkPolicy,
            json!({"ingress": [{"action": "Deny"}], "egress": [{"action": "Allow"}], "types": []}),
            json!({"ingress": [{"action": "Deny"}], "egress": [{"action": "Allow"}], "types": ["Ingress", "Egress"], "tier": "default"}),
        ),
        (
            Kind::GlobalNetworkPolicy,
            json!({"order": 0, "types": ["Egress"], "ingress": [{"action": "Allow", "source": {"nets": []}, "icmp": {}}]}),
            json!({"order": 0, "types": ["Egress"], "ingress": [{"action": "Allow", "icmp": {}}], "tier": "default"}),
        ),
        (
            Kind::StagedNetworkPolicy,
            json!({"stagedAction": ""}),
            json!({"stagedAction": "Set", "types": ["Ingress"], "tier": "default"}),
        ),
        (
            Kind::StagedGlobalNetworkPolicy,
            json!({"stagedAction": "Delete", "types": ["Ingress"]}),
            json!({"stagedAction": "Delete", "tier": "default"}),
        ),
        (
            Kind::StagedKubernetesNetworkPolicy,
            json!({"podSelector": {}}),
            json!({"podSelector": {}, "stagedAction": "Set"}),
        ),
        (Kind::Tier, json!({}), json!({"order": 1_000_000, "defaultAction": "Deny"})),
        (Kind::Tier, json!({"order": 0, "defaultAction": "Pass"}), json!({"order": 0, "defaultAction": "Pass"})),
        (
            Kind::IPPool,
            json!({"cidr": "FD00::/64"}),
            json!({"cidr": "fd00::/64", "nodeSelector": "all()", "blockSize": 122, "allowedUses": ["Workload", "Tunnel"], "assignmentMode": "Automatic", "ipipMode": "Never", "vxlanMode": "Never"}),
        ),
        (
            Kind::FelixConfiguration,
            json!({"bpfConnectTimeLoadBalancingEnabled": true}),
            json!({"bpfConnectTimeLoadBalancingEnabled": true, "floatingIPs": "Disabled", "bpfConnectTimeLoadBalancing": "Enabled", "bpfHostNetworkedNATWithoutCTLB": "Disabled", "nftablesMode": "Auto", "nftablesFlowTableOffload": "Disabled"}),
        ),
        (
            Kind::FelixConfiguration,
            json!({}),
            json!({"floatingIPs": "Disabled", "bpfConnectTimeLoadBalancing": "TCP", "bpfHostNetworkedNATWithoutCTLB": "Enabled", "nftablesMode": "Auto", "nftablesFlowTableOffload": "Disabled"}),
        ),
        (
            Kind::KubeControllersConfiguration,
            json!({"controllers": {"node": {}, "loadBalancer": {}}}),
            json!({"controllers": {"node": {"leakGracePeriod": "15m0s"}, "loadBalancer": {"assignIPs": "AllServices"}}, "prometheusMetricsPort": 9094, "healthChecks": "Enabled"}),
        ),
        (Kind::HostEndpoint, json!({"node": "n1"}), json!({"node": "n1"})),
    ] {
        assert_eq!(applied(kind, written).body["spec"], stored, "{kind}");
    }
}

#[test]
fn a_policy_is_labelled_with_its_tier() {
    assert_eq!(applied(Kind::GlobalNetworkPolicy, json!({})).metadata.labels[TIER_LABEL], "default");
    assert_eq!(applied(Kind::StagedNetworkPolicy, json!({"tier": "t"})).metadata.labels[TIER_LABEL], "t");
    assert!(applied(Kind::StagedKubernetesNetworkPolicy, json!({})).metadata.labels.is_empty());
}

#[test]
fn host_bits_of_a_pool_are_kept_so_that_validation_refuses_them() {
    assert_eq!(applied(Kind::IPPool, json!({"cidr": "10.0.0.1/16"})).body["spec"]["cidr"], "10.0.0.1/16");
    assert_eq!(applied(Kind::IPPool, json!({"cidr": "::ffff:10.0.0.0/112"})).body["spec"]["cidr"], "10.0.0.0/16");
    assert_eq!(applied(Kind::IPPool, json!({"cidr": "x"})).body["spec"]["cidr"], "x");
}

#[test]
fn workload_labels_are_forced() {
    let mut object = Object::new(Key::namespaced(Kind::WorkloadEndpoint, "ns", "w"));
    object.metadata.labels.insert("projectcalico.org/namespace".to_owned(), "lie".to_owned());
    object.body.insert("spec".to_owned(), json!({"orchestrator": "k8s"}));
    workload_labels(&mut object);
    assert_eq!(object.metadata.labels["projectcalico.org/namespace"], "ns");
    assert_eq!(object.metadata.labels["projectcalico.org/orchestrator"], "k8s");
}
