//! Connections that are older than connection tracking, under a first policy that denies everything new.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};

use common::{deadline, in_namespace, run};
use tortie_hostnet::enter_open_connections;

const DENY: &str = "add table inet t
add chain inet t i { type filter hook input priority 0; policy drop; }
add rule inet t i ct state established accept
add chain inet t o { type filter hook output priority 0; policy drop; }
add rule inet t o ct state established accept";

fn nft(script: &str) {
    script.lines().for_each(|line| drop(run("nft", &[line])));
}

fn setting(file: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/netfilter/{file}"), value).unwrap();
}

/// A connection from a client to whoever listens there, and its two ends.
fn connect(listen: &str, to: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(listen).unwrap();
    let client = TcpStream::connect((to, listener.local_addr().unwrap().port())).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(deadline())).unwrap();
    }
    (client, server)
}

/// So much that windows and their scale matter.
const MUCH: usize = 8 << 20;

fn carries(mut from: &TcpStream, mut to: &TcpStream) {
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&vec![7; MUCH]).unwrap());
        let mut got = vec![0; MUCH];
        to.read_exact(&mut got).unwrap();
        assert!(got.iter().all(|byte| *byte == 7));
    });
}

#[test]
fn connections_older_than_tracking_outlive_a_first_policy_that_denies() {
    for loose in ["1", "0"] {
        in_namespace(|| {
            setting("nf_conntrack_tcp_loose", loose);
            let open = [
                connect("127.0.0.1:0", "127.0.0.1"),
                connect("[::1]:0", "::1"),
                // A socket of both families with an IPv4 peer.
                connect("[::]:0", "127.0.0.1"),
            ];
            let half = connect("127.0.0.1:0", "127.0.0.1");
            half.0.shutdown(Shutdown::Write).unwrap();
            let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
            one.connect(other.local_addr().unwrap()).unwrap();
            other.connect(one.local_addr().unwrap()).unwrap();
            other.set_read_timeout(Some(deadline())).unwrap();

            let entered = enter_open_connections().unwrap();
            assert_eq!((entered.entered, entered.failed), (5, 0), "{entered:?}");
            nft(DENY);
            for (client, server) in &open {
                carries(client, server);
                carries(server, client);
            }
            carries(&half.1, &half.0);
            one.send(b"x").unwrap();
            assert_eq!(other.recv(&mut [0; 9]).unwrap(), 1);
            // And nothing new passes.
            let refused = TcpStream::connect_timeout(
                &open[0].1.local_addr().unwrap(),
                tortie_testkit::limit::limit(std::time::Duration::from_millis(300)),
            );
            assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        });
    }
}

#[test]
fn connections_that_are_tracked_already_stay_unchanged() {
    in_namespace(|| {
        nft(
            "add table inet u\nadd chain inet u c { type filter hook output priority 0; }\nadd rule inet u c ct state new accept",
        );
        let tracked = connect("127.0.0.1:0", "127.0.0.1");
        let table = || std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
        let count = |text: String| text.lines().filter(|line| line.contains("tcp")).count();
        assert_eq!(count(table()), 1);
        assert_eq!(enter_open_connections().unwrap().entered, 0);
        assert_eq!(count(table()), 1);
        nft(DENY);
        carries(&tracked.0, &tracked.1);
    });
}
