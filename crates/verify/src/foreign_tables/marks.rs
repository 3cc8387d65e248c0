//! Where a table writes the bit of packet marks by which tortie knows that an untracked or pre-DNAT policy has allowed a packet, between the
//! chain of tortie that writes it and the one that reads it.
//!
//! Source: `xt_mark_tginfo2`, `xt_connmark_tginfo1` of `linux/netfilter`, net/netfilter/xt_mark.c, net/netfilter/xt_connmark.c.

use std::collections::HashMap;

use tortie_dataplane_nft::{FILTER, MANGLE, RAW};
use tortie_eval::{Builtin, DecidedBy, Outcome as Decided, Stage, Verdict};
use tortie_nft::expr::{BitOp, Immediate, Lookup, Meta, MetaKey};
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::Step;
use tortie_nft::{BaseChain, Expr, Hook, Reg, Rule};
use tortie_policy::packet::OwnNat;

use super::{Asked, alone, at_hooks, hooks, is_concerned, possible_destinations, reached, translated};
use crate::xt;

/// A bit of the marks of packets, between two places: the hook and the priority of chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkBit {
    /// The bit.
    pub bit: u32,
    /// Whether it is set; a table that sets it then changes nothing.
    pub is_set: bool,
    /// The chain that writes it last. What is at the same place may come behind it.
    pub from: (Hook, i32),
    /// The chain that reads it. What is at the same place may come before it.
    pub to: (Hook, i32),
}

/// The bit that says that an untracked or pre-DNAT policy has allowed a packet, and what is added to the priorities of tortie's chains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedMark {
    /// The bit.
    pub bit: u32,
    /// What is added.
    pub priority_shift: i32,
}

impl MarkBit {
    /// The bit that the verdict on a packet depends on: that an earlier policy has allowed it, or that none has. None where no chain reads it
    /// that decides.
    pub fn of(verdict: &Verdict, AllowedMark { bit, priority_shift }: AllowedMark) -> Option<Self> {
        let before = DecidedBy::Builtin(Builtin::AcceptedBefore);
        let place = |stage: Stage| {
            let (hook, priority) = match stage {
                Stage::UntrackedIn => (Hook::Prerouting, RAW),
                Stage::UntrackedOut => (Hook::Output, RAW),
                Stage::PreDnat => (Hook::Prerouting, MANGLE),
                Stage::HostIn => (Hook::Input, FILTER + 1),
                Stage::ForwardIn => (Hook::Forward, FILTER),
                Stage::HostOut => (Hook::Output, FILTER),
                Stage::SourceCheck
                | Stage::WorkloadToHost
                | Stage::WorkloadEgress
                | Stage::WorkloadIngress
                | Stage::ForwardOut
                | Stage::HostOutTranslated => return None,
            };
            Some((hook, priority.saturating_add(priority_shift)))
        };
        let path = &verdict.path;
        if let Some(reads) = path.iter().rfind(|step| step.decision.by == before) {
            let allows =
                |step: &&tortie_eval::Step| step.decision.outcome == Decided::Accept && step.decision.by != before;
            let from = place(path.iter().find(allows)?.stage)?;
            return Some(Self { bit, is_set: true, from, to: place(reads.stage)? });
        }
        let denies = path.last().filter(|step| step.decision.outcome == Decided::Deny && step.endpoint.is_some())?;
        // Tunnels are judged before the bit is read.
        let to = place(denies.stage).filter(|_| !matches!(denies.decision.by, DecidedBy::Builtin(_)))?;
        let begins = if to.0 == Hook::Output { Stage::UntrackedOut } else { Stage::UntrackedIn };
        let from = place(begins).filter(|from| *from != to)?;
        Some(Self { bit, is_set: false, from, to })
    }
}

/// The chain of a table that may give a packet that tortie itself translates so the other value of a bit.
pub fn may_write_mark<'a>(table: &'a ForeignTable, asked: Asked<'_>, own: OwnNat, mark: MarkBit) -> Option<&'a str> {
    if !is_concerned(table, asked.packet) {
        return None;
    }
    let packet = translated::by_tortie(asked.packet, own);
    let (asked, hooks) = (asked.about(&packet), hooks(&packet.path));
    let place = |(hook, priority): (Hook, i32)| Some((hooks.iter().position(|one| *one == hook)?, priority));
    let (from, to) = (place(mark.from)?, place(mark.to)?);
    let is_between = |base: &BaseChain| place((base.hook, base.priority)).is_some_and(|at| from <= at && at <= to);
    let bases = table.dump.chains.iter().filter_map(|chain| Some((chain.name.as_str(), chain.base?)));
    let mut between = bases.filter(|(_, base)| is_between(base));
    between.find(|(name, base)| writes(table, name, base.hook, asked, mark)).map(|(name, _)| name)
}

