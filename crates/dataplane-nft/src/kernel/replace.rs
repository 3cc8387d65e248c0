//! Puts a whole table in place of what exists, so that policy is in force at every moment.
//!
//! Where a table exists, one with the same content is in force beside it meanwhile, under the second name. A packet on another
//! processor looks in maps by the content of that moment while it follows the rules of the moment before: during the change it
//! may find neither the old elements nor the new rules, or be taken for one of an unknown interface. So the table's base chains go
//! first, in a transaction that leaves its maps as they are, and so do those of the one beside it afterwards. What is
//! interrupted is taken up by the next try. A table that is longer than one send may be is built in [`pieces`](super::pieces).
//!
//! What an earlier agent left is read first: where it is what is to be there, it stays, with its counts.

use tortie_nft::{CommitError, Table, TableId, dump};

use super::Kernel;
use crate::faults::is_on;
use crate::programmed::Shared;
use crate::script::Script;
use crate::table_content::TableContent;
use crate::watch;

/// Our tables that exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct OurTables {
    /// The table.
    pub(super) own: bool,
    /// Whether its flags are those that it is to have.
    pub(super) own_as_wanted: bool,
    /// The one under the second name.
    pub(super) second: bool,
    /// Whether that one has base chains and is not dormant: an agent ended while it replaced the other.
    pub(super) second_in_force: bool,
}

/// The second name of a table.
pub(super) fn second(id: &TableId) -> TableId {
    TableId { name: format!("{}-next", id.name), ..id.clone() }
}

impl Kernel {
    /// Whether an earlier agent left exactly this content. Where it cannot be read it is not.
    pub(super) fn is_left(&mut self, ruleset: &TableContent, there: OurTables) -> bool {
        if self.plan.is_some() || self.begun || !there.own_as_wanted || there.second {
            return false;
        }
        let wanted = Shared::new(true);
        wanted.lock().replaced(ruleset);
        let damage = watch::everything(&mut self.socket, &self.table.id, &wanted);
        damage.is_ok_and(|damage| damage.is_empty() || is_on("left-table-unread"))
    }

    /// Puts a whole table in place of what exists.
    pub(super) fn replace_table(&mut self, ruleset: &TableContent, there: OurTables) -> Result<(), CommitError> {
        let own = self.table.id.clone();
        if there.second_in_force || there.own && !self.begun && self.cover(ruleset, there.second)? {
            return self.replace_covered(ruleset, there);
        }
        let mut script = Script::new(&own);
        if there.second {
            script.batch.delete_table(&second(&own));
        }
        script.replace(&self.table, there.own, ruleset);
        match self.commit(&script) {
            Err(CommitError::TooLong { .. }) => self.replace_in_pieces(ruleset, there),
            other => other,
        }
    }

    /// Puts a table with this content beside the one in force. False if it is too long for one send.
    fn cover(&mut self, ruleset: &TableContent, is_there: bool) -> Result<bool, CommitError> {
        let beside = Table { id: second(&self.table.id), ..self.table.clone() };
        let mut script = Script::new(&beside.id);
        script.replace(&beside, is_there, ruleset);
        match self.commit(&script) {
            Err(CommitError::TooLong { .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Puts a whole table in place of what exists while the one under the second name is in force.
    fn replace_covered(&mut self, ruleset: &TableContent, there: OurTables) -> Result<(), CommitError> {
        let own = self.table.id.clone();
        let beside = second(&own);
        if let Err(error) = self.unhook(&own, there.own) {
            // Nothing has happened. What was in force alone stays so.
            if !there.second_in_force {
                self.retire_table(&beside)?;
            }
            return Err(error);
        }
        let mut script = Script::new(&own);
        script.replace(&self.table, there.own, ruleset);
        match self.commit(&script) {
            Ok(()) => self.retire_table(&beside),
            Err(CommitError::TooLong { .. }) => {
                self.replace_in_pieces(ruleset, OurTables { second: true, second_in_force: true, ..there })
            }
            // The one beside it stays in force alone.
            Err(error) => {
                self.partly = true;
                Err(error)
            }
        }
    }

    /// Deletes the base chains of a table of ours, so that no packet asks it any more. Nothing, if there is no such table.
    fn unhook(&mut self, id: &TableId, is_there: bool) -> Result<(), CommitError> {
        // Where the chains cannot be listed, they go with the table.
        let chains = if is_there { dump::chains(&mut self.socket, id).unwrap_or_default() } else { Vec::new() };
        let mut script = Script::new(id);
        chains.iter().filter(|chain| chain.base.is_some()).for_each(|chain| script.delete_chain(&chain.name));
        self.commit(&script)
    }

    /// Deletes a table of ours, which must exist, when no packet asks it any more.
    pub(super) fn retire_table(&mut self, id: &TableId) -> Result<(), CommitError> {
        self.unhook(id, true)?;
        let mut script = Script::new(id);
        script.batch.delete_table(id);
        self.commit(&script)
    }

    /// Removes a table of ours, if it exists.
    pub(super) fn remove_table(&mut self, id: &TableId) -> Result<(), CommitError> {
        let mut script = Script::new(id);
        script.batch.remove_table(id);
        self.commit(&script)
    }
}
