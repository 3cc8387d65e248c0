//! What is decided before any policy: established/related connections, neighbour discovery, failsafes, tunnels, encapsulation.
//!
//! Chains that read ports or ICMP types return non-first fragments first.

use std::net::IpAddr;

use tortie_dataplane::SetId;
use tortie_nft::Verdict;
use tortie_policy::{Direction, Failsafe, Family, Settings};

use super::Plan;
use crate::match_expr::{DenyAction, ICMPV6, IPIP, PORTED, Side, TCP, UDP};
use crate::stage::Stage;
use crate::table_content::{ChainContent, Line, TableContent};

/// Neighbour discovery between a host and its link.
const NEIGHBOURS: &str = "neighbours";
/// What a workload may always send to its host.
pub(super) const WORKLOAD_NEIGHBOURS: &str = "workload-neighbours";
/// What OpenStack's workloads may always ask of it.
pub(super) const WORKLOAD_OPENSTACK: &str = "workload-openstack";
/// Tunnel packets to the host.
pub(super) const TUNNELS_IN: &str = "tunnels-in";
/// Tunnel packets from the host.
pub(super) const TUNNELS_OUT: &str = "tunnels-out";
/// Encapsulated packets of workloads.
const ENCAPSULATION: &str = "encapsulation";

pub(super) fn render(plan: &Plan, into: &mut TableContent) {
    let mut chain = |name: &str, lines: Vec<Line>| {
        into.chains.insert(name.to_owned(), ChainContent::new(lines));
    };
    let host_stages = [
        Stage::UntrackedIn,
        Stage::UntrackedOut,
        Stage::PreDnat,
        Stage::HostIn,
        Stage::HostOut,
        Stage::HostOutTranslated,
    ];
    let used = |stage: &Stage| plan.has(*stage);
    if host_stages.iter().any(used) {
        chain(NEIGHBOURS, neighbours());
    }
    for stage in host_stages.into_iter().filter(used) {
        if stage.chains(plan.settings()) == stage {
            chain(&stage.early(), host(stage, plan));
        }
    }
    for (name, direction, replies) in failsafe_chains(plan) {
        chain(name, failsafes(plan, direction, replies));
    }
    for stage in [Stage::ForwardIn, Stage::ForwardOut].into_iter().filter(used) {
        chain(&stage.early(), invalid(plan, stage).into_iter().collect());
        chain(&stage.nothing(), vec![Line::new().jump(stage.early()), Line::new().accept()]);
    }
    if plan.workloads() {
        let mut out = connection_states(plan, Stage::WorkloadEgress);
        let encapsulation = encapsulation(plan);
        if !encapsulation.is_empty() {
            chain(ENCAPSULATION, encapsulation);
            out.push(Line::new().jump(ENCAPSULATION));
        }
        chain(&Stage::WorkloadEgress.early(), out);
        chain(&Stage::WorkloadIngress.early(), connection_states(plan, Stage::WorkloadIngress));
        chain(WORKLOAD_NEIGHBOURS, workload_neighbours());
        if plan.settings().openstack {
            chain(WORKLOAD_OPENSTACK, openstack(plan.settings()));
        }
    }
    for (name, lines) in [(TUNNELS_IN, tunnels_in(plan)), (TUNNELS_OUT, tunnels_out(plan))] {
        if !lines.is_empty() {
            chain(name, lines);
        }
    }
}

/// Returns non-first fragments to the calling chain.
fn not_fragments(families: &[Family]) -> Vec<Line> {
    families.iter().map(|family| Line::new().non_first_fragment(*family).verdict(Verdict::Return)).collect()
}

const BOTH: [Family; 2] = [Family::V4, Family::V6];

fn host(stage: Stage, plan: &Plan) -> Vec<Line> {
    let mut lines = vec![Line::new().family(Family::V6).protocol(ICMPV6).jump(NEIGHBOURS)];
    let ported = |chain: &str| Line::new().ported(true).jump(chain);
    match stage {
        Stage::UntrackedIn => lines.extend([ported("failsafes-in"), ported("failsafe-replies-in")]),
        Stage::UntrackedOut => lines.extend([ported("failsafes-out"), ported("failsafe-replies-out")]),
        Stage::PreDnat | Stage::HostIn => {
            lines.extend(invalid(plan, stage));
            lines.push(ported("failsafes-in"));
        }
        _ => {
            lines.extend(invalid(plan, stage));
            lines.push(ported("failsafes-out"));
        }
    }
    lines
}

