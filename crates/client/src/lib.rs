//! Calico's rules on top of a store, so that every store gives the same answers.
//!
//! A [`Store`] takes any bytes under any key. The client decides what may be written: it names workload
//! endpoints, fills in defaults, validates, sets uid and time, keeps what Calico protects, and makes one
//! [`Store::write`] of a whole batch. Objects are returned as users see them: policies under the names they gave
//! them, pools with their defaults, the built-in profile.
//!
//! ```text
//!   Object ──> rules ──> stored bytes ──> Store::write      apply, delete, patch, label
//!   Object <── shown <── stored bytes <── Store::get, list  get, list
//! ```
//!
//! Errors carry Calico's texts ([`ClientError`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod all_or_nothing;
mod batch;
mod batch_view;
mod builtin;
mod error;
mod initial;
mod label;
mod legacy;
mod object_rules;
mod order;
mod outcome;
mod patch;
mod plan;
mod pool;
mod remove;
mod unknown;
mod user_form;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tortie_api::{Key, Kind, Object};
use tortie_manifest::Problem;

use batch::{Job, Task};
use batch_view::View;
use tortie_store::{Listing, Overlay, Position, Selection, Store, Stored};

pub use all_or_nothing::Refuse;
pub use builtin::{DEFAULT_ALLOW, default_allow, is_built_in};
pub use error::ClientError;
pub use initial::{initial_tiers, is_initial, is_initial_tier};
pub use outcome::{Batch, BatchMode, Change, Done, Extent, LabelChange, Mode, Outcome, Target};
pub use patch::value_for_text;

/// Calico's rules on top of a store.
pub struct Client {
    store: Arc<dyn Store>,
    /// Unknown fields that were warned of.
    warned: Mutex<HashSet<(Kind, String)>>,
}

/// An object, and its warnings.
#[derive(Clone, Debug)]
pub struct ReadObject {
    /// The object.
    pub object: Object,
    /// Warnings.
    pub notes: Vec<Problem>,
}

/// The objects of a selection.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// The position in the store's history at which it was read.
    pub position: Position,
    /// The readable objects, in the order of the keys; tiers in their own order.
    pub objects: Vec<Object>,
    /// Why the others cannot.
    pub unreadable: Vec<ClientError>,
    /// All of them as the store holds them, in the order of the keys.
    pub stored: Vec<Stored>,
}

