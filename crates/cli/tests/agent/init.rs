//! `init`: what it prints keeps what is in use on a machine, and nothing else.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;
use tortie_testkit::limit::limit;

use super::world::{World, deadline, on_a_machine};

/// Whether this machine reaches a port of the neighbour.
fn goes_out(port: u16) -> bool {
    TcpStream::connect_timeout(&([192, 0, 2, 99], port).into(), limit(Duration::from_millis(300))).is_ok()
}

/// Whether a byte goes through an open connection.
fn carries(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    to.set_read_timeout(Some(deadline())).unwrap();
    from.write_all(b"x").is_ok() && to.read_exact(&mut [0]).is_ok()
}

/// Has the neighbour listen on a port.
fn outside_listens(world: &World, port: u16) -> TcpListener {
    world.outside(move || TcpListener::bind(("192.0.2.99", port)).unwrap())
}

#[test]
fn the_policy_of_init_allows_what_is_in_use_and_denies_the_rest() {
    on_a_machine(|world| {
        world.listen(5432);
        let [used, unused] = [7001, 7002].map(|port| outside_listens(world, port));
        let mut out = TcpStream::connect(("192.0.2.99", 7001)).unwrap();
        let (mut out_there, _) = used.accept().unwrap();
        let mut there = world.outside(|| TcpStream::connect(("192.0.2.11", 5432)).unwrap());
        let printed = world.call(&["init"]);
        let file = world.file("init.yaml", &printed);
        let file = file.to_str().unwrap();
        assert!(!world.place.path().join("tortie.db").exists(), "init makes no store");
        world.call(&["validate", "--strict", "-f", file]);
        let said = world.call(&["lint", "--offline", "-f", file]);
        assert!(said.starts_with("no warnings"), "{said}\n{printed}");
        // What comes later is not in use.
        world.listen(5433);
        let _agent = world.agent();
        assert!(world.reaches(5433) && goes_out(7002));
        world.apply(&printed);
        assert!(world.reaches(5432) && goes_out(7001), "{printed}");
        assert!(!world.reaches(5433) && !goes_out(7002), "{printed}");
        assert!(carries(&mut out, &mut out_there) && carries(&mut out_there, &mut out));
        let mut here = world.accept(0);
        assert!(carries(&mut there, &mut here) && carries(&mut here, &mut there));
        let said = world.call(&["lint"]);
        assert!(said.starts_with("no warnings"), "{said}");
        drop(unused);
    });
}

#[test]
fn init_lists_the_interfaces_if_none_has_the_given_name() {
    on_a_machine(|world| {
        let said = world.fails(&["init", "--interface", "eth9"]);
        assert!(said.contains("this machine has no interface eth9; there are: "), "{said}");
        assert!(said.contains("eth0"), "{said}");
    });
}
