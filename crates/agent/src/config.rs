//! The settings in force: from the environment, the file and FelixConfigurations, with Calico's precedence.
//!
//! ```text
//!   FELIX_* ──┐
//!   felix.cfg ┴─> local ──> one spec, which comes first ──┐
//!   FelixConfiguration default, by nodeSelector, node.X ──┴─> settings of verdicts, settings of the agent, notes
//! ```
//!
//! Nothing is ignored silently: an unknown name, an invalid value and a setting that has no
//! effect here each make a note, which `tortie status` shows. Where Calico's agent refuses to start, so does this one.

mod agent_settings;
mod effective;
mod felix_cfg;
mod local;
mod supported;
mod value;

use std::cell::LazyCell;

use serde_json::{Map, Value};
use tortie_api::{Key, Kind, Object, defaults};
use tortie_policy::Settings;

pub use agent_settings::{AgentSettings, ClientAuth, NetworkSettings, Reporting, Served, Tls};
pub use effective::{Effective, EffectiveSetting, effective};
pub use felix_cfg::{FelixCfgError, felix_cfg};
pub use local::{Local, LocalError, Sources};

use crate::status::SettingNote;

/// The settings in force on this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The settings that verdicts depend on.
    pub settings: Settings,
    /// The settings of the agent itself.
    pub agent: AgentSettings,
    /// Remarks on settings, for `tortie config` and `status`.
    pub notes: Vec<SettingNote>,
}

/// Resolves the settings in force. `base` are the defaults; `configurations` are those of this node,
/// weakest first.
pub fn resolve(local: &Local, base: Settings, configurations: &[&Object]) -> Resolved {
    let mut notes = local.notes.clone();
    let mut specs: Vec<Value> = Vec::new();
    let filled_in = LazyCell::new(filled_in);
    for object in configurations {
        let mut spec = object.body.get("spec").cloned().unwrap_or_default();
        if let Some(fields) = spec.as_object_mut() {
            let source = format!("FelixConfiguration {}", object.metadata.name);
            let name = |field: &String| SettingNote {
                source: source.clone(),
                name: field.clone(),
                note: "it is set, and has no effect here".to_owned(),
            };
            let said = |value: &Value| !value.is_null() && value.as_str() != Some("");
            let in_vain = fields.iter().filter(|(field, value)| said(value) && !supported::has(field));
            let meant = in_vain.filter(|(field, value)| filled_in.get(*field) != Some(value));
            notes.extend(meant.map(|(field, _)| name(field)));
            // A local value replaces those of the store; an invalid local value leaves the built-in default.
            fields.retain(|field, _| !local.decides(field));
        }
        specs.push(spec);
    }
    specs.push(Value::Object(local.spec.clone()));
    let (settings, wrong) = base.settle(&specs.iter().collect::<Vec<_>>());
    for (index, why) in wrong {
        let name = why.path.to_string().trim_start_matches("spec.").to_owned();
        if let Some(fields) = specs[index].as_object_mut() {
            fields.remove(&name);
        }
        let source = match configurations.get(index) {
            Some(object) => format!("FelixConfiguration {}", object.metadata.name),
            None => local.origin(&name),
        };
        notes.push(SettingNote { source, name, note: format!("{}; {}", why.reason, why.consequence) });
    }
    let agent = AgentSettings::from_specs(&specs.iter().collect::<Vec<_>>(), &mut notes);
    Resolved { settings, agent, notes }
}

/// The fields that are filled in when a configuration is written. No user chose them.
fn filled_in() -> Map<String, Value> {
    let mut object = Object::new(Key::cluster(Kind::FelixConfiguration, "default"));
    object.body.insert("spec".to_owned(), Value::Object(Map::new()));
    defaults::apply(&mut object);
    match object.body.remove("spec") {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
