//! Which endpoints of a service a service proxy may send a packet to, as kube-proxy chooses them.
//!
//! The rules are those of kube-proxy 1.34: `CategorizeEndpoints` in `pkg/proxy/topology.go` for the endpoints, and `syncProxyRules` of
//! its iptables and nftables modes for the traffic policy and for what is refused.
//!
//! | Sender | clusterIP | externalIP, load balancer's address, nodePort |
//! |---|---|---|
//! | a pod or process of the node that translates | `internalTrafficPolicy` | all endpoints, whatever `externalTrafficPolicy` says |
//! | a pod of another node (nodePort only) | | `externalTrafficPolicy`, or all endpoints if kube-proxy knows the pods of all nodes |
//! | a process of another node (nodePort only), others | `internalTrafficPolicy` | `externalTrafficPolicy` |
//!
//! With the policy `Local` the endpoints are those of the node that translates. Of these endpoints the ready ones are used, and if there
//! are none, those that are terminating and still serve. Without any endpoint in the cluster the packet is rejected; without one on the
//! node it is dropped.

use super::{EndpointState, Found, ServiceAddress, ServiceEndpoint};
use crate::fault;
use crate::topology::{Location, Topology};

/// The label of a node that names its zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// What a service proxy may do with a packet.
pub(super) struct Choice<'t> {
    /// The endpoints that it may be sent to; none if it is refused for certain.
    pub(super) endpoints: Vec<&'t ServiceEndpoint>,
    /// Whether only endpoints on the node that translates may get it.
    pub(super) is_local: bool,
    /// Why it may be refused.
    pub(super) refusal: Option<Refusal>,
    /// What the choice takes for granted.
    pub(super) assumed: Option<String>,
}

impl Choice<'_> {
    /// The same, where the packet is refused besides, or in some case.
    pub(super) fn refused_too(mut self, refusal: Refusal) -> Self {
        if refusal.when.is_none() {
            self.endpoints.clear();
        }
        if self.refusal.as_ref().is_none_or(|before| before.when.is_some()) {
            self.refusal = Some(refusal);
        }
        self
    }
}

/// Why a packet is refused, and if that is not certain, in which case.
#[derive(Clone)]
pub(super) struct Refusal {
    pub(super) when: Option<String>,
    pub(super) why: String,
}

/// Where a packet is translated, and who sends it, as its kube-proxy sees that.
pub(super) struct Seen<'t> {
    /// The node that translates; none if that is not known.
    pub(super) node: Option<&'t str>,
    zone: Option<&'t str>,
    sender: Sender,
}

#[derive(Clone, Copy, PartialEq)]
enum Sender {
    OwnPod,
    OwnProcess,
    PodElsewhere,
    Other,
}

impl<'t> Seen<'t> {
    /// A node port is translated where the address is, anything else on the first node with a service proxy.
    pub(super) fn new(
        topology: &'t Topology<'_>,
        is: ServiceAddress,
        from: &'t Location,
        to: &'t Location,
        named: Option<&'t str>,
    ) -> Self {
        let node = match is {
            ServiceAddress::Node => to.node(),
            _ => from.node().or(to.node()).or(named),
        };
        let sender = match from {
            Location::Workload(_) if from.node() == node => Sender::OwnPod,
            Location::Workload(_) => Sender::PodElsewhere,
            Location::Process { .. } if from.node() == node || fault("other-nodes-are-inside") => Sender::OwnProcess,
            _ => Sender::Other,
        };
        let labels = node.and_then(|node| topology.snapshot().nodes.get(node)).map(|node| &node.labels);
        let zone = labels.and_then(|labels| labels.get(ZONE)).map(String::as_str);
        Self { node, zone, sender }
    }
}

