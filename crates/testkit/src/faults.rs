//! Deliberate small mistakes, for tests that prove that the tests can fail.
//!
//! Code that has one asks [`is_on`] under its feature `faults`. One at a time is on, for one thread.

use std::cell::Cell;

/// Every fault there is, by what goes wrong.
pub const ALL: &[&str] = &[
    "tier-end",
    "missing-tier-passes",
    "pass-ends-tier",
    "no-order-first",
    "ties-by-namespace",
    "types-ignored",
    "not-protocol",
    "not-nets-family",
    "not-ports",
    "negated-peers",
    "icmp-code",
    "log-ends-list",
    "last-profile-wins",
    "profile-pass-allows",
    "missing-profile-skipped",
    "failsafe-reply",
    "failsafe-net",
    "hop-limit",
    "encapsulation",
    "specific-hides-prednat",
    "names-before-addresses",
    "members-not-counted",
    "service-ports",
    "slice-gives-forever",
    "unreadable-set-is-read",
];

/// Faults of the rendering for the kernel that change verdicts, or what is left in the kernel.
pub const RENDERING: &[&str] = &[
    "gap-forgotten",
    "hull-forgotten",
    "negated-list-as-hull",
    "shared-set-left-behind",
    "shared-set-removed-early",
    "end-of-log",
];

/// Lines that log are such as the kernel refuses only when it commits, of the batch as a whole.
pub const REFUSED_AT_COMMIT: &str = "refused-at-commit";

/// Faults of the rendering for the kernel that only change what rules count.
pub const COUNTING: &[&str] = &["log-lines-overlap"];

/// Faults of the watch for what others do to tables that are not owned.
pub const WATCHING: &[&str] = &[
    "switched-off-table-unseen",
    "other-kinds-unseen",
    "undecodable-set-unseen",
    "element-notices-ignored",
    "mended-without-policy",
    "left-table-unread",
];

/// Faults of the transactions of a change, which show only to packets in flight.
pub const IN_FLIGHT: &[&str] = &["chains-made-with-what-leads-there", "elements-removed-with-what-replaces-them"];

/// Faults that show only where objects are damaged.
pub const DAMAGED: &[&str] = &["unreadable-labels-are-none", "unreadable-allow-matches", "unsure-pass-passes"];

/// Faults of the lock-out guard.
pub const LOCK_OUT: &[&str] = &[
    "lock-out-without-replies",
    "lock-out-by-one-interface",
    "lock-out-of-loopback-unseen",
    "lock-out-after-only",
    "lock-out-route-ignored",
    "enters-by-its-route-alone",
];

/// Faults of what a change is told to mean.
pub const DIFF: &[&str] = &[
    "diff-segments-unpaired",
    "diff-places-unpaired",
    "diff-stages-alike",
    "diff-untranslated",
    "diff-pass-ends-all",
    "diff-answers-shared",
];

/// Faults of answers about ends with several addresses.
pub const SEVERAL_ADDRESSES: &[&str] = &["several-addresses-as-one", "other-end-undivided", "other-end-of-first-class"];

/// Faults of answers about packets whose source `natOutgoing` replaces.
pub const REPLACED_SOURCE: &[&str] = &[
    "source-behind-nat-outgoing-kept",
    "replaced-sources-undivided",
    "sources-of-no-interface",
    "sources-of-known-interfaces-alone",
    "source-port-behind-nat-outgoing-kept",
    "spared-nodes-undivided",
];

/// Faults of answers about packets that the kernel loses though no policy denies them.
pub const NOT_TAKEN_IN: &[&str] = &[
    "forwarding-assumed",
    "sources-accepted",
    "routing-rules-ignored",
    "route-of-another-ignored",
    "unspecified-is-elsewhere",
    "loopback-taken-in",
];

/// Faults of answers about services of Kubernetes.
pub const SERVICES: &[&str] = &[
    "terminating-unused",
    "terminating-beside-ready",
    "local-not-asked-by-node",
    "no-short-circuit",
    "other-nodes-are-inside",
    "refused-is-untranslated",
    "ranges-ignored",
    "ranges-everywhere",
    "some-hints",
    "first-service-with-address",
];

/// Faults of answers about `hostPort` of pods.
pub const HOST_PORTS: &[&str] = &["host-port-unknown", "host-ports-undivided", "host-port-policies"];

thread_local! {
    static ON: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Whether this fault is switched on.
pub fn is_on(name: &str) -> bool {
    ON.get() == Some(name)
}

/// Runs something with a fault on.
pub fn with<T>(name: &'static str, run: impl FnOnce() -> T) -> T {
    /// Switches it off also when `run` panics.
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
    let off = Off;
    ON.set(Some(name));
    let result = run();
    drop(off);
    result
}
