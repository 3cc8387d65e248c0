//! What people write as iptables, nft or Kubernetes have it, and how it is written here. Where a word there has another meaning
//! than the nearest one here, the help says so.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};
use tortie_net::{Port, Protocol, parse_address, parse_cidr, parse_net};
use tortie_selector::Selector;

use crate::read::{Node, Value};

/// The word, of those that a field takes, for an action that is called otherwise elsewhere.
pub(crate) fn action_word<'a>(written: &str, mut words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const ALLOW: [&str; 4] = ["Allow", "Accept", "permit", "pass"];
    const DENY: [&str; 6] = ["Deny", "Reject", "Drop", "block", "discard", "refuse"];
    let is_in = |list: &[&str], word: &str| list.iter().any(|one| one.eq_ignore_ascii_case(word));
    let list: &[&str] = [&ALLOW[..], &DENY].into_iter().find(|list| is_in(list, written))?;
    words.find(|word| is_in(&list[..2], word))
}

/// What to write for an action that is called otherwise elsewhere.
pub(crate) fn action<'a>(written: &str, words: impl Iterator<Item = &'a str>) -> Option<String> {
    let word = action_word(written, words)?;
    Some(match written.to_ascii_lowercase().as_str() {
        "reject" | "refuse" if word == "Deny" => format!(
            "write `{word}`: it answers the sender only if `iptablesFilterDenyAction` or `nftablesFilterDenyAction` of a \
             FelixConfiguration is `Reject`"
        ),
        _ => format!("write `{word}`"),
    })
}

/// What to write for a protocol with a port, for several protocols, and for a protocol of applications.
pub(crate) fn protocol(written: &str) -> Option<String> {
    const OF_APPLICATIONS: [&str; 10] =
        ["http", "https", "dns", "ssh", "ntp", "tls", "smtp", "ftp", "grpc", "postgres"];
    let parts = written.split(['/', ',', ':', ' ', '|', '+']).filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.filter(|part| !part.eq_ignore_ascii_case("and")).collect();
    let known: Vec<Option<Protocol>> = parts.iter().map(|part| named(part)).collect();
    match (parts.as_slice(), known.as_slice()) {
        ([_, _, ..], known) if known.iter().all(Option::is_some) => Some("write one rule for each protocol".to_owned()),
        ([_, port], [Some(protocol), None]) | ([port, _], [None, Some(protocol)]) if port.parse::<Port>().is_ok() => {
            Some(format!(
                "write `{protocol}` alone; the port is a field of its own, in rules `ports` of `destination` or `source`"
            ))
        }
        ([word], _) if OF_APPLICATIONS.contains(&word.to_ascii_lowercase().as_str()) => {
            Some("write the protocol that carries it, such as TCP, and its port in `ports`".to_owned())
        }
        _ => None,
    }
}

/// What to write for a port with its protocol: `80` for `tcp/80` and `80/tcp`.
pub(crate) fn port(written: &str) -> Option<String> {
    let (first, last) = written.split_once('/').or_else(|| written.split_once(':'))?;
    let (protocol, port) = match (named(first), named(last)) {
        (Some(protocol), None) => (protocol, last),
        (None, Some(protocol)) => (protocol, first),
        _ => return None,
    };
    let is_port = matches!(port.parse::<Port>(), Ok(Port::Number(_) | Port::Range(_)));
    is_port.then(|| format!("write `{port}`; the protocol is a field of its own, in rules `protocol: {protocol}`"))
}

fn has_ports(protocol: Protocol) -> bool {
    [Protocol::TCP, Protocol::UDP, Protocol::SCTP].contains(&protocol)
}

/// The protocol of this name, in any case.
fn named(text: &str) -> Option<Protocol> {
    Protocol::parse_any_case(text).ok().filter(|_| text.contains(|c: char| c.is_ascii_alphabetic()))
}

