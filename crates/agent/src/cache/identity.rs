//! The identity of the store whose policy is in force, and how far its history was read. A store that replaces it must not be
//! followed silently.
//!
//! | Seen before | Now | |
//! |---|---|---|
//! | a GUID in ClusterInformation `default` | another, or none | another store |
//! | a position | an earlier one | a backup, or a new store |
//! | no GUID (nobody wrote ClusterInformation) | any, at the same or a later position | the same store |
//! | nothing | anything | the first store of this machine |

use serde_json::Value;
use tortie_api::{Key, Kind, decode};
use tortie_store::{Event, Listing, Position, Revision, Stored};

/// What distinguishes a store and its history from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) guid: Option<String>,
    pub(crate) position: Position,
    /// Why the store was found to have another history than was read, until that history is accepted: it may have been written past
    /// the last position that was read since then, so that the two do not differ any more.
    pub(crate) other_history: Option<String>,
}

/// The object with a store's GUID. It also says whether the store is ready.
pub(crate) fn key() -> Key {
    Key::cluster(Kind::ClusterInformation, "default")
}

/// The GUID in an object; none if the object is not the one at [`key`].
pub(crate) fn guid(stored: &Stored) -> Option<String> {
    if stored.key != key() {
        return None;
    }
    let object = decode::stored(&stored.key, &stored.value).ok()?;
    let guid = object.body.get("spec")?.get("clusterGUID").and_then(Value::as_str)?;
    Some(guid.to_owned()).filter(|guid| !guid.is_empty())
}

impl Identity {
    /// The identity of a store, from a listing of its ClusterInformations.
    pub(crate) fn of(listing: &Listing) -> Self {
        Self { guid: listing.items.iter().find_map(guid), position: listing.position.clone(), other_history: None }
    }

    /// Records an event of the same store, after which it is at this position.
    pub(crate) fn record_event(&mut self, event: &Event, position: &Position) {
        self.position.advance(position);
        match event {
            Event::Put(stored) if stored.key == key() => self.guid = guid(stored),
            Event::Deleted(deleted, _) if *deleted == key() => self.guid = None,
            _ => {}
        }
    }

    /// Why a store whose kinds have each a history of their own has another one than was read: a part ends before. A kind whose
    /// definition was removed has no version.
    pub(crate) fn ends_before(&self, now: &Position) -> Option<String> {
        now.parts().filter(|(_, at)| **at != Revision::default()).find_map(|(name, at)| {
            let seen = self.position.part(name).filter(|seen| at < *seen)?;
            Some(format!("has another history: that of {name} ends at revision {at}, and revision {seen} was seen"))
        })
    }

    /// The kinds that had a version when they were read, and have none at `now`: the store does not know them any more.
    pub(crate) fn vanished(&self, now: &Position) -> Vec<String> {
        let had = |name: &str| self.position.part(name).is_some_and(|seen| *seen != Revision::default());
        let gone = now.parts().filter(|(name, at)| **at == Revision::default() && had(name)).map(|(name, _)| name);
        // The kinds are read from another group now, whose parts have other names.
        let is_new = |(name, _): (&str, &Revision)| name.contains('.') && self.position.part(name).is_none();
        let is_read_elsewhere = now.parts().any(is_new);
        let left = self
            .position
            .parts()
            .filter(|(name, _)| is_read_elsewhere && name.contains('.') && now.part(name).is_none() && had(name));
        gone.chain(left.map(|(name, _)| name)).map(str::to_owned).collect()
    }

    /// That ClusterInformation was read from another API group than at `now`, in words; none if both have the same GUID. The group that
    /// is used changes when the other one is installed too, and the store is the same.
    pub(crate) fn other_group(&self, now: &Self) -> Option<String> {
        let group = |position: &Position| {
            position.parts().find_map(|(name, _)| name.strip_prefix("clusterinformations.").map(str::to_owned))
        };
        let (seen, used) = (group(&self.position)?, group(&now.position)?);
        (seen != used && self.guid.is_some() && self.guid != now.guid).then(|| {
            format!(
                "is the same API server, and the group of API resources is another one: what is in force was read from {seen}, \
                 and {used} is used now"
            )
        })
    }

