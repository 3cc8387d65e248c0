//! The store in memory keeps the contract, also where it behaves as the Kubernetes API does.

use std::sync::Arc;

use tortie_api::Kind;
use tortie_store::Store;
use tortie_store::conformance::Subject;
use tortie_store::memory::MemoryStore;

struct Memory(MemoryStore);

impl Subject for Memory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn compact(&self) {
        self.0.compact();
    }

    fn expire(&self, kind: Kind) -> bool {
        self.0.expire(kind);
        true
    }
}

mod one_history {
    use super::*;

    tortie_store::conformance!(|| Memory(MemoryStore::new()));
}

mod a_history_for_each_kind {
    use super::*;

    tortie_store::conformance!(|| Memory(MemoryStore::with_histories()));
}
