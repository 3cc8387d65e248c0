//! What tortie itself wrote to this etcd: by whom, when, and what was there before. What other programs write is not in it.
//!
//! It is kept under keys of its own ([`record`]), in the transaction of the change ([`recorder`]), for as long as [`trim`] says, and
//! needs no revision of etcd that may have been compacted. A [`HistoryEntry`] is what one call wrote: one transaction, or as many as
//! etcd's bounds ask for. Where it waits for a confirmation each of them waits; they are confirmed together, and put back one by
//! one, the last one first.

mod put_back;
mod record;
mod recorder;
mod trim;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tortie_api::Key;
use tortie_store::history::{History, LoggedChange, Pending, PutBack, by_object};
use tortie_store::{Author, HistoryEntry, StoreError};

use crate::call_error::CallError;
use crate::page::number;
use crate::path;
use crate::runtime::wait_for;
use crate::store::EtcdStore;
use crate::wire::{Compare, DeleteRequest, KeyValue, PutRequest, RangeRequest, Request, Target, TxnRequest};
use crate::write::op;
pub(crate) use record::Record;
use record::{ACTS, IMAGES, PENDING, StoredEntry, Waits, decoded, id_of, range_of};
pub(crate) use recorder::{Group, Recorder, too_large};

/// How often one of many machines asks what waits.
const POLL: Duration = Duration::from_secs(5);

/// A record without its images, as it was found.
#[derive(Clone, Debug)]
struct Found {
    id: String,
    /// Etcd's revision of the transaction.
    revision: u64,
    head: StoredEntry,
}

impl Found {
    fn of(kv: &KeyValue) -> Result<Self, CallError> {
        let id = id_of(&kv.key, ACTS).unwrap_or_default();
        let head = serde_json::from_slice(&kv.value).map_err(|error| unreadable(&kv.key, &error.to_string()))?;
        Ok(Self { id, revision: number(kv.create_revision), head })
    }
}

fn unreadable(key: &[u8], why: &str) -> CallError {
    CallError::Fatal(format!("the key {} of its history cannot be read: {why}", String::from_utf8_lossy(key)))
}

/// A compare that holds while a key is as it was found.
fn is_as_found(kv: &KeyValue) -> Compare {
    Compare { result: 0, target: 2, key: kv.key.clone(), union: Some(Target::ModRevision(kv.mod_revision)) }
}

/// The first revision of the call of each record, by the revision of the record.
fn first_revisions(found: &[Found]) -> HashMap<u64, u64> {
    let mut firsts: HashMap<&str, u64> = HashMap::new();
    for one in found {
        let first = firsts.entry(&one.head.group).or_insert(one.revision);
        *first = one.revision.min(*first);
    }
    found.iter().map(|one| (one.revision, firsts[one.head.group.as_str()])).collect()
}

/// The entries of records, one for each call, the newest first.
fn grouped(found: &[Found], waiting: &BTreeMap<String, Waits>) -> Vec<HistoryEntry> {
    let firsts = first_revisions(found);
    let entry_of = |revision: u64| firsts.get(&revision).copied().unwrap_or(revision);
    let expired: BTreeSet<u64> = found.iter().filter_map(|one| one.head.puts_back).map(entry_of).collect();
    let mut entries: BTreeMap<&str, HistoryEntry> = BTreeMap::new();
    for one in found.iter().filter(|one| !one.head.objects.is_empty()) {
        let pending = waiting.get(&one.id).map(|waits| Pending { deadline: waits.deadline, enforced: waits.enforced });
        let of_one = HistoryEntry {
            first: one.revision,
            last: one.revision,
            time: one.head.time,
            author: one.head.author(),
            pending,
            expired: false,
            puts_back: one.head.puts_back.map(entry_of),
        };
        let entry = entries.entry(&one.head.group).or_insert(of_one);
        entry.first = entry.first.min(one.revision);
        entry.last = entry.last.max(one.revision);
        if let (Some(all), Some(one)) = (&mut entry.pending, pending) {
            // It is in the kernel once all of it is.
            all.enforced = all.enforced.zip(one.enforced).map(|(all, one)| all.max(one));
        }
        entry.pending = entry.pending.or(pending);
    }
    let mut entries: Vec<HistoryEntry> = entries.into_values().collect();
    entries.iter_mut().for_each(|entry| entry.expired = expired.contains(&entry.first));
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.first));
    entries
}

impl EtcdStore {
    async fn below(&self, prefix: &str) -> Result<Vec<KeyValue>, CallError> {
        let (key, range_end) = range_of(prefix);
        Ok(self.connection().range(RangeRequest { key, range_end, ..RangeRequest::default() }).await?.kvs)
    }

    async fn at(&self, key: String) -> Result<Option<KeyValue>, CallError> {
        let request = RangeRequest { key: key.into(), ..RangeRequest::default() };
        Ok(self.connection().range(request).await?.kvs.into_iter().next())
    }

