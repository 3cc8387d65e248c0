//! Answers as people read them: worlds in `worlds/`, questions here, texts in `snapshots/`, reviewed.

#![allow(clippy::unwrap_used)]

mod common;

use common::question;
use tortie_explain::{
    Counts, Dnat, EndSpec, Question, State, Topology, TrafficSpec, endpoint, enforce_staged, json, not_in_force,
    policy, reach, reach::reach, set, text, tier, trace,
};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Incoming, Machine, Port, RouteKind};
use tortie_policy::packet::{Host, Link, Transport};
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;

fn world(name: &str) -> Snapshot {
    world_with(name, "")
}

/// A world, and some more manifests.
fn world_with(name: &str, more: &str) -> Snapshot {
    let path = format!("{}/tests/worlds/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = format!("{}\n---\n{more}", std::fs::read_to_string(path).unwrap());
    manifests::snapshot(text)
}

fn answer(snapshot: &Snapshot, question: &Question) -> String {
    match trace(&Topology::new(snapshot), question) {
        Ok(answer) => text::render(snapshot, &answer),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn end_of_tier_names_the_tier_and_the_staged_policy_that_would_allow() {
    let snapshot = world("bare-metal");
    insta::assert_snapshot!(answer(&snapshot, &question("203.0.113.9", "node/web1", "tcp/5432")));
}

#[test]
fn a_set_member_is_denied_by_the_rule_that_names_its_label() {
    let snapshot = world("bare-metal");
    insta::assert_snapshot!(answer(&snapshot, &question("198.51.100.200", "node/web1", "tcp/5432")));
}

#[test]
fn a_failsafe_comes_before_a_deny_that_is_never_reached() {
    let snapshot = world("bare-metal");
    insta::assert_snapshot!(answer(&snapshot, &question("198.51.100.7", "hep/web1-eth0", "tcp/22")));
}

#[test]
fn staged_policies_count_when_asked_for() {
    let mut snapshot = world("bare-metal");
    enforce_staged(&mut snapshot);
    insta::assert_snapshot!(answer(&snapshot, &question("203.0.113.9", "node/web1", "tcp/5432")));
}

#[test]
fn a_profile_allows_what_no_policy_of_that_direction_selects() {
    let snapshot = world("bare-metal");
    insta::assert_snapshot!(answer(&snapshot, &question("node/web1", "203.0.113.9", "https")));
}

#[test]
fn a_translated_packet_is_judged_by_its_new_port_from_there_on() {
    let snapshot = world("two-nodes");
    let question = Question {
        dnat: Dnat::To("10.65.1.4".parse().unwrap(), Some(8080)),
        ..question("pod/default/shop", "192.0.2.12", "tcp/30080")
    };
    insta::assert_snapshot!(answer(&snapshot, &question));
}

#[test]
fn a_host_reaches_its_own_workload_whatever_the_policy() {
    let snapshot = world("two-nodes");
    insta::assert_snapshot!(answer(&snapshot, &question("node/web2", "default/api", "tcp/9999")));
}

#[test]
fn a_port_name_is_that_of_the_destination() {
    let snapshot = world("two-nodes");
    insta::assert_snapshot!(answer(&snapshot, &question("any", "pod/default/api", "web")));
}

#[test]
fn a_workload_that_does_not_exist_yet_is_judged_by_its_labels() {
    let snapshot = world("two-nodes");
    insta::assert_snapshot!(answer(&snapshot, &question("any", "labels:app=api,ns=default", "tcp/81")));
}

#[test]
fn an_endpoint_says_whether_it_is_default_deny_and_why() {
    let snapshot = world("bare-metal");
    insta::assert_snapshot!(endpoint::host(&snapshot, &snapshot.host_endpoints["web1-eth0"], &Counts::default()));
}

#[test]
fn without_a_protocol_the_answer_is_grouped() {
    let snapshot = world("bare-metal");
    let table = reach(&Topology::new(&snapshot), &question("203.0.113.9", "node/web1", "icmp"), None).unwrap();
    let lines: Vec<String> = table.rows.iter().map(reach::Row::line).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_json_of_an_answer_has_a_stable_shape() {
    let snapshot = world("bare-metal");
    let topology = Topology::new(&snapshot);
    let answer = trace(&topology, &question("198.51.100.7", "hep/web1-eth0", "tcp/22")).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json::render(&snapshot, &answer)).unwrap());
}

#[test]
fn a_question_that_cannot_be_answered_says_what_to_write() {
    let snapshot = world("bare-metal");
    let mut lines = vec![];
    for (from, to) in
        [("203.0.113.9", "node/web9"), ("pod/default/nope", "any"), ("1.2.3.4", "5.6.7.8"), ("any", "hep/web")]
    {
        lines.push(format!("{from} {to}: {}", answer(&snapshot, &question(from, to, "tcp/1"))));
    }
    for party in ["", "web1", "pod/x", "labels:app", "a/b/c"] {
        lines.push(format!(
            "{party:?}: {}",
            party.parse::<EndSpec>().map_or_else(|e| e.to_string(), |p| format!("{p:?}"))
        ));
    }
    for what in ["80", "tcp/70000", "443/tcp", "icmp/8/300", "proto/253", "tcp/http/1", "foo/1"] {
        lines.push(format!(
            "{what:?}: {}",
            what.parse::<TrafficSpec>().map_or_else(|e| e.to_string(), |w| format!("{w:?}"))
        ));
    }
    insta::assert_snapshot!(lines.join("\n"));
}

const STAGED_DELETE: &str = "
apiVersion: projectcalico.org/v3
kind: StagedGlobalNetworkPolicy
metadata: {name: platform.db}
spec: {tier: platform, stagedAction: Delete}
";

#[test]
fn a_staged_deletion_takes_the_policy_away_when_staged_ones_count() {
    let mut snapshot = world_with("bare-metal", STAGED_DELETE);
    let question = question("203.0.113.9", "node/web1", "tcp/5432");
    let before = answer(&snapshot, &question);
    assert!(before.contains("gnp platform.db: rule 1 Allow no"), "{before}");
    enforce_staged(&mut snapshot);
    let after = answer(&snapshot, &question);
    assert!(!after.contains("gnp platform.db:") && after.contains("gnp platform.db-v2: "), "{after}");
}

const SECOND_INTERFACE: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth1}
spec: {node: web1, interfaceName: eth1, expectedIPs: [198.18.7.1], profiles: [open]}
";

#[test]
fn where_nothing_tells_the_interface_each_of_them_is_answered() {
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let mut question = question("203.0.113.9", "node/web1", "tcp/5432");
    insta::assert_snapshot!(answer(&snapshot, &question));
    assert!(!trace(&Topology::new(&snapshot), &question).unwrap().allowed());
    question.in_interface = Some("eth1".to_owned());
    assert!(answer(&snapshot, &question).contains("ALLOWED by profile open"));
    // An address of eth0 does not say that the packet comes in there.
    question.in_interface = None;
    question.to = "192.0.2.11".parse().unwrap();
    assert!(answer(&snapshot, &question).contains("\nDENIED if it enters web1 at eth0 ("));
    // With all denied there is nothing to choose.
    question.state = State::Invalid;
    let said = answer(&snapshot, &question);
    assert!(said.contains("\nDENIED on every way: if it enters web1 at eth0 (by connection tracking"), "{said}");
    // What the endpoint that is asked about is on needs no guess.
    question.state = State::New;
    question.to = "hep/web1-eth1".parse().unwrap();
    assert!(answer(&snapshot, &question).contains("ALLOWED by profile open"));
}

/// web1 with two interfaces, a bridge for containers, and the routes that go with them.
fn machine() -> (Host, Machine) {
    let links = vec![
        link("docker0", &["172.17.0.1"]),
        link("eth0", &["192.0.2.11", "2001:db8::11"]),
        link("eth1", &["198.18.7.1"]),
        link("lo", &["127.0.0.1"]),
    ];
    let routes = vec![
        route("0.0.0.0/0", RouteKind::Unicast, "eth0"),
        route("192.0.2.0/24", RouteKind::Unicast, "eth0"),
        route("198.18.7.0/24", RouteKind::Unicast, "eth1"),
        route("172.17.0.0/16", RouteKind::Unicast, "docker0"),
        route("192.0.2.11/32", RouteKind::Local, "eth0"),
        route("198.18.7.1/32", RouteKind::Local, "eth1"),
        route("192.0.2.255/32", RouteKind::Broadcast, "eth0"),
        route("2001:db8::/64", RouteKind::Unicast, "eth0"),
    ];
    (Host { node: "web1".into(), links }, Machine { routes, inner: vec!["docker0".into()], ..Machine::default() })
}

/// Makes a machine accept a source only by the interface of the route to it.
fn strict(machine: &mut Machine) {
    let strict = Incoming { forwards_ipv4: true, forwards_ipv6: true, rp_filter: 1, ..Incoming::default() };
    machine.incoming = ["docker0", "eth0", "eth1", "lo"].map(|name| (name.to_owned(), strict)).into();
}

fn answer_there(snapshot: &Snapshot, question: &Question, change: impl FnOnce(&mut Machine)) -> String {
    let (host, mut machine) = machine();
    change(&mut machine);
    let topology = Topology::new(snapshot).with_host(host).with_machine("web1", machine);
    match trace(&topology, question) {
        Ok(answer) => text::render(snapshot, &answer),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn the_routes_of_the_machine_tell_where_a_packet_enters_and_leaves() {
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let line_of = |from: &str, to: &str| answer_there(&snapshot, &question(from, to, "tcp/5432"), strict);
    insta::assert_snapshot!(line_of("203.0.113.9", "node/web1"));
    // By the other interface to the other address; and from the address that the route is used with.
    let said = line_of("198.18.7.9", "node/web1");
    assert!(said.starts_with("tcp 198.18.7.9 → 198.18.7.1:5432, new, enters web1 at eth1;"), "{said}");
    let said = line_of("node/web1", "198.18.7.9");
    assert!(said.starts_with("tcp 198.18.7.1 → 198.18.7.9:5432, new, leaves web1 by eth1;"), "{said}");
    // Through the machine.
    let asked = Question { node: Some("web1".into()), ..question("203.0.113.9", "172.17.0.2", "tcp/5432") };
    let said = answer_there(&snapshot, &asked, |_| ());
    assert!(said.contains("note: it leaves web1 by docker0, as web1's route to 172.17.0.2 says"), "{said}");
    // Where the routes do not tell everything, nothing is taken from them.
    let asked = question("203.0.113.9", "192.0.2.11", "tcp/5432");
    let said = answer_there(&snapshot, &asked, |machine| machine.partial = Some("it has its own rules".into()));
    assert!(said.contains("note: nothing tells by which interface it enters web1: it has its own rules"), "{said}");
    assert!(said.contains("DENIED if it enters web1 at eth0 ("), "{said}");
    // And a source without a route may come from anywhere.
    let said = answer_there(&snapshot, &question("2001:db8:f::9", "node/web1", "tcp/5432"), |_| ());
    assert!(said.contains("web1 has no route to 2001:db8:f::9"), "{said}");
}

#[test]
fn a_packet_to_an_address_of_another_interface_than_that_of_the_route_back_is_answered_at_each_that_accepts_it() {
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let line_of = |change: &dyn Fn(&mut Machine)| {
        answer_there(&snapshot, &question("203.0.113.9", "198.18.7.1", "tcp/5432"), change)
    };
    let said = line_of(&|_| ());
    let note = "nothing tells by which interface it enters web1: 198.18.7.1 is an address of eth1, and web1's route to 203.0.113.9 leads by eth0";
    assert!(said.contains(note), "{said}");
    assert!(said.contains("DENIED if it enters web1 at eth0 ("), "{said}");
    assert!(said.contains("let through if it enters web1 at eth1 ("), "{said}");
    // Behind docker0 is no other machine.
    assert!(!said.contains("docker0"), "{said}");
    let said = line_of(&strict);
    assert!(said.contains("new, enters web1 at eth0;") && !said.contains("eth1"), "{said}");
}

#[test]
fn a_translation_to_a_container_is_a_step_and_does_not_change_where_the_packet_enters() {
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let asked = Question {
        dnat: Dnat::To("172.17.0.2".parse().unwrap(), Some(5000)),
        ..question("203.0.113.9", "hep/web1-eth0", "tcp/80")
    };
    insta::assert_snapshot!(answer_there(&snapshot, &asked, |_| ()));
    // And without the machine: the endpoint that is asked about is where it comes in.
    let said = answer(&snapshot, &asked);
    assert!(said.contains("new, enters web1 at eth0") || said.contains("it leaves web1 by eth0 or eth1"), "{said}");
}

#[test]
fn multicast_and_broadcast_are_judged_where_they_are_received() {
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let at = |from: &str, to: &str, what: &str| Question { node: Some("web1".into()), ..question(from, to, what) };
    insta::assert_snapshot!(answer_there(&snapshot, &at("192.0.2.9", "224.0.0.18", "proto/112"), |_| ()));
    for (from, to, what) in [
        ("192.0.2.9", "224.0.0.251", "udp/5353"),
        ("192.0.2.9", "192.0.2.255", "udp/137"),
        ("192.0.2.9", "255.255.255.255", "udp/67"),
        ("2001:db8::9", "ff02::fb", "udp/5353"),
    ] {
        let said = answer_there(&snapshot, &at(from, to, what), |_| ());
        assert!(
            said.ends_with("ingress of web1-eth0 on web1\n") && said.contains("\nDENIED by end of tier platform"),
            "{said}"
        );
    }
    // A client without an address may be on every link; a failsafe opens the answer to it.
    let said = answer_there(&snapshot, &at("0.0.0.0", "255.255.255.255", "udp/67"), |_| ());
    assert!(said.contains("nothing tells by which interface it enters web1: 0.0.0.0 may be on every link"), "{said}");
    let said = answer_there(&snapshot, &at("192.0.2.1", "255.255.255.255", "udp/68"), |_| ());
    assert!(said.contains("ALLOWED by failsafe udp/68"), "{said}");
    // Whose broadcast address it is, the machine tells; of a group somebody must say who receives it.
    let said = answer_there(&snapshot, &question("192.0.2.9", "192.0.2.255", "udp/137"), |_| ());
    assert!(said.contains("DENIED by end of tier platform, ingress of web1-eth0 on web1"), "{said}");
    let said = answer_there(&snapshot, &question("192.0.2.9", "224.0.0.18", "proto/112"), |_| ());
    assert!(said.contains("224.0.0.18 is a multicast address: every machine on the link receives it; name"), "{said}");
    let said = answer_there(&snapshot, &question("224.0.0.18", "node/web1", "proto/112"), |_| ());
    assert!(said.contains("224.0.0.18 is a multicast address: every machine drops what comes from it"), "{said}");
}

/// Linux was seen to deliver and to forward what comes from 192.0.2.255 where rp_filter is 0, and what comes from 255.255.255.255 never.
#[test]
fn a_packet_from_the_broadcast_address_of_a_link_is_judged_and_said_to_rest_on_rp_filter() {
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let said = answer_there(&snapshot, &question("192.0.2.255", "192.0.2.11", "tcp/5432"), |_| ());
    assert!(said.contains("enters web1 at eth0") && said.contains("\nDENIED by end of tier platform"), "{said}");
    assert!(said.contains("192.0.2.255 is the broadcast address of a link, and unless rp_filter is 0"), "{said}");
    let said = answer_there(&snapshot, &question("255.255.255.255", "node/web1", "tcp/5432"), |_| ());
    assert!(said.contains("every machine drops what comes from it"), "{said}");
}

#[test]
fn the_sender_to_a_group_is_judged_at_output_and_receives_a_copy() {
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let asked = Question { out_interface: Some("eth0".into()), ..question("node/web1", "224.0.0.18", "proto/112") };
    insta::assert_snapshot!(answer_there(&snapshot, &asked, |_| ()));
    // By which interface a program sends to a group is its own choice.
    let said = answer_there(&snapshot, &Question { out_interface: None, ..asked }, |_| ());
    assert!(
        said.contains("nothing tells by which interface it leaves web1: 224.0.0.18 may be on every link"),
        "{said}"
    );
    // From a workload it ends at its node.
    let snapshot = world("two-nodes");
    let said = answer(&snapshot, &question("pod/default/shop", "224.0.0.251", "udp/5353"));
    assert!(said.contains("web1 · egress to its host of default/shop"), "{said}");
}

#[test]
fn host_endpoints_that_govern_nothing_are_shown_with_the_reason() {
    let more = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web1-other}, spec: {node: web1, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: gone}, spec: {node: web1, expectedIPs: [192.0.2.99]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: later}, spec: {node: web1, interfaceName: eth7}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: port}, spec: {node: web1, interfaceName: eth1}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: pods}, spec: {node: web1, interfaceName: cali12}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: all-a}, spec: {node: web1, interfaceName: '*'}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: all-b}, spec: {node: web1, interfaceName: '*'}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: far}, spec: {node: web1.example.com, interfaceName: eth0}}
