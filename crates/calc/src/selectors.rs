//! Every selector in use, each kept once.

use tortie_selector::Selector;

use crate::intern::Interned;

/// A selector's number.
pub(crate) type SelectorIndex = u32;

/// Selectors in use.
#[derive(Debug, Default)]
pub(crate) struct Selectors(Interned<Selector>);

impl Selectors {
    /// Adds a use of a selector, and returns its number.
    pub(crate) fn acquire(&mut self, selector: &Selector) -> SelectorIndex {
        self.0.acquire(selector, || selector.clone())
    }

    /// Adds a use of a selector in use.
    pub(crate) fn add_use(&mut self, index: SelectorIndex) -> SelectorIndex {
        self.0.add_use(index);
        index
    }

    /// Removes a use.
    pub(crate) fn release(&mut self, index: SelectorIndex) {
        self.0.release(index);
    }

    pub(crate) fn get(&self, index: SelectorIndex) -> &Selector {
        self.0.get(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
