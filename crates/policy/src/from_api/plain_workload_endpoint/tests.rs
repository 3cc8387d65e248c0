//! Both ways to read a workload endpoint give the same, whatever the bytes are.

use serde_json::{Map, Value, json};
use tortie_api::{Key, Kind, encode};
use tortie_testkit::generate::{self, Random};

use crate::{Item, Stored};

/// The long way.
fn long(key: &Key, bytes: &[u8]) -> Option<Item> {
    let Stored { item, invalid, .. } = Stored::read(key, bytes);
    invalid.is_empty().then_some(item)
}

fn some_value(random: &mut Random) -> Value {
    random
        .pick(&[
            json!(null),
            json!(""),
            json!("x"),
            json!(7),
            json!(-1),
            json!(1.5),
            json!([]),
            json!({}),
            json!(["10.0.0.1/32"]),
        ])
        .clone()
}

/// Does something to a tree that other programs might have done.
fn disturb(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(map) if !map.is_empty() && random.chance(85) => disturb_map(map, random),
        Value::Array(items) if !items.is_empty() && random.chance(85) => {
            let at = random.below(items.len());
            disturb(&mut items[at], random);
        }
        other => *other = some_value(random),
    }
}

fn disturb_map(map: &mut Map<String, Value>, random: &mut Random) {
    let names: Vec<String> = map.keys().cloned().collect();
    let name = random.pick(&names).clone();
    match random.below(10) {
        0 => drop(map.remove(&name)),
        1 => drop(map.insert("unknown".to_owned(), some_value(random))),
        2 => {
            let value = map.remove(&name).unwrap_or_default();
            map.insert(name.to_uppercase(), value);
        }
        3 => drop(map.insert(name, some_value(random))),
        // A key that appears twice, once the text is written.
        4 => drop(map.insert(name + "\u{1}", some_value(random))),
        _ => disturb(&mut map[&name], random),
    }
}

#[test]
fn the_plain_reader_and_the_full_reader_read_the_same() {
    let random = &mut Random::new(7);
    let (mut read, mut left) = (0, 0);
    for round in 0..4_000 {
        let mut object = generate::stored(Kind::WorkloadEndpoint, random);
        if let Some(Value::Object(spec)) = object.body.get_mut("spec").filter(|_| random.chance(80)) {
            for rare in ["ipNATs", "qosControls", "allowSpoofedSourcePrefixes", "ipv4Gateway", "ipv6Gateway"] {
                spec.remove(rare);
            }
        }
        let mut bytes = encode::stored(&object);
        for _ in 0..round % 3 {
            let mut tree: Value = serde_json::from_slice(&bytes).unwrap();
            disturb(&mut tree, random);
            bytes = serde_json::to_string(&tree).unwrap().replace("\\u0001", "").into_bytes();
        }
        if random.chance(5) {
            let at = random.below(bytes.len());
            bytes[at] = random.number() as u8;
        }
        let key = object.key();
        match Item::plain(&key, &bytes) {
            Some(item) => {
                assert_eq!(long(&key, &bytes), Some(item), "{}", String::from_utf8_lossy(&bytes));
                read += 1;
            }
            None if round % 3 == 0 => {}
            None => left += 1,
        }
    }
    assert!(read > 1_000 && left > 1_000, "{read} and {left}");
}

#[test]
fn objects_that_are_not_plain_are_left_to_the_full_reader() {
    let key = Key::namespaced(Kind::WorkloadEndpoint, "ns", "n--1-k8s-p-eth0");
    let read = |text: &str| Item::plain(&key, text.as_bytes()).is_some();
    let plain = r#"{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"x","namespace":"y","creationTimestamp":null,"labels":{"a":"b"}},"spec":{"node":"n","ipNetworks":["10.0.0.1/32"],"interfaceName":"cali1"}}"#;
    assert!(read(plain));
    for (from, to) in [
        (r#""kind":"WorkloadEndpoint""#, r#""kind":"Tier""#),
        (r#""node""#, r#""NODE""#),
        (r#""node""#, r#""more""#),
        (r#""node":"n""#, r#""node":"n","node":"m""#),
        (r#""node":"n""#, r#""node":null"#),
        (r#""a":"b""#, r#""a":1"#),
        (r#""a":"b""#, r#""a":null"#),
        (r#""a":"b""#, r#""a":"b","a":"c""#),
        ("10.0.0.1/32", "10.0.0.0/24"),
        ("cali1", ""),
        ("}}", "}} x"),
    ] {
        assert!(!read(&plain.replace(from, to)), "{to}");
    }
    let tier = Key::cluster(Kind::Tier, "t");
    assert_eq!(Item::plain(&tier, plain.as_bytes()), None);
}
