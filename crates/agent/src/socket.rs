//! The local socket: one line of JSON asks, one line answers. [`ask`] is the other end.

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

use crate::events::Event;
use crate::local_facts::LocalFacts;
use crate::off::Off;
use crate::private_directory;
use crate::status::{Mark, RuleCount, Status, StoreStatus};
use crate::supervisor::{self, Lifetime};
use crate::transfer;

/// Where an agent serves its socket unless something else is said.
pub const DEFAULT_RUN: &str = "/run/tortie";
/// The longest question.
const LONGEST: u64 = 64 * 1024;
/// How long a client that says nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an agent that sends events may be silent.
const SILENCE: Duration = Duration::from_secs(15);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Request {
    /// Everything.
    Status,
    /// What verdicts depend on beside the store.
    #[serde(rename = "ground")]
    LocalFacts,
    /// Which store the agent obeys.
    Store,
    /// What is in force here.
    InForce {
        /// The store that is meant.
        store: String,
        /// The position at which the client has read it; none if it cannot.
        #[serde(rename = "revision")]
        position: Option<Position>,
    },
    /// Wait until the kernel has everything that the store had at a position.
    Wait {
        /// The position.
        #[serde(rename = "revision")]
        position: Position,
        /// The store of which it is one.
        store: String,
        /// For at most this long.
        timeout_ms: u64,
    },
    /// Obey the store that stands in the place of the one in force.
    AcceptStore {
        /// The store that is meant.
        store: String,
    },
    /// Enforce the node that this machine is called now.
    AcceptNode,
    /// What each rule has counted.
    RuleCounts,
    /// Look whether enforcement is to be on or off, and do that before anything is answered.
    Switch,
    /// Take everything of ours out of the kernel, and end.
    Uninstall,
    /// Send an event for each denied packet, until the client goes away.
    WatchDenied,
    /// Send the status whenever it changes, until the client goes away.
    WatchStatus,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Reply {
    /// Everything.
    Status(Box<Status>),
    /// What verdicts depend on beside the store.
    #[serde(rename = "ground")]
    LocalFacts(Box<LocalFacts>),
    /// The store that the agent obeys.
    Store(Box<StoreStatus>),
    /// What is in force here. Behind the line come objects: the last valid versions, then all others if they were asked for.
    InForce(Box<AgentState>),
    /// What is in the kernel now, and whether that is what was waited for.
    Waited {
        /// Whether it is.
        done: bool,
        /// What is in the kernel.
        in_kernel: Mark,
        /// Why not, as far as that is known.
        reason: Option<String>,
        /// The objects that cannot be read, each with what is in force instead.
        #[serde(default)]
        unreadable: Vec<String>,
    },
    /// The store is obeyed, and the kernel has what it says.
    Accepted {
        /// The store's position.
        #[serde(rename = "revision")]
        position: Position,
    },
    /// This node is enforced.
    NodeAccepted {
        /// Its name.
        node: String,
        /// Whether the agent starts anew for that.
        restarts: bool,
    },
    /// What each rule has counted.
    RuleCounts {
        /// The rules.
        rules: Vec<RuleCount>,
    },
    /// The kernel has what is said of on and off.
    Switched {
        /// Enforcement is off.
        off: Option<Off>,
        /// Whether anything of the store was put into the kernel yet.
        programmed: bool,
    },
    /// Behind the line come events.
    Watching,
    /// It is done.
    Done,
    /// It could not be done.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Reply {
    /// What is said of an answer to another question: one of another release does not know the question.
    pub fn unexpected(&self) -> String {
        match self {
            Reply::Failed { reason } => reason.clone(),
            _ => "it answered another question; is it of another release?".to_owned(),
        }
    }
}

/// How the agent stands with the store, told to whoever asks what is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentState {
    /// What verdicts depend on beside the store.
    #[serde(rename = "ground")]
    pub local_facts: LocalFacts,
    /// The store that the agent follows.
    pub store: StoreStatus,
    /// What was received of it.
    pub wanted: Mark,
    /// What is in the kernel.
    pub in_kernel: Mark,
    /// Which objects follow.
    pub objects: Objects,
}

