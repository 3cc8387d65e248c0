//! What to write where a value has another form than its field takes: a list for a map, a map for a list, a map for a text, one
//! value for a list.

use tortie_api::shape::{Form, Shape};
use tortie_api::{Path, Step};

use super::node::{Entry, Node, Value};
use super::scalar;
use crate::{other_syntax, selector_text};

/// A value that its field does not take.
pub(super) struct Wrong<'a> {
    /// The field, or the item of a list.
    pub(super) path: &'a Path,
    /// What it takes.
    pub(super) shape: &'a Shape,
    /// What was written.
    pub(super) node: &'a Node,
    /// The text that it was read from.
    pub(super) text: &'a str,
}

impl Wrong<'_> {
    /// What to do about it.
    pub(super) fn help(&self) -> Option<String> {
        match (&self.shape.form, &self.node.value) {
            (Form::Record(_), Value::List(items)) => self.list_for_map(items),
            (Form::Record(_), value) => self.scalar_for_map(value),
            (Form::Map(_), value) => labels(value),
            (Form::List(inner), Value::Map(entries)) => self.map_for_list(inner, entries),
            (Form::List(inner), value) => self.scalar_for_list(inner, value),
            (Form::Text, Value::Map(entries)) => self.selector().or_else(|| only_value(entries)),
            (Form::Text, Value::List(items)) => self.selector().or_else(|| self.several(items)),
            (Form::Int | Form::Float, value) => self.number(value),
            (Form::Bool, Value::Text(text)) => {
                let is_bool = matches!(scalar::resolve(text.into()), Value::Bool(_));
                (is_bool && self.is_quoted()).then(|| LEAVE_QUOTES_OUT.to_owned())
            }
            (Form::Text, Value::Bool(_) | Value::Int(_) | Value::Big(_) | Value::Float(_)) => {
                Some("write it in quotes".to_owned())
            }
            _ => None,
        }
    }

    /// The name of the field, if this is not an item of a list.
    fn field(&self) -> Option<&str> {
        match self.path.0.last() {
            Some(Step::Key(name)) => Some(name),
            _ => None,
        }
    }

    /// The name of the list, if this is an item of one.
    fn list(&self) -> Option<&str> {
        match self.path.0.as_slice() {
            [.., Step::Key(name), Step::Index(_)] => Some(name),
            _ => None,
        }
    }

    fn written(&self) -> &str {
        self.text.get(self.node.span.clone()).unwrap_or_default()
    }

    fn is_quoted(&self) -> bool {
        self.written().starts_with(['"', '\''])
    }

    /// Whether it is written in brackets or braces, and not in lines that are indented.
    fn is_in_brackets(&self) -> bool {
        // Of a list in brackets that is an item, the place begins at the item's dash.
        self.written().trim_start_matches(['-', ' ']).starts_with(['[', '{'])
    }

    fn list_for_map(&self, items: &[Node]) -> Option<String> {
        let is_map = |item: &Node| matches!(item.value, Value::Map(_) | Value::List(_));
        if self.list().is_some() {
            let items_are_maps = !items.is_empty() && items.iter().all(is_map);
            return items_are_maps.then(|| self.one_dash("a map"));
        }
        let name = self.field()?;
        if let Some(help) = entity(name, &self.node.value) {
            return Some(help);
        }
        if items.is_empty() || !items.iter().all(is_map) {
            return None;
        }
        let several = match name {
            "source" | "destination" if items.len() > 1 => {
                ": all conditions of one map have to hold; for alternatives write several rules"
            }
            _ => "",
        };
        let what = if self.is_in_brackets() { "the brackets" } else { "each `- `" };
        Some(format!("`{name}` is one map; leave out {what}{several}"))
    }

    /// A list in place of an item of a list.
    fn one_dash(&self, what: &str) -> String {
        let name = self.list().unwrap_or_default();
        match self.is_in_brackets() {
            true => format!("leave out the inner brackets: an item of `{name}` is {what}"),
            false => format!("write one `-` for each item: an item of `{name}` is {what}"),
        }
    }

    fn scalar_for_map(&self, value: &Value) -> Option<String> {
        let written = match value {
            Value::Text(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            _ => return None,
        };
        if let Some(name) = self.field() {
            return entity(name, value);
        }
        let of_list = self.list()?;
        let Some(item) = item_for(of_list, self.shape, &written) else {
            return match of_list {
                "ingress" | "egress" => Some("a rule is a map with an `action`, such as `action: Allow`".to_owned()),
                _ if of_list.starts_with("failsafe") => {
                    Some("a failsafe port is a map such as `{protocol: tcp, port: 22}`".to_owned())
                }
                _ => None,
            };
        };
        let before = self.text.get(..self.node.span.start).unwrap_or_default().trim_end();
        let is_line = before.ends_with('-') && of_list.ends_with("gress");
        Some(match is_line {
            true => format!("write `- {}`", item.trim_start_matches('{').trim_end_matches('}')),
            false => format!("write `{item}`"),
        })
    }

    fn map_for_list(&self, inner: &Shape, entries: &[Entry]) -> Option<String> {
        let Some(first) = entries.first() else {
            return Some("write `[]` for an empty list".to_owned());
        };
        if let Some(rest) = first.key.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            return Some(format!("write a space after the `-` that begins an item: `- {rest}`"));
        }
        if inner.record().is_some() {
            return Some(match (self.is_in_brackets(), entries) {
                (true, _) => "put the map into brackets: `[{...}]`".to_owned(),
                (false, [only]) => format!("begin the item with `- `: `- {}`", only.key),
                (false, _) => {
                    format!("begin the item with `- `: `- {}`, and indent its other fields like `{0}`", first.key)
                }
            });
        }
        // A set, as some languages write it.
        let is_set = |entry: &Entry| matches!(entry.value.value, Value::Null | Value::Bool(true));
        if entries.iter().all(is_set) {
            let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
            return Some(format!("a list is written in brackets, without braces: `[{}]`", keys.join(", ")));
        }
        Some(alone(entries).map_or_else(|| AS_LIST.to_owned(), |value| format!("write `[{value}]`")))
    }

    fn scalar_for_list(&self, inner: &Shape, value: &Value) -> Option<String> {
        match value {
            Value::List(_) | Value::Map(_) | Value::Null => None,
            Value::Text(text) if inner.record().is_some() => {
                let name = self.field()?;
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let items: Option<Vec<String>> = parts.map(|part| item_for(name, inner, part)).collect();
                match items.filter(|items| !items.is_empty()) {
                    Some(items) => Some(format!("write `[{}]`", items.join(", "))),
                    None => {
                        Some("this is a list of maps: begin each of them with `- ` on a line of its own".to_owned())
                    }
                }
            }
            value => other_syntax::list(value).or_else(|| Some(AS_LIST.to_owned())),
        }
    }

    /// The expression that a map or list in place of a selector says.
    fn selector(&self) -> Option<String> {
        let name = self.field().filter(|name| selector_text::is_selector(name))?;
        let found = match &self.node.value {
            Value::List(items) => match items.as_slice() {
                [only] => selector_text::of_map(only),
                _ => None,
            },
            _ => selector_text::of_map(self.node),
        };
        Some(match found {
            // The quotes within would end those of YAML's, so it stands without.
            Some(selector) => format!("write `{name}: {selector}`"),
            None => format!(
                "write one expression such as `{name}: app == \"web\"`; conditions are joined with `&&` or `||`"
            ),
        })
    }

    fn several(&self, items: &[Node]) -> Option<String> {
        match (items, self.field()) {
            ([Node { value: Value::Map(entries), .. }], _) => only_value(entries),
            (_, None) if items.iter().all(|item| !matches!(item.value, Value::List(_))) => Some(self.one_dash("text")),
            ([_], _) => Some("only one value is allowed here; leave out the `-` or the brackets".to_owned()),
            ([_, _, ..], Some("interfaceName")) => {
                Some("a HostEndpoint has one interface: write a HostEndpoint for each".to_owned())
            }
            ([_, _, ..], _) => Some("only one value is allowed here".to_owned()),
            ([], _) => None,
        }
    }

    fn number(&self, value: &Value) -> Option<String> {
        let icmp = match (self.path.0.as_slice(), value) {
            ([.., Step::Key(of), Step::Key(name)], Value::Text(text)) if of == "icmp" || of == "notICMP" => {
                other_syntax::icmp(name, text)
            }
            _ => None,
        };
        if icmp.is_some() {
            return icmp;
        }
        if let Value::Text(text) = value {
            return match text.parse::<f64>() {
                Ok(number) if number.is_finite() && self.is_quoted() => Some(LEAVE_QUOTES_OUT.to_owned()),
                Ok(number) if number.is_infinite() && text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                    Some(format!("`{text}` is beyond what a number can be, and is read as text"))
                }
                _ => None,
            };
        }
        let (least, most) = bounds(self.shape);
        let is_number = matches!(value, Value::Int(_) | Value::Big(_) | Value::Float(_));
        (is_number && matches!(self.shape.form, Form::Int) && most < i64::from(u32::MAX))
            .then(|| format!("write a whole number from {least} to {most}"))
    }
}

