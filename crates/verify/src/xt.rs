//! Decodes parts of iptables' own matches and targets in rules of nf_tables: names, ports and
//! destinations.
//!
//! Source: `xt_tcp`, `xt_udp`, `nf_nat_range`, `nf_nat_range2` and `nf_nat_ipv4_multi_range_compat` of `linux/netfilter`.

use std::net::{IpAddr, SocketAddr};

use tortie_nft::expr::{Immediate, Redir, Unknown};
use tortie_nft::wire::Attrs;
use tortie_nft::{Expr, Reg, Rule};
use tortie_policy::packet::Transport;

use crate::foreign_tables::is_named;

/// `NFTA_TARGET_NAME`, `NFTA_MATCH_NAME`.
const NAME: u16 = 1;
/// `NFTA_TARGET_REV`, `NFTA_MATCH_REV`.
const REVISION: u16 = 2;
/// `NFTA_TARGET_INFO`, `NFTA_MATCH_INFO`.
const INFO: u16 = 3;
/// `XT_TCP_INV_DSTPT`, `XT_UDP_INV_DSTPT`.
const INVERTED: u8 = 2;

fn attribute(unknown: &Unknown, kind: u16) -> Option<&[u8]> {
    Attrs::new(&unknown.data).flatten().find(|attr| attr.kind == kind).map(|attr| attr.payload)
}

fn name(unknown: &Unknown) -> Option<String> {
    let bytes = attribute(unknown, NAME)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

/// The name of a target; none for anything else.
pub(crate) fn target(unknown: &Unknown) -> Option<String> {
    is_named(unknown, "target").then(|| name(unknown)).flatten()
}

/// How a target writes the mark of a packet: `(mark & kept) ^ value`, with some bits that are not known.
pub(crate) struct GivenMark {
    kept: u32,
    value: u32,
    unknown: u32,
}

impl GivenMark {
    /// Whether it may give a packet the other value of a bit.
    pub(crate) fn may_give(&self, bit: u32, is_set: bool) -> bool {
        let [kept, value, unknown] = [self.kept, self.value, self.unknown].map(|bits| bits & bit != 0);
        unknown || if kept { value } else { value != is_set }
    }
}

/// What a target MARK or CONNMARK writes into the mark of a packet; none for anything else.
pub(crate) fn mark(unknown: &Unknown) -> Option<GivenMark> {
    /// `XT_CONNMARK_RESTORE`.
    const RESTORE: u8 = 2;
    let target = target(unknown).filter(|name| matches!(&**name, "MARK" | "CONNMARK"))?;
    let revision = attribute(unknown, REVISION).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    let info = attribute(unknown, INFO).unwrap_or_default();
    let word = |at: usize| Some(u32::from_ne_bytes(info.get(at * 4..at * 4 + 4)?.try_into().ok()?));
    let of = || match (&*target, revision) {
        ("MARK", 2) => Some(GivenMark { kept: !word(1)?, value: word(0)?, unknown: 0 }),
        // Connections have marks of their own; only what restores one writes into the packet's.
        ("CONNMARK", 1) if *info.get(12)? != RESTORE => Some(GivenMark { kept: u32::MAX, value: 0, unknown: 0 }),
        ("CONNMARK", 1) => Some(GivenMark { kept: !word(2)?, value: 0, unknown: word(1)? }),
        _ => None,
    };
    Some(of().unwrap_or(GivenMark { kept: 0, value: 0, unknown: u32::MAX }))
}

/// Where a DNAT target translates to: an address and port, or a range of them.
pub(crate) fn dnat(unknown: &Unknown) -> Option<String> {
    let revision = attribute(unknown, REVISION).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    let info = attribute(unknown, INFO)?;
    let port = |at: usize| Some(u16::from_be_bytes(info.get(at..at + 2)?.try_into().ok()?)).filter(|port| *port > 0);
    // Revision 0 is IPv4's alone; from 1 on the address has room for both families, and IPv4's stands first.
    let wide = |at: usize| {
        let wide = info.get(at..at + 16)?;
        let narrow = wide[4..].iter().all(|byte| *byte == 0);
        address(if narrow { &wide[..4] } else { wide })
    };
    let (first, last, ports) = match revision {
        0 => (address(info.get(8..12)?)?, address(info.get(12..16)?)?, 16),
        _ => (wide(4)?, wide(20)?, 36),
    };
    let ports = port(ports).map(|first| (first, port(ports + 2).unwrap_or(first)));
    (!first.is_unspecified()).then(|| destinations((first, last), ports))
}

/// `NF_NAT_RANGE_PROTO_SPECIFIED`.
const WITH_PORTS: u32 = 2;

/// A REDIRECT target as expressions of nf_tables, which the kernel treats alike (source: net/netfilter/xt_REDIRECT.c). None for anything
/// else, and where it is not understood.
pub(crate) fn redirect(unknown: &Unknown) -> Option<Vec<Expr>> {
    target(unknown).filter(|name| name == "REDIRECT")?;
    if attribute(unknown, REVISION).is_some_and(|revision| revision.iter().any(|byte| *byte != 0)) {
        return None;
    }
    let info = attribute(unknown, INFO)?;
    // IPv4 has a list of one range (`nf_nat_ipv4_multi_range_compat`), IPv6 a range with room for both families (`nf_nat_range`).
    let (flags, ports) = match info.len() {
        20.. if info.len() < 36 => (4, 16),
        40.. => (0, 36),
        _ => return None,
    };
    let flags = u32::from_ne_bytes(info.get(flags..flags + 4)?.try_into().ok()?);
    if flags & !WITH_PORTS != 0 {
        return None;
    }
    let port = |at: usize, reg| Some(Immediate::data(reg, info.get(at..at + 2)?.to_vec()).into());
    let mut exprs: Vec<Expr> = Vec::new();
    if flags == WITH_PORTS {
        exprs.extend([port(ports, Reg::R1)?, port(ports + 2, Reg::R2)?]);
    }
    exprs.push(Redir { port: (flags == WITH_PORTS).then_some((Reg::R1, Reg::R2)), flags: 0 }.into());
    Some(exprs)
}

/// Whether a rule's port match lets a packet by, as far as there is one that can be read.
pub(crate) fn may_be_for(rule: &Rule, protocol: u8, transport: Transport) -> bool {
    let of = |expr: &Expr| match expr {
        Expr::Unknown(unknown) if is_named(unknown, "match") => {
            let (wanted, flags) = match name(unknown)?.as_str() {
                "tcp" => (6, 11),
                "udp" => (17, 8),
                _ => return None,
            };
            let info = attribute(unknown, INFO)?;
            let number = |at: usize| Some(u16::from_ne_bytes(info.get(at..at + 2)?.try_into().ok()?));
            let (first, last, inverted) = (number(4)?, number(6)?, info.get(flags)? & INVERTED != 0);
            let Transport::Ports { destination, .. } = transport else { return Some(false) };
            Some(protocol == wanted && (first..=last).contains(&destination) != inverted)
        }
        _ => None,
    };
    rule.exprs.iter().all(|expr| of(expr).unwrap_or(true))
}

/// An address of either family.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    four.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

/// `172.17.0.2:5000`, of ranges `172.17.0.2-172.17.0.9:5000-5002`.
pub(crate) fn destinations((first, last): (IpAddr, IpAddr), ports: Option<(u16, u16)>) -> String {
    let to = |address: IpAddr| match ports {
        Some((port, _)) => SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    let addresses = if first == last { to(first) } else { format!("{first}-{}", to(last)) };
    match ports {
        Some((from, till)) if from != till => format!("{addresses}-{till}"),
        _ => addresses,
    }
}
