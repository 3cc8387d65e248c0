//! An agent under another node name changes nothing until that name is accepted.

use super::allow;
use super::world::{World, get, on_a_machine, run, until};

/// The endpoint of a node on eth0.
fn endpoint(node: &str) -> String {
    format!(
        "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {{name: {node}-eth0, labels: {{role: web}}}}
spec: {{node: {node}, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {{name: default}}
spec: {{healthEnabled: true, healthPort: 9099, prometheusMetricsEnabled: true, prometheusMetricsPort: 9091}}
---
"
    )
}

/// Waits until the agent says that this machine is called otherwise, and that policy is as it was.
fn until_held(world: &World, called: &str) {
    until("the other name is noticed", || {
        let status = serde_json::from_str::<serde_json::Value>(&world.said(&["status", "-o", "json"]));
        status.is_ok_and(|status| status["called"] == called && status["inKernel"]["generation"].as_u64() > Some(0))
    });
}

/// Only port 80 is reached.
fn only_80(world: &World) {
    assert!(world.reaches(80), "port 80 is allowed");
    assert!(!world.reaches(81), "port 81 is denied");
}

/// Two ports, and the policy that allows the first of them on node web1.
fn protected(world: &mut World) {
    world.listen(80);
    world.listen(81);
    let agent = world.agent();
    world.apply(&(endpoint("web1") + &allow(80)));
    only_80(world);
    agent.kill();
}

#[test]
fn another_node_name_changes_nothing_until_it_is_accepted() {
    on_a_machine(|world| {
        protected(world);
        let agent = world.started_as("web2", &[]);
        until_held(world, "web2");
        only_80(world);
        let said = world.fails(&["status"]);
        assert!(said.starts_with("node web1 (this machine is called web2 now)"), "{said}");
        assert!(said.contains("NOT ASKED; what it said last stays in force"), "{said}");
        assert!(said.contains("run `tortie agent --accept-node` to enforce node web2"), "{said}");
        assert!(agent.log().contains("the node name CHANGED"), "{}", agent.log());
        until("the probe says so", || {
            get(9099, "/readiness").is_some_and(|answer| answer.contains("503") && answer.contains("called web2"))
        });
        until("the metric says so", || {
            get(9091, "/metrics").is_some_and(|answer| answer.contains("tortie_node_name_changed 1"))
        });
        let explained = |port: &str| {
            let arguments = ["explain", "192.0.2.99", "192.0.2.11", port, "--in-interface", "eth0"];
            let output = world.tortie().args(arguments).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (code, said) = explained("tcp/81");
        assert!(code == Some(1) && said.contains("in force is of node web1"), "{said}");
        assert_eq!(explained("tcp/80").0, Some(0));
        let said = world.fails(&["verify"]);
        assert!(said.contains("the name of this node changed"), "{said}");
        // What the store says of the node before is not followed either: it may be the other half of the renaming.
        let file = world.file("other.yaml", &(endpoint("web2") + &allow(81)));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        world.call(&["delete", "hep", "web1-eth0"]);
        let said = world.fails(&["status", "--wait", "--timeout", "500ms"]);
        assert!(said.contains("--accept-node"), "{said}");
        only_80(world);
        // The right name goes on without a word.
        agent.kill();
        let agent = world.agent();
        world.call(&["status"]);
        assert!(!agent.log().contains("called"), "{}", agent.log());
        assert!(world.reaches(81), "node web1 has no endpoint any more");
    });
}

#[test]
fn another_node_name_is_accepted_through_a_running_agent() {
    on_a_machine(|world| {
        protected(world);
        let agent = world.started_as("web2", &[]);
        until_held(world, "web2");
        let file = world.file("other.yaml", &(endpoint("web2") + &allow(81)));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        only_80(world);
        let pid = world.status()["pid"].clone();
        assert_eq!(world.call(&["agent", "--accept-node"]), "the agent enforces node web2\n");
        world.call(&["status", "--wait"]);
        assert_eq!((world.reaches(80), world.reaches(81)), (false, true));
        let status = world.status();
        assert_eq!(
            (&status["node"], &status["called"], &status["pid"]),
            (&"web2".into(), &serde_json::Value::Null, &pid)
        );
        world.call(&["verify"]);
        assert_eq!(world.call(&["agent", "--accept-node"]), "the agent enforces node web2\n", "there is nothing to do");
        // The next agent remembers, and its start can be told so as well.
        agent.kill();
        let agent = world.started_as("web2", &[]);
        until("it goes on", || world.tortie().arg("status").output().unwrap().status.success());
        agent.kill();
        let agent = world.started_as("web1", &[]);
        until_held(world, "web1");
        agent.kill();
        let _agent = world.agent_with(&["--accept-node"]);
        world.call(&["status", "--wait"]);
        assert_eq!(world.status()["node"], "web1");
    });
}

#[test]
fn a_machine_that_boots_under_another_name_is_protected_by_the_policy_of_the_previous_node() {
    on_a_machine(|world| {
        protected(world);
        // As after a boot: the kernel has nothing of ours.
        run("nft", &["delete", "table", "inet", "tortie"]);
        assert!(world.reaches(81));
        let agent = world.started_as("localhost", &[]);
        until_held(world, "localhost");
        only_80(world);
        world.fails(&["status"]);
        agent.kill();
        // Without an endpoint of the node before there is nothing to protect, and no reason to hold.
        let agent = world.agent();
        world.call(&["delete", "hep", "web1-eth0"]);
        world.call(&["status", "--wait"]);
        // Not killed, so that its copy of the store is written.
        agent.signal(rustix::process::Signal::TERM);
        assert!(agent.ended());
        run("nft", &["delete", "table", "inet", "tortie"]);
        let _agent = world.started_as("localhost", &[]);
        until("it takes the name", || world.tortie().arg("status").output().unwrap().status.success());
        assert_eq!(world.status()["node"], "localhost");
    });
}
