//! Who changed what: entries, their changes, and how one that was not confirmed is put back.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tortie_api::{Key, Kind};
use tortie_store::history::{LoggedChange, Pending, PutBack, by_object, tier_of};
use tortie_store::{Author, HistoryEntry, Op, Selection, Write};

use crate::faults::{self, Fault};
use crate::read::{self, from_sql, to_sql};
use crate::{schema, write};

/// A query of entries, with what was put back.
fn select(sql: &Connection, rest: &str) -> rusqlite::Result<String> {
    let ends = match schema::has_put_backs(sql)? {
        true => {
            "EXISTS (SELECT 1 FROM put_backs WHERE act = acts.first),
             (SELECT act FROM put_backs WHERE put_backs.first = acts.first)"
        }
        false => "0, NULL",
    };
    let takes_back = match schema::has_take_backs(sql)? {
        true => "(SELECT first FROM take_backs WHERE take_backs.act = acts.first)",
        false => "NULL",
    };
    Ok(format!(
        "SELECT first, last, time, uid, sudo_user, command, message, deadline, enforced, {ends}, {takes_back} FROM acts {rest}"
    ))
}

/// All entries, the newest first; none in a file that an older tortie wrote.
pub(crate) fn entries(sql: &Connection) -> rusqlite::Result<Vec<HistoryEntry>> {
    if schema::version(sql)? < 2 {
        return Ok(Vec::new());
    }
    sql.prepare_cached(&select(sql, "ORDER BY first DESC")?)?.query_map([], entry)?.collect()
}

/// The entries with a change from the first of these revisions up to the last, the newest first.
pub(crate) fn entries_between(sql: &Connection, from: u64, to: u64) -> rusqlite::Result<Vec<HistoryEntry>> {
    if schema::version(sql)? < 2 {
        return Ok(Vec::new());
    }
    let mut statement = sql.prepare_cached(&select(sql, "WHERE last >= ?1 AND first <= ?2 ORDER BY first DESC")?)?;
    statement.query_map(params![to_sql(from), to_sql(to)], entry)?.collect()
}

