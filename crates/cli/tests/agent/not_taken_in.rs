//! Packets that the kernel loses though no policy denies them: `explain` says so wherever they are lost, and only there.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use tortie_testkit::limit::limit;

use crate::workloads;
use crate::world::{Elsewhere, World, on_a_machine, run, until};

const PORT: u16 = 900;
/// How long a packet may be on its way.
const TRY: std::time::Duration = std::time::Duration::from_millis(300);

const MANIFESTS: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth0, labels: {host: web1}}
spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: all}
spec: {selector: app == 'web', types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: in}
spec: {selector: host == 'web1', types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Deny}]}
---
";

fn ip(line: &str) {
    run("ip", &line.split(' ').collect::<Vec<_>>());
}

fn set(name: &str, value: u32) {
    std::fs::write(format!("/proc/sys/net/{name}"), value.to_string()).unwrap();
}

/// A machine between its neighbour and a second one behind `eth1`, with a pod.
struct Router {
    second: Elsewhere,
    pod: Elsewhere,
    /// What receives at the second machine, the pod and the machine itself.
    sockets: [UdpSocket; 3],
}

/// A packet, and whether it arrives: `explain` is asked with these arguments before the port.
struct Case(&'static str, &'static str, &'static [&'static str], bool);

impl Router {
    fn new(world: &World) -> Self {
        let second = Elsewhere::behind("eth1", "in");
        for line in [
            "link set eth1 up",
            "addr add 198.51.100.11/24 dev eth1",
            "addr add fd01::11/64 dev eth0 nodad",
            "addr add fd02::11/64 dev eth1 nodad",
        ] {
            ip(line);
        }
        second.run(|| {
            for line in [
                "link set in up",
                "addr add 198.51.100.99/24 dev in",
                "addr add fd02::99/64 dev in nodad",
                "route add default via 198.51.100.11",
                "-6 route add default via fd02::11",
            ] {
                ip(line);
            }
        });
        world.outside(|| {
            for line in [
                "addr add fd01::99/64 dev out nodad",
                "addr add fe80::99/64 dev out nodad",
                "addr add 198.51.100.77/32 dev out",
                "addr add 203.0.113.9/32 dev out",
                "addr add 169.254.7.7/32 dev out",
                "route add 198.51.100.0/24 via 192.0.2.11",
                "-6 route add fd02::/64 via fd01::11",
            ] {
                ip(line);
            }
        });
        let (pod, _) = workloads::pod(world);
        // Only the gateway of the pod needs to be elsewhere.
        ip("route add 169.254.1.1 via 192.0.2.99");
        ip("route del default");
        let socket = || {
            let socket = UdpSocket::bind(("::", PORT)).unwrap();
            socket.set_read_timeout(Some(limit(TRY))).unwrap();
            socket
        };
        let sockets = [second.run(socket), pod.run(socket), socket()];
        Self { second, pod, sockets }
    }

    /// Whether what an address sends to another arrives.
    fn arrives(&self, world: &World, from: &str, to: &str) -> bool {
        static SENT: AtomicU32 = AtomicU32::new(0);
        let (source, target) = (from.to_owned(), to.to_owned());
        // What was sent before may arrive late.
        let text = format!("{to} {}", SENT.fetch_add(1, Ordering::Relaxed));
        let sent = text.clone();
        let send = move || {
            let source: SocketAddr = match source.strip_prefix("fe80") {
                Some(_) => {
                    let link = run("ip", &["-o", "link", "show", "out"]);
                    let (index, _) = link.split_once(':').unwrap();
                    format!("[{source}%{index}]:0").parse().unwrap()
                }
                None => SocketAddr::new(source.parse().unwrap(), 0),
            };
            let socket = UdpSocket::bind(source).unwrap();
            // The machine may say at once that it does not forward it.
            drop(socket.send_to(sent.as_bytes(), SocketAddr::new(target.parse().unwrap(), PORT)));
        };
        match from {
            "10.65.0.2" | "10.66.0.5" | "fd66::5" => self.pod.run(send),
            "198.51.100.99" | "fd02::99" => self.second.run(send),
            "192.0.2.11" => send(),
            _ => world.outside(send),
        }
        let receiver = match to {
            "10.65.0.2" => &self.sockets[1],
            "198.51.100.99" | "fd02::99" => &self.sockets[0],
            _ => &self.sockets[2],
        };
        let mut received = [0; 99];
        while let Ok(length) = receiver.recv(&mut received) {
            if received[..length] == *text.as_bytes() {
                return true;
            }
        }
        false
    }

