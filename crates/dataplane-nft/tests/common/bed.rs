//! A host with real interfaces, and a way to meet it with any packet: the kernel routes it as the question says, and the
//! bed tells that it arrived, whether it got past everyone, and with what mark.
//!
//! ```text
//!   frames ──> p-eth0 ═══ eth0 ──[ the host ]── eth1 ═══ p-eth1      (and so on for each interface)
//! ```
//!
//! Each packet carries its number (IPv4's identification, IPv6's flow label, a local one's mark). A foreign table gives it
//! its mark and a conntrack zone of its own before anyone looks, notes that it came, and behind everyone else notes that it
//! is through and ends it, so that nothing is answered. Routes are made for each packet. The thread stays on one processor:
//! once a packet is seen to have come, the kernel is done with it.

#![allow(unsafe_code)] // sockets of families that nobody wraps

use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};
use tortie_testkit::limit::limit;

use tortie_nft::interp::{PacketSpec, TransportHeader};
use tortie_nft::{DataType, Key, Set, Socket, TableId, dump};
use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};

use super::walk::start_mark;
use tortie_testkit::namespace::{run, run_with_input};

/// The interfaces that a bed has unless told otherwise.
pub const LINKS: [&str; 6] = ["eth0", "eth1", "cali1", "cali2", "cali3", "kube-ipvs0"];

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// It got past every hook.
    pub allowed: bool,
    /// Its mark behind everyone, if it got there.
    pub mark: u32,
}

/// The host.
pub struct TestBed {
    frames: OwnedFd,
    raw: [OwnedFd; 2],
    socket: Socket,
    links: Vec<String>,
    /// The routes of the last packet of each family.
    routes: [Vec<String>; 2],
    /// The groups that it listens to, and where.
    joined: Vec<(IpAddr, String)>,
}

/// A packet with what the bed needs beside the question.
#[derive(Clone, Debug)]
pub struct SentPacket {
    /// The question.
    pub packet: Packet,
    /// Where it goes in the end, after all translations.
    pub lands: IpAddr,
    /// The routes lead back to where it comes in.
    pub route_ok: bool,
    /// It comes in two fragments.
    pub torn: bool,
}

/// A socket of any family.
pub fn open(family: i32, kind: i32, protocol: i32) -> OwnedFd {
    // SAFETY: a fresh descriptor, checked, and owned from here on.
    unsafe {
        let fd = libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    }
}

fn foreign() -> TableId {
    TableId::inet("foreign")
}

