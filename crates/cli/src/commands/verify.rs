//! `verify`: whether the kernel of this machine enforces what the store says, and nothing else. Probe packets on and beside
//! every boundary of every endpoint's rules are judged by the store and by the table as the kernel gives it back; none is
//! sent. And every object of that table is compared with what the store asks for.
//!
//! Exit status 0: they are equal, 1: there are differences, 2: that could not be found out.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tortie_agent::config::Sources;
use tortie_agent::socket::{AskError, Reply, Request};
use tortie_agent::{FELIX_CONFIG, Ground};
use tortie_api::duration;
use tortie_policy::packet::{Packet, Transport, Way};
use tortie_verify::{Difference, Misjudged, Report, TableDifference};

use crate::args::Format;
use crate::ask;
use crate::in_force;
use crate::report::Exit;
use crate::session::Session;
use crate::store::Link;

/// How often everything is looked at while it goes on changing.
const TRIES: usize = 3;

/// What no verification looks at.
const NOT_LOOKED_AT: &str =
    "not looked at: tables of other programs and what they translate, how much of a rate or connection limit is used";
/// The same for programs.
const NOT_LOOKED_AT_PARTS: [&str; 3] = ["tables of other programs", "translations by other programs", "use of limits"];

/// Arguments of `verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    config: std::path::PathBuf,
    /// How many differences to show, of the table and of packets each
    #[arg(long, value_name = "N", default_value_t = 10)]
    most: usize,
    /// How long the agent may take to put into the kernel what is in the store: 500ms, 10s, 1m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    timeout: Duration,
    /// Only the store: the agent of this machine is not asked what is in force
    #[arg(long)]
    from_store: bool,
    /// text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Verifies.
pub(crate) fn run(args: &VerifyArgs, session: &mut Session) -> anyhow::Result<Exit> {
    match report(args, session) {
        Ok((ground, report)) => {
            match args.output {
                Format::Json => session.terminal.line(format_args!("{:#}", as_json(&ground, &report))),
                Format::Text => show(&ground, &report, session),
            }
            Ok(if report.wrong == 0 { Exit::Done } else { Exit::Failed })
        }
        Err(error) => {
            session.terminal.error(format_args!("{error:#}"));
            Ok(Exit::Unanswered)
        }
    }
}

fn report(args: &VerifyArgs, session: &mut Session) -> anyhow::Result<(Ground, Report)> {
    let (_, store) = Link::opener(session, &args.config, FELIX_CONFIG.as_ref())?;
    let link = Link::find_by(session, &args.config)?;
    let mut tries = 0;
    loop {
        tries += 1;
        let sources = in_force::load(session, &args.config, args.from_store)?;
        let revision = sources.listing.revision;
        let in_kernel = match sources.is_received {
            true => ask::wait(&store, revision, args.timeout)?.map_err(anyhow::Error::msg)?.revision,
            false => sources.in_kernel.unwrap_or(revision),
        };
        let ground = match &sources.ground {
            Some(ground) => ground.clone(),
            None => local_ground()?,
        };
        let in_force = sources.in_force(&sources.listing);
        if tries == 1 {
            in_force::warn(&in_force, session);
        }
        let report = ground.verify(in_force, args.most)?;
        // What was written in between explains a difference, and so does an interface that changed: a difference beside a
        // running agent must be found twice.
        let changed = || sources.is_received && link.revision().is_ok_and(|now| now != revision);
        let moved = in_kernel != revision || changed();
        let confirmed = || !moved && (tries > 1 || !agent_runs());
        if report.wrong == 0 || tries == TRIES || confirmed() {
            if !agent_runs() {
                session.terminal.note(match report.table {
                    true => "no agent runs here: this is what one left behind",
                    false => "no agent runs here (`tortie agent`), and there is no table of tortie in the kernel",
                });
            }
            return Ok((ground, report));
        }
    }
}

fn agent_runs() -> bool {
    !matches!(ask::ask(&Request::Ground), Err(AskError::Nobody(_)))
}

