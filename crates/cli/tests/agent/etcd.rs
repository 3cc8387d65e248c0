//! The same agent with etcd as its store.

use rustix::process::Signal;

use std::process::{Child, Stdio};

use tortie_testkit::kubernetes::{ADMIN, ApiServer};

use super::kubernetes::{INTERFACE, pod, policy, reaches};
use super::world::{World, on_a_machine, run, served, until};
use super::{ENDPOINT, METRICS, allow};

#[test]
fn the_policy_in_etcd_is_enforced_and_stays_during_an_outage() {
    on_a_machine(|world| {
        world.start_etcd();
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert!(!world.reaches(81) && world.reaches(80));
        let store = world.status()["store"].clone();
        assert_eq!((&store["state"], &store["name"]), (&"in-sync".into(), &"etcd at http://127.0.0.1:2379".into()));
        world.kill_etcd();
        until("the loss is noticed", || world.status()["store"]["state"] == "lost");
        let reason = world.status()["store"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("http://127.0.0.1:2379 cannot be used: Connection refused"), "{reason}");
        assert!(!world.reaches(81) && world.reaches(80));
        world.start_etcd();
        until("it is back", || world.status()["store"]["state"] == "in-sync");
        assert!(!world.reaches(81) && world.reaches(80));
        world.apply(&allow(81));
        assert!(!world.reaches(80) && world.reaches(81));
    });
}

#[test]
fn a_machine_that_starts_during_an_outage_of_etcd_is_protected_by_the_last_known_policy() {
    on_a_machine(|world| {
        world.start_etcd();
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        agent.signal(Signal::TERM);
        assert!(agent.ended());
        world.kill_etcd();
        run("nft", &["delete", "table", "inet", "tortie"]);
        assert!(world.reaches(81));
        let _agent = world.agent();
        assert!(!world.reaches(81) && world.reaches(80));
        assert!(world.said(&["status"]).contains("STALE"));
        world.start_etcd();
        until("it is back", || world.status()["store"]["state"] == "in-sync");
        world.apply(&allow(81));
        assert!(!world.reaches(80) && world.reaches(81));
    });
}

#[test]
fn while_the_store_says_that_it_is_not_ready_nothing_changes() {
    on_a_machine(|world| {
        world.start_etcd();
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        world.call(&["datastore", "migrate", "lock"]);
        until("it is noticed", || world.status()["store"]["state"] == "lost");
        let status = world.said(&["status"]);
        assert!(status.contains("datastoreReady is false"), "{status}");
        let file = world.file("locked.yaml", &allow(81));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        assert!(!world.reaches(81) && world.reaches(80));
        world.call(&["datastore", "migrate", "unlock"]);
        world.call(&["status", "--wait"]);
        assert!(!world.reaches(80) && world.reaches(81));
    });
}

#[test]
fn the_status_of_endpoints_is_written_to_etcd_and_removed() {
    on_a_machine(|world| {
        world.start_etcd();
        world.file("felix.cfg", "EndpointReportingEnabled = true\nReportingIntervalSecs = 1\nReportingTTLSecs = 2\n");
        let agent = world.agent();
        world.apply(ENDPOINT);
        let endpoint = "/calico/felix/v1/host/web1/endpoint/web1-eth0";
        let alive = "/calico/felix/v2/no-region/host/web1/status";
        let read = |path: &str| world.etcdctl(&["get", "--print-value-only", path]);
        until("it is up", || read(endpoint) == "{\"status\":\"up\"}\n");
        assert!(read(alive).contains("\"uptime\":"));
        world.outside(|| run("ip", &["link", "set", "out", "down"]));
        until("it is down", || read(endpoint) == "{\"status\":\"down\"}\n");
        // What agents tell is no change of an object: it is waited for nothing that never comes.
        world.call(&["status", "--wait"]);
        // Nor is it where history is no longer kept from the last change of an object on.
        let response: serde_json::Value = serde_json::from_str(&world.etcdctl(&["get", "-w", "json", alive])).unwrap();
        world.etcdctl(&["compaction", &response["header"]["revision"].to_string()]);
        world.call(&["status", "--wait"]);
        world.call(&["delete", "hostendpoint", "web1-eth0"]);
        until("it is taken back", || read(endpoint).is_empty());
        agent.kill();
        until("nobody says that it lives", || read(alive).is_empty());
        assert!(read("/calico/felix/v2/no-region/host/web1/last_reported_status").contains("\"uptime\":"));
    });
}

