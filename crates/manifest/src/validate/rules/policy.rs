//! Policies as a whole.

use serde_json::Value;
use tortie_api::{Kind, Object};

use super::entity;
use crate::problem::Problem;
use crate::validate::compiled_rules::{CompiledRules, Node};
use crate::validate::metadata;
use crate::validate::place::Place;
use crate::validate::value::{Fields, filled, flag, go_text, list, present, record, records, text};

/// What Calico's own code says of a policy, after its fields.
pub(super) fn check(object: &Object, compiled: &CompiledRules, out: &mut Vec<Problem>) {
    metadata::check_own_name(object, out);
    let none = Fields::new();
    let spec = object.body.get("spec").and_then(Value::as_object).unwrap_or(&none);
    let staged = matches!(object.kind, Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy);
    if staged && text(spec, "stagedAction") == "Delete" {
        deletes_nothing_else(object.kind, spec, compiled, out);
        return;
    }
    let global = matches!(object.kind, Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy);
    check_spec(spec, global, compiled.spec(), out);
}

/// The rules of the spec of a policy, also of one that was made from a Kubernetes policy.
pub(super) fn check_spec(spec: &Fields, global: bool, node: Option<&Node>, out: &mut Vec<Problem>) {
    let place = Place::ROOT.key("spec");
    let types = list(spec, "types");
    for (index, kind) in types.iter().enumerate().filter(|(index, kind)| types[..*index].contains(kind)) {
        let field = if global { "GlobalNetworkPolicySpec.Types" } else { "NetworkPolicySpec.Types" };
        let kind = go_text(kind, None);
        let reason = format!("'{kind}' type specified more than once");
        let shown = go_text(&Value::Array(types.to_vec()), None);
        out.push(
            Problem::field(place.key("types").index(index).path(), field, shown, reason)
                .message(format!("`{kind}` is given twice here"))
                .help("remove one of them"),
        );
    }
    let rule_node = |direction: &str| node.and_then(|node| node.field(direction)).and_then(|node| node.item.as_deref());
    let (egress, ingress) = (place.key("egress"), place.key("ingress"));
    for (index, rule) in records(spec, "egress") {
        let at = egress.index(index);
        wrong_side(rule, "source", "egress", rule_node("egress"), &at, out);
        if let Some(http) = rule.get("http").filter(|http| !http.is_null()) {
            let reason = if global { "not allowed in egress rules" } else { "not allowed in egress rule" };
            let shape = rule_node("egress").and_then(|node| node.field("http")).map(|node| node.shape);
            let problem = Problem::field(at.key("http").path(), "HTTP", go_text(http, shape), reason);
            out.push(problem.message("`http` can stand only in ingress rules"));
        }
    }
    for (index, rule) in records(spec, "ingress") {
        wrong_side(rule, "destination", "ingress", rule_node("ingress"), &ingress.index(index), out);
    }
    if global {
        for (index, rule) in records(spec, "egress") {
            service_namespace(rule, "destination", &egress.index(index), out);
        }
        for (index, rule) in records(spec, "ingress") {
            service_namespace(rule, "source", &ingress.index(index), out);
        }
    }
}

/// Services stand only on the far side of a rule.
fn wrong_side(rule: &Fields, side: &str, direction: &str, node: Option<&Node>, place: &Place, out: &mut Vec<Problem>) {
    let Some(services) = record(rule, side).and_then(|entity| entity.get("services")).filter(|value| !value.is_null())
    else {
        return;
    };
    let shape = node.and_then(|node| node.field(side)).and_then(|node| node.field("services")).map(|node| node.shape);
    let reason = format!("not allowed in {direction} rule {side}");
    let problem = Problem::field(place.key(side).key("services").path(), "Services", go_text(services, shape), reason);
    let far = if side == "source" { "destination" } else { "source" };
    out.push(problem.message(format!("`services` can stand only in the {far} of {direction} rules")));
}

