//! Host endpoints: placement, stages, failsafes and what no policy is asked about.

#![allow(clippy::unwrap_used)]

mod common;
use common::check;

const EP: &str = "HostEndpoint e r=h {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}\n";
const ALL: &str = "HostEndpoint all r=s {node: web1, interfaceName: '*'}\n";

fn with(base: &str, more: &str) -> String {
    format!("Tier default {{order: 1000000, defaultAction: Deny}}\n{base}{more}")
}

#[test]
fn without_policy_and_profile_everything_is_denied_except_failsafes_and_established_packets() {
    check(
        &with(EP, ""),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "deny no profile"),
            ("out eth0 tcp 192.0.2.11:1>203.0.113.9:80", "deny no profile"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:22", "pass failsafe tcp/22"),
            ("in eth0 udp 203.0.113.9:67>192.0.2.11:68", "pass failsafe udp/68"),
            ("out eth0 udp 192.0.2.11:1>203.0.113.9:53", "pass failsafe udp/53"),
            ("out eth0 tcp 192.0.2.11:1>203.0.113.9:22", "deny no profile"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80 est", "pass established"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:22 inv", "deny invalid"),
            ("in eth0 icmp 8/0 203.0.113.9>192.0.2.11", "deny no profile"),
            ("in eth0 proto 253 203.0.113.9>192.0.2.11", "deny no profile"),
            ("in eth1 tcp 203.0.113.9:1>198.51.100.11:80", "pass nothing"),
            ("in lo tcp 127.0.0.1:1>127.0.0.1:80", "pass nothing"),
        ],
    );
}

#[test]
fn failsafes_can_be_none_and_can_have_nets() {
    check(
        &with(
            EP,
            "FelixConfiguration default {failsafeInboundHostPorts: [], failsafeOutboundHostPorts: [{protocol: UDP, port: 53, net: 10.0.0.0/8}, {protocol: SCTP, port: 7}]}",
        ),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:22", "deny no profile"),
            ("out eth0 udp 192.0.2.11:1>10.1.1.1:53", "pass failsafe udp/53 for 10.0.0.0/8"),
            ("out eth0 udp 192.0.2.11:1>11.1.1.1:53", "deny no profile"),
            ("out eth0 sctp 192.0.2.11:1>11.1.1.1:7", "pass failsafe sctp/7"),
        ],
    );
}

#[test]
fn a_nodes_own_configuration_is_stronger_than_the_default_one() {
    check(
        &with(
            EP,
            "FelixConfiguration default {failsafeInboundHostPorts: []}\nFelixConfiguration node.web1 {failsafeInboundHostPorts: [{protocol: TCP, port: 8022}]}",
        ),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:8022", "pass failsafe tcp/8022"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:22", "deny no profile"),
        ],
    );
}

