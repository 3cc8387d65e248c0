//! What the claims share: keys and values to write, and short ways to say what must succeed.

use std::time::{Duration, Instant};

use tortie_api::{Key, Kind};

use crate::{Event, Position, Revision, Selection, Store, StoreError, Stored, Watch, Write, WriteError, Written};

/// How long a claim waits for something that has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn tier(name: &str) -> Key {
    Key::cluster(Kind::Tier, name)
}

pub(super) fn policy(namespace: &str, name: &str) -> Key {
    Key { kind: Kind::NetworkPolicy, namespace: namespace.into(), name: name.into() }
}

/// A small object that says its key and a note, so that one is told from another.
pub(super) fn value(key: &Key, note: &str) -> Vec<u8> {
    let spec = match key.kind {
        Kind::HostEndpoint => serde_json::json!({ "node": "n", "interfaceName": "eth0" }),
        _ => serde_json::json!({}),
    };
    let mut metadata = serde_json::json!({ "name": key.name, "annotations": { "note": note } });
    if key.kind.namespaced() {
        metadata["namespace"] = key.namespace.clone().into();
    }
    let object = serde_json::json!({
        "apiVersion": tortie_api::API_VERSION,
        "kind": key.kind.name(),
        "metadata": metadata,
        "spec": spec,
    });
    object.to_string().into_bytes()
}

/// The note of an object that a store gave back.
pub(super) fn note(stored: &Stored) -> String {
    let object: serde_json::Value = serde_json::from_slice(&stored.value).expect("an object is JSON");
    let note = &object["metadata"]["annotations"]["note"];
    note.as_str().expect("an object keeps its annotations").to_owned()
}

pub(super) fn create(key: &Key, note: &str) -> Write {
    Write::create(key.clone(), value(key, note))
}

pub(super) fn update(key: &Key, note: &str, revision: impl Into<Revision>) -> Write {
    Write::update(key.clone(), value(key, note), revision)
}

pub(super) fn update_at(key: &Key, note: &str, revision: &Revision) -> Write {
    update(key, note, revision.clone())
}

pub(super) fn delete(key: &Key, revision: Option<&Revision>) -> Write {
    Write::delete(key.clone(), revision.cloned())
}

/// Short ways to ask for what must succeed.
pub(super) trait Must {
    /// One write and what came of it.
    fn try_one(&self, write: Write) -> Result<Written, WriteError>;
    /// One write that must be accepted.
    fn one(&self, write: Write) -> Written;
    /// An object that must exist.
    fn object(&self, key: &Key) -> Stored;
    /// Everything.
    fn all(&self) -> crate::Listing;
    /// A watch of everything.
    fn follow(&self, from: &Position) -> Box<dyn Watch>;
    /// From where the changes that are made after this call can be watched; all of history where that is kept.
    fn beginning(&self) -> Position;
    /// That an object is that of its key with this note: byte for byte where the store promises that.
    fn shows(&self, stored: &Stored, text: &str);
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

    fn object(&self, key: &Key) -> Stored {
        self.get(key).expect("the store answers a get").expect("the object exists")
    }

    fn all(&self) -> crate::Listing {
        self.list(&Selection::default()).expect("the store answers a list")
    }

    fn follow(&self, from: &Position) -> Box<dyn Watch> {
        self.watch(&Selection::default(), from).expect("the store answers a watch")
    }

    fn beginning(&self) -> Position {
        match self.abilities().one_history {
            true => Position::START,
            false => self.position().expect("the store says where it stands"),
        }
    }

    fn shows(&self, stored: &Stored, text: &str) {
        assert_eq!(note(stored), text, "{}", stored.key);
        if self.abilities().any_content {
            assert_eq!(stored.value[..], value(&stored.key, text)[..]);
        }
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

/// The events up to this position, which must come.
pub(super) fn until(watch: &mut dyn Watch, goal: &Position) -> Vec<Event> {
    let mut events = vec![next(watch)];
    while !watch.position().has_reached(goal) {
        events.push(next(watch));
    }
    events
}

/// In the order that a store promises: changes of different kinds have one only where there is one history.
pub(super) fn in_order(store: &dyn Store, mut events: Vec<Event>) -> Vec<Event> {
    if !store.abilities().one_history {
        events.sort_by_key(|event| event.key().kind);
    }
    events
}

/// The answer of a watch from where history is no longer kept: at once, or at the first event.
pub(super) fn forgotten(store: &dyn Store, from: &Position) -> StoreError {
    match store.watch(&Selection::default(), from) {
        Err(error) => error,
        Ok(mut watch) => watch.next(PATIENCE).expect_err("the history is not kept"),
    }
}

/// From where history is kept, as a "compacted" says; any other error fails.
pub(super) fn kept(error: StoreError, from: &Position) -> Position {
    match error {
        StoreError::Compacted { from: said, kept } => {
            assert_eq!(said, *from);
            kept
        }
        other => panic!("not compacted: {other}"),
    }
}
