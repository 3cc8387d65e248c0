//! The columns of calicoctl's tables: which headings a kind has, and what stands under them.
//!
//! Where calicoctl crashes on an object (rules in a BGPFilter, NATs of a workload endpoint, a staged Kubernetes
//! policy in a wide table), the cell says what calicoctl meant to say.

use serde_json::Value;
use tortie_api::{Kind, Object};

use super::{go_values, selector_text};

/// What stands in cells but not in the object itself.
pub(crate) struct Cluster {
    /// The cluster's AS number, of nodes that have none of their own.
    pub(crate) as_number: String,
}

/// The headings of the default table, or the wide one.
pub(crate) fn headings(kind: Kind, wide: bool) -> &'static [&'static str] {
    match (kind, wide) {
        (Kind::BGPConfiguration, _) => &["NAME", "LOGSEVERITY", "MESHENABLED", "ASNUMBER"],
        (Kind::BGPFilter, _) => &["NAME", "NUMEXPORTV4", "NUMIMPORTV4", "NUMEXPORTV6", "NUMIMPORTV6"],
        (Kind::BGPPeer, _) => &["NAME", "PEERIP", "NODE", "ASN"],
        (Kind::CalicoNodeStatus, false) => &["NAME", "NODE"],
        (Kind::CalicoNodeStatus, true) => &["NAME", "NODE", "CLASSES"],
        (Kind::ClusterInformation, _) => &["NAME", "CLUSTERGUID", "CLUSTERTYPE", "CALICOVERSION", "DATASTOREREADY"],
        (Kind::GlobalNetworkPolicy | Kind::NetworkPolicy, false) => &["NAME", "TIER"],
        (Kind::StagedGlobalNetworkPolicy | Kind::StagedNetworkPolicy, false) => &["NAME", "TIER"],
        (Kind::GlobalNetworkPolicy | Kind::NetworkPolicy, true) => &["NAME", "TIER", "ORDER", "SELECTOR"],
        (Kind::StagedGlobalNetworkPolicy | Kind::StagedNetworkPolicy, true) => &["NAME", "TIER", "ORDER", "SELECTOR"],
        (Kind::GlobalNetworkSet | Kind::NetworkSet, true) => &["NAME", "NETS"],
        (Kind::HostEndpoint, false) => &["NAME", "NODE"],
        (Kind::HostEndpoint, true) => &["NAME", "NODE", "INTERFACE", "IPS", "PROFILES"],
        (Kind::IPAMConfiguration, false) => &["NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS"],
        (Kind::IPAMConfiguration, true) => &["NAME", "STRICTAFFINITY", "AUTOALLOCATEBLOCKS", "MAXBLOCKSPERHOST"],
        (Kind::IPPool, false) => &["NAME", "CIDR", "SELECTOR"],
        (Kind::IPPool, true) => &[
            "NAME",
            "CIDR",
            "NAT",
            "IPIPMODE",
            "VXLANMODE",
            "DISABLED",
            "DISABLEBGPEXPORT",
            "SELECTOR",
            "ASSIGNMENTMODE",
        ],
        (Kind::IPReservation, true) => &["NAME", "CIDRS"],
        (Kind::Node, true) => &["NAME", "ASN", "IPV4", "IPV6"],
        (Kind::Profile, true) => &["NAME", "LABELS"],
        (Kind::StagedKubernetesNetworkPolicy, true) => &["NAME", "PODSELECTOR"],
        (Kind::Tier, _) => &["NAME", "ORDER"],
        (Kind::WorkloadEndpoint, false) => &["WORKLOAD", "NODE", "NETWORKS", "INTERFACE"],
        (Kind::WorkloadEndpoint, true) => &["NAME", "WORKLOAD", "NODE", "NETWORKS", "INTERFACE", "PROFILES", "NATS"],
        _ => &["NAME"],
    }
}

/// Every heading that `custom-columns` takes, sorted.
pub(crate) fn known(kind: Kind) -> Vec<&'static str> {
    let mut known = headings(kind, true).to_vec();
    if kind.namespaced() {
        known.push("NAMESPACE");
    }
    if kind == Kind::WorkloadEndpoint {
        known.push("ORCHESTRATOR");
    }
    known.sort_unstable();
    known
}

