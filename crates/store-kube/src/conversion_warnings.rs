//! What is left out of objects when they are converted: logged once, and kept for `Store::left_out`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::Level;
use tortie_api::{Key, Kind};
use tortie_store::{Effect, LeftOut};

use crate::convert::Warning;

/// The events of the agent's log for these lines.
const UNREADABLE: &str = "object-unreadable";
const READABLE: &str = "object-readable";

/// The warnings about each object that were logged last. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConversionWarnings(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    listings: u64,
    /// The warnings about an object, and how many listings had begun when it was last read.
    objects: BTreeMap<Key, (Vec<Warning>, u64)>,
}

/// What was not known yet about an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// Everything can be read again that could decide about packets.
    Readable,
    /// There are other warnings.
    New,
}

impl ConversionWarnings {
    /// Logs the warnings about an object, if they are others than the last.
    pub(crate) fn log(&self, key: &Key, warnings: &[Warning]) {
        match self.change(key, warnings) {
            Change::None => {}
            Change::Readable => log::info!(target: READABLE, "{key} can be read"),
            Change::New => {
                for Warning { text, effect } in warnings {
                    let level = if *effect == Effect::Ignored { Level::Warn } else { Level::Error };
                    log::log!(target: UNREADABLE, level, "{key}: {text}");
                }
            }
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
    pub(crate) fn all(&self) -> Vec<LeftOut> {
        let of_object = |(key, (warnings, _)): (&Key, &(Vec<Warning>, u64))| {
            let one =
                |Warning { text, effect }: &Warning| LeftOut { key: key.clone(), text: text.clone(), effect: *effect };
            warnings.iter().map(one).collect::<Vec<_>>()
        };
        self.state().objects.iter().flat_map(of_object).collect()
    }

    /// What the warnings about an object say beside those that were remembered; remembers them.
    pub(crate) fn change(&self, key: &Key, warnings: &[Warning]) -> Change {
        let mut state = self.state();
        let listings = state.listings;
        let last = state.objects.get_mut(key);
        let was_unreadable =
            last.as_ref().is_some_and(|(last, _)| last.iter().any(|one| one.effect != Effect::Ignored));
        if warnings.is_empty() {
            state.objects.remove(key);
            return if was_unreadable { Change::Readable } else { Change::None };
        }
        match last {
            Some((last, read)) if last == warnings => {
                *read = listings;
                Change::None
            }
            _ => {
                state.objects.insert(key.clone(), (warnings.to_vec(), listings));
                Change::New
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

    fn ignored(text: &str) -> Warning {
        Warning { text: text.to_owned(), effect: Effect::Ignored }
    }

    #[test]
    fn a_warning_is_repeated_only_if_it_has_changed_or_the_object_was_deleted() {
        let logged = ConversionWarnings::default();
        let (one, other) = (Key::cluster(Kind::Node, "a"), Key::cluster(Kind::Node, "b"));
        let (first, second) = ([ignored("one")], [ignored("two")]);
        let unreadable = [Warning { text: "three".to_owned(), effect: Effect::Unreadable }];
        for (key, warnings, change) in [
            (&one, &first[..], Change::New),
            (&one, &first, Change::None),
            (&other, &first, Change::New),
            (&one, &second, Change::New),
            (&one, &[], Change::None),
            (&one, &unreadable, Change::New),
            (&one, &[], Change::Readable),
            (&one, &second, Change::New),
        ] {
            assert_eq!(logged.change(key, warnings), change, "{key} {warnings:?}");
        }
        let all: Vec<_> = logged.all().into_iter().map(|one| (one.key, one.text)).collect();
        assert_eq!(all, [(one.clone(), "two".to_owned()), (other, "one".to_owned())]);
        logged.forget(&one);
        assert_eq!(logged.change(&one, &second), Change::New);
    }

    #[test]
    fn warnings_of_objects_that_a_listing_lacks_are_removed() {
        let logged = ConversionWarnings::default();
        let warning = [ignored("w")];
        let keys = [Key::cluster(Kind::Node, "a"), Key::cluster(Kind::Node, "b"), Key::cluster(Kind::Tier, "c")];
        keys.iter().for_each(|key| assert_eq!(logged.change(key, &warning), Change::New));
        let listing = logged.begin_listing();
        assert_eq!(logged.change(&keys[1], &warning), Change::None);
        logged.end_listing(Kind::Node, listing);
        let left: Vec<Key> = logged.all().into_iter().map(|one| one.key).collect();
        assert_eq!(left, keys[1..]);
    }
}
