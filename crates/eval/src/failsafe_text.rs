//! Which failsafe ports there are, as a text for users: why a packet is not let through by one.

use tortie_policy::{Direction, Failsafe, Settings};

use crate::matching::{PacketHeader, protocol_name};

/// `tcp/5432 is not one of tcp/22,179`: of the packet's protocol only.
pub(crate) fn failsafes_text(settings: &Settings, direction: Direction, header: &PacketHeader) -> String {
    let list = match direction {
        Direction::Ingress => &settings.failsafe_inbound,
        Direction::Egress => &settings.failsafe_outbound,
    };
    if list.is_empty() {
        return "there are none".to_owned();
    }
    let name = protocol_name(header.protocol);
    let same = list.iter().filter(|failsafe| failsafe.protocol.number() == header.protocol);
    let same: Vec<Failsafe> = same.cloned().collect();
    match header.ports() {
        _ if same.is_empty() => format!("none for {name}"),
        Some((_, port)) => format!("{name}/{port} is not one of {}", failsafe_list(&same)),
        None => format!("{name} without a port is not one of {}", failsafe_list(&same)),
    }
}

/// `tcp/22,179 udp/68`, nets in brackets.
pub fn failsafe_list(list: &[Failsafe]) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for failsafe in list {
        let protocol = protocol_name(failsafe.protocol.number());
        let port = match failsafe.net {
            Some(net) => format!("{}[{net}]", failsafe.port),
            None => failsafe.port.to_string(),
        };
        match groups.iter_mut().find(|(name, _)| *name == protocol) {
            Some((_, ports)) => ports.push(port),
            None => groups.push((protocol, vec![port])),
        }
    }
    groups.iter().map(|(name, ports)| format!("{name}/{}", ports.join(","))).collect::<Vec<_>>().join(" ")
}
