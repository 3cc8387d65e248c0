//! The version of one object, as its store counts versions. Users see it as `resourceVersion`.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of one object: what optimistic concurrency compares. It is opaque: whoever has one can compare it for
/// equality, show it and hand it back to the store that gave it.
///
/// Where a store counts its versions, they have an order; two versions of which one is a text that is not a number
/// ([`Revision::from`] a string) have none, and comparing them with `<` or `>` is always false.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(Form);

#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Number(u64),
    Text(Box<str>),
}

impl Revision {
    /// The number, where the store counts.
    pub fn number(&self) -> Option<u64> {
        match self.0 {
            Form::Number(number) => Some(number),
            Form::Text(_) => None,
        }
    }
}

impl Default for Revision {
    /// The version of what was never written.
    fn default() -> Self {
        Self(Form::Number(0))
    }
}

impl From<u64> for Revision {
    fn from(number: u64) -> Self {
        Self(Form::Number(number))
    }
}

impl From<&str> for Revision {
    /// A number if the text is exactly what a number is shown as, so that it is shown again as it was given.
    fn from(text: &str) -> Self {
        match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => Self(Form::Number(number)),
            _ => Self(Form::Text(text.into())),
        }
    }
}

impl fmt::Display for Revision {
    /// Exactly what users see as `resourceVersion`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Number(number) => number.fmt(f),
            Form::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialOrd for Revision {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (&self.0, &other.0) {
            (Form::Number(one), Form::Number(other)) => Some(one.cmp(other)),
            _ => (self == other).then_some(Ordering::Equal),
        }
    }
}

impl PartialEq<u64> for Revision {
    fn eq(&self, other: &u64) -> bool {
        self.number() == Some(*other)
    }
}

impl PartialOrd<u64> for Revision {
    fn partial_cmp(&self, other: &u64) -> Option<Ordering> {
        self.number().map(|number| number.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_shown_as_it_was_given_and_ordered_only_among_numbers() {
        for text in ["0", "41", "18446744073709551615", "18446744073709551616", "041", "+1", "12/", "/7", ""] {
            let revision = Revision::from(text);
            assert_eq!(revision.to_string(), text);
            let json = serde_json::to_string(&revision).unwrap();
            assert_eq!(serde_json::from_str::<Revision>(&json).unwrap(), revision, "{json}");
        }
        assert_eq!(Revision::from("41"), Revision::from(41));
        let (nine, ten) = (Revision::from(9), Revision::from(10));
        assert_eq!(nine.partial_cmp(&ten), Some(Ordering::Less));
        let (text, number) = (Revision::from("12/"), Revision::from(12));
        assert_eq!((text.partial_cmp(&number), text == number), (None, false));
        assert!(size_of::<Revision>() <= 16, "there is one for every object that is known");
    }
}
