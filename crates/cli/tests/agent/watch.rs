//! `tortie watch`: denied packets in the names of the store, and changes of the status, while they happen.

use std::io::{BufRead, BufReader};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::ENDPOINT;
use crate::workloads;
use crate::world::{World, deadline, on_a_machine, on_each_machine, reach_at, run, until};

/// Allows a port, denies another with a rule of its own and UDP with a third; the end of the tier denies the rest.
const POLICY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  selector: role == 'web'
  types: [Ingress, Egress]
  ingress:
    - {action: Allow, protocol: TCP, destination: {ports: [80]}}
    - {action: Deny, protocol: TCP, destination: {ports: [81]}}
    - {action: Deny, protocol: UDP}
  egress:
    - {action: Deny, protocol: TCP, destination: {ports: [7]}}
    - {action: Allow}
";

#[test]
fn a_store_that_does_not_answer_is_not_in_sync_for_whoever_begins_to_watch() {
    on_a_machine(|world| {
        world.start_etcd();
        let _agent = world.agent();
        world.apply(ENDPOINT);
        world.signal_etcd(Signal::STOP);
        until("a read has no answer", || world.status()["store"]["state"] == "not-answering");
        let watcher = Watcher::new(world, &[]);
        let of_store = |line: &str| line.contains(" store: ");
        let said = watcher.until(|| (), of_store);
        assert!(said.contains("DOES NOT ANSWER, what it held last is in force: a read "), "{said}");
        world.signal_etcd(Signal::CONT);
        watcher.until(|| (), |line| of_store(line) && line.ends_with(": in sync"));
    });
}

/// A command that prints a line whenever something happens.
struct Watcher {
    process: Child,
    lines: Receiver<String>,
}

impl Watcher {
    fn new(world: &World, arguments: &[&str]) -> Self {
        Self::calling(world, &[&["watch"], arguments].concat())
    }

    fn calling(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.tortie();
        let mut process = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let from = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || from.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines }
    }

    /// Waits for a line that fits, while `act` is done again and again.
    fn until(&self, act: impl Fn(), fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + deadline();
        let mut seen = Vec::new();
        while Instant::now() < deadline {
            act();
            while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
                if fits(&line) {
                    return line;
                }
                seen.push(line);
            }
        }
        panic!("no such line among {seen:#?}");
    }

    /// The next denial that fits.
    fn denial(&self, act: impl Fn(), fits: impl Fn(&Value) -> bool) -> Value {
        let line = self.until(act, |line| fits(&serde_json::from_str(line).unwrap()));
        serde_json::from_str(&line).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits until it has ended: its exit status, and what it said of that.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut status = None;
        until("watch ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        let said = std::io::read_to_string(self.process.stderr.take().unwrap()).unwrap();
        (status.unwrap().code(), said)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn table() -> String {
    run("nft", &["list", "table", "inet", "tortie"])
}

/// The table without what is counted.
fn rules() -> String {
    let counts = regex_lite::Regex::new("packets [0-9]+ bytes [0-9]+").unwrap();
    counts.replace_all(&table(), "").into_owned()
}

/// Does what a denial says explains it: what `explain` prints, which must say that the packet is denied.
fn explained(world: &World, denial: &Value) -> String {
    let command = denial["explain"].as_str().unwrap();
    let arguments: Vec<&str> = command.strip_prefix("tortie ").unwrap().split(' ').collect();
    let output = world.tortie().args(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command}");
    String::from_utf8(output.stdout).unwrap()
}

fn knock(world: &World, address: &'static str) {
    world.outside(move || TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_millis(50)).is_ok());
}

/// Sends an echo request to the machine.
fn ping() {
    use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).unwrap();
    let to: std::net::SocketAddrV4 = "192.0.2.11:0".parse().unwrap();
    sendto(&socket, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0], SendFlags::empty(), &to).unwrap();
}