"#;
    let snapshot = world_with("bare-metal", more);
    let (host, mut machine) = machine();
    machine.ports.push(Port { name: "eth1".into(), master: "br0".into(), kind: "bridge".into() });
    let there = Topology::new(&snapshot).with_host(host).with_machine("web1", machine);
    let elsewhere = Topology::new(&snapshot);
    let reasons = |topology: &Topology<'_>| {
        let all = snapshot.host_endpoints.values();
        let list =
            all.filter_map(|one| not_in_force::host_endpoint(topology, one).map(|why| format!("{} {why}", one.name)));
        list.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(format!("{}\n\nas far as the store tells:\n{}", reasons(&there), reasons(&elsewhere)));
    // An answer that such an endpoint seems to bear on says so.
    let said = answer(&snapshot, &question("203.0.113.9", "hep/web1-other", "tcp/80"));
    assert!(said.contains("note: host endpoint web1-other is not in force: web1-eth0 governs eth0"), "{said}");
}

#[test]
fn an_endpoint_of_an_unknown_node_with_an_address_of_this_machine_is_most_likely_meant_for_it() {
    let snapshot = manifests::snapshot(
        r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: a}, spec: {node: old, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: b}, spec: {node: old, interfaceName: lo, expectedIPs: [127.0.0.1]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: c}, spec: {node: other, interfaceName: eth0, expectedIPs: [192.0.2.12]}}
