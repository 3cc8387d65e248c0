//! Fields of other programs whose meaning a field of Calico's has in another form: what to write, with the value that was
//! written.

use tortie_api::shape::Record;

use super::node::{Entry, Node, Value};
use crate::selector_text;

/// What to write for a field that `record` does not have, if its value says it.
pub(super) fn help(entry: &Entry, record: &Record) -> Option<String> {
    let has = |field: &str| record.field(field).is_some();
    let plain = entry.key.to_ascii_lowercase();
    match plain.as_str() {
        // Of one side of a rule, or of a policy that is in no namespace itself.
        "namespace" | "namespaces" if has("namespaceSelector") => {
            let name = by_name(&entry.value)?;
            Some(format!("a namespace is selected by name with `namespaceSelector: {name}`"))
        }
        "serviceaccount" | "serviceaccountname" if has("serviceAccounts") => {
            let names = names(&entry.value)?.join(", ");
            Some(format!("write `serviceAccounts: {{names: [{names}]}}`"))
        }
        "service" | "servicename" if has("services") => match names(&entry.value)?.as_slice() {
            [name] => Some(format!("write `services: {{name: {name}, namespace: NAMESPACE}}`")),
            _ => None,
        },
        "labels" | "matchlabels" | "podselector" | "endpointselector" if has("selector") => {
            let selector = selector_text::of_map(&entry.value)?;
            let more = if plain == "podselector" { "; it does not select pods alone" } else { "" };
            Some(format!("write `selector: {selector}`{more}"))
        }
        "ipblock" if has("nets") => {
            let text = |key: &str| entry.value.get(key).and_then(|entry| entry.value.text());
            let net = text("cidr")?;
            let except = entry.value.get("except").map(|entry| names(&entry.value));
            Some(match except {
                None => format!("write `nets: [{net}]`"),
                Some(except) => format!("write `nets: [{net}]` and `notNets: [{}]`", except?.join(", ")),
            })
        }
        _ => None,
    }
}

/// The selector of namespaces with one of these names.
fn by_name(value: &Node) -> Option<String> {
    let names: Vec<String> = names(value)?.iter().map(|name| format!("\"{name}\"")).collect();
    Some(match names.as_slice() {
        [name] => format!("projectcalico.org/name == {name}"),
        _ => format!("projectcalico.org/name in {{{}}}", names.join(", ")),
    })
}

/// A name, or several.
fn names(value: &Node) -> Option<Vec<&str>> {
    let names = match &value.value {
        Value::Text(text) => vec![text.as_str()],
        Value::List(items) => items.iter().map(Node::text).collect::<Option<_>>()?,
        _ => return None,
    };
    let is_plain = |name: &&str| !name.is_empty() && !name.contains(['"', '`', '\n', ',', '{', '}', '[', ']']);
    (!names.is_empty() && names.iter().all(is_plain)).then_some(names)
}
