//! Cases, on a store in memory.

use std::sync::Arc;

use serde_json::{Value, json};
use tortie_api::encode;
use tortie_client::Client;
use tortie_store::memory::MemoryStore;
use tortie_store::{Event, Revision, Selection, Store, Stored, Write};

use super::*;
use crate::writer::{self, Summary};

/// A node of Kubernetes, as the Kubernetes store has it. One of its labels is only Calico's.
fn source(name: &str, labels: &Value) -> Stored {
    let node = json!({ "metadata": { "name": name, "labels": labels,
        "annotations": { "projectcalico.org/labels": "{\"calico\":\"only\"}" } } });
    let object = tortie_store_kube::convert::node::node(&serde_json::from_value(node).unwrap(), false).unwrap().object;
    Stored { key: object.key(), revision: Revision::from("7"), value: encode::stored(&object).into() }
}

/// What is stored of a node that Calico's agent wrote, with fields of other programs.
fn node(name: &str, orchestrator: &str, source: &str, labels: &Value, annotations: &Value) -> Value {
    json!({ "kind": "Node", "apiVersion": "projectcalico.org/v3", "mine": { "a": null },
        "metadata": { "name": name, "uid": "0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c", "creationTimestamp": "2026-01-01T00:00:00Z",
            "generateName": "x-", "labels": labels, "annotations": annotations },
        "spec": { "orchRefs": [{ "orchestrator": "other", "nodeName": "n9" }, { "orchestrator": orchestrator, "nodeName": source }],
            "new": 1, "bgp": { "ipv4Address": "192.0.2.1/24" } }, "status": { "wireguardPublicKey": "k" } })
}

fn key(node: &Value) -> Key {
    Key::cluster(Kind::Node, node["metadata"]["name"].as_str().unwrap())
}

fn store(nodes: &[&Value]) -> MemoryStore {
    let store = MemoryStore::default();
    for node in nodes {
        store.write(&[Write::create(key(node), node.to_string().into_bytes())]).unwrap().remove(0).unwrap();
    }
    store
}

fn stored(store: &MemoryStore, node: &Value) -> Value {
    serde_json::from_slice(&store.get(&key(node)).unwrap().unwrap().value).unwrap()
}

fn known(store: &MemoryStore, sources: &[Stored]) -> NodeLabels {
    let mut known = NodeLabels::default();
    known.list(&store.list(&Selection::kind(Kind::Node)).unwrap().items);
    known.list_source(sources);
    known
}

fn act(store: &MemoryStore, known: &mut NodeLabels) -> Summary {
    let summary = writer::act(&Client::new(Arc::new(store.clone())), &plan(known), &|| true);
    summary.objects.iter().for_each(|object| known.written(object));
    summary
}

