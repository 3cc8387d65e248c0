//! The answer as numbered steps, in the user's own names.

use std::fmt::Write as _;
use std::net::IpAddr;

use tortie_eval::{
    Builtin, Conntrack, DecidedBy, Entry, EntryKind, Mismatch, Outcome, PacketPath, RuleStep, Stage, Step, Transport,
    protocol_name,
};
use tortie_policy::{Action, Direction, EndpointId, GovernedInterfaces, Settings, Snapshot, WorkloadId};

use crate::answer::{Answer, Hop, PossiblePath};
use crate::interfaces::ASSUMED;
use crate::topology::{Location, is_unknown};
use crate::translation::TranslatedBy;

/// Width of the column that says what is asked.
const LABEL: usize = 28;

/// The whole answer: what the packet is, every step, and one last line.
pub fn render(snapshot: &Snapshot, answer: &Answer) -> String {
    let mut text = header(snapshot, answer);
    for note in answer.notes.iter().chain(&answer.others.notes) {
        let _ = writeln!(text, "note: {note}");
    }
    if answer.paths.is_empty() {
        steps_text(&mut text, snapshot, &answer.hops);
    }
    for path in &answer.paths {
        let _ = writeln!(text, "── if {} ──", path.when);
        steps_text(&mut text, snapshot, &path.hops);
        let word = if path.allowed() { "goes on" } else { "denied" };
        let _ = writeln!(text, "   {word} {}", reason(snapshot, &path.hops));
    }
    text + &verdict_line(snapshot, answer) + "\n"
}

fn steps_text(text: &mut String, snapshot: &Snapshot, hops: &[Hop]) {
    let mut number = 0;
    for hop in hops {
        let last = translation_after(hop);
        for (index, step) in hop.verdict.path.iter().enumerate() {
            if last == Some(index) {
                translation_text(text, hop, &mut number);
            }
            *text += &step_text(snapshot, hop, step, &mut number);
        }
        if last == Some(hop.verdict.path.len()) {
            translation_text(text, hop, &mut number);
        }
        if let Some(source) = &hop.replaced_source {
            number += 1;
            let ports = source.ports.as_ref().map(|(ports, _)| format!(" with port {ports}")).unwrap_or_default();
            let _ = writeln!(text, "{} · natOutgoing", hop.host.node);
            let _ = writeln!(
                text,
                "{number:>2} {:<LABEL$} from {}{ports}, instead of {}; from here only that source can match",
                "tortie", source.address, hop.packet.source
            );
        }
    }
}

/// Before which step of a node the packet is translated; none where it is not, or does not get there.
fn translation_after(hop: &Hop) -> Option<usize> {
    hop.packet.translated.filter(|_| hop.is_tracked())?;
    before_translation(hop)
}

/// How many steps of a node are before translations; none where one of them denies the packet.
pub(crate) fn before_translation(hop: &Hop) -> Option<usize> {
    let early = |step: &Step| {
        matches!(step.stage, Stage::SourceCheck | Stage::UntrackedIn | Stage::UntrackedOut | Stage::PreDnat)
    };
    let denied = |step: &Step| step.decision.outcome == Outcome::Deny;
    let before = hop.verdict.path.iter().take_while(|step| early(step)).count();
    (!hop.verdict.path[..before].iter().any(denied)).then_some(before)
}

fn translation_text(text: &mut String, hop: &Hop, number: &mut usize) {
    let Some((address, port)) = hop.packet.translated else { return };
    *number += 1;
    let by = hop.translated_by.as_ref().map_or("the question", TranslatedBy::text);
    let to = port.map_or_else(|| address.to_string(), |port| with_port(address, port));
    let only = port.map_or_else(|| address.to_string(), |port| format!(":{port}"));
    let _ = writeln!(text, "{} · translation", hop.host.node);
    let _ = writeln!(
        text,
        "{number:>2} {:<LABEL$} to {to}, as {by} says; from here only {only} can match",
        "another program"
    );
}

