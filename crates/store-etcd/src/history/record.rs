//! What the history keeps of one transaction, and under which keys.
//!
//! ```text
//!   /tortie/history/v1/acts/ID           who, when, by which command, which objects
//!   /tortie/history/v1/images/ID/BYTES   what they were before and afterwards, byte for byte
//!   /tortie/history/v1/pending/ID        its deadline, while it waits for a confirmation
//! ```
//!
//! The first two are written by the transaction itself, so etcd's revision of their creation is that of the change. An ID begins
//! with the time, so keys are in its order; BYTES is the size of the value, so that nothing need be read to know how much is kept.
//! Nobody else lists this prefix: Calico's are below `/calico/`.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tortie_api::{Key, Kind};
use tortie_store::backoff::random;
use tortie_store::history::LoggedChange;
use tortie_store::{Author, Op, Stored, Write};

use crate::wire::{Compare, PutRequest, Target};

/// What all keys of the history begin with.
pub(crate) const ROOT: &str = "/tortie/history/v1/";
pub(super) const ACTS: &str = "/tortie/history/v1/acts/";
pub(super) const IMAGES: &str = "/tortie/history/v1/images/";
pub(super) const PENDING: &str = "/tortie/history/v1/pending/";

/// Who made a transaction, and what it was about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StoredEntry {
    /// The same for all transactions of one call.
    pub(super) group: String,
    /// Which of them it is, from 0.
    pub(super) part: u32,
    /// When, in milliseconds since 1970.
    pub(super) time: u64,
    pub(super) uid: u32,
    pub(super) sudo_user: String,
    pub(super) host: String,
    pub(super) command: String,
    pub(super) message: String,
    /// The first revision of the entry that this one put back.
    pub(super) puts_back: Option<u64>,
    /// The first revision of the entry that this one took back.
    pub(super) takes_back: Option<u64>,
    /// The objects, in the order of the images: kind, namespace, name.
    pub(super) objects: Vec<(String, String, String)>,
}

impl Default for StoredEntry {
    fn default() -> Self {
        Self::new(&Author::default(), String::new(), 0)
    }
}

impl StoredEntry {
    pub(super) fn new(author: &Author, group: String, time: u64) -> Self {
        let Author { uid, sudo_user, host, command, message, confirm_within: _, takes_back } = author.clone();
        let (puts_back, objects) = (None, Vec::new());
        Self { group, part: 0, time, uid, sudo_user, host, command, message, puts_back, takes_back, objects }
    }

    pub(super) fn author(&self) -> Author {
        let Self { uid, sudo_user, host, command, message, takes_back, .. } = self.clone();
        Author { uid, sudo_user, host, command, message, confirm_within: None, takes_back }
    }

    /// The keys of its objects; none for one of a kind that this release does not know.
    pub(super) fn keys(&self) -> Vec<Option<Key>> {
        let key = |(kind, namespace, name): &(String, String, String)| {
            Some(Key { kind: Kind::from_name(kind)?, namespace: namespace.clone(), name: name.clone() })
        };
        self.objects.iter().map(key).collect()
    }
}

/// One object before and after a transaction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Image {
    pub(super) before: Option<Arc<[u8]>>,
    /// The object's revision then; 0 where it did not exist.
    pub(super) before_revision: u64,
    pub(super) after: Option<Arc<[u8]>>,
}

/// What stands in the first line of the images: how long each is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lengths {
    before: Option<usize>,
    before_revision: u64,
    after: Option<usize>,
}

/// The value of the images.
pub(super) fn encoded(images: &[Image]) -> Vec<u8> {
    let length = |value: &Option<Arc<[u8]>>| value.as_ref().map(|value| value.len());
    let lengths: Vec<Lengths> = images
        .iter()
        .map(|image| Lengths {
            before: length(&image.before),
            before_revision: image.before_revision,
            after: length(&image.after),
        })
        .collect();
    let mut text = serde_json::to_vec(&lengths).expect("numbers have a JSON form");
    text.push(b'\n');
    for value in images.iter().flat_map(|image| [&image.before, &image.after]).flatten() {
        text.extend_from_slice(value);
    }
    text
}

/// The images of a value; none where it is damaged.
pub(super) fn decoded(value: &[u8]) -> Option<Vec<Image>> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    let lengths: Vec<Lengths> = serde_json::from_slice(&value[..end]).ok()?;
    let mut rest = value.get(end + 1..)?;
    let mut take = |length: Option<usize>| -> Option<Option<Arc<[u8]>>> {
        let Some(length) = length else { return Some(None) };
        let (taken, left) = rest.split_at_checked(length)?;
        rest = left;
        Some(Some(taken.into()))
    };
    let mut images = Vec::with_capacity(lengths.len());
    for Lengths { before, before_revision, after } in lengths {
        images.push(Image { before: take(before)?, before_revision, after: take(after)? });
    }
    rest.is_empty().then_some(images)
}

/// The transactions of one call: their ids have a beginning in common, and are in the order of the transactions.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// When it began, in milliseconds since 1970.
    pub(super) time: u64,
    /// What no other call is named.
    pub(super) name: String,
}

impl Call {
    pub(super) fn at(time: u64) -> Self {
        Self { time, name: format!("{:016x}", random()) }
    }

