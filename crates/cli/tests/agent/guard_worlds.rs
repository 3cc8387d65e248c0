//! The lock-out guard over random worlds and changes, against the kernel: it refuses a change exactly if a real new connection that
//! was opened before the change is not opened after it.
//!
//! One machine with two interfaces to neighbours, a workload, real listeners and a real sshd. Each case changes up to three objects,
//! asks the guard for some clients and ports, writes the change with `--allow-lockout`, and opens the connections. In every fourth
//! case the change is also made over SSH, so that the guard finds the client by itself.
//!
//! A denial is proven without waiting for a time-out: packets between namespaces and those of loopback wait in one queue of their
//! processor, so a datagram that the same processor sends afterwards arrives after them ([`settle`]).
//!
//! `TORTIE_GUARD_CASES` says how many cases (40; `make soak` 1,000), `TORTIE_SEED` which.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tortie_random::Random;

use super::real_ssh::Ssh;
use super::workloads::{ENDPOINT, pod};
use super::world::{Elsewhere, World, deadline, on_a_machine, run};

/// What listens on the machine. 22 is a failsafe unless the settings say otherwise.
const PORTS: [u16; 3] = [22, 81, 2222];
/// Where sshd listens.
const SSHD: u16 = 2222;
/// Only the machine itself connects to it: of a client that is this machine the guard also judges who else is connected to its port.
const OWN: u16 = 8888;
/// Source ports are taken from both ends of the system's range; a condition on them divides it here.
const CUT: u16 = 46000;

/// From where a connection is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Neighbour,
    Second,
    Pod,
    Machine,
}

/// From where, which address has the client, and to which it connects.
const CLIENTS: [(From, &str, &str); 10] = [
    (From::Neighbour, "192.0.2.99", "192.0.2.11"),
    (From::Neighbour, "192.0.2.70", "192.0.2.11"),
    (From::Neighbour, "203.0.113.7", "192.0.2.11"),
    (From::Neighbour, "192.0.2.99", "198.51.100.11"),
    (From::Neighbour, "2001:db8::99", "2001:db8::11"),
    (From::Neighbour, "2001:db8:5::7", "2001:db8::11"),
    (From::Second, "198.51.100.99", "198.51.100.11"),
    (From::Pod, "10.65.0.2", "192.0.2.11"),
    (From::Machine, "192.0.2.11", "192.0.2.11"),
    (From::Machine, "127.0.0.1", "127.0.0.1"),
];

/// One question to the guard.
#[derive(Clone, Copy, Debug)]
struct Question {
    from: From,
    client: IpAddr,
    server: IpAddr,
    port: u16,
}

impl Question {
    fn random(random: &mut Random) -> Self {
        let (from, client, server) = *random.pick(&CLIENTS);
        let port = if from == From::Machine { OWN } else { *random.pick(&PORTS) };
        Self { from, client: client.parse().unwrap(), server: server.parse().unwrap(), port }
    }

    /// What sshd would tell a command of this session.
    fn session(&self) -> String {
        format!("{} 50000 {} {}", self.client, self.server, self.port)
    }
}

/// The machine, and who connects to it.
struct Machine<'a> {
    world: &'a World,
    second: Elsewhere,
    pod: Elsewhere,
    listeners: Vec<(u16, TcpListener)>,
    /// How many connections were tried. None has the source port of another.
    tried: u16,
}

/// Keeps this thread on one processor, which is the same for all threads.
fn pin() {
    let allowed = sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).unwrap();
}

/// Waits until this processor has processed every packet that it sent before, and those that were sent in answer to them: a
/// datagram over loopback is behind them in its queue. An answer and the answer to that are behind the first and the second one.
fn settle() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(deadline())).unwrap();
    for _ in 0..4 {
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        socket.recv(&mut [0; 8]).unwrap();
    }
}

/// Sends the first packet of a connection.
fn begin(from: SocketAddr, to: SocketAddr) -> OwnedFd {
    pin();
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None).unwrap();
    bind(&socket, &from).unwrap();
    // It is in progress, or has failed, which its state tells.
    let _ = connect(&socket, &to);
    socket
}

