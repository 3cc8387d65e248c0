//! Writes: a batch in one transaction, each object in a savepoint of its own, or all objects in one; and the
//! trimming of the log.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, ErrorCode, params};
use tortie_store::{Author, Op, Position, Unsupported, Write, WriteError, Written};

use crate::faults::{self, Fault};
use crate::read::{self, Extent, to_sql};
use crate::schema;

/// How much of the log is kept before a batch.
#[derive(Clone, Copy)]
pub(crate) struct LogRetention {
    /// This many revisions,
    pub(crate) revisions: u64,
    /// as long as their values have no more bytes than this.
    pub(crate) bytes: u64,
}

/// The largest value that is accepted, in bytes (with its key): 16 MiB.
pub(crate) const LARGEST: usize = 16 << 20;

/// Makes each change or says why not. The log keeps at least the last revisions before the batch, and
/// all of the batch: who watches closely is never cut off by one large write. Where those revisions have more
/// bytes of values than `keep` says it keeps fewer, and a watch from before them is answered as compacted.
pub(crate) fn batch(
    sql: &Connection,
    writes: &[Write],
    keep: LogRetention,
    author: &Author,
) -> rusqlite::Result<Vec<Result<Written, WriteError>>> {
    let extent = read::extent(sql)?;
    let mut last = extent.last;
    let mut results = Vec::with_capacity(writes.len());
    for write in writes {
        let result = in_savepoint(sql, |sql| one(sql, write, last + 1))?;
        if let Ok(written) = &result {
            last = written.revision.number().unwrap_or(last);
        }
        results.push(result);
    }
    let before = |written: &Written| written.previous.as_ref().map_or(0, |previous| previous.value.len());
    let bytes = writes.iter().map(|write| value_of(write).map_or(0, |value| value.len())).sum::<usize>()
        + results.iter().flatten().map(before).sum::<usize>();
    note_entry(sql, extent.last + 1, last, author)?;
    trim(sql, extent, LogEntry { revisions: last - extent.last, bytes: bytes as u64 }, keep)?;
    Ok(results)
}

/// Makes all changes or none of them: then the answers that are no refusals say what would have been made.
pub(crate) fn whole(
    sql: &Connection,
    writes: &[Write],
    keep: LogRetention,
    author: &Author,
) -> rusqlite::Result<Vec<Result<Written, WriteError>>> {
    sql.execute_batch("SAVEPOINT whole")?;
    let answers = batch(sql, writes, keep, author)?;
    if answers.iter().any(Result::is_err) && !faults::is_on(Fault::HalfBatch) {
        sql.execute_batch("ROLLBACK TO whole")?;
    }
    sql.execute_batch("RELEASE whole")?;
    Ok(answers)
}

/// Stores the author of the changes of this transaction.
pub(crate) fn note_entry(sql: &Connection, first: u64, last: u64, author: &Author) -> rusqlite::Result<()> {
    if last < first {
        return Ok(());
    }
    let now = now();
    let deadline = author.confirm_within.map(|within| now.saturating_add(millis(within)));
    sql.prepare_cached(
        "INSERT INTO acts (first, last, time, uid, sudo_user, command, message, deadline)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        to_sql(first),
        to_sql(last),
        to_sql(now),
        author.uid,
        author.sudo_user,
        author.command,
        author.message,
        deadline.map(to_sql)
    ])?;
    if let Some(taken) = author.takes_back {
        schema::keep_take_backs(sql)?;
        sql.prepare_cached("DELETE FROM take_backs WHERE act < (SELECT min(first) FROM acts)")?.execute([])?;
        sql.prepare_cached("INSERT INTO take_backs (act, first) VALUES (?1, ?2)")?
            .execute(params![to_sql(first), to_sql(taken)])?;
    }
    Ok(())
}

/// The time, in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A change that is either made whole or leaves no trace, without an end to the batch.
fn in_savepoint(
    sql: &Connection,
    change: impl FnOnce(&Connection) -> rusqlite::Result<Result<Written, WriteError>>,
) -> rusqlite::Result<Result<Written, WriteError>> {
    let run = |text| sql.prepare_cached(text)?.execute([]);
    run("SAVEPOINT object")?;
    let result = match change(sql) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::TooBig) => Err(too_large()),
        other => other?,
    };
    if result.is_err() {
        run("ROLLBACK TO object")?;
    }
    run("RELEASE object")?;
    Ok(result)
}

