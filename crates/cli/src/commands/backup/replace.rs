//! `restore --replace`: a store that is not empty gets the content of a backup, and nothing else stays.

use std::collections::BTreeMap;

use tortie_api::Key;
use tortie_store::{Store, Stored, Write};

use crate::written_together;

/// The writes after which a store has these objects and no others. Objects that are stored byte for byte already need none.
pub(super) fn changes(stored: &[Stored], objects: &[(Key, Vec<u8>)]) -> Vec<Write> {
    let mut left: BTreeMap<&Key, &Stored> = stored.iter().map(|one| (&one.key, one)).collect();
    let mut writes = Vec::new();
    for (key, value) in objects {
        match left.remove(key) {
            None => writes.push(Write::create(key.clone(), value.as_slice())),
            Some(one) if *one.value == **value => {}
            Some(one) => writes.push(Write::update(key.clone(), value.as_slice(), one.revision.clone())),
        }
    }
    writes.extend(left.into_values().map(|one| Write::delete(one.key.clone(), Some(one.revision.clone()))));
    writes
}

/// Writes them, in one transaction if the store can.
pub(super) fn write(store: &dyn Store, writes: &[Write]) -> anyhow::Result<()> {
    written_together::all_or_error(store.write_together(writes)?, writes, "the same command writes the rest")
}