    /// Compares what arrives with what was expected, and with what `explain` says, also in JSON, a table and a test.
    fn compare(&self, world: &World, said: &str, cases: &[Case]) {
        for Case(from, to, more, arrives) in cases {
            assert_eq!(self.arrives(world, from, to), *arrives, "{said}: {from} to {to}");
            let what = format!("udp/{PORT}");
            let asked = [&["explain", from, to, &what, "--node", "web1"], *more].concat();
            let output = world.tortie().args(&asked).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(output.status.code(), Some(i32::from(!arrives)), "{said}: {asked:?}: {text}");
            assert_eq!(!arrives, text.contains("\nDROPPED: web1 "), "{said}: {text}");
            let shown: serde_json::Value =
                serde_json::from_str(&world.said(&[&asked[..], &["-o", "json"]].concat())).unwrap();
            assert_eq!(shown["allowed"], *arrives, "{said}: {shown}");
            let table = world.said(&[&["explain", from, to, "--node", "web1"], *more].concat());
            assert_eq!(!arrives, table.contains("DROPPED: web1 "), "{said}: {table}");
            let word = if *arrives { "permits" } else { "forbids" };
            let options = [&["--node", "web1"], *more].concat().join(" ");
            let claims = world.file("claims", &format!("{word} {from} -> {to} {what} {options}\n"));
            world.call(&["test", claims.to_str().unwrap()]);
        }
    }
}

const OUT: &str = "192.0.2.99";
const IN: &str = "198.51.100.99";
const POD: &str = "10.65.0.2";
const OWN: &str = "192.0.2.11";

