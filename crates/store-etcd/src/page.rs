//! Reading many objects: in pages bounded by bytes, all at one revision, the next page on its way while one is used.

use std::sync::Arc;

use bytes::Bytes;
use tortie_store::{Revision, Selection, Stored};

use crate::connection::Connection;
use crate::path;
use crate::runtime::{runtime, wait_for};
use crate::trouble::Trouble;
use crate::unread::Unread;
use crate::wire::{KeyValue, RangeRequest, RangeResponse};

/// How many bytes a page should have. Etcd looks at every remaining key for each page, so few and large ones.
const PAGE_BYTES: usize = 8 << 20;
/// How many objects the first page has, when nothing is known about their size.
const FIRST: i64 = 1_000;
const MOST: i64 = 50_000;

/// Where the next page begins.
#[derive(Clone)]
struct Cursor {
    from: Bytes,
    end: Bytes,
    /// 0 for the first page, which finds out.
    revision: i64,
    limit: i64,
}

/// Reads a selection. The pages come in the order of the paths. A compaction in between ends it with that trouble.
pub(crate) fn pages(
    connection: &Arc<Connection>,
    unread: &Unread,
    selection: &Selection,
    page: &mut dyn FnMut(Vec<Stored>),
) -> Result<Revision, Trouble> {
    let prefix = path::prefix(selection);
    let mut strange = Vec::new();
    let cursor =
        Cursor { from: Bytes::from(prefix.clone()), end: path::end_of(&prefix).into(), revision: 0, limit: FIRST };
    let mut ahead = runtime().spawn(fetch(connection.clone(), cursor));
    let revision = loop {
        let (answer, cursor) = wait_for(ahead).expect("fetching does not panic")?;
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let last = answer.kvs.last().map(|kv| kv.key.clone());
        let next = last.filter(|_| answer.more).map(|last| {
            let mut from = Vec::with_capacity(last.len() + 1);
            from.extend_from_slice(&last);
            from.push(0);
            let limit = limit_after(&answer.kvs).min(cursor.limit * 8);
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
                None => strange.push(kv.key),
            }
        }
        page(items);
        match following {
            Some(following) => ahead = following,
            None => break at,
        }
    };
    unread.replace(prefix.as_bytes(), &strange);
    connection.see(revision);
    Ok(told(revision))
}

/// What a key and its value are as an object; none if the key is none of ours.
pub(crate) fn stored(kv: &KeyValue) -> Option<Stored> {
    let key = path::key(&kv.key)?;
    Some(Stored { key, revision: told(kv.mod_revision), value: Arc::from(&kv.value[..]) })
}

/// Etcd's revision as ours: an etcd that nothing was ever written to is at 1, our empty store at 0.
pub(crate) fn told(revision: i64) -> Revision {
    if revision <= 1 { 0 } else { revision.unsigned_abs() }
}

/// How many objects like these make a page.
fn limit_after(kvs: &[KeyValue]) -> i64 {
    let bytes: usize = kvs.iter().map(|kv| kv.key.len() + kv.value.len() + 16).sum();
    let each = (bytes / kvs.len().max(1)).max(1);
    i64::try_from(PAGE_BYTES / each).unwrap_or(MOST).clamp(1, MOST)
}

/// One page, and where it began, with the limit that it was read with.
async fn fetch(connection: Arc<Connection>, mut cursor: Cursor) -> Result<(RangeResponse, Cursor), Trouble> {
    loop {
        let request = RangeRequest {
            key: cursor.from.clone(),
            range_end: cursor.end.clone(),
            limit: cursor.limit,
            revision: cursor.revision,
            ..RangeRequest::default()
        };
        let answer = connection
            .call(|member, _| {
                let request = request.clone();
                async move { member.range(request).await }
            })
            .await;
        match answer {
            Ok(answer) => return Ok((answer, cursor)),
            Err(Trouble::TooLarge(_)) if cursor.limit > 1 => cursor.limit = (cursor.limit / 8).max(1),
            Err(trouble) => return Err(trouble),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_by_bytes() {
        let kvs = |size| vec![KeyValue { value: vec![0; size].into(), ..KeyValue::default() }; 3];
        assert_eq!(limit_after(&kvs(1_000_000)), 8);
        assert!((7_000..9_000).contains(&limit_after(&kvs(1_000))));
        assert_eq!(limit_after(&kvs(0)), MOST);
    }

    #[test]
    fn a_new_etcd_is_an_empty_store() {
        assert_eq!((told(0), told(1), told(2)), (0, 0, 2));
    }
}
