//! An agent whose store does not exist, or to which nothing was ever written: it enforces nothing new, and says so.

use rustix::process::Signal;

use super::world::{World, on_a_machine, served, until};
use super::{ENDPOINT, allow};

const SERVED: &str = "HealthEnabled = true\nPrometheusMetricsEnabled = true\n";

/// Whether status exits with 1, and names the store so.
fn status_tells(world: &World, state: &str, reason: &str) -> String {
    let output = world.tortie().arg("status").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(world.status()["store"]["state"], state, "{text}");
    assert!(text.contains(reason), "{text}");
    text
}

fn metric(line: &str) -> bool {
    served(9091, "/metrics").lines().any(|one| one == line)
}

/// What everything says of a store that is missing.
fn is_told_as_missing(world: &World, log: &str, reason: &str, in_force: &str) {
    let text = status_tells(world, "missing", reason);
    assert!(text.contains("DOES NOT EXIST or is empty") && text.contains(in_force), "{text}");
    assert!(!text.contains("no tortie policy applies"), "what is in force is not known to this agent: {text}");
    let ready = served(9099, "/readiness");
    assert!(ready.contains(" 503 ") && ready.contains(reason) && ready.contains(in_force), "{ready}");
    assert!(metric("tortie_store_missing 1") && metric("tortie_ready 0"), "{:?}", served(9091, "/metrics"));
    let lines = log.lines().filter(|line| line.contains(reason));
    assert_eq!(lines.count(), 1, "once in the log: {log}");
}

#[test]
fn a_store_that_does_not_exist_is_reported_as_missing_until_the_first_write() {
    on_a_machine(|world| {
        world.file("felix.cfg", SERVED);
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        let store = world.place.path().join("tortie.db");
        let reason = format!("embedded store {} does not exist", store.display());
        is_told_as_missing(world, &agent.log(), &reason, "nothing is enforced yet: the kernel had no table of tortie");
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert!(world.reaches(80) && !world.reaches(81));
        assert!(world.call(&["status"]).contains("in sync since") && metric("tortie_store_missing 0"));
        assert!(agent.log().contains("the store exists now"), "{}", agent.log());
        // A file that is removed while the agent runs is lost, not missing: what it held stays.
        std::fs::remove_file(&store).unwrap();
        until("the loss is noticed", || world.status()["store"]["state"] == "lost");
        status_tells(world, "lost", "tortie.db");
        assert!(world.reaches(80) && !world.reaches(81));
    });
}

#[test]
fn the_table_of_an_earlier_agent_stays_while_store_and_copy_are_missing() {
    on_a_machine(|world| {
        world.file("felix.cfg", SERVED);
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        agent.signal(Signal::TERM);
        assert!(agent.ended());
        std::fs::rename(world.place.path().join("tortie.db"), world.place.path().join("aside")).unwrap();
        std::fs::remove_dir_all(world.place.path().join("state")).unwrap();
        let agent = world.agent();
        is_told_as_missing(world, &agent.log(), "does not exist", "the table of an earlier agent stays in force");
        assert!(world.reaches(80) && !world.reaches(81));
        // Also when whoever starts it would accept another store: there is none to accept.
        agent.kill();
        let _agent = world.agent_with(&["--accept-store"]);
        status_tells(world, "missing", "does not exist");
        assert!(world.reaches(80) && !world.reaches(81));
    });
}

#[test]
fn an_empty_etcd_is_reported_as_missing_until_the_first_write() {
    on_a_machine(|world| {
        world.file("felix.cfg", SERVED);
        world.start_etcd();
        world.etcdctl(&["put", "/other/program", "its own"]);
        world.listen(81);
        let agent = world.agent();
        let reason = "etcd at http://127.0.0.1:2379 is empty: nothing was ever written to it";
        is_told_as_missing(world, &agent.log(), reason, "nothing is enforced yet");
        world.apply(ENDPOINT);
        assert!(!world.reaches(81));
        world.call(&["status"]);
    });
}

#[test]
fn a_file_of_zero_bytes_is_reported_as_no_store() {
    on_a_machine(|world| {
        world.file("tortie.db", "");
        let _agent = world.started(&[]);
        until("the agent answers", || world.said(&["status"]).contains("NOT READ yet"));
        let text = status_tells(world, "waiting", "it is empty");
        assert!(text.contains("nothing is enforced yet: the kernel had no table of tortie"), "{text}");
    });
}
