//! Stored objects in which a key appears twice.

use tortie_api::shape::{Field, Form, Shape};
use tortie_testkit::generate::{self, Random};

use super::*;
use crate::from_api::read::UNKNOWN_FIELD;
use crate::{Action, Policy};

fn read(kind: Kind, spec: &str) -> (Item, Vec<String>) {
    let key = Key { kind, namespace: String::new(), name: "x".to_owned() };
    let (item, invalid) = Item::read_stored(&key, format!(r#"{{"metadata":{{"name":"x"}},"spec":{spec}}}"#).as_bytes());
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
fn labels_in_an_annotation_that_is_not_json_are_unreadable_and_the_annotation_is_named() {
    let read = |annotation: &str| {
        let text = format!(
            r#"{{"metadata":{{"labels":"{{","annotations":{{"projectcalico.org/metadata":"{annotation}"}}}},"spec":{{"nets":[]}}}}"#
        );
        let (_, invalid) = Item::read_stored(&Key::cluster(Kind::GlobalNetworkSet, "x"), text.as_bytes());
        invalid.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let [packed] = &read("{")[..] else { panic!("{:?}", read("{")) };
    let place = "metadata.annotations.projectcalico.org/metadata: it is not a JSON object, and holds the labels";
    assert!(packed.starts_with(place), "{packed}");
    // Where the annotation is another one, the labels are what is damaged.
    assert!(read("{}")[0].starts_with("metadata.labels: "), "{:?}", read("{}"));
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
        for (text, null) in
            [("{}", r#"{"spec":null}"#), (r#"{"metadata":{"name":"x"}}"#, r#"{"metadata":{"name":"x"},"spec":null}"#)]
        {
            let (item, told) = read(kind, text);
            assert!(told.starts_with("spec: it does not exist ("), "{kind}: {told}");
            assert_eq!((item, told.replace("it does not exist", "expected an object")), read(kind, null));
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
        read(Kind::WorkloadEndpoint, r#"{"metadata":{"name":"x"},"spec":{"node":"n"}}"#),
        (Item::Nothing, String::new()),
        "no address yet"
    );
    assert_eq!(read(Kind::Profile, r#"{"spec":{}}"#).1, "");
}

#[test]
fn an_unknown_field_that_may_be_a_scope_lets_only_denies_count() {
    let rules = r#""ingress":[{"action":"Allow"},{"action":"Deny"}]"#;
    for (scope, field) in [
        (r#""endpointSelector":"role == 'web'""#, "endpointSelector"),
        (r#""selektor":"role == 'web'""#, "selektor"),
        (r#""appliesTo":"role == 'web'""#, "appliesTo"),
        (r#""selector":"all()","nodeSelector":"all()""#, "nodeSelector"),
        (r#""selector":"all()","namespaceSelektor":"all()""#, "namespaceSelektor"),
    ] {
        let (policy, reasons) = policy(&format!("{{{scope},{rules}}}"));
        assert!(policy.ingress[0].never, "{scope}");
        assert_eq!((policy.ingress[1].action, policy.ingress[1].never), (Action::Deny, false));
        assert_eq!(
            reasons,
            [format!(
                "spec.{field}: this release does not know the field (the policy applies to all endpoints that this may have meant, and only what it denies counts)"
            )]
        );
    }
    for spec in [r#""selector":"all()","performanceHints":[],"laterHints":[1]"#, r#""order":1"#] {
        let (policy, reasons) = policy(&format!("{{{spec},{rules}}}"));
        assert!(!policy.ingress[0].never && reasons.is_empty(), "{reasons:?}");
    }
}

#[test]
fn a_field_that_is_absent_and_that_an_unknown_one_may_be_meant_for_is_unreadable() {
    for (kind, text, told) in [
        (
            Kind::HostEndpoint,
            r#""metadata":{"name":"x"},"spec":{"node":"n","interfaceName":"eth0","portz":[]}"#,
            "spec.ports",
        ),
        (
            Kind::HostEndpoint,
            r#""metadata":{"name":"x"},"spec":{"node":"n","interfaceName":"eth0","profile":[]}"#,
            "spec.profiles",
        ),
        (Kind::Profile, r#""metadata":{"name":"x"},"spec":{"labelToApply":{"a":"b"}}"#, "spec.labelsToApply"),
        (
            Kind::GlobalNetworkPolicy,
            r#""metadata":{"name":"x"},"spec":{"selector":"all()","preDNTA":true}"#,
            "spec.preDNAT",
        ),
        (Kind::Tier, r#""metadata":{"name":"x"},"spec":{"ordre":1}"#, "spec.order"),
        (Kind::GlobalNetworkSet, r#""metadata":{"name":"x","lables":{"a":"b"}},"spec":{"nets":[]}"#, "metadata.labels"),
    ] {
        let key = Key { kind, namespace: String::new(), name: "x".to_owned() };
        let (_, invalid) = Item::read_stored(&key, format!("{{{text}}}").as_bytes());
        let [invalid] = &invalid[..] else { panic!("{text}: {invalid:?}") };
        assert_eq!(invalid.path.to_string(), told);
        assert!(invalid.reason.starts_with("it does not exist, and `"), "{}", invalid.reason);
    }
}

#[test]
fn conditions_that_no_packet_meets_together_are_unreadable_and_a_deny_denies_without_them() {
    let net4 = r#""source":{"nets":["10.0.0.0/8"]}"#;
    for (rule, told) in [
        (r#""protocol":"ICMP","destination":{"ports":[1000]}"#.to_owned(), &["destination.ports", "protocol"][..]),
        (r#""protocol":4,"source":{"notPorts":["web"]}"#.to_owned(), &["source.notPorts", "protocol"]),
        (r#""protocol":"TCP","icmp":{"type":8}"#.to_owned(), &["icmp", "protocol"]),
        (r#""protocol":"ICMP","ipVersion":6"#.to_owned(), &["ipVersion", "protocol"]),
        (format!(r#""ipVersion":6,{net4}"#), &["source.nets", "ipVersion"]),
        (format!(r#""protocol":"ICMPv6","ipVersion":6,{net4}"#), &["source.nets", "protocol", "ipVersion"]),
        (format!(r#"{net4},"destination":{{"nets":["::1/128"]}}"#), &["source.nets", "destination.nets"]),
        (r#""source":{"notNets":["0.0.0.0/0"]}"#.to_owned(), &["source.notNets"]),
        (r#""protocol":"TCP","destination":{"ports":[0]}"#.to_owned(), &["destination.ports[0]"]),
        (r#""protocol":"TCP","destination":{"ports":["0:0"]}"#.to_owned(), &["destination.ports[0]"]),
        (r#""protocol":"ICMP","icmp":{"type":255}"#.to_owned(), &["icmp"]),
    ] {
        let spec =
            format!(r#"{{"selector":"all()","ingress":[{{"action":"Deny",{rule}}},{{"action":"Allow",{rule}}}]}}"#);
        let (policy, reasons) = policy(&spec);
        assert!(policy.ingress[1].never, "{rule}");
        let deny = &policy.ingress[0];
        let is_taken = |part: &str| told.iter().any(|told| told.starts_with(part));
        assert!(!is_taken("protocol") || deny.protocol.is_none() && deny.family.is_none(), "{rule}: {deny:?}");
        assert!(!is_taken("icmp") || deny.icmp.is_none(), "{rule}");
        let places: Vec<_> =
            (0..2).flat_map(|n| told.iter().map(move |at| format!("spec.ingress[{n}].{at}: "))).collect();
        assert_eq!(reasons.len(), places.len(), "{rule}: {reasons:?}");
        for (place, reason) in places.iter().zip(&reasons) {
            assert!(reason.starts_with(place.as_str()), "{place}: {reason}");
        }
    }
    for rule in [
        r#""protocol":"TCP","destination":{"ports":["0:1000"]}"#,
        r#""ipVersion":4,"source":{"nets":["10.0.0.0/8","::1/128"]}"#,
        r#""protocol":"ICMPv6","ipVersion":6,"icmp":{"type":128}"#,
        // Calico writes these.
        r#""protocol":"TCP","notICMP":{"type":8}"#,
        r#""protocol":"ICMPv6","source":{"nets":["10.0.0.0/8"]}"#,
        r#""icmp":{"type":8}"#,
        r#""destination":{"ports":["web"]}"#,
    ] {
        let (_, reasons) = policy(&format!(r#"{{"selector":"all()","ingress":[{{"action":"Deny",{rule}}}]}}"#));
        assert!(reasons.is_empty(), "{rule}: {reasons:?}");
    }
}

#[test]
fn what_the_kind_of_its_object_never_has_is_unreadable() {
    let named = r#""metadata":{"name":"default"}"#;
    let endpoint = |port: &str| format!(r#"{named},"spec":{{"node":"n","interfaceName":"eth0","ports":[{port}]}}"#);
    for (kind, text, told) in [
        (Kind::HostEndpoint, endpoint(r#"{"name":"web","protocol":"ICMP","port":80}"#), "spec.ports[0]"),
        (Kind::HostEndpoint, endpoint(r#"{"name":"8080","protocol":"TCP","port":80}"#), "spec.ports[0]"),
        (Kind::Tier, format!(r#"{named},"spec":{{"order":7}}"#), "spec.order"),
        (Kind::Tier, format!(r#"{named},"spec":{{"order":1000000,"defaultAction":"Pass"}}"#), "spec.defaultAction"),
        (Kind::Tier, format!(r#"{named},"spec":{{"x":1}}"#), "spec"),
        (Kind::Profile, format!(r#"{named},"spec":{{"x":1}}"#), "spec"),
        (
            Kind::GlobalNetworkPolicy,
            format!(r#"{named},"spec":{{"selector":"all()","tier":"{}"}}"#, "a".repeat(64)),
            "spec.tier",
        ),
    ] {
        let key = Key { kind, namespace: String::new(), name: "default".to_owned() };
        let (_, invalid) = Item::read_stored(&key, format!("{{{text}}}").as_bytes());
        let told_of: Vec<_> = invalid.iter().map(|invalid| invalid.path.to_string()).collect();
        assert_eq!(told_of, [told], "{text}");
    }
    let whole = format!(r#"{{{named},"spec":{{"order":1000000,"defaultAction":"Deny"}}}}"#);
    let key = Key { kind: Kind::Tier, namespace: String::new(), name: "default".to_owned() };
    assert!(Item::read_stored(&key, whole.as_bytes()).1.is_empty());
}

#[test]
fn a_network_set_whose_spec_cannot_be_read_keeps_its_labels_and_every_net_may_be_its_own() {
    let key = Key::cluster(Kind::GlobalNetworkSet, "x");
    let named = r#""metadata":{"name":"x","labels":{"a":"b"}}"#;
    for spec in [
        r#","spec":"x""#,
        r#","spec":null"#,
        r#","spec":[]"#,
        r#","spec":{},"spec":{}"#,
        "",
        r#","spec":{"netz":["10.0.0.0/8"]}"#,
    ] {
        let (item, invalid) = Item::read_stored(&key, format!("{{{named}{spec}}}").as_bytes());
        let Item::NetworkSet(set) = item else { panic!("{spec}: {item:?}") };
        assert!(set.incomplete && set.nets.is_empty() && set.labels.contains_key("a"), "{spec}: {set:?}");
        assert_eq!(invalid.len(), 1, "{spec}: {invalid:?}");
        assert!(invalid[0].to_string().starts_with("spec"), "{invalid:?}");
    }
    let (item, _) = Item::read_stored(&key, br#"{"metadata":{"labels":7},"spec":7}"#);
    assert_eq!(item, Item::Nothing, "any set");
}

#[test]
fn labels_of_an_object_without_metadata_are_unreadable() {
    let host = r#""spec":{"node":"n","interfaceName":"eth0"}"#;
    let workload = r#""spec":{"orchestrator":"cni","workload":"w","node":"n","endpoint":"eth0","containerID":"c","interfaceName":"cali1","ipNetworks":["10.0.0.1/32"]}"#;
    for (kind, spec) in
        [(Kind::HostEndpoint, host), (Kind::WorkloadEndpoint, workload), (Kind::GlobalNetworkSet, r#""spec":{}"#)]
    {
        let key = Key { kind, namespace: String::new(), name: "x".to_owned() };
        for (metadata, is_told) in [
            ("", true),
            (r#""metadata":{},"#, true),
            (r#""metadata":{"uid":"u"},"#, true),
            (r#""metadata":{"name":"x"},"#, false),
            (r#""metadata":{"labels":{"a":"b"}},"#, false),
        ] {
            let (_, invalid) = Item::read_stored(&key, format!("{{{metadata}{spec}}}").as_bytes());
            let told: Vec<_> = invalid.iter().map(|why| why.path.to_string()).collect();
            assert_eq!(told, if is_told { &["metadata.labels"][..] } else { &[] }, "{kind:?} {metadata}");
        }
    }
}

/// A spec for each field of a shape, and for each field of its records, with that field alone.
fn with_each_field(shape: &Shape, around: &dyn Fn(&str) -> String) -> Vec<String> {
    match &shape.form {
        Form::List(one) => with_each_field(one, &|inner| around(&format!("[{inner}]"))),
        Form::Record(record) => {
            let of = |field: &Field| {
                let with = |inner: &str| around(&format!(r#"{{"{}":{inner}}}"#, field.name));
                [vec![with("null")], with_each_field(&field.shape, &with)].concat()
            };
            record.fields.iter().flat_map(of).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_field_of_policies_and_rules_that_the_kinds_have_is_known() {
    for kind in
        [Kind::NetworkPolicy, Kind::GlobalNetworkPolicy, Kind::StagedNetworkPolicy, Kind::StagedGlobalNetworkPolicy]
    {
        let spec = tortie_api::kinds::shape(kind).record().unwrap().field("spec").unwrap();
        for spec in with_each_field(&spec.shape, &|spec| spec.to_owned()) {
            let (_, reasons) = read(kind, &spec);
            assert!(!reasons.iter().any(|reason| reason.contains(UNKNOWN_FIELD)), "{kind} {spec}: {reasons:?}");
        }
    }
}

#[test]
fn values_that_are_too_large_are_told_as_that() {
    let key = Key::cluster(Kind::GlobalNetworkPolicy, "x");
    let reasons = |spec: &str| -> Vec<String> {
        let text = format!(r#"{{"metadata":{{"name":"x"}},"spec":{spec}}}"#);
        Stored::read(&key, text.as_bytes()).invalid.iter().map(ToString::to_string).collect()
    };
    let nets =
        format!(r#"{{"ingress":[{{"action":"Allow","source":{{"nets":[{}"::/0"]}}}}]}}"#, "\"::/0\",".repeat(200_000));
    let deep = format!(r#"{{"selector":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    for (spec, part) in [
        (r#"{"order":1e400}"#, "spec.order: the number is too large"),
        (r#"{"ingress":[{"action":"Allow","source":{"nets":[1e400]}}]}"#, "the number is too large"),
        (r#"{"egress":1e400}"#, "spec.egress[0]: the number is too large"),
        (r#"{"selector":"\ud800"}"#, "spec.selector: the text has bytes or escapes"),
        (&deep, "spec.selector: the value is nested too deep"),
        (&nets, "it is too large: to read an object of this size may take at most "),
        (r#"{"selector":[null]}"#, "spec.selector: expected a text, found a list"),
    ] {
        let reasons = reasons(spec);
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:?}");
        let false_ones = ["found null", "found a list"].iter().filter(|text| !part.contains(**text));
        for text in false_ones {
            assert!(!reasons.iter().any(|reason| reason.contains(text)), "{reasons:?}");
        }
    }
}

#[test]
fn every_valid_object_is_read_as_a_whole() {
    for seed in 0..400 {
        for kind in Kind::ALL {
            let object = generate::object(*kind, &mut Random::new(seed));
            let bytes = tortie_api::encode::stored(&object);
            let (_, invalid) = Item::read_stored(&object.key(), &bytes);
            assert!(invalid.is_empty(), "seed {seed}: {}\n{invalid:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
