//! A store whose content is recorded in the snapshot cache, and which the snapshot replaces while it cannot be reached.

mod recording_watch;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tortie_api::{Key, Kind, decode};
use tortie_store::{
    Abilities, Backoff, Definitions, Event, LeftOut, Listing, Operation, Position, Selection, Store, StoreError,
    Stored, Support, Watch, Write, WriteError, Written,
};

use self::recording_watch::RecordingWatch;
use super::continuity;
use super::file::Snapshot;
use super::identity::{self, Identity};
use super::writer::CacheWriter;
use crate::lag::{self, StepGuard};
use crate::log_event;
use crate::status::StoreState;
use crate::status_cell::{Answered, StatusCell};
use crate::stop_flag::StopFlag;
use crate::supervisor;
use crate::utc;

/// How long the watch of a snapshot waits while the store must not be asked.
const NOT_ASKED: Duration = Duration::from_secs(3600);

/// The problem that objects are not read because they are defined twice.
const TWICE: &str = "definitions of two groups";

/// Opens the store with its current configuration and certificates.
pub type Opener = Box<dyn Fn() -> Result<Arc<dyn Store>, StoreError> + Send + Sync>;

/// A store that is recorded on disk, and is replaced by its snapshot while it has not answered since the start.
pub(crate) struct CachedStore {
    opener: Opener,
    opened: Mutex<Option<Arc<dyn Store>>>,
    disk: Option<CacheWriter>,
    copy: Mutex<Option<Snapshot>>,
    /// The identity of the store that the agent follows, as far as it was read.
    seen: Arc<Mutex<Identity>>,
    /// A kind whose history ends before what was read of it, where each kind has its own.
    suspect: Arc<Mutex<Option<Kind>>>,
    /// Why the last attempt did not follow the store that it found: it is another store, or does not exist.
    refused: Mutex<Option<StoreState>>,
    /// Whether another store may take over.
    accepted: AtomicBool,
    /// Why the store is never asked.
    not_asked: OnceLock<String>,
    /// Pauses between attempts while the copy replaces the store.
    backoff: Mutex<Backoff>,
    status: Arc<StatusCell>,
    stop: Arc<StopFlag>,
    /// The configuration and certificates must be read again.
    reopen: Arc<AtomicBool>,
}

impl CachedStore {
    /// A store that `opener` opens. `name` describes it, as far as that is known before it is open.
    pub(crate) fn new(
        opener: Opener,
        name: &str,
        disk: Option<CacheWriter>,
        status: Arc<StatusCell>,
        stop: Arc<StopFlag>,
    ) -> Self {
        let copy = disk.as_ref().and_then(CacheWriter::copy);
        if let Some(other) = copy.as_ref().filter(|copy| copy.store != name) {
            log::warn!(target: log_event::CACHE_FAILED, "the snapshot cache is of {}, so it does not replace {name}", other.store);
        }
        // A copy of a store to which nothing was ever written has no policy.
        let copy = copy.filter(|copy| copy.store == name && copy.identity != Identity::default());
        status.update(|record| record.store_name = name.to_owned());
        let seen = copy.as_ref().map(|copy| copy.identity.clone()).unwrap_or_default();
        Self {
            opener,
            opened: Mutex::default(),
            disk,
            seen: Arc::new(Mutex::new(seen)),
            suspect: Arc::default(),
            refused: Mutex::default(),
            accepted: AtomicBool::default(),
            not_asked: OnceLock::new(),
            copy: Mutex::new(copy),
            backoff: Mutex::default(),
            status,
            stop,
            reopen: Arc::default(),
        }
    }

