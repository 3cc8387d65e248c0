//! Writing: each change a transaction of its own, or many of them in one.
//!
//! A few writes are made one after the other, each with its own revision. Many are made in chunks: each change is a
//! transaction with its own condition inside the chunk's, so one that is refused does not stop its neighbours, and a
//! chunk costs etcd one agreement and one sync to disk instead of a hundred.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tortie_store::{Op, Write, WriteError, Written};

use crate::connection::Connection;
use crate::page::{stored, told};
use crate::path;
use crate::trouble::Trouble;
use crate::wire::{
    Compare, DeleteRequest, PutRequest, RangeRequest, Request, RequestOp, Response, Target, TxnRequest, TxnResponse,
};

/// How many writes are made one by one.
const FEW: usize = 8;
/// How many bytes a chunk may have; etcd takes requests of 1.5 MiB.
const CHUNK_BYTES: usize = 512 << 10;

/// How many changes this etcd takes in a transaction: 128 unless it was told otherwise, found out if it is fewer.
pub(crate) struct ChunkSize(AtomicUsize);

impl Default for ChunkSize {
    fn default() -> Self {
        Self(AtomicUsize::new(100))
    }
}

type Fate = Result<Written, WriteError>;

/// Makes each change, in order, or says why not.
pub(crate) async fn all(connection: &Connection, size: &ChunkSize, writes: &[Write]) -> Result<Vec<Fate>, Trouble> {
    let mut fates = Vec::with_capacity(writes.len());
    while fates.len() < writes.len() {
        let rest = &writes[fates.len()..];
        if rest.len() <= FEW {
            fates.push(one(connection, &rest[0]).await?);
            continue;
        }
        let chunk = &rest[..chunk_of(rest, size.0.load(Ordering::Relaxed))];
        match together(connection, chunk).await {
            Ok(some) => fates.extend(some),
            Err(Trouble::TooMany) if chunk.len() > 1 => size.0.store(chunk.len() / 2, Ordering::Relaxed),
            // One of them, and each says for itself.
            Err(Trouble::Denied | Trouble::TooLarge(_) | Trouble::TooMany) => {
                for write in chunk {
                    fates.push(one(connection, write).await?);
                }
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(fates)
}

/// How many of these make a chunk: no key twice, and not too large.
fn chunk_of(writes: &[Write], most: usize) -> usize {
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
    // The path stands in the condition and in both branches.
    value + 3 * (path::ROOT.len() + write.key.name.len() + write.key.namespace.len() + 40)
}

async fn one(connection: &Connection, write: &Write) -> Result<Fate, Trouble> {
    let Some(change) = Change::of(write) else { return Ok(unwritable(write)) };
    let seen = connection.seen();
    let answer = connection
        .call(|member, maybe_done| {
            let change = change.clone();
            async move { Ok((member.txn(change.txn(maybe_done.then_some(seen))).await?, maybe_done)) }
        })
        .await;
    match answer {
        Ok((answer, maybe_done)) => {
            let revision = header(connection, &answer);
            settle(connection, write, answer, revision, maybe_done).await
        }
        Err(Trouble::Denied) => Ok(Err(WriteError::Refused("etcd does not let this user write it".to_owned()))),
        Err(Trouble::TooLarge(_)) => {
            Ok(Err(WriteError::Refused("it is larger than this etcd takes (1.5 MiB unless set otherwise)".to_owned())))
        }
        Err(trouble) => Err(trouble),
    }
}

async fn together(connection: &Connection, writes: &[Write]) -> Result<Vec<Fate>, Trouble> {
    let changes: Vec<Option<Change>> = writes.iter().map(Change::of).collect();
    let seen = connection.seen();
    let (answer, maybe_done) = connection
        .call(|member, maybe_done| {
            let inner = changes.iter().flatten().map(|change| change.txn(maybe_done.then_some(seen)));
            let success = inner.map(|txn| op(Request::Txn(txn))).collect();
            let whole = TxnRequest { compare: Vec::new(), success, failure: Vec::new() };
            async move { Ok((member.txn(whole).await?, maybe_done)) }
        })
        .await?;
    let revision = header(connection, &answer);
    let mut answers = answer.responses.into_iter();
    let mut fates = Vec::with_capacity(writes.len());
    for (write, change) in writes.iter().zip(&changes) {
        if change.is_none() {
            fates.push(unwritable(write));
            continue;
        }
        let Some(Response::Txn(answer)) = answers.next().and_then(|answer| answer.response) else {
            return Err(Trouble::Fatal("its answer to a transaction is not one".to_owned()));
        };
        fates.push(settle(connection, write, answer, revision, maybe_done).await?);
    }
    Ok(fates)
}

fn unwritable(write: &Write) -> Fate {
    match write.op {
        Op::Create(_) => Err(WriteError::Refused("its name or namespace cannot stand in an etcd key".to_owned())),
        _ => Err(WriteError::Missing),
    }
}

fn header(connection: &Connection, answer: &TxnResponse) -> i64 {
    let revision = answer.header.as_ref().map_or(0, |header| header.revision);
    connection.see(revision);
    revision
}

/// What came of one change.
async fn settle(
    connection: &Connection,
    write: &Write,
    answer: TxnResponse,
    revision: i64,
    maybe_done: bool,
) -> Result<Fate, Trouble> {
    let mut found = None;
    for answer in answer.responses {
        found = match answer.response {
            Some(Response::Range(range)) => range.kvs.into_iter().next(),
            Some(Response::Put(put)) => put.prev_kv,
            Some(Response::Delete(deleted)) => deleted.prev_kvs.into_iter().next(),
            _ => None,
        };
    }
    let found = found.as_ref().and_then(stored);
    if answer.succeeded {
        return Ok(Ok(Written { revision: told(revision), previous: found }));
    }
    // The condition does not hold. It may be because an earlier try, whose answer was lost, was carried out.
    Ok(match (&write.op, found) {
        (Op::Create(value), Some(found)) if maybe_done && found.value == *value => {
            Ok(Written { revision: found.revision, previous: None })
        }
        (Op::Update(value, old), Some(found)) if maybe_done && found.value == *value => {
            Ok(Written { revision: found.revision, previous: at(connection, write, *old).await? })
        }
        (Op::Delete(old), None) if maybe_done => {
            let previous = match old {
                Some(old) => at(connection, write, *old).await?,
                None => None,
            };
            Ok(Written { revision: told(revision), previous })
        }
        (Op::Delete(None), Some(found)) => {
            return Err(Trouble::Fatal(format!(
                "the connection was lost while {} was being deleted, and somebody has made it anew since; look \
                 whether that is wanted",
                found.key
            )));
        }
        (Op::Create(_), Some(found)) => Err(WriteError::Exists(found)),
        (_, Some(found)) => Err(WriteError::Conflict(found)),
        (_, None) => Err(WriteError::Missing),
    })
}

/// The object as it was at a revision; none if that is compacted.
async fn at(connection: &Connection, write: &Write, revision: u64) -> Result<Option<tortie_store::Stored>, Trouble> {
    let (Some(path), Ok(revision)) = (path::of(&write.key), i64::try_from(revision)) else { return Ok(None) };
    let request = RangeRequest { key: path.into(), revision, ..RangeRequest::default() };
    let answer = connection
        .call(|member, _| {
            let request = request.clone();
            async move { member.range(request).await }
        })
        .await;
    match answer {
        Ok(answer) => Ok(answer.kvs.first().and_then(stored)),
        Err(Trouble::Compacted) => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

/// A change with its path.
#[derive(Clone)]
struct Change {
    path: Bytes,
    op: Op,
}

impl Change {
    fn of(write: &Write) -> Option<Self> {
        Some(Self { path: path::of(&write.key)?.into(), op: write.op.clone() })
    }

    /// The transaction. `again` is set when it is tried again: the revision known before the first try.
    fn txn(&self, again: Option<i64>) -> TxnRequest {
        let compare = |result, target, union| Compare { result, target, key: self.path.clone(), union: Some(union) };
        let absent = || compare(0, 0, Target::Version(0));
        let present = || compare(1, 0, Target::Version(0));
        let at = |revision: u64| {
            // A revision that etcd cannot have is one that nothing is at.
            let revision = i64::try_from(revision).unwrap_or(-1);
            compare(0, 2, Target::ModRevision(revision))
        };
        let put = |value: &[u8]| {
            let value = Bytes::copy_from_slice(value);
            op(Request::Put(PutRequest { key: self.path.clone(), value, lease: 0, prev_kv: true }))
        };
        let delete = || op(Request::Delete(DeleteRequest { key: self.path.clone(), prev_kv: true }));
        let (compare, success) = match &self.op {
            Op::Create(value) => (vec![absent()], put(value)),
            Op::Update(value, revision) => (vec![present(), at(*revision)], put(value)),
            Op::Delete(Some(revision)) => (vec![present(), at(*revision)], delete()),
            Op::Delete(None) => {
                let mut conditions = vec![present()];
                // What was made after the first try is not what was meant.
                conditions.extend(again.map(|seen| compare(2, 1, Target::CreateRevision(seen + 1))));
                (conditions, delete())
            }
        };
        let range = RangeRequest { key: self.path.clone(), ..RangeRequest::default() };
        TxnRequest { compare, success: vec![success], failure: vec![op(Request::Range(range))] }
    }
}

fn op(request: Request) -> RequestOp {
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
