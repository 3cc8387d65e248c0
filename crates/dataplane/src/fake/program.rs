//! Runs a program over a packet, as chains that jump and return would.

use tortie_policy::{Action, Direction};

use super::answer::{DecidedBy, Outcome};
use super::matching::PacketHeader;
use crate::faults;
use crate::program::{Program, ProgramEnd, ProgramId};
use crate::rule::{Owner, RulesId};
use crate::state::State;

/// What a list of rules did.
enum Ended {
    Allowed(usize),
    Denied(usize),
    Passed,
    AtItsEnd,
}

impl State {
    /// What a program decides. An allow becomes `allowed`, which depends on the stage.
    pub(super) fn run(&self, id: ProgramId, packet: &PacketHeader, allowed: Outcome) -> (Outcome, DecidedBy) {
        let Some(program) = self.programs.get(&id) else { return (Outcome::Deny, DecidedBy::Nothing) };
        for tier in &program.tiers {
            let mut passed = false;
            for policy in &tier.policies {
                if passed && !faults::is_on("pass-ends-tier") {
                    break;
                }
                let by = |number| {
                    let id = (**policy).clone();
                    DecidedBy::Rule { tier: tier.name.to_string(), id, number }
                };
                match self.list(Owner::Policy(policy.clone()), program.direction, packet) {
                    Ended::Allowed(number) => return (allowed, by(number)),
                    Ended::Denied(number) => return (Outcome::Deny, by(number)),
                    Ended::Passed => passed = true,
                    Ended::AtItsEnd => {}
                }
            }
            if tier.denies && !passed {
                return (Outcome::Deny, DecidedBy::TierEnd { tier: tier.name.to_string() });
            }
        }
        self.then(program, packet)
    }

    fn then(&self, program: &Program, packet: &PacketHeader) -> (Outcome, DecidedBy) {
        let profiles = match &program.then {
            ProgramEnd::Pass => return (Outcome::Pass, DecidedBy::Nothing),
            ProgramEnd::Deny => return (Outcome::Deny, DecidedBy::NoProfile),
            ProgramEnd::Profiles(profiles) => profiles,
        };
        for profile in profiles {
            let by = |number| DecidedBy::Profile { name: profile.name.to_string(), number };
            if profile.missing {
                return (Outcome::Deny, by(None));
            }
            match self.list(Owner::Profile(profile.name.clone()), program.direction, packet) {
                Ended::Allowed(number) => return (Outcome::Pass, by(Some(number))),
                Ended::Denied(number) => return (Outcome::Deny, by(Some(number))),
                Ended::Passed if faults::is_on("profile-pass-allows") => return (Outcome::Pass, by(None)),
                Ended::Passed | Ended::AtItsEnd => {}
            }
        }
        (Outcome::Deny, DecidedBy::NoProfile)
    }

    fn list(&self, owner: Owner, direction: Direction, packet: &PacketHeader) -> Ended {
        for rule in self.rules.get(&RulesId { owner, direction }).into_iter().flatten() {
            if !self.matches(rule, packet) {
                continue;
            }
            let number = rule.number as usize;
            match rule.action {
                Action::Allow => return Ended::Allowed(number),
                Action::Deny => return Ended::Denied(number),
                Action::Pass => return Ended::Passed,
                Action::Log if faults::is_on("log-ends-list") => return Ended::AtItsEnd,
                Action::Log => {}
            }
        }
        Ended::AtItsEnd
    }
}
