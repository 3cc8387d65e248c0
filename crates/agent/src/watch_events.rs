//! What `tortie watch` receives over the local socket, each a line of JSON: a status change, a denied packet. The names of log
//! lines are in `log_event`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum WatchEvent {
    /// A packet was denied.
    Denied(Box<Denial>),
    /// Packets were denied that are not shown, because there were too many.
    NotShown {
        /// Their number; none if it is not known.
        packets: Option<u64>,
    },
    /// The status changed; this is the new one.
    Status(Box<Status>),
    /// The agent still runs; nothing happened.
    Alive,
}

/// A denied packet, with the names of endpoint, policy and rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// The time, in UTC.
    pub time: String,
    /// The endpoint whose policy denied it; none where no endpoint governs the interface.
    pub endpoint: Option<String>,
    /// `ingress`: towards the endpoint, or `egress`: from it.
    pub direction: Option<String>,
    /// The tier of the policy, or the tier whose end denied it.
    pub tier: Option<String>,
    /// The policy or profile: `gnp web`.
    pub policy: Option<String>,
    /// The number of its rule, from 1.
    pub rule: Option<u32>,
    /// What denied it, in words.
    pub by: String,
    /// The interface on which it arrived; none for the host's own packets.
    pub in_interface: Option<String>,
    /// The interface on which it would leave; none where that was not decided yet, or for packets to the host.
    pub out_interface: Option<String>,
    /// The protocol: `tcp`, `udp`, `icmp`, or its number.
    pub protocol: String,
    /// The source address.
    pub source: IpAddr,
    /// Its source port, if it has one that could be read.
    pub source_port: Option<u16>,
    /// The destination address.
    pub destination: IpAddr,
    /// Its destination port.
    pub destination_port: Option<u16>,
    /// The type of ICMP or ICMPv6.
    pub icmp_type: Option<u8>,
    /// Its code.
    pub icmp_code: Option<u8>,
    /// Whether it is a non-first fragment, which has no ports.
    #[serde(rename = "laterFragment")]
    pub is_non_first_fragment: bool,
    /// The command that explains the denial; none if `explain` cannot be asked about such a packet.
    pub explain: Option<String>,
}
