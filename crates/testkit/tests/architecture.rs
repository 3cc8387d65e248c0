//! The table of crates in ARCHITECTURE.md is complete, and its order is that of the imports.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).unwrap()
}

/// The crates in the order of the table in ARCHITECTURE.md.
fn listed() -> Vec<String> {
    let page = page("ARCHITECTURE.md");
    let (_, table) = page.split_once("| Crate | What it is |\n|---|---|\n").expect("there is a table of crates");
    let name = |row: &str| row.strip_prefix("| `")?.split('`').next().map(str::to_owned);
    table.lines().map_while(name).collect()
}

#[test]
fn every_crate_is_in_the_table_of_crates() {
    let folders = fs::read_dir(workspace().join("crates")).unwrap();
    let crates: BTreeSet<String> = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(BTreeSet::from_iter(listed()), crates);
}

#[test]
fn a_crate_imports_only_crates_above_it_in_the_table() {
    let listed = listed();
    for (place, name) in listed.iter().enumerate() {
        let manifest = page(&format!("crates/{name}/Cargo.toml"));
        let (_, dependencies) = manifest.split_once("\n[dependencies]\n").unwrap_or(("", ""));
        let imported = dependencies.lines().take_while(|line| !line.starts_with('[')).filter_map(|line| {
            // Deliberate mistakes, which are optional, come from `testkit`.
            let line = line.strip_prefix("tortie-").filter(|line| !line.contains("optional = true"))?;
            line.split(['.', ' ', '=']).next()
        });
        for import in imported {
            let above = listed[..place].iter().any(|other| other == import);
            assert!(above, "{name} imports {import}, which is not above it");
        }
    }
}
