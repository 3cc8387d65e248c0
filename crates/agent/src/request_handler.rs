//! Answers the requests that clients make on the local socket.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tortie_api::Key;
use tortie_store::{Effect, Position, Purpose, Revision, Selection, Store, StoreError, Stored};
use tortie_sync::Replacement;

use crate::cache::{CacheWriter, CachedStore, SnapshotReader};
use crate::dataplane_thread::SharedDataplane;
use crate::denials::Denials;
use crate::engine::Input;
use crate::local_facts::LocalFacts;
use crate::log_event;
use crate::object_stream;
use crate::off::{Off, Switch};
use crate::socket::{AgentState, Answer, Objects, Reply, Request};
use crate::status::{Progress, Status, StoreState, StoreStatus, is_same_store};
use crate::status_builder;
use crate::status_cell::{StatusCell, StatusRecord};
use crate::store_check::StoreCheck;
use crate::watch_events::WatchEvent;

/// How long to wait for a position before asking the store whether anything changed up to it.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const MAX_VERIFY_TIME: Duration = Duration::from_secs(2);
/// The problem that the store does not tell how far it is.
const POSITION: &str = "asking how far the store is";
/// How long reading an accepted store may take, and then enforcing it.
const MAX_ACCEPT_TIME: Duration = Duration::from_secs(30);
/// The shortest time between two events of a watched status.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time that a client may wait.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// Answers requests on the local socket.
#[derive(Clone)]
pub(crate) struct RequestHandler {
    pub(crate) node: String,
    pub(crate) status: Arc<StatusCell>,
    pub(crate) dataplane: SharedDataplane,
    pub(crate) store: Arc<CachedStore>,
    /// Asks the store whether it answers.
    pub(crate) store_check: Arc<StoreCheck>,
    /// The copy of the store.
    pub(crate) cache: Option<CacheWriter>,
    pub(crate) inputs: SyncSender<Input>,
    /// Switches enforcement off and on.
    pub(crate) switch: Arc<Switch>,
    /// The watchers of denied packets.
    pub(crate) denials: Arc<Denials>,
}

impl RequestHandler {
    /// Answers a request. Takes as long as the request allows.
    pub(crate) fn answer(&self, request: Request) -> Answer {
        match request {
            Request::InForce { store, position } => self.in_force(&store, position.as_ref()),
            Request::WatchDenied => self.watch_denied(),
            Request::WatchStatus => self.watch_status(),
            request => self.simple(request).into(),
        }
    }

    fn simple(&self, request: Request) -> Reply {
        match request {
            Request::InForce { .. } | Request::WatchDenied | Request::WatchStatus => {
                Reply::Failed { reason: "the answer to this request has more than one line".to_owned() }
            }
            Request::Status => {
                let store = self.store_check.store_status();
                let is_answering = store.state != StoreState::NotAnswering;
                if is_answering {
                    self.ask_again();
                }
                let left_out = self.store.left_out();
                let mut status = status_builder::status(&self.node, &self.status, &self.dataplane, left_out);
                if !is_answering {
                    status.store = store;
                }
                Reply::Status(Box::new(status))
            }
            Request::LocalFacts => Reply::LocalFacts(Box::new(self.local_facts())),
            Request::Store => {
                let mut record = self.status.read();
                record.store_asked = Some(Instant::now());
                let store = record.store_status();
                drop(record);
                if let Some(confirmations) = self.status.confirmations.get() {
                    confirmations.unpark();
                }
                Reply::Store(Box::new(store))
            }
            Request::Wait { position, store, timeout_ms } => {
                let own = self.status.read().store_identity();
                if !is_same_store(&own, &store) {
                    return Reply::Failed { reason: format!("the agent follows {own}, and this call means {store}") };
                }
                let most = Duration::from_millis(timeout_ms).min(MAX_WAIT);
                let off = self.status.read().off.clone();
                if let Some(off) = off {
                    return self.not_waited(&off);
                }
                let done = self.wait(&position, Instant::now() + most);
                let late = if done { Vec::new() } else { self.late(&position) };
                let left_out = self.store.left_out();
                let record = self.status.read();
                let reason = record
                    .failing
                    .clone()
                    .or_else(|| Some(record.store_reason.clone()).filter(|reason| !reason.is_empty()))
                    .or_else(|| record.problems.get(POSITION).map(|why| format!("{POSITION}: {why}")))
                    .or_else(|| {
                        (!late.is_empty()).then(|| format!("it has not received all changes of {}", late.join(", ")))
                    });
                let settings = record.unreadable_settings.iter();
                let settings =
                    settings.map(|(key, why)| format!("{key}: {}; {}", why.join("; "), status_builder::OTHER_SETTINGS));
                let objects = status_builder::unreadable_lines(&record, &left_out);
                let unreadable = objects.into_iter().chain(settings).collect();
                Reply::Waited {
                    done,
                    in_kernel: record.in_kernel.clone(),
                    reason: reason.filter(|_| !done),
                    unreadable,
                }
            }
            Request::EnforcedSince { store, revision } => self.enforced_since(&store, revision),
            Request::RuleCounts => match self.status.measures.rules() {
                Ok(rules) => Reply::RuleCounts { rules },
                Err(reason) => Reply::Failed { reason: format!("the counts of rules cannot be read: {reason}") },
            },
            Request::AcceptStore { store } => self.accept(&store),
            Request::AcceptNode => self.accept_node(),
            Request::Switch => match self.switch.look() {
                Ok(off) => Reply::Switched { off, programmed: self.status.read().programmed },
                Err(reason) => Reply::Failed { reason },
            },
            Request::Uninstall => {
                log::info!(target: log_event::AGENT_STOPPING, "a client asked the agent to remove everything of tortie from the kernel and to end");
                let (answer, answered) = sync_channel(1);
                let sent = self.inputs.send(Input::Remove(answer)).is_ok();
                let result = if sent { answered.recv_timeout(MAX_WAIT).ok() } else { None };
                match result {
                    Some(Ok(())) => Reply::Done,
                    Some(Err(reason)) => Reply::Failed { reason },
                    None => Reply::Failed { reason: "the dataplane does not answer".to_owned() },
                }
            }
        }
    }

