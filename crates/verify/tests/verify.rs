//! Random worlds in the kernel are found to be as the store says; a table that differs is found out.
//!
//! `TORTIE_WORLDS` says how many worlds.

#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "../../dataplane-nft/tests/common/follow.rs"]
mod follow;
#[path = "../../dataplane-nft/tests/common/namespace.rs"]
mod namespace;

use std::collections::BTreeSet;

use follow::Followed;
use namespace::in_namespace;
use serde_json::json;
use tortie_dataplane_nft::{Kernel, Options};
use tortie_nft::dump::TableDump;
use tortie_policy::packet::Transport;
use tortie_testkit::worlds::{Case, NODE, Step};
use tortie_verify::{Answer, Report, verify};

/// A world, and its table as the kernel has it.
fn world(kernel: &mut Kernel, case: &Case) -> (Followed, TableDump) {
    let mut followed = Followed::new();
    for step in &case.steps {
        if let Some(delta) = followed.step(step) {
            followed.state.apply(&delta).unwrap();
        }
    }
    kernel.replace(followed.state.clone()).unwrap();
    let table = kernel.read().unwrap().unwrap();
    (followed, table)
}

fn judge(followed: &Followed, table: TableDump) -> Report {
    verify(&followed.world.snapshot, &followed.world.host, table, 1).unwrap()
}

#[test]
fn what_was_rendered_enforces_what_the_store_says() {
    let worlds = std::env::var("TORTIE_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let cells = in_namespace(|| {
        let mut kernel = Kernel::open(Options::default()).unwrap();
        let mut cells = 0;
        for seed in 0..worlds {
            let (followed, table) = world(&mut kernel, &Case::random(seed));
            let report = judge(&followed, table);
            assert_eq!(report.wrong, 0, "seed {seed}: {:#?}", report.differences[0]);
            cells += report.cells;
        }
        cells
    });
    assert!(cells > 100 * worlds as usize, "{cells} cells are too few to mean anything");
}

/// A small store whose rules all decide something.
fn small() -> Case {
    let put = |object: serde_json::Value| Step::Put(object);
    let steps = vec![
        Step::Links(vec![("eth0".to_owned(), vec!["192.0.2.11".parse().unwrap()])]),
        put(json!({"kind": "HostEndpoint", "name": "web1", "labels": {"role": "web"},
            "spec": {"node": NODE, "interfaceName": "eth0", "expectedIPs": ["192.0.2.11"]}})),
        put(
            json!({"kind": "WorkloadEndpoint", "namespace": "default", "name": "n1-k8s-pod-eth0", "labels": {"app": "db", "projectcalico.org/namespace": "default"},
            "spec": {"node": NODE, "orchestrator": "k8s", "pod": "pod", "endpoint": "eth0",
                "interfaceName": "cali1", "ipNetworks": ["10.65.0.2/32"]}}),
        ),
        put(json!({"kind": "GlobalNetworkPolicy", "name": "web", "spec": {
            "selector": "role == 'web'", "types": ["Ingress", "Egress"],
            "ingress": [
                {"action": "Deny", "protocol": "TCP", "source": {"nets": ["198.51.100.0/24"]}},
                {"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}],
            "egress": [{"action": "Allow", "protocol": "UDP", "destination": {"ports": [123]}}]}})),
        put(json!({"kind": "NetworkPolicy", "namespace": "default", "name": "db", "spec": {
            "selector": "app == 'db'", "types": ["Ingress"],
            "ingress": [{"action": "Allow", "protocol": "TCP", "source": {"selector": "app == 'db'"},
                "destination": {"ports": [5432]}}]}})),
        Step::Flush,
    ];
    Case { seed: 0, steps, probes: Vec::new() }
}

#[test]
fn a_table_that_lacks_any_rule_of_a_policy_is_found_out() {
    in_namespace(|| {
        let mut kernel = Kernel::open(Options::default()).unwrap();
        let (followed, table) = world(&mut kernel, &small());
        assert_eq!(judge(&followed, table.clone()).wrong, 0);
        let lines = table.rules.iter().filter(|rule| !rule.chain.ends_with("/fragments"));
        let of_policies: BTreeSet<String> =
            lines.filter_map(|rule| rule.comment.clone()).filter(|comment| comment.starts_with("rule ")).collect();
        assert!(of_policies.len() >= 4, "{of_policies:?}");
        for gone in of_policies {
            let mut lacking = table.clone();
            lacking.rules.retain(|rule| rule.comment.as_ref() != Some(&gone));
            assert!(judge(&followed, lacking).wrong > 0, "without {gone}");
        }
    });
}

#[test]
fn a_difference_names_the_endpoint_the_packet_and_both_answers() {
    in_namespace(|| {
        let mut kernel = Kernel::open(Options::default()).unwrap();
        let (followed, mut table) = world(&mut kernel, &small());
        table
            .rules
            .retain(|rule| !rule.comment.as_ref().is_some_and(|comment| comment.starts_with("rule 2 of gnp web")));
        let report = judge(&followed, table);
        let difference = &report.differences[0];
        assert_eq!(difference.endpoint, "hep/web1 at eth0");
        assert_eq!((difference.store, difference.kernel), (Answer::Allowed, Answer::Dropped));
        assert!(matches!(difference.packet.transport, Transport::Ports { destination: 443, .. }));
        assert!(report.to_string().ends_with("are not judged as the store says"), "{report}");
    });
}
