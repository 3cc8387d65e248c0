//! Packets that tables of other programs, or tortie itself, translate or exempt from connection tracking: what `explain` says of them is
//! what real packets do.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
use tortie_nft::expr::{Cmp, Meta, MetaKey, Payload, Unknown};
use tortie_nft::{BaseChain, Batch, Chain, Expr, Family, Hook, Reg, Rule, Socket, Table, TableId};
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

/// What the neighbour accepts on a port.
fn neighbour_listens(world: &World, port: u16) -> TcpListener {
    let listener = world.outside(move || TcpListener::bind(("0.0.0.0", port)).unwrap());
    listener.set_nonblocking(true).unwrap();
    listener
}

const POD_TO_NEIGHBOUR: [&str; 5] = ["explain", "-q", "wep/shop/web1-cni-web-eth0", "192.0.2.99", "tcp/7000"];

/// Whether the pod gets a connection to a port of the neighbour.
fn pod_reaches(place: &Place<'_>, port: u16) -> bool {
    place.pod.run(move || {
        let to = SocketAddr::from(([192, 0, 2, 99], port));
        TcpStream::connect_timeout(&to, limit(Duration::from_millis(300))).is_ok()
    })
}

const POOL: &str = "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: pods}, spec: {cidr: 10.65.0.0/24, natOutgoing: true}}\n";

#[test]
fn what_a_table_does_behind_outgoing_nat_it_does_to_a_packet_with_the_new_source() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        let drops = |source: &str| {
            place.nft(&format!("table ip other {{ chain post {{ type filter hook postrouting priority 150; }}; }}; flush chain ip other post; add rule ip other post ip saddr {source} tcp dport 7000 drop;"));
        };
        drops("10.65.0.2");
        let server = neighbour_listens(world, 7000);
        let said = || world.said(&POD_TO_NEIGHBOUR);
        let dropped = "DROPPED by table ip other of another program (chain post, rule 1); tortie alone: ALLOWED";
        let is_dropped = |expected: bool| {
            assert_eq!(said().starts_with(dropped), expected, "{}", said());
            assert!(expected || said().starts_with("ALLOWED") && !said().contains("unless"), "{}", said());
            assert_eq!(pod_reaches(&place, 7000), !expected, "{}", said());
        };
        is_dropped(true);
        world.apply(POOL);
        is_dropped(false);
        drops("192.0.2.11");
        is_dropped(true);
        // What leaves by this interface keeps its source.
        world.apply("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {iptablesNATOutgoingInterfaceFilter: eth9}}");
        is_dropped(false);
        drops("10.65.0.2");
        is_dropped(true);
        drop(server);
    });
}

