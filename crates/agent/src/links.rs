//! The thread of the interfaces: all of them, whenever one changes.

use tortie_hostnet::links::{Watcher, links};
use tortie_policy::packet::Link;

use crate::board::Board;
use crate::target::chain;

/// Watches the interfaces of this network namespace until nobody listens.
pub(crate) fn run(mut watcher: Watcher, board: &Board, tell: impl Fn(Vec<Link>) -> bool, failed: impl Fn(String)) {
    let mut told: Option<Vec<Link>> = None;
    loop {
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
        if let Err(error) = watcher.wait(None) {
            failed(chain(&error));
            return;
        }
    }
}
