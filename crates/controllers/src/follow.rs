//! Follows one kind of object in the store or in Kubernetes, and tells the controllers what becomes of it.

use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tortie_agent::daemon::StopFlag;
use tortie_api::Kind;
use tortie_store::{Event, Selection, Store, StoreError, Stored};

/// How long a watch waits before it looks whether it shall end.
const LOOK: Duration = Duration::from_millis(500);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Where objects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the store.
    Store,
    /// In Kubernetes, of which there are copies in the store.
    Kubernetes,
    /// The pods of Kubernetes.
    Pods,
}

/// What the threads tell the controllers.
#[derive(Debug)]
pub(crate) enum News {
    /// All objects of a kind, at first and whenever its history is no longer kept.
    Listed(Origin, Kind, Vec<Stored>),
    /// A change.
    Changed(Origin, Event),
    /// A kind cannot be followed for now.
    Lost(Origin, Kind, String),
    /// It can be followed again, and nothing was missed.
    Reached(Origin, Kind),
    /// This process may write from now on, or has to look whether it still may.
    Leadership,
    /// The process is to end.
    Stop,
}

/// Follows a kind until the process ends or nobody listens.
pub(crate) fn run(store: &dyn Store, from: Origin, kind: Kind, news: &SyncSender<News>, stop: &StopFlag) {
    while !stop.is_set() {
        match follow(store, from, kind, news, stop) {
            Ok(()) => return,
            // It is listed again.
            Err(StoreError::Compacted { .. } | StoreError::Expired { .. }) => {}
            Err(StoreError::Failed(reason)) => {
                if news.send(News::Lost(from, kind, reason)).is_err() {
                    return;
                }
            }
        }
        stop.wait(PAUSE);
    }
}

/// Lists a kind and watches it from there. `Ok` when there is nothing more to do.
fn follow(
    store: &dyn Store,
    from: Origin,
    kind: Kind,
    news: &SyncSender<News>,
    stop: &StopFlag,
) -> Result<(), StoreError> {
    let selection = Selection::kind(kind);
    let listing = store.list(&selection)?;
    if news.send(News::Listed(from, kind, listing.items)).is_err() {
        return Ok(());
    }
    let mut watch = store.watch(&selection, &listing.position)?;
    let mut lost = false;
    while !stop.is_set() {
        let told = match watch.next(LOOK) {
            Ok(Some(event)) => News::Changed(from, event),
            Ok(None) if lost => News::Reached(from, kind),
            Ok(None) => continue,
            Err(StoreError::Failed(reason)) => {
                lost = true;
                if news.send(News::Lost(from, kind, reason)).is_err() {
                    return Ok(());
                }
                stop.wait(PAUSE);
                continue;
            }
            Err(error) => return Err(error),
        };
        if lost && matches!(told, News::Changed(..)) && news.send(News::Reached(from, kind)).is_err() {
            return Ok(());
        }
        lost = false;
        if news.send(told).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
