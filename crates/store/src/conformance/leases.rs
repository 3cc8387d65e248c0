//! One process at a time holds a lease.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::Subject;
use super::support::PATIENCE;
use crate::{Holding, Leases};

/// Longer than a claim takes.
const LONG: Duration = Duration::from_secs(600);

fn hold(leases: &dyn Leases, name: &str, holder: &str, time: Duration) -> Holding {
    leases.hold(name, holder, time).expect("an answer")
}

/// Who asks for a held lease is told who holds it, until that one gives it up.
pub fn a_lease_is_held_until_it_is_given_up(subject: &dyn Subject) {
    const NAME: &str = "given-up";
    let (one, other) = (subject.store(), subject.store());
    let (Some(one), Some(other)) = (one.leases(), other.leases()) else { return };
    assert_eq!(hold(one, NAME, "one", LONG), Holding::Ours);
    assert_eq!(hold(one, NAME, "one", LONG), Holding::Ours, "it is renewed");
    assert_eq!(hold(other, NAME, "other", LONG), Holding::Of("one".to_owned()));
    other.release(NAME, "other").expect("it is not its to give up, which is no error");
    assert_eq!(hold(other, NAME, "other", LONG), Holding::Of("one".to_owned()));
    assert_eq!(hold(other, "given-up-2", "other", LONG), Holding::Ours, "another lease");
    one.release(NAME, "one").expect("a release");
    assert_eq!(hold(other, NAME, "other", LONG), Holding::Ours);
    assert_eq!(hold(one, NAME, "one", LONG), Holding::Of("other".to_owned()));
}

/// A holder that ends without a word loses the lease, and not before its time.
pub fn a_lease_whose_holder_has_ended_is_taken_over(subject: &dyn Subject) {
    const NAME: &str = "taken-over";
    let (one, other) = (subject.store(), subject.store());
    let time = Duration::from_secs(4);
    let Some(leases) = one.leases() else { return };
    assert_eq!(hold(leases, NAME, "one", time), Holding::Ours);
    let held = Instant::now();
    let Some(others) = other.leases() else { return };
    while held.elapsed() < time / 2 {
        let holding = hold(others, NAME, "other", time);
        // On a machine without time the answer may be of later.
        assert!(holding == Holding::Of("one".to_owned()) || held.elapsed() > time, "{holding:?}");
        thread::sleep(Duration::from_millis(100));
    }
    drop(one);
    while hold(others, NAME, "other", time) != Holding::Ours {
        assert!(held.elapsed() < PATIENCE, "the lease is still held");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Of many that ask at once one gets it.
pub fn one_of_many_gets_a_lease(subject: &dyn Subject) {
    const NAME: &str = "one-of-many";
    const MANY: usize = 8;
    let stores: Vec<_> = (0..MANY).map(|_| subject.store()).collect();
    let start = Barrier::new(MANY);
    let ask = |at: usize| {
        let leases = stores[at].leases()?;
        start.wait();
        Some(leases.hold(NAME, &format!("p{at}"), LONG).expect("an answer"))
    };
    let ask = &ask;
    let holdings: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..MANY).map(|at| scope.spawn(move || ask(at))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
    });
    let ours = holdings.iter().filter(|holding| **holding == Holding::Ours).count();
    assert!(holdings.is_empty() || ours == 1, "{holdings:?}");
}
