//! Walking: base chains, rules, jumps and returns.
//!
//! Source: `nft_do_chain`, `nf_hook_slow`, `nf_nat_inet_fn`.

use std::fmt;

use super::environment::Environment;
use super::eval::Machine;
use super::nat;
use super::packet::{IPV4, Info, Packet, Tracking};
use super::ruleset::{Base, CONNTRACK, Prepared, Ruleset};
use crate::chain::{ChainKind, Hook, Policy};
use crate::expr::Reject;
use crate::rule::Rule;
use crate::table::{Family, TableId};
use crate::verdict::Verdict;

/// `NFT_JUMP_STACK_SIZE`: the most chains that wait for another to return.
const DEPTH: usize = 16;
/// More chains than a loadable table can lead one packet through.
const CHAINS: usize = 1 << 20;

/// A rule in its place.
#[derive(Debug, Clone, Copy)]
pub struct RuleAt<'a> {
    /// The table.
    pub table: &'a TableId,
    /// The chain.
    pub chain: &'a str,
    /// The place in the chain, from 0.
    pub index: usize,
    /// The rule.
    pub rule: &'a Rule,
}

impl fmt::Display for RuleAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} rule {}", self.table, self.chain, self.index + 1)?;
        self.rule.comment.as_ref().map_or(Ok(()), |comment| write!(f, " \"{comment}\""))
    }
}

/// What happened on the way, in order.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A rule held to its end, or gave a verdict.
    Rule(RuleAt<'a>),
    /// An element was found.
    Element {
        /// The rule that looked.
        rule: RuleAt<'a>,
        /// The set's name.
        set: &'a str,
        /// The element's place in the dump of the set.
        element: usize,
    },
    /// A packet was logged.
    Log {
        /// The rule that logged.
        rule: RuleAt<'a>,
        /// With this prefix.
        prefix: &'a str,
    },
    /// A base chain came to its end.
    Policy {
        /// The table.
        table: &'a TableId,
        /// The chain.
        chain: &'a str,
        /// What became of the packet there.
        policy: Policy,
    },
}

/// A counter that moved by one packet.
#[derive(Debug, Clone, Copy)]
pub enum Counted<'a> {
    /// A rule's.
    Rule {
        /// The rule.
        rule: RuleAt<'a>,
        /// The counter's place among its expressions.
        expression: usize,
    },
    /// An element's.
    Element {
        /// The table.
        table: &'a TableId,
        /// The set.
        set: &'a str,
        /// The element's place in the dump of the set.
        element: usize,
    },
}

/// What became of a packet at a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    Accept,
    /// It is gone.
    Drop,
    /// It is gone, and its sender is told.
    Reject(Reject),
}

/// A packet's way through one hook.
#[derive(Debug, Clone)]
pub struct Outcome<'a> {
    /// What became of it.
    pub ending: Ending,
    /// What happened, in order. Of a drop, the last step is its cause.
    pub steps: Vec<Step<'a>>,
    /// The counters that moved.
    pub counted: Vec<Counted<'a>>,
    /// By how many bytes they moved.
    pub bytes: u64,
}

/// Why a packet's way could not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InterpError {
    /// The bytes are not an IP packet.
    #[error("the bytes are no IP packet")]
    Packet,
    /// An expression, or a form of it, that is not understood.
    #[error("{rule}: {what} is not understood")]
    Unsupported {
        /// Where.
        rule: String,
        /// What.
        what: String,
    },
    /// Something that the surroundings should have told.
    #[error("{rule}: {what} was not supplied")]
    Unsupplied {
        /// Where.
        rule: String,
        /// What.
        what: &'static str,
    },
    /// A condition on what the packet leaves open.
    #[error("{rule}: {what} is not fixed by the question")]
    Open {
        /// Where.
        rule: String,
        /// What.
        what: String,
    },
    /// A state that the kernel does not let come about.
    #[error("{rule}: {what}, which the kernel would have refused")]
    Impossible {
        /// Where.
        rule: String,
        /// What.
        what: &'static str,
    },
}

