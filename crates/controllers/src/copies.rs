//! Copies of what Kubernetes has, in a store of its own (etcd, the embedded store), where pods are enforced without the agents
//! asking the API server.
//!
//! | Kubernetes | the copy |
//! |---|---|
//! | Namespace `shop` | Profile `kns.shop` |
//! | ServiceAccount `shop/web` | Profile `ksa.shop.web` |
//! | NetworkPolicy `shop/db` | NetworkPolicy `shop/knp.default.db` |
//!
//! The conversions are those of the Kubernetes store, which lists and watches here as it does for an agent. A copy is known by its
//! name, as those of Calico's kube-controllers are: nothing of another name is ever changed or deleted, and whatever has such a
//! name and is not in Kubernetes is deleted. A policy that is deleted opens what it closed, so that needs more than silence: all of
//! Kubernetes was listed since the process started, it can be reached now, and it has a namespace.

mod known;
mod plan;
mod stand_in;

pub use known::{Copies, Existing};
pub use plan::plan;

use tortie_api::{Key, Kind};

use crate::enabled::Enabled;

/// The kinds that Kubernetes is asked for.
pub const SOURCES: [Kind; 2] = [Kind::Profile, Kind::KubernetesNetworkPolicy];
/// The kinds of copies in the store.
pub const KINDS: [Kind; 2] = [Kind::Profile, Kind::NetworkPolicy];

/// The prefix of the profile of a namespace.
const NAMESPACE: &str = "kns.";
/// The prefix of the profile of a service account.
const SERVICE_ACCOUNT: &str = "ksa.";
/// The prefix of a NetworkPolicy of Kubernetes.
const POLICY: &str = "knp.default.";

/// The key of the copy of what the Kubernetes store has under a key.
fn copy_of(key: &Key) -> Option<Key> {
    let copy = match key.kind {
        Kind::KubernetesNetworkPolicy => {
            Key::namespaced(Kind::NetworkPolicy, &key.namespace, format!("{POLICY}{}", key.name))
        }
        _ => key.clone(),
    };
    is_copy(&copy).then_some(copy)
}

/// Whether what has this key is a copy.
fn is_copy(key: &Key) -> bool {
    match key.kind {
        Kind::Profile => [NAMESPACE, SERVICE_ACCOUNT].iter().any(|prefix| key.name.starts_with(prefix)),
        Kind::NetworkPolicy => key.name.starts_with(POLICY),
        _ => false,
    }
}

/// Whether the controller of this copy runs.
fn is_enabled(key: &Key, enabled: Enabled) -> bool {
    match key.kind {
        Kind::NetworkPolicy => enabled.policies,
        _ if key.name.starts_with(NAMESPACE) => enabled.namespaces,
        _ => enabled.service_accounts,
    }
}

/// What a copy is of, in Kubernetes' words.
fn source(key: &Key) -> String {
    let name = |prefix: &str| key.name.strip_prefix(prefix).unwrap_or(&key.name).to_owned();
    match key.kind {
        Kind::NetworkPolicy => format!("networkpolicy {}/{}", key.namespace, name(POLICY)),
        _ if key.name.starts_with(NAMESPACE) => format!("namespace {}", name(NAMESPACE)),
        _ => format!("serviceaccount {}", name(SERVICE_ACCOUNT).replacen('.', "/", 1)),
    }
}

/// The namespace whose pods a profile belongs to, where it is that of a namespace.
pub(crate) fn namespace_of_profile(key: &Key) -> Option<&str> {
    if key.kind == Kind::Profile { key.name.strip_prefix(NAMESPACE) } else { None }
}
