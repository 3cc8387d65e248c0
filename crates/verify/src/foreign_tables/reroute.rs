//! Chains of type `route` at the output hook: where a rule there changes the mark, the DSCP or an address of a packet, the kernel
//! chooses its route again. Source: `nf_route_hook` in nft_chain_route.c.

use tortie_nft::expr::{Meta, MetaKey};
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::Ruleset;
use tortie_nft::{Chain, ChainKind, Expr, Hook};
use tortie_policy::machine::Machine;
use tortie_policy::packet::{Host, Packet, PacketPath};

use super::{alone, at_hooks, is_concerned, reached};
use crate::xt;

/// The first chain of the table whose rules may have the route of this packet chosen again.
pub fn may_reroute<'a>(
    table: &'a ForeignTable,
    host: &Host,
    machine: Option<&Machine>,
    packet: &Packet,
) -> Option<&'a str> {
    if !matches!(packet.path, PacketPath::Output { .. }) || !is_concerned(table, packet) {
        return None;
    }
    let is_route =
        |chain: &&Chain| chain.base.is_some_and(|base| base.kind == ChainKind::Route && base.hook == Hook::Output);
    let changes = |chain: &&Chain| changes(table, chain, host, machine, packet);
    table.dump.chains.iter().filter(is_route).find(changes).map(|chain| chain.name.as_str())
}

fn changes(table: &ForeignTable, chain: &Chain, host: &Host, machine: Option<&Machine>, packet: &Packet) -> bool {
    let reached = reached(&table.dump, vec![&chain.name]);
    if table.undecoded.iter().any(|one| one.kind == "rule of chain" && reached.contains(one.name.as_str())) {
        return true;
    }
    let mut rules = table.dump.rules.iter().filter(|rule| reached.contains(rule.chain.as_str()));
    let walked = Ruleset::new([alone(&table.dump, &chain.name)]).ok().and_then(|ruleset| {
        let differs = at_hooks(&ruleset, host, machine, packet, |_, _, before, after| {
            let of = |packet: &tortie_nft::interp::Packet| {
                (packet.bytes.clone(), packet.mark, packet.open.as_ref().map(|open| open.mark))
            };
            (of(before) != of(after)).then_some(())
        });
        differs.ok()
    });
    match walked {
        Some(differs) => differs.is_some(),
        None => rules
            .any(|rule| xt::may_be_for(rule, packet.protocol, packet.transport) && rule.exprs.iter().any(may_change)),
    }
}

fn may_change(expr: &Expr) -> bool {
    match expr {
        Expr::Meta(Meta::Set { key, .. }) => *key == MetaKey::Mark,
        Expr::Unknown(unknown) => match xt::target(unknown) {
            Some(target) => !matches!(
                &*target,
                "LOG" | "NFLOG" | "CT" | "TCPMSS" | "CLASSIFY" | "CHECKSUM" | "TRACE" | "SET" | "DROP" | "REJECT"
            ),
            None => unknown.name != "match",
        },
        _ => false,
    }
}
