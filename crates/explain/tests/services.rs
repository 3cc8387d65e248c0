//! Services of Kubernetes: a packet to one of their addresses is answered for the endpoints that kube-proxy may send it to, or as refused
//! where kube-proxy refuses it.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "services/kube_proxy.rs"]
mod kube_proxy;

use std::net::IpAddr;

use common::{question, wrong};
use tortie_explain::{
    Answer, Dnat, EndpointState, Question, Service, ServiceAddress, ServiceEndpoint, ServicePort, State, Topology,
    text, trace,
};
use tortie_net::Protocol;
use tortie_policy::Snapshot;
use tortie_testkit::{faults, manifests};

/// Two nodes with a pod on each, where everything is allowed except what comes to `10.65.1.4`.
fn world() -> Snapshot {
    let yaml = std::fs::read_to_string(format!("{}/tests/worlds/services.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    manifests::snapshot(yaml)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An endpoint: its address, its node if it has one, and whether it is ready.
fn endpoint(text: &str, node: &str, state: EndpointState) -> ServiceEndpoint {
    ServiceEndpoint {
        address: address(text),
        port_name: "http".to_owned(),
        protocol: Protocol::TCP,
        port: 8080,
        state,
        node: (!node.is_empty()).then(|| node.to_owned()),
        for_zones: Vec::new(),
        for_nodes: Vec::new(),
    }
}

use EndpointState::{NotReady, Ready, Terminating};

/// A service with an address of each kind and these endpoints.
fn service(endpoints: &[(&str, &str, EndpointState)]) -> Service {
    Service {
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
        addresses: vec![
            (address("10.96.0.10"), ServiceAddress::ClusterIp),
            (address("198.51.100.7"), ServiceAddress::ExternalIp),
            (address("203.0.113.7"), ServiceAddress::LoadBalancer),
        ],
        ports: vec![ServicePort { name: "http".to_owned(), protocol: Protocol::TCP, port: 80, node_port: Some(30080) }],
        endpoints: endpoints.iter().map(|(address, node, state)| endpoint(address, node, *state)).collect(),
        ..Service::default()
    }
}

/// An endpoint on each node, and one that is on no node.
fn on_both() -> Service {
    service(&[("10.65.0.9", "web1", Ready), ("10.65.1.9", "web2", Ready), ("192.0.2.99", "", Ready)])
}

fn ask(services: &[Service], question: &Question) -> Answer {
    let snapshot = world();
    trace(&Topology::new(&snapshot).with_services(services.to_vec()), question).unwrap()
}

fn line(answer: &Answer) -> String {
    text::verdict_line(&world(), answer)
}

/// The endpoints of an answer, and whether the packet may be refused: `10.65.0.9 10.65.1.9 or refused`.
fn outcome(answer: &Answer) -> String {
    let endpoints: Vec<String> = answer.endpoints.iter().map(|one| one.ip().to_string()).collect();
    let is_dropped = |hops: &[tortie_explain::Hop]| hops.last().is_some_and(|hop| hop.dropped.is_some());
    let is_refused = is_dropped(&answer.hops) || answer.paths.iter().any(|path| is_dropped(&path.hops));
    assert!(!is_refused || !answer.allowed(), "what may be refused does not count as allowed");
    match (endpoints.is_empty(), is_refused) {
        (true, true) => "refused".to_owned(),
        (true, false) => "untranslated".to_owned(),
        (false, true) => format!("{} or refused", endpoints.join(" ")),
        (false, false) => endpoints.join(" "),
    }
}

/// What becomes of a packet to an address of the service; `--node web1` for a sender that is on no node.
fn outcome_of(service: &Service, from: &str, to: &str, port: u16) -> String {
    let node = if from == OUTSIDE { Some("web1".to_owned()) } else { None };
    let asked = Question { node, ..question(from, to, &format!("tcp/{port}")) };
    outcome(&ask(std::slice::from_ref(service), &asked))
}

const OUTSIDE: &str = "192.0.2.200";
const SENDERS: [&str; 5] = ["pod/shop/a", "pod/shop/b", "node/web1", "node/web2", OUTSIDE];

#[test]
fn endpoints_that_terminate_and_still_serve_are_used_if_and_only_if_none_is_ready() {
    let ending = service(&[("10.65.0.9", "web1", NotReady), ("10.65.1.9", "web2", Terminating)]);
    let ready = service(&[("10.65.0.9", "web1", Ready), ("10.65.1.9", "web2", Terminating)]);
    for from in SENDERS {
        for (to, port) in [("10.96.0.10", 80), ("198.51.100.7", 80), ("203.0.113.7", 80), ("192.0.2.11", 30080)] {
            assert_eq!(outcome_of(&ending, from, to, port), "10.65.1.9", "{from} {to}");
            assert_eq!(outcome_of(&ready, from, to, port), "10.65.0.9", "{from} {to}");
        }
    }
    let answer = ask(&[ending], &question("node/web1", "10.96.0.10", "tcp/80"));
    assert!(answer.notes.iter().any(|note| note.contains("terminating and still serve")));
}

#[test]
fn a_terminating_endpoint_that_denies_is_an_answer_that_denies() {
    let answer = ask(&[service(&[("10.65.1.4", "web2", Terminating)])], &question("node/web1", "10.96.0.10", "tcp/80"));
    assert!(line(&answer).starts_with("DENIED"), "{}", line(&answer));
}

#[test]
fn with_a_local_policy_the_endpoints_of_the_node_count_and_each_node_decides_for_itself_whether_one_is_ready() {
    let mut service = service(&[
        ("10.65.0.8", "web1", Terminating),
        ("10.65.0.9", "web1", NotReady),
        ("10.65.1.8", "web2", Terminating),
        ("10.65.1.9", "web2", Ready),
    ]);
    (service.internal_is_local, service.external_is_local) = (true, true);
    assert_eq!(outcome_of(&service, "node/web1", "10.96.0.10", 80), "10.65.0.8");
    assert_eq!(outcome_of(&service, "node/web2", "10.96.0.10", 80), "10.65.1.9");
    assert_eq!(outcome_of(&service, OUTSIDE, "192.0.2.12", 30080), "10.65.1.9");
    assert_eq!(outcome_of(&service, OUTSIDE, "192.0.2.11", 30080), "10.65.0.8");
    assert_eq!(outcome_of(&service, OUTSIDE, "203.0.113.7", 80), "10.65.0.8", "it enters web1");
    // If nothing tells the node, every node's choice is possible.
    let anywhere = ask(&[service], &question(OUTSIDE, "203.0.113.7", "tcp/80"));
    assert_eq!(outcome(&anywhere), "10.65.0.8 10.65.1.9");
    assert!(anywhere.notes.iter().any(|note| note.contains("--node names it")));
}

#[test]
fn external_traffic_policy_local_holds_for_processes_of_other_nodes_and_not_for_the_pods_and_processes_of_the_node() {
    let mut service = on_both();
    service.external_is_local = true;
    let all = "10.65.0.9 10.65.1.9 192.0.2.99";
    for (from, to, port, expected) in [
        // Each node translates what its own pods and processes send.
        ("pod/shop/a", "203.0.113.7", 80, all),
        ("pod/shop/b", "198.51.100.7", 80, all),
        ("node/web1", "203.0.113.7", 80, all),
        ("node/web2", "198.51.100.7", 80, all),
        (OUTSIDE, "203.0.113.7", 80, "10.65.0.9"),
        // A node port is translated by the node that has the address.
        ("node/web1", "192.0.2.11", 30080, all),
        ("node/web2", "192.0.2.11", 30080, "10.65.0.9"),
        ("node/web1", "192.0.2.12", 30080, "10.65.1.9"),
        ("pod/shop/a", "192.0.2.11", 30080, all),
        ("pod/shop/b", "192.0.2.11", 30080, all),
        (OUTSIDE, "192.0.2.12", 30080, "10.65.1.9"),
        // The other policy is for the clusterIP.
        (OUTSIDE, "10.96.0.10", 80, all),
        ("pod/shop/a", "10.96.0.10", 80, all),
    ] {
        assert_eq!(outcome_of(&service, from, to, port), expected, "{from} {to}");
    }
    let answer = ask(&[service], &question("pod/shop/b", "192.0.2.11", "tcp/30080"));
    assert!(line(&answer).contains("--detect-local-mode"), "{}", line(&answer));
}

/// What is said of a packet that goes on to a clusterIP.
const NOWHERE: &str = "assumed: nothing translates it, and nobody has the clusterIP 10.96.0.10 itself: it goes where the routes to that address lead, to no endpoint of service shop/db";

#[test]
fn a_service_proxy_refuses_nothing_that_is_exempt_from_connection_tracking_on_its_node() {
    let none = service(&[("10.65.0.9", "web1", NotReady)]);
    let mut elsewhere = service(&[("10.65.1.9", "web2", Ready)]);
    (elsewhere.internal_is_local, elsewhere.external_is_local) = (true, true);
    let mut ranges = on_both();
    ranges.source_ranges = vec!["198.51.100.0/24".parse().unwrap()];
    for (service, from, to, port, refused) in [
        (&none, "node/web1", "10.96.0.10", 80, "refused"),
        (&none, "pod/shop/a", "198.51.100.7", 80, "refused"),
        (&none, OUTSIDE, "192.0.2.11", 30080, "refused"),
        (&elsewhere, "pod/shop/a", "10.96.0.10", 80, "refused"),
        (&elsewhere, "pod/shop/b", "192.0.2.11", 30080, "10.65.1.9 or refused"),
        (&ranges, OUTSIDE, "203.0.113.7", 80, "refused"),
        (&none, "pod/shop/a", "10.96.0.10", 81, "refused"),
    ] {
        let exempt_on = |node: &str| {
            let entry = if from == OUTSIDE { Some("web1".to_owned()) } else { None };
            let exempt_on = Some(node.to_owned());
            let asked = Question { node: entry, exempt_on, ..question(from, to, &format!("tcp/{port}")) };
            ask(std::slice::from_ref(service), &asked)
        };
        let exempt = exempt_on("web1");
        assert_eq!(outcome(&exempt), "untranslated", "{from} {to} {port}");
        assert_eq!(line(&exempt).contains(NOWHERE), to == "10.96.0.10", "{from} {to} {port}");
        assert!(!exempt.notes.iter().any(|note| note.contains("assumed: a service proxy")), "{from} {to} {port}");
        assert_eq!(outcome(&exempt_on("web2")), refused, "{from} {to} {port}: exempt where it does not pass first");
    }
}

#[test]
fn a_service_proxy_refuses_nothing_that_an_untracked_policy_allows() {
    let yaml = std::fs::read_to_string(format!("{}/tests/worlds/services.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let policy = "
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: raw},
 spec: {doNotTrack: true, applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}
";
    let snapshot = manifests::snapshot(yaml + policy);
    let topology = Topology::new(&snapshot).with_services(vec![service(&[("10.65.0.9", "web1", NotReady)])]);
    let of = |from: &str, port: u16| trace(&topology, &question(from, "10.96.0.10", &format!("tcp/{port}"))).unwrap();
    // A port of the service, and another one.
    for port in [80, 81] {
        let answer = of("node/web1", port);
        assert_eq!(outcome(&answer), "untranslated");
        assert!(answer.allowed() && line(&answer).contains(NOWHERE), "{port}: {}", line(&answer));
        let answer = of("pod/shop/a", port);
        assert_eq!(outcome(&answer), "refused", "an untracked policy does not judge what a workload sends");
        assert!(!line(&answer).contains(NOWHERE), "{port}: {}", line(&answer));
    }
    let ready = Topology::new(&snapshot).with_services(vec![service(&[("10.65.0.9", "web1", Ready)])]);
    let answer = trace(&ready, &question("node/web1", "10.96.0.10", "tcp/80")).unwrap();
    assert!(line(&answer).contains(NOWHERE), "{}", line(&answer));
}

#[test]
fn what_kube_proxy_drops_or_rejects_is_dropped_and_not_allowed() {
    let none = service(&[("10.65.0.9", "web1", NotReady)]);
    for from in SENDERS {
        for (to, port) in [("10.96.0.10", 80), ("198.51.100.7", 80), ("203.0.113.7", 80), ("192.0.2.11", 30080)] {
            assert_eq!(outcome_of(&none, from, to, port), "refused", "{from} {to}");
        }
    }
    let answer = ask(&[none], &question("node/web1", "10.96.0.10", "tcp/80"));
    assert_eq!(
        line(&answer),
        "DROPPED: a service proxy rejects it: service shop/db has no ready endpoint for tcp/80 (of 1 in its EndpointSlices) (assumed: a service proxy decides on it, for service shop/db (clusterIP, port http); with --dnat none nothing does)"
    );
    let mut elsewhere = service(&[("10.65.1.9", "web2", Ready)]);
    (elsewhere.internal_is_local, elsewhere.external_is_local) = (true, true);
    for (from, to, port, expected) in [
        ("node/web1", "10.96.0.10", 80, "refused"),
        ("pod/shop/a", "10.96.0.10", 80, "refused"),
        ("pod/shop/b", "10.96.0.10", 80, "10.65.1.9"),
        (OUTSIDE, "203.0.113.7", 80, "refused"),
        ("node/web1", "203.0.113.7", 80, "10.65.1.9"),
        ("node/web2", "192.0.2.11", 30080, "refused"),
        (OUTSIDE, "192.0.2.11", 30080, "refused"),
        ("node/web1", "192.0.2.11", 30080, "10.65.1.9"),
        ("pod/shop/b", "192.0.2.11", 30080, "10.65.1.9 or refused"),
    ] {
        assert_eq!(outcome_of(&elsewhere, from, to, port), expected, "{from} {to}");
    }
    let answer = ask(&[elsewhere], &question("pod/shop/b", "192.0.2.11", "tcp/30080"));
    assert!(
        line(&answer).starts_with("DENIED if web1 takes its sender for one outside the cluster (a service proxy drops it: service shop/db has no ready endpoint on web1 for tcp/30080 (of 1 in its EndpointSlices), and externalTrafficPolicy is Local); let through if it is translated"),
        "{}",
        line(&answer)
    );
}

#[test]
fn a_policy_that_denies_the_packet_before_it_is_refused_stays_the_reason() {
    let answer = ask(&[service(&[])], &question("pod/shop/quiet", "10.96.0.10", "tcp/80"));
    assert!(line(&answer).starts_with("DENIED by"), "{}", line(&answer));
}

#[test]
fn a_packet_of_an_open_connection_is_not_refused_for_want_of_endpoints() {
    let open = Question { state: State::Established, ..question("node/web1", "10.96.0.10", "tcp/80") };
    let answer = ask(&[service(&[])], &open);
    assert_eq!(outcome(&answer), "untranslated");
    assert!(!line(&answer).contains(NOWHERE), "it may have a translation from before: {}", line(&answer));
    assert!(answer.notes[0].contains("The answer is for the packet without a translation"));
}

#[test]
fn source_ranges_of_a_load_balancer_hold_at_its_addresses_only() {
    let mut service = on_both();
    service.source_ranges = vec!["192.0.2.192/28".parse().unwrap(), "10.65.0.0/16".parse().unwrap()];
    for (from, to, port, is_refused) in [
        (OUTSIDE, "203.0.113.7", 80, false),
        ("pod/shop/a", "203.0.113.7", 80, false),
        ("node/web2", "203.0.113.7", 80, true),
        ("node/web2", "198.51.100.7", 80, false),
        ("node/web2", "10.96.0.10", 80, false),
        ("node/web2", "192.0.2.11", 30080, false),
    ] {
        assert_eq!(outcome_of(&service, from, to, port) == "refused", is_refused, "{from} {to}");
    }
    let answer = ask(&[service.clone()], &question("node/web2", "203.0.113.7", "tcp/80"));
    assert!(
        line(&answer).starts_with("DROPPED: a service proxy drops it: loadBalancerSourceRanges of service shop/db accepts only 192.0.2.192/28, 10.65.0.0/16 (assumed: "),
        "{}",
        line(&answer)
    );
    // Ranges of the other IP version restrict nothing.
    service.source_ranges = vec!["2001:db8::/32".parse().unwrap()];
    assert_eq!(outcome_of(&service, "node/web1", "203.0.113.7", 80), "10.65.0.9 10.65.1.9 192.0.2.99");
    // A node that has the address itself sends from it, which is accepted if an address of the node is.
    service.addresses = vec![(address("192.0.2.21"), ServiceAddress::LoadBalancer)];
    service.source_ranges = vec!["192.0.2.11/32".parse().unwrap()];
    assert_eq!(outcome_of(&service, "hep/web1-eth0", "192.0.2.21", 80), "10.65.0.9 10.65.1.9 192.0.2.99");
    assert_eq!(outcome_of(&service, "node/web2", "192.0.2.21", 80), "refused");
    // Of a sender with several addresses one may be accepted.
    service.addresses = vec![(address("203.0.113.7"), ServiceAddress::LoadBalancer)];
    assert_eq!(outcome_of(&service, "hep/web1-eth0", "203.0.113.7", 80), "10.65.0.9 10.65.1.9 192.0.2.99 or refused");
}

#[test]
fn the_node_of_the_sender_translates_even_to_an_address_that_another_node_has() {
    let mut service = on_both();
    service.addresses = vec![(address("192.0.2.12"), ServiceAddress::LoadBalancer)];
    service.external_is_local = true;
    let answer = ask(&[service.clone()], &question("node/web1", "192.0.2.12", "tcp/80"));
    assert_eq!(outcome(&answer), "10.65.0.9 10.65.1.9 192.0.2.99");
    let translated = answer.all_hops().filter(|hop| hop.packet.translated.is_some());
    let nodes: Vec<&str> = translated.map(|hop| hop.host.node.as_str()).collect();
    assert!(!nodes.is_empty() && nodes.iter().all(|node| *node == "web1"), "{nodes:?}");
    // What comes from outside is translated where it arrives.
    assert_eq!(outcome_of(&service, "203.0.113.99", "192.0.2.12", 80), "10.65.1.9");
}

#[test]
fn services_that_share_an_address_each_have_their_own_ports() {
    let mut other = service(&[("10.65.0.9", "web1", Ready)]);
    (other.name, other.ports[0].port) = ("other".to_owned(), 443);
    let services = [service(&[("10.65.1.9", "web2", Ready)]), other];
    for (what, endpoint) in [("tcp/80", "10.65.1.9"), ("tcp/443", "10.65.0.9")] {
        assert_eq!(outcome(&ask(&services, &question("node/web1", "203.0.113.7", what))), endpoint);
    }
}

#[test]
fn a_port_that_a_service_does_not_have_leads_nowhere_at_a_cluster_ip_and_untranslated_elsewhere() {
    let service = on_both();
    assert_eq!(outcome_of(&service, "node/web1", "10.96.0.10", 81), "refused");
    assert_eq!(outcome_of(&service, "node/web1", "203.0.113.7", 81), "untranslated");
    let ping = ask(&[service], &question("node/web1", "10.96.0.10", "icmp"));
    assert!(line(&ping).starts_with("DROPPED: it goes to no port of service shop/db"), "{}", line(&ping));
}

#[test]
fn hints_count_if_every_ready_endpoint_has_one_and_one_is_for_the_node_or_its_zone() {
    let mut service = service(&[("10.65.0.9", "web1", Ready), ("10.65.1.9", "web2", Ready)]);
    let set = |service: &mut Service, zones: [&str; 2], nodes: [&str; 2]| {
        let some = |name: &str| if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        for (at, one) in service.endpoints.iter_mut().enumerate() {
            (one.for_zones, one.for_nodes) = (some(zones[at]), some(nodes[at]));
        }
    };
    for (zones, nodes, expected) in [
        (["east", "west"], ["", ""], "10.65.0.9"),
        (["east", ""], ["", ""], "10.65.0.9 10.65.1.9"),
        (["north", "west"], ["", ""], "10.65.0.9 10.65.1.9"),
        (["", ""], ["web2", "web1"], "10.65.1.9"),
        (["east", "west"], ["web2", "web1"], "10.65.1.9"),
        (["east", "west"], ["web2", "web3"], "10.65.0.9"),
        (["east", "west"], ["web1", ""], "10.65.0.9"),
    ] {
        set(&mut service, zones, nodes);
        assert_eq!(outcome_of(&service, "node/web1", "10.96.0.10", 80), expected, "{zones:?} {nodes:?}");
    }
    // They are nothing to the policy `Local`.
    service.internal_is_local = true;
    set(&mut service, ["west", "east"], ["", ""]);
    assert_eq!(outcome_of(&service, "node/web1", "10.96.0.10", 80), "10.65.0.9");
}

#[test]
fn node_ports_are_open_only_at_addresses_of_the_ip_versions_of_the_service() {
    let mut service = on_both();
    service.endpoints.push(endpoint("2001:db8::9", "web1", Ready));
    let of = |service: &Service| {
        outcome(&ask(std::slice::from_ref(service), &question("node/web2", "2001:db8::11", "tcp/30080")))
    };
    assert_eq!(of(&service), "untranslated");
    service.addresses.push((address("fd00:96::10"), ServiceAddress::ClusterIp));
    assert_eq!(of(&service), "2001:db8::9");
}

#[test]
fn a_service_of_another_proxy_is_answered_with_the_assumption_that_it_does_the_same() {
    let service = Service { proxy: Some("mesh".to_owned()), ..on_both() };
    let answer = ask(&[service], &question("node/web1", "10.96.0.10", "tcp/80"));
    let note = "kube-proxy leaves service shop/db to the service proxy mesh, which is taken to do the same";
    assert!(answer.notes.iter().any(|one| one == note));
}

#[test]
fn with_dnat_none_nothing_is_refused() {
    let asked = Question { dnat: Dnat::Never, ..question("node/web1", "10.96.0.10", "tcp/80") };
    assert_eq!(outcome(&ask(&[service(&[])], &asked)), "untranslated");
}

#[test]
fn a_claim_names_the_endpoints_that_take_packets() {
    let snapshot = world();
    let services = vec![service(&[("10.65.0.9", "web1", NotReady), ("10.65.1.9", "web2", Terminating)])];
    let topology = Topology::new(&snapshot).with_services(services);
    let asked =
        tortie_explain::claim::parse(&topology, "permits node/web1 -> 10.96.0.10 tcp/80").remove(0).claim.unwrap();
    let error = tortie_explain::claim::check(&topology, &asked).unwrap_err().to_string();
    assert!(error.contains("write a line for each of its endpoints: 10.65.1.9 tcp/8080"), "{error}");
    assert_eq!(wrong(&topology, "permits node/web1 -> 10.65.1.9 tcp/8080"), None);
}

#[test]
fn a_claim_that_names_a_node_port_is_not_checked_as_one_about_the_node() {
    let snapshot = world();
    let topology = Topology::new(&snapshot).with_services(vec![on_both()]);
    let why = |claim: &str| {
        let asked = tortie_explain::claim::parse(&topology, claim).remove(0).claim.unwrap();
        tortie_explain::claim::check(&topology, &asked).err().map(|error| error.to_string())
    };
    let error = why("permits pod/shop/a -> node/web2 tcp/30080").unwrap();
    assert!(
        error.contains("192.0.2.12 is a nodePort of service shop/db, which a service proxy translates: write a line"),
        "{error}"
    );
    assert!(why("permits pod/shop/a -> 192.0.2.12 tcp/30000-31000").is_some());
    for other in ["tcp/80", "tcp/22", "udp/30080", "all"] {
        assert_eq!(why(&format!("forbids 192.0.2.200 -> node/web2 {other}")), None);
    }
}

#[test]
fn random_services_are_answered_as_a_model_of_kube_proxys_rules_decides() {
    let snapshot = world();
    let compared = kube_proxy::compare(&snapshot, 0..6000).unwrap();
    assert!(compared > 5000, "{compared} compared");
}

#[test]
fn each_fault_of_services_is_noticed() {
    let snapshot = world();
    for fault in faults::SERVICES {
        let is_noticed = faults::with(fault, || kube_proxy::compare(&snapshot, 0..6000).is_err());
        assert!(is_noticed, "{fault} is not noticed");
    }
}
