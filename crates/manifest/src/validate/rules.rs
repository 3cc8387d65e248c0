//! The validation rules of each kind that need code: [`of`] lists them. The rules themselves are in the files below, named after the
//! kinds, or after the part of a policy that they check. What a tag of a field checks needs no code here: see `api::shape`.

mod bgp;
mod endpoint;
mod entity;
mod felix_configuration;
pub(super) mod ip_pool;
mod ipam;
mod kube_controllers_configuration;
mod network_set;
mod node;
mod policy;
mod policy_rule;
pub(super) mod scalar;
mod staged_kubernetes_network_policy;
mod tier;

use tortie_api::Kind;

use super::compiled_rules::{Format, KindRules, RecordRule};
use super::metadata;

/// The rules of a kind.
pub(super) fn of(kind: Kind) -> KindRules {
    match kind {
        Kind::NetworkPolicy | Kind::StagedNetworkPolicy => {
            KindRules { object: Some(policy::check), records: RULES, schema: POLICY_SCHEMA, ..KindRules::default() }
        }
        Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy => {
            KindRules { object: Some(policy::check), records: RULES, schema: GLOBAL_SCHEMA, ..KindRules::default() }
        }
        Kind::StagedKubernetesNetworkPolicy => {
            KindRules { object: Some(staged_kubernetes_network_policy::check), ..KindRules::default() }
        }
        Kind::Profile => KindRules { records: RULES, no_schema: true, ..KindRules::default() },
        Kind::Tier => KindRules {
            object: Some(|object, _, out| metadata::check_own_name(object, out)),
            object_schema: Some(tier::schema),
            formats: CONDITION_FORMATS,
            ..KindRules::default()
        },
        Kind::HostEndpoint => KindRules {
            records: &[("spec.ports[]", endpoint::host_port)],
            schema: &[("spec", endpoint::host_schema)],
            ..KindRules::default()
        },
        Kind::WorkloadEndpoint => KindRules {
            records: &[
                ("spec.ports[]", endpoint::workload_port),
                ("spec.ipNATs[]", endpoint::nat),
                ("spec", endpoint::workload),
            ],
            no_schema: true,
            ..KindRules::default()
        },
        Kind::NetworkSet | Kind::GlobalNetworkSet => {
            KindRules { object: Some(network_set::check), ..KindRules::default() }
        }
        Kind::FelixConfiguration => KindRules {
            records: &[
                ("spec.healthTimeoutOverrides[]", felix_configuration::health_timeout),
                ("spec.routeTableRange", felix_configuration::table_range),
                ("spec.routeTableRanges[]", felix_configuration::table_id_range),
                ("spec", felix_configuration::spec),
            ],
            unvisited: &["spec.failsafeInboundHostPorts", "spec.failsafeOutboundHostPorts"],
            object_schema: Some(felix_configuration::object_schema),
            schema: &[
                ("spec", felix_configuration::schema),
                ("spec.routeTableRange", felix_configuration::table_range_schema),
                ("spec.routeTableRanges[]", felix_configuration::table_id_range_schema),
            ],
            ..KindRules::default()
        },
        Kind::IPPool => KindRules {
            records: &[("spec", ip_pool::spec)],
            schema: &[("spec", ip_pool::schema)],
            formats: CONDITION_FORMATS,
            ..KindRules::default()
        },
        Kind::Node => KindRules {
            records: &[("spec", node::check)],
            unvisited: &["spec.addresses", "spec.interfaces", "spec.orchRefs"],
            no_schema: true,
            ..KindRules::default()
        },
        Kind::LiveMigration => KindRules { no_schema: true, ..KindRules::default() },
        Kind::BlockAffinity => KindRules { records: &[("spec", ipam::block_affinity)], ..KindRules::default() },
        Kind::IPAMConfiguration => KindRules { records: &[("spec", ipam::configuration)], ..KindRules::default() },
        Kind::KubeControllersConfiguration => KindRules {
            records: &[("spec.controllers.node.hostEndpoint.templates[]", kube_controllers_configuration::template)],
            ..KindRules::default()
        },
        Kind::BGPConfiguration => KindRules {
            records: &[("spec", bgp::configuration)],
            schema: &[("spec", bgp::configuration_schema)],
            ..KindRules::default()
        },
        Kind::BGPPeer => {
            KindRules { records: &[("spec", bgp::peer)], schema: &[("spec", bgp::peer_schema)], ..KindRules::default() }
        }
        Kind::BGPFilter => KindRules { schema: FILTER_SCHEMA, ..KindRules::default() },
        Kind::CalicoNodeStatus => KindRules {
            unvisited: &[
                "status.bgp.peersV4",
                "status.bgp.peersV6",
                "status.routes.routesV4",
                "status.routes.routesV6",
            ],
            ..KindRules::default()
        },
        Kind::IPReservation => KindRules { formats: &[("spec.reservedCIDRs[]", Format::Cidr)], ..KindRules::default() },
        Kind::ClusterInformation => KindRules::default(),
        // tortie only reads these.
        Kind::KubernetesClusterNetworkPolicy
        | Kind::KubernetesEndpointSlice
        | Kind::KubernetesNetworkPolicy
        | Kind::KubernetesService => KindRules { no_schema: true, ..KindRules::default() },
    }
}

type Table = &'static [(&'static str, RecordRule)];

/// The rules of rules. An entity's own rule comes before that of the rule it is in.
const RULES: Table = &[
    ("spec.ingress[].source", entity::check),
    ("spec.ingress[].destination", entity::check),
    ("spec.ingress[].http", policy_rule::http),
    ("spec.ingress[].metadata", policy_rule::metadata),
    ("spec.ingress[]", policy_rule::check),
    ("spec.egress[].source", entity::check),
    ("spec.egress[].destination", entity::check),
    ("spec.egress[].http", policy_rule::http),
    ("spec.egress[].metadata", policy_rule::metadata),
    ("spec.egress[]", policy_rule::check),
];

macro_rules! rule_schema {
    ($spec:expr) => {
        &[
            ("spec", $spec),
            ("spec.ingress[]", policy_rule::schema),
            ("spec.ingress[].icmp", policy_rule::icmp_schema),
            ("spec.ingress[].notICMP", policy_rule::icmp_schema),
            ("spec.ingress[].source", entity::schema),
            ("spec.ingress[].destination", entity::schema),
            ("spec.egress[]", policy_rule::schema),
            ("spec.egress[].icmp", policy_rule::icmp_schema),
            ("spec.egress[].notICMP", policy_rule::icmp_schema),
            ("spec.egress[].source", entity::schema),
            ("spec.egress[].destination", entity::schema),
        ]
    };
}
const POLICY_SCHEMA: Table = rule_schema!(policy::schema);
const GLOBAL_SCHEMA: Table = rule_schema!(policy::global_schema);

const FILTER_SCHEMA: Table = &[
    ("spec.exportV4[]", bgp::filter_rule_schema),
    ("spec.importV4[]", bgp::filter_rule_schema),
    ("spec.exportV6[]", bgp::filter_rule_schema),
    ("spec.importV6[]", bgp::filter_rule_schema),
    ("spec.exportV4[].operations[]", bgp::operation_schema),
    ("spec.importV4[].operations[]", bgp::operation_schema),
    ("spec.exportV6[].operations[]", bgp::operation_schema),
    ("spec.importV6[].operations[]", bgp::operation_schema),
];

const CONDITION_FORMATS: &[(&str, Format)] = &[("status.conditions[].lastTransitionTime", Format::DateTime)];
