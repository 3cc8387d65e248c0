//! The path of a packet through the base chains of one node.

use std::net::IpAddr;

use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};
use tortie_policy::{Direction, EndpointId, HostAction, Refusal, Settings};

use super::answer::{Answer, DecidedBy, Outcome, Stage, StageResult};
use super::builtin::{self, Decided};
use super::matching::PacketHeader;
use crate::endpoint::{Endpoint, HostState, Place};
use crate::faults;
use crate::program::ProgramId;
use crate::state::State;

pub(super) fn judge(state: &State, packet: &Packet) -> Answer {
    let nothing = HostState::default();
    let host = state.host.as_ref().unwrap_or(&nothing);
    let header = PacketHeader {
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
        transport: packet.transport,
    };
    let mut walk = Walk {
        state,
        host,
        settings: &host.settings,
        packet,
        header,
        tracked: packet.tracking(),
        accept_bit: false,
        untracked: false,
        stages: Vec::new(),
    };
    let allowed = walk.all().is_some();
    let rejected = !allowed && walk.is_answered();
    Answer { allowed, rejected, untracked: walk.untracked, stages: walk.stages }
}

struct Walk<'a> {
    state: &'a State,
    host: &'a HostState,
    settings: &'a Settings,
    packet: &'a Packet,
    header: PacketHeader,
    tracked: Conntrack,
    accept_bit: bool,
    untracked: bool,
    stages: Vec<StageResult>,
}

/// None when the packet was dropped.
type NotDropped<T> = Option<T>;

