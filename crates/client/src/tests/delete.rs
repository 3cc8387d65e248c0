//! Deleting.

use super::*;

#[test]
fn deleting_a_missing_object_is_an_error_unless_missing_ones_are_skipped() {
    let (client, spy) = ready();
    let key = hep("h1").key();
    assert_eq!(remove(&client, key.clone()), "resource does not exist: HostEndpoint(h1) with error: <nil>");
    assert_eq!(said(&client.delete(vec![key.clone().into()], true)[0].result), "Skipped");
    put(&client, hep("h1"), Mode::Create);
    let outcome = client.delete(vec![key.clone().into()], false).remove(0);
    assert_eq!(said(&outcome.result), "Deleted");
    assert_eq!(outcome.result.unwrap().object.body["spec"]["node"], "n1", "it says what was deleted");
    assert!(spy.get(&key).unwrap().is_none());
    let twice = client.delete(vec![key.clone().into(), key.into()], false);
    assert!(twice.iter().all(|outcome| outcome.result.as_ref().unwrap_err().is_missing()));
}

#[test]
fn a_resource_version_is_a_condition() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let key = hep("h1").key();
    let at = |version: &str| {
        let target = Target { key: key.clone(), resource_version: version.to_owned() };
        said(&client.delete(vec![target], false)[0].result)
    };
    assert_eq!(at("abc"), "error with field ResourceVersion = 'abc'");
    assert_eq!(at("9999"), "update conflict: HostEndpoint(h1)");
    let current = spy.get(&key).unwrap().unwrap().revision.to_string();
    assert_eq!(at(&current), "Deleted");
    assert_eq!(at(&current), "resource does not exist: HostEndpoint(h1) with error: <nil>");
}

#[test]
fn built_in_tiers_cannot_be_deleted() {
    let (client, spy) = ready();
    for name in ["default", "kube-admin", "kube-baseline"] {
        let text = format!("operation Delete is not supported on {name}: Cannot delete {name} tier");
        assert_eq!(remove(&client, cluster(Kind::Tier, name)), text);
    }
    assert_eq!(remove(&client, cluster(Kind::Tier, "nope")), "resource does not exist: Tier(nope) with error: <nil>");
    assert_eq!(spy.count(), (0, 0));
}

#[test]
fn a_tier_with_policies_cannot_be_deleted() {
    for (kind, namespace) in [
        ("NetworkPolicy", "ns"),
        ("GlobalNetworkPolicy", ""),
        ("StagedNetworkPolicy", "ns"),
        ("StagedGlobalNetworkPolicy", ""),
    ] {
        let (client, _) = ready();
        let policy = object(json!({ "kind": kind, "metadata": { "name": "p", "namespace": namespace },
            "spec": { "tier": "t1" } }));
        client.apply(vec![tier("t1"), policy.clone()], Mode::Create);
        let error = client.delete(vec![tier("t1").key().into()], false).remove(0).result.unwrap_err();
        assert_eq!(error.to_string(), "operation delete is not supported on t1: Cannot delete a non-empty tier");
        assert!(matches!(error, ClientError::TierInUse { policies, .. } if policies == [policy.key()]));
        let outcomes = client.delete(vec![policy.key().into(), tier("t1").key().into()], false);
        assert!(outcomes.iter().all(|outcome| said(&outcome.result) == "Deleted"), "{outcomes:?}");
    }
}

#[test]
fn a_tier_that_came_into_use_meanwhile_cannot_be_deleted() {
    let (client, spy) = ready();
    client.apply(vec![tier("t1"), gnp("p", "t1")], Mode::Create);
    let key = gnp("p", "").key();
    let version = spy.get(&key).unwrap().unwrap().revision.to_string();
    // Someone changes the policy just before it is deleted at the revision that we know.
    spy.before_writes(move |store| {
        if let Some(stored) = store.get(&key).unwrap() {
            store.write(&[Write::update(key.clone(), &*stored.value, stored.revision)]).unwrap();
        }
    });
    let pinned = Target { key: gnp("p", "").key(), resource_version: version };
    let outcomes = client.delete(vec![pinned, tier("t1").key().into()], false);
    assert_eq!(said(&outcomes[0].result), "update conflict: GlobalNetworkPolicy(p)");
    let used = "operation delete is not supported on t1: Cannot delete a non-empty tier";
    assert_eq!(said(&outcomes[1].result), used);
}

