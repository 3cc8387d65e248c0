//! Packets that tables of other programs, or tortie itself, translate or exempt from connection tracking: what `explain` says of them is
//! what real packets do.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
use tortie_testkit::limit::limit;

use crate::workloads::{self, POD, pod};
use crate::world::{Elsewhere, World, on_a_machine, run, until};
use crate::{ENDPOINT, allow};

/// The port of the machine that tables translate, and that a process of the machine has too.
const PORT: u16 = 5000;

/// The machine with a process, and a pod with two.
struct Place<'a> {
    world: &'a World,
    pod: Elsewhere,
    host: TcpListener,
    pods: Vec<TcpListener>,
}

impl<'a> Place<'a> {
    fn new(world: &'a World) -> Self {
        let (pod, pods) = pod(world);
        let host = TcpListener::bind(("0.0.0.0", PORT)).unwrap();
        [&host].into_iter().chain(&pods).for_each(|one| one.set_nonblocking(true).unwrap());
        // Answers to what is not tracked need a rule of their own.
        let host_policy = allow(PORT).replace("[Ingress]", "[Ingress, Egress]") + "  egress: [{action: Allow}]\n";
        let pod_policy = workloads::allow(80).replace("ports: [80]", "ports: [80, 81]");
        world.apply(&[ENDPOINT, &host_policy, "---\n", workloads::ENDPOINT, &pod_policy].concat());
        Self { world, pod, host, pods }
    }

    /// Who takes a connection of the neighbour to the port of the machine.
    fn arrives(&self) -> Option<&'static str> {
        self.world.outside(|| {
            let to = SocketAddr::from(([192, 0, 2, 11], PORT));
            drop(TcpStream::connect_timeout(&to, limit(Duration::from_millis(300))));
        });
        let all = [("host", &self.host), ("pod:80", &self.pods[0]), ("pod:81", &self.pods[1])];
        all.into_iter().filter(|(_, listener)| listener.accept().is_ok()).map(|(name, _)| name).next()
    }

    /// What is said of it: the last line, and the address that it is translated to.
    fn said(&self) -> (String, Option<String>) {
        let asked = ["explain", "192.0.2.99", "node/web1", "tcp/5000", "-o", "json"];
        let shown: serde_json::Value = serde_json::from_str(&self.world.said(&asked)).unwrap();
        let to = shown["legs"][0]["translated"]
            .as_object()
            .map(|to| format!("{}:{}", to["address"].as_str().unwrap(), to["port"]));
        (shown["summary"].as_str().unwrap().to_owned(), to)
    }

    fn nft(&self, text: &str) {
        let file = self.world.file("others.nft", text);
        run("nft", &["-f", file.to_str().unwrap()]);
    }
}

/// A table that translates the port to one of the pod.
fn dnat(table: &str, priority: i32, condition: &str, port: u16) -> String {
    format!(
        "table ip {table} {{ chain pre {{ type nat hook prerouting priority {priority}; tcp dport 5000 {condition} dnat to 10.65.0.2:{port}; }}; }}\n"
    )
}

#[test]
fn the_first_chain_that_translates_a_packet_decides_and_explain_follows_it() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        assert_eq!(place.arrives(), Some("host"));
        let (line, to) = place.said();
        assert!(line.starts_with("ALLOWED by gnp web") && to.is_none(), "{line}");
        let [first, later] = [dnat("first", -110, "", 80), dnat("later", -90, "", 81)];
        for order in [[&first, &later], [&later, &first]] {
            order.into_iter().for_each(|table| place.nft(table));
            let (line, to) = place.said();
            assert_eq!(to.as_deref(), Some("10.65.0.2:80"), "{line}");
            assert!(line.starts_with("ALLOWED by np shop/web") && !line.contains("unless"), "{line}");
            assert_eq!(place.arrives(), Some("pod:80"));
            let none = world.said(&["explain", "192.0.2.99", "node/web1", "tcp/5000", "--dnat", "none"]);
            let note = "table ip later of another program would translate it to 10.65.0.2:81 (chain pre, rule 1, priority -90), but table ip first of another program (chain pre, rule 1) does so first, at priority -110";
            assert!(none.contains(note), "{none}");
            place.nft("delete table ip first; delete table ip later;");
        }
        // What may translate it makes a difference only before it.
        for (priority, may) in [(-120, true), (-100, false)] {
            place.nft(&(dnat("certain", -110, "", 80) + &dnat("marked", priority, "meta mark 7", 81)));
            let (line, to) = place.said();
            assert_eq!(to.as_deref(), Some("10.65.0.2:80"), "{line}");
            assert_eq!(line.contains("unless table ip marked of another program translates the packet"), may, "{line}");
            assert_eq!(place.arrives(), Some("pod:80"));
            place.nft(&format!("table ip marks {{ chain pre {{ type filter hook prerouting priority -150; tcp dport {PORT} meta mark set 7; }}; }}"));
            assert_eq!(place.arrives(), Some(if may { "pod:81" } else { "pod:80" }));
            place.nft("delete table ip marks; delete table ip certain; delete table ip marked;");
        }
        // Of two at the same place nobody knows.
        place.nft(&(dnat("one", -100, "", 80) + &dnat("other", -100, "", 81)));
        let (line, _) = place.said();
        assert!(line.starts_with("UNANSWERED: table ip one of another program (chain pre, rule 1) translates 192.0.2.11 to 10.65.0.2:80, and table ip other"), "{line}");
        assert!(line.contains("both are at priority -100, and nothing tells which of them is first; without the translation: ALLOWED by gnp web"), "{line}");
    });
}

