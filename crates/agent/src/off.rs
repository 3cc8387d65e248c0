//! Switching enforcement off by hand: with `tortie off`, a file, or an argument of the kernel.
//!
//! ```text
//!   /etc/tortie/off, RUN/off ──┐
//!   kernel argument tortie.off ┴─> Places::read ──> Switch::look (the agent: every 250 ms, and when a client asks) ──> dataplane
//! ```
//!
//! Only the files record it, so whatever ends in between (the command, the agent, the machine), the next agent does what
//! they say. A file whose time has passed is ignored.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tortie_dataplane_nft::{ApplyError, Existing, Kernel, TableOptions};

use crate::dataplane_thread::{SharedDataplane, lock};
use crate::lock::{Lock, LockError};
use crate::log_event;
use crate::socket;
use crate::status_cell::StatusCell;
use crate::stop_flag::StopFlag;
use crate::{private_directory, supervisor, utc};

/// The file that keeps enforcement off, unless `TORTIE_OFF` names another.
pub const DEFAULT_FILE: &str = "/etc/tortie/off";
/// The arguments of the running kernel.
const KERNEL_ARGUMENTS: &str = "/proc/cmdline";
/// The argument that keeps enforcement off.
const ARGUMENT: &str = "tortie.off";
/// The file in the run directory that switches enforcement off if [`DEFAULT_FILE`] cannot be written.
const OFF: &str = "off";
/// The file in the run directory that switches enforcement on despite the kernel's argument.
const ON: &str = "on";
/// How often the files are read.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// The name of the problem in the status.
const PROBLEM: &str = "switching enforcement off or on";

/// Since when, by whom and until when enforcement is off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Off {
    /// Since when, as UTC.
    pub since: String,
    /// Who switched it off, or which file.
    pub by: String,
    /// Until when, as UTC; none: until `tortie on`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Off {
    /// Off from now on, for a time or until `tortie on`. None if the end is out of range.
    pub fn by(who: String, time: Option<Duration>) -> Option<Self> {
        let now = Timestamp::now();
        let until = match time {
            None => None,
            Some(time) => Some(utc::of(now.checked_add(time).ok()?)),
        };
        Some(Self { since: utc::of(now), by: who, until })
    }

    /// Whether its time has passed.
    pub fn is_over(&self) -> bool {
        self.is_over_at(Timestamp::now())
    }

    fn is_over_at(&self, now: Timestamp) -> bool {
        let until = self.until.as_ref().and_then(|until| until.parse::<Timestamp>().ok());
        until.is_some_and(|until| until <= now)
    }
}

impl std::fmt::Display for Off {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { since, by, until } = self;
        write!(to, "enforcement is OFF since {since} by {by}, until {}", until.as_deref().unwrap_or("`tortie on`"))
    }
}

/// The files, and the kernel argument, that switch enforcement off.
#[derive(Clone, Debug)]
pub struct Places {
    file: PathBuf,
    run: PathBuf,
    kernel_arguments: PathBuf,
    /// Whether the running kernel has the argument, which does not change; none until it was read.
    argument: OnceLock<bool>,
}

impl Places {
    /// The default places; `run` is the agent's run directory.
    pub fn new(run: PathBuf) -> Self {
        let from = |variable: &str, default: &str| {
            std::env::var_os(variable).filter(|value| !value.is_empty()).map_or_else(|| default.into(), PathBuf::from)
        };
        Self {
            file: from("TORTIE_OFF", DEFAULT_FILE),
            kernel_arguments: from("TORTIE_TEST_KERNEL_ARGUMENTS", KERNEL_ARGUMENTS),
            run,
            argument: OnceLock::new(),
        }
    }

    /// Reads whether enforcement must be off now; none if it must be on.
    pub fn read(&self) -> Option<Off> {
        let now = Timestamp::now();
        let by_file = self.files().into_iter().filter_map(|path| read_file(&path)).find(|off| !off.is_over_at(now));
        by_file.or_else(|| {
            let is_off = self.has_argument() && !self.run.join(ON).exists();
            is_off.then(|| Off {
                since: "the start of this machine".to_owned(),
                by: format!("the kernel argument {ARGUMENT}"),
                until: None,
            })
        })
    }

