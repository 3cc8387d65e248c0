//! Expressions: what each does to the registers, the packet and the verdict.
//!
//! Source: the `*_eval` functions named at each; fact sheet sections 2.3, 2.4 and 9.

use std::net::IpAddr;

use super::extension;
use super::nat;
use super::packet::{IPV4, Info, Interface, Packet, Tracking};
use super::ruleset::Prepared;
use super::walk::{Counted, InterpError, Outcome, RuleAt, Step};
use crate::chain::Hook;
use crate::datatype::interface_name;
use crate::element::Data;
use crate::expr::{
    Base, BitOp, Bitwise, Byteorder, Cmp, CmpOp, Ct, CtKey, Dest, Expr, Exthdr, ExthdrOp, Fib, FibResult, Immediate,
    Lookup, Meta, MetaKey, Nat, NatKind, Payload, Range, Reject, ct_state, fib_flags,
};
use crate::register::Reg;
use crate::verdict::Verdict;

/// A question to the routing table.
#[derive(Debug, Clone, Copy)]
pub struct FibQuestion<'a> {
    /// What is asked.
    pub fib: &'a Fib,
    /// About which packet, as it is now.
    pub packet: &'a Packet,
    /// Where.
    pub hook: Hook,
}

/// The routing table's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FibAnswer {
    /// This interface, or none: for [`FibResult::Oif`] and [`FibResult::OifName`].
    Interface(Option<Interface>),
    /// This type of address (`RTN_*`): for [`FibResult::AddrType`].
    AddrType(u32),
}

/// How the routing table is asked.
type AskFib<'a> = &'a dyn Fn(FibQuestion<'_>) -> Option<FibAnswer>;

/// What a packet's fate depends on beside the packet. What is asked for and absent is an error.
#[derive(Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// The routing table.
    pub fib: Option<AskFib<'a>>,
    /// Whether rates are exceeded.
    pub over_limit: Option<bool>,
    /// The connections that a connection limit counts, this one included.
    pub connections: Option<u32>,
    /// The address that masquerading or redirecting takes.
    pub own_address: Option<IpAddr>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("fib", &self.fib.is_some())
            .field("over_limit", &self.over_limit)
            .field("connections", &self.connections)
            .field("own_address", &self.own_address)
            .finish()
    }
}

/// A rule's verdict, or a rejection, which ends everything.
type Ruled = Result<Verdict, Reject>;

/// An expression went through.
const HOLDS: Ruled = Ok(Verdict::Continue);
/// An expression ended the rule.
const FAILS: Ruled = Ok(Verdict::Break);

const fn holds(whether: bool) -> Ruled {
    if whether { HOLDS } else { FAILS }
}

/// The registers, and what the rules of one base chain work on.
pub(super) struct Machine<'p, 'a, 's> {
    table: &'a Prepared,
    hook: Hook,
    packet: &'p mut Packet,
    info: Info,
    around: &'s Surroundings<'s>,
    words: [u8; 64],
}

impl<'p, 'a, 's> Machine<'p, 'a, 's> {
    pub(super) fn new(
        table: &'a Prepared,
        hook: Hook,
        packet: &'p mut Packet,
        around: &'s Surroundings<'s>,
    ) -> Result<Self, InterpError> {
        let info = Info::read(&packet.bytes).ok_or(InterpError::Packet)?;
        Ok(Self { table, hook, packet, info, around, words: [0; 64] })
    }

    /// Runs one rule. [`Verdict::Break`] says that it did not hold.
    pub(super) fn rule(&mut self, at: RuleAt<'a>, outcome: &mut Outcome<'a>) -> Result<Ruled, InterpError> {
        for (place, expr) in at.rule.exprs.iter().enumerate() {
            let ruled = self.expr(at, place, expr, outcome)?;
            if ruled != HOLDS {
                return Ok(ruled);
            }
        }
        Ok(HOLDS)
    }

