//! Moving the whole content of a store: read at one revision, written into an empty one, read back and compared.

use anyhow::{Context, bail};
use tortie_api::Key;
use tortie_store::{Position, Selection, Store, Stored, Write};

use crate::report::counted;

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

/// Writes these objects into a store that is empty, and makes sure that they are there.
pub(crate) fn fill(store: &dyn Store, objects: &[(Key, Vec<u8>)]) -> anyhow::Result<()> {
    let target = store.describe();
    let there = store.list(&Selection::default()).context("cannot read the target")?.items.len();
    if there > 0 {
        let objects = counted(there, "object");
        bail!("the {target} has {objects} already; only an empty store is filled, so that nothing is mixed");
    }
    for batch in objects.chunks(BATCH) {
        let writes: Vec<Write> =
            batch.iter().map(|(key, value)| Write::create(key.clone(), value.as_slice())).collect();
        let outcomes = store.write(&writes).with_context(|| format!("the {target} holds a part only"))?;
        for ((key, _), outcome) in batch.iter().zip(outcomes) {
            outcome
                .with_context(|| format!("{} cannot be written; the {target} holds a part only", key.as_argument()))?;
        }
    }
    let arrived = Content::of(store)?.objects;
    let mut sent: Vec<&(Key, Vec<u8>)> = objects.iter().collect();
    sent.sort_unstable();
    if !arrived.iter().eq(sent) {
        bail!("what is in the {target} now is not what was sent: somebody else writes to it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;
    use tortie_store::memory::MemoryStore;

    use super::*;

    #[test]
    fn what_arrives_is_equal_and_a_full_store_is_left_alone() {
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
}
