//! A small HTTP server for probes and metrics: each connection is one GET and its answer.
//!
//! Each connection has a thread of its own and one deadline for the whole exchange, and there are at most [`CLIENTS`] at
//! a time: a new one closes the oldest. So clients that send slowly, or never finish, cannot prevent a probe from getting
//! its answer. An address with [`Tls`] is served over TLS only.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

mod tls;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use rustls::{ServerConfig, ServerConnection, Stream};
use tortie_store::Backoff;

use crate::config::{Served, Tls};
use crate::supervisor::{self, Lifetime};

/// The deadline of a whole exchange.
const DEADLINE: Duration = Duration::from_secs(2);
/// The longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 8 * 1024;
/// How many connections are open at most.
const CLIENTS: usize = 32;

/// An answer.
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The `Content-Type` of the body.
    pub kind: &'static str,
    /// The body.
    pub body: String,
}

impl Answer {
    /// A plain text.
    pub fn text(code: u16, body: impl Into<String>) -> Self {
        Self { code, kind: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// A server that runs, or waits until it can bind its address; dropping it ends it.
pub struct Server {
    _end: OwnedFd,
}

impl Server {
    /// Serves until it is dropped. An address that cannot be bound is tried again until it can; `report` is called when that
    /// fails for another reason than before, and when it succeeds.
    /// `before` serves until then, so that a server that moves answers at one of its addresses at any time. `answer`
    /// gets the path.
    pub fn start(
        place: Served,
        before: Option<Server>,
        answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
        report: impl Fn(io::Result<()>) + Send + 'static,
        name: &str,
    ) -> io::Result<Self> {
        let (ended, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let work = move || {
            let mut backoff = Backoff::default();
            let mut reported = String::new();
            let (listener, config) = loop {
                match listen(&place).and_then(|listener| Ok((listener, tls_config(&place)?))) {
                    Ok(ready) => break ready,
                    Err(error) if error.to_string() != reported => {
                        reported = error.to_string();
                        report(Err(error));
                    }
                    Err(_) => {}
                }
                if !matches!(wait(&[&ended], Some(backoff.pause())), Ok(ready) if !ready[0]) {
                    return;
                }
            };
            report(Ok(()));
            drop(before);
            let report = Mutex::new((report, String::new()));
            accept(&listener, &ended, &Arc::new(Answers { tls: place.tls.zip(config), answer, report }));
        };
        supervisor::start(name, Lifetime::UntilDone, work)?;
        Ok(Self { _end: end })
    }
}

/// How connections are answered.
struct Answers<A, R> {
    /// The files of TLS, and what was read from them at the start.
    tls: Option<(Tls, Arc<ServerConfig>)>,
    answer: A,
    /// Takes problems with these files, and the last one that was reported; empty if they can be used.
    report: Mutex<(R, String)>,
}

impl<A: Fn(&str) -> Answer, R: Fn(io::Result<()>)> Answers<A, R> {
    /// Reports a problem with the files of TLS if it is another one than before, and when they can be used again.
    fn report_files(&self, problem: &str) {
        let mut last = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        if last.1 == problem {
            return;
        }
        problem.clone_into(&mut last.1);
        (last.0)(if problem.is_empty() { Ok(()) } else { Err(io::Error::other(problem)) });
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(DEADLINE))?;
        let mut exchange = Exchange { stream, deadline: Instant::now() + DEADLINE };
        let Some((files, first)) = &self.tls else { return serve(&mut exchange, &self.answer) };
        // Files that are being replaced may not fit together for a moment.
        let config = match tls::config(files) {
            Ok(config) => {
                self.report_files("");
                config
            }
            Err(why) => {
                self.report_files(&format!("{why}; connections get the certificate that was read at the start"));
                first.clone()
            }
        };
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        serve(&mut Stream::new(&mut connection, &mut exchange), &self.answer)?;
        connection.send_close_notify();
        connection.write_tls(&mut exchange).map(drop)
    }
}

/// A connection, whose reads end together at one deadline.
struct Exchange<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Exchange<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.stream.read(buffer)
    }
}

impl Write for Exchange<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What TLS needs at this place; none without TLS.
fn tls_config(place: &Served) -> io::Result<Option<Arc<ServerConfig>>> {
    place.tls.as_ref().map(tls::config).transpose().map_err(io::Error::other)
}

/// Answers connections until `ended` can be read; those that wait at that time are still answered.
fn accept(
    listener: &TcpListener,
    ended: &OwnedFd,
    answers: &Arc<Answers<impl Fn(&str) -> Answer + Send + Sync + 'static, impl Fn(io::Result<()>) + Send + 'static>>,
) {
    let mut clients: VecDeque<TcpStream> = VecDeque::new();
    loop {
        let Ok(ready) = wait(&[listener, ended], None) else { return };
        while let Ok((stream, _)) = listener.accept() {
            if clients.len() == CLIENTS
                && let Some(oldest) = clients.pop_front()
            {
                // It may have ended already, which is no error.
                drop(oldest.shutdown(Shutdown::Both));
            }
            clients.extend(stream.try_clone());
            let answers = answers.clone();
            let work = move || {
                drop(answers.serve(&stream));
                // The clone that is kept must not hold the connection open.
                drop(stream.shutdown(Shutdown::Both));
            };
            // If a client cannot be served, its connection is closed.
            drop(supervisor::start("client", Lifetime::UntilDone, work));
        }
        if ready[1] {
            return;
        }
    }
}

/// Waits until a descriptor can be read or the time is over. Returns which ones can be read.
fn wait(fds: &[&dyn std::os::fd::AsFd], most: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
    let most = most.and_then(|most| Timespec::try_from(most).ok());
    match rustix::event::poll(&mut polled, most.as_ref()) {
        Ok(_) => Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(rustix::io::Errno::INTR) => Ok(vec![false; fds.len()]),
        Err(error) => Err(error.into()),
    }
}

fn listen(place: &Served) -> io::Result<TcpListener> {
    // An IPv6 address may be written with or without brackets.
    let host = place.host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = (host, place.port).to_socket_addrs()?.collect();
    // `localhost` may resolve to ::1 first, on machines without IPv6 too.
    let sorted = addresses.iter().filter(|one| one.is_ipv4()).chain(addresses.iter().filter(|one| one.is_ipv6()));
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in sorted {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Binds with `SO_REUSEADDR` and `SO_REUSEPORT`, so that a server can move from one address of a port to all of them.
fn listen_at(address: &SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, address)?;
    rustix::net::listen(&socket, 128)?;
    Ok(TcpListener::from(socket))
}

fn serve(stream: &mut (impl Read + Write), answer: &impl Fn(&str) -> Answer) -> io::Result<()> {
    let Answer { code, kind, body } = match question(stream)? {
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
    )?;
    stream.flush()
}

/// The path of a GET request; none for any other request.
fn question(stream: &mut impl Read) -> io::Result<Option<String>> {
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
            Ok(httparse::Status::Partial) if read > 0 && buffer.len() < MAX_REQUEST_BYTES => {}
            _ => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn start(place: &Served, before: Option<Server>, body: &'static str) -> (Server, Receiver<io::Result<()>>) {
        let (report, reports) = channel();
        let report = move |result| drop(report.send(result));
        (Server::start(place.clone(), before, move |_| Answer::text(200, body), report, "test").unwrap(), reports)
    }

    fn free() -> Served {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Served { host: "127.0.0.1".to_owned(), port, tls: None }
    }

    fn get(place: &Served) -> io::Result<String> {
        let mut stream = TcpStream::connect((place.host.as_str(), place.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn silent_and_slow_clients_do_not_delay_probes() {
        let place = free();
        let (_server, reports) = start(&place, None, "live");
        reports.recv().unwrap().unwrap();
        let hold = |_| TcpStream::connect((place.host.as_str(), place.port)).unwrap();
        // On a busy machine one probe may be late by itself.
        let is_prompt = (0..5).any(|_| {
            let mut silent: Vec<TcpStream> = (0..CLIENTS * 3).map(hold).collect();
            silent.iter_mut().for_each(|one| drop(one.write_all(b"G")));
            let begin = Instant::now();
            assert!(get(&place).unwrap().ends_with("live"));
            begin.elapsed() < DEADLINE
        });
        assert!(is_prompt, "the probe had to wait for the others");
    }

    #[test]
    fn the_deadline_is_for_the_whole_request() {
        let place = free();
        let (_server, reports) = start(&place, None, "live");
        reports.recv().unwrap().unwrap();
        let mut slow = TcpStream::connect((place.host.as_str(), place.port)).unwrap();
        slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        // A byte every tenth of a second would go on for ever if each read had a deadline of its own.
        let end = Instant::now() + DEADLINE * 5;
        let mut cut_off = false;
        while Instant::now() < end && !cut_off {
            let sent = slow.write_all(b"G");
            cut_off = sent.is_err() || matches!(slow.read(&mut [0; 16]), Ok(0)) || {
                let error = slow.take_error().unwrap();
                error.is_some()
            };
        }
        assert!(cut_off);
    }

    #[test]
    fn an_address_that_is_taken_is_tried_until_it_is_free_and_the_old_one_serves_meanwhile() {
        let (old, new) = (free(), free());
        let (server, reports) = start(&old, None, "old");
        reports.recv().unwrap().unwrap();
        let other = TcpListener::bind((new.host.as_str(), new.port)).unwrap();
        let (_moved, reports) = start(&new, Some(server), "new");
        assert_eq!(reports.recv().unwrap().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(get(&old).unwrap().ends_with("old"));
        // Several tries later it is still the same reason.
        assert!(reports.recv_timeout(Duration::from_millis(500)).is_err());
        drop(other);
        reports.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
        assert!(get(&new).unwrap().ends_with("new"));
    }

    #[test]
    fn a_server_moves_from_one_address_of_its_port_to_all() {
        let one = free();
        let (server, reports) = start(&one, None, "old");
        reports.recv().unwrap().unwrap();
        let all = Served { host: "0.0.0.0".to_owned(), port: one.port, tls: None };
        let (_moved, reports) = start(&all, Some(server), "new");
        reports.recv().unwrap().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        // What waited for the old one is still answered; then the new one answers.
        while !get(&one).is_ok_and(|answer| answer.ends_with("new")) {
            assert!(Instant::now() < end);
        }
    }
}