#[test]
fn deleting_a_node_deletes_what_belongs_to_it() {
    let (client, spy) = ready();
    let node = |name: &str| object(json!({ "kind": "Node", "metadata": { "name": name }, "spec": {} }));
    let wep = |node: &str| {
        object(json!({ "kind": "WorkloadEndpoint", "metadata": { "name": "", "namespace": "ns" },
            "spec": { "node": node, "orchestrator": "o", "workload": "w", "endpoint": "e", "interfaceName": "c0" } }))
    };
    let peer = |name: &str, node: &str| {
        object(json!({ "kind": "BGPPeer", "metadata": { "name": name },
            "spec": { "node": node, "peerIP": "1.2.3.4", "asNumber": 64512 } }))
    };
    let config = |kind: &str, name: &str| object(json!({ "kind": kind, "metadata": { "name": name }, "spec": {} }));
    let mut other = hep("other");
    other.body["spec"]["node"] = json!("n1-x");
    let goes = || {
        vec![
            wep("n1"),
            peer("p1", "n1"),
            hep("h1"),
            config("FelixConfiguration", "node.n1"),
            config("BGPConfiguration", "node.n1"),
        ]
    };
    let stays = vec![wep("n1-x"), peer("p2", ""), other, config("FelixConfiguration", "node.n1-x"), node("n1-x")];
    let all = [goes(), stays, vec![node("n1")]].concat();
    for outcome in client.apply(all, Mode::Create) {
        assert_eq!(said(&outcome.result), "Created", "{}", outcome.key);
    }
    spy.count();
    let done = client.delete(vec![node("n1").key().into()], false).remove(0).result.unwrap();
    assert_eq!(done.along.len(), 5, "{:?}", done.along);
    assert_eq!(spy.count(), (1, 6));
    for object in goes() {
        assert!(spy.get(&client.key_of(&object).unwrap()).unwrap().is_none(), "{}", object.key());
    }
    assert_eq!(spy.list(&Selection::default()).unwrap().items.len(), 4 + 5);

    // Without the node they go too, as in Calico.
    client.apply(goes(), Mode::Create);
    assert_eq!(remove(&client, node("n1").key()), "resource does not exist: Node(n1) with error: <nil>");
    assert_eq!(spy.list(&Selection::default()).unwrap().items.len(), 4 + 5);
    client.apply(goes(), Mode::Create);
    let done = client.delete(vec![node("n1").key().into()], true).remove(0).result.unwrap();
    assert_eq!((done.change, done.along.len()), (Change::Skipped, 5));
}

#[test]
fn names_that_the_validator_refuses_can_be_read_and_deleted() {
    let (client, spy) = ready();
    for name in ["Bad_Name", "UPPER", "with space"] {
        let key = cluster(Kind::HostEndpoint, name);
        raw(&spy, &key, &json!({ "kind": "HostEndpoint", "metadata": { "name": name }, "spec": { "node": "n" } }));
        assert_eq!(client.get(&key).unwrap().object.metadata.name, name);
        assert_eq!(client.list(&Selection::kind(Kind::HostEndpoint)).unwrap().objects[0].metadata.name, name);
        assert_eq!(remove(&client, key), "Deleted");
    }
}

#[test]
fn unreadable_objects_can_be_deleted() {
    let (client, spy) = ready();
    for (key, bytes) in [
        (hep("h1").key(), &b"{"[..]),
        (
            gnp("p1", "").key(),
            br#"{"kind":"GlobalNetworkPolicy","metadata":{"annotations":{"projectcalico.org/metadata":"{"}}}"#,
        ),
    ] {
        spy.inner.write(&[Write::create(key.clone(), bytes)]).unwrap().remove(0).unwrap();
        assert!(client.get(&key).is_err());
        assert_eq!(remove(&client, key), "Deleted");
    }
}
