//! The doubts about an object that only its neighbours answer: does the profile exist that it names?
//!
//! The store's client warns of these when it has written; `--strict` wants to know before.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use tortie_api::{Key, Object, Problem, warnings};
use tortie_store::client::Client;

/// Answers from the store and from the batch that is about to be written.
pub(crate) struct Doubts<'a> {
    client: &'a Client,
    batch: HashSet<Key>,
    known: RefCell<HashMap<Key, bool>>,
}

impl<'a> Doubts<'a> {
    /// Asks this store.
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client, batch: HashSet::new(), known: RefCell::default() }
    }

    /// This object is about to be written, so it counts as there.
    pub(crate) fn comes(&mut self, object: &Object) {
        self.batch.insert(object.key());
    }

    /// The warnings about what an object names.
    pub(crate) fn of(&self, object: &Object) -> Vec<Problem> {
        warnings::references(object, &|key| self.exists(key))
    }

    fn exists(&self, key: &Key) -> bool {
        if self.batch.contains(key) {
            return true;
        }
        *self.known.borrow_mut().entry(key.clone()).or_insert_with(|| self.client.get(key).is_ok())
    }
}
