//! What a real cluster holds, as a store: pods, namespaces, accounts, policies and nodes; what may be done with them; and
//! what becomes of a watch when the server goes away.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_store::{Event, Operation, Selection, Store, StoreError, Watch, Write, WriteError};
use tortie_store_kube::custom::Group;
use tortie_store_kube::{Credentials, KubeStore, Settings};
use tortie_testkit::kubernetes::{ADMIN, GUEST};

use support::{Cluster, wait_until};

fn pod(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "shop", "labels": { "app": name } },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "i", "ports": [{ "name": "http", "containerPort": 80 }] }] } })
}

fn status(cluster: &Cluster, name: &str, status: Value) {
    let patch = json!({ "status": status }).to_string();
    cluster.kubectl(&["-n", "shop", "patch", "pod", name, "--subresource=status", "--type=merge", "-p", &patch], "");
}

fn running(cluster: &Cluster, name: &str, address: &str) {
    status(cluster, name, json!({ "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] }));
}

fn shop(group: Group) -> Cluster {
    let cluster = Cluster::start(group);
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop", "labels": { "team": "a" } } },
        { "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "web", "namespace": "shop" } },
        { "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n1" } },
        pod("web"), pod("db"),
        { "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "db", "namespace": "shop" },
          "spec": { "podSelector": { "matchLabels": { "app": "db" } } } } ] });
    cluster.kubectl(&["create", "-f", "-"], &list.to_string());
    running(&cluster, "web", "10.65.0.1");
    running(&cluster, "db", "10.65.0.2");
    cluster
}

fn wep(name: &str) -> Key {
    Key::namespaced(Kind::WorkloadEndpoint, "shop", format!("n1-k8s-{name}-eth0"))
}

/// The next change of this key.
fn change(watch: &mut dyn Watch, key: &Key) -> Event {
    wait_until(&format!("a change of {key}"), || {
        watch.next(Duration::from_secs(1)).expect("the watch goes on").filter(|event| event.key() == key)
    })
}

fn json_of(event: &Event) -> Value {
    let Event::Put(stored) = event else { panic!("{event:?} is no put") };
    serde_json::from_slice(&stored.value).expect("JSON")
}

#[test]
fn a_clusters_own_objects_are_listed_got_and_watched_as_calicos() {
    let cluster = shop(Group::Packed);
    let store = cluster.store();
    let listing = store.list(&Selection::default()).expect("a list");
    let has = |key: &Key| listing.items.iter().any(|it| it.key == *key);
    let keys = [
        wep("web"),
        wep("db"),
        Key::cluster(Kind::Profile, "kns.shop"),
        Key::cluster(Kind::Profile, "ksa.shop.web"),
        Key::cluster(Kind::Node, "n1"),
        Key::namespaced(Kind::KubernetesNetworkPolicy, "shop", "db"),
    ];
    for key in &keys {
        assert!(has(key), "{key}");
        let got = store.get(key).expect("a get").expect("it exists");
        assert_eq!(listing.items.iter().find(|it| it.key == *key), Some(&got), "{key}");
    }
    // No name but its own finds a pod's endpoint.
    for name in ["n2-k8s-web-eth0", "n1-k8s-web-eth1", "n1-k8s-", "web"] {
        assert_eq!(store.get(&Key::namespaced(Kind::WorkloadEndpoint, "shop", name)).expect("a get"), None, "{name}");
    }
    let mut watch = store.watch(&Selection::default(), &listing.position).expect("a watch");
    cluster.kubectl(&["-n", "shop", "label", "pod", "web", "tier=front"], "");
    assert_eq!(json_of(&change(&mut *watch, &wep("web")))["metadata"]["labels"]["tier"], "front");
    cluster.kubectl(&["label", "namespace", "shop", "team=b", "--overwrite"], "");
    let profile = json_of(&change(&mut *watch, &keys[2]));
    assert_eq!(profile["spec"]["labelsToApply"]["pcns.team"], "b");
    cluster.kubectl(&["-n", "shop", "delete", "networkpolicy", "db"], "");
    assert!(matches!(change(&mut *watch, &keys[5]), Event::Deleted(..)));
}

