//! A store that lives in memory: for tests, and for work on a copy of another store's content.
//!
//! Clones share their content. It keeps the last [`MemoryStore::KEPT`] changes for watches. It can behave as the Kubernetes
//! API does ([`MemoryStore::with_histories`]): a history for each kind, no transactions, watches that expire by kind.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tortie_api::{Key, Kind};

use crate::{
    Abilities, Event, Listing, Op, Operation, Position, Revision, Selection, Stopped, Store, StoreError, Stored,
    Support, Unsupported, Watch, Write, WriteError, Written, WrittenTogether,
};

/// A store in memory. Clones share their content.
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Each kind has a history of its own.
    by_kind: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Stored>,
    histories: BTreeMap<Part, History>,
}

/// What has a history: one kind, or all kinds together.
type Part = Option<Kind>;

/// The last changes, with one number each: that of the last one is `last`.
#[derive(Default)]
struct History {
    last: u64,
    log: VecDeque<Event>,
}

impl History {
    /// The oldest number from which a watch can start.
    fn kept(&self) -> u64 {
        self.last - self.log.len() as u64
    }

    /// The changes after a number; none if they are not kept, or the number was never reached.
    fn after(&self, from: u64) -> Option<impl Iterator<Item = &Event>> {
        let skipped = from.checked_sub(self.kept()).filter(|_| from <= self.last)?;
        Some(self.log.range(usize::try_from(skipped).ok()?..))
    }

    fn push(&mut self, event: Event) {
        self.log.push_back(event);
        let excess = self.log.len().saturating_sub(MemoryStore::KEPT);
        self.log.drain(..excess);
    }
}

impl MemoryStore {
    /// How many of the last changes a watch can ask for.
    pub const KEPT: usize = 10_000;

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that behaves as the Kubernetes API does: each kind has its own history, which begins where no other
    /// does; changes are made one by one; profiles and what is Kubernetes' own can only be read, except with
    /// [`MemoryStore::force`].
    pub fn with_histories() -> Self {
        let every = Kind::ALL.iter().chain(Kind::KUBERNETES);
        // No number means anything for another kind than its own: some are even of another length.
        let begin =
            |(at, kind): (usize, &Kind)| (Some(*kind), History { last: 7 + 95 * at as u64, ..History::default() });
        let state = State { histories: every.enumerate().map(begin).collect(), ..State::default() };
        Self { shared: Arc::new(Shared { by_kind: true, state: Mutex::new(state), changed: Condvar::default() }) }
    }

    /// A store with the content of another one, at the same revisions; it has no history.
    pub fn holding(listing: Listing) -> Self {
        let store = Self::new();
        let last = listing.position.highest();
        let objects = listing.items.into_iter().map(|stored| (stored.key.clone(), stored)).collect();
        let histories = BTreeMap::from([(None, History { last, log: VecDeque::new() })]);
        *store.state() = State { objects, histories };
        store
    }

    /// Forgets every change up to now, so that watching from before it is answered with [`StoreError::Compacted`], or
    /// with [`StoreError::Expired`] where each kind has its own history.
    pub fn compact(&self) {
        self.compact_to(u64::MAX);
    }

    /// Forgets the changes up to this number of each history.
    pub fn compact_to(&self, number: u64) {
        for history in self.state().histories.values_mut() {
            let excess = number.min(history.last).saturating_sub(history.kept());
            history.log.drain(..usize::try_from(excess).unwrap_or(usize::MAX));
        }
    }

    /// Forgets the history of one kind.
    pub fn expire(&self, kind: Kind) {
        if let Some(history) = self.state().histories.get_mut(&self.part_of(kind)) {
            history.log.clear();
        }
    }

    /// Makes a change that the store would not let a client make: as the cluster itself does.
    pub fn force(&self, write: &Write) -> Result<Written, WriteError> {
        let written = self.state().write(self.part_of(write.key.kind), write);
        self.shared.changed.notify_all();
        written
    }

