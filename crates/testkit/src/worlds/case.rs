//! One case: what happens, and which packets are tried after every flush. Written as JSON.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};

use super::{objects, packets};
use tortie_random::Random;

/// A history and packets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The seed that it came from.
    pub seed: u64,
    /// What happens.
    pub steps: Vec<Step>,
    /// What is tried after every flush.
    pub probes: Vec<Probe>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// A resource is written: `kind`, `namespace`, `name`, `labels`, `spec`.
    Put(Value),
    /// A resource goes, named like the one that was put.
    Delete(Value),
    /// The interfaces of the node are these: name and addresses.
    Links(Vec<(String, Vec<IpAddr>)>),
    /// Everything so far takes effect.
    Flush,
}

/// A packet, in a form that can be written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// From where.
    pub source: IpAddr,
    /// To where.
    pub destination: IpAddr,
    /// The protocol's number.
    pub protocol: u8,
    /// Source and destination port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<[u16; 2]>,
    /// ICMP type and code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<[u8; 2]>,
    /// Comes in here; none for the host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Leaves here; none for what the host takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `new`, `established`, `invalid` or `untracked`.
    pub state: String,
    /// A foreign translation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translated: Option<(IpAddr, Option<u16>)>,
    /// Where it leaves after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translated_to: Option<String>,
    /// What the routes say of its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_route_ok: Option<bool>,
    /// Its hop limit.
    pub hop_limit: u8,
}

impl Case {
    /// The case of a seed: a store filled at once, then changed step by step.
    pub fn random(seed: u64) -> Case {
        let mut random = Random::new(seed);
        let steps = objects::history(&mut random);
        let probes = packets::probes(&mut random, &steps);
        Case { seed, steps, probes }
    }

    /// As a file has it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Probe {
    /// The packet.
    pub fn packet(&self) -> Packet {
        Packet {
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            transport: match (self.ports, self.icmp) {
                (Some([source, destination]), _) => Transport::Ports { source, destination },
                (None, Some([kind, code])) => Transport::Icmp { kind, code },
                (None, None) => Transport::Opaque,
            },
            path: match (self.from.clone(), self.to.clone()) {
                (Some(from), Some(to)) => PacketPath::Forward { from, to },
                (Some(interface), None) => PacketPath::Input { interface },
                (None, interface) => PacketPath::Output { interface: interface.unwrap_or_default() },
            },
            translated: self.translated,
            translated_interface: self.translated_to.clone(),
            conntrack: match self.state.as_str() {
                "established" => Conntrack::Established,
                "invalid" => Conntrack::Invalid,
                "untracked" => Conntrack::Untracked,
                _ => Conntrack::New,
            },
            source_route_ok: self.source_route_ok,
            hop_limit: self.hop_limit,
        }
    }
}
