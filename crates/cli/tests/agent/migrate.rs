//! The steps of `docs/migrate.md`, with tables like those of Calico's agent in its place: no packet is let through meanwhile that
//! either of them denies, and no allowed connection is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::world::{Agent, World, on_each_machine, reach, run, until};
use crate::{ENDPOINT, allow};

/// What Calico's agent in its nftables mode has in the kernel for the same policy, as far as a packet can tell.
const FELIX: &str = "
table ip calico {
    chain filter-INPUT {
        type filter hook input priority 0; policy accept;
        ct state established,related accept
        iifname eth0 goto filter-cali-fh-eth0
    }
    chain filter-cali-fh-eth0 {
        tcp dport 80 meta mark set meta mark | 0x10000
        meta mark & 0x10000 != 0 accept
        drop
    }
}
";

/// Connects again and again from outside, until it is dropped.
struct Prober {
    stop: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 3]>,
}

impl Prober {
    fn new(world: &World) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::default()), Arc::new([const { AtomicU64::new(0) }; 3]));
        let (ends, counted) = (stop.clone(), counts.clone());
        let listener = world.listeners[0].try_clone().unwrap();
        listener.set_nonblocking(true).unwrap();
        world.outside(move || {
            std::thread::spawn(move || {
                while !ends.load(Ordering::SeqCst) {
                    let [rounds, opened, refused] = &*counted;
                    opened.fetch_add(u64::from(reach_soon(81)), Ordering::SeqCst);
                    refused.fetch_add(u64::from(!reach(80)), Ordering::SeqCst);
                    // What is not taken fills the listener's queue, and then packets are lost there.
                    while listener.accept().is_ok() {}
                    rounds.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
        Self { stop, counts }
    }

    fn get(&self, which: usize) -> u64 {
        self.counts[which].load(Ordering::SeqCst)
    }

    /// Waits for two more rounds, in which nothing may have changed.
    fn held(&self, step: &str) {
        let rounds = self.get(0);
        until("the prober goes on", || self.get(0) > rounds + 2);
        assert_eq!((self.get(1), self.get(2)), (0, 0), "opened, refused: after {step}");
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Whether a port that is denied is reached; an answer comes at once where it is not.
fn reach_soon(port: u16) -> bool {
    let to = std::net::SocketAddr::from(([192, 0, 2, 11], port));
    std::net::TcpStream::connect_timeout(&to, Duration::from_millis(20)).is_ok()
}

fn felix(world: &World) {
    let file = world.file("felix.nft", FELIX);
    run("nft", &["-f", file.to_str().unwrap()]);
}

/// An agent beside Calico's: with mark bits and ports of its own.
fn beside(world: &World) -> Agent {
    let mut command = world.tortie();
    command
        .env("FELIX_NFTABLESMARKMASK", "0x300")
        .env("FELIX_HEALTHPORT", "9199")
        .env("FELIX_PROMETHEUSMETRICSPORT", "9191");
    command.args(["agent", "--beside", "--felix-config"]).arg(world.place.path().join("felix.cfg"));
    let agent = world.start(command);
    until("the agent is ready", || world.said(&["status", "-o", "json"]).contains("\"ready\": true"));
    agent
}

#[test]
fn from_calicos_agent_to_tortie_and_back_nothing_is_open_and_nothing_is_cut() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        // The store is the one that Calico's agent enforces.
        let manifests = world.file("store.yaml", &(ENDPOINT.to_owned() + &allow(80)));
        world.call(&["apply", "-f", manifests.to_str().unwrap()]);
        felix(world);
        let prober = Prober::new(world);
        prober.held("the start");

        let said = world.fails(&["agent"]);
        assert!(said.contains("table ip calico is Calico's") && said.contains("--beside"), "{said}");
        let foreign = world.call(&["status", "--foreign"]);
        assert!(foreign.contains("table ip calico chain filter-INPUT") && foreign.contains("CAN DROP"), "{foreign}");
        let agent = beside(world);
        world.call(&["verify"]);
        prober.held("tortie was started beside it");

        run("nft", &["delete", "table", "ip", "calico"]);
        prober.held("the tables of Calico's agent were removed");
        assert!(!world.call(&["status", "--foreign"]).contains("calico"));

        agent.kill();
        let agent = world.agent();
        world.call(&["verify"]);
        prober.held("tortie was started anew with its usual settings");

        // And back.
        felix(world);
        prober.held("Calico's agent was started again");
        world.call(&["agent", "--uninstall"]);
        assert!(agent.ended());
        prober.held("tortie was uninstalled");
        assert!(!run("nft", &["list", "tables"]).contains("tortie"));
    });
}
