//! The file of the snapshot cache: an SQLite database. Changes are appended to it; a listing is written to a new file, which replaces
//! the old one when it is complete.
//!
//! Versions of objects are only appended, which costs the same whatever the size of the file: the last version of an object is the
//! current one. A version that is not marked as unreadable counts as valid, so the last valid version is an earlier row of the same
//! object. The store is authoritative: a change that is lost in a power failure is read from the store again, but the file must never
//! hold what the store never held. In the tables `forms` are versions of objects, `bad` marks an unreadable one, and `facts` are named
//! values about the whole file; without the fact `whole` the file is incomplete.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use tortie_api::{Key, Kind, error_with_causes};
use tortie_store::{Event, Position, Revision, Stored, Value};

use super::identity::{self, Identity};
use crate::log_event;
use crate::utc;

/// The fact with the kinds of objects in the file: those that the release which wrote it knew.
const KINDS: &str = "kinds";
/// The fact with the name of the node whose policy is in force.
const NODE: &str = "node";
/// The fact with the reason why the store has another history.
const OTHER_HISTORY: &str = "other-history";

/// How many objects [`CompleteSnapshot::pages`] passes in one call.
const PAGE: usize = 1_000;

/// A row without a value means that the object was deleted. A value of type text is the reason why the store could not read the
/// object. A revision of type text, which begins with `=`, is one of a store whose revisions are not numbers.
const SCHEMA: &str = "
    pragma user_version = 1;
    create table facts (name text primary key, value) without rowid;
    create table forms (
        id integer primary key, key text not null, revision integer not null, value blob, bad integer not null default 0
    );
    create index bad on forms (key) where bad;
";

/// The format versions that are read: that of [`SCHEMA`], and 0, the same tables from releases that set no version. A file of
/// another version is not used, and the next listing replaces it.
const FORMATS: [i64; 2] = [0, 1];

/// Whether a file has a format version that is read.
fn is_known(sql: &Connection) -> bool {
    let version = sql.query_row("pragma user_version", [], |row| row.get(0));
    version.is_ok_and(|version| FORMATS.contains(&version))
}

/// Created when an object is first looked up: most files are only written.
const BY_KEY: &str = "create index if not exists by_key on forms (key)";

/// Deletes all but the last version and the last valid version of each object.
const SHORTEN: &str = "
    delete from forms where id not in (select max(id) from forms group by key)
        and id not in (select max(id) from forms where not bad group by key);
    delete from forms where value is null;
";

/// The current version of each object that exists.
const PRESENT: &str = "
    select key, revision, value from forms
    where id in (select max(id) from forms group by key) and value is not null";

/// The file may grow by its own number of versions and by this many before [`SHORTEN`] runs.
const SLACK: i64 = 50_000;

