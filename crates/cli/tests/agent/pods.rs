//! Three nodes of a cluster with a real API server: kubectl writes, and packets between pods, nodes and services follow on
//! each of them. `explain` is asked about each packet too. Pods are namespaces made by hand, at the other end of interfaces
//! that are named as the CNI plugin names them.
//!
//! ```text
//!   hub: API server 198.51.100.254 ──┬── n1 198.51.100.1 ── shop/web    10.65.1.2
//!                                    ├── n2 198.51.100.2 ── shop/client 10.65.2.2
//!                                    └── n3 198.51.100.3 ── shop/other  10.65.3.2, later batch/taker 10.65.2.2
//! ```

use serde_json::{Value, json};
use tortie_testkit::kubernetes::{ADMIN, ApiServer};

use super::kubernetes::shipped;
use super::nodes::{HUB, Node, Talk, hub, reach, serve};
use super::world::{Elsewhere, World, on_a_machine, run, until};

/// A pod that the API server knows, and its namespace.
struct Pod {
    name: &'static str,
    address: &'static str,
    node: usize,
    there: Elsewhere,
}

struct Cluster {
    server: ApiServer,
    nodes: Vec<Node>,
}

/// The definition of ClusterNetworkPolicies, as far as a server needs it to keep them.
pub fn cluster_network_policies() -> Value {
    let schema = json!({ "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } });
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "clusternetworkpolicies.policy.networking.k8s.io",
            "annotations": { "api-approved.kubernetes.io": "unapproved, for a test" } },
        "spec": { "group": "policy.networking.k8s.io", "scope": "Cluster",
            "names": { "kind": "ClusterNetworkPolicy", "plural": "clusternetworkpolicies" },
            "versions": [{ "name": "v1alpha2", "served": true, "storage": true, "schema": schema }] } })
}

impl Cluster {
    fn start(world: &mut World) -> Self {
        hub();
        let server = ApiServer::start_on(HUB);
        server.kubectl(&["create", "-f", &shipped("projectcalico.org.yaml")], "");
        server.kubectl(&["create", "-f", "-"], &cluster_network_policies().to_string());
        server.wait_for_definitions();
        server.kubectl(&["create", "-f", &shipped("tiers.yaml")], "");
        server.kubectl(&["create", "namespace", "shop"], "");
        server.kubectl(&["create", "namespace", "batch"], "");
        let kubeconfig = server.kubeconfig(ADMIN).display().to_string();
        let store = [("DATASTORE_TYPE", "kubernetes".to_owned()), ("KUBECONFIG", kubeconfig)];
        let nodes = (1..=3).map(|number| Node::new(world, number, &store)).collect();
        let cluster = Self { server, nodes };
        for number in 1..=3 {
            let name = format!("n{number}");
            cluster.create(&json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } }));
            let address = json!({ "type": "InternalIP", "address": format!("198.51.100.{number}") });
            let status = json!({ "status": { "addresses": [address] } }).to_string();
            cluster.server.kubectl(&["patch", "node", &name, "--subresource=status", "-p", &status], "");
        }
        cluster
    }

    fn create(&self, object: &Value) {
        self.server.kubectl(&["create", "-f", "-"], &object.to_string());
    }

    /// What kubectl applies is in force on all nodes when this returns.
    fn apply(&self, object: &Value) {
        self.server.kubectl(&["apply", "-f", "-"], &object.to_string());
        self.are_up_to_date();
    }

    fn delete(&self, arguments: &[&str]) {
        self.server.kubectl(&[&["delete"], arguments].concat(), "");
        self.are_up_to_date();
    }

    fn are_up_to_date(&self) {
        std::thread::scope(|scope| self.nodes.iter().for_each(|node| drop(scope.spawn(|| node.is_up_to_date()))));
    }

    /// Creates a pod on a node, as a CNI plugin and a kubelet do. It listens on two ports.
    fn pod(&self, name: &'static str, labels: &Value, node: usize, address: &'static str) -> Pod {
        let there = self.nodes[node - 1].workload(&interface(name), address);
        there.run(|| [80, 81].map(serve));
        let (namespace, pod) = name.split_once('/').unwrap();
        self.create(&json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": pod, "namespace": namespace, "labels": labels },
            "spec": { "nodeName": format!("n{node}"), "containers": [{ "name": "c", "image": "i",
                "ports": [{ "name": "http", "containerPort": 80 }] }] } }));
        let status = json!({ "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] } });
        self.server
            .kubectl(&["-n", namespace, "patch", "pod", pod, "--subresource=status", "-p", &status.to_string()], "");
        Pod { name, address, node, there }
    }

    /// Packets from here to a port arrive or not, and `explain` on the node that they go to says the same.
    #[track_caller]
    fn agree(&self, from: (&str, &Elsewhere), to: (&str, &str, usize), port: u16, arrives: bool) {
        let ((from, here), (to, address, node)) = (from, to);
        let (code, said) = self.nodes[node - 1].outcome(&["explain", from, to, &format!("tcp/{port}")]);
        assert_eq!(code, Some(i32::from(!arrives)), "explain {from} {to} tcp/{port}: {said}");
        assert_eq!(reach(here, address, port), arrives, "packets from {from} to port {port} of {to}: {said}");
    }

    /// Packets between pods.
    #[track_caller]
    fn pods(&self, from: &Pod, to: &Pod, port: u16, arrives: bool) {
        let name = |pod: &Pod| format!("pod/{}", pod.name);
        self.agree((&name(from), &from.there), (&name(to), to.address, to.node), port, arrives);
    }

    /// Packets between nodes.
    #[track_caller]
    fn hosts(&self, from: usize, to: usize, port: u16, arrives: bool) {
        let to = (format!("node/n{to}"), format!("198.51.100.{to}"), to);
        self.agree((&format!("node/n{from}"), &self.nodes[from - 1].host), (&to.0, &to.1, to.2), port, arrives);
    }
}

