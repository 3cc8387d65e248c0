//! One session: runs each command in a shell of its own and writes down what it printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::mask::mask;

/// The session again, with what is seen now.
pub(crate) fn session(written: &str, binary: &Path) -> String {
    let folder = tempfile::tempdir().expect("a folder for the session");
    let bin = tempfile::tempdir().expect("a folder for the programs");
    for name in ["tortie", "calicoctl", "kubectl-calico"] {
        std::os::unix::fs::symlink(binary, bin.path().join(name)).expect("a link to the program");
    }
    let mut env = BTreeMap::new();
    let path = std::env::var("PATH").unwrap_or_default();
    env.insert("PATH".to_owned(), format!("{}:{path}", bin.path().display()));
    env.insert("HOME".to_owned(), folder.path().display().to_string());
    env.insert("TORTIE_STORE".to_owned(), "tortie.db".to_owned());
    // Nobody is locked out of the machine that runs the tests.
    env.insert("SSH_CONNECTION".to_owned(), String::new());
    env.insert("LC_ALL".to_owned(), "C.UTF-8".to_owned());

    let mut seen = String::new();
    let mut lines = written.lines().peekable();
    while let Some(line) = lines.next() {
        seen.push_str(line);
        seen.push('\n');
        let Some(first) = line.strip_prefix("$ ") else { continue };
        let mut script = first.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("> ") || *line == ">") {
            seen.push_str(more);
            seen.push('\n');
            script.push('\n');
            script.push_str(more.strip_prefix("> ").unwrap_or_default());
        }
        if let Some((name, value)) = script.strip_prefix("export ").and_then(|rest| rest.split_once('=')) {
            env.insert(name.to_owned(), value.to_owned());
        } else if let Some(name) = script.strip_prefix("unset ") {
            env.remove(name);
        } else {
            seen.push_str(&run(&script, folder.path(), &env));
        }
        // What was seen the last time, up to the next command or remark.
        while lines.next_if(|line| !line.starts_with("$ ") && !is_remark(line)).is_some() {}
        if lines.peek().is_some() {
            seen.push('\n');
        }
    }
    seen
}

/// A remark is a line that begins with `#` and a space at the left edge.
fn is_remark(line: &str) -> bool {
    line.starts_with("# ") || line == "#"
}

fn run(script: &str, folder: &Path, env: &BTreeMap<String, String>) -> String {
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .current_dir(folder)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .output()
        .expect("a shell can be started");
    let mut text = String::new();
    show(&mut text, "", &mask(&String::from_utf8_lossy(&output.stdout), folder));
    show(&mut text, "! ", &without_leftovers(&mask(&String::from_utf8_lossy(&output.stderr), folder)));
    match output.status.code() {
        Some(0) => {}
        Some(code) => text.push_str(&format!("? {code}\n")),
        None => text.push_str("? killed\n"),
    }
    text
}

/// Leaves out what is said of a table of tortie on the machine that runs the tests.
fn without_leftovers(text: &str) -> String {
    let is_of_it =
        |line: &str| line.trim_start_matches("warning[not-enforced]: ").starts_with("no agent runs here: the kernel");
    text.split_inclusive('\n').filter(|line| !is_of_it(line)).collect()
}

/// Spaces at the end of a line, and a last line without an end, are made visible.
fn show(text: &mut String, prefix: &str, output: &str) {
    for line in output.split_inclusive('\n') {
        let (line, ended) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
        let shown = format!("{prefix}{line}");
        // A remark or command in the output would end it when the transcript is read again.
        let guard = if prefix.is_empty() && (is_remark(line) || line.starts_with("$ ")) { "\\" } else { "" };
        let tail = match (ended, shown.ends_with(' ') && !line.is_empty()) {
            (false, _) => "⏚",
            (true, true) => "⏎",
            (true, false) => "",
        };
        text.push_str(&format!("{guard}{}{tail}\n", if line.is_empty() { prefix.trim_end() } else { &shown }));
    }
}
