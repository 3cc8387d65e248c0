//! What is told of interfaces, and what an event costs.

use tortie_hostnet::links::Interface;

use super::*;

fn interface(index: u32, name: &str, last: u8) -> Interface {
    let addresses = vec![IpAddr::from([10, 0, 0, last])];
    Interface { index, name: name.to_owned(), up: true, running: true, ipv6: true, addresses }
}

fn put(interfaces: &mut Interfaces, is: Interface) -> Change {
    Change { was: interfaces.insert(is.index, is.clone()), is: Some(is) }
}

fn names(changes: &Changes) -> Vec<(&str, bool)> {
    changes.iter().map(|(name, now)| (name.as_str(), now.is_some())).collect()
}

#[test]
fn only_changes_are_reported_and_a_rename_is_a_removal_and_an_addition() {
    let (mut all, mut known) = (Interfaces::new(), Names::default());
    let first = [put(&mut all, interface(1, "eth0", 1)), put(&mut all, interface(2, "eth1", 2))];
    assert_eq!(names(&known.changes(&first, &all)), [("eth0", true), ("eth1", true)]);
    let same = put(&mut all, Interface { ipv6: false, ..interface(1, "eth0", 1) });
    assert_eq!(known.changes(&[same], &all), [], "nobody is told what nobody asks for");
    let renamed = put(&mut all, interface(2, "lan0", 2));
    assert_eq!(names(&known.changes(&[renamed], &all)), [("eth1", false), ("lan0", true)]);
    let newer = put(&mut all, interface(9, "eth0", 9));
    assert_eq!(known.changes(&[newer], &all)[0].1.as_ref().unwrap().addresses, [IpAddr::from([10, 0, 0, 9])]);
    let gone = Change { was: all.remove(&9), is: None };
    assert_eq!(known.changes(&[gone], &all)[0].1.as_ref().unwrap().addresses, [IpAddr::from([10, 0, 0, 1])]);
}

#[test]
fn a_new_watcher_reports_the_differences_from_what_was_reported() {
    let (mut all, mut known) = (Interfaces::new(), Names::default());
    for one in [interface(1, "eth0", 1), interface(2, "eth1", 2)] {
        put(&mut all, one);
    }
    known.all(&all);
    all.remove(&2);
    put(&mut all, interface(3, "eth2", 3));
    assert_eq!(names(&known.all(&all)), [("eth1", false), ("eth2", true)]);
    assert_eq!(known.all(&all), []);
}

#[test]
fn an_event_costs_the_same_with_ten_thousand_interfaces() {
    let costs = [10, 10_000].map(|count: u32| {
        let (mut all, mut known) = (Interfaces::new(), Names::default());
        for index in 0..count {
            put(&mut all, interface(index, &format!("cali{index}"), 1));
        }
        known.all(&all);
        let change = put(&mut all, interface(7, "cali7", 2));
        allocation_counter::measure(|| drop(known.changes(std::slice::from_ref(&change), &all))).count_total
    });
    assert!(costs[0] > 0 && costs[0] == costs[1], "{costs:?}");
}