/// The connection, if it was opened.
fn opened(socket: OwnedFd) -> Option<TcpStream> {
    let is_without_error = matches!(sockopt::socket_error(&socket), Ok(Ok(())));
    let stream = TcpStream::from(socket);
    (is_without_error && stream.peer_addr().is_ok()).then_some(stream)
}

impl Machine<'_> {
    /// Does something where a client is, on the processor that all share.
    fn at<T: Send + 'static>(&self, from: From, what: impl FnOnce() -> T + Send + 'static) -> T {
        let what = || {
            pin();
            what()
        };
        match from {
            From::Neighbour => self.world.outside(what),
            From::Second => self.second.run(what),
            From::Pod => self.pod.run(what),
            // In a thread of its own: this one starts programs, which may run anywhere.
            From::Machine => std::thread::spawn(what).join().unwrap(),
        }
    }

    /// Whether a connection is opened from each end of the range of source ports.
    fn opens(&mut self, question: &Question) -> [bool; 2] {
        self.tried = (self.tried + 1) % 12_000;
        [32768 + self.tried, 60999 - self.tried].map(|port| self.opens_from(question, port))
    }

    fn opens_from(&self, question: &Question, source: u16) -> bool {
        let from = SocketAddr::new(question.client, source);
        let to = SocketAddr::new(question.server, question.port);
        let socket = self.at(question.from, move || begin(from, to));
        // The neighbour has no rules.
        self.world.outside(|| {
            pin();
            settle();
        });
        let Some(mut stream) = opened(socket) else { return false };
        if question.port == SSHD {
            // Its greeting comes from another process.
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(deadline())).unwrap();
            let mut greeting = [0; 4];
            return stream.read_exact(&mut greeting).is_ok() && &greeting == b"SSH-";
        }
        // The server sees it as open too, and what it sends arrives.
        let listener = self.listeners.iter().find(|(port, _)| *port == question.port).unwrap().1.try_clone().unwrap();
        let accepted = self.at(From::Machine, move || {
            let accepted = std::iter::from_fn(|| listener.accept().ok());
            let mut accepted =
                accepted.filter(|(_, peer)| peer.port() == source && peer.ip().to_canonical() == from.ip());
            let (mut stream, _) = accepted.next()?;
            stream.write_all(b"x").ok()?;
            Some(stream)
        });
        self.world.outside(settle);
        accepted.is_some() && stream.read_exact(&mut [0]).is_ok()
    }
}

