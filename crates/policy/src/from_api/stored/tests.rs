//! Stored objects in which a key appears twice.

use super::*;
use crate::{Action, Policy};

fn read(kind: Kind, spec: &str) -> (Item, Vec<String>) {
    let key = Key { kind, namespace: String::new(), name: "x".to_owned() };
    let (item, invalid) = Item::read_stored(&key, format!(r#"{{"spec":{spec}}}"#).as_bytes());
    (item, invalid.iter().map(ToString::to_string).collect())
}

fn policy(spec: &str) -> (Policy, Vec<String>) {
    match read(Kind::GlobalNetworkPolicy, spec) {
        (Item::Policy(policy), reasons) => (*policy, reasons),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rule_whose_action_appears_twice_denies_and_says_why() {
    for rule in [
        r#"{"action":"Deny","action":"Allow"}"#,
        r#"{"action":"Allow","action":"Allow"}"#,
        r#"{"Action":"Deny","action":"Allow"}"#,
        r#"{"action":null,"action":"Allow"}"#,
    ] {
        let (policy, reasons) = policy(&format!(r#"{{"ingress":[{rule}]}}"#));
        assert_eq!(policy.ingress[0].action, Action::Deny, "{rule}");
        assert_eq!(reasons, [r#"spec.ingress[0].action: the key "action" appears twice (the rule denies)"#], "{rule}");
    }
}

#[test]
fn a_condition_that_appears_twice_is_unreadable() {
    let (policy, reasons) = policy(
        r#"{"ingress":[{"action":"Allow","source":{"nets":["10.0.0.0/8"],"nets":[]}},{"action":"Deny","protocol":"TCP","Protocol":"UDP"}],
            "egress":[{"action":"Deny"}],"egress":[]}"#,
    );
    assert!(policy.ingress[0].never);
    assert_eq!((policy.ingress[1].action, policy.ingress[1].protocol), (Action::Deny, None));
    assert_eq!((policy.egress.len(), policy.egress[0].action), (1, Action::Deny), "everything is denied");
    assert_eq!(
        reasons,
        [
            r#"spec.ingress[0].source.nets: the key "nets" appears twice (the rule never matches)"#,
            r#"spec.ingress[1].protocol: the key "protocol" appears twice (the rule denies without this condition)"#,
            r#"spec.egress: the key "egress" appears twice (everything is denied in this direction)"#,
        ]
    );
}

#[test]
fn a_field_of_a_node_or_pool_that_appears_twice_is_unreadable() {
    let (pool, reasons) = read(Kind::IPPool, r#"{"cidr":"10.0.0.0/8","cidr":"0.0.0.0/0"}"#);
    assert_eq!(pool, Item::Nothing);
    assert_eq!(reasons, [r#"spec.cidr: the key "cidr" appears twice (the pool does not count)"#]);
    let (pool, reasons) =
        read(Kind::IPPool, r#"{"cidr":"10.0.0.0/8","natOutgoing":null,"ipipMode":"Always","ipipMode":"Never"}"#);
    assert!(matches!(pool, Item::Pool(pool) if !pool.ipip));
    assert_eq!(reasons, [r#"spec.ipipMode: the key "ipipMode" appears twice (it counts as not set)"#]);
    let (node, reasons) = read(Kind::Node, r#"{"bgp":{"ipv4Address":"10.0.0.1/24","ipv4Address":"10.0.0.2/24"}}"#);
    assert!(matches!(node, Item::Node(node) if node.addresses.is_empty()));
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].starts_with(r#"spec.bgp.ipv4Address: the key "ipv4Address" appears twice"#), "{reasons:?}");
}

#[test]
fn an_endpoint_whose_label_appears_twice_denies_and_says_why() {
    let text = r#"{"metadata":{"labels":{"a":"b","a":"c"}},"spec":{"node":"n","interfaceName":"eth0"}}"#;
    let key = Key::cluster(Kind::HostEndpoint, "x");
    let (item, invalid) = Item::read_stored(&key, text.as_bytes());
    assert!(matches!(item, Item::HostEndpoint(endpoint) if endpoint.labels.contains_key(crate::UNREADABLE_LABELS)));
    assert!(invalid[0].to_string().starts_with(r#"metadata.labels: the key "a" appears twice"#), "{invalid:?}");
}

#[test]
fn a_text_that_is_not_among_the_values_of_a_field_is_unreadable() {
    for (kind, spec, reason) in [
        (
            Kind::Tier,
            r#"{"defaultAction":"pass!"}"#,
            "spec.defaultAction: \"pass!\" is none of Deny, Pass (the tier denies",
        ),
        (Kind::Tier, r#"{"defaultAction":"pass"}"#, "spec.defaultAction: \"pass\" is none of Deny, Pass"),
        (
            Kind::StagedGlobalNetworkPolicy,
            r#"{"stagedAction":"delete"}"#,
            "spec.stagedAction: \"delete\" is none of Set",
        ),
        (Kind::IPPool, r#"{"cidr":"10.0.0.0/8","ipipMode":"Nevr"}"#, "spec.ipipMode: \"Nevr\" is none of Never"),
        (Kind::IPPool, r#"{"cidr":"10.0.0.0/8","vxlanMode":"Nevr"}"#, "spec.vxlanMode: \"Nevr\" is none of Never"),
        (
            Kind::IPPool,
            r#"{"cidr":"10.0.0.0/8","allowedUses":["All"]}"#,
            "spec.allowedUses: item 0: \"All\" is none of",
        ),
        (Kind::GlobalNetworkPolicy, r#"{"types":["Ingres"]}"#, "spec.types[0]: \"Ingres\" is not a direction"),
    ] {
        let (_, reasons) = read(kind, spec);
        assert!(reasons.len() == 1 && reasons[0].starts_with(reason), "{spec}: {reasons:?}");
    }
    let (tier, reasons) = read(Kind::Tier, r#"{"defaultAction":"","order":1}"#);
    assert!(matches!(tier, Item::Tier(tier) if tier.end == crate::TierEnd::Deny) && reasons.is_empty(), "{reasons:?}");
}

#[test]
fn an_object_without_what_it_must_have_is_told_and_opens_nothing() {
    use crate::GovernedInterfaces;
    let read = |kind: Kind, text: &str| {
        let namespace = if kind.namespaced() { "ns" } else { "" };
        let key = Key { kind, namespace: namespace.to_owned(), name: "x".to_owned() };
        let (item, invalid) = Item::read_stored(&key, text.as_bytes());
        (item, invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    };
    for kind in Kind::ALL.iter().copied().filter(|kind| super::needs_spec(*kind)) {
        for text in ["{}", r#"{"metadata":{"name":"x"}}"#] {
            let (item, told) = read(kind, text);
            assert!(told.starts_with("spec: it does not exist ("), "{kind}: {told}");
            assert_eq!((item, told.replace("it does not exist", "expected an object")), read(kind, r#"{"spec":null}"#));
        }
    }
    let (item, told) = read(Kind::HostEndpoint, r#"{"spec":{"interfaceName":"eth0"}}"#);
    assert!(told.contains("spec.node: a host endpoint needs a node"), "{told}");
    assert!(matches!(item, Item::HostEndpoint(endpoint) if endpoint.node.is_empty()));
    for text in [r#"{"spec":{"node":"n"}}"#, r#"{"spec":{"node":"n","interfaceName":"","expectedIPs":[]}}"#] {
        let (item, told) = read(Kind::HostEndpoint, text);
        assert!(told.contains("neither an interface nor addresses"), "{told}");
        assert!(matches!(item, Item::HostEndpoint(endpoint) if endpoint.interface == GovernedInterfaces::Unreadable));
    }
    for text in [
        r#"{"spec":{"interfaceName":"cali1","ipNetworks":["10.0.0.1/32"]}}"#,
        r#"{"spec":{"node":"n","ipNetworks":["10.0.0.1/32"]}}"#,
    ] {
        let (item, told) = read(Kind::WorkloadEndpoint, text);
        assert!(told.contains("a workload endpoint needs"), "{told}");
        assert!(matches!(item, Item::WorkloadEndpoint(endpoint) if endpoint.interface.is_empty()));
    }
    assert_eq!(
        read(Kind::WorkloadEndpoint, r#"{"spec":{"node":"n"}}"#),
        (Item::Nothing, String::new()),
        "no address yet"
    );
    assert_eq!(read(Kind::Profile, "{}").1, "");
}
