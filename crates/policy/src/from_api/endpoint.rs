//! Endpoints.
//!
//! What cannot be read of an endpoint never makes it disappear where it closes something: unreadable
//! labels and profiles make it deny everything ([`UNREADABLE_LABELS`]), an unreadable place closes all interfaces that it
//! may mean, and unreadable addresses and ports are marked as missing ([`Missing`]).

use std::net::IpAddr;

use serde_json::Value;
use tortie_api::Object;
use tortie_net::{parse_address, parse_cidr};

use super::read::{
    FieldPath, Fields, Invalidities, Read, interface, list, owned, port_name, profile_name, record, text, texts, whole,
};
use super::rule::parse_protocol;
use super::selector::{NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX};
use crate::endpoint::{
    GovernedInterfaces, HostEndpoint, HostPort, Labels, Limits, Missing, NamedPort, Nat, Rate, UNREADABLE_LABELS,
    UnsupportedQos, WorkloadEndpoint, WorkloadId,
};

const SERVICE_ACCOUNT_LABEL: &str = "projectcalico.org/serviceaccount";
/// What Calico allows at once when only a rate is given.
const DEFAULT_PACKET_BURST: u32 = 5;

const DENIES: &str = "the endpoint denies everything, failsafes aside";
const EVERY_INTERFACE: &str = "every interface of the node that is no workload's denies everything, failsafes aside";
const MISSING: &str = "rules that deny by label or named port may mean it too";

/// The replacement of unreadable labels.
pub(super) fn unreadable_labels() -> Labels {
    Labels::from([(UNREADABLE_LABELS.to_owned(), String::new())])
}

/// The labels of an object. Unreadable ones make the endpoint deny, and rules that deny by label match it.
pub(super) fn labels(object: &Object, consequence: &'static str, wrong: &mut Invalidities) -> Labels {
    match object.metadata.other.get("labels") {
        None => object.metadata.labels.clone(),
        Some(value) => {
            let packed = object.metadata.annotations.get("projectcalico.org/metadata");
            let (place, reason) = match value {
                Value::Null => (FieldPath::LABELS, "they are null, or there is no metadata".into()),
                // As the custom resource of Kubernetes has them: in an annotation.
                Value::String(text) if packed == Some(text) => {
                    (FieldPath::PACKED, "it is not a JSON object, and holds the labels".into())
                }
                value => (FieldPath::LABELS, texts(value).err().unwrap_or_else(|| "they cannot be read".into())),
            };
            wrong.note(place, reason, consequence);
            unreadable_labels()
        }
    }
}

pub(super) fn host(object: &Object, wrong: &mut Invalidities) -> HostEndpoint {
    let spec = Fields::of(object.body.get("spec"));
    let mut labels = labels(object, DENIES, wrong);
    let node = spec.read("node", owned).and_then(|name| match name.as_str() {
        "" => Err("a host endpoint needs a node".into()),
        _ => Ok(name),
    });
    let node = wrong.take(FieldPath::SPEC.key("node"), node, "the endpoint is on no node");
    let interface =
        wrong.take(FieldPath::SPEC.key("interfaceName"), spec.read("interfaceName", interface), EVERY_INTERFACE);
    let mut missing = Missing::default();
    let addresses = each(spec, "expectedIPs", address, &mut missing.addresses, MISSING, wrong);
    let mut interface = match interface {
        None => GovernedInterfaces::Unreadable,
        Some("") => GovernedInterfaces::ByAddress,
        Some("*") => GovernedInterfaces::All,
        Some(name) => GovernedInterfaces::Named(name.to_owned()),
    };
    if interface == GovernedInterfaces::ByAddress && addresses.is_empty() {
        if !missing.addresses {
            let reason = "the endpoint names neither an interface nor addresses (expectedIPs)";
            wrong.note(FieldPath::SPEC.key("interfaceName"), reason, EVERY_INTERFACE);
        }
        interface = GovernedInterfaces::Unreadable;
    }
    let profiles = profiles(spec, &mut labels, wrong);
    missing.place = interface == GovernedInterfaces::Unreadable;
    let mut ports = each(spec, "ports", port, &mut missing.ports, MISSING, wrong);
    bound(&mut ports, addresses.len(), &mut missing, wrong);
    HostEndpoint {
        name: object.metadata.name.clone(),
        node: node.unwrap_or_default(),
        interface,
        addresses,
        labels,
        profiles,
        ports,
        missing,
    }
}

