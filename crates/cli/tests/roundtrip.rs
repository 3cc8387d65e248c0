//! What is applied is what comes back: random objects of every kind, as YAML through `apply` and as JSON out of `get`.
//!
//! `TORTIE_SEED` says with which seed to begin, `TORTIE_WORLDS` how many to play.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tortie_api::{Key, Kind, Object, encode};
use tortie_manifest::write;
use tortie_testkit::generate::{self, Random};

#[test]
fn applied_objects_are_shown_as_they_were_applied() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("TORTIE_SEED").unwrap_or(1);
    for seed in first..first + number("TORTIE_WORLDS").unwrap_or(25) {
        let folder = tempfile::tempdir().unwrap();
        let objects = world(&mut Random::new(seed));
        let text: Vec<String> = objects.iter().map(|object| write::yaml(&encode::shown(object))).collect();
        std::fs::write(folder.path().join("all.yaml"), text.join("---\n")).unwrap();
        tortie(folder.path(), &["apply", "-f", "all.yaml"], seed);
        let shown = tortie(folder.path(), &["get", "-f", "all.yaml", "-o", "json"], seed);
        let shown: Vec<Value> = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown.len(), objects.len(), "seed {seed}");
        for (object, back) in objects.iter().zip(&shown) {
            let lost = lost(&encode::shown(object), back, "");
            assert_eq!(lost, None, "seed {seed}\n{}", write::yaml(&encode::shown(object)));
        }
        // And what was shown can be applied again, to no effect.
        let text: Vec<String> = shown.iter().map(write::yaml).collect();
        std::fs::write(folder.path().join("again.yaml"), text.join("---\n")).unwrap();
        let said = tortie(folder.path(), &["apply", "-f", "again.yaml"], seed);
        assert!(said.lines().all(|line| line.ends_with(" unchanged")), "seed {seed}\n{said}");
    }
}

/// An object of every kind that users write, after what it needs to be there.
fn world(random: &mut Random) -> Vec<Object> {
    let mut objects: Vec<Object> = Vec::new();
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::ClusterInformation) {
        let mut object = generate::object(*kind, random);
        if let Some(Value::Object(spec)) = object.body.get_mut("spec") {
            // This older switch decides two newer ones, as in Calico.
            spec.remove("bpfConnectTimeLoadBalancingEnabled");
        }
        let spec = |name: &str| object.body.get("spec").and_then(|spec| spec.get(name)).cloned();
        if let Some(Value::String(tier)) = spec("tier") {
            objects.push(plain(Kind::Tier, &tier));
        }
        for filter in spec("filters").as_ref().and_then(Value::as_array).into_iter().flatten() {
            objects.push(plain(Kind::BGPFilter, filter.as_str().unwrap()));
        }
        objects.push(object);
    }
    let key = |object: &Object| object.key();
    // Of two objects of one name the last would be what comes back.
    let mut seen = std::collections::HashSet::new();
    objects.reverse();
    objects.retain(|object| seen.insert(key(object)));
    objects.reverse();
    objects.sort_by_key(|object| !matches!(object.kind, Kind::Tier | Kind::BGPFilter));
    objects
}

fn plain(kind: Kind, name: &str) -> Object {
    let built_in = |order: f64, action: &str| json!({ "order": order, "defaultAction": action });
    let mut object = Object::new(Key::cluster(kind, name));
    let spec = match name {
        "default" if kind == Kind::Tier => built_in(1e6, "Deny"),
        "kube-admin" if kind == Kind::Tier => built_in(1e3, "Pass"),
        "kube-baseline" if kind == Kind::Tier => built_in(1e7, "Pass"),
        _ => json!({}),
    };
    object.body.insert("spec".to_owned(), spec);
    object
}

fn tortie(folder: &Path, args: &[&str], seed: u64) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_tortie"))
        .args(["--store", "tortie.db"])
        .args(args)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    let (said, wrong) = (String::from_utf8(run.stdout).unwrap(), String::from_utf8(run.stderr).unwrap());
    assert!(run.status.success(), "seed {seed}: {args:?}\n{said}{wrong}");
    said
}

/// What of a tree is not in another one. More may be there: defaults, labels that every object gets.
fn lost(written: &Value, back: &Value, path: &str) -> Option<String> {
    match (written, back) {
        (Value::Object(a), Value::Object(b)) => a.iter().find_map(|(name, value)| match b.get(name) {
            Some(back) => lost(value, back, &format!("{path}.{name}")),
            None if value == &json!({}) => None,
            None => Some(format!("{path}.{name} is gone")),
        }),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(at, (a, b))| lost(a, b, &format!("{path}[{at}]")))
        }
        (a, b) => (a != b).then(|| format!("{path} was {a} and is {b}")),
    }
}
