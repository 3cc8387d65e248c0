//! Workload endpoints, and packets that pass a host endpoint too.

#![allow(clippy::unwrap_used)]

mod common;
use common::check;

const PODS: &str = "Tier default {order: 1000000, defaultAction: Deny}
    Profile kns.ns {labelsToApply: {pcns.team: red}, ingress: [{action: Allow}], egress: [{action: Allow}]}
    WorkloadEndpoint ns/web1-k8s-a-eth0 projectcalico.org/namespace=ns app=a {orchestrator: k8s, node: web1, pod: a, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.1/32, fd65::1/128], profiles: [kns.ns]}
    WorkloadEndpoint ns/web1-k8s-b-eth0 projectcalico.org/namespace=ns app=b {orchestrator: k8s, node: web1, pod: b, endpoint: eth0, interfaceName: cali2, ipNetworks: [10.65.0.2/32], profiles: [kns.ns]}\n";

fn rows(world: &str, table: &[(&str, &str)]) {
    check(&format!("{PODS}{world}"), table);
}

#[test]
fn an_unknown_interface_with_a_workload_prefix_is_closed_in_both_directions() {
    rows(
        "",
        &[
            ("fwd eth0>cali9 tcp 203.0.113.9:1>10.65.0.9:80", "deny UnknownWorkload"),
            ("fwd cali9>eth0 tcp 10.65.0.9:1>203.0.113.9:80", "deny UnknownWorkload"),
            ("in cali9 tcp 10.65.0.9:1>192.0.2.11:80", "deny UnknownWorkload"),
            ("out cali9 tcp 192.0.2.11:1>10.65.0.9:80", "pass HostToWorkload"),
        ],
    );
}

#[test]
fn a_workload_may_only_send_from_its_own_addresses() {
    rows(
        "",
        &[
            ("fwd cali1>eth0 tcp 10.65.0.1:1>203.0.113.9:80", "pass profile kns.ns#1"),
            ("fwd cali1>eth0 tcp 10.65.0.2:1>203.0.113.9:80", "deny SourceWrong"),
            ("fwd cali1>eth0 tcp 10.65.0.2:1>203.0.113.9:80 est", "deny SourceWrong"),
            ("in cali1 icmp 135/0 fe80::1>ff02::1:ff00:1 hops=255", "pass NeighbourDiscovery"),
        ],
    );
}

#[test]
fn spoofed_source_prefixes_count_only_while_allowed_and_close_the_endpoint_otherwise() {
    let w = "WorkloadEndpoint ns/web1-k8s-c-eth0 projectcalico.org/namespace=ns {orchestrator: k8s, node: web1, pod: c, endpoint: eth0, interfaceName: cali3, ipNetworks: [10.65.0.3/32], profiles: [kns.ns], allowSpoofedSourcePrefixes: [10.9.0.0/16]}\n";
    rows(w, &[("fwd cali3>eth0 tcp 10.65.0.3:1>203.0.113.9:80", "deny UnknownWorkload")]);
    rows(
        &format!("{w}FelixConfiguration default {{workloadSourceSpoofing: Any}}"),
        &[
            ("fwd cali3>eth0 tcp 10.65.0.3:1>203.0.113.9:80", "pass profile kns.ns#1"),
            ("fwd cali3>eth0 tcp 10.9.1.1:1>203.0.113.9:80", "pass profile kns.ns#1"),
            ("fwd cali3>eth0 tcp 10.8.1.1:1>203.0.113.9:80", "deny SourceWrong"),
        ],
    );
}

#[test]
fn between_two_workloads_egress_of_the_source_is_evaluated_before_ingress_of_the_destination() {
    let w = "NetworkPolicy ns/out {selector: app == 'a', types: [Egress], egress: [{action: Allow, protocol: TCP, destination: {ports: [80, 81]}}]}
        NetworkPolicy ns/in {selector: app == 'b', types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}";
    rows(
        w,
        &[
            ("fwd cali1>cali2 tcp 10.65.0.1:1>10.65.0.2:80", "pass np ns/in#1"),
            ("fwd cali1>cali2 tcp 10.65.0.1:1>10.65.0.2:81", "deny tier default"),
            ("fwd cali1>cali2 tcp 10.65.0.1:1>10.65.0.2:82", "deny tier default"),
            ("fwd cali2>cali1 tcp 10.65.0.2:1>10.65.0.1:82", "pass profile kns.ns#1"),
        ],
    );
}

