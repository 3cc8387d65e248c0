//! The demonstration as people see it, as reviewed text; and that nothing of it is left behind, however it ends.
//!
//! `UPDATE=1` writes the text anew. Needs root, or a machine where users may make namespaces.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/demo");
const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/demo.txt");

/// The demonstration, with everything that it makes under a folder of the test's own, whose name marks its processes.
fn demo(place: &Path) -> Command {
    let mut command = Command::new("bash");
    // A slow machine must not pass for a denial.
    command.args(["-c", "exec \"$0\" \"$1\" 2>&1", SCRIPT, env!("CARGO_BIN_EXE_tortie")]);
    command.env("TMPDIR", place).env("PATIENCE", "5").env_remove("STAY").stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// The processes that a demonstration started. The namespaces have no names, so they go with the last of these.
fn left(place: &Path) -> Vec<String> {
    let mark = format!("TMPDIR={}", place.display()).into_bytes();
    let marked = |process: &Path| {
        let environment = std::fs::read(process.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == mark)
    };
    let name = |process: &Path| std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    all.filter(|process| marked(process)).map(|process| name(&process)).collect()
}

fn nothing_is_left(place: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !left(place).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", left(place));
        std::thread::yield_now();
    }
}

/// Without colours and what differs from run to run.
fn masked(text: &str) -> String {
    let masks = [
        ("\x1b\\[[0-9]*m", ""),
        ("[^ ]*/tortie.db", "<store>"),
        ("process [0-9]+", "process <pid>"),
        ("generation [0-9]+ of [0-9]+", "generation <all>"),
        ("since [^ ]+,", "since <time>,"),
        (", fe80::[0-9a-f:]+", ""),
    ];
    masks.iter().fold(text.to_owned(), |text, (what, name)| {
        regex_lite::Regex::new(what).unwrap().replace_all(&text, *name).into_owned()
    })
}

#[test]
fn the_demonstration_prints_the_recorded_output_and_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let output = demo(place.path()).output().unwrap();
    nothing_is_left(place.path());
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    let text = masked(&String::from_utf8(output.stdout).unwrap());
    assert!(output.status.success(), "{text}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(EXPECTED, &text).unwrap();
    }
    let expected = std::fs::read_to_string(EXPECTED).unwrap();
    assert!(text == expected, "tests/demo.txt says otherwise (UPDATE=1 takes it over):\n{text}");
}

#[test]
fn nothing_outlives_a_killed_demonstration() {
    let place = tempfile::tempdir().unwrap();
    let mut child = demo(place.path()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let under_way = lines.by_ref().map(Result::unwrap).any(|line| line.contains("One named interface second"));
    assert!(under_way && left(place.path()).len() > 4);
    child.kill().unwrap();
    child.wait().unwrap();
    nothing_is_left(place.path());
}
