//! Other machines: each a thread in a network namespace of its own, at the other end of one of the host's interfaces.

#![allow(unsafe_code)] // unshare

use std::net::IpAddr;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use tortie_testkit::namespace::run;

type Job = Box<dyn FnOnce() + Send>;

/// A machine. It goes when it is dropped, also when a test fails.
pub struct Peer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Connects a new machine with `theirs` to the interface `link` of the calling thread's namespace, which gets `ours`.
    pub fn new(link: &str, ours: &[&str], theirs: &[&str]) -> Self {
        let (jobs, inbox) = channel::<Job>();
        let (ready, is_ready) = channel();
        let thread = std::thread::spawn(move || {
            // SAFETY: only this thread is moved, and it holds nothing of the old namespace.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0);
            // SAFETY: asks for a number.
            ready.send(unsafe { libc::gettid() }).unwrap();
            inbox.iter().for_each(|job| job());
        });
        let there = is_ready.recv().unwrap().to_string();
        run("ip", &["link", "add", link, "type", "veth", "peer", "name", "wire", "netns", &there]);
        let peer = Self { jobs: Some(jobs), thread: Some(thread) };
        up(link, ours);
        let theirs: Vec<String> = theirs.iter().map(ToString::to_string).collect();
        let gates: Vec<IpAddr> = ours.iter().map(|net| net.split('/').next().unwrap().parse().unwrap()).collect();
        peer.run(move || {
            run("ip", &["link", "set", "lo", "up"]);
            up("wire", &theirs.iter().map(String::as_str).collect::<Vec<_>>());
            for gate in gates {
                let family = if gate.is_ipv4() { "-4" } else { "-6" };
                run("ip", &[family, "route", "add", "default", "via", &gate.to_string(), "dev", "wire", "onlink"]);
            }
        });
        peer
    }

    /// Does something there.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let job = Box::new(move || drop(done.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)))));
        self.jobs.as_ref().unwrap().send(job).unwrap();
        result.recv().unwrap().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn up(link: &str, addresses: &[&str]) {
    for address in addresses {
        let quiet: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        run("ip", &[&["addr", "add", address, "dev", link], quiet].concat());
    }
    run("ip", &["link", "set", link, "up"]);
}
