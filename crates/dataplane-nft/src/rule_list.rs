//! Lists of rules as chains: a policy's, a profile's.
//!
//! A chain is shared by the programs that ask it. If some of its rules read transport headers and some do not, there is a
//! second chain of those that do not, for non-first fragments.

use tortie_dataplane::{Owner, Rule, RulesId, SetId};
use tortie_nft::expr::{Limit, LimitKind, Log, Masq};
use tortie_nft::{Expr, Verdict};
use tortie_policy::{Action, Family, Settings};

use crate::faults::is_on;
use crate::names;
use crate::options::TableOptions;
use crate::rule::{Match, matches};
use crate::sets::Shape;
use crate::stage::{Allow, Variant};
use crate::table_content::{ChainContent, Line};

/// Informational, the level that Log writes at.
const INFO: u32 = 6;
/// The longest log prefix that the kernel takes.
const PREFIX_MAX: usize = 127;

/// What programs must know of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// Some line decides or logs.
    pub(crate) says: bool,
    /// Some line does so without reading a transport header.
    pub(crate) says_to_fragments: bool,
    /// Some line reads a transport header.
    pub(crate) reads: bool,
    /// Some rule of it passes.
    pub(crate) passes: bool,
}

/// A list's chains, and how it looks to programs.
pub(crate) struct List<'a> {
    pub(crate) id: &'a RulesId,
    pub(crate) rules: &'a [Rule],
    /// The tier of a policy, for log prefixes.
    pub(crate) tier: &'a str,
}

impl List<'_> {
    /// What programs must know of it.
    pub(crate) fn traits(&self, shape: &impl Fn(&SetId, Family) -> Option<Shape>) -> Traits {
        let mut traits = Traits::default();
        for (rule, found) in self.matches(shape) {
            traits.says = true;
            traits.says_to_fragments |= !found.transport;
            traits.reads |= found.transport;
            traits.passes |= rule.action == Action::Pass && matches!(self.id.owner, Owner::Policy(_));
        }
        traits
    }

    /// All ways to match its rules, up to one that every packet matches and that decides: nothing behind it is ever asked.
    fn matches(&self, shape: &impl Fn(&SetId, Family) -> Option<Shape>) -> Vec<(&Rule, Match)> {
        let mut all = Vec::new();
        for rule in self.rules {
            for found in matches(rule, shape) {
                let decides = rule.action.decides() || is_on("end-of-log");
                let ends = found.line.exprs.is_empty() && decides;
                all.push((rule, found));
                if ends {
                    return all;
                }
            }
        }
        all
    }

    /// Its chains in one rendering, by name.
    pub(crate) fn chains(
        &self,
        variant: Variant,
        settings: &Settings,
        options: &TableOptions,
        shape: &impl Fn(&SetId, Family) -> Option<Shape>,
    ) -> Vec<(String, ChainContent)> {
        let mut all = Vec::new();
        let mut for_fragments = Vec::new();
        let mut reads = false;
        for (rule, Match { line, transport }) in self.matches(shape) {
            let line = self.act(rule, line, variant, settings, options);
            reads |= transport;
            if !transport {
                for_fragments.push(line.clone());
            }
            all.push(line);
        }
        let name = chain_name(self.id, variant, settings);
        let mut chains = Vec::new();
        if reads && !for_fragments.is_empty() {
            chains.push((fragment_name(&name), ChainContent::new(for_fragments)));
        }
        chains.push((name, ChainContent::new(all)));
        chains
    }

    /// What stands for it where the kernel refuses it: a denial. Programs find the chains that they ask.
    pub(crate) fn stand_in(
        &self,
        variant: Variant,
        settings: &Settings,
        traits: Traits,
    ) -> Vec<(String, ChainContent)> {
        let name = chain_name(self.id, variant, settings);
        let deny = || ChainContent::new(vec![Line::new().deny(variant.refuse).note(format!("refused: {}", self.id))]);
        let fragments = (traits.reads && traits.says_to_fragments).then(|| (fragment_name(&name), deny()));
        fragments.into_iter().chain([(name, deny())]).collect()
    }

    /// What a rule does with what it matches.
    fn act(&self, rule: &Rule, line: Line, variant: Variant, settings: &Settings, options: &TableOptions) -> Line {
        let line = match rule.action {
            Action::Allow => match variant.allow {
                Allow::Accept => line.count().accept(),
                Allow::Mark => line.count().mark(options.bits.accept, true).accept(),
                Allow::Notrack => line.count().expr(Expr::Notrack).mark(options.bits.accept, true).accept(),
            },
            Action::Deny => line.deny(variant.refuse),
            // A profile's Pass leads to the next profile.
            Action::Pass if matches!(self.id.owner, Owner::Profile(_)) => line.count().verdict(Verdict::Return),
            Action::Pass => line.count().mark(options.bits.pass, true).verdict(Verdict::Return),
            Action::Log => self.log(line.count(), settings, options),
        };
        line.note(format!("rule {} of {}: {}", rule.number, self.id, rule.action))
    }

    fn log(&self, line: Line, settings: &Settings, options: &TableOptions) -> Line {
        let line = match settings.log_limit {
            None => line,
            Some(limit) => line.expr(Limit {
                rate: limit.count.into(),
                unit: limit.seconds.into(),
                // The kernel makes five of none.
                burst: if limit.burst == 0 { 5 } else { limit.burst },
                kind: LimitKind::Packets,
                inverted: false,
            }),
        };
        let prefix = ended(&self.prefix(&settings.log_prefix));
        let line = if is_on("refused-at-commit") { line.expr(Masq::default()) } else { line };
        line.expr(match options.log_group {
            Some(group) => Log::group(group, prefix),
            None => Log::Kernel { prefix, level: INFO, flags: 0 },
        })
    }

    /// The prefix with what it stands for: `%t` tier, `%k` kind, `%n` name, `%p` namespace and name.
    fn prefix(&self, template: &str) -> String {
        let (kind, namespace, name) = match &self.id.owner {
            Owner::Policy(id) => (id.short_kind(), id.namespace.as_str(), id.name.as_str()),
            Owner::Profile(name) => ("pro", "", &**name),
        };
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('%') {
            text += before;
            let mut letters = behind.chars();
            match letters.next() {
                Some('t') => text += self.tier,
                Some('k') => text += kind,
                Some('n') => text += name,
                Some('p') if namespace.is_empty() => text += name,
                Some('p') => text += &format!("{namespace}/{name}"),
                _ => {
                    text.push('%');
                    rest = behind;
                    continue;
                }
            }
            rest = letters.as_str();
        }
        text + rest
    }
}

