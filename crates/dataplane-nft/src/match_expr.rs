//! Match and verdict expressions: what rules are written with.
//!
//! Each method appends a condition or an action to a [`Line`]. Conditions on the network header say their family first:
//! in a table for both families an IPv6 packet's bytes would be read as an IPv4 packet's otherwise.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_net::PortRange;
use tortie_nft::expr::{
    Bitwise, Cmp, Counter, Ct, CtKey, Exthdr, Lookup, Meta, MetaKey, Payload, Range, Reject, ct_state, ct_status,
};
use tortie_nft::expr::{Fib, FibResult, IcmpxCode, fib_flags};
use tortie_nft::{DataType, Element, Expr, Fields, Key, Reg, Set, Verdict};
use tortie_policy::Family;

use crate::table_content::{Line, SetContent};
use crate::values::{Values, shared};

pub(crate) const ICMP: u8 = 1;
pub(crate) const IPIP: u8 = 4;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;
/// TCP, UDP and SCTP: what has ports for rules.
pub(crate) const PORTED: [u8; 3] = [TCP, UDP, 132];

/// One end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Destination,
}

/// One interface of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookInterface {
    In,
    Out,
}

/// How a packet is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DenyAction {
    Drop,
    Reject,
}

/// A word of the register file; there are sixteen, and no key is longer.
pub(crate) fn word(word: u32) -> Reg {
    Reg::word(word).expect("no key is longer than the registers")
}

/// A concatenation of fields, of which no key has too many.
pub(crate) fn fields(types: &[DataType]) -> Fields {
    Fields::new(types.iter().copied()).expect("one to five fields")
}

pub(crate) fn address_type(family: Family) -> DataType {
    match family {
        Family::V4 => DataType::Ipv4,
        Family::V6 => DataType::Ipv6,
    }
}

pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A net as the key of a set of ranges.
pub(crate) fn net_key(net: &IpNet) -> Key {
    Key::prefix(&octets(net.network()), usize::from(net.prefix_len()))
}

/// The outermost of some nets, in order.
pub(crate) fn outermost(nets: impl Iterator<Item = IpNet>) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = nets.map(|net| net.trunc()).collect();
    nets.sort();
    nets.dedup();
    let mut kept: Vec<IpNet> = Vec::with_capacity(nets.len());
    for net in nets {
        if kept.last().is_none_or(|outer| !outer.contains(&net)) {
            kept.push(net);
        }
    }
    kept
}

fn address(side: Side, family: Family, reg: Reg) -> Payload {
    match (side, family) {
        (Side::Source, Family::V4) => Payload::ipv4_source(reg),
        (Side::Source, Family::V6) => Payload::ipv6_source(reg),
        (Side::Destination, Family::V4) => Payload::ipv4_destination(reg),
        (Side::Destination, Family::V6) => Payload::ipv6_destination(reg),
    }
}

fn port(side: Side, reg: Reg) -> Payload {
    match side {
        Side::Source => Payload::source_port(reg),
        Side::Destination => Payload::destination_port(reg),
    }
}

impl Line {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn expr(mut self, expr: impl Into<Expr>) -> Self {
        self.exprs.push(expr.into());
        self
    }

