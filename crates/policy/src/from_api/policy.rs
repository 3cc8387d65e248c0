//! Tiers and policies. Facts: enforcement sheet 1.1 to 1.4, 1.7, 1.8; datastore sheet 1.4, 3.4 and appendix A.

use tortie_api::kinds::network_policy::{
    GlobalNetworkPolicySpec, NetworkPolicySpec, PolicyType, StagedGlobalNetworkPolicySpec, StagedNetworkPolicySpec,
};
use tortie_api::kinds::tier::TierSpec;
use tortie_api::{Kind, Object, Path};
use tortie_selector::Selector;

use super::rule::{NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX, rules};
use super::{Invalid, selector, spec};
use crate::policy::{Order, Policy, PolicyId, Stage, Tier, TierEnd, Types};

pub(super) fn tier(object: &Object) -> Result<Tier, Invalid> {
    let spec: TierSpec = spec(object)?;
    let pass = spec.default_action.as_deref().is_some_and(|action| action == "Pass");
    Ok(Tier {
        name: object.metadata.name.clone(),
        order: Order(spec.order),
        end: if pass { TierEnd::Pass } else { TierEnd::Deny },
    })
}

pub(super) fn namespaced(object: &Object) -> Result<Policy, Invalid> {
    from_namespaced(object, &spec(object)?)
}

pub(super) fn global(object: &Object) -> Result<Policy, Invalid> {
    from_global(object, &spec(object)?)
}

/// A staged policy; none when it stages a deletion or is to be ignored by every dataplane.
pub(super) fn staged(object: &Object) -> Result<Option<Policy>, Invalid> {
    let (action, mut policy) = match object.kind {
        Kind::StagedNetworkPolicy => {
            let spec: StagedNetworkPolicySpec = spec(object)?;
            (spec.staged_action.0.clone(), from_namespaced(object, &spec.policy)?)
        }
        Kind::StagedGlobalNetworkPolicy => {
            let spec: StagedGlobalNetworkPolicySpec = spec(object)?;
            (spec.staged_action.0.clone(), from_global(object, &spec.policy)?)
        }
        _ => {
            let spec = super::kubernetes::convert(object)?;
            (spec.staged_action, from_namespaced(object, &spec.policy)?)
        }
    };
    policy.staged = true;
    Ok((action != "Delete").then_some(policy))
}

fn from_namespaced(object: &Object, spec: &NetworkPolicySpec) -> Result<Policy, Invalid> {
    let path = Path::from("spec");
    let namespace = &object.metadata.namespace;
    let scope = format!("projectcalico.org/namespace == '{namespace}'");
    let own = spec.selector.trim();
    selector(own, &path.key("selector"))?;
    let mut text = if own.is_empty() { scope } else { format!("({own}) && {scope}") };
    if !spec.service_account_selector.is_empty() {
        let place = path.key("serviceAccountSelector");
        text = with_prefixed(&text, &spec.service_account_selector, SERVICE_ACCOUNT_PREFIX, &place)?;
    }
    Ok(Policy {
        id: id(object),
        tier: tier_name(&spec.tier),
        order: Order(spec.order),
        selector: selector(&text, &path.key("selector"))?,
        written_selector: spec.selector.clone(),
        types: types(&spec.types),
        ingress: rules(&spec.ingress, namespace, &path.key("ingress"))?,
        egress: rules(&spec.egress, namespace, &path.key("egress"))?,
        stage: Stage::Normal { forward: false },
        staged: false,
        everywhere: spec.performance_hints.iter().any(|hint| hint.0 == "AssumeNeededOnEveryNode"),
    })
}

fn from_global(object: &Object, spec: &GlobalNetworkPolicySpec) -> Result<Policy, Invalid> {
    let path = Path::from("spec");
    let stage = if spec.do_not_track {
        Stage::Untracked
    } else if spec.pre_dnat {
        Stage::PreDnat
    } else {
        Stage::Normal { forward: spec.apply_on_forward }
    };
    Ok(Policy {
        id: id(object),
        tier: tier_name(&spec.tier),
        order: Order(spec.order),
        selector: global_selector(spec, &path)?,
        written_selector: spec.selector.clone(),
        types: types(&spec.types),
        ingress: rules(&spec.ingress, "", &path.key("ingress"))?,
        egress: rules(&spec.egress, "", &path.key("egress"))?,
        stage,
        staged: false,
        everywhere: spec.performance_hints.iter().any(|hint| hint.0 == "AssumeNeededOnEveryNode"),
    })
}

/// Selector, namespaces and service accounts in one. The rewriting of `all()` is of the whole text, so that with a
/// namespace selector even the policy's own `all()` means "in any namespace" (enforcement sheet section 13, row 22).
fn global_selector(spec: &GlobalNetworkPolicySpec, path: &Path) -> Result<Selector, Invalid> {
    let mut text = spec.selector.trim().to_owned();
    selector(&text, &path.key("selector"))?;
    let scopes = [
        ("namespaceSelector", &spec.namespace_selector, NAMESPACE_PREFIX, "has(projectcalico.org/namespace)"),
        (
            "serviceAccountSelector",
            &spec.service_account_selector,
            SERVICE_ACCOUNT_PREFIX,
            "has(projectcalico.org/serviceaccount)",
        ),
    ];
    for (field, scope, prefix, all) in scopes {
        if !scope.is_empty() {
            text = with_prefixed(&text, scope, prefix, &path.key(field))?.replace("all()", all);
        }
    }
    selector(&text, &path.key("selector"))
}

/// `text` and a selector whose labels stand under a prefix.
fn with_prefixed(text: &str, scope: &str, prefix: &str, path: &Path) -> Result<String, Invalid> {
    let scope = selector(scope, path)?.with_prefix(prefix).to_string();
    Ok(if text.is_empty() { scope } else { format!("({text}) && {scope}") })
}

fn id(object: &Object) -> PolicyId {
    PolicyId { kind: object.kind, namespace: object.metadata.namespace.clone(), name: object.metadata.name.clone() }
}

fn tier_name(tier: &str) -> String {
    if tier.is_empty() { "default".to_owned() } else { tier.to_owned() }
}

/// An empty list is old data, and means both.
fn types(types: &[PolicyType]) -> Types {
    let has = |name: &str| types.is_empty() || types.iter().any(|one| one.0.eq_ignore_ascii_case(name));
    Types { ingress: has("Ingress"), egress: has("Egress") }
}
