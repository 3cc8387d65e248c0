//! What other programs have written, and what is left of it.

use serde_json::json;

use super::*;
use crate::encode;

fn read(kind: Kind, text: &str) -> Result<Object, DecodeError> {
    let namespace = if kind.namespaced() { "ns" } else { "" };
    stored(&Key { kind, namespace: namespace.into(), name: "x".into() }, text.as_bytes())
}

fn spec(kind: Kind, text: &str) -> Value {
    read(kind, &format!(r#"{{"spec":{text}}}"#)).unwrap().body["spec"].clone()
}

fn problem(text: &str) -> String {
    let error = read(Kind::HostEndpoint, text).unwrap_err();
    assert_eq!(error.key().name, "x");
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn field_names_match_in_any_case() {
    let hep = read(Kind::HostEndpoint, r#"{"Metadata":{"LABELS":{"A":"b"}},"SPEC":{"InterfaceName":"eth0"}}"#).unwrap();
    assert_eq!(hep.metadata.labels["A"], "b");
    assert_eq!(hep.body["spec"], json!({ "interfaceName": "eth0" }));
    // The long s and the Kelvin sign fold too.
    assert_eq!(spec(Kind::HostEndpoint, "{\"profile\u{17f}\":[\"p\"]}"), json!({ "profiles": ["p"] }));
}

#[test]
fn of_a_key_that_appears_twice_the_last_value_is_shown_as_by_calico() {
    assert_eq!(spec(Kind::HostEndpoint, r#"{"node":"a","Node":"b"}"#), json!({ "node": "b" }));
    assert_eq!(spec(Kind::HostEndpoint, r#"{"node":"a","node":null}"#), json!({ "node": "a" }));
}

#[test]
fn settings_have_null_for_a_key_that_appears_twice_and_only_there() {
    let text = concat!(
        r#"{"metadata":{"labels":{"a":"1","a":"1"},"uid":"x","uid":"y"},"#,
        r#""spec":{"logPrefix":"a","LogPrefix":"b","vxlanPort":null,"VXLANPort":1,"ipipEnabled":null,"usageReportingEnabled":true}}"#
    );
    let mut paths = Vec::new();
    let key = Key::cluster(Kind::FelixConfiguration, "default");
    let object = without_repeats(&key, text.as_bytes(), 10_000, &mut |path, _| paths.push(path.to_string())).unwrap();
    let spec = json!({ "logPrefix": null, "vxlanPort": null, "usageReportingEnabled": true });
    assert_eq!(object.body["spec"], spec);
    assert_eq!(object.metadata.other["labels"], json!({ "a": null }));
    assert_eq!(object.metadata.uid, "y", "it decides nothing");
    assert_eq!(paths, ["metadata.labels.a", "spec.logPrefix", "spec.vxlanPort"]);
    let twice = without_repeats(&key, br#"{"spec":{},"Spec":{}}"#, 10_000, &mut |_, _| {}).unwrap_err();
    assert!(matches!(twice, DecodeError::NotAnObject { .. }));
    let many = format!(r#"{{"spec":{{"failsafeInboundHostPorts":[{}]}}}}"#, ["{}"; 1_000].join(","));
    let object = without_repeats(&key, many.as_bytes(), 10_000, &mut |_, _| {}).unwrap();
    let list = object.body["spec"]["failsafeInboundHostPorts"].as_array().unwrap();
    assert!(list.len() < 200 && list.last() == Some(&Value::Null), "{}", list.len());
}

#[test]
fn null_is_an_absent_field_and_an_empty_item_of_a_list() {
    assert_eq!(spec(Kind::HostEndpoint, r#"{"node":null,"ports":[null],"profiles":[null]}"#), {
        json!({ "ports": [{}], "profiles": [""] })
    });
    assert_eq!(read(Kind::HostEndpoint, r#"{"metadata":null,"spec":null}"#).unwrap().body, Map::new());
}

#[test]
fn unknown_fields_are_kept_everywhere() {
    let text = concat!(
        r#"{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","#,
        r#""metadata":{"name":"x","namespace":"ns","clusterName":"c"},"#,
        r#""spec":{"ports":[{"name":"","protocol":"TCP","port":1,"hostPort":0,"hostIP":"","via":"y"}],"#,
        r#""allowedIps":["1.2.3.4"]},"more":{"a":null}}"#
    );
    let wep = read(Kind::WorkloadEndpoint, text).unwrap();
    assert_eq!(wep.metadata.other, json!({ "clusterName": "c" }).as_object().unwrap().clone());
    assert_eq!(String::from_utf8(encode::stored(&wep)).unwrap(), text);
}

#[test]
fn values_of_a_wrong_type_are_kept() {
    let hep = read(Kind::HostEndpoint, r#"{"spec":{"node":7,"ports":"none"}}"#).unwrap();
    assert_eq!(hep.body["spec"], json!({ "node": 7, "ports": "none" }));
    assert!(hep.spec::<crate::kinds::host_endpoint::HostEndpointSpec>().is_err());
}

#[test]
fn an_empty_source_or_destination_of_older_releases_is_no_difference() {
    let text = r#"{"ingress":[{"action":"Allow","source":{},"destination":{}}]}"#;
    let profile = read(Kind::Profile, &format!(r#"{{"spec":{text}}}"#)).unwrap();
    let again = String::from_utf8(encode::stored(&profile)).unwrap();
    assert!(again.ends_with(r#""spec":{"ingress":[{"action":"Allow"}]}}"#), "{again}");
}

#[test]
fn the_flag_of_a_block_affinity_is_text_in_stores() {
    assert_eq!(spec(Kind::BlockAffinity, r#"{"deleted":"true"}"#), json!({ "deleted": true }));
    assert_eq!(spec(Kind::BlockAffinity, r#"{"deleted":"false"}"#), json!({ "deleted": false }));
    assert_eq!(spec(Kind::BlockAffinity, r#"{"deleted":true}"#), json!({ "deleted": true }));
}

#[test]
fn the_key_names_the_object_whatever_the_value_says() {
    let np = read(Kind::NetworkPolicy, r#"{"metadata":{"name":"other","namespace":"elsewhere"}}"#).unwrap();
    assert_eq!(np.key(), Key::namespaced(Kind::NetworkPolicy, "ns", "x"));
}

#[test]
fn a_value_that_is_not_an_object_is_an_error_that_names_the_key_and_the_reason() {
    assert_eq!(problem(""), "HostEndpoint(x) is not JSON in the store: EOF while parsing a value at line 1 column 0");
    assert_eq!(problem("{\"a\":\u{0}}"), "HostEndpoint(x) is not JSON in the store: expected value at line 1 column 6");
    assert_eq!(problem("[]"), "HostEndpoint(x) has no object as its value in the store");
    assert_eq!(problem(r#"{"spec":[]}"#), "HostEndpoint(x) has no object as its spec in the store");
    assert_eq!(problem(r#"{"kind":"Tier"}"#), "HostEndpoint(x) holds a \"Tier\" in the store");
}

#[test]
fn metadata_of_a_wrong_type_is_kept_and_the_rest_is_read() {
    let text = concat!(
        r#"{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"x","#,
        r#""labels":{"a":1,"b":"c"},"finalizers":"none"},"spec":{"node":"n"},"status":7}"#
    );
    let mut hep = read(Kind::HostEndpoint, text).unwrap();
    assert_eq!(hep.body["spec"], json!({ "node": "n" }));
    assert_eq!(hep.metadata.other["labels"], json!({ "a": 1, "b": "c" }));
    assert_eq!(String::from_utf8(encode::stored(&hep)).unwrap(), text);
    hep.metadata.labels.insert("a".into(), "1".into());
    assert!(
        String::from_utf8(encode::stored(&hep)).unwrap().contains(r#""labels":{"a":"1"}"#),
        "a new value replaces it"
    );
    assert_eq!(read(Kind::HostEndpoint, r#"{"metadata":7}"#).unwrap().metadata.other["labels"], json!(7));
}

/// What is read for enforcement: the object, its rules, and the keys that appear twice.
fn enforced(kind: Kind, text: &str, room: usize) -> (Object, Vec<(String, Value)>, Vec<String>) {
    let (mut rules, mut repeated) = (Vec::new(), Vec::new());
    let key = Key { kind, namespace: String::new(), name: "x".into() };
    let object = exact(&key, text.as_bytes(), room, &mut |part| {
        match part {
            Part::Item(list, rule) => rules.push((list.to_owned(), rule)),
            Part::Begin(list) => rules.retain(|(name, _)| name != list),
            Part::Damaged(path, Damage::Repeated) => repeated.push(path.to_string()),
            Part::Damaged(..) => {}
        }
        rules.len() < 5
    });
    (object.unwrap(), rules, repeated)
}

#[test]
fn for_enforcement_a_key_that_appears_twice_is_null() {
    let (object, rules, repeated) = enforced(
        Kind::GlobalNetworkPolicy,
        concat!(
            r#"{"metadata":{"annotations":{"a":"1","a":"2"},"labels":{"b":"1","b":"2","c":"3"}},"#,
            r#""spec":{"ORDER":1,"order":1,"tier":null,"tier":"a","selector":"all()","ingress":[{"action":"Deny","#,
            r#""source":{"nets":["::/0"],"nets":[]},"Action":"Allow"},{"source":{},"source":{}}],"#,
            r#""egress":[{"action":"Deny"}],"egress":[{"action":"Allow"}]}}"#
        ),
        10_000,
    );
    let spec = json!({ "order": null, "tier": null, "selector": "all()", "ingress": [], "egress": null });
    assert_eq!(object.body["spec"], spec);
    assert_eq!(object.metadata.annotations["a"], "2");
    assert_eq!(object.metadata.other["labels"], json!({ "b": null, "c": "3" }));
    let of = |list: &str| -> Vec<Value> {
        rules.iter().filter(|(name, _)| name == list).map(|(_, rule)| rule.clone()).collect()
    };
    assert_eq!(of("ingress"), [json!({ "action": null, "source": { "nets": null } }), json!({ "source": null })]);
    let paths = [
        "metadata.labels.b",
        "spec.order",
        "spec.tier",
        "spec.ingress[0].source.nets",
        "spec.ingress[0].action",
        "spec.ingress[1].source",
        "spec.egress",
    ];
    assert_eq!(repeated, paths);
    for (text, path) in [
        (r#"{"spec":{},"spec":{"order":1}}"#, "spec"),
        (r#"{"metadata":{},"Metadata":{"labels":{}}}"#, "metadata"),
        (r#"{"metadata":{"labels":{},"labels":{"a":"b"}}}"#, "metadata.labels"),
    ] {
        let (object, _, repeated) = enforced(Kind::Tier, text, 10_000);
        assert_eq!(repeated, [path]);
        let labels = object.metadata.other.get("labels");
        assert_eq!(object.body.get("spec").or(labels), Some(&Value::Null), "{text}");
    }
}

#[test]
fn for_enforcement_null_stays_null_and_rules_are_passed_one_by_one() {
    let text = concat!(
        r#"{"metadata":{"creationTimestamp":null,"labels":null},"status":{"conditions":null},"#,
        r#""spec":{"order":1e999,"tier":null,"ingress":[{"action":"Allow","source":null},null,7],"types":[null]}}"#
    );
    let (object, rules, _) = enforced(Kind::GlobalNetworkPolicy, text, 10_000);
    let spec = json!({ "order": [null], "tier": null, "ingress": [], "types": [null] });
    assert_eq!(object.body["spec"], spec);
    assert_eq!((object.metadata.other.len(), &object.metadata.other["labels"]), (1, &Value::Null));
    let want = [json!({ "action": "Allow", "source": null }), Value::Null, json!(7)];
    assert_eq!(rules, want.map(|rule| ("ingress".to_owned(), rule)));
    let (object, rules, _) = enforced(Kind::Tier, r#"{"spec":7}"#, 10_000);
    assert_eq!((&object.body["spec"], rules.len()), (&json!(7), 0));
}

#[test]
fn rules_that_are_not_requested_are_skipped() {
    let text = format!(r#"{{"spec":{{"ingress":[{}],"order":1}}}}"#, ["7"; 9].join(","));
    let (object, rules, _) = enforced(Kind::GlobalNetworkPolicy, &text, 10_000);
    assert_eq!((rules.len(), &object.body["spec"]["order"]), (5, &json!(1)));
}

#[test]
fn beyond_the_memory_limit_a_list_ends_with_null_and_a_part_is_null() {
    let nets = |count: usize| (0..count).map(|_| "\"::/0\"").collect::<Vec<_>>().join(",");
    let (object, ..) = enforced(Kind::Profile, &format!(r#"{{"spec":{{"more":[{}]}}}}"#, nets(10_000)), 10_000);
    let list = object.body["spec"]["more"].as_array().unwrap();
    assert!(list.len() < 200 && list.last() == Some(&Value::Null), "{}", list.len());
    let labels = (0..10_000).map(|number| format!(r#""a{number}":"b""#)).collect::<Vec<_>>().join(",");
    let text = format!(r#"{{"spec":{{"labelsToApply":{{{labels}}},"egress":[{{"action":"Deny"}}]}}}}"#);
    let (object, rules, _) = enforced(Kind::Profile, &text, 10_000);
    assert_eq!(object.body["spec"]["labelsToApply"], Value::Null);
    assert_eq!(rules, [("egress".to_owned(), Value::Null)], "a rule that does not fit is not half a rule");
    let (object, ..) = enforced(Kind::Tier, &format!(r#"{{"spec":{{{labels},"order":1}}}}"#), 10_000);
    assert_eq!(object.body["spec"]["order"], json!(1), "an unknown field makes nothing unreadable");
}

#[test]
fn for_enforcement_it_is_told_why_a_value_was_replaced_and_nothing_else_changes() {
    let key = Key { kind: Kind::GlobalNetworkPolicy, namespace: String::new(), name: "x".into() };
    let read = |text: &[u8], room: usize| {
        let (mut damaged, mut items) = (Vec::new(), Vec::new());
        let object = exact(&key, text, room, &mut |part| {
            match part {
                Part::Damaged(path, damage) => damaged.push((path.to_string(), damage)),
                Part::Item(name, value) => items.push((name.to_owned(), value)),
                Part::Begin(_) => {}
            }
            true
        });
        (object.unwrap().body["spec"].clone(), items, damaged)
    };
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let text = format!(
        r#"{{"metadata":{{"name":"x"}},"spec":{{"order":1e400,"selector":"\ud800","tier":[null],"types":[1e999,"Ingress"],"performanceHints":{deep},"ingress":[{{"source":{{"nets":["a",-1e400]}}}}],"egress":1e400}}}}"#
    );
    let (spec, items, damaged) = read(text.as_bytes(), usize::MAX);
    assert_eq!(spec["order"], json!([null]));
    assert_eq!(spec["selector"], json!([null]));
    assert_eq!(spec["tier"], json!([null]), "it is what was written");
    assert_eq!(spec["types"], json!([[null], "Ingress"]));
    let nets = json!({"source": {"nets": ["a", [null]]}});
    assert_eq!(items, [("ingress".to_owned(), nets), ("egress".to_owned(), Value::Null)]);
    let damaged: Vec<_> = damaged.iter().map(|(path, damage)| (path.as_str(), *damage)).collect();
    let deepest = format!("spec.performanceHints{}", "[0]".repeat(124));
    assert_eq!(
        damaged,
        [
            ("spec.order", Damage::Number),
            ("spec.selector", Damage::Text),
            ("spec.types[0]", Damage::Number),
            (deepest.as_str(), Damage::Nested),
            ("spec.ingress[0].source.nets[1]", Damage::Number),
            ("spec.egress[0]", Damage::Number),
        ]
    );
    let many = format!(r#"{{"spec":{{"types":[{}"x"]}}}}"#, "\"x\",".repeat(1_000));
    let (spec, _, damaged) = read(many.as_bytes(), 10_000);
    let list = spec["types"].as_array().unwrap();
    assert!(list.len() < 500 && list.last() == Some(&Value::Null));
    assert_eq!(damaged, [(format!("spec.types[{}]", list.len() - 1), Damage::TooLarge(10_000))]);
}
