//! Follows one kind of object in the store or in Kubernetes, and tells the controllers what becomes of it.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tortie_agent::daemon::StopFlag;
use tortie_api::Kind;
use tortie_store::{Event, Selection, Store, StoreError, Stored};

/// How long a watch waits before it looks whether it shall end.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How often Kubernetes is listed again although nothing was missed. If its etcd is restored from a backup, versions of objects become
/// smaller, and the API server says nothing to a watch from a greater one.
const RELIST: Duration = Duration::from_secs(300);
/// The pause after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Where objects are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the store.
    Store,
    /// In Kubernetes, of which there are copies in the store.
    Kubernetes,
    /// The pods of Kubernetes.
    Pods,
    /// The nodes of Kubernetes.
    Nodes,
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
    let relist = (from != Origin::Store).then_some(RELIST);
    while !stop.is_set() {
        match follow(store, from, kind, news, stop, relist) {
            Ok(()) => return,
            // It is listed again.
            Err(StoreError::Compacted { .. } | StoreError::Expired { .. }) => {}
            Err(StoreError::Failed(reason)) => {
                if news.send(News::Lost(from, kind, reason)).is_err() {
                    return;
                }
            }
        }
        stop.wait(RETRY_DELAY);
    }
}

/// Lists a kind and watches it from there, for so long. `Ok` when there is nothing more to do.
fn follow(
    store: &dyn Store,
    from: Origin,
    kind: Kind,
    news: &SyncSender<News>,
    stop: &StopFlag,
    relist: Option<Duration>,
) -> Result<(), StoreError> {
    let start = Instant::now();
    let selection = Selection::kind(kind);
    let listing = store.list(&selection)?;
    if news.send(News::Listed(from, kind, listing.items)).is_err() {
        return Ok(());
    }
    let mut watch = store.watch(&selection, &listing.position)?;
    let mut lost = false;
    while !stop.is_set() {
        if relist.is_some_and(|relist| start.elapsed() >= relist) {
            return Err(StoreError::Expired { kind });
        }
        let told = match watch.next(STOP_CHECK_INTERVAL) {
            Ok(Some(event)) => News::Changed(from, event),
            Ok(None) if lost => News::Reached(from, kind),
            Ok(None) => continue,
            Err(StoreError::Failed(reason)) => {
                lost = true;
                if news.send(News::Lost(from, kind, reason)).is_err() {
                    return Ok(());
                }
                stop.wait(RETRY_DELAY);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use tortie_api::Key;
    use tortie_store::memory::MemoryStore;
    use tortie_store::{Layer, Position, Watch, Write};

    use super::*;

    /// A store whose watches are silent, as those of an API server whose etcd was restored from a backup.
    struct Restored(MemoryStore);

    /// Who looks more often than this has forgotten to list again.
    struct Silent(usize);

    impl Watch for Silent {
        fn next(&mut self, _: Duration) -> Result<Option<Event>, StoreError> {
            self.0 = self.0.checked_sub(1).expect("it is not listed again");
            Ok(None)
        }

        fn position(&self) -> Position {
            Position::START
        }
    }

    impl Layer for Restored {
        fn below(&self) -> &dyn Store {
            &self.0
        }

        fn on_watch(&self, _: &Selection, _: &Position) -> Result<Box<dyn Watch>, StoreError> {
            Ok(Box::new(Silent(10)))
        }
    }

    fn listed(news: &Receiver<News>) -> usize {
        match news.try_recv() {
            Ok(News::Listed(_, _, all)) => all.len(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn kubernetes_is_listed_again_although_its_watch_is_silent() {
        let store = Restored(MemoryStore::default());
        let (sender, news) = sync_channel(10);
        let stop = StopFlag::default();
        let again = || {
            let result = follow(&store, Origin::Kubernetes, Kind::Profile, &sender, &stop, Some(Duration::ZERO));
            assert!(matches!(result, Err(StoreError::Expired { .. })), "{result:?}");
            listed(&news)
        };
        assert_eq!(again(), 0);
        store.write(&[Write::create(Key::cluster(Kind::Profile, "kns.a"), &b"{}"[..])]).unwrap().remove(0).unwrap();
        assert_eq!(again(), 1);
    }
}
