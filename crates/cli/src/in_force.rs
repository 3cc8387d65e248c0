//! What is in force, for the commands that judge packets: `explain`, `test`, `verify`, `diff` and dry runs.
//!
//! They take [`InForce`] from here and from nowhere else, so they cannot disagree with each other, nor with the agent. Where an
//! agent runs that follows the same store, it is asked: it knows the last valid versions, and it enforces its own copy when
//! the store cannot be reached.

use std::collections::BTreeMap;

use tortie_agent::LocalFacts;
use tortie_agent::socket::{AgentState, AskError, InForceAnswer, Objects};
use tortie_agent::status::StoreState;
use tortie_api::Key;
use tortie_policy::Invalid;
use tortie_store::{Effect, Listing, Position, Selection, Stored, unread_in_one_line};
use tortie_sync::{InForce, Version};

use crate::ask::Agent;
use crate::enforcement_warning;
use crate::session::Session;
use crate::store::StoreAccess;

/// How often the store is read again when the agent has received more than was read.
const MAX_ATTEMPTS: usize = 3;

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct InForceRequest {
    /// The agent is not asked.
    pub(crate) from_store: bool,
    /// What for.
    pub(crate) purpose: Purpose,
}

/// What the answer is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To say what is in force now.
    Answer,
    /// To plan a change, which goes to the store, whatever the agent has in force. A store that does not exist counts as an
    /// empty one.
    Change,
    /// To preview manifests that are applied.
    Apply,
}

/// Who says what is in force.
#[derive(Debug, Default)]
pub(crate) enum Basis {
    /// The store alone: the agent was not asked, or there is none.
    #[default]
    Store,
    /// The agent of this machine.
    Agent,
    /// The store, because the agent cannot say.
    Unknown(AskError),
}

/// Where what is in force follows from.
#[derive(Default)]
pub(crate) struct Sources {
    /// The objects as they are stored.
    pub(crate) listing: Listing,
    /// The last valid versions of those that cannot be read.
    last_valid: BTreeMap<Key, Version>,
    /// What the agent of this machine knows beside the store: the interfaces, and the settings of the machine.
    pub(crate) local_facts: Option<LocalFacts>,
    /// Whether the agent of this machine has received what was read of the store.
    pub(crate) is_received: bool,
    /// The position of the store that is in the kernel, where the agent enforces its own copy of the store.
    pub(crate) in_kernel: Option<Position>,
    /// Who says it.
    pub(crate) basis: Basis,
    /// Why what is in force is not what the store says now, beside objects that cannot be read.
    pub(crate) deviations: Vec<String>,
    /// Why what is in force could not be compared with what the store says now: this command cannot read the store, and the agent can.
    pub(crate) not_compared: Option<String>,
    /// The agent of this machine follows another store, so nothing of this one is in force here.
    pub(crate) agent_follows_another: bool,
    /// Why a change of the store is not enforced on this machine.
    not_enforced: Option<String>,
    /// What else is to be known of this answer.
    notes: Vec<String>,
    /// A warning of the objects of the store that are of kinds which this release does not know: nothing of them is in force.
    pub(crate) unknown: Option<String>,
    /// What of the store's objects could not be converted, and which of them are not in force though they exist.
    pub(crate) left_out: Vec<(Key, String)>,
    /// Those of them that could have decided about packets.
    unreadable_parts: Vec<(Key, String)>,
}

/// Reads a store, and asks the agent of this machine unless only the store is to be asked. Says so first where what the
/// agent enforces is not what the store says, or a change of the store is not enforced.
pub(crate) fn load(
    access: &StoreAccess,
    request: InForceRequest,
    agent: &Agent,
    session: &mut Session,
) -> anyhow::Result<Sources> {
    let sources = sources(access, request, agent)?;
    if let Some(note) = &sources.not_enforced {
        session.terminal.note(enforcement_warning::warning(note));
    } else if let Basis::Unknown(error) = &sources.basis {
        session.terminal.note(format_args!("{error}; this is answered from the store alone"));
    }
    let Sources { deviations, not_compared, notes, unknown, .. } = &sources;
    for note in deviations.iter().chain(not_compared).chain(notes).chain(unknown) {
        session.terminal.note(note);
    }
    Ok(sources)
}

