//! One field of one stored object is damaged: nothing is allowed that was denied, and engine and evaluator agree.

use tortie_api::Kind;
use tortie_eval::{Conntrack, Outcome, Packet, Stage, Verdict, judge};
use tortie_policy::{Item, PolicyStage};
use tortie_testkit::worlds::{Case, Damage, Random, Step, World};

use crate::run::{Node, difference};
use crate::{for_seeds, number};

const WORLDS: u64 = 400;
/// Damaged objects of each world.
const EACH: usize = 12;

/// A world as it is after its first steps.
fn world(case: &Case, flushes: usize) -> World {
    let mut world = World::new();
    let mut left = flushes;
    for step in &case.steps {
        let _ = world.apply(step);
        left -= usize::from(*step == Step::Flush);
        if left == 0 {
            break;
        }
    }
    world
}

/// Which of two endpoints is asked before translation depends on whether the policy is for one of them.
fn is_before_translation(world: &World, damage: &Damage) -> bool {
    let stage = |item: &Item| match item {
        Item::Policy(policy) => matches!(policy.stage, PolicyStage::PreDnat | PolicyStage::Unknown),
        _ => false,
    };
    world.item(&damage.key).is_some_and(stage)
}

/// Which of two workloads an interface is checked against depends on both.
fn is_contested(world: &World, damage: &Damage) -> bool {
    let Some(Item::WorkloadEndpoint(own)) = world.item(&damage.key) else { return false };
    world
        .snapshot
        .workload_endpoints
        .values()
        .any(|other| other.id != own.id && (&other.node, &other.interface) == (&own.node, &own.interface))
}

/// An untracked policy that allows takes a packet out of connection tracking. Where it no longer does, a connection that is
/// still known as established goes on.
fn is_tracked_again(packet: &Packet, was: &Verdict) -> bool {
    let is_untracked = |step: &tortie_eval::Step| {
        matches!(step.stage, Stage::UntrackedIn | Stage::UntrackedOut) && step.decision.outcome == Outcome::Accept
    };
    packet.conntrack == Conntrack::Established && was.path.iter().any(is_untracked)
}

fn check(case: &Case, random: &mut Random) -> Result<(), String> {
    let flushes = 1 + random.below(4);
    let whole = world(case, flushes);
    let Some(damage) = Damage::random(random, &whole.stored()) else { return Ok(()) };
    let mut damaged = whole.clone();
    let (_, invalid) = damaged.put_stored(&damage.key, &damage.bytes);
    let context =
        || format!("{} {:?}: {}\n{invalid:?}", damage.key, damage.path, String::from_utf8_lossy(&damage.bytes));
    let same = damaged.item(&damage.key) == whole.item(&damage.key);
    let told_elsewhere = matches!(
        damage.key.kind,
        Kind::FelixConfiguration | Kind::Node | Kind::IPPool | Kind::StagedKubernetesNetworkPolicy
    );
    if !same && !told_elsewhere && invalid.is_empty() {
        return Err(format!("nobody is told of {}", context()));
    }
    let mut node = Node::new();
    node.unreadable = true;
    for change in damaged.all() {
        node.take(change)?;
    }
    node.flush().map_err(|problem| format!("{problem}\n{}", context()))?;
    let excepted = damage.is_excepted()
        || is_contested(&whole, &damage)
        || is_before_translation(&whole, &damage)
        || is_before_translation(&damaged, &damage);
    for probe in &case.probes {
        let packet = probe.packet();
        let (was, is) =
            (judge(&whole.snapshot, &whole.host, &packet), judge(&damaged.snapshot, &damaged.host, &packet));
        if !excepted && is.allowed && !was.allowed && !is_tracked_again(&packet, &was) {
            return Err(format!(
                "{}\nallows {packet:?}\nwas {:#?}\nis {:#?}",
                context(),
                was.path.last(),
                is.path.last()
            ));
        }
        if let Some(difference) = difference(&is, &node.fake.judge(&packet)) {
            return Err(format!("{}\n{packet:?}: {difference}\n{is:#?}", context()));
        }
    }
    Ok(())
}

/// Damages several objects of the world of a seed, one at a time.
pub(crate) fn try_seed(seed: u64) -> Result<(), String> {
    let case = Case::random(seed);
    let random = &mut Random::new(seed);
    (0..EACH).try_for_each(|round| check(&case, random).map_err(|problem| format!("round {round}: {problem}")))
}

#[test]
fn a_damaged_object_allows_nothing_that_it_denied_and_engine_and_evaluator_agree() {
    for_seeds(number("TORTIE_DAMAGED_WORLDS", WORLDS), |seed| {
        try_seed(seed).unwrap_or_else(|problem| panic!("seed {seed}, {problem}"));
    });
}

/// In this world a policy whose tier cannot be read allows by a selector of which not all members are known: what it allows goes on to
/// the other tiers.
#[test]
fn an_allow_of_an_unreadable_tier_goes_on_also_where_not_all_members_are_known() {
    try_seed(2792).unwrap();
}
