//! Answers as people read them: worlds in `worlds/`, questions here, texts in `snapshots/`, reviewed.

#![allow(clippy::unwrap_used)]

use tortie_api::read::{Source, read};
use tortie_explain::{Party, Places, Question, State, What, endpoint, enforce_staged, journey, json, table, text};
use tortie_policy::Snapshot;

fn world(name: &str) -> Snapshot {
    let path = format!("{}/tests/worlds/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let located = read(&Source::new(name, std::fs::read(path).unwrap()));
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