/// Finds the sources without printing anything. `agent` limits how long the command waits for the agent.
pub(crate) fn sources(access: &StoreAccess, request: InForceRequest, agent: &Agent) -> anyhow::Result<Sources> {
    let mut sources = if_enforced(access, request, agent)?;
    // Where the agent's copy is what is answered from, so are its warnings.
    if sources.in_kernel.is_none() {
        let left_out = access.store().map(|store| store.left_out()).unwrap_or_default();
        let unreadable = left_out.iter().filter(|one| one.effect != Effect::Ignored);
        sources.unreadable_parts = unreadable.map(|one| (one.key.clone(), one.text.clone())).collect();
        sources.left_out = left_out.into_iter().map(|one| (one.key, one.text)).collect();
    }
    if request.purpose != Purpose::Change
        && let Ok(store) = access.store()
    {
        sources.unknown = unread_in_one_line(&store.unread()).map(|all| format!("warning[unreadable]: {all}"));
    }
    match enforcement_warning::off_note().filter(|_| !request.from_store) {
        Some(note) if request.purpose == Purpose::Answer => sources.deviations.insert(0, note),
        Some(note) => sources.not_enforced = Some(note),
        None => {}
    }
    Ok(sources)
}

/// Finds the sources as if enforcement were on.
fn if_enforced(access: &StoreAccess, request: InForceRequest, agent: &Agent) -> anyhow::Result<Sources> {
    let InForceRequest { from_store, purpose } = request;
    let list = || -> anyhow::Result<Listing> {
        let store = if purpose == Purpose::Answer { access.existing() } else { access.store() };
        Ok(store?.list(&Selection::default())?)
    };
    let mut listing = list();
    let mut notes = Vec::from_iter(match purpose {
        Purpose::Answer => None,
        Purpose::Change => access.absent(),
        Purpose::Apply => access.empty(),
    });
    notes.extend(access.defined_twice().map(|text| format!("warning: {text}")));
    // A store that cannot be named has no agent.
    let Some(name) = access.name().ok().filter(|_| !from_store) else {
        return Ok(Sources { listing: listing?, notes, ..Sources::default() });
    };
    for _ in 0..MAX_ATTEMPTS {
        let answer = match agent.in_force(&name, listing.as_ref().ok().map(|listing| listing.position.clone())) {
            Ok(answer) => answer,
            Err(error) => return Ok(without_agent(listing?, error, purpose, notes)),
        };
        let newer = answer.state.store.state == StoreState::InSync
            && listing.as_ref().is_ok_and(|listing| listing.position.is_behind(&answer.state.wanted.position));
        if !newer {
            return answered(listing, answer, purpose, &name, notes);
        }
        listing = list();
    }
    // It is written all the time: the agent's copy is of one moment, whichever that is.
    let answer = agent.in_force(&name, None)?;
    answered(listing, answer, purpose, &name, notes)
}

/// What the store alone says, where no agent answers.
fn without_agent(listing: Listing, error: AskError, purpose: Purpose, notes: Vec<String>) -> Sources {
    let mut sources = Sources { listing, notes, ..Sources::default() };
    match (purpose, error) {
        (Purpose::Answer, AskError::Nobody(_)) => {
            sources.notes.extend(enforcement_warning::left_behind().map(str::to_owned))
        }
        (Purpose::Answer, error) => sources.basis = Basis::Unknown(error),
        (Purpose::Change | Purpose::Apply, error) => {
            sources.not_enforced = enforcement_warning::without_agent(&error);
            if !matches!(error, AskError::Nobody(_)) {
                sources.basis = Basis::Unknown(error);
            }
        }
    }
    sources
}