/// Interfaces, addresses, neighbours, a workload and listeners.
fn machine(world: &World) -> Machine<'_> {
    let second = Elsewhere::behind("eth1", "out");
    let ip = |lines: &[&str]| lines.iter().for_each(|line| drop(run("ip", &line.split(' ').collect::<Vec<_>>())));
    // Otherwise a neighbour of one interface could come in by the other one, and the guard refuses what denies it there.
    for name in ["all", "eth0", "eth1"] {
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "1").unwrap();
    }
    ip(&[
        "addr add 198.51.100.11/24 dev eth1",
        "link set eth1 up",
        "addr add 2001:db8::11/64 dev eth0 nodad",
        "-6 route add default via 2001:db8::99",
    ]);
    second.run(move || {
        ip(&["addr add 198.51.100.99/24 dev out", "link set out up", "route add default via 198.51.100.11"]);
    });
    world.outside(move || {
        ip(&[
            "addr add 192.0.2.70/24 dev out",
            "addr add 203.0.113.7/32 dev lo",
            "addr add 2001:db8::99/64 dev out nodad",
            "addr add 2001:db8:5::7/128 dev lo nodad",
            "route add 198.51.100.0/24 via 192.0.2.11",
        ]);
    });
    let (pod, _) = pod(world);
    let listeners = PORTS.into_iter().filter(|port| *port != SSHD).chain([OWN]).map(|port| {
        let listener = TcpListener::bind(("::", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        (port, listener)
    });
    Machine { world, second, pod, listeners: listeners.collect(), tried: 0 }
}

/// The objects that a world may have.
const OBJECTS: [(&str, &str); 21] = [
    ("HostEndpoint", "e0"),
    ("HostEndpoint", "e1"),
    ("HostEndpoint", "e2"),
    ("WorkloadEndpoint", "web1-cni-web-eth0"),
    ("GlobalNetworkPolicy", "g0"),
    ("GlobalNetworkPolicy", "g1"),
    ("GlobalNetworkPolicy", "g2"),
    ("GlobalNetworkPolicy", "t1.g"),
    ("GlobalNetworkPolicy", "t1.h"),
    ("GlobalNetworkPolicy", "t2.g"),
    ("GlobalNetworkPolicy", "raw"),
    ("GlobalNetworkPolicy", "raw"),
    ("GlobalNetworkPolicy", "early"),
    ("NetworkPolicy", "n0"),
    ("StagedGlobalNetworkPolicy", "s0"),
    ("Tier", "t1"),
    ("Tier", "t2"),
    ("Profile", "p0"),
    ("Profile", "p1"),
    ("GlobalNetworkSet", "set"),
    ("FelixConfiguration", "default"),
];

/// An object with random content.
fn manifest(random: &mut Random, kind: &str, name: &str) -> String {
    if kind == "WorkloadEndpoint" {
        let profiles = random.pick(&["[]", "[p0]", "[p0, p1]"]);
        return format!("{}  profiles: {profiles}\n", ENDPOINT.trim_end().trim_end_matches("---"));
    }
    let mut labels = String::new();
    let mut namespace = "";
    let spec = match kind {
        "HostEndpoint" => {
            labels = format!(", labels: {{{}: x}}", random.pick(&["a", "b", "c"]));
            let governs = random.pick(&[
                "interfaceName: eth0",
                "interfaceName: eth0",
                "interfaceName: eth0",
                "interfaceName: eth1",
                "interfaceName: lo",
                "interfaceName: '*'",
                "interfaceName: '*'",
                "interfaceName: '*'",
                "expectedIPs: [192.0.2.11]",
                "expectedIPs: ['2001:db8::11', 198.51.100.11]",
                "interfaceName: eth0, expectedIPs: [192.0.2.11]",
            ]);
            let node = if random.once_in(10) { "web2" } else { "web1" };
            let profiles = random.pick(&["[]", "[]", "[p0]", "[p1, p0]"]);
            format!("node: {node}, {governs}, profiles: {profiles}")
        }
        "Tier" => format!("order: {}, defaultAction: {}", random.below(100), random.pick(&["Deny", "Pass"])),
        "Profile" => format!("ingress: {}, egress: {}", rules(random, 2), rules(random, 2)),
        "GlobalNetworkSet" => {
            labels = format!(", labels: {{set: {}}}", random.pick(&["x", "y"]));
            format!("nets: {}", random.pick(&["[192.0.2.64/26]", "[192.0.2.99/32, '2001:db8::/64']", "['::/0']", "[]"]))
        }
        "FelixConfiguration" => {
            let ports = [
                "[]",
                "[{protocol: TCP, port: 2222}]",
                "[{protocol: TCP, port: 81, net: 192.0.2.64/26}]",
                "[{protocol: TCP, port: 22}, {protocol: UDP, port: 81}]",
                "[{protocol: TCP, port: 81, net: '2001:db8::/64'}]",
            ];
            let mut spec = format!("defaultEndpointToHostAction: {}", random.pick(&["Drop", "Accept", "Return"]));
            for field in ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"] {
                if random.once_in(2) {
                    write!(spec, ", {field}: {}", random.pick(&ports)).unwrap();
                }
            }
            spec
        }
        _ => {
            let mut spec = String::new();
            if kind == "NetworkPolicy" {
                namespace = ", namespace: shop";
            }
            if let Some((tier, _)) = name.split_once('.') {
                write!(spec, "tier: {tier}, ").unwrap();
            }
            let stage = match name {
                "raw" => "doNotTrack: true, applyOnForward: true, ",
                "early" => "preDNAT: true, applyOnForward: true, ",
                _ if kind == "NetworkPolicy" => "",
                _ if random.once_in(12) => "doNotTrack: true, applyOnForward: true, ",
                _ if random.once_in(8) => "applyOnForward: true, ",
                _ => "",
            };
            let selector = random.pick(&["all()", "all()", "has(a)", "has(b)", "!has(a)", "app == 'web'"]);
            write!(spec, "{stage}selector: \"{selector}\"").unwrap();
            if random.once_in(2) {
                write!(spec, ", order: {}", random.below(10)).unwrap();
            }
            // The answers to what this lets in untracked are let out by nothing.
            if name == "raw" && random.once_in(2) {
                spec += ", types: [Ingress], ingress: [{action: Allow}]";
                return format!(
                    "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
                );
            }
            let is_inward = stage.starts_with("preDNAT") || random.once_in(2);
            let types = if is_inward { &["[Ingress]"] } else { &["[Ingress, Egress]"] };
            let types = if !is_inward && random.once_in(3) { "[Egress]" } else { types[0] };
            write!(spec, ", types: {types}").unwrap();
            for (direction, field) in [("Ingress", "ingress"), ("Egress", "egress")] {
                if types.contains(direction) {
                    write!(spec, ", {field}: {}", rules(random, 3)).unwrap();
                }
            }
            spec
        }
    };
    format!(
        "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}{namespace}{labels}}}\nspec: {{{spec}}}\n"
    )
}