#[test]
fn what_one_table_gives_another_source_the_others_see_with_it() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        let server = neighbour_listens(world, 7000);
        let said = || world.said(&POD_TO_NEIGHBOUR);
        let nat = |priority: i32, rule: &str| {
            format!(
                "table ip r {{ chain r {{ type nat hook postrouting priority {priority}; oifname eth0 {rule}; }}; }};\n"
            )
        };
        let post = |kind: &str, priority: i32, rule: &str| {
            format!(
                "table ip q {{ chain q {{ type {kind} hook postrouting priority {priority}; tcp dport 7000 {rule} drop; }}; }}"
            )
        };
        let egress = |rule: &str| {
            format!("table netdev q {{ chain q {{ type filter hook egress device eth0 priority 0; {rule} drop; }}; }}")
        };
        let [old, new] = ["ip saddr 10.65.0.2", "ip saddr 192.0.2.11"];
        for pool in [false, true] {
            if pool {
                world.apply(POOL);
            }
            for (gives, drops, expected) in [
                (nat(50, "masquerade"), post("filter", 150, old), false),
                (nat(50, "masquerade"), post("filter", 150, new), true),
                (nat(50, "snat to 192.0.2.11"), post("filter", 150, old), false),
                (nat(50, "snat to 192.0.2.11"), post("filter", 150, new), true),
                (nat(50, "masquerade"), post("filter", 40, old), true),
                (nat(50, "masquerade"), egress(old), false),
                (nat(50, "masquerade"), egress(new), true),
                (nat(50, "masquerade"), post("nat", 60, ""), false),
                (nat(50, "masquerade"), post("nat", 40, ""), true),
                (nat(150, "masquerade"), post("nat", 160, ""), false),
                (nat(150, "masquerade"), post("nat", 140, ""), !pool),
                (nat(50, "accept"), post("nat", 60, ""), true),
            ] {
                place.nft(&(gives.clone() + &drops));
                let word = if expected { "DROPPED" } else { "ALLOWED" };
                let line = said();
                assert!(first_word(&line) == word && !line.contains("unless"), "{pool} {gives} {drops}: {line}");
                assert_eq!(pod_reaches(&place, 7000), !expected, "{pool} {gives} {drops}");
                let family = if drops.contains("netdev") { "netdev" } else { "ip" };
                place.nft(&format!("delete table ip r; delete table {family} q;"));
            }
        }
        // What comes in gets its source at the hook of the input.
        let snat = "table ip r { chain r { type nat hook input priority 100; tcp dport 5000 snat to 192.0.2.98; }; };";
        for (drops, expected) in [
            ("filter hook input priority 150; ip saddr 192.0.2.99 drop", false),
            ("filter hook input priority 150; ip saddr 192.0.2.98 drop", true),
            ("nat hook input priority 110; drop", false),
        ] {
            place.nft(&format!("{snat} table ip q {{ chain q {{ type {drops}; }}; }}"));
            let (line, _) = place.said();
            assert_eq!(first_word(&line), if expected { "DROPPED" } else { "ALLOWED" }, "{drops}: {line}");
            assert_eq!(place.arrives().is_some(), !expected, "{drops}");
            place.nft("delete table ip r; delete table ip q;");
        }
        // What the machine sends to itself got its source where it left.
        place.nft("table ip q { chain q { type nat hook input priority 110; tcp dport 5000 drop; }; }");
        let line = world.said(&["explain", "-q", "node/web1", "192.0.2.11", "tcp/5000"]);
        assert_eq!(first_word(&line), "ALLOWED", "{line}");
        connect([192, 0, 2, 11], PORT);
        assert!(arrived(&place.host));
        drop(server);
    });
}

#[test]
fn what_a_table_of_the_sender_translates_is_judged_so_though_its_target_is_on_another_machine() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        let server = neighbour_listens(world, 80);
        let other = "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web2-eth0}, spec: {node: web2, interfaceName: eth0, expectedIPs: [192.0.2.88]}}\n---\n";
        let host = allow(PORT).replace("[Ingress]", "[Ingress, Egress]")
            + "  egress: [{action: Allow, destination: {nets: [192.0.2.99/32]}}]\n---\n";
        let pod_policy = workloads::allow(80)
            .replace("egress: [{action: Allow}]", "egress: [{action: Allow, destination: {nets: [192.0.2.99/32]}}]");
        world.apply(&[ENDPOINT, other, &host, workloads::ENDPOINT, &pod_policy].concat());
        let ask = |from: &str| world.said(&["explain", from, "192.0.2.88", "tcp/5000"]);
        let sends = |from: &str| match from {
            "node/web1" => connect([192, 0, 2, 88], PORT),
            _ => place.pod.run(|| connect([192, 0, 2, 88], PORT)),
        };
        let [node, pod] = ["node/web1", "wep/shop/web1-cni-web-eth0"];
        let nat = |to: &str| {
            place.nft(&format!("table ip x {{ chain o {{ type nat hook output priority -100; ip daddr 192.0.2.88 tcp dport 5000 {to}; }}; chain p {{ type nat hook prerouting priority -100; ip daddr 192.0.2.88 tcp dport 5000 {to}; }}; }}"));
        };
        for from in [node, pod] {
            assert!(ask(from).contains("\nDENIED by"), "{}", ask(from));
        }
        nat("dnat to 192.0.2.99:80");
        let note = "table ip x of another program translates it to 192.0.2.99:80";
        for (from, chain) in [(node, 'o'), (pod, 'p')] {
            let said = ask(from);
            let end = format!("It is judged as translated: {note} (chain {chain}, rule 1)\n");
            assert!(said.contains("\nALLOWED by") && said.ends_with(&end), "{said}");
            assert_eq!(said.matches(&format!("note: {note}")).count(), 1, "{said}");
            sends(from);
            assert!(arrived(&server), "{from}");
        }
        place.nft("delete table ip x;");
        nat("redirect");
        let said = ask(node);
        assert!(said.contains("translates it to 127.0.0.1") && said.contains("\nALLOWED"), "{said}");
        sends(node);
        assert!(arrived(&place.host), "{said}");
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

