//! The local socket: a request is one line of JSON, and so is the answer. [`ask`] is the client.

use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tortie_store::{Position, Stored};

use crate::local_facts::LocalFacts;
use crate::object_stream;
use crate::off::Off;
use crate::private_directory;
use crate::status::{Progress, RuleCount, Status, StoreStatus};
use crate::supervisor::{self, Lifetime};
use crate::watch_events::WatchEvent;

/// The default directory of the agent's socket.
pub const DEFAULT_RUN: &str = "/run/tortie";
/// The longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 64 * 1024;
/// How long a client may be silent before its connection is closed.
const SILENT_CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an agent that sends events may be silent.
const MAX_SILENCE: Duration = Duration::from_secs(15);

/// A request to the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Request {
    /// The status.
    Status,
    /// What verdicts depend on beside the store.
    #[serde(rename = "ground")]
    LocalFacts,
    /// Which store the agent follows.
    Store,
    /// What is in force on this node.
    InForce {
        /// The store that is meant.
        store: String,
        /// The position at which the client has read it; none if it could not read it.
        #[serde(rename = "revision")]
        position: Option<Position>,
    },
    /// Wait until the kernel has everything that the store had at a position.
    Wait {
        /// The position to wait for.
        #[serde(rename = "revision")]
        position: Position,
        /// The store that the position belongs to.
        store: String,
        /// For at most this long.
        timeout_ms: u64,
    },
    /// Since when a revision is enforced.
    EnforcedSince {
        /// The store that is meant.
        store: String,
        /// The revision.
        revision: u64,
    },
    /// Follow the store that replaced the one in force.
    AcceptStore {
        /// The store that is meant.
        store: String,
    },
    /// Enforce the node with the current name of this machine.
    AcceptNode,
    /// The packets and bytes of each rule.
    RuleCounts,
    /// Read whether enforcement must be on or off, and switch it before answering.
    Switch,
    /// Remove everything that tortie has in the kernel, and end.
    Uninstall,
    /// Send an event for each denied packet, until the client goes away.
    WatchDenied,
    /// Send the status whenever it changes, until the client goes away.
    WatchStatus,
}

/// An answer of the agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Reply {
    /// The status.
    Status(Box<Status>),
    /// What verdicts depend on beside the store.
    #[serde(rename = "ground")]
    LocalFacts(Box<LocalFacts>),
    /// The store that the agent follows.
    Store(Box<StoreStatus>),
    /// What is in force. Objects follow the line: the last valid versions, then the copy of the store if it was asked for.
    InForce(Box<AgentState>),
    /// What is in the kernel now.
    Waited {
        /// Whether the kernel has what the client waited for.
        done: bool,
        /// The mark that the kernel is at.
        in_kernel: Progress,
        /// Why it does not, if the reason is known.
        reason: Option<String>,
        /// The objects that cannot be read, each with what is in force instead.
        #[serde(default)]
        unreadable: Vec<String>,
    },
    /// The revision is enforced without a pause since then.
    EnforcedSince {
        /// In milliseconds since the machine was started, rounded up.
        since_ms: u64,
        /// What happened then: the change was in the kernel, or the agent cannot know what was before.
        event: String,
    },
    /// The store is followed, and its content is in the kernel.
    Accepted {
        /// The store's position.
        #[serde(rename = "revision")]
        position: Position,
    },
    /// This node is enforced.
    NodeAccepted {
        /// Its name.
        node: String,
        /// Whether the agent restarts for that.
        restarts: bool,
    },
    /// The packets and bytes of each rule.
    RuleCounts {
        /// The rules.
        rules: Vec<RuleCount>,
    },
    /// Enforcement was switched as the files say.
    Switched {
        /// Since when it is off; none if it is on.
        off: Option<Off>,
        /// Whether the agent has programmed anything yet.
        programmed: bool,
    },
    /// Events follow the line.
    Watching,
    /// The request is done.
    Done,
    /// The request failed.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Reply {
    /// The message for an answer that does not fit the request: an agent of another release may not know the request.
    pub fn unexpected(&self) -> String {
        match self {
            Reply::Failed { reason } => reason.clone(),
            _ => "its answer does not fit the request: it may be of another release, then restart it".to_owned(),
        }
    }
}

