//! Tiers, orders, types and staged policies.

#![allow(clippy::unwrap_used)]

mod common;
use common::check;

const EP: &str = "HostEndpoint e r=h {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11], profiles: [open]}
    Profile open {ingress: [{action: Allow}], egress: [{action: Allow}]}
    Tier default {order: 1000000, defaultAction: Deny}\n";
const IN: &str = "in eth0 tcp 203.0.113.9:1>192.0.2.11:80";
const OUT: &str = "out eth0 tcp 192.0.2.11:1>203.0.113.9:80";

fn rows(world: &str, table: &[(&str, &str)]) {
    check(&format!("{EP}{world}"), table);
}

#[test]
fn a_listed_direction_without_rules_denies_and_profiles_decide_an_unlisted_one() {
    rows(
        "GlobalNetworkPolicy p {selector: all(), types: [Ingress]}",
        &[(IN, "deny tier default"), (OUT, "pass profile open#1")],
    );
    rows(
        "GlobalNetworkPolicy p {selector: all(), types: [Ingress], egress: [{action: Deny}]}",
        &[(OUT, "pass profile open#1")],
    );
    rows("GlobalNetworkPolicy p {selector: all()}", &[(IN, "deny tier default"), (OUT, "deny tier default")]);
}

#[test]
fn an_allow_skips_later_tiers_and_profiles_and_a_pass_skips_the_rest_of_its_tier() {
    let tiers = "Tier one {order: 1}\nTier two {order: 2}\n";
    let deny = "GlobalNetworkPolicy d {tier: two, selector: all(), types: [Ingress], ingress: [{action: Deny}]}\n";
    let first = |action: &str| {
        format!("{tiers}{deny}GlobalNetworkPolicy a {{tier: one, selector: all(), order: 1, types: [Ingress], ingress: [{{action: {action}}}]}}
            GlobalNetworkPolicy b {{tier: one, selector: all(), order: 2, types: [Ingress], ingress: [{{action: Allow}}]}}")
    };
    rows(&first("Allow"), &[(IN, "pass gnp a#1")]);
    rows(&first("Pass"), &[(IN, "deny gnp d#1")]);
    rows(&first("Log"), &[(IN, "pass gnp b#1")]);
    rows(
        "Tier one {order: 1}\nGlobalNetworkPolicy a {tier: one, selector: all(), types: [Ingress], ingress: [{action: Pass}]}",
        &[(IN, "pass profile open#1")],
    );
}

#[test]
fn the_end_of_a_tier_denies_or_passes_by_its_default_action() {
    let w = |action: &str| {
        format!("Tier one {{order: 1, defaultAction: {action}}}
            GlobalNetworkPolicy a {{tier: one, selector: all(), types: [Ingress], ingress: [{{action: Allow, protocol: UDP}}]}}")
    };
    rows(&w("Deny"), &[(IN, "deny tier one"), (OUT, "pass profile open#1")]);
    rows(&w("Pass"), &[(IN, "pass profile open#1")]);
}

#[test]
fn a_tier_that_does_not_exist_sorts_last_and_denies_at_its_end() {
    let w = "GlobalNetworkPolicy gone {tier: aaa, order: 1, selector: all(), types: [Ingress]}
        GlobalNetworkPolicy known {tier: default, selector: all(), types: [Ingress], ingress: [{action: Pass, protocol: UDP}]}";
    rows(w, &[(IN, "deny tier default"), ("in eth0 udp 203.0.113.9:1>192.0.2.11:80", "deny tier aaa")]);
}

#[test]
fn tiers_are_sorted_by_order_then_name_and_those_without_order_are_last_of_those_that_exist() {
    let w =
        "Tier z {order: 1, defaultAction: Pass}\nTier a {defaultAction: Pass}\nTier b {order: 1, defaultAction: Pass}
        GlobalNetworkPolicy inz {tier: z, selector: all(), types: [Ingress], ingress: [{action: Deny}]}
        GlobalNetworkPolicy inb {tier: b, selector: all(), types: [Ingress], ingress: [{action: Allow, protocol: TCP}]}
        GlobalNetworkPolicy ina {tier: a, selector: all(), types: [Egress], egress: [{action: Deny}]}
        GlobalNetworkPolicy ind {tier: default, selector: all(), types: [Egress], egress: [{action: Allow}]}";
    rows(
        w,
        &[
            (IN, "pass gnp inb#1"),
            ("in eth0 udp 203.0.113.9:1>192.0.2.11:8", "deny gnp inz#1"),
            (OUT, "pass gnp ind#1"),
        ],
    );
}

#[test]
fn policies_are_sorted_by_order_then_by_name_namespace_and_kind() {
    let p = |name: &str, order: &str, action: &str| {
        format!(
            "GlobalNetworkPolicy {name} {{selector: all(), {order} types: [Ingress], ingress: [{{action: {action}}}]}}\n"
        )
    };
    rows(&(p("a", "order: 2,", "Deny") + &p("b", "order: 1.5,", "Allow")), &[(IN, "pass gnp b#1")]);
    rows(&(p("a", "", "Deny") + &p("b", "order: 1e9,", "Allow")), &[(IN, "pass gnp b#1")]);
    rows(&(p("b", "order: 1,", "Deny") + &p("a", "order: 1,", "Allow")), &[(IN, "pass gnp a#1")]);
    // A global policy comes before a namespaced one of its name: the empty namespace sorts first.
    let w = "WorkloadEndpoint ns/web1-k8s-p-eth0 projectcalico.org/namespace=ns {orchestrator: k8s, node: web1, pod: p, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.1/32]}
        NetworkPolicy ns/same {order: 1, types: [Ingress], ingress: [{action: Deny}]}
        GlobalNetworkPolicy same {order: 1, selector: has(projectcalico.org/namespace), types: [Ingress], ingress: [{action: Allow}]}";
    rows(w, &[("fwd eth1>cali1 tcp 198.51.100.9:1>10.65.0.1:80", "pass gnp same#1")]);
}

#[test]
fn staged_policies_decide_nothing_and_a_tier_of_only_staged_ones_passes() {
    rows(
        "StagedGlobalNetworkPolicy s {selector: all(), types: [Ingress], ingress: [{action: Deny}]}",
        &[(IN, "pass profile open#1")],
    );
    rows(
        "StagedGlobalNetworkPolicy s {selector: all(), order: 1, types: [Ingress], ingress: [{action: Allow}]}
         GlobalNetworkPolicy p {selector: all(), order: 2, types: [Ingress]}",
        &[(IN, "deny tier default")],
    );
}

#[test]
fn a_staged_policy_changes_nothing_whatever_is_staged() {
    for action in ["Set", "Delete", "Learn", "Ignore"] {
        let staged = format!("StagedGlobalNetworkPolicy p {{selector: all(), stagedAction: {action}}}\n");
        rows(
            &format!(
                "{staged}GlobalNetworkPolicy p {{selector: all(), types: [Ingress], ingress: [{{action: Deny}}]}}"
            ),
            &[(IN, "deny gnp p#1"), (OUT, "pass profile open#1")],
        );
        rows(&staged, &[(IN, "pass profile open#1"), (OUT, "pass profile open#1")]);
    }
}

#[test]
fn end_of_tier_never_denies_before_tracking_or_before_dnat() {
    rows(
        "GlobalNetworkPolicy u {selector: all(), doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: UDP}]}
         GlobalNetworkPolicy d {selector: all(), preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: UDP}]}",
        &[(IN, "pass profile open#1")],
    );
}

