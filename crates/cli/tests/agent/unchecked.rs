//! The lock-out guard where it cannot find out what it must know: over SSH nothing is written then, and from elsewhere it is.

use std::process::Output;

use super::lock_out::over_ssh;
use super::world::{World, on_a_machine, until};

const SET: &str = "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: set}}";

/// A call by a session whose server is another machine.
fn from_elsewhere(world: &World, arguments: &[&str]) -> Output {
    world.tortie().env("SSH_CONNECTION", "192.0.2.99 50000 203.0.113.5 2222").args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_change_over_ssh_that_the_guard_cannot_check_is_not_made_unless_the_user_insists() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let file = world.file("set.yaml", SET);
        let file = file.to_str().unwrap();
        world.call(&["apply", "-f", file]);
        let backup = world.place.path().join("backup.tortie");
        let backup = backup.to_str().unwrap();
        world.call(&["backup", backup]);
        let changed = world.file("changed.yaml", &SET.replace("name: set", "name: set, labels: {a: b}"));
        let changed = changed.to_str().unwrap();
        let content = || world.call(&["get", "gnetsets", "-o", "yaml"]);
        let before = content();
        let why = "the lock-out guard could not check whether this locks out an SSH client: 203.0.113.5, which SSH connected to \
                   (SSH_CONNECTION), is not an address of this machine";
        for arguments in [
            &["apply", "-f", changed][..],
            &["apply", "-f", changed, "--dry-run"],
            &["replace", "-f", changed],
            &["label", "gnetsets", "set", "a=b"],
            &["delete", "gnetsets", "set"],
            &["undo"],
        ] {
            let output = from_elsewhere(world, arguments);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(why) && said.contains("use --confirm"), "{arguments:?}: {said}");
            assert!(said.contains("--allow-lockout"), "{said}");
            assert_eq!(content(), before, "{arguments:?}");
        }
        world.call(&["apply", "-f", changed]);
        let output = from_elsewhere(world, &["restore", backup, "--replace"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        // `diff` tells, and changes nothing.
        let output = from_elsewhere(world, &["diff", "-f", file]);
        assert!(
            said(&output).contains("the lock-out guard did not check this change: 203.0.113.5"),
            "{}",
            said(&output)
        );
        // Who insists, waits for a confirmation, or is not connected goes on.
        for more in ["--allow-lockout", "--confirm=60s"] {
            let label = format!("a={}", more.len());
            let output = from_elsewhere(world, &["label", "gnetsets", "set", &label, "--overwrite", more]);
            assert!(output.status.success(), "{more}: {}", said(&output));
        }
        world.call(&["label", "gnetsets", "set", "a=c", "--overwrite"]);
    });
}

#[test]
fn who_may_not_read_a_store_of_many_machines_is_refused_over_ssh_only_where_an_agent_was_started() {
    on_a_machine(|world| {
        world.start_etcd();
        for words in [
            "user add root:secret",
            "user grant-role root root",
            "role add sets",
            "role grant-permission sets readwrite --prefix=true /calico/resources/v3/projectcalico.org/globalnetworksets/",
            "role grant-permission sets read --prefix=true /calico/resources/v3/projectcalico.org/clusterinformations/",
            "user add alice:secret",
            "user grant-role alice sets",
            "auth enable",
        ] {
            world.etcdctl(&words.split(' ').collect::<Vec<_>>());
        }
        let call = |connection: &str, arguments: &[&str]| {
            let mut command = world.tortie();
            command.env("ETCD_USERNAME", "alice").env("ETCD_PASSWORD", "secret");
            command.env("SSH_CONNECTION", connection).args(arguments).output().unwrap()
        };
        let session = "192.0.2.99 50000 192.0.2.11 2222";
        let file = world.file("set.yaml", SET);
        let file = file.to_str().unwrap();
        let output = call(session, &["apply", "-f", file]);
        assert!(output.status.success(), "nothing is enforced here: {}", said(&output));
        assert!(said(&output).contains("the lock-out guard did not check this change: "), "{}", said(&output));
        let mut agent = world.tortie();
        agent.env("ETCD_USERNAME", "root").env("ETCD_PASSWORD", "secret");
        agent.args(["agent", "--felix-config", "none.cfg"]);
        let mut agent = Some(world.start(agent));
        until("it is ready", || world.said(&["status"]).contains("all in force"));
        for running in [true, false] {
            let output = call(session, &["label", "gnetsets", "set", "a=b"]);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(2), "{running}: {text}");
            assert!(
                text.contains("the lock-out guard could not check whether this locks out an SSH client: "),
                "{text}"
            );
            drop(agent.take());
        }
        let output = call("", &["label", "gnetsets", "set", "a=b"]);
        assert!(output.status.success(), "no client is connected: {}", said(&output));
    });
}

#[test]
fn enforcement_is_not_switched_on_over_ssh_if_it_is_not_known_what_would_be_in_force() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let file = world.file("set.yaml", SET);
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        world.call(&["off"]);
        // Of another store, whose content the agent does not enforce.
        let other = world.place.path().join("other.db");
        let call = |arguments: &[&str]| {
            let mut command = world.tortie();
            command.env("SSH_CONNECTION", "192.0.2.99 50000 192.0.2.11 2222").env("TORTIE_STORE", &other);
            command.args(arguments).output().unwrap()
        };
        let applied = call(&["apply", "-f", file.to_str().unwrap()]);
        assert!(applied.status.success(), "{}", said(&applied));
        for arguments in [&["on"][..], &["off", "--for", "60s"]] {
            let output = call(arguments);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(text.contains("the agent of this machine follows another store"), "{text}");
            assert!(world.status()["off"].is_object() && world.status()["off"]["until"].is_null());
        }
        assert!(over_ssh(world, 2222, &["on"]).status.success());
        world.call(&["off"]);
        let output = from_elsewhere(world, &["on"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("enforcement stays off; --allow-lockout"), "{}", said(&output));
        assert!(from_elsewhere(world, &["on", "--allow-lockout"]).status.success());
    });
}