    /// The id of one of its transactions. Numbers grow, and need not be without gaps.
    fn id(&self, number: u32) -> String {
        format!("{:013}-{}-{number:06}", self.time, self.name)
    }
}

/// A transaction to be kept.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(super) id: String,
    /// The id of another transaction of the call that must wait for a confirmation still.
    pub(super) follows: Option<String>,
    pub(super) head: StoredEntry,
    pub(super) images: Vec<Image>,
    /// When it is put back unless it is confirmed, in milliseconds since 1970.
    pub(super) deadline: Option<u64>,
}

/// What a change waits for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Waits {
    pub(super) deadline: u64,
    pub(super) enforced: Option<u64>,
}

impl Record {
    /// One of writes, with the objects that they change as they are before.
    pub(super) fn of(author: &Author, call: &Call, number: u32, writes: &[Write], before: &[Option<Stored>]) -> Self {
        let mut record = Self {
            id: call.id(number),
            follows: None,
            head: StoredEntry::new(author, call.name.clone(), call.time),
            images: Vec::new(),
            deadline: author.confirm_within.map(|within| call.time.saturating_add(millis(within))),
        };
        for (write, before) in writes.iter().zip(before) {
            let after = match &write.op {
                Op::Create(value) | Op::Update(value, _) => Some(value.clone()),
                Op::Delete(_) => None,
            };
            record.add(&write.key, before.as_ref(), after);
        }
        record
    }

    /// One change more.
    pub(super) fn add(&mut self, key: &Key, before: Option<&Stored>, after: Option<Arc<[u8]>>) {
        let Key { kind, namespace, name } = key.clone();
        self.head.objects.push((kind.name().to_owned(), namespace, name));
        self.images.push(Image {
            before: before.map(|stored| (&*stored.value).into()),
            before_revision: before.and_then(|stored| stored.revision.number()).unwrap_or(0),
            after,
        });
    }

    /// The condition under which it may be made, if it has one.
    pub(crate) fn condition(&self) -> Option<Compare> {
        self.follows.as_deref().map(is_waiting)
    }

    /// The puts that keep it.
    pub(crate) fn puts(&self) -> Vec<PutRequest> {
        let put =
            |key: String, value: Vec<u8>| PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() };
        let images = encoded(&self.images);
        let mut puts = vec![
            put(format!("{ACTS}{}", self.id), json(&self.head)),
            put(format!("{IMAGES}{}/{}", self.id, images.len()), images),
        ];
        if let Some(deadline) = self.deadline {
            puts.push(put(format!("{PENDING}{}", self.id), json(&Waits { deadline, enforced: None })));
        }
        puts
    }
}

/// Holds while the record with this id waits for a confirmation.
pub(super) fn is_waiting(id: &str) -> Compare {
    Compare { result: 1, target: 0, key: format!("{PENDING}{id}").into(), union: Some(Target::Version(0)) }
}

pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("text and numbers have a JSON form")
}

/// The id in a key of the history.
pub(super) fn id_of(key: &[u8], prefix: &str) -> Option<String> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(prefix)?;
    Some(rest.split('/').next().unwrap_or_default().to_owned())
}

/// The changes of a record, where its kinds are known.
pub(super) fn changes(head: &StoredEntry, images: Vec<Image>, revision: u64) -> Vec<LoggedChange> {
    let keys = head.keys().into_iter().zip(images);
    let change = |(key, image): (Option<Key>, Image)| {
        Some(LoggedChange { revision, key: key?, before: image.before, after: image.after })
    };
    keys.filter_map(change).collect()
}

pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A range of the history, as a pair of its ends.
pub(super) fn range_of(prefix: &str) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(prefix.as_bytes()), crate::path::end_of(prefix).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_back_byte_for_byte_and_damaged_ones_do_not() {
        let value = |text: &[u8]| Some(Arc::<[u8]>::from(text));
        let images = vec![
            Image { before: None, before_revision: 0, after: value(b"{\n}") },
            Image { before: value(&[0xff, b'\n', 0]), before_revision: 7, after: None },
            Image { before: value(b""), before_revision: 9, after: value(b"x") },
        ];
        let bytes = encoded(&images);
        assert_eq!(decoded(&bytes).as_deref(), Some(&images[..]));
        assert_eq!(decoded(&bytes[..bytes.len() - 1]), None, "cut off");
        assert_eq!(decoded(&[&bytes[..], b"y"].concat()), None, "longer");
        assert_eq!(decoded(b"junk"), None);
        assert_eq!(decoded(b"{}\n"), None);
    }

    #[test]
    fn keys_are_ordered_by_time_and_lie_outside_of_calico_s() {
        let call = Call { time: 1_000_000, name: "g".to_owned() };
        let record = |call: &Call, number| Record::of(&Author::default(), call, number, &[], &[]).puts();
        let [early, late, later] = [record(&Call::at(999), 7), record(&call, 9), record(&call, 10)];
        assert!(early[0].key < late[0].key && late[0].key < later[0].key);
        assert!(early.iter().all(|put| put.key.starts_with(b"/tortie/history/v1/")));
        assert_eq!(early.len(), 2, "nothing waits without a deadline");
    }
}
