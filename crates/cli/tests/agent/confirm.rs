//! Changes that wait for a confirmation: whatever ends in between, the machine ends confirmed or as it was.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use crate::undo::last_revision;
use crate::world::{World, on_a_machine, until};

/// Closes the machine: no policy allows anything but the failsafes. And a set, so that half of it would show.
pub const CLOSES: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: all}
spec: {node: web1, interfaceName: '*'}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: set}
spec: {nets: [192.0.2.0/24]}
";
/// What stands before, and is changed by nobody.
pub const BEFORE: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: other}
spec: {selector: role == 'other', types: [Ingress], ingress: [{action: Allow}]}
";

const CONNECTION: &str = "192.0.2.99 50000 192.0.2.11 81";

pub fn over_ssh(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.tortie();
    command.env("SSH_CONNECTION", CONNECTION).args(arguments);
    command
}

/// A session: a shell that is called as a process of sshd is that serves one connection, which calls the program when it is told to.
struct Session(Child);

impl Session {
    fn begin(world: &World, arguments: &[&str]) -> Self {
        let call = over_ssh(world, &[]);
        let sshd = world.place.path().join("sshd");
        std::fs::copy("/bin/sh", &sshd).unwrap();
        let mut shell = Command::new(&sshd);
        shell
            .arg0("sshd: alice [priv]")
            .args(["-c", "read line; \"$@\"; exit $?", "sh"])
            .arg(call.get_program())
            .args(arguments)
            .env_clear();
        call.get_envs().for_each(|(name, value)| {
            shell.env(name, value.unwrap_or_default());
        });
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(shell.spawn().unwrap())
    }

    /// Whether the call succeeded, and what it said.
    fn call(mut self) -> (bool, String) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        said(self.0.wait_with_output().unwrap())
    }
}

fn said(output: Output) -> (bool, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// Everything in the store, byte for byte.
pub fn content(world: &World) -> String {
    ["hep", "gnetsets", "gnp"].map(|kind| world.call(&["get", kind, "-o", "yaml"])).concat()
}

/// Everything but the revisions of the objects, which putting back counts on.
pub fn is_as_before(world: &World, before: &str) -> bool {
    let plain = |text: &str| -> String {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("resourceVersion"));
        lines.map(|line| format!("{line}\n")).collect()
    };
    plain(&content(world)) == plain(before)
}

/// Runs a test with the embedded store, and with etcd.
pub fn with_each_store(test: impl Fn(&mut World) + Send + Sync) {
    on_a_machine(&test);
    on_a_machine(|world| {
        world.start_etcd();
        test(world);
    });
}

#[test]
fn an_unconfirmed_change_is_put_back_and_an_old_session_cannot_confirm_it() {
    with_each_store(|world| {
        world.listen(81);
        let agent = world.agent();
        world.apply(BEFORE);
        let before = content(world);
        let old = Session::begin(world, &["confirm"]);
        let file = world.file("closes.yaml", CLOSES);
        let file = file.to_str().unwrap();
        assert!(!said(over_ssh(world, &["apply", "-f", file]).output().unwrap()).0, "the guard refuses it");
        let (done, text) = said(over_ssh(world, &["apply", "-f", file, "--confirm=8s"]).output().unwrap());
        assert!(done && text.contains("unless `tortie confirm` comes before"), "{text}");
        world.call(&["status", "--wait"]);
        assert!(!world.reaches(81), "it is in force meanwhile");
        until("the agent notes that it is in the kernel", || {
            agent.log().contains("is put back unless it is confirmed")
        });
        let status = world.said(&["status"]);
        assert!(status.contains("is put back at") && status.contains("tortie confirm"), "{status}");
        let (done, text) = old.call();
        assert!(!done && text.contains("the connection of this SSH session began before the change"), "{text}");
        until("it is put back", || world.reaches(81));
        assert!(is_as_before(world, &before), "{}", content(world));
        // Whoever comes back finds out why, also from the next agent, and nothing is wrong.
        let is_told = || {
            let status = world.call(&["status"]);
            status.contains("was put back at 20")
                && status.lines().any(|line| line.contains("put back: ") && line.contains("hostendpoint/all"))
                && status.lines().all(|line| !line.contains("not confirmed:") || line.len() < 160)
        };
        until("the status says it", is_told);
        assert!(agent.log().contains("was not confirmed: put back at 20"), "{}", agent.log());
        agent.kill();
        let _agent = world.agent();
        until("the status of the next agent says it", is_told);
        let history = world.call(&["history"]);
        assert!(history.contains("was not confirmed"), "{history}");
        assert!(history.contains("(not confirmed, put back)"), "{history}");
        let text = world.fails(&["undo"]);
        assert!(text.contains("to make that change again, name it") && text.contains(" --confirm`"), "{text}");
        assert!(is_as_before(world, &before), "{}", content(world));
        let text = world.fails(&["confirm"]);
        assert!(
            text.contains("nothing waits for a confirmation; revision") && text.contains("was put back at"),
            "{text}"
        );
    });
}

