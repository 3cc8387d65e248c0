//! One ordered stream of checked changes out of a store.
//!
//! [`Sync`] lists a store, sends everything it found, says [`Message::InSync`], and then follows the watch, which continues
//! where it was after an outage of the store. If that is not possible any more (compacted), the store is listed again and
//! the differences are sent as one message. So a receiver that applies each message as a whole never has a state that was not in
//! the store. Where each kind has its own history this holds for each kind, and a kind that can no longer be followed
//! (expired) is listed again alone.
//!
//! What is in force for an unreadable object is decided here, before any code that judges packets sees it: the last valid
//! version stays in force; without one a deny-by-default replacement is. In both cases the change says so. What all changes
//! together put in force is [`InForce`].

mod change;
mod in_force;
mod last_valid;
mod unreadable;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use tortie_api::{Key, Kind};
use tortie_store::{Event, Position, Revision, Selection, Store, StoreError, Stored, Watch};

pub use change::{Change, Content, changes};
pub use in_force::InForce;
pub use last_valid::{LastValid, NoCache, Version};
pub use unreadable::{Replacement, Unreadable, first_reasons};

/// A message of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Changes that belong together, and the position in the store's history up to which they go; of the first
    /// listing, a piece of it, and the position is what was known before. An empty list means that the store is reachable
    /// again, or that its history went on, without a change.
    Changes(Vec<Change>, Position),
    /// Everything that was in the store at first has been sent.
    InSync(Position),
    /// The store cannot be reached; what is known stays in force. Sent once until it answers again.
    Lost(String),
}

/// Most changes in one message, of those that came at once.
const MAX_BATCH: usize = 1_000;

/// The shortest time between messages that have a new position and no change.
const MOVED: Duration = Duration::from_secs(1);

/// What distinguishes versions of an object: its revision, and a hash of its content, since a store that replaced another
/// (a backup, say) counts its revisions anew.
pub type Fingerprint = (Revision, u64);

/// The fingerprint of a version, for comparing within one process: another may hash otherwise.
pub fn fingerprint(stored: &Stored) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    stored.value.hash(&mut hasher);
    (stored.revision.clone(), hasher.finish())
}

/// The stream.
pub struct Sync<'a> {
    store: &'a dyn Store,
    selection: Selection,
    last_valid: Box<dyn LastValid + 'a>,
    /// The versions that were sent, to compare a later listing with; each with the number of the last listing that had it.
    known: BTreeMap<Key, (Fingerprint, u32)>,
    listings: u32,
    /// The messages to send next.
    waiting: VecDeque<Message>,
    watch: Option<Box<dyn Watch>>,
    /// The kinds whose history expired, and that were not listed again yet.
    expired: Vec<Kind>,
    position: Position,
    /// The position that was sent last, and when.
    sent: (Position, Instant),
    announced: bool,
    lost: bool,
}

impl<'a> Sync<'a> {
    /// Begins a stream. `last_valid` keeps valid versions over restarts.
    pub fn new(store: &'a dyn Store, last_valid: impl LastValid + 'a) -> Self {
        Self::of(store, Selection::default(), last_valid)
    }

    /// Begins a stream of a selection: of all kinds, but perhaps for a purpose for which the store leaves some out.
    pub fn of(store: &'a dyn Store, selection: Selection, last_valid: impl LastValid + 'a) -> Self {
        Self {
            store,
            selection,
            last_valid: Box::new(last_valid),
            known: BTreeMap::new(),
            listings: 0,
            waiting: VecDeque::new(),
            watch: None,
            expired: Vec::new(),
            position: Position::START,
            sent: (Position::START, Instant::now()),
            announced: false,
            lost: false,
        }
    }

    /// The next message; none if nothing happened within `wait`.
    pub fn next(&mut self, wait: Duration) -> Option<Message> {
        if self.waiting.is_empty() {
            let mut sent = VecDeque::new();
            self.step(wait, &mut |message| sent.push_back(message));
            self.waiting = sent;
        }
        self.waiting.pop_front()
    }

    /// Whether it watches the store, so that at most single kinds are listed; otherwise the next step lists everything.
    pub fn has_watch(&self) -> bool {
        self.watch.is_some()
    }

    /// Like [`Sync::next`], but the first listing is sent page by page, so that it is never
    /// held as a whole.
    pub fn step(&mut self, wait: Duration, send: &mut dyn FnMut(Message)) {
        if !self.announced && self.watch.is_some() {
            self.announced = true;
            self.sent = (self.position.clone(), Instant::now());
            return send(Message::InSync(self.position.clone()));
        }
        let step = match &mut self.watch {
            Some(_) if !self.expired.is_empty() => self.relist_expired().map(Some),
            Some(watch) => match watch.next(wait) {
                // The store answers again, and everything up to here was sent.
                Ok(None) if self.lost => Ok(Some(Message::Changes(Vec::new(), self.position.clone()))),
                Ok(event) => Ok(self.events(event)),
                Err(StoreError::Compacted { .. }) => {
                    self.watch = None;
                    self.expired.clear();
                    self.relist(send).map(Some)
                }
                Err(StoreError::Expired { kind }) => {
                    self.expired.push(kind);
                    self.relist_expired().map(Some)
                }
                // The watch continues where it was, so that not all clients list a store that is reachable again.
                Err(error) => Err(error),
            },
            None => self.relist(send).map(Some),
        };
        match step {
            Ok(message) => {
                self.lost = false;
                if message.is_some() {
                    self.sent = (self.position.clone(), Instant::now());
                }
                message.into_iter().for_each(send);
            }
            Err(_) if self.lost => {}
            Err(error) => {
                self.lost = true;
                send(Message::Lost(error.to_string()));
            }
        }
    }

