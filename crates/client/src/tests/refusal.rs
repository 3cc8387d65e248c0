//! What is refused before a store is asked.

use super::*;

#[path = "../../../manifest/src/validate/tests/cases.rs"]
mod cases;

fn object(kind: Kind, name: &str, spec: &str) -> Object {
    let mut object = Object::new(Key::cluster(kind, name));
    if name.starts_with('{') {
        object.metadata = serde_json::from_str(name).unwrap();
    }
    if kind.namespaced() && object.metadata.namespace.is_empty() {
        object.metadata.namespace = "ns".to_owned();
    }
    object.body.insert("spec".to_owned(), serde_json::from_str(spec).unwrap());
    object
}

/// Whether the error is about what the store does not hold.
fn is_of_store(error: &ClientError) -> bool {
    let text = error.to_string();
    matches!(error, ClientError::Missing { .. }) || text.contains("BGPFilter(s) not found")
}

#[test]
fn what_apply_refuses_on_an_empty_store_is_refused_without_a_store_too() {
    let own: &[cases::Case] = &[
        (
            "WorkloadEndpoint",
            "other",
            r#"{"node": "n", "orchestrator": "k8s", "pod": "p", "endpoint": "eth0", "interfaceName": "c"}"#,
        ),
        ("WorkloadEndpoint", "", r#"{"node": "n", "orchestrator": "k8s", "endpoint": "eth0", "interfaceName": "c"}"#),
        ("ClusterInformation", "default", "{}"),
        ("NetworkPolicy", "knp.default.a", "{}"),
        ("Profile", "projectcalico-default-allow", "{}"),
        ("Profile", "a/b", "{}"),
        ("Node", r#"{"name": "n", "namespace": "x"}"#, "{}"),
    ];
    let all = cases::CASES.iter().flat_map(|(_, cases)| *cases).chain(own);
    let mut refused = 0;
    for (kind, name, spec) in all {
        let kind = Kind::from_name(kind.trim_start_matches("create ")).unwrap();
        let given = object(kind, name, spec);
        let applied =
            Client::new(Arc::new(MemoryStore::default())).apply(vec![given.clone()], Mode::Apply).remove(0).result;
        let alone = Client::refusal(given.clone());
        match applied {
            Err(error) if is_of_store(&error) => {}
            Err(error) => {
                assert_eq!(alone.map(|error| error.to_string()), Some(error.to_string()), "{kind} {name} {spec}");
                refused += 1;
            }
            Ok(_) => assert!(alone.is_none(), "{kind} {name} {spec}: {alone:?}"),
        }
    }
    assert!(refused > 100, "{refused}");
}
