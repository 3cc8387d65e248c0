//! The host's settings: what is changed for workloads, what is kept, and what is restored.
#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // a raw socket for router advertisements

mod common;

use std::net::IpAddr;

use common::{in_namespace, ip, soon, until};
use tortie_hostnet::{Config, Network, Workload, restore};

fn workload(addresses: &[&str]) -> Workload {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Workload { addresses, mac: Some([2, 0, 0, 0, 0, 9]), ..Workload::default() }
}

fn veth(name: &str) {
    ip(&format!("link add {name} type veth peer name x{name}"));
    for name in [name, &format!("x{name}")] {
        set(&format!("ipv6/conf/{name}/accept_dad"), "0");
        ip(&format!("link set {name} up"));
    }
}

fn get(file: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{file}")).unwrap().trim().to_owned()
}

fn set(file: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{file}"), value).unwrap();
}

/// Everything under `/proc/sys/net` that an agent may write.
fn all() -> Vec<(String, String)> {
    let mut all = vec![("ipv4/ip_forward".to_owned(), get("ipv4/ip_forward"))];
    for interface in ["all", "default", "eth0", "cali1"] {
        for file in ["ipv4/conf/{}/route_localnet", "ipv4/conf/{}/proxy_arp", "ipv4/conf/{}/forwarding"] {
            all.push((file.replace("{}", interface), get(&file.replace("{}", interface))));
        }
        for file in ["ipv6/conf/{}/accept_ra", "ipv6/conf/{}/forwarding", "ipv6/conf/{}/proxy_ndp"] {
            all.push((file.replace("{}", interface), get(&file.replace("{}", interface))));
        }
    }
    all
}

/// Sends a router advertisement out of an interface, once it can send: a new interface has no address in its first moments.
fn advertise(interface: &str) {
    let name = std::ffi::CString::new(interface).unwrap();
    // SAFETY: the name is a string that ends, for the length of the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    // Type, code, checksum, hop limit, flags, lifetime, and two timers.
    let advertisement: [u8; 16] = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: every pointer and length describes a local that outlives its call, and the descriptor is ours.
    unsafe {
        let fd = libc::socket(libc::AF_INET6, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_ICMPV6);
        assert!(fd >= 0);
        for (option, value) in [(libc::IPV6_MULTICAST_HOPS, 255), (libc::IPV6_MULTICAST_IF, index.cast_signed())] {
            let size = size_of_val(&value) as u32;
            assert_eq!(libc::setsockopt(fd, libc::IPPROTO_IPV6, option, (&raw const value).cast(), size), 0);
        }
        let mut to: libc::sockaddr_in6 = std::mem::zeroed();
        to.sin6_family = libc::AF_INET6 as u16;
        to.sin6_addr.s6_addr = "ff02::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let size = size_of_val(&to) as u32;
        let sent =
            libc::sendto(fd, advertisement.as_ptr().cast(), advertisement.len(), 0, (&raw const to).cast(), size);
        let error = std::io::Error::last_os_error();
        let not_yet = [libc::ENETUNREACH, libc::EADDRNOTAVAIL].contains(&error.raw_os_error().unwrap_or_default());
        assert!(sent == 16 || not_yet, "{error}");
        libc::close(fd);
    }
}

/// Has the host learn its default route from a router behind `eth0`.
fn learn_default_route() {
    let deadline = soon();
    loop {
        advertise("xeth0");
        if ip("-6 route show default").contains("proto ra") {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "no route is learned: {}", ip("-6 addr"));
        std::thread::yield_now();
    }
}

#[test]
fn a_host_that_begins_to_forward_keeps_the_default_route_of_its_router() {
    in_namespace(|| {
        veth("eth0");
        set("ipv6/conf/eth0/accept_ra", "1");
        learn_default_route();
        let mut network = Network::open(Config::default()).unwrap();
        veth("cali1");
        network.put("cali1", workload(&["fd00:65::2"]));
        until(&mut network, |_| get("ipv6/conf/all/forwarding") == "1");
        assert!(ip("-6 route show default").contains("proto ra"), "the route is lost");
        assert_eq!(get("ipv6/conf/eth0/accept_ra"), "2");
        ip("-6 route flush default");
        learn_default_route();
        assert_eq!(get("ipv6/conf/cali1/accept_ra"), "0", "a workload is nobody's router");
    });
}