#[test]
fn the_endpoint_whose_name_sorts_first_governs_an_interface_that_it_matches_by_name_or_address() {
    let both = "HostEndpoint b r=b {node: web1, interfaceName: eth0, profiles: [open]}
        HostEndpoint a r=a {node: web1, expectedIPs: [192.0.2.11]}
        HostEndpoint 0 {node: web2, interfaceName: eth0}
        Profile open {ingress: [{action: Allow}]}";
    check(&with("", both), &[("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "deny no profile")]);
    check(
        &with("", &both.replace("HostEndpoint a", "HostEndpoint c")),
        &[("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "pass profile open#1")],
    );
}

#[test]
fn a_named_endpoint_never_matches_by_address() {
    check(
        &with("", "HostEndpoint a {node: web1, interfaceName: eth7, expectedIPs: [192.0.2.11]}"),
        &[("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "pass nothing")],
    );
}

#[test]
fn the_specific_endpoint_replaces_the_wildcard_and_the_wildcard_governs_loopback() {
    check(
        &with(
            EP,
            "HostEndpoint all r=s {node: web1, interfaceName: '*', profiles: [open]}\nProfile open {ingress: [{action: Allow, protocol: TCP}]}",
        ),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "deny no profile"),
            ("in eth1 tcp 203.0.113.9:1>198.51.100.11:80", "pass profile open#1"),
            ("in lo udp 127.0.0.1:1>127.0.0.1:80", "deny no profile"),
        ],
    );
}

#[test]
fn excluded_interfaces_have_no_specific_endpoint() {
    check(
        &with(EP, "FelixConfiguration default {interfaceExclude: 'kube-ipvs0,/^eth[0-9]$/'}"),
        &[("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "pass nothing")],
    );
}

#[test]
fn normal_policy_never_touches_forwarded_packets_and_forward_policy_ends_in_a_deny_in_its_direction_only() {
    let p = "GlobalNetworkPolicy p {selector: r == 'h', types: [Ingress, Egress], ingress: [{action: Deny}], egress: [{action: Deny}]}";
    check(&with(EP, p), &[("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:80", "pass nothing")]);
    let p = "GlobalNetworkPolicy p {selector: r == 'h', applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}";
    check(
        &with(EP, p),
        &[
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:80", "pass gnp p#1"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:81", "deny tier default"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:22", "deny tier default"),
            ("fwd eth1>eth0 tcp 198.51.100.9:1>203.0.113.9:81", "pass nothing"),
            ("fwd eth1>eth0 tcp 198.51.100.9:1>203.0.113.9:81 inv", "deny invalid"),
        ],
    );
}

#[test]
fn the_forward_stage_denies_invalid_without_any_forward_policy() {
    check(
        &with(EP, ""),
        &[
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:80 inv", "deny invalid"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:80", "pass nothing"),
        ],
    );
    check(
        &with(EP, "FelixConfiguration default {disableConntrackInvalidCheck: true}"),
        &[("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:80 inv", "pass nothing")],
    );
}

#[test]
fn profiles_never_apply_to_forwarded_packets() {
    let w = "HostEndpoint e r=h {node: web1, interfaceName: eth0, profiles: [open]}
        Profile open {ingress: [{action: Allow}]}
        GlobalNetworkPolicy p {selector: r == 'h', applyOnForward: true, types: [Ingress], ingress: [{action: Pass}]}";
    check(
        &with("", w),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "pass profile open#1"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:80", "pass nothing"),
        ],
    );
}

#[test]
fn a_pre_dnat_allow_opens_the_hosts_later_ingress_stages_but_no_workload() {
    let w = "GlobalNetworkPolicy pre {selector: r == 'h', order: 1, preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [80, 30080]}}, {action: Deny, protocol: TCP, destination: {ports: [81]}}]}
        GlobalNetworkPolicy fwd {selector: r == 'h', order: 2, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}
        WorkloadEndpoint ns/web1-k8s-p-eth0 a=b {orchestrator: k8s, node: web1, pod: p, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.1/32]}";
    check(
        &with(EP, w),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "pass AcceptedBefore"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:81", "deny gnp pre#2"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:82", "deny gnp fwd#1"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:80", "pass AcceptedBefore"),
            ("fwd eth0>cali1 tcp 203.0.113.9:1>192.0.2.11:30080 nat=10.65.0.1:80", "deny no profile"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:81 est", "pass established"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80 inv", "deny invalid"),
            // A failsafe is local to its table: it does not answer for the stages after it.
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:22", "pass failsafe tcp/22"),
        ],
    );
}

#[test]
fn pre_dnat_policy_sees_the_destination_before_the_translation_and_the_rest_after_it() {
    let w = "GlobalNetworkPolicy pre {selector: r == 'h', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [8055]}}]}
        GlobalNetworkPolicy fwd {selector: r == 'h', applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]}";
    check(
        &with(EP, w),
        &[("fwd eth0>eth1 tcp 203.0.113.9:1>192.0.2.11:32010 nat=198.51.100.9:8055", "pass gnp fwd#1")],
    );
}

#[test]
fn pre_dnat_policy_of_the_wildcard_applies_if_the_interfaces_endpoint_has_none_and_its_forward_policy_does_not() {
    let w = "GlobalNetworkPolicy pre {selector: r == 's', order: 1, preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [81]}}]}
        GlobalNetworkPolicy fwd {selector: r == 's', order: 2, applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Deny}], egress: [{action: Deny}]}";
    check(
        &with(&format!("{EP}{ALL}"), w),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:81", "deny gnp pre#1"),
            ("fwd eth0>eth0 tcp 203.0.113.9:1>203.0.113.8:82", "pass nothing"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:82", "deny gnp fwd#1"),
        ],
    );
}

