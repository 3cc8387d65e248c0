//! The table of tortie as it exists in the kernel, for commands when no agent runs. It lists what was found, not what
//! happens to packets: `tortie verify` checks that.

use std::collections::BTreeSet;

use serde::Serialize;
use tortie_dataplane_nft::TableOptions;
use tortie_nft::dump::{self, TableDump};
use tortie_nft::{DataType, Element, Fields, Key, Socket, TableId, inventory};

use crate::local_facts::LocalFactsError;

/// The table, as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelTable {
    /// The name, as `nft` writes it.
    pub name: String,
    /// Whether it is dormant: no packet passes its chains.
    pub dormant: bool,
    /// Whether a process owns it.
    pub owned: bool,
    /// The base chains.
    pub base_chains: Vec<BaseChain>,
    /// How many rules it has, those of other chains included.
    pub rules: usize,
    /// The interfaces in its maps, each with the endpoint in the comment of the element: `hep/web1-eth0 on eth0`.
    pub interfaces: Vec<String>,
    /// What could not be read, in words.
    pub unread: Vec<String>,
}

/// A base chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BaseChain {
    /// Its name.
    pub name: String,
    /// Its hook: `input`.
    pub hook: String,
    /// Its priority at the hook.
    pub priority: i32,
    /// How many rules it has.
    pub rules: usize,
}

/// Whether the kernel has the table of an agent that runs or that ended. Its content is not read.
pub fn table_exists() -> Result<bool, LocalFactsError> {
    Ok(dump::table_ids(&mut Socket::open()?).map_err(LocalFactsError::Read)?.contains(&own()))
}

/// The table in the kernel; none if it does not exist.
pub fn kernel_table() -> Result<Option<KernelTable>, LocalFactsError> {
    let inventory = inventory::read(&mut Socket::open()?, &own()).map_err(LocalFactsError::Read)?;
    let unread = inventory.foreign.iter().map(ToString::to_string).collect();
    Ok(inventory.table.map(|table| KernelTable::of(&table, unread)))
}

/// The family and name of the table.
pub(crate) fn own() -> TableId {
    TableId::inet(TableOptions::default().table)
}

impl KernelTable {
    fn of(dump: &TableDump, unread: Vec<String>) -> Self {
        let rules = |chain: &str| dump.rules.iter().filter(|rule| rule.chain == chain).count();
        let base_chain = |chain: &tortie_nft::Chain| {
            let base = chain.base?;
            let hook = base.hook.name().to_owned();
            Some(BaseChain { name: chain.name.clone(), hook, priority: base.priority, rules: rules(&chain.name) })
        };
        let mut base_chains: Vec<BaseChain> = dump.chains.iter().filter_map(base_chain).collect();
        base_chains.sort_by(|a, b| (&a.hook, a.priority, &a.name).cmp(&(&b.hook, b.priority, &b.name)));
        let by_interface = dump.sets.iter().filter(|set| set.set.key == Fields::one(DataType::IfName));
        let interfaces: BTreeSet<String> = by_interface.flat_map(|set| &set.elements).filter_map(interface).collect();
        Self {
            name: dump.table.id.to_string(),
            dormant: dump.table.dormant,
            owned: dump.table.owner,
            base_chains,
            rules: dump.rules.len(),
            interfaces: interfaces.into_iter().collect(),
            unread,
        }
    }
}

/// The interface of an element, with the endpoint in its comment if there is one.
fn interface(element: &Element) -> Option<String> {
    let Key::One(name) = &element.key else { return None };
    let name = String::from_utf8_lossy(name);
    let name = name.trim_end_matches('\0');
    Some(match &element.comment {
        Some(endpoint) => format!("{endpoint} on {name}"),
        None => name.to_owned(),
    })
}
