//! The sources that a node may give a packet.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::replaced_source::{Candidates, ReplacedSource};

/// The sources that a node may give the packet.
#[derive(Default)]
pub(super) struct Sources {
    /// By the interface by which it leaves.
    pub(super) by_interface: HashMap<String, Candidates>,
    /// The ports that it gets with any of them, each in words and as the one that is judged; none where it keeps its own.
    pub(super) ports: Vec<(String, u16)>,
    /// In words, if it may keep its source: nothing tells which way an open connection was opened, and replies keep theirs.
    pub(super) kept: Option<String>,
}

impl Sources {
    /// In words, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.kept.iter().cloned().collect();
        let mut interfaces: Vec<&String> = self.by_interface.keys().collect();
        interfaces.sort_unstable();
        for (name, _) in interfaces.into_iter().flat_map(|interface| &self.by_interface[interface].all) {
            for (name, _) in self.with_ports(name) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// A source with each kind of ports that it may have.
    fn with_ports(&self, name: &str) -> Vec<(String, Option<&(String, u16)>)> {
        match self.ports.as_slice() {
            [] => vec![(name.to_owned(), None)],
            [one] => vec![(name.to_owned(), Some(one))],
            ports => {
                let with = |one| {
                    let (text, _): &(String, u16) = one;
                    (format!("{name} with port {text}"), Some(one))
                };
                ports.iter().map(with).collect()
            }
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.by_interface.values().flat_map(|candidates| &candidates.all).map(|(_, address)| *address)
    }

    /// The source of this name, where the packet may get it at an interface. None where it may not; one without an address where it
    /// keeps its own. At an interface that nobody knows it may get any.
    pub(super) fn chosen(&self, name: &String, leaves_by: &str) -> Option<Option<ReplacedSource>> {
        if self.kept.as_ref() == Some(name) {
            return Some(None);
        }
        let of = |candidates: &Candidates| {
            candidates.all.iter().find_map(|(one, address)| {
                let (_, ports) = self.with_ports(one).into_iter().find(|(one, _)| one == name)?;
                let assumed = candidates.assumed.clone();
                Some(Some(ReplacedSource { address: *address, ports: ports.cloned(), assumed }))
            })
        };
        match self.by_interface.get(leaves_by) {
            Some(candidates) => of(candidates),
            None => self.by_interface.values().find_map(of),
        }
    }
}