#[test]
fn untracked_policy_applies_to_named_endpoints_only_and_is_needed_in_both_directions() {
    let w = "GlobalNetworkPolicy u {selector: \"r in {'h', 's'}\", order: 1, doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [8080]}}, {action: Deny, protocol: TCP, destination: {ports: [8081]}}]}";
    check(
        &with(&format!("{EP}{ALL}"), w),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:8080", "pass AcceptedBefore"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:8081", "deny gnp u#2"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:8082", "deny no profile"),
            ("in eth1 tcp 203.0.113.9:1>198.51.100.11:8080", "deny no profile"),
            // Its answer is not established, so the endpoint's egress policy meets it.
            ("out eth0 tcp 192.0.2.11:8080>203.0.113.9:1 inv", "deny invalid"),
            ("out eth0 tcp 192.0.2.11:8080>203.0.113.9:1 untracked", "deny no profile"),
            // Established packets are not accepted before connection tracking.
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:8081 est", "deny gnp u#2"),
        ],
    );
}

#[test]
fn failsafes_before_tracking_open_replies_too_and_do_not_end_tracking() {
    let w = "GlobalNetworkPolicy u {selector: r == 'h', doNotTrack: true, applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Deny}], egress: [{action: Deny}]}";
    check(
        &with(EP, w),
        &[
            ("in eth0 tcp 203.0.113.9:6443>192.0.2.11:40000 est", "pass established"),
            ("out eth0 tcp 192.0.2.11:22>203.0.113.9:40000 est", "pass established"),
            ("in eth0 tcp 203.0.113.9:40000>192.0.2.11:22", "pass failsafe tcp/22"),
            ("in eth0 tcp 203.0.113.9:80>192.0.2.11:40000 est", "deny gnp u#1"),
        ],
    );
}

#[test]
fn an_untracked_forwarded_packet_is_neither_established_nor_invalid() {
    let w = "GlobalNetworkPolicy fwd {selector: r == 'h', applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: UDP}]}";
    check(
        &with(EP, w),
        &[
            ("fwd eth0>eth1 udp 203.0.113.9:1>198.51.100.9:80 untracked", "pass gnp fwd#1"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:80 untracked", "deny tier default"),
        ],
    );
}

#[test]
fn a_translated_packet_of_the_host_is_judged_once_at_its_final_interface() {
    let w = "WorkloadEndpoint ns/web1-k8s-p-eth0 a=b {orchestrator: k8s, node: web1, pod: p, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.1/32]}
        GlobalNetworkPolicy e {selector: r == 'h', types: [Egress], egress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]}";
    check(
        &with(EP, w),
        &[
            ("out eth0 tcp 192.0.2.11:1>10.96.0.1:80 nat=10.65.0.1:8055 via=cali1", "pass HostToWorkload"),
            ("out eth0 tcp 192.0.2.11:1>10.96.0.1:80 nat=10.65.9.1:8055 via=eth0", "pass gnp e#1"),
            ("out eth0 tcp 192.0.2.11:1>10.96.0.1:8055 nat=10.65.9.1:80 via=eth0", "deny tier default"),
            ("out eth0 tcp 192.0.2.11:1>10.96.0.1:80 nat=10.65.9.1:80 via=eth1", "pass nothing"),
            // First routed to a workload, then translated elsewhere: policed where it leaves.
            ("out cali1 tcp 192.0.2.11:1>10.65.0.1:80 nat=203.0.113.9:80 via=eth0", "deny tier default"),
            ("out cali1 tcp 192.0.2.11:1>10.65.0.1:80", "pass HostToWorkload"),
            ("out cali-unknown tcp 192.0.2.11:1>10.65.0.2:80", "pass HostToWorkload"),
        ],
    );
}