#[test]
fn explain_says_which_packets_the_kernel_does_not_forward_or_take_in() {
    on_a_machine(|world| {
        let router = Router::new(world);
        let _agent = world.agent();
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            set(name, 0);
        }
        for name in ["all", "eth0", "eth1"] {
            set(&format!("ipv4/conf/{name}/rp_filter"), 0);
        }
        let v4 = |arrives: [bool; 4]| {
            let ends = [(OUT, IN), (OUT, POD), (POD, IN), (OUT, OWN)];
            let case = |((from, to), arrives)| Case(from, to, &[], arrives);
            ends.into_iter().zip(arrives).map(case).collect::<Vec<_>>()
        };
        let v6 = |arrives| [Case("fd01::99", "fd02::99", &[], arrives)];
        world.apply(MANIFESTS);
        router.compare(world, "no workload yet", &v4([false; 4])[..1]);
        router.compare(world, "no workload yet", &v6(false));
        let manifests = [workloads::ENDPOINT, MANIFESTS].concat();
        // A first workload that is not there yet will make the machine forward.
        let file = world.file("preview.yaml", &manifests);
        let said = world.said(&["explain", OUT, "labels:app=web", "udp/900", "--node", "web1"]);
        assert!(!said.contains("DROPPED"), "{said}");
        world.call(&["explain", OUT, IN, "udp/900", "--node", "web1", "-f", file.to_str().unwrap()]);
        world.apply(&manifests);
        until("the workload has its route", || run("ip", &["-4", "route", "show", "dev", "cali1"]).contains(POD));
        router.compare(world, "forwarding", &v4([true; 4]));
        router.compare(world, "forwarding", &v6(false));
        set("ipv6/conf/all/forwarding", 1);
        router.compare(world, "forwarding", &v6(true));
        set("ipv6/conf/eth0/forwarding", 0);
        router.compare(world, "that of an interface does not count", &v6(true));
        set("ipv4/conf/eth0/forwarding", 0);
        router.compare(world, "eth0", &v4([false, false, true, true]));
        set("ipv4/ip_forward", 0);
        router.compare(world, "none", &v4([false, false, false, true]));
        set("ipv4/ip_forward", 1);
        router.compare(world, "again", &v4([true; 4]));

        let at_eth0 = &["--in-interface", "eth0"];
        let sources = |arrives: [bool; 5]| {
            let of =
                [("198.51.100.77", IN), ("203.0.113.9", IN), ("198.51.100.77", OWN), ("203.0.113.9", OWN), (OUT, IN)];
            let case = |((from, to), arrives)| Case(from, to, at_eth0, arrives);
            of.into_iter().zip(arrives).map(case).collect::<Vec<_>>()
        };
        for (rp_filter, arrives) in
            [(0, [true; 5]), (1, [false, false, false, false, true]), (2, [true, false, true, false, true])]
        {
            set("ipv4/conf/eth0/rp_filter", rp_filter);
            router.compare(world, &format!("rp_filter {rp_filter}"), &sources(arrives));
        }
        // The larger of two counts.
        set("ipv4/conf/eth0/rp_filter", 0);
        set("ipv4/conf/all/rp_filter", 1);
        router.compare(world, "of all", &sources([false, false, false, false, true]));
        set("ipv4/conf/all/rp_filter", 0);
        router.compare(
            world,
            "link-local",
            &[Case("169.254.7.7", IN, at_eth0, true), Case("fe80::99", "fd02::99", at_eth0, false)],
        );

        let all = [true; 4];
        for (line, arrives) in [
            ("rule add from 192.0.2.99 prohibit pref 100", [false, false, true, true]),
            ("rule add to 198.51.100.0/24 iif cali1 blackhole pref 100", [true, true, false, true]),
            ("rule add from 10.65.0.0/24 unreachable pref 100", [true, true, false, true]),
            ("rule add from 10.66.0.0/24 unreachable pref 100", all),
            ("rule add not from 192.0.2.99 prohibit pref 40000", all),
        ] {
            ip(line);
            router.compare(world, line, &v4(arrives).into_iter().take(3).collect::<Vec<_>>());
            ip(&line.replace(" add ", " del "));
        }
        // What is dropped perhaps is said to be assumed.
        for lines in [
            &["rule add fwmark 7 blackhole pref 100"][..],
            &["route add blackhole 198.51.100.96/29 table 100", "rule add from 203.0.113.0/24 lookup 100 pref 100"],
        ] {
            lines.iter().for_each(|line| ip(line));
            assert!(router.arrives(world, OUT, IN));
            let said = world.call(&["explain", OUT, IN, "udp/900", "--node", "web1"]);
            let assumed = "assumed: no routing rule of web1 drops it; web1 has some that may (ip rule)";
            assert!(said.lines().last().unwrap().contains(assumed), "{said}");
            lines.iter().for_each(|line| ip(&line.replace(" add ", " del ")));
        }
        ip("-6 rule add to fd02::/64 unreachable pref 100");
        router.compare(world, "a rule of IPv6", &v6(false));
        ip("-6 rule del to fd02::/64 unreachable pref 100");
        // A route of somebody else to the workload, before the agent's.
        for (line, gone) in [
            ("blackhole 10.65.0.2", "DROPPED: web1 has a route that drops"),
            ("10.65.0.2 dev eth1", "leaves web1 by eth1"),
        ] {
            ip(&format!("route add {line}"));
            assert!(!router.arrives(world, OUT, POD), "{line}");
            // And from it: the source check asks for the route.
            router.compare(world, line, &[Case(POD, IN, &[], false), Case(POD, OWN, &[], false)]);
            let said = world.said(&["explain", OUT, "wep/shop/web1-cni-web-eth0", "udp/900", "--node", "web1"]);
            assert!(
                said.contains(gone) && said.contains("web1's route to 10.65.0.2 does not lead by cali1"),
                "{line}: {said}"
            );
            ip(&format!("route del {line}"));
        }
        // A route of another table makes another address of the workload's a valid source.
        router.pod.run(|| ip("addr add 10.66.0.5/32 dev eth0"));
        let foreign = ["explain", "10.66.0.5", IN, "udp/900", "--node", "web1", "--in-interface", "cali1"];
        assert!(!router.arrives(world, "10.66.0.5", IN) && !world.fails(&foreign).contains("assumed: no route"));
        ip("route add 10.66.0.0/24 dev cali1 table 100");
        ip("rule add lookup 100 pref 100");
        assert!(router.arrives(world, "10.66.0.5", IN));
        let said = world.fails(&foreign);
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("DENIED by the source check"), "{said}");
        assert!(last.contains("(assumed: no route of web1 to 10.66.0.5 leads by cali1; "), "{said}");
        ip("rule del lookup 100 pref 100");
        assert!(!router.arrives(world, "10.66.0.5", IN));
        // What the machine sends to no address comes to itself.
        for (to, loopback) in [("0.0.0.0", "127.0.0.1"), ("::", "::1")] {
            let socket = UdpSocket::bind((to, 0)).unwrap();
            socket.send_to(b"x", (to, PORT)).unwrap();
            assert!(router.sockets[2].recv(&mut [0; 9]).is_ok(), "{to}");
            let said = world.call(&["explain", "node/web1", to, "udp/900"]);
            assert!(said.contains(&format!("what web1 sends to {to} goes to {loopback}, to web1 itself")), "{said}");
        }
        assert!(router.arrives(world, OWN, "0.0.0.0"));
        world.call(&["explain", OWN, "0.0.0.0", "udp/900"]);
    });
}