/// What the first word of an answer says that becomes of a packet.
fn first_word(line: &str) -> &str {
    line.split([' ', ':']).next().unwrap()
}

/// A second neighbour, behind `eth1`, that listens on port 80.
fn behind_eth1() -> (Elsewhere, TcpListener) {
    let behind = Elsewhere::behind("eth1", "out1");
    run("ip", &["addr", "add", "198.51.100.1/24", "dev", "eth1"]);
    run("ip", &["link", "set", "eth1", "up"]);
    let listener = behind.run(|| {
        run("ip", &["addr", "add", "198.51.100.9/24", "dev", "out1"]);
        run("ip", &["link", "set", "out1", "up"]);
        run("ip", &["route", "add", "default", "via", "198.51.100.1"]);
        TcpListener::bind(("0.0.0.0", 80)).unwrap()
    });
    listener.set_nonblocking(true).unwrap();
    (behind, listener)
}

/// Opens a connection from here, for a short time.
fn connect(to: [u8; 4], port: u16) {
    drop(TcpStream::connect_timeout(&SocketAddr::from((to, port)), limit(Duration::from_millis(300))));
}

fn arrived(listener: &TcpListener) -> bool {
    let mut any = false;
    while listener.accept().is_ok() {
        any = true;
    }
    any
}

const ETH1: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth1, labels: {side: eth1}}
spec: {node: web1, interfaceName: eth1}
---
";

/// An untracked policy for what the endpoints that are selected send to port 5000.
fn untracked(selector: &str, action: &str) -> String {
    format!(
        "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: raw}}
spec:
  selector: {selector}
  doNotTrack: true
  applyOnForward: true
  types: [Egress]
  egress: [{{action: {action}, protocol: TCP, destination: {{ports: [5000]}}}}, {{action: Allow}}]
---
"
    )
}

