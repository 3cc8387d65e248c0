//! What becomes of the files: changes are added to the copy, a listing takes its place, and one that has grown long is
//! made shorter.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tortie_api::Key;
use tortie_store::{Revision, Stored};

use super::disk::Changes;
use super::file::{self, Record, What};
use super::index::Index;
use crate::board;

/// A copy may grow by its own length and by this before it is made shorter.
const SLACK: u64 = 64 << 20;
/// How many objects of a copy are told at once.
const PAGE: usize = 1_000;

/// The copy as it is written.
pub(super) struct Book {
    path: PathBuf,
    file: Option<File>,
    /// Where it ends; not known of a file that another agent wrote.
    end: Option<u64>,
    /// How long it was when it was new.
    base: u64,
    /// Known once it was needed.
    index: Option<Index>,
    /// The objects whose present form is bad.
    bad: BTreeSet<String>,
    /// Nothing more is added: something is missing.
    torn: bool,
    new: Option<New>,
}

/// A listing that is not whole yet.
struct New {
    file: File,
    length: u64,
    /// The objects that are known to be bad in it.
    bad: BTreeSet<String>,
}

impl New {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

impl Book {
    /// Goes on with what is there.
    pub(super) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(path).ok();
        let path = path.to_owned();
        Self { path, file, end: None, base: 0, index: None, bad: BTreeSet::new(), torn: false, new: None }
    }

    /// Nothing more can be written. What is there must not be taken for whole.
    pub(super) fn give_up(&mut self) {
        self.new = None;
        drop(fs::remove_file(self.beside()));
        if self.tear().is_err() {
            self.file = None;
            drop(fs::remove_file(&self.path));
        }
    }

    /// Adds changes; something before them may be missing.
    pub(super) fn changes(&mut self, mut changes: Changes, torn: bool) -> io::Result<()> {
        if torn {
            self.new = None;
            self.tear()?;
        }
        if changes.bytes.is_empty() || self.torn {
            return Ok(());
        }
        Record::of(What::Heard, &board::now(), changes.revision).write(&mut changes.bytes);
        self.add(&changes.bytes)?;
        if self.end.is_some_and(|end| end > 2 * self.base + SLACK) {
            self.shorten()?;
        }
        Ok(())
    }

    /// A listing begins.
    pub(super) fn listing(&mut self, store: &str) -> io::Result<()> {
        self.new = Some(self.create(store)?);
        Ok(())
    }

    /// A piece of it.
    pub(super) fn page(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.new.as_mut().map_or(Ok(()), |new| new.write(bytes))
    }

    /// It is whole, at this revision; or it was given up.
    pub(super) fn listed(&mut self, revision: Option<Revision>) -> io::Result<()> {
        let (Some(mut new), Some(revision)) = (self.new.take(), revision) else { return Ok(()) };
        self.carry(&mut new)?;
        let mut bytes = Vec::new();
        Record::of(What::Heard, &board::now(), revision).write(&mut bytes);
        new.write(&bytes)?;
        self.replace(new)
    }

    /// The last good form of an object that is bad as it is now.
    pub(super) fn last_good(&mut self, present: &Stored) -> io::Result<Option<(Revision, Arc<[u8]>)>> {
        let key = present.key.path();
        let (good, mark) = match self.index()? {
            Some((index, file)) => index.good(file, present)?,
            None => (None, false),
        };
        self.bad.insert(key.clone());
        let mut bytes = Vec::new();
        if let Some(new) = &mut self.new {
            Record::of(What::Bad, &key, 0).write(&mut bytes);
            if let Some((revision, value)) = &good {
                Record { what: What::Good, revision: *revision, key: &key, value }.write(&mut bytes);
            }
            new.write(&bytes)?;
            new.bad.insert(key);
        } else if mark && !self.torn {
            Record::of(What::Bad, &key, 0).write(&mut bytes);
            self.add(&bytes)?;
        }
        Ok(good.map(|(revision, value)| (revision, value.into())))
    }

