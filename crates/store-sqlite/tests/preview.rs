//! A preview is the write: for random stores and random manifests, what is said before is what is true after.
//!
//! Every case is written into a store in memory, every fortieth into a file too. In every third case objects of the store cannot be
//! read. `PREVIEW_CASES` says how many there are; `make soak` plays 10,000.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tortie_api::{Kind, Object};
use tortie_client::{Batch, BatchMode, Client, Extent, Mode, Outcome};
use tortie_eval::judge;
use tortie_policy::packet::Host;
use tortie_store::memory::MemoryStore;
use tortie_store::{Selection, Store, Write};
use tortie_store_sqlite::SqliteStore;
use tortie_sync::InForce;
use tortie_testkit::worlds::{Case, Damage, Random, Step, World};

fn cases() -> u64 {
    std::env::var("PREVIEW_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// An object of a world, as a manifest has it.
fn object(value: &Value) -> Object {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let kind = Kind::from_name(&text("kind")).unwrap();
    let mut object = Object::new(tortie_api::Key { kind, namespace: text("namespace"), name: text("name") });
    for (label, value) in value["labels"].as_object().into_iter().flatten() {
        object.metadata.labels.insert(label.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    object.body.insert("spec".to_owned(), value["spec"].clone());
    object
}

fn puts(steps: &[Step]) -> Vec<Object> {
    let put = |step: &Step| match step {
        Step::Put(value) if value["kind"] != "KubernetesEndpointSlice" => Some(object(value)),
        _ => None,
    };
    steps.iter().filter_map(put).collect()
}

/// What another program left in the store, valid or not.
fn fill(store: &dyn Store, objects: &[Object]) {
    for object in objects {
        let key = object.key();
        let mut tree = json!({
            "apiVersion": tortie_api::API_VERSION, "kind": key.kind.name(),
            "metadata": { "name": key.name, "uid": "u", "creationTimestamp": "2020-01-01T00:00:00Z",
                "labels": object.metadata.labels },
            "spec": object.body["spec"],
        });
        if key.kind.namespaced() {
            tree["metadata"]["namespace"] = json!(key.namespace);
        }
        let bytes = tree.to_string().into_bytes();
        let write = match store.get(&key).unwrap() {
            Some(stored) => Write::update(key, bytes, stored.revision),
            None => Write::create(key, bytes),
        };
        store.write(&[write]).unwrap().remove(0).unwrap();
    }
}

/// Some of the objects, in any order, without some of what a write fills in.
fn manifests(random: &mut Random, mut objects: Vec<Object>, alone: impl Fn(&Object) -> bool) -> Vec<Object> {
    random.shuffle(&mut objects);
    objects.truncate(1 + random.below(8));
    for object in &mut objects {
        if object.kind == Kind::WorkloadEndpoint {
            object.metadata.labels.remove("projectcalico.org/namespace");
            object.metadata.name.clear();
        }
    }
    if !random.once_in(4) {
        objects.retain(alone);
        let mut seen = Vec::new();
        objects.retain(|object| {
            let new = !seen.contains(&object.key()) || object.metadata.name.is_empty();
            seen.push(object.key());
            new
        });
    }
    objects
}

fn said(outcomes: &[Outcome]) -> Vec<String> {
    let one = |outcome: &Outcome| match &outcome.result {
        Ok(done) => format!("{} {:?} {:?} {:?}", outcome.key, done.change, done.along, done.notes),
        Err(error) => format!("{} {error}", outcome.key),
    };
    outcomes.iter().map(one).collect()
}

/// Everything that is stored, without what is new each time: uids and times.
fn content(store: &dyn Store) -> Vec<(tortie_api::Key, Value)> {
    let items = store.list(&Selection::default()).unwrap().items;
    let masked = |stored: tortie_store::Stored| {
        let Ok(mut tree) = serde_json::from_slice::<Value>(&stored.value) else {
            return (stored.key, json!(stored.value.to_vec()));
        };
        if !tree["metadata"].is_object() {
            return (stored.key, tree);
        }
        for field in ["uid", "creationTimestamp"] {
            tree["metadata"][field] = json!("masked");
        }
        if stored.key.kind == Kind::ClusterInformation {
            tree.as_object_mut().unwrap().insert("spec".to_owned(), json!("masked"));
        }
        (stored.key, tree)
    };
    items.into_iter().map(masked).collect()
}

/// What becomes of every packet of the case, and why; and what cannot be read.
fn answers(store: &dyn Store, host: &Host, case: &Case) -> Vec<String> {
    let listing = store.list(&Selection::default()).unwrap();
    let in_force = InForce::from_stored(&listing.items, listing.position, &BTreeMap::new());
    let packets = case.probes.iter().map(|probe| format!("{:?}", judge(&in_force.snapshot, host, &probe.packet())));
    // Before the write there is no revision that could be named.
    let unreadable =
        in_force.unreadable.iter().map(|(key, why)| format!("{key}: {:?} {}", why.reasons, why.replacement));
    packets.chain(unreadable).collect()
}

/// Damages some of the stored objects.
fn damage(random: &mut Random, store: &dyn Store) {
    for _ in 0..1 + random.below(3) {
        let items = store.list(&Selection::default()).unwrap().items;
        let objects: Vec<_> = items.iter().map(|stored| (stored.key.clone(), stored.value.to_vec())).collect();
        let Some(damage) = objects.first().and_then(|_| Damage::random(random, &objects)) else { continue };
        let stored = items.into_iter().find(|stored| stored.key == damage.key).unwrap();
        store.write(&[Write::update(damage.key, damage.bytes, stored.revision)]).unwrap().remove(0).unwrap();
    }
}

fn whole(client: &Client, objects: &[Object]) -> Batch {
    client.write(objects.to_vec(), Mode::Apply, BatchMode::AllOrNothing, None)
}

/// Plays a case. Whether the manifests were written, and whether that changed an answer.
fn play(seed: u64, real: Arc<dyn Store>) -> (bool, bool) {
    let case = Case::random(seed);
    let mut random = Random::new(seed);
    let flush = case.steps.iter().position(|step| matches!(step, Step::Flush)).unwrap();
    let (before, after) = case.steps.split_at(flush);
    let mut world = World::new();
    before.iter().for_each(|step| drop(world.apply(step).unwrap()));
    fill(&*real, &puts(before));
    if seed.is_multiple_of(3) {
        damage(&mut random, &*real);
    }
    let client = Client::new(real.clone());
    let alone = |object: &Object| {
        let outcomes = Client::new(real.clone()).dry_run().apply(vec![object.clone()], Mode::Apply);
        outcomes[0].result.is_ok()
    };
    let objects = manifests(&mut random, puts(after), alone);

    let stored = content(&*real);
    let old = answers(&*real, &world.host, &case);
    let plan = Client::plan(real.clone(), real.list(&Selection::default()).unwrap());
    let preview = whole(&plan, &objects);
    let dry = whole(&Client::new(real.clone()).dry_run(), &objects);
    assert_eq!(content(&*real), stored, "seed {seed}: a preview writes nothing");
    let written = whole(&client, &objects);
    assert_eq!((said(&preview.outcomes), preview.extent), (said(&written.outcomes), written.extent), "seed {seed}");
    assert_eq!((said(&dry.outcomes), dry.extent), (said(&written.outcomes), written.extent), "seed {seed}");
    if written.extent == Extent::Nothing {
        assert_eq!(content(&*real), stored, "seed {seed}: what is refused writes nothing");
        return (false, false);
    }
    let copy: Arc<dyn Store> = Arc::new(MemoryStore::holding(plan.store().list(&Selection::default()).unwrap()));
    assert_eq!(content(&*copy), content(&*real), "seed {seed}");
    let new = answers(&*real, &world.host, &case);
    assert_eq!(answers(&*copy, &world.host, &case), new, "seed {seed}");
    (true, new != old)
}

#[test]
fn every_answer_of_a_preview_is_the_answer_after_the_write() {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let counts: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let worker = |first: u64| {
            move || {
                let (mut written, mut changed) = (0, 0);
                for seed in (first..cases()).step_by(threads as usize) {
                    let (accepted, different) = play(seed, Arc::new(MemoryStore::new()));
                    written += u64::from(accepted);
                    changed += u64::from(different);
                    if seed % 40 == 0 {
                        let directory = tempfile::tempdir().unwrap();
                        let file = SqliteStore::open(directory.path().join("t.db")).unwrap();
                        assert_eq!(play(seed, Arc::new(file)), (accepted, different), "seed {seed} in a file");
                    }
                }
                (written, changed)
            }
        };
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(worker(first))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let written: u64 = counts.iter().map(|(written, _)| written).sum();
    let changed: u64 = counts.iter().map(|(_, changed)| changed).sum();
    assert!(written * 2 > cases() && written < cases(), "{written} of {} were written", cases());
    assert!(changed * 5 > cases(), "{changed} of {} changed answers", cases());
}
