//! The ends of rules (source, destination) that have more than a selector. Equal ones are kept once: many policies allow the same
//! name server.

use ipnet::IpNet;
use tortie_net::PortRange;
use tortie_policy::{PortMatch, ServiceId};

use crate::intern::Interned;
use crate::names::{Name, Names};
use crate::selectors::{SelectorIndex, Selectors};

/// An end's number.
pub(crate) type EndIndex = u32;

/// The objects that match a selector, or those that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Selected {
    pub(crate) selector: SelectorIndex,
    pub(crate) negated: bool,
}

/// An end with more than a selector. It keeps its selectors and names in use.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct DetailedEnd {
    pub(crate) selected: Option<Selected>,
    pub(crate) nets: Box<[IpNet]>,
    pub(crate) not_nets: Box<[IpNet]>,
    pub(crate) ports: Numbers,
    pub(crate) not_ports: Numbers,
    /// Whose named ports count, if ports are named.
    pub(crate) named_of: Option<SelectorIndex>,
    pub(crate) service: Option<Box<ServiceId>>,
}

/// Ports by number and by name.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Numbers {
    pub(crate) ranges: Box<[PortRange]>,
    pub(crate) named: Box<[Name]>,
}

impl Numbers {
    pub(crate) fn new(ports: &[PortMatch], names: &mut Names) -> Self {
        let mut ranges = Vec::new();
        let mut named = Vec::new();
        for port in ports {
            match port {
                PortMatch::Range(range) => ranges.push(*range),
                PortMatch::Named(name) => named.push(names.acquire(name)),
            }
        }
        Self { ranges: ranges.into(), named: named.into() }
    }
}

impl DetailedEnd {
    /// The sets of all its named ports, as selector and name.
    pub(crate) fn named(&self) -> impl Iterator<Item = (SelectorIndex, Name)> {
        self.of(&self.ports).chain(self.of(&self.not_ports))
    }

    /// The named ports of one list.
    pub(crate) fn of(&self, numbers: &Numbers) -> impl Iterator<Item = (SelectorIndex, Name)> {
        self.named_of.into_iter().flat_map(|selector| numbers.named.iter().map(move |&name| (selector, name)))
    }

    fn release(self, selectors: &mut Selectors, names: &mut Names) {
        self.selected.into_iter().for_each(|one| selectors.release(one.selector));
        self.named_of.into_iter().for_each(|selector| selectors.release(selector));
        self.ports.named.iter().chain(&self.not_ports.named).for_each(|&name| names.release(name));
    }
}

/// Ends in use.
#[derive(Debug, Default)]
pub(crate) struct Ends(Interned<DetailedEnd>);

impl Ends {
    /// Adds a use of an end, and returns its number. If the end exists already, the uses that `end` holds are released.
    pub(crate) fn acquire(&mut self, end: DetailedEnd, selectors: &mut Selectors, names: &mut Names) -> EndIndex {
        if let Some(found) = self.0.find(&end) {
            end.release(selectors, names);
            self.0.add_use(found);
            return found;
        }
        self.0.insert(end)
    }

    /// Removes a use.
    pub(crate) fn release(&mut self, index: EndIndex, selectors: &mut Selectors, names: &mut Names) {
        if let Some(end) = self.0.release(index) {
            end.release(selectors, names);
        }
    }

    pub(crate) fn get(&self, index: EndIndex) -> &DetailedEnd {
        self.0.get(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