impl TestBed {
    /// Makes the interfaces in the calling thread's namespace.
    pub fn new(links: &[&str]) -> Self {
        stay_on_one_processor();
        let mut script = String::new();
        for (number, link) in (1usize..).zip(links) {
            writeln!(script, "link add {link} address {} type veth peer name p-{link}", mac(number)).unwrap();
            writeln!(script, "link set {link} up\nlink set p-{link} up").unwrap();
        }
        script += "addr add 198.18.0.1/32 dev lo\naddr add fd77::1/128 dev lo nodad\n";
        for family in ["-4", "-6"] {
            run("ip", &[family, "rule", "add", "priority", "10", "lookup", "local"]);
            run("ip", &[family, "rule", "del", "priority", "0"]);
            run("ip", &[family, "rule", "add", "priority", "5", "lookup", "100"]);
        }
        for one in ["all", "default", "lo"].iter().chain(links) {
            for (name, value) in [("rp_filter", 0), ("accept_local", 1), ("forwarding", 1), ("route_localnet", 1)] {
                let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{one}/{name}"), value.to_string());
            }
        }
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        for (name, value) in [("accept_dad", 0), ("router_solicitations", 0), ("accept_ra", 0)] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/default/{name}"), value.to_string()).unwrap();
        }
        run_with_input("ip", &["-batch", "-"], &script);
        for link in links {
            // Forwarding and the like are copied to interfaces made later only in part.
            for (name, value) in [("rp_filter", 0), ("accept_local", 1), ("forwarding", 1)] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{link}/{name}"), value.to_string()).unwrap();
            }
        }
        let raw = [libc::AF_INET, libc::AF_INET6].map(|family| open(family, libc::SOCK_RAW, libc::IPPROTO_RAW));
        let frames = open(libc::AF_PACKET, libc::SOCK_DGRAM, 0);
        let on = 1i32;
        // SAFETY: the pointer and length describe `on`.
        let result = unsafe {
            libc::setsockopt(raw[1].as_raw_fd(), libc::SOL_IPV6, libc::IPV6_HDRINCL, (&raw const on).cast(), 4)
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the pointer and length describe `on`.
        let result = unsafe {
            libc::setsockopt(raw[0].as_raw_fd(), libc::SOL_SOCKET, libc::SO_BROADCAST, (&raw const on).cast(), 4)
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        let links = links.iter().map(ToString::to_string).collect();
        Self { frames, raw, socket: Socket::open().unwrap(), links, routes: Default::default(), joined: Vec::new() }
    }

    /// Sends packets one after the other and tells what came of each.
    pub fn send(&mut self, shots: &[SentPacket]) -> Vec<Observed> {
        run_with_input("nft", &["-f", "-"], &table(shots));
        for (index, shot) in shots.iter().enumerate() {
            self.join(shot);
            self.route(shot);
            self.shoot(index, shot);
            self.wait(index, shot);
        }
        let through = self.marks("through");
        (0..shots.len())
            .map(|index| {
                let mark = through.iter().copied().find(|mark| mark & 0xffff == number(index));
                Observed { allowed: mark.is_some(), mark: mark.unwrap_or_default() }
            })
            .collect()
    }

    /// Lets the host listen to a group on an interface, as a daemon would.
    fn join(&mut self, shot: &SentPacket) {
        let (PacketPath::Input { interface }, true) = (&shot.packet.path, shot.lands.is_multicast()) else { return };
        let group = (shot.lands, interface.clone());
        if self.joined.contains(&group) {
            return;
        }
        let prefix = if shot.lands.is_ipv4() { 32 } else { 128 };
        run("ip", &["addr", "add", &format!("{}/{prefix}", shot.lands), "dev", interface, "autojoin"]);
        self.joined.push(group);
    }

    /// Makes the routes of a packet in place of those before.
    fn route(&mut self, shot: &SentPacket) {
        let v6 = shot.packet.source.is_ipv6();
        let wanted = routes(shot);
        let old = std::mem::replace(&mut self.routes[usize::from(v6)], wanted.clone());
        let line = |verb: &str, route: &String| format!("route {verb} {route} table 100\n");
        let script: String =
            old.iter().map(|route| line("del", route)).chain(wanted.iter().map(|route| line("add", route))).collect();
        run_with_input("ip", &[if v6 { "-6" } else { "-4" }, "-batch", "-"], &script);
    }

    /// Waits until a packet has come.
    fn wait(&mut self, index: usize, shot: &SentPacket) {
        let set = Set::new("came", DataType::Mark);
        let deadline = Instant::now() + limit(Duration::from_secs(5));
        let key = number(index).to_ne_bytes();
        while dump::element(&mut self.socket, &foreign(), &set, &key).unwrap().is_none() {
            assert!(Instant::now() < deadline, "packet {index} never came: {shot:?}\n{:?}", self.routes);
            std::thread::yield_now();
        }
    }

    fn marks(&mut self, set: &str) -> Vec<u32> {
        let set = Set::new(set, DataType::Mark);
        let elements = dump::elements(&mut self.socket, &foreign(), &set).unwrap();
        let mark = |key: &Key| match key {
            Key::One(mark) => u32::from_ne_bytes(mark[..4].try_into().unwrap()),
            other => panic!("{other:?}"),
        };
        elements.iter().map(|element| mark(&element.key)).collect()
    }

    fn shoot(&self, index: usize, shot: &SentPacket) {
        let packet = &shot.packet;
        for bytes in bytes(index, shot) {
            match &packet.path {
                PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. } => {
                    self.frame(interface, packet, &bytes)
                }
                PacketPath::Output { .. } => self.local(index, packet, &bytes),
            }
        }
    }

    /// Puts a packet on the wire to an interface.
    fn frame(&self, interface: &str, packet: &Packet, bytes: &[u8]) {
        let number = self.links.iter().position(|link| link == interface).unwrap() as u8 + 1;
        let protocol = if packet.source.is_ipv4() { libc::ETH_P_IP } else { libc::ETH_P_IPV6 };
        // SAFETY: all zeros is an address; the kernel reads what the length says of both.
        let sent = unsafe {
            let mut to: libc::sockaddr_ll = std::mem::zeroed();
            to.sll_family = libc::AF_PACKET as u16;
            to.sll_protocol = (protocol as u16).to_be();
            to.sll_ifindex = i32::try_from(ifindex(&format!("p-{interface}"))).unwrap();
            to.sll_halen = 6;
            to.sll_addr[..6].copy_from_slice(&[2, 0, 0, 0, 0, number]);
            let length = size_of_val(&to) as u32;
            libc::sendto(self.frames.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0, (&raw const to).cast(), length)
        };
        assert_eq!(usize::try_from(sent), Ok(bytes.len()), "{interface}: {}", std::io::Error::last_os_error());
    }

    /// Sends a packet from the host.
    fn local(&self, index: usize, packet: &Packet, bytes: &[u8]) {
        let raw = &self.raw[usize::from(packet.source.is_ipv6())];
        let mark = start_mark(index);
        // SAFETY: all zeros is an address of either family; the kernel reads what the lengths say.
        let sent = unsafe {
            let mark_is = (&raw const mark).cast();
            assert_eq!(libc::setsockopt(raw.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, mark_is, 4), 0);
            let mut v4: libc::sockaddr_in = std::mem::zeroed();
            let mut v6: libc::sockaddr_in6 = std::mem::zeroed();
            let (to, length) = match packet.destination {
                IpAddr::V4(address) => {
                    v4.sin_family = libc::AF_INET as u16;
                    v4.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
                    ((&raw const v4).cast(), size_of_val(&v4))
                }
                IpAddr::V6(address) => {
                    v6.sin6_family = libc::AF_INET6 as u16;
                    v6.sin6_addr.s6_addr = address.octets();
                    ((&raw const v6).cast(), size_of_val(&v6))
                }
            };
            libc::sendto(raw.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0, to, length as u32)
        };
        // A packet that is denied on its way out is an error for who sends it.
        let error = std::io::Error::last_os_error();
        let denied = sent < 0 && error.raw_os_error() == Some(libc::EPERM);
        assert!(denied || usize::try_from(sent) == Ok(bytes.len()), "{packet:?}: {error}");
    }
}

