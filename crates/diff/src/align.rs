//! An upper bound of the packets whose verdict may change: the items of both sequences are paired in order, and unpaired ones
//! contribute what they match.
//!
//! A packet that no unpaired item matches, and none of a pair whose two items match
//! different packets, meets the same items on both sides with the same effects. So it is decided alike.

use std::collections::HashMap;
use std::rc::Rc;

use tortie_classes::{Product, Ranges, TransportClass, TransportMatch, TransportRanges};
use tortie_policy::Family;

use crate::fault;
use crate::rule_sequence::{Effect, Item, RuleSequence};

/// Lists of which more pairs than this must be compared are not paired in order.
const MAX_PAIRS: usize = 4_000_000;

/// The packets of one family that may be decided otherwise, and perhaps some others: a source of these to a destination of
/// these, with a protocol and transport of one of these products.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) source: Ranges,
    pub(crate) destination: Ranges,
    transports: Vec<(Ranges, TransportMatch)>,
}

impl Changed {
    /// Every packet.
    pub(crate) fn everything(family: Family) -> Self {
        let mut changed = Self::default();
        changed.add(&[Product::all(family)]);
        changed
    }

    fn add(&mut self, products: &[Product]) {
        let sources = products.iter().flat_map(|one| one.source.iter());
        self.source = Ranges::of(self.source.iter().chain(sources));
        let destinations = products.iter().flat_map(|one| one.destination.iter());
        self.destination = Ranges::of(self.destination.iter().chain(destinations));
        for product in products {
            let transport = (product.protocols.clone(), product.transport.clone());
            if !self.transports.contains(&transport) {
                self.transports.push(transport);
            }
        }
    }

    /// Whether packets of a class may be among them.
    pub(crate) fn has(&self, class: &TransportClass) -> bool {
        self.transports.iter().any(|(protocols, transport)| {
            protocols.meets(&class.protocols)
                && match (transport, &class.transport) {
                    (TransportMatch::Any, _) => true,
                    (
                        TransportMatch::Ports { source, destination },
                        TransportRanges::Ports { source: from, destination: to },
                    ) => source.meets(from) && destination.meets(to),
                    (TransportMatch::Icmp(one), TransportRanges::Icmp(other)) => one.meets(other),
                    _ => false,
                }
        })
    }

    /// The packets that two sequences can decide differently.
    pub(crate) fn add_rule_sequences(&mut self, before: &RuleSequence, after: &RuleSequence) {
        let paths = [in_order(before, after), in_place(before, after)];
        let found = paths.into_iter().flatten().min_by_key(Vec::len);
        let all = || before.items.iter().chain(&after.items).flat_map(|item| item.products.iter()).cloned().collect();
        let found: Vec<Product> = found.unwrap_or_else(all);
        if !found.is_empty() {
            self.add(&found);
        }
    }
}

fn effects(items: &[Item]) -> impl Iterator<Item = Effect> {
    items.iter().map(|item| item.effect)
}

/// Where every place has the same effect on both sides: what one of the two items at a place matches.
fn in_place(before: &RuleSequence, after: &RuleSequence) -> Option<Vec<Product>> {
    let places = || before.items.iter().zip(&after.items);
    effects(&before.items)
        .eq(effects(&after.items))
        .then(|| places().flat_map(|(one, other)| apart(&one.products, &other.products)).collect())
}

/// What unpaired items match, where the alike ones are paired in order; none if there are too many.
fn in_order(before: &RuleSequence, after: &RuleSequence) -> Option<Vec<Product>> {
    let mut found = Vec::new();
    let (mut b, mut a) = (0, 0);
    for (next_b, next_a) in paired(before, after)?.into_iter().chain([(before.items.len(), after.items.len())]) {
        found.extend(differing(&before.items[b..next_b], &after.items[a..next_a]));
        (b, a) = (next_b + 1, next_a + 1);
    }
    Some(found)
}

