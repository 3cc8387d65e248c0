//! A small model of kube-proxy, written from the rules that it makes on a node (`syncProxyRules` of its iptables mode, Kubernetes 1.34)
//! and not from the code of `explain`; and random services with packets to them, for which both must agree.

use std::net::IpAddr;
use std::ops::Range;

use tortie_explain::{EndpointState, Question, Service, ServiceAddress, ServiceEndpoint, Topology, trace};
use tortie_policy::Snapshot;
use tortie_random::Random;

use super::{address, endpoint, outcome, question, service};

/// A pod that denies what comes to it.
const CLOSED: &str = "10.65.1.4";
/// Endpoints, with their nodes.
const ENDPOINTS: [(&str, &str); 6] = [
    ("10.65.0.8", "web1"),
    ("10.65.0.9", "web1"),
    ("10.65.1.8", "web2"),
    ("10.65.1.9", "web2"),
    (CLOSED, "web2"),
    ("192.0.2.99", ""),
];
/// Nodes, with the address at which they take packets, and the zone.
const NODES: [(&str, &str, &str); 2] = [("web1", "192.0.2.11", "east"), ("web2", "192.0.2.12", "west")];
/// Senders: as asked about, their address, and their node; a sender on no node enters by that node.
const SENDERS: [(&str, &str, &str, Kind); 6] = [
    ("pod/shop/a", "10.65.0.2", "web1", Kind::Pod),
    ("pod/shop/b", "10.65.1.2", "web2", Kind::Pod),
    ("node/web2", "192.0.2.12", "web2", Kind::Process),
    ("hep/web1-eth0@192.0.2.11", "192.0.2.11", "web1", Kind::Process),
    ("192.0.2.200", "192.0.2.200", "web1", Kind::Outside),
    ("192.0.2.200", "192.0.2.200", "web2", Kind::Outside),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pod,
    Process,
    Outside,
}

/// What a node does with a packet.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    SentTo(Vec<IpAddr>),
    Refused,
    Nothing,
}

/// A packet as it comes to a node.
struct Packet {
    source: IpAddr,
    is_source_local: bool,
    /// Whether kube-proxy takes the sender for a pod.
    is_pod: bool,
    to: IpAddr,
    port: u16,
}

fn categorize(service: &Service, node: &str, zone: &str) -> [Vec<ServiceEndpoint>; 2] {
    let with = |state, only: Option<&str>| {
        let all = service.endpoints.iter().filter(move |one| one.state == state);
        all.filter(|one| only.is_none_or(|only| one.node.as_deref() == Some(only))).cloned().collect::<Vec<_>>()
    };
    let ready = with(EndpointState::Ready, None);
    let mut cluster = ready.clone();
    let meant = |names: &Vec<String>, own: &str| names.iter().any(|name| name == own);
    if !ready.is_empty() {
        let by_node =
            ready.iter().all(|one| !one.for_nodes.is_empty()) && ready.iter().any(|one| meant(&one.for_nodes, node));
        let by_zone =
            ready.iter().all(|one| !one.for_zones.is_empty()) && ready.iter().any(|one| meant(&one.for_zones, zone));
        if by_node {
            cluster.retain(|one| meant(&one.for_nodes, node));
        } else if by_zone {
            cluster.retain(|one| meant(&one.for_zones, zone));
        }
    }
    if cluster.is_empty() {
        cluster = with(EndpointState::Terminating, None);
    }
    let mut local = with(EndpointState::Ready, Some(node));
    if local.is_empty() {
        local = with(EndpointState::Terminating, Some(node));
    }
    [cluster, local]
}

/// The rules of one node for one service, in their order: translation first, then what is left for the filter.
fn on_node(services: &[Service], (node, own, zone): (&str, &str, &str), packet: &Packet) -> Fate {
    let sent = |endpoints: &[ServiceEndpoint]| Fate::SentTo(endpoints.iter().map(|one| one.address).collect());
    for service in services {
        let [cluster, local] = categorize(service, node, zone);
        let has_any = !cluster.is_empty();
        let port = &service.ports[0];
        let is_at = |kind| packet.port == port.port && service.addresses.contains(&(packet.to, kind));
        if is_at(ServiceAddress::ClusterIp) {
            let chain = if service.internal_is_local { &local } else { &cluster };
            return if chain.is_empty() { Fate::Refused } else { sent(chain) };
        }
        let is_node_port = packet.to == address(own) && Some(packet.port) == port.node_port;
        let is_balancer = is_at(ServiceAddress::LoadBalancer);
        if !is_at(ServiceAddress::ExternalIp) && !is_balancer && !is_node_port {
            continue;
        }
        if !has_any {
            return Fate::Refused;
        }
        if is_balancer && !service.source_ranges.is_empty() {
            let contains = |one: IpAddr| service.source_ranges.iter().any(|net| net.contains(&one));
            let is_vip = service.addresses.contains(&(packet.source, ServiceAddress::LoadBalancer));
            if !(contains(packet.source) || is_vip && contains(address(own))) {
                return Fate::Refused;
            }
        }
        if !service.external_is_local || packet.is_pod || packet.is_source_local {
            return sent(&cluster);
        }
        return if local.is_empty() { Fate::Refused } else { sent(&local) };
    }
    // The nftables mode rejects what goes to other ports of a clusterIP.
    let is_cluster_ip = services.iter().any(|one| one.addresses.contains(&(packet.to, ServiceAddress::ClusterIp)));
    if is_cluster_ip { Fate::Refused } else { Fate::Nothing }
}

