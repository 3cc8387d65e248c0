//! A table that is longer than one send may be: in a user namespace, or where the socket's buffers are limited.
//!
//! It is built in pieces without base chains, so that no packet asks it yet. One small batch then makes the base chains and
//! deletes the table before it. (The flag `dormant` would do as well, but that of an owned table cannot be cleared.) Two
//! tables cannot have one name, so it is built beside the table in force first, under a second name, and once that is in
//! force built anew under its own. Policy is in force at every moment, and what is interrupted is taken up by the next
//! try.

use tortie_nft::{CommitError, Table, TableId};

use super::Kernel;
use crate::batch::Script;
use crate::form::Ruleset;

/// Our tables that exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct OurTables {
    /// The table.
    pub(super) own: bool,
    /// The one under the second name.
    pub(super) second: bool,
    /// Whether that one has base chains and is not dormant: an agent ended while it built the other anew.
    pub(super) second_in_force: bool,
}

/// The second name of a table.
pub(super) fn second(id: &TableId) -> TableId {
    TableId { name: format!("{}-next", id.name), ..id.clone() }
}

impl Kernel {
    /// Puts a whole table in place of what exists.
    pub(super) fn replace_table(&mut self, ruleset: &Ruleset, there: OurTables) -> Result<(), CommitError> {
        let mut script = Script::new(&self.table.id);
        if there.second {
            script.batch.delete_table(&second(&self.table.id));
        }
        script.replace(&self.table, there.own, ruleset);
        match self.commit(&script) {
            Err(CommitError::TooLong { .. }) => self.replace_in_pieces(ruleset, there),
            other => other,
        }
    }

    fn replace_in_pieces(&mut self, ruleset: &Ruleset, mut there: OurTables) -> Result<(), CommitError> {
        let own = self.table.clone();
        let beside = Table { id: second(&own.id), ..own.clone() };
        if there.own && !there.second_in_force {
            self.build(&beside, there.second, ruleset)?;
            self.switch(&beside.id, Some(&own.id), ruleset)?;
            there = OurTables { own: false, second: true, second_in_force: true };
        }
        self.build(&own, there.own, ruleset)?;
        self.switch(&own.id, there.second.then_some(&beside.id), ruleset)
    }

    /// Builds a table in pieces, without base chains. Nothing of it is left if the kernel refuses a piece.
    fn build(&mut self, table: &Table, is_there: bool, ruleset: &Ruleset) -> Result<(), CommitError> {
        let mut script = Script::in_pieces(&table.id, self.socket.send_limit() / 2);
        if is_there {
            script.batch.remove_table(&table.id);
        }
        script.batch.add_table(table);
        script.fill_unhooked(ruleset);
        for batch in script.into_batches() {
            if let Err(error) = self.commit_batch(&batch) {
                let mut script = Script::new(&table.id);
                script.batch.remove_table(&table.id);
                // What is left of it is replaced by the next try.
                drop(self.commit(&script));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Builds a dormant table with its base chains.
    pub(super) fn build_trial(&mut self, trial: &Table, ruleset: &Ruleset) -> Result<(), CommitError> {
        self.build(trial, true, ruleset)?;
        let mut script = Script::new(&trial.id);
        script.hook(ruleset);
        self.commit(&script)
    }

    /// Gives a table its base chains, and deletes the one before it.
    fn switch(&mut self, on: &TableId, gone: Option<&TableId>, ruleset: &Ruleset) -> Result<(), CommitError> {
        let mut script = Script::new(on);
        if let Some(gone) = gone {
            script.batch.delete_table(gone);
        }
        script.hook(ruleset);
        self.commit(&script)
    }
}
