//! NetworkSet and GlobalNetworkSet.

use tortie_api::{Object, Path};

use crate::problem::Problem;
use crate::validate::compiled_rules::CompiledRules;

/// The label that stands for the namespace cannot be set on a set.
pub(super) fn check(object: &Object, _: &CompiledRules, out: &mut Vec<Problem>) {
    const NAMESPACE: &str = "projectcalico.org/namespace";
    if object.metadata.labels.contains_key(NAMESPACE) {
        let path = Path::from("metadata.labels").key(NAMESPACE);
        let reason = "projectcalico.org/namespace is not a valid label name";
        out.push(
            Problem::field(path, "Metadata.Labels (label)", NAMESPACE, reason)
                .message(format!("the label `{NAMESPACE}` is set by the system; a set cannot claim a namespace"))
                .help("remove the label"),
        );
    }
}