"#
        .to_owned(),
    );
    let found = |topology: &Topology<'_>| -> Vec<_> {
        let all = not_in_force::all_host_endpoints(topology).into_iter();
        all.map(|(name, why)| (name, why.to_string(), why.has_unknown_node)).collect()
    };
    let why = "is on old, a node that no other object names, and web1 has its address 192.0.2.11; did you mean web1?";
    assert_eq!(found(&Topology::new(&snapshot).with_host(machine().0)), [("a".to_owned(), why.to_owned(), true)]);
    // Nobody tells the addresses of machines.
    assert_eq!(found(&Topology::new(&snapshot)), []);
}

#[test]
fn an_unknown_node_is_an_error_that_suggests_a_known_one() {
    let snapshot = world("bare-metal");
    let asked = |from: &str, to: &str, node: &str| {
        answer(&snapshot, &Question { node: Some(node.into()), ..question(from, to, "tcp/80") })
    };
    for (from, to) in [("any", "labels:app=x"), ("203.0.113.9", "node/web1"), ("203.0.113.9", "10.0.0.1")] {
        let said = asked(from, to, "web1.example.com");
        assert!(
            said.starts_with(
                "error: there is no node \"web1.example.com\": no object in the store names it; did you mean web1?"
            ),
            "{said}"
        );
    }
    assert!(!asked("any", "node/web1", "web2").contains("did you mean"));
}

