//! The lock-out guard against the kernel: what it refuses cuts a new connection off, and what it lets through does not.

use std::net::{SocketAddr, TcpStream};
use std::process::Output;

use tortie_testkit::limit::limit;

use crate::confirm::with_each_store;
use crate::world::{TRY, World, on_a_machine, run, until};

/// A call that is started over SSH from the neighbour to this port.
pub(crate) fn over_ssh(world: &World, port: u16, arguments: &[&str]) -> Output {
    let connection = format!("192.0.2.99 50000 192.0.2.11 {port}");
    world.tortie().env("SSH_CONNECTION", connection).args(arguments).output().unwrap()
}

pub(crate) const ALL: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: all, labels: {all: x}}
spec: {node: web1, interfaceName: '*'}
";
const ETH0: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: eth0, labels: {role: web}}
spec: {node: web1, interfaceName: eth0}
";

fn policy(name: &str, selector: &str, more: &str) -> String {
    format!(
        "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: {name}}}
spec: {{selector: \"{selector}\", {more}}}
"
    )
}

#[test]
fn the_guard_refuses_only_changes_that_deny_a_new_connection() {
    on_a_machine(|world| {
        const PORTS: [u16; 3] = [22, 81, 2222];
        PORTS.iter().for_each(|port| world.listen(*port));
        let _agent = world.agent();
        let only_81 = "types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [81]}}]";
        let neighbour = "order: 10, types: [Ingress], ingress: [{action: Allow, source: {nets: [192.0.2.64/26]}}]";
        let deny = "order: 1, preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [2222]}}]";
        let untracked = "doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [81]}}]";
        let steps: Vec<(&str, Vec<String>)> = vec![
            ("outward", vec![policy("outward", "all()", "types: [Egress], egress: [{action: Allow}]")]),
            ("all", vec![ALL.to_owned()]),
            ("only-81", vec![policy("in", "all()", only_81)]),
            ("eth0", vec![ETH0.to_owned()]),
            ("neighbour", vec![policy("neighbour", "role == 'web'", neighbour)]),
            ("pre-dnat", vec![policy("early", "all()", deny)]),
            ("untracked", vec![policy("raw", "role == 'web'", untracked)]),
            (
                "failsafes",
                vec![
                    "
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {failsafeInboundHostPorts: []}
"
                    .to_owned(),
                ],
            ),
        ];
        let mut refused = 0;
        for (step, manifests) in steps {
            let file = world.file("step.yaml", &manifests.join("\n---\n"));
            let file = file.to_str().unwrap();
            let before = PORTS.map(|port| world.reaches(port));
            let answers = PORTS.map(|port| over_ssh(world, port, &["apply", "-f", file, "--dry-run"]).status.code());
            // Whoever is refused has written nothing.
            if let Some(at) = answers.iter().position(|code| *code == Some(2)) {
                let revision = world.status()["wanted"].clone();
                let output = over_ssh(world, PORTS[at], &["apply", "-f", file]);
                assert_eq!(output.status.code(), Some(2));
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(said.contains(&format!("would lock out 192.0.2.99 → tcp/{}", PORTS[at])), "{said}");
                world.call(&["status", "--wait"]);
                assert_eq!(world.status()["wanted"], revision);
                assert_eq!(PORTS.map(|port| world.reaches(port)), before);
            }
            let insists = over_ssh(world, PORTS[0], &["apply", "-f", file, "--allow-lockout"]);
            assert!(insists.status.success(), "{step}");
            world.call(&["status", "--wait"]);
            for ((port, before), answer) in PORTS.into_iter().zip(before).zip(answers) {
                let lost = before && !world.reaches(port);
                refused += usize::from(lost);
                assert_eq!(answer, Some(if lost { 2 } else { 0 }), "{step}, port {port}");
            }
        }
        assert!(refused > 3, "the steps cut somebody off: {refused}");
    });
}

/// Connects the neighbour to a second interface of the machine too, by which its packets from a far address come in: the routes of the
/// machine lead to that address by the first one.
fn connect_twice(world: &World) {
    let ip = |lines: &[&str]| lines.iter().for_each(|line| drop(run("ip", &line.split(' ').collect::<Vec<_>>())));
    let neighbour = world.outside(|| rustix::thread::gettid().as_raw_nonzero());
    ip(&[
        &format!("link add eth1 type veth peer name out1 netns {neighbour}"),
        "link set eth1 up",
        "addr add 198.51.100.11/24 dev eth1",
        "addr add 2001:db8::11/64 dev eth0 nodad",
        "addr add 2001:db8:1::11/64 dev eth1 nodad",
        "route add default via 192.0.2.99",
        "-6 route add default via 2001:db8::99",
    ]);
    world.outside(move || {
        for name in ["all", "out", "out1"] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "0").unwrap();
        }
        ip(&[
            "link set lo up",
            "link set out1 up",
            "addr add 2001:db8::99/64 dev out nodad",
            "addr add 2001:db8:1::99/64 dev out1 nodad",
            "addr add 203.0.113.7/32 dev lo",
            "addr add 2001:db8:5::7/128 dev lo nodad",
            "route add 198.51.100.11/32 dev out1 src 203.0.113.7",
            "-6 route add 2001:db8:1::11/128 dev out1 src 2001:db8:5::7",
        ]);
    });
}

