//! What is left out of objects when they are converted: logged once, and kept for `Store::left_out`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tortie_api::{Key, Kind};

/// The warnings about each object that were logged last. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConversionWarnings(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    listings: u64,
    /// The warnings about an object, and how many listings had begun when it was last read.
    objects: BTreeMap<Key, (Vec<String>, u64)>,
}

impl ConversionWarnings {
    /// Logs the warnings about an object, if they are others than the last.
    pub(crate) fn log(&self, key: &Key, warnings: &[String]) {
        if self.is_new(key, warnings) {
            warnings.iter().for_each(|warning| log::warn!("{key}: {warning}"));
        }
    }

    /// The object was deleted.
    pub(crate) fn forget(&self, key: &Key) {
        self.state().objects.remove(key);
    }

    /// A listing begins. Its number is for [`ConversionWarnings::end_listing`].
    pub(crate) fn begin_listing(&self) -> u64 {
        let mut state = self.state();
        state.listings += 1;
        state.listings
    }

    /// A listing of all objects of a kind has ended: those that it did not have do not exist any more.
    pub(crate) fn end_listing(&self, kind: Kind, listing: u64) {
        self.state().objects.retain(|key, (_, read)| key.kind != kind || *read >= listing);
    }

    /// The warnings about all objects.
    pub(crate) fn all(&self) -> Vec<(Key, String)> {
        let of_object = |(key, (warnings, _)): (&Key, &(Vec<String>, u64))| {
            warnings.iter().map(|warning| (key.clone(), warning.clone())).collect::<Vec<_>>()
        };
        self.state().objects.iter().flat_map(of_object).collect()
    }

    /// Whether these are others than the last; remembers them.
    pub(crate) fn is_new(&self, key: &Key, warnings: &[String]) -> bool {
        let mut state = self.state();
        let listings = state.listings;
        if warnings.is_empty() {
            state.objects.remove(key);
            return false;
        }
        match state.objects.get_mut(key) {
            Some((last, read)) if last == warnings => {
                *read = listings;
                false
            }
            _ => {
                state.objects.insert(key.clone(), (warnings.to_vec(), listings));
                true
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_repeated_only_if_it_has_changed_or_the_object_was_deleted() {
        let logged = ConversionWarnings::default();
        let (one, other) = (Key::cluster(Kind::Node, "a"), Key::cluster(Kind::Node, "b"));
        let (first, second) = (["one".to_owned()], ["two".to_owned()]);
        for (key, warnings, is_new) in [
            (&one, &first[..], true),
            (&one, &first, false),
            (&other, &first, true),
            (&one, &second, true),
            (&one, &[], false),
            (&one, &second, true),
        ] {
            assert_eq!(logged.is_new(key, warnings), is_new, "{key} {warnings:?}");
        }
        assert_eq!(logged.all(), [(one.clone(), "two".to_owned()), (other, "one".to_owned())]);
        logged.forget(&one);
        assert!(logged.is_new(&one, &second));
    }

    #[test]
    fn warnings_of_objects_that_a_listing_lacks_are_removed() {
        let logged = ConversionWarnings::default();
        let warning = ["w".to_owned()];
        let keys = [Key::cluster(Kind::Node, "a"), Key::cluster(Kind::Node, "b"), Key::cluster(Kind::Tier, "c")];
        keys.iter().for_each(|key| assert!(logged.is_new(key, &warning)));
        let listing = logged.begin_listing();
        assert!(!logged.is_new(&keys[1], &warning));
        logged.end_listing(Kind::Node, listing);
        let left: Vec<Key> = logged.all().into_iter().map(|(key, _)| key).collect();
        assert_eq!(left, keys[1..]);
    }
}
