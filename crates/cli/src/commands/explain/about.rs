//! `explain` with one word: what applies to an endpoint, or what a policy or a tier decides.

use serde_json::Value;
use tortie_api::{Key, Kind};
use tortie_explain::policy::{self, PolicyName};
use tortie_explain::{AskError, Counts, EndSpec, Location, Topology, endpoint, not_in_force, set, suggest, tier};
use tortie_policy::{HostEndpoint, PolicyId, WorkloadEndpoint};
use tortie_store_kube::convert::manifest::{KubernetesKind, Reference};

use super::{ExplainArgs, print_json};
use crate::args::TextOrJson;
use crate::session::Session;
use crate::snapshot::Beside;
use crate::terminal::Exit;

/// Tells about an endpoint, a policy or a tier.
pub(super) fn answer(
    args: &ExplainArgs,
    topology: &Topology<'_>,
    word: &str,
    beside: &Beside<'_>,
    session: &mut Session,
) -> Result<Exit, AskError> {
    let json = matches!(args.output, TextOrJson::Json);
    if let Some(name) = policy_name(word)? {
        let found = name.find(topology.snapshot()).map_err(|error| is_ignored(&name, beside).unwrap_or(error))?;
        let about = policy::about(topology.snapshot(), found);
        match json {
            true => print_json(policy::json(&about), beside, session),
            false => session.terminal.print(&policy::text(topology, &about, &Counts::default())),
        }
        return Ok(Exit::Done);
    }
    if let Some(name) = tier_name(word) {
        let about = tier::about(topology.snapshot(), name)?;
        match json {
            true => print_json(tier::json(&about), beside, session),
            false => session.terminal.print(&tier::text(&about)),
        }
        return Ok(Exit::Done);
    }
    if let Ok(EndSpec::Set(namespace, name)) = word.parse() {
        let about = set::about(topology, &namespace, &name)?;
        match json {
            true => print_json(set::json(&about), beside, session),
            false => session.terminal.print(&set::text(&about)),
        }
        return Ok(Exit::Done);
    }
    refuse_other_kinds(word)?;
    let found = find(topology, word)?;
    match json {
        true => {
            let shown: Value = found.iter().filter_map(|one| one.json(topology)).collect();
            print_json(shown, beside, session);
        }
        false => {
            let texts: Vec<String> = found.iter().map(|one| one.text(topology)).collect();
            session.terminal.print(&texts.join("\n"));
        }
    }
    Ok(Exit::Done)
}

/// The name of a policy, of Calico's kinds or of Kubernetes' own.
fn policy_name(word: &str) -> Result<Option<PolicyName>, AskError> {
    let of_kubernetes = word.split_once('/').and_then(|(kind, _)| KubernetesKind::from_word(kind)?.policies());
    of_kubernetes.map_or_else(|| PolicyName::parse(word), |kind| PolicyName::of_kind(kind, word))
}

/// Why a policy that exists is not in force.
fn is_ignored(name: &PolicyName, beside: &Beside<'_>) -> Option<AskError> {
    let PolicyId { kind, namespace, name } = name.id().clone();
    let key = Key { kind, namespace, name };
    let why = beside.sources.why_left_out(&key)?;
    Some(AskError(format!("{} exists, and {why}", Reference::of_key(&key)?)))
}

/// Puts together a kind and the name of an object that were typed as two words: `gnp web`.
pub(super) fn joined(kind: &str, name: &str) -> Option<String> {
    let is_name =
        !kind.contains('/') && (Kind::from_alias(kind).is_some() || KubernetesKind::from_word(kind).is_some());
    is_name.then(|| format!("{kind}/{name}"))
}

/// The name of `tier/NAME`.
fn tier_name(word: &str) -> Option<&str> {
    let (kind, name) = word.split_once('/')?;
    (Kind::from_alias(kind) == Some(Kind::Tier) && !name.is_empty() && !name.contains('/')).then_some(name)
}

