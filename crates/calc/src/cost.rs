//! Counts of the engine's work, so that a test notices a cost that grows, on any machine.

/// Counts since the last [`take`](crate::Engine::take_cost).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Selectors held against labels.
    pub selectors: u64,
    /// Endpoints, sets and profiles looked at.
    pub items: u64,
    /// Members put into sets or taken out.
    pub members: u64,
    /// Policies put in order.
    pub policies: u64,
    /// Rules made ready for a dataplane.
    pub rules: u64,
    /// Objects that deltas spoke about.
    pub messages: u64,
}
