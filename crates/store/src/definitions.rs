//! Whether a store has what it needs to hold the kinds that people write.

/// Whether the kinds that people write are defined in a store: an API server has only those whose definitions somebody installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Definitions {
    /// They are, as in a store that needs no definitions.
    #[default]
    Installed,
    /// They are not, so nothing that was read says what people want. In words, with what to do.
    Missing(String),
    /// They are defined twice, and one definition counts.
    Twice {
        /// Which one counts and why, and what to do if the other is meant.
        text: String,
        /// Whether objects were found that only the other has.
        has_unread: bool,
    },
}
