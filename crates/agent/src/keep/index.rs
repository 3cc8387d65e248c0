//! Where the forms of every object stand in a file: its present one, and the last good one before.
//!
//! Made in one go over the file, and only when it is needed: when an object cannot be read, when the copy stands in, and
//! when the file is made shorter.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;

use tortie_store::{Revision, Stored};

use super::file::{self, Record, What};

/// The forms of one object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Forms {
    /// Where its present form stands.
    pub(super) present: Option<u64>,
    /// That one is bad.
    pub(super) bad: bool,
    /// Where the last form before stands that is not known to be bad.
    pub(super) before: Option<u64>,
}

/// A form out of a file.
pub(super) type Form = (Revision, Vec<u8>);

/// All of them, by a hash of the key; what is read at a place is compared with the key.
#[derive(Default)]
pub(super) struct Index {
    forms: HashMap<u64, Forms>,
    hasher: RandomState,
    /// How far the store was heard, and when that was.
    pub(super) heard: Option<(Revision, String)>,
    /// The file misses something.
    pub(super) torn: bool,
}

impl Index {
    /// That of a file, and where what can be relied on ends.
    pub(super) fn of(file: &File) -> io::Result<(Self, u64)> {
        let mut index = Self::default();
        let end = file::read(file, |record, at| {
            index.add(record, at);
            true
        })?;
        Ok((index, end))
    }

    /// The file has one more record.
    pub(super) fn add(&mut self, record: Record<'_>, at: u64) {
        let hash = self.hasher.hash_one(record.key);
        match record.what {
            What::Put => {
                let forms = self.forms.entry(hash).or_default();
                if !forms.bad && forms.present.is_some() {
                    forms.before = forms.present;
                }
                (forms.present, forms.bad) = (Some(at), false);
            }
            What::Good => self.forms.entry(hash).or_default().before = Some(at),
            What::Bad => self.forms.entry(hash).or_default().bad = true,
            What::Gone => drop(self.forms.remove(&hash)),
            What::Heard => self.heard = Some((record.revision, record.key.to_owned())),
            What::Torn => self.torn = true,
            What::Store => {}
        }
    }

    /// The forms of an object.
    pub(super) fn forms(&self, key: &str) -> Forms {
        self.forms.get(&self.hasher.hash_one(key)).copied().unwrap_or_default()
    }

    /// The last good form of an object that is bad as it is now, and whether the file has that present form but not yet
    /// as bad.
    pub(super) fn good(&self, file: &File, present: &Stored) -> io::Result<(Option<Form>, bool)> {
        let key = present.key.path();
        let forms = self.forms(&key);
        let read = |at: Option<u64>| -> io::Result<Option<Form>> {
            let Some(at) = at else { return Ok(None) };
            let mut body = Vec::new();
            let found = file::read_at(file, at, &mut body)?.filter(|record| record.key == key);
            Ok(found.map(|record| (record.revision, record.value.to_vec())))
        };
        let last = read(forms.present)?;
        let is_present = last.as_ref().is_some_and(|(at, value)| *at == present.revision && *value == *present.value);
        let good = if is_present || forms.bad { read(forms.before)? } else { last };
        Ok((good, is_present && !forms.bad))
    }
}
