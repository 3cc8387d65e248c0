//! Selectors of any kind: what nobody sees in them.

use serde_json::{Map, Value};
use tortie_api::Path;

use crate::problem::Problem;
use crate::read::unseen_name;

/// Selectors, in records at any depth, that have a character which looks like nothing or like a space.
pub(super) fn check(fields: &Map<String, Value>, path: &Path, out: &mut Vec<Problem>) {
    for (name, value) in fields {
        match value {
            Value::String(text) if name.to_ascii_lowercase().ends_with("selector") => {
                let unseen = text.char_indices().find_map(|(at, char)| Some((at, char, unseen_name(char)?)));
                if let Some((at, char, what)) = unseen {
                    let message =
                        format!("the selector has {what} in a text: a label that looks the same is another one");
                    let problem = Problem::warning("invisible", path.key(name.as_str()), message);
                    let help = if char.is_whitespace() { "write a plain space" } else { "delete it" };
                    out.push(problem.span(at..at + char.len_utf8()).help(help));
                }
            }
            Value::Object(fields) => check(fields, &path.key(name.as_str()), out),
            Value::Array(items) => {
                for (index, fields) in
                    items.iter().enumerate().filter_map(|(index, item)| Some((index, item.as_object()?)))
                {
                    check(fields, &path.key(name.as_str()).index(index), out);
                }
            }
            _ => {}
        }
    }
}
