//! Rules of single kinds.

use super::*;

fn wep(name: &str) -> Object {
    object(json!({ "kind": "WorkloadEndpoint", "metadata": { "name": name, "namespace": "ns" },
        "spec": { "node": "node-1", "orchestrator": "k8s", "pod": "my-pod", "endpoint": "eth0",
            "interfaceName": "cali0", "ipNetworks": ["10.0.0.1/32"] } }))
}

const WEP: &str = "node--1-k8s-my--pod-eth0";

#[test]
fn a_workload_endpoint_gets_its_name_everywhere() {
    let (client, spy) = ready();
    let key = Key::namespaced(Kind::WorkloadEndpoint, "ns", WEP);
    assert_eq!(client.key_of(&wep("")).unwrap(), key);
    for (mode, expected) in [
        (Mode::Create, "Created"),
        (Mode::CreateSkipExisting, "Skipped"),
        (Mode::Apply, "Unchanged"),
        (Mode::Replace, "Unchanged"),
    ] {
        let outcome = client.apply(vec![wep("")], mode).remove(0);
        assert_eq!((outcome.key, said(&outcome.result).as_str()), (key.clone(), expected));
    }
    assert_eq!(put(&client, wep(WEP), Mode::Apply), "Unchanged");
    assert_eq!(stored(&spy, &key)["metadata"]["name"], WEP);
}

#[test]
fn a_workload_endpoint_with_another_name_is_refused() {
    let (client, _) = ready();
    let text = "error with field Name = 'foo' (the WorkloadEndpoint name does not match the primary identifiers \
        assigned in the Spec: expected name node--1-k8s-my--pod-eth0)";
    assert_eq!(put(&client, wep("foo"), Mode::Create), text);
    assert_eq!(put(&client, wep("foo"), Mode::Apply), text);
    let mut nameless = wep("");
    nameless.body["spec"]["node"] = json!("");
    let text = "error with field node (field should be assigned)";
    for mode in [Mode::Create, Mode::Apply, Mode::Replace] {
        assert_eq!(put(&client, nameless.clone(), mode), text);
    }
}

#[test]
fn a_workload_endpoint_has_two_forced_labels() {
    let (client, spy) = ready();
    let mut given = wep("");
    given.metadata.labels.insert("projectcalico.org/orchestrator".to_owned(), "mine".to_owned());
    given.metadata.labels.insert("app".to_owned(), "x".to_owned());
    for mode in [Mode::Create, Mode::Replace] {
        put(&client, given.clone(), mode);
        let labels = &stored(&spy, &Key::namespaced(Kind::WorkloadEndpoint, "ns", WEP))["metadata"]["labels"];
        let expected =
            json!({ "app": "x", "projectcalico.org/namespace": "ns", "projectcalico.org/orchestrator": "k8s" });
        assert_eq!(*labels, expected, "{mode:?}");
    }
}

