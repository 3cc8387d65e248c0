//! The thread of the engine: it receives changes of the store, of interfaces and of settings, and sends the dataplane the changes
//! of the desired state that follow.
//!
//! ```text
//!   store ─┐                                             ┌─> dataplane
//!   links ─┼─> one bounded channel ─> NodeEngine ─flush──┘       │
//!   files ─┘         ^ (drained before every flush)              │
//!                    └────────────────── idle ───────────────────┘
//! ```
//!
//! A flush happens when something changed and the dataplane is idle; there is no timer. So a slow kernel makes changes larger
//! and never a queue longer. Nothing is flushed before the store and the interfaces are known completely: what an earlier agent
//! left stays in force until then.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};

use tortie_api::{Key, Kind, Object};
use tortie_calc::{Engine, Id, Update};
use tortie_policy::from_api::{configurations_of, unreadable_settings};
use tortie_policy::packet::Link;
use tortie_policy::{EndpointId, Item, Labels, Pool, Profile, Rule, Settings, UnsupportedQos, WorkloadId};
use tortie_store::Position;
use tortie_sync::{Change, Content, Message, Unreadable};

use crate::config::{self, AgentSettings, Local};
use crate::dataplane_thread::ApplyRequest;
use crate::lag::{self, StepGuard};
use crate::log_event;
use crate::missing_tiers::MissingTiers;
use crate::other_nodes::OtherNodes;
use crate::placement_log::PlacementLog;
use crate::placement_writer::{PlacementWriter, Step};
use crate::status::StoreState;
use crate::status_cell::{NamedInterface, StatusCell};
use crate::supervisor;
use crate::utc;
use crate::{links, unsupported_features};

/// What the engine receives.
pub(crate) enum Input {
    /// A message from the store.
    Store(Message),
    /// Changes of interfaces; the first message has all of them.
    Links(links::Changes),
    /// Answer when everything that was sent before this has been processed.
    Barrier(SyncSender<()>),
    /// The dataplane can take the next change.
    DataplaneIdle,
    /// The settings of this machine, which were read again.
    Local(Box<Local>),
    /// Stop, and stop the dataplane too.
    Stop,
    /// Remove everything that tortie has in the kernel, and stop. If that fails, continue as before.
    Remove(SyncSender<Result<(), String>>),
}

/// How many inputs are processed at most before a flush.
const BATCH: usize = 10_000;

/// Fields of rules that this node cannot evaluate, and how such rules are enforced.
const UNANSWERED: [(&str, &str); 2] = [
    ("services in rules", "the store has no services, so these rules match nothing"),
    ("http in rules", "requests are not looked at, the rest of these rules decides"),
];

/// The first of [`UNANSWERED`], as long as there are no endpoints of services: only the Kubernetes API has some.
const SERVICES: usize = 0;

/// Which of [`UNANSWERED`] a rule uses.
fn unanswered(rule: &Rule) -> [bool; UNANSWERED.len()] {
    [rule.source.service.is_some() || rule.destination.service.is_some(), rule.http]
}

/// The addresses of an interface; empty if it does not exist.
fn addresses(link: &Option<Link>) -> &[IpAddr] {
    link.as_ref().map_or(&[], |link| &link.addresses)
}

/// The engine of this node: `calc`, and the settings, interfaces and reports about objects that the agent adds.
pub(crate) struct NodeEngine {
    node: String,
    engine: Engine,
    status: Arc<StatusCell>,
    local: Local,
    configurations: BTreeMap<String, Object>,
    pools: BTreeMap<String, Pool>,
    labels: Option<Labels>,
    /// The settings that `calc` has.
    settings: Option<Settings>,
    /// Whether a source of the settings has changed.
    settings_changed: bool,
    in_sync: bool,
    linked: bool,
    /// Whether something was received that was not flushed.
    dirty: bool,
    /// The policies with rules that use one of [`UNANSWERED`].
    unanswered: [BTreeSet<String>; UNANSWERED.len()],
    /// Endpoints of this node that ask for limits of bandwidth, and for classes of service.
    unsupported_qos: [BTreeSet<String>; 2],
    other_nodes: OtherNodes,
    missing_tiers: MissingTiers,
    placements: PlacementLog,
    placement_writer: PlacementWriter,
    /// The position in the store's history up to which changes were part of the last flush.
    flushed: Position,
    /// Hashes of the keys of existing objects, for counting.
    known: HashSet<u64>,
    hasher: RandomState,
}

