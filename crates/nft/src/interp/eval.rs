//! Expressions: what each does to the registers, the packet and the verdict.
//!
//! Source: the `*_eval` functions named at each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::environment::{Environment, FibQuestion, fib_value};
use super::nat;
use super::packet::{IPV4, Info, Packet, Tracking};
use super::registers::{Registers, Undecided};
use super::ruleset::Prepared;
use super::walk::{Counted, InterpError, Outcome, RuleAt, Step};
use crate::chain::Hook;
use crate::element::Data;
use crate::expr::{Base, Ct, CtKey, Dest, Expr, ExthdrOp, Immediate, Lookup, Meta, MetaKey, Nat, NatKind, Reject};
use crate::register::Reg;
use crate::verdict::Verdict;

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
    pub(super) hook: Hook,
    pub(super) packet: &'p mut Packet,
    pub(super) info: Info,
    around: &'s Environment<'s>,
    registers: Registers,
    /// What of the last value loaded with open bits a message names.
    asked: String,
}

impl<'p, 'a, 's> Machine<'p, 'a, 's> {
    pub(super) fn new(
        table: &'a Prepared,
        hook: Hook,
        packet: &'p mut Packet,
        around: &'s Environment<'s>,
    ) -> Result<Self, InterpError> {
        let info = Info::read(&packet.bytes).ok_or(InterpError::Packet)?;
        Ok(Self { table, hook, packet, info, around, registers: Registers::new(), asked: String::new() })
    }