#[test]
fn what_the_machine_sends_and_another_table_translates_meets_untracked_policy_at_the_interface_before() {
    on_a_machine(|world| {
        let (_behind, listener) = behind_eth1();
        run("ip", &["route", "add", "default", "via", "192.0.2.99"]);
        let _agent = world.agent();
        let open = "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: open}, spec: {selector: side == 'eth1', types: [Egress], egress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}}\n---\n";
        let host = allow(PORT).replace("[Ingress]", "[Ingress, Egress]")
            + "  egress: [{action: Allow, protocol: TCP, destination: {ports: [5000]}}]\n---\n";
        world.apply(&[ENDPOINT, ETH1, open, &host].concat());
        let file = "table ip nat { chain out { type nat hook output priority -100; tcp dport 5000 dnat to 198.51.100.9:80; }; }";
        run("nft", &["-f", world.file("others.nft", file).to_str().unwrap()]);
        let said = || world.said(&["explain", "-q", "node/web1", "203.0.113.9", "tcp/5000"]);
        let arrives = || {
            connect([203, 0, 113, 9], PORT);
            arrived(&listener)
        };
        let check = |about: &str, word: &str, by: &str| {
            assert!(first_word(&said()) == word && said().contains(by), "{about}: {}", said());
            assert_eq!(arrives(), word == "ALLOWED", "{about}");
        };
        check("no untracked policy", "ALLOWED", "by gnp open rule 1, egress after translation of web1-eth1");
        world.apply(&untracked("role == 'web'", "Deny"));
        check("denied before", "DENIED", "by gnp raw rule 1, untracked out of web1-eth0");
        world.apply(&untracked("side == 'eth1'", "Deny"));
        check("denied only where it leaves", "ALLOWED", "by gnp open rule 1");
        // It is of no connection then, and nothing translates it.
        world.apply(&untracked("role == 'web'", "Allow"));
        let whole = world.said(&["explain", "node/web1", "203.0.113.9", "tcp/5000"]);
        assert!(whole.contains("leaves web1 by eth0;") && whole.contains("ALLOWED by gnp raw rule 1"), "{whole}");
        assert!(!arrives());
        let named = world.said(&["explain", "node/web1", "203.0.113.9", "tcp/5000", "--dnat", "198.51.100.9:80"]);
        assert!(named.contains("it is not translated, as --dnat says") && named.contains("by eth0;"), "{named}");
    });
}

#[test]
fn a_packet_to_a_floating_ip_that_another_table_exempts_from_tracking_does_not_arrive() {
    const FLOATING: [u8; 4] = [203, 0, 113, 200];
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        let nats = "ipNetworks: [10.65.0.2/32]\n  ipNATs: [{internalIP: 10.65.0.2, externalIP: 203.0.113.200}]";
        world.apply(&(workloads::ENDPOINT.replace("ipNetworks: [10.65.0.2/32]", nats)
            + "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {floatingIPs: Enabled}}\n---\n"
            + POOL));
        until("the floating IP leads to the pod", || run("ip", &["route", "get", "203.0.113.200"]).contains("cali1"));
        world.outside(|| run("ip", &["route", "add", "203.0.113.200", "via", "192.0.2.11"]));
        let server = world.outside(|| UdpSocket::bind(("0.0.0.0", 7000)).unwrap());
        server.set_read_timeout(Some(limit(Duration::from_secs(3)))).unwrap();
        let leaves = || {
            place.pod.run(|| {
                let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
                socket.send_to(b"x", ("192.0.2.99", 7000)).unwrap();
            });
            server.recv_from(&mut [0; 8]).unwrap().1.ip().to_string()
        };
        let said = |from: &str, to: &str, what: &str| world.said(&["explain", "-q", from, to, what]);
        let check = |about: &str, own: bool, from_outside: bool| {
            for (from, arrives) in [("node/web1", own), ("192.0.2.99", from_outside)] {
                let line = said(from, "203.0.113.200", "tcp/80");
                assert_eq!(first_word(&line), if arrives { "ALLOWED" } else { "DROPPED" }, "{about}: {line}");
                match from {
                    "node/web1" => connect(FLOATING, 80),
                    _ => world.outside(|| connect(FLOATING, 80)),
                }
                assert_eq!(arrived(&place.pods[0]), arrives, "{about}: {from}");
            }
        };
        check("all tracked", true, true);
        assert_eq!(leaves(), "192.0.2.11");
        place.nft("table ip raw { chain pre { type filter hook prerouting priority -300; iifname eth0 tcp dport 80 notrack; }; chain out { type filter hook output priority -300; }; }");
        check("untracked where it comes in", true, false);
        place.nft("add rule ip raw out tcp dport 80 notrack;");
        check("untracked where it is sent, too", false, false);
        let line = said("192.0.2.99", "203.0.113.200", "tcp/80");
        assert!(line.contains("web1 translates no packet that connection tracking does not track, and 203.0.113.200 is not an address of wep/shop"), "{line}");
        // A condition that the question leaves open.
        place
            .nft("flush chain ip raw pre; flush chain ip raw out; add rule ip raw pre tcp dport 80 ip dscp 9 notrack;");
        let line = said("192.0.2.99", "203.0.113.200", "tcp/80");
        assert!(
            line.starts_with("ALLOWED")
                && line.contains("unless table ip raw of another program exempts the packet from connection tracking"),
            "{line}"
        );
        // The source of what a workload sends stays, too.
        place.nft("flush chain ip raw pre; add rule ip raw pre udp dport 7000 notrack;");
        let whole = world.said(&["explain", "wep/shop/web1-cni-web-eth0", "192.0.2.99", "udp/7000"]);
        assert!(whole.contains("where nothing translates it, its source included"), "{whole}");
        assert_eq!(leaves(), "10.65.0.2");
        // What is of an open connection is so only for who tracks it.
        let line = world.said(&["explain", "-q", "192.0.2.99", "10.65.0.2", "tcp/82", "--state", "established"]);
        assert!(line.starts_with("ALLOWED"), "{line}");
        place.nft("add rule ip raw pre tcp dport 82 notrack;");
        let line = world.said(&["explain", "-q", "192.0.2.99", "10.65.0.2", "tcp/82", "--state", "established"]);
        assert!(line.starts_with("DENIED"), "{line}");
    });
}

