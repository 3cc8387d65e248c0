//! Changes that the dataplane takes, refuses, and takes in the end.

use std::sync::mpsc::sync_channel;

use tortie_dataplane::{Both, Endpoint, Fake, Host, Place, Program, ProgramId, Programs, Then};
use tortie_dataplane_nft::Damage;
use tortie_hostnet::Entered;
use tortie_policy::{Direction, EndpointId};

use super::*;
use crate::target::Look;

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

impl Target for Refusing {
    fn name(&self) -> String {
        "refusing".to_owned()
    }

    fn adopt(&mut self) -> Result<String, String> {
        Ok(String::new())
    }

    fn apply(&mut self, delta: &Delta) -> Result<(), String> {
        self.check()?;
        Target::apply(&mut self.fake, delta)
    }

    fn replace(&mut self, state: State) -> Result<(), String> {
        self.check()?;
        Target::replace(&mut self.fake, state)
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

    fn enter_open_connections(&mut self) -> Result<Entered, String> {
        *self.entered.lock().unwrap() += 1;
        self.fake.enter_open_connections()
    }

    fn watch(&mut self) -> Result<Option<Box<dyn Look>>, String> {
        Ok(None)
    }

    fn mend(&mut self, _: &Damage) -> Result<(), String> {
        Ok(())
    }

    fn set_mark_mask(&mut self, _: u32) -> Result<(), String> {
        Ok(())
    }

    fn remove(&mut self) -> Result<(), String> {
        self.check()?;
        Target::remove(&mut self.fake)
    }
}

fn prefix(text: &str) -> Delta {
    let mut host = Host::default();
    host.settings.log_prefix = text.to_owned();
    Delta { host: Some(Box::new(host)), ..Delta::default() }
}

fn mark(generation: u64) -> Mark {
    Mark { generation, position: generation.into() }
}

#[test]
fn a_change_that_cannot_be_made_is_made_with_the_next_or_by_itself() {
    let refuse = Arc::new(Mutex::new(true));
    let target: Shared = Arc::new(Mutex::new(Box::new(Refusing { refuse: refuse.clone(), ..Refusing::default() })));
    let board = Arc::new(Board::default());
    let (order, orders) = sync_channel(1);
    let (freed, free) = sync_channel(10);
    let thread = {
        let (target, board) = (target.clone(), board.clone());
        std::thread::spawn(move || {
            run(&target, &orders, &board, &Desk::new().unwrap(), || freed.send(()).unwrap(), || {})
        })
    };
    order.send(Order::Change(Box::new(prefix("one")), mark(1))).unwrap();
    free.recv_timeout(SOON).unwrap();
    assert_eq!(board.read().failing.as_deref(), Some("no room"));
    assert_eq!(board.read().in_kernel, mark(0));
    // What is empty does not pass for made while something is behind.
    order.send(Order::Change(Box::default(), mark(2))).unwrap();
    free.recv_timeout(SOON).unwrap();
    assert_eq!(board.read().in_kernel, mark(0));
    order.send(Order::Change(Box::new(prefix("three")), mark(3))).unwrap();
    free.recv_timeout(SOON).unwrap();
    *refuse.lock().unwrap() = false;
    assert!(board.wait(SOON, |facts| facts.in_kernel == mark(3)), "nobody asked again, but time did");
    assert!(board.read().is_ready());
    assert_eq!(lock(&target).state().host.as_ref().unwrap().settings.log_prefix, "three");
    order.send(Order::Stop).unwrap();
    thread.join().unwrap();
    assert!(lock(&target).state().host.is_some(), "ending leaves everything in place");
}

#[test]
fn a_removal_that_fails_leaves_everything_in_place_and_the_thread_goes_on() {
    let refuse = Arc::new(Mutex::new(false));
    let target: Shared = Arc::new(Mutex::new(Box::new(Refusing { refuse: refuse.clone(), ..Refusing::default() })));
    let board = Arc::new(Board::default());
    board.supervisor.enter();
    let (order, orders) = sync_channel(1);
    let thread = {
        let (target, board) = (target.clone(), board.clone());
        let work = move || run(&target, &orders, &board, &Desk::new().unwrap(), || {}, || {});
        supervisor::start("dataplane", supervisor::Runs::AsLongAsTheAgent, work).unwrap()
    };
    let remove = || {
        let (answer, answered) = sync_channel(1);
        order.send(Order::Remove(answer)).unwrap();
        answered.recv_timeout(SOON).unwrap()
    };
    order.send(Order::Change(Box::new(prefix("one")), mark(1))).unwrap();
    assert!(board.wait(SOON, |facts| facts.in_kernel == mark(1)));
    *refuse.lock().unwrap() = true;
    assert_eq!(remove(), Err("no room".to_owned()));
    *refuse.lock().unwrap() = false;
    order.send(Order::Change(Box::new(prefix("two")), mark(2))).unwrap();
    assert!(board.wait(SOON, |facts| facts.in_kernel == mark(2)), "changes go on");
    assert_eq!(lock(&target).state().host.as_ref().unwrap().settings.log_prefix, "two");
    assert_eq!(remove(), Ok(()));
    thread.join().unwrap();
    assert_eq!((lock(&target).state(), board.supervisor.failure()), (&State::default(), None));
}

#[test]
fn an_empty_first_change_is_made_all_the_same() {
    let target: Shared = Arc::new(Mutex::new(Box::new(Fake::new())));
    let board = Board::default();
    let mut behind = None;
    change(&target, &board, &Desk::new().unwrap(), &mut behind, Some(&Delta::default()), &mark(1));
    let seen = |board: &Board| {
        let facts = board.read();
        (facts.is_ready(), facts.in_kernel.clone(), facts.applied)
    };
    assert_eq!(seen(&board), (true, mark(1), 1));
    change(&target, &board, &Desk::new().unwrap(), &mut behind, Some(&Delta::default()), &mark(2));
    assert_eq!(seen(&board), (true, mark(2), 1));
}

/// A change that puts an endpoint that denies everything on an interface of the host.
fn host_endpoint(interface: &str) -> Delta {
    let own = interface.as_bytes()[3];
    let (ingress, egress) = (ProgramId([own; 16]), ProgramId([own + 100; 16]));
    let normal = Both { ingress, egress };
    let deny = |direction| Program { direction, tiers: Vec::new(), then: Then::Deny };
    let programs = Programs { normal, forward: Both::default(), pre_dnat: None, untracked: Both::default() };
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
        let target = Refusing { has_host_endpoints, entered: Arc::clone(&entered), ..Refusing::default() };
        let target: Shared = Arc::new(Mutex::new(Box::new(target)));
        let (board, desk, mut behind) = (Board::default(), Desk::new().unwrap(), None);
        let mut counts = Vec::new();
        for delta in [prefix("none"), host_endpoint("eth0"), host_endpoint("eth1")] {
            change(&target, &board, &desk, &mut behind, Some(&delta), &mark(1));
            counts.push(*entered.lock().unwrap());
        }
        assert_eq!(board.read().failing, None);
        assert_eq!(counts, expected, "with host endpoints of an earlier agent: {has_host_endpoints}");
    }
}

#[test]
fn open_connections_are_entered_also_when_the_first_host_endpoint_comes_with_a_change_that_waited() {
    let (refuse, entered) = (Arc::new(Mutex::new(true)), Arc::default());
    let target = Refusing { refuse: refuse.clone(), entered: Arc::clone(&entered), ..Refusing::default() };
    let target: Shared = Arc::new(Mutex::new(Box::new(target)));
    let (board, desk, mut behind) = (Board::default(), Desk::new().unwrap(), None);
    change(&target, &board, &desk, &mut behind, Some(&prefix("one")), &mark(1));
    assert_eq!(*entered.lock().unwrap(), 0);
    *refuse.lock().unwrap() = false;
    change(&target, &board, &desk, &mut behind, Some(&host_endpoint("eth0")), &mark(2));
    assert_eq!((board.read().failing.clone(), *entered.lock().unwrap()), (None, 1));
}
