//! The rules of an object that validation of the object alone cannot check: the tier that it names, the name that it must
//! have, what users may never write.

use serde_json::Value;
use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::{Key, Kind, Object, Path, defaults, names};
use tortie_manifest::{Problem, validate};

use super::batch_view::View;
use super::{ClientError, DEFAULT_ALLOW, builtin, user_form};

const KUBERNETES_REASON: &str = "kubernetes network policies must be managed through the kubernetes API";

/// Makes an object ready to be created, or says why it cannot be. Whether it exists is not looked at.
pub(super) fn create(view: &mut View, object: &mut Object) -> Result<(), ClientError> {
    place(object)?;
    match object.kind {
        Kind::ClusterInformation => {
            return Err(ClientError::unsupported("create or apply", "ClusterInformation", None));
        }
        _ if is_kubernetes(&object.key()) => {
            return Err(ClientError::unsupported("create or apply", object.key().to_string(), Some(KUBERNETES_REASON)));
        }
        _ if builtin::is_built_in(&object.key()) => {
            return Err(ClientError::BuiltIn { name: DEFAULT_ALLOW.to_owned() });
        }
        kind if kind.is_tiered() => tier_exists(view, object)?,
        _ => {}
    }
    prepare(view, object)?;
    let mut problems = validate::create(object);
    if object.kind == Kind::IPPool {
        overlapping(view, object, &mut problems)?;
    }
    refuse(problems)?;
    defaults::workload_labels(object);
    has_name(object)?;
    if !object.metadata.resource_version.is_empty() {
        let given = object.metadata.resource_version.clone();
        return Err(meta("ResourceVersion", &given, "field must not be set for a Create request"));
    }
    Ok(())
}

/// Makes an object ready to be applied as far as that needs no store, or says why no store would take it.
pub(super) fn apply_anywhere(object: &mut Object) -> Result<(), ClientError> {
    if object.kind == Kind::ClusterInformation {
        return Err(ClientError::read_only());
    }
    name(object)?;
    place(object)?;
    update_allowed(&object.key())?;
    defaults::apply(object);
    refuse(validate::create(object))?;
    has_name(object)
}

/// Makes an object ready to replace `old`, or says why it cannot.
pub(super) fn update(view: &mut View, object: &mut Object, old: &Object) -> Result<(), ClientError> {
    place(object)?;
    update_allowed(&object.key())?;
    prepare(view, object)?;
    refuse(validate::update(old, object))?;
    defaults::workload_labels(object);
    if object.metadata.creation_timestamp.is_none() {
        let zero = "0001-01-01 00:00:00 +0000 UTC";
        return Err(meta("CreationTimestamp", zero, "field must be set for an Update request"));
    }
    if object.metadata.uid.is_empty() {
        return Err(meta("UID", "", "field must be set for an Update request"));
    }
    Ok(())
}

/// Whether what has this name may be changed at all.
pub(super) fn update_allowed(key: &Key) -> Result<(), ClientError> {
    if key.kind == Kind::ClusterInformation {
        return Err(ClientError::unsupported("apply or replace", "ClusterInformation", None));
    }
    if is_kubernetes(key) {
        return Err(ClientError::unsupported("apply or replace", key.to_string(), Some(KUBERNETES_REASON)));
    }
    if builtin::is_built_in(key) {
        let reason = format!("The profile {DEFAULT_ALLOW:?} is a default provided by Calico and cannot be updated");
        return Err(ClientError::unsupported("Update", DEFAULT_ALLOW, Some(&reason)));
    }
    Ok(())
}

/// Whether an object may be deleted, judged by its name alone.
pub(super) fn delete_allowed(key: &Key) -> Result<(), ClientError> {
    if key.kind == Kind::ClusterInformation {
        return Err(ClientError::unsupported("delete", "ClusterInformation", None));
    }
    if is_kubernetes(key) {
        return Err(ClientError::unsupported("delete", key.to_string(), Some(KUBERNETES_REASON)));
    }
    if builtin::is_built_in(key) {
        let reason = format!("The profile {DEFAULT_ALLOW:?} is a default provided by Calico and cannot be deleted");
        return Err(ClientError::unsupported("Delete", DEFAULT_ALLOW, Some(&reason)));
    }
    if key.kind == Kind::Tier && super::is_initial_tier(&key.name) {
        return Err(ClientError::unsupported("Delete", &key.name, Some(&format!("Cannot delete {} tier", key.name))));
    }
    Ok(())
}

