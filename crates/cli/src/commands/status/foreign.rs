//! `status --foreign`: the base chains of other programs on the hooks of packets, and what they can do. They are read and
//! never changed.

use std::fmt::Write;

use serde_json::{Value, json};
use tortie_agent::{ForeignTables, LocalFacts};
use tortie_nft::{Hook, Policy};
use tortie_verify::foreign_tables::{ForeignChain, base_chains};

use crate::args::Format;
use crate::report::{Exit, counted};
use crate::session::Session;

/// Prints them. Needs no agent.
pub(super) fn run(output: Format, session: &mut Session) -> anyhow::Result<Exit> {
    let tables = match LocalFacts::foreign_tables() {
        Ok(tables) => tables,
        Err(error) => {
            session.terminal.fail(&error.into());
            return Ok(Exit::Unanswered);
        }
    };
    let mut chains: Vec<ForeignChain> = tables.tables.iter().flat_map(base_chains).collect();
    chains.sort_by_key(|chain| (order(chain.base.hook), chain.base.priority));
    match output {
        Format::Json => session.terminal.line(format_args!("{:#}", as_json(&chains, &tables))),
        Format::Text => session.terminal.print(&text(&chains, &tables)),
    }
    Ok(Exit::Done)
}

/// In which order packets meet the hooks, about.
fn order(hook: Hook) -> usize {
    [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output].iter().position(|one| *one == hook).unwrap_or(4)
}

fn policy(policy: Policy) -> &'static str {
    match policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
    }
}

fn as_json(chains: &[ForeignChain], tables: &ForeignTables) -> Value {
    let chain = |one: &ForeignChain| {
        json!({
            "table": one.table, "dormant": one.dormant, "chain": one.name, "type": one.base.kind.name(),
            "hook": one.base.hook.name(), "priority": one.base.priority, "policy": policy(one.base.policy),
            "rules": one.rules, "drops": one.drops, "translates": one.translates, "notUnderstood": one.unclear,
        })
    };
    let unread = |(table, reason): &(String, String)| json!({ "table": table, "reason": reason });
    json!({
        "chains": chains.iter().map(chain).collect::<Vec<_>>(),
        "unread": tables.unread.iter().map(unread).collect::<Vec<_>>(),
        "legacy": tables.legacy,
    })
}

fn text(chains: &[ForeignChain], tables: &ForeignTables) -> String {
    let mut text = String::new();
    if chains.is_empty() && tables.unread.is_empty() && tables.legacy.is_empty() {
        return "no other program has a chain on the hooks of IPv4 and IPv6 packets\n".to_owned();
    }
    let mut hook = None;
    for one in chains {
        if hook.replace(one.base.hook) != Some(one.base.hook) {
            let _ = writeln!(text, "{}, by priority:", one.base.hook.name());
        }
        let _ = writeln!(
            text,
            "  {:>5}  table {} chain {}, type {}, policy {}, {}: {}",
            one.base.priority,
            one.table,
            one.name,
            one.base.kind.name(),
            policy(one.base.policy),
            counted(one.rules, "rule"),
            does(one)
        );
    }
    for (table, reason) in &tables.unread {
        let _ = writeln!(text, "table {table} cannot be read: {reason}");
    }
    if !tables.legacy.is_empty() {
        let all = tables.legacy.join(", ");
        let _ =
            writeln!(text, "tables of the older iptables, which are not looked into and may drop or translate: {all}");
    }
    text
}

/// What a chain can do, in words.
fn does(one: &ForeignChain) -> String {
    let list = |all: &std::collections::BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut parts = Vec::new();
    if one.dormant {
        parts.push("its table is switched off (dormant)".to_owned());
    }
    if !one.drops.is_empty() {
        parts.push(format!("CAN DROP ({})", list(&one.drops)));
    }
    if !one.translates.is_empty() {
        parts.push(format!("translates ({})", list(&one.translates)));
    }
    if !one.unclear.is_empty() {
        parts.push(format!("may do anything (not understood: {})", list(&one.unclear)));
    }
    if parts.is_empty() {
        return "drops and translates nothing".to_owned();
    }
    parts.join("; ")
}
