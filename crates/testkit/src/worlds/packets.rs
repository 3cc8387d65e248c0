//! Random packets: some of any kind, some aimed at the boundaries of what the rules say.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::case::{Probe, Step};
use super::objects::{ADDRESSES, LINKS, WORKLOADS};
use super::rules::PORTS;
use tortie_random::Random;

/// Packets for a history.
pub(super) fn probes(random: &mut Random, steps: &[Step]) -> Vec<Probe> {
    let objects: Vec<&Value> =
        steps.iter().filter_map(|step| if let Step::Put(object) = step { Some(object) } else { None }).collect();
    let rules: Vec<(&'static str, &Value)> = objects
        .iter()
        .flat_map(|object| ["ingress", "egress"].map(|direction| (direction, object["spec"][direction].as_array())))
        .flat_map(|(direction, list)| list.into_iter().flatten().map(move |rule| (direction, rule)))
        .collect();
    (0..24)
        .map(|_| {
            if random.once_in(16) {
                return tunnelled(random);
            }
            let aim = (!rules.is_empty() && !random.once_in(3)).then(|| *random.pick(&rules));
            probe(random, aim, &objects)
        })
        .collect()
}

fn probe(random: &mut Random, aim: Option<(&str, &Value)>, objects: &[&Value]) -> Probe {
    let (from, to) = path(random, aim.map(|(direction, _)| direction), objects);
    let nothing = Value::Null;
    let rule = aim.map_or(&nothing, |(_, rule)| rule);
    let (mut source, mut destination) = (address(random, &rule["source"]), address(random, &rule["destination"]));
    // Most of what a workload sends must have an address of its own, or nothing gets past the source check.
    if let Some(own) =
        from.as_deref().filter(|_| !random.once_in(6)).and_then(|from| own_address(random, from, objects))
    {
        source = own;
    }
    if let Some(own) = to.as_deref().filter(|_| !random.once_in(4)).and_then(|to| own_address(random, to, objects)) {
        destination = own;
    }
    let from_workload = from.as_deref().is_some_and(|from| from.starts_with("cali"));
    if from_workload && to.is_none() && source.is_ipv4() && random.once_in(8) {
        destination = IpAddr::from([127, 0, 0, 1]);
    }
    if source.is_ipv4() != destination.is_ipv4() {
        let fitting: Vec<IpAddr> = all().filter(|one| one.is_ipv4() == source.is_ipv4()).collect();
        destination = *random.pick(&fitting);
    }
    let protocol = protocol(random, &rule["protocol"], source.is_ipv4());
    let named = match random.below(3) {
        0 => None,
        _ => known(random, &rule["destination"], objects),
    };
    let (destination, protocol) = match named {
        Some((address, protocol, _)) if address.is_ipv4() == source.is_ipv4() => (address, protocol),
        _ => (destination, protocol),
    };
    let readable = !random.once_in(12);
    let ports = matches!(protocol, 6 | 17 | 132 | 136).then(|| {
        let source = if random.once_in(3) { port(random, &rule["source"]) } else { 40000 };
        let destination = match named {
            Some((_, _, port)) if !random.once_in(4) => port,
            _ => port(random, &rule["destination"]),
        };
        [source, destination]
    });
    let mut icmp = matches!(protocol, 1 | 58)
        .then(|| [*random.pick(&[8, 128, 3, 135, 143, 134, 0, 13, 139]), random.below(2) as u8]);
    // Codes matter only where the type is the rule's.
    let with_code = ["icmp", "notICMP"].into_iter().find(|field| rule[field]["code"].is_u64());
    if let (Some([kind, _]), Some(field)) = (&mut icmp, with_code) {
        *kind = rule[field]["type"].as_u64().unwrap_or_default() as u8;
    }
    let state =
        *random.pick(&["new", "new", "new", "new", "new", "new", "new", "new", "established", "invalid", "untracked"]);
    let translated = random.once_in(6).then(|| {
        let fitting: Vec<IpAddr> = all().filter(|one| one.is_ipv4() == source.is_ipv4()).collect();
        (*random.pick(&fitting), random.once_in(2).then(|| *random.pick(&PORTS)))
    });
    let translated_to =
        (from.is_none() && translated.is_some() && random.once_in(2)).then(|| interface(random, objects));
    Probe {
        source,
        destination,
        protocol,
        ports: ports.filter(|_| readable),
        icmp: icmp.filter(|_| readable),
        from,
        to,
        state: state.to_owned(),
        translated,
        translated_to,
        source_route_ok: if random.once_in(10) { Some(random.once_in(2)) } else { None },
        hop_limit: *random.pick(&[64, 255]),
    }
}

/// What a tunnel of this node sends or gets.
fn tunnelled(random: &mut Random) -> Probe {
    let own = IpAddr::from([192, 0, 2, 1]);
    let peer =
        *random.pick(&[IpAddr::from([203, 0, 113, 9]), IpAddr::from([10, 0, 0, 5]), IpAddr::from([192, 0, 2, 9])]);
    let comes = random.once_in(2);
    let port = *random.pick(&[4789, 51820]);
    let protocol = *random.pick(&[4, 17]);
    let link = Some(random.pick(&LINKS[..2]).to_string());
    Probe {
        source: if comes { peer } else { own },
        destination: if comes { own } else { peer },
        protocol,
        ports: (protocol == 17).then_some([port, port]),
        icmp: None,
        from: link.clone().filter(|_| comes),
        to: link.filter(|_| !comes),
        state: "new".to_owned(),
        translated: None,
        translated_to: None,
        source_route_ok: None,
        hop_limit: 64,
    }
}

/// Any interface, or one that an endpoint names.
fn interface(random: &mut Random, objects: &[&Value]) -> String {
    let named: Vec<&str> = objects
        .iter()
        .filter_map(|object| object["spec"]["interfaceName"].as_str())
        .filter(|name| name.len() > 1)
        .collect();
    if named.is_empty() || random.once_in(3) {
        return random.pick(&[WORKLOADS.as_slice(), &LINKS[..2], &LINKS].concat()).to_string();
    }
    random.pick(&named).to_string()
}

fn path(random: &mut Random, direction: Option<&str>, objects: &[&Value]) -> (Option<String>, Option<String>) {
    match random.below(6) {
        0 | 1 if direction != Some("egress") => (Some(interface(random, objects)), None),
        2 | 3 if direction != Some("ingress") => (None, Some(interface(random, objects))),
        _ => (Some(interface(random, objects)), Some(interface(random, objects))),
    }
}

fn all() -> impl Iterator<Item = IpAddr> {
    ADDRESSES.iter().chain(&["fe80::1", "::", "0.0.0.0"]).filter_map(|address| address.parse().ok())
}

/// An address of a workload on an interface.
fn own_address(random: &mut Random, interface: &str, objects: &[&Value]) -> Option<IpAddr> {
    let owners = objects
        .iter()
        .filter(|object| object["kind"] == "WorkloadEndpoint" && object["spec"]["interfaceName"] == interface);
    let nets: Vec<&str> =
        owners.flat_map(|one| one["spec"]["ipNetworks"].as_array()).flatten().filter_map(Value::as_str).collect();
    if nets.is_empty() {
        return None;
    }
    random.pick(&nets).parse::<IpNet>().ok().map(|net| net.addr())
}

/// On or beside the edges of a net that the rule names, or any.
fn address(random: &mut Random, side: &Value) -> IpAddr {
    let field = *random.pick(&["nets", "notNets"]);
    let nets: Vec<IpNet> =
        side[field].as_array().into_iter().flatten().filter_map(|net| net.as_str()?.parse().ok()).collect();
    if nets.is_empty() || random.once_in(3) {
        let all: Vec<IpAddr> = all().collect();
        let end = if random.once_in(8) { all.len() } else { ADDRESSES.len() };
        return *random.pick(&all[..end]);
    }
    let net = random.pick(&nets);
    match random.below(4) {
        0 => net.network(),
        1 => net.broadcast(),
        2 => beside(net.broadcast(), 1),
        _ => beside(net.network(), -1),
    }
}

fn beside(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address.to_bits().wrapping_add_signed(by.into()).into()),
        IpAddr::V6(address) => IpAddr::V6(address.to_bits().wrapping_add_signed(by.into()).into()),
    }
}

