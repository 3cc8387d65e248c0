//! `tortie get --watch`: each change is told once, while it happens, and the command ends when it should.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(60);

fn tortie(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
    command.args(arguments).current_dir(folder).env("TORTIE_STORE", "t.db").env("SSH_CONNECTION", "");
    command.env("TORTIE_RUN", folder).env("HOME", folder);
    command
}

fn call(folder: &Path, arguments: &[&str]) {
    let output = tortie(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn apply(folder: &Path, manifests: &str) {
    let mut child = tortie(folder, &["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn endpoint(name: &str, role: &str) -> String {
    format!(
        "{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: {name}, labels: {{role: {role}}}}}, spec: {{node: m, interfaceName: {name}, profiles: [open]}}}}\n---\n"
    )
}

struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = tortie(folder, arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let from = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || from.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap()
    }

    /// The next event: `ADDED a`.
    fn event(&self) -> String {
        let event: Value = serde_json::from_str(&self.line()).unwrap();
        format!("{} {}", event["type"].as_str().unwrap(), event["object"]["metadata"]["name"].as_str().unwrap())
    }

    fn ends(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        panic!("it does not end");
    }
}

#[test]
fn every_change_is_printed_once_and_in_order_until_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    apply(folder, &(endpoint("a", "web") + &endpoint("z", "db")));
    let mut all = Watching::start(folder, &["get", "hep", "-w", "-o", "json"]);
    let web = Watching::start(folder, &["get", "hep", "--watch", "-l", "role=web", "-o", "json"]);
    let one = Watching::start(folder, &["get", "hep/b", "profile/open", "-w", "-o", "name"]);
    let table = Watching::start(folder, &["get", "hep", "-w"]);
    let template = Watching::start(folder, &["get", "hep", "-w", "-o", "jsonpath={.metadata.name}{'\\n'}"]);
    assert_eq!([all.event(), all.event()], ["ADDED a", "ADDED z"]);
    assert_eq!(web.event(), "ADDED a");
    assert_eq!([template.line(), template.line()], ["a", "z"]);
    assert_eq!(
        [table.line(), table.line()],
        ["EVENT      NAME   NODE   INTERFACE   ADDRESSES", "ADDED      a      m      a           -"]
    );
    let profile = "{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: open}, spec: {}}\n---\n";
    apply(folder, &(profile.to_owned() + &endpoint("b", "web")));
    apply(folder, &endpoint("b", "web"));
    call(folder, &["label", "hep", "a", "role=db", "--overwrite"]);
    call(folder, &["delete", "hep", "b"]);
    assert_eq!([all.event(), all.event(), all.event()], ["ADDED b", "MODIFIED a", "DELETED b"]);
    // One that has lost the label is gone for who asked for the label.
    assert_eq!([web.event(), web.event(), web.event()], ["ADDED b", "DELETED a", "DELETED b"]);
    let told = [one.line(), one.line(), one.line()];
    assert_eq!(told, ["ADDED profile/open", "ADDED hostendpoint/b", "DELETED hostendpoint/b"]);
    kill_process(Pid::from_child(&all.child), Signal::INT).unwrap();
    all.ends();
    assert!(all.lines.recv_timeout(DEADLINE).is_err(), "nothing is told after the end");
    for mut other in [web, one, table, template] {
        other.child.kill().unwrap();
        other.child.wait().unwrap();
    }
}

#[test]
fn a_store_that_is_lost_ends_a_watch_with_the_reason_and_the_last_revision() {
    let folder = tempfile::tempdir().unwrap();
    apply(folder.path(), &endpoint("a", "web"));
    let mut watching = Watching::start(folder.path(), &["get", "hep", "-w", "-o", "name"]);
    assert_eq!(watching.line(), "ADDED hostendpoint/a");
    for file in ["t.db", "t.db-wal", "t.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(file));
    }
    assert_eq!(watching.ends().code(), Some(1));
    let said = std::io::read_to_string(watching.child.stderr.take().unwrap()).unwrap();
    assert!(said.starts_with("error: the store is lost: "), "{said}");
    assert!(said.trim_end().ends_with("; changes after revision 5 are not shown"), "{said}");
}

#[test]
fn a_reader_that_closes_the_output_ends_a_watch_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    apply(folder.path(), &endpoint("a", "web"));
    let mut child = tortie(folder.path(), &["get", "hep", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut watching = Watching { child, lines: channel().1 };
    assert!(watching.ends().success());
}
