//! Walks a packet through a node: the stages at each kernel hook, in the order in which the kernel passes them.
//!
//! A stage is one list of one endpoint's policies (untracked, pre-DNAT, normal, forward) together with what decides
//! before them: connection tracking, failsafes and built-in rules.

use std::net::IpAddr;
use std::rc::Rc;

use tortie_policy::{Direction, EndpointId, HostEndpoint, Settings, Snapshot};

use crate::builtin::{
    failsafe, is_forbidden_encapsulation, is_neighbour_discovery, is_openstack_service, is_workload_discovery,
    source_check, tunnel_in, tunnel_out,
};
use crate::endpoints::Endpoints;
use crate::governing::{PolicyList, Subject, TierView};
use crate::matching::PacketHeader;
use crate::members::AddressOwners;
use crate::policies::{Asked, ask};
use crate::verdict::{Builtin, DecidedBy, Decision, Entry, EntryKind, Outcome, Stage, Step, Verdict};
use tortie_policy::packet::{Conntrack, Host, Packet, PacketPath, Transport};

/// Judges a packet on one node, with the reasons.
pub fn judge(snapshot: &Snapshot, host: &Host, packet: &Packet) -> Verdict {
    judge_with(snapshot, host, packet, &mut RuleByRule { lookup: snapshot, reasons: true })
}

/// Judges a packet on one node, with what decided. Rules that do not match have one reason without a text, and those
/// behind the decision are left out: many packets are judged in a fraction of the time.
pub fn decide(snapshot: &Snapshot, host: &Host, packet: &Packet) -> Verdict {
    judge_with(snapshot, host, packet, &mut RuleByRule { lookup: snapshot, reasons: false })
}

/// What the policies and profiles of endpoints say, for [`judge_with`].
pub trait Policies {
    /// Whether the path has texts about what did not decide.
    fn gives_reasons(&self) -> bool {
        false
    }

    /// Whether an endpoint has any enforced policy in a list and direction.
    fn has_policy(&mut self, subject: &Subject, list: PolicyList, direction: Direction) -> bool;

    /// What the policies of an endpoint decide about a packet that nothing has decided before them.
    fn decide(&mut self, subject: &Subject, list: PolicyList, direction: Direction, header: &PacketHeader) -> Decision;

    /// Everything asked, in order, and the decision. With `early` something before the policies has decided the packet.
    fn ask(
        &mut self,
        subject: &Subject,
        list: PolicyList,
        direction: Direction,
        header: &PacketHeader,
        early: Option<Decision>,
    ) -> (Vec<Entry>, Decision) {
        (Vec::new(), early.unwrap_or_else(|| self.decide(subject, list, direction, header)))
    }
}

/// Where the tiers of endpoints and the owners of addresses are found.
pub(crate) trait Lookup<'a> {
    fn snapshot(&self) -> &'a Snapshot;

    /// The tiers of an endpoint in a list and direction, in order.
    fn tiers(&self, subject: &Subject, list: PolicyList, direction: Direction) -> Rc<Vec<TierView<'a>>>;

    /// Everything that has an address.
    fn owners_of(&self, address: IpAddr) -> Rc<AddressOwners<'a>>;
}

/// A snapshot alone, for one packet.
impl<'a> Lookup<'a> for &'a Snapshot {
    fn snapshot(&self) -> &'a Snapshot {
        self
    }

    fn tiers(&self, subject: &Subject, list: PolicyList, direction: Direction) -> Rc<Vec<TierView<'a>>> {
        Rc::new(subject.tiers(self, list, direction))
    }

    fn owners_of(&self, address: IpAddr) -> Rc<AddressOwners<'a>> {
        Rc::new(AddressOwners::new(self, address))
    }
}

/// The policies of a snapshot, evaluated rule by rule.
pub(crate) struct RuleByRule<L> {
    pub(crate) lookup: L,
    /// Whether the path has the reasons why rules do not match.
    pub(crate) reasons: bool,
}

impl<'a, L: Lookup<'a>> Policies for RuleByRule<L> {
    fn gives_reasons(&self) -> bool {
        self.reasons
    }

    fn has_policy(&mut self, subject: &Subject, list: PolicyList, direction: Direction) -> bool {
        subject.has_policy_in(&self.lookup.tiers(subject, list, direction))
    }

    fn decide(&mut self, subject: &Subject, list: PolicyList, direction: Direction, header: &PacketHeader) -> Decision {
        self.ask(subject, list, direction, header, None).1
    }

