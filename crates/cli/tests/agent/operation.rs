//! The agent while it runs: interfaces that change their names, limits of waiting, probes, settings that take hold live.

use rustix::process::Signal;

use super::world::{get, on_a_machine, on_each_machine, run, served, until};
use super::{ENDPOINT, METRICS, allow};

#[test]
fn a_renamed_interface_loses_its_named_endpoint_and_keeps_the_one_by_address() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert!(!world.reaches(81) && world.reaches(80));
        let rename = |from: &str, to: &str| {
            run("ip", &["link", "set", from, "down"]);
            run("ip", &["link", "set", from, "name", to]);
            run("ip", &["link", "set", to, "up"]);
        };
        let governor = |name: &str| {
            let status = world.status();
            let all = status["interfaces"].as_array().unwrap();
            let one = all.iter().find(|one| one["name"] == name && one["addresses"][0] == "192.0.2.11");
            one.map(|one| one["endpoint"].as_str().unwrap_or("none").to_owned())
        };
        rename("eth0", "lan0");
        until("the new name is seen", || governor("lan0").as_deref() == Some("none"));
        until("nothing governs it", || world.reaches(81));
        assert!(
            world.said(&["status"]).contains("eth0 does not exist; its policy is in force from the moment it appears")
        );
        world.apply(
            "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: by-address, labels: {role: web}},
              spec: {node: web1, expectedIPs: [192.0.2.11]}}",
        );
        assert!(!world.reaches(81) && world.reaches(80));
        rename("lan0", "wan0");
        until("it is followed", || governor("wan0").as_deref() == Some("hep/by-address"));
        until("the kernel has it", || !world.reaches(81) && world.reaches(80));
        // Back: of the two that could have it, the earlier name has it.
        rename("wan0", "eth0");
        until("it is followed", || governor("eth0").as_deref() == Some("hep/by-address"));
        world.call(&["delete", "hostendpoint", "by-address"]);
        world.call(&["status", "--wait"]);
        assert_eq!(governor("eth0").as_deref(), Some("hep/web1-eth0"));
        assert!(!world.reaches(81) && world.reaches(80));
    });
}

/// Of the namespace of the thread that opens it.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// 17 of the reference's functional tests.
#[test]
fn a_host_that_must_not_forward_does_not_forward() {
    on_a_machine(|world| {
        world.listen(80);
        std::fs::write(FORWARDING, "0").unwrap();
        let _agent = world.agent();
        world.apply(
            &("{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {ipForwarding: Disabled}}\n---\n"
                .to_owned() + ENDPOINT + &allow(80)),
        );
        assert!(world.reaches(80));
        assert_eq!(std::fs::read_to_string(FORWARDING).unwrap(), "0\n");
    });
}

#[test]
fn waiting_ends_at_its_time_limit() {
    on_a_machine(|world| {
        let agent = world.agent();
        let said = world.fails(&["status", "--wait"]);
        assert!(said.contains("there is no store at "), "{said}");
        world.apply(ENDPOINT);
        agent.signal(Signal::STOP);
        let said = world.fails(&["status", "--wait", "--timeout", "50ms"]);
        agent.signal(Signal::CONT);
        assert!(said.contains("does not answer"), "{said}");
        world.call(&["status", "--wait", "--timeout", "30s"]);
        agent.kill();
        let said = world.fails(&["status", "--wait", "--timeout", "50ms"]);
        assert!(said.contains("`tortie agent` starts one"), "{said}");
    });
}

#[test]
fn without_anything_to_enforce_it_is_live_and_not_ready() {
    on_a_machine(|world| {
        world.file("felix.cfg", "HealthEnabled = true\n");
        // A folder in the place of the store: it cannot be opened, and nothing was heard of it before.
        std::fs::create_dir(world.place.path().join("tortie.db")).unwrap();
        let _agent = world.started(&[]);
        assert!(served(9099, "/liveness").contains(" 200 OK"));
        let ready = get(9099, "/readiness").unwrap();
        assert!(ready.contains(" 503 ") && ready.contains("nothing is enforced yet"), "{ready}");
        std::fs::remove_dir(world.place.path().join("tortie.db")).unwrap();
        world.apply(ENDPOINT);
        assert!(get(9099, "/readiness").unwrap().contains(" 200 OK"));
    });
}

