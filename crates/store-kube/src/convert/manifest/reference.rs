//! Objects of Kubernetes' own kinds by their names, as kubectl writes them: `networkpolicy.networking.k8s.io/shop/db`.

use std::fmt;

use tortie_api::{Key, Kind, names};

use crate::convert::profile;

/// The kinds that previews understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KubernetesKind {
    /// A workload endpoint.
    Pod,
    /// A profile.
    Namespace,
    /// A profile.
    ServiceAccount,
    /// A node.
    Node,
    /// A policy.
    NetworkPolicy,
    /// A global policy.
    ClusterNetworkPolicy,
    /// Endpoints of a service.
    EndpointSlice,
    /// What rules mean by `services`: its EndpointSlices.
    Service,
}

/// The words for them: with their group where Calico has a kind of that name.
const KIND_NAMES: [(KubernetesKind, &[&str]); 8] = [
    (KubernetesKind::Pod, &["pod", "pods", "po"]),
    (KubernetesKind::Namespace, &["namespace", "namespaces", "ns"]),
    (KubernetesKind::ServiceAccount, &["serviceaccount", "serviceaccounts", "sa"]),
    (KubernetesKind::Node, &["node"]),
    (
        KubernetesKind::NetworkPolicy,
        &["networkpolicy.networking.k8s.io", "networkpolicies.networking.k8s.io", "netpol", "knp"],
    ),
    (
        KubernetesKind::ClusterNetworkPolicy,
        &[
            "clusternetworkpolicy.policy.networking.k8s.io",
            "clusternetworkpolicies.policy.networking.k8s.io",
            "clusternetworkpolicy",
            "clusternetworkpolicies",
            "kcnp",
        ],
    ),
    (
        KubernetesKind::EndpointSlice,
        &["endpointslice.discovery.k8s.io", "endpointslices.discovery.k8s.io", "endpointslice", "endpointslices"],
    ),
    (KubernetesKind::Service, &["service", "services", "svc"]),
];

impl KubernetesKind {
    /// The kind that a word of the command line means, without case. There `node` means Calico's.
    pub fn from_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let found = KIND_NAMES.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(kind, _)| *kind);
        found.filter(|kind| *kind != Self::Node)
    }

    /// The kind of policies in the store that it is.
    pub fn policies(self) -> Option<Kind> {
        match self {
            Self::NetworkPolicy => Some(Kind::KubernetesNetworkPolicy),
            Self::ClusterNetworkPolicy => Some(Kind::KubernetesClusterNetworkPolicy),
            _ => None,
        }
    }

    /// Whether its objects are in namespaces.
    pub fn has_namespace(self) -> bool {
        !matches!(self, Self::Namespace | Self::Node | Self::ClusterNetworkPolicy)
    }
}

impl fmt::Display for KubernetesKind {
    /// As kubectl names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, words) = KIND_NAMES.iter().find(|(kind, _)| kind == self).unwrap_or(&KIND_NAMES[0]);
        f.write_str(words[0])
    }
}

/// An object of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Its kind.
    pub kind: KubernetesKind,
    /// Its namespace; empty where the kind has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Reference {
    /// An object; the namespace is left out where the kind has none.
    pub fn new(kind: KubernetesKind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.has_namespace() { namespace.to_owned() } else { String::new() };
        Self { kind, namespace, name: name.to_owned() }
    }

    /// The policy or slice of a key of the store.
    pub fn of_key(key: &Key) -> Option<Self> {
        let kind = match key.kind {
            Kind::KubernetesNetworkPolicy => KubernetesKind::NetworkPolicy,
            Kind::KubernetesClusterNetworkPolicy => KubernetesKind::ClusterNetworkPolicy,
            Kind::KubernetesEndpointSlice => KubernetesKind::EndpointSlice,
            _ => return None,
        };
        Some(Self::new(kind, &key.namespace, &key.name))
    }

    /// The object of Kubernetes that one in the store is made of.
    pub fn source_of(key: &Key) -> Option<Self> {
        let own = |kind, namespace: &str, name: &str| Some(Self::new(kind, namespace, name));
        match key.kind {
            Kind::WorkloadEndpoint => own(KubernetesKind::Pod, &key.namespace, &key.pod()?),
            Kind::KubernetesService => own(KubernetesKind::Service, &key.namespace, &key.name),
            Kind::Profile => match profile::source(&key.name).ok()? {
                profile::Source::Namespace(name) => own(KubernetesKind::Namespace, "", &name),
                profile::Source::ServiceAccount(namespace, name) => {
                    own(KubernetesKind::ServiceAccount, &namespace, &name)
                }
            },
            _ => Self::of_key(key),
        }
    }

    /// Its key in the store. None where that does not follow from its name: of a pod, and of a service, which is in no store.
    pub fn key(&self) -> Option<Key> {
        let (namespace, name) = (self.namespace.as_str(), self.name.as_str());
        match self.kind {
            KubernetesKind::Pod | KubernetesKind::Service => None,
            KubernetesKind::Namespace => Some(Key::cluster(Kind::Profile, names::kubernetes::namespace_profile(name))),
            KubernetesKind::Node => Some(Key::cluster(Kind::Node, name)),
            KubernetesKind::ServiceAccount => Some(Key::cluster(Kind::Profile, profile::account_name(namespace, name))),
            KubernetesKind::NetworkPolicy => Some(Key::namespaced(Kind::KubernetesNetworkPolicy, namespace, name)),
            KubernetesKind::ClusterNetworkPolicy => Some(Key::cluster(Kind::KubernetesClusterNetworkPolicy, name)),
            KubernetesKind::EndpointSlice => Some(Key::namespaced(Kind::KubernetesEndpointSlice, namespace, name)),
        }
    }
}

impl fmt::Display for Reference {
    /// `networkpolicy.networking.k8s.io/shop/db`, `namespace/shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.has_namespace() {
            true => write!(f, "{}/{}/{}", self.kind, self.namespace, self.name),
            false => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}
