//! The initial objects of a store: the ClusterInformation and the three tiers.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tortie_api::{Key, Kind, Metadata, Object};
use uuid::Uuid;

use super::batch_view::View;
use super::{Client, ClientError, plan, user_form};
use tortie_store::{Revision, Stored, Write, WriteError};

/// A tier that always exists and cannot be deleted.
struct InitialTier {
    name: &'static str,
    order: u32,
    default_action: &'static str,
}

/// The tiers that always exist.
const TIERS: [InitialTier; 3] = [
    InitialTier { name: "default", order: 1_000_000, default_action: "Deny" },
    InitialTier { name: "kube-admin", order: 1_000, default_action: "Pass" },
    InitialTier { name: "kube-baseline", order: 10_000_000, default_action: "Pass" },
];

/// Whether every store has a tier of this name before its first object.
pub fn is_initial_tier(name: &str) -> bool {
    TIERS.iter().any(|tier| tier.name == name)
}

/// Whether every store has an object with this content before its first object.
pub fn is_initial(object: &Object) -> bool {
    let spec = object.body.get("spec").and_then(Value::as_object);
    match object.kind {
        Kind::Tier => TIERS.iter().any(|tier| tier.name == object.metadata.name && spec == Some(&tier.spec())),
        Kind::ClusterInformation => spec.is_none_or(|spec| spec.get("datastoreReady") != Some(&json!(false))),
        _ => false,
    }
}

/// The tiers that every store has before its first object, as it has them.
pub fn initial_tiers() -> Vec<Stored> {
    let stored = |tier: &InitialTier| {
        let (key, value) = tier.made();
        Stored { key, value: value.into(), revision: Revision::default() }
    };
    TIERS.iter().map(stored).collect()
}

impl InitialTier {
    fn spec(&self) -> Map<String, Value> {
        let fields = [("order", json!(self.order)), ("defaultAction", json!(self.default_action))];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Its key, and what is written.
    fn made(&self) -> (Key, Arc<[u8]>) {
        let key = Key::cluster(Kind::Tier, self.name);
        let mut object = new(&key);
        object.body.insert("spec".to_owned(), Value::Object(self.spec()));
        (key, user_form::write(&object))
    }
}

const MAX_ATTEMPTS: u32 = 5;

/// The one ClusterInformation.
pub(super) fn cluster_information() -> Key {
    Key::cluster(Kind::ClusterInformation, "default")
}

/// Writes the missing initial content; several clients may do so at once. Returns what was written.
pub(super) fn initialise(client: &Client, version: &str, cluster_type: &str) -> Result<Vec<Key>, ClientError> {
    let cluster_type = if cluster_type.is_empty() { client.store.cluster_type() } else { cluster_type };
    let mut done = Vec::new();
    for tries in 1.. {
        let writes = missing(&mut View::new(&*client.store), version, cluster_type)?;
        if writes.is_empty() {
            break;
        }
        let mut again = None;
        for (write, answer) in writes.iter().zip(client.store.write(&writes)?) {
            match answer {
                Ok(_) => done.push(write.key.clone()),
                Err(error @ (WriteError::Refused(_) | WriteError::Unsupported { .. })) => {
                    return Err(ClientError::refused(&write.key, error));
                }
                // Somebody else created it meanwhile. A tier is complete then; the ClusterInformation may still lack fields.
                Err(WriteError::Exists(_)) if write.key.kind == Kind::Tier => {}
                Err(_) => again = Some(write.key.clone()),
            }
        }
        match again {
            None => break,
            Some(key) if tries == MAX_ATTEMPTS => return Err(ClientError::Conflict { key, current: None }),
            Some(_) => {}
        }
    }
    Ok(done)
}

/// The writes of the missing initial content.
pub(super) fn missing(view: &mut View, version: &str, cluster_type: &str) -> Result<Vec<Write>, ClientError> {
    let mut writes = Vec::new();
    writes.extend(information(view, version, cluster_type)?);
    for tier in &TIERS {
        let (key, value) = tier.made();
        if view.get(&key)?.is_none() {
            writes.push(Write::create(key, value));
        }
    }
    Ok(writes)
}

fn information(view: &mut View, version: &str, cluster_type: &str) -> Result<Option<Write>, ClientError> {
    let key = cluster_information();
    let Some(stored) = view.get(&key)? else {
        let mut object = new(&key);
        complete(user_form::spec(&mut object), version, cluster_type);
        return Ok(Some(Write::create(key, user_form::write(&object))));
    };
    let mut object = user_form::read(&stored)?;
    let before = object.clone();
    complete(user_form::spec(&mut object), version, cluster_type);
    plan::stamp(&mut object.metadata, &before.metadata);
    Ok((object.body != before.body).then(|| Write::update(key, user_form::write(&object), stored.revision)))
}

/// Fills in missing fields. A store that is not ready stays so.
fn complete(spec: &mut Map<String, Value>, version: &str, cluster_type: &str) {
    user_form::fill(spec, "clusterGUID", || json!(Uuid::new_v4().simple().to_string()));
    let old = spec.get("clusterType").and_then(Value::as_str).unwrap_or_default();
    let mut types: Vec<&str> = old.split(',').filter(|one| !one.is_empty()).collect();
    let known = types.len();
    for one in cluster_type.split(',').filter(|one| !one.is_empty()) {
        if !types.contains(&one) {
            types.push(one);
        }
    }
    if types.len() > known {
        let joined = types.join(",");
        spec.insert("clusterType".to_owned(), json!(joined));
    }
    if !version.is_empty() {
        spec.insert("calicoVersion".to_owned(), json!(version));
    }
    user_form::fill(spec, "datastoreReady", || json!(true));
}

/// Whether the store is locked: its users shall not change it, and agents wait.
pub(super) fn is_locked(client: &Client) -> Result<bool, ClientError> {
    let object = plan::find(&mut View::new(&*client.store), &cluster_information())?.object;
    let ready = object.body.get("spec").and_then(|spec| spec.get("datastoreReady")).and_then(Value::as_bool);
    Ok(ready == Some(false))
}

/// Locks or unlocks the store. Returns whether that changed anything.
pub(super) fn set_locked(client: &Client, locked: bool) -> Result<bool, ClientError> {
    let key = cluster_information();
    for tries in 1.. {
        let mut found = plan::find(&mut View::new(&*client.store), &key)?;
        let before = user_form::spec(&mut found.object).insert("datastoreReady".to_owned(), json!(!locked));
        if before == Some(json!(!locked)) {
            return Ok(false);
        }
        let write = Write::update(key.clone(), user_form::write(&found.object), found.stored.revision);
        match client.store.write(&[write])?.pop() {
            Some(Err(WriteError::Conflict(_))) if tries < MAX_ATTEMPTS => {}
            Some(Err(error)) => return Err(ClientError::refused(&key, error)),
            _ => break,
        }
    }
    Ok(true)
}

fn new(key: &Key) -> Object {
    let mut object = Object::new(key.clone());
    plan::stamp(&mut object.metadata, &Metadata::default());
    object
}
