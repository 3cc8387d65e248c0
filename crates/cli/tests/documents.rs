//! The documents name what exists: files that they link to, and paths of the source that they send people to.
#![allow(clippy::unwrap_used)]

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

#[test]
fn no_document_has_both_sides_of_a_conflict() {
    for (path, text) in documents() {
        let marker = text.lines().find(|line| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> "));
        assert_eq!(marker, None, "{}", path.display());
    }
}

#[test]
fn every_source_file_that_contributing_names_exists() {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let named = text.split('`').skip(1).step_by(2).filter(|one| one.ends_with(".rs") || one.ends_with(".md"));
    // Capital letters stand for what the reader puts in.
    let named = named.filter(|one| !["NAME", "KIND"].iter().any(|place| one.contains(place)));
    // A bare name is in the folder that was named before it.
    let paths: Vec<&str> = named.filter(|one| one.contains('/')).collect();
    assert!(paths.len() > 15, "{paths:?}");
    let missing: Vec<_> =
        paths.iter().filter(|path| !root().join(path).exists() && !root().join("crates").join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
