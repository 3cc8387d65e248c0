//! Tiers and policies.
//!
//! If it is unreadable where or when a policy counts, the policy denies what it denies everywhere it may have counted, and
//! allows nothing there (`docs/unreadable.md` gives the reasons).

use serde_json::Value;
use tortie_api::kinds::tier::FIXED;
use tortie_api::misspelt::may_be_scope;
use tortie_api::{Kind, Object};
use tortie_selector::Selector;

use super::read::{
    FieldPath, Fields, Invalidities, Read, UNKNOWN_FIELD, float, items, list, one_of, owned, text, tier_name,
};
use super::referenced::NetList;
use super::rule::{RuleList, is_set, rules};
use super::selector::{
    ALL_ACCOUNTS, ALL_NAMESPACES, NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX, in_namespace, joined, selector,
};
use crate::policy::{Order, Policy, PolicyId, PolicyStage, Tier, TierEnd, Types};
use crate::rule::{Action, Rule};

/// Lists that were read before the rest of the object; none if a field is absent or not a list.
#[derive(Default)]
pub(crate) struct EarlyLists {
    pub(super) ingress: Option<RuleList>,
    pub(super) egress: Option<RuleList>,
    pub(super) nets: Option<NetList>,
}

impl EarlyLists {
    /// A list begins.
    pub(super) fn begin(&mut self, name: &str) {
        match name {
            "ingress" => self.ingress = Some(RuleList::default()),
            "egress" => self.egress = Some(RuleList::default()),
            _ => self.nets = Some(NetList::default()),
        }
    }
}

pub(super) fn tier(object: &Object, wrong: &mut Invalidities) -> Tier {
    let spec = Fields::of(object.body.get("spec"));
    let fixed = FIXED.into_iter().find(|(name, ..)| *name == object.metadata.name);
    let order = spec.read("order", float).and_then(|order| match (order, fixed) {
        (Some(order), Some((name, _, fixed))) if order != fixed => {
            Err(format!("the order of the tier {name} is {fixed}").into())
        }
        (order, _) => Ok(order),
    });
    let asked_first = order.is_err();
    let consequence =
        "its policies are asked before those of other tiers, and what they allow goes on to the other tiers";
    let order = wrong.take(FieldPath::SPEC.key("order"), order, consequence).flatten();
    // What this says, Calico takes as Deny unless it is exactly Pass.
    let action = spec.read("defaultAction", |value| one_of(value, &["Deny", "Pass"])).and_then(|action| match fixed {
        Some((name, "Deny", _)) if action == "Pass" => {
            Err(format!("the default action of the tier {name} is Deny").into())
        }
        _ => Ok(action),
    });
    let action = wrong.take(FieldPath::SPEC.key("defaultAction"), action, "the tier denies at its end");
    Tier {
        name: object.metadata.name.clone(),
        order: if asked_first { Order::FIRST } else { Order(order) },
        end: if action == Some("Pass") { TierEnd::Pass } else { TierEnd::Deny },
        asked_first,
    }
}

/// A policy, enforced or staged; none when it stages a deletion.
pub(super) fn policy(object: &Object, early: EarlyLists, wrong: &mut Invalidities) -> Option<Policy> {
    let spec = Fields::of(object.body.get("spec"));
    let staged = super::enforced_kind(object.kind).is_some();
    if staged {
        let action = {
            let known = &["Set", "Delete", "Learn", "Ignore"];
            let action = spec.read("stagedAction", |value| one_of(value, known));
            wrong.take(FieldPath::SPEC.key("stagedAction"), action, "it counts as Set")
        };
        if action == Some("Delete") {
            return None;
        }
    }
    let mut policy = read(object, spec, early, wrong);
    policy.staged = staged;
    Some(policy)
}

/// Which of the fields that say where and when a policy counts are unreadable.
#[derive(Default)]
struct Uncertain {
    /// Which endpoints, in which order, or in which stage.
    place: bool,
    ingress: bool,
    egress: bool,
}

fn read(object: &Object, spec: Fields<'_>, early: EarlyLists, wrong: &mut Invalidities) -> Policy {
    let namespace = object.metadata.namespace.as_str();
    let mut uncertain = Uncertain::default();
    let (selector, written_selector) = scope(object.kind, spec, namespace, &mut uncertain, wrong);
    let consequence = "the policy is asked first in its tier, and only what it denies counts";
    let order = wrong.take(FieldPath::SPEC.key("order"), spec.read("order", float), consequence);
    uncertain.place |= order.is_none();
    let consequence = "the policy is asked before all tiers, and only what it denies counts";
    let tier = wrong.take(FieldPath::SPEC.key("tier"), spec.read("tier", tier_name), consequence);
    let in_no_tier = tier.is_none();
    let (types, stage) = (types(spec, &mut uncertain, wrong), stage(object.kind, spec, &mut uncertain, wrong));
    let mut list = |name: &str, early: Option<RuleList>, uncertain: bool| {
        let mut rules = match (early, spec.get(name)) {
            (Some(early), Some(Value::Array(_))) => early.finish(),
            (_, value) => rules(value, namespace, FieldPath::SPEC.key(name), wrong),
        };
        rules.iter_mut().for_each(|rule| restrict_unreadable(rule, uncertain, in_no_tier));
        rules
    };
    Policy {
        id: id(object),
        order: order.map_or(Order::FIRST, Order),
        selector,
        written_selector,
        types,
        ingress: list("ingress", early.ingress, uncertain.place || uncertain.ingress),
        egress: list("egress", early.egress, uncertain.place || uncertain.egress),
        stage,
        staged: false,
        everywhere: everywhere(spec, wrong),
        tier: match tier {
            Some(tier) if tier.is_empty() => "default".to_owned(),
            Some(tier) => tier,
            None => Tier::UNREADABLE.to_owned(),
        },
    }
}

