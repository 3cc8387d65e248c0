//! Whether a kernel enforces what a store says: `tortie verify`.
//!
//! ```text
//!   snapshot ──cells──> packets at every boundary of every endpoint's rules ──┬──> eval::judge ──┐
//!   kernel ──dump──> table ────────────────────────────────────────────fate───┴──> verdict ──────┴──> Report
//! ```
//!
//! The two answers share nothing: one comes from the objects in the store, the other from the table as the kernel gave
//! it back, walked by the interpreter of `tortie-nft`. No packet is sent and nothing is changed.
//!
//! Rates and connection counts are taken as not reached, and translations by others' tables are left out: neither
//! follows from the store.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aims;
mod cells;
mod fate;
mod spot;

use std::fmt;

use tortie_eval::judge;
use tortie_nft::dump::TableDump;
use tortie_nft::interp::{InterpError, LoadError, Ruleset};
use tortie_policy::Snapshot;
use tortie_policy::packet::{Host, Packet};

use fate::fate;
pub use fate::{Fate, Trip};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// How many interfaces that an endpoint governs were judged.
    pub endpoints: usize,
    /// How many packets.
    pub cells: usize,
    /// How many of them the kernel judges otherwise.
    pub wrong: usize,
    /// The first of those.
    pub differences: Vec<Difference>,
}

/// A packet that the kernel judges otherwise than the store says.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The endpoint it was aimed at, in words.
    pub endpoint: String,
    /// The packet.
    pub packet: Packet,
    /// What the store says.
    pub store: Answer,
    /// What the kernel would do.
    pub kernel: Answer,
    /// The rules of the kernel that it passed, for people.
    pub way: Vec<String>,
}

/// What becomes of a packet.
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
    fn new(allowed: bool, rejected: bool) -> Self {
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

/// Why a table cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It has something that is not understood; never a guess.
    #[error("the table in the kernel cannot be walked: {0}")]
    Load(#[from] LoadError),
    /// A rule of it has.
    #[error("a rule in the kernel cannot be followed: {0}")]
    Rule(#[from] InterpError),
}

/// Judges every cell of every endpoint of a node by the store and by the table that is in its kernel. At most `most`
/// differences are kept; all are counted.
pub fn verify(snapshot: &Snapshot, host: &Host, table: TableDump, most: usize) -> Result<Report, VerifyError> {
    let ruleset = Ruleset::new([table])?;
    let mut report = Report::default();
    for spot in spot::spots(snapshot, host) {
        report.endpoints += 1;
        for packet in cells::cells(snapshot, host, &spot) {
            report.cells += 1;
            let verdict = judge(snapshot, host, &packet);
            let store = Answer::new(verdict.allowed, verdict.rejected);
            let found = fate(&ruleset, host, &packet)?;
            let kernel = Answer::new(found.allowed, found.rejected);
            if store == kernel {
                continue;
            }
            report.wrong += 1;
            if report.differences.len() < most {
                report.differences.push(Difference {
                    endpoint: spot.to_string(),
                    packet,
                    store,
                    kernel,
                    way: found.way,
                });
            }
        }
    }
    Ok(report)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} endpoints, {} cells: ", self.endpoints, self.cells)?;
        if self.wrong == 0 {
            return f.write_str("the kernel enforces what the store says");
        }
        write!(f, "{} are not judged as the store says", self.wrong)
    }
}
