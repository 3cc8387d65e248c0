//! `status --foreign`: the base chains of other programs on the hooks of packets, and what they can do. They are read and
//! never changed.

use std::fmt::Write;

use serde_json::{Value, json};
use tortie_agent::{ForeignTables, LocalFacts};
use tortie_nft::Policy;
use tortie_nft::foreign::ForeignTable;
use tortie_verify::foreign_tables::{ForeignChain, base_chains};

use crate::args::TextOrJson;
use crate::foreign_summary::{CanDo, not_looked_into, undecoded};
use crate::session::Session;
use crate::terminal::{Exit, counted};

/// Prints them. Needs no agent. Fails where a part of them cannot be read or decoded.
pub(super) fn run(output: TextOrJson, session: &mut Session) -> anyhow::Result<Exit> {
    let tables = match LocalFacts::foreign_tables() {
        Ok(tables) => tables,
        Err(error) => {
            session.terminal.fail(&error.into());
            return Ok(Exit::Unanswered);
        }
    };
    let mut chains: Vec<ForeignChain> = tables.tables.iter().flat_map(base_chains).collect();
    chains.sort_by(|one, other| (&one.place, one.priority).cmp(&(&other.place, other.priority)));
    match output {
        TextOrJson::Json => session.terminal.line(format_args!("{:#}", as_json(&chains, &tables))),
        TextOrJson::Text => session.terminal.print(&text(&chains, &tables)),
    }
    let is_whole = tables.unread.is_empty() && tables.tables.iter().all(|table| table.undecoded.is_empty());
    Ok(if is_whole { Exit::Done } else { Exit::Failed })
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
            "table": one.table, "dormant": one.dormant, "chain": one.name, "type": one.kind,
            "hook": one.place.to_string(), "priority": one.priority, "policy": policy(one.policy),
            "rules": one.rules, "drops": one.drops, "translates": one.translates, "notUnderstood": one.unclear,
        })
    };
    let unread = |(table, reason): &(String, String)| json!({ "table": table, "reason": reason });
    let of_table = |table: &ForeignTable| {
        let id = table.dump.table.id.to_string();
        undecoded(table).map(|what| json!({ "table": id, "object": what })).collect::<Vec<_>>()
    };
    let flowtables = |table: &ForeignTable| {
        let id = table.dump.table.id.to_string();
        table.flowtables.iter().map(|name| json!({ "table": id, "flowtable": name })).collect::<Vec<_>>()
    };
    json!({
        "chains": chains.iter().map(chain).collect::<Vec<_>>(),
        "unread": tables.unread.iter().map(unread).collect::<Vec<_>>(),
        "undecoded": tables.tables.iter().flat_map(of_table).collect::<Vec<_>>(),
        "flowtables": tables.tables.iter().flat_map(flowtables).collect::<Vec<_>>(),
        "legacy": tables.legacy,
        "arp": tables.arp,
    })
}

fn text(chains: &[ForeignChain], tables: &ForeignTables) -> String {
    let mut text = String::new();
    let mut place = None;
    for one in chains {
        if place.replace(&one.place) != Some(&one.place) {
            let _ = writeln!(text, "{}, by priority:", one.place);
        }
        let _ = writeln!(
            text,
            "  {:>5}  table {} chain {}, type {}, policy {}, {}: {}",
            one.priority,
            one.table,
            one.name,
            one.kind,
            policy(one.policy),
            counted(one.rules, "rule"),
            CanDo::of(one).text()
        );
    }
    for line in not_looked_into(tables) {
        let _ = writeln!(text, "{line}");
    }
    if text.is_empty() {
        return "no other program has a chain on the hooks of packets\n".to_owned();
    }
    text
}