/// `ALLOWED by ...`, `DENIED by ...`, each with `unless TABLE drops the packet`, `translates`, `changes` or `exempts` it or `writes the mark bit of tortie` where one may, or `DROPPED by ...` where another program drops what tortie allows: by what, and where; for what is denied also what came nearest to allowing it.
/// `UNANSWERED` where another program translates it and that is not followed.
/// Where the packet may take several ways that are not answered alike, what each of them comes to.
pub fn verdict_line(snapshot: &Snapshot, answer: &Answer) -> String {
    let mut line = decided_by(snapshot, answer);
    let others = &answer.others;
    let may = [
        (&others.may_drop, "drops the packet"),
        (&others.may_translate, "translates the packet"),
        (&others.may_change, "changes the packet"),
        (&others.may_exempt, "exempts the packet from connection tracking"),
        (&others.may_mark, "writes the mark bit of tortie"),
    ];
    let may = may.into_iter().filter(|(tables, _)| !tables.is_empty());
    let may: Vec<String> = may.map(|(tables, does)| format!("{} {does}", tables.join(" or "))).collect();
    if !may.is_empty() {
        let _ = write!(line, ", unless {}", may.join(" or "));
    }
    let steps = answer.hops.iter().flat_map(|hop| hop.verdict.path.iter().map(move |step| (hop, step)));
    if answer.paths.is_empty()
        && !answer.allowed()
        && answer.hops.last().is_some_and(|hop| hop.dropped.is_none())
        && let Some(miss) = steps.last().and_then(|(hop, step)| near_miss(hop, step))
    {
        let _ = write!(line, ". Near miss: {miss}");
    }
    if let Some(drops) = &answer.others.drops {
        // The first word is what becomes of the packet.
        line = match answer.allowed() {
            true => format!("DROPPED by {drops}; tortie alone: {line}"),
            false => format!("{line}. Of what tortie lets through, some is DROPPED by {drops}"),
        };
    }
    match (&answer.others.translates, &answer.others.unanswered) {
        (_, Some(why)) => line = format!("UNANSWERED: {why}; without the translation: {line}"),
        (Some(translates), None) => {
            let word = if answer.follows_table() {
                "It is judged as translated"
            } else {
                "But it is not judged as translated"
            };
            let _ = write!(line, ". {word}: {translates}");
        }
        (None, None) => {}
    }
    for assumed in answer.notes.iter().filter(|note| note.starts_with(ASSUMED)) {
        let _ = write!(line, " ({assumed})");
    }
    line
}

/// The same, without what came near.
pub fn decided_by(snapshot: &Snapshot, answer: &Answer) -> String {
    if answer.paths.is_empty() {
        return hops_decided_by(snapshot, &answer.hops);
    }
    let in_words = |allowed: bool| {
        let paths = answer.paths.iter().filter(|path| path.allowed() == allowed);
        let texts: Vec<String> =
            paths.map(|path| format!("if {} ({})", path.when, reason(snapshot, &path.hops))).collect();
        texts.join("; ")
    };
    match (in_words(true), in_words(false)) {
        (through, denied) if denied.is_empty() => format!("ALLOWED on every way: {through}"),
        (through, denied) if through.is_empty() => {
            let is_dropped = |path: &PossiblePath| path.hops.last().is_some_and(|hop| hop.dropped.is_some());
            let word = if answer.paths.iter().all(is_dropped) { "DROPPED" } else { "DENIED" };
            format!("{word} on every way: {denied}")
        }
        (through, denied) => {
            let differs = |word: &str| answer.paths.iter().any(|path| path.when.contains(word));
            let option = match (differs("it enters "), differs("leaves ")) {
                (true, _) => ": --in-interface says which",
                (false, true) => ": --out-interface says which",
                (false, false) => "",
            };
            format!("DENIED {denied}; let through {through}{option}")
        }
    }
}

