//! What Rust prints of a value for its programmers does not reach users.

use std::path::{Path, PathBuf};

/// Files whose strings are quoted as Go quotes them, for calicoctl's messages and those of settings.
const QUOTED: [&str; 3] = ["cli/src/calico_api_config.rs", "cli/src/usage_errors.rs", "agent/src/config/value.rs"];

#[test]
fn no_message_of_the_commands_prints_a_value_for_programmers() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files: Vec<PathBuf> = ["cli/src", "verify/src", "agent/src"].map(|folder| crates.join(folder)).to_vec();
    let mut seen = 0;
    let mut found = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let name = path.display().to_string();
        if !name.ends_with(".rs") || name.contains("tests") || QUOTED.iter().any(|quoted| name.ends_with(quoted)) {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| line.contains(":?}") || line.contains(":#?}"));
        found.extend(lines.map(|(at, line)| format!("{name}:{}: {}", at + 1, line.trim())));
    }
    assert!(seen > 80, "{seen} files");
    assert!(found.is_empty(), "{}", found.join("\n"));
}