/// A table with the target REDIRECT of iptables, as iptables-nft makes it. `nft` cannot write one.
fn redirect_of_iptables(from: u16, to: u16) {
    let id = TableId { family: Family::Ipv4, name: "nat".into() };
    // `nf_nat_ipv4_multi_range_compat`: one range, with ports.
    let mut info = [1u32, 2, 0, 0].map(u32::to_ne_bytes).concat();
    info.extend([to, to].map(u16::to_be_bytes).concat());
    info.extend([0; 4]);
    let mut data = Vec::new();
    for (kind, payload) in [(1u16, b"REDIRECT\0".to_vec()), (2, vec![0; 4]), (3, info)] {
        data.extend((payload.len() as u16 + 4).to_ne_bytes());
        data.extend(kind.to_ne_bytes());
        data.extend(&payload);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let exprs: Vec<Expr> = vec![
        Meta::get(MetaKey::L4Proto, Reg::R1).into(),
        Cmp::eq(Reg::R1, [6]).into(),
        Payload::destination_port(Reg::R1).into(),
        Cmp::eq(Reg::R1, from.to_be_bytes()).into(),
        Expr::Unknown(Unknown { name: "target".into(), data }),
    ];
    let mut batch = Batch::new();
    batch.add_table(&Table::new(id.clone()));
    batch.add_chain(&id, &Chain::base("pre", BaseChain::nat(Hook::Prerouting, -100)));
    batch.append_rule(&id, &Rule::new("pre", exprs));
    batch.commit(&mut Socket::open().unwrap()).unwrap();
}

#[test]
fn a_redirect_of_what_a_workload_sends_needs_an_address_of_its_interface() {
    redirected(|place| {
        place.nft(
            "table ip nat { chain pre { type nat hook prerouting priority -100; tcp dport 9000 redirect to :5000; }; }",
        );
    });
}

#[test]
fn so_does_a_redirect_of_iptables() {
    redirected(|_| redirect_of_iptables(9000, PORT));
}

fn redirected(make: fn(&Place<'_>)) {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        world.apply("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {defaultEndpointToHostAction: Accept}}");
        make(&place);
        let said = || world.said(&["explain", "-q", "wep/shop/web1-cni-web-eth0", "192.0.2.99", "tcp/9000"]);
        let arrives = || {
            place.pod.run(|| connect([192, 0, 2, 99], 9000));
            arrived(&place.host)
        };
        let dropped = "DROPPED by table ip nat of another program (chain pre, rule 1); tortie alone: ALLOWED";
        assert!(said().starts_with(dropped), "{}", said());
        assert!(!arrives());
        run("ip", &["addr", "add", "169.254.1.1/32", "dev", "cali1"]);
        until("the agent knows the address", || said().starts_with("ALLOWED"));
        assert!(said().contains("translates it to 169.254.1.1:5000"), "{}", said());
        assert!(arrives());
    });
}

