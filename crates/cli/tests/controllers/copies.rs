//! Copies of a real cluster's namespaces, service accounts, NetworkPolicies and labels of pods and nodes in etcd and in the embedded store. The account
//! in the cluster has only what is shipped.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::*;

/// A cluster, and the kubeconfig of the account that copies it.
struct Source {
    server: ApiServer,
    kubeconfig: String,
}

impl Source {
    fn start(cluster: &Cluster) -> Self {
        let server = ApiServer::start();
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/kubernetes");
        server.kubectl(&["create", "-f", &text(&packaging.join("copies-rbac.yaml"))], "");
        let kubeconfig = text(&account(&server, "tortie-copies", cluster.directory.path()));
        Self { server, kubeconfig }
    }

    fn create(&self, objects: &[Value]) {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        self.server.kubectl(&["create", "-f", "-"], &list.to_string());
    }

    fn apply(&self, object: &Value) {
        self.server.kubectl(&["apply", "-f", "-"], &object.to_string());
    }

    fn delete(&self, kind: &str, name: &str) {
        self.server.kubectl(&["-n", "shop", "delete", kind, name], "");
    }

    /// From now on the account that copies may list and watch these resources, and NetworkPolicies.
    fn may_read(&self, resources: &[&str]) {
        let patch = json!([{ "op": "replace", "path": "/rules/0/resources", "value": resources }]);
        self.server.kubectl(&["patch", "clusterrole", "tortie-copies", "--type=json", "-p", &patch.to_string()], "");
    }

    /// From now on the account may do what is shipped.
    fn may_read_what_is_shipped(&self) {
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/kubernetes");
        self.server.kubectl(&["replace", "-f", &text(&packaging.join("copies-rbac.yaml"))], "");
    }

    /// Deletes a namespace, which without controllers nobody else ends.
    fn end_namespace(&self, name: &str) {
        self.server.kubectl(&["delete", "namespace", name, "--wait=false"], "");
        let left = self.server.kubectl(&["get", "namespace", name, "-o", "json"], "");
        let mut left: Value = serde_json::from_str(&left).unwrap();
        left["spec"]["finalizers"] = json!([]);
        let path = format!("/api/v1/namespaces/{name}/finalize");
        self.server.kubectl(&["replace", "--raw", &path, "-f", "-"], &left.to_string());
    }
}

fn namespace(name: &str, zone: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { "zone": zone } } })
}

fn service_account(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name, "namespace": "shop" } })
}

fn policy(name: &str, port: u16) -> Value {
    json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "podSelector": { "matchLabels": { "app": "db" } }, "ingress": [{ "ports": [{ "port": port }] }] } })
}

impl Cluster {
    fn spec(&self, kind: &str, name: &str) -> Option<Value> {
        let text = self.tortie(&["get", kind, name, "-n", "shop", "-o", "json"]).ok()?;
        Some(serde_json::from_str::<Value>(&text).unwrap()["spec"].clone())
    }

    fn profile(&self, name: &str) -> Option<Value> {
        let text = self.tortie(&["get", "profile", name, "-o", "json"]).ok()?;
        Some(serde_json::from_str::<Value>(&text).unwrap()["spec"].clone())
    }

    /// The port that the copy of a policy lets in.
    fn port(&self, name: &str) -> Option<u64> {
        self.spec("networkpolicy", name)?["ingress"][0]["destination"]["ports"][0].as_u64()
    }

