//! The manifests for a machine, as text with comments that say why each rule is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tortie_hostnet::{Connection, SocketProtocol};

/// Servers of one port that are named one by one; with more the port is allowed to everyone.
const MAX_NAMED: usize = 20;
/// What the baseline lets in and out whatever is in use.
const BASE_IN: [(SocketProtocol, u16); 3] =
    [(SocketProtocol::Tcp, 22), (SocketProtocol::Udp, 68), (SocketProtocol::Udp, 546)];
const BASE_OUT: [(SocketProtocol, u16); 7] = [
    (SocketProtocol::Tcp, 53),
    (SocketProtocol::Udp, 53),
    (SocketProtocol::Udp, 67),
    (SocketProtocol::Udp, 547),
    (SocketProtocol::Udp, 123),
    (SocketProtocol::Tcp, 80),
    (SocketProtocol::Tcp, 443),
];

/// What is in use on a machine.
pub(super) struct InUse {
    /// The name of the node.
    pub(super) node: String,
    /// The interface of the endpoint.
    pub(super) interface: String,
    /// Its addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// All addresses of the machine.
    pub(super) own: BTreeSet<IpAddr>,
    /// The port of the SSH session that this runs in.
    pub(super) ssh: Option<u16>,
    /// Sockets that wait for whoever comes.
    pub(super) listening: BTreeSet<(SocketProtocol, SocketAddr)>,
    /// Servers that the machine talks to by the interface.
    pub(super) began: BTreeSet<(SocketProtocol, u16, IpAddr)>,
    /// Ports of the machine that somebody talks to by the interface.
    pub(super) answered: BTreeSet<(SocketProtocol, u16)>,
    /// The ports that sockets of clients get.
    pub(super) client_ports: RangeInclusive<u16>,
}

/// Whether an address is only of one link.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

impl InUse {
    /// Takes in a connection of a socket.
    pub(super) fn take(&mut self, one: Connection) {
        let Connection { protocol, from, to } = one;
        if self.own.contains(&from.ip()) && self.own.contains(&to.ip()) {
            return;
        }
        let is_client = |port| self.client_ports.contains(&port);
        if self.addresses.contains(&to.ip()) {
            self.answered.insert((protocol, to.port()));
        } else if self.addresses.contains(&from.ip()) {
            // Its listening socket is gone: whoever has the port of a client began.
            if is_client(to.port()) && !is_client(from.port()) {
                self.answered.insert((protocol, from.port()));
            } else {
                self.began.insert((protocol, to.port(), to.ip()));
            }
        }
    }

    /// Takes in a connection that the kernel tracks. Only what the machine began: of the others not each was answered.
    pub(super) fn take_tracked(&mut self, protocol: SocketProtocol, from: SocketAddr, to: SocketAddr) {
        let is_own = self.addresses.contains(&from.ip()) && !self.own.contains(&to.ip());
        if is_own && self.client_ports.contains(&from.port()) {
            self.began.insert((protocol, to.port(), to.ip()));
        }
    }