#[test]
fn for_enforcement_only_pods_with_addresses_are_listed() {
    let cluster = shop(Group::Packed);
    let store = cluster.store();
    cluster.kubectl(&["create", "-f", "-"], &pod("late").to_string());
    let selection = Selection::for_enforcement("n1");
    let listing = store.list(&selection).expect("a list");
    let has = |key: &Key| listing.items.iter().any(|it| it.key == *key);
    assert!(has(&wep("web")) && !has(&wep("late")));
    let mut watch = store.watch(&selection, &listing.position).expect("a watch");
    running(&cluster, "late", "10.65.0.3");
    assert_eq!(json_of(&change(&mut *watch, &wep("late")))["spec"]["ipNetworks"], json!(["10.65.0.3/32"]));
    // A finished pod has lost its address.
    status(&cluster, "late", json!({ "phase": "Succeeded" }));
    assert!(matches!(change(&mut *watch, &wep("late")), Event::Deleted(..)));
}

#[test]
fn operations_that_a_kind_does_not_allow_are_refused() {
    let cluster = shop(Group::Packed);
    let store = cluster.store();
    for (key, operations) in [
        (wep("web"), &[Operation::Create][..]),
        (Key::cluster(Kind::Profile, "kns.shop"), &[Operation::Create, Operation::Update, Operation::Delete]),
        (Key::cluster(Kind::Node, "n1"), &[Operation::Create, Operation::Delete]),
        (
            Key::namespaced(Kind::KubernetesNetworkPolicy, "shop", "db"),
            &[Operation::Create, Operation::Update, Operation::Delete],
        ),
    ] {
        let stored = store.get(&key).expect("a get").expect("it exists");
        for operation in operations {
            let write = match operation {
                Operation::Create => Write::create(key.clone(), stored.value.to_vec()),
                Operation::Update => Write::update(key.clone(), stored.value.to_vec(), stored.revision.clone()),
                _ => Write::delete(key.clone(), None),
            };
            let answer = store.write(&[write]).expect("an answer").remove(0);
            assert!(
                matches!(&answer, Err(WriteError::Unsupported { operation: refused, .. }) if refused == operation),
                "{answer:?}"
            );
        }
    }
    // To delete a workload endpoint takes the CNI plugin's annotations from its pod, and no more.
    let annotated = ["-n", "shop", "annotate", "pod", "web", "cni.projectcalico.org/podIP=10.65.0.1/32"];
    cluster.kubectl(&annotated, "");
    let old = store.get(&wep("web")).expect("a get").expect("it exists");
    cluster.kubectl(&["-n", "shop", "label", "pod", "web", "x=y"], "");
    let delete = |revision| store.write(&[Write::delete(wep("web"), revision)]).expect("an answer").remove(0);
    assert!(matches!(delete(Some(old.revision)), Err(WriteError::Conflict(_))));
    delete(None).expect("it is done");
    let path = [
        "-n",
        "shop",
        "get",
        "pod",
        "web",
        "-o",
        r"jsonpath={.metadata.annotations.cni\.projectcalico\.org/podIP}|{.status.phase}",
    ];
    assert_eq!(cluster.kubectl(&path, ""), "|Running");
}

/// Updates the object of a key as the function says; what the server has of it then, or why not.
fn update(store: &dyn Store, key: &Key, change: &dyn Fn(&mut Value)) -> Result<Value, String> {
    let now = || store.get(key).expect("a get").expect("it exists");
    let stored = now();
    let mut object: Value = serde_json::from_slice(&stored.value).expect("JSON");
    change(&mut object);
    let write = Write::update(key.clone(), object.to_string().into_bytes(), stored.revision.clone());
    let planned = store.would_take(&write).expect("an answer");
    let answer = store.write(&[write]).expect("an answer").remove(0);
    match (planned, answer) {
        (Ok(()), Ok(written)) => {
            assert_eq!(written.previous, Some(stored));
            let after = now();
            assert_eq!(after.revision, written.revision);
            Ok(serde_json::from_slice(&after.value).expect("JSON"))
        }
        (Err(planned), Err(refused)) => {
            assert_eq!(planned, refused, "a plan says what the write says");
            assert_eq!(now(), stored);
            assert!(matches!(refused, WriteError::Unsupported { operation: Operation::Update, .. }), "{refused:?}");
            Err(refused.to_string())
        }
        (planned, answer) => panic!("the plan says {planned:?}, the write {answer:?}"),
    }
}