#[test]
fn the_workload_to_host_action_comes_after_policy_and_established_packets_come_before_both() {
    rows(
        "",
        &[
            ("in cali1 tcp 10.65.0.1:1>192.0.2.11:80", "deny HostAction"),
            ("in cali1 tcp 10.65.0.1:1>192.0.2.11:80 est", "pass established"),
            ("in cali1 tcp 10.65.0.1:1>192.0.2.11:80 inv", "deny invalid"),
            ("in cali1 icmp 130/0 fe80::2>ff02::1 hops=1", "pass NeighbourDiscovery"),
            ("in cali1 icmp6 130/0 10.65.0.1>192.0.2.11", "deny begins nothing"),
        ],
    );
    rows(
        "FelixConfiguration default {metadataAddr: 169.254.169.254, metadataPort: 80}",
        &[
            ("in cali1 tcp 10.65.0.1:1>169.254.169.254:80", "pass OpenStack"),
            ("in cali1 tcp 10.65.0.1:1>192.0.2.11:80", "deny HostAction"),
            ("in cali1 udp 0.0.0.0:68>255.255.255.255:67", "pass OpenStack"),
            ("in cali1 udp [fe80::1]:546>[ff02::1:2]:547", "pass OpenStack"),
            ("in cali1 udp 10.65.0.1:1>192.0.2.11:53", "pass OpenStack"),
            ("in cali9 udp 10.65.0.1:1>192.0.2.11:53", "deny UnknownWorkload"),
        ],
    );
    for action in ["Return", "ACCEPT"] {
        rows(
            &format!(
                "FelixConfiguration default {{defaultEndpointToHostAction: {action}}}
                HostEndpoint all r=s {{node: web1, interfaceName: '*'}}
                NetworkPolicy ns/out {{selector: app == 'b', types: [Egress]}}"
            ),
            &[
                // Normal policy of the wildcard endpoint is never asked.
                ("in cali1 tcp 10.65.0.1:1>192.0.2.11:80", "pass profile kns.ns#1"),
                ("in cali2 tcp 10.65.0.2:1>192.0.2.11:80", "deny tier default"),
            ],
        );
    }
}

#[test]
fn pre_dnat_policy_of_the_wildcard_applies_to_workloads_and_can_only_deny() {
    let w = |action: &str| {
        format!("HostEndpoint all r=s {{node: web1, interfaceName: '*'}}
        GlobalNetworkPolicy pre {{selector: r == 's', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{{action: {action}}}]}}")
    };
    rows(&w("Allow"), &[("in cali1 tcp 10.65.0.1:1>192.0.2.11:80", "deny HostAction")]);
    rows(&w("Deny"), &[("in cali1 tcp 10.65.0.1:1>192.0.2.11:80", "deny gnp pre#1")]);
}

#[test]
fn forward_policy_of_the_wildcard_is_evaluated_in_both_directions_even_between_workloads() {
    let w = "HostEndpoint all r=s {node: web1, interfaceName: '*'}
        GlobalNetworkPolicy f {selector: r == 's', applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow, protocol: TCP}]}";
    rows(
        w,
        &[
            ("fwd cali1>cali2 tcp 10.65.0.1:1>10.65.0.2:80", "pass gnp f#1"),
            ("fwd cali1>cali2 udp 10.65.0.1:1>10.65.0.2:80", "deny tier default"),
        ],
    );
}

#[test]
fn untracked_and_pre_dnat_policies_do_nothing_on_workloads_and_apply_on_forward_changes_nothing() {
    rows(
        "GlobalNetworkPolicy u {selector: app == 'a', doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}
         GlobalNetworkPolicy d {selector: app == 'a', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}",
        &[("fwd eth0>cali1 tcp 203.0.113.9:1>10.65.0.1:80", "pass profile kns.ns#1")],
    );
    rows(
        "GlobalNetworkPolicy f {selector: app == 'a', applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}",
        &[("fwd eth0>cali1 tcp 203.0.113.9:1>10.65.0.1:80", "deny gnp f#1")],
    );
}

#[test]
fn encapsulated_packets_from_a_workload_are_denied_unless_allowed_and_only_on_the_way_out() {
    let table = |verdict: &'static str| {
        [
            ("fwd cali1>eth0 udp 10.65.0.1:1>203.0.113.9:4789", verdict),
            ("fwd cali1>eth0 proto 4 10.65.0.1>203.0.113.9", verdict),
        ]
    };
    rows("", &table("deny Encapsulation"));
    rows("", &[("fwd eth0>cali1 udp 203.0.113.9:1>10.65.0.1:4789", "pass profile kns.ns#1")]);
    rows(
        "FelixConfiguration default {allowVXLANPacketsFromWorkloads: true, allowIPIPPacketsFromWorkloads: true}",
        &table("pass profile kns.ns#1"),
    );
}

#[test]
fn of_two_endpoints_on_one_interface_the_one_whose_name_sorts_first_governs_it() {
    let w = "WorkloadEndpoint ns/web1-k8s-0-eth0 projectcalico.org/namespace=ns {orchestrator: k8s, node: web1, pod: '0', endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.7/32]}";
    rows(w, &[("fwd eth0>cali1 tcp 203.0.113.9:1>10.65.0.7:80", "deny no profile")]);
}

