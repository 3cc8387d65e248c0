//! Three machines, each with a host endpoint and a workload, on one etcd; one of them loses it for a while.
//!
//! ```text
//!   hub: etcd, bridge 198.51.100.254 ──┬── n1 198.51.100.1 ── w1 10.65.1.2
//!                                      ├── n2 198.51.100.2 ── w2 10.65.2.2
//!                                      └── n3 198.51.100.3 ── w3 10.65.3.2
//! ```
//!
//! The cut lasts until the agent has noticed it, which is shorter than a minute and proves the same.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tortie_testkit::limit::limit;

use super::world::{Elsewhere, World, on_a_machine, run, until};

/// How long a denied connection is tried for, and how long an allowed one may be silent.
const TRY: Duration = Duration::from_millis(500);

/// A machine: its own namespace, that of its workload, and its agent.
struct Node {
    number: u8,
    host: Elsewhere,
    workload: Elsewhere,
    agent: Option<Child>,
    place: std::path::PathBuf,
}

impl Node {
    /// Lays a machine's cables; `world` is the hub.
    fn new(world: &World, number: u8) -> Self {
        let port = format!("n{number}");
        let host = Elsewhere::behind(&port, "eth0");
        run("ip", &["link", "set", &port, "master", "bridge", "up"]);
        let workload = host.run(move || {
            run("ip", &["addr", "add", &format!("198.51.100.{number}/24"), "dev", "eth0"]);
            run("ip", &["link", "set", "eth0", "up"]);
            run("ip", &["route", "add", "default", "via", "198.51.100.254"]);
            for other in (1..=3).filter(|other| *other != number) {
                run("ip", &["route", "add", &format!("10.65.{other}.2"), "via", &format!("198.51.100.{other}")]);
            }
            let workload = Elsewhere::behind("cali1", "eth0");
            run("ip", &["link", "set", "cali1", "up"]);
            workload
        });
        workload.run(move || {
            run("ip", &["link", "set", "eth0", "address", &mac(number)]);
            run("ip", &["addr", "add", &format!("10.65.{number}.2/32"), "dev", "eth0"]);
            run("ip", &["link", "set", "eth0", "up"]);
            run("ip", &["route", "add", "169.254.1.1", "dev", "eth0"]);
            run("ip", &["route", "add", "default", "via", "169.254.1.1"]);
        });
        let place = world.place.path().join(&port);
        std::fs::create_dir(&place).unwrap();
        Self { number, host, workload, agent: None, place }
    }

    fn tortie(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
        command
            .env_clear()
            .env("DATASTORE_TYPE", "etcdv3")
            .env("ETCD_ENDPOINTS", "http://198.51.100.254:2379")
            .env("TORTIE_RUN", self.place.join("run"))
            .env("TORTIE_STATE", self.place.join("state"))
            .env("FELIX_ENDPOINTSTATUSPATHPREFIX", self.place.join("calico"))
            .env("FELIX_FELIXHOSTNAME", format!("n{}", self.number));
        command
    }

    fn start(&mut self) {
        let log = std::fs::File::create(self.place.join("log")).unwrap();
        let mut command = self.tortie();
        command.arg("agent").arg("--felix-config").arg(self.place.join("felix.cfg")).stderr(log);
        self.agent = Some(self.host.run(move || command.spawn().unwrap()));
        until("the agent is ready, or has found that there is no store yet", || {
            let ended = self.agent.as_mut().is_none_or(|agent| agent.try_wait().unwrap().is_some());
            assert!(!ended, "the agent ended: {}", std::fs::read_to_string(self.place.join("log")).unwrap());
            let status = self.said(&["status", "-o", "json"]);
            status.is_some_and(|status| status["ready"] == true || status["store"]["state"] == "missing")
        });
    }

    /// What the program prints on this machine, if it succeeds.
    fn call(&self, arguments: &[&str]) -> Option<String> {
        let mut command = self.tortie();
        command.args(arguments);
        let output = self.host.run(move || command.output().unwrap());
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// What the program says in JSON, whether all is well or not; none if nobody answers.
    fn said(&self, arguments: &[&str]) -> Option<serde_json::Value> {
        let mut command = self.tortie();
        command.args(arguments);
        let output = self.host.run(move || command.output().unwrap());
        serde_json::from_slice(&output.stdout).ok()
    }

    fn store(&self) -> String {
        self.said(&["status", "-o", "json"]).unwrap()["store"]["state"].as_str().unwrap().to_owned()
    }

    fn is_up_to_date(&self) {
        self.call(&["status", "--wait"]).unwrap_or_else(|| panic!("n{} does not get there", self.number));
    }

    fn listen(&self, port: u16) {
        self.host.run(move || serve(port));
        self.workload.run(move || serve(port));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            // It may have ended.
            drop(agent.kill());
            drop(agent.wait());
        }
    }
}

/// Echoes what comes to a port of this thread's namespace.
fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
}

fn reach(from: &Elsewhere, to: &str, port: u16) -> bool {
    let to: SocketAddr = format!("{to}:{port}").parse().unwrap();
    from.run(move || TcpStream::connect_timeout(&to, limit(TRY)).is_ok())
}

