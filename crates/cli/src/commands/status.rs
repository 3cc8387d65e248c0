//! `status`: what is enforced on this machine, and what is not.

mod foreign;
mod route_chains;

use std::fmt::Write;
use std::time::{Duration, Instant};

use clap::Args;
use tortie_agent::socket::{AskError, Reply, Request};
use tortie_agent::status::{EndpointStatus, LagStatus, Status, StoreState};
use tortie_agent::{BaseChain, KernelTable, since_boot};
use tortie_api::{Key, Kind, duration};
use tortie_sync::first_reasons;

use crate::args::TextOrJson;
use crate::ask::{Agent, Waited};
use crate::enforcement_warning;
use crate::session::Session;
use crate::ssh;
use crate::store::StoreAccess;
use crate::terminal::{Exit, counted};

/// Arguments of `status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: std::path::PathBuf,
    /// Return once everything that was written before this call is in the kernel
    #[arg(long)]
    wait: bool,
    /// Fail when that takes longer than this: 500ms, 10s, 1m
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "wait", value_parser = duration::positive)]
    timeout: Duration,
    /// The chains of other programs that packets of this machine meet, and whether they can drop or translate; needs no agent
    #[arg(long, conflicts_with = "wait")]
    foreign: bool,
    /// text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TextOrJson,
}

/// What is under way for longer than this is late.
const LATE: Duration = Duration::from_secs(3);

/// Asks the agent of this machine.
pub(crate) fn run(args: &StatusArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.foreign {
        return foreign::run(args.output, session);
    }
    let mut done = true;
    let agent = if args.wait { Agent::within(args.timeout) } else { Agent::patient() };
    if args.wait && agent.runs() {
        done = wait(args, &agent, session)?;
        if args.output == TextOrJson::Text {
            return Ok(if done { Exit::Done } else { Exit::Failed });
        }
    }
    let status = match settled(&agent) {
        Ok(status) => status,
        Err(error) if matches!(error.downcast_ref(), Some(AskError::Nobody(_))) => {
            without_agent(args, &error, session)?;
            return Ok(Exit::Unanswered);
        }
        Err(error) => return Err(error),
    };
    let route_chains = route_chains::lines();
    match args.output {
        TextOrJson::Json => {
            let mut report = serde_json::to_value(&status)?;
            report["routeChains"] = serde_json::json!(route_chains);
            session.terminal.line(serde_json::to_string_pretty(&report)?);
        }
        TextOrJson::Text => {
            session.terminal.print(&text(&status));
            route_chains.iter().for_each(|line| session.terminal.line(line));
        }
    }
    Ok(if done && is_in_force(&status) { Exit::Done } else { Exit::Failed })
}

/// What the agent says. What is under way is given a moment to be in the kernel.
fn settled(agent: &Agent) -> anyhow::Result<Box<Status>> {
    let start = Instant::now();
    let first = status(agent)?;
    let mut status = first.clone();
    loop {
        let there = status.in_kernel.generation >= first.wanted.generation
            && (status.wanted.position.has_reached(&first.received) || status.lag.is_none());
        if there || !is_sound(&status) || start.elapsed() > LATE {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(50));
        status = self::status(agent)?;
    }
}

fn status(agent: &Agent) -> anyhow::Result<Box<Status>> {
    match agent.ask(&Request::Status)? {
        Reply::Status(status) => Ok(status),
        other => anyhow::bail!("{}", other.unexpected()),
    }
}

