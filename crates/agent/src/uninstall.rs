//! Taking everything of ours out of the kernel, with or without a running agent.

use std::path::Path;
use std::time::{Duration, Instant};

use tortie_dataplane_nft::{ApplyError, Found, Kernel, Options};

use crate::socket::{self, AskError, Reply, Request};

/// How long a running agent may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why something of ours is still there.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// The kernel did not do it.
    #[error("cannot remove our tables")]
    Kernel(#[source] ApplyError),
    /// The running agent did not.
    #[error("the running agent could not remove its tables: {0}")]
    Agent(String),
    /// The running agent cannot be asked.
    #[error("an agent holds our tables and cannot be asked to remove them")]
    Ask(#[source] AskError),
}

/// Removes everything. An agent that runs here does it, and ends. Whether there was anything.
pub fn uninstall(run: &Path) -> Result<bool, UninstallError> {
    match socket::ask(run, &Request::Uninstall, Instant::now() + PATIENCE) {
        Ok(Reply::Done) => Ok(true),
        Ok(Reply::Failed { reason }) => Err(UninstallError::Agent(reason)),
        Ok(other) => Err(UninstallError::Agent(other.unexpected())),
        Err(nobody) => match Kernel::uninstall(&Options::default()) {
            Ok(found) => Ok(matches!(found, Found::Table)),
            Err(ApplyError::Held(_)) => Err(UninstallError::Ask(nobody)),
            Err(error) => Err(UninstallError::Kernel(error)),
        },
    }
}
