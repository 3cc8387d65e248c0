//! A dataplane without a kernel: it keeps the state, checks every change, and judges packets by what it was told.
//!
//! It walks a packet through the same base chains that a real dataplane has, and knows nothing of stores, selectors
//! or labels. So it proves that the desired state says enough, and, held against the reference evaluator, that what
//! it says is right.

mod answer;
mod builtin;
mod matching;
mod program;
mod walk;

use tortie_policy::packet::Packet;

pub use answer::{Answer, DecidedBy, Outcome, Stage, StageResult};

use crate::delta::{Dataplane, Delta};
use crate::state::{InvalidDelta, State};

/// The recording fake.
#[derive(Clone, Debug, Default)]
pub struct Fake {
    /// What it was told, all in all.
    pub state: State,
    /// The changes, one by one.
    pub log: Vec<Delta>,
    /// Whether changes are kept in `log`.
    pub recording: bool,
}

impl Fake {
    /// One that was told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes of a packet.
    pub fn judge(&self, packet: &Packet) -> Answer {
        walk::judge(&self.state, packet)
    }
}

impl Dataplane for Fake {
    type Error = InvalidDelta;

    fn apply(&mut self, delta: &Delta) -> Result<(), InvalidDelta> {
        let mut next = self.state.clone();
        next.apply(delta)?;
        self.state = next;
        if self.recording {
            self.log.push(delta.clone());
        }
        Ok(())
    }
}