    fn ask(
        &mut self,
        subject: &Subject,
        list: PolicyList,
        direction: Direction,
        header: &PacketHeader,
        early: Option<Decision>,
    ) -> (Vec<Entry>, Decision) {
        if let (Some(early), false) = (&early, self.reasons) {
            return (Vec::new(), early.clone());
        }
        let tiers = self.lookup.tiers(subject, list, direction);
        let ends = [header.source, header.destination].map(|address| self.lookup.owners_of(address));
        let ends = ends.each_ref().map(|end| &**end);
        let snapshot = self.lookup.snapshot();
        ask(&Asked { snapshot, subject, tiers: &tiers, list, direction, header, ends }, early, self.reasons)
    }
}

/// [`judge()`], where the policies and profiles of endpoints are asked elsewhere. The snapshot is asked for everything else:
/// endpoints and their profiles' labels, settings and nodes.
pub fn judge_with(snapshot: &Snapshot, host: &Host, packet: &Packet, policies: &mut dyn Policies) -> Verdict {
    walk(&Endpoints::unsorted(snapshot), host, packet, policies)
}

/// [`judge_with`], among these endpoints.
pub(crate) fn walk(endpoints: &Endpoints<'_>, host: &Host, packet: &Packet, policies: &mut dyn Policies) -> Verdict {
    let mut way = Walk::new(endpoints, host, packet, policies);
    // The first stage that denies ends the way.
    let _ = way.walk();
    let denied = way.path.last().is_some_and(|step| step.decision.outcome == Outcome::Deny);
    let rejected = denied && way.rejects();
    Verdict { allowed: !denied, rejected, untracked: way.untracked, path: way.path }
}

/// The packet was denied; the last step of the path says by what.
struct Denied;

struct Walk<'a> {
    snapshot: &'a Snapshot,
    endpoints: &'a Endpoints<'a>,
    policies: &'a mut dyn Policies,
    host: &'a Host,
    settings: &'a Settings,
    packet: &'a Packet,
    /// The packet as it arrived, and later as it was translated.
    header: PacketHeader,
    conntrack: Conntrack,
    /// An untracked or pre-DNAT policy allowed it, which answers for the host endpoint's later ingress stages.
    accepted: bool,
    untracked: bool,
    path: Vec<Step>,
}

impl<'a> Walk<'a> {
    fn new(endpoints: &'a Endpoints<'a>, host: &'a Host, packet: &'a Packet, policies: &'a mut dyn Policies) -> Self {
        let snapshot = endpoints.snapshot;
        let header = PacketHeader {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            transport: packet.transport,
        };
        Self {
            snapshot,
            endpoints,
            policies,
            host,
            settings: snapshot.settings(&host.node),
            packet,
            header,
            conntrack: packet.tracking(),
            accepted: false,
            untracked: false,
            path: Vec::new(),
        }
    }

    fn walk(&mut self) -> Result<(), Denied> {
        match &self.packet.path {
            PacketPath::Input { interface } => {
                self.prerouting(interface)?;
                self.input(interface)
            }
            PacketPath::Forward { from, to } => {
                self.prerouting(from)?;
                self.forward(from, to)
            }
            PacketPath::Output { interface } => self.output(interface),
        }
    }

    fn prerouting(&mut self, interface: &str) -> Result<(), Denied> {
        if self.settings.is_workload_interface(interface) {
            self.source_check(interface)?;
        } else {
            self.untracked_stage(Stage::UntrackedIn, interface, Direction::Ingress)?;
        }
        self.pre_dnat(interface)?;
        self.translate();
        Ok(())
    }

    fn source_check(&mut self, interface: &str) -> Result<(), Denied> {
        let endpoint = self.endpoints.workload_endpoint(self.host, interface);
        let answer = source_check(self.settings, self.host, endpoint, self.packet);
        let wrong = matches!(answer, Builtin::SourceWrong | Builtin::UnknownWorkload | Builtin::ToLoopback);
        let id = endpoint.map(|endpoint| EndpointId::Workload(endpoint.id.clone()));
        self.builtin(Stage::SourceCheck, interface, id, Direction::Egress, answer, wrong)
    }

