//! Expressions that change a packet otherwise than by translating its addresses: writes into its bytes, copies, and those that hand
//! it to another program. Their effect is not followed. Options of TCP are left out: no question fixes them.
//!
//! Source: `enum nft_payload_attributes`, `enum nft_objref_attributes`, `NFT_OBJECT_*` of `linux/netfilter/nf_tables.h`.

use tortie_nft::Expr;
use tortie_nft::expr::{Meta, MetaKey, Unknown};
use tortie_nft::wire::Attrs;

use crate::xt;

/// `NFTA_PAYLOAD_SREG`.
const PAYLOAD_SOURCE: u16 = 5;
/// `NFTA_META_SREG`.
const META_SOURCE: u16 = 3;
/// `NFTA_OBJREF_IMM_TYPE`.
const OBJECT_TYPE: u16 = 1;
/// Counters, quotas, limits and the like, which only judge or count: `NFT_OBJECT_COUNTER`, `_QUOTA`, `_CT_HELPER`, `_LIMIT`,
/// `_CONNLIMIT`, `_CT_TIMEOUT`, `_SECMARK`, `_CT_EXPECT`.
const JUDGE_OR_COUNT: [u32; 8] = [1, 2, 3, 4, 5, 7, 8, 9];

/// Whether a packet that gets to an expression may go on as another one.
pub(super) fn may_change(expr: &Expr) -> bool {
    match expr {
        Expr::Meta(Meta::Set { key, .. }) => !matches!(key, MetaKey::Mark | MetaKey::Priority | MetaKey::Nftrace),
        Expr::Unknown(unknown) => unknown_changes(unknown),
        _ => false,
    }
}

fn unknown_changes(unknown: &Unknown) -> bool {
    if let Some(target) = xt::target(unknown) {
        return matches!(&*target, "TTL" | "HL" | "TOS" | "DSCP" | "ECN" | "TEE" | "SYNPROXY" | "NFQUEUE" | "QUEUE");
    }
    let attribute = |kind| Attrs::new(&unknown.data).flatten().find(|attr| attr.kind == kind).map(|attr| attr.payload);
    match &*unknown.name {
        "payload" => attribute(PAYLOAD_SOURCE).is_some(),
        "meta" => attribute(META_SOURCE).is_some(),
        "synproxy" | "dup" | "fwd" | "queue" | "tunnel" => true,
        "objref" => {
            let kind = attribute(OBJECT_TYPE).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
            kind.is_none_or(|kind| !JUDGE_OR_COUNT.contains(&kind))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_copies_a_packet_or_hands_it_on_may_change_it_and_what_counts_does_not() {
        let named = |name: &str, data: &[u8]| Expr::Unknown(Unknown { name: name.into(), data: data.to_vec() });
        for name in ["queue", "dup", "fwd", "synproxy"] {
            assert!(may_change(&named(name, &[])), "{name}");
        }
        let object = |kind: u8| named("objref", &[8, 0, 1, 0, 0, 0, 0, kind]);
        assert!(may_change(&object(10)), "a synproxy");
        assert!(!may_change(&object(1)), "a counter");
        assert!(!may_change(&named("numgen", &[])));
    }
}