    /// Writes that enforcement must be off. Returns the file. If the first file cannot be written, it is one that does not
    /// survive a reboot, and the reason is returned too.
    pub fn write(&self, off: &Off) -> io::Result<(PathBuf, Option<io::Error>)> {
        let content = serde_json::to_string(off)? + "\n";
        let [file, short] = self.files();
        let made = file.parent().map_or(Ok(()), fs::create_dir_all);
        let first = made.and_then(|()| replace(&file, &content));
        // The file that is read first counts.
        let Err(why) = first else {
            remove(&short).map_err(|error| of_file(&short, &error))?;
            return Ok((file, None));
        };
        private_directory::make(&self.run, Path::new(socket::DEFAULT_RUN))
            .map_err(|error| of_file(&self.run, &error))?;
        replace(&short, &content).map_err(|error| of_file(&short, &error))?;
        Ok((short, Some(of_file(&file, &why))))
    }

    /// Writes that enforcement must be on. A file that cannot be removed is an error if it says that enforcement is off now.
    pub fn clear(&self) -> io::Result<()> {
        let is_over = |path: &Path| read_file(path).is_none_or(|off| off.is_over());
        // Each file is removed, even if removing the other fails.
        let results = self.files().map(|file| match remove(&file) {
            Err(error) if !is_over(&file) => Err(of_file(&file, &error)),
            _ => Ok(()),
        });
        results.into_iter().collect::<io::Result<()>>()?;
        if self.has_argument() {
            let on = self.run.join(ON);
            private_directory::make(&self.run, Path::new(socket::DEFAULT_RUN))
                .and_then(|()| replace(&on, ""))
                .map_err(|error| of_file(&on, &error))?;
        }
        Ok(())
    }

    fn files(&self) -> [PathBuf; 2] {
        [self.file.clone(), self.run.join(OFF)]
    }

    fn has_argument(&self) -> bool {
        self.argument.get().copied().unwrap_or_else(|| {
            let Ok(arguments) = fs::read_to_string(&self.kernel_arguments) else { return false };
            let is_argument = |one: &str| one == ARGUMENT || one.strip_prefix(ARGUMENT) == Some("=1");
            *self.argument.get_or_init(|| arguments.split_whitespace().any(is_argument))
        })
    }
}

/// Reads a file. A file without tortie's content, which somebody made by hand, switches enforcement off too.
fn read_file(path: &Path) -> Option<Off> {
    let made = fs::symlink_metadata(path).ok()?;
    let said = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str::<Off>(&text).ok());
    let said = said.unwrap_or_default();
    let modified =
        || made.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).map(utc::of).unwrap_or_default();
    Some(Off {
        since: if said.since.is_empty() { modified() } else { said.since },
        by: if said.by.is_empty() { format!("the file {}", path.display()) } else { said.by },
        until: said.until,
    })
}

/// Replaces a file atomically.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Removes a file, if it exists. The error of removing does not say whether it does: on a read-only mount, and below a directory
/// that may not be written, a kernel may refuse before it looks whether there is a file.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(path) => Err(error),
        _ => Ok(()),
    }
}

/// Whether the file certainly does not exist, also because a parent is not a directory.
fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_err_and(|error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory))
}

/// Adds the path of the file to an error.
fn of_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Switches the dataplane off and on as the places say.
pub(crate) struct Switch {
    places: Places,
    dataplane: SharedDataplane,
    status: Arc<StatusCell>,
    /// Held during [`Switch::look`], so that only one runs at a time.
    turn: Mutex<()>,
}

impl Switch {
    pub(crate) fn new(places: Places, dataplane: SharedDataplane, status: Arc<StatusCell>) -> Self {
        Self { places, dataplane, status, turn: Mutex::new(()) }
    }

    /// Reads the places, and switches the dataplane. Returns what is in force then.
    pub(crate) fn look(&self) -> Result<Option<Off>, String> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.places.read();
        let before = self.status.read().off.clone();
        if wanted == before {
            return Ok(wanted);
        }
        let result = lock(&self.dataplane).set_off(wanted.is_some());
        if let Some(reason) = self.status.set_problem(PROBLEM, result.as_ref().err().map(String::as_str)) {
            log::error!(target: log_event::ENFORCEMENT_UNCHANGED, "enforcement cannot be switched off or on, and that is tried again: {reason}");
        }
        result?;
        self.status.update(|record| record.off.clone_from(&wanted));
        match &wanted {
            Some(off) => log::error!(target: log_event::ENFORCEMENT_OFF, "{off}"),
            None => log::warn!(target: log_event::ENFORCEMENT_ON, "enforcement is on again"),
        }
        Ok(wanted)
    }

    /// Reads the places repeatedly until the agent ends.
    pub(crate) fn run(&self, stop: &StopFlag) {
        while !stop.is_set() {
            {
                let _working = supervisor::working();
                // The error was logged, and is in the status.
                drop(self.look());
            }
            stop.wait(CHECK_INTERVAL);
        }
    }
}

