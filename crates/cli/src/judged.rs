//! What commands judge packets by that ask about what is in force, or would be: `explain` and `test`.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use clap::Args;
use tortie_agent::LocalFacts;
use tortie_client::Client;
use tortie_explain::{Topology, enforce_staged};
use tortie_policy::Snapshot;
use tortie_store::memory::MemoryStore;
use tortie_sync::InForce;

use crate::args::{Files, Place};
use crate::commands::apply;
use crate::in_force::{self, Sources, Wanted};
use crate::session::Session;
use crate::store::Link;

/// What is in force, with what the agent of this machine knows beside the store.
pub(crate) fn topology<'a>(snapshot: &'a Snapshot, ground: Option<&LocalFacts>) -> Topology<'a> {
    let mut topology = Topology::new(snapshot);
    if let Some(ground) = ground {
        topology = topology.with_host(ground.host());
        if let Some(machine) = &ground.machine {
            topology = topology.with_machine(&ground.node, machine.clone());
        }
    }
    topology
}

/// Which objects count.
#[derive(Args, Debug)]
pub(crate) struct JudgedArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    place: Place,
    /// As if staged policies were enforced
    #[arg(long)]
    staged: bool,
    /// Only the manifests of -f, without the store
    #[arg(long, requires = "filename")]
    pub(crate) offline: bool,
    /// Only the store: the agent of this machine is not asked
    #[arg(long, conflicts_with = "offline")]
    from_store: bool,
}

impl JudgedArgs {
    /// Calls `answer` with what counts. None when the manifests cannot be used; that has been said.
    pub(crate) fn topology<T>(
        &self,
        verb: &'static str,
        session: &mut Session,
        answer: impl FnOnce(&Topology<'_>, Option<&LocalFacts>, &mut Session) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        // The program ends with the answer: giving back a whole store piece by piece would only delay it.
        let sources = ManuallyDrop::new(match self.offline {
            true => Sources::default(),
            false => in_force::load(&Link::find(session, &self.place)?, self.wanted(), session)?,
        });
        let Some(in_force) = self.in_force(verb, &sources, session)? else { return Ok(None) };
        let mut in_force = ManuallyDrop::new(in_force);
        in_force::warn(&in_force, session);
        if self.staged {
            enforce_staged(&mut in_force.snapshot);
        }
        answer(&topology(&in_force.snapshot, sources.ground.as_ref()), sources.ground.as_ref(), session).map(Some)
    }

    fn wanted(&self) -> Wanted {
        let may_be_absent = !self.files.filename.is_empty();
        Wanted { from_store: self.from_store, may_be_absent }
    }

    /// What is in force, or what will be when the manifests are applied.
    fn in_force(
        &self,
        verb: &'static str,
        sources: &Sources,
        session: &mut Session,
    ) -> anyhow::Result<Option<InForce>> {
        if self.files.filename.is_empty() {
            return Ok(Some(sources.in_force(&sources.listing)));
        }
        let client = Client::new(Arc::new(MemoryStore::holding(sources.listing.clone())));
        let preview = apply::preview(verb, &self.files, &self.place, &client, session)?;
        Ok(preview.map(|preview| sources.in_force(&preview.stored)))
    }
}
