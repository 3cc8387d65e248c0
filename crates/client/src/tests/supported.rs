//! Stores that cannot do everything.

use super::*;

fn profile(name: &str) -> Object {
    object(json!({ "kind": "Profile", "metadata": { "name": name }, "spec": { "labelsToApply": { "a": "b" } } }))
}

fn client() -> (Client, MemoryStore) {
    let store = MemoryStore::with_histories();
    let client = Client::new(Arc::new(store.clone()));
    client.initialise("", "").unwrap();
    (client, store)
}

#[test]
fn operations_that_the_store_lacks_are_refused_with_calicos_text_also_in_plans() {
    for (dry, batch_mode) in [
        (false, BatchMode::Calico),
        (false, BatchMode::AllOrNothing),
        (true, BatchMode::Calico),
        (true, BatchMode::AllOrNothing),
    ] {
        let (client, store) = client();
        let existing = profile("kns.shop");
        let text = json!({ "kind": "Profile", "metadata": { "name": "kns.shop", "uid": "u",
            "creationTimestamp": "2026-01-01T00:00:00Z" }, "spec": {} });
        store.force(&Write::create(existing.key(), text.to_string().into_bytes())).unwrap();
        let before = store.list(&Selection::default()).unwrap();
        let client = if dry { client.dry_run() } else { client };
        let said = |batch: Batch| batch.outcomes[0].result.as_ref().unwrap_err().to_string();
        let write = |object: Object, mode| said(client.write(vec![object], mode, batch_mode, None));
        assert_eq!(write(profile("new"), Mode::Create), "operation Create is not supported on Profile(new)");
        assert_eq!(write(existing.clone(), Mode::Apply), "operation Update is not supported on Profile(kns.shop)");
        assert_eq!(write(existing.clone(), Mode::Replace), "operation Update is not supported on Profile(kns.shop)");
        let removed = client.remove(vec![existing.key().into()], false, batch_mode);
        assert_eq!(said(removed), "operation Delete is not supported on Profile(kns.shop)");
        assert!(client.get(&existing.key()).is_ok());
        assert_eq!(store.list(&Selection::default()).unwrap(), before, "{dry} {batch_mode:?}");
    }
}

#[test]
fn a_version_is_a_condition_of_a_delete_only_for_workload_endpoints_where_each_kind_has_its_history() {
    let (client, store) = client();
    let done = client.write(vec![hep("h")], Mode::Create, BatchMode::Calico, None);
    assert!(done.outcomes[0].result.is_ok());
    let stale = Target { key: hep("h").key(), resource_version: "never".to_owned() };
    assert!(client.delete(vec![stale], false)[0].result.is_ok());
    let key = Key::namespaced(Kind::WorkloadEndpoint, "shop", "n-k8s-db-eth0");
    store.force(&Write::create(key.clone(), &b"{}"[..])).unwrap();
    let stale = Target { key: key.clone(), resource_version: "never".to_owned() };
    let refused = client.delete(vec![stale], false).remove(0).result.unwrap_err();
    assert!(matches!(refused, ClientError::Conflict { .. }), "{refused}");
    assert!(store.get(&key).unwrap().is_some());
}

#[test]
fn an_object_that_the_store_cannot_read_is_listed_as_unreadable_with_its_reason() {
    let listing = Listing {
        position: 4.into(),
        items: vec![Stored {
            key: hep("h").key(),
            revision: 3.into(),
            value: tortie_store::Value::cannot_be_read("an address is no address"),
        }],
    };
    let client = Client::new(Arc::new(MemoryStore::holding(listing)));
    let all = client.list(&Selection::kind(Kind::HostEndpoint)).unwrap();
    assert!(all.objects.is_empty());
    assert!(all.unreadable[0].to_string().ends_with("an address is no address"), "{:?}", all.unreadable);
    assert!(client.get(&hep("h").key()).is_err());
    assert!(client.delete(vec![hep("h").key().into()], false)[0].result.is_ok(), "it can be deleted");
}

/// A store that makes no tiers.
struct NoTiers(MemoryStore);

impl Layer for NoTiers {
    fn below(&self) -> &dyn Store {
        &self.0
    }

    fn on_write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        let one = |write: &Write| match write.key.kind {
            Kind::Tier => Ok(Err(WriteError::Unsupported { operation: write.op.operation(), reason: None })),
            _ => Ok(self.0.write(std::slice::from_ref(write))?.remove(0)),
        };
        writes.iter().map(one).collect()
    }
}

#[test]
fn initial_content_that_the_store_cannot_create_is_reported() {
    let client = Client::new(Arc::new(NoTiers(MemoryStore::new())));
    let refused = client.initialise("", "").unwrap_err();
    assert_eq!(refused.to_string(), "operation Create is not supported on Tier(default)");
}
