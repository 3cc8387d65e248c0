//! The members of an etcd by SRV records, as etcd's own clients find them: `_etcd-client-ssl._tcp.DOMAIN` names members
//! that speak TLS, `_etcd-client._tcp.DOMAIN` those that do not. They are asked for again for each connection. A domain
//! that does not end with a dot is looked for in the system's search domains too.

mod resolver;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use tortie_store::backoff::random;

use self::resolver::Resolver;

/// How long one server may take for one answer, and how often it is asked.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
const LOOKUP_ATTEMPTS: usize = 2;

/// The URLs of the members, or why there are none. Without servers those of the system are asked.
pub(crate) fn members(domain: &str, servers: &[SocketAddr]) -> Result<Vec<String>, String> {
    let resolver = match servers {
        [] => Resolver::of_system(),
        _ => Resolver { servers: servers.to_vec(), search: Vec::new(), ndots: 1 },
    };
    members_by(&resolver, domain)
}

fn members_by(resolver: &Resolver, domain: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut why = Vec::new();
    for (service, scheme) in [("etcd-client-ssl", "https"), ("etcd-client", "http")] {
        match look_up(&format!("_{service}._tcp.{domain}"), resolver) {
            Ok(found) => all.extend(found.iter().map(|(host, port)| format!("{scheme}://{host}:{port}"))),
            Err(reasons) => why.extend(reasons),
        }
    }
    if all.is_empty() { Err(format!("no member is found by SRV records: {}", why.join("; "))) } else { Ok(all) }
}

/// The targets of the first name that has records, with their ports; or each name and why it has none.
fn look_up(name: &str, resolver: &Resolver) -> Result<Vec<(String, u16)>, Vec<String>> {
    let mut reasons = Vec::new();
    for name in resolver.full_names(name) {
        match ask_all(&name, &resolver.servers) {
            Ok(found) => return Ok(found),
            Err(reason) => reasons.push(format!("{name}: {reason}")),
        }
    }
    Err(reasons)
}

/// The records of one full name, from the first server that knows.
fn ask_all(name: &str, servers: &[SocketAddr]) -> Answer {
    let mut last = String::new();
    for _ in 0..LOOKUP_ATTEMPTS {
        for server in servers {
            match ask(name, *server) {
                // The server knows, also if there are none.
                Ok(answer) => return answer,
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
    let deadline = Instant::now() + LOOKUP_TIMEOUT;
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
    let mut stream = TcpStream::connect_timeout(&server, LOOKUP_TIMEOUT)?;
    stream.set_read_timeout(Some(LOOKUP_TIMEOUT))?;
    stream.set_write_timeout(Some(LOOKUP_TIMEOUT))?;
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
