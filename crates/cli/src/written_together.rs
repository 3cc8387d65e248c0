//! What a command says of changes that a store was to write together, when it has stopped before the last: etcd takes only so many in one
//! transaction.

use tortie_store::{Stopped, Write, WrittenTogether};

/// An error if a change was not written, or may not have been. `rest` says what writes those that are missing.
pub(crate) fn all_or_error(written: WrittenTogether, writes: &[Write], rest: &str) -> anyhow::Result<()> {
    let made = written.made.len();
    let some = format!("{made} of {} changes were written", writes.len());
    match written.stopped {
        None => Ok(()),
        Some(Stopped::Failed(error)) => {
            anyhow::bail!("{error}: {some}, and it is not known whether more were; once the store answers, {rest}")
        }
        Some(Stopped::Refused(refused)) => {
            let of = |at: usize| writes.get(at).map(|write| write.key.as_argument()).unwrap_or_default();
            let all: Vec<String> = refused.iter().map(|(at, why)| format!("{}: {why}", of(*at))).collect();
            let part = if made == 0 { "nothing was written".to_owned() } else { format!("{some}; {rest}") };
            anyhow::bail!("{}: {part}", all.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use tortie_api::{Key, Kind};
    use tortie_store::memory::MemoryStore;
    use tortie_store::{Store as _, StoreError, WriteError};

    use super::*;

    #[test]
    fn changes_that_were_written_before_the_store_stopped_are_counted() {
        let writes = ["a", "b"].map(|name| Write::create(Key::cluster(Kind::Tier, name), &b"{}"[..]));
        let first = MemoryStore::new().write_together(&writes[..1]).unwrap().made;
        let said = |made: &[_], stopped| {
            let written = WrittenTogether { made: made.to_vec(), stopped: Some(stopped) };
            all_or_error(written, &writes, "`tortie undo 7` takes back the rest").unwrap_err().to_string()
        };
        let refused = said(&first, Stopped::Refused(vec![(1, WriteError::Missing)]));
        let end = ": 1 of 2 changes were written; `tortie undo 7` takes back the rest";
        assert!(refused.starts_with("tier/b: ") && refused.ends_with(end), "{refused}");
        let refused = said(&[], Stopped::Refused(vec![(0, WriteError::Missing)]));
        assert!(refused.starts_with("tier/a: ") && refused.ends_with(": nothing was written"), "{refused}");
        let failed = said(&[], Stopped::Failed(StoreError::Failed("no answer".to_owned())));
        assert!(failed.contains("0 of 2 changes were written, and it is not known whether more were"), "{failed}");
    }
}
