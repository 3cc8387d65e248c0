//! One ordered stream of checked changes out of a store.
//!
//! [`Sync`] lists a store, tells everything it found, says [`Message::InSync`], and then follows the watch, which goes
//! on where it was when the store was away. When it can no longer be followed (compacted) the store is listed again and
//! the differences are told as one message, so whoever applies each message as a whole never sees a state that was not in
//! the store.
//!
//! Objects that cannot be read are decided here, before anyone who judges sees them (design section 3): the last valid
//! version stays in force; without one a deny-by-default replacement is. Either way the change says so. What all changes
//! together put in force is [`InForce`].

mod change;
mod in_force;
mod last_valid;
mod unreadable;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tortie_api::Key;
use tortie_store::{Event, Revision, Selection, Store, StoreError, Stored, Watch, each};

pub use change::{Change, Content, changes};
pub use in_force::InForce;
pub use last_valid::{LastValid, NoCache, Version};
pub use unreadable::{Replacement, Unreadable};

/// One step of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Changes that belong together, and the revision at which the store was so; of the first listing, a piece of it, and
    /// the revision is what was known before. None at all when the store is heard again
    /// and is as it was told.
    Changes(Vec<Change>, Revision),
    /// Everything that was in the store at first has been told.
    InSync(Revision),
    /// The store cannot be asked; what is known stays in force. Told once until it answers again.
    Lost(String),
}

/// Most changes in one message, of those that came at once.
const TOGETHER: usize = 1_000;

/// What tells versions of an object apart: its revision, and a hash of its content, since a store that was put in the place of another
/// (a backup, say) counts its revisions anew.
type Fingerprint = (Revision, u64);

fn fingerprint(stored: &Stored) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    stored.value.hash(&mut hasher);
    (stored.revision, hasher.finish())
}

/// The stream.
pub struct Sync<'a> {
    store: &'a dyn Store,
    last_valid: Box<dyn LastValid + 'a>,
    /// What was told: what a later listing is compared with. Each with the listing that had it last.
    known: BTreeMap<Key, (Fingerprint, u32)>,
    listings: u32,
    /// What is to be told next.
    waiting: VecDeque<Message>,
    watch: Option<Box<dyn Watch>>,
    revision: Revision,
    announced: bool,
    lost: bool,
}

impl<'a> Sync<'a> {
    /// Begins with nothing told. `last_valid` keeps valid versions over restarts.
    pub fn new(store: &'a dyn Store, last_valid: impl LastValid + 'a) -> Self {
        Self {
            store,
            last_valid: Box::new(last_valid),
            known: BTreeMap::new(),
            listings: 0,
            waiting: VecDeque::new(),
            watch: None,
            revision: 0,
            announced: false,
            lost: false,
        }
    }

    /// The next step; none when nothing happened within `wait`.
    pub fn next(&mut self, wait: Duration) -> Option<Message> {
        if self.waiting.is_empty() {
            let mut told = VecDeque::new();
            self.step(wait, &mut |message| told.push_back(message));
            self.waiting = told;
        }
        self.waiting.pop_front()
    }

    /// The same for whoever takes messages as they come: the first listing is told piece by piece, so that it is never
    /// held as a whole.
    pub fn step(&mut self, wait: Duration, tell: &mut dyn FnMut(Message)) {
        if !self.announced && self.watch.is_some() {
            self.announced = true;
            return tell(Message::InSync(self.revision));
        }
        let step = match &mut self.watch {
            Some(watch) => match watch.next(wait) {
                // It is heard again, and everything up to here was told.
                Ok(None) if self.lost => Ok(Some(Message::Changes(Vec::new(), self.revision))),
                Ok(event) => Ok(event.and_then(|event| self.events(event))),
                Err(StoreError::Compacted { .. }) => {
                    self.watch = None;
                    self.relist(tell).map(Some)
                }
                // It goes on where it was: a store that comes back is not asked for everything by everyone.
                Err(error) => Err(error),
            },
            None => self.relist(tell).map(Some),
        };
        match step {
            Ok(message) => {
                self.lost = false;
                message.into_iter().for_each(tell);
            }
            Err(_) if self.lost => {}
            Err(error) => {
                self.lost = true;
                tell(Message::Lost(error.to_string()));
            }
        }
    }

    /// A change, and those that came together with it.
    fn events(&mut self, first: Event) -> Option<Message> {
        let mut changes = Vec::from_iter(self.event(first));
        while changes.len() < TOGETHER
            && let Some(event) = self.watch.as_mut().and_then(|watch| watch.more())
        {
            changes.extend(self.event(event));
        }
        (!changes.is_empty()).then(|| Message::Changes(changes, self.revision))
    }

    fn event(&mut self, event: Event) -> Option<Change> {
        self.revision = event.revision();
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

    /// Reads everything and watches from there. What is not as it was told before is told: before everything was told
    /// once, piece by piece; later all at once.
    fn relist(&mut self, tell: &mut dyn FnMut(Message)) -> Result<Message, StoreError> {
        self.listings = self.listings.wrapping_add(1);
        let (store, listing) = (self.store, self.listings);
        let mut changes = Vec::new();
        // Versions count as known once their changes are told.
        let mut versions: Vec<(Key, Fingerprint)> = Vec::new();
        let revision = store.list_pages(&Selection::default(), &mut |page| {
            if !self.announced && !changes.is_empty() {
                self.known.extend(versions.drain(..).map(|(key, version)| (key, (version, listing))));
                tell(Message::Changes(std::mem::take(&mut changes), self.revision));
            }
            let mut new = Vec::new();
            for (stored, version) in page.iter().zip(each(&page, fingerprint)) {
                match self.known.get_mut(&stored.key) {
                    Some((known, seen)) if *known == version => *seen = listing,
                    _ => {
                        new.push(stored);
                        versions.push((stored.key.clone(), version));
                    }
                }
            }
            changes.extend(crate::changes(&new, &*self.last_valid));
        })?;
        let watch = store.watch(&Selection::default(), revision)?;
        self.known.extend(versions.into_iter().map(|(key, version)| (key, (version, listing))));
        let gone: Vec<Key> =
            self.known.iter().filter(|(_, (_, seen))| *seen != listing).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.known.remove(&key);
            self.last_valid.forget(&key);
            changes.push(Change::deleted(key));
        }
        self.watch = Some(watch);
        self.revision = revision;
        Ok(Message::Changes(changes, revision))
    }
}
