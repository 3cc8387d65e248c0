//! Connections that were open before the first host endpoint.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};

use super::world::{World, deadline, on_a_machine, run};
use super::{ENDPOINT, allow};

/// A connection between the neighbour and this machine, begun by the neighbour.
struct Open {
    here: TcpStream,
    there: TcpStream,
}

impl Open {
    fn new(world: &World, port: u16) -> Self {
        let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
        let there = world.outside(move || TcpStream::connect(("192.0.2.11", port)).unwrap());
        let (here, _) = listener.accept().unwrap();
        for stream in [&here, &there] {
            stream.set_read_timeout(Some(deadline())).unwrap();
        }
        Self { here, there }
    }

    /// Whether both ends hear each other.
    fn is_open(&mut self) -> bool {
        let mut carries = |from: usize| {
            let (from, to) = match from {
                0 => (&mut self.here, &mut self.there),
                _ => (&mut self.there, &mut self.here),
            };
            let mut got = [0];
            from.write_all(b"x").is_ok() && to.read_exact(&mut got).is_ok() && got == *b"x"
        };
        carries(0) && carries(1)
    }
}

#[test]
fn the_first_host_endpoint_cuts_no_connection_that_is_older_than_the_agent() {
    on_a_machine(|world| {
        world.listen(81);
        let (mut idle, mut busy) = (Open::new(world, 2001), Open::new(world, 2002));
        assert!(busy.is_open());
        let agent = world.agent();
        assert!(busy.is_open());
        // No policy allows anything, either way.
        world.apply(ENDPOINT);
        assert!(!world.reaches(81));
        assert!(idle.is_open() && busy.is_open());
        assert!(agent.log().contains("1 open connections are tracked now"), "{}", agent.log());
    });
}

#[test]
fn diff_names_the_open_connections_that_could_not_be_opened_again() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(2001)));
        let (mut first, _second) = (Open::new(world, 2001), Open::new(world, 2001));
        let diff = |port: u16| {
            let file = world.file("change.yaml", &allow(port));
            let output = world.tortie().args(["diff", "-f", file.to_str().unwrap()]).output().unwrap();
            assert_eq!(output.status.code(), Some(1));
            String::from_utf8(output.stdout).unwrap()
        };
        let said = diff(2002);
        let expected = "would be denied if they were opened again (they go on until they end):\n  \
                        tcp 192.0.2.99 -> 192.0.2.11:2001 (2 connections): DENIED by end of tier default";
        assert!(said.contains(expected), "{said}");
        // It is so.
        world.apply(&allow(2002));
        assert!(first.is_open() && !world.reaches(2001));
        // What is denied already is lost by no change.
        assert!(!diff(2003).contains("opened again"));
    });
}

#[test]
fn a_connection_that_was_tracked_from_an_answer_is_named_by_who_began_it_and_an_ended_one_is_not() {
    on_a_machine(|world| {
        let mut old = Open::new(world, 2001);
        let asked = UdpSocket::bind("192.0.2.11:2053").unwrap();
        let asker = world.outside(|| {
            let socket = UdpSocket::bind("192.0.2.99:40001").unwrap();
            socket.send_to(b"?", "192.0.2.11:2053").unwrap();
            socket
        });
        // Another program's table makes the kernel track, and the first packets that it tracks are answers.
        run(
            "nft",
            &[
                "add table inet theirs; add chain inet theirs c { type filter hook input priority 0; }; add rule inet theirs c ct state new accept",
            ],
        );
        old.here.write_all(b"x").unwrap();
        old.there.read_exact(&mut [0]).unwrap();
        asked.send_to(b"!", "192.0.2.99:40001").unwrap();
        asker.recv(&mut [0]).unwrap();
        drop(Open::new(world, 2001));
        let entries = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
        assert!(entries.contains("src=192.0.2.11 dst=192.0.2.99 sport=2001"), "{entries}");
        assert!(entries.contains("src=192.0.2.11 dst=192.0.2.99 sport=2053"), "{entries}");
        let _agent = world.agent();
        let policy = "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web},";
        let both =
            "spec: {selector: all(), types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}";
        world.apply(&format!("{ENDPOINT}---\n{policy} {both}}}\n"));
        let diff = |egress: &str, ingress: &str| {
            let spec = format!(
                "spec: {{selector: all(), types: [Ingress, Egress], ingress: [{ingress}], egress: [{egress}]}}"
            );
            let file = world.file("change.yaml", &format!("{policy} {spec}}}\n"));
            let output = world.tortie().args(["diff", "-f", file.to_str().unwrap()]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let said = diff("", "{action: Allow}");
        assert!(!said.contains("opened again"), "nothing here began a connection: {said}");
        let said = diff("{action: Allow}", "");
        assert!(said.contains("tcp 192.0.2.99 -> 192.0.2.11:2001: DENIED"), "{said}");
        assert!(said.contains("udp 192.0.2.99 -> 192.0.2.11:2053: DENIED"), "{said}");
    });
}
