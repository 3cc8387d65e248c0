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

/// How many reasons are listed where not all are.
const MAX_LISTED: usize = 5;

/// The first reasons, and how many more there are.
pub fn first_reasons(reasons: &[String]) -> Vec<String> {
    let more = reasons.len().saturating_sub(MAX_LISTED);
    let last = (more > 0).then(|| format!("and {more} more reasons, which `tortie describe` lists"));
    reasons.iter().take(MAX_LISTED).cloned().chain(last).collect()
}

/// The fields of a converted policy that its store leaves unreadable where it could not convert whom the policy is for.
const SCOPES: [&str; 2] = ["spec.selector: ", "spec.namespaceSelector: "];

impl Unreadable {
    /// The same in the words of the store, if it could not convert `parts` of the object: they name fields as users know them.
    #[must_use]
    pub fn with_parts(&self, parts: &[String]) -> Self {
        let mut unreadable = self.clone();
        if !parts.is_empty() {
            unreadable.reasons.retain(|reason| !SCOPES.iter().any(|scope| reason.starts_with(scope)));
            unreadable.reasons.splice(..0, parts.iter().cloned());
        }
        unreadable
    }

    /// The same text with all reasons.
    pub fn in_full(&self) -> String {
        self.text(&self.reasons.join("; "))
    }

    fn text(&self, reasons: &str) -> String {
        let Self { revision, replacement, .. } = self;
        // A write that is only planned has no revision yet.
        let what = match *revision >= Overlay::FIRST {
            true => "what is to be written".to_owned(),
            false => format!("revision {revision}"),
        };
        format!("{what} cannot be read ({reasons}): {replacement}")
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(&first_reasons(&self.reasons).join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_reasons_a_line_has_the_first_and_says_how_many_more_there_are() {
        let reasons: Vec<String> = (0..100).map(|number| format!("reason {number}")).collect();
        let one = |count: usize| Unreadable {
            revision: Revision::from(7),
            reasons: reasons[..count].to_vec(),
            replacement: Replacement::Nothing,
        };
        assert_eq!(
            one(100).to_string(),
            "revision 7 cannot be read (reason 0; reason 1; reason 2; reason 3; reason 4; and 95 more reasons, which \
             `tortie describe` lists): nothing of it is in force"
        );
        assert!(one(100).in_full().contains("reason 98; reason 99): "));
        assert_eq!(one(5).to_string(), one(5).in_full());
    }
}