/// The agent's view of the store, sent to clients that ask what is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentState {
    /// What verdicts depend on beside the store.
    #[serde(rename = "ground")]
    pub local_facts: LocalFacts,
    /// The store that the agent follows.
    pub store: StoreStatus,
    /// The mark of what was received.
    pub wanted: Progress,
    /// The mark that the kernel is at.
    pub in_kernel: Progress,
    /// The parts of objects that could not be converted: the path of the key, and a line for users.
    #[serde(default)]
    pub left_out: Vec<(String, String)>,
    /// Those of them that could have decided about packets.
    #[serde(default)]
    pub unreadable_parts: Vec<(String, String)>,
    /// Why the store does not tell the agent how far it is; empty if it does.
    #[serde(default)]
    pub position_problem: String,
    /// Which objects follow the answer.
    pub objects: Objects,
}

/// The kind of objects that follow an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objects {
    /// Only last valid versions: agent and client have read the store at the same position.
    Same,
    /// The agent's copy of the store, at this position.
    Copy(Position),
    /// None: the agent follows another store.
    OtherStore,
    /// None, for this reason.
    Missing(String),
}

/// An answer, and what is written after its line.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) rest: Option<ReplyBody>,
}

/// Writes what follows the line of an answer.
pub(crate) type ReplyBody = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()>>;

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, rest: None }
    }
}

/// Why an agent cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No agent listens on the socket.
    #[error("no agent answers at {}; `tortie agent` starts one (TORTIE_RUN names another directory than {DEFAULT_RUN})", .0.display())]
    Nobody(PathBuf),
    /// This process may not open the socket.
    #[error("the agent's socket {} is for root only", .0.display())]
    Forbidden(PathBuf),
    /// The agent does not answer in time.
    #[error("the agent at {} does not answer", .0.display())]
    Silent(PathBuf),
    /// Reading or writing failed.
    #[error("cannot ask the agent at {}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// The path of the socket in a run directory.
pub fn path(run: &Path) -> PathBuf {
    run.join("agent.sock")
}

/// Asks the agent whose socket is in this directory. The whole answer must arrive before the deadline.
pub fn ask(run: &Path, request: &Request, deadline: Instant) -> Result<Reply, AskError> {
    exchange(run, request, deadline, |mut from| receive(&mut from))
}

/// An agent's answer to [`Request::InForce`], with the objects that follow it.
#[derive(Clone, Debug, PartialEq)]
pub struct InForceAnswer {
    /// The agent's view of the store.
    pub state: AgentState,
    /// The last valid versions of the objects that cannot be read.
    pub last_valid: Vec<Stored>,
    /// The copy of the store, if it was sent.
    pub copy: Vec<Stored>,
}

/// Asks an agent what is in force. `store` and `position` say what the client has read.
pub fn ask_in_force(
    run: &Path,
    store: &str,
    position: Option<Position>,
    deadline: Instant,
) -> Result<InForceAnswer, AskError> {
    let request = Request::InForce { store: store.to_owned(), position };
    exchange(run, &request, deadline, |mut from| {
        let state = match receive(&mut from)? {
            Reply::InForce(state) => *state,
            other => return Err(io::Error::other(other.unexpected())),
        };
        let last_valid = object_stream::receive(&mut from)?;
        let copy =
            if matches!(state.objects, Objects::Copy(_)) { object_stream::receive(&mut from)? } else { Vec::new() };
        Ok(InForceAnswer { state, last_valid, copy })
    })
}

/// Events that an agent sends.
pub struct Events {
    from: BufReader<DeadlineStream>,
}

/// Asks an agent for events. Its first answer must arrive before the deadline.
pub fn watch(run: &Path, request: &Request, deadline: Instant) -> Result<Events, AskError> {
    exchange(run, request, deadline, |mut from| match receive(&mut from)? {
        Reply::Watching => Ok(Events { from }),
        other => Err(io::Error::other(other.unexpected())),
    })
}

