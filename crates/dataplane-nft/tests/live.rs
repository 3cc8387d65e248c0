//! Real connections between machines: what only whole conversations show.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use tortie_testkit::limit::limit;

use common::bed::open;
use common::follow::Followed;
use common::peer::Peer;
use common::real::denials;
use common::scenario::resource;
use tortie_dataplane::{Dataplane, Delta, Place};
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_nft::interp::{PacketSpec, TransportHeader};
use tortie_testkit::namespace::{in_namespace, run, run_with_input};
use tortie_testkit::worlds::Step;

fn deadline() -> Duration {
    limit(Duration::from_secs(10))
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + deadline();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: nothing came of it");
        std::thread::yield_now();
    }
}

/// The host, its store and its kernel. Outside there is A at eth0 and B at eth1.
struct Host {
    followed: Followed,
    kernel: Kernel,
    a: Peer,
    b: Peer,
}

impl Host {
    fn new(options: TableOptions) -> Self {
        let a = Peer::new("eth0", &["192.0.2.11/24", "2001:db8::11/64"], &["192.0.2.9/24", "2001:db8::9/64"]);
        let b = Peer::new("eth1", &["198.51.100.11/24"], &["198.51.100.9/24"]);
        std::fs::write("/proc/sys/net/ipv4/conf/all/forwarding", "1").unwrap();
        let mut kernel = Kernel::open(options).unwrap();
        kernel.adopt().unwrap();
        Self { followed: Followed::new(), kernel, a, b }
    }

    fn put(&mut self, resources: &[&str]) {
        resources.iter().for_each(|line| drop(self.followed.step(&Step::Put(resource(line)))));
        let delta = self.followed.step(&Step::Flush).unwrap();
        let first = self.followed.state.host.is_none();
        self.followed.state.apply(&delta).unwrap();
        if first { self.kernel.replace(self.followed.state.clone()) } else { self.kernel.apply(&delta) }.unwrap();
    }

    fn denials(&mut self) -> u64 {
        denials(&self.kernel.read().unwrap().unwrap())
    }

    /// Something is tried and a denial is counted.
    fn denied<T>(&mut self, attempt: impl FnOnce(&Self) -> T) -> T {
        let before = self.denials();
        let kept = attempt(self);
        until("a denial", || (self.denials() > before).then_some(()));
        kept
    }
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, deadline())?;
    stream.set_read_timeout(Some(deadline()))?;
    Ok(stream)
}

/// A connection attempt that nobody waits for.
fn knock(to: SocketAddr) {
    let result = TcpStream::connect_timeout(&to, Duration::from_millis(1));
    assert!(result.is_err(), "{to} answered");
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(deadline())).unwrap();
    stream
}

fn say(from: &mut TcpStream, to: &mut TcpStream) {
    let mut heard = [0; 3];
    from.write_all(b"hey").unwrap();
    to.read_exact(&mut heard).unwrap();
    to.write_all(b"you").unwrap();
    from.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"you");
}

#[test]
fn fifty_connections_survive_the_first_default_deny() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        let here = TcpListener::bind("[::]:7000").unwrap();
        let there = host.a.run(|| TcpListener::bind("[::]:7000").unwrap());
        let mut pairs: Vec<(TcpStream, TcpStream)> = Vec::new();
        for number in 0..50 {
            let v6 = number % 5 == 4;
            let (ours, theirs) = if v6 {
                (at("[2001:db8::11]:7000"), at("[2001:db8::9]:7000"))
            } else {
                (at("192.0.2.11:7000"), at("192.0.2.9:7000"))
            };
            pairs.push(if number % 2 == 0 {
                let far = host.a.run(move || connect(ours).unwrap());
                (far, accept(&here))
            } else {
                let near = connect(theirs).unwrap();
                (near, accept(&there))
            });
        }
        // Half of them idle from now on.
        pairs.iter_mut().step_by(2).for_each(|(one, other)| say(one, other));
        host.put(&[
            "FelixConfiguration default {failsafeInboundHostPorts: [], failsafeOutboundHostPorts: []}",
            "HostEndpoint h {node: n1, interfaceName: eth0}",
        ]);
        pairs.iter_mut().for_each(|(one, other)| say(one, other));
        host.denied(|host| host.a.run(|| knock(at("192.0.2.11:7000"))));
        host.denied(|_| knock(at("192.0.2.9:7000")));
        host.denied(|host| host.a.run(|| knock(at("[2001:db8::11]:7000"))));
        pairs.iter_mut().for_each(|(one, other)| say(other, one));
        // B is on an interface without an endpoint.
        let through = host.b.run(|| connect(at("198.51.100.11:7000")).is_ok());
        assert!(through);
    });
}

