//! The snapshot by which `explain` and `test` judge packets: what is in force, or what would be after a change.

use std::mem::ManuallyDrop;
use std::path::Path;

use clap::Args;
use tortie_agent::LocalFacts;
use tortie_explain::{Topology, enforce_staged};
use tortie_policy::Snapshot;
use tortie_policy::packet::Host;
use tortie_sync::InForce;

use crate::args::{Files, Place};
use crate::ask::Agent;
use crate::calico_api_config::DEFAULT_PATH;
use crate::commands::apply;
use crate::in_force::{self, Purpose, Sources, Wanted};
use crate::plan::Plan;
use crate::session::Session;
use crate::store::Link;

/// What is in force, with what the agent of this machine knows beside the store.
pub(crate) fn topology<'a>(snapshot: &'a Snapshot, local_facts: Option<&LocalFacts>) -> Topology<'a> {
    let mut topology = Topology::new(snapshot);
    if let Some(local_facts) = local_facts {
        topology = topology.with_host(local_facts.host());
        if let Some(machine) = &local_facts.machine {
            topology = topology.with_machine(&local_facts.node, machine.clone());
        }
    }
    topology
}

/// The interfaces of this machine at which packets are judged: not those of ports, which are judged at their masters.
pub(crate) fn judging_host(local_facts: &LocalFacts) -> Host {
    let mut host = local_facts.host();
    if let Some(machine) = &local_facts.machine {
        host.links.retain(|link| machine.port(&link.name).is_none());
    }
    host
}

/// The options that say which objects packets are judged by.
#[derive(Args, Debug)]
pub(crate) struct SnapshotArgs {
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

impl SnapshotArgs {
    /// These options as they are typed for another command that answers from the same objects.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        self.files.filename.iter().for_each(|file| option("-f", file));
        if self.place.config != Path::new(DEFAULT_PATH) {
            option("--config", &self.place.config.to_string_lossy());
        }
        self.place.namespace.iter().for_each(|namespace| option("--namespace", namespace));
        let flags = [
            ("--recursive", self.files.recursive),
            ("--skip-empty", self.files.skip_empty),
            ("--offline", self.offline),
            ("--staged", self.staged),
            ("--from-store", self.from_store),
        ];
        words.extend(flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag.to_owned()));
        words
    }

    /// Calls `answer` with these objects. None when the manifests cannot be used; the reasons were printed.
    pub(crate) fn topology<T>(
        &self,
        verb: &'static str,
        session: &mut Session,
        answer: impl FnOnce(&Topology<'_>, Option<&LocalFacts>, &mut Session) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let Some((sources, in_force)) = self.in_force(verb, session)? else { return Ok(None) };
        // The program ends with the answer: giving back a whole store piece by piece would only delay it.
        let sources = ManuallyDrop::new(sources);
        let mut in_force = ManuallyDrop::new(in_force);
        in_force::warn(&in_force, session);
        if self.staged {
            enforce_staged(&mut in_force.snapshot);
        }
        answer(&topology(&in_force.snapshot, sources.local_facts.as_ref()), sources.local_facts.as_ref(), session)
            .map(Some)
    }

    /// What is in force, or what will be when the manifests are applied; and what that follows from.
    fn in_force(&self, verb: &'static str, session: &mut Session) -> anyhow::Result<Option<(Sources, InForce)>> {
        let from_store = self.from_store;
        let agent = Agent::soon();
        if self.files.filename.is_empty() {
            let wanted = Wanted { from_store, purpose: Purpose::Answer };
            let sources = in_force::load(&Link::find(session, &self.place)?, wanted, &agent, session)?;
            let in_force = sources.in_force(&sources.listing);
            return Ok(Some((sources, in_force)));
        }
        let mut plan = match self.offline {
            true => Plan::offline()?,
            false => {
                let wanted = Wanted { from_store, purpose: Purpose::Apply };
                Plan::begin(&Link::find(session, &self.place)?, wanted, &agent, session)?
            }
        };
        let Some(manifests) = session.manifests_of_preview(verb, &self.files)? else { return Ok(None) };
        if apply::planned(verb, &manifests, &self.place, &plan.client, session)?.is_none() {
            return Ok(None);
        }
        if !plan.apply_kubernetes(&manifests.kubernetes, self.place.namespace.as_deref(), session)? {
            return Ok(None);
        }
        let in_force = plan.sources.in_force(&plan.after()?);
        Ok(Some((plan.sources, in_force)))
    }
}