    /// A change, and those that came together with it. Without any, a new position is told now and then: whoever waits for
    /// one of a moment when nothing that concerns us changed would wait for ever.
    fn events(&mut self, first: Option<Event>) -> Option<Message> {
        let mut changes = Vec::from_iter(first.and_then(|event| self.event(event)));
        while changes.len() < MAX_BATCH
            && let Some(event) = self.watch.as_mut().and_then(|watch| watch.more())
        {
            changes.extend(self.event(event));
        }
        self.move_on();
        let moved = || self.sent.0 != self.position && self.sent.1.elapsed() >= MOVED;
        (!changes.is_empty() || moved()).then(|| Message::Changes(changes, self.position.clone()))
    }

    fn event(&mut self, event: Event) -> Option<Change> {
        Some(match event {
            Event::Put(stored) => {
                self.known.insert(stored.key.clone(), (fingerprint(&stored), self.listings));
                changes(&[&stored], &*self.last_valid).remove(0)
            }
            Event::Deleted(key, _) => {
                self.known.remove(&key)?;
                self.last_valid.forget(&key);
                Change::deleted(key)
            }
        })
    }

    /// The watch has come so far.
    fn move_on(&mut self) {
        if let Some(watch) = &self.watch {
            self.position = watch.position();
        }
    }

    /// Reads everything and watches from there. What differs from what was sent before is sent: before everything was sent
    /// once, piece by piece; later all at once.
    fn relist(&mut self, send: &mut dyn FnMut(Message)) -> Result<Message, StoreError> {
        let selection = self.selection.clone();
        let (found, position) = self.list(&selection, send)?;
        self.watch = Some(self.store.watch(&selection, &position)?);
        self.position = position;
        Ok(Message::Changes(self.settle(found, None), self.position.clone()))
    }

    /// Reads a kind whose history expired, and goes on watching it from there. Until that succeeds nothing else is sent, so
    /// that no receiver considers the state complete.
    fn relist_expired(&mut self) -> Result<Message, StoreError> {
        let Some(kind) = self.expired.last().copied() else {
            return Ok(Message::Changes(Vec::new(), self.position.clone()));
        };
        let selection = self.selection.of_kind(kind);
        let (found, position) = self.list(&selection, &mut |_| {})?;
        if let Some(watch) = &mut self.watch {
            watch.resume(kind, &position)?;
        }
        self.expired.pop();
        self.move_on();
        Ok(Message::Changes(self.settle(found, Some(kind)), self.position.clone()))
    }

    /// What a listing has that was not sent before. In the first listing of everything it is sent on the way, but for the
    /// last piece.
    fn list(&mut self, selection: &Selection, send: &mut dyn FnMut(Message)) -> Result<(Unsent, Position), StoreError> {
        self.listings = self.listings.wrapping_add(1);
        let (store, listing) = (self.store, self.listings);
        let mut found = Unsent::default();
        let position = store.list_pages(selection, &mut |page| {
            if !self.announced && !found.changes.is_empty() && !page.is_empty() {
                self.known.extend(found.versions.drain(..).map(|(key, version)| (key, (version, listing))));
                send(Message::Changes(std::mem::take(&mut found.changes), self.position.clone()));
            }
            let mut new = Vec::new();
            for (stored, version) in page.iter().zip(tortie_parallel::map(&page, fingerprint)) {
                match self.known.get_mut(&stored.key) {
                    Some((known, seen)) if *known == version => *seen = listing,
                    _ => {
                        new.push(stored);
                        found.versions.push((stored.key.clone(), version));
                    }
                }
            }
            found.changes.extend(changes(&new, &*self.last_valid));
        })?;
        Ok((found, position))
    }

    /// The changes that a listing of everything, or of one kind, comes to: what it has, and what it has no more.
    fn settle(&mut self, found: Unsent, of: Option<Kind>) -> Vec<Change> {
        let Unsent { mut changes, versions } = found;
        let listing = self.listings;
        self.known.extend(versions.into_iter().map(|(key, version)| (key, (version, listing))));
        let concerns = |key: &Key| of.is_none_or(|kind| kind == key.kind);
        let gone: Vec<Key> = self
            .known
            .iter()
            .filter(|(key, (_, seen))| *seen != listing && concerns(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.known.remove(&key);
            self.last_valid.forget(&key);
            changes.push(Change::deleted(key));
        }
        changes
    }
}

/// The objects of a listing that were not sent before. Versions count as known once their changes are sent.
#[derive(Default)]
struct Unsent {
    changes: Vec<Change>,
    versions: Vec<(Key, Fingerprint)>,
}
