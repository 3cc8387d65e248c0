use serde_json::{Value, json};

use super::*;

fn converted(spec: &Value) -> (Value, Vec<String>) {
    let source = json!({ "metadata": { "name": "db", "namespace": "shop", "resourceVersion": "9",
        "uid": "30316465-6365-4463-ad63-3564622d3638" }, "spec": spec });
    let converted = network_policy(&serde_json::from_value(source).unwrap()).unwrap();
    assert_eq!(converted.object.metadata.resource_version, "9");
    (
        serde_json::from_slice(&tortie_api::encode::stored(&converted.object)).unwrap(),
        converted.warnings.into_iter().map(|one| one.text).collect(),
    )
}

/// The rules of one direction, of a policy that can be read as a whole.
fn rules(direction: &str, rule: &Value) -> Value {
    let (policy, warnings) = converted(&json!({ direction: [rule], "policyTypes": ["Ingress", "Egress"] }));
    assert_eq!(warnings, [""; 0]);
    policy["spec"][direction].clone()
}

#[test]
fn a_policy_is_in_the_default_tier_at_order_1000() {
    let (policy, warnings) = converted(&json!({ "podSelector": { "matchLabels": { "app": "db" } } }));
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        policy,
        json!({ "kind": "KubernetesNetworkPolicy", "apiVersion": "projectcalico.org/v3",
            "metadata": { "name": "db", "namespace": "shop",
                "uid": "0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c" },
            "spec": { "tier": "default", "order": 1000,
                "selector": "projectcalico.org/orchestrator == 'k8s' && app == 'db'", "types": ["Ingress"] } })
    );
}

#[test]
fn types_are_those_that_are_named_in_their_order() {
    for (types, expected) in [
        (json!(null), json!(["Ingress"])),
        (json!([]), json!(["Ingress"])),
        (json!(["Egress"]), json!(["Egress"])),
        (json!(["Egress", "Ingress"]), json!(["Ingress", "Egress"])),
    ] {
        assert_eq!(converted(&json!({ "policyTypes": types })).0["spec"]["types"], expected, "{types}");
    }
}

#[test]
fn converted_selectors_select_the_same() {
    let pods = "projectcalico.org/orchestrator == 'k8s'";
    let expression = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "k", "operator": operator, "values": values }] });
    for (selector, expected) in [
        (json!({}), ""),
        (json!({ "matchLabels": { "b": "2", "a": "1" } }), "a == '1' && b == '2'"),
        (expression("In", json!(["x", "y"])), "k in { 'x', 'y' }"),
        (expression("NotIn", json!(["x"])), "k not in { 'x' }"),
        (expression("Exists", json!([])), "has(k)"),
        (expression("DoesNotExist", json!([])), "! has(k)"),
    ] {
        let joined = if expected.is_empty() { pods.to_owned() } else { format!("{pods} && {expected}") };
        assert_eq!(converted(&json!({ "podSelector": selector })).0["spec"]["selector"], json!(joined));
        let peer = |peer: Value| rules("ingress", &json!({ "from": [peer] }))[0]["source"].clone();
        assert_eq!(peer(json!({ "podSelector": selector })), json!({ "selector": joined }));
        let namespaces = if expected.is_empty() { "all()" } else { expected };
        assert_eq!(
            peer(json!({ "namespaceSelector": selector })),
            json!({ "selector": pods, "namespaceSelector": namespaces })
        );
        assert_eq!(
            peer(json!({ "namespaceSelector": selector, "podSelector": selector })),
            json!({ "selector": joined, "namespaceSelector": namespaces })
        );
    }
}

#[test]
fn peers_are_sources_of_ingress_and_destinations_of_egress() {
    let block = json!({ "ipBlock": { "cidr": "10.0.0.7/8", "except": ["10.1.2.3/16"] } });
    let nets = json!({ "nets": ["10.0.0.0/8"], "notNets": ["10.1.0.0/16"] });
    assert_eq!(rules("ingress", &json!({})), json!([{ "action": "Allow" }]));
    assert_eq!(rules("egress", &json!({ "to": [] })), json!([{ "action": "Allow" }]));
    assert_eq!(rules("ingress", &json!({ "from": [block] })), json!([{ "action": "Allow", "source": nets }]));
    assert_eq!(rules("egress", &json!({ "to": [block] })), json!([{ "action": "Allow", "destination": nets }]));
    let ports = json!([{ "port": 80 }]);
    assert_eq!(
        rules("ingress", &json!({ "from": [block], "ports": ports })),
        json!([{ "action": "Allow", "protocol": "TCP", "source": nets, "destination": { "ports": [80] } }])
    );
    assert_eq!(
        rules("egress", &json!({ "to": [block], "ports": ports })),
        json!([{ "action": "Allow", "protocol": "TCP",
            "destination": { "nets": ["10.0.0.0/8"], "ports": [80], "notNets": ["10.1.0.0/16"] } }])
    );
}

