//! What the engine's thread makes of what it is told, without a kernel.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde_json::json;
use tortie_api::{Key, Kind, Object};
use tortie_dataplane::{Place, State};
use tortie_sync::{Replacement, Unreadable};

use super::*;
use crate::status::Mark;

const SOON: Duration = Duration::from_secs(20);

/// An engine's thread with this test in place of everything around it.
struct Around {
    tell: SyncSender<Input>,
    requests: Receiver<ApplyRequest>,
    agent: Receiver<AgentSettings>,
    status: Arc<StatusCell>,
    state: State,
    revision: u64,
}

impl Around {
    fn new(local: Local) -> Self {
        let (tell, told) = sync_channel(100);
        let (apply, requests) = sync_channel(1);
        let (settled, agent) = sync_channel(100);
        let status = Arc::new(StatusCell::default());
        let mind = NodeEngine::new("n", local, status.clone());
        std::thread::spawn(move || mind.run(&told, &apply, |settings| settled.send(settings.clone()).unwrap()));
        Self { tell, requests, agent, status, state: State::default(), revision: 0 }
    }

    /// One that has a host endpoint `h` for eth0 and no policy, in sync.
    fn with_endpoint() -> Self {
        let mut around = Self::new(Local::default());
        around.put(Kind::HostEndpoint, "h", json!({ "node": "n", "interfaceName": "eth0" }));
        around.links();
        around.in_sync();
        around.take();
        around
    }

    fn tell(&self, input: Input) {
        self.tell.send(input).unwrap();
    }

    fn changes(&mut self, changes: Vec<Change>) {
        self.revision += 1;
        self.tell(Input::Store(Message::Changes(changes, self.revision.into())));
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
        self.tell(Input::Links(vec![(
            "eth0".to_owned(),
            Some(links::InterfaceState { addresses: Vec::new(), running: true }),
        )]));
    }

    fn in_sync(&self) {
        self.tell(Input::Store(Message::InSync(self.revision.into())));
    }

    /// Takes the next change, as a dataplane that is free afterwards.
    fn take(&mut self) -> Mark {
        let mark = self.hold();
        self.tell(Input::DataplaneIdle);
        mark
    }

    /// Takes the next change, as a dataplane that goes on working.
    fn hold(&mut self) -> Mark {
        match self.requests.recv_timeout(SOON).unwrap() {
            ApplyRequest::Change(delta, mark) => {
                self.state.apply(&delta).unwrap();
                mark
            }
            _ => panic!("no change"),
        }
    }

    /// Takes changes until everything that was told is in force.
    fn catch_up(&mut self) {
        let position = self.revision.into();
        while !self.take().position.has_reached(&position) {}
    }

    fn settings(&self) -> &Settings {
        &self.state.host.as_ref().unwrap().settings
    }
}

#[test]
fn nothing_is_told_before_store_and_interfaces_are_known() {
    let mut around = Around::new(Local::default());
    around.put(Kind::HostEndpoint, "h", json!({ "node": "n", "interfaceName": "eth0" }));
    around.links();
    assert!(around.requests.try_recv().is_err());
    around.in_sync();
    let mark = around.take();
    assert_eq!(mark.position, 1.into());
    assert!(around.state.endpoints.contains_key(&Place::Host("eth0".to_owned())));
}

#[test]
fn what_comes_while_the_dataplane_works_is_one_change() {
    let mut around = Around::with_endpoint();
    around.put(Kind::GlobalNetworkPolicy, "p0", json!({}));
    let first = around.hold();
    for name in ["p1", "p2", "p3"] {
        around.put(Kind::GlobalNetworkPolicy, name, json!({}));
    }
    // The engine has heard all of it when what it wants says so.
    assert!(around.status.wait(SOON, |record| record.wanted.position == 5.into()));
    assert!(around.requests.try_recv().is_err(), "the dataplane is not free");
    around.tell(Input::DataplaneIdle);
    let second = around.take();
    assert_eq!((first.position, second.position), (2.into(), 5.into()));
    assert_eq!(around.state.rules.len(), 8);
}

#[test]
fn changes_go_on_behind_a_removal_which_may_fail() {
    let mut around = Around::with_endpoint();
    let (answer, _answered) = sync_channel(1);
    around.tell(Input::Remove(answer));
    assert!(matches!(around.requests.recv_timeout(SOON).unwrap(), ApplyRequest::Remove(_)));
    around.put(Kind::GlobalNetworkPolicy, "p0", json!({}));
    assert_eq!(around.take().position, 2.into());
}

#[test]
fn settings_come_from_the_store_and_go_with_it() {
    let mut around = Around::with_endpoint();
    assert_eq!(around.agent.recv_timeout(SOON).unwrap().health, None);
    around.put(
        Kind::FelixConfiguration,
        "node.n",
        json!({ "vxlanPort": 5, "healthEnabled": true, "bpfEnabled": true }),
    );
    around.catch_up();
    assert_eq!(around.settings().vxlan_port, 5);
    assert!(around.agent.recv_timeout(SOON).unwrap().health.is_some());
    assert_eq!(around.status.read().settings[0].name, "bpfEnabled");
    around.gone(Kind::FelixConfiguration, "node.n");
    around.catch_up();
    assert_eq!(around.settings().vxlan_port, 4789);
    assert!(around.status.read().settings.is_empty());
}