/// What the nodes on the way do with a packet, where kube-proxy takes pods of other nodes for such or not.
fn on_the_way(services: &[Service], sender: (&str, &str, &str, Kind), to: IpAddr, port: u16, knows_pods: bool) -> Fate {
    let (_, source, at, kind) = sender;
    let of = |name: &str| NODES.into_iter().find(|(node, ..)| *node == name).unwrap();
    let owner = NODES.into_iter().find(|(_, own, _)| address(own) == to);
    let first = if kind == Kind::Outside { owner.unwrap_or_else(|| of(at)) } else { of(at) };
    for node in [Some(first), owner].into_iter().flatten() {
        let is_own = node.0 == at;
        let packet = Packet {
            source: address(source),
            is_source_local: kind == Kind::Process && is_own,
            is_pod: kind == Kind::Pod && (is_own || knows_pods),
            to,
            port,
        };
        let fate = on_node(services, node, &packet);
        if fate != Fate::Nothing {
            return fate;
        }
    }
    Fate::Nothing
}

/// A random service; `at` tells those of one world apart.
fn random_service(random: &mut Random, at: usize) -> Service {
    let mut made = service(&[]);
    made.name = format!("db{at}");
    made.addresses = vec![
        (address(&format!("10.96.0.{}", 10 + at)), ServiceAddress::ClusterIp),
        (address("198.51.100.7"), ServiceAddress::ExternalIp),
        (address(if random.once_in(2) { "203.0.113.7" } else { "192.0.2.12" }), ServiceAddress::LoadBalancer),
    ];
    made.ports[0].port = [80, 443][at];
    made.ports[0].node_port = Some([30080, 30443][at]);
    made.internal_is_local = random.once_in(2);
    made.external_is_local = random.once_in(2);
    let ranges = ["192.0.2.0/28", "10.65.0.0/16", "192.0.2.200/32", "192.0.2.11/32", "192.0.2.12/32"];
    if random.once_in(3) {
        made.source_ranges = random.some(&ranges, 2).iter().map(|net| net.parse().unwrap()).collect();
    }
    let states = [EndpointState::Ready, EndpointState::Ready, EndpointState::Terminating, EndpointState::NotReady];
    let hints = random.once_in(3);
    for (text, node) in random.some(&ENDPOINTS, 4) {
        let mut one = endpoint(text, node, *random.pick(&states));
        if hints && !random.once_in(6) {
            one.for_zones = random.some(&["east".to_owned(), "west".to_owned(), "north".to_owned()], 2);
        }
        if hints && random.once_in(2) {
            one.for_nodes = random.some(&["web1".to_owned(), "web2".to_owned()], 1);
        }
        if made.endpoints.iter().all(|other| other.address != one.address) {
            made.endpoints.push(one);
        }
    }
    made
}

/// Compares answers about random packets with the model, and says how many.
pub(crate) fn compare(snapshot: &Snapshot, seeds: Range<u64>) -> Result<usize, String> {
    let mut compared = 0;
    for seed in seeds {
        let mut random = Random::new(seed);
        let services: Vec<Service> = (0..2).map(|at| random_service(&mut random, at)).collect();
        let sender = *random.pick(&SENDERS);
        let to = *random.pick(&["10.96.0.10", "198.51.100.7", "203.0.113.7", "192.0.2.11", "192.0.2.12"]);
        let port = *random.pick(&[80, 80, 443, 30080, 30443, 81]);
        let node = (sender.3 == Kind::Outside).then(|| sender.2.to_owned());
        let asked = Question { node, ..question(sender.0, to, &format!("tcp/{port}")) };
        let topology = Topology::new(snapshot).with_services(services.clone());
        let fates = [true, false].map(|knows| on_the_way(&services, sender, address(to), port, knows));
        let mut endpoints: Vec<IpAddr> = Vec::new();
        for fate in &fates {
            if let Fate::SentTo(to) = fate {
                endpoints.extend(to);
            }
        }
        endpoints.sort();
        endpoints.dedup();
        let is_refused = fates.contains(&Fate::Refused);
        let texts: Vec<String> = endpoints.iter().map(IpAddr::to_string).collect();
        let expected = match (endpoints.is_empty(), is_refused) {
            (true, true) => "refused".to_owned(),
            (true, false) => "untranslated".to_owned(),
            (false, true) => format!("{} or refused", texts.join(" ")),
            (false, false) => texts.join(" "),
        };
        let about = format!("seed {seed}: {} -> {to} tcp/{port}", sender.0);
        let answer = trace(&topology, &asked).map_err(|error| format!("{about}: {error}"))?;
        let found = outcome(&answer);
        if found != expected {
            return Err(format!("{about}: {found}, and by kube-proxy's rules {expected}"));
        }
        // No policy is between a node and its own pods.
        let is_from_its_node = sender.2 == "web2" && sender.3 == Kind::Process && to != "192.0.2.11";
        let is_denied = endpoints.contains(&address(CLOSED)) && !is_from_its_node;
        let is_allowed = !is_refused && !is_denied;
        if expected != "untranslated" && answer.allowed() != is_allowed {
            return Err(format!("{about}: allowed {}", answer.allowed()));
        }
        compared += 1;
    }
    Ok(compared)
}
