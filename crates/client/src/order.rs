//! The order in which objects of a batch are written, whatever order they are given in: objects that others need are written before
//! these, and deleted after them.

use tortie_api::Kind;

use super::batch::{Job, Task};

/// The rank of a job. Jobs of the same rank keep their order.
pub(super) fn rank(job: &Job) -> i8 {
    let rank = of_kind(job.key.kind);
    match (&job.task, job.key.kind) {
        // What others of the batch name until they are written.
        (
            Task::Delete(..),
            Kind::Tier | Kind::Profile | Kind::NetworkSet | Kind::GlobalNetworkSet | Kind::BGPFilter,
        ) => LAST,
        (Task::Delete(..), _) => -rank,
        _ => rank,
    }
}

/// After everything else.
const LAST: i8 = 6;

/// Policies are written before the endpoints that they select, so that no endpoint is in force without them.
fn of_kind(kind: Kind) -> i8 {
    match kind {
        // A peering names filters.
        Kind::BGPFilter => 0,
        Kind::BGPConfiguration
        | Kind::BGPPeer
        | Kind::BlockAffinity
        | Kind::CalicoNodeStatus
        | Kind::ClusterInformation
        | Kind::FelixConfiguration
        | Kind::IPAMConfiguration
        | Kind::IPPool
        | Kind::IPReservation
        | Kind::KubeControllersConfiguration
        | Kind::LiveMigration
        | Kind::Node => 1,
        Kind::Tier | Kind::Profile | Kind::NetworkSet | Kind::GlobalNetworkSet => 2,
        Kind::NetworkPolicy
        | Kind::GlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy => 3,
        Kind::HostEndpoint | Kind::WorkloadEndpoint => 4,
        // Nobody writes them here.
        Kind::KubernetesClusterNetworkPolicy
        | Kind::KubernetesEndpointSlice
        | Kind::KubernetesNetworkPolicy
        | Kind::KubernetesService => 5,
    }
}
