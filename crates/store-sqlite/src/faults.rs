//! Named ways to break a promise on purpose, so that it can be shown which test notices.
//!
//! Built in only with the feature `faults`; without it nothing here can be switched on. A fault is switched
//! on by `set` or by its name in the environment variable `TORTIE_FAULTS` (several with commas).
//!
//! | name | what breaks | noticed by |
//! |---|---|---|
//! | `store.skip-wake` | no touch after COMMIT | `wake`, `processes` |
//! | `store.ack-before-commit` | a write returns before its COMMIT | `conformance`, `bounds` |
//! | `store.synchronous-off` | nothing is synced | `connection::tests`, `power` |
//! | `store.half-object` | an object and its log entry in two transactions | `conformance`, `kill`, `power` |
//! | `store.half-batch` | changes that belong together are made although one was refused | `conformance` |
//! | `store.ignore-revision` | updates do not look at the revision | `conformance`, `processes` |
//! | `store.deferred-writers` | writers do not wait for each other at BEGIN | `conformance`, `processes` |
//! | `store.skip-trim` | the log is never trimmed | `conformance`, `bounds` |
//! | `store.skip-checkpoint` | the WAL is never checkpointed while in use | `bounds` |
//! | `store.unsynced-directory` | a new file's name is not synced | `power` |
//! | `store.any-history` | a watch does not notice that the log before its position is another | `refusals` |
//! | `store.trim-unconfirmed` | the log is trimmed of what may have to be put back | `history` |
//! | `store.put-back-all` | what others changed since is overwritten when a change is put back | `history` |
//! | `store.put-back-forgets` | what was changed again stays as the first unconfirmed change made it | `history` |
//! | `store.put-back-by-content` | what others changed to the same content is overwritten when a change is put back | `history` |
//! | `store.put-back-used-tiers` | a tier that holds policies of others is deleted when a change is put back | `history` |
//! | `store.any-schema` | the schema version is not looked at in transactions | `refusals` |

/// A promise to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No touch after COMMIT.
    SkipWake,
    /// A write returns before its COMMIT.
    AckBeforeCommit,
    /// Nothing is synced.
    SynchronousOff,
    /// An object and its log entry in two transactions.
    HalfObject,
    /// Changes that belong together are made although one of them was refused.
    HalfBatch,
    /// Updates do not look at the revision.
    IgnoreRevision,
    /// Writers do not wait for each other at BEGIN.
    DeferredWriters,
    /// The log is never trimmed.
    SkipTrim,
    /// The WAL is never checkpointed while in use.
    SkipCheckpoint,
    /// A new file's name is not synced.
    UnsyncedDirectory,
    /// The schema version is not looked at in transactions.
    AnySchema,
    /// A watch does not notice that the log before its position is another.
    AnyHistory,
    /// The log is trimmed of what may have to be put back.
    TrimUnconfirmed,
    /// What others changed since is overwritten when a change is put back.
    PutBackAll,
    /// What was changed again before it was put back is later put back to the unconfirmed change.
    PutBackForgets,
    /// What others changed to the same content is overwritten when a change is put back.
    PutBackByContent,
    /// A tier that holds policies of others is deleted when a change is put back.
    PutBackUsedTiers,
}

impl Fault {
    /// All of them.
    pub const ALL: &'static [Fault] = &[
        Fault::SkipWake,
        Fault::AckBeforeCommit,
        Fault::SynchronousOff,
        Fault::HalfObject,
        Fault::HalfBatch,
        Fault::IgnoreRevision,
        Fault::DeferredWriters,
        Fault::SkipTrim,
        Fault::SkipCheckpoint,
        Fault::UnsyncedDirectory,
        Fault::AnySchema,
        Fault::AnyHistory,
        Fault::TrimUnconfirmed,
        Fault::PutBackAll,
        Fault::PutBackForgets,
        Fault::PutBackByContent,
        Fault::PutBackUsedTiers,
    ];

    /// Its name in `TORTIE_FAULTS`.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::SkipWake => "store.skip-wake",
            Fault::AckBeforeCommit => "store.ack-before-commit",
            Fault::SynchronousOff => "store.synchronous-off",
            Fault::HalfObject => "store.half-object",
            Fault::HalfBatch => "store.half-batch",
            Fault::IgnoreRevision => "store.ignore-revision",
            Fault::DeferredWriters => "store.deferred-writers",
            Fault::SkipTrim => "store.skip-trim",
            Fault::SkipCheckpoint => "store.skip-checkpoint",
            Fault::UnsyncedDirectory => "store.unsynced-directory",
            Fault::AnySchema => "store.any-schema",
            Fault::AnyHistory => "store.any-history",
            Fault::TrimUnconfirmed => "store.trim-unconfirmed",
            Fault::PutBackAll => "store.put-back-all",
            Fault::PutBackForgets => "store.put-back-forgets",
            Fault::PutBackByContent => "store.put-back-by-content",
            Fault::PutBackUsedTiers => "store.put-back-used-tiers",
        }
    }
}

#[cfg(feature = "faults")]
mod switches {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Fault;

    static ON: LazyLock<AtomicU32> = LazyLock::new(|| {
        let named = std::env::var("TORTIE_FAULTS").unwrap_or_default();
        let named: Vec<&str> = named.split(',').map(str::trim).collect();
        let on = Fault::ALL
            .iter()
            .filter(|fault| named.contains(&fault.name()))
            .fold(0, |on, fault| on | 1 << *fault as u32);
        AtomicU32::new(on)
    });

    /// Switches a fault on or off, for the whole process.
    pub fn set(fault: Fault, on: bool) {
        let bit = 1 << fault as u32;
        if on {
            ON.fetch_or(bit, Ordering::SeqCst);
        } else {
            ON.fetch_and(!bit, Ordering::SeqCst);
        }
    }

    pub(crate) fn is_on(fault: Fault) -> bool {
        ON.load(Ordering::SeqCst) & 1 << fault as u32 != 0
    }
}

#[cfg(feature = "faults")]
pub(crate) use switches::is_on;
#[cfg(feature = "faults")]
pub use switches::set;

#[cfg(not(feature = "faults"))]
pub(crate) const fn is_on(_: Fault) -> bool {
    false
}
