//! The same agent with a real API server as its store: kubectl writes, packets follow. The pod is a namespace made by hand.

use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::{Value, json};
use tortie_testkit::kubernetes::{ADMIN, ApiServer};

use super::pods::cluster_network_policies;
use super::world::{Elsewhere, World, on_a_machine, reach_at, run, served, until};

const POD: [u8; 4] = [10, 65, 0, 2];
/// `cali` and the hash of `shop.web`, as the CNI plugin makes it.
pub(super) const INTERFACE: &str = "cali551b05c3e54";

/// An API server with the definitions that are shipped; from then on it is the machine's store.
pub fn cluster(world: &mut World) -> ApiServer {
    let server = bare_cluster(world);
    install(&server, "projectcalico.org.yaml");
    server
}

/// The same without definitions.
fn bare_cluster(world: &mut World) -> ApiServer {
    let server = ApiServer::start();
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

/// Installs the definitions of a file that is shipped.
fn install(server: &ApiServer, file: &str) {
    server.kubectl(&["apply", "--server-side", "-f", &shipped(file)], "");
    server.wait_for_definitions();
}

/// The same with the definition of ClusterNetworkPolicies, which clusters may lack.
fn cluster_with_cluster_policies(world: &mut World) -> ApiServer {
    let server = cluster(world);
    server.kubectl(&["create", "-f", "-"], &cluster_network_policies().to_string());
    server.wait_for_definitions();
    server
}

/// The pod with two ports open, at the other end of its interface.
pub(super) fn pod(world: &World) -> (Elsewhere, Vec<TcpListener>) {
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

pub(super) fn reaches(world: &World, port: u16) -> bool {
    world.outside(move || reach_at(POD, port))
}

/// A NetworkPolicy that lets one port of the pod be reached.
pub(super) fn policy(port: u16) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "podSelector": { "matchLabels": { "app": "web" } }, "ingress": [{ "ports": [{ "port": port }] }] } })
}

#[test]
fn objects_that_kubectl_writes_are_enforced_and_stay_during_an_outage_of_the_server() {
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
        // Objects of Kubernetes are described by kubectl's names.
        for words in [&["describe", "knp/shop/web"][..], &["describe", "networkpolicy.networking.k8s.io", "shop/web"]] {
            let text = world.call(words);
            assert!(text.starts_with("networkpolicy.networking.k8s.io/shop/web\n") && text.contains("tcp"), "{text}");
        }
        let text = world.call(&["describe", "pod/shop/web"]);
        assert!(
            text.starts_with("WorkloadEndpoint shop/web1-k8s-web-eth0\n") && text.contains("knp shop/web"),
            "{text}"
        );
        assert!(world.call(&["describe", "namespace/shop"]).starts_with("Profile kns.shop\n"));
        assert!(world.fails(&["describe", "pod/shop/absent"]).contains("there is no pod shop/absent"));
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

/// Each kind has a history of its own, which the agent follows again after the server was away.
#[test]
fn a_wait_after_a_restart_of_the_server_ends_soon() {
    on_a_machine(|world| {
        let mut server = cluster(world);
        let _agent = world.agent();
        server.kill();
        until("the loss is noticed", || world.status()["store"]["state"] == "lost");
        server.restart();
        server.kubectl(&["label", "namespace", "shop", "restart=1"], "");
        world.call(&["status", "--wait", "--timeout", "25s"]);
    });
}

/// A server whose etcd was restored from a backup that lacks the last policy says nothing to a watch from a later version.
#[test]
fn a_cluster_restored_from_a_backup_changes_nothing_until_it_is_accepted() {
    on_a_machine(|world| {
        let mut server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let agent = world.agent();
        until("the pod is reached", || reaches(world, 80) && reaches(world, 81));
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        until("the first policy is in force", || reaches(world, 80) && !reaches(world, 81));
        server.back_up();
        server.kubectl(&["apply", "-f", "-"], &policy(81).to_string());
        until("the second policy is in force", || !reaches(world, 80) && reaches(world, 81));
        server.restore_backup();
        let state = || world.status()["store"]["state"].clone();
        until("it is noticed", || state() == "replaced");
        let said = world.fails(&["status"]);
        assert!(said.contains("REPLACED by another") && said.contains("has another history: that of "), "{said}");
        assert!(!reaches(world, 80) && reaches(world, 81), "what was in force stays in force");
        // The next agent notices it as well.
        agent.kill();
        let _agent = world.started(&[]);
        until("it is noticed again", || state() == "replaced");
        let reached = [80, 81].map(|port| reaches(world, port));
        assert_eq!(reached, [false, true], "{}", world.status());
        let said = world.call(&["agent", "--accept-store"]);
        assert!(said.starts_with("the agent follows the Kubernetes at https://"), "{said}");
        until("the restored policy is in force", || reaches(world, 80) && !reaches(world, 81));
        assert_eq!(state(), "in-sync");
        // It is the store from then on.
        server.kubectl(&["apply", "-f", "-"], &policy(81).to_string());
        until("it is followed", || !reaches(world, 80) && reaches(world, 81));
    });
}

#[test]
fn a_network_policy_of_kubectl_reaches_packets_again_and_again() {
    on_a_machine(|world| {
        let server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        until("the pod is reached", || reaches(world, 81));
        for _ in 0..5 {
            server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
            until("it is in force", || world.said(&["status"]).contains("knp shop/web"));
            assert!(!reaches(world, 81));
            server.kubectl(&["-n", "shop", "delete", "networkpolicy", "web"], "");
            until("it is gone", || !world.said(&["status"]).contains("knp shop/web") && reaches(world, 81));
        }
    });
}

#[test]
fn status_wait_ends_while_only_pods_that_are_no_endpoints_change() {
    on_a_machine(|world| {
        let server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        let hosts = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "proxy", "namespace": "shop" },
            "spec": { "nodeName": "web1", "hostNetwork": true, "containers": [{ "name": "c", "image": "i" }] } });
        server.kubectl(&["create", "-f", "-"], &hosts.to_string());
        let mut changes = 0;
        let mut change = || {
            changes += 1;
            server
                .kubectl(&["-n", "shop", "annotate", "--overwrite", "pod", "proxy", &format!("change={changes}")], "");
        };
        for port in [80, 81] {
            server.kubectl(&["apply", "-f", "-"], &policy(port).to_string());
            until("the policy is in force", || reaches(world, port) && !reaches(world, 161 - port));
            // The position that is waited for is after these changes; more follow while it is waited for.
            change();
            let mut waiting = world.tortie().args(["status", "--wait", "--timeout", "20s"]).spawn().unwrap();
            let status = loop {
                if let Some(status) = waiting.try_wait().unwrap() {
                    break status;
                }
                change();
            };
            assert!(status.success(), "{status}");
        }
    });
}

#[test]
fn an_administrators_policy_whose_tier_is_missing_comes_last_and_status_lint_and_explain_say_so() {
    on_a_machine(|world| {
        let server = cluster_with_cluster_policies(world);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        until("the pod is reached", || reaches(world, 80) && reaches(world, 81));
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        until("the policy is in force", || !reaches(world, 81));
        let admin = json!({ "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": { "name": "closed" },
            "spec": { "tier": "Admin", "priority": 1, "subject": { "namespaces": {} },
                "ingress": [{ "action": "Deny", "from": [{ "networks": ["0.0.0.0/0"] }] }] } });
        server.kubectl(&["create", "-f", "-"], &admin.to_string());
        let missing = "the tier `kube-admin` does not exist";
        until("the agent knows of it", || {
            String::from_utf8(world.tortie().arg("status").output().unwrap().stdout).unwrap().contains(missing)
        });
        let explained = world.said(&["explain", "192.0.2.99", "pod/shop/web", "tcp/80"]);
        assert!(explained.contains(missing), "{explained}");
        let lint = world.tortie().args(["lint"]).output().unwrap();
        let said = String::from_utf8(lint.stdout).unwrap();
        let error = String::from_utf8(lint.stderr).unwrap();
        assert!(said.contains("unknown-tier") && said.contains(missing), "{said} {error}");
        assert!(reaches(world, 80), "without its tier the policy comes last");

        server.kubectl(&["create", "-f", &shipped("tiers.yaml")], "");
        until("the policy comes first", || !reaches(world, 80));
        let status = world.said(&["status"]);
        assert!(!status.contains(missing), "{status}");

        // One that nothing is known to do exists all the same.
        let ignored = |name: &str, spec: Value| {
            json!({ "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
                "metadata": { "name": name }, "spec": spec })
        };
        let tier = ignored("typo", json!({ "tier": "Amdin", "priority": 1, "subject": { "namespaces": {} } }));
        let subject = ignored("new", json!({ "tier": "Admin", "priority": 1, "subject": { "nodes": {} } }));
        for (policy, reason) in [(tier, "its tier is `Amdin`"), (subject, "its subject has neither")] {
            server.kubectl(&["create", "-f", "-"], &policy.to_string());
            let word = format!("kcnp/{}", policy["metadata"]["name"].as_str().unwrap());
            assert!(world.fails(&["explain", &word]).contains(&format!("exists, and it is not enforced: {reason}")));
            let described = world.call(&["describe", &word]);
            assert!(
                described.contains("it exists, and it is not enforced") && described.contains(reason),
                "{described}"
            );
            let lint = world.fails(&["lint"]);
            assert!(lint.contains("left-out") && lint.contains(reason), "{lint}");
            until("the agent knows of it", || world.said(&["status"]).contains(reason));
            let status = world.fails(&["status"]);
            assert!(
                status.contains(&format!("({}): nothing of it counts", policy["metadata"]["name"].as_str().unwrap())),
                "{status}"
            );
        }
        server.kubectl(&["delete", "clusternetworkpolicy", "typo", "new"], "");
        until("the notes end", || !world.said(&["status"]).contains("it is not enforced"));
        assert!(world.fails(&["explain", "kcnp/typo"]).contains("there is no"));
    });
}

