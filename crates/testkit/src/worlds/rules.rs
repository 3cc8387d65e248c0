//! Random selectors and rules, with every field there is.

use serde_json::{Map, Value, json};

use tortie_random::Random;

/// Label names; values are those of [`VALUES`].
pub(super) const LABELS: [&str; 3] = ["x", "y", "z"];
/// Label values.
pub(super) const VALUES: [&str; 3] = ["1", "2", "12"];
/// Names of ports.
pub(super) const PORT_NAMES: [&str; 2] = ["web", "dns"];
/// Ports that packets and rules use.
pub(super) const PORTS: [u16; 9] = [22, 53, 68, 80, 81, 443, 4789, 6443, 51820];
/// Names of services.
pub(super) const SERVICES: [&str; 2] = ["api", "db"];
/// Namespaces.
pub(super) const NAMESPACES: [&str; 2] = ["a", "b"];
const NETS_V4: [&str; 9] = [
    "10.0.0.3/30",
    "10.0.0.0/30",
    "10.0.0.0/29",
    "10.0.0.2/32",
    "10.0.0.4/31",
    "0.0.0.0/0",
    "0.0.0.0/1",
    "192.0.2.0/24",
    "203.0.113.8/30",
];
const NETS_V6: [&str; 6] = ["fd00::3/126", "fd00::/126", "fd00::2/128", "::/0", "fd00::/16", "fd01::1/128"];
const PROTOCOLS: [&str; 6] = ["TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite"];

/// Nets of both families, or of one.
pub(super) fn nets(random: &mut Random, most: usize) -> Vec<&'static str> {
    match random.below(4) {
        0 => random.some(&NETS_V6, most),
        1 => random.some(&[NETS_V4.as_slice(), &NETS_V6].concat(), most),
        _ => random.some(&NETS_V4, most),
    }
}

/// Labels of an object.
pub(super) fn labels(random: &mut Random) -> Map<String, Value> {
    random.some(&LABELS, 3).into_iter().map(|label| (label.to_owned(), json!(random.pick(&VALUES)))).collect()
}

/// A selector of a few terms.
pub(super) fn selector(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.once_in(2) {
        let (left, right) = (selector(random, depth - 1), selector(random, depth - 1));
        return match random.below(5) {
            0 | 1 => format!("{left} && {right}"),
            2 => format!("({left}) || ({right})"),
            3 => format!("!({left})"),
            _ => format!("({left} || {right}) && {}", selector(random, 0)),
        };
    }
    let (label, value) = (random.pick(&LABELS), random.pick(&VALUES));
    match random.below(16) {
        0..=3 => format!("{label} == '{value}'"),
        4 => format!("{label} != '{value}'"),
        5 => format!("{label} in {{'{value}', '{}'}}", random.pick(&VALUES)),
        6 => format!("{label} not in {{'{value}', '{}'}}", random.pick(&VALUES)),
        7 => format!("has({label})"),
        8 => format!("!has({label})"),
        9 => format!("{label} starts with '1'"),
        10 => format!("{label} contains '2'"),
        11 => format!("{label} ends with '2'"),
        12 => format!("{label} {} {{}}", random.pick(&["in", "not in"])),
        13 => format!("projectcalico.org/namespace == '{}'", random.pick(&NAMESPACES)),
        14 => format!("projectcalico.org/serviceaccount {} 's'", random.pick(&["==", "!="])),
        _ => "all()".to_owned(),
    }
}

/// Up to `most` rules.
pub(super) fn rules(random: &mut Random, most: usize) -> Vec<Value> {
    let count = random.below(most + 1);
    (0..count).map(|_| rule(random)).collect()
}