/// The items of two sequences that are alike, by their places: in order on both sides.
fn paired<'a>(before: &'a RuleSequence, after: &'a RuleSequence) -> Option<Vec<(usize, usize)>> {
    let mut numbers: HashMap<(&'a [Product], Effect), usize> = HashMap::new();
    let [one, other] = [before, after].map(|sequence| {
        let mut number = |Item { products, effect, .. }: &'a Item| {
            let next = numbers.len();
            *numbers.entry((&**products, *effect)).or_insert(next)
        };
        sequence.items.iter().map(&mut number).collect::<Vec<usize>>()
    });
    let mut pairs = common(&one, &other)?;
    // What leads behind the end of a segment leads to the same place only if both ends are a pair.
    let ends = [before.ends(), after.ends()];
    let is_end = |pairs: &[(usize, usize)], (b, a): (usize, usize)| {
        let at_end = (b == before.items.len()) && (a == after.items.len());
        at_end || pairs.binary_search(&(b, a)).is_ok() || fault("diff-segments-unpaired")
    };
    let ends_alike: Vec<bool> = pairs
        .iter()
        .map(|(b, a)| before.items[*b].effect != Effect::Leave || is_end(&pairs, (ends[0][*b], ends[1][*a])))
        .collect();
    let mut alike = ends_alike.into_iter();
    pairs.retain(|_| alike.next().unwrap_or_default());
    Some(pairs)
}

/// A longest common subsequence, by places; none if finding it takes too long.
fn common(one: &[usize], other: &[usize]) -> Option<Vec<(usize, usize)>> {
    let first = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (rest, others) = (&one[first..], &other[first..]);
    let last = rest.iter().rev().zip(others.iter().rev()).take_while(|(a, b)| a == b).count();
    let (rest, others) = (&rest[..rest.len() - last], &others[..others.len() - last]);
    let mut pairs: Vec<(usize, usize)> = (0..first).map(|at| (at, at)).collect();
    let width = others.len() + 1;
    if rest.len().saturating_mul(others.len()) > MAX_PAIRS {
        return None;
    }
    // The length for what begins at each place.
    let mut lengths = vec![0u32; (rest.len() + 1) * width];
    for (a, x) in rest.iter().enumerate().rev() {
        for (b, y) in others.iter().enumerate().rev() {
            lengths[a * width + b] = match x == y {
                true => lengths[(a + 1) * width + b + 1] + 1,
                false => lengths[(a + 1) * width + b].max(lengths[a * width + b + 1]),
            };
        }
    }
    let (mut a, mut b) = (0, 0);
    while a < rest.len() && b < others.len() {
        if rest[a] == others[b] {
            pairs.push((first + a, first + b));
            (a, b) = (a + 1, b + 1);
        } else if lengths[(a + 1) * width + b] >= lengths[a * width + b + 1] {
            a += 1;
        } else {
            b += 1;
        }
    }
    pairs.extend((0..last).map(|at| (one.len() - last + at, other.len() - last + at)));
    Some(pairs)
}

/// The packets that unpaired items between two pairs can tell apart: those that exactly one of two items at the same place
/// matches where the effects are alike place by place, else those of all items.
fn differing(before: &[Item], after: &[Item]) -> Vec<Product> {
    // The ends of segments are no pairs here, so what leads behind one may not lead to the same place.
    let leaves = before.iter().chain(after).any(|item| matches!(item.effect, Effect::Leave | Effect::End));
    if !leaves && (effects(before).eq(effects(after)) || fault("diff-places-unpaired")) {
        return before.iter().zip(after).flat_map(|(one, other)| apart(&one.products, &other.products)).collect();
    }
    before.iter().chain(after).flat_map(|item| item.products.iter()).cloned().collect()
}

/// The packets that are in one of two unions of products.
fn apart(one: &[Product], other: &[Product]) -> Vec<Product> {
    let only = |some: &[Product], others: &[Product]| -> Vec<Product> {
        some.iter().filter(|product| !others.contains(product)).cloned().collect()
    };
    let (mut one, mut other) = (only(one, other), only(other, one));
    if one.len() == other.len() {
        return one.into_iter().zip(other).flat_map(|(one, other)| apart_of(one, other)).collect();
    }
    one.append(&mut other);
    one
}

