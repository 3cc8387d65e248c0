//! Measures on a real API server with a real agent, in a network namespace of its own: `kubernetes PATH-OF-BINARY [PART]`, as
//! root. A part is `packets` or `large`.
//!
//! `PODS` (50000), `NODES` (5000) and `POLICIES` (5000) say how large the cluster is that an agent starts on.

#![allow(clippy::print_stdout, clippy::unwrap_used, unreachable_pub)]

#[path = "shared/server.rs"]
mod server;

use std::io::{Read, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use server::{Running, cpu, in_folder, median, memory, namespace, neighbour, run, start_agent};
use tortie_agent::status::StoreState;
use tortie_testkit::kubernetes::{ADMIN, ApiServer, programs};

const PROXY: &str = "127.0.0.1:8001";
/// The interface of the pod `shop/web` on its node.
const INTERFACE: &str = "cali551b05c3e54";

struct Bench {
    binary: PathBuf,
    dir: tempfile::TempDir,
    server: ApiServer,
}

impl Bench {
    /// Starts an agent. How long it takes until everything is in the kernel.
    fn agent(&self) -> (Running, Duration) {
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .envs([("DATASTORE_TYPE", "kubernetes"), ("FELIX_FELIXHOSTNAME", "n1")])
            .env("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT")
            .env("KUBECONFIG", self.server.kubeconfig(ADMIN));
        in_folder(&mut command, self.dir.path());
        start_agent(command, self.dir.path(), |status| status.ready && status.store.state == StoreState::InSync)
    }
}

fn main() {
    let binary = std::env::args().nth(1).map(PathBuf::from).expect("usage: kubernetes PATH-OF-BINARY [PART]");
    let only = std::env::args().nth(2);
    let part = |name: &str| only.as_deref().is_none_or(|only| only == name);
    namespace();
    let bench =
        Bench { binary: binary.canonicalize().unwrap(), dir: tempfile::tempdir().unwrap(), server: ApiServer::start() };
    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/kubernetes/projectcalico.org.yaml");
    bench.server.kubectl(&["create", "-f", definitions], "");
    bench.server.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"], "");
    println!("| | measured | at most |\n|---|---|---|");
    if part("packets") {
        packets(&bench);
    }
    if part("large") {
        large(&bench);
    }
}

/// One request without encryption; the answer has a body that ends with the connection.
fn call(address: &str, method: &str, path: &str, kind: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    answer
}

/// From a write of a NetworkPolicy until the first packet that it lets through has arrived.
fn packets(bench: &Bench) {
    let objects = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } },
        { "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" } },
        { "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "flip", "namespace": "shop" },
          "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": [] } },
        { "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "shop" },
          "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i" }] } } ] });
    bench.server.kubectl(&["create", "-f", "-"], &objects.to_string());
    let status = r#"{"status":{"phase":"Running","podIP":"10.65.0.2","podIPs":[{"ip":"10.65.0.2"}]}}"#;
    bench.server.kubectl(&["-n", "shop", "patch", "pod", "web", "--subresource=status", "-p", status], "");
    let mut proxy = Command::new(programs().join("kubectl"));
    proxy.args(["proxy", "--port=8001"]).env("KUBECONFIG", bench.server.kubeconfig(ADMIN)).stdout(Stdio::null());
    let _proxy = Running(proxy.spawn().unwrap());
    while TcpStream::connect(PROXY).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let (work, thread) = neighbour();
    run("ip", &["link", "add", INTERFACE, "type", "veth", "peer", "name", "eth0", "netns", &thread]);
    run("ip", &["link", "set", INTERFACE, "up"]);
    run("ip", &["addr", "add", "192.0.2.1/32", "dev", "lo"]);
    // The host answers for the pod's gateway where it has a route to it by another interface.
    run("ip", &["link", "add", "out", "type", "veth", "peer", "name", "out-peer"]);
    run("ip", &["addr", "add", "198.51.100.1/24", "dev", "out"]);
    run("ip", &["link", "set", "out-peer", "up"]);
    run("ip", &["link", "set", "out", "up"]);
    run("ip", &["route", "add", "default", "via", "198.51.100.99"]);
    let (_agent, _) = bench.agent();
    let end = Arc::new(AtomicBool::new(false));
    let ended = end.clone();
    let (done, sent) = mpsc::channel();
    work.send(Box::new(move || {
        run("ip", &["addr", "add", "10.65.0.2/32", "dev", "eth0"]);
        run("ip", &["link", "set", "eth0", "up"]);
        run("ip", &["route", "add", "169.254.1.1", "dev", "eth0"]);
        run("ip", &["route", "add", "default", "via", "169.254.1.1"]);
        while !ended.load(Ordering::SeqCst) {
            // Each packet is a connection of its own: a new port, so a new verdict.
            if let Ok(socket) = UdpSocket::bind("10.65.0.2:0") {
                drop(socket.send_to(b"x", "192.0.2.1:7000"));
            }
            std::thread::sleep(Duration::from_micros(400));
        }
        done.send(()).unwrap();
    }))
    .unwrap();
    let patch = |egress: &str| {
        let path = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/flip";
        call(PROXY, "PATCH", path, "application/merge-patch+json", &format!(r#"{{"spec":{{"egress":{egress}}}}}"#))
    };
    let socket = UdpSocket::bind("192.0.2.1:7000").unwrap();
    let mut byte = [0; 8];
    let (mut from_request, mut from_answer) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        // Denied, and nothing is on its way any more.
        socket.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
        while socket.recv(&mut byte).is_ok() {}
        let start = Instant::now();
        let answered = std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                patch(r#"[{"ports":[{"protocol":"UDP","port":7000}]}]"#);
                Instant::now()
            });
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket.recv(&mut byte).expect("it is let through");
            from_request.push(start.elapsed().as_secs_f64() * 1e3);
            let arrived = Instant::now();
            let answered = writing.join().unwrap();
            arrived.saturating_duration_since(answered)
        });
        from_answer.push(answered.as_secs_f64() * 1e3);
        patch("[]");
    }
    let (middle, late, most) = median(from_request);
    println!("| a patch of a NetworkPolicy is sent, to the first packet, median of 300 | {middle:.1} ms | 20 ms |");
    println!("| the same, 99 of 100 | {late:.1} ms (most: {most:.1} ms) | |");
    let (middle, late, most) = median(from_answer);
    println!(
        "| the server's answer to the first packet, median | {middle:.1} ms (99 of 100: {late:.1} ms, most: {most:.1} ms) | |"
    );
    end.store(true, Ordering::SeqCst);
    sent.recv().unwrap();
}

