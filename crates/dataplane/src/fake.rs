//! A dataplane without a kernel: it keeps the state, checks every change, and judges packets by the state.
//!
//! It takes a packet through the same base chains that a real dataplane has, and knows nothing of stores, selectors
//! or labels. So it shows that the desired state is sufficient and, compared with the reference evaluator, that it
//! is right.

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
    /// The state: all applied changes together.
    pub state: State,
    /// The changes, one by one.
    pub log: Vec<Delta>,
    /// Whether changes are kept in `log`.
    pub recording: bool,
}

impl Fake {
    /// A fake with an empty state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges a packet.
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
