//! What a rule matches.

#![allow(clippy::unwrap_used)]

mod common;
use common::check;

const WORLD: &str = "Tier default {order: 1000000, defaultAction: Deny}
    Profile kns.ns {labelsToApply: {pcns.team: red, pcns.projectcalico.org/name: ns}}
    HostEndpoint e r=h {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11, 2001:db8::11], ports: [{name: adm, protocol: TCP, port: 9}]}
    HostEndpoint far r=far {node: web2, interfaceName: eth0}
    WorkloadEndpoint ns/web2-k8s-a-eth0 projectcalico.org/namespace=ns app=a {orchestrator: k8s, node: web2, pod: a, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.1.1/32, fd65::1/128], profiles: [kns.ns], serviceAccountName: sa1, ports: [{name: web, protocol: TCP, port: 80}, {name: web, protocol: UDP, port: 8080}]}
    GlobalNetworkSet g kind=g {nets: [203.0.113.0/25, 2001:db8:1::/64]}
    NetworkSet ns/n kind=n {nets: [198.18.0.0/24]}\n";

/// One rule that allows, for packets into the host (`in`) or from it (`out`): which packets match.
fn matching(direction: &str, rule: &str, yes: &[&str], no: &[&str]) {
    let world = match direction {
        "in" => format!(
            "{WORLD}GlobalNetworkPolicy p {{selector: r == 'h', types: [Ingress], ingress: [{{action: Allow, {rule}}}]}}"
        ),
        _ => format!(
            "{WORLD}GlobalNetworkPolicy p {{selector: r == 'h', types: [Egress], egress: [{{action: Allow, {rule}}}]}}"
        ),
    };
    let line = |text: &&str| format!("{direction} eth0 {text}");
    let rows: Vec<(String, &str)> = yes
        .iter()
        .map(|text| (line(text), "pass gnp p#1"))
        .chain(no.iter().map(|text| (line(text), "deny tier default")))
        .collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(text, want)| (text.as_str(), *want)).collect();
    check(&world, &rows);
}

const TCP: &str = "tcp 203.0.113.9:1>192.0.2.11:80";
const TCP6: &str = "tcp [2001:db8:1::9]:1>[2001:db8::11]:80";
const UDP: &str = "udp 203.0.113.9:1>192.0.2.11:80";
const PING: &str = "icmp 8/0 203.0.113.9>192.0.2.11";
const PING6: &str = "icmp 128/0 2001:db8:1::9>2001:db8::11";
const RAW: &str = "proto 253 203.0.113.9>192.0.2.11";

#[test]
fn an_empty_rule_matches_everything() {
    matching("in", "", &[TCP, TCP6, UDP, PING, PING6, RAW], &[]);
}

#[test]
fn ip_version_and_protocol_must_match() {
    matching("in", "ipVersion: 4", &[TCP, PING], &[TCP6, PING6]);
    matching("in", "protocol: TCP", &[TCP, TCP6], &[UDP, PING]);
    matching("in", "protocol: 253", &[RAW], &[TCP]);
    matching("in", "notProtocol: TCP", &[UDP, PING, RAW], &[TCP, TCP6]);
    matching("in", "protocol: ICMP", &[PING], &[PING6]);
    matching("in", "protocol: ICMPv6", &[PING6], &[PING]);
}

#[test]
fn icmp_type_and_code_are_negated_together() {
    let other = "icmp 13/1 203.0.113.9>192.0.2.11";
    matching("in", "protocol: ICMP, icmp: {type: 8}", &[PING], &[other, PING6]);
    matching("in", "protocol: ICMP, icmp: {type: 13, code: 1}", &[other], &[PING, "icmp 13/2 203.0.113.9>192.0.2.11"]);
    matching(
        "in",
        "protocol: ICMP, notICMP: {type: 13, code: 1}",
        &[PING, "icmp 13/2 203.0.113.9>192.0.2.11"],
        &[other, TCP],
    );
}

#[test]
fn a_non_first_fragment_matches_neither_ports_nor_their_negation() {
    let frag = "tcp 203.0.113.9>192.0.2.11 frag";
    matching("in", "protocol: TCP, destination: {ports: [80]}", &[TCP], &[frag]);
    matching("in", "protocol: TCP, destination: {notPorts: [81]}", &[TCP], &[frag]);
    matching("in", "protocol: TCP", &[TCP, frag], &[]);
}

