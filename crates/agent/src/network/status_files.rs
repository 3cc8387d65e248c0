//! Keeps the files that say which workloads are up equal to what is requested, and tries again after an error.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tortie_hostnet::endpoint_status::StatusFiles;

/// The pause after a file could not be written.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// The files that must exist.
#[derive(Default)]
pub(super) struct WantedStatusFiles {
    prefix: Option<PathBuf>,
    files: Option<StatusFiles>,
    /// The name and text of each workload's file, by interface.
    wanted: BTreeMap<String, (String, String)>,
    problems: Vec<String>,
    /// When to try again.
    again: Option<Instant>,
    /// Whether the wanted files, or which workloads are up, may have changed.
    pub(super) is_outdated: bool,
}

impl WantedStatusFiles {
    /// Sets the folder, or none to write no files. The files in the old folder are removed.
    pub(super) fn move_to(&mut self, prefix: Option<PathBuf>) {
        if self.prefix == prefix {
            return;
        }
        if let Some(mut files) = self.files.take() {
            // Files that cannot be removed do no harm: programs that read them follow the setting.
            drop(files.update(&BTreeMap::new()));
        }
        (self.prefix, self.is_outdated) = (prefix, true);
    }

    /// Sets the file of the workload of an interface; none removes it.
    pub(super) fn set_file(&mut self, interface: &str, file: Option<(String, String)>) {
        self.is_outdated = true;
        match file {
            Some(file) => drop(self.wanted.insert(interface.to_owned(), file)),
            None => drop(self.wanted.remove(interface)),
        }
    }

    /// Removes the files of all other interfaces.
    pub(super) fn keep_only(&mut self, interfaces: &BTreeSet<&str>) {
        self.is_outdated = true;
        self.wanted.retain(|interface, _| interfaces.contains(interface.as_str()));
    }

    /// Reads the files again before the next update: other programs may have changed them.
    pub(super) fn recheck(&mut self) {
        (self.files, self.is_outdated) = (None, true);
    }

    /// What failed in the last update.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The latest time of the next update.
    pub(super) fn next_update(&self) -> Option<Instant> {
        self.again
    }

    /// Updates the files if they may be outdated: there is one for every workload that is up.
    pub(super) fn update(&mut self, is_up: impl Fn(&str) -> bool) {
        let due = self.again.is_some_and(|again| again <= Instant::now());
        if !(mem::take(&mut self.is_outdated) || due) {
            return;
        }
        self.problems = self.try_to_update(is_up);
        self.again = (!self.problems.is_empty()).then(|| Instant::now() + RETRY_DELAY);
    }

    fn try_to_update(&mut self, is_up: impl Fn(&str) -> bool) -> Vec<String> {
        let Some(prefix) = &self.prefix else { return Vec::new() };
        let files = match &mut self.files {
            Some(files) => files,
            none => match StatusFiles::open(prefix) {
                Ok(files) => none.insert(files),
                Err(error) => return vec![format!("no status files can be kept below {}: {error}", prefix.display())],
            },
        };
        let up = self.wanted.iter().filter(|(interface, _)| is_up(interface));
        let errors = files.update(&up.map(|(_, file)| file.clone()).collect());
        errors.iter().map(|error| format!("{error}: {}", error.source)).collect()
    }
}
