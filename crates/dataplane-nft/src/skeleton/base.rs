//! The base chains, stage by stage.

use tortie_nft::{BaseChain, Hook, Verdict};
use tortie_policy::{Family, HostAction};

use super::Plan;
use super::early::{TUNNELS_IN, TUNNELS_OUT, WORKLOAD_NEIGHBOURS, WORKLOAD_OPENSTACK, established_or_related};
use crate::endpoint::{WORKLOADS, exceptions};
use crate::match_expr::{DenyAction, HookInterface, ICMPV6, Side};
use crate::options::TableOptions;
use crate::sets::FAMILIES;
use crate::stage::Stage;
use crate::table_content::{ChainContent, Line, TableContent};

/// The priority of the chains before connection tracking.
pub const RAW: i32 = -300;
/// The priority of the chains before translation.
pub const MANGLE: i32 = -150;
/// The priority of the first chains behind it.
pub const FILTER: i32 = 0;

const SOURCE_CHECK: &str = "source-check";
const WORKLOAD_TO_HOST: &str = "workload-to-host";
const FROM_WORKLOAD: &str = "from-workload";
/// Packets from workloads to the host itself.
const INPUT_FROM_WORKLOAD: &str = "from-workload-in";
const TO_WORKLOAD: &str = "to-workload";
/// The host's own packets that were translated, after routing.
const OUTPUT_TRANSLATED: &str = "output-translated";

/// The base chain that exists with the first host endpoint, whatever its policy.
pub(crate) const WITH_HOST_ENDPOINTS: &str = "forward-in-host";

/// What a workload sends to the host's loopback interface, whose services are for the host alone. Its interface has
/// `route_localnet`, so that packets to the host can be translated there; that comes later.
fn to_loopback() -> Vec<Line> {
    let line = |(family, net): (Family, &str)| {
        let net = net.parse().expect("a net");
        let line = Line::new().family(family).nets(Side::Destination, family, &[net], false);
        line.deny(DenyAction::Drop).note("a loopback address of the host")
    };
    [(Family::V4, "127.0.0.0/8"), (Family::V6, "::1/128")].map(line).into()
}

/// Collects base chains; one without lines is none.
struct Bases<'a> {
    plan: &'a Plan,
    options: &'a TableOptions,
    into: &'a mut TableContent,
}

pub(super) fn render(plan: &Plan, options: &TableOptions, into: &mut TableContent) {
    let mut bases = Bases { plan, options, into };
    bases.start();
    bases.pre_dnat();
    bases.input();
    bases.forward();
    bases.output();
    bases.end();
}

