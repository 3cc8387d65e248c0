//! What `explain` and `status` know of their own machine: its routes, endpoints that govern nothing, and other programs' tables.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::world::{World, on_a_machine, run, until};
use crate::{ENDPOINT, allow};

/// A second interface and a container network behind a bridge, as docker makes it.
fn wide(world: &World) {
    for line in [
        "link add eth1 type veth peer name p-eth1",
        "link set eth1 up",
        "link set p-eth1 up",
        "addr add 198.51.100.11/24 dev eth1",
        "link add docker0 type bridge",
        "link add port type veth peer name container",
        "link set port master docker0",
        "link set port up",
        "link set container up",
        "link set docker0 up",
        "addr add 172.17.0.1/16 dev docker0",
        "route add default via 192.0.2.99",
    ] {
        run("ip", &line.split(' ').collect::<Vec<_>>());
    }
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    world.apply(&(ENDPOINT.to_owned() + &allow(80)));
}

/// Makes it known by which interface packets to each address of the machine come in.
fn check_sources_strictly() {
    std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap();
}

fn nft(world: &World, text: &str) {
    let file = world.file("others.nft", text);
    run("nft", &["-f", file.to_str().unwrap()]);
}

const OTHERS: &str = "
table ip nat {
  chain PREROUTING { type nat hook prerouting priority -100; fib daddr type local jump DOCKER; }
  chain DOCKER { iifname != \"docker0\" tcp dport 5000 dnat to 172.17.0.2:5001; }
}
table ip filter {
  chain FORWARD { type filter hook forward priority 0; policy drop; ip daddr 172.17.0.3 accept; }
}
table inet strange {
  chain in { type filter hook input priority 0; tcp dport 80 limit rate 3/second drop; }
}
";

#[test]
fn explain_shows_the_incoming_interface_and_what_other_programs_do_to_the_packet() {
    on_a_machine(|world| {
        let _agent = world.agent();
        wide(world);
        check_sources_strictly();
        let said = world.call(&["explain", "203.0.113.9", "node/web1", "tcp/80"]);
        assert!(said.contains("note: it enters web1 at eth0, as web1's route to 203.0.113.9 says"), "{said}");
        let said = world.call(&["explain", "198.51.100.9", "node/web1", "tcp/5432"]);
        assert!(said.contains("→ 198.51.100.11:5432, new, enters web1 at eth1"), "{said}");
        assert!(said.ends_with("ALLOWED: no tortie endpoint applies to it\n"), "{said}");
        nft(world, OTHERS);
        let before = run("nft", &["list", "ruleset"]);
        let translated = "table ip nat of another program translates it to 172.17.0.2:5001 (chain DOCKER, rule 1)";
        let untranslated = ["explain", "203.0.113.9", "node/web1", "tcp/5000", "--dnat", "none"];
        let said = world.fails(&untranslated);
        assert!(said.contains("\nDENIED by "), "{said}");
        assert!(said.ends_with(&format!(". But it is not judged as translated: {translated}\n")), "{said}");
        // What the table translates is judged so, as with --dnat.
        let plain = &untranslated[..4];
        until("the bridge is up", || !world.said(plain).contains("down or without carrier"));
        let said = world.fails(plain);
        assert!(said.contains(&format!("note: {translated}\n")), "{said}");
        assert!(
            said.contains("to 172.17.0.2:5001, as table ip nat of another program (chain DOCKER, rule 1) says"),
            "{said}"
        );
        assert!(!said.contains("no table of another program drops or translates it"), "{said}");
        let end = "\nDROPPED by table ip filter of another program (chain FORWARD has policy drop); tortie alone: ALLOWED: no rule of a tortie policy denies it";
        assert!(said.ends_with(&format!("{end}. It is judged as translated: {translated}\n")), "{said}");
        let shown: serde_json::Value = serde_json::from_str(&world.said(&[plain, &["-o", "json"]].concat())).unwrap();
        assert_eq!([&shown["allowed"], &shown["allowedByTortie"]], [false, true]);
        assert_eq!(shown["otherPrograms"]["translates"], translated);
        assert_eq!(shown["legs"][0]["translated"]["address"], "172.17.0.2");
        assert_eq!(shown["unanswered"], serde_json::Value::Null);
        // Two tables that translate it to different places.
        let other = "table ip same { chain first { type nat hook prerouting priority -100; tcp dport 5000 dnat to 172.17.0.9; }; }";
        nft(world, other);
        let output = world.tortie().args(plain).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("\nUNANSWERED: table ip nat of another program (chain DOCKER, rule 1) translates"),
            "{said}"
        );
        assert!(said.contains("which of them is first; without the translation: DENIED by"), "{said}");
        let shown: serde_json::Value = serde_json::from_str(&world.said(&[plain, &["-o", "json"]].concat())).unwrap();
        assert!(shown["allowed"] == false && shown["unanswered"].is_string(), "{shown}");
        run("nft", &["delete", "table", "ip", "same"]);
        let asked = ["explain", "203.0.113.9", "node/web1", "tcp/5000", "--dnat", "172.17.0.2:5001"];
        until("the bridge is up", || !world.said(&asked).contains("down or without carrier"));
        // Tortie allows it, and another program drops it: neither the exit status nor the last line says otherwise.
        let said = world.fails(&asked);
        assert!(said.contains("enters web1 at eth0") && said.contains("leaves web1 by docker0"), "{said}");
        assert!(said.contains("to 172.17.0.2:5001, as --dnat says"), "{said}");
        assert!(
            said.ends_with(
                "\nDROPPED by table ip filter of another program (chain FORWARD has policy drop); tortie alone: ALLOWED: no rule of a tortie policy denies it\n"
            ),
            "{said}"
        );
        assert!(said.contains("drops it: chain FORWARD has policy drop"), "{said}");
        let shown: serde_json::Value =
            serde_json::from_str(&world.said(&[&asked[..], &["-o", "json"]].concat())).unwrap();
        assert_eq!([&shown["allowed"], &shown["allowedByTortie"]], [false, true]);
        assert_eq!(
            shown["otherPrograms"]["drops"],
            "table ip filter of another program (chain FORWARD has policy drop)"
        );
        let asked = [&asked[..5], &["172.17.0.3:5001"]].concat();
        assert!(world.call(&asked).ends_with("ALLOWED: no rule of a tortie policy denies it\n"));
        // A bridge behind which nothing is up sends nothing.
        run("ip", &["link", "set", "container", "down"]);
        until("explain sees it", || {
            let said = String::from_utf8(world.tortie().args(&asked).output().unwrap().stdout).unwrap();
            said.contains("\nDROPPED: web1's route to 172.17.0.3 leads by docker0, down or without carrier")
        });
        // A rate cannot be known.
        let said = world.call(&["explain", "203.0.113.9", "node/web1", "http"]);
        assert!(said.contains("table inet strange of another program may drop it ("), "{said}");
        assert!(said.ends_with(", unless table inet strange of another program drops the packet\n"), "{said}");
        // Multicast is for the machine too.
        let said = world.fails(&["explain", "192.0.2.99", "192.0.2.255", "udp/137"]);
        assert!(
            said.contains("enters web1 at eth0") && said.contains("\nDENIED by end of tier default, ingress"),
            "{said}"
        );
        assert_eq!(
            run("nft", &["list", "ruleset"]).replace(char::is_numeric, ""),
            before.replace(char::is_numeric, "")
        );
    });
}

