//! Changing labels.

use super::*;

fn set(key: &str, value: &str, overwrite: bool) -> LabelChange {
    LabelChange::Set { key: key.to_owned(), value: value.to_owned(), overwrite }
}

fn unset(key: &str) -> LabelChange {
    LabelChange::Remove { key: key.to_owned() }
}

#[test]
fn labels_are_set_and_removed_all_or_none() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let key = hep("h1").key();
    let taken = "key a is already present. please use '--overwrite' to set a new value";
    for (changes, expected, labels) in [
        (vec![set("a", "1", false), set("b", "2", false)], "Changed", json!({ "a": "1", "b": "2" })),
        (vec![set("a", "1", false)], "Unchanged", json!({ "a": "1", "b": "2" })),
        (vec![set("c", "3", false), set("a", "9", false)], taken, json!({ "a": "1", "b": "2" })),
        (vec![set("a", "9", true)], "Changed", json!({ "a": "9", "b": "2" })),
        (vec![unset("b"), unset("c")], "key c does not exist", json!({ "a": "9", "b": "2" })),
        (vec![unset("b"), set("c", "3", false)], "Changed", json!({ "a": "9", "c": "3" })),
        (vec![], "Unchanged", json!({ "a": "9", "c": "3" })),
    ] {
        spy.count();
        assert_eq!(said(&client.label(&key, &changes)), expected, "{changes:?}");
        assert_eq!(stored(&spy, &key)["metadata"]["labels"], labels, "{changes:?}");
        assert_eq!(spy.count().1, usize::from(expected == "Changed"));
    }
}

#[test]
fn a_wrong_label_is_refused() {
    let (client, _) = ready();
    put(&client, hep("h1"), Mode::Create);
    let text = said(&client.label(&hep("h1").key(), &[set("a", "not valid!", false)]));
    assert!(text.starts_with("error with field Metadata.Labels (value) = 'not valid!'"), "{text}");
    let text = said(&client.label(&hep("h2").key(), &[set("a", "b", false)]));
    assert_eq!(text, "resource does not exist: HostEndpoint(h2) with error: <nil>");
}