/// A pod as a cluster has it, with what its server and its node note in it.
fn pod(n: usize, nodes: usize) -> Value {
    let (name, namespace) = (format!("web-{n}-5d9c7b9c4-abcde"), format!("ns-{}", n % 100));
    let node = if n < 50 { "n1".to_owned() } else { format!("node-{}", n % nodes) };
    let pad = |bytes: usize| "f:metadata ".repeat(bytes / 11);
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "generateName": format!("web-{n}-5d9c7b9c4-"),
            "uid": format!("30316465-6365-4463-ad63-{n:012x}"), "creationTimestamp": "2026-08-22T13:33:20Z",
            "labels": { "app": format!("app-{}", n % 500), "tier": format!("tier-{}", n % 7), "pod-template-hash": "5d9c7b9c4" },
            "annotations": { "cni.projectcalico.org/containerID": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "kubectl.kubernetes.io/last-applied": pad(1500) } },
        "spec": { "nodeName": node, "serviceAccountName": "default", "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
            "containers": [{ "name": "web", "image": "registry.example/web:1.2.3", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
                "env": [{ "name": "SETTINGS", "value": pad(2500) }] }] },
        "status": { "phase": "Running", "hostIP": "192.0.2.1", "qosClass": "BestEffort", "message": pad(1500),
            "podIP": address(n), "podIPs": [{ "ip": address(n) }] } })
}

fn address(n: usize) -> String {
    format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)
}

