//! A link to etcd that is slower than a whole page takes in the time of one answer.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::Cluster;
use tortie_api::{Key, Kind};
use tortie_store::{Selection, Store, Write};
use tortie_store_etcd::{EtcdStore, Settings};

/// How many bytes of answers pass in a second.
const RATE: usize = 1_000_000;
/// Objects of 900 KB, 9 MB together.
const OBJECTS: usize = 10;
const SIZE: usize = 900_000;

/// Forwards connections to a port, answers at [`RATE`]; gives its own address, and how many connections there were.
fn slow_proxy(port: u16) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = connections.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            seen.fetch_add(1, Ordering::Relaxed);
            let requests = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || forward(requests.0, requests.1, usize::MAX));
            std::thread::spawn(move || forward(server, client, RATE));
        }
    });
    (format!("http://{address}"), connections)
}

fn forward(mut from: TcpStream, mut to: TcpStream, rate: usize) {
    let mut buffer = vec![0; 16 << 10];
    let (mut passed, started) = (0usize, Instant::now());
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        passed += read;
        if let Some(due) = (passed / (rate / 1000).max(1)).checked_sub(started.elapsed().as_millis() as usize) {
            std::thread::sleep(Duration::from_millis(due as u64));
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn what_takes_longer_than_one_answer_may_take_comes_in_smaller_pages_however_short_the_patience_is() {
    let cluster = Cluster::start(1);
    let direct = cluster.store();
    for n in 0..OBJECTS {
        let value = format!("{{\"x\":\"{}\"}}", "y".repeat(SIZE));
        direct
            .write(&[Write::create(Key::cluster(Kind::Node, format!("n{n}")), value.into_bytes())])
            .unwrap()
            .remove(0)
            .unwrap();
    }
    let port = cluster.endpoints()[0].rsplit(':').next().unwrap().parse().unwrap();
    let (endpoint, connections) = slow_proxy(port);
    // As impatient as an agent.
    let slow = EtcdStore::new(Settings { call_timeout: Duration::from_secs(2), ..Settings::plain([endpoint]) });
    let listing = slow.list(&Selection::kind(Kind::Node)).unwrap();
    assert_eq!(listing.items.len(), OBJECTS);
    assert!(connections.load(Ordering::Relaxed) > 1, "the first page did not come in time");
}