/// What to write for a text that is no net. `is_of_rule` says whether it is one of the nets that a rule matches.
pub(crate) fn net(written: &str, is_of_rule: bool) -> Option<String> {
    let written = written.trim();
    if matches!(written.to_ascii_lowercase().as_str(), "any" | "all" | "*" | "everywhere" | "anywhere" | "0/0") {
        let without = if is_of_rule { "; a rule without `nets` matches both" } else { "" };
        return Some(format!("0.0.0.0/0 is every IPv4 address, ::/0 every IPv6 address{without}"));
    }
    if let Some(net) = written.strip_prefix('!').filter(|net| parse_cidr(net.trim()).is_ok()) {
        return is_of_rule.then(|| format!("write `{}` under `notNets`", net.trim()));
    }
    range(written).or_else(|| mask(written)).or_else(|| wildcard(written)).or_else(|| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let last = written.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
        let is_host =
            written.contains('.') && written.chars().all(is_name) && last.contains(|c: char| c.is_ascii_alphabetic());
        is_host.then(|| "names of hosts are not looked up: write their addresses".to_owned())
    })
}

/// How many nets are written out for a range.
const NETS: usize = 8;

/// The nets that are exactly a range of addresses, `10.0.0.1-10.0.0.9`.
fn range(written: &str) -> Option<String> {
    let (first, last) = written.split_once(['-', '–'])?;
    let ends = (parse_address(first.trim()).ok()?, parse_address(last.trim()).ok()?);
    let mut nets = match ends {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => IpSubnets::V4(Ipv4Subnets::new(first, last, 0)),
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => IpSubnets::V6(Ipv6Subnets::new(first, last, 0)),
        _ => return None,
    };
    let exact: Vec<String> = nets.by_ref().take(NETS).map(|net| net.to_string()).collect();
    Some(match nets.next() {
        None => format!("a range is written as nets: {}", exact.join(", ")),
        Some(_) => "a range is written as nets, and this one takes many".to_owned(),
    })
}

/// A net with a mask in place of a length, `10.0.0.0/255.0.0.0`.
fn mask(written: &str) -> Option<String> {
    let (address, mask) = written.split_once(['/', ' '])?;
    let length = ipnet::ip_mask_to_prefix(parse_address(mask.trim()).ok()?).ok()?;
    let net = IpNet::new(parse_address(address.trim()).ok()?, length).ok()?;
    Some(format!("write the length of the prefix: `{}`", net.trunc()))
}

/// A net with `*` for its last numbers, `10.0.*.*`.
fn wildcard(written: &str) -> Option<String> {
    let fixed: Vec<&str> = written.split('.').take_while(|part| *part != "*").collect();
    let is_net = (1..=3).contains(&fixed.len()) && written.split('.').skip(fixed.len()).all(|part| part == "*");
    let stars = written.split('.').count() - fixed.len();
    if !is_net || stars == 0 || fixed.len() + stars > 4 || fixed.iter().any(|part| part.parse::<u8>().is_err()) {
        return None;
    }
    let net = format!("{}{}/{}", fixed.join("."), ".0".repeat(4 - fixed.len()), 8 * fixed.len());
    parse_cidr(&net).ok().map(|net| format!("write `{net}`"))
}

