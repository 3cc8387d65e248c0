//! Renders what one rule of a policy matches as nf_tables rules, which this crate calls lines.
//!
//! A rule becomes one line or several: one for each family where it reads addresses, one for each way to meet its ports
//! (a number, or one of the named sets), and for `notPorts` without a protocol one for protocols without ports, which are
//! on none. The first line that a packet meets decides; behind a Log, which decides nothing, the lines of one rule exclude
//! each other. So a rule counts a packet once.
//!
//! What is cheap and selective is asked first: a packet passes thousands of rules, and ends most of them at the port.
//!
//! A line that reads a transport header is marked ([`Match`]): non-first fragments must not reach it.

use ipnet::IpNet;
use tortie_dataplane::{End, Rule, SetId};
use tortie_net::PortRange;
use tortie_policy::Family;

use crate::faults::is_on;
use crate::match_expr::{ICMP, ICMPV6, PORTED, Side, outermost};
use crate::names;
use crate::sets::{FAMILIES, Shape};
use crate::table_content::Line;

/// One way to match a rule.
#[derive(Clone, Debug)]
pub(crate) struct Match {
    pub(crate) line: Line,
    /// It reads ports or an ICMP type.
    pub(crate) transport: bool,
}

/// How a line matches the ports of one end: source or destination.
#[derive(Clone, Copy)]
enum PortCondition<'a> {
    /// There is nothing to meet.
    Any,
    Numbers(&'a [PortRange]),
    Named(&'a SetId),
}

/// All ways to match a rule; none if nothing can. `shape` says how a set is kept for a family; not at all if it has no
/// members there.
pub(crate) fn matches(rule: &Rule, shape: &impl Fn(&SetId, Family) -> Option<Shape>) -> Vec<Match> {
    let mut found = Vec::new();
    for family in families(rule) {
        for ported in ported_variants(rule) {
            let [sources, destinations] = [&rule.source, &rule.destination].map(|end| port_conditions(end, ported));
            for source in 0..sources.len() {
                for destination in 0..destinations.len() {
                    let ports = [&sources[..=source], &destinations[..=destination]];
                    found.extend(line_for(rule, family, ported, ports, shape));
                }
            }
        }
    }
    found
}

/// The families that the rule is for; none given where it does not matter.
fn families(rule: &Rule) -> Vec<Option<Family>> {
    let ends = [&rule.source, &rule.destination];
    let reads = |end: &&End| {
        end.peers.is_some()
            || end.service.is_some()
            || !(end.nets.is_empty() && end.not_nets.is_empty())
            || !(end.ports.named.is_empty() && end.not_ports.named.is_empty())
    };
    let matters = rule.family.is_some() || rule.icmp.is_some() || rule.not_icmp.is_some() || ends.iter().any(reads);
    if !matters {
        return vec![None];
    }
    let named = |nets: &[IpNet], family| nets.is_empty() || nets.iter().any(|net| Family::of_net(net) == family);
    let possible = |family: &Family| {
        rule.family.is_none_or(|only| only == *family)
            && ends.iter().all(|end| named(&end.nets, *family) && named(&end.not_nets, *family))
    };
    FAMILIES.into_iter().filter(possible).map(Some).collect()
}

fn is_ported(protocol: u8) -> bool {
    PORTED.contains(&protocol)
}

/// Whether the packet's protocol has ports, where that matters.
fn ported_variants(rule: &Rule) -> Vec<Option<bool>> {
    let ends = [&rule.source, &rule.destination];
    let excludes = ends.iter().any(|end| !end.not_ports.is_empty());
    let numbers = ends.iter().any(|end| !end.ports.ranges.is_empty());
    if !excludes && !numbers {
        return vec![None];
    }
    let wanted = ends.iter().any(|end| !end.ports.is_empty());
    match rule.protocol.map(|protocol| is_ported(protocol.number())) {
        Some(ported) => vec![Some(ported)],
        None if wanted => vec![Some(true), Some(false)],
        None => vec![Some(false), Some(true)],
    }
}

/// The ways to meet an end's `ports` with a protocol of this class.
fn port_conditions(end: &End, ported: Option<bool>) -> Vec<PortCondition<'_>> {
    if end.ports.is_empty() {
        return vec![PortCondition::Any];
    }
    let numbers = !end.ports.ranges.is_empty() && ported == Some(true);
    let numbers = numbers.then_some(PortCondition::Numbers(&end.ports.ranges));
    numbers.into_iter().chain(end.ports.named.iter().map(PortCondition::Named)).collect()
}

