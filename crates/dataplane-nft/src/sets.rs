//! Sets of the desired state as kernel sets, one for each family.
//!
//! A set in which every member is one address is a hash, in which a member costs the same at any size; the first net
//! makes it a set of ranges, under another name. So the rules that look in a set change when its shape does.

use ipnet::IpNet;
use tortie_dataplane::{Members, PortMember, SetId, SetState};
use tortie_nft::{DataType, Element, Key, Set};
use tortie_policy::Family;

use crate::form::SetForm;
use crate::names;
use crate::words::{address_type, fields, net_key, octets};

/// Both families, in the order in which everything is done for them.
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// How a set is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Single addresses.
    Hosts,
    /// Addresses and nets.
    Nets,
    /// Addresses with protocol and port.
    Ports,
}

impl Shape {
    /// How a set with these members is kept.
    pub(crate) fn of(set: &SetState) -> Self {
        match set {
            SetState::Ports(_) => Self::Ports,
            SetState::Nets(nets) if nets.iter().all(is_host) => Self::Hosts,
            SetState::Nets(_) => Self::Nets,
        }
    }
}

/// Whether a net is one address.
pub(crate) fn is_host(net: &IpNet) -> bool {
    net.prefix_len() == net.max_prefix_len()
}

/// The kernel set of one family, empty.
pub(crate) fn empty(id: &SetId, shape: Shape, family: Family) -> Set {
    let name = names::set(id, shape, family);
    let address = address_type(family);
    let set = match shape {
        Shape::Hosts => Set::new(name, address),
        Shape::Nets => Set::new(name, address).interval(),
        Shape::Ports => Set::new(name, fields(&[address, DataType::Protocol, DataType::Port])),
    };
    set.comment(id.as_str())
}

/// The kernel sets of a set with all its members.
pub(crate) fn render(id: &SetId, set: &SetState) -> [SetForm; 2] {
    let shape = Shape::of(set);
    FAMILIES.map(|family| {
        let set_of_family = empty(id, shape, family);
        let mut form = SetForm { elements: elements(&set.members(), shape, family), set: set_of_family };
        form.sort();
        form
    })
}

/// Members of one family as elements.
pub(crate) fn elements(members: &Members, shape: Shape, family: Family) -> Vec<Element> {
    match members {
        Members::Nets(nets) => {
            let ours = nets.iter().filter(|net| Family::of_net(net) == family);
            ours.map(|net| {
                Element::new(if shape == Shape::Hosts { Key::One(octets(net.addr())) } else { net_key(net) })
            })
            .collect()
        }
        Members::Ports(ports) => {
            let key = fields(&[address_type(family), DataType::Protocol, DataType::Port]);
            let value = |port: &PortMember| {
                let number = port.port.to_be_bytes();
                Key::One(key.value([&octets(port.address)[..], &[port.protocol], &number]))
            };
            let ours = ports.iter().filter(|port| Family::of(port.address) == family);
            ours.map(|port| Element::new(value(port))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(nets: &[&str]) -> SetState {
        SetState::Nets(nets.iter().map(|net| net.parse().unwrap()).collect())
    }

    #[test]
    fn a_set_of_addresses_is_a_hash_until_the_first_net() {
        let id = SetId::new("s:x");
        let names = |set: &SetState| render(&id, set).map(|form| form.set.name);
        assert_eq!(names(&nets(&["10.0.0.1/32", "fd00::1/128"])), ["hosts4-s.x", "hosts6-s.x"]);
        assert_eq!(names(&nets(&["10.0.0.1/32", "fd00::/64"])), ["nets4-s.x", "nets6-s.x"]);
        assert_eq!(Shape::of(&nets(&[])), Shape::Hosts);
    }

    #[test]
    fn members_go_to_the_set_of_their_family() {
        let [v4, v6] = render(&SetId::new("s:x"), &nets(&["10.0.0.0/8", "fd00::1/128"]));
        assert_eq!(v4.elements, [Element::new(Key::Range(vec![10, 0, 0, 0], vec![10, 255, 255, 255]))]);
        assert_eq!(v6.elements.len(), 1);
    }
}
