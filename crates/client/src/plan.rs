//! Plans one job: applies the rules to its object, and gives the writes that follow.

use jiff::Timestamp;
use serde_json::Value;
use tortie_api::kinds::shape;
use tortie_api::scalar::Time;
use tortie_api::{Key, Kind, Metadata, Object, Path};
use tortie_manifest::Problem;
use uuid::Uuid;

use super::batch::{Job, Plan, Task};
use super::batch_view::{StoredObject, View};
use super::{Change, ClientError, Done, Mode, builtin, object_rules, remove, unknown, user_form};
use tortie_store::{Op, Revision, Write};

/// The plan of a job, given the content of the store.
pub(super) fn plan(view: &mut View, job: &Job) -> Result<Plan, ClientError> {
    match &job.task {
        Task::Put(object, mode) => put(view, (**object).clone(), *mode),
        Task::Edit(edit) => {
            let found = find(view, &job.key)?;
            user_form::refuse_repeats(&found.stored)?;
            user_form::refuse_nulls(&found.stored)?;
            let mut object = edit(&found.object)?;
            if object.metadata.resource_version != found.object.metadata.resource_version {
                return Err(ClientError::Conflict { key: job.key.clone(), current: Some(found.stored.revision) });
            }
            unchanged_name(&found.object, &object)?;
            stamp(&mut object.metadata, &found.object.metadata);
            replace(view, found, object)
        }
        Task::Delete(target, may_be_missing) => remove::plan(view, target, *may_be_missing),
    }
}

/// Whether the outcome of the job depends on everything before it: a tier can be deleted once its last policy is.
pub(super) fn is_last(job: &Job) -> bool {
    matches!(job.task, Task::Delete(..)) && job.key.kind == Kind::Tier
}

fn put(view: &mut View, mut object: Object, mode: Mode) -> Result<Plan, ClientError> {
    // Apply is first tried as create, so the rules of a new object hold: its tier must exist.
    let given = object.clone();
    object.metadata = new_metadata(object.metadata);
    if mode == Mode::Apply {
        if object.kind == Kind::ClusterInformation {
            return Err(ClientError::read_only());
        }
        object.metadata.resource_version.clear();
    }
    match mode {
        Mode::Replace => update(view, given),
        Mode::Apply => match object_rules::create(view, &mut object) {
            Ok(()) if view.locate(&object.key())?.is_none() => Ok(create(object)),
            Ok(()) | Err(ClientError::BuiltIn { .. } | ClientError::Unsupported { .. }) => update(view, given),
            Err(error) => Err(error),
        },
        Mode::Create | Mode::CreateSkipExisting => {
            let exists = match object_rules::create(view, &mut object) {
                Err(error @ ClientError::BuiltIn { .. }) => Err((error, builtin::default_allow())),
                Err(error) => return Err(error),
                Ok(()) => match view.locate(&object.key())? {
                    None => Ok(()),
                    // An unreadable object exists too.
                    Some(stored) => {
                        let object = user_form::read(&stored).unwrap_or_else(|_| Object::new(object.key()));
                        Err((ClientError::Exists { key: given.key() }, object))
                    }
                },
            };
            match exists {
                Ok(()) => Ok(create(object)),
                Err((_, object)) if mode == Mode::CreateSkipExisting => Ok(settled(Change::Skipped, object)),
                Err((error, _)) => Err(error),
            }
        }
    }
}

fn create(mut object: Object) -> Plan {
    stamp(&mut object.metadata, &Metadata::default());
    let key = object.key();
    let value = user_form::write(&object);
    let object = user_form::reread(&key, Revision::default(), &value, object);
    Plan { writes: vec![Write::create(key, value)], result: Ok(Done::new(Change::Created, object)) }
}

fn update(view: &mut View, mut object: Object) -> Result<Plan, ClientError> {
    object_rules::name(&mut object)?;
    object_rules::namespace(&object.key())?;
    let found = match find(view, &object.key()) {
        Err(ClientError::Unreadable { .. }) => return repair(view, object),
        found => found?,
    };
    let wanted = &object.metadata.resource_version;
    if !wanted.is_empty() && *wanted != found.object.metadata.resource_version {
        return Err(ClientError::Conflict { key: object.key(), current: Some(found.stored.revision) });
    }
    let mut given = object.metadata;
    keep_last_applied(&found.object.metadata, &mut given);
    object.metadata = Metadata {
        // What was applied is what comes back, also where an older release showed it under another name.
        name: given.name,
        labels: given.labels,
        annotations: given.annotations,
        ..found.object.metadata.clone()
    };
    stamp(&mut object.metadata, &found.object.metadata);
    unknown::keep_outside_rules(&found.object, &mut object);
    keep_status(&found.object, &mut object);
    replace(view, found, object)
}

