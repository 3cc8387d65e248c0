//! The validator's tags of single fields, in the words of a schema: patterns, formats and bounds. They cost an API server
//! nothing that is counted, so they stand also where there can be many of a field.

use serde_json::{Map, Value, json};
use tortie_api::shape::{Form, Shape};

const NAME: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
/// The number of a port, not 0.
pub(super) const PORT: &str =
    "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
/// Lower-case letters, digits and single inner hyphens, with a letter among them.
const PORT_NAME: &str = "([0-9]+-)*[0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*";
const BYTE: &str = "0*([1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])";

/// Adds what the tag of a value demands, and what its type does.
pub(super) fn add(schema: &mut Map<String, Value>, shape: &Shape) {
    if let Form::Special(name) = &shape.form {
        special(schema, name);
    }
    let Some(text) = &shape.rules.tag else { return };
    let looks_at_empty = text.starts_with('!') || text.starts_with("required");
    for tag in text.trim_start_matches('!').split(',').map(str::trim) {
        let (name, argument) = tag.split_once('=').unwrap_or((tag, ""));
        one(schema, shape, name, argument, looks_at_empty);
    }
}

/// Whether a tag says that there must be a value.
pub(super) fn is_required(shape: &Shape) -> bool {
    let text = shape.rules.tag.as_deref().unwrap_or_default().trim_start_matches('!');
    text.split(',').any(|tag| tag.trim() == "required")
}

/// Types with a text form of their own.
fn special(schema: &mut Map<String, Value>, name: &str) {
    let (pattern, most) = match name {
        "port" => (format!("^({PORT}|{PORT}:{PORT}|{PORT_NAME})$"), 65535),
        "protocol" => (format!("^(TCP|UDP|ICMP|ICMPv6|SCTP|UDPLite|{BYTE})$"), 255),
        _ => return,
    };
    schema.insert("pattern".to_owned(), json!(pattern));
    schema.insert("minimum".to_owned(), json!(1));
    schema.insert("maximum".to_owned(), json!(most));
    schema.insert("maxLength".to_owned(), json!(15));
}

fn one(schema: &mut Map<String, Value>, shape: &Shape, name: &str, argument: &str, looks_at_empty: bool) {
    match (&shape.form, name) {
        (Form::Text, "required") => drop(schema.insert("minLength".to_owned(), json!(1))),
        (Form::List(_), "required") => drop(schema.insert("minItems".to_owned(), json!(1))),
        (Form::Int, "gt" | "gte" | "lt" | "lte") => bound(schema, shape, name, argument, looks_at_empty),
        (Form::Text, "oneof") => set_pattern(schema, &argument.replace(' ', "|"), looks_at_empty),
        (Form::Text, name) => text(schema, name, looks_at_empty),
        (Form::List(_), "cidrs") => each(schema, |item| addresses(item, &["cidr", "ipv4", "ipv6"], true)),
        (Form::List(_), "interfaceSlice") => each(schema, |item| set_pattern(item, "[A-Za-z0-9_.-]{1,15}", true)),
        (Form::List(_), "ifaceFilterSlice") => each(schema, |item| set_pattern(item, "[A-Za-z0-9:._+-]{1,15}", true)),
        _ => {}
    }
}

fn text(schema: &mut Map<String, Value>, name: &str, looks_at_empty: bool) {
    let pattern = match name {
        "name" => NAME,
        "interface" => r"\*|[A-Za-z0-9_.-]{1,15}",
        "bgpFilterInterface" => r"\*|[A-Za-z0-9_.*-]{1,15}",
        "ignoredInterface" => r"[A-Za-z0-9_.*-]{2,15}|[A-Za-z0-9_.-]",
        "ifaceFilter" => "[A-Za-z0-9:._+-]{1,15}",
        "prometheusHost" => "[A-Za-z0-9:._+-]{1,64}",
        "containerID" => "[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?",
        "portName" => {
            schema.entry("maxLength").or_insert(json!(15));
            PORT_NAME
        }
        "bgpFilterPrefixLengthV4" => "[0-9]|[12][0-9]|3[0-2]",
        "bgpFilterPrefixLengthV6" => "[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]",
        "wireguardPublicKey" => "[A-Za-z0-9+/]{43}=",
        "ipType" => "CalicoNodeIP|InternalIP|ExternalIP",
        "createDefaultHostEndpoint" => "Enabled|Disabled",
        "ip" => return addresses(schema, &["ipv4", "ipv6"], looks_at_empty),
        "reachableBy" => return addresses(schema, &["ipv4", "ipv6"], false),
        "ipv4" => return addresses(schema, &["ipv4"], looks_at_empty),
        "ipv6" => return addresses(schema, &["ipv6"], looks_at_empty),
        "mac" => return addresses(schema, &["mac"], looks_at_empty),
        "net" | "cidr" => return addresses(schema, &["cidr", "ipv4", "ipv6"], looks_at_empty),
        "netv4" | "cidrv4" => {
            addresses(schema, &["cidr", "ipv4"], looks_at_empty);
            "[^:]+"
        }
        "netv6" | "cidrv6" => {
            addresses(schema, &["cidr", "ipv6"], looks_at_empty);
            ".*:.*"
        }
        _ => return,
    };
    set_pattern(schema, pattern, looks_at_empty);
}

/// Text that is one of these formats; an empty one passes unless it is looked at.
fn addresses(schema: &mut Map<String, Value>, formats: &[&str], looks_at_empty: bool) {
    // No address is longer. It bounds what rules about it may cost.
    schema.entry("maxLength").or_insert(json!(50));
    let mut choices: Vec<Value> = formats.iter().map(|format| json!({ "format": format })).collect();
    match choices.as_mut_slice() {
        [only] if looks_at_empty => drop(schema.insert("format".to_owned(), only["format"].take())),
        _ => {
            if !looks_at_empty {
                choices.push(json!({ "maxLength": 0 }));
            }
            schema.insert("anyOf".to_owned(), json!(choices));
        }
    }
}

fn set_pattern(schema: &mut Map<String, Value>, pattern: &str, looks_at_empty: bool) {
    // A pattern of the schema layer says more.
    if !schema.contains_key("pattern") && !schema.contains_key("enum") {
        let optional = if looks_at_empty { "" } else { "?" };
        schema.insert("pattern".to_owned(), json!(format!("^({pattern}){optional}$")));
    }
}

fn each(schema: &mut Map<String, Value>, add: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(item) = schema.get_mut("items").and_then(Value::as_object_mut) {
        add(item);
    }
}

/// A bound of a number. Zero passes where it means that nothing was said.
fn bound(schema: &mut Map<String, Value>, shape: &Shape, name: &str, argument: &str, looks_at_empty: bool) {
    let Ok(limit) = argument.parse::<i64>() else { return };
    let zero_passes = !looks_at_empty && !shape.pointer;
    let (field, limit) = match name {
        "gt" => ("minimum", limit + 1),
        "gte" => ("minimum", limit),
        "lt" => ("maximum", limit - 1),
        _ => ("maximum", limit),
    };
    let limit = if zero_passes && field == "minimum" { limit.min(0) } else { limit };
    let tighter = |old: i64| if field == "minimum" { old.max(limit) } else { old.min(limit) };
    let old = schema.get(field).and_then(Value::as_i64);
    schema.insert(field.to_owned(), json!(old.map_or(limit, tighter)));
}
