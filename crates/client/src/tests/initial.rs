//! The initial content, and the lock.

use super::*;

#[test]
fn an_empty_store_gets_its_initial_content() {
    let (client, spy) = empty();
    let written = client.initialise("", "").unwrap();
    assert_eq!(written.len(), 4);
    assert_eq!(spy.count(), (1, 4));
    let info = stored(&spy, &cluster(Kind::ClusterInformation, "default"));
    let guid = info["spec"]["clusterGUID"].as_str().unwrap();
    assert!(guid.len() == 32 && guid.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{guid}");
    assert_eq!(info["spec"]["datastoreReady"], true);
    assert_eq!(info["spec"].as_object().unwrap().len(), 2);
    for (name, order, action) in [("default", 1e6, "Deny"), ("kube-admin", 1e3, "Pass"), ("kube-baseline", 1e7, "Pass")]
    {
        let tier = stored(&spy, &cluster(Kind::Tier, name));
        assert_eq!((tier["spec"]["order"].as_f64(), &tier["spec"]["defaultAction"]), (Some(order), &json!(action)));
        assert_eq!(tier["status"], json!({}));
        assert!(tier["metadata"]["uid"].is_string() && tier["metadata"]["creationTimestamp"].is_string());
    }
    assert!(client.initialise("", "").unwrap().is_empty());
    assert_eq!(spy.count(), (0, 0), "nothing is written when nothing is missing");
}

#[test]
fn the_first_write_creates_the_initial_content() {
    let (client, spy) = empty();
    assert_eq!(put(&client, gnp("p", ""), Mode::Apply), "Created");
    assert_eq!(spy.list(&Selection::default()).unwrap().items.len(), 5);
    let (client, spy) = empty();
    assert!(remove(&client, hep("h").key()).starts_with("resource does not exist"));
    assert!(spy.list(&Selection::default()).unwrap().items.is_empty(), "deleting does not");
}

#[test]
fn only_what_is_missing_is_filled_in() {
    let key = cluster(Kind::ClusterInformation, "default");
    for (spec, version, types, expected) in [
        (json!({ "clusterGUID": "g" }), "", "", json!({ "clusterGUID": "g", "datastoreReady": true })),
        (
            json!({ "clusterGUID": "g", "datastoreReady": false }),
            "",
            "",
            json!({ "clusterGUID": "g", "datastoreReady": false }),
        ),
        (
            json!({ "clusterGUID": "g", "datastoreReady": true, "clusterType": "a,b", "calicoVersion": "v1" }),
            "v2",
            "b,c",
            json!({ "clusterGUID": "g", "datastoreReady": true, "clusterType": "a,b,c", "calicoVersion": "v2" }),
        ),
        (
            json!({ "clusterGUID": "g", "datastoreReady": true, "clusterType": "a,b", "calicoVersion": "v1" }),
            "v1",
            "b",
            json!({ "clusterGUID": "g", "datastoreReady": true, "clusterType": "a,b", "calicoVersion": "v1" }),
        ),
        (
            json!({ "clusterGUID": "g", "datastoreReady": true, "unknown": 1 }),
            "",
            "a",
            json!({ "clusterGUID": "g", "datastoreReady": true, "unknown": 1, "clusterType": "a" }),
        ),
    ] {
        let (client, spy) = ready();
        raw(&spy, &key, &json!({ "kind": "ClusterInformation", "metadata": { "name": "default" }, "spec": spec }));
        let written = client.initialise(version, types).unwrap();
        assert_eq!(stored(&spy, &key)["spec"], expected);
        assert_eq!(written.len(), usize::from(spec != expected));
    }
}

#[test]
fn several_clients_may_initialise_a_store_at_once() {
    for _ in 0..50 {
        let store = Arc::new(MemoryStore::new());
        let start = std::sync::Barrier::new(4);
        let written: usize = std::thread::scope(|scope| {
            let run = || {
                let client = Client::new(store.clone());
                start.wait();
                client.initialise("v1", "k8s").unwrap().len()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(written, 4);
        assert_eq!(store.list(&Selection::default()).unwrap().position, 4.into());
    }
}

#[test]
fn a_locked_store_stays_locked_until_it_is_unlocked() {
    let (client, spy) = empty();
    assert_eq!(
        client.unlock().unwrap_err().to_string(),
        "resource does not exist: ClusterInformation(default) with error: <nil>"
    );
    assert!(client.lock().unwrap());
    assert!(client.is_locked().unwrap());
    spy.count();
    assert!(!client.lock().unwrap());
    client.initialise("", "").unwrap();
    assert!(client.is_locked().unwrap());
    assert_eq!(spy.count(), (0, 0));
    assert!(client.unlock().unwrap());
    assert!(!client.unlock().unwrap());
    assert!(!client.is_locked().unwrap());
}
