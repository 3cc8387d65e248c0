//! The content of the store once the changes that wait for a confirmation are put back. A change that is made meanwhile must not
//! lock anybody out then either.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::{Key, Kind};
use tortie_store::history::{LoggedChange, by_object, tier_of};
use tortie_store::{History, HistoryEntry, Listing, StoreError, Stored};

/// The changes that wait for a confirmation, the newest first, each with what it changed.
pub(super) struct Waiting(Vec<(HistoryEntry, Vec<LoggedChange>)>);

impl Waiting {
    /// The changes in a history that wait for a confirmation.
    pub(super) fn of(history: &dyn History) -> Result<Self, StoreError> {
        let entries = history.pending()?.into_iter();
        let with_changes = entries.map(|(entry, _)| history.changes(&entry).map(|changes| (entry, by_object(changes))));
        Ok(Self(with_changes.collect::<Result<_, _>>()?))
    }

    /// `revision 21`, `revisions 21 and 23`.
    pub(super) fn revisions(&self) -> String {
        let all: Vec<String> = self.0.iter().rev().map(|(entry, _)| entry.last.to_string()).collect();
        format!("revision{} {}", if all.len() > 1 { "s" } else { "" }, all.join(" and "))
    }

    /// A content of the store with all of them put back, if it was `now` before. Objects that differ between the two are
    /// changed meanwhile, and so are those that somebody else has changed since: they stay, and so does a tier with policies.
    pub(super) fn put_back(&self, now: &Listing, content: &Listing) -> Listing {
        let of_now: BTreeMap<&Key, &Stored> = now.items.iter().map(|stored| (&stored.key, stored)).collect();
        let mut items: BTreeMap<Key, Stored> =
            content.items.iter().map(|stored| (stored.key.clone(), stored.clone())).collect();
        let mut restored: BTreeSet<&Key> = BTreeSet::new();
        let mut tiers = Vec::new();
        for change in self.0.iter().flat_map(|(_, changes)| changes) {
            let key = &change.key;
            let current = items.get(key);
            let is_untouched = restored.contains(key) || of_now.get(key).copied() == current;
            let is_its_own = match current {
                Some(stored) if restored.contains(key) => Some(&*stored.value) == change.after.as_deref(),
                Some(stored) => stored.revision == change.revision,
                None => change.after.is_none(),
            };
            if !is_untouched || !is_its_own {
                continue;
            }
            restored.insert(key);
            match &change.before {
                Some(before) => {
                    let stored =
                        Stored { key: key.clone(), revision: change.revision.into(), value: before.clone().into() };
                    items.insert(key.clone(), stored);
                }
                None => tiers.extend(items.remove(key).filter(|stored| stored.key.kind == Kind::Tier)),
            }
        }
        for tier in tiers {
            if items.values().any(|stored| tier_of(stored).as_ref() == Some(&tier.key.name)) {
                items.insert(tier.key.clone(), tier);
            }
        }
        Listing { position: content.position.clone(), items: items.into_values().collect() }
    }
}