#[test]
fn a_rejected_packet_is_answered() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        let _here = TcpListener::bind("0.0.0.0:7000").unwrap();
        let _there = host.a.run(|| TcpListener::bind("0.0.0.0:7000").unwrap());
        host.put(&[
            "FelixConfiguration default {nftablesFilterDenyAction: Reject}",
            "HostEndpoint h {node: n1, interfaceName: eth0}",
        ]);
        let refused = host.denied(|host| host.a.run(|| connect(at("192.0.2.11:7000")).unwrap_err().kind()));
        assert_eq!(refused, ErrorKind::ConnectionRefused);
        let refused = host.denied(|_| connect(at("192.0.2.9:7000")).unwrap_err().kind());
        assert_eq!(refused, ErrorKind::ConnectionRefused);
        let asked = host.denied(|host| {
            host.a.run(|| {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.set_read_timeout(Some(deadline())).unwrap();
                socket.connect("192.0.2.11:7001").unwrap();
                socket.send(b"hey").unwrap();
                socket.recv(&mut [0; 8]).unwrap_err().kind()
            })
        });
        assert_eq!(asked, ErrorKind::ConnectionRefused);
        // In silence it is not.
        host.put(&["FelixConfiguration default {nftablesFilterDenyAction: Drop}"]);
        host.denied(|host| host.a.run(|| knock(at("192.0.2.11:7000"))));
    });
}

#[test]
fn pre_dnat_policy_applies_to_a_node_port_of_another_program() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        run_with_input(
            "nft",
            &["-f", "-"],
            "table ip proxy {
                chain in { type nat hook prerouting priority dstnat; tcp dport { 32010, 32011 } dnat to 198.51.100.9:8055; }
                chain out { type nat hook output priority -100; ip daddr 10.96.0.1 tcp dport 80 dnat to 198.51.100.9:8055; }
            }",
        );
        run("ip", &["route", "add", "10.96.0.0/16", "dev", "eth0"]);
        let there = host.b.run(|| TcpListener::bind("0.0.0.0:8055").unwrap());
        let talk = |host: &Host, port: u16| {
            let mut near = host.a.run(move || connect(SocketAddr::from(([192, 0, 2, 11], port))).unwrap());
            say(&mut near, &mut accept(&there));
        };
        talk(&host, 32010);
        host.put(&[
            "HostEndpoint h role=web {node: n1, interfaceName: eth0}",
            "GlobalNetworkPolicy deny {selector: role == 'web', order: 500, preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny}]}",
        ]);
        host.denied(|host| host.a.run(|| knock(at("192.0.2.11:32010"))));
        host.put(&["GlobalNetworkPolicy allow {selector: role == 'web', order: 100, preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [32010]}}]}"]);
        talk(&host, 32010);
        host.denied(|host| host.a.run(|| knock(at("192.0.2.11:32011"))));
        // The host's own packets are asked about where they go in the end: eth1 has no endpoint, eth0's has no say.
        let mut near = connect(at("10.96.0.1:80")).unwrap();
        say(&mut near, &mut accept(&there));
        host.put(&["HostEndpoint i {node: n1, interfaceName: eth1}"]);
        host.denied(|_| knock(at("10.96.0.1:80")));
    });
}

