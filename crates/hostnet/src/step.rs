//! One change to make in the kernel.

use std::fmt;
use std::net::IpAddr;

use crate::neighbour::Neighbour;
use crate::route::Route;

/// One thing to do. Each can be done again without harm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Write a setting.
    WriteSetting(Setting),
    /// Take a route away.
    RemoveRoute(Route),
    /// Forget the connections of an address: it is, or will be, somebody else's.
    ForgetConnections(IpAddr),
    /// Make a route, in place of one of its net and metric.
    MakeRoute(Route),
    /// Take a static neighbour away.
    RemoveNeighbour(Neighbour),
    /// Make a static neighbour.
    MakeNeighbour(Neighbour),
}

/// A value in a file under `/proc/sys/net`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// The interface it is about; none for the whole host.
    pub index: Option<u32>,
    /// The file, below `/proc/sys/net`.
    pub file: String,
    /// What it says.
    pub value: u8,
    /// Where the kernel does not know it, nothing is lost.
    pub optional: bool,
    /// An uninstall leaves it: another program that needs it writes the same, before or after.
    pub left: bool,
}

impl Step {
    /// The interface it is about.
    pub fn index(&self) -> Option<u32> {
        match self {
            Step::WriteSetting(setting) => setting.index,
            Step::RemoveRoute(route) | Step::MakeRoute(route) => Some(route.index),
            Step::RemoveNeighbour(neighbour) | Step::MakeNeighbour(neighbour) => Some(neighbour.index),
            Step::ForgetConnections(_) => None,
        }
    }

    /// The address whose connections it makes forgotten.
    pub(crate) fn forgets(&self) -> Option<IpAddr> {
        match self {
            Step::ForgetConnections(address) => Some(*address),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    /// As operators speak of it, after "could not".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::WriteSetting(setting) => write!(f, "set /proc/sys/net/{} to {}", setting.file, setting.value),
            Step::RemoveRoute(route) => write!(f, "remove the route to {} metric {}", route.destination, route.metric),
            Step::ForgetConnections(address) => write!(f, "forget the connections of {address}"),
            Step::MakeRoute(route) => write!(f, "make the route to {} metric {}", route.destination, route.metric),
            Step::RemoveNeighbour(neighbour) => write!(f, "remove the neighbour {}", neighbour.address),
            Step::MakeNeighbour(neighbour) => write!(f, "make the neighbour {}", neighbour.address),
        }
    }
}
