//! What is in the file: its tables, its version, and the marks by which it is known.

use rusqlite::Connection;

/// `application_id` in the header of every store of ours: "tort".
pub(crate) const APPLICATION_ID: i32 = 0x746f_7274;

/// The version of the tables, kept in `user_version` and read in every transaction. A tortie that knows
/// only older ones refuses the file; its agent goes on with what it has in force and says so.
pub(crate) const VERSION: i64 = 2;

/// The oldest version that is still read, and carried over by the first write.
pub(crate) const OLDEST: i64 = 1;

/// The tables. `objects` is what is; `log` is what happened, one row a revision without gaps, with no value
/// where an object was removed. The last row of the log is always kept: its revision is the store's.
const TABLES: &str = "
    CREATE TABLE objects (
        kind      TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name      TEXT NOT NULL,
        revision  INTEGER NOT NULL,
        value     BLOB NOT NULL,
        PRIMARY KEY (kind, namespace, name)
    ) STRICT;
    CREATE TABLE log (
        revision  INTEGER PRIMARY KEY,
        kind      TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name      TEXT NOT NULL,
        value     BLOB
    ) STRICT;
";

/// Version 2: what an object was before each change; and acts, one row a transaction that wrote something, with the revisions
/// of its changes, who made them, and by when they must be confirmed. Times are in milliseconds since 1970.
const HISTORY: &str = "
    ALTER TABLE log ADD COLUMN before BLOB;
    CREATE TABLE acts (
        first     INTEGER PRIMARY KEY,
        last      INTEGER NOT NULL,
        time      INTEGER NOT NULL,
        uid       INTEGER NOT NULL,
        sudo_user TEXT NOT NULL,
        command   TEXT NOT NULL,
        message   TEXT NOT NULL,
        deadline  INTEGER,
        enforced  INTEGER
    ) STRICT;
    CREATE INDEX pending ON acts (deadline) WHERE deadline IS NOT NULL;
";

/// The acts that were put back, and the first revision of what put them back, if that wrote anything. The first one that is put
/// back makes the table: nobody who does not know it is kept from the file.
const PUT_BACKS: &str = "CREATE TABLE IF NOT EXISTS put_backs (act INTEGER PRIMARY KEY, first INTEGER) STRICT";

/// Makes the table of what was put back, if it is not there.
pub(crate) fn keep_put_backs(sql: &Connection) -> rusqlite::Result<()> {
    sql.execute_batch(PUT_BACKS)
}

/// Whether anything was ever put back.
pub(crate) fn has_put_backs(sql: &Connection) -> rusqlite::Result<bool> {
    has_table(sql, "put_backs")
}

/// The acts that took another one back, and the first revision of that one. The first of them makes the table.
const TAKE_BACKS: &str =
    "CREATE TABLE IF NOT EXISTS take_backs (act INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT";

/// Makes the table of what was taken back, if it is not there.
pub(crate) fn keep_take_backs(sql: &Connection) -> rusqlite::Result<()> {
    sql.execute_batch(TAKE_BACKS)
}

/// Whether anything was ever taken back.
pub(crate) fn has_take_backs(sql: &Connection) -> rusqlite::Result<bool> {
    has_table(sql, "take_backs")
}

fn has_table(sql: &Connection, name: &str) -> rusqlite::Result<bool> {
    sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1)")?
        .query_row([name], |row| row.get(0))
}

/// The bytes of a store in which nothing is, in WAL mode from the start.
pub(crate) fn empty_file() -> rusqlite::Result<Vec<u8>> {
    let mut memory = Connection::open_in_memory()?;
    memory.pragma_update(None, "application_id", APPLICATION_ID)?;
    memory.pragma_update(None, "user_version", VERSION)?;
    memory.execute_batch(TABLES)?;
    memory.execute_batch(HISTORY)?;
    let mut bytes = memory.serialize(rusqlite::MAIN_DB)?.to_vec();
    // The versions to write and to read it: 2 says WAL (the file format's section 1.3).
    bytes[18..20].fill(2);
    Ok(bytes)
}

/// The version of the open transaction's file.
pub(crate) fn version(sql: &Connection) -> rusqlite::Result<i64> {
    sql.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))
}

/// Brings the file of an older tortie to this version, within the transaction of a write.
pub(crate) fn carry_over(sql: &Connection, from: i64) -> rusqlite::Result<()> {
    if from < 2 {
        sql.execute_batch(HISTORY)?;
        sql.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(())
}
