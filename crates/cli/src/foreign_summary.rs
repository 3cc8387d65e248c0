//! What the tables of other programs can do with packets, for `status --foreign` and `verify`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tortie_agent::ForeignTables;
use tortie_nft::foreign::ForeignTable;
use tortie_verify::foreign_tables::{ForeignChain, base_chains};

/// What a chain, or all chains of a table together, can do.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct CanDo {
    dormant: bool,
    drops: BTreeSet<String>,
    translates: BTreeSet<String>,
    unclear: BTreeSet<String>,
}

impl CanDo {
    /// What one chain can do.
    pub(crate) fn of(chain: &ForeignChain) -> Self {
        let ForeignChain { dormant, drops, translates, unclear, .. } = chain;
        Self { dormant: *dormant, drops: drops.clone(), translates: translates.clone(), unclear: unclear.clone() }
    }

    /// What all chains of a table can do, and what of it cannot be decoded.
    fn of_table(table: &ForeignTable) -> Self {
        let mut all = Self { dormant: table.dump.table.dormant, ..Self::default() };
        for chain in base_chains(table) {
            all.drops.extend(chain.drops);
            all.translates.extend(chain.translates);
            all.unclear.extend(chain.unclear);
        }
        all.unclear.extend(undecoded(table));
        all
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        let list = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(", ");
        let mut parts = Vec::new();
        if self.dormant {
            parts.push("its table is switched off (dormant)".to_owned());
        }
        if !self.drops.is_empty() {
            parts.push(format!("CAN DROP ({})", list(&self.drops)));
        }
        if !self.translates.is_empty() {
            parts.push(format!("translates ({})", list(&self.translates)));
        }
        if !self.unclear.is_empty() {
            parts.push(format!("may do anything (not understood: {})", list(&self.unclear)));
        }
        if parts.is_empty() {
            return "drops and translates nothing".to_owned();
        }
        parts.join("; ")
    }
}

/// What of a table cannot be decoded.
pub(crate) fn undecoded(table: &ForeignTable) -> impl Iterator<Item = String> {
    table.undecoded.iter().map(ToString::to_string)
}

/// What was found of tables that are not looked into, and what could not be read or decoded, a line each.
pub(crate) fn not_looked_into(tables: &ForeignTables) -> Vec<String> {
    let mut lines = Vec::new();
    for table in &tables.tables {
        let id = &table.dump.table.id;
        lines.extend(
            undecoded(table).map(|what| format!("table {id} has what cannot be decoded and may do anything: {what}")),
        );
        lines.extend(table.flowtables.iter().map(|name| {
            format!("table {id} has flowtable {name}: packets of the connections in it pass no hook from prerouting to postrouting")
        }));
    }
    lines.extend(tables.unread.iter().map(|(table, reason)| format!("table {table} cannot be read: {reason}")));
    if !tables.legacy.is_empty() {
        lines.push(format!(
            "tables of the older iptables, which are not looked into and may drop or translate: {}",
            tables.legacy.join(", ")
        ));
    }
    if !tables.arp.is_empty() {
        lines.push(format!(
            "tables of family arp, which are not looked into; they see no IP packet, and may keep neighbours from being found: {}",
            tables.arp.join(", ")
        ));
    }
    lines
}

/// What every table with a base chain can do, a line each.
pub(crate) fn by_table(tables: &ForeignTables) -> Vec<String> {
    let has_base = |table: &&ForeignTable| !base_chains(table).is_empty();
    let line = |table: &ForeignTable| format!("table {}: {}", table.dump.table.id, CanDo::of_table(table).text());
    tables.tables.iter().filter(has_base).map(line).collect()
}

/// What the tables of other programs can do, as JSON.
pub(crate) fn json_by_table(tables: &ForeignTables) -> Value {
    let one = |table: &ForeignTable| {
        let all = CanDo::of_table(table);
        json!({
            "table": table.dump.table.id.to_string(), "dormant": all.dormant, "drops": all.drops,
            "translates": all.translates, "notUnderstood": all.unclear,
        })
    };
    json!({ "tables": tables.tables.iter().map(one).collect::<Vec<_>>(), "notLookedInto": not_looked_into(tables) })
}
