//! Random objects of every kind go through the store and come back as they went in.

use proptest::prelude::*;
use serde_json::json;
use tortie_api::{decode, encode};

use super::*;
use tortie_manifest::validate;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn stored_objects_are_read_back_unchanged(seed: u64) {
        for kind in Kind::ALL {
            let object = stored(*kind, &mut Random::new(seed));
            let bytes = encode::stored(&object);
            let back = decode::stored(&object.key(), &bytes).unwrap();
            prop_assert_eq!(&back.metadata, &object.metadata);
            let body = |object: &Object| Value::Object(object.body.clone());
            prop_assert_eq!(lost(&body(&object), &body(&back), ""), None, "{}", String::from_utf8_lossy(&bytes));
            prop_assert_eq!(encode::stored(&back), bytes);
        }
    }

    #[test]
    fn random_objects_are_valid(seed: u64) {
        for kind in Kind::ALL {
            let object = object(*kind, &mut Random::new(seed));
            let problems = validate::validate(&object);
            prop_assert!(problems.iter().all(|problem| !problem.is_error()), "{}\n{:#?}", {
                encode::go_json(&encode::shown(&object), true)
            }, problems);
        }
    }
}

/// What validation accepts, the agent reads as it stands: of every combination of conditions, also of those that no packet meets.
#[test]
fn every_combination_of_conditions_that_is_valid_is_read_as_a_whole() {
    let random = &mut Random::new(1);
    let nets = [
        json!(null),
        json!(["10.0.0.0/8"]),
        json!(["2001:db8::/32"]),
        json!(["10.0.0.0/8", "2001:db8::/32"]),
        json!(["0.0.0.0/0"]),
    ];
    let icmp =
        [json!(null), json!(null), json!({ "type": 8 }), json!({ "type": 128, "code": 0 }), json!({ "type": 255 })];
    let ports =
        [json!(null), json!(null), json!(null), json!([80]), json!(["web"]), json!(["0:5"]), json!(["1:5", "web"])];
    let protocols = ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "UDPLite"].map(|name| json!(name));
    let protocols = [&protocols[..], &[json!(null), json!(4), json!(58)]].concat();
    let mut valid = 0;
    for _ in 0..20_000 {
        // Most conditions are absent.
        let some =
            |random: &mut Random, of: &[Value]| if random.chance(30) { random.pick(of).clone() } else { Value::Null };
        let side = |random: &mut Random| json!({ "nets": some(random, &nets), "notNets": some(random, &nets), "ports": some(random, &ports), "notPorts": some(random, &ports) });
        let (source, destination) = (side(random), side(random));
        let mut rule = json!({
            "action": "Deny", "protocol": some(random, &protocols), "notProtocol": some(random, &protocols),
            "ipVersion": some(random, &[json!(null), json!(4), json!(6)]), "icmp": some(random, &icmp), "notICMP": some(random, &icmp),
            "source": source, "destination": destination,
        });
        without_nulls(&mut rule);
        let mut object = Object::new(Key::cluster(Kind::GlobalNetworkPolicy, "default.p"));
        object.body.insert("spec".to_owned(), json!({ "tier": "default", "types": ["Ingress"], "ingress": [rule] }));
        if validate::validate(&object).iter().any(|problem| problem.is_error()) {
            continue;
        }
        valid += 1;
        let (_, invalid) = tortie_policy::Item::read_stored(&object.key(), &encode::stored(&object));
        assert!(invalid.is_empty(), "{}\n{invalid:?}", object.body["spec"]);
    }
    assert!(valid > 2_000, "only {valid} are valid");
}

/// Leaves out the fields that are null.
fn without_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(without_nulls);
    }
}

/// Where two trees differ, but for empty things that are always written.
fn lost(written: &Value, back: &Value, path: &str) -> Option<String> {
    match (written, back) {
        (Value::Object(a), Value::Object(b)) => {
            let gone = a.iter().find_map(|(name, value)| match b.get(name) {
                Some(back) => lost(value, back, &format!("{path}.{name}")),
                None => Some(format!("{path}.{name} is gone")),
            });
            let more = b.iter().find(|(name, value)| !a.contains_key(*name) && !is_empty(value));
            gone.or_else(|| more.map(|(name, _)| format!("{path}.{name} is new")))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| lost(a, b, &format!("{path}[{at}]")))
        }
        (a, b) => (a != b).then(|| format!("{path} was {a} and is {b}")),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(_) => false,
        scalar => [json!(null), json!(0), json!(""), json!(false)].contains(scalar),
    }
}

#[test]
fn random_objects_have_every_field_of_every_kind() {
    let mut missing = Vec::new();
    for kind in Kind::ALL {
        let mut seen = std::collections::HashSet::new();
        let mut random = Random::new(1);
        for _ in 0..3000 {
            names(&Value::Object(object(*kind, &mut random).body), "", &mut seen);
        }
        expected(&kinds::shape(*kind).form, "", &mut |path| {
            if !path.starts_with(".metadata") && !seen.contains(path) {
                missing.push(format!("{kind}{path}"));
            }
        });
    }
    // What no valid object says: services on a rule's own side, HTTP going out.
    let refused = ["ingress.destination.services", "egress.source.services", "egress.http"];
    missing.retain(|path| !path.ends_with(".kind") && !path.ends_with(".apiVersion"));
    missing.retain(|path| refused.iter().all(|refused| !path.contains(refused)));
    assert_eq!(missing, Vec::<String>::new());
}

fn names(value: &Value, path: &str, seen: &mut std::collections::HashSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let path = format!("{path}.{name}");
                names(value, &path, seen);
                seen.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, path, seen)),
        _ => {}
    }
}

fn expected(form: &Form, path: &str, visit: &mut impl FnMut(&str)) {
    match form {
        Form::Record(record) => {
            for field in &record.fields {
                let path = format!("{path}.{}", field.name);
                visit(&path);
                expected(&field.shape.form, &path, visit);
            }
        }
        Form::List(item) => expected(&item.form, path, visit),
        _ => {}
    }
}
