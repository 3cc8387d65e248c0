//! What a scalar's text means, by the rules of YAML 1.1 as Calico's reader has them; and Go's texts for numbers.
//!
//! `yes` is true, `0x10` is 16 and `017` is 15; dates and `12:30:45` are text.

use std::borrow::Cow;

use super::node::Value;
use super::timestamp::is_timestamp;

/// What the names of YAML's own tags begin with; `!!` stands for it.
pub(crate) const TAGS: &str = "tag:yaml.org,2002:";

/// The value of an unquoted scalar.
pub(crate) fn resolve(text: Cow<'_, str>) -> Value {
    meaning(&text).unwrap_or_else(|| Value::Text(text.into_owned()))
}

/// What a text means that is not just text.
fn meaning(text: &str) -> Option<Value> {
    let Some(first) = text.bytes().next() else { return Some(Value::Null) };
    match first {
        b'+' | b'-' | b'.' | b'0'..=b'9' => special_float(text).map(Value::Float).or_else(|| number(text, first)),
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        _ => None,
    }
}

/// Whether an unquoted scalar of this text would be this very text, to all readers of YAML 1.1.
pub(crate) fn is_text(text: &str) -> bool {
    meaning(text).is_none() && !is_timestamp(text)
}

/// The value of a scalar with a tag (`!!str`, `!!int`, ...).
pub(crate) fn resolve_tagged(tag: &str, text: &str) -> Result<Value, String> {
    let meaning = meaning(text);
    let value = match tag.strip_prefix(TAGS) {
        Some("str") => Some(Value::Text(text.to_owned())),
        Some("timestamp") => is_timestamp(text).then(|| Value::Text(text.to_owned())),
        Some("bool") => meaning.filter(|value| matches!(value, Value::Bool(_))),
        Some("int") => meaning.filter(|value| matches!(value, Value::Int(_) | Value::Big(_))),
        Some("null") => meaning.filter(|value| *value == Value::Null),
        Some("float") => match meaning {
            Some(Value::Int(value)) => Some(Value::Float(value as f64)),
            float => float.filter(|value| matches!(value, Value::Float(_))),
        },
        _ => None,
    };
    let shown: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(40).collect();
    value.ok_or_else(|| format!("`{shown}` cannot be read as `!!{}`", tag.rsplit(':').next().unwrap_or(tag)))
}

/// A float as Go prints it with `%g`, to the precision of 32 bits: how a number becomes text in a text field.
pub(crate) fn float32_text(value: f64) -> String {
    let narrow = value as f32;
    if narrow.is_finite() { go_exponents(&format!("{narrow:e}")) } else { float64_text(f64::from(narrow)) }
}

/// A float as Go prints it with `%g`, to its full precision.
pub(crate) fn float64_text(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        }
        .to_owned();
    }
    let shortest = format!("{value:e}");
    // Of two shortest texts that are equally near, Go takes the even one.
    let digits = shortest.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    let even = format!("{value:.*e}", digits.saturating_sub(1));
    go_exponents(if even.parse() == Ok(value) { &even } else { &shortest })
}

/// Turns `1.5e3` into `1500` or, where Go keeps an exponent, into `1.5e+06`. Rust and Go agree on the digits.
fn go_exponents(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|char| *char != '.').collect();
    if !(-4..6).contains(&exponent) {
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{direction}{:02}", exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        format!("{sign}{digits}{}", "0".repeat(whole - digits.len()))
    } else {
        format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
    }
}

fn word(text: &str) -> Option<Value> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(Value::Bool(true)),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        _ => None,
    }
}

fn special_float(text: &str) -> Option<f64> {
    match text {
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn number(text: &str, first: u8) -> Option<Value> {
    // Most of what begins with a digit here is an address, a net, a range of ports or a version.
    if text.len() > 400 || text.bytes().any(|byte| matches!(byte, b':' | b'/' | b' ')) {
        return None;
    }
    if first == b'.' {
        // Here, and only here, an underscore has to stand between digits.
        let digit = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
        let between = text.match_indices('_').all(|(at, _)| digit(at.checked_sub(1)) && digit(Some(at + 1)));
        return decimal(&text.replace('_', "")).filter(|_| between).map(Value::Float);
    }
    let plain = if text.contains('_') { text.replace('_', "") } else { text.to_owned() };
    integer(&plain).or_else(|| decimal(&plain).map(Value::Float)).or_else(|| {
        let rest = plain.strip_prefix("0b").filter(|rest| rest.starts_with(['+', '-']))?;
        i64::from_str_radix(rest, 2).ok().map(Value::Int)
    })
}

/// A whole number in the notations of Go: `0x`, `0o`, `0b`, a leading 0 for octal.
fn integer(text: &str) -> Option<Value> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Value::Int);
    }
    match i64::try_from(magnitude) {
        Ok(value) => Some(Value::Int(value)),
        // With a sign, Go takes no number beyond the signed ones.
        Err(_) => (unsigned.len() == text.len()).then_some(Value::Big(magnitude)),
    }
}

