//! The types of every kind, one file for each. Fields have Calico's order, since they are written in that
//! order. [`shape`] combines a kind's types to the shape of the whole object.

use std::sync::OnceLock;

use schemars::JsonSchema;

use crate::kind::Kind;
use crate::object::Metadata;
use crate::shape::{Field, Form, Record, Rules, Shape};

pub mod bgp_configuration;
pub mod bgp_filter;
pub mod bgp_peer;
pub mod block_affinity;
pub mod calico_node_status;
pub mod cluster_information;
pub mod felix_configuration;
pub mod host_endpoint;
pub mod ip_pool;
pub mod ip_reservation;
pub mod ipam_configuration;
pub mod kube_controllers_configuration;
pub mod kubernetes_endpoint_slice;
pub mod live_migration;
pub mod network_policy;
pub mod network_set;
pub mod node;
pub mod profile;
pub mod rule;
pub mod staged_kubernetes_network_policy;
pub mod tier;
pub mod workload_endpoint;

/// The shape of a whole object of a kind: kind, apiVersion, metadata, spec and, where it has one, status.
///
/// A shape is compiled when it is first asked for, so a command that touches one kind pays for one.
pub fn shape(kind: Kind) -> &'static Shape {
    const COUNT: usize = Kind::ALL.len() + Kind::KUBERNETES.len();
    static SHAPES: [OnceLock<Shape>; COUNT] = [const { OnceLock::new() }; COUNT];
    SHAPES[kind as usize].get_or_init(|| match kind {
        Kind::BGPConfiguration => object(of::<bgp_configuration::BgpConfigurationSpec>(), None),
        Kind::BGPFilter => object(of::<bgp_filter::BgpFilterSpec>(), None),
        Kind::BGPPeer => object(of::<bgp_peer::BgpPeerSpec>(), None),
        Kind::BlockAffinity => object(of::<block_affinity::BlockAffinitySpec>(), None),
        Kind::CalicoNodeStatus => object(
            of::<calico_node_status::CalicoNodeStatusSpec>(),
            Some((of::<calico_node_status::CalicoNodeStatusStatus>(), true)),
        ),
        Kind::ClusterInformation => object(of::<cluster_information::ClusterInformationSpec>(), None),
        Kind::FelixConfiguration => object(of::<felix_configuration::FelixConfigurationSpec>(), None),
        Kind::GlobalNetworkPolicy | Kind::KubernetesClusterNetworkPolicy => {
            object(of::<network_policy::GlobalNetworkPolicySpec>(), None)
        }
        Kind::GlobalNetworkSet | Kind::NetworkSet => object(of::<network_set::NetworkSetSpec>(), None),
        Kind::HostEndpoint => object(of::<host_endpoint::HostEndpointSpec>(), None),
        Kind::IPAMConfiguration => object(of::<ipam_configuration::IpamConfigurationSpec>(), None),
        Kind::IPPool => object(of::<ip_pool::IpPoolSpec>(), Some((pointer(of::<ip_pool::IpPoolStatus>()), false))),
        Kind::IPReservation => object(of::<ip_reservation::IpReservationSpec>(), None),
        Kind::KubeControllersConfiguration => object(
            of::<kube_controllers_configuration::KubeControllersConfigurationSpec>(),
            Some((of::<kube_controllers_configuration::KubeControllersConfigurationStatus>(), true)),
        ),
        Kind::LiveMigration => object(of::<live_migration::LiveMigrationSpec>(), None),
        Kind::NetworkPolicy | Kind::KubernetesNetworkPolicy => object(of::<network_policy::NetworkPolicySpec>(), None),
        Kind::Node => object(of::<node::NodeSpec>(), Some((of::<node::NodeStatus>(), true))),
        Kind::Profile => object(of::<profile::ProfileSpec>(), None),
        Kind::StagedGlobalNetworkPolicy => object(of::<network_policy::StagedGlobalNetworkPolicySpec>(), None),
        Kind::StagedKubernetesNetworkPolicy => {
            object(of::<staged_kubernetes_network_policy::StagedKubernetesNetworkPolicySpec>(), None)
        }
        Kind::StagedNetworkPolicy => object(of::<network_policy::StagedNetworkPolicySpec>(), None),
        Kind::Tier => object(of::<tier::TierSpec>(), Some((of::<tier::TierStatus>(), true))),
        Kind::WorkloadEndpoint => object(of::<workload_endpoint::WorkloadEndpointSpec>(), None),
        Kind::KubernetesEndpointSlice => object(of::<kubernetes_endpoint_slice::KubernetesEndpointSliceSpec>(), None),
        // Its spec stays in Kubernetes' own form, of which only explain reads some: tortie neither writes nor validates it.
        Kind::KubernetesService => object(of::<serde_json::Map<String, serde_json::Value>>(), None),
    })
}

fn of<T: JsonSchema>() -> Shape {
    Shape::of::<T>()
}

/// A shape in which an explicit `{}` differs from absence.
fn pointer(shape: Shape) -> Shape {
    Shape { pointer: true, ..shape }
}

/// The type of `status`, and whether it is written even when empty.
type Status = Option<(Shape, bool)>;

fn object(spec: Shape, status: Status) -> Shape {
    static METADATA: OnceLock<Shape> = OnceLock::new();
    let metadata = METADATA.get_or_init(of::<Metadata>).clone();
    let text = || Shape { rules: Rules { required: true, ..Rules::default() }, ..Shape::plain(Form::Text) };
    let mut fields = vec![
        field("kind", "The kind of object.", text(), true),
        field("apiVersion", "Always `projectcalico.org/v3`.", text(), true),
        field("metadata", "Name, labels and annotations.", metadata, true),
        field("spec", "What is wanted.", spec, true),
    ];
    if let Some((shape, always)) = status {
        fields.push(field("status", "What is, as programs report it.", shape, always));
    }
    Shape::plain(Form::Record(Box::new(Record::new(fields))))
}

fn field(name: &str, doc: &str, shape: Shape, always: bool) -> Field {
    let go = match name {
        "apiVersion" => "APIVersion".to_owned(),
        _ => name[..1].to_uppercase() + &name[1..],
    };
    Field { name: name.to_owned(), go, felix: None, always, doc: doc.to_owned(), shape }
}