/// Why the file cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// The database.
    #[error("{}", error_with_causes(.0))]
    Sql(#[from] rusqlite::Error),
    /// Its file.
    #[error(transparent)]
    File(#[from] io::Error),
}

type Result<T> = std::result::Result<T, CacheError>;

/// A version of an object.
type Version = (Revision, Arc<[u8]>);

/// The cache as it is written.
pub(super) struct CacheFile {
    path: PathBuf,
    now: Option<Connection>,
    /// The row number after which [`SHORTEN`] runs.
    full: i64,
    /// The file of a listing that is not complete yet.
    new: Option<Connection>,
    /// The node whose policy is in force, by its name.
    node: Option<String>,
    /// A listing of one kind that is not complete yet.
    part: Option<KindListing>,
}

/// A listing of one kind. It is written to the existing file.
struct KindListing {
    kind: Kind,
    /// The paths of the objects received so far.
    seen: HashSet<String>,
}

impl CacheFile {
    /// Continues with an existing file. A file that is not a snapshot cache is ignored, and is replaced by the next listing.
    pub(super) fn open(path: &Path) -> Self {
        let now = read(path);
        let full = now.as_ref().and_then(|now| full(now).ok()).unwrap_or(0);
        let node = now.as_ref().and_then(|now| meta_value(now, NODE));
        Self { path: path.to_owned(), now, full, new: None, node, part: None }
    }

    /// Remembers the node whose policy is in force.
    pub(super) fn set_node(&mut self, node: String) -> Result<()> {
        if self.node.as_ref() == Some(&node) {
            return Ok(());
        }
        for sql in self.now.iter().chain(&self.new) {
            set(sql, NODE, &node)?;
        }
        self.node = Some(node);
        Ok(())
    }

    /// Remembers why the store has another history, until all of it is listed again.
    pub(super) fn set_other_history(&self, why: &str) -> Result<()> {
        self.now.iter().try_for_each(|sql| set(sql, OTHER_HISTORY, why))
    }

    /// Called when nothing more can be written: marks the existing file as incomplete, or removes it.
    pub(super) fn give_up(&mut self) {
        self.drop_new();
        if self.mark_incomplete().is_err() {
            self.now = None;
            remove(&self.path);
        }
    }

    /// Appends changes, after which the store is at this position. `torn`: changes before them may be missing, so the file is marked
    /// as incomplete first.
    pub(super) fn changes(&mut self, changes: &[Event], position: &Position, torn: bool) -> Result<()> {
        if torn {
            self.drop_new();
            self.mark_incomplete()?;
        }
        let Some(now) = self.now.as_mut().filter(|_| !changes.is_empty()) else { return Ok(()) };
        let sql = now.transaction()?;
        for change in changes {
            match change {
                Event::Put(stored) => add(&sql, &stored.key, &stored.revision, Some(&stored.value))?,
                Event::Deleted(key, revision) => add(&sql, key, revision, None)?,
            }
            if *change.key() == identity::key() {
                let guid = if let Event::Put(stored) = change { identity::guid(stored) } else { None };
                set(&sql, "guid", guid.as_deref().unwrap_or_default())?;
            }
        }
        received(&sql, position)?;
        if sql.last_insert_rowid() > self.full {
            sql.execute_batch(SHORTEN)?;
            self.full = full(&sql)?;
        }
        Ok(sql.commit()?)
    }

    /// A listing of everything begins.
    pub(super) fn listing(&mut self, store: &str) -> Result<()> {
        self.drop_new();
        self.part = None;
        let path = self.new_path();
        let new = Connection::open(&path)?;
        restrict(&path)?;
        // Nothing reads the new file before it is complete.
        new.execute_batch("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -1024")?;
        new.execute_batch(SCHEMA)?;
        new.execute_batch("begin")?;
        set(&new, "store", store)?;
        set(&new, KINDS, &Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" "))?;
        if let Some(node) = &self.node {
            set(&new, NODE, node)?;
        }
        self.new = Some(new);
        Ok(())
    }

    /// A listing of one kind begins.
    pub(super) fn listing_of(&mut self, kind: Kind) {
        self.part = Some(KindListing { kind, seen: HashSet::new() });
    }

    /// The next objects of the current listing.
    pub(super) fn page(&mut self, items: &[Stored]) -> Result<()> {
        if let Some(part) = &mut self.part {
            part.seen.extend(items.iter().map(|stored| stored.key.path()));
            return self.now.as_mut().map_or(Ok(()), |now| note_changed(now, items));
        }
        let Some(new) = &self.new else { return Ok(()) };
        if let Some(guid) = items.iter().find_map(identity::guid) {
            set(new, "guid", &guid)?;
        }
        items.iter().try_for_each(|stored| add(new, &stored.key, &stored.revision, Some(&stored.value)))
    }

    /// The current listing is complete at this position; without a position it was given up.
    pub(super) fn listed(&mut self, position: Option<&Position>) -> Result<()> {
        let Some(position) = position else {
            self.drop_new();
            self.part = None;
            return Ok(());
        };
        if let Some(part) = self.part.take() {
            return self.now.as_mut().map_or(Ok(()), |now| note_deleted(now, &part, position));
        }
        let Some(new) = self.new.take() else { return Ok(()) };
        if let Some(now) = &self.now
            && let Err(error) = carry_last_valid(now, &new)
        {
            log::warn!(target: log_event::CACHE_FAILED, "last valid versions of an earlier copy are lost: {error}");
        }
        received(&new, position)?;
        set(&new, "whole", "yes")?;
        new.execute_batch("commit")?;
        new.close().map_err(|(_, error)| error)?;
        File::open(self.new_path())?.sync_data()?;
        // SQLite would replay the write-ahead log of the old file into the new one.
        self.now = None;
        for log in ["-wal", "-shm"] {
            match fs::remove_file(with(&self.path, log)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        fs::rename(self.new_path(), &self.path)?;
        let now = connect(&self.path)?;
        self.full = full(&now)?;
        self.now = Some(now);
        Ok(())
    }

    /// Marks the current version of an object as unreadable, and returns its last valid version.
    pub(super) fn last_valid(&mut self, present: &Stored) -> Result<Option<Version>> {
        let last_valid = match &self.now {
            Some(now) => find_last_valid(now, present)?,
            None => None,
        };
        match (&self.new, &self.now) {
            (Some(new), _) if mark_unreadable(new, present)? => insert_first(new, &present.key, last_valid.as_ref())?,
            (None, Some(now)) => drop(mark_unreadable(now, present)?),
            _ => {}
        }
        Ok(last_valid)
    }

    fn mark_incomplete(&mut self) -> Result<()> {
        let Some(now) = &self.now else { return Ok(()) };
        now.execute("delete from facts where name = 'whole'", [])?;
        Ok(())
    }

    fn drop_new(&mut self) {
        self.new = None;
        remove(&self.new_path());
    }

    fn new_path(&self) -> PathBuf {
        with(&self.path, ".new")
    }
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// Removes a database. An error is ignored: the next write to the same path fails too, and that is reported.
fn remove(path: &Path) {
    for end in ["", "-wal", "-shm"] {
        drop(fs::remove_file(with(path, end)));
    }
}

fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

fn connect(path: &Path) -> Result<Connection> {
    let sql = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // No sync to disk for each change.
    sql.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = normal; pragma cache_size = -1024;
         pragma journal_size_limit = 16777216",
    )?;
    sql.prepare("select bad from forms")?;
    Ok(sql)
}

/// The row number after which [`SHORTEN`] runs on a file with this many versions.
fn full(sql: &Connection) -> Result<i64> {
    let (last, count): (i64, i64) =
        sql.query_row("select coalesce(max(id), 0), count(*) from forms", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(last + count + SLACK)
}

/// Appends the objects whose current version in the file is another one.
fn note_changed(now: &mut Connection, items: &[Stored]) -> Result<()> {
    let sql = now.transaction()?;
    sql.execute_batch(BY_KEY)?;
    for item in items {
        let known = {
            let mut find = sql.prepare_cached(
                "select revision = ?2 and value is ?3 from forms where id = (select max(id) from forms where key = ?1)",
            )?;
            let form = params![item.key.path(), to_sql(&item.revision), ToSqlOutput::Borrowed(value(&item.value))];
            find.query_row(form, |row| row.get::<_, bool>(0)).optional()?
        };
        if known != Some(true) {
            add(&sql, &item.key, &item.revision, Some(&item.value))?;
        }
    }
    Ok(sql.commit()?)
}

/// Marks the objects of a kind that its listing did not contain as deleted, and advances the position of the file.
fn note_deleted(now: &mut Connection, part: &KindListing, at: &Position) -> Result<()> {
    let sql = now.transaction()?;
    let mut gone = Vec::new();
    {
        let mut rows = sql.prepare(PRESENT)?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            gone.extend(stored(row)?.filter(|one| one.key.kind == part.kind && !part.seen.contains(&one.key.path())));
        }
    }
    for one in gone {
        add(&sql, &one.key, &one.revision, None)?;
    }
    let mut whole = position(&sql).unwrap_or_default();
    whole.advance(at);
    received(&sql, &whole)?;
    Ok(sql.commit()?)
}

fn to_sql(revision: &Revision) -> rusqlite::types::Value {
    match revision.number() {
        Some(number) => number.cast_signed().into(),
        None => format!("={revision}").into(),
    }
}

fn from_sql(revision: ValueRef<'_>) -> rusqlite::Result<Revision> {
    Ok(match revision {
        ValueRef::Text(text) => Revision::from(String::from_utf8_lossy(text).trim_start_matches('=')),
        other => other.as_i64()?.cast_unsigned().into(),
    })
}

fn value(value: &Value) -> ValueRef<'_> {
    match value.unreadable() {
        Some(reason) => ValueRef::Text(reason.as_bytes()),
        None => ValueRef::Blob(value),
    }
}

fn add(sql: &Connection, key: &Key, revision: &Revision, form: Option<&Value>) -> Result<()> {
    let mut insert = sql.prepare_cached("insert into forms (key, revision, value) values (?1, ?2, ?3)")?;
    insert.execute(params![key.path(), to_sql(revision), form.map(value).map(ToSqlOutput::Borrowed)])?;
    Ok(())
}

/// The last valid version of an object whose version `present` is unreadable, also when that is not marked yet.
fn find_last_valid(sql: &Connection, present: &Stored) -> Result<Option<Version>> {
    sql.execute_batch(BY_KEY)?;
    let mut find = sql.prepare_cached(
        "select revision, value from forms where key = ?1 and not bad and typeof(value) != 'text' and not (revision = ?2 and value is ?3) order by id desc",
    )?;
    let present = params![present.key.path(), to_sql(&present.revision), ToSqlOutput::Borrowed(value(&present.value))];
    let form = |row: &Row<'_>| Ok((from_sql(row.get_ref(0)?)?, row.get::<_, Option<Vec<u8>>>(1)?));
    let last = find.query_row(present, form).optional()?;
    Ok(last.and_then(|(revision, value)| Some((revision, value?.into()))))
}

/// Marks this version of an object as unreadable, if it is the current one. Returns whether it was not marked before.
fn mark_unreadable(sql: &Connection, present: &Stored) -> Result<bool> {
    sql.execute_batch(BY_KEY)?;
    let mut mark = sql.prepare_cached(
        "update forms set bad = 1 where id = (select max(id) from forms where key = ?1)
         and revision = ?2 and value is ?3 and not bad",
    )?;
    Ok(mark.execute(params![
        present.key.path(),
        to_sql(&present.revision),
        ToSqlOutput::Borrowed(value(&present.value))
    ])? > 0)
}

/// Inserts a version before all other rows, so that it is older than every version of the same object.
fn insert_first(sql: &Connection, key: &Key, form: Option<&Version>) -> Result<()> {
    let Some((revision, value)) = form else { return Ok(()) };
    sql.prepare_cached("insert into forms (id, key, revision, value) select min(id) - 1, ?1, ?2, ?3 from forms")?
        .execute(params![key.path(), to_sql(revision), &value[..]])?;
    Ok(())
}

/// Copies the marks and the last valid versions of objects that are unreadable and unchanged: the agent reports an unreadable
/// version only once.
fn carry_last_valid(now: &Connection, new: &Connection) -> Result<()> {
    let mut bad = now.prepare("select key, revision, value from forms where bad")?;
    let mut bad = bad.query([])?;
    while let Some(row) = bad.next()? {
        if let Some(present) = stored(row)?
            && mark_unreadable(new, &present)?
        {
            insert_first(new, &present.key, find_last_valid(now, &present)?.as_ref())?;
        }
    }
    Ok(())
}

/// The object of a row; none if the key is of a kind that this release does not know.
fn stored(row: &Row<'_>) -> Result<Option<Stored>> {
    let key: String = row.get(0)?;
    let Ok(key) = key.parse::<Key>() else { return Ok(None) };
    let value = match row.get_ref(2)? {
        ValueRef::Text(reason) => Value::cannot_be_read(String::from_utf8_lossy(reason)),
        json => json.as_blob().map_err(rusqlite::Error::from)?.into(),
    };
    Ok(Some(Stored { key, revision: from_sql(row.get_ref(1)?)?, value }))
}

fn set(sql: &Connection, name: &str, value: &str) -> Result<()> {
    sql.prepare_cached("insert or replace into facts values (?1, ?2)")?.execute([name, value])?;
    Ok(())
}

fn received(sql: &Connection, position: &Position) -> Result<()> {
    set(sql, "revision", &serde_json::to_string(position).unwrap_or_default())?;
    set(sql, "written", &utc::now())
}

/// The position of the store up to which the file has its changes.
fn position(sql: &Connection) -> Option<Position> {
    serde_json::from_str(&meta_value(sql, "revision")?).ok()
}

fn meta_value(sql: &Connection, name: &str) -> Option<String> {
    sql.query_row("select value from facts where name = ?1", [name], |row| row.get(0)).ok()
}

/// What the file holds of a store.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    path: PathBuf,
    /// The description of the store.
    pub(crate) store: String,
    /// The identity of the store, and the position up to which it was read.
    pub(crate) identity: Identity,
    /// The node whose policy was in force; none if the release that wrote the file did not record it.
    pub(crate) node: Option<String>,
}

