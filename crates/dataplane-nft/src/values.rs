//! A list of values of one field: comparisons where the list is short, else a set that all rules with the same list share.
//!
//! Every set costs. The kernel finds a set by walking through all sets of the table, whenever a rule names one, so ten
//! thousand rules with sets of their own take minutes to load. A short list needs none: a value is in it if it lies between
//! its first and its last value and in none of the gaps between its ranges. These are conditions of one line, so the
//! rule stays one line with one counter.
//!
//! The name of a shared set follows from what is in it. So its elements never change: a rule whose list changes names
//! another set, and [`crate::set_references`] removes a set with the last line that names it.

use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tortie_net::PortRange;
use tortie_nft::expr::{Bitwise, Cmp, Range};
use tortie_nft::{DataType, Element, Expr, Key, Reg, Set};
use tortie_policy::Family;

use crate::faults::is_on;
use crate::match_expr::{address_type, octets};
use crate::table_content::SetContent;

/// The most ranges that are compared one by one. Each costs a packet about as much as a look into a set of exact values;
/// most packets are outside the first and the last value, and pay for one.
const MAX_COMPARED: usize = 4;

/// The names of shared sets begin so.
pub(crate) const PREFIX: &str = "list-";

/// Values of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Values {
    field: DataType,
    /// Ranges in order, which neither overlap nor meet.
    ranges: Vec<(u128, u128)>,
    /// The values one by one, in order, if the list names no range.
    singles: Option<Vec<u128>>,
}

impl Values {
    /// Ports.
    pub(crate) fn ports(ranges: &[PortRange]) -> Self {
        let ranges = ranges.iter().map(|range| (range.first().into(), range.last().into()));
        Self::new(DataType::Port, ranges.collect())
    }

    /// Protocols, ICMP types and other single bytes.
    pub(crate) fn bytes(field: DataType, bytes: &[u8]) -> Self {
        Self::new(field, bytes.iter().map(|byte| (u128::from(*byte), u128::from(*byte))).collect())
    }

    /// The addresses of nets of one family.
    pub(crate) fn nets(family: Family, nets: &[IpNet]) -> Self {
        let number = |bytes: Vec<u8>| bytes.into_iter().fold(0, |number, byte| number << 8 | u128::from(byte));
        let range = |net: &IpNet| (number(octets(net.network())), number(octets(net.broadcast())));
        Self::new(address_type(family), nets.iter().map(range).collect())
    }