#[test]
fn a_packet_that_is_exempt_from_tracking_is_not_translated() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        place.nft(&dnat("nat", -100, "", 80));
        assert_eq!(place.arrives(), Some("pod:80"));
        assert_eq!(place.said().1.as_deref(), Some("10.65.0.2:80"));
        place.nft(
            "table ip raw {
              chain pre { type filter hook prerouting priority -300; tcp dport 5000 notrack; }
              chain out { type filter hook output priority -300; tcp sport 5000 notrack; }
            }",
        );
        let (line, to) = place.said();
        assert!(line.starts_with("ALLOWED by gnp web rule 1") && to.is_none() && !line.contains("unless"), "{line}");
        assert_eq!(place.arrives(), Some("host"));
        // By a condition that the question leaves open, either may be the case.
        place.nft("flush chain ip raw pre; add rule ip raw pre tcp dport 5000 ip dscp 9 notrack;");
        let (line, to) = place.said();
        assert!(
            to.is_none() && line.contains("unless table ip nat of another program translates the packet"),
            "{line}"
        );
        assert_eq!(place.arrives(), Some("pod:80"));
    });
}

#[test]
fn what_a_table_does_behind_outgoing_nat_is_certain_only_where_tortie_does_not_translate_the_source() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        place.nft("table ip other { chain post { type filter hook postrouting priority 150; ip saddr 10.65.0.2 tcp dport 7000 drop; }; }");
        let server = world.outside(|| TcpListener::bind(("0.0.0.0", 7000)).unwrap());
        let arrives = || {
            place.pod.run(|| {
                let to = SocketAddr::from(([192, 0, 2, 99], 7000));
                TcpStream::connect_timeout(&to, limit(Duration::from_millis(300))).is_ok()
            })
        };
        let said = || world.said(&["explain", "-q", "wep/shop/web1-cni-web-eth0", "192.0.2.99", "tcp/7000"]);
        let dropped = "DROPPED by table ip other of another program (chain post, rule 1); tortie alone: ALLOWED";
        assert!(said().starts_with(dropped), "{}", said());
        assert!(!arrives());
        let pool = "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: pods}, spec: {cidr: 10.65.0.0/24, natOutgoing: true}}\n";
        world.apply(pool);
        assert!(
            said().starts_with("ALLOWED")
                && said().ends_with(", unless table ip other of another program drops the packet\n"),
            "{}",
            said()
        );
        assert!(arrives());
        // What leaves by this interface keeps its source.
        world.apply("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {iptablesNATOutgoingInterfaceFilter: eth9}}");
        assert!(said().starts_with(dropped), "{}", said());
        assert!(!arrives());
        drop(server);
    });
}

/// Sends an echo reply that nobody asked for.
fn send_reply(to: [u8; 4]) {
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).unwrap();
    // Type and code 0, and a checksum of nothing.
    let bytes = [0, 0, 0xff, 0xff, 0, 0, 0, 0];
    sendto(&raw, &bytes, SendFlags::empty(), &std::net::SocketAddrV4::new(to.into(), 0)).unwrap();
}

#[test]
fn an_icmp_type_that_begins_no_connection_does_not_arrive_behind_a_floating_ip() {
    const FLOATING: [u8; 4] = [203, 0, 113, 200];
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        let nats = "ipNetworks: [10.65.0.2/32]\n  ipNATs: [{internalIP: 10.65.0.2, externalIP: 203.0.113.200}]";
        world.apply(&(workloads::ENDPOINT.replace("ipNetworks: [10.65.0.2/32]", nats)
            + "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {floatingIPs: Enabled}}"));
        until("the floating IP leads to the pod", || run("ip", &["route", "get", "203.0.113.200"]).contains("cali1"));
        place.pod.run(|| {
            run("nft", &["add table ip count; add chain ip count in { type filter hook input priority 0; }; add rule ip count in icmp type echo-reply counter"]);
            run("nft", &["add chain ip count pre { type filter hook prerouting priority 0; }; add rule ip count pre icmp type echo-reply counter"]);
        });
        let packets = |chain: &'static str| {
            place.pod.run(move || {
                let listed = run("nft", &["list", "chain", "ip", "count", chain]);
                let (_, count) = listed.split_once("packets ").unwrap();
                count.split_once(' ').unwrap().0.parse::<u32>().unwrap()
            })
        };
        // To its own address it arrives, to the floating IP it comes as far as the interface.
        let said = |to: &str| world.said(&["explain", "-q", "node/web1", to, "icmp/0"]);
        assert!(said("10.65.0.2").starts_with("ALLOWED"), "{}", said("10.65.0.2"));
        send_reply(POD);
        until("it arrives", || packets("in") == 1);
        assert!(
            said("203.0.113.200").starts_with("DROPPED: web1 translates no packet of an ICMP type that begins no"),
            "{}",
            said("203.0.113.200")
        );
        send_reply(FLOATING);
        until("it comes to the pod", || packets("pre") == 2);
        assert_eq!(packets("in"), 1);
        // What begins a connection is translated.
        assert!(world.call(&["explain", "-q", "node/web1", "203.0.113.200", "tcp/80"]).starts_with("ALLOWED"));
        let to = SocketAddr::from((FLOATING, 80));
        TcpStream::connect_timeout(&to, limit(Duration::from_secs(3))).unwrap();
    });
}