/// The entries that wait for a confirmation, the newest first.
pub(crate) fn pending(sql: &Connection) -> rusqlite::Result<Vec<(HistoryEntry, Pending)>> {
    if schema::version(sql)? < 2 {
        return Ok(Vec::new());
    }
    let mut statement = sql.prepare_cached(&select(sql, "WHERE deadline IS NOT NULL ORDER BY first DESC")?)?;
    let found = statement.query_map([], entry)?.collect::<rusqlite::Result<Vec<HistoryEntry>>>()?;
    Ok(found.into_iter().filter_map(|entry| entry.pending.map(|pending| (entry, pending))).collect())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<HistoryEntry> {
    let number = |at| -> rusqlite::Result<u64> { Ok(from_sql(row.get(at)?)) };
    let deadline: Option<i64> = row.get(7)?;
    let enforced: Option<i64> = row.get(8)?;
    Ok(HistoryEntry {
        first: number(0)?,
        last: number(1)?,
        time: number(2)?,
        author: Author {
            uid: row.get(3)?,
            sudo_user: row.get(4)?,
            host: String::new(),
            command: row.get(5)?,
            message: row.get(6)?,
            confirm_within: None,
            takes_back: row.get::<_, Option<i64>>(11)?.map(from_sql),
        },
        pending: deadline.map(|deadline| Pending { deadline: from_sql(deadline), enforced: enforced.map(from_sql) }),
        expired: row.get(9)?,
        puts_back: row.get::<_, Option<i64>>(10)?.map(from_sql),
    })
}

/// The changes of an entry, in their order. Those of kinds that this release does not know are skipped.
pub(crate) fn changes(sql: &Connection, entry: &HistoryEntry) -> rusqlite::Result<Vec<LoggedChange>> {
    if schema::version(sql)? < 2 {
        return Ok(Vec::new());
    }
    let mut statement = sql.prepare_cached(
        "SELECT kind, namespace, name, revision, before, value FROM log WHERE revision BETWEEN ?1 AND ?2 ORDER BY revision",
    )?;
    let mut rows = statement.query(params![to_sql(entry.first), to_sql(entry.last)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(key) = read::key(row)? else { continue };
        let value = |at| -> rusqlite::Result<_> { Ok(row.get_ref(at)?.as_blob_or_null()?.map(Into::into)) };
        found.push(LoggedChange { revision: from_sql(row.get(3)?), key, before: value(4)?, after: value(5)? });
    }
    Ok(found)
}

/// Notes when an entry was in the kernel.
pub(crate) fn note_enforced(sql: &Connection, entry: &HistoryEntry, time: u64) -> rusqlite::Result<()> {
    sql.prepare_cached("UPDATE acts SET enforced = ?2 WHERE first = ?1 AND enforced IS NULL")?
        .execute(params![to_sql(entry.first), to_sql(time)])?;
    Ok(())
}

/// Ends the wait of an entry for its confirmation. False if it did not wait.
pub(crate) fn end_waiting(sql: &Connection, first: u64) -> rusqlite::Result<bool> {
    let changed = sql
        .prepare_cached("UPDATE acts SET deadline = NULL WHERE first = ?1 AND deadline IS NOT NULL")?
        .execute([to_sql(first)])?;
    Ok(changed > 0)
}

/// Puts back what an entry changed, except what others depend on now and what somebody else has changed since. None if it does not wait any more.
pub(crate) fn put_back(sql: &Connection, first: u64, author: &Author) -> rusqlite::Result<Option<PutBack>> {
    let found = sql.prepare_cached(&select(sql, "WHERE first = ?1")?)?.query_row([to_sql(first)], entry).optional()?;
    let Some(entry) = found else { return Ok(None) };
    if !end_waiting(sql, first)? {
        return Ok(None);
    }
    schema::keep_put_backs(sql)?;
    let begin = read::extent(sql)?.last;
    let mut last = begin;
    let mut done = PutBack::default();
    let mut all = by_object(changes(sql, &entry)?);
    // The policies of a tier go before it.
    all.sort_by_key(|change| change.key.kind == Kind::Tier && change.before.is_none());
    for change in all {
        let current = read::get(sql, &change.key)?;
        let now = current.as_ref().map(|stored| &*stored.value);
        let is_ours = now == change.after.as_deref()
            && (!is_changed_since(sql, &change)? || faults::is_on(Fault::PutBackByContent));
        if !is_ours && !faults::is_on(Fault::PutBackAll) {
            let list = if hand_on(sql, &change)? { &mut done.waiting } else { &mut done.left };
            list.push(change.key);
            continue;
        }
        let op = change.taking_back(current.as_ref());
        if matches!(op, Some(Op::Delete(_)))
            && let Some(policy) = policy_in(sql, &change.key)?
        {
            done.in_use.push((change.key, policy));
            continue;
        }
        if let Some(op) = op {
            let write = Write { key: change.key.clone(), op };
            if write::one(sql, &write, last + 1)?.is_ok() {
                last += 1;
            }
        }
        done.restored.push(change.key);
    }
    write::note_entry(sql, begin + 1, last, author)?;
    sql.prepare_cached("DELETE FROM put_backs WHERE act < (SELECT min(first) FROM acts)")?.execute([])?;
    sql.prepare_cached("INSERT OR REPLACE INTO put_backs (act, first) VALUES (?1, ?2)")?
        .execute(params![to_sql(first), (last > begin).then(|| to_sql(begin + 1))])?;
    Ok(Some(done))
}

/// Later changes of an object (kind, namespace, name) than a revision, except what was put back itself and what put it back.
const CHANGED_SINCE: &str = "kind = ?1 AND namespace = ?2 AND name = ?3 AND revision > ?4 AND NOT EXISTS (
    SELECT 1 FROM acts JOIN put_backs ON acts.first IN (put_backs.act, put_backs.first)
    WHERE log.revision BETWEEN acts.first AND acts.last)";

/// Whether anybody changed this object after this change. What was put back itself does not count, nor what put it back.
fn is_changed_since(sql: &Connection, change: &LoggedChange) -> rusqlite::Result<bool> {
    let (kind, namespace, name) = (change.key.kind.name(), &change.key.namespace, &change.key.name);
    sql.prepare_cached(&format!("SELECT EXISTS (SELECT 1 FROM log WHERE {CHANGED_SINCE})"))?
        .query_row(params![kind, namespace, name, to_sql(change.revision)], |row| row.get(0))
}

/// A policy that is in this tier; one that cannot be read is in none.
fn policy_in(sql: &Connection, tier: &Key) -> rusqlite::Result<Option<Key>> {
    if tier.kind != Kind::Tier || faults::is_on(Fault::PutBackUsedTiers) {
        return Ok(None);
    }
    for kind in Kind::TIERED {
        for stored in read::list(sql, &Selection { kind: Some(kind), ..Selection::default() })?.items {
            if tier_of(&stored).as_deref() == Some(&tier.name) {
                return Ok(Some(stored.key));
            }
        }
    }
    Ok(None)
}

/// Where a later change of this object waits for a confirmation itself, it is put back to what was before this one: nobody has
/// confirmed what is in between. Whether one waits.
fn hand_on(sql: &Connection, change: &LoggedChange) -> rusqlite::Result<bool> {
    if faults::is_on(Fault::PutBackForgets) {
        return Ok(false);
    }
    let (kind, namespace, name) = (change.key.kind.name(), &change.key.namespace, &change.key.name);
    // One that expired before told the one after it what to put back.
    let next: Option<i64> = sql
        .prepare_cached(&format!("SELECT min(revision) FROM log WHERE {CHANGED_SINCE}"))?
        .query_row(params![kind, namespace, name, to_sql(change.revision)], |row| row.get(0))?;
    let Some(next) = next else { return Ok(false) };
    let handed = sql
        .prepare_cached(
            "UPDATE log SET before = ?2 WHERE revision = ?1 AND EXISTS
             (SELECT 1 FROM acts WHERE first <= ?1 AND last >= ?1 AND deadline IS NOT NULL)",
        )?
        .execute(params![next, change.before.as_deref()])?;
    Ok(handed > 0)
}