/// Checks that kinds with namespaces have one, and others none.
pub(super) fn namespace(key: &Key) -> Result<(), ClientError> {
    let reason = "namespace is not specified on namespaced resource";
    match (key.kind.namespaced(), key.namespace.as_str()) {
        (true, "") => Err(ClientError::field("metadata.namespace", "Metadata.Namespace", None, reason)),
        (false, namespace) if !namespace.is_empty() => Err(ClientError::Refused(format!(
            "namespace should not be specified for a non-namespaced resource. {} is not a namespaced resource",
            key.kind
        ))),
        _ => Ok(()),
    }
}

/// Gives a workload endpoint that has no name the one that its spec demands.
pub(super) fn name(object: &mut Object) -> Result<(), ClientError> {
    if object.kind == Kind::WorkloadEndpoint && object.metadata.name.is_empty() {
        object.metadata.name = workload_name(object)?;
    }
    Ok(())
}

/// The steps of create and update before validation.
fn prepare(view: &mut View, object: &mut Object) -> Result<(), ClientError> {
    name(object)?;
    if object.kind == Kind::BGPPeer {
        filters_exist(view, object)?;
    }
    defaults::apply(object);
    Ok(())
}

fn refuse(mut problems: Vec<Problem>) -> Result<(), ClientError> {
    problems.retain(Problem::is_error);
    if problems.is_empty() { Ok(()) } else { Err(ClientError::Invalid { problems }) }
}

/// Adds the pools that a new one shares addresses with. Calico says these first, and then only what else is wrong
/// with the net.
fn overlapping(view: &mut View, pool: &Object, problems: &mut Vec<Problem>) -> Result<(), ClientError> {
    let others: Vec<Object> =
        view.list(Kind::IPPool)?.iter().filter_map(|stored| user_form::read(stored).ok()).collect();
    let overlaps = validate::overlaps(pool, &others);
    if !overlaps.is_empty() {
        problems.retain(|problem| problem.field.starts_with("IPPool.Spec."));
    }
    problems.splice(..0, overlaps);
    Ok(())
}

fn place(object: &Object) -> Result<(), ClientError> {
    let key = object.key();
    namespace(&key)?;
    for (field, path, text) in
        [("Metadata.Namespace", "metadata.namespace", &key.namespace), ("Metadata.Name", "metadata.name", &key.name)]
    {
        // Such a key could be written to etcd, but no listing would ever show it.
        if text.contains('/') {
            return Err(ClientError::field(path, field, Some(text), "must not contain '/'"));
        }
    }
    Ok(())
}

fn has_name(object: &Object) -> Result<(), ClientError> {
    if object.metadata.name.is_empty() {
        return Err(meta("Name", "", "field must be set for a Create request"));
    }
    Ok(())
}

fn tier_exists(view: &mut View, object: &Object) -> Result<(), ClientError> {
    let tier = Key::cluster(Kind::Tier, user_form::tier(object));
    if view.exists(&tier)? {
        return Ok(());
    }
    Err(ClientError::Missing { key: tier, at: Some(Path::from("spec.tier")) })
}

fn filters_exist(view: &mut View, object: &Object) -> Result<(), ClientError> {
    let filters = object.body.get("spec").and_then(|spec| spec.get("filters")).and_then(Value::as_array);
    let mut missing = Vec::new();
    for filter in filters.into_iter().flatten().filter_map(Value::as_str) {
        if !view.exists(&Key::cluster(Kind::BGPFilter, filter))? {
            missing.push(filter);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let value = format!("[{}]", missing.join(" "));
    Err(ClientError::field("spec.filters", "BGPPeer.Spec.Filters", Some(&value), "BGPFilter(s) not found"))
}

fn workload_name(object: &Object) -> Result<String, ClientError> {
    let spec: WorkloadEndpointSpec =
        object.spec().map_err(|error| ClientError::invalid(Problem::read(Path::from("spec"), error.to_string())))?;
    names::workload::compose(&spec).map_err(|error| ClientError::invalid(error.into()))
}

fn is_kubernetes(key: &Key) -> bool {
    key.kind == Kind::NetworkPolicy && key.name.starts_with(names::kubernetes::NETWORK_POLICY)
}

fn meta(field: &str, value: &str, reason: &str) -> ClientError {
    let path = format!("metadata.{}{}", field[..1].to_lowercase(), &field[1..]);
    ClientError::field(&path, &format!("Metadata.{field}"), Some(value), reason)
}