impl NodeEngine {
    /// Creates the engine of a node, before anything is received.
    pub(crate) fn new(node: &str, local: Local, status: Arc<StatusCell>, placement_writer: PlacementWriter) -> Self {
        status.update(|record| record.local = local.clone());
        let mut engine = Engine::new(node);
        engine.update(Update::Put(Item::Profile(Profile::default_allow())));
        Self {
            node: node.to_owned(),
            engine,
            status,
            local,
            configurations: BTreeMap::new(),
            pools: BTreeMap::new(),
            labels: None,
            settings: None,
            settings_changed: true,
            in_sync: false,
            linked: false,
            dirty: false,
            unanswered: Default::default(),
            unsupported_qos: Default::default(),
            other_nodes: OtherNodes::default(),
            missing_tiers: MissingTiers::default(),
            placements: PlacementLog::default(),
            placement_writer,
            flushed: Position::START,
            known: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Runs until it receives [`Input::Stop`]. `apply_settings` is called with the agent's own settings whenever they change.
    pub(crate) fn run(
        mut self,
        inputs: &Receiver<Input>,
        requests: &SyncSender<ApplyRequest>,
        apply_settings: impl Fn(&AgentSettings),
    ) {
        let mut is_idle = true;
        // The settings of this machine apply from the start, so that probes are answered while the store cannot be reached.
        let mut in_force = config::resolve(&self.local, Settings::default(), &[]).agent;
        apply_settings(&in_force);
        while let Ok(first) = inputs.recv() {
            let _running = StepGuard::begin(&self.status, lag::CALCULATE);
            let _working = supervisor::working();
            for input in std::iter::once(first).chain(inputs.try_iter().take(BATCH)) {
                match input {
                    Input::DataplaneIdle => is_idle = true,
                    Input::Stop => {
                        supervisor::stopping();
                        return drop(requests.send(ApplyRequest::Stop));
                    }
                    Input::Remove(answer) => {
                        // If that fails, the table and the agent continue, with later changes.
                        if requests.send(ApplyRequest::Remove(answer)).is_err() {
                            return;
                        }
                    }
                    Input::Store(message) => self.receive(message),
                    // Nobody waits any more if this cannot be sent.
                    Input::Barrier(answer) => drop(answer.send(())),
                    Input::Links(links) => self.link(links),
                    Input::Local(local) => {
                        self.status.update(|record| record.local = (*local).clone());
                        self.local = *local;
                        self.settings_changed = true;
                    }
                }
            }
            if !self.in_sync || !self.linked {
                continue;
            }
            if let Some(agent) = self.resolve_settings()
                && in_force != agent
            {
                apply_settings(&agent);
                in_force = agent;
            }
            if self.dirty && is_idle {
                self.dirty = false;
                let delta = Box::new(self.engine.flush());
                self.report_too_large();
                let (mark, lines) = {
                    let record = self.status.read();
                    (record.wanted.clone(), self.placements.step(&delta, &record.named_interfaces))
                };
                let from = std::mem::replace(&mut self.flushed, mark.position.clone());
                if !lines.is_empty() {
                    let to = mark.position.clone();
                    self.placement_writer.write(Step { lines, generation: mark.generation, from, to });
                }
                // Most changes of other nodes change nothing here, and wake no thread.
                if delta.is_empty() && self.status.mark_unchanged(&mark) {
                    continue;
                }
                is_idle = false;
                if requests.send(ApplyRequest::Change(delta, mark)).is_err() {
                    return;
                }
            }
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Changes(changes, position) => {
                self.status.measures.updates.inc_by(changes.len() as u64);
                for change in changes {
                    self.take(change);
                }
                self.mark_received(Some(&position));
            }
            Message::InSync(position) => {
                self.in_sync = true;
                self.note_missing_tiers();
                self.mark_received(Some(&position));
                let counts: usize = self.status.read().counts.values().sum();
                let store = match self.status.read().store {
                    StoreState::Waiting | StoreState::Missing | StoreState::InSync | StoreState::NotAnswering => {
                        "the store"
                    }
                    StoreState::Lost | StoreState::Replaced | StoreState::NotAsked | StoreState::Stale => {
                        "the agent's copy of the store"
                    }
                };
                log::info!(target: log_event::STORE_READ, "{store} was read completely: {counts} objects, revision {position}");
            }
            Message::Lost(reason) => {
                let (known, adopted) = {
                    let record = self.status.read();
                    (record.store, record.adopted.clone())
                };
                // These have been logged and noted with their reason.
                if matches!(known, StoreState::Replaced | StoreState::NotAsked | StoreState::Missing) {
                    return;
                }
                match self.in_sync {
                    true => {
                        log::error!(target: log_event::STORE_LOST, "the store cannot be reached any more, what it held stays in force: {reason}")
                    }
                    false => {
                        log::error!(target: log_event::STORE_LOST, "the store cannot be reached: {reason}; {adopted}")
                    }
                }
                let state = if self.in_sync { StoreState::Lost } else { StoreState::Waiting };
                self.status.update(|record| record.set_store(state, utc::now(), reason));
            }
        }
    }

    /// Increments the requested generation, because something was received; a flush is due.
    fn mark_received(&mut self, position: Option<&Position>) {
        self.dirty = true;
        let in_sync = self.in_sync;
        self.status.update(|record| {
            record.wanted.generation += 1;
            if let Some(position) = position {
                record.wanted.position.clone_from(position);
                let stands_in = matches!(
                    record.store,
                    StoreState::Stale | StoreState::Replaced | StoreState::NotAsked | StoreState::Missing
                );
                if in_sync && !stands_in && record.store != StoreState::InSync {
                    if record.store == StoreState::Lost {
                        log::info!(target: log_event::STORE_REACHED, "the store answers again");
                    }
                    record.set_store(StoreState::InSync, utc::now(), String::new());
                }
            }
        });
    }

    fn link(&mut self, changes: links::Changes) {
        let mut moved = false;
        for (name, now) in changes {
            let running = now.as_ref().is_some_and(|now| now.running);
            let is = now.map(|now| Link { name: name.clone(), addresses: now.addresses });
            let was = self.status.update(|record| {
                match running {
                    true => drop(record.up.insert(name.clone())),
                    false => drop(record.up.remove(&name)),
                }
                match is.clone() {
                    Some(link) => record.links.insert(name.clone(), link),
                    None => record.links.remove(&name),
                }
            });
            moved |= self.other_nodes.link(addresses(&was), addresses(&is));
            self.engine.update(Update::Link(name, is));
        }
        if moved {
            self.note_other_nodes();
        }
        self.linked = true;
        self.mark_received(None);
    }

    fn take(&mut self, change: Change) {
        let Change { key, content, unreadable } = change;
        self.count(&key, &content);
        self.report(&key, unreadable);
        match content {
            Content::Settings(object) => {
                self.configurations.insert(key.name, *object);
                self.settings_changed = true;
            }
            Content::Gone if key.kind == Kind::FelixConfiguration => {
                self.settings_changed |= self.configurations.remove(&key.name).is_some();
            }
            Content::Item(item) => self.put(key, *item),
            // A staged deletion changes nothing in force.
            Content::StagedDeletion(_) | Content::Gone => self.put(key, Item::Nothing),
        }
    }

    fn put(&mut self, key: Key, item: Item) {
        match (&item, key.kind) {
            (Item::Pool(pool), _) => {
                self.settings_changed |= self.pools.insert(key.name.clone(), pool.clone()).as_ref() != Some(pool)
            }
            (_, Kind::IPPool) => self.settings_changed |= self.pools.remove(&key.name).is_some(),
            (Item::Node(node), _) if node.name == self.node => {
                self.settings_changed |= self.labels.as_ref() != Some(&node.labels);
                self.labels = Some(node.labels.clone());
            }
            (_, Kind::Node) if key.name == self.node => self.settings_changed |= self.labels.take().is_some(),
            _ => {}
        }
        self.note_placement(&key, &item);
        self.look_for_unanswered(&key, &item);
        // In the first listing a tier may come after its policies.
        if self.missing_tiers.put(&key, &item) && self.in_sync {
            self.note_missing_tiers();
        }
        match item {
            // The built-in profile always exists.
            Item::Nothing if key == Key::cluster(Kind::Profile, Profile::default_allow().name) => {
                self.engine.update(Update::Put(Item::Profile(Profile::default_allow())));
            }
            Item::Nothing => {
                if let Some(id) = Id::named(key) {
                    self.engine.update(Update::Delete(id));
                }
            }
            item => self.engine.update(Update::Put(item)),
        }
    }

    /// Records which interface an endpoint of this node names.
    fn note_placement(&mut self, key: &Key, item: &Item) {
        let id = match key.kind {
            Kind::HostEndpoint => EndpointId::Host(key.name.clone()),
            Kind::WorkloadEndpoint => {
                EndpointId::Workload(WorkloadId { namespace: key.namespace.clone(), name: key.name.clone() })
            }
            _ => return,
        };
        if let EndpointId::Host(name) = &id
            && self.other_nodes.put(&self.node, name, item)
        {
            self.note_other_nodes();
        }
        let placement = match item {
            Item::HostEndpoint(one) if one.node == self.node => Some(NamedInterface::Host(one.interface.clone())),
            Item::WorkloadEndpoint(one) if one.node == self.node => Some(NamedInterface::workload(one)),
            _ => None,
        };
        let qos = match item {
            Item::WorkloadEndpoint(one) if one.node == self.node => one.unsupported_qos,
            _ => UnsupportedQos::default(),
        };
        self.note_unsupported_qos(&id, qos);
        let is_local = placement.is_some();
        let was_local = self.status.update(|record| match placement {
            Some(placement) => record.named_interfaces.insert(id.clone(), placement).is_some(),
            None => record.named_interfaces.remove(&id).is_some(),
        });
        if is_local || was_local {
            self.placements.endpoint_changed(id);
        }
    }

    /// Records which endpoints of this node ask for quality of service that tortie does not implement.
    fn note_unsupported_qos(&mut self, id: &EndpointId, asked: UnsupportedQos) {
        let all = [(unsupported_features::BANDWIDTH, asked.bandwidth), (unsupported_features::DSCP, asked.dscp)];
        for ((what, asks), endpoints) in all.into_iter().zip(&mut self.unsupported_qos) {
            let name = id.to_string();
            let changed = if asks { endpoints.insert(name) } else { endpoints.remove(&name) };
            if !changed {
                continue;
            }
            let note = unsupported_features::asked_by(endpoints);
            self.status.update(|record| match note {
                None => drop(record.notes.remove(what)),
                Some(note) => drop(record.notes.insert(what, note)),
            });
        }
    }

    /// Records which tiers do not exist though they have policies, and logs those that were not known.
    fn note_missing_tiers(&self) {
        const WHAT: &str = "tiers that do not exist";
        let notes = self.missing_tiers.notes();
        let known = self.status.read().missing_tiers.clone();
        for (_, note) in notes.iter().filter(|(tier, _)| !known.contains(*tier)) {
            log::warn!(target: log_event::TIER_MISSING, "{note}");
        }
        for tier in known.iter().filter(|tier| !notes.contains_key(*tier)) {
            log::info!(target: log_event::TIER_MISSING, "no policy is in the tier `{tier}` any more, or the tier exists again");
        }
        self.status.update(|record| {
            let text = notes.values().map(String::as_str).collect::<Vec<_>>().join("\n");
            match text.is_empty() {
                true => drop(record.notes.remove(WHAT)),
                false => drop(record.notes.insert(WHAT, text)),
            }
            record.missing_tiers = notes.into_keys().collect();
        });
    }

    /// Records which host endpoints of other nodes are most likely meant for this one.
    fn note_other_nodes(&self) {
        const WHAT: &str = "host endpoints of another node";
        let note = self.other_nodes.note(&self.node);
        self.status.update(|record| match note {
            None => drop(record.notes.remove(WHAT)),
            Some(note) => drop(record.notes.insert(WHAT, note)),
        });
    }

    /// Records which policies use one of [`UNANSWERED`].
    fn look_for_unanswered(&mut self, key: &Key, item: &Item) {
        let rules = match item {
            Item::Policy(policy) => [&policy.ingress[..], &policy.egress[..]],
            _ => [&[][..]; 2],
        };
        let is_slice = key.kind == Kind::KubernetesEndpointSlice;
        for (index, ((what, then), policies)) in UNANSWERED.iter().zip(&mut self.unanswered).enumerate() {
            let asks = rules.into_iter().flatten().any(|rule| unanswered(rule)[index]);
            let changed = match asks {
                true => policies.insert(key.to_string()),
                false if policies.is_empty() => false,
                false => (is_slice && index == SERVICES) || policies.remove(&key.to_string()),
            };
            if changed {
                let all: Vec<&str> = policies.iter().map(String::as_str).collect();
                let slices = self.status.read().counts.get(&Kind::KubernetesEndpointSlice).copied();
                let answered = index == SERVICES && slices.is_some_and(|count| count > 0);
                let problem = (!all.is_empty() && !answered).then(|| format!("{}: {then}", all.join(", ")));
                self.status.set_problem(what, problem.as_deref());
            }
        }
    }

    fn count(&mut self, key: &Key, content: &Content) {
        let hash = self.hasher.hash_one(key);
        let (changed, step) = match content {
            Content::Gone => (self.known.remove(&hash), -1),
            _ => (self.known.insert(hash), 1),
        };
        if changed {
            self.status.update(|record| {
                let count = record.counts.entry(key.kind).or_default();
                *count = count.saturating_add_signed(step);
            });
        }
    }

    /// Reports the sets of named ports that have too many members.
    fn report_too_large(&self) {
        const PROBLEM: &str = "named ports";
        let sets = self.engine.too_large();
        let problem = (!sets.is_empty())
            .then(|| format!("{}: rules that allow by them never match, others deny on every port", sets.join("; ")));
        if let Some(problem) = self.status.set_problem(PROBLEM, problem.as_deref()) {
            log::error!(target: log_event::NAMED_PORTS_TOO_LARGE, "{problem}");
        }
    }

    fn report(&self, key: &Key, unreadable: Option<Unreadable>) {
        let known = self.status.read().unreadable.get(key).cloned();
        match &unreadable {
            Some(unreadable) if known.as_ref() != Some(unreadable) => {
                log::error!(target: log_event::OBJECT_UNREADABLE, "{key}: {unreadable}")
            }
            None if known.is_some() => log::info!(target: log_event::OBJECT_READABLE, "{key} can be read again"),
            _ => return,
        }
        self.status.update(|record| match unreadable {
            Some(unreadable) => drop(record.unreadable.insert(key.clone(), unreadable)),
            None => drop(record.unreadable.remove(key)),
        });
    }

    /// Resolves the settings again, if something that they are resolved from has changed.
    fn resolve_settings(&mut self) -> Option<AgentSettings> {
        if !std::mem::take(&mut self.settings_changed) {
            return None;
        }
        let all: Vec<&Object> = self.configurations.values().collect();
        let own = configurations_of(&self.node, self.labels.as_ref(), &all);
        let resolved = config::resolve(&self.local, Settings::of_pools(self.pools.values()), &own);
        let known = self.status.read().settings.clone();
        for note in resolved.notes.iter().filter(|note| !known.contains(note)) {
            log::warn!(target: log_event::SETTING_IGNORED, "setting {} ({}): {}", note.name, note.source, note.note);
        }
        let wrong = |object: &&Object| {
            let reasons: Vec<String> = unreadable_settings(object).iter().map(ToString::to_string).collect();
            (!reasons.is_empty()).then(|| (object.key(), reasons))
        };
        let unreadable = all.iter().filter_map(wrong).collect();
        let tunnels = unsupported_features::tunnels(self.pools.values(), &resolved.settings);
        self.status.update(|record| {
            record.settings = resolved.notes;
            record.unreadable_settings = unreadable;
            match tunnels {
                None => drop(record.notes.remove(unsupported_features::TUNNELS)),
                Some(note) => drop(record.notes.insert(unsupported_features::TUNNELS, note)),
            }
        });
        if self.settings.as_ref() != Some(&resolved.settings) {
            self.settings = Some(resolved.settings.clone());
            self.engine.update(Update::Settings(Box::new(resolved.settings)));
            self.mark_received(None);
        }
        Some(resolved.agent)
    }
}

#[cfg(test)]
mod tests;
