//! What a selector is matched against.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;

/// Labels that can be looked up by name.
pub trait Labels {
    /// The value of the label, if it is there.
    fn label(&self, name: &str) -> Option<&str>;
}

/// Labels that a closure looks up; made by [`from_fn`].
#[derive(Clone, Copy, Debug)]
pub struct FromFn<'a, F> {
    look_up: F,
    values: PhantomData<&'a str>,
}

/// Labels that a closure looks up.
///
/// ```
/// use tortie_selector::{Selector, from_fn};
///
/// let labels = from_fn(|name| (name == "role").then_some("db"));
/// assert!(Selector::parse("role == 'db'").unwrap().matches(&labels));
/// ```
pub fn from_fn<'a, F: Fn(&str) -> Option<&'a str>>(look_up: F) -> FromFn<'a, F> {
    FromFn { look_up, values: PhantomData }
}

impl<'a, F: Fn(&str) -> Option<&'a str>> Labels for FromFn<'a, F> {
    fn label(&self, name: &str) -> Option<&str> {
        (self.look_up)(name)
    }
}

impl<L: Labels + ?Sized> Labels for &L {
    fn label(&self, name: &str) -> Option<&str> {
        (**self).label(name)
    }
}

impl<K: Borrow<str> + Ord, V: AsRef<str>> Labels for BTreeMap<K, V> {
    fn label(&self, name: &str) -> Option<&str> {
        self.get(name).map(AsRef::as_ref)
    }
}

impl<K: Borrow<str> + Eq + Hash, V: AsRef<str>, S: BuildHasher> Labels for HashMap<K, V, S> {
    fn label(&self, name: &str) -> Option<&str> {
        self.get(name).map(AsRef::as_ref)
    }
}

/// A short list; the first of two equal names counts.
impl<K: AsRef<str>, V: AsRef<str>> Labels for [(K, V)] {
    fn label(&self, name: &str) -> Option<&str> {
        let (_, value) = self.iter().find(|(key, _)| key.as_ref() == name)?;
        Some(value.as_ref())
    }
}

impl<K: AsRef<str>, V: AsRef<str>, const N: usize> Labels for [(K, V); N] {
    fn label(&self, name: &str) -> Option<&str> {
        self.as_slice().label(name)
    }
}