#[test]
fn ports_are_grouped_by_protocol_in_ranges_with_names_first() {
    for (ports, expected) in [
        (json!([{ "protocol": "UDP" }]), json!([["UDP", null]])),
        (
            json!([{ "port": 80, "protocol": "TCP" }, { "port": 53, "protocol": "UDP" }]),
            json!([["TCP", [80]], ["UDP", [53]]]),
        ),
        (json!([{ "port": 53, "protocol": "UDP" }, { "port": 80 }]), json!([["TCP", [80]], ["UDP", [53]]])),
        (json!([{ "port": 80 }, { "protocol": "TCP" }, { "port": 81 }]), json!([["TCP", null]])),
        (json!([{ "port": 80, "endPort": 90 }]), json!([["TCP", ["80:90"]]])),
        (json!([{ "port": 80, "endPort": 80 }]), json!([["TCP", [80]]])),
        (json!([{ "port": 80 }, { "port": "http" }]), json!([["TCP", [80, "http"]]])),
        (json!([{ "port": 81 }, { "port": "http" }, { "port": 80 }]), json!([["TCP", ["http", "80:81"]]])),
        (json!([{ "port": 90 }, { "port": 80 }, { "port": 90 }]), json!([["TCP", [80, 90]]])),
        (
            json!([{ "port": 100, "endPort": 200 }, { "port": 150, "endPort": 300 }, { "port": 65535 }]),
            json!([["TCP", ["100:300", 65535]]]),
        ),
        (json!([{ "port": "80" }]), json!([["TCP", [80]]])),
    ] {
        let found: Vec<Value> = rules("ingress", &json!({ "ports": ports }))
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| json!([rule["protocol"], rule["destination"]["ports"]]))
            .collect();
        assert_eq!(json!(found), expected, "{ports}");
    }
}

#[test]
fn there_is_a_rule_for_each_protocol_and_peer() {
    let peer = |name: &str| json!({ "podSelector": { "matchLabels": { "a": name } } });
    let rule = json!({ "from": [peer("x"), peer("y")], "ports": [{ "protocol": "UDP" }, { "protocol": "TCP" }] });
    let rules = rules("ingress", &rule);
    let found: Vec<String> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| format!("{} {}", rule["protocol"], rule["source"]["selector"].as_str().unwrap().contains("'x'")))
        .collect();
    assert_eq!(found, ["\"TCP\" true", "\"TCP\" false", "\"UDP\" true", "\"UDP\" false"]);
}

#[test]
fn rules_that_cannot_be_read_allow_nothing() {
    for (rule, reason) in [
        (json!({ "ports": [{ "port": 90, "endPort": 80 }] }), "90"),
        (
            json!({ "ports": [{ "port": "http", "endPort": 80 }] }),
            "the port `http` cannot be followed by the last port 80",
        ),
        (json!({ "ports": [{ "port": 70000 }] }), "70000"),
        (json!({ "ports": [{ "port": 80, "endPort": 70000 }] }), "`endPort`: 70000 is not a port number"),
        (json!({ "ports": [{ "port": "a b" }] }), "a b"),
        (
            json!({ "from": [{ "ipBlock": { "cidr": "010.0.0.0/8" } }] }),
            "`010.0.0.0/8` in `ipBlock.cidr` is not a CIDR",
        ),
        (json!({ "from": [{ "ipBlock": { "cidr": "10.0.0.1" } }] }), "`10.0.0.1` in `ipBlock.cidr` is not a CIDR"),
        (
            json!({ "from": [{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["nope"] } }] }),
            "`nope` in `ipBlock.except` is not a CIDR",
        ),
        // A later API server may have fields that narrow a rule.
        (json!({ "from": [{ "nodeSelector": {} }] }), "the field `from.nodeSelector` is not known"),
        (json!({ "ports": [{ "port": 80, "sourcePort": 1 }] }), "the field `ports.sourcePort` is not known"),
        (json!({ "schedule": {} }), "the field `schedule` is not known"),
        (
            json!({ "from": [{ "podSelector": { "matchExpressions": [{ "key": "a", "operator": "Gt", "values": ["1"] }] } }] }),
            "`Gt` is not an operator of selectors",
        ),
        // Kept by an API server from the time when it did not look at values.
        (
            json!({ "from": [{ "podSelector": { "matchLabels": { "a": "it's" } } }] }),
            "`it's` cannot be the value of a label",
        ),
    ] {
        let (policy, warnings) = converted(&json!({ "ingress": [{}, rule] }));
        assert_eq!(policy["spec"]["ingress"], json!([{ "action": "Allow" }]), "{rule}");
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(warning.starts_with("ingress rule 2 is left out, and so allows nothing: "), "{warning}");
        assert!(warning.contains(reason), "{warning}");
    }
}

#[test]
fn a_selector_that_cannot_be_read_leaves_what_the_policy_denies() {
    for (spec, field) in [
        (json!({ "podSelector": { "matchLabels": { "a": "it's" } } }), "podSelector"),
        (json!({ "podSelector": { "matchFields": {} } }), "podSelector"),
        (json!({ "podSelector": "all" }), "podSelector"),
        (json!({ "serviceAccountSelector": {} }), "serviceAccountSelector"),
    ] {
        let (policy, warnings) = converted(&spec);
        assert!(policy["spec"]["selector"].get(field).is_some(), "a selector that is no text is unreadable: {policy}");
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        let expected = format!("`spec.{field}` cannot be read, so only what the policy denies counts: ");
        assert!(warning.starts_with(&expected), "{warning}");
    }
}
