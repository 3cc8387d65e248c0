//! Runs a case: the engine step by step into the fake, and the evaluator from scratch, answer for answer.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tortie_calc::{Engine, Id, Update};
use tortie_dataplane::fake::{Answer, DecidedBy as Expected, Outcome};
use tortie_dataplane::{Dataplane, Fake, Rule, SetId, State};
use tortie_eval::{Builtin, DecidedBy, Verdict, judge};
use tortie_policy::{Item, PolicyId};
use tortie_testkit::worlds::{Case, Change, NODE, Step, World};

/// An engine, and the fake that it tells.
pub(crate) struct Node {
    pub engine: Engine,
    pub fake: Fake,
    /// Policies whose sets stay whether they apply or not.
    everywhere: BTreeMap<PolicyId, bool>,
    /// Something cannot be read. The sets of rules that never match because of that stay.
    pub unreadable: bool,
}

impl Node {
    pub(crate) fn new() -> Self {
        let mut node =
            Self { engine: Engine::new(NODE), fake: Fake::new(), everywhere: Default::default(), unreadable: false };
        World::start().into_iter().for_each(|change| node.take(change).unwrap());
        node
    }

    /// Takes a change; a flush is told to the fake, and checked.
    pub(crate) fn take(&mut self, change: Change) -> Result<(), String> {
        if let Change::Put(Item::Policy(policy)) = &change {
            self.everywhere.insert(policy.id.clone(), policy.everywhere && !policy.staged);
        }
        self.unreadable |= match &change {
            Change::Put(Item::NetworkSet(set)) => set.incomplete,
            Change::Put(Item::EndpointSlice(slice)) => slice.incomplete,
            _ => false,
        };
        match update(change) {
            Some(update) => {
                if let Update::Delete(Id::Policy(id)) = &update {
                    self.everywhere.remove(id);
                }
                self.engine.update(update);
                Ok(())
            }
            None => self.flush(),
        }
    }

    pub(crate) fn flush(&mut self) -> Result<(), String> {
        let before = self.fake.state.clone();
        let delta = self.engine.flush();
        self.fake.apply(&delta).map_err(|broken| format!("broken delta: {broken}"))?;
        let mut kept: BTreeSet<SetId> = SetId::WELL_KNOWN.into_iter().map(SetId::new).collect();
        if self.everywhere.values().any(|everywhere| *everywhere) || self.unreadable {
            // Which sets those are is not known here, so nothing is too much.
            kept.extend(self.fake.state.sets.keys().cloned());
        } else {
            kept.extend(self.fake.state.rules.values().flatten().flat_map(Rule::sets).cloned());
        }
        self.fake.state.check(&kept).map_err(|broken| format!("after a flush: {broken}"))?;
        if !delta.is_empty() && before == self.fake.state {
            return Err(format!("a delta that changes nothing: {delta:?}"));
        }
        let again = self.engine.flush();
        if again.is_empty() { Ok(()) } else { Err(format!("a second flush says more: {again:?}")) }
    }
}

/// The update that a change is; none for a flush.
pub(crate) fn update(change: Change) -> Option<Update> {
    Some(match change {
        Change::Put(item) => Update::Put(item),
        Change::Settings(settings) => Update::Settings(settings),
        Change::Links(links) => Update::Links(links),
        Change::Flush => return None,
        Change::Delete(key) => Update::Delete(Id::named(key).unwrap()),
    })
}

/// Plays a case and says what goes wrong first. A case that makes no sense is no failure.
pub(crate) fn play(case: &Case) -> Result<(), String> {
    let run = catch_unwind(AssertUnwindSafe(|| play_through(case)));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!(
            "panic: {}",
            text.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
        ))
    })
}

fn play_through(case: &Case) -> Result<(), String> {
    let mut world = World::new();
    let mut node = Node::new();
    for (number, step) in case.steps.iter().enumerate() {
        let Ok(changes) = world.apply(step) else { return Ok(()) };
        let at = |problem: String| format!("step {number}: {problem}");
        for change in changes {
            node.take(change).map_err(at)?;
        }
        if *step == Step::Flush {
            compare(&world, &node.fake, case).map_err(at)?;
        }
    }
    Ok(())
}

