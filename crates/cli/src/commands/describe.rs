//! `describe`: everything that is known of an object: who wrote it, what it does, its counters and warnings.
//!
//! `tortie_explain` describes what it does.

mod head;
mod machine;

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use tortie_api::{Key, Kind, Object};
use tortie_client::{Client, ClientError};
use tortie_explain::{AskError, Topology, node, policy, profile, set, tier};
use tortie_manifest::write;
use tortie_policy::{EndpointId, PolicyId, WorkloadId};
use tortie_store::memory::MemoryStore;
use tortie_store::{Selection, Store};
use tortie_store_kube::convert::manifest::{KubernetesKind, Reference};
use tortie_sync::InForce;

use crate::args::StoreArgs;
use crate::ask::Agent;
use crate::commands::explain::about;
use crate::commands::lint;
use crate::in_force::{self, InForceRequest, Purpose, Sources};
use crate::namespace;
use crate::problem_text;
use crate::session::Session;
use crate::snapshot::{pods_of, topology};
use crate::store::StoreAccess;
use crate::target;
use crate::terminal::{Exit, Usage};
use machine::Machine;

/// Arguments of `describe`.
#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// The kind and the names of objects, or KIND/NAME...; a kind alone means all of its objects
    #[arg(value_name = "KIND NAME")]
    targets: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// With a kind alone: its objects in every namespace
    #[arg(short = 'A', long, short_alias = 'a')]
    all_namespaces: bool,
    /// Use only the store: the agent of this machine is not asked
    #[arg(long)]
    from_store: bool,
}

/// The data that all descriptions of one call use.
struct Known<'a> {
    in_force: &'a InForce,
    topology: Topology<'a>,
    /// Reads the objects as they were at one moment.
    client: Client,
    /// The store itself, for its history; none if it cannot be reached.
    store: Option<Arc<dyn Store>>,
    machine: Machine,
    sources: &'a Sources,
}