/// `cali` and what SHA-1 makes of the namespace and the name of a pod.
fn interface(pod: &str) -> String {
    let hash = run("sh", &["-c", "printf %s \"$1\" | sha1sum", "sh", &pod.replace('/', ".")]);
    format!("cali{}", &hash[..11])
}

/// A NetworkPolicy: pods with the label may be reached by clients at the port that is called `http`.
fn network_policy() -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "podSelector": { "matchLabels": { "app": "web" } },
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "client" } } }], "ports": [{ "port": "http" }] }] } })
}

/// The endpoints of the service `shop/db`: the pod on the third node, at this port.
fn slice(port: u16) -> Value {
    json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": "db-1", "namespace": "shop", "labels": { "kubernetes.io/service-name": "db" } },
        "endpoints": [{ "addresses": ["10.65.3.2"] }], "ports": [{ "name": "sql", "port": port }] })
}

fn calico(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

#[test]
fn three_nodes_enforce_what_kubectl_writes_through_a_restart_of_the_server_and_the_reuse_of_an_address() {
    on_a_machine(|world| {
        let mut cluster = Cluster::start(world);
        cluster.nodes.iter_mut().for_each(|node| {
            node.host.run(|| [80, 81].map(serve));
            node.start();
        });
        let web = cluster.pod("shop/web", &json!({ "app": "web" }), 1, "10.65.1.2");
        let client = cluster.pod("shop/client", &json!({ "app": "client" }), 2, "10.65.2.2");
        let other = cluster.pod("shop/other", &json!({ "app": "other" }), 3, "10.65.3.2");
        cluster.are_up_to_date();
        for (from, port) in [(&client, 80), (&client, 81), (&other, 80)] {
            cluster.pods(from, &web, port, true);
        }

        cluster.apply(&network_policy());
        for (from, port, arrives) in [(&client, 80, true), (&client, 81, false), (&other, 80, false)] {
            cluster.pods(from, &web, port, arrives);
        }

        // A service on another node, which moves to another port.
        let to_db = json!({ "action": "Allow", "destination": { "services": { "name": "db", "namespace": "shop" } } });
        let mut to_service = calico(
            "NetworkPolicy",
            "client",
            &json!({ "selector": "app == 'client'", "types": ["Egress"], "egress": [to_db] }),
        );
        to_service["metadata"]["namespace"] = json!("shop");
        cluster.create(&slice(80));
        cluster.apply(&to_service);
        for (to, port, arrives) in [(&other, 80, true), (&other, 81, false), (&web, 80, false)] {
            cluster.pods(&client, to, port, arrives);
        }
        cluster.apply(&slice(81));
        cluster.pods(&client, &other, 81, true);
        cluster.pods(&client, &other, 80, false);
        cluster.delete(&["-n", "shop", "caliconetworkpolicy", "client"]);
        cluster.pods(&client, &web, 80, true);

        // An administrator's policy comes before a namespace's.
        let clients = json!({ "namespaceSelector": {}, "podSelector": { "matchLabels": { "app": "client" } } });
        cluster.apply(&json!({ "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": { "name": "no-clients" },
            "spec": { "tier": "Admin", "priority": 1, "subject": { "namespaces": {} },
                "ingress": [{ "action": "Deny", "from": [{ "pods": clients }] }] } }));
        cluster.pods(&client, &web, 80, false);
        cluster.pods(&other, &client, 80, true);
        cluster.delete(&["clusternetworkpolicy", "no-clients"]);
        cluster.pods(&client, &web, 80, true);

        cluster.create(&calico("Tier", "first", &json!({ "order": 1 })));
        let others = json!({ "action": "Allow", "protocol": "TCP", "source": { "selector": "app == 'other'" },
            "destination": { "ports": [81] } });
        cluster.apply(&calico(
            "GlobalNetworkPolicy",
            "others",
            &json!({ "tier": "first", "selector": "app == 'web'", "types": ["Ingress"], "ingress": [others, { "action": "Pass" }] }),
        ));
        for (from, port, arrives) in
            [(&other, 81, true), (&other, 80, false), (&client, 80, true), (&client, 81, false)]
        {
            cluster.pods(from, &web, port, arrives);
        }

        // Host endpoints: only the second node may come to the others.
        for number in 1..=3 {
            let mut endpoint = calico(
                "HostEndpoint",
                &format!("n{number}-eth0"),
                &json!({ "node": format!("n{number}"), "interfaceName": "eth0", "expectedIPs": [format!("198.51.100.{number}")] }),
            );
            endpoint["metadata"]["labels"] = json!({ "host": format!("n{number}") });
            cluster.create(&endpoint);
        }
        let second = json!({ "action": "Allow", "protocol": "TCP", "source": { "selector": "host == 'n2'" },
            "destination": { "ports": [80] } });
        cluster.apply(&calico(
            "GlobalNetworkPolicy",
            "hosts",
            &json!({ "selector": "has(host)", "types": ["Ingress", "Egress"],
            "egress": [{ "action": "Allow" }], "ingress": [second] }),
        ));
        let as_written = |cluster: &Cluster| {
            for (from, to, port, arrives) in [(2, 1, 80, true), (2, 3, 80, true), (2, 1, 81, false), (3, 1, 80, false)]
            {
                cluster.hosts(from, to, port, arrives);
            }
            for (from, port, arrives) in
                [(&other, 81, true), (&other, 80, false), (&client, 80, true), (&client, 81, false)]
            {
                cluster.pods(from, &web, port, arrives);
            }
        };
        as_written(&cluster);

        // Without the server everything stays, and connections go on.
        let talks =
            [Talk::begin(&client.there, "10.65.1.2:80"), Talk::begin(&cluster.nodes[1].host, "198.51.100.1:80")];
        cluster.server.kill();
        until("the loss is noticed", || cluster.nodes.iter().all(|node| node.store() == "lost"));
        for (from, port, arrives) in
            [(&other, 81, true), (&other, 80, false), (&client, 80, true), (&client, 81, false)]
        {
            assert_eq!(reach(&from.there, web.address, port), arrives, "{} to port {port}", from.name);
        }
        assert!(
            reach(&cluster.nodes[1].host, "198.51.100.1", 80) && !reach(&cluster.nodes[2].host, "198.51.100.1", 80)
        );
        talks.iter().for_each(Talk::goes_on);
        cluster.server.restart();
        until("the server is back", || cluster.nodes.iter().all(|node| node.store() == "in-sync"));
        as_written(&cluster);
        talks.into_iter().for_each(Talk::held);

        // The client goes, and on another node a pod of another namespace and with other labels gets its address.
        cluster.server.kubectl(&["-n", "shop", "delete", "pod", "client", "--force", "--grace-period=0"], "");
        cluster.nodes[1].host.run(|| run("ip", &["link", "del", &interface("shop/client")]));
        for node in &cluster.nodes[..2] {
            node.host.run(|| run("ip", &["route", "replace", "10.65.2.2", "via", "198.51.100.3"]));
        }
        let taker = cluster.pod("batch/taker", &json!({ "app": "taker" }), 3, client.address);
        cluster.are_up_to_date();
        cluster.pods(&taker, &web, 80, false);
        cluster.pods(&taker, &web, 81, false);
        cluster.pods(&taker, &other, 80, true);
        cluster.pods(&web, &taker, 80, true);
        cluster.server.kubectl(&["-n", "batch", "label", "pod", "taker", "app=other", "--overwrite"], "");
        cluster.are_up_to_date();
        cluster.pods(&taker, &web, 81, true);
        cluster.pods(&taker, &web, 80, false);
        // A label that a namespace's policy names, in another namespace.
        cluster.server.kubectl(&["-n", "batch", "label", "pod", "taker", "app=client", "--overwrite"], "");
        cluster.are_up_to_date();
        cluster.pods(&taker, &web, 80, false);

        for node in &cluster.nodes {
            let (code, said) = node.outcome(&["verify"]);
            assert_eq!(code, Some(0), "n{}: {said}", node.number);
        }
    });
}