/// Accepts established/related packets and denies invalid ones. The base chains of host endpoints accept established/related packets
/// themselves: those are most packets, and they pass also where no endpoint governs the interface.
fn connection_states(plan: &Plan, stage: Stage) -> Vec<Line> {
    std::iter::once(established_or_related()).chain(invalid(plan, stage)).collect()
}

pub(super) fn established_or_related() -> Line {
    Line::new().established().count().accept().note("established/related")
}

fn invalid(plan: &Plan, stage: Stage) -> Option<Line> {
    let line = || Line::new().invalid().deny(stage.refuse(plan.settings())).note("invalid for connection tracking");
    (!plan.settings().accept_invalid).then(line)
}

/// Discovery with hop limit 255; listener reports from a link-local source or none.
fn neighbours() -> Vec<Line> {
    let [link_local, none] = ["fe80::/10", "::/128"].map(|net| net.parse().expect("a net"));
    let mut lines = not_fragments(&[Family::V6]);
    let discovery =
        Line::new().protocol(ICMPV6).icmp_types(&[133, 134, 135, 136]).family(Family::V6).ipv6_hop_limit(255);
    lines.push(discovery.count().accept().note("neighbour discovery"));
    for source in [link_local, none] {
        let reports = Line::new().protocol(ICMPV6).icmp_types(&[130, 131, 132, 143]).family(Family::V6);
        lines.push(reports.nets(Side::Source, Family::V6, &[source], false).count().accept().note("listener reports"));
    }
    lines
}

fn workload_neighbours() -> Vec<Line> {
    let mut lines = not_fragments(&[Family::V6]);
    let kinds = Line::new().protocol(ICMPV6).icmp_types(&[130, 131, 132, 133, 135, 136]).family(Family::V6);
    lines.push(kinds.count().accept().note("neighbour discovery of workloads"));
    lines
}

/// DHCP, DNS and the metadata server.
fn openstack(settings: &Settings) -> Vec<Line> {
    let mut lines = not_fragments(&BOTH);
    for (family, from, to) in [(Family::V4, 68, 67), (Family::V6, 546, 547)] {
        let line = Line::new().family(family).protocol(UDP).port(Side::Source, from);
        lines.push(line.port(Side::Destination, to).count().accept().note("DHCP of workloads"));
    }
    let dns = Line::new().protocol(UDP).port(Side::Destination, 53);
    lines.push(dns.count().accept().note("DNS of workloads"));
    if let Some(server) = settings.metadata {
        let line = Line::new().family(Family::V4).protocol(TCP).port(Side::Destination, server.port());
        let line = line.nets(Side::Destination, Family::V4, &[IpAddr::from(*server.ip()).into()], false);
        lines.push(line.count().accept().note("the metadata server of workloads"));
    }
    lines
}

/// The failsafe chains that are needed: name, direction of the failsafes, whether their replies are meant.
fn failsafe_chains(plan: &Plan) -> Vec<(&'static str, Direction, bool)> {
    let (ingress, egress) = (Direction::Ingress, Direction::Egress);
    let into = [Stage::UntrackedIn, Stage::PreDnat, Stage::HostIn].iter().any(|stage| plan.has(*stage));
    let out = [Stage::UntrackedOut, Stage::HostOut].iter().any(|stage| plan.has(*stage));
    let mut chains = Vec::new();
    chains.extend(into.then_some(("failsafes-in", ingress, false)));
    chains.extend(out.then_some(("failsafes-out", egress, false)));
    // In raw the replies of the other direction's connections pass too.
    chains.extend(plan.has(Stage::UntrackedIn).then_some(("failsafe-replies-in", egress, true)));
    chains.extend(plan.has(Stage::UntrackedOut).then_some(("failsafe-replies-out", ingress, true)));
    chains
}