/// The numbers of an ICMP type or code that is written by its name, of ICMP and of ICMPv6.
pub(crate) fn icmp(field: &str, written: &str) -> Option<String> {
    const TYPES: [(&str, Option<u8>, Option<u8>); 14] = [
        ("echoreply", Some(0), Some(129)),
        ("destinationunreachable", Some(3), Some(1)),
        ("redirect", Some(5), Some(137)),
        ("echorequest", Some(8), Some(128)),
        ("routeradvertisement", Some(9), Some(134)),
        ("routersolicitation", Some(10), Some(133)),
        ("timeexceeded", Some(11), Some(3)),
        ("parameterproblem", Some(12), Some(4)),
        ("timestamprequest", Some(13), None),
        ("timestampreply", Some(14), None),
        ("packettoobig", None, Some(2)),
        ("neighborsolicitation", None, Some(135)),
        ("neighboradvertisement", None, Some(136)),
        ("ping", Some(8), Some(128)),
    ];
    const CODES: [(&str, Option<u8>, Option<u8>); 5] = [
        ("networkunreachable", Some(0), Some(0)),
        ("hostunreachable", Some(1), Some(3)),
        ("protocolunreachable", Some(2), None),
        ("portunreachable", Some(3), Some(4)),
        ("fragmentationneeded", Some(4), None),
    ];
    let plain: String = written.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let plain = plain.strip_prefix("nd").unwrap_or(&plain).replace("neighbour", "neighbor");
    let plain = match plain.as_str() {
        "neighborsolicit" | "neighboradvert" | "routersolicit" | "routeradvert" => {
            plain.replace("solicit", "solicitation").replace("advert", "advertisement")
        }
        _ => plain,
    };
    let table: &[_] = if field == "code" { &CODES } else { &TYPES };
    let (_, v4, v6) = table.iter().find(|(name, ..)| *name == plain)?;
    let of = |number: &Option<u8>, protocol: &str| number.map(|number| format!("{number} for {protocol}"));
    let numbers: Vec<String> = [of(v4, "ICMP"), of(v6, "ICMPv6")].into_iter().flatten().collect();
    Some(format!("write its number: {}", numbers.join(", ")))
}

/// What to write where the source or destination of a rule is not a map: its nets, or a selector.
pub(crate) fn entity(field: &str, written: &Value) -> Option<String> {
    let net = |text: &str| match parse_address(text) {
        Ok(address) => Some(IpNet::from(address)),
        Err(_) => parse_net(text).ok(),
    };
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let nets: Option<Vec<IpNet>> = match written {
        Value::Text(text) => net(text).map(|net| vec![net]),
        Value::List(items) => items.iter().map(|item| text(item).and_then(|text| net(&text))).collect(),
        _ => None,
    };
    match (nets, written) {
        (Some(nets), _) if !nets.is_empty() => {
            let nets: Vec<String> = nets.iter().take(NETS).map(IpNet::to_string).collect();
            Some(format!("write nets as `{field}: {{nets: [{}]}}`", nets.join(", ")))
        }
        (_, Value::Text(text)) if !text.trim().is_empty() && Selector::parse(text).is_ok() => {
            Some(format!("write a selector as `selector` in a map: `{field}: {{selector: ...}}`"))
        }
        _ => None,
    }
}

/// What to write for an ICMP type that stands alone.
pub(crate) fn icmp_alone(field: &str, written: &Value) -> Option<String> {
    match written {
        Value::Int(number @ 0..=255) => Some(format!("write `{field}: {{type: {number}}}`")),
        Value::Text(text) => icmp("type", text).map(|help| {
            format!("write `{field}: {{type: NUMBER}}`, and for the type {}", help.trim_start_matches("write "))
        }),
        _ => None,
    }
}

/// The map for a failsafe port in the form that Felix' environment has: `tcp:22`, `tcp:10.0.0.0/8:22` or `22`.
pub(crate) fn failsafe(written: &str) -> Option<String> {
    let (protocol, rest) = match written.split_once([':', '/']) {
        Some((protocol, rest)) => (named(protocol)?, rest),
        None => (Protocol::TCP, written),
    };
    let (net, port) = match rest.rsplit_once(':') {
        Some((net, port)) => (Some(parse_cidr(net.trim_matches(['[', ']'])).ok()?.trunc()), port),
        None => (None, rest),
    };
    let port = port.parse::<u16>().ok().filter(|_| has_ports(protocol))?;
    let net = net.map_or_else(String::new, |net| format!(", net: \"{net}\""));
    Some(format!("{{protocol: {}{net}, port: {port}}}", protocol.to_string().to_lowercase()))
}

