//! `verify`: whether the kernel of this machine enforces what is in force by the store, and nothing else. Probe packets on and
//! beside every boundary of every endpoint's rules are judged by what is in force and by the table as the kernel gives it back;
//! none is sent. And every object of that table is compared with what is asked for.
//!
//! What is in force is what the agent of this machine says: of an object that cannot be read the last valid version, and of a
//! store that is lost or was replaced the copy. Without an agent it is what the store says.
//!
//! Exit status 0: the kernel enforces it, and it is what the store says; 1: one of the two is not so; 2: that could not be
//! found out.

mod json;
mod text;

use std::time::Duration;

use clap::Args;
use tortie_agent::off::Off;
use tortie_agent::{FELIX_CONFIG, ForeignTables, LocalFacts};
use tortie_api::duration;
use tortie_verify::Report;

use crate::args::TextOrJson;
use crate::ask::{Agent, Waited};
use crate::enforcement_warning;
use crate::in_force::{self, Basis, InForceRequest, Purpose};
use crate::local_facts;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::terminal::Exit;

/// How often everything is looked at while it goes on changing.
const MAX_ATTEMPTS: usize = 3;

/// Arguments of `verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: std::path::PathBuf,
    /// How many differences to show, of the table and of packets each
    #[arg(long, value_name = "N", default_value_t = 10)]
    most: usize,
    /// How long to wait for the agent, which first puts into the kernel what is in the store: 500ms, 10s, 1m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::positive)]
    timeout: Duration,
    /// Only the store: the agent of this machine is not asked what is in force
    #[arg(long)]
    from_store: bool,
    /// text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TextOrJson,
}

/// What was found out.
struct Found {
    /// Enforcement is off on this machine.
    off: Option<Off>,
    local_facts: LocalFacts,
    report: Report,
    /// Whether the agent said what is in force.
    by_agent: bool,
    /// Why what is in force is not what the store says.
    deviations: Vec<String>,
    /// Why it is not known whether what is in force is what the store says.
    not_compared: Option<String>,
    /// What else is to be known of what is in force.
    notes: Vec<String>,
    /// The tables of other programs, which are not compared with anything; or why they cannot be read.
    others: Result<ForeignTables, String>,
}

impl Found {
    /// Whether the kernel enforces what the store says.
    fn is_as_stored(&self) -> bool {
        self.report.wrong == 0 && self.deviations.is_empty()
    }
}

/// Verifies.
pub(crate) fn run(args: &VerifyArgs, session: &mut Session) -> anyhow::Result<Exit> {
    match find_out(args, session) {
        Ok(found) => {
            match args.output {
                TextOrJson::Json => session.terminal.line(format_args!("{:#}", json::render(&found))),
                TextOrJson::Text => text::show(&found, session),
            }
            Ok(match (found.is_as_stored(), &found.not_compared) {
                (false, _) => Exit::Failed,
                (true, Some(_)) => Exit::Unanswered,
                (true, None) => Exit::Done,
            })
        }
        Err(error) => {
            session.terminal.error(format_args!("{error:#}"));
            Ok(Exit::Unanswered)
        }
    }
}

fn find_out(args: &VerifyArgs, session: &mut Session) -> anyhow::Result<Found> {
    let access = StoreAccess::find_by(session, &args.config)?;
    let agent = Agent::within(args.timeout);
    let request = InForceRequest { from_store: args.from_store, purpose: Purpose::Answer };
    let mut tries = 0;
    loop {
        tries += 1;
        let mut sources = in_force::sources(&access, request, &agent)?;
        if let Basis::Unknown(error) = sources.basis {
            anyhow::bail!("{error}, so what is in force is not known (--from-store compares with the store alone)");
        }
        let position = sources.listing.position.clone();
        let mut behind = None;
        let mut in_kernel = sources.in_kernel.clone().unwrap_or_else(|| position.clone());
        if sources.is_received {
            match agent.wait(&access.name()?, &position)? {
                Waited { kernel: Ok(mark), .. } => in_kernel = mark.position,
                Waited { kernel: Err(missing), .. } => behind = Some(missing),
            }
        }
        let local_facts = match &sources.local_facts {
            Some(local_facts) => local_facts.clone(),
            None => local_facts::of_this_machine(&agent, FELIX_CONFIG.as_ref(), session)?,
        };
        let in_force = sources.in_force(&sources.listing);
        sources.deviations.extend(behind.clone());
        let deviations = sources.all_deviations(&in_force);
        let notes = in_force.snapshot.missing_tiers().into_iter().chain(sources.unknown.clone()).collect();
        let report = local_facts.verify(in_force, args.most)?;
        // What was written in between explains a difference, and so does an interface that changed: a difference beside a
        // running agent must be found twice.
        let changed = || sources.is_received && access.position().is_ok_and(|now| now != position);
        let moved = in_kernel != position || changed();
        let is_final = || report.wrong == 0 || tries == MAX_ATTEMPTS || behind.is_some();
        let runs = agent.runs();
        if is_final() || (!moved && (tries > 1 || !runs)) {
            if !runs {
                session.terminal.note(match report.table {
                    true => "no agent runs here: this is what one left behind",
                    false => "no agent runs here (`tortie agent`), and there is no table of tortie in the kernel",
                });
            }
            let by_agent = matches!(sources.basis, Basis::Agent);
            let others = LocalFacts::foreign_tables().map_err(|error| format!("{:#}", anyhow::Error::from(error)));
            let off = enforcement_warning::off().filter(|_| !args.from_store);
            let not_compared = sources.not_compared.take();
            return Ok(Found { off, local_facts, report, by_agent, deviations, not_compared, notes, others });
        }
    }
}
