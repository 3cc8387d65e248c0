//! Counts of the engine's work, so that a test notices a cost that grows, on any machine.

/// Counts since the last [`take`](crate::Engine::take_cost).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Selectors compared with labels.
    pub selectors: u64,
    /// Endpoints, sets and profiles looked at.
    pub items: u64,
    /// Members added to sets or removed.
    pub members: u64,
    /// Policies sorted.
    pub policies: u64,
    /// Rules converted for a dataplane.
    pub rules: u64,
    /// Objects in deltas.
    pub messages: u64,
}
