//! What enforcement would do to those who are connected where nothing is enforced: `tortie on`, the end of `tortie off --for`, and an
//! agent that is started by hand.

use anyhow::bail;
use tortie_agent::LocalFacts;

use super::{Found, find, found, is_needed};
use crate::ask::Agent;
use crate::commands::agent::state_directory;
use crate::in_force::{self, InForceRequest, Purpose};
use crate::session::Session;
use crate::ssh::{self, Origin};
use crate::store::StoreAccess;

/// What would be lost if what is to be in force on this machine were enforced, and nothing is. `local_facts` are those of an agent
/// that is about to start.
pub(crate) fn if_enforced(access: &StoreAccess, local_facts: Option<LocalFacts>, session: &mut Session) -> Found {
    if !is_needed(access) {
        return Found::default();
    }
    let result = compare(access, local_facts, session);
    found(access, result, session)
}

fn compare(access: &StoreAccess, local_facts: Option<LocalFacts>, session: &mut Session) -> anyhow::Result<Found> {
    let agent = Agent::soon();
    if access.absent().is_some() && !state_directory().is_dir() && !agent.runs() {
        // There is neither a store nor an agent's copy of one.
        return Ok(Found::default());
    }
    let request = InForceRequest { from_store: false, purpose: Purpose::Answer };
    let mut sources = in_force::sources(access, request, &agent)?;
    if sources.agent_follows_another {
        bail!(
            "the agent of this machine follows another store than the one that this command reads (--config FILE names it)"
        );
    }
    sources.local_facts = sources.local_facts.or(local_facts);
    let after = std::mem::take(&mut sources.listing);
    find(access, &sources, &after, session)
}

/// Whether somebody started this process by hand and may be connected over SSH: not a service of the system or a container.
pub(crate) fn is_by_hand() -> bool {
    match ssh::origin() {
        Origin::Local => false,
        Origin::Ssh(_) => true,
        Origin::Unproven | Origin::Unknown(_) => ssh::has_terminal(),
    }
}
