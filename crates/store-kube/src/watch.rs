//! A running watch: one stream of the API server for each resource, joined into one.
//!
//! A stream that ends is opened again where it was. A resource that the server does not have is looked for again from
//! time to time, as its definition may come later. Bookmarks move positions on while nothing happens. When a position is
//! no longer kept, the kind has expired, and its streams wait until they are told where to go on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tortie_api::Kind;
use tortie_store::{Event, Position, Revision, Selection, StoreError, Watch};

use crate::client::CallError;
use crate::item::Decoder;
use crate::runtime::{runtime, wait_for};
use crate::shared::Shared;
use crate::source::Source;
use crate::stream::{self, Content, Report};

/// How many messages wait for whoever reads the watch.
const QUEUE: usize = 16;
/// How long a lost stream is looked for before that is worth telling.
const SILENT_RETRY_TIME: Duration = Duration::from_secs(5);

/// A watch of the API server.
pub struct KubeWatch {
    shared: Shared,
    decoder: Decoder,
    namespace: Option<String>,
    reports: mpsc::Receiver<Report>,
    sender: mpsc::Sender<Report>,
    streams: HashMap<Source, Running>,
    pending: VecDeque<(Source, Revision, Option<Event>)>,
    position: Position,
    /// Since when which stream is lost, and why.
    lost: Arc<Mutex<HashMap<Source, (Instant, CallError)>>>,
}

/// A stream, and how often it was begun: what an earlier one still says does not count.
struct Running {
    task: JoinHandle<()>,
    epoch: u64,
    expired: bool,
}

impl KubeWatch {
    pub(crate) fn start(shared: Shared, selection: &Selection, from: &Position) -> Result<Self, StoreError> {
        let decoder =
            wait_for(shared.decoder(selection.purpose.clone())).map_err(|call_error| shared.failed(&call_error))?;
        let sources = Source::of(selection, decoder.group);
        if sources.iter().any(|source| from.part(&source.name(decoder.group)).is_none()) {
            return Err(StoreError::Compacted { from: from.clone(), kept: from.clone() });
        }
        let (sender, reports) = mpsc::channel(QUEUE);
        let mut watch = Self {
            shared,
            decoder,
            namespace: selection.namespace.clone(),
            reports,
            sender,
            streams: HashMap::new(),
            pending: VecDeque::new(),
            position: from.clone(),
            lost: Arc::default(),
        };
        for source in sources {
            watch.begin(source, from);
        }
        Ok(watch)
    }

    fn begin(&mut self, source: Source, from: &Position) {
        let epoch = self.streams.remove(&source).map_or(0, |before| {
            before.task.abort();
            before.epoch + 1
        });
        let from = from.part(&source.name(self.decoder.group)).cloned().unwrap_or_default();
        let stream = stream::Stream {
            shared: self.shared.clone(),
            decoder: self.decoder.clone(),
            source,
            namespace: self.namespace.clone(),
            position: from,
            epoch,
            reports: self.sender.clone(),
            lost: self.lost.clone(),
        };
        let task = runtime().spawn(stream.run());
        self.streams.insert(source, Running { task, epoch, expired: false });
    }

    /// Takes in one message; a kind that has just expired is an error.
    fn take(&mut self, report: Report) -> Result<(), StoreError> {
        let Some(stream) = self.streams.get_mut(&report.source) else { return Ok(()) };
        if stream.epoch != report.epoch {
            return Ok(());
        }
        match report.content {
            Content::Events(events) => {
                self.pending.extend(events.into_iter().map(|(at, event)| (report.source, at, event)));
            }
            Content::OtherGroup => {
                return Err(StoreError::Compacted { from: self.position.clone(), kept: self.position.clone() });
            }
            Content::Expired => {
                stream.expired = true;
                let kind = report.source.kind();
                let others = self
                    .streams
                    .iter()
                    .any(|(source, other)| *source != report.source && source.kind() == kind && other.expired);
                if !others {
                    return Err(StoreError::Expired { kind });
                }
            }
        }
        Ok(())
    }

    /// The next event that is here; bookmarks on the way are taken in.
    fn pop(&mut self) -> Option<Event> {
        while let Some((source, at, event)) = self.pending.pop_front() {
            self.position.set_part(&source.name(self.decoder.group), at);
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// Why a stream has been lost for so long that it is worth telling; the missing rights of all together.
    fn long_lost(&self) -> Option<StoreError> {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let long: Vec<_> = lost.iter().filter(|(_, (since, _))| since.elapsed() > SILENT_RETRY_TIME).collect();
        let call_error = CallError::one_of(long.iter().map(|(_, (_, call_error))| call_error.clone()).collect())?;
        let error = self.shared.failed(&call_error);
        if long.len() == self.streams.len() || call_error.code() == Some(403) {
            return Some(error);
        }
        // The other kinds are followed. A missing right names its resource by itself.
        let mut names: Vec<String> = long.iter().map(|(source, _)| source.name(self.decoder.group)).collect();
        names.sort();
        Some(StoreError::Failed(format!("{error} (changes of {} are not received)", names.join(", "))))
    }
}

impl Watch for KubeWatch {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            if let Some(event) = self.pop() {
                return Ok(Some(event));
            }
            if let Ok(report) = self.reports.try_recv() {
                self.take(report)?;
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.long_lost().map_or(Ok(None), Err);
            }
            // A stream that is lost meanwhile is told before a long wait ends.
            let until = left.min(SILENT_RETRY_TIME);
            match wait_for(async { tokio::time::timeout(until, self.reports.recv()).await }) {
                Ok(Some(report)) => self.take(report)?,
                // The watch itself keeps a sender.
                Ok(None) => return Ok(None),
                Err(_) => {
                    if let Some(error) = self.long_lost() {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn more(&mut self) -> Option<Event> {
        self.pop()
    }

    fn position(&self) -> Position {
        self.position.clone()
    }

    fn resume(&mut self, kind: Kind, from: &Position) -> Result<(), StoreError> {
        let sources: Vec<Source> = self.streams.keys().copied().filter(|source| source.kind() == kind).collect();
        self.pending.retain(|(source, _, _)| source.kind() != kind);
        for source in sources {
            self.begin(source, from);
            if let Some(at) = from.part(&source.name(self.decoder.group)) {
                self.position.set_part(&source.name(self.decoder.group), at.clone());
            }
        }
        Ok(())
    }
}

impl Drop for KubeWatch {
    fn drop(&mut self) {
        self.streams.values().for_each(|stream| stream.task.abort());
    }
}