    /// Why `now` is another store, or another history of the store that was read; none if no difference is known.
    pub(crate) fn differs(&self, now: &Self) -> Option<String> {
        match (&self.guid, &now.guid) {
            (Some(seen), Some(guid)) if seen != guid => {
                Some(format!("is another store: its GUID is {guid}, and the store in force has {seen}"))
            }
            (Some(seen), None) => Some(format!("is another store: it has no GUID, and the store in force has {seen}")),
            _ if now.position.is_behind(&self.position) => Some(format!(
                "has another history: it ends at revision {}, and revision {} was seen",
                now.position, self.position
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_ends_before_is_another_history_and_a_kind_without_definition_is_not() {
        let parts = |all: &[(&str, u64)]| Position::of_parts(all.iter().map(|(name, at)| (*name, Revision::from(*at))));
        let seen = Identity { position: parts(&[("pods", 5), ("tiers", 3)]), ..Identity::default() };
        for (now, differs) in [
            (parts(&[("pods", 5), ("tiers", 9)]), false),
            (parts(&[("pods", 4), ("tiers", 9)]), true),
            (parts(&[("tiers", 2)]), true),
            (parts(&[("nodes", 1)]), false),
            (parts(&[("pods", 5), ("tiers", 0)]), false),
            (Position::at(1), false),
        ] {
            assert_eq!(seen.ends_before(&now).is_some(), differs, "{now:?}");
        }
        let of = |group: &str, guid: &str| Identity {
            guid: Some(guid.to_owned()),
            position: parts(&[(&format!("clusterinformations.{group}"), 3)]),
            ..Identity::default()
        };
        let native = of("projectcalico.org", "1");
        let text = native.other_group(&of("crd.projectcalico.org", "2")).unwrap();
        assert!(text.contains("read from projectcalico.org, and crd.projectcalico.org is used now"), "{text}");
        assert_eq!(native.other_group(&of("crd.projectcalico.org", "1")), None);
        assert_eq!(native.other_group(&of("projectcalico.org", "2")), None);
        assert_eq!(seen.vanished(&parts(&[("pods", 0), ("nodes", 0), ("tiers", 1)])), ["pods"]);
        assert!(seen.vanished(&Position::at(1)).is_empty());
        let seen = Identity { position: parts(&[("pods", 5), ("tiers.a", 3), ("sets.a", 0)]), ..Identity::default() };
        assert_eq!(seen.vanished(&parts(&[("pods", 6), ("tiers.b", 6), ("sets.b", 6)])), ["tiers.a"], "another group");
        assert!(seen.vanished(&parts(&[("pods", 6)])).is_empty(), "a part of the kinds");
    }

    #[test]
    fn another_guid_and_an_earlier_end_are_reported_and_nothing_else() {
        let identity = |guid: &str, at: u64| Identity {
            guid: Some(guid.to_owned()).filter(|guid| !guid.is_empty()),
            position: at.into(),
            other_history: None,
        };
        for (seen, now, differs) in [
            (("", 0), ("a", 3), false),
            (("a", 3), ("a", 3), false),
            (("a", 3), ("a", 9), false),
            (("a", 3), ("b", 9), true),
            (("a", 3), ("", 9), true),
            (("a", 3), ("a", 2), true),
            (("", 3), ("", 2), true),
            (("", 3), ("", 3), false),
            (("", 3), ("a", 4), false),
            (("", 3), ("a", 2), true),
        ] {
            let difference = identity(seen.0, seen.1).differs(&identity(now.0, now.1));
            assert_eq!(difference.is_some(), differs, "{seen:?} {now:?} {difference:?}");
        }
    }
}