    fn new(field: DataType, mut given: Vec<(u128, u128)>) -> Self {
        given.sort_unstable();
        given.dedup();
        let singles = given.iter().all(|(first, last)| first == last);
        let singles = singles.then(|| given.iter().map(|(value, _)| *value).collect());
        let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(given.len());
        for (first, last) in given {
            match ranges.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        Self { field, ranges, singles }
    }

    /// Whether every value of the field is in it.
    fn is_everything(&self) -> bool {
        self.ranges == [(0, self.greatest())]
    }

    fn greatest(&self) -> u128 {
        u128::MAX >> (128 - 8 * self.width())
    }

    fn width(&self) -> usize {
        self.field.byte_len()
    }

    fn value(&self, number: u128) -> Vec<u8> {
        number.to_be_bytes()[16 - self.width()..].to_vec()
    }

    /// What a value in the first register must pass to be in the list, or not to be in it; none if the list is too long to be
    /// compared.
    pub(crate) fn comparisons(&self, negated: bool) -> Option<Vec<Expr>> {
        match self.ranges.as_slice() {
            // What is compared is also there: a packet without ports is in no list of ports.
            many if many.len() > MAX_COMPARED => None,
            [] => Some(Vec::new()),
            [one] => Some(self.compare(*one, negated)),
            [first, .., last] if negated && is_on("negated-list-as-hull") => {
                Some(self.compare((first.0, last.1), true))
            }
            many if negated => Some(many.iter().flat_map(|range| self.compare(*range, true)).collect()),
            [first, .., last] => {
                let hull = (first.0, last.1);
                let hull = (hull != (0, self.greatest()) && !is_on("hull-forgotten")).then_some((hull, false));
                let most = if is_on("gap-forgotten") { 0 } else { MAX_COMPARED };
                let gaps = self.ranges.windows(2).map(|pair| ((pair[0].1 + 1, pair[1].0 - 1), true)).take(most);
                Some(hull.into_iter().chain(gaps).flat_map(|(range, negated)| self.compare(range, negated)).collect())
            }
        }
    }

    /// Inside a range or outside it. The value stays in the first register.
    fn compare(&self, (first, last): (u128, u128), negated: bool) -> Vec<Expr> {
        let is = |value| if negated { Cmp::ne(Reg::R1, value) } else { Cmp::eq(Reg::R1, value) };
        let [from, to] = [first, last].map(|number| self.value(number));
        if first == last {
            return vec![is(from).into()];
        }
        if let Some(mask) = self.mask(first, last) {
            let masked = Bitwise { dreg: Reg::R2, ..Bitwise::mask(Reg::R1, self.value(mask)) };
            return vec![masked.into(), Cmp { sreg: Reg::R2, ..is(from) }.into()];
        }
        vec![Range { sreg: Reg::R1, negated, from, to }.into()]
    }

    /// The mask of a range of addresses that is a net; it is the cheaper comparison.
    fn mask(&self, first: u128, last: u128) -> Option<u128> {
        let inside = first ^ last;
        let is_net = matches!(self.field, DataType::Ipv4 | DataType::Ipv6) && first & inside == 0;
        (is_net && inside & inside.wrapping_add(1) == 0 && !self.is_everything()).then(|| self.greatest() ^ inside)
    }

    /// The set of exactly these values: a hash unless there is a range among them.
    pub(crate) fn set(&self) -> SetContent {
        let (ranges, elements) = match &self.singles {
            Some(values) => {
                ("", values.iter().map(|value| Element::new(Key::One(self.value(*value)))).collect::<Vec<_>>())
            }
            None => {
                let key = |&(first, last): &(u128, u128)| Key::range(self.value(first), self.value(last));
                ("ranges-of-", self.ranges.iter().map(|range| Element::new(key(range))).collect())
            }
        };
        let kind = match self.field {
            DataType::Port => "ports",
            DataType::Protocol => "protocols",
            DataType::Ipv4 => "addresses4",
            DataType::Ipv6 => "addresses6",
            other => other.name(),
        };
        let set = Set::new(format!("{ranges}{kind}"), self.field);
        shared(if self.singles.is_some() { set } else { set.interval() }, elements)
    }
}

/// A set that is named for what is in it.
pub(crate) fn shared(mut set: Set, elements: Vec<Element>) -> SetContent {
    // With its size known the kernel takes the quickest hash that it has.
    set.size = (!set.interval).then_some(elements.len() as u32);
    let mut form = SetContent { set, elements };
    form.sort();
    let mut hash = Sha256::new();
    for element in &form.elements {
        let (first, last): (&[u8], &[u8]) = match &element.key {
            Key::One(one) => (one, one),
            Key::Range(first, last) => (first, last),
            Key::CatchAll => (&[], &[]),
        };
        hash.update(first);
        hash.update(last);
    }
    let hash: String = hash.finalize()[..10].iter().map(|byte| format!("{byte:02x}")).collect();
    form.set.name = format!("{PREFIX}{}-{hash}", form.set.name);
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(ranges: &[(u16, u16)]) -> Values {
        let ranges: Vec<PortRange> =
            ranges.iter().map(|(first, last)| PortRange::new(*first, *last).unwrap()).collect();
        Values::ports(&ranges)
    }

    fn nets(nets: &[&str]) -> Values {
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        Values::nets(Family::of_net(&nets[0]), &nets)
    }

    /// Whether a value passes the comparisons.
    fn passes(comparisons: &[Expr], value: &[u8]) -> bool {
        let mut masked = Vec::new();
        comparisons.iter().all(|expr| match expr {
            Expr::Range(range) => (range.from.as_slice() <= value && value <= range.to.as_slice()) != range.negated,
            Expr::Bitwise(Bitwise { op: tortie_nft::expr::BitOp::MaskXor { mask, .. }, .. }) => {
                masked = value.iter().zip(mask).map(|(value, mask)| value & mask).collect();
                true
            }
            Expr::Cmp(cmp) => {
                let value = if cmp.sreg == Reg::R2 { &masked } else { value };
                (cmp.data == value) == (cmp.op == tortie_nft::expr::CmpOp::Eq)
            }
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn comparisons_hold_for_the_values_of_the_list_and_for_no_others() {
        for list in [
            &[(80, 80)][..],
            &[(80, 443)],
            &[(80, 80), (82, 82)],
            &[(80, 80), (443, 443), (8000, 8010)],
            &[(0, 79), (81, 65535)],
            &[(0, 0), (65535, 65535)],
            &[(90, 100), (1, 5), (6, 9), (95, 65535), (80, 80)],
            &[(0, 65535)],
        ] {
            let values = ports(list);
            let [is, is_not] = [false, true].map(|negated| values.comparisons(negated).unwrap());
            for port in 0..=u16::MAX {
                let inside = list.iter().any(|(first, last)| (*first..=*last).contains(&port));
                assert_eq!(passes(&is, &port.to_be_bytes()), inside, "{port} in {list:?}");
                assert_eq!(passes(&is_not, &port.to_be_bytes()), !inside, "{port} not in {list:?}");
            }
        }
    }

    #[test]
    fn nets_are_compared_by_their_first_and_last_address() {
        let values = nets(&["10.0.0.0/25", "10.0.0.128/25", "192.0.2.7/32"]);
        let is = values.comparisons(false).unwrap();
        for (address, inside) in [("10.0.0.0", true), ("10.0.0.255", true), ("10.0.1.0", false), ("192.0.2.7", true)] {
            let octets = octets(address.parse().unwrap());
            assert_eq!(passes(&is, &octets), inside, "{address}");
        }
        // One net, also of two halves, is a mask and a value.
        assert_eq!(nets(&["10.0.0.0/25", "10.0.0.128/25"]).comparisons(false).unwrap().len(), 2);
        assert!(passes(&nets(&["fd00::/8"]).comparisons(true).unwrap(), &octets("2001:db8::1".parse().unwrap())));
        assert!(!passes(&nets(&["fd00::/8"]).comparisons(true).unwrap(), &octets("fdff::1".parse().unwrap())));
    }

    #[test]
    fn a_long_list_is_a_set_named_for_what_is_in_it() {
        let list = |last: u16| ports(&[(9, 9), (1, 1), (3, 3), (5, 5), (last, last)]);
        assert!(list(7).comparisons(false).is_none());
        assert_eq!(list(7).set(), ports(&[(1, 1), (3, 3), (5, 5), (7, 7), (9, 9)]).set());
        assert_ne!(list(7).set().set.name, list(11).set().set.name);
        assert!(!list(7).set().set.interval);
        let ranges = ports(&[(9, 9), (1, 1), (3, 3), (5, 5), (20, 21)]).set();
        assert!(ranges.set.interval && ranges.set.name.starts_with("list-ranges-of-ports-"), "{}", ranges.set.name);
        // Neighbours stay single values, which a hash can hold.
        assert!(!ports(&[(1, 1), (2, 2), (4, 4), (6, 6), (8, 8), (10, 10)]).set().set.interval);
    }
}
