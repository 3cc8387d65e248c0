//! The settings of this machine: from the environment and from `felix.cfg`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tortie_api::kinds::felix_configuration::FelixConfigurationSpec;
use tortie_api::shape::{Record, Shape};

use super::effective::EffectiveSetting;
use super::felix_cfg::{FelixCfgError, felix_cfg};
use super::supported;
use super::value;
use crate::status::SettingNote;

/// Settings that never come from the store, because they say how to reach it and which node this is.
const CONNECTION: &[&str] = &["datastoretype", "felixhostname"];
/// Prefixes of the names of more such settings.
const CONNECTION_PREFIXES: &[&str] = &["etcd", "typha"];
/// The prefix of the environment variables.
const PREFIX: &str = "FELIX_";
/// The environment variable with what is added to the priority of every base chain of tortie.
const HOOK_PRIORITY: &str = "TORTIE_HOOK_PRIORITY";
/// Its least and its greatest value. With more a base chain would pass one of the kernel's own steps on its hook: mangle chains
/// (-150) are between connection tracking (-200) and the translation of destinations (-100), `enum nf_ip_hook_priorities` in
/// linux/netfilter_ipv4.h.
const HOOK_PRIORITIES: RangeInclusive<i32> = -40..=40;

/// Where settings are read from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The file; it may be missing.
    pub file: PathBuf,
}

/// The settings of this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Local {
    /// The valid values, as in the spec of a FelixConfiguration.
    pub(super) spec: Map<String, Value>,
    /// Fields with an invalid value: the built-in default is used, whatever the store says.
    pub(super) masked: BTreeSet<String>,
    /// The source of each value of `spec`; agents of earlier releases do not send it.
    #[serde(default)]
    origins: BTreeMap<String, String>,
    /// Remarks on settings, for `tortie config` and `status`.
    pub(super) notes: Vec<SettingNote>,
    /// The node's name, if a setting gives it.
    hostname: Option<String>,
    /// What is added to the priority of every base chain of tortie; agents of earlier releases do not say it.
    #[serde(default)]
    pub(crate) hook_priority: i32,
}

/// Why the agent cannot start with the settings of this machine.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The file exists and cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file has an invalid line.
    #[error("cannot read {path}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        #[source]
        source: FelixCfgError,
    },
    /// A value is invalid, and starting with its default would not be safe.
    #[error("{name} in {origin}: {reason}")]
    Value {
        /// The source of the setting.
        origin: String,
        /// The name of the setting.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl Local {
    /// Reads the environment and the file. A value in the environment wins.
    pub fn read(sources: &Sources) -> Result<Self, LocalError> {
        let text = match std::fs::read_to_string(&sources.file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(LocalError::File { path: sources.file.clone(), source }),
        };
        let file = sources.file.display().to_string();
        let env = sources.env.iter().filter_map(|(key, value)| {
            let name = key.get(..PREFIX.len()).filter(|prefix| prefix.eq_ignore_ascii_case(PREFIX))?;
            Some(("the environment".to_owned(), key[name.len()..].to_owned(), value.trim().to_owned()))
        });
        let path = || sources.file.clone();
        let in_file = felix_cfg(&text).map_err(|source| LocalError::Syntax { path: path(), source })?;
        let said: Vec<_> = in_file.into_iter().map(|(name, value)| (file.clone(), name, value)).chain(env).collect();
        let mut local = Self { hook_priority: hook_priority(&sources.env)?, ..Self::default() };
        if said.is_empty() {
            return Ok(local);
        }
        let shape = Shape::of::<FelixConfigurationSpec>();
        let record = shape.record().cloned().unwrap_or_default();
        for (origin, name, value) in said {
            local.take(&record, origin, &name, &value)?;
        }
        Ok(local)
    }

    /// The node's name: from the settings, otherwise the host's own name in lower case, as in Calico's agent.
    pub fn node(&self) -> String {
        let own = || rustix::system::uname().nodename().to_string_lossy().trim().to_lowercase();
        self.hostname.clone().unwrap_or_else(own)
    }

    /// The source of the setting with the node's name; none if the host's own name is used.
    pub(crate) fn node_origin(&self) -> Option<String> {
        self.hostname.as_ref().map(|_| self.origin("felixHostname"))
    }

    /// Whether this machine decides a field, so that the store's value is ignored.
    pub(super) fn decides(&self, field: &str) -> bool {
        self.spec.contains_key(field) || self.masked.contains(field)
    }

    /// Where the value of a field was found.
    pub(super) fn origin(&self, field: &str) -> String {
        self.origins.get(field).map_or("environment or file", String::as_str).to_owned()
    }

    fn take(&mut self, record: &Record, origin: String, name: &str, text: &str) -> Result<(), LocalError> {
        let lower = name.to_ascii_lowercase();
        if text.is_empty() {
            return Ok(()); // the next source is asked
        }
        if lower == "felixhostname" {
            self.hostname = Some(text.to_owned());
            self.origins.insert("felixHostname".to_owned(), origin.clone());
        }
        if CONNECTION.contains(&lower.as_str()) || CONNECTION_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Ok(());
        }
        let named = |field: &&tortie_api::shape::Field| {
            field.felix.as_deref().unwrap_or(&field.go).eq_ignore_ascii_case(&lower)
        };
        let Some(field) = record.fields.iter().find(named) else {
            self.note(origin, name, "there is no such setting".to_owned());
            return Ok(());
        };
        if !supported::has(&field.name) {
            self.note(origin.clone(), name, "it is set, and has no effect here".to_owned());
        }
        match value::read(field, text) {
            Ok(value) => {
                self.masked.remove(&field.name);
                self.origins.insert(field.name.clone(), origin);
                self.spec.insert(field.name.clone(), value);
            }
            Err(reason) if supported::is_fatal(&field.name) => {
                return Err(LocalError::Value { origin, name: name.to_owned(), reason });
            }
            Err(reason) => {
                self.spec.remove(&field.name);
                self.masked.insert(field.name.clone());
                self.note(origin, name, format!("{reason}; the default is used"));
            }
        }
        Ok(())
    }

    /// What is added to the priority of every base chain, as a setting.
    pub(crate) fn hook_priority_setting(&self) -> EffectiveSetting {
        let source = if self.hook_priority == 0 { "default" } else { "the environment" };
        EffectiveSetting { name: HOOK_PRIORITY.to_owned(), value: self.hook_priority.into(), source: source.to_owned() }
    }

    fn note(&mut self, source: String, name: &str, note: String) {
        self.notes.push(SettingNote { source, name: name.to_owned(), note });
    }
}

fn hook_priority(env: &[(String, String)]) -> Result<i32, LocalError> {
    let Some((_, text)) = env.iter().find(|(key, value)| key == HOOK_PRIORITY && !value.trim().is_empty()) else {
        return Ok(0);
    };
    text.trim().parse().ok().filter(|shift| HOOK_PRIORITIES.contains(shift)).ok_or_else(|| LocalError::Value {
        origin: "the environment".to_owned(),
        name: HOOK_PRIORITY.to_owned(),
        reason: format!("`{text}` is not a number from {} to {}", HOOK_PRIORITIES.start(), HOOK_PRIORITIES.end()),
    })
}
