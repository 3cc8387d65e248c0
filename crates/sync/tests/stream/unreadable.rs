//! Objects that the store itself could not read, and Kubernetes' own kinds.

use std::cell::RefCell;
use std::collections::BTreeMap;

use tortie_api::{Key, Kind};
use tortie_policy::Item;
use tortie_store::{Stored, Value};
use tortie_sync::{Content, NoCache, Replacement, changes};

fn policy(kind: Kind) -> Stored {
    let key = if kind.namespaced() { Key::namespaced(kind, "shop", "db") } else { Key::cluster(kind, "db") };
    let text = format!(r#"{{"kind":"{kind}","metadata":{{"name":"db"}},"spec":{{"ingress":[{{"action":"Deny"}}]}}}}"#);
    Stored { key, revision: "7/".into(), value: text.into_bytes().into() }
}

fn unreadable(stored: &Stored) -> Stored {
    Stored { revision: "8/".into(), value: Value::cannot_be_read("the port is not a port"), ..stored.clone() }
}

#[test]
fn an_object_that_a_store_cannot_read_is_replaced_as_any_unreadable_one_and_its_reason_is_reported() {
    let good = policy(Kind::NetworkPolicy);
    let last_valid = RefCell::new(BTreeMap::new());
    assert!(changes(&[&good], &last_valid)[0].unreadable.is_none());
    for (first, replacement) in [
        (changes(&[&unreadable(&good)], &last_valid), Replacement::LastValid("7/".into())),
        (changes(&[&unreadable(&good)], &NoCache), Replacement::DenyByDefault),
        (changes(&[&unreadable(&policy(Kind::WorkloadEndpoint))], &NoCache), Replacement::Nothing),
    ] {
        let said = first[0].unreadable.as_ref().unwrap();
        assert_eq!(said.replacement, replacement);
        assert_eq!(said.revision.to_string(), "8/");
        assert!(said.reasons[0].contains("the port is not a port"), "{:?}", said.reasons);
    }
}

#[test]
fn policies_of_kubernetes_are_policies_and_its_other_kinds_are_ignored() {
    for kind in [Kind::KubernetesNetworkPolicy, Kind::KubernetesClusterNetworkPolicy] {
        let change = changes(&[&policy(kind)], &NoCache).remove(0);
        assert_eq!(change.unreadable, None);
        let Content::Item(item) = change.content else { panic!("{kind}") };
        let Item::Policy(policy) = *item else { panic!("{kind}") };
        assert_eq!((policy.id.kind, policy.id.name.as_str(), policy.ingress.len()), (kind, "db", 1));
    }
    for kind in [Kind::KubernetesService, Kind::KubernetesEndpointSlice] {
        let text = r#"{"metadata":{"name":"db"},"addressType":"IPv4","endpoints":[],"ports":[]}"#;
        let stored = Stored { value: text.as_bytes().to_vec().into(), ..policy(kind) };
        assert_eq!(changes(&[&stored], &NoCache)[0].unreadable, None, "{kind}");
    }
}
