//! The status of an agent: its answer on the local socket, and what `tortie status -o json` prints.

use serde::{Deserialize, Serialize};
use tortie_store::Position;

use crate::off::Off;

/// The status of an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The node that is enforced.
    pub node: String,
    /// The current name of this machine, if it is not the node that is enforced: nothing changes until that name is
    /// accepted.
    #[serde(rename = "called")]
    pub unaccepted_name: Option<String>,
    /// Since when enforcement is off; none if it is on. While it is off, no policy is enforced, whatever the other fields say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<Off>,
    /// The agent's process.
    pub pid: u32,
    /// The agent's version.
    pub version: String,
    /// Whether the kernel has the content of the store as it was last read.
    pub ready: bool,
    /// The store and its state.
    pub store: StoreStatus,
    /// The latest position of the store that is known, whether its changes were read or not.
    pub received: Position,
    /// Changes on their way to the kernel; none if there are none.
    pub lag: Option<LagStatus>,
    /// The requested generation.
    pub wanted: Progress,
    /// The programmed generation.
    pub in_kernel: Progress,
    /// What the agent found in the kernel when it started; empty once it has programmed something itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub adopted: String,
    /// The dataplane.
    pub dataplane: DataplaneStatus,
    /// The endpoints of this node.
    pub endpoints: Vec<EndpointStatus>,
    /// The interfaces of this node, and the endpoints that govern them.
    pub interfaces: Vec<InterfaceStatus>,
    /// Objects that could not be read.
    pub troubles: Vec<TroubleStatus>,
    /// Remarks on settings: invalid, unknown, without effect.
    pub settings: Vec<SettingNote>,
    /// Other problems that are not solved yet.
    pub problems: Vec<String>,
    /// Settings of this machine that the agent has changed: `net.ipv4.ip_forward = 1 (was 0)`.
    pub host_settings: Vec<String>,
    /// Remarks on what is most likely not intended; they do not affect what is in force.
    pub notes: Vec<String>,
}

/// A generation, and the position of the store that it includes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Incremented with everything that is received.
    pub generation: u64,
    /// The position in the store's history.
    #[serde(rename = "revision")]
    pub position: Position,
}

/// Changes on their way from the store to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LagStatus {
    /// For how long the oldest of them has been on its way.
    pub milliseconds: u64,
    /// The step that runs; empty while they wait for the next attempt.
    pub step: String,
}

/// The store that the agent follows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreStatus {
    /// Its description: `embedded store /var/lib/tortie/tortie.db`.
    pub name: String,
    /// Its state.
    pub state: StoreState,
    /// Since when it is in this state, in UTC.
    pub since: String,
    /// When it last answered, in UTC; empty if it has not answered since the start. The agent asks it when a client asks the agent, unless
    /// it answered within the last second.
    pub answered: String,
    /// Why it is not in sync.
    pub reason: String,
    /// Whether the agent undoes changes that nobody confirms in time.
    pub puts_back: bool,
}

/// What distinguishes a store from others: its description, and the API group of its objects if that is known.
pub fn store_identity(name: &str, api_group: Option<&str>) -> String {
    match api_group {
        Some(group) => format!("{name} ({group})"),
        None => name.to_owned(),
    }
}

/// Whether two identities can be of the same store. One whose API group is not known can be that of each group.
pub fn is_same_store(one: &str, other: &str) -> bool {
    let has_group = |long: &str, short: &str| {
        short.starts_with("Kubernetes at ") && long.strip_prefix(short).is_some_and(|rest| rest.starts_with(" ("))
    };
    one == other || has_group(one, other) || has_group(other, one)
}

/// The state of the store, as the agent sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreState {
    /// It was not read completely yet. Nothing in the kernel is changed.
    #[default]
    Waiting,
    /// Every change is received, and it answered a moment ago.
    InSync,
    /// It counted as in sync, and does not answer now. Its last known content is enforced; `since` is when it last answered.
    NotAnswering,
    /// It cannot be reached any more. Its last known content is enforced.
    Lost,
    /// It was replaced by another store, or has another history. What was in force stays in force until that store is accepted.
    Replaced,
    /// It is not asked, because this machine has another name than before. Its last known content is enforced; `since` is the time
    /// of that content.
    NotAsked,
    /// It does not exist, or nothing was ever written to it, and nothing was read before. Nothing in the kernel is changed.
    Missing,
    /// It could not be reached since the start. The content that an earlier agent read is enforced; `since` is the time of that
    /// content.
    Stale,
}

/// The dataplane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataplaneStatus {
    /// Its description.
    pub name: String,
    /// Why the last change is not in force; it is tried again.
    pub failing: Option<String>,
    /// How often a change could not be applied.
    pub failures: u64,
    /// How often the table was restored after a change by another program.
    pub repairs: u64,
    /// Objects that the kernel refused (quarantined), with its reason. A deny-by-default replacement is in force for each.
    pub refused: Vec<(String, String)>,
    /// Whether it did not answer in time, so that endpoints are not listed.
    pub busy: bool,
}

/// One endpoint of this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointStatus {
    /// The argument that names it: `hep/web1-eth0`.
    pub name: String,
    /// The interfaces where it is enforced; `*` is every interface without an endpoint of its own.
    pub interfaces: Vec<String>,
    /// Why it is not enforced, or what is missing.
    pub note: String,
    /// Its policies at each stage.
    pub stages: Vec<StageStatus>,
}

/// One stage of an endpoint in one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageStatus {
    /// `normal`, `forward`, `preDNAT` or `untracked`.
    pub stage: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// The policies in force, in order: `tier/gnp name`.
    pub policies: Vec<String>,
    /// What happens to packets that none of them allows or denies.
    pub then: String,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The endpoint that governs it.
    pub endpoint: Option<String>,
    /// Whether it has the prefix of workloads' interfaces and no endpoint: everything is denied.
    pub closed: bool,
    /// Where its packets are judged, if not at it: `bridge br0`, of which it is a port.
    pub port_of: Option<String>,
}

/// The packets and bytes of a rule of a policy or profile, since the agent started or the rule was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleCount {
    /// The policy or profile: `gnp web`.
    pub policy: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// Its number in the policy, from 1.
    pub rule: String,
    /// Its action.
    pub action: String,
    /// The packets that it matched.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An object that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TroubleStatus {
    /// The argument that names it.
    pub object: String,
    /// What could not be read.
    pub reasons: Vec<String>,
    /// What is in force instead.
    pub in_force: String,
}

/// A remark on a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SettingNote {
    /// The source of the setting.
    pub source: String,
    /// Its name there.
    pub name: String,
    /// The remark.
    pub note: String,
}
