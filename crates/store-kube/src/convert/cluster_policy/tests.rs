use serde_json::{Value, json};

use tortie_store::Effect;

use super::*;

fn converted(spec: &Value) -> Option<(Value, Vec<String>)> {
    let mut whole = json!({ "tier": "Admin", "priority": 7, "subject": { "namespaces": {} } });
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    let source = json!({ "metadata": { "name": "lock", "resourceVersion": "9" }, "spec": whole });
    let converted = global_network_policy(&serde_json::from_value(source).unwrap()).unwrap()?;
    Some((
        serde_json::from_slice(&tortie_api::encode::stored(&converted.object)).unwrap(),
        converted.warnings.into_iter().map(|one| one.text).collect(),
    ))
}

/// What the warnings mean for the policy.
fn effects(spec: &Value) -> Vec<Effect> {
    let mut whole = json!({ "tier": "Admin", "priority": 7, "subject": { "namespaces": {} } });
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let source = serde_json::from_value(json!({ "metadata": { "name": "lock" }, "spec": whole })).unwrap();
    global_network_policy(&source).unwrap().unwrap().warnings.into_iter().map(|one| one.effect).collect()
}

const PODS: &str = "projectcalico.org/orchestrator == 'k8s'";

#[test]
fn a_cluster_policy_is_a_global_policy_of_its_tier_at_its_priority() {
    let rule = json!({ "name": "no one", "action": "Deny", "from": [{ "namespaces": {} }] });
    let (policy, warnings) = converted(&json!({ "ingress": [rule] })).unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(
        policy,
        json!({ "kind": "KubernetesClusterNetworkPolicy", "apiVersion": "projectcalico.org/v3",
            "metadata": { "name": "lock" },
            "spec": { "tier": "kube-admin", "order": 7,
                "ingress": [{ "action": "Deny", "source": { "selector": PODS, "namespaceSelector": "all()" },
                    "metadata": { "annotations": { "name": "no one" } } }],
                "selector": PODS, "types": ["Ingress"], "namespaceSelector": "all()" } })
    );
}

#[test]
fn tiers_and_subjects_that_are_not_known_count_as_deleted() {
    let labels = json!({ "matchLabels": { "a": "b" } });
    let both = json!({ "namespaceSelector": labels, "podSelector": labels });
    for (spec, expected) in [
        (json!({ "tier": "Baseline" }), Some(["kube-baseline", PODS, "all()"])),
        (json!({ "tier": "Other" }), None),
        (json!({ "subject": {} }), None),
        (json!({ "subject": { "namespaces": labels } }), Some(["kube-admin", PODS, "a == 'b'"])),
        (
            json!({ "subject": { "pods": both } }),
            Some(["kube-admin", "projectcalico.org/orchestrator == 'k8s' && a == 'b'", "a == 'b'"]),
        ),
    ] {
        let found = converted(&spec).map(|(policy, _)| {
            ["tier", "selector", "namespaceSelector"].map(|field| policy["spec"][field].as_str().unwrap().to_owned())
        });
        assert_eq!(found, expected.map(|it| it.map(str::to_owned)), "{spec}");
    }
}

#[test]
fn actions_protocols_and_peers_are_converted() {
    let to = json!([{ "networks": ["10.0.0.7/8", "fd00::/8"] }]);
    let rule = |action: &str, protocols: Value| {
        let rule = json!({ "action": action, "to": to, "protocols": protocols });
        converted(&json!({ "egress": [rule] })).unwrap().0["spec"].clone()
    };
    for (action, expected) in [("Accept", "Allow"), ("Deny", "Deny"), ("Pass", "Pass")] {
        let spec = rule(action, json!([]));
        assert_eq!(spec["types"], json!(["Egress"]));
        assert_eq!(
            spec["egress"],
            json!([{ "action": expected, "destination": { "nets": ["10.0.0.0/8", "fd00::/8"] } }])
        );
    }
    for (protocols, expected) in [
        (
            json!([{ "udp": { "destinationPort": { "number": 53 } } }, { "tcp": {} }]),
            json!([["TCP", null], ["UDP", [53]]]),
        ),
        (json!([{ "sctp": { "destinationPort": { "range": { "start": 1, "end": 9 } } } }]), json!([["SCTP", ["1:9"]]])),
        (json!([{ "destinationNamedPort": "http" }]), json!([[null, ["http"]]])),
        (json!([{ "tcp": {} }, {}]), json!([[null, null]])),
    ] {
        let spec = rule("Accept", protocols.clone());
        let rules = spec["egress"].as_array().unwrap().iter();
        let found: Vec<Value> = rules.map(|rule| json!([rule["protocol"], rule["destination"]["ports"]])).collect();
        assert_eq!(json!(found), expected, "{protocols}");
    }
}