#[test]
fn nets_and_their_negation_match_their_own_family_only() {
    matching("in", "source: {nets: [203.0.113.8/29, 198.51.100.0/24]}", &[TCP], &[TCP6]);
    matching("in", "source: {nets: ['2001:db8:1::/64']}", &[TCP6], &[TCP]);
    matching("in", "source: {notNets: [203.0.113.8/29]}", &["tcp 203.0.113.1:1>192.0.2.11:80"], &[TCP, TCP6]);
    matching("in", "destination: {nets: [192.0.2.11/32]}", &[TCP], &["tcp 203.0.113.9:1>192.0.2.12:80"]);
}

#[test]
fn a_deny_with_not_nets_of_the_other_family_is_left_out_too() {
    let world = format!(
        "{WORLD}GlobalNetworkPolicy p {{selector: r == 'h', types: [Ingress], ingress: [{{action: Deny, source: {{notNets: [10.0.0.0/8]}}}}, {{action: Allow}}]}}"
    );
    check(&world, &[(&format!("in eth0 {TCP}"), "deny gnp p#1"), (&format!("in eth0 {TCP6}"), "pass gnp p#2")]);
}

#[test]
fn a_selector_matches_known_addresses_only_and_not_selector_alone_matches_unknown_ones_too() {
    matching("in", "source: {selector: kind == 'g'}", &[TCP, TCP6], &["tcp 203.0.113.200:1>192.0.2.11:80"]);
    matching(
        "in",
        "source: {selector: \"kind != 'g'\"}",
        &["tcp 10.65.1.1:1>192.0.2.11:80"],
        &[TCP, "tcp 203.0.113.200:1>192.0.2.11:80"],
    );
    matching("in", "source: {notSelector: kind == 'g'}", &["tcp 203.0.113.200:1>192.0.2.11:80"], &[TCP]);
    matching(
        "in",
        "source: {selector: has(kind), notSelector: kind == 'g'}",
        &["tcp 198.18.0.1:1>192.0.2.11:80"],
        &[TCP, "tcp 203.0.113.200:1>192.0.2.11:80"],
    );
}

#[test]
fn a_host_endpoint_without_addresses_is_in_no_selector() {
    matching("in", "source: {selector: r == 'far'}", &[], &["tcp 192.0.2.12:1>192.0.2.11:80"]);
}

#[test]
fn namespace_selectors_choose_namespaces_or_none() {
    let pod = "tcp 10.65.1.1:1>192.0.2.11:80";
    let set = "tcp 198.18.0.1:1>192.0.2.11:80";
    matching("in", "source: {namespaceSelector: team == 'red'}", &[pod, set], &[TCP]);
    matching("in", "source: {namespaceSelector: all()}", &[pod, set], &[TCP]);
    matching("in", "source: {namespaceSelector: global()}", &[TCP], &[pod, set]);
    matching("in", "source: {namespaceSelector: team == 'red', selector: app == 'a'}", &[pod], &[set]);
    matching("in", "source: {serviceAccounts: {names: [sa1, sa2]}}", &[pod], &[set, TCP]);
    // Not rewritten here: every known endpoint matches.
    matching(
        "in",
        "source: {serviceAccounts: {selector: all()}}",
        &[pod, set, TCP],
        &["tcp 203.0.113.200:1>192.0.2.11:80"],
    );
}

#[test]
fn a_selector_of_a_namespaced_policy_is_limited_to_the_namespace_and_its_nets_are_not() {
    let pod = "WorkloadEndpoint ns/web1-k8s-t-eth0 projectcalico.org/namespace=ns app=t {orchestrator: k8s, node: web1, pod: t, endpoint: eth0, interfaceName: cali7, ipNetworks: [10.65.0.7/32]}
        WorkloadEndpoint red/web2-k8s-b-eth0 projectcalico.org/namespace=red app=a {orchestrator: k8s, node: web2, pod: b, endpoint: eth0, interfaceName: cali2, ipNetworks: [10.65.1.2/32]}";
    let world = |rule: &str| {
        format!(
            "{WORLD}{pod}\nNetworkPolicy ns/p {{selector: app == 't', types: [Ingress], ingress: [{{action: Allow, source: {{{rule}}}}}]}}"
        )
    };
    let from = |address: &str| format!("fwd eth1>cali7 tcp {address}:1>10.65.0.7:80");
    let yes = "pass np ns/p#1";
    let no = "deny tier default";
    check(&world("selector: app == 'a'"), &[(&from("10.65.1.1"), yes), (&from("10.65.1.2"), no)]);
    check(&world("namespaceSelector: all(), selector: app == 'a'"), &[(&from("10.65.1.2"), yes)]);
    check(
        &world("notSelector: app == 'a'"),
        &[(&from("198.18.0.1"), yes), (&from("10.65.1.1"), no), (&from("203.0.113.9"), no)],
    );
    check(&world("nets: [203.0.113.9/32]"), &[(&from("203.0.113.9"), yes)]);
    check(&world("selector: kind == 'g'"), &[(&from("203.0.113.9"), no)]);
    check(&world("namespaceSelector: global()"), &[(&from("203.0.113.9"), yes)]);
}

