//! An interface, and what became of one.

use std::net::IpAddr;

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index. A new interface of an old name has a new one, and a higher one unless somebody chose it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It is switched on (`IFF_UP`).
    pub up: bool,
    /// It is switched on and can carry packets (`IFF_RUNNING`): routes out of it work.
    pub running: bool,
    /// Its MTU leaves room for IPv6. Without that the kernel has no IPv6 there.
    pub ipv6: bool,
    /// Its addresses, in order, each once.
    pub addresses: Vec<IpAddr>,
}

/// What became of an interface between two looks. At least one side is there, and they differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it was; none if it is new.
    pub was: Option<Interface>,
    /// What it is; none if it is gone.
    pub is: Option<Interface>,
}

impl Change {
    /// Whether it concerns an interface whose name `matters`, before or after.
    pub fn concerns(&self, matters: impl Fn(&str) -> bool) -> bool {
        [&self.was, &self.is].into_iter().flatten().any(|one| matters(&one.name))
    }
}
