//! `tortie controllers` as its users run it: against etcd, a real API server with the shipped role, and the embedded store.
#![allow(clippy::unwrap_used)]

#[path = "controllers/copies.rs"]
mod copies;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tortie_testkit::kubernetes::{ADMIN, ApiServer};

/// How long anything is waited for. Many tests share the machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// The shortest lease that can be asked for.
const LEASE: Duration = Duration::from_secs(5);

/// A process that ends with the value.
struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What stands behind the store.
enum Server {
    None,
    Etcd(#[allow(dead_code, reason = "it ends with the value")] Process),
    Kubernetes(Box<ApiServer>),
}

/// A cluster with a store.
struct Cluster {
    directory: tempfile::TempDir,
    server: Server,
    /// How the controllers reach the store, and how the user does.
    controllers: Vec<(&'static str, String)>,
    user: Vec<(&'static str, String)>,
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The kubeconfig of an account of a cluster.
fn account(server: &ApiServer, name: &str, directory: &Path) -> PathBuf {
    let mut account: Value = serde_json::from_str(&std::fs::read_to_string(server.kubeconfig(ADMIN)).unwrap()).unwrap();
    let token = server.kubectl(&["-n", "kube-system", "create", "token", name], "");
    account["users"][0]["user"]["token"] = json!(token.trim());
    let kubeconfig = directory.join(format!("{name}.kubeconfig"));
    std::fs::write(&kubeconfig, account.to_string()).unwrap();
    kubeconfig
}

impl Cluster {
    fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = vec![("TORTIE_STORE", text(&directory.path().join("tortie.db")))];
        Self { directory, server: Server::None, controllers: store.clone(), user: store }
    }

    fn etcd() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (client, peer) = (format!("http://127.0.0.1:{}", free()), format!("http://127.0.0.1:{}", free()));
        let etcd = Command::new("etcd")
            .arg(format!("--data-dir={}", text(&directory.path().join("etcd"))))
            .args([format!("--listen-client-urls={client}"), format!("--advertise-client-urls={client}")])
            .args([format!("--listen-peer-urls={peer}"), format!("--initial-advertise-peer-urls={peer}")])
            .arg(format!("--initial-cluster=default={peer}"))
            .args(["--unsafe-no-fsync", "--log-level=error"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let store = vec![("DATASTORE_TYPE", "etcdv3".to_owned()), ("ETCD_ENDPOINTS", client)];
        let cluster = Self { directory, server: Server::Etcd(Process(etcd)), controllers: store.clone(), user: store };
        until("etcd answers", || cluster.tortie(&["get", "tiers"]).is_ok());
        cluster
    }

    /// The user is the administrator; the controllers have the account that is shipped.
    fn kubernetes(definitions: &str) -> Self {
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/kubernetes");
        let server = ApiServer::start();
        server.kubectl(&["create", "-f", &text(&packaging.join(definitions))], "");
        server.wait_for_definitions();
        server.kubectl(&["create", "-f", &text(&packaging.join("controllers-rbac.yaml"))], "");
        // A server without nodes runs no pods, but it knows whether it could.
        server.kubectl(&["create", "--dry-run=server", "-f", &text(&packaging.join("controllers.yaml"))], "");
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = account(&server, "tortie-controllers", directory.path());
        let store =
            |kubeconfig: &Path| vec![("DATASTORE_TYPE", "kubernetes".to_owned()), ("KUBECONFIG", text(kubeconfig))];
        let (controllers, user) = (store(&kubeconfig), store(&server.kubeconfig(ADMIN)));
        Self { directory, server: Server::Kubernetes(Box::new(server)), controllers, user }
    }

    fn command(&self, store: &[(&'static str, String)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
        for name in [
            "TORTIE_STORE",
            "DATASTORE_TYPE",
            "ETCD_ENDPOINTS",
            "KUBECONFIG",
            "ENABLED_CONTROLLERS",
            "SYNC_NODE_LABELS",
        ] {
            command.env_remove(name);
        }
        command.env("TORTIE_RUN", self.directory.path()).env("TORTIE_STATE", self.directory.path());
        command.envs(store.iter().map(|(name, value)| (*name, value.as_str())));
        command
    }

    /// What a command of the user prints, or why it failed.
    fn tortie(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(&self.user).args(arguments).output().unwrap();
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
        if output.status.success() { Ok(out) } else { Err(err) }
    }

    fn apply(&self, object: &Value) {
        let file = self.directory.path().join("object.json");
        std::fs::write(&file, object.to_string()).unwrap();
        self.tortie(&["apply", "-f", &text(&file)]).unwrap();
    }

    /// Starts controllers whose log is in a file.
    fn controllers(&self, name: &str, more: &[&str]) -> (Process, Log) {
        let log = self.directory.path().join(format!("{name}.log"));
        let child = self
            .command(&self.controllers)
            .args(["controllers", "--log-format", "json"])
            .args(more)
            .stderr(File::create(&log).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        (Process(child), Log(log))
    }

    /// Says which host endpoints there are to be.
    fn configure(&self, host_endpoint: &Value) {
        self.apply(&json!({ "apiVersion": "projectcalico.org/v3", "kind": "KubeControllersConfiguration",
            "metadata": { "name": "default" }, "spec": { "controllers": { "node": { "hostEndpoint": host_endpoint } } } }));
    }

    /// Makes a node, or changes its label.
    fn node(&self, name: &str, zone: &str, address: &str) {
        match &self.server {
            Server::Kubernetes(server) => {
                let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": { "zone": zone } } });
                server.kubectl(&["apply", "-f", "-"], &node.to_string());
                let status = json!({ "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
                server.kubectl(&["patch", "node", name, "--subresource=status", "-p", &status.to_string()], "");
            }
            _ => self.apply(&json!({ "apiVersion": "projectcalico.org/v3", "kind": "Node",
                "metadata": { "name": name, "labels": { "zone": zone } },
                "spec": { "addresses": [{ "address": address, "type": "InternalIP" }] } })),
        }
    }

    fn remove_node(&self, name: &str) {
        match &self.server {
            Server::Kubernetes(server) => drop(server.kubectl(&["delete", "node", name], "")),
            _ => drop(self.tortie(&["delete", "node", name]).unwrap()),
        }
    }

    fn endpoint(&self, name: &str) -> Option<Value> {
        let text = self.tortie(&["get", "hostendpoint", name, "-o", "json"]).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn zone(&self, name: &str) -> Option<String> {
        Some(self.endpoint(name)?["metadata"]["labels"]["zone"].as_str()?.to_owned())
    }
}

/// The log of a process.
struct Log(PathBuf);

impl Log {
    fn has(&self, event: &str) -> bool {
        self.text().contains(&format!("\"event\":\"{event}\""))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn enabled() -> Value {
    json!({ "autoCreate": "Enabled" })
}

/// What holds with every store.
fn follows_nodes(cluster: &Cluster) {
    cluster.apply(&json!({ "apiVersion": "projectcalico.org/v3", "kind": "HostEndpoint",
        "metadata": { "name": "n2-auto-hep", "labels": { "mine": "yes" } }, "spec": { "node": "n2", "interfaceName": "eth0" } }));
    cluster.node("n1", "a", "192.0.2.1");
    let (_running, log) = cluster.controllers("one", &[]);
    until("it is the leader", || log.has("leader-gained"));
    cluster.node("n2", "a", "192.0.2.2");
    assert!(
        cluster.endpoint("n1-auto-hep").is_none(),
        "automatic host endpoints are off unless somebody asks for them"
    );
    cluster.configure(&enabled());
    until("the node has its endpoint", || cluster.zone("n1-auto-hep").as_deref() == Some("a"));
    let made = cluster.endpoint("n1-auto-hep").unwrap();
    assert_eq!(made["metadata"]["labels"]["projectcalico.org/created-by"], "calico-kube-controllers");
    let spec = json!({ "node": "n1", "interfaceName": "*", "expectedIPs": ["192.0.2.1"], "profiles": ["projectcalico-default-allow"] });
    assert_eq!(made["spec"], spec);
    // Somebody else's endpoint of that name stays, and that is said.
    until("it is said", || log.text().contains("HostEndpoint(n2-auto-hep): somebody else made it"));
    assert_eq!(cluster.endpoint("n2-auto-hep").unwrap()["metadata"]["labels"], json!({ "mine": "yes" }));
    // A label of the node, an edit, a deletion.
    cluster.node("n1", "b", "192.0.2.1");
    until("the label follows", || cluster.zone("n1-auto-hep").as_deref() == Some("b"));
    cluster.tortie(&["label", "hostendpoint", "n1-auto-hep", "zone=edited", "--overwrite"]).unwrap();
    until("the edit is reverted", || cluster.zone("n1-auto-hep").as_deref() == Some("b"));
    let uid = |name: &str| cluster.endpoint(name).map(|it| it["metadata"]["uid"].clone());
    assert_eq!(uid("n1-auto-hep"), Some(made["metadata"]["uid"].clone()), "it is the same object");
    cluster.tortie(&["delete", "hostendpoint", "n1-auto-hep"]).unwrap();
    until("it is made anew", || cluster.zone("n1-auto-hep").as_deref() == Some("b"));
    // Another kind of endpoint, and none; the node itself.
    cluster.configure(&json!({ "autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled",
        "templates": [{ "generateName": "t", "interfaceCIDRs": ["192.0.2.0/24"], "nodeSelector": "zone == 'b'" }] }));
    until("the template's is there", || cluster.zone("n1-t-auto-hep").is_some());
    until("the default is gone", || cluster.endpoint("n1-auto-hep").is_none());
    cluster.remove_node("n1");
    until("it goes with its node", || cluster.endpoint("n1-t-auto-hep").is_none());
    cluster.node("n3", "b", "192.0.2.3");
    until("a new node has one", || cluster.zone("n3-t-auto-hep").is_some());
    cluster.configure(&json!({ "autoCreate": "Disabled" }));
    until("none is left", || cluster.endpoint("n3-t-auto-hep").is_none());
    assert!(cluster.endpoint("n2-auto-hep").is_some());
    assert!(!log.has("host-endpoints-failed"), "{}", log.text());
}

/// What holds with every store.
fn one_of_two_writes(cluster: &Cluster) {
    cluster.configure(&enabled());
    let lease = format!("{}s", LEASE.as_secs());
    let (first, one) = cluster.controllers("one", &["--lease", &lease]);
    until("the first is the leader", || one.has("leader-gained"));
    let (second, two) = cluster.controllers("two", &["--lease", &lease]);
    until("the second waits", || two.has("leader-other"));
    cluster.node("n1", "a", "192.0.2.1");
    until("the node has its endpoint", || cluster.endpoint("n1-auto-hep").is_some());
    assert!(one.has("host-endpoints-written") && !two.has("host-endpoints-written"));
    first.signal(Signal::KILL);
    let killed = Instant::now();
    until("the second takes over", || two.has("leader-gained"));
    let took = killed.elapsed();
    // The lease, the time between two looks at it, and time for a loaded machine.
    assert!(took < LEASE * 3, "{took:?}");
    cluster.node("n2", "a", "192.0.2.2");
    until("the next node has its endpoint", || cluster.endpoint("n2-auto-hep").is_some());
    // A leader that is told to end gives the lease up: nobody waits for an hour.
    let (third, three) = cluster.controllers("three", &["--lease", "1h"]);
    until("the third waits", || three.has("leader-other"));
    second.signal(Signal::TERM);
    until("the third takes over", || three.has("leader-gained"));
    let (_fourth, four) = cluster.controllers("four", &["--lease", &lease]);
    until("the fourth waits", || four.has("leader-other"));
    third.signal(Signal::TERM);
    until("the fourth takes over", || four.has("leader-gained"));
}

#[test]
fn host_endpoints_follow_nodes_in_the_embedded_store() {
    follows_nodes(&Cluster::embedded());
}

#[test]
fn host_endpoints_follow_nodes_in_etcd() {
    follows_nodes(&Cluster::etcd());
}

#[test]
fn host_endpoints_follow_nodes_of_kubernetes_with_the_shipped_role_and_nothing_of_it_is_unused() {
    let cluster = Cluster::kubernetes("projectcalico.org.yaml");
    follows_nodes(&cluster);
    let Server::Kubernetes(server) = &cluster.server else { panic!("the store is Kubernetes") };
    // A lease is renewed only some seconds after it was gained.
    let (_running, _log) = cluster.controllers("running", &[]);
    until("the lease is renewed", || {
        server.used_by("tortie-controllers").contains("update leases.coordination.k8s.io")
    });
    assert_all_is_used(server, "tortie-controllers", "controllers-rbac.yaml");
}

/// Asserts that an account has used each permission of its shipped role, of the installed group.
fn assert_all_is_used(server: &ApiServer, account: &str, manifest: &str) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/kubernetes").join(manifest);
    let mut granted = server.granted_by(&text(&manifest), account);
    granted.retain(|permission| !permission.ends_with(".crd.projectcalico.org"));
    assert!(granted.len() > 3, "{granted:?}");
    // What it used is in the role, or it would have been refused.
    let used = server.used_by(account);
    let unused: Vec<_> = granted.difference(&used).collect();
    assert!(unused.is_empty(), "{account} has these permissions for nothing: {unused:?}");
}

#[test]
fn host_endpoints_follow_nodes_of_kubernetes_in_the_packed_group() {
    follows_nodes(&Cluster::kubernetes("crd.projectcalico.org.yaml"));
}

#[test]
fn rights_that_running_controllers_lose_are_named_and_nothing_is_deleted_until_they_are_granted_again() {
    let mut cluster = Cluster::kubernetes("projectcalico.org.yaml");
    cluster.configure(&enabled());
    cluster.node("n1", "a", "192.0.2.1");
    cluster.node("n2", "a", "192.0.2.2");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_running, log) = cluster.controllers("one", &["--listen", &format!("127.0.0.1:{port}")]);
    until("the nodes have their endpoints", || {
        cluster.endpoint("n1-auto-hep").is_some() && cluster.endpoint("n2-auto-hep").is_some()
    });
    // Replaces a part of the rule about a resource.
    let may = |cluster: &mut Cluster, resource: &str, part: &str, value: Value| {
        let Server::Kubernetes(server) = &mut cluster.server else { unreachable!() };
        let role = server.kubectl(&["get", "clusterrole", "tortie-controllers", "-o", "json"], "");
        let role: Value = serde_json::from_str(&role).unwrap();
        let at = role["rules"].as_array().unwrap().iter().position(|rule| rule["resources"][0] == resource).unwrap();
        let patch = json!([{ "op": "replace", "path": format!("/rules/{at}/{part}"), "value": value }]);
        server.kubectl(&["patch", "clusterrole", "tortie-controllers", "--type=json", "-p", &patch.to_string()], "");
    };
    let restart = |cluster: &mut Cluster| {
        let Server::Kubernetes(server) = &mut cluster.server else { unreachable!() };
        server.restart();
    };
    let rule = |group: &str, resource: &str, verb: &str| {
        format!(
            "(a ClusterRole grants it by the rule {{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]}})"
        )
    };
    // A right to write.
    may(&mut cluster, "hostendpoints", "verbs", json!(["get", "list", "watch", "update", "delete"]));
    cluster.node("n3", "a", "192.0.2.3");
    let missing = rule("projectcalico.org", "hostendpoints", "create");
    until("it is not ready", || copies::readiness(port).contains(&missing));
    assert!(log.has("host-endpoints-failed") && cluster.endpoint("n3-auto-hep").is_none(), "{}", log.text());
    may(&mut cluster, "hostendpoints", "verbs", json!(["get", "list", "watch", "create", "update", "delete"]));
    until("the node has its endpoint", || cluster.endpoint("n3-auto-hep").is_some());
    until("it is ready", || copies::readiness(port).contains("ready; this process is the leader"));
    // A right to read, of which a server takes notice when a watch begins.
    may(&mut cluster, "nodes", "resources", json!(["none"]));
    restart(&mut cluster);
    let missing = rule("", "nodes", "watch");
    until("it is not ready", || copies::readiness(port).contains(&missing));
    assert!(log.has("store-lost"), "{}", log.text());
    cluster.remove_node("n1");
    cluster.tortie(&["delete", "hostendpoint", "n2-auto-hep"]).unwrap();
    until("it is not ready", || copies::readiness(port).contains(&missing));
    assert!(cluster.endpoint("n1-auto-hep").is_some() && cluster.endpoint("n2-auto-hep").is_none());
    may(&mut cluster, "none", "resources", json!(["nodes"]));
    until("the endpoint goes with its node", || cluster.endpoint("n1-auto-hep").is_none());
    until("the deleted one is made anew", || cluster.endpoint("n2-auto-hep").is_some());
    until("it is ready", || copies::readiness(port).contains("ready; this process is the leader"));
}

#[test]
fn one_of_two_controllers_writes_and_the_other_takes_over_beside_the_embedded_store() {
    one_of_two_writes(&Cluster::embedded());
}

#[test]
fn one_of_two_controllers_writes_and_the_other_takes_over_in_etcd() {
    one_of_two_writes(&Cluster::etcd());
}

#[test]
fn one_of_two_controllers_writes_and_the_other_takes_over_in_kubernetes() {
    one_of_two_writes(&Cluster::kubernetes("projectcalico.org.yaml"));
}