#[test]
fn explain_says_which_packets_no_interface_takes_in_and_no_route_sends_on() {
    on_a_machine(|world| {
        let router = Router::new(world);
        let _agent = world.agent();
        for name in ["all", "eth0", "eth1"] {
            set(&format!("ipv4/conf/{name}/rp_filter"), 0);
            set(&format!("ipv4/conf/{name}/route_localnet"), 0);
        }
        for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            set(name, 1);
        }
        world.apply(MANIFESTS);
        let of = |to, arrives| Case(OUT, to, &[], arrives);
        let of_v6 = |arrives| Case("fd01::99", "fd02::99", &["--in-interface", "eth0"], arrives);
        // The kernel begins to use its addresses of IPv6 a moment later.
        until("IPv6 is forwarded", || router.arrives(world, "fd01::99", "fd02::99"));
        router.compare(world, "at first", &[of(IN, true), of_v6(true)]);
        for (line, case) in [
            ("route add anycast 198.51.100.96/29 dev eth1", of(IN, false)),
            ("route add multicast 198.51.100.96/29 dev eth1", of(IN, false)),
            ("-6 route add fd02::99/128 dev lo", of_v6(false)),
        ] {
            ip(line);
            router.compare(world, line, &[case]);
            ip(&line.replace(" add ", " del "));
        }
        // A loopback address from the wire.
        world.outside(|| {
            ip("route del local 127.0.0.0/8 dev lo table local");
            ip("route add 127.0.0.9/32 via 192.0.2.11 dev out");
        });
        let at_eth0 = &["--in-interface", "eth0"];
        router.compare(world, "route_localnet 0", &[Case(OUT, "127.0.0.9", at_eth0, false)]);
        set("ipv4/conf/eth0/route_localnet", 1);
        router.compare(world, "route_localnet 1", &[Case(OUT, "127.0.0.9", at_eth0, true)]);
        set("ipv6/conf/eth0/disable_ipv6", 1);
        router.compare(world, "disable_ipv6", &[of_v6(false)]);
    });
}

#[test]
fn no_route_that_somebody_makes_by_the_interface_of_a_workload_makes_another_source_valid() {
    on_a_machine(|world| {
        let router = Router::new(world);
        router.pod.run(|| {
            for line in [
                "addr add 10.66.0.5/32 dev eth0",
                "addr add fd66::5/128 dev eth0 nodad",
                "-6 route add default dev eth0",
            ] {
                ip(line);
            }
        });
        let _agent = world.agent();
        world.apply(&[workloads::ENDPOINT, MANIFESTS].concat());
        let routes = || {
            let all = run("ip", &["-4", "route", "show", "table", "all"])
                + &run("ip", &["-6", "route", "show", "table", "all"]);
            all.lines().filter(|line| line.contains("66:") || line.contains("10.66.")).count()
        };
        until("the workload has its route", || run("ip", &["-4", "route", "show", "dev", "cali1"]).contains(POD));
        ip("link set cali1 address 02:00:00:00:00:01");
        router.pod.run(|| ip("neigh add fd02::99 lladdr 02:00:00:00:00:01 dev eth0"));
        ip("nexthop add id 5 dev cali1");
        set("ipv4/conf/all/rp_filter", 0);
        set("ipv4/conf/cali1/rp_filter", 0);
        let v4 = ["10.66.0.5", IN];
        let v6 = ["fd66::5", "fd02::99"];
        for (line, [from, to]) in [
            ("route add 10.66.0.0/24 dev cali1", v4),
            ("route add 10.66.0.0/24 nexthop dev eth0 nexthop dev cali1", v4),
            ("route add 10.66.0.0/24 nhid 5", v4),
            ("route add 10.66.0.0/24 dev cali1 table local", v4),
            ("route add broadcast 10.66.0.0/24 dev cali1 table main", v4),
            ("-6 route add fd66::/64 dev cali1", v6),
            ("-6 route add fd66::/64 from fd02::/64 dev cali1", v6),
            ("-6 route add multicast fd66::/64 dev cali1 table main", v6),
        ] {
            ip(line);
            until(&format!("{line} is gone"), || routes() == 0);
            assert!(!router.arrives(world, from, to), "{line}: {from} reached {to}");
        }
    });
}