/// The items of a list that can be read; `lost` if there are others.
fn each<T>(
    spec: Fields<'_>,
    name: &str,
    read: impl Fn(&Value) -> Read<T>,
    lost: &mut bool,
    consequence: &'static str,
    wrong: &mut Invalidities,
) -> Vec<T> {
    let at = FieldPath::SPEC.key(name);
    let values = spec.get(name).map_or(Ok(&[][..]), list);
    let Some(values) = wrong.take(at, values, consequence) else {
        *lost = true;
        return Vec::new();
    };
    let mut items = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        match wrong.take(at.index(index), read(value), consequence) {
            Some(item) => items.push(item),
            None => *lost = true,
        }
    }
    items
}

/// Removes all named ports if there are too many.
fn bound(ports: &mut Vec<NamedPort>, addresses: usize, missing: &mut Missing, wrong: &mut Invalidities) {
    let members = ports.len().saturating_mul(addresses);
    if members > NamedPort::LIMIT {
        let reason =
            format!("{} ports at {addresses} addresses are {members}, more than {}", ports.len(), NamedPort::LIMIT);
        wrong.note(FieldPath::SPEC.key("ports"), reason, MISSING);
        *ports = Vec::new();
        missing.ports = true;
    }
}

/// Profiles give labels, so an endpoint with an unreadable profile has unreadable labels.
fn profiles(spec: Fields<'_>, labels: &mut Labels, wrong: &mut Invalidities) -> Vec<String> {
    let mut lost = false;
    let profiles = each(spec, "profiles", profile_name, &mut lost, DENIES, wrong);
    if lost {
        *labels = unreadable_labels();
    }
    profiles
}

/// A workload endpoint in its parts.
#[derive(Default)]
pub(super) struct Workload {
    pub(super) orchestrator: String,
    pub(super) workload: String,
    pub(super) container_id: String,
    pub(super) endpoint: String,
    pub(super) service_account: String,
    pub(super) node: String,
    pub(super) interface: String,
    pub(super) pod: String,
    pub(super) labels: Labels,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) nats: Vec<Nat>,
    pub(super) profiles: Vec<String>,
    pub(super) ports: Vec<NamedPort>,
    pub(super) host_ports: Vec<HostPort>,
    pub(super) mac: String,
    pub(super) spoofing: Vec<ipnet::IpNet>,
    pub(super) limits: [Limits; 2],
    pub(super) unsupported_qos: UnsupportedQos,
    pub(super) missing: Missing,
}

