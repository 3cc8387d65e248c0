//! The plan as a value, and carried out on a store in memory: cases, and random histories of Kubernetes and of the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tortie_api::encode;
use tortie_client::Client;
use tortie_random::Random;
use tortie_store::memory::MemoryStore;
use tortie_store::{Event, Op, Revision, Selection, Store, Stored, Write};
use tortie_store_kube::convert::{network_policy::network_policy, profile};

use super::*;
use crate::copies::{KINDS, is_copy};
use crate::writer::{self, Summary};

mod stand_ins;

/// What Kubernetes has: namespaces, service accounts and policies, each with a number that its content follows from.
#[derive(Clone, Debug, Default)]
struct Kubernetes(BTreeMap<(&'static str, String, String), usize>);

impl Kubernetes {
    fn with(objects: &[(&'static str, &str, &str)]) -> Self {
        let key =
            |(kind, namespace, name): &(&'static str, &str, &str)| (*kind, (*namespace).to_owned(), (*name).to_owned());
        Self(objects.iter().map(|object| (key(object), 0)).collect())
    }

    /// All of it, as the store of Kubernetes lists it.
    fn list(&self) -> Vec<Stored> {
        self.0.iter().map(|((kind, namespace, name), content)| stored(kind, namespace, name, *content)).collect()
    }
}

fn stored(kind: &str, namespace: &str, name: &str, content: usize) -> Stored {
    let meta = json!({ "name": name, "namespace": namespace, "labels": { "content": content.to_string() },
        "uid": "30316465-6365-4463-ad63-3564622d3638", "resourceVersion": "7" });
    let converted = match kind {
        "Namespace" => profile::of_namespace(&serde_json::from_value(json!({ "metadata": meta })).unwrap()),
        "ServiceAccount" => profile::of_service_account(&serde_json::from_value(json!({ "metadata": meta })).unwrap()),
        _ => {
            let rule = json!({ "ports": [{ "port": content + 1 }], "from": [{ "podSelector": {} }] });
            network_policy(&serde_json::from_value(json!({ "metadata": meta, "spec": { "ingress": [rule] } })).unwrap())
        }
    };
    let object = converted.unwrap().object;
    Stored { key: object.key(), revision: Revision::from("7"), value: encode::stored(&object).into() }
}

/// Takes all of Kubernetes and of the store in.
fn know(copies: &mut Copies, kubernetes: &Kubernetes, store: &MemoryStore) {
    let all = kubernetes.list();
    for kind in crate::copies::SOURCES {
        let of_kind: Vec<Stored> = all.iter().filter(|stored| stored.key.kind == kind).cloned().collect();
        copies.list_source(kind, &of_kind);
    }
    know_store(copies, store);
}

fn know_store(copies: &mut Copies, store: &MemoryStore) {
    for kind in KINDS.into_iter().chain([Kind::KubeControllersConfiguration]) {
        copies.list(kind, &store.list(&Selection::kind(kind)).unwrap().items);
    }
}

fn known(kubernetes: &Kubernetes, store: &MemoryStore) -> Copies {
    let mut copies = Copies::new(None);
    know(&mut copies, kubernetes, store);
    copies
}

/// Takes in what became of Kubernetes and of the store since they were listed, as watches tell it.
fn follow(copies: &mut Copies, before: &(Vec<Stored>, Vec<Stored>), now: &(Vec<Stored>, Vec<Stored>)) {
    let events = |before: &[Stored], now: &[Stored]| -> Vec<Event> {
        let gone = before.iter().filter(|old| now.iter().all(|new| new.key != old.key));
        let gone = gone.map(|old| Event::Deleted(old.key.clone(), old.revision.clone()));
        gone.chain(now.iter().filter(|new| !before.contains(new)).map(|new| Event::Put(new.clone()))).collect()
    };
    for event in events(&before.0, &now.0) {
        copies.take_source(&event);
    }
    for event in events(&before.1, &now.1) {
        copies.take(&event);
    }
}

fn carry_out(store: &MemoryStore, plan: &Plan) -> Summary {
    writer::act(&Client::new(Arc::new(store.clone())), plan, &|| true)
}

/// Copies until nothing is left to do.
fn settle(kubernetes: &Kubernetes, store: &MemoryStore) -> Copies {
    let mut copies = known(kubernetes, store);
    let summary = carry_out(store, &plan(&copies, false, true));
    assert_eq!((summary.failed, summary.stale), (Vec::new(), false));
    summary.objects.into_iter().for_each(|object| copies.written(object));
    summary.done[2].iter().for_each(|key| copies.deleted(key));
    let left = plan(&copies, false, true).actions;
    assert_eq!(left, [], "what was written is what is known");
    assert_eq!(plan(&known(kubernetes, store), false, true).actions, [], "and what the store has");
    copies
}

/// The copies in a store: their keys with their specs.
fn copied(store: &MemoryStore) -> BTreeMap<Key, Value> {
    let spec = |stored: &Stored| serde_json::from_slice::<Value>(&stored.value).unwrap_or_default()["spec"].clone();
    all(store).iter().filter(|stored| is_copy(&stored.key)).map(|it| (it.key.clone(), spec(it))).collect()
}

/// What is in a store that nobody may change.
fn foreign(store: &MemoryStore) -> Vec<Stored> {
    all(store).into_iter().filter(|stored| !is_copy(&stored.key)).collect()
}

fn all(store: &MemoryStore) -> Vec<Stored> {
    let kinds = KINDS.into_iter().chain([Kind::GlobalNetworkPolicy]);
    kinds.flat_map(|kind| store.list(&Selection::kind(kind)).unwrap().items).collect()
}

/// The copies that there are to be.
fn expected(kubernetes: &Kubernetes) -> BTreeMap<Key, Value> {
    let name = |key: &Key| match key.kind {
        Kind::KubernetesNetworkPolicy => {
            Key::namespaced(Kind::NetworkPolicy, &key.namespace, format!("knp.default.{}", key.name))
        }
        _ => key.clone(),
    };
    let spec = |stored: &Stored| serde_json::from_slice::<Value>(&stored.value).unwrap()["spec"].clone();
    kubernetes.list().iter().map(|stored| (name(&stored.key), spec(stored))).collect()
}

fn put(store: &MemoryStore, key: Key, value: &str) {
    let current = store.get(&key).unwrap();
    let value = value.as_bytes().to_vec();
    let write = match current {
        Some(stored) => Write { key, op: Op::Update(value.into(), stored.revision) },
        None => Write::create(key, value),
    };
    store.write(&[write]).unwrap().remove(0).unwrap();
}

fn shop() -> Kubernetes {
    Kubernetes::with(&[
        ("Namespace", "", "default"),
        ("Namespace", "", "shop"),
        ("ServiceAccount", "shop", "web.a"),
        ("NetworkPolicy", "shop", "db"),
    ])
}

fn policy(name: &str) -> Key {
    Key::namespaced(Kind::NetworkPolicy, "shop", name)
}

fn profile_key(name: &str) -> Key {
    Key::cluster(Kind::Profile, name)
}

#[test]
fn copies_are_what_calicos_controllers_write() {
    let store = MemoryStore::default();
    settle(&shop(), &store);
    let names: Vec<String> = copied(&store).keys().map(ToString::to_string).collect();
    assert_eq!(
        names,
        ["NetworkPolicy(shop/knp.default.db)", "Profile(kns.default)", "Profile(kns.shop)", "Profile(ksa.shop.web.a)"]
    );
    let value: Value = serde_json::from_slice(&store.get(&policy("knp.default.db")).unwrap().unwrap().value).unwrap();
    assert_eq!(value["kind"], "NetworkPolicy");
    let metadata = &value["metadata"];
    assert_eq!(metadata["annotations"], json!({ "projectcalico.org/metadata": r#"{"name":"knp.default.db"}"# }));
    assert_eq!(metadata["labels"], json!({ "projectcalico.org/tier": "default" }));
    let uid = metadata["uid"].as_str().unwrap();
    assert!(uid.len() == 36 && uid != "30316465-6365-4463-ad63-3564622d3638", "a new object: {uid}");
    assert!(metadata["creationTimestamp"].is_string());
    assert_eq!((&value["spec"]["order"], &value["spec"]["tier"]), (&json!(1000), &json!("default")));
    assert!(store.get(&Key::cluster(Kind::Tier, "default")).unwrap().is_some(), "a policy needs its tier");
}

#[test]
fn policies_are_written_before_profiles_and_deleted_after_them() {
    let store = MemoryStore::default();
    let order = |plan: &Plan| -> Vec<(usize, Kind)> {
        let what = |action: &Action| match action {
            Action::Create(_) => 0,
            Action::Update(_) | Action::Label { .. } => 1,
            Action::Delete { .. } => 2,
        };
        let mut all: Vec<_> = plan.actions.iter().map(|action| (what(action), action.key().kind)).collect();
        all.dedup();
        all
    };
    assert_eq!(order(&plan(&known(&shop(), &store), false, true)), [(0, Kind::NetworkPolicy), (0, Kind::Profile)]);
    settle(&shop(), &store);
    let changed = Kubernetes(shop().0.into_keys().map(|key| (key, 1)).collect());
    assert_eq!(order(&plan(&known(&changed, &store), false, true)), [(1, Kind::NetworkPolicy), (1, Kind::Profile)]);
    let mut other = Kubernetes::with(&[("Namespace", "", "default"), ("NetworkPolicy", "shop", "other")]);
    other.0.insert(("Namespace", String::new(), "new".to_owned()), 0);
    let expected = [(0, Kind::NetworkPolicy), (0, Kind::Profile), (2, Kind::Profile), (2, Kind::NetworkPolicy)];
    assert_eq!(order(&plan(&known(&other, &store), false, true)), expected);
}

#[test]
fn nothing_is_deleted_unless_kubernetes_is_known_as_a_whole_and_can_be_reached() {
    let fewer = Kubernetes::with(&[("Namespace", "", "default")]);
    let config = Key::cluster(Kind::KubeControllersConfiguration, "default");
    let configured = |controllers: Value| json!({ "spec": { "controllers": controllers } }).to_string();
    type Change = Box<dyn Fn(&MemoryStore, &mut Copies)>;
    let configure = |text: String| -> Change {
        let config = config.clone();
        Box::new(move |store, copies| {
            put(store, config.clone(), &text);
            know_store(copies, store);
        })
    };
    for (what, kubernetes, (locked, may_delete), change, deleted, problems) in [
        ("everything is known", &fewer, (false, true), Box::new(|_: &MemoryStore, _: &mut Copies| ()) as Change, 3, 0),
        ("it cannot be reached", &fewer, (false, false), Box::new(|_, _| ()), 0, 0),
        ("it has no namespace at all", &Kubernetes::default(), (false, true), Box::new(|_, _| ()), 0, 1),
        ("the store is locked", &fewer, (true, true), Box::new(|_, _| ()), 0, 1),
        ("the configuration cannot be read", &fewer, (false, true), configure("{".to_owned()), 0, 1),
        ("no controller of these runs", &fewer, (false, true), configure(configured(json!({ "node": {} }))), 0, 0),
        ("that of policies runs", &fewer, (false, true), configure(configured(json!({ "policy": {} }))), 1, 0),
        ("that of namespaces runs", &fewer, (false, true), configure(configured(json!({ "namespace": {} }))), 1, 0),
        ("that of accounts runs", &fewer, (false, true), configure(configured(json!({ "serviceAccount": {} }))), 1, 0),
        (
            "all that is left cannot be read",
            &fewer,
            (false, true),
            Box::new(|_, copies| {
                for stored in shop().list() {
                    let value = tortie_store::Value::cannot_be_read("no JSON");
                    copies.take_source(&Event::Put(Stored { value, ..stored }));
                }
            }),
            0,
            4,
        ),
    ] {
        let store = MemoryStore::default();
        settle(&shop(), &store);
        let mut copies = known(kubernetes, &store);
        change(&store, &mut copies);
        let plan = plan(&copies, locked, may_delete);
        let is_delete = |action: &&Action| matches!(action, Action::Delete { .. });
        assert_eq!(plan.actions.iter().filter(is_delete).count(), deleted, "{what}: {plan:?}");
        assert_eq!(plan.actions.len(), deleted, "{what}: {plan:?}");
        assert_eq!(plan.problems.len(), problems, "{what}: {:?}", plan.problems);
    }
}

#[test]
fn the_environment_decides_before_the_configuration() {
    let store = MemoryStore::default();
    let config = Key::cluster(Kind::KubeControllersConfiguration, "default");
    put(&store, config, r#"{"spec":{"controllers":{"policy":{}}}}"#);
    let mut copies = Copies::new(Some(Enabled::named("namespace").unwrap()));
    know(&mut copies, &shop(), &store);
    let keys: Vec<String> = plan(&copies, false, true).actions.iter().map(|action| action.key().to_string()).collect();
    assert_eq!(keys, ["Profile(kns.default)", "Profile(kns.shop)"]);
}

#[test]
fn a_namespace_stays_closed_while_one_of_its_policies_is_not_written() {
    let store = MemoryStore::default();
    let before = plan(&known(&shop(), &store), false, true);
    // Somebody was faster, with something else.
    put(&store, policy("knp.default.db"), "{}");
    let summary = carry_out(&store, &before);
    assert!(summary.stale && summary.failed.is_empty());
    let copies = copied(&store);
    assert!(!copies.contains_key(&profile_key("kns.shop")) && copies.contains_key(&profile_key("kns.default")));
    settle(&shop(), &store);
    // The same of a policy that another one takes the place of.
    let mut renamed = shop();
    renamed.0.remove(&("NetworkPolicy", "shop".to_owned(), "db".to_owned()));
    renamed.0.insert(("NetworkPolicy", "shop".to_owned(), "new".to_owned()), 0);
    let before = plan(&known(&renamed, &store), false, true);
    put(&store, policy("knp.default.new"), "{}");
    carry_out(&store, &before);
    assert!(store.get(&policy("knp.default.db")).unwrap().is_some(), "it is deleted once the other one is in force");
    settle(&renamed, &store);
    assert_eq!(copied(&store), expected(&renamed));
}

#[test]
fn a_damaged_copy_is_written_again_and_a_changed_one_keeps_its_identity() {
    let store = MemoryStore::default();
    settle(&shop(), &store);
    let uid = |key: &Key| {
        let value: Value = serde_json::from_slice(&store.get(key).unwrap().unwrap().value).unwrap();
        value["metadata"]["uid"].clone()
    };
    let (policy, profile) = (policy("knp.default.db"), profile_key("kns.shop"));
    let before = uid(&profile);
    put(&store, policy.clone(), "{\"kind\":");
    let text = format!(
        r#"{{"metadata":{{"uid":{before},"labels":{{"mine":"yes"}}}},"spec":{{"egress":[{{"action":"Allow"}}]}}}}"#
    );
    put(&store, profile.clone(), &text);
    settle(&shop(), &store);
    assert_eq!(copied(&store), expected(&shop()));
    assert_eq!(uid(&profile), before);
    assert!(uid(&policy).is_string());
}

/// Names of few, so that copies and objects of others meet.
const NAMES: [&str; 3] = ["a", "b", "default"];

/// A change by somebody else, in Kubernetes or in the store.
fn change(random: &mut Random, kubernetes: &mut Kubernetes, store: &MemoryStore) {
    let (namespace, name) = ((*random.pick(&NAMES)).to_owned(), (*random.pick(&NAMES)).to_owned());
    match random.below(4) {
        0 | 1 => {
            let kind = *random.pick(&["Namespace", "ServiceAccount", "NetworkPolicy"]);
            let namespace = if kind == "Namespace" { String::new() } else { namespace };
            kubernetes.0.insert((kind, namespace, name), random.below(3));
        }
        2 => {
            let keys: Vec<_> = kubernetes.0.keys().cloned().collect();
            if let Some(key) = keys.get(random.below(keys.len())) {
                kubernetes.0.remove(key);
            }
        }
        _ => {
            let keys: Vec<Key> = all(store).into_iter().map(|stored| stored.key).collect();
            let key = match random.chance(50) {
                true if !keys.is_empty() => random.pick(&keys).clone(),
                _ => random_key(random),
            };
            let exists = store.get(&key).unwrap().is_some();
            match random.below(3) {
                0 if exists => drop(store.write(&[Write::delete(key, None)]).unwrap()),
                1 => put(store, key, "no JSON"),
                _ => put(store, key, r#"{"spec":{"selector":"all()","egress":[{"action":"Allow"}]}}"#),
            }
        }
    }
}

/// A key that is nobody's, or that of a copy.
fn random_key(random: &mut Random) -> Key {
    let name = random.pick(&NAMES);
    let prefix =
        random.pick(&["", "kns", "kns.", "ksa.", "ksa.a.", "knp.", "knp.default.", "default.", "ossg.default."]);
    let name = format!("{prefix}{name}");
    match random.below(3) {
        0 => Key::cluster(Kind::Profile, name),
        1 => Key::cluster(Kind::GlobalNetworkPolicy, name),
        _ => Key::namespaced(Kind::NetworkPolicy, *random.pick(&NAMES), name),
    }
}

#[test]
fn any_history_ends_in_the_conversion_of_kubernetes_and_objects_of_others_never_change() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let (mut kubernetes, store) = (Kubernetes::with(&[("Namespace", "", "default")]), MemoryStore::default());
        // One process lives on, and lists anew or follows; others begin.
        let mut living = known(&kubernetes, &store);
        let mut listed = (kubernetes.list(), all(&store));
        for step in 0..6 {
            (0..random.below(5)).for_each(|_| change(&mut random, &mut kubernetes, &store));
            // It is always there; without it nothing is deleted.
            kubernetes.0.entry(("Namespace", String::new(), "default".to_owned())).or_default();
            let now = (kubernetes.list(), all(&store));
            match random.chance(50) {
                true => know(&mut living, &kubernetes, &store),
                false => follow(&mut living, &listed, &now),
            }
            listed = now;
            let planned = plan(&living, false, true);
            assert_eq!(planned, plan(&known(&kubernetes, &store), false, true), "seed {seed}, step {step}");
            // Somebody else writes meanwhile; the process is killed, or another one is the leader, before one of its calls.
            if random.chance(50) {
                change(&mut random, &mut Kubernetes::default(), &store);
            }
            let others = foreign(&store);
            let calls = AtomicUsize::new(random.below(7));
            let may_write =
                || calls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
            let summary = writer::act(&Client::new(Arc::new(store.clone())), &planned, &may_write);
            assert_eq!(summary.failed, [], "seed {seed}, step {step}");
            settle(&kubernetes, &store);
            assert_eq!(copied(&store), expected(&kubernetes), "seed {seed}, step {step}");
            assert_eq!(foreign(&store), others, "seed {seed}, step {step}");
        }
    }
}
