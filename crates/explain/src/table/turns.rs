//! The ports at which an answer may turn into another: those named by what decides on ports alone.
//!
//! A rule that fails for another reason than the port fails on every port. So an answer holds from its port up to the
//! next of these, and none of what it does not mention needs a look.

use tortie_eval::{Entry, RuleStep, Step, StepKind};
use tortie_net::Protocol;
use tortie_policy::{Direction, NamedPort, PortMatch, Rule, Snapshot};

use crate::journey::Leg;

/// Puts the first port, and the first behind the last, of all that the packet meets on a node.
pub(super) fn turns(snapshot: &Snapshot, leg: &Leg, protocol: Protocol, mut put: impl FnMut(u16)) {
    let mut range = |first: u16, last: u16| {
        put(first.max(1));
        last.checked_add(1).into_iter().for_each(&mut put);
    };
    let settings = snapshot.settings(&leg.host.node);
    for failsafe in settings.failsafe_inbound.iter().chain(&settings.failsafe_outbound) {
        if failsafe.protocol == protocol {
            range(failsafe.port, failsafe.port);
        }
    }
    if protocol == Protocol::UDP {
        let tunnels = [Some(settings.vxlan_port), settings.wireguard, settings.wireguard_v6];
        tunnels.into_iter().flatten().for_each(|port| range(port, port));
    }
    for (rule, matched_but_for_ports) in leg.verdict.path.iter().flat_map(|step| rules(snapshot, step)) {
        if !matched_but_for_ports {
            continue;
        }
        for entry in rule.destination.ports.iter().chain(&rule.destination.not_ports) {
            match entry {
                PortMatch::Range(ports) => range(ports.first(), ports.last()),
                PortMatch::Named(name) => {
                    let named = ports_there(snapshot, leg).filter(|one| one.name == *name && one.protocol == protocol);
                    named.for_each(|one| range(one.port, one.port));
                }
            }
        }
        let service = rule.destination.service.as_ref().and_then(|id| snapshot.services.get(id));
        for member in service.into_iter().flat_map(|service| &service.members) {
            range(member.port, member.port);
        }
    }
}

/// The rules that a step has reached, and whether all but their ports holds.
fn rules<'a>(snapshot: &'a Snapshot, step: &'a Step) -> impl Iterator<Item = (&'a Rule, bool)> {
    let list = move |entry: &'a Entry| -> (&'a [Rule], &'a [RuleStep]) {
        match &entry.kind {
            StepKind::Policy { id, staged: false, rules, .. } => {
                (snapshot.policies.get(id).map_or(&[], |policy| policy.rules(step.direction)), rules)
            }
            StepKind::Profile { name, rules, .. } => {
                let profile = snapshot.profiles.get(name);
                let list = profile.map_or(&[][..], |profile| match step.direction {
                    Direction::Ingress => &profile.ingress,
                    Direction::Egress => &profile.egress,
                });
                (list, rules)
            }
            _ => (&[], &[]),
        }
    };
    step.entries.iter().filter(|entry| entry.reached).map(list).flat_map(|(list, asked)| {
        let of_ports =
            |field: &str| matches!(field, "destination.ports" | "destination.notPorts" | "destination.services");
        list.iter().zip(asked).map(move |(rule, step)| (rule, step.misses.iter().all(|why| of_ports(why.field))))
    })
}

/// The named ports of endpoints that the packet may be for, before a translation or after it.
fn ports_there<'a>(snapshot: &'a Snapshot, leg: &'a Leg) -> impl Iterator<Item = &'a NamedPort> {
    let mut targets = vec![leg.packet.destination];
    targets.extend(leg.packet.translated.map(|(address, _)| address));
    let there = targets.clone();
    let workloads = snapshot.workload_endpoints.values().filter(move |one| {
        targets.iter().any(|to| one.addresses.contains(to) || one.nats.iter().any(|nat| nat.external == *to))
    });
    let hosts = snapshot.host_endpoints.values();
    let hosts = hosts.filter(move |one| there.iter().any(|to| one.addresses.contains(to)));
    workloads.flat_map(|one| &one.ports).chain(hosts.flat_map(|one| &one.ports))
}
