//! What has to be written so that the store has a copy of everything in Kubernetes, and no other.
//!
//! Each write names the revision that it was planned on, so what somebody else changed meanwhile is never overwritten unseen.
//! Nothing is opened on the way: policies are written before the profiles that allow a namespace's pods everything, and deleted
//! after them. What is written is not validated, its name neither: the agent reads a copy as it reads the same object of the
//! Kubernetes store, where what cannot be read denies, and without the copy nothing would. What cannot be copied has a
//! [stand-in](super::stand_in) that denies.

use std::borrow::Cow;

use serde_json::Value;
use tortie_api::{Key, Kind, Object};

use super::{Copies, Existing, is_enabled, namespace_of_profile, source, stand_in};
use crate::enabled::Enabled;
use crate::plan::{Action, Plan};

/// Compares what Kubernetes has with the copies. Copies that Kubernetes no longer has are deleted only with `may_delete`, which means
/// that Kubernetes can be reached; while the store is locked, and without valid settings, nothing is done.
pub fn plan(copies: &Copies, locked: bool, may_delete: bool) -> Plan {
    let mut plan = Plan::default();
    let enabled = match &copies.enabled {
        Ok(enabled) => *enabled,
        Err(reason) => {
            plan.settings(format!("it cannot be read, so nothing of Kubernetes is copied: {reason}"));
            return plan;
        }
    };
    if locked {
        plan.locked("nothing of Kubernetes is copied");
        return plan;
    }
    let mut phases: [Vec<Action>; 6] = Default::default();
    let phase = |key: &Key, policies: usize, profiles: usize| match key.kind {
        Kind::NetworkPolicy => policies,
        _ => profiles,
    };
    for key in copies.wanted.keys().filter(|key| is_enabled(key, enabled)) {
        plan.wanted += 1;
        let Some(spec) = spec(copies, key, &mut plan) else { continue };
        let spec = &*spec;
        match copies.existing.get(key) {
            None => phases[phase(key, 0, 2)].push(Action::Create(Box::new(with_spec(Object::new(key.clone()), spec)))),
            Some(Existing { object: Some(object), .. }) if object.body.get("spec") == Some(spec) => {}
            Some(Existing { object, revision }) => {
                let mut object = with_spec(object.clone().unwrap_or_else(|| Object::new(key.clone())), spec);
                object.metadata.resource_version = revision.to_string();
                phases[phase(key, 1, 3)].push(Action::Update(Box::new(object)));
            }
        }
    }
    for (key, existing) in surplus(copies, enabled, may_delete, &mut plan) {
        let resource_version = existing.revision.to_string();
        phases[phase(key, 5, 4)].push(Action::Delete { key: key.clone(), resource_version });
    }
    plan.actions = phases.into_iter().flatten().collect();
    plan
}

/// What the copy of an original says; none if it stays as it is. What prevents an exact copy is a problem of the plan.
fn spec<'a>(copies: &'a Copies, key: &Key, plan: &mut Plan) -> Option<Cow<'a, Value>> {
    let in_place = |instead: &str| format!("a copy that {instead} is in its place");
    match (copies.wanted.get(key)?, copies.refused.get(key)) {
        (Ok(spec), None) => Some(Cow::Borrowed(spec)),
        (Ok(spec), Some(reason)) => {
            let until = "until it changes or the controllers start again";
            let effect = in_place(stand_in::effect(key, Some(spec)));
            plan.problem(source(key), format!("the store did not take its copy, so {effect} {until}: {reason}"));
            Some(Cow::Owned(stand_in::of(key, Some(spec))))
        }
        (Err(reason), _) => {
            let stand_in = stand_in::of(key, None);
            let existing = copies.existing.get(key).and_then(|existing| existing.object.as_ref());
            let is_earlier = existing.is_some_and(|object| object.body.get("spec") != Some(&stand_in));
            let effect = match is_earlier {
                true => "its copy stays as it was written last".to_owned(),
                false => in_place(stand_in::effect(key, None)),
            };
            plan.problem(source(key), format!("it cannot be read, so {effect}: {reason}"));
            (!is_earlier).then_some(Cow::Owned(stand_in))
        }
    }
}

/// The copies to delete: those of what Kubernetes does not have.
fn surplus<'a>(
    copies: &'a Copies,
    enabled: Enabled,
    may_delete: bool,
    plan: &mut Plan,
) -> Vec<(&'a Key, &'a Existing)> {
    let is_surplus = |(key, _): &(&Key, &Existing)| is_enabled(key, enabled) && !copies.wanted.contains_key(*key);
    let surplus: Vec<_> = copies.existing.iter().filter(is_surplus).collect();
    // Every cluster has the namespace `default`.
    let has_namespace = copies.wanted.keys().any(|key| namespace_of_profile(key).is_some());
    if !surplus.is_empty() && may_delete && !has_namespace {
        let count = surplus.len();
        let text = "the API server names no namespace, not even `default`, so none of the copies that it does not have is deleted: \
                    is it the right one?";
        plan.problem("Kubernetes", format!("{text} ({count})"));
    }
    if may_delete && has_namespace { surplus } else { Vec::new() }
}

/// A copy with this spec. What else it has stays.
fn with_spec(mut object: Object, spec: &Value) -> Object {
    object.body.insert("spec".to_owned(), spec.clone());
    object
}

#[cfg(test)]
mod tests;
