//! Builds the status that `tortie status` shows, when a client asks.

use std::collections::BTreeMap;
use std::sync::TryLockError;
use std::time::{Duration, Instant};

use tortie_api::Key;
use tortie_dataplane::{Endpoint, Owner, Place, Program, ProgramEnd, ProgramId, RulesId, State, first_catch_all};
use tortie_hostnet::has_prefix;
use tortie_policy::machine::Machine;
use tortie_policy::{Action, EndpointId};
use tortie_store::{Effect, LeftOut};
use tortie_sync::{Unreadable, first_reasons};

use crate::dataplane_thread::SharedDataplane;
use crate::not_in_force;
use crate::status::{DataplaneStatus, EndpointStatus, InterfaceStatus, StageStatus, Status, TroubleStatus};
use crate::status_cell::{StatusCell, StatusRecord};
use crate::unsupported_features;

/// How long to wait for a busy dataplane before answering without it.
const DATAPLANE_TIMEOUT: Duration = Duration::from_secs(2);

/// What is in force of a FelixConfiguration with an unusable setting.
pub(crate) const OTHER_SETTINGS: &str = "its other settings count";

/// Builds the status. `left_out` lists what the store could not convert.
pub(crate) fn status(node: &str, status: &StatusCell, dataplane: &SharedDataplane, left_out: Vec<LeftOut>) -> Status {
    let mut reading = DataplaneReading { busy: true, ..DataplaneReading::default() };
    let deadline = Instant::now() + DATAPLANE_TIMEOUT;
    while reading.busy && Instant::now() < deadline {
        match dataplane.try_lock() {
            Ok(dataplane) => {
                reading = DataplaneReading {
                    busy: false,
                    name: dataplane.name(),
                    refused: dataplane.refused(),
                    endpoints: endpoints(dataplane.state()),
                    prefixes: prefixes(dataplane.state()),
                };
            }
            Err(TryLockError::Poisoned(_)) => break,
            Err(TryLockError::WouldBlock) => drop(status.wait(Duration::from_millis(20), |_| false)),
        }
    }
    // Without the ports, no endpoint is listed as one on the port of a bridge or bond.
    let machine = tortie_hostnet::masters().unwrap_or_default();
    let failure = status.supervisor.failure();
    let record = status.read();
    let governors: BTreeMap<&Place, &EndpointId> =
        reading.endpoints.iter().map(|(place, one)| (place, &one.id)).collect();
    Status {
        node: node.to_owned(),
        unaccepted_name: record.unaccepted_name.clone(),
        off: record.off.clone(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: failure.is_none() && record.is_ready() && record.off.is_none(),
        store: record.store_status(),
        received: {
            let mut received = record.lag.received.clone();
            received.advance(&record.wanted.position);
            received
        },
        lag: record.lag.status(),
        wanted: record.wanted.clone(),
        in_kernel: record.in_kernel.clone(),
        adopted: if record.programmed { String::new() } else { record.adopted.clone() },
        dataplane: DataplaneStatus {
            name: reading.name,
            failing: record.failing.clone(),
            failures: record.failures,
            repairs: record.repairs,
            refused: reading.refused,
            busy: reading.busy,
        },
        endpoints: all_endpoints(&record, &reading.endpoints, &machine, &reading.prefixes),
        // Endpoints of an earlier agent may govern them.
        interfaces: if record.programmed {
            interfaces(&record, &governors, &machine, &reading.prefixes)
        } else {
            Vec::new()
        },
        troubles: unreadable(&record, &left_out)
            .map(|(key, unreadable)| TroubleStatus {
                object: key.to_string(),
                reasons: unreadable.reasons,
                in_force: unreadable.replacement.to_string(),
            })
            .chain(record.unreadable_settings.iter().map(|(key, reasons)| TroubleStatus {
                object: key.to_string(),
                reasons: reasons.clone(),
                in_force: OTHER_SETTINGS.to_owned(),
            }))
            .chain(unreadable_parts(&record, &left_out))
            .collect(),
        settings: record.settings.clone(),
        host_settings: record.host_settings.clone(),
        notes: record
            .notes
            .iter()
            .flat_map(|(what, why)| why.lines().map(move |line| format!("{what}: {line}")))
            .chain(unsupported_features::bgp(&record.counts))
            .chain(self::ignored(&left_out))
            .collect(),
        problems: record
            .problems
            .iter()
            .map(|(what, why)| format!("{what}: {why}"))
            .chain(failure.map(|failure| format!("threads: {failure}")))
            .chain(record.network.iter().map(|why| format!("the network of workloads: {why}")))
            .chain(
                passed_by(&record, &machine, &reading.prefixes)
                    .into_iter()
                    .map(|why| format!("packets pass by what is enforced: {why}")),
            )
            .collect(),
    }
}

/// How many lines about fields that could not be converted are shown.
const LEFT_OUT: usize = 100;

/// The objects of which the store could not convert parts that could have decided about packets, without those that are unreadable
/// for another reason too.
fn unreadable_parts(record: &StatusRecord, left_out: &[LeftOut]) -> Vec<TroubleStatus> {
    let mut objects: BTreeMap<&Key, (Effect, Vec<String>)> = BTreeMap::new();
    for one in left_out.iter().filter(|one| one.effect != Effect::Ignored && !record.unreadable.contains_key(&one.key))
    {
        let (effect, reasons) = objects.entry(&one.key).or_insert((one.effect, Vec::new()));
        *effect = one.effect.max(*effect);
        reasons.push(one.text.clone());
    }
    let trouble = |(key, (effect, reasons)): (&Key, (Effect, Vec<String>))| TroubleStatus {
        object: key.to_string(),
        reasons,
        in_force: effect.in_force().unwrap_or_default().to_owned(),
    };
    objects.into_iter().map(trouble).collect()
}

/// The unreadable objects, with what the store says of their parts.
fn unreadable<'a>(record: &'a StatusRecord, left_out: &'a [LeftOut]) -> impl Iterator<Item = (&'a Key, Unreadable)> {
    record.unreadable.iter().map(|(key, unreadable)| {
        let parts = left_out.iter().filter(|one| one.key == *key && one.effect != Effect::Ignored);
        (key, unreadable.with_parts(&parts.map(|one| one.text.clone()).collect::<Vec<_>>()))
    })
}