#[test]
fn a_change_that_a_new_session_confirms_stays() {
    with_each_store(|world| {
        world.listen(81);
        let agent = world.agent();
        let file = world.file("closes.yaml", CLOSES);
        let (done, text) =
            said(over_ssh(world, &["apply", "-f", file.to_str().unwrap(), "--confirm=20s"]).output().unwrap());
        assert!(done, "{text}");
        until("the agent notes that it is in the kernel", || {
            agent.log().contains("is put back unless it is confirmed")
        });
        let (done, text) = said(over_ssh(world, &["confirm"]).output().unwrap());
        assert!(!done && text.contains("not a child of sshd"), "{text}");
        let (done, text) = Session::begin(world, &["confirm"]).call();
        assert!(done && text.contains("stays"), "{text}");
        // One that waits shorter shows that the agent has looked since.
        world.call(&["delete", "gnetsets", "set", "--confirm=1s"]);
        until("the other one is put back", || world.said(&["get", "gnetsets"]).contains("set"));
        assert!(!world.reaches(81));
        assert!(!world.call(&["history"]).contains("unless confirmed"));
    });
}

#[test]
fn undo_of_one_waiting_change_does_not_keep_another_from_being_put_back() {
    with_each_store(|world| {
        let _agent = world.agent();
        world.apply(BEFORE);
        let before = content(world);
        world.call(&["label", "gnp", "other", "note=a", "--confirm=8s"]);
        world.call(&["label", "gnp", "other", "note=b", "--overwrite", "--confirm=60s"]);
        world.call(&["undo"]);
        assert!(content(world).contains("note: a"), "{}", content(world));
        until("the other change is put back", || is_as_before(world, &before));
    });
}

#[test]
fn a_later_change_that_was_confirmed_leaves_nothing_wrong_when_an_earlier_one_expires() {
    with_each_store(|world| {
        let agent = world.agent();
        world.apply(BEFORE);
        world.call(&["label", "gnp", "other", "note=a", "--confirm=2s"]);
        world.call(&["label", "gnp", "other", "later=b", "--confirm=60s"]);
        let confirmed = world.call(&["confirm", &last_revision(world)]);
        assert!(confirmed.contains("stays"), "{confirmed}");
        until("the first one has expired", || agent.log().contains("was not confirmed"));
        // What was written on purpose later stays, and that is told.
        let is_told = || world.call(&["status"]).contains("others changed or use it: globalnetworkpolicy/other");
        until("the status says it and succeeds", is_told);
        assert!(content(world).contains("later: b"), "{}", content(world));
        // Also where it put nothing back and so wrote nothing.
        agent.kill();
        let _agent = world.agent();
        until("the status of the next agent says it", is_told);
    });
}