#[test]
fn commands_that_use_another_api_group_than_the_agent_say_so() {
    on_a_machine(|world| {
        let server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        until("the pod is reached", || reaches(world, 80) && reaches(world, 81));
        assert!(world.said(&["status"]).contains(" (projectcalico.org/v3), in sync"), "{}", world.said(&["status"]));
        install(&server, "crd.projectcalico.org.yaml");
        let deny = world.file(
            "deny.yaml",
            "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: closed}, spec: {selector: app == 'web', ingress: [{action: Deny}]}}",
        );
        let deny = deny.to_str().unwrap();
        let (is_done, said) = world.outcome(&["apply", "-f", deny]);
        assert!(is_done, "{said}");
        for part in ["warning[not-enforced]", "(projectcalico.org/v3), not the", "(crd.projectcalico.org/v1)"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(reaches(world, 80));
        let another = "another store, Kubernetes at";
        for (arguments, text) in [
            (&["status", "--wait"][..], "(projectcalico.org/v3), and this call means"),
            (&["verify"], another),
            (&["explain", "192.0.2.99", "pod/shop/web", "tcp/80"], another),
        ] {
            let (is_done, said) = world.outcome(arguments);
            assert!(!is_done && said.contains(text), "{arguments:?}: {said}");
        }
        // Told to use the agent's group, all agree.
        let deny = ["apply", "-f", deny];
        let output = world.tortie().env("CALICO_API_GROUP", "projectcalico.org/v3").args(deny).output().unwrap();
        assert!(
            output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("not-enforced"),
            "{output:?}"
        );
        until("it is in force", || !reaches(world, 80));
    });
}

#[test]
fn what_is_left_out_of_policies_of_kubernetes_is_told_by_every_command_with_the_numbers_of_the_manifest() {
    on_a_machine(|world| {
        let server = cluster_with_cluster_policies(world);
        server.kubectl(&["create", "-f", &shipped("tiers.yaml")], "");
        let (_pod, _listeners) = pod(world);
        world.file("felix.cfg", "PrometheusMetricsEnabled = true\n");
        let agent = world.agent();
        let unreadable = |count: usize| {
            let line = format!("tortie_unreadable_objects {count}");
            until(&line, || served(9091, "/metrics").lines().any(|one| one == line));
        };
        unreadable(0);
        world.call_all(&["status", "--wait"]);
        world.call_all(&["verify"]);
        let admin = json!({ "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy",
            "metadata": { "name": "adm" },
            "spec": { "tier": "Admin", "priority": 1, "subject": { "namespaces": {} }, "egress": [
                { "action": "Accept", "name": "updates", "to": [{ "domainNames": ["example.org"] }] },
                { "action": "Deny", "to": [{ "nodes": { "matchLabels": { "a": "b" } } }] }] } });
        let mut from = policy(80);
        from["spec"]["ingress"] = json!([{ "ports": [{ "port": 81 }] },
            { "from": [{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["010.65.0.0/16"] } }] }]);
        server.kubectl(&["create", "-f", "-"], &admin.to_string());
        server.kubectl(&["create", "-f", "-"], &from.to_string());
        until("both are in force", || {
            let said = world.said(&["status"]);
            said.contains("kcnp adm") && said.contains("knp shop/web")
        });
        let domains = "egress rule 1 `updates` is left out, and so accepts nothing: one of its peers is `domainNames`, which is not supported";
        let nodes =
            "egress rule 2 denies everything that reaches it: one of its peers is `nodes`, which is not supported";
        let net =
            "ingress rule 2 is left out, and so allows nothing: `010.65.0.0/16` in `ipBlock.except` is not a CIDR";
        for (arguments, parts) in [
            (&["lint"][..], &[domains, nodes, net][..]),
            (&["describe", "kcnp/adm"], &[domains, nodes]),
            (&["describe", "knp/shop/web"], &[net]),
            (&["explain", "kcnp/adm"], &[domains, nodes]),
            (&["explain", "kcnp/adm", "-o", "json"], &[domains, nodes]),
            (&["explain", "knp/shop/web"], &[net]),
            (&["explain", "pod/shop/web", "192.0.2.99", "tcp/80"], &[nodes, "kcnp adm: "]),
            (&["explain", "192.0.2.99", "pod/shop/web", "tcp/80"], &[net, "knp shop/web: "]),
            (&["explain", "192.0.2.99", "pod/shop/web"], &[net]),
            (
                &["status"],
                &[
                    domains,
                    nodes,
                    net,
                    "ClusterNetworkPolicy.policy.networking.k8s.io(adm): its other parts count",
                    "  NetworkPolicy.networking.k8s.io(shop/web): its other parts count",
                ],
            ),
            (&["status", "--wait"], &[domains, nodes, net]),
            (&["verify"], &[domains, nodes, net]),
        ] {
            let (succeeded, said) = world.outcome(arguments);
            for part in parts {
                assert!(said.contains(part), "{arguments:?}: {part}: {said}");
            }
            assert!(!succeeded || !matches!(arguments[0], "status" | "verify" | "lint"), "{arguments:?}: {said}");
            // Nobody has to know how the store names what users wrote.
            for name in ["knp.default.", "kcnp.", "-k8s-"] {
                let is_told = said.contains(name) && !arguments.contains(&"json");
                assert!(!is_told, "{arguments:?} has {name}: {said}");
            }
        }
        unreadable(2);
        let log = agent.log();
        assert!([domains, nodes, net].iter().all(|part| log.contains(part)), "{log}");
        // In a preview of the policy without the mistake nothing is left out any more.
        let good = world.file("good.yaml", &policy(80).to_string());
        let (_, preview) = world.outcome(&["explain", "knp/shop/web", "-f", good.to_str().unwrap()]);
        assert!(!preview.contains("left out"), "{preview}");
        // Not a word remains once the parts can be read, or the policy is deleted.
        server.kubectl(&["delete", "clusternetworkpolicy", "adm"], "");
        unreadable(1);
        server.kubectl(&["apply", "-f", good.to_str().unwrap()], "");
        unreadable(0);
        world.call_all(&["status", "--wait"]);
        world.call_all(&["verify"]);
        until("the log says so", || agent.log().contains("NetworkPolicy.networking.k8s.io(shop/web) can be read"));
        server.kubectl(&["replace", "-f", "-"], &from.to_string());
        unreadable(1);
        drop(agent);
        let said = world.said(&["describe", "knp/shop/web", "--from-store"]);
        assert!(said.contains(net), "{said}");
    });
}

/// The writes are those of Calico's CNI plugin, in its order: its programs are not run.
#[test]
fn a_pod_is_enforced_as_soon_as_the_cni_plugin_notes_its_address_and_until_it_takes_it_away() {
    on_a_machine(|world| {
        let server = cluster(world);
        // What the plugin waits for on this machine, and a file of a pod that was deleted while no agent ran.
        let statuses = world.place.path().join("calico/endpoint-status");
        let (file, stale) = (statuses.join("k8s shop%2Fcni eth0"), statuses.join("k8s shop%2Fold eth0"));
        std::fs::create_dir_all(&statuses).unwrap();
        std::fs::write(&stale, "{}").unwrap();
        let agent = world.agent();
        until("the file of a pod that does not exist is removed", || !stale.exists());
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "cni", "namespace": "shop", "labels": { "app": "cni" } },
            "spec": { "nodeName": "web1", "containers": [{ "name": "c", "image": "i" }] } });
        server.kubectl(&["create", "-f", "-"], &pod.to_string());
        let mut closed = policy(80);
        closed["spec"]["podSelector"] = json!({ "matchLabels": { "app": "cni" } });
        server.kubectl(&["create", "-f", "-"], &closed.to_string());
        world.call(&["status", "--wait"]);
        assert!(!world.said(&["status"]).contains("shop/cni"), "it has no address yet");
        assert!(!file.exists());
        // The plugin makes the interface, then patches the pod's status; the kubelet writes the address later.
        let there = Elsewhere::behind("calicf21cf57df7", "eth0");
        there.run(|| run("ip", &["link", "set", "eth0", "up"]));
        run("ip", &["link", "set", "calicf21cf57df7", "up"]);
        let patch = |annotations: Value| {
            let patch = json!({ "metadata": { "annotations": annotations } }).to_string();
            server.kubectl(&["-n", "shop", "patch", "pod", "cni", "--subresource=status", "-p", &patch], "");
        };
        patch(json!({ "cni.projectcalico.org/podIP": "10.65.0.7/32", "cni.projectcalico.org/podIPs": "10.65.0.7/32",
            "cni.projectcalico.org/containerID": "c0ffee" }));
        until("its endpoint is in force", || world.said(&["status"]).contains("pod/shop/cni on calicf21cf57df7"));
        until("the plugin is told", || file.exists());
        let told: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!((&told["ifaceName"], &told["ipv4Nets"]), (&json!("calicf21cf57df7"), &json!(["10.65.0.7/32"])));
        let said = world.said(&["explain", "192.0.2.99", "pod/shop/cni", "tcp/81"]);
        assert!(said.contains("DENIED") && said.contains("10.65.0.7"), "{said}");
        // The kubelet's status names the same address: nothing changes.
        let status = r#"{"status":{"phase":"Running","podIP":"10.65.0.7","podIPs":[{"ip":"10.65.0.7"}]}}"#;
        server.kubectl(&["-n", "shop", "patch", "pod", "cni", "--subresource=status", "-p", status], "");
        world.call(&["status", "--wait"]);
        assert!(world.said(&["status"]).contains("pod/shop/cni on calicf21cf57df7"));
        // An agent that starts keeps the file of a pod that goes on.
        let written = std::fs::metadata(&file).unwrap().modified().unwrap();
        drop(agent);
        let _agent = world.agent();
        until("it is enforced again", || world.said(&["status"]).contains("pod/shop/cni on calicf21cf57df7"));
        assert_eq!(
            std::fs::metadata(&file).unwrap().modified().unwrap(),
            written,
            "it was neither removed nor written"
        );
        // A pod that is being deleted keeps its policy until the plugin has taken its network away, before the kubelet removes it.
        server.kubectl(&["-n", "shop", "delete", "pod", "cni", "--wait=false"], "");
        world.call(&["status", "--wait"]);
        assert!(world.said(&["status"]).contains("pod/shop/cni on calicf21cf57df7") && file.exists());
        patch(json!({ "cni.projectcalico.org/podIP": "", "cni.projectcalico.org/podIPs": "" }));
        until("its address is another pod's", || !world.said(&["status"]).contains("pod/shop/cni on"));
        until("the plugin is told", || !file.exists());
    });
}