    /// Runs one rule. [`Verdict::Break`] says that it did not hold.
    pub(super) fn rule(&mut self, at: RuleAt<'a>, outcome: &mut Outcome<'a>) -> Result<Ruled, InterpError> {
        for (place, expr) in at.rule.exprs.iter().enumerate() {
            let ruled = match self.expr(at, place, expr, outcome) {
                // Whether it holds changes nothing.
                Err(InterpError::Open { .. }) if !at.rule.exprs[place..].iter().any(decides) => FAILS,
                ruled => ruled?,
            };
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
        let asked = self.asked.clone();
        let decided = |result: Option<Result<bool, Undecided>>| match result {
            Some(Ok(whether)) => Ok(holds(whether)),
            Some(Err(Undecided)) => Err(InterpError::Open { rule: at.to_string(), what: asked.clone() }),
            None => Err(short()),
        };
        match expr {
            Expr::Payload(payload) => match payload.base {
                Base::Link => Err(unsupported("the link-layer header")),
                _ => match self.payload(payload) {
                    Some((value, open)) => {
                        // Counted from 0.
                        let header = if payload.base == Base::Network { "network" } else { "transport" };
                        let last = payload.offset.saturating_add(payload.len.saturating_sub(1));
                        let first = payload.offset;
                        self.name_open(&open, || match payload.len {
                            1 => format!("byte {first} of the {header} header"),
                            _ => format!("bytes {first} to {last} of the {header} header"),
                        });
                        stored(self.registers.store_open(payload.dreg, &value, &open))
                    }
                    None => Ok(FAILS),
                },
            },
            Expr::Meta(Meta::Get { key, dreg }) => match self.meta(*key) {
                Some(Some(value)) => {
                    let open = self.meta_open(*key, value.len());
                    self.name_open(&open, || format!("meta {}", keyword(key)));
                    stored(self.registers.store_open(*dreg, &value, &open))
                }
                Some(None) => Ok(FAILS),
                None => Err(unsupported(&format!("meta {}", keyword(key)))),
            },
            Expr::Meta(Meta::Set { key, sreg }) => {
                let value = self.registers.word(*sreg).ok_or_else(short)?;
                let bits = self.registers.open_word(*sreg).ok_or_else(short)?;
                let (field, open) = match (key, &mut self.packet.open) {
                    (MetaKey::Mark, open) => (&mut self.packet.mark, open.as_mut().map(|open| &mut open.mark)),
                    (MetaKey::Priority, open) => {
                        (&mut self.packet.priority, open.as_mut().map(|open| &mut open.priority))
                    }
                    (other, _) => return Err(unsupported(&format!("setting meta {}", keyword(other)))),
                };
                *field = value;
                if let Some(open) = open {
                    *open = bits;
                }
                Ok(HOLDS)
            }
            Expr::Ct(Ct::Get { key, direction: None, dreg }) => match self.ct(*key) {
                Some(Some(value)) => {
                    let open = self.ct_open(*key, value.len());
                    self.name_open(&open, || format!("ct {}", keyword(key)));
                    stored(self.registers.store_open(*dreg, &value, &open))
                }
                Some(None) => Ok(FAILS),
                None => Err(unsupported(&format!("ct {}", keyword(key)))),
            },
            Expr::Ct(Ct::Set { key: CtKey::Mark, sreg }) => {
                let value = self.registers.word(*sreg).ok_or_else(short)?;
                if let Tracking::Tracked(connection) = &mut self.packet.ct {
                    connection.mark = value;
                }
                if let Some(open) = &mut self.packet.open {
                    open.ct_mark = self.registers.open_word(*sreg).ok_or_else(short)?;
                }
                Ok(HOLDS)
            }
            Expr::Ct(_) => Err(unsupported("this form of ct")),
            Expr::Cmp(cmp) => decided(self.registers.cmp(cmp)),
            Expr::Range(range) => decided(self.registers.range(range)),
            Expr::Bitwise(bitwise) => stored(self.registers.bitwise(bitwise)),
            Expr::Byteorder(byteorder) => stored(self.registers.byteorder(byteorder)),
            Expr::Lookup(lookup) => self.lookup(at, lookup, outcome),
            Expr::Immediate(Immediate::Data { dreg, data }) => stored(self.registers.store(*dreg, data)),
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
                stored(self.registers.store(fib.dreg, &value))
            }
            Expr::Exthdr(exthdr) => match exthdr.op {
                ExthdrOp::Ipv6 => match self.exthdr(exthdr) {
                    Some((value, open)) => {
                        self.name_open(&open, || format!("extension header {}", exthdr.kind));
                        stored(self.registers.store_open(exthdr.dreg, &value, &open))
                    }
                    None => Ok(FAILS),
                },
                other => Err(unsupported(&format!("{other:?} headers"))),
            },
            Expr::Nat(nat) => {
                let len = if self.info.family == IPV4 { 4 } else { 16 };
                let registers = [nat.address.map(|pair| (pair, len)), nat.port.map(|pair| (pair, 2))];
                let mut registers = registers.into_iter().flatten();
                if registers
                    .any(|((first, last), len)| [first, last].iter().any(|reg| self.registers.is_open(*reg, len)))
                {
                    return Err(InterpError::Open { rule: at.to_string(), what: self.asked.clone() });
                }
                let (address, port) = self.nat(nat).map_err(unsupported)?;
                nat::rewrite(self.packet, self.info, nat.kind, address, port);
                if nat.port.is_some_and(|(first, last)| self.registers.load(first, 2) != self.registers.load(last, 2)) {
                    self.open_bytes(self.info.transport..self.info.transport + 2);
                }
                Ok(Ok(Verdict::Accept))
            }
            Expr::Masq(masq) => self.own(at, NatKind::Source, masq.port),
            Expr::Redir(redir) => self.own(at, NatKind::Destination, redir.port),
            Expr::Unknown(unknown) => Err(unsupported(&unknown.name)),
        }
    }

    /// Notes what to name if a result depends on these bits.
    fn name_open(&mut self, open: &[u8], what: impl Fn() -> String) {
        if open.iter().any(|bits| *bits != 0) {
            self.asked = what();
        }
    }

