use super::*;

const SEEN: &str = "0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c";
const OWN: &str = "30316465-6365-4463-ad63-3564622d3638";

fn policy() -> (Key, Vec<u8>) {
    let key = Key::namespaced(Kind::NetworkPolicy, "shop", "db");
    let value = json!({ "kind": "NetworkPolicy", "apiVersion": "projectcalico.org/v3",
        "metadata": { "name": "db", "namespace": "shop", "uid": SEEN, "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": { "a": "<b>", "projectcalico.org/tier": "default" },
            "annotations": { "note": "x", "projectcalico.org/metadata": r#"{"name":"db"}"# },
            "ownerReferences": [
                { "apiVersion": "projectcalico.org/v3", "kind": "Tier", "name": "t", "uid": SEEN },
                { "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": OWN }],
            "finalizers": ["f"] },
        "spec": { "tier": "default", "selector": "all()", "types": ["Ingress"] } });
    (key, serde_json::to_vec(&value).unwrap())
}

#[test]
fn the_packed_group_keeps_metadata_in_an_annotation_in_gos_order() {
    let (key, value) = policy();
    let custom = to_custom(Group::Packed, &key, &value, Some("12")).unwrap();
    let packed = custom["metadata"]["annotations"][METADATA].as_str().unwrap();
    assert_eq!(
        packed,
        r#"{"name":"db","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"a":"\u003cb\u003e","projectcalico.org/tier":"default"},"annotations":{"note":"x"},"ownerReferences":[{"apiVersion":"projectcalico.org/v3","kind":"Tier","name":"t","uid":"0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c"},{"apiVersion":"v1","kind":"Pod","name":"p","uid":"30316465-6365-4463-ad63-3564622d3638"}],"finalizers":["f"]}"#
    );
    assert_eq!(
        custom,
        json!({ "kind": "NetworkPolicy", "apiVersion": "crd.projectcalico.org/v1",
            "metadata": { "name": "db", "namespace": "shop", "uid": OWN, "resourceVersion": "12",
                "labels": { "projectcalico.org/tier": "default" }, "annotations": { METADATA: packed },
                "ownerReferences": [
                    { "apiVersion": "crd.projectcalico.org/v1", "kind": "Tier", "name": "t", "uid": OWN },
                    { "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": OWN }] },
            "spec": { "tier": "default", "selector": "all()", "types": ["Ingress"] } })
    );
}

#[test]
fn what_is_written_is_read_back_in_either_group() {
    let (key, value) = policy();
    let tier = Key::cluster(Kind::Tier, "t");
    let tier_value = format!(
        r#"{{"kind":"Tier","apiVersion":"projectcalico.org/v3","metadata":{{"name":"t","uid":"{SEEN}","labels":{{"a":"b"}}}},"spec":{{"order":5}},"status":{{}}}}"#
    );
    for group in [Group::Packed, Group::Native] {
        for (key, value) in [(&key, &value[..]), (&tier, tier_value.as_bytes())] {
            let custom = to_custom(group, key, value, Some("12")).unwrap();
            assert_eq!(custom["apiVersion"], group.api_version());
            let read = from_custom(group, key.kind, custom).unwrap();
            assert_eq!((&read.key, read.resource_version.as_str()), (key, "12"));
            let (read, value): (Value, Value) =
                (serde_json::from_slice(&read.value).unwrap(), serde_json::from_slice(value).unwrap());
            assert_eq!(read, value, "{group:?} {key}");
        }
    }
}

#[test]
fn new_objects_have_no_uid_and_no_version() {
    let (key, value) = policy();
    for group in [Group::Packed, Group::Native] {
        let custom = to_custom(group, &key, &value, None).unwrap();
        assert_eq!(custom["metadata"].get("uid"), None);
        assert_eq!(custom["metadata"].get("resourceVersion"), None);
    }
    let wep = Key::namespaced(Kind::WorkloadEndpoint, "shop", "w");
    assert!(matches!(to_custom(Group::Packed, &wep, b"{}", None), Err(CustomError::Kind(Kind::WorkloadEndpoint))));
}

/// The metadata that is read of a packed custom resource of this kind with this metadata.
fn read(kind: Kind, metadata: Value) -> Value {
    let custom =
        json!({ "apiVersion": "crd.projectcalico.org/v1", "kind": kind.name(), "metadata": metadata, "spec": {} });
    let value = from_custom(Group::Packed, kind, custom).unwrap().value;
    serde_json::from_slice::<Value>(&value).unwrap()["metadata"].clone()
}

#[test]
fn without_the_annotation_the_custom_resources_own_metadata_counts() {
    let own = json!({ "name": "default.x", "uid": OWN, "resourceVersion": "3", "generation": 2,
        "creationTimestamp": "2026-01-02T03:04:05Z", "labels": { "a": "b" }, "managedFields": [{}],
        "ownerReferences": [{ "apiVersion": "crd.projectcalico.org/v1", "kind": "Tier", "name": "t", "uid": OWN }] });
    let mut expected = json!({ "name": "default.x", "uid": SEEN, "generation": 2,
        "creationTimestamp": "2026-01-02T03:04:05Z", "labels": { "a": "b" }, "ownerReferences": own["ownerReferences"] });
    assert_eq!(read(Kind::Tier, own.clone()), expected);
    // A policy says its name, since readers would take `default.` away.
    expected["annotations"] = json!({ METADATA: r#"{"name":"default.x"}"# });
    assert_eq!(read(Kind::GlobalNetworkPolicy, own), expected);
}

#[test]
fn the_annotation_overrides_the_metadata_of_the_custom_resource() {
    let inner = json!({ "name": "shown", "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": { "a": "inner" }, "annotations": { "n": "inner" }, "finalizers": ["f"],
        "ownerReferences": [{ "apiVersion": "crd.projectcalico.org/v1", "kind": "Tier", "name": "t", "uid": OWN }] });
    let outer = json!({ "name": "x", "uid": OWN, "creationTimestamp": "2020-01-01T00:00:00Z", "generation": 7,
        "finalizers": ["outer"],
        "labels": { "a": "outer", "b": "outer" }, "annotations": { "n": "outer", "m": "outer", METADATA: inner.to_string() } });
    let mut expected = json!({ "name": "x", "uid": SEEN, "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": { "a": "inner", "b": "outer" }, "annotations": { "m": "outer", "n": "inner" },
        "ownerReferences": [{ "apiVersion": "projectcalico.org/v3", "kind": "Tier", "name": "t", "uid": SEEN }],
        "finalizers": ["f"] });
    assert_eq!(read(Kind::GlobalNetworkSet, outer.clone()), expected);
    expected["annotations"][METADATA] = json!(r#"{"name":"shown"}"#);
    assert_eq!(read(Kind::GlobalNetworkPolicy, outer), expected);
    let without_time = json!({ "name": "x", "creationTimestamp": "2020-01-01T00:00:00Z",
        "annotations": { METADATA: r#"{"creationTimestamp":null}"# } });
    assert_eq!(read(Kind::Tier, without_time)["creationTimestamp"], "2020-01-01T00:00:00Z");
}

#[test]
fn an_annotation_that_is_not_json_makes_the_labels_unreadable() {
    let custom = json!({ "metadata": { "name": "x", "labels": { "a": "b" }, "annotations": { METADATA: "{" } } });
    for kind in [Kind::GlobalNetworkSet, Kind::GlobalNetworkPolicy] {
        let read = from_custom(Group::Packed, kind, custom.clone()).unwrap();
        let object = decode::stored(&read.key, &read.value).unwrap();
        assert_eq!(object.metadata.other.get("labels"), Some(&json!("{")), "{kind}");
    }
    // The reader finds the same text in both, and names the annotation.
    let read = from_custom(Group::Packed, Kind::GlobalNetworkSet, custom).unwrap();
    assert_eq!(decode::stored(&read.key, &read.value).unwrap().metadata.annotations[METADATA], "{");
}

#[test]
fn what_kubectl_has_applied_stays_beside_the_packed_metadata_and_is_read_from_there() {
    let key = Key::cluster(Kind::Tier, "t");
    let with = |applied: &str| json!({ "kind": "Tier", "metadata": { "name": "t", "annotations": { "a": "b", LAST_APPLIED: applied } }, "spec": {} });
    let custom = to_custom(Group::Packed, &key, with("new").to_string().as_bytes(), Some("12")).unwrap();
    let annotations = &custom["metadata"]["annotations"];
    assert_eq!(annotations[LAST_APPLIED], "new");
    assert_eq!(annotations[METADATA], r#"{"annotations":{"a":"b"}}"#);
    assert_eq!(read(Kind::Tier, custom["metadata"].clone())["annotations"], with("new")["metadata"]["annotations"]);
    // Others pack it with the rest, and kubectl knows nothing of that.
    let packed = json!({ "annotations": { LAST_APPLIED: "old" } }).to_string();
    let both = json!({ "name": "t", "annotations": { LAST_APPLIED: "new", METADATA: packed } });
    assert_eq!(read(Kind::Tier, both)["annotations"], json!({ LAST_APPLIED: "new" }));
    let packed_only = json!({ "name": "t", "annotations": { METADATA: packed } });
    assert_eq!(read(Kind::Tier, packed_only)["annotations"], json!({ LAST_APPLIED: "old" }));
}

#[test]
fn the_deleted_flag_of_block_affinities_is_text_in_stores_and_a_flag_in_the_native_group() {
    let key = Key::cluster(Kind::BlockAffinity, "b");
    let value = br#"{"kind":"BlockAffinity","metadata":{"name":"b"},"spec":{"deleted":"true"}}"#;
    for (group, deleted) in [(Group::Packed, json!("true")), (Group::Native, json!(true))] {
        let custom = to_custom(group, &key, value, None).unwrap();
        assert_eq!(custom["spec"]["deleted"], deleted);
        let read = from_custom(group, Kind::BlockAffinity, custom).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&read.value).unwrap()["spec"]["deleted"], "true");
    }
}
