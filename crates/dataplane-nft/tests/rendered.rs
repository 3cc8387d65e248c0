//! The tables of a dozen worlds as an operator sees them, reviewed: `nft -s list table inet tortie`.

#![allow(clippy::unwrap_used)]

mod common;

use common::follow::Followed;
use common::scenario::resource;
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_testkit::namespace::{in_namespace, run};
use tortie_testkit::worlds::Step;

const HOST: &str = "HostEndpoint web role=web {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.11]}";
const WORKLOAD: &str = "WorkloadEndpoint shop/w app=web {node: n1, orchestrator: k8s, pod: w, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32], profiles: [projectcalico-default-allow]}";

/// The listing of a world, without what a host without endpoints has as well, or one with a default deny.
fn show(resources: &[&str]) -> String {
    let listed = listing(resources);
    let simpler: &[&[&str]] = match resources.len() {
        0 => &[],
        1 => &[&[]],
        _ => &[&[], &[HOST]],
    };
    let simpler: Vec<String> = simpler.iter().map(|resources| listing(resources)).collect();
    let known: Vec<&str> = simpler.iter().flat_map(|listed| listed.split("\n\n")).collect();
    let more: Vec<&str> = listed.split("\n\n").filter(|block| !known.contains(block)).collect();
    format!("{}\n\n{}", resources.join("\n"), more.join("\n\n"))
}

fn listing(resources: &[&str]) -> String {
    in_namespace(|| {
        let mut followed = Followed::new();
        resources.iter().for_each(|line| drop(followed.step(&Step::Put(resource(line)))));
        let delta = followed.step(&Step::Flush).unwrap();
        followed.state.apply(&delta).unwrap();
        let mut kernel = Kernel::open_unowned(TableOptions::default()).unwrap();
        kernel.replace(followed.state).unwrap();
        let listed = run("nft", &["-s", "list", "table", "inet", "tortie"]);
        // What nft lists it reads again.
        tortie_testkit::namespace::run_with_input("nft", &["-c", "-f", "-"], &listed);
        listed
    })
}

macro_rules! rendered {
    ($($name:ident: $resources:expr;)*) => {
        $(#[test]
        fn $name() {
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(stringify!($name), show(&$resources));
            });
        })*
    };
}

rendered! {
    a_host_without_endpoints: [];
    a_default_deny: [HOST];
    an_allow_of_ports_from_a_set: [
        HOST,
        "GlobalNetworkSet office trust=yes {nets: [203.0.113.0/24, '2001:db8::/48']}",
        "GlobalNetworkPolicy web {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, protocol: TCP, source: {selector: trust == 'yes'}, destination: {ports: [80, 443, '8000:8010']}}]}",
    ];
    tiers_with_pass: [
        HOST,
        "Tier first {order: 1}", "Tier second {order: 2, defaultAction: Pass}",
        "GlobalNetworkPolicy first.a {tier: first, order: 1, selector: role == 'web', types: [Ingress], ingress: [{action: Pass, protocol: TCP}, {action: Deny, protocol: UDP}]}",
        "GlobalNetworkPolicy first.b {tier: first, order: 2, selector: role == 'web', types: [Ingress], ingress: [{action: Allow, protocol: ICMP, icmp: {type: 8, code: 0}}]}",
        "GlobalNetworkPolicy second.a {tier: second, selector: role == 'web', types: [Ingress], ingress: [{action: Deny, notProtocol: TCP}]}",
    ];
    every_host_endpoint_stage: [
        HOST,
        "GlobalNetworkPolicy raw {selector: role == 'web', doNotTrack: true, applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Allow, protocol: UDP, destination: {ports: [53]}}], egress: [{action: Allow, protocol: UDP, source: {ports: [53]}}]}",
        "GlobalNetworkPolicy early {selector: role == 'web', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [30080]}}]}",
        "GlobalNetworkPolicy forward {selector: role == 'web', applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Deny, source: {nets: [10.0.0.0/8]}}], egress: [{action: Allow}]}",
    ];
    every_interface: ["HostEndpoint all role=all {node: n1, interfaceName: '*', profiles: [gone]}", HOST];
    denials_with_an_answer: [
        "FelixConfiguration default {nftablesFilterDenyAction: Reject}", HOST,
        "GlobalNetworkPolicy out {selector: role == 'web', types: [Egress], egress: [{action: Deny, protocol: TCP, destination: {ports: [25]}}]}",
    ];
    logs: [
        "FelixConfiguration default {logPrefix: 'tortie %t/%p', logActionRateLimit: 100/minute, logActionRateLimitBurst: 20}", HOST,
        "GlobalNetworkPolicy log {selector: role == 'web', types: [Ingress], ingress: [{action: Log, protocol: TCP}]}",
    ];
    failsafes_with_nets: [
        "FelixConfiguration default {failsafeInboundHostPorts: [{protocol: TCP, port: 22, net: 10.0.0.0/8}, {protocol: UDP, port: 68}], failsafeOutboundHostPorts: []}", HOST,
    ];
    tunnels: [
        HOST,
        "Node n1 {bgp: {ipv4Address: 192.0.2.11/24}}", "Node n2 {bgp: {ipv4Address: 192.0.2.12/24}, ipv4VXLANTunnelAddr: 10.1.0.0}",
        "IPPool ipip {cidr: 10.0.0.0/16, ipipMode: Always, natOutgoing: true}", "IPPool vxlan {cidr: 10.1.0.0/16, vxlanMode: Always}",
    ];
    named_ports: [
        "HostEndpoint web role=web {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.11], ports: [{name: http, protocol: TCP, port: 8080}]}",
        "GlobalNetworkPolicy web {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, destination: {ports: [http]}}, {action: Allow, protocol: TCP, destination: {notPorts: [http, 22]}}]}",
    ];
    a_workload: [
        WORKLOAD, "NetworkPolicy shop/web {selector: app == 'web', types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}",
    ];
    a_workload_and_its_host: [
        WORKLOAD, "HostEndpoint all {node: n1, interfaceName: '*'}", "FelixConfiguration default {defaultEndpointToHostAction: Accept, floatingIPs: Enabled}",
    ];
}
