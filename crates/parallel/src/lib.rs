//! The same work on many items, shared among processors.

use rayon::prelude::*;

/// For fewer items, starting threads costs more than they save.
const MIN_ITEMS: usize = 200;

/// Calls `work` for each item. Returns the results in the order of the items.
pub fn map<'a, T: Sync, R: Send>(items: &'a [T], work: impl Fn(&'a T) -> R + Sync + Send) -> Vec<R> {
    if items.len() < MIN_ITEMS { items.iter().map(work).collect() } else { items.par_iter().map(work).collect() }
}
