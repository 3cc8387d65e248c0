//! The thread of the interfaces: all of them, whenever one changes. A watcher that fails is replaced by a new one, and the
//! agent is not ready until then.

use tortie_hostnet::links::{Watcher, links};
use tortie_policy::packet::Link;

use crate::backoff::Backoff;
use crate::board::Board;
use crate::supervisor;
use crate::target::chain;

/// What the problem is named in the status.
pub(crate) const PROBLEM: &str = "interfaces";

/// Watches the interfaces of this network namespace until nobody listens.
pub(crate) fn run(mut watcher: Watcher, board: &Board, tell: impl Fn(Vec<Link>) -> bool) {
    let mut told: Option<Vec<Link>> = None;
    let mut backoff = Backoff::default();
    loop {
        let working = supervisor::working();
        let up = watcher.interfaces().values().filter(|one| one.running).map(|one| one.name.clone()).collect();
        if board.read().up != up {
            board.tell(|facts| facts.up = up);
        }
        let now = links(watcher.interfaces(), |_| true);
        if told.as_ref() != Some(&now) {
            if !tell(now.clone()) {
                return;
            }
            told = Some(now);
        }
        drop(working);
        match watcher.wait(None) {
            Ok(_) => backoff = Backoff::default(),
            Err(error) => watcher = again(chain(&error), board, &mut backoff),
        }
    }
}

/// A new watcher in the place of one that failed.
fn again(mut reason: String, board: &Board, backoff: &mut Backoff) -> Watcher {
    loop {
        log::error!("the interfaces cannot be watched, trying again: {reason}");
        board.tell(|facts| drop(facts.problems.insert(PROBLEM, reason)));
        std::thread::sleep(backoff.pause());
        backoff.longer();
        match Watcher::open() {
            Ok(watcher) => {
                log::info!("the interfaces are watched again");
                board.tell(|facts| drop(facts.problems.remove(PROBLEM)));
                return watcher;
            }
            Err(error) => reason = chain(&error),
        }
    }
}