/// Prints what exists of tortie in the kernel while no agent runs. Packets are not judged.
fn without_agent(args: &StatusArgs, error: &anyhow::Error, session: &mut Session) -> anyhow::Result<()> {
    let reason = format!("{error:#}");
    let off = enforcement_warning::off();
    if let (Some(off), TextOrJson::Text) = (&off, args.output) {
        session.terminal.line(format_args!("{off}: NO policy is enforced, also once an agent runs"));
    }
    session.terminal.error(&reason);
    let found = tortie_agent::kernel_table();
    if args.output == TextOrJson::Json {
        let (table, table_error) = match found {
            Ok(table) => (table, None),
            Err(error) => (None, Some(format!("{:#}", anyhow::Error::from(error)))),
        };
        let report = serde_json::json!({ "agent": false, "reason": reason, "off": off, "table": table, "tableError": table_error });
        session.terminal.line(serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    match found {
        Ok(None) => session.terminal.line("the kernel has no table of tortie: no tortie policy is enforced"),
        Ok(Some(table)) => session.terminal.print(&table_text(&table)),
        Err(error) => session.terminal.note(format_args!("{:#}", anyhow::Error::from(error))),
    }
    Ok(())
}

fn table_text(table: &KernelTable) -> String {
    let chain =
        |one: &BaseChain| format!("{} ({} {}, {})", one.name, one.hook, one.priority, counted(one.rules, "rule"));
    let none = |list: Vec<String>, none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
    let base_chains: Vec<String> = table.base_chains.iter().map(chain).collect();
    let state = match () {
        () if table.dormant => "it is DORMANT: no packet meets it",
        () if base_chains.is_empty() => "it has NO BASE CHAIN: no packet meets it",
        () if table.rules == 0 => "it has NO RULE: it decides nothing",
        () => "`tortie verify` compares it with the store, which was not done here",
    };
    let lines = [
        format!("the kernel has table {}, and no agent looks after it; {state}", table.name),
        format!("base chains: {}", none(base_chains, "none")),
        format!("all rules: {}", table.rules),
        format!("interfaces in its maps: {}", none(table.interfaces.clone(), "none")),
    ];
    let unread = table.unread.iter().map(|what| format!("cannot be read: {what}"));
    lines
        .into_iter()
        .chain(unread)
        .enumerate()
        .fold(String::new(), |text, (at, line)| text + if at == 0 { "" } else { "  " } + &line + "\n")
}

/// Whether something has been under way for too long.
fn is_late(status: &Status) -> bool {
    status.lag.as_ref().is_some_and(|lag| u128::from(lag.milliseconds) > LATE.as_millis())
}

/// Whether everything that the store says is in force.
fn is_in_force(status: &Status) -> bool {
    is_sound(status) && !is_late(status)
}

/// Whether nothing is in the way of what the store says.
fn is_sound(status: &Status) -> bool {
    let degraded = !status.troubles.is_empty() || !status.problems.is_empty() || !status.dataplane.refused.is_empty();
    status.ready && status.off.is_none() && status.store.state == StoreState::InSync && !degraded
}

/// Waits for what was written before this call. It is not in force as long as a part of it cannot be read.
fn wait(args: &StatusArgs, agent: &Agent, session: &mut Session) -> anyhow::Result<bool> {
    let access = StoreAccess::find_by(session, &args.config)?;
    let position = access.position()?;
    let store = access.name()?;
    let Waited { kernel, unreadable } = agent.wait(&store, &position)?;
    let is_there = match kernel {
        Ok(in_kernel) => {
            // A session that begins after the answer has a later time of start, which the kernel gives in ticks.
            let tick = Duration::from_millis(ssh::TICK).as_nanos();
            let into_tick = u64::try_from(since_boot().as_nanos() % tick).unwrap_or_default();
            std::thread::sleep(Duration::from_millis(ssh::TICK) - Duration::from_nanos(into_tick));
            if args.output == TextOrJson::Text {
                session.terminal.line(format_args!("in the kernel: revision {}", in_kernel.position));
            }
            true
        }
        Err(missing) => {
            session.terminal.error(format_args!("after {}: {missing}", duration::text(args.timeout)));
            false
        }
    };
    if !unreadable.is_empty() {
        session
            .terminal
            .error("not everything that was written is in force: objects or fields cannot be read, and this is in force in their place");
        unreadable.iter().for_each(|one| session.terminal.note(format_args!("  {one}")));
    }
    Ok(is_there && unreadable.is_empty())
}

/// The name of an endpoint, by its pod if it is of one: `wep/shop/n1-k8s-db-eth0` is `pod/shop/db`.
fn by_pod(endpoint: &str) -> String {
    let id = endpoint.strip_prefix("wep/").and_then(|id| id.split_once('/'));
    let pod = id.and_then(|(namespace, name)| {
        let pod = Key::namespaced(Kind::WorkloadEndpoint, namespace, name).pod()?;
        Some(format!("pod/{namespace}/{pod}"))
    });
    pod.unwrap_or_else(|| endpoint.to_owned())
}

/// Everything, for people.
fn text(status: &Status) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write_text(status, &mut out);
    out
}

fn write_text(status: &Status, out: &mut String) -> std::fmt::Result {
    let Status { node, unaccepted_name, pid, version, store, wanted, in_kernel, dataplane, .. } = status;
    if let Some(off) = &status.off {
        writeln!(out, "{off}: NO policy is enforced")?;
    }
    let machine =
        unaccepted_name.as_ref().map(|name| format!(" (this machine is called {name} now)")).unwrap_or_default();
    writeln!(out, "node {node}{machine}: tortie {version}, process {pid}")?;
    let called_otherwise = status.unaccepted_name.is_some();
    let state = match store.state {
        StoreState::Waiting => "NOT READ yet; the kernel keeps what it had",
        StoreState::Missing => "DOES NOT EXIST or is empty; the kernel keeps what it had; since",
        StoreState::InSync if is_late(status) => "answers, and the agent is BEHIND; since",
        StoreState::InSync => "in sync since",
        StoreState::NotAnswering => "DOES NOT ANSWER; what it said stays in force; last answer",
        StoreState::Lost => "LOST; what it said stays in force; since",
        StoreState::Replaced => "REPLACED by another; what was in force stays in force; since",
        StoreState::NotAsked => "NOT ASKED; what it said last stays in force, which is of",
        StoreState::Stale => "STALE: away since the start; what it said last is in force, which is of",
    };
    writeln!(
        out,
        "store: {}, {}, revision {}",
        store.name,
        format!("{state} {}", store.since).trim_end(),
        wanted.position
    )?;
    // The reason why it is not asked is a problem of its own.
    if !store.reason.is_empty() && store.state != StoreState::NotAsked {
        writeln!(out, "  {}", store.reason)?;
    }
    if !status.adopted.is_empty() {
        writeln!(out, "  {}", status.adopted)?;
    }
    writeln!(out, "dataplane: {}", if dataplane.busy { "busy, does not answer" } else { &dataplane.name })?;
    let behind = if status.off.is_some() {
        "OFF, none is in force"
    } else if called_otherwise {
        "HELD as they are"
    } else if !status.ready {
        "NOT in force"
    } else if is_late(status) {
        "BEHIND"
    } else if wanted == in_kernel && status.lag.is_none() {
        "all in force"
    } else {
        "under way"
    };
    let (now, all) = (in_kernel.generation, wanted.generation);
    writeln!(
        out,
        "changes: {behind}, generation {now} of {all}, revision {} of {}",
        in_kernel.position, status.received
    )?;
    if let Some(LagStatus { milliseconds, step }) = &status.lag {
        let step = if step.is_empty() { "waiting for the next try" } else { step };
        writeln!(out, "  under way for {}.{} s: {step}", milliseconds / 1000, milliseconds % 1000 / 100)?;
    }
    if let Some(reason) = &dataplane.failing {
        writeln!(out, "  tried again, {} times so far: {reason}", dataplane.failures)?;
    }
    if dataplane.repairs > 0 {
        writeln!(out, "  changed by others and put back: {} times", dataplane.repairs)?;
    }
    let endpoints = if status.off.is_some() { "endpoints, once enforcement is on" } else { "endpoints" };
    section(out, endpoints, &status.endpoints, endpoint)?;
    section(out, "interfaces", &status.interfaces, |one| {
        let nobody = || match (&one.port_of, one.closed) {
            (Some(master), _) => format!("a port of {master}, where its packets are judged"),
            (None, true) => "a workload's without an endpoint: everything is denied".to_owned(),
            (None, false) => "no endpoint: no tortie policy applies".to_owned(),
        };
        let governor = one.endpoint.as_deref().map_or_else(nobody, by_pod);
        format!(
            "{}  {}  {governor}",
            one.name,
            if one.addresses.is_empty() { "-".to_owned() } else { one.addresses.join(", ") }
        )
    })?;
    section(out, "refused by the kernel", &dataplane.refused, |(object, reason)| format!("{object}: {reason}"))?;
    section(out, "objects that cannot be read", &status.troubles, |one| {
        let reasons: String = first_reasons(&one.reasons).iter().map(|reason| format!("\n    {reason}")).collect();
        format!("{}: {}{reasons}", one.object, one.in_force)
    })?;
    section(out, "settings", &status.settings, |one| format!("{} ({}): {}", one.name, one.source, one.note))?;
    section(out, "settings of this machine that were changed for workloads", &status.host_settings, Clone::clone)?;
    section(out, "notes", &status.notes, Clone::clone)?;
    section(out, "problems", &status.problems, Clone::clone)
}

/// A headed list; nothing where the list is empty.
fn section<T>(out: &mut String, title: &str, all: &[T], line: impl Fn(&T) -> String) -> std::fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}:")?;
    all.iter().try_for_each(|one| writeln!(out, "  {}", line(one)))
}

