//! Deleting: which objects may be deleted, under which condition, and what is deleted with them.

use tortie_api::{Key, Kind, Object};

use super::batch::Plan;
use super::batch_view::View;
use super::{Change, ClientError, Done, Target, object_rules, plan, user_form};
use tortie_store::{Revision, StoreError, Write};

/// The result of planning a deletion.
pub(super) fn plan(view: &mut View, target: &Target, may_be_missing: bool) -> Result<Plan, ClientError> {
    let key = &target.key;
    object_rules::namespace(key)?;
    object_rules::delete_allowed(key)?;
    if key.kind == Kind::Tier {
        empty(view, key)?;
    }
    let mut writes = if key.kind == Kind::Node { belongings(view, &key.name)? } else { Vec::new() };
    let wanted = revision(view, key.kind, &target.resource_version)?;
    let Some(stored) = view.locate(key)? else {
        // Without the node its belongings go all the same.
        let result = match may_be_missing {
            true => Ok(Done::new(Change::Skipped, Object::new(key.clone()))),
            false => Err(ClientError::missing(key)),
        };
        return Ok(Plan { writes, result });
    };
    if wanted.as_ref().is_some_and(|wanted| *wanted != stored.revision) {
        return Err(ClientError::Conflict { key: key.clone(), current: Some(stored.revision) });
    }
    // What cannot be read can be deleted. That of a workload endpoint which a store makes of a pod deletes no pod.
    if let (Kind::WorkloadEndpoint, Some(reason)) = (key.kind, stored.value.unreadable()) {
        return Err(ClientError::Unreadable { key: key.clone(), reason: reason.to_owned() });
    }
    let object = user_form::read(&stored).unwrap_or_else(|_| Object::new(key.clone()));
    let mut done = Done::new(Change::Deleted, object);
    done.notes.extend(plan::legacy_note(&stored.key, key));
    writes.push(Write::delete(stored.key, wanted));
    Ok(Plan { writes, result: Ok(done) })
}

/// The revision at which an object is to be deleted, out of a `resourceVersion`; none if any will do.
fn revision(view: &View, kind: Kind, text: &str) -> Result<Option<Revision>, ClientError> {
    if text.is_empty() {
        return Ok(None);
    }
    if !view.store().abilities().one_history {
        // There Calico makes the version a condition for these only.
        return Ok((kind == Kind::WorkloadEndpoint).then(|| text.into()));
    }
    let parsed = text.parse::<u64>().map(|number| Some(number.into()));
    parsed.map_err(|_| ClientError::field("metadata.resourceVersion", "ResourceVersion", Some(text), ""))
}

/// A tier that policies are in stays.
fn empty(view: &mut View, tier: &Key) -> Result<(), ClientError> {
    let mut policies = Vec::new();
    for kind in Kind::TIERED {
        for stored in view.list(kind)? {
            // One that cannot be read is not known to be in this tier, as in Calico.
            if let Ok(policy) = user_form::read(&stored)
                && user_form::text(&policy, "tier") == Some(&tier.name)
            {
                policies.push(policy.key());
            }
        }
    }
    if policies.is_empty() { Ok(()) } else { Err(ClientError::TierInUse { tier: tier.name.clone(), policies }) }
}

/// What belongs to a node and is deleted with it. Addresses that address management holds for it are not objects of
/// this store and stay.
fn belongings(view: &mut View, node: &str) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::new();
    if node.is_empty() {
        return Ok(writes);
    }
    let mut take = |view: &mut View, kind: Kind| -> Result<(), StoreError> {
        for stored in view.list(kind)? {
            if user_form::read(&stored).is_ok_and(|object| user_form::text(&object, "node") == Some(node)) {
                // It may go to another node meanwhile: then it stays.
                writes.push(Write::delete(stored.key, Some(stored.revision)));
            }
        }
        Ok(())
    };
    take(view, Kind::WorkloadEndpoint)?;
    take(view, Kind::BGPPeer)?;
    take(view, Kind::HostEndpoint)?;
    for kind in [Kind::FelixConfiguration, Kind::BGPConfiguration] {
        let key = Key::cluster(kind, format!("node.{node}"));
        if let Some(stored) = view.get(&key)? {
            writes.push(Write::delete(key, Some(stored.revision)));
        }
    }
    Ok(writes)
}