#[test]
fn mark_bits_change_while_policy_stays_in_force() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        // What it allows is marked, so that a rule clears the bit.
        let marks = "
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: marks},
 spec: {selector: role == 'web', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: UDP}]}}";
        world.apply(&(ENDPOINT.to_owned() + &allow(80) + marks));
        assert!(run("nft", &["list", "table", "inet", "tortie"]).contains("0xfffeffff"));
        world.apply(
            "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default},
              spec: {nftablesMarkMask: 0x00000ff0}}",
        );
        until("the other bits are used", || run("nft", &["list", "table", "inet", "tortie"]).contains("0xffffffef"));
        assert!(!world.reaches(81) && world.reaches(80));
        world.apply(&allow(81));
        assert!(!world.reaches(80) && world.reaches(81));
    });
}

#[test]
fn an_agent_that_starts_with_another_hook_priority_moves_its_chains_while_policy_stays_in_force() {
    on_each_machine(|world| {
        world.listen(80);
        world.listen(81);
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        let chains = || run("nft", &["list", "table", "inet", "tortie"]);
        assert!(chains().contains("hook output priority filter;"), "{}", chains());
        agent.kill();
        let shifted = |priority: &str| {
            let mut command = world.tortie();
            command.env("TORTIE_HOOK_PRIORITY", priority).args(["agent", "--felix-config", "/nowhere"]);
            world.start(command)
        };
        let _agent = shifted("-20");
        until("the chains are moved", || chains().contains("hook output priority -20;"));
        until("the agent is ready", || world.status()["ready"] == true);
        assert!(!world.reaches(81) && world.reaches(80));
        world.apply(&allow(81));
        assert!(!world.reaches(80) && world.reaches(81));
        assert!(world.call(&["verify"]).contains("and nothing else in the tables of tortie"));
        let config = world.call(&["config"]);
        assert!(config.contains("TORTIE_HOOK_PRIORITY") && config.contains("-20"), "{config}");
        // With more its chains would pass those of connection tracking or of translations.
        for wrong in ["41", "-41", "much"] {
            let agent = shifted(wrong);
            let log = world.place.path().join("log");
            assert!(!agent.ended());
            let said = std::fs::read_to_string(log).unwrap();
            assert!(
                said.contains("TORTIE_HOOK_PRIORITY in the environment: ") && said.contains("from -40 to 40"),
                "{said}"
            );
        }
    });
}

#[test]
fn untracked_policy_on_a_wildcard_endpoint_is_reported_as_without_effect() {
    on_a_machine(|world| {
        let _agent = world.agent();
        world.apply(
            "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: any, labels: {role: web}},
              spec: {node: web1, interfaceName: '*', profiles: [projectcalico-default-allow]}}\n---\n
             {apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: raw},
              spec: {selector: role == 'web', doNotTrack: true, applyOnForward: true, ingress: [{action: Deny}]}}",
        );
        let status = world.said(&["status"]);
        assert!(status.contains("hep/any on *  (untracked policy does not act on *: default/gnp raw)"), "{status}");
        assert!(!status.contains("    untracked"), "{status}");
    });
}

#[test]
fn explain_knows_the_addresses_and_the_settings_of_its_own_machine() {
    on_a_machine(|world| {
        world.file("felix.cfg", "FailsafeInboundHostPorts = none\n");
        let agent = world.agent();
        world.apply(ENDPOINT);
        for to in ["node/web1", "192.0.2.11"] {
            let said = world.fails(&["explain", "203.0.113.9", to, "tcp/22"]);
            assert!(said.contains("DENIED by default deny") && !said.contains("forward"), "{said}");
        }
        // The store alone knows neither, and says so.
        agent.kill();
        let said = world.call(&["explain", "203.0.113.9", "node/web1", "tcp/22"]);
        assert!(said.contains("assumed: web1 may have any IPv4 address, since none is known"), "{said}");
        assert!(said.contains("\nALLOWED by failsafe tcp/22"), "{said}");
    });
}

#[test]
fn a_workloads_interface_without_an_endpoint_is_reported_as_closed() {
    on_a_machine(|world| {
        run("ip", &["link", "add", "cali9", "type", "veth", "peer", "name", "peer9"]);
        let _agent = world.agent();
        world.apply(&ENDPOINT.replace("interfaceName: eth0", "interfaceName: '*'"));
        let describe = |name: &str| {
            let status = world.status();
            let all = status["interfaces"].as_array().unwrap();
            let one = all.iter().find(|one| one["name"] == name).unwrap();
            (one["endpoint"].clone(), one["closed"].clone())
        };
        assert_eq!(
            describe("cali9"),
            (serde_json::Value::Null, true.into()),
            "an endpoint for all interfaces is not for it"
        );
        assert_eq!(describe("eth0"), ("hep/web1-eth0".into(), false.into()));
        let said = world.said(&["status"]);
        assert!(said.contains("cali9  -  a workload's without an endpoint: everything is denied"), "{said}");
    });
}

