//! Interfaces of workloads that hand their packets to another interface: no policy of the workload sees these, and every command says so.

use std::net::TcpListener;

use crate::workloads::{ENDPOINT, pod};
use crate::world::{Elsewhere, World, on_a_machine, reach_at, run, until};

const DENY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: deny}
spec: {selector: app == 'web', types: [Ingress, Egress]}
---
";
const WORKLOAD: &str = "wep/shop/web1-cni-web-eth0";
const PORT: &str =
    "cali1 is a port of bridge br0: what comes in by it is judged at br0, and so is what br0 sends to it";

fn ip(line: &str) {
    run("ip", &line.split(' ').collect::<Vec<_>>());
}

/// What `explain` says of a packet between two ends, if it answers with this result.
fn explained(world: &World, from: &str, to: &str, allowed: bool) -> String {
    let (is_allowed, said) = world.outcome(&["explain", from, to, "tcp/443"]);
    assert_eq!(is_allowed, allowed, "{said}");
    said
}

#[test]
fn a_workload_whose_interface_is_a_port_of_a_bridge_passes_by_its_policies_and_every_command_says_so() {
    on_a_machine(|world| {
        let (pod, _listeners) = pod(world);
        pod.run(|| {
            for line in ["addr flush dev eth0", "addr add 10.65.0.2/24 dev eth0", "route add default via 10.65.0.1"] {
                ip(line);
            }
        });
        ip("link add br0 type bridge");
        ip("addr add 10.65.0.1/24 dev br0");
        ip("link set br0 up");
        let _listener = world.outside(|| TcpListener::bind(("0.0.0.0", 443)).unwrap());
        let arrives = || pod.run(|| reach_at([192, 0, 2, 99], 443));
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + DENY));
        assert!(!arrives());
        assert!(explained(world, WORKLOAD, "192.0.2.99", false).contains("\nDENIED by end of tier default"));
        world.call(&["status"]);
        world.call(&["verify"]);

        ip("link set cali1 master br0");
        until("the bridge forwards", arrives);
        let said = explained(world, WORKLOAD, "192.0.2.99", true);
        assert!(
            said.contains(&format!("note: {PORT}; no policy of {WORKLOAD} is asked about what it sends\n")),
            "{said}"
        );
        assert!(
            said.contains("enters web1 at br0") && said.contains("\nALLOWED: no tortie endpoint applies to it"),
            "{said}"
        );
        // The agent's route leads by the port itself, where the policy is asked.
        assert!(!world.outside(|| reach_at([10, 65, 0, 2], 80)));
        let said = explained(world, "192.0.2.99", WORKLOAD, false);
        let only = format!(
            "note: {PORT}; policies of {WORKLOAD} are asked only about what web1 itself routes to it by cali1\n"
        );
        assert!(said.contains(&only), "{said}");
        // The agent tells its machine the MAC of the endpoint; without one the machine asks for it by the port.
        let file = world.file("without-mac.yaml", &ENDPOINT.replace("  mac: 02:00:00:00:00:02\n", ""));
        let said = world.fails(&["explain", "192.0.2.99", WORKLOAD, "tcp/443", "-f", file.to_str().unwrap()]);
        let lost = "it does not get them unless web1 knows its MAC there (ip neighbour): the answer to the question who has 10.65.0.2 comes in by br0\n";
        assert!(said.contains(lost), "{said}");
        let said = world.fails(&["status"]);
        assert!(said.contains(&format!("on cali1  (packets pass by this policy: {PORT})\n")), "{said}");
        assert!(said.contains(&format!("problems:\n  packets pass by what is enforced: {PORT}\n")), "{said}");
        let said = world.fails(&["verify"]);
        assert!(said.contains(&format!("{WORKLOAD} at cali1 does not judge all of its packets: {PORT}\n")), "{said}");
        assert!(!said.contains("the kernel enforces"), "{said}");
        let said = world.call(&["explain", WORKLOAD]);
        assert!(said.contains(&format!("PACKETS PASS BY ITS POLICIES: {PORT}\n")), "{said}");
        let warning = format!("packets pass by the policies of the endpoint: {PORT}");
        for asked in [&["lint"][..], &["describe", "workloadendpoint", "-n", "shop", "web1-cni-web-eth0"]] {
            let (_, said) = world.outcome(asked);
            assert!(said.contains(&warning) && said.contains("placement"), "{said}");
        }
        let file = world.file("endpoint.yaml", &ENDPOINT.replace("app: web", "app: web, more: x"));
        let said = world.call_all(&["apply", "-f", file.to_str().unwrap()]);
        assert!(
            said.contains(&format!(
                "warning[placement]: workloadendpoint/shop/web1-cni-web-eth0: packets pass by its policies: {PORT}"
            )),
            "{said}"
        );

        // Closed for want of an endpoint, and open all the same.
        world.call(&["delete", "workloadendpoint", "-n", "shop", "web1-cni-web-eth0"]);
        world.call(&["status", "--wait"]);
        assert!(arrives());
        let said = world.fails(&["status"]);
        assert!(said.contains("a port of bridge br0, where its packets are judged\n"), "{said}");
        assert!(
            !said.contains("everything is denied")
                && said.contains(&format!("  packets pass by what is enforced: {PORT}\n")),
            "{said}"
        );
        let said = world.fails(&["verify"]);
        assert!(said.contains("interface cali1 without an endpoint does not judge all of its packets: "), "{said}");

        ip("link set cali1 nomaster");
        assert!(!arrives());
        world.call(&["status"]);
        world.call(&["verify"]);
        ip("link add mvc link cali1 type macvlan");
        let macvlan = "macvlan mvc is on cali1: frames for mvc and from it pass by what is enforced at cali1";
        assert!(world.fails(&["status"]).contains(&format!("  packets pass by what is enforced: {macvlan}\n")));
        assert!(world.fails(&["verify"]).contains(macvlan));
    });
}