fn too_large() -> WriteError {
    WriteError::Refused("it is larger than 16 MiB".to_owned())
}

fn value_of(write: &Write) -> Option<&Arc<[u8]>> {
    match &write.op {
        Op::Create(value) | Op::Update(value, _) => Some(value),
        Op::Delete(_) => None,
    }
}

/// Makes one change, or says why not.
pub(crate) fn one(sql: &Connection, write: &Write, revision: u64) -> rusqlite::Result<Result<Written, WriteError>> {
    if !write.key.kind.is_calico() {
        let unsupported = Unsupported::default();
        return Ok(Err(unsupported.refusal(write.op.operation())));
    }
    let previous = read::get(sql, &write.key)?;
    if let Err(refused) = write.op.check(previous.as_ref()) {
        let ignored = faults::is_on(Fault::IgnoreRevision) && matches!(refused, WriteError::Conflict(_));
        if !ignored {
            return Ok(Err(refused));
        }
    }
    let (kind, namespace, name) = (write.key.kind.name(), &write.key.namespace, &write.key.name);
    let value = value_of(write);
    let at = to_sql(revision);
    let bytes: Option<&[u8]> = value.map(Arc::as_ref);
    let row = kind.len() + namespace.len() + name.len() + bytes.map_or(0, <[u8]>::len);
    if row + ROW_HEAD > LARGEST {
        return Ok(Err(too_large()));
    }
    let before: Option<&[u8]> = previous.as_ref().map(|previous| &*previous.value);
    sql.prepare_cached(
        "INSERT INTO log (revision, kind, namespace, name, value, before) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![at, kind, namespace, name, bytes, before])?;
    if faults::is_on(Fault::HalfObject) {
        sql.execute_batch("COMMIT; BEGIN IMMEDIATE; SAVEPOINT object")?;
    }
    match bytes {
        Some(bytes) => sql
            .prepare_cached(
                "INSERT INTO objects (kind, namespace, name, revision, value) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET revision = excluded.revision, value = excluded.value",
            )?
            .execute(params![kind, namespace, name, at, bytes])?,
        None => sql
            .prepare_cached("DELETE FROM objects WHERE kind = ?1 AND namespace = ?2 AND name = ?3")?
            .execute(params![kind, namespace, name])?,
    };
    Ok(Ok(Written { revision: revision.into(), position: Position::at(revision), previous }))
}

/// The bytes of a row beside its values.
const ROW_HEAD: usize = 32;

/// What a batch adds to the log.
struct LogEntry {
    revisions: u64,
    bytes: u64,
}

/// How many revisions pass, or bytes come, until the bytes of the log are counted again.
const COUNT_EVERY: u64 = 64;
const COUNT_BYTES: u64 = 1 << 18;

/// Removes what the log need not keep, a little more than was added: so a backlog goes away in time, and no
/// single write pays for it.
fn trim(sql: &Connection, before: Extent, added: LogEntry, keep: LogRetention) -> rusqlite::Result<()> {
    if added.revisions == 0 || before.first == 0 || faults::is_on(Fault::SkipTrim) {
        return Ok(());
    }
    let mut old = before.last.saturating_sub(keep.revisions);
    let mut most = 2 * added.revisions + 16;
    let last = before.last + added.revisions;
    if added.bytes >= COUNT_BYTES || last / COUNT_EVERY > before.last / COUNT_EVERY {
        let over = read::older_than_bytes(sql, before.last, keep.bytes)?;
        if over > old {
            old = over;
            most = most.max(2 * COUNT_EVERY);
        }
    }
    if before.first > old {
        return Ok(());
    }
    let mut upto = old.min(before.first + most);
    // What waits for a confirmation may have to be put back.
    if let Some(first) = read::first_pending(sql)?
        && !faults::is_on(Fault::TrimUnconfirmed)
    {
        upto = upto.min(first.saturating_sub(1));
    }
    sql.prepare_cached("DELETE FROM log WHERE revision <= ?1")?.execute([to_sql(upto)])?;
    sql.prepare_cached("DELETE FROM acts WHERE last <= ?1")?.execute([to_sql(upto)])?;
    Ok(())
}
