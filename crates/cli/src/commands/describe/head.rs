//! The head of a description: the object's metadata, who wrote it last, and which program manages it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tortie_agent::author::who;
use tortie_agent::utc;
use tortie_api::{Key, Object};
use tortie_client::is_built_in;
use tortie_store::Store;

use crate::managed_by::owner;
use crate::output::table::escaped;

/// `web`, `shop/db`.
pub(super) fn name(key: &Key) -> String {
    if key.namespace.is_empty() { key.name.clone() } else { format!("{}/{}", key.namespace, key.name) }
}

/// The lines after the first one.
pub(super) fn text(object: &Object, store: Option<&dyn Store>) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "  revision:    {}", written(object, store));
    if let Some(time) = &object.metadata.creation_timestamp {
        let _ = writeln!(text, "  created:     {}", time.text());
    }
    if let Some(owner) = owner(object) {
        let _ = writeln!(text, "  managed by:  {owner}; it may overwrite what you change");
    }
    for (title, pairs) in [("own labels: ", &object.metadata.labels), ("annotations:", &object.metadata.annotations)] {
        if !pairs.is_empty() {
            let _ = writeln!(text, "  {title} {}", joined(pairs));
        }
    }
    text
}

fn joined(pairs: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| escaped(&format!("{key}={value}"))).collect();
    pairs.join(", ")
}

/// The revision, and who wrote it if the store records that.
fn written(object: &Object, store: Option<&dyn Store>) -> String {
    let revision = &object.metadata.resource_version;
    if is_built_in(&object.key()) {
        return "none: it is built in".to_owned();
    }
    let Some(store) = store else { return format!("{revision} (who wrote it is not known: the store cannot be read)") };
    let Some(history) = store.history() else {
        return format!("{revision} (who wrote it is not known: this store does not record that)");
    };
    let entries = match history.entries() {
        Ok(entries) => entries,
        Err(error) => return format!("{revision} (who wrote it is not known: {error})"),
    };
    match entries
        .iter()
        .find(|entry| revision.parse().is_ok_and(|number: u64| (entry.first..=entry.last).contains(&number)))
    {
        Some(entry) => {
            let (time, who) = (utc::of_milliseconds(entry.time), who(&entry.author));
            format!("{revision}, written {time} by {who}: {}", escaped(&entry.author.command))
        }
        None if history.is_complete() => {
            format!("{revision} (who wrote it is not known: it was written before the history begins)")
        }
        None => format!(
            "{revision} (who wrote it is not known: another program than tortie wrote it, or it was written before the history begins)"
        ),
    }
}
