//! Writing objects of any kind.

use super::*;

#[test]
fn create_fills_in_uid_and_time() {
    let (client, spy) = ready();
    assert_eq!(put(&client, hep("h1"), Mode::Create), "Created");
    let stored = stored(&spy, &cluster(Kind::HostEndpoint, "h1"));
    assert_eq!(stored["kind"], "HostEndpoint");
    assert_eq!(stored["apiVersion"], "projectcalico.org/v3");
    assert_eq!(stored["metadata"]["uid"].as_str().unwrap().len(), 36);
    let time = stored["metadata"]["creationTimestamp"].as_str().unwrap();
    assert_eq!((time.len(), &time[19..]), (20, "Z"), "{time}");
    assert!(stored["metadata"].get("resourceVersion").is_none());
}

#[test]
fn results_have_the_revision() {
    let (client, spy) = ready();
    let done = client.apply(vec![hep("h1")], Mode::Create).remove(0).result.unwrap();
    let revision = spy.get(&done.object.key()).unwrap().unwrap().revision;
    assert_eq!(done.object.metadata.resource_version, revision.to_string());
    let found = client.get(&done.object.key()).unwrap();
    assert_eq!(found.object, done.object);
    assert!(found.notes.is_empty());
}

#[test]
fn a_new_object_gets_only_the_metadata_that_users_may_give() {
    let (client, spy) = ready();
    let mut given = hep("h1");
    given.metadata.uid = "mine".to_owned();
    given.metadata.finalizers = vec!["f".to_owned()];
    given.metadata.generation = 7;
    given.metadata.labels.insert("a".to_owned(), "b".to_owned());
    given.metadata.annotations.insert("c".to_owned(), "d".to_owned());
    for mode in [Mode::Create, Mode::Apply] {
        assert_eq!(put(&client, given.clone(), mode), if mode == Mode::Create { "Created" } else { "Unchanged" });
        let metadata = &stored(&spy, &given.key())["metadata"];
        assert_ne!(metadata["uid"], "mine");
        assert!(metadata.get("finalizers").is_none() && metadata.get("generation").is_none());
        assert_eq!((&metadata["labels"], &metadata["annotations"]), (&json!({"a": "b"}), &json!({"c": "d"})));
    }
}

#[test]
fn modes_differ_in_what_they_do_with_what_exists() {
    let (client, spy) = ready();
    let exists = "resource already exists: HostEndpoint(h1) with error: <nil>";
    let missing = "resource does not exist: HostEndpoint(h1) with error: <nil>";
    for (mode, on_none, on_same, on_other) in [
        (Mode::Create, "Created", exists, exists),
        (Mode::CreateSkipExisting, "Created", "Skipped", "Skipped"),
        (Mode::Apply, "Created", "Unchanged", "Changed"),
        (Mode::Replace, missing, "Unchanged", "Changed"),
    ] {
        let key = hep("h1").key();
        let _ = client.delete(vec![key.clone().into()], true);
        assert_eq!(put(&client, hep("h1"), mode), on_none, "{mode:?}");
        let _ = put(&client, hep("h1"), Mode::Apply);
        let before = spy.get(&key).unwrap();
        assert_eq!(put(&client, hep("h1"), mode), on_same, "{mode:?}");
        assert_eq!(spy.get(&key).unwrap(), before, "{mode:?}");
        let mut other = hep("h1");
        other.body["spec"]["node"] = json!("n2");
        assert_eq!(put(&client, other, mode), on_other, "{mode:?}");
    }
}

#[test]
fn a_resource_version_is_refused_on_create_and_must_be_current_on_update() {
    let (client, spy) = ready();
    let given = |version: &str| {
        let mut object = hep("h1");
        object.metadata.resource_version = version.to_owned();
        object.body["spec"]["node"] = json!("n2");
        object
    };
    let refused = |version: &str| {
        format!("error with field Metadata.ResourceVersion = '{version}' (field must not be set for a Create request)")
    };
    assert_eq!(put(&client, given("5"), Mode::Create), refused("5"));
    assert_eq!(put(&client, given("5"), Mode::Apply), "Created", "apply drops it when it creates");
    for version in ["9999", "abc"] {
        assert_eq!(put(&client, given(version), Mode::Create), refused(version));
        for mode in [Mode::Apply, Mode::Replace] {
            assert_eq!(put(&client, given(version), mode), "update conflict: HostEndpoint(h1)");
        }
    }
    let current = spy.get(&hep("h1").key()).unwrap().unwrap().revision.to_string();
    assert_eq!(put(&client, given(&current), Mode::Replace), "Unchanged");
    let mut object = given(&current);
    object.body["spec"]["node"] = json!("n3");
    assert_eq!(put(&client, object, Mode::Replace), "Changed");
}

