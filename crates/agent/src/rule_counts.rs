//! Packets and bytes of each rule of each policy, read from the kernel when metrics are scraped.
//!
//! The kernel counts for each line of the table, beginning at zero when a line is replaced; one rule may be several lines. What a
//! line has counted since the last scrape is added to its rule, so the numbers of a rule never decrease while the rule exists.
//! What was counted between the last scrape and the replacement of a line is lost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tortie_nft::{RequestError, Rule, Socket, dump};

use crate::kernel_table;

/// A rule, as its lines are commented: `rule 1 of gnp web ingress: Allow`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleName {
    /// The policy or profile: `gnp web`.
    pub(crate) policy: String,
    /// `ingress` or `egress`.
    pub(crate) direction: String,
    /// Its number in the policy, from 1.
    pub(crate) number: String,
    /// Its action.
    pub(crate) action: String,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// The counts of the rules that exist.
#[derive(Default)]
pub(crate) struct RuleCounts {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The counts of each line at the last scrape, by its handle.
    lines: BTreeMap<u64, Count>,
    totals: BTreeMap<RuleName, Count>,
}

impl RuleCounts {
    /// Reads the counters from the kernel. Returns the counts of every rule that it has.
    pub(crate) fn read(&self) -> Result<BTreeMap<RuleName, Count>, RequestError> {
        self.read_from(|| dump::rules(&mut Socket::open().map_err(RequestError::Io)?, &kernel_table::own(), None))
    }

    fn read_from(
        &self,
        kernel: impl FnOnce() -> Result<Vec<Rule>, RequestError>,
    ) -> Result<BTreeMap<RuleName, Count>, RequestError> {
        // Locked before the kernel is read: if an older reading were added after a newer one, packets would be counted twice.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rules = kernel()?;
        let lines = rules.iter().filter_map(|rule| {
            let (comment, counter) = (rule.comment.as_deref()?, rule.counter()?);
            Some((rule.handle?, comment, Count { packets: counter.packets, bytes: counter.bytes }))
        });
        state.take(lines);
        Ok(state.totals.clone())
    }
}

impl State {
    fn take<'a>(&mut self, found: impl Iterator<Item = (u64, &'a str, Count)>) {
        let (mut lines, mut totals) = (BTreeMap::new(), BTreeMap::new());
        for (handle, comment, count) in found {
            let Some(name) = RuleName::read(comment) else { continue };
            let before = self.lines.get(&handle).copied().unwrap_or_default();
            // Fewer than before: another line has the same handle.
            let is_same = count.packets >= before.packets && count.bytes >= before.bytes;
            let before = if is_same { before } else { Count::default() };
            let earlier = || self.totals.get(&name).copied().unwrap_or_default();
            let total = totals.entry(name.clone()).or_insert_with(earlier);
            total.packets += count.packets - before.packets;
            total.bytes += count.bytes - before.bytes;
            lines.insert(handle, count);
        }
        *self = Self { lines, totals };
    }
}

impl RuleName {
    /// Reads a comment; none if it is not the comment of a rule, or was truncated because a name is very long.
    fn read(comment: &str) -> Option<Self> {
        let (number, rest) = comment.strip_prefix("rule ")?.split_once(" of ")?;
        let (list, action) = rest.rsplit_once(": ")?;
        let (policy, direction) = list.rsplit_once(' ')?;
        let own = str::to_owned;
        Some(Self { policy: own(policy), direction: own(direction), number: own(number), action: own(action) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use tortie_nft::expr::{Counter, Expr};

    use super::*;

    const ALLOW: &str = "rule 1 of gnp web ingress: Allow";
    const DENY: &str = "rule 2 of np shop/db egress: Deny";

    fn packets(state: &mut State, found: &[(u64, &str, u64)]) -> Vec<(String, u64)> {
        let count = |packets| Count { packets, bytes: packets * 100 };
        state.take(found.iter().map(|(handle, comment, packets)| (*handle, *comment, count(*packets))));
        assert!(state.totals.values().all(|count| count.bytes == count.packets * 100));
        state.totals.iter().map(|(name, count)| (format!("{} {}", name.policy, name.number), count.packets)).collect()
    }

    #[test]
    fn a_rule_counts_all_its_lines_and_never_fewer_while_it_exists() {
        let mut state = State::default();
        let expected = |web: u64| vec![("gnp web 1".to_owned(), web)];
        assert_eq!(packets(&mut state, &[(7, ALLOW, 5), (8, ALLOW, 1), (9, "end of tier", 3)]), expected(6));
        assert_eq!(packets(&mut state, &[(7, ALLOW, 6), (8, ALLOW, 1)]), expected(7));
        // A line that was written anew, with another handle or with the same one in a new table.
        assert_eq!(packets(&mut state, &[(17, ALLOW, 2), (8, ALLOW, 1)]), expected(9));
        assert_eq!(packets(&mut state, &[(17, ALLOW, 1), (8, ALLOW, 1)]), expected(10));
        let both = [(17, ALLOW, 1), (8, ALLOW, 1), (20, DENY, 4)];
        assert_eq!(packets(&mut state, &both), [expected(10), vec![("np shop/db 2".to_owned(), 4)]].concat());
        // A rule that is removed begins anew when it is made again.
        assert_eq!(packets(&mut state, &[]), []);
        assert_eq!(packets(&mut state, &[(30, ALLOW, 1)]), expected(1));
    }

    #[test]
    fn scrapes_at_the_same_time_count_every_packet_once() {
        let (counts, packets) = (RuleCounts::default(), AtomicU64::new(0));
        let kernel = || {
            let packets = packets.fetch_add(1, Ordering::SeqCst) + 1;
            // Gives the other scrapes a chance to read more and to be done first.
            thread::yield_now();
            let counter = Expr::Counter(Counter { packets, bytes: 0 });
            let rule = Rule { handle: Some(7), comment: Some(ALLOW.to_owned()), ..Rule::new("chain", vec![counter]) };
            Ok(vec![rule])
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..500).for_each(|_| drop(counts.read_from(kernel).unwrap())));
            }
        });
        let counted = counts.read_from(kernel).unwrap();
        assert_eq!(counted[&RuleName::read(ALLOW).unwrap()].packets, packets.load(Ordering::SeqCst));
    }

    #[test]
    fn a_shortened_comment_names_no_rule() {
        assert_eq!(RuleName::read("rule 1 of gnp web ing"), None);
        assert_eq!(RuleName::read("refused: gnp web ingress"), None);
    }
}
