//! Batches that are written whole or not at all.

use super::*;

fn whole(client: &Client, objects: Vec<Object>) -> (Extent, Vec<String>) {
    shown(client.write(objects, Mode::Apply, BatchMode::AllOrNothing, None))
}

fn shown(batch: Batch) -> (Extent, Vec<String>) {
    (batch.extent, batch.outcomes.iter().map(|outcome| said(&outcome.result)).collect())
}

fn content(spy: &Spy) -> Vec<Stored> {
    spy.inner.list(&Selection::default()).unwrap().items
}

fn wrong(name: &str) -> Object {
    let mut wrong = hep(name);
    wrong.body["spec"]["node"] = json!("");
    wrong
}

#[test]
fn if_one_object_is_refused_nothing_is_written_and_every_error_is_reported() {
    let (client, spy) = empty();
    let (extent, said) = whole(&client, vec![hep("h1"), gnp("p", "nowhere"), wrong("h2"), tier("t")]);
    assert_eq!(extent, Extent::Nothing);
    assert_eq!(said[0], "Created", "what would have been done");
    assert_eq!(said[1], "resource does not exist: Tier(nowhere) with error: <nil>");
    assert!(said[2].contains("node"), "{}", said[2]);
    assert!(content(&spy).is_empty(), "not even the initial content");
}

#[test]
fn objects_that_others_need_are_written_first_and_deleted_last_in_one_call() {
    let (client, spy) = ready();
    let objects = vec![hep("h1"), gnp("p", "t"), tier("t")];
    let keys: Vec<Target> = [tier("t"), gnp("p", "t"), hep("h1")].iter().map(|object| object.key().into()).collect();
    assert_eq!(whole(&client, objects), (Extent::Each, vec!["Created".to_owned(); 3]));
    assert_eq!(spy.count(), (1, 3));
    let revision = |key: &Key| spy.inner.get(key).unwrap().unwrap().revision;
    assert!(revision(&tier("t").key()) < revision(&gnp("p", "t").key()));
    assert!(revision(&gnp("p", "t").key()) < revision(&hep("h1").key()));
    let (extent, said) = shown(client.remove(keys, false, BatchMode::AllOrNothing));
    assert_eq!((extent, said), (Extent::Each, vec!["Deleted".to_owned(); 3]));
    assert_eq!(spy.count(), (1, 3));
}

#[test]
fn as_calicoctl_the_given_order_is_kept() {
    let (client, _) = ready();
    let outcomes = client.apply(vec![gnp("p", "t"), tier("t")], Mode::Apply);
    assert_eq!(said(&outcomes[0].result), "resource does not exist: Tier(t) with error: <nil>");
    let kept = client.write(vec![gnp("p", "u"), tier("u"), wrong("h")], Mode::Apply, BatchMode::KeepGoing, None);
    let (extent, said) = shown(kept);
    assert_eq!((extent, &said[..2]), (Extent::Each, &["Created".to_owned(), "Created".to_owned()][..]));
}

#[test]
fn written_objects_have_the_revision_of_their_write() {
    let (client, spy) = empty();
    let batch = client.write(vec![hep("h1"), tier("t")], Mode::Apply, BatchMode::AllOrNothing, None);
    for outcome in batch.outcomes {
        let stored = spy.inner.get(&outcome.key).unwrap().unwrap();
        assert_eq!(outcome.result.unwrap().object.metadata.resource_version, stored.revision.to_string());
    }
}

