//! Liveness and readiness.

use std::time::{Duration, Instant};

use crate::board::{Board, Facts};
use crate::http::Answer;
use crate::links;
use crate::status::StoreState;

/// A thread that works on one thing for longer than this hangs.
const HUNG: Duration = Duration::from_secs(90);

/// Answers a probe.
pub(crate) fn answer(path: &str, board: &Board) -> Answer {
    let facts = board.read();
    match path {
        "/liveness" => match hung(&facts) {
            Some(what) => Answer::text(503, format!("{what} hangs\n")),
            None => Answer::text(200, "live\n"),
        },
        "/readiness" => {
            let (ready, words) = readiness(&facts);
            Answer::text(if ready { 200 } else { 503 }, format!("{words}\n"))
        }
        _ => Answer::text(404, "/liveness and /readiness are here\n"),
    }
}

/// Whether the kernel has what the store said when it was last heard, and a line that says so.
pub(crate) fn readiness(facts: &Facts) -> (bool, String) {
    let unwatched = facts.problems.get(links::PROBLEM);
    let words = match (facts.is_ready(), facts.failing.as_ref()) {
        (false, None) if let Some(called) = &facts.called => {
            format!("not ready: this machine is called {called} now, and the policy in force is that of another node")
        }
        (false, None) if let Some(reason) = unwatched => {
            format!("not ready: the interfaces are not watched: {reason}")
        }
        (_, Some(reason)) => format!("not ready: a change is not in force: {reason}"),
        (false, None) => format!("not ready: nothing is enforced yet; the store is {}", state(facts)),
        (true, None) => format!("ready; the store is {}", state(facts)),
    };
    (facts.is_ready(), words)
}

fn state(facts: &Facts) -> String {
    match facts.store {
        StoreState::Waiting => format!("not heard yet {}", facts.store_reason).trim_end().to_owned(),
        StoreState::InSync => "in sync".to_owned(),
        StoreState::Lost => format!("lost since {}: {}", facts.store_since, facts.store_reason),
        StoreState::Replaced => format!("replaced, and not obeyed since {}: {}", facts.store_since, facts.store_reason),
        StoreState::NotAsked => format!("not asked: {}", facts.store_reason),
        StoreState::Stale => format!("stale since {}: {}", facts.store_since, facts.store_reason),
    }
}

pub(crate) fn hung(facts: &Facts) -> Option<&'static str> {
    let now = Instant::now();
    facts.busy.iter().find(|(_, since)| now.duration_since(**since) > HUNG).map(|(what, _)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_in_the_kernel_and_stays_so_without_the_store() {
        let board = Board::default();
        assert_eq!(answer("/readiness", &board).code, 503);
        board.tell(|facts| facts.programmed = true);
        assert_eq!(answer("/readiness", &board).code, 200);
        board.tell(|facts| facts.set_store(StoreState::Lost, "t".to_owned(), "gone".to_owned()));
        let lost = answer("/readiness", &board);
        assert_eq!((lost.code, lost.body.as_str()), (200, "ready; the store is lost since t: gone\n"));
        board.tell(|facts| facts.failing = Some("no room".to_owned()));
        assert_eq!(answer("/readiness", &board).code, 503);
        assert_eq!(answer("/liveness", &board).code, 200);
        assert_eq!(answer("/", &board).code, 404);
    }

    #[test]
    fn a_thread_that_hangs_is_not_live() {
        let board = Board::default();
        let Some(long_ago) = Instant::now().checked_sub(HUNG * 2) else { return };
        board.tell(|facts| facts.busy.insert("dataplane", long_ago));
        assert_eq!(answer("/liveness", &board).code, 503);
    }
}