/// A snapshot that is complete.
pub(crate) struct CompleteSnapshot {
    sql: Connection,
    /// When it was written, as UTC.
    pub(crate) written: String,
    /// The position of the store.
    pub(crate) position: Position,
}

impl Snapshot {
    /// The snapshot at a path.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let sql = read(path)?;
        let identity = Identity {
            guid: meta_value(&sql, "guid").filter(|guid| !guid.is_empty()),
            position: position(&sql).unwrap_or_default(),
            other_history: meta_value(&sql, OTHER_HISTORY),
        };
        let node = meta_value(&sql, NODE);
        Some(Self { path: path.to_owned(), store: meta_value(&sql, "store")?, identity, node })
    }

    /// Whether it holds an endpoint of this node, or one whose node cannot be read. Also true when the file cannot be read.
    pub(crate) fn has_endpoints_of(&self, node: &str) -> bool {
        let find = || {
            let sql = read(&self.path)?;
            let mut rows = sql.prepare(PRESENT).ok()?;
            let mut rows = rows.query([]).ok()?;
            while let Some(row) = rows.next().ok()? {
                if stored(row).ok()?.is_some_and(|stored| is_endpoint_of(&stored, node)) {
                    return Some(true);
                }
            }
            Some(false)
        };
        find().unwrap_or(true)
    }

    /// Opens it; none if it is not complete.
    pub(crate) fn open_complete(&self) -> Option<CompleteSnapshot> {
        let sql = read(&self.path)?;
        meta_value(&sql, "whole")?;
        let (written, position) = (meta_value(&sql, "written")?, position(&sql)?);
        Some(CompleteSnapshot { sql, written, position })
    }
}

