//! Writes that are kept in the history: the record is part of the transaction that it is about.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tortie_store::{Author, Op, Stored, Write, WriteError};

use super::record::{Call, Record, millis};
use super::trim;
use crate::call_error::CallError;
use crate::connection::Connection;
use crate::page::stored;
use crate::path;
use crate::wire::{RangeRequest, Request, RequestOp, Response, TxnRequest};
use crate::write::{TransactionResult, made};

/// How often a transaction is made again because an object that it deletes has changed.
const MAX_ATTEMPTS: u32 = 5;
/// After how many records it is looked again whether too much is kept.
const TRIM_EVERY: u32 = 32;

/// What one handle knows about who writes.
#[derive(Default)]
pub(crate) struct Recorder {
    author: Mutex<Option<Author>>,
    not_kept: Mutex<Option<String>>,
    records: AtomicU32,
    /// Whether etcd has said that this user may put back what waits.
    pub(super) may_put_back: AtomicBool,
}

/// The writes of one call.
pub(crate) struct Group<'a> {
    recorder: &'a Recorder,
    author: Option<Author>,
    call: Call,
    /// How many transactions were tried.
    tried: AtomicU32,
    /// How many were made.
    parts: AtomicU32,
    /// The id of the first one.
    first: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    pub(super) fn set_author(&self, author: Author) {
        *lock(&self.author) = Some(author);
    }

    pub(super) fn author(&self) -> Author {
        lock(&self.author).clone().unwrap_or_default()
    }

    pub(super) fn not_kept(&self) -> Option<String> {
        lock(&self.not_kept).clone()
    }

    /// Begins a call.
    pub(crate) fn begin(&self) -> Group<'_> {
        Group {
            recorder: self,
            author: lock(&self.author).clone(),
            call: Call::at(now()),
            tried: AtomicU32::new(0),
            parts: AtomicU32::new(0),
            first: Mutex::new(None),
        }
    }
}

/// The time, in milliseconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

