//! `off` and `on`: take the verdicts of tortie out of the kernel of this machine, and put them back. Neither needs the store, and
//! `off` does not need an agent.

use std::time::Duration;

use clap::Args;
use tortie_agent::off::{Off, Places, take_out_without_agent};
use tortie_agent::socket::{AskError, Reply, Request};
use tortie_api::duration;

use crate::ask::Agent;
use crate::author::{author, who};
use crate::commands::agent::run_directory;
use crate::report::{Exit, Usage};
use crate::session::Session;

/// How long the agent may take: it may be at work on a large change.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `off`.
#[derive(Args, Debug)]
pub(crate) struct OffArgs {
    /// The agent switches enforcement on again after this time: 90s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    time: Option<Duration>,
}

/// Arguments of `on`.
#[derive(Args, Debug)]
pub(crate) struct OnArgs {}

/// Switches enforcement off.
pub(crate) fn off(args: &OffArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let author = author(session.persona, "", None);
    let off = Off::by(who(&author), args.time);
    let off = off.ok_or_else(|| Usage("--for is too long: leave it out to switch off for good".to_owned()))?;
    let (_, why) = Places::new(run_directory()).write(&off)?;
    if let Some(why) = why {
        session.terminal.note(format_args!(
            "warning: {} cannot be written ({why}), so enforcement is on again when this machine starts anew",
            tortie_agent::off::DEFAULT_FILE
        ));
    }
    match Agent::within(PATIENCE).ask(&Request::Switch) {
        Ok(Reply::Switched { off: Some(off), .. }) => session.terminal.line(off),
        Ok(Reply::Switched { off: None, .. }) => session.terminal.line("enforcement is on: the time has passed"),
        Ok(other) => anyhow::bail!("the verdicts are still in the kernel: {}", other.unexpected()),
        // None runs, or it hangs, which the lock tells.
        Err(_) => {
            let had_table = take_out_without_agent(&run_directory())?;
            session.terminal.line(&off);
            session.terminal.line(match had_table {
                true => "no agent runs here: what the last one left decides about no packet any more",
                false => "no agent runs here, and nothing of ours is in the kernel",
            });
            if off.until.is_some() {
                session.terminal.line("nothing is enforced after that time either until `tortie agent` runs");
            }
        }
    }
    Ok(Exit::Done)
}

/// Switches it on again.
pub(crate) fn on(session: &mut Session) -> anyhow::Result<Exit> {
    Places::new(run_directory()).clear()?;
    match Agent::within(PATIENCE).ask(&Request::Switch) {
        Ok(Reply::Switched { off: None, programmed: true }) => session.terminal.line("enforcement is on"),
        Ok(Reply::Switched { off: None, programmed: false }) => {
            session
                .terminal
                .line("enforcement is on, and NOTHING of the store is in the kernel yet: see `tortie status`");
            return Ok(Exit::Failed);
        }
        Ok(Reply::Switched { off: Some(off), .. }) => anyhow::bail!("{off}: somebody switched it off again"),
        Ok(other) => anyhow::bail!("it is not known whether enforcement is on: {}", other.unexpected()),
        Err(AskError::Nobody(_)) => {
            session
                .terminal
                .error("enforcement is to be on, and no agent runs here: it is on once `tortie agent` runs");
            return Ok(Exit::Unanswered);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Done)
}