/// The writes are those of Calico's kube-controllers for `hostEndpoint.autoCreate`: it is not run.
#[test]
fn a_host_endpoint_that_kube_controllers_write_denies_nothing_until_a_policy_selects_it_and_until_they_delete_it() {
    on_a_machine(|world| {
        let server = cluster(world);
        world.listen(443);
        let agent = world.agent();
        let own = "projectcalico.org/created-by";
        let endpoint = |labels: Value| {
            let mut labels = labels;
            labels[own] = json!("calico-kube-controllers");
            json!({ "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
                "metadata": { "name": "web1-auto-hep", "labels": labels },
                "spec": { "node": "web1", "interfaceName": "*", "expectedIPs": ["192.0.2.11"], "profiles": ["projectcalico-default-allow"] } })
            .to_string()
        };
        let policy = json!({ "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": { "name": "edge" },
            "spec": { "selector": "role == 'edge'", "types": ["Ingress"], "ingress": [
                { "action": "Deny", "protocol": "TCP", "destination": { "ports": [443] } }, { "action": "Allow" }] } });
        let file = world.file("policy.json", &policy.to_string());
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        server.kubectl(&["create", "-f", "-"], &endpoint(json!({ "kubernetes.io/hostname": "web1" })));
        until("it is in force", || world.said(&["status"]).contains("hep/web1-auto-hep on *"));
        assert!(world.reaches(443), "it has the profile that allows everything");
        // They follow the labels of the node.
        server.kubectl(&["apply", "-f", "-"], &endpoint(json!({ "role": "edge" })));
        until("the policy selects it", || !world.reaches(443));
        let said = world.said(&["explain", "192.0.2.99", "node/web1", "tcp/443"]);
        assert!(said.contains("DENIED") && said.contains("gnp edge rule 1"), "{said}");
        // What they do is not undone: neither the agent nor a command writes such an endpoint.
        let before = server.kubectl(&["get", "hep", "web1-auto-hep", "-o", "jsonpath={.metadata.resourceVersion}"], "");
        world.call(&["status", "--wait"]);
        let after = server.kubectl(&["get", "hep", "web1-auto-hep", "-o", "jsonpath={.metadata.resourceVersion}"], "");
        assert_eq!(before, after);
        server.kubectl(&["delete", "hep", "web1-auto-hep"], "");
        until("the node is as without it", || world.reaches(443));
        assert!(!world.said(&["status"]).contains("web1-auto-hep"), "{}", agent.log());
    });
}

/// The definition of ClusterNetworkPolicies takes here what a later release of it may take.
#[test]
fn a_cluster_policy_that_cannot_be_read_denies_what_it_denied_and_is_named_by_every_command() {
    on_a_machine(|world| {
        let server = cluster(world);
        server.kubectl(&["create", "-f", "-"], &cluster_network_policies().to_string());
        server.wait_for_definitions();
        server.kubectl(&["create", "-f", &shipped("tiers.yaml")], "");
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        until("the pod is reached", || reaches(world, 80) && reaches(world, 81));
        let policy = |name: &str, subject: Value, rules: Value| {
            json!({ "apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": { "name": name },
                "spec": { "tier": "Admin", "priority": 1, "subject": subject, "ingress": rules } })
        };
        let tcp = |port: u16| json!({ "tcp": { "destinationPort": { "number": port } } });
        let rule = |action: &str, protocols: Value| json!({ "action": action, "from": [{ "namespaces": {} }], "protocols": protocols });
        // A protocol that is not known: the rule accepted everything from every pod. A range too wide: the policy was as if deleted.
        let rules = json!([rule("Accept", json!([{ "icmp": {} }])), rule("Deny", json!([tcp(81)])), { "action": "Deny", "from": [{ "namespaces": {} }],
            "protocols": [{ "tcp": { "destinationPort": { "number": 70000 } } }] }]);
        server.kubectl(&["create", "-f", "-"], &policy("part", json!({ "namespaces": {} }), rules).to_string());
        until("what cannot be read denies", || !reaches(world, 80));
        server.kubectl(&["delete", "clusternetworkpolicy", "part"], "");
        until("the pod is reached again", || reaches(world, 80));
        let whom = json!({ "namespaces": { "matchExpressions": [{ "key": "a", "operator": "in", "values": ["b"] }] } });
        server.kubectl(
            &["create", "-f", "-"],
            &policy("whom", whom, json!([rule("Deny", json!([tcp(81)]))])).to_string(),
        );
        let mut tier = policy("tier", json!({ "namespaces": {} }), json!([]));
        tier["spec"]["priority"] = json!("high");
        server.kubectl(&["create", "-f", "-"], &tier.to_string());
        let (whom, tier) = (
            "ClusterNetworkPolicy.policy.networking.k8s.io(whom): ",
            "ClusterNetworkPolicy.policy.networking.k8s.io(tier): ",
        );
        until("both are named", || {
            let (_, said) = world.outcome(&["status"]);
            said.contains(&format!("{whom}its deny-by-default replacement is in force"))
                && said.contains(&format!("{tier}nothing of it is in force"))
        });
        let status = world.fails(&["status"]);
        assert!(!status.contains("spec.namespaceSelector"), "it names a field that the policy does not have: {status}");
        let subject = "`spec.subject` cannot be read, so only what the policy denies counts: `in` is not an operator of selectors";
        let priority = "invalid type: string \"high\"";
        for (arguments, parts) in [
            (&["status"][..], &[subject][..]),
            (&["verify"], &[whom, tier, priority]),
            (&["lint"], &[subject, priority, "clusternetworkpolicy.policy.networking.k8s.io/tier"]),
            (&["explain", "kcnp/whom"], &[subject, whom]),
            (&["explain", "kcnp/tier"], &[priority]),
            (&["explain", "192.0.2.99", "pod/shop/web", "tcp/80"], &[subject, whom, tier]),
            (&["describe", "kcnp/whom"], &[subject]),
            (&["describe", "kcnp/tier"], &[priority]),
        ] {
            let (_, said) = world.outcome(arguments);
            parts.iter().for_each(|part| assert!(said.contains(part), "{arguments:?}: {part}: {said}"));
        }
    });
}

#[test]
fn a_pod_that_cannot_be_read_exists_for_every_command() {
    on_a_machine(|world| {
        let server = cluster(world);
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "bad", "namespace": "shop",
                "annotations": { "cni.projectcalico.org/floatingIPs": "[\"1.2.3.4\"" } },
            "spec": { "nodeName": "web1", "containers": [{ "name": "c", "image": "i" }] } });
        server.kubectl(&["create", "-f", "-"], &pod.to_string());
        let status = r#"{"status":{"phase":"Running","podIP":"10.65.0.3","podIPs":[{"ip":"10.65.0.3"}]}}"#;
        server.kubectl(&["-n", "shop", "patch", "pod", "bad", "--subresource=status", "-p", status], "");
        for arguments in [
            &["explain", "192.0.2.99", "pod/shop/bad", "tcp/80"][..],
            &["explain", "pod/shop/bad"],
            &["explain", "192.0.2.99", "wep/shop/web1-k8s-bad-eth0", "tcp/80"],
        ] {
            let said = world.fails(arguments);
            for part in
                ["pod shop/bad exists, and it has no endpoint because it cannot be read", "floatingIPs", "denied"]
            {
                assert!(said.contains(part), "{arguments:?}: {part}: {said}");
            }
        }
        assert!(world.call(&["describe", "pod/shop/bad"]).contains("warning[unreadable]"));
        // tortie writes no pods, so nobody is told to apply or delete it, and a deletion does not claim to have been one.
        let correct = "correct it with `kubectl -n shop edit pod bad`";
        for arguments in [&["lint"][..], &["describe", "pod/shop/bad"], &["get", "wep", "-n", "shop"]] {
            let (_, said) = world.outcome(arguments);
            assert!(said.contains(correct) && !said.contains("`apply` of a manifest"), "{arguments:?}: {said}");
        }
        let said = world.fails(&["delete", "wep", "web1-k8s-bad-eth0", "-n", "shop"]);
        assert!(said.contains(correct), "{said}");
        assert!(world.fails(&["explain", "pod/shop/absent"]).contains("there is no pod shop/absent"));
    });
}