/// Describes the objects.
pub(crate) fn run(args: &DescribeArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.targets.is_empty() {
        return Err(Usage(format!("describe needs KIND NAME, or KIND/NAME\n\n{}", target::kinds())).into());
    }
    let own_namespace = args.store.namespace.as_deref().unwrap_or_default();
    let (of_kubernetes, others) = target::split_kubernetes(&args.targets, own_namespace)?;
    let targets = target::parse(&others, session.persona)?;
    let access = StoreAccess::find(session, &args.store)?;
    let agent = Agent::soon();
    let request = InForceRequest { from_store: args.from_store, purpose: Purpose::Answer };
    let sources: Sources = in_force::load(&access, request, &agent, session)?;
    let in_force = sources.in_force(&sources.listing);
    let known = Known {
        topology: topology(&in_force.snapshot, sources.local_facts.as_ref()).with_absent_pods(pods_of(
            &in_force,
            access.kubernetes(),
            None,
        )),
        client: Client::new(Arc::new(MemoryStore::holding(sources.listing.clone()))),
        store: access.existing().ok(),
        machine: Machine::ask(&sources, &agent, args.from_store),
        in_force: &in_force,
        sources: &sources,
    };
    let mut failed = false;
    let mut first = true;
    let mut show = |described: Result<String, String>, session: &mut Session| match described {
        Ok(text) => {
            let gap = if std::mem::take(&mut first) { "" } else { "\n" };
            session.terminal.print(&format!("{gap}{text}"));
        }
        Err(error) => {
            failed = true;
            session.terminal.error(error);
        }
    };
    for reference in of_kubernetes {
        match known.keys_of(&reference) {
            Ok(keys) => keys.iter().for_each(|key| show(known.describe(key), session)),
            Err(error) => show(Err(error), session),
        }
    }
    for target in targets {
        let given = args.store.namespace.as_deref();
        let flags = namespace::NamespaceFlags { namespace: given, all: args.all_namespaces };
        let namespace = namespace::resolve(target.kind, &target.namespace, flags)
            .map_err(|problem| anyhow::anyhow!("{}", problem.text()))?;
        if args.all_namespaces && target.name.is_some() {
            return Err(Usage("-A describes all objects of a kind; leave out the names, or say -n".to_owned()).into());
        }
        let within = Some(&namespace).filter(|namespace| !namespace.is_empty()).cloned();
        let keys = match target.name {
            Some(name) => vec![Key { kind: target.kind, namespace, name }],
            None => known.all(target.kind, namespace)?,
        };
        if keys.is_empty() {
            let place = within.map(|within| format!(" in namespace {within}; -A for all")).unwrap_or_default();
            session.terminal.note(format_args!("no {}{place}", target.kind.plural()));
        }
        keys.iter().for_each(|key| show(known.describe(key), session));
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

impl Known<'_> {
    /// What an object of Kubernetes is in the store: of a pod its endpoints.
    fn keys_of(&self, reference: &Reference) -> Result<Vec<Key>, String> {
        let Reference { kind, namespace, name } = reference;
        match (kind, reference.key()) {
            (KubernetesKind::Pod, _) => {
                let ids = self.in_force.snapshot.workload_endpoints.keys();
                let keys = ids.map(|id| Key::namespaced(Kind::WorkloadEndpoint, &id.namespace, &id.name));
                // One that cannot be read has no endpoint.
                let keys = keys.chain(self.in_force.unreadable.keys().cloned());
                let is_its = |key: &Key| key.namespace == *namespace && key.pod().as_ref() == Some(name);
                let keys: BTreeSet<Key> = keys.filter(is_its).collect();
                if !keys.is_empty() {
                    return Ok(keys.into_iter().collect());
                }
                // The reason why it has none is that of a question about it.
                let word = format!("pod/{namespace}/{name}");
                Err(about::refusal(&self.topology, &word).unwrap_or_else(|| format!("{word} has no endpoint")))
            }
            (KubernetesKind::EndpointSlice | KubernetesKind::Service, _) | (_, None) => {
                Err(format!("describe tells nothing about {reference}: `kubectl describe` does"))
            }
            (_, Some(key)) => Ok(vec![key]),
        }
    }

    /// All objects of a kind.
    fn all(&self, kind: Kind, namespace: String) -> anyhow::Result<Vec<Key>> {
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        let found = self.client.list(&Selection { kind: Some(kind), namespace, ..Selection::default() })?;
        let mut keys: Vec<Key> = found.objects.iter().map(Object::key).collect();
        keys.extend(found.unreadable.iter().filter_map(|error| match error {
            ClientError::Unreadable { key, .. } => Some(key.clone()),
            _ => None,
        }));
        Ok(keys)
    }

    /// The namespaces that have objects of this name, for the error that the namespace asked for has none.
    fn elsewhere(&self, key: &Key) -> Option<String> {
        if !key.kind.namespaced() {
            return None;
        }
        let all = self.all(key.kind, String::new()).ok()?;
        let mut places: Vec<&str> =
            all.iter().filter(|one| one.name == key.name).map(|one| one.namespace.as_str()).collect();
        places.sort_unstable();
        let count = places.len();
        let names = tortie_explain::shortened(places, 5);
        match count {
            0 => None,
            1 => Some(format!("; there is one in namespace {names}: say -n {names}")),
            _ => Some(format!("; there are some in the namespaces {names}: say -n")),
        }
    }

    /// The description of one object.
    fn describe(&self, key: &Key) -> Result<String, String> {
        let found = self.client.get(key);
        let does = self.does(key);
        let mut text = match Reference::of_key(key) {
            Some(reference) => format!("{reference}\n"),
            None => format!("{} {}\n", key.kind, head::name(key)),
        };
        let unreadable =
            self.in_force.unreadable.get(key).map(|why| lint::warnings_text(&[lint::unreadable(key, why.in_full())]));
        match (&found, &does) {
            (Ok(found), _) => text += &head::text(&found.object, self.store.as_deref()),
            (Err(ClientError::Unreadable { .. }), Some(Ok(_))) => {}
            (Err(error), _) if !error.is_missing() && unreadable.is_none() => {
                return Err(problem_text::line(error, key));
            }
            (Err(_), Some(Ok(_))) => {}
            // The object exists, even if nothing is known of what it does.
            (Err(_), _) if unreadable.is_some() => {}
            (Err(_), Some(Err(AskError(why)))) => return Err(why.clone() + &self.elsewhere(key).unwrap_or_default()),
            (Err(error), None) => {
                if let Some(why) = self.sources.why_left_out(key) {
                    return Ok(text + &format!("it exists, and {why}\n"));
                }
                let lists = || match Reference::of_key(key) {
                    Some(reference) => format!("; `kubectl get {} -A` lists what does", reference.kind),
                    None => format!("; `tortie get {}` lists what does", key.kind.plural()),
                };
                return Err(problem_text::line(error, key) + &self.elsewhere(key).unwrap_or_else(lists));
            }
        }
        text.push('\n');
        match (does, &found) {
            (Some(Err(_)), Err(_)) if unreadable.is_some() => {}
            (Some(does), _) => text += &does.map_err(|AskError(why)| why)?,
            (None, Ok(found)) => text += &spec(&found.object),
            (None, Err(_)) => {}
        }
        if let Err(error) = &found {
            let not_shown = matches!(error, ClientError::Unreadable { .. }) && unreadable.is_none();
            let not_shown = not_shown.then(|| lint::warnings_text(&[lint::not_shown(error, key)]));
            text += &unreadable.clone().or(not_shown).unwrap_or_default();
        }
        text += &self.machine.text(key, self.in_force);
        if let Ok(found) = &found {
            let local_facts = self.sources.local_facts.as_ref();
            let warnings = lint::of_one(&found.object, &self.client, self.in_force, local_facts);
            let told = unreadable.unwrap_or_default() + &lint::warnings_text(&warnings);
            text += "\nwarnings:";
            text += &if told.is_empty() { " none\n".to_owned() } else { format!("\n{told}") };
        }
        Ok(text)
    }

    /// What an object does; none for kinds that `explain` does not describe.
    fn does(&self, key: &Key) -> Option<Result<String, AskError>> {
        let (topology, counts) = (&self.topology, self.machine.counts());
        let snapshot = topology.snapshot();
        let Key { kind, namespace, name } = key.clone();
        Some(match kind {
            Kind::HostEndpoint => {
                let found = snapshot.host_endpoints.get(&name)?;
                Ok(about::host(topology, found, self.machine.counts_on(&found.node)))
            }
            Kind::WorkloadEndpoint => {
                let found = snapshot.workload_endpoints.get(&WorkloadId { namespace, name })?;
                Ok(tortie_explain::endpoint::workload(topology, found, self.machine.counts_on(&found.node)))
            }
            Kind::NetworkPolicy
            | Kind::KubernetesNetworkPolicy
            | Kind::KubernetesClusterNetworkPolicy
            | Kind::GlobalNetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy => {
                let found = snapshot.policies.get(&PolicyId { kind, namespace, name })?;
                Ok(policy::text(topology, &policy::about(snapshot, found), counts))
            }
            Kind::Tier => tier::about(snapshot, &name).map(|about| tier::text(&about)),
            Kind::Profile => profile::text(topology, &name, counts),
            Kind::NetworkSet | Kind::GlobalNetworkSet => {
                set::about(topology, &namespace, &name).map(|about| set::text(&about))
            }
            Kind::Node => node::text(topology, &name),
            _ => return None,
        })
    }
}

/// The name of a workload endpoint on its node.
fn endpoint_id(key: &Key) -> Option<EndpointId> {
    let Key { kind, namespace, name } = key.clone();
    match kind {
        Kind::HostEndpoint => Some(EndpointId::Host(name)),
        Kind::WorkloadEndpoint => Some(EndpointId::Workload(WorkloadId { namespace, name })),
        _ => None,
    }
}

/// The spec of an object of a kind that has no other description.
fn spec(object: &Object) -> String {
    let body = serde_json::Value::Object(object.body.clone());
    if object.body.is_empty() { String::new() } else { write::yaml(&body) }
}