const LEAVE_QUOTES_OUT: &str = "leave the quotes out";
const AS_LIST: &str = "begin each item with `- ` on a line of its own, or write `[item, item]`";

/// What whole numbers a field takes: those that its type holds, within the bounds of its rules.
fn bounds(shape: &Shape) -> (i64, i64) {
    let (least, most) = shape.rules.holds.unwrap_or((i64::MIN, i64::MAX));
    let (mut least, mut most) =
        (least.max(shape.rules.minimum.unwrap_or(least)), most.min(shape.rules.maximum.unwrap_or(most)));
    for tag in shape.rules.tag.as_deref().unwrap_or_default().split(',') {
        match tag.split_once('=').and_then(|(tag, bound)| Some((tag, bound.parse::<i64>().ok()?))) {
            Some(("gt", bound)) => least = least.max(bound + 1),
            Some(("gte", bound)) => least = least.max(bound),
            Some(("lt", bound)) => most = most.min(bound - 1),
            Some(("lte", bound)) => most = most.min(bound),
            _ => {}
        }
    }
    (least, most)
}

/// What to write for a part of a rule that is not a map.
fn entity(name: &str, value: &Value) -> Option<String> {
    match name {
        "source" | "destination" => other_syntax::entity(name, value),
        "icmp" | "notICMP" => other_syntax::icmp_alone(name, value),
        "services" => match value {
            Value::Text(service) => Some(format!("write `services: {{name: {service}, namespace: NAMESPACE}}`")),
            _ => None,
        },
        "serviceAccounts" => match value {
            Value::Text(name) => Some(format!("write `serviceAccounts: {{names: [{name}]}}`")),
            Value::List(items) => {
                let names: Option<Vec<&str>> = items.iter().map(Node::text).collect();
                names
                    .filter(|names| !names.is_empty())
                    .map(|names| format!("write `serviceAccounts: {{names: [{}]}}`", names.join(", ")))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The map that a text says which stands in place of an item of a list.
fn item_for(list: &str, shape: &Shape, written: &str) -> Option<String> {
    match list {
        "ingress" | "egress" => {
            shape.record()?.field("action")?;
            let words = ["Allow", "Deny", "Log", "Pass"];
            let same = words.into_iter().find(|word| word.eq_ignore_ascii_case(written));
            let action = same.or_else(|| other_syntax::action_word(written, words.into_iter()))?;
            Some(format!("{{action: {action}}}"))
        }
        "failsafeInboundHostPorts" | "failsafeOutboundHostPorts" => other_syntax::failsafe(written),
        "ports" => other_syntax::endpoint_port(written),
        _ => None,
    }
}

/// What to write for a map of one field where the value alone is due, such as `{ip: 10.0.0.1}`.
fn only_value(entries: &[Entry]) -> Option<String> {
    alone(entries).map(|value| format!("write `{value}` alone"))
}

fn alone(entries: &[Entry]) -> Option<&str> {
    const NAMES: [&str; 8] = ["ip", "cidr", "net", "address", "addr", "name", "port", "value"];
    match entries {
        [only] if NAMES.contains(&only.key.as_str()) => only.value.text().filter(|text| !text.is_empty()),
        _ => None,
    }
}

/// What to write for labels that are not a map.
fn labels(written: &Value) -> Option<String> {
    let pair = |node: &Value| match node {
        Value::Text(text) => {
            let (key, value) = text.split_once('=').or_else(|| text.split_once(':'))?;
            let is_plain = |part: &str| !part.is_empty() && !part.contains(['=', ':', ',', ' ', '{', '}', '"']);
            (is_plain(key) && is_plain(value)).then(|| format!("{key}: {value}"))
        }
        Value::Map(entries) => match entries.as_slice() {
            [only] => only.value.text().map(|value| format!("{}: {value}", only.key)),
            _ => None,
        },
        _ => None,
    };
    let pairs: Option<Vec<String>> = match written {
        Value::Text(text) => text.split(',').map(|part| pair(&Value::Text(part.trim().to_owned()))).collect(),
        Value::List(items) if !items.is_empty() => items.iter().map(|item| pair(&item.value)).collect(),
        _ => None,
    };
    pairs.map(|pairs| format!("write `{{{}}}`", pairs.join(", ")))
}