#[test]
fn what_a_bridge_hands_on_between_its_ports_is_judged_by_no_policy_unless_a_setting_says_so() {
    const HOST: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: bridge, labels: {app: bridge}}
spec: {node: web1, interfaceName: br0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: forwarded}
spec: {selector: app == 'bridge', types: [Ingress, Egress], applyOnForward: true}
";
    on_a_machine(|world| {
        ip("link add br0 type bridge");
        ip("addr add 10.9.0.254/24 dev br0");
        ip("link set br0 up");
        let hosts = [("a0", "10.9.0.1/24"), ("b0", "10.9.0.2/24")].map(|(here, address)| {
            let host = Elsewhere::behind(here, "eth0");
            ip(&format!("link set {here} master br0"));
            ip(&format!("link set {here} up"));
            host.run(move || {
                ip(&format!("addr add {address} dev eth0"));
                ip("link set eth0 up");
            });
            host
        });
        let _listener = hosts[1].run(|| TcpListener::bind(("0.0.0.0", 443)).unwrap());
        let _agent = world.agent();
        world.apply(HOST);
        let arrives = || hosts[0].run(|| reach_at([10, 9, 0, 2], 443));
        let asked = ["explain", "10.9.0.1", "10.9.0.2", "tcp/443", "--node", "web1"];
        let file = std::path::Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
        if file.exists() {
            std::fs::write(file, "0").unwrap();
        }
        until("the bridge forwards", arrives);
        let said = world.call(&asked);
        let assumed_handed_on = "assumed: the bridge br0 of web1 hands it on between its ports, and asks no rules about that (net.bridge.bridge-nf-call-iptables is not 1)";
        assert!(said.lines().last().unwrap().starts_with("ALLOWED") && said.contains(assumed_handed_on), "{said}");
        let claims = world.file("claims", "permits 10.9.0.1 -> 10.9.0.2 tcp/443 --node web1\n");
        world.call(&["test", claims.to_str().unwrap()]);
        // Isolated ports hand nothing on to each other; behind which port which end is, nobody knows.
        ip("link set a0 type bridge_slave isolated on");
        assert!(arrives());
        assert!(!world.call(&asked).contains("isolated"));
        let third = Elsewhere::behind("c0", "eth0");
        ip("link set c0 master br0");
        ip("link set c0 type bridge_slave isolated on");
        assert!(arrives());
        let assumed = "assumed: the ends are not both behind isolated ports of the bridge br0 of web1, between which it hands nothing on";
        let said = world.call(&asked);
        assert!(said.contains(assumed), "{said}");
        ip("link set b0 type bridge_slave isolated on");
        assert!(!arrives());
        let said = world.fails(&asked);
        let lost =
            "\nDROPPED: the bridge br0 of web1 hands nothing on between its isolated ports, behind which both ends are";
        assert!(said.contains(lost), "{said}");
        for port in ["a0", "b0"] {
            ip(&format!("link set {port} type bridge_slave isolated off"));
        }
        ip("link del c0");
        drop(third);
        assert!(arrives());
        // Routes of the machine do not matter to what a bridge hands on, nor whether it has an address.
        ip("route add blackhole 10.9.0.2/32");
        assert!(arrives());
        assert!(world.call(&asked).contains(assumed_handed_on));
        ip("route del blackhole 10.9.0.2/32");
        ip("addr del 10.9.0.254/24 dev br0");
        assert!(arrives());
        let said = world.call(&[&asked[..], &["--in-interface", "br0", "--out-interface", "br0"]].concat());
        assert!(said.contains(assumed_handed_on), "{said}");
        ip("addr add 10.9.0.254/24 dev br0");
        // Between two nets of the bridge the machine routes, also where its default route leads by the bridge.
        for setting in ["ip_forward", "conf/all/send_redirects", "conf/br0/send_redirects"] {
            let value = if setting == "ip_forward" { "1" } else { "0" };
            std::fs::write(format!("/proc/sys/net/ipv4/{setting}"), value).unwrap();
        }
        ip("addr add 10.10.0.254/24 dev br0");
        ip("route add default via 10.9.0.1 dev br0");
        hosts[0].run(|| ip("route add 10.10.0.0/24 via 10.9.0.254"));
        hosts[1].run(|| {
            ip("addr add 10.10.0.2/24 dev eth0");
            ip("route add 10.9.0.1/32 via 10.10.0.254");
        });
        let routed = || hosts[0].run(|| reach_at([10, 10, 0, 2], 443));
        let asked_routed = ["explain", "10.9.0.1", "10.10.0.2", "tcp/443", "--node", "web1"];
        let said = world.fails(&asked_routed);
        let assumed = "assumed: its sender hands it to web1, which routes it; if the sender's route leads to another machine behind the bridge br0, no policy of web1 is asked";
        assert!(said.contains("\nDENIED") && said.contains(assumed), "{said}");
        assert!(!routed());
        world.apply(&HOST.replace(
            "applyOnForward: true",
            "applyOnForward: true, ingress: [{action: Allow}], egress: [{action: Allow}]",
        ));
        assert!(world.call(&asked_routed).contains("\nALLOWED"));
        until("the machine routes between the nets", routed);
        world.apply(HOST);
        hosts[1].run(|| ip("route del 10.9.0.1/32"));
        if file.exists() {
            std::fs::write(file, "1").unwrap();
            assert!(!arrives());
            let said = world.fails(&asked);
            assert!(said.lines().last().unwrap().starts_with("DENIED by end of tier default"), "{said}");
        }
    });
}