#[test]
fn a_conflict_names_the_current_revision() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let mut object = hep("h1");
    object.metadata.resource_version = "1".to_owned();
    let current = spy.get(&object.key()).unwrap().unwrap().revision;
    let error = client.apply(vec![object], Mode::Replace).remove(0).result.unwrap_err();
    assert!(matches!(&error, ClientError::Conflict { current: Some(at), .. } if *at == current), "{error:?}");
}

#[test]
fn replace_keeps_metadata_but_takes_labels_and_annotations() {
    let (client, spy) = ready();
    let key = hep("h1").key();
    raw(
        &spy,
        &key,
        &json!({ "kind": "HostEndpoint", "apiVersion": "projectcalico.org/v3",
            "metadata": { "name": "h1", "uid": "u", "creationTimestamp": "2020-01-01T00:00:00Z", "finalizers": ["f"],
                "labels": { "old": "x" }, "annotations": { "old": "x" } },
            "spec": { "node": "n9", "interfaceName": "eth9" } }),
    );
    let mut new = hep("h1");
    new.metadata.uid = "other".to_owned();
    new.metadata.finalizers = vec!["g".to_owned()];
    new.metadata.labels.insert("new".to_owned(), "y".to_owned());
    assert_eq!(put(&client, new, Mode::Replace), "Changed");
    let metadata = &stored(&spy, &key)["metadata"];
    assert_eq!(metadata["uid"], "u");
    assert_eq!(metadata["creationTimestamp"], "2020-01-01T00:00:00Z");
    assert_eq!(metadata["finalizers"], json!(["f"]));
    assert_eq!(metadata["labels"], json!({ "new": "y" }));
    assert!(metadata.get("annotations").is_none());
}

#[test]
fn an_object_without_uid_and_time_gets_them_on_replace() {
    let (client, spy) = ready();
    let key = hep("h1").key();
    raw(&spy, &key, &json!({ "kind": "HostEndpoint", "metadata": { "name": "h1" }, "spec": { "node": "n9" } }));
    assert_eq!(put(&client, hep("h1"), Mode::Replace), "Changed");
    assert_eq!(put(&client, hep("h1"), Mode::Replace), "Unchanged");
    assert!(stored(&spy, &key)["metadata"]["uid"].is_string());
    assert!(stored(&spy, &key)["metadata"]["creationTimestamp"].is_string());
}

#[test]
fn replace_keeps_the_status_that_programs_wrote_unless_one_is_given() {
    const KEY: &str = "jlkVyQYooZYzI2wFfNhSZez5eWh44yfq1wKVjLvSXgY=";
    let (client, spy) = ready();
    let node = || object(json!({ "kind": "Node", "metadata": { "name": "n1" }, "spec": {} }));
    put(&client, node(), Mode::Create);
    let mut json = stored(&spy, &node().key());
    json["status"] = json!({ "wireguardPublicKey": KEY });
    raw(&spy, &node().key(), &json);
    assert_eq!(put(&client, node(), Mode::Replace), "Unchanged");
    let mut other = node();
    other.metadata.labels.insert("a".to_owned(), "b".to_owned());
    assert_eq!(put(&client, other.clone(), Mode::Apply), "Changed");
    assert_eq!(stored(&spy, &node().key())["status"]["wireguardPublicKey"], KEY);
    other.body.insert("status".to_owned(), json!({}));
    assert_eq!(put(&client, other, Mode::Apply), "Changed");
    assert_eq!(stored(&spy, &node().key())["status"], json!({}));
}

#[test]
fn namespaced_kinds_have_a_namespace_and_other_kinds_have_none() {
    let (client, _) = ready();
    let in_namespace = |json: Value, namespace: &str| {
        let mut object = object(json);
        object.metadata.namespace = namespace.to_owned();
        object
    };
    let set = json!({ "kind": "NetworkSet", "metadata": { "name": "s" }, "spec": {} });
    let tier = json!({ "kind": "Tier", "metadata": { "name": "s" }, "spec": {} });
    let missing = "error with field Metadata.Namespace (namespace is not specified on namespaced resource)";
    let needless = "namespace should not be specified for a non-namespaced resource. Tier is not a namespaced resource";
    let slash = "error with field Metadata.Namespace = 'a/b' (must not contain '/')";
    for mode in [Mode::Create, Mode::Apply, Mode::Replace] {
        assert_eq!(put(&client, in_namespace(set.clone(), ""), mode), missing, "{mode:?}");
        assert_eq!(put(&client, in_namespace(tier.clone(), "x"), mode), needless, "{mode:?}");
    }
    assert_eq!(put(&client, in_namespace(set.clone(), "a/b"), Mode::Apply), slash);
    assert_eq!(put(&client, in_namespace(set, "a"), Mode::Apply), "Created");
    assert_eq!(client.get(&Key::namespaced(Kind::NetworkSet, "", "s")).unwrap_err().to_string(), missing);
    assert_eq!(remove(&client, Key::namespaced(Kind::NetworkSet, "", "s")), missing);
    let done = client.label(&Key::namespaced(Kind::NetworkSet, "", "s"), &[]);
    assert_eq!(done.unwrap_err().to_string(), missing);
}

