//! The answer: a verdict and the path to it. Everything that explains, tests or compares reads these types.

use std::fmt;

use tortie_policy::{Action, Direction, EndpointId, PolicyId};

/// The verdict on the packet on this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether no stage denies it.
    pub allowed: bool,
    /// Whether a denied one is answered (Reject, or a reset for the connection limit) where the kernel can.
    pub rejected: bool,
    /// Whether it continues without connection tracking because an untracked policy allowed it.
    pub untracked: bool,
    /// Every stage that it met, in order. When denied the last one decided.
    pub path: Vec<Step>,
}

/// A point at which an endpoint decides a packet, with the hook of the kernel that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// prerouting raw: the source check of workloads.
    SourceCheck,
    /// prerouting raw: untracked ingress of a host endpoint.
    UntrackedIn,
    /// output raw: untracked egress of a host endpoint.
    UntrackedOut,
    /// prerouting mangle: pre-DNAT ingress of a host endpoint.
    PreDnat,
    /// input filter: egress of the workload that sends to its host.
    WorkloadToHost,
    /// input filter: normal ingress of a host endpoint.
    HostIn,
    /// forward filter: forward ingress of a host endpoint.
    ForwardIn,
    /// forward filter: egress of a workload.
    WorkloadEgress,
    /// forward filter: ingress of a workload.
    WorkloadIngress,
    /// forward filter: forward egress of a host endpoint.
    ForwardOut,
    /// output filter: normal egress of a host endpoint, before a translation elsewhere is known.
    HostOut,
    /// postrouting mangle: normal egress of a host endpoint for translated packets, at their final interface.
    HostOutTranslated,
}

/// The decision in one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Where.
    pub stage: Stage,
    /// The interface it is about.
    pub interface: String,
    /// The endpoint that decides; none where no endpoint governs the interface.
    pub endpoint: Option<EndpointId>,
    /// Towards the endpoint or from it.
    pub direction: Direction,
    /// Everything evaluated before the decision, in order.
    pub entries: Vec<Entry>,
    /// What the stage decided.
    pub decision: Decision,
}

/// One thing that a stage evaluates.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Whether the evaluation got to it; what comes after the decision is only information.
    pub reached: bool,
}

/// What was evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryKind {
    /// A policy of a tier, with each rule that was looked at.
    Policy {
        /// The tier.
        tier: String,
        /// The policy.
        id: PolicyId,
        /// Shown only; what it would have done is in the rules.
        staged: bool,
        /// Its rules of this direction.
        rules: Vec<RuleStep>,
    },
    /// The end of a tier.
    TierEnd {
        /// The tier.
        tier: String,
        /// What its end does in this stage.
        denies: bool,
        /// Why, when not by the tier's own setting: a missing tier, staged policies only, a stage whose tiers never deny.
        note: Option<&'static str>,
    },
    /// A profile.
    Profile {
        /// Its name.
        name: String,
        /// It does not exist, which denies.
        missing: bool,
        /// Its rules of this direction.
        rules: Vec<RuleStep>,
    },
    /// A built-in check that did not decide, in a few words: failsafes, tunnel allowances.
    Builtin(String),
}

/// One rule looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleStep {
    /// Its number in its list, from 1.
    pub number: usize,
    /// What it would do.
    pub action: Action,
    /// Every condition that failed, in the order of the fields; empty if it matched.
    pub mismatches: Vec<Mismatch>,
}

impl RuleStep {
    /// Whether everything in it held.
    pub fn matched(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// A condition of a rule that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The field: `source.selector`, `destination.ports`, `protocol`.
    pub field: &'static str,
    /// In words, with the packet's own value: `port 8080 is not 80`.
    pub text: String,
}

/// What decided a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The outcome for the packet in this stage.
    pub outcome: Outcome,
    /// What decided.
    pub by: DecidedBy,
}

/// What a stage does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It continues with the next stage.
    Pass,
    /// It continues, and the host endpoint's later ingress stages accept it (untracked and pre-DNAT allows).
    Accept,
    /// It is denied.
    Deny,
}

/// What decided.
#[derive(Clone, Debug, PartialEq)]
pub enum DecidedBy {
    /// A rule of a policy.
    Rule {
        /// The tier.
        tier: String,
        /// The policy.
        id: PolicyId,
        /// The rule's number in its list, from 1.
        number: usize,
    },
    /// The end of a tier.
    TierEnd {
        /// The tier.
        tier: String,
    },
    /// A rule of a profile.
    Profile {
        /// The profile.
        name: String,
        /// The rule's number in its list, from 1; none when the profile does not exist.
        number: Option<usize>,
    },
    /// No profile allowed it.
    NoProfile,
    /// A failsafe, as `tcp/22`.
    Failsafe(String),
    /// Established or related, for connection tracking.
    Established,
    /// INVALID for connection tracking.
    Invalid,
    /// The same, since packets of this kind begin no connection: they get on only as part of an open one.
    BeginsNothing,
    /// Something built in: the source check, neighbour discovery, a tunnel allowance, an unknown workload interface,
    /// the workload-to-host action, host to own workload, encapsulation.
    Builtin(Builtin),
    /// No endpoint, or nothing of it in this stage.
    Nothing,
}

/// Built-in decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// The source address belongs to the sending workload.
    SourceOk,
    /// The source address is excepted from the check.
    SourceExcepted,
    /// The source address does not belong to the sending workload.
    SourceWrong,
    /// The destination is an address of the host's loopback interface, and the packet came from elsewhere.
    ToLoopback,
    /// IPv6 neighbour discovery and listener reports.
    NeighbourDiscovery,
    /// DHCP, DNS or OpenStack's metadata server, from a workload to its host.
    OpenStack,
    /// A tunnel packet between nodes.
    TunnelAllowed,
    /// A tunnel packet from or to a stranger.
    TunnelDenied,
    /// An interface with a workload prefix and no endpoint.
    UnknownWorkload,
    /// A host's own packet to its own workload.
    HostToWorkload,
    /// An earlier stage accepted it for this one too.
    AcceptedBefore,
    /// The workload-to-host action.
    HostAction,
    /// VXLAN or IPIP from a workload.
    Encapsulation,
    /// Translated; judged at its final interface.
    TranslatedLater,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::SourceCheck => "source check",
            Stage::UntrackedIn => "untracked in",
            Stage::UntrackedOut => "untracked out",
            Stage::PreDnat => "pre-DNAT in",
            Stage::WorkloadToHost => "egress to its host",
            Stage::HostIn => "ingress",
            Stage::ForwardIn => "forward in",
            Stage::WorkloadEgress | Stage::HostOut => "egress",
            Stage::WorkloadIngress => "ingress",
            Stage::ForwardOut => "forward out",
            Stage::HostOutTranslated => "egress after translation",
        })
    }
}
