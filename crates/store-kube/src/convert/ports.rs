//! The ports of a rule, by protocol.

use std::collections::BTreeMap;

use tortie_net::{Port, PortRange};

/// Which ports of which protocols a rule is for. Protocols are in the order of their names.
#[derive(Default)]
pub(super) struct Ports(BTreeMap<String, Wanted>);

enum Wanted {
    All,
    These(Vec<Port>),
}

impl Ports {
    /// Adds a port of a protocol; `None` adds all, beside which no single one counts.
    pub(super) fn add(&mut self, protocol: &str, port: Option<Port>) {
        let wanted = self.0.entry(protocol.to_owned()).or_insert_with(|| Wanted::These(Vec::new()));
        match (port, wanted) {
            (None, wanted) => *wanted = Wanted::All,
            (Some(port), Wanted::These(ports)) => ports.push(port),
            (Some(_), Wanted::All) => {}
        }
    }

    /// Each protocol with its ports, none for all; one entry without a protocol if nothing was added.
    pub(super) fn into_matches(self) -> Vec<(Option<String>, Vec<Port>)> {
        if self.0.is_empty() {
            return vec![(None, Vec::new())];
        }
        let ports = |wanted| match wanted {
            Wanted::All => Vec::new(),
            Wanted::These(ports) => combined(ports),
        };
        // An empty name stands for any protocol.
        let protocol = |name: String| Some(name).filter(|name| !name.is_empty());
        self.0.into_iter().map(|(name, wanted)| (protocol(name), ports(wanted))).collect()
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
