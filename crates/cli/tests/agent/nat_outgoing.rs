//! Two machines on one etcd: what a workload of the first sends to the second comes with the address that `natOutgoing` gives it, and that is
//! what `explain` and `test` say, on either machine.

use super::nodes::{HUB, Node, hub, reach, serve};
use super::world::{on_a_machine, run};

const ENDPOINTS: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n1-eth0, labels: {host: n1}}
spec: {node: n1, interfaceName: eth0, expectedIPs: [198.51.100.1, 'fd98::1'], profiles: [projectcalico-default-allow]}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n2-eth0, labels: {host: n2}}
spec: {node: n2, interfaceName: eth0, expectedIPs: [198.51.100.2, 'fd98::2']}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: n1-k8s-w1-eth0, namespace: default}
spec: {node: n1, orchestrator: k8s, pod: w1, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.1.2/32, 'fd65::2/128'],
       mac: '02:00:00:00:00:01', profiles: [projectcalico-default-allow]}
---
";

/// Pools with and without `natOutgoing`, and who alone may come to the second machine.
fn policy(replaces: bool, only: &str) -> String {
    format!(
        "
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {{name: pods}}
spec: {{cidr: 10.65.0.0/16, natOutgoing: {replaces}}}
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {{name: pods6}}
spec: {{cidr: 'fd65::/64', natOutgoing: {replaces}}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: hosts}}
spec:
  selector: host == 'n2'
  types: [Ingress, Egress]
  egress: [{{action: Allow}}]
  ingress: [{{action: Allow, protocol: TCP, source: {{nets: ['{only}']}}, destination: {{ports: [80, 81]}}}}]
"
    )
}

#[test]
fn the_second_machine_judges_the_source_that_nat_outgoing_of_the_first_gives() {
    on_a_machine(|world| {
        hub();
        world.start_etcd_on(HUB);
        let store = [("DATASTORE_TYPE", "etcdv3".to_owned()), ("ETCD_ENDPOINTS", format!("http://{HUB}:2379"))];
        let mut nodes: Vec<Node> = (1..=2).map(|number| Node::new(world, number, &store)).collect();
        let workload = nodes[0].workload("cali1", "10.65.1.2");
        let add = |place: &super::world::Elsewhere, lines: &'static [&'static str]| {
            place.run(move || lines.iter().for_each(|line| drop(run("ip", &line.split(' ').collect::<Vec<_>>()))));
        };
        add(&nodes[0].host, &["addr add fd98::1/64 dev eth0 nodad", "addr add fe80::77/64 dev cali1 nodad"]);
        add(&nodes[1].host, &["addr add fd98::2/64 dev eth0 nodad", "-6 route add fd65::/64 via fd98::1"]);
        add(
            &workload,
            &[
                "link set eth0 address 02:00:00:00:00:01",
                "addr add fd65::2/128 dev eth0 nodad",
                "-6 route add default via fe80::77 dev eth0",
            ],
        );
        for node in &mut nodes {
            node.start();
        }
        nodes[1].host.run(|| {
            serve(80);
            super::nodes::serve_on("::", 81);
        });
        let [n1, n2] = &nodes[..] else { panic!("two machines") };
        let mut seen = std::collections::BTreeSet::new();
        for replaces in [true, false] {
            for (only, to, port) in [
                ("198.51.100.1/32", "198.51.100.2", 80),
                ("10.65.1.2/32", "198.51.100.2", 80),
                ("fd98::1/128", "fd98::2", 81),
                ("fd65::2/128", "fd98::2", 81),
            ] {
                let file = world.file("manifests.yaml", &(ENDPOINTS.to_owned() + &policy(replaces, only)));
                world.call(&["apply", "-f", file.to_str().unwrap()]);
                nodes.iter().for_each(Node::is_up_to_date);
                let arrives = reach(&workload, &if to.contains(':') { format!("[{to}]") } else { to.to_owned() }, port);
                assert_eq!(
                    arrives,
                    only.starts_with(if replaces { "198" } else { "10" })
                        || only.starts_with(if replaces { "fd98" } else { "fd65" }),
                    "{only} {replaces}"
                );
                seen.insert((replaces, arrives));
                let what = format!("tcp/{port}");
                let code = Some(i32::from(!arrives));
                for node in [n1, n2] {
                    let asked = ["explain", "wep/default/n1-k8s-w1-eth0", to, &what];
                    let (found, said) = node.outcome(&asked);
                    assert_eq!(found, code, "n{} with {only}, replaced: {replaces}: {said}", node.number);
                    // The table says the same, and so does a test.
                    let (found, said) = node.outcome(&["explain", "any", to, &what]);
                    assert_eq!(found, Some(1), "{said}");
                    let word = if arrives { "permits" } else { "forbids" };
                    let file = world.file("claims", &format!("{word} wep/default/n1-k8s-w1-eth0 -> {to} {what}\n"));
                    let (found, said) = node.outcome(&["test", file.to_str().unwrap()]);
                    assert_eq!(found, Some(0), "n{}: {said}", node.number);
                }
            }
        }
        assert_eq!(seen.len(), 4);
        // Answers to what the second machine opens keep the workload's address.
        let file = world.file("manifests.yaml", &(ENDPOINTS.to_owned() + &policy(true, "203.0.113.1/32")));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        nodes.iter().for_each(Node::is_up_to_date);
        workload.run(|| serve(80));
        assert!(reach(&n2.host, "10.65.1.2", 80));
        let (found, said) = n1.outcome(&["explain", "node/n2", "wep/default/n1-k8s-w1-eth0", "tcp/80"]);
        assert_eq!(found, Some(0), "{said}");
        let (found, said) = n1.outcome(&[
            "explain",
            "wep/default/n1-k8s-w1-eth0",
            "node/n2",
            "tcp/49152",
            "--source-port",
            "80",
            "--state",
            "established",
        ]);
        assert_eq!(found, Some(0), "{said}");
    });
}