/// Brings together what the store of this name and what the agent said.
fn answered(
    listing: anyhow::Result<Listing>,
    answer: InForceAnswer,
    purpose: Purpose,
    name: &str,
    notes: Vec<String>,
) -> anyhow::Result<Sources> {
    let InForceAnswer { state, last_valid, copy } = answer;
    let version = |stored: Stored| (stored.key, (stored.revision, (&stored.value).into()));
    let mut sources = Sources {
        last_valid: last_valid.into_iter().map(version).collect(),
        basis: Basis::Agent,
        notes,
        ..Sources::default()
    };
    let is_change = purpose != Purpose::Answer;
    let why = deviation(&listing, &state);
    if is_change {
        sources.not_enforced = enforcement_warning::of_agent(&state.store, name);
        // What the agent has in force of another store says nothing about this one.
        if matches!(state.store.state, StoreState::Replaced | StoreState::NotAsked) {
            sources.last_valid.clear();
        }
    }
    let is_read_by_agent = state.store.state == StoreState::InSync && matches!(state.objects, Objects::Copy(_));
    match why {
        _ if sources.not_enforced.is_some() => {}
        (Some(why), true) if !is_change && listing.is_err() && is_read_by_agent => sources.not_compared = Some(why),
        // It is about to receive what was read of the store.
        _ if is_change && matches!(state.objects, Objects::Copy(_)) => {}
        (Some(why), true) => sources.deviations.push(why),
        (Some(why), false) => sources.notes.push(why),
        (None, _) => {}
    }
    sources.local_facts = Some(state.local_facts);
    match state.objects {
        Objects::Copy(position) if !is_change => {
            sources.listing = Listing { position, items: copy };
            sources.in_kernel = Some(state.in_kernel.position.clone());
            let with_keys = |lines: Vec<(String, String)>| {
                lines.into_iter().filter_map(|(path, warning)| Some((path.parse().ok()?, warning))).collect()
            };
            sources.left_out = with_keys(state.left_out);
            sources.unreadable_parts = with_keys(state.unreadable_parts);
            return Ok(sources.with_lag(&state.in_kernel.position, &state.wanted.position));
        }
        Objects::Copy(_) => {}
        Objects::Same => sources.is_received = true,
        Objects::OtherStore => {
            sources.local_facts = None;
            sources.basis = Basis::Store;
            sources.agent_follows_another = true;
        }
        Objects::Missing(_) => sources.basis = Basis::Store,
    }
    sources.listing = listing?;
    Ok(sources.with_lag(&state.in_kernel.position, &state.wanted.position))
}

/// Where what is in force differs from what the store says, in words; and whether it does, or the store only changes faster
/// than it can be read.
fn deviation(listing: &anyhow::Result<Listing>, state: &AgentState) -> (Option<String>, bool) {
    let store = &state.store;
    let revision = match &state.objects {
        Objects::Same => return (None, false),
        Objects::OtherStore => {
            let why = "the agent of this machine follows another store";
            return (Some(format!("{why}, {}: this is answered from the store alone", store.name)), true);
        }
        Objects::Missing(reason) => {
            let why = "what the agent has in force is not known";
            return (Some(format!("{why}: {reason}; this is answered from the store")), true);
        }
        Objects::Copy(revision) => revision,
    };
    let why = match (store.state, listing) {
        (StoreState::Lost, _) => format!(
            "the store is lost since {}: the agent keeps its revision {revision} in force ({})",
            store.since, store.reason
        ),
        (StoreState::NotAnswering, _) => format!(
            "the store last answered the agent at {}: the agent keeps its revision {revision} in force ({})",
            store.since, store.reason
        ),
        (StoreState::Stale, _) => format!(
            "the store is lost since before the agent started: the agent keeps its revision {revision} of {} in force ({})",
            store.since, store.reason
        ),
        (StoreState::NotAsked, _) => format!(
            "the name of this node changed: what the agent keeps in force is of node {}, revision {revision} of {}",
            state.local_facts.node, store.since
        ),
        (StoreState::Replaced, _) => format!(
            "the store was replaced: the agent keeps revision {revision} of the store before in force ({})",
            store.reason
        ),
        (StoreState::InSync, Err(error)) => format!(
            "not compared with the store, which this command cannot read: the agent is in sync with it and has its revision {revision} \
             in force ({error:#})"
        ),
        (_, Err(error)) => {
            format!("the store cannot be read: the agent keeps its revision {revision} in force ({error:#})")
        }
        (_, Ok(listing)) if !state.position_problem.is_empty() => format!(
            "the agent enforces revision {revision}; the store is at {}, and whether anything changed in between the agent cannot ask: {}",
            listing.position, state.position_problem
        ),
        (_, Ok(listing)) => format!("the agent enforces revision {revision}; the store is at {}", listing.position),
    };
    let is_newer = store.state == StoreState::InSync
        && listing.as_ref().is_ok_and(|listing| revision.has_reached(&listing.position));
    (Some(why), !is_newer)
}

