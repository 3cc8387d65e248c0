//! Moving the whole content of a store: read at one revision, written into an empty one, read back and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, bail};
use serde_json::Value;
use tortie_api::{Key, Kind, decode, encode};
use tortie_client::{DEFAULT_ALLOW, is_initial};
use tortie_store::{Operation, Position, Revision, Selection, Store, Stored, Write};

use crate::terminal::counted;

/// How many objects are given to the store at once.
const BATCH: usize = 2_000;

/// What a store holds.
pub(crate) struct Content {
    /// At this position.
    pub(crate) position: Position,
    /// The objects, in the order of their keys.
    pub(crate) objects: Vec<(Key, Vec<u8>)>,
    /// What is there and is no object that we know.
    pub(crate) unread: Vec<String>,
}

impl Content {
    /// Everything in a store.
    pub(crate) fn of(store: &dyn Store) -> anyhow::Result<Self> {
        let listing = store.list(&Selection::default()).context("cannot read the store")?;
        let mut unread = store.unread();
        let mut objects = Vec::with_capacity(listing.items.len());
        for Stored { key, value, .. } in listing.items {
            match value.unreadable() {
                None => objects.push((key, value.to_vec())),
                Some(reason) => unread.push(format!("{} cannot be read: {reason}", key.as_argument())),
            }
        }
        Ok(Self { position: listing.position, objects, unread })
    }
}

/// What a store can take of some objects, and what it cannot.
#[derive(Default)]
pub(crate) struct Plan {
    /// The objects that it takes.
    pub(crate) objects: Vec<(Key, Vec<u8>)>,
    /// Kinds that the target cannot hold: which objects, and why.
    pub(crate) left_out: Vec<LeftOut>,
    /// Other objects that the target refuses, and why.
    pub(crate) refused: Vec<String>,
}

/// Objects of a kind that a store cannot hold.
pub(crate) struct LeftOut {
    kind: Kind,
    reason: String,
    names: Vec<String>,
}

impl LeftOut {
    /// Whether what is enforced from the copy may differ without them. Services and EndpointSlices are not policy, no program writes them
    /// to another store, and every cluster has some.
    pub(crate) fn is_missed(&self) -> bool {
        !matches!(self.kind, Kind::KubernetesService | Kind::KubernetesEndpointSlice)
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, reason, names } = self;
        write!(f, "{} ({})", counted(names.len(), kind.for_users()), names.join(", "))?;
        if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
    }
}

impl Plan {
    /// Asks the store about each object; nothing is written. `initial` are objects of the store that are replaced.
    pub(crate) fn of(
        store: &dyn Store,
        objects: Vec<(Key, Vec<u8>)>,
        initial: &BTreeMap<Key, Revision>,
    ) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        let mut kinds: BTreeMap<(Kind, String), Vec<String>> = BTreeMap::new();
        for (key, value) in objects {
            match store.supports(key.kind, Operation::Create) {
                Ok(()) => plan.objects.push((key, value)),
                Err(unsupported) => {
                    let reason = unsupported.reason.unwrap_or_default();
                    let name =
                        if key.namespace.is_empty() { key.name } else { format!("{}/{}", key.namespace, key.name) };
                    kinds.entry((key.kind, reason)).or_default().push(name);
                }
            }
        }
        plan.left_out = kinds.into_iter().map(|((kind, reason), names)| LeftOut { kind, reason, names }).collect();
        plan.refuse_missing_profiles(store)?;
        let answers = store.rehearse(&writes(store, &plan.objects, initial)).context("the target cannot be asked")?;
        for ((key, _), answer) in plan.objects.iter().zip(answers) {
            if let Err(refused) = answer {
                plan.refused.push(format!("{}: {refused}", key.as_argument()));
            }
        }
        Ok(plan)
    }

    /// Refuses host endpoints that name a profile which is left out and which the store does not have itself: what the profile allows and
    /// the labels that it gives would be missing there.
    fn refuse_missing_profiles(&mut self, store: &dyn Store) -> anyhow::Result<()> {
        let left_out = self.left_out.iter().filter(|left| left.kind == Kind::Profile).flat_map(|left| &left.names);
        let mut missing = BTreeSet::new();
        for name in left_out.filter(|name| *name != DEFAULT_ALLOW) {
            if store.get(&Key::cluster(Kind::Profile, name)).context("the target cannot be asked")?.is_none() {
                missing.insert(name.as_str());
            }
        }
        for (key, value) in self.objects.iter().filter(|(key, _)| key.kind == Kind::HostEndpoint) {
            let Ok(object) = decode::stored(key, value) else { continue };
            let profiles = object.body.get("spec").and_then(|spec| spec["profiles"].as_array()).into_iter().flatten();
            let names: Vec<&str> = profiles.filter_map(Value::as_str).filter(|name| missing.contains(name)).collect();
            if !names.is_empty() {
                self.refused.push(format!(
                    "{} names the profile {}, which is not copied: without it, what it allows and its labels would be missing; \
                     change the profiles of the endpoint before (`{DEFAULT_ALLOW}` exists in every store), and give it their \
                     labels itself",
                    key.as_argument(),
                    names.join(", ")
                ));
            }
        }
        Ok(())
    }
}

/// The writes that put these objects in a store that holds only `initial` objects.
fn writes(store: &dyn Store, objects: &[(Key, Vec<u8>)], initial: &BTreeMap<Key, Revision>) -> Vec<Write> {
    let keeps_bytes = store.abilities().any_content;
    let write = |(key, value): &(Key, Vec<u8>)| match initial.get(key) {
        Some(revision) if keeps_bytes => Write::update(key.clone(), value.as_slice(), revision.clone()),
        // An object of an API server keeps the uid that it has there.
        Some(revision) => Write::update(key.clone(), content(key, value), revision.clone()),
        None => Write::create(key.clone(), value.as_slice()),
    };
    objects.iter().map(write).collect()
}