/// Puts objects where the API server keeps them, many at once.
fn fill(etcd: &str, objects: impl Iterator<Item = (String, Value)>) -> usize {
    let (mut count, mut bytes, mut puts) = (0, 0, Vec::new());
    let send = |puts: &mut Vec<Value>| {
        let body = json!({ "success": puts }).to_string();
        if !puts.is_empty() {
            call(etcd, "POST", "/v3/kv/txn", "application/json", &body);
        }
        puts.clear();
    };
    for (key, value) in objects {
        let value = value.to_string();
        count += 1;
        bytes += value.len();
        puts.push(json!({ "requestPut": { "key": STANDARD.encode(key), "value": STANDARD.encode(value) } }));
        if puts.len() == 100 {
            send(&mut puts);
        }
    }
    send(&mut puts);
    bytes / count.max(1)
}

/// An agent on a large cluster.
fn large(bench: &Bench) {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse::<usize>().unwrap());
    let (pods, nodes, policies) = (number("PODS", 50_000), number("NODES", 5_000), number("POLICIES", 5_000));
    let etcd = bench.server.etcd_endpoint();
    let namespace = |n: usize| {
        let name = format!("ns-{n}");
        (
            format!("/registry/namespaces/{name}"),
            json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "uid": format!("40316465-6365-4463-ad63-{n:012x}"), "labels": { "team": format!("t-{}", n % 9) } } }),
        )
    };
    let node = |n: usize| {
        let name = if n == 0 { "n1".to_owned() } else { format!("node-{n}") };
        (
            format!("/registry/minions/{name}"),
            json!({ "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "uid": format!("50316465-6365-4463-ad63-{n:012x}"), "labels": { "kubernetes.io/hostname": name },
                "annotations": { "pad": "p".repeat(2_000) } },
            "status": { "addresses": [{ "type": "InternalIP", "address": format!("172.16.{}.{}", n >> 8 & 255, n & 255) }] } }),
        )
    };
    let policy = |n: usize| {
        let (name, namespace) = (format!("p-{n}"), format!("ns-{}", n % 100));
        (
            format!("/registry/networkpolicies/{namespace}/{name}"),
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": namespace, "uid": format!("60316465-6365-4463-ad63-{n:012x}") },
            "spec": { "podSelector": { "matchLabels": { "app": format!("app-{}", n % 500) } }, "policyTypes": ["Ingress"],
                "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "tier": format!("tier-{}", n % 7) } } }],
                    "ports": [{ "protocol": "TCP", "port": 8080 }] }] } }),
        )
    };
    let start = Instant::now();
    fill(&etcd, (0..100).map(namespace));
    fill(&etcd, (0..nodes).map(node));
    fill(&etcd, (0..policies).map(policy));
    let size = fill(
        &etcd,
        (0..pods).map(|n| {
            let pod = pod(n, nodes);
            let path = |field: &str| pod["metadata"][field].as_str().unwrap().to_owned();
            (format!("/registry/pods/{}/{}", path("namespace"), path("name")), pod)
        }),
    );
    println!(
        "| fill with {pods} pods of {size} bytes, {nodes} nodes and {policies} NetworkPolicies | {:.0} s | |",
        start.elapsed().as_secs_f64()
    );
    // Once the server tells everybody of the last of them, it has the others.
    let last = pod(pods - 1, nodes)["metadata"]["name"].as_str().unwrap().to_owned();
    let arguments = ["-n", &format!("ns-{}", (pods - 1) % 100), "get", "pod", &last, "-o", "name"];
    assert!(bench.server.kubectl(&arguments, "").contains(&last));
    std::thread::sleep(Duration::from_secs(20));
    for what in ["first start", "next start, with its copy"] {
        let before = cpu(bench.server.process());
        let (agent, took) = bench.agent();
        let (used, theirs) = (cpu(agent.0.id()), cpu(bench.server.process()) - before);
        println!(
            "| {what}: in sync and in the kernel | {:.1} s (agent's processor {used:.1} s, the API server's {theirs:.1} s) | 10 s |",
            took.as_secs_f64()
        );
        println!("| {what}: most memory of the agent | {} MiB | 120 MiB |", memory(agent.0.id(), "VmHWM"));
        std::thread::sleep(Duration::from_secs(20));
        println!("| {what}: its memory 20 s later | {} MiB | |", memory(agent.0.id(), "VmRSS"));
    }
}
