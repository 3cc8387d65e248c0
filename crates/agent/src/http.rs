//! A very small HTTP server for probes and scrapes: one GET, one answer, one thread.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use crate::config::Served;

/// How long a client may take for its question.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest question.
const LONGEST: usize = 8 * 1024;

/// An answer.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
}

impl Answer {
    /// A text.
    pub(crate) fn text(code: u16, body: impl Into<String>) -> Self {
        Self { code, kind: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// A running server; dropping it ends it.
pub(crate) struct Server {
    _end: OwnedFd,
}

impl Server {
    /// Serves until it is dropped. `answer` gets the path.
    pub(crate) fn start(
        place: &Served,
        answer: impl Fn(&str) -> Answer + Send + 'static,
        name: &str,
    ) -> io::Result<Self> {
        // An IPv6 address may be written with or without brackets.
        let host = place.host.trim_start_matches('[').trim_end_matches(']');
        let listener = bind(host, place.port)?;
        listener.set_nonblocking(true)?;
        let (ended, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let work = move || {
            loop {
                let mut wait = [PollFd::new(&listener, PollFlags::IN), PollFd::new(&ended, PollFlags::IN)];
                match rustix::event::poll(&mut wait, None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return,
                }
                if !wait[1].revents().is_empty() {
                    return;
                }
                if let Ok((stream, _)) = listener.accept() {
                    // A client that went away is no trouble of ours.
                    drop(serve(stream, &answer));
                }
            }
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { _end: end })
    }
}

fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    // `localhost` may stand for ::1 first, on machines without IPv6 too.
    let sorted = addresses.iter().filter(|one| one.is_ipv4()).chain(addresses.iter().filter(|one| one.is_ipv6()));
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in sorted {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn serve(mut stream: TcpStream, answer: &impl Fn(&str) -> Answer) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Answer { code, kind, body } = match question(&mut stream)? {
        Some(path) => answer(&path),
        None => Answer::text(400, "only GET\n"),
    };
    let reason = match code {
        200 => "OK",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The path of a GET; none if it is none.
fn question(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut buffer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = stream.read(&mut piece)?;
        buffer.extend_from_slice(&piece[..read]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&buffer) {
            Ok(httparse::Status::Complete(_)) => {
                let path = request.path.map(|path| path.split('?').next().unwrap_or(path).to_owned());
                return Ok(path.filter(|_| request.method == Some("GET")));
            }
            Ok(httparse::Status::Partial) if read > 0 && buffer.len() < LONGEST => {}
            _ => return Ok(None),
        }
    }
}