#[test]
fn a_condition_on_what_the_question_leaves_open_is_never_told_as_certain() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.listen(80);
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let asked = ["explain", "203.0.113.9", "node/web1", "tcp/80"];
        // The kernel's own SYN has options and no empty header.
        for (condition, arrives) in
            [("tcp flags syn tcp doff > 5", false), ("tcp flags syn tcp doff 5", true), ("meta length 40", true)]
        {
            nft(
                world,
                &format!("table inet other {{ chain in {{ type filter hook input priority 0; {condition} drop; }}; }}"),
            );
            assert_eq!(world.reaches(80), arrives, "{condition}");
            let said = world.call(&asked);
            assert!(said.contains("note: table inet other of another program may drop it ("), "{condition}: {said}");
            assert!(said.contains(" is not fixed by the question)"), "{condition}: {said}");
            run("nft", &["delete", "table", "inet", "other"]);
        }
    });
}

#[test]
fn the_last_line_says_that_a_table_may_translate_the_packet_and_the_notes_what_others_may_do() {
    on_a_machine(|world| {
        let _agent = world.agent();
        wide(world);
        let asked = ["explain", "203.0.113.9", "node/web1", "tcp/80"];
        let quiet = |more: &[&str]| world.call(&[&asked[..], &["-q"], more].concat());
        let certain = quiet(&[]);
        // Whether the mark is set is not known.
        let open = "table ip nat {
          chain PREROUTING { type nat hook prerouting priority -100; tcp dport 80 meta mark 1 dnat to 172.17.0.2:5001; }
          chain unused { tcp dport 80 dnat to 172.17.0.9; }
        }";
        nft(world, open);
        let unless = ", unless table ip nat of another program translates the packet\n";
        assert_eq!(quiet(&[]), certain.trim_end().to_owned() + unless);
        let said = world.call(&asked);
        assert!(said.ends_with(unless), "{said}");
        assert!(
            said.contains("note: table ip nat of another program may translate it to 172.17.0.2:5001: then"),
            "{said}"
        );
        let json = |asked: &[&str]| -> serde_json::Value {
            serde_json::from_str(&world.said(&[asked, &["-o", "json"]].concat())).unwrap()
        };
        let shown = json(&asked);
        assert_eq!(shown["otherPrograms"]["mayTranslate"], serde_json::json!(["table ip nat of another program"]));
        assert_eq!(shown["allowed"], true);
        // Another port, and a translation that was named, or ruled out.
        let other = world.said(&["explain", "-q", "203.0.113.9", "node/web1", "tcp/81"]);
        assert!(!other.contains("unless"), "{other}");
        assert_eq!(quiet(&["--dnat", "none"]), certain);
        let named = world.said(&[&asked[..], &["-q", "--dnat", "172.17.0.2:5001"]].concat());
        assert!(!named.contains("unless"), "{named}");
        // A translation that is certain in one table, and possible in others.
        let first = "table ip first {
          chain pre { type nat hook prerouting priority -110; tcp dport 80 dnat to 172.17.0.2:5001; }
          chain through { type filter hook forward priority 0; meta mark 1 drop; }
        }";
        nft(world, first);
        until("the bridge is up", || !world.said(&asked).contains("down or without carrier"));
        let shown = json(&asked);
        assert_eq!(shown["legs"][0]["translated"]["by"], "table ip first of another program (chain pre, rule 1)");
        assert_eq!(shown["otherPrograms"]["mayTranslate"], serde_json::json!([]), "to the same place");
        nft(
            world,
            "table ip zero { chain pre { type nat hook prerouting priority -120; tcp dport 80 meta mark 2 dnat to 172.17.0.9; }; }",
        );
        let shown = json(&asked);
        assert_eq!(shown["otherPrograms"]["mayTranslate"], serde_json::json!(["table ip zero of another program"]));
        let notes = shown["otherPrograms"]["notes"].to_string();
        assert!(notes.contains("table ip zero of another program may translate it to 172.17.0.9"), "{notes}");
        assert_eq!(shown["otherPrograms"]["mayDrop"], serde_json::json!(["table ip first of another program"]));
        assert!(notes.contains("table ip first of another program may drop it"), "{notes}");
    });
}

