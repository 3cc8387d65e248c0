//! Puts back one transaction that nobody confirmed in time: the objects, the end of waiting and the record of all that in one
//! transaction, which is made only if everything that it follows from is as it was read.
//!
//! An object is put back if nobody has changed it since. Etcd's revision of the object tells that, whoever wrote it; what was
//! put back in between does not count. That an object was made and deleted again by another program is not noticed.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use tortie_api::{Key, Kind};
use tortie_store::history::{LoggedChange, PutBack, by_object, tier_of};
use tortie_store::{Author, HistoryEntry, Op, Selection, Store, StoreError, Stored, Write};

use super::record::{ACTS, Call, Image, PENDING, Record, changes, encoded, is_waiting};
use super::recorder::{now, ranges};
use super::{Found, is_as_found};
use crate::call_error::CallError;
use crate::path;
use crate::store::EtcdStore;
use crate::wire::{Compare, DeleteRequest, KeyValue, PutRequest, Request, Target, TxnRequest};
use crate::write::{Change, op};

/// How often it is tried again because something has changed meanwhile.
const MAX_ATTEMPTS: u32 = 10;

/// A policy of each tier that has one.
pub(super) fn used_tiers(store: &EtcdStore) -> Result<BTreeMap<String, Vec<Key>>, StoreError> {
    let mut used: BTreeMap<String, Vec<Key>> = BTreeMap::new();
    for kind in Kind::TIERED {
        for stored in store.list(&Selection::kind(kind))?.items {
            if let Some(tier) = tier_of(&stored) {
                used.entry(tier).or_default().push(stored.key);
            }
        }
    }
    Ok(used)
}

/// A record with what it was about.
struct Known {
    found: Found,
    kv: KeyValue,
    images: Vec<Image>,
}

impl Known {
    /// Where an object is among its images.
    fn at(&self, key: &Key) -> Option<usize> {
        self.found.head.keys().iter().position(|one| one.as_ref() == Some(key))
    }
}

/// The transactions by which one entry is put back.
pub(super) struct PutBackCall {
    call: Call,
    tried: Cell<u32>,
    /// How many were made.
    parts: Cell<u32>,
}

impl PutBackCall {
    pub(super) fn begin() -> Self {
        Self { call: Call::at(now()), tried: Cell::new(0), parts: Cell::new(0) }
    }

    fn record(&self, author: &Author, entry: &HistoryEntry) -> Record {
        let mut record = Record::of(author, &self.call, self.tried.replace(self.tried.get() + 1), &[], &[]);
        record.head.part = self.parts.get();
        record.head.puts_back = Some(entry.first);
        record.deadline = None;
        record
    }
}

/// Puts one transaction of an entry back. None when it does not wait any more. `created` are the objects that the whole entry made.
pub(super) async fn put_back(
    store: &EtcdStore,
    entry: &HistoryEntry,
    used: &BTreeMap<String, Vec<Key>>,
    created: &[Key],
    call: &PutBackCall,
) -> Result<Option<PutBack>, CallError> {
    for _ in 0..MAX_ATTEMPTS {
        let Some(waits) = waiting(store, entry).await? else { return Ok(None) };
        let mut known = Vec::new();
        for found in store.found(entry.first, u64::MAX).await? {
            let (kv, images) = store.images(&found).await?;
            known.push(Known { found, kv, images });
        }
        known.sort_by_key(|one| one.found.revision);
        let pending = store.waiting().await?;
        let mut all = match known.iter().find(|one| one.found.revision == entry.first) {
            Some(own) => by_object(changes(&own.found.head, own.images.clone(), own.found.revision)),
            None => return Ok(None),
        };
        // The policies of a tier go before it.
        all.sort_by_key(|change| change.key.kind == Kind::Tier && change.before.is_none());
        let paths: Vec<String> = all.iter().filter_map(|change| path::of(&change.key)).collect();
        let current = ranges(store.connection(), paths.iter()).await?;
        let waits_too = |one: &Known| pending.contains_key(&one.found.id);
        let plan = plan(entry, all, current, &mut known, waits_too, (used, created));
        let (request, done) = plan.transaction(call.record(&store.recorder.author(), entry), &waits);
        let (succeeded, maybe) = store.carried_out(request).await?;
        // What was carried out by a try whose answer was lost does not wait any more.
        if succeeded || maybe && waiting(store, entry).await?.is_none() {
            call.parts.set(call.parts.get() + 1);
            return Ok(Some(done));
        }
    }
    Err(CallError::Away("what is to be put back is changed all the time".to_owned()))
}

