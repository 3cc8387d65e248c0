//! Host endpoints of other nodes that are most likely meant for this one: their node's name differs from this one's only in
//! domain or case, or one of their `expectedIPs` is an address of this machine.
//!
//! They are not enforced on this node, so `status` reports them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tortie_policy::{HostEndpoint, Item};

/// How many endpoints are named at most.
const MAX_NAMED: usize = 10;

/// The host endpoints of other nodes, as far as they may be meant for this one.
#[derive(Default)]
pub(crate) struct OtherNodes {
    endpoints: BTreeMap<String, Endpoint>,
    /// The addresses of this machine that no other machine has, and how many interfaces have each.
    addresses: BTreeMap<IpAddr, usize>,
}

struct Endpoint {
    node: String,
    addresses: Vec<IpAddr>,
    has_similar_name: bool,
}

impl OtherNodes {
    /// A host endpoint with this name was written, or it was deleted or is of another kind. Returns whether the note may have
    /// changed.
    pub(crate) fn put(&mut self, own: &str, name: &str, item: &Item) -> bool {
        let new = match item {
            Item::HostEndpoint(one) if one.node != own => Endpoint::of(own, one),
            _ => None,
        };
        let is_notable = |one: &Endpoint| one.has_similar_name || self.own_address(one).is_some();
        let is_noted = new.as_ref().is_some_and(is_notable);
        let was_noted = self.endpoints.get(name).is_some_and(is_notable);
        match new {
            Some(new) => drop(self.endpoints.insert(name.to_owned(), new)),
            None => drop(self.endpoints.remove(name)),
        }
        is_noted || was_noted
    }

    /// The addresses of an interface changed from `was` to `is`. Returns whether the note may have changed.
    pub(crate) fn link(&mut self, was: &[IpAddr], is: &[IpAddr]) -> bool {
        let mut changed = false;
        for address in is.iter().filter(|address| is_of_one_machine(**address)) {
            let count = self.addresses.entry(*address).or_default();
            *count += 1;
            changed |= *count == 1;
        }
        for address in was.iter().filter(|address| is_of_one_machine(**address)) {
            if let Some(count) = self.addresses.get_mut(address) {
                *count -= 1;
                if *count == 0 {
                    self.addresses.remove(address);
                    changed = true;
                }
            }
        }
        changed
    }

    /// The text for `status`; none if no endpoint seems meant for this node.
    pub(crate) fn note(&self, own: &str) -> Option<String> {
        let describe = |(name, one): (&String, &Endpoint)| {
            let address = self.own_address(one);
            let address = match address {
                Some(address) => format!(" and expects {address}, an address of this machine"),
                None if one.has_similar_name => String::new(),
                None => return None,
            };
            let node = if one.node.is_empty() { "a node that cannot be read" } else { &one.node };
            Some(format!("hep/{name} is on {node}{address}"))
        };
        let mut all: Vec<String> = self.endpoints.iter().filter_map(describe).collect();
        let more = all.len().saturating_sub(MAX_NAMED);
        all.truncate(MAX_NAMED);
        if more > 0 {
            all.push(format!("and {more} more"));
        }
        let all = all.join(", ");
        (!all.is_empty())
            .then(|| format!("{all}; this node is {own}: they are not enforced here. If one is meant for this node, set its `spec.node` to {own}"))
    }

    fn own_address(&self, one: &Endpoint) -> Option<IpAddr> {
        one.addresses.iter().copied().find(|address| self.addresses.contains_key(address))
    }
}

impl Endpoint {
    /// Reads an endpoint; none if neither its node's name nor its addresses can show that it is meant for this node.
    fn of(own: &str, one: &HostEndpoint) -> Option<Self> {
        let first_label = |node: &str| node.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let has_similar_name = first_label(&one.node) == first_label(own);
        let addresses: Vec<IpAddr> = one.addresses.iter().copied().filter(|one| is_of_one_machine(*one)).collect();
        (has_similar_name || !addresses.is_empty()).then(|| Self {
            node: one.node.clone(),
            addresses,
            has_similar_name,
        })
    }
}

/// Whether only one machine can have an address: every machine has loopback and link-local addresses.
fn is_of_one_machine(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tortie_policy::{GovernedInterfaces, Missing};

    fn endpoint(node: &str, address: &str) -> Item {
        Item::HostEndpoint(HostEndpoint {
            name: "e".to_owned(),
            node: node.to_owned(),
            interface: GovernedInterfaces::Named("eth0".to_owned()),
            addresses: address.parse().into_iter().collect(),
            labels: Default::default(),
            profiles: Vec::new(),
            ports: Vec::new(),
            missing: Missing::default(),
        })
    }

    #[test]
    fn an_endpoint_of_another_node_is_reported_only_for_a_similar_name_or_an_address_of_this_machine() {
        let mut others = OtherNodes::default();
        assert!(others.link(&[], &["192.0.2.1", "127.0.0.1", "fe80::1"].map(|address| address.parse().unwrap())));
        for (node, address, expected) in [
            ("web1", "192.0.2.1", None),
            ("web2", "192.0.2.2", None),
            ("web2", "127.0.0.1", None),
            ("web2", "fe80::1", None),
            ("web2", "", None),
            ("WEB1.example.com", "", Some("hep/e is on WEB1.example.com; this node is web1")),
            ("db", "192.0.2.1", Some("hep/e is on db and expects 192.0.2.1, an address of this machine; this node is")),
        ] {
            assert_eq!(others.put("web1", "e", &endpoint(node, address)), expected.is_some(), "{node} {address}");
            let note = others.note("web1");
            assert_eq!(note.is_some(), expected.is_some(), "{node} {address}: {note:?}");
            assert!(note.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{node} {address}");
            others.put("web1", "e", &Item::Nothing);
            assert_eq!(others.note("web1"), None, "it is removed");
        }
    }

    #[test]
    fn an_address_that_this_machine_gets_or_loses_later_counts() {
        let mut others = OtherNodes::default();
        assert!(!others.put("web1", "e", &endpoint("db", "192.0.2.1")));
        let address = ["192.0.2.1".parse().unwrap()];
        assert!(others.link(&[], &address));
        assert!(others.note("web1").is_some());
        assert!(!others.link(&address, &address), "nothing changed");
        assert!(!others.link(&[], &address), "a second interface has it too");
        assert!(!others.link(&address, &[]), "the other one has it still");
        assert!(others.link(&address, &[]));
        assert_eq!(others.note("web1"), None);
    }
}
