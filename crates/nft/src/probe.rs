//! What this kernel can do, found by asking it to and changing nothing.
//!
//! Every question is a batch without an end: the kernel goes through it, answers what it would refuse,
//! and forgets it. No version is looked at, so back-ported and left-out features are both seen.

use crate::batch::Batch;
use crate::chain::{BaseChain, Chain, Hook};
use crate::datatype::{DataType, Fields};
use crate::element::{Element, Key};
use crate::error::CommitError;
use crate::expr::{Connlimit, Counter, Ct, CtKey, Expr, Fib, FibResult, Limit, Log, Masq, Reject, fib_flags};
use crate::expr::{IcmpxCode, Immediate, Nat, NatKind};
use crate::register::Reg;
use crate::rule::Rule;
use crate::set::Set;
use crate::socket::Socket;
use crate::table::{Family, Table, TableId};
use crate::verdict::Verdict;

/// Something that not every kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// nf_tables itself, with tables for both address families (3.14). Without it the kernel has none of the others.
    Tables,
    /// Tables that only one socket may change (5.12).
    Owner,
    /// Owned tables that outlive their owner (6.9).
    Persist,
    /// Ranges of concatenations (5.6).
    ConcatenatedRanges,
    /// Elements that stand for the rest (5.13).
    CatchAll,
    /// Counters in elements (5.7).
    ElementCounters,
    /// Conntrack.
    Conntrack,
    /// Leaving packets to no conntrack.
    Notrack,
    /// Reverse-path checks.
    Fib,
    /// Rates.
    Limit,
    /// Connection counts.
    Connlimit,
    /// Logging to a group.
    LogGroup,
    /// Refusing with an answer.
    Reject,
    /// Destination rewriting.
    Nat,
    /// Source rewriting to an interface's address.
    Masquerade,
}

impl Feature {
    /// Every feature.
    pub const ALL: &[Self] = &[
        Self::Tables,
        Self::Owner,
        Self::Persist,
        Self::ConcatenatedRanges,
        Self::CatchAll,
        Self::ElementCounters,
        Self::Conntrack,
        Self::Notrack,
        Self::Fib,
        Self::Limit,
        Self::Connlimit,
        Self::LogGroup,
        Self::Reject,
        Self::Nat,
        Self::Masquerade,
    ];

    /// Whether the kernel has it.
    pub fn is_supported(self, socket: &mut Socket) -> Result<bool, CommitError> {
        let id = TableId { family: Family::Inet, name: format!("tortie-probe-{}", std::process::id()) };
        let mut batch = Batch::new();
        let plain = Table::new(id.clone());
        let table = match self {
            Self::Owner => Table { owner: true, ..plain },
            Self::Persist => Table::owned(id.clone()),
            _ => plain,
        };
        batch.add_table(&table);
        match self {
            Self::Tables | Self::Owner | Self::Persist => (),
            Self::ConcatenatedRanges | Self::CatchAll | Self::ElementCounters => self.add_set(&mut batch, &id),
            _ => {
                let (base, expr) = self.rule();
                batch.add_chain(&id, &Chain::base("probe", base));
                batch.append_rule(&id, &Rule::new("probe", expr));
            }
        }
        let errors = batch.check(socket)?;
        // Without the right to ask, nothing is known.
        match errors.iter().find(|error| error.errno == libc::EPERM) {
            Some(_) => Err(CommitError::Refused(errors)),
            None => Ok(errors.is_empty()),
        }
    }

    fn add_set(self, batch: &mut Batch, id: &TableId) {
        let key = || Fields::one(DataType::Ipv4);
        let (set, element) = match self {
            Self::CatchAll => (Set::vmap("probe", key()), Element::verdict(Key::CatchAll, Verdict::Drop)),
            Self::ElementCounters => (Set::new("probe", key()).counted(), Element::new(Key::One(vec![10, 0, 0, 1]))),
            _ => {
                let Some(fields) = Fields::new([DataType::Ipv4, DataType::Protocol]) else { return };
                let range = Key::range(vec![10, 0, 0, 0, 6, 0, 0, 0], vec![10, 0, 0, 255, 6, 0, 0, 0]);
                (Set::new("probe", fields).interval(), Element::new(range))
            }
        };
        batch.add_set(id, &set);
        batch.add_elements(id, &set, [&element]);
    }

    fn rule(self) -> (BaseChain, Vec<Expr>) {
        let raw = BaseChain::filter(Hook::Prerouting, -300);
        match self {
            Self::Conntrack => (raw, vec![Ct::get(CtKey::State, Reg::R1).into()]),
            Self::Notrack => (raw, vec![Expr::Notrack]),
            Self::Fib => {
                let flags = fib_flags::SADDR | fib_flags::IIF | fib_flags::MARK;
                (raw, vec![Fib { dreg: Reg::R1, result: FibResult::Oif, flags }.into()])
            }
            Self::Limit => (raw, vec![Limit::packets_per_second(10, 5).into()]),
            Self::Connlimit => (raw, vec![Connlimit { count: 10, inverted: true }.into()]),
            Self::LogGroup => (raw, vec![Log::group(1, "probe").into()]),
            Self::Reject => (raw, vec![Reject::Icmpx(IcmpxCode::PortUnreachable).into()]),
            Self::Masquerade => (BaseChain::nat(Hook::Postrouting, 100), vec![Masq::default().into()]),
            Self::Nat => {
                let address = Some((Reg::R1, Reg::R1));
                let nat = Nat { kind: NatKind::Destination, family: 2, address, port: None, flags: 0 };
                let load = Immediate::data(Reg::R1, [10, 0, 0, 1]);
                (BaseChain::nat(Hook::Prerouting, -100), vec![load.into(), nat.into()])
            }
            _ => (raw, vec![Counter::default().into()]),
        }
    }
}

/// The features that the kernel does not have.
pub fn missing(socket: &mut Socket) -> Result<Vec<Feature>, CommitError> {
    let mut missing = Vec::new();
    for feature in Feature::ALL {
        if !feature.is_supported(socket)? {
            missing.push(*feature);
        }
    }
    Ok(missing)
}
