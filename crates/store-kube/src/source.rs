//! What each kind is read from: the resources of the API server, each with a history of its own.

use tortie_api::{Key, Kind};
use tortie_store::Selection;

use crate::custom::Group;

/// A resource of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    Pods,
    Namespaces,
    ServiceAccounts,
    Nodes,
    NetworkPolicies,
    ClusterNetworkPolicies,
    Services,
    EndpointSlices,
    /// A custom resource of Calico's.
    Custom(Kind),
}

impl Source {
    /// The sources that a selection is read from.
    pub(crate) fn of(selection: &Selection, group: Group) -> Vec<Source> {
        let kinds = Kind::ALL.iter().chain(Kind::KUBERNETES).copied();
        let wanted = kinds.filter(|kind| selection.kind.is_none_or(|it| it == *kind) && selection.purpose.needs(*kind));
        // Cluster-scoped kinds are in the namespace with the empty name, all others in another.
        let within = |kind: &Kind| selection.namespace.as_ref().is_none_or(|it| it.is_empty() != kind.namespaced());
        wanted.filter(within).flat_map(|kind| Self::of_kind(kind, group)).collect()
    }

    /// The sources that a kind is read from: profiles come from two.
    pub(crate) fn of_kind(kind: Kind, group: Group) -> Vec<Source> {
        match kind {
            Kind::WorkloadEndpoint => vec![Source::Pods],
            Kind::Profile => vec![Source::Namespaces, Source::ServiceAccounts],
            Kind::Node => vec![Source::Nodes],
            Kind::KubernetesNetworkPolicy => vec![Source::NetworkPolicies],
            Kind::KubernetesClusterNetworkPolicy => vec![Source::ClusterNetworkPolicies],
            Kind::KubernetesService => vec![Source::Services],
            Kind::KubernetesEndpointSlice => vec![Source::EndpointSlices],
            kind if group.resource(kind).is_some() => vec![Source::Custom(kind)],
            _ => Vec::new(),
        }
    }

    /// The kind that is made of its objects.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Source::Pods => Kind::WorkloadEndpoint,
            Source::Namespaces | Source::ServiceAccounts => Kind::Profile,
            Source::Nodes => Kind::Node,
            Source::NetworkPolicies => Kind::KubernetesNetworkPolicy,
            Source::ClusterNetworkPolicies => Kind::KubernetesClusterNetworkPolicy,
            Source::Services => Kind::KubernetesService,
            Source::EndpointSlices => Kind::KubernetesEndpointSlice,
            Source::Custom(kind) => kind,
        }
    }

    /// Its name, which is also that of its part of positions; of a custom resource that of its definition.
    pub(crate) fn name(self, group: Group) -> String {
        let plural = self.plural(group);
        match self.api_version(group).split_once('/') {
            Some((api_group, _)) => format!("{plural}.{api_group}"),
            None => plural.to_owned(),
        }
    }

    /// The name of its resource.
    fn plural(self, group: Group) -> &'static str {
        match self {
            Source::Pods => "pods",
            Source::Namespaces => "namespaces",
            Source::ServiceAccounts => "serviceaccounts",
            Source::Nodes => "nodes",
            Source::NetworkPolicies => "networkpolicies",
            Source::ClusterNetworkPolicies => "clusternetworkpolicies",
            Source::Services => "services",
            Source::EndpointSlices => "endpointslices",
            Source::Custom(kind) => group.resource(kind).map_or(kind.plural(), |(_, plural)| plural),
        }
    }

    /// The API group and version of its resource; the core group has no name.
    fn api_version(self, group: Group) -> &'static str {
        match self {
            Source::Pods | Source::Namespaces | Source::ServiceAccounts | Source::Nodes | Source::Services => "v1",
            Source::NetworkPolicies => "networking.k8s.io/v1",
            Source::ClusterNetworkPolicies => "policy.networking.k8s.io/v1alpha2",
            Source::EndpointSlices => "discovery.k8s.io/v1",
            Source::Custom(_) => group.api_version(),
        }
    }

    /// Whether every API server has it. The others come with a definition, which may come later.
    pub(crate) fn is_always_served(self) -> bool {
        !matches!(self, Source::ClusterNetworkPolicies | Source::Custom(_))
    }

    /// Whether its objects are in namespaces.
    pub(crate) fn namespaced(self) -> bool {
        match self {
            Source::Namespaces | Source::Nodes | Source::ClusterNetworkPolicies => false,
            Source::Pods | Source::ServiceAccounts | Source::NetworkPolicies | Source::Services => true,
            Source::EndpointSlices => true,
            Source::Custom(kind) => kind.namespaced(),
        }
    }

    /// The path of all its objects, or of those in a namespace.
    pub(crate) fn path(self, group: Group, namespace: Option<&str>) -> String {
        let (version, plural) = (self.api_version(group), self.plural(group));
        let root = if version.contains('/') { "/apis" } else { "/api" };
        match namespace.filter(|namespace| self.namespaced() && !namespace.is_empty()) {
            Some(namespace) => format!("{root}/{version}/namespaces/{}/{plural}", escaped(namespace)),
            None => format!("{root}/{version}/{plural}"),
        }
    }

    /// The path of the object of this name.
    pub(crate) fn path_of(self, group: Group, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.path(group, Some(namespace)), escaped(name))
    }
}

/// The resource and the name that an object with this key is made of; none if no object can have the key.
pub(crate) fn place(key: &Key) -> Option<(Source, String, String)> {
    use crate::convert::profile;
    let own = |source| Some((source, key.namespace.clone(), key.name.clone()));
    if key.name.is_empty() || key.kind.namespaced() == key.namespace.is_empty() {
        return None;
    }
    match key.kind {
        Kind::WorkloadEndpoint => Some((Source::Pods, key.namespace.clone(), key.pod()?)),
        Kind::Profile => match profile::source(&key.name).ok()? {
            profile::Source::Namespace(name) => Some((Source::Namespaces, String::new(), name)),
            profile::Source::ServiceAccount(namespace, name) => Some((Source::ServiceAccounts, namespace, name)),
        },
        Kind::Node => own(Source::Nodes),
        Kind::KubernetesNetworkPolicy => own(Source::NetworkPolicies),
        Kind::KubernetesClusterNetworkPolicy => own(Source::ClusterNetworkPolicies),
        Kind::KubernetesService => own(Source::Services),
        Kind::KubernetesEndpointSlice => own(Source::EndpointSlices),
        Kind::LiveMigration => None,
        kind => own(Source::Custom(kind)),
    }
}

/// A name as a part of a path.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
