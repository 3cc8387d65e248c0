//! Removes everything that tortie has in the kernel, and restores the host's settings, with or without a running agent.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tortie_dataplane_nft::{ApplyError, Existing, Kernel, TableOptions};
use tortie_hostnet::Changed;

use crate::lock::{Lock, LockError};
use crate::socket::{self, AskError, Reply, Request};

/// The file with the host's original settings, in the directory of the agent's state.
pub(crate) const SETTINGS: &str = "host-settings.json";

/// How long a running agent may take to answer a request for its status.
const LIFE_SIGN: Duration = Duration::from_secs(5);
/// How long it may take to remove its tables.
const REMOVAL: Duration = Duration::from_secs(30);
/// How long it may take to end afterwards.
const ENDING: Duration = Duration::from_secs(10);

/// What an uninstall did.
#[derive(Debug)]
pub struct Uninstalled {
    /// Whether the table existed. It was removed.
    pub tables: bool,
    /// The host's settings that were restored.
    pub settings: Vec<Changed>,
}

/// Why an uninstall is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// The kernel refused it.
    #[error("cannot remove the table of tortie")]
    Kernel(#[source] ApplyError),
    /// The running agent could not remove its table.
    #[error("the running agent could not remove its table: {0}")]
    Agent(String),
    /// The running agent does not answer.
    #[error(
        "nothing was removed: an agent runs and does not answer, process {process}; end it (`systemctl stop tortie`, or `kill -9 {process}`) and uninstall again"
    )]
    Hangs {
        /// The agent's process.
        process: String,
        /// Why it was not reached.
        #[source]
        source: AskError,
    },
    /// The running agent removed its table, but did not end.
    #[error(
        "the table is removed, but the agent still runs, process {0}, so the host's settings were not restored; end it (`kill -9 {0}`) and uninstall again"
    )]
    RunsOn(String),
    /// Whether an agent runs is not known.
    #[error("whether an agent runs is not known, so nothing more was done")]
    Lock(#[source] LockError),
    /// The settings could not be restored.
    #[error("the table is removed, but the host's settings could not be restored as {} says", path.display())]
    Settings {
        /// The file with the original settings.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Removes everything. A running agent removes its table and ends. If it does not answer, the error names it, and
/// nothing is removed.
pub fn uninstall(run: &Path, state: &Path) -> Result<Uninstalled, UninstallError> {
    // Held to the end, so that no agent starts meanwhile.
    let (lock, by_agent) = match ask(run) {
        Ok(Reply::Done) => (take_lock(run, Instant::now() + ENDING)?, true),
        Ok(Reply::Failed { reason }) => return Err(UninstallError::Agent(reason)),
        Ok(other) => return Err(UninstallError::Agent(other.unexpected())),
        Err(nobody) => match Lock::take(run) {
            Err(LockError::Held(process)) => return Err(UninstallError::Hangs { process, source: nobody }),
            lock => (lock.map_err(UninstallError::Lock)?, false),
        },
    };
    let tables = by_agent || {
        let found = Kernel::uninstall(&TableOptions::default()).map_err(UninstallError::Kernel)?;
        matches!(found, Existing::Table)
    };
    let path = state.join(SETTINGS);
    let settings = tortie_hostnet::restore(&path).map_err(|source| UninstallError::Settings { path, source })?;
    drop(lock);
    Ok(Uninstalled { tables, settings })
}

/// Asks a running agent to remove its table. Its status is asked first, to find out whether it hangs.
fn ask(run: &Path) -> Result<Reply, AskError> {
    socket::ask(run, &Request::Status, Instant::now() + LIFE_SIGN)?;
    socket::ask(run, &Request::Uninstall, Instant::now() + REMOVAL)
}

/// Takes the lock, once the agent that was asked has ended.
fn take_lock(run: &Path, until: Instant) -> Result<Lock, UninstallError> {
    loop {
        match Lock::take(run) {
            Err(LockError::Held(process)) if Instant::now() >= until => return Err(UninstallError::RunsOn(process)),
            Err(LockError::Held(_)) => std::thread::sleep(Duration::from_millis(20)),
            other => return other.map_err(UninstallError::Lock),
        }
    }
}