    /// Objects that are as bad as they were are not asked about again, and keep their last good form all the same.
    fn carry(&mut self, new: &mut New) -> io::Result<()> {
        let left: Vec<String> = self.bad.difference(&new.bad).cloned().collect();
        if left.is_empty() {
            self.bad = std::mem::take(&mut new.bad);
            return Ok(());
        }
        let (news, _) = Index::of(&new.file)?;
        let mut bytes = Vec::new();
        if let Some((index, file)) = self.index()? {
            for key in &left {
                let (mut one, mut other) = (Vec::new(), Vec::new());
                let (old, now) = (index.forms(key), news.forms(key));
                let (Some(was), Some(is)) = (old.present, now.present) else { continue };
                if !old.bad || file::read_at(file, was, &mut one)? != file::read_at(&new.file, is, &mut other)? {
                    continue;
                }
                Record::of(What::Bad, key, 0).write(&mut bytes);
                if let Some(at) = old.before
                    && let Some(good) = file::read_at(file, at, &mut one)?
                {
                    Record { what: What::Good, ..good }.write(&mut bytes);
                }
                new.bad.insert(key.clone());
            }
        }
        self.bad = std::mem::take(&mut new.bad);
        new.write(&bytes)
    }

    /// Writes what counts of the copy anew.
    fn shorten(&mut self) -> io::Result<()> {
        let Some(store) = file::store(&self.path) else { return Ok(()) };
        let mut new = self.create(&store)?;
        let Some((index, file)) = self.index()? else { return Ok(()) };
        let (mut bytes, mut result) = (Vec::new(), Ok(()));
        file::read(file, |record, at| {
            let forms = index.forms(record.key);
            match record.what {
                What::Put if forms.present == Some(at) => {
                    record.write(&mut bytes);
                    if forms.bad {
                        Record::of(What::Bad, record.key, 0).write(&mut bytes);
                    }
                }
                What::Put | What::Good if forms.before == Some(at) => {
                    Record { what: What::Good, ..record }.write(&mut bytes);
                }
                _ => {}
            }
            if bytes.len() >= 1 << 20 {
                result = new.write(&bytes);
                bytes.clear();
            }
            result.is_ok()
        })?;
        result?;
        if let Some((revision, when)) = &index.heard {
            Record::of(What::Heard, when, *revision).write(&mut bytes);
        }
        new.write(&bytes)?;
        self.replace(new)
    }

    fn create(&self, store: &str) -> io::Result<New> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(self.beside())?;
        let mut new = New { file, length: 0, bad: BTreeSet::new() };
        new.write(&file::beginning(store))?;
        Ok(new)
    }

    fn beside(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    /// A new file is whole, and stands in the place of the old one from now on.
    fn replace(&mut self, new: New) -> io::Result<()> {
        new.file.sync_data()?;
        fs::rename(self.beside(), &self.path)?;
        (self.base, self.end) = (new.length, Some(new.length));
        (self.file, self.index, self.torn) = (Some(new.file), None, false);
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(end) = self.end()? else { return Ok(()) };
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(bytes, end)?;
        if let Some(index) = &mut self.index {
            file::each(bytes, |record, at| index.add(record, end + at));
        }
        self.end = Some(end + bytes.len() as u64);
        Ok(())
    }

    /// Notes that something is missing from here on.
    fn tear(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        Record::of(What::Torn, "", 0).write(&mut bytes);
        self.torn = true;
        self.add(&bytes)
    }

    /// Where the file ends that can be relied on; none if there is none of ours.
    fn end(&mut self) -> io::Result<Option<u64>> {
        let Some(file) = &self.file else { return Ok(None) };
        if self.end.is_none() {
            self.end = Some(file::read(file, |_, _| true)?).filter(|end| *end > 0);
        }
        Ok(self.end)
    }

    fn index(&mut self) -> io::Result<Option<(&Index, &File)>> {
        let Some(file) = &self.file else { return Ok(None) };
        if self.index.is_none() {
            self.index = Some(Index::of(file)?.0);
        }
        Ok(self.index.as_ref().map(|index| (index, file)))
    }
}

/// A copy of what a store said, on disk.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    path: PathBuf,
    /// What the store was.
    pub(crate) store: String,
}

/// A copy that was looked through.
pub(crate) struct Held {
    file: File,
    index: Index,
    /// When it was written, as UTC.
    pub(crate) written: String,
    /// How far the store had come.
    pub(crate) revision: Revision,
}

impl Copy {
    /// The copy at a path.
    pub(super) fn open(path: &Path) -> Option<Self> {
        Some(Self { path: path.to_owned(), store: file::store(path)? })
    }

