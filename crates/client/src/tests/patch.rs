//! Patching: what each patch makes of one endpoint, as Calico does where it does something sensible.

use super::*;

fn key() -> Key {
    hep("h1").key()
}

fn patched(patch: &str) -> (String, Value) {
    let (client, spy) = ready();
    let mut given = hep("h1");
    given.metadata.labels = [("a", "b"), ("c", "d")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    given.body["spec"]["ports"] = json!([
        { "name": "a", "protocol": "TCP", "port": 1 }, { "name": "b", "protocol": "TCP", "port": 2 }]);
    put(&client, given, Mode::Create);
    let mut json = stored(&spy, &key());
    json["metadata"]["finalizers"] = json!(["f1", "f2"]);
    json["metadata"]["ownerReferences"] = json!([
        { "apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u1" },
        { "apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "u2" }]);
    raw(&spy, &key(), &json);
    let said = said(&client.patch(&key(), patch));
    (said, stored(&spy, &key()))
}

#[test]
fn a_patch_merges() {
    let owner = |name: &str, uid: &str| json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid });
    for (patch, place, expected) in [
        (r#"{"spec":{"node":"n2"}}"#, "/spec/node", json!("n2")),
        (r#"{"spec":{"node":"n2"}}"#, "/spec/interfaceName", json!("eth0")),
        (r#"{"spec":{"NODE":"n2"}}"#, "/spec/node", json!("n2")),
        (r#"{"spec":{"interfaceName":5}}"#, "/spec/interfaceName", json!("5")),
        (r#"{"spec":{"expectedIPs":["9.9.9.9"]}}"#, "/spec/expectedIPs", json!(["9.9.9.9"])),
        (
            r#"{"spec":{"ports":[{"name":"a","protocol":"UDP","port":3}]}}"#,
            "/spec/ports",
            json!([{ "name": "a", "protocol": "UDP", "port": 3 }]),
        ),
        (r#"{"metadata":{"labels":{"a":null,"x":"y"}}}"#, "/metadata/labels", json!({ "c": "d", "x": "y" })),
        (r#"{"metadata":{"labels":{"$patch":"replace","z":"z"}}}"#, "/metadata/labels", json!({ "z": "z" })),
        (
            r#"{"spec":{"$patch":"replace","node":"x","interfaceName":"eth7"}}"#,
            "/spec",
            json!({ "node": "x", "interfaceName": "eth7" }),
        ),
        (
            r#"{"spec":{"$retainKeys":["node","interfaceName"],"node":"n2"}}"#,
            "/spec",
            json!({ "node": "n2", "interfaceName": "eth0" }),
        ),
        (r#"{"spec":{"$deleteFromPrimitiveList/expectedIPs":["10.0.0.1"]}}"#, "/spec/node", json!("n1")),
        (r#"{"metadata":{"finalizers":["f3"]}}"#, "/metadata/finalizers", json!(["f3", "f1", "f2"])),
        (r#"{"metadata":{"$deleteFromPrimitiveList/finalizers":["f1"]}}"#, "/metadata/finalizers", json!(["f2"])),
        (
            r#"{"metadata":{"ownerReferences":[{"name":"x","uid":"u1"}]}}"#,
            "/metadata/ownerReferences",
            json!([owner("x", "u1"), owner("b", "u2")]),
        ),
        (
            r#"{"metadata":{"ownerReferences":[{"uid":"u1","$patch":"delete"}]}}"#,
            "/metadata/ownerReferences",
            json!([owner("b", "u2")]),
        ),
        (
            r#"{"metadata":{"ownerReferences":[{"$patch":"replace"},{"apiVersion":"v1","kind":"Pod","name":"n","uid":"u9"}]}}"#,
            "/metadata/ownerReferences",
            json!([owner("n", "u9")]),
        ),
        (r#"{"metadata":{"uid":"3"}}"#, "/metadata/uid", json!("3")),
    ] {
        let (said, stored) = patched(patch);
        assert_eq!((said.as_str(), stored.pointer(place)), ("Changed", Some(&expected)), "{patch}");
    }
    for patch in [r#"{"metadata":{"finalizers":null}}"#, r#"{"spec":{"ports":null}}"#] {
        let (said, stored) = patched(patch);
        assert_eq!(said, "Changed");
        assert!(stored["metadata"].get("finalizers").is_none() || stored["spec"].get("ports").is_none());
    }
    for patch in ["{}", "null", r#"{"spec":{}}"#, r#"{"spec":{"node":"n1"}}"#] {
        assert_eq!(patched(patch).0, "Unchanged", "{patch}");
    }
}

#[test]
fn a_number_in_place_of_text_is_an_error_that_names_the_field() {
    for (patch, expected) in [
        (r#"{"spec":{"node":5}}"#, Some(r#"spec.node is text, and 5 is not: write "5""#)),
        (
            r#"{"spec":{"EXPECTEDIPS":["192.0.2.1",true]}}"#,
            Some(r#"spec.EXPECTEDIPS[1] is text, and true is not: write "true""#),
        ),
        (r#"{"metadata":{"labels":{"a":1.5}}}"#, Some(r#"metadata.labels.a is text, and 1.5 is not: write "1.5""#)),
        (r#"{"spec":{"node":"5","ports":[{"name":"a","protocol":6,"port":5}]}}"#, None),
        (r#"{"spec":{"node":null,"other":5}}"#, None),
    ] {
        assert_eq!(crate::value_for_text(Kind::HostEndpoint, patch).as_deref(), expected);
    }
}

#[test]
fn an_invalid_patch_is_refused() {
    for (patch, expected) in [
        ("{bad", "performing strategic merge patch: invalid JSON document"),
        ("", "performing strategic merge patch: invalid JSON document"),
        ("[]", "performing strategic merge patch: invalid JSON document"),
        ("5", "performing strategic merge patch: invalid JSON document"),
        (r#"{"spec":{"$patch":"bogus"}}"#, "performing strategic merge patch: unknown patch type: bogus in spec"),
        (r#"{"spec":{"foo":"bar"}}"#, "field in document is not recognized or is in the wrong location: foo"),
        (r#"{"spec":{"foo":{"a":1}}}"#, "field in document is not recognized or is in the wrong location: foo"),
        (r#"{"foo":1}"#, "field in document is not recognized or is in the wrong location: foo"),
        (
            r#"{"spec":{"ports":[{"$patch":"replace"}]}}"#,
            "field in document is not recognized or is in the wrong location: $patch",
        ),
        (r#"{"spec":{"node":null}}"#, "updating existing resource: error with field spec (node must be specified)"),
        (
            r#"{"spec":{"$patch":"delete"}}"#,
            "updating existing resource: error with the following fields:\n\
             -  spec (at least one of interfaceName or expectedIPs must be specified)\n\
             -  spec (node must be specified)\n",
        ),
        (r#"{"metadata":{"resourceVersion":"3"}}"#, "updating existing resource: update conflict: HostEndpoint(h1)"),
        (
            r#"{"metadata":{"uid":null}}"#,
            "updating existing resource: error with field Metadata.UID = '' (field must be set for an Update request)",
        ),
        // Calico crashes on these, or loses something.
        (
            r#"{"spec":{"$setElementOrder/ports":[]}}"#,
            "performing strategic merge patch: $setElementOrder/ports in spec is not supported: lists here are replaced whole",
        ),
        (r#"{"spec":{"node":"a","Node":"b"}}"#, "performing strategic merge patch: node appears twice in spec"),
        (r#"{"$patch":"delete"}"#, "performing strategic merge patch: $patch is not allowed for the whole object"),
        (
            r#"{"metadata":{"name":"h2"}}"#,
            "performing strategic merge patch: HostEndpoint(h1) cannot become HostEndpoint(h2): kind, name and \
             namespace of an object do not change",
        ),
    ] {
        assert_eq!(patched(patch).0, expected, "{patch}");
    }
    for patch in [
        r#"{"spec":"x"}"#,
        r#"{"spec":{"expectedIPs":"x"}}"#,
        r#"{"spec":{"expectedIPs":{"a":"x"}}}"#,
        r#"{"metadata":{"labels":["x"]}}"#,
        r#"{"apiVersion":"v1"}"#,
        r#"{"kind":"Nonsense"}"#,
    ] {
        let (said, _) = patched(patch);
        assert!(said.starts_with("creating resource from patched data: "), "{patch}: {said}");
    }
    for patch in [r#"{"metadata":{"namespace":"x"}}"#, r#"{"kind":"Tier"}"#] {
        let (said, stored) = patched(patch);
        assert!(!said.starts_with("Changed"), "{patch}: {said}");
        assert!(stored["metadata"].get("namespace").is_none());
    }
}

#[test]
fn patching_a_missing_object_reports_that_first() {
    let (client, _) = ready();
    let said = said(&client.patch(&key(), "{bad"));
    assert_eq!(said, "resource does not exist: HostEndpoint(h1) with error: <nil>");
}
