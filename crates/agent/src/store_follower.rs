//! The thread that follows the store: it sends the checked changes to the engine for as long as the agent runs, and waits longer and longer
//! between attempts while the store is lost. `sync` decides what replaces an unreadable object, `cache` what is enforced without a
//! store, `engine` what becomes of a change.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tortie_store::{Backoff, Selection};
use tortie_sync::{Message, Sync};

use crate::cache::{CachedLastValid, CachedStore};
use crate::engine::Input;
use crate::stop_flag::StopFlag;
use crate::supervisor;

/// How long to wait for a change before checking whether the agent ends.
const WAIT: Duration = Duration::from_secs(2);

/// The longest pause between two attempts to open a store that does not exist: its first policy should not wait for a long backoff.
const MISSING: Duration = Duration::from_millis(500);

/// A message with more changes than this is a page of a listing.
const PAGE: usize = 100;

/// Sends changes to the engine until the agent or the engine ends.
pub(crate) fn run(
    store: &CachedStore,
    selection: Selection,
    kept: CachedLastValid,
    stop: &Arc<StopFlag>,
    engine: &SyncSender<Input>,
) {
    let mut taken: Option<Receiver<()>> = None;
    let mut deliver = |message: Message| {
        if !matches!(&message, Message::Changes(changes, _) if changes.len() > PAGE) {
            return engine.send(Input::Store(message)).is_ok();
        }
        // Pages are large: at most one waits while the previous one is processed.
        if let Some(before) = taken.take() {
            let _ = before.recv();
        }
        let (answer, answered) = sync_channel(1);
        taken = Some(answered);
        engine.send(Input::Store(message)).is_ok() && engine.send(Input::Barrier(answer)).is_ok()
    };
    let mut sync = Sync::of(store, selection, kept);
    let mut lost: Option<Backoff> = None;
    let mut is_open = true;
    while is_open && !stop.is_set() {
        let mut received = false;
        let working = supervisor::working();
        sync.step(WAIT, &mut |message| {
            lost = matches!(message, Message::Lost(_)).then(Backoff::default);
            received = true;
            is_open = is_open && deliver(message);
        });
        drop(working);
        if !received && let Some(backoff) = &mut lost {
            let pause = backoff.pause();
            stop.wait(if store.is_missing() { pause.min(MISSING) } else { pause });
        }
    }
}
