//! One stream of a watch: the changes of one resource, for as long as anybody reads them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http::Version;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;
use tortie_api::error_with_causes;
use tortie_store::{Event, Revision, part_of};

use crate::client::{Call, CallError, Status, reconnect_backoff};
use crate::discovery::Age;
use crate::item::{Decoder, Item};
use crate::list;
use crate::meta::version_in;
use crate::pauses::Pauses;
use crate::shared::Shared;
use crate::source::Source;

/// How long the server is asked to keep a stream: another one each, so that not all end together.
const STREAM_SECONDS: u64 = 300;
/// After which silence the server is asked how far it is, between half of it and all. A server that follows the same history tells
/// each stream about once a minute how far it is, so usually nobody asks.
const MAX_SILENCE: Duration = Duration::from_secs(180);
/// The same after a connection was lost: one of the client's streams asks.
const MAX_SILENCE_AFTER_LOSS: Duration = Duration::from_secs(10);

/// A stream of one resource.
pub(crate) struct Stream {
    pub(crate) shared: Shared,
    pub(crate) decoder: Decoder,
    pub(crate) source: Source,
    pub(crate) namespace: Option<String>,
    /// Up to where everything was told.
    pub(crate) position: Revision,
    pub(crate) epoch: u64,
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) lost: Arc<Mutex<HashMap<Source, (Instant, CallError)>>>,
}

/// What a stream tells.
pub(crate) struct Report {
    pub(crate) source: Source,
    pub(crate) epoch: u64,
    pub(crate) content: Content,
}

/// The content of a report.
pub(crate) enum Content {
    /// Positions, each with the change that was made there, if it is one.
    Events(Vec<(Revision, Option<Event>)>),
    /// The position is no longer kept.
    Expired,
    /// The server has only the other group of custom resources now.
    OtherGroup,
}

/// A frame of a stream, or none at its end.
type NextFrame = Option<Result<Frame<Bytes>, hyper::Error>>;

/// Why a stream ends for good, or what to do next.
enum End {
    /// Open it again.
    Over,
    /// Open it again, since it was silent for long.
    Silent,
    /// Nobody reads any more.
    Unread,
}

impl Stream {
    /// Runs until nobody reads, or the position is no longer kept.
    pub(crate) async fn run(mut self) {
        let (mut failing, mut silent) = (Pauses::default(), reconnect_backoff());
        let mut was_away = false;
        loop {
            let before = self.position.clone();
            let call_error = match self.once(&mut failing, was_away).await {
                Ok(End::Over) if self.position != before => {
                    (silent, was_away) = (reconnect_backoff(), false);
                    continue;
                }
                // A server that ends each stream at once is not asked again at once.
                Ok(End::Over) => {
                    tokio::time::sleep(silent.pause()).await;
                    continue;
                }
                Ok(End::Silent) => continue,
                Ok(End::Unread) => return,
                Err(call_error) => call_error,
            };
            let is_absent = call_error.code() == Some(404) && !self.source.is_always_served();
            let wait = match &call_error {
                CallError::Expired => {
                    let _ = self.report(Content::Expired).await;
                    return;
                }
                // It was there before: whether it is gone, and its objects with it, is found out by whoever lists it.
                CallError::Refused(_) if is_absent && self.position != Revision::default() => {
                    let _ = self.report(Content::Expired).await;
                    return;
                }
                // Its definition is not there yet: nothing to watch is no trouble.
                CallError::Refused(_) if is_absent => {
                    self.found();
                    if self.shared.has_only_the_other(self.decoder.group, Age::Due).await == Ok(true) {
                        let _ = self.report(Content::OtherGroup).await;
                        return;
                    }
                    self.shared.wait_until_due().await;
                    continue;
                }
                call_error => failing.after(call_error),
            };
            let is_away = matches!(call_error, CallError::Away(_));
            was_away = was_away || is_away;
            if !is_absent {
                self.record_failure(call_error);
            }
            if is_away {
                self.shared.client().wait(wait).await;
            } else {
                tokio::time::sleep(wait).await;
            }
        }
    }

