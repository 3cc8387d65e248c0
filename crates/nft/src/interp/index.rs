//! Sets and maps, prepared for looking up.
//!
//! Source: the lookup functions of `nft_set_hash.c`, `nft_set_rbtree.c` and `nft_set_pipapo.c`.

use std::collections::HashMap;

use crate::dump::SetDump;
use crate::element::Key;
use crate::wire::padded;

/// How to find the element for a key.
#[derive(Debug)]
enum Find {
    /// By the whole key.
    Exact(HashMap<Vec<u8>, usize>),
    /// Ranges of one field that do not overlap, in order.
    Ranges(Vec<(Vec<u8>, Vec<u8>, usize)>),
    /// Ranges of several fields, whose lengths these are.
    Fields(Vec<usize>, Vec<(Vec<u8>, Vec<u8>, usize)>),
}

/// A set, prepared.
#[derive(Debug)]
pub(super) struct Index {
    find: Find,
    catch_all: Option<usize>,
    key_len: usize,
}

/// Two elements hold one key, which the kernel does not allow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlap;

impl Index {
    pub(super) fn new(dump: &SetDump) -> Self {
        let mut catch_all = None;
        let mut ranges = Vec::new();
        for (at, element) in dump.elements.iter().enumerate() {
            match &element.key {
                Key::CatchAll => catch_all = Some(at),
                Key::One(value) => ranges.push((value.clone(), value.clone(), at)),
                Key::Range(first, last) => ranges.push((first.clone(), last.clone(), at)),
            }
        }
        let set = &dump.set;
        let find = if set.is_pipapo() {
            Find::Fields(set.key.iter().map(|field| field.byte_len()).collect(), ranges)
        } else if set.interval {
            ranges.sort();
            Find::Ranges(ranges)
        } else {
            Find::Exact(ranges.into_iter().map(|(value, _, at)| (value, at)).collect())
        };
        Self { find, catch_all, key_len: set.key.value_len() }
    }

    /// How many bytes of the registers are the key.
    pub(super) fn key_len(&self) -> usize {
        self.key_len
    }

    /// The element that takes what no other does.
    pub(super) fn catch_all(&self) -> Option<usize> {
        self.catch_all
    }

    /// The element for `key`, the catch-all left out.
    pub(super) fn find(&self, key: &[u8]) -> Result<Option<usize>, Overlap> {
        match &self.find {
            Find::Exact(elements) => Ok(elements.get(key).copied()),
            Find::Ranges(ranges) => {
                let behind = ranges.partition_point(|(first, ..)| first.as_slice() <= key);
                let before = behind.checked_sub(1).and_then(|at| ranges.get(at));
                Ok(before.filter(|(_, last, _)| key <= last.as_slice()).map(|(.., at)| *at))
            }
            Find::Fields(fields, ranges) => {
                let mut found = ranges.iter().filter(|(first, last, _)| inside(fields, first, last, key));
                match (found.next(), found.next()) {
                    (one, None) => Ok(one.map(|(.., at)| *at)),
                    _ => Err(Overlap),
                }
            }
        }
    }
}

/// Whether each field of `key` lies between those of `first` and `last`.
fn inside(fields: &[usize], first: &[u8], last: &[u8], key: &[u8]) -> bool {
    let mut start = 0;
    fields.iter().all(|len| {
        let field = start..start + len;
        start += padded(*len);
        let [first, last, key] = [first, last, key].map(|value| value.get(field.clone()));
        first <= key && key <= last
    })
}
