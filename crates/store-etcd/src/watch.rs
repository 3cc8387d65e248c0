//! A running watch: one stream from one member, and the way back to where it was when that ends.
//!
//! The position is the last revision of which everything was taken. A stream is asked for what came from there on,
//! that revision included: so etcd itself says, and exactly then, when something after it has been compacted. What
//! was taken already is passed over.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::{Status, Streaming};
use tortie_store::{Backoff, Event, Position, Selection, StoreError, Watch};

use crate::call_error::CallError;
use crate::connection::{ActiveConnection, Connection, REQUEST_TIMEOUT, reconnect_backoff};
use crate::page::{number, stored};
use crate::path;
use crate::runtime::wait_for;
use crate::settings::shown;
use crate::store::Shared;
use crate::wire::{self, RangeRequest, WatchCreate, WatchProgress, WatchRequest, WatchResponse, WatchUnion};

/// After how long without news a member is asked how far it is.
const MAX_SILENCE: Duration = Duration::from_secs(60);
/// How long a lost stream is looked for before that is an error.
const SILENT_RETRY_TIME: Duration = Duration::from_secs(5);

/// A watch of etcd.
pub struct EtcdWatch {
    shared: Arc<Shared>,
    selection: Selection,
    prefix: String,
    /// Everything up to here was given or is pending.
    position: i64,
    /// How many keys there are then, where everything is watched.
    count: Option<i64>,
    /// Which cluster the position is of.
    cluster: u64,
    pending: VecDeque<Event>,
    /// The first part of a revision whose rest is on its way.
    part: Vec<wire::Event>,
    stream: Option<Running>,
    lost: Option<NoStream>,
    /// Set when history is missing: the watch is over.
    over: Option<u64>,
}

/// A stream that works, as far as we know.
struct Running {
    live: ActiveConnection,
    requests: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchResponse>,
    last_message: Instant,
}

impl Running {
    /// The next message. A member that did not answer a call on the same connection is left: keepalive takes longer to notice it.
    async fn message(&mut self, connection: &Connection) -> Result<Option<WatchResponse>, Status> {
        let mut message = pin!(self.answers.message());
        let mut silence = pin!(connection.falls_silent(&self.live));
        poll_fn(|context| match message.as_mut().poll(context) {
            Poll::Pending => {
                silence.as_mut().poll(context).map(|()| Err(Status::unavailable("it did not answer another call")))
            }
            message => message,
        })
        .await
    }
}

/// No stream, and when to look for one again.
struct NoStream {
    since: Instant,
    next: Instant,
    backoff: Backoff,
    why: CallError,
}

impl EtcdWatch {
    pub(crate) fn start(shared: Arc<Shared>, selection: Selection, from: u64) -> Result<Self, StoreError> {
        let prefix = path::prefix(&selection);
        let mut watch = Self {
            shared,
            selection,
            prefix,
            // Nothing is at revision 1, and 0 would mean "from now on".
            position: i64::try_from(from).unwrap_or(i64::MAX).max(1),
            count: None,
            cluster: 0,
            pending: VecDeque::new(),
            part: Vec::new(),
            stream: None,
            lost: None,
            over: None,
        };
        if from == 1 {
            // Only an etcd that was never written to is at revision 1, and that is our 0.
            watch.check_reached(from)?;
        }
        if watch.prefix == path::ROOT {
            let count = wait_for(watch.count_at(watch.position));
            watch.count = count.map_err(|call_error| watch.shared.failed(&call_error))?;
            watch.publish(from);
        }
        match wait_for(watch.open()) {
            Ok(()) => Ok(watch),
            Err(CallError::Compacted) => {
                Err(StoreError::Compacted { from: from.into(), kept: watch.over.unwrap_or_default().into() })
            }
            Err(call_error) => Err(watch.shared.failed(&call_error)),
        }
    }

    /// How many keys there were at a revision; none if that is not kept, which the stream will say.
    async fn count_at(&self, revision: i64) -> Result<Option<i64>, CallError> {
        let (key, range_end) = (Bytes::from(self.prefix.clone()), path::end_of(&self.prefix).into());
        let request = RangeRequest { key, range_end, revision, count_only: true, ..RangeRequest::default() };
        match self.shared.connection.range(request).await {
            Ok(answer) => Ok(Some(answer.count)),
            Err(CallError::Compacted | CallError::Future) => Ok(None),
            Err(call_error) => Err(call_error),
        }
    }

    /// Publishes how many keys there were after a change.
    fn publish(&self, revision: u64) {
        if let Some(count) = self.count {
            *self.shared.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((revision, count));
        }
    }