#[test]
fn a_connection_limit_resets_and_a_freed_place_is_usable() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        let workload = Peer::new("cali1", &["169.254.1.1/32"], &["10.0.0.1/32"]);
        run("ip", &["route", "add", "10.0.0.1/32", "dev", "cali1"]);
        let there = workload.run(|| TcpListener::bind("0.0.0.0:8055").unwrap());
        host.put(&["WorkloadEndpoint a/w1 {node: n1, orchestrator: k8s, pod: p1, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32], profiles: [projectcalico-default-allow]}"]);
        let place = Place::Workload("cali1".to_owned());
        let mut endpoint = host.kernel.state().endpoints[&place].clone();
        endpoint.limits.ingress.connections = Some(2);
        host.kernel.apply(&Delta { endpoints_put: vec![(place, endpoint)], ..Delta::default() }).unwrap();
        let call = |host: &Host| host.a.run(|| connect(at("10.0.0.1:8055")));
        let mut kept: Vec<(TcpStream, TcpStream)> = (0..2).map(|_| (call(&host).unwrap(), accept(&there))).collect();
        let error = host.denied(|host| call(host)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "a reset");
        kept.iter_mut().for_each(|(one, other)| say(one, other));
        // One hangs up; the place is free once the kernel has noticed.
        kept.pop();
        let again = until("a free place", || call(&host).ok());
        let mut again = (again, accept(&there));
        say(&mut again.0, &mut again.1);
    });
}

#[test]
fn a_stray_segment_to_a_workload_is_answered_with_a_reset() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        let _workload = Peer::new("cali1", &["169.254.1.1/32"], &["10.0.0.1/32"]);
        run("ip", &["route", "add", "10.0.0.1/32", "dev", "cali1"]);
        host.put(&["WorkloadEndpoint a/w1 {node: n1, orchestrator: k8s, pod: p1, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32], profiles: [projectcalico-default-allow]}"]);
        let answer = host.a.run(|| {
            // With a socket of this kind the kernel makes the header before, and reads it too.
            let raw = UdpSocket::from(open(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP));
            raw.set_read_timeout(Some(deadline())).unwrap();
            let [from, to] = ["192.0.2.9", "10.0.0.1"].map(|address| address.parse().unwrap());
            let acknowledgement = TransportHeader::Tcp { source: 4242, destination: 8055, flags: 0x10 };
            let bytes = PacketSpec::new(from, to, acknowledgement).bytes().unwrap();
            raw.send_to(&bytes[20..], "10.0.0.1:0").unwrap();
            let mut answer = [0; 64];
            assert_eq!(raw.recv(&mut answer).unwrap(), 40);
            answer
        });
        assert_eq!(answer[12..16], [10, 0, 0, 1]);
        assert_eq!(answer[33] & 4, 4, "a reset");
    });
}

#[test]
fn a_pools_addresses_are_translated_when_they_leave_it_and_floating_ones_on_their_way_in() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        let workload = Peer::new("cali1", &["169.254.1.1/32"], &["10.0.0.1/32"]);
        run("ip", &["route", "add", "10.0.0.1/32", "dev", "cali1"]);
        let inside = workload.run(|| TcpListener::bind("0.0.0.0:8055").unwrap());
        let outside = host.b.run(|| TcpListener::bind("0.0.0.0:8055").unwrap());
        host.put(&[
            "IPPool p {cidr: 10.0.0.0/16, natOutgoing: true}",
            "FelixConfiguration default {floatingIPs: Enabled}",
            "WorkloadEndpoint a/w1 {node: n1, orchestrator: k8s, pod: p1, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32], ipNATs: [{internalIP: 10.0.0.1, externalIP: 192.0.2.50}], profiles: [projectcalico-default-allow]}",
        ]);
        let mut near = workload.run(|| connect(at("198.51.100.9:8055")).unwrap());
        let mut far = accept(&outside);
        assert_eq!(far.peer_addr().unwrap().ip(), at("198.51.100.11:0").ip());
        say(&mut near, &mut far);
        host.a.run(|| drop(run("ip", &["route", "add", "192.0.2.50/32", "via", "192.0.2.11"])));
        let mut near = host.a.run(|| connect(at("192.0.2.50:8055")).unwrap());
        let mut far = accept(&inside);
        assert_eq!(far.peer_addr().unwrap().ip(), at("192.0.2.9:0").ip());
        say(&mut near, &mut far);
    });
}