fn writes(table: &ForeignTable, chain: &str, hook: Hook, asked: Asked<'_>, mark: MarkBit) -> bool {
    let reached = reached(&table.dump, vec![chain]);
    let of_chain = |rule: &&Rule| reached.contains(rule.chain.as_str()) && may_give(rule, mark);
    let mut rules = table.dump.rules.iter().filter(of_chain).peekable();
    if rules.peek().is_none() {
        return false;
    }
    let walked = match table.undecoded.is_empty() {
        true => translated::ruleset(&alone(&table.dump, chain), asked.packet).ok(),
        false => None,
    };
    let is_write = |step: &Step<'_>| matches!(step, Step::Rule(at) if may_give(at.rule, mark));
    let walked = walked.and_then(|ruleset| {
        at_hooks(&ruleset, asked, |_, outcome, _, _| outcome.steps.iter().any(is_write).then_some(())).ok()
    });
    match walked {
        Some(met) => met.is_some(),
        None => {
            let behind = translated::behind(asked.packet);
            let may_match = |rule, asked| possible_destinations::may_match(&table.dump, rule, asked, hook);
            rules.any(|rule| may_match(rule, asked) || may_match(rule, asked.about(&behind)))
        }
    }
}

/// What is known of the bit in a register.
#[derive(Clone, Copy, PartialEq)]
enum Bit {
    /// It is that of the mark.
    Kept,
    Known(bool),
}