    /// The tier, the policy and the endpoint.
    pub(super) fn manifests(&self) -> String {
        let Self { node, interface, .. } = self;
        let policy = object_name(node);
        let mut text = format!(
            "# A first policy for {node}, from what was in use when it was printed. Read it and edit it, then apply it:
#
#   tortie apply -f FILE --dry-run      # what it means: the packets that will be denied
#   tortie apply -f FILE --confirm      # put back after two minutes unless `tortie confirm` comes
#
# From then on what no rule allows is denied on {interface}, in both directions. Connections that are open go on. Packets
# that this machine only forwards are not judged.

# What the tier does not allow goes on to the tiers after it, so that policies of the tier default can allow more. What none
# allows is denied.
apiVersion: projectcalico.org/v3
kind: Tier
metadata:
  name: host-baseline
spec:
  order: 100
  defaultAction: Pass
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: {policy}-baseline
spec:
  tier: host-baseline
  order: 100
  selector: machine == '{node}'
  types: [Ingress, Egress]
  ingress:
"
        );
        self.both(&mut text, "in");
        text += "  # Answers of DHCP servers.\n";
        rule(&mut text, "UDP", &[], &[68, 546]);
        let mut ssh = vec![22];
        let session = self.ssh.filter(|port| *port != 22);
        ssh.extend(session);
        let _ = writeln!(
            text,
            "  # SSH{}. To allow it from your own nets only, add `source: {{nets: [...]}}` here and these nets to failsafeInboundHostPorts of
  # FelixConfiguration: by default failsafes allow tcp/22 from everywhere before this rule.",
            if self.ssh.is_some() { ", also this session" } else { "" }
        );
        rule(&mut text, "TCP", &[], &ssh);
        self.served(&mut text, session);
        text += "  egress:\n";
        self.both(&mut text, "out");
        text += "  # DHCP.\n";
        rule(&mut text, "UDP", &[], &[67, 547]);
        text += "  # DNS. To allow your own resolvers only, add `destination: {nets: [...]}` here and these nets to failsafeOutboundHostPorts of
  # FelixConfiguration: by default failsafes allow udp/53 to everywhere before this rule.\n";
        rule(&mut text, "UDP", &[], &[53]);
        rule(&mut text, "TCP", &[], &[53]);
        text += "  # NTP: the time.\n";
        rule(&mut text, "UDP", &[], &[123]);
        text += "  # Downloads of packages, by HTTP and HTTPS.\n";
        rule(&mut text, "TCP", &[], &[80, 443]);
        self.asked(&mut text);
        let _ = write!(
            text,
            "---
# Only {interface}. Other interfaces stay open until they have endpoints of their own.
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata:
  name: {}
  labels:
    machine: '{node}'
spec:
  node: '{node}'
  interfaceName: {}
",
            object_name(&format!("{node}-{interface}")),
            quoted(interface)
        );
        let lasting: Vec<&IpAddr> = self.addresses.iter().filter(|one| !is_link_local(**one)).collect();
        let named = if lasting.is_empty() { self.addresses.iter().collect() } else { lasting };
        if !named.is_empty() {
            text += "  # Where rules of other machines select this one by its label, they mean these addresses.\n";
            text += "  expectedIPs:\n";
            for address in named {
                let _ = writeln!(text, "  - {}", quoted(&address.to_string()));
            }
        }
        text
    }

    /// What goes in and out alike.
    fn both(&self, text: &mut String, way: &str) {
        let _ =
            writeln!(text, "  # The machine with itself. It matters only once an endpoint governs loopback too (`*`).");
        for is_ipv6 in [false, true] {
            let loopback = if is_ipv6 { "::1/128" } else { "127.0.0.0/8" };
            let own =
                self.own.iter().filter(|one| one.is_ipv6() == is_ipv6 && !one.is_loopback() && !is_link_local(**one));
            let length = if is_ipv6 { 128 } else { 32 };
            let mut nets = vec![loopback.to_owned()];
            nets.extend(own.map(|one| format!("{one}/{length}")));
            let nets = list(nets.iter().map(|net| format!("'{net}'")));
            let _ = writeln!(
                text,
                "  - action: Allow\n    source:\n      nets: {nets}\n    destination:\n      nets: {nets}"
            );
        }
        let _ = match way {
            "in" => writeln!(text, "  # ICMP: errors, the size of packets, ping, and for IPv6 the neighbours."),
            _ => writeln!(text, "  # ICMP."),
        };
        rule(text, "ICMP", &[], &[]);
        rule(text, "ICMPv6", &[], &[]);
    }