/// The map for a named port of an endpoint that is written in one word: `80`, `tcp/80` or `http:80`.
pub(crate) fn endpoint_port(written: &str) -> Option<String> {
    let (word, port) = match written.split_once([':', '/']) {
        Some((port, protocol)) if port.parse::<u16>().is_ok() => (protocol, port),
        Some((word, port)) => (word, port),
        None => ("", written),
    };
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    let protocol = named(word).map_or_else(|| "TCP".to_owned(), |protocol| protocol.to_string());
    let name = if word.is_empty() || named(word).is_some() { "NAME" } else { word };
    Some(format!("{{name: {name}, protocol: {protocol}, port: {port}}}"))
}

/// What to write where a list is due: the items that a scalar names.
pub(crate) fn list(written: &Value) -> Option<String> {
    let items = match written {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '-' | '_');
            let items: Vec<&str> = text.split([',', ' ']).filter(|item| !item.is_empty()).collect();
            let is_plain =
                |item: &&str| item.chars().all(is_plain) && item.starts_with(|c: char| c.is_ascii_alphanumeric());
            if items.is_empty() || !items.iter().all(is_plain) {
                return None;
            }
            items.join(", ")
        }
        _ => return None,
    };
    Some(format!("write `[{items}]`, or each item on a line of its own that begins with `- `"))
}

