//! Rules: most of what is hard about a valid policy.

use serde_json::{Map, Value, json};

use super::{Random, text, value};

/// Whose rule it is, since not every side may say everything.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) ingress: bool,
    /// In a policy without a namespace, services need one.
    pub(super) global: bool,
}

/// Some rules for a direction.
pub(super) fn list(random: &mut Random, place: Place) -> Value {
    (0..random.between(1, 3)).map(|_| rule(random, place)).collect()
}

fn rule(random: &mut Random, place: Place) -> Value {
    // One family for the whole rule: mixing them is refused.
    let six = random.chance(30);
    let mut rule = Map::new();
    let mut put = |name: &str, value: Value| _ = rule.insert(name.to_owned(), value);
    let action = *random.pick(&["Allow", "Deny", "Log", "Pass"]);
    put("action", json!(action));
    if random.chance(30) {
        put("ipVersion", json!(if six { 6 } else { 4 }));
    }
    let mut ports = false;
    match random.below(6) {
        0 | 1 => {
            ports = true;
            put("protocol", json!(random.pick(&["TCP", "UDP", "SCTP"])));
        }
        2 => {
            let (name, number) = if six { ("ICMPv6", 58) } else { ("ICMP", 1) };
            put("protocol", if random.chance(50) { json!(name) } else { json!(number) });
            match random.below(3) {
                0 => put("icmp", json!({ "type": random.below(255) })),
                1 => put("icmp", json!({ "type": random.below(255), "code": random.below(256) })),
                _ => put("notICMP", json!({ "type": random.below(255), "code": 0 })),
            }
        }
        3 => put("protocol", json!(random.pick(&[47, 50, 132]))),
        4 => put("notProtocol", json!(random.pick(&["TCP", "UDPLite"]))),
        _ => {}
    }
    if place.ingress && action == "Allow" && !ports && random.chance(20) && !rule.contains_key("protocol") {
        let mut put = |name: &str, value: Value| _ = rule.insert(name.to_owned(), value);
        put("protocol", json!("TCP"));
        put("http", json!({ "methods": ["GET"], "paths": [{ "exact": "/a" }, { "prefix": "/b/" }] }));
    }
    for side in ["source", "destination"] {
        let services = (side == "source") == place.ingress;
        let entity = entity(random, six, ports, services, place.global);
        if !entity.is_empty() {
            rule.insert(side.to_owned(), Value::Object(entity));
        }
    }
    if random.chance(15) {
        rule.insert("metadata".to_owned(), json!({ "annotations": { text::word(random): text::any(random) } }));
    }
    Value::Object(rule)
}

fn entity(random: &mut Random, six: bool, ports: bool, services: bool, global: bool) -> Map<String, Value> {
    let mut side = Map::new();
    let mut put = |name: &str, value: Value| _ = side.insert(name.to_owned(), value);
    let some = |random: &mut Random, each: &mut dyn FnMut(&mut Random) -> Value| -> Value {
        (0..random.between(1, 3)).map(|_| each(random)).collect()
    };
    if services && random.chance(10) {
        let mut service = json!({ "name": text::label(random) });
        if global || random.chance(50) {
            service["namespace"] = json!(text::label(random));
        }
        put("services", service);
        return side;
    }
    if random.chance(30) {
        put("nets", some(random, &mut |random| json!(text::net(random, six))));
    }
    if random.chance(40) {
        put("selector", json!(text::selector(random, 2)));
    }
    if random.chance(15) {
        let global = random.chance(30);
        put("namespaceSelector", json!(if global { "global()".to_owned() } else { text::selector(random, 1) }));
    }
    if ports && random.chance(50) {
        put("ports", some(random, &mut value::port));
    }
    if random.chance(10) {
        put("notNets", some(random, &mut |random| json!(text::net(random, six))));
    }
    if random.chance(10) {
        put("notSelector", json!(text::selector(random, 1)));
    }
    if ports && random.chance(15) {
        put("notPorts", json!([value::port(random), format!("name-{}", text::word(random))]));
    }
    if random.chance(10) {
        put("serviceAccounts", json!({ "names": [text::label(random)], "selector": text::selector(random, 1) }));
    }
    side
}