    /// Untracked policy, of the endpoint named for the interface only: `*` has none.
    fn untracked_stage(&mut self, stage: Stage, interface: &str, direction: Direction) -> Result<(), Denied> {
        let Some(endpoint) = self.endpoints.specific_host_endpoint(self.host, interface) else { return Ok(()) };
        let subject = Subject::host(self.snapshot, endpoint);
        if !self.policies.has_policy(&subject, PolicyList::Untracked, direction) {
            return Ok(());
        }
        let early = self.discovery().or_else(|| self.failsafe(direction, true));
        let outcome = self.stage(stage, interface, &subject, PolicyList::Untracked, direction, early)?;
        if outcome == Outcome::Accept {
            self.accepted = true;
            self.untracked = true;
            self.conntrack = Conntrack::Untracked;
        }
        Ok(())
    }

    /// The interface's own endpoint if it has pre-DNAT policy, else `*`.
    fn pre_dnat(&mut self, interface: &str) -> Result<(), Denied> {
        if self.accepted {
            return Ok(());
        }
        let snapshot = self.snapshot;
        let mut with_policy = |endpoint: &&HostEndpoint| {
            self.policies.has_policy(&Subject::host(snapshot, endpoint), PolicyList::PreDnat, Direction::Ingress)
        };
        let specific = self.endpoints.specific_host_endpoint(self.host, interface).filter(&mut with_policy);
        let endpoint = specific.or_else(|| self.endpoints.wildcard_host_endpoint(self.host).filter(with_policy));
        let Some(endpoint) = endpoint else { return Ok(()) };
        let subject = Subject::host(self.snapshot, endpoint);
        let early =
            self.discovery().or_else(|| self.connection_state()).or_else(|| self.failsafe(Direction::Ingress, false));
        let outcome =
            self.stage(Stage::PreDnat, interface, &subject, PolicyList::PreDnat, Direction::Ingress, early)?;
        self.accepted |= outcome == Outcome::Accept;
        Ok(())
    }

    /// Destination NAT: what a foreign rule does, else a floating IP of a workload of this node. Nothing that is of no
    /// connection is translated.
    fn translate(&mut self) -> bool {
        if matches!(self.conntrack, Conntrack::Untracked | Conntrack::Invalid) {
            return false;
        }
        let floating = || {
            self.endpoints
                .workloads_of(&self.host.node)
                .filter(|_| self.settings.floating_ips)
                .flat_map(|endpoint| &endpoint.nats)
                .filter(|nat| nat.external == self.header.destination)
                .map(|nat| nat.internal)
                .min()
        };
        let (destination, port): (IpAddr, Option<u16>) = match self.packet.translated {
            Some(translated) => translated,
            None => match floating() {
                Some(internal) => (internal, None),
                None => return false,
            },
        };
        self.header.destination = destination;
        if let (Some(port), Transport::Ports { source, .. }) = (port, self.header.transport) {
            self.header.transport = Transport::Ports { source, destination: port };
        }
        true
    }

    fn input(&mut self, interface: &str) -> Result<(), Denied> {
        if self.settings.is_workload_interface(interface) {
            return self.workload_to_host(interface);
        }
        if let Some(answer) = tunnel_in(self.snapshot, self.settings, &self.header) {
            let denied = answer == Builtin::TunnelDenied;
            return self.builtin(Stage::HostIn, interface, None, Direction::Ingress, answer, denied);
        }
        let Some(endpoint) = self.endpoints.host_endpoint(self.host, interface) else {
            return self.nothing(Stage::HostIn, interface, Direction::Ingress);
        };
        if self.accepted {
            let id = Some(EndpointId::Host(endpoint.name.clone()));
            return self.builtin(Stage::HostIn, interface, id, Direction::Ingress, Builtin::AcceptedBefore, false);
        }
        self.host_stage(Stage::HostIn, interface, endpoint, Direction::Ingress)
    }

    fn workload_to_host(&mut self, interface: &str) -> Result<(), Denied> {
        let stage = Stage::WorkloadToHost;
        let Some(endpoint) = self.endpoints.workload_endpoint(self.host, interface) else {
            return self.builtin(stage, interface, None, Direction::Egress, Builtin::UnknownWorkload, true);
        };
        let subject = Subject::workload(self.snapshot, endpoint);
        let early = if is_workload_discovery(&self.header) {
            Some(pass(DecidedBy::Builtin(Builtin::NeighbourDiscovery)))
        } else if is_openstack_service(self.settings, &self.header) {
            Some(pass(DecidedBy::Builtin(Builtin::OpenStack)))
        } else {
            self.connection_state().or_else(|| self.encapsulation())
        };
        // Replies to the host's own connections must not meet a Drop.
        let settled = early.is_some();
        self.stage(stage, interface, &subject, PolicyList::Normal, Direction::Egress, early)?;
        if !settled && self.settings.host_action == tortie_policy::HostAction::Drop {
            let id = Some(subject.id);
            return self.builtin(stage, interface, id, Direction::Egress, Builtin::HostAction, true);
        }
        Ok(())
    }

