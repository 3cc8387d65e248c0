//! A value from what its shape says.

use serde_json::{Map, Value, json};
use tortie_api::shape::{Field, Form, Rules, Shape};

use super::{Random, fields, text};

/// Whether the reference refuses the record without this field.
pub(super) fn is_demanded(field: &Field) -> bool {
    field.shape.rules.tag.as_deref().is_some_and(|tag| tag.starts_with('!'))
}

/// A value for a field, never empty unless emptiness is a value of its own.
pub(super) fn field(random: &mut Random, field: &Field) -> Value {
    match (field.name.as_str(), &field.shape.form) {
        // Texts that no tag describes, but schemas and later readers.
        ("cidr", Form::Text) => {
            let six = field.shape.rules.tag.as_deref().is_some_and(|tag| tag.contains("v6"));
            json!(text::net(random, six))
        }
        ("status", Form::Text) => json!(random.pick(&["True", "False", "Unknown"])),
        ("protocol", Form::Text) => json!(random.pick(&["tcp", "udp", "sctp"])),
        ("net", Form::Text) => json!(text::net(random, false)),
        ("natOutgoingAddress" | "deviceRouteSourceAddress", _) => json!(text::address(random, false)),
        ("deviceRouteSourceAddressIPv6", _) => json!(text::address(random, true)),
        ("externalNodesList", _) => json!([text::net(random, false)]),
        ("nodeSelector" | "selector", Form::Text) => json!(text::selector(random, 2)),
        _ => of(random, &field.shape),
    }
}

/// A value of a shape.
pub(super) fn of(random: &mut Random, shape: &Shape) -> Value {
    let rules = &shape.rules;
    if !rules.one_of.is_empty() {
        let choices: Vec<_> = rules.one_of.iter().filter(|choice| **choice != "").collect();
        return (*random.pick(&choices)).clone();
    }
    match &shape.form {
        Form::Text => json!(text_of(random, rules)),
        Form::Special(kind) => special(random, kind),
        Form::Int => json!(int(random, rules)),
        Form::Float => match random.below(4) {
            0 => json!(random.between(1, 1_000_000) as f64 / 8.0 + 0.0625),
            1 if shape.pointer => json!(0),
            _ => json!(random.between(1, 2_000_000)),
        },
        // Someone who sets a flag that is no pointer sets it.
        Form::Bool => json!(!shape.pointer || random.chance(50)),
        Form::List(item) => list(random, rules, item, shape.pointer),
        Form::Map(item) => match rules.tag.as_deref() {
            Some("bpfLogFilters") => json!({ "all": "host 10.0.0.1" }),
            Some("labels") => json!(text::labels(random, 1)),
            _ => Value::Object((0..=random.below(2)).map(|_| (text::word(random), of(random, item))).collect()),
        },
        Form::Record(record) => Value::Object(fields(random, record)),
        Form::Any => json!({ text::word(random): text::any(random) }),
    }
}

fn list(random: &mut Random, rules: &Rules, item: &Shape, pointer: bool) -> Value {
    match rules.tag.as_deref().unwrap_or_default() {
        tag if tag.ends_with("cidrs") => return json!([text::net(random, false), text::net(random, true)]),
        "ifaceFilterSlice" => return json!(["docker+", "eth0"]),
        _ => {}
    }
    let least = rules.min_items.unwrap_or(u64::from(!pointer)) as i64;
    let most = rules.max_items.unwrap_or(3).clamp(1, 3) as i64;
    let mut items: Vec<Value> = Vec::new();
    let wanted = random.between(least.min(most), most) as usize;
    // Some lists are sets, and an empty record says nothing. An enum may have fewer values than were wanted.
    for _ in 0..50 {
        if items.len() == wanted {
            break;
        }
        let value = of(random, item);
        if !items.contains(&value) && value != Value::Object(Map::new()) {
            items.push(value);
        }
    }
    Value::Array(items)
}

