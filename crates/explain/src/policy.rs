//! What one policy does: whom it selects, what its rules say, and which of them can never match: `tortie explain gnp/NAME`.

mod failsafes;
mod json;
mod name;
mod never_matching;
mod rule_text;
mod text;

use std::collections::BTreeMap;

use tortie_api::Key;
use tortie_eval::{PolicyList, Subject};
use tortie_policy::{Direction, EndpointId, Policy, PolicyStage, Rule, Snapshot, Tier};

use crate::topology::node_text;

use failsafes::{Failsafes, says_the_same};
pub use json::json;
pub use name::PolicyName;
use never_matching::Lookups;
pub use never_matching::{LIMIT, Sample, Use};
pub(crate) use rule_text::rule as rule_words;
pub(crate) use text::rules as list_rules;
pub use text::text;

/// A policy and what it comes to.
pub struct About<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Its tier; none when it does not exist as a resource.
    pub tier: Option<&'a Tier>,
    /// The endpoints that it applies to, by node.
    pub endpoints: BTreeMap<String, Vec<EndpointId>>,
    /// What of it could not be converted.
    pub left_out: &'a [String],
    /// The directions that it speaks about.
    pub directions: Vec<Side>,
}

/// The rules of a policy in one direction.
pub struct Side {
    /// The direction.
    pub direction: Direction,
    /// Its rules in words, in order.
    pub rules: Vec<DescribedRule>,
    /// How many classes of packets its rules distinguish.
    pub classes: u128,
    /// Whether the end of its tier denies there, and why where that is not by the tier's own setting. None where no
    /// endpoint is selected, and for staged policies.
    pub end: Option<(bool, Option<&'static str>)>,
    /// Whether failsafes were looked at.
    pub failsafes_checked: bool,
}

/// One rule.
pub struct DescribedRule {
    /// In words.
    pub words: String,
    /// Whether it can match.
    pub used: Use,
    /// Why failsafes keep all of its packets from it, in words that follow its name; none if they do not, or if that was not checked.
    pub behind_failsafes: Option<String>,
}

/// Looks at a policy.
pub fn about<'a>(snapshot: &'a Snapshot, policy: &'a Policy) -> About<'a> {
    let selected = selected(snapshot, policy);
    let mut endpoints: BTreeMap<String, Vec<EndpointId>> = BTreeMap::new();
    for (node, subject) in &selected {
        endpoints.entry(node_text(node).to_owned()).or_default().push(subject.id.clone());
    }
    let spoken = [Direction::Ingress, Direction::Egress].into_iter().filter(|direction| policy.applies_to(*direction));
    let found = Lookups::new(snapshot);
    let failsafes = Failsafes::new(&found);
    let directions = spoken.map(|direction| {
        let end = selected.first().filter(|_| !policy.staged).and_then(|(_, subject)| {
            let tiers = subject.tiers(snapshot, list(policy.stage), direction);
            tiers.into_iter().find(|tier| tier.name == policy.tier).map(|tier| (tier.denies, tier.note))
        });
        let mut side = side(&found, direction, policy.rules(direction), Some(policy.stage));
        let before = failsafes.before(policy, direction);
        let failsafes_checked = before.is_ok();
        for (rule, before) in side.rules.iter_mut().zip(before.into_iter().flatten()) {
            rule.behind_failsafes = before;
        }
        Side { end, failsafes_checked, ..side }
    });
    let directions = directions.collect();
    let key = Key { kind: policy.id.kind, namespace: policy.id.namespace.clone(), name: policy.id.name.clone() };
    let left_out = snapshot.left_out.get(&key).map_or(&[][..], Vec::as_slice);
    About { policy, tier: snapshot.tiers.get(&policy.tier), endpoints, left_out, directions }
}

/// The rules of one direction of a profile, without what comes after them.
pub(crate) fn profile_side(snapshot: &Snapshot, direction: Direction, rules: &[Rule]) -> Side {
    side(&Lookups::new(snapshot), direction, rules, None)
}

/// The rules of one direction, without what comes after them and failsafes; of a policy its stage.
fn side(found: &Lookups<'_>, direction: Direction, rules: &[Rule], stage: Option<PolicyStage>) -> Side {
    let with_invalid = never_matching::reached_by_invalid(found.snapshot, stage);
    let (classes, uses) = never_matching::uses(found, rules, with_invalid);
    let told = rules.iter().zip(uses).map(|(rule, used)| DescribedRule {
        words: rule_text::rule(rule),
        used,
        behind_failsafes: None,
    });
    Side { direction, rules: told.collect(), classes, end: None, failsafes_checked: false }
}

/// A rule that can match no packet: its direction and number (from 1), and why.
pub type UnusedRule = (Direction, usize, String);

/// The rules of each policy that can match no packet, judged by the policy itself, the endpoints and the sets. Endpoints and sets are
/// read once for all policies.
pub fn unused_rules(snapshot: &Snapshot, policies: &[&Policy]) -> Vec<Vec<UnusedRule>> {
    let found = Lookups::new(snapshot);
    policies.iter().map(|policy| unused(&found, policy)).collect()
}

/// The rules of each policy that no packet comes to, since failsafes let all that they match through before, on every endpoint
/// that the policy selects. Rules that allow a port for everyone, as failsafes do, are left out.
pub fn rules_behind_failsafes(snapshot: &Snapshot, policies: &[&Policy]) -> Vec<Vec<UnusedRule>> {
    let found = Lookups::new(snapshot);
    let failsafes = Failsafes::new(&found);
    let of = |policy: &Policy, direction| {
        let rules = policy.rules(direction).iter().zip(failsafes.before(policy, direction).into_iter().flatten());
        let rules = rules.enumerate();
        let told = rules.filter(|(_, (rule, _))| !says_the_same(rule));
        let told =
            told.filter_map(|(at, (_, before))| Some((direction, at + 1, format!("never matches: {}", before?))));
        told.collect::<Vec<_>>()
    };
    let directions = |policy: &Policy| {
        let spoken = [Direction::Ingress, Direction::Egress].into_iter();
        spoken.filter(|direction| policy.applies_to(*direction)).flat_map(|direction| of(policy, direction)).collect()
    };
    policies.iter().map(|policy| directions(policy)).collect()
}

fn unused(found: &Lookups<'_>, policy: &Policy) -> Vec<UnusedRule> {
    let spoken = [Direction::Ingress, Direction::Egress].into_iter().filter(|direction| policy.applies_to(*direction));
    let with_invalid = never_matching::reached_by_invalid(found.snapshot, Some(policy.stage));
    let of = |direction| {
        let (_, uses) = never_matching::uses(found, policy.rules(direction), with_invalid);
        uses.into_iter().enumerate().filter_map(move |(at, used)| Some((direction, at + 1, text::unused(&used)?)))
    };
    spoken.flat_map(of).collect()
}

fn list(stage: PolicyStage) -> PolicyList {
    match stage {
        PolicyStage::Untracked => PolicyList::Untracked,
        PolicyStage::PreDnat => PolicyList::PreDnat,
        PolicyStage::Normal { .. } | PolicyStage::Unknown => PolicyList::Normal,
    }
}

/// The endpoints that a policy applies to, with their nodes.
pub(crate) fn selected<'a>(snapshot: &'a Snapshot, policy: &Policy) -> Vec<(&'a str, Subject)> {
    let hosts = snapshot.host_endpoints.values().map(|one| (one.node.as_str(), Subject::host(snapshot, one)));
    let has_workloads = !matches!(policy.stage, PolicyStage::Untracked | PolicyStage::PreDnat);
    let workloads = snapshot.workload_endpoints.values().filter(|_| has_workloads);
    let workloads = workloads.map(|one| (one.node.as_str(), Subject::workload(snapshot, one)));
    hosts.chain(workloads).filter(|(_, subject)| is_selected(policy, subject)).collect()
}

/// Whether a policy applies to an endpoint.
fn is_selected(policy: &Policy, subject: &Subject) -> bool {
    !subject.unreadable && policy.selector.matches(&subject.labels)
}