/// The text under a heading; empty for a heading that the kind does not have.
pub(crate) fn cell(object: &Object, heading: &str, cluster: &Cluster) -> String {
    let spec = object.body.get("spec");
    let at = |field: &str| spec.and_then(|spec| spec.get(field));
    let text = |field: &str| go_values::text(at(field));
    let or = |field: &str, otherwise: &str| match go_values::text(at(field)) {
        text if text.is_empty() => otherwise.to_owned(),
        text => text,
    };
    match (object.kind, heading) {
        (_, "NAME") => object.metadata.name.clone(),
        (_, "NAMESPACE") => object.metadata.namespace.clone(),
        (Kind::BGPConfiguration, "LOGSEVERITY") => text("logSeverityScreen"),
        (Kind::BGPConfiguration, "MESHENABLED") => or("nodeToNodeMeshEnabled", "-"),
        (Kind::BGPConfiguration, "ASNUMBER") => or("asNumber", "-"),
        (Kind::BGPFilter, heading) => {
            let field = match heading {
                "NUMEXPORTV4" => "exportV4",
                "NUMIMPORTV4" => "importV4",
                "NUMEXPORTV6" => "exportV6",
                _ => "importV6",
            };
            at(field).and_then(Value::as_array).map_or(0, Vec::len).to_string()
        }
        (Kind::BGPPeer, "PEERIP") => text("peerIP"),
        (Kind::BGPPeer, "NODE") => match (text("node"), text("nodeSelector")) {
            (node, selector) if node.is_empty() && selector.is_empty() => "(global)".to_owned(),
            (node, selector) if node.is_empty() => selector,
            (node, _) => node,
        },
        (Kind::BGPPeer, "ASN") => or("asNumber", "0"),
        (_, "CLASSES") => go_values::join(at("classes")),
        (_, "CLUSTERGUID") => text("clusterGUID"),
        (_, "CLUSTERTYPE") => text("clusterType"),
        (_, "CALICOVERSION") => text("calicoVersion"),
        (_, "DATASTOREREADY") => or("datastoreReady", "<nil>"),
        (_, "TIER") => text("tier"),
        (_, "ORDER") => go_values::float(at("order")),
        (Kind::IPPool, "SELECTOR") => text("nodeSelector"),
        (_, "SELECTOR") => text("selector"),
        (_, "NETS") => go_values::join_cut(at("nets"), 80),
        (_, "CIDRS") => go_values::join_cut(at("reservedCIDRs"), 80),
        (_, "NODE") => text("node"),
        (_, "INTERFACE") => text("interfaceName"),
        (_, "IPS") => go_values::join(at("expectedIPs")),
        (_, "PROFILES") => go_values::join(at("profiles")),
        (_, "STRICTAFFINITY") => or("strictAffinity", "false"),
        (_, "AUTOALLOCATEBLOCKS") => or("autoAllocateBlocks", "false"),
        (_, "MAXBLOCKSPERHOST") => or("maxBlocksPerHost", "0"),
        (_, "CIDR") => text("cidr"),
        (_, "NAT") => or("natOutgoing", "false"),
        (_, "IPIPMODE") => or("ipipMode", "Never"),
        (_, "VXLANMODE") => or("vxlanMode", "Never"),
        (_, "DISABLED") => or("disabled", "false"),
        (_, "DISABLEBGPEXPORT") => or("disableBGPExport", "false"),
        (_, "ASSIGNMENTMODE") => text("assignmentMode"),
        (Kind::Node, heading) => node_cell(at("bgp"), heading, cluster),
        (_, "LABELS") => go_values::join_map(at("labelsToApply")),
        (_, "PODSELECTOR") => selector_text(at("podSelector")),
        (_, "WORKLOAD") => or("workload", &text("pod")),
        (_, "NETWORKS") => go_values::join(at("ipNetworks")),
        (_, "NATS") => nats(at("ipNATs")),
        (_, "ORCHESTRATOR") => text("orchestrator"),
        _ => String::new(),
    }
}

fn node_cell(bgp: Option<&Value>, heading: &str, cluster: &Cluster) -> String {
    let Some(bgp) = bgp.filter(|bgp| bgp.is_object()) else { return String::new() };
    let text = |field: &str| go_values::text(bgp.get(field));
    match heading {
        "ASN" => match text("asNumber") {
            own if own.is_empty() => format!("({})", cluster.as_number),
            own => own,
        },
        "IPV4" => text("ipv4Address"),
        _ => text("ipv6Address"),
    }
}

/// `{internal external}`, as Go prints the pairs.
fn nats(value: Option<&Value>) -> String {
    let pairs = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|pair| {
            format!("{{{} {}}}", go_values::text(pair.get("internalIP")), go_values::text(pair.get("externalIP")))
        })
        .collect();
    pairs.join(",")
}
