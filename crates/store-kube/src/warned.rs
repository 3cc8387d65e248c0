//! What is left out of an object when it is converted, told once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tortie_api::Key;

/// The warnings about each object that were logged last. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warned(Arc<Mutex<HashMap<Key, Vec<String>>>>);

impl Warned {
    /// Logs the warnings about an object, if they are others than the last.
    pub(crate) fn log(&self, key: &Key, warnings: &[String]) {
        if self.is_new(key, warnings) {
            warnings.iter().for_each(|warning| log::warn!("{key}: {warning}"));
        }
    }

    /// The object was deleted.
    pub(crate) fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Whether these are others than the last; remembers them.
    pub(crate) fn is_new(&self, key: &Key, warnings: &[String]) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.is_empty() {
            last.remove(key);
            return false;
        }
        if last.get(key).is_some_and(|last| last == warnings) {
            return false;
        }
        last.insert(key.clone(), warnings.to_vec());
        true
    }
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;

    use super::*;

    #[test]
    fn a_warning_is_told_again_only_when_it_has_changed_or_the_object_was_deleted() {
        let warned = Warned::default();
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
            assert_eq!(warned.is_new(key, warnings), is_new, "{key} {warnings:?}");
        }
        warned.forget(&one);
        assert!(warned.is_new(&one, &second));
    }
}