#[test]
fn an_invalid_object_is_refused_with_its_places_and_the_others_are_written() {
    let (client, spy) = ready();
    let mut wrong = hep("h2");
    wrong.body["spec"]["node"] = json!("");
    let outcomes = client.apply(vec![hep("h1"), wrong, hep("h3")], Mode::Apply);
    let said: Vec<String> = outcomes.iter().map(|outcome| said(&outcome.result)).collect();
    assert_eq!(said, ["Created", "error with field spec (node must be specified)", "Created"]);
    assert!(!outcomes[1].result.as_ref().unwrap_err().problems().is_empty());
    assert_eq!(spy.count(), (1, 2));
}

#[test]
fn a_new_object_needs_a_name() {
    let (client, _) = ready();
    for mode in [Mode::Create, Mode::Apply] {
        let text = put(&client, hep(""), mode);
        assert!(text.starts_with("error with field Metadata.Name = '' (name must consist of lower case"), "{text}");
    }
    assert_eq!(put(&client, hep(""), Mode::Replace), "resource does not exist: HostEndpoint() with error: <nil>");
}

#[test]
fn two_thousand_objects_are_one_write() {
    let (client, spy) = empty();
    let mut objects = vec![tier("t1")];
    objects.extend((0..1000).map(|i| gnp(&format!("p{i}"), "t1")));
    objects.extend((0..999).map(|i| hep(&format!("h{i}"))));
    let outcomes = client.apply(objects.clone(), Mode::Apply);
    assert_eq!(outcomes.len(), 2000);
    for (outcome, object) in outcomes.iter().zip(&objects) {
        assert_eq!((&outcome.key, said(&outcome.result).as_str()), (&object.key(), "Created"));
    }
    assert_eq!(spy.count(), (2, 2004), "the initial content and the objects");
    let outcomes = client.apply(objects, Mode::Apply);
    assert!(outcomes.iter().all(|outcome| said(&outcome.result) == "Unchanged"));
    assert_eq!(spy.count(), (0, 0), "what is there already is not written again");
}

