//! The order of policies.

use tortie_api::Kind;

use super::PolicyId;

#[test]
fn policies_of_one_order_come_in_the_order_of_name_namespace_and_kind_as_one_text() {
    // What sorts before, at and after the slash that follows a name.
    let names = ["", "a", "a-b", "a.b", "a0", "aa", "b"];
    let kinds = [Kind::NetworkPolicy, Kind::GlobalNetworkPolicy, Kind::StagedNetworkPolicy];
    let mut ids = Vec::new();
    for name in names {
        for namespace in ["", "a", "a-b"] {
            ids.extend(kinds.map(|kind| PolicyId { kind, namespace: namespace.to_owned(), name: name.to_owned() }));
        }
    }
    let text = |id: &PolicyId| format!("{}/{}/{}", id.name, id.namespace, id.kind);
    for a in &ids {
        for b in &ids {
            assert_eq!(a.cmp(b), text(a).cmp(&text(b)), "{} and {}", text(a), text(b));
        }
    }
}
