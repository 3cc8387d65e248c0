//! Mistakes that are found when a manifest is read, before it is validated, one file a class: `reading_mistakes/x.yaml` is what
//! was written, `reading_mistakes/x.txt` what is shown. A new test is a new pair of files;
//! `UPDATE=1 cargo test -p tortie-manifest --test reading_mistakes` writes the second, to be read before it is committed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use tortie_manifest::diagnostic::{Style, render};
use tortie_manifest::read::{Source, read};

#[test]
fn every_mistake_is_shown_as_reviewed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reading_mistakes");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "json"));
    files.sort();
    assert!(files.len() > 10);
    let mut different = Vec::new();
    for path in files {
        let shown = show(&path);
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &shown).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != shown {
            different.push(format!("{}:\n{shown}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn show(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let source = Source::new(name, fs::read(path).unwrap());
    let mut out = String::new();
    for located in read(&source) {
        if located.object.is_some() {
            out += &format!("read: {}\n\n", located.about);
        }
        for problem in &located.problems {
            out += &render(problem, &located, &source, Style::Plain);
            out.push('\n');
        }
    }
    out
}