    /// What etcdctl prints, where the store is etcd.
    fn etcdctl(&self, arguments: &[&str]) -> Option<String> {
        let (_, endpoints) = self.user.iter().find(|(name, _)| *name == "ETCD_ENDPOINTS")?;
        let output = Command::new("etcdctl").args(["--endpoints", endpoints]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Some(String::from_utf8(output.stdout).unwrap())
    }

    /// Objects of others: a profile and a policy whose names are nearly those of copies.
    fn others(&self) -> [Value; 2] {
        [self.profile("kns").unwrap(), self.spec("networkpolicy", "knp").unwrap()]
    }

    /// Waits for two passes of the controllers, of which one makes a host endpoint and another deletes it.
    fn passes_go_on(&self) {
        self.configure(&enabled());
        self.node("n1", "a", "192.0.2.1");
        until("the node has its endpoint", || self.endpoint("n1-auto-hep").is_some());
        self.tortie(&["delete", "kubecontrollersconfiguration", "default"]).unwrap();
        until("the endpoint is deleted", || self.endpoint("n1-auto-hep").is_none());
    }

    fn make_others(&self) {
        self.apply(&json!({ "apiVersion": "projectcalico.org/v3", "kind": "Profile", "metadata": { "name": "kns" },
            "spec": { "egress": [{ "action": "Deny" }] } }));
        self.apply(&json!({ "apiVersion": "projectcalico.org/v3", "kind": "NetworkPolicy",
            "metadata": { "name": "knp", "namespace": "shop" }, "spec": { "selector": "all()", "types": ["Egress"] } }));
    }
}

const KEY: &str = "/calico/resources/v3/projectcalico.org/networkpolicies/shop/knp.default.db";

/// What holds with every store.
fn follows_kubernetes(cluster: &Cluster) {
    cluster.make_others();
    let others = cluster.others();
    let source = Source::start(cluster);
    source.create(&[namespace("shop", "a"), service_account("web.a"), policy("db", 80)]);
    let (_running, log) = cluster.controllers("one", &["--kubeconfig", &source.kubeconfig]);
    until("the policy is copied", || cluster.port("knp.default.db") == Some(80));
    until("the profiles are copied", || {
        ["kns.shop", "ksa.shop.web.a", "kns.default"].iter().all(|it| cluster.profile(it).is_some())
    });
    let spec = cluster.spec("networkpolicy", "knp.default.db").unwrap();
    assert_eq!((&spec["tier"], &spec["order"]), (&json!("default"), &json!(1000)));
    assert_eq!(spec["selector"], "projectcalico.org/orchestrator == 'k8s' && app == 'db'");
    let profile = cluster.profile("kns.shop").unwrap();
    assert_eq!(
        (&profile["ingress"], &profile["egress"]),
        (&json!([{ "action": "Allow" }]), &json!([{ "action": "Allow" }]))
    );
    let zone = || cluster.profile("kns.shop").map(|spec| spec["labelsToApply"]["pcns.zone"].clone());
    assert_eq!(zone(), Some(json!("a")));
    // Changes in Kubernetes.
    source.apply(&policy("db", 81));
    until("the policy follows", || cluster.port("knp.default.db") == Some(81));
    source.apply(&namespace("shop", "b"));
    until("the label follows", || zone() == Some(json!("b")));
    // Changes in the store.
    cluster.tortie(&["delete", "profile", "kns.shop"]).unwrap();
    until("the profile is made anew", || zone() == Some(json!("b")));
    if cluster.etcdctl(&["put", KEY, r#"{"spec":{"selector":"all()","egress":[{"action":"Allow"}]}}"#]).is_some() {
        until("the edit is reverted", || cluster.port("knp.default.db") == Some(81));
        cluster.etcdctl(&["put", KEY, "{"]);
        until("the damage is repaired", || cluster.port("knp.default.db") == Some(81));
        cluster.etcdctl(&["del", KEY]);
        until("the policy is made anew", || cluster.port("knp.default.db") == Some(81));
    }
    // The configuration names what is copied; what it does not name stays as it is.
    cluster.configure(&enabled());
    until("it is said", || log.text().contains("copied of Kubernetes: labels of nodes\""));
    source.delete("serviceaccount", "web.a");
    source.delete("networkpolicy", "db");
    cluster.apply(&json!({ "apiVersion": "projectcalico.org/v3", "kind": "KubeControllersConfiguration",
        "metadata": { "name": "default" }, "spec": { "controllers": { "serviceAccount": {} } } }));
    until("the account's profile is deleted", || cluster.profile("ksa.shop.web.a").is_none());
    assert_eq!(cluster.port("knp.default.db"), Some(81), "nobody copies policies now");
    cluster.tortie(&["delete", "kubecontrollersconfiguration", "default"]).unwrap();
    until("the policy is deleted", || cluster.port("knp.default.db").is_none());
    assert!(cluster.profile("kns.shop").is_some());
    source.end_namespace("shop");
    until("the namespace's profile is deleted", || cluster.profile("kns.shop").is_none());
    assert!(cluster.profile("kns.default").is_some());
    assert_eq!(cluster.others(), others);
    assert!(!log.has("copies-failed"), "{}", log.text());
    // The longest name in Kubernetes.
    let longest = "n".repeat(253);
    source.apply(&namespace("shop", "a"));
    source.apply(&policy(&longest, 80));
    until("the policy is copied", || cluster.port(&format!("knp.default.{longest}")) == Some(80));
    assert!(!log.has("copy-problem"), "{}", log.text());
    assert_all_is_used(&source.server, "tortie-copies", "copies-rbac.yaml");
}

#[test]
fn copies_follow_kubernetes_in_etcd_with_the_shipped_role() {
    follows_kubernetes(&Cluster::etcd());
}

#[test]
fn copies_follow_kubernetes_in_the_embedded_store_with_the_shipped_role() {
    follows_kubernetes(&Cluster::embedded());
}

/// A policy of which etcd does not take the copy, in which each of many rules has many ports.
fn large_policy(peers: usize) -> Value {
    let from: Vec<Value> =
        (0..peers).map(|n| json!({ "ipBlock": { "cidr": format!("10.{}.{}.0/24", n / 256, n % 256) } })).collect();
    let ports: Vec<Value> = (0..100).map(|n| json!({ "port": 10_000 + 2 * n })).collect();
    let mut large = policy("large", 80);
    large["spec"]["ingress"] = json!([{ "from": from, "ports": ports }]);
    large
}

#[test]
fn a_policy_too_large_for_etcd_closes_what_it_selects_and_the_others_are_copied() {
    let cluster = Cluster::etcd();
    let source = Source::start(&cluster);
    let policies: Vec<Value> = (0..60).map(|number| policy(&format!("p{number}"), 80)).collect();
    source.create(&[namespace("shop", "a"), large_policy(2500)]);
    source.create(&policies);
    let (_running, log) = cluster.controllers("one", &["--kubeconfig", &source.kubeconfig]);
    let stand_in = json!({ "tier": "default", "order": 1000, "types": ["Ingress"],
        "selector": "projectcalico.org/orchestrator == 'k8s' && app == 'db'" });
    until("it closes", || cluster.spec("networkpolicy", "knp.default.large") == Some(stand_in.clone()));
    until("the namespace is open otherwise", || cluster.profile("kns.shop").is_some());
    assert!((0..60).all(|number| cluster.port(&format!("knp.default.p{number}")) == Some(80)));
    assert!(log.text().contains("NetworkPolicy(shop/knp.default.large): the store refuses it"), "{}", log.text());
    assert!(log.text().contains("networkpolicy shop/large: the store did not take its copy"), "{}", log.text());
    source.apply(&large_policy(10));
    until("it is copied", || cluster.port("knp.default.large") == Some(10_000));
    until("it is solved", || log.has("copy-solved"));
}

#[test]
fn workload_endpoints_follow_the_labels_of_their_pods() {
    let cluster = Cluster::etcd();
    let source = Source::start(&cluster);
    let pod = |app: &str| {
        json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "web", "namespace": "shop", "labels": { "app": app } },
            "spec": { "nodeName": "n1", "serviceAccountName": "web", "containers": [{ "name": "a", "image": "a" }] } })
    };
    source.create(&[namespace("shop", "a"), service_account("web"), pod("old"), policy("db", 80)]);
    cluster.apply(&json!({ "apiVersion": "projectcalico.org/v3", "kind": "WorkloadEndpoint",
        "metadata": { "name": "n1-k8s-web-eth0", "namespace": "shop",
            "labels": { "app": "old", "projectcalico.org/serviceaccount": "web" } },
        "spec": { "orchestrator": "k8s", "node": "n1", "pod": "web", "endpoint": "eth0", "interfaceName": "cali1",
            "ipNetworks": ["192.0.2.1/32"], "profiles": ["kns.shop", "ksa.shop.web"] } }));
    let endpoint = || -> Value {
        let text = cluster.tortie(&["get", "workloadendpoint", "n1-k8s-web-eth0", "-n", "shop", "-o", "json"]).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let before = endpoint();
    // An account that may not list pods copies the rest.
    source.may_read(&["namespaces", "nodes", "serviceaccounts"]);
    let (_running, log) = cluster.controllers("one", &["--kubeconfig", &source.kubeconfig]);
    until("the policy is copied", || cluster.port("knp.default.db") == Some(80));
    until("pods cannot be listed", || {
        log.text().contains("pods cannot be followed, so the labels of workload endpoints")
    });
    source.apply(&pod("new"));
    source.may_read(&["namespaces", "nodes", "pods", "serviceaccounts"]);
    until("the label follows", || endpoint()["metadata"]["labels"]["app"] == "new");
    let mut expected = before;
    expected["metadata"]["labels"]["app"] = json!("new");
    expected["metadata"]["resourceVersion"] = endpoint()["metadata"]["resourceVersion"].clone();
    assert_eq!(endpoint(), expected);
    source.apply(&pod("newer"));
    until("the label follows by the watch", || endpoint()["metadata"]["labels"]["app"] == "newer");
    assert!(log.has("pod-labels-written") && !log.has("pod-labels-failed"), "{}", log.text());
    // The endpoint of a deleted pod is the CNI plugin's.
    source.server.kubectl(&["-n", "shop", "delete", "pod", "web", "--grace-period=0", "--force"], "");
    source.apply(&policy("db", 81));
    until("the policy follows", || cluster.port("knp.default.db") == Some(81));
    assert_eq!(endpoint()["metadata"]["labels"]["app"], "newer");
}