#[test]
fn the_answers_to_what_an_untracked_policy_allows_are_said_to_be_judged_by_themselves() {
    let policy = |stage: &str| {
        format!(
            "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: early}}, spec: {{{stage}: true, applyOnForward: true, selector: all(), types: [Ingress], ingress: [{{action: Allow}}]}}}}"
        )
    };
    let asked = question("203.0.113.9", "hep/web1-eth0", "tcp/8080");
    let note = "note: an untracked policy of web1 allows it, so that policies judge its answers by themselves, which this answer does not: ask about them the other way round, with --source-port 8080";
    let snapshot = world_with("bare-metal", &policy("doNotTrack"));
    assert!(answer(&snapshot, &asked).contains(&format!("{note} --state invalid\n")), "{}", answer(&snapshot, &asked));
    let udp = question("203.0.113.9", "hep/web1-eth0", "udp/8080");
    assert!(answer(&snapshot, &udp).contains(&format!("{note}\n")));
    let tracked = answer(&world_with("bare-metal", &policy("preDNAT")), &asked);
    assert!(tracked.contains("ALLOWED") && !tracked.contains("untracked policy of"), "{tracked}");
}

#[test]
fn the_last_line_names_the_policy_of_untracked_and_pre_dnat_allows() {
    let early = |kind: &str| {
        format!(
            "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: platform.early}}, spec: {{tier: platform,
            selector: role == 'web', {kind}: true, applyOnForward: true, types: [Ingress], ingress: [{{action: Allow, protocol: TCP}}]}}}}"
        )
    };
    for (kind, stage) in [("doNotTrack", "untracked in"), ("preDNAT", "pre-DNAT in")] {
        let snapshot = world_with("bare-metal", &early(kind));
        let said = answer(&snapshot, &question("203.0.113.9", "node/web1", "tcp/5432"));
        let line = format!("\nALLOWED by gnp platform.early rule 1, {stage} of web1-eth0 on web1");
        let (_, rest) = said.split_once(&line).unwrap_or_else(|| panic!("{said}"));
        // Failsafes let in what comes from their ports before an untracked policy is asked, and the policies after it do not.
        let assumed =
            " (assumed: source port 49152; tcp 5432 from ports 179,2379-2380,5473,6443,6666-6667 is DENIED)\n";
        assert_eq!(rest, if kind == "doNotTrack" { assumed } else { "\n" }, "{said}");
    }
}

