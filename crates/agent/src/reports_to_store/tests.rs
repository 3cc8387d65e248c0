//! What is reported of endpoints, and when.

use std::time::Duration;

use tortie_dataplane::{Endpoint, Fake, PerDirection, ProgramId, Programs};
use tortie_policy::packet::Link;
use tortie_policy::{GovernedInterfaces, WorkloadId};

use super::*;
use crate::status_cell::NamedInterface;

/// A status in which a node has these interfaces, the first `up` of them running.
fn record(interfaces: &[&str], up: usize) -> StatusRecord {
    let link = |name: &&str| Link { name: (*name).to_owned(), addresses: Vec::new() };
    StatusRecord {
        links: interfaces.iter().map(link).map(|link| (link.name.clone(), link)).collect(),
        up: interfaces.iter().take(up).map(|name| (*name).to_owned()).collect(),
        ..StatusRecord::default()
    }
}

fn endpoint(id: EndpointId) -> Endpoint {
    Endpoint {
        id,
        programs: Programs {
            normal: PerDirection { ingress: ProgramId([1; 16]), egress: ProgramId([1; 16]) },
            forward: PerDirection::default(),
            pre_dnat: None,
            untracked: PerDirection::default(),
        },
        addresses: Vec::new(),
        nats: Vec::new(),
        mac: String::new(),
        spoofing: Vec::new(),
        limits: Default::default(),
    }
}

#[test]
fn a_host_endpoint_is_up_if_all_its_interfaces_are_and_in_error_without_any() {
    let record = record(&["eth0", "eth1", "eth2"], 2);
    let host_place = |name: &str| Place::Host(name.to_owned());
    for (places, status) in [
        (vec![], "error"),
        (vec![host_place("gone")], "error"),
        (vec![host_place("eth0")], "up"),
        (vec![host_place("eth0"), host_place("eth1")], "up"),
        (vec![host_place("eth0"), host_place("eth2")], "down"),
        (vec![Place::AnyHost], "up"),
        (vec![Place::AnyHost, host_place("eth2")], "down"),
    ] {
        assert_eq!(host(&places.iter().collect(), &record), status, "{places:?}");
    }
}

#[test]
fn each_endpoint_has_its_path() {
    let mut record = record(&["eth0", "cali1"], 2);
    let hep = EndpointId::Host("h".to_owned());
    let wep = |name: &str| EndpointId::Workload(WorkloadId { namespace: "default".into(), name: name.into() });
    record.named_interfaces.insert(hep.clone(), NamedInterface::Host(GovernedInterfaces::Named("eth0".into())));
    record
        .named_interfaces
        .insert(wep("node1-k8s-a--b-eth0"), NamedInterface::Workload { interface: "cali1".into(), spoofs: false });
    record
        .named_interfaces
        .insert(wep("node1-k8s-c-eth0"), NamedInterface::Workload { interface: "cali2".into(), spoofs: false });
    record.named_interfaces.insert(wep("odd"), NamedInterface::Workload { interface: "cali1".into(), spoofs: false });
    let mut state = State::default();
    state.endpoints.insert(Place::Host("eth0".into()), endpoint(hep));
    state.endpoints.insert(Place::Workload("cali1".into()), endpoint(wep("node1-k8s-a--b-eth0")));
    let reported: Vec<(String, &str)> = statuses("node1", "no-region", &record, &state).into_iter().collect();
    let workloads = "/calico/felix/v2/no-region/host/node1/workload/k8s/default%2f";
    let expected = [
        ("/calico/felix/v1/host/node1/endpoint/h".to_owned(), "up"),
        (format!("{workloads}a-b/endpoint/eth0"), "up"),
        (format!("{workloads}c/endpoint/eth0"), "down"),
    ];
    assert_eq!(reported, expected);
}

/// Status reports in memory, and how often they were written.
#[derive(Default)]
struct Memory {
    values: Mutex<BTreeMap<String, Vec<u8>>>,
    writes: Mutex<usize>,
}

impl StatusReports for Memory {
    fn put(&self, path: &str, value: &[u8], _: Option<Duration>) -> Result<(), StoreError> {
        *self.writes.lock().unwrap() += 1;
        self.values.lock().unwrap().insert(path.to_owned(), value.to_vec());
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), StoreError> {
        *self.writes.lock().unwrap() += 1;
        self.values.lock().unwrap().remove(path);
        Ok(())
    }

    fn list_values(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let values = self.values.lock().unwrap();
        Ok(values.iter().filter(|(path, _)| path.starts_with(prefix)).map(|(a, b)| (a.clone(), b.clone())).collect())
    }
}

#[test]
fn only_differences_are_written_and_entries_of_an_earlier_agent_are_removed() {
    let status = Arc::new(StatusCell::default());
    let mut dataplane = Fake::new();
    let hep = EndpointId::Host("h".to_owned());
    dataplane.state.endpoints.insert(Place::AnyHost, endpoint(hep.clone()));
    status.update(|record| record.named_interfaces.insert(hep.clone(), NamedInterface::Host(GovernedInterfaces::All)));
    let dataplane: SharedDataplane = Arc::new(Mutex::new(Box::new(dataplane)));
    let opener: crate::cache::Opener = Box::new(|| Err(StoreError::Failed("not asked here".to_owned())));
    let store = CachedStore::new(opener, "s", None, status.clone(), Arc::default());
    let reporter = Reporter::new("n", status.clone(), dataplane, Arc::new(store));
    let memory = Memory::default();
    memory.put("/calico/felix/v1/host/n/endpoint/left", b"{}", None).unwrap();
    memory.put("/calico/felix/v1/host/other/endpoint/left", b"{}", None).unwrap();
    let settings = Reporting {
        alive: Some((Duration::from_secs(3600), Duration::from_secs(90))),
        endpoints: Some(Duration::from_secs(1)),
        region: String::new(),
    };
    let mut reported =
        Reported { started: Instant::now(), settings: None, alive: None, looked: None, written: BTreeMap::new() };
    reporter.write(&memory, &settings, &mut reported).unwrap();
    let paths = |memory: &Memory| memory.values.lock().unwrap().keys().cloned().collect::<Vec<_>>();
    let expected = [
        "/calico/felix/v1/host/n/endpoint/h",
        "/calico/felix/v1/host/other/endpoint/left",
        "/calico/felix/v2/no-region/host/n/last_reported_status",
        "/calico/felix/v2/no-region/host/n/status",
    ];
    assert_eq!(paths(&memory), expected);
    assert_eq!(memory.values.lock().unwrap()[expected[0]], b"{\"status\":\"up\"}");
    let alive = String::from_utf8(memory.values.lock().unwrap()[expected[3]].clone()).unwrap();
    assert!(alive.starts_with("{\"time\":\"20") && alive.ends_with(",\"first_update\":true}"), "{alive}");
    let writes = *memory.writes.lock().unwrap();
    reporter.write(&memory, &settings, &mut reported).unwrap();
    assert_eq!(*memory.writes.lock().unwrap(), writes, "nothing changed");
    status.update(|record| record.named_interfaces.clear());
    reporter.write(&memory, &settings, &mut reported).unwrap();
    assert_eq!(paths(&memory), expected[1..]);
}
