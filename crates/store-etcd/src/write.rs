//! Writing: each change a transaction of its own, or many of them in one.
//!
//! A few writes are made one after the other, each with its own revision. Many are made in chunks, which cost etcd one
//! agreement and one sync to disk instead of a hundred. A chunk is made if all its conditions hold; if not, etcd's answer
//! has the objects as they are, and the chunk is made again without the changes that cannot be.
//!
//! A transaction for each change inside the chunk's would spare that second try. But etcd 3.4 does not look at the user's
//! permissions in there, and what the user may not write must not be written by that.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tortie_store::{Op, Position, Revision, Stored, Unsupported, Write, WriteError, Written};

use crate::call_error::CallError;
use crate::connection::Connection;
use crate::history::{Group, Record};
use crate::page::{number, stored};
use crate::path;
use crate::wire::{Compare, DeleteRequest, PutRequest, RangeRequest, Request, RequestOp, Response, Target, TxnRequest};

/// How many writes are made one by one.
const MAX_SINGLE_WRITES: usize = 8;
/// How many bytes a chunk may have; etcd takes requests of 1.5 MiB.
const CHUNK_BYTES: usize = 512 << 10;

/// How many changes a chunk has at most.
const MAX_CHUNK_CHANGES: usize = 100;

/// How many changes this etcd takes in a transaction: 128 unless it is configured otherwise, found out if it is fewer.
pub(crate) struct ChunkSize(pub(crate) AtomicUsize);

impl Default for ChunkSize {
    fn default() -> Self {
        Self(AtomicUsize::new(MAX_CHUNK_CHANGES))
    }
}

type Outcome = Result<Written, WriteError>;

