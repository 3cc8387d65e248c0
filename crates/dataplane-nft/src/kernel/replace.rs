//! Puts a whole table in place of what exists, so that policy is in force at every moment.
//!
//! Where a table exists, one with the same content is in force beside it meanwhile, under the second name. A packet on another
//! processor looks in maps by the content of that moment while it follows the rules of the moment before: during the change it
//! may find neither the old elements nor the new rules. In the table beside nothing changes then. What is interrupted is taken
//! up by the next try. A table that is longer than one send may be is built in [`pieces`](super::pieces).

use tortie_nft::{BaseChain, Chain, CommitError, MapData, Table, TableId, kept_comment, piecewise};

use super::Kernel;
use crate::batch::Script;
use crate::form::{ChainForm, Ruleset};

/// Our tables that exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct OurTables {
    /// The table.
    pub(super) own: bool,
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
    /// Puts a whole table in place of what exists.
    pub(super) fn replace_table(&mut self, ruleset: &Ruleset, there: OurTables) -> Result<(), CommitError> {
        let is_covered = there.second_in_force || there.own && self.cover(ruleset, there.second)?;
        let beside = second(&self.table.id);
        let result = match self.replace_own(ruleset, OurTables { second: there.second && !is_covered, ..there }) {
            Err(CommitError::TooLong { .. }) => {
                let there = OurTables { second: there.second || is_covered, second_in_force: is_covered, ..there };
                return self.replace_in_pieces(ruleset, there);
            }
            other => other,
        };
        // What was in force before stays so where nothing has taken its place.
        if !is_covered || result.is_err() && there.second_in_force {
            return result;
        }
        let removed = self.delete_table(&beside);
        result.and(removed)
    }

    /// Puts a table with this content beside the one in force. False if it is too long for one send.
    fn cover(&mut self, ruleset: &Ruleset, is_there: bool) -> Result<bool, CommitError> {
        let beside = Table { id: second(&self.table.id), ..self.table.clone() };
        let mut script = Script::new(&beside.id);
        script.replace(&beside, is_there, ruleset);
        match self.commit(&script) {
            Err(CommitError::TooLong { .. }) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Gives the table its content in one transaction.
    fn replace_own(&mut self, ruleset: &Ruleset, there: OurTables) -> Result<(), CommitError> {
        if there.own
            && let Some(script) = self.replacement_in_place(ruleset, there)
        {
            match self.commit(&script) {
                // Others may have changed it meanwhile.
                Err(CommitError::Refused(_) | CommitError::TooLong { .. }) => {}
                other => return other,
            }
        }
        let mut script = Script::new(&self.table.id);
        if there.second {
            script.batch.delete_table(&second(&self.table.id));
        }
        script.replace(&self.table, there.own, ruleset);
        self.commit(&script)
    }

    /// Replaces the content of the table and keeps its base chains. None if that cannot be done.
    ///
    /// A packet on another processor is asked by a base chain that comes at the moment of the change before by the one that goes, and
    /// each looks by itself which content is in force. Between the two it could find neither: the first without its rules still,
    /// the other without them already. One chain whose rules change has either the ones or the others.
    fn replacement_in_place(&mut self, ruleset: &Ruleset, there: OurTables) -> Option<Script> {
        let id = self.table.id.clone();
        let table = piecewise::table_of(&mut self.socket, &id).ok()???;
        let is_alike = (table.owner, table.persist, table.dormant) == (self.table.owner, self.table.persist, false);
        if !is_alike || piecewise::has_other_kinds(&mut self.socket, &id).ok()? {
            return None;
        }
        let mut script = Script::new(&id);
        if there.second {
            script.batch.delete_table(&second(&id));
        }
        // Who may not change the table is told so of the table.
        script.batch.add_table(&self.table);
        script.batch.flush_rules(&id);
        for (name, set) in piecewise::sets(&mut self.socket, &id).ok()? {
            let set = set?;
            if set.anonymous {
                continue;
            }
            // What they lead to cannot be deleted before.
            if set.data == MapData::Verdict {
                script.batch.flush_set(&id, &name);
            }
            script.delete_set(&name);
        }
        for (name, chain) in piecewise::chains(&mut self.socket, &id).ok()? {
            let chain = chain?;
            if !ruleset.chains.get(&name).is_some_and(|form| is_kept(&chain, form)) {
                script.delete_chain(&name);
            }
        }
        script.fill(ruleset);
        Some(script)
    }

    /// Deletes a table of ours, which must exist.
    pub(super) fn delete_table(&mut self, id: &TableId) -> Result<(), CommitError> {
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

/// Whether a base chain can become another while it exists: only its policy can change.
fn is_kept(chain: &Chain, form: &ChainForm) -> bool {
    let (Some(before), Some(after)) = (chain.base, form.base) else { return false };
    let comment = form.comment.as_deref().map(kept_comment);
    BaseChain { policy: after.policy, ..before } == after && chain.comment.as_deref() == comment
}