#[test]
fn a_client_whose_packets_come_in_by_another_interface_than_the_route_back_is_not_locked_out() {
    on_a_machine(|world| {
        connect_twice(world);
        let rp_filter = |value: u32| {
            for name in ["all", "eth0", "eth1"] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), value.to_string()).unwrap();
            }
        };
        let _listener = std::net::TcpListener::bind(("::", 2222)).unwrap();
        let _agent = world.agent();
        world.apply("{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: before}}");
        let opens = |server: &str| {
            let to = SocketAddr::new(server.parse().unwrap(), 2222);
            world.outside(move || TcpStream::connect_timeout(&to, limit(TRY)).is_ok())
        };
        let apply = |[client, server]: [&str; 2], manifest: &str, more: &[&str]| {
            let file = world.file("change.yaml", manifest);
            let mut call = world.tortie();
            call.env("SSH_CONNECTION", format!("{client} 50000 {server} 2222"));
            let output = call.args(["apply", "-f", file.to_str().unwrap()]).args(more).output().unwrap();
            (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let explained = |[client, server]: [&str; 2]| {
            let output = world.tortie().args(["explain", client, server, "tcp/2222"]).output().unwrap();
            (output.status.code(), crate::world::text(&output))
        };
        let v4 = ["203.0.113.7", "198.51.100.11"];
        let v6 = ["2001:db8:5::7", "2001:db8:1::11"];
        let eth1 = ETH0.replace("eth0", "eth1");
        for (value, ends) in [(0, v4), (2, v4), (1, v6)] {
            rp_filter(value);
            until("it connects", || opens(ends[1]));
            let (code, said) = apply(ends, &eth1, &[]);
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains(&format!("would lock out {} → tcp/2222 (denied by", ends[0])), "{said}");
            assert!(said.contains(", if it uses eth1)"), "{said}");
            let (code, said) = explained(ends);
            assert_eq!(code, Some(0), "{said}");
            assert_eq!(apply(ends, &eth1, &["--allow-lockout"]).0, Some(0));
            world.call(&["status", "--wait"]);
            assert!(!opens(ends[1]));
            let (code, said) = explained(ends);
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("DENIED if it enters web1 at eth1 (by"), "{said}");
            assert!(said.contains("let through if it enters web1 at eth0 ("), "{said}");
            world.call(&["delete", "hep", "eth1"]);
            world.call(&["status", "--wait"]);
        }
        // Where the kernel accepts the client by the route back alone, nothing else matters.
        rp_filter(1);
        assert!(!opens(v4[1]));
        let (code, said) = apply(v4, &eth1, &["--dry-run"]);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(apply(v4, ETH0, &["--dry-run"]).0, Some(2));
    });
}

#[test]
fn a_change_made_while_another_waits_must_not_lock_anybody_out_once_that_is_put_back() {
    with_each_store(|world| {
        world.listen(2222);
        let _agent = world.agent();
        let allow = policy("a-ssh", "all()", "types: [Ingress], ingress: [{action: Allow}]");
        let outward = policy("outward", "all()", "types: [Egress], egress: [{action: Allow}]");
        world.apply(&[allow.as_str(), &outward, ALL].join("---"));
        let deny = policy("b-deny", "all()", "order: 0, types: [Ingress], ingress: [{action: Deny, protocol: TCP}]");
        let file = world.file("deny.yaml", &deny);
        let begun = over_ssh(world, 2222, &["apply", "-f", file.to_str().unwrap(), "--confirm=15s"]);
        assert!(begun.status.success(), "{}", String::from_utf8_lossy(&begun.stderr));
        // Of the change that waits an object is changed, which would keep it from being put back; and what is needed then is
        // deleted.
        for arguments in [&["label", "gnp", "b-deny", "note=x"][..], &["delete", "gnp", "a-ssh"]] {
            let output = over_ssh(world, 2222, arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains("would lock out 192.0.2.99 → tcp/2222"), "{said}");
            assert!(said.contains("once what waits for `tortie confirm` is put back (revision"), "{said}");
        }
        // What has nothing to do with it is written.
        let set =
            world.file("set.yaml", "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {name: set}\n");
        let other = over_ssh(world, 2222, &["apply", "-f", set.to_str().unwrap()]);
        assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stderr));
        until("it is put back", || world.reaches(2222));
    });
}