/// What the agent of this machine stands on; without one, what it would stand on.
fn local_ground() -> anyhow::Result<Ground> {
    match ask::ask(&Request::Ground) {
        Ok(Reply::Ground(ground)) => Ok(*ground),
        _ => Ok(Ground::here(&Sources { env: std::env::vars().collect(), file: FELIX_CONFIG.into() })?),
    }
}

fn show(ground: &Ground, report: &Report, session: &mut Session) {
    for difference in &report.differences {
        match difference {
            Difference::Table(TableDifference { sentence, .. }) => session.terminal.line(sentence),
            Difference::Probe(misjudged) => show_probe(ground, misjudged, session),
        }
    }
    session.terminal.line(report);
    if report.table {
        session.terminal.line(NOT_LOOKED_AT);
    }
}

fn show_probe(ground: &Ground, misjudged: &Misjudged, session: &mut Session) {
    let Misjudged { endpoint, packet, store, kernel, trace } = misjudged;
    session.terminal.line(format_args!("{endpoint}: {}: {store} by the store, {kernel} by the kernel", words(packet)));
    if let Some(last) = trace.last() {
        session.terminal.line(format_args!("  the last rule in the kernel: {last}"));
    }
    if let Some(what) = asked(packet) {
        let Packet { source, destination, .. } = packet;
        let node = &ground.node;
        session.terminal.line(format_args!("  tortie explain {source} {destination} {what} --node {node}"));
    }
}

/// A packet in words: `tcp 192.0.2.1:40000 → 192.0.2.11:443, forwarded from eth0 to cali1`.
fn words(packet: &Packet) -> String {
    let Packet { source, destination, .. } = packet;
    let way = match &packet.way {
        Way::In { interface } => format!("to the host from {interface}"),
        Way::Out { interface } => format!("from the host by {interface}"),
        Way::Forward { from, to } => format!("forwarded from {from} to {to}"),
    };
    let protocol = tortie_net::Protocol::from_number(packet.protocol).ok().and_then(|protocol| protocol.name());
    let protocol = protocol.map_or_else(|| format!("protocol {}", packet.protocol), str::to_ascii_lowercase);
    let state = format!("{:?}", packet.conntrack).to_ascii_lowercase();
    match packet.transport {
        Transport::Ports { source: from, destination: to } => {
            format!("{protocol} {source} port {from} → {destination} port {to}, {state}, {way}")
        }
        Transport::Icmp { kind, code } => {
            format!("{protocol} type {kind} code {code} {source} → {destination}, {state}, {way}")
        }
        Transport::Opaque => format!("{protocol} without ports {source} → {destination}, {state}, {way}"),
    }
}

/// How `explain` is asked about it.
fn asked(packet: &Packet) -> Option<String> {
    let protocol = tortie_net::Protocol::from_number(packet.protocol).ok().and_then(|protocol| protocol.name());
    match packet.transport {
        Transport::Ports { destination, .. } => Some(format!("{}/{destination}", protocol?.to_ascii_lowercase())),
        Transport::Icmp { kind, code } => Some(format!("icmp/{kind}/{code}")),
        Transport::Opaque => None,
    }
}

fn as_json(ground: &Ground, report: &Report) -> serde_json::Value {
    let differences: Vec<_> = report
        .differences
        .iter()
        .map(|difference| match difference {
            Difference::Table(TableDifference { sentence, kernel }) => {
                json!({"of": "table", "text": sentence, "kernel": kernel})
            }
            Difference::Probe(Misjudged { endpoint, packet, store, kernel, trace }) => json!({
                "of": "packet",
                "endpoint": endpoint,
                "packet": words(packet),
                "store": store.to_string(),
                "kernel": kernel.to_string(),
                "trace": trace,
            }),
        })
        .collect();
    let compared = &report.compared;
    json!({
        "node": ground.node,
        "table": report.table,
        "endpoints": report.endpoints,
        "probes": report.probes,
        "chains": compared.chains,
        "rules": compared.rules,
        "sets": compared.sets,
        "members": compared.elements,
        "wrong": report.wrong,
        "differences": differences,
        "notLookedAt": NOT_LOOKED_AT_PARTS,
    })
}
