//! One connection to one member at a time; another member when it does not answer.
//!
//! Every handle asks one member and stays with it. What fails is tried again, at the next member and after a pause
//! that grows and differs from client to client, until the `call_timeout` of [`Settings`] is over. What makes no sense
//! to try again, such as a wrong password, fails at once.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tonic::transport::Endpoint;
use tortie_store::backoff::{Backoff, random};

use crate::call_error::{self, CallError};
use crate::discover;
use crate::rpc::Member;
use crate::settings::{Settings, shown};
use crate::tls;
use crate::wire::{AuthenticateRequest, RangeRequest, RangeResponse};

/// How long a member may take for one answer, and for a connection.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// After a wrong password etcd is left alone for this long: each try costs it a slow hash.
const WRONG_PASSWORD_PAUSE: Duration = Duration::from_secs(60);
/// What may be on its way to us before we take it.
const RECEIVE_WINDOW_BYTES: u32 = 4 << 20;

/// The way to etcd.
pub(crate) struct Connection {
    settings: Settings,
    state: Mutex<State>,
    /// The last connection on which a call had no answer in time.
    silent: watch::Sender<u64>,
    /// The highest revision that was received.
    seen: AtomicI64,
}

struct State {
    live: Option<ActiveConnection>,
    /// Which endpoint is asked next.
    at: usize,
    serial: u64,
    refused: Option<(Instant, String)>,
}

/// A connection that works, as far as we know.
#[derive(Clone)]
pub(crate) struct ActiveConnection {
    pub(crate) member: Member,
    pub(crate) endpoint: String,
    /// Which cluster it is: one that was made anew has another id.
    pub(crate) cluster: u64,
    /// Whether it can be asked how far a watch is: before 3.4.25 and 3.5.8 the answer could overtake events.
    pub(crate) tells_progress: bool,
    serial: u64,
}

