//! A preview without a store is of what a store has after the first write: the tiers that every store has, and the manifests.

#![allow(clippy::unwrap_used)]

use std::process::Command;

const ENDPOINT: &str = "
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web1, labels: {role: web}}, spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
";
const PODS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {nodeName: web1}, status: {podIP: 10.65.0.1}}
";
const POLICY: &str = "
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web}, spec: {selector: role == 'web' || app == 'web', ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}, {action: Pass}]}}
";
const OTHER_TIERS: &str = "
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: first}, spec: {order: 1, defaultAction: Pass}}
---
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: last}, spec: {}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: one}, spec: {tier: first, selector: all(), ingress: [{action: Deny, protocol: TCP, destination: {ports: [81]}}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: two}, spec: {tier: last, selector: all(), ingress: [{action: Deny}]}}
";
const DEFAULT_TIER: &str = "
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: default, labels: {team: net}}, spec: {order: 1000000}}
";
const NETWORK_POLICY: &str = "
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: web, namespace: shop}, spec: {podSelector: {}, ingress: [{ports: [{port: 80}, {port: 81}]}]}}
";
/// Of an administrator, before every NetworkPolicy and after them.
const CLUSTER_POLICIES: &str = "
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: admin}, spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, ingress: [{action: Accept, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {number: 82}}}]}]}}
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: baseline}, spec: {tier: Baseline, priority: 1, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}}
";

#[test]
fn a_preview_without_a_store_is_what_holds_after_an_apply_into_an_empty_store() {
    // Manifests for `apply`, and those of Kubernetes, which both sides preview.
    for (calico, kubernetes) in [
        (&[][..], &[PODS][..]),
        (&[], &[PODS, NETWORK_POLICY]),
        (&[], &[PODS, CLUSTER_POLICIES]),
        (&[], &[PODS, NETWORK_POLICY, CLUSTER_POLICIES]),
        (&[ENDPOINT], &[PODS]),
        (&[ENDPOINT, POLICY], &[]),
        (&[ENDPOINT, POLICY], &[PODS, NETWORK_POLICY]),
        (&[ENDPOINT, OTHER_TIERS], &[PODS, NETWORK_POLICY, CLUSTER_POLICIES]),
        (&[ENDPOINT, POLICY, OTHER_TIERS, DEFAULT_TIER], &[PODS, NETWORK_POLICY, CLUSTER_POLICIES]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, manifests: &[&str]| {
            std::fs::write(folder.path().join(name), manifests.join("---\n")).unwrap();
        };
        // A write that no question is about makes the store where there is nothing else to apply.
        let unrelated =
            "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: none}, spec: {}}\n";
        write("calico.yaml", &[&[unrelated], calico].concat());
        write("kubernetes.yaml", kubernetes);
        write("both.yaml", &[&[unrelated], calico, kubernetes].concat());
        write("only.yaml", &[calico, kubernetes].concat());
        let run = |words: &[&str]| {
            let output = Command::new(env!("CARGO_BIN_EXE_tortie"))
                .args(words)
                .current_dir(folder.path())
                .env_clear()
                .env("TORTIE_STORE", "tortie.db")
                .env("TORTIE_RUN", "run")
                .output()
                .unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(
                output.status.code().is_some_and(|code| code < 2),
                "{words:?} {calico:?} {kubernetes:?}: {said}{error}"
            );
            said
        };
        let mut questions: Vec<Vec<&str>> =
            ["tier/default", "tier/kube-admin", "tier/kube-baseline"].map(|tier| vec![tier]).into();
        let ends = [(PODS, "pod/shop/web"), (ENDPOINT, "hep/web1")];
        for (_, end) in ends.iter().filter(|(object, _)| [calico, kubernetes].concat().contains(object)) {
            questions.push(vec![end]);
            questions.push(vec!["198.51.100.9", end]);
            questions
                .extend(["tcp/80", "tcp/81", "tcp/82", "tcp/83"].map(|port| vec!["198.51.100.9", end, port, "-q"]));
        }
        // A store that does not exist yet is previewed as one that is made by this.
        let both = |words: &[&str], options: &[&str]| {
            let said = run(&[&["explain"], words, options].concat());
            said.lines()
                .filter(|line| !line.starts_with("note: "))
                .map(|line| line.to_owned() + "\n")
                .collect::<String>()
        };
        let offline: Vec<String> =
            questions.iter().map(|words| both(words, &["--offline", "-f", "only.yaml"])).collect();
        let missing: Vec<String> = questions.iter().map(|words| both(words, &["-f", "only.yaml"])).collect();
        let before = run(&["diff", "-f", "both.yaml"]);
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        let between = run(&["diff", "--offline", "--skip-empty", "empty", "both.yaml"]);
        run(&["apply", "-f", "calico.yaml"]);
        let files: &[&str] = if kubernetes.is_empty() { &[] } else { &["-f", "kubernetes.yaml"] };
        for ((words, offline), missing) in questions.iter().zip(&offline).zip(&missing) {
            let applied = both(words, files);
            assert_eq!(*offline, applied, "{words:?} {calico:?} {kubernetes:?}");
            assert_eq!(*missing, applied, "{words:?} {calico:?} {kubernetes:?}");
        }
        let changes = before.lines().filter(|line| !line.ends_with(" unchanged")).map(|line| line.to_owned() + "\n");
        assert_eq!(changes.collect::<String>(), between, "{calico:?} {kubernetes:?}");
        let is_labelled = calico.contains(&DEFAULT_TIER);
        assert_eq!(between.contains("tier/default changed\n  metadata.labels: added "), is_labelled, "{between}");
    }
}
