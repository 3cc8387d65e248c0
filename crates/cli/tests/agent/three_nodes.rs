//! Three machines, each with a host endpoint and a workload, on one etcd; one of them loses it for a while.
//!
//! ```text
//!   hub: etcd, bridge 198.51.100.254 ──┬── n1 198.51.100.1 ── w1 10.65.1.2
//!                                      ├── n2 198.51.100.2 ── w2 10.65.2.2
//!                                      └── n3 198.51.100.3 ── w3 10.65.3.2
//! ```
//!
//! The cut lasts until the agent has noticed it, which is shorter than a minute and proves the same.

use super::nodes::{HUB, Node, Talk, hub, reach, serve};
use super::world::{Elsewhere, on_a_machine, run, until};

fn mac(number: u8) -> String {
    format!("02:00:00:00:00:0{number}")
}

fn endpoints(number: u8, role: &str) -> String {
    let mac = mac(number);
    format!(
        "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {{name: n{number}-eth0, labels: {{host: n{number}}}}}
spec: {{node: n{number}, interfaceName: eth0, expectedIPs: [198.51.100.{number}]}}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {{name: n{number}-k8s-w{number}-eth0, namespace: default, labels: {{role: {role}}}}}
spec: {{node: n{number}, orchestrator: k8s, pod: w{number}, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.{number}.2/32], mac: '{mac}'}}
---
"
    )
}

/// Who may come to the workloads that serve, at which port; and which host may come to the others.
fn policies(client: &str, port: u16, host: &str) -> String {
    format!(
        "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: web}}
spec:
  selector: role == 'web'
  types: [Ingress, Egress]
  ingress: [{{action: Allow, protocol: TCP, source: {{selector: \"role in {{ {client} }}\"}}, destination: {{ports: [80, {port}]}}}}]
  egress: [{{action: Allow}}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: clients}}
spec: {{selector: has(role) && role != 'web', types: [Egress], egress: [{{action: Allow}}]}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: hosts}}
spec:
  selector: has(host)
  types: [Ingress, Egress]
  egress: [{{action: Allow}}]
  ingress: [{{action: Allow, protocol: TCP, source: {{selector: host == '{host}'}}, destination: {{ports: [80]}}}}]
"
    )
}

#[test]
fn an_outage_of_etcd_changes_nothing_and_afterwards_the_machine_is_up_to_date() {
    on_a_machine(|world| {
        hub();
        world.start_etcd_on(HUB);
        let store = [("DATASTORE_TYPE", "etcdv3".to_owned()), ("ETCD_ENDPOINTS", format!("http://{HUB}:2379"))];
        let mut nodes: Vec<Node> = (1..=3).map(|number| Node::new(world, number, &store)).collect();
        let workloads: Vec<Elsewhere> = nodes
            .iter()
            .map(|node| {
                let (number, workload) = (node.number, node.workload("cali1", &format!("10.65.{}.2", node.number)));
                workload.run(move || run("ip", &["link", "set", "eth0", "address", &mac(number)]));
                workload
            })
            .collect();
        for (node, workload) in nodes.iter_mut().zip(&workloads) {
            for place in [&node.host, workload] {
                place.run(|| [80, 81].map(serve));
            }
            node.start();
        }
        let [n1, n2, n3] = &nodes[..] else { panic!("three machines") };
        let [_, client, other] = &workloads[..] else { panic!("three workloads") };
        let apply = |text: &str| {
            let file = world.file("manifests.yaml", text);
            world.call(&["apply", "-f", file.to_str().unwrap()]);
        };
        let all = endpoints(1, "web") + &endpoints(2, "client") + &endpoints(3, "other");
        apply(&(all + &policies("'client'", 80, "n2")));
        nodes.iter().for_each(Node::is_up_to_date);
        let (w1, h1, h3) = ("10.65.1.2", "198.51.100.1", "198.51.100.3");
        assert!(reach(client, w1, 80) && !reach(client, w1, 81) && !reach(other, w1, 80));
        assert!(reach(&n2.host, h1, 80) && !reach(&n3.host, h1, 80) && !reach(&n1.host, h3, 80));
        let talks = [Talk::begin(client, "10.65.1.2:80"), Talk::begin(&n2.host, "198.51.100.1:80")];

        // Packets between the first machine and etcd are lost.
        run("nft", &["add", "table", "ip", "cut"]);
        for (hook, side, port) in [("input", "saddr", "dport"), ("output", "daddr", "sport")] {
            run("nft", &["add", "chain", "ip", "cut", hook, &format!("{{ type filter hook {hook} priority 0; }}")]);
            run("nft", &["add", "rule", "ip", "cut", hook, "ip", side, h1, "tcp", port, "2379", "drop"]);
        }
        apply(&(endpoints(3, "late") + &policies("'client', 'late'", 81, "n3")));
        [n2, n3].into_iter().for_each(Node::is_up_to_date);
        assert!(!reach(&n2.host, h3, 80), "who hears etcd follows it");
        until("the loss is noticed", || n1.store() == "lost");
        assert!(!reach(other, w1, 80) && !reach(&n3.host, h1, 80) && !reach(client, w1, 81));
        assert!(reach(client, w1, 80) && reach(&n2.host, h1, 80), "what it heard last stays");
        talks.iter().for_each(Talk::goes_on);

        run("nft", &["delete", "table", "ip", "cut"]);
        until("etcd is heard again", || n1.store() == "in-sync");
        nodes.iter().for_each(Node::is_up_to_date);
        assert!(reach(other, w1, 80) && reach(other, w1, 81) && reach(client, w1, 81));
        assert!(reach(&n3.host, h1, 80) && !reach(&n2.host, h1, 80));
        talks.into_iter().for_each(Talk::held);
    });
}
