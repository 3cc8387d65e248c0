//! Cases, on a store in memory.

use std::sync::Arc;

use serde_json::{Value, json};
use tortie_api::encode;
use tortie_client::Client;
use tortie_store::memory::MemoryStore;
use tortie_store::{Event, Revision, Selection, Store, Stored, Write};
use tortie_store_kube::convert::pod::workload_endpoint;

use super::*;
use crate::writer::{self, Summary};

/// A pod, as the Kubernetes store has it.
fn pod(name: &str, node: &str, app: &str) -> Stored {
    let pod = json!({ "metadata": { "name": name, "namespace": "shop", "labels": { "app": app } },
        "spec": { "nodeName": node, "serviceAccountName": "web" } });
    let object = workload_endpoint(&serde_json::from_value(pod).unwrap(), "cali").unwrap().unwrap().object;
    Stored { key: object.key(), revision: Revision::from("7"), value: encode::stored(&object).into() }
}

/// What is stored of an endpoint that the CNI plugin wrote, with fields of other programs.
fn endpoint(pod: &str, node: &str, name: &str, app: &str) -> Value {
    json!({ "kind": "WorkloadEndpoint", "apiVersion": "projectcalico.org/v3", "mine": { "a": null },
        "metadata": { "name": format!("{node}-k8s-{pod}-{name}"), "namespace": "shop", "uid": "0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c",
            "creationTimestamp": "2026-01-01T00:00:00Z", "generateName": "x-", "labels": labels(app) },
        "spec": { "orchestrator": "k8s", "node": node, "pod": pod, "endpoint": name, "interfaceName": "cali1", "new": 1,
            "ipNetworks": ["192.0.2.1/32"], "profiles": ["kns.shop", "ksa.shop.web"] } })
}

fn labels(app: &str) -> Value {
    json!({ "app": app, "projectcalico.org/namespace": "shop", "projectcalico.org/orchestrator": "k8s",
        "projectcalico.org/serviceaccount": "web" })
}

fn key(endpoint: &Value) -> Key {
    Key::namespaced(Kind::WorkloadEndpoint, "shop", endpoint["metadata"]["name"].as_str().unwrap())
}

fn create(store: &MemoryStore, endpoint: &Value) {
    store.write(&[Write::create(key(endpoint), endpoint.to_string().into_bytes())]).unwrap().remove(0).unwrap();
}

fn stored(store: &MemoryStore, endpoint: &Value) -> Value {
    serde_json::from_slice(&store.get(&key(endpoint)).unwrap().unwrap().value).unwrap()
}

fn known(store: &MemoryStore, pods: &[Stored]) -> PodLabels {
    let mut known = PodLabels::default();
    known.list(&store.list(&Selection::kind(Kind::WorkloadEndpoint)).unwrap().items);
    known.list_source(pods);
    known
}

fn act(store: &MemoryStore, known: &mut PodLabels) -> Summary {
    let summary = writer::act(&Client::new(Arc::new(store.clone())), &plan(known), &|| true);
    summary.objects.iter().for_each(|object| known.written(object));
    summary
}

#[test]
fn an_endpoint_follows_the_labels_of_its_pod_and_nothing_else_of_it_changes() {
    let store = MemoryStore::default();
    let mine = endpoint("web", "n1", "eth0", "old");
    let second = endpoint("web", "n1", "net1", "old");
    // The pod was on another node before; one of another orchestrator; one whose pod is deleted.
    let moved = endpoint("web", "n2", "eth0", "old");
    let mut other = endpoint("web", "n1", "eth1", "old");
    other["spec"]["orchestrator"] = json!("openstack");
    let gone = endpoint("gone", "n1", "eth0", "old");
    [&mine, &second, &moved, &other, &gone].iter().for_each(|endpoint| create(&store, endpoint));
    let mut follower = known(&store, &[pod("web", "n1", "old"), pod("none", "n1", "old")]);
    assert_eq!(plan(&follower).actions, []);
    assert!(!follower.take_source(&Event::Put(pod("web", "n1", "old"))), "another status of the pod is no news");
    assert!(follower.take_source(&Event::Put(pod("web", "n1", "new"))));
    assert_eq!(plan(&follower), plan(&known(&store, &[pod("web", "n1", "new")])));
    let summary = act(&store, &mut follower);
    assert_eq!((summary.done[1].len(), summary.failed, summary.stale), (2, Vec::new(), false));
    for (endpoint, app) in [(&mine, "new"), (&second, "new"), (&moved, "old"), (&other, "old"), (&gone, "old")] {
        let mut expected = endpoint.clone();
        expected["metadata"]["labels"] = labels(app);
        assert_eq!(stored(&store, endpoint), expected);
    }
    assert_eq!(plan(&follower).actions, [], "what was written is known");
}

#[test]
fn labels_are_only_written_into_the_version_that_was_read() {
    let store = MemoryStore::default();
    let mine = endpoint("web", "n1", "eth0", "old");
    create(&store, &mine);
    let mut follower = known(&store, &[pod("web", "n1", "new")]);
    let mut newer = mine.clone();
    newer["spec"]["ipNetworks"] = json!(["192.0.2.2/32"]);
    let revision = store.get(&key(&mine)).unwrap().unwrap().revision;
    store.write(&[Write::update(key(&mine), newer.to_string().into_bytes(), revision)]).unwrap().remove(0).unwrap();
    assert!(act(&store, &mut follower).stale);
    assert_eq!(stored(&store, &mine), newer);
    act(&store, &mut known(&store, &[pod("web", "n1", "new")]));
    newer["metadata"]["labels"] = labels("new");
    assert_eq!(stored(&store, &mine), newer);
}

#[test]
fn a_pod_that_cannot_be_read_changes_nothing_and_is_reported() {
    let store = MemoryStore::default();
    let mine = endpoint("web", "n1", "eth0", "old");
    create(&store, &mine);
    let damaged =
        Stored { value: tortie_store::Value::cannot_be_read("an address is no address"), ..pod("web", "n1", "new") };
    let planned = plan(&known(&store, &[damaged]));
    assert_eq!(planned.actions, []);
    let text = "WorkloadEndpoint(shop/n1-k8s-web-eth0): its pod cannot be read, so its labels stay as they are: an address is no address";
    assert_eq!(planned.problems[0].to_string(), text);
}
