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

/// The settings of the host that were changed, by file, and where they are remembered.
#[derive(Debug, Default)]
pub(crate) struct SavedSettings {
    path: Option<PathBuf>,
    changed: BTreeMap<String, Changed>,
    /// What begins the names of workloads' interfaces, once one had its settings written.
    prefixes: Vec<String>,
    /// What is on disk is older.
    unsaved: bool,
}

impl SavedSettings {
    /// Remembers in this file from now on, together with what it says already.
    pub(crate) fn open(path: &Path) -> Self {
        let (changed, prefixes) = read(path).unwrap_or_default();
        Self { path: Some(path.to_owned()), changed, prefixes, unsaved: false }
    }

    /// What was changed.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &Changed> {
        self.changed.values()
    }

    /// Changes a setting of the host. What it said is on disk before, unless that fails: then the setting is written all
    /// the same, and the error is returned. `prefixes` begin the names of workloads' interfaces.
    pub(crate) fn write(&mut self, file: &str, value: &str, optional: bool, prefixes: &[String]) -> io::Result<()> {
        if file == FORWARDING_V6 && value == "1" && sysctl::read(file)? != value {
            self.keep_accepting_advertisements(prefixes)?;
        }
        self.write_one(file, value, optional)
    }

    /// Remembers which interfaces are workloads', before the first setting of one is written.
    pub(crate) fn note_prefixes(&mut self, prefixes: &[String]) -> io::Result<()> {
        if self.prefixes != prefixes {
            self.prefixes = prefixes.to_vec();
            self.unsaved = true;
        }
        self.save()
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
        let was = match sysctl::read(file) {
            Err(error) if optional && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if was == value {
            return self.save();
        }
        let known = self.changed.remove(file).map_or(was, |known| known.was);
        self.unsaved = true;
        let changed = Changed { file: file.to_owned(), was: known, now: value.to_owned() };
        self.changed.insert(file.to_owned(), changed);
        let saved = self.save();
        sysctl::write(file, value, optional)?;
        saved
    }

    fn save(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.unsaved) else { return Ok(()) };
        let settings: Map<String, Value> =
            self.changed.values().map(|one| (one.file.clone(), json!({"was": one.was, "now": one.now}))).collect();
        let whole = json!({"of": place()?, "settings": settings, "prefixes": self.prefixes});
        let draft = path.with_extension("draft");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        io::Write::write_all(&mut file, whole.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        self.unsaved = false;
        Ok(())
    }
}

/// Restores the settings that are remembered in a file, and forgets them. A setting that says something else than it was
/// made to say is left alone: somebody else has changed it. Returns what was restored.
pub fn restore(path: &Path) -> io::Result<Vec<Changed>> {
    let Some((changed, prefixes)) = read(path) else { return Ok(Vec::new()) };
    let mut restored = Vec::new();
    let mut back = |one: &Changed| -> io::Result<()> {
        if sysctl::read(&one.file).is_ok_and(|value| value == one.now) {
            sysctl::write(&one.file, &one.was, true)?;
            restored.push(Changed { file: one.file.clone(), was: one.now.clone(), now: one.was.clone() });
        }
        Ok(())
    };
    // Router advertisements are accepted with `accept_ra` 1 only where nothing is forwarded, so forwarding goes first.
    let (first, then): (Vec<_>, Vec<_>) =
        changed.values().partition(|one| one.file.ends_with("forward") || one.file == FORWARDING_V6);
    for one in first.into_iter().chain(then) {
        back(one)?;
    }
    let interfaces = sysctl::names("ipv4/conf")?;
    let workloads = interfaces.iter().filter(|name| has_prefix(name, &prefixes));
    for (name, (file, value)) in workloads.flat_map(|name| WORKLOAD_SETTINGS.map(|setting| (name, setting))) {
        // A new interface begins with what the host has as default.
        let Ok(was) = sysctl::read(&file.replace("{}", "default")) else { continue };
        let one = Changed { file: file.replace("{}", name), was, now: value.to_owned() };
        if one.was != one.now {
            back(&one)?;
        }
    }
    fs::remove_file(path)?;
    Ok(restored)
}

/// The settings of a workload's interface, as they are written. The reverse-path filter is set to the host's own default.
const WORKLOAD_SETTINGS: [(&str, &str); 7] = [
    ("ipv6/conf/{}/accept_ra", "0"),
    ("ipv4/conf/{}/route_localnet", "1"),
    ("ipv4/conf/{}/proxy_arp", "1"),
    ("ipv4/conf/{}/forwarding", "1"),
    ("ipv4/neigh/{}/proxy_delay", "0"),
    ("ipv6/conf/{}/proxy_ndp", "1"),
    ("ipv6/conf/{}/forwarding", "1"),
];

/// What a file says; none if it does not exist, cannot be read, or is of another start of the machine.
fn read(path: &Path) -> Option<(BTreeMap<String, Changed>, Vec<String>)> {
    let whole: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    if whole["of"].as_str()? != place().ok()? {
        return None;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let one = |(file, value): (&String, &Value)| {
        // Only names below `/proc/sys/net`, whoever wrote the file.
        let inside = !file.starts_with('/') && !file.split('/').any(|part| part == "..");
        let changed = Changed { file: file.clone(), was: text(&value["was"])?, now: text(&value["now"])? };
        inside.then_some((file.clone(), changed))
    };
    let changed = whole["settings"].as_object()?.iter().filter_map(one).collect();
    let prefixes = whole["prefixes"].as_array()?.iter().filter_map(text).collect();
    Some((changed, prefixes))
}

/// What tells this start of the machine and this network namespace from all others.
fn place() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::metadata("/proc/thread-self/ns/net")?.ino();
    Ok(format!("{}/{namespace}", boot.trim()))
}