    /// Changes or removes an object and leaves its revision and the log as they are: as a program that writes into the file of an
    /// embedded store.
    pub fn tamper(&self, key: &Key, value: Option<crate::Value>) {
        let mut state = self.state();
        match (value, state.objects.get_mut(key)) {
            (Some(value), Some(stored)) => stored.value = value,
            _ => drop(state.objects.remove(key)),
        }
    }

    fn part_of(&self, kind: Kind) -> Part {
        self.shared.by_kind.then_some(kind)
    }

    /// The parts that a selection has objects in.
    fn parts_of(&self, selection: &Selection) -> Vec<Part> {
        match selection.kind {
            _ if !self.shared.by_kind => vec![None],
            Some(kind) => vec![Some(kind)],
            None => Kind::ALL.iter().chain(Kind::KUBERNETES).copied().map(Some).collect(),
        }
    }

    /// Whether the change may be made now.
    fn check(&self, state: &State, write: &Write) -> Result<(), WriteError> {
        let operation = write.op.operation();
        self.supports(write.key.kind, operation).map_err(|unsupported| unsupported.refusal(operation))?;
        write.op.check(state.objects.get(&write.key))
    }

    fn write_one(&self, state: &mut State, write: &Write) -> Result<Written, WriteError> {
        self.check(state, write)?;
        state.write(self.part_of(write.key.kind), write)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves whole objects: every change is made in one step.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn position(part: Part, number: u64) -> Position {
    match part {
        None => Position::at(number),
        Some(kind) => Position::of_parts([(kind.plural(), number.into())]),
    }
}

/// The number of a position in a part; none if it has none.
fn number(at: &Position, part: Part) -> Option<u64> {
    match part {
        None => at.number(),
        Some(kind) => at.part(kind.plural()).and_then(Revision::number),
    }
}

impl State {
    fn position(&self, parts: &[Part]) -> Position {
        let mut all = Position::START;
        for part in parts {
            all.advance(&position(*part, self.histories.get(part).map_or(0, |history| history.last)));
        }
        all
    }

    fn write(&mut self, part: Part, write: &Write) -> Result<Written, WriteError> {
        write.op.check(self.objects.get(&write.key))?;
        let history = self.histories.entry(part).or_default();
        history.last += 1;
        let revision = Revision::from(history.last);
        let previous = match &write.op {
            Op::Create(value) | Op::Update(value, _) => {
                let value = value.clone().into();
                let stored = Stored { key: write.key.clone(), revision: revision.clone(), value };
                history.push(Event::Put(stored.clone()));
                self.objects.insert(write.key.clone(), stored)
            }
            Op::Delete(_) => {
                history.push(Event::Deleted(write.key.clone(), revision.clone()));
                self.objects.remove(&write.key)
            }
        };
        let position = position(part, history.last);
        Ok(Written { revision, position, previous })
    }
}

impl Store for MemoryStore {
    fn describe(&self) -> String {
        "store in memory".to_owned()
    }

    fn abilities(&self) -> Abilities {
        let whole = !self.shared.by_kind;
        Abilities { one_history: whole, transactions: whole, ..Abilities::default() }
    }

    fn supports(&self, kind: Kind, operation: Operation) -> Support {
        match kind {
            _ if !self.shared.by_kind => crate::abilities::by_default(kind),
            kind if operation != Operation::List && (kind == Kind::Profile || !kind.is_calico()) => {
                Err(Unsupported::default())
            }
            _ => Ok(()),
        }
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        Ok(self.state().objects.get(key).cloned())
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        let state = self.state();
        Ok(Listing {
            position: state.position(&self.parts_of(selection)),
            items: state.objects.values().filter(|stored| selection.contains(&stored.key)).cloned().collect(),
        })
    }

    /// A page for each kind where each has its own history: a change between two of them is seen in the second.
    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let mut all = Position::START;
        for part in self.parts_of(selection) {
            let listing = self.list(&Selection { kind: part.or(selection.kind), ..selection.clone() })?;
            all.advance(&listing.position);
            page(listing.items);
        }
        Ok(all)
    }

    fn position(&self) -> Result<Position, StoreError> {
        Ok(self.state().position(&self.parts_of(&Selection::default())))
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        let mut state = self.state();
        let results = writes.iter().map(|write| self.write_one(&mut state, write)).collect();
        drop(state);
        self.shared.changed.notify_all();
        Ok(results)
    }

    fn write_together(&self, writes: &[Write]) -> Result<WrittenTogether, StoreError> {
        let mut state = self.state();
        let mut whole = WrittenTogether::default();
        if !self.shared.by_kind {
            let check = |(at, write): (usize, &Write)| Some((at, self.check(&state, write).err()?));
            let refused: Vec<_> = writes.iter().enumerate().filter_map(check).collect();
            if !refused.is_empty() {
                return Ok(WrittenTogether { made: Vec::new(), stopped: Some(Stopped::Refused(refused)) });
            }
        }
        for (at, write) in writes.iter().enumerate() {
            match self.write_one(&mut state, write) {
                Ok(written) => whole.made.push(written),
                Err(refused) => {
                    whole.stopped = Some(Stopped::Refused(vec![(at, refused)]));
                    break;
                }
            }
        }
        drop(state);
        self.shared.changed.notify_all();
        Ok(whole)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        let parts = self.parts_of(selection);
        // Without a part in the position its history is watched from before its beginning, which has expired.
        let at = parts.into_iter().map(|part| (part, Some(number(from, part).unwrap_or(0)))).collect();
        let watch = MemoryWatch { store: self.clone(), selection: selection.clone(), at };
        if !self.shared.by_kind {
            watch.find(&self.state())?;
        }
        Ok(Box::new(watch))
    }
}

struct MemoryWatch {
    store: MemoryStore,
    selection: Selection,
    /// The number up to which every change of each part was given; none where it has expired.
    at: BTreeMap<Part, Option<u64>>,
}

impl MemoryWatch {
    /// The next change, with where its part stands then; and up to where nothing else of the selection came before.
    fn find(&self, state: &State) -> Result<Option<(Part, u64, Event)>, StoreError> {
        for (part, at) in self.at.iter().filter_map(|(part, at)| Some((*part, (*at)?))) {
            let empty = History::default();
            let history = state.histories.get(&part).unwrap_or(&empty);
            let Some(mut events) = history.after(at) else {
                return Err(match part {
                    None => StoreError::Compacted { from: at.into(), kept: history.kept().into() },
                    Some(kind) => StoreError::Expired { kind },
                });
            };
            if let Some(event) = events.find(|event| self.selection.contains(event.key())) {
                let number = event.revision().number().unwrap_or(history.last);
                return Ok(Some((part, number, event.clone())));
            }
        }
        Ok(None)
    }
}

impl Watch for MemoryWatch {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        let deadline = Instant::now().checked_add(wait);
        let store = self.store.clone();
        let mut state = store.state();
        loop {
            match self.find(&state) {
                Ok(Some((part, number, event))) => {
                    self.at.insert(part, Some(number));
                    return Ok(Some(event));
                }
                Ok(None) => {}
                Err(error) => {
                    if let StoreError::Expired { kind } = error {
                        self.at.insert(Some(kind), None);
                    }
                    return Err(error);
                }
            }
            // Nothing else of the selection came up to here.
            for (part, at) in &mut self.at {
                if let Some(at) = at {
                    *at = state.histories.get(part).map_or(*at, |history| history.last);
                }
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return Ok(None);
            }
            state = store.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn position(&self) -> Position {
        let mut all = Position::START;
        for (part, at) in &self.at {
            if let Some(at) = at {
                all.advance(&position(*part, *at));
            }
        }
        all
    }

    fn resume(&mut self, kind: Kind, from: &Position) -> Result<(), StoreError> {
        let part = self.store.part_of(kind);
        let Some(number) = number(from, part) else {
            return Err(StoreError::Failed(format!("{from:?} is no position of {kind}")));
        };
        self.at.insert(part, Some(number));
        Ok(())
    }
}
