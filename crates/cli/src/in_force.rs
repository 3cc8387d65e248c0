//! What is in force, for the commands that judge packets: `explain` and `verify`.
//!
//! They take [`InForce`] from here and from nowhere else, so they cannot disagree with each other, nor with the agent. Where an
//! agent runs that follows the same store, it is asked: it knows the last valid versions, and it enforces its own copy when
//! the store cannot be reached.

use std::collections::BTreeMap;
use std::path::Path;

use tortie_agent::socket::{AgentState, AskError, Objects, Told};
use tortie_agent::status::StoreState;
use tortie_agent::{FELIX_CONFIG, Ground};
use tortie_api::Key;
use tortie_store::{Listing, Selection, Stored};
use tortie_sync::{InForce, Version};

use crate::ask;
use crate::session::Session;
use crate::store::Link;

/// How often the store is read again when the agent has received more than was read.
const TRIES: usize = 3;

/// Where what is in force follows from.
#[derive(Default)]
pub(crate) struct Sources {
    /// The objects as they are stored.
    pub(crate) listing: Listing,
    /// The last valid versions of those that cannot be read.
    last_valid: BTreeMap<Key, Version>,
    /// What the agent of this machine knows beside the store: the interfaces, and the settings of the machine.
    pub(crate) ground: Option<Ground>,
    /// Whether the agent of this machine has received what was read of the store.
    pub(crate) is_received: bool,
    /// The revision that is in the kernel, where the agent enforces its own copy of the store.
    pub(crate) in_kernel: Option<u64>,
    /// What is to be known of this answer: where it is not what the store says now.
    notes: Vec<String>,
}

/// Reads the store that is meant, and asks the agent of this machine unless only the store is to be asked. Says so where what the
/// agent enforces is not what the store says.
pub(crate) fn load(session: &mut Session, config: &Path, from_store: bool) -> anyhow::Result<Sources> {
    let sources = sources(session, config, from_store)?;
    for note in &sources.notes {
        session.terminal.note(note);
    }
    Ok(sources)
}

fn sources(session: &mut Session, config: &Path, from_store: bool) -> anyhow::Result<Sources> {
    let link = Link::find_by(session, config)?;
    let list = || -> anyhow::Result<Listing> { Ok(link.store()?.list(&Selection::default())?) };
    let mut listing = list();
    if from_store {
        return Ok(Sources { listing: listing?, ..Sources::default() });
    }
    // A store that cannot be named has no agent.
    let Ok((_, name)) = Link::opener(session, config, FELIX_CONFIG.as_ref()) else {
        return Ok(Sources { listing: listing?, ..Sources::default() });
    };
    for _ in 0..TRIES {
        let told = match ask::in_force(&name, listing.as_ref().ok().map(|listing| listing.revision)) {
            Ok(told) => told,
            Err(AskError::Nobody(_)) => return Ok(Sources { listing: listing?, ..Sources::default() }),
            Err(error) => {
                let notes = vec![format!("{error}; this is answered from the store alone")];
                return Ok(Sources { listing: listing?, notes, ..Sources::default() });
            }
        };
        let newer = told.state.store.state == StoreState::InSync
            && listing.as_ref().is_ok_and(|listing| listing.revision < told.state.wanted.revision);
        if !newer {
            return answered(listing, told);
        }
        listing = list();
    }
    // It is written all the time: the agent's copy is of one moment, whichever that is.
    answered(listing, ask::in_force(&name, None)?)
}

/// Brings together what the store and what the agent said.
fn answered(listing: anyhow::Result<Listing>, told: Told) -> anyhow::Result<Sources> {
    let Told { state, last_valid, copy } = told;
    let mut notes = Vec::from_iter(note(&listing, &state));
    let version = |stored: Stored| (stored.key, (stored.revision, stored.value));
    let mut sources = Sources {
        last_valid: last_valid.into_iter().map(version).collect(),
        ground: Some(state.ground),
        ..Sources::default()
    };
    match state.objects {
        Objects::Same => {
            sources.listing = listing?;
            sources.is_received = true;
        }
        Objects::Copy(revision) => {
            sources.listing = Listing { revision, items: copy };
            sources.in_kernel = Some(state.in_kernel.revision);
        }
        Objects::OtherStore => {
            sources.listing = listing?;
            sources.ground = None;
        }
        Objects::Missing(_) => sources.listing = listing?,
    }
    if state.in_kernel.revision < sources.listing.revision && state.in_kernel.revision < state.wanted.revision {
        let (now, all) = (state.in_kernel.revision, state.wanted.revision);
        notes.push(format!("the kernel has revision {now}; revision {all} was received and is not in the kernel yet"));
    }
    sources.notes = notes;
    Ok(sources)
}

/// Where what is in force differs from what the store says, in words.
fn note(listing: &anyhow::Result<Listing>, state: &AgentState) -> Option<String> {
    let store = &state.store;
    let revision = match &state.objects {
        Objects::Same => return None,
        Objects::OtherStore => {
            return Some(format!(
                "the agent of this machine follows another store, {}: this is answered from the store alone",
                store.name
            ));
        }
        Objects::Missing(reason) => {
            return Some(format!(
                "what the agent has in force is not known: {reason}; this is answered from the store"
            ));
        }
        Objects::Copy(revision) => revision,
    };
    Some(match (store.state, listing) {
        (StoreState::Lost, _) => format!(
            "the store is lost since {}: what the agent enforces, revision {revision}, is answered ({})",
            store.since, store.reason
        ),
        (StoreState::Stale, _) => format!(
            "the store is lost since before the agent started: what the agent enforces, revision {revision} of {}, is answered ({})",
            store.since, store.reason
        ),
        (StoreState::NotAsked, _) => format!(
            "the name of this node changed: what the agent keeps in force for node {}, revision {revision} of {}, is answered",
            state.ground.node, store.since
        ),
        (StoreState::Replaced, _) => format!(
            "the store was replaced: what the agent keeps in force, revision {revision} of the store before, is answered ({})",
            store.reason
        ),
        (_, Err(error)) => {
            format!("the store cannot be read: what the agent enforces, revision {revision}, is answered ({error:#})")
        }
        (_, Ok(listing)) => format!("the agent enforces revision {revision}; the store is at {}", listing.revision),
    })
}

impl Sources {
    /// What these sources put in force, when the objects are those of a listing: their own, or that of a preview.
    pub(crate) fn in_force(&self, listing: &Listing) -> InForce {
        let mut in_force = InForce::from_stored(&listing.items, listing.revision, &self.last_valid);
        if let Some(ground) = &self.ground {
            ground.settle(&mut in_force);
        }
        in_force
    }
}

/// Says what could not be read, and what is in force instead.
pub(crate) fn warn(in_force: &InForce, session: &mut Session) {
    for (key, unreadable) in &in_force.unreadable {
        session.terminal.note(format_args!("warning[unreadable]: {key}: {unreadable}"));
    }
    for (name, why) in &in_force.invalid_settings {
        session.terminal.note(format_args!(
            "warning[unreadable]: FelixConfiguration({name}): {why}; the next weaker value is in force"
        ));
    }
}
