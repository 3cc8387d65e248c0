//! The links and addresses, as the messages about them add up.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{AssignedAddress, LinkMessage};
use super::{Change, Interface, Interfaces};

/// The least MTU with IPv6, in bytes: with less the kernel switches IPv6 off on an interface (`IPV6_MIN_MTU`).
pub const IPV6_MTU: u32 = 1280;

/// A link.
#[derive(Debug)]
struct Link {
    name: String,
    flags: u32,
    mtu: Option<u32>,
}

/// Everything known, and what has been touched since somebody last looked. Addresses are kept beside links, because an
/// address may be told before its link.
#[derive(Debug, Default)]
pub(crate) struct Table {
    links: BTreeMap<u32, Link>,
    addresses: BTreeMap<u32, BTreeSet<AssignedAddress>>,
    touched: BTreeSet<u32>,
}

impl Table {
    /// Takes a fact. Facts may be repeated and may be older than what is known, as long as everything up to the newest
    /// follows: the end is the same.
    pub(crate) fn take(&mut self, said: LinkMessage) {
        match said {
            LinkMessage::Link { index, name, flags, mtu } => {
                match (self.links.get_mut(&index), name) {
                    (Some(link), name) => {
                        link.name = name.unwrap_or_else(|| std::mem::take(&mut link.name));
                        (link.flags, link.mtu) = (flags, mtu.or(link.mtu));
                    }
                    (None, Some(name)) => drop(self.links.insert(index, Link { name, flags, mtu })),
                    (None, None) => return,
                }
                self.touched.insert(index);
            }
            LinkMessage::NoLink { index } => {
                self.links.remove(&index);
                self.addresses.remove(&index);
                self.touched.insert(index);
            }
            LinkMessage::Address { index, address } => {
                self.addresses.entry(index).or_default().insert(address);
                self.touched.insert(index);
            }
            LinkMessage::NoAddress { index, address } => {
                if let Some(all) = self.addresses.get_mut(&index) {
                    all.remove(&address);
                    if all.is_empty() {
                        self.addresses.remove(&index);
                    }
                }
                self.touched.insert(index);
            }
        }
    }

    /// The name of a link.
    pub(crate) fn name(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|link| link.name.as_str())
    }

    /// Brings `interfaces` up to date where something was touched, and says what changed.
    pub(crate) fn look(&mut self, interfaces: &mut Interfaces) -> Vec<Change> {
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().filter_map(|index| put(interfaces, index, self.interface(index))).collect()
    }

    /// Brings `interfaces` up to date everywhere, after everything was read anew, and says what changed.
    pub(crate) fn look_anew(&mut self, interfaces: &mut Interfaces) -> Vec<Change> {
        self.touched.extend(interfaces.keys().chain(self.links.keys()));
        self.look(interfaces)
    }

    fn interface(&self, index: u32) -> Option<Interface> {
        let link = self.links.get(&index)?;
        let is = |flag: libc::c_int| link.flags & flag.cast_unsigned() != 0;
        let mut addresses: Vec<_> = self.addresses.get(&index).into_iter().flatten().map(|one| one.local).collect();
        addresses.dedup();
        let (up, running) = (is(libc::IFF_UP), is(libc::IFF_UP) && is(libc::IFF_RUNNING));
        let ipv6 = link.mtu.is_none_or(|mtu| mtu >= IPV6_MTU);
        Some(Interface { index, name: link.name.clone(), up, running, ipv6, addresses })
    }
}

fn put(interfaces: &mut Interfaces, index: u32, is: Option<Interface>) -> Option<Change> {
    if interfaces.get(&index) == is.as_ref() {
        return None;
    }
    let was = match &is {
        Some(interface) => interfaces.insert(index, interface.clone()),
        None => interfaces.remove(&index),
    };
    Some(Change { was, is })
}

#[cfg(test)]
mod tests;