impl Bases<'_> {
    fn base(&mut self, name: &str, hook: Hook, priority: i32, lines: Vec<Line>) {
        if !lines.is_empty() {
            let base = Some(BaseChain::filter(hook, priority.saturating_add(self.options.priority_shift)));
            self.into.chains.insert(name.to_owned(), ChainContent { base, ..ChainContent::new(lines) });
        }
    }

    fn chain(&mut self, name: &str, lines: Vec<Line>) {
        self.into.chains.insert(name.to_owned(), ChainContent::new(lines));
    }

    /// Whose turn it is: named endpoints by interface, then `*`.
    fn dispatch(&self, stage: Stage) -> Vec<Line> {
        let mut lines = vec![Line::new().dispatch(stage.link(), stage.tag())];
        let any = match self.plan.stage(stage).1 {
            Some(Some(program)) => Some(program.clone()),
            Some(None) if matches!(stage, Stage::ForwardIn | Stage::ForwardOut) => Some(stage.nothing()),
            _ => None,
        };
        lines.extend(any.map(|program| Line::new().goto(program).note("host endpoint *")));
        lines
    }

    fn if_workload(&self, link: HookInterface, chain: &str) -> Vec<Line> {
        let prefixes = &self.plan.settings().interface_prefixes;
        prefixes.iter().map(|prefix| Line::new().interface_prefix(link, prefix).goto(chain)).collect()
    }

    /// Takes bits off a packet, if there are any that chains of ours read.
    fn clear(&self, bits: u32) -> Option<Line> {
        (bits != 0).then(|| Line::new().marked(bits, true).mark(bits, false).note("our mark bits are only ours"))
    }

    /// The bits that any packet may get.
    fn verdicts(&self) -> u32 {
        let bits = self.options.bits;
        let bit = |is_used: bool, bit: u32| if is_used { bit } else { 0 };
        bit(self.plan.accepts(), bits.accept) | bit(self.plan.passes, bits.pass)
    }

    fn start(&mut self) {
        let plan = self.plan;
        let mut lines: Vec<Line> = self.clear(self.verdicts()).into_iter().collect();
        if plan.workloads() {
            let mut check = to_loopback();
            if plan.settings().spoofing_allowed {
                for family in FAMILIES {
                    let line = Line::new().family(family);
                    let line = line.interface_peer(HookInterface::In, Side::Source, family, &exceptions(family));
                    check.push(line.count().accept().note("excepted sources"));
                }
            }
            check.push(Line::new().wrong_source().deny(DenyAction::Drop).note("not the workload's own source"));
            self.chain(SOURCE_CHECK, check);
            lines.extend(self.if_workload(HookInterface::In, SOURCE_CHECK));
        }
        if plan.has(Stage::UntrackedIn) {
            lines.extend(self.dispatch(Stage::UntrackedIn));
        }
        self.base("start-in", Hook::Prerouting, RAW, lines);
        let mut lines: Vec<Line> = self.clear(self.verdicts()).into_iter().collect();
        if plan.has(Stage::UntrackedOut) {
            lines.extend(self.dispatch(Stage::UntrackedOut));
        }
        self.base("start-out", Hook::Output, RAW, lines);
    }

    fn accepted(&self) -> Option<Line> {
        let bit = self.options.bits.accept;
        self.plan.accepts().then(|| Line::new().marked(bit, true).count().accept().note("allowed before"))
    }

    fn pre_dnat(&mut self) {
        if self.plan.has(Stage::PreDnat) {
            let mut lines: Vec<Line> = self.accepted().into_iter().collect();
            lines.push(established_or_related());
            lines.extend(self.dispatch(Stage::PreDnat));
            self.base("before-dnat", Hook::Prerouting, MANGLE, lines);
        }
    }

    fn input(&mut self) {
        let plan = self.plan;
        // An interface that is nobody's has no neighbours either.
        let allowances = || {
            let line = Line::new().family(Family::V6).protocol(ICMPV6).interface(HookInterface::In, WORKLOADS);
            let openstack =
                || Line::new().ported(true).interface(HookInterface::In, WORKLOADS).jump(WORKLOAD_OPENSTACK);
            let openstack = plan.settings().openstack.then(openstack);
            std::iter::once(line.jump(WORKLOAD_NEIGHBOURS)).chain(openstack)
        };
        if plan.workloads() {
            let settings = plan.settings();
            let unknown = Line::new().deny(Stage::WorkloadEgress.refuse(settings)).note("unknown workload interface");
            let dispatch = Line::new().dispatch(HookInterface::In, Stage::WorkloadEgress.tag());
            self.chain(FROM_WORKLOAD, vec![dispatch.clone(), unknown.clone()]);
            let unknown_in = Line::new().dispatch(HookInterface::Out, Stage::WorkloadIngress.tag());
            self.chain(TO_WORKLOAD, vec![unknown_in, unknown]);
            self.chain(INPUT_FROM_WORKLOAD, allowances().chain([Line::new().goto(FROM_WORKLOAD)]).collect());
            let lines = self.if_workload(HookInterface::In, INPUT_FROM_WORKLOAD);
            self.base("input-from-workload", Hook::Input, FILTER, lines);
            let action = match settings.host_action {
                HostAction::Drop => Line::new().count().verdict(Verdict::Drop).note("workload to host: Drop"),
                HostAction::Return => Line::new().count().accept().note("workload to host: Return"),
                HostAction::Accept => Line::new().count().accept().note("workload to host: Accept"),
            };
            let known = Line::new().established().accept();
            self.chain(WORKLOAD_TO_HOST, allowances().chain([known, action]).collect());
        }
        let mut lines = self.if_workload(HookInterface::In, WORKLOAD_TO_HOST);
        if self.into.chains.contains_key(TUNNELS_IN) {
            lines.push(Line::new().jump(TUNNELS_IN));
        }
        if plan.has(Stage::HostIn) {
            lines.extend(self.accepted());
            lines.push(established_or_related());
            lines.extend(self.dispatch(Stage::HostIn));
        }
        self.base("input", Hook::Input, FILTER + 1, lines);
    }

    fn forward(&mut self) {
        let plan = self.plan;
        if plan.has(Stage::ForwardIn) {
            let mut lines: Vec<Line> = self.accepted().into_iter().collect();
            lines.push(established_or_related());
            lines.extend(self.dispatch(Stage::ForwardIn));
            self.base(WITH_HOST_ENDPOINTS, Hook::Forward, FILTER, lines);
        }
        let lines = self.if_workload(HookInterface::In, FROM_WORKLOAD);
        self.base("forward-from-workload", Hook::Forward, FILTER + 1, lines);
        let lines = self.if_workload(HookInterface::Out, TO_WORKLOAD);
        self.base("forward-to-workload", Hook::Forward, FILTER + 2, lines);
        if plan.has(Stage::ForwardOut) {
            let mut lines = vec![established_or_related()];
            lines.extend(self.dispatch(Stage::ForwardOut));
            self.base("forward-out-host", Hook::Forward, FILTER + 3, lines);
        }
    }

    fn to_workload_passes(&self) -> Vec<Line> {
        let prefixes = &self.plan.settings().interface_prefixes;
        let line = |prefix: &String| {
            Line::new().interface_prefix(HookInterface::Out, prefix).accept().note("to own workloads")
        };
        prefixes.iter().map(line).collect()
    }

    /// That a packet is translated is read from its connection in both chains, and no mark says it: what others do with the mark
    /// in between changes nothing.
    fn output(&mut self) {
        let plan = self.plan;
        if !plan.has(Stage::HostOut) {
            return;
        }
        let mut lines: Vec<Line> = self.accepted().into_iter().collect();
        lines.push(Line::new().translated().accept().note("translated: asked after routing"));
        lines.extend(self.to_workload_passes());
        if self.into.chains.contains_key(TUNNELS_OUT) {
            lines.push(Line::new().jump(TUNNELS_OUT));
        }
        lines.push(established_or_related());
        lines.extend(self.dispatch(Stage::HostOut));
        self.base("output", Hook::Output, FILTER, lines);
        let mut lines = self.to_workload_passes();
        lines.push(established_or_related());
        lines.extend(self.dispatch(Stage::HostOutTranslated));
        self.chain(OUTPUT_TRANSLATED, lines);
        let translated = Line::new().own().translated().goto(OUTPUT_TRANSLATED);
        self.base("output-late", Hook::Postrouting, MANGLE, vec![translated]);
    }

    fn end(&mut self) {
        let lines: Vec<Line> = self.clear(self.verdicts()).into_iter().collect();
        self.base("end-in", Hook::Input, FILTER + 2, lines.clone());
        self.base("end-out", Hook::Postrouting, MANGLE + 1, lines);
    }
}
