//! A host with two networks, all in one namespace, and ways to send it any bytes.
//!
//! ```text
//!   frames ──> in1 ═══ in0 ──[ 10.1.0.1, fd01::1: the host ]── out0 ═══ out1  (dead end)
//! ```
//!
//! Frames written to `in1` arrive at `in0`: to the host's own address they reach the input hook, to
//! `10.2.0.0/24` or `fd02::/64` the forward hook. Raw sockets send from the host. What the host itself
//! would answer is dropped at output before anything else; our own packets carry [`SENT_MARK`].
//!
//! The harness's table counts what arrives behind everyone else, and a last packet of a protocol of
//! its own tells that all before it are through.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tortie_nft::expr::{Cmp, Counter, Meta, MetaKey};
use tortie_nft::{BaseChain, Chain, Expr, Hook, Reg, Rule, Socket, TableId, Verdict};

use super::{counted, program, run, wait_for};

/// The mark of packets sent from the host.
pub const SENT_MARK: u32 = 0x4000_0000;
/// The protocol of the packet that says all others are through.
const LAST: u8 = 253;

const IN0: [u8; 6] = [2, 0, 0, 0, 0, 1];
const IN1: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The network and its sockets.
pub struct Link {
    frames: OwnedFd,
    raw4: OwnedFd,
    raw6: OwnedFd,
    in1: u32,
    last_seen: u64,
    /// The index of `in0`.
    pub in0: u32,
    /// The index of `out0`.
    pub out0: u32,
    /// Reads tables.
    pub socket: Socket,
}

/// The harness's own table.
pub fn harness() -> TableId {
    TableId::inet("harness")
}

fn index(name: &str) -> u32 {
    let name = std::ffi::CString::new(name).unwrap();
    // SAFETY: the name is a C string that outlives the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

fn open(family: i32, protocol: i32) -> OwnedFd {
    // SAFETY: a fresh descriptor, checked, and owned from here on.
    unsafe {
        let fd = libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(fd)
    }
}

fn set(fd: &OwnedFd, level: i32, option: i32, value: u32) {
    // SAFETY: the pointer and length describe `value`.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), 4) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn send_to<T>(fd: &OwnedFd, bytes: &[u8], address: &T) {
    // SAFETY: both pointers are described by their lengths; `T` is the family's own address type.
    let sent = unsafe {
        let address = (address as *const T).cast();
        libc::sendto(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0, address, size_of::<T>() as u32)
    };
    // A packet dropped on the way out is reported as such.
    let denied = sent < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
    assert!(denied || sent == bytes.len() as isize, "{}", std::io::Error::last_os_error());
}

impl Link {
    /// Sets the network up in the calling thread's namespace.
    pub fn new() -> Self {
        let script = "link add in0 address 02:00:00:00:00:01 type veth peer name in1 address 02:00:00:00:00:02
            link add out0 address 02:00:00:00:00:03 type veth peer name out1 address 02:00:00:00:00:04
            link set in0 addrgenmode none up
            link set in1 addrgenmode none up
            link set out0 addrgenmode none up
            link set out1 addrgenmode none up
            addr add 10.1.0.1/24 dev in0
            addr add 10.2.0.1/24 dev out0
            addr add fd01::1/64 dev in0 nodad
            addr add fd02::1/64 dev out0 nodad";
        script.lines().for_each(|line| drop(run("ip", &line.split_whitespace().collect::<Vec<_>>())));
        for last in 2..8 {
            for net in ["10.2.0.", "fd02::"] {
                let address = format!("{net}{last}");
                run(
                    "ip",
                    &["neigh", "add", &address, "lladdr", "02:00:00:00:00:99", "dev", "out0", "nud", "permanent"],
                );
            }
        }
        for (setting, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/in0/rp_filter", "0"),
        ] {
            std::fs::write(format!("/proc/sys/net/{setting}"), value).unwrap();
        }
        let mut socket = Socket::open().unwrap();
        harness_program().commit(&mut socket).unwrap();
        let (raw4, raw6) = (open(libc::AF_INET, libc::IPPROTO_RAW), open(libc::AF_INET6, libc::IPPROTO_RAW));
        set(&raw4, libc::SOL_SOCKET, libc::SO_MARK, SENT_MARK);
        set(&raw6, libc::SOL_SOCKET, libc::SO_MARK, SENT_MARK);
        set(&raw6, libc::SOL_IPV6, libc::IPV6_HDRINCL, 1);
        let frames = open(libc::AF_PACKET, 0);
        Self { frames, raw4, raw6, in1: index("in1"), last_seen: 0, in0: index("in0"), out0: index("out0"), socket }
    }

    /// Has a packet arrive at `in0`.
    pub fn arrive(&self, packet: &[u8]) {
        let kind: [u8; 2] = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
        let frame = [&IN0[..], &IN1, &kind, packet].concat();
        // SAFETY: all fields of this plain structure may be zero.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = self.in1 as i32;
        send_to(&self.frames, &frame, &address);
    }

    /// Sends a packet from the host.
    pub fn leave(&self, packet: &[u8]) {
        if packet[0] >> 4 == 4 {
            // SAFETY: all fields of this plain structure may be zero.
            let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            address.sin_family = libc::AF_INET as u16;
            address.sin_addr.s_addr = u32::from_ne_bytes(packet[16..20].try_into().unwrap());
            send_to(&self.raw4, packet, &address);
        } else {
            // SAFETY: all fields of this plain structure may be zero.
            let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            address.sin6_family = libc::AF_INET6 as u16;
            address.sin6_addr.s6_addr = packet[24..40].try_into().unwrap();
            send_to(&self.raw6, packet, &address);
        }
    }

    /// Returns when everything sent so far has gone its way.
    pub fn settle(&mut self) {
        let mut last = vec![0x45, 0, 0, 20, 0, 1, 0, 0, 64, LAST, 0, 0, 10, 1, 0, 9, 10, 1, 0, 1];
        let sum: u32 = last.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        last[10..12].copy_from_slice(&sum.to_be_bytes());
        self.arrive(&last);
        self.last_seen += 1;
        wait_for("the last packet", || (self.seen("last") >= self.last_seen).then_some(()));
    }

    /// How often a rule of the harness, by its comment, has counted.
    pub fn seen(&mut self, comment: &str) -> u64 {
        counted(&mut self.socket, &harness(), comment)
    }
}

fn harness_program() -> tortie_nft::Batch {
    let first = |hook| BaseChain::filter(hook, -1000);
    let behind = |hook| BaseChain::filter(hook, 1000);
    let chains = [
        Chain::base("last", first(Hook::Prerouting)),
        Chain::base("noise", first(Hook::Output)),
        Chain::base("input", behind(Hook::Input)),
        Chain::base("forward", behind(Hook::Forward)),
        Chain::base("postrouting", behind(Hook::Postrouting)),
    ];
    let count = || Expr::from(Counter::default());
    let is = |key, value: Vec<u8>| [Meta::get(key, Reg::R1).into(), Cmp::eq(Reg::R1, value).into()];
    let last = is(MetaKey::L4Proto, vec![LAST]).into_iter().chain([count(), Verdict::Drop.into()]);
    let noise = [
        Meta::get(MetaKey::Mark, Reg::R1).into(),
        Cmp::ne(Reg::R1, SENT_MARK.to_ne_bytes()).into(),
        Verdict::Drop.into(),
    ];
    let mut rules = vec![Rule::new("last", last).comment("last"), Rule::new("noise", noise)];
    rules.extend(["input", "forward", "postrouting"].map(|chain| Rule::new(chain, [count()]).comment(chain)));
    program(&harness(), &chains, &rules)
}
