//! What is read: one object, a list, the log after a revision. Rows of kinds that this tortie does not know
//! (a newer one wrote them) are skipped.

use std::hash::{DefaultHasher, Hash, Hasher};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use tortie_api::{Key, Kind};
use tortie_store::{Event, Listing, Position, Selection, Stored};

/// SQLite's integers are signed; a revision beyond them was never reached.
pub(crate) fn to_sql(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

pub(crate) fn from_sql(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

/// What the log still holds: the first and the last revision. Both 0 when nothing was ever written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Extent {
    /// The oldest revision that can be watched from.
    pub(crate) fn oldest_revision(self) -> u64 {
        self.first.saturating_sub(1)
    }
}

pub(crate) fn extent(sql: &Connection) -> rusqlite::Result<Extent> {
    // Two searches: SQLite answers min or max from the end of the tree, but not both in one.
    sql.prepare_cached("SELECT (SELECT min(revision) FROM log), (SELECT max(revision) FROM log)")?.query_row(
        [],
        |row| {
            let end = |at| -> rusqlite::Result<u64> { Ok(from_sql(row.get::<_, Option<i64>>(at)?.unwrap_or(0))) };
            Ok(Extent { first: end(0)?, last: end(1)? })
        },
    )
}

pub(crate) fn get(sql: &Connection, key: &Key) -> rusqlite::Result<Option<Stored>> {
    sql.prepare_cached("SELECT revision, value FROM objects WHERE kind = ?1 AND namespace = ?2 AND name = ?3")?
        .query_row(params![key.kind.name(), key.namespace, key.name], |row| {
            Ok(Stored {
                key: key.clone(),
                revision: from_sql(row.get(0)?).into(),
                value: row.get_ref(1)?.as_blob()?.into(),
            })
        })
        .optional()
}

pub(crate) fn list(sql: &Connection, selection: &Selection) -> rusqlite::Result<Listing> {
    let (condition, parameters) = condition(selection);
    let mut statement = sql.prepare_cached(&format!(
        "SELECT kind, namespace, name, revision, value FROM objects WHERE {condition}
         ORDER BY kind, namespace, name"
    ))?;
    let mut rows = statement.query(params_from_iter(parameters))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(key) = key(row)? {
            items.push(Stored {
                key,
                revision: from_sql(row.get(3)?).into(),
                value: row.get_ref(4)?.as_blob()?.into(),
            });
        }
    }
    Ok(Listing { position: Position::at(extent(sql)?.last), items })
}

/// How many objects of unknown kinds are named; more than that is no longer read one by one by anybody.
const UNKNOWN: usize = 1_000;

/// The objects of kinds that this release does not know, each as a line. Each kind is one search, so that this is cheap where
/// there are none.
pub(crate) fn unknown(sql: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut next = sql.prepare_cached("SELECT min(kind) FROM objects WHERE kind > ?1")?;
    let mut of =
        sql.prepare_cached("SELECT namespace, name FROM objects WHERE kind = ?1 ORDER BY namespace, name LIMIT ?2")?;
    let mut lines = Vec::new();
    let mut last = String::new();
    while let Some(kind) = next.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
        if Kind::from_name(&kind).is_none() {
            let mut rows = of.query(params![kind, i64::try_from(UNKNOWN - lines.len().min(UNKNOWN)).unwrap_or(0)])?;
            while let Some(row) = rows.next()? {
                let (namespace, name): (String, String) = (row.get(0)?, row.get(1)?);
                let slash = if namespace.is_empty() { "" } else { "/" };
                lines.push(format!("{kind}({namespace}{slash}{name}) is of a kind that this release does not know"));
            }
        }
        last = kind;
    }
    Ok(lines)
}

/// The last revision before `last` that the log has more than `bytes` of values behind, up to `last`; 0 if there is none.
pub(crate) fn older_than_bytes(sql: &Connection, last: u64, bytes: u64) -> rusqlite::Result<u64> {
    // SQLite keeps the length of a value beside it, so no value is read.
    let mut statement = sql.prepare_cached(
        "SELECT revision, coalesce(length(value), 0) + coalesce(length(before), 0) FROM log WHERE revision <= ?1 ORDER BY revision DESC",
    )?;
    let mut rows = statement.query([to_sql(last)])?;
    let mut sum = 0;
    while let Some(row) = rows.next()? {
        sum += from_sql(row.get(1)?);
        if sum > bytes {
            return Ok(from_sql(row.get(0)?));
        }
    }
    Ok(0)
}