    /// With a comment.
    pub(crate) fn note(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    fn is(self, key: MetaKey, value: impl Into<Vec<u8>>) -> Self {
        self.expr(Meta::get(key, Reg::R1)).expr(Cmp::eq(Reg::R1, value))
    }

    pub(crate) fn family(self, family: Family) -> Self {
        let number = match family {
            Family::V4 => 2,
            Family::V6 => 10,
        };
        self.is(MetaKey::NfProto, [number])
    }

    pub(crate) fn protocol(self, protocol: u8) -> Self {
        self.is(MetaKey::L4Proto, [protocol])
    }

    pub(crate) fn not_protocol(self, protocol: u8) -> Self {
        self.expr(Meta::get(MetaKey::L4Proto, Reg::R1)).expr(Cmp::ne(Reg::R1, [protocol]))
    }

    /// A protocol that has ports, or one that has none.
    pub(crate) fn ported(self, ported: bool) -> Self {
        self.expr(Meta::get(MetaKey::L4Proto, Reg::R1))
            .match_set(Values::bytes(DataType::Protocol, &PORTED).set(), !ported)
    }

    /// A non-first fragment: it has no transport header, so the bytes at the place of its ports or ICMP type are data.
    pub(crate) fn non_first_fragment(self, family: Family) -> Self {
        let line = self.family(family);
        let (line, mask) = match family {
            Family::V4 => (line.expr(Payload::ipv4_fragment(Reg::R1)), [0x1f, 0xff]),
            Family::V6 => (line.expr(Exthdr::ipv6_fragment(Reg::R1)), [0xff, 0xf8]),
        };
        line.expr(Bitwise::mask(Reg::R1, mask)).expr(Cmp::ne(Reg::R1, [0, 0]))
    }

    pub(crate) fn icmp_type(self, kind: u8) -> Self {
        self.expr(Payload::icmp_type(Reg::R1)).expr(Cmp::eq(Reg::R1, [kind]))
    }

    pub(crate) fn not_icmp_type(self, kind: u8) -> Self {
        self.expr(Payload::icmp_type(Reg::R1)).expr(Cmp::ne(Reg::R1, [kind]))
    }

    /// Any type, which is there.
    pub(crate) fn some_icmp_type(self) -> Self {
        let all = Range { sreg: Reg::R1, negated: false, from: vec![0], to: vec![255] };
        self.expr(Payload::icmp_type(Reg::R1)).expr(all)
    }

    pub(crate) fn icmp_code(self, code: u8) -> Self {
        self.expr(Payload::icmp_code(Reg::R1)).expr(Cmp::eq(Reg::R1, [code]))
    }

    /// Not this type and code, both together.
    pub(crate) fn not_icmp(self, family: Family, kind: u8, code: u8) -> Self {
        let key = match family {
            Family::V4 => fields(&[DataType::IcmpType, DataType::IcmpCode]),
            Family::V6 => fields(&[DataType::Icmp6Type, DataType::Icmp6Code]),
        };
        let element = Element::new(Key::One(key.value([&[kind][..], &[code]])));
        self.expr(Payload::icmp_type(Reg::R1))
            .expr(Payload::icmp_code(word(1)))
            .match_set(shared(Set::new("icmp", key), vec![element]), true)
    }

    pub(crate) fn icmp_types(self, kinds: &[u8]) -> Self {
        self.expr(Payload::icmp_type(Reg::R1)).within(&Values::bytes(DataType::Icmp6Type, kinds), false)
    }

    pub(crate) fn ipv6_hop_limit(self, hops: u8) -> Self {
        self.expr(Payload::network(7, 1, Reg::R1)).expr(Cmp::eq(Reg::R1, [hops]))
    }

    /// A port.
    pub(crate) fn port(self, side: Side, port: u16) -> Self {
        self.ports(side, &[PortRange::single(port)], false)
    }

    pub(crate) fn ports(self, side: Side, ranges: &[PortRange], negated: bool) -> Self {
        self.expr(port(side, Reg::R1)).within(&Values::ports(ranges), negated)
    }

    /// One of these protocols with its port.
    pub(crate) fn protocol_ports(self, side: Side, pairs: &[(u8, u16)]) -> Self {
        let key = fields(&[DataType::Protocol, DataType::Port]);
        let element =
            |&(protocol, port): &(u8, u16)| Element::new(Key::One(key.value([&[protocol][..], &port.to_be_bytes()])));
        let elements = pairs.iter().map(element).collect();
        self.expr(Meta::get(MetaKey::L4Proto, Reg::R1))
            .expr(port(side, word(1)))
            .match_set(shared(Set::new("protocol-ports", key.clone()), elements), false)
    }

    /// An address in one of these nets of one family, or in none of them. The family must have been said.
    pub(crate) fn nets(self, side: Side, family: Family, nets: &[IpNet], negated: bool) -> Self {
        let everything = nets.iter().any(|net| net.prefix_len() == 0);
        if everything && !negated {
            return self;
        }
        self.expr(address(side, family, Reg::R1)).within(&Values::nets(family, nets), negated)
    }

    /// An address in a set. The family must have been said.
    pub(crate) fn peers(self, side: Side, family: Family, set: &str, negated: bool) -> Self {
        self.expr(address(side, family, Reg::R1)).expr(Lookup { inverted: negated, ..Lookup::set(set, Reg::R1) })
    }

    /// An address with protocol and port in a set. The family must have been said.
    pub(crate) fn peer_ports(self, side: Side, family: Family, set: &str, negated: bool) -> Self {
        let behind = match family {
            Family::V4 => 1,
            Family::V6 => 4,
        };
        self.expr(address(side, family, Reg::R1))
            .expr(Meta::get(MetaKey::L4Proto, word(behind)))
            .expr(port(side, word(behind + 1)))
            .expr(Lookup { inverted: negated, ..Lookup::set(set, Reg::R1) })
    }

    /// A packet behind routing that came in by no interface: the host's own.
    pub(crate) fn own(self) -> Self {
        self.expr(Meta::get(MetaKey::Iif, Reg::R1)).expr(Cmp::eq(Reg::R1, 0u32.to_ne_bytes()))
    }

    /// An interface whose name begins so.
    pub(crate) fn interface_prefix(self, link: HookInterface, prefix: &str) -> Self {
        self.expr(Meta::get(link.key(), Reg::R1)).expr(Cmp::eq(Reg::R1, prefix.as_bytes()))
    }

    /// An interface of this name.
    pub(crate) fn interface_named(self, link: HookInterface, name: &str) -> Self {
        let mut whole = name.as_bytes().to_vec();
        whole.resize(16, 0);
        self.expr(Meta::get(link.key(), Reg::R1)).expr(Cmp::eq(Reg::R1, whole))
    }

    /// An interface in a set.
    pub(crate) fn interface(self, link: HookInterface, set: &str) -> Self {
        self.expr(Meta::get(link.key(), Reg::R1)).expr(Lookup::set(set, Reg::R1))
    }

    /// The verdict that a map has for the interface.
    pub(crate) fn dispatch(self, link: HookInterface, map: &str) -> Self {
        self.expr(Meta::get(link.key(), Reg::R1)).expr(Lookup::vmap(map, Reg::R1))
    }

    /// The interface and an address in a set of both. The family must have been said.
    pub(crate) fn interface_peer(self, link: HookInterface, side: Side, family: Family, set: &str) -> Self {
        self.expr(Meta::get(link.key(), Reg::R1)).expr(address(side, family, Reg::R2)).expr(Lookup::set(set, Reg::R1))
    }

    /// Some bit of these is set, or none.
    pub(crate) fn marked(self, bits: u32, set: bool) -> Self {
        let zero = 0u32.to_ne_bytes();
        self.expr(Meta::get(MetaKey::Mark, Reg::R1)).expr(Bitwise::mask(Reg::R1, bits.to_ne_bytes())).expr(if set {
            Cmp::ne(Reg::R1, zero)
        } else {
            Cmp::eq(Reg::R1, zero)
        })
    }

    /// Sets these bits, or clears them.
    pub(crate) fn mark(self, bits: u32, set: bool) -> Self {
        self.expr(Meta::get(MetaKey::Mark, Reg::R1))
            .expr(Bitwise::replace(Reg::R1, bits, if set { bits } else { 0 }))
            .expr(Meta::set(MetaKey::Mark, Reg::R1))
    }

    fn ct(self, key: CtKey, bits: u32) -> Self {
        self.expr(Ct::get(key, Reg::R1))
            .expr(Bitwise::mask(Reg::R1, bits.to_ne_bytes()))
            .expr(Cmp::ne(Reg::R1, 0u32.to_ne_bytes()))
    }

    /// Established or related, for connection tracking.
    pub(crate) fn established(self) -> Self {
        self.ct(CtKey::State, ct_state::ESTABLISHED | ct_state::RELATED)
    }

    pub(crate) fn new_flow(self) -> Self {
        self.ct(CtKey::State, ct_state::NEW)
    }

    pub(crate) fn invalid(self) -> Self {
        self.ct(CtKey::State, ct_state::INVALID)
    }

    /// The destination was translated. A packet without a flow was not.
    pub(crate) fn translated(self) -> Self {
        self.ct(CtKey::Status, ct_status::DST_NAT)
    }

    /// The way back to the source does not lead to the interface that the packet came in by.
    pub(crate) fn wrong_source(self) -> Self {
        let flags = fib_flags::SADDR | fib_flags::MARK | fib_flags::IIF;
        self.expr(Fib { dreg: Reg::R1, result: FibResult::Oif, flags }).expr(Cmp::eq(Reg::R1, 0u32.to_ne_bytes()))
    }

    pub(crate) fn count(self) -> Self {
        self.expr(Counter::default())
    }

    pub(crate) fn verdict(self, verdict: Verdict) -> Self {
        self.expr(verdict)
    }

    pub(crate) fn accept(self) -> Self {
        self.verdict(Verdict::Accept)
    }

    pub(crate) fn jump(self, chain: impl Into<String>) -> Self {
        self.verdict(Verdict::Jump(chain.into()))
    }

    pub(crate) fn goto(self, chain: impl Into<String>) -> Self {
        self.verdict(Verdict::Goto(chain.into()))
    }

    /// Counted and denied.
    pub(crate) fn deny(self, refuse: DenyAction) -> Self {
        let line = self.count();
        match refuse {
            DenyAction::Drop => line.verdict(Verdict::Drop),
            DenyAction::Reject => line.expr(Reject::Icmpx(IcmpxCode::PortUnreachable)),
        }
    }

    /// The first register is one of these values, or none of them.
    fn within(mut self, values: &Values, negated: bool) -> Self {
        match values.comparisons(negated) {
            Some(comparisons) => {
                self.exprs.extend(comparisons);
                self
            }
            None => self.match_set(values.set(), negated),
        }
    }

    /// Looks the first register up in a shared set.
    fn match_set(mut self, set: SetContent, inverted: bool) -> Self {
        let lookup = Lookup { inverted, ..Lookup::set(set.set.name.clone(), Reg::R1) };
        self.sets.push(Arc::new(set));
        self.expr(lookup)
    }
}

impl HookInterface {
    fn key(self) -> MetaKey {
        match self {
            Self::In => MetaKey::IifName,
            Self::Out => MetaKey::OifName,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nets_inside_others_are_left_out() {
        let nets =
            ["10.0.0.0/8", "10.1.0.0/16", "11.0.0.1/32", "11.0.0.1/32", "10.255.0.1/9"].map(|net| net.parse().unwrap());
        let kept: Vec<String> = outermost(nets.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["10.0.0.0/8", "11.0.0.1/32"]);
    }
}