/// The key that says that an entry waits.
async fn waiting(store: &EtcdStore, entry: &HistoryEntry) -> Result<Option<KeyValue>, CallError> {
    match store.records_of(entry).await?.first() {
        Some(found) => store.at(format!("{PENDING}{}", found.id)).await,
        None => Ok(None),
    }
}

/// What is to be done.
struct Plan {
    writes: Vec<(Write, Option<Stored>)>,
    /// Objects that are right already, or that do not exist and need not.
    unchanged: Vec<(Key, Option<Stored>)>,
    /// Images of later entries that were told what to put back.
    handed: Vec<(KeyValue, String, Vec<u8>)>,
    done: PutBack,
}

fn plan(
    entry: &HistoryEntry,
    all: Vec<LoggedChange>,
    current: Vec<Option<Stored>>,
    known: &mut [Known],
    waits_too: impl Fn(&Known) -> bool,
    (used, created): (&BTreeMap<String, Vec<Key>>, &[Key]),
) -> Plan {
    let mut plan = Plan { writes: Vec::new(), unchanged: Vec::new(), handed: Vec::new(), done: PutBack::default() };
    let mut told: Vec<usize> = Vec::new();
    for (change, current) in all.into_iter().zip(current) {
        if !is_ours(entry, &change, current.as_ref(), known) {
            match next(entry, &change.key, known)
                .filter(|at| waits_too(&known[*at]) && follows(entry, &change.key, *at, known))
            {
                Some(at) => {
                    let own = known.iter().find(|one| one.found.revision == entry.first);
                    let revision = own.and_then(|own| Some(own.images[own.at(&change.key)?].before_revision));
                    if let Some(image) = known[at].at(&change.key) {
                        known[at].images[image].before = change.before;
                        known[at].images[image].before_revision = revision.unwrap_or(0);
                        told.push(at);
                    }
                    plan.done.waiting.push(change.key);
                }
                None => plan.done.left.push(change.key),
            }
            continue;
        }
        let op = change.taking_back(current.as_ref());
        let policy = used.get(&change.key.name).and_then(|policies| policies.iter().find(|one| !created.contains(one)));
        if change.key.kind == Kind::Tier
            && matches!(op, Some(Op::Delete(_)))
            && let Some(policy) = policy
        {
            plan.done.in_use.push((change.key, policy.clone()));
            continue;
        }
        match op {
            Some(op) => plan.writes.push((Write { key: change.key.clone(), op }, current)),
            None => plan.unchanged.push((change.key.clone(), current)),
        }
        plan.done.restored.push(change.key);
    }
    told.sort_unstable();
    told.dedup();
    for at in told {
        let one = &known[at];
        plan.handed.push((one.kv.clone(), one.found.id.clone(), encoded(&one.images)));
    }
    plan
}

/// Whether an object is as the entry left it.
fn is_ours(entry: &HistoryEntry, change: &LoggedChange, current: Option<&Stored>, known: &[Known]) -> bool {
    if current.map(|stored| &*stored.value) != change.after.as_deref() {
        return false;
    }
    match current {
        Some(stored) => origin(stored.revision.number().unwrap_or(0), &change.key, known) == entry.first,
        // Etcd keeps nothing of an object that does not exist: only what tortie wrote is known.
        None => next(entry, &change.key, known).is_none(),
    }
}

