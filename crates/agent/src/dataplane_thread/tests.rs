//! Changes that the dataplane takes, refuses, and takes in the end.

use std::sync::mpsc::sync_channel;

use tortie_dataplane::{Endpoint, Fake, HostState, PerDirection, Place, Program, ProgramEnd, ProgramId, Programs};
use tortie_dataplane_nft::Damage;
use tortie_hostnet::EnterReport;
use tortie_policy::{Direction, EndpointId};

use super::*;
use crate::dataplane::DamageWatch;

const SOON: Duration = Duration::from_secs(20);

/// A fake that refuses as long as it is told to.
#[derive(Default)]
struct Refusing {
    fake: Fake,
    refuse: Arc<Mutex<bool>>,
    /// An earlier agent left host endpoints in force.
    has_host_endpoints: bool,
    /// How often open connections were entered.
    entered: Arc<Mutex<usize>>,
}

impl Refusing {
    fn check(&self) -> Result<(), String> {
        if *self.refuse.lock().unwrap() { Err("no room".to_owned()) } else { Ok(()) }
    }
}

impl NodeDataplane for Refusing {
    fn name(&self) -> String {
        "refusing".to_owned()
    }

    fn adopt(&mut self) -> Result<String, String> {
        Ok(String::new())
    }

    fn apply(&mut self, delta: &Delta) -> Result<(), String> {
        self.check()?;
        NodeDataplane::apply(&mut self.fake, delta)
    }

    fn replace(&mut self, state: State) -> Result<(), String> {
        self.check()?;
        NodeDataplane::replace(&mut self.fake, state)
    }

    fn state(&self) -> &State {
        &self.fake.state
    }