#[test]
fn a_denied_packet_is_shown_with_endpoint_policy_rule_and_the_command_that_explains_it() {
    on_each_machine(|world| {
        run("ip", &["addr", "add", "fd00:99::11/64", "dev", "eth0", "nodad"]);
        world.outside(|| run("ip", &["addr", "add", "fd00:99::99/64", "dev", "out", "nodad"]));
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + POLICY));
        let before = rules();
        let watcher = Watcher::new(world, &["--denied", "-o", "json"]);
        let of = |port: u16| move |denial: &Value| denial["is"] == "denied" && denial["destinationPort"] == port;

        for (address, source) in [("192.0.2.11:81", "192.0.2.99"), ("[fd00:99::11]:81", "fd00:99::99")] {
            let fits = |denial: &Value| of(81)(denial) && denial["source"] == source;
            let denial = watcher.denial(|| knock(world, address), fits);
            assert_eq!(denial["endpoint"], "hep/web1-eth0", "{denial}");
            assert_eq!(denial["direction"], "ingress", "{denial}");
            assert_eq!(denial["tier"], "default", "{denial}");
            assert_eq!(denial["policy"], "gnp web", "{denial}");
            assert_eq!(denial["rule"], 2, "{denial}");
            assert_eq!(denial["inInterface"], "eth0", "{denial}");
            let text = explained(world, &denial);
            assert!(text.contains("DENIED by gnp web rule 2"), "{text}");
        }
        let denial = watcher.denial(|| knock(world, "192.0.2.11:82"), of(82));
        assert_eq!(denial["by"], "the end of tier default", "{denial}");
        assert_eq!((&denial["tier"], &denial["rule"]), (&Value::from("default"), &Value::Null), "{denial}");
        assert_eq!(denial["endpoint"], "hep/web1-eth0", "{denial}");
        explained(world, &denial);

        // In fragments, which are one packet again when it is denied.
        let send = || {
            world.outside(|| {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.send_to(&[0; 4000], "192.0.2.11:9").unwrap();
            });
        };
        let denial = watcher.denial(send, of(9));
        assert_eq!((&denial["protocol"], &denial["rule"]), (&Value::from("udp"), &Value::from(3)), "{denial}");

        let out = || drop(TcpStream::connect_timeout(&"192.0.2.99:7".parse().unwrap(), Duration::from_millis(50)));
        let denial = watcher.denial(out, of(7));
        assert_eq!(denial["direction"], "egress", "{denial}");
        assert_eq!((&denial["rule"], &denial["outInterface"]), (&Value::from(1), &Value::from("eth0")), "{denial}");
        explained(world, &denial);

        let denial = watcher.denial(|| world.outside(ping), |denial| denial["icmpType"] == 8);
        assert_eq!(denial["by"], "the end of tier default", "{denial}");
        explained(world, &denial);

        world.call(&["verify"]);
        // Changes go on meanwhile, and what they bring is logged too.
        world.apply(&POLICY.replace("[81]", "[83]"));
        let denial = watcher.denial(|| knock(world, "192.0.2.11:83"), of(83));
        assert_eq!(denial["rule"], 2, "{denial}");
        world.call(&["verify"]);
        world.apply(POLICY);

        watcher.signal(Signal::INT);
        until("nothing is logged any more", || !table().contains("log"));
        assert_eq!(rules(), before);
        world.call(&["verify"]);
    });
}

#[test]
fn to_watch_denied_packets_costs_no_rule_its_count() {
    on_each_machine(|world| {
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + POLICY));
        let counted = || {
            let table = table();
            let line =
                table.lines().find(|line| line.ends_with("comment \"rule 2 of gnp web ingress: Deny\"")).unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            words[words.iter().position(|word| *word == "packets").unwrap() + 1].parse::<u64>().unwrap()
        };
        until("a packet is denied", || {
            knock(world, "192.0.2.11:81");
            counted() > 0
        });
        let before = counted();
        let watcher = Watcher::new(world, &["--denied"]);
        let line = watcher.until(|| knock(world, "192.0.2.11:81"), |line| line.contains("denied by rule 2 of gnp web"));
        assert!(line.contains(" hep/web1-eth0 ingress: tcp 192.0.2.99:"), "{line}");
        assert!(counted() > before);
        let before = counted();
        drop(watcher);
        until("nothing is logged any more", || !table().contains("log"));
        assert!(counted() >= before);
    });
}