#[test]
fn the_near_miss_of_a_packet_without_ports_says_no_more_than_that() {
    let snapshot = world("bare-metal");
    let said = answer(&snapshot, &question("203.0.113.9", "node/web1", "icmp"));
    assert!(!said.contains("and is not"), "{said}");
    assert!(said.contains("no (protocol: icmp is not tcp)"), "{said}");
}

const OVERLAY: &str = "
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 10.65.0.0/16, ipipMode: Always}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: out}
spec: {order: 1, selector: app == 'shop', types: [Egress], egress: [{action: Allow, destination: {selector: app == 'api'}}]}
";

#[test]
fn between_nodes_with_an_overlay_the_packet_goes_through_the_tunnel() {
    let snapshot = world_with("two-nodes", OVERLAY);
    insta::assert_snapshot!(answer(&snapshot, &question("pod/default/shop", "pod/default/api", "tcp/80")));
}

#[test]
fn of_several_rules_the_one_with_the_fewest_failed_conditions_is_the_near_miss() {
    let more = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: platform.more}
spec:
  tier: platform
  selector: role == 'web'
  types: [Ingress]
  ingress:
  - {action: Allow, protocol: UDP, source: {selector: role == 'app'}, destination: {ports: [53]}}
  - {action: Allow, protocol: TCP, source: {nets: [203.0.113.0/24]}, destination: {ports: [5433]}}