    /// Whether a transaction was carried out, now or by a try whose answer was lost.
    async fn carried_out(&self, request: TxnRequest) -> Result<(bool, bool), CallError> {
        self.connection()
            .call(|member, maybe| {
                let request = request.clone();
                async move { Ok((member.txn(request).await?.succeeded, maybe)) }
            })
            .await
    }

    /// The records that were made between these revisions.
    async fn found(&self, first: u64, last: u64) -> Result<Vec<Found>, CallError> {
        let (key, range_end) = range_of(ACTS);
        let bound = |revision: u64| i64::try_from(revision).unwrap_or(i64::MAX);
        let request = RangeRequest {
            key,
            range_end,
            min_create_revision: bound(first),
            max_create_revision: bound(last),
            ..RangeRequest::default()
        };
        self.connection().range(request).await?.kvs.iter().map(Found::of).collect()
    }

    /// The records of an entry, in the order of their transactions.
    async fn records_of(&self, entry: &HistoryEntry) -> Result<Vec<Found>, CallError> {
        let mut found = self.found(entry.first, entry.last).await?;
        let group = found.iter().find(|one| one.revision == entry.first).map(|one| one.head.group.clone());
        found.retain(|one| Some(&one.head.group) == group.as_ref());
        found.sort_by_key(|one| one.revision);
        Ok(found)
    }

    async fn images(&self, found: &Found) -> Result<(KeyValue, Vec<record::Image>), CallError> {
        let kvs = self.below(&format!("{IMAGES}{}/", found.id)).await?;
        let kv = kvs.into_iter().next().ok_or_else(|| {
            CallError::Fatal(format!("what revision {} of its history was before is missing", found.revision))
        })?;
        let images = decoded(&kv.value).filter(|images| images.len() == found.head.objects.len());
        let images = images.ok_or_else(|| unreadable(&kv.key, "it is damaged"))?;
        Ok((kv, images))
    }

    async fn waiting(&self) -> Result<BTreeMap<String, Waits>, CallError> {
        let mut waiting = BTreeMap::new();
        for kv in self.below(PENDING).await? {
            let waits = serde_json::from_slice(&kv.value).map_err(|error| unreadable(&kv.key, &error.to_string()))?;
            waiting.insert(id_of(&kv.key, PENDING).unwrap_or_default(), waits);
        }
        Ok(waiting)
    }

    /// Asks, once, whether etcd lets this user put back what waits: by a transaction whose condition never holds.
    async fn may_put_back(&self) -> Result<(), CallError> {
        if self.recorder.may_put_back.load(Ordering::Relaxed) {
            return Ok(());
        }
        let put = |key: String| op(Request::Put(PutRequest { key: key.into(), ..PutRequest::default() }));
        let request = TxnRequest {
            // No version is less than 0.
            compare: vec![Compare { result: 2, target: 0, key: PENDING.into(), union: Some(Target::Version(0)) }],
            success: vec![put(format!("{}x", record::ROOT)), put(format!("{}x", path::ROOT))],
            failure: Vec::new(),
        };
        self.carried_out(request).await?;
        self.recorder.may_put_back.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn pending_entries(&self) -> Result<Vec<(HistoryEntry, Pending)>, CallError> {
        self.may_put_back().await?;
        let waiting = self.waiting().await?;
        let mut found = Vec::new();
        for id in waiting.keys() {
            let kv = self.at(format!("{ACTS}{id}")).await?;
            found.extend(kv.as_ref().map(Found::of).transpose()?);
        }
        let entries = grouped(&found, &waiting);
        Ok(entries.into_iter().filter_map(|entry| entry.pending.map(|pending| (entry, pending))).collect())
    }

    async fn end_waiting(&self, entry: &HistoryEntry) -> Result<bool, CallError> {
        let records = self.records_of(entry).await?;
        let Some(last) = records.last() else { return Ok(false) };
        // The last one is put back first: while it waits, all wait. All that waits of the call has ids that begin alike.
        let prefix = last.id.rsplit_once('-').map_or(last.id.as_str(), |(prefix, _)| prefix);
        let (key, range_end) = range_of(&format!("{PENDING}{prefix}"));
        let request = TxnRequest {
            // Who noted meanwhile that it is enforced does not keep it from being confirmed.
            compare: vec![record::is_waiting(&last.id)],
            success: vec![op(Request::Delete(DeleteRequest { key, range_end, prev_kv: false }))],
            failure: Vec::new(),
        };
        let (succeeded, maybe) = self.carried_out(request).await?;
        if succeeded || !maybe {
            return Ok(succeeded);
        }
        let put_back = self.found(entry.last, u64::MAX).await?;
        Ok(!put_back.iter().any(|one| one.head.puts_back == Some(last.revision)))
    }

    async fn note(&self, entry: &HistoryEntry, time: u64) -> Result<(), CallError> {
        for found in self.records_of(entry).await? {
            let Some(kv) = self.at(format!("{PENDING}{}", found.id)).await? else { continue };
            let waits: Waits =
                serde_json::from_slice(&kv.value).map_err(|error| unreadable(&kv.key, &error.to_string()))?;
            if waits.enforced.is_none() {
                let value = record::json(&Waits { enforced: Some(time), ..waits });
                let put = PutRequest { key: kv.key.clone(), value: value.into(), ..PutRequest::default() };
                let request = TxnRequest {
                    compare: vec![is_as_found(&kv)],
                    success: vec![op(Request::Put(put))],
                    failure: Vec::new(),
                };
                self.carried_out(request).await?;
            }
        }
        Ok(())
    }

    /// The changes of these records.
    fn changes_of(&self, records: &[Found]) -> Result<Vec<LoggedChange>, StoreError> {
        self.history_result(wait_for(async {
            let mut changes = Vec::new();
            for found in records {
                let (_, images) = self.images(found).await?;
                changes.extend(record::changes(&found.head, images, found.revision));
            }
            Ok(changes)
        }))
    }

    /// A result of the history, with an error that says where permission lacks.
    fn history_result<T>(&self, result: Result<T, CallError>) -> Result<T, StoreError> {
        result.map_err(|error| match error {
            CallError::Denied => StoreError::Failed(format!(
                "etcd at {} does not let this user use the history (it takes permission to read and write {}, and to write objects)",
                self.connection().settings().place(),
                record::ROOT
            )),
            error => self.failed(&error),
        })
    }
}

impl History for EtcdStore {
    fn is_complete(&self) -> bool {
        false
    }

