//! Sending a batch, and finding the object that a refusal is about.

use std::io;

use tortie_dataplane::Place;
use tortie_nft::{BatchError, CommitError};

use super::{Kernel, Refused, Sent};
use crate::batch::Script;
use crate::names;

/// Batches of more bytes are large.
const LARGE: usize = 1 << 16;

impl Kernel {
    /// Sends a script. While a large one is sent others are not listened to: the kernel would tell us of each of our own
    /// objects.
    pub(super) fn commit(&mut self, script: &Script) -> Result<(), CommitError> {
        self.sent = Sent { messages: script.batch.len(), bytes: script.batch.byte_len() };
        if script.batch.is_empty() {
            return Ok(());
        }
        let deaf = self.subscription.clone().filter(|_| self.sent.bytes > LARGE);
        let Some(subscription) = deaf else { return script.batch.commit(&mut self.socket).map(drop) };
        let before = self.socket.generation().ok().filter(|_| subscription.leave().is_ok());
        let result = script.batch.commit(&mut self.socket);
        let joined = subscription.join();
        let expected = before.map(|before| if result.is_ok() { next_generation(before) } else { before });
        let heard_all = joined.is_ok() && expected.is_some() && self.socket.generation().ok() == expected;
        if !heard_all {
            self.programmed.lock().missed = true;
        }
        result.map(drop)
    }

    /// The object that the first of some refusals is about.
    pub(super) fn blame(&self, script: &Script, errors: &[BatchError]) -> Option<(Refused, String)> {
        let error = errors.iter().find(|error| error.index.is_some())?;
        let chain = script.chain_of(error.index?)?;
        let reason = io::Error::from_raw_os_error(error.errno).to_string();
        let is_of = |name: &str| chain == name || chain.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        let lists = self.state.rules.keys().filter(|id| !self.aside.lists.contains(id));
        if let Some(id) = lists.into_iter().find(|id| is_of(&names::list(id))) {
            return Some((Refused::Rules(id.clone()), reason));
        }
        let own = |place: &&Place| match place {
            Place::Workload(name) => chain.ends_with(&format!("/of/{}", names::clean(name))),
            _ => false,
        };
        let place = self.state.endpoints.keys().filter(|place| !self.aside.places.contains(place)).find(own)?;
        Some((Refused::Endpoint(place.clone()), reason))
    }
}
/// The generation behind another; there is no generation 0.
fn next_generation(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}
