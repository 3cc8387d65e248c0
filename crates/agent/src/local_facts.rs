//! What verdicts depend on beside the store: the node's name, interfaces, routes and local settings. Also compares them with
//! the kernel, for `tortie verify`.

use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tortie_api::Object;
use tortie_dataplane_nft::{Bits, TooFewBits};
use tortie_hostnet::links::{Watcher, links};
use tortie_nft::dump;
use tortie_nft::foreign::{self, ForeignTable};
use tortie_nft::{Family, RequestError, Socket, TableId, inventory};
use tortie_policy::from_api::configurations_of;
use tortie_policy::machine::Machine;
use tortie_policy::packet::{Host, Link};
use tortie_policy::{Policy, PolicyStage, Settings};
use tortie_sync::InForce;
use tortie_verify::foreign_tables::AllowedMark;
use tortie_verify::{Report, VerifyError, verify};

use crate::config::{self, AgentSettings, Effective, Local, LocalError, Sources};
use crate::dataplane::table_options;
use crate::kernel_table;
use crate::log_event;
use crate::node_name::NodeNameSource;

/// What an agent knows of its node beside the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalFacts {
    /// The node's name.
    pub node: String,
    /// Its interfaces and their addresses.
    pub interfaces: Vec<(String, Vec<IpAddr>)>,
    /// The settings of this machine.
    pub local: Local,
    /// Its routes, and which of its interfaces are ports of bridges or bonds; none if they could not be read.
    #[serde(default)]
    pub machine: Option<Machine>,
    /// The nflog group that denied packets are logged to; none while nobody watches.
    #[serde(default)]
    pub denied_group: Option<u16>,
}

/// The tables of other programs.
#[derive(Debug, Default)]
pub struct ForeignTables {
    /// The tables that were read, of the families `inet`, `ip`, `ip6`, `netdev` and `bridge`.
    pub tables: Vec<ForeignTable>,
    /// The tables that could not be read, and why.
    pub unread: Vec<(String, String)>,
    /// Tables of the kernel's older packet filter, of which only the names are known: `iptables nat`.
    pub legacy: Vec<String>,
    /// Tables of the family `arp`, of which only the names are read: they filter no IP packets.
    pub arp: Vec<String>,
}

