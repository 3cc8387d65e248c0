//! The position of a listing or a watch in the history of a store.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Revision;

/// How far a listing or a watch knows the history of a store. It is opaque: it comes from a store and goes back to
/// that store.
///
/// A store with one history of everything gives positions of one number ([`Position::at`]). A store whose kinds have each
/// a history of their own gives one revision for each of them ([`Position::of_parts`]); how it names these parts is its own
/// matter, and a position may have some of the parts only: that of a write has the part in which it was made.
///
/// Two positions are compared part by part. Where a part cannot be ordered (see [`Revision`]) only equal ones count as
/// reached, and none counts as behind. A goal is reached when each of its parts is; a part that only one of the two has says
/// nothing of which is behind, and is no step back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(Form);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Whole(u64),
    #[serde(serialize_with = "write_parts", deserialize_with = "read_parts")]
    Parts(Parts),
}

type Parts = Arc<BTreeMap<Arc<str>, Revision>>;

fn write_parts<S: Serializer>(parts: &Parts, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(parts.iter().map(|(name, at)| (&**name, at)))
}

fn read_parts<'a, D: Deserializer<'a>>(from: D) -> Result<Parts, D::Error> {
    let parts = BTreeMap::<String, Revision>::deserialize(from)?;
    Ok(Arc::new(parts.into_iter().map(|(name, at)| (name.into(), at)).collect()))
}

impl Position {
    /// Before everything: nothing of the store is known.
    pub const START: Position = Position(Form::Whole(0));

    /// A position in the one history of a store.
    pub fn at(number: u64) -> Self {
        Self(Form::Whole(number))
    }

    /// A position in several histories, each with its name.
    pub fn of_parts<N: Into<Arc<str>>>(parts: impl IntoIterator<Item = (N, Revision)>) -> Self {
        Self(Form::Parts(Arc::new(parts.into_iter().map(|(name, at)| (name.into(), at)).collect())))
    }

    /// The number, where there is one history.
    pub fn number(&self) -> Option<u64> {
        match self.0 {
            Form::Whole(number) => Some(number),
            Form::Parts(_) => None,
        }
    }

    /// The number, where there is one history. A position in several is of another store, and was never reached here.
    pub fn number_or_never(&self) -> u64 {
        self.number().unwrap_or(u64::MAX)
    }

    /// The highest number in it, for gauges.
    pub fn highest(&self) -> u64 {
        match &self.0 {
            Form::Whole(number) => *number,
            Form::Parts(parts) => parts.values().filter_map(Revision::number).max().unwrap_or(0),
        }
    }

    /// The parts with their names; none where there is one history.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Revision)> {
        let parts = match &self.0 {
            Form::Whole(_) => None,
            Form::Parts(parts) => Some(parts.iter()),
        };
        parts.into_iter().flatten().map(|(name, at)| (&**name, at))
    }

    /// The position in one part.
    pub fn part(&self, name: &str) -> Option<&Revision> {
        match &self.0 {
            Form::Whole(_) => None,
            Form::Parts(parts) => parts.get(name),
        }
    }

    /// Moves one part on, or adds it.
    pub fn set_part(&mut self, name: &str, at: Revision) {
        if let Form::Whole(_) = self.0 {
            self.0 = Form::Parts(Arc::default());
        }
        let Form::Parts(parts) = &mut self.0 else { return };
        let parts = Arc::make_mut(parts);
        match parts.get_mut(name) {
            Some(known) => *known = at,
            None => drop(parts.insert(name.into(), at)),
        }
    }

    /// Whether everything up to `goal` was reached. False if that is unknown.
    pub fn has_reached(&self, goal: &Position) -> bool {
        match (&self.0, &goal.0) {
            (_, Form::Whole(0)) => true,
            (Form::Whole(here), Form::Whole(goal)) => here >= goal,
            (Form::Parts(here), Form::Parts(goal)) => {
                goal.iter().all(|(name, goal)| here.get(name).is_some_and(|here| here >= goal))
            }
            _ => false,
        }
    }

    /// Whether some part of this is known to be before the same part of `other`.
    pub fn is_behind(&self, other: &Position) -> bool {
        match (&self.0, &other.0) {
            (Form::Whole(0), _) => *other != Self::START,
            (Form::Whole(here), Form::Whole(other)) => here < other,
            (Form::Parts(here), Form::Parts(other)) => {
                here.iter().any(|(name, here)| other.get(name).is_some_and(|other| here < other))
            }
            _ => false,
        }
    }

    /// Advances to `other`, part by part, except where that would be a step back.
    pub fn advance(&mut self, other: &Position) {
        match (&mut self.0, &other.0) {
            (Form::Whole(here), Form::Whole(other)) => *here = (*here).max(*other),
            (Form::Parts(here), Form::Parts(parts)) => {
                if Arc::ptr_eq(here, parts) {
                    return;
                }
                let here = Arc::make_mut(here);
                for (name, other) in parts.iter() {
                    let known = here.get_mut(name);
                    match known {
                        Some(known) if *other < *known => {}
                        Some(known) => known.clone_from(other),
                        None => drop(here.insert(name.clone(), other.clone())),
                    }
                }
            }
            (_, Form::Whole(0)) => {}
            (_, _) => *self = other.clone(),
        }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self::START
    }
}

