//! What every connection must have before it is used.

use std::time::Duration;

use tortie_api::{Key, Kind};
use tortie_store::{Store, Write};

use super::*;
use crate::SqliteStore;

#[test]
fn sqlite_has_no_wal_reset_bug() {
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn every_connection_is_safe_and_a_reader_cannot_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tortie.db");
    let store = SqliteStore::open(&path).unwrap();
    let create = Write::create(Key::cluster(Kind::Tier, "a"), &b"{}"[..]);
    store.write(&[create]).unwrap().remove(0).unwrap();
    let path = path.canonicalize().unwrap();
    let id = FileId::of(&path).unwrap().unwrap();
    for role in [Role::Reader, Role::Writer] {
        let connection = Connection::open(&path, id, role, Duration::from_secs(1)).unwrap();
        let settings = connection.settings().unwrap();
        assert!(settings.are_safe(), "{role:?}: {settings:?}");
        let written = connection.sql.execute("DELETE FROM objects WHERE false", []);
        assert_eq!(written.is_ok(), role == Role::Writer);
    }
}

#[test]
fn settings_that_lose_something_are_not_safe() {
    let safe = || Settings { journal: "wal".to_owned(), synchronous: 2, mmap: 0 };
    assert!(safe().are_safe());
    for unsafe_ in [
        Settings { journal: "delete".to_owned(), ..safe() },
        Settings { synchronous: 1, ..safe() },
        Settings { mmap: 1, ..safe() },
    ] {
        assert!(!unsafe_.are_safe(), "{unsafe_:?}");
    }
}