/// Whether a rule may give a packet the other value of the bit.
fn may_give(rule: &Rule, MarkBit { bit, is_set, .. }: MarkBit) -> bool {
    let of = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) & bit != 0);
    let is_other = |value: Option<Bit>| match value {
        Some(Bit::Kept) => false,
        Some(Bit::Known(value)) => value != is_set,
        None => true,
    };
    let mut registers: HashMap<Reg, Bit> = HashMap::new();
    for expr in &rule.exprs {
        let (register, value) = match expr {
            Expr::Meta(Meta::Get { key: MetaKey::Mark, dreg }) => (*dreg, Some(Bit::Kept)),
            Expr::Immediate(Immediate::Data { dreg, data }) => (*dreg, of(data).map(Bit::Known)),
            Expr::Bitwise(bitwise) => {
                let value = match &bitwise.op {
                    BitOp::MaskXor { mask, xor } => match (of(mask), of(xor), registers.get(&bitwise.sreg)) {
                        (Some(false), Some(flipped), _) => Some(Bit::Known(flipped)),
                        (Some(true), Some(false), value) => value.copied(),
                        (Some(true), Some(true), Some(Bit::Known(value))) => Some(Bit::Known(!value)),
                        _ => None,
                    },
                    BitOp::Left(_) | BitOp::Right(_) => None,
                };
                (bitwise.dreg, value)
            }
            Expr::Meta(Meta::Set { key: MetaKey::Mark, sreg }) => {
                if is_other(registers.get(sreg).copied()) {
                    return true;
                }
                continue;
            }
            Expr::Unknown(unknown) => {
                if xt::mark(unknown).is_some_and(|given| given.may_give(bit, is_set)) {
                    return true;
                }
                registers.clear();
                continue;
            }
            Expr::Meta(Meta::Set { .. })
            | Expr::Lookup(Lookup { dest: None, .. })
            | Expr::Immediate(Immediate::Verdict(_))
            | Expr::Cmp(_)
            | Expr::Range(_)
            | Expr::Counter(_)
            | Expr::Log(_)
            | Expr::Limit(_)
            | Expr::Connlimit(_)
            | Expr::Notrack => continue,
            // They load something else, into some register.
            _ => {
                registers.clear();
                continue;
            }
        };
        match value {
            Some(value) => registers.insert(register, value),
            None => registers.remove(&register),
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use tortie_nft::Chain;
    use tortie_nft::expr::{Bitwise, Cmp, Ct, CtKey, Payload};
    use tortie_policy::packet::{Packet, PacketPath};

    use super::super::tests::{host, packet, table, xt};
    use super::*;

    const BIT: u32 = 0x1_0000;

    /// Whether a rule may clear the bit, and set it.
    fn gives(exprs: Vec<Expr>) -> [bool; 2] {
        let rule = Rule::new("c", exprs);
        let place = (Hook::Prerouting, 0);
        [true, false].map(|is_set| may_give(&rule, MarkBit { bit: BIT, is_set, from: place, to: place }))
    }

    fn target(name: &str, revision: u32, words: &[u32]) -> Vec<Expr> {
        let info: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        vec![xt("target", name, revision, &info)]
    }

    #[test]
    fn a_chain_behind_a_translation_is_asked_about_the_packet_as_translated() {
        let to = [172, 17, 0, 2];
        let rule = |more: Vec<Expr>| {
            let address = Payload::ipv4_destination(Reg::R1);
            let mut exprs: Vec<Expr> = vec![address.into(), Cmp::eq(Reg::R1, to).into()];
            exprs.extend(more);
            exprs.extend([
                Immediate::data(Reg::R1, 7u32.to_ne_bytes()).into(),
                Meta::set(MetaKey::Mark, Reg::R1).into(),
            ]);
            Rule::new("FORWARD", exprs)
        };
        let chain = || Chain::base("FORWARD", BaseChain::filter(Hook::Forward, MANGLE));
        let mark = MarkBit { bit: BIT, is_set: true, from: (Hook::Prerouting, MANGLE), to: (Hook::Forward, FILTER) };
        let path = || PacketPath::Forward { from: "eth0".into(), to: "docker0".into() };
        let plain = packet("192.0.2.11", 5000, path());
        let named = Packet { translated: Some((to.into(), None)), ..plain.clone() };
        let own = OwnNat { destination: Some(to.into()), ..OwnNat::default() };
        // Also where the rule is not understood as a whole.
        for more in [vec![], vec![xt("match", "owner", 1, &[0; 8])]] {
            let table = table("mangle", vec![chain()], vec![rule(more)]);
            let of = |packet: &Packet, own| may_write_mark(&table, Asked::new(&host(), None, packet), own, mark);
            assert_eq!(of(&plain, OwnNat::default()), None);
            assert_eq!(of(&named, OwnNat::default()), Some("FORWARD"));
            assert_eq!(of(&plain, own), Some("FORWARD"));
        }
    }

    #[test]
    fn a_rule_that_keeps_the_bit_writes_none_and_others_write_what_they_say() {
        let value = |value: u32| Immediate::data(Reg::R1, value.to_ne_bytes()).into();
        let get = || Meta::get(MetaKey::Mark, Reg::R1).into();
        let set = || Meta::set(MetaKey::Mark, Reg::R1).into();
        let bits = |bits: u32, value: u32| Bitwise::replace(Reg::R1, bits, value).into();
        for (exprs, expected) in [
            (vec![value(7), set()], [true, false]),
            (vec![value(BIT | 7), set()], [false, true]),
            (vec![get(), bits(0x4000, 0x4000), set()], [false, false]),
            (vec![get(), bits(0xff_ffff, 0x1), set()], [true, false]),
            (vec![get(), bits(BIT, BIT), set()], [false, true]),
            (vec![Ct::Get { key: CtKey::Mark, direction: None, dreg: Reg::R1 }.into(), set()], [true, true]),
            (vec![get(), bits(BIT, 0)], [false, false]),
            (target("MARK", 2, &[0x4000, 0x4000]), [false, false]),
            (target("MARK", 2, &[7, u32::MAX]), [true, false]),
            (target("MARK", 2, &[0x4_0000, 0xff_0000]), [true, false]),
            (target("MARK", 2, &[BIT, 0]), [true, true]),
            (target("CONNMARK", 1, &[u32::MAX, 0xffff, 0xffff, 1]), [false, false]),
            (target("CONNMARK", 1, &[0xffff, u32::MAX, u32::MAX, 2]), [true, true]),
            (target("CONNMARK", 1, &[0xffff, 0xffff, 0xffff, 2]), [false, false]),
            (target("MARK", 7, &[7, u32::MAX]), [true, true]),
            (target("LOG", 0, &[7]), [false, false]),
        ] {
            assert_eq!(gives(exprs.clone()), expected, "{exprs:?}");
        }
    }
}
