//! How much of the history is kept: it is bounded in transactions and in bytes. What waits for a confirmation stays.

use bytes::Bytes;

use super::record::{ACTS, IMAGES, PENDING, id_of, range_of};
use crate::call_error::CallError;
use crate::connection::Connection;
use crate::wire::{DeleteRequest, RangeRequest, Request, RequestOp, TxnRequest};

/// How many transactions are kept.
pub(super) const MAX_TRANSACTIONS: usize = 1_000;
/// How many bytes of objects, before and after, are kept.
const KEPT_BYTES: usize = 16 << 20;
/// How many transactions more there may be before any go, so that most writes remove none.
const SLACK: usize = 50;

/// Removes the oldest records where there are too many.
pub(super) async fn trim(connection: &Connection) -> Result<(), CallError> {
    let images = keys(connection, IMAGES).await?;
    let sized: Vec<(String, usize)> = images.iter().filter_map(|key| Some((id_of(key, IMAGES)?, size(key)?))).collect();
    let waiting = keys(connection, PENDING).await?.first().and_then(|key| id_of(key, PENDING));
    let Some(kept) = first_kept(&sized, waiting.as_deref()) else { return Ok(()) };
    let below = |prefix: &str| {
        let (key, range_end) = (Bytes::from(prefix.to_owned()), Bytes::from(format!("{prefix}{kept}")));
        RequestOp { request: Some(Request::Delete(DeleteRequest { key, range_end, prev_kv: false })) }
    };
    let request = TxnRequest { success: vec![below(ACTS), below(IMAGES)], ..TxnRequest::default() };
    let delete = connection.call(|member, _| {
        let request = request.clone();
        async move { member.txn(request).await }
    });
    delete.await.map(drop)
}

/// The id of the first record that stays, if any go.
fn first_kept<'a>(sized: &'a [(String, usize)], waiting: Option<&str>) -> Option<&'a str> {
    let total: usize = sized.iter().map(|(_, size)| size).sum();
    if sized.len() <= MAX_TRANSACTIONS + SLACK && total <= KEPT_BYTES + KEPT_BYTES / 8 {
        return None;
    }
    let (mut count, mut bytes) = (sized.len(), total);
    for (at, (id, size)) in sized.iter().enumerate() {
        let is_last = at + 1 == sized.len();
        let fits = count <= MAX_TRANSACTIONS && bytes <= KEPT_BYTES;
        if fits || is_last || waiting.is_some_and(|waiting| waiting <= id.as_str()) {
            return (at > 0).then_some(id);
        }
        count -= 1;
        bytes -= size;
    }
    None
}

async fn keys(connection: &Connection, prefix: &str) -> Result<Vec<Bytes>, CallError> {
    let (key, range_end) = range_of(prefix);
    let request = RangeRequest { key, range_end, keys_only: true, ..RangeRequest::default() };
    Ok(connection.range(request).await?.kvs.into_iter().map(|kv| kv.key).collect())
}

/// The size that the key of images ends with.
fn size(key: &[u8]) -> Option<usize> {
    std::str::from_utf8(key).ok()?.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize, size: usize) -> Vec<(String, usize)> {
        (0..count).map(|n| (format!("{n:05}"), size)).collect()
    }

    #[test]
    fn the_oldest_go_and_what_waits_stays() {
        assert_eq!(first_kept(&records(MAX_TRANSACTIONS + SLACK, 10), None), None, "a few more may be there");
        assert_eq!(first_kept(&records(MAX_TRANSACTIONS + SLACK + 1, 10), None), Some("00051"));
        assert_eq!(first_kept(&records(MAX_TRANSACTIONS + 100, 10), Some("00007")), Some("00007"));
        assert_eq!(first_kept(&records(MAX_TRANSACTIONS + 100, 10), Some("00000")), None);
        let mebibytes = records(30, 1 << 20);
        assert_eq!(first_kept(&mebibytes, None), Some("00014"), "sixteen stay");
        assert_eq!(first_kept(&records(1, 64 << 20), None), None, "the last one stays whatever it has");
        assert_eq!(first_kept(&[], None), None);
    }
}
