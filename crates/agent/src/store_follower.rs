//! The thread that follows the store: it sends the checked changes to the engine for as long as the agent runs, and waits longer and longer
//! between attempts while the store is lost. `sync` decides what replaces an unreadable object, `cache` what is enforced without a
//! store, `engine` what becomes of a change.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tortie_store::{Backoff, Selection, Store, part_of};
use tortie_sync::{Message, Sync};

use crate::cache::{CachedLastValid, CachedStore};
use crate::engine::Input;
use crate::stop_flag::StopFlag;
use crate::supervisor;

/// How long to wait for a change before checking whether the agent ends.
const STOP_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The longest pause between two attempts to open a store that does not exist: its first policy should not wait for a long backoff.
const MAX_MISSING_STORE_DELAY: Duration = Duration::from_millis(500);

/// Pauses while some kinds of an API server are followed and others are not: each has a stream that makes pauses of its own, and a
/// kind whose history expired is listed by itself.
const LOST_WATCHED_STORE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// Pauses between attempts while an API server has no definitions: many nodes ask the same one.
const NO_DEFINITIONS_BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(30));

/// After which time it is asked again whether objects are not read because they are defined twice.
const TWO_DEFINITIONS_RECHECK: Duration = Duration::from_secs(300);

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
    let mut lost: Option<[Backoff; 2]> = None;
    let mut is_open = true;
    let mut checked = Instant::now();
    while is_open && !stop.is_set() {
        if store.has_two_definitions() && checked.elapsed() > part_of(TWO_DEFINITIONS_RECHECK) {
            store.check_two_definitions();
            checked = Instant::now();
        }
        let mut received = false;
        let working = supervisor::working();
        sync.step(STOP_CHECK_INTERVAL, &mut |message| {
            lost = matches!(message, Message::Lost(_)).then(|| match store.is_undefined() {
                true => [NO_DEFINITIONS_BACKOFF, NO_DEFINITIONS_BACKOFF],
                false => [Backoff::default(), LOST_WATCHED_STORE_BACKOFF],
            });
            received = true;
            is_open = is_open && deliver(message);
        });
        drop(working);
        if !received && let Some([to_list, to_watch]) = &mut lost {
            let is_one_watch = store.abilities().one_history || !sync.has_watch();
            let pause = if is_one_watch { to_list.pause() } else { to_watch.pause() };
            wait(store, pause, stop);
        }
    }
}

/// Waits before the next attempt. One without definitions that is accepted meanwhile is read at once.
fn wait(store: &CachedStore, pause: Duration, stop: &StopFlag) {
    if !store.is_undefined() {
        stop.wait(if store.is_missing() { pause.min(MAX_MISSING_STORE_DELAY) } else { pause });
        return;
    }
    let until = Instant::now() + pause;
    while Instant::now() < until && !stop.is_set() && !store.is_accepted() {
        stop.wait(until.saturating_duration_since(Instant::now()).min(MAX_MISSING_STORE_DELAY));
    }
}
