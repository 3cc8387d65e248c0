//! The suite of all stores, against a real API server, in both groups.

mod support;

use std::sync::Arc;

use tortie_api::Kind;
use tortie_store::conformance::{CLAIMS, Subject};
use tortie_store::{Selection, Store, Write};
use tortie_store_kube::custom::Group;

use support::Cluster;

impl Subject for Cluster {
    fn store(&self) -> Arc<dyn Store> {
        Cluster::store(self)
    }

    /// What was before its start, an API server does not know.
    fn compact(&self) {
        self.server.lock().expect("it is alive").restart();
    }
}

/// Deletes what a claim left: to start a cluster for each would take seconds.
fn empty(store: &dyn Store) {
    for kind in Kind::ALL {
        let listing = store.list(&Selection::kind(*kind)).expect("a list");
        let custom =
            listing.items.iter().filter(|it| store.supports(it.key.kind, tortie_store::Operation::Create).is_ok());
        let deletes: Vec<Write> = custom.map(|it| Write::delete(it.key.clone(), None)).collect();
        store.write(&deletes).expect("deletes");
    }
}

fn all_claims(group: Group) {
    let cluster = Cluster::start(group);
    for namespace in ["prod", "dev", "dev-2"] {
        cluster.kubectl(&["create", "namespace", namespace], "");
    }
    let mut failed = Vec::new();
    for (name, claim) in CLAIMS {
        empty(&*cluster.store());
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| claim(&cluster))).is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn the_packed_group_keeps_what_every_store_promises() {
    all_claims(Group::Packed);
}

#[test]
fn the_native_group_keeps_what_every_store_promises() {
    all_claims(Group::Native);
}
