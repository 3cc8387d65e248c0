//! Base chains of type `route` of other programs. When a rule of such a chain changes the mark, the DSCP or an address of a packet
//! that this machine sends, the kernel chooses its route again: `nf_route_hook` in nft_chain_route.c. The hooks that follow,
//! tortie's among them, still get the interface that was chosen before.

use tortie_nft::{ChainKind, Family, RequestError, Socket, TableId, dump, piecewise};

/// What `status` says of them, a line each; or that they could not be listed.
pub(super) fn lines() -> Vec<String> {
    let found = Socket::open()
        .map_err(|error| error.to_string())
        .and_then(|mut socket| find(&mut socket).map_err(|error| error.to_string()));
    match found {
        Ok(chains) => chains.iter().map(|(table, chain)| line(table, chain)).collect(),
        Err(error) => vec![format!("not looked at: chains of other programs that can change routes ({error})")],
    }
}

fn line(table: &TableId, chain: &str) -> String {
    format!(
        "table {table} has chain {chain} of type route: its rules can change the route of packets that this machine sends; \
         such a packet is judged by the endpoint of the interface that was chosen before"
    )
}

/// The chains of type `route` that have rules, by table and name. The rules are not examined.
fn find(socket: &mut Socket) -> Result<Vec<(TableId, String)>, RequestError> {
    let mut found = Vec::new();
    let families = [Family::Inet, Family::Ipv4, Family::Ipv6];
    for id in dump::table_ids(socket)?.into_iter().filter(|id| families.contains(&id.family)) {
        for (name, chain) in piecewise::chains(socket, &id)? {
            let is_route = chain.and_then(|chain| chain.base).is_some_and(|base| base.kind == ChainKind::Route);
            let mut rules = 0;
            if is_route {
                piecewise::rules_of(socket, &id, &name, |_| rules += 1)?;
            }
            if rules > 0 {
                found.push((id.clone(), name));
            }
        }
    }
    Ok(found)
}