/// A prefix with what separates it from the packet, also where it is too long for the kernel: else its last word and the
/// first of the packet (`IN=eth0`) would be one.
fn ended(prefix: &str) -> String {
    const END: &str = ": ";
    let longest = prefix.floor_char_boundary(PREFIX_MAX - END.len());
    prefix[..longest].to_owned() + END
}

/// A list's chain in one rendering.
pub(crate) fn chain_name(id: &RulesId, variant: Variant, settings: &Settings) -> String {
    names::list(id) + variant.suffix(settings)
}

/// The second chain of a list, which non-first fragments take.
pub(crate) fn fragment_name(name: &str) -> String {
    format!("{name}/fragments")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tortie_policy::Direction;

    use super::*;

    #[test]
    fn a_log_prefix_keeps_its_end_however_long_it_is() {
        assert_eq!(ended("calico-packet"), "calico-packet: ");
        for text in ["a".repeat(PREFIX_MAX - 2), "a".repeat(PREFIX_MAX), "ä".repeat(PREFIX_MAX)] {
            let prefix = ended(&text);
            assert!(prefix.len() <= PREFIX_MAX && prefix.len() >= PREFIX_MAX - 1 && prefix.ends_with(": "), "{prefix}");
        }
    }

    #[test]
    fn a_log_prefix_names_the_policy() {
        let policy = tortie_policy::PolicyId {
            kind: tortie_api::Kind::NetworkPolicy,
            namespace: "shop".into(),
            name: "web".into(),
        };
        let id = RulesId { owner: Owner::Policy(Arc::new(policy)), direction: Direction::Ingress };
        let list = List { id: &id, rules: &[], tier: "default" };
        assert_eq!(list.prefix("%t|%k|%n|%p|100%"), "default|np|web|shop/web|100%");
        assert_eq!(list.prefix("%%t%x"), "%default%x");
    }
}