#[test]
fn nodes_and_their_host_endpoints_follow_the_labels_that_the_nodes_have_in_kubernetes() {
    let cluster = Cluster::etcd();
    let source = Source::start(&cluster);
    let label = |label: &str| drop(source.server.kubectl(&["label", "node", "n1", label, "--overwrite"], ""));
    source.create(&[
        json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1", "labels": { "zone": "a" } } }),
        namespace("shop", "a"),
        policy("db", 80),
    ]);
    let node = |name: &str, refs: Value| {
        json!({ "apiVersion": "projectcalico.org/v3", "kind": "Node", "metadata": { "name": name, "labels": { "mine": "yes" } },
            "spec": { "orchRefs": refs, "addresses": [{ "address": "192.0.2.1", "type": "InternalIP" }] } })
    };
    cluster.apply(&node("one", json!([{ "orchestrator": "k8s", "nodeName": "n1" }])));
    // It has the name of a node in Kubernetes, and is another.
    cluster.apply(&node("n1", json!([])));
    let shown = |kind: &str, name: &str| -> Value {
        let text = cluster.tortie(&["get", kind, name, "-o", "json"]).unwrap_or_else(|_| "{}".to_owned());
        serde_json::from_str(&text).unwrap()
    };
    let zone = |kind: &str, name: &str| shown(kind, name)["metadata"]["labels"]["zone"].clone();
    let other = shown("node", "n1");
    let configure = |sync: &str| {
        cluster.apply(&json!({ "apiVersion": "projectcalico.org/v3", "kind": "KubeControllersConfiguration",
            "metadata": { "name": "default" },
            "spec": { "controllers": { "policy": {}, "node": { "syncLabels": sync, "hostEndpoint": enabled() } } } }));
    };
    configure("Enabled");
    // An account that may not list nodes copies the rest.
    source.may_read(&["namespaces", "pods", "serviceaccounts"]);
    let (_running, log) = cluster.controllers("one", &["--kubeconfig", &source.kubeconfig]);
    until("the policy is copied", || cluster.port("knp.default.db") == Some(80));
    until("nodes cannot be listed", || {
        log.text().contains("nodes of Kubernetes cannot be followed, so the labels of nodes")
    });
    source.may_read_what_is_shipped();
    until("the host endpoint has the label", || zone("hostendpoint", "one-auto-hep") == "a");
    assert_eq!(shown("hostendpoint", "one-auto-hep")["metadata"]["labels"]["mine"], "yes");
    label("zone=b");
    until("the host endpoint follows", || zone("hostendpoint", "one-auto-hep") == "b");
    let noted = || shown("node", "one")["metadata"]["annotations"]["projectcalico.org/kube-labels"].clone();
    assert_eq!(noted(), r#"{"zone":"b"}"#);
    cluster.tortie(&["label", "node", "one", "zone=edited", "--overwrite"]).unwrap();
    until("the edit is reverted", || zone("node", "one") == "b");
    label("zone-");
    until("the label is removed", || zone("hostendpoint", "one-auto-hep") == Value::Null);
    assert_eq!((&shown("node", "one")["metadata"]["labels"], noted()), (&json!({ "mine": "yes" }), json!("null")));
    // The configuration says whether they follow.
    configure("Disabled");
    until("it is said", || log.text().contains("copied of Kubernetes: NetworkPolicies\""));
    label("zone=c");
    source.apply(&policy("db", 81));
    until("the policy follows", || cluster.port("knp.default.db") == Some(81));
    assert_eq!(zone("node", "one"), Value::Null);
    configure("Enabled");
    until("the label follows again", || zone("hostendpoint", "one-auto-hep") == "c");
    // A node that is gone in Kubernetes stays, with its labels and its host endpoint.
    source.server.kubectl(&["delete", "node", "n1"], "");
    source.apply(&policy("db", 82));
    until("the policy follows", || cluster.port("knp.default.db") == Some(82));
    assert_eq!((zone("node", "one"), zone("hostendpoint", "one-auto-hep")), (json!("c"), json!("c")));
    assert_eq!(shown("node", "n1"), other);
    assert!(log.has("node-labels-written") && !log.has("node-labels-failed"), "{}", log.text());
}

/// What `/readiness` answers.
pub(super) fn readiness(port: u16) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
        let asked = stream.write_all(b"GET /readiness HTTP/1.1\r\nHost: tortie\r\nConnection: close\r\n\r\n");
        let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
    }
    answer
}

