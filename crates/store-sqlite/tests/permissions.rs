//! Files and directories that a user may not read or write: an error that names the path, nothing touched.
//! Root may do everything, so under root the store is used by a process of another user.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Peer, as_child, key, say};
use tortie_store::{Selection, Store, Write};
use tortie_store_sqlite::SqliteStore;

const NOBODY: u32 = 65_534;

#[test]
fn child() {
    as_child(|role, path| match role {
        "read" => say(answer(SqliteStore::open(path).and_then(|store| {
            let listing = store.list(&Selection::default())?;
            Ok(listing.items.len())
        }))),
        "write" => {
            say(answer(SqliteStore::open(path).and_then(|store| store.write(&[Write::create(key("b"), &b"{}"[..])]))))
        }
        other => panic!("{other}"),
    });
}

fn answer<T>(result: Result<T, tortie_store::StoreError>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "done".to_owned())
}

/// A directory with a store of one object, both of the user that permissions bind.
struct Place {
    directory: tempfile::TempDir,
    program: PathBuf,
    root: bool,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("dir");
        fs::create_dir(&inner).unwrap();
        let probe = directory.path().join("probe");
        fs::write(&probe, "").unwrap();
        fs::set_permissions(&probe, Permissions::from_mode(0o000)).unwrap();
        let root = fs::read(&probe).is_ok();
        // Where another user may run it from.
        let program = directory.path().join("program");
        let place = Self { directory, program, root };
        let exe = std::env::current_exe().unwrap();
        if fs::hard_link(&exe, &place.program).is_err() {
            fs::copy(&exe, &place.program).unwrap();
        }
        set(place.directory.path(), 0o755);
        let store = SqliteStore::open(place.store()).unwrap();
        let create = Write::create(key("a"), &b"{}"[..]);
        store.write(&[create]).unwrap().remove(0).unwrap();
        if root {
            for path in [inner, place.store(), place.wake()] {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        place
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("dir/tortie.db")
    }

    fn wake(&self) -> PathBuf {
        self.directory.path().join("dir/tortie.db.wake")
    }

    /// What a user whom permissions bind is told.
    fn output(&self, role: &str, path: &Path) -> String {
        let mut command = Command::new(&self.program);
        if self.root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut peer = Peer::start_as(&mut command, role, path);
        let line = peer.line().expect("an answer");
        peer.end();
        line
    }
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_unprivileged_user_can_use_its_own_store() {
    let place = Place::new();
    assert_eq!(place.output("read", &place.store()), "done");
    assert_eq!(place.output("write", &place.store()), "done");
}

#[test]
fn a_file_without_permission_is_reported_with_its_path_and_stays_unchanged() {
    // The modes of the file and of its directory, what is tried, what is told.
    for (file, directory, role, says) in [
        (0o444, 0o755, "write", "read-only"),
        (0o444, 0o755, "read", "done"),
        (0o600, 0o555, "write", "read-only"),
        (0o600, 0o555, "read", "read-only"),
        (0o000, 0o755, "write", "permission denied"),
        (0o000, 0o755, "read", "permission denied"),
        (0o600, 0o000, "write", "permission denied"),
        (0o600, 0o000, "read", "permission denied"),
    ] {
        let place = Place::new();
        let (path, inner) = (place.store(), place.directory.path().join("dir"));
        let before = fs::read(&path).unwrap();
        set(&path, file);
        set(&inner, directory);
        let output = place.output(role, &path);
        set(&inner, 0o755);
        set(&path, 0o600);
        let case = format!("{file:o} in {directory:o}, {role}: {output}");
        assert!(output.contains(says), "{case}");
        assert!(says == "done" || output.contains(path.to_str().unwrap()), "{case}");
        assert_eq!(fs::read(&path).unwrap(), before, "{case}");
        // SQLite needs its two files beside the store to read it, and may not remove them from one that it
        // may not write.
        let beside = if file == 0o444 { 4 } else { 2 };
        assert_eq!(fs::read_dir(&inner).unwrap().count(), beside, "{case}");
    }
}

#[test]
fn a_store_that_may_not_be_created_is_reported_and_reads_as_empty() {
    let place = Place::new();
    let inner = place.directory.path().join("dir");
    set(&inner, 0o555);
    for name in ["other.db", "new/other.db"] {
        let path = inner.join(name);
        assert_eq!(place.output("read", &path), "done");
        let output = place.output("write", &path);
        assert!(output.contains("permission denied"), "{output}");
        assert!(output.contains(path.to_str().unwrap()), "{output}");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 2);
    }
    set(&inner, 0o755);
}
