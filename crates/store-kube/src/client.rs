//! A connection to an API server: requests and answers, over HTTP/2 where the server speaks it.
//!
//! All requests of a handle share one connection, watches included. One that is lost is made again by the next
//! request, with keys, certificates and tokens as they are then. A server that does not answer pings is left. Over HTTP/1.1 each
//! request has a connection of its own and there are no pings: the kernel looks after silent connections, and while a watch is
//! silent the server is asked for its version.

mod call_error;
mod tls;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Notify};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tortie_api::{duration, error_with_causes};
use tortie_store::Backoff;

use self::token::Tokens;
use crate::settings::Settings;

pub(crate) use call_error::{CallError, Status};

/// How long a server may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a server may take to begin an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of one answer, and of all together, may be on its way.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 25;
const AGENT: &str = concat!("tortie/", env!("CARGO_PKG_VERSION"));

/// Pauses between attempts to connect, to call and to watch.
pub(crate) const fn reconnect_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(10))
}

/// What to ask.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path and the query.
    pub(crate) path: String,
    /// The type of the body, and the body.
    pub(crate) body: Option<(&'static str, Bytes)>,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None }
    }

    pub(crate) fn with(method: Method, path: impl Into<String>, kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { method, path: path.into(), body: Some((kind, body.into())) }
    }

    /// Whether it can be made twice without harm.
    fn is_safe(&self) -> bool {
        self.method == Method::GET
    }
}

