//! The agent as a process, with real packets: what it puts into the kernel, and what it never takes out by accident.
//!
//! Needs root, or `unshare -rn`.
#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "agent/churn.rs"]
mod churn;
#[path = "agent/cluster_questions.rs"]
mod cluster_questions;
#[path = "agent/confirm.rs"]
mod confirm;
#[path = "agent/describe.rs"]
mod describe;
#[path = "agent/etcd.rs"]
mod etcd;
#[path = "agent/guard_worlds.rs"]
mod guard_worlds;
#[path = "agent/init.rs"]
mod init;
#[path = "agent/kills.rs"]
mod kills;
#[path = "agent/kubernetes.rs"]
mod kubernetes;
#[path = "agent/kubernetes_page.rs"]
mod kubernetes_page;
#[path = "agent/layout.rs"]
mod layout;
#[path = "agent/local_facts.rs"]
mod local_facts;
#[path = "agent/lock_out.rs"]
mod lock_out;
#[path = "agent/marks.rs"]
mod marks;
#[path = "agent/migrate.rs"]
mod migrate;
#[path = "agent/missing_store.rs"]
mod missing_store;
#[path = "agent/nat_outgoing.rs"]
mod nat_outgoing;
#[path = "agent/node_name.rs"]
mod node_name;
#[path = "agent/nodes.rs"]
mod nodes;
#[path = "agent/not_taken_in.rs"]
mod not_taken_in;
#[path = "agent/off.rs"]
mod off;
#[path = "agent/open_connections.rs"]
mod open_connections;
#[path = "agent/operation.rs"]
mod operation;
#[path = "agent/passed_by.rs"]
mod passed_by;
#[path = "agent/pods.rs"]
mod pods;
#[path = "agent/readme.rs"]
mod readme;
#[path = "agent/real_ssh.rs"]
mod real_ssh;
#[path = "agent/restarts.rs"]
mod restarts;
#[path = "agent/same_answers.rs"]
mod same_answers;
#[path = "agent/service.rs"]
mod service;
#[path = "agent/settings.rs"]
mod settings;
#[path = "agent/store_answers.rs"]
mod store_answers;
#[path = "agent/table_damage.rs"]
mod table_damage;
#[path = "agent/three_nodes.rs"]
mod three_nodes;
#[path = "agent/translations.rs"]
mod translations;
#[path = "agent/unchecked.rs"]
mod unchecked;
#[path = "agent/undo.rs"]
mod undo;
#[path = "agent/uninstall.rs"]
mod uninstall;
#[path = "agent/watch.rs"]
mod watch;
#[path = "agent/workloads.rs"]
mod workloads;
#[path = "agent/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;
use tortie_api::{Key, Kind};
use tortie_store::{Op, Store, Write};
use tortie_store_sqlite::SqliteStore;
use world::{get, move_store, on_a_machine, on_each_machine, reach, run, until};

/// Metrics at port 9091.
const METRICS: &str = "
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {prometheusMetricsEnabled: true, prometheusMetricsPort: 9091}
---
";

const ENDPOINT: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth0, labels: {role: web}}
spec: {node: web1, interfaceName: eth0}
---
";

/// A policy that allows one port and no other.
fn allow(port: u16) -> String {
    format!(
        "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: web}}
spec:
  selector: role == 'web'
  types: [Ingress]
  ingress: [{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}]
"
    )
}

#[test]
fn applied_objects_are_in_the_kernel_when_wait_returns() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        assert!(world.reaches(80) && world.reaches(81), "without an endpoint nothing is denied");
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert!(!world.reaches(81) && world.reaches(80));
        let status = world.said(&["status"]);
        assert!(status.contains("hep/web1-eth0 on eth0\n    ingress: default/gnp web, then denied"), "{status}");
        assert!(status.contains("eth0  192.0.2.11"), "{status}");
        world.apply(&allow(81));
        assert!(!world.reaches(80) && world.reaches(81));
        let json = world.status();
        assert_eq!(json["pid"], agent.pid());
        assert_eq!(json["wanted"], json["inKernel"]);
        world.call(&["delete", "hostendpoint", "web1-eth0"]);
        world.call(&["status", "--wait"]);
        assert!(world.reaches(80) && world.reaches(81));
    });
}

