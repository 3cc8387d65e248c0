//! Random worlds without their rules' conditional parts: what decides about any packet is the default of the endpoint.

#![allow(clippy::unwrap_used)]

use tortie_eval::{DecidedBy, DefaultDecision, PolicyList, Stage, Step, Subject, judge};
use tortie_policy::{EndpointId, Rule, Snapshot};
use tortie_testkit::worlds::{Case, Probe, World};

/// Rules with a condition match nothing.
fn without_conditions(snapshot: &mut Snapshot) {
    let silence = |rule: &mut Rule| rule.never |= !rule.is_any();
    for policy in snapshot.policies.values_mut() {
        policy.ingress.iter_mut().chain(&mut policy.egress).for_each(silence);
    }
    for profile in snapshot.profiles.values_mut() {
        profile.ingress.iter_mut().chain(&mut profile.egress).for_each(silence);
    }
}

fn default_of(snapshot: &Snapshot, step: &Step) -> Option<DefaultDecision> {
    let subject = match step.endpoint.as_ref()? {
        EndpointId::Host(name) => Subject::host(snapshot, snapshot.host_endpoints.get(name)?),
        EndpointId::Workload(id) => Subject::workload(snapshot, snapshot.workload_endpoints.get(id)?),
    };
    let list = match step.stage {
        Stage::UntrackedIn | Stage::UntrackedOut => PolicyList::Untracked,
        Stage::PreDnat => PolicyList::PreDnat,
        Stage::ForwardIn | Stage::ForwardOut => PolicyList::Forward,
        _ => PolicyList::Normal,
    };
    Some(subject.default_decision(snapshot, list, step.direction))
}

fn is_same(by: &DecidedBy, default: &DefaultDecision) -> bool {
    match (by, default) {
        (DecidedBy::Rule { id, number, .. }, DefaultDecision::Rule { id: own, number: at, .. }) => {
            (id, number) == (own, at)
        }
        (DecidedBy::TierEnd { tier }, DefaultDecision::TierEnd { tier: own }) => tier == own,
        (
            DecidedBy::Profile { name, number: Some(number) },
            DefaultDecision::ProfileRule { name: own, number: at, .. },
        ) => (name, number) == (own, at),
        (DecidedBy::Profile { number: None, .. } | DecidedBy::NoProfile, DefaultDecision::Profiles(_)) => true,
        (DecidedBy::NoProfile, DefaultDecision::NoProfile) | (DecidedBy::Nothing, DefaultDecision::GoesOn) => true,
        _ => false,
    }
}

#[test]
fn without_conditional_rules_the_evaluator_decides_by_the_default() {
    let (mut rules, mut ends, mut profiles, mut others) = (0, 0, 0, 0);
    for seed in 0..300 {
        let case = Case::random(seed);
        let mut world = World::new();
        case.steps.iter().for_each(|step| drop(world.apply(step)));
        without_conditions(&mut world.snapshot);
        for packet in case.probes.iter().map(Probe::packet) {
            for step in judge(&world.snapshot, &world.host, &packet).path {
                let by_policy = matches!(
                    step.decision.by,
                    DecidedBy::Rule { .. }
                        | DecidedBy::TierEnd { .. }
                        | DecidedBy::Profile { .. }
                        | DecidedBy::NoProfile
                        | DecidedBy::Nothing
                );
                let Some(default) = default_of(&world.snapshot, &step).filter(|_| by_policy) else { continue };
                assert!(is_same(&step.decision.by, &default), "seed {seed}: {default:?}\n{step:#?}");
                match default {
                    DefaultDecision::Rule { .. } => rules += 1,
                    DefaultDecision::TierEnd { .. } => ends += 1,
                    DefaultDecision::ProfileRule { .. } => profiles += 1,
                    _ => others += 1,
                }
            }
        }
    }
    assert!(rules > 20 && ends > 100, "{rules} rules, {ends} ends of tiers");
    assert!(profiles > 20 && others > 100, "{profiles} rules of profiles, {others} others");
}
