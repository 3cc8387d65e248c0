//! Sets of the desired state as kernel sets, one for each family.
//!
//! A set in which every member is one address is a hash, in which a member costs the same at any size; the first net
//! makes it a set of ranges, under another name. So the rules that look in a set change when its shape does.

use ipnet::IpNet;
use tortie_dataplane::{Members, PortMember, SetId, SetState};
use tortie_nft::{DataType, Element, Key, Set};
use tortie_policy::Family;

use crate::match_expr::{address_type, fields, net_key, octets};
use crate::names;
use crate::table_content::SetContent;

/// Both families, in the order in which everything is done for them.
pub(crate) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// How a set is kept: [`Index`](crate::index::Index) follows it from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Single addresses.
    Hosts,
    /// Addresses and nets.
    Nets,
    /// Addresses with protocol and port.
    Ports,
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

/// The families that sets are kept for. Without any IPv6 member in any set those for IPv6 are left out, and half of the
/// rules with them: a rule about an empty set matches nothing, or everything but nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Families {
    /// Some set has an IPv6 member.
    pub(crate) v6: bool,
}

impl Families {
    /// What some members need.
    pub(crate) fn of(members: &Members) -> Self {
        let v6 = match members {
            Members::Nets(nets) => nets.iter().any(|net| net.addr().is_ipv6()),
            Members::Ports(ports) => ports.iter().any(|port| port.address.is_ipv6()),
        };
        Self { v6 }
    }

    /// What all sets of a state need.
    pub(crate) fn of_all<'a>(sets: impl Iterator<Item = (&'a SetId, &'a SetState)>) -> Self {
        let mut sets = sets.filter(|(id, _)| !is_well_known(id));
        // They are in order, IPv4 first.
        let v6 = sets.any(|(_, set)| match set {
            SetState::Nets(nets) => nets.last().is_some_and(|net| net.addr().is_ipv6()),
            SetState::Ports(ports) => ports.last().is_some_and(|port| port.address.is_ipv6()),
        });
        Self { v6 }
    }

    /// What both need.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { v6: self.v6 || other.v6 }
    }

    /// Whether a set is kept for a family. What the skeleton looks in always is.
    pub(crate) fn keep(self, set: &SetId, family: Family) -> bool {
        family == Family::V4 || self.v6 || is_well_known(set)
    }

    /// The families that a set is kept for.
    pub(crate) fn of_set(self, set: &SetId) -> impl Iterator<Item = Family> {
        FAMILIES.into_iter().filter(move |family| self.keep(set, *family))
    }
}

fn is_well_known(set: &SetId) -> bool {
    SetId::WELL_KNOWN.contains(&set.as_str())
}

/// The kernel sets of a set with all its members.
pub(crate) fn render(id: &SetId, set: &SetState, shape: Shape, families: Families) -> impl Iterator<Item = SetContent> {
    families.of_set(id).map(move |family| {
        let set_of_family = empty(id, shape, family);
        let mut form = SetContent { elements: elements(&set.members(), shape, family), set: set_of_family };
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
    use std::collections::BTreeMap;

    use tortie_dataplane::State;

    use super::*;
    use crate::index::Index;

    const BOTH: Families = Families { v6: true };

    /// The kernel sets of a set in the shape that it has by the index.
    fn forms(id: &SetId, set: &SetState, families: Families) -> Vec<SetContent> {
        let state = State { sets: BTreeMap::from([(id.clone(), set.clone())]), ..State::default() };
        let shape = Index::of(&state).shapes[id];
        render(id, set, shape, families).collect()
    }

    #[test]
    fn without_ipv6_members_only_what_the_skeleton_looks_in_is_kept_for_ipv6() {
        let id = SetId::new("s:x");
        let set = nets(&["10.0.0.1/32"]);
        assert_eq!(Families::of_all([(&id, &set)].into_iter()), Families::default());
        assert_eq!(forms(&id, &set, Families::default()).len(), 1);
        assert_eq!(forms(&SetId::new(SetId::POOLS), &set, Families::default()).len(), 2);
        let more = nets(&["10.0.0.1/32", "fd00::/64"]);
        assert_eq!(Families::of_all([(&id, &more)].into_iter()), BOTH);
        assert_eq!(Families::of(&Members::Nets(vec!["fd00::/64".parse().unwrap()])), BOTH);
    }

    fn nets(nets: &[&str]) -> SetState {
        SetState::Nets(nets.iter().map(|net| net.parse().unwrap()).collect())
    }

    #[test]
    fn a_set_of_addresses_is_a_hash_until_the_first_net() {
        let id = SetId::new("s:x");
        let names = |set: &SetState| forms(&id, set, BOTH).into_iter().map(|form| form.set.name).collect::<Vec<_>>();
        assert_eq!(names(&nets(&["10.0.0.1/32", "fd00::1/128"])), ["hosts4-s.x", "hosts6-s.x"]);
        assert_eq!(names(&nets(&["10.0.0.1/32", "fd00::/64"])), ["nets4-s.x", "nets6-s.x"]);
        assert_eq!(names(&nets(&[])), ["hosts4-s.x", "hosts6-s.x"]);
    }

    #[test]
    fn members_go_to_the_set_of_their_family() {
        let forms = forms(&SetId::new("s:x"), &nets(&["10.0.0.0/8", "fd00::1/128"]), BOTH);
        let [v4, v6] = forms.as_slice() else { panic!("{forms:?}") };
        assert_eq!(v4.elements, [Element::new(Key::Range(vec![10, 0, 0, 0], vec![10, 255, 255, 255]))]);
        assert_eq!(v6.elements.len(), 1);
    }
}
