//! `off` and `on`: take the verdicts of tortie out of the kernel of this machine, and put them back. `off` needs neither a store nor
//! an agent. Over SSH `on` asks the lock-out guard first, and so does `off` for a time, after which enforcement is on again.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use tortie_agent::author::who;
use tortie_agent::off::{Off, Places, take_out_without_agent};
use tortie_agent::socket::{AskError, Reply, Request};
use tortie_api::duration;

use crate::ask::Agent;
use crate::author::author;
use crate::commands::agent::run_directory;
use crate::lock_out_guard::{self, Found};
use crate::session::Session;
use crate::store::StoreAccess;
use crate::terminal::{Exit, Usage};

/// How long the agent may take: it may be at work on a large change.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Arguments of `off`.
#[derive(Args, Debug)]
pub(crate) struct OffArgs {
    /// The agent switches enforcement on again after this time: 90s, 10m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration::positive)]
    time: Option<Duration>,
    /// The file that says how to reach the store; only --for reads it, to learn what is enforced afterwards
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: std::path::PathBuf,
    /// With --for, switch off although the next SSH connection of this session's client, or the agent's to its store, would be denied
    /// once the time has passed
    #[arg(long)]
    allow_lockout: bool,
}

/// Arguments of `on`.
#[derive(Args, Debug)]
pub(crate) struct OnArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: std::path::PathBuf,
    /// Switch on although the next SSH connection of this session's client, or the agent's to its store, would be denied
    #[arg(long)]
    allow_lockout: bool,
}

/// Switches enforcement off.
pub(crate) fn off(args: &OffArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let author = author(session.persona, "", None);
    let off = Off::by(who(&author), args.time);
    let off = off.ok_or_else(|| Usage("--for is too long: leave it out to switch off for good".to_owned()))?;
    if args.time.is_some() && !args.allow_lockout {
        let found = if_enforced(&args.config, session);
        found.tell_others(session);
        if !found.is_harmless() {
            found.tell(session);
            session.terminal.error(
                "nothing was switched off, since enforcement would be on again after that time; without --for it stays off until `tortie on`, \
                 and --allow-lockout switches it off for that time all the same",
            );
            return Ok(Exit::Refused);
        }
    }
    let places = Places::new(run_directory());
    let (file, why) = places.write(&off).map_err(only_root)?;
    if let Some(why) = why {
        session.terminal.note(format_args!(
            "warning: the file that keeps enforcement off cannot be written ({why}), so enforcement is on again when this machine starts anew"
        ));
    }
    match Agent::within(ANSWER_TIMEOUT).ask(&Request::Switch) {
        Ok(Reply::Switched { off: Some(off), .. }) => session.terminal.line(off),
        Ok(Reply::Switched { off: None, .. }) => match places.read() {
            None if off.is_over() => session.terminal.line("enforcement is on: the time has passed"),
            None => anyhow::bail!("enforcement is on: somebody switched it on meanwhile"),
            Some(_) => anyhow::bail!(unseen_file(&file)),
        },
        Ok(other) => anyhow::bail!("the verdicts are still in the kernel: {}", other.unexpected()),
        // None runs, or it hangs, which the lock tells.
        Err(_) => {
            let had_table = take_out_without_agent(&run_directory())?;
            session.terminal.line(&off);
            session.terminal.line(match had_table {
                true => "no agent runs here: what the last one left decides about no packet any more",
                false => "no agent runs here, and nothing of tortie is in the kernel",
            });
            if off.until.is_some() {
                session.terminal.line("nothing is enforced after that time either until `tortie agent` runs");
            }
        }
    }
    Ok(Exit::Done)
}

/// What is said if the agent answers that enforcement is on although the file says otherwise.
fn unseen_file(file: &Path) -> String {
    let folder = file.parent().unwrap_or(file).display();
    format!(
        "the verdicts are still in the kernel: the agent answers that enforcement is on, although {} says that it is off, so it does not see \
         this file. An agent in a container sees it if {folder} of this machine is mounted there; and TORTIE_OFF must be the same for the agent \
         and for this command",
        file.display()
    )
}

/// Says who may do it, where the files that say whether enforcement is off may not be written.
fn only_root(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => anyhow::anyhow!("only root can switch enforcement off and on: {error}"),
        _ => error.into(),
    }
}

/// What would be lost if what is to be in force came into force now, where nothing is.
fn if_enforced(config: &Path, session: &mut Session) -> Found {
    match StoreAccess::find_by(session, config) {
        Ok(access) => lock_out_guard::if_enforced(&access, None, session),
        Err(error) => lock_out_guard::unchecked(&error, session),
    }
}

/// Switches it on again.
pub(crate) fn on(args: &OnArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let places = Places::new(run_directory());
    if !args.allow_lockout && places.read().is_some() {
        let found = if_enforced(&args.config, session);
        found.tell_others(session);
        if !found.is_harmless() {
            found.tell(session);
            session.terminal.error("enforcement stays off; --allow-lockout switches it on all the same");
            return Ok(Exit::Refused);
        }
    }
    places.clear().map_err(only_root)?;
    match Agent::within(ANSWER_TIMEOUT).ask(&Request::Switch) {
        Ok(Reply::Switched { off: None, programmed: true }) => session.terminal.line("enforcement is on"),
        Ok(Reply::Switched { off: None, programmed: false }) => {
            session
                .terminal
                .line("enforcement is on, and NOTHING of the store is in the kernel yet: see `tortie status`");
            return Ok(Exit::Failed);
        }
        Ok(Reply::Switched { off: Some(off), .. }) => match places.read() {
            Some(_) => anyhow::bail!("{off}: somebody switched it off again"),
            None => anyhow::bail!(
                "{off}: the agent answers this, although no file that this command sees says so. If the agent runs in a container, remove the \
                 file there; and TORTIE_OFF must be the same for the agent and for this command"
            ),
        },
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
