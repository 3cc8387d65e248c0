//! Connections that were open before the first host endpoint.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::ENDPOINT;
use super::world::{DEADLINE, World, on_a_machine};

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
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
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
