//! Scalars with a text form of their own: read as Calico reads them, kept as Calico would write them.

use jiff::Timestamp;
use serde_json::Value as Json;
use tortie_api::duration;
use tortie_net::Port;

use super::node::{Node, Value};

/// Reads a scalar of this `x-type`. An error is Calico's text.
pub(crate) fn read(kind: &str, node: &Node) -> Result<Json, String> {
    match kind {
        "port" => port(node),
        "protocol" | "dscp" => number_or_text(node),
        "int-or-string" => match &node.value {
            Value::Text(text) => Ok(Json::from(text.as_str())),
            _ => whole(node, "int32", i64::from(i32::MIN), i64::from(i32::MAX)),
        },
        "as-number" => as_number(node),
        "duration" => duration::signed(text(node)?).map(|duration| duration.to_string().into()),
        "time" => time(text(node)?).map(Json::from),
        _ => Ok(node.to_json()),
    }
}

/// What Go calls the kind of a value in its messages.
pub(crate) fn go_kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Int(number) => format!("number {number}"),
        Value::Big(number) => format!("number {number}"),
        Value::Float(number) if number.is_finite() && number.fract() == 0.0 => format!("number {number}"),
        Value::Float(number) => format!("number {}", super::scalar::float64_text(*number)),
        Value::Text(_) => "string".to_owned(),
        Value::List(_) => "array".to_owned(),
        Value::Map(_) => "object".to_owned(),
    }
}

/// A whole number within bounds, if the value is one; `5.0` is.
pub(crate) fn whole_number(value: &Value, least: i64, most: i64) -> Option<i64> {
    let number = match value {
        Value::Int(number) => *number,
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => *number as i64,
        _ => return None,
    };
    (least..=most).contains(&number).then_some(number)
}

fn whole(node: &Node, go: &str, least: i64, most: i64) -> Result<Json, String> {
    match whole_number(&node.value, least, most) {
        Some(number) => Ok(Json::from(number)),
        None if node.value == Value::Null => Ok(Json::from(0)),
        None => Err(format!("cannot unmarshal {} into Go value of type {go}", go_kind(&node.value))),
    }
}

fn text(node: &Node) -> Result<&str, String> {
    match &node.value {
        Value::Text(text) => Ok(text),
        // Go names the kind alone where it expects text.
        Value::Int(_) | Value::Big(_) | Value::Float(_) => {
            Err("cannot unmarshal number into Go value of type string".to_owned())
        }
        other => Err(format!("cannot unmarshal {} into Go value of type string", go_kind(other))),
    }
}

fn port(node: &Node) -> Result<Json, String> {
    let Value::Text(text) = &node.value else { return whole(node, "uint16", 0, 65535) };
    match text.parse::<Port>().map_err(|error| error.to_string())? {
        Port::Number(number) => Ok(Json::from(number)),
        other => Ok(Json::from(other.to_string())),
    }
}

fn number_or_text(node: &Node) -> Result<Json, String> {
    let Value::Text(text) = &node.value else { return whole(node, "uint8", 0, 255) };
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    Ok(text.parse::<u8>().ok().filter(|_| digits).map_or_else(|| Json::from(text.as_str()), Json::from))
}