/// The objects that are unreadable, or not readable as a whole, a line for each.
pub(crate) fn unreadable_lines(record: &StatusRecord, left_out: &[LeftOut]) -> Vec<String> {
    let line =
        |one: TroubleStatus| format!("{}: {}; {}", one.object, first_reasons(&one.reasons).join("; "), one.in_force);
    let objects = unreadable(record, left_out).map(|(key, one)| format!("{key}: {one}"));
    objects.chain(unreadable_parts(record, left_out).into_iter().map(line)).collect()
}

/// How many objects there are of which the store could not convert such parts.
pub(crate) fn unreadable_part_count(record: &StatusRecord, left_out: &[LeftOut]) -> usize {
    unreadable_parts(record, left_out).len()
}

/// The notes about what the store could not convert, and Calico ignores too.
fn ignored(left_out: &[LeftOut]) -> Vec<String> {
    let ignored: Vec<&LeftOut> = left_out.iter().filter(|one| one.effect == Effect::Ignored).collect();
    let more = ignored.len().saturating_sub(LEFT_OUT);
    let line = |one: &&LeftOut| format!("left out: {}: {}", one.key.for_users(), one.text);
    let mut notes: Vec<String> = ignored.iter().take(LEFT_OUT).map(line).collect();
    if more > 0 {
        notes.push(format!("left out: {more} more"));
    }
    notes
}

#[derive(Default)]
struct DataplaneReading {
    busy: bool,
    name: String,
    refused: Vec<(String, String)>,
    endpoints: Vec<(Place, Enforced)>,
    prefixes: Vec<String>,
}

/// An endpoint in force.
struct Enforced {
    id: EndpointId,
    stages: Vec<StageStatus>,
    note: String,
}

fn endpoints(state: &State) -> Vec<(Place, Enforced)> {
    let one = |(place, endpoint): (&Place, &Endpoint)| {
        let (mut stages, mut note) = (stages(state, endpoint), String::new());
        if *place == Place::AnyHost {
            let vain: Vec<String> = stages.extract_if(.., is_untracked).flat_map(|stage| stage.policies).collect();
            if !vain.is_empty() {
                note = format!("untracked policy does not act on *: {}", vain.join(", "));
            }
        }
        (place.clone(), Enforced { id: endpoint.id.clone(), stages, note })
    };
    state.endpoints.iter().map(one).collect()
}

fn is_untracked(stage: &mut StageStatus) -> bool {
    stage.stage == "untracked"
}

fn stages(state: &State, endpoint: &Endpoint) -> Vec<StageStatus> {
    let programs = &endpoint.programs;
    let all: [(&str, &str, Option<ProgramId>); 7] = [
        ("untracked", "ingress", programs.untracked.ingress),
        ("untracked", "egress", programs.untracked.egress),
        ("preDNAT", "ingress", programs.pre_dnat),
        ("normal", "ingress", Some(programs.normal.ingress)),
        ("normal", "egress", Some(programs.normal.egress)),
        ("forward", "ingress", programs.forward.ingress),
        ("forward", "egress", programs.forward.egress),
    ];
    let describe = |(stage, direction, id): &(&str, &str, Option<ProgramId>)| {
        let program = state.programs.get(&(*id)?)?;
        Some(StageStatus {
            stage: (*stage).to_owned(),
            direction: (*direction).to_owned(),
            policies: policies(program),
            then: then(state, stage, program),
        })
    };
    all.iter().filter_map(describe).collect()
}