    /// Ports that are in use here.
    fn served(&self, text: &mut String, session: Option<u16>) {
        let mut ports: BTreeMap<(SocketProtocol, u16), BTreeSet<String>> = BTreeMap::new();
        let mut of_clients = BTreeSet::new();
        let reached = |address: IpAddr| {
            address.is_unspecified()
                || address.is_multicast()
                || self.addresses.contains(&address)
                || is_broadcast(address)
        };
        for (protocol, local) in self.listening.iter().filter(|(_, local)| reached(local.ip())) {
            if *protocol == SocketProtocol::Udp && self.client_ports.contains(&local.port()) {
                of_clients.insert(local.port());
                continue;
            }
            let at = if local.ip().is_unspecified() { "all addresses".to_owned() } else { local.ip().to_string() };
            ports.entry((*protocol, local.port())).or_default().insert(at);
        }
        for one in &self.answered {
            ports.entry(*one).or_default();
        }
        let is_base = |(protocol, port): &(SocketProtocol, u16)| {
            BASE_IN.contains(&(*protocol, *port)) || *protocol == SocketProtocol::Tcp && session == Some(*port)
        };
        ports.retain(|port, _| !is_base(port));
        for ((protocol, port), at) in ports {
            let used = if self.answered.contains(&(protocol, port)) { ", and somebody is connected" } else { "" };
            let at: Vec<String> = at.into_iter().collect();
            let why = match at.is_empty() {
                true => "somebody is connected to it, and nothing listens".to_owned(),
                false => format!("a socket waits on it, at {}{used}", at.join(" and ")),
            };
            let _ = writeln!(text, "  # In use: {why}. From everyone; remove it or add `source` if that is too much.");
            rule(text, name(protocol), &[], &[port]);
        }
        if !of_clients.is_empty() {
            let ports: Vec<String> = of_clients.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                text,
                "  # Not allowed: UDP sockets on ports that clients get, whose answers come in anyway ({}).",
                ports.join(", ")
            );
        }
    }

    /// Servers that are in use.
    fn asked(&self, text: &mut String) {
        let mut servers: BTreeMap<(SocketProtocol, u16), Vec<IpAddr>> = BTreeMap::new();
        for (protocol, port, address) in &self.began {
            if !BASE_OUT.contains(&(*protocol, *port)) {
                servers.entry((*protocol, *port)).or_default().push(*address);
            }
        }
        for ((protocol, port), addresses) in servers {
            if addresses.len() > MAX_NAMED {
                let count = addresses.len();
                let _ = writeln!(text, "  # In use: connections to {count} servers, too many to name them.");
                rule(text, name(protocol), &[], &[port]);
                continue;
            }
            for is_ipv6 in [false, true] {
                let length = if is_ipv6 { 128 } else { 32 };
                let of = addresses.iter().filter(|one| one.is_ipv6() == is_ipv6);
                let nets: Vec<String> = of.map(|one| format!("{one}/{length}")).collect();
                if !nets.is_empty() {
                    let _ = writeln!(text, "  # In use: this machine is connected to it.");
                    rule(text, name(protocol), &nets, &[port]);
                }
            }
        }
    }
}

/// A rule that allows a protocol to these nets and ports; none of them is not a condition.
fn rule(text: &mut String, protocol: &str, nets: &[String], ports: &[u16]) {
    let _ = writeln!(text, "  - action: Allow\n    protocol: {protocol}");
    if !nets.is_empty() || !ports.is_empty() {
        *text += "    destination:\n";
    }
    if !nets.is_empty() {
        let _ = writeln!(text, "      nets: {}", list(nets.iter().map(|net| format!("'{net}'"))));
    }
    if !ports.is_empty() {
        let _ = writeln!(text, "      ports: {}", list(ports.iter().map(ToString::to_string)));
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A text that YAML takes for one, also where it looks like a number.
fn quoted(text: &str) -> String {
    format!("'{text}'")
}

fn name(protocol: SocketProtocol) -> &'static str {
    match protocol {
        SocketProtocol::Tcp => "TCP",
        SocketProtocol::Udp => "UDP",
    }
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(four) if four.octets()[3] == 255)
}