#[test]
fn rules_that_cannot_be_read_never_allow_more() {
    let bad = [
        json!({ "from": [{}] }),
        json!({ "from": [] }),
        json!({ "from": [{ "networks": ["10.0.0.0/8"] }] }),
        json!({ "from": [{ "nodes": {} }] }),
        // What is not known may narrow what it stands beside.
        json!({ "from": [{ "namespaces": {} }], "protocols": [{ "icmp": {} }] }),
        json!({ "from": [{ "namespaces": {} }], "protocols": [{}, { "tcp": { "sourcePort": { "number": 1 } } }] }),
        json!({ "from": [{ "namespaces": {}, "nodes": {} }] }),
        json!({ "from": [{ "namespaces": { "matchFields": {} } }] }),
        json!({ "from": [{ "namespaces": {} }], "schedule": "at night" }),
        // Of several only one was meant to stand there.
        json!({ "from": [{ "namespaces": {}, "pods": {} }] }),
        json!({ "from": [{ "namespaces": {} }], "protocols": [{ "tcp": {}, "udp": {} }] }),
        json!({ "from": [{ "namespaces": {} }], "protocols": [{ "tcp": {}, "destinationNamedPort": "http" }] }),
        json!({ "from": [{ "namespaces": {} }], "protocols": [{ "tcp": { "destinationPort": { "number": 1, "range": { "start": 1, "end": 9 } } } }] }),
        // Selectors that would be others as a text.
        json!({ "from": [{ "namespaces": { "matchLabels": { "a": "b' || 'c' == 'c" } } }] }),
        json!({ "from": [{ "pods": { "podSelector": { "matchLabels": { "a == 'b' || b": "c" } } } }] }),
        json!({ "from": [{ "namespaces": { "matchExpressions": [{ "key": "a", "operator": "Gt", "values": ["1"] }] } }] }),
        // Wrong types spoil their own rule only.
        json!({ "from": "all" }),
        json!({ "from": [{ "namespaces": {} }], "protocols": [{ "tcp": { "destinationPort": { "number": 70000 } } }] }),
        json!({ "from": [{ "namespaces": {} }], "protocols": [{ "tcp": { "destinationPort": {} } }] }),
        json!({ "from": [{ "namespaces": {} }], "protocols": [{ "tcp": { "destinationPort": { "range": { "start": 9, "end": 1 } } } }] }),
    ];
    for rule in bad {
        for (action, expected) in [
            ("Accept", json!(null)),
            ("Deny", json!([{ "action": "Deny" }])),
            ("Pass", json!([{ "action": "Deny" }])),
            ("Other", json!([{ "action": "Deny" }])),
        ] {
            let mut rule = rule.clone();
            rule["action"] = json!(action);
            let (policy, warnings) = converted(&json!({ "ingress": [rule] })).unwrap();
            assert_eq!(policy["spec"]["ingress"], expected, "{rule}");
            assert_eq!(policy["spec"]["types"], json!(["Ingress"]));
            assert_eq!(warnings.len(), 1, "{rule}");
        }
    }
}

#[test]
fn a_subject_that_cannot_be_read_leaves_what_the_policy_denies() {
    for (spec, field) in [
        (json!({ "subject": "all" }), "subject"),
        (json!({ "subject": { "namespaces": {}, "pods": {} } }), "subject"),
        (json!({ "subject": { "namespaces": {}, "nodes": {} } }), "subject"),
        (json!({ "subject": { "namespaces": { "matchExpressions": [{ "key": "a", "operator": "in" }] } } }), "subject"),
        (json!({ "nodeSelector": {} }), "nodeSelector"),
    ] {
        let (policy, warnings) = converted(&spec).unwrap();
        // A selector that is no text is unreadable, and pods are all that it can be about.
        assert_eq!(
            (policy["spec"]["selector"].as_str(), policy["spec"]["namespaceSelector"].as_str()),
            (Some(PODS), None)
        );
        assert!(policy["spec"]["namespaceSelector"].get(field).is_some(), "{policy}");
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        let expected = format!("`spec.{field}` cannot be read, so only what the policy denies counts: ");
        assert!(warning.starts_with(&expected), "{warning}");
    }
    let (policy, warnings) = converted(&json!({ "performance": {} })).unwrap();
    assert_eq!(policy["spec"]["namespaceSelector"], "all()");
    assert_eq!(warnings, ["`spec.performance` is not known, and ignored"]);
    assert_eq!(effects(&json!({ "performance": {} })), [Effect::Ignored]);
    assert_eq!(effects(&json!({ "nodeSelector": {} })), [Effect::Unreadable]);
    assert_eq!(effects(&json!({ "ingress": [{ "action": "Accept" }, { "action": "Deny" }] })), [Effect::Unreadable; 2]);
}