#[test]
fn a_denial_on_the_way_to_a_workload_names_the_workload() {
    on_a_machine(|world| {
        let (_pod, _listeners) = workloads::pod(world);
        let _agent = world.agent();
        // The host endpoint lets pass what is forwarded.
        world.apply(&(ENDPOINT.to_owned() + workloads::ENDPOINT + &workloads::allow(80)));
        let watcher = Watcher::new(world, &["--denied", "-o", "json"]);
        let act = || {
            world.outside(|| reach_at(workloads::POD, 81));
        };
        let denial = watcher.denial(act, |denial| denial["destinationPort"] == 81);
        assert_eq!(denial["endpoint"], "wep/shop/web1-cni-web-eth0", "{denial}");
        assert_eq!((&denial["direction"], &denial["outInterface"]), (&"ingress".into(), &"cali1".into()), "{denial}");
        assert_eq!(denial["by"], "the end of tier default", "{denial}");
        explained(world, &denial);
        // A rule's chain does not say whose turn it was: both endpoints have ingress policy for what is forwarded.
        world.apply(
            "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: router}
spec: {selector: role == 'web', applyOnForward: true, types: [Ingress], ingress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: strict, namespace: shop}
spec: {order: 1, types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [82]}}]}
",
        );
        let act = || {
            world.outside(|| reach_at(workloads::POD, 82));
        };
        let denial = watcher.denial(act, |denial| denial["destinationPort"] == 82);
        assert_eq!(denial["endpoint"], "wep/shop/web1-cni-web-eth0", "{denial}");
        assert_eq!((&denial["policy"], &denial["rule"]), (&"np shop/strict".into(), &1.into()), "{denial}");
        explained(world, &denial);
    });
}

#[test]
fn watch_shows_changes_and_ends_with_the_agent() {
    on_a_machine(|world| {
        let agent = world.agent();
        let watcher = Watcher::new(world, &[]);
        watcher.until(|| (), |line| line.contains(" store: embedded store") && line.contains("DOES NOT EXIST"));
        world.apply(POLICY);
        watcher.until(|| (), |line| line.contains(" store: embedded store") && line.ends_with("in sync"));
        watcher.until(|| (), |line| line.contains(" interface eth0: governed by no endpoint"));
        world.call(&["off"]);
        watcher.until(|| (), |line| line.contains(" enforcement: NO policy is enforced: enforcement is OFF since"));
        world.call(&["on"]);
        watcher.until(|| (), |line| line.ends_with(" enforcement: on"));
        world.apply(&(ENDPOINT.to_owned() + POLICY));
        watcher.until(|| (), |line| line.contains(" interface eth0: governed by hep/web1-eth0"));
        let line = watcher.until(|| (), |line| line.contains("endpoint hep/web1-eth0: ") && line.contains("gnp web"));
        assert!(
            line.contains("on eth0; normal ingress: default/gnp web, then denied by the end of tier default"),
            "{line}"
        );
        watcher.until(|| (), |line| line.contains(" generation: ") && line.ends_with("is in force"));
        let json = Watcher::new(world, &["-o", "json"]);
        json.until(|| (), |line| line.contains("\"kind\":\"endpoint\",\"name\":\"hep/web1-eth0\""));
        world.call(&["delete", "hep", "web1-eth0"]);
        watcher.until(|| (), |line| line.ends_with("endpoint hep/web1-eth0: no more"));
        json.until(|| (), |line| line.contains("\"name\":\"hep/web1-eth0\",\"now\":null"));
        agent.signal(Signal::TERM);
        assert!(agent.ended());
        let (status, said) = watcher.ended();
        assert_eq!(
            (status, &*said),
            (Some(2), "error: the agent ended, or it ended the connection because nobody read in time\n")
        );
        assert_eq!(json.ended().0, Some(2));
        let (status, said) = Watcher::new(world, &["--denied"]).ended();
        assert!(status == Some(2) && said.contains("no agent answers"), "{status:?} {said}");
    });
}