#[test]
fn an_icmp_type_that_begins_no_connection_is_invalid_except_in_an_open_one_or_untracked() {
    let open = |stage: &str| {
        let policy = "types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]";
        with(EP, &format!("GlobalNetworkPolicy a {{selector: r == 'h', {stage}{policy}}}"))
    };
    let v4 = |kind: u8| format!("icmp {kind}/0 203.0.113.9>192.0.2.11");
    let v6 = |kind: u8| format!("icmp {kind}/0 2001:db8:1::9>2001:db8::11");
    for kind in 0..=255 {
        let [first, noted] = [[8, 13, 15, 17].contains(&kind), [128, 139].contains(&kind)];
        let untracked = (130..=136).contains(&kind) || [143, 151, 152].contains(&kind);
        let expected = |passes: bool| if passes { "pass gnp a#1" } else { "deny begins nothing" };
        check(&open(""), &[(&format!("in eth0 {}", v4(kind)), expected(first))]);
        check(&open(""), &[(&format!("in eth0 {}", v6(kind)), expected(noted || untracked))]);
    }
    let fwd = "fwd eth0>eth1 icmp 3/1 203.0.113.9>198.51.100.9";
    let out = "out eth0 icmp 0/0 192.0.2.11>203.0.113.9";
    check(&open(""), &[(out, "deny begins nothing"), (&format!("in eth0 {} est", v4(3)), "pass established")]);
    check(&open("applyOnForward: true, "), &[(fwd, "deny begins nothing")]);
    check(&open("doNotTrack: true, applyOnForward: true, "), &[(fwd, "pass AcceptedBefore"), (out, "pass gnp a#1")]);
    let early = "GlobalNetworkPolicy a {selector: r == 'h', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow}]}";
    check(&with(EP, early), &[(&format!("in eth0 {}", v4(11)), "deny begins nothing")]);
    let unchecked = "FelixConfiguration default {disableConntrackInvalidCheck: true}
        GlobalNetworkPolicy a {selector: r == 'h', types: [Ingress], ingress: [{action: Allow}]}";
    check(&with(EP, unchecked), &[(&format!("in eth0 {}", v4(11)), "pass gnp a#1")]);
    check(&with("", ""), &[(&format!("in eth0 {}", v4(11)), "pass nothing")]);
}

#[test]
fn neighbour_discovery_passes_every_host_stage_unless_it_is_forged() {
    let w = "GlobalNetworkPolicy u {selector: r == 'h', doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}
        GlobalNetworkPolicy pre {selector: r == 'h', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}";
    check(
        &with(EP, w),
        &[
            ("in eth0 icmp 135/0 2001:db8::1>2001:db8::11 hops=255", "pass NeighbourDiscovery"),
            ("out eth0 icmp 136/0 2001:db8::11>2001:db8::1 hops=255", "pass NeighbourDiscovery"),
            ("in eth0 icmp 135/0 2001:db8::1>2001:db8::11 hops=64", "deny gnp u#1"),
            ("in eth0 icmp 131/0 fe80::1>ff02::16 hops=1", "pass NeighbourDiscovery"),
            ("in eth0 icmp 131/0 2001:db8::1>ff02::16 hops=1", "deny gnp u#1"),
            ("out eth0 icmp 143/0 ::>ff02::16 hops=1", "pass NeighbourDiscovery"),
            ("in eth0 icmp 128/0 2001:db8::1>2001:db8::11 hops=255", "deny gnp u#1"),
            ("in eth0 icmp 137/0 2001:db8::1>2001:db8::11 hops=255", "deny gnp u#1"),
        ],
    );
}

#[test]
fn tunnels_between_nodes_are_allowed_before_policy_and_those_of_other_machines_denied_without_any_endpoint() {
    let w = "Node web1 {bgp: {ipv4Address: 192.0.2.11/24}, ipv4VXLANTunnelAddr: 10.65.0.0}
        Node web2 {bgp: {ipv4Address: 192.0.2.12/24}, ipv4VXLANTunnelAddr: 10.65.1.0}
        IPPool a {cidr: 10.65.0.0/24, ipipMode: Always}
        IPPool b {cidr: 10.66.0.0/24, vxlanMode: Always}
        FelixConfiguration default {externalNodesList: [203.0.113.0/28], wireguardEnabled: true}";
    let table = [
        ("in eth0 proto 4 192.0.2.12>192.0.2.11", "pass TunnelAllowed"),
        ("in eth0 proto 4 203.0.113.3>192.0.2.11", "pass TunnelAllowed"),
        ("in eth0 proto 4 203.0.113.99>192.0.2.11", "deny TunnelDenied"),
        ("in eth0 udp 192.0.2.12:9>192.0.2.11:4789", "pass TunnelAllowed"),
        ("in eth0 udp 203.0.113.3:9>192.0.2.11:4789", "deny TunnelDenied"),
        ("in eth0 udp 203.0.113.77:9>192.0.2.11:51820", "pass TunnelAllowed"),
        ("out eth0 proto 4 192.0.2.11>192.0.2.12", "pass TunnelAllowed"),
        ("out eth0 udp 192.0.2.11:9>192.0.2.12:4789", "pass TunnelAllowed"),
    ];
    check(&with(EP, w), &table);
    check(&with("", w), &table[..6]);
    check(&with(EP, w), &[("out eth0 proto 4 192.0.2.11>203.0.113.99", "deny no profile")]);
    check(&with(EP, ""), &[("in eth0 proto 4 192.0.2.12>192.0.2.11", "deny no profile")]);
}