/// Some rules, as a flow sequence.
fn rules(random: &mut Random, most: usize) -> String {
    let rules: Vec<String> = (0..random.below(most + 1)).map(|_| rule(random)).collect();
    format!("[{}]", rules.join(", "))
}

fn rule(random: &mut Random) -> String {
    let mut rule = format!("{{action: {}", random.pick(&["Allow", "Allow", "Allow", "Deny", "Pass", "Log"]));
    let has_ports = random.chance(70);
    if has_ports {
        rule += *random.pick(&[
            ", protocol: TCP",
            ", protocol: TCP",
            ", protocol: TCP",
            ", protocol: UDP",
            ", protocol: 6",
        ]);
    } else if random.once_in(4) {
        rule += *random.pick(&[", notProtocol: UDP", ", notProtocol: TCP", ", protocol: ICMP"]);
    }
    let is_v4 = random.chance(70);
    if random.once_in(8) {
        write!(rule, ", ipVersion: {}", if is_v4 { 4 } else { 6 }).unwrap();
    }
    let nets: &[&str] = match is_v4 {
        true => &[
            "[192.0.2.64/26]",
            "[192.0.2.99/32, 203.0.113.0/24]",
            "[192.0.2.11/32]",
            "[10.65.0.0/16]",
            "[127.0.0.0/8]",
            "[0.0.0.0/0]",
        ],
        false => &["['2001:db8::/64']", "['2001:db8::99/128']", "['2001:db8:5::/48']", "['::/0']"],
    };
    for side in ["source", "destination"] {
        let mut entity: Vec<String> = Vec::new();
        if random.once_in(4) {
            let field = if random.once_in(3) { "notNets" } else { "nets" };
            entity.push(format!("{field}: {}", random.pick(nets)));
        }
        if random.once_in(8) {
            entity.push(format!("selector: \"{}\"", random.pick(&["set == 'x'", "has(set)", "has(a)", "set != 'x'"])));
        }
        if has_ports && random.once_in(2) {
            let upper = format!("['{}:65535']", CUT + 1);
            let lower = format!("['1:{CUT}']");
            let ports =
                random.pick(&["[22]", "[81, 2222]", "[2222]", "['20:90']", "[8888, 22]", &lower, &upper]).to_string();
            let field = if random.once_in(4) { "notPorts" } else { "ports" };
            entity.push(format!("{field}: {ports}"));
        }
        if !entity.is_empty() {
            write!(rule, ", {side}: {{{}}}", entity.join(", ")).unwrap();
        }
    }
    rule + "}"
}