#[test]
fn a_note_says_of_a_packet_that_is_sent_that_a_chain_of_type_route_may_change_its_route() {
    on_a_machine(|world| {
        let _agent = world.agent();
        wide(world);
        nft(
            world,
            "table ip mangle { chain OUTPUT { type route hook output priority -150; tcp dport 443 meta mark set 7; }; }",
        );
        let said = world.said(&["explain", "node/web1", "203.0.113.9", "tcp/443"]);
        let note = "note: table ip mangle of another program may send it out by another interface: its chain OUTPUT of type route may change its mark, DSCP or addresses; it is judged as leaving by eth0 all the same\n";
        assert!(said.contains(note), "{said}");
        for other in [["node/web1", "203.0.113.9", "tcp/444"], ["203.0.113.9", "node/web1", "tcp/443"]] {
            let said = world.said(&[&["explain"], &other[..]].concat());
            assert!(!said.contains("of type route"), "{said}");
        }
    });
}

const HOST_PORT: &str = "
{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: open}, spec: {ingress: [{action: Allow}], egress: [{action: Allow}]}}
---
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: {name: web1-k8s-shop-eth0, namespace: default}
spec: {orchestrator: k8s, node: web1, pod: shop, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.65.0.2/32], profiles: [open], ports: [{protocol: TCP, port: 80, hostPort: 8080}]}
";