fn endpoint(one: &EndpointStatus) -> String {
    let place = if one.interfaces.is_empty() { "nowhere".to_owned() } else { one.interfaces.join(", ") };
    let note = if one.note.is_empty() { String::new() } else { format!("  ({})", one.note) };
    let mut text = format!("{} on {place}{note}", by_pod(&one.name));
    for stage in &one.stages {
        let name = if stage.stage == "normal" { String::new() } else { format!("{} ", stage.stage) };
        let policies: String = stage.policies.iter().map(|policy| format!("{policy}, ")).collect();
        let then = if stage.then.contains(" go on") { "" } else { "then " };
        text.push_str(&format!("\n    {name}{}: {policies}{then}{}", stage.direction, stage.then));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tortie_agent::status::TroubleStatus;

    #[test]
    fn each_reason_why_an_object_cannot_be_read_has_its_own_line() {
        let trouble = TroubleStatus {
            object: "networkset/lab".to_owned(),
            reasons: vec!["spec.nets[0]: \"10.0.0.0/33\" is no net".to_owned(), "metadata.labels: a; b".to_owned()],
            in_force: "its deny-by-default replacement is in force".to_owned(),
        };
        let shown = text(&Status { troubles: vec![trouble], ..Status::default() });
        let (_, section) = shown.split_once("objects that cannot be read:\n").unwrap();
        assert_eq!(
            section,
            "  networkset/lab: its deny-by-default replacement is in force\n    \
             spec.nets[0]: \"10.0.0.0/33\" is no net\n    metadata.labels: a; b\n"
        );
    }
}
