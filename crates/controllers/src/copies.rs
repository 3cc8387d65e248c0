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

use tortie_api::names::kubernetes;
use tortie_api::{Key, Kind};

use crate::enabled::Enabled;

/// The kinds that Kubernetes is asked for.
pub const SOURCES: [Kind; 2] = [Kind::Profile, Kind::KubernetesNetworkPolicy];
/// The kinds of copies in the store.
pub const KINDS: [Kind; 2] = [Kind::Profile, Kind::NetworkPolicy];

/// What a copy is of.
enum Original<'a> {
    Namespace(&'a str),
    /// `NAMESPACE.NAME`.
    ServiceAccount(&'a str),
    NetworkPolicy(&'a str),
}

impl<'a> Original<'a> {
    /// What the object with this key is a copy of, if it is one.
    fn of(key: &'a Key) -> Option<Self> {
        let behind = |prefix| key.name.strip_prefix(prefix);
        match key.kind {
            Kind::Profile => behind(kubernetes::NAMESPACE_PROFILE)
                .map(Self::Namespace)
                .or_else(|| behind(kubernetes::ACCOUNT_PROFILE).map(Self::ServiceAccount)),
            Kind::NetworkPolicy => behind(kubernetes::NETWORK_POLICY).map(Self::NetworkPolicy),
            _ => None,
        }
    }

    /// Whether its controller runs.
    fn is_enabled(&self, enabled: Enabled) -> bool {
        match self {
            Self::Namespace(_) => enabled.namespaces,
            Self::ServiceAccount(_) => enabled.service_accounts,
            Self::NetworkPolicy(_) => enabled.policies,
        }
    }
}

/// The key of the copy of what the Kubernetes store has under a key.
fn copy_of(key: &Key) -> Option<Key> {
    let copy = match key.kind {
        Kind::KubernetesNetworkPolicy => {
            Key::namespaced(Kind::NetworkPolicy, &key.namespace, format!("{}{}", kubernetes::NETWORK_POLICY, key.name))
        }
        _ => key.clone(),
    };
    is_copy(&copy).then_some(copy)
}

/// Whether what has this key is a copy.
fn is_copy(key: &Key) -> bool {
    Original::of(key).is_some()
}

/// Whether the controller of this copy runs.
fn is_enabled(key: &Key, enabled: Enabled) -> bool {
    Original::of(key).is_some_and(|original| original.is_enabled(enabled))
}

/// What a copy is of, in Kubernetes' words.
fn source(key: &Key) -> String {
    match Original::of(key) {
        Some(Original::Namespace(name)) => format!("namespace {name}"),
        Some(Original::ServiceAccount(name)) => format!("serviceaccount {}", name.replacen('.', "/", 1)),
        Some(Original::NetworkPolicy(name)) => format!("networkpolicy {}/{name}", key.namespace),
        None => key.to_string(),
    }
}

/// The namespace whose pods a profile belongs to, where it is that of a namespace.
pub(crate) fn namespace_of_profile(key: &Key) -> Option<&str> {
    match Original::of(key) {
        Some(Original::Namespace(name)) => Some(name),
        _ => None,
    }
}
