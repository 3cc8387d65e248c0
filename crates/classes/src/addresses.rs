//! Sets of addresses of both families.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use tortie_policy::Family;

use crate::ranges::Ranges;

/// A set of addresses.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct AddressSet {
    /// The IPv4 ones, as numbers.
    pub v4: Ranges,
    /// The IPv6 ones, as numbers.
    pub v6: Ranges,
}

impl AddressSet {
    /// Every address of both families.
    pub fn all() -> Self {
        Self { v4: Ranges::span(0u32, u32::MAX), v6: Ranges::span(0u128, u128::MAX) }
    }

    /// The addresses of some nets.
    pub fn of_nets<'a>(nets: impl IntoIterator<Item = &'a IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            let span = (number(net.network()), number(net.broadcast()));
            match net {
                IpNet::V4(_) => v4.push(span),
                IpNet::V6(_) => v6.push(span),
            }
        }
        Self { v4: Ranges::of(v4), v6: Ranges::of(v6) }
    }

    /// Single addresses.
    pub fn of<'a>(addresses: impl IntoIterator<Item = &'a IpAddr>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            let span = (number(*address), number(*address));
            if address.is_ipv4() { v4.push(span) } else { v6.push(span) }
        }
        Self { v4: Ranges::of(v4), v6: Ranges::of(v6) }
    }

    /// Addresses of one family, by their numbers.
    pub fn of_family(family: Family, ranges: Ranges) -> Self {
        match family {
            Family::V4 => Self { v4: ranges, v6: Ranges::none() },
            Family::V6 => Self { v4: Ranges::none(), v6: ranges },
        }
    }

    /// The addresses of one family, as numbers.
    pub fn family(&self, family: Family) -> &Ranges {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.family(Family::of(address)).contains(number(address))
    }

    /// The lowest address of a family.
    pub fn first(&self, family: Family) -> Option<IpAddr> {
        self.family(family).first().map(|number| address(family, number))
    }

    /// The addresses of a family, one by one.
    pub fn singles(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.family(family).iter().flat_map(|(first, last)| first..=last).map(move |number| address(family, number))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &AddressSet) -> AddressSet {
        Self { v4: self.v4.union(&other.v4), v6: self.v6.union(&other.v6) }
    }

    /// What is in any of some sets.
    pub fn union_of<'a>(sets: impl IntoIterator<Item = &'a AddressSet>) -> AddressSet {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for set in sets {
            v4.extend(set.v4.iter());
            v6.extend(set.v6.iter());
        }
        Self { v4: Ranges::of(v4), v6: Ranges::of(v6) }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &AddressSet) -> AddressSet {
        Self { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }

    /// What is in this and not in the other.
    #[must_use]
    pub fn minus(&self, other: &AddressSet) -> AddressSet {
        Self { v4: self.v4.minus(&other.v4), v6: self.v6.minus(&other.v6) }
    }

    /// Whether both have an address in common.
    pub fn meets(&self, other: &AddressSet) -> bool {
        self.v4.meets(&other.v4) || self.v6.meets(&other.v6)
    }

    /// Whether all of this is in the other.
    pub fn is_within(&self, other: &AddressSet) -> bool {
        self.v4.is_within(&other.v4) && self.v6.is_within(&other.v6)
    }

    /// How many addresses of a family it has.
    pub fn size(&self, family: Family) -> f64 {
        self.family(family).iter().map(|(first, last)| (last - first) as f64 + 1.0).sum()
    }

    /// The fewest nets that hold exactly these addresses, in order, IPv4 first.
    pub fn nets(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4.iter().flat_map(|(first, last)| Ipv4Subnets::new(v4(first), v4(last), 0).map(IpNet::V4));
        let v6 = self.v6.iter().flat_map(|(first, last)| {
            Ipv6Subnets::new(Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last), 0).map(IpNet::V6)
        });
        v4.chain(v6)
    }
}

impl fmt::Debug for AddressSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.nets().map(|net| net.to_string())).finish()
    }
}

/// An address as a number of its family.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address that a number of an [`AddressSet`] stands for.
pub fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(v4(number)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

fn v4(number: u128) -> Ipv4Addr {
    // Numbers of IPv4 addresses are made from 32 bits.
    Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX))
}
