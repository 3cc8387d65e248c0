//! The verdict on a packet, stage by stage, and what decided.

use tortie_policy::{EndpointId, PolicyId};

/// The answer to one packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// It gets past every stage.
    pub allowed: bool,
    /// It is denied, with an answer to the sender.
    pub rejected: bool,
    /// It continues without connection tracking.
    pub untracked: bool,
    /// Every stage that decided something, in order.
    pub stages: Vec<StageResult>,
}

/// The result of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageResult {
    /// Where.
    pub stage: Stage,
    /// The interface it is about.
    pub interface: String,
    /// The endpoint whose policy decided, if one did.
    pub endpoint: Option<EndpointId>,
    /// The outcome.
    pub outcome: Outcome,
    /// What decided.
    pub decided_by: DecidedBy,
}

/// The base chains and, in the shared ones, the parts that are stages of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of the chains
pub enum Stage {
    SourceCheck,
    UntrackedIn,
    UntrackedOut,
    PreDnat,
    WorkloadToHost,
    HostIn,
    ForwardIn,
    WorkloadEgress,
    WorkloadIngress,
    ForwardOut,
    HostOut,
    HostOutTranslated,
}

impl Stage {
    /// Whether a refusal can be answered from here: not from raw, nor before or after routing.
    pub(super) fn can_reject(self) -> bool {
        use Stage::{HostOutTranslated, PreDnat, SourceCheck, UntrackedIn, UntrackedOut};
        !matches!(self, SourceCheck | UntrackedIn | UntrackedOut | PreDnat | HostOutTranslated)
    }
}

/// The outcome of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On to the next stage.
    Pass,
    /// On, with the accept bit.
    Accept,
    /// No further.
    Deny,
}

/// What decided.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // said by the names
pub enum DecidedBy {
    Rule { tier: String, id: PolicyId, number: usize },
    TierEnd { tier: String },
    Profile { name: String, number: Option<usize> },
    NoProfile,
    Failsafe,
    Established,
    Invalid,
    SourceOk,
    SourceExcepted,
    SourceWrong,
    ToLoopback,
    NeighbourDiscovery,
    OpenStack,
    TunnelAllowed,
    TunnelDenied,
    UnknownWorkload,
    HostToWorkload,
    AcceptedBefore,
    HostAction,
    Encapsulation,
    Nothing,
}
