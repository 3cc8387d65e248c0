//! Leases: of several processes that do the same work, one at a time has it.

use std::time::Duration;

use crate::StoreError;

/// A store that says which process holds a lease.
pub trait Leases: Send + Sync {
    /// Takes a lease that nobody holds, or renews it: the holder keeps it for `time` from now, and for as long as it lives where
    /// the store notices the end of processes. `holder` names this process and no other.
    ///
    /// A lease counts from before the call, since the answer may arrive late.
    fn hold(&self, name: &str, holder: &str, time: Duration) -> Result<Holding, StoreError>;

    /// Gives a lease up, so that another process can take it at once. Nothing happens if another process has it.
    fn release(&self, name: &str, holder: &str) -> Result<(), StoreError>;
}

/// The holder of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// The calling process.
    Ours,
    /// The process that is named so.
    Of(String),
}