    fn expr(
        &mut self,
        at: RuleAt<'a>,
        place: usize,
        expr: &'a Expr,
        outcome: &mut Outcome<'a>,
    ) -> Result<Ruled, InterpError> {
        let unsupported = |what: &str| InterpError::Unsupported { rule: at.to_string(), what: what.into() };
        let unsupplied = |what| InterpError::Unsupplied { rule: at.to_string(), what };
        let short = || InterpError::Impossible { rule: at.to_string(), what: "a value does not fit the registers" };
        let stored = |stored: Option<()>| stored.map(|()| HOLDS).ok_or_else(short);
        match expr {
            Expr::Payload(payload) => match payload.base {
                Base::Link => Err(unsupported("the link-layer header")),
                _ => match self.payload(payload) {
                    Some(value) => stored(self.store(payload.dreg, &value)),
                    None => Ok(FAILS),
                },
            },
            Expr::Meta(Meta::Get { key, dreg }) => match self.meta(*key) {
                Some(Some(value)) => stored(self.store(*dreg, &value)),
                Some(None) => Ok(FAILS),
                None => Err(unsupported(&format!("meta {key:?}"))),
            },
            Expr::Meta(Meta::Set { key, sreg }) => {
                let value = self.word(*sreg).ok_or_else(short)?;
                match key {
                    MetaKey::Mark => self.packet.mark = value,
                    MetaKey::Priority => self.packet.priority = value,
                    other => return Err(unsupported(&format!("setting meta {other:?}"))),
                }
                Ok(HOLDS)
            }
            Expr::Ct(Ct::Get { key, direction: None, dreg }) => match self.ct(*key) {
                Some(Some(value)) => stored(self.store(*dreg, &value)),
                Some(None) => Ok(FAILS),
                None => Err(unsupported(&format!("ct {key:?}"))),
            },
            Expr::Ct(Ct::Set { key: CtKey::Mark, sreg }) => {
                let value = self.word(*sreg).ok_or_else(short)?;
                if let Tracking::Tracked(connection) = &mut self.packet.ct {
                    connection.mark = value;
                }
                Ok(HOLDS)
            }
            Expr::Ct(_) => Err(unsupported("this form of ct")),
            Expr::Cmp(cmp) => Ok(holds(self.cmp(cmp).ok_or_else(short)?)),
            Expr::Range(range) => Ok(holds(self.range(range).ok_or_else(short)?)),
            Expr::Bitwise(bitwise) => stored(self.bitwise(bitwise)),
            Expr::Byteorder(byteorder) => stored(self.byteorder(byteorder)),
            Expr::Lookup(lookup) => self.lookup(at, lookup, outcome),
            Expr::Immediate(Immediate::Data { dreg, data }) => stored(self.store(*dreg, data)),
            Expr::Immediate(Immediate::Verdict(verdict)) => Ok(Ok(verdict.clone())),
            Expr::Counter(_) => {
                outcome.counted.push(Counted::Rule { rule: at, expression: place });
                Ok(HOLDS)
            }
            Expr::Log(log) => {
                outcome.steps.push(Step::Log { rule: at, prefix: log.prefix() });
                Ok(HOLDS)
            }
            Expr::Limit(limit) => {
                let over = self.around.over_limit.ok_or_else(|| unsupplied("whether a rate is exceeded"))?;
                Ok(holds(over == limit.inverted))
            }
            Expr::Connlimit(limit) => {
                let count = self.around.connections.ok_or_else(|| unsupplied("a count of connections"))?;
                Ok(holds((count > limit.count) == limit.inverted))
            }
            Expr::Reject(reject) => Ok(Err(*reject)),
            Expr::Notrack => {
                if self.packet.ct == Tracking::None {
                    self.packet.ct = Tracking::Untracked;
                }
                Ok(HOLDS)
            }
            Expr::Fib(fib) => {
                let ask = self.around.fib.ok_or_else(|| unsupplied("the routing table"))?;
                let question = FibQuestion { fib, packet: self.packet, hook: self.hook };
                let answer = ask(question).ok_or_else(|| unsupplied("the routing table's answer"))?;
                let value = fib_value(fib, &answer).ok_or_else(|| unsupplied("the right kind of fib answer"))?;
                stored(self.store(fib.dreg, &value))
            }
            Expr::Exthdr(exthdr) => match exthdr.op {
                ExthdrOp::Ipv6 => match self.exthdr(exthdr) {
                    Some(value) => stored(self.store(exthdr.dreg, &value)),
                    None => Ok(FAILS),
                },
                other => Err(unsupported(&format!("{other:?} headers"))),
            },
            Expr::Nat(nat) => {
                let (address, port) = self.nat(nat).map_err(unsupported)?;
                nat::rewrite(self.packet, self.info, nat.kind, address, port);
                Ok(Ok(Verdict::Accept))
            }
            Expr::Masq(masq) => self.own(at, NatKind::Source, masq.port),
            Expr::Redir(redir) => self.own(at, NatKind::Destination, redir.port),
            Expr::Unknown(unknown) => Err(unsupported(&unknown.name)),
        }
    }

