//! The doubts about an object that only its neighbours answer: does the profile exist that it names?
//!
//! The store's client warns of these when it has written; `--strict` wants to know before.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};

use tortie_api::{Key, Kind, Object, Problem, warnings};
use tortie_store::Selection;
use tortie_store::client::Client;

/// Answers from the store and from the batch that is about to be written.
pub(crate) struct Doubts<'a> {
    client: &'a Client,
    batch: HashSet<Key>,
    /// Host endpoints: those of the batch, and once asked for, those stored.
    endpoints: Vec<Object>,
    stored: OnceCell<Vec<Object>>,
    known: RefCell<HashMap<Key, bool>>,
}

impl<'a> Doubts<'a> {
    /// Asks this store.
    pub(crate) fn new(client: &'a Client) -> Self {
        Self {
            client,
            batch: HashSet::new(),
            endpoints: Vec::new(),
            stored: OnceCell::new(),
            known: RefCell::default(),
        }
    }

    /// This object is about to be written, so it counts as there.
    pub(crate) fn comes(&mut self, object: &Object) {
        self.batch.insert(object.key());
        if object.kind == Kind::HostEndpoint {
            self.endpoints.push(object.clone());
        }
    }

    /// The warnings about what an object names.
    pub(crate) fn of(&self, object: &Object) -> Vec<Problem> {
        let mut doubts = warnings::references(object, &|key| self.exists(key));
        if object.kind == Kind::GlobalNetworkPolicy {
            let stored = self.stored.get_or_init(|| self.stored());
            let stored = stored.iter().filter(|endpoint| !self.batch.contains(&endpoint.key()));
            doubts.extend(warnings::untracked_on_any(object, self.endpoints.iter().chain(stored)));
        }
        doubts
    }

    fn stored(&self) -> Vec<Object> {
        let all = self.client.list(&Selection::kind(Kind::HostEndpoint));
        all.map(|listed| listed.objects).unwrap_or_default()
    }

    fn exists(&self, key: &Key) -> bool {
        if self.batch.contains(key) {
            return true;
        }
        *self.known.borrow_mut().entry(key.clone()).or_insert_with(|| self.client.get(key).is_ok())
    }
}
