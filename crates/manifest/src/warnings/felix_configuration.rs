//! FelixConfiguration: settings that have no effect, or that leave no failsafe port.

use serde_json::{Map, Value};
use tortie_api::Path;

use crate::problem::Problem;

/// Settings without effect here, and empty lists of failsafe ports.
pub(super) fn check(spec: &Map<String, Value>, out: &mut Vec<Problem>) {
    const ALLOW_ACTIONS: [&str; 4] = [
        "iptablesFilterAllowAction",
        "iptablesMangleAllowAction",
        "nftablesFilterAllowAction",
        "nftablesMangleAllowAction",
    ];
    for field in ALLOW_ACTIONS.into_iter().filter(|field| spec.contains_key(*field)) {
        let message = format!("`{field}` has no effect: what tortie allows is still seen by your other firewall rules");
        out.push(Problem::warning("no-effect", Path::from("spec").key(field), message));
    }
    for (field, danger) in [
        ("failsafeInboundHostPorts", "a host endpoint that no policy opens cannot be reached at all, not even by ssh"),
        ("failsafeOutboundHostPorts", "a host endpoint that no policy opens reaches nothing, not even its store"),
    ] {
        if spec.get(field).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            let message = format!("`{field}` is empty: {danger}");
            let problem = Problem::warning("no-failsafes", Path::from("spec").key(field), message);
            out.push(problem.help("leave it out for the default ports, or list those that you depend on"));
        }
    }
}