#[test]
fn a_killed_agent_leaves_policy_and_the_next_one_opens_nothing() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        agent.kill();
        assert!(!world.reaches(81) && world.reaches(80));
        // Written while nobody enforces.
        let file = world.file("later.yaml", &allow(82));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        assert!(!world.reaches(81) && world.reaches(80));
        // The neighbour tries a denied port without pause while the next agent starts and catches up.
        let (end, tries, open) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let watch = {
            let (end, tries, open) = (end.clone(), tries.clone(), open.clone());
            move || {
                let senders: Vec<_> = (0..4)
                    .map(|_| {
                        let (end, tries, open) = (end.clone(), tries.clone(), open.clone());
                        std::thread::spawn(move || {
                            while !end.load(Ordering::SeqCst) {
                                open.fetch_add(u64::from(reach(81)), Ordering::SeqCst);
                                tries.fetch_add(1, Ordering::SeqCst);
                            }
                        })
                    })
                    .collect();
                move || senders.into_iter().for_each(|sender| sender.join().unwrap())
            }
        };
        let join = world.outside(watch);
        until("the neighbour tries", || tries.load(Ordering::SeqCst) > 2);
        let _agent = world.agent();
        world.call(&["status", "--wait"]);
        let so_far = tries.load(Ordering::SeqCst);
        until("the neighbour tries on", || tries.load(Ordering::SeqCst) > so_far + 4);
        end.store(true, Ordering::SeqCst);
        join();
        assert_eq!(open.load(Ordering::SeqCst), 0, "never open");
        assert!(!world.reaches(80), "what was written meanwhile is in force");
    });
}

#[test]
fn a_machine_that_starts_without_its_store_is_protected_by_the_last_known_policy() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        agent.signal(Signal::TERM);
        assert!(agent.ended());
        assert!(!world.reaches(81) && world.reaches(80), "ending leaves policy in place");
        // The machine boots: its kernel is empty, and the disk with the store is not there yet.
        run("nft", &["delete", "table", "inet", "tortie"]);
        assert!(world.reaches(81));
        let (store, aside) = (world.place.path().join("tortie.db"), world.place.path().join("aside.db"));
        move_store(&store, &aside);
        let _agent = world.agent();
        assert!(!world.reaches(81) && world.reaches(80));
        let status = world.said(&["status"]);
        assert!(status.contains("STALE"), "{status}");
        // It is back, and changed.
        move_store(&aside, &store);
        world.apply(&allow(81));
        assert!(!world.reaches(80) && world.reaches(81));
        assert_eq!(world.status()["store"]["state"], "in-sync");
    });
}

#[test]
fn a_store_that_is_lost_changes_nothing() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let (store, aside) = (world.place.path().join("tortie.db"), world.place.path().join("aside.db"));
        move_store(&store, &aside);
        until("the loss is noticed", || world.status()["store"]["state"] == "lost");
        assert!(!world.reaches(81) && world.reaches(80));
        move_store(&aside, &store);
        until("it is back", || world.status()["store"]["state"] == "in-sync");
        assert!(!world.reaches(81) && world.reaches(80));
    });
}

#[test]
fn uninstall_removes_everything_with_or_without_an_agent() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        for with in [true, false] {
            let agent = world.agent();
            world.apply(&(ENDPOINT.to_owned() + &allow(80)));
            assert!(!world.reaches(81) && world.reaches(80));
            if with {
                world.call(&["agent", "--uninstall"]);
                assert!(agent.ended());
            } else {
                agent.kill();
                world.call(&["agent", "--uninstall"]);
            }
            assert_eq!(run("nft", &["list", "ruleset"]), "");
            assert!(world.reaches(81) && world.reaches(80));
        }
        assert_eq!(world.call(&["agent", "--uninstall"]), "nothing of tortie is in the kernel\n");
    });
}

