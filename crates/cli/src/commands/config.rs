//! `config`: the settings in force on this machine, the source of each, and settings without effect.
//!
//! They are those of the agent that runs here. Without an agent, they are those that one would use if it started now, with this
//! environment, this file and this store.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tortie_agent::FELIX_CONFIG;
use tortie_agent::config::{Effective, EffectiveSetting};

use crate::args::TextOrJson;
use crate::ask::Agent;
use crate::in_force::{self, Basis, InForceRequest, Purpose, Sources};
use crate::local_facts;
use crate::output::table;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::terminal::Exit;

/// Arguments of `config`.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
    /// Where no agent runs: the file of Calico's agent with the settings of this machine; it may not exist
    #[arg(long, value_name = "FILE", default_value = FELIX_CONFIG)]
    felix_config: PathBuf,
    /// text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TextOrJson,
}

/// Prints the settings.
pub(crate) fn run(args: &ConfigArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let access = StoreAccess::find_by(session, &args.config)?;
    let agent = Agent::soon();
    let is_absent = access.absent().is_some() && !agent.runs();
    let sources = match is_absent {
        true => Sources::default(),
        false => in_force::sources(&access, InForceRequest { from_store: false, purpose: Purpose::Answer }, &agent)?,
    };
    let is_told = sources.local_facts.is_some();
    for why in &sources.deviations {
        session.terminal.note(why);
    }
    if let Basis::Unknown(error) = &sources.basis {
        anyhow::bail!("{error}, so its settings are not known");
    }
    if !is_told && agent.runs() {
        anyhow::bail!("the agent of this machine follows another store; name that one to see its settings");
    }
    let facts = match &sources.local_facts {
        Some(facts) => facts.clone(),
        None => local_facts::without_agent(&args.felix_config, session)?,
    };
    let in_force = sources.in_force(&sources.listing);
    in_force::warn(&in_force, session);
    let effective = facts.effective_settings(&in_force);
    match args.output {
        TextOrJson::Json => {
            let report = json!({
                "node": facts.node,
                "agent": is_told,
                "settings": effective.settings,
                "notes": effective.notes,
            });
            session.terminal.line(format_args!("{report:#}"));
        }
        TextOrJson::Text => {
            if !is_told {
                session
                    .terminal
                    .note("no agent runs here: these are the settings that an agent would have if it started now");
                if is_absent {
                    session.terminal.note("the store does not exist yet, so they include no FelixConfiguration");
                }
            }
            let colour = session.terminal.colour_out();
            session.terminal.print(&text(&facts.node, &effective, colour));
        }
    }
    Ok(Exit::Done)
}

fn text(node: &str, effective: &Effective, colour: bool) -> String {
    let row = |one: &EffectiveSetting| vec![one.name.clone(), one.source.clone(), shown(one)];
    let rows: Vec<Vec<String>> = effective.settings.iter().map(row).collect();
    let mut text = format!("node {node}\n\n");
    text += &table::render(&["NAME", "SOURCE", "VALUE"], &rows, colour);
    if !effective.notes.is_empty() {
        text += "\nremarks\n";
        for one in &effective.notes {
            text += &format!("  {} ({}): {}\n", one.name, one.source, one.note);
        }
    }
    text
}

/// A value in the syntax of an agent's environment.
fn shown(one: &EffectiveSetting) -> String {
    let items = |list: &[Value]| list.iter().map(item).collect::<Vec<_>>().join(",");
    match &one.value {
        Value::Number(number) if one.name.ends_with("MarkMask") => {
            number.as_u64().map_or_else(|| number.to_string(), |bits| format!("{bits:#010x}"))
        }
        Value::Array(list) if !list.is_empty() => items(list),
        Value::Null | Value::Array(_) => "none".to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        other => item(other),
    }
}

/// One item of a list: a text as it is, a port as `udp:10.0.0.0/8:68`.
fn item(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(port) if port.contains_key("port") => {
            let text = |field: &str| {
                port.get(field).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            };
            let protocol = text("protocol").unwrap_or_else(|| "tcp".to_owned()).to_lowercase();
            let net = text("net")
                .filter(|net| !net.is_empty())
                .map(|net| if net.contains(':') { format!("[{net}]") } else { net });
            [Some(protocol), net, text("port")].into_iter().flatten().collect::<Vec<_>>().join(":")
        }
        other => other.to_string(),
    }
}
