//! The stages at which the policies of an endpoint are asked.
//!
//! Each is a base chain, and `accept` ends only the base chain that it is in; so an allow is `accept` and no mark carries a
//! verdict on, with the one exception that [`Allow`] tells.

use tortie_dataplane::{Endpoint, Place, ProgramId};
use tortie_policy::{Refusal, Settings};

use crate::match_expr::{DenyAction, HookInterface};

/// A stage: a base chain in which the policies of an endpoint are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    UntrackedIn,
    UntrackedOut,
    PreDnat,
    HostIn,
    HostOut,
    /// The host's own packets that were translated, after routing.
    HostOutTranslated,
    ForwardIn,
    ForwardOut,
    WorkloadEgress,
    WorkloadIngress,
}

/// What a rule's Allow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Allow {
    /// The packet is past this stage.
    Accept,
    /// It also is past the later ingress stages of host endpoints.
    Mark,
    /// Accepts the packet, and its flow is not tracked.
    Notrack,
}

/// A rendering variant: how the rules of a list act. Lists that different stages ask may have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Variant {
    pub(crate) allow: Allow,
    pub(crate) refuse: DenyAction,
}

impl Stage {
    pub(crate) const ALL: [Self; 10] = [
        Self::UntrackedIn,
        Self::UntrackedOut,
        Self::PreDnat,
        Self::HostIn,
        Self::HostOut,
        Self::HostOutTranslated,
        Self::ForwardIn,
        Self::ForwardOut,
        Self::WorkloadEgress,
        Self::WorkloadIngress,
    ];

    /// What its map and its chains are called.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::UntrackedIn => "untracked-in",
            Self::UntrackedOut => "untracked-out",
            Self::PreDnat => "pre-dnat",
            Self::HostIn => "host-in",
            Self::HostOut => "host-out",
            Self::HostOutTranslated => "host-out-late",
            Self::ForwardIn => "forward-in",
            Self::ForwardOut => "forward-out",
            Self::WorkloadEgress => "workload-out",
            Self::WorkloadIngress => "workload-in",
        }
    }

    /// The chain of what is decided before any policy.
    pub(crate) fn early(self) -> String {
        format!("{}/early", self.tag())
    }

    /// The chain of an endpoint that governs an interface and has no policy here.
    pub(crate) fn nothing(self) -> String {
        format!("{}/nothing", self.tag())
    }

    /// The interface that says whose turn it is.
    pub(crate) fn link(self) -> HookInterface {
        match self {
            Self::UntrackedIn | Self::PreDnat | Self::HostIn | Self::ForwardIn | Self::WorkloadEgress => {
                HookInterface::In
            }
            Self::UntrackedOut | Self::HostOut | Self::HostOutTranslated | Self::ForwardOut | Self::WorkloadIngress => {
                HookInterface::Out
            }
        }
    }

    /// How a packet is denied here: the kernel answers only where it can.
    pub(crate) fn refuse(self, settings: &Settings) -> DenyAction {
        match self {
            Self::UntrackedIn | Self::UntrackedOut | Self::PreDnat | Self::HostOutTranslated => DenyAction::Drop,
            _ => refuse(settings),
        }
    }

    pub(crate) fn variant(self, settings: &Settings) -> Variant {
        let allow = match self {
            Self::UntrackedIn | Self::UntrackedOut => Allow::Notrack,
            Self::PreDnat => Allow::Mark,
            _ => Allow::Accept,
        };
        Variant { allow, refuse: self.refuse(settings) }
    }

    /// The stage whose chains this one uses: two that come to the same share them.
    pub(crate) fn chains(self, settings: &Settings) -> Self {
        match self {
            Self::HostOutTranslated if refuse(settings) == DenyAction::Drop => Self::HostOut,
            other => other,
        }
    }

    /// Whether an endpoint in this place is evaluated here.
    pub(crate) fn is_at(self, place: &Place) -> bool {
        match self {
            Self::WorkloadEgress | Self::WorkloadIngress => matches!(place, Place::Workload(_)),
            // `*` has no untracked policy.
            Self::UntrackedIn | Self::UntrackedOut => matches!(place, Place::Host(_)),
            _ => !matches!(place, Place::Workload(_)),
        }
    }

    /// The program of an endpoint for a place where it is evaluated.
    pub(crate) fn program(self, endpoint: &Endpoint) -> Option<ProgramId> {
        let programs = &endpoint.programs;
        match self {
            Self::UntrackedIn => programs.untracked.ingress,
            Self::UntrackedOut => programs.untracked.egress,
            Self::PreDnat => programs.pre_dnat,
            Self::HostIn | Self::WorkloadIngress => Some(programs.normal.ingress),
            Self::HostOut | Self::HostOutTranslated | Self::WorkloadEgress => Some(programs.normal.egress),
            Self::ForwardIn => programs.forward.ingress,
            Self::ForwardOut => programs.forward.egress,
        }
    }
}

impl Variant {
    /// What the names of a rendering end in; that of most lists ends in nothing.
    pub(crate) fn suffix(self, settings: &Settings) -> &'static str {
        match self.allow {
            Allow::Notrack => "/untracked",
            Allow::Mark => "/pre-dnat",
            Allow::Accept if self.refuse == refuse(settings) => "",
            Allow::Accept => "/silent",
        }
    }
}

/// How packets are denied where the kernel can answer.
pub(crate) fn refuse(settings: &Settings) -> DenyAction {
    match settings.refusal {
        Refusal::Drop => DenyAction::Drop,
        Refusal::Reject => DenyAction::Reject,
    }
}