/// Nothing is told about objects of other kinds.
fn refuse_other_kinds(word: &str) -> Result<(), AskError> {
    let Some((kind, name)) = word.split_once('/') else { return Ok(()) };
    let Some(kind) = Kind::from_alias(kind) else { return Ok(()) };
    if matches!(
        kind,
        Kind::HostEndpoint | Kind::WorkloadEndpoint | Kind::Node | Kind::GlobalNetworkSet | Kind::NetworkSet
    ) {
        return Ok(());
    }
    Err(AskError(format!(
        "explain tells nothing about an object of kind {}: `tortie get {word}` shows {name}; explain tells about {SUBJECTS}",
        kind.name()
    )))
}

/// What can be asked about alone.
const SUBJECTS: &str = "an endpoint or a node (hep/NAME, node/NAME, pod/NAMESPACE/NAME, wep/NAMESPACE/NAME, an address), a policy (gnp/NAME, np/NAMESPACE/NAME, of Kubernetes knp/NAMESPACE/NAME, kcnp/NAME), a tier (tier/NAME) or a network set (set/NAME, set/NAMESPACE/NAME)";

/// Policies and tiers are told about alone.
pub(super) fn refuse_policies<'a>(words: impl Iterator<Item = &'a String>) -> Result<(), AskError> {
    for word in words {
        let what = match policy_name(word) {
            Ok(Some(_)) => "policy",
            _ if tier_name(word).is_some() => "tier",
            _ => continue,
        };
        return Err(AskError(format!("{word} is a {what}, not an end of a packet: write `explain {word}` alone")));
    }
    Ok(())
}

/// An endpoint, or a node that has none.
enum NamedEnd<'a> {
    Host(&'a HostEndpoint),
    Workload(Box<WorkloadEndpoint>),
    Nothing(String),
}

fn find<'a>(topology: &Topology<'a>, word: &str) -> Result<Vec<NamedEnd<'a>>, AskError> {
    let snapshot = topology.snapshot();
    let party = suggest::end(topology, word)?;
    if let EndSpec::HostEndpoint(name) = &party
        && let Some(found) = snapshot.host_endpoints.get(name)
    {
        return Ok(vec![NamedEnd::Host(found)]);
    }
    match topology.find(&party, None)? {
        Location::Workload(found) => Ok(vec![NamedEnd::Workload(found)]),
        Location::Process { node, .. } => {
            let endpoints = snapshot.host_endpoints.values().filter(|endpoint| endpoint.node == node);
            let found: Vec<NamedEnd<'_>> = endpoints.map(NamedEnd::Host).collect();
            Ok(if found.is_empty() { vec![NamedEnd::Nothing(node)] } else { found })
        }
        Location::Outside(_) => Err(AskError(format!(
            "{word} is not an address of an endpoint or node; name {SUBJECTS}, or give a second end"
        ))),
    }
}

/// Why nothing is told about an end; none if something is.
pub(crate) fn refusal(topology: &Topology<'_>, word: &str) -> Option<String> {
    find(topology, word).err().map(|AskError(why)| why)
}

/// What applies to a host endpoint, and first why it governs no interface where that is so.
pub(crate) fn host(topology: &Topology<'_>, found: &HostEndpoint, counts: &Counts) -> String {
    let not_in_force = not_in_force::host_endpoint(topology, found);
    let note = not_in_force.map(|reason| format!("note: host endpoint {} {reason}\n", found.name));
    note.unwrap_or_default() + &endpoint::host(topology.snapshot(), found, counts)
}

impl NamedEnd<'_> {
    fn text(&self, topology: &Topology<'_>) -> String {
        match self {
            NamedEnd::Host(found) => host(topology, found, &Counts::default()),
            NamedEnd::Workload(found) => endpoint::workload(topology, found, &Counts::default()),
            NamedEnd::Nothing(node) => {
                format!("{node} has no host endpoint: no tortie policy applies to its own packets\n")
            }
        }
    }

    /// None where there is no endpoint: the list is then empty.
    fn json(&self, topology: &Topology<'_>) -> Option<Value> {
        match self {
            NamedEnd::Host(found) => {
                let not_in_force = not_in_force::host_endpoint(topology, found);
                Some(endpoint::host_json(
                    topology.snapshot(),
                    found,
                    not_in_force.map(|reason| reason.to_string()).as_deref(),
                ))
            }
            NamedEnd::Workload(found) => Some(endpoint::workload_json(topology, found)),
            NamedEnd::Nothing(_) => None,
        }
    }
}