#[test]
fn packets_that_leave_a_pool_are_translated_as_the_settings_say() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        let workload = Peer::new("cali1", &["169.254.1.1/32"], &["10.0.0.1/32"]);
        run("ip", &["route", "add", "10.0.0.1/32", "dev", "cali1"]);
        run("ip", &["addr", "add", "198.51.100.77/32", "dev", "eth1"]);
        let outside = host.b.run(|| {
            run("ip", &["route", "add", "10.0.0.0/16", "via", "198.51.100.11"]);
            TcpListener::bind("0.0.0.0:8055").unwrap()
        });
        let mut source = |settings: &str| {
            host.put(&[
                "IPPool p {cidr: 10.0.0.0/16, natOutgoing: true}",
                "Node n9 {bgp: {ipv4Address: 198.51.100.9/24}}",
                &format!("FelixConfiguration default {{{settings}}}"),
                "WorkloadEndpoint a/w1 {node: n1, orchestrator: k8s, pod: p1, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32], profiles: [projectcalico-default-allow]}",
            ]);
            let mut near = workload.run(|| connect(at("198.51.100.9:8055")).unwrap());
            let mut far = accept(&outside);
            say(&mut near, &mut far);
            far.peer_addr().unwrap()
        };
        let range = source("natOutgoingAddress: 198.51.100.77, natPortRange: '4000:4003'");
        assert!(range.ip() == at("198.51.100.77:0").ip() && (4000..=4003).contains(&range.port()), "{range}");
        let one = source("natPortRange: 4007, iptablesNATOutgoingInterfaceFilter: eth1");
        assert_eq!(one, at("198.51.100.11:4007"));
        let same = at("10.0.0.1:0").ip();
        assert_eq!(source("iptablesNATOutgoingInterfaceFilter: 'eth0'").ip(), same);
        assert_eq!(source("iptablesNATOutgoingInterfaceFilter: 'et+'").ip(), at("198.51.100.11:0").ip());
        assert_eq!(source("natOutgoingExclusions: IPPoolsAndHostIPs").ip(), same);
    });
}

#[test]
fn outer_packets_of_a_foreign_tunnel_carry_none_of_our_marks() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        run(
            "ip",
            &[
                "link",
                "add",
                "vx0",
                "type",
                "vxlan",
                "id",
                "7",
                "remote",
                "192.0.2.9",
                "dstport",
                "4790",
                "dev",
                "eth0",
            ],
        );
        run("ip", &["addr", "add", "172.30.0.1/24", "dev", "vx0"]);
        run("ip", &["link", "set", "vx0", "up"]);
        run("ip", &["neigh", "add", "172.30.0.9", "lladdr", "02:00:00:00:00:09", "dev", "vx0"]);
        // Every stage that sets a bit: untracked allows, and a tier with Pass.
        host.put(&[
            "HostEndpoint v role=vx {node: n1, interfaceName: vx0, profiles: [projectcalico-default-allow]}",
            "GlobalNetworkPolicy raw {selector: role == 'vx', doNotTrack: true, applyOnForward: true, types: [Egress], egress: [{action: Allow, protocol: UDP, destination: {ports: [9]}}]}",
            "Tier t {order: 1}",
            "GlobalNetworkPolicy t.pass {tier: t, selector: role == 'vx', types: [Egress], egress: [{action: Pass}]}",
        ]);
        run_with_input(
            "nft",
            &["-f", "-"],
            "table inet look {
                counter inner { }
                counter outer { }
                counter dirty { }
                chain last { type filter hook postrouting priority 500;
                    oifname vx0 udp dport { 9, 10 } counter name inner
                    udp dport 4790 counter name outer
                    udp dport 4790 meta mark & 0x00070000 != 0 counter name dirty
                }
            }",
        );
        let socket = UdpSocket::bind("172.30.0.1:0").unwrap();
        socket.send_to(b"hey", "172.30.0.9:9").unwrap();
        socket.send_to(b"hey", "172.30.0.9:10").unwrap();
        let count = |name: &str| -> u64 {
            let text = run("nft", &["list", "counter", "inet", "look", name]);
            let words: Vec<&str> = text.split_whitespace().collect();
            words[words.iter().position(|word| *word == "packets").unwrap() + 1].parse().unwrap()
        };
        until("two packets inside the tunnel", || (count("inner") >= 2 && count("outer") >= 2).then_some(()));
        assert_eq!(count("dirty"), 0);
    });
}