/// The change that an object's revision is of: of what was put back, the one before what was put back.
fn origin(revision: u64, key: &Key, known: &[Known]) -> u64 {
    let of = |revision: u64| known.iter().find(|one| one.found.revision == revision);
    let mut revision = revision;
    // Each step goes back in time.
    for _ in 0..known.len() {
        let Some(put_back) = of(revision).and_then(|one| one.found.head.puts_back) else { break };
        let Some(before) = of(put_back).and_then(|one| Some(one.images.get(one.at(key)?)?.before_revision)) else {
            break;
        };
        revision = if before == 0 { last_before(put_back, key, known) } else { before };
    }
    revision
}

/// The last record about an object before a revision: where there was no object then, the one that deleted it, as far as tortie did.
fn last_before(revision: u64, key: &Key, known: &[Known]) -> u64 {
    let is_earlier = |one: &&Known| one.found.revision < revision && one.at(key).is_some();
    known.iter().rev().find(is_earlier).map_or(0, |one| one.found.revision)
}

/// The first record after an entry about an object that was not put back, and is none of putting back. One that was put back told
/// the one after it what to put back.
fn next(entry: &HistoryEntry, key: &Key, known: &[Known]) -> Option<usize> {
    let ended: BTreeSet<u64> = known.iter().filter_map(|one| one.found.head.puts_back).collect();
    let is_next = |one: &Known| {
        let found = &one.found;
        found.revision > entry.first && found.head.puts_back.is_none() && !ended.contains(&found.revision)
    };
    known.iter().position(|one| is_next(one) && one.at(key).is_some())
}

/// Whether a record changed what the entry left.
fn follows(entry: &HistoryEntry, key: &Key, at: usize, known: &[Known]) -> bool {
    let before = known[at].at(key).map(|image| known[at].images[image].before_revision);
    // One that made an object that the entry deleted found none.
    before.is_some_and(|before| before == 0 || origin(before, key, known) == entry.first)
}

impl Plan {
    /// The transaction, and what is done by it.
    fn transaction(self, mut record: Record, waits: &KeyValue) -> (TxnRequest, PutBack) {
        let delete = DeleteRequest { key: waits.key.clone(), ..DeleteRequest::default() };
        let mut request = TxnRequest {
            compare: vec![is_as_found(waits)],
            success: vec![op(Request::Delete(delete))],
            failure: Vec::new(),
        };
        for (write, current) in &self.writes {
            let after = match &write.op {
                Op::Create(value) | Op::Update(value, _) => Some(value.clone()),
                Op::Delete(_) => None,
            };
            record.add(&write.key, current.as_ref(), after);
            if let Some(change) = Change::of(write) {
                change.add_to(&mut request, None);
            }
        }
        for (key, current) in &self.unchanged {
            let revision = current.as_ref().and_then(|stored| stored.revision.number()).unwrap_or(0);
            let union = Some(Target::ModRevision(i64::try_from(revision).unwrap_or(i64::MAX)));
            let key = path::of(key).unwrap_or_default().into();
            request.compare.push(Compare { result: 0, target: 2, key, union });
        }
        for (kv, id, value) in self.handed {
            // It must wait still, and be as it was read.
            request.compare.push(is_waiting(&id));
            request.compare.push(is_as_found(&kv));
            let put = PutRequest { key: kv.key, value: value.into(), ..PutRequest::default() };
            request.success.push(op(Request::Put(put)));
        }
        // What it was is kept for as long as the rest.
        request.compare.push(Compare {
            result: 1,
            target: 0,
            key: format!("{ACTS}{}", super::record::id_of(&waits.key, PENDING).unwrap_or_default()).into(),
            union: Some(Target::Version(0)),
        });
        request.success.extend(record.puts().into_iter().map(|put| op(Request::Put(put))));
        request.failure.clear();
        (request, self.done)
    }
}
