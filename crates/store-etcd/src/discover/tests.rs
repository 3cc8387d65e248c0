//! A name server of our own, and what is made of its answers.

use std::net::TcpListener;

use simple_dns::ResourceRecord;
use simple_dns::rdata::SRV;

use super::*;

/// What a server answers to a query, and whether it cuts it off when asked by UDP.
type Answers = fn(&str) -> (RCODE, Vec<(&'static str, u16)>);

fn answer(query: &[u8], answers: Answers, cut: bool) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let name = query.questions[0].qname.to_string();
    let (code, records) = answers(&name);
    let mut reply = Packet::new_reply(query.id());
    *reply.rcode_mut() = code;
    if cut {
        reply.set_flags(PacketFlag::TRUNCATION);
    } else {
        for (target, port) in records {
            let target = Name::new_unchecked(target);
            let rdata = RData::SRV(SRV { priority: 0, weight: 0, port, target });
            reply.answers.push(ResourceRecord::new(Name::new_unchecked(&name), CLASS::IN, 60, rdata));
        }
    }
    reply.build_bytes_vec().unwrap()
}

/// Serves until the test's process ends.
fn server(answers: Answers, cut: bool) -> SocketAddr {
    // One port for both: another one when somebody has it.
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            break (udp, tcp);
        }
    };
    let place = udp.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = udp.recv_from(&mut query) {
            // An answer to something else comes first, as somebody might send who wants to be believed.
            udp.send_to(&[!query[0], query[1], 0, 0], from).unwrap();
            udp.send_to(&answer(&query[..length], answers, cut), from).unwrap();
        }
    });
    std::thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let reply = answer(&query, answers, false);
            stream.write_all(&u16::try_from(reply.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&reply).unwrap();
        }
    });
    place
}

fn both(name: &str) -> (RCODE, Vec<(&'static str, u16)>) {
    match name {
        "_etcd-client-ssl._tcp.example.org" => (RCODE::NoError, vec![("a.example.org", 2379), ("b.example.org", 2380)]),
        "_etcd-client._tcp.example.org" => (RCODE::NoError, vec![("c.example.org", 1)]),
        _ => (RCODE::NameError, Vec::new()),
    }
}

#[test]
fn members_with_tls_and_without_are_found_also_when_the_answer_is_long() {
    let expected = ["https://a.example.org:2379", "https://b.example.org:2380", "http://c.example.org:1"];
    for cut in [false, true] {
        let server = server(both, cut);
        for domain in ["example.org", "example.org."] {
            assert_eq!(members(domain, &[server]).unwrap(), expected, "cut off: {cut}");
        }
    }
}

#[test]
fn one_kind_of_records_is_enough() {
    let plain: Answers = |name| match name {
        "_etcd-client._tcp.d" => (RCODE::NoError, vec![("c", 1)]),
        _ => (RCODE::NameError, Vec::new()),
    };
    assert_eq!(members("d", &[server(plain, false)]).unwrap(), ["http://c:1"]);
}

#[test]
fn a_domain_without_members_is_an_error_with_the_reason() {
    let error = members("nowhere", &[server(both, false)]).unwrap_err();
    assert_eq!(
        error,
        "no member is found by SRV records: _etcd-client-ssl._tcp.nowhere: there is no such name; \
         _etcd-client._tcp.nowhere: there is no such name"
    );
    let empty = server(|_| (RCODE::NoError, vec![("", 0)]), false);
    assert!(members("d", &[empty]).unwrap_err().contains("it has no SRV records"));
    let refusing = server(|_| (RCODE::Refused, Vec::new()), false);
    assert!(members("d", &[refusing]).unwrap_err().contains(&format!("name server {refusing}: Refused")));
}

#[test]
fn the_next_server_is_asked_when_one_fails() {
    let refusing = server(|_| (RCODE::ServerFailure, Vec::new()), false);
    assert_eq!(members("example.org", &[refusing, server(both, false)]).unwrap().len(), 3);
}

#[test]
fn a_domain_is_looked_for_in_the_search_domains_unless_it_ends_with_a_dot() {
    let resolver = |search: &[&str], ndots| {
        let search = search.iter().map(|domain| (*domain).to_owned()).collect();
        Resolver { servers: vec![server(both, false)], search, ndots }
    };
    for ndots in [1, 5] {
        let found = members_by(&resolver(&["org", "com"], ndots), "example").unwrap();
        assert_eq!(found, ["https://a.example.org:2379", "https://b.example.org:2380", "http://c.example.org:1"]);
        assert_eq!(members_by(&resolver(&["com"], ndots), "example.org").unwrap(), found);
        assert!(members_by(&resolver(&["org"], ndots), "example.").is_err());
    }
    let error = members_by(&resolver(&["com"], 1), "example").unwrap_err();
    assert_eq!(
        error,
        "no member is found by SRV records: _etcd-client-ssl._tcp.example: there is no such name; \
         _etcd-client-ssl._tcp.example.com: there is no such name; \
         _etcd-client._tcp.example: there is no such name; _etcd-client._tcp.example.com: there is no such name"
    );
}
