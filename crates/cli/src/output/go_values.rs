//! How Go prints values in calicoctl's tables: floats, absent pointers, joined lists.

use serde_json::Value;

/// A `*float64` with `%v`: `1e+06`, `<nil>` when absent.
pub(crate) fn float(value: Option<&Value>) -> String {
    value.and_then(Value::as_f64).map_or_else(|| "<nil>".to_owned(), number)
}

/// A `float64` with `%v`: the shortest digits, with an exponent below 1e-4 and from 1e6 on.
fn number(value: f64) -> String {
    // Rust's exponent form has the shortest digits; only the layout differs.
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// A plain scalar; absent is empty.
pub(crate) fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A list of texts, joined with commas.
pub(crate) fn join(value: Option<&Value>) -> String {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let items: Vec<String> = items.iter().map(|item| text(Some(item))).collect();
    items.join(",")
}

/// [`join`], cut to `max` bytes with `...`.
pub(crate) fn join_cut(value: Option<&Value>, max: usize) -> String {
    let mut text = join(value);
    if text.len() > max {
        let mut end = max - 3;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// A map as `k=v,k=v`, sorted.
pub(crate) fn join_map(value: Option<&Value>) -> String {
    let mut pairs: Vec<String> = value
        .and_then(Value::as_object)
        .map(|map| map.iter().map(|(key, value)| format!("{key}={}", text(Some(value)))).collect())
        .unwrap_or_default();
    pairs.sort();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn floats_read_as_go_prints_them() {
        for (value, shown) in [
            (1000.0, "1000"),
            (1e6, "1e+06"),
            (1234567.5, "1.2345675e+06"),
            (0.5, "0.5"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
            (-20.0, "-20"),
            (0.0, "0"),
            (999999.0, "999999"),
            (1e21, "1e+21"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(float(Some(&json!(value))), shown, "{value}");
        }
        assert_eq!(float(None), "<nil>");
        assert_eq!(float(Some(&json!(10))), "10");
    }

    #[test]
    fn a_long_list_is_cut_at_eighty_bytes() {
        let nets: Vec<String> = (0..20).map(|i| format!("10.0.0.{i}/32")).collect();
        let cut = join_cut(Some(&json!(nets)), 80);
        assert_eq!(cut.len(), 80);
        assert!(cut.ends_with("..."));
    }
}