#[test]
fn the_same_object_twice_is_an_error_also_under_another_name() {
    let (client, spy) = ready();
    let legacy = json!({ "kind": "GlobalNetworkPolicy", "metadata": { "name": "default.old", "uid": "u",
        "creationTimestamp": "2020-01-01T00:00:00Z" }, "spec": { "tier": "default" } });
    raw(&spy, &cluster(Kind::GlobalNetworkPolicy, "default.old"), &legacy);
    let spec = json!({ "node": "n", "orchestrator": "cni", "containerID": "c", "endpoint": "eth0",
        "interfaceName": "cali1", "ipNetworks": ["10.0.0.1/32"] });
    let wep = |name: &str| {
        object(json!({ "kind": "WorkloadEndpoint", "metadata": { "name": name, "namespace": "a" }, "spec": spec }))
    };
    let before = content(&spy);
    for (first, second) in
        [(hep("h1"), hep("h1")), (wep(""), wep("n-cni-c-eth0")), (gnp("old", ""), gnp("default.old", ""))]
    {
        let batch = client.write(vec![first, hep("h2"), second], Mode::Apply, BatchMode::AllOrNothing, None);
        assert_eq!(batch.extent, Extent::Nothing);
        let twice = &batch.outcomes[2].result;
        assert!(matches!(twice, Err(ClientError::Twice { other: 0, .. })), "{twice:?}");
    }
    let (extent, said) = whole(&client, vec![gnp("new", ""), gnp("default.new", "")]);
    assert_eq!((extent, said), (Extent::Each, vec!["Created".to_owned(); 2]), "these are two");
    assert_eq!(content(&spy).len(), before.len() + 2);
    let both = client.write(vec![hep("h1"), hep("h2"), hep("h1")], Mode::Apply, BatchMode::KeepGoing, None);
    let is_twice = |at: usize| matches!(both.outcomes[at].result, Err(ClientError::Twice { .. }));
    assert!(is_twice(0) && !is_twice(1) && is_twice(2), "of the two neither is written");
    let targets = vec![hep("h2").key().into(), hep("h2").key().into()];
    assert_eq!(client.remove(targets, true, BatchMode::AllOrNothing).extent, Extent::Nothing);
}

#[test]
fn if_one_object_is_missing_none_is_deleted() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let targets = || vec![hep("h1").key().into(), hep("h2").key().into()];
    let (extent, said) = shown(client.remove(targets(), false, BatchMode::AllOrNothing));
    assert_eq!((extent, &*said[1]), (Extent::Nothing, "resource does not exist: HostEndpoint(h2) with error: <nil>"));
    assert!(spy.inner.get(&hep("h1").key()).unwrap().is_some());
    let (extent, said) = shown(client.remove(targets(), true, BatchMode::AllOrNothing));
    assert_eq!((extent, said), (Extent::Each, vec!["Deleted".to_owned(), "Skipped".to_owned()]));
}

#[test]
fn a_lost_race_plans_the_whole_batch_again() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let mut times = 0;
    spy.before_writes(move |store| {
        times += 1;
        if times == 1 {
            let other = Client::new(Arc::new(store.clone()));
            let set = LabelChange::Set { key: "theirs".into(), value: "x".into(), overwrite: false };
            other.label(&hep("h1").key(), &[set]).unwrap();
            assert_eq!(put(&other, hep("h2"), Mode::Create), "Created");
        }
    });
    let mut new = hep("h1");
    new.metadata.labels.insert("ours".into(), "y".into());
    let (extent, said) = whole(&client, vec![new, hep("h2"), hep("h3")]);
    assert_eq!((extent, said), (Extent::Each, ["Changed", "Unchanged", "Created"].map(str::to_owned).to_vec()));
}

#[test]
fn a_batch_that_loses_every_race_writes_nothing() {
    let (client, spy) = ready();
    put(&client, hep("h1"), Mode::Create);
    let mut n = 0;
    spy.before_writes(move |store| {
        n += 1;
        let set = LabelChange::Set { key: "n".into(), value: n.to_string(), overwrite: true };
        Client::new(Arc::new(store.clone())).label(&hep("h1").key(), &[set]).unwrap();
    });
    let mut new = hep("h1");
    new.body["spec"]["node"] = json!("n2");
    let (extent, said) = whole(&client, vec![hep("h0"), new]);
    assert_eq!((extent, &*said[1]), (Extent::Nothing, "update conflict: HostEndpoint(h1)"));
    assert!(spy.inner.get(&hep("h0").key()).unwrap().is_none());
}