impl Group<'_> {
    /// Whether what is written waits for a confirmation: then each transaction is made with its record, or not at all.
    pub(crate) fn must_be_kept(&self) -> bool {
        self.author.as_ref().is_some_and(|author| author.confirm_within.is_some())
    }

    /// What must be made with these writes, to ask etcd whether it takes that; nothing where nothing must be kept.
    pub(crate) async fn trial(&self, connection: &Connection, writes: &[Write]) -> Result<Option<Record>, CallError> {
        let Some(author) = self.author.as_ref().filter(|_| self.must_be_kept()) else { return Ok(None) };
        let borrowed: Vec<&Write> = writes.iter().collect();
        let before = self.before(connection, &borrowed).await?;
        let number = self.tried.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Record::of(author, &self.call, number, writes, &before)))
    }

    /// The error that what must be kept for putting back cannot be kept.
    pub(crate) fn not_kept(&self, why: &str) -> CallError {
        let nothing = if self.is_begun() { "the rest was not written" } else { "nothing was written" };
        CallError::NotWhole(format!("what is to be put back unless it is confirmed must be kept, and {why}: {nothing}"))
    }

    /// Whether a transaction was made.
    pub(crate) fn is_begun(&self) -> bool {
        lock(&self.first).is_some()
    }

    /// As [`made`], with a record of it where somebody has said who writes. What etcd refuses because of the record is
    /// written without one, which [`Recorder::not_kept`] tells.
    pub(crate) async fn made(
        &self,
        connection: &Connection,
        writes: &[&Write],
        maybe_done: &mut bool,
    ) -> Result<TransactionResult, CallError> {
        let Some(author) = &self.author else { return made(connection, writes, maybe_done, None).await };
        let mut tries = 0;
        let why = loop {
            tries += 1;
            let before = match self.before(connection, writes).await {
                Ok(before) => before,
                Err(CallError::Denied) => break "etcd does not let this user read what is replaced".to_owned(),
                Err(error) => return Err(error),
            };
            let pinned: Vec<Write> = writes.iter().zip(&before).map(|(write, before)| pin(write, before)).collect();
            let number = self.tried.fetch_add(1, Ordering::Relaxed);
            let mut record = Record::of(author, &self.call, number, &pinned, &before);
            record.head.part = self.parts.load(Ordering::Relaxed);
            // What was confirmed, or put back, while the rest was written gets no more parts.
            record.follows = lock(&self.first).clone().filter(|_| self.must_be_kept());
            let borrowed: Vec<&Write> = pinned.iter().collect();
            match made(connection, &borrowed, maybe_done, Some(&record)).await {
                Ok(TransactionResult::Nothing(outcomes)) if tries < MAX_ATTEMPTS && moved(writes, &outcomes) => {}
                Err(CallError::Denied) => break "etcd does not let this user write below /tortie/history/".to_owned(),
                Err(CallError::TooLarge(_) | CallError::TooMany) if writes.len() == 1 => {
                    break too_large(writes[0]);
                }
                Ok(done) => {
                    if matches!(done, TransactionResult::All(_)) {
                        lock(&self.first).get_or_insert(record.id);
                        self.recorder.records.fetch_add(1, Ordering::Relaxed);
                        self.parts.fetch_add(1, Ordering::Relaxed);
                    }
                    return Ok(done);
                }
                Err(error) => return Err(error),
            }
        };
        if self.must_be_kept() {
            return Err(self.not_kept(&why));
        }
        let done = made(connection, writes, maybe_done, None).await?;
        if matches!(done, TransactionResult::All(_)) {
            lock(&self.recorder.not_kept).get_or_insert(why);
        }
        Ok(done)
    }

    /// Lets go of the oldest records where there are too many. It is no part of the writes: that it fails says nothing of them.
    pub(crate) async fn end(&self, connection: &Connection) {
        let records = self.recorder.records.load(Ordering::Relaxed);
        let first = records > 0 && records < TRIM_EVERY;
        if self.author.is_some() && (first || records >= 2 * TRIM_EVERY) {
            self.recorder.records.store(TRIM_EVERY, Ordering::Relaxed);
            let _ = trim::trim(connection).await;
        }
    }

    /// The objects as they are now. A new one has none.
    async fn before(&self, connection: &Connection, writes: &[&Write]) -> Result<Vec<Option<Stored>>, CallError> {
        let is_asked = |write: &&Write| !matches!(write.op, Op::Create(_));
        let paths: Vec<Option<String>> =
            writes.iter().map(|write| path::of(&write.key).filter(|_| is_asked(write))).collect();
        let mut found = ranges(connection, paths.iter().flatten()).await?.into_iter();
        Ok(paths.iter().map(|path| path.as_ref().and_then(|_| found.next().flatten())).collect())
    }
}

/// Why a write has no record.
pub(crate) fn too_large(write: &Write) -> String {
    format!("{} is too large to be kept with what it was before", write.key.as_argument())
}

/// Several objects by their paths, all as they are at one moment.
pub(super) async fn ranges(
    connection: &Connection,
    paths: impl Iterator<Item = &String>,
) -> Result<Vec<Option<Stored>>, CallError> {
    let range =
        |path: &String| RangeRequest { key: Bytes::copy_from_slice(path.as_bytes()), ..RangeRequest::default() };
    let success: Vec<RequestOp> = paths.map(|path| RequestOp { request: Some(Request::Range(range(path))) }).collect();
    if success.is_empty() {
        return Ok(Vec::new());
    }
    let request = TxnRequest { success, ..TxnRequest::default() };
    let answer = connection
        .call(|member, _| {
            let request = request.clone();
            async move { member.txn(request).await }
        })
        .await?;
    let found = answer.responses.into_iter().map(|answer| match answer.response {
        Some(Response::Range(range)) => range.kvs.first().and_then(stored),
        _ => None,
    });
    Ok(found.collect())
}

/// The same write, of an object as it was read: what is kept as before is then what was replaced.
fn pin(write: &Write, before: &Option<Stored>) -> Write {
    match (&write.op, before) {
        (Op::Delete(None), Some(stored)) => Write::delete(write.key.clone(), Some(stored.revision.clone())),
        _ => write.clone(),
    }
}

/// Whether an object that is to be deleted whatever it is was changed since it was read.
fn moved(writes: &[&Write], outcomes: &[Option<Result<tortie_store::Written, WriteError>>]) -> bool {
    let is_moved = |(write, outcome): (&&Write, &Option<Result<_, WriteError>>)| {
        matches!(write.op, Op::Delete(None)) && matches!(outcome, Some(Err(WriteError::Conflict(_))))
    };
    writes.iter().zip(outcomes).any(is_moved)
}
