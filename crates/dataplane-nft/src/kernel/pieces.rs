//! A table that is longer than one send may be: in a user namespace, or where the socket's buffers are limited.
//!
//! It is built in pieces without base chains, so that no packet asks it yet. One small batch then makes the base chains, and the
//! next deletes the table before it. (The flag `dormant` would do as well, but that of an owned table cannot be cleared.) Two
//! tables cannot have one name, so it is built beside the table in force first, under the second name, and once that is in
//! force built anew under its own.

use tortie_nft::{CommitError, Table, TableId};

use super::Kernel;
use super::replace::{OurTables, second};
use crate::script::Script;
use crate::table_content::TableContent;

impl Kernel {
    /// Puts a whole table in place of what exists, in pieces.
    pub(super) fn replace_in_pieces(
        &mut self,
        ruleset: &TableContent,
        mut there: OurTables,
    ) -> Result<(), CommitError> {
        let own = self.table.clone();
        let beside = Table { id: second(&own.id), ..own.clone() };
        if there.own && !there.second_in_force {
            self.build(&beside, there.second, ruleset)?;
            self.switch(&beside.id, Some(&own.id), ruleset)?;
            there = OurTables { own: false, own_as_wanted: false, second: true, second_in_force: true };
        }
        self.build(&own, there.own, ruleset)?;
        self.switch(&own.id, there.second.then_some(&beside.id), ruleset)
    }

    /// Builds a table in pieces, without base chains. Nothing of it is left if the kernel refuses a piece.
    fn build(&mut self, table: &Table, is_there: bool, ruleset: &TableContent) -> Result<(), CommitError> {
        let mut script = Script::in_pieces(&table.id, self.socket.send_limit() / 2);
        if is_there {
            script.batch.remove_table(&table.id);
        }
        script.batch.add_table(table);
        script.fill_unhooked(ruleset);
        for batch in script.into_batches() {
            if let Err(error) = self.commit_batch(&batch) {
                // What is left of it is replaced by the next try.
                drop(self.remove_table(&table.id));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Builds a dormant table with its base chains.
    pub(super) fn build_trial(&mut self, trial: &Table, ruleset: &TableContent) -> Result<(), CommitError> {
        self.build(trial, true, ruleset)?;
        let mut script = Script::new(&trial.id);
        script.hook(ruleset);
        self.commit(&script)
    }

    /// Gives a table its base chains, and deletes the one before it once they are in force.
    fn switch(&mut self, on: &TableId, gone: Option<&TableId>, ruleset: &TableContent) -> Result<(), CommitError> {
        let mut script = Script::new(on);
        script.hook(ruleset);
        self.commit(&script)?;
        gone.map_or(Ok(()), |gone| self.retire_table(gone))
    }
}