impl Sources {
    /// Why an object that exists in the store is not in force, or a part of it is not; to be appended to what is said of it.
    pub(crate) fn why_left_out(&self, key: &Key) -> Option<&str> {
        self.left_out.iter().find(|(of, _)| of == key).map(|(_, why)| why.as_str())
    }

    /// Notes that the kernel does not have yet what the agent has received.
    fn with_lag(mut self, now: &Position, all: &Position) -> Self {
        if self.not_enforced.is_none() && now.is_behind(&self.listing.position) && now.is_behind(all) {
            self.notes.push(format!(
                "the kernel has revision {now}; revision {all} was received and is not in the kernel yet"
            ));
        }
        self
    }

    /// Why what is in force is not what the store says: all of it.
    pub(crate) fn all_deviations(&self, in_force: &InForce) -> Vec<String> {
        let unreadable = in_force.unreadable.iter().map(|(key, unreadable)| format!("{key}: {unreadable}"));
        let settings = in_force.invalid_settings.iter().map(|(name, why)| setting(name, why));
        // In a preview not what the manifests replace.
        let counts = |key: &Key| {
            let is_replaced = self.listing.get(key).is_some() && !in_force.snapshot.left_out.contains_key(key);
            !is_replaced && !in_force.unreadable.contains_key(key)
        };
        let parts =
            self.unreadable_parts.iter().filter(|(key, _)| counts(key)).map(|(key, text)| format!("{key}: {text}"));
        self.deviations.iter().cloned().chain(unreadable).chain(settings).chain(parts).collect()
    }

    /// What these sources put in force, when the objects are those of a listing: their own, or that of a preview.
    pub(crate) fn in_force(&self, listing: &Listing) -> InForce {
        let mut in_force = InForce::from_stored(&listing.items, listing.position.clone(), &self.last_valid);
        if let Some(local_facts) = &self.local_facts {
            local_facts.apply_settings(&mut in_force);
        }
        for (key, warning) in &self.left_out {
            // In a preview not what the manifests replace: of that the preview has told.
            if self.listing.get(key).is_some_and(|stored| listing.get(key) == Some(stored)) {
                in_force.snapshot.left_out.entry(key.clone()).or_default().push(warning.clone());
            }
        }
        for (key, unreadable) in &mut in_force.unreadable {
            if in_force.snapshot.left_out.contains_key(key) {
                let parts = self.unreadable_parts.iter().filter(|(of, _)| of == key).map(|(_, text)| text.clone());
                *unreadable = unreadable.with_parts(&parts.collect::<Vec<_>>());
            }
        }
        in_force
    }
}

/// Warns of each unreadable object, and says what is in force instead.
pub(crate) fn warn(in_force: &InForce, session: &mut Session) {
    for (key, unreadable) in &in_force.unreadable {
        session.terminal.note(format_args!("warning[unreadable]: {key}: {unreadable}"));
    }
    for (name, why) in &in_force.invalid_settings {
        session.terminal.note(format_args!("warning[unreadable]: {}", setting(name, why)));
    }
}

fn setting(name: &str, why: &Invalid) -> String {
    format!("FelixConfiguration({name}): {why}")
}
