//! What has been said of links and addresses, taken together.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Assigned, Said};
use super::{Change, Interface, Interfaces};

/// Everything known, and what has been touched since somebody last looked. Addresses are kept beside links, because an
/// address may be told before its link.
#[derive(Debug, Default)]
pub(crate) struct Table {
    links: BTreeMap<u32, (String, u32)>,
    addresses: BTreeMap<u32, BTreeSet<Assigned>>,
    touched: BTreeSet<u32>,
}

impl Table {
    /// Takes a fact. Facts may be repeated and may be older than what is known, as long as everything up to the newest
    /// follows: the end is the same.
    pub(crate) fn take(&mut self, said: Said) {
        match said {
            Said::Link { index, name, flags } => {
                match (self.links.get_mut(&index), name) {
                    (Some(link), Some(name)) => *link = (name, flags),
                    (Some(link), None) => link.1 = flags,
                    (None, Some(name)) => drop(self.links.insert(index, (name, flags))),
                    (None, None) => return,
                }
                self.touched.insert(index);
            }
            Said::NoLink { index } => {
                self.links.remove(&index);
                self.addresses.remove(&index);
                self.touched.insert(index);
            }
            Said::Address { index, address } => {
                self.addresses.entry(index).or_default().insert(address);
                self.touched.insert(index);
            }
            Said::NoAddress { index, address } => {
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
        self.links.get(&index).map(|(name, _)| name.as_str())
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
        let (name, flags) = self.links.get(&index)?;
        let is = |flag: libc::c_int| flags & flag.cast_unsigned() != 0;
        let mut addresses: Vec<_> = self.addresses.get(&index).into_iter().flatten().map(|one| one.local).collect();
        addresses.dedup();
        let (up, running) = (is(libc::IFF_UP), is(libc::IFF_UP) && is(libc::IFF_RUNNING));
        Some(Interface { index, name: name.clone(), up, running, addresses })
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