impl From<u64> for Position {
    fn from(number: u64) -> Self {
        Self::at(number)
    }
}

impl fmt::Display for Position {
    /// One number; of several parts the lowest and the highest, since they are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match &self.0 {
            Form::Whole(number) => return number.fmt(f),
            Form::Parts(parts) => parts,
        };
        let numbers: Option<Vec<u64>> = parts.values().map(Revision::number).collect();
        let ends = numbers.as_ref().and_then(|numbers| Some((numbers.iter().min()?, numbers.iter().max()?)));
        match (ends, parts.iter().next()) {
            (Some((low, high)), _) if low == high => low.fmt(f),
            (Some((low, high)), _) => write!(f, "{low} to {high}"),
            (None, Some((_, only))) if parts.len() == 1 => only.fmt(f),
            (None, _) => f.debug_map().entries(parts.iter()).finish(),
        }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Whole(number) => number.fmt(f),
            Form::Parts(parts) => f.debug_map().entries(parts.iter()).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(all: &[(&str, &str)]) -> Position {
        Position::of_parts(all.iter().map(|(name, at)| (*name, Revision::from(*at))))
    }

    #[test]
    fn positions_are_compared_part_by_part_and_only_where_the_store_orders_them() {
        // here, other: whether here has reached other, and whether it is behind it
        for (here, other, reached, behind) in [
            (Position::at(3), Position::at(3), true, false),
            (Position::at(3), Position::at(4), false, true),
            (Position::at(4), Position::at(3), true, false),
            (Position::START, Position::at(1), false, true),
            (Position::START, parts(&[("pods", "1")]), false, true),
            (parts(&[("pods", "1")]), Position::START, true, false),
            (Position::at(9), parts(&[("pods", "1")]), false, false),
            (parts(&[("pods", "5"), ("tiers", "2")]), parts(&[("pods", "5")]), true, false),
            (parts(&[("pods", "5")]), parts(&[("pods", "5"), ("tiers", "2")]), false, false),
            (parts(&[("pods", "5"), ("tiers", "2")]), parts(&[("tiers", "3")]), false, true),
            (parts(&[("pods", "5"), ("tiers", "2")]), parts(&[("pods", "4"), ("tiers", "3")]), false, true),
            (parts(&[("pods", "a")]), parts(&[("pods", "b")]), false, false),
            (parts(&[("pods", "a")]), parts(&[("pods", "a")]), true, false),
        ] {
            assert_eq!(here.has_reached(&other), reached, "{here:?} {other:?}");
            assert_eq!(here.is_behind(&other), behind, "{here:?} {other:?}");
        }
    }

    #[test]
    fn a_position_moves_on_in_each_part_and_never_back() {
        let mut at = Position::START;
        for (step, then) in [
            (parts(&[("pods", "5")]), parts(&[("pods", "5")])),
            (parts(&[("pods", "4"), ("tiers", "2")]), parts(&[("pods", "5"), ("tiers", "2")])),
            (parts(&[("tiers", "a")]), parts(&[("pods", "5"), ("tiers", "a")])),
            (Position::START, parts(&[("pods", "5"), ("tiers", "a")])),
        ] {
            at.advance(&step);
            assert_eq!(at, then);
        }
        let mut whole = Position::at(3);
        whole.advance(&Position::at(2));
        assert_eq!(whole, Position::at(3));
    }

    #[test]
    fn one_history_is_a_number_in_json_and_several_are_a_record() {
        for (position, json, shown) in [
            (Position::at(41), "41", "41"),
            (parts(&[("pods", "5"), ("tiers", "2")]), r#"{"pods":5,"tiers":2}"#, "2 to 5"),
            (parts(&[("profiles", "7/")]), r#"{"profiles":"7/"}"#, "7/"),
            (parts(&[("pods", "5"), ("tiers", "5")]), r#"{"pods":5,"tiers":5}"#, "5"),
        ] {
            assert_eq!(serde_json::to_string(&position).unwrap(), json);
            assert_eq!(serde_json::from_str::<Position>(json).unwrap(), position);
            assert_eq!(position.to_string(), shown);
        }
    }
}
