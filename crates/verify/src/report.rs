//! What `verify` found, for users and for programs.

use std::fmt;

use tortie_dataplane_nft::Compared;
use tortie_nft::inventory::Inventory;
use tortie_policy::packet::Packet;

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The table exists.
    pub table: bool,
    /// How many interfaces that an endpoint governs, or should govern, were judged.
    pub endpoints: usize,
    /// How many probe packets were judged.
    pub probes: usize,
    /// How many of the rules have probe packets of their own.
    pub coverage: Coverage,
    /// How much of the table was compared.
    pub compared: Compared,
    /// How many differences there are.
    pub wrong: usize,
    /// The first of them, those of the table before those of packets.
    pub differences: Vec<Difference>,
}

/// How much the probe packets are about. A policy counts once for each endpoint that it selects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The rules that can concern an endpoint of this node.
    pub rules: usize,
    /// How many of the rules have probe packets at their boundaries. The others are only compared in the table.
    pub probed: usize,
    /// How often a packet is compared with a rule, at most.
    pub comparisons: usize,
}

/// A difference between what is in force and the kernel.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// A part of the table.
    Table(TableDifference),
    /// A probe packet.
    Probe(Misjudged),
}

/// An object of the table that is not desired, is missing, or differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDifference {
    /// The difference in the user's terms.
    pub sentence: String,
    /// The difference in the kernel's terms.
    pub kernel: String,
}

/// A probe packet that the kernel judges otherwise than what is in force asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Misjudged {
    /// The endpoint that it was aimed at, in words.
    pub endpoint: String,
    /// The packet.
    pub packet: Packet,
    /// The verdict by what is in force.
    pub in_force: Answer,
    /// The verdict of the kernel.
    pub kernel: Answer,
    /// The rules of the kernel that matched it, in order, for people.
    pub trace: Vec<String>,
}

/// The verdict on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It passes.
    Allowed,
    /// It is dropped.
    Dropped,
    /// It is denied with an answer.
    Rejected,
}

impl Answer {
    pub(crate) fn new(allowed: bool, rejected: bool) -> Self {
        match (allowed, rejected) {
            (true, _) => Answer::Allowed,
            (false, true) => Answer::Rejected,
            (false, false) => Answer::Dropped,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Allowed => "allowed",
            Answer::Dropped => "dropped",
            Answer::Rejected => "rejected",
        })
    }
}

impl Report {
    /// Counts a difference, and keeps it while there are fewer than `room`.
    pub(crate) fn differ(&mut self, room: usize, difference: Difference) {
        self.wrong += 1;
        if self.differences.len() < room {
            self.differences.push(difference);
        }
    }

    /// Objects in the table that this version never makes or cannot decode, and tables with similar names.
    pub(crate) fn foreign(&mut self, inventory: &Inventory, most: usize) {
        let room = self.differences.len() + most;
        for foreign in &inventory.foreign {
            let sentence = match &foreign.reason {
                None => {
                    format!("{} `{}` is in the table, and nothing in force asks for it", foreign.kind, foreign.name)
                }
                Some(_) => format!("{} `{}` in the table cannot be decoded", foreign.kind, foreign.name),
            };
            self.differ(room, Difference::Table(TableDifference { sentence, kernel: foreign.to_string() }));
        }
        for other in &inventory.namesakes {
            let sentence = format!("table {other} exists, and nothing in force asks for it");
            self.differ(room, Difference::Table(TableDifference { sentence, kernel: format!("table {other}") }));
        }
    }
}

/// How much was judged and compared.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |number: usize, what: &str| match number {
            1 => format!("1 {what}"),
            _ => format!("{number} {what}s"),
        };
        write!(f, "{}, {}", count(self.endpoints, "endpoint"), count(self.probes, "probe packet"))?;
        let compared = &self.compared;
        if self.table {
            let (chains, rules) = (count(compared.chains, "chain"), count(compared.rules, "rule"));
            let (sets, elements) = (compared.sets, count(compared.elements, "member"));
            write!(f, ", {chains}, {rules}, {sets} sets and maps with {elements}")?;
        }
        Ok(())
    }
}
