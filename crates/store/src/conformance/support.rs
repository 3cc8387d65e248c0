//! What the claims share: keys and values to write, and short ways to say what must succeed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tortie_api::{Key, Kind};

use crate::{Event, Revision, Selection, Store, StoreError, Watch, Write, WriteError, Written};

/// How long a claim waits for something that has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn tier(name: &str) -> Key {
    Key::cluster(Kind::Tier, name)
}

pub(super) fn policy(namespace: &str, name: &str) -> Key {
    Key { kind: Kind::NetworkPolicy, namespace: namespace.into(), name: name.into() }
}

/// A small object that says its key, so that one is told from another.
pub(super) fn value(key: &Key, note: &str) -> Arc<[u8]> {
    serde_json::json!({
        "apiVersion": tortie_api::API_VERSION,
        "kind": key.kind.name(),
        "metadata": { "name": key.name, "namespace": key.namespace, "labels": { "note": note } },
        "spec": {},
    })
    .to_string()
    .into_bytes()
    .into()
}

pub(super) fn create(key: &Key, note: &str) -> Write {
    Write::create(key.clone(), value(key, note))
}

pub(super) fn update(key: &Key, note: &str, revision: Revision) -> Write {
    Write::update(key.clone(), value(key, note), revision)
}

pub(super) fn delete(key: &Key, revision: impl Into<Option<Revision>>) -> Write {
    Write::delete(key.clone(), revision.into())
}

/// Short ways to ask for what must succeed.
pub(super) trait Must {
    /// One write and its fate.
    fn try_one(&self, write: Write) -> Result<Written, WriteError>;
    /// One write that must be accepted.
    fn one(&self, write: Write) -> Written;
    /// What stands there now, which must be something.
    fn standing(&self, key: &Key) -> crate::Stored;
    /// The revision of the whole store.
    fn revision(&self) -> Revision;
    /// A watch of everything.
    fn follow(&self, from: Revision) -> Box<dyn Watch>;
}

impl<S: Store + ?Sized> Must for S {
    fn try_one(&self, write: Write) -> Result<Written, WriteError> {
        let mut results = self.write(&[write]).expect("the store answers a write");
        assert_eq!(results.len(), 1, "one write has one result");
        results.remove(0)
    }

    fn one(&self, write: Write) -> Written {
        self.try_one(write).expect("the write is accepted")
    }

    fn standing(&self, key: &Key) -> crate::Stored {
        self.get(key).expect("the store answers a get").expect("the object is there")
    }

    fn revision(&self) -> Revision {
        self.list(&Selection::default()).expect("the store answers a list").revision
    }

    fn follow(&self, from: Revision) -> Box<dyn Watch> {
        self.watch(&Selection::default(), from).expect("the store answers a watch")
    }
}

/// The next event, which must come.
pub(super) fn next(watch: &mut dyn Watch) -> Event {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(event) = watch.next(left).expect("the watch answers") {
            return event;
        }
        assert!(!left.is_zero(), "no event came");
    }
}

/// The events up to the one of this revision, which must come.
pub(super) fn until(watch: &mut dyn Watch, revision: Revision) -> Vec<Event> {
    let mut events = vec![next(watch)];
    while events.last().is_some_and(|last| last.revision() < revision) {
        events.push(next(watch));
    }
    events
}

/// The answer of a watch from a revision that is not kept: at once, or at the first event.
pub(super) fn compacted(store: &dyn Store, from: Revision) -> Revision {
    let error = match store.watch(&Selection::default(), from) {
        Err(error) => error,
        Ok(mut watch) => watch.next(PATIENCE).expect_err("the revision is not kept"),
    };
    kept(error, from)
}

/// What a "compacted" says is kept; any other error fails.
pub(super) fn kept(error: StoreError, from: Revision) -> Revision {
    match error {
        StoreError::Compacted { from: told, kept } => {
            assert_eq!(told, from);
            kept
        }
        StoreError::Failed(text) => panic!("failed instead of compacted: {text}"),
    }
}