fn text_of(random: &mut Random, rules: &Rules) -> String {
    let six = random.chance(30);
    if let Some(text) = rules.pattern.as_deref().and_then(|pattern| matching(random, pattern)) {
        return text;
    }
    let tag = rules.tag.as_deref().unwrap_or_default().trim_start_matches('!');
    let part = tag.split(',').next().unwrap_or_default();
    if let Some(choices) = part.strip_prefix("oneof=") {
        let choices: Vec<_> = choices.split(' ').collect();
        return (*random.pick(&choices)).to_owned();
    }
    match part {
        "name" => text::name(random, 2),
        "interface" | "bgpFilterInterface" | "ifaceFilter" | "ignoredInterface" => {
            format!("eth{}", random.below(100))
        }
        "selector" => text::selector(random, 2),
        "ip" => text::address(random, six),
        "ipv4" => text::address(random, false),
        "ipv6" => text::address(random, true),
        "net" | "cidr" => text::net(random, six),
        "netv4" | "cidrv4" => text::net(random, false),
        "netv6" | "cidrv6" => text::net(random, true),
        "mac" => text::mac(random),
        "portName" => format!("p{}", random.below(1000)),
        "containerID" => format!("c{:x}", random.number()),
        "regexp" => format!("^{}.*", text::word(random)),
        "keyValueList" => format!("{}=true", text::word(random)),
        "prometheusHost" => "localhost".to_owned(),
        "wireguardPublicKey" => "jlkVyQYooZYzI2wFfNhSZez5eWh44yfq1wKVjLvSXgY=".to_owned(),
        "ipType" => (*random.pick(&["CalicoNodeIP", "InternalIP", "ExternalIP"])).to_owned(),
        "IP:port" => format!("{}:{}", text::address(random, false), random.between(1, 65535)),
        "reachableBy" => text::address(random, false),
        "createDefaultHostEndpoint" => (*random.pick(&["Enabled", "Disabled"])).to_owned(),
        _ => text::word(random),
    }
}

/// A text for the patterns that schemas have.
fn matching(random: &mut Random, pattern: &str) -> Option<String> {
    if let Some(choices) = pattern.strip_prefix("^(?i)(").and_then(|rest| rest.strip_suffix(")?$")) {
        let choices: Vec<_> = choices.split('|').collect();
        return Some((*random.pick(&choices)).to_owned());
    }
    let number = random.between(1, 99);
    Some(match pattern {
        p if p.contains("second|minute") => format!("{number}/{}", random.pick(&["second", "hour"])),
        p if p.contains("true|false") => format!("{}=true,b=", text::word(random)),
        p if p.contains("=([^=]+)") => format!("{}=on", text::word(random)),
        p if p.contains("|Auto)") => (*random.pick(&["Auto", "20s", "1h"])).to_owned(),
        p if p.contains("%:") => "tortie: %t/%p".to_owned(),
        p if p.contains("65[0-4]") || p.contains(r"(\d+):(\d+)") => format!("{number}:{number}"),
        p if p.contains("[A-Za-z]") => "Ready".to_owned(),
        _ => return None,
    })
}

fn int(random: &mut Random, rules: &Rules) -> i64 {
    let (mut low, mut high) = (rules.minimum.unwrap_or(1), rules.maximum.unwrap_or(60_000));
    for part in rules.tag.as_deref().unwrap_or_default().trim_start_matches('!').split(',') {
        let number = |text: &str| text.parse::<i64>().unwrap_or_default();
        match part.split_once('=') {
            Some(("gte", bound)) => low = low.max(number(bound)),
            Some(("lte", bound)) => high = high.min(number(bound)),
            Some(("gt", bound)) => low = low.max(number(bound) + 1),
            Some(("lt", bound)) => high = high.min(number(bound) - 1),
            _ => {}
        }
    }
    high = high.min(rules.holds.map_or(high, |(_, most)| most));
    // 0 is absence, unless it is an explicit one.
    random.between(low.max(1), high.max(1))
}

pub(super) fn special(random: &mut Random, kind: &str) -> Value {
    match kind {
        "port" => port(random),
        "protocol" => json!(random.pick(&["TCP", "UDP", "SCTP"])),
        "duration" => json!(text::duration(random)),
        "time" => json!(text::time(random)),
        // The schemas refuse what needs the 32nd bit.
        "as-number" => json!(random.between(1, i32::MAX.into())),
        _ => match random.below(2) {
            0 => json!(random.between(1, 63)),
            _ => json!(random.pick(&["AF11", "EF", "CS1"])),
        },
    }
}

/// A port or a range of ports.
pub(super) fn port(random: &mut Random) -> Value {
    let first = random.between(1, 60_000);
    if random.chance(60) { json!(first) } else { json!(format!("{first}:{}", first + random.between(1, 5_000))) }
}