/// A decimal number: digits, at most one point, perhaps an exponent. One that is too large is not a number.
fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_mean_what_yaml_1_1_says() {
        use Value::{Big, Bool, Float, Int, Null};
        for (text, value) in [
            ("", Null),
            ("~", Null),
            ("null", Null),
            ("NULL", Null),
            ("y", Bool(true)),
            ("On", Bool(true)),
            ("YES", Bool(true)),
            ("n", Bool(false)),
            ("off", Bool(false)),
            ("False", Bool(false)),
            ("0", Int(0)),
            ("-0", Int(0)),
            ("+5", Int(5)),
            ("0x10", Int(16)),
            ("-0X1f", Int(-31)),
            ("017", Int(15)),
            ("0o17", Int(15)),
            ("0b1", Int(1)),
            ("-0b11", Int(-3)),
            ("0b-1", Int(-1)),
            ("1_000", Int(1000)),
            ("0x_1f", Int(31)),
            ("9223372036854775807", Int(i64::MAX)),
            ("-9223372036854775808", Int(i64::MIN)),
            ("9223372036854775808", Big(1 << 63)),
            ("18446744073709551616", Float(18446744073709551616.0)),
            ("+9223372036854775808", Float(9223372036854775808.0)),
            ("08", Float(8.0)),
            ("1.50", Float(1.5)),
            ("5.", Float(5.0)),
            (".5", Float(0.5)),
            (".5_0", Float(0.5)),
            ("1e3", Float(1000.0)),
            ("-1.5E-3", Float(-0.0015)),
            (".inf", Float(f64::INFINITY)),
            ("-.Inf", Float(f64::NEG_INFINITY)),
        ] {
            assert_eq!(resolve(text.into()), value, "{text}");
        }
        assert!(matches!(resolve(".NaN".into()), Float(value) if value.is_nan()));
    }

    #[test]
    fn scalars_without_another_type_are_text() {
        for text in [
            "yEs",
            "nULL",
            "nil",
            "12:30:45",
            "80:90",
            "2001-01-01",
            "2001-1-1",
            "10.0.0.0/8",
            "1.2.3.4",
            "-",
            "+",
            ".",
            "..",
            "0x",
            "0b",
            "0b2",
            "1e",
            "1e400",
            "-.5e400",
            "e3",
            "_1",
            "0xg",
            "inf",
            "nan",
            "Infinity",
            ".5_",
            "._5",
            ".5__0",
            "--1",
            "1-1",
            "0x1p4",
            "1 000",
            "<<",
            "=",
            "1,000",
            "+.5.",
            "٣",
        ] {
            assert_eq!(resolve(text.into()), Value::Text(text.into()), "{text}");
        }
    }

    #[test]
    fn a_tag_sets_the_type_or_is_an_error() {
        let tagged = |tag: &str, text| resolve_tagged(&format!("tag:yaml.org,2002:{tag}"), text);
        assert_eq!(tagged("str", "1"), Ok(Value::Text("1".into())));
        assert_eq!(tagged("int", "0x10"), Ok(Value::Int(16)));
        assert_eq!(tagged("float", "1"), Ok(Value::Float(1.0)));
        assert_eq!(tagged("int", "a"), Err("`a` cannot be read as `!!int`".into()));
        assert_eq!(tagged("int", "1.5").unwrap_err(), "`1.5` cannot be read as `!!int`");
        assert!(tagged("binary", "aGk=").is_err(), "it would be bytes, not text");
    }

    #[test]
    fn floats_have_gos_text() {
        for (value, text) in [
            (1.5, "1.5"),
            (0.0, "0"),
            (1e6, "1e+06"),
            (100000.0, "100000"),
            (1234567.5, "1.2345675e+06"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (123456.789, "123456.789"),
            (1e100, "1e+100"),
            (-174826048764712.62, "-1.7482604876471262e+14"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(float64_text(value), text);
        }
        assert_eq!(float32_text(1.23456789), "1.2345679");
        assert_eq!(float32_text(1e300), "+Inf");
    }
}