    fn forward(&mut self, from: &str, to: &str) -> Result<(), Denied> {
        if !self.accepted {
            self.forward_stage(Stage::ForwardIn, from, Direction::Ingress)?;
        } else if let Some(endpoint) = self.endpoints.host_endpoint(self.host, from) {
            let id = Some(EndpointId::Host(endpoint.name.clone()));
            self.builtin(Stage::ForwardIn, from, id, Direction::Ingress, Builtin::AcceptedBefore, false)?;
        }
        if self.settings.is_workload_interface(from) {
            self.workload_stage(Stage::WorkloadEgress, from, Direction::Egress)?;
        }
        if self.settings.is_workload_interface(to) {
            self.workload_stage(Stage::WorkloadIngress, to, Direction::Ingress)?;
        }
        self.forward_stage(Stage::ForwardOut, to, Direction::Egress)
    }

    /// Whoever governs the interface; without forward policy in this direction only INVALID is denied.
    fn forward_stage(&mut self, stage: Stage, interface: &str, direction: Direction) -> Result<(), Denied> {
        let Some(endpoint) = self.endpoints.host_endpoint(self.host, interface) else { return Ok(()) };
        let subject = Subject::host(self.snapshot, endpoint);
        let early = self.connection_state();
        self.stage(stage, interface, &subject, PolicyList::Forward, direction, early).map(drop)
    }

    fn workload_stage(&mut self, stage: Stage, interface: &str, direction: Direction) -> Result<(), Denied> {
        let Some(endpoint) = self.endpoints.workload_endpoint(self.host, interface) else {
            return self.builtin(stage, interface, None, direction, Builtin::UnknownWorkload, true);
        };
        let subject = Subject::workload(self.snapshot, endpoint);
        let encapsulation = || if direction == Direction::Egress { self.encapsulation() } else { None };
        let early = self.connection_state().or_else(encapsulation);
        self.stage(stage, interface, &subject, PolicyList::Normal, direction, early).map(drop)
    }

    fn output(&mut self, interface: &str) -> Result<(), Denied> {
        self.untracked_stage(Stage::UntrackedOut, interface, Direction::Egress)?;
        let translated = self.translate();
        if self.accepted {
            return Ok(());
        }
        if translated {
            let last = self.packet.leaves_by(true).unwrap_or(interface).to_owned();
            return self.host_egress(Stage::HostOutTranslated, &last);
        }
        if !self.settings.is_workload_interface(interface) && tunnel_out(self.snapshot, self.settings, &self.header) {
            let allowed = Builtin::TunnelAllowed;
            return self.builtin(Stage::HostOut, interface, None, Direction::Egress, allowed, false);
        }
        self.host_egress(Stage::HostOut, interface)
    }

    fn host_egress(&mut self, stage: Stage, interface: &str) -> Result<(), Denied> {
        if self.settings.is_workload_interface(interface) {
            return self.builtin(stage, interface, None, Direction::Egress, Builtin::HostToWorkload, false);
        }
        let Some(endpoint) = self.endpoints.host_endpoint(self.host, interface) else {
            return self.nothing(stage, interface, Direction::Egress);
        };
        self.host_stage(stage, interface, endpoint, Direction::Egress)
    }

    /// Normal policy of a host endpoint.
    fn host_stage(
        &mut self,
        stage: Stage,
        interface: &str,
        endpoint: &HostEndpoint,
        direction: Direction,
    ) -> Result<(), Denied> {
        let subject = Subject::host(self.snapshot, endpoint);
        let early = self.discovery().or_else(|| self.connection_state()).or_else(|| self.failsafe(direction, false));
        self.stage(stage, interface, &subject, PolicyList::Normal, direction, early).map(drop)
    }

    fn discovery(&self) -> Option<Decision> {
        is_neighbour_discovery(&self.header, self.packet.hop_limit)
            .then(|| pass(DecidedBy::Builtin(Builtin::NeighbourDiscovery)))
    }

