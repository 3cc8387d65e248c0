//! Answers as people read them: worlds in `worlds/`, questions here, texts in `snapshots/`, reviewed.

#![allow(clippy::unwrap_used)]

use tortie_api::read::{Source, read};
use tortie_explain::{Party, Places, Question, State, What, endpoint, enforce_staged, journey, json, table, text};
use tortie_policy::Snapshot;
use tortie_policy::packet::{Host, Link, Transport};

fn world(name: &str) -> Snapshot {
    world_with(name, "")
}

/// A world, and some more manifests.
fn world_with(name: &str, more: &str) -> Snapshot {
    let path = format!("{}/tests/worlds/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let text = format!("{}\n---\n{more}", std::fs::read_to_string(path).unwrap());
    let located = read(&Source::new(name, text.into_bytes()));
    let objects: Vec<_> = located
        .into_iter()
        .map(|located| {
            assert!(located.problems.is_empty(), "{:?}", located.problems);
            located.object.unwrap()
        })
        .collect();
    let (snapshot, invalid) = Snapshot::from_objects(&objects);
    assert!(invalid.is_empty(), "{invalid:?}");
    snapshot
}

fn question(from: &str, to: &str, what: &str) -> Question {
    Question {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        what: what.parse().unwrap(),
        node: None,
        in_interface: None,
        out_interface: None,
        source_port: None,
        dnat: None,
        state: State::New,
    }
}

fn answer(snapshot: &Snapshot, question: &Question) -> String {
    match journey(&Places::new(snapshot), question) {
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
        dnat: Some(("10.65.1.4".parse().unwrap(), Some(8080))),
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
fn a_port_name_is_that_of_the_target() {
    let snapshot = world("two-nodes");
    insta::assert_snapshot!(answer(&snapshot, &question("any", "pod/default/api", "web")));
}

#[test]
fn a_workload_that_is_not_there_yet_is_judged_by_its_labels() {
    let snapshot = world("two-nodes");
    insta::assert_snapshot!(answer(&snapshot, &question("any", "labels:app=api,ns=default", "tcp/81")));
}

#[test]
fn an_endpoint_says_whether_it_is_default_deny_and_why() {
    let snapshot = world("bare-metal");
    insta::assert_snapshot!(endpoint::host(&snapshot, &snapshot.host_endpoints["web1-eth0"]));
}

#[test]
fn without_a_protocol_everything_is_told_in_groups() {
    let snapshot = world("bare-metal");
    let lines = table::reach(&Places::new(&snapshot), &question("203.0.113.9", "node/web1", "icmp")).unwrap();
    let lines: Vec<String> = lines.iter().map(|line| format!("{}: {}", line.what, line.verdict)).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_json_of_an_answer_has_a_stable_shape() {
    let snapshot = world("bare-metal");
    let places = Places::new(&snapshot);
    let answer = journey(&places, &question("198.51.100.7", "hep/web1-eth0", "tcp/22")).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json::render(&snapshot, &answer)).unwrap());
}

#[test]
fn a_question_that_cannot_be_answered_says_what_to_write() {
    let snapshot = world("bare-metal");
    let mut told = vec![];
    for (from, to) in
        [("203.0.113.9", "node/web9"), ("pod/default/nope", "any"), ("1.2.3.4", "5.6.7.8"), ("any", "hep/web")]
    {
        told.push(format!("{from} {to}: {}", answer(&snapshot, &question(from, to, "tcp/1"))));
    }
    for party in ["", "web1", "pod/x", "labels:app", "a/b/c"] {
        told.push(format!(
            "{party:?}: {}",
            party.parse::<Party>().map_or_else(|e| e.to_string(), |p| format!("{p:?}"))
        ));
    }
    for what in ["80", "tcp/70000", "443/tcp", "icmp/8/300", "proto/253", "tcp/http/1", "foo/1"] {
        told.push(format!("{what:?}: {}", what.parse::<What>().map_or_else(|e| e.to_string(), |w| format!("{w:?}"))));
    }
    insta::assert_snapshot!(told.join("\n"));
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
fn where_the_answer_depends_on_the_interface_it_is_asked_for_with_the_choices() {
    let snapshot = world_with("bare-metal", SECOND_INTERFACE);
    let mut question = question("203.0.113.9", "node/web1", "tcp/5432");
    insta::assert_snapshot!(answer(&snapshot, &question));
    question.in_interface = Some("eth1".to_owned());
    assert!(answer(&snapshot, &question).contains("ALLOWED by profile open"));
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
    assert!(text.ends_with("Near miss: gnp platform.more rule 2: port 5434 is not 5433\n"), "{text}");
}

/// The names of all fields of a JSON value.
fn fields(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(all) => all.iter().for_each(|(name, value)| {
            found.insert(name.clone());
            fields(value, found);
        }),
        serde_json::Value::Array(all) => all.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[test]
fn what_the_json_has_and_what_is_documented_are_the_same() {
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
        let answer = journey(&Places::new(&snapshot), &question(from, to, what)).unwrap();
        fields(&json::render(&snapshot, &answer), &mut found);
    }
    let word =
        |name: &&String| !documented.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == name.as_str());
    let missing: Vec<_> = found.iter().filter(word).collect();
    assert!(missing.is_empty() && found.len() > 25, "not in docs/explain-json.md: {missing:?}");
    // And nothing is promised that is not printed: the first column of the table.
    let promised = documented.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names = promised.flat_map(|column| column.split(", ")).map(|name| name.trim_matches(['`', '[', ']']));
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).trim_end_matches("[]").to_owned();
    let unprinted: Vec<String> = names.map(last).filter(|name| !found.contains(name)).collect();
    assert!(unprinted.is_empty(), "in docs/explain-json.md and never printed: {unprinted:?}");
}

#[test]
fn where_no_address_of_the_node_is_known_a_packet_does_not_pass_for_forwarded() {
    let endpoint = r#"{"apiVersion":"projectcalico.org/v3","kind":"HostEndpoint","metadata":{"name":"e"},"spec":{"node":"n","interfaceName":"eth0"}}"#;
    let objects: Vec<_> =
        read(&Source::new("e", endpoint.as_bytes().to_vec())).into_iter().map(|found| found.object.unwrap()).collect();
    let (snapshot, _) = Snapshot::from_objects(&objects);
    let mut asked = Question { node: Some("n".into()), ..question("203.0.113.9", "192.0.2.11", "tcp/80") };
    let said = answer(&snapshot, &asked);
    assert!(said.starts_with("error: the store knows no address of node n, and so not whether"), "{said}");
    asked.node = Some("m".into());
    let said = answer(&snapshot, &asked);
    assert!(said.starts_with("error: nothing in the store is on a node \"m\""), "{said}");
    asked.node = Some("n".into());
    (asked.in_interface, asked.out_interface) = (Some("eth0".into()), Some("eth1".into()));
    let said = answer(&snapshot, &asked);
    assert!(said.contains("ALLOWED"), "{said}");
    // The machine itself knows what is its own.
    (asked.in_interface, asked.out_interface) = (None, None);
    let link = Link { name: "eth0".into(), addresses: vec!["192.0.2.11".parse().unwrap()] };
    let places = Places::new(&snapshot).with_host(Host { node: "n".into(), links: vec![link] });
    let answer = journey(&places, &asked).unwrap();
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
        journey(&Places::new(&snapshot), &question(from, to, what)).map(|answer| {
            let packet = &answer.legs[0].packet;
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
        let answer = journey(&Places::new(&snapshot), &question("203.0.113.9", to, "admin")).unwrap();
        let packet = &answer.legs[0].packet;
        assert_eq!((packet.protocol, packet.transport), (17, Transport::Ports { source: 49152, destination: 9000 }));
    }
    let error = answer(&snapshot, &question("203.0.113.9", "hep/e", "nope"));
    assert!(error.contains("no port of the target; it has: admin"), "{error}");
}
