//! How `Store::write_together` writes changes to etcd: in one transaction, or in as few as etcd's bounds allow, one after the
//! other. `all_or_nothing.rs` of `tortie-client` decides which changes these are.
//!
//! Where it takes several, each is first sent with a condition that never holds. etcd looks at the sender's permissions and
//! at its bounds before it looks at conditions, so what it would not take is known before anything is written.

use std::sync::atomic::Ordering;

use tortie_store::{Stopped, StoreError, Write, WriteError, Written, WrittenTogether};

use crate::call_error::CallError;
use crate::connection::Connection;
use crate::history::{Group, Record, too_large};
use crate::wire::{Compare, Request, Target, TxnRequest};
use crate::write::{Change, ChunkSize, TransactionResult, chunk_of, op, recreated, written};

type Refused = Vec<(usize, WriteError)>;

/// Makes all changes, or those of the first transactions. An `Err` means that none was made.
pub(crate) async fn all(
    connection: &Connection,
    size: &ChunkSize,
    group: &Group<'_>,
    writes: &[Write],
    failed: impl Fn(&CallError) -> StoreError,
) -> Result<WrittenTogether, CallError> {
    let mut whole = WrittenTogether::default();
    let refused = refused_before(connection, size, group, writes).await?;
    if !refused.is_empty() {
        whole.stopped = Some(Stopped::Refused(refused));
        return Ok(whole);
    }
    while whole.made.len() < writes.len() && whole.stopped.is_none() {
        let start = whole.made.len();
        let rest = &writes[start..];
        let chunk = &rest[..chunk_of(rest, size.0.load(Ordering::Relaxed))];
        let numbered = |refused: Refused| {
            Some(Stopped::Refused(refused.into_iter().map(|(at, reason)| (start + at, reason)).collect()))
        };
        match transaction(connection, group, chunk).await {
            Ok(Ok(written)) => whole.made.extend(written),
            Ok(Err(refused)) => whole.stopped = numbered(refused),
            Err(CallError::TooMany | CallError::TooLarge(_)) if chunk.len() > 1 => {
                size.0.store(chunk.len() / 2, Ordering::Relaxed);
            }
            Err(error @ (CallError::TooMany | CallError::TooLarge(_) | CallError::Denied)) => {
                let found = refused_alone(connection, chunk).await;
                let found = found.ok().filter(|refused| !refused.is_empty());
                whole.stopped = found.map_or_else(|| Some(Stopped::Failed(failed(&error))), numbered);
            }
            Err(error @ CallError::NotWhole(_)) if start == 0 => return Err(error),
            Err(error) => whole.stopped = Some(Stopped::Failed(failed(&error))),
        }
    }
    Ok(whole)
}

/// What etcd would not take, if it takes more than one transaction; for one, the transaction itself answers that.
async fn refused_before(
    connection: &Connection,
    size: &ChunkSize,
    group: &Group<'_>,
    writes: &[Write],
) -> Result<Refused, CallError> {
    let mut known = 0;
    while known < writes.len() {
        let rest = &writes[known..];
        let chunk = &rest[..chunk_of(rest, size.0.load(Ordering::Relaxed))];
        if chunk.len() == writes.len() {
            break;
        }
        match probe(connection, chunk, group.trial(connection, chunk).await?.as_ref()).await {
            Ok(()) => known += chunk.len(),
            Err(CallError::TooMany | CallError::TooLarge(_)) if chunk.len() > 1 => {
                size.0.store(chunk.len() / 2, Ordering::Relaxed);
            }
            Err(error @ (CallError::TooMany | CallError::TooLarge(_) | CallError::Denied)) => {
                let refused = refused_alone(connection, writes).await?;
                if refused.is_empty() && group.must_be_kept() && !matches!(error, CallError::Denied) {
                    return Err(group.not_kept(&too_large(&chunk[0])));
                }
                return Ok(refused);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}

/// Which of these etcd would not take, each alone.
async fn refused_alone(connection: &Connection, writes: &[Write]) -> Result<Refused, CallError> {
    let mut refused = Vec::new();
    for (at, write) in writes.iter().enumerate() {
        let reason = match probe(connection, std::slice::from_ref(write), None).await {
            Ok(()) => continue,
            Err(CallError::Denied) => WriteError::Refused("etcd does not let this user write it".to_owned()),
            Err(CallError::TooMany | CallError::TooLarge(_)) => {
                WriteError::Refused("it is larger than this etcd takes (1.5 MiB unless set otherwise)".to_owned())
            }
            Err(error) => return Err(error),
        };
        refused.push((at, reason));
    }
    Ok(refused)
}

/// Asks whether etcd would take these: a transaction whose condition never holds.
async fn probe(connection: &Connection, writes: &[Write], record: Option<&Record>) -> Result<(), CallError> {
    let mut txn = TxnRequest::default();
    for change in writes.iter().filter_map(Change::of) {
        change.add_to(&mut txn, None);
    }
    let puts = record.map(Record::puts).unwrap_or_default();
    txn.success.extend(puts.into_iter().map(|put| op(Request::Put(put))));
    let Some(first) = txn.compare.first() else { return Ok(()) };
    // No version is less than 0.
    let never = Compare { result: 2, target: 0, key: first.key.clone(), union: Some(Target::Version(0)) };
    txn.compare.insert(0, never);
    let asked = connection.call(|member, _| {
        let txn = txn.clone();
        async move { member.txn(txn).await }
    });
    asked.await.map(drop)
}

/// One transaction: all of it, or why not.
async fn transaction(
    connection: &Connection,
    group: &Group<'_>,
    writes: &[Write],
) -> Result<Result<Vec<Written>, Refused>, CallError> {
    let all: Vec<&Write> = writes.iter().collect();
    let outcomes = match group.made(connection, &all, &mut false).await? {
        TransactionResult::All(outcomes) => outcomes.into_iter().map(Some).collect(),
        TransactionResult::Nothing(outcomes) => outcomes,
    };
    if let Some(revision) = outcomes.iter().flatten().flatten().filter_map(|written| written.revision.number()).max() {
        // It was carried out, perhaps by a try whose answer was lost; what is different by now was changed since.
        let written = |outcome: Option<Result<Written, WriteError>>| {
            outcome.and_then(Result::ok).unwrap_or_else(|| written(revision, None))
        };
        return Ok(Ok(outcomes.into_iter().map(written).collect()));
    }
    let refused: Refused =
        outcomes.into_iter().enumerate().filter_map(|(at, outcome)| Some((at, outcome?.err()?))).collect();
    if refused.is_empty() && group.is_begun() && group.must_be_kept() {
        let ended = "what was written of this change before was confirmed, or put back, meanwhile";
        return Err(CallError::Fatal(ended.to_owned()));
    }
    match (refused.is_empty(), writes.first()) {
        (true, Some(first)) => Err(recreated(first)),
        _ => Ok(Err(refused)),
    }
}
