//! What an endpoint's tiers and profiles say to a packet, in one list and direction: tiers in
//! order, the end of each tier, profiles, and the default.

use tortie_policy::{Action, Direction, Policy, Rule, Snapshot};

use crate::governing::{PolicyList, Subject, TierView};
use crate::matching::{Match, PacketHeader, matching};
use crate::members::AddressOwners;
use crate::verdict::{DecidedBy, Decision, Entry, EntryKind, Outcome, RuleStep};

/// How far the evaluation is. What comes after the decision is still evaluated, for users.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    header: &'a PacketHeader,
    /// Whether the path has the reasons why rules do not match, and the rules after the decision.
    reasons: bool,
    /// The endpoints and sets at the packet's source and destination.
    ends: [&'a AddressOwners<'a>; 2],
    entries: Vec<Entry>,
    decision: Option<Decision>,
}

/// What is asked.
pub(crate) struct Asked<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) subject: &'a Subject,
    /// The subject's tiers in this list and direction.
    pub(crate) tiers: &'a [TierView<'a>],
    pub(crate) list: PolicyList,
    pub(crate) direction: Direction,
    pub(crate) header: &'a PacketHeader,
    /// The endpoints and sets at the packet's source and destination.
    pub(crate) ends: [&'a AddressOwners<'a>; 2],
}

/// Everything asked, in order, and the decision. With `decided` an earlier check has settled the packet already, and
/// all is told as not reached. Without `reasons` only what is reached is looked at.
pub(crate) fn ask(asked: &Asked<'_>, decided: Option<Decision>, reasons: bool) -> (Vec<Entry>, Decision) {
    let &Asked { snapshot, subject, tiers, list, direction, header, ends } = asked;
    let mut walk = Walk { snapshot, header, reasons, ends, entries: Vec::new(), decision: decided };
    // An allow before connection tracking or before DNAT also answers for the endpoint's later ingress stages.
    let allowed =
        if matches!(list, PolicyList::Untracked | PolicyList::PreDnat) { Outcome::Accept } else { Outcome::Pass };
    for tier in tiers {
        let mut passed = false;
        for policy in &tier.policies {
            let reached = walk.decision.is_none() && !passed;
            if !reached && !reasons {
                continue;
            }
            let (rules, hit) = walk.rules(policy.rules(direction));
            walk.push(reached, policy_entry(&tier.name, policy, rules));
            let Some((number, action)) = hit.filter(|_| reached && !policy.staged) else { continue };
            let by = DecidedBy::Rule { tier: tier.name.clone(), id: policy.id.clone(), number };
            match action {
                Action::Allow if tier.asked_first => passed = true,
                Action::Allow => walk.decide(allowed, by),
                Action::Deny => walk.decide(Outcome::Deny, by),
                Action::Pass | Action::Log => passed = true,
            }
        }
        let reached = walk.decision.is_none() && !passed;
        walk.push(reached, EntryKind::TierEnd { tier: tier.name.clone(), denies: tier.denies, note: tier.note });
        if reached && tier.denies {
            walk.decide(Outcome::Deny, DecidedBy::TierEnd { tier: tier.name.clone() });
        }
    }
    if list == PolicyList::Normal {
        walk.profiles(subject, direction);
    }
    let decision = walk.decision.unwrap_or(Decision { outcome: Outcome::Pass, by: DecidedBy::Nothing });
    (walk.entries, decision)
}

fn policy_entry(tier: &str, policy: &Policy, rules: Vec<RuleStep>) -> EntryKind {
    EntryKind::Policy { tier: tier.to_owned(), id: policy.id.clone(), staged: policy.staged, rules }
}

impl Walk<'_> {
    fn decide(&mut self, outcome: Outcome, by: DecidedBy) {
        self.decision = Some(Decision { outcome, by });
    }

    fn push(&mut self, reached: bool, kind: EntryKind) {
        self.entries.push(Entry { kind, reached });
    }

    /// The rules up to the first that ends the list, and that one: its number from 1, and its action.
    fn rules(&self, rules: &[Rule]) -> (Vec<RuleStep>, Option<(usize, Action)>) {
        let mut steps = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let number = index + 1;
            let Match { action, mismatches } = matching(self.snapshot, rule, self.header, self.ends, self.reasons);
            let ends = mismatches.is_empty() && action.decides();
            steps.push(RuleStep { number, action, mismatches });
            if ends {
                return (steps, Some((number, action)));
            }
        }
        (steps, None)
    }

    /// A Pass continues with the next profile; what no profile decides is denied.
    fn profiles(&mut self, subject: &Subject, direction: Direction) {
        for name in &subject.profiles {
            let reached = self.decision.is_none();
            if !reached && !self.reasons {
                return;
            }
            let profile = self.snapshot.profiles.get(name);
            let list = profile.map_or(&[][..], |profile| match direction {
                Direction::Ingress => &profile.ingress,
                Direction::Egress => &profile.egress,
            });
            let (rules, hit) = self.rules(list);
            self.push(reached, EntryKind::Profile { name: name.clone(), missing: profile.is_none(), rules });
            if !reached {
                continue;
            }
            let by = |number| DecidedBy::Profile { name: name.clone(), number };
            match hit {
                _ if profile.is_none() => self.decide(Outcome::Deny, by(None)),
                Some((number, Action::Allow)) => self.decide(Outcome::Pass, by(Some(number))),
                Some((number, Action::Deny)) => self.decide(Outcome::Deny, by(Some(number))),
                _ => {}
            }
        }
        if self.decision.is_none() {
            self.decide(Outcome::Deny, DecidedBy::NoProfile);
        }
    }
}
