//! Reading many objects: in pages bounded by bytes, all at one revision, the next page on its way while one is used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tortie_store::{Position, Selection, Stored};

use crate::call_error::CallError;
use crate::connection::{Connection, REQUEST_TIMEOUT};
use crate::path;
use crate::runtime::{runtime, wait_for};
use crate::unknown_keys::UnknownKeys;
use crate::wire::{KeyValue, RangeRequest, RangeResponse};

/// How many bytes a page should have. Etcd looks at every remaining key for each page, so few and large ones.
const PAGE_BYTES: usize = 8 << 20;
/// The fewest that it should have.
const LEAST_BYTES: usize = 64 << 10;
/// How many objects the first page has, when nothing is known about their size.
const FIRST_PAGE_OBJECTS: i64 = 1_000;
const MAX_PAGE_OBJECTS: i64 = 50_000;

/// Where the next page begins.
#[derive(Clone)]
struct Cursor {
    from: Bytes,
    end: Bytes,
    /// 0 for the first page, which finds out.
    revision: i64,
    limit: i64,
    /// How many bytes a page should have on this way to etcd.
    bytes: usize,
}

/// Reads a selection. The pages come in the order of the paths. A compaction in between ends it with that trouble.
pub(crate) fn pages(
    connection: &Arc<Connection>,
    unread: &UnknownKeys,
    selection: &Selection,
    page: &mut dyn FnMut(Vec<Stored>),
) -> Result<Position, CallError> {
    let prefix = path::prefix(selection);
    let mut unknown = Vec::new();
    let cursor = Cursor {
        from: Bytes::from(prefix.clone()),
        end: path::end_of(&prefix).into(),
        revision: 0,
        limit: FIRST_PAGE_OBJECTS,
        bytes: PAGE_BYTES,
    };
    let mut ahead = runtime().spawn(fetch(connection.clone(), cursor));
    let revision = loop {
        let (answer, cursor) = wait_for(ahead).expect("fetching does not panic")?;
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let last = answer.kvs.last().map(|kv| kv.key.clone());
        let next = last.filter(|_| answer.more).map(|last| {
            let mut from = Vec::with_capacity(last.len() + 1);
            from.extend_from_slice(&last);
            from.push(0);
            let limit = limit_after(&answer.kvs, cursor.bytes).min(cursor.limit * 8);
            let revision = if cursor.revision == 0 { revision } else { cursor.revision };
            Cursor { from: from.into(), revision, limit, ..cursor.clone() }
        });
        let at = if cursor.revision == 0 { revision } else { cursor.revision };
        let following = next.map(|next| runtime().spawn(fetch(connection.clone(), next)));
        let mut items = Vec::with_capacity(answer.kvs.len());
        for kv in answer.kvs {
            match stored(&kv) {
                Some(stored) if selection.contains(&stored.key) => items.push(stored),
                Some(_) => {}
                None => unknown.push(kv.key),
            }
        }
        page(items);
        match following {
            Some(following) => ahead = following,
            None => break at,
        }
    };
    unread.replace(prefix.as_bytes(), &unknown);
    connection.record_revision(revision);
    Ok(Position::at(number(revision)))
}

/// What a key and its value are as an object; none if the key is none of ours.
pub(crate) fn stored(kv: &KeyValue) -> Option<Stored> {
    let key = path::key(&kv.key)?;
    Some(Stored { key, revision: number(kv.mod_revision).into(), value: (&kv.value[..]).into() })
}

/// Etcd's revision as ours: an etcd that nothing was ever written to is at 1, our empty store at 0.
pub(crate) fn number(revision: i64) -> u64 {
    if revision <= 1 { 0 } else { revision.unsigned_abs() }
}

/// How many objects like these make a page of so many bytes.
fn limit_after(kvs: &[KeyValue], page: usize) -> i64 {
    let each = (bytes_of(kvs) / kvs.len().max(1)).max(1);
    i64::try_from(page / each).unwrap_or(MAX_PAGE_OBJECTS).clamp(1, MAX_PAGE_OBJECTS)
}

fn bytes_of(kvs: &[KeyValue]) -> usize {
    kvs.iter().map(|kv| kv.key.len() + kv.value.len() + 16).sum()
}

/// The limit of a page that was asked for so many times in vain.
fn reduced_limit(limit: i64, tries: u32) -> i64 {
    (limit >> (3 * tries).min(62)).max(1)
}

