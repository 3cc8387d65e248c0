//! Follows one kind of object in the store, and tells the controllers what becomes of it.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tortie_agent::service::StopFlag;
use tortie_api::Kind;
use tortie_store::{Event, Selection, Store, StoreError, Stored};

/// How long a watch waits before it looks whether it shall end.
const LOOK: Duration = Duration::from_millis(500);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// What the threads tell the controllers.
#[derive(Debug)]
pub(crate) enum News {
    /// All objects of a kind, at first and whenever its history is no longer kept.
    Listed(Kind, Vec<Stored>),
    /// A change.
    Changed(Event),
    /// A kind cannot be followed for now.
    Lost(Kind, String),
    /// It can be followed again, and nothing was missed.
    Reached(Kind),
    /// This process may write from now on, or has to look whether it still may.
    Leadership,
    /// The process is to end.
    Stop,
}

/// Follows a kind until the process ends or nobody listens.
pub(crate) fn run(store: &dyn Store, kind: Kind, news: &SyncSender<News>, stop: &StopFlag) {
    while !stop.is_set() {
        match follow(store, kind, news, stop) {
            Ok(()) => return,
            // It is listed again.
            Err(StoreError::Compacted { .. } | StoreError::Expired { .. }) => {}
            Err(StoreError::Failed(reason)) => {
                if news.send(News::Lost(kind, reason)).is_err() {
                    return;
                }
            }
        }
        stop.wait(PAUSE);
    }
}

/// Lists a kind and watches it from there. `Ok` when there is nothing more to do.
fn follow(store: &dyn Store, kind: Kind, news: &SyncSender<News>, stop: &StopFlag) -> Result<(), StoreError> {
    let selection = Selection::kind(kind);
    let listing = store.list(&selection)?;
    if news.send(News::Listed(kind, listing.items)).is_err() {
        return Ok(());
    }
    let mut watch = store.watch(&selection, &listing.position)?;
    let mut lost = false;
    while !stop.is_set() {
        let told = match watch.next(LOOK) {
            Ok(Some(event)) => News::Changed(event),
            Ok(None) if lost => News::Reached(kind),
            Ok(None) => continue,
            Err(StoreError::Failed(reason)) => {
                lost = true;
                if news.send(News::Lost(kind, reason)).is_err() {
                    return Ok(());
                }
                stop.wait(PAUSE);
                continue;
            }
            Err(error) => return Err(error),
        };
        if lost && matches!(told, News::Changed(_)) && news.send(News::Reached(kind)).is_err() {
            return Ok(());
        }
        lost = false;
        if news.send(told).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