    async fn once(&mut self, failing: &mut Pauses, was_away: bool) -> Result<End, CallError> {
        if self.position == Revision::default() && !self.appear().await? {
            return Ok(End::Unread);
        }
        let path = self.source.path(self.decoder.group, self.namespace.as_deref());
        let kept = STREAM_SECONDS + u64::from(uuid::Uuid::new_v4().as_bytes()[0]);
        let call = Call::get(format!(
            "{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds={kept}&resourceVersion={}",
            self.position
        ));
        let answer = self.shared.client().open(&call).await?;
        self.found();
        *failing = Pauses::default();
        // Without a connection that others use too, nobody pings.
        let is_alone = answer.version() < Version::HTTP_2;
        self.read(answer.into_body(), was_away, is_alone).await
    }

    /// A resource that was not there when the watch began: once it is, all its objects are new. False when nobody reads.
    async fn appear(&mut self) -> Result<bool, CallError> {
        if !self.source.is_always_served()
            && !self.shared.serves(&self.source.path(self.decoder.group, None), Age::Due).await?
        {
            return Err(CallError::of(404, None, b""));
        }
        let (sender, mut pages) = mpsc::channel(4);
        let collecting = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(page) = pages.recv().await {
                all.extend(page);
            }
            all
        });
        let version =
            list::one_source(&self.shared, &self.decoder, self.source, self.namespace.as_deref(), &sender).await?;
        drop(sender);
        if version == Revision::default() {
            return Err(CallError::of(404, None, b""));
        }
        let objects = collecting.await.map_err(|error| CallError::Away(error.to_string()))?;
        let mut events: Vec<_> = objects.into_iter().map(|it| (Revision::default(), Some(Event::Put(it)))).collect();
        events.push((version.clone(), None));
        self.position = version;
        Ok(self.report(Content::Events(events)).await)
    }

    /// Reads a stream to its end. Of several that are back after the connection was lost, one asks soon whether the history goes on.
    /// One with a connection of its own (`is_alone`) does not wait for it for ever: the server may follow another one.
    async fn read(&mut self, mut body: Incoming, mut is_back: bool, is_alone: bool) -> Result<End, CallError> {
        let mut buffer = BytesMut::new();
        loop {
            let silence = part_of(if is_back { MAX_SILENCE_AFTER_LOSS } else { MAX_SILENCE });
            let frame = if is_alone {
                self.frame_alone(&mut body, silence).await?
            } else {
                tokio::time::timeout(silence, body.frame()).await.ok()
            };
            let is_early = std::mem::take(&mut is_back);
            let Some(frame) = frame else {
                if !is_early || self.shared.client().take_unchecked() {
                    self.check_history().await?;
                }
                if is_alone && !is_early {
                    return Ok(End::Silent);
                }
                continue;
            };
            let frame = match frame {
                None => return Ok(End::Over),
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(CallError::Away(error_with_causes(&error))),
            };
            let Ok(data) = frame.into_data() else { continue };
            buffer.extend_from_slice(&data);
            let mut events = Vec::new();
            // Only what has just come can hold the end of a line.
            let mut searched = buffer.len() - data.len();
            while let Some(end) = buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let end = searched + end;
                let line = self.line(&buffer[..end]);
                buffer.advance(end + 1);
                searched = 0;
                match line {
                    Ok(event) => events.extend(event),
                    Err(call_error) => {
                        if !events.is_empty() && !self.report(Content::Events(events)).await {
                            return Ok(End::Unread);
                        }
                        return Err(call_error);
                    }
                }
            }
            if !events.is_empty() && !self.report(Content::Events(events)).await {
                return Ok(End::Unread);
            }
        }
    }

    /// The next frame of a stream with a connection of its own; none if it is silent for so long. An error if the server does not
    /// answer meanwhile.
    async fn frame_alone(&self, body: &mut Incoming, silence: Duration) -> Result<Option<NextFrame>, CallError> {
        let (interval, _) = self.shared.client().settings().keepalive;
        let end = Instant::now() + silence;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if let Ok(frame) = tokio::time::timeout(left.min(interval), body.frame()).await {
                return Ok(Some(frame));
            }
            if left <= interval {
                return Ok(None);
            }
            self.shared.client().answers().await?;
        }
    }

    /// Whether the server has come as far as this stream. One whose etcd was restored from a backup has not, and says nothing to a
    /// watch from a later version until it comes there in its new history.
    async fn check_history(&self) -> Result<(), CallError> {
        let now = list::version(&self.shared, &self.decoder, self.source).await?;
        // Without its definition a resource has no version.
        if now != Revision::default() && now < self.position { Err(CallError::Expired) } else { Ok(()) }
    }

    /// What one line says.
    fn line(&mut self, line: &[u8]) -> Result<Option<(Revision, Option<Event>)>, CallError> {
        if line.is_empty() {
            return Ok(None);
        }
        let wrong = |error: String| CallError::Away(format!("{}: {error}", self.source.name(self.decoder.group)));
        let (kind, object) = split_line(line).ok_or_else(|| wrong("a line of the watch cannot be read".to_owned()))?;
        if kind == "ERROR" {
            let status = Status::of(None, object);
            return Err(if status.code == 410 || status.reason == "Expired" {
                CallError::Expired
            } else {
                wrong(status.message)
            });
        }
        let at = version_in(object).map_err(|error| wrong(error.to_string()))?;
        self.position = at.clone();
        if kind == "BOOKMARK" {
            return Ok(Some((at, None)));
        }
        let item = self.decoder.object(self.source, object).map_err(wrong)?;
        let event = match item {
            Item::Object(stored) if kind == "DELETED" => {
                self.decoder.conversion_warnings.forget(&stored.key);
                Some(Event::Deleted(stored.key, stored.revision))
            }
            Item::Object(stored) => Some(Event::Put(stored)),
            Item::Nothing(key) => {
                if kind == "DELETED" {
                    self.decoder.conversion_warnings.forget(&key);
                }
                Some(Event::Deleted(key, at.clone()))
            }
            Item::Foreign => None,
        };
        Ok(Some((at, event)))
    }

    /// False when nobody reads any more.
    async fn report(&self, content: Content) -> bool {
        self.reports.send(Report { source: self.source, epoch: self.epoch, content }).await.is_ok()
    }

    fn found(&self) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.source);
    }

    fn record_failure(&self, call_error: CallError) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let since = lost.get(&self.source).map_or_else(Instant::now, |(since, _)| *since);
        lost.insert(self.source, (since, call_error));
    }
}

/// The type of a line, and its object, which is not looked into: the server writes `{"type":"ADDED","object":{...}}`.
fn split_line(line: &[u8]) -> Option<(&str, &[u8])> {
    let rest = line.strip_prefix(b"{\"type\":\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let object = rest[end..].strip_prefix(b"\",\"object\":")?.trim_ascii_end().strip_suffix(b"}")?;
    Some((std::str::from_utf8(&rest[..end]).ok()?, object))
}

#[cfg(test)]
mod tests {
    use super::split_line;

    #[test]
    fn a_line_is_cut_into_its_type_and_its_object() {
        assert_eq!(split_line(br#"{"type":"ADDED","object":{"a":{}}}"#), Some(("ADDED", &br#"{"a":{}}"#[..])));
        assert_eq!(split_line(b"{\"type\":\"BOOKMARK\",\"object\":{}}\r"), Some(("BOOKMARK", &b"{}"[..])));
        for wrong in [&b"{}"[..], b"", br#"{"type":"ADDED"}"#, br#"{"object":{},"type":"ADDED"}"#] {
            assert_eq!(split_line(wrong), None);
        }
    }
}