fn stay_on_one_processor() {
    // SAFETY: an empty set is a set, and the kernel reads what the length says.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let here = usize::try_from(libc::sched_getcpu()).unwrap();
        libc::CPU_SET(here, &mut set);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &raw const set), 0);
    }
}

fn ifindex(name: &str) -> u32 {
    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: the name is a C string that outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

fn mac(number: usize) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

fn number(index: usize) -> u32 {
    start_mark(index) & 0xffff
}

/// The table of another's: numbers, zones, translations, and who came and got through.
fn table(shots: &[SentPacket]) -> String {
    let mut text = String::from(
        "table inet foreign {}\ndelete table inet foreign\ntable inet foreign {\n\
         set came { type mark; flags dynamic; size 65535; }\nset through { type mark; flags dynamic; size 65535; }\n",
    );
    text += "chain came-in { type filter hook prerouting priority -350;\n";
    for (index, shot) in shots.iter().enumerate() {
        if matches!(shot.packet.path, PacketPath::Output { .. }) {
            continue;
        }
        let number = number(index);
        let which = if shot.packet.source.is_ipv4() { "ip id" } else { "ip6 flowlabel" };
        writeln!(text, "{which} {number} meta mark set {} {}", start_mark(index), tracking(index, shot)).unwrap();
    }
    text += "meta mark and 0xffff != 0 add @came { meta mark and 0xffff }\n}\n";
    text += "chain came-out { type filter hook output priority -350;\n";
    for (index, shot) in shots.iter().enumerate() {
        if matches!(shot.packet.path, PacketPath::Output { .. }) {
            let number = number(index);
            writeln!(text, "meta mark and 0xffff == {number} {}", tracking(index, shot)).unwrap();
        }
    }
    text += "meta mark and 0xffff != 0 add @came { meta mark and 0xffff }\n}\n";
    for (name, hook) in [("nat-in", "prerouting"), ("nat-out", "output")] {
        writeln!(text, "chain {name} {{ type nat hook {hook} priority -101;").unwrap();
        for (index, shot) in shots.iter().enumerate() {
            let Some((address, port)) = shot.packet.translated else { continue };
            let port = port.filter(|_| matches!(shot.packet.transport, Transport::Ports { .. }));
            let (family, to) =
                if address.is_ipv4() { ("ip", format!("{address}")) } else { ("ip6", format!("[{address}]")) };
            let to = port.map_or(to.clone(), |port| format!("{to}:{port}"));
            let protocol = port.map_or(String::new(), |_| format!("meta l4proto {} ", shot.packet.protocol));
            writeln!(text, "meta mark and 0xffff == {} {protocol}dnat {family} to {to}", number(index)).unwrap();
        }
        text += "}\n";
    }
    for (name, hook) in [("end-in", "input"), ("end-out", "postrouting")] {
        writeln!(
            text,
            "chain {name} {{ type filter hook {hook} priority 400;\n\
             meta mark and 0xffff != 0 add @through {{ meta mark }} drop\n}}"
        )
        .unwrap();
    }
    text + "}\n"
}

/// A zone or none at all: a packet that has a zone cannot be taken out of connection tracking any more.
fn tracking(index: usize, shot: &SentPacket) -> String {
    match shot.packet.conntrack {
        Conntrack::Untracked if is_noted(&shot.packet) => "continue".to_owned(),
        Conntrack::Untracked => "notrack".to_owned(),
        // It is part of no connection, and a policy may take it out of tracking.
        Conntrack::Invalid => "continue".to_owned(),
        _ => format!("ct zone set {}", number(index)),
    }
}

/// Connection tracking leaves these alone by itself.
fn is_noted(packet: &Packet) -> bool {
    packet.protocol == 58 && matches!(packet.transport, Transport::Icmp { kind: 130..=136 | 143 | 151 | 152, .. })
}

/// Routes for one packet: where it goes, and for its source where it came in.
fn routes(shot: &SentPacket) -> Vec<String> {
    let packet = &shot.packet;
    let to = shot.lands;
    let mut routes = match &packet.path {
        // The kernel delivers a group's packets to whoever has joined it, whatever the routes say.
        PacketPath::Input { .. } if is_group(to) => vec![],
        PacketPath::Input { interface } if is_broadcast(to) => vec![format!("broadcast {to} dev {interface}")],
        PacketPath::Input { .. } => vec![format!("local {to} dev lo")],
        PacketPath::Forward { to: link, .. } => vec![format!("{to} dev {link}")],
        PacketPath::Output { interface } => {
            let link = packet.translated_interface.as_ref().unwrap_or(interface);
            let first = (to != packet.destination).then(|| format!("{} dev {interface}", packet.destination));
            first.into_iter().chain([format!("{to} dev {link}")]).collect()
        }
    };
    if let (PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. }, true) =
        (&packet.path, shot.route_ok)
    {
        routes.push(format!("{} dev {interface}", packet.source));
    }
    routes
}

