//! Plays the sessions in `tests/transcripts` and compares what is seen with what is written there.
//!
//! `UPDATE=1 cargo test -p tortie-cli --test transcripts` writes down what is seen; read the difference before you
//! commit it. The format is described in `tests/README.md`.

#[path = "transcripts/mask.rs"]
mod mask;
#[path = "transcripts/play.rs"]
mod play;

use std::path::{Path, PathBuf};

#[test]
fn transcripts_match_what_the_commands_print() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut failures = Vec::new();
    let files = transcripts();
    assert!(!files.is_empty(), "no transcripts found");
    // Two at a time: most of a session is waiting for processes and for the disk.
    std::thread::scope(|scope| {
        let halves: Vec<_> = (0..2)
            .map(|half| {
                let files = &files;
                scope.spawn(move || files.iter().skip(half).step_by(2).filter_map(|file| check(file, update)).collect())
            })
            .collect();
        for half in halves {
            let found: Vec<String> = half.join().expect("a player panicked");
            failures.extend(found);
        }
    });
    assert!(
        failures.is_empty(),
        "{}\n{} of {} sessions differ; UPDATE=1 rewrites them",
        failures.join("\n"),
        failures.len(),
        files.len()
    );
}

fn transcripts() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder of transcripts is there") {
            let path = entry.expect("a folder can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "txt") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The difference, if there is one that is not to be written down.
fn check(file: &Path, update: bool) -> Option<String> {
    let written = std::fs::read_to_string(file).expect("a transcript is text");
    let seen = play::session(&written, Path::new(env!("CARGO_BIN_EXE_tortie")));
    if seen == written {
        return None;
    }
    if update {
        std::fs::write(file, seen).expect("a transcript can be written");
        return None;
    }
    Some(format!("{}:\n{}", file.display(), difference(&written, &seen)))
}

/// The first lines that differ, with what comes before them.
fn difference(written: &str, seen: &str) -> String {
    let (written, seen): (Vec<_>, Vec<_>) = (written.lines().collect(), seen.lines().collect());
    let same = written.iter().zip(&seen).take_while(|(a, b)| a == b).count();
    let command = (0..=same.min(written.len().saturating_sub(1))).rev().find(|&at| written[at].starts_with("$ "));
    let mut text = String::new();
    for line in command.map(|at| &written[at..same]).unwrap_or_default() {
        text.push_str(&format!("    {line}\n"));
    }
    for line in written.iter().skip(same).take(12) {
        text.push_str(&format!("  - {line}\n"));
    }
    for line in seen.iter().skip(same).take(12) {
        text.push_str(&format!("  + {line}\n"));
    }
    text
}
