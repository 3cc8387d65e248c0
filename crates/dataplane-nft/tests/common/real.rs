//! Questions as packets that a kernel can really meet, and its answers beside the evaluator's.

use std::net::IpAddr;

use tortie_dataplane::State;
use tortie_dataplane_nft::Kernel;
use tortie_eval::{Verdict as Answer, judge};
use tortie_nft::expr::{Expr, Immediate};
use tortie_nft::{Verdict, dump::TableDump};
use tortie_policy::Snapshot;
use tortie_policy::packet::{Conntrack, Host, Packet, PacketPath, Transport};

use super::bed::{LINKS, Observed, SentPacket, TestBed, is_group};
use super::walk::{plausible, source_route_ok, start_mark};

/// The packet as this kernel will see it; none if no wire can carry it here.
pub fn shot(packet: &Packet, state: &State, torn: bool) -> Option<SentPacket> {
    let mut packet = plausible(packet);
    let interfaces = match &packet.path {
        PacketPath::Input { interface } | PacketPath::Output { interface } => vec![interface],
        PacketPath::Forward { from, to } => vec![from, to],
    };
    let elsewhere = packet.translated_interface.iter();
    let ends = [packet.source, packet.destination].into_iter().chain(packet.translated.map(|(to, _)| to));
    let through = matches!(packet.path, PacketPath::Forward { .. });
    let to_group = !through && packet.translated.is_none() && is_group(packet.destination);
    let possible = interfaces.into_iter().chain(elsewhere).all(|name| LINKS.contains(&name.as_str()))
        && ends.clone().all(|end| is_plain(end) || end == packet.destination && to_group)
        && !ends.skip(1).any(|to| to == packet.source);
    if !possible {
        return None;
    }
    packet.conntrack = tracked(&packet)?;
    if packet.conntrack != Conntrack::New {
        packet.translated = None;
        packet.translated_interface = None;
    }
    let route_ok = source_route_ok(state, &packet);
    let whole = packet.conntrack == Conntrack::New
        && (matches!(packet.protocol, 6 | 17) || matches!(packet.transport, Transport::Icmp { .. }));
    let floating = state.host.as_ref().and_then(|host| host.nats.get(&packet.destination));
    let lands = match (packet.translated, floating) {
        (Some((to, _)), _) => to,
        (None, Some(to)) if packet.conntrack == Conntrack::New => *to,
        _ => packet.destination,
    };
    if lands == packet.source {
        return None;
    }
    Some(SentPacket { packet, lands, route_ok, torn: torn && whole })
}

fn is_plain(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_unspecified() && !address.is_broadcast() && address.octets()[0] < 224,
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_unicast_link_local() && !address.is_multicast(),
    }
}

/// What connection tracking will say of it; none if it cannot be had by one packet.
fn tracked(packet: &Packet) -> Option<Conntrack> {
    let untracked = packet.conntrack == Conntrack::Untracked;
    Some(match (packet.protocol, packet.transport) {
        _ if untracked => Conntrack::Untracked,
        (1 | 58, Transport::Icmp { .. }) => Packet { conntrack: Conntrack::New, ..packet.clone() }.tracking(),
        (6, Transport::Ports { .. }) if packet.conntrack == Conntrack::Invalid => Conntrack::Invalid,
        (6 | 17 | 132, Transport::Ports { .. }) => Conntrack::New,
        // Without a whole header it is part of nothing.
        (1 | 6 | 17 | 58 | 132 | 136, _) => return None,
        _ => Conntrack::New,
    })
}

/// What differs between the kernel and the evaluator, and how many packets were allowed.
pub struct Compared {
    /// In words.
    pub wrong: Vec<String>,
    /// Packets that got through.
    pub allowed: usize,
    /// The kernel's answers.
    pub seen: Vec<Observed>,
    /// The evaluator's.
    pub answers: Vec<Answer>,
}

/// Sends packets and compares what came of them.
pub fn compare(
    bed: &mut TestBed,
    kernel: &mut Kernel,
    snapshot: &Snapshot,
    host: &Host,
    shots: &[SentPacket],
) -> Compared {
    let before = denials(&kernel.read().unwrap().unwrap());
    let seen = bed.send(shots);
    let after = denials(&kernel.read().unwrap().unwrap());
    let mut wrong = Vec::new();
    let answers: Vec<Answer> = shots.iter().map(|shot| judge(snapshot, host, &shot.packet)).collect();
    for (index, ((shot, seen), answer)) in shots.iter().zip(&seen).zip(&answers).enumerate() {
        // Of our bits some may be gone; those of others are as they came.
        let (start, lost) = (start_mark(index), start_mark(index) & !seen.mark);
        let clean = !seen.allowed || (seen.mark & !start == 0 && lost & 0xfffc_ffff == 0);
        if seen.allowed != answer.allowed || !clean {
            let steps: Vec<String> = answer
                .path
                .iter()
                .map(|step| format!("{:?} {} {:?} {:?}", step.stage, step.interface, step.endpoint, step.decision))
                .collect();
            // Once more and alone, to see what counts it.
            let counts = counted(&kernel.read().unwrap().unwrap());
            bed.send(std::slice::from_ref(shot));
            let now = counted(&kernel.read().unwrap().unwrap());
            let path: Vec<String> = now.into_iter().filter(|one| !counts.contains(one)).map(|(rule, _)| rule).collect();
            wrong.push(format!(
                "packet {index}: {shot:?}\nevaluator: {}\n  {}\nkernel: {seen:x?}\n  {}",
                answer.allowed,
                steps.join("\n  "),
                path.join("\n  ")
            ));
        }
    }
    let denied = seen.iter().filter(|seen| !seen.allowed).count();
    if after - before < denied as u64 {
        wrong.push(format!("{denied} packets were denied, but only {} denials were counted", after - before));
    }
    Compared { wrong, allowed: seen.len() - denied, seen, answers }
}

/// How many packets our rules have denied.
pub fn denials(dump: &TableDump) -> u64 {
    let denies = |expr: &Expr| matches!(expr, Expr::Immediate(Immediate::Verdict(Verdict::Drop)) | Expr::Reject(_));
    let count = |expr: &Expr| match expr {
        Expr::Counter(counter) => counter.packets,
        _ => 0,
    };
    let rules = dump.rules.iter().filter(|rule| rule.exprs.iter().any(denies));
    rules.flat_map(|rule| rule.exprs.iter().map(count)).sum()
}

/// Every rule that counts, with its count.
fn counted(dump: &TableDump) -> Vec<(String, u64)> {
    let count = |rule: &tortie_nft::Rule| {
        let count = rule.exprs.iter().find_map(|expr| match expr {
            Expr::Counter(counter) => Some(counter.packets),
            _ => None,
        });
        Some((format!("{} {:?} {:?}", rule.chain, rule.handle, rule.comment), count?))
    };
    dump.rules.iter().filter_map(count).collect()
}
