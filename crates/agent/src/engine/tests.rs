//! What the engine's thread sends to the dataplane for what it receives, without a kernel.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::json;
use tortie_api::{Key, Kind, Object};
use tortie_dataplane::{Place, State};
use tortie_sync::{Replacement, Unreadable};

use super::*;
use crate::status::Progress;

const SOON: Duration = Duration::from_secs(20);

/// An engine's thread with this test in place of everything around it.
struct EngineHarness {
    inputs: SyncSender<Input>,
    requests: Receiver<ApplyRequest>,
    agent: Receiver<AgentSettings>,
    status: Arc<StatusCell>,
    state: State,
    revision: u64,
}

impl EngineHarness {
    fn new(local: Local) -> Self {
        let (inputs, received) = sync_channel(100);
        let (apply, requests) = sync_channel(1);
        let (applied, agent) = sync_channel(100);
        let status = Arc::new(StatusCell::default());
        let engine = NodeEngine::new("n", local, status.clone(), PlacementWriter::new().0);
        std::thread::spawn(move || engine.run(&received, &apply, |settings| applied.send(settings.clone()).unwrap()));
        Self { inputs, requests, agent, status, state: State::default(), revision: 0 }
    }

    /// One that has a host endpoint `h` for eth0 and no policy, in sync.
    fn with_endpoint() -> Self {
        let mut harness = Self::new(Local::default());
        harness.put(Kind::HostEndpoint, "h", json!({ "node": "n", "interfaceName": "eth0" }));
        harness.links();
        harness.in_sync();
        harness.take();
        harness
    }

    fn send(&self, input: Input) {
        self.inputs.send(input).unwrap();
    }

    fn changes(&mut self, changes: Vec<Change>) {
        self.revision += 1;
        self.send(Input::Store(Message::Changes(changes, self.revision.into())));
    }

    fn put(&mut self, kind: Kind, name: &str, spec: serde_json::Value) {
        let mut object = Object::new(Key::cluster(kind, name));
        object.body.insert("spec".to_owned(), spec);
        let content = match kind {
            Kind::FelixConfiguration => Content::Settings(Box::new(object)),
            _ => Content::Item(Box::new(Item::try_from(&object).unwrap())),
        };
        self.changes(vec![Change { key: Key::cluster(kind, name), content, unreadable: None }]);
    }

    fn gone(&mut self, kind: Kind, name: &str) {
        self.changes(vec![Change { key: Key::cluster(kind, name), content: Content::Gone, unreadable: None }]);
    }

    fn links(&self) {
        self.send(Input::Links(vec![(
            "eth0".to_owned(),
            Some(links::InterfaceState { addresses: Vec::new(), running: true }),
        )]));
    }

    fn in_sync(&self) {
        self.send(Input::Store(Message::InSync(self.revision.into())));
    }

    /// Takes the next change, as a dataplane that is free afterwards.
    fn take(&mut self) -> Progress {
        let mark = self.hold();
        self.send(Input::DataplaneIdle);
        mark
    }

    /// Takes the next change, as a dataplane that goes on working.
    fn hold(&mut self) -> Progress {
        match self.requests.recv_timeout(SOON).unwrap() {
            ApplyRequest::Change(delta, mark) => {
                self.state.apply(&delta).unwrap();
                mark
            }
            _ => panic!("no change"),
        }
    }

    /// Takes changes until everything that was sent is in force.
    fn catch_up(&mut self) {
        let position = self.revision.into();
        while !self.take().position.has_reached(&position) {}
    }

    fn settings(&self) -> &Settings {
        &self.state.host.as_ref().unwrap().settings
    }
}

#[test]
fn nothing_is_sent_before_store_and_interfaces_are_known() {
    let mut harness = EngineHarness::new(Local::default());
    harness.put(Kind::HostEndpoint, "h", json!({ "node": "n", "interfaceName": "eth0" }));
    harness.links();
    assert!(harness.requests.try_recv().is_err());
    harness.in_sync();
    let mark = harness.take();
    assert_eq!(mark.position, 1.into());
    assert!(harness.state.endpoints.contains_key(&Place::Host("eth0".to_owned())));
}

#[test]
fn updates_that_arrive_while_the_dataplane_works_are_one_change() {
    let mut harness = EngineHarness::with_endpoint();
    harness.put(Kind::GlobalNetworkPolicy, "p0", json!({}));
    let first = harness.hold();
    for name in ["p1", "p2", "p3"] {
        harness.put(Kind::GlobalNetworkPolicy, name, json!({}));
    }
    // The engine has heard all of it when what it wants says so.
    assert!(harness.status.wait(SOON, |record| record.wanted.position == 5.into()));
    assert!(harness.requests.try_recv().is_err(), "the dataplane is not free");
    harness.send(Input::DataplaneIdle);
    let second = harness.take();
    assert_eq!((first.position, second.position), (2.into(), 5.into()));
    assert_eq!(harness.state.rules.len(), 8);
}

