//! Selectors that say what labels in another form say: maps of labels as Kubernetes has them, `app=web,tier=db` as kubectl has
//! them, and the bare name of a namespace or service account. Only what says the same is proposed.

use tortie_api::{Path, Step};
use tortie_selector::Selector;

use crate::read::{Entry, Node, Value};

/// The label that has the name of a namespace in the selectors of namespaces, and of a service account in theirs.
const NAME: &str = "projectcalico.org/name";

/// Whether a field takes a selector.
pub(crate) fn is_selector(field: &str) -> bool {
    field == "selector" || field == "notSelector" || field.ends_with("Selector")
}

/// The expression for labels in a map: `{app: web}`, `matchLabels` and `matchExpressions`.
pub(crate) fn of_map(node: &Node) -> Option<String> {
    let Value::Map(entries) = &node.value else { return None };
    if entries.is_empty() {
        return Some("all()".to_owned());
    }
    let mut conditions = Vec::new();
    for entry in entries {
        match (entry.key.as_str(), &entry.value.value) {
            ("matchLabels", Value::Map(labels)) => {
                conditions.extend(labels.iter().map(label).collect::<Option<Vec<_>>>()?);
            }
            ("matchExpressions", Value::List(items)) => {
                conditions.extend(items.iter().map(requirement).collect::<Option<Vec<_>>>()?);
            }
            _ => conditions.push(label(entry)?),
        }
    }
    let conditions = if conditions.is_empty() { vec!["all()".to_owned()] } else { conditions };
    valid(conditions.join(" && "))
}

/// A label and its value, or several values of which it has one.
fn label(entry: &Entry) -> Option<String> {
    match &entry.value.value {
        Value::List(items) if !items.is_empty() => Some(format!("{} in {}", entry.key, set(items)?)),
        _ => Some(format!("{} == {}", entry.key, quoted(&text(&entry.value)?))),
    }
}

/// An item of `matchExpressions`.
fn requirement(item: &Node) -> Option<String> {
    let key = item.get("key")?.value.text()?;
    let values = item.get("values").map(|entry| entry.value.items()).unwrap_or_default();
    match item.get("operator")?.value.text()? {
        "In" if !values.is_empty() => Some(format!("{key} in {}", set(values)?)),
        "NotIn" if !values.is_empty() => Some(format!("{key} not in {}", set(values)?)),
        "Exists" => Some(format!("has({key})")),
        "DoesNotExist" => Some(format!("!has({key})")),
        _ => None,
    }
}

fn set(items: &[Node]) -> Option<String> {
    let values = items.iter().map(|item| text(item).map(|text| quoted(&text)));
    Some(format!("{{{}}}", values.collect::<Option<Vec<_>>>()?.join(", ")))
}

fn text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    if text.contains('"') { format!("'{text}'") } else { format!("\"{text}\"") }
}

fn valid(selector: String) -> Option<String> {
    Selector::parse(&selector).is_ok().then_some(selector)
}

/// What to write for a text that is no selector at `path`, if the whole of it says something in another form.
pub(crate) fn of_text(written: &str, path: &Path) -> Option<String> {
    let written = written.trim();
    if ["*", "any", "any()", "all", "everything"].iter().any(|word| word.eq_ignore_ascii_case(written)) {
        return Some("write `all()`, which selects everything".to_owned());
    }
    let names: Vec<&str> = written.split([',', '|', ' ']).filter(|part| !part.is_empty()).collect();
    if let Some(what) = named(path).filter(|_| !names.is_empty() && names.iter().all(|name| is_word(name))) {
        let values = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        let (what, expression) = match names.as_slice() {
            [_] => (format!("a {what} is selected"), valid(format!("{NAME} == {values}"))?),
            _ => (format!("{what}s are selected"), valid(format!("{NAME} in {{{values}}}"))?),
        };
        return Some(format!("{what} by name with `{expression}`"));
    }
    if names.len() > 1 && written.contains(',') && names.iter().all(|name| is_word(name)) {
        let values = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
        return Some(format!("a label is compared with several values by `LABEL in {{{values}}}`"));
    }
    let conditions = of_kubectl(written).or_else(|| of_flow_map(written)).or_else(|| of_list(written))?;
    valid(conditions).map(|selector| format!("write `{selector}`"))
}

/// What has a name that selectors of this field can ask for.
fn named(path: &Path) -> Option<&'static str> {
    match path.0.as_slice() {
        [.., Step::Key(field)] if field == "namespaceSelector" => Some("namespace"),
        [.., Step::Key(field)] if field == "serviceAccountSelector" => Some("service account"),
        [.., Step::Key(of), Step::Key(field)] if of == "serviceAccounts" && field == "selector" => {
            Some("service account")
        }
        _ => None,
    }
}

/// A word without quotes, parentheses or operators, and no operator itself.
fn is_word(text: &str) -> bool {
    let of_words = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/');
    !text.is_empty() && text.chars().all(of_words) && !["in", "not", "and", "or", "has", "is"].contains(&text)
}