/// The first revision of what waits for a confirmation.
pub(crate) fn first_pending(sql: &Connection) -> rusqlite::Result<Option<u64>> {
    let found: Option<i64> = sql
        .prepare_cached("SELECT min(first) FROM acts WHERE deadline IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(found.map(from_sql))
}

/// A piece of the log.
pub(crate) struct Piece {
    pub(crate) events: Vec<Event>,
    /// Everything up to here is in the piece or not of the selection.
    pub(crate) upto: u64,
    /// What the log holds.
    pub(crate) extent: Extent,
    /// The entry at the revision after which the piece begins, and the one at `upto`.
    pub(crate) ends: [Option<Entry>; 2],
}

/// What tells an entry of the log from any other at its revision: a hash.
pub(crate) type Entry = u64;

fn entry(sql: &Connection, revision: u64) -> rusqlite::Result<Option<Entry>> {
    sql.prepare_cached("SELECT kind, namespace, name, value FROM log WHERE revision = ?1")?
        .query_row([to_sql(revision)], |row| {
            let mut hasher = DefaultHasher::new();
            for column in 0..3 {
                row.get_ref(column)?.as_str()?.hash(&mut hasher);
            }
            row.get_ref(3)?.as_blob_or_null()?.hash(&mut hasher);
            Ok(hasher.finish())
        })
        .optional()
}

/// How much of the log is read at once, so that no read is long and no watcher swells.
const PIECE_ROWS: usize = 500;
const PIECE_BYTES: usize = 4 << 20;

/// The events of a selection after a revision, or the first of them.
pub(crate) fn after(sql: &Connection, selection: &Selection, from: u64) -> rusqlite::Result<Piece> {
    let extent = extent(sql)?;
    let mut piece = Piece { events: Vec::new(), upto: extent.last, extent, ends: [entry(sql, from)?, None] };
    let (condition, mut parameters) = condition(selection);
    parameters.push(to_sql(from).into());
    let mut statement = sql.prepare_cached(&format!(
        "SELECT kind, namespace, name, revision, value FROM log WHERE {condition} AND revision > ?
         ORDER BY revision"
    ))?;
    let mut rows = statement.query(params_from_iter(parameters))?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let Some(key) = key(row)? else { continue };
        let revision = from_sql(row.get(3)?);
        piece.events.push(match row.get_ref(4)?.as_blob_or_null()? {
            Some(value) => {
                bytes += value.len();
                Event::Put(Stored { key, revision: revision.into(), value: value.into() })
            }
            None => Event::Deleted(key, revision.into()),
        });
        if piece.events.len() >= PIECE_ROWS || bytes >= PIECE_BYTES {
            piece.upto = revision;
            break;
        }
    }
    piece.ends[1] = if piece.upto == from { piece.ends[0] } else { entry(sql, piece.upto)? };
    Ok(piece)
}

/// The columns `kind, namespace, name` as a key.
pub(crate) fn key(row: &Row<'_>) -> rusqlite::Result<Option<Key>> {
    let Some(kind) = Kind::from_name(row.get_ref(0)?.as_str()?) else {
        return Ok(None);
    };
    Ok(Some(Key { kind, namespace: row.get(1)?, name: row.get(2)? }))
}

/// A selection as SQL, with the parameters for its question marks.
fn condition(selection: &Selection) -> (&'static str, Vec<Value>) {
    let kind = selection.kind.map(|kind| kind.name().to_owned().into());
    let namespace = selection.namespace.clone().map(Value::from);
    let condition = match (&kind, &namespace) {
        (None, None) => "true",
        (Some(_), None) => "kind = ?",
        (None, Some(_)) => "namespace = ?",
        (Some(_), Some(_)) => "kind = ? AND namespace = ?",
    };
    (condition, kind.into_iter().chain(namespace).collect())
}