#[test]
fn an_update_of_a_workload_endpoint_is_what_the_cni_plugin_notes_in_the_pod_and_nothing_else() {
    let cluster = shop(Group::Native);
    let store = cluster.store();
    cluster.kubectl(&["create", "-f", "-"], &pod("new").to_string());
    let annotation = |name: &str| {
        let path = format!(r"jsonpath={{.metadata.annotations.cni\.projectcalico\.org/{name}}}");
        cluster.kubectl(&["-n", "shop", "get", "pod", "new", "-o", &path], "")
    };
    let set = |path: &'static str, value: Value| {
        move |object: &mut Value| {
            let (record, field) = path.rsplit_once('/').expect("a path");
            object.pointer_mut(record).expect("it is there")[field] = value.clone();
        }
    };
    let update = |key: &Key, path, value| update(&*store, key, &set(path, value));
    let new = wep("new");
    let made = update(&new, "/spec/ipNetworks", json!(["10.65.0.9/32", "fd00::9/128"])).expect("it is written");
    assert_eq!(made["spec"]["ipNetworks"], json!(["10.65.0.9/32", "fd00::9/128"]));
    assert_eq!((annotation("podIP"), annotation("podIPs")), ("10.65.0.9/32".into(), "10.65.0.9/32,fd00::9/128".into()));
    let made = update(&new, "/spec/containerID", json!("abc")).expect("it is written");
    assert_eq!((&made["spec"]["containerID"], annotation("containerID").as_str()), (&json!("abc"), "abc"));
    update(&new, "/spec/containerID", json!("")).expect("it is written");
    let made = update(&new, "/spec/ipNetworks", json!([])).expect("it is written");
    assert!(made["spec"].get("ipNetworks").is_none() && annotation("podIPs").is_empty(), "{made}");
    // What follows from something else is refused, with what it follows from.
    for (key, path, value, reason) in [
        (
            &new,
            "/metadata/labels/x",
            json!("y"),
            "metadata.labels.x cannot be changed here: labels are those of the pod",
        ),
        (&new, "/metadata/annotations", json!({ "x": "y" }), "a pod's annotations are not the endpoint's"),
        (&new, "/spec/profiles", json!(["other"]), "they follow from the pod's namespace"),
        (&new, "/spec/ports", json!([]), "they are the ports of the pod's containers"),
        (&new, "/spec/interfaceName", json!("cali1"), "spec.interfaceName cannot be changed here"),
        (&new, "/spec/mac", json!("ee:ee:ee:ee:ee:ee"), "spec.mac cannot be changed here"),
        (&new, "/spec/ipNATs", json!([{ "internalIP": "10.65.0.9", "externalIP": "1.1.1.1" }]), "floatingIPs"),
        (&new, "/spec/allowSpoofedSourcePrefixes", json!(["1.0.0.0/8"]), "allowedSourcePrefixes"),
        (&new, "/spec/qosControls", json!({ "ingressBandwidth": 5000 }), "qos.projectcalico.org"),
        // This pod runs, and its status counts.
        (&wep("web"), "/spec/ipNetworks", json!(["10.65.0.9/32"]), "the addresses in the pod's status count before"),
        (&wep("web"), "/spec/ipNetworks", json!([]), "the addresses in the pod's status count before"),
    ] {
        let refused = update(key, path, value).expect_err(path);
        assert!(refused.contains(reason), "{path}: {refused}");
    }
    // A pod that cannot be read as an endpoint has to be mended itself.
    cluster
        .kubectl(&["-n", "shop", "annotate", "--overwrite", "pod", "new", "cni.projectcalico.org/podIPs=nowhere"], "");
    let stored = store.get(&new).expect("a get").expect("it exists");
    let write = Write::update(new.clone(), *b"{}", stored.revision);
    let refused = store.write(&[write]).expect("an answer").remove(0).expect_err("it cannot be read").to_string();
    assert!(refused.contains("has to be corrected first"), "{refused}");
}

