//! Which node an agent enforces: the one that this machine is called, unless an earlier agent enforced another here.
//!
//! Endpoints belong to a node by its name. An agent that starts under another name (the host name or `FelixHostname` changed)
//! would remove the rules of the endpoints of the node before. So the snapshot cache remembers the name:
//!
//! | The remembered name is | Our table is in the kernel, or the cache has endpoints of that node | The agent |
//! |---|---|---|
//! | unknown, or the same | | enforces this name and remembers it |
//! | another | no | enforces this name and remembers it: nothing can open |
//! | another | yes | does not ask the store: what the cache holds for the node before stays in force |
//!
//! `tortie agent --accept-node` lets the new name take over.

use crate::cache::Snapshot;
use crate::logger::event;

/// The node that is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeName {
    /// Its name.
    pub(crate) enforced: String,
    /// What this machine is called now, where that is another name which was not accepted.
    pub(crate) called: Option<String>,
}

impl NodeName {
    /// Decides it for a machine that is `called` so. `has_table` says whether our table is in the kernel.
    pub(crate) fn choose(called: String, copy: Option<&Snapshot>, has_table: bool, accepted: bool) -> Self {
        let remembered = copy.and_then(|copy| copy.node.clone()).filter(|node| *node != called && !accepted);
        let Some(before) = remembered else { return Self { enforced: called, called: None } };
        if has_table || copy.is_some_and(|copy| copy.has_endpoints_of(&before)) {
            return Self { enforced: before, called: Some(called) };
        }
        log::warn!(target: event::NODE_CHANGED, "this machine is called {called} now and was called {before}; nothing of {before} is in force here");
        Self { enforced: called, called: None }
    }

    /// What is wrong and what to do, where another name was not accepted.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { enforced, called } = self;
        let called = called.as_ref()?;
        Some(format!(
            "this machine is called {called} now, and the policy in force is that of node {enforced}. The store is not \
             asked, and nothing changes in the kernel. Start the agent under the old name again (FELIX_FELIXHOSTNAME, \
             FelixHostname in felix.cfg, or the host name), or run `tortie agent --accept-node` to enforce node {called}"
        ))
    }
}