#[test]
fn status_without_an_agent_exits_2_and_describes_the_table_in_the_kernel() {
    on_a_machine(|world| {
        let status = || {
            let output = world.tortie().arg("status").output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        assert_eq!(status(), (Some(2), "the kernel has no table of tortie: no tortie policy is enforced\n".to_owned()));
        let agent = world.agent();
        world.apply(&(ENDPOINT.to_owned() + &allow(80)));
        assert_eq!(status().0, Some(0));
        agent.kill();
        let (code, said) = status();
        assert_eq!(code, Some(2));
        assert!(
            said.starts_with("the kernel has table inet tortie, and no agent looks after it; `tortie verify`"),
            "{said}"
        );
        assert!(said.contains("hep/web1-eth0 on eth0") && said.contains(" (input 0, "), "{said}");
        let json = || serde_json::from_str::<serde_json::Value>(&world.said(&["status", "-o", "json"])).unwrap();
        let table = json()["table"].clone();
        assert_eq!((&table["name"], &table["dormant"]), (&"inet tortie".into(), &false.into()));
        assert!(table["baseChains"].as_array().unwrap().iter().any(|chain| chain["hook"] == "input"), "{table}");
        let wait = world.tortie().args(["status", "--wait"]).output().unwrap();
        assert_eq!(wait.status.code(), Some(2), "no agent answers");
        // It claims no more than that the table exists.
        let change = |what: &[&str]| drop(run("nft", what));
        change(&["flush", "table", "inet", "tortie"]);
        assert!(status().1.contains("it has NO RULE: it decides nothing"), "{}", status().1);
        for chain in table["baseChains"].as_array().unwrap() {
            change(&["delete", "chain", "inet", "tortie", chain["name"].as_str().unwrap()]);
        }
        assert!(status().1.contains("it has NO BASE CHAIN: no packet meets it"), "{}", status().1);
        change(&["delete", "table", "inet", "tortie"]);
        assert_eq!(json()["table"], serde_json::Value::Null);
        change(&["add", "table", "inet", "tortie", "{ flags dormant ; }"]);
        change(&["add", "chain", "inet", "tortie", "in", "{ type filter hook input priority 0 ; }"]);
        change(&["add", "rule", "inet", "tortie", "in", "drop"]);
        assert!(status().1.contains("it is DORMANT: no packet meets it"), "{}", status().1);
        assert!(status().1.contains("base chains: in (input 0, 1 rule)"), "{}", status().1);
        assert_eq!(json()["table"]["dormant"], true);
    });
}

#[test]
fn packets_of_each_rule_are_counted_and_never_fewer_while_the_rule_exists() {
    on_a_machine(|world| {
        world.listen(80);
        world.listen(81);
        let _agent = world.agent();
        world.apply(&(METRICS.to_owned() + ENDPOINT + &allow(80)));
        let metric = |name: &str| {
            let text = served(9091, "/metrics");
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        let allowed = || {
            metric("tortie_rule_packets_total{policy=\"gnp web\",direction=\"ingress\",rule=\"1\",action=\"Allow\"}")
        };
        assert_eq!(allowed(), Some(0.0));
        assert!(world.reaches(80));
        let first = allowed().unwrap();
        assert!(first >= 1.0, "{first}");
        assert!(metric("tortie_rule_bytes_total{policy=\"gnp web\"") > Some(0.0));
        // The rule is written anew.
        world.apply(&allow(81));
        assert!(allowed().unwrap() >= first);
        assert!(world.reaches(81));
        assert!(allowed().unwrap() > first);
        assert!(metric("felix_int_dataplane_apply_time_seconds_count") >= Some(2.0));
        assert!(metric("felix_int_dataplane_msg_batch_size_sum") > Some(1.0));
        assert!(metric("tortie_store_updates_total") >= Some(4.0));
        assert_eq!(metric("tortie_store_stale_seconds"), Some(0.0));
        world.call(&["delete", "gnp", "web"]);
        world.call(&["status", "--wait"]);
        assert_eq!(allowed(), None, "the rule does not exist any more");
    });
}
