//! Turning the log of denied packets on and off: only the chains that deny get other rules, and the counts of the rules
//! that stay are kept.

use super::{ApplyError, Kernel};
use crate::change::Change;

impl Kernel {
    /// Logs denied packets to an nflog group, or does not. In one transaction, or nothing of it.
    pub fn log_denied(&mut self, group: Option<u16>) -> Result<(), ApplyError> {
        if group == self.options.denied_group {
            return Ok(());
        }
        if self.plan.is_none() || self.off {
            self.options.denied_group = group;
            return Ok(());
        }
        let before = self.ruleset().chains;
        let earlier = std::mem::replace(&mut self.options.denied_group, group);
        let change = Change::of_chains(before, self.ruleset().chains, &self.references);
        if self.send_chains(&change) {
            return Ok(());
        }
        // Others changed our table, or the change is too long: everything is put in place anew.
        self.repair().inspect_err(|_| self.options.denied_group = earlier)
    }
}