/// The policies of a program in their order, each with its tier.
pub(crate) fn policies(program: &Program) -> Vec<String> {
    let of = |tier: &tortie_dataplane::Tier| {
        let name = tier.name.clone();
        tier.policies.iter().map(move |policy| format!("{name}/{policy}")).collect::<Vec<_>>()
    };
    program.tiers.iter().flat_map(of).collect()
}

/// What happens to packets that match no rule with a condition. A rule without a condition decides before the end of its tier
/// does, or skips it.
fn then(state: &State, stage: &str, program: &Program) -> String {
    for tier in &program.tiers {
        let first = tier.policies.iter().find_map(|policy| {
            let id = RulesId { owner: Owner::Policy(policy.clone()), direction: program.direction };
            let rule = first_catch_all(state.rules.get(&id)?)?;
            Some((policy, rule))
        });
        match first {
            Some((policy, rule)) => match rule.action {
                Action::Allow => return format!("allowed by {policy} rule {}", rule.number),
                Action::Deny => return format!("denied by {policy} rule {}", rule.number),
                Action::Pass | Action::Log => {}
            },
            None if tier.denies => return format!("denied by the end of tier {}", tier.name),
            None => {}
        }
    }
    match &program.then {
        ProgramEnd::Pass if matches!(stage, "untracked" | "preDNAT") => {
            let name = if stage == "untracked" { "untracked" } else { "pre-DNAT" };
            format!("packets that no {name} policy matches go on to the next stage")
        }
        ProgramEnd::Pass => "allowed".to_owned(),
        ProgramEnd::Deny => "denied".to_owned(),
        ProgramEnd::Profiles(profiles) if profiles.is_empty() => "denied, no profile allows it".to_owned(),
        ProgramEnd::Profiles(profiles) => {
            let decided = profiles.iter().find_map(|profile| {
                let id = RulesId { owner: Owner::Profile(profile.name.clone()), direction: program.direction };
                Some((profile, first_catch_all(state.rules.get(&id)?)?))
            });
            match decided {
                Some((profile, rule)) if rule.action == Action::Allow => {
                    return format!("allowed by profile {} rule {}", profile.name, rule.number);
                }
                Some((profile, rule)) if rule.action == Action::Deny => {
                    return format!("denied by profile {} rule {}", profile.name, rule.number);
                }
                _ => {}
            }
            let name = |profile: &tortie_dataplane::Profile| {
                format!("{}{}", profile.name, if profile.missing { " (missing)" } else { "" })
            };
            format!("profiles {}, then denied", profiles.iter().map(name).collect::<Vec<_>>().join(", "))
        }
    }
}

/// The endpoints that the store has for this node, enforced or not, and others that are still enforced.
fn all_endpoints(
    record: &StatusRecord,
    enforced: &[(Place, Enforced)],
    machine: &Machine,
    prefixes: &[String],
) -> Vec<EndpointStatus> {
    let mut all: BTreeMap<String, EndpointStatus> = BTreeMap::new();
    for (place, one) in enforced {
        let status = all.entry(one.id.to_string()).or_default();
        status.name = one.id.to_string();
        status.interfaces.push(place_name(place));
        status.stages.clone_from(&one.stages);
        status.note.clone_from(&one.note);
        let name = place_name(place);
        if !matches!(place, Place::AnyHost) && !record.links.contains_key(&name) {
            status.note = format!("{name} does not exist; its policy is in force from the moment it appears");
        }
        if let (Place::Host(_), Some(port)) = (place, machine.port(&name)) {
            status.note =
                format!("{name} is a port of {} {}: its packets are judged there, not here", port.kind, port.master);
        }
        if let Place::Workload(_) = place
            && record.links.contains_key(&name)
            && let Some(why) = machine.passes_by(&name, |other| has_prefix(other, prefixes))
        {
            status.note = format!("packets pass by this policy: {why}");
        }
        if !record.named_interfaces.contains_key(&one.id) {
            status.note = "it is not in the store any more".to_owned();
        }
    }
    let unreadable = not_in_force::without_readable_interface(&record.named_interfaces);
    let governor = |place: Place| enforced.iter().find(|(at, _)| *at == place).map(|(_, one)| one.id.for_users());
    for (id, named) in &record.named_interfaces {
        let name = id.to_string();
        all.entry(name.clone()).or_insert_with(|| EndpointStatus {
            name,
            note: format!("not in force: {}", not_in_force::why(named, unreadable.as_deref(), &governor, prefixes)),
            ..Default::default()
        });
    }
    all.into_values().collect()
}

