//! The rules of an endpoint's tiers and profiles as one list: the first item that matches a packet decides it or skips to the
//! end of its segment. So a packet is judged by the sets of rules that its source, destination and transport each match.

use std::net::IpAddr;
use std::rc::Rc;

use tortie_classes::{Clause, Product, number};
use tortie_eval::{DecidedBy, Outcome, PolicyList};
use tortie_policy::{Action, Direction, Family};

use crate::applied::Side;
use crate::fault;
use crate::packet_classes::Cells;

/// What an item does with the packets that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Effect {
    /// It decides them.
    Decide(Outcome),
    /// They go on behind the end of the segment, which is a tier or a profile.
    Leave,
    /// Nothing: here a segment ends.
    End,
}

/// An item of the list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Which packets it matches.
    pub(crate) products: Rc<[Product]>,
    pub(crate) effect: Effect,
    /// What decides.
    pub(crate) by: DecidedBy,
}

/// All of them, in order. What no item decides passes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleSequence {
    pub(crate) items: Vec<Item>,
}

impl RuleSequence {
    pub(crate) fn new(
        side: &mut Side<'_>,
        number: usize,
        list: PolicyList,
        direction: Direction,
        family: Family,
    ) -> Self {
        let applied = side.applied(number).clone();
        let mut sequence = Self::default();
        let everything = || Rc::from([Product::all(family)]);
        // An allow before connection tracking or before DNAT also answers for the later ingress stages.
        let allowed =
            if matches!(list, PolicyList::Untracked | PolicyList::PreDnat) { Outcome::Accept } else { Outcome::Pass };
        for tier in applied.tiers(list, direction) {
            let allow = if tier.asked_first { Effect::Leave } else { Effect::Decide(allowed) };
            for id in &tier.policies {
                let by = |number| DecidedBy::Rule { tier: tier.name.clone(), id: id.clone(), number };
                sequence.add_rules(&side.policy(id, direction, family), allow, by);
            }
            if tier.denies {
                sequence.add(
                    everything(),
                    Effect::Decide(Outcome::Deny),
                    DecidedBy::TierEnd { tier: tier.name.clone() },
                );
            }
            sequence.add(Rc::default(), Effect::End, DecidedBy::Nothing);
        }
        if list == PolicyList::Normal {
            for name in &applied.profiles {
                let by = |number| DecidedBy::Profile { name: name.clone(), number };
                match side.profile(name, direction, family) {
                    Some(rules) => {
                        sequence.add_rules(&rules, Effect::Decide(Outcome::Pass), |number| by(Some(number)));
                    }
                    None => sequence.add(everything(), Effect::Decide(Outcome::Deny), by(None)),
                }
                sequence.add(Rc::default(), Effect::End, DecidedBy::Nothing);
            }
            sequence.add(everything(), Effect::Decide(Outcome::Deny), DecidedBy::NoProfile);
        }
        sequence
    }

    fn add(&mut self, products: Rc<[Product]>, effect: Effect, by: DecidedBy) {
        self.items.push(Item { products, effect, by });
    }

    fn add_rules(&mut self, rules: &[(usize, Clause)], allow: Effect, by: impl Fn(usize) -> DecidedBy) {
        for (number, clause) in rules {
            let effect = match clause.action {
                Action::Allow => allow,
                Action::Deny => Effect::Decide(Outcome::Deny),
                Action::Pass | Action::Log => Effect::Leave,
            };
            self.add(clause.products.clone(), effect, by(*number));
        }
    }

    /// For each item the item that ends its segment, or the number of all items.
    pub(crate) fn ends(&self) -> Vec<usize> {
        let mut ends = vec![self.items.len(); self.items.len()];
        let mut end = self.items.len();
        for (at, item) in self.items.iter().enumerate().rev() {
            if item.effect == Effect::End {
                end = at;
            }
            ends[at] = end;
        }
        ends
    }
}

/// A set of products of a sequence, by their numbers.
type Bits = Vec<u64>;

/// A sequence with the products that each class of packets matches, one dimension at a time.
pub(crate) struct Table {
    /// Of each product: its item, and what it does.
    products: Vec<(usize, Effect)>,
    /// Of each product, the first one behind the end of its segment.
    behind: Vec<usize>,
    words: usize,
    sources: Bits,
    destinations: Bits,
    transports: Bits,
}

impl Table {
    pub(crate) fn new(sequence: &RuleSequence, cells: &Cells) -> Self {
        let Cells { sources, destinations, transports, judged } = cells;
        let ends = sequence.ends();
        let numbered = sequence.items.iter().enumerate();
        let all: Vec<(usize, &Product)> =
            numbered.flat_map(|(at, item)| item.products.iter().map(move |product| (at, product))).collect();
        let behind = |at: &usize| all.partition_point(|(other, _)| *other < ends[*at]);
        let words = all.len().div_ceil(64);
        let bits = |len: usize, matches: &dyn Fn(usize, &Product) -> bool| {
            let mut bits = vec![0; len * words];
            for class in 0..len {
                set_bits(&mut bits[class * words..(class + 1) * words], &all, |product| matches(class, product));
            }
            bits
        };
        Self {
            sources: bits(sources.len(), &|class, one| one.source.contains(sources.representative(class))),
            destinations: bits(destinations.len(), &|class, one| {
                one.destination.contains(destinations.representative(class))
            }),
            transports: bits(judged.len(), &|at, one| {
                let (protocol, transport) = transports[judged[at]].representative();
                one.has_transport(protocol, transport)
            }),
            behind: all.iter().map(|(at, _)| behind(at)).collect(),
            products: all.iter().map(|(at, _)| (*at, sequence.items[*at].effect)).collect(),
            words,
        }
    }

    /// The products that a destination matches which is no class of its own: one that packets were translated to.
    pub(crate) fn at(&self, sequence: &RuleSequence, destination: IpAddr) -> Bits {
        let all: Vec<(usize, &Product)> =
            sequence.items.iter().flat_map(|item| item.products.iter()).map(|one| (0, one)).collect();
        let mut bits = vec![0; self.words];
        set_bits(&mut bits, &all, |product| product.destination.contains(number(destination)));
        bits
    }

    /// The products that a class of destinations matches.
    pub(crate) fn destination(&self, class: usize) -> &[u64] {
        &self.destinations[class * self.words..(class + 1) * self.words]
    }

    /// The item that decides packets of some classes; none if they pass all of them.
    pub(crate) fn decide(&self, source: usize, destination: &[u64], transport: usize) -> Option<(usize, Outcome)> {
        let sources = &self.sources[source * self.words..(source + 1) * self.words];
        let transports = &self.transports[transport * self.words..(transport + 1) * self.words];
        let mut from = 0;
        loop {
            let mut word = from / 64;
            let mut mask = u64::MAX << (from % 64);
            let hit = loop {
                if word >= self.words {
                    return None;
                }
                let common = sources[word] & destination[word] & transports[word] & mask;
                if common != 0 {
                    break word * 64 + common.trailing_zeros() as usize;
                }
                word += 1;
                mask = u64::MAX;
            };
            match self.products[hit] {
                (item, Effect::Decide(outcome)) => return Some((item, outcome)),
                (_, Effect::Leave | Effect::End) if fault("diff-pass-ends-all") => return None,
                (_, Effect::Leave | Effect::End) => from = self.behind[hit],
            }
        }
    }
}

fn set_bits(bits: &mut [u64], all: &[(usize, &Product)], matches: impl Fn(&Product) -> bool) {
    for (index, (_, product)) in all.iter().enumerate() {
        if matches(product) {
            bits[index / 64] |= 1 << (index % 64);
        }
    }
}
