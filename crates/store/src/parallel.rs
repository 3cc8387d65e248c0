//! The same work on many things, shared among processors.

use rayon::prelude::*;

/// For fewer, starting threads costs more than they save.
const MANY: usize = 200;

/// Does the same to each; the answers in their order.
pub fn each<'a, T: Sync, R: Send>(all: &'a [T], work: impl Fn(&'a T) -> R + Sync + Send) -> Vec<R> {
    if all.len() < MANY { all.iter().map(work).collect() } else { all.par_iter().map(work).collect() }
}