#[test]
fn a_dry_run_with_confirm_says_what_would_be_lost_and_succeeds() {
    on_a_machine(|world| {
        world.listen(81);
        let _agent = world.agent();
        world.apply(BEFORE);
        let before = content(world);
        let file = world.file("closes.yaml", CLOSES);
        let call = |arguments: &[&str]| {
            let all = [&["apply", "-f", file.to_str().unwrap(), "--dry-run"], arguments].concat();
            let output = over_ssh(world, &all).output().unwrap();
            (output.status.code(), said(output).1)
        };
        let (code, text) = call(&[]);
        assert!(code == Some(2) && text.contains("would lock out"), "{text}");
        let (code, text) = call(&["--confirm"]);
        assert!(code == Some(0) && text.contains("this may lock out"), "{text}");
        assert!(text.contains("this would be put back after 2m"), "{text}");
        assert_eq!(content(world), before);
        assert!(world.said(&["history"]).lines().all(|line| !line.contains("unless confirmed")));
    });
}

#[test]
fn without_an_agent_that_could_put_it_back_nothing_is_written() {
    with_each_store(|world| {
        let file = world.file("closes.yaml", CLOSES);
        let text = world.fails(&["apply", "-f", file.to_str().unwrap(), "--confirm"]);
        assert!(text.contains("--confirm needs the agent of this machine"), "{text}");
        assert!(!world.place.path().join("tortie.db").exists());
        assert!(!world.said(&["get", "hep"]).contains("all"));
    });
}

#[test]
fn whatever_is_written_with_confirm_is_put_back() {
    with_each_store(|world| {
        let _agent = world.agent();
        world.apply(BEFORE);
        let path = |name: &str| world.place.path().join(name).to_str().unwrap().to_owned();
        world.call(&["backup", &path("backup")]);
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: set}}");
        let before = content(world);
        let backup = path("backup");
        for verb in [
            &["label", "gnp", "other", "a=b"][..],
            &["patch", "gnp", "other", "-p", "{spec: {order: 7}}"],
            &["edit", "gnp", "other"],
            &["delete", "gnp", "other"],
            &["restore", &backup, "--replace"],
            &["undo"],
        ] {
            let mut command = world.tortie();
            command.env("TORTIE_EDITOR", "sed -i s/role/zone/").env("TMPDIR", world.place.path());
            let (done, text) = said(command.args(verb).args(["--confirm=1s", "-m", "tried"]).output().unwrap());
            assert!(done && text.contains("unless `tortie confirm` comes before"), "{verb:?}: {text}");
            until(&format!("{verb:?} is put back"), || is_as_before(world, &before));
            let history = world.call(&["history", "--limit", "2"]);
            assert!(history.contains("tried (not confirmed, put back)"), "{verb:?}: {history}");
            // What is taken back next is the set again, not what was put back.
            world.call(&["label", "gnetsets", "set", "a=b", "--overwrite"]);
            world.call(&["label", "gnetsets", "set", "a", "--remove"]);
        }
    });
}

#[test]
fn undo_stops_once_at_what_was_put_back_and_suggests_only_what_it_takes_back() {
    with_each_store(|world| {
        let agent = world.agent();
        let expires = |name: &str, times: usize| {
            world.call(&["label", "gnp", "other", &format!("{name}=x"), "--confirm=1s"]);
            until("it is put back", || agent.log().matches("was not confirmed: put back").count() == times);
        };
        world.apply(BEFORE);
        expires("one", 1);
        let text = world.fails(&["undo"]);
        let (_, suggested) =
            text.split_once("what was written before: `tortie undo ").unwrap_or_else(|| panic!("{text}"));
        let (suggested, _) = suggested.split_once('`').unwrap();
        world.call(&["undo", suggested]);
        assert!(!world.said(&["get", "gnp"]).contains("other"));
        let text = world.fails(&["undo"]);
        assert!(text.contains("there is nothing to undo") && !text.contains("tortie undo"), "{text}");
        // Of what is left before, nothing can be taken back.
        let set =
            world.file("set.yaml", "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: s}}");
        world.call(&["apply", "-f", set.to_str().unwrap(), "--confirm=1s"]);
        until("the set is put back", || agent.log().matches("was not confirmed: put back").count() == 2);
        let text = world.fails(&["undo"]);
        assert!(text.contains("nothing that was written before is left to be taken back"), "{text}");
    });
}
