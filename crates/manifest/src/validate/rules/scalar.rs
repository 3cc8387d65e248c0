//! Ports and protocols in rules and endpoints.

use serde_json::Value;
use tortie_net::{Port, Protocol};

use crate::problem::Problem;
use crate::validate::formats;
use crate::validate::place::Place;
use crate::validate::suggest;
use crate::validate::tag;
use crate::validate::value::go_text;

/// A port of a rule: a number or range above 0, or the name of an endpoint's port.
pub(in crate::validate) fn port(value: Option<&Value>, place: &Place, out: &mut Vec<Problem>) {
    const RANGE: &str = "port range invalid, port number must be between 1 and 65535";
    let zero = |written: &str| {
        let problem = Problem::field(place.path(), "Port", "0", RANGE);
        match written.split_once(':') {
            Some((_, last)) => problem
                .message(format!("`{written}` begins with 0, which is not a port: a port is a number from 1 to 65535"))
                .help(format!("write `1:{last}`")),
            None => problem.message("0 is not a port: a port is a number from 1 to 65535"),
        }
    };
    match value {
        None => {}
        Some(Value::Number(number)) if number.as_u64() == Some(0) => out.push(zero("0")),
        Some(Value::Number(_)) => {}
        Some(other) => {
            let text = other.as_str().unwrap_or_default();
            match text.parse::<Port>() {
                Ok(Port::Number(0)) => out.push(zero(text)),
                Ok(Port::Range(range)) if range.first() == 0 => out.push(zero(text)),
                Ok(Port::Number(_) | Port::Range(_)) => {}
                Ok(Port::Name(_)) if formats::is_port_name(text) => {}
                Ok(Port::Name(_)) => {
                    let name = value.cloned().unwrap_or_default();
                    let tags = tag::parse("portName");
                    let shape = tortie_api::shape::Shape::plain(tortie_api::shape::Form::Text);
                    tag::check(&tags, Some(&name), &shape, "PortName", place, out);
                }
                Err(error) => out.push(Problem::field(place.path(), "Port", text, error.to_string())),
            }
        }
    }
}

/// A protocol: one of six names or a number above 0.
pub(in crate::validate) fn protocol(value: Option<&Value>, place: &Place, out: &mut Vec<Problem>) {
    let shown = value.map_or_else(|| "0".to_owned(), |value| go_text(value, None));
    let number = shown.parse::<u8>();
    if number == Ok(0) {
        let problem = Problem::field(place.path(), "Protocol", "0", "protocol number invalid");
        let message = if value.is_none() { "a protocol is missing" } else { "protocol numbers are 1 to 255" };
        out.push(problem.message(message).help("write TCP, UDP or SCTP, or a protocol's number"));
    } else if number.is_err() && shown.parse::<Protocol>().is_err() {
        let names = || Protocol::NAMES.iter().map(|(name, _)| *name);
        let problem = Problem::field(place.path(), "Protocol", shown.as_str(), "protocol name invalid").message(
            format!("`{shown}` is not a protocol; it must be {} or a number from 1 to 255", suggest::either(names())),
        );
        out.push(match suggest::protocol(&shown) {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
}

/// Whether a value names a protocol that has ports. Calico takes three lower-case names too, where it asks only this.
pub(super) fn has_ports(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Number(number)) => matches!(number.as_u64(), Some(6 | 17 | 132)),
        Some(Value::String(text)) => match text.parse::<u8>() {
            Ok(number) => matches!(number, 6 | 17 | 132),
            Err(_) => matches!(text.as_str(), "TCP" | "UDP" | "SCTP" | "tcp" | "udp" | "sctp"),
        },
        _ => false,
    }
}

/// Whether a value is this protocol, by name or number.
pub(super) fn is(value: Option<&Value>, name: &str, number: u64) -> bool {
    match value {
        Some(Value::Number(found)) => found.as_u64() == Some(number),
        Some(Value::String(found)) => found == name || found.parse() == Ok(number),
        _ => false,
    }
}