    /// Opens the store anew with the next listing, so that its configuration and certificates are read again.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Ordering::SeqCst);
    }

    /// Sets whether another store, or another history, may take over with the next listing.
    pub(crate) fn accept(&self, may: bool) {
        self.accepted.store(may, Ordering::SeqCst);
    }

    /// Never asks the store: its copy replaces it for the lifetime of this value.
    pub(crate) fn do_not_ask(&self, reason: String) {
        // A second reason would change nothing.
        drop(self.not_asked.set(reason));
    }

    /// Whether the last attempt found no store, or one to which nothing was ever written.
    pub(crate) fn is_missing(&self) -> bool {
        *self.refused() == Some(StoreState::Missing)
    }

    /// Whether it is missing because it has no definitions: it is a server that many nodes ask.
    pub(crate) fn is_undefined(&self) -> bool {
        self.is_missing() && self.opened().is_some_and(|store| !store.abilities().one_history)
    }

    /// Whether another store may take over.
    pub(crate) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::SeqCst)
    }

    fn refused(&self) -> MutexGuard<'_, Option<StoreState>> {
        lock(&self.refused)
    }

    /// The store itself, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<dyn Store>> {
        lock(&self.opened).clone()
    }

    fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        if let Some(reason) = self.not_asked.get() {
            return Err(StoreError::Failed(reason.clone()));
        }
        let mut opened = lock(&self.opened);
        if self.reopen.load(Ordering::SeqCst) {
            *opened = None;
        }
        if let Some(store) = &*opened {
            return Ok(store.clone());
        }
        let store = (self.opener)()?;
        self.reopen.store(false, Ordering::SeqCst);
        Ok(opened.insert(store).clone())
    }

    /// Refuses a store that is not the one that the agent follows, unless it was accepted.
    fn check(
        &self,
        store: &dyn Store,
        now: &Identity,
        definitions: &Definitions,
        selection: &Selection,
    ) -> Result<(), StoreError> {
        let other_group = lock(&self.seen).other_group(now);
        if let Some(why) = other_group.filter(|_| !self.accepted.load(Ordering::SeqCst)) {
            return Err(StoreError::Failed(format!(
                "{} {why}{}; what was in force stays in force: set CALICO_API_GROUP for the agent to the group that is meant, or delete \
                 the definitions of the other; `tortie agent --accept-store` lets those of the group that is used now take over",
                store.describe(),
                cause(definitions)
            )));
        }
        let known = {
            let seen = lock(&self.seen);
            seen.differs(now).or_else(|| seen.other_history.clone())
        };
        let other_history = || self.other_history(store, definitions, selection);
        let Some(why) = known.map_or_else(other_history, |why| Ok(Some(why)))? else {
            return Ok(());
        };
        // A store without any history does not exist (yet): its disk may not be mounted. It cannot be accepted.
        if *now == Identity::default() {
            return Err(StoreError::Failed(format!(
                "{}; it was at {} before",
                absence(store),
                lock(&self.seen).position
            )));
        }
        let (store, cause) = (store.describe(), cause(definitions));
        if self.accepted.load(Ordering::SeqCst) {
            log::warn!(target: log_event::STORE_ACCEPTED, "{store} {why}{cause}; the agent follows it, because --accept-store was given");
            lock(&self.seen).other_history = None;
            return Ok(());
        }
        *self.refused() = Some(StoreState::Replaced);
        keep_other_history(&self.seen, self.disk.as_ref(), now, &why);
        Err(StoreError::Failed(format!(
            "{store} {why}{cause}; what was in force stays in force, and `tortie agent --accept-store` lets this store take over"
        )))
    }

    /// How the store's history differs from the revisions that were read; none if nothing was read yet, or nothing can be compared.
    fn other_history(
        &self,
        store: &dyn Store,
        definitions: &Definitions,
        selection: &Selection,
    ) -> Result<Option<String>, StoreError> {
        if !store.abilities().one_history {
            // The watch has asked for the history of a kind before the kind is listed alone.
            return if selection.kind.is_none() { self.earlier_end(store, definitions, selection) } else { Ok(None) };
        }
        let is_comparable = || lock(&self.seen).position.number().is_some_and(|at| at > 0);
        let Some(disk) = self.disk.as_ref().filter(|_| is_comparable()) else { return Ok(None) };
        // Without a snapshot there is nothing to compare with; that it cannot be read has been reported elsewhere.
        let Ok(seen) = disk.moment() else { return Ok(None) };
        continuity::difference(store, &seen)
    }

    /// Which history of a kind ends before what was read of it, in words. Of such a kind only its own end is asked for again.
    fn earlier_end(
        &self,
        store: &dyn Store,
        definitions: &Definitions,
        selection: &Selection,
    ) -> Result<Option<String>, StoreError> {
        let seen = lock(&self.seen).clone();
        if seen.position.parts().next().is_none() {
            return Ok(None);
        }
        let mut suspect = lock(&self.suspect);
        let now = store.position_of(&suspect.map_or_else(|| selection.clone(), |kind| selection.of_kind(kind)))?;
        self.check_kinds(store, definitions, &seen, &now)?;
        let why = seen.ends_before(&now);
        if why.is_some() && suspect.is_none() {
            let end = |kind: Kind| store.position_of(&selection.of_kind(kind));
            let ends_before = |kind: &Kind| end(*kind).is_ok_and(|now| seen.ends_before(&now).is_some());
            *suspect = Kind::ALL.iter().chain(Kind::KUBERNETES).copied().find(ends_before);
        }
        Ok(why)
    }

    /// Refuses a store that does not know a kind any more of which objects were read, unless it was accepted: in Kubernetes its
    /// definition was deleted, and the objects with it.
    fn check_kinds(
        &self,
        store: &dyn Store,
        definitions: &Definitions,
        seen: &Identity,
        now: &Position,
    ) -> Result<(), StoreError> {
        let lost = self.having_objects(seen.vanished(now));
        if lost.is_empty() {
            return Ok(());
        }
        let why =
            format!("{} has no definition of {} any more{}", store.describe(), lost.join(", "), cause(definitions));
        if self.accepted.load(Ordering::SeqCst) {
            log::warn!(target: log_event::STORE_ACCEPTED, "{why}; the agent follows it without them, because --accept-store was given");
            return Ok(());
        }
        Err(StoreError::Failed(format!(
            "{why}, so their objects do not exist any more; what was in force stays in force until the definitions are installed again, \
             or `tortie agent --accept-store` lets the store take over without them"
        )))
    }

    /// Of these parts of a position those of whose kind the snapshot has objects, or may have.
    fn having_objects(&self, mut parts: Vec<String>) -> Vec<String> {
        let moment = self.disk.as_ref().filter(|_| !parts.is_empty()).map(CacheWriter::moment);
        let Some(Ok(moment)) = moment else { return parts };
        let mut kinds = BTreeSet::new();
        let take = |stored: Stored| {
            kinds.insert(stored.key.kind);
            Ok::<(), ()>(())
        };
        if !matches!(moment.each(take), Ok(Ok(()))) {
            return parts;
        }
        let is_of = |kind: Kind, part: &str| match kind {
            Kind::KubernetesClusterNetworkPolicy => part.starts_with("clusternetworkpolicies."),
            kind => {
                part.strip_suffix("projectcalico.org").is_some_and(|part| part.split('.').next() == Some(kind.plural()))
            }
        };
        parts.retain(|part| {
            let kind = Kind::ALL.iter().chain(Kind::KUBERNETES).find(|kind| is_of(**kind, part));
            kind.is_none_or(|kind| kinds.contains(kind))
        });
        parts
    }

    /// Lists the store page by page. A store that says that it is not ready counts as unreachable; so does one that is not
    /// the store that was followed: a disk that is not mounted must not remove the policy of this machine.
    fn real(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let store = self.store()?;
        let not_ready = || {
            StoreError::Failed(format!(
                "{} says that it is not ready (ClusterInformation default: datastoreReady is false); \
                 `calicoctl datastore migrate unlock` sets it",
                store.describe()
            ))
        };
        *self.refused() = None;
        let definitions = store.definitions()?;
        self.check_definitions(&definitions, selection)?;
        // Checked before everything is fetched, and again in what was fetched.
        let information = store.list(&Selection::kind(Kind::ClusterInformation)).map_err(|error| {
            // What keeps it from reading one kind may keep it from others: all of that is told together.
            let all = (!store.abilities().one_history).then(|| store.position_of(selection).err()).flatten();
            all.unwrap_or(error)
        })?;
        self.status.update(|record| record.api_group = store.api_group());
        if information.items.iter().any(is_locked) {
            return Err(not_ready());
        }
        let now = Identity::of(&information);
        self.check(&*store, &now, &definitions, selection)?;
        let copying = self.disk.as_ref().map(|disk| disk.listing(self.describe(), selection.kind));
        let (mut locked, mut guid, mut is_empty) = (false, None, information.items.is_empty());
        let position = store.list_pages(selection, &mut |items| {
            is_empty = is_empty && items.is_empty();
            locked = locked || items.iter().any(is_locked);
            guid = guid.take().or_else(|| items.iter().find_map(identity::guid));
            if !locked {
                if let Some(copying) = &copying {
                    copying.page(&items);
                }
                page(items);
            }
            // Reading a large store may take long.
            supervisor::made_progress();
        })?;
        if locked {
            return Err(not_ready());
        }
        let vanished = lock(&self.seen).vanished(&position);
        if !self.accepted.load(Ordering::SeqCst)
            && let Some(name) = self.having_objects(vanished).first()
        {
            return Err(StoreError::Failed(format!(
                "{} lost its definition of {name} while it was read",
                store.describe()
            )));
        }
        if position.is_behind(&now.position) {
            return Err(StoreError::Failed(format!("{} was replaced while it was read", store.describe())));
        }
        // Nobody has written to it. Its policy is unknown, which is not the same as no policy.
        if is_empty && selection.kind.is_none() && *lock(&self.seen) == Identity::default() {
            *self.refused() = Some(StoreState::Missing);
            return Err(StoreError::Failed(absence(store.as_ref())));
        }
        match selection.kind {
            None => {
                *lock(&self.seen) = Identity { guid, position: position.clone(), other_history: None };
                *lock(&self.suspect) = None;
            }
            Some(_) => lock(&self.seen).position.advance(&position),
        }
        self.accept(false);
        if let Some(copying) = copying {
            copying.whole(position.clone());
        }
        Ok(position)
    }

    /// Whether objects of the store were not read because they are defined twice.
    pub(crate) fn has_two_definitions(&self) -> bool {
        self.status.read().problems.contains_key(TWICE)
    }

    /// Finds out whether that is still so.
    pub(crate) fn check_two_definitions(&self) {
        let twice = self.store().and_then(|store| store.definitions());
        // Whether the store can be reached is reported elsewhere.
        if let Ok(Definitions::Installed | Definitions::Twice { has_unread: false, .. }) = twice {
            self.status.set_problem(TWICE, None);
        }
    }

    /// Refuses a store without the definitions of what people write, unless it was accepted: what people want is not known, which is
    /// not the same as no policy. Of a store that was read before it is known which definitions it had. Records where there are two.
    fn check_definitions(&self, definitions: &Definitions, selection: &Selection) -> Result<(), StoreError> {
        let twice = match definitions {
            Definitions::Missing(why) if selection.kind.is_none() && *lock(&self.seen) == Identity::default() => {
                if !self.accepted.load(Ordering::SeqCst) {
                    *self.refused() = Some(StoreState::Missing);
                    return Err(StoreError::Failed(why.clone()));
                }
                log::warn!(target: log_event::STORE_ACCEPTED, "{why}; the agent follows it without them, because --accept-store was given");
                None
            }
            Definitions::Twice { text, has_unread: true } => Some(text.as_str()),
            _ => None,
        };
        if let Some(text) = self.status.set_problem(TWICE, twice) {
            log::error!(target: log_event::DEFINITIONS_TWICE, "{text}");
        }
        Ok(())
    }

    fn copy(&self) -> Option<Snapshot> {
        lock(&self.copy).clone()
    }

    /// Drops the snapshot, which is not needed any more.
    fn drop_copy(&self) {
        *lock(&self.copy) = None;
    }
}

