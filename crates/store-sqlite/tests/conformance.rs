//! The embedded store keeps the contract: the suite of `tortie-store` on a real file.

use std::sync::Arc;

use tortie_api::{Key, Kind};
use tortie_store::conformance::Subject;
use tortie_store::{Selection, Store, Write};
use tortie_store_sqlite::{Options, SqliteStore};

struct OnDisk {
    directory: tempfile::TempDir,
}

impl OnDisk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { directory }
    }

    fn open(&self, options: Options) -> SqliteStore {
        let path = self.directory.path().join("tortie.db");
        SqliteStore::open_with(path, options).expect("the store opens")
    }
}

impl Subject for OnDisk {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.open(Options::default()))
    }

    fn compact(&self) {
        let store = self.open(Options { keep: 0, ..Options::default() });
        let target = store.list(&Selection::default()).expect("list").position.number().expect("one history");
        // A writer that keeps nothing takes more from the log with each write than it adds.
        for _ in 0..100 {
            if store.watch(&Selection::default(), &(target - 1).into()).is_err() {
                return;
            }
            let key = Key::cluster(Kind::Node, "compactor");
            store.write(&[Write::create(key.clone(), &b"{}"[..]), Write::delete(key, None)]).expect("write");
        }
    }
}

tortie_store::conformance!(OnDisk::new);