/// Why verdicts are still in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum OffError {
    /// An agent runs and does not answer.
    #[error(
        "the verdicts are still in the kernel: an agent runs and does not answer, process {0}; end it (`kill -9 {0}`) and run `tortie off` again"
    )]
    Hangs(String),
    /// Whether an agent runs is not known.
    #[error("the verdicts are still in the kernel: whether an agent runs is not known")]
    Lock(#[source] LockError),
    /// The kernel refused it.
    #[error("the verdicts are still in the kernel")]
    Kernel(#[source] ApplyError),
}

/// Removes the verdicts that an agent left in the kernel, if no agent runs. Returns whether the kernel had tortie's table.
pub fn take_out_without_agent(run: &Path) -> Result<bool, OffError> {
    // Held to the end, so that no agent starts meanwhile.
    let _lock = match Lock::take(run) {
        Err(LockError::Held(process)) => return Err(OffError::Hangs(process)),
        lock => lock.map_err(OffError::Lock)?,
    };
    let found = Kernel::take_verdicts_out(&TableOptions::default()).map_err(OffError::Kernel)?;
    Ok(matches!(found, Existing::Table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(place: &Path) -> Places {
        Places {
            file: place.join("etc/off"),
            run: place.join("run"),
            kernel_arguments: place.join("arguments"),
            argument: OnceLock::new(),
        }
    }

    #[test]
    fn a_file_says_off_until_its_time_has_passed_whatever_it_holds() {
        let place = tempfile::tempdir().unwrap();
        let places = places(place.path());
        assert_eq!(places.read(), None);
        let off = Off::by("me".to_owned(), Some(Duration::from_secs(600))).unwrap();
        places.write(&off).unwrap();
        assert_eq!(places.read(), Some(off.clone()));
        places.write(&Off { until: Some(utc::of(Timestamp::now())), ..off.clone() }).unwrap();
        assert_eq!(places.read(), None);
        for content in ["", "because", r#"{"until": "tomorrow"}"#] {
            fs::write(&places.file, content).unwrap();
            let by = format!("the file {}", places.file.display());
            assert_eq!(places.read().map(|off| off.by), Some(by), "{content}");
        }
        places.clear().unwrap();
        assert_eq!(places.read(), None);
    }

    #[test]
    fn if_the_file_cannot_be_written_another_one_counts_and_on_removes_both() {
        let place = tempfile::tempdir().unwrap();
        let places = places(place.path());
        // A file in the place of the directory.
        fs::write(place.path().join("etc"), "").unwrap();
        let off = Off::by("me".to_owned(), None).unwrap();
        let (path, why) = places.write(&off).unwrap();
        assert_eq!(path, place.path().join("run/off"));
        assert!(why.is_some_and(|why| why.to_string().contains("etc/off: ")));
        assert_eq!(places.read(), Some(off));
        // What cannot be removed because it is not there is no reason to stay off.
        places.clear().unwrap();
        assert_eq!(places.read(), None);
    }

    #[test]
    fn the_kernel_argument_counts_until_on_and_a_later_off_overrides_it() {
        let place = tempfile::tempdir().unwrap();
        let boot = |arguments: &str| {
            fs::write(place.path().join("arguments"), arguments).unwrap();
            places(place.path())
        };
        for (arguments, is_off) in
            [("quiet tortie.off ro", true), ("tortie.off=1\n", true), ("tortie.off=0", false), ("xtortie.off", false)]
        {
            assert_eq!(boot(arguments).read().is_some(), is_off, "{arguments}");
        }
        let places = boot("tortie.off");
        places.clear().unwrap();
        assert_eq!(places.read(), None);
        places.write(&Off::by("me".to_owned(), None).unwrap()).unwrap();
        assert!(places.read().is_some());
    }
}