impl Client {
    /// A client of this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, warned: Mutex::default() }
    }

    /// A client that keeps its writes in memory: everything is checked and answered as if it were written.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self { store: Arc::new(Overlay::new(self.store)), ..self }
    }

    /// A client of the content that this store had at one moment. Its writes stay within the client, and are checked and
    /// answered as if the store was written to: so a plan is made by the same code.
    pub fn plan(store: Arc<dyn Store>, moment: Listing) -> Self {
        Self::new(Arc::new(Overlay::at(store, moment)))
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// One object, by the name that lists show.
    pub fn get(&self, key: &Key) -> Result<ReadObject, ClientError> {
        object_rules::namespace(key)?;
        let found = plan::find(&mut View::new(&*self.store), key)?;
        let notes = if found.stored.key == *key { None } else { plan::legacy_note(&found.stored.key, key) };
        Ok(ReadObject { object: found.object, notes: notes.into_iter().collect() })
    }

    /// The key under which the object that users know by this name is stored, or would be made.
    pub fn stored_key(&self, key: Key) -> Result<Key, ClientError> {
        if !key.kind.is_tiered() {
            return Ok(key);
        }
        let found = View::new(&*self.store).locate(&key)?;
        Ok(found.map_or(key, |stored| stored.key))
    }

    /// All objects of a selection. Listing profiles includes the built-in one.
    pub fn list(&self, selection: &Selection) -> Result<Objects, ClientError> {
        let mut all = self.read_all(selection)?;
        match selection.kind {
            Some(Kind::Profile) => all.objects.push(default_allow()),
            Some(Kind::Tier) => all.objects.sort_by(|a, b| order(a).total_cmp(&order(b))),
            _ => {}
        }
        Ok(all)
    }

    fn read_all(&self, selection: &Selection) -> Result<Objects, ClientError> {
        let listing = self.store.list(selection)?;
        let mut all = Objects { position: listing.position, ..Objects::default() };
        all.objects.reserve(listing.items.len() + 1);
        for object in tortie_parallel::map(&listing.items, user_form::read) {
            match object {
                Ok(object) => all.objects.push(object),
                Err(error) => all.unreadable.push(error),
            }
        }
        all.stored = listing.items;
        Ok(all)
    }

    /// Why applying an object is refused whatever a store holds; none if that depends on the store.
    pub fn refusal(mut object: Object) -> Option<ClientError> {
        object_rules::apply_anywhere(&mut object).err()
    }

    /// Writes objects, in order; one that fails does not stop the rest. A store that lacks its initial content
    /// gets it first.
    pub fn apply(&self, objects: Vec<Object>, mode: Mode) -> Vec<Outcome> {
        self.write(objects, mode, BatchMode::Calico, None).outcomes
    }

    /// Writes objects as one batch. Where `refuse` says so, the warnings about an object are errors.
    pub fn write(&self, objects: Vec<Object>, mode: Mode, batch_mode: BatchMode, refuse: Refuse) -> Batch {
        self.write_and_remove(objects, Vec::new(), mode, batch_mode, refuse)
    }

    /// Writes objects and deletes others as one batch; what does not exist any more counts as deleted. The outcomes are of the
    /// objects first.
    pub fn write_and_remove(
        &self,
        objects: Vec<Object>,
        targets: Vec<Target>,
        mode: Mode,
        batch_mode: BatchMode,
        refuse: Refuse,
    ) -> Batch {
        let put = |mut object: Object| {
            // One that cannot be named is refused in its turn.
            let _ = object_rules::name(&mut object);
            Job { key: object.key(), task: Task::Put(Box::new(object), mode) }
        };
        let delete = |target: Target| Job { key: target.key.clone(), task: Task::Delete(target, true) };
        let jobs = objects.into_iter().map(put).chain(targets.into_iter().map(delete)).collect();
        all_or_nothing::run(self, jobs, batch_mode, refuse)
    }

    /// Deletes, in order; one that fails does not stop the rest. With `skip_missing` an object that does not exist is no error.
    pub fn delete(&self, targets: Vec<Target>, skip_missing: bool) -> Vec<Outcome> {
        self.remove(targets, skip_missing, BatchMode::Calico).outcomes
    }

    /// Deletes as one batch.
    pub fn remove(&self, targets: Vec<Target>, skip_missing: bool, batch_mode: BatchMode) -> Batch {
        let job = |target: Target| Job { key: target.key.clone(), task: Task::Delete(target, skip_missing) };
        all_or_nothing::run(self, targets.into_iter().map(job).collect(), batch_mode, None)
    }

    /// Changes labels of one object, all of them or none.
    pub fn label(&self, key: &Key, changes: &[LabelChange]) -> Result<Done, ClientError> {
        self.edit(key, &|object| label::change(object, changes))
    }

    /// Patches one object with a strategic merge patch, which is JSON.
    pub fn patch(&self, key: &Key, patch: &str) -> Result<Done, ClientError> {
        self.edit(key, &|object| patch::apply(object, patch)).map_err(|error| match error {
            ClientError::Patch(_) | ClientError::Patched { .. } | ClientError::Store(_) => error,
            error if error.is_missing() => error,
            error => ClientError::Updating(Box::new(error)),
        })
    }

    /// Changes one object by a function, which may be called again if someone else changed it meanwhile.
    pub fn edit(&self, key: &Key, edit: &dyn Fn(&Object) -> Result<Object, ClientError>) -> Result<Done, ClientError> {
        object_rules::namespace(key)?;
        let job = Job { key: key.clone(), task: Task::Edit(edit) };
        let outcome = batch::run(self, vec![job], None).pop();
        outcome.expect("there is one outcome for each job").result
    }

    /// The key of this object in the store; a workload endpoint without a name gets the name that follows from its spec.
    pub fn key_of(&self, object: &Object) -> Result<Key, ClientError> {
        let mut object = object.clone();
        object_rules::name(&mut object)?;
        Ok(object.key())
    }

    /// Writes the initial content that is missing; says what was. The version and the types of the cluster
    /// (separated by commas) are noted if they are not empty.
    pub fn initialise(&self, version: &str, cluster_type: &str) -> Result<Vec<Key>, ClientError> {
        initial::initialise(self, version, cluster_type)
    }

    /// Whether the store is locked: agents wait until it is unlocked.
    pub fn is_locked(&self) -> Result<bool, ClientError> {
        initial::is_locked(self)
    }

    /// Locks the store. Says whether it was unlocked before.
    pub fn lock(&self) -> Result<bool, ClientError> {
        self.initialise("", "")?;
        initial::set_locked(self, true)
    }

    /// Unlocks the store. Says whether it was locked before.
    pub fn unlock(&self) -> Result<bool, ClientError> {
        initial::set_locked(self, false)
    }

    /// Gives policies that older releases stored as `default.<name>` the key of their name; one outcome for each.
    pub fn migrate_policy_names(&self) -> Result<Vec<Outcome>, ClientError> {
        legacy::migrate(self)
    }

    /// Whether this unknown field is found for the first time.
    fn is_first(&self, kind: Kind, field: &str) -> bool {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, field.to_owned()))
    }
}

/// The bytes that an object is stored as, for a program that writes what users may not, such as copies of Kubernetes' own objects. The
/// object gets what every stored one has, where it does not have it.
pub fn stored_value(object: &mut Object) -> Arc<[u8]> {
    plan::stamp(&mut object.metadata, &tortie_api::Metadata::default());
    user_form::write(object)
}

/// The order of a tier.
fn order(tier: &Object) -> f64 {
    let order = tier.body.get("spec").and_then(|spec| spec.get("order")).and_then(Value::as_f64);
    order.unwrap_or(f64::INFINITY)
}
