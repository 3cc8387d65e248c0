//! Policy agents of other makes on this host, recognized by their tables and chains in nf_tables. They are never changed.

use tortie_nft::dump;
use tortie_nft::{RequestError, Socket};

/// Beginnings of the names of others' chains, and who they are.
const CHAINS: &[(&str, &str)] = &[
    ("cali-", "Calico"),
    ("cali:", "Calico"),
    ("CILIUM_", "Cilium"),
    ("KUBE-NWPLCY", "kube-router"),
    ("ANTREA-", "Antrea"),
];
/// Others' tables.
const TABLES: &[(&str, &str)] = &[("calico", "Calico")];

/// What another agent has in the kernel, in words; none if nobody else is seen.
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