";
    let snapshot = world_with("bare-metal", more);
    let text = answer(&snapshot, &question("203.0.113.9", "node/web1", "tcp/5434"));
    assert!(text.contains(". Near miss: gnp platform.more rule 2: port 5434 is not 5433 (assumed: "), "{text}");
}

/// The names of all fields of a JSON value.
fn fields(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(all) => all.iter().for_each(|(name, value)| {
            found.insert(name.clone());
            // The names of labels are the user's.
            if name != "labels" {
                fields(value, found);
            }
        }),
        serde_json::Value::Array(all) => all.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[test]
fn the_json_has_exactly_the_documented_fields() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/explain-json.md");
    let documented = std::fs::read_to_string(path).unwrap();
    let mut found = std::collections::BTreeSet::new();
    for (name, from, to, what) in [
        ("bare-metal", "198.51.100.7", "hep/web1-eth0", "tcp/22"),
        ("bare-metal", "203.0.113.9", "node/web1", "icmp"),
        ("bare-metal", "node/web1", "203.0.113.9", "https"),
        ("two-nodes", "pod/default/shop", "pod/default/api", "tcp/81"),
    ] {
        let snapshot = world(name);
        let answer = trace(&Topology::new(&snapshot), &question(from, to, what)).unwrap();
        fields(&json::render(&snapshot, &answer), &mut found);
    }
    // What several interfaces and a translation add.
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let translated = Question {
        dnat: Dnat::To("192.0.2.11".parse().unwrap(), Some(81)),
        ..question("203.0.113.9", "node/web1", "tcp/80")
    };
    let answer = trace(&Topology::new(&snapshot), &translated).unwrap();
    fields(&json::render(&snapshot, &answer), &mut found);
    let topology = Topology::new(&snapshot);
    for (from, what) in [("203.0.113.9", None), ("any", Some(TrafficSpec::Icmp(None)))] {
        let question = question(from, "node/web1", "icmp");
        fields(&json::reach(&reach(&topology, &question, what.as_ref()).unwrap()), &mut found);
    }
    // What an end with several addresses adds.
    let several = manifests::snapshot(
        "
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web, labels: {role: web}}, spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11, 192.0.2.12]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web}, spec: {selector: role == 'web', ingress: [{action: Allow, destination: {nets: [192.0.2.12/32]}}]}}
",
    );
    let any = question("any", "hep/web", "icmp");
    fields(&json::reach(&reach(&Topology::new(&several), &any, Some(&any.what)).unwrap()), &mut found);
    // Of one endpoint, of one policy, and of one tier.
    let [host, api] = [world("bare-metal"), world("two-nodes")];
    fields(&endpoint::host_json(&host, &host.host_endpoints["web1-eth0"], None), &mut found);
    let workload = api.workload_endpoints.values().next().unwrap();
    fields(&endpoint::workload_json(&Topology::new(&api), workload), &mut found);
    for policy in host.policies.values() {
        fields(&policy::json(&policy::about(&host, policy)), &mut found);
        fields(&tier::json(&tier::about(&host, &policy.tier).unwrap()), &mut found);
    }
    for id in host.network_sets.keys() {
        fields(&set::json(&set::about(&Topology::new(&host), &id.namespace, &id.name).unwrap()), &mut found);
    }
    let word =
        |name: &&String| !documented.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name.as_str());
    let missing: Vec<_> = found.iter().filter(word).collect();
    assert!(missing.is_empty() && found.len() > 25, "not in docs/explain-json.md: {missing:?}");
    // And nothing is promised that is not printed: the first column of the table. The command adds what only it knows.
    found.extend(["notFromStore", "notCompared"].map(str::to_owned));
    let promised = documented.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names = promised.flat_map(|column| column.split(", ")).map(|name| name.trim_matches(['`', '[', ']']));
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).trim_end_matches("[]").to_owned();
    let unprinted: Vec<String> = names.map(last).filter(|name| !found.contains(name)).collect();
    assert!(unprinted.is_empty(), "in docs/explain-json.md and never printed: {unprinted:?}");
}