#[test]
fn a_profile_that_does_not_exist_denies_and_a_pass_in_a_profile_continues_with_the_next() {
    let w = |profiles: &str| {
        format!(
            "HostEndpoint e r=h {{node: web1, interfaceName: eth0, profiles: [{profiles}]}}
            Profile pass {{ingress: [{{action: Pass}}]}}
            Profile open {{ingress: [{{action: Allow}}]}}
            Profile shut {{ingress: [{{action: Deny}}]}}
            Profile silent {{labelsToApply: {{a: b}}}}"
        )
    };
    for (profiles, want) in [
        ("nobody, open", "deny profile missing nobody"),
        ("silent, open", "pass profile open#1"),
        ("pass, open", "pass profile open#1"),
        ("pass", "deny no profile"),
        ("shut, open", "deny profile shut#1"),
        ("projectcalico-default-allow", "pass profile projectcalico-default-allow#1"),
    ] {
        check(&with("", &w(profiles)), &[("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", want)]);
    }
}

#[test]
fn a_denial_is_answered_only_where_the_kernel_can_answer_it() {
    let reject = "FelixConfiguration default {nftablesFilterDenyAction: Reject}";
    check(
        &with(EP, reject),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "reject no profile"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80 inv", "reject invalid"),
            ("out eth0 tcp 192.0.2.11:1>203.0.113.9:80", "reject no profile"),
            ("out eth0 tcp 192.0.2.11:1>203.0.113.9:80 nat=203.0.113.10:80", "deny no profile"),
            ("fwd eth1>cali9 tcp 203.0.113.9:1>10.65.0.9:80", "reject UnknownWorkload"),
            ("in cali9 tcp 10.65.0.9:1>192.0.2.11:80", "deny UnknownWorkload"),
        ],
    );
    let early = |flag: &str| {
        with(EP, reject)
            + "\nGlobalNetworkPolicy p {selector: all(), "
            + flag
            + ": true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}"
    };
    check(&early("preDNAT"), &[("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "deny gnp p#1")]);
    check(&early("doNotTrack"), &[("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "deny gnp p#1")]);
}

#[test]
fn a_shadowed_endpoint_governs_the_interface_once_the_other_is_deleted() {
    let two = "HostEndpoint b {node: web1, interfaceName: eth0, profiles: [open]}
        Profile open {ingress: [{action: Allow}], egress: [{action: Allow}]}\n";
    let packet = "in eth0 tcp 203.0.113.9:1>192.0.2.11:80";
    let winner = "HostEndpoint a {node: web1, interfaceName: eth0}";
    check(&format!("{two}{winner}"), &[(packet, "deny no profile")]);
    check(two, &[(packet, "pass profile open#1")]);
}

#[test]
fn a_failsafe_decides_its_own_stage_and_no_later_one() {
    let w = "GlobalNetworkPolicy pre {selector: r == 'h', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}
        GlobalNetworkPolicy fwd {selector: r == 'h', applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [23]}}]}";
    check(
        &with(EP, w),
        &[
            // Past pre-DNAT by its failsafe, whatever the address; the forward stage has none.
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:22", "deny tier default"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:22 nat=198.51.100.9:23", "pass gnp fwd#1"),
            ("fwd eth0>eth1 tcp 203.0.113.9:1>198.51.100.9:23", "deny gnp pre#1"),
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:22", "pass failsafe tcp/22"),
        ],
    );
}

#[test]
fn a_failsafe_with_a_net_applies_to_the_family_of_the_net_only() {
    let w = "FelixConfiguration default {failsafeInboundHostPorts: [{protocol: TCP, port: 22, net: 0.0.0.0/0}]}";
    check(
        &with(EP, w),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:22", "pass failsafe tcp/22 for 0.0.0.0/0"),
            ("in eth0 tcp [2001:db8::1]:1>[2001:db8::11]:22", "deny no profile"),
        ],
    );
}

#[test]
fn one_endpoint_governs_every_interface_that_has_one_of_its_addresses() {
    let w = "HostEndpoint both {node: web1, expectedIPs: [192.0.2.11, 198.51.100.11]}";
    check(
        &with("", w),
        &[
            ("in eth0 tcp 203.0.113.9:1>192.0.2.11:80", "deny no profile"),
            ("in eth1 tcp 203.0.113.9:1>198.51.100.11:80", "deny no profile"),
            ("in lo tcp 127.0.0.1:1>127.0.0.1:80", "pass nothing"),
        ],
    );
}