    fn refused(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn has_host_endpoints(&mut self) -> Result<bool, String> {
        Ok(self.has_host_endpoints)
    }

    fn enter_open_connections(&mut self) -> Result<EnterReport, String> {
        *self.entered.lock().unwrap() += 1;
        self.fake.enter_open_connections()
    }

    fn watch(&mut self) -> Result<Option<Box<dyn DamageWatch>>, String> {
        Ok(None)
    }

    fn repair_damage(&mut self, _: &Damage) -> Result<(), String> {
        Ok(())
    }

    fn set_off(&mut self, _: bool) -> Result<(), String> {
        Ok(())
    }

    fn log_denied(&mut self, _: Option<u16>) -> Result<(), String> {
        Ok(())
    }

    fn set_mark_mask(&mut self, _: u32) -> Result<(), String> {
        Ok(())
    }

    fn remove(&mut self) -> Result<(), String> {
        self.check()?;
        NodeDataplane::remove(&mut self.fake)
    }
}

fn prefix(text: &str) -> Delta {
    let mut host = HostState::default();
    host.settings.log_prefix = text.to_owned();
    Delta { host: Some(Box::new(host)), ..Delta::default() }
}

fn mark(generation: u64) -> Progress {
    Progress { generation, position: generation.into() }
}

#[test]
fn a_change_that_fails_is_made_with_the_next_or_by_itself() {
    let refuse = Arc::new(Mutex::new(true));
    let dataplane: SharedDataplane =
        Arc::new(Mutex::new(Box::new(Refusing { refuse: refuse.clone(), ..Refusing::default() })));
    let status = Arc::new(StatusCell::default());
    let (apply, requests) = sync_channel(1);
    let (freed, free) = sync_channel(10);
    let thread = {
        let (dataplane, status) = (dataplane.clone(), status.clone());
        std::thread::spawn(move || {
            run(&dataplane, &requests, &status, &NetworkQueue::new().unwrap(), || freed.send(()).unwrap(), || {})
        })
    };
    apply.send(ApplyRequest::Change(Box::new(prefix("one")), mark(1))).unwrap();
    free.recv_timeout(SOON).unwrap();
    assert_eq!(status.read().failing.as_deref(), Some("no room"));
    assert_eq!(status.read().in_kernel, mark(0));
    // What is empty does not pass for made while something is pending.
    apply.send(ApplyRequest::Change(Box::default(), mark(2))).unwrap();
    free.recv_timeout(SOON).unwrap();
    assert_eq!(status.read().in_kernel, mark(0));
    apply.send(ApplyRequest::Change(Box::new(prefix("three")), mark(3))).unwrap();
    free.recv_timeout(SOON).unwrap();
    *refuse.lock().unwrap() = false;
    assert!(status.wait(SOON, |record| record.in_kernel == mark(3)), "nobody asked again, but time did");
    assert!(status.read().is_ready());
    assert_eq!(lock(&dataplane).state().host.as_ref().unwrap().settings.log_prefix, "three");
    apply.send(ApplyRequest::Stop).unwrap();
    thread.join().unwrap();
    assert!(lock(&dataplane).state().host.is_some(), "ending leaves everything in place");
}

#[test]
fn a_removal_that_fails_leaves_everything_in_place_and_the_thread_continues() {
    let refuse = Arc::new(Mutex::new(false));
    let dataplane: SharedDataplane =
        Arc::new(Mutex::new(Box::new(Refusing { refuse: refuse.clone(), ..Refusing::default() })));
    let status = Arc::new(StatusCell::default());
    status.supervisor.enter();
    let (apply, requests) = sync_channel(1);
    let thread = {
        let (dataplane, status) = (dataplane.clone(), status.clone());
        let work = move || run(&dataplane, &requests, &status, &NetworkQueue::new().unwrap(), || {}, || {});
        supervisor::start("dataplane", supervisor::Lifetime::AsLongAsTheAgent, work).unwrap()
    };
    let remove = || {
        let (answer, answered) = sync_channel(1);
        apply.send(ApplyRequest::Remove(answer)).unwrap();
        answered.recv_timeout(SOON).unwrap()
    };
    apply.send(ApplyRequest::Change(Box::new(prefix("one")), mark(1))).unwrap();
    assert!(status.wait(SOON, |record| record.in_kernel == mark(1)));
    *refuse.lock().unwrap() = true;
    assert_eq!(remove(), Err("no room".to_owned()));
    *refuse.lock().unwrap() = false;
    apply.send(ApplyRequest::Change(Box::new(prefix("two")), mark(2))).unwrap();
    assert!(status.wait(SOON, |record| record.in_kernel == mark(2)), "changes go on");
    assert_eq!(lock(&dataplane).state().host.as_ref().unwrap().settings.log_prefix, "two");
    assert_eq!(remove(), Ok(()));
    thread.join().unwrap();
    assert_eq!((lock(&dataplane).state(), status.supervisor.failure()), (&State::default(), None));
}

#[test]
fn an_empty_first_change_is_made_too() {
    let dataplane: SharedDataplane = Arc::new(Mutex::new(Box::new(Fake::new())));
    let status = StatusCell::default();
    let mut pending = None;
    change(&dataplane, &status, &NetworkQueue::new().unwrap(), &mut pending, Some(&Delta::default()), &mark(1));
    let seen = |status: &StatusCell| {
        let record = status.read();
        (record.is_ready(), record.in_kernel.clone(), record.applied)
    };
    assert_eq!(seen(&status), (true, mark(1), 1));
    change(&dataplane, &status, &NetworkQueue::new().unwrap(), &mut pending, Some(&Delta::default()), &mark(2));
    assert_eq!(seen(&status), (true, mark(2), 1));
}

/// A change that puts an endpoint that denies everything on an interface of the host.
fn host_endpoint(interface: &str) -> Delta {
    let own = interface.as_bytes()[3];
    let (ingress, egress) = (ProgramId([own; 16]), ProgramId([own + 100; 16]));
    let normal = PerDirection { ingress, egress };
    let deny = |direction| Program { direction, tiers: Vec::new(), then: ProgramEnd::Deny };
    let programs =
        Programs { normal, forward: PerDirection::default(), pre_dnat: None, untracked: PerDirection::default() };
    let endpoint = Endpoint {
        id: EndpointId::Host(interface.to_owned()),
        programs,
        addresses: Vec::new(),
        nats: Vec::new(),
        mac: String::new(),
        spoofing: Vec::new(),
        limits: Default::default(),
    };
    Delta {
        programs_made: vec![(ingress, deny(Direction::Ingress)), (egress, deny(Direction::Egress))],
        endpoints_put: vec![(Place::Host(interface.to_owned()), endpoint)],
        ..prefix("")
    }
}

#[test]
fn open_connections_are_entered_before_the_first_host_endpoint_and_not_when_some_are_in_force() {
    for (has_host_endpoints, expected) in [(false, [0, 1, 1]), (true, [0, 0, 0])] {
        let entered = Arc::default();
        let dataplane = Refusing { has_host_endpoints, entered: Arc::clone(&entered), ..Refusing::default() };
        let dataplane: SharedDataplane = Arc::new(Mutex::new(Box::new(dataplane)));
        let (status, network_queue, mut pending) = (StatusCell::default(), NetworkQueue::new().unwrap(), None);
        let mut counts = Vec::new();
        for delta in [prefix("none"), host_endpoint("eth0"), host_endpoint("eth1")] {
            change(&dataplane, &status, &network_queue, &mut pending, Some(&delta), &mark(1));
            counts.push(*entered.lock().unwrap());
        }
        assert_eq!(status.read().failing, None);
        assert_eq!(counts, expected, "with host endpoints of an earlier agent: {has_host_endpoints}");
    }
}

#[test]
fn open_connections_are_entered_also_when_the_first_host_endpoint_comes_with_a_change_that_waited() {
    let (refuse, entered) = (Arc::new(Mutex::new(true)), Arc::default());
    let dataplane = Refusing { refuse: refuse.clone(), entered: Arc::clone(&entered), ..Refusing::default() };
    let dataplane: SharedDataplane = Arc::new(Mutex::new(Box::new(dataplane)));
    let (status, network_queue, mut pending) = (StatusCell::default(), NetworkQueue::new().unwrap(), None);
    change(&dataplane, &status, &network_queue, &mut pending, Some(&prefix("one")), &mark(1));
    assert_eq!(*entered.lock().unwrap(), 0);
    *refuse.lock().unwrap() = false;
    change(&dataplane, &status, &network_queue, &mut pending, Some(&host_endpoint("eth0")), &mark(2));
    assert_eq!((status.read().failing.clone(), *entered.lock().unwrap()), (None, 1));
}