#[test]
fn a_host_forwards_only_the_families_of_its_workloads() {
    for (address, expected) in [("10.65.0.2", ["1", "0"]), ("fd00:65::2", ["0", "1"])] {
        in_namespace(|| {
            let forwarding = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];
            forwarding.iter().for_each(|file| set(file, "0"));
            let mut network = Network::open(Config::default()).unwrap();
            veth("cali1");
            network.put("cali1", workload(&[address]));
            until(&mut network, |network| network.model().is_up("cali1"));
            assert_eq!(forwarding.map(get), expected, "{address}");
        });
    }
}

#[test]
fn every_setting_that_was_changed_is_restored_also_by_another_process_than_the_one_that_changed_it() {
    in_namespace(|| {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("host-settings.json");
        veth("eth0");
        veth("cali1");
        set("ipv6/conf/eth0/accept_ra", "1");
        for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            set(file, "0");
        }
        let before = all();
        for _ in 0..2 {
            // The second run finds everything as the first one made it.
            let mut network = Network::open(Config::default()).unwrap();
            network.remember_settings(&path);
            network.put("cali1", workload(&["10.65.0.2", "fd00:65::2"]));
            until(&mut network, |network| network.model().is_up("cali1"));
            let changed: Vec<_> = network.changed_settings().map(|one| format!("{} {}", one.name(), one.was)).collect();
            assert!(changed.contains(&"net.ipv4.ip_forward 0".to_owned()), "{changed:?}");
            assert!(changed.contains(&"net.ipv6.conf.eth0.accept_ra 1".to_owned()), "{changed:?}");
        }
        assert_ne!(all(), before);
        let restored = restore(&path).unwrap();
        assert!(restored.len() >= 10, "{restored:?}");
        assert_eq!(all(), before);
        assert_eq!(restore(&path).unwrap(), [], "nothing is remembered any more");
    });
}

/// What Calico's CNI plugin writes when it makes the interface of a pod.
const OF_CNI: [(&str, &str); 5] = [
    ("ipv4/neigh/cali1/proxy_delay", "0"),
    ("ipv4/conf/cali1/proxy_arp", "1"),
    ("ipv4/conf/cali1/forwarding", "1"),
    ("ipv6/conf/cali1/proxy_ndp", "1"),
    ("ipv6/conf/cali1/forwarding", "1"),
];
/// What only Felix writes, and what it says before.
const OF_FELIX: [(&str, &str); 3] =
    [("ipv4/conf/cali1/route_localnet", "0"), ("ipv4/conf/cali1/rp_filter", "0"), ("ipv6/conf/cali1/accept_ra", "1")];

#[test]
fn an_uninstall_leaves_what_calicos_cni_plugin_set_and_puts_back_what_it_changed_itself() {
    // The plugin comes before the agent, or, for a pod that has an endpoint already, after it.
    for (cni_first, kubernetes) in [(true, true), (true, false), (false, true), (false, false)] {
        in_namespace(|| {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("host-settings.json");
            for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                set(file, "1");
            }
            set("ipv4/conf/default/rp_filter", "1");
            veth("cali1");
            OF_FELIX.iter().for_each(|(file, value)| set(file, value));
            let before = OF_CNI.map(|(file, _)| (file, get(file)));
            let cni = || OF_CNI.iter().for_each(|(file, value)| set(file, value));
            if cni_first {
                cni();
            }
            // The second run finds everything as the first one made it.
            for _ in 0..2 {
                let mut network = Network::open(Config::default()).unwrap();
                network.remember_settings(&path);
                let workload = Workload { kubernetes, ..workload(&["10.65.0.2", "fd00:65::2"]) };
                network.put("cali1", workload);
                until(&mut network, |network| network.model().is_up("cali1"));
                assert_eq!(OF_FELIX.map(|(file, _)| get(file)), ["1", "1", "0"]);
                cni();
            }
            drop(restore(&path).unwrap());
            OF_FELIX.iter().for_each(|(file, value)| assert_eq!(get(file), *value, "{file}"));
            let left = cni_first || kubernetes;
            let expected = if left { OF_CNI.map(|(file, value)| (file, value.to_owned())) } else { before };
            expected.iter().for_each(|(file, value)| assert_eq!(get(file), *value, "{file}, {kubernetes}"));
        });
    }
}