/// One way to match a rule: at each end the last of the ways to meet its ports, behind those that come before it.
fn line_for(
    rule: &Rule,
    family: Option<Family>,
    ported: Option<bool>,
    ports: [&[PortCondition<'_>]; 2],
    shape: &impl Fn(&SetId, Family) -> Option<Shape>,
) -> Option<Match> {
    // The family that the rule is for was looked at by `families`.
    let Rule { number: _, action, family: _, protocol, not_protocol, icmp: only_icmp, not_icmp, source, destination } =
        rule;
    let ends = [(Side::Source, source), (Side::Destination, destination)];
    let ways = ports.map(|ports| ports.split_last().expect("there is always a way"));
    let mut line = match (protocol, ported) {
        (Some(protocol), _) => Line::new().protocol(protocol.number()),
        (None, Some(ported)) => Line::new().ported(ported),
        (None, None) => Line::new(),
    };
    if let Some(not) = not_protocol {
        line = line.not_protocol(not.number());
    }
    // Lines behind which others are asked must not overlap.
    let excludes = !action.decides() && !is_on("log-lines-overlap");
    let mut transport = false;
    if only_icmp.is_some() || not_icmp.is_some() {
        line = icmp(rule, family?, line)?;
        transport = true;
    }
    for ((side, end), (met, earlier)) in ends.into_iter().zip(ways) {
        if let PortCondition::Numbers(ranges) = met {
            line = line.ports(side, ranges, false);
            transport = true;
        }
        if !end.not_ports.is_empty() && ported == Some(true) {
            // Where the end is read anyway, what cannot be read has ended the rule.
            line = match end.not_ports.ranges.as_slice() {
                [] => line,
                ranges => line.ports(side, ranges, true),
            };
            transport = true;
        }
        for way in earlier.iter().filter(|_| excludes) {
            if let PortCondition::Numbers(ranges) = way {
                line = line.ports(side, ranges, true);
            }
        }
    }
    line = family.into_iter().fold(line, Line::family);
    for (side, end) in ends {
        if let Some(family) = family {
            line = addresses(side, end, family, line, shape)?;
        }
    }
    for ((side, end), (met, earlier)) in ends.into_iter().zip(ways) {
        let Some(family) = family else { continue };
        let name = |set: &SetId| Some(names::set(set, shape(set, family)?, family));
        if let PortCondition::Named(set) = met {
            line = line.peer_ports(side, family, &name(set)?, false);
            transport = true;
        }
        if ported != Some(false) {
            for set in end.not_ports.named.iter().filter_map(name) {
                line = line.peer_ports(side, family, &set, true);
            }
        }
        for way in earlier.iter().filter(|_| excludes) {
            if let PortCondition::Named(set) = way
                && let Some(set) = name(set)
            {
                line = line.peer_ports(side, family, &set, true);
            }
        }
        if let Some(set) = &end.service {
            let with_ports = shape(set, family)? == Shape::Ports;
            transport |= with_ports;
            line = match with_ports {
                true => line.peer_ports(side, family, &name(set)?, false),
                false => line.peers(side, family, &name(set)?, false),
            };
        }
    }
    Some(Match { line, transport })
}

/// ICMP of the packet's own family, whose header can be read. None if nothing can match.
fn icmp(rule: &Rule, family: Family, line: Line) -> Option<Line> {
    let own = match family {
        Family::V4 => ICMP,
        Family::V6 => ICMPV6,
    };
    let mut line = match rule.protocol {
        Some(protocol) if protocol.number() == own => line,
        Some(_) => return None,
        None => line.protocol(own),
    };
    if let Some(only) = rule.icmp {
        line = only.kind.into_iter().fold(line, Line::icmp_type);
        line = only.code.into_iter().fold(line, Line::icmp_code);
    }
    match rule.not_icmp.map(|not| (not.kind, not.code)) {
        None => {}
        Some((Some(kind), Some(code))) => line = line.not_icmp(family, kind, code),
        Some((Some(kind), None)) => line = line.not_icmp_type(kind),
        Some((None, _)) => return None,
    }
    let untyped = rule.icmp.is_none_or(|only| only.kind.is_none()) && rule.not_icmp.is_none();
    Some(if untyped { line.some_icmp_type() } else { line })
}

/// What the address of one end must be. None if nothing can match.
fn addresses(
    side: Side,
    end: &End,
    family: Family,
    mut line: Line,
    shape: &impl Fn(&SetId, Family) -> Option<Shape>,
) -> Option<Line> {
    let ours = |nets: &[IpNet]| outermost(nets.iter().copied().filter(|net| Family::of_net(net) == family));
    if !end.nets.is_empty() {
        line = line.nets(side, family, &ours(&end.nets), false);
    }
    if !end.not_nets.is_empty() {
        let nets = ours(&end.not_nets);
        if nets.iter().any(|net| net.prefix_len() == 0) {
            return None;
        }
        line = line.nets(side, family, &nets, true);
    }
    if let Some(peers) = &end.peers {
        line = match shape(&peers.set, family) {
            Some(shape) => line.peers(side, family, &names::set(&peers.set, shape, family), peers.negated),
            None if peers.negated => line,
            None => return None,
        };
    }
    Some(line)
}
