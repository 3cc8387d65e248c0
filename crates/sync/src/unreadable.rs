//! Unreadable objects: their reasons, and what is in force instead.

use std::fmt;

use tortie_store::{Overlay, Revision};

/// The unreadable fields of an object, for status, log, metrics and `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The revision of the object that cannot be read.
    pub revision: Revision,
    /// Each field with its reason, or why the whole cannot be read.
    pub reasons: Vec<String>,
    /// What is in force instead.
    pub replacement: Replacement,
}

/// What replaces an object that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// Its last valid version, which is of this revision.
    LastValid(Revision),
    /// The readable fields, with a deny-by-default replacement for the others.
    DenyByDefault,
    /// Nothing replaces it: it applies nowhere, and an endpoint that it describes denies everything.
    Nothing,
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LastValid(revision) => write!(f, "its last valid version, revision {revision}, is in force"),
            Self::DenyByDefault => f.write_str("its deny-by-default replacement is in force"),
            Self::Nothing => f.write_str("nothing of it is in force"),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, reasons, replacement } = self;
        // A write that is only planned has no revision yet.
        match *revision >= Overlay::FIRST {
            true => f.write_str("what is to be written")?,
            false => write!(f, "revision {revision}")?,
        }
        write!(f, " cannot be read ({}): {replacement}", reasons.join("; "))
    }
}
