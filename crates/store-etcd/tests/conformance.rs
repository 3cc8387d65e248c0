//! etcd keeps the contract: the suite of `tortie-store` against a real one of a single member.

mod support;

use std::sync::Arc;

use support::Cluster;
use tortie_store::conformance::Subject;
use tortie_store::{Selection, Store};

struct One(Cluster);

impl One {
    fn new() -> Self {
        Self(Cluster::start(1))
    }
}

impl Subject for One {
    fn store(&self) -> Arc<dyn Store> {
        self.0.store()
    }

    fn compact(&self) {
        compact(&self.0);
    }
}

/// Forgets everything before the last change.
fn compact(cluster: &Cluster) {
    let revision = cluster.store().list(&Selection::default()).expect("list").revision;
    cluster.ctl(&["compaction", &revision.to_string()]);
}

tortie_store::conformance!(One::new);