fn as_number(node: &Node) -> Result<Json, String> {
    let Value::Text(text) = &node.value else {
        return match whole_number(&node.value, 0, i64::from(u32::MAX)) {
            Some(number) => Ok(Json::from(number)),
            None if node.value == Value::Null => Ok(Json::from(0)),
            None => Err("cannot unmarshal number into Go value of type string".to_owned()),
        };
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let halves = || {
        let (high, low) = text.split_once('.').filter(|(high, low)| digits(high) && digits(low))?;
        Some((u32::from(high.parse::<u16>().ok()?) << 16) + u32::from(low.parse::<u16>().ok()?))
    };
    let number = text.parse::<u32>().ok().filter(|_| digits(text)).or_else(halves);
    number.map(Json::from).ok_or_else(|| format!("invalid AS Number format ({text})"))
}

/// A time of RFC 3339, brought to whole seconds of UTC.
fn time(text: &str) -> Result<String, String> {
    let wrong = || format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse it");
    let shape = text.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| shape.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let fields = [0..4, 5..7, 8..10, 11..13, 14..16, 17..19];
    let zone = text.ends_with('Z') || (text.len() > 24 && matches!(shape[text.len() - 6], b'+' | b'-'));
    let formed = marks.iter().all(|(at, mark)| shape.get(*at) == Some(mark)) && fields.into_iter().all(digits) && zone;
    let time = Some(text).filter(|_| formed).and_then(|text| text.parse::<Timestamp>().ok()).ok_or_else(wrong)?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, value: Value) -> Result<Json, String> {
        read(kind, &Node { value, span: 0..0 })
    }

    fn texts(kind: &str, text: &str) -> Result<Json, String> {
        of(kind, Value::Text(text.into()))
    }

    #[test]
    fn numeric_texts_of_ports_and_protocols_become_numbers() {
        assert_eq!(texts("port", "0080"), Ok(Json::from(80)));
        assert_eq!(texts("port", "80:80"), Ok(Json::from(80)));
        assert_eq!(texts("port", "080:90"), Ok(Json::from("80:90")));
        assert_eq!(texts("port", "http"), Ok(Json::from("http")));
        assert_eq!(of("port", Value::Float(80.0)), Ok(Json::from(80)));
        assert_eq!(texts("protocol", "6"), Ok(Json::from(6)));
        assert_eq!(texts("protocol", "256"), Ok(Json::from("256")));
        assert_eq!(texts("protocol", "+6"), Ok(Json::from("+6")));
        assert_eq!(texts("int-or-string", "6"), Ok(Json::from("6")));
        assert_eq!(texts("as-number", "1.10"), Ok(Json::from(65546)));
    }

    #[test]
    fn wrong_scalars_get_calicos_text() {
        for (kind, value, error) in [
            ("port", Value::Int(65536), "cannot unmarshal number 65536 into Go value of type uint16"),
            ("port", Value::Float(1.5), "cannot unmarshal number 1.5 into Go value of type uint16"),
            ("port", Value::Bool(true), "cannot unmarshal bool into Go value of type uint16"),
            ("port", Value::Text("1:65536".into()), "invalid maximum port number in range (1:65536)"),
            ("protocol", Value::Int(256), "cannot unmarshal number 256 into Go value of type uint8"),
            ("duration", Value::Int(5), "cannot unmarshal number into Go value of type string"),
            ("duration", Value::Text("5".into()), "time: missing unit in duration \"5\""),
            ("duration", Value::Text("5x".into()), "time: unknown unit \"x\" in duration \"5x\""),
            ("duration", Value::Text("".into()), "time: invalid duration \"\""),
            ("as-number", Value::Text("1.2.3".into()), "invalid AS Number format (1.2.3)"),
        ] {
            assert_eq!(of(kind, value).unwrap_err(), error);
        }
    }

    #[test]
    fn durations_and_times_come_back_as_go_prints_them() {
        for (text, printed) in [
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("0", "0s"),
            ("-0.5h", "-30m0s"),
            ("1.5s", "1.5s"),
            ("1500ms", "1.5s"),
            ("1h1ms", "1h0m0.001s"),
            ("10us", "10µs"),
            ("1ns", "1ns"),
            ("100ms", "100ms"),
        ] {
            assert_eq!(texts("duration", text), Ok(Json::from(printed)), "{text}");
        }
        assert_eq!(texts("time", "2026-08-22T15:33:20.5+02:00"), Ok(Json::from("2026-08-22T13:33:20Z")));
        assert!(texts("time", "2026-08-22").is_err());
        assert!(texts("time", "2026-08-22 13:33:20Z").is_err());
    }
}
