//! What the agent of this machine adds to a description: counters, and what is in the kernel.

use std::fmt::Write as _;

use tortie_agent::socket::{Reply, Request};
use tortie_agent::status::{EndpointStatus, Status};
use tortie_api::{Key, Kind};
use tortie_explain::Counts;
use tortie_policy::{Direction, PolicyId};
use tortie_sync::InForce;

use super::endpoint_id;
use crate::ask::Agent;
use crate::in_force::{Basis, Sources};

/// The agent's answers, or why it was not asked.
pub(super) struct Machine {
    counts: Counts,
    none: Counts,
    said: Result<Box<Status>, String>,
}

impl Machine {
    /// Asks the agent, if it follows the store that is described.
    pub(super) fn ask(sources: &Sources, agent: &Agent, from_store: bool) -> Self {
        let nothing = |why: String| Self { counts: Counts::default(), none: Counts::default(), said: Err(why) };
        match sources.basis {
            _ if from_store => return nothing("its agent was not asked (--from-store)".to_owned()),
            Basis::Agent => {}
            Basis::Store if sources.agent_follows_another => {
                return nothing("its agent follows another store".to_owned());
            }
            Basis::Store | Basis::Unknown(_) => return nothing("no agent answers here".to_owned()),
        }
        let status = match agent.ask(&Request::Status) {
            Ok(Reply::Status(status)) => status,
            Ok(other) => return nothing(other.unexpected()),
            Err(error) => return nothing(error.to_string()),
        };
        let mut counts = Counts::default();
        match agent.ask(&Request::RuleCounts) {
            Ok(Reply::RuleCounts { rules }) => {
                for rule in rules {
                    let direction = if rule.direction == "egress" { Direction::Egress } else { Direction::Ingress };
                    if let Ok(number) = rule.rule.parse() {
                        counts.add(&rule.policy, direction, number, rule.packets, rule.bytes);
                    }
                }
                Self { counts, none: Counts::default(), said: Ok(status) }
            }
            Ok(other) => nothing(other.unexpected()),
            Err(error) => nothing(error.to_string()),
        }
    }

    /// The counters of its rules.
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The counters if the node is this machine's; otherwise nothing.
    pub(super) fn counts_on(&self, node: &str) -> &Counts {
        match &self.said {
            Ok(status) if status.node == node => &self.counts,
            _ => &self.none,
        }
    }

    /// The text about an object on this machine; empty for kinds that are not enforced.
    pub(super) fn text(&self, key: &Key, in_force: &InForce) -> String {
        let name = match key.kind {
            Kind::HostEndpoint | Kind::WorkloadEndpoint => None,
            Kind::Profile => Some(format!("profile {}", key.name)),
            kind if kind.is_tiered() => {
                let Key { kind, namespace, name } = key.clone();
                Some(PolicyId { kind, namespace, name }.to_string())
            }
            _ => return String::new(),
        };
        let mut text = String::from("\n");
        let status = match &self.said {
            Ok(status) => status,
            Err(why) => {
                let _ = writeln!(text, "this machine: {why}, so no counters are shown and the kernel was not read");
                return text;
            }
        };
        let _ = write!(text, "this machine (node {}): ", status.node);
        let id = endpoint_id(key).map(|id| id.to_string());
        let endpoint = id.as_ref().map(|id| status.endpoints.iter().find(|one| one.name == *id));
        text += &match (&name, endpoint) {
            (Some(name), _) if self.counts.knows(name) => format!("{COUNTERS_ARE_SHARED}\n"),
            (Some(_), _) => "no rule of it is in the kernel, so it has no counters\n".to_owned(),
            (None, Some(Some(endpoint))) => enforced(endpoint, status),
            (None, _) => not_here(key, status, in_force),
        };
        text
    }
}

const COUNTERS_ARE_SHARED: &str = "the counters are of all endpoints of this machine together, since its agent started";

fn enforced(endpoint: &EndpointStatus, status: &Status) -> String {
    let place = match endpoint.interfaces.as_slice() {
        [] => "enforced on no interface".to_owned(),
        names => format!("enforced on {}", names.join(", ")),
    };
    let note = if endpoint.note.is_empty() { String::new() } else { format!(" ({})", endpoint.note) };
    let (now, wanted) = (&status.in_kernel, &status.wanted);
    let behind = match now.generation == wanted.generation {
        true => String::new(),
        false => format!("; generation {} (revision {}) is pending", wanted.generation, wanted.position),
    };
    let kernel = format!("generation {} (revision {}) is in the kernel{behind}", now.generation, now.position);
    format!("{place}{note}; {kernel}\n  {COUNTERS_ARE_SHARED}\n")
}

fn not_here(key: &Key, status: &Status, in_force: &InForce) -> String {
    let snapshot = &in_force.snapshot;
    let of_host =
        snapshot.host_endpoints.get(&key.name).filter(|_| key.kind == Kind::HostEndpoint).map(|one| &one.node);
    let id = tortie_policy::WorkloadId { namespace: key.namespace.clone(), name: key.name.clone() };
    let node = of_host.or_else(|| snapshot.workload_endpoints.get(&id).map(|one| &one.node));
    match node.filter(|node| **node != status.node) {
        Some(node) => format!("the endpoint is on {node}, so nothing of it is in the kernel here\n"),
        None if status.dataplane.busy => "the agent is busy and does not list its endpoints now\n".to_owned(),
        None => "its agent does not list the endpoint, so nothing of it is in the kernel\n".to_owned(),
    }
}