/// What a rule of a policy with unreadable parts still does. What it would have passed may be allowed by others.
fn restrict_unreadable(rule: &mut Rule, only_denies: bool, in_no_tier: bool) {
    match rule.action {
        Action::Allow if only_denies => *rule = Rule { never: true, ..Rule::any(Action::Allow) },
        Action::Pass if only_denies || in_no_tier => rule.action = Action::Deny,
        _ => {}
    }
}

/// The endpoints that it applies to: of its parts those that can be read.
fn scope(
    kind: Kind,
    spec: Fields<'_>,
    namespace: &str,
    uncertain: &mut Uncertain,
    wrong: &mut Invalidities,
) -> (Selector, String) {
    let consequence = "the policy applies to all endpoints that this may have meant, and only what it denies counts";
    for name in spec.names_where(|map, name| may_be_scope(kind, map, name)) {
        wrong.note(FieldPath::SPEC.key(name), UNKNOWN_FIELD, consequence);
        uncertain.place = true;
    }
    let mut part = |name: &str| {
        let parsed = spec.read(name, owned).and_then(|text| selector(text.trim()).map(|parsed| Some((text, parsed))));
        let part = wrong.take(FieldPath::SPEC.key(name), parsed, consequence);
        uncertain.place |= part.is_none();
        part.flatten()
    };
    let own = part("selector");
    let accounts = part("serviceAccountSelector");
    let namespaces = if namespace.is_empty() { part("namespaceSelector") } else { None };
    let written = own.as_ref().map(|(text, _)| text.clone()).unwrap_or_default();
    let mut scopes = Vec::new();
    for (scope, prefix, all) in
        [(namespaces, NAMESPACE_PREFIX, ALL_NAMESPACES), (accounts, SERVICE_ACCOUNT_PREFIX, ALL_ACCOUNTS)]
    {
        let scope = scope.filter(|(text, _)| !text.is_empty());
        scopes.extend(scope.map(|(_, scope)| (scope.with_prefix(prefix), all)));
    }
    let own = own.filter(|(text, _)| !text.trim().is_empty());
    match joined(own, namespace, &scopes) {
        Ok(selector) => (selector, written),
        Err(error) => {
            wrong.note(FieldPath::SPEC.key("selector"), error, consequence);
            uncertain.place = true;
            let all = if namespace.is_empty() { None } else { in_namespace(namespace).ok() };
            (all.unwrap_or_else(Selector::all), written)
        }
    }
}

/// The directions. An empty list is old data, and means both; what cannot be read may mean both.
fn types(spec: Fields<'_>, uncertain: &mut Uncertain, wrong: &mut Invalidities) -> Types {
    let Some(value) = spec.get("types") else { return Types { ingress: true, egress: true } };
    let consequence = "the policy counts in both directions, and where this is not said only what it denies";
    let values = wrong.take(FieldPath::SPEC.key("types"), list(value), consequence);
    if values.is_some_and(|values| values.is_empty()) {
        return Types { ingress: true, egress: true };
    }
    let mut types = Types { ingress: false, egress: false };
    let mut unreadable = values.is_none();
    for (index, value) in values.unwrap_or_default().iter().enumerate() {
        let known = text(value).and_then(|text| match text.to_ascii_lowercase().as_str() {
            "ingress" => Ok(true),
            "egress" => Ok(false),
            _ => Err(format!("{text:?} is not a direction").into()),
        });
        let place = FieldPath::SPEC.key("types");
        match wrong.take(place.index(index), known, consequence) {
            Some(true) => types.ingress = true,
            Some(false) => types.egress = true,
            None => unreadable = true,
        }
    }
    if unreadable {
        uncertain.ingress = !types.ingress;
        uncertain.egress = !types.egress;
        return Types { ingress: true, egress: true };
    }
    types
}

/// In which stages of a host endpoint it counts.
fn stage(kind: Kind, spec: Fields<'_>, uncertain: &mut Uncertain, wrong: &mut Invalidities) -> PolicyStage {
    if !matches!(
        kind,
        Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy | Kind::KubernetesClusterNetworkPolicy
    ) {
        return PolicyStage::Normal { forward: false };
    }
    let consequence = "the policy counts in every stage that this may have meant, and only what it denies";
    let mut flag = |name: &str| {
        let flag = wrong.take(FieldPath::SPEC.key(name), is_set(spec.get(name)), consequence);
        uncertain.place |= flag.is_none();
        flag
    };
    match (flag("doNotTrack"), flag("preDNAT"), flag("applyOnForward")) {
        (None, _, _) | (Some(false), None, _) => PolicyStage::Unknown,
        (Some(true), _, _) => PolicyStage::Untracked,
        (Some(false), Some(true), _) => PolicyStage::PreDnat,
        (Some(false), Some(false), forward) => PolicyStage::Normal { forward: forward.unwrap_or(true) },
    }
}

fn everywhere(spec: Fields<'_>, wrong: &mut Invalidities) -> bool {
    let hints: Read<Vec<&str>> = spec.get("performanceHints").map_or(Ok(Vec::new()), |value| items(value, text));
    let hints = wrong.take(FieldPath::SPEC.key("performanceHints"), hints, "").unwrap_or_default();
    hints.contains(&"AssumeNeededOnEveryNode")
}

fn id(object: &Object) -> PolicyId {
    PolicyId { kind: object.kind, namespace: object.metadata.namespace.clone(), name: object.metadata.name.clone() }
}