/// A node's labels and annotations before and after its node in Kubernetes has such labels; none where nothing is written.
#[test]
fn labels_of_kubernetes_are_set_and_removed_and_those_of_others_stay() {
    let noted = |labels: &str| json!({ "projectcalico.org/kube-labels": labels, "note": "x" });
    for (before, annotations, kubernetes, after) in [
        (
            json!({ "mine": "1" }),
            json!({ "note": "x" }),
            json!({ "a": "<1>" }),
            Some((json!({ "a": "<1>", "mine": "1" }), r#"{"a":"\u003c1\u003e"}"#)),
        ),
        (
            json!({ "a": "1", "b": "2", "mine": "1" }),
            noted(r#"{"a":"1","b":"2"}"#),
            json!({ "a": "3" }),
            Some((json!({ "a": "3", "mine": "1" }), r#"{"a":"3"}"#)),
        ),
        (json!({ "a": "1", "mine": "1" }), noted(r#"{"a":"1"}"#), json!({}), Some((json!({ "mine": "1" }), "null"))),
        // What somebody changed or removed is restored.
        (
            json!({ "a": "edited" }),
            noted(r#"{"a":"1"}"#),
            json!({ "a": "1" }),
            Some((json!({ "a": "1" }), r#"{"a":"1"}"#)),
        ),
        (
            json!({ "mine": "1" }),
            noted(r#"{"a":"1"}"#),
            json!({ "a": "1" }),
            Some((json!({ "a": "1", "mine": "1" }), r#"{"a":"1"}"#)),
        ),
        // A label that was removed in both places is no longer noted.
        (json!({ "mine": "1" }), noted(r#"{"a":"1"}"#), json!({}), Some((json!({ "mine": "1" }), "null"))),
        // Nothing is different.
        (json!({ "a": "1", "mine": "1" }), noted(r#"{"a":"1"}"#), json!({ "a": "1" }), None),
        (json!({ "mine": "1" }), noted("null"), json!({}), None),
        (json!({ "mine": "1" }), json!({}), json!({}), None),
        // The user had this label before Kubernetes did, and keeps it.
        (json!({ "a": "1" }), json!({}), json!({ "a": "1" }), None),
    ] {
        let mine = node("one", "k8s", "n1", &before, &annotations);
        let store = store(&[&mine]);
        let mut follower = known(&store, &[source("n1", &kubernetes)]);
        let summary = act(&store, &mut follower);
        let mut expected = mine.clone();
        if let Some((labels, note)) = &after {
            expected["metadata"]["labels"] = labels.clone();
            expected["metadata"]["annotations"]["projectcalico.org/kube-labels"] = json!(note);
        }
        assert_eq!(stored(&store, &mine), expected, "{before} {annotations} {kubernetes}");
        assert_eq!(
            (summary.done[1].len(), summary.failed.len(), summary.stale),
            (usize::from(after.is_some()), 0, false)
        );
        assert_eq!(plan(&follower).actions, [], "what was written is known");
    }
}

#[test]
fn only_nodes_that_name_a_node_of_kubernetes_are_changed() {
    let label = || json!({ "mine": "1" });
    let mine = node("one", "k8s", "n1", &label(), &json!({}));
    let second = node("two", "k8s", "n1", &label(), &json!({}));
    // Its name is that of a node in Kubernetes; it names none; it names one that is gone; it is in another orchestrator.
    let named = node("n1", "k8s", "", &label(), &json!({}));
    let gone = node("three", "k8s", "n2", &label(), &json!({ "projectcalico.org/kube-labels": "{\"mine\":\"1\"}" }));
    let other = node("four", "openstack", "n1", &label(), &json!({}));
    let all = [&mine, &second, &named, &gone, &other];
    let store = store(&all);
    let mut follower = known(&store, &[source("n1", &json!({})), source("n2", &json!({ "mine": "1" }))]);
    assert_eq!(plan(&follower).actions, []);
    assert!(follower.take_source(&Event::Deleted(Key::cluster(Kind::Node, "n2"), Revision::from("8"))));
    assert!(!follower.take_source(&Event::Put(source("n1", &json!({})))), "another status of the node is no news");
    assert!(follower.take_source(&Event::Put(source("n1", &json!({ "a": "1" })))));
    assert_eq!(act(&store, &mut follower).done[1].len(), 2);
    for node in all {
        let mut expected = node.clone();
        if ["one", "two"].contains(&node["metadata"]["name"].as_str().unwrap()) {
            expected["metadata"]["labels"] = json!({ "a": "1", "mine": "1" });
            expected["metadata"]["annotations"] = json!({ "projectcalico.org/kube-labels": "{\"a\":\"1\"}" });
        }
        assert_eq!(stored(&store, node), expected);
    }
}

#[test]
fn labels_are_only_written_into_the_version_that_was_read() {
    let mine = node("one", "k8s", "n1", &json!({}), &json!({}));
    let store = store(&[&mine]);
    let mut follower = known(&store, &[source("n1", &json!({ "a": "1" }))]);
    let mut newer = mine.clone();
    newer["metadata"]["labels"] = json!({ "mine": "2" });
    let revision = store.get(&key(&mine)).unwrap().unwrap().revision;
    store.write(&[Write::update(key(&mine), newer.to_string().into_bytes(), revision)]).unwrap().remove(0).unwrap();
    assert!(act(&store, &mut follower).stale);
    assert_eq!(stored(&store, &mine), newer);
    act(&store, &mut known(&store, &[source("n1", &json!({ "a": "1" }))]));
    assert_eq!(stored(&store, &mine)["metadata"]["labels"], json!({ "a": "1", "mine": "2" }));
}

#[test]
fn what_cannot_be_read_changes_nothing_and_is_reported() {
    let annotated = |text: &str| json!({ "projectcalico.org/kube-labels": text });
    let damaged = Stored { value: tortie_store::Value::cannot_be_read("no address"), ..source("n1", &json!({})) };
    for (annotations, source, expected) in [
        (
            annotated("null"),
            damaged,
            "Node(one): node n1 of Kubernetes cannot be read, so its labels stay as they are: no address",
        ),
        (
            annotated("{\"a\":1}"),
            source("n1", &json!({ "a": "1" })),
            "Node(one): its annotation projectcalico.org/kube-labels, which says what labels \
            came from Kubernetes, cannot be read, so its labels stay as they are until the annotation is corrected or removed: invalid type",
        ),
    ] {
        let store = store(&[&node("one", "k8s", "n1", &json!({ "mine": "1" }), &annotations)]);
        let planned = plan(&known(&store, &[source]));
        assert_eq!(planned.actions, []);
        let text = planned.problems[0].to_string();
        assert!(text.starts_with(expected), "{text}");
    }
}