#[test]
fn a_reader_that_closes_the_output_ends_watch_although_nothing_happens() {
    on_a_machine(|world| {
        let _agent = world.agent();
        for arguments in [&["watch"][..], &["watch", "--denied"], &["top", "--interval", "100ms"]] {
            let mut process = world.tortie().args(arguments).stdout(Stdio::piped()).spawn().unwrap();
            drop(process.stdout.take());
            let mut status = None;
            until("it ends", || {
                status = process.try_wait().unwrap();
                status.is_some()
            });
            assert_eq!(status.unwrap().code(), Some(0), "{arguments:?}");
        }
    });
}

#[test]
fn top_shows_how_fast_each_rule_counts() {
    on_a_machine(|world| {
        world.listen(80);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + POLICY));
        let rule = |line: &str, number: &str| {
            let receiver: Value = serde_json::from_str(line).unwrap();
            let rules = receiver["rules"].as_array().unwrap().clone();
            rules.into_iter().find(|rule| rule["rule"] == number && rule["direction"] == "ingress").unwrap()
        };
        let top = Watcher::calling(world, &["top", "--interval", "300ms", "-o", "json"]);
        let line =
            top.until(|| assert!(world.reaches(80)), |line| rule(line, "1")["packetsPerSecond"].as_f64() > Some(0.0));
        assert_eq!(rule(&line, "1")["policy"], "gnp web");
        assert_eq!(rule(&line, "2")["packetsPerSecond"], 0.0);
        let text = world.call(&["top", "--once", "--interval", "100ms", "-n", "1"]);
        assert!(text.contains("RULE (1 of ") && text.contains(" gnp web ingress rule 1: Allow\n"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    });
}

#[test]
fn status_foreign_shows_which_chains_of_others_can_drop_or_translate() {
    on_a_machine(|world| {
        let none = "no other program has a chain on the hooks of packets\n";
        assert_eq!(world.call(&["status", "--foreign"]), none);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + POLICY));
        assert_eq!(world.call(&["status", "--foreign"]), none, "the own table is not another's");
        let file = world.file(
            "others.nft",
            "table ip wall {
                chain in { type filter hook input priority 5; policy drop; tcp dport 22 accept; jump more; }
                chain more { udp dport 9 reject; }
                chain look { type filter hook input priority -5; counter; }
            }
            table ip6 wall { chain out { type filter hook output priority 0; tcp dport vmap { 1 : drop, 2 : accept }; }; }
            table inet router {
                chain after { type nat hook postrouting priority 100; masquerade; }
                chain before { type nat hook prerouting priority -100; tcp dport 80 dnat ip to 10.0.0.1; }
                chain asks { type filter hook forward priority 0; jump unused; }
                chain unused { return; drop; }
            }",
        );
        run("nft", &["-f", file.to_str().unwrap()]);
        let before = run("nft", &["-s", "list", "ruleset"]);
        assert_eq!(
            world.call(&["status", "--foreign"]),
            "\
prerouting, by priority:
   -100  table inet router chain before, type nat, policy accept, 1 rule: translates (dnat)
input, by priority:
     -5  table ip wall chain look, type filter, policy accept, 1 rule: drops and translates nothing
      5  table ip wall chain in, type filter, policy drop, 3 rules: CAN DROP (policy drop, reject)
forward, by priority:
      0  table inet router chain asks, type filter, policy accept, 3 rules: CAN DROP (drop)
output, by priority:
      0  table ip6 wall chain out, type filter, policy accept, 1 rule: CAN DROP (drop)
postrouting, by priority:
    100  table inet router chain after, type nat, policy accept, 1 rule: translates (masquerade)
"
        );
        let told: Value = serde_json::from_str(&world.call(&["status", "--foreign", "-o", "json"])).unwrap();
        assert_eq!(told["chains"][2]["drops"], serde_json::json!(["policy drop", "reject"]));
        assert_eq!(told["unread"], serde_json::json!([]));
        assert_eq!(run("nft", &["-s", "list", "ruleset"]), before);
        let told = world.call(&["verify"]);
        assert!(told.contains("what the store says, and nothing else in the tables of tortie\n"), "{told}");
        assert!(told.contains("not compared: the tables of other programs, which packets meet as well"), "{told}");
        assert!(told.contains("\n  table ip wall: CAN DROP (policy drop, reject)\n"), "{told}");
        let told: Value = serde_json::from_str(&world.call(&["verify", "-o", "json"])).unwrap();
        assert_eq!(told["otherPrograms"]["tables"][0]["table"], "ip wall");
    });
}