impl<'a> Walk<'a> {
    fn all(&mut self) -> NotDropped<()> {
        let path = &self.packet.path;
        if let PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. } = path {
            self.raw_prerouting(interface)?;
            self.mangle_prerouting(interface)?;
            self.translate();
        }
        match path {
            PacketPath::Input { interface } => self.input(interface),
            PacketPath::Forward { from, to } => self.forward(from, to),
            PacketPath::Output { interface } => self.output(interface),
        }
    }

    fn raw_prerouting(&mut self, interface: &str) -> NotDropped<()> {
        if self.is_workload(interface) {
            let endpoint = self.workload(interface);
            let decided = builtin::source(self.host, endpoint, self.packet);
            return self.say(Stage::SourceCheck, interface, endpoint, decided).map(drop);
        }
        self.raw(Stage::UntrackedIn, interface, Direction::Ingress)
    }

    fn raw(&mut self, stage: Stage, interface: &str, direction: Direction) -> NotDropped<()> {
        let Some(endpoint) = self.named(interface) else { return Some(()) };
        let Some(program) = *endpoint.programs.untracked.get(direction) else { return Some(()) };
        let early = builtin::neighbours(&self.header, self.packet.hop_limit)
            .or_else(|| builtin::failsafes(self.settings, direction, &self.header, true));
        let decided = early.unwrap_or_else(|| self.run(program, Outcome::Accept));
        if self.say(stage, interface, Some(endpoint), decided)? == Outcome::Accept {
            self.untracked = true;
            self.accept_bit = true;
            self.tracked = Conntrack::Untracked;
        }
        Some(())
    }

    fn mangle_prerouting(&mut self, interface: &str) -> NotDropped<()> {
        let Some((endpoint, program)) = self.pre_dnat(interface).filter(|_| !self.accept_bit) else { return Some(()) };
        let early = builtin::neighbours(&self.header, self.packet.hop_limit)
            .or_else(|| self.flow())
            .or_else(|| builtin::failsafes(self.settings, Direction::Ingress, &self.header, false));
        let decided = early.unwrap_or_else(|| self.run(program, Outcome::Accept));
        self.accept_bit |= self.say(Stage::PreDnat, interface, Some(endpoint), decided)? == Outcome::Accept;
        Some(())
    }

    fn pre_dnat(&self, interface: &str) -> Option<(&'a Endpoint, ProgramId)> {
        let program = |endpoint: &'a Endpoint| endpoint.programs.pre_dnat.map(|program| (endpoint, program));
        let named = self.named(interface);
        if faults::is_on("specific-hides-prednat") && named.is_some() {
            return named.and_then(program);
        }
        named.and_then(program).or_else(|| self.any_host().and_then(program))
    }

    /// What others translate comes first, then floating IPs; says whether anything was translated.
    fn translate(&mut self) -> bool {
        let floating = self.host.nats.get(&self.header.destination).map(|&internal| (internal, None));
        let target: Option<(IpAddr, Option<u16>)> = self.packet.translated.or(floating);
        let Some((address, port)) = target.filter(|_| matches!(self.tracked, Conntrack::New | Conntrack::Established))
        else {
            return false;
        };
        self.header.destination = address;
        if let (Transport::Ports { destination, .. }, Some(port)) = (&mut self.header.transport, port) {
            *destination = port;
        }
        true
    }

    fn input(&mut self, interface: &str) -> NotDropped<()> {
        if self.is_workload(interface) {
            return self.workload_to_host(interface);
        }
        if let Some(decided) = self.state.tunnel_in(self.settings, &self.header) {
            return self.say(Stage::HostIn, interface, None, decided).map(drop);
        }
        self.host_ingress(interface)
    }

    fn host_ingress(&mut self, interface: &str) -> NotDropped<()> {
        let endpoint = self.governing(interface);
        let decided = match endpoint {
            None => (Outcome::Pass, DecidedBy::Nothing),
            Some(_) if self.accept_bit => (Outcome::Pass, DecidedBy::AcceptedBefore),
            Some(endpoint) => self.host_normal(endpoint, Direction::Ingress),
        };
        self.say(Stage::HostIn, interface, endpoint, decided).map(drop)
    }

    fn workload_to_host(&mut self, interface: &str) -> NotDropped<()> {
        let stage = Stage::WorkloadToHost;
        let Some(endpoint) = self.workload(interface) else {
            return self.say(stage, interface, None, (Outcome::Deny, DecidedBy::UnknownWorkload)).map(drop);
        };
        let early = builtin::workload_neighbours(&self.header)
            .or_else(|| builtin::openstack(self.settings, &self.header))
            .or_else(|| self.flow());
        if let Some(decided) = early {
            return self.say(stage, interface, Some(endpoint), decided).map(drop);
        }
        let decided = builtin::encapsulation(self.settings, &self.header)
            .unwrap_or_else(|| self.run(endpoint.programs.normal.egress, Outcome::Pass));
        self.say(stage, interface, Some(endpoint), decided)?;
        if self.settings.host_action == HostAction::Drop {
            return self.say(stage, interface, Some(endpoint), (Outcome::Deny, DecidedBy::HostAction)).map(drop);
        }
        Some(())
    }

    fn forward(&mut self, from: &str, to: &str) -> NotDropped<()> {
        self.host_forward(Stage::ForwardIn, from, Direction::Ingress)?;
        if self.is_workload(from) {
            self.workload_forward(Stage::WorkloadEgress, from, Direction::Egress)?;
        }
        if self.is_workload(to) {
            self.workload_forward(Stage::WorkloadIngress, to, Direction::Ingress)?;
        }
        self.host_forward(Stage::ForwardOut, to, Direction::Egress)
    }

    fn host_forward(&mut self, stage: Stage, interface: &str, direction: Direction) -> NotDropped<()> {
        let Some(endpoint) = self.governing(interface) else { return Some(()) };
        let decided = if self.accept_bit && direction == Direction::Ingress {
            (Outcome::Pass, DecidedBy::AcceptedBefore)
        } else if let Some(decided) = self.flow() {
            decided
        } else {
            let program = *endpoint.programs.forward.get(direction);
            program.map_or((Outcome::Pass, DecidedBy::Nothing), |program| self.run(program, Outcome::Pass))
        };
        self.say(stage, interface, Some(endpoint), decided).map(drop)
    }

    fn workload_forward(&mut self, stage: Stage, interface: &str, direction: Direction) -> NotDropped<()> {
        let endpoint = self.workload(interface);
        let decided = match endpoint {
            None => (Outcome::Deny, DecidedBy::UnknownWorkload),
            Some(endpoint) => self
                .flow()
                .or_else(|| match direction {
                    Direction::Egress => builtin::encapsulation(self.settings, &self.header),
                    Direction::Ingress => None,
                })
                .unwrap_or_else(|| self.run(*endpoint.programs.normal.get(direction), Outcome::Pass)),
        };
        self.say(stage, interface, endpoint, decided).map(drop)
    }

    fn output(&mut self, interface: &str) -> NotDropped<()> {
        self.raw(Stage::UntrackedOut, interface, Direction::Egress)?;
        let translated = self.translate();
        if self.accept_bit {
            return Some(());
        }
        if translated {
            let last = self.packet.translated_interface.as_deref().unwrap_or(interface);
            return self.host_egress(Stage::HostOutTranslated, last);
        }
        if !self.is_workload(interface)
            && let Some(decided) = self.state.tunnel_out(self.settings, &self.header)
        {
            return self.say(Stage::HostOut, interface, None, decided).map(drop);
        }
        self.host_egress(Stage::HostOut, interface)
    }

    fn host_egress(&mut self, stage: Stage, interface: &str) -> NotDropped<()> {
        if self.is_workload(interface) {
            return self.say(stage, interface, None, (Outcome::Pass, DecidedBy::HostToWorkload)).map(drop);
        }
        let endpoint = self.governing(interface);
        let nothing = (Outcome::Pass, DecidedBy::Nothing);
        let decided = endpoint.map_or(nothing, |endpoint| self.host_normal(endpoint, Direction::Egress));
        self.say(stage, interface, endpoint, decided).map(drop)
    }

    fn host_normal(&self, endpoint: &Endpoint, direction: Direction) -> Decided {
        builtin::neighbours(&self.header, self.packet.hop_limit)
            .or_else(|| self.flow())
            .or_else(|| builtin::failsafes(self.settings, direction, &self.header, false))
            .unwrap_or_else(|| self.run(*endpoint.programs.normal.get(direction), Outcome::Pass))
    }

    fn run(&self, program: ProgramId, allowed: Outcome) -> Decided {
        self.state.run(program, &self.header, allowed)
    }

    fn flow(&self) -> Option<Decided> {
        match self.tracked {
            Conntrack::Established => Some((Outcome::Pass, DecidedBy::Established)),
            Conntrack::Invalid if !self.settings.accept_invalid => Some((Outcome::Deny, DecidedBy::Invalid)),
            _ => None,
        }
    }

    fn say(
        &mut self,
        stage: Stage,
        interface: &str,
        endpoint: Option<&Endpoint>,
        (outcome, decided_by): Decided,
    ) -> NotDropped<Outcome> {
        let endpoint: Option<EndpointId> = endpoint.map(|endpoint| endpoint.id.clone());
        self.stages.push(StageResult { stage, interface: interface.to_owned(), endpoint, outcome, decided_by });
        (outcome != Outcome::Deny).then_some(outcome)
    }

    fn is_answered(&self) -> bool {
        let silent = |stage: &StageResult| matches!(stage.decided_by, DecidedBy::HostAction | DecidedBy::TunnelDenied);
        let can = self.stages.last().is_some_and(|last| last.stage.can_reject() && !silent(last));
        can && self.settings.refusal == Refusal::Reject
    }

    fn is_workload(&self, interface: &str) -> bool {
        self.settings.is_workload_interface(interface)
    }

    fn workload(&self, interface: &str) -> Option<&'a Endpoint> {
        self.state.endpoints.get(&Place::Workload(interface.to_owned()))
    }

    fn named(&self, interface: &str) -> Option<&'a Endpoint> {
        self.state.endpoints.get(&Place::Host(interface.to_owned()))
    }

    fn any_host(&self) -> Option<&'a Endpoint> {
        self.state.endpoints.get(&Place::AnyHost)
    }

    fn governing(&self, interface: &str) -> Option<&'a Endpoint> {
        self.named(interface).or_else(|| self.any_host())
    }
}