    /// `nft_lookup_eval`.
    fn lookup(&mut self, at: RuleAt<'a>, lookup: &'a Lookup, outcome: &mut Outcome<'a>) -> Result<Ruled, InterpError> {
        let impossible = |what| InterpError::Impossible { rule: at.to_string(), what };
        let (set, index) = self.table.set(&lookup.set).ok_or_else(|| impossible("a set is not there"))?;
        let key = self.registers.load(lookup.sreg, index.key_len()).ok_or_else(|| impossible("a key does not fit"))?;
        if self.registers.is_open(lookup.sreg, index.key_len()) {
            return Err(InterpError::Open { rule: at.to_string(), what: self.asked.clone() });
        }
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
                self.registers.store(dreg, value).map(|()| HOLDS).ok_or_else(|| impossible("a value does not fit"))
            }
            (Some(Dest::Verdict), Some(Data::Verdict(verdict))) => Ok(Ok(verdict.clone())),
            _ => Err(impossible("an element leads to nothing")),
        }
    }

    /// The address and port that a nat expression rewrites to.
    fn nat(&self, nat: &Nat) -> Result<(Option<IpAddr>, Option<[u8; 2]>), &'static str> {
        let pair = |pair: Option<(Reg, Reg)>, len| {
            pair.map(|(min, max)| Some((self.registers.load(min, len)?, self.registers.load(max, len)?)))
        };
        const RANGE: &str = "a range to rewrite to";
        let len = if self.info.family == IPV4 { 4 } else { 16 };
        let address = match pair(nat.address, len) {
            None => None,
            Some(Some((min, max))) if min == max => match min.len() {
                4 => min.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
                _ => min.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
            },
            Some(_) => return Err(RANGE),
        };
        let port = match pair(nat.port, 2) {
            None => None,
            Some(Some((min, max))) if min == max => min.first_chunk::<2>().copied(),
            // `get_unique_tuple`: a source port of the range stays. Of others the first is taken for what the kernel chooses.
            Some(Some((min, max))) if nat.kind == NatKind::Source => {
                let own = self.packet.bytes.get(self.info.transport..self.info.transport + 2);
                own.filter(|own| (min..=max).contains(own)).unwrap_or(min).first_chunk::<2>().copied()
            }
            Some(_) => return Err(RANGE),
        };
        Ok((address, port))
    }

    /// Of a packet that stands for many these bytes are open: the kernel chooses them.
    fn open_bytes(&mut self, places: impl Iterator<Item = usize>) {
        let Some(open) = &mut self.packet.open else { return };
        for place in places {
            if let Some(bits) = open.bytes.get_mut(place) {
                *bits = u8::MAX;
            }
        }
    }

    /// `masq` and `redir`: to an address that the surroundings know.
    fn own(&mut self, at: RuleAt<'a>, kind: NatKind, port: Option<(Reg, Reg)>) -> Result<Ruled, InterpError> {
        let nat = Nat { kind, family: 0, address: None, port, flags: 0 };
        let (_, port) =
            self.nat(&nat).map_err(|what| InterpError::Unsupported { rule: at.to_string(), what: what.into() })?;
        let is_v4 = self.info.family == IPV4;
        let unsupplied = |what| InterpError::Unsupplied { rule: at.to_string(), what };
        // `nf_nat_redirect_ipv4`: what the host sends stays on it.
        let address = match (kind, self.hook) {
            (NatKind::Destination, Hook::Output) if is_v4 => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            (NatKind::Destination, Hook::Output) => Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            (NatKind::Destination, _) => {
                let what = "which address of the interface it is redirected to";
                match self.around.incoming_address.ok_or_else(|| unsupplied(what))? {
                    None => return Ok(Ok(Verdict::Drop)),
                    address => address,
                }
            }
            _ => self.around.own_address,
        };
        let address = address.filter(|address| address.is_ipv4() == is_v4);
        let address = address.ok_or_else(|| unsupplied("the host's own address"))?;
        nat::rewrite(self.packet, self.info, kind, Some(address), port);
        if kind == NatKind::Source {
            // Which of its addresses and ports the kernel takes is open.
            let address = if self.info.family == IPV4 { 12..16 } else { 8..24 };
            self.open_bytes(address.chain(self.info.transport..self.info.transport + 2));
        }
        Ok(Ok(Verdict::Accept))
    }
}

/// A key as `nft` writes it: `skuid`, `status`.
fn keyword(key: impl std::fmt::Debug) -> String {
    format!("{key:?}").to_lowercase()
}

/// Whether it matters to a packet's way, or to later rules, that a rule gets to an expression.
fn decides(expr: &Expr) -> bool {
    match expr {
        Expr::Payload(_)
        | Expr::Meta(Meta::Get { .. })
        | Expr::Ct(Ct::Get { .. })
        | Expr::Cmp(_)
        | Expr::Range(_)
        | Expr::Bitwise(_)
        | Expr::Byteorder(_)
        | Expr::Exthdr(_)
        | Expr::Fib(_)
        | Expr::Counter(_)
        | Expr::Log(_) => false,
        Expr::Lookup(lookup) => lookup.dest == Some(Dest::Verdict),
        // Without a wildcard, so that the compiler asks whether a new expression decides.
        Expr::Meta(Meta::Set { .. })
        | Expr::Ct(Ct::Set { .. })
        | Expr::Immediate(_)
        | Expr::Limit(_)
        | Expr::Connlimit(_)
        | Expr::Reject(_)
        | Expr::Nat(_)
        | Expr::Masq(_)
        | Expr::Redir(_)
        | Expr::Notrack
        | Expr::Unknown(_) => true,
    }
}
