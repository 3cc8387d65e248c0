//! Converts the text of a setting, from the environment or the file, to the value that a FelixConfiguration would have.

use serde_json::{Value, json};
use tortie_api::shape::{Field, Form};
use tortie_net::{Protocol, interface_prefixes, is_interface_filter, parse_cidr};

/// Converts a text that is not empty.
pub(super) fn read(field: &Field, text: &str) -> Result<Value, String> {
    if text.eq_ignore_ascii_case("none") {
        return zero(field);
    }
    match field.name.as_str() {
        "failsafeInboundHostPorts" | "failsafeOutboundHostPorts" => {
            let ports: Result<Vec<Value>, String> = items(text)
                .map(|item| failsafe(item).ok_or_else(|| format!("{item:?} is not a failsafe port such as tcp:22")))
                .collect();
            return ports.map(Value::Array);
        }
        "externalNodesList" => {
            let nets: Result<Vec<Value>, String> =
                items(text).map(|net| parse_cidr(net).map(|_| json!(net)).map_err(|error| error.to_string())).collect();
            return nets.map(Value::Array);
        }
        "interfacePrefix" => {
            if let (_, Some(problem)) = interface_prefixes(text) {
                return Err(problem.to_string());
            }
        }
        "iptablesNATOutgoingInterfaceFilter" if !is_interface_filter(text) => {
            return Err(format!("{text:?} is not a name of an interface"));
        }
        _ => {}
    }
    let rules = &field.shape.rules;
    match &field.shape.form {
        Form::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "t" => Ok(Value::Bool(true)),
            "false" | "0" | "no" | "n" | "f" => Ok(Value::Bool(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Form::Int => {
            let number = integer(text).ok_or_else(|| format!("{text:?} is not a whole number"))?;
            let port = field.name.ends_with("Port");
            let (least, most) = if port { (Some(0), Some(65535)) } else { (rules.minimum, rules.maximum) };
            if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
                return Err(format!("{number} is out of range"));
            }
            Ok(json!(number))
        }
        Form::Text => {
            let words: Vec<&str> = rules.one_of.iter().filter_map(Value::as_str).collect();
            if let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
                return Ok(json!(word));
            }
            let fits = match &rules.pattern {
                Some(pattern) => regex_lite::Regex::new(pattern).map_or(true, |regex| regex.is_match(text)),
                None => words.is_empty(),
            };
            match (fits, words.is_empty()) {
                (true, _) => Ok(json!(text)),
                (false, true) => Err(format!("{text:?} does not have the form of such a value")),
                (false, false) => Err(format!("{text:?} is not one of {}", words.join(", "))),
            }
        }
        // No setting of another form has an effect yet.
        _ => Ok(json!(text)),
    }
}

/// The value that `none` means.
fn zero(field: &Field) -> Result<Value, String> {
    const WITHOUT_NONE: &[&str] =
        &["interfacePrefix", "defaultEndpointToHostAction", "iptablesMarkMask", "nftablesMarkMask"];
    if WITHOUT_NONE.contains(&field.name.as_str()) {
        return Err("`none` is not allowed for it".to_owned());
    }
    Ok(match &field.shape.form {
        Form::Bool => Value::Bool(false),
        Form::Int => json!(0),
        Form::List(_) => json!([]),
        _ => json!(""),
    })
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn integer(text: &str) -> Option<i64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `22`, `tcp:22`, `udp:10.0.0.0/8:68`, `tcp:[fd00::/8]:22`.
fn failsafe(text: &str) -> Option<Value> {
    let (protocol, rest) = text.split_once(':').unwrap_or(("tcp", text));
    let (net, port) = match rest.rsplit_once(':') {
        Some((net, port)) => {
            let net = net.strip_prefix('[').and_then(|net| net.strip_suffix(']')).unwrap_or(net);
            (Some(parse_cidr(net).ok()?.trunc().to_string()), port)
        }
        None => (None, rest),
    };
    let protocol = protocol.to_ascii_lowercase();
    let known = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    if !Protocol::parse_any_case(&protocol).is_ok_and(|protocol| known.contains(&protocol)) {
        return None;
    }
    let port: u16 = port.parse().ok()?;
    let mut value = json!({ "protocol": protocol, "port": port });
    if let Some(net) = net {
        value["net"] = json!(net);
    }
    Some(value)
}
