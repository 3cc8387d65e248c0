//! Connections that were open before the first host endpoint.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::world::{World, deadline, on_a_machine};
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