/// An address, protocol and port of what a rule knows by name: a service, or a port of an endpoint.
fn known(random: &mut Random, side: &Value, objects: &[&Value]) -> Option<(IpAddr, u8, u16)> {
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut found = Vec::new();
    if let Some(name) = text(&side["services"]["name"]) {
        let slices = objects.iter().filter(|one| one["kind"] == "KubernetesEndpointSlice");
        for spec in slices.map(|one| &one["spec"]).filter(|spec| spec["service"] == name.as_str()) {
            for address in spec["addresses"].as_array()?.iter().filter_map(|one| one.as_str()?.parse().ok()) {
                for port in spec["ports"].as_array()? {
                    let protocol = port["protocol"].as_str()?.parse::<tortie_net::Protocol>().ok()?;
                    found.push((address, protocol.number(), number(&port["port"])?));
                }
            }
        }
    }
    let field = *random.pick(&["ports", "notPorts"]);
    for name in side[field].as_array().into_iter().flatten().filter_map(text) {
        for object in objects {
            for port in object["spec"]["ports"].as_array().into_iter().flatten().filter(|port| port["name"] == *name) {
                let addresses = object["spec"]["ipNetworks"].as_array().or(object["spec"]["expectedIPs"].as_array());
                for address in addresses.into_iter().flatten().filter_map(Value::as_str) {
                    let address = address.split('/').next()?.parse().ok()?;
                    found.push((address, protocol(random, &port["protocol"], true), number(&port["port"])?));
                }
            }
        }
    }
    (!found.is_empty()).then(|| *random.pick(&found))
}

fn protocol(random: &mut Random, written: &Value, v4: bool) -> u8 {
    let aimed = match written.as_str() {
        Some("TCP") => Some(6),
        Some("UDP") => Some(17),
        Some("ICMP") => Some(1),
        Some("ICMPv6") => Some(58),
        Some("SCTP") => Some(132),
        Some("UDPLite") => Some(136),
        _ => written.as_u64().and_then(|number| u8::try_from(number).ok()),
    };
    match aimed {
        Some(aimed) if !random.once_in(4) => aimed,
        _ => *random.pick(&[6, 6, 6, 17, 17, if v4 { 1 } else { 58 }, 132, 4, 253]),
    }
}

/// A port that the rule names, or the one beside it, or any.
fn port(random: &mut Random, side: &Value) -> u16 {
    let field = *random.pick(&["ports", "ports", "notPorts"]);
    let mut named: Vec<u16> = Vec::new();
    for port in side[field].as_array().into_iter().flatten() {
        match port {
            Value::Number(number) => named.extend(number.as_u64().and_then(|number| u16::try_from(number).ok())),
            Value::String(text) => named.extend(text.split(':').filter_map(|part| part.parse::<u16>().ok())),
            _ => {}
        }
    }
    if named.is_empty() || random.once_in(3) {
        return *random.pick(&PORTS);
    }
    let port = *random.pick(&named);
    match random.below(4) {
        0 => port.wrapping_add(1),
        1 => port.wrapping_sub(1),
        _ => port,
    }
}