#[test]
fn objects_that_later_transactions_did_not_write_are_reported_one_by_one() {
    let (client, spy) = ready();
    spy.chunk.store(2, Ordering::Relaxed);
    let objects = || (0..6).map(|n| hep(&format!("h{n}"))).collect::<Vec<_>>();
    let meddle = |spy: &Spy| {
        spy.before_writes(|store| {
            let theirs = |name: &str| put(&Client::new(Arc::new(store.clone())), hep(name), Mode::CreateSkipExisting);
            theirs("h3");
        });
    };
    meddle(&spy);
    let batch = client.write(objects(), Mode::Create, BatchMode::AllOrNothing, None);
    let (extent, said) = shown(batch);
    assert_eq!(extent, Extent::Part);
    assert_eq!(said[..2], ["Created", "Created"]);
    assert_eq!(said[2], "HostEndpoint(h2) was not reached");
    assert_eq!(said[3], "resource already exists: HostEndpoint(h3) with error: <nil>");
    assert_eq!(said[4..], ["HostEndpoint(h4) was not reached", "HostEndpoint(h5) was not reached"]);
    let names: Vec<String> = content(&spy).into_iter().map(|stored| stored.key.name).collect();
    assert!(names.contains(&"h1".to_owned()) && !names.contains(&"h2".to_owned()), "{names:?}");
    // What apply meets on its way it takes as it is, and goes on behind what is made.
    let (client, spy) = ready();
    spy.chunk.store(2, Ordering::Relaxed);
    meddle(&spy);
    let (extent, said) = whole(&client, objects());
    assert_eq!(extent, Extent::Each);
    assert_eq!(said, ["Created", "Created", "Created", "Unchanged", "Created", "Created"]);
}

#[test]
fn a_refusal_of_initial_content_does_not_stop_objects_that_do_not_need_it() {
    struct Limited(Spy);
    impl Layer for Limited {
        fn below(&self) -> &dyn Store {
            &self.0
        }

        fn on_write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
            let refuse = |write: &Write| match write.key.kind {
                Kind::HostEndpoint => Ok(self.0.write(std::slice::from_ref(write))?.remove(0)),
                _ => Ok(Err(WriteError::Refused("you may not".to_owned()))),
            };
            writes.iter().map(refuse).collect()
        }
    }
    let client = Client::new(Arc::new(Limited(Spy::default())));
    assert_eq!(whole(&client, vec![hep("h1")]), (Extent::Each, vec!["Created".to_owned()]));
    let (extent, said) = whole(&client, vec![hep("h2"), gnp("p", "")]);
    assert_eq!((extent, &*said[1]), (Extent::Nothing, "you may not"));
    assert!(client.get(&hep("h2").key()).is_err());
}

#[test]
fn warnings_that_are_errors_stop_the_batch_or_only_their_object() {
    let (client, spy) = ready();
    let mut doubtful = hep("h1");
    doubtful.body["spec"]["profiles"] = json!(["nowhere"]);
    let before = content(&spy);
    let strict = |_: usize, done: &Done| !done.notes.is_empty();
    let objects = || vec![doubtful.clone(), hep("h2")];
    let batch = client.write(objects(), Mode::Apply, BatchMode::AllOrNothing, Some(&strict));
    assert_eq!((batch.extent, content(&spy)), (Extent::Nothing, before));
    assert!(matches!(&batch.outcomes[0].result, Err(ClientError::Warned { notes }) if notes.len() == 1));
    let batch = client.write(objects(), Mode::Apply, BatchMode::KeepGoing, Some(&strict));
    let done: Vec<bool> = batch.outcomes.iter().map(|outcome| outcome.result.is_ok()).collect();
    assert_eq!(done, [false, true]);
}