/// What a packet met on one way comes to.
pub(crate) fn hops_decided_by(snapshot: &Snapshot, hops: &[Hop]) -> String {
    let word = match hops.iter().find(|hop| !hop.verdict.allowed) {
        None => "ALLOWED",
        Some(hop) if hop.dropped.is_some() => "DROPPED",
        Some(_) => "DENIED",
    };
    match reason(snapshot, hops) {
        reason if reason.starts_with("by ") => format!("{word} {reason}"),
        reason => format!("{word}: {reason}"),
    }
}

/// `by gnp web rule 1, ingress of web1-eth0 on web1`.
pub(crate) fn reason(snapshot: &Snapshot, hops: &[Hop]) -> String {
    if let Some(why) = hops.last().and_then(|hop| hop.dropped.as_ref()) {
        return why.clone();
    }
    let mut steps = hops.iter().flat_map(|hop| hop.verdict.path.iter().map(move |step| (hop, step)));
    // What an earlier stage has accepted was decided there.
    let stands_in = |step: &Step| matches!(step.decision.by, DecidedBy::Builtin(Builtin::AcceptedBefore));
    let decisive = steps.rfind(|(_, step)| step.decision.by != DecidedBy::Nothing && !stands_in(step));
    let Some((hop, step)) = decisive else {
        let governed = hops.iter().flat_map(|hop| &hop.verdict.path).any(|step| step.endpoint.is_some());
        return if governed { "no rule of a tortie policy denies it" } else { "no tortie endpoint applies to it" }
            .to_owned();
    };
    let mut reason =
        format!("by {}, {} on {}", by_text(&step.decision.by, step), place_text(snapshot, step), hop.host.node);
    if hop.verdict.rejected {
        reason += " (refused with an answer)";
    }
    reason
}

fn header(snapshot: &Snapshot, answer: &Answer) -> String {
    let Some(hop) = answer.hops.first() else { return String::new() };
    let packet = &hop.packet;
    let (source, destination) = match packet.transport {
        Transport::Ports { destination, .. } => (address(packet.source), with_port(packet.destination, destination)),
        _ => (address(packet.source), address(packet.destination)),
    };
    let kind = match packet.transport {
        Transport::Icmp { kind, code } => format!(" type {kind} code {code}"),
        _ => String::new(),
    };
    let state = match packet.conntrack {
        Conntrack::New => "new",
        Conntrack::Established => "of an established or related connection",
        Conntrack::Invalid => "INVALID",
        Conntrack::Untracked => "untracked",
    };
    let path = match &packet.path {
        PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. } if is_unknown(interface) => {
            format!("enters {} at an unknown interface", hop.host.node)
        }
        PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. } => {
            format!("enters {} at {interface}", hop.host.node)
        }
        PacketPath::Output { interface } if interface.is_empty() => format!("sent by {}", hop.host.node),
        PacketPath::Output { interface } => {
            format!("leaves {} by {}", hop.host.node, hop.leaves_by().unwrap_or(interface))
        }
    };
    let path = if answer.paths.is_empty() { format!(", {path}") } else { String::new() };
    format!(
        "{}{kind} {source} → {destination}, {state}{path}; source: {}; target: {}\n",
        protocol_name(packet.protocol),
        end_text(snapshot, &answer.from, packet.source),
        match (&answer.service, &answer.to) {
            (Some(service), Location::Outside(_)) => service.clone(),
            _ => end_text(snapshot, &answer.to, packet.destination),
        },
    )
}

fn address(address: IpAddr) -> String {
    address.to_string()
}

fn with_port(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn end_text(snapshot: &Snapshot, location: &Location, address: IpAddr) -> String {
    match location {
        Location::Process { node, addresses, .. }
            if addresses.iter().all(|one| *one == address) && is_group(address) =>
        {
            format!("whoever listens on {node}")
        }
        Location::Process { node, .. } => format!("{node} itself"),
        Location::Outside(_) if is_group(address) => "whoever listens on the link".to_owned(),
        Location::Workload(endpoint) => endpoint.to_string(),
        Location::Outside(_) => match tortie_eval::names_at(snapshot, address).as_slice() {
            [] => "no endpoint, no set".to_owned(),
            names => names.join(", "),
        },
    }
}

/// Whether an address is for everybody on the link; of the broadcast addresses only the one of every link.
fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}