impl<'t> Found<'t> {
    /// What a service proxy may do with a packet to this port. `port` is how it is asked about: `tcp/80`.
    pub(super) fn choice(&self, seen: &Seen<'_>, port: &str) -> Choice<'t> {
        let usable = self.usable();
        let all = cluster(&usable, seen);
        let refused = |why: String| Choice {
            endpoints: Vec::new(),
            is_local: false,
            refusal: Some(Refusal { when: None, why }),
            assumed: None,
        };
        if all.is_empty() {
            return refused(format!(
                "a service proxy rejects it: {} has no ready endpoint for {port}{}",
                self.service.text(),
                self.others(usable.len())
            ));
        }
        let is_internal = self.is == ServiceAddress::ClusterIp;
        let is_local = if is_internal { self.service.internal_is_local } else { self.service.external_is_local };
        let every = |endpoints| Choice { endpoints, is_local: false, refusal: None, assumed: None };
        let is_short_circuited = !is_internal && seen.sender == Sender::OwnProcess && !fault("no-short-circuit");
        if !is_local || is_short_circuited {
            return every(all);
        }
        let here = local(&usable, seen.node);
        let is_alike = sockets(&here) == sockets(&all);
        let node = seen.node.unwrap_or_default();
        if !is_internal && seen.sender == Sender::OwnPod {
            let assumed = (!is_alike).then(|| format!(
                "kube-proxy knows the pods of {node} (--cluster-cidr, --detect-local-mode), so that {} leads them to all its endpoints; otherwise only those on {node} are used",
                self.address
            ));
            return Choice { assumed, ..every(all) };
        }
        let nothing_here = || {
            format!(
                "a service proxy drops it: {} has no ready endpoint on {node} for {port}{}, and {}TrafficPolicy is Local",
                self.service.text(),
                self.others(usable.len()),
                if is_internal { "internal" } else { "external" }
            )
        };
        if !is_internal && seen.sender == Sender::PodElsewhere {
            let when = format!("{node} takes its sender for one outside the cluster");
            let refusal = here.is_empty().then(|| Refusal { when: Some(when), why: nothing_here() });
            let assumed = (!is_alike && !here.is_empty()).then(|| format!(
                "nothing tells whether kube-proxy of {node} takes the pod for one outside the cluster (--detect-local-mode, natOutgoing), which it leads only to endpoints on {node}"
            ));
            let mut endpoints = all;
            endpoints.extend(here);
            return Choice { endpoints: distinct(endpoints), is_local: false, refusal, assumed };
        }
        if here.is_empty() {
            return refused(nothing_here());
        }
        Choice { endpoints: here, is_local: true, refusal: None, assumed: None }
    }

    /// ` (of 3 in its EndpointSlices)`.
    fn others(&self, count: usize) -> String {
        if count > 0 { format!(" (of {count} in its EndpointSlices)") } else { String::new() }
    }

    /// The endpoints of the port and of the address's IP version, in whatever state.
    fn usable(&self) -> Vec<&'t ServiceEndpoint> {
        let all = self.service.endpoints.iter().filter(|one| one.address.is_ipv4() == self.address.is_ipv4());
        distinct(all.filter(|one| self.port.is_some_and(|port| one.is_of(port))).collect())
    }
}

/// Sorted, and each socket once.
fn distinct(mut endpoints: Vec<&ServiceEndpoint>) -> Vec<&ServiceEndpoint> {
    endpoints.sort_by_key(|one| (one.address, one.port, one.state, one.node.is_none()));
    endpoints.dedup_by_key(|one| (one.address, one.port));
    endpoints
}

fn sockets(endpoints: &[&ServiceEndpoint]) -> Vec<std::net::SocketAddr> {
    endpoints.iter().map(|one| one.socket()).collect()
}

/// Of some endpoints the ready ones, or else those that are terminating and still serve.
fn working<'t>(endpoints: &[&'t ServiceEndpoint]) -> Vec<&'t ServiceEndpoint> {
    let of = |state| endpoints.iter().copied().filter(move |one| one.state == state).collect::<Vec<_>>();
    let ready = of(EndpointState::Ready);
    if fault("terminating-beside-ready") {
        return [ready, of(EndpointState::Terminating)].concat();
    }
    if ready.is_empty() && !fault("terminating-unused") { of(EndpointState::Terminating) } else { ready }
}

/// The endpoints that a node uses with the traffic policy `Cluster`: those that are meant for the node, or for its zone, if every ready
/// one has such a hint and one of them is meant for it.
fn cluster<'t>(endpoints: &[&'t ServiceEndpoint], seen: &Seen<'_>) -> Vec<&'t ServiceEndpoint> {
    let working = working(endpoints);
    if working.iter().any(|one| one.state != EndpointState::Ready) {
        return working;
    }
    let by_node = meant_for(&working, seen.node, |one| &one.for_nodes);
    by_node.or_else(|| meant_for(&working, seen.zone, |one| &one.for_zones)).unwrap_or(working)
}

/// The endpoints that have a hint for this one, if every one has a hint and one has this.
fn meant_for<'t>(
    ready: &[&'t ServiceEndpoint],
    own: Option<&str>,
    hints: impl Fn(&ServiceEndpoint) -> &Vec<String>,
) -> Option<Vec<&'t ServiceEndpoint>> {
    let own = own?;
    let is_meant = |one: &&ServiceEndpoint| hints(one).iter().any(|name| name == own);
    let all_have_one = ready.iter().all(|one| !hints(one).is_empty()) || fault("some-hints");
    let meant: Vec<_> = ready.iter().copied().filter(is_meant).collect();
    (all_have_one && !meant.is_empty()).then_some(meant)
}

/// The endpoints that a node uses with the traffic policy `Local`. If the node is not known, those that any node would use.
fn local<'t>(endpoints: &[&'t ServiceEndpoint], node: Option<&str>) -> Vec<&'t ServiceEndpoint> {
    let nodes: Vec<&str> = match node {
        Some(node) => vec![node],
        None => endpoints.iter().filter_map(|one| one.node.as_deref()).collect(),
    };
    let on = |node: &&str| {
        let here: Vec<_> = endpoints.iter().copied().filter(|one| one.node.as_deref() == Some(*node)).collect();
        working(&here)
    };
    if fault("local-not-asked-by-node") {
        let here = |one: &&ServiceEndpoint| nodes.iter().any(|node| one.node.as_deref() == Some(*node));
        return working(endpoints).into_iter().filter(here).collect();
    }
    distinct(nodes.iter().flat_map(on).collect())
}