/// Open ports. A reply comes from the port and the peer is its source, so both ends are turned round.
fn failsafes(plan: &Plan, direction: Direction, replies: bool) -> Vec<Line> {
    let list = match direction {
        Direction::Ingress => &plan.settings().failsafe_inbound,
        Direction::Egress => &plan.settings().failsafe_outbound,
    };
    let port_side = if replies { Side::Source } else { Side::Destination };
    // Where packets go towards the host the peer is the source, replies to its own connections included.
    let peer_side = if (direction == Direction::Ingress) != replies { Side::Source } else { Side::Destination };
    let note = if replies { "failsafe replies" } else { "failsafes" };
    let mut lines = Vec::new();
    let mut open: Vec<(u8, u16)> =
        list.iter().filter(|one| one.net.is_none()).map(|one| (one.protocol.number(), one.port)).collect();
    open.sort_unstable();
    open.dedup();
    if !open.is_empty() {
        lines.push(Line::new().protocol_ports(port_side, &open).count().accept().note(note));
    }
    let with_net = |one: &Failsafe| {
        let (net, protocol) = (one.net?, one.protocol.number());
        let line = Line::new().family(Family::of_net(&net)).protocol(protocol);
        let line = line.port(port_side, one.port).nets(peer_side, Family::of_net(&net), &[net.trunc()], false);
        PORTED.contains(&protocol).then(|| line.count().accept().note(note))
    };
    lines.extend(list.iter().filter_map(with_net));
    not_fragments(&BOTH).into_iter().chain(lines).collect()
}

/// What a workload may not send: VXLAN, IPIP.
fn encapsulation(plan: &Plan) -> Vec<Line> {
    let settings = plan.settings();
    let refuse = Stage::WorkloadEgress.refuse(settings);
    let mut lines = Vec::new();
    if !settings.ipip_from_workloads {
        lines.push(Line::new().protocol(IPIP).deny(refuse).note("IPIP from a workload"));
    }
    if !settings.vxlan_from_workloads {
        lines.extend(not_fragments(&BOTH));
        let line = Line::new().protocol(UDP).port(Side::Destination, settings.vxlan_port);
        lines.push(line.deny(refuse).note("VXLAN from a workload"));
    }
    lines
}

/// Tunnels between nodes, and nobody else's; the ends are never told.
fn tunnels_in(plan: &Plan) -> Vec<Line> {
    let settings = plan.settings();
    let mut lines = Vec::new();
    if settings.ipip {
        let line = || Line::new().family(Family::V4).protocol(IPIP);
        let set = plan.set(SetId::IPIP_PEERS, Family::V4);
        lines.push(line().peers(Side::Source, Family::V4, &set, false).count().accept().note("IPIP of a node"));
        lines.push(line().deny(DenyAction::Drop).note("IPIP of a stranger"));
    }
    let mut ports = Vec::new();
    for (family, vxlan, wireguard) in tunnels(plan) {
        let to = |port: u16| Line::new().family(family).protocol(UDP).port(Side::Destination, port);
        if vxlan {
            let set = plan.set(SetId::VXLAN_PEERS, family);
            let known = to(settings.vxlan_port).peers(Side::Source, family, &set, false);
            ports.push(known.count().accept().note("VXLAN of a node"));
            ports.push(to(settings.vxlan_port).deny(DenyAction::Drop).note("VXLAN of a stranger"));
        }
        ports.extend(wireguard.map(|port| to(port).count().accept().note("WireGuard")));
    }
    with_ports(lines, ports)
}

fn tunnels_out(plan: &Plan) -> Vec<Line> {
    let settings = plan.settings();
    let mut lines = Vec::new();
    if settings.ipip {
        let line = Line::new().family(Family::V4).protocol(IPIP);
        let set = plan.set(SetId::IPIP_PEERS, Family::V4);
        lines.push(line.peers(Side::Destination, Family::V4, &set, false).count().accept().note("IPIP to a node"));
    }
    let mut ports = Vec::new();
    for (family, vxlan, wireguard) in tunnels(plan) {
        let line = |side, port: u16| Line::new().family(family).protocol(UDP).port(side, port);
        if vxlan {
            let set = plan.set(SetId::VXLAN_PEERS, family);
            let line = line(Side::Destination, settings.vxlan_port).peers(Side::Destination, family, &set, false);
            ports.push(line.count().accept().note("VXLAN to a node"));
        }
        ports.extend(wireguard.map(|port| line(Side::Source, port).count().accept().note("WireGuard")));
    }
    with_ports(lines, ports)
}

fn tunnels(plan: &Plan) -> [(Family, bool, Option<u16>); 2] {
    let settings = plan.settings();
    [(Family::V4, settings.vxlan, settings.wireguard), (Family::V6, settings.vxlan_v6, settings.wireguard_v6)]
}

/// Lines that read ports, behind those that do not.
fn with_ports(mut lines: Vec<Line>, ports: Vec<Line>) -> Vec<Line> {
    if !ports.is_empty() {
        lines.extend(not_fragments(&BOTH));
        lines.extend(ports);
    }
    lines
}