#[test]
fn an_etcd_user_who_may_not_write_copies_nothing_and_is_named_until_it_may() {
    let mut cluster = Cluster::etcd();
    let source = Source::start(&cluster);
    source.create(&[namespace("shop", "a"), policy("db", 80)]);
    let words = [
        "user add root:secret",
        "user grant-role root root",
        "role add copies",
        "role grant-permission copies read --prefix=true /calico/",
        "user add copies:secret",
        "user grant-role copies copies",
        "auth enable",
    ];
    let ctl = |cluster: &Cluster, words: &str| drop(cluster.etcdctl(&words.split(' ').collect::<Vec<_>>()));
    words.iter().for_each(|words| ctl(&cluster, words));
    let as_user = |name: &str| [("ETCD_USERNAME", name.to_owned()), ("ETCD_PASSWORD", "secret".to_owned())];
    cluster.user.extend(as_user("root"));
    cluster.controllers.extend(as_user("copies"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let (_running, log) = cluster.controllers("one", &["--kubeconfig", &source.kubeconfig, "--listen", &listen]);
    until("the lease is refused", || log.has("lease-failed"));
    let text = "not ready: the lease tortie-controllers can neither be taken nor renewed: etcd at";
    until("it is not ready", || readiness(port).contains(text));
    let grant = |prefix: &str| {
        ctl(&cluster, &format!("--user=root:secret role grant-permission copies readwrite --prefix=true {prefix}"))
    };
    grant("/calico/tortie/leases/");
    until("a copy is refused", || log.has("copies-failed"));
    until("it is not ready", || readiness(port).contains("not ready: a write failed and is tried again:"));
    assert!(log.text().contains("does not let this user write"), "{}", log.text());
    assert!(cluster.port("knp.default.db").is_none() && cluster.profile("kns.shop").is_none());
    // Policies alone: the namespace stays closed.
    grant("/calico/resources/v3/projectcalico.org/tiers/");
    grant("/calico/resources/v3/projectcalico.org/clusterinformations/");
    grant("/calico/resources/v3/projectcalico.org/networkpolicies/");
    until("the policy is copied", || cluster.port("knp.default.db") == Some(80));
    assert!(cluster.profile("kns.shop").is_none());
    grant("/calico/");
    until("the profile is copied", || cluster.profile("kns.shop").is_some());
    until("it is ready", || readiness(port).contains("ready; this process is the leader"));
}

/// The versions in etcd of all policies and profiles: at which revision each was created, and how often it was written since.
fn versions(cluster: &Cluster) -> BTreeMap<String, (u64, u64)> {
    let all = |kind: &str| {
        let prefix = format!("/calico/resources/v3/projectcalico.org/{kind}/");
        let text = cluster.etcdctl(&["get", "--prefix", &prefix, "-w", "json"]).unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        let number = |kv: &Value, field: &str| kv[field].as_u64().unwrap();
        let one = |kv: &Value| {
            (kv["key"].as_str().unwrap().to_owned(), (number(kv, "create_revision"), number(kv, "version")))
        };
        found["kvs"].as_array().into_iter().flatten().map(one).collect::<Vec<_>>()
    };
    all("networkpolicies").into_iter().chain(all("profiles")).collect()
}

#[test]
fn one_change_is_one_write_by_one_process_and_a_restart_is_none() {
    let cluster = Cluster::etcd();
    let source = Source::start(&cluster);
    source.create(&[namespace("shop", "a"), service_account("web"), policy("db", 80), policy("web", 80)]);
    let lease = format!("{}s", LEASE.as_secs());
    let arguments = ["--kubeconfig", &source.kubeconfig, "--lease", &lease];
    let (first, one) = cluster.controllers("one", &arguments);
    until("the first is the leader", || one.has("leader-gained"));
    let (second, two) = cluster.controllers("two", &arguments);
    until("the second waits", || two.has("leader-other"));
    until("all is copied", || cluster.profile("kns.shop").is_some() && cluster.profile("ksa.shop.web").is_some());
    let before = versions(&cluster);
    assert!(before.len() >= 5 && before.values().all(|(_, version)| *version == 1), "{before:?}");
    let changed = |since: &BTreeMap<String, (u64, u64)>| -> Vec<u64> {
        let now = versions(&cluster);
        assert_eq!(now.keys().collect::<Vec<_>>(), since.keys().collect::<Vec<_>>());
        now.iter()
            .filter(|(key, it)| since[*key] != **it)
            .map(|(key, it)| {
                assert_eq!(it.0, since[key].0, "it was never deleted");
                it.1
            })
            .collect()
    };
    source.apply(&policy("db", 81));
    until("the policy follows", || cluster.port("knp.default.db") == Some(81));
    assert_eq!(changed(&before), [2]);
    first.signal(Signal::KILL);
    drop(first);
    source.apply(&policy("db", 82));
    until("the second is the leader", || two.has("leader-gained"));
    until("the policy follows", || cluster.port("knp.default.db") == Some(82));
    assert_eq!(changed(&before), [3]);
    // Another one begins; the first change that it writes comes after all that it would have written.
    drop(second);
    let (_third, three) = cluster.controllers("three", &arguments);
    until("the third is the leader", || three.has("leader-gained"));
    source.apply(&policy("db", 83));
    until("the policy follows", || cluster.port("knp.default.db") == Some(83));
    assert_eq!(changed(&before), [4]);
}

#[test]
fn while_the_api_server_is_away_copies_are_repaired_and_none_is_deleted() {
    let cluster = Cluster::etcd();
    let mut source = Source::start(&cluster);
    source.create(&[namespace("shop", "a"), policy("db", 80), policy("web", 80)]);
    let (running, log) = cluster.controllers("one", &["--kubeconfig", &source.kubeconfig]);
    until("all is copied", || cluster.port("knp.default.db").is_some() && cluster.port("knp.default.web").is_some());
    until("the profile is copied", || cluster.profile("kns.shop").is_some());
    source.server.kill();
    until("it is lost", || log.has("kubernetes-lost"));
    cluster.etcdctl(&["del", KEY]);
    until("the policy is made anew", || cluster.port("knp.default.db") == Some(80));
    // A process that never saw the server knows of nothing, and so deletes and makes nothing.
    running.signal(Signal::KILL);
    drop(running);
    let (running, log) = cluster.controllers("two", &["--kubeconfig", &source.kubeconfig]);
    until("it cannot be listed", || log.has("kubernetes-lost"));
    until("it is the leader", || log.has("leader-gained"));
    // Host endpoints are made meanwhile, in the same passes.
    cluster.passes_go_on();
    assert!(cluster.port("knp.default.db") == Some(80) && cluster.port("knp.default.web") == Some(80));
    assert!(cluster.profile("kns.shop").is_some());
    source.server.restart();
    source.delete("networkpolicy", "web");
    until("the policy is deleted", || cluster.port("knp.default.web").is_none());
    assert!(cluster.port("knp.default.db") == Some(80) && cluster.profile("kns.shop").is_some());
    // A policy that goes while nobody watches goes with the next list.
    drop(running);
    source.delete("networkpolicy", "db");
    let (_running, _log) = cluster.controllers("three", &["--kubeconfig", &source.kubeconfig]);
    until("the other is deleted", || cluster.port("knp.default.db").is_none());
}

#[test]
fn no_policy_is_deleted_while_policies_may_not_be_listed() {
    let cluster = Cluster::etcd();
    let source = Source::start(&cluster);
    source.create(&[namespace("shop", "a"), service_account("web"), policy("db", 80)]);
    let (running, _) = cluster.controllers("one", &["--kubeconfig", &source.kubeconfig]);
    until("all is copied", || cluster.port("knp.default.db").is_some() && cluster.profile("ksa.shop.web").is_some());
    drop(running);
    let rule = |op: &str, value: Value| {
        let patch = json!([{ "op": op, "path": "/rules/1/verbs", "value": value }]);
        source.server.kubectl(&["patch", "clusterrole", "tortie-copies", "--type=json", "-p", &patch.to_string()], "");
    };
    rule("replace", json!(["watch"]));
    source.delete("networkpolicy", "db");
    source.delete("serviceaccount", "web");
    source.apply(&namespace("new", "a"));
    let (_running, log) = cluster.controllers("two", &["--kubeconfig", &source.kubeconfig]);
    until("it cannot be listed", || log.has("kubernetes-lost"));
    assert!(log.text().contains("networkpolicies"), "{}", log.text());
    until("it is the leader", || log.has("leader-gained"));
    cluster.passes_go_on();
    assert!(cluster.port("knp.default.db").is_some() && cluster.profile("ksa.shop.web").is_some());
    assert!(cluster.profile("kns.new").is_none(), "a namespace whose policies are not known stays closed");
    rule("replace", json!(["list", "watch"]));
    until("both are deleted", || cluster.port("knp.default.db").is_none() && cluster.profile("ksa.shop.web").is_none());
    assert!(cluster.profile("kns.shop").is_some() && cluster.profile("kns.new").is_some());
}

#[test]
fn another_process_ends_what_a_killed_one_began() {
    let cluster = Cluster::etcd();
    cluster.make_others();
    let others = cluster.others();
    let source = Source::start(&cluster);
    let policies: Vec<Value> = (0..400).map(|number| policy(&format!("p{number}"), 80)).collect();
    source.create(&[namespace("shop", "a")]);
    source.create(&policies);
    let count = || -> usize {
        let prefix = KEY.strip_suffix("db").unwrap();
        let found = cluster.etcdctl(&["get", "--prefix", prefix, "--keys-only"]).unwrap();
        found.lines().filter(|line| !line.is_empty()).count()
    };
    let lease = format!("{}s", LEASE.as_secs());
    let arguments = ["--kubeconfig", &source.kubeconfig, "--lease", &lease];
    let (first, one) = cluster.controllers("one", &arguments);
    until("the first is the leader", || one.has("leader-gained"));
    let (_second, two) = cluster.controllers("two", &arguments);
    until("it has begun", || count() > 0);
    first.signal(Signal::KILL);
    drop(first);
    source.delete("networkpolicy", "p0");
    until("the second is the leader", || two.has("leader-gained"));
    until("all is copied", || count() == 399 && cluster.profile("kns.shop").is_some());
    assert!(cluster.port("knp.default.p0").is_none());
    assert_eq!(cluster.others(), others);
}

#[test]
fn what_cannot_be_copied_is_refused_at_the_start() {
    let cluster = Cluster::embedded();
    let refused = |store: &[(&'static str, String)], arguments: &[&str]| {
        let output = cluster.command(store).arg("controllers").args(arguments).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let kubernetes =
        [("DATASTORE_TYPE", "kubernetes".to_owned()), ("K8S_API_ENDPOINT", "https://192.0.2.1".to_owned())];
    let text = refused(&kubernetes, &["--kubeconfig", "x"]);
    assert!(
        text.contains(
            "--kubeconfig is for a store that gets copies, etcd or the embedded store; this one is the Kubernetes at"
        ),
        "{text}"
    );
    let text = refused(&cluster.user, &["--kubeconfig", "/nowhere"]);
    assert!(text.contains("cannot copy from Kubernetes: ") && text.contains("/nowhere"), "{text}");
    let text = refused(&cluster.user, &["--in-cluster"]);
    assert!(text.contains("KUBERNETES_SERVICE_HOST"), "{text}");
    let store = [&cluster.user[..], &[("ENABLED_CONTROLLERS", "node,polices".to_owned())]].concat();
    let text = refused(&store, &[]);
    assert!(text.contains("ENABLED_CONTROLLERS: there is no controller `polices`"), "{text}");
    let store = [&cluster.user[..], &[("SYNC_NODE_LABELS", "yes".to_owned())]].concat();
    let text = refused(&store, &[]);
    assert!(text.contains("SYNC_NODE_LABELS: `yes` is neither true nor false"), "{text}");
}
