//! The node that an agent enforces: the one with this machine's name, unless an earlier agent enforced another here.
//!
//! Endpoints belong to a node by its name. An agent that starts under another name (the host name or `FelixHostname` changed)
//! would remove the rules of the previous node's endpoints. So the snapshot cache records the name:
//!
//! | The recorded name is | tortie's table is in the kernel, or the cache has endpoints of that node | The agent |
//! |---|---|---|
//! | unknown, or the same | | enforces this name and records it |
//! | another | no | enforces this name and records it: no policy is lost |
//! | another | yes | does not ask the store: what the cache has for the previous node stays in force |
//!
//! `tortie agent --accept-node` lets the new name take over.

use std::fmt;
use std::path::Path;

use crate::cache::{CACHE_FILE, Snapshot};
use crate::config::Local;
use crate::kernel_table::table_exists;
use crate::log_event;

/// The node that is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeName {
    /// Its name.
    pub(crate) enforced: String,
    /// The current name of this machine, if it is another one that was not accepted.
    pub(crate) unaccepted: Option<String>,
}

impl NodeName {
    /// Chooses the node for a machine of this name. `has_table`: whether the kernel has tortie's table.
    pub(crate) fn choose(machine_name: String, copy: Option<&Snapshot>, has_table: bool, accepted: bool) -> Self {
        let remembered = copy.and_then(|copy| copy.node.clone()).filter(|node| *node != machine_name && !accepted);
        let Some(before) = remembered else { return Self { enforced: machine_name, unaccepted: None } };
        if has_table || copy.is_some_and(|copy| copy.has_endpoints_of(&before)) {
            return Self { enforced: before, unaccepted: Some(machine_name) };
        }
        log::warn!(target: log_event::NODE_CHANGED, "this machine is named {machine_name} now and was named {before} before; no policy of node {before} is in force here");
        Self { enforced: machine_name, unaccepted: None }
    }

    /// What is wrong and what to do, if another name was not accepted.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { enforced, unaccepted } = self;
        let machine_name = unaccepted.as_ref()?;
        Some(format!(
            "this machine is called {machine_name} now, and the policy in force is that of node {enforced}. The store is not \
             asked, and nothing changes in the kernel. Start the agent under the old name again (FELIX_FELIXHOSTNAME, \
             FelixHostname in felix.cfg, or the host name), or run `tortie agent --accept-node` to enforce node {machine_name}"
        ))
    }
}

/// Where the name of this machine's node is from, for a command without an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeNameSource {
    /// It is from the last agent's copy of the store.
    Copy {
        /// The current name of this machine, if it is another one.
        unaccepted: Option<String>,
    },
    /// It is from the setting of this source.
    Setting(String),
    /// It is the host's own name.
    Host {
        /// Why it is not from the last agent's copy of the store.
        copy: String,
    },
}

impl NodeNameSource {
    /// Whether an agent that is started here certainly enforces this name.
    pub fn is_certain(&self) -> bool {
        *self == Self::Copy { unaccepted: None }
    }

    /// The node that an agent with this state directory would enforce, as far as that is known here.
    pub(crate) fn find(local: &Local, state: &Path) -> (String, Self) {
        let path = state.join(CACHE_FILE);
        let copy = Snapshot::open(&path);
        let before = copy.as_ref().and_then(|copy| copy.node.clone());
        // If the kernel cannot be asked, it may have the table.
        let has_table = table_exists().unwrap_or(true);
        let NodeName { enforced, unaccepted } = NodeName::choose(local.node(), copy.as_ref(), has_table, false);
        let source = match (local.node_origin(), before) {
            (_, Some(before)) if before == enforced => Self::Copy { unaccepted },
            (Some(origin), _) => Self::Setting(origin),
            (None, Some(before)) => {
                Self::Host { copy: format!("nothing is in force of {before}, the node of the last agent here") }
            }
            (None, None) if path.exists() => {
                Self::Host { copy: format!("{} cannot be read, or does not contain it", path.display()) }
            }
            (None, None) => Self::Host { copy: format!("no agent left a copy of the store in {}", state.display()) },
        };
        (enforced, source)
    }
}

impl fmt::Display for NodeNameSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copy { unaccepted: None } => f.write_str("the name of the last agent here"),
            Self::Copy { unaccepted: Some(machine_name) } => write!(
                f,
                "the name of the last agent here; this machine is called {machine_name} now, and an agent takes over that name with `tortie agent --accept-node`"
            ),
            Self::Setting(origin) => write!(f, "from FelixHostname in {origin}"),
            Self::Host { copy } => write!(
                f,
                "the name of this host: {copy}, and FelixHostname is not set for this command; an agent for which it is set has another node"
            ),
        }
    }
}
