//! Policy agents of other projects on this host, recognized by their tables and chains in nf_tables, which are never changed.

use tortie_nft::dump;
use tortie_nft::{RequestError, Socket};

/// Prefixes of the names of such chains, and the programs that make them.
const CHAINS: &[(&str, &str)] = &[
    ("cali-", "Calico"),
    ("cali:", "Calico"),
    ("CILIUM_", "Cilium"),
    ("KUBE-NWPLCY", "kube-router"),
    ("ANTREA-", "Antrea"),
];
/// Names of such tables, and the programs that make them.
const TABLES: &[(&str, &str)] = &[("calico", "Calico")];

/// The table or chain of another policy agent, in words; none if no such table or chain was found.
pub(crate) fn find() -> Result<Option<String>, RequestError> {
    let mut socket = Socket::open()?;
    for id in &dump::table_ids(&mut socket)? {
        if let Some((_, who)) =
            TABLES.iter().find(|(name, _)| id.name == *name || id.name.starts_with(&format!("{name}-")))
        {
            return Ok(Some(format!("table {id} is {who}'s")));
        }
        for name in dump::chain_names(&mut socket, id)? {
            if let Some((_, who)) = CHAINS.iter().find(|(prefix, _)| name.starts_with(prefix)) {
                return Ok(Some(format!("chain {name} in table {id} is {who}'s")));
            }
        }
    }
    Ok(None)
}
