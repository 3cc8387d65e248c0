//! The ports of a rule, by protocol.

use std::collections::BTreeMap;

use tortie_net::{Port, PortRange};

/// Which ports of which protocols a rule is for. Protocols are in the order of their names.
#[derive(Default)]
pub(super) struct Ports(BTreeMap<String, ProtocolPorts>);

/// The ports of one protocol.
enum ProtocolPorts {
    All,
    Listed(Vec<Port>),
}

impl Ports {
    /// Adds a port of a protocol; `None` adds all, beside which no single one counts.
    pub(super) fn add(&mut self, protocol: &str, port: Option<Port>) {
        let of_protocol = self.0.entry(protocol.to_owned()).or_insert_with(|| ProtocolPorts::Listed(Vec::new()));
        match (port, of_protocol) {
            (None, all) => *all = ProtocolPorts::All,
            (Some(port), ProtocolPorts::Listed(ports)) => ports.push(port),
            (Some(_), ProtocolPorts::All) => {}
        }
    }

    /// Each protocol with its ports, none for all; one entry without a protocol if nothing was added.
    pub(super) fn into_matches(self) -> Vec<(Option<String>, Vec<Port>)> {
        if self.0.is_empty() {
            return vec![(None, Vec::new())];
        }
        let listed = |ports| match ports {
            ProtocolPorts::All => Vec::new(),
            ProtocolPorts::Listed(ports) => combined(ports),
        };
        // An empty name stands for any protocol.
        let protocol = |name: String| Some(name).filter(|name| !name.is_empty());
        self.0.into_iter().map(|(name, ports)| (protocol(name), listed(ports))).collect()
    }
}

/// Names first, then the numbers as the fewest ranges; as they are where there are not two numbers to combine.
fn combined(ports: Vec<Port>) -> Vec<Port> {
    let mut ranges: Vec<PortRange> = ports.iter().filter_map(Port::range).collect();
    if ranges.len() < 2 {
        return ports;
    }
    ranges.sort_by_key(|range| (range.first(), range.last()));
    let mut out: Vec<Port> = ports.into_iter().filter(|port| port.name().is_some()).collect();
    let (mut first, mut last) = (ranges[0].first(), ranges[0].last());
    for range in &ranges[1..] {
        if range.first() <= last.saturating_add(1) {
            last = last.max(range.last());
        } else {
            out.push(port(first, last));
            (first, last) = (range.first(), range.last());
        }
    }
    out.push(port(first, last));
    out
}

fn port(first: u16, last: u16) -> Port {
    // `first` never exceeds `last`.
    PortRange::new(first, last).map_or(Port::Number(first), Port::from)
}
