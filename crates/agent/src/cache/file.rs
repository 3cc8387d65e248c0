//! The file of the snapshot cache: an SQLite database. Changes are appended to it; a listing is written to a new file, which replaces
//! the old one when it is complete.
//!
//! Versions of objects are only appended, which costs the same whatever the size of the file: the last version of an object is the
//! current one. A version that is not known to be unreadable counts as valid, so the last valid version is one of those before.
//! The store is authoritative, so a change that the disk loses in a power failure does no harm; but what is in the file is what the
//! store held at some time.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use tortie_api::{Key, Kind};
use tortie_store::{Event, Position, Revision, Stored, Value};

use super::identity::{self, Identity};
use crate::dataplane::chain;
use crate::logger::event;
use crate::status_cell;

/// The fact that names the kinds of objects that are copied: those that the release knew which made the copy.
const KINDS: &str = "kinds";
/// The fact that names the node.
const NODE: &str = "node";

/// How many objects of a snapshot are handed over at once.
const PAGE: usize = 1_000;

/// Without a value, the object is gone. A value that is text says why the store could not read the object. A revision that is text
/// is one of a store that does not count, behind a `=`.
const SCHEMA: &str = "
    pragma user_version = 1;
    create table facts (name text primary key, value) without rowid;
    create table forms (
        id integer primary key, key text not null, revision integer not null, value blob, bad integer not null default 0
    );
    create index bad on forms (key) where bad;
";

/// The formats that are read: that of [`SCHEMA`], and the same of releases that wrote no version. A file of another format is not
/// used, and the next listing replaces it.
const FORMATS: [i64; 2] = [0, 1];

/// Whether a file is of a format that is read.
fn is_known(sql: &Connection) -> bool {
    let version = sql.query_row("pragma user_version", [], |row| row.get(0));
    version.is_ok_and(|version| FORMATS.contains(&version))
}

/// Made when an object is first asked for: most copies are only written.
const BY_KEY: &str = "create index if not exists by_key on forms (key)";

/// Leaves the last form of each object, and the last that is not bad.
const SHORTEN: &str = "
    delete from forms where id not in (select max(id) from forms group by key)
        and id not in (select max(id) from forms where not bad group by key);
    delete from forms where value is null;
";

/// Each object as it is now.
const PRESENT: &str = "
    select key, revision, value from forms
    where id in (select max(id) from forms group by key) and value is not null";

/// A copy may grow by its own length and by so many forms before it is made shorter.
const SLACK: i64 = 50_000;