/// `a=b,c!=d`.
fn of_kubectl(written: &str) -> Option<String> {
    let condition = |part: &str| {
        let (label, operator, value) = part
            .split_once("!=")
            .map(|(label, value)| (label, "!=", value))
            .or_else(|| part.split_once("==").map(|(label, value)| (label, "==", value)))
            .or_else(|| part.split_once('=').map(|(label, value)| (label, "==", value)))?;
        compared(label, operator, value)
    };
    joined(written.split(','), condition)
}

/// `a: b` and `{a: b, c: d}`, within quotes.
fn of_flow_map(written: &str) -> Option<String> {
    let inner = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(written);
    joined(inner.split(','), |part| part.split_once(':').and_then(|(label, value)| compared(label, "==", value)))
}

/// `a in b,c`, `a in (b, c)` and `a notin [b]`.
fn of_list(written: &str) -> Option<String> {
    let (label, rest) = written.split_once(' ')?;
    let (operator, values) = [("notin ", "not in"), ("not in ", "not in"), ("in ", "in")]
        .into_iter()
        .find_map(|(word, operator)| Some((operator, rest.trim().strip_prefix(word)?)))?;
    let values = values.trim().trim_start_matches(['(', '[', '{']).trim_end_matches([')', ']', '}']);
    let values: Option<Vec<String>> = values.split(',').map(value).collect();
    is_word(label).then(|| Some(format!("{label} {operator} {{{}}}", values?.join(", "))))?
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>, condition: impl Fn(&'a str) -> Option<String>) -> Option<String> {
    Some(parts.map(condition).collect::<Option<Vec<_>>>()?.join(" && "))
}

fn compared(label: &str, operator: &str, written: &str) -> Option<String> {
    let label = label.trim();
    is_word(label).then(|| Some(format!("{label} {operator} {}", value(written)?)))?
}

/// A value, quoted or not, as selectors have it.
fn value(written: &str) -> Option<String> {
    let written = written.trim();
    let bare = written.trim_matches(['"', '\'']);
    let is_quoted =
        written.len() == bare.len() + 2 && written.starts_with(['"', '\'']) && written.ends_with(['"', '\'']);
    (is_word(bare) && (is_quoted || written == bare)).then(|| quoted(bare))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::{Source, trees};

    fn map(yaml: &str) -> Option<String> {
        let source = Source::new("labels.yaml", yaml.as_bytes().to_vec());
        of_map(&trees(&source).remove(0).unwrap())
    }

    #[test]
    fn maps_of_labels_become_the_expression_that_selects_the_same() {
        for (yaml, selector) in [
            ("{role: web}", r#"role == "web""#),
            ("{role: web, v: 1, b: true}", r#"role == "web" && v == "1" && b == "true""#),
            ("{role: [web, db]}", r#"role in {"web", "db"}"#),
            ("{role: 'a \"b\"'}", r#"role == 'a "b"'"#),
            ("{matchLabels: {app: web}}", r#"app == "web""#),
            ("{matchExpressions: [{key: a, operator: NotIn, values: [b]}]}", r#"a not in {"b"}"#),
            (
                "{matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}, {key: d, operator: DoesNotExist}]}",
                r#"a == "b" && has(c) && !has(d)"#,
            ),
            ("{}", "all()"),
            ("{matchLabels: {}}", "all()"),
        ] {
            assert_eq!(map(yaml).as_deref(), Some(selector), "{yaml}");
        }
        for yaml in
            ["{a: ~}", "{a: {b: c}}", "{a: []}", "{'a b': c}", "{matchExpressions: [{key: a, operator: Gt}]}", "[a]"]
        {
            assert_eq!(map(yaml), None, "{yaml}");
        }
    }

    #[test]
    fn texts_of_another_form_become_the_expression_that_selects_the_same() {
        for (field, text, help) in [
            ("selector", "role=web", Some(r#"write `role == "web"`"#)),
            ("selector", "role = 'web', tier != db", Some(r#"write `role == "web" && tier != "db"`"#)),
            ("selector", "role: web", Some(r#"write `role == "web"`"#)),
            ("selector", "{role: web, a: b}", Some(r#"write `role == "web" && a == "b"`"#)),
            ("selector", "app in web,db", Some(r#"write `app in {"web", "db"}`"#)),
            ("selector", "app notin (web)", Some(r#"write `app not in {"web"}`"#)),
            ("selector", "*", Some("write `all()`, which selects everything")),
            ("selector", "web", None),
            ("selector", "web, db", Some(r#"a label is compared with several values by `LABEL in {"web", "db"}`"#)),
            ("selector", "a == \"b", None),
            ("selector", "a = b || c = d", None),
            (
                "spec.namespaceSelector",
                "shop",
                Some(r#"a namespace is selected by name with `projectcalico.org/name == "shop"`"#),
            ),
            (
                "namespaceSelector",
                "shop || web",
                Some(r#"namespaces are selected by name with `projectcalico.org/name in {"shop", "web"}`"#),
            ),
            (
                "serviceAccounts.selector",
                "sa",
                Some(r#"a service account is selected by name with `projectcalico.org/name == "sa"`"#),
            ),
            ("namespaceSelector", "shop in web", Some(r#"write `shop in {"web"}`"#)),
        ] {
            assert_eq!(of_text(text, &Path::from(field)).as_deref(), help, "{text}");
        }
    }
}
