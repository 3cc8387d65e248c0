//! The probes `/liveness` and `/readiness`.

use crate::http::Answer;
use crate::links;
use crate::status::StoreState;
use crate::status_cell::{StatusCell, StatusRecord};

/// Answers a probe.
pub(crate) fn answer(path: &str, status: &StatusCell) -> Answer {
    let record = status.read();
    match path {
        "/liveness" => match status.supervisor.failure() {
            Some(failure) => Answer::text(503, format!("{failure}\n")),
            None => Answer::text(200, "live\n"),
        },
        "/readiness" => {
            let (ready, words) = readiness(status, &record);
            Answer::text(if ready { 200 } else { 503 }, format!("{words}\n"))
        }
        _ => Answer::text(404, "/liveness and /readiness are here\n"),
    }
}

/// Whether the kernel has the content of the store as it was last read, and a line that says so.
pub(crate) fn readiness(status: &StatusCell, record: &StatusRecord) -> (bool, String) {
    if let Some(failure) = status.supervisor.failure() {
        return (false, format!("not ready: {failure}"));
    }
    let unwatched = record.problems.get(links::PROBLEM);
    let words = match (record.is_ready(), record.failing.as_ref()) {
        (false, None) if let Some(machine_name) = &record.unaccepted_name => {
            format!(
                "not ready: this machine is called {machine_name} now, and the policy in force is that of another node"
            )
        }
        (false, None) if let Some(reason) = unwatched => {
            format!("not ready: the interfaces are not watched: {reason}")
        }
        (_, Some(reason)) => format!("not ready: a change is not in force: {reason}"),
        (false, None) if record.adopted.is_empty() => {
            format!("not ready: nothing is enforced yet; the store is {}", state(record))
        }
        (false, None) => format!("not ready: {}; the store is {}", record.adopted, state(record)),
        (true, None) => format!("ready; the store is {}", state(record)),
    };
    (record.is_ready(), words)
}

fn state(record: &StatusRecord) -> String {
    match record.store {
        StoreState::Waiting => format!("not read yet {}", record.store_reason).trim_end().to_owned(),
        // A probe does not ask it.
        StoreState::InSync => "in sync as far as its watch says".to_owned(),
        StoreState::NotAnswering => format!("not answering since {}: {}", record.store_since, record.store_reason),
        StoreState::Missing => format!("missing since {}: {}", record.store_since, record.store_reason),
        StoreState::Lost => format!("lost since {}: {}", record.store_since, record.store_reason),
        StoreState::Replaced => {
            format!("replaced, and not followed since {}: {}", record.store_since, record.store_reason)
        }
        StoreState::NotAsked => format!("not asked: {}", record.store_reason),
        StoreState::Stale => format!("stale since {}: {}", record.store_since, record.store_reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Lifetime, start};

    #[test]
    fn the_agent_is_ready_once_policy_is_in_the_kernel_and_stays_so_without_the_store() {
        let status = StatusCell::default();
        assert_eq!(answer("/readiness", &status).code, 503);
        status.update(|record| record.programmed = true);
        assert_eq!(answer("/readiness", &status).code, 200);
        status.update(|record| record.set_store(StoreState::Lost, "t".to_owned(), "gone".to_owned()));
        let lost = answer("/readiness", &status);
        assert_eq!((lost.code, lost.body.as_str()), (200, "ready; the store is lost since t: gone\n"));
        status.update(|record| record.failing = Some("no room".to_owned()));
        assert_eq!(answer("/readiness", &status).code, 503);
        assert_eq!(answer("/liveness", &status).code, 200);
        assert_eq!(answer("/", &status).code, 404);
    }

    #[test]
    fn a_thread_that_panicked_makes_the_agent_neither_live_nor_ready() {
        let status = StatusCell::default();
        status.update(|record| record.programmed = true);
        status.supervisor.enter();
        start("links", Lifetime::AsLongAsTheAgent, || panic!("no more")).unwrap().join().unwrap();
        for path in ["/liveness", "/readiness"] {
            let reply = answer(path, &status);
            assert!(reply.code == 503 && reply.body.contains("the thread links panicked: no more"), "{}", reply.body);
        }
    }
}
