//! Who changed what: acts, their changes, and how one that was not confirmed is put back.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tortie_store::history::{LoggedChange, Pending, PutBack, by_object};
use tortie_store::{Act, Author, Op, Write};

use crate::faults::{self, Fault};
use crate::read::{self, from_sql, to_sql};
use crate::{schema, write};

const COLUMNS: &str = "first, last, time, uid, sudo_user, command, message, deadline, enforced";

/// All acts, the newest first; none in a file that an older tortie wrote.
pub(crate) fn acts(sql: &Connection) -> rusqlite::Result<Vec<Act>> {
    if schema::version(sql)? < 2 {
        return Ok(Vec::new());
    }
    sql.prepare_cached(&format!("SELECT {COLUMNS} FROM acts ORDER BY first DESC"))?.query_map([], act)?.collect()
}

/// Those that wait for a confirmation, the newest first.
pub(crate) fn pending(sql: &Connection) -> rusqlite::Result<Vec<(Act, Pending)>> {
    if schema::version(sql)? < 2 {
        return Ok(Vec::new());
    }
    let mut statement =
        sql.prepare_cached(&format!("SELECT {COLUMNS} FROM acts WHERE deadline IS NOT NULL ORDER BY first DESC"))?;
    let found = statement.query_map([], act)?.collect::<rusqlite::Result<Vec<Act>>>()?;
    Ok(found.into_iter().filter_map(|act| act.pending.map(|pending| (act, pending))).collect())
}

fn act(row: &Row<'_>) -> rusqlite::Result<Act> {
    let number = |at| -> rusqlite::Result<u64> { Ok(from_sql(row.get(at)?)) };
    let deadline: Option<i64> = row.get(7)?;
    let enforced: Option<i64> = row.get(8)?;
    Ok(Act {
        first: number(0)?,
        last: number(1)?,
        time: number(2)?,
        author: Author {
            uid: row.get(3)?,
            sudo_user: row.get(4)?,
            command: row.get(5)?,
            message: row.get(6)?,
            confirm_within: None,
        },
        pending: deadline.map(|deadline| Pending { deadline: from_sql(deadline), enforced: enforced.map(from_sql) }),
    })
}

/// The changes of an act, in their order. Those of kinds that this release does not know are passed over.
pub(crate) fn changes(sql: &Connection, act: &Act) -> rusqlite::Result<Vec<LoggedChange>> {
    if schema::version(sql)? < 2 {
        return Ok(Vec::new());
    }
    let mut statement = sql.prepare_cached(
        "SELECT kind, namespace, name, revision, before, value FROM log WHERE revision BETWEEN ?1 AND ?2 ORDER BY revision",
    )?;
    let mut rows = statement.query(params![to_sql(act.first), to_sql(act.last)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(key) = read::key(row)? else { continue };
        let value = |at| -> rusqlite::Result<_> { Ok(row.get_ref(at)?.as_blob_or_null()?.map(Into::into)) };
        found.push(LoggedChange { revision: from_sql(row.get(3)?), key, before: value(4)?, after: value(5)? });
    }
    Ok(found)
}

/// Notes when an act was in the kernel.
pub(crate) fn note_enforced(sql: &Connection, act: &Act, time: u64) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE acts SET enforced = ?2 WHERE first = ?1 AND enforced IS NULL")?
        .execute(params![to_sql(act.first), to_sql(time)])?;
    Ok(())
}

/// Lets an act wait no more. False when it did not wait.
pub(crate) fn settle(sql: &Connection, first: u64) -> rusqlite::Result<bool> {
    let changed = sql
        .prepare_cached("UPDATE acts SET deadline = NULL WHERE first = ?1 AND deadline IS NOT NULL")?
        .execute([to_sql(first)])?;
    Ok(changed > 0)
}

/// Puts back what an act changed, but not what somebody else has changed since. None when it does not wait any more.
pub(crate) fn put_back(sql: &Connection, first: u64, author: &Author) -> rusqlite::Result<Option<PutBack>> {
    let found = sql
        .prepare_cached(&format!("SELECT {COLUMNS} FROM acts WHERE first = ?1"))?
        .query_row([to_sql(first)], act)
        .optional()?;
    let Some(act) = found else { return Ok(None) };
    if !settle(sql, first)? {
        return Ok(None);
    }
    let begin = read::extent(sql)?.last;
    let mut last = begin;
    let mut done = PutBack::default();
    for change in by_object(changes(sql, &act)?) {
        let current = read::get(sql, &change.key)?;
        let is_ours = current.as_ref().map(|stored| &*stored.value) == change.after.as_deref();
        if !is_ours && !faults::is_on(Fault::PutBackAll) {
            hand_on(sql, &change)?;
            done.left.push(change.key);
            continue;
        }
        let op = match (&current, change.before) {
            (None, None) => None,
            (None, Some(before)) => Some(Op::Create(before)),
            (Some(stored), Some(before)) => Some(Op::Update(before, stored.revision.clone())),
            (Some(stored), None) => Some(Op::Delete(Some(stored.revision.clone()))),
        };
        if let Some(op) = op {
            let write = Write { key: change.key.clone(), op };
            if write::one(sql, &write, last + 1)?.is_ok() {
                last += 1;
            }
        }
        done.restored.push(change.key);
    }
    write::note_act(sql, begin + 1, last, author)?;
    Ok(Some(done))
}

/// Where a later change of this object waits for a confirmation itself, it is put back to what was before this one: nobody has
/// confirmed what is in between.
fn hand_on(sql: &Connection, change: &LoggedChange) -> rusqlite::Result<()> {
    if faults::is_on(Fault::PutBackForgets) {
        return Ok(());
    }
    let (kind, namespace, name) = (change.key.kind.name(), &change.key.namespace, &change.key.name);
    let next: Option<i64> = sql
        .prepare_cached(
            "SELECT min(revision) FROM log WHERE kind = ?1 AND namespace = ?2 AND name = ?3 AND revision > ?4",
        )?
        .query_row(params![kind, namespace, name, to_sql(change.revision)], |row| row.get(0))?;
    if let Some(next) = next {
        sql.prepare_cached(
            "UPDATE log SET before = ?2 WHERE revision = ?1 AND EXISTS
             (SELECT 1 FROM acts WHERE first <= ?1 AND last >= ?1 AND deadline IS NOT NULL)",
        )?
        .execute(params![next, change.before.as_deref()])?;
    }
    Ok(())
}
