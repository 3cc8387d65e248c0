//! The counters of rules on one machine, as text after each rule.

use std::collections::BTreeMap;

use tortie_policy::Direction;

/// The packets and bytes that rules have matched, by policy (`gnp web`, `profile open`), direction and number.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    rules: BTreeMap<(String, Direction), BTreeMap<usize, (u64, u64)>>,
}

impl Counts {
    /// Adds what one rule has counted; its number begins at 1.
    pub fn add(&mut self, policy: &str, direction: Direction, number: usize, packets: u64, bytes: u64) {
        let count = self.rules.entry((policy.to_owned(), direction)).or_default().entry(number).or_default();
        count.0 += packets;
        count.1 += bytes;
    }

    /// Whether any rule of a policy or profile was counted.
    pub fn knows(&self, policy: &str) -> bool {
        self.rules.keys().any(|(name, _)| name == policy)
    }

    /// The text after a rule: ` [3 packets, 180 bytes]`; empty if there is no counter.
    pub(crate) fn of_rule(&self, policy: &str, direction: Direction, number: usize) -> String {
        let found = self.rules.get(&(policy.to_owned(), direction)).and_then(|rules| rules.get(&number));
        found.map_or(String::new(), |(packets, bytes)| shown(*packets, *bytes))
    }

    /// The text for all rules of one direction together.
    pub(crate) fn of_rules(&self, policy: &str, direction: Direction) -> String {
        let Some(rules) = self.rules.get(&(policy.to_owned(), direction)) else { return String::new() };
        let sum = |of: fn(&(u64, u64)) -> u64| rules.values().map(of).fold(0, u64::saturating_add);
        shown(sum(|count| count.0), sum(|count| count.1))
    }
}

fn shown(packets: u64, bytes: u64) -> String {
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    format!(" [{packets} packet{}, {bytes} byte{}]", plural(packets), plural(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_shown_with_their_own_rule_only() {
        let mut counts = Counts::default();
        counts.add("gnp web", Direction::Ingress, 1, 1, 60);
        counts.add("gnp web", Direction::Ingress, 2, 4, 1);
        assert_eq!(counts.of_rule("gnp web", Direction::Ingress, 1), " [1 packet, 60 bytes]");
        assert_eq!(counts.of_rules("gnp web", Direction::Ingress), " [5 packets, 61 bytes]");
        for other in
            [("gnp web", Direction::Egress, 1), ("np web", Direction::Ingress, 1), ("gnp web", Direction::Ingress, 3)]
        {
            assert_eq!(counts.of_rule(other.0, other.1, other.2), "");
        }
        assert!(counts.knows("gnp web") && !counts.knows("gnp"));
    }
}
