//! Liveness and readiness.

use crate::board::{Board, Facts};
use crate::http::Answer;
use crate::links;
use crate::status::StoreState;

/// Answers a probe.
pub(crate) fn answer(path: &str, board: &Board) -> Answer {
    let facts = board.read();
    match path {
        "/liveness" => match board.supervisor.failure() {
            Some(failure) => Answer::text(503, format!("{failure}\n")),
            None => Answer::text(200, "live\n"),
        },
        "/readiness" => {
            let (ready, words) = readiness(board, &facts);
            Answer::text(if ready { 200 } else { 503 }, format!("{words}\n"))
        }
        _ => Answer::text(404, "/liveness and /readiness are here\n"),
    }
}

/// Whether the kernel has what the store held when it was last read, and a line that says so.
pub(crate) fn readiness(board: &Board, facts: &Facts) -> (bool, String) {
    if let Some(failure) = board.supervisor.failure() {
        return (false, format!("not ready: {failure}"));
    }
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
        StoreState::Waiting => format!("not read yet {}", facts.store_reason).trim_end().to_owned(),
        StoreState::InSync => "in sync".to_owned(),
        StoreState::Lost => format!("lost since {}: {}", facts.store_since, facts.store_reason),
        StoreState::Replaced => format!("replaced, and not obeyed since {}: {}", facts.store_since, facts.store_reason),
        StoreState::NotAsked => format!("not asked: {}", facts.store_reason),
        StoreState::Stale => format!("stale since {}: {}", facts.store_since, facts.store_reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Runs, start};

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
    fn a_thread_that_panicked_makes_the_agent_neither_live_nor_ready() {
        let board = Board::default();
        board.tell(|facts| facts.programmed = true);
        board.supervisor.enter();
        start("links", Runs::AsLongAsTheAgent, || panic!("no more")).unwrap().join().unwrap();
        for path in ["/liveness", "/readiness"] {
            let told = answer(path, &board);
            assert!(told.code == 503 && told.body.contains("the thread links panicked: no more"), "{}", told.body);
        }
    }
}
