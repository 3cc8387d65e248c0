//! Keeps the files that say which workloads are up equal to what is requested, and tries again after an error.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tortie_hostnet::status::StatusFiles;

/// The pause after a file could not be written.
const PAUSE: Duration = Duration::from_secs(10);

/// What the files are to be.
#[derive(Default)]
pub(super) struct Files {
    prefix: Option<PathBuf>,
    files: Option<StatusFiles>,
    /// Name and text of each workload's file, by interface.
    wanted: BTreeMap<String, (String, String)>,
    problems: Vec<String>,
    /// When to try again.
    again: Option<Instant>,
    /// What is wanted may have changed, or which workloads are up.
    pub(super) is_outdated: bool,
}

impl Files {
    /// They are written below this folder from now on, or not at all. Those of the old place go.
    pub(super) fn move_to(&mut self, prefix: Option<PathBuf>) {
        if self.prefix == prefix {
            return;
        }
        if let Some(mut files) = self.files.take() {
            // What stays behind there misleads nobody: whoever reads them follows the setting.
            drop(files.update(&BTreeMap::new()));
        }
        (self.prefix, self.is_outdated) = (prefix, true);
    }

    /// What is to be said of the workload of an interface.
    pub(super) fn set_file(&mut self, interface: &str, file: Option<(String, String)>) {
        self.is_outdated = true;
        match file {
            Some(file) => drop(self.wanted.insert(interface.to_owned(), file)),
            None => drop(self.wanted.remove(interface)),
        }
    }

    /// Nothing is said of other interfaces.
    pub(super) fn keep_only(&mut self, interfaces: &BTreeSet<&str>) {
        self.is_outdated = true;
        self.wanted.retain(|interface, _| interfaces.contains(interface.as_str()));
    }

    /// Others may have changed them: they are looked at before they are next brought up to date.
    pub(super) fn recheck(&mut self) {
        (self.files, self.is_outdated) = (None, true);
    }

    /// What could not be done.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// When to bring them up to date again at the latest.
    pub(super) fn next_update(&self) -> Option<Instant> {
        self.again
    }

    /// Brings them up to date, should there be reason to: a file for every workload that is up.
    pub(super) fn update(&mut self, is_up: impl Fn(&str) -> bool) {
        let due = self.again.is_some_and(|again| again <= Instant::now());
        if !(mem::take(&mut self.is_outdated) || due) {
            return;
        }
        self.problems = self.try_to_update(is_up);
        self.again = (!self.problems.is_empty()).then(|| Instant::now() + PAUSE);
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