#[test]
fn ports_and_their_negation_match_numbers_and_ranges() {
    matching(
        "in",
        "protocol: TCP, destination: {ports: [79, '80:81']}",
        &[TCP],
        &["tcp 203.0.113.9:1>192.0.2.11:82", UDP],
    );
    matching("in", "protocol: TCP, source: {ports: [1]}", &[TCP], &["tcp 203.0.113.9:2>192.0.2.11:80"]);
    matching(
        "in",
        "protocol: TCP, destination: {notPorts: [79, '81:90']}",
        &[TCP],
        &["tcp 203.0.113.9:1>192.0.2.11:85"],
    );
}

#[test]
fn named_ports_never_mix_protocols_and_take_theirs_from_the_endpoint() {
    let tcp = "tcp 192.0.2.11:1>10.65.1.1:80";
    let udp = "udp 192.0.2.11:1>10.65.1.1:8080";
    let crossed =
        ["tcp 192.0.2.11:1>10.65.1.1:8080", "udp 192.0.2.11:1>10.65.1.1:80", "tcp 192.0.2.11:1>203.0.113.9:80"];
    matching("out", "destination: {ports: [web]}", &[tcp, udp], &crossed);
    matching("out", "protocol: TCP, destination: {ports: [web]}", &[tcp], &[udp, crossed[0], crossed[1]]);
    matching(
        "out",
        "protocol: TCP, destination: {ports: [web, 443]}",
        &[tcp, "tcp 192.0.2.11:1>203.0.113.9:443"],
        &[crossed[2]],
    );
    matching("out", "destination: {selector: app == 'b', ports: [web]}", &[], &[tcp]);
    matching("in", "protocol: TCP, destination: {ports: [adm]}", &["tcp 203.0.113.9:1>192.0.2.11:9"], &[TCP]);
}

#[test]
fn a_protocol_without_ports_matches_no_ports_and_matches_their_negation() {
    matching(
        "out",
        "destination: {notPorts: [web]}",
        &["proto 253 192.0.2.11>10.65.1.1", "tcp 192.0.2.11:1>10.65.1.1:81"],
        &["tcp 192.0.2.11:1>10.65.1.1:80"],
    );
    matching("out", "destination: {ports: [web]}", &[], &["proto 253 192.0.2.11>10.65.1.1"]);
}

#[test]
fn named_source_ports_and_their_negation_are_limited_by_the_selector_beside_them() {
    let from = |port: u16| format!("tcp 10.65.1.1:{port}>192.0.2.11:9000");
    let udp = "udp 10.65.1.1:80>192.0.2.11:9000";
    matching("in", "protocol: TCP, source: {ports: [web]}", &[&from(80)], &[&from(81), udp]);
    // With a selector only what it selects gives its ports, to the negation too; elsewhere the selector fails.
    let to = |port: u16| format!("tcp 192.0.2.11:1>10.65.1.1:{port}");
    matching(
        "out",
        "protocol: TCP, destination: {selector: app == 'a', notPorts: [web]}",
        &[&to(81)],
        &[&to(80), "tcp 192.0.2.11:1>203.0.113.9:80"],
    );
    matching("out", "protocol: TCP, destination: {notPorts: [web]}", &["tcp 192.0.2.11:1>203.0.113.9:80"], &[&to(80)]);
}