/// What the objects are that follow an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objects {
    /// Only last valid versions: the agent has the store as the client has read it.
    Same,
    /// The agent's copy of the store, which is of this position.
    Copy(Position),
    /// None: the agent follows another store.
    OtherStore,
    /// None, for this reason.
    Missing(String),
}

/// An answer, and what is written behind its line.
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) rest: Option<ReplyBody>,
}

/// Writes what comes behind the line of an answer.
pub(crate) type ReplyBody = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()>>;

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { reply, rest: None }
    }
}

/// Why an agent cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody serves there.
    #[error("no agent answers at {}; `tortie agent` starts one (TORTIE_RUN names another directory than {DEFAULT_RUN})", .0.display())]
    Nobody(PathBuf),
    /// We may not.
    #[error("the agent's socket {} is for root only", .0.display())]
    Forbidden(PathBuf),
    /// Somebody serves there, and says nothing.
    #[error("the agent at {} does not answer", .0.display())]
    Silent(PathBuf),
    /// Something failed on the way.
    #[error("cannot ask the agent at {}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
}

/// The socket in a directory.
pub fn path(run: &Path) -> PathBuf {
    run.join("agent.sock")
}

/// Asks the agent whose socket is in this directory. The whole answer must arrive before the deadline.
pub fn ask(run: &Path, request: &Request, deadline: Instant) -> Result<Reply, AskError> {
    exchange(run, request, deadline, |mut from| receive(&mut from))
}

/// What an agent says of what is in force, with the objects that follow: last valid versions, and its copy of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct InForceAnswer {
    /// How the agent stands with the store.
    pub state: AgentState,
    /// The last valid versions of the objects that cannot be read.
    pub last_valid: Vec<Stored>,
    /// The copy of the store, when that was sent.
    pub copy: Vec<Stored>,
}

/// Asks an agent what is in force, for a client that has read this store at this position.
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
        let last_valid = transfer::receive(&mut from)?;
        let copy = if matches!(state.objects, Objects::Copy(_)) { transfer::receive(&mut from)? } else { Vec::new() };
        Ok(InForceAnswer { state, last_valid, copy })
    })
}

/// Events that an agent sends.
pub struct Events {
    from: BufReader<DeadlineStream>,
}

/// Asks an agent for events. It must agree before the deadline.
pub fn watch(run: &Path, request: &Request, deadline: Instant) -> Result<Events, AskError> {
    exchange(run, request, deadline, |mut from| match receive(&mut from)? {
        Reply::Watching => Ok(Events { from }),
        other => Err(io::Error::other(other.unexpected())),
    })
}

impl Events {
    /// Waits for the next event; none when the agent has ended. An agent that runs sends one each second, so one that sends
    /// nothing for longer is an error.
    pub fn wait(&mut self) -> io::Result<Option<Event>> {
        self.from.get_mut().deadline = Instant::now() + SILENCE;
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
        // It ended just now.
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

/// The time up to a deadline.
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

/// The listening socket, and its file as long as this lives.
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Makes the socket. Whoever served there before is gone, or this fails.
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

    /// Answers for as long as the process lives. `sent` is told of each answer that is on its way.
    pub(crate) fn serve(
        &self,
        answer: impl Fn(Request) -> Answer + Clone + Send + 'static,
        sent: impl Fn(&Reply) + Clone + Send + 'static,
    ) {
        for stream in self.listener.incoming() {
            let Ok(stream) = stream else {
                // Out of descriptors, most likely: they come back.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            };
            let (answer, sent) = (answer.clone(), sent.clone());
            let talk = move || drop(serve_client(&stream, answer, sent));
            // A client that cannot be served is told so by the end of its connection.
            drop(supervisor::start("client", Lifetime::UntilDone, talk));
        }
    }

    /// The socket's file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn serve_client(stream: &UnixStream, answer: impl Fn(Request) -> Answer, sent: impl Fn(&Reply)) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Answer { reply, rest } = match receive(BufReader::new(io::Read::take(stream, LONGEST))) {
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