fn compare(world: &World, fake: &Fake, case: &Case) -> Result<(), String> {
    for (number, probe) in case.probes.iter().enumerate() {
        let packet = probe.packet();
        let verdict = judge(&world.snapshot, &world.host, &packet);
        let answer = fake.judge(&packet);
        if let Some(difference) = difference(&verdict, &answer) {
            return Err(format!("packet {number} {packet:?}: {difference}\neval: {verdict:#?}\nfake: {answer:#?}"));
        }
    }
    Ok(())
}

/// Where the two answers part, stage by stage.
pub(crate) fn difference(verdict: &Verdict, answer: &Answer) -> Option<String> {
    if (verdict.allowed, verdict.rejected, verdict.untracked) != (answer.allowed, answer.rejected, answer.untracked) {
        return Some("another verdict".to_owned());
    }
    for (step, stage) in verdict.path.iter().zip(&answer.stages) {
        let same = format!("{:?}", step.stage) == format!("{:?}", stage.stage)
            && step.interface == stage.interface
            && step.endpoint == stage.endpoint
            && outcome(step.decision.outcome) == stage.outcome
            && decided_by(&step.decision.by) == stage.decided_by;
        if !same {
            return Some(format!("{:?} says {:?}, not {:?}", step.stage, stage.decided_by, step.decision));
        }
    }
    (verdict.path.len() != answer.stages.len()).then(|| "another number of stages".to_owned())
}

fn outcome(outcome: tortie_eval::Outcome) -> Outcome {
    match outcome {
        tortie_eval::Outcome::Pass => Outcome::Pass,
        tortie_eval::Outcome::Accept => Outcome::Accept,
        tortie_eval::Outcome::Deny => Outcome::Deny,
    }
}

fn decided_by(by: &DecidedBy) -> Expected {
    match by.clone() {
        DecidedBy::Rule { tier, id, number } => Expected::Rule { tier, id, number },
        DecidedBy::TierEnd { tier } => Expected::TierEnd { tier },
        DecidedBy::Profile { name, number } => Expected::Profile { name, number },
        DecidedBy::NoProfile => Expected::NoProfile,
        DecidedBy::Failsafe(_) => Expected::Failsafe,
        DecidedBy::Established => Expected::Established,
        DecidedBy::Invalid | DecidedBy::BeginsNothing => Expected::Invalid,
        DecidedBy::Nothing => Expected::Nothing,
        DecidedBy::Builtin(builtin) => match builtin {
            Builtin::SourceOk => Expected::SourceOk,
            Builtin::SourceExcepted => Expected::SourceExcepted,
            Builtin::SourceWrong => Expected::SourceWrong,
            Builtin::ToLoopback => Expected::ToLoopback,
            Builtin::NeighbourDiscovery => Expected::NeighbourDiscovery,
            Builtin::OpenStack => Expected::OpenStack,
            Builtin::TunnelAllowed => Expected::TunnelAllowed,
            Builtin::TunnelDenied => Expected::TunnelDenied,
            Builtin::UnknownWorkload => Expected::UnknownWorkload,
            Builtin::HostToWorkload => Expected::HostToWorkload,
            Builtin::AcceptedBefore => Expected::AcceptedBefore,
            Builtin::HostAction => Expected::HostAction,
            Builtin::Encapsulation => Expected::Encapsulation,
            Builtin::TranslatedLater => Expected::Nothing,
        },
    }
}

/// The state that changes come to, flushed where they say and at the end.
pub(crate) fn state_after(changes: impl IntoIterator<Item = Change>) -> (State, Engine) {
    let mut node = Node::new();
    changes.into_iter().for_each(|change| node.take(change).unwrap());
    node.flush().unwrap();
    (node.fake.state, node.engine)
}
