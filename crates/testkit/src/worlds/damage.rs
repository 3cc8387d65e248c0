//! Damage to stored objects: one field of one object becomes what cannot be read.

use serde_json::{Map, Value, json};
use tortie_api::{Key, Kind};
use tortie_random::Random;

/// One object, damaged.
#[derive(Clone, Debug)]
pub struct Damage {
    /// Whose.
    pub key: Key,
    /// Where: names and numbers; empty for the whole.
    pub path: Vec<String>,
    /// What stands in the store now.
    pub bytes: Vec<u8>,
}

/// Texts that cannot be read at all where they are not any text: fields with a form of their own.
const TYPED: [&str; 20] = [
    "action",
    "protocol",
    "notProtocol",
    "selector",
    "notSelector",
    "namespaceSelector",
    "serviceAccountSelector",
    "net",
    "nets",
    "notNets",
    "ports",
    "notPorts",
    "types",
    "expectedIPs",
    "ipNetworks",
    "internalIP",
    "externalIP",
    "interfaceName",
    "profiles",
    "tier",
];
/// No number, net, selector, action, direction, and no name of a port, tier, profile or interface.
const NO_TEXT: &str = "!! damaged ==";
/// Stands for a number that no double holds, until the text is written.
const HUGE: &str = "huge number";
/// Stands for a text with an escape that is no character, until the text is written.
const NO_CHARACTER: &str = "no character";
/// Stands for lists in lists, too many for a reader of JSON, until the text is written.
const DEEP: &str = "deep lists";
/// Ends the second name of a key that appears twice, until the text is written.
const AGAIN: char = '\u{1}';

impl Damage {
    /// Damages one of these stored objects.
    pub fn random(random: &mut Random, objects: &[(Key, Vec<u8>)]) -> Option<Damage> {
        let (key, bytes) = random.pick(objects).clone();
        if random.once_in(40) {
            let bytes = bytes[..random.below(bytes.len())].to_vec();
            return Some(Damage { key, path: Vec::new(), bytes });
        }
        let mut tree: Value = serde_json::from_slice(&bytes).ok()?;
        if random.once_in(20)
            && let Some(path) = remove_required(&mut tree, key.kind, random)
        {
            return Some(Damage { key, path, bytes: serde_json::to_vec(&tree).ok()? });
        }
        let mut path = Vec::new();
        damage_value(&mut tree, random, &mut path);
        let text = serde_json::to_string(&tree).ok()?.replace(&format!("{HUGE:?}"), "1e999");
        let text = text.replace(&format!("{NO_CHARACTER:?}"), r#""\ud800""#);
        let text = text.replace(&format!("{DEEP:?}"), &("[".repeat(200) + &"]".repeat(200)));
        let text = text.replace("\\u0001", "");
        Some(Damage { key, path, bytes: text.into_bytes() })
    }

    /// Whether nothing safer can stand for the object (`docs/unreadable.md`).
    pub fn is_excepted(&self) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let whole = matches!(path[..], [] | ["spec"]);
        match self.key.kind {
            Kind::Tier | Kind::Profile | Kind::NetworkPolicy => false,
            // A failsafe port that cannot be read opens nothing; which list is in force without one is another question.
            Kind::FelixConfiguration => {
                !matches!(path[..], ["spec", "failsafeInboundHostPorts" | "failsafeOutboundHostPorts", _, ..])
            }
            Kind::Node | Kind::IPPool => true,
            Kind::HostEndpoint => whole || matches!(path[..], ["spec", "node"] | ["spec", "expectedIPs", ..]),
            Kind::WorkloadEndpoint => {
                whole || matches!(path[..], ["spec", "node" | "interfaceName"] | ["spec", "ipNATs", ..])
            }
            Kind::KubernetesEndpointSlice => whole || matches!(path[..], ["spec", "service"]),
            Kind::NetworkSet | Kind::GlobalNetworkSet => path.is_empty(),
            _ => whole,
        }
    }
}

/// Removes a field without which an object has no place; where it was.
fn remove_required(tree: &mut Value, kind: Kind, random: &mut Random) -> Option<Vec<String>> {
    let fields: &[&str] = match kind {
        Kind::HostEndpoint | Kind::WorkloadEndpoint => &["spec", "metadata", "node", "interfaceName"],
        Kind::StagedKubernetesNetworkPolicy => return None,
        // One without a service is of no service.
        Kind::KubernetesEndpointSlice => &["metadata"],
        _ => &["spec", "metadata"],
    };
    let name = *random.pick(fields);
    if name == "metadata" && random.once_in(2) {
        tree.as_object_mut()?.insert(name.to_owned(), json!({}));
        return Some(vec![name.to_owned()]);
    }
    if matches!(name, "spec" | "metadata") {
        tree.as_object_mut()?.remove(name)?;
        return Some(vec![name.to_owned()]);
    }
    let spec = tree.get_mut("spec")?.as_object_mut()?;
    // With addresses it is another endpoint, that of the interface with these.
    if kind == Kind::HostEndpoint && name == "interfaceName" && spec.contains_key("expectedIPs") {
        return None;
    }
    spec.remove(name)?;
    Some(vec!["spec".to_owned(), name.to_owned()])
}