/// Replaces an object of which nothing can be read. It is a new object under the same key, so the rules are those of a new
/// one; that nobody repaired it meanwhile is a condition of the write.
fn repair(view: &mut View, mut object: Object) -> Result<Plan, ClientError> {
    let Some(stored) = view.get(&object.key())? else { return Err(ClientError::missing(&object.key())) };
    let wanted = std::mem::take(&mut object.metadata.resource_version);
    if !wanted.is_empty() && wanted != stored.revision.to_string() {
        return Err(ClientError::Conflict { key: object.key(), current: Some(stored.revision) });
    }
    object_rules::update_allowed(&object.key())?;
    object.metadata = new_metadata(object.metadata);
    // Kubernetes accepts an update only under the uid of the object.
    object.metadata.uid = uid_in(&stored.value).unwrap_or_default();
    object_rules::create(view, &mut object)?;
    let mut plan = create(object);
    if let (Some(Write { op, .. }), Ok(done)) = (plan.writes.first_mut(), &mut plan.result) {
        if let Op::Create(value) = op {
            *op = Op::Update(std::mem::take(value), stored.revision);
        }
        done.change = Change::Changed;
    }
    Ok(plan)
}

/// The uid in bytes that are no object, but still JSON.
fn uid_in(bytes: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    Some(value.get("metadata")?.get("uid")?.as_str()?.to_owned())
}

/// The last part of every update: the rules, and whether it changes anything.
fn replace(view: &mut View, found: StoredObject, mut object: Object) -> Result<Plan, ClientError> {
    object_rules::update(view, &mut object, &found.object)?;
    let stored = found.stored;
    let value = user_form::write(&object);
    let same = user_form::is_same(&stored, &value);
    let object = user_form::reread(&stored.key, stored.revision.clone(), &value, object);
    let mut plan = settled(if same { Change::Unchanged } else { Change::Changed }, object);
    if let Ok(done) = &mut plan.result {
        done.notes.extend(legacy_note(&stored.key, &done.object.key()));
    }
    if !same {
        plan.writes.push(Write::update(stored.key, value, stored.revision));
    }
    Ok(plan)
}

pub(super) fn settled(change: Change, object: Object) -> Plan {
    Plan { writes: Vec::new(), result: Ok(Done::new(change, object)) }
}

/// The object of this name; the built-in profile too, which every update then refuses.
pub(super) fn find(view: &mut View, key: &Key) -> Result<StoredObject, ClientError> {
    if builtin::is_built_in(key) {
        let stored = tortie_store::Stored { key: key.clone(), revision: 1.into(), value: Vec::new().into() };
        return Ok(StoredObject { stored, object: builtin::default_allow() });
    }
    view.find(key)?.ok_or_else(|| ClientError::missing(key))
}

/// A warning if the object is stored under another name than the one that users know.
pub(super) fn legacy_note(stored: &Key, shown: &Key) -> Option<Problem> {
    let text = format!(
        "{shown} is stored under the older name {:?}, where Calico's own tools do not find it by the name they list",
        stored.name
    );
    let help = "datastore migrate-policy-names gives every such policy its listed name";
    (stored != shown).then(|| Problem::warning("legacy-name", Path::from("metadata.name"), text).help(help))
}

/// The metadata of a new object that users may give. The rest is set elsewhere.
fn new_metadata(given: Metadata) -> Metadata {
    Metadata {
        name: given.name,
        namespace: given.namespace,
        resource_version: given.resource_version,
        labels: given.labels,
        annotations: given.annotations,
        ..Metadata::default()
    }
}

/// Fills in what every object has, if neither it nor the one it replaces had it.
pub(super) fn stamp(metadata: &mut Metadata, old: &Metadata) {
    if metadata.uid.is_empty() && old.uid.is_empty() {
        metadata.uid = Uuid::new_v4().to_string();
    }
    if metadata.creation_timestamp.is_none() && old.creation_timestamp.is_none() {
        let seconds = Timestamp::now().as_second();
        let now = Timestamp::from_second(seconds).unwrap_or_default();
        metadata.creation_timestamp = Some(Time(Value::String(now.to_string())));
    }
}

/// Programs write the status; a file without it does not remove it.
fn keep_status(old: &Object, new: &mut Object) {
    let has_status = shape(new.kind).record().is_some_and(|record| record.field("status").is_some());
    if has_status
        && !new.body.contains_key("status")
        && let Some(status) = old.body.get("status")
    {
        new.body.insert("status".to_owned(), status.clone());
    }
}

/// What kubectl has applied: without it, `kubectl apply` would not remove afterwards what is no longer in its manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Keeps what kubectl remembers of an object; a manifest does not have it.
fn keep_last_applied(old: &Metadata, new: &mut Metadata) {
    if let Some(applied) = old.annotations.get(LAST_APPLIED) {
        new.annotations.entry(LAST_APPLIED.to_owned()).or_insert_with(|| applied.clone());
    }
}

fn unchanged_name(old: &Object, new: &Object) -> Result<(), ClientError> {
    if old.key() == new.key() {
        return Ok(());
    }
    let text =
        format!("{} cannot become {}: kind, name and namespace of an object do not change", old.key(), new.key());
    Err(ClientError::Patch(text))
}
