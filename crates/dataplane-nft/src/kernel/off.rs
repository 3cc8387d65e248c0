//! Enforcement that is switched off. Our table keeps connection tracking on and translates addresses, and decides about no
//! packet; the desired state follows changes all the same, so that it comes into force in one step afterwards.

use tortie_dataplane::{SetId, State};
use tortie_nft::{Batch, ChainKind, RequestError, Socket, TableId, dump};

use super::{ApplyError, Existing, Kernel, replace};
use crate::index::Index;
use crate::options::TableOptions;
use crate::set_references;
use crate::sets::{self, Shape};
use crate::skeleton::{self, Plan};
use crate::table_content::{SetContent, TableContent, sort};

impl Kernel {
    /// Removes every verdict from the kernel, or restores them, in one step or not at all. Before the first change
    /// only what an earlier agent left is there: it is taken out, and the first change brings what is in force.
    pub fn set_off(&mut self, off: bool) -> Result<(), ApplyError> {
        if off == self.off {
            return Ok(());
        }
        if self.plan.is_none() {
            if off {
                take_out(&mut self.socket, &self.table.id)?;
            }
            self.off = off;
            return Ok(());
        }
        self.off = off;
        self.repair().inspect_err(|_| self.off = !off)
    }

    /// Takes every verdict that an agent left out of the kernel. Fails with [`ApplyError::Held`] while one runs that owns
    /// the table.
    pub fn take_verdicts_out(options: &TableOptions) -> Result<Existing, ApplyError> {
        let mut socket = Socket::open().map_err(RequestError::Io)?;
        take_out(&mut socket, &TableId::inet(&options.table))
    }
}

/// Deletes the base chains that can deny a packet. No packet meets the rest then.
fn take_out(socket: &mut Socket, id: &TableId) -> Result<Existing, ApplyError> {
    let ids = [id.clone(), replace::second(id)];
    let tables = dump::tables(socket, |name| ids.iter().any(|id| id.name == name))?;
    let mut batch = Batch::new();
    let mut found = Existing::Nothing;
    for id in ids.iter().filter(|id| tables.iter().any(|table| table.id == **id)) {
        found = Existing::Table;
        for chain in dump::chains(socket, id)? {
            if chain.base.is_some_and(|base| base.kind != ChainKind::Nat) {
                batch.flush_chain(id, &chain.name);
                batch.delete_chain(id, &chain.name);
            }
        }
    }
    if !batch.is_empty() {
        batch.commit(socket)?;
    }
    Ok(found)
}

/// The table while enforcement is off.
pub(super) fn without_verdicts(state: &State, index: &Index, options: &TableOptions) -> TableContent {
    let mut ruleset = TableContent::new(TableId::inet(&options.table));
    skeleton::without_verdicts(&Plan::new(state, index), options, &mut ruleset);
    for name in [SetId::POOLS, SetId::TRANSLATED_POOLS] {
        let id = SetId::new(name);
        if let Some(set) = state.sets.get(&id) {
            let shape = index.shapes.get(&id).copied().unwrap_or(Shape::Hosts);
            let forms = sets::render(&id, set, shape, index.families);
            ruleset.sets.extend(forms.into_iter().map(|form| (form.set.name.clone(), form)));
        }
    }
    ruleset.sets.values_mut().for_each(|form| sort(&mut form.elements));
    for set in set_references::named(ruleset.chains.values()) {
        ruleset.sets.entry(set.set.name.clone()).or_insert_with(|| SetContent::clone(&set));
    }
    ruleset
}