/// An EndpointSlice of a service: the neighbour, on these ports.
fn slice(name: &str, service: &str, ports: &[u16]) -> String {
    let ports: Vec<Value> = ports.iter().map(|port| json!({ "name": format!("p{port}"), "port": port })).collect();
    json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": name, "namespace": "data", "labels": { "kubernetes.io/service-name": service } },
        "endpoints": [{ "addresses": ["192.0.2.99"] }], "ports": ports })
    .to_string()
}

#[test]
fn a_rule_with_a_service_follows_its_endpoints() {
    on_a_machine(|world| {
        let server = cluster(world);
        let (pod, _listeners) = pod(world);
        let _there: Vec<TcpListener> =
            world.outside(|| [8080, 8081].map(|port| TcpListener::bind(("0.0.0.0", port)).unwrap()).into());
        let from_pod = |port: u16| pod.run(move || reach_at([192, 0, 2, 99], port));
        server.kubectl(&["create", "namespace", "data"], "");
        let _agent = world.agent();
        until("the neighbour is reached", || from_pod(8080) && from_pod(8081));
        let rules = |side: &str, service: &str| json!([{ "action": "Allow", side: { "services": { "name": service, "namespace": "data" } } }]);
        let policy = json!({ "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "selector": "app == 'web'", "types": ["Ingress", "Egress"],
                "egress": rules("destination", "db"), "ingress": rules("source", "clients") } });
        server.kubectl(&["create", "-f", "-"], &policy.to_string());
        // Without endpoints there is nobody to reach, and nobody who may come.
        until("the policy is in force", || !from_pod(8080));
        assert!(!from_pod(8081) && !reaches(world, 80));
        server.kubectl(&["create", "-f", "-"], &slice("db-1", "db", &[8080]));
        until("the service is reached", || from_pod(8080));
        assert!(!from_pod(8081), "the service has no such port");
        // A service has many slices, some perhaps with the same endpoints.
        server.kubectl(&["create", "-f", "-"], &slice("db-2", "db", &[8080, 8081]));
        until("its other port is reached", || from_pod(8081));
        server.kubectl(&["-n", "data", "delete", "endpointslice", "db-1"], "");
        server.kubectl(&["apply", "-f", "-"], &slice("db-2", "db", &[8080]));
        until("its other port is gone", || !from_pod(8081));
        assert!(from_pod(8080), "one slice still has it");
        assert!(!reaches(world, 80), "it may be reached, but not come");
        // Who comes from a service comes from any port, so it needs none.
        server.kubectl(&["create", "-f", "-"], &slice("clients-1", "clients", &[]));
        until("the service comes in", || reaches(world, 80) && reaches(world, 81));
        world.call(&["status", "--wait"]);
        world.call(&["verify"]);
        let said = world.said(&["explain", "pod/shop/web", "192.0.2.99", "tcp/8081"]);
        assert!(said.contains("192.0.2.99 does not serve data/db"), "{said}");
        // The rest of the path is not looked at: nothing is wrong with services.
        assert_eq!(world.status()["problems"], json!([]), "{}", world.status());
        // Names are no addresses.
        let mut names: Value = serde_json::from_str(&slice("names", "db", &[1])).unwrap();
        names["addressType"] = json!("FQDN");
        names["endpoints"][0]["addresses"] = json!(["db.example"]);
        server.kubectl(&["create", "-f", "-"], &names.to_string());
        until("a note says so", || world.status()["notes"].to_string().contains("left out: endpointslice data/names"));
        server.kubectl(&["-n", "data", "delete", "endpointslice", "names"], "");
        until("the note is gone", || world.status()["notes"] == json!([]));
        // A port without a number is no port of the service, and everything else of it stays as it is.
        let mut any: Value = serde_json::from_str(&slice("any", "db", &[8081])).unwrap();
        any["ports"] = json!([{ "name": "any" }]);
        server.kubectl(&["create", "-f", "-"], &any.to_string());
        until("a note says so", || world.status()["notes"].to_string().contains("a port without a number"));
        world.call(&["status", "--wait"]);
        world.call(&["verify"]);
        assert!(from_pod(8080) && !from_pod(8081));
        assert_eq!(world.status()["troubles"], json!([]), "{}", world.status());
        // Zeros before a number do not count.
        any["endpoints"][0]["addresses"] = json!(["192.000.02.99"]);
        any["ports"] = json!([{ "port": 8081 }]);
        server.kubectl(&["apply", "-f", "-"], &any.to_string());
        until("the address is read", || from_pod(8081));
        server.kubectl(&["-n", "data", "delete", "endpointslice", "any"], "");
        until("it is gone", || !from_pod(8081));
        // Moved to another service, it is nobody's of this one.
        server.kubectl(&["apply", "-f", "-"], &slice("db-2", "other", &[8080]));
        until("the service is gone", || !from_pod(8080));
        assert!(reaches(world, 80));
    });
}

/// The path of a file that is shipped for clusters.
pub fn shipped(file: &str) -> String {
    format!("{}/../../packaging/kubernetes/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// The kubeconfig of an account, and of a command's user.
fn account(world: &World, server: &ApiServer, name: &str) -> std::path::PathBuf {
    let admin = std::fs::read_to_string(server.kubeconfig(ADMIN)).unwrap();
    let token = server.kubectl(&["-n", "kube-system", "create", "token", name], "");
    let mut account: Value = serde_json::from_str(&admin).unwrap();
    account["users"][0]["user"]["token"] = json!(token.trim());
    world.file(&format!("{name}.kubeconfig"), &account.to_string())
}

/// From now on the machine has the shipped account of the agents, with the shipped role.
fn become_the_agent(world: &mut World, server: &ApiServer) {
    server.kubectl(&["create", "-f", &shipped("rbac.yaml")], "");
    world.kubeconfig = Some(account(world, server, "tortie-agent"));
}

#[test]
fn a_wait_that_the_agent_has_no_right_for_is_named_while_its_watches_run() {
    on_a_machine(|world| {
        let server = cluster(world);
        become_the_agent(world, &server);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        world.kubeconfig = Some(server.kubeconfig(ADMIN));
        until("the pod is reached", || reaches(world, 81));
        server.kubectl(&["delete", "clusterrolebinding", "tortie-agent"], "");
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        until("the policy is in force", || reaches(world, 80) && !reaches(world, 81));
        until("it is not allowed to ask any more", || {
            world.outcome(&["status", "--wait", "--timeout", "2s"]).1.contains("forbidden")
        });
        for arguments in [&["status", "--wait", "--timeout", "2s"][..], &["status"], &["verify"]] {
            let (is_done, said) = world.outcome(arguments);
            assert!(!is_done, "{arguments:?}: {said}");
            for part in ["cannot list resource", "grants it by the rules", "\"networkpolicies\""] {
                assert!(said.contains(part), "{arguments:?}: {part}: {said}");
            }
        }
        server.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &shipped("rbac.yaml")], "");
        until("it is allowed again", || world.outcome(&["status"]).0);
        world.call(&["status", "--wait"]);
    });
}

#[test]
fn rights_that_a_running_agent_loses_are_named_and_what_was_in_force_stays_until_they_are_granted_again() {
    on_a_machine(|world| {
        let mut server = cluster(world);
        become_the_agent(world, &server);
        let (_pod, _listeners) = pod(world);
        let agent = world.agent();
        until("the pod is reached", || reaches(world, 81));
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        until("the policy is in force", || reaches(world, 80) && !reaches(world, 81));
        let may = |server: &ApiServer, resources: [&str; 2]| {
            let patch = json!([
                { "op": "replace", "path": "/rules/1/resources", "value": [resources[0]] },
                { "op": "replace", "path": "/rules/2/resources", "value": [resources[1]] }
            ]);
            server.kubectl(&["patch", "clusterrole", "tortie-agent", "--type=json", "-p", &patch.to_string()], "");
        };
        may(&server, ["none", "none"]);
        // A server asks for rights when a watch begins, and ends each after some minutes: this one ends all of them.
        server.restart();
        let store = || world.status()["store"].clone();
        let rule = |group: &str, resource: &str, verb: &str| {
            format!("{{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]}}")
        };
        let both = |verb| {
            [rule("discovery.k8s.io", "endpointslices", verb), rule("networking.k8s.io", "networkpolicies", verb)]
        };
        // Which of them was asked for first, and whether the server had its history, is chance.
        let rules = [both("list"), both("watch")].concat();
        let names_one = |said: &str| rules.iter().any(|rule| said.contains(&format!("grants it by the rule {rule})")));
        until("the missing right is named", || {
            let said = world.said(&["status"]);
            said.contains("LOST") && said.contains("is forbidden: User ") && names_one(&said)
        });
        world.fails(&["status"]);
        server.kubectl(&["apply", "-f", "-"], &policy(81).to_string());
        assert!(reaches(world, 80) && !reaches(world, 81), "what was in force stays in force");
        // The next agent may not list either.
        agent.kill();
        let _agent = world.started(&[]);
        until("it has only its copy", || store()["state"] == "stale");
        let said = world.fails(&["status"]);
        assert!(said.contains(&format!("grants it by the rules {})", both("list").join(", "))), "{said}");
        assert!(reaches(world, 80) && !reaches(world, 81));
        may(&server, ["endpointslices", "networkpolicies"]);
        until("the new policy is in force", || !reaches(world, 80) && reaches(world, 81));
        assert_eq!(store()["state"], "in-sync");
        world.kubeconfig = Some(server.kubeconfig(ADMIN));
        world.call(&["verify"]);
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        until("it is followed", || reaches(world, 80) && !reaches(world, 81));
    });
}