    fn check_reached(&self, from: u64) -> Result<(), StoreError> {
        let current = wait_for(self.current(0)).map_err(|call_error| self.shared.failed(&call_error))?;
        if current <= 1 { Err(StoreError::Compacted { from: from.into(), kept: Position::START }) } else { Ok(()) }
    }

    /// The revision that etcd is at, if it has reached this one.
    async fn current(&self, at_least: i64) -> Result<i64, CallError> {
        let key = Bytes::from(self.prefix.clone());
        let request = RangeRequest { key, revision: at_least, limit: 1, keys_only: true, ..RangeRequest::default() };
        let connection = &self.shared.connection;
        let revision = connection.range(request).await?.header.map_or(0, |header| header.revision);
        connection.record_revision(revision);
        Ok(revision)
    }

    /// Starts the stream at the position.
    async fn open(&mut self) -> Result<(), CallError> {
        // Etcd would wait for a revision that it has not reached, and never get to ours if it was made anew.
        match self.current(self.position).await {
            // The stream will say what is left.
            Ok(_) | Err(CallError::Compacted) => {}
            Err(CallError::Future) => return self.replaced().await,
            Err(call_error) => return Err(call_error),
        }
        let live = self.shared.connection.live().await?;
        if self.cluster != 0 && live.cluster != 0 && live.cluster != self.cluster {
            return self.replaced().await;
        }
        let create = WatchCreate {
            key: Bytes::from(self.prefix.clone()),
            range_end: path::end_of(&self.prefix).into(),
            start_revision: self.position,
            progress_notify: true,
            fragment: true,
        };
        let begun = timeout(REQUEST_TIMEOUT, async {
            let (requests, mut answers) = live.member.watch(create).await?;
            let first = answers.message().await?;
            Ok::<_, tonic::Status>((requests, answers, first))
        });
        let (requests, answers, first) = match begun.await {
            Ok(Ok(begun)) => begun,
            failed => {
                let call_error = match failed {
                    Ok(Err(status)) => CallError::of(&status),
                    _ => CallError::timed_out(REQUEST_TIMEOUT),
                };
                self.shared.connection.discard(&live, !matches!(call_error, CallError::Token)).await;
                return Err(named(&live, call_error));
            }
        };
        self.cluster = live.cluster;
        self.part.clear();
        self.stream = Some(Running { live, requests, answers, last_message: Instant::now() });
        match first {
            Some(first) => self.take(first),
            None => Err(CallError::Away("it ended the watch at once".to_owned())),
        }
    }

    /// The position is of another history than this etcd's.
    async fn replaced(&mut self) -> Result<(), CallError> {
        self.over = Some(number(self.current(0).await?));
        Err(CallError::Compacted)
    }

    /// Takes in one message.
    fn take(&mut self, message: WatchResponse) -> Result<(), CallError> {
        if message.compact_revision > 0 {
            self.over = Some(number(message.compact_revision));
            return Err(CallError::Compacted);
        }
        if message.canceled {
            let why = message.cancel_reason.trim_start_matches("etcdserver: ").to_owned();
            return Err(match why.as_str() {
                why if why.contains("permission denied") => CallError::Denied,
                why if why.contains("auth token") || why.contains("auth store") => CallError::Token,
                "" => CallError::Away("it ended the watch".to_owned()),
                why => CallError::Away(format!("it ended the watch: {why}")),
            });
        }
        let revision = message.header.as_ref().map_or(0, |header| header.revision);
        if message.events.is_empty() && !message.created && !message.fragment {
            // etcd says that nothing else came up to here.
            self.position = self.position.max(revision);
            return Ok(());
        }
        self.part.extend(message.events);
        if !message.fragment {
            // Whole revisions, so what is not after the position was taken before.
            let known = self.position;
            for event in std::mem::take(&mut self.part) {
                self.event(event, known);
            }
        }
        Ok(())
    }

    fn event(&mut self, event: wire::Event, known: i64) {
        let Some(kv) = event.kv.filter(|kv| kv.mod_revision > known) else { return };
        self.position = self.position.max(kv.mod_revision);
        self.shared.connection.record_revision(kv.mod_revision);
        let deleted = event.kind == 1;
        let step = if deleted { -1 } else { i64::from(kv.version == 1) };
        self.count = self.count.map(|count| count + step);
        self.publish(number(kv.mod_revision));
        let Some(object) = stored(&kv) else {
            if deleted {
                self.shared.unread.remove(&kv.key)
            } else {
                self.shared.unread.add(&kv.key)
            }
            return;
        };
        if self.selection.contains(&object.key) {
            self.pending.push_back(match deleted {
                true => Event::Deleted(object.key, object.revision),
                false => Event::Put(object),
            });
        }
    }