#[test]
fn a_second_agent_names_the_first() {
    on_a_machine(|world| {
        let agent = world.agent();
        let said = world.fails(&["agent"]);
        assert!(said.contains(&format!("already: process {}", agent.pid())), "{said}");
    });
}

#[test]
fn beside_another_policy_agent_only_when_asked_to() {
    on_a_machine(|world| {
        run("nft", &["add", "table", "ip", "filter"]);
        run("nft", &["add", "chain", "ip", "filter", "cali-FORWARD"]);
        let said = world.fails(&["agent"]);
        assert!(said.contains("chain cali-FORWARD in table ip filter is Calico's"), "{said}");
        let before = run("nft", &["list", "table", "ip", "filter"]);
        let _agent = world.agent_with(&["--beside"]);
        assert_eq!(run("nft", &["list", "table", "ip", "filter"]), before);
    });
}

#[test]
fn a_signal_makes_it_read_its_file_again_and_settings_apply_live() {
    on_each_machine(|world| {
        world.file("felix.cfg", "FailsafeInboundHostPorts = tcp:80\n");
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(82)));
        assert!(!world.reaches(81) && world.reaches(80), "the failsafe is open");
        assert_eq!(get(9099, "/readiness"), None);
        let settings = "FailsafeInboundHostPorts = tcp:81\nHealthEnabled = yes\nPrometheusMetricsEnabled = yes\n";
        world.file("felix.cfg", settings);
        agent.signal(Signal::HUP);
        until("probes are served", || get(9099, "/readiness").is_some_and(|answer| answer.contains(" 200 OK")));
        until("the other failsafe is open", || world.reaches(81));
        assert!(!world.reaches(80));
        assert!(get(9091, "/metrics").unwrap().contains("felix_active_local_endpoints 1\n"));
        // The file is stronger than the store, which is heard for what the file leaves open.
        world.apply(
            "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default},
              spec: {failsafeInboundHostPorts: [], healthEnabled: false, prometheusMetricsPort: 9192, bpfEnabled: true}}",
        );
        until("metrics have moved", || get(9192, "/metrics").is_some());
        assert!(get(9099, "/liveness").is_some() && world.reaches(81));
        let status = world.said(&["status"]);
        assert!(
            status.contains("bpfEnabled (FelixConfiguration default): it is set, and has no effect here"),
            "{status}"
        );
    });
}

#[test]
fn an_unreadable_object_keeps_its_last_valid_version_over_a_restart_and_is_reported() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let mut agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        // Another program writes what this one refuses to.
        let store = SqliteStore::open(world.place.path().join("tortie.db")).unwrap();
        let key = Key::cluster(Kind::GlobalNetworkPolicy, "web");
        let stored = store.get(&key).unwrap().unwrap();
        let text = String::from_utf8(stored.value.to_vec()).unwrap();
        let bad = text.replace("\"ports\":[80]", "\"ports\":[{}]");
        assert_ne!(text, bad);
        let op = Op::Update(bad.into_bytes().into(), stored.revision.clone());
        store.write(&[Write { key, op }]).unwrap().remove(0).unwrap();
        world.fails(&["status", "--wait"]);
        for _ in 0..2 {
            let status = world.said(&["status"]);
            let said = format!("its last valid version, revision {}, is in force", stored.revision);
            assert!(status.contains("GlobalNetworkPolicy(web): ") && status.contains(&said), "{status}");
            assert!(!world.reaches(81) && world.reaches(80));
            agent.kill();
            agent = world.agent();
        }
    });
}

