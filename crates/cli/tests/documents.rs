//! The documents name what exists: files that they link to, and paths of the source that they send people to.
#![allow(clippy::unwrap_used)]

#[path = "documents/daemonset.rs"]
mod daemonset;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents: of the root, `docs`, `tests`, and what each of them is.
fn documents() -> Vec<(PathBuf, String)> {
    let pages = ["", "docs", "tests", "bench/results"].into_iter().flat_map(|folder| {
        let entries = root().join(folder).read_dir().unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|end| end == "md"))
    });
    pages.map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut missing = Vec::new();
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !target.contains("://") && !path.parent().unwrap().join(file).exists() {
                missing.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The names of metrics in a text, each after a quotation mark or a backquote, without `_total` of counters.
fn metrics(text: &str, quote: char) -> BTreeSet<String> {
    let names = text.split(quote).filter(|name| name.starts_with("tortie_") || name.starts_with("felix_"));
    let whole = |name: &&str| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    names.filter(whole).map(|name| name.trim_end_matches("_total").to_owned()).collect()
}

#[test]
fn every_metric_is_documented_and_exists() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let mut served = metrics(&read("crates/agent/src/metrics.rs"), '"');
    served.extend(metrics(&read("crates/controllers/src/probes_and_metrics.rs"), '"'));
    let tables = read("docs/metrics.md").lines().filter(|line| line.starts_with("| `")).collect::<String>();
    assert_eq!(served, metrics(&tables, '`'));
}

#[test]
fn no_document_has_both_sides_of_a_conflict() {
    for (path, text) in documents() {
        let marker = text.lines().find(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> "));
        assert_eq!(marker, None, "{}", path.display());
    }
}

/// The paths that `a/{b,c}.rs` stands for.
fn paths_of(named: &str) -> Vec<String> {
    let Some((before, rest)) = named.split_once('{') else { return vec![named.to_owned()] };
    let (names, after) = rest.split_once('}').unwrap();
    names.split(',').map(|name| format!("{before}{name}{after}")).collect()
}

#[test]
fn every_path_that_contributing_names_exists() {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let named = text.split('`').skip(1).step_by(2).filter(|one| one.contains('/') && !one.contains(' '));
    // Capital letters stand for what the reader puts in.
    let named = named.filter(|one| !["NAME", "KIND"].iter().any(|place| one.contains(place)));
    let paths: Vec<String> = named.flat_map(paths_of).collect();
    assert!(paths.len() > 100, "{paths:?}");
    let missing: Vec<_> =
        paths.iter().filter(|path| !root().join(path).exists() && !root().join("crates").join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn contributing_has_at_most_two_pages() {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let words = text.split_whitespace().count();
    assert!(words <= 900, "{words} words: shorten a recipe, or say it at the head of the file that it is about");
}

#[test]
fn every_item_that_architecture_names_exists() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut checked = 0;
    for named in text.split('`').skip(1).step_by(2) {
        let Some((name, item)) = named.split_once("::") else { continue };
        let source = root().join("crates").join(name.replace('_', "-")).join("src");
        // A module of a crate that the sentence names.
        if !source.is_dir() {
            continue;
        }
        checked += 1;
        for part in item.split("::") {
            assert!(occurs(part, &source), "{named}: {part} is not in {}", source.display());
        }
    }
    assert!(checked > 15, "{checked}");
}

/// The fuzz targets are a workspace of their own, which nothing else compiles.
#[test]
fn every_item_that_a_fuzz_target_uses_exists() {
    let mut checked = 0;
    for target in root().join("fuzz/fuzz_targets").read_dir().unwrap() {
        let text = std::fs::read_to_string(target.unwrap().path()).unwrap();
        for used in text.lines().filter_map(|line| line.strip_prefix("use tortie_")) {
            let (name, items) = used.trim_end_matches(';').split_once("::").unwrap();
            let source = root().join("crates").join(name.replace('_', "-")).join("src");
            for item in items.split(['{', '}', ',', ':', ' ']).filter(|item| !item.is_empty()) {
                checked += 1;
                assert!(occurs(item, &source), "{used}: {item} is not in {}", source.display());
            }
        }
    }
    assert!(checked > 15, "{checked}");
}

/// Whether a folder has a module of this name, or an item that is public beyond its file.
fn occurs(name: &str, folder: &Path) -> bool {
    let items = ["fn", "struct", "enum", "trait", "type", "mod"].map(|word| format!(" {word} {name}"));
    folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return path.file_name().unwrap() == name || occurs(name, &path);
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let begins = |item: &String| {
            text.match_indices(item.as_str())
                .any(|(at, _)| !text[at + item.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        path.file_stem().unwrap() == name || items.iter().any(begins)
    })
}
