//! The kinds of resource, their names in every spelling, and the key that names one object.

use std::fmt;
use std::str::FromStr;

use crate::names;

macro_rules! kinds {
    (
        calico { $($(#[$doc:meta])* $kind:ident $plural:literal $scope:ident [$($alias:literal)*],)* }
        kubernetes { $($(#[$their_doc:meta])* $their_kind:ident $their_plural:literal,)* }
    ) => {
        /// A kind of resource.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $kind,)* $($(#[$their_doc])* $their_kind,)* }

        impl Kind {
            /// Every kind of Calico's, in the order of their names. These are what users write and every store keeps.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)*];

            /// Kubernetes' own kinds that have a part in policy. Only a store that is the Kubernetes API has them, users write
            /// them with kubectl, and no manifest, listing or key of etcd names them. The names are Calico's.
            pub const KUBERNETES: &'static [Kind] = &[$(Kind::$their_kind,)*];

            /// The name in manifests: `HostEndpoint`.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$kind => stringify!($kind),)* $(Kind::$their_kind => stringify!($their_kind),)* }
            }

            /// The lower-case plural in keys of stores: `hostendpoints`.
            pub const fn plural(self) -> &'static str {
                match self { $(Kind::$kind => $plural,)* $(Kind::$their_kind => $their_plural,)* }
            }

            /// Whether objects of this kind live in a namespace.
            pub const fn namespaced(self) -> bool {
                match self {
                    $(Kind::$kind => kinds!(@$scope),)*
                    $(Kind::$their_kind => !matches!(self, Kind::KubernetesClusterNetworkPolicy),)*
                }
            }

            /// Short names of the command line beside the name and the plural.
            pub const fn aliases(self) -> &'static [&'static str] {
                match self { $(Kind::$kind => &[$($alias,)*],)* $(Kind::$their_kind => &[],)* }
            }
        }
    };
    (@cluster) => { false };
    (@namespaced) => { true };
}

kinds! {
    calico {
        /// How BGP is spoken, cluster-wide or for a node.
        BGPConfiguration "bgpconfigurations" cluster ["bgpconfig" "bgpconfigs"],
        /// Filters for routes exchanged over BGP.
        BGPFilter "bgpfilters" cluster ["bgpf" "bgpfs" "bf" "bfs"],
        /// A BGP peering.
        BGPPeer "bgppeers" cluster ["bgpp" "bgpps" "bp" "bps"],
        /// A block of addresses and the host it belongs to.
        BlockAffinity "blockaffinities" cluster [],
        /// A request for a node's live state.
        CalicoNodeStatus "caliconodestatuses" cluster ["nodestatus" "nodestatuses"],
        /// The one object about the cluster itself.
        ClusterInformation "clusterinformations" cluster ["clusterinfo" "clusterinfos"],
        /// Settings of the node agent.
        FelixConfiguration "felixconfigurations" cluster ["felixconfig" "felixconfigs"],
        /// A policy for endpoints of the whole cluster, host endpoints included.
        GlobalNetworkPolicy "globalnetworkpolicies" cluster ["gnp" "gnps"],
        /// A labelled set of nets, for the whole cluster.
        GlobalNetworkSet "globalnetworksets" cluster ["gnetsets"],
        /// An interface of a host.
        HostEndpoint "hostendpoints" cluster ["hep" "heps"],
        /// Settings of address management.
        IPAMConfiguration "ipamconfigurations" cluster ["ipamconfig" "ipamconfigs"],
        /// A range that workload addresses come from.
        IPPool "ippools" cluster ["ipp" "ipps" "pool" "pools"],
        /// Addresses that are never handed out.
        IPReservation "ipreservations" cluster ["reservation" "reservations"],
        /// Settings of the controllers that follow Kubernetes.
        KubeControllersConfiguration "kubecontrollersconfigurations" cluster ["kubecontrollersconfig" "kubecontrollersconfigs"],
        /// A virtual machine on the move.
        LiveMigration "livemigrations" namespaced [],
        /// A policy for workloads of one namespace.
        NetworkPolicy "networkpolicies" namespaced ["policy" "policies" "np" "pol" "pols"],
        /// A labelled set of nets of one namespace.
        NetworkSet "networksets" namespaced ["netsets"],
        /// A host.
        Node "nodes" cluster ["no" "nos"],
        /// Rules and labels that endpoints take by naming it.
        Profile "profiles" cluster ["pro" "pros"],
        /// A GlobalNetworkPolicy that is watched, not enforced.
        StagedGlobalNetworkPolicy "stagedglobalnetworkpolicies" cluster ["sgnp" "sgnps"],
        /// A Kubernetes NetworkPolicy that is watched, not enforced.
        StagedKubernetesNetworkPolicy "stagedkubernetesnetworkpolicies" namespaced ["stagedkubernetespolicy" "stagedkubernetespolicies" "sknp" "skpol" "skpols"],
        /// A NetworkPolicy that is watched, not enforced.
        StagedNetworkPolicy "stagednetworkpolicies" namespaced ["stagedpolicy" "stagedpolicies" "snp" "spol" "spols"],
        /// A step in the order of policies.
        Tier "tiers" cluster [],
        /// An interface of a container, pod or virtual machine.
        WorkloadEndpoint "workloadendpoints" namespaced ["wep" "weps"],
    }
    kubernetes {
        /// A Kubernetes ClusterNetworkPolicy.
        KubernetesClusterNetworkPolicy "kubernetesclusternetworkpolicies",
        /// A Kubernetes EndpointSlice: addresses and ports behind a service.
        KubernetesEndpointSlice "kubernetesendpointslices",
        /// A Kubernetes NetworkPolicy.
        KubernetesNetworkPolicy "kubernetesnetworkpolicies",
        /// A Kubernetes Service.
        KubernetesService "kubernetesservices",
    }
}

/// The only API version, of every kind.
pub const API_VERSION: &str = "projectcalico.org/v3";

impl Kind {
    /// The kinds that are in tiers: the policies whose stored form carries their name in an annotation.
    pub const TIERED: [Kind; 4] =
        [Kind::NetworkPolicy, Kind::GlobalNetworkPolicy, Kind::StagedNetworkPolicy, Kind::StagedGlobalNetworkPolicy];

    /// Whether objects of this kind are in a tier.
    pub fn is_tiered(self) -> bool {
        Kind::TIERED.contains(&self)
    }

    /// Its name in messages: of Kubernetes' own kinds as kubectl names them, with their group.
    pub fn for_users(self) -> &'static str {
        match self {
            Kind::KubernetesClusterNetworkPolicy => "ClusterNetworkPolicy.policy.networking.k8s.io",
            Kind::KubernetesEndpointSlice => "EndpointSlice.discovery.k8s.io",
            Kind::KubernetesNetworkPolicy => "NetworkPolicy.networking.k8s.io",
            Kind::KubernetesService => "Service",
            kind => kind.name(),
        }
    }

    /// Whether it is one of Calico's kinds, as opposed to one of Kubernetes' own.
    pub fn is_calico(self) -> bool {
        !Kind::KUBERNETES.contains(&self)
    }

    /// The `apiVersion` and `kind` of its manifests: of Kubernetes' own kinds those that Kubernetes calls them by.
    pub const fn in_manifests(self) -> (&'static str, &'static str) {
        match self {
            Kind::KubernetesClusterNetworkPolicy => ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
            Kind::KubernetesEndpointSlice => ("discovery.k8s.io/v1", "EndpointSlice"),
            Kind::KubernetesNetworkPolicy => ("networking.k8s.io/v1", "NetworkPolicy"),
            Kind::KubernetesService => ("v1", "Service"),
            calico => (API_VERSION, calico.name()),
        }
    }

    /// The kind with exactly this name, as manifests spell it.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The kind with this plural, as keys spell it.
    pub fn from_plural(plural: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.plural() == plural)
    }

    /// The kind that a user of the command line means: name, plural or alias, without case.
    pub fn from_alias(text: &str) -> Option<Kind> {
        let text = text.to_ascii_lowercase();
        Kind::ALL.iter().copied().find(|kind| {
            kind.name().eq_ignore_ascii_case(&text) || kind.plural() == text || kind.aliases().contains(&text.as_str())
        })
    }

    /// The name of a list of these: `HostEndpointList`.
    pub fn list_name(self) -> String {
        format!("{}List", self.name())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What names one object: kind, namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind.
    pub kind: Kind,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name, verbatim.
    pub name: String,
}

impl Key {
    /// The key of a cluster-scoped object.
    pub fn cluster(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, namespace: String::new(), name: name.into() }
    }

    /// The key of an object in a namespace.
    pub fn namespaced(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }

    /// The etcd key: `/calico/resources/v3/projectcalico.org/<plural>/[<namespace>/]<name>`.
    pub fn path(&self) -> String {
        let plural = self.kind.plural();
        if self.kind.namespaced() {
            format!("/calico/resources/v3/{API_VERSION_GROUP}/{plural}/{}/{}", self.namespace, self.name)
        } else {
            format!("/calico/resources/v3/{API_VERSION_GROUP}/{plural}/{}", self.name)
        }
    }
}

const API_VERSION_GROUP: &str = "projectcalico.org";

/// A key path that names no object of ours.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the key of a resource")]
pub struct KeyError(String);

impl FromStr for Key {
    type Err = KeyError;

    /// Reads an etcd key path back.
    fn from_str(path: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError(path.to_owned());
        let rest = path.strip_prefix("/calico/resources/v3/projectcalico.org/").ok_or_else(wrong)?;
        let mut parts = rest.split('/');
        let plural = parts.next().ok_or_else(wrong)?;
        let theirs = || Kind::KUBERNETES.iter().copied().find(|kind| kind.plural() == plural);
        let kind = Kind::from_plural(plural).or_else(theirs).ok_or_else(wrong)?;
        let namespace = if kind.namespaced() { parts.next().ok_or_else(wrong)? } else { "" };
        let name = parts.next().filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        if parts.next().is_some() || (kind.namespaced() && namespace.is_empty()) {
            return Err(wrong());
        }
        Ok(Self { kind, namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl Key {
    /// As commands name an object: `hostendpoint/web1`, `networkpolicy/shop/db`.
    pub fn as_argument(&self) -> String {
        let kind = self.kind.for_users().to_ascii_lowercase();
        match self.kind.namespaced() {
            true => format!("{kind}/{}/{}", self.namespace, self.name),
            false => format!("{kind}/{}", self.name),
        }
    }

    /// As messages to users name an object of a cluster: `pod shop/web`, `knp shop/db`, `node n1`.
    pub fn for_users(&self) -> String {
        let Key { kind, namespace, name } = self;
        if let Some(pod) = self.pod() {
            return format!("pod {namespace}/{pod}");
        }
        let kind = match kind {
            Kind::KubernetesNetworkPolicy => "knp".to_owned(),
            Kind::KubernetesClusterNetworkPolicy => "kcnp".to_owned(),
            Kind::KubernetesEndpointSlice => "endpointslice".to_owned(),
            kind => kind.for_users().to_ascii_lowercase(),
        };
        if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") }
    }

    /// The pod that this is a workload endpoint of.
    pub fn pod(&self) -> Option<String> {
        let parts = (self.kind == Kind::WorkloadEndpoint).then(|| names::workload::parse(&self.name).ok())??;
        Some(parts.pod).filter(|pod| !pod.is_empty())
    }
}

impl fmt::Display for Key {
    /// As Calico's messages name an object: `HostEndpoint(web1)`, `NetworkPolicy(shop/db)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.for_users();
        if self.kind.namespaced() {
            write!(f, "{kind}({}/{})", self.namespace, self.name)
        } else {
            write!(f, "{kind}({})", self.name)
        }
    }
}