#[test]
fn a_host_port_is_followed_and_explain_says_where_no_table_translates_it() {
    on_a_machine(|world| {
        let _agent = world.agent();
        wide(world);
        check_sources_strictly();
        for line in ["link add cali1 type veth peer name pod", "link set cali1 up", "link set pod up"] {
            run("ip", &line.split(' ').collect::<Vec<_>>());
        }
        world.apply(HOST_PORT);
        let asked = ["explain", "203.0.113.9", "node/web1", "tcp/8080"];
        let missing =
            "note: no table on this machine translates it, so the portmap plugin that is assumed has not done it";
        until("the route of the pod leads to it", || world.said(&asked).contains("\nALLOWED by profile open"));
        let said = world.call(&asked);
        assert!(said.contains("to 10.65.0.2:80, as hostPort tcp/8080 of pod default/shop says"), "{said}");
        assert!(said.contains(missing), "{said}");
        // What portmap writes, in short.
        nft(
            world,
            "table ip nat {
              chain PREROUTING { type nat hook prerouting priority -100; fib daddr type local jump HOSTPORTS; }
              chain HOSTPORTS { tcp dport 8080 dnat to 10.65.0.2:80; }
            }",
        );
        let said = world.call(&asked);
        assert!(said.contains("\nALLOWED by profile open") && !said.contains(missing), "{said}");
        // It is known then, and no longer assumed; a later chain translates nothing.
        let portmap = "table ip nat of another program translates it to 10.65.0.2:80 (chain HOSTPORTS, rule 1)";
        let later = "table ip later { chain pre { type nat hook prerouting priority -90; tcp dport 8080 dnat to 172.17.0.2; }; }";
        for table in ["", later] {
            nft(world, table);
            let said = world.call(&asked);
            assert!(said.contains(&format!("note: {portmap}\n")), "{said}");
            assert!(said.ends_with(&format!("It is judged as translated: {portmap}\n")), "{said}");
            assert!(
                said.contains("to 10.65.0.2:80, as table ip nat of another program (chain HOSTPORTS, rule 1) says"),
                "{said}"
            );
            assert!(!said.contains("assumed") && !said.contains("no table") && !said.contains("ip later"), "{said}");
        }
        nft(world, "delete table ip later;");
        let said = world.fails(&[&asked[..], &["--dnat", "none"]].concat());
        assert!(said.contains("table ip nat of another program translates it to 10.65.0.2:80"), "{said}");
        // What is assumed counts less than what a table does for certain.
        nft(
            world,
            "delete table ip nat
            table ip other { chain pre { type nat hook prerouting priority -100; tcp dport 8080 dnat to 172.17.0.2:5001; }; }",
        );
        until("the bridge is up", || !world.said(&asked).contains("down or without carrier"));
        let said = world.said(&asked);
        assert!(
            said.contains("to 172.17.0.2:5001, as table ip other of another program (chain pre, rule 1) says"),
            "{said}"
        );
        assert!(!said.contains("portmap") && !said.contains("profile open"), "{said}");
        // A packet that is dropped behind the translation carries it.
        run("ip", &["link", "set", "container", "down"]);
        until("explain sees it", || world.said(&asked).contains("down or without carrier"));
        let shown: serde_json::Value =
            serde_json::from_str(&world.said(&[&asked[..], &["-o", "json"]].concat())).unwrap();
        let leg = &shown["legs"][0];
        assert!(leg["dropped"].is_string() && leg["translated"]["address"] == "172.17.0.2", "{shown}");
        assert_eq!(leg["translated"]["by"], "table ip other of another program (chain pre, rule 1)");
    });
}

const IDLE: &str = "
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: second}, spec: {node: web1, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: a-port}, spec: {node: web1, interfaceName: port}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: far}, spec: {node: web1.example.com, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: gone}, spec: {node: web1, expectedIPs: [192.0.2.77]}}
";

#[test]
fn the_first_endpoint_of_a_machine_whose_node_is_mistyped_by_several_letters_is_reported() {
    on_a_machine(|world| {
        let _agent = world.started_as("db1.frankfurt.example.com", &[]);
        let file = world.file("first.yaml", &ENDPOINT.replace("web1,", "db1.frnakfrt.example.com,"));
        // Only an agent that has started tells its name.
        until("it is told", || {
            let output = world.tortie().args(["apply", "-f", file.to_str().unwrap()]).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            stderr
                .contains("a node that is not known; did you mean db1.frankfurt.example.com, the node of this machine?")
        });
    });
}

