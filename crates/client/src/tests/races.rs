//! Other writers.

use super::*;

/// Changes an endpoint's label as another client would, before each of the next `times` writes.
fn meddle(spy: &Spy, times: usize) {
    let mut left = times;
    spy.before_writes(move |store| {
        if left > 0 {
            left -= 1;
            let stored = store.get(&hep("h1").key()).unwrap().unwrap();
            let mut json: Value = serde_json::from_slice(&stored.value).unwrap();
            json["metadata"]["annotations"] = json!({ "meddled": left.to_string() });
            let write = Write::update(stored.key, json.to_string().into_bytes(), stored.revision);
            store.write(&[write]).unwrap().remove(0).unwrap();
        }
    });
}

fn set(value: &str) -> [LabelChange; 1] {
    [LabelChange::Set { key: "a".to_owned(), value: value.to_owned(), overwrite: true }]
}

#[test]
fn a_lost_race_is_run_again_up_to_five_times_and_a_change_of_fields_more_often() {
    let conflict = "update conflict: HostEndpoint(h1)";
    for (times, expected, edited) in
        [(1, "Changed", "Changed"), (5, "Changed", "Changed"), (6, conflict, "Changed"), (13, conflict, conflict)]
    {
        let (client, spy) = ready();
        put(&client, hep("h1"), Mode::Create);
        meddle(&spy, times);
        let mut new = hep("h1");
        new.body["spec"]["node"] = json!("n2");
        assert_eq!(put(&client, new, Mode::Replace), expected, "{times}");
        meddle(&spy, times);
        assert_eq!(said(&client.label(&hep("h1").key(), &set(&times.to_string()))), edited, "{times}");
        let json = stored(&spy, &hep("h1").key());
        assert_eq!(json["metadata"]["annotations"]["meddled"], "0", "nothing of the other's is lost");
    }
}

#[test]
fn a_pinned_revision_is_not_run_again() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let mut new = client.get(&hep("h1").key()).unwrap().object;
    new.body["spec"]["node"] = json!("n2");
    meddle(&spy, 1);
    assert_eq!(put(&client, new, Mode::Apply), "update conflict: HostEndpoint(h1)");
    assert_eq!(stored(&spy, &hep("h1").key())["spec"]["node"], "n1");
}

#[test]
fn an_object_that_appears_meanwhile_is_treated_as_existing() {
    for (mode, expected) in [
        (Mode::Create, "resource already exists: HostEndpoint(h1) with error: <nil>"),
        (Mode::CreateSkipExisting, "Skipped"),
        (Mode::Apply, "Changed"),
    ] {
        let (client, spy) = ready();
        let mut first = true;
        spy.before_writes(move |store| {
            if std::mem::take(&mut first) {
                let mut theirs = hep("h1");
                theirs.body["spec"]["node"] = json!("theirs");
                let client = Client::new(Arc::new(store.clone()));
                assert_eq!(put(&client, theirs, Mode::Create), "Created");
            }
        });
        let outcomes = client.apply(vec![hep("h0"), hep("h1"), hep("h2")], mode);
        let said: Vec<String> = outcomes.iter().map(|outcome| said(&outcome.result)).collect();
        assert_eq!(said, ["Created", expected, "Created"], "{mode:?}");
    }
}

#[test]
fn an_object_that_is_deleted_meanwhile_is_created_again_only_by_apply() {
    for (mode, expected) in
        [(Mode::Apply, "Created"), (Mode::Replace, "resource does not exist: HostEndpoint(h1) with error: <nil>")]
    {
        let (client, spy) = ready();
        put(&client, hep("h1"), Mode::Create);
        spy.before_writes(|store| {
            store.write(&[Write::delete(hep("h1").key(), None)]).unwrap();
        });
        let mut new = hep("h1");
        new.body["spec"]["node"] = json!("n2");
        assert_eq!(put(&client, new, mode), expected, "{mode:?}");
    }
}

