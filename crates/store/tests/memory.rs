//! The store in memory keeps the contract.

use std::sync::Arc;

use tortie_store::conformance::Subject;
use tortie_store::memory::MemoryStore;
use tortie_store::{Selection, Store};

struct Memory(MemoryStore);

impl Subject for Memory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn compact(&self) {
        let listing = self.0.list(&Selection::default());
        self.0.compact(listing.map_or(0, |listing| listing.revision));
    }
}

tortie_store::conformance!(|| Memory(MemoryStore::new()));
