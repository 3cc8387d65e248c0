//! Translations of the destination by other programs: the one that a question names, or those that `hostPort` of pods asks for.
//!
//! Kubernetes leaves `hostPort` to the CNI plugin `portmap`, which translates packets to an address of the node and that port, from
//! outside and from the node itself, to the port of the pod. The answer notes the assumption that such a plugin runs.

use std::net::IpAddr;

use tortie_eval::{Transport, protocol_name};
use tortie_policy::{Family, HostPort, WorkloadEndpoint};

use crate::fault;
use crate::interfaces::ASSUMED;
use crate::question::Question;
use crate::topology::{Location, Topology};

/// The translations that a question assumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dnat {
    /// The question names none: what the store knows of is translated, which is `hostPort` of pods and services.
    #[default]
    Known,
    /// There is none.
    Never,
    /// To this address, and to this port if there is one.
    To(IpAddr, Option<u16>),
}

impl Dnat {
    /// The address that the question names.
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self {
            Dnat::To(address, _) => Some(address),
            Dnat::Known | Dnat::Never => None,
        }
    }
}

/// A translation of the destination.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Translation {
    pub(crate) to: (IpAddr, Option<u16>),
    pub(crate) by: TranslatedBy,
}

/// What says that a packet is translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TranslatedBy {
    /// The question: `--dnat`.
    Question,
    /// A port of a pod, as text: `hostPort tcp/8080 of pod shop/web`.
    HostPort(String),
    /// A service of Kubernetes, as text: `service shop/db (clusterIP, port http)`.
    Service(String),
    /// A rule of another program, as text: `table ip nat of another program (chain DOCKER, rule 1)`.
    Table(String),
}

impl TranslatedBy {
    /// In words.
    pub(crate) fn text(&self) -> &str {
        match self {
            TranslatedBy::Question => "--dnat",
            TranslatedBy::HostPort(text) | TranslatedBy::Service(text) | TranslatedBy::Table(text) => text,
        }
    }
}

/// The translation of a packet to a location, at its node. What is assumed is added to the notes.
pub(crate) fn find(
    topology: &Topology<'_>,
    question: &Question,
    to: &Location,
    destination: IpAddr,
    (protocol, transport): (u8, Transport),
    assumed: &mut Vec<String>,
) -> Option<Translation> {
    match question.dnat {
        Dnat::To(address, port) => return Some(Translation { to: (address, port), by: TranslatedBy::Question }),
        Dnat::Never => return None,
        Dnat::Known => {}
    }
    let (Location::Process { node, .. }, Transport::Ports { destination: port, .. }) = (to, transport) else {
        return None;
    };
    let is_meant = |one: &HostPort| one.protocol.number() == protocol && one.port == port && one.is_at(destination);
    let meant = topology.host_ports(node).iter().filter_map(|pod| {
        let address = pod.addresses.iter().find(|address| address.is_ipv4() == destination.is_ipv4())?;
        let port = pod.host_ports.iter().find(|one| is_meant(one) && !fault("host-port-unknown"))?;
        Some((*pod, *address, port.to))
    });
    let meant: Vec<(&WorkloadEndpoint, IpAddr, u16)> = meant.collect();
    let (pod, address, own) = *meant.first()?;
    let text = format!("hostPort {}/{port} of {pod}", protocol_name(protocol));
    let option = "with --dnat none nothing does";
    assumed.push(match meant.as_slice() {
        [_] => format!("{ASSUMED}a portmap plugin translates it, for {text}; {option}"),
        all => {
            let pods: Vec<String> = all.iter().map(|(pod, ..)| pod.to_string()).collect();
            format!("{ASSUMED}a portmap plugin translates it, for {text}, the first of {}; {option}", pods.join(", "))
        }
    });
    Some(Translation { to: (address, Some(own)), by: TranslatedBy::HostPort(text) })
}

/// The host ports of a pod that lead to it from addresses of one IP version of its node.
pub(crate) fn host_ports(pod: &WorkloadEndpoint, family: Family) -> impl Iterator<Item = &HostPort> {
    let has = pod.addresses.iter().any(|address| Family::of(*address) == family);
    let is_of = move |one: &&HostPort| has && one.address.is_none_or(|address| Family::of(address) == family);
    pod.host_ports.iter().filter(is_of)
}