/// 72 of the reference's functional tests.
#[test]
fn log_writes_its_prefix_as_often_as_it_may() {
    in_namespace(|| {
        let group = 7;
        let mut host = Host::new(TableOptions { log_group: Some(group), ..TableOptions::default() });
        host.put(&[
            "FelixConfiguration default {logPrefix: 'tortie %k %n', logActionRateLimit: 1/hour, logActionRateLimitBurst: 3}",
            "HostEndpoint h role=web {node: n1, interfaceName: eth0}",
            "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [{action: Log, protocol: UDP}, {action: Deny}]}",
        ]);
        let log = common::nflog::Log::open(group);
        for _ in 0..10 {
            host.denied(|host| {
                host.a.run(|| UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"hey", "192.0.2.11:9").unwrap())
            });
        }
        assert_eq!(log.prefixes(), ["tortie gnp p: "; 3]);
    });
}

#[test]
fn an_allow_of_tortie_never_overrides_a_denial_of_another_program() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        let here = TcpListener::bind("0.0.0.0:7000").unwrap();
        host.put(&["HostEndpoint h {node: n1, interfaceName: eth0, profiles: [projectcalico-default-allow]}"]);
        let mut far = host.a.run(|| connect(at("192.0.2.11:7000")).unwrap());
        say(&mut far, &mut accept(&here));
        for priority in ["-10", "10"] {
            let table = format!(
                "table inet own {{ counter dropped {{ }}
                    chain in {{ type filter hook input priority {priority}; tcp dport 7000 ct state new counter name dropped drop; }}
                }}"
            );
            run_with_input("nft", &["-f", "-"], &table);
            host.a.run(|| knock(at("192.0.2.11:7000")));
            until("the other's drop", || {
                let text = run("nft", &["list", "counter", "inet", "own", "dropped"]);
                (!text.contains("packets 0 ")).then_some(())
            });
            run("nft", &["delete", "table", "inet", "own"]);
        }
        let mut far = host.a.run(|| connect(at("192.0.2.11:7000")).unwrap());
        say(&mut far, &mut accept(&here));
    });
}

#[test]
fn a_packet_rate_applies_to_established_connections_too() {
    in_namespace(|| {
        let mut host = Host::new(TableOptions::default());
        let workload = Peer::new("cali1", &["169.254.1.1/32"], &["10.0.0.1/32"]);
        run("ip", &["route", "add", "10.0.0.1/32", "dev", "cali1"]);
        host.put(&["WorkloadEndpoint a/w1 {node: n1, orchestrator: k8s, pod: p1, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32], profiles: [projectcalico-default-allow]}"]);
        let place = Place::Workload("cali1".to_owned());
        let mut endpoint = host.kernel.state().endpoints[&place].clone();
        // One a second: what comes at once is the burst.
        endpoint.limits.ingress.packets = Some(tortie_policy::Rate { per_second: 1, burst: 5 });
        host.kernel.apply(&Delta { endpoints_put: vec![(place, endpoint)], ..Delta::default() }).unwrap();
        let inbox = workload.run(|| UdpSocket::bind("10.0.0.1:9").unwrap());
        inbox.set_read_timeout(Some(deadline())).unwrap();
        let outbox = host.a.run(|| UdpSocket::bind("192.0.2.9:0").unwrap());
        outbox.send_to(b"first", "10.0.0.1:9").unwrap();
        let (_, back) = inbox.recv_from(&mut [0; 8]).unwrap();
        inbox.send_to(b"known", back).unwrap();
        let before = host.denials();
        for _ in 0..50 {
            outbox.send_to(b"more", "10.0.0.1:9").unwrap();
        }
        until("all but a few dropped", || (host.denials() >= before + 40).then_some(()));
    });
}
