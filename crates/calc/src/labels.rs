//! Labels in few bytes, and the labels that selectors see: an object's own, then those of its profiles in order.
//!
//! Names are numbers. Values are stored unchanged, since most values that are not shared are never compared.

use tortie_policy::{Labels as Written, UNREADABLE_LABELS, unreadable_labels};
use tortie_selector::{Labels, Selector};

use crate::faults;
use crate::names::{Name, Names};
use crate::profiles::{ProfileIndex, Profiles};

/// One object's labels: name, length and bytes of the value, one after the other, in no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackedLabels<'a>(&'a [u8]);

/// How many bytes packed labels usually take.
pub(crate) fn packed_size(labels: &Written) -> usize {
    labels.values().map(|value| value.len() + 2).sum()
}

/// Packs labels and counts the names' uses.
pub(crate) fn pack(labels: &Written, bytes: &mut Vec<u8>, names: &mut Names) {
    for (name, value) in labels {
        put_number(bytes, names.acquire(name) as usize);
        put_number(bytes, value.len());
        bytes.extend_from_slice(value.as_bytes());
    }
}

impl<'a> PackedLabels<'a> {
    /// Labels that were packed before.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Removes the uses of the names.
    pub(crate) fn release(self, names: &mut Names) {
        for (name, _) in self.iter() {
            names.release(name);
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (Name, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let name = take_number(&mut rest) as Name;
            let length = take_number(&mut rest);
            let (value, after) = rest.split_at(length);
            rest = after;
            Some((name, value))
        })
    }

    /// Whether these are labels that cannot be read.
    pub(crate) fn are_unreadable(self, names: &Names) -> bool {
        names.find(UNREADABLE_LABELS).is_some_and(|name| self.get(name).is_some())
    }

    fn get(self, name: Name) -> Option<&'a [u8]> {
        self.iter().find(|(one, _)| *one == name).map(|(_, value)| value)
    }
}

/// Seven bits a byte, the lowest first.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

pub(crate) fn take_number(bytes: &mut &[u8]) -> usize {
    let mut number = 0;
    let mut shift = 0;
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    number
}

/// The labels of one object as a selector sees them.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) names: &'a Names,
    pub(crate) profiles: &'a Profiles,
    pub(crate) own: PackedLabels<'a>,
    pub(crate) parents: &'a [ProfileIndex],
    /// The labels that a profile had before a change, to see an object as it was.
    pub(crate) before: Option<(ProfileIndex, PackedLabels<'a>)>,
}

impl<'a> View<'a> {
    fn of_parent(&self, parent: ProfileIndex) -> PackedLabels<'a> {
        match self.before {
            Some((profile, labels)) if profile == parent => labels,
            _ => self.profiles.labels(parent),
        }
    }

    /// Whether a selector selects it. No selector selects an object with unreadable labels.
    pub(crate) fn is_selected(&self, selector: &Selector) -> bool {
        if self.is_unreadable() { selector == unreadable_labels() } else { selector.matches(self) }
    }

    /// Whether its labels, or those of one of its profiles, are unreadable.
    pub(crate) fn is_unreadable(&self) -> bool {
        !faults::is_on("unreadable-labels-are-none")
            && self.names.find(UNREADABLE_LABELS).is_some_and(|name| self.get(name).is_some())
    }

    /// The value of a label.
    pub(crate) fn get(&self, name: Name) -> Option<&'a [u8]> {
        let inherited = |parent: &ProfileIndex| self.of_parent(*parent).get(name);
        self.own.get(name).or_else(|| {
            if faults::is_on("last-profile-wins") {
                return self.parents.iter().rev().find_map(inherited);
            }
            self.parents.iter().find_map(inherited)
        })
    }

    /// Visits each label once, with the value that counts, for the names that `wanted` accepts.
    pub(crate) fn each(&self, wanted: impl Fn(Name) -> bool, mut visit: impl FnMut(Name, &'a [u8])) {
        for (name, value) in self.own.iter() {
            if wanted(name) {
                visit(name, value);
            }
        }
        for (position, &parent) in self.parents.iter().enumerate() {
            let earlier = &self.parents[..position];
            for (name, _) in self.of_parent(parent).iter() {
                let hidden = || {
                    self.own.get(name).is_some()
                        || earlier.iter().any(|&before| self.of_parent(before).get(name).is_some())
                };
                if wanted(name)
                    && !hidden()
                    && let Some(value) = self.get(name)
                {
                    visit(name, value);
                }
            }
        }
    }
}

impl Labels for View<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        let value = self.get(self.names.find(name)?)?;
        std::str::from_utf8(value).ok()
    }
}
