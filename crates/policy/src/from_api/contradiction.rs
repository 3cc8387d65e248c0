//! Conditions of a rule that each can be read and that no packet can meet together. Calico refuses to write them, so one of
//! them is damaged; which one is not known, and all of them count as unreadable.

use ipnet::IpNet;

use super::read::Reason;
use crate::rule::{Family, PeerMatch, Rule};

/// A condition that counts as unreadable: its side of the rule, if it is of one, its field, and why.
pub(super) type Contradicted = (Option<&'static str>, &'static str, Reason);

/// Takes the conditions of a rule away that contradict one another. `family` is what `ipVersion` says.
pub(super) fn take(rule: &mut Rule, family: Option<Family>) -> Vec<Contradicted> {
    let mut taken = Vec::new();
    take_ports(rule, &mut taken);
    take_icmp(rule, family, &mut taken);
    take_all_nets(rule, &mut taken);
    take_nets(rule, family, &mut taken);
    if !taken.is_empty() {
        // Otherwise it would still say what the conditions that were taken away implied.
        let is_taken = |field: &str| taken.iter().any(|(_, taken, _)| *taken == field);
        rule.family = family.filter(|_| !is_taken("ipVersion")).or_else(|| super::rule::implied_family(rule.protocol));
    }
    taken
}

fn sides(rule: &mut Rule) -> [(&'static str, &mut PeerMatch); 2] {
    [("source", &mut rule.source), ("destination", &mut rule.destination)]
}

/// Ports of a protocol that has none.
fn take_ports(rule: &mut Rule, taken: &mut Vec<Contradicted>) {
    let Some(protocol) = rule.protocol.filter(|protocol| !protocol.has_ports()) else { return };
    let before = taken.len();
    for (side, peer) in sides(rule) {
        for (field, ports) in [("ports", &mut peer.ports), ("notPorts", &mut peer.not_ports)] {
            if !ports.is_empty() {
                ports.clear();
                taken.push((Some(side), field, format!("the protocol {protocol} has no ports").into()));
            }
        }
    }
    if taken.len() > before {
        taken.push((None, "protocol", "the rule has ports, which this protocol does not have".into()));
        rule.protocol = None;
    }
}

/// An ICMP type of another protocol, or ICMP of the other IP version.
fn take_icmp(rule: &mut Rule, family: Option<Family>, taken: &mut Vec<Contradicted>) {
    let Some(protocol) = rule.protocol else { return };
    let of = super::rule::implied_family(Some(protocol));
    // Calico writes `notICMP` beside any protocol.
    let mut is_contradicted = of.is_none() && rule.icmp.take().is_some();
    if is_contradicted {
        taken.push((None, "icmp", format!("the protocol {protocol} has no ICMP types").into()));
    }
    if of.is_some() && family.is_some() && of != family {
        taken.push((None, "ipVersion", format!("no packet of this version has the protocol {protocol}").into()));
        (rule.icmp, rule.not_icmp, is_contradicted) = (None, None, true);
    }
    if is_contradicted {
        taken.push((None, "protocol", "other conditions of the rule are not of this protocol".into()));
        rule.protocol = None;
    }
}

/// Exceptions that leave no address.
fn take_all_nets(rule: &mut Rule, taken: &mut Vec<Contradicted>) {
    for (side, peer) in sides(rule) {
        if peer.not_nets.iter().any(|net| net.prefix_len() == 0) {
            peer.not_nets.clear();
            taken.push((Some(side), "notNets", "no address is outside all of these nets".into()));
        }
    }
}

/// Nets of which none is of the version that the rule, or its other side, is for. ICMP does not say the version here: Calico writes
/// ICMP with nets of IPv6, which no packet meets.
fn take_nets(rule: &mut Rule, family: Option<Family>, taken: &mut Vec<Contradicted>) {
    let all_of = |nets: &[IpNet]| {
        let of = nets.first().map(|net| Family::of(net.addr()))?;
        nets.iter().all(|net| Family::of(net.addr()) == of).then_some(of)
    };
    let mut of_rule: Vec<Family> = family.into_iter().collect();
    for (_, peer) in sides(rule) {
        of_rule.extend([&peer.nets, &peer.not_nets].into_iter().filter_map(|nets| all_of(nets)));
    }
    if of_rule.iter().all(|family| *family == of_rule[0]) {
        return;
    }
    let reason = || Reason::from("the nets and the IP version of the rule are not all of one version");
    for (side, peer) in sides(rule) {
        for (field, nets) in [("nets", &mut peer.nets), ("notNets", &mut peer.not_nets)] {
            if !nets.is_empty() {
                nets.clear();
                taken.push((Some(side), field, reason()));
            }
        }
    }
    if super::rule::implied_family(rule.protocol).is_some() {
        (rule.protocol, rule.icmp, rule.not_icmp) = (None, None, None);
        taken.push((None, "protocol", reason()));
    }
    if family.is_some() && !taken.iter().any(|(_, field, _)| *field == "ipVersion") {
        taken.push((None, "ipVersion", reason()));
    }
}
