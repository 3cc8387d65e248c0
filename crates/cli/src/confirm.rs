//! `--confirm`: a change that the agent puts back unless `tortie confirm` keeps it in time.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use tortie_agent::status::{StoreState, is_same_store};
use tortie_agent::utc;
use tortie_api::duration;
use tortie_client::Client;

use crate::ask::Agent;
use crate::author::author;
use crate::commands::history::revisions;
use crate::session::Session;
use crate::store::StoreAccess;

/// What the commands take whose change may wait for a confirmation.
#[derive(Args, Debug)]
pub(crate) struct ConfirmArgs {
    /// Put everything back after this time (90s, 10m, 2h; at most 24h) unless `tortie confirm` comes before: the agent does it
    /// (not on Kubernetes)
    #[arg(
        long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "2m",
        value_parser = within
    )]
    pub(crate) confirm: Option<Duration>,
}

/// How long an agent may take to find out whether it can put back changes of this store.
const LOOKS: Duration = Duration::from_secs(2);
/// The longest time that a change may wait.
const MAX_TIME: Duration = Duration::from_secs(24 * 3600);

/// A time within which somebody can confirm.
fn within(text: &str) -> Result<Duration, String> {
    // Go reads a sign; a time to wait has none.
    let unsigned = Some(text).filter(|text| !text.starts_with('+')).ok_or(());
    let within = unsigned
        .and_then(|text| duration::parse(text).map_err(drop))
        .map_err(|()| "it is not a time such as 90s, 10m or 2h".to_owned())?;
    match within {
        within if within < Duration::from_secs(1) => Err("it is shorter than 1s: nobody could confirm".to_owned()),
        within if within > MAX_TIME => Err("it is longer than 24h".to_owned()),
        within => Ok(within),
    }
}

impl ConfirmArgs {
    /// Lets what is written from now on wait for a confirmation. An error where nobody would put it back. A dry run only looks
    /// whether that is so.
    pub(crate) fn set_author(
        &self,
        access: &StoreAccess,
        message: Option<&str>,
        dry_run: bool,
        session: &mut Session,
    ) -> anyhow::Result<()> {
        let Some(within) = self.confirm else { return Ok(()) };
        self.check(access)?;
        if dry_run {
            let within = duration::text(within);
            session
                .terminal
                .note(format_args!("this would be put back after {within} unless `tortie confirm` comes before"));
            return Ok(());
        }
        let store = access.store()?;
        // What every store begins with is not put back.
        Client::new(store.clone()).initialise("", "")?;
        access.history(&*store)?.set_author(author(session.persona, message.unwrap_or_default(), Some(within)));
        Ok(())
    }

    /// An error where what is written could not wait for a confirmation, because nobody would put it back.
    pub(crate) fn check(&self, access: &StoreAccess) -> anyhow::Result<()> {
        if self.confirm.is_none() {
            return Ok(());
        }
        let store = access.store()?;
        let history = access.history(&*store).context("--confirm cannot be used here")?;
        let mut followed = Agent::soon().store();
        // One that was asked looks at once whether it can.
        let begun = Instant::now();
        while !history.is_complete()
            && begun.elapsed() < LOOKS
            && matches!(&followed, Ok(Some(status)) if !status.puts_back)
        {
            std::thread::sleep(LOOKS / 20);
            followed = Agent::soon().store();
        }
        let why = match followed {
            Err(error) => error.to_string(),
            Ok(None) => "it does not say which store it follows".to_owned(),
            Ok(Some(status)) if !is_same_store(&status.name, &access.name()?) => format!("it follows another store, {}", status.name),
            // The first write makes a missing one.
            Ok(Some(status)) if !matches!(status.state, StoreState::InSync | StoreState::Missing) => {
                format!("it does not follow this store now: {}", status.reason)
            }
            Ok(Some(status)) if !history.is_complete() && !status.puts_back => {
                "it cannot put back changes of this etcd: it takes permission to read and write /tortie/history/ and to write objects, and an agent of this release".to_owned()
            }
            Ok(Some(_)) => return Ok(()),
        };
        anyhow::bail!("--confirm needs the agent of this machine, which puts the change back: {why}");
    }

    /// Prints when what was just written is put back, if anything was written.
    pub(crate) fn announce(&self, access: &StoreAccess, session: &mut Session) -> anyhow::Result<()> {
        if self.confirm.is_none() {
            return Ok(());
        }
        let store = access.store()?;
        let own = author(session.persona, "", None).command;
        let waiting = access.history(&*store)?.pending()?;
        if let Some((entry, pending)) = waiting.iter().find(|(entry, _)| entry.author.command == own) {
            session.terminal.note(format_args!(
                "revision {} is put back at {} unless `tortie confirm` comes before, from a new session",
                revisions(entry),
                utc::of_milliseconds(pending.deadline)
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_confirm_is_from_a_second_to_a_day() {
        assert_eq!(within("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(within("24h"), Ok(MAX_TIME));
        for wrong in ["0", "10ms", "25h", "1d", "10", "-1m", "+5s", ""] {
            assert!(within(wrong).is_err(), "{wrong}");
        }
    }
}
