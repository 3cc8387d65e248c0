//! Label names and port names as small numbers.

use crate::intern::Interned;

/// A name's number.
pub(crate) type Name = u32;

/// Names in use.
#[derive(Debug, Default)]
pub(crate) struct Names(Interned<Box<str>, str>);

impl Names {
    /// Adds a use of a name, and returns its number.
    pub(crate) fn acquire(&mut self, name: &str) -> Name {
        self.0.acquire(name, || name.into())
    }

    /// Adds a use of a name in use.
    pub(crate) fn add_use(&mut self, name: Name) {
        self.0.add_use(name);
    }

    /// Removes a use.
    pub(crate) fn release(&mut self, name: Name) {
        self.0.release(name);
    }

    /// The number of a name that is in use.
    pub(crate) fn find(&self, name: &str) -> Option<Name> {
        self.0.find(name)
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        self.0.get(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
