//! The file of the copy: records, one after the other, only ever added to.
//!
//! ```text
//!   store name │ puts of a whole listing │ whole │ puts, deletes, bad ones │ heard │ ...
//! ```
//!
//! A new listing is a new file, which takes the old one's place when it is whole; so does a shorter one with the same
//! content. Every record has its length and a checksum, and reading ends at the first that is not right: what a file
//! says is what the store said at some time, whatever became of the machine.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tortie_store::{Revision, Stored};

/// What every file begins with. Another form of file has another beginning.
const MAGIC: &[u8; 8] = b"tortie1\n";
/// Length and checksum.
const HEAD: usize = 8;
/// No object is as long.
const LONGEST: usize = 1 << 28;

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The file is of the store that the key names.
    Store = b'S' as isize,
    /// An object.
    Put = b'P' as isize,
    /// An object is gone.
    Gone = b'D' as isize,
    /// The last good form of an object whose present one is bad, or may be.
    Good = b'G' as isize,
    /// The present form of an object is bad.
    Bad = b'B' as isize,
    /// All up to this revision is told; the key says when.
    Heard = b'H' as isize,
    /// Something after this is missing.
    Torn = b'T' as isize,
}

impl What {
    const ALL: [What; 7] = [What::Store, What::Put, What::Gone, What::Good, What::Bad, What::Heard, What::Torn];
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) what: What,
    pub(super) revision: Revision,
    pub(super) key: &'a str,
    pub(super) value: &'a [u8],
}

impl<'a> Record<'a> {
    /// One without a value.
    pub(super) fn of(what: What, key: &'a str, revision: Revision) -> Self {
        Self { what, revision, key, value: &[] }
    }

    /// An object.
    pub(super) fn put(key: &'a str, stored: &'a Stored) -> Self {
        Self { what: What::Put, revision: stored.revision, key, value: &stored.value }
    }

    /// Adds it to some bytes.
    pub(super) fn write(self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; HEAD]);
        bytes.push(self.what as u8);
        bytes.extend_from_slice(&self.revision.to_le_bytes());
        bytes.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(self.key.as_bytes());
        bytes.extend_from_slice(self.value);
        let body = &bytes[start + HEAD..];
        let head = [(body.len() as u32).to_le_bytes(), crc32fast::hash(body).to_le_bytes()];
        bytes[start..start + HEAD].copy_from_slice(head.as_flattened());
    }

    fn read(body: &'a [u8]) -> Option<Self> {
        let (&what, rest) = body.split_first()?;
        let what = What::ALL.into_iter().find(|one| *one as u8 == what)?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (key, value) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(Self { what, revision: Revision::from_le_bytes(*revision), key: std::str::from_utf8(key).ok()?, value })
    }
}

/// What a file begins with.
pub(super) fn beginning(store: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    Record::of(What::Store, store, 0).write(&mut bytes);
    bytes
}

/// Reads a file from its beginning. `visit` is told each record and where it stands, until it has seen enough. Where
/// the file ends that can be relied on; 0 if it is none of ours.
pub(super) fn read(file: &File, mut visit: impl FnMut(Record<'_>, u64) -> bool) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 18, At { file, at: 0 });
    let mut magic = [0; MAGIC.len()];
    if !fill(&mut reader, &mut magic)? || magic != *MAGIC {
        return Ok(0);
    }
    let mut at = MAGIC.len() as u64;
    let mut body = Vec::new();
    let mut head = [0; HEAD];
    while fill(&mut reader, &mut head)? {
        let Some((length, sum)) = split(head) else { break };
        body.resize(length, 0);
        if !fill(&mut reader, &mut body)? || crc32fast::hash(&body) != sum {
            break;
        }
        let Some(record) = Record::read(&body) else { break };
        if !visit(record, at) {
            break;
        }
        at += (HEAD + length) as u64;
    }
    Ok(at)
}

/// The records in some bytes, and where each begins.
pub(super) fn each(bytes: &[u8], mut visit: impl FnMut(Record<'_>, u64)) {
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
        let at = (bytes.len() - rest.len()) as u64;
        let body = split(*head).and_then(|(length, _)| after.split_at_checked(length));
        let Some((body, after)) = body else { return };
        if let Some(record) = Record::read(body) {
            visit(record, at);
        }
        rest = after;
    }
}

/// The record at a place, in those bytes.
pub(super) fn read_at<'a>(file: &File, at: u64, body: &'a mut Vec<u8>) -> io::Result<Option<Record<'a>>> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, at)?;
    let Some((length, sum)) = split(head) else { return Ok(None) };
    body.resize(length, 0);
    file.read_exact_at(body, at + HEAD as u64)?;
    Ok(if crc32fast::hash(body) == sum { Record::read(body) } else { None })
}

/// The store that a file is of.
pub(super) fn store(path: &Path) -> Option<String> {
    let mut store = None;
    read(&File::open(path).ok()?, |record, _| {
        store = (record.what == What::Store).then(|| record.key.to_owned());
        false
    })
    .ok()?;
    store
}

fn split(head: [u8; HEAD]) -> Option<(usize, u32)> {
    let [length, sum] =
        [[head[0], head[1], head[2], head[3]], [head[4], head[5], head[6], head[7]]].map(u32::from_le_bytes);
    (length as usize <= LONGEST).then_some((length as usize, sum))
}

/// Fills the bytes; false if the file ends before.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads by place, so that whoever writes to the same file is not moved.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(bytes, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