/// A workload endpoint; none while it has no address, as Calico leaves it out too: its interface stays closed.
pub(super) fn workload(object: &Object, wrong: &mut Invalidities) -> Option<WorkloadEndpoint> {
    let spec = Fields::of(object.body.get("spec"));
    let mut it = Workload { labels: labels(object, DENIES, wrong), ..Workload::default() };
    let mut denies = false;
    let mut account = true;
    let mut texts = [
        ("orchestrator", &mut it.orchestrator, DENIES),
        ("workload", &mut it.workload, DENIES),
        ("containerID", &mut it.container_id, DENIES),
        ("endpoint", &mut it.endpoint, DENIES),
        ("pod", &mut it.pod, DENIES),
        ("serviceAccountName", &mut it.service_account, DENIES),
        ("mac", &mut it.mac, ""),
    ];
    for (name, into, consequence) in &mut texts {
        let read = wrong.take(FieldPath::SPEC.key(name), spec.read(name, owned), consequence);
        denies |= read.is_none() && *consequence == DENIES;
        account &= read.is_some() || *name != "serviceAccountName";
        **into = read.unwrap_or_default();
    }
    let node = wrong.take(FieldPath::SPEC.key("node"), spec.read("node", owned), "its interface stays closed");
    let interface = spec.read("interfaceName", interface).and_then(|name| match name {
        "" => Err("a workload endpoint needs an interface".into()),
        _ => Ok(name.to_owned()),
    });
    let has_addresses =
        spec.get("ipNetworks").is_some_and(|value| value.as_array().is_none_or(|list| !list.is_empty()));
    if !has_addresses {
        return None;
    }
    let interface = wrong.take(FieldPath::SPEC.key("interfaceName"), interface, "its interface stays closed");
    if node.as_ref().is_some_and(String::is_empty) {
        wrong.note(FieldPath::SPEC.key("node"), "a workload endpoint needs a node", "its interface stays closed");
    }
    let node = node.filter(|node| !node.is_empty());
    // Where it is must be known as a whole.
    (it.node, it.interface) = node.zip(interface).unwrap_or_default();
    it.addresses = each(spec, "ipNetworks", own_address, &mut it.missing.addresses, MISSING, wrong);
    it.nats = each(spec, "ipNATs", nat, &mut denies, DENIES, wrong);
    // One that asks to send from foreign addresses may not count at all.
    let mut unknown_sources = false;
    it.spoofing = each(
        spec,
        "allowSpoofedSourcePrefixes",
        spoofed_prefix,
        &mut unknown_sources,
        "its interface stays closed",
        wrong,
    );
    if unknown_sources {
        (it.node, it.interface) = Default::default();
    }
    it.ports =
        each(spec, "ports", workload_port, &mut it.missing.ports, MISSING, wrong).into_iter().flatten().collect();
    bound(&mut it.ports, it.addresses.len(), &mut it.missing, wrong);
    it.host_ports = spec.get("ports").and_then(Value::as_array).into_iter().flatten().filter_map(host_port).collect();
    it.profiles = profiles(spec, &mut it.labels, wrong);
    it.limits = limits_of(spec, wrong);
    it.unsupported_qos = unsupported_qos(spec);
    if !account {
        it.labels = unreadable_labels();
    }
    if denies {
        it.missing.place = true;
        // Which of several endpoints of one interface comes first is unknown, so the one that denies does.
        (it.orchestrator, it.workload, it.endpoint) = Default::default();
    }
    Some(it.build(WorkloadId { namespace: object.metadata.namespace.clone(), name: object.metadata.name.clone() }))
}

impl Workload {
    pub(super) fn build(mut self, id: WorkloadId) -> WorkloadEndpoint {
        if !self.labels.contains_key(UNREADABLE_LABELS) {
            self.labels
                .retain(|label, _| !label.starts_with(NAMESPACE_PREFIX) && !label.starts_with(SERVICE_ACCOUNT_PREFIX));
            if !self.service_account.is_empty() {
                self.labels.insert(SERVICE_ACCOUNT_LABEL.to_owned(), std::mem::take(&mut self.service_account));
            }
        }
        WorkloadEndpoint {
            precedence: self.precedence(&id.namespace),
            id,
            addresses: self.addresses,
            nats: self.nats,
            spoofing: self.spoofing,
            ports: self.ports,
            host_ports: self.host_ports,
            ingress_limits: self.limits[0],
            egress_limits: self.limits[1],
            unsupported_qos: self.unsupported_qos,
            node: self.node,
            interface: self.interface,
            pod: self.pod,
            labels: self.labels,
            profiles: self.profiles,
            mac: self.mac,
            missing: self.missing,
        }
    }

    /// Orchestrator, namespace with workload, and endpoint, as the name spells them.
    fn precedence(&self, namespace: &str) -> (String, String, String) {
        let workload = match self.orchestrator.as_str() {
            "k8s" => &self.pod,
            "cni" => &self.container_id,
            "libnetwork" => &self.orchestrator,
            _ => &self.workload,
        };
        (self.orchestrator.clone(), format!("{namespace}/{workload}"), self.endpoint.clone())
    }
}

