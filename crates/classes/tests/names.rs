//! Sets of addresses in names: exactly the set, and in few words.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_classes::{AddressSet, Names};
use tortie_net::IpNet;
use tortie_policy::{Node, Snapshot};
use tortie_random::Random;

fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| IpNet::from(text.parse::<IpAddr>().unwrap()))
}

fn set(nets: &[&str]) -> AddressSet {
    let nets: Vec<IpNet> = nets.iter().map(|text| net(text)).collect();
    AddressSet::of_nets(&nets)
}

/// The addresses that a part tells of.
fn meaning(part: &str) -> AddressSet {
    let nets = |text: &str| set(&text.split(" and ").map(|one| one.split(' ').next().unwrap()).collect::<Vec<_>>());
    match part.split_once(" except ") {
        Some((whole, holes)) => nets(whole).minus(&nets(holes)),
        None => nets(part),
    }
}

/// How many nets and addresses a part names.
fn words(part: &str) -> usize {
    1 + part.matches(" except ").count() + part.matches(" and ").count()
}

#[test]
fn a_net_is_described_with_its_exception_where_that_is_shorter() {
    let names = Names::new(&Snapshot::default());
    let all = AddressSet::all();
    for (whole, holes, words) in [
        ("198.51.100.0/24", &["198.51.100.7"][..], "198.51.100.0/24 except 198.51.100.7"),
        ("2001:db8::/32", &["2001:db8:7::/48"][..], "2001:db8::/32 except 2001:db8:7::/48"),
        (
            "10.0.0.0/8",
            &["10.1.0.0/16", "10.7.7.7", "10.200.0.0/24"][..],
            "10.0.0.0/8 except 10.1.0.0/16 and 10.7.7.7 and 10.200.0.0/24",
        ),
        // Half of a net is a net.
        ("10.0.0.0/8", &["10.128.0.0/9"][..], "10.0.0.0/9"),
    ] {
        assert_eq!(names.parts(&set(&[whole]).minus(&set(holes)), &all), [words]);
    }
    let two = set(&["198.51.100.0/24", "10.1.0.0/16"]).minus(&set(&["198.51.100.7", "10.1.2.3"]));
    assert_eq!(names.parts(&two, &all), ["10.1.0.0/16 except 10.1.2.3", "198.51.100.0/24 except 198.51.100.7"]);
}

#[test]
fn a_net_is_described_as_a_net_although_an_address_in_it_has_a_name_or_is_left_out() {
    let mut snapshot = Snapshot::default();
    let mut node = Node { name: "n".to_owned(), ..Node::default() };
    node.addresses = vec!["10.0.0.5".parse().unwrap(), "192.0.2.7".parse().unwrap()];
    snapshot.nodes.insert("n".to_owned(), node);
    let names = Names::new(&snapshot);
    let all = AddressSet::all();
    assert_eq!(names.parts(&set(&["10.0.0.0/8"]), &all), ["10.0.0.0/8"]);
    assert_eq!(names.parts(&set(&["10.0.0.5"]), &all), ["10.0.0.5 (node n)"]);
    let without = set(&["10.0.0.0/8"]).minus(&set(&["10.0.0.5"]));
    assert_eq!(names.parts(&without, &all), ["10.0.0.0/8 except 10.0.0.5 (node n)"]);
    // What is left out of the question is no exception.
    let asked = all.minus(&set(&["10.0.0.5", "fe80::5", "fe80::77"]));
    assert_eq!(names.parts(&without, &asked), ["10.0.0.0/8"]);
    assert_eq!(names.parts(&set(&["fe80::/10"]).intersection(&asked), &asked), ["fe80::/10"]);
    assert_eq!(names.parts(&set(&["fe80::/10"]).minus(&set(&["fe80::9"])), &asked), ["fe80::/10 except fe80::9"]);
}

#[test]
fn the_parts_are_exactly_the_set_and_name_no_more_than_its_pieces() {
    let mut random = Random::new(7);
    let mut shorter = 0;
    let names = Names::new(&Snapshot::default());
    for _ in 0..400 {
        let mut draw = |most: usize| {
            let mut nets: Vec<IpNet> = Vec::new();
            for _ in 0..random.below(most) {
                let (host, length) = (random.below(256), 24 + random.below(9));
                nets.push(net(&format!("10.0.{}.{host}/{length}", random.below(2))));
                nets.push(net(&format!("fd00::{host:x}/{}", length + 96)));
            }
            AddressSet::of_nets(&nets)
        };
        let addresses = draw(6).minus(&draw(6));
        let parts = names.parts(&addresses, &AddressSet::all());
        let meant: Vec<AddressSet> = parts.iter().map(|part| meaning(part)).collect();
        assert_eq!(AddressSet::union_of(&meant), addresses, "{parts:?}");
        let (words, pieces) = (parts.iter().map(|part| words(part)).sum::<usize>(), addresses.nets().count());
        assert!(words <= pieces, "{parts:?} for {addresses:?}");
        shorter += usize::from(words < pieces);
    }
    assert!(shorter > 50, "{shorter}");
}