impl Ruleset {
    /// Walks a packet through the base chains of one hook.
    pub fn hook<'a>(
        &'a self,
        hook: Hook,
        packet: &mut Packet,
        around: &Environment<'_>,
    ) -> Result<Outcome<'a>, InterpError> {
        let mut outcome = Outcome {
            ending: Ending::Accept,
            steps: Vec::new(),
            counted: Vec::new(),
            bytes: packet.bytes.len() as u64,
        };
        let tracks = matches!(hook, Hook::Prerouting | Hook::Output);
        let mut tracked = !tracks;
        let mut rewrites = nat::NatHook::new(hook);
        for base in self.bases(hook) {
            let Info { family, .. } = Info::read(&packet.bytes).ok_or(InterpError::Packet)?;
            let prepared = &self.tables[base.table];
            if !concerns(prepared.dump.table.id.family, family) {
                continue;
            }
            if !tracked && base.priority >= CONNTRACK {
                if base.priority == CONNTRACK {
                    let rule = prepared.dump.chains[base.chain].name.clone();
                    return Err(InterpError::Unsupported { rule, what: "conntrack's own priority".into() });
                }
                tracked = true;
                attach(packet);
            }
            if base.base.kind == ChainKind::Nat && !rewrites.wanted(packet) {
                continue;
            }
            let ending = chain(prepared, base, packet, around, &mut outcome)?;
            if ending != Ending::Accept {
                outcome.ending = ending;
                return Ok(outcome);
            }
        }
        if !tracked {
            attach(packet);
        }
        rewrites.finish(packet);
        Ok(outcome)
    }
}

fn attach(packet: &mut Packet) {
    if packet.ct == Tracking::None {
        packet.ct = packet.conntrack;
    }
}

fn concerns(table: Family, packet: u8) -> bool {
    match table {
        Family::Inet => true,
        Family::Ipv4 => packet == IPV4,
        _ => packet != IPV4,
    }
}

/// One base chain from its first rule to its end.
fn chain<'a>(
    table: &'a Prepared,
    base: &Base,
    packet: &mut Packet,
    around: &Environment<'_>,
    outcome: &mut Outcome<'a>,
) -> Result<Ending, InterpError> {
    if let Some(open) = &mut packet.open {
        (open.mark, open.priority, open.ct_mark) = (u32::MAX, u32::MAX, u32::MAX);
    }
    let id = &table.dump.table.id;
    let start = table.dump.chains[base.chain].name.as_str();
    let mut machine = Machine::new(table, base.base.hook, packet, around)?;
    let mut here = table.chain(start).unwrap_or((start, &[]));
    let mut next = 0;
    let mut waiting: Vec<((&str, &[usize]), usize)> = Vec::new();
    let mut chains = 0usize;
    loop {
        let Some(rule) = here.1.get(next) else {
            match waiting.pop() {
                Some(back) => (here, next) = back,
                None => break,
            }
            continue;
        };
        let at = RuleAt { table: id, chain: here.0, index: next, rule: table.rule(*rule) };
        next += 1;
        let verdict = match machine.rule(at, outcome)? {
            Ok(Verdict::Break) => continue,
            Ok(verdict) => verdict,
            Err(reject) => {
                outcome.steps.push(Step::Rule(at));
                return Ok(Ending::Reject(reject));
            }
        };
        outcome.steps.push(Step::Rule(at));
        let impossible = |what| Err(InterpError::Impossible { rule: at.to_string(), what });
        match &verdict {
            Verdict::Accept => return Ok(Ending::Accept),
            Verdict::Drop => return Ok(Ending::Drop),
            Verdict::Continue | Verdict::Break => (),
            Verdict::Return => next = here.1.len(),
            Verdict::Jump(to) | Verdict::Goto(to) => {
                if matches!(verdict, Verdict::Jump(_)) {
                    waiting.push((here, next));
                }
                chains += 1;
                if waiting.len() > DEPTH || chains > CHAINS {
                    return impossible("chains lead too deep");
                }
                let Some(target) = table.chain(to) else { return impossible("a chain is not there") };
                (here, next) = (target, 0);
            }
        }
    }
    outcome.steps.push(Step::Policy { table: id, chain: start, policy: base.base.policy });
    Ok(match base.base.policy {
        Policy::Accept => Ending::Accept,
        Policy::Drop => Ending::Drop,
    })
}