/// What the file holds at one moment, for commands that ask what is in force. It is only read: the connection neither shortens
/// the log nor removes it, which would damage a file that has replaced this one meanwhile.
pub(crate) struct SnapshotReader {
    sql: Connection,
    /// The position of the store; none if the file is incomplete.
    pub(crate) position: Option<Position>,
}

impl SnapshotReader {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let sql = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        sql.execute_batch("begin")?;
        let whole = meta_value(&sql, "whole").is_some();
        let position = if whole { position(&sql) } else { None };
        Ok(Self { sql, position })
    }

    /// The kinds of objects in the file; none if the release that wrote it did not record them.
    pub(super) fn kinds(&self) -> Option<Vec<String>> {
        Some(meta_value(&self.sql, KINDS)?.split(' ').map(str::to_owned).collect())
    }

    /// The version of an object at a revision, unless it is marked as unreadable.
    pub(crate) fn version(&self, key: &Key, revision: &Revision) -> Result<Option<Stored>> {
        let mut find = self.sql.prepare_cached(
            "select key, revision, value from forms
             where key = ?1 and revision = ?2 and not bad and value is not null order by id desc",
        )?;
        let mut rows = find.query(params![key.path(), to_sql(revision)])?;
        rows.next()?.map_or(Ok(None), stored)
    }

    /// Passes every object to `take`, until that fails.
    pub(crate) fn each<E>(
        &self,
        mut take: impl FnMut(Stored) -> std::result::Result<(), E>,
    ) -> Result<std::result::Result<(), E>> {
        let mut rows = self.sql.prepare(PRESENT)?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(stored) = stored(row)?
                && let Err(error) = take(stored)
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

fn is_endpoint_of(stored: &Stored, node: &str) -> bool {
    if !matches!(stored.key.kind, Kind::HostEndpoint | Kind::WorkloadEndpoint) {
        return false;
    }
    let value = serde_json::from_slice::<serde_json::Value>(&stored.value).unwrap_or_default();
    value["spec"]["node"].as_str().is_none_or(|named| named == node)
}

fn read(path: &Path) -> Option<Connection> {
    path.exists().then(|| connect(path).ok().filter(is_known))?
}

impl CompleteSnapshot {
    /// Passes every object to `page`, up to [`PAGE`] and some more in each call.
    pub(super) fn pages(&self, page: &mut dyn FnMut(Vec<Stored>)) -> Result<()> {
        let mut rows = self.sql.prepare(PRESENT)?;
        let mut rows = rows.query([])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            items.extend(stored(row)?);
            if items.len() >= PAGE {
                page(std::mem::take(&mut items));
            }
        }
        page(items);
        Ok(())
    }
}
