//! Objects straight from the bytes that a store keeps, for enforcement.

use serde_json::Value;
use tortie_api::decode::{self, Part};
use tortie_api::misspelt::{is_near, may_be_scope, meant_field};
use tortie_api::{Key, Kind, Object};

use super::policy::EarlyLists;
use super::read::{FieldPath, Invalidities};
use super::{Invalid, Item};

/// What is enforced for stored bytes.
pub struct Stored {
    /// The object, as far as it could be read.
    pub object: Object,
    /// What it means.
    pub item: Item,
    /// The unreadable parts, and what replaces them.
    pub invalid: Vec<Invalid>,
}

impl Item {
    /// Reads the value of a key as it can safely be enforced, and everything that could not be read. It takes time
    /// and memory in proportion to the bytes, whatever they contain.
    pub fn read_stored(key: &Key, bytes: &[u8]) -> (Item, Vec<Invalid>) {
        match Self::plain(key, bytes) {
            Some(item) => (item, Vec::new()),
            None => {
                let Stored { item, invalid, .. } = Stored::read(key, bytes);
                (item, invalid)
            }
        }
    }
}

impl Stored {
    /// What is enforced for an object that the store itself could not read, for this reason.
    pub fn unreadable(key: &Key, reason: &str) -> Stored {
        nothing_known(key, reason.to_owned(), Invalidities::default())
    }

    /// Reads a stored object, and keeps the decoded object.
    pub fn read(key: &Key, bytes: &[u8]) -> Stored {
        let mut wrong = Invalidities::default();
        let room = decode::room(bytes);
        if !decides(key.kind) {
            // Null is absence there.
            return match decode::without_repeats(key, bytes, room, &mut |path, damage| wrong.damaged(path, damage)) {
                Ok(object) => {
                    let (item, invalid) = super::read(&object, EarlyLists::default(), wrong);
                    Stored { object, item, invalid }
                }
                Err(error) => nothing_known(key, error.to_string(), wrong),
            };
        }
        let mut early = EarlyLists::default();
        let decoded = decode::exact(key, bytes, room, &mut |part| {
            let (name, value) = match part {
                Part::Begin(name) => {
                    early.begin(name);
                    return true;
                }
                Part::Damaged(path, damage) => {
                    wrong.damaged(path, damage);
                    return true;
                }
                Part::Item(name, value) => (name, value),
            };
            let at = FieldPath::SPEC;
            let at = at.key(name);
            match (name, &mut early) {
                ("ingress", EarlyLists { ingress: Some(list), .. })
                | ("egress", EarlyLists { egress: Some(list), .. }) => {
                    list.push(&value, &key.namespace, at, &mut wrong)
                }
                ("nets", EarlyLists { nets: Some(list), .. }) => {
                    list.push(&value, at, &mut wrong);
                    true
                }
                _ => true,
            }
        });
        let mut object = match decoded {
            Ok(object) => object,
            Err(error) => return nothing_known(key, error.to_string(), wrong),
        };
        take_misspelt(&mut object, &mut wrong);
        let (item, invalid) = super::read(&object, early, wrong);
        Stored { object, item, invalid }
    }
}

/// Makes each absent field unreadable that an unknown one may be meant for.
fn take_misspelt(object: &mut Object, wrong: &mut Invalidities) {
    let kind = object.kind;
    let metadata = &mut object.metadata;
    if metadata.labels.is_empty()
        && !metadata.other.contains_key("labels")
        && let Some(unknown) = metadata.other.keys().find(|name| is_near("labels", name)).cloned()
    {
        metadata.other.insert("labels".to_owned(), Value::Null);
        wrong.misspelt(FieldPath::LABELS, unknown);
    }
    let Some(spec) = object.body.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let mut found = Vec::new();
    for name in spec.keys() {
        // A selector that may be a scope counts as that.
        let field = meant_field(kind, spec, name)
            .filter(|field| !(field.ends_with("elector") && may_be_scope(kind, spec, name)));
        found.extend(field.map(|field| (field, name.clone())));
    }
    for (field, unknown) in found {
        spec.insert(field.to_owned(), Value::Null);
        wrong.misspelt(FieldPath::SPEC.key(field), unknown);
    }
}

/// Whether an object of a kind without a spec is damaged: programs write one, also an empty one.
pub(super) fn needs_spec(kind: Kind) -> bool {
    decides(kind) && kind != Kind::KubernetesEndpointSlice
}

/// Kinds of which every field can close something.
fn decides(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Tier
            | Kind::NetworkPolicy
            | Kind::GlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedGlobalNetworkPolicy
            | Kind::KubernetesNetworkPolicy
            | Kind::KubernetesClusterNetworkPolicy
            | Kind::Profile
            | Kind::HostEndpoint
            | Kind::WorkloadEndpoint
            | Kind::NetworkSet
            | Kind::GlobalNetworkSet
            | Kind::KubernetesEndpointSlice
    )
}

/// Reads an object of which only the name is known.
fn nothing_known(key: &Key, reason: String, wrong: Invalidities) -> Stored {
    let mut object = Object::new(key.clone());
    object.body.insert("spec".to_owned(), serde_json::Value::Null);
    object.metadata.other.insert("labels".to_owned(), serde_json::Value::Null);
    let mut wrong = wrong.without_notes();
    wrong.note(FieldPath::Top(""), reason, consequence(key.kind));
    wrong.silent = true;
    let (item, invalid) = super::read(&object, EarlyLists::default(), wrong);
    Stored { object, item, invalid }
}

/// What follows when nothing of an object can be read.
pub(super) fn consequence(kind: Kind) -> &'static str {
    match kind {
        Kind::Tier => {
            "its policies are asked before those of other tiers, what they allow goes on to the other tiers, and the tier denies at its end"
        }
        Kind::NetworkPolicy | Kind::KubernetesNetworkPolicy => "every workload of its namespace denies everything",
        Kind::Profile => "its endpoints deny everything, failsafes aside",
        Kind::WorkloadEndpoint => "its interface stays closed",
        _ => "it does not count",
    }
}

/// Whether an object of which nothing in the spec can be read still counts. One that could be about everything does not: it
/// would have to deny every packet of every node. What a set is called in rules is in its labels; an endpoint has labels from its spec too.
pub(super) fn counts_without_spec(kind: Kind, has_labels: bool) -> bool {
    match kind {
        Kind::Tier | Kind::NetworkPolicy | Kind::KubernetesNetworkPolicy | Kind::Profile => true,
        Kind::NetworkSet | Kind::GlobalNetworkSet => has_labels,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
