//! What an agent says of itself: the answer on the local socket, and what `tortie status -o json` prints.

use serde::{Deserialize, Serialize};
use tortie_store::Position;

use crate::off::Off;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The node that is enforced.
    pub node: String,
    /// What this machine is called now, where that is not the node that is enforced: nothing changes until that name is
    /// accepted.
    pub called: Option<String>,
    /// Enforcement is switched off: no policy is enforced, whatever stands below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<Off>,
    /// The agent's process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Whether the kernel has what the store held when it was last read.
    pub ready: bool,
    /// The store, and how it stands with it.
    pub store: StoreStatus,
    /// Up to where the store's history was received, whether that was read or not.
    pub received: Position,
    /// What is under way; none when nothing is.
    pub lag: Option<LagStatus>,
    /// What is to be enforced.
    pub wanted: Mark,
    /// What is enforced.
    pub in_kernel: Mark,
    /// What the agent found in the kernel when it started; empty once it has programmed something itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub adopted: String,
    /// What enforces.
    pub dataplane: DataplaneStatus,
    /// The endpoints of this node.
    pub endpoints: Vec<EndpointStatus>,
    /// The interfaces of this node, and who governs them.
    pub interfaces: Vec<InterfaceStatus>,
    /// Objects that could not be read.
    pub troubles: Vec<TroubleStatus>,
    /// What is to be known of the settings: wrong, unknown, without effect.
    pub settings: Vec<SettingNote>,
    /// What else went wrong and still is.
    pub problems: Vec<String>,
    /// Settings of this machine that the agent has changed: `net.ipv4.ip_forward = 1 (was 0)`.
    pub host_settings: Vec<String>,
    /// What is most likely not meant, and keeps nothing from being in force.
    pub notes: Vec<String>,
}

/// A point in what was received, and up to where the store's history was received then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mark {
    /// Grows with everything that is received.
    pub generation: u64,
    /// In the store's history.
    #[serde(rename = "revision")]
    pub position: Position,
}

/// What is on its way from the store to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LagStatus {
    /// For how long the oldest part of it has been.
    pub milliseconds: u64,
    /// The step that runs; empty while it waits for its next try.
    pub step: String,
}

/// The store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreStatus {
    /// What it is: `embedded store /var/lib/tortie/tortie.db`.
    pub name: String,
    /// How it stands.
    pub state: StoreState,
    /// Since when, as UTC.
    pub since: String,
    /// Why it is not in sync.
    pub reason: String,
    /// Whether the agent puts back what nobody confirms in time.
    pub puts_back: bool,
}

/// How it stands with the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreState {
    /// It was not read completely yet. The kernel keeps what it has.
    #[default]
    Waiting,
    /// Every change is received.
    InSync,
    /// It cannot be reached any more. What it held last is enforced.
    Lost,
    /// Another store, or another history, stands in its place. What was in force stays so until that store is accepted.
    Replaced,
    /// It is not asked, because this machine is called by another name than before. What it held last is enforced; `since` is
    /// of that.
    NotAsked,
    /// It does not exist, or nothing was ever written to it, and nothing was read before. The kernel keeps what it has.
    Missing,
    /// It could not be reached since the start. What it held when an earlier agent read it is enforced; `since` is of that.
    Stale,
}

/// What enforces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataplaneStatus {
    /// What it is.
    pub name: String,
    /// Why the last change is not in force; it is tried again.
    pub failing: Option<String>,
    /// How often a change could not be made.
    pub failures: u64,
    /// How often what someone else had changed was put back.
    pub repairs: u64,
    /// Objects that the kernel refused (quarantined), with its reason. A deny-by-default replacement is in force for each.
    pub refused: Vec<(String, String)>,
    /// It did not answer in time, so endpoints are not listed.
    pub busy: bool,
}

/// One endpoint of this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointStatus {
    /// What names it: `hep/web1-eth0`.
    pub name: String,
    /// Where it is enforced; `*` is every interface without an endpoint of its own.
    pub interfaces: Vec<String>,
    /// Why it is enforced nowhere, or what is missing.
    pub note: String,
    /// What it asks, stage by stage.
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
    /// What becomes of what none of them settles.
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
    /// Whether it is a workload's and has no endpoint: everything is denied.
    pub closed: bool,
}

/// What a rule of a policy or profile has counted since the agent started, or since the rule was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleCount {
    /// The policy or profile: `gnp web`.
    pub policy: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// Its number in the policy, from 1.
    pub rule: String,
    /// What it does.
    pub action: String,
    /// Packets that it matched.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An object that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TroubleStatus {
    /// What names it.
    pub object: String,
    /// What could not be read.
    pub reasons: Vec<String>,
    /// What is in force instead.
    pub in_force: String,
}

/// Something to know of a setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SettingNote {
    /// Where it is said.
    pub source: String,
    /// Its name there.
    pub name: String,
    /// What is to be known.
    pub note: String,
}
