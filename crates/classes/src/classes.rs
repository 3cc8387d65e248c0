//! The classes of packets of one family: the product of the classes of each dimension.

use std::net::IpAddr;

use tortie_policy::Family;
use tortie_policy::packet::{Packet, Transport};

use crate::addresses::{AddressSet, address as to_address, number};
use crate::partition::Partition;
use crate::transport::{TransportClass, TransportClasses};

/// Every dimension of one family, divided.
#[derive(Clone, Debug)]
pub struct Classes {
    /// The family.
    pub family: Family,
    /// Source addresses, as numbers.
    pub sources: Partition,
    /// Destination addresses as packets arrive, as numbers.
    pub destinations: Partition,
    /// Protocols, ports, ICMP types and codes.
    pub transports: TransportClasses,
}

/// One class: the number of its class in each dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketClass {
    /// Of [`Classes::sources`].
    pub source: usize,
    /// Of [`Classes::destinations`].
    pub destination: usize,
    /// Of [`Classes::transports`].
    pub transport: usize,
}

impl Classes {
    /// Every class of packets, one after the other: nothing is made before it is asked for.
    pub fn packets(&self) -> Packets<'_> {
        Packets { classes: self, next: 0, end: self.size() }
    }

    fn size(&self) -> u128 {
        // A dimension has at most as many classes as there are conditions' edges in memory: the product fits.
        self.sources.len() as u128 * self.destinations.len() as u128 * self.transports.len() as u128
    }

    /// The class of a packet of this family; none when it is outside of the domain.
    pub fn class_of(&self, packet: &Packet) -> Option<PacketClass> {
        Some(PacketClass {
            source: self.source_class(packet.source)?,
            destination: self.destination_class(packet.destination)?,
            transport: self.transports.class_of(packet.protocol, packet.transport)?,
        })
    }

    /// The class of a source address; none when it is outside of the domain.
    pub fn source_class(&self, source: IpAddr) -> Option<usize> {
        self.sources.class_of(self.number(source)?)
    }

    /// The class of a destination address; none when it is outside of the domain.
    pub fn destination_class(&self, destination: IpAddr) -> Option<usize> {
        self.destinations.class_of(self.number(destination)?)
    }

    fn number(&self, address: IpAddr) -> Option<u128> {
        (Family::of(address) == self.family).then(|| number(address))
    }

    /// One source address of a class of sources.
    pub fn source(&self, class: usize) -> IpAddr {
        to_address(self.family, self.sources.representative(class))
    }

    /// One destination address of a class of destinations.
    pub fn destination(&self, class: usize) -> IpAddr {
        to_address(self.family, self.destinations.representative(class))
    }

    /// All source addresses of a class of sources.
    pub fn source_addresses(&self, class: usize) -> AddressSet {
        AddressSet::of_family(self.family, self.sources.class(class).clone())
    }

    /// All destination addresses of a class of destinations.
    pub fn destination_addresses(&self, class: usize) -> AddressSet {
        AddressSet::of_family(self.family, self.destinations.class(class).clone())
    }

    /// One packet of a class. `like` gives all that is not a dimension.
    pub fn packet(&self, class: PacketClass, like: &Packet) -> Packet {
        let (protocol, transport) = self.transports.class(class.transport).representative();
        Packet {
            source: self.source(class.source),
            destination: self.destination(class.destination),
            protocol,
            transport,
            ..like.clone()
        }
    }

    /// The protocols and transports of the packets of a class.
    pub fn transport(&self, class: PacketClass) -> TransportClass {
        self.transports.class(class.transport)
    }

    /// The class of a protocol and transport.
    pub fn transport_of(&self, protocol: u8, transport: Transport) -> Option<usize> {
        self.transports.class_of(protocol, transport)
    }
}

/// The classes of packets in order: by source, then destination, then transport.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    classes: &'a Classes,
    next: u128,
    end: u128,
}

impl Packets<'_> {
    /// How many are left.
    pub fn len(&self) -> u128 {
        self.end - self.next
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.next == self.end
    }
}

impl Iterator for Packets<'_> {
    type Item = PacketClass;

    fn next(&mut self) -> Option<PacketClass> {
        if self.is_empty() {
            return None;
        }
        let (transports, destinations) =
            (self.classes.transports.len() as u128, self.classes.destinations.len() as u128);
        let (rest, transport) = (self.next / transports, self.next % transports);
        self.next += 1;
        let index = |value: u128| usize::try_from(value).unwrap_or(usize::MAX);
        Some(PacketClass {
            source: index(rest / destinations),
            destination: index(rest % destinations),
            transport: index(transport),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.len());
        (left.unwrap_or(usize::MAX), left.ok())
    }
}