fn limits_of(spec: Fields<'_>, wrong: &mut Invalidities) -> [Limits; 2] {
    let at = FieldPath::SPEC.key("qosControls");
    let consequence = "the limits are as low as can be";
    let Some(qos) = wrong.take(at, spec.get("qosControls").map(record).transpose(), consequence) else {
        return [Limits { packets: Some(Rate { per_second: 1, burst: 1 }), connections: Some(1) }; 2];
    };
    let fields = qos.map_or(Fields::Absent, Fields::Map);
    let mut number = |name: &str| match wrong.take(at.key(name), fields.read(name, whole), consequence) {
        Some(value) => value.unwrap_or(0),
        None => 1,
    };
    let mut side =
        |rate: &str, burst: &str, connections: &str| limits(number(rate), number(burst), number(connections));
    [
        side("ingressPacketRate", "ingressPacketBurst", "ingressMaxConnections"),
        side("egressPacketRate", "egressPacketBurst", "egressMaxConnections"),
    ]
}

/// Requests that deny no packet: unreadable parts are ignored.
fn unsupported_qos(spec: Fields<'_>) -> UnsupportedQos {
    let qos = spec.get("qosControls").and_then(|qos| record(qos).ok());
    let fields = qos.map_or(Fields::Absent, Fields::Map);
    let is_set = |name: &str| fields.get(name).is_some_and(|value| *value != 0 && !value.is_null());
    UnsupportedQos {
        bandwidth: is_set("ingressBandwidth") || is_set("egressBandwidth"),
        dscp: fields.get("dscp").is_some_and(|value| !value.is_null()),
    }
}

fn limits(rate: i64, burst: i64, connections: i64) -> Limits {
    let positive = |value: i64| u32::try_from(value).ok().filter(|value| *value > 0);
    Limits {
        packets: positive(rate)
            .map(|per_second| Rate { per_second, burst: positive(burst).unwrap_or(DEFAULT_PACKET_BURST) }),
        connections: positive(connections),
    }
}

fn address(value: &Value) -> Read<IpAddr> {
    parse_address(text(value)?).map_err(|error| error.to_string().into())
}

fn spoofed_prefix(value: &Value) -> Read<ipnet::IpNet> {
    parse_cidr(text(value)?).map(|net| net.trunc()).map_err(|error| error.to_string().into())
}

fn own_address(value: &Value) -> Read<IpAddr> {
    own_address_of(text(value)?)
}

pub(super) fn own_address_of(text: &str) -> Read<IpAddr> {
    let net = parse_cidr(text).map_err(|error| error.to_string())?;
    if net.prefix_len() == net.max_prefix_len() {
        Ok(net.addr())
    } else {
        Err("IP network contains multiple addresses".into())
    }
}

fn nat(value: &Value) -> Read<Nat> {
    let map = record(value)?;
    let side = |name: &str| -> Read<IpAddr> {
        map.get(name).map_or(Err("nothing there".into()), address).map_err(|why| format!("{name}: {why}").into())
    };
    Ok(Nat { internal: side("internalIP")?, external: side("externalIP")? })
}

fn port(value: &Value) -> Read<NamedPort> {
    let map = record(value)?;
    let field = |name: &'static str| map.get(name).ok_or_else(|| format!("{name}: nothing there"));
    let number = whole(field("port")?)?.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let name = text(field("name")?)?;
    Ok(NamedPort {
        name: port_name(name).ok_or_else(|| format!("{name:?} is not a name of a port"))?,
        protocol: parse_protocol(field("protocol")?).and_then(|protocol| match protocol.has_ports() {
            true => Ok(protocol),
            false => Err(format!("the protocol {protocol} has no ports").into()),
        })?,
        port: number.ok_or_else(|| "the port is out of range".to_owned())?,
    })
}

/// A port of a workload; one without a name only leads from the host.
fn workload_port(value: &Value) -> Read<Option<NamedPort>> {
    match record(value)?.get("name").map_or(Ok(""), text)? {
        "" => Ok(None),
        _ => port(value).map(Some),
    }
}

/// What leads from the node to a port of a workload.
fn host_port(value: &Value) -> Option<HostPort> {
    let number = |name: &str| value[name].as_u64().and_then(|number| u16::try_from(number).ok());
    let protocol = parse_protocol(&value["protocol"]).ok()?;
    HostPort::new(protocol, number("port")?, number("hostPort")?, value.get("hostIP").map_or(Some(""), Value::as_str)?)
}
