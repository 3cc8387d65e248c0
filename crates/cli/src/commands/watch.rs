//! `watch`: changes of the agent's status, or denied packets, as lines while they happen.
//!
//! Exit status: 2 when no agent answers, or when it ends; 1 when it refuses. A reader that goes away, or a signal, ends the
//! command.

mod changes;

use clap::Args;
use tortie_agent::socket::{self, AskError, Events, Request};
use tortie_agent::status::Status;
use tortie_agent::watch_events::{Denial, WatchEvent};

use super::agent::run_directory;
use crate::args::TextOrJson;
use crate::ask;
use crate::session::Session;
use crate::terminal::{Exit, counted};

/// Arguments of `watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// Denied packets instead of changes of the status
    #[arg(long)]
    denied: bool,
    /// text or json: an object a line
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TextOrJson,
}

/// Prints what happens until the agent ends or nobody reads any more.
pub(crate) fn run(args: &WatchArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let request = if args.denied { Request::WatchDenied } else { Request::WatchStatus };
    let events = match socket::watch(&run_directory(), &request, ask::until_it_agrees()) {
        Ok(events) => events,
        Err(error @ (AskError::Nobody(_) | AskError::Forbidden(_) | AskError::Silent(_))) => {
            session.terminal.fail(&error.into());
            return Ok(Exit::Unanswered);
        }
        Err(error) => return Err(error.into()),
    };
    if args.denied && args.output == TextOrJson::Text {
        session.terminal.status("waiting for denied packets; Ctrl-C ends");
    }
    print(args, events, session)
}

fn print(args: &WatchArgs, mut events: Events, session: &mut Session) -> anyhow::Result<Exit> {
    let mut last: Option<Box<Status>> = None;
    loop {
        let event = match events.wait() {
            Ok(Some(event)) => event,
            Ok(None) => {
                session.terminal.error("the agent ended, or it ended the connection because nobody read in time");
                return Ok(Exit::Unanswered);
            }
            Err(error) => {
                session.terminal.fail(&error.into());
                return Ok(Exit::Unanswered);
            }
        };
        let lines: Vec<String> = match event {
            WatchEvent::Alive => Vec::new(),
            WatchEvent::Status(mut status) => {
                // A busy dataplane does not list them.
                if let Some(last) = last.as_ref().filter(|_| status.dataplane.busy) {
                    status.endpoints.clone_from(&last.endpoints);
                    status.interfaces.clone_from(&last.interfaces);
                    status.dataplane.refused.clone_from(&last.dataplane.refused);
                }
                let changes = changes::between(last.as_deref(), &status);
                last = Some(status);
                let line = |change: &changes::Change| match args.output {
                    TextOrJson::Json => change.json().to_string(),
                    TextOrJson::Text => change.to_string(),
                };
                changes.iter().map(line).collect()
            }
            event if args.output == TextOrJson::Json => vec![serde_json::to_string(&event)?],
            WatchEvent::Denied(denial) => vec![text(&denial)],
            WatchEvent::NotShown { packets } => vec![format!("  {}", not_shown(packets))],
        };
        for line in &lines {
            session.terminal.line(line);
        }
        session.terminal.flush();
        if session.terminal.is_broken() {
            return Ok(Exit::Done);
        }
    }
}

fn not_shown(packets: Option<u64>) -> String {
    let packets = packets
        .map_or("some packets".to_owned(), |count| counted(usize::try_from(count).unwrap_or(usize::MAX), "packet"));
    format!("... {packets} more were denied in the last second and are not shown")
}

/// A denied packet in a line, and the command that explains it in the next.
fn text(denial: &Denial) -> String {
    let end = |address: std::net::IpAddr, port: Option<u16>| match port {
        Some(port) => std::net::SocketAddr::new(address, port).to_string(),
        None => address.to_string(),
    };
    let from = end(denial.source, denial.source_port);
    let to = end(denial.destination, denial.destination_port);
    let icmp = match (denial.icmp_type, denial.icmp_code) {
        (Some(kind), Some(code)) => format!("/{kind}/{code}"),
        _ => String::new(),
    };
    let fragment = if denial.is_non_first_fragment { " fragment" } else { "" };
    let who = match (&denial.endpoint, &denial.in_interface, &denial.out_interface) {
        (Some(endpoint), ..) => endpoint.clone(),
        (None, Some(name), _) | (None, None, Some(name)) => format!("interface {name}"),
        (None, None, None) => "this machine".to_owned(),
    };
    let direction = denial.direction.as_ref().map(|direction| format!(" {direction}")).unwrap_or_default();
    let tier = match (&denial.tier, &denial.policy) {
        (Some(tier), Some(_)) => format!(" in tier {tier}"),
        _ => String::new(),
    };
    let is_named = denial.rule.is_some() || (denial.tier.is_some() && denial.policy.is_none());
    let denied = if is_named { "denied by" } else { "denied:" };
    let line = format!(
        "{} {who}{direction}: {}{icmp}{fragment} {from} -> {to} {denied} {}{tier}",
        denial.time, denial.protocol, denial.by
    );
    denial.explain.iter().fold(line, |line, explain| line + "\n    " + explain)
}
