//! A Kubernetes label selector in the words of Calico's selectors, for tables.

use serde_json::Value;

use super::go_values::text;

/// `a == 'b' && c in { 'd' }`; `all()` for a selector without terms.
pub(crate) fn selector_text(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return "all()".to_owned() };
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let mut terms: Vec<String> =
        labels.into_iter().flatten().map(|(key, value)| format!("{key} == '{}'", text(Some(value)))).collect();
    terms.sort();
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    for expression in expressions.into_iter().flatten() {
        let key = text(expression.get("key"));
        let values = || {
            let values = expression.get("values").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let values: Vec<String> = values.iter().map(|value| format!("'{}'", text(Some(value)))).collect();
            values.join(", ")
        };
        terms.push(match text(expression.get("operator")).as_str() {
            "In" => format!("{key} in {{ {} }}", values()),
            "NotIn" => format!("{key} not in {{ {} }}", values()),
            "Exists" => format!("has({key})"),
            "DoesNotExist" => format!("! has({key})"),
            other => format!("{key} {other} {{ {} }}", values()),
        });
    }
    if terms.is_empty() { "all()".to_owned() } else { terms.join(" && ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_come_sorted_and_then_expressions_in_order() {
        let selector = json!({
            "matchLabels": {"z": "1", "a": "2"},
            "matchExpressions": [
                {"key": "k", "operator": "NotIn", "values": ["x", "y"]},
                {"key": "e", "operator": "Exists"},
            ],
        });
        assert_eq!(selector_text(Some(&selector)), "a == '2' && z == '1' && k not in { 'x', 'y' } && has(e)");
        assert_eq!(selector_text(Some(&json!({}))), "all()");
    }
}