#[test]
fn every_table_that_exempts_a_packet_on_one_of_its_paths_is_named() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        let (_behind, _listener) = behind_eth1();
        // Nothing tells then by which interface a packet comes in.
        run("ip", &["rule", "add", "from", "203.0.113.1", "table", "100"]);
        let said = || world.said(&["explain", "192.0.2.99", "node/web1", "tcp/5000"]);
        until("the agent knows the rule", || said().contains("eth1"));
        let raw = |name: &str, interface: &str| {
            format!(
                "table ip {name} {{ chain pre {{ type filter hook prerouting priority -300; iifname {interface} notrack; }}; }}\n"
            )
        };
        place.nft(&raw("one", "eth0"));
        let line = said();
        assert!(!line.contains("judged as untracked"), "{line}");
        place.nft(&raw("other", "eth1"));
        let line = said();
        let both = "table ip one of another program and table ip other of another program (each on some of its paths) exempt it from connection tracking";
        assert!(line.contains(both), "{line}");
    });
}

#[test]
fn of_a_floating_ip_and_a_table_the_one_with_the_lower_priority_translates() {
    const FLOATING: [u8; 4] = [203, 0, 113, 200];
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        let (_behind, listener) = behind_eth1();
        let nats = "ipNetworks: [10.65.0.2/32]\n  ipNATs: [{internalIP: 10.65.0.2, externalIP: 203.0.113.200}]";
        world.apply(&(workloads::ENDPOINT.replace("ipNetworks: [10.65.0.2/32]", nats)
            + "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {floatingIPs: Enabled}}"));
        until("the floating IP leads to the pod", || run("ip", &["route", "get", "203.0.113.200"]).contains("cali1"));
        world.outside(|| run("ip", &["route", "add", "203.0.113.200", "via", "192.0.2.11"]));
        for (priority, hook, from) in [-110, -100, -90]
            .into_iter()
            .flat_map(|priority| [(priority, "prerouting", "192.0.2.99"), (priority, "output", "node/web1")])
        {
            place.nft(&format!("table ip nat {{ chain c {{ type nat hook {hook} priority {priority}; ip daddr 203.0.113.200 dnat to 198.51.100.9; }}; }}"));
            let line = world.said(&["explain", "-q", from, "203.0.113.200", "tcp/80"]);
            match from {
                "node/web1" => connect(FLOATING, 80),
                _ => world.outside(|| connect(FLOATING, 80)),
            }
            let (at_pod, behind) = (arrived(&place.pods[0]), arrived(&listener));
            assert!(at_pod != behind, "{hook} {priority}: one of them gets it");
            let translates = "translates it to 198.51.100.9";
            match priority {
                -110 => assert!(behind && line.starts_with("ALLOWED") && line.contains(translates), "{hook}: {line}"),
                -90 => assert!(at_pod && line.starts_with("ALLOWED") && !line.contains("table"), "{hook}: {line}"),
                _ => assert!(
                    line.contains("unless table ip nat of another program translates the packet"),
                    "{hook}: {line}"
                ),
            }
            place.nft("delete table ip nat;");
        }
    });
}