    /// `nft_data_copy`: a part of a word is filled up with zeros.
    fn store(&mut self, reg: Reg, value: &[u8]) -> Option<()> {
        let start = reg.index() * 4;
        let words = self.words.get_mut(start..start + value.len().next_multiple_of(4))?;
        if let Some(last) = words.last_chunk_mut::<4>() {
            *last = [0; 4];
        }
        words[..value.len()].copy_from_slice(value);
        Some(())
    }

    fn load(&self, reg: Reg, len: usize) -> Option<&[u8]> {
        self.words.get(reg.index() * 4..)?.get(..len)
    }

    fn word(&self, reg: Reg) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.load(reg, 4)?.first_chunk()?))
    }

    /// `nft_payload_fast_eval` and `nft_payload_eval`. The fast one, for short aligned loads, does not
    /// ask whether the packet is a later fragment.
    fn payload(&self, payload: &Payload) -> Option<Vec<u8>> {
        let (offset, len) = (payload.offset as usize, payload.len as usize);
        let base = if payload.base == Base::Network {
            0
        } else {
            self.info.protocol?;
            let fast = len <= 4 && len.is_power_of_two() && offset.is_multiple_of(len);
            if !fast && self.info.fragment != 0 {
                return None;
            }
            self.info.transport
        };
        let start = base.checked_add(offset)?;
        self.packet.bytes.get(start..start.checked_add(len)?).map(<[u8]>::to_vec)
    }

    /// `nft_meta_get_eval`. The outer none: not understood; the inner: it ends the rule.
    fn meta(&self, key: MetaKey) -> Option<Option<Vec<u8>>> {
        let iif = self.packet.iif.as_ref();
        // See `Packet`: which hooks do not know yet where it goes.
        let oif = self.packet.oif.as_ref().filter(|_| !matches!(self.hook, Hook::Prerouting | Hook::Input));
        let index =
            |interface: Option<&Interface>| interface.map_or(0, |interface| interface.index).to_ne_bytes().to_vec();
        let name = |interface: Option<&Interface>| {
            interface.map_or(Some([0; 16]), |interface| interface_name(&interface.name)).map(Vec::from)
        };
        Some(Some(match key {
            MetaKey::Len => (self.packet.bytes.len() as u32).to_ne_bytes().to_vec(),
            MetaKey::Protocol if self.info.family == IPV4 => vec![0x08, 0x00],
            MetaKey::Protocol => vec![0x86, 0xdd],
            MetaKey::Priority => self.packet.priority.to_ne_bytes().to_vec(),
            MetaKey::Mark => self.packet.mark.to_ne_bytes().to_vec(),
            MetaKey::Iif => index(iif),
            MetaKey::Oif => index(oif),
            MetaKey::IifName => name(iif)?,
            MetaKey::OifName => name(oif)?,
            MetaKey::NfProto => vec![self.info.family],
            MetaKey::L4Proto => match self.info.protocol {
                Some(protocol) => vec![protocol],
                None => return Some(None),
            },
            _ => return None,
        }))
    }

    /// `nft_ct_get_eval`. The outer none: not understood; the inner: it ends the rule.
    fn ct(&self, key: CtKey) -> Option<Option<Vec<u8>>> {
        let connection = match self.packet.ct {
            Tracking::Tracked(connection) => Some(connection),
            _ => None,
        };
        Some(match key {
            CtKey::State => {
                let state = match self.packet.ct {
                    Tracking::Tracked(connection) => connection.state,
                    Tracking::Untracked => ct_state::UNTRACKED,
                    Tracking::None => ct_state::INVALID,
                };
                Some(state.to_ne_bytes().to_vec())
            }
            CtKey::Direction => connection.map(|connection| vec![connection.reply.into()]),
            CtKey::Status => connection.map(|connection| connection.status.to_ne_bytes().to_vec()),
            CtKey::Mark => connection.map(|connection| connection.mark.to_ne_bytes().to_vec()),
            _ => return None,
        })
    }

    /// `nft_cmp_eval`.
    fn cmp(&self, cmp: &Cmp) -> Option<bool> {
        let order = self.load(cmp.sreg, cmp.data.len())?.cmp(&cmp.data);
        Some(match cmp.op {
            CmpOp::Eq => order.is_eq(),
            CmpOp::Ne => order.is_ne(),
            CmpOp::Lt => order.is_lt(),
            CmpOp::Le => order.is_le(),
            CmpOp::Gt => order.is_gt(),
            CmpOp::Ge => order.is_ge(),
        })
    }

    /// `nft_range_eval`.
    fn range(&self, range: &Range) -> Option<bool> {
        let value = self.load(range.sreg, range.from.len().min(range.to.len()))?;
        let inside = range.from.as_slice() <= value && value <= range.to.as_slice();
        Some(inside != range.negated)
    }

    /// `nft_bitwise_eval`; shifts carry from word to word.
    fn bitwise(&mut self, bitwise: &Bitwise) -> Option<()> {
        let len = bitwise.len as usize;
        let value = self.load(bitwise.sreg, len.next_multiple_of(4))?.to_vec();
        let words = value.chunks_exact(4).filter_map(|word| Some(u32::from_ne_bytes(*word.first_chunk()?)));
        let mut carry = 0;
        let result: Vec<u8> = match &bitwise.op {
            BitOp::MaskXor { mask, xor } => {
                let masked = value.iter().zip(mask).zip(xor).map(|((value, mask), xor)| value & mask ^ xor);
                masked.collect()
            }
            BitOp::Left(shift) => {
                let mut shifted: Vec<_> = Vec::new();
                for word in words.collect::<Vec<_>>().into_iter().rev() {
                    shifted.push(word.checked_shl(*shift)? | carry);
                    carry = word.checked_shr(32 - shift).unwrap_or(0);
                }
                shifted.into_iter().rev().flat_map(u32::to_ne_bytes).collect()
            }
            BitOp::Right(shift) => {
                let mut shifted: Vec<_> = Vec::new();
                for word in words {
                    shifted.push(carry | word.checked_shr(*shift)?);
                    carry = word.checked_shl(32 - shift).unwrap_or(0);
                }
                shifted.into_iter().flat_map(u32::to_ne_bytes).collect()
            }
        };
        self.store(bitwise.dreg, &result)
    }

    /// `nft_byteorder_eval`.
    fn byteorder(&mut self, byteorder: &Byteorder) -> Option<()> {
        let mut value = self.load(byteorder.sreg, byteorder.len as usize)?.to_vec();
        let unit = usize::try_from(byteorder.size).ok().filter(|size| matches!(size, 2 | 4 | 8))?;
        if cfg!(target_endian = "little") {
            value.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        self.store(byteorder.dreg, &value)
    }

    /// `nft_lookup_eval`.
    fn lookup(&mut self, at: RuleAt<'a>, lookup: &'a Lookup, outcome: &mut Outcome<'a>) -> Result<Ruled, InterpError> {
        let impossible = |what| InterpError::Impossible { rule: at.to_string(), what };
        let (set, index) = self.table.set(&lookup.set).ok_or_else(|| impossible("a set is not there"))?;
        let key = self.load(lookup.sreg, index.key_len()).ok_or_else(|| impossible("a key does not fit"))?;
        let found = index.find(key).map_err(|_| impossible("two elements hold one key"))?;
        if lookup.inverted {
            return match index.catch_all() {
                None => Ok(holds(found.is_none())),
                // Kernels before and after a repair of theirs answer differently.
                Some(_) => Err(InterpError::Unsupported {
                    rule: at.to_string(),
                    what: "an inverted lookup in a set with a catch-all".into(),
                }),
            };
        }
        let Some(element) = found.or(index.catch_all()) else { return Ok(FAILS) };
        let dump = &self.table.dump.sets[set];
        outcome.steps.push(Step::Element { rule: at, set: &dump.set.name, element });
        if dump.set.counted {
            outcome.counted.push(Counted::Element { table: at.table, set: &dump.set.name, element });
        }
        match (lookup.dest, &dump.elements[element].data) {
            (None, _) => Ok(HOLDS),
            (Some(Dest::Reg(dreg)), Some(Data::Value(value))) => {
                self.store(dreg, value).map(|()| HOLDS).ok_or_else(|| impossible("a value does not fit"))
            }
            (Some(Dest::Verdict), Some(Data::Verdict(verdict))) => Ok(Ok(verdict.clone())),
            _ => Err(impossible("an element leads to nothing")),
        }
    }

    /// `nft_exthdr_ipv6_eval`.
    fn exthdr(&self, exthdr: &Exthdr) -> Option<Vec<u8>> {
        if self.info.family == IPV4 {
            return None;
        }
        let found = extension::find(&self.packet.bytes, exthdr.kind);
        if exthdr.present {
            return Some(vec![found.is_some().into()]);
        }
        let start = found?.checked_add(exthdr.offset as usize)?;
        self.packet.bytes.get(start..start.checked_add(exthdr.len as usize)?).map(<[u8]>::to_vec)
    }

    /// The address and port that a nat expression rewrites to.
    fn nat(&self, nat: &Nat) -> Result<(Option<IpAddr>, Option<[u8; 2]>), &'static str> {
        let same = |pair: Option<(Reg, Reg)>, len| match pair {
            None => Ok(None),
            Some((min, max)) => match (self.load(min, len), self.load(max, len)) {
                (Some(min), Some(max)) if min == max => Ok(Some(min)),
                _ => Err("a range to rewrite to"),
            },
        };
        let len = if self.info.family == IPV4 { 4 } else { 16 };
        let address = same(nat.address, len)?.and_then(|bytes| match bytes.len() {
            4 => bytes.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
            _ => bytes.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        });
        let port = same(nat.port, 2)?.and_then(|bytes| bytes.first_chunk::<2>().copied());
        Ok((address, port))
    }

    /// `masq` and `redir`: to an address that the surroundings know.
    fn own(&mut self, at: RuleAt<'a>, kind: NatKind, port: Option<(Reg, Reg)>) -> Result<Ruled, InterpError> {
        let nat = Nat { kind, family: 0, address: None, port, flags: 0 };
        let (_, port) =
            self.nat(&nat).map_err(|what| InterpError::Unsupported { rule: at.to_string(), what: what.into() })?;
        let address = self.around.own_address.filter(|address| address.is_ipv4() == (self.info.family == IPV4));
        let unsupplied = || InterpError::Unsupplied { rule: at.to_string(), what: "the host's own address" };
        nat::rewrite(self.packet, self.info, kind, Some(address.ok_or_else(unsupplied)?), port);
        Ok(Ok(Verdict::Accept))
    }
}

/// `nft_fib_store_result`.
fn fib_value(fib: &Fib, answer: &FibAnswer) -> Option<Vec<u8>> {
    let present = fib.flags & fib_flags::PRESENT != 0;
    match (fib.result, answer) {
        (FibResult::AddrType, FibAnswer::AddrType(kind)) => Some(kind.to_ne_bytes().to_vec()),
        (FibResult::Oif | FibResult::OifName, FibAnswer::Interface(interface)) if present => {
            Some(vec![interface.is_some().into()])
        }
        (FibResult::Oif, FibAnswer::Interface(interface)) => {
            Some(interface.as_ref().map_or(0, |interface| interface.index).to_ne_bytes().to_vec())
        }
        (FibResult::OifName, FibAnswer::Interface(interface)) => match interface {
            None => Some(vec![0; 16]),
            Some(interface) => interface_name(&interface.name).map(Vec::from),
        },
        _ => None,
    }
}
