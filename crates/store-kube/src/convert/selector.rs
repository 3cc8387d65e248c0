//! Kubernetes' label selectors as Calico's. Facts: datastore sheet 3.4.

use tortie_api::kinds::staged_kubernetes_network_policy::LabelSelector;

/// What only pods have.
const PODS: &str = "projectcalico.org/orchestrator == 'k8s'";

/// Pods with these labels; without a selector, all pods.
pub(super) fn pods(selector: Option<&LabelSelector>) -> String {
    let mut terms = vec![PODS.to_owned()];
    terms.extend(selector.into_iter().flat_map(self::terms));
    terms.join(" && ")
}

/// Namespaces with these labels; empty without a selector, which means another thing than one that selects all.
pub(super) fn namespaces(selector: Option<&LabelSelector>) -> String {
    match selector {
        None => String::new(),
        Some(selector) if selector.match_labels.is_empty() && selector.match_expressions.is_empty() => {
            "all()".to_owned()
        }
        Some(selector) => terms(selector).join(" && "),
    }
}

fn terms(selector: &LabelSelector) -> Vec<String> {
    let mut terms: Vec<String> =
        selector.match_labels.iter().map(|(key, value)| format!("{key} == '{value}'")).collect();
    for it in &selector.match_expressions {
        let (key, values) = (&it.key, it.values.join("', '"));
        match it.operator.as_str() {
            "In" => terms.push(format!("{key} in {{ '{values}' }}")),
            "NotIn" => terms.push(format!("{key} not in {{ '{values}' }}")),
            "Exists" => terms.push(format!("has({key})")),
            "DoesNotExist" => terms.push(format!("! has({key})")),
            // The API server accepts no other.
            _ => {}
        }
    }
    terms
}