#[test]
fn objects_of_other_programs_are_enforced_or_reported() {
    on_a_machine(|world| {
        world.start_etcd();
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        let put = |path: &str, value: &str| {
            world.etcdctl(&["put", &format!("/calico/resources/v3/projectcalico.org/{path}"), value]);
        };
        put(
            "hostendpoints/web1-eth0",
            r#"{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"web1-eth0","uid":"0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c","creationTimestamp":"2026-08-22T13:33:20Z","labels":{"role":"web"}},"spec":{"node":"web1","interfaceName":"eth0"}}"#,
        );
        // Written by a release that prefixed names of the default tier and wrote empty records.
        put(
            "globalnetworkpolicies/default.web",
            r#"{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{"name":"default.web","uid":"30316465-6365-4463-ad63-3564622d3638","creationTimestamp":"2021-08-22T13:33:20Z"},"spec":{"order":10,"ingress":[{"action":"Allow","protocol":"TCP","source":{},"destination":{"ports":[80]}}],"selector":"role == 'web'","types":["Ingress"]}}"#,
        );
        world.call(&["status", "--wait"]);
        assert!(!world.reaches(81) && world.reaches(80));
        put("globalnetworkpolicies/torn", "{\"kind\":");
        put("ipamconfigs/default", "{}");
        until("both are told", || {
            let status = world.said(&["status"]);
            status.contains("GlobalNetworkPolicy(torn)") && status.contains("ipamconfigs/default")
        });
        assert!(!world.reaches(81) && world.reaches(80), "its neighbours apply as before");
    });
}

#[test]
fn keys_of_kinds_that_nobody_knows_hold_up_neither_status_wait_nor_verify() {
    on_a_machine(|world| {
        world.start_etcd();
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        let mut written = 0;
        let mut put = || {
            written += 1;
            let path = format!("/calico/resources/v3/projectcalico.org/unknownkinds/x{}", written % 3);
            world.etcdctl(&["put", &path, &format!("{{\"spec\":{{\"at\":{written}}}}}")]);
        };
        put();
        world.apply(&(METRICS.to_owned() + ENDPOINT + &allow(80)));
        for port in [81, 80] {
            let file = world.file("policy.yaml", &allow(port));
            world.call(&["apply", "-f", file.to_str().unwrap()]);
            // The store's newest revision is of a key that the agent makes nothing of; more follow while it is waited for.
            put();
            let mut waiting = world.tortie().args(["status", "--wait", "--timeout", "20s"]).spawn().unwrap();
            let status = loop {
                if let Some(status) = waiting.try_wait().unwrap() {
                    break status;
                }
                put();
            };
            assert!(status.success(), "{status}");
            assert!(world.reaches(port) && !world.reaches(161 - port));
            put();
            world.call(&["verify"]);
        }
        // Nothing of them is in force, and status, log and metrics say so.
        let named = "unknown objects: \"/calico/resources/v3/projectcalico.org/unknownkinds/x0\" is the key of no kind";
        until("status names them", || world.said(&["status"]).contains(named));
        until("the metric counts them", || served(9091, "/metrics").contains("tortie_unknown_objects 3"));
        until("the log names them", || agent.log().contains(named));
        let verified = world.call_all(&["verify"]);
        assert!(verified.contains("unknownkinds/x0"), "{verified}");
        world.etcdctl(&["del", "--prefix", "/calico/resources/v3/projectcalico.org/unknownkinds/"]);
        world.call(&["status", "--wait"]);
        until("status names none", || !world.said(&["status"]).contains("unknown objects"));
        until("the metric counts none", || served(9091, "/metrics").contains("tortie_unknown_objects 0"));
        world.call(&["verify"]);
    });
}

#[test]
fn policies_of_older_releases_are_explained_as_they_are_enforced() {
    on_a_machine(|world| {
        world.start_etcd();
        world.listen(80);
        let _agent = world.agent();
        world.apply(ENDPOINT);
        // Both are listed as `web`. Of equal order, the first by the name of its key decides.
        let put = |name: &str, action: &str| {
            let value = format!(r#"{{"kind":"GlobalNetworkPolicy","spec":{{"ingress":[{{"action":"{action}"}}]}}}}"#);
            let path = format!("/calico/resources/v3/projectcalico.org/globalnetworkpolicies/{name}");
            world.etcdctl(&["put", &path, &value]);
        };
        put("default.web", "Deny");
        put("web", "Allow");
        world.call(&["status", "--wait"]);
        assert!(!world.reaches(80));
        let said = world.fails(&["explain", "192.0.2.1", "node/web1", "tcp/80"]);
        assert!(said.contains("DENIED by gnp default.web rule 1"), "{said}");
        world.call(&["verify"]);
        // An older name is the one that a manifest changes.
        world.etcdctl(&["del", "/calico/resources/v3/projectcalico.org/globalnetworkpolicies/web"]);
        let change = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: web}\nspec: {}\n";
        let file = world.file("change.yaml", change);
        let said = world.fails(&["explain", "192.0.2.1", "node/web1", "tcp/80", "-f", file.to_str().unwrap()]);
        assert!(said.contains("DENIED by end of tier default"), "{said}");
    });
}

