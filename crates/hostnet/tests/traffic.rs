//! Packets: workloads in network namespaces of their own reach each other and the host through what the network made.
//!
//! ```text
//!   cali1 ═══ eth0 [ 10.65.0.2, fd00:65::2 ]      each knows its host by 169.254.1.1, which the host answers for,
//!   cali2 ═══ eth0 [ 10.65.0.3, fd00:65::3 ]      and by the link-local address of its cali interface
//! ```
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};

use common::{deadline, in_namespace, ip, until};
use tortie_hostnet::{Config, Network, Workload};

const PORT: u16 = 7;
const ADDRESSES: [[&str; 2]; 2] = [["10.65.0.2", "fd00:65::2"], ["10.65.0.3", "fd00:65::3"]];

/// A workload that answers every packet on its port, and sends one when told to.
struct Pod {
    thread: u32,
    go: Sender<Option<SocketAddr>>,
    said: Receiver<Option<SocketAddr>>,
}

fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()
}

/// The life of a pod: tells its thread, gets its interface, answers in the background, sends when told to.
fn live(
    me: [&'static str; 2],
    gateway: Receiver<String>,
    thread: Sender<u32>,
    go: Receiver<Option<SocketAddr>>,
    said: Sender<Option<SocketAddr>>,
) {
    in_namespace(move || {
        thread.send(thread_id()).unwrap();
        let gateway = gateway.recv().unwrap();
        ip("link set eth0 up");
        ip(&format!("addr add {}/32 dev eth0", me[0]));
        ip(&format!("addr add {}/128 dev eth0 nodad", me[1]));
        ip("route add 169.254.1.1 dev eth0 scope link");
        ip(&format!("route add default via 169.254.1.1 dev eth0 src {}", me[0]));
        ip(&format!("-6 route add default via {gateway} dev eth0"));
        let answers = me.map(|address| UdpSocket::bind((address, PORT)).unwrap());
        std::thread::scope(|scope| {
            for socket in &answers {
                scope.spawn(move || {
                    let mut bytes = [0; 64];
                    while let Ok((len, from)) = socket.recv_from(&mut bytes) {
                        if &bytes[..len] == b"end" {
                            break;
                        }
                        socket.send_to(&bytes[..len], from).unwrap();
                    }
                });
            }
            said.send(None).unwrap();
            while let Ok(Some(to)) = go.recv() {
                let from: IpAddr = me[usize::from(to.is_ipv6())].parse().unwrap();
                said.send(ask(from, to)).unwrap();
            }
            for (socket, address) in answers.iter().zip(me) {
                socket.send_to(b"end", (address, PORT)).unwrap();
            }
        });
    });
}

/// Asks until there is an answer; who it came from.
fn ask(from: IpAddr, to: SocketAddr) -> Option<SocketAddr> {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(deadline() / 20)).unwrap();
    let mut bytes = [0; 64];
    (0..20).find_map(|_| {
        // The way may not be there yet.
        let _ = socket.send_to(b"hello", to);
        socket.recv_from(&mut bytes).ok().map(|(_, from)| from)
    })
}

#[test]
fn workloads_reach_each_other_and_their_host() {
    std::thread::scope(|scope| {
        let mut pods = Vec::new();
        let mut ready = Vec::new();
        for me in ADDRESSES {
            let (thread, its) = channel();
            let (gateway, there) = channel();
            let (go, receiver) = channel();
            let (say, said) = channel();
            scope.spawn(move || live(me, there, thread, receiver, say));
            pods.push(Pod { thread: its.recv().unwrap(), go, said });
            ready.push(gateway);
        }
        in_namespace(move || {
            // The host has somewhere else to send what it answers for.
            ip("link add up0 type veth peer name up1");
            ip("addr add 192.0.2.1/24 dev up0");
            ip("link set up0 up");
            ip("link set up1 up");
            ip("route add default via 192.0.2.2");
            let mut network = Network::open(Config::default()).unwrap();
            for (n, pod) in pods.iter().enumerate() {
                let name = format!("cali{n}");
                ip(&format!("link add {name} type veth peer name eth0 netns {}", pod.thread));
                ip(&format!("link set {name} addrgenmode none"));
                ip(&format!("addr add fe80::{}/64 dev {name} nodad", n + 1));
                ip(&format!("link set {name} up"));
                ready[n].send(format!("fe80::{}", n + 1)).unwrap();
                assert_eq!(pod.said.recv().unwrap(), None);
                let addresses = ADDRESSES[n].iter().map(|address| address.parse().unwrap()).collect();
                network.put(&name, Workload { addresses, ..Workload::default() });
            }
            until(&mut network, |_| {
                let all = ip("-4 route") + &ip("-6 route");
                ADDRESSES.iter().flatten().all(|address| all.contains(&format!("{address} dev cali")))
            });
            for (one, pod) in pods.iter().enumerate() {
                for address in ADDRESSES[1 - one] {
                    let to = SocketAddr::new(address.parse().unwrap(), PORT);
                    pod.go.send(Some(to)).unwrap();
                    assert_eq!(pod.said.recv().unwrap(), Some(to), "from {one}");
                }
                let own = SocketAddr::new(ADDRESSES[one][0].parse().unwrap(), PORT);
                assert_eq!(ask("192.0.2.1".parse().unwrap(), own), Some(own), "from the host");
            }
            pods.iter().for_each(|pod| pod.go.send(None).unwrap());
        });
    });
}