fn step_text(snapshot: &Snapshot, hop: &Hop, step: &Step, number: &mut usize) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut tier = String::new();
    for entry in &step.entries {
        if let Some((label, text)) = entry_text(snapshot, entry, step) {
            let label = if label == tier { String::new() } else { label };
            if !label.is_empty() {
                tier.clone_from(&label);
            }
            lines.push((label, text));
        }
    }
    lines.splice(0..0, silent_before(hop, step));
    let decided_by_entry =
        matches!(step.decision.by, DecidedBy::Rule { .. } | DecidedBy::TierEnd { .. } | DecidedBy::Profile { .. });
    if !decided_by_entry {
        let line = (decision_label(step), decision_text(snapshot, hop, step));
        // An early decision stands before what it kept from being asked.
        let early = step.entries.iter().any(|entry| !entry.reached);
        if early && !matches!(step.decision.by, DecidedBy::NoProfile | DecidedBy::Nothing) {
            lines.insert(silent_before(hop, step).iter().count(), line);
        } else {
            lines.push(line);
        }
    }
    let mut text = format!("{} · {}{}\n", hop.host.node, place_text(snapshot, step), matched_text(snapshot, step));
    for (label, line) in lines {
        // What is of the same tier goes on under its number.
        let mut margin = String::new();
        if !label.is_empty() {
            *number += 1;
            margin = number.to_string();
        }
        let _ = writeln!(text, "{margin:>2} {label:<LABEL$} {line}");
    }
    text
}

/// The earlier stages in which the host endpoint had no policy, so that the packet did not meet them.
fn silent_before(hop: &Hop, step: &Step) -> Option<(String, String)> {
    let met = |stage| hop.verdict.path.iter().any(|step| step.stage == stage);
    let silent = match step.stage {
        Stage::HostIn if step.endpoint.is_some() => match (met(Stage::UntrackedIn), met(Stage::PreDnat)) {
            (false, false) => "untracked, pre-DNAT",
            (false, true) => "untracked",
            (true, false) => "pre-DNAT",
            (true, true) => return None,
        },
        Stage::HostOut if step.endpoint.is_some() && !met(Stage::UntrackedOut) => "untracked",
        _ => return None,
    };
    Some((silent.to_owned(), "no policy".to_owned()))
}

/// `ingress of web1-eth0`, `forward in at eth1`.
fn place_text(snapshot: &Snapshot, step: &Step) -> String {
    match endpoint_text(snapshot, step) {
        Some(endpoint) => format!("{} of {endpoint}", step.stage),
        None if is_unknown(&step.interface) => format!("{} at an unknown interface", step.stage),
        None => format!("{} at {}", step.stage, step.interface),
    }
}

/// `web1-eth0`, `default/api`.
fn endpoint_text(snapshot: &Snapshot, step: &Step) -> Option<String> {
    Some(match step.endpoint.as_ref()? {
        EndpointId::Host(name) => name.clone(),
        EndpointId::Workload(id) => workload_text(snapshot, id),
    })
}

/// `default/api`: a workload by its pod where it has one.
pub(crate) fn workload_text(snapshot: &Snapshot, id: &WorkloadId) -> String {
    let pod = snapshot.workload_endpoints.get(id).filter(|endpoint| !endpoint.pod.is_empty());
    format!("{}/{}", id.namespace, pod.map_or(&id.name, |endpoint| &endpoint.pod))
}

