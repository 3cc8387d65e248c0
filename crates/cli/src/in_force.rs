//! What is in force, for the commands that judge packets: `explain` and `verify`.
//!
//! They take [`InForce`] from here and from nowhere else, so they cannot disagree with each other, nor with the agent.

use std::collections::BTreeMap;
use std::path::Path;

use tortie_agent::Ground;
use tortie_agent::socket::{Reply, Request};
use tortie_api::Key;
use tortie_store::{Listing, Selection};
use tortie_sync::{InForce, Version};

use crate::ask;
use crate::session::Session;
use crate::store::Link;

/// Where what is in force follows from.
#[derive(Default)]
pub(crate) struct Sources {
    /// The objects as they are stored.
    pub(crate) listing: Listing,
    /// The last valid versions of those that cannot be read.
    pub(crate) last_valid: BTreeMap<Key, Version>,
    /// What the agent of this machine knows beside the store: the interfaces, and the settings of the machine.
    pub(crate) ground: Option<Ground>,
}

/// Reads the store that is meant, and asks the agent of this machine unless only the store is to be asked.
pub(crate) fn load(session: &mut Session, config: &Path, from_store: bool) -> anyhow::Result<Sources> {
    let listing = Link::find_by(session, config)?.store()?.list(&Selection::default())?;
    let ground = if from_store { None } else { ground() };
    Ok(Sources { listing, last_valid: BTreeMap::new(), ground })
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

/// Says what of it could not be read, and what is in force instead.
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

/// What the agent of this machine stands on, if there is one: no store knows all interfaces and local settings.
fn ground() -> Option<Ground> {
    match ask::ask(&Request::Ground) {
        Ok(Reply::Ground(ground)) => Some(*ground),
        _ => None,
    }
}
