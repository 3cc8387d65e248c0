//! The same agent with a real API server as its store: kubectl writes, packets follow. The pod is a namespace made by hand.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tortie_testkit::kubernetes::{ADMIN, ApiServer};

use super::world::{Elsewhere, World, on_a_machine, reach_at, run, until};

const POD: [u8; 4] = [10, 65, 0, 2];
/// `cali` and the hash of `shop.web`, as the CNI plugin makes it.
const INTERFACE: &str = "cali551b05c3e54";

/// An API server with the definitions that are shipped; from then on it is the machine's store.
fn cluster(world: &mut World) -> ApiServer {
    let server = ApiServer::start();
    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/kubernetes/projectcalico.org.yaml");
    server.kubectl(&["create", "-f", definitions], "");
    server.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"], "");
    let objects = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } },
        { "apiVersion": "v1", "kind": "Node", "metadata": { "name": "web1" } },
        { "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "shop", "labels": { "app": "web" } },
          "spec": { "nodeName": "web1", "containers": [{ "name": "c", "image": "i" }] } } ] });
    server.kubectl(&["create", "-f", "-"], &objects.to_string());
    let status = r#"{"status":{"phase":"Running","podIP":"10.65.0.2","podIPs":[{"ip":"10.65.0.2"}]}}"#;
    server.kubectl(&["-n", "shop", "patch", "pod", "web", "--subresource=status", "-p", status], "");
    world.kubeconfig = Some(server.kubeconfig(ADMIN));
    server
}

/// The pod with two ports open, at the other end of its interface.
fn pod(world: &World) -> (Elsewhere, Vec<TcpListener>) {
    let pod = Elsewhere::behind(INTERFACE, "eth0");
    let listeners = pod.run(|| {
        run("ip", &["addr", "add", "10.65.0.2/32", "dev", "eth0"]);
        run("ip", &["link", "set", "eth0", "up"]);
        run("ip", &["route", "add", "169.254.1.1", "dev", "eth0"]);
        run("ip", &["route", "add", "default", "via", "169.254.1.1"]);
        [80, 81].map(|port| TcpListener::bind(("0.0.0.0", port)).unwrap()).into()
    });
    run("ip", &["link", "set", INTERFACE, "up"]);
    run("ip", &["route", "add", "default", "via", "192.0.2.99"]);
    world.outside(|| run("ip", &["route", "add", "10.65.0.0/24", "via", "192.0.2.11"]));
    (pod, listeners)
}

fn reaches(world: &World, port: u16) -> bool {
    world.outside(move || reach_at(POD, port))
}

/// A NetworkPolicy that lets one port of the pod be reached.
fn policy(port: u16) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "podSelector": { "matchLabels": { "app": "web" } }, "ingress": [{ "ports": [{ "port": port }] }] } })
}

#[test]
fn what_kubectl_writes_is_enforced_and_while_the_server_is_away_that_stays() {
    on_a_machine(|world| {
        let mut server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        // The namespace's profile allows everything to a pod that no policy selects.
        until("the pod is reached", || reaches(world, 80) && reaches(world, 81));
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        until("the policy is in force", || !reaches(world, 81));
        assert!(reaches(world, 80));
        assert!(world.said(&["explain", "192.0.2.99", "pod/shop/web", "tcp/81"]).contains("knp shop/web"));
        // A policy of Calico's, in a tier before it, by the one and changed by the other.
        let file = world.file(
            "gnp.yaml",
            "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: first}\nspec: {order: 1}\n---\n\
             apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: web}\n\
             spec: {tier: first, selector: app == 'web', ingress: [{action: Allow, protocol: TCP, destination: {ports: [81]}}, {action: Pass}]}\n",
        );
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        world.call(&["status", "--wait"]);
        assert!(reaches(world, 80) && reaches(world, 81));
        let patch = r#"{"spec":{"ingress":[{"action":"Deny"}]}}"#;
        server.kubectl(&["patch", "gnp", "web", "--type=merge", "-p", patch], "");
        until("the change is in force", || !reaches(world, 80));
        assert!(!reaches(world, 81));
        server.kill();
        until("the loss is noticed", || world.status()["store"]["state"] == "lost");
        assert!(!reaches(world, 80) && !reaches(world, 81));
        server.restart();
        server.kubectl(&["delete", "gnp", "web"], "");
        until("it is back", || reaches(world, 80));
        assert!(!reaches(world, 81));
        // Each resource is followed by itself, so they come back one after the other.
        until("all of it is back", || world.tortie().arg("verify").output().unwrap().status.success());
    });
}

#[test]
fn a_network_policy_reaches_packets_soon_after_the_server_took_it() {
    on_a_machine(|world| {
        let server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        until("the pod is reached", || reaches(world, 81));
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
                let written = Instant::now();
                until("it is in force", || world.said(&["status"]).contains("knp shop/web"));
                let took = written.elapsed();
                assert!(!reaches(world, 81));
                server.kubectl(&["-n", "shop", "delete", "networkpolicy", "web"], "");
                until("it is gone", || !world.said(&["status"]).contains("knp shop/web"));
                took
            })
            .collect();
        times.sort();
        // kubectl itself takes longer to end after its write; this leaves room for a loaded machine.
        assert!(times[2] < Duration::from_secs(1), "{times:?}");
    });
}