#[test]
fn changes_are_sent_after_a_removal_which_may_fail() {
    let mut harness = EngineHarness::with_endpoint();
    let (answer, _answered) = sync_channel(1);
    harness.send(Input::Remove(answer));
    assert!(matches!(harness.requests.recv_timeout(SOON).unwrap(), ApplyRequest::Remove(_)));
    harness.put(Kind::GlobalNetworkPolicy, "p0", json!({}));
    assert_eq!(harness.take().position, 2.into());
}

#[test]
fn settings_follow_the_store() {
    let mut harness = EngineHarness::with_endpoint();
    assert_eq!(harness.agent.recv_timeout(SOON).unwrap().health, None);
    harness.put(
        Kind::FelixConfiguration,
        "node.n",
        json!({ "vxlanPort": 5, "healthEnabled": true, "bpfEnabled": true }),
    );
    harness.catch_up();
    assert_eq!(harness.settings().vxlan_port, 5);
    assert!(harness.agent.recv_timeout(SOON).unwrap().health.is_some());
    assert_eq!(harness.status.read().settings[0].name, "bpfEnabled");
    harness.gone(Kind::FelixConfiguration, "node.n");
    harness.catch_up();
    assert_eq!(harness.settings().vxlan_port, 4789);
    assert!(harness.status.read().settings.is_empty());
}

#[test]
fn a_configuration_that_nothing_can_replace_is_not_in_force_and_is_reported() {
    let mut harness = EngineHarness::with_endpoint();
    harness.put(Kind::FelixConfiguration, "default", json!({ "vxlanPort": 5 }));
    harness.catch_up();
    let unreadable =
        Unreadable { revision: 2.into(), reasons: vec!["no".to_owned()], replacement: Replacement::Nothing };
    let key = Key::cluster(Kind::FelixConfiguration, "default");
    harness.changes(vec![Change { unreadable: Some(unreadable), ..Change::deleted(key.clone()) }]);
    harness.catch_up();
    assert_eq!(harness.settings().vxlan_port, 4789);
    assert!(harness.status.read().unreadable.contains_key(&key));
}

#[test]
fn labels_of_the_node_choose_the_configuration_and_pools_the_tunnels() {
    let mut harness = EngineHarness::with_endpoint();
    harness.put(Kind::FelixConfiguration, "edge", json!({ "nodeSelector": "role == 'edge'", "vxlanPort": 6 }));
    harness.put(Kind::IPPool, "pool", json!({ "cidr": "10.0.0.0/16", "vxlanMode": "Always" }));
    harness.catch_up();
    assert_eq!((harness.settings().vxlan_port, harness.settings().vxlan), (4789, true));
    let is_noted = |harness: &EngineHarness| {
        harness.status.read().notes.get("tunnels").is_some_and(|note| note.contains("VXLAN (IPPool pool)"))
    };
    assert!(is_noted(&harness));
    let mut node = Object::new(Key::cluster(Kind::Node, "n"));
    node.metadata.labels.insert("role".to_owned(), "edge".to_owned());
    let item = Item::try_from(&node).unwrap();
    let content = Content::Item(Box::new(item));
    harness.changes(vec![Change { key: node.key(), content, unreadable: None }]);
    harness.gone(Kind::IPPool, "pool");
    harness.catch_up();
    assert_eq!((harness.settings().vxlan_port, harness.settings().vxlan), (6, false));
    assert!(!is_noted(&harness));
}

#[test]
fn losing_the_store_sends_nothing_to_the_dataplane() {
    let mut harness = EngineHarness::with_endpoint();
    harness.send(Input::Store(Message::Lost("gone".to_owned())));
    assert!(harness.status.wait(SOON, |record| record.store == StoreState::Lost));
    harness.changes(Vec::new());
    assert!(harness.status.wait(SOON, |record| record.store == StoreState::InSync));
    let before = harness.state.clone();
    harness.catch_up();
    assert_eq!(harness.state, before);
}

#[test]
fn the_built_in_profile_exists_and_returns_after_a_deletion() {
    let mut harness = EngineHarness::with_endpoint();
    let profiles = json!({ "node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"] });
    harness.put(Kind::HostEndpoint, "h", profiles);
    harness.catch_up();
    assert_eq!(harness.state.rules.len(), 2);
    harness.gone(Kind::Profile, "projectcalico-default-allow");
    harness.catch_up();
    assert_eq!(harness.state.rules.len(), 2);
}

#[test]
fn objects_are_counted_once_each() {
    let mut harness = EngineHarness::with_endpoint();
    for _ in 0..2 {
        harness.put(Kind::Tier, "t", json!({}));
        harness.catch_up();
        assert_eq!(harness.status.read().counts[&Kind::Tier], 1);
    }
    harness.gone(Kind::Tier, "t");
    harness.gone(Kind::Tier, "never-was");
    harness.catch_up();
    assert_eq!(harness.status.read().counts[&Kind::Tier], 0);
}

