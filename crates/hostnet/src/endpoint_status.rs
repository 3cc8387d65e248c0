//! Files that say which workloads are up, for Calico's CNI plugin: it can hold a pod back until its file is there.
//!
//! One file for each workload whose interface runs and is fit to carry packets, and whose policy is in the kernel: the
//! last only the agent knows, so it says for which. The names and the text are Calico's to the byte.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tortie_api::names::workload::parts;
use tortie_dataplane::Endpoint;
use tortie_net::Mac;
use tortie_policy::{EndpointId, WorkloadId};

/// The folder under `endpointStatusPathPrefix`.
const FOLDER: &str = "endpoint-status";
/// Where a file is made before it is moved to its place: beside the folder, which others watch.
const DRAFT: &str = ".endpoint-status.tortie";

/// The files as they are on disk, by name.
#[derive(Debug)]
pub struct StatusFiles {
    prefix: PathBuf,
    there: BTreeMap<String, String>,
}

/// What could not be done to a file. It is tried again with the next [`StatusFiles::update`].
#[derive(Debug, thiserror::Error)]
#[error("the status file {} could not be {what}", path.display())]
pub struct StatusError {
    /// The file.
    pub path: PathBuf,
    /// Written or removed.
    pub what: &'static str,
    /// Why not.
    pub source: io::Error,
}

impl StatusFiles {
    /// Makes the folder below `prefix` if it is not there, and looks what is in it: what an earlier run left and is
    /// still right stays as it is.
    pub fn open(prefix: &Path) -> io::Result<Self> {
        let mut files = Self { prefix: prefix.to_owned(), there: BTreeMap::new() };
        fs::create_dir_all(files.folder())?;
        files.look()?;
        Ok(files)
    }

    /// Looks again what is there, in case somebody else changed it.
    pub fn look(&mut self) -> io::Result<()> {
        self.there.clear();
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            // A name that is no text is none of ours.
            if let Ok(name) = entry.file_name().into_string()
                && entry.file_type()?.is_file()
            {
                // One that cannot be read is not right, so it is written anew or removed.
                self.there.insert(name, fs::read_to_string(entry.path()).unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Makes the folder hold these files and no others, each whole from the moment it is there. Call it when it is known
    /// what is wanted, not before: others' waiting depends on it. Goes on after errors and returns them all.
    pub fn update(&mut self, wanted: &BTreeMap<String, String>) -> Vec<StatusError> {
        let mut errors = Vec::new();
        let gone: Vec<String> = self.there.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            let path = self.folder().join(&name);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    errors.push(StatusError { path, what: "removed", source });
                }
                _ => drop(self.there.remove(&name)),
            }
        }
        for (name, text) in wanted {
            if self.there.get(name) == Some(text) {
                continue;
            }
            match self.write(name, text) {
                Ok(()) => drop(self.there.insert(name.clone(), text.clone())),
                Err(source) => errors.push(StatusError { path: self.folder().join(name), what: "written", source }),
            }
        }
        errors
    }

    fn folder(&self) -> PathBuf {
        self.prefix.join(FOLDER)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::create_dir_all(self.folder())?;
        let draft = self.prefix.join(DRAFT);
        fs::write(&draft, text)?;
        fs::rename(&draft, self.folder().join(name))
    }
}

/// The name of a workload's file and what it says. None for what is no workload, or has a name that nobody made by
/// Calico's rules: no plugin waits for it.
pub fn status_file(interface: &str, endpoint: &Endpoint) -> Option<(String, String)> {
    let EndpointId::Workload(id) = &endpoint.id else { return None };
    Some((file_name(id)?, text(interface, endpoint)))
}

fn file_name(id: &WorkloadId) -> Option<String> {
    let [_, orchestrator, workload, interface] = parts(&id.name)?;
    let workload = format!("{}/{workload}", id.namespace);
    Some([orchestrator, workload, interface].map(|part| escape(&part)).join(" "))
}

fn text(interface: &str, endpoint: &Endpoint) -> String {
    let mac = endpoint.mac.parse().map(|mac: Mac| mac.to_string()).unwrap_or_default();
    let nets = |v4: bool| -> Value {
        let all = endpoint.addresses.iter().filter(|address| address.is_ipv4() == v4);
        all.map(|address| format!("{address}/{}", if v4 { 32 } else { 128 })).collect()
    };
    let fields = [
        ("ifaceName", Value::from(interface)),
        ("mac", Value::from(mac)),
        ("ipv4Nets", nets(true)),
        ("ipv6Nets", nets(false)),
    ];
    let full = |value: &Value| value != &Value::from("") && value != &Value::Array(Vec::new());
    let map: Map<String, Value> =
        fields.into_iter().filter(|(_, value)| full(value)).map(|(key, value)| (key.to_owned(), value)).collect();
    Value::Object(map).to_string()
}

/// As Go escapes a segment of a path.
fn escape(part: &str) -> String {
    let mut escaped = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+=:@".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
