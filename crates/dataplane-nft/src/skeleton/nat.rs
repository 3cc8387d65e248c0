//! Floating IPs, and the sources of pools that leave them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tortie_dataplane::SetId;
use tortie_nft::expr::{Immediate, Lookup, Masq, Nat, NatKind, Payload};
use tortie_nft::{BaseChain, Element, Hook, Key, Reg, Set};
use tortie_policy::{Family, NatOutgoing};

use super::Plan;
use crate::match_expr::{HookInterface, Side, TCP, UDP, address_type, fields, octets, word};
use crate::options::TableOptions;
use crate::sets::FAMILIES;
use crate::table_content::{ChainContent, Line, SetContent, TableContent};

/// Where destinations are rewritten.
pub const DESTINATION: i32 = -100;
/// Where sources are rewritten.
pub const SOURCE: i32 = 100;

pub(super) fn render(plan: &Plan, _options: &TableOptions, into: &mut TableContent) {
    let mut destination = Vec::new();
    let mut source = Vec::new();
    for family in FAMILIES {
        let nats: BTreeMap<IpAddr, IpAddr> = plan
            .host
            .nats
            .iter()
            .filter(|(from, to)| Family::of(**from) == family && Family::of(**to) == family)
            .map(|(from, to)| (*from, *to))
            .collect();
        if !nats.is_empty() {
            floating(family, &nats, into);
            destination.push(rewrite_destination(family));
            source.push(rewrite_source(family));
        }
        if plan.pools {
            source.extend(outgoing(plan, family));
        }
    }
    let mut base = |name: &str, hook, priority, lines: &Vec<Line>| {
        if !lines.is_empty() {
            let base = Some(BaseChain::nat(hook, priority));
            into.chains.insert(name.to_owned(), ChainContent { base, ..ChainContent::new(lines.clone()) });
        }
    };
    base("nat-in", Hook::Prerouting, DESTINATION, &destination);
    base("nat-out", Hook::Output, DESTINATION, &destination);
    base("nat-source", Hook::Postrouting, SOURCE, &source);
}

fn map_name(family: Family, what: &str) -> String {
    match family {
        Family::V4 => format!("floating4-{what}"),
        Family::V6 => format!("floating6-{what}"),
    }
}

fn floating(family: Family, nats: &BTreeMap<IpAddr, IpAddr>, into: &mut TableContent) {
    let address = address_type(family);
    let mut put = |set: Set, elements: Vec<Element>| {
        let mut form = SetContent { elements, set };
        form.sort();
        into.sets.insert(form.set.name.clone(), form);
    };
    let forth = nats.iter().map(|(from, to)| Element::value(Key::One(octets(*from)), octets(*to))).collect();
    put(Set::map(map_name(family, "in"), address, address), forth);
    // A workload that calls its own floating address gets answers from there; of several the lowest.
    let pair = fields(&[address, address]);
    let mut lowest: BTreeMap<IpAddr, IpAddr> = BTreeMap::new();
    for (from, to) in nats {
        lowest.entry(*to).or_insert(*from);
    }
    let back = lowest.iter().map(|(to, from)| {
        let own = octets(*to);
        Element::value(Key::One(pair.value([&own[..], &own])), octets(*from))
    });
    put(Set::map(map_name(family, "own"), pair.clone(), address), back.collect());
}

fn number(family: Family) -> u32 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

fn rewrite_destination(family: Family) -> Line {
    let load = match family {
        Family::V4 => Payload::ipv4_destination(Reg::R1),
        Family::V6 => Payload::ipv6_destination(Reg::R1),
    };
    let address = Some((Reg::R1, Reg::R1));
    let nat = Nat { kind: NatKind::Destination, family: number(family), address, port: None, flags: 0 };
    let map = map_name(family, "in");
    Line::new().family(family).expr(load).expr(Lookup::map(map, Reg::R1, Reg::R1)).expr(nat).note("floating IPs")
}

fn rewrite_source(family: Family) -> Line {
    let (source, destination) = match family {
        Family::V4 => (Payload::ipv4_source(Reg::R1), Payload::ipv4_destination(word(1))),
        Family::V6 => (Payload::ipv6_source(Reg::R1), Payload::ipv6_destination(Reg::R2)),
    };
    let address = Some((Reg::R1, Reg::R1));
    let nat = Nat { kind: NatKind::Source, family: number(family), address, port: None, flags: 0 };
    let map = Lookup::map(map_name(family, "own"), Reg::R1, Reg::R1);
    Line::new().family(family).expr(source).expr(destination).expr(map).expr(nat).note("own floating IPs")
}

/// What leaves the pools gets another source. TCP and UDP first, where their ports are said.
fn outgoing(plan: &Plan, family: Family) -> Vec<Line> {
    let settings = &plan.settings().nat_outgoing;
    let leaving = |protocol: Option<u8>| {
        let mut line = Line::new().family(family);
        if let Some(name) = &settings.interface {
            line = match name.strip_suffix('+') {
                Some(prefix) => line.interface_prefix(HookInterface::Out, prefix),
                None => line.interface_named(HookInterface::Out, name),
            };
        }
        if let Some(protocol) = protocol {
            line = line.protocol(protocol);
        }
        line = line.peers(Side::Source, family, &plan.set(SetId::TRANSLATED_POOLS, family), false);
        line = line.peers(Side::Destination, family, &plan.set(SetId::POOLS, family), true);
        if settings.spare_nodes {
            line = line.peers(Side::Destination, family, &plan.set(SetId::IPIP_PEERS, family), true);
        }
        line.count()
    };
    let ported = settings.ports.into_iter().flat_map(|ports| [(Some(TCP), Some(ports)), (Some(UDP), Some(ports))]);
    let all = ported.chain([(None, None)]);
    all.map(|(protocol, ports)| translate(leaving(protocol), settings, family, ports).note("leaving the pools"))
        .collect()
}

fn translate(mut line: Line, settings: &NatOutgoing, family: Family, ports: Option<(u16, u16)>) -> Line {
    let [from, to] = [word(4), word(5)];
    if let Some((first, last)) = ports {
        line = line.expr(Immediate::data(from, first.to_be_bytes())).expr(Immediate::data(to, last.to_be_bytes()));
    }
    let port = ports.map(|_| (from, to));
    match settings.address.filter(|_| family == Family::V4) {
        Some(address) => {
            let nat = Nat {
                kind: NatKind::Source,
                family: number(family),
                address: Some((Reg::R1, Reg::R1)),
                port,
                flags: 0,
            };
            line.expr(Immediate::data(Reg::R1, address.octets())).expr(nat)
        }
        None => line.expr(Masq { port, ..Masq::default() }),
    }
}