#[test]
fn rules_with_services_are_reported_while_the_store_has_none() {
    let mut harness = EngineHarness::with_endpoint();
    let problem = |harness: &EngineHarness| harness.status.read().problems.get("services in rules").cloned();
    let rules = json!({ "egress": [{ "action": "Allow", "destination": { "services": { "name": "dns", "namespace": "x" } } }] });
    harness.put(Kind::GlobalNetworkPolicy, "p", rules);
    harness.catch_up();
    let said = problem(&harness).unwrap();
    assert_eq!(said, "GlobalNetworkPolicy(p): the store has no services, so these rules match nothing");
    let slice = json!({ "service": "dns", "addresses": ["10.0.0.1"], "ports": [{ "protocol": "UDP", "port": 53 }] });
    harness.put(Kind::KubernetesEndpointSlice, "s", slice);
    harness.catch_up();
    assert_eq!(problem(&harness), None);
    harness.gone(Kind::KubernetesEndpointSlice, "s");
    harness.catch_up();
    assert!(problem(&harness).is_some());
    harness.gone(Kind::GlobalNetworkPolicy, "p");
    harness.catch_up();
    assert_eq!(problem(&harness), None);
}

#[test]
fn limits_of_bandwidth_and_classes_of_service_are_noted_as_long_as_an_endpoint_asks_for_them() {
    let mut harness = EngineHarness::with_endpoint();
    let notes = |harness: &EngineHarness| {
        let record = harness.status.read();
        [unsupported_features::BANDWIDTH, unsupported_features::DSCP].map(|what| record.notes.get(what).cloned())
    };
    let spec = |qos: serde_json::Value| {
        json!({
            "node": "n", "orchestrator": "cni", "containerID": "w", "endpoint": "eth0", "interfaceName": "cali1",
            "ipNetworks": ["10.65.0.2/32"], "qosControls": qos
        })
    };
    harness.put(Kind::WorkloadEndpoint, "n-cni-w-eth0", spec(json!({ "egressBandwidth": 1_000_000, "dscp": 10 })));
    harness.catch_up();
    let [bandwidth, dscp] = notes(&harness).map(Option::unwrap);
    assert!(bandwidth.contains("n-cni-w-eth0") && bandwidth == dscp, "{bandwidth} {dscp}");
    harness.put(Kind::WorkloadEndpoint, "n-cni-w-eth0", spec(json!({ "ingressPacketRate": 100 })));
    harness.catch_up();
    assert_eq!(notes(&harness), [None, None]);
    harness.put(Kind::WorkloadEndpoint, "n-cni-w-eth0", spec(json!({ "ingressBandwidth": 1_000_000 })));
    harness.gone(Kind::WorkloadEndpoint, "n-cni-w-eth0");
    harness.catch_up();
    assert_eq!(notes(&harness), [None, None]);
}

#[test]
fn a_tier_that_has_policies_and_does_not_exist_is_noted_until_it_does() {
    let mut harness = EngineHarness::with_endpoint();
    let note = |harness: &EngineHarness| harness.status.read().notes.get("tiers that do not exist").cloned();
    harness.put(Kind::GlobalNetworkPolicy, "p", json!({ "tier": "default", "selector": "all()" }));
    harness.catch_up();
    assert_eq!(note(&harness), None, "without any tier all policies have one place");
    harness.put(Kind::GlobalNetworkPolicy, "p", json!({ "tier": "typo", "selector": "all()" }));
    harness.catch_up();
    assert!(note(&harness).is_some_and(|note| note.starts_with("the tier `typo` does not exist")));
    assert_eq!(harness.status.read().missing_tiers.iter().collect::<Vec<_>>(), ["typo"]);
    harness.put(Kind::GlobalNetworkPolicy, "p", json!({ "tier": "kube-admin", "selector": "all()" }));
    harness.catch_up();
    assert!(note(&harness).is_some_and(|note| note.starts_with("the tier `kube-admin` does not exist")));
    harness.put(Kind::Tier, "kube-admin", json!({ "order": 1_000, "defaultAction": "Pass" }));
    harness.catch_up();
    assert_eq!(note(&harness), None);
    harness.gone(Kind::Tier, "kube-admin");
    harness.catch_up();
    assert!(note(&harness).is_some());
    harness.put(Kind::GlobalNetworkPolicy, "q", json!({ "tier": "kube-baseline", "selector": "all()" }));
    harness.catch_up();
    assert_eq!(note(&harness).map(|note| note.lines().count()), Some(2), "a line for each");
    harness.gone(Kind::GlobalNetworkPolicy, "q");
    harness.gone(Kind::GlobalNetworkPolicy, "p");
    harness.catch_up();
    assert_eq!(note(&harness), None);
}