/// What a field is called here whose name is another one elsewhere. None of them is a field of Calico's with that meaning.
pub(crate) fn field(plain: &str) -> &'static [&'static str] {
    match plain {
        "port" | "dport" | "dports" | "destinationport" | "destinationports" | "sport" | "sports" | "sourceport"
        | "sourceports" => &["ports"],
        "from" | "src" => &["source"],
        "to" | "dst" | "dest" => &["destination"],
        "cidr" | "cidrs" | "ip" | "ips" | "ipblock" | "address" | "addresses" | "networks" => {
            &["nets", "expectedIPs", "cidr"]
        }
        "except" => &["notNets"],
        "podselector" | "endpointselector" | "matchlabels" => &["selector"],
        "policytypes" => &["types"],
        "interface" | "iface" | "device" => &["interfaceName"],
        "priority" => &["order"],
        "verdict" | "target" => &["action"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_of_other_programs_have_the_word_that_the_field_takes() {
        let rule = ["Allow", "Deny", "Log", "Pass"];
        let filter = ["Accept", "Reject"];
        for (written, of_rule, of_filter) in [
            ("DROP", Some("write `Deny`"), Some("write `Reject`")),
            ("Accept", Some("write `Allow`"), Some("write `Accept`")),
            ("permit", Some("write `Allow`"), Some("write `Accept`")),
            ("block", Some("write `Deny`"), Some("write `Reject`")),
            ("return", None, None),
        ] {
            assert_eq!(action(written, rule.into_iter()).as_deref(), of_rule, "{written}");
            assert_eq!(action(written, filter.into_iter()).as_deref(), of_filter, "{written}");
        }
        let reject = action("REJECT", rule.into_iter()).unwrap();
        assert!(reject.contains("answers the sender only if"), "{reject}");
    }

    #[test]
    fn nets_in_other_forms_are_told_as_exactly_these_nets() {
        for (written, help) in [
            ("10.0.0.1-10.0.0.9", "a range is written as nets: 10.0.0.1/32, 10.0.0.2/31, 10.0.0.4/30, 10.0.0.8/31"),
            ("10.0.0.0 - 10.0.0.255", "a range is written as nets: 10.0.0.0/24"),
            ("2001:db8::2-2001:db8::3", "a range is written as nets: 2001:db8::2/127"),
            ("10.0.0.1-10.255.255.254", "a range is written as nets, and this one takes many"),
            ("10.0.0.0/255.0.0.0", "write the length of the prefix: `10.0.0.0/8`"),
            ("10.1.2.3/255.255.0.0", "write the length of the prefix: `10.1.0.0/16`"),
            ("10.*", "write `10.0.0.0/8`"),
            ("10.0.0.*", "write `10.0.0.0/24`"),
            ("any", "0.0.0.0/0 is every IPv4 address, ::/0 every IPv6 address; a rule without `nets` matches both"),
            ("!10.0.0.0/8", "write `10.0.0.0/8` under `notNets`"),
            ("example.com", "names of hosts are not looked up: write their addresses"),
        ] {
            assert_eq!(net(written, true).as_deref(), Some(help), "{written}");
        }
        for written in
            ["10.0.0.9-10.0.0.1", "10.0.0.1-::1", "10.0.0.0/255.0.255.0", "10.*.0.*", "*.1", "300.*", "1.2.3", "", "x"]
        {
            assert_eq!(net(written, true), None, "{written}");
        }
        assert_eq!(net("all", false).as_deref(), Some("0.0.0.0/0 is every IPv4 address, ::/0 every IPv6 address"));
        assert_eq!(net("!10.0.0.0/8", false), None);
    }

    #[test]
    fn ports_and_protocols_in_one_word_are_taken_apart() {
        let of_rule = "the protocol is a field of its own, in rules `protocol: TCP`";
        for (written, number) in [("tcp/80", "80"), ("80/tcp", "80"), ("TCP:8000:8080", "8000:8080")] {
            assert_eq!(port(written), Some(format!("write `{number}`; {of_rule}")), "{written}");
        }
        for written in ["80", "80:90", "http", "6/80", "tcp/http", "tcp/", "tcp/udp"] {
            assert_eq!(port(written), None, "{written}");
        }
        assert!(protocol("tcp/80").unwrap().starts_with("write `TCP` alone; "));
        assert!(protocol("80/udp").unwrap().starts_with("write `UDP` alone; "));
        assert_eq!(protocol("TCP/UDP").as_deref(), Some("write one rule for each protocol"));
        assert_eq!(protocol("tcp and udp").as_deref(), Some("write one rule for each protocol"));
        assert!(protocol("HTTP").is_some() && protocol("tcp").is_none() && protocol("tcp/x/y").is_none());
    }

    #[test]
    fn ports_in_one_word_become_the_maps_of_their_lists() {
        for (written, map) in [
            ("tcp:22", Some("{protocol: tcp, port: 22}")),
            ("UDP/53", Some("{protocol: udp, port: 53}")),
            ("22", Some("{protocol: tcp, port: 22}")),
            ("tcp:10.0.0.0/8:22", Some("{protocol: tcp, net: \"10.0.0.0/8\", port: 22}")),
            ("tcp:[fd00::/64]:22", Some("{protocol: tcp, net: \"fd00::/64\", port: 22}")),
            ("ssh", None),
            ("tcp:70000", None),
            ("x:22", None),
            ("icmp:22", None),
        ] {
            assert_eq!(failsafe(written).as_deref(), map, "{written}");
        }
        for (written, map) in [
            ("80", Some("{name: NAME, protocol: TCP, port: 80}")),
            ("udp/53", Some("{name: NAME, protocol: UDP, port: 53}")),
            ("53/udp", Some("{name: NAME, protocol: UDP, port: 53}")),
            ("http:80", Some("{name: http, protocol: TCP, port: 80}")),
            ("0", None),
            ("http", None),
        ] {
            assert_eq!(endpoint_port(written).as_deref(), map, "{written}");
        }
    }

    #[test]
    fn names_of_icmp_have_their_numbers_in_both_versions() {
        for (field, written, help) in [
            ("type", "echo-request", Some("write its number: 8 for ICMP, 128 for ICMPv6")),
            ("type", "nd-neighbor-solicit", Some("write its number: 135 for ICMPv6")),
            ("type", "port-unreachable", None),
            ("code", "port-unreachable", Some("write its number: 3 for ICMP, 4 for ICMPv6")),
            ("type", "x", None),
        ] {
            assert_eq!(icmp(field, written).as_deref(), help, "{written}");
        }
    }
}