#[test]
fn clients_that_race_lose_no_change() {
    let store = Arc::new(MemoryStore::new());
    put(&Client::new(store.clone()), hep("h1"), Mode::Create);
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let client = Client::new(store.clone());
            scope.spawn(move || {
                for round in 0..20 {
                    let key = format!("{name}{round}");
                    let change = [LabelChange::Set { key, value: "x".to_owned(), overwrite: false }];
                    while client.label(&hep("h1").key(), &change).is_err() {}
                }
            });
        }
    });
    let labels = Client::new(store).get(&hep("h1").key()).unwrap().object.metadata.labels;
    assert_eq!(labels.len(), 60);
}

/// A store that answers nothing.
struct Broken;

impl Store for Broken {
    fn describe(&self) -> String {
        "broken".to_owned()
    }

    fn get(&self, _: &Key) -> Result<Option<Stored>, StoreError> {
        Err(StoreError::Failed("it is broken".to_owned()))
    }

    fn list(&self, _: &Selection) -> Result<Listing, StoreError> {
        Err(StoreError::Failed("it is broken".to_owned()))
    }

    fn write(&self, _: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        Err(StoreError::Failed("it is broken".to_owned()))
    }

    fn watch(&self, _: &Selection, _: &Position) -> Result<Box<dyn Watch>, StoreError> {
        Err(StoreError::Failed("it is broken".to_owned()))
    }
}

#[test]
fn a_store_that_fails_is_reported_for_every_object() {
    let client = Client::new(Arc::new(Broken));
    let outcomes = client.apply(vec![hep("h1"), gnp("p", "")], Mode::Apply);
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|outcome| said(&outcome.result) == "it is broken"));
    assert_eq!(remove(&client, hep("h1").key()), "it is broken");
    assert_eq!(client.get(&hep("h1").key()).unwrap_err().to_string(), "it is broken");
    assert_eq!(client.lock().unwrap_err().to_string(), "it is broken");
}

#[test]
fn an_object_that_the_store_refuses_is_reported_and_the_others_are_written() {
    struct Picky(MemoryStore);
    impl Layer for Picky {
        fn below(&self) -> &dyn Store {
            &self.0
        }

        fn on_write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
            let refused = |write: &Write| matches!(&write.op, Op::Create(_)) && write.key.name == "h2";
            let answer = |write: &Write| match refused(write) {
                true => Ok(Err(WriteError::Refused("too large".to_owned()))),
                false => Ok(self.0.write(std::slice::from_ref(write))?.remove(0)),
            };
            writes.iter().map(answer).collect()
        }
    }
    let client = Client::new(Arc::new(Picky(MemoryStore::new())));
    let outcomes = client.apply(vec![hep("h1"), hep("h2"), hep("h3")], Mode::Apply);
    let said: Vec<String> = outcomes.iter().map(|outcome| said(&outcome.result)).collect();
    assert_eq!(said, ["Created", "too large", "Created"]);
}

#[test]
fn deleting_a_node_deletes_endpoints_that_changed_meanwhile_and_keeps_those_that_moved() {
    for (moved, along) in [(true, vec!["h2"]), (false, vec!["h2", "h1"])] {
        let (client, spy) = ready();
        let node = object(json!({ "kind": "Node", "metadata": { "name": "n1" }, "spec": {} }));
        for outcome in client.apply(vec![hep("h1"), hep("h2"), node.clone()], Mode::Create) {
            assert_eq!(said(&outcome.result), "Created");
        }
        let mut first = true;
        spy.before_writes(move |store| {
            if std::mem::take(&mut first) {
                let stored = store.get(&hep("h1").key()).unwrap().unwrap();
                let mut json: Value = serde_json::from_slice(&stored.value).unwrap();
                let field = if moved { "node" } else { "interfaceName" };
                json["spec"][field] = json!("n2");
                let write = Write::update(stored.key, json.to_string().into_bytes(), stored.revision);
                store.write(&[write]).unwrap().remove(0).unwrap();
            }
        });
        let done = client.delete(vec![node.key().into()], false).remove(0).result.unwrap();
        let names: Vec<&str> = done.along.iter().map(|key| key.name.as_str()).collect();
        assert_eq!((done.change, names), (Change::Deleted, along));
        assert_eq!(spy.get(&hep("h1").key()).unwrap().is_some(), moved);
    }
}
