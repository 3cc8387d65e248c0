//! Programs as chains: tiers in order, in each its policies, its end, then the profiles and the default.
//!
//! A program's chain is named for its stage, because what is decided early there and how packets are denied belong to the
//! stage. Beside it is one for non-first fragments, if any of its rules reads transport headers: they take only the rules
//! that do not.

use std::sync::Arc;

use tortie_dataplane::{Owner, Profile, Program, ProgramEnd, ProgramId, RulesId, Tier};
use tortie_policy::{Family, PolicyId, Settings};

use crate::match_expr::DenyAction;
use crate::names;
use crate::options::TableOptions;
use crate::rule_list::{self, Traits};
use crate::stage::Stage;
use crate::table_content::{ChainContent, Line};

/// A program's chain at a stage.
pub(crate) fn chain_name(stage: Stage, id: ProgramId) -> String {
    format!("{}/{}", stage.tag(), names::program(id))
}

/// Writes one program for one stage.
pub(crate) struct Writer<'a> {
    pub(crate) stage: Stage,
    pub(crate) program: &'a Program,
    pub(crate) settings: &'a Settings,
    pub(crate) options: &'a TableOptions,
    pub(crate) traits: &'a dyn Fn(&RulesId) -> Traits,
}

impl Writer<'_> {
    /// Its chains, by name.
    pub(crate) fn chains(&self, id: ProgramId) -> Vec<(String, ChainContent)> {
        let name = chain_name(self.stage, id);
        let mut lines = vec![Line::new().jump(self.stage.early())];
        let reads = self.program.rules().any(|rules| (self.traits)(&rules).reads);
        let mut chains = Vec::new();
        if reads {
            let fragments = rule_list::fragment_name(&name);
            for family in [Family::V4, Family::V6] {
                lines.push(Line::new().non_first_fragment(family).goto(&fragments).note("non-first fragments"));
            }
            chains.push((fragments, ChainContent::new(self.body(true))));
        }
        lines.extend(self.body(false));
        chains.push((name, ChainContent::new(lines)));
        chains
    }

    fn body(&self, fragments: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        for tier in &self.program.tiers {
            if self.tier(tier, fragments, &mut lines) {
                return lines;
            }
        }
        match &self.program.then {
            ProgramEnd::Pass => lines.push(Line::new().count().accept().note("nothing decided")),
            ProgramEnd::Deny => lines.push(self.deny().note("no profile allows it")),
            ProgramEnd::Profiles(profiles) => self.profiles(profiles, fragments, &mut lines),
        }
        lines
    }

    fn refuse(&self) -> DenyAction {
        self.stage.refuse(self.settings)
    }

    fn deny(&self) -> Line {
        Line::new().deny(self.refuse())
    }

    /// Writes a tier, and says whether it decides about every packet.
    fn tier(&self, tier: &Tier, fragments: bool, lines: &mut Vec<Line>) -> bool {
        let rules = |policy: &Arc<PolicyId>| RulesId {
            owner: Owner::Policy(policy.clone()),
            direction: self.program.direction,
        };
        let pass = self.options.bits.pass;
        let passes = tier.policies.iter().any(|policy| (self.traits)(&rules(policy)).passes);
        if passes {
            lines.push(Line::new().mark(pass, false).note(format!("tier {}", tier.name)));
        }
        let mut may_have_passed = false;
        for policy in &tier.policies {
            let rules = rules(policy);
            let Some(chain) = self.asked(&rules, fragments) else { continue };
            let line = if may_have_passed { Line::new().marked(pass, false) } else { Line::new() };
            lines.push(line.jump(chain).note(format!("tier {}", tier.name)));
            may_have_passed |= (self.traits)(&rules).passes;
        }
        if tier.denies {
            let line = if may_have_passed { Line::new().marked(pass, false) } else { Line::new() };
            lines.push(line.deny(self.refuse()).note(format!("end of tier {}", tier.name)));
        }
        tier.denies && !may_have_passed
    }

    fn profiles(&self, profiles: &[Profile], fragments: bool, lines: &mut Vec<Line>) {
        for profile in profiles {
            if profile.missing {
                lines.push(self.deny().note(format!("missing profile {}", profile.name)));
                return;
            }
            let rules = RulesId { owner: Owner::Profile(profile.name.clone()), direction: self.program.direction };
            if let Some(chain) = self.asked(&rules, fragments) {
                lines.push(Line::new().jump(chain).note(format!("profile {}", profile.name)));
            }
        }
        lines.push(self.deny().note("no profile allows it"));
    }

    /// The chain of a list, if it has anything to say.
    fn asked(&self, rules: &RulesId, fragments: bool) -> Option<String> {
        let traits = (self.traits)(rules);
        let chain = rule_list::chain_name(rules, self.stage.variant(self.settings), self.settings);
        match fragments {
            false => traits.says.then_some(chain),
            true => {
                traits.says_to_fragments.then(|| if traits.reads { rule_list::fragment_name(&chain) } else { chain })
            }
        }
    }
}