#[test]
fn one_object_twice_in_a_batch_works_in_order() {
    let (client, spy) = ready();
    let mut second = hep("h1");
    second.body["spec"]["node"] = json!("n2");
    let batch = vec![hep("h1"), hep("h2"), second.clone(), second, hep("h1")];
    for dry_run in [true, false] {
        let client = if dry_run { Client::new(spy.clone()).dry_run() } else { Client::new(spy.clone()) };
        let outcomes = client.apply(batch.clone(), Mode::Apply);
        let said: Vec<String> = outcomes.iter().map(|outcome| said(&outcome.result)).collect();
        assert_eq!(said, ["Created", "Created", "Changed", "Unchanged", "Changed"], "dry run: {dry_run}");
    }
    assert_eq!(stored(&spy, &hep("h1").key())["spec"]["node"], "n1");
    let outcomes = client.apply(vec![hep("h5"), hep("h5")], Mode::Create);
    assert_eq!(said(&outcomes[0].result), "Created");
    assert_eq!(said(&outcomes[1].result), "resource already exists: HostEndpoint(h5) with error: <nil>");
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let batch = || {
        let mut wrong = hep("h2");
        wrong.body["spec"]["node"] = json!("");
        vec![tier("t1"), gnp("p1", "t1"), gnp("p2", "t2"), wrong, hep("h1")]
    };
    let (client, spy) = empty();
    let say = |client: &Client| -> Vec<String> {
        client.apply(batch(), Mode::Apply).iter().map(|outcome| said(&outcome.result)).collect()
    };
    let dry = say(&Client::new(spy.clone()).dry_run());
    assert!(spy.list(&Selection::default()).unwrap().items.is_empty());
    assert_eq!(dry[..3], ["Created", "Created", "resource does not exist: Tier(t2) with error: <nil>"]);
    assert_eq!(say(&client), dry);
    let before = spy.list(&Selection::default()).unwrap();
    let dry = Client::new(spy.clone()).dry_run();
    let set = LabelChange::Set { key: "a".into(), value: "b".into(), overwrite: false };
    assert_eq!(said(&dry.label(&hep("h1").key(), &[set])), "Changed");
    assert_eq!(said(&dry.patch(&hep("h1").key(), r#"{"spec":{"node":"n2"}}"#)), "Changed");
    assert_eq!(said(&dry.delete(vec![hep("h1").key().into()], false)[0].result), "Deleted");
    assert!(dry.get(&hep("h1").key()).is_err(), "a dry run goes on from what it said");
    assert!(dry.lock().unwrap() && dry.is_locked().unwrap() && !client.is_locked().unwrap());
    assert_eq!(spy.list(&Selection::default()).unwrap(), before);
}

#[test]
fn an_object_that_another_program_formatted_differently_is_unchanged() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let json = stored(&spy, &hep("h1").key());
    let pretty = serde_json::to_string_pretty(&json).unwrap();
    let at = spy.get(&hep("h1").key()).unwrap().unwrap().revision;
    spy.inner.write(&[Write::update(hep("h1").key(), pretty.into_bytes(), at)]).unwrap().remove(0).unwrap();
    assert_eq!(put(&client, hep("h1"), Mode::Apply), "Unchanged");
}

#[test]
fn unreadable_objects_are_listed() {
    let (client, spy) = ready();
    let key = hep("h1").key();
    spy.inner.write(&[Write::create(key.clone(), *b"{")]).unwrap().remove(0).unwrap();
    let unreadable = "failed to parse datastore entry key=/calico/resources/v3/projectcalico.org/hostendpoints/h1; ";
    assert!(client.get(&key).unwrap_err().to_string().starts_with(unreadable));
    assert_eq!(put(&client, hep("h1"), Mode::Create), "resource already exists: HostEndpoint(h1) with error: <nil>");
    assert_eq!(put(&client, hep("h1"), Mode::CreateSkipExisting), "Skipped");
    put(&client, hep("h2"), Mode::Create);
    let all = client.list(&Selection::kind(Kind::HostEndpoint)).unwrap();
    assert_eq!(all.objects.len(), 1);
    assert!(all.unreadable[0].to_string().starts_with(unreadable));
}

#[test]
fn the_key_names_an_object_whatever_its_json_says() {
    let (client, spy) = ready();
    let key = hep("h1").key();
    raw(&spy, &key, &json!({ "kind": "HostEndpoint", "metadata": { "name": "other" }, "spec": { "node": "n" } }));
    let all = client.list(&Selection::kind(Kind::HostEndpoint)).unwrap();
    assert_eq!(all.objects[0].key(), key);
    assert_eq!(client.get(&key).unwrap().object.key(), key);
}

#[test]
fn a_manifest_replaces_an_object_of_which_nothing_can_be_read_unless_it_was_changed_meanwhile() {
    for mode in [Mode::Apply, Mode::Replace] {
        for damage in [&b"{"[..], b"", b"[]", b"\xff", b"{\"spec\":7}"] {
            let (client, spy) = ready();
            let key = hep("h1").key();
            spy.inner.write(&[Write::create(key.clone(), damage)]).unwrap().remove(0).unwrap();
            assert_eq!(put(&client, hep("h1"), mode), "Changed", "{mode:?} {damage:?}");
            assert_eq!(client.get(&key).unwrap().object.body, hep("h1").body);
            assert_eq!(put(&client, hep("h1"), Mode::Apply), "Unchanged");
            assert!(stored(&spy, &key)["metadata"]["uid"].as_str().is_some_and(|uid| !uid.is_empty()));
        }
    }
    let (client, spy) = ready();
    let key = hep("h1").key();
    spy.inner.write(&[Write::create(key.clone(), *b"{")]).unwrap().remove(0).unwrap();
    let mut meanwhile = Some(key);
    spy.before_writes(move |store| {
        let Some(key) = meanwhile.take() else { return };
        let read = store.get(&key).unwrap().unwrap().revision;
        store.write(&[Write::update(key, *b"[", read)]).unwrap().remove(0).unwrap();
    });
    spy.count();
    assert_eq!(put(&client, hep("h1"), Mode::Apply), "Changed");
    assert_eq!(spy.count().0, 2, "the first write was refused, since another version was read");
    let (client, spy) = ready();
    let key = hep("h1").key();
    spy.inner.write(&[Write::create(key, *b"{")]).unwrap().remove(0).unwrap();
    let mut older = hep("h1");
    older.metadata.resource_version = "1".to_owned();
    assert!(put(&client, older, Mode::Replace).contains("update conflict"), "another version was read");
}