impl Events {
    /// Waits for the next event; none when the agent has ended. An agent that runs sends one each second, so one that sends
    /// nothing for longer is an error.
    pub fn wait(&mut self) -> io::Result<Option<WatchEvent>> {
        self.from.get_mut().deadline = Instant::now() + MAX_SILENCE;
        match receive(&mut self.from) {
            Ok(event) => Ok(Some(event)),
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Ok(None),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, "the agent does not answer any more"))
                }
                _ => Err(error),
            },
        }
    }
}

fn exchange<T>(
    run: &Path,
    request: &Request,
    deadline: Instant,
    take: impl FnOnce(BufReader<DeadlineStream>) -> io::Result<T>,
) -> Result<T, AskError> {
    let path = path(run);
    let stream = DeadlineStream::connect(&path, deadline).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::Nobody(path.clone()),
        io::ErrorKind::PermissionDenied => AskError::Forbidden(path.clone()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent(path.clone()),
        _ => AskError::Io { path: path.clone(), source },
    })?;
    let talk = || {
        let mut stream = stream;
        send(&mut stream, request)?;
        take(BufReader::new(stream))
    };
    talk().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent(path.clone()),
        // The agent ended during the exchange.
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => AskError::Nobody(path.clone()),
        _ => AskError::Io { path: path.clone(), source },
    })
}

/// A connection of which every step ends at the deadline. An agent that hangs neither accepts, nor reads, nor writes.
struct DeadlineStream {
    stream: UnixStream,
    deadline: Instant,
}

impl DeadlineStream {
    /// Connecting waits while the queue of the listener is full, and `connect` has no limit of its own.
    fn connect(path: &Path, deadline: Instant) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(left(deadline)?))?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(Self { stream: socket.into(), deadline })
    }
}

/// The time until a deadline.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.max(Duration::from_millis(1))) }
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer)
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The listening socket. Its file is removed when this is dropped.
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Makes the socket. An old file is replaced; fails if another agent still listens on it.
    pub(crate) fn bind(run: &Path) -> io::Result<Self> {
        private_directory::make(run, Path::new(DEFAULT_RUN))?;
        let path = path(run);
        if UnixStream::connect(&path).is_ok() {
            let what = format!("another agent serves {}; TORTIE_RUN names another directory", path.display());
            return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers until the process ends. `sent` is called for each answer that was sent.
    pub(crate) fn serve(
        &self,
        answer: impl Fn(Request) -> Answer + Clone + Send + 'static,
        sent: impl Fn(&Reply) + Clone + Send + 'static,
    ) {
        for stream in self.listener.incoming() {
            let Ok(stream) = stream else {
                // Most likely there are no free file descriptors at the moment.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            };
            let (answer, sent) = (answer.clone(), sent.clone());
            let talk = move || drop(serve_client(&stream, answer, sent));
            // If a client cannot be served, its connection is closed.
            drop(supervisor::start("client", Lifetime::UntilDone, talk));
        }
    }

    /// The path of the socket.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn serve_client(stream: &UnixStream, answer: impl Fn(Request) -> Answer, sent: impl Fn(&Reply)) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENT_CLIENT_TIMEOUT))?;
    stream.set_write_timeout(Some(SILENT_CLIENT_TIMEOUT))?;
    let Answer { reply, rest } = match receive(BufReader::new(io::Read::take(stream, MAX_REQUEST_BYTES))) {
        Ok(request) => answer(request),
        Err(error) => Reply::Failed { reason: error.to_string() }.into(),
    };
    let mut result = send(&mut { stream }, &reply);
    if result.is_ok()
        && let Some(rest) = rest
    {
        let mut to = BufWriter::with_capacity(64 * 1024, stream);
        result = rest(&mut to).and_then(|()| to.flush());
    }
    sent(&reply);
    result
}

fn send(stream: &mut impl Write, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn receive<T: DeserializeOwned>(mut from: impl BufRead) -> io::Result<T> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer"));
    }
    Ok(serde_json::from_slice(&line)?)
}