#[test]
fn if_no_address_of_the_node_is_known_a_packet_to_it_does_not_count_as_forwarded() {
    let endpoint = r#"{"apiVersion":"projectcalico.org/v3","kind":"HostEndpoint","metadata":{"name":"e"},"spec":{"node":"n","interfaceName":"eth0"}}"#;
    let snapshot = manifests::snapshot(endpoint);
    let mut asked = Question { node: Some("n".into()), ..question("203.0.113.9", "192.0.2.11", "tcp/80") };
    let said = answer(&snapshot, &asked);
    assert!(said.starts_with("error: the store knows no IPv4 address of node n, and so not whether"), "{said}");
    asked.node = Some("m".into());
    let said = answer(&snapshot, &asked);
    assert!(said.starts_with("error: there is no node \"m\": no object in the store names it"), "{said}");
    asked.node = Some("n".into());
    (asked.in_interface, asked.out_interface) = (Some("eth0".into()), Some("eth1".into()));
    let said = answer(&snapshot, &asked);
    assert!(said.contains("ALLOWED"), "{said}");
    // The machine itself knows what is its own.
    (asked.in_interface, asked.out_interface) = (None, None);
    let link = Link { name: "eth0".into(), addresses: vec!["192.0.2.11".parse().unwrap()] };
    let topology = Topology::new(&snapshot).with_host(Host { node: "n".into(), links: vec![link] });
    let answer = trace(&topology, &asked).unwrap();
    assert!(text::verdict_line(&snapshot, &answer).starts_with("DENIED by default deny"));
}

