//! The worlds reach what they are for: every stage, and everything that can decide, comes up often enough.

use std::collections::BTreeMap;

use tortie_eval::judge;
use tortie_testkit::worlds::{Case, Step, World};

/// Worlds looked at.
const WORLDS: u64 = 300;
/// What decides somewhere, by its name in the evaluator.
const DECISIONS: [&str; 21] = [
    "Rule",
    "TierEnd",
    "Profile",
    "NoProfile",
    "Failsafe",
    "Established",
    "Invalid",
    "Nothing",
    "SourceOk",
    "SourceExcepted",
    "SourceWrong",
    "ToLoopback",
    "NeighbourDiscovery",
    "TunnelAllowed",
    "TunnelDenied",
    "UnknownWorkload",
    "HostToWorkload",
    "AcceptedBefore",
    "HostAction",
    "Encapsulation",
    "Accept",
];
/// Where it does.
const STAGES: [&str; 12] = [
    "SourceCheck",
    "UntrackedIn",
    "UntrackedOut",
    "PreDnat",
    "WorkloadToHost",
    "HostIn",
    "ForwardIn",
    "WorkloadEgress",
    "WorkloadIngress",
    "ForwardOut",
    "HostOut",
    "HostOutTranslated",
];

/// How often each name came up.
fn reached() -> BTreeMap<String, u32> {
    let mut reached = BTreeMap::new();
    let mut count = |name: String| *reached.entry(name).or_default() += 1;
    for seed in 1..=WORLDS {
        let case = Case::random(seed);
        let mut world = World::new();
        for step in &case.steps {
            world.apply(step).unwrap();
            if *step != Step::Flush {
                continue;
            }
            for probe in &case.probes {
                for step in judge(&world.snapshot, &world.host, &probe.packet()).path {
                    let text = format!("{:?}", step.decision.by);
                    let inside = text.strip_prefix("Builtin(").unwrap_or(&text);
                    let name: String = inside.chars().take_while(char::is_ascii_alphabetic).collect();
                    count(name);
                    count(format!("{:?}", step.stage));
                    count(format!("{:?}", step.decision.outcome));
                }
            }
        }
    }
    reached
}

#[test]
fn random_worlds_reach_every_stage_and_decision() {
    let reached = reached();
    println!("{reached:#?}");
    let rare: Vec<&str> = DECISIONS
        .into_iter()
        .chain(STAGES)
        .filter(|name| reached.get(*name).is_none_or(|times| u64::from(*times) * 10 < WORLDS))
        .collect();
    assert!(rare.is_empty(), "rarer than once in ten worlds: {rare:?}");
}
