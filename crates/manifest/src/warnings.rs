//! Warnings: what is allowed and yet probably not meant.
//!
//! [`of`] looks at one object, [`references`] at what it names; reading text and stored objects has some of its own.
//! [`CODES`] lists every code with what it says; codes never change, so that scripts and configuration can name them.

mod endpoint;
mod felix_configuration;
mod network_set;
mod policy;
mod selectors;
mod spec_lists;

use serde_json::{Map, Value};
use tortie_api::{Key, Kind, Object, Path};

use crate::problem::Problem;

pub use policy::untracked_on_any;

/// Every code, and when it is given.
pub const CODES: &[(&str, &str)] = &[
    ("behind-failsafe", "failsafes let all packets through that a rule matches, before it is asked"),
    ("duplicate-port", "two ports of an endpoint have the same name and protocol"),
    ("empty-address", "an address or net is an empty text, which means nothing"),
    (
        "invalid",
        "`apply` would refuse a stored object that no agent reads, and whoever uses it may do without parts of it",
    ),
    ("invisible", "a selector compares with a text that has an invisible character or a space that is none"),
    ("left-out", "a Kubernetes object, or a part of it, cannot be taken over, and is left out"),
    ("legacy-name", "a policy is stored under the name that Calico gave it before v3.32"),
    ("never-matches", "a rule matches no packet, or rules before it in its policy match all of its packets"),
    ("never-reached", "no packet comes to a rule: a rule of another policy or the end of a tier decides all before it"),
    ("no-effect", "a setting is kept and has no effect here, or the settings of an object apply to no node"),
    ("no-expected-ips", "a host endpoint without addresses: label rules elsewhere do not match it"),
    ("no-failsafes", "a list of failsafe ports is empty: no port stays open whatever the policy says"),
    ("no-history", "what was written is not in the history of the store, so `undo` cannot take it back"),
    (
        "no-policy",
        "no enforced policy selects a host endpoint and none of its profiles has rules: all but failsafes is denied",
    ),
    ("not-copied", "a key of the store is not understood, so `copy` and `backup` leave it out"),
    ("not-enforced", "no agent of this machine enforces what was written"),
    ("octal", "a number begins with 0, so YAML reads it in base 8"),
    ("only-closes", "a policy has no rule that allows or denies in a direction, and makes endpoints default-deny"),
    (
        "placement",
        "a host endpoint governs no interface of this machine, or packets pass by the policies of a workload endpoint",
    ),
    ("rules-not-asked", "a direction has rules but `types` leaves it out, so they are never asked"),
    (
        "same-interface",
        "two endpoints are on one interface of one node, or two host endpoints have one address: only one of them counts",
    ),
    ("selects-nothing", "a policy selects no endpoint yet"),
    ("service-without-namespace", "a rule names a service without its namespace, and so no service"),
    ("taken-as-name", "the word `all` or `any` is taken for the name of an interface or of a port"),
    ("text-after-separator", "the text after `---` on its line is ignored"),
    (
        "translated-port",
        "a table of another program on this machine translates a port before the rule that names it is asked",
    ),
    ("unknown-field-kept", "a stored object has a field that is not known here; it is kept"),
    ("unknown-node", "a host endpoint or the settings of one node are for a node that nothing else tells of"),
    ("unknown-profile", "an endpoint names a profile that does not exist: what no policy allows is denied"),
    ("unknown-tier", "a policy is in a tier that does not exist"),
    ("unquoted", "YAML takes unquoted text for a yes or no or for a number, and other text is read than stands there"),
    ("unreadable", "a stored object cannot be read; the others are shown"),
    ("untracked-on-any", "an untracked policy selects a `*` host endpoint, where it does not act"),
    ("untracked-one-way", "an untracked policy allows traffic one way, and no untracked policy allows its answers"),
];

/// The warnings about an object as it stands.
pub fn of(object: &Object) -> Vec<Problem> {
    let none = Map::new();
    let spec = object.body.get("spec").and_then(Value::as_object).unwrap_or(&none);
    let mut out = Vec::new();
    match object.kind {
        Kind::HostEndpoint => endpoint::host(object, spec, &mut out),
        Kind::WorkloadEndpoint => endpoint::workload(spec, &mut out),
        Kind::NetworkSet | Kind::GlobalNetworkSet => network_set::network_set(spec, &mut out),
        Kind::NetworkPolicy
        | Kind::GlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy => policy::check(object, spec, &mut out),
        Kind::FelixConfiguration => felix_configuration::check(object, spec, &mut out),
        _ => {}
    }
    selectors::check(spec, &Path::from("spec"), &mut out);
    out
}

/// The warnings about what an object names; `exists` answers for one object of the store.
pub fn references(object: &Object, exists: &dyn Fn(&Key) -> bool) -> Vec<Problem> {
    let none = Map::new();
    let spec = object.body.get("spec").and_then(Value::as_object).unwrap_or(&none);
    let mut out = Vec::new();
    match object.kind {
        Kind::HostEndpoint | Kind::WorkloadEndpoint => endpoint::profiles(spec, exists, &mut out),
        Kind::NetworkPolicy
        | Kind::GlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy => policy::tier(spec, exists, &mut out),
        _ => {}
    }
    out
}

#[cfg(test)]
mod tests;