/// Why the copy cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// The database.
    #[error("{}", chain(.0))]
    Sql(#[from] rusqlite::Error),
    /// Its file.
    #[error(transparent)]
    File(#[from] io::Error),
}

type Result<T> = std::result::Result<T, CacheError>;

/// A form of an object.
type Form = (Revision, Arc<[u8]>);

/// The cache as it is written.
pub(super) struct CacheFile {
    path: PathBuf,
    now: Option<Connection>,
    /// The number at which it is made shorter.
    full: i64,
    /// A listing that is not whole yet.
    new: Option<Connection>,
    /// The node whose policy is in force, by its name.
    node: Option<String>,
    /// A listing of one kind that is not whole yet: what it has so far.
    part: Option<Part>,
}

/// A listing of one kind. It goes into the copy that exists.
struct Part {
    kind: Kind,
    seen: HashSet<String>,
}

impl CacheFile {
    /// Continues with an existing file. A file that is not a snapshot cache is ignored, and is replaced by the next listing.
    pub(super) fn open(path: &Path) -> Self {
        let now = read(path);
        let full = now.as_ref().and_then(|now| full(now).ok()).unwrap_or(0);
        let node = now.as_ref().and_then(|now| fact(now, NODE));
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

    /// Nothing more can be written. What exists must not be taken for complete.
    pub(super) fn give_up(&mut self) {
        self.drop_new();
        if self.tear().is_err() {
            self.now = None;
            remove(&self.path);
        }
    }

    /// Adds changes, after which the store is at this position; something before them may be missing.
    pub(super) fn changes(&mut self, changes: &[Event], position: &Position, torn: bool) -> Result<()> {
        if torn {
            self.drop_new();
            self.tear()?;
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
        // Nobody reads it before it is whole.
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
        self.part = Some(Part { kind, seen: HashSet::new() });
    }

    /// A piece of it.
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

    /// It is whole, at this position; or it was given up.
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
            && let Err(error) = carry(now, &new)
        {
            log::warn!(target: event::CACHE_FAILED, "last valid versions of an earlier copy are lost: {error}");
        }
        received(&new, position)?;
        set(&new, "whole", "yes")?;
        new.execute_batch("commit")?;
        new.close().map_err(|(_, error)| error)?;
        File::open(self.new_path())?.sync_data()?;
        // The old one's log must not be taken for the new one's.
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

    /// The last valid version of an object that is bad as it is now.
    pub(super) fn last_valid(&mut self, present: &Stored) -> Result<Option<Form>> {
        let good = match &self.now {
            Some(now) => good(now, present)?,
            None => None,
        };
        match (&self.new, &self.now) {
            (Some(new), _) if mark(new, present)? => before(new, &present.key, good.as_ref())?,
            (None, Some(now)) => drop(mark(now, present)?),
            _ => {}
        }
        Ok(good)
    }

    fn tear(&mut self) -> Result<()> {
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

/// Removes a database. One that cannot be removed cannot be written either, which is reported then.
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

/// The number of the form with which a copy of this length is made shorter.
fn full(sql: &Connection) -> Result<i64> {
    let (last, count): (i64, i64) =
        sql.query_row("select coalesce(max(id), 0), count(*) from forms", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(last + count + SLACK)
}

/// Adds the forms that differ from what the copy has.
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

/// What the copy has of a kind and a listing has not is gone. The copy knows the kind up to this position then.
fn note_deleted(now: &mut Connection, part: &Part, at: &Position) -> Result<()> {
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

/// The last valid version of an object that is bad in this one, which may not be noted yet.
fn good(sql: &Connection, present: &Stored) -> Result<Option<Form>> {
    sql.execute_batch(BY_KEY)?;
    let mut find = sql.prepare_cached(
        "select revision, value from forms where key = ?1 and not bad and typeof(value) != 'text' and not (revision = ?2 and value is ?3) order by id desc",
    )?;
    let present = params![present.key.path(), to_sql(&present.revision), ToSqlOutput::Borrowed(value(&present.value))];
    let form = |row: &Row<'_>| Ok((from_sql(row.get_ref(0)?)?, row.get::<_, Option<Vec<u8>>>(1)?));
    let last = find.query_row(present, form).optional()?;
    Ok(last.and_then(|(revision, value)| Some((revision, value?.into()))))
}

/// Notes that an object is bad in this form; whether it is its present one, and was not known to be bad.
fn mark(sql: &Connection, present: &Stored) -> Result<bool> {
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

/// Puts a form before all others.
fn before(sql: &Connection, key: &Key, form: Option<&Form>) -> Result<()> {
    let Some((revision, value)) = form else { return Ok(()) };
    sql.prepare_cached("insert into forms (id, key, revision, value) select min(id) - 1, ?1, ?2, ?3 from forms")?
        .execute(params![key.path(), to_sql(revision), &value[..]])?;
    Ok(())
}

/// Objects that are as bad as they were are not asked about again, and keep their last valid version all the same.
fn carry(now: &Connection, new: &Connection) -> Result<()> {
    let mut bad = now.prepare("select key, revision, value from forms where bad")?;
    let mut bad = bad.query([])?;
    while let Some(row) = bad.next()? {
        if let Some(present) = stored(row)?
            && mark(new, &present)?
        {
            before(new, &present.key, good(now, &present)?.as_ref())?;
        }
    }
    Ok(())
}

/// The object of a row; none under a key that this version does not know: it was no object for it before either.
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
    set(sql, "written", &status_cell::now())
}

/// Up to where the history of the store is in a copy.
fn position(sql: &Connection) -> Option<Position> {
    serde_json::from_str(&fact(sql, "revision")?).ok()
}

fn fact(sql: &Connection, name: &str) -> Option<String> {
    sql.query_row("select value from facts where name = ?1", [name], |row| row.get(0)).ok()
}

/// What the file holds of a store.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    path: PathBuf,
    /// What the store was.
    pub(crate) store: String,
    /// Its identity, and how far it was seen.
    pub(crate) identity: Identity,
    /// The node whose policy was in force; none if an earlier release wrote the copy, which did not note it.
    pub(crate) node: Option<String>,
}

/// A snapshot that is complete.
pub(crate) struct Held {
    sql: Connection,
    /// When it was written, as UTC.
    pub(crate) written: String,
    /// How far the store had come.
    pub(crate) position: Position,
}

impl Snapshot {
    /// The copy at a path.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let sql = read(path)?;
        let identity = Identity {
            guid: fact(&sql, "guid").filter(|guid| !guid.is_empty()),
            position: position(&sql).unwrap_or_default(),
        };
        let node = fact(&sql, NODE);
        Some(Self { path: path.to_owned(), store: fact(&sql, "store")?, identity, node })
    }

    /// Whether an endpoint in it is of this node, or cannot be read so far that its node is known. A copy that cannot be
    /// read may have some.
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
    pub(crate) fn hold(&self) -> Option<Held> {
        let sql = read(&self.path)?;
        fact(&sql, "whole")?;
        let (written, position) = (fact(&sql, "written")?, position(&sql)?);
        Some(Held { sql, written, position })
    }
}

/// What the file holds at one moment, for commands that ask what is in force. It is only read: the connection neither shortens
/// the log nor removes it, which would damage a file that has replaced this one meanwhile.
pub(crate) struct SnapshotReader {
    sql: Connection,
    /// How far the store had come; none if the copy is not known as a whole.
    pub(crate) position: Option<Position>,
}

impl SnapshotReader {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let sql = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        sql.execute_batch("begin")?;
        let whole = fact(&sql, "whole").is_some();
        let position = if whole { position(&sql) } else { None };
        Ok(Self { sql, position })
    }

    /// The kinds of objects that are copied; none if an earlier release made the copy, which did not note them.
    pub(super) fn kinds(&self) -> Option<Vec<String>> {
        Some(fact(&self.sql, KINDS)?.split(' ').map(str::to_owned).collect())
    }

    /// The valid version of an object that is of a revision.
    pub(crate) fn version(&self, key: &Key, revision: &Revision) -> Result<Option<Stored>> {
        let mut find = self.sql.prepare_cached(
            "select key, revision, value from forms
             where key = ?1 and revision = ?2 and not bad and value is not null order by id desc",
        )?;
        let mut rows = find.query(params![key.path(), to_sql(revision)])?;
        rows.next()?.map_or(Ok(None), stored)
    }

    /// Gives every object, one by one, as long as they are taken.
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

impl Held {
    /// Tells everything in it, piece by piece.
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
