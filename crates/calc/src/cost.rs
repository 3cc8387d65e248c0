//! What the engine's work comes to, counted: a cost that grows shows on any machine.

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
