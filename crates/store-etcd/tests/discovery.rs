//! Members found by SRV records: a name server of our own names a real one.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::net::UdpSocket;

use simple_dns::rdata::{RData, SRV};
use simple_dns::{CLASS, Name, Packet, ResourceRecord};
use support::Cluster;
use tortie_api::{Key, Kind};
use tortie_store::{Selection, Store, Write};
use tortie_store_etcd::{EtcdStore, Settings};

/// Answers every question with one target until the process ends. Where it is.
fn name_server(target: &'static str, port: u16) -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let asked = Packet::parse(&query[..length]).unwrap();
            let name = asked.questions[0].qname.to_string();
            let mut reply = Packet::new_reply(asked.id());
            if name == "_etcd-client._tcp.example.org" {
                let rdata = RData::SRV(SRV { priority: 0, weight: 0, port, target: Name::new_unchecked(target) });
                reply.answers.push(ResourceRecord::new(Name::new_unchecked(&name), CLASS::IN, 60, rdata));
            }
            socket.send_to(&reply.build_bytes_vec().unwrap(), from).unwrap();
        }
    });
    place
}

#[test]
fn members_are_found_by_their_domain_again_whenever_one_is_lost() {
    let mut cluster = Cluster::start(1);
    let url = cluster.endpoints().remove(0);
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let discovery = Some(("example.org".to_owned(), vec![name_server("localhost", port)]));
    let store = EtcdStore::new(Settings { discovery, endpoints: Vec::new(), ..cluster.settings() });
    assert_eq!(store.describe(), "etcd at the SRV records of example.org");
    let create = |name: &str| {
        let write = Write::create(Key::cluster(Kind::Node, name), &b"{}"[..]);
        store.write(&[write]).unwrap().remove(0).unwrap();
    };
    create("a");
    cluster.kill(0);
    cluster.resurrect(0);
    create("b");
    assert_eq!(store.list(&Selection::default()).unwrap().items.len(), 2);
}