impl Connection {
    pub(crate) fn new(settings: Settings) -> Self {
        let at = random() as usize;
        let state = State { live: None, at, serial: 0, refused: None };
        Self { settings, state: Mutex::new(state), silent: watch::Sender::new(0), seen: AtomicI64::new(0) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The highest revision that was received so far.
    pub(crate) fn highest_revision(&self) -> i64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// This revision was received.
    pub(crate) fn record_revision(&self, revision: i64) {
        self.seen.fetch_max(revision, Ordering::Relaxed);
    }

    /// Does something that can be done twice, at whichever member answers. It gets whether an earlier try may have
    /// been carried out.
    pub(crate) async fn call<T, W>(&self, work: impl Fn(Member, bool) -> W) -> Result<T, CallError>
    where
        W: Future<Output = Result<T, Status>>,
    {
        let deadline = Instant::now() + self.settings.call_timeout;
        let mut backoff = reconnect_backoff();
        let (mut maybe_done, mut tokens) = (false, 0);
        loop {
            let call_error = match self.live().await {
                Ok(live) => {
                    let call_error = match timeout(REQUEST_TIMEOUT, work(live.member.clone(), maybe_done)).await {
                        Ok(Ok(answer)) => return Ok(answer),
                        Ok(Err(status)) => CallError::of(&status),
                        Err(_) => {
                            self.silent.send_modify(|last| *last = live.serial.max(*last));
                            CallError::timed_out(REQUEST_TIMEOUT)
                        }
                    };
                    match call_error {
                        CallError::Token if tokens < 3 => {
                            tokens += 1;
                            self.discard(&live, false).await;
                            continue;
                        }
                        CallError::Away(text) => {
                            maybe_done = true;
                            self.discard(&live, true).await;
                            CallError::Away(format!("{}: {text}", shown(&live.endpoint)))
                        }
                        other => return Err(other),
                    }
                }
                Err(call_error @ CallError::Away(_)) => call_error,
                Err(call_error) => return Err(call_error),
            };
            let pause = backoff.pause();
            if Instant::now() + pause >= deadline {
                return Err(call_error);
            }
            sleep(pause).await;
        }
    }

    /// Reads a range, at whichever member answers.
    pub(crate) async fn range(&self, request: RangeRequest) -> Result<RangeResponse, CallError> {
        self.call(|member, _| {
            let request = request.clone();
            async move { member.range(request).await }
        })
        .await
    }

    /// The connection, made if there is none: one try at each member.
    pub(crate) async fn live(&self) -> Result<ActiveConnection, CallError> {
        let mut state = self.state.lock().await;
        if let Some(live) = &state.live {
            return Ok(live.clone());
        }
        if let Some((since, text)) = &state.refused
            && since.elapsed() < WRONG_PASSWORD_PAUSE
        {
            return Err(CallError::Fatal(text.clone()));
        }
        let mut failures: Vec<(String, CallError)> = Vec::new();
        let endpoints = self.endpoints().await?;
        for _ in 0..endpoints.len() {
            let endpoint = endpoints[state.at % endpoints.len()].clone();
            match timeout(REQUEST_TIMEOUT, self.connect(&endpoint, state.serial + 1)).await {
                Ok(Ok(live)) => {
                    state.serial = live.serial;
                    state.refused = None;
                    state.live = Some(live.clone());
                    return Ok(live);
                }
                Ok(Err(Failure::Password(text))) => {
                    state.refused = Some((Instant::now(), text.clone()));
                    return Err(CallError::Fatal(text));
                }
                Ok(Err(Failure::Other(call_error))) => failures.push((endpoint, call_error)),
                Err(_) => failures.push((endpoint, CallError::timed_out(REQUEST_TIMEOUT))),
            }
            state.at = state.at.wrapping_add(1);
        }
        let lines: Vec<String> = failures
            .iter()
            .map(|(endpoint, call_error)| format!("{}: {}", shown(endpoint), call_error.text()))
            .collect();
        let text = lines.join("; ");
        let hopeless = failures.iter().all(|(_, call_error)| matches!(call_error, CallError::Fatal(_)));
        Err(if hopeless { CallError::Fatal(text) } else { CallError::Away(text) })
    }

    /// The members, looked up anew where a domain names them.
    async fn endpoints(&self) -> Result<Vec<String>, CallError> {
        let Some((domain, servers)) = self.settings.discovery.clone() else {
            return Ok(self.settings.endpoints.clone());
        };
        let found = tokio::task::spawn_blocking(move || discover::members(&domain, &servers)).await;
        found.expect("looking names up does not panic").map_err(CallError::Away)
    }

    /// Gives a connection up, unless that was done already; if `rotate`, the next one is to another member.
    pub(crate) async fn discard(&self, live: &ActiveConnection, rotate: bool) {
        let mut state = self.state.lock().await;
        if state.live.as_ref().is_some_and(|current| current.serial == live.serial) {
            state.live = None;
            if rotate {
                state.at = state.at.wrapping_add(1);
            }
        }
    }

    /// Waits until a call on this connection, or on a later one, had no answer in time.
    pub(crate) async fn falls_silent(&self, live: &ActiveConnection) {
        // It fails only without a sender.
        let _ = self.silent.subscribe().wait_for(|serial| *serial >= live.serial).await;
    }

    async fn connect(&self, url: &str, serial: u64) -> Result<ActiveConnection, Failure> {
        let fatal = |text: String| Failure::Other(CallError::Fatal(text));
        let mut endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|error| fatal(format!("it is no URL ({})", call_error::reason(&error))))?
            .connect_timeout(REQUEST_TIMEOUT)
            .http2_keep_alive_interval(self.settings.keepalive.0)
            .keep_alive_timeout(self.settings.keepalive.1)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(RECEIVE_WINDOW_BYTES)
            .initial_connection_window_size(2 * RECEIVE_WINDOW_BYTES)
            .tcp_nodelay(true);
        if url.starts_with("https://") {
            let config = tls::config(&self.settings.tls).map_err(fatal)?;
            endpoint = endpoint.tls_config(config).map_err(|error| {
                fatal(format!("the certificates that are given cannot be used: {}", call_error::reason(&error)))
            })?;
        }
        let channel = endpoint.connect().await.map_err(|error| {
            let text = call_error::reason(&error);
            let hopeless = ["certificate", "InvalidContentType"].iter().any(|part| text.contains(part));
            Failure::Other(if hopeless { CallError::Fatal(text) } else { CallError::Away(text) })
        })?;
        let mut member = Member::new(channel);
        if let Some(user) = &self.settings.user {
            let who = AuthenticateRequest { name: user.name.clone(), password: user.password.clone() };
            match member.authenticate(who).await {
                Ok(answer) => {
                    let other = |status| Failure::Other(CallError::of(&status));
                    member = member.with_token(&answer.token).map_err(other)?;
                }
                // Then it does not matter who we are.
                Err(status) if status.message().contains("authentication is not enabled") => {}
                Err(status) if status.message().contains("authentication failed") => {
                    return Err(Failure::Password(format!(
                        "it refuses the user {:?} with the password that is given (ETCD_USERNAME, ETCD_PASSWORD)",
                        user.name
                    )));
                }
                Err(status) => return Err(Failure::Other(CallError::of(&status))),
            }
        }
        let mut live = ActiveConnection { member, endpoint: url.to_owned(), cluster: 0, tells_progress: false, serial };
        match live.member.status().await {
            Ok(status) => {
                live.tells_progress = tells_progress(&status.version);
                live.cluster = status.header.map_or(0, |header| header.cluster_id);
            }
            Err(status) => match CallError::of(&status) {
                // It may be that this user may not ask.
                CallError::Denied | CallError::Token => {}
                CallError::Fatal(text) if !text.contains("user") => {
                    return Err(fatal(text));
                }
                CallError::Fatal(_) => {}
                CallError::Away(text) if text.contains("ertificate") => return Err(fatal(text)),
                // A member that misses a certificate may close before we have read its reason.
                CallError::Away(text) if url.starts_with("https://") && self.settings.tls.identity.is_none() => {
                    let hint = "should it want a client certificate, give one (ETCD_CERT_FILE, ETCD_KEY_FILE)";
                    return Err(Failure::Other(CallError::Away(format!("{text}; {hint}"))));
                }
                call_error => return Err(Failure::Other(call_error)),
            },
        }
        Ok(live)
    }
}

/// Why there is no connection.
enum Failure {
    Password(String),
    Other(CallError),
}

/// Pauses between attempts to connect, to call and to watch.
pub(crate) const fn reconnect_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
}

fn tells_progress(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = [(); 3].map(|()| numbers.next().unwrap_or(0));
    version >= [3, 5, 8] || ([3, 4, 25]..[3, 5, 0]).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_asked_for_only_where_the_answer_can_be_trusted() {
        for (version, trusted) in
            [("3.4.23", false), ("3.4.25", true), ("3.5.0", false), ("3.5.8", true), ("3.6.1", true), ("", false)]
        {
            assert_eq!(tells_progress(version), trusted, "{version}");
        }
    }
}