/// Multicast, and the broadcast address of every link.
pub fn is_group(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}

/// The broadcast address of a link: those of these tests end so.
pub fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[3] == 255 && !is_group(address.into()))
}

/// A packet's bytes, in one piece or two.
fn bytes(index: usize, shot: &SentPacket) -> Vec<Vec<u8>> {
    let packet = &shot.packet;
    let transport = match packet.transport {
        Transport::Ports { source, destination } if packet.protocol == 6 => {
            // A reset of nothing known is part of nothing.
            let flags = if packet.conntrack == Conntrack::Invalid { 4 } else { 2 };
            TransportHeader::Tcp { source, destination, flags }
        }
        Transport::Ports { source, destination } if packet.protocol == 17 => {
            TransportHeader::Udp { source, destination }
        }
        Transport::Ports { source, destination } => {
            TransportHeader::Other { protocol: packet.protocol, payload: sctp_init(source, destination) }
        }
        Transport::Icmp { kind, code } => TransportHeader::Icmp { kind, code, rest: [0, 1, 0, 1] },
        Transport::Opaque => TransportHeader::Other { protocol: packet.protocol, payload: vec![0; 24] },
    };
    let mut craft = PacketSpec::new(packet.source, packet.destination, transport);
    craft.hop_limit = packet.hop_limit;
    craft.payload = vec![0x61; 24];
    let whole = craft.bytes().unwrap();
    let header = if packet.source.is_ipv4() { 20 } else { 40 };
    let parts = if shot.torn {
        use tortie_nft::interp::Fragment;
        let body = whole[header..].to_vec();
        let (first, rest) = body.split_at(24);
        [(first, Fragment { offset: 0, more: true }), (rest, Fragment { offset: 3, more: false })]
            .map(|(part, fragment)| {
                let transport = TransportHeader::Other { protocol: craft.protocol(), payload: part.to_vec() };
                PacketSpec { transport, fragment: Some(fragment), payload: Vec::new(), ..craft.clone() }
                    .bytes()
                    .unwrap()
            })
            .to_vec()
    } else {
        vec![whole]
    };
    parts.into_iter().map(|part| numbered(part, index)).collect()
}

/// Writes a packet's number into its header.
fn numbered(mut bytes: Vec<u8>, index: usize) -> Vec<u8> {
    let number = u16::try_from(number(index)).unwrap().to_be_bytes();
    if bytes[0] >> 4 == 6 {
        bytes[2..4].copy_from_slice(&number);
        return bytes;
    }
    bytes[4..6].copy_from_slice(&number);
    bytes[10..12].fill(0);
    let mut sum: u32 = bytes[..20].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    bytes
}

/// The first packet of an SCTP association, with its checksum.
fn sctp_init(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend([0; 8]); // no tag yet; the checksum
    bytes.extend([1, 0, 0, 20]);
    bytes.extend([0, 0, 0, 7, 0, 0, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let mut crc = !0u32;
    for byte in &bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    bytes[8..12].copy_from_slice(&(!crc).to_le_bytes());
    bytes
}
