//! What the rules of both sides together can tell apart.

use tortie_classes::{Classes, Partition, Payload, PayloadClass, Ranges};

/// The classes of both sides, cut by each other.
pub(crate) struct Cells {
    pub(crate) sources: Partition,
    pub(crate) destinations: Partition,
    pub(crate) payloads: Vec<PayloadClass>,
}

impl Cells {
    /// Of two divisions of the same packets.
    pub(crate) fn new(source: &Ranges, destination: &Ranges, one: &Classes, other: &Classes) -> Self {
        let mut payloads = Vec::new();
        let theirs: Vec<PayloadClass> = other.payloads.iter().collect();
        for mine in one.payloads.iter() {
            payloads.extend(theirs.iter().filter_map(|theirs| common(&mine, theirs)));
        }
        Self {
            sources: Partition::new(source, one.sources.iter().chain(other.sources.iter()).collect::<Vec<_>>()),
            destinations: Partition::new(
                destination,
                one.destinations.iter().chain(other.destinations.iter()).collect::<Vec<_>>(),
            ),
            payloads,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.sources.len().saturating_mul(self.destinations.len()).saturating_mul(self.payloads.len())
    }
}

/// What is in both classes.
fn common(one: &PayloadClass, other: &PayloadClass) -> Option<PayloadClass> {
    let protocols = one.protocols.intersection(&other.protocols);
    if protocols.is_empty() {
        return None;
    }
    let both = |a: &Ranges, b: &Ranges| Some(a.intersection(b)).filter(|common| !common.is_empty());
    let payload = match (&one.payload, &other.payload) {
        (Payload::Ports { source, destination }, Payload::Ports { source: from, destination: to }) => {
            Payload::Ports { source: both(source, from)?, destination: both(destination, to)? }
        }
        (Payload::Icmp(one), Payload::Icmp(other)) => Payload::Icmp(both(one, other)?),
        (Payload::Opaque, Payload::Opaque) => Payload::Opaque,
        _ => return None,
    };
    Some(PayloadClass { protocols, payload })
}