/// What is changed together: objects that are written, or objects that are deleted.
struct Change {
    verb: &'static str,
    objects: Vec<(&'static str, &'static str)>,
    manifests: String,
}

impl Change {
    fn random(random: &mut Random, present: &BTreeSet<(&'static str, &'static str)>) -> Self {
        let present: Vec<_> = present.iter().copied().collect();
        let deletes = present.len() > 6 && random.once_in(3);
        let mut objects: Vec<(&str, &str)> = Vec::new();
        for _ in 0..1 + random.below(3) {
            let one = match deletes {
                true => *random.pick(&present),
                // Most are host endpoints and policies.
                false => match random.below(10) {
                    0..=3 => OBJECTS[random.below(3)],
                    4..=7 => OBJECTS[4 + random.below(9)],
                    _ => *random.pick(&OBJECTS),
                },
            };
            if !objects.contains(&one) {
                objects.push(one);
            }
        }
        let manifests: Vec<String> = objects.iter().map(|(kind, name)| manifest(random, kind, name)).collect();
        Self { verb: if deletes { "delete" } else { "apply" }, objects, manifests: manifests.join("---\n") }
    }
}

/// What was found in so many cases.
#[derive(Debug, Default)]
struct Found {
    /// The answers of the guard that were wrong.
    wrong: Vec<String>,
    lost: usize,
    kept: usize,
    closed_before: usize,
    /// Of the above, answers to a command that was started over SSH: lost, kept.
    over_ssh: [usize; 2],
    /// Changes that are errors, such as deleting a tier that has policies.
    errors: usize,
}

/// The walk of a machine through worlds.
struct Walk<'a> {
    machine: Machine<'a>,
    ssh: Ssh,
    random: Random,
    /// The objects that exist.
    present: BTreeSet<(&'static str, &'static str)>,
    /// One of `testkit::faults` that the guard has.
    fault: Option<&'static str>,
    found: Found,
}

/// What a command answers: its exit status and its messages.
type Answer = (Option<i32>, String);