#[test]
fn the_shipped_role_of_the_agents_grants_what_they_use_and_nothing_else() {
    on_a_machine(|world| {
        let server = cluster_with_cluster_policies(world);
        become_the_agent(world, &server);
        // A server without nodes runs no agent, but it knows whether it could.
        server.kubectl(&["create", "--dry-run=server", "-f", &shipped("daemonset.yaml")], "");
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        until("the pod is reached", || reaches(world, 81));
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        until("the policy is in force", || !reaches(world, 81));
        let native = |granted: &String| !granted.ends_with(".crd.projectcalico.org");
        let granted: Vec<_> =
            server.granted_by(&shipped("rbac.yaml"), "tortie-agent").into_iter().filter(native).collect();
        assert!(granted.len() > 30, "{granted:?}");
        until("the agent watches everything", || server.used_by("tortie-agent").len() >= granted.len());
        assert_eq!(server.used_by("tortie-agent").into_iter().collect::<Vec<_>>(), granted);
        // A command with the agent's account may not read all of the store, and says that it did not.
        let output = world.tortie().arg("verify").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("not compared with the store, which this command cannot read"), "{said}");
        assert!(said.contains("the kernel enforces what the agent keeps in force, and nothing else"), "{said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
        // With the role of readers it may.
        let bind = |role: &str| {
            let role = format!("--clusterrole={role}");
            let bind = ["create", "clusterrolebinding", &role[14..], &role, "--serviceaccount=kube-system:commands"];
            server.kubectl(&bind, "");
        };
        server.kubectl(&["-n", "kube-system", "create", "serviceaccount", "commands"], "");
        bind("tortie-reader");
        world.kubeconfig = Some(account(world, &server, "commands"));
        until("it may read", || world.tortie().args(["get", "gnp"]).output().unwrap().status.success());
        world.call(&["status", "--wait"]);
        world.call(&["verify"]);
        let tier = world.file("tier.yaml", "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: first}\n");
        let refused = world.fails(&["create", "-f", tier.to_str().unwrap()]);
        assert!(refused.contains("unauthorized"), "{refused}");
        // Beside it, the role of those who write policy.
        bind("tortie-policy-admin");
        until("it may write", || {
            world.tortie().args(["apply", "-f", tier.to_str().unwrap()]).output().unwrap().status.success()
        });
        world.call(&["delete", "tier", "first"]);
    });
}

#[test]
fn a_definition_that_is_deleted_leaves_its_policies_in_force_until_it_is_installed_again_or_that_is_accepted() {
    on_a_machine(|world| {
        let mut server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let closed = json!({ "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": { "name": "closed" },
            "spec": { "selector": "app == 'web'", "types": ["Ingress"] } })
        .to_string();
        let file = world.file("closed.json", &closed);
        let agent = world.agent();
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        until("the policy is in force", || !reaches(world, 80));
        let remove = |server: &ApiServer| {
            for unused in ["stagednetworkpolicies", "globalnetworkpolicies"] {
                server.kubectl(&["delete", "crd", &format!("{unused}.projectcalico.org")], "");
            }
        };
        let text = "has no definition of globalnetworkpolicies.projectcalico.org any more";
        let is_said = || world.said(&["status"]).contains(text);
        // The deletion of a definition deletes its objects first, which a running agent is told of each: this one is not.
        agent.signal(Signal::STOP);
        server.restart();
        remove(&server);
        agent.signal(Signal::CONT);
        until("a running agent says it", is_said);
        world.fails(&["status"]);
        assert!(!reaches(world, 80), "the policy stays in force");
        agent.kill();
        let agent = world.started(&[]);
        until("the next agent says it", is_said);
        assert!(!reaches(world, 80), "the policy stays in force");
        let verified = world.fails(&["verify"]);
        assert!(
            verified.contains("what is in force is not what the store says") && verified.contains(text),
            "{verified}"
        );
        // Installed again, the definition has no objects.
        let definitions = shipped("projectcalico.org.yaml");
        let install = || server.kubectl(&["apply", "--server-side", "-f", &definitions], "");
        install();
        until("the deletion is enforced", || reaches(world, 80));
        until("the agent is in sync", || world.status()["store"]["state"] == "in-sync");
        // The same with somebody who accepts it.
        until("it can be written", || {
            world.tortie().args(["apply", "-f", file.to_str().unwrap()]).output().unwrap().status.success()
        });
        until("the policy is in force", || !reaches(world, 80));
        agent.kill();
        remove(&server);
        let agent = world.started(&[]);
        until("the agent says it", is_said);
        assert!(!reaches(world, 80));
        world.call(&["agent", "--accept-store"]);
        assert!(reaches(world, 80));
        assert!(agent.log().contains("because --accept-store was given"), "{}", agent.log());
        world.call(&["status"]);
        agent.kill();
        // What was accepted is not asked about again.
        let _agent = world.agent();
        assert_eq!(world.status()["store"]["state"], "in-sync");
        install();
        until("it can be written", || {
            world.tortie().args(["apply", "-f", file.to_str().unwrap()]).output().unwrap().status.success()
        });
        until("the policy is in force", || !reaches(world, 80));
    });
}

/// Manifests of Kubernetes, as people write them: without what the server fills in.
const SHOP: [&str; 3] = [
    "
{apiVersion: v1, kind: Namespace, metadata: {name: data, labels: {team: a}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader, namespace: shop, labels: {may: read}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web, by: kubectl}}, spec: {nodeName: web1, containers: [{name: c, image: i}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {by: kubectl}}
  ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}, {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: data}}}], ports: [{port: 80}]}]
  egress: [{to: [{ipBlock: {cidr: 192.0.2.99/32}}], ports: [{port: 8080}]}]
",
    "
{apiVersion: v1, kind: Namespace, metadata: {name: data}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, policyTypes: [Egress], ingress: [{}], egress: [{}]}
",
    "
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: data}, spec: {ports: [{port: 5432}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: data, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.99]}]
ports: [{port: 5432}]
",
];

/// A policy of Calico's language with a service.
const TO_DB: &str = "
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: to-db, namespace: shop}
spec: {order: 1, selector: app == 'web', types: [Egress], egress: [{action: Allow, destination: {services: {name: db, namespace: data}}}]}
";

#[test]
fn a_preview_of_kubernetes_manifests_is_what_holds_once_kubectl_has_applied_or_deleted_them() {
    on_a_machine(|world| {
        let server = cluster(world);
        let policy = world.file("to-db.yaml", TO_DB);
        world.call(&["apply", "-f", policy.to_str().unwrap()]);
        let questions = [
            ["192.0.2.9", "pod/shop/web", "tcp/80"],
            ["192.0.2.9", "pod/shop/web", "tcp/81"],
            ["198.51.100.9", "pod/shop/web", "tcp/80"],
            ["pod/shop/web", "192.0.2.99", "tcp/8080"],
            ["pod/shop/web", "192.0.2.99", "tcp/5432"],
            ["pod/shop/web", "192.0.2.98", "tcp/8080"],
        ];
        let answers = |options: &[&str]| -> Vec<String> {
            questions.iter().map(|one| world.said(&[&["explain", "-q"], &one[..], options].concat())).collect()
        };
        let mut seen = vec![answers(&[])];
        for manifests in SHOP {
            let file = world.file("shop.yaml", manifests);
            let file = file.to_str().unwrap();
            let before = server.kubectl(
                &["get", "pods,networkpolicies,networkpolicies.projectcalico.org,endpointslices", "-A", "-o", "yaml"],
                "",
            );
            let expected = answers(&["-f", file]);
            assert!(world.fails(&["diff", "-f", file]).contains("k8s.io/"), "{}", world.said(&["diff", "-f", file]));
            let after = server.kubectl(
                &["get", "pods,networkpolicies,networkpolicies.projectcalico.org,endpointslices", "-A", "-o", "yaml"],
                "",
            );
            assert_eq!(before, after, "a preview writes nothing");
            server.kubectl(&["apply", "-f", file], "");
            // What is stored is what the preview made of the manifests, field by field.
            let again = world.call(&["diff", "-f", file]);
            assert!(again.lines().all(|line| line.ends_with(" unchanged")) && !again.is_empty(), "{again}");
            assert_eq!(answers(&[]), expected);
            seen.push(expected);
        }
        // Each of them made a difference.
        assert!(seen.windows(2).all(|two| two[0] != two[1]), "{seen:#?}");
        let allowed = |answers: &[String], at: usize| answers[at].starts_with("ALLOWED");
        assert!(
            [0, 3].iter().all(|at| allowed(&seen[1], *at)) && [1, 2, 4, 5].iter().all(|at| !allowed(&seen[1], *at))
        );
        // A service of the store: its slices are taken from there.
        let service = world.file(
            "service.yaml",
            "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: data}, spec: {ports: [{port: 5432}]}}",
        );
        let output = world.tortie().args(["diff", "-f", service.to_str().unwrap()]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(
                "service/data/db is taken to have the endpoints that its 1 EndpointSlice in the store says now"
            ),
            "{said}"
        );
        // Deletions: of the policy, of the slice, and of a namespace with all that is in it.
        for (words, arguments) in [
            (
                ["diff", "--delete", "networkpolicy.networking.k8s.io/shop/web"],
                ["-n", "shop", "delete", "networkpolicy", "web"],
            ),
            (["diff", "--delete", "endpointslice/data/db-1"], ["-n", "data", "delete", "endpointslice", "db-1"]),
        ] {
            let said = world.fails(&words);
            assert!(said.contains(" deleted\n"), "{said}");
            server.kubectl(&arguments, "");
            let gone = world.fails(&words);
            assert!(gone.contains("does not exist"), "{gone}");
        }
        // A Service is shown as any other object; what the server fills in is no change.
        let service = |port: u16| {
            let text = format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: told, namespace: data}}, spec: {{ports: [{{port: {port}}}]}}}}"
            );
            world.file("service.yaml", &text)
        };
        let file = service(5432);
        let file = file.to_str().unwrap();
        assert!(world.fails(&["diff", "-f", file]).contains("service/data/told created\n"));
        server.kubectl(&["apply", "-f", file], "");
        let said = world.call(&["diff", "-f", file]);
        assert!(said.contains("service/data/told unchanged\n"), "{said}");
        service(5433);
        let said = world.fails(&["diff", "-f", file]);
        assert!(
            said.contains("service/data/told changed\n") && said.contains("5432") && said.contains("5433"),
            "{said}"
        );
        let said = world.fails(&["diff", "--delete", "service/data/told"]);
        assert!(said.contains("service/data/told deleted\n"), "{said}");
        let said = world.fails(&["diff", "--delete", "namespace/shop"]);
        for name in ["namespace/shop deleted", "networkpolicy/shop/to-db deleted", "pod/shop/web deleted"] {
            assert!(said.contains(name), "{said}");
        }
    });
}