impl Store for CachedStore {
    fn describe(&self) -> String {
        self.status.read().store_name.clone()
    }

    fn abilities(&self) -> Abilities {
        self.opened().map(|store| store.abilities()).unwrap_or_default()
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.opened().map(|store| store.left_out()).unwrap_or_default()
    }

    fn supports(&self, kind: Kind, operation: Operation) -> Support {
        self.opened().map_or(Ok(()), |store| store.supports(kind, operation))
    }

    fn would_take(&self, write: &Write) -> Result<Result<(), WriteError>, StoreError> {
        self.store()?.would_take(write)
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.store()?.get(key)
    }

    fn position(&self) -> Result<Position, StoreError> {
        self.store()?.position()
    }

    fn position_of(&self, selection: &Selection) -> Result<Position, StoreError> {
        self.store()?.position_of(selection)
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        let mut items = Vec::new();
        let position = self.list_pages(selection, &mut |page| items.extend(page))?;
        Ok(Listing { position, items })
    }

    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let _reading = StepGuard::begin(&self.status, lag::READ);
        match self.real(selection, page) {
            Ok(position) => {
                self.drop_copy();
                self.status.update(|record| {
                    record.answered = Some(Answered::now());
                    if selection.kind.is_none() {
                        record.resyncs += 1;
                    }
                    match selection.kind {
                        // Another store may have taken over, whose revisions are lower.
                        None => record.lag.received = position.clone(),
                        Some(_) => record.lag.received.advance(&position),
                    }
                    if matches!(record.store, StoreState::Stale | StoreState::Replaced | StoreState::Missing) {
                        let word = if record.store == StoreState::Missing { "exists now" } else { "answers again" };
                        log::info!(target: log_event::STORE_REACHED, "the store {word}");
                        record.set_store(StoreState::Waiting, utc::now(), String::new());
                    }
                });
                Ok(position)
            }
            Err(error) => {
                let state = match self.not_asked.get() {
                    Some(_) => StoreState::NotAsked,
                    None => self.refused().unwrap_or(StoreState::Stale),
                };
                let reason = error.to_string();
                if state == StoreState::Missing && self.status.read().store != StoreState::Missing {
                    let adopted = self.status.read().adopted.clone();
                    log::error!(target: log_event::STORE_MISSING, "{reason}; {adopted}");
                }
                let copy = self.copy().and_then(|copy| copy.open_complete());
                if state == StoreState::Replaced && self.status.read().store != StoreState::Replaced {
                    log::error!(target: log_event::STORE_REPLACED, "the store was REPLACED: {reason}");
                }
                let Some(copy) = copy else {
                    self.status.update(|record| {
                        record.has_no_copy = record.resyncs == 0;
                        match (state, record.store) {
                            (StoreState::Replaced | StoreState::NotAsked | StoreState::Missing, _) => {
                                record.set_store(state, utc::now(), reason);
                            }
                            (_, StoreState::Replaced) if record.resyncs > 0 => {
                                record.set_store(StoreState::Lost, utc::now(), reason);
                            }
                            (_, StoreState::Replaced | StoreState::Missing) => {
                                record.set_store(StoreState::Waiting, utc::now(), reason)
                            }
                            _ => {}
                        }
                    });
                    return Err(error);
                };
                if state == StoreState::Stale && self.status.read().store != StoreState::Stale {
                    log::error!(target: log_event::STORE_LOST, "the store cannot be reached ({reason}); what it held until {} is enforced",
                        copy.written
                    );
                }
                let since = if state == StoreState::Replaced { utc::now() } else { copy.written.clone() };
                self.status.update(|record| record.set_store(state, since, reason));
                copy.pages(page).map_err(|error| StoreError::Failed(format!("the copy of the store: {error}")))?;
                self.status.update(|record| record.lag.received = copy.position.clone());
                Ok(copy.position)
            }
        }
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.store()?.write(writes)
    }

    fn is_unchanged_between(&self, after: &Position, until: &Position) -> Result<bool, StoreError> {
        self.store()?.is_unchanged_between(after, until)
    }

    fn changed_between(&self, after: &Position, until: &Position) -> Result<Vec<String>, StoreError> {
        self.store()?.changed_between(after, until)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        if self.not_asked.get().is_some() {
            return Ok(Box::new(SnapshotWatch { pause: NOT_ASKED, stop: self.stop.clone(), from: from.clone() }));
        }
        if self.copy().is_some() {
            let pause = lock(&self.backoff).pause();
            return Ok(Box::new(SnapshotWatch { pause, stop: self.stop.clone(), from: from.clone() }));
        }
        Ok(Box::new(RecordingWatch::open(self, self.store()?, selection, from)?))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is made in one step, so what a panic left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers, also for the next agent, why the store that was followed has another history. Another store, with another GUID, may be
/// replaced by the right one again.
fn keep_other_history(seen: &Mutex<Identity>, disk: Option<&CacheWriter>, now: &Identity, why: &str) {
    let mut seen = lock(seen);
    let is_same_store = seen.guid.is_none() || seen.guid == now.guid;
    if !is_same_store || seen.other_history.as_deref() == Some(why) {
        return;
    }
    seen.other_history = Some(why.to_owned());
    if let Some(disk) = disk {
        disk.set_other_history(why);
    }
}

/// What definitions have to do with a store that is not the one that was read, to be appended to why it is not.
fn cause(definitions: &Definitions) -> String {
    match definitions {
        Definitions::Installed => String::new(),
        Definitions::Missing(text) | Definitions::Twice { text, .. } => format!(" ({text})"),
    }
}

/// Why a store counts as missing, in words.
fn absence(store: &dyn Store) -> String {
    match store.exists() {
        true => format!("{} is empty: nothing was ever written to it", store.describe()),
        false => format!("{} does not exist", store.describe()),
    }
}

/// Whether an object says that the store is not ready: it is being migrated, and its content may be incomplete.
fn is_locked(stored: &Stored) -> bool {
    let ready = |stored: &Stored| {
        let object = decode::stored(&stored.key, &stored.value).ok()?;
        object.body.get("spec")?.get("datastoreReady")?.as_bool()
    };
    stored.key == identity::key() && ready(stored) == Some(false)
}

/// The watch of a snapshot: nothing changes. From time to time it reports that it was compacted, so that the store is tried again.
struct SnapshotWatch {
    pause: Duration,
    stop: Arc<StopFlag>,
    from: Position,
}

impl Watch for SnapshotWatch {
    fn next(&mut self, _: Duration) -> Result<Option<Event>, StoreError> {
        let _waiting = supervisor::waiting();
        self.stop.wait(self.pause);
        Err(StoreError::Compacted { from: self.from.clone(), kept: self.from.clone() })
    }

    fn position(&self) -> Position {
        self.from.clone()
    }
}
