//! The suite once more, with etcd's own gRPC proxy between the store and etcd.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Cluster, PATIENCE, free_ports};
use tortie_api::{Key, Kind};
use tortie_store::conformance::Subject;
use tortie_store::{Selection, Store, Write};
use tortie_store_etcd::{EtcdStore, Settings};

/// One member behind a proxy.
struct Proxied {
    cluster: Cluster,
    proxy: Child,
    endpoint: String,
}

impl Proxied {
    fn new() -> Self {
        let cluster = Cluster::start(1);
        loop {
            let listen = format!("127.0.0.1:{}", free_ports(1)[0]);
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "etcd", "grpc-proxy", "start"]);
            command.arg(format!("--endpoints={}", cluster.endpoints()[0])).arg(format!("--listen-addr={listen}"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut proxy = command.spawn().expect("etcd runs: scripts/deps installs it");
            let deadline = Instant::now() + PATIENCE;
            while proxy.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(&listen).is_ok() {
                    return Self { cluster, proxy, endpoint: format!("http://{listen}") };
                }
                assert!(Instant::now() < deadline, "the proxy does not come up");
                std::thread::sleep(Duration::from_millis(20));
            }
            // Another process took the port before the proxy did.
        }
    }
}

impl Drop for Proxied {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

impl Subject for Proxied {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(EtcdStore::new(Settings { call_timeout: PATIENCE, ..Settings::plain([self.endpoint.clone()]) }))
    }

    fn compact(&self) {
        let revision = self.cluster.store().list(&Selection::default()).expect("list").position;
        self.cluster.ctl(&["compaction", &revision.to_string()]);
    }
}

tortie_store::conformance!(Proxied::new);

#[test]
fn many_watchers_behind_a_proxy_receive_everything_once() {
    let proxied = Proxied::new();
    let direct = proxied.cluster.store();
    let stores: Vec<_> = (0..10).map(|_| proxied.store()).collect();
    let mut watches: Vec<_> =
        stores.iter().map(|store| store.watch(&Selection::default(), &0.into()).unwrap()).collect();
    let write = |n: usize| {
        let write = Write::create(Key::cluster(Kind::Node, format!("n{n}")), &b"{}"[..]);
        direct.write(&[write]).unwrap().remove(0).unwrap().revision
    };
    let revisions: Vec<_> = (0..50).map(write).collect();
    for watch in &mut watches {
        let revisions_seen: Vec<_> =
            revisions.iter().map(|_| watch.next(PATIENCE).unwrap().unwrap().revision().clone()).collect();
        assert_eq!(revisions_seen, revisions);
        assert!(watch.next(Duration::ZERO).unwrap().is_none());
    }
}