    /// The answer to a client that asks since when a revision is enforced.
    fn enforced_since(&self, store: &str, revision: u64) -> Reply {
        let own = self.status.read().store_identity();
        if !is_same_store(&own, store) {
            return Reply::Failed { reason: format!("the agent follows {own}, and this call means {store}") };
        }
        let off = self.status.read().off.clone();
        if let Some(off) = off {
            return Reply::Failed { reason: off.to_string() };
        }
        let programmed = self.wait(&Position::at(revision), Instant::now());
        let mut record = self.status.read();
        let since = &mut record.programmed_since;
        // If no object of this node changed up to the revision, what is in the kernel is what it asks for.
        match since.of(revision).or(since.of_last()).filter(|_| programmed) {
            Some(time) => Reply::EnforcedSince {
                since_ms: u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
                event: since.event(time).to_owned(),
            },
            None => Reply::Failed {
                reason: "the change is not in the kernel yet: wait for it (`tortie status --wait`)".to_owned(),
            },
        }
    }

    /// The answer to a client that waits for the kernel while enforcement is off.
    fn not_waited(&self, off: &Off) -> Reply {
        let left_out = self.store.left_out();
        let record = self.status.read();
        let unreadable = status_builder::unreadable_lines(&record, &left_out);
        Reply::Waited { done: false, in_kernel: record.in_kernel.clone(), reason: Some(off.to_string()), unreadable }
    }

    /// Sends denied packets until the client goes away.
    fn watch_denied(&self) -> Answer {
        let events = match self.denials.watch() {
            Ok(events) => events,
            Err(reason) => {
                return Reply::Failed { reason: format!("denied packets cannot be logged: {reason}") }.into();
            }
        };
        let rest = move |to: &mut dyn Write| events.iter().try_for_each(|event| send_event(to, &event));
        Answer { reply: Reply::Watching, rest: Some(Box::new(rest)) }
    }

    /// Sends the status whenever it changes, until the client goes away. The store is asked with each change, and as long as it does
    /// not answer.
    fn watch_status(&self) -> Answer {
        let (node, cell, dataplane) = (self.node.clone(), self.status.clone(), self.dataplane.clone());
        let (store, store_check) = (self.store.clone(), self.store_check.clone());
        let rest = move |to: &mut dyn Write| {
            let (mut last, mut last_sent) = (Status::default(), Status::default());
            let mut is_answering = true;
            loop {
                let changes = cell.read().changes;
                let mut status = status_builder::status(&node, &cell, &dataplane, store.left_out());
                // These change all the time.
                (status.lag, status.received, status.store.answered) = (None, Position::default(), String::new());
                if status != last || !is_answering {
                    last = status.clone();
                    let store = store_check.store_status();
                    is_answering = store.state != StoreState::NotAnswering;
                    if !is_answering {
                        status.store = StoreStatus { answered: String::new(), ..store };
                    }
                }
                let event =
                    if status == last_sent { WatchEvent::Alive } else { WatchEvent::Status(Box::new(status.clone())) };
                send_event(to, &event)?;
                last_sent = status;
                cell.wait(SHORTEST_PAUSE, |_| false);
                cell.wait(MAX_CHECK_INTERVAL, |record| record.changes != changes);
            }
        };
        Answer { reply: Reply::Watching, rest: Some(Box::new(rest)) }
    }