    /// What connection tracking decides; untracked packets are neither established nor INVALID.
    fn connection_state(&self) -> Option<Decision> {
        match self.conntrack {
            Conntrack::Established => Some(pass(DecidedBy::Established)),
            Conntrack::Invalid if !self.settings.accept_invalid => {
                let by = if self.packet.begins_nothing() { DecidedBy::BeginsNothing } else { DecidedBy::Invalid };
                Some(Decision { outcome: Outcome::Deny, by })
            }
            _ => None,
        }
    }

    fn failsafe(&self, direction: Direction, raw: bool) -> Option<Decision> {
        failsafe(self.settings, direction, &self.header, raw).map(|text| pass(DecidedBy::Failsafe(text)))
    }

    fn encapsulation(&self) -> Option<Decision> {
        is_forbidden_encapsulation(self.settings, &self.header)
            .then_some(Decision { outcome: Outcome::Deny, by: DecidedBy::Builtin(Builtin::Encapsulation) })
    }

    /// One stage of an endpoint: what decides before policy, otherwise its policies.
    fn stage(
        &mut self,
        stage: Stage,
        interface: &str,
        subject: &Subject,
        list: PolicyList,
        direction: Direction,
        early: Option<Decision>,
    ) -> Result<Outcome, Denied> {
        let (entries, decision) = self.policies.ask(subject, list, direction, &self.header, early);
        let (entries, decision) = (self.with_failsafes(entries, &decision, stage, direction), decision);
        let outcome = decision.outcome;
        self.path.push(Step {
            stage,
            interface: interface.to_owned(),
            endpoint: Some(subject.id.clone()),
            direction,
            entries,
            decision,
        });
        if outcome == Outcome::Deny { Err(Denied) } else { Ok(outcome) }
    }

    /// Says that the failsafes were asked, where they were and did not decide.
    fn with_failsafes(
        &self,
        entries: Vec<Entry>,
        decision: &Decision,
        stage: Stage,
        direction: Direction,
    ) -> Vec<Entry> {
        let asked = matches!(
            stage,
            Stage::UntrackedIn
                | Stage::UntrackedOut
                | Stage::PreDnat
                | Stage::HostIn
                | Stage::HostOut
                | Stage::HostOutTranslated
        ) && !matches!(
            decision.by,
            DecidedBy::Failsafe(_)
                | DecidedBy::Established
                | DecidedBy::Invalid
                | DecidedBy::BeginsNothing
                | DecidedBy::Builtin(_)
        );
        if !asked || !self.policies.gives_reasons() {
            return entries;
        }
        let text = crate::failsafe_text::failsafes_text(self.settings, direction, &self.header);
        let first = Entry { kind: EntryKind::Builtin(text), reached: true };
        std::iter::once(first).chain(entries).collect()
    }

    fn builtin(
        &mut self,
        stage: Stage,
        interface: &str,
        endpoint: Option<EndpointId>,
        direction: Direction,
        answer: Builtin,
        denied: bool,
    ) -> Result<(), Denied> {
        let outcome = if denied { Outcome::Deny } else { Outcome::Pass };
        let decision = Decision { outcome, by: DecidedBy::Builtin(answer) };
        self.path.push(Step {
            stage,
            interface: interface.to_owned(),
            endpoint,
            direction,
            entries: Vec::new(),
            decision,
        });
        if denied { Err(Denied) } else { Ok(()) }
    }

    fn nothing(&mut self, stage: Stage, interface: &str, direction: Direction) -> Result<(), Denied> {
        let decision = pass(DecidedBy::Nothing);
        let interface = interface.to_owned();
        self.path.push(Step { stage, interface, endpoint: None, direction, entries: Vec::new(), decision });
        Ok(())
    }

    /// Whether the refusal is answered: only where the kernel can, and never for what is always dropped.
    fn rejects(&self) -> bool {
        let reject = self.settings.refusal == tortie_policy::Refusal::Reject;
        self.path.last().is_some_and(|step| {
            let silent =
                matches!(
                    step.stage,
                    Stage::SourceCheck
                        | Stage::UntrackedIn
                        | Stage::UntrackedOut
                        | Stage::PreDnat
                        | Stage::HostOutTranslated
                ) || matches!(step.decision.by, DecidedBy::Builtin(Builtin::HostAction | Builtin::TunnelDenied));
            reject && !silent
        })
    }
}

fn pass(by: DecidedBy) -> Decision {
    Decision { outcome: Outcome::Pass, by }
}