#[test]
fn the_address_that_is_asked_about_is_the_one_that_is_answered_for() {
    let two = |name: &str, host: u8| {
        format!(
            r#"{{"apiVersion":"projectcalico.org/v3","kind":"WorkloadEndpoint","metadata":{{"name":"n-k8s-{name}-eth0","namespace":"a"}},
            "spec":{{"node":"n","orchestrator":"k8s","pod":"{name}","endpoint":"eth0","interfaceName":"cali{host}",
            "ipNetworks":["10.65.0.{host}/32","10.65.1.{host}/32","fd65::{host}/128"]}}}}"#
        )
    };
    let snapshot = world_with("bare-metal", &format!("{}\n---\n{}", two("one", 1), two("two", 2)));
    let ends = |from: &str, to: &str, what: &str| {
        trace(&Topology::new(&snapshot), &question(from, to, what)).map(|answer| {
            let packet = &answer.hops[0].packet;
            (packet.source.to_string(), packet.destination.to_string(), packet.protocol)
        })
    };
    let said = |from: &str, to: &str, protocol| Ok((from.to_owned(), to.to_owned(), protocol));
    assert_eq!(ends("10.65.1.1", "10.65.1.2", "tcp/80"), said("10.65.1.1", "10.65.1.2", 6));
    assert_eq!(ends("fd65::1", "fd65::2", "tcp/80"), said("fd65::1", "fd65::2", 6));
    assert_eq!(ends("fd65::1", "pod/a/two", "icmp"), said("fd65::1", "fd65::2", 58));
    assert_eq!(ends("pod/a/one", "pod/a/two", "icmpv6/128"), said("fd65::1", "fd65::2", 58));
    assert_eq!(ends("pod/a/one", "pod/a/two", "icmp"), said("10.65.0.1", "10.65.0.2", 1));
    let error = ends("10.65.0.1", "pod/a/two", "icmpv6").unwrap_err();
    assert_eq!(error.to_string(), "the two ends do not both have an IPv6 address");
}

#[test]
fn a_port_of_a_host_endpoint_is_known_by_its_name() {
    let more = r#"{"apiVersion":"projectcalico.org/v3","kind":"HostEndpoint","metadata":{"name":"e"},
        "spec":{"node":"n","interfaceName":"eth0","expectedIPs":["192.0.2.77"],"ports":[{"name":"admin","protocol":"UDP","port":9000}]}}"#;
    let snapshot = world_with("bare-metal", more);
    for to in ["hep/e", "node/n", "192.0.2.77"] {
        let answer = trace(&Topology::new(&snapshot), &question("203.0.113.9", to, "admin")).unwrap();
        let packet = &answer.hops[0].packet;
        assert_eq!((packet.protocol, packet.transport), (17, Transport::Ports { source: 49152, destination: 9000 }));
    }
    let error = answer(&snapshot, &question("203.0.113.9", "hep/e", "nope"));
    assert!(error.contains("named port of the target, which has admin"), "{error}");
}

#[test]
fn a_reason_that_holds_for_all_of_one_ip_version_is_not_given_for_all_of_the_other() {
    let snapshot = manifests::snapshot(
        "
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web, labels: {role: web}}, spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11, '2001:db9::1']}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: bad, labels: {bad: 'yes'}}, spec: {nets: ['2001:db8::/32']}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web}, spec: {selector: role == 'web', types: [Ingress], ingress: [{action: Deny, source: {selector: has(bad)}}]}}
",
    );
    let topology = Topology::new(&snapshot);
    let http: TrafficSpec = "tcp/80".parse().unwrap();
    let question = Question::new("any".parse().unwrap(), "hep/web".parse().unwrap(), http.clone());
    let found = tortie_explain::reach::reach(&topology, &question, Some(&http)).unwrap();
    let lines: Vec<String> = found.rows.iter().flat_map(|row| [vec![row.line()], row.reasons()].concat()).collect();
    assert_eq!(
        lines,
        [
            "IPv4 tcp 80: DENIED from everywhere",
            "everywhere: DENIED by end of tier default, ingress of web on web1",
            "IPv6 tcp 80: DENIED from everywhere",
            "set bad: DENIED by gnp web rule 1, ingress of web on web1",
            "everywhere else: DENIED by end of tier default, ingress of web on web1",
        ]
    );
}