/// The one connection of a handle.
pub(crate) struct Client {
    settings: Settings,
    uri: Uri,
    tokens: Tokens,
    live: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
    connected: Notify,
    /// Nobody has asked yet whether the history of the server behind a new connection goes on where the last one was.
    unchecked: AtomicBool,
    /// When the server was last asked over HTTP/1.1 whether it answers, and what came of that.
    asked: Mutex<Option<(Instant, Result<(), CallError>)>>,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let uri: Uri = settings.server.parse().map_err(|error| format!("{}: {error}", settings.server))?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(format!("{}: this is not the URL of an API server", settings.server));
        }
        let tokens = Tokens::new(settings.credentials.clone());
        Ok(Self {
            settings,
            uri,
            tokens,
            live: Mutex::new(None),
            connected: Notify::new(),
            unchecked: AtomicBool::default(),
            asked: Mutex::new(None),
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Waits for this long, or until somebody else has connected again.
    pub(crate) async fn wait(&self, wait: Duration) {
        let _ = tokio::time::timeout(wait, self.connected.notified()).await;
    }

    /// True once for each connection: whoever gets it asks how far the server is.
    pub(crate) fn take_unchecked(&self) -> bool {
        self.unchecked.swap(false, Ordering::Relaxed)
    }

    /// An error if the server does not answer. Of several that ask at once, one sends a request.
    pub(crate) async fn answers(&self) -> Result<(), CallError> {
        let (interval, limit) = self.settings.keepalive;
        let mut asked = self.asked.lock().await;
        if let Some((_, answer)) = asked.as_ref().filter(|(at, _)| at.elapsed() < interval) {
            return answer.clone();
        }
        // Everybody may ask this; if not, the refusal is an answer too.
        let answer = match tokio::time::timeout(limit, self.send(&Call::get("/version"))).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(CallError::Away(format!("no answer within {}", duration::text(limit)))),
        };
        *asked = Some((Instant::now(), answer.clone()));
        answer
    }

    /// The body of a successful answer. While the server cannot be reached or asks for patience, a call that can be made
    /// twice is made again until patience ends; any other only if it was refused for that reason.
    pub(crate) async fn call(&self, call: &Call) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + self.settings.patience;
        let mut backoff = reconnect_backoff();
        loop {
            let call_error = match self.once(call).await {
                Ok(body) => return Ok(body),
                Err(call_error) => call_error,
            };
            let wait = match &call_error {
                CallError::Busy(wait, _) => backoff.at_least(*wait),
                CallError::Away(_) if call.is_safe() => backoff.pause(),
                _ => return Err(call_error),
            };
            if Instant::now() + wait >= deadline {
                return Err(call_error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes a call; none if the server does not have the object.
    pub(crate) async fn find(&self, call: &Call) -> Result<Option<Bytes>, CallError> {
        match self.call(call).await {
            Ok(body) => Ok(Some(body)),
            Err(call_error) if call_error.code() == Some(404) => Ok(None),
            Err(call_error) => Err(call_error),
        }
    }

    async fn once(&self, call: &Call) -> Result<Bytes, CallError> {
        let answer = self.open(call).await?;
        let body = answer.into_body().collect().await.map_err(|error| CallError::Away(error_with_causes(&error)))?;
        Ok(body.to_bytes())
    }

    /// A successful answer, whose body is still on its way. It is not asked for again.
    pub(crate) async fn open(&self, call: &Call) -> Result<Response<Incoming>, CallError> {
        let answer = self.send(call).await?;
        let answer = if answer.status() == 401 && self.tokens.refused() { self.send(call).await? } else { answer };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status().as_u16();
        let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Err(match CallError::of(code, after, &body) {
            CallError::Refused(status) if code == 401 => CallError::Refused(Status {
                message: format!(
                    "the API server does not accept {}: {}",
                    self.settings.identification(),
                    status.message
                ),
                ..status
            }),
            call_error => call_error,
        })
    }

    async fn send(&self, call: &Call) -> Result<Response<Incoming>, CallError> {
        // A program may print the token, and takes its time.
        let mut request = tokio::task::block_in_place(|| self.request(call))?;
        let sending = async {
            match self.connection().await? {
                Sender::Two(mut sender) => {
                    sender.send_request(request).await.map_err(|error| error_with_causes(&error))
                }
                Sender::One(mut sender) => {
                    // A whole URL is for proxies, and some servers take it only from them.
                    if let Some(path) = request.uri().path_and_query().cloned() {
                        *request.uri_mut() = path.into();
                    }
                    sender.send_request(request).await.map_err(|error| error_with_causes(&error))
                }
            }
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, sending).await {
            Ok(answer) => answer.map_err(CallError::Away),
            Err(_) => {
                // Whoever comes next tries another connection.
                *self.live.lock().await = None;
                Err(CallError::Away(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())))
            }
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>, CallError> {
        let base = self.uri.path().trim_end_matches('/');
        let authority = self.uri.authority().map(ToString::to_string).unwrap_or_default();
        let scheme = self.uri.scheme_str().unwrap_or("https");
        let uri = format!("{scheme}://{authority}{base}{}", call.path);
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, AGENT);
        if let Some(token) = self.tokens.current().map_err(CallError::Settings)? {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value =
                value.map_err(|_| CallError::Settings("the token has letters that no token has".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = match &call.body {
            Some((kind, body)) => {
                request = request.header(header::CONTENT_TYPE, *kind);
                body.clone()
            }
            None => Bytes::new(),
        };
        request.body(Full::new(body)).map_err(|error| CallError::Settings(error.to_string()))
    }

    /// The connection that is there, or a new one.
    async fn connection(&self) -> Result<Sender, String> {
        let mut live = self.live.lock().await;
        if let Some(sender) = live.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(Sender::Two(sender.clone()));
        }
        *live = None;
        let sender = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await;
        let sender = sender.unwrap_or_else(|_| Err(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())))?;
        if let Sender::Two(sender) = &sender {
            *live = Some(sender.clone());
            self.unchecked.store(true, Ordering::Relaxed);
            self.connected.notify_waiters();
        }
        Ok(sender)
    }

    async fn connect(&self) -> Result<Sender, String> {
        let secure = self.uri.scheme_str() != Some("http");
        let host = self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = self.uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        keep_alive(&stream, self.settings.keepalive).map_err(|error| error.to_string())?;
        if !secure {
            return http1(stream).await;
        }
        let config = tls::config(&self.settings)?;
        let name = self.settings.server_name.clone().unwrap_or(host);
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let stream =
            TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => http2(stream, self.settings.keepalive).await,
            _ => http1(stream).await,
        }
    }
}

/// What sends a request: over a connection that all share, or over one that is the request's own.
enum Sender {
    Two(http2::SendRequest<Full<Bytes>>),
    One(http1::SendRequest<Full<Bytes>>),
}

/// Lets the kernel end a connection whose other end is silent and does not answer any more.
fn keep_alive(stream: &TcpStream, (interval, limit): (Duration, Duration)) -> rustix::io::Result<()> {
    let seconds = |time: Duration| Duration::from_secs(time.as_secs().max(1));
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, seconds(interval))?;
    sockopt::set_tcp_keepintvl(stream, seconds(limit))?;
    sockopt::set_tcp_keepcnt(stream, 1)?;
    // The same for what was sent and is not acknowledged.
    let most = u32::try_from((interval + limit).as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, most)
}

async fn http2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    (interval, limit): (Duration, Duration),
) -> Result<Sender, String> {
    let handshake = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(interval)
        .keep_alive_timeout(limit)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|error| error_with_causes(&error))?;
    // Its end is seen by whoever uses it.
    tokio::spawn(async { drop(connection.await) });
    Ok(Sender::Two(sender))
}

async fn http1(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Sender, String> {
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error_with_causes(&error))?;
    tokio::spawn(async { drop(connection.await) });
    Ok(Sender::One(sender))
}
