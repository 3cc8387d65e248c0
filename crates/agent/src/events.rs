//! What an agent sends to those who watch it, one line of JSON an event.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// A packet was denied.
    Denied(Box<Denial>),
    /// Packets were denied of which nothing more is known: there were too many.
    NotShown {
        /// How many; none if that is not known.
        packets: Option<u64>,
    },
    /// The status, which changed.
    Status(Box<Status>),
    /// Nothing; the agent still runs.
    Alive,
}

/// A packet that was denied, in the names of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// When, as UTC.
    pub time: String,
    /// The endpoint whose policy denied it; none where no endpoint governs the interface.
    pub endpoint: Option<String>,
    /// `ingress`: towards the endpoint, or `egress`: from it.
    pub direction: Option<String>,
    /// The tier of the policy, or whose end denied.
    pub tier: Option<String>,
    /// The policy or profile: `gnp web`.
    pub policy: Option<String>,
    /// The number of its rule, from 1.
    pub rule: Option<u32>,
    /// What denied, in words.
    pub by: String,
    /// The interface by which it came in; none for the host's own packets.
    pub in_interface: Option<String>,
    /// The interface by which it was to leave; none where that was not decided yet, or for packets to the host.
    pub out_interface: Option<String>,
    /// The protocol: `tcp`, `udp`, `icmp`, or its number.
    pub protocol: String,
    /// Where it came from.
    pub source: IpAddr,
    /// Its source port, if it has one that could be read.
    pub source_port: Option<u16>,
    /// Where it was to go.
    pub destination: IpAddr,
    /// Its destination port.
    pub destination_port: Option<u16>,
    /// The type of ICMP or ICMPv6.
    pub icmp_type: Option<u8>,
    /// Its code.
    pub icmp_code: Option<u8>,
    /// Whether it is a fragment that is not the first; such a packet has no ports.
    #[serde(rename = "laterFragment")]
    pub is_non_first_fragment: bool,
    /// The command that explains the denial; none where no question fits.
    pub explain: Option<String>,
}