/// A global policy has no namespace to look a service up in.
fn service_namespace(rule: &Fields, side: &str, place: &Place, out: &mut Vec<Problem>) {
    if let Some(services) = record(rule, side).and_then(|entity| record(entity, "services"))
        && text(services, "namespace").is_empty()
    {
        let path = place.key(side).key("services").path();
        out.push(
            Problem::field(path, "Namespace", "", "must specify a namespace")
                .message("a global policy must name the namespace of a service")
                .help("add `namespace:` beside the service's name"),
        );
    }
}

/// A staged deletion says what is deleted, and nothing more.
fn deletes_nothing_else(kind: Kind, spec: &Fields, compiled: &CompiledRules, out: &mut Vec<Problem>) {
    let node = compiled.spec();
    let set = |field: &&Node| match field.name.as_str() {
        "tier" | "stagedAction" => false,
        "order" => present(spec, "order"),
        // Calico compares with an untouched object, so even an explicit empty list counts.
        name => filled(spec, name) || spec.get(name).is_some_and(Value::is_array),
    };
    let Some(field) = node.and_then(|node| node.fields.iter().find(set)) else { return };
    let name = format!("{kind}Spec");
    let shown = go_text(&Value::Object(spec.clone()), node.map(|node| node.shape));
    let reason = "Spec fields, except Tier, should all be zero-value if stagedAction is Delete";
    out.push(
        Problem::field(Place::ROOT.key("spec").key(&field.name).path(), name, shown, reason)
            .message(format!(
                "`stagedAction: Delete` stands alone; only `tier` may stand beside it, not `{}`",
                field.name
            ))
            .help(format!("remove `{}`", field.name)),
    );
}

/// The rules of the CRD for every policy.
pub(super) fn schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    for name in ["selector", "serviceAccountSelector"] {
        if text(fields, name).contains("global(") {
            out.push(entity::global(place, name));
        }
    }
}

/// The rules of the CRD for global policies.
pub(super) fn global_schema(fields: &Fields, node: &Node, place: &Place, out: &mut Vec<Problem>) {
    let (untracked, pre_dnat) = (flag(fields, "doNotTrack"), flag(fields, "preDNAT"));
    let at = |field: &str, reason: &str, also: Option<&str>| {
        let problem = Problem::schema(place.path(), reason);
        let also = also.map(|field| (place.key(field).path(), "and here".to_owned())).into_iter().collect();
        Problem { path: place.key(field).path(), also, ..problem }
    };
    if untracked && pre_dnat {
        let reason = "preDNAT and doNotTrack cannot both be true";
        out.push(at("doNotTrack", reason, Some("preDNAT")).message("a policy is `preDNAT` or `doNotTrack`, not both"));
    }
    if pre_dnat && filled(fields, "egress") {
        let problem = at("egress", "preDNAT policy cannot have any egress rules", Some("preDNAT"));
        out.push(problem.message("a `preDNAT` policy sees only what comes in; it cannot have egress rules"));
    }
    if pre_dnat && list(fields, "types").iter().any(|kind| kind == "Egress") {
        let problem = at("types", "preDNAT policy cannot have 'Egress' type", Some("preDNAT"));
        out.push(problem.message("a `preDNAT` policy sees only what comes in; `types` cannot have `Egress`"));
    }
    if (untracked || pre_dnat) && !flag(fields, "applyOnForward") {
        let field = if pre_dnat { "preDNAT" } else { "doNotTrack" };
        let problem = at(field, "applyOnForward must be true if either preDNAT or doNotTrack is true", None);
        out.push(
            problem
                .message(format!(
                    "`{field}` works before it is known whether a packet is forwarded, so `applyOnForward` must be true"
                ))
                .help("add `applyOnForward: true`"),
        );
    }
    schema(fields, node, place, out);
    if text(fields, "namespaceSelector").contains("global(") {
        out.push(entity::global(place, "namespaceSelector"));
    }
}