#[test]
fn a_preview_refuses_a_manifest_whose_namespace_is_missing_and_follows_nodes_to_their_host_endpoints() {
    on_a_machine(|world| {
        let server = cluster(world);
        let policy = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: new}, spec: {podSelector: {}}}\n";
        let file = world.file("policy.yaml", policy);
        let file = file.to_str().unwrap();
        let refused = server.kubectl_as(ADMIN, &["apply", "-f", file], "");
        assert!(String::from_utf8_lossy(&refused.stderr).contains("namespaces \"new\" not found"), "{refused:?}");
        let said = world.fails(&["diff", "-f", file]);
        let missing = "networkpolicy.networking.k8s.io/new/p cannot be previewed: the namespace new does not exist in the cluster";
        assert!(said.contains(missing), "{said}");
        let with_it = world
            .file("with.yaml", &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: new}}}}\n---\n{policy}"));
        let said = world.fails(&["diff", "-f", with_it.to_str().unwrap()]);
        assert!(said.contains("networkpolicy.networking.k8s.io/new/p created"), "{said}");
        let of_calico = "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: c, namespace: new}, spec: {selector: all()}}\n";
        let both = world.file(
            "both.yaml",
            &format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: new}}}}\n---\n{of_calico}"),
        );
        let said = world.fails(&["diff", "-f", both.to_str().unwrap()]);
        assert!(said.contains("networkpolicy/new/c created"), "{said}");
        let alone = world.file("alone.yaml", of_calico);
        let alone = alone.to_str().unwrap();
        assert!(world.fails(&["apply", "-f", alone]).contains("the namespace \"new\" does not exist"));
        for words in [
            &["diff", "-f", alone][..],
            &["apply", "-f", alone, "--dry-run"],
            &["lint", "-f", alone],
            &["explain", "node/web1", "192.0.2.99", "tcp/80", "-f", alone],
        ] {
            let said = world.fails(words);
            assert!(
                said.contains("networkpolicy/new/c: the namespace new does not exist in the cluster"),
                "{words:?}: {said}"
            );
            assert!(!said.contains("networkpolicy/new/c created"), "{words:?}: {said}");
        }
        // Automatic host endpoints are those of the node after kubectl's change.
        let wanted = "{apiVersion: projectcalico.org/v3, kind: KubeControllersConfiguration, metadata: {name: default}, \
             spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}}";
        let wanted = world.file("wanted.yaml", wanted);
        world.call(&["apply", "-f", wanted.to_str().unwrap()]);
        let node = |name: &str, labels: &str| {
            let text = format!(
                "{{apiVersion: v1, kind: Node, metadata: {{name: {name}, labels: {{{labels}}}}}, status: {{addresses: [{{type: InternalIP, address: 192.0.2.77}}]}}}}"
            );
            world.file("node.yaml", &text)
        };
        let file = node("n2", "zone: a, disk: ssd");
        let said = world.fails(&["diff", "-f", file.to_str().unwrap()]);
        for part in ["node/n2 created", "hostendpoint/n2-auto-hep created", "this assumes that `tortie controllers`"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        server.kubectl(&["apply", "-f", file.to_str().unwrap()], "");
        let again = world.call_all(&["diff", "-f", file.to_str().unwrap()]);
        assert!(again.contains("node/n2 unchanged"), "{again}");
        // kubectl would remove the label that it has applied; what it applied is not looked at, and that is said.
        let file = node("n2", "zone: b");
        let said = world.fails(&["diff", "-f", file.to_str().unwrap()]);
        for part in
            ["node/n2 changed", "metadata.labels.zone: \"a\" -> \"b\"", "node/n2 is taken to keep its labels disk"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        let said = world.fails(&["diff", "--delete", "-f", file.to_str().unwrap()]);
        assert!(said.contains("node/n2 deleted"), "{said}");
    });
}

#[test]
fn kubectl_apply_removes_what_its_manifest_lost_and_keeps_what_tortie_added_after_tortie_applied() {
    for group in ["projectcalico.org/v3", "crd.projectcalico.org/v1"] {
        on_a_machine(|world| applied_in_turns(world, group));
    }
}

/// kubectl applies, then tortie, then kubectl again.
fn applied_in_turns(world: &mut World, group: &str) {
    {
        let server = bare_cluster(world);
        install(&server, &format!("{}.yaml", group.split('/').next().unwrap()));
        let manifest = |metadata: &str, spec: &str| {
            format!(
                "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: web, {metadata}}}, \
                 spec: {{selector: app == 'web', types: [Ingress], {spec}}}}}"
            )
        };
        let kubectl = |manifest: &str| {
            let manifest = manifest.replacen("projectcalico.org/v3", group, 1);
            let output = server.kubectl_as(ADMIN, &["apply", "-f", "-"], &manifest);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        let resource = format!("globalnetworkpolicies.{}", group.split('/').next().unwrap());
        let policy = || -> Value {
            serde_json::from_str(&server.kubectl(&["get", &resource, "web", "-o", "json"], "")).unwrap()
        };
        kubectl(&manifest("labels: {a: b}", "order: 10"));
        let file = world.file("web.yaml", &manifest("labels: {a: b, c: d}", "order: 10, ingress: [{action: Deny}]"));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        assert_eq!(policy()["spec"]["ingress"][0]["action"], "Deny");
        let said = world.call(&["diff", "-f", file.to_str().unwrap()]);
        assert!(said.contains("unchanged"), "what kubectl remembers is no difference: {said}");
        // kubectl's manifest has lost a label and the order. It knows of neither the other label nor the rule.
        let noted = kubectl(&manifest("labels: {}", ""));
        assert_eq!(noted, "");
        let policy = policy();
        if group == "projectcalico.org/v3" {
            let labels = &policy["metadata"]["labels"];
            assert_eq!((&labels["a"], &labels["c"]), (&Value::Null, &json!("d")), "{policy}");
        } else {
            // Labels are in Calico's annotation there, which kubectl does not know.
            let said = world.call(&["get", "gnp", "web", "-o", "json"]);
            let shown: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(shown["metadata"]["labels"]["c"], "d", "{said}");
        }
        assert_eq!(policy["spec"].get("order"), None, "{policy}");
        assert_eq!(policy["spec"]["ingress"][0]["action"], "Deny");
    }
}

#[test]
fn everyday_commands_work_with_kubernetes_as_the_store() {
    on_a_machine(|world| {
        let server = cluster(world);
        let _agent = world.agent();
        world.apply(
            "
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web}, spec: {selector: app == 'web'}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: old}, spec: {selector: app == 'web'}}
",
        );
        let watched = world.file("watched", "");
        let out = std::fs::File::create(&watched).unwrap();
        let mut watch = world.tortie().args(["get", "gnp", "-w", "-o", "name"]).stdout(out).spawn().unwrap();
        let says =
            |line: &str| until(line, || std::fs::read_to_string(&watched).unwrap().lines().any(|one| one == line));
        says("ADDED globalnetworkpolicy/web");
        let path = "jsonpath={.spec.clusterType}";
        assert_eq!(server.kubectl(&["get", "clusterinformation", "default", "-o", path], ""), "kdd");
        let mut edit = world.tortie();
        edit.args(["edit", "gnp", "web"]).env("EDITOR", "sed -i s/web.$/front\\'/").env("PATH", "/usr/bin:/bin");
        let edited = edit.output().unwrap();
        assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
        says("MODIFIED globalnetworkpolicy/web");
        assert!(world.call(&["describe", "gnp/web"]).contains("selector: app == 'front'"));
        // A pod is a workload endpoint that no folder deletes.
        let only = "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web}, spec: {selector: app == 'web'}}";
        let only = world.file("only.yaml", only);
        world.call(&["apply", "-f", only.to_str().unwrap(), "--prune", "--yes"]);
        says("DELETED globalnetworkpolicy/old");
        let all = world.call(&["get", "all", "-A", "-o", "name"]);
        assert!(all.contains("globalnetworkpolicy/web\n") && all.contains("workloadendpoint/shop/"), "{all}");
        let yaml = world.call(&["get", "all", "-A", "-o", "yaml"]);
        let is_derived = yaml.contains("kns.shop") || yaml.contains("kind: WorkloadEndpoint");
        assert!(
            yaml.contains("name: web\n") && !is_derived,
            "what follows from Kubernetes is applied by nobody: {yaml}"
        );
        watch.kill().unwrap();
        watch.wait().unwrap();
    });
}