#[test]
fn an_interface_that_is_made_anew_under_a_name_keeps_what_it_has_after_an_uninstall() {
    in_namespace(|| {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("host-settings.json");
        veth("cali1");
        let run = || {
            let mut network = Network::open(Config::default()).unwrap();
            network.remember_settings(&path);
            network.put("cali1", workload(&["10.65.0.2"]));
            until(&mut network, |network| network.model().is_up("cali1"));
        };
        run();
        // While no agent runs; and once more with an agent that finds it.
        for meets in [false, true] {
            ip("link del cali1");
            veth("cali1");
            set("ipv4/conf/cali1/proxy_arp", "1");
            if meets {
                run();
            }
            let saved = std::fs::read(&path).unwrap();
            drop(restore(&path).unwrap());
            assert_eq!(get("ipv4/conf/cali1/proxy_arp"), "1", "{meets}");
            std::fs::write(&path, saved).unwrap();
        }
        // Nothing is remembered of interfaces that do not exist any more.
        ip("link del cali1");
        veth("cali2");
        let mut network = Network::open(Config::default()).unwrap();
        network.remember_settings(&path);
        network.put("cali2", workload(&["10.65.0.2"]));
        until(&mut network, |network| network.model().is_up("cali2"));
        let saved = std::fs::read_to_string(&path).unwrap();
        assert!(saved.contains("cali2") && !saved.contains("cali1"), "{saved}");
    });
}

#[test]
fn settings_that_others_changed_meanwhile_or_another_start_recorded_are_not_restored() {
    in_namespace(|| {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("host-settings.json");
        veth("cali1");
        set("ipv4/ip_forward", "0");
        let mut network = Network::open(Config::default()).unwrap();
        network.remember_settings(&path);
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |_| get("ipv4/ip_forward") == "1");
        let other = std::fs::read_to_string(&path).unwrap().replace("\"of\":\"", "\"of\":\"x");
        let elsewhere = place.path().join("other.json");
        std::fs::write(&elsewhere, other).unwrap();
        assert_eq!(restore(&elsewhere).unwrap(), []);
        assert_eq!(get("ipv4/ip_forward"), "1");
        set("ipv4/conf/cali1/proxy_arp", "0");
        set("ipv4/conf/default/proxy_arp", "1");
        drop(restore(&path).unwrap());
        assert_eq!((get("ipv4/ip_forward"), get("ipv4/conf/cali1/proxy_arp")), ("0".to_owned(), "0".to_owned()));
    });
}

#[test]
fn a_workload_interface_without_room_for_ipv6_is_up_and_gets_ipv6_with_its_mtu() {
    in_namespace(|| {
        let mut network = Network::open(Config::default()).unwrap();
        veth("cali1");
        ip("link set cali1 mtu 1000");
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |network| network.model().is_up("cali1"));
        assert_eq!(network.model().open_problems().count(), 0);
        ip("link set cali1 mtu 1500");
        let proxy = || std::fs::read_to_string("/proc/sys/net/ipv6/conf/cali1/proxy_ndp");
        until(&mut network, |_| proxy().is_ok_and(|text| text.trim() == "1"));
    });
}

#[test]
fn a_workload_with_an_ipv6_address_is_up_without_room_for_ipv6_which_is_said_and_is_reached_once_there_is_room() {
    in_namespace(|| {
        let mut network = Network::open(Config::default()).unwrap();
        veth("cali1");
        ip("link set cali1 mtu 1279");
        network.put("cali1", workload(&["10.65.0.2", "fd65::2"]));
        let leads = || ip("-6 route show fd65::2").contains("cali1");
        let missing =
            |network: &Network| network.model().without_ipv6().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        for _ in 0..2 {
            until(&mut network, |network| network.model().is_up("cali1") && missing(network) == ["cali1"]);
            assert_eq!(network.model().open_problems().count(), 0);
            assert!(ip("route show 10.65.0.2").contains("cali1"));
            ip("link set cali1 mtu 1280");
            until(&mut network, |network| leads() && missing(network) == [] as [&str; 0]);
            ip("link set cali1 mtu 1000");
        }
        // Without an IPv6 address nothing is missing.
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |network| missing(network) == [] as [&str; 0]);
    });
}
