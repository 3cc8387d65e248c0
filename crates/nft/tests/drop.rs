//! One rule, one real packet: the shortest way from our bytes to the kernel's verdict.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::UdpSocket;

use common::{counted, deadline, in_namespace, program};
use tortie_nft::expr::{Cmp, Counter, Meta, MetaKey, Payload};
use tortie_nft::{BaseChain, Chain, Hook, Reg, Rule, Socket, TableId, Verdict};

#[test]
fn a_denied_packet_moves_its_counter_and_the_next_one_arrives() {
    in_namespace(|| {
        let denied = UdpSocket::bind("127.0.0.1:0").unwrap();
        let canary = UdpSocket::bind("127.0.0.1:0").unwrap();
        let table = TableId::inet("tortie");
        let mut socket = Socket::open().unwrap();
        let chain = Chain::base("input", BaseChain::filter(Hook::Input, 0));
        let rule = Rule::new(
            "input",
            [
                Meta::get(MetaKey::L4Proto, Reg::R1).into(),
                Cmp::eq(Reg::R1, [17]).into(),
                Payload::destination_port(Reg::R1).into(),
                Cmp::eq(Reg::R1, denied.local_addr().unwrap().port().to_be_bytes()).into(),
                Counter::default().into(),
                Verdict::Drop.into(),
            ],
        );
        program(&table, &[chain], &[rule.comment("denied")]).commit(&mut socket).unwrap();

        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"denied", denied.local_addr().unwrap()).unwrap();
        sender.send_to(b"canary", canary.local_addr().unwrap()).unwrap();
        canary.set_read_timeout(Some(deadline())).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(canary.recv(&mut buffer).unwrap(), 6);
        assert_eq!(counted(&mut socket, &table, "denied"), 1);
        denied.set_nonblocking(true).unwrap();
        assert!(denied.recv(&mut buffer).is_err(), "the packet came through");
    });
}
