//! The store itself: a handle that any number of threads can use.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tortie_api::Key;
use tortie_store::{
    History, Leases, Listing, Position, Selection, StatusReports, Store, StoreError, Stored, Watch, Write, WriteError,
    Written, WrittenTogether, list_by_pages,
};

use crate::all_or_nothing;
use crate::call_error::CallError;
use crate::connection::Connection;
use crate::history::Recorder;
use crate::leases::HeldLeases;
use crate::page::{self, number, stored};
use crate::path;
use crate::runtime::wait_for;
use crate::settings::Settings;
use crate::unknown_keys::UnknownKeys;
use crate::watch::EtcdWatch;
use crate::wire::{RangeRequest, Request, RequestOp, Response, TxnRequest};
use crate::write::{self, ChunkSize};

/// How often a list is begun again because history was compacted under it.
const MAX_LIST_ATTEMPTS: u32 = 5;
/// How many objects are asked for in one request.
const MAX_GETS_PER_REQUEST: usize = 100;

/// A handle on one etcd.
pub struct EtcdStore {
    shared: Arc<Shared>,
    chunk_size: ChunkSize,
    pub(crate) leases: HeldLeases,
    pub(crate) recorder: Recorder,
}

/// What a handle and its watches share.
pub(crate) struct Shared {
    pub(crate) connection: Arc<Connection>,
    pub(crate) unread: UnknownKeys,
    /// How many keys there were after which change, as the last watch of everything counts them.
    pub(crate) counted: Mutex<Option<(u64, i64)>>,
}

impl Shared {
    /// How many keys there were at a revision, if that is the last change that was watched.
    fn counted(&self, revision: u64) -> Option<i64> {
        let counted = *self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.filter(|(at, _)| *at == revision).map(|(_, count)| count)
    }

    /// The error that says where and why.
    pub(crate) fn failed(&self, call_error: &CallError) -> StoreError {
        let endpoints = self.connection.settings().place();
        let text = call_error.text();
        // With one endpoint its name would be in the text twice.
        let text = text.strip_prefix(&format!("{endpoints}: ")).unwrap_or(&text);
        StoreError::Failed(match call_error {
            CallError::NotWhole(_) => format!("etcd at {endpoints}: {text}"),
            _ => format!("etcd at {endpoints} cannot be used: {text}"),
        })
    }
}

impl EtcdStore {
    /// A handle that connects when it is first needed.
    pub fn new(settings: Settings) -> Self {
        let connection = Arc::new(Connection::new(settings));
        let shared = Arc::new(Shared { connection, unread: UnknownKeys::default(), counted: Mutex::default() });
        Self { shared, chunk_size: ChunkSize::default(), leases: HeldLeases::default(), recorder: Recorder::default() }
    }

    /// A handle that is connected: an etcd that cannot be used is an error now.
    pub fn connect(settings: Settings) -> Result<Self, StoreError> {
        let store = Self::new(settings);
        wait_for(store.connection().live()).map_err(|call_error| store.failed(&call_error))?;
        Ok(store)
    }

    /// As [`Store::watch`].
    pub fn watcher(&self, selection: &Selection, from: &Position) -> Result<EtcdWatch, StoreError> {
        EtcdWatch::start(self.shared.clone(), selection.clone(), from.number_or_never())
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.shared.connection
    }

    pub(crate) fn failed(&self, call_error: &CallError) -> StoreError {
        self.shared.failed(call_error)
    }

    fn get_some(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, CallError> {
        // A key that has no path cannot be there.
        let paths: Vec<Option<String>> = keys.iter().map(path::of).collect();
        let ops: Vec<RequestOp> = paths
            .iter()
            .flatten()
            .map(|path| {
                let range = RangeRequest { key: Bytes::copy_from_slice(path.as_bytes()), ..RangeRequest::default() };
                RequestOp { request: Some(Request::Range(range)) }
            })
            .collect();
        let request = TxnRequest { compare: Vec::new(), success: ops, failure: Vec::new() };
        let answer = wait_for(self.connection().call(|member, _| {
            let request = request.clone();
            async move { member.txn(request).await }
        }))?;
        let mut answers = answer.responses.into_iter().map(|answer| match answer.response {
            Some(Response::Range(range)) => range.kvs.first().and_then(stored),
            _ => None,
        });
        Ok(paths.iter().map(|path| path.as_ref().and_then(|_| answers.next().flatten())).collect())
    }
}

impl Store for EtcdStore {
    fn describe(&self) -> String {
        format!("etcd at {}", self.connection().settings().place())
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let Some(path) = path::of(key) else { return Ok(None) };
        let request = RangeRequest { key: path.into(), ..RangeRequest::default() };
        let answer = wait_for(self.connection().range(request)).map_err(|call_error| self.failed(&call_error))?;
        Ok(answer.kvs.first().and_then(stored))
    }

    fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut all = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MAX_GETS_PER_REQUEST) {
            match self.get_some(keys) {
                Ok(some) => all.extend(some),
                Err(CallError::TooMany | CallError::TooLarge(_) | CallError::Denied) => {
                    for key in keys {
                        all.push(self.get(key)?);
                    }
                }
                Err(call_error) => return Err(self.failed(&call_error)),
            }
        }
        Ok(all)
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        list_by_pages(self, selection, MAX_LIST_ATTEMPTS).map_err(|error| match error {
            StoreError::Compacted { .. } => StoreError::Failed(format!(
                "etcd at {} compacts its history faster than it can be read; compact less often",
                self.connection().settings().place()
            )),
            error => error,
        })
    }

    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let shared = &self.shared;
        page::pages(&shared.connection, &shared.unread, selection, page).map_err(|call_error| match call_error {
            CallError::Compacted => {
                let seen = Position::at(number(self.connection().highest_revision()));
                StoreError::Compacted { from: seen.clone(), kept: seen }
            }
            call_error => self.failed(&call_error),
        })
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        let group = self.recorder.begin();
        let done = wait_for(async {
            let done = write::all(self.connection(), &self.chunk_size, &group, writes).await;
            group.end(self.connection()).await;
            done
        });
        done.map_err(|call_error| self.failed(&call_error))
    }

    fn write_together(&self, writes: &[Write]) -> Result<WrittenTogether, StoreError> {
        let failed = |call_error: &CallError| self.failed(call_error);
        let group = self.recorder.begin();
        let done = wait_for(async {
            let done = all_or_nothing::all(self.connection(), &self.chunk_size, &group, writes, failed).await;
            group.end(self.connection()).await;
            done
        });
        done.map_err(|call_error| self.failed(&call_error))
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        Ok(Box::new(self.watcher(selection, from)?))
    }

    fn is_unchanged_between(&self, after: &Position, until: &Position) -> Result<bool, StoreError> {
        let (after, until) = (after.number_or_never(), until.number_or_never());
        if until <= after {
            return Ok(true);
        }
        let ask = |revision: u64, limit, min_mod_revision| {
            let request = RangeRequest {
                key: path::ROOT.into(),
                range_end: path::end_of(path::ROOT).into(),
                revision: i64::try_from(revision).unwrap_or(i64::MAX),
                limit,
                keys_only: true,
                count_only: min_mod_revision == 0,
                min_mod_revision,
                ..RangeRequest::default()
            };
            wait_for(self.connection().range(request))
        };
        let unchanged = || {
            // Of now, which is kept however short history is: what comes after `until` is watched anyway.
            let later = ask(0, 1, i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1))?;
            let reached = later.header.as_ref().is_some_and(|header| number(header.revision) >= until);
            if !reached || !later.kvs.is_empty() {
                return Ok(false);
            }
            // Nothing was put; and nothing was deleted, if there are as many as before.
            let before = match ask(after.max(1), 0, 0) {
                Ok(before) => Some(before.count),
                Err(CallError::Compacted) => self.shared.counted(after),
                Err(call_error) => return Err(call_error),
            };
            Ok(before == Some(later.count))
        };
        match unchanged() {
            Err(CallError::Future) => Ok(false),
            Err(call_error) => Err(self.failed(&call_error)),
            Ok(unchanged) => Ok(unchanged),
        }
    }

    fn status_reports(&self) -> Option<&dyn StatusReports> {
        Some(self)
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn history(&self) -> Option<&dyn History> {
        Some(self)
    }

    fn unread(&self) -> Vec<String> {
        self.shared.unread.lines()
    }
}