/// `tortie controllers`, which ends with the value.
struct Controllers(Child);

impl Controllers {
    fn start(world: &World, server: &ApiServer) -> Self {
        let kubeconfig = server.kubeconfig(ADMIN);
        let mut command = world.tortie();
        command.args(["controllers", "--kubeconfig", kubeconfig.to_str().unwrap()]);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The pod's endpoint, as the CNI plugin writes it.
fn endpoint() -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: WorkloadEndpoint\nmetadata: {{namespace: shop, labels: {{app: web}}}}\n\
         spec: {{node: web1, orchestrator: k8s, pod: web, endpoint: eth0, interfaceName: {INTERFACE}, \
         ipNetworks: [10.65.0.2/32], profiles: [kns.shop]}}\n"
    )
}

#[test]
fn packets_meet_the_stand_in_of_a_policy_too_large_for_etcd_and_a_policy_with_the_longest_name() {
    on_a_machine(|world| {
        world.start_etcd();
        let server = ApiServer::start();
        server.kubectl(&["create", "namespace", "shop"], "");
        let _controllers = Controllers::start(world, &server);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        world.apply(&endpoint());
        until("the namespace's profile allows everything", || reaches(world, 80) && reaches(world, 81));
        let explained = || world.said(&["explain", "192.0.2.99", "pod/shop/web", "tcp/80"]);
        // A policy that allows all that is sent here, and much else: each combination of peer and port is a part of its copy.
        let large = |peers: usize| {
            let mut large = policy(80);
            let net =
                |n: usize| serde_json::json!({ "ipBlock": { "cidr": format!("10.{}.{}.0/24", n / 256, n % 256) } });
            let other: Vec<_> = (0..100).map(|n| serde_json::json!({ "port": 10_000 + 2 * n })).collect();
            let from: Vec<_> = (0..peers).map(net).collect();
            large["spec"]["ingress"] =
                serde_json::json!([{ "ports": [{ "port": 80 }] }, { "from": from, "ports": other }]);
            large.to_string()
        };
        server.kubectl(&["create", "-f", "-"], &large(2500));
        until("the stand-in is in force", || explained().contains("np shop/knp.default.web"));
        assert!(explained().contains("DENIED"), "{}", explained());
        assert!(!reaches(world, 80) && !reaches(world, 81));
        server.kubectl(&["replace", "-f", "-"], &large(2));
        until("its copy is in force", || reaches(world, 80));
        assert!(!reaches(world, 81));
        server.kubectl(&["-n", "shop", "delete", "networkpolicy", "web"], "");
        until("it is gone", || reaches(world, 81));
        // 253 characters, and 265 in etcd.
        let mut longest = policy(81);
        longest["metadata"]["name"] = "n".repeat(253).into();
        server.kubectl(&["create", "-f", "-"], &longest.to_string());
        until("it is in force", || !reaches(world, 80));
        assert!(reaches(world, 81));
        assert!(explained().contains(&format!("np shop/knp.default.{}", "n".repeat(253))), "{}", explained());
        world.call(&["verify"]);
        server.kubectl(&["-n", "shop", "delete", "networkpolicy", &"n".repeat(253)], "");
        until("it is gone", || reaches(world, 80) && reaches(world, 81));
    });
}

#[test]
fn a_network_policy_that_is_copied_into_etcd_is_enforced_and_stays_without_its_api_server() {
    on_a_machine(|world| {
        world.start_etcd();
        let mut server = ApiServer::start();
        server.kubectl(&["create", "namespace", "shop"], "");
        let controllers = Controllers::start(world, &server);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        world.apply(&endpoint());
        until("the namespace's profile allows everything", || reaches(world, 80) && reaches(world, 81));
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        let explained = || world.said(&["explain", "192.0.2.99", "pod/shop/web", "tcp/81"]);
        until("the policy is in force", || explained().contains("np shop/knp.default.web"));
        assert!(!reaches(world, 81) && reaches(world, 80));
        server.kill();
        drop(controllers);
        let _controllers = Controllers::start(world, &server);
        world.call(&["status", "--wait"]);
        assert!(!reaches(world, 81) && reaches(world, 80));
        server.restart();
        server.kubectl(&["-n", "shop", "delete", "networkpolicy", "web"], "");
        until("it is gone", || reaches(world, 81));
    });
}
