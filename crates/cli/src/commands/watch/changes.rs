//! What changed between two statuses of the agent, a line each.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};
use tortie_agent::status::{EndpointStatus, InterfaceStatus, Status, StoreState};
use tortie_agent::utc::now as time_now;
use tortie_sync::first_reasons;

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// When it was seen, as UTC.
    time: String,
    /// What it is about: `generation`, `store`, `endpoint`, `interface`, `problem`, `unreadable`, `quarantined`, ...
    kind: &'static str,
    /// The name of the object.
    name: String,
    /// What it is now; none of what is over or gone.
    now: Option<String>,
}

impl Change {
    /// For a program.
    pub(crate) fn json(&self) -> Value {
        json!({ "time": self.time, "kind": self.kind, "name": self.name, "now": self.now })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, kind, name, now } = self;
        let name = if name.is_empty() { (*kind).to_owned() } else { format!("{kind} {name}") };
        match now {
            Some(now) => write!(f, "{time} {name}: {now}"),
            None => write!(f, "{time} {name}: no more"),
        }
    }
}

/// What changed; with nothing before, how it is.
pub(crate) fn between(before: Option<&Status>, now: &Status) -> Vec<Change> {
    let time = time_now();
    let old = before.map(parts).unwrap_or_default();
    let new = parts(now);
    let change = |kind, name: &String, now: Option<&String>| Change {
        time: time.clone(),
        kind,
        name: name.clone(),
        now: now.cloned(),
    };
    let mut changes = Vec::new();
    for kind in KINDS {
        let [old, new] = [&old, &new].map(|parts| parts.get(kind).unwrap_or(&NONE));
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        changes.extend(gone.map(|name| change(kind, name, None)));
        let come = new.iter().filter(|(name, text)| old.get(*name) != Some(*text));
        changes.extend(come.map(|(name, text)| change(kind, name, Some(text))));
    }
    changes
}

/// What is compared, by kind and name.
type Parts = BTreeMap<&'static str, BTreeMap<String, String>>;

static NONE: BTreeMap<String, String> = BTreeMap::new();

/// The kinds, in the order in which they are told.
const KINDS: [&str; 14] = [
    "node",
    "agent",
    "enforcement",
    "store",
    "unreadable",
    "quarantined",
    "problem",
    "not in force",
    "note",
    "interface",
    "endpoint",
    "setting",
    "repairs",
    "generation",
];

fn parts(status: &Status) -> Parts {
    let nameless = |text: String| BTreeMap::from([(String::new(), text)]);
    let listed = |all: &[String]| all.iter().map(|text| (text.clone(), "is so".to_owned())).collect::<Vec<_>>();
    let mut parts = Parts::from([
        (
            "node",
            nameless(match &status.unaccepted_name {
                None => status.node.clone(),
                Some(name) => format!("{}, and this machine is called {name}", status.node),
            }),
        ),
        ("agent", nameless(ready(status).to_owned())),
        (
            "enforcement",
            nameless(status.off.as_ref().map_or("on".to_owned(), |off| format!("NO policy is enforced: {off}"))),
        ),
        ("store", nameless(store(status))),
        (
            "unreadable",
            status
                .troubles
                .iter()
                .map(|one| {
                    (one.object.clone(), format!("{}: {}", one.in_force, first_reasons(&one.reasons).join("; ")))
                })
                .collect(),
        ),
        ("quarantined", status.dataplane.refused.iter().cloned().collect()),
        ("problem", status.problems.iter().map(|text| split(text)).collect()),
        ("note", status.notes.iter().map(|text| split(text)).collect()),
        (
            "setting",
            status
                .settings
                .iter()
                .map(|one| (format!("{} ({})", one.name, one.source), one.note.clone()))
                .chain(listed(&status.host_settings))
                .collect(),
        ),
        (
            "generation",
            nameless(format!("{} (revision {}) is in force", status.in_kernel.generation, status.in_kernel.position)),
        ),
    ]);
    if status.dataplane.repairs > 0 {
        parts
            .insert("repairs", nameless(format!("changed by others and put back: {} times", status.dataplane.repairs)));
    }
    if let Some(failing) = &status.dataplane.failing {
        parts.insert("not in force", nameless(failing.clone()));
    }
    parts.insert("interface", status.interfaces.iter().map(|one| (one.name.clone(), interface(one))).collect());
    parts.insert("endpoint", status.endpoints.iter().map(|one| (one.name.clone(), endpoint(one))).collect());
    parts
}

/// A line of the status: what it is about, and the rest.
fn split(text: &str) -> (String, String) {
    let (what, why) = text.split_once(": ").unwrap_or((text, "is so"));
    (what.to_owned(), why.to_owned())
}

fn ready(status: &Status) -> &'static str {
    if status.ready { "ready" } else { "NOT READY" }
}

fn store(status: &Status) -> String {
    let store = &status.store;
    let state = match store.state {
        StoreState::Waiting => "not read yet",
        StoreState::InSync => "in sync",
        StoreState::NotAnswering => "DOES NOT ANSWER, what it held last is in force",
        StoreState::Missing => "DOES NOT EXIST or is empty, the kernel keeps what it had",
        StoreState::Lost => "LOST, what it held last is in force",
        StoreState::Replaced => "REPLACED by another store, what was in force stays",
        StoreState::NotAsked => "NOT ASKED, what it held last is in force",
        StoreState::Stale => "STALE, what an earlier agent read is in force",
    };
    let reason = if store.reason.is_empty() { String::new() } else { format!(": {}", store.reason) };
    format!("{}: {state}{reason}", store.name)
}

fn interface(one: &InterfaceStatus) -> String {
    match &one.endpoint {
        Some(endpoint) => format!("governed by {endpoint}"),
        None if one.closed => "a workload's without an endpoint: CLOSED".to_owned(),
        None => match &one.port_of {
            Some(master) => format!("a port of {master}, where its packets are judged"),
            None => "governed by no endpoint".to_owned(),
        },
    }
}

fn endpoint(one: &EndpointStatus) -> String {
    let mut parts = vec![match one.interfaces.as_slice() {
        [] => "on no interface".to_owned(),
        interfaces => format!("on {}", interfaces.join(", ")),
    }];
    for stage in &one.stages {
        let policies: Vec<&str> = stage.policies.iter().map(String::as_str).chain([&*stage.then]).collect();
        parts.push(format!("{} {}: {}", stage.stage, stage.direction, policies.join(", then ")));
    }
    parts.extend((!one.note.is_empty()).then(|| one.note.clone()));
    parts.join("; ")
}