#[test]
fn status_foreign_and_explain_know_chains_of_devices_and_bridges_and_the_chains_that_a_map_chooses() {
    on_a_machine(|world| {
        world.listen(80);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + POLICY));
        assert!(world.reaches(80));
        let file = world.file(
            "devices.nft",
            "table netdev early {
                chain in { type filter hook ingress device eth0 priority -500; policy accept; tcp dport 80 drop; }
                chain out { type filter hook egress devices = { eth0, lo } priority 0; policy accept; counter; }
            }
            table inet mixed {
                chain first { type filter hook ingress device eth0 priority 10; policy accept; }
                chain choose {
                    type filter hook input priority 0; policy accept;
                    tcp dport vmap { 1 : jump one, 2 : accept }
                    ip saddr 203.0.113.1 jump { tcp dport 9 drop; }
                }
                chain one { counter; }
                chain other { type filter hook output priority 0; policy accept; counter; counter; counter; drop; }
            }
            table bridge ports { chain forward { type filter hook forward priority 0; policy drop; }; }
            table arp neighbours { chain in { type filter hook input priority 0; policy accept; }; }",
        );
        run("nft", &["-f", file.to_str().unwrap()]);
        assert_eq!(
            world.call(&["status", "--foreign"]),
            "\
ingress of eth0, by priority:
   -500  table netdev early chain in, type filter, policy accept, 1 rule: CAN DROP (drop)
     10  table inet mixed chain first, type filter, policy accept, 0 rules: drops and translates nothing
forward of bridges, by priority:
      0  table bridge ports chain forward, type filter, policy drop, 0 rules: CAN DROP (policy drop)
input, by priority:
      0  table inet mixed chain choose, type filter, policy accept, 4 rules: CAN DROP (drop)
output, by priority:
      0  table inet mixed chain other, type filter, policy accept, 4 rules: CAN DROP (drop)
egress of eth0, lo, by priority:
      0  table netdev early chain out, type filter, policy accept, 1 rule: drops and translates nothing
tables of family arp, which are not looked into; they see no IP packet, and may keep neighbours from being found: neighbours
"
        );
        assert!(!world.reaches(80), "the packet filter of the device drops it");
        let said = world.said(&["explain", "192.0.2.99", "192.0.2.11", "tcp/80"]);
        assert!(said.contains("table netdev early of another program drops it: chain in, rule 1"), "{said}");
    });
}

#[test]
fn get_watch_follows_etcd_until_it_is_lost_and_says_so() {
    on_a_machine(|world| {
        world.start_etcd();
        let _agent = world.agent();
        world.apply(ENDPOINT);
        let watcher = Watcher::calling(world, &["get", "hep", "-w", "-o", "name"]);
        watcher.until(|| {}, |line| line == "ADDED hostendpoint/web1-eth0");
        world.call(&["label", "hep", "web1-eth0", "zone=a"]);
        // What was told is forgotten by etcd: a watch that runs does not ask for it again.
        world.etcdctl(&["compact", "2"]);
        watcher.until(|| {}, |line| line == "MODIFIED hostendpoint/web1-eth0");
        world.call(&["delete", "hep", "web1-eth0"]);
        watcher.until(|| {}, |line| line == "DELETED hostendpoint/web1-eth0");
        world.kill_etcd();
        let (status, said) = watcher.ended();
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("error: the store is lost: ") && said.contains("are not shown"), "{said}");
    });
}