fn matched_text(snapshot: &Snapshot, step: &Step) -> String {
    let Some(EndpointId::Host(name)) = &step.endpoint else { return String::new() };
    match snapshot.host_endpoints.get(name).map(|endpoint| &endpoint.interface) {
        Some(GovernedInterfaces::Named(_)) => format!(" (host endpoint of {} by name)", step.interface),
        Some(GovernedInterfaces::ByAddress) => format!(" (host endpoint of {} by address)", step.interface),
        Some(GovernedInterfaces::Unreadable) => {
            format!(" (host endpoint whose interface cannot be read; here {})", step.interface)
        }
        Some(GovernedInterfaces::All) => format!(" (host endpoint of every interface; here {})", step.interface),
        None => String::new(),
    }
}

/// The label and the text of one line; none where there is nothing to tell.
fn entry_text(snapshot: &Snapshot, entry: &Entry, step: &Step) -> Option<(String, String)> {
    match &entry.kind {
        EntryKind::Policy { tier, id, staged, rules } => {
            let what = policy_text(rules, *staged, entry.reached)?;
            Some((
                tier_label(snapshot, tier),
                format!("{}{id}: {what}", if entry.reached { "" } else { "never reached: " }),
            ))
        }
        EntryKind::Profile { name, missing: true, .. } => {
            let unreached = if entry.reached { "" } else { "never reached: " };
            Some((format!("profile {name}"), format!("{unreached}it does not exist, which denies everything")))
        }
        EntryKind::Profile { name, rules, .. } => {
            let what = policy_text(rules, false, entry.reached)?;
            Some((format!("profile {name}"), format!("{}{what}", if entry.reached { "" } else { "never reached: " })))
        }
        EntryKind::TierEnd { tier, denies, note } if entry.reached => {
            let note = note.map_or(String::new(), |note| format!(" ({note})"));
            let text = if *denies {
                let rest = if matches!(step.stage, Stage::ForwardIn | Stage::ForwardOut) {
                    ""
                } else {
                    "; profiles are not reached"
                };
                format!("Deny{note}: {} and nothing matched{rest}", selecting(snapshot, step, tier))
            } else {
                format!("Pass{note}: goes on")
            };
            Some((format!("end of tier {tier}"), text))
        }
        EntryKind::TierEnd { .. } => None,
        EntryKind::Builtin(text) => Some((failsafes_label(step).to_owned(), text.clone())),
    }
}

/// `platform.db selects web1-eth0`: whose being there makes the end of a tier count.
fn selecting(snapshot: &Snapshot, step: &Step, tier: &str) -> String {
    let of_tier = |entry: &Entry| match &entry.kind {
        EntryKind::Policy { tier: one, id, staged: false, .. } if one == tier => Some(id.name.clone()),
        _ => None,
    };
    let names: Vec<String> = step.entries.iter().filter_map(of_tier).collect();
    let endpoint = endpoint_text(snapshot, step).unwrap_or_else(|| "this endpoint".to_owned());
    match names.as_slice() {
        [one] => format!("{one} selects {endpoint}"),
        [one, two] => format!("{one} and {two} select {endpoint}"),
        [one, rest @ ..] => format!("{one} and {} more select {endpoint}", rest.len()),
        [] => format!("its policies select {endpoint}"),
    }
}

fn tier_label(snapshot: &Snapshot, tier: &str) -> String {
    match snapshot.tiers.get(tier) {
        Some(known) => match known.order.0 {
            Some(order) => format!("tier {tier} (order {order})"),
            None => format!("tier {tier} (no order)"),
        },
        None => format!("tier {tier} (does not exist)"),
    }
}

/// What the rules said; for what was never reached only a match is worth a line.
fn policy_text(rules: &[RuleStep], staged: bool, reached: bool) -> Option<String> {
    let hit = rules.iter().find(|rule| rule.matched() && rule.action.decides());
    if staged || !reached {
        let note = if staged { " (staged, not enforced)" } else { "" };
        return match hit {
            Some(rule) if staged => Some(format!("would {} by rule {}{note}", rule.action, rule.number)),
            Some(rule) => Some(format!("rule {} {} would match", rule.number, rule.action)),
            None if staged && reached => Some(format!("would match nothing{note}")),
            None => None,
        };
    }
    if rules.is_empty() {
        return Some("has no rules in this direction".to_owned());
    }
    Some(rules.iter().map(rule_text).collect::<Vec<_>>().join("; "))
}

