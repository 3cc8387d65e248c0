//! Policies that older releases stored as `default.<name>`.

use super::*;

fn key(name: &str) -> Key {
    cluster(Kind::GlobalNetworkPolicy, name)
}

/// Stores a policy as another release would.
fn store(spy: &Spy, at: &str, tier: &str, annotation: Option<&str>) {
    let annotations = annotation.map_or(json!({}), |name| json!({ "projectcalico.org/metadata": name }));
    let json = json!({ "kind": "GlobalNetworkPolicy", "metadata": { "name": at, "uid": "u",
        "creationTimestamp": "2020-01-01T00:00:00Z", "annotations": annotations }, "spec": { "tier": tier } });
    raw(spy, &key(at), &json);
}

fn names(client: &Client) -> Vec<String> {
    let all = client.list(&Selection::kind(Kind::GlobalNetworkPolicy)).unwrap();
    all.objects.into_iter().map(|policy| policy.metadata.name).collect()
}

#[test]
fn a_policy_is_shown_under_the_name_that_it_was_given() {
    for (at, tier, annotation, shown) in [
        ("default.foo", "default", None, "foo"),
        ("default.foo", "", None, "foo"),
        ("default.foo", "t1", None, "default.foo"),
        ("t1.foo", "t1", None, "t1.foo"),
        ("foo", "default", None, "foo"),
        ("default.foo", "default", Some(r#"{"name":"default.foo"}"#), "default.foo"),
        ("default.foo", "default", Some(r#"{"name":"foo"}"#), "foo"),
        ("default.foo", "default", Some(r#"{}"#), "default.foo"),
    ] {
        let (client, spy) = ready();
        store(&spy, at, tier, annotation);
        assert_eq!(names(&client), [shown], "{at} in {tier:?} with {annotation:?}");
        let found = client.get(&key(shown)).unwrap();
        assert_eq!(found.object.metadata.name, shown);
        assert_eq!(found.notes.len(), usize::from(at != shown), "{:?}", found.notes);
        let label = if tier.is_empty() { "default" } else { tier };
        assert_eq!(found.object.metadata.labels["projectcalico.org/tier"], label);
        assert_eq!(client.get(&key(at)).unwrap().object.metadata.name, shown, "by its key too, as in Calico");
    }
}

#[test]
fn a_policy_is_found_under_its_own_key_or_its_legacy_key() {
    let (client, spy) = ready();
    store(&spy, "default.foo", "default", None);
    store(&spy, "foo", "default", Some("no JSON"));
    assert_eq!(client.stored_key(key("foo")).unwrap().name, "foo", "an exact key comes first");
    assert_eq!(client.stored_key(key("bar")).unwrap().name, "bar", "as it would be made");
    store(&spy, "default.bar", "default", None);
    assert_eq!(client.stored_key(key("bar")).unwrap().name, "default.bar");
}

#[test]
fn the_listed_name_reaches_the_stored_policy() {
    let (client, spy) = ready();
    store(&spy, "default.foo", "default", None);
    let exists = "resource already exists: GlobalNetworkPolicy(foo) with error: <nil>";
    assert_eq!(put(&client, gnp("foo", "default"), Mode::Create), exists);
    assert_eq!(put(&client, gnp("foo", "default"), Mode::CreateSkipExisting), "Skipped");
    let outcome = client.apply(vec![gnp("foo", "default")], Mode::Apply).remove(0);
    assert_eq!(said(&outcome.result), "Changed", "it gets its annotation");
    let notes = outcome.result.unwrap().notes;
    assert!(notes.iter().any(|note| note.severity == tortie_manifest::Severity::Warning("legacy-name")), "{notes:?}");
    assert_eq!(put(&client, gnp("foo", "default"), Mode::Apply), "Unchanged");
    let set = LabelChange::Set { key: "a".into(), value: "b".into(), overwrite: false };
    assert_eq!(said(&client.label(&key("foo"), &[set])), "Changed");
    assert_eq!(said(&client.patch(&key("foo"), r#"{"spec":{"order":5}}"#)), "Changed");
    let json = stored(&spy, &key("default.foo"));
    assert_eq!((&json["metadata"]["labels"]["a"], &json["spec"]["order"]), (&json!("b"), &json!(5)));
    assert_eq!(json["metadata"]["annotations"]["projectcalico.org/metadata"], r#"{"name":"foo"}"#);
    assert_eq!(names(&client), ["foo"], "there is still one policy");
    let done = client.delete(vec![key("foo").into()], false).remove(0).result.unwrap();
    assert_eq!((done.change, done.notes.len()), (Change::Deleted, 1));
    assert!(names(&client).is_empty());
}

#[test]
fn a_policy_that_is_applied_under_its_stored_name_keeps_it() {
    let (client, spy) = ready();
    store(&spy, "default.foo", "default", None);
    assert_eq!(names(&client), ["foo"]);
    assert_eq!(put(&client, gnp("default.foo", "default"), Mode::Apply), "Changed");
    assert_eq!(names(&client), ["default.foo"], "no rename, and still one policy");
    assert_eq!(put(&client, gnp("default.foo", "default"), Mode::Apply), "Unchanged");
    assert!(client.migrate_policy_names().unwrap().is_empty());
}

#[test]
fn a_policy_under_its_own_name_comes_first() {
    let (client, spy) = ready();
    store(&spy, "default.foo", "default", None);
    store(&spy, "foo", "default", None);
    assert_eq!(remove(&client, key("foo")), "Deleted");
    assert!(spy.get(&key("foo")).unwrap().is_none());
    assert_eq!(names(&client), ["foo"], "the older one is left, and can be deleted in turn");
    assert_eq!(remove(&client, key("foo")), "Deleted");
    assert!(names(&client).is_empty());
}

#[test]
fn an_unreadable_object_under_the_legacy_key_does_not_block_a_name() {
    let (client, spy) = ready();
    spy.inner.write(&[Write::create(key("default.foo"), *b"{")]).unwrap().remove(0).unwrap();
    assert_eq!(put(&client, gnp("foo", ""), Mode::Create), "Created");
}

#[test]
fn migration_moves_each_policy_to_its_name_once() {
    let (client, spy) = ready();
    store(&spy, "default.a", "default", None);
    store(&spy, "default.b", "default", Some(r#"{"name":"b"}"#));
    store(&spy, "default.c", "default", Some(r#"{"name":"default.c"}"#));
    store(&spy, "default.d", "t1", None);
    put(&client, gnp("e", ""), Mode::Create);
    let dry = Client::new(spy.clone()).dry_run().migrate_policy_names().unwrap();
    spy.count();
    let moved = client.migrate_policy_names().unwrap();
    for outcomes in [dry, moved] {
        let keys: Vec<&str> = outcomes.iter().map(|outcome| outcome.key.name.as_str()).collect();
        assert_eq!(keys, ["default.a", "default.b"]);
        assert_eq!(outcomes[0].result.as_ref().unwrap().object.metadata.name, "a");
    }
    assert_eq!(spy.count(), (2, 4));
    let stored_at = |name: &str| spy.get(&key(name)).unwrap().is_some();
    for (name, there) in
        [("a", true), ("b", true), ("default.a", false), ("default.b", false), ("default.c", true), ("default.d", true)]
    {
        assert_eq!(stored_at(name), there, "{name}");
    }
    let json = stored(&spy, &key("a"));
    assert_eq!((&json["metadata"]["name"], &json["metadata"]["uid"]), (&json!("a"), &json!("u")));
    assert!(client.migrate_policy_names().unwrap().is_empty());
    assert_eq!(spy.count(), (0, 0));
}

#[test]
fn an_interrupted_migration_continues_and_loses_nothing() {
    let (client, spy) = ready();
    store(&spy, "default.a", "default", None);
    store(&spy, "a", "default", None);
    store(&spy, "default.b", "default", None);
    put(
        &client,
        object(json!({ "kind": "GlobalNetworkPolicy", "metadata": { "name": "x" }, "spec": {} })),
        Mode::Create,
    );
    let mut other = stored(&spy, &key("x"));
    other["metadata"]["annotations"] = json!({});
    other["spec"]["selector"] = json!("has(b)");
    raw(&spy, &key("b"), &other);
    let outcomes = client.migrate_policy_names().unwrap();
    assert_eq!(said(&outcomes[0].result), "Changed");
    assert!(spy.get(&key("default.a")).unwrap().is_none());
    let exists = "resource already exists: GlobalNetworkPolicy(b) with error: <nil>";
    assert_eq!(said(&outcomes[1].result), exists, "it is another policy: both stay");
    assert!(spy.get(&key("default.b")).unwrap().is_some());
}