#[test]
fn verify_names_what_a_killed_agent_left_behind() {
    on_each_machine(|world| {
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        agent.kill();
        let told = world.call(&["verify"]);
        assert!(told.contains(": the kernel enforces what the store says, and nothing else"), "{told}");
        assert!(told.contains("no other program has a chain on the hooks of packets"), "{told}");
        // The labels no longer match the policy.
        let file = world.file("changed.yaml", &ENDPOINT.replace("role: web", "role: db"));
        let output = world.tortie().args(["apply", "-f", file.to_str().unwrap()]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let said = "no agent runs here: the kernel goes on with what the last one left";
        assert!(stderr.contains(&format!("warning[not-enforced]: {said}")), "{stderr}");
        let output = world.tortie().args(["explain", "hep/web1-eth0"]).output().unwrap();
        assert!(String::from_utf8(output.stderr).unwrap().starts_with(said));
        // What changes nothing is not enforced either.
        let output = world.tortie().args(["apply", "-f", file.to_str().unwrap()]).output().unwrap();
        assert!(String::from_utf8(output.stderr).unwrap().contains("warning[not-enforced]"));
        let shown = world.fails(&["verify", "--most", "100"]);
        assert!(shown.contains("rule \"tier default\" is in the kernel, and nothing in force asks for it"), "{shown}");
        assert!(shown.contains("used by hep/web1-eth0 at eth0"), "{shown}");
        let file = world.file("more.yaml", &ENDPOINT.replace("eth0", "eth1"));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        let shown = world.fails(&["verify"]);
        assert!(shown.contains("interface eth1 is not governed by hep/web1-eth1 (forward-in, "), "{shown}");
        // The port stays closed, and no endpoint asks for it.
        world.call(&["delete", "hostendpoint", "web1-eth0", "web1-eth1"]);
        let shown = world.fails(&["verify"]);
        let said = "interface eth0 is still governed by hep/web1-eth0, which does not exist (forward-in, ";
        assert!(shown.contains(said), "{shown}");
        assert!(shown.contains("0 endpoints, 0 probe packets, "), "{shown}");
        let json: serde_json::Value =
            serde_json::from_slice(&world.tortie().args(["verify", "-o", "json"]).output().unwrap().stdout).unwrap();
        assert_eq!((&json["endpoints"], &json["probes"]), (&0.into(), &0.into()), "{json}");
        assert!(json["wrong"].as_u64().unwrap() > 0 && json["chains"].as_u64().unwrap() > 0, "{json}");
        let differences = json["differences"].as_array().unwrap();
        assert!(differences.iter().any(|one| one["text"].as_str().is_some_and(|text| text.contains(said))), "{json}");
        // The next agent mends it.
        let _agent = world.agent();
        world.call(&["verify"]);
    });
}

#[test]
fn verify_tells_whether_the_kernel_enforces_what_the_store_says() {
    on_each_machine(|world| {
        let said = world.fails(&["verify"]);
        assert!(said.contains("there is no store at ") && !said.contains("in the kernel"), "{said}");
        let tier = "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: ops}, spec: {order: 1}}";
        world.call(&["apply", "-f", world.file("tier.yaml", tier).to_str().unwrap()]);
        assert!(world.call(&["verify"]).contains("nothing is to be enforced here, and no table is in the kernel"));
        let file = world.file("endpoint.yaml", ENDPOINT);
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        let shown = world.fails(&["verify"]);
        assert!(shown.contains("hep/web1-eth0 at eth0 is not enforced: table inet tortie does not exist"), "{shown}");
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let shown = world.call(&["verify"]);
        assert!(
            shown.starts_with("1 endpoint, ")
                && shown.contains(
                    ": the kernel enforces what the agent keeps in force, which is what the store says, and nothing else in the tables of tortie\n"
                ),
            "{shown}"
        );
        // Settings that only the agent was started with count.
        agent.kill();
        world.file("felix.cfg", "FailsafeInboundHostPorts = tcp:81\n");
        let agent = world.agent();
        world.call(&["verify"]);
        // What is written while nobody enforces is a difference.
        agent.kill();
        world.file("felix.cfg", "");
        let file = world.file("later.yaml", &allow(443));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        let shown = world.fails(&["verify", "--most", "100"]);
        assert!(shown.contains("no agent runs here"), "{shown}");
        assert!(shown.contains("hep/web1-eth0 at eth0: tcp "), "{shown}");
        assert!(
            shown.contains("port 443, new, to the host from eth0: allowed by what is in force, dropped by the kernel"),
            "{shown}"
        );
        assert!(shown.contains("set member") || shown.contains("rule 1 of"), "{shown}");
        assert!(shown.contains(" differences\n"), "{shown}");
    });
}
