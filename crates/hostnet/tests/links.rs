//! The watcher against the kernel, in private network namespaces.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;

use common::{in_namespace, ip, run, soon};
use tortie_hostnet::links::{Change, Interface, Interfaces, Watcher, links};

fn named<'a>(interfaces: &'a Interfaces, name: &str) -> Option<&'a Interface> {
    interfaces.values().find(|one| one.name == name)
}

fn has(interfaces: &Interfaces, name: &str, address: &str) -> bool {
    let address: IpAddr = address.parse().unwrap();
    named(interfaces, name).is_some_and(|one| one.addresses.contains(&address))
}

/// Follows the watcher until `done`, and holds what it tells against what it says is there.
fn until(watcher: &mut Watcher, done: impl Fn(&Interfaces) -> bool) -> Vec<Change> {
    let (deadline, mut all, mut followed) = (soon(), Vec::new(), watcher.interfaces().clone());
    while !done(watcher.interfaces()) {
        let changes = watcher.wait(Some(deadline)).unwrap();
        assert!(!changes.is_empty(), "waited too long; there is {:#?}", watcher.interfaces());
        for change in &changes {
            let index = change.was.iter().chain(&change.is).map(|one| one.index).next().unwrap();
            assert_eq!(followed.get(&index), change.was.as_ref());
            match change.is.clone() {
                Some(is) => followed.insert(index, is),
                None => followed.remove(&index),
            };
        }
        assert_eq!(&followed, watcher.interfaces());
        all.extend(changes);
    }
    all
}

#[test]
fn links_that_exist_at_the_start_are_known_at_once() {
    in_namespace(|| {
        ip("link add eth0 type veth peer name eth1");
        ip("addr add 10.1.2.3/24 dev eth0");
        let watcher = Watcher::open().unwrap();
        assert!(named(watcher.interfaces(), "lo").unwrap().running);
        assert!(has(watcher.interfaces(), "lo", "::1"));
        // Known before it is up: policy must stand before the first packet.
        assert!(has(watcher.interfaces(), "eth0", "10.1.2.3"));
        assert!(!named(watcher.interfaces(), "eth0").unwrap().up);
        let links = links(watcher.interfaces(), |name| name == "eth0");
        assert_eq!((links.len(), links[0].addresses.len()), (1, 1));
    });
}

#[test]
fn links_and_addresses_are_followed_up_down_and_away() {
    in_namespace(|| {
        let mut watcher = Watcher::open().unwrap();
        ip("link add eth0 type veth peer name eth1");
        until(&mut watcher, |all| named(all, "eth1").is_some());
        ip("addr add 10.1.2.3/24 dev eth0");
        ip("addr add fd00::1/64 dev eth0 nodad");
        until(&mut watcher, |all| has(all, "eth0", "10.1.2.3") && has(all, "eth0", "fd00::1"));
        ip("link set eth0 up");
        until(&mut watcher, |all| named(all, "eth0").is_some_and(|one| one.up && !one.running));
        ip("link set eth1 up");
        until(&mut watcher, |all| named(all, "eth0").is_some_and(|one| one.running));
        ip("addr del 10.1.2.3/24 dev eth0");
        until(&mut watcher, |all| !has(all, "eth0", "10.1.2.3"));
        ip("link set eth1 down");
        until(&mut watcher, |all| named(all, "eth0").is_some_and(|one| one.up && !one.running));
        ip("link del eth0");
        let changes = until(&mut watcher, |all| all.len() == 1);
        assert!(changes.iter().any(|change| change.is.is_none()));
    });
}

#[test]
fn a_rename_is_reported_with_both_names() {
    in_namespace(|| {
        ip("link add tmp0 type veth peer name tmp1");
        let mut watcher = Watcher::open().unwrap();
        ip("link set tmp0 name cali0");
        let changes = until(&mut watcher, |all| named(all, "cali0").is_some());
        assert!(changes.iter().any(|change| change.concerns(|name| name == "tmp0")));
        assert!(named(watcher.interfaces(), "tmp0").is_none());
    });
}

#[test]
fn a_link_that_is_created_again_with_its_name_is_another() {
    in_namespace(|| {
        ip("link add cali0 type veth peer name peer0");
        let mut watcher = Watcher::open().unwrap();
        let old = named(watcher.interfaces(), "cali0").unwrap().index;
        ip("link del cali0");
        ip("link add cali0 type veth peer name peer0");
        until(&mut watcher, |all| named(all, "cali0").is_some_and(|one| one.index > old));
        assert!(!watcher.interfaces().contains_key(&old));
    });
}

#[test]
fn leaving_a_bridge_is_not_leaving_the_host() {
    in_namespace(|| {
        ip("link add br0 type bridge");
        ip("link add eth0 type veth peer name eth1");
        ip("link set eth0 master br0");
        let mut watcher = Watcher::open().unwrap();
        ip("link set eth0 nomaster");
        ip("link add last type bridge");
        until(&mut watcher, |all| named(all, "last").is_some());
        assert!(named(watcher.interfaces(), "eth0").is_some());
    });
}

#[test]
fn the_address_of_a_point_to_point_link_is_the_local_one() {
    in_namespace(|| {
        ip("link add eth0 type veth peer name eth1");
        ip("addr add 10.9.0.1 peer 10.9.0.2 dev eth0");
        let watcher = Watcher::open().unwrap();
        assert!(has(watcher.interfaces(), "eth0", "10.9.0.1") && !has(watcher.interfaces(), "eth0", "10.9.0.2"));
    });
}

#[test]
fn after_lost_notifications_everything_is_read_again() {
    in_namespace(|| {
        ip("link add gone0 type veth peer name gone1");
        // The least room there is, and more changes than fit.
        let mut watcher = Watcher::open_with(1).unwrap();
        let script: String = (0..40).map(|n| format!("link add w{n} type veth peer name x{n}\n")).collect();
        let script = format!("{script}link del w3\nlink del gone0\nlink set w4 name kept\n");
        let file = std::env::temp_dir().join(format!("tortie-hostnet-links-{}", std::process::id()));
        std::fs::write(&file, script).unwrap();
        run("ip", &["-batch", file.to_str().unwrap()]);
        std::fs::remove_file(&file).unwrap();
        until(&mut watcher, |all| all.len() == 1 + 78);
        assert!(watcher.overflows() > 0);
        assert!(named(watcher.interfaces(), "kept").is_some());
        for gone in ["w3", "x3", "w4", "gone0", "gone1"] {
            assert!(named(watcher.interfaces(), gone).is_none(), "{gone}");
        }
        assert!(watcher.changes().unwrap().is_empty());
    });
}

#[test]
fn without_changes_a_wait_ends_at_its_time_with_nothing() {
    in_namespace(|| {
        let mut watcher = Watcher::open().unwrap();
        let now = std::time::Instant::now();
        while !watcher.wait(Some(now)).unwrap().is_empty() {}
    });
}