impl Walk<'_> {
    /// The questions of a case, most about connections that are opened now, with the ends of the range from which they are.
    fn questions(&mut self, is_over_ssh: bool) -> Vec<(Question, [bool; 2])> {
        let mut asked = Vec::new();
        if is_over_ssh {
            // The session that the command comes from.
            let (from, client, server) = CLIENTS[0];
            let one = Question { from, client: client.parse().unwrap(), server: server.parse().unwrap(), port: SSHD };
            asked.push((one, self.machine.opens(&one)));
        }
        let (mut closed, mut tries) = (0, 0);
        while asked.len() < 3 {
            let one = Question::random(&mut self.random);
            let opens = self.machine.opens(&one);
            tries += 1;
            closed += usize::from(opens == [false, false]);
            // A workload whose endpoint does not exist has no route, so no session comes from it.
            if opens != [false, false] || one.from != From::Pod && (tries > 20 || self.random.once_in(8)) {
                asked.push((one, opens));
            }
        }
        if closed * 2 > tries {
            // In a world that denies nearly everything, no change denies more.
            let endpoints: Vec<_> = self.present.iter().copied().filter(|(kind, _)| *kind == "HostEndpoint").collect();
            for (kind, name) in endpoints {
                self.machine.world.call(&["delete", kind, name]);
                self.present.remove(&(kind, name));
            }
            self.machine.world.call(&["status", "--wait"]);
            return self.questions(is_over_ssh);
        }
        asked
    }

    /// Starts the command for a session.
    fn begin(&self, question: &Question, arguments: &[&str]) -> std::process::Child {
        let mut call = self.machine.world.tortie();
        call.env("SSH_CONNECTION", question.session()).envs(self.fault.map(|fault| ("TORTIE_FAULTS", fault)));
        call.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn call(&self, question: &Question, arguments: &[&str]) -> Answer {
        ended(self.begin(question, arguments))
    }

    fn case(&mut self, case: usize) {
        let world = self.machine.world;
        let is_over_ssh = case % 4 == 3 && self.fault.is_none();
        let asked = self.questions(is_over_ssh);
        let Change { verb, objects, manifests } = Change::random(&mut self.random, &self.present);
        let file = world.file("change.yaml", &manifests);
        let arguments = [verb, "-f", file.to_str().unwrap()];
        let dry: Vec<_> = asked[1..]
            .iter()
            .map(|(question, _)| self.begin(question, &[&arguments[..], &["--dry-run"]].concat()))
            .collect();
        let mut answers: Vec<Answer> = dry.into_iter().map(ended).collect();
        let (own, opens) = &asked[0];
        let is_over_ssh = is_over_ssh && *opens == [true, true];
        // It is written, unless it is refused.
        let answer = match is_over_ssh {
            true => self.ssh.call(world, &[], &arguments.join(" ")),
            false => self.call(own, &arguments),
        };
        if answer.0 == Some(1) {
            self.found.errors += 1;
            return;
        }
        if answer.0 != Some(0) {
            let (code, said) = self.call(own, &[&arguments[..], &["--allow-lockout"]].concat());
            assert_eq!(code, Some(0), "{said}");
        }
        answers.insert(0, answer);
        for object in objects {
            if verb == "delete" {
                self.present.remove(&object);
            } else {
                self.present.insert(object);
            }
        }
        world.call(&["status", "--wait"]);
        for (at, ((question, before), (code, said))) in asked.iter().zip(answers).enumerate() {
            let after = self.machine.opens(question);
            let is_lost = (0..2).any(|end| before[end] && !after[end]);
            match (is_lost, before) {
                (true, _) => self.found.lost += 1,
                (false, [false, false]) => self.found.closed_before += 1,
                _ => self.found.kept += 1,
            }
            if is_over_ssh && at == 0 {
                self.found.over_ssh[usize::from(!is_lost)] += 1;
            }
            if code != Some(if is_lost { 2 } else { 0 }) {
                self.found.wrong.push(format!(
                    "case {case}: {question:?} opened before {before:?}, after {after:?}; the guard: {code:?} {said}\n{verb}\n{manifests}"
                ));
            }
        }
    }
}

fn ended(child: Child) -> Answer {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Compares the guard's answers with new connections, until an answer is wrong.
fn compare(world: &World, cases: u64, fault: Option<&'static str>) -> Found {
    let machine = machine(world);
    let _agent = world.agent();
    world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
    let tiers = ["t1", "t2"].map(|name| manifest(&mut Random::new(0), "Tier", name));
    world.apply(&tiers.join("---\n"));
    let mut walk = Walk {
        machine,
        ssh: Ssh::start(world),
        random: Random::new(number("TORTIE_SEED", 19)),
        present: BTreeSet::from([("Tier", "t1"), ("Tier", "t2")]),
        fault,
        found: Found::default(),
    };
    for case in 0..cases as usize {
        walk.case(case);
        if !walk.found.wrong.is_empty() {
            break;
        }
    }
    walk.found
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn the_guard_refuses_exactly_what_denies_a_real_new_connection_in_random_worlds() {
    on_a_machine(|world| {
        let cases = number("TORTIE_GUARD_CASES", 40);
        let found = compare(world, cases, None);
        assert!(found.wrong.is_empty(), "{}", found.wrong.join("\n\n"));
        let Found { lost, kept, over_ssh, .. } = found;
        assert!(lost as u64 * 20 >= cases && kept as u64 >= cases, "{lost} lost, {kept} kept, over SSH {over_ssh:?}");
    });
}

#[cfg(feature = "faults")]
#[test]
fn every_fault_is_caught() {
    for fault in
        ["lock-out-without-replies", "lock-out-of-loopback-unseen", "lock-out-after-only", "lock-out-route-ignored"]
    {
        on_a_machine(|world| {
            let found = compare(world, 200, Some(fault));
            assert!(!found.wrong.is_empty(), "{fault} is not caught: {found:?}");
            eprintln!("{fault}: caught after {} answers", found.lost + found.kept + found.closed_before);
        });
    }
}
