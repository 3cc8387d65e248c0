//! Fields that other programs wrote and that we do not know.

use tortie_manifest::Severity;

use super::*;

fn key() -> Key {
    hep("h1").key()
}

/// A stored endpoint with unknown fields in the spec, in an item of a list and beside the spec.
fn with_unknown() -> (Client, Arc<Spy>) {
    let (client, spy) = ready();
    let mut given = hep("h1");
    given.body["spec"]["ports"] = json!([
        { "name": "a", "protocol": "TCP", "port": 1 }, { "name": "b", "protocol": "TCP", "port": 2 }]);
    put(&client, given, Mode::Create);
    let mut json = stored(&spy, &key());
    json["spec"]["allowedIps"] = json!(["1.1.1.1"]);
    json["spec"]["ports"][1]["future"] = json!({ "x": 1 });
    json["metadata"]["later"] = json!({ "y": [2] });
    json["extra"] = json!(7);
    raw(&spy, &key(), &json);
    (client, spy)
}

fn warnings(done: &Done) -> Vec<String> {
    let unknown = done.notes.iter().filter(|note| note.severity == Severity::Warning("unknown-field-kept"));
    unknown.map(|note| note.path.to_string()).collect()
}

fn endpoint(node: &str, ports: Value) -> Object {
    let mut given = hep("h1");
    given.body["spec"]["node"] = json!(node);
    given.body["spec"]["ports"] = ports;
    given
}

