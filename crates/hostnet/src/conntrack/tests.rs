//! Both ways of asking, against the kernel.
#![allow(unsafe_code)] // unshare

use std::net::UdpSocket;
use std::process::Command;

use super::*;

fn run(program: &str, arguments: &str) {
    assert!(Command::new(program).args(arguments.split(' ')).status().unwrap().success(), "{program} {arguments}");
}

fn connect(from: &str, to: &str) {
    UdpSocket::bind((from, 0)).unwrap().send_to(b"x", (to, 9)).unwrap();
}

/// The connections there are, each by who began it and who answers.
fn there() -> Vec<String> {
    let all = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    let source = |word: &&str| word.starts_with("src=");
    let mut all: Vec<String> =
        all.lines().map(|line| line.split_whitespace().filter(source).collect::<Vec<_>>().join(" ")).collect();
    all.sort();
    all
}

#[test]
fn reading_all_connections_and_asking_for_each_address_delete_the_same_connections() {
    let ends: Vec<_> = [0, usize::MAX >> 8]
        .into_iter()
        .map(|few| {
            let thread = std::thread::spawn(move || {
                // SAFETY: only this thread is moved, and it holds nothing of the old namespace.
                let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
                assert_eq!(result, 0, "these tests need root, or a user namespace: unshare -rn cargo test");
                run("ip", "link set lo up");
                run("nft", "add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new accept");
                for (from, to) in [("127.0.0.2", "127.0.0.3"), ("127.0.0.4", "127.0.0.2"), ("127.0.0.4", "127.0.0.3")] {
                    connect(from, to);
                }
                connect("::1", "::1");
                assert_eq!(there().len(), 4);
                let listed = tracked(usize::MAX).unwrap().connections;
                let mut ends: Vec<String> =
                    listed.iter().map(|one| format!("{} {} {}", one.protocol, one.from.ip(), one.to)).collect();
                ends.sort();
                let three = ["127.0.0.2 127.0.0.3:9", "127.0.0.4 127.0.0.2:9", "127.0.0.4 127.0.0.3:9", "::1 [::1]:9"];
                assert_eq!(ends, three.map(|ends| format!("17 {ends}")));
                assert!(listed.iter().all(|one| one.answers == one.to));
                assert_eq!(tracked(2).unwrap().connections.len(), 2);
                let mut conntrack = Conntrack { few, ..Conntrack::open().unwrap() };
                conntrack.forget(&BTreeSet::from(["127.0.0.9".parse().unwrap(), "::2".parse().unwrap()])).unwrap();
                assert_eq!(there().len(), 4);
                conntrack.forget(&BTreeSet::from(["127.0.0.2".parse().unwrap()])).unwrap();
                let four = there();
                conntrack.forget(&BTreeSet::from(["::1".parse().unwrap()])).unwrap();
                (four, there())
            });
            thread.join().unwrap()
        })
        .collect();
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0].0.len(), 2);
    assert_eq!(ends[0].1, ["src=127.0.0.4 src=127.0.0.3"]);
}