    /// Lets the current store take over, and waits until it is in force.
    fn accept(&self, store: &str) -> Reply {
        let (own, resyncs) = {
            let record = self.status.read();
            (record.store_identity(), record.resyncs)
        };
        if !is_same_store(&own, store) {
            return Reply::Failed { reason: format!("the agent follows {own}, and this call means {store}") };
        }
        log::warn!(target: log_event::STORE_ACCEPTED, "a client asked the agent to accept the store as it is now");
        self.store.accept(true);
        self.store.reopen();
        let listed = |record: &StatusRecord| record.resyncs > resyncs && record.store == StoreState::InSync;
        if !self.status.wait(MAX_ACCEPT_TIME, listed) {
            self.store.accept(false);
            let reason = self.status.read().store_reason.clone();
            return Reply::Failed { reason: format!("the store cannot be read: {reason}") };
        }
        let wanted = self.status.read().wanted.clone();
        if !self.status.wait(MAX_ACCEPT_TIME, |record| record.in_kernel.generation >= wanted.generation) {
            return Reply::Failed {
                reason: "the store was accepted, but is not in the kernel yet; `tortie status --wait` waits for it"
                    .to_owned(),
            };
        }
        Reply::Accepted { position: wanted.position }
    }

    /// Lets the current name of this machine take over. The agent restarts for that, after the answer.
    fn accept_node(&self) -> Reply {
        let Some(machine_name) = self.status.read().unaccepted_name.clone() else {
            return Reply::NodeAccepted { node: self.node.clone(), restarts: false };
        };
        log::warn!(target: log_event::NODE_ACCEPTED, "a client asked the agent to enforce node {machine_name} instead of {}; the agent starts again", self.node);
        if !self.cache.as_ref().is_some_and(|cache| cache.set_node(&machine_name)) {
            return Reply::Failed {
                reason: "the agent's copy of the store, which names the node, cannot be written".to_owned(),
            };
        }
        Reply::NodeAccepted { node: machine_name, restarts: true }
    }

    fn local_facts(&self) -> LocalFacts {
        let (links, local) = {
            let record = self.status.read();
            (record.links.values().cloned().collect::<Vec<_>>(), record.local.clone())
        };
        let facts = LocalFacts::new(self.node.clone(), &links, local);
        LocalFacts { denied_group: self.denials.group(), ..facts }
    }

    /// What is in force. A client that has read the store at the same position needs only the last valid versions; any
    /// other client gets the copy of the store.
    fn in_force(&self, store: &str, read_at: Option<&Position>) -> Answer {
        let local_facts = self.local_facts();
        let same = read_at.is_some_and(|position| self.received(position));
        // A client that has read the store knows that it answers.
        let checked = read_at.is_none().then(|| self.store_check.store_status());
        let left_out = self.store.left_out();
        let of_effect = |is_meant: &dyn Fn(Effect) -> bool| {
            let meant = left_out.iter().filter(|one| is_meant(one.effect));
            meant.map(|one| (one.key.path(), one.text.clone())).collect::<Vec<_>>()
        };
        let record = self.status.read();
        let mut state = AgentState {
            local_facts,
            store: checked.unwrap_or_else(|| record.store_status()),
            wanted: record.wanted.clone(),
            in_kernel: record.in_kernel.clone(),
            unreadable_parts: of_effect(&|effect| effect != Effect::Ignored),
            left_out: of_effect(&|_| true),
            position_problem: record.problems.get(POSITION).cloned().unwrap_or_default(),
            objects: Objects::Same,
        };
        let replaced: Vec<(Key, Revision)> = record
            .unreadable
            .iter()
            .filter_map(|(key, unreadable)| match &unreadable.replacement {
                Replacement::LastValid(revision) => Some((key.clone(), revision.clone())),
                _ => None,
            })
            .collect();
        drop(record);
        if !is_same_store(&state.store.name, store) {
            state.objects = Objects::OtherStore;
            return with_objects(state, Vec::new(), None);
        }
        if same && replaced.is_empty() {
            return with_objects(state, Vec::new(), None);
        }
        let moment = match &self.cache {
            Some(cache) => cache.moment().map_err(|error| error.to_string()),
            None => Err("the agent has no copy of the store on disk".to_owned()),
        };
        let moment = match moment {
            Ok(moment) => moment,
            Err(reason) => {
                state.objects = Objects::Missing(reason);
                return with_objects(state, Vec::new(), None);
            }
        };
        let version = |(key, revision): &(Key, Revision)| moment.version(key, revision).ok().flatten();
        let last_valid = replaced.iter().filter_map(version).collect();
        match moment.position.clone() {
            _ if same => with_objects(state, last_valid, None),
            Some(position) => {
                state.objects = Objects::Copy(position);
                with_objects(state, last_valid, Some(moment))
            }
            None => {
                state.objects = Objects::Missing("the agent's copy of the store is not complete".to_owned());
                with_objects(state, Vec::new(), None)
            }
        }
    }

