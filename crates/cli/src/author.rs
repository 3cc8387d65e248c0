//! The author of a write, for the history of a store.

use std::time::Duration;

use tortie_store::Author;

use crate::batch;
use crate::persona::Persona;

/// How many characters of a command are kept.
const MAX_CHARACTERS: usize = 2_000;

/// The user of this call, and the command as it was typed.
pub(crate) fn author(persona: Persona, message: &str, confirm_within: Option<Duration>) -> Author {
    let command = batch::command(persona, None);
    Author {
        uid: rustix::process::getuid().as_raw(),
        sudo_user: std::env::var("SUDO_USER").unwrap_or_default(),
        host: tortie_agent::author::this_machine(),
        command: command.chars().take(MAX_CHARACTERS).collect(),
        message: message.to_owned(),
        confirm_within,
        takes_back: None,
    }
}
