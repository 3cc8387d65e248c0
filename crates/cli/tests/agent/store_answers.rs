//! Stores that do not answer any more, before the watch of the agent notices it: no command says "in sync" of them.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tortie_testkit::limit::limit;

use super::kubernetes::{self, cluster, pod, policy};
use super::world::{World, on_a_machine, served, until};
use super::{ENDPOINT, allow};

/// After this time an answer of the store is not one of now.
const FRESH: Duration = Duration::from_secs(1);

/// How `status` ends within three seconds if it is asked more than a second after the store answered last.
fn status_after(outage: Instant, world: &World) -> (Option<i32>, String) {
    loop {
        let begun = Instant::now();
        let output = world.tortie().arg("status").output().unwrap();
        let took = begun.elapsed();
        assert!(took < limit(Duration::from_secs(3)), "{took:?}");
        if begun > outage + FRESH {
            return (output.status.code(), String::from_utf8(output.stdout).unwrap());
        }
    }
}

/// `status` says at once that the store does not answer, as text and as JSON.
fn is_told(world: &World, outage: Instant) {
    let (code, text) = status_after(outage, world);
    assert!(code == Some(1) && !text.contains("in sync"), "{text}");
    assert!(text.contains("DOES NOT ANSWER; what it said stays in force; last answer 2"), "{text}");
    assert!(text.contains("  a read "), "the reason: {text}");
    let status = world.status();
    let store = &status["store"];
    assert_eq!((&store["state"], &store["since"]), (&"not-answering".into(), &store["answered"]), "{store}");
    assert!(status["ready"] == true, "{status}");
}

fn is_in_sync(world: &World) -> bool {
    let output = world.tortie().arg("status").output().unwrap();
    output.status.success() && String::from_utf8(output.stdout).unwrap().contains(", in sync since ")
}

#[test]
fn status_says_within_three_seconds_that_an_etcd_that_was_killed_does_not_answer() {
    on_a_machine(|world| {
        world.file("felix.cfg", "HealthEnabled = true\n");
        world.start_etcd();
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert!(!world.reaches(81) && world.reaches(80));
        world.kill_etcd();
        is_told(world, Instant::now());
        assert!(!world.reaches(81) && world.reaches(80), "policy stays in force");
        assert_eq!(agent.log().matches("a client asked about the store: ").count(), 1, "{}", agent.log());
        assert!(served(9099, "/readiness").contains(" 200 "));
        world.start_etcd();
        until("it is back", || is_in_sync(world));
        world.apply(&allow(81));
        assert!(!world.reaches(80) && world.reaches(81));
    });
}

#[test]
fn status_says_within_three_seconds_that_an_etcd_that_hangs_does_not_answer_and_verify_does_not_say_in_sync() {
    on_a_machine(|world| {
        world.start_etcd();
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        world.signal_etcd(Signal::STOP);
        is_told(world, Instant::now());
        world.signal_etcd(Signal::CONT);
        until("it answers", || is_in_sync(world));
        world.signal_etcd(Signal::STOP);
        let said = world.fails(&["verify"]);
        assert!(!said.contains("in sync"), "{said}");
        assert!(!world.reaches(81) && world.reaches(80), "policy stays in force");
        world.signal_etcd(Signal::CONT);
        until("it answers again", || is_in_sync(world));
        world.apply(&allow(81));
        assert!(!world.reaches(80) && world.reaches(81));
        world.call(&["verify"]);
    });
}

#[test]
fn status_says_within_three_seconds_that_an_api_server_that_hangs_does_not_answer() {
    on_a_machine(|world| {
        let server = cluster(world);
        let (_pod, _listeners) = pod(world);
        let _agent = world.agent();
        server.kubectl(&["apply", "-f", "-"], &policy(80).to_string());
        until("the policy is in force", || !kubernetes::reaches(world, 81));
        until("the agent is in sync", || is_in_sync(world));
        server.pause();
        is_told(world, Instant::now());
        assert!(kubernetes::reaches(world, 80) && !kubernetes::reaches(world, 81), "policy stays in force");
        server.resume();
        until("it answers again", || is_in_sync(world));
    });
}

#[test]
fn status_says_within_three_seconds_that_the_file_of_a_store_is_gone() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply(ENDPOINT);
        let status = world.status();
        assert!(!status["store"]["answered"].as_str().unwrap().is_empty(), "{status}");
        let path = world.place.path().join("tortie.db");
        std::fs::rename(&path, world.place.path().join("away.db")).unwrap();
        let (code, text) = status_after(Instant::now(), world);
        assert!(code == Some(1) && !text.contains("in sync"), "{text}");
        std::fs::rename(world.place.path().join("away.db"), &path).unwrap();
        until("it is back", || is_in_sync(world));
    });
}