#[test]
fn an_update_of_a_node_is_calicos_annotations_and_nothing_else() {
    let cluster = shop(Group::Packed);
    let store = cluster.store();
    cluster.kubectl(&["label", "node", "n1", "kubernetes.io/os=linux", "zone=a"], "");
    cluster.kubectl(&["annotate", "node", "n1", "others=stay"], "");
    let status = r#"{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}]}}"#;
    cluster.kubectl(&["patch", "node", "n1", "--subresource=status", "--type=merge", "-p", status], "");
    let node = Key::cluster(Kind::Node, "n1");
    let before = cluster.kubectl(&["get", "node", "n1", "-o", "jsonpath={.spec}|{.status}|{.metadata.labels}"], "");
    let made = update(&*store, &node, &|node| {
        node["spec"]["bgp"] =
            json!({ "asNumber": "64512", "ipv4Address": "192.0.2.1/24", "routeReflectorClusterID": "244.0.0.1" });
        node["spec"]["wireguard"] = json!({ "interfaceIPv4Address": "10.1.0.1" });
        node["spec"]["vxlanTunnelMACAddr"] = json!("66:00:00:00:00:01");
        node["spec"]["interfaces"] = json!([{ "name": "eth0", "addresses": ["192.0.2.1"] }]);
        node["status"]["wireguardPublicKey"] = json!("jlkVyQYooZYzI2wFfNhSZez5eWh44yfq1wKVjLvSXgY=");
        node["metadata"]["labels"]["rack"] = json!("7");
        node["metadata"]["annotations"]["note"] = json!("<mine>");
    })
    .expect("it is written");
    assert_eq!(made["spec"]["bgp"]["asNumber"], 64512);
    assert_eq!(made["spec"]["addresses"][0], json!({ "address": "192.0.2.1/24", "type": "CalicoNodeIP" }));
    assert_eq!((&made["metadata"]["labels"]["rack"], &made["metadata"]["labels"]["zone"]), (&json!("7"), &json!("a")));
    assert_eq!(made["metadata"]["annotations"]["note"], "<mine>");
    let raw: Value = serde_json::from_str(&cluster.kubectl(&["get", "node", "n1", "-o", "json"], "")).expect("JSON");
    let noted = &raw["metadata"]["annotations"];
    for (name, text) in [
        ("projectcalico.org/ASNumber", "64512"),
        ("projectcalico.org/IPv4Address", "192.0.2.1/24"),
        ("projectcalico.org/IPv4WireguardInterfaceAddr", "10.1.0.1"),
        ("projectcalico.org/labels", r#"{"rack":"7"}"#),
        ("projectcalico.org/Interfaces", r#"[{"name":"eth0","addresses":["192.0.2.1"]}]"#),
        ("others", "stay"),
    ] {
        assert_eq!(noted[name], text, "{noted}");
    }
    // A manifest that says only what Calico's node adds: what it leaves out is removed, what is Kubernetes' stays.
    let made = update(&*store, &node, &|node| {
        node["spec"] = json!({ "bgp": { "ipv4Address": "192.0.2.2/24" } });
        node["metadata"]
            .as_object_mut()
            .expect("a record")
            .retain(|field, _| field != "annotations" && field != "labels");
        node.as_object_mut().expect("a record").shift_remove("status");
    })
    .expect("it is written");
    assert_eq!(made["spec"]["bgp"], json!({ "ipv4Address": "192.0.2.2/24" }));
    assert_eq!(made["metadata"]["labels"], json!({ "kubernetes.io/os": "linux", "zone": "a" }));
    assert!(made["spec"].get("interfaces").is_none() && made["spec"].get("wireguard").is_none(), "{made}");
    let after = cluster.kubectl(&["get", "node", "n1", "-o", "jsonpath={.spec}|{.status}|{.metadata.labels}"], "");
    assert_eq!(before, after, "nothing but annotations was changed");
    for (reason, change) in [
        (
            "metadata.labels.zone cannot be changed here: the label is the Kubernetes node's",
            &(|node: &mut Value| node["metadata"]["labels"]["zone"] = json!("b")) as &dyn Fn(&mut Value),
        ),
        ("metadata.labels.zone cannot be changed here: the label is the Kubernetes node's", &|node| {
            node["metadata"]["labels"].as_object_mut().expect("a record").shift_remove("zone");
        }),
        ("spec.orchRefs cannot be changed here", &|node| {
            node["spec"]["orchRefs"] = json!([{ "nodeName": "x", "orchestrator": "k8s" }])
        }),
        ("spec.addresses cannot be changed here", &|node| {
            node["spec"]["addresses"] = json!([{ "address": "192.0.2.7", "type": "InternalIP" }])
        }),
        ("status.podCIDRs cannot be changed here", &|node| node["status"]["podCIDRs"] = json!(["10.0.0.0/24"])),
        ("spec.bgp cannot be changed here", &|node| node["spec"]["bgp"]["ipv4Address"] = json!("fd00::1/64")),
        ("spec.vxlanTunnelMACAddr cannot be changed here: its value is invalid", &|node| {
            node["spec"]["vxlanTunnelMACAddr"] = json!("no")
        }),
    ] {
        let refused = update(&*store, &node, change).expect_err(reason);
        assert!(refused.contains(reason), "{reason}: {refused}");
    }
    let stale = store.get(&node).expect("a get").expect("it exists");
    cluster.kubectl(&["label", "node", "n1", "x=y"], "");
    let write = Write::update(node, stale.value.to_vec(), stale.revision);
    let answer = store.write(&[write]).expect("an answer").remove(0);
    assert!(matches!(answer, Err(WriteError::Conflict(_))), "{answer:?}");
}

#[test]
fn an_error_names_the_missing_permission() {
    let cluster = Cluster::start(Group::Native);
    let store = KubeStore::new(cluster.settings(GUEST)).expect("settings");
    let error = store.list(&Selection::kind(Kind::Tier)).expect_err("it is forbidden").to_string();
    assert!(error.contains("connection is unauthorized: "), "{error}");
    assert!(error.contains(r#"{apiGroups: ["projectcalico.org"], resources: ["tiers"], verbs: ["list"]}"#), "{error}");
}

/// A token that is valid as long as a Secret of this name exists.
fn token(cluster: &Cluster, secret: &str) -> String {
    cluster.kubectl(&["-n", "shop", "create", "secret", "generic", secret], "");
    let bound = ["--bound-object-kind=Secret", "--bound-object-name", secret];
    cluster.kubectl(&[&["-n", "shop", "create", "token", "web"][..], &bound].concat(), "").trim().to_owned()
}

#[test]
fn a_token_file_that_is_replaced_is_used_once_the_old_token_is_revoked_and_a_refused_one_is_named() {
    let cluster = shop(Group::Native);
    let reads = ["create", "clusterrolebinding", "reads", "--clusterrole=cluster-admin", "--serviceaccount=shop:web"];
    cluster.kubectl(&reads, "");
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("token");
    std::fs::write(&file, token(&cluster, "first")).expect("the token is written");
    let settings = Settings { credentials: Credentials::TokenFile(file.clone()), ..cluster.settings(ADMIN) };
    let store = KubeStore::new(settings).expect("settings");
    let selection = Selection::kind(Kind::Tier);
    let listing = store.list(&selection).expect("the first token is accepted");
    let mut watch = store.watch(&selection, &listing.position).expect("a watch");
    cluster.kubectl(&["-n", "shop", "delete", "secret", "first"], "");
    let error = wait_until("the token is refused", || store.list(&selection).err()).to_string();
    let expected = format!("the API server does not accept the token in {}: Unauthorized", file.display());
    assert!(error.contains(&expected), "{error}");
    std::fs::write(&file, token(&cluster, "second")).expect("the token is written");
    store.list(&selection).expect("the second token is accepted");
    // The watch is opened again, too, once its connection has ended: the server answers it, if only that its history has a gap.
    cluster.server.lock().expect("it is alive").restart();
    let tier = Key::cluster(Kind::Tier, "late");
    store.write(&[Write::create(tier.clone(), &br#"{"spec":{"order":1}}"#[..])]).expect("a write");
    wait_until("the watch goes on", || match watch.next(Duration::from_secs(1)) {
        Ok(Some(event)) if *event.key() == tier => Some(()),
        Err(StoreError::Expired { .. }) => Some(()),
        _ => None,
    });
}

#[test]
fn a_watch_outlives_the_server_and_misses_nothing_or_says_so() {
    let cluster = shop(Group::Native);
    let store = cluster.store();
    let selection = Selection::for_enforcement("n1");
    let mut from = store.list(&selection).expect("a list").position;
    let mut watch = store.watch(&selection, &from).expect("a watch");
    for address in ["10.65.1.1", "10.65.1.2"] {
        cluster.server.lock().expect("it is alive").restart();
        running(&cluster, "web", address);
        let event = wait_until("the change after the restart", || match watch.next(Duration::from_secs(1)) {
            Ok(event) => event.filter(|event| *event.key() == wep("web")),
            Err(StoreError::Expired { kind }) => {
                let listing = store.list(&selection.of_kind(kind)).expect("a list");
                watch.resume(kind, &listing.position).expect("it goes on");
                let found = listing.items.into_iter().find(|it| it.key == wep("web"));
                found.map(Event::Put)
            }
            Err(StoreError::Failed(_)) => None,
            Err(error) => panic!("{error}"),
        });
        assert_eq!(json_of(&event)["spec"]["ipNetworks"], json!([format!("{address}/32")]));
        from = watch.position();
    }
    assert!(from.part("pods").is_some());
}

#[test]
fn it_is_known_whether_anything_changed_between_two_positions() {
    let cluster = shop(Group::Packed);
    let store = cluster.store();
    let before = store.list(&Selection::default()).expect("a list").position;
    // Other objects than a store's move the server on.
    cluster.kubectl(&["-n", "shop", "create", "configmap", "x"], "");
    let after = store.position().expect("a position");
    assert!(!before.has_reached(&after), "{before} {after}");
    assert!(store.is_unchanged_between(&before, &after).expect("an answer"));
    // Who watches for a purpose knows nothing of what that does not need.
    let peers = "bgppeers.crd.projectcalico.org";
    let enforcing = store.list(&Selection::for_enforcement("n1")).expect("a list").position;
    assert!(enforcing.part(peers).is_none() && after.part(peers).is_some());
    assert!(store.is_unchanged_between(&enforcing, &after).expect("an answer"));
    cluster.kubectl(&["-n", "shop", "delete", "pod", "web", "--force"], "");
    let after = store.position().expect("a position");
    assert!(!store.is_unchanged_between(&before, &after).expect("an answer"));
    // A message names the kinds of which there is more.
    assert_eq!(store.changed_between(&before, &after).expect("an answer"), ["pods"]);
    assert!(store.changed_between(&after, &after).expect("an answer").is_empty());
}

#[test]
fn a_partition_is_noticed_without_the_end_of_a_connection_and_missed_changes_arrive() {
    let cluster = shop(Group::Native);
    let store = cluster.store();
    let selection = Selection::for_enforcement("n1");
    let from = store.list(&selection).expect("a list").position;
    let mut watch = store.watch(&selection, &from).expect("a watch");
    // Something arrives, so everything is connected.
    running(&cluster, "web", "10.65.1.1");
    change(&mut *watch, &wep("web"));
    cluster.server.lock().expect("it is alive").pause();
    let noticed = wait_until("the partition is noticed", || watch.next(Duration::from_secs(1)).err());
    assert!(matches!(noticed, StoreError::Failed(_)), "{noticed}");
    cluster.server.lock().expect("it is alive").resume();
    running(&cluster, "web", "10.65.1.2");
    let event = wait_until("what changed", || {
        // Until all streams are back it says that the server is away.
        watch.next(Duration::from_secs(1)).ok().flatten().filter(|event| *event.key() == wep("web"))
    });
    assert_eq!(json_of(&event)["spec"]["ipNetworks"], json!(["10.65.1.2/32"]));
}
