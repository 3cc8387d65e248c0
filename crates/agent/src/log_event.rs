//! The names of the lines in the agent's log. They do not change, unlike the messages; [docs/log.md](../../../docs/log.md) lists
//! them. What `tortie watch` receives is in `watch_events`.

/// Defines the events of a process as constants, and `ALL`, the list of them.
#[macro_export]
macro_rules! events {
    ($($name:ident = $text:literal,)*) => {
        $(pub(crate) const $name: &str = $text;)*
        /// All of them.
        pub(crate) const ALL: &[&str] = &[$($text),*];
    };
}

events! {
    AGENT_FAILED = "agent-failed",
    AGENT_STARTED = "agent-started",
    AGENT_STOPPING = "agent-stopping",
    CACHE_FAILED = "cache-failed",
    CHANGE_APPLIED = "change-applied",
    CHANGE_FAILED = "change-failed",
    CHANGE_PUT_BACK = "change-put-back",
    CHANGE_RECOVERED = "change-recovered",
    CONFIRMATION_AWAITED = "confirmation-awaited",
    CONFIRMATION_FAILED = "confirmation-failed",
    CONNECTIONS_TRACKED = "connections-tracked",
    CONNECTIONS_UNTRACKED = "connections-untracked",
    DEFINITIONS_TWICE = "definitions-twice",
    DENIAL_UNREADABLE = "denial-unreadable",
    DENIALS_UNWATCHED = "denials-unwatched",
    DENIALS_WATCHED = "denials-watched",
    DIRECTORY_MODE = "directory-mode",
    ENFORCEMENT_OFF = "enforcement-off",
    ENFORCEMENT_ON = "enforcement-on",
    ENFORCEMENT_UNCHANGED = "enforcement-unchanged",
    FOREIGN_AGENT = "foreign-agent",
    HOST_SETTING_CHANGED = "host-setting-changed",
    INTERFACES_LOST = "interfaces-lost",
    INTERFACES_WATCHED = "interfaces-watched",
    MARK_MASK_CHANGED = "mark-mask-changed",
    NAMED_PORTS_TOO_LARGE = "named-ports-too-large",
    NETWORK_FAILED = "network-failed",
    NODE_ACCEPTED = "node-accepted",
    NODE_CHANGED = "node-changed",
    OBJECT_READABLE = "object-readable",
    OBJECT_UNREADABLE = "object-unreadable",
    PLACEMENT_CHANGED = "placement-changed",
    REPORT_FAILED = "report-failed",
    ROUTES_UNREADABLE = "routes-unreadable",
    RULE_COUNTS_UNREADABLE = "rule-counts-unreadable",
    SERVICE_FAILED = "service-failed",
    SERVICE_LISTENING = "service-listening",
    SERVICE_MANAGER_UNREACHABLE = "service-manager-unreachable",
    SETTING_IGNORED = "setting-ignored",
    SETTINGS_KEPT = "settings-kept",
    SETTINGS_READ = "settings-read",
    STORE_ACCEPTED = "store-accepted",
    STORE_LOST = "store-lost",
    STORE_MISSING = "store-missing",
    STORE_NOT_ANSWERING = "store-not-answering",
    STORE_REACHED = "store-reached",
    STORE_READ = "store-read",
    STORE_REPLACED = "store-replaced",
    TABLE_ADOPTED = "table-adopted",
    TABLE_REPAIRED = "table-repaired",
    TABLE_UNWATCHED = "table-unwatched",
    THREAD_FAILED = "thread-failed",
    TIER_MISSING = "tier-missing",
    UNINSTALL_FAILED = "uninstall-failed",
}