/// A name that an object of any kind may have: a policy's has at most one dot.
fn object_name(text: &str) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() { char } else { '-' };
    let text: String = text.to_ascii_lowercase().chars().map(plain).collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> InUse {
        let addresses: Vec<IpAddr> = ["192.0.2.11", "2001:db8::11", "fe80::1"].map(|one| one.parse().unwrap()).to_vec();
        let mut own: BTreeSet<IpAddr> = addresses.iter().copied().collect();
        own.extend(["127.0.0.1", "::1", "10.0.0.1"].map(|one| one.parse::<IpAddr>().unwrap()));
        InUse {
            node: "web1".to_owned(),
            interface: "eth0".to_owned(),
            addresses,
            own,
            ssh: Some(2222),
            listening: BTreeSet::new(),
            began: BTreeSet::new(),
            answered: BTreeSet::new(),
            client_ports: 32_768..=60_999,
        }
    }

    fn connection(protocol: SocketProtocol, from: &str, to: &str) -> Connection {
        Connection { protocol, from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    /// What follows each comment that begins with "In use", up to the next comment or list.
    fn in_use(text: &str) -> Vec<String> {
        let blocks = text.split("# In use").skip(1).map(|block| block.split('#').next().unwrap());
        let rule = |block: &str| {
            let lines = block.lines().skip(2).map(str::trim);
            lines.take_while(|line| !["", "egress:", "---"].contains(line)).collect::<Vec<_>>().join(" ")
        };
        blocks.map(rule).collect()
    }

    #[test]
    fn listening_sockets_and_connections_get_a_rule() {
        let mut machine = machine();
        for (protocol, socket) in [
            (SocketProtocol::Tcp, "0.0.0.0:22"),
            (SocketProtocol::Tcp, "[::]:2222"),
            (SocketProtocol::Tcp, "0.0.0.0:443"),
            (SocketProtocol::Tcp, "127.0.0.1:5432"),
            (SocketProtocol::Tcp, "10.0.0.1:6379"),
            (SocketProtocol::Udp, "0.0.0.0:68"),
            (SocketProtocol::Udp, "192.0.2.11:161"),
            (SocketProtocol::Udp, "0.0.0.0:40000"),
        ] {
            machine.listening.insert((protocol, socket.parse().unwrap()));
        }
        machine.take(connection(SocketProtocol::Tcp, "198.51.100.7:50000", "192.0.2.11:443"));
        // Nobody listens on it any more.
        machine.take(connection(SocketProtocol::Tcp, "192.0.2.11:8443", "198.51.100.7:50001"));
        machine.take(connection(SocketProtocol::Tcp, "192.0.2.11:50002", "198.51.100.9:5432"));
        machine.take(connection(SocketProtocol::Tcp, "192.0.2.11:50003", "[2001:db8::9]:443"));
        machine.take(connection(SocketProtocol::Tcp, "10.0.0.1:50004", "10.0.0.2:3306"));
        machine.take(connection(SocketProtocol::Tcp, "192.0.2.11:50004", "10.0.0.1:3306"));
        machine.take_tracked(
            SocketProtocol::Udp,
            "192.0.2.11:50005".parse().unwrap(),
            "198.51.100.9:514".parse().unwrap(),
        );
        machine.take_tracked(
            SocketProtocol::Udp,
            "192.0.2.11:161".parse().unwrap(),
            "198.51.100.9:515".parse().unwrap(),
        );
        let text = machine.manifests();
        assert_eq!(
            in_use(&text),
            [
                "protocol: TCP destination: ports: [443]",
                "protocol: TCP destination: ports: [8443]",
                "protocol: UDP destination: ports: [161]",
                "protocol: TCP destination: nets: ['198.51.100.9/32'] ports: [5432]",
                "protocol: UDP destination: nets: ['198.51.100.9/32'] ports: [514]",
            ],
            "{text}"
        );
        assert!(text.contains("ports: [22, 2222]") && text.contains("answers come in anyway (40000)"), "{text}");
    }

    #[test]
    fn the_printed_manifest_is_valid_and_has_no_warnings() {
        let mut machine = machine();
        machine.listening.insert((SocketProtocol::Tcp, "[::]:8080".parse().unwrap()));
        machine.take(connection(SocketProtocol::Tcp, "[2001:db8::11]:50002", "[2001:db8::9]:5432"));
        for (node, interface) in [("web1", "eth0"), ("web1.example.com", "eno1.100"), ("1234", "Wlan_0"), ("n", "1e3")]
        {
            (machine.node, machine.interface) = (node.to_owned(), interface.to_owned());
            let source = tortie_manifest::read::Source::new("init.yaml", machine.manifests());
            let read = tortie_manifest::read::read(&source);
            assert_eq!(read.len(), 3);
            for located in read {
                assert_eq!(located.problems, [], "{}", source.text());
                let object = crate::workload_endpoint_name::filled(located.object.unwrap());
                assert_eq!(tortie_manifest::validate::validate(&object), [], "{node} {interface}");
                assert_eq!(tortie_manifest::warnings::of(&object), [], "{node} {interface}");
            }
        }
    }
}