/// Makes each change, in order, or says why not.
pub(crate) async fn all(
    connection: &Connection,
    size: &ChunkSize,
    group: &Group<'_>,
    writes: &[Write],
) -> Result<Vec<Outcome>, CallError> {
    let mut outcomes = Vec::with_capacity(writes.len());
    while outcomes.len() < writes.len() {
        let rest = &writes[outcomes.len()..];
        if rest.len() <= MAX_SINGLE_WRITES {
            outcomes.push(one(connection, group, &rest[0]).await?);
            continue;
        }
        let chunk = &rest[..chunk_of(rest, size.0.load(Ordering::Relaxed))];
        match transaction(connection, group, chunk).await {
            Ok(some) => outcomes.extend(some),
            Err(CallError::TooMany) if chunk.len() > 1 => size.0.store(chunk.len() / 2, Ordering::Relaxed),
            // One of them, and each says for itself.
            Err(CallError::Denied | CallError::TooLarge(_) | CallError::TooMany) => {
                for write in chunk {
                    outcomes.push(one(connection, group, write).await?);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(outcomes)
}

/// How many of these make a chunk: no key twice, and not too large.
pub(crate) fn chunk_of(writes: &[Write], most: usize) -> usize {
    let (mut keys, mut bytes) = (HashSet::new(), 0);
    for write in writes.iter().take(most) {
        bytes += size_of(write);
        let fits = keys.is_empty() || bytes <= CHUNK_BYTES;
        if !fits || !keys.insert(&write.key) {
            break;
        }
    }
    keys.len()
}

fn size_of(write: &Write) -> usize {
    let value = match &write.op {
        Op::Create(value) | Op::Update(value, _) => value.len(),
        Op::Delete(_) => 0,
    };
    // The path is in the condition and in both branches.
    value + 3 * (path::ROOT.len() + write.key.name.len() + write.key.namespace.len() + 40)
}

/// One change.
async fn one(connection: &Connection, group: &Group<'_>, write: &Write) -> Result<Outcome, CallError> {
    match group.made(connection, &[write], &mut false).await {
        Ok(TransactionResult::All(mut outcomes)) => Ok(outcomes.remove(0)),
        Ok(TransactionResult::Nothing(mut outcomes)) => outcomes.remove(0).ok_or_else(|| recreated(write)),
        Err(CallError::Denied) => Ok(Err(WriteError::Refused("etcd does not let this user write it".to_owned()))),
        Err(CallError::TooLarge(_)) => {
            Ok(Err(WriteError::Refused("it is larger than this etcd takes (1.5 MiB unless set otherwise)".to_owned())))
        }
        Err(error) => Err(error),
    }
}

/// A chunk: all that can be made of it, at once.
async fn transaction(connection: &Connection, group: &Group<'_>, writes: &[Write]) -> Result<Vec<Outcome>, CallError> {
    let mut outcomes: Vec<Option<Outcome>> = writes.iter().map(|_| None).collect();
    let mut maybe_done = false;
    loop {
        let open: Vec<usize> = (0..writes.len()).filter(|at| outcomes[*at].is_none()).collect();
        if open.is_empty() {
            return Ok(outcomes.into_iter().flatten().collect());
        }
        let now: Vec<&Write> = open.iter().map(|at| &writes[*at]).collect();
        let some: Vec<Option<Outcome>> = match group.made(connection, &now, &mut maybe_done).await? {
            TransactionResult::All(outcomes) => outcomes.into_iter().map(Some).collect(),
            TransactionResult::Nothing(outcomes) => outcomes,
        };
        if some.iter().all(Option::is_none) {
            return Err(recreated(now[0]));
        }
        for (at, outcome) in open.into_iter().zip(some) {
            outcomes[at] = outcome;
        }
    }
}

/// The result of a transaction.
pub(crate) enum TransactionResult {
    /// Either every change was made, or the remaining failures are permanent.
    All(Vec<Outcome>),
    /// None was made. The outcome of those that prevented it.
    Nothing(Vec<Option<Outcome>>),
}

/// Makes changes in one transaction, with the record of it if there is one. `maybe_done` says that an earlier try may have been
/// carried out.
pub(crate) async fn made(
    connection: &Connection,
    writes: &[&Write],
    maybe_done: &mut bool,
    record: Option<&Record>,
) -> Result<TransactionResult, CallError> {
    let changes: Vec<Option<Change>> = writes.iter().map(|write| Change::of(write)).collect();
    if let Some(at) = changes.iter().position(Option::is_none) {
        let outcomes = (0..writes.len()).map(|n| (n == at).then(|| unwritable(writes[at]))).collect();
        return Ok(TransactionResult::Nothing(outcomes));
    }
    let seen = connection.highest_revision();
    let before = *maybe_done;
    let puts = record.map(Record::puts).unwrap_or_default();
    let (answer, maybe) = connection
        .call(|member, maybe| {
            let maybe = maybe || before;
            let mut txn = TxnRequest::default();
            for change in changes.iter().flatten() {
                change.add_to(&mut txn, maybe.then_some(seen));
            }
            txn.compare.extend(record.and_then(Record::condition));
            txn.success.extend(puts.iter().cloned().map(|put| op(Request::Put(put))));
            async move { Ok((member.txn(txn).await?, maybe)) }
        })
        .await?;
    *maybe_done = maybe;
    let revision = answer.header.as_ref().map_or(0, |header| header.revision);
    connection.record_revision(revision);
    let found = answer.responses.into_iter().take(writes.len()).map(|answer| {
        let kv = match answer.response {
            Some(Response::Range(range)) => range.kvs.into_iter().next(),
            Some(Response::Put(put)) => put.prev_kv,
            Some(Response::Delete(deleted)) => deleted.prev_kvs.into_iter().next(),
            None => None,
        };
        kv.as_ref().and_then(stored)
    });
    if answer.succeeded {
        return Ok(TransactionResult::All(found.map(|previous| Ok(written(number(revision), previous))).collect()));
    }
    let mut outcomes = Vec::with_capacity(writes.len());
    for (write, found) in writes.iter().zip(found) {
        outcomes.push(refusal(connection, write, found, number(revision), maybe).await?);
    }
    Ok(TransactionResult::Nothing(outcomes))
}

/// Why a change could not be made to the object as it is now; none if it could.
async fn refusal(
    connection: &Connection,
    write: &Write,
    found: Option<Stored>,
    revision: u64,
    maybe_done: bool,
) -> Result<Option<Outcome>, CallError> {
    let refused = write.op.check(found.as_ref()).err();
    // It may be because an earlier try, whose answer was lost, was carried out.
    Ok(match (&write.op, found) {
        (Op::Create(value), Some(found)) if maybe_done && *found.value == **value => {
            Some(Ok(written(found.revision.number().unwrap_or(revision), None)))
        }
        (Op::Update(value, old), Some(found)) if maybe_done && found.revision != *old && *found.value == **value => {
            let made = found.revision.number().unwrap_or(revision);
            Some(Ok(written(made, at(connection, write, old).await?)))
        }
        (Op::Delete(old), None) if maybe_done => {
            let previous = match old {
                Some(old) => at(connection, write, old).await?,
                None => None,
            };
            Some(Ok(written(revision, previous)))
        }
        _ => refused.map(Err),
    })
}

/// A change that was made at a revision.
pub(crate) fn written(revision: u64, previous: Option<Stored>) -> Written {
    Written { revision: revision.into(), position: Position::at(revision), previous }
}

/// A revision as etcd counts; none if etcd cannot have it.
fn wire_number(revision: &Revision) -> Option<i64> {
    i64::try_from(revision.number()?).ok()
}

fn unwritable(write: &Write) -> Outcome {
    if !write.key.kind.is_calico() {
        return Err(Unsupported::default().refusal(write.op.operation()));
    }
    match write.op {
        Op::Create(_) => Err(WriteError::Refused("its name or namespace cannot stand in an etcd key".to_owned())),
        _ => Err(WriteError::Missing),
    }
}

/// A deleted object exists again.
pub(crate) fn recreated(write: &Write) -> CallError {
    CallError::Fatal(format!(
        "the connection was lost while {} was being deleted, and somebody has made it anew since; look whether that is \
         wanted",
        write.key
    ))
}

/// The object as it was at a revision; none if that is compacted.
async fn at(connection: &Connection, write: &Write, revision: &Revision) -> Result<Option<Stored>, CallError> {
    let (Some(path), Some(revision)) = (path::of(&write.key), wire_number(revision)) else { return Ok(None) };
    let request = RangeRequest { key: path.into(), revision, ..RangeRequest::default() };
    match connection.range(request).await {
        Ok(answer) => Ok(answer.kvs.first().and_then(stored)),
        Err(CallError::Compacted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A change with its path.
#[derive(Clone)]
pub(crate) struct Change {
    path: Bytes,
    op: Op,
}

impl Change {
    /// None when the key has no path.
    pub(crate) fn of(write: &Write) -> Option<Self> {
        Some(Self { path: path::of(&write.key)?.into(), op: write.op.clone() })
    }

    /// Adds the change and its condition to a transaction. `again` is set when it is tried again: the revision known
    /// before the first try.
    pub(crate) fn add_to(&self, txn: &mut TxnRequest, again: Option<i64>) {
        let mut compare = |result, target, union| {
            txn.compare.push(Compare { result, target, key: self.path.clone(), union: Some(union) });
        };
        match &self.op {
            Op::Create(_) => compare(0, 0, Target::Version(0)),
            Op::Update(_, revision) | Op::Delete(Some(revision)) => {
                // What is not there counts as at 0. A revision that etcd cannot have is one that nothing is at.
                let revision = wire_number(revision).filter(|revision| *revision > 0).unwrap_or(-1);
                compare(0, 2, Target::ModRevision(revision));
            }
            Op::Delete(None) => {
                compare(1, 0, Target::Version(0));
                // What was made after the first try is not what was meant.
                again.into_iter().for_each(|seen| compare(2, 1, Target::CreateRevision(seen + 1)));
            }
        }
        txn.success.push(op(match &self.op {
            Op::Create(value) | Op::Update(value, _) => Request::Put(PutRequest {
                key: self.path.clone(),
                value: Bytes::copy_from_slice(value),
                lease: 0,
                prev_kv: true,
            }),
            Op::Delete(_) => {
                Request::Delete(DeleteRequest { key: self.path.clone(), prev_kv: true, ..DeleteRequest::default() })
            }
        }));
        txn.failure.push(op(Request::Range(RangeRequest { key: self.path.clone(), ..RangeRequest::default() })));
    }
}

pub(crate) fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

#[cfg(test)]
mod tests {
    use tortie_api::{Key, Kind};

    use super::*;

    fn create(name: &str, size: usize) -> Write {
        Write::create(Key::cluster(Kind::Tier, name), vec![0; size])
    }

    #[test]
    fn a_chunk_has_no_key_twice_and_is_bounded() {
        let names: Vec<Write> = (0..300).map(|n| create(&format!("t{n}"), 10)).collect();
        assert_eq!(chunk_of(&names, 100), 100);
        let twice = [create("a", 1), create("b", 1), create("a", 1), create("c", 1)];
        assert_eq!(chunk_of(&twice, 100), 2);
        let large: Vec<Write> = (0..5).map(|n| create(&format!("t{n}"), 200 << 10)).collect();
        assert_eq!(chunk_of(&large, 100), 2);
        assert_eq!(chunk_of(&[create("a", 2 << 20), create("b", 1)], 100), 1);
    }
}