#[test]
fn a_new_policy_needs_its_tier() {
    let (client, _) = ready();
    let missing = "resource does not exist: Tier(t1) with error: <nil>";
    for (kind, namespace) in [
        ("NetworkPolicy", "ns"),
        ("GlobalNetworkPolicy", ""),
        ("StagedNetworkPolicy", "ns"),
        ("StagedGlobalNetworkPolicy", ""),
    ] {
        let policy = |tier: &str| {
            object(
                json!({ "kind": kind, "metadata": { "name": "p", "namespace": namespace }, "spec": { "tier": tier } }),
            )
        };
        assert_eq!(put(&client, policy("t1"), Mode::Create), missing);
        assert_eq!(put(&client, policy("t1"), Mode::Apply), missing);
        assert_eq!(put(&client, policy(""), Mode::Create), "Created", "{kind} in the default tier");
        assert_eq!(put(&client, policy("t1"), Mode::Apply), missing, "apply tries to create first");
        assert_eq!(put(&client, policy("t1"), Mode::Replace), "Changed", "replace does not look");
        let done = client.patch(&policy("").key(), r#"{"spec":{"tier":"t2"}}"#);
        assert_eq!(said(&done), "Changed", "nor does patch");
    }
    let error = client.apply(vec![gnp("new", "t1")], Mode::Create).remove(0).result.unwrap_err();
    assert!(!error.is_missing(), "it is not the policy that is missing");
}

#[test]
fn a_tier_earlier_in_the_batch_counts_and_a_later_one_does_not() {
    let (client, spy) = ready();
    let outcomes = client.apply(vec![gnp("p1", "t1"), tier("t1"), gnp("p2", "t1")], Mode::Create);
    let said: Vec<String> = outcomes.iter().map(|outcome| said(&outcome.result)).collect();
    assert_eq!(said, ["resource does not exist: Tier(t1) with error: <nil>", "Created", "Created"]);
    assert_eq!(spy.count(), (1, 2));
}

#[test]
fn a_policy_carries_its_name_and_tier() {
    let (client, spy) = ready();
    put(&client, tier("t1"), Mode::Create);
    let mut given = gnp("p", "t1");
    given.metadata.annotations.insert("projectcalico.org/metadata".to_owned(), "mine".to_owned());
    given.metadata.labels.insert("projectcalico.org/tier".to_owned(), "mine".to_owned());
    for mode in [Mode::Create, Mode::Replace] {
        put(&client, given.clone(), mode);
        let metadata = &stored(&spy, &given.key())["metadata"];
        assert_eq!(metadata["annotations"], json!({ "projectcalico.org/metadata": r#"{"name":"p"}"# }));
        assert_eq!(metadata["labels"], json!({ "projectcalico.org/tier": "t1" }));
        let shown = client.get(&given.key()).unwrap().object.metadata;
        assert!(shown.annotations.is_empty());
        assert_eq!(shown.labels["projectcalico.org/tier"], "t1");
    }
}

#[test]
fn the_built_in_profile_is_always_there_and_never_changes() {
    let (client, spy) = ready();
    let key = cluster(Kind::Profile, DEFAULT_ALLOW);
    let profile = || object(json!({ "kind": "Profile", "metadata": { "name": DEFAULT_ALLOW }, "spec": {} }));
    let exists = "resource already exists: projectcalico-default-allow with error: projectcalico-default-allow \
        already exists. The profile \"projectcalico-default-allow\" is default provided by Calico";
    let update = "operation Update is not supported on projectcalico-default-allow: The profile \
        \"projectcalico-default-allow\" is a default provided by Calico and cannot be updated";
    let delete = "operation Delete is not supported on projectcalico-default-allow: The profile \
        \"projectcalico-default-allow\" is a default provided by Calico and cannot be deleted";
    assert_eq!(put(&client, profile(), Mode::Create), exists);
    assert_eq!(put(&client, profile(), Mode::CreateSkipExisting), "Skipped");
    assert_eq!(put(&client, profile(), Mode::Apply), update);
    assert_eq!(put(&client, profile(), Mode::Replace), update);
    assert_eq!(remove(&client, key.clone()), delete);
    assert_eq!(said(&client.delete(vec![key.clone().into()], true)[0].result), delete);
    let set = LabelChange::Set { key: "a".into(), value: "b".into(), overwrite: false };
    assert_eq!(said(&client.label(&key, &[set])), update);
    assert_eq!(said(&client.patch(&key, "{}")), format!("updating existing resource: {update}"));
    assert_eq!(client.get(&key).unwrap().object, default_allow());
    assert_eq!(client.list(&Selection::kind(Kind::Profile)).unwrap().objects, [default_allow()]);
    assert_eq!(spy.count(), (0, 0));
}

#[test]
fn users_cannot_write_cluster_information() {
    let (client, spy) = ready();
    let info = |name: &str| object(json!({ "kind": "ClusterInformation", "metadata": { "name": name }, "spec": {} }));
    let create = "operation create or apply is not supported on ClusterInformation";
    let apply = "operation apply is not supported on ClusterInformation: resource is readonly";
    let replace = "operation apply or replace is not supported on ClusterInformation";
    assert_eq!(put(&client, info("default"), Mode::Create), create);
    assert_eq!(put(&client, info("foo"), Mode::Apply), apply);
    assert_eq!(put(&client, info("default"), Mode::Replace), replace);
    let missing = "resource does not exist: ClusterInformation(foo) with error: <nil>";
    assert_eq!(put(&client, info("foo"), Mode::Replace), missing);
    assert_eq!(remove(&client, info("default").key()), "operation delete is not supported on ClusterInformation");
    let patched = client.patch(&info("default").key(), r#"{"spec":{}}"#);
    assert_eq!(said(&patched), format!("updating existing resource: {replace}"));
    assert_eq!(said(&client.patch(&info("foo").key(), "{bad")), missing);
    assert_eq!(spy.count(), (0, 0));
}

#[test]
fn policies_of_kubernetes_cannot_be_written() {
    let (client, spy) = ready();
    let policy = || {
        object(
            json!({ "kind": "NetworkPolicy", "metadata": { "name": "knp.default.a", "namespace": "ns" }, "spec": {} }),
        )
    };
    let text = |operation: &str| {
        format!(
            "operation {operation} is not supported on NetworkPolicy(ns/knp.default.a): \
             kubernetes network policies must be managed through the kubernetes API"
        )
    };
    let missing = "resource does not exist: NetworkPolicy(ns/knp.default.a) with error: <nil>";
    assert_eq!(put(&client, policy(), Mode::Create), text("create or apply"));
    assert_eq!(put(&client, policy(), Mode::Apply), missing);
    assert_eq!(put(&client, policy(), Mode::Replace), missing);
    assert_eq!(said(&client.delete(vec![policy().key().into()], true)[0].result), text("delete"));
    raw(
        &spy,
        &policy().key(),
        &json!({ "kind": "NetworkPolicy", "metadata": { "name": "knp.default.a" }, "spec": {} }),
    );
    assert_eq!(put(&client, policy(), Mode::Apply), text("apply or replace"));
    assert_eq!(put(&client, policy(), Mode::Replace), text("apply or replace"));
    assert_eq!(remove(&client, policy().key()), text("delete"));
    let mut global = gnp("knp.default.a", "");
    assert!(put(&client, global.clone(), Mode::Create).starts_with("error with field"), "no name for a global one");
    global.metadata.name = "a".to_owned();
    assert_eq!(put(&client, global, Mode::Create), "Created");
}

#[test]
fn some_kinds_have_one_object_named_default() {
    let (client, _) = ready();
    for (kind, called) in [
        ("KubeControllersConfiguration", "a Kube Controllers Configuration"),
        ("IPAMConfiguration", "an IPAMConfiguration"),
    ] {
        let one = |name: &str| object(json!({ "kind": kind, "metadata": { "name": name }, "spec": {} }));
        let text = format!("Cannot create {called} resource with a name other than \"default\"");
        assert_eq!(put(&client, one("foo"), Mode::Create), text);
        assert_eq!(put(&client, one("foo"), Mode::Apply), text);
        let missing = format!("resource does not exist: {kind}(foo) with error: <nil>");
        assert_eq!(put(&client, one("foo"), Mode::Replace), missing);
    }
}

#[test]
fn some_bgp_settings_are_for_default_only() {
    let (client, _) = ready();
    let spec = json!({ "nodeToNodeMeshEnabled": false, "asNumber": 64512 });
    let config = |name: &str| object(json!({ "kind": "BGPConfiguration", "metadata": { "name": name }, "spec": spec }));
    let text = "error with the following fields:\n\
        -  BGPConfiguration.Spec.NodeToNodeMeshEnabled (Cannot set nodeToNodeMeshEnabled on a non default BGP Configuration.)\n\
        -  BGPConfiguration.Spec.ASNumber (Cannot set ASNumber on a non default BGP Configuration.)\n";
    assert_eq!(put(&client, config("p1"), Mode::Apply), text);
    assert_eq!(put(&client, config("default"), Mode::Apply), "Created");
}

#[test]
fn a_bgp_peer_needs_its_filters() {
    let (client, _) = ready();
    let peer = || {
        object(json!({ "kind": "BGPPeer", "metadata": { "name": "p" },
            "spec": { "peerIP": "1.2.3.4", "asNumber": 64512, "filters": ["a", "b"] } }))
    };
    let filter = |name: &str| object(json!({ "kind": "BGPFilter", "metadata": { "name": name }, "spec": {} }));
    let text = "error with field BGPPeer.Spec.Filters = '[a b]' (BGPFilter(s) not found)";
    assert_eq!(put(&client, peer(), Mode::Apply), text);
    let outcomes = client.apply(vec![filter("a"), filter("b"), peer()], Mode::Apply);
    assert!(outcomes.iter().all(|outcome| said(&outcome.result) == "Created"), "{outcomes:?}");
}

fn pool(name: &str, cidr: &str) -> Object {
    object(json!({ "kind": "IPPool", "metadata": { "name": name }, "spec": { "cidr": cidr } }))
}

#[test]
fn a_pool_is_stored_with_its_defaults() {
    let (client, spy) = ready();
    let full = |cidr: &str, size: u32| {
        json!({ "cidr": cidr, "vxlanMode": "Never", "ipipMode": "Never", "blockSize": size, "nodeSelector": "all()",
            "allowedUses": ["Workload", "Tunnel"], "assignmentMode": "Automatic" })
    };
    assert_eq!(put(&client, pool("p4", "10.0.0.0/16"), Mode::Create), "Created");
    assert_eq!(put(&client, pool("p6", "FD00::/64"), Mode::Create), "Created");
    assert_eq!(stored(&spy, &pool("p4", "").key())["spec"], full("10.0.0.0/16", 26));
    assert_eq!(stored(&spy, &pool("p6", "").key())["spec"], full("fd00::/64", 122));
    raw(&spy, &pool("p7", "").key(), &json!({ "kind": "IPPool", "metadata": {}, "spec": { "cidr": "11.0.0.0/16" } }));
    assert_eq!(client.get(&pool("p7", "").key()).unwrap().object.body["spec"], full("11.0.0.0/16", 26));
}

#[test]
fn pools_do_not_overlap() {
    let (client, _) = ready();
    let outcomes = client.apply(
        vec![
            pool("p1", "10.0.0.0/16"),
            pool("p2", "10.0.1.0/24"),
            pool("p3", "10.0.0.0/8"),
            pool("p4", "10.0.1.1/24"),
            pool("p5", "10.1.0.0/16"),
        ],
        Mode::Create,
    );
    let said: Vec<String> = outcomes.iter().map(|outcome| said(&outcome.result)).collect();
    let overlap = |cidr: &str, name: &str| {
        format!("IPPool.Spec.CIDR = '{cidr}' (IPPool({name}) CIDR overlaps with IPPool(p1) CIDR 10.0.0.0/16)")
    };
    assert_eq!(said[0], "Created");
    assert_eq!(said[1], format!("error with field {}", overlap("10.0.1.0/24", "p2")));
    assert_eq!(said[2], format!("error with field {}", overlap("10.0.0.0/8", "p3")));
    let masked = "IPPool.Spec.CIDR = '10.0.1.0/24' (IPPool CIDR is not strictly masked)";
    let both = format!("error with the following fields:\n-  {}\n-  {masked}\n", overlap("10.0.1.0/24", "p4"));
    assert_eq!(said[3], both);
    assert_eq!(said[4], "Created");
    assert_eq!(put(&client, pool("p1", "10.0.0.0/16"), Mode::Apply), "Unchanged", "it does not overlap with itself");
}

#[test]
fn the_net_and_block_size_of_a_pool_cannot_change() {
    let (client, _) = ready();
    put(&client, pool("p1", "10.0.0.0/16"), Mode::Create);
    let mut other = pool("p1", "10.1.0.0/16");
    other.body["spec"]["blockSize"] = json!(27);
    let text = "error with the following fields:\n\
        -  IPPool.Spec.CIDR = '10.1.0.0/16' (IPPool CIDR cannot be modified)\n\
        -  IPPool.Spec.BlockSize = '27' (IPPool BlockSize cannot be modified)\n";
    assert_eq!(put(&client, other.clone(), Mode::Apply), text);
    assert_eq!(put(&client, other, Mode::Replace), text);
    for (cidr, text) in [
        ("", "error with field IPPool.Spec.CIDR (IPPool CIDR must be specified)"),
        ("foo", "error with field IPPool.Spec.CIDR = 'foo' (IPPool CIDR must be a valid subnet)"),
        ("1.2.3.4", "error with field IPPool.Spec.CIDR = '1.2.3.4' (IPPool CIDR must be a valid subnet)"),
    ] {
        assert_eq!(put(&client, pool("p9", cidr), Mode::Create), text);
    }
}

#[test]
fn tiers_are_listed_in_their_order() {
    let (client, _) = ready();
    put(&client, tier("a"), Mode::Create);
    let named: Vec<String> =
        client.list(&Selection::kind(Kind::Tier)).unwrap().objects.into_iter().map(|tier| tier.metadata.name).collect();
    assert_eq!(named, ["a", "kube-admin", "default", "kube-baseline"]);
}

#[test]
fn a_block_affinity_stores_deleted_as_text() {
    let (client, spy) = ready();
    let affinity = object(json!({ "kind": "BlockAffinity", "metadata": { "name": "a" },
        "spec": { "state": "confirmed", "node": "n", "type": "host", "cidr": "10.0.0.0/26", "deleted": false } }));
    assert_eq!(put(&client, affinity.clone(), Mode::Create), "Created");
    assert_eq!(stored(&spy, &affinity.key())["spec"]["deleted"], "false");
    assert_eq!(client.get(&affinity.key()).unwrap().object.body["spec"]["deleted"], false);
    assert_eq!(put(&client, affinity, Mode::Apply), "Unchanged");
}

#[test]
fn a_profile_that_does_not_exist_gets_a_warning() {
    let (client, _) = ready();
    let mut endpoint = hep("h1");
    endpoint.body["spec"]["profiles"] = json!(["p1", "p2", DEFAULT_ALLOW]);
    let profile = object(json!({ "kind": "Profile", "metadata": { "name": "p2" }, "spec": {} }));
    let outcomes = client.apply(vec![endpoint, profile], Mode::Apply);
    let notes = &outcomes[0].result.as_ref().unwrap().notes;
    assert_eq!(notes.len(), 1, "p2 comes later in the same batch: {notes:?}");
    assert!(notes[0].text().contains("p1"), "{notes:?}");
}
