//! Workloads: a namespace like a pod's, made by hand, and its endpoint, applied by hand.

use std::net::TcpListener;

use crate::world::{Elsewhere, World, on_a_machine, reach_at, run, until};

pub(crate) const POD: [u8; 4] = [10, 65, 0, 2];
const ROUTE: [&str; 5] = ["-4", "route", "show", "dev", "cali1"];

pub(crate) const ENDPOINT: &str = "
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: web1-cni-web-eth0, namespace: shop, labels: {app: web}}
spec:
  node: web1
  orchestrator: cni
  containerID: web
  endpoint: eth0
  interfaceName: cali1
  ipNetworks: [10.65.0.2/32]
  mac: 02:00:00:00:00:02
---
";

/// A policy that allows one port of the workload, from outside, and the workload to go anywhere.
pub(crate) fn allow(port: u16) -> String {
    format!(
        "
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {{name: web, namespace: shop}}
spec:
  selector: app == 'web'
  types: [Ingress, Egress]
  ingress: [{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}]
  egress: [{{action: Allow}}]
"
    )
}

/// A pod with two ports open, at the other end of `cali1`.
pub(crate) fn pod(world: &World) -> (Elsewhere, Vec<TcpListener>) {
    let pod = Elsewhere::behind("cali1", "eth0");
    let listeners = pod.run(|| {
        run("ip", &["link", "set", "eth0", "address", "02:00:00:00:00:02"]);
        run("ip", &["addr", "add", "10.65.0.2/32", "dev", "eth0"]);
        run("ip", &["link", "set", "eth0", "up"]);
        run("ip", &["route", "add", "169.254.1.1", "dev", "eth0"]);
        run("ip", &["route", "add", "default", "via", "169.254.1.1"]);
        [80, 81].map(|port| TcpListener::bind(("0.0.0.0", port)).unwrap()).into()
    });
    run("ip", &["link", "set", "cali1", "up"]);
    // Addresses that the host has no way to are not its own to answer for.
    run("ip", &["route", "add", "default", "via", "192.0.2.99"]);
    world.outside(|| run("ip", &["route", "add", "10.65.0.0/24", "via", "192.0.2.11"]));
    (pod, listeners)
}

/// Whether the neighbour reaches a port of the pod.
fn reaches(world: &World, port: u16) -> bool {
    world.outside(move || reach_at(POD, port))
}

#[test]
fn a_workload_is_isolated_then_reachable_where_policy_allows_it_and_removed_without_a_trace() {
    on_a_machine(|world| {
        world.listen(443);
        let (pod, _listeners) = pod(world);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert_eq!(run("ip", &ROUTE), "10.65.0.2 scope link metric 1024 \n");
        assert!(!reaches(world, 81) && reaches(world, 80));
        assert!(reach_at(POD, 81), "the host reaches its own workloads");
        assert!(!pod.run(|| reach_at([192, 0, 2, 11], 443)), "a workload reaches its host only when that is set");
        let neighbours = run("ip", &["neigh", "show", "dev", "cali1", "nud", "permanent"]);
        assert!(neighbours.contains("10.65.0.2 lladdr 02:00:00:00:00:02"), "{neighbours}");
        let file = world.place.path().join("calico/endpoint-status/cni shop%2Fweb eth0");
        until("the file says that it is up", || file.exists());
        let status = world.status();
        assert!(status["ready"] == true && status["problems"] == serde_json::json!([]), "{status}");
        world.apply(&allow(81));
        assert!(!reaches(world, 80) && reaches(world, 81));
        world.call(&["verify"]);
        world.call(&["delete", "workloadendpoint", "-n", "shop", "web1-cni-web-eth0"]);
        world.call(&["status", "--wait"]);
        assert_eq!(run("ip", &ROUTE), "");
        assert_eq!(run("ip", &["neigh", "show", "dev", "cali1", "nud", "permanent"]), "");
        until("the file is gone", || !file.exists());
    });
}

#[test]
fn a_workload_whose_interface_has_no_room_for_ipv6_has_its_status_file_and_status_says_what_is_missing() {
    on_a_machine(|world| {
        let (_pod, _listeners) = pod(world);
        run("ip", &["link", "set", "cali1", "mtu", "1200"]);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.replace("[10.65.0.2/32]", "[10.65.0.2/32, 'fd65::2/128']") + &allow(80)));
        let file = world.place.path().join("calico/endpoint-status/cni shop%2Fweb eth0");
        until("the file says that it is up", || file.exists());
        assert!(reaches(world, 80));
        let why = "the network of workloads: cali1 has no IPv6, because its MTU is below 1280: nothing leads to fd65::2 (set a larger MTU on both ends)";
        assert_eq!(world.status()["problems"], serde_json::json!([why]));
        run("ip", &["link", "set", "cali1", "mtu", "1500"]);
        until("nothing is missing", || world.status()["problems"] == serde_json::json!([]));
        assert!(run("ip", &["-6", "route", "show", "fd65::2"]).contains("cali1"));
    });
}

#[test]
fn an_interface_that_is_created_after_its_endpoint_gives_the_same_result() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let (_pod, _listeners) = pod(world);
        until("the route is there", || run("ip", &ROUTE) == "10.65.0.2 scope link metric 1024 \n");
        assert!(!reaches(world, 81) && reaches(world, 80));
        // An interface that nobody speaks for stays closed.
        world.call(&["delete", "workloadendpoint", "-n", "shop", "web1-cni-web-eth0"]);
        world.call(&["status", "--wait"]);
        run("ip", &["route", "add", "10.65.0.2", "dev", "cali1", "metric", "7"]);
        assert!(!reaches(world, 80) && !reaches(world, 81));
    });
}

#[test]
fn settings_of_the_network_apply_live() {
    on_a_machine(|world| {
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        world.apply(
            "
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {deviceRouteProtocol: 80, deviceRouteSourceAddress: 192.0.2.11, ipv4NormalRoutePriority: 77}
",
        );
        assert_eq!(run("ip", &ROUTE), "10.65.0.2 proto 80 scope link src 192.0.2.11 metric 77 \n");
        world.apply(
            "
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {deviceRouteProtocol: 80, routeSyncDisabled: true}
",
        );
        let status = world.status();
        assert_eq!(status["settings"], serde_json::json!([]), "{status}");
    });
}
