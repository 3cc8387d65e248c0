//! Sending a batch, and finding the object that a refusal is about.

use std::collections::{BTreeMap, HashMap};
use std::io;

use tortie_dataplane::{Place, Rule, RulesId, SetId};
use tortie_nft::{Batch, BatchError, CommitError, ObjectRef};

use super::{Kernel, Refused, TransactionSize};
use crate::endpoint::OWN;
use crate::names;
use crate::script::Script;
use crate::sets::Shape;

/// Batches of more bytes are large.
const LARGE_BATCH_BYTES: usize = 1 << 16;

/// Expressions that name another object, which may be what does not exist.
const NAMING: [&str; 4] = ["lookup", "immediate", "objref", "dynset"];

impl Kernel {
    /// Sends a script. While a large one is sent others are not listened to: the kernel would tell us of each of our own
    /// objects.
    pub(super) fn commit(&mut self, script: &Script) -> Result<(), CommitError> {
        self.commit_batch(&script.batch)
    }

    /// Sends a batch.
    pub(super) fn commit_batch(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let result = self.listen_and_commit(batch);
        self.refusals += usize::from(matches!(result, Err(CommitError::Refused(_))));
        result
    }

    fn listen_and_commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.sent = TransactionSize { messages: batch.len(), bytes: batch.byte_len() };
        if batch.is_empty() {
            return Ok(());
        }
        let deaf = self.subscription.clone().filter(|_| self.sent.bytes > LARGE_BATCH_BYTES);
        let Some(subscription) = deaf else { return batch.commit(&mut self.socket).map(drop) };
        let before = self.socket.generation().ok().filter(|_| subscription.leave().is_ok());
        let result = batch.commit(&mut self.socket);
        let joined = subscription.join();
        let expected = before.map(|before| if result.is_ok() { next_generation(before) } else { before });
        let received_all = joined.is_ok() && expected.is_some() && self.socket.generation().ok() == expected;
        if !received_all {
            self.programmed.lock().missed = true;
        }
        result.map(drop)
    }

    /// The objects that refusals are about, each with the kernel's reason. The kernel goes on behind a refusal, so one batch
    /// names all of them. What only follows from a refused set is not among them.
    pub(super) fn refused_objects(&self, errors: &[BatchError]) -> Vec<(Refused, String)> {
        let named = || errors.iter().filter(|error| error.index.is_some());
        let mut blamed = BTreeMap::new();
        let sets = self.kernel_sets();
        for error in named() {
            if let ObjectRef::Set { name, .. } | ObjectRef::Element { set: name, .. } = &error.object
                && let Some(id) = sets.get(name)
            {
                blamed.entry(Refused::Set((*id).clone())).or_insert_with(|| reason(error));
            }
        }
        let follows = |id: &RulesId| {
            let rules = self.state.rules.get(id).map_or(&[][..], Vec::as_slice);
            rules.iter().flat_map(Rule::sets).any(|set| blamed.contains_key(&Refused::Set(set.clone())))
        };
        let (mut lists, mut places) = (Vec::new(), Vec::new());
        let chains = self.chains_of_lists();
        for error in named() {
            let (ObjectRef::Rule { chain, .. } | ObjectRef::Chain { name: chain, .. }) = &error.object else {
                continue;
            };
            match (prefixes(chain).find_map(|name| chains.get(name)), self.place_of(chain)) {
                (Some(id), _) if !follows(id) => lists.push((Refused::Rules((*id).clone()), reason(error))),
                (None, Some(place)) => places.push((Refused::Endpoint(place.clone()), reason(error))),
                _ => {}
            }
        }
        for (refused, reason) in lists.into_iter().chain(places) {
            blamed.entry(refused).or_insert(reason);
        }
        blamed.into_iter().collect()
    }

    /// The sets that can be left out, by the names of their kernel sets.
    fn kernel_sets(&self) -> HashMap<String, &SetId> {
        let ids = self.state.sets.keys().filter(|id| !self.quarantine.sets.contains(id));
        let ids = ids.filter(|id| !SetId::WELL_KNOWN.contains(&id.as_str()));
        let names = |id| {
            let shape = self.index.shapes.get(id).copied().unwrap_or(Shape::Hosts);
            self.index.families.of_set(id).map(move |family| (names::set(id, shape, family), id))
        };
        ids.flat_map(names).collect()
    }

    /// The lists that a denial can stand for, by the names of their chains.
    fn chains_of_lists(&self) -> HashMap<String, &RulesId> {
        let ids = self.state.rules.keys().filter(|id| !self.quarantine.lists.contains(id));
        ids.map(|id| (names::list(id), id)).collect()
    }

    /// The endpoint that has a chain of its own.
    fn place_of(&self, chain: &str) -> Option<&Place> {
        let own = |place: &&Place| match place {
            Place::Workload(name) => chain.ends_with(&format!("{OWN}{}", names::clean(name))),
            _ => false,
        };
        self.state.endpoints.keys().filter(|place| !self.quarantine.places.contains(place)).find(own)
    }
}

/// The kernel's reason. A kernel that was built without an expression says only that something does not exist.
fn reason(error: &BatchError) -> String {
    match &error.object {
        ObjectRef::Rule { expression: Some((_, name)), .. }
            if error.errno == libc::ENOENT && !NAMING.contains(&name.as_str()) =>
        {
            format!("this kernel has no expression '{name}' of nftables")
        }
        _ => io::Error::from_raw_os_error(error.errno).to_string(),
    }
}

/// A chain's name, and what is left of it before each slash, the longest first.
fn prefixes(chain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(chain), |name| name.rsplit_once('/').map(|(before, _)| before))
}

/// The generation behind another; there is no generation 0.
fn next_generation(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use tortie_nft::{Operation, TableId};

    use super::*;

    #[test]
    fn an_expression_that_the_kernel_was_built_without_is_named_and_a_missing_set_is_not_taken_for_one() {
        let error = |errno, expression: Option<&str>| BatchError {
            errno,
            index: Some(0),
            operation: Operation::Add,
            object: ObjectRef::Rule {
                table: TableId::inet("tortie"),
                chain: "c".to_owned(),
                handle: None,
                comment: None,
                expression: expression.map(|name| (1, name.to_owned())),
            },
            message: None,
            offset: Some(60),
        };
        assert_eq!(
            reason(&error(libc::ENOENT, Some("connlimit"))),
            "this kernel has no expression 'connlimit' of nftables"
        );
        for other in [error(libc::ENOENT, Some("lookup")), error(libc::ENOENT, None)] {
            assert_eq!(reason(&other), "No such file or directory (os error 2)");
        }
        assert_eq!(reason(&error(libc::EINVAL, Some("limit"))), "Invalid argument (os error 22)");
    }
}
