//! What the client promises, one claim a test. Here: the tools; the claims are in `tests/`, one file a subject.

mod all_or_nothing;
mod apply;
mod delete;
mod initial;
mod kinds;
mod label;
mod legacy;
mod patch;
mod races;
mod refusal;
mod supported;
mod unknown;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tortie_api::{Key, Kind, Object};

use super::*;
use tortie_store::memory::MemoryStore;
use tortie_store::{
    Layer, Listing, Op, Stopped, StoreError, Stored, Watch, Write, WriteError, Written, WrittenTogether,
};

type Hook = Box<dyn FnMut(&MemoryStore) + Send>;

/// A store in memory that counts what is written, and can do something just before a write.
#[derive(Default)]
struct Spy {
    inner: MemoryStore,
    calls: AtomicUsize,
    done: AtomicUsize,
    /// How many changes a transaction takes; 0 for any number.
    chunk: AtomicUsize,
    before: Mutex<Option<Hook>>,
}

impl Spy {
    /// How often `write` was called, and how many writes were done, since this was last asked.
    fn count(&self) -> (usize, usize) {
        (self.calls.swap(0, Ordering::Relaxed), self.done.swap(0, Ordering::Relaxed))
    }

    fn before_writes(&self, hook: impl FnMut(&MemoryStore) + Send + 'static) {
        *self.before.lock().unwrap() = Some(Box::new(hook));
    }
}

impl Store for Spy {
    fn describe(&self) -> String {
        "spy".to_owned()
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.inner.get(key)
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        self.inner.list(selection)
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        if let Some(hook) = &mut *self.before.lock().unwrap() {
            hook(&self.inner);
        }
        let answers = self.inner.write(writes)?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.done.fetch_add(answers.iter().filter(|answer| answer.is_ok()).count(), Ordering::Relaxed);
        Ok(answers)
    }

    fn write_together(&self, writes: &[Write]) -> Result<WrittenTogether, StoreError> {
        if let Some(hook) = &mut *self.before.lock().unwrap() {
            hook(&self.inner);
        }
        let whole = match self.chunk.load(Ordering::Relaxed) {
            0 => self.inner.write_together(writes)?,
            chunk => in_chunks(&self.inner, writes, chunk)?,
        };
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.done.fetch_add(whole.made.len(), Ordering::Relaxed);
        Ok(whole)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        self.inner.watch(selection, from)
    }
}

/// As a store does whose transactions take so many changes.
fn in_chunks(store: &MemoryStore, writes: &[Write], chunk: usize) -> Result<WrittenTogether, StoreError> {
    let mut whole = WrittenTogether::default();
    for writes in writes.chunks(chunk) {
        let start = whole.made.len();
        let next = store.write_together(writes)?;
        whole.made.extend(next.made);
        if let Some(Stopped::Refused(refused)) = next.stopped {
            let numbered = refused.into_iter().map(|(at, reason)| (start + at, reason));
            whole.stopped = Some(Stopped::Refused(numbered.collect()));
            break;
        }
    }
    Ok(whole)
}

/// A client of a store with its initial content, and the store.
fn ready() -> (Client, Arc<Spy>) {
    let (client, spy) = empty();
    client.initialise("", "").unwrap();
    spy.count();
    (client, spy)
}

/// A client of an empty store, and the store.
fn empty() -> (Client, Arc<Spy>) {
    let spy = Arc::new(Spy::default());
    (Client::new(spy.clone()), spy)
}

/// An object from its JSON.
fn object(json: Value) -> Object {
    let Value::Object(mut body) = json else { panic!("{json} is no object") };
    let kind = Kind::from_name(body.remove("kind").unwrap().as_str().unwrap()).unwrap();
    let metadata = serde_json::from_value(body.remove("metadata").unwrap()).unwrap();
    Object { kind, metadata, body }
}

fn hep(name: &str) -> Object {
    object(json!({ "kind": "HostEndpoint", "metadata": { "name": name },
        "spec": { "node": "n1", "interfaceName": "eth0", "expectedIPs": ["10.0.0.1"] } }))
}

fn gnp(name: &str, tier: &str) -> Object {
    object(json!({ "kind": "GlobalNetworkPolicy", "metadata": { "name": name }, "spec": { "tier": tier } }))
}

fn tier(name: &str) -> Object {
    object(json!({ "kind": "Tier", "metadata": { "name": name }, "spec": { "order": 10 } }))
}

fn cluster(kind: Kind, name: &str) -> Key {
    Key::cluster(kind, name)
}

/// Writes the JSON as another program would.
fn raw(store: &Spy, key: &Key, json: &Value) {
    raw_text(store, key, &json.to_string());
}

/// Writes text under a key, as other programs do.
fn raw_text(store: &Spy, key: &Key, text: &str) {
    let bytes = text.as_bytes().to_vec();
    let write = match store.inner.get(key).unwrap() {
        Some(stored) => Write::update(key.clone(), bytes, stored.revision),
        None => Write::create(key.clone(), bytes),
    };
    store.inner.write(&[write]).unwrap().remove(0).unwrap();
}

/// The JSON that is stored.
fn stored(store: &Spy, key: &Key) -> Value {
    serde_json::from_slice(&store.inner.get(key).unwrap().unwrap().value).unwrap()
}

/// What became of one object, in a word or in the error's text.
fn said(result: &Result<Done, ClientError>) -> String {
    match result {
        Ok(done) => format!("{:?}", done.change),
        Err(error) => error.to_string(),
    }
}

/// Writes one object and says what became of it.
fn put(client: &Client, object: Object, mode: Mode) -> String {
    said(&client.apply(vec![object], mode)[0].result)
}

/// Deletes one object and says what became of it.
fn remove(client: &Client, key: Key) -> String {
    said(&client.delete(vec![key.into()], false)[0].result)
}