#[test]
fn a_service_matches_addresses_with_ports_as_destination_and_addresses_alone_as_source() {
    use tortie_policy::{EndpointSlice, ServiceId, SliceId};
    let id_of_s = ServiceId { namespace: "ns".to_owned(), name: "s".to_owned() };
    let [address, other, stranger] =
        ["198.51.100.77", "198.51.100.79", "198.51.100.78"].map(|one| one.parse().unwrap());
    // One without ports, as of a service without ports; and one of another service.
    let slices = [("a", "s", vec![8443], address), ("b", "s", vec![], other), ("c", "t", vec![8443], stranger)];
    let answers = |rules: &str, table: &[(&str, &str)]| {
        let mut world = common::world(&format!("{WORLD}GlobalNetworkPolicy p {{selector: r == 'h', {rules}}}"));
        for (name, service, ports, address) in &slices {
            let id = SliceId { namespace: "ns".to_owned(), name: (*name).to_owned() };
            let service = ServiceId { name: (*service).to_owned(), ..id_of_s.clone() };
            let ports = ports.iter().map(|port| (tortie_net::Protocol::TCP, *port)).collect();
            let slice = EndpointSlice { id: id.clone(), service, addresses: vec![*address], ports, incomplete: false };
            world.slices.insert(id, slice);
        }
        common::check_in(&world, table);
    };
    let (yes, no) = ("pass gnp p#1", "deny tier default");
    answers(
        "types: [Egress], egress: [{action: Allow, destination: {services: {name: s, namespace: ns}}}]",
        &[
            ("out eth0 tcp 192.0.2.11:1>198.51.100.77:8443", yes),
            ("out eth0 tcp 192.0.2.11:1>198.51.100.77:80", no),
            ("out eth0 udp 192.0.2.11:1>198.51.100.77:8443", no),
            ("out eth0 tcp 192.0.2.11:1>198.51.100.78:8443", no),
            ("out eth0 tcp 192.0.2.11:1>198.51.100.79:8443", no),
        ],
    );
    answers(
        "types: [Ingress], ingress: [{action: Allow, source: {services: {name: s, namespace: ns}}}]",
        &[
            ("in eth0 tcp 198.51.100.77:1>192.0.2.11:80", yes),
            ("in eth0 udp 198.51.100.77:9>192.0.2.11:81", yes),
            ("in eth0 udp 198.51.100.79:9>192.0.2.11:81", yes),
            ("in eth0 tcp 198.51.100.78:8443>192.0.2.11:80", no),
        ],
    );
}

#[test]
fn a_service_that_does_not_exist_matches_nothing() {
    matching("out", "destination: {services: {name: s, namespace: ns}}", &[], &["tcp 192.0.2.11:1>10.65.1.1:80"]);
}

#[test]
fn an_http_condition_is_ignored_and_the_rest_of_the_rule_decides() {
    matching("in", "protocol: TCP, http: {methods: [GET]}", &[TCP], &[UDP]);
}

#[test]
fn a_set_with_an_unreadable_net_allows_its_known_members_only_and_denies_every_address() {
    let answers = |rule: &str, packets: &[(&str, &str)]| {
        let policy = "GlobalNetworkPolicy p {selector: r == 'h', types: [Ingress], ingress: [";
        let mut world = common::world(&format!("{WORLD}{policy}{rule}, {{action: Allow}}]}}"));
        for set in world.network_sets.values_mut().filter(|set| set.id.name == "g") {
            (set.incomplete, set.nets) = (true, Vec::new());
        }
        for (packet, want) in packets {
            common::check_in(&world, &[(&format!("in eth0 {packet}"), want)]);
        }
    };
    let stranger = "tcp 198.51.100.9:1>192.0.2.11:80";
    let other_port = "tcp 198.51.100.9:1>192.0.2.11:81";
    // An Allow: neither for members nor, turned round, for anybody else. The next rule decides.
    for peer in ["selector: kind == 'g'", "notSelector: kind == 'g'"] {
        answers(
            &format!("{{action: Allow, source: {{{peer}}}}}"),
            &[(TCP, "pass gnp p#2"), (stranger, "pass gnp p#2")],
        );
        answers(&format!("{{action: Pass, source: {{{peer}}}}}"), &[(TCP, "deny gnp p#1"), (stranger, "deny gnp p#1")]);
        let deny = format!("{{action: Deny, protocol: TCP, source: {{{peer}}}, destination: {{ports: [80]}}}}");
        answers(&deny, &[(TCP, "deny gnp p#1"), (stranger, "deny gnp p#1"), (other_port, "pass gnp p#2")]);
    }
    // Sets that the selector leaves out do not matter.
    answers("{action: Deny, source: {selector: kind == 'n'}}", &[(stranger, "pass gnp p#2")]);
    answers("{action: Deny, source: {selector: has(kind), notSelector: kind == 'g'}}", &[(stranger, "pass gnp p#2")]);
}

#[test]
fn negations_of_source_and_destination_must_both_match() {
    matching(
        "in",
        "protocol: TCP, source: {notPorts: [1]}, destination: {notPorts: [80]}",
        &["tcp 203.0.113.9:2>192.0.2.11:81"],
        &[TCP, "tcp 203.0.113.9:2>192.0.2.11:80", "tcp 203.0.113.9:1>192.0.2.11:81"],
    );
    matching(
        "in",
        "protocol: TCP, source: {notNets: [203.0.113.8/29]}, destination: {notNets: [192.0.2.12/32]}",
        &["tcp 203.0.113.1:1>192.0.2.11:80"],
        &[TCP, "tcp 203.0.113.1:1>192.0.2.12:80", "tcp 203.0.113.9:1>192.0.2.12:80"],
    );
}
