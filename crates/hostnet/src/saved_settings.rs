//! The host's settings as they were before they were changed, kept on disk so that an uninstall restores them.
//!
//! Settings last until the machine starts again, so what is remembered is of one start and one network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::config::has_prefix;
use crate::step::Setting;
use crate::sysctl;

/// Turning this on makes the kernel ignore router advertisements on interfaces whose `accept_ra` is 1, and forget the
/// routes that it has of them.
const FORWARDING_V6: &str = "ipv6/conf/all/forwarding";

/// A setting that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The file, below `/proc/sys/net`.
    pub file: String,
    /// What it said.
    pub was: String,
    /// What it was made to say.
    pub now: String,
}

impl Changed {
    /// As `sysctl` names it: `net.ipv4.ip_forward`. A dot in an interface's name stays a slash's opposite there.
    pub fn name(&self) -> String {
        let swap = |byte| match byte {
            '/' => '.',
            '.' => '/',
            other => other,
        };
        format!("net.{}", self.file.chars().map(swap).collect::<String>())
    }
}

/// A changed setting, and the index of the interface it is about if that is a workload's. An interface that is made
/// later under the same name has another index, and what was changed of the first one is no matter of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Saved {
    changed: Changed,
    index: Option<u32>,
}

/// The settings that were changed, by file, and where they are remembered.
#[derive(Debug, Default)]
pub(crate) struct SavedSettings {
    path: Option<PathBuf>,
    saved: BTreeMap<String, Saved>,
    /// What is on disk is older.
    unsaved: bool,
}

impl SavedSettings {
    /// Remembers in this file from now on, together with what it says already.
    pub(crate) fn open(path: &Path) -> Self {
        Self { path: Some(path.to_owned()), saved: read(path).unwrap_or_default(), unsaved: false }
    }

    /// What was changed of the host's own settings, without those of workloads' interfaces.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &Changed> {
        self.saved.values().filter(|one| one.index.is_none()).map(|one| &one.changed)
    }

    /// Changes a setting of the host. What it said is on disk before, unless that fails: then the setting is written all
    /// the same, and the error is returned. `prefixes` begin the names of workloads' interfaces.
    pub(crate) fn write(&mut self, file: &str, value: &str, optional: bool, prefixes: &[String]) -> io::Result<()> {
        if file == FORWARDING_V6 && value == "1" && sysctl::read(file)? != value {
            self.keep_accepting_advertisements(prefixes)?;
        }
        self.write_one(file, value, optional)
    }

    /// Remembers what these settings of workloads' interfaces say before they are written: all of them with one write to
    /// disk. If that fails, [`save`](Self::save) tries again.
    pub(crate) fn remember<'a>(&mut self, settings: impl Iterator<Item = &'a Setting>) {
        for setting in settings.filter(|setting| setting.index.is_some() && !setting.left) {
            // What cannot be read cannot be written either, which is told then.
            if let Ok(was) = sysctl::read(&setting.file) {
                self.remember_one(&setting.file, was, &setting.value.to_string(), setting.index);
            }
        }
        if self.unsaved {
            self.saved.retain(|file, one| one.index.is_none() || sysctl::exists(file));
        }
        drop(self.save());
    }

    /// Interfaces that accept router advertisements because the host does not forward accept them also when it does, and
    /// so do interfaces that are made later.
    fn keep_accepting_advertisements(&mut self, prefixes: &[String]) -> io::Result<()> {
        for interface in sysctl::names("ipv6/conf")?.iter().filter(|name| !has_prefix(name, prefixes)) {
            let file = format!("ipv6/conf/{interface}/accept_ra");
            if !["all", "lo"].contains(&interface.as_str()) && sysctl::read(&file).is_ok_and(|value| value == "1") {
                self.write_one(&file, "2", true)?;
            }
        }
        Ok(())
    }

    fn write_one(&mut self, file: &str, value: &str, optional: bool) -> io::Result<()> {
        match sysctl::read(file) {
            Err(error) if optional && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            was => self.remember_one(file, was?, value, None),
        }
        let saved = self.save();
        sysctl::write(file, value, optional)?;
        saved
    }

    /// A setting that says what it was made to say before was something else before that; any other value is somebody
    /// else's, and the one to restore.
    fn remember_one(&mut self, file: &str, was: String, now: &str, index: Option<u32>) {
        let known = self.saved.get(file).filter(|known| known.index == index && known.changed.now == was);
        let was = known.map_or(was, |known| known.changed.was.clone());
        let saved = (was != now).then(|| {
            let changed = Changed { file: file.to_owned(), was, now: now.to_owned() };
            Saved { changed, index }
        });
        if self.saved.get(file) != saved.as_ref() {
            self.unsaved = true;
            match saved {
                Some(saved) => drop(self.saved.insert(file.to_owned(), saved)),
                None => drop(self.saved.remove(file)),
            }
        }
    }

    /// Writes to disk what is not there yet.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.unsaved) else { return Ok(()) };
        let one = |Saved { changed, index }: &Saved| {
            (changed.file.clone(), json!({"was": changed.was, "now": changed.now, "index": index}))
        };
        let settings: Map<String, Value> = self.saved.values().map(one).collect();
        let whole = json!({"of": place()?, "settings": settings});
        let draft = path.with_extension("draft");
        // Not synced: after a crash of the machine the settings are gone too.
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        io::Write::write_all(&mut file, whole.to_string().as_bytes())?;
        fs::rename(&draft, path)?;
        self.unsaved = false;
        Ok(())
    }
}

/// Restores the settings that are remembered in a file, and forgets them. A setting that says something else than it was
/// made to say is left alone, as is one of an interface that was made anew: somebody else has changed it. Returns what was
/// restored.
pub fn restore(path: &Path) -> io::Result<Vec<Changed>> {
    let Some(saved) = read(path) else { return Ok(Vec::new()) };
    let mut restored = Vec::new();
    // Router advertisements are accepted with `accept_ra` 1 only where nothing is forwarded, so forwarding goes first.
    let (first, then): (Vec<_>, Vec<_>) =
        saved.into_values().partition(|one| one.changed.file.ends_with("forward") || one.changed.file == FORWARDING_V6);
    for Saved { changed: Changed { file, was, now }, index } in first.into_iter().chain(then) {
        let same = index.is_none_or(|index| sysctl::interface(&file).and_then(sysctl::index) == Some(index));
        if same && sysctl::read(&file).is_ok_and(|value| value == now) {
            sysctl::write(&file, &was, true)?;
            restored.push(Changed { file, was: now, now: was });
        }
    }
    fs::remove_file(path)?;
    Ok(restored)
}

/// What a file says; none if it does not exist, cannot be read, or is of another start of the machine.
fn read(path: &Path) -> Option<BTreeMap<String, Saved>> {
    let whole: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    if whole["of"].as_str()? != place().ok()? {
        return None;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let one = |(file, value): (&String, &Value)| {
        // Only names below `/proc/sys/net`, whoever wrote the file.
        let inside = !file.starts_with('/') && !file.split('/').any(|part| part == "..");
        let changed = Changed { file: file.clone(), was: text(&value["was"])?, now: text(&value["now"])? };
        let index = value["index"].as_u64().and_then(|index| index.try_into().ok());
        inside.then(|| (file.clone(), Saved { changed, index }))
    };
    Some(whole["settings"].as_object()?.iter().filter_map(one).collect())
}

/// What tells this start of the machine and this network namespace from all others.
fn place() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::metadata("/proc/thread-self/ns/net")?.ino();
    Ok(format!("{}/{namespace}", boot.trim()))
}