/// How many bytes the next page should have: what came after failed tries; else twice as many if the page came quickly, and
/// half if it nearly did not come in time.
fn next_bytes(bytes: usize, came: usize, tries: u32, took: Duration) -> usize {
    let next = match tries {
        0 if took < REQUEST_TIMEOUT / 8 => bytes * 2,
        0 if took > REQUEST_TIMEOUT / 2 => bytes / 2,
        0 => bytes,
        _ => came,
    };
    next.clamp(LEAST_BYTES, PAGE_BYTES)
}

/// One page, and where it began, with the limit that it was read with.
async fn fetch(connection: Arc<Connection>, mut cursor: Cursor) -> Result<(RangeResponse, Cursor), CallError> {
    let mut shrunk = false;
    loop {
        let request = RangeRequest {
            key: cursor.from.clone(),
            range_end: cursor.end.clone(),
            limit: cursor.limit,
            revision: cursor.revision,
            ..RangeRequest::default()
        };
        // Each try asks for less: where the way is slow, less is there in time.
        let tries = AtomicU32::new(0);
        let started = Instant::now();
        let answer = connection
            .call(|member, _| {
                let limit = reduced_limit(request.limit, tries.fetch_add(1, Ordering::Relaxed));
                let request = RangeRequest { limit, ..request.clone() };
                async move { member.range(request).await }
            })
            .await;
        match answer {
            Ok(answer) => {
                let tries = tries.into_inner().saturating_sub(1);
                cursor.limit = reduced_limit(cursor.limit, tries);
                let failed = tries + u32::from(shrunk);
                cursor.bytes = next_bytes(cursor.bytes, bytes_of(&answer.kvs), failed, started.elapsed());
                return Ok((answer, cursor));
            }
            Err(CallError::TooLarge(_)) if cursor.limit > 1 => cursor.limit = (cursor.limit / 8).max(1),
            // A page can take longer than `call_timeout`, which counts from the last progress: that a member
            // answers something small. The limit becomes smaller each time, so this ends.
            Err(CallError::Away(text)) if cursor.limit > 1 && tries.into_inner() > 0 => {
                let Some(left) = count(&connection, &cursor).await else { return Err(CallError::Away(text)) };
                cursor.limit = reduced_limit(cursor.limit.min(left), 1);
                shrunk = true;
            }
            Err(error) => return Err(error),
        }
    }
}

/// How many objects follow, if a member says so.
async fn count(connection: &Connection, cursor: &Cursor) -> Option<i64> {
    let request = RangeRequest {
        key: cursor.from.clone(),
        range_end: cursor.end.clone(),
        revision: cursor.revision,
        count_only: true,
        ..RangeRequest::default()
    };
    Some(connection.range(request).await.ok()?.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_by_bytes() {
        let kvs = |size| vec![KeyValue { value: vec![0; size].into(), ..KeyValue::default() }; 3];
        assert_eq!(limit_after(&kvs(1_000_000), PAGE_BYTES), 8);
        assert!((7_000..9_000).contains(&limit_after(&kvs(1_000), PAGE_BYTES)));
        assert_eq!(limit_after(&kvs(0), PAGE_BYTES), MAX_PAGE_OBJECTS);
    }

    #[test]
    fn pages_shrink_until_they_come_in_time_and_grow_again() {
        // 9 MB in objects of 1 KB over a link of 1 MB/s, where an answer may take REQUEST_TIMEOUT.
        let arrives = |limit: i64| u64::try_from(limit).unwrap_or(0) * 1_000 <= REQUEST_TIMEOUT.as_secs() * 1_000_000;
        let tries = (0..8).find(|tries| arrives(reduced_limit(MAX_PAGE_OBJECTS, *tries))).unwrap();
        assert!((1..=2).contains(&tries));
        let came = usize::try_from(reduced_limit(MAX_PAGE_OBJECTS, tries)).unwrap() * 1_000;
        let bytes = next_bytes(PAGE_BYTES, came, tries, REQUEST_TIMEOUT);
        assert!(bytes <= came, "the next page is no larger than what came");
        assert_eq!(next_bytes(1 << 20, 1 << 20, 0, REQUEST_TIMEOUT / 4), 1 << 20);
        assert_eq!(next_bytes(1 << 20, 1 << 20, 0, REQUEST_TIMEOUT), 1 << 19);
        assert_eq!(next_bytes(1 << 20, 1 << 20, 0, Duration::ZERO), 2 << 20);
        assert_eq!(next_bytes(PAGE_BYTES, 0, 0, Duration::ZERO), PAGE_BYTES);
        assert_eq!(next_bytes(1, 0, 5, Duration::ZERO), LEAST_BYTES);
        assert_eq!(reduced_limit(1_000, 30), 1);
    }

    #[test]
    fn a_new_etcd_is_an_empty_store() {
        assert_eq!((number(0), number(1), number(2)), (0, 0, 2));
    }
}
