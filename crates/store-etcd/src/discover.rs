//! The members of an etcd by SRV records, as etcd's own clients find them: `_etcd-client-ssl._tcp.DOMAIN` names members
//! that speak TLS, `_etcd-client._tcp.DOMAIN` those that do not. They are asked for again for each connection.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

use crate::connection::random;

/// Where the system says whom to ask.
const SYSTEM: &str = "/etc/resolv.conf";
/// How long one server may take for one answer, and how often it is asked.
const ANSWER: Duration = Duration::from_secs(1);
const TRIES: usize = 2;

/// The URLs of the members, or why there are none. Without servers those of the system are asked.
pub(crate) fn members(domain: &str, servers: &[SocketAddr]) -> Result<Vec<String>, String> {
    let system;
    let servers = if servers.is_empty() {
        system = named(&std::fs::read_to_string(SYSTEM).unwrap_or_default());
        &system[..]
    } else {
        servers
    };
    let domain = domain.trim_end_matches('.');
    let mut all = Vec::new();
    let mut why = Vec::new();
    for (service, scheme) in [("etcd-client-ssl", "https"), ("etcd-client", "http")] {
        let name = format!("_{service}._tcp.{domain}");
        match look_up(&name, servers) {
            Ok(found) => all.extend(found.iter().map(|(host, port)| format!("{scheme}://{host}:{port}"))),
            Err(reason) => why.push(format!("{name}: {reason}")),
        }
    }
    if all.is_empty() { Err(format!("no member is found by SRV records: {}", why.join("; "))) } else { Ok(all) }
}

/// The servers of a file as the system has it; the local one if it names none.
fn named(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let mut found: Vec<SocketAddr> =
        servers.filter_map(|rest| rest.trim().parse::<IpAddr>().ok()).map(|server| (server, 53).into()).collect();
    if found.is_empty() {
        found.push((Ipv4Addr::LOCALHOST, 53).into());
    }
    found
}

/// The targets of a name's records and their ports.
fn look_up(name: &str, servers: &[SocketAddr]) -> Result<Vec<(String, u16)>, String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        for server in servers {
            match ask(name, *server) {
                Ok(Ok(found)) => return Ok(found),
                // The server knows, and it is so.
                Ok(Err(reason)) => return Err(reason),
                Err(error) => last = format!("name server {server}: {error}"),
            }
        }
    }
    Err(last)
}

type Answer = Result<Vec<(String, u16)>, String>;

fn ask(name: &str, server: SocketAddr) -> io::Result<Answer> {
    let wrong = |error: simple_dns::SimpleDnsError| io::Error::other(error.to_string());
    let id = random() as u16;
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let question = Name::new(name).map_err(wrong)?;
    query.questions.push(Question::new(question, QTYPE::TYPE(TYPE::SRV), QCLASS::CLASS(CLASS::IN), false));
    let query = query.build_bytes_vec().map_err(wrong)?;
    let answer = by_udp(&query, id, server)?;
    let cut = Packet::parse(&answer).map_err(wrong)?.has_flags(PacketFlag::TRUNCATION);
    let answer = if cut { by_tcp(&query, server)? } else { answer };
    let answer = Packet::parse(&answer).map_err(wrong)?;
    match answer.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Ok(Err("there is no such name".to_owned())),
        other => return Err(io::Error::other(format!("{other:?}"))),
    }
    let found: Vec<(String, u16)> = answer
        .answers
        .iter()
        .filter_map(|record| match &record.rdata {
            RData::SRV(record) => Some((record.target.to_string(), record.port)),
            _ => None,
        })
        // A service that is not there has the root for its target.
        .filter(|(target, _)| !target.is_empty())
        .collect();
    Ok(if found.is_empty() { Err("it has no SRV records".to_owned()) } else { Ok(found) })
}

fn by_udp(query: &[u8], id: u16, server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.send(query)?;
    let deadline = Instant::now() + ANSWER;
    let mut answer = vec![0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut answer)?;
        // What has another id answers another question.
        if answer[..length].starts_with(&id.to_be_bytes()) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

fn by_tcp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests;