#[test]
fn an_endpoint_without_an_address_leaves_its_interface_closed() {
    let w = "WorkloadEndpoint ns/web1-k8s-z-eth0 {orchestrator: k8s, node: web1, pod: z, endpoint: eth0, interfaceName: cali8, profiles: [kns.ns]}";
    rows(w, &[("fwd eth0>cali8 tcp 203.0.113.9:1>10.65.0.8:80", "deny UnknownWorkload")]);
}

#[test]
fn a_floating_address_is_translated_before_policy_and_may_be_sent_from() {
    let w = "WorkloadEndpoint ns/web1-k8s-f-eth0 projectcalico.org/namespace=ns app=f {orchestrator: k8s, node: web1, pod: f, endpoint: eth0, interfaceName: cali4, ipNetworks: [10.65.0.4/32], profiles: [kns.ns], ipNATs: [{internalIP: 10.65.0.4, externalIP: 203.0.113.200}]}
        NetworkPolicy ns/in {selector: app == 'f', types: [Ingress], ingress: [{action: Allow, destination: {nets: [10.65.0.4/32]}}]}\n";
    let table = |to: &'static str, from: &'static str| {
        [
            ("fwd eth0>cali4 tcp 203.0.113.9:1>203.0.113.200:80", to),
            ("fwd cali4>eth0 tcp 203.0.113.200:1>203.0.113.9:80", from),
        ]
    };
    rows(w, &table("deny tier default", "deny SourceWrong"));
    rows(
        &format!("{w}FelixConfiguration default {{floatingIPs: Enabled}}"),
        &table("pass np ns/in#1", "pass profile kns.ns#1"),
    );
}

#[test]
fn a_network_policy_selects_in_its_namespace_only_and_by_service_account() {
    let w = "WorkloadEndpoint other/web1-k8s-c-eth0 projectcalico.org/namespace=other app=a {orchestrator: k8s, node: web1, pod: c, endpoint: eth0, interfaceName: cali3, ipNetworks: [10.65.0.3/32], profiles: [kns.ns], serviceAccountName: sa1}
        WorkloadEndpoint ns/web1-k8s-d-eth0 projectcalico.org/namespace=ns app=d {orchestrator: k8s, node: web1, pod: d, endpoint: eth0, interfaceName: cali5, ipNetworks: [10.65.0.5/32], profiles: [kns.ns, ksa.ns.sa1], serviceAccountName: sa1}
        Profile ksa.ns.sa1 {labelsToApply: {pcsa.role: db}}
        NetworkPolicy ns/a {selector: app == 'a', types: [Ingress]}
        NetworkPolicy ns/s {serviceAccountSelector: role == 'db', types: [Ingress]}";
    rows(
        w,
        &[
            ("fwd eth0>cali1 tcp 203.0.113.9:1>10.65.0.1:80", "deny tier default"),
            ("fwd eth0>cali3 tcp 203.0.113.9:1>10.65.0.3:80", "pass profile kns.ns#1"),
            ("fwd eth0>cali5 tcp 203.0.113.9:1>10.65.0.5:80", "deny tier default"),
            ("fwd eth0>cali2 tcp 203.0.113.9:1>10.65.0.2:80", "pass profile kns.ns#1"),
        ],
    );
}

#[test]
fn every_prefix_makes_workload_interfaces() {
    rows(
        "FelixConfiguration default {interfacePrefix: 'cali,tap'}",
        &[
            ("fwd eth0>tap9 tcp 203.0.113.9:1>10.65.0.9:80", "deny UnknownWorkload"),
            ("fwd eth0>cali9 tcp 203.0.113.9:1>10.65.0.9:80", "deny UnknownWorkload"),
            ("fwd eth0>veth9 tcp 203.0.113.9:1>10.65.0.9:80", "pass nothing"),
        ],
    );
}

#[test]
fn a_floating_address_of_several_endpoints_is_translated_to_the_lowest_internal_one() {
    let pod = |name: &str, number: u8| {
        format!(
            "WorkloadEndpoint ns/web1-k8s-{name}-eth0 projectcalico.org/namespace=ns app={name} {{orchestrator: k8s, node: web1, pod: {name}, endpoint: eth0, interfaceName: cali{number}, ipNetworks: [10.65.0.{number}/32], ipNATs: [{{internalIP: 10.65.0.{number}, externalIP: 203.0.113.200}}]}}\n"
        )
    };
    let w = pod("p", 6)
        + &pod("q", 5)
        + "FelixConfiguration default {floatingIPs: Enabled}
        GlobalNetworkPolicy p {selector: has(app), types: [Ingress], ingress: [{action: Allow, destination: {nets: [10.65.0.5/32]}}]}";
    rows(
        &w,
        &[
            ("fwd eth0>cali5 tcp 203.0.113.9:1>203.0.113.200:80", "pass gnp p#1"),
            ("fwd eth0>cali6 tcp 203.0.113.9:1>10.65.0.6:80", "deny tier default"),
        ],
    );
}