#[test]
fn a_store_is_copied_into_a_cluster_and_back_and_what_the_other_cannot_hold_is_said_before() {
    on_a_machine(|world| {
        let server = cluster(world);
        let file = world.file("none", "").with_file_name("from.db");
        let from = file.to_str().unwrap();
        let manifests = world.file(
            "manifests.yaml",
            "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: first}\nspec: {order: 1}\n---\n\
             apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: web, labels: {a: b}}\n\
             spec: {tier: first, selector: app == 'web'}\n---\n\
             apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: db, namespace: data}\n\
             spec: {selector: app == 'db'}\n---\n\
             apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: p}\n---\n\
             apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: h}\nspec: {node: web1, interfaceName: eth0, profiles: [p]}\n",
        );
        let embedded = |arguments: &[&str]| {
            let output =
                world.tortie().env("DATASTORE_TYPE", "embedded").env("TORTIE_STORE", from).args(arguments).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        embedded(&["apply", "-f", manifests.to_str().unwrap()]);
        let backup = file.with_file_name("backup").display().to_string();
        embedded(&["backup", &backup]);
        let refused = world.fails(&["restore", &backup]);
        assert!(refused.contains("nothing was written: the Kubernetes at https://"), "{refused}");
        assert!(refused.contains("cannot hold 1 Profile (p)"), "{refused}");
        // The namespace does not exist: nothing is written.
        let refused = world.fails(&["datastore", "copy", from, "kubernetes"]);
        assert!(refused.contains("cannot hold 1 Profile (p): profiles are made of namespaces"), "{refused}");
        assert!(
            refused.contains("networkpolicy/data/db: the store refuses it: the namespace \"data\" does not exist"),
            "{refused}"
        );
        assert!(refused.contains("nothing was copied: the Kubernetes at https://"), "{refused}");
        assert_eq!(server.kubectl(&["get", "tiers,gnp,hep,clusterinfo", "-o", "name"], ""), "");
        server.kubectl(&["create", "namespace", "data"], "");
        // Without its profile the host endpoint would have other labels, and allow less or more.
        let refused = world.fails(&["datastore", "copy", from, "kubernetes"]);
        assert!(refused.contains("hostendpoint/h names the profile p, which is not copied"), "{refused}");
        assert_eq!(server.kubectl(&["get", "tiers,gnp,hep,clusterinfo", "-o", "name"], ""), "");
        embedded(&["patch", "hep", "h", "-p", r#"{"spec":{"profiles":["projectcalico-default-allow"]}}"#]);
        // A cluster has tiers before anything is written to it.
        server.kubectl(&["create", "-f", &shipped("tiers.yaml")], "");
        let copied = world.fails(&["datastore", "copy", from, "kubernetes"]);
        assert!(copied.contains("not everything was copied"), "{copied}");
        assert_eq!(
            server.kubectl(&["get", "gnp", "web", "-o", "jsonpath={.spec.tier}{.metadata.labels.a}"], ""),
            "firstb"
        );
        let again = world.fails(&["datastore", "copy", from, "kubernetes:test"]);
        assert!(again.contains("only an empty store is filled"), "{again}");
        // And back: what follows from pods and nodes is an object like others there.
        let back = file.with_file_name("back.db");
        let back = back.to_str().unwrap();
        // Services are nothing that is enforced: they are named, and all the rest is copied.
        let all = world.call_all(&["datastore", "copy", "kubernetes", back]);
        assert!(all.contains("cannot hold 1 Service (default/kubernetes)"), "{all}");
        std::fs::remove_file(back).unwrap();
        // A policy without which more is allowed is missed.
        server.kubectl(&["create", "-f", "-"], &policy(80).to_string());
        let said = world.fails(&["datastore", "copy", "kubernetes", back]);
        assert!(said.contains("cannot hold 1 NetworkPolicy.networking.k8s.io (shop/web)"), "{said}");
        let shown = |store: &str, kind: &str| {
            let mut get = world.tortie();
            get.env("DATASTORE_TYPE", "embedded").env("TORTIE_STORE", store);
            let output = get.args(["get", kind, "-A", "-o", "jsonpath={.items[*].spec}"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        for kind in ["tier", "gnp", "np", "hep"] {
            assert_eq!(shown(from, kind), shown(back, kind), "{kind}");
        }
        assert!(shown(back, "wep").contains("10.65.0.2/32"), "{}", shown(back, "wep"));
    });
}

/// What an etcd or embedded store has that goes to a cluster.
const EXPORTED: &str = "
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: first}, spec: {order: 1}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web, labels: {a: b}}, spec: {tier: first, selector: app == 'web', types: [Ingress]}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: db, namespace: data}, spec: {selector: app == 'db'}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web1-eth0}, spec: {node: web1, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: old-name}, spec: {orchRefs: [{nodeName: web1, orchestrator: k8s}], bgp: {ipv4Address: 192.0.2.11/24, asNumber: 64512}}}
---
{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {logSeverityScreen: Warning}}
";

#[test]
fn an_export_is_imported_as_a_whole_or_not_at_all_and_leaves_the_datastore_locked() {
    on_a_machine(|world| {
        let server = cluster(world);
        let store = world.file("none", "").with_file_name("from.db");
        let manifests = world.file("exported.yaml", EXPORTED);
        let embedded = |arguments: &[&str]| {
            let mut command = world.tortie();
            let output = command.env("DATASTORE_TYPE", "embedded").env("TORTIE_STORE", &store).args(arguments).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        embedded(&["apply", "-f", manifests.to_str().unwrap()]);
        embedded(&["datastore", "migrate", "lock"]);
        let exported = embedded(&["datastore", "migrate", "export"]);
        let import = |text: &str| {
            let file = world.file("export.yaml", text);
            let output = world.tortie().args(["datastore", "migrate", "import", "-f", file.to_str().unwrap()]).output();
            let output = output.unwrap();
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            (output.status.success(), said)
        };
        let is_untouched = || {
            server
                .kubectl(&["get", "tiers,gnp,hep,felixconfigurations,clusterinformations", "-o", "name"], "")
                .is_empty()
        };
        let managed = exported.replace("\n===\n{}\n", "\n===\n{\"blocks\": [{}]}\n");
        for (text, reason) in [
            (exported.as_str(), "the namespace \"data\" does not exist"),
            ("apiVersion: v1", "it has no three parts divided by ==="),
            (&managed, "has data of address management (blocks)"),
            (&exported.replace("order: 1\n", "order: one\n"), "has mistakes"),
            (&exported.replace("tier: first", "tier: second"), "nothing was imported"),
        ] {
            let (is_done, said) = import(text);
            assert!(!is_done && said.contains(reason), "{reason}: {said}");
            assert!(is_untouched(), "{reason}");
        }
        server.kubectl(&["create", "namespace", "data"], "");
        let (is_done, said) = import(&exported);
        assert!(is_done && said.contains("the datastore is locked"), "{said}");
        let path = "jsonpath={.spec.datastoreReady}{.spec.clusterType}";
        assert_eq!(server.kubectl(&["get", "clusterinformation", "default", "-o", path], ""), "falsekdd");
        for kind in ["tier", "gnp", "np", "hep", "felixconfig"] {
            let mut get = vec!["get", kind, "-o", "jsonpath={.items[*].spec}"];
            get.extend((kind == "np").then_some("-A"));
            assert_eq!(world.call(&get), embedded(&get), "{kind}");
        }
        let annotation = "jsonpath={.metadata.annotations.projectcalico\\.org/IPv4Address}";
        assert_eq!(server.kubectl(&["get", "node", "web1", "-o", annotation], ""), "192.0.2.11/24");
        let (is_done, said) = import(&exported);
        assert!(!is_done && said.contains("only an empty datastore takes an export"), "{said}");
        world.call(&["datastore", "migrate", "unlock"]);
        assert_eq!(server.kubectl(&["get", "clusterinformation", "default", "-o", path], ""), "truekdd");
        let refused = world.fails(&["datastore", "migrate", "export"]);
        assert!(refused.contains("Datastore type must be etcdv3"), "{refused}");
    });
}

/// A policy for the pod in the group that an API server has.
fn closed(api_version: &str) -> Value {
    json!({ "apiVersion": api_version, "kind": "GlobalNetworkPolicy", "metadata": { "name": "closed" },
        "spec": { "selector": "app == 'web'", "types": ["Ingress"] } })
}

#[test]
fn a_server_without_the_definitions_of_the_group_that_is_used_is_no_healthy_store() {
    on_a_machine(|world| {
        world.file("felix.cfg", "HealthEnabled = true\nPrometheusMetricsEnabled = true\n");
        let server = bare_cluster(world);
        let (_pod, _listeners) = pod(world);
        let agent = world.agent();
        let is_told = |world: &World, reason: &str| {
            let status = world.fails(&["status"]);
            assert!(status.contains("DOES NOT EXIST or is empty") && status.contains(reason), "{status}");
            let ready = served(9099, "/readiness");
            assert!(ready.contains(" 503 ") && ready.contains(reason), "{ready}");
            let metrics = served(9091, "/metrics");
            assert!(metrics.lines().any(|line| line == "tortie_store_missing 1"), "{metrics}");
            for words in [&["lint"][..], &["explain", "192.0.2.99", "pod/shop/web", "tcp/80"], &["verify"]] {
                assert!(world.fails(words).contains(reason), "{words:?}: {}", world.fails(words));
            }
            let get = world.tortie().args(["get", "gnp"]).output().unwrap();
            assert!(String::from_utf8(get.stderr).unwrap().contains(reason));
        };
        let install_native =
            "`kubectl apply --server-side -f packaging/kubernetes/projectcalico.org.yaml` installs them";
        is_told(world, install_native);
        assert_eq!(agent.log().lines().filter(|line| line.contains(install_native)).count(), 1, "{}", agent.log());
        agent.kill();

        // Those of the other group than the one that is set.
        install(&server, "projectcalico.org.yaml");
        world.api_group = Some("crd.projectcalico.org/v1".to_owned());
        let agent = world.agent();
        is_told(world, "has them in projectcalico.org/v3: CALICO_API_GROUP=projectcalico.org/v3 uses these");
        agent.kill();

        // The agent finds the definitions that are installed while it runs.
        world.api_group = None;
        drop(server);
        let server = bare_cluster(world);
        let agent = world.agent();
        is_told(world, install_native);
        install(&server, "projectcalico.org.yaml");
        until("the agent is in sync", || world.status()["store"]["state"] == "in-sync");
        server.kubectl(&["create", "-f", "-"], &closed("projectcalico.org/v3").to_string());
        until("the policy is in force", || !reaches(world, 80));
        world.call(&["status"]);
        assert!(agent.log().contains("the store exists now"), "{}", agent.log());
    });
}

#[test]
fn a_cluster_without_definitions_that_is_accepted_has_its_network_policies_in_force_and_finds_definitions_later() {
    on_a_machine(|world| {
        let server = bare_cluster(world);
        let (_pod, _listeners) = pod(world);
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        let agent = world.agent();
        assert_eq!(world.status()["store"]["state"], "missing");
        world.call(&["agent", "--accept-store"]);
        until("the NetworkPolicy is in force", || !reaches(world, 81) && reaches(world, 80));
        agent.kill();
        let _agent = world.agent();
        assert_eq!(world.status()["store"]["state"], "in-sync", "what was accepted is not asked about again");
        install(&server, "projectcalico.org.yaml");
        until("a policy can be written", || {
            server
                .kubectl_as(ADMIN, &["apply", "-f", "-"], &closed("projectcalico.org/v3").to_string())
                .status
                .success()
        });
        until("the policy is in force", || !reaches(world, 80));
    });
}

#[test]
fn objects_of_a_group_that_is_not_used_are_told_and_a_group_that_is_added_replaces_nothing() {
    on_a_machine(|world| {
        let server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let agent = world.agent();
        server.kubectl(&["create", "-f", "-"], &closed("projectcalico.org/v3").to_string());
        until("the policy is in force", || !reaches(world, 80));
        agent.kill();
        // As `calicoctl datastore migrate import` does it. Nobody has written ClusterInformation.
        install(&server, "crd.projectcalico.org.yaml");
        let agent = world.started(&[]);
        let text = "GlobalNetworkPolicy(closed) only in projectcalico.org/v3 is NOT enforced; CALICO_API_GROUP=projectcalico.org/v3 uses the other";
        until("the reason is told", || world.said(&["status"]).contains(text));
        let gone = "has no definition of globalnetworkpolicies.projectcalico.org any more";
        until("the loss is told", || world.said(&["status"]).contains(gone));
        world.fails(&["status"]);
        assert!(!reaches(world, 80), "the policy stays in force");
        assert!(world.fails(&["verify"]).contains(text));
        agent.kill();
        world.api_group = Some("projectcalico.org/v3".to_owned());
        let agent = world.agent();
        assert!(!reaches(world, 80));
        world.call(&["status"]);
        agent.kill();

        // A node that starts for the first time.
        world.api_group = None;
        std::fs::remove_dir_all(world.place.path().join("state")).unwrap();
        let agent = world.started(&[]);
        until("it says so", || world.said(&["status"]).contains(text));
        world.fails(&["status"]);
        let said = world.tortie().args(["lint"]).output().unwrap();
        assert!(String::from_utf8(said.stderr).unwrap().contains(text));
        assert_eq!(agent.log().lines().filter(|line| line.contains(text)).count(), 1, "{}", agent.log());
        agent.kill();
        // Without it nothing is left out.
        server.kubectl(&["delete", "globalnetworkpolicies.projectcalico.org", "closed"], "");
        let agent = world.agent();
        world.call(&["status"]);
        agent.kill();
        // With a GUID, which the other group does not have, the store is not another one either.
        let file = world
            .file("tier.yaml", "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: t}, spec: {order: 1}}");
        world.api_group = Some("projectcalico.org/v3".to_owned());
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        let agent = world.agent();
        world.call(&["status", "--wait"]);
        agent.kill();
        world.api_group = None;
        let _agent = world.started(&[]);
        let text = "what is in force was read from projectcalico.org, and crd.projectcalico.org is used now";
        until("the groups are named", || world.said(&["status"]).contains(text));
        let said = world.fails(&["status"]);
        assert!(!said.contains("REPLACED") && said.contains("CALICO_API_GROUP"), "{said}");
    });
}

/// What kubectl writes has no `types`, which counts as both directions; `tortie apply` derives them from the rules.
#[test]
fn previews_name_the_policies_without_types_that_kubectl_would_write_with_another_meaning() {
    on_a_machine(|world| {
        let server = cluster(world);
        let mut random = tortie_random::Random::new(30);
        let (mut endpoints, mut policies, mut differing) = (Vec::new(), Vec::new(), std::collections::BTreeSet::new());
        for number in 0..30 {
            let name = format!("p{number}");
            let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": format!("n{number}") } });
            endpoints.push(node);
            endpoints.push(
                json!({ "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint", "metadata": { "name": name,
                "labels": { "policy": name } }, "spec": { "node": format!("n{number}"), "interfaceName": "eth0",
                "profiles": ["projectcalico-default-allow"], "expectedIPs": [format!("192.0.2.{}", 100 + number)] } }),
            );
            let mut rules = || -> Vec<Value> {
                let count = random.below(3);
                let rule = |_| {
                    let action = if random.below(4) == 0 { "Deny" } else { "Allow" };
                    json!({ "action": action, "protocol": "TCP", "destination": { "ports": [1 + random.below(1000)] } })
                };
                (0..count).map(rule).collect()
            };
            let (ingress, egress) = (rules(), rules());
            if ingress.is_empty() || egress.is_empty() {
                differing.insert(name.clone());
            }
            let mut spec = json!({ "selector": format!("policy == '{name}'") });
            for (field, rules) in
                [("ingress", ingress), ("egress", egress)].into_iter().filter(|(_, rules)| !rules.is_empty())
            {
                spec[field] = json!(rules);
            }
            policies.push(json!({ "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy",
                "metadata": { "name": name }, "spec": spec }));
        }
        assert!((5..25).contains(&differing.len()), "{differing:?}");
        let list = |items: &[Value]| json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
        server.kubectl(&["create", "-f", "-"], &list(&endpoints));
        server.kubectl(&["apply", "-f", "-"], &list(&policies));
        let file = world.file("policies.json", &list(&policies));
        let changes = |file: &std::path::Path| -> (Value, String) {
            let output = world.tortie().args(["diff", "-o", "json", "-f"]).arg(file).output().unwrap();
            (serde_json::from_slice(&output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        // What is judged otherwise if tortie writes it after kubectl.
        let (found, notes) = changes(&file);
        let judged = |found: &Value| -> std::collections::BTreeSet<String> {
            let verdicts =
                found["verdicts"].as_array().unwrap().iter().flat_map(|one| one["endpoints"].as_array().unwrap());
            verdicts.map(|name| name.as_str().unwrap().trim_start_matches("hep/").to_owned()).collect()
        };
        assert_eq!(judged(&found), differing, "{found:#}");
        let changed = found["objects"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["kind"] == "GlobalNetworkPolicy" && one["change"] != "unchanged");
        assert_eq!(changed.count(), policies.len(), "tortie writes `types` into each");
        let noted: std::collections::BTreeSet<String> = notes
            .lines()
            .filter(|line| line.contains("`kubectl apply` does not"))
            .filter_map(|line| Some(line.split_once(": ")?.0.rsplit_once('/')?.1.to_owned()))
            .collect();
        assert_eq!(noted, differing, "{notes}");
        // Without `types` both directions count.
        let mut both = policies.clone();
        both.iter_mut().for_each(|policy| policy["spec"]["types"] = json!(["Ingress", "Egress"]));
        let (found, notes) = changes(&world.file("both.json", &list(&both)));
        assert_eq!(judged(&found), std::collections::BTreeSet::new(), "{found:#}");
        assert!(!notes.contains("kubectl apply"), "{notes}");
        // And a preview is what holds once tortie has written it.
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        let changed = &changes(&file).0["objects"];
        assert!(changed.as_array().unwrap().iter().all(|one| one["change"] == "unchanged"), "{changed:#}");
    });
}