fn rule(random: &mut Random) -> Value {
    let action = *random.pick(&["Allow", "Allow", "Allow", "Deny", "Deny", "Pass", "Pass", "Log"]);
    let mut rule = json!({ "action": action });
    let mut with_icmp = false;
    if random.once_in(3) {
        let end = if random.once_in(2) { 2 } else { 6 };
        let protocol = *random.pick(&PROTOCOLS[..end]);
        rule["protocol"] = match random.below(12) {
            0 => json!(random.pick(&[4, 6, 17, 253])),
            1 => json!(random.pick(&["tcp", "6", "17"])),
            _ => json!(protocol),
        };
        with_icmp = protocol.starts_with("ICMP");
    }
    if random.once_in(12) {
        rule["notProtocol"] = json!(random.pick(&PROTOCOLS));
    }
    if random.once_in(8) {
        rule["ipVersion"] = json!(random.pick(&[4, 6]));
    }
    if (with_icmp && random.once_in(2)) || random.once_in(20) {
        let field = if random.once_in(3) { "notICMP" } else { "icmp" };
        let kind = *random.pick(&[8, 128, 3, 135]);
        rule[field] =
            if random.once_in(2) { json!({"type": kind}) } else { json!({"type": kind, "code": random.below(2)}) };
    }
    if rule["action"] == "Allow" && random.once_in(12) {
        rule["http"] = json!({"methods": ["GET"], "paths": [{"prefix": "/x"}]});
    }
    // What no version of ours can read: the rule is closed.
    if random.once_in(60) {
        rule["protocol"] = json!("no-such");
    }
    for side in ["source", "destination"] {
        if !random.once_in(3) && (side == "source" || random.once_in(2)) {
            rule[side] = entity(random);
        }
    }
    rule
}

/// One thing that an end must be, or a few: with more, no packet would ever match.
fn entity(random: &mut Random) -> Value {
    let mut entity = json!({});
    // A service stands alone, as far as the rest does not name ports.
    if random.once_in(12) {
        let (namespace, name) = (random.pick(&NAMESPACES), random.pick(&SERVICES));
        return json!({"services": {"namespace": namespace, "name": name}});
    }
    let count = 1 + usize::from(random.once_in(3)) + usize::from(random.once_in(8));
    for _ in 0..count {
        let field = *random.pick(&[
            "selector",
            "selector",
            "selector",
            "selector",
            "notSelector",
            "notSelector",
            "namespaceSelector",
            "serviceAccounts",
            "nets",
            "nets",
            "nets",
            "notNets",
            "notNets",
            "ports",
            "ports",
            "ports",
            "notPorts",
            "notPorts",
        ]);
        entity[field] = match field {
            "nets" | "notNets" => {
                // A few are compared one by one, more are a set.
                let most = if random.once_in(4) { 9 } else { 3 };
                let mut nets = nets(random, most);
                if nets.is_empty() {
                    nets.push("10.0.0.0/29");
                }
                json!(nets)
            }
            "ports" | "notPorts" => json!(ports(random)),
            "namespaceSelector" => json!(match random.below(5) {
                0 => "all()".to_owned(),
                1 => "global()".to_owned(),
                _ => selector(random, 0),
            }),
            "serviceAccounts" => match random.below(3) {
                0 => json!({"names": ["s"]}),
                1 => json!({"selector": selector(random, 0)}),
                _ => json!({"names": ["s"], "selector": selector(random, 0)}),
            },
            _ => json!(selector(random, 1)),
        };
    }
    entity
}

fn ports(random: &mut Random) -> Vec<Value> {
    if random.once_in(12) {
        // More than some kernels' matches hold.
        return (0..20).map(|index| json!(if index % 4 == 0 { 79 + index } else { 440 + index })).collect();
    }
    // A few are compared one by one, more are a set.
    let most = if random.once_in(4) { 8 } else { 3 };
    let count = 1 + random.below(most);
    (0..count)
        .map(|_| match random.below(4) {
            0 => json!(random.pick(&PORT_NAMES)),
            1 => json!(*random.pick(&["80:81", "22:100", "1:65535", "443:444", "81:81", "0:79", "443:65535"])),
            _ => json!(random.pick(&PORTS)),
        })
        .collect()
}