/// The same of two products: exactly, if they differ in their sources or in their destinations only.
fn apart_of(one: Product, other: Product) -> Vec<Product> {
    let either = |one: &Ranges, other: &Ranges| Rc::new(one.minus(other).union(&other.minus(one)));
    let source = Product { source: either(&one.source, &other.source), ..other.clone() };
    if (Product { source: one.source.clone(), ..other.clone() }) == one {
        return vec![source];
    }
    let destination = Product { destination: either(&one.destination, &other.destination), ..other.clone() };
    if (Product { destination: one.destination.clone(), ..other.clone() }) == one {
        return vec![destination];
    }
    vec![one, other]
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};
    use tortie_classes::AddressSet;
    use tortie_eval::{PolicyList, Subject};
    use tortie_policy::Direction;
    use tortie_testkit::worlds::{Step, World};

    use super::*;
    use crate::applied::Side;

    fn rule(action: &str, net: &str, port: u16) -> Value {
        json!({"action": action, "protocol": "TCP", "source": {"nets": [net]}, "destination": {"ports": [port]}})
    }

    /// What two lists of policies can decide otherwise: each with its tier, its order and its rules.
    fn changed(before: &[(&str, u32, &[Value])], after: &[(&str, u32, &[Value])]) -> Changed {
        let [before, after] = [before, after].map(|policies| {
            let mut world = World::new();
            let mut put = |object: Value| world.apply(&Step::Put(object)).unwrap();
            for (order, tier) in ["first", "second"].into_iter().enumerate() {
                let spec = json!({"order": order, "defaultAction": "Pass"});
                put(json!({"kind": "Tier", "name": tier, "labels": {}, "spec": spec}));
            }
            put(json!({"kind": "HostEndpoint", "name": "e", "labels": {},
                "spec": {"node": "n", "interfaceName": "eth0", "expectedIPs": ["192.0.2.1"]}}));
            for (tier, order, rules) in policies {
                let name = format!("{tier}.p{order}");
                let spec =
                    json!({"tier": tier, "order": order, "selector": "all()", "types": ["Ingress"], "ingress": rules});
                put(json!({"kind": "GlobalNetworkPolicy", "name": name, "labels": {}, "spec": spec}));
            }
            let mut side = Side::new(&world.snapshot);
            let number = side.number(&Subject::host(&world.snapshot, &world.snapshot.host_endpoints["e"]));
            side.sequence(number, PolicyList::Normal, Direction::Ingress, Family::V4)
        });
        let mut changed = Changed::default();
        changed.add_rule_sequences(&before, &after);
        changed
    }

    fn nets(changed: &Changed) -> Vec<String> {
        AddressSet::of_family(Family::V4, changed.source.clone()).nets().map(|net| net.to_string()).collect()
    }

    #[test]
    pub(crate) fn only_packets_that_one_version_of_a_changed_rule_matches_can_be_decided_differently() {
        let rules =
            |net: &str| [rule("Allow", "10.1.0.0/16", 1), rule("Deny", net, 2), rule("Allow", "10.3.0.0/16", 3)];
        let found = changed(&[("first", 1, &rules("10.2.0.0/16"))], &[("first", 1, &rules("10.2.0.0/17"))]);
        assert_eq!(nets(&found), ["10.2.128.0/17"]);
        let same = changed(&[("first", 1, &rules("10.2.0.0/16"))], &[("first", 1, &rules("10.2.0.0/16"))]);
        assert!(same.source.is_empty());
    }

    #[test]
    pub(crate) fn a_policy_that_moves_past_others_leaves_what_only_they_match_alone() {
        let [own, one, other] =
            ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"].map(|net| [rule("Allow", net, 1), rule("Deny", net, 2)]);
        let found = changed(
            &[("first", 1, &own), ("first", 2, &one), ("first", 3, &other)],
            &[("first", 2, &one), ("first", 3, &other), ("first", 4, &own)],
        );
        assert_eq!(nets(&found), ["10.1.0.0/16"]);
    }

    #[test]
    pub(crate) fn an_unchanged_pass_rule_can_decide_differently_if_what_follows_moves_to_another_tier() {
        let pass = [rule("Pass", "10.1.0.0/16", 1)];
        let behind = [rule("Deny", "10.1.0.0/16", 1)];
        // Before, the rule that passes skips the one behind it in its tier; after, that one is in the next tier.
        let found =
            changed(&[("first", 1, &pass), ("first", 2, &behind)], &[("first", 1, &pass), ("second", 2, &behind)]);
        assert_eq!(nets(&found), ["10.1.0.0/16"]);
    }
}
