//! Files and directories of manifests.

use std::io::{ErrorKind, Read};
use std::path::Path;

use tortie_manifest::read::Source;

use super::FileError;

/// The files that one `-f` names.
pub(super) struct Found {
    /// Their paths; `-` is standard input.
    pub(super) paths: Vec<String>,
}

/// A file as it is; of a directory its `.yaml`, `.yml` and `.json` files in the order of their names.
pub(super) fn find(name: &str, recursive: bool) -> Result<Found, FileError> {
    if name == "-" || !Path::new(name).is_dir() {
        return Ok(Found { paths: vec![name.to_owned()] });
    }
    let mut paths = Vec::new();
    walk(name.trim_end_matches('/'), recursive, &mut paths)?;
    Ok(Found { paths })
}

fn walk(directory: &str, recursive: bool, paths: &mut Vec<String>) -> Result<(), FileError> {
    let failed = |error: std::io::Error| unreadable(directory, &error);
    let directory = if directory.is_empty() { "/" } else { directory };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_directory = entry.file_type().map_err(failed)?.is_dir();
        entries.push((entry.file_name(), is_directory));
    }
    entries.sort();
    for (name, is_directory) in entries {
        let path = format!("{}/{}", directory.trim_end_matches('/'), name.to_string_lossy());
        if is_directory {
            if recursive {
                walk(&path, recursive, paths)?;
            }
        } else if is_manifest(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

fn is_manifest(path: &str) -> bool {
    let extension = Path::new(path).extension().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(extension.as_str(), "yaml" | "yml" | "json")
}

/// The text of a file.
pub(super) fn read(path: &str) -> Result<Source, FileError> {
    if path == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(|error| unreadable("/dev/stdin", &error))?;
        return Ok(Source::stdin(bytes));
    }
    std::fs::read(path).map(|bytes| Source::new(path, bytes)).map_err(|error| unreadable(path, &error))
}

/// In Go's words.
fn unreadable(path: &str, error: &std::io::Error) -> FileError {
    let what = match error.kind() {
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::NotADirectory => "not a directory".to_owned(),
        ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    };
    FileError::Unreadable { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gives_its_manifests_in_order_and_those_below_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("m")).unwrap();
        for name in ["b.yml", "a.yaml", "c.JSON", "notes.txt", "m/x.yaml"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let names = |recursive| {
            let found = find(&root.to_string_lossy(), recursive).unwrap_or_else(|error| panic!("{error}"));
            let prefix = format!("{}/", root.display());
            found.paths.iter().map(|path| path.replace(&prefix, "")).collect::<Vec<_>>()
        };
        assert_eq!(names(false), ["a.yaml", "b.yml", "c.JSON"]);
        assert_eq!(names(true), ["a.yaml", "b.yml", "c.JSON", "m/x.yaml"]);
    }
}
