//! What is probably not intended in policies together: rules that no packet reaches, policies that only make endpoints
//! default-deny, and untracked policies that allow traffic but not its replies. Writes and `tortie lint` report it.
//!
//! A rule counts as reachable unless no packet reaches it at any endpoint, so a warning holds for all packets.

use std::collections::{BTreeMap, BTreeSet};

use tortie_eval::{Judge, PolicyList, Subject, TierView, selects};
use tortie_policy::{Action, Direction, EndpointId, GovernedInterfaces, Policy, PolicyId, Rule};

use crate::shortened_list::shortened;

/// How many endpoints are named.
const MAX_NAMED: usize = 3;

/// The kind of a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyWarningKind {
    /// No packet comes to a rule.
    NeverReached,
    /// The policy neither allows nor denies anything, and makes its endpoints default-deny in a direction.
    OnlyCloses,
    /// Untracked traffic whose answers no untracked policy allows.
    UntrackedOneWay,
}

/// A warning about a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWarning {
    /// Its kind.
    pub kind: PolicyWarningKind,
    /// The policy.
    pub policy: PolicyId,
    /// The direction, as the field of the rules is called.
    pub field: &'static str,
    /// The rule, from 0.
    pub rule: Option<usize>,
    /// The message.
    pub message: String,
}