    fn not_kept(&self) -> Option<String> {
        self.recorder.not_kept()
    }

    fn poll_interval(&self) -> Option<Duration> {
        Some(POLL)
    }

    fn set_author(&self, author: Author) {
        self.recorder.set_author(author);
    }

    fn entries(&self) -> Result<Vec<HistoryEntry>, StoreError> {
        self.history_result(wait_for(async {
            let mut found = self.found(1, u64::MAX).await?;
            // The oldest may have lost its first transactions: the rest of it is no entry.
            let begun: BTreeSet<String> =
                found.iter().filter(|one| one.head.part == 0).map(|one| one.head.group.clone()).collect();
            found.retain(|one| begun.contains(&one.head.group));
            Ok(grouped(&found, &self.waiting().await?))
        }))
    }

    fn entries_between(&self, first: u64, last: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        self.history_result(wait_for(async {
            let found = self.found(first, last).await?;
            Ok(grouped(&found, &self.waiting().await?))
        }))
    }

    fn pending(&self) -> Result<Vec<(HistoryEntry, Pending)>, StoreError> {
        self.history_result(wait_for(self.pending_entries()))
    }

    fn changes(&self, entry: &HistoryEntry) -> Result<Vec<LoggedChange>, StoreError> {
        let records = self.history_result(wait_for(self.records_of(entry)))?;
        if records.iter().enumerate().any(|(at, found)| u32::try_from(at) != Ok(found.head.part)) {
            return self.history_result(Err(CallError::Fatal(format!(
                "a part of what was written with revision {} is no longer kept in its history",
                entry.last
            ))));
        }
        self.changes_of(&records)
    }

    fn note_enforced(&self, entry: &HistoryEntry, time: u64) -> Result<(), StoreError> {
        self.history_result(wait_for(self.note(entry, time)))
    }

    fn confirm(&self, entry: &HistoryEntry) -> Result<bool, StoreError> {
        self.history_result(wait_for(self.end_waiting(entry)))
    }

    fn put_back(&self, entry: &HistoryEntry) -> Result<Option<PutBack>, StoreError> {
        let records = self.history_result(wait_for(self.records_of(entry)))?;
        let created = by_object(self.changes_of(&records)?).into_iter().filter(|change| change.before.is_none());
        let created: Vec<Key> = created.map(|change| change.key).collect();
        let call = put_back::PutBackCall::begin();
        let mut all: Option<PutBack> = None;
        for found in records.iter().rev() {
            let part = HistoryEntry { first: found.revision, last: found.revision, ..entry.clone() };
            // Asked outside of the runtime: it lists.
            let used = put_back::used_tiers(self)?;
            if let Some(done) =
                self.history_result(wait_for(put_back::put_back(self, &part, &used, &created, &call)))?
            {
                let all = all.get_or_insert_default();
                all.restored.extend(done.restored);
                all.left.extend(done.left);
                all.waiting.extend(done.waiting);
                all.in_use.extend(done.in_use);
            }
        }
        Ok(all)
    }
}