#[test]
fn a_table_that_drops_behind_the_translation_of_another_is_told() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        place.nft(&dnat("nat", -100, "", 80));
        assert_eq!(place.arrives(), Some("pod:80"));
        place.nft("table ip f { chain pre { type filter hook prerouting priority -50; ip daddr 10.65.0.2 drop; }; }");
        let (line, _) = place.said();
        assert!(line.starts_with("DROPPED by table ip f of another program (chain pre, rule 1)"), "{line}");
        assert_eq!(place.arrives(), None);
        // Before the translation the packet has another destination.
        place.nft("delete table ip f; table ip f { chain pre { type filter hook prerouting priority -150; ip daddr 10.65.0.2 drop; }; }");
        assert!(place.said().0.starts_with("ALLOWED"), "{}", place.said().0);
        assert_eq!(place.arrives(), Some("pod:80"));
    });
}

#[test]
fn what_the_machine_sends_to_itself_is_not_translated_where_it_comes_in() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        place.nft(&dnat("nat", -100, "", 80));
        let said = || world.said(&["explain", "-q", "node/web1", "192.0.2.11", "tcp/5000"]);
        connect([192, 0, 2, 11], PORT);
        assert!(arrived(&place.host) && !arrived(&place.pods[0]));
        assert!(said().starts_with("ALLOWED") && !said().contains("table"), "{}", said());
    });
}

#[test]
fn of_what_a_machine_sends_from_a_loopback_address_and_translates_to_others_there_is_no_answer() {
    on_a_machine(|world| {
        let _agent = world.agent();
        let place = Place::new(world);
        let server = neighbour_listens(world, 80);
        let nat =
            "chain o { type nat hook output priority -100; ip daddr 127.0.0.1 tcp dport 5000 dnat to 192.0.2.99:80; };";
        place.nft(&format!("table ip x {{ {nat} }}"));
        let arrives = || {
            connect([127, 0, 0, 1], PORT);
            arrived(&server)
        };
        let asked = ["explain", "-q", "127.0.0.1", "127.0.0.1", "tcp/5000"];
        let is_unanswered = || {
            let said = world.said(&asked);
            assert!(
                said.starts_with("UNANSWERED: table ip x of another program translates it to 192.0.2.99:80"),
                "{said}"
            );
            assert!(
                said.contains(
                    "it leaves only if route_localnet of eth0 is 1, and arrives only if its source is replaced"
                ),
                "{said}"
            );
        };
        is_unanswered();
        assert!(!arrives());
        place.nft("table ip y { chain p { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }");
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
        is_unanswered();
        assert!(arrives());
    });
}

#[test]
fn a_rule_on_a_port_that_another_table_translates_before_it_is_told() {
    on_a_machine(|world| {
        world.listen(5001);
        let _agent = world.agent();
        world.apply(&[ENDPOINT, &allow(PORT)].concat());
        let policy = world.file("policy.yaml", &allow(PORT)).to_str().unwrap().to_owned();
        let why = "ingress rule 1: packets such as one from 198.51.100.1 to port 5000 of 192.0.2.11 that comes in by eth0 are translated before the rule is asked, and it does not match them then: table ip nat of another program translates it to 192.0.2.11:5001";
        let is_told = |arguments: &[&str]| {
            let said = world.outcome(arguments).1;
            assert_eq!(said.contains("[translated-port]"), said.contains(why), "{said}");
            said.contains(why)
        };
        assert!(!is_told(&["lint"]) && !is_told(&["apply", "-f", &policy]));
        let table =
            "table ip nat { chain pre { type nat hook prerouting priority -100; tcp dport 5000 redirect to :5001; }; }";
        run("nft", &["-f", world.file("others.nft", table).to_str().unwrap()]);
        assert!(is_told(&["lint"]) && is_told(&["apply", "-f", &policy]));
        assert!(!world.reaches(PORT));
        // Rules that match behind the translation.
        for ports in ["[5001]", "[5000, 5001]"] {
            world.apply(&allow(PORT).replace("[5000]", ports));
            assert!(!is_told(&["lint"]), "{ports}");
        }
        assert!(world.reaches(PORT));
    });
}