    /// Looks through it; none if it is not known as a whole.
    pub(crate) fn hold(&self) -> Option<Held> {
        let file = File::open(&self.path).ok()?;
        let (mut index, _) = Index::of(&file).ok()?;
        let (revision, written) = index.heard.take().filter(|_| !index.torn)?;
        Some(Held { file, index, written, revision })
    }
}

impl Held {
    /// Tells everything in it, piece by piece.
    pub(crate) fn pages(&self, page: &mut dyn FnMut(Vec<Stored>)) -> io::Result<()> {
        let mut items = Vec::new();
        file::read(&self.file, |record, at| {
            if record.what == What::Put && self.index.forms(record.key).present == Some(at) {
                // A key that this version does not know was no object for it before either.
                if let Ok(key) = record.key.parse::<Key>() {
                    items.push(Stored { key, revision: record.revision, value: record.value.into() });
                }
            }
            if items.len() >= PAGE {
                page(std::mem::take(&mut items));
            }
            true
        })?;
        page(items);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;

    use super::*;

    fn stored(name: &str, revision: Revision, value: &str) -> Stored {
        Stored { key: Key::cluster(Kind::Tier, name), revision, value: value.as_bytes().into() }
    }

    fn put(all: &[&Stored]) -> Vec<u8> {
        let mut bytes = Vec::new();
        all.iter().for_each(|stored| Record::put(&stored.key.path(), stored).write(&mut bytes));
        bytes
    }

    fn gone(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        Record::of(What::Gone, &Key::cluster(Kind::Tier, name).path(), 7).write(&mut bytes);
        bytes
    }

    fn held(path: &Path) -> (Vec<Stored>, Revision) {
        let held = Copy::open(path).unwrap().hold().unwrap();
        let mut items = Vec::new();
        held.pages(&mut |page| items.extend(page)).unwrap();
        items.sort_by(|a, b| a.key.cmp(&b.key));
        (items, held.revision)
    }

    #[test]
    fn a_shorter_copy_says_the_same() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("copy");
        let mut book = Book::open(&path);
        let (a, b, c) = (stored("a", 1, "one"), stored("b", 2, "one"), stored("c", 3, "one"));
        book.listing("s").unwrap();
        book.page(&put(&[&a, &b, &c])).unwrap();
        book.listed(Some(3)).unwrap();
        let (bad, worse, other) = (stored("a", 4, "bad"), stored("a", 5, "worse"), stored("b", 6, "two"));
        for (changes, revision) in [(put(&[&bad]), 4), (put(&[&worse, &other]), 6), (gone("c"), 7)] {
            book.changes(Changes { bytes: changes, revision }, false).unwrap();
            if revision < 7 {
                let present = if revision == 4 { &bad } else { &worse };
                assert_eq!(book.last_good(present).unwrap().unwrap().0, 1);
            }
        }
        let before = held(&path);
        assert_eq!(before, (vec![worse.clone(), other.clone()], 7));
        let long = fs::metadata(&path).unwrap().len();
        book.shorten().unwrap();
        assert!(fs::metadata(&path).unwrap().len() < long);
        assert_eq!(held(&path), before);
        assert_eq!(book.last_good(&worse).unwrap(), Some((1, a.value)));
        assert_eq!(book.last_good(&other).unwrap(), Some((2, b.value)), "it may have been asked for on the way");
        let last = stored("b", 8, "three");
        book.changes(Changes { bytes: put(&[&last]), revision: 8 }, false).unwrap();
        assert_eq!(held(&path), (vec![worse, last], 8));
    }

    #[test]
    fn a_copy_that_misses_something_is_not_used_until_all_is_there_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("copy");
        let mut book = Book::open(&path);
        let a = stored("a", 1, "one");
        let list = |book: &mut Book| {
            book.listing("s").unwrap();
            book.page(&put(&[&a])).unwrap();
            book.listed(Some(1)).unwrap();
        };
        list(&mut book);
        book.changes(Changes { bytes: put(&[&stored("b", 3, "one")]), revision: 3 }, true).unwrap();
        assert!(Copy::open(&path).unwrap().hold().is_none());
        assert_eq!(book.last_good(&stored("a", 2, "bad")).unwrap().unwrap().0, 1, "what it had is known still");
        list(&mut book);
        assert_eq!(held(&path), (vec![a.clone()], 1));
        book.give_up();
        assert!(Copy::open(&path).is_none_or(|copy| copy.hold().is_none()));
    }
}