fn rule_text(rule: &RuleStep) -> String {
    match rule.mismatches.first() {
        Some(why) => format!("rule {} {} no ({}: {})", rule.number, rule.action, why.field, why.text),
        None => {
            let then = match rule.action {
                Action::Pass => " → leaves the tier",
                Action::Log => " → logs, goes on",
                Action::Allow | Action::Deny => "",
            };
            format!("rule {} {}{then}", rule.number, rule.action)
        }
    }
}

fn decision_label(step: &Step) -> String {
    match &step.decision.by {
        DecidedBy::Failsafe(_) => failsafes_label(step),
        DecidedBy::Established | DecidedBy::Invalid | DecidedBy::BeginsNothing => "connection tracking",
        DecidedBy::NoProfile => "profiles",
        DecidedBy::Builtin(Builtin::SourceOk | Builtin::SourceExcepted | Builtin::SourceWrong) => "source address",
        DecidedBy::Builtin(_) => "built in",
        _ => "policy",
    }
    .to_owned()
}

fn failsafes_label(step: &Step) -> &'static str {
    match step.direction {
        Direction::Ingress => "failsafes in",
        Direction::Egress => "failsafes out",
    }
}

fn decision_text(snapshot: &Snapshot, hop: &Hop, step: &Step) -> String {
    let outcome = match step.decision.outcome {
        Outcome::Pass => "passes",
        Outcome::Accept => "accepted, for the host endpoint's later ingress stages too",
        Outcome::Deny => "denied",
    };
    match &step.decision.by {
        DecidedBy::Nothing if step.endpoint.is_none() => "no endpoint governs this interface: passes".to_owned(),
        DecidedBy::Nothing if step.entries.iter().all(|entry| matches!(entry.kind, EntryKind::Builtin(_))) => {
            match step.stage {
                Stage::ForwardIn | Stage::ForwardOut => "no applyOnForward policy in this direction: passes".to_owned(),
                _ => "none in this direction: passes".to_owned(),
            }
        }
        DecidedBy::Nothing => "nothing decides it here: passes".to_owned(),
        DecidedBy::Failsafe(text) => {
            let (anywhere, origin) = (anywhere(text, step.direction), origin(snapshot, &hop.host.node, step.direction));
            format!("{text}{anywhere} ({origin}): accepted before any tier")
        }
        DecidedBy::Established => format!("established or related: {outcome}"),
        DecidedBy::Invalid => format!("INVALID: {outcome}"),
        DecidedBy::BeginsNothing => {
            format!("INVALID unless of an open connection (this ICMP type begins none): {outcome}")
        }
        by => format!("{}: {outcome}", by_text(by, step)),
    }
}

fn anywhere(failsafe: &str, direction: Direction) -> &'static str {
    match direction {
        _ if failsafe.contains(' ') || failsafe.contains('[') => "",
        Direction::Ingress => " from anywhere",
        Direction::Egress => " to anywhere",
    }
}

/// Where the failsafes come from.
fn origin(snapshot: &Snapshot, node: &str, direction: Direction) -> String {
    let (settings, default) = (snapshot.settings(node), Settings::default());
    let (field, same) = match direction {
        Direction::Ingress => ("failsafeInboundHostPorts", settings.failsafe_inbound == default.failsafe_inbound),
        Direction::Egress => ("failsafeOutboundHostPorts", settings.failsafe_outbound == default.failsafe_outbound),
    };
    if same { format!("default of {field}") } else { format!("set by {field}") }
}