#[test]
fn unknown_fields_are_kept_by_replace_patch_and_label_with_one_warning() {
    let (client, spy) = with_unknown();
    let same = json!([{ "name": "a", "protocol": "TCP", "port": 1 }, { "name": "b", "protocol": "TCP", "port": 2 }]);
    let check = |node: &str| {
        let json = stored(&spy, &key());
        assert_eq!(json["spec"]["node"], node);
        assert_eq!(json["spec"]["allowedIps"], json!(["1.1.1.1"]));
        assert_eq!(json["spec"]["ports"][1]["future"], json!({ "x": 1 }));
        assert_eq!(json["metadata"]["later"], json!({ "y": [2] }));
        assert_eq!(json["extra"], 7);
    };
    assert_eq!(put(&Client::new(spy.clone()), endpoint("n1", same.clone()), Mode::Apply), "Unchanged");
    let done = client.apply(vec![endpoint("n2", same.clone())], Mode::Replace).remove(0).result.unwrap();
    assert_eq!(done.change, Change::Changed);
    let mut fields = warnings(&done);
    fields.sort();
    assert_eq!(fields, ["extra", "metadata.later", "spec.allowedIps", "spec.ports[1].future"]);
    check("n2");
    let done = client.apply(vec![endpoint("n3", same)], Mode::Apply).remove(0).result.unwrap();
    assert!(warnings(&done).is_empty(), "once");
    check("n3");
    client.patch(&key(), r#"{"spec":{"node":"n4"}}"#).unwrap();
    check("n4");
    let set = LabelChange::Set { key: "a".into(), value: "b".into(), overwrite: false };
    client.label(&key(), &[set]).unwrap();
    check("n4");
}

#[test]
fn an_item_keeps_its_unknown_fields_wherever_it_moves_and_a_changed_one_loses_them() {
    let (client, spy) = with_unknown();
    let b = json!({ "name": "b", "protocol": "TCP", "port": 2 });
    let swapped = json!([b, { "name": "z", "protocol": "TCP", "port": 9 }]);
    put(&client, endpoint("n1", swapped), Mode::Replace);
    let ports = stored(&spy, &key())["spec"]["ports"].clone();
    assert_eq!(ports[0]["future"], json!({ "x": 1 }));
    assert!(ports[1].get("future").is_none());
    put(&client, endpoint("n1", json!([{ "name": "b", "protocol": "TCP", "port": 3 }])), Mode::Replace);
    assert!(stored(&spy, &key())["spec"]["ports"][0].get("future").is_none());
}

#[test]
fn a_patch_cannot_name_an_unknown_field_even_where_one_is_stored() {
    let (client, _) = with_unknown();
    let text = said(&client.patch(&key(), r#"{"spec":{"allowedIps":[]}}"#));
    assert_eq!(text, "field in document is not recognized or is in the wrong location: allowedIps");
}

#[test]
fn an_object_with_a_key_that_appears_twice_is_shown_and_replaced_but_not_edited() {
    let (client, spy) = with_unknown();
    let text = stored(&spy, &key()).to_string();
    let twice = text.replace(r#""node":"#, r#""Node":"elsewhere","node":"#);
    assert_ne!(text, twice);
    raw_text(&spy, &key(), &twice);
    assert_eq!(client.get(&key()).unwrap().object.body["spec"]["node"], json!("n1"));
    let set = LabelChange::Set { key: "a".into(), value: "b".into(), overwrite: false };
    for error in [
        client.label(&key(), &[set]).unwrap_err(),
        client.patch(&key(), r#"{"metadata":{"labels":{"a":"b"}}}"#).unwrap_err(),
    ] {
        assert!(error.to_string().contains("spec.node appears twice"), "{error}");
    }
    put(&client, endpoint("n2", json!([])), Mode::Replace);
    assert_eq!(stored(&spy, &key())["spec"]["node"], json!("n2"));
}

#[test]
fn an_object_with_a_null_that_cannot_be_read_is_not_edited_since_the_edit_would_widen_the_rule() {
    for field in ["protocol", "source"] {
        let (client, spy) = with_unreadable_rule(&|rule| rule[field] = Value::Null);
        let key = rules(1).key();
        let before = stored(&spy, &key);
        let set = LabelChange::Set { key: "a".into(), value: "b".into(), overwrite: false };
        for error in
            [client.label(&key, &[set]).unwrap_err(), client.patch(&key, r#"{"spec":{"order":7}}"#).unwrap_err()]
        {
            let expected = format!("spec.ingress[1].{field} is null in the stored object");
            assert!(error.to_string().contains(&expected), "{error}");
        }
        assert_eq!(stored(&spy, &key), before);
        put(&client, rules(5432), Mode::Replace);
        client.patch(&key, r#"{"spec":{"order":7}}"#).unwrap();
    }
    // In a pool it is absence.
    let (client, spy) = ready();
    let pool = object(json!({ "kind": "IPPool", "metadata": { "name": "p" }, "spec": { "cidr": "10.0.0.0/16" } }));
    put(&client, pool.clone(), Mode::Create);
    let mut json = stored(&spy, &pool.key());
    json["spec"]["nodeSelector"] = Value::Null;
    raw(&spy, &pool.key(), &json);
    client.patch(&pool.key(), r#"{"metadata":{"labels":{"a":"b"}}}"#).unwrap();
}

fn rules(port: u16) -> Object {
    object(
        json!({ "kind": "GlobalNetworkPolicy", "metadata": { "name": "p" }, "spec": { "selector": "all()", "ingress": [
        { "action": "Deny" },
        { "action": "Allow", "protocol": "TCP", "source": { "nets": ["10.0.0.0/8"] }, "destination": { "ports": [port] } },
    ] } }),
    )
}

/// Stores the policy, with what cannot be read put into its second rule, and an unknown field beside the rules.
fn with_unreadable_rule(damage: &dyn Fn(&mut Value)) -> (Client, Arc<Spy>) {
    let (client, spy) = ready();
    put(&client, rules(5432), Mode::Create);
    let mut json = stored(&spy, &rules(1).key());
    damage(&mut json["spec"]["ingress"][1]);
    json["spec"]["later"] = json!(1);
    raw(&spy, &rules(1).key(), &json);
    (client, spy)
}

#[test]
fn a_manifest_of_a_policy_replaces_unreadable_parts_of_rules_and_keeps_other_unknown_fields() {
    let damages: [&dyn Fn(&mut Value); 4] = [
        &|rule| rule["source"]["domains"] = json!(["x"]),
        &|rule| rule["later"] = json!(true),
        &|rule| rule["source"]["selector"] = Value::Null,
        &|rule| rule["http"] = json!({ "headers": [] }),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        for (mode, port) in [(Mode::Apply, 5432), (Mode::Replace, 5432), (Mode::Apply, 5433)] {
            let (client, spy) = with_unreadable_rule(damage);
            let done = client.apply(vec![rules(port)], mode).remove(0).result.unwrap();
            assert_eq!(done.change, Change::Changed, "{number} {mode:?} {port}");
            assert_eq!(warnings(&done), ["spec.later"], "{number} {mode:?} {port}");
            let json = stored(&spy, &rules(1).key());
            assert_eq!(json["spec"]["ingress"], rules(port).body["spec"]["ingress"], "{number} {mode:?} {port}");
            assert_eq!(json["spec"]["later"], 1);
            assert_eq!(put(&client, rules(port), mode), "Unchanged", "{number} {mode:?} {port}");
        }
    }
}

#[test]
fn a_manifest_with_the_last_value_of_a_key_that_appears_twice_changes_the_policy() {
    let (client, spy) = ready();
    put(&client, rules(5432), Mode::Create);
    let text = stored(&spy, &rules(1).key()).to_string();
    raw_text(&spy, &rules(1).key(), &text.replacen(r#""action":"Deny""#, r#""action":"Allow","action":"Deny""#, 1));
    assert_eq!(put(&client, rules(5432), Mode::Apply), "Changed");
    assert_eq!(put(&client, rules(5432), Mode::Apply), "Unchanged");
}

#[test]
fn a_patch_keeps_unknown_fields_in_rules_and_warns_that_the_rule_is_unreadable() {
    let (client, spy) = with_unreadable_rule(&|rule| rule["source"]["domains"] = json!(["x"]));
    let done = client.patch(&rules(1).key(), r#"{"spec":{"order":7}}"#).unwrap();
    assert_eq!(stored(&spy, &rules(1).key())["spec"]["ingress"][1]["source"]["domains"], json!(["x"]));
    let mut fields = warnings(&done);
    fields.sort();
    assert_eq!(fields, ["spec.ingress[1].source.domains", "spec.later"]);
    let of_rule = done.notes.iter().find(|note| note.path.to_string().contains("domains")).unwrap();
    assert!(of_rule.text().ends_with("and the rule cannot be read because of it"), "{}", of_rule.text());
}

#[test]
fn a_patch_of_something_else_removes_no_unknown_field_of_a_rule() {
    let rules = [
        json!({ "action": "Allow", "destination": { "portz": [80] } }),
        json!({ "action": "Allow", "protocol": "TCP", "source": { "domains": ["a"] }, "destination": { "ports": [80] } }),
        json!({ "action": "Allow", "source": { "domains": [] } }),
        json!({ "action": "Allow", "source": { "nets": ["10.0.0.0/8"], "domains": ["a"] } }),
        json!({ "action": "Allow", "source": { "serviceAccounts": { "future": 1 } } }),
        json!({ "action": "Allow", "protocol": "tcp", "http": { "future": 1 } }),
        json!({ "action": "allow", "icmp": { "future": 1 } }),
        json!({ "action": "Allow", "protocol": 6, "future": null }),
        json!({ "action": "Allow", "metadata": { "annotations": { "a": "b" } }, "future": {} }),
    ];
    let mut refused = Vec::new();
    for rule in rules {
        for list in ["ingress", "egress"] {
            let (client, spy) = ready();
            put(&client, gnp("p", "default"), Mode::Create);
            let key = gnp("p", "default").key();
            let mut json = stored(&spy, &key);
            json["spec"][list] = json!([rule, { "action": "Deny" }]);
            raw(&spy, &key, &json);
            let done = client.patch(&key, r#"{"spec":{"order":7}}"#);
            let now = stored(&spy, &key)["spec"].clone();
            match done {
                Ok(_) => assert_eq!((&now["order"], &now[list][0]), (&json!(7), &rule)),
                Err(_) => {
                    assert_eq!(now[list][0], rule);
                    refused.push(rule.clone());
                }
            }
            assert_eq!(now[list][1], json!({ "action": "Deny" }));
        }
    }
    // `tcp`, `allow` and the null cannot be read either, which a patch of something else does not mend.
    assert_eq!(refused.len(), 6, "{refused:?}");
}

#[test]
fn a_manifest_replaces_an_unknown_field_that_may_stand_for_a_known_one_and_a_patch_keeps_it() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let mut json = stored(&spy, &key());
    json["spec"]["portz"] = json!([]);
    json["spec"]["later"] = json!(1);
    raw(&spy, &key(), &json);
    client.patch(&key(), r#"{"spec":{"node":"n4"}}"#).unwrap();
    assert_eq!(stored(&spy, &key())["spec"]["portz"], json!([]));
    put(&client, hep("h1"), Mode::Apply);
    let spec = &stored(&spy, &key())["spec"];
    assert!(spec.get("portz").is_none() && spec["later"] == 1, "{spec}");
}
