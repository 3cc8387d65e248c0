//! What policies together probably do not mean: found where it is so, and nowhere else.

#![allow(clippy::unwrap_used)]

use tortie_eval::Judge;
use tortie_explain::{PolicyWarningKind, policy_warnings, policy_warnings_of};
use tortie_testkit::manifests;

const ENDPOINT: &str = "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: eth0, labels: {a: b}}, spec: {node: n, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: first}, spec: {order: 1}}
---
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: passing}, spec: {order: 2, defaultAction: Pass}}
";

/// A policy of the tier in its name (`first/ssh`) for the endpoint.
fn policy(name: &str, spec: &str) -> String {
    let (tier, name) = name.split_once('/').unwrap();
    format!(
        "---\n{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: {name}}}, spec: {{tier: {tier}, selector: a == 'b', {spec}}}}}\n"
    )
}

/// What is found with these policies: the policy, and which rule (from 1) or what it is warned of.
fn found(policies: &[(&str, &str)]) -> Vec<String> {
    let text = ENDPOINT.to_owned() + &policies.iter().map(|(name, spec)| policy(name, spec)).collect::<String>();
    let snapshot = manifests::snapshot(text);
    let judge = Judge::new(&snapshot);
    let warnings = policy_warnings(&judge);
    // Asked about one policy alone, what is found about it is the same.
    for policy in snapshot.policies.values() {
        let mut of_it = warnings.clone();
        of_it.retain(|warning| warning.policy == policy.id);
        assert_eq!(policy_warnings_of(&judge, &[policy]), of_it);
    }
    let warnings = warnings.into_iter();
    let lines = warnings.map(|warning| match (warning.kind, warning.rule) {
        (PolicyWarningKind::NeverReached, Some(rule)) => {
            format!("{} {} {}", warning.policy.name, warning.field, rule + 1)
        }
        (PolicyWarningKind::OnlyCloses, None) => format!("{} {} closes", warning.policy.name, warning.field),
        (PolicyWarningKind::UntrackedOneWay, None) => format!("{} {} one way", warning.policy.name, warning.field),
        (kind, rule) => panic!("{kind:?} {rule:?}"),
    });
    lines.collect()
}

const SSH: &str = "types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [22]}}]";
const LATER: &str = "order: 50, types: [Ingress], ingress: [{action: Log}, {action: Allow, protocol: UDP}]";

#[test]
fn a_rule_after_a_tier_that_denies_at_its_end_is_never_reached() {
    assert_eq!(found(&[("first/ssh", SSH), ("default/later", LATER)]), ["later ingress 1", "later ingress 2"]);
    assert!(found(&[("passing/ssh", SSH), ("default/later", LATER)]).is_empty());
    // A rule that passes on, another direction, and a tier that asks no policy of the endpoint's do not stop it.
    let pass = "types: [Ingress], ingress: [{action: Pass, protocol: TCP}]";
    assert!(found(&[("first/ssh", pass), ("default/later", LATER)]).is_empty());
    let egress = "types: [Egress], egress: [{action: Allow, protocol: TCP}]";
    assert!(found(&[("first/ssh", egress), ("default/later", LATER)]).is_empty());
}

#[test]
fn a_rule_after_one_without_conditions_in_another_policy_is_never_reached() {
    let all = |action: &str| format!("order: 1, types: [Ingress], ingress: [{{action: {action}}}]");
    for action in ["Allow", "Deny"] {
        let all = all(action);
        assert_eq!(found(&[("default/all", &all), ("default/later", LATER)]).len(), 2, "{action}");
        assert_eq!(found(&[("passing/all", &all), ("default/later", LATER)]).len(), 2, "{action}");
    }
    // What is passed on leaves the tier and comes to the next one.
    assert_eq!(found(&[("default/all", &all("Pass")), ("default/later", LATER)]).len(), 2);
    assert!(found(&[("passing/all", &all("Pass")), ("default/later", LATER)]).is_empty());
    assert_eq!(found(&[("default/all", &all("Log")), ("default/later", LATER)]), [""; 0]);
    let some = "order: 1, types: [Ingress], ingress: [{action: Deny, protocol: TCP}]";
    assert!(found(&[("default/some", some), ("default/later", LATER)]).is_empty());
}

#[test]
fn a_policy_closes_where_no_rule_of_its_tier_decides_and_its_end_denies() {
    let empty = "types: [Ingress, Egress]";
    let logs = "types: [Ingress], ingress: [{action: Log}]";
    assert_eq!(found(&[("default/empty", empty)]), ["empty egress closes", "empty ingress closes"]);
    assert_eq!(found(&[("default/logs", logs)]), ["logs ingress closes"]);
    assert!(found(&[("passing/empty", empty)]).is_empty());
    assert!(found(&[("default/logs", logs), ("default/ssh", SSH)]).is_empty());
}

#[test]
fn untracked_traffic_without_its_answers_is_found_both_ways() {
    let untracked = |rules: &str| format!("doNotTrack: true, applyOnForward: true, {rules}");
    let [one_in, one_out, both] = [
        "types: [Ingress], ingress: [{action: Allow, protocol: UDP}]",
        "types: [Egress], egress: [{action: Allow, protocol: UDP}]",
        "types: [Ingress, Egress], ingress: [{action: Allow, protocol: UDP}], egress: [{action: Allow, protocol: UDP}]",
    ]
    .map(untracked);
    assert_eq!(found(&[("default/in", &one_in)]), ["in ingress one way"]);
    assert_eq!(found(&[("default/out", &one_out)]), ["out egress one way"]);
    assert!(found(&[("default/both", &both)]).is_empty());
    assert!(found(&[("default/in", &one_in), ("default/out", &one_out)]).is_empty());
    let denies = untracked("types: [Ingress], ingress: [{action: Deny, protocol: UDP}]");
    assert!(found(&[("default/in", &denies)]).is_empty());
}
