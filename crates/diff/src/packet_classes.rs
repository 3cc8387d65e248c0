//! The classes of packets that both sides together can distinguish, among those that may be judged otherwise.

use std::net::IpAddr;

use tortie_classes::{Classes, Partition, TransportClass, address};
use tortie_policy::Family;

use crate::align::Changed;

/// Classes of sources, of destinations and of transports.
pub(crate) struct Cells {
    pub(crate) sources: Partition,
    pub(crate) destinations: Partition,
    /// All that begin connections.
    pub(crate) transports: Vec<TransportClass>,
    /// The classes that may be judged otherwise, by their indexes.
    pub(crate) judged: Vec<usize>,
}

impl Cells {
    /// Of what may be judged otherwise.
    pub(crate) fn new(classes: Classes, changed: &Changed) -> Self {
        // Only new connections are compared.
        let begins = |class: &TransportClass| class.begins_connections(classes.family);
        let transports: Vec<TransportClass> = classes.transports.iter().filter(begins).collect();
        let judged = (0..transports.len()).filter(|at| changed.has(&transports[*at])).collect();
        Self { sources: classes.sources, destinations: classes.destinations, transports, judged }
    }

    /// How many are judged.
    pub(crate) fn count(&self) -> usize {
        self.sources.len().saturating_mul(self.destinations.len()).saturating_mul(self.judged.len())
    }

    /// One source of each class.
    pub(crate) fn source_addresses(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        (0..self.sources.len()).map(move |class| address(family, self.sources.representative(class)))
    }

    /// One destination of each class.
    pub(crate) fn destination_addresses(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        (0..self.destinations.len()).map(move |class| address(family, self.destinations.representative(class)))
    }
}
