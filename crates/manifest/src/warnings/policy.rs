//! Policies: rules that are never evaluated or match nothing, and what they name.

use serde_json::{Map, Value};
use tortie_api::{Key, Kind, Object, Path};
use tortie_selector::{Selector, from_fn};

use super::endpoint::is_word_for_all;
use crate::problem::Problem;

/// The tiers that every store has.
const BUILT_IN_TIERS: [&str; 3] = ["kube-admin", "default", "kube-baseline"];

/// A policy by itself.
pub(super) fn check(_: &Object, spec: &Map<String, Value>, out: &mut Vec<Problem>) {
    let list = |field: &str| spec.get(field).and_then(Value::as_array).filter(|items| !items.is_empty());
    for (rules, side) in [("ingress", "source"), ("egress", "destination")] {
        for (index, rule) in list(rules).into_iter().flatten().enumerate() {
            let services = rule.get(side).and_then(|side| side.get("services")).and_then(Value::as_object);
            let text = |field: &str| services.and_then(|it| it.get(field)).and_then(Value::as_str).unwrap_or_default();
            if !text("name").is_empty() && text("namespace").is_empty() {
                let message =
                    format!("`services` names `{}` in no namespace, so the rule matches nothing", text("name"));
                let path = Path::from("spec").key(rules).index(index).key(side).key("services");
                let help = "add the `namespace` of the service: that of the policy is not assumed";
                out.push(Problem::warning("service-without-namespace", path, message).help(help));
            }
        }
    }
    for rules in ["ingress", "egress"] {
        for (index, rule) in list(rules).into_iter().flatten().enumerate() {
            let place = Path::from("spec").key(rules).index(index);
            let fields =
                ["source", "destination"].into_iter().flat_map(|side| ["ports", "notPorts"].map(|field| (side, field)));
            for (side, field) in fields {
                let ports = rule.get(side).and_then(|side| side.get(field)).and_then(Value::as_array);
                for (at, port) in ports.into_iter().flatten().enumerate() {
                    let Some(word) = port.as_str().filter(|port| is_word_for_all(port)) else { continue };
                    let message = format!("`{word}` is the name of a port here, and not every port");
                    let path = place.key(side).key(field).index(at);
                    let help = match field {
                        "ports" => "leave `ports` out for every port",
                        _ => "write the ports that are meant",
                    };
                    out.push(Problem::warning("taken-as-name", path, message).help(help));
                }
            }
        }
    }
    let Some(types) = list("types") else { return };
    for (rules, direction) in [("ingress", "Ingress"), ("egress", "Egress")] {
        if list(rules).is_some() && !types.iter().any(|found| found == direction) {
            let message = format!("`types` leaves out {direction}, so the {rules} rules are never asked");
            let problem = Problem::warning("rules-not-asked", Path::from("spec").key(rules), message);
            let also = vec![(Path::from("spec.types"), "here".to_owned())];
            out.push(Problem { also, ..problem }.help(format!("add `{direction}` to `types`, or remove the rules")));
        }
    }
}

/// The tier that a policy is in.
pub(super) fn tier(spec: &Map<String, Value>, exists: &dyn Fn(&Key) -> bool, out: &mut Vec<Problem>) {
    let Some(tier) = spec.get("tier").and_then(Value::as_str).filter(|tier| !tier.is_empty()) else { return };
    if !BUILT_IN_TIERS.contains(&tier) && !exists(&Key::cluster(Kind::Tier, tier)) {
        let message = format!("there is no tier `{tier}`: until there is, the policy comes last and its end denies");
        let problem = Problem::warning("unknown-tier", Path::from("spec.tier"), message);
        out.push(problem.help("make the tier first, with the order that it should have"));
    }
}

/// Which of these host endpoints an untracked policy selects without effect: on `*` it does not act.
pub fn untracked_on_any<'a>(policy: &Object, endpoints: impl IntoIterator<Item = &'a Object>) -> Vec<Problem> {
    let spec = |object: &'a Object| object.body.get("spec").and_then(Value::as_object);
    let found = policy.body.get("spec").and_then(Value::as_object);
    let untracked = |spec: &&Map<String, Value>| spec.get("doNotTrack") == Some(&Value::Bool(true));
    let Some(fields) = found.filter(untracked) else { return Vec::new() };
    let Ok(selector) = Selector::parse(fields.get("selector").and_then(Value::as_str).unwrap_or_default()) else {
        return Vec::new();
    };
    let any = |object: &&'a Object| {
        object.kind == Kind::HostEndpoint
            && spec(object).and_then(|spec| spec.get("interfaceName")).and_then(Value::as_str) == Some("*")
            && selector.matches(&from_fn(|label: &str| object.metadata.labels.get(label).map(String::as_str)))
    };
    let names: Vec<&str> = endpoints.into_iter().filter(any).map(|object| object.metadata.name.as_str()).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let message = format!("an untracked policy does not act on `*` host endpoints; this selects {}", names.join(", "));
    let problem = Problem::warning("untracked-on-any", Path::from("spec.doNotTrack"), message);
    vec![problem.help("name the interfaces by host endpoints of their own")]
}