#[test]
fn enforcement_is_not_switched_on_again_over_a_connection_that_it_would_cut() {
    on_a_machine(|world| {
        world.listen(2222);
        let _agent = world.agent();
        world.apply(&(policy("in", "all()", "types: [Ingress], ingress: []") + "---" + ETH0));
        assert!(!world.reaches(2222));
        world.call(&["off"]);
        let output = over_ssh(world, 2222, &["on"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("would lock out 192.0.2.99 → tcp/2222") && said.contains("stays off"), "{said}");
        assert_eq!(output.status.code(), Some(2));
        assert!(world.status()["off"].is_object() && world.reaches(2222));
        // A failsafe stays open.
        assert!(over_ssh(world, 22, &["on"]).status.success());
        assert!(!world.reaches(2222));
        // It is on already, so nothing changes.
        assert!(over_ssh(world, 2222, &["on"]).status.success());
        world.call(&["off"]);
        assert!(over_ssh(world, 2222, &["on", "--allow-lockout"]).status.success());
        assert!(!world.reaches(2222));
    });
}

#[test]
fn enforcement_is_not_switched_off_for_a_time_after_which_it_would_cut_the_connection() {
    on_a_machine(|world| {
        world.listen(2222);
        let _agent = world.agent();
        world.apply(&(policy("in", "all()", "types: [Ingress], ingress: []") + "---" + ETH0));
        let output = over_ssh(world, 2222, &["off", "--for", "60s"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("would lock out 192.0.2.99 → tcp/2222 (denied by end of tier default"), "{said}");
        assert!(said.contains("without --for it stays off until `tortie on`"), "{said}");
        assert_eq!(output.status.code(), Some(2));
        assert!(world.status()["off"].is_null() && !world.reaches(2222));
        // In an emergency nothing keeps it from being switched off.
        assert!(over_ssh(world, 2222, &["off"]).status.success());
        assert!(world.reaches(2222));
        // It is off already, and the time would end that.
        assert_eq!(over_ssh(world, 2222, &["off", "--for", "60s"]).status.code(), Some(2));
        assert!(world.status()["off"]["until"].is_null());
        assert!(over_ssh(world, 2222, &["off", "--for", "60s", "--allow-lockout"]).status.success());
        assert!(world.status()["off"]["until"].is_string());
        // A failsafe stays open.
        assert!(over_ssh(world, 22, &["off", "--for", "60s"]).status.success());
    });
}

#[test]
fn an_agent_that_is_started_over_ssh_does_not_start_if_what_it_enforces_would_cut_the_connection() {
    on_a_machine(|world| {
        world.listen(2222);
        let file = world.file("closed.yaml", &(policy("in", "all()", "types: [Ingress], ingress: []") + "---" + ETH0));
        world.call(&["apply", "-f", file.to_str().unwrap()]);
        let felix = world.place.path().join("felix.cfg");
        let arguments = ["agent", "--felix-config", felix.to_str().unwrap()];
        let start = |port: u16, more: &[&str]| {
            let mut command = world.tortie();
            command.env("SSH_CONNECTION", format!("192.0.2.99 50000 192.0.2.11 {port}"));
            command.args([&arguments[..], more].concat());
            command
        };
        let agent = world.start(start(2222, &[]));
        until("it is refused", || agent.log().contains("the agent was not started; --allow-lockout starts it"));
        let said = agent.log();
        assert!(said.contains("would lock out 192.0.2.99 → tcp/2222 (denied by end of tier default"), "{said}");
        assert!(!agent.ended());
        assert!(world.reaches(2222) && run("nft", &["list", "ruleset"]).is_empty());
        // One that stays off enforces nothing.
        world.call(&["off"]);
        let agent = world.start(start(2222, &[]));
        until("it runs", || world.status()["store"]["state"] == "in-sync");
        agent.kill();
        world.fails(&["on"]);
        // A failsafe stays open, and who insists is not asked.
        for (port, more) in [(22, &[][..]), (2222, &["--allow-lockout"])] {
            let agent = world.start(start(port, more));
            until("it enforces", || world.said(&["status"]).contains("all in force"));
            assert!(!world.reaches(2222));
            agent.kill();
        }
    });
}

#[test]
fn other_clients_that_could_not_connect_again_are_named_and_keep_no_change_from_being_made() {
    on_a_machine(|world| {
        world.listen(2222);
        world.listen(81);
        world.outside(|| run("ip", &["addr", "add", "192.0.2.98/24", "dev", "out"]));
        let _agent = world.agent();
        let in_from = |client: &str| {
            policy(
                "in",
                "all()",
                &format!("types: [Ingress], ingress: [{{action: Allow, source: {{nets: [{client}]}}}}]"),
            )
        };
        world.apply(&(in_from("192.0.2.64/26") + "---" + ETH0));
        let connect = |client: [u8; 4], port: u16| {
            world.outside(move || {
                let family = rustix::net::AddressFamily::INET;
                let socket = rustix::net::socket(family, rustix::net::SocketType::STREAM, None).unwrap();
                rustix::net::bind(&socket, &SocketAddr::from((client, 0))).unwrap();
                rustix::net::connect(&socket, &SocketAddr::from(([192, 0, 2, 11], port))).unwrap();
                TcpStream::from(socket)
            })
        };
        // The caller, another client of the same port, and one of another port.
        let open = [connect([192, 0, 2, 99], 2222), connect([192, 0, 2, 98], 2222), connect([192, 0, 2, 98], 81)];
        let file = world.file("in.yaml", &in_from("192.0.2.99/32"));
        let file = file.to_str().unwrap();
        for dry_run in [&["--dry-run"][..], &[]] {
            let output = over_ssh(world, 2222, &[&["apply", "-f", file], dry_run].concat());
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            let expected =
                "another SSH client is connected now and could not connect again: 192.0.2.98 → tcp/2222 (denied";
            assert_eq!(said.matches("could not connect again").count(), 1, "{said}");
            assert!(said.contains(expected), "{said}");
        }
        world.call(&["status", "--wait"]);
        assert!(world.reaches(2222));
        drop(open);
    });
}

#[test]
fn a_change_that_cuts_the_agent_off_from_its_store_is_refused_over_ssh_and_from_a_console() {
    on_a_machine(|world| {
        run("ip", &["addr", "add", "192.0.2.12/24", "dev", "eth0"]);
        world.start_etcd_on("192.0.2.12");
        world.listen(22);
        let _agent = world.agent();
        let felix = "
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {failsafeOutboundHostPorts: []}
---";
        world.apply(&(felix.to_owned() + &policy("in", "all()", "types: [Ingress], ingress: [{action: Allow}]")));
        let file = world.file("all.yaml", ALL);
        for connection in ["192.0.2.99 50000 192.0.2.11 22", ""] {
            let call =
                |arguments: &[&str]| world.tortie().env("SSH_CONNECTION", connection).args(arguments).output().unwrap();
            let output = call(&["apply", "-f", file.to_str().unwrap()]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains("would cut the agent off from its store, 192.0.2.12 tcp/2379 (denied by"), "{said}");
            assert!(!said.contains("lock out") && !said.contains("use --confirm"), "{said}");
            let output = call(&["apply", "-f", file.to_str().unwrap(), "--dry-run"]);
            assert_eq!(output.status.code(), Some(2));
            // An agent that starts again meanwhile would not reach what it has to put back.
            let output = call(&["apply", "-f", file.to_str().unwrap(), "--confirm=1s"]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{said}");
            assert!(said.contains("the agent could not put this back if it starts again meanwhile"), "{said}");
            assert!(!world.said(&["get", "hep"]).contains("all"));
        }
    });
}

#[test]
fn without_an_agent_the_guard_judges_the_node_that_the_last_one_had_and_else_says_which() {
    on_a_machine(|world| {
        world.listen(22);
        let all = world.file("all.yaml", ALL);
        let apply = |more: &[&str]| {
            let mut call = world.tortie();
            call.env_remove("FELIX_FELIXHOSTNAME").env("SSH_CONNECTION", "192.0.2.99 50000 192.0.2.11 2222");
            call.args(["apply", "-f", all.to_str().unwrap()]).args(more).output().unwrap()
        };
        let set = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: set}
";
        world.call(&["apply", "-f", world.file("set.yaml", set).to_str().unwrap()]);
        // Nothing tells another name than that of the host, so what is judged is said.
        let output = apply(&["--dry-run"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("no agent answers here: the node is assumed to be"), "{said}");
        assert!(said.contains("the name of this host: no agent left a copy of the store in"), "{said}");
        let agent = world.agent();
        world.call(&["status", "--wait"]);
        agent.kill();
        let output = apply(&[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("would lock out 192.0.2.99 → tcp/2222"), "{said}");
        assert!(said.contains("web1, the name of the last agent here; this machine is called"), "{said}");
        assert!(!world.call(&["get", "hep"]).contains("all"), "nothing was written");
        // The other commands take it for the same node.
        let call = |arguments: &[&str]| {
            let output = world.tortie().env_remove("FELIX_FELIXHOSTNAME").args(arguments).output().unwrap();
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned())
        };
        for (arguments, expected) in
            [(&["init", "--interface", "eth0"][..], "node: 'web1'\n"), (&["config"], "node web1\n"), (&["verify"], "")]
        {
            let [out, err] = call(arguments);
            assert!(out.contains(expected), "{arguments:?}: {out}{err}");
            assert!(err.contains("web1, the name of the last agent here"), "{arguments:?}: {err}");
        }
    });
}