    /// Waits for a message, until the deadline.
    async fn listen(&mut self, deadline: Option<Instant>) -> Result<(), CallError> {
        let Some(running) = &mut self.stream else { return Ok(()) };
        let idle = running.last_message + MAX_SILENCE;
        let until = deadline.map_or(idle, |deadline| deadline.min(idle));
        match tokio::time::timeout_at(until, running.message(&self.shared.connection)).await {
            Ok(Ok(Some(message))) => {
                running.last_message = Instant::now();
                self.take(message)
            }
            Ok(Ok(None)) => Err(CallError::Away("it ended the watch".to_owned())),
            Ok(Err(status)) => Err(CallError::of(&status)),
            Err(_) => {
                if Instant::now() >= idle {
                    running.last_message = Instant::now();
                    if running.live.tells_progress {
                        let ask = WatchRequest { union: Some(WatchUnion::Progress(WatchProgress {})) };
                        // If it cannot be asked, the stream ends, and that is an error of the next read.
                        let _ = running.requests.try_send(ask);
                    }
                }
                Ok(())
            }
        }
    }

    /// Drops a stream that ended.
    async fn drop_stream(&mut self, call_error: CallError) {
        let Some(running) = self.stream.take() else { return };
        self.part.clear();
        let rotate = !matches!(call_error, CallError::Token);
        self.shared.connection.discard(&running.live, rotate).await;
        let now = Instant::now();
        let why = named(&running.live, call_error);
        self.lost = Some(NoStream { since: now, next: now, backoff: reconnect_backoff(), why });
    }

    /// Looks for a stream again. Says whether that is over for now: until the deadline nothing more can be done.
    async fn find(&mut self, deadline: Option<Instant>) -> Result<bool, CallError> {
        let now = Instant::now();
        let Some(lost) = &self.lost else { return self.open().await.map(|()| false) };
        if lost.next > now {
            let until = deadline.map_or(lost.next, |deadline| deadline.min(lost.next));
            tokio::time::sleep_until(until).await;
            if lost.next > Instant::now() {
                return if lost.since.elapsed() > SILENT_RETRY_TIME { Err(lost.why.clone()) } else { Ok(true) };
            }
        }
        match self.open().await {
            Ok(()) => {
                self.lost = None;
                Ok(false)
            }
            Err(CallError::Compacted) => Err(CallError::Compacted),
            Err(call_error) => {
                self.stream = None;
                let lost = self.lost.as_mut().expect("it was there a moment ago");
                let fatal = matches!(call_error, CallError::Fatal(_) | CallError::Denied);
                lost.next = Instant::now() + lost.backoff.pause();
                lost.why = call_error.clone();
                if fatal || lost.since.elapsed() > SILENT_RETRY_TIME { Err(call_error) } else { Ok(false) }
            }
        }
    }

    async fn step(&mut self, deadline: Option<Instant>) -> Result<Option<Event>, CallError> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            if self.over.is_some() {
                return Err(CallError::Compacted);
            }
            let past = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if self.stream.is_none() {
                if self.find(deadline).await? {
                    return Ok(None);
                }
            } else if let Err(call_error) = self.listen(deadline).await
                && call_error != CallError::Compacted
            {
                self.drop_stream(call_error).await;
            }
            if past && self.pending.is_empty() {
                return Ok(None);
            }
        }
    }
}

impl Watch for EtcdWatch {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        // A message that is here already is a reading away, however short the wait.
        if let Some(event) = self.pending.pop_front() {
            return Ok(Some(event));
        }
        let deadline = Instant::now().checked_add(wait);
        match wait_for(self.step(deadline)) {
            Ok(event) => Ok(event),
            Err(CallError::Compacted) => {
                self.stream = None;
                Err(StoreError::Compacted {
                    from: number(self.position).into(),
                    kept: self.over.unwrap_or_default().into(),
                })
            }
            Err(call_error) => Err(self.shared.failed(&call_error)),
        }
    }

    fn more(&mut self) -> Option<Event> {
        self.pending.pop_front()
    }

    fn position(&self) -> Position {
        let next = self.pending.front().and_then(|event| event.revision().number());
        // Everything before the next event was given; of a transaction the position has all or nothing.
        Position::at(next.map_or(number(self.position), |next| next - 1))
    }
}

fn named(live: &ActiveConnection, call_error: CallError) -> CallError {
    match call_error {
        CallError::Away(text) => CallError::Away(format!("{}: {text}", shown(&live.endpoint))),
        other => other,
    }
}
