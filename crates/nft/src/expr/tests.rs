use proptest::prelude::*;

use super::*;
use crate::register::Reg;
use crate::wire::{Header, Messages};
use crate::{Chain, Rule, Set, Table, Verdict};

fn regs() -> impl Strategy<Value = Reg> {
    (0u32..16).prop_map(|word| Reg::word(word).unwrap())
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..=16)
}

fn names() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,30}"
}

fn pairs() -> impl Strategy<Value = Option<(Reg, Reg)>> {
    prop::option::of((regs(), regs()))
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        prop::sample::select(vec![Verdict::Drop, Verdict::Accept, Verdict::Continue, Verdict::Break, Verdict::Return]),
        names().prop_map(Verdict::Jump),
        names().prop_map(Verdict::Goto),
    ]
}

fn loads() -> impl Strategy<Value = Expr> {
    let base = prop::sample::select(Base::ALL);
    let meta = prop::sample::select(MetaKey::ALL);
    let ct = prop::sample::select(CtKey::ALL);
    let op = prop::sample::select(ExthdrOp::ALL);
    prop_oneof![
        (base, any::<u32>(), any::<u32>(), regs()).prop_map(|(base, offset, len, dreg)| Payload {
            base,
            offset,
            len,
            dreg
        }
        .into()),
        (meta.clone(), regs()).prop_map(|(key, dreg)| Meta::get(key, dreg).into()),
        (meta, regs()).prop_map(|(key, sreg)| Meta::set(key, sreg).into()),
        (ct.clone(), prop::option::of(0u8..2), regs()).prop_map(|(key, direction, dreg)| Ct::Get {
            key,
            direction,
            dreg
        }
        .into()),
        (ct, regs()).prop_map(|(key, sreg)| Ct::set(key, sreg).into()),
        (regs(), prop::sample::select(FibResult::ALL), any::<u32>()).prop_map(|(dreg, result, flags)| Fib {
            dreg,
            result,
            flags
        }
        .into()),
        (op, any::<u8>(), any::<u32>(), any::<u32>(), any::<bool>(), regs())
            .prop_map(|(op, kind, offset, len, present, dreg)| Exthdr { op, kind, offset, len, present, dreg }.into()),
        (regs(), values()).prop_map(|(dreg, data)| Immediate::Data { dreg, data }.into()),
    ]
}

fn tests() -> impl Strategy<Value = Expr> {
    let bits = prop_oneof![
        (values(), values()).prop_map(|(mask, xor)| BitOp::MaskXor { mask, xor }),
        any::<u32>().prop_map(BitOp::Left),
        any::<u32>().prop_map(BitOp::Right),
    ];
    let dest = prop::option::of(prop_oneof![Just(Dest::Verdict), regs().prop_map(Dest::Reg)]);
    prop_oneof![
        (prop::sample::select(CmpOp::ALL), regs(), values()).prop_map(|(op, sreg, data)| Cmp { op, sreg, data }.into()),
        (regs(), any::<bool>(), values(), values()).prop_map(|(sreg, negated, from, to)| Range {
            sreg,
            negated,
            from,
            to
        }
        .into()),
        (regs(), regs(), any::<u32>(), bits).prop_map(|(sreg, dreg, len, op)| Bitwise { sreg, dreg, len, op }.into()),
        (regs(), regs(), prop::sample::select(Order::ALL), any::<u32>(), any::<u32>())
            .prop_map(|(sreg, dreg, order, len, size)| Byteorder { sreg, dreg, order, len, size }.into()),
        (names(), prop::option::of(any::<u32>()), regs(), dest, any::<bool>())
            .prop_map(|(set, set_id, sreg, dest, inverted)| Lookup { set, set_id, sreg, dest, inverted }.into()),
    ]
}

