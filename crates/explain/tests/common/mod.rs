//! What tests of answers share: questions and claims as they are typed.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses what it needs, and a test may fail")]

use tortie_explain::claim::{check, parse};
use tortie_explain::{Question, Topology};

/// A question by its words.
pub(crate) fn question(from: &str, to: &str, what: &str) -> Question {
    Question::new(from.parse().unwrap(), to.parse().unwrap(), what.parse().unwrap())
}

/// What is wrong with a claim.
pub(crate) fn wrong(topology: &Topology<'_>, claim: &str) -> Option<String> {
    let claim = parse(topology, claim).remove(0).claim.unwrap();
    check(topology, &claim).unwrap().counterexample.map(|found| found.text())
}