/// A direction of a policy.
type Way = (PolicyId, &'static str);

/// The results from all endpoints.
#[derive(Default)]
struct Found {
    /// For each rule that some endpoint has: why no packet reaches it; none if one may.
    rules: BTreeMap<(PolicyId, &'static str, usize), Option<String>>,
    closing: BTreeMap<Way, BTreeSet<EndpointId>>,
    unanswered: BTreeMap<Way, BTreeSet<EndpointId>>,
}

/// Every warning about the enforced policies.
pub fn policy_warnings(judge: &Judge<'_>) -> Vec<PolicyWarning> {
    found(judge, |_| true)
}

/// The warnings about some of the enforced policies. Only the endpoints that these select are looked at.
pub fn policy_warnings_of(judge: &Judge<'_>, policies: &[&Policy]) -> Vec<PolicyWarning> {
    let concerns = |subject: &Subject| policies.iter().any(|policy| selects(&policy.selector, &subject.labels));
    let mut warnings = found(judge, concerns);
    warnings.retain(|warning| policies.iter().any(|policy| policy.id == warning.policy));
    warnings
}

/// The warnings from these endpoints.
fn found(judge: &Judge<'_>, concerns: impl Fn(&Subject) -> bool) -> Vec<PolicyWarning> {
    let snapshot = judge.snapshot();
    let mut found = Found::default();
    for endpoint in snapshot.host_endpoints.values() {
        let subject = Subject::host(snapshot, endpoint);
        if !concerns(&subject) {
            continue;
        }
        let lists = [PolicyList::PreDnat, PolicyList::Normal, PolicyList::Forward];
        lists.into_iter().for_each(|list| found.look(judge, &subject, list));
        // On `*` no untracked policy acts.
        if endpoint.interface != GovernedInterfaces::All {
            found.look(judge, &subject, PolicyList::Untracked);
            found.look_for_answers(judge, &subject);
        }
    }
    for endpoint in snapshot.workload_endpoints.values() {
        let subject = Subject::workload(snapshot, endpoint);
        if concerns(&subject) {
            found.look(judge, &subject, PolicyList::Normal);
        }
    }
    found.warnings()
}

impl Found {
    /// Follows the packets of one list through the tiers of one endpoint.
    fn look(&mut self, judge: &Judge<'_>, subject: &Subject, list: PolicyList) {
        if subject.unreadable {
            return;
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            let mut before: Option<String> = None;
            for tier in judge.tiers(subject, list, direction).iter() {
                let policies: Vec<&Policy> = enforced(tier).collect();
                let Some(last) = policies.last() else { continue };
                let decides = |rule: &Rule| rule.action.decides();
                if matches!(list, PolicyList::Normal) && tier.denies && !rules(&policies, direction).any(decides) {
                    let closing = self.closing.entry((last.id.clone(), direction.name())).or_default();
                    closing.insert(subject.id.clone());
                }
                let stop = self.follow(tier, &policies, direction, before.as_deref());
                before = before.or(stop);
            }
        }
    }

    /// Follows packets through one tier. Why none goes on to the next one, if so.
    fn follow(
        &mut self,
        tier: &TierView<'_>,
        policies: &[&Policy],
        direction: Direction,
        before: Option<&str>,
    ) -> Option<String> {
        let mut goes_on = false;
        // The rule that decides all packets which come to it, and why nothing comes behind it.
        let mut stop: Option<(&PolicyId, String)> = None;
        for policy in policies {
            for (index, rule) in policy.rules(direction).iter().enumerate() {
                // If a rule of the same policy hides it, the warning `never-matches` says so.
                let hidden = stop.as_ref().filter(|(by, _)| **by != policy.id).map(|(_, why)| why.as_str());
                let why = before.or(hidden);
                let seen = self.rules.entry((policy.id.clone(), direction.name(), index));
                let seen = seen.or_insert_with(|| why.map(str::to_owned));
                if why.is_none() {
                    *seen = None;
                }
                if stop.is_some() || rule.never {
                    continue;
                }
                goes_on |= rule.action == Action::Pass || tier.asked_first && rule.action == Action::Allow;
                if rule.action.decides() && rule.is_any() {
                    let why = format!("{direction} rule {} of {} decides every packet before it", index + 1, policy.id);
                    stop = Some((&policy.id, why));
                }
            }
        }
        if goes_on || stop.is_none() && !tier.denies {
            return None;
        }
        let end = || format!("the end of tier {} denies everything before it that its rules leave", tier.name);
        Some(stop.map_or_else(end, |(_, why)| why))
    }

    /// Looks for untracked traffic whose answers no untracked policy allows.
    fn look_for_answers(&mut self, judge: &Judge<'_>, subject: &Subject) {
        if subject.unreadable {
            return;
        }
        let ways = [Direction::Ingress, Direction::Egress];
        let [ingress, egress] = ways.map(|direction| judge.tiers(subject, PolicyList::Untracked, direction));
        let allows = |policy: &&Policy, way| policy.rules(way).iter().any(|rule| rule.action == Action::Allow);
        for (way, tiers, back, answers) in
            [(ways[0], &ingress, ways[1], &egress), (ways[1], &egress, ways[0], &ingress)]
        {
            if answers.iter().flat_map(enforced).any(|policy| allows(&policy, back)) {
                continue;
            }
            for policy in tiers.iter().flat_map(enforced).filter(|policy| allows(policy, way)) {
                let endpoints = self.unanswered.entry((policy.id.clone(), way.name())).or_default();
                endpoints.insert(subject.id.clone());
            }
        }
    }

    fn warnings(self) -> Vec<PolicyWarning> {
        let unreached = self.rules.into_iter().filter_map(|((policy, field, index), why)| {
            let message = format!("no packet comes to {field} rule {}: {}", index + 1, why?);
            Some(PolicyWarning { kind: PolicyWarningKind::NeverReached, policy, field, rule: Some(index), message })
        });
        let closing = self.closing.into_iter().map(|((policy, field), endpoints)| PolicyWarning {
            kind: PolicyWarningKind::OnlyCloses,
            policy,
            field,
            rule: None,
            message: format!(
                "no {field} rule allows or denies anything, and the policy makes {} default-deny",
                shortened(endpoints.iter().map(EndpointId::for_users), MAX_NAMED)
            ),
        });
        let unanswered = self.unanswered.into_iter().map(|((policy, field), endpoints)| {
            let (what, back) = if field == "ingress" { ("in", "egress") } else { ("out", "ingress") };
            let of = shortened(endpoints.iter().map(EndpointId::for_users), MAX_NAMED);
            PolicyWarning {
                kind: PolicyWarningKind::UntrackedOneWay,
                policy,
                field,
                rule: None,
                message: format!(
                    "what is allowed {what} here is not tracked, and no untracked {back} rule of {of} allows its answers"
                ),
            }
        });
        unreached.chain(closing).chain(unanswered).collect()
    }
}

fn enforced<'a>(tier: &TierView<'a>) -> impl Iterator<Item = &'a Policy> {
    tier.policies.clone().into_iter().filter(|policy| !policy.staged)
}

fn rules<'a>(policies: &[&'a Policy], direction: Direction) -> impl Iterator<Item = &'a Rule> {
    policies.iter().flat_map(move |policy| policy.rules(direction)).collect::<Vec<_>>().into_iter()
}