#[test]
fn an_endpoint_of_an_unknown_node_with_an_address_of_this_machine_is_reported_by_apply_and_lint() {
    on_a_machine(|world| {
        let _agent = world.started_as("frontend", &[]);
        let endpoint = "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web1-eth0},
            spec: {node: machine7, interfaceName: eth0, expectedIPs: [192.0.2.11]}}";
        let file = world.file("old.yaml", endpoint);
        let why = "is on machine7, a node that no other object names, and frontend has its address";
        until("apply tells it", || {
            let output = world.tortie().args(["apply", "-f", file.to_str().unwrap()]).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            stderr.contains("warning[unknown-node]: hostendpoint/web1-eth0 is") && stderr.contains(why)
        });
        let output = world.tortie().arg("lint").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("warning[unknown-node]: the endpoint {why}")), "{said}");
    });
}

#[test]
fn endpoints_that_govern_no_interface_are_reported_when_they_are_written_and_afterwards() {
    on_a_machine(|world| {
        let _agent = world.agent();
        wide(world);
        let file = world.file("idle.yaml", IDLE);
        let output = world.tortie().args(["apply", "-f", file.to_str().unwrap()]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let reasons = [
            "hostendpoint/a-port judges no packet: port is a port of bridge docker0",
            "hostendpoint/gone is not in force: no interface of web1 has one of its expectedIPs",
        ];
        for reason in reasons {
            assert!(stderr.contains(&format!("warning[placement]: {reason}")), "{reason}: {stderr}");
        }
        assert!(
            stderr.contains("warning[same-interface]: `web1-eth0` is on eth0 of web1 too: only `second` counts"),
            "{stderr}"
        );
        // Once, at its place in the file.
        assert!(stderr.contains("warning[unknown-node]: node `web1.example.com` is not known: "), "{stderr}");
        assert!(stderr.contains("did you mean `web1`?") && !stderr.contains("hostendpoint/far is"), "{stderr}");
        assert!(
            !stderr.contains("hostendpoint/second is") && !stderr.contains("hostendpoint/web1-eth0 is"),
            "{stderr}"
        );
        world.call(&["status", "--wait"]);
        let status = world.call(&["status"]);
        for reason in [
            "not in force: hep/second, whose name sorts first, governs eth0",
            "port is a port of bridge docker0: its packets are judged there, not here",
            "no interface has one of its expectedIPs",
            "hep/far is on web1.example.com; this node is web1: they are not enforced here. If one is meant for this node, set its `spec.node` to web1",
        ] {
            assert!(status.contains(reason), "{reason}: {status}");
        }
        let said = world.call(&["explain", "-q", "203.0.113.9", "hep/a-port", "udp/1001"]);
        assert_eq!(said, "ALLOWED: no tortie endpoint applies to it\n");
        let said = world.call(&["explain", "hep/a-port"]);
        assert!(said.starts_with("note: host endpoint a-port judges no packet: port is a port of"), "{said}");
    });
}

/// A connection, if nobody has to be waited for.
fn connect_at_once(path: &Path) -> Option<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).ok().map(|()| socket.into())
}

/// Much longer than a command waits for an agent, and less than one that is stopped takes.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn an_agent_that_hangs_does_not_delay_an_answer() {
    on_a_machine(|world| {
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let pid = agent.pid().to_string();
        run("kill", &["-STOP", &pid]);
        let begun = Instant::now();
        let output = world.tortie().args(["explain", "-q", "203.0.113.9", "hep/web1-eth0", "ssh"]).output().unwrap();
        let (took, stderr) = (begun.elapsed(), String::from_utf8(output.stderr).unwrap());
        assert!(took < SOON, "{took:?}");
        assert!(stderr.contains("the agent at ") && stderr.contains("answered from the store alone"), "{stderr}");
        let begun = Instant::now();
        let output = world.tortie().args(["verify", "--timeout", "500ms"]).output().unwrap();
        let (took, stderr) = (begun.elapsed(), String::from_utf8(output.stderr).unwrap());
        assert!(took < SOON, "{took:?}");
        assert!(output.status.code() == Some(2) && stderr.contains("does not answer, so what is in force"), "{stderr}");
        // A listener whose queue is full does not even let in.
        let socket = world.place.path().join("run/agent.sock");
        let queued: Vec<UnixStream> = std::iter::from_fn(|| connect_at_once(&socket)).take(10_000).collect();
        assert!(queued.len() < 10_000, "the queue has an end");
        let begun = Instant::now();
        let said = world.fails(&["status", "--wait", "--timeout", "500ms"]);
        assert!(begun.elapsed() < SOON && said.contains("does not answer"), "{said}");
        drop(queued);
        run("kill", &["-CONT", &pid]);
        world.call(&["verify", "--timeout", "30s"]);
    });
}