/// Writes these objects into a store that is empty, and makes sure that they are there.
pub(crate) fn fill(store: &dyn Store, objects: &[(Key, Vec<u8>)]) -> anyhow::Result<()> {
    let initial = only_initial(store, "")?;
    let target = store.describe();
    for batch in objects.chunks(BATCH) {
        let outcomes =
            store.write(&writes(store, batch, &initial)).with_context(|| format!("the {target} holds a part only"))?;
        for ((key, _), outcome) in batch.iter().zip(outcomes) {
            outcome
                .with_context(|| format!("{} cannot be written; the {target} holds a part only", key.as_argument()))?;
        }
    }
    let mut arrived = Content::of(store)?.objects;
    let is_sent = |key: &Key| objects.iter().any(|(sent, _)| sent == key);
    arrived.retain(|(key, _)| {
        store.supports(key.kind, Operation::Create).is_ok() && (!initial.contains_key(key) || is_sent(key))
    });
    let mut sent: Vec<&(Key, Vec<u8>)> = objects.iter().collect();
    sent.sort_unstable();
    let keeps_bytes = store.abilities().any_content;
    let is_same = |arrived: &(Key, Vec<u8>), sent: &(Key, Vec<u8>)| match keeps_bytes {
        true => arrived == sent,
        false => arrived.0 == sent.0 && content(&arrived.0, &arrived.1) == content(&sent.0, &sent.1),
    };
    if arrived.len() != sent.len() || !arrived.iter().zip(sent).all(|(arrived, sent)| is_same(arrived, sent)) {
        bail!("what is in the {target} now is not what was sent: somebody else writes to it");
    }
    Ok(())
}

/// Only an empty store is filled: one with nothing but the objects that every store has before its first one, which are returned. What
/// no program writes to it, since it follows from objects of Kubernetes, does not count. `instead` says what else can be done.
pub(crate) fn only_initial(store: &dyn Store, instead: &str) -> anyhow::Result<BTreeMap<Key, Revision>> {
    let listing = store.list(&Selection::default()).context("cannot read the target")?;
    let is_written = |stored: &Stored| store.supports(stored.key.kind, Operation::Create).is_ok();
    let is_own = |stored: &Stored| {
        stored.value.unreadable().is_none()
            && decode::stored(&stored.key, &stored.value).is_ok_and(|object| is_initial(&object))
    };
    let (initial, there): (Vec<Stored>, Vec<Stored>) = listing.items.into_iter().filter(is_written).partition(is_own);
    if !there.is_empty() {
        let there: Vec<String> = there.iter().map(|stored| stored.key.as_argument()).collect();
        let (objects, names) = (counted(there.len(), "object"), tortie_explain::shortened(there, 5));
        bail!(
            "the {} has {objects} already ({names}); only an empty store is filled, so that nothing is mixed{instead}",
            store.describe()
        );
    }
    Ok(initial.into_iter().map(|stored| (stored.key, stored.revision)).collect())
}

/// An object without what an API server gives it itself.
fn content(key: &Key, value: &[u8]) -> Vec<u8> {
    let Ok(mut object) = decode::stored(key, value) else { return value.to_vec() };
    let metadata = &mut object.metadata;
    metadata.uid.clear();
    metadata.resource_version.clear();
    metadata.creation_timestamp = None;
    metadata.generation = 0;
    metadata.managed_fields.clear();
    encode::stored(&object)
}

#[cfg(test)]
mod tests {
    use tortie_store::memory::MemoryStore;

    use super::*;

    #[test]
    fn a_copy_is_equal_and_a_store_with_content_is_not_written() {
        let (from, to) = (MemoryStore::new(), MemoryStore::new());
        let key = |name: &str| Key::cluster(Kind::Tier, name);
        let writes: Vec<Write> =
            ["b", "a"].into_iter().map(|name| Write::create(key(name), b" {\"x\":1.0}\xff".as_slice())).collect();
        from.write(&writes).unwrap();
        let content = Content::of(&from).unwrap();
        fill(&to, &content.objects).unwrap();
        assert_eq!(Content::of(&to).unwrap().objects, content.objects);
        let error = fill(&to, &content.objects).unwrap_err();
        assert!(error.to_string().contains("has 2 objects already"), "{error}");
    }

    #[test]
    fn a_store_with_what_every_store_has_before_its_first_object_is_empty_and_gets_the_copied_ones() {
        let to = MemoryStore::new();
        let client = tortie_client::Client::new(std::sync::Arc::new(to.clone()));
        client.initialise("", "").unwrap();
        let tier = |name: &str, order: u32| {
            (
                Key::cluster(Kind::Tier, name),
                format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"order":{order}}}}}"#).into_bytes(),
            )
        };
        let objects = [tier("default", 1_000_000), tier("first", 1)];
        fill(&to, &objects).unwrap();
        let arrived = Content::of(&to).unwrap().objects;
        assert_eq!(arrived.len(), 5, "with the other two tiers and the ClusterInformation: {arrived:?}");
        assert!(objects.iter().all(|object| arrived.contains(object)));
        // A changed one is somebody's.
        let changed = MemoryStore::new();
        tortie_client::Client::new(std::sync::Arc::new(changed.clone())).initialise("", "").unwrap();
        let (key, value) = tier("default", 7);
        let revision = changed.get(&key).unwrap().unwrap().revision;
        changed.write(&[Write::update(key, value, revision)]).unwrap().remove(0).unwrap();
        let error = fill(&changed, &objects).unwrap_err();
        assert!(error.to_string().contains("has 1 object already (tier/default)"), "{error}");
    }
}
