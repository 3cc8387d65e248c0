//! What cannot be copied closes, and its neighbours are copied.

use tortie_policy::{Item, Stored as Meaning};
use tortie_store::{Layer, StoreError, WriteError, Written};

use super::*;

/// A store that refuses values above a size, and fails a call as a whole that has a key.
struct Narrow {
    store: MemoryStore,
    most: usize,
    poison: Option<Key>,
}

impl Layer for Narrow {
    fn below(&self) -> &dyn Store {
        &self.store
    }

    fn on_write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        if writes.iter().any(|write| Some(&write.key) == self.poison.as_ref()) {
            return Err(StoreError::Failed("the call failed".to_owned()));
        }
        let one = |write: &Write| match &write.op {
            Op::Create(value) | Op::Update(value, _) if value.len() > self.most => {
                Ok(Err(WriteError::Refused("it is too large".to_owned())))
            }
            _ => Ok(self.store.write(std::slice::from_ref(write))?.remove(0)),
        };
        writes.iter().map(one).collect()
    }
}

fn act(store: Narrow, copies: &mut Copies) -> (Plan, Summary) {
    let plan = plan(copies, false, true);
    let summary = writer::act(&Client::new(Arc::new(store)), &plan, &|| true);
    summary.objects.iter().for_each(|object| copies.written(object.clone()));
    summary.too_large.iter().for_each(|(key, reason)| copies.refused(key.clone(), reason.clone()));
    (plan, summary)
}

fn narrow(store: &MemoryStore) -> Narrow {
    Narrow { store: store.clone(), most: 128 << 10, poison: None }
}

/// A policy of Kubernetes with rules of this size.
fn large(name: &str, bytes: usize) -> Stored {
    let key = Key::namespaced(Kind::KubernetesNetworkPolicy, "shop", name);
    let spec = json!({ "tier": "default", "order": 1000, "selector": "app == 'db'", "types": ["Egress"],
        "egress": [{ "action": "Allow", "metadata": { "annotations": { "x": "x".repeat(bytes) } } }] });
    let value = json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": spec }).to_string();
    Stored { key, revision: Revision::from("7"), value: value.into_bytes().into() }
}

fn unreadable(stored: &Stored) -> Event {
    Event::Put(Stored { value: tortie_store::Value::cannot_be_read("no label is a number"), ..stored.clone() })
}