/// A connection that is in use until it is asked whether it held.
struct Talk {
    end: Arc<AtomicBool>,
    words: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

impl Talk {
    fn begin(from: &Elsewhere, to: &str) -> Self {
        let to: SocketAddr = to.parse().unwrap();
        let (end, words) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, count) = (end.clone(), words.clone());
        let thread = from.run(move || {
            let mut stream = TcpStream::connect(to).unwrap();
            // Longer than any load makes a round take, and without patience for a lost connection.
            stream.set_read_timeout(Some(limit(Duration::from_secs(20)))).unwrap();
            std::thread::spawn(move || {
                while !ended.load(Ordering::SeqCst) {
                    let mut byte = [0];
                    stream.write_all(b"x")?;
                    stream.read_exact(&mut byte)?;
                    count.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            })
        });
        Self { end, words, thread }
    }

    /// Waits until it is heard to go on.
    fn goes_on(&self) {
        let before = self.words.load(Ordering::SeqCst);
        until("the talk goes on", || self.words.load(Ordering::SeqCst) > before + 3);
    }

    fn held(self) {
        self.goes_on();
        self.end.store(true, Ordering::SeqCst);
        self.thread.join().unwrap().unwrap();
    }
}

fn mac(number: u8) -> String {
    format!("02:00:00:00:00:0{number}")
}

fn endpoints(number: u8, role: &str) -> String {
    let mac = mac(number);
    format!(
        "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {{name: n{number}-eth0, labels: {{host: n{number}}}}}
spec: {{node: n{number}, interfaceName: eth0, expectedIPs: [198.51.100.{number}]}}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {{name: n{number}-k8s-w{number}-eth0, namespace: default, labels: {{role: {role}}}}}
spec: {{node: n{number}, orchestrator: k8s, pod: w{number}, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.{number}.2/32], mac: '{mac}'}}
---
"
    )
}

/// Who may come to the workloads that serve, at which port; and which host may come to the others.
fn policies(client: &str, port: u16, host: &str) -> String {
    format!(
        "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: web}}
spec:
  selector: role == 'web'
  types: [Ingress, Egress]
  ingress: [{{action: Allow, protocol: TCP, source: {{selector: \"role in {{ {client} }}\"}}, destination: {{ports: [80, {port}]}}}}]
  egress: [{{action: Allow}}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: clients}}
spec: {{selector: has(role) && role != 'web', types: [Egress], egress: [{{action: Allow}}]}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: hosts}}
spec:
  selector: has(host)
  types: [Ingress, Egress]
  egress: [{{action: Allow}}]
  ingress: [{{action: Allow, protocol: TCP, source: {{selector: host == '{host}'}}, destination: {{ports: [80]}}}}]
"
    )
}

#[test]
fn an_outage_of_etcd_changes_nothing_and_afterwards_the_machine_is_up_to_date() {
    on_a_machine(|world| {
        run("ip", &["link", "add", "bridge", "type", "bridge"]);
        run("ip", &["addr", "add", "198.51.100.254/24", "dev", "bridge"]);
        run("ip", &["link", "set", "bridge", "up"]);
        world.start_etcd_on("198.51.100.254");
        let mut nodes: Vec<Node> = (1..=3).map(|number| Node::new(world, number)).collect();
        for node in &mut nodes {
            node.listen(80);
            node.listen(81);
            node.start();
        }
        let [n1, n2, n3] = &nodes[..] else { panic!("three machines") };
        let apply = |text: &str| {
            let file = world.file("manifests.yaml", text);
            world.call(&["apply", "-f", file.to_str().unwrap()]);
        };
        let all = endpoints(1, "web") + &endpoints(2, "client") + &endpoints(3, "other");
        apply(&(all + &policies("'client'", 80, "n2")));
        nodes.iter().for_each(Node::is_up_to_date);
        let (w1, h1, h3) = ("10.65.1.2", "198.51.100.1", "198.51.100.3");
        assert!(reach(&n2.workload, w1, 80) && !reach(&n2.workload, w1, 81) && !reach(&n3.workload, w1, 80));
        assert!(reach(&n2.host, h1, 80) && !reach(&n3.host, h1, 80) && !reach(&n1.host, h3, 80));
        let talks = [Talk::begin(&n2.workload, "10.65.1.2:80"), Talk::begin(&n2.host, "198.51.100.1:80")];

        // Packets between the first machine and etcd are lost.
        run("nft", &["add", "table", "ip", "cut"]);
        for (hook, side, port) in [("input", "saddr", "dport"), ("output", "daddr", "sport")] {
            run("nft", &["add", "chain", "ip", "cut", hook, &format!("{{ type filter hook {hook} priority 0; }}")]);
            run("nft", &["add", "rule", "ip", "cut", hook, "ip", side, h1, "tcp", port, "2379", "drop"]);
        }
        apply(&(endpoints(3, "late") + &policies("'client', 'late'", 81, "n3")));
        [n2, n3].into_iter().for_each(Node::is_up_to_date);
        assert!(!reach(&n2.host, h3, 80), "who hears etcd follows it");
        until("the loss is noticed", || n1.store() == "lost");
        assert!(!reach(&n3.workload, w1, 80) && !reach(&n3.host, h1, 80) && !reach(&n2.workload, w1, 81));
        assert!(reach(&n2.workload, w1, 80) && reach(&n2.host, h1, 80), "what it heard last stays");
        talks.iter().for_each(Talk::goes_on);

        run("nft", &["delete", "table", "ip", "cut"]);
        until("etcd is heard again", || n1.store() == "in-sync");
        nodes.iter().for_each(Node::is_up_to_date);
        assert!(reach(&n3.workload, w1, 80) && reach(&n3.workload, w1, 81) && reach(&n2.workload, w1, 81));
        assert!(reach(&n3.host, h1, 80) && !reach(&n2.host, h1, 80));
        talks.into_iter().for_each(Talk::held);
    });
}