pub(crate) fn place_name(place: &Place) -> String {
    match place {
        Place::Workload(name) | Place::Host(name) => name.clone(),
        Place::AnyHost => "*".to_owned(),
    }
}

/// The prefixes of workloads' interfaces, as they are in force.
pub(crate) fn prefixes(state: &State) -> Vec<String> {
    state.host.as_ref().map(|host| host.settings.interface_prefixes.clone()).unwrap_or_default()
}

/// The interfaces of workloads whose packets pass by what is enforced at them: the reasons.
pub(crate) fn passed_by(record: &StatusRecord, machine: &Machine, prefixes: &[String]) -> Vec<String> {
    let is_workload = |name: &str| has_prefix(name, prefixes);
    let names = record.links.keys().filter(|name| is_workload(name));
    names.filter_map(|name| machine.passes_by(name, is_workload)).collect()
}

fn interfaces(
    record: &StatusRecord,
    governors: &BTreeMap<&Place, &EndpointId>,
    machine: &Machine,
    prefixes: &[String],
) -> Vec<InterfaceStatus> {
    let one = |link: &tortie_policy::packet::Link| {
        let workload = has_prefix(&link.name, prefixes);
        let port_of = machine.port(&link.name).map(|port| format!("{} {}", port.kind, port.master));
        let places = if workload {
            [Some(Place::Workload(link.name.clone())), None]
        } else {
            [Some(Place::Host(link.name.clone())), Some(Place::AnyHost)]
        };
        let governor = places.iter().flatten().find_map(|place| governors.get(place));
        InterfaceStatus {
            name: link.name.clone(),
            addresses: link.addresses.iter().map(ToString::to_string).collect(),
            endpoint: governor.map(ToString::to_string),
            closed: workload && governor.is_none() && port_of.is_none(),
            port_of,
        }
    };
    record.links.values().map(one).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tortie_dataplane::{Rule, Tier};
    use tortie_policy::{Direction, PolicyId};

    use super::*;

    #[test]
    fn the_default_is_that_of_the_first_tier_whose_end_packets_can_reach() {
        let mut state = State::default();
        let rule = |number, action| Rule {
            number,
            action,
            family: None,
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: Default::default(),
            destination: Default::default(),
        };
        let mut tier = |name: &str, action: Action| {
            let policy = Arc::new(PolicyId {
                kind: tortie_api::Kind::GlobalNetworkPolicy,
                namespace: String::new(),
                name: format!("{name}.p"),
            });
            let id = RulesId { owner: Owner::Policy(policy.clone()), direction: Direction::Ingress };
            let udp = Rule { protocol: Some(tortie_net::Protocol::UDP), ..rule(1, Action::Deny) };
            state.rules.insert(id, vec![udp, rule(2, action)]);
            Tier { name: name.into(), policies: vec![policy], denies: true }
        };
        let (passes, logs, allows) = (tier("a", Action::Pass), tier("b", Action::Log), tier("c", Action::Allow));
        let default_of = |tiers: &[&Tier]| {
            let tiers = tiers.iter().map(|tier| (*tier).clone()).collect();
            then(&state, "normal", &Program { direction: Direction::Ingress, tiers, then: ProgramEnd::Deny })
        };
        assert_eq!(default_of(&[&passes, &logs, &allows]), "denied by the end of tier b");
        assert_eq!(default_of(&[&passes, &allows, &logs]), "allowed by gnp c.p rule 2");
        assert_eq!(default_of(&[&passes]), "denied");
        assert_eq!(default_of(&[]), "denied");
        let profile = |name: &str, action| {
            let id = RulesId { owner: Owner::Profile(name.into()), direction: Direction::Ingress };
            let udp = Rule { protocol: Some(tortie_net::Protocol::UDP), ..rule(1, Action::Deny) };
            (id, vec![udp, rule(2, action)])
        };
        state.rules.extend([profile("open", Action::Allow), profile("logs", Action::Log)]);
        let by_profiles = |names: &[&str]| {
            let profile = |name: &&str| tortie_dataplane::Profile { name: (**name).into(), missing: false };
            let then = ProgramEnd::Profiles(names.iter().map(profile).collect());
            self::then(&state, "normal", &Program { direction: Direction::Ingress, tiers: Vec::new(), then })
        };
        assert_eq!(by_profiles(&["logs", "open"]), "allowed by profile open rule 2");
        assert_eq!(by_profiles(&["logs"]), "profiles logs, then denied");
    }
}