#[test]
fn own_labels_override_inherited_ones_and_those_of_the_first_profile_override_the_second() {
    let w = "HostEndpoint f own=mine {node: web1, interfaceName: eth1, profiles: [one, two]}
        Profile one {labelsToApply: {own: theirs, both: one}, ingress: [{action: Allow}]}
        Profile two {labelsToApply: {both: two}}
        GlobalNetworkPolicy p {selector: own == 'mine' && both == 'one', types: [Ingress], ingress: [{action: Deny}]}";
    rows(w, &[("in eth1 tcp 203.0.113.9:1>198.51.100.11:80", "deny gnp p#1")]);
}

#[test]
fn a_namespace_selector_rewrites_all_in_the_whole_text() {
    // With `all()` as its own selector and any namespace selector a policy leaves host endpoints alone; with an empty one it does not.
    let w = |selector: &str| {
        format!(
            "GlobalNetworkPolicy p {{selector: \"{selector}\", namespaceSelector: \"x != 'y'\", types: [Ingress], ingress: [{{action: Deny}}]}}"
        )
    };
    rows(&w("all()"), &[(IN, "pass profile open#1")]);
    rows(&w(""), &[(IN, "deny gnp p#1")]);
    rows(&w("has(r)"), &[(IN, "deny gnp p#1")]);
}

#[test]
fn labels_of_namespaces_set_by_hand_count_on_host_endpoints_and_not_on_workloads() {
    let w = "HostEndpoint f pcns.team=red {node: web1, interfaceName: eth1, profiles: [open]}
        WorkloadEndpoint ns/web1-k8s-p-eth0 projectcalico.org/namespace=ns pcns.team=red {orchestrator: k8s, node: web1, pod: p, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.1/32], profiles: [open]}
        GlobalNetworkPolicy p {namespaceSelector: \"team == 'red'\", types: [Ingress], ingress: [{action: Deny}]}";
    rows(
        w,
        &[
            ("in eth1 tcp 203.0.113.9:1>198.51.100.11:80", "deny gnp p#1"),
            ("fwd eth7>cali1 tcp 203.0.113.9:1>10.65.0.1:80", "pass profile open#1"),
        ],
    );
}

#[test]
fn all_service_accounts_are_the_endpoints_that_have_one() {
    let pod = |name: &str, account: &str| {
        format!(
            "WorkloadEndpoint ns/web1-k8s-{name}-eth0 projectcalico.org/namespace=ns {{orchestrator: k8s, node: web1, pod: {name}, endpoint: eth0, interfaceName: cali{name}, ipNetworks: [10.65.0.1/32], profiles: [open]{account}}}\n"
        )
    };
    let w = pod("1", ", serviceAccountName: sa")
        + &pod("2", "")
        + "GlobalNetworkPolicy p {serviceAccountSelector: all(), types: [Ingress], ingress: [{action: Deny}]}";
    rows(
        &w,
        &[
            ("fwd eth7>cali1 tcp 203.0.113.9:1>10.65.0.1:80", "deny gnp p#1"),
            ("fwd eth7>cali2 tcp 203.0.113.9:1>10.65.0.1:80", "pass profile open#1"),
            (IN, "pass profile open#1"),
        ],
    );
}
