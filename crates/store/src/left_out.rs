//! What a store could not convert of an object of another program.

use tortie_api::Key;

/// A part of an object, or a whole object, that a store left out when it converted the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The object.
    pub key: Key,
    /// What was left out and why, in words for users.
    pub text: String,
    /// What that means for the object.
    pub effect: Effect,
}

/// What it means for an object that a part of it was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Calico ignores such a part too, and packets are judged as if it were absent.
    Ignored,
    /// The part could have decided about packets: its replacement allows no more.
    Unreadable,
    /// The object counts as deleted.
    NotEnforced,
}

impl Effect {
    /// What is in force of the object, in words for users; none if it is what the store says.
    pub fn in_force(self) -> Option<&'static str> {
        match self {
            Effect::Ignored => None,
            Effect::Unreadable => Some("its other parts count"),
            Effect::NotEnforced => Some("nothing of it counts"),
        }
    }
}