fn actions() -> impl Strategy<Value = Expr> {
    let limit = (any::<u64>(), any::<u64>(), any::<u32>(), prop::sample::select(LimitKind::ALL), any::<bool>());
    let reject = prop_oneof![
        any::<u8>().prop_map(Reject::Icmp),
        Just(Reject::TcpReset),
        prop::sample::select(IcmpxCode::ALL).prop_map(Reject::Icmpx),
    ];
    let log = prop_oneof![
        (names(), any::<u32>(), any::<u32>()).prop_map(|(prefix, level, flags)| Log::Kernel { prefix, level, flags }),
        (any::<u16>(), names(), prop::option::of(any::<u32>()), any::<u16>())
            .prop_map(|(group, prefix, snaplen, threshold)| Log::Group { group, prefix, snaplen, threshold }),
    ];
    let nat = (prop::sample::select(NatKind::ALL), any::<u32>(), pairs(), pairs(), 0u32..16);
    prop_oneof![
        verdicts().prop_map(Expr::from),
        (1u64.., any::<u64>()).prop_map(|(packets, bytes)| Counter { packets, bytes }.into()),
        limit.prop_map(|(rate, unit, burst, kind, inverted)| Limit { rate, unit, burst, kind, inverted }.into()),
        (any::<u32>(), any::<bool>()).prop_map(|(count, inverted)| Connlimit { count, inverted }.into()),
        reject.prop_map(Expr::from),
        log.prop_map(Expr::from),
        nat.prop_map(|(kind, family, address, port, flags)| {
            Nat { kind, family, address, port, flags: flags << 2 }.into()
        }),
        (pairs(), 0u32..16).prop_map(|(port, flags)| Masq { port, flags: flags << 2 }.into()),
        (pairs(), 0u32..16).prop_map(|(port, flags)| Redir { port, flags: flags << 2 }.into()),
        Just(Expr::Notrack),
        Just(Expr::Unknown(Unknown { name: "numgen".into(), data: vec![8, 0, 1, 0, 0, 0, 0, 1] })),
    ]
}

fn exprs() -> impl Strategy<Value = Expr> {
    prop_oneof![loads(), tests(), actions()]
}

fn written(rule: &Rule) -> Vec<u8> {
    let mut writer = Writer::new();
    let header = Header { kind: crate::message::NEW_RULE, flags: 0, seq: 1, family: 1, resource: 0 };
    let table = crate::TableId::inet("t");
    writer.message(header, |writer| rule.encode(&table, crate::rule::Place::End, writer));
    writer.as_bytes().to_vec()
}

fn read_as_everything(bytes: &[u8]) {
    for message in Messages::new(bytes).flatten() {
        let _ = Rule::decode(&message);
        let _ = Chain::decode(&message);
        let _ = Table::decode(&message);
        let set = Set::decode(&message);
        if let (Ok(set), Ok((_, entries))) = (set, crate::decode_list(&message)) {
            let _ = crate::assemble(&set, entries);
        }
        if let Ok((_, entries)) = crate::decode_list(&message) {
            let interval = Set::new("s", crate::DataType::Ipv4).interval();
            let _ = crate::assemble(&interval, entries.clone());
            let _ = crate::assemble(&Set::new("s", crate::DataType::Ipv4), entries);
        }
        let _ = crate::error::Answer::read(&message);
        let _ = crate::error::subject(&message, Some(40));
    }
    let _ = Expr::read(bytes);
    let _ = Expr::read_list(bytes);
    let _ = crate::wire::Message { kind: 0, flags: 0, seq: 0, port: 0, body: bytes }.nfnetlink();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_expression_is_read_as_it_was_written(exprs in prop::collection::vec(exprs(), 0..8), comment in names()) {
        let rule = Rule::new("c", exprs).comment(comment);
        let bytes = written(&rule);
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        prop_assert_eq!(Rule::decode(&message).unwrap(), rule);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn damaged_messages_do_not_make_the_decoder_panic(
        exprs in prop::collection::vec(exprs(), 0..6),
        kind in 0u16..26,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = written(&Rule::new("c", exprs));
        bytes[4..6].copy_from_slice(&(crate::message::SUBSYSTEM | kind).to_ne_bytes());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_as_everything(&bytes);
        read_as_everything(&bytes[..cut.index(bytes.len())]);
        read_as_everything(bytes.get(20..).unwrap_or_default());
    }
}

#[test]
fn the_bits_that_follow_from_nat_registers_are_not_kept() {
    let nat = Nat { kind: NatKind::Source, family: 2, address: None, port: None, flags: 7 };
    let bytes = written(&Rule::new("c", [nat.into()]));
    let read = Rule::decode(&Messages::new(&bytes).next().unwrap().unwrap()).unwrap();
    assert!(matches!(&read.exprs[0], Expr::Nat(nat) if nat.flags == 4));
}
