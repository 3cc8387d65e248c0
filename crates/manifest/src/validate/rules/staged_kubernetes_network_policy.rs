//! Staged Kubernetes policies: they must convert to a policy of ours.
//!
//! Only ports can fail to convert: selectors and nets that make no sense are taken and match nothing.

use serde_json::Value;
use tortie_api::{Object, Path};
use tortie_net::Port;

use crate::problem::Problem;
use crate::validate::compiled_rules::CompiledRules;
use crate::validate::metadata;
use crate::validate::place::Place;
use crate::validate::value::{Fields, filled, go_text, present, record, records, text};

/// What Calico's own code says of it, after its fields.
pub(super) fn check(object: &Object, compiled: &CompiledRules, out: &mut Vec<Problem>) {
    metadata::check_own_name(object, out);
    let none = Fields::new();
    let spec = object.body.get("spec").and_then(Value::as_object).unwrap_or(&none);
    let shape = compiled.spec().map(|node| node.shape);
    let shown = |value: &Value| go_text(value, shape);
    if text(spec, "stagedAction") == "Delete" {
        let set = |name: &&&str| match **name {
            "podSelector" => record(spec, name)
                .is_some_and(|pods| ["matchLabels", "matchExpressions"].iter().any(|part| present(pods, part))),
            name => filled(spec, name) || spec.get(name).is_some_and(Value::is_array),
        };
        if let Some(field) = ["podSelector", "ingress", "egress", "policyTypes"].iter().find(set) {
            let reason = "Spec fields should all be zero-value if stagedAction is Delete";
            let path = Path::from("spec").key(*field);
            let shown = shown(&Value::Object(spec.clone()));
            out.push(
                Problem::field(path, "StagedKubernetesNetworkPolicySpec", shown, reason)
                    .message(format!("`stagedAction: Delete` stands alone, without `{field}`"))
                    .help(format!("remove `{field}`")),
            );
        }
        return;
    }
    let mut bad = Vec::new();
    for direction in ["ingress", "egress"] {
        for (index, rule) in records(spec, direction) {
            // Calico drops the rule at its first bad port.
            let place = Place::ROOT.key("spec");
            let (place, rule_value) = (place.key(direction), Value::Object(rule.clone()));
            let place = place.index(index);
            let place = place.key("ports");
            if let Some((port, reason)) =
                records(rule, "ports").find_map(|(port, fields)| Some((port, bad_port(fields)?)))
            {
                bad.push((place.index(port).key("port").path(), go_text(&rule_value, None), reason));
            }
        }
    }
    let lines: Vec<String> = bad
        .iter()
        .map(|(_, rule, reason)| {
            format!("&{rule} (k8s rule couldn't be converted: failed to parse k8s port: {reason})")
        })
        .collect();
    let what = match lines.as_slice() {
        [] => return,
        [only] => format!("error with rule {only}"),
        many => format!(
            "error with the following rules:\n{}",
            many.iter().map(|line| format!("-  {line}\n")).collect::<String>()
        ),
    };
    let reason = format!("conversion to stagednetworkpolicy failed policy: {}: {what}", object.metadata.name);
    let mut places = bad.into_iter().map(|(path, _, reason)| (path, reason));
    let Some((path, message)) = places.next() else { return };
    let problem = Problem::field(path, "PolicySpec", shown(&Value::Object(spec.clone())), reason).message(message);
    out.push(Problem { also: places.collect(), ..problem });
}

/// Why a port does not convert, in Calico's words.
fn bad_port(fields: &Fields) -> Option<String> {
    let port = match fields.get("port") {
        None | Some(Value::Null) => return None,
        Some(port) => go_text(port, None),
    };
    let port = match fields.get("endPort").and_then(Value::as_i64) {
        Some(end) => format!("{port}:{end}"),
        None => port,
    };
    port.parse::<Port>().err().map(|error| format!("invalid port {port}: {error}"))
}