    /// Whether no object changed between two positions. That the store does not say so is a problem: nobody can wait for it then.
    fn is_unchanged_between(&self, after: &Position, until: &Position) -> bool {
        let answer = self.store.is_unchanged_between(after, until);
        self.note_position(answer.as_ref().err());
        answer.unwrap_or(false)
    }

    /// The kinds of which the agent has not received everything up to a position, as the store names them.
    fn late(&self, position: &Position) -> Vec<String> {
        let at = self.status.read().wanted.position.clone();
        self.store.changed_between(&at, position).unwrap_or_default()
    }

    /// Asks how far the store is, if it did not say so before.
    fn ask_again(&self) {
        if self.status.read().problems.contains_key(POSITION) {
            let purpose = Purpose::Enforcement { node: self.node.clone() };
            let answer = self.store.position_of(&Selection { purpose, ..Selection::default() });
            self.note_position(answer.as_ref().err());
        }
    }

    /// Records why the store does not say how far it is. While the store is lost, that is known.
    fn note_position(&self, error: Option<&StoreError>) {
        let in_sync = self.status.read().store == StoreState::InSync;
        let problem = error.filter(|_| in_sync).map(ToString::to_string);
        self.status.set_problem(POSITION, problem.as_deref());
    }

    /// Waits a moment until the store was received up to this position, and not further. Returns whether it was.
    fn received(&self, position: &Position) -> bool {
        let in_sync = |record: &StatusRecord| record.store == StoreState::InSync;
        let reached = |record: &StatusRecord| !in_sync(record) || record.wanted.position.has_reached(position);
        self.status.wait(FIRST_LOOK, reached);
        // Where the agent is, if no object changed from there up to the position. The API server takes a second to say so.
        let quiet_at = || {
            let at = self.status.read().wanted.position.clone();
            let is_quiet = !position.is_behind(&at) && self.is_unchanged_between(&at, position);
            is_quiet.then_some(at)
        };
        let quiet = if in_sync(&self.status.read()) { quiet_at() } else { None };
        if quiet.is_none() && in_sync(&self.status.read()) {
            self.status.wait(MAX_VERIFY_TIME, reached);
        }
        let (in_sync, at) = {
            let record = self.status.read();
            (in_sync(&record), record.wanted.position.clone())
        };
        in_sync && (at == *position || quiet == Some(at) || quiet_at().is_some())
    }

    /// Waits until the store up to this position is in the kernel. Returns whether it is.
    fn wait(&self, position: &Position, deadline: Instant) -> bool {
        let mut look = FIRST_LOOK;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let there = |mark: &Progress| mark.position.has_reached(position);
            // The revisions of a store that replaced another one may be lower.
            let one_history = |record: &StatusRecord| {
                !matches!(record.store, StoreState::Replaced | StoreState::NotAsked)
                    && !record.wanted.position.is_behind(&record.in_kernel.position)
            };
            let all = |record: &StatusRecord| {
                record.programmed && one_history(record) && there(&record.in_kernel) && there(&record.network_at)
            };
            if self.status.wait(left.min(look), all) {
                return true;
            }
            // Perhaps no object changed up to that position.
            let (settled, at) = {
                let record = self.status.read();
                let all = record.in_kernel == record.wanted && record.network_at == record.wanted;
                (record.programmed && one_history(&record) && all, record.wanted.position.clone())
            };
            if settled && self.is_unchanged_between(&at, position) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            look = (look * 2).min(MAX_VERIFY_TIME);
        }
    }
}

fn send_event(to: &mut dyn Write, event: &WatchEvent) -> io::Result<()> {
    serde_json::to_writer(&mut *to, event)?;
    to.write_all(b"\n")?;
    to.flush()
}

/// An answer that is followed by objects.
fn with_objects(state: AgentState, last_valid: Vec<Stored>, copy: Option<SnapshotReader>) -> Answer {
    let rest = move |to: &mut dyn Write| {
        last_valid.iter().try_for_each(|stored| object_stream::send(to, stored))?;
        object_stream::end(to)?;
        let Some(copy) = copy else { return Ok(()) };
        copy.each(|stored| object_stream::send(to, &stored)).map_err(io::Error::other)??;
        object_stream::end(to)
    };
    Answer { reply: Reply::InForce(Box::new(state)), rest: Some(Box::new(rest)) }
}