/// What decided, in words.
fn by_text(by: &DecidedBy, step: &Step) -> String {
    match by {
        DecidedBy::Rule { id, number, .. } => format!("{id} rule {number}"),
        DecidedBy::TierEnd { tier } => format!("end of tier {tier}"),
        DecidedBy::Profile { name, number: Some(number) } => format!("profile {name} rule {number}"),
        DecidedBy::Profile { name, number: None } => format!("missing profile {name}"),
        DecidedBy::NoProfile => {
            let any = step.entries.iter().any(|entry| matches!(entry.kind, EntryKind::Profile { .. }));
            if any {
                "default deny: no policy and no profile decides it"
            } else {
                "default deny: no policy decides it and there is no profile"
            }
            .to_owned()
        }
        DecidedBy::Failsafe(text) => format!("failsafe {text}"),
        DecidedBy::Established => "connection tracking, which says established or related".to_owned(),
        DecidedBy::Invalid => "connection tracking, which says INVALID".to_owned(),
        DecidedBy::BeginsNothing => {
            "connection tracking unless of an open connection (this ICMP type begins none)".to_owned()
        }
        DecidedBy::Builtin(Builtin::UnknownWorkload) if is_unknown(&step.interface) => {
            "an interface that stays closed, because its workload endpoint does not say readably where it is".to_owned()
        }
        DecidedBy::Builtin(builtin) => builtin_text(*builtin).to_owned(),
        DecidedBy::Nothing => "nothing".to_owned(),
    }
}

fn builtin_text(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::SourceOk => "the source address is the workload's own",
        Builtin::SourceExcepted => "the source address is in allowSpoofedSourcePrefixes",
        Builtin::SourceWrong => "the source check: the address is not the workload's own",
        Builtin::ToLoopback => "the destination is a loopback address of the host, which no workload may reach",
        Builtin::NeighbourDiscovery => "IPv6 neighbour discovery, which is always let through",
        Builtin::OpenStack => "what OpenStack's workloads need of their host, which is always let through",
        Builtin::TunnelAllowed => "a tunnel between nodes, which is always let through",
        Builtin::TunnelDenied => "the tunnel check: no node of the cluster has this address",
        Builtin::UnknownWorkload => "an interface with a workload prefix and no endpoint",
        Builtin::HostToWorkload => "host to own workload, which is always let through",
        Builtin::AcceptedBefore => "an untracked or pre-DNAT allow before",
        Builtin::HostAction => "defaultEndpointToHostAction Drop",
        Builtin::Encapsulation => "the check for VXLAN and IPIP from workloads",
        Builtin::TranslatedLater => "a translation: judged where it leaves",
    }
}

/// The Allow rule that came nearest: the one of which the fewest conditions failed, where those are few.
fn near_miss(hop: &Hop, step: &Step) -> Option<String> {
    const MAX_FAILED_CONDITIONS: usize = 2;
    let mut best: Option<(usize, String)> = None;
    let no_ports = !matches!(hop.packet.transport, Transport::Ports { .. });
    let no_icmp = !matches!(hop.packet.transport, Transport::Icmp { .. });
    for entry in step.entries.iter().filter(|entry| entry.reached) {
        let EntryKind::Policy { id, staged: false, rules, .. } = &entry.kind else { continue };
        for rule in rules.iter().filter(|rule| rule.action == Action::Allow && !rule.matched()) {
            let failed = rule.mismatches.len();
            if failed <= MAX_FAILED_CONDITIONS && best.as_ref().is_none_or(|(other, _)| failed < *other) {
                // Another protocol is reason enough why there is no port and no ICMP type.
                let other_protocol = rule.mismatches.iter().any(|why| why.field == "protocol");
                let counts = |why: &&Mismatch| {
                    let of_ports = no_ports && why.field.ends_with(".ports");
                    let of_icmp = no_icmp && why.field.to_ascii_lowercase().contains("icmp");
                    !(other_protocol && (of_ports || of_icmp))
                };
                let why: Vec<&str> = rule.mismatches.iter().filter(counts).map(|why| why.text.as_str()).collect();
                best = Some((failed, format!("{id} rule {}: {}", rule.number, why.join(", and "))));
            }
        }
    }
    best.map(|(_, text)| text)
}
