//! Chains of type `route` at the output hook: where a rule there changes the mark, the DSCP or an address of a packet, the kernel
//! chooses its route again. Source: `nf_route_hook` in nft_chain_route.c.

use tortie_nft::expr::{Meta, MetaKey};
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::Ending;
use tortie_nft::{Chain, ChainKind, Expr, Hook};
use tortie_policy::packet::{OwnNat, PacketPath};

use super::{Asked, alone, at_hooks, is_concerned, reached, translated};
use crate::xt;

/// The first chain of the table whose rules may have the route of this packet, which tortie itself translates so, chosen again.
pub fn may_reroute<'a>(table: &'a ForeignTable, asked: Asked<'_>, own: OwnNat) -> Option<&'a str> {
    if !matches!(asked.packet.path, PacketPath::Output { .. }) || !is_concerned(table, asked.packet) {
        return None;
    }
    let packet = translated::by_tortie(asked.packet, own);
    let is_route =
        |chain: &&Chain| chain.base.is_some_and(|base| base.kind == ChainKind::Route && base.hook == Hook::Output);
    let changes = |chain: &&Chain| changes(table, chain, asked.about(&packet));
    table.dump.chains.iter().filter(is_route).find(changes).map(|chain| chain.name.as_str())
}

fn changes(table: &ForeignTable, chain: &Chain, asked: Asked<'_>) -> bool {
    let packet = asked.packet;
    let reached = reached(&table.dump, vec![&chain.name]);
    if table.undecoded.iter().any(|one| one.kind == "rule of chain" && reached.contains(one.name.as_str())) {
        return true;
    }
    let mut rules = table.dump.rules.iter().filter(|rule| reached.contains(rule.chain.as_str()));
    // What comes out of the hook, of a packet that is not dropped there.
    let sent = |base: &str| {
        let ruleset = translated::ruleset(&alone(&table.dump, base), packet).ok()?;
        let sent = at_hooks(&ruleset, asked, |_, outcome, _, after| {
            let sent = || (after.bytes.clone(), after.mark, after.open.as_ref().map(|open| open.mark));
            Some((outcome.ending == Ending::Accept).then(sent))
        });
        sent.ok().flatten()
    };
    match (sent(&chain.name), sent(translated::CHAIN)) {
        (Some(with), Some(without)) => with.is_some() && with != without,
        _ => {
            let behind = translated::behind(packet);
            let may_be_for =
                |rule| [packet, &behind].iter().any(|one| xt::may_be_for(rule, one.protocol, one.transport));
            rules.any(|rule| may_be_for(rule) && rule.exprs.iter().any(may_change))
        }
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