fn texts(plan: &Plan) -> Vec<String> {
    plan.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_longest_names_of_kubernetes_are_copied() {
    let longest = "n".repeat(253);
    let mut kubernetes = shop();
    for kind in ["NetworkPolicy", "ServiceAccount"] {
        kubernetes.0.insert((kind, "shop".to_owned(), longest.clone()), 0);
    }
    let store = MemoryStore::default();
    settle(&kubernetes, &store);
    assert_eq!(copied(&store), expected(&kubernetes));
    assert!(copied(&store).contains_key(&policy(&format!("knp.default.{longest}"))));
}

#[test]
fn an_unreadable_policy_without_a_copy_closes_its_namespace_and_with_one_changes_nothing() {
    let closed = json!({ "tier": "default", "order": 1000, "selector": "projectcalico.org/orchestrator == 'k8s'",
        "types": ["Ingress", "Egress"] });
    let (store, copy) = (MemoryStore::default(), policy("knp.default.db"));
    let mut copies = known(&shop(), &store);
    let original = stored("NetworkPolicy", "shop", "db", 0);
    copies.take_source(&unreadable(&original));
    let (first, _) = act(narrow(&store), &mut copies);
    let place = "networkpolicy shop/db: it cannot be read, so ";
    let effect =
        "a copy that selects all pods of its namespace and allows nothing is in its place: no label is a number";
    assert_eq!(texts(&first), [format!("{place}{effect}")]);
    assert_eq!(copied(&store)[&copy], closed);
    assert!(copied(&store).contains_key(&profile_key("kns.shop")));
    // It stays what it is, for this process and for the next.
    let mut next = known(&shop(), &store);
    next.take_source(&unreadable(&original));
    for copies in [&copies, &next] {
        let again = plan(copies, false, true);
        assert_eq!((again.actions.as_slice(), texts(&again)), (&[][..], texts(&first)));
    }
    // Somebody damages it.
    put(&store, copy.clone(), "{");
    know_store(&mut copies, &store);
    act(narrow(&store), &mut copies);
    assert_eq!(copied(&store)[&copy], closed);
    // The original can be read, and then no more.
    copies.take_source(&Event::Put(original.clone()));
    act(narrow(&store), &mut copies);
    assert_eq!(copied(&store), expected(&shop()));
    copies.take_source(&unreadable(&original));
    let (last, _) = act(narrow(&store), &mut copies);
    assert_eq!(texts(&last), [format!("{place}its copy stays as it was written last: no label is a number")]);
    assert_eq!(copied(&store), expected(&shop()));
    // It is deleted.
    copies.take_source(&Event::Deleted(original.key, "8".into()));
    copies.take_source(&unreadable(&stored("NetworkPolicy", "shop", "other", 0)));
    act(narrow(&store), &mut copies);
    copies.take_source(&Event::Deleted(stored("NetworkPolicy", "shop", "other", 0).key, "9".into()));
    act(narrow(&store), &mut copies);
    assert!(copied(&store).keys().all(|key| key.kind == Kind::Profile));
}

#[test]
fn pods_of_an_unreadable_namespace_or_account_deny_everything() {
    let store = MemoryStore::default();
    let mut copies = known(&shop(), &store);
    let originals = [stored("Namespace", "", "shop", 0), stored("ServiceAccount", "shop", "web.a", 0)];
    for original in &originals {
        copies.take_source(&unreadable(original));
    }
    let (first, _) = act(narrow(&store), &mut copies);
    let effect =
        "it cannot be read, so a copy that makes its pods deny everything is in its place: no label is a number";
    assert_eq!(texts(&first), [format!("namespace shop: {effect}"), format!("serviceaccount shop/web.a: {effect}")]);
    for original in &originals {
        let value = store.get(&original.key).unwrap().unwrap().value;
        let labels = |item: Item| match item {
            Item::Profile(profile) => profile.labels,
            other => panic!("{other:?}"),
        };
        let unknown = labels(Meaning::unreadable(&original.key, "damaged").item);
        assert_eq!(labels(Item::read_stored(&original.key, &value).0), unknown);
    }
    assert_eq!(plan(&copies, false, true).actions, []);
    for original in originals {
        copies.take_source(&Event::Put(original));
    }
    act(narrow(&store), &mut copies);
    assert_eq!(copied(&store), expected(&shop()));
}

#[test]
fn a_policy_that_the_store_does_not_take_closes_what_it_selects_and_its_neighbours_are_copied() {
    let (store, key) = (MemoryStore::default(), policy("knp.default.large"));
    let mut copies = known(&shop(), &store);
    copies.take_source(&Event::Put(large("large", 1 << 20)));
    let (_, summary) = act(narrow(&store), &mut copies);
    let refused = "the store refuses it: it is too large";
    assert_eq!((summary.failed, summary.stale), (vec![(key.clone(), refused.to_owned())], true));
    let there = copied(&store);
    assert!(there.contains_key(&policy("knp.default.db")) && !there.contains_key(&profile_key("kns.shop")));
    // The stand-in comes first, then the profile.
    let (second, summary) = act(narrow(&store), &mut copies);
    assert_eq!((summary.failed, summary.stale), (Vec::new(), false));
    let text = "networkpolicy shop/large: the store did not take its copy, so a copy that selects the same pods and allows nothing \
                is in its place until it changes or the controllers start again: it is too large";
    assert_eq!(texts(&second), [text]);
    let closed = json!({ "tier": "default", "order": 1000, "selector": "app == 'db'", "types": ["Egress"] });
    let there = copied(&store);
    assert!(there[&key] == closed && there.contains_key(&profile_key("kns.shop")), "{there:?}");
    let third = plan(&copies, false, true);
    assert_eq!((third.actions.as_slice(), texts(&third)), (&[][..], texts(&second)));
    // The same is listed again.
    let again = all(&store);
    copies.list_source(
        Kind::KubernetesNetworkPolicy,
        &[stored("NetworkPolicy", "shop", "db", 0), large("large", 1 << 20)],
    );
    assert_eq!((plan(&copies, false, true).actions, all(&store)), (Vec::new(), again));
    // Another process tries once, and leaves what is in its place.
    let mut next = known(&shop(), &store);
    next.take_source(&Event::Put(large("large", 1 << 20)));
    let before = all(&store);
    assert_eq!(act(narrow(&store), &mut next).1.failed.len(), 1);
    assert_eq!((plan(&next, false, true).actions, all(&store)), (Vec::new(), before));
    // It becomes smaller.
    copies.take_source(&Event::Put(large("large", 1 << 10)));
    let (last, summary) = act(narrow(&store), &mut copies);
    assert_eq!((texts(&last), summary.failed), (Vec::new(), Vec::new()));
    assert!(copied(&store)[&key].get("egress").is_some());
    // It becomes larger than the store takes, with a selector that agents do not read.
    let mut larger = large("large", 1 << 20);
    let text =
        String::from_utf8(larger.value.to_vec()).unwrap().replace("app ==", &format!("{} ==", "a".repeat(65_536)));
    larger.value = text.into_bytes().into();
    copies.take_source(&Event::Put(larger));
    act(narrow(&store), &mut copies);
    assert!(copied(&store)[&key].get("egress").is_some(), "what it was before");
    let (last, _) = act(narrow(&store), &mut copies);
    assert!(
        texts(&last)[0].contains("so a copy that selects all pods of its namespace and allows nothing is in its place")
    );
    assert_eq!(copied(&store)[&key]["selector"], "projectcalico.org/orchestrator == 'k8s'");
    // It is deleted.
    copies.take_source(&Event::Deleted(large("large", 0).key, "9".into()));
    act(narrow(&store), &mut copies);
    assert_eq!(copied(&store), expected(&shop()));
}

#[test]
fn a_copy_that_fails_its_call_is_named_and_the_others_are_written() {
    let mut kubernetes = shop();
    kubernetes.0.extend((0..120).map(|n| (("NetworkPolicy", "shop".to_owned(), format!("p{n}")), 0)));
    for poison in ["db", "p0", "p60", "p99"].map(|name| policy(&format!("knp.default.{name}"))) {
        let store = MemoryStore::default();
        let mut copies = known(&kubernetes, &store);
        let (_, summary) = act(Narrow { poison: Some(poison.clone()), ..narrow(&store) }, &mut copies);
        assert_eq!(summary.failed, [(poison.clone(), "the call failed".to_owned())]);
        let mut left = expected(&kubernetes);
        left.retain(|key, _| *key != poison && *key != profile_key("kns.shop"));
        assert_eq!(copied(&store), left, "and the namespace stays closed");
    }
}

#[test]
fn a_store_that_takes_nothing_is_not_asked_about_every_copy() {
    let mut kubernetes = shop();
    kubernetes.0.extend((0..500).map(|n| (("NetworkPolicy", "shop".to_owned(), format!("p{n}")), 0)));
    let store = MemoryStore::default();
    settle(&shop(), &store);
    let (_, summary) = act(Narrow { most: 0, ..narrow(&store) }, &mut known(&kubernetes, &store));
    assert_eq!((summary.failed.len(), summary.too_large), (50, Vec::new()));
    assert_eq!(copied(&store), expected(&shop()));
}
