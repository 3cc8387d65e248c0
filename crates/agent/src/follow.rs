//! The thread of the store: the stream of checked changes, for as long as the agent runs.

use std::sync::Arc;
use std::time::Duration;

use tortie_sync::{Message, Sync};

use crate::backoff::Backoff;
use crate::keep::{Kept, Shelved};
use crate::stop::Stop;

/// How long one wait lasts, so that an end is heard of.
const WAIT: Duration = Duration::from_secs(2);

/// Hands on what the store says until it is told to stop, or nobody listens.
pub(crate) fn run(store: &Shelved, kept: Kept, stop: &Arc<Stop>, tell: impl Fn(Message) -> bool) {
    let mut sync = Sync::new(store, kept);
    let mut lost: Option<Backoff> = None;
    let mut heard = true;
    while heard && !stop.is_set() {
        let mut told = false;
        sync.step(WAIT, &mut |message| {
            lost = matches!(message, Message::Lost(_)).then(Backoff::default);
            told = true;
            heard = heard && tell(message);
        });
        if !told && let Some(backoff) = &mut lost {
            stop.wait(backoff.pause());
            backoff.longer();
        }
    }
}