/// Why the local facts, or the kernel, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LocalFactsError {
    /// The settings of this machine are invalid.
    #[error("the settings of this machine cannot be used")]
    Local(#[from] LocalError),
    /// The interfaces cannot be listed.
    #[error("cannot list the interfaces")]
    Interfaces(#[source] RequestError),
    /// The kernel cannot be asked.
    #[error("cannot ask the kernel for its tables (that needs CAP_NET_ADMIN)")]
    Socket(#[from] std::io::Error),
    /// The table of tortie cannot be read.
    #[error("cannot read the table of tortie from the kernel")]
    Read(#[source] RequestError),
    /// The tables of the kernel cannot be listed.
    #[error("cannot list the tables of the kernel (that needs CAP_NET_ADMIN)")]
    ReadOthers(#[source] RequestError),
    /// The mark mask has too few bits.
    #[error("the setting of the mark mask cannot be used")]
    Mask(#[from] TooFewBits),
    /// The content of the table is not understood.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

impl LocalFacts {
    /// The local facts of this machine, read without an agent; and where the name of its node is from. `state` is the directory of
    /// the agent's copy of the store.
    pub fn without_agent(sources: &Sources, state: &Path) -> Result<(Self, NodeNameSource), LocalFactsError> {
        let local = Local::read(sources)?;
        let (node, source) = NodeNameSource::find(&local, state);
        let all = links(Watcher::open().map_err(LocalFactsError::Interfaces)?.interfaces(), |_| true);
        Ok((Self::new(node, &all, local), source))
    }

    pub(crate) fn new(node: String, links: &[Link], local: Local) -> Self {
        let interfaces = links.iter().map(|link| (link.name.clone(), link.addresses.clone())).collect();
        // Without routes, questions about packets are answered for every interface.
        let machine = tortie_hostnet::machine()
            .inspect_err(|error| log::debug!(target: log_event::ROUTES_UNREADABLE, "cannot read the routes: {error}"))
            .ok();
        Self { node, interfaces, local, machine, denied_group: None }
    }

    /// Judges the probe packets of every endpoint of this node by what is in force and by the table in the kernel, and compares
    /// that table with what is in force. At most `most` differences of each kind are kept.
    pub fn verify(&self, mut in_force: InForce, most: usize) -> Result<Report, LocalFactsError> {
        let agent = self.apply_settings(&mut in_force);
        let options = table_options(agent.mark_mask, self.local.hook_priority, self.denied_group)?;
        let inventory =
            inventory::read(&mut Socket::open()?, &TableId::inet(&options.table)).map_err(LocalFactsError::Read)?;
        Ok(verify(&in_force.snapshot, &self.host(), &options, &inventory, self.machine.as_ref(), most)?)
    }

    /// The mark bit that says that an untracked or pre-DNAT policy has allowed a packet; none where no such policy is in force.
    pub fn allowed_mark(&self, in_force: &InForce) -> Option<AllowedMark> {
        let is_early = |policy: &Policy| !policy.staged && !matches!(policy.stage, PolicyStage::Normal { .. });
        in_force.snapshot.policies.values().any(is_early).then_some(())?;
        let base = Settings::of_pools(in_force.snapshot.pools.values());
        let resolved = config::resolve(&self.local, base, &self.configurations(in_force));
        let bit = Bits::from_mask(resolved.agent.mark_mask).ok()?.accept;
        Some(AllowedMark { bit, priority_shift: self.local.hook_priority })
    }

    /// Reads the tables of other programs with chains at hooks of packets. They are never changed.
    pub fn foreign_tables() -> Result<ForeignTables, LocalFactsError> {
        let mut socket = Socket::open()?;
        let own = kernel_table::own();
        let mut found = ForeignTables::default();
        for id in dump::table_ids(&mut socket).map_err(LocalFactsError::ReadOthers)? {
            if id == own {
                continue;
            }
            if id.family == Family::Arp {
                found.arp.push(id.name);
                continue;
            }
            match foreign::read(&mut socket, &id) {
                Ok(table) => found.tables.extend(table),
                Err(error) => found.unread.push((id.to_string(), error.to_string())),
            }
        }
        for (program, file) in [("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")] {
            let names = std::fs::read_to_string(format!("/proc/self/net/{file}")).unwrap_or_default();
            found.legacy.extend(names.lines().map(|name| format!("{program} {name}")));
        }
        Ok(found)
    }

    /// The node and its interfaces.
    pub fn host(&self) -> Host {
        let interfaces = self.interfaces.iter().cloned();
        let links = interfaces.map(|(name, addresses)| Link { name, addresses }).collect();
        Host { node: self.node.clone(), links }
    }

    /// Every setting that has an effect here, with its value and source.
    pub fn effective_settings(&self, in_force: &InForce) -> Effective {
        let snapshot = &in_force.snapshot;
        let base = Settings::of_pools(snapshot.pools.values());
        let mut effective = config::effective(&self.local, &base, &self.configurations(in_force));
        effective.settings.push(self.local.hook_priority_setting());
        effective
    }

    /// The FelixConfigurations for this node, lowest precedence first.
    fn configurations<'a>(&self, in_force: &'a InForce) -> Vec<&'a Object> {
        let configurations: Vec<&Object> = in_force.configurations.values().collect();
        let labels = in_force.snapshot.nodes.get(&self.node).map(|node| &node.labels);
        configurations_of(&self.node, labels, &configurations)
    }

    /// Replaces the settings of the store by those in force here, in which this machine's settings come first. Returns the
    /// agent's own settings.
    pub fn apply_settings(&self, in_force: &mut InForce) -> AgentSettings {
        let base = Settings::of_pools(in_force.snapshot.pools.values());
        let resolved = config::resolve(&self.local, base, &self.configurations(in_force));
        in_force.snapshot.node_settings.insert(self.node.clone(), resolved.settings);
        resolved.agent
    }
}