#[test]
fn a_configuration_that_nothing_can_replace_is_not_in_force_and_is_told() {
    let mut around = Around::with_endpoint();
    around.put(Kind::FelixConfiguration, "default", json!({ "vxlanPort": 5 }));
    around.catch_up();
    let unreadable =
        Unreadable { revision: 2.into(), reasons: vec!["no".to_owned()], replacement: Replacement::Nothing };
    let key = Key::cluster(Kind::FelixConfiguration, "default");
    around.changes(vec![Change { unreadable: Some(unreadable), ..Change::deleted(key.clone()) }]);
    around.catch_up();
    assert_eq!(around.settings().vxlan_port, 4789);
    assert!(around.status.read().unreadable.contains_key(&key));
}

#[test]
fn labels_of_the_node_choose_the_configuration_and_pools_the_tunnels() {
    let mut around = Around::with_endpoint();
    around.put(Kind::FelixConfiguration, "edge", json!({ "nodeSelector": "role == 'edge'", "vxlanPort": 6 }));
    around.put(Kind::IPPool, "pool", json!({ "cidr": "10.0.0.0/16", "vxlanMode": "Always" }));
    around.catch_up();
    assert_eq!((around.settings().vxlan_port, around.settings().vxlan), (4789, true));
    let is_noted = |around: &Around| {
        around.status.read().notes.get("tunnels").is_some_and(|note| note.contains("VXLAN (IPPool pool)"))
    };
    assert!(is_noted(&around));
    let mut node = Object::new(Key::cluster(Kind::Node, "n"));
    node.metadata.labels.insert("role".to_owned(), "edge".to_owned());
    let item = Item::try_from(&node).unwrap();
    let content = Content::Item(Box::new(item));
    around.changes(vec![Change { key: node.key(), content, unreadable: None }]);
    around.gone(Kind::IPPool, "pool");
    around.catch_up();
    assert_eq!((around.settings().vxlan_port, around.settings().vxlan), (6, false));
    assert!(!is_noted(&around));
}

#[test]
fn losing_the_store_tells_the_dataplane_nothing() {
    let mut around = Around::with_endpoint();
    around.tell(Input::Store(Message::Lost("gone".to_owned())));
    assert!(around.status.wait(SOON, |record| record.store == StoreState::Lost));
    around.changes(Vec::new());
    assert!(around.status.wait(SOON, |record| record.store == StoreState::InSync));
    let before = around.state.clone();
    around.catch_up();
    assert_eq!(around.state, before);
}

#[test]
fn the_built_in_profile_is_there_and_comes_back() {
    let mut around = Around::with_endpoint();
    let profiles = json!({ "node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"] });
    around.put(Kind::HostEndpoint, "h", profiles);
    around.catch_up();
    assert_eq!(around.state.rules.len(), 2);
    around.gone(Kind::Profile, "projectcalico-default-allow");
    around.catch_up();
    assert_eq!(around.state.rules.len(), 2);
}

#[test]
fn objects_are_counted_once_each() {
    let mut around = Around::with_endpoint();
    for _ in 0..2 {
        around.put(Kind::Tier, "t", json!({}));
        around.catch_up();
        assert_eq!(around.status.read().counts[&Kind::Tier], 1);
    }
    around.gone(Kind::Tier, "t");
    around.gone(Kind::Tier, "never-was");
    around.catch_up();
    assert_eq!(around.status.read().counts[&Kind::Tier], 0);
}

#[test]
fn rules_that_nothing_here_can_answer_are_told_of() {
    let mut around = Around::with_endpoint();
    let problem = |around: &Around| around.status.read().problems.get("services in rules").cloned();
    let rules = json!({ "egress": [{ "action": "Allow", "destination": { "services": { "name": "dns", "namespace": "x" } } }] });
    around.put(Kind::GlobalNetworkPolicy, "p", rules);
    around.catch_up();
    let said = problem(&around).unwrap();
    assert_eq!(said, "GlobalNetworkPolicy(p): the store has no services, so these rules match nothing");
    let slice = json!({ "service": "dns", "addresses": ["10.0.0.1"], "ports": [{ "protocol": "UDP", "port": 53 }] });
    around.put(Kind::KubernetesEndpointSlice, "s", slice);
    around.catch_up();
    assert_eq!(problem(&around), None);
    around.gone(Kind::KubernetesEndpointSlice, "s");
    around.catch_up();
    assert!(problem(&around).is_some());
    around.gone(Kind::GlobalNetworkPolicy, "p");
    around.catch_up();
    assert_eq!(problem(&around), None);
}
