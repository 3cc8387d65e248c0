//! `tortie describe` beside a running agent: counters and what is in the kernel.

use tortie_api::{Key, Kind};
use tortie_store::{Op, Store, Write};
use tortie_store_sqlite::SqliteStore;

use crate::ENDPOINT;
use crate::world::{get, on_a_machine, until};

/// Allows one port; the other rule matches nothing that is sent here.
const POLICY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  selector: role == 'web'
  types: [Ingress, Egress]
  ingress:
    - {action: Allow, protocol: TCP, destination: {ports: [80]}}
    - {action: Deny, protocol: TCP, destination: {ports: [81]}}
  egress:
    - {action: Allow}
";

const ELSEWHERE: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: far, labels: {role: web, far: 'yes'}}
spec: {node: far-away, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: far}
spec: {selector: has(far), types: [Ingress], ingress: [{action: Allow}]}
";

#[test]
fn describe_shows_each_counter_beside_its_rule_and_what_is_in_the_kernel() {
    on_a_machine(|world| {
        world.listen(80);
        let _agent = world.agent();
        world.apply(&[ENDPOINT, POLICY, "---", ELSEWHERE].join("\n"));
        until("the rule counts", || {
            assert!(world.reaches(80));
            let text = world.call(&["describe", "gnp/web"]);
            let rule = |start: &str| text.lines().find(|line| line.trim_start().starts_with(start)).unwrap().to_owned();
            assert!(rule("2 Deny tcp to port 81").ends_with(" [0 packets, 0 bytes]"), "{text}");
            let first = rule("1 Allow tcp to port 80");
            first.contains(" packet") && !first.contains("[0 packets")
        });
        let text = world.call(&["describe", "gnp/web"]);
        assert!(text.contains("): the counters are of all endpoints of this machine together"), "{text}");
        let endpoint = world.call(&["describe", "hep", "web1-eth0"]);
        assert!(endpoint.contains("): enforced on eth0; generation "), "{endpoint}");
        assert!(endpoint.contains("1 gnp web (no order, 2 rules) ["), "{endpoint}");
        // What is not in this kernel has no counters, and is said not to be.
        let text = world.call(&["describe", "gnp/far"]);
        assert!(!text.contains("packets]") && text.contains("no rule of it is in the kernel"), "{text}");
        let text = world.call(&["describe", "hep/far"]);
        assert!(text.contains("the endpoint is on far-away, so nothing of it is in the kernel here"), "{text}");
        assert!(text.contains("1 gnp far (") && text.contains("2 gnp web (") && !text.contains(" bytes]"), "{text}");
        let text = world.call(&["describe", "--from-store", "gnp/web"]);
        assert!(!text.contains("bytes]") && text.contains("(--from-store)"), "{text}");
    });
}

#[test]
fn what_is_stored_and_cannot_be_read_is_described_as_that_and_not_as_missing() {
    on_a_machine(|world| {
        let file = world.file("endpoint.yaml", ENDPOINT);
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        let store = SqliteStore::open(world.place.path().join("tortie.db")).unwrap();
        for kind in [
            Kind::GlobalNetworkSet,
            Kind::NetworkSet,
            Kind::Node,
            Kind::Tier,
            Kind::Profile,
            Kind::GlobalNetworkPolicy,
            Kind::NetworkPolicy,
            Kind::HostEndpoint,
            Kind::WorkloadEndpoint,
            Kind::BGPPeer,
            Kind::IPPool,
        ] {
            let namespace = if kind.namespaced() { "default" } else { "" };
            let key = Key { kind, namespace: namespace.into(), name: "broken".into() };
            store.write(&[Write::create(key, &b"{not json"[..])]).unwrap()[0].as_ref().unwrap();
            let output = world.tortie().args(["describe", kind.plural(), "broken"]).output().unwrap();
            let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
            assert!(output.status.success() && !text.contains("error:"), "{kind}: {text}");
            assert!(text.contains("unreadable") || text.contains("cannot be read"), "{kind}: {text}");
        }
    });
}

#[test]
fn an_object_of_which_a_part_is_unreadable_is_not_described_as_without_warnings() {
    on_a_machine(|world| {
        world.file("felix.cfg", "PrometheusMetricsEnabled = yes\nPrometheusMetricsPort = 9192\n");
        let set = "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: office}, spec: {nets: [198.51.100.0/24, 203.0.113.0/24]}}";
        let settings = "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {floatingIPs: Enabled}}";
        let file = world.file("sets.yaml", &[ENDPOINT, set, settings].join("\n---\n").replace("---\n\n---", "---"));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        assert!(world.call(&["describe", "globalnetworkset", "office"]).contains("\nwarnings: none\n"));
        let _agent = world.agent();
        let metrics = |count: usize| {
            until("the metric counts it", || {
                get(9192, "/metrics").is_some_and(|text| text.contains(&format!("tortie_unreadable_objects {count}\n")))
            });
        };
        metrics(0);
        let store = SqliteStore::open(world.place.path().join("tortie.db")).unwrap();
        let damaged = |kind, name, good: &str, bad: &str| {
            let key = Key::cluster(kind, name);
            let stored = store.get(&key).unwrap().unwrap();
            let text = String::from_utf8(stored.value.to_vec()).unwrap();
            assert!(text.contains(good), "{text}");
            let op = Op::Update(text.replace(good, bad).into_bytes().into(), stored.revision.clone());
            store.write(&[Write { key, op }]).unwrap().remove(0).unwrap();
        };
        damaged(Kind::GlobalNetworkSet, "office", "\"203.0.113.0/24\"", "7");
        metrics(1);
        let text = world.call(&["describe", "globalnetworkset", "office"]);
        assert!(text.contains("\nwarnings:\n  warning[unreadable]: ") && !text.contains("warnings: none"), "{text}");
        damaged(Kind::FelixConfiguration, "default", "\"Enabled\"", "[7]");
        metrics(2);
    });
}