/// Walks down and damages something there.
fn damage_value(value: &mut Value, random: &mut Random, path: &mut Vec<String>) {
    let stops = random.once_in(4);
    match value {
        Value::Object(map) if !map.is_empty() && random.once_in(8) => repeat(map, random, path),
        Value::Object(map) if map.keys().any(|name| may_narrow(path, name)) && random.once_in(4) => {
            rename(map, random, path);
        }
        Value::Object(map) if *path == ["spec"] && !map.is_empty() && random.once_in(6) => {
            let names: Vec<String> = map.keys().cloned().collect();
            misspell(map, &random.pick(&names).clone(), random, path);
        }
        Value::Object(map) if *path == ["metadata"] && map.contains_key("labels") && random.once_in(3) => {
            misspell(map, "labels", random, path);
        }
        Value::Object(map) if !map.is_empty() && !stops => {
            let names: Vec<String> = map.keys().cloned().collect();
            let mut name = random.pick(&names).clone();
            if path.is_empty() && random.below(10) < 8 {
                name = "spec".to_owned();
            }
            path.push(name.clone());
            if let Some(value) = map.get_mut(&name) {
                damage_value(value, random, path);
            }
        }
        Value::Array(items) if !items.is_empty() && !stops => {
            let at = random.below(items.len());
            path.push(at.to_string());
            damage_value(&mut items[at], random, path);
        }
        Value::Object(map) if random.once_in(2) => {
            path.push("domains".to_owned());
            map.insert("domains".to_owned(), json!(["partner.example"]));
        }
        other => *other = replaced(other, random, path),
    }
}

/// Whether a field may narrow what an object means, so that an unknown one in its place counts as unreadable: in an item of a
/// list of rules or of failsafe ports, the scopes of a policy, and the nets of a set.
fn may_narrow(path: &[String], name: &str) -> bool {
    match path.get(1).map(String::as_str) {
        Some("ingress" | "egress" | "failsafeInboundHostPorts" | "failsafeOutboundHostPorts") => path.len() > 2,
        None => path == ["spec"] && (name == "nets" || name.to_ascii_lowercase().ends_with("selector")),
        Some(_) => false,
    }
}

/// Gives a field that may narrow a name that no release knows.
fn rename(map: &mut Map<String, Value>, random: &mut Random, path: &mut Vec<String>) {
    let names: Vec<String> = map.keys().filter(|name| may_narrow(path, name)).cloned().collect();
    let name = random.pick(&names).clone();
    if let Some(value) = map.shift_remove(&name) {
        let new = if name == "selector" { "appliesTo".to_owned() } else { format!("{name}X") };
        map.insert(new, value);
    }
    path.push(name);
}

/// Changes one letter of a name: one is missing, doubled, another, or exchanged with the next.
fn misspell(map: &mut Map<String, Value>, name: &str, random: &mut Random, path: &mut Vec<String>) {
    let mut letters: Vec<char> = name.chars().collect();
    let at = random.below(letters.len() - 1);
    match random.below(4) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        2 => letters[at] = 'q',
        _ => letters.swap(at, at + 1),
    }
    let new: String = letters.into_iter().collect();
    // It may be an exchange of equal letters.
    if !map.contains_key(&new)
        && let Some(value) = map.shift_remove(name)
    {
        map.insert(new, value);
    }
    path.push(name.to_owned());
}

/// Repeats a key with another value, before or behind, in this spelling or another that means the same field.
fn repeat(map: &mut Map<String, Value>, random: &mut Random, path: &mut Vec<String>) {
    let names: Vec<String> = map.keys().cloned().collect();
    let name = random.pick(&names).clone();
    let values: Vec<Value> = map
        .values()
        .cloned()
        .chain([
            json!("Allow"),
            json!("Deny"),
            json!("Pass"),
            json!("all()"),
            json!("UDP"),
            json!(["10.0.0.0/8"]),
            json!([]),
            json!({}),
            json!(true),
            json!(false),
            json!(1),
            json!(null),
        ])
        .collect();
    let value = random.pick(&values).clone();
    let is_text = |step: &String| matches!(step.as_str(), "labels" | "annotations" | "labelsToApply");
    let mut again = name.clone();
    if !path.iter().any(is_text) && random.once_in(3) {
        again = name[..1].to_uppercase() + &name[1..];
    }
    again.push(AGAIN);
    match random.once_in(2) {
        true => drop(map.shift_insert(0, again, value)),
        false => drop(map.insert(again, value)),
    }
    path.push(name);
}

/// What is no value of its field.
fn replaced(value: &Value, random: &mut Random, path: &[String]) -> Value {
    let is_name = path.last().is_some_and(|step| step == "name") && !path.iter().any(|step| step == "ports");
    let is_typed = !is_name && path.iter().any(|step| TYPED.contains(&step.as_str()));
    loop {
        let new = match random.below(10) {
            0 => Value::Null,
            1 if is_typed && random.once_in(2) => json!(-1.5),
            1 => json!(1_234_567),
            2 => json!(NO_TEXT),
            3 => json!([NO_TEXT]),
            4 => json!({ "domains": 1 }),
            5 => json!(true),
            6 => json!(HUGE),
            7 => json!(NO_CHARACTER),
            8 => json!(DEEP),
            _ => json!("x".repeat(100_000)),
        };
        let same = match (value, &new) {
            (Value::String(_), Value::String(text)) => {
                !([HUGE, NO_CHARACTER, DEEP].contains(&text.as_str()) || is_typed && text == NO_TEXT)
            }
            (Value::Number(_), Value::Number(_)) => {
                path.iter().any(|step| matches!(step.as_str(), "order" | "ingress" | "egress")) && !is_typed
            }
            (Value::Array(_), Value::Array(_)) => true,
            (Value::Object(_), Value::Object(_)) => true,
            (Value::Bool(_), Value::Bool(_)) => true,
            (old, new) => old == new,
        };
        // A name of a port or a label may be any text.
        let names = path.last().is_some_and(|step| step == "ports" || step == "notPorts") && new.is_string();
        if !same && (!names || is_typed) {
            return new;
        }
    }
}
