//! The covering set against a model that keeps a plain list and looks at all of it every time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| net(text)).collect()
}

#[track_caller]
fn assert_delta(delta: Delta, added: &[&str], removed: &[&str]) {
    assert_eq!(delta.added, nets(added), "added");
    assert_eq!(delta.removed, nets(removed), "removed");
}

#[test]
fn a_net_stays_until_its_last_contributor_is_removed() {
    let mut set = CoveringSet::new();
    assert_delta(set.insert(net("10.0.0.1/32")), &["10.0.0.1/32"], &[]);
    assert_delta(set.insert(net("10.0.0.1/32")), &[], &[]);
    assert_eq!(set.count(net("10.0.0.1/32")), 2);
    assert_delta(set.remove(net("10.0.0.1/32")), &[], &[]);
    assert_delta(set.remove(net("10.0.0.1/32")), &[], &["10.0.0.1/32"]);
    assert!(set.is_empty());
}

#[test]
fn a_net_hides_the_nets_inside_it_until_it_is_removed() {
    let mut set = CoveringSet::new();
    set.insert(net("10.1.0.0/16"));
    set.insert(net("10.1.2.0/24"));
    set.insert(net("10.255.255.255/32"));
    assert_delta(set.insert(net("10.0.0.0/8")), &["10.0.0.0/8"], &["10.1.0.0/16", "10.255.255.255/32"]);
    assert_delta(set.insert(net("10.3.0.0/16")), &[], &[]);
    assert_eq!(set.len(), 1);
    assert_delta(set.remove(net("10.0.0.0/8")), &["10.1.0.0/16", "10.3.0.0/16", "10.255.255.255/32"], &["10.0.0.0/8"]);
    assert_delta(set.remove(net("10.1.0.0/16")), &["10.1.2.0/24"], &["10.1.0.0/16"]);
}

#[test]
fn a_covered_net_keeps_its_count_and_is_removed_without_a_change() {
    let mut set = CoveringSet::new();
    set.insert(net("10.0.0.0/8"));
    set.insert(net("10.1.0.0/16"));
    set.insert(net("10.1.0.0/16"));
    assert_delta(set.remove(net("10.1.0.0/16")), &[], &[]);
    assert_eq!(set.count(net("10.1.0.0/16")), 1);
    assert_delta(set.remove(net("10.0.0.0/8")), &["10.1.0.0/16"], &["10.0.0.0/8"]);
}

#[test]
fn a_net_of_length_zero_covers_its_own_family_only() {
    let mut set = CoveringSet::new();
    set.insert(net("0.0.0.0/0"));
    set.insert(net("255.255.255.255/32"));
    set.insert(net("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"));
    assert_eq!(set.len(), 2);
    assert!(!set.contains("::1".parse().unwrap()));
    set.insert(net("::/0"));
    assert_eq!(set.iter().collect::<Vec<_>>(), nets(&["0.0.0.0/0", "::/0"]));
    assert_eq!(set.find("::1".parse().unwrap()), Some(net("::/0")));
}

#[test]
fn bits_beyond_the_prefix_do_not_make_another_net() {
    let mut set = CoveringSet::new();
    assert_delta(set.insert(net("10.1.2.3/8")), &["10.0.0.0/8"], &[]);
    assert_delta(set.remove(net("10.9.9.9/8")), &[], &["10.0.0.0/8"]);
}

#[test]
fn removing_a_net_that_does_not_exist_changes_nothing() {
    let mut set = CoveringSet::new();
    set.insert(net("10.0.0.0/8"));
    assert_delta(set.remove(net("10.0.0.0/9")), &[], &[]);
    assert_delta(set.remove(net("0.0.0.0/0")), &[], &[]);
    assert_eq!(set.len(), 1);
}

/// The obvious way: every question looks at every member.
#[derive(Default)]
struct Model(BTreeMap<IpNet, u32>);

impl Model {
    fn insert(&mut self, net: IpNet) {
        *self.0.entry(net.trunc()).or_default() += 1;
    }

    fn remove(&mut self, net: IpNet) {
        let net = net.trunc();
        if let Some(count) = self.0.get_mut(&net) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&net);
            }
        }
    }

    fn shown(&self) -> BTreeSet<IpNet> {
        let hides = |outer: &IpNet, inner: &IpNet| outer != inner && outer.contains(inner);
        let members = || self.0.keys();
        let outermost = members().filter(|inner| !members().any(|outer| hides(outer, inner)));
        outermost.copied().collect()
    }
}

/// Nets that often lie in each other: few address bits, at both ends of the address.
fn any_net() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u8>(), 0u8..8, 0u8..=32).prop_map(|(high, low, length)| {
        let address = std::net::Ipv4Addr::new(high & 0xc1, 0, 0, low);
        IpNet::new(address.into(), length).unwrap()
    });
    let v6 = (0u16..4, 0u16..4, 0u8..=128).prop_map(|(high, low, length)| {
        let address = std::net::Ipv6Addr::new(high << 14, 0, 0, 0, 0, 0, 0, low);
        IpNet::new(address.into(), length).unwrap()
    });
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn any_history_gives_the_members_and_changes_of_the_model(
        history in prop::collection::vec((prop::bool::weighted(0.6), any_net()), 0..80)
    ) {
        let mut set = CoveringSet::new();
        let mut model = Model::default();
        let mut nets: BTreeSet<IpNet> = BTreeSet::new();
        for (inserts, net) in history {
            let delta = if inserts {
                model.insert(net);
                set.insert(net)
            } else {
                model.remove(net);
                set.remove(net)
            };
            for net in &delta.removed {
                prop_assert!(nets.remove(net), "{net} was not shown");
            }
            for net in &delta.added {
                prop_assert!(nets.insert(*net), "{net} was shown already");
            }
            prop_assert_eq!(&nets, &model.shown());
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), model.shown());
            prop_assert_eq!(set.len(), nets.len());
            prop_assert_eq!(set.count(net), model.0.get(&net.trunc()).copied().unwrap_or(0));
            let holder = nets.iter().copied().find(|outer| outer.contains(&net.addr()));
            prop_assert_eq!(set.find(net.addr()), holder);
        }
        let members: Vec<(IpNet, u32)> = model.0.into_iter().collect();
        for (net, count) in members {
            for _ in 0..count {
                set.remove(net);
            }
        }
        prop_assert!(set.is_empty());
        prop_assert!(set.v4.hidden.is_empty() && set.v6.hidden.is_empty());
    }

    #[test]
    fn adding_all_at_once_gives_the_same_as_one_by_one(
        nets in prop::collection::vec(any_net(), 0..60), before in prop::collection::vec(any_net(), 0..2)
    ) {
        let (mut at_once, mut one_by_one) = (CoveringSet::new(), CoveringSet::new());
        before.iter().for_each(|net| drop((at_once.insert(*net), one_by_one.insert(*net))));
        at_once.fill(nets.iter().copied());
        nets.iter().for_each(|net| drop(one_by_one.insert(*net)));
        // Shown and hidden ones, with their counts.
        prop_assert_eq!(format!("{at_once:?}"), format!("{one_by_one:?}"));
    }
}
