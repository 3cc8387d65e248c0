//! The snapshot by which `explain` and `test` judge packets: what is in force, or what would be after a change.

use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use tortie_agent::LocalFacts;
use tortie_api::{Key, Kind};
use tortie_explain::{AbsentPods, Service, Topology, enforce_staged};
use tortie_policy::Snapshot;
use tortie_policy::packet::Host;
use tortie_store_kube::KubeStore;
use tortie_sync::{InForce, first_reasons};
use tortie_verify::foreign_tables::AllowedMark;

use crate::args::{Files, StoreArgs};
use crate::ask::Agent;
use crate::calico_api_config::DEFAULT_PATH;
use crate::commands::apply;
use crate::in_force::{self, InForceRequest, Purpose, Sources};
use crate::plan::{KubernetesChanges, Plan};
use crate::services::services;
use crate::session::Session;
use crate::store::StoreAccess;

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
        host.links.retain(|access| machine.port(&access.name).is_none());
    }
    host
}

/// The options that say which objects packets are judged by.
#[derive(Args, Debug)]
pub(crate) struct SnapshotArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    store: StoreArgs,
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
        if self.store.config != Path::new(DEFAULT_PATH) {
            option("--config", &self.store.config.to_string_lossy());
        }
        self.store.namespace.iter().for_each(|namespace| option("--namespace", namespace));
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
        answer: impl FnOnce(&Topology<'_>, &Beside<'_>, &mut Session) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let Some(found) = self.found(verb, session)? else { return Ok(None) };
        let Found { sources, in_force, services, services_unknown, pods } = found;
        // The program ends with the answer: giving back a whole store piece by piece would only delay it.
        let sources = ManuallyDrop::new(sources);
        let mut in_force = ManuallyDrop::new(in_force);
        in_force::warn(&in_force, session);
        let not_from_store = sources.all_deviations(&in_force);
        if self.staged {
            enforce_staged(&mut in_force.snapshot);
        }
        let topology = topology(&in_force.snapshot, sources.local_facts.as_ref());
        let topology = topology.with_services(services).with_unknown_services(services_unknown).with_absent_pods(pods);
        let beside = Beside {
            sources: &sources,
            allowed_mark: sources.local_facts.as_ref().and_then(|local_facts| local_facts.allowed_mark(&in_force)),
            not_from_store: &not_from_store,
        };
        answer(&topology, &beside, session).map(Some)
    }

    /// What is in force, or what will be when the manifests are applied; and what that follows from.
    fn found(&self, verb: &'static str, session: &mut Session) -> anyhow::Result<Option<Found>> {
        let from_store = self.from_store;
        let agent = Agent::soon();
        if self.files.filename.is_empty() {
            let request = InForceRequest { from_store, purpose: Purpose::Answer };
            let access = StoreAccess::find(session, &self.store)?;
            let sources = in_force::load(&access, request, &agent, session)?;
            let in_force = sources.in_force(&sources.listing);
            let services = services(&sources.listing);
            let cluster = access.kubernetes();
            // An agent has no services, so its copy of the objects has none either.
            let services_unknown = cluster.is_some() && sources.in_kernel.is_some();
            let pods = pods_of(&in_force, cluster, None);
            return Ok(Some(Found { in_force, services, services_unknown, pods, sources }));
        }
        let (mut plan, cluster) = match self.offline {
            true => (Plan::offline()?, None),
            false => {
                let request = InForceRequest { from_store, purpose: Purpose::Apply };
                let access = StoreAccess::find(session, &self.store)?;
                (Plan::begin(&access, request, &agent, session)?, access.kubernetes())
            }
        };
        let Some(manifests) = session.manifests_of_preview(verb, &self.files)? else { return Ok(None) };
        if apply::planned(apply::Planning::quiet(verb), &manifests, &self.store, &plan.client, session)?.is_none() {
            return Ok(None);
        }
        if !plan.apply_kubernetes(&manifests.kubernetes, self.store.namespace.as_deref(), session)? {
            return Ok(None);
        }
        let (after, written) = plan.after_controllers()?;
        written.into_iter().for_each(|written| session.terminal.note(written));
        let in_force = plan.sources.in_force(&after);
        let services = services(&after);
        let pods = pods_of(&in_force, cluster, Some(plan.kubernetes));
        Ok(Some(Found { sources: plan.sources, in_force, services, services_unknown: false, pods }))
    }
}

/// What else an answer depends on.
pub(crate) struct Beside<'a> {
    /// What is in force follows from this.
    pub(crate) sources: &'a Sources,
    /// The mark bit by which the kernel of this machine knows that an early policy has allowed a packet.
    pub(crate) allowed_mark: Option<AllowedMark>,
    /// Why what is in force is not what the store says.
    pub(crate) not_from_store: &'a [String],
}

/// What questions are answered from.
struct Found {
    sources: Sources,
    in_force: InForce,
    services: Vec<Service>,
    /// There may be others, which could not be read.
    services_unknown: bool,
    pods: AbsentPods<'static>,
}

/// Why pods have no endpoint: because they cannot be read, as the manifests of a preview say, or else as the cluster says.
pub(crate) fn pods_of(
    in_force: &InForce,
    cluster: Option<Arc<KubeStore>>,
    previewed: Option<KubernetesChanges>,
) -> AbsentPods<'static> {
    let unreadable = in_force.unreadable.iter().filter(|(key, _)| key.kind == Kind::WorkloadEndpoint);
    let unreadable: Vec<(Key, String)> =
        unreadable.map(|(key, why)| (key.clone(), first_reasons(&why.reasons).join("; "))).collect();
    Box::new(move |namespace, name| {
        let is_it = |key: &Key| key.namespace == namespace && (key.name == name || key.pod().as_deref() == Some(name));
        if let Some((key, why)) = unreadable.iter().find(|(key, _)| is_it(key)) {
            return Some(format!(
                "{} exists, and it has no endpoint because it cannot be read ({why}): its interface stays closed, so all its packets are denied",
                key.for_users()
            ));
        }
        let previewed = previewed.as_ref().and_then(|changes| changes.why_no_endpoint(namespace, name));
        previewed.or_else(|| cluster.as_ref()?.why_no_endpoint(namespace, name))
    })
}
