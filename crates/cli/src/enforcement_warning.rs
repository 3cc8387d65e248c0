//! Warns when no agent of this machine enforces a change: after a write, and in a preview before everything else.

use tortie_agent::off::{Off, Places};
use tortie_agent::socket::AskError;
use tortie_agent::status::{StoreState, StoreStatus, is_same_store};
use tortie_agent::table_exists;

use crate::ask::Agent;
use crate::commands::agent::run_directory;
use crate::session::Session;
use crate::store::StoreAccess;

/// Warns if this machine enforces policy of tortie, but not from the store that was just written to. Silent if no policy of
/// tortie is in force or that is unknown: the write itself is done.
pub(crate) fn warn(access: &StoreAccess, agent: &Agent, session: &mut Session) {
    if session.persona.is_calicoctl() {
        return;
    }
    say_not_kept(access, session);
    if let Some(note) = off_note() {
        return session.terminal.note(warning(&note));
    }
    let Ok(written) = access.name() else { return };
    let note = match agent.store() {
        Ok(Some(store)) => of_agent(&store, &written),
        Ok(None) => None,
        Err(error) => without_agent(&error),
    };
    if let Some(note) = note {
        session.terminal.note(warning(&note));
    }
}

/// Warns if what was just written is missing in the history of a store that keeps one: it cannot be taken back.
pub(crate) fn say_not_kept(access: &StoreAccess, session: &mut Session) {
    let why = access.store().ok().and_then(|store| store.history().and_then(|history| history.not_kept()));
    if let Some(why) = why {
        session.terminal.note(format_args!("warning[no-history]: `tortie undo` cannot take this back: {why}"));
    }
}

/// What is known of it if enforcement is switched off on this machine.
pub(crate) fn off() -> Option<Off> {
    Places::new(run_directory()).read()
}

/// What is to be said then.
pub(crate) fn off_note() -> Option<String> {
    off().map(|off| format!("{off}: nothing is enforced on this machine"))
}

/// The line for it.
pub(crate) fn warning(note: &str) -> String {
    format!("warning[not-enforced]: {note}")
}

/// What is to be said of a change where no agent answers.
pub(crate) fn without_agent(error: &AskError) -> Option<String> {
    match error {
        AskError::Nobody(_) => left_behind().map(str::to_owned),
        AskError::Silent(_) => Some(format!("{error}: whether the change is enforced here is not known")),
        _ => None,
    }
}

/// What is to be said where no agent runs and policy of an earlier one is in force.
pub(crate) fn left_behind() -> Option<&'static str> {
    matches!(table_exists(), Ok(true)).then_some(
        "no agent runs here: the kernel goes on with what the last one left, and changes are enforced once `tortie agent` runs",
    )
}

/// What is to be said of a change of a store where an agent runs.
pub(crate) fn of_agent(store: &StoreStatus, written: &str) -> Option<String> {
    let StoreStatus { name, state, since, reason, .. } = store;
    match state {
        _ if !is_same_store(name, written) => {
            Some(format!("the agent of this machine follows the {name}, not the {written}"))
        }
        StoreState::Replaced => Some(format!("the agent of this machine does not follow the {written}: {reason}")),
        StoreState::NotAsked => Some(format!("the agent of this machine does not read the {written}: {reason}")),
        StoreState::Lost | StoreState::Stale | StoreState::NotAnswering => {
            Some(format!("the agent of this machine cannot reach the {written} since {since}: {reason}"))
        }
        StoreState::Waiting | StoreState::Missing | StoreState::InSync => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_the_agent_does_not_follow_is_named_beside_the_one_that_it_follows() {
        let store = |state| StoreStatus {
            name: "embedded store /a.db".to_owned(),
            state,
            since: "T".to_owned(),
            reason: "why".to_owned(),
            puts_back: true,
            ..StoreStatus::default()
        };
        let said = |state, written: &str| of_agent(&store(state), written).unwrap_or_default();
        assert_eq!(said(StoreState::InSync, "embedded store /a.db"), "");
        assert_eq!(
            said(StoreState::InSync, "etcd at b"),
            "the agent of this machine follows the embedded store /a.db, not the etcd at b"
        );
        let own = "embedded store /a.db";
        assert!(said(StoreState::Replaced, own).ends_with("does not follow the embedded store /a.db: why"));
        assert!(said(StoreState::Lost, own).ends_with("cannot reach the embedded store /a.db since T: why"));
    }
}
