//! What the dataplane does with the kernel beside verdicts: how much it sends, what becomes of refusals, and whose the
//! table is.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tortie_testkit::limit::limit;

use common::follow::Followed;
use common::scenario::resource;
use serde_json::json;
use tortie_dataplane::{Dataplane, Delta, Members, SetChange, SetState, State};
use tortie_dataplane_nft::{ApplyError, Existing, Kernel, Refused, TableOptions, TransactionSize};
use tortie_nft::probe::Feature;
use tortie_nft::{Buffers, Socket, TableId};
use tortie_policy::LogLimit;
use tortie_testkit::namespace::{in_namespace, run, run_with_input};
use tortie_testkit::worlds::Step;

const HOST: &str = "HostEndpoint h role=web {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.11]}";

/// A store and the kernel behind it.
struct Node {
    followed: Followed,
    kernel: Kernel,
}

impl Node {
    fn new(kernel: Kernel, resources: &[&str]) -> Self {
        let mut node = Self { followed: Followed::new(), kernel };
        resources.iter().for_each(|line| drop(node.followed.step(&Step::Put(resource(line)))));
        let delta = node.flush();
        assert!(!delta.is_empty());
        node.kernel.replace(node.followed.state.clone()).unwrap();
        node
    }

    fn open(resources: &[&str]) -> Self {
        Self::new(Kernel::open(TableOptions::default()).unwrap(), resources)
    }

    fn flush(&mut self) -> Delta {
        let delta = self.followed.step(&Step::Flush).unwrap();
        self.followed.state.apply(&delta).unwrap();
        delta
    }

    /// Puts a resource and says how much that was for the kernel.
    fn put(&mut self, line: &str) -> TransactionSize {
        self.followed.step(&Step::Put(resource(line)));
        let delta = self.flush();
        self.kernel.apply(&delta).unwrap();
        assert_eq!(self.kernel.differences(3).unwrap(), [] as [String; 0]);
        self.kernel.sent()
    }

    fn delete(&mut self, kind: &str, name: &str) -> TransactionSize {
        self.followed.step(&Step::Delete(json!({"kind": kind, "namespace": "", "name": name})));
        let delta = self.flush();
        self.kernel.apply(&delta).unwrap();
        assert_eq!(self.kernel.differences(3).unwrap(), [] as [String; 0]);
        self.kernel.sent()
    }
}

fn table() -> String {
    run("nft", &["list", "ruleset"])
}

#[test]
fn adding_ports_to_an_endpoint_that_no_rule_names_sends_nothing() {
    in_namespace(|| {
        let mut node = Node::open(&[
            HOST,
            "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, destination: {ports: [web]}}]}",
        ]);
        let with = |name: &str| {
            format!(
                "HostEndpoint h role=web {{node: n1, interfaceName: eth0, expectedIPs: [192.0.2.11], ports: [{{name: {name}, protocol: TCP, port: 80}}]}}"
            )
        };
        assert_eq!(node.put(&with("other")), TransactionSize::default());
        // A name that a rule asks for is one element.
        assert_eq!(node.put(&with("web")).messages, 1);
    });
}

#[test]
fn one_member_of_a_large_set_is_one_message() {
    in_namespace(|| {
        let nets = |count: u32| {
            let nets: Vec<String> = (0..count).map(|n| format!("10.{}.{}.1/32", n / 250, n % 250)).collect();
            format!("GlobalNetworkSet s trust=yes {{nets: [{}]}}", nets.join(", "))
        };
        let policy = "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, source: {selector: trust == 'yes'}}]}";
        let mut node = Node::open(&[HOST, policy, &nets(5000)]);
        let more = node.put(&nets(5001));
        assert_eq!(more.messages, 1);
        assert!(more.bytes < 200, "{more:?}");
        assert_eq!(node.put(&nets(5000)).messages, 1);
    });
}

#[test]
fn a_set_of_a_million_members_is_programmed_and_one_more_is_one_message() {
    in_namespace(|| {
        let policy = "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, source: {selector: trust == 'yes'}}]}";
        let mut node = Node::open(&[HOST, policy, "GlobalNetworkSet s trust=yes {nets: [192.0.2.1/32]}"]);
        let net = |n: u32| ipnet::IpNet::from(std::net::IpAddr::from((0x0a00_0000 + n).to_be_bytes()));
        let mut state = node.followed.state.clone();
        let first = "192.0.2.1/32".parse().unwrap();
        let sets = state.sets.iter_mut().filter_map(|(id, set)| match set {
            SetState::Nets(nets) => Some((id.clone(), nets)),
            _ => None,
        });
        let (id, nets) = sets.into_iter().find(|(_, nets)| nets.contains(&first)).unwrap();
        nets.extend((0..1_000_000).map(net));
        node.kernel.replace(state).unwrap();
        let more = Members::Nets(vec![net(1_000_000)]);
        let change = SetChange { id: id.clone(), removed: Members::Nets(Vec::new()), added: more };
        node.kernel.apply(&Delta { sets_changed: vec![change], ..Delta::default() }).unwrap();
        assert_eq!(node.kernel.sent().messages, 1);
        assert!(node.kernel.refused().is_empty());
        let (mut socket, table) = (tortie_nft::Socket::open().unwrap(), TableId::inet("tortie"));
        let sets = tortie_nft::dump::sets(&mut socket, &table).unwrap();
        let set = sets.iter().find(|set| set.comment.as_deref() == Some(id.as_str())).unwrap();
        for (n, is_member) in [(0, true), (499_999, true), (1_000_000, true), (1_000_001, false)] {
            let key = (0x0a00_0000u32 + n).to_be_bytes();
            let found = tortie_nft::dump::element(&mut socket, &table, set, &key).unwrap();
            assert_eq!(found.is_some(), is_member, "{n}");
        }
    });
}

#[test]
fn a_changed_rule_is_one_message_and_the_counts_of_the_others_stay() {
    in_namespace(|| {
        let rules = |port: u32| {
            let ports: Vec<String> = (1..10)
                .map(|n| if n == 5 { port } else { n })
                .map(|port| format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}"))
                .collect();
            format!(
                "GlobalNetworkPolicy p {{selector: role == 'web', types: [Ingress], ingress: [{}]}}",
                ports.join(", ")
            )
        };
        let mut node = Node::open(&[HOST, &rules(5)]);
        let handles = |node: &mut Node| -> Vec<Option<u64>> {
            let dump = node.kernel.read().unwrap().unwrap();
            dump.rules_of("policy-in/gnp/p").map(|rule| rule.handle).collect()
        };
        let before = handles(&mut node);
        assert_eq!(node.put(&rules(50)).messages, 1);
        let after = handles(&mut node);
        let same = before.iter().zip(&after).filter(|(before, after)| before == after).count();
        assert!(before.len() == 9 && same >= 8, "{before:?} {after:?}");
    });
}

#[test]
fn one_more_workload_with_a_known_program_is_elements_only() {
    in_namespace(|| {
        let workload = |n: u32| {
            format!(
                "WorkloadEndpoint a/w{n} app=web {{node: n1, orchestrator: k8s, pod: p{n}, endpoint: eth0, interfaceName: cali{n}, ipNetworks: [10.0.0.{n}/32]}}"
            )
        };
        let policy = "NetworkPolicy a/p {selector: app == 'web', types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}";
        let mut node = Node::open(&[policy, &workload(1)]);
        let rules = node.kernel.read().unwrap().unwrap().rules.len();
        assert_eq!(node.put(&workload(2)).messages, 3, "two maps and the set of workloads");
        assert_eq!(node.kernel.read().unwrap().unwrap().rules.len(), rules);
    });
}

#[test]
fn everything_that_is_put_goes_again() {
    in_namespace(|| {
        let mut node = Node::open(&[HOST]);
        let before = node.kernel.ruleset();
        node.put("GlobalNetworkSet s trust=yes {nets: [10.0.0.0/8, 192.0.2.1/32]}");
        node.put("GlobalNetworkPolicy p {selector: role == 'web', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, source: {selector: trust == 'yes'}}, {action: Pass}]}");
        node.put("HostEndpoint all role=web {node: n1, interfaceName: '*'}");
        assert_ne!(node.kernel.ruleset(), before);
        node.delete("HostEndpoint", "all");
        node.delete("GlobalNetworkPolicy", "p");
        node.delete("GlobalNetworkSet", "s");
        assert_eq!(node.kernel.ruleset(), before);
    });
}

/// A policy with a rule for each match.
fn policy(name: &str, matches: impl IntoIterator<Item = String>) -> String {
    let rules: Vec<String> = matches.into_iter().map(|one| format!("{{action: Allow, {one}}}")).collect();
    format!("GlobalNetworkPolicy {name} {{selector: role == 'web', types: [Ingress], ingress: [{}]}}", rules.join(", "))
}

/// The sets in the kernel that the rules of policies share, by name.
fn shared(node: &mut Node) -> Vec<String> {
    let dump = node.kernel.read().unwrap().unwrap();
    let names = dump.sets.into_iter().map(|set| set.set.name);
    names.filter(|name| name.starts_with("list-") && !name.contains("proto")).collect()
}

/// Five ports and five nets.
const LONG: &str = "protocol: TCP, source: {nets: [10.0.0.1, 10.0.0.3, 10.0.0.5, 10.0.0.7, 10.0.0.9]}, destination: {ports: [1, 3, 5, 7, 9]}";

#[test]
fn rules_with_the_same_lists_share_a_set_for_each() {
    in_namespace(|| {
        let many = |name: &str| policy(name, (0..500).map(|_| LONG.to_owned()));
        let mut node = Node::open(&[HOST, &many("p"), &many("q")]);
        let sets = shared(&mut node);
        assert_eq!(sets.len(), 2, "{sets:?}");
        let dump = node.kernel.read().unwrap().unwrap();
        assert!(dump.sets.iter().all(|set| !set.set.anonymous));
        let lists = dump.sets.iter().filter(|set| sets.contains(&set.set.name));
        assert!(lists.clone().all(|set| !set.set.interval), "single values need no set of ranges");
        // Another user is one rule, and the last takes the sets along.
        let with = |one: &str| policy("r", [one.to_owned(), "protocol: UDP".to_owned()]);
        let other = "protocol: SCTP, destination: {ports: [9]}";
        node.put(&with(other));
        assert_eq!(node.put(&with(LONG)).messages, 1);
        assert_eq!(node.put(&with(other)).messages, 1);
        node.delete("GlobalNetworkPolicy", "p");
        assert_eq!(shared(&mut node), sets);
        node.delete("GlobalNetworkPolicy", "q");
        assert_eq!(shared(&mut node), [] as [String; 0]);
    });
}

#[test]
fn a_changed_list_is_a_set_its_elements_a_rule_and_the_set_before() {
    in_namespace(|| {
        let ports = |last: u32| {
            policy(
                "p",
                [format!("protocol: TCP, destination: {{ports: [1, 3, 5, 7, {last}]}}"), "protocol: UDP".into()],
            )
        };
        let mut node = Node::open(&[HOST, &ports(9)]);
        let before = shared(&mut node);
        assert_eq!(node.put(&ports(11)).messages, 4);
        let after = shared(&mut node);
        assert!(before.len() == 1 && after.len() == 1 && before != after, "{before:?} {after:?}");
    });
}

#[test]
fn a_rule_with_two_ports_and_two_nets_is_one_line_without_a_set() {
    in_namespace(|| {
        let few = "protocol: TCP, source: {nets: [10.0.0.0/24, 192.0.2.7/32]}, destination: {ports: [80, '440:443'], notPorts: [441]}";
        let mut node = Node::open(&[HOST, &policy("p", (0..10).map(|_| few.to_owned()))]);
        assert_eq!(shared(&mut node), [] as [String; 0]);
        let dump = node.kernel.read().unwrap().unwrap();
        assert_eq!(dump.rules_of("policy-in/gnp/p").count(), 10);
    });
}

#[test]
fn a_refused_change_leaves_no_shared_set_behind() {
    in_namespace(|| {
        let mut node = Node::open(&[HOST, &policy("p", ["protocol: UDP".to_owned()])]);
        let mut delta = Delta::default();
        let mut host = node.kernel.state().host.clone().unwrap();
        host.settings.log_limit = Some(LogLimit { count: 0, seconds: 1, burst: 5 });
        delta.host = Some(Box::new(host));
        node.kernel.apply(&delta).unwrap();
        // No kernel takes a rate of none.
        let bad = policy("p", [LONG.to_owned()]).replace("ingress: [", "ingress: [{action: Log}, ");
        node.put(&bad);
        assert_eq!(node.kernel.refused().len(), 1);
        assert_eq!(shared(&mut node), [] as [String; 0]);
        node.put(&policy("p", [LONG.to_owned()]));
        assert_eq!((node.kernel.refused().len(), shared(&mut node).len()), (0, 2));
    });
}

#[test]
fn what_the_kernel_refuses_is_quarantined_with_its_reason_and_the_rest_is_applied() {
    in_namespace(|| {
        let mut node = Node::open(&[
            HOST,
            "GlobalNetworkPolicy good {selector: role == 'web', order: 1, types: [Ingress], ingress: [{action: Allow, protocol: TCP}]}",
            "GlobalNetworkPolicy bad {selector: role == 'web', order: 2, types: [Ingress], ingress: [{action: Allow, protocol: UDP}]}",
        ]);
        // No kernel takes a rate of none.
        let mut delta = Delta::default();
        let mut host = node.kernel.state().host.clone().unwrap();
        host.settings.log_limit = Some(LogLimit { count: 0, seconds: 1, burst: 5 });
        delta.host = Some(Box::new(host));
        node.kernel.apply(&delta).unwrap();
        assert!(node.kernel.refused().is_empty());

        let put = |node: &mut Node, line: &str| {
            node.followed.step(&Step::Put(resource(line)));
            let delta = node.flush();
            node.kernel.apply(&delta).unwrap();
            let names = node.kernel.refused().keys().map(|refused| match refused {
                Refused::Rules(id) => id.to_string(),
                Refused::Set(id) => id.as_str().to_owned(),
                Refused::Endpoint(place) => format!("{place:?}"),
            });
            names.collect::<Vec<_>>()
        };
        // It keeps its last valid form.
        let logging = "GlobalNetworkPolicy bad {selector: role == 'web', order: 2, types: [Ingress], ingress: [{action: Log}, {action: Allow, protocol: SCTP}]}";
        let refused = put(&mut node, logging);
        assert_eq!(refused.len(), 1);
        assert!(refused[0].contains("bad"), "{refused:?}");
        let reasons: Vec<&String> = node.kernel.refused().values().collect();
        assert!(!reasons[0].is_empty());
        assert!(table().contains("meta l4proto udp"), "the last valid form:\n{}", table());
        // What has none is denied, and its neighbours apply.
        let fresh =
            "GlobalNetworkPolicy fresh {selector: role == 'web', order: 0, types: [Ingress], ingress: [{action: Log}]}";
        assert_eq!(put(&mut node, fresh).len(), 2);
        assert!(table().contains("refused: "), "{}", table());
        let good = "GlobalNetworkPolicy good {selector: role == 'web', order: 1, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [4711]}}]}";
        assert_eq!(put(&mut node, good).len(), 2);
        assert!(table().contains("tcp dport 4711"), "{}", table());
        // Written anew they are taken.
        put(
            &mut node,
            "GlobalNetworkPolicy fresh {selector: role == 'web', order: 0, types: [Ingress], ingress: [{action: Deny, protocol: UDP}]}",
        );
        let left = put(
            &mut node,
            "GlobalNetworkPolicy bad {selector: role == 'web', order: 2, types: [Ingress], ingress: [{action: Allow, protocol: SCTP}]}",
        );
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
    });
}

#[test]
fn an_endpoint_that_the_kernel_refuses_is_closed() {
    in_namespace(|| {
        let workload = "WorkloadEndpoint a/w1 {node: n1, orchestrator: k8s, pod: p1, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32]}";
        let mut node = Node::open(&[HOST, workload]);
        let (place, mut endpoint) =
            node.kernel.state().endpoints.iter().next().map(|(a, b)| (a.clone(), b.clone())).unwrap();
        let good = endpoint.clone();
        endpoint.limits.ingress.packets = Some(tortie_policy::Rate { per_second: 0, burst: 5 });
        let put = |endpoint| Delta { endpoints_put: vec![(place.clone(), endpoint)], ..Delta::default() };
        node.kernel.apply(&put(endpoint)).unwrap();
        assert_eq!(node.kernel.refused().keys().collect::<Vec<_>>(), [&Refused::Endpoint(place.clone())]);
        let closed = table();
        assert!(!closed.contains("\"cali1\" : "), "{closed}");
        node.kernel.apply(&put(good)).unwrap();
        assert!(node.kernel.refused().is_empty());
        assert!(table().contains("\"cali1\""));
        assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
    });
}

#[test]
fn all_that_the_kernel_refuses_in_one_batch_is_quarantined_at_once() {
    in_namespace(|| {
        for open in [Kernel::open, Kernel::open_unowned] {
            let name = |n: usize| if usize::is_multiple_of(n, 16) { format!("good{n}") } else { format!("bad{n}") };
            let policies = |bad: &str| -> Vec<String> {
                let one = |n| {
                    let rule = if usize::is_multiple_of(n, 16) { "{action: Allow, protocol: TCP}" } else { bad };
                    format!(
                        "GlobalNetworkPolicy {} {{selector: role == 'web', order: {n}, types: [Ingress], ingress: [{rule}]}}",
                        name(n)
                    )
                };
                (0..64).map(one).collect()
            };
            let mut node = Node::new(open(TableOptions::default()).unwrap(), &[HOST]);
            let mut delta = Delta::default();
            let mut host = node.kernel.state().host.clone().unwrap();
            host.settings.log_limit = Some(LogLimit { count: 0, seconds: 1, burst: 5 });
            delta.host = Some(Box::new(host));
            node.kernel.apply(&delta).unwrap();
            // No kernel takes a rate of none. First in a change, then in a whole state.
            policies("{action: Log}").iter().for_each(|line| drop(node.followed.step(&Step::Put(resource(line)))));
            let delta = node.flush();
            node.kernel.apply(&delta).unwrap();
            assert_eq!((node.kernel.refused().len(), node.kernel.refusals()), (60, 1));
            assert!(node.kernel.refused().keys().all(|refused| match refused {
                Refused::Rules(id) => id.to_string().contains("bad"),
                _ => false,
            }));
            let mut state = node.followed.state.clone();
            state.host = node.kernel.state().host.clone();
            node.kernel.replace(state).unwrap();
            // Once, in the table that is put beside the one in force.
            assert_eq!((node.kernel.refused().len(), node.kernel.refusals()), (60, 2));
            let listed = table();
            assert_eq!(listed.matches("refused: ").count(), 60);
            assert!(listed.contains("chain policy-in/gnp/good16"));
            assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
            assert!(node.kernel.is_intact().unwrap());
            node.kernel.remove().unwrap();
        }
    });
}

#[test]
#[cfg(feature = "faults")]
fn what_the_kernel_refuses_without_a_name_is_found_by_halving_and_the_rest_is_applied() {
    use tortie_testkit::faults::{REFUSED_AT_COMMIT, with};
    let policy = |n: usize, action: &str| {
        format!(
            "GlobalNetworkPolicy p{n:02} {{selector: role == 'web', order: {n}, types: [Ingress], ingress: [{{action: {action}, protocol: TCP}}]}}"
        )
    };
    let refused = |node: &Node| -> Vec<String> {
        let names = node.kernel.refused().iter().map(|(refused, reason)| match refused {
            Refused::Rules(id) => format!("{id}: {reason}"),
            other => format!("{other:?}"),
        });
        names.collect()
    };
    let reason = "Operation not supported (os error 95)";
    let say =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| format!("gnp {name} ingress: {reason}")).collect() };
    in_namespace(|| {
        with(REFUSED_AT_COMMIT, || {
            type Open = fn(TableOptions) -> Result<Kernel, ApplyError>;
            let small: Open = |options| Kernel::open_with(options, SMALL, false);
            for open in [Kernel::open as Open, Kernel::open_unowned, small] {
                // A whole state with two bad ones.
                let mut all = vec![HOST.to_owned()];
                all.extend((0..64).map(|n| policy(n, if [7, 50].contains(&n) { "Log" } else { "Deny" })));
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                let mut node = Node::new(open(TableOptions::default()).unwrap(), &all);
                assert_eq!(refused(&node), say(&["p07", "p50"]));
                let batches = node.kernel.refusals();
                assert!(batches <= 2 * 8 + 2, "{batches}");
                assert!(table().contains("refused: gnp p07") && table().contains("chain policy-in/gnp/p06"));
                assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
                assert!(node.kernel.is_intact().unwrap());
                // A change: the bad one keeps its last valid form, and the good one is in force.
                for line in [policy(7, "Deny"), policy(20, "Log"), policy(21, "Allow")] {
                    node.followed.step(&Step::Put(resource(&line)));
                }
                let delta = node.flush();
                node.kernel.apply(&delta).unwrap();
                assert_eq!(refused(&node), say(&["p20", "p50"]));
                assert!(node.kernel.refusals() - batches <= 6, "{}", node.kernel.refusals() - batches);
                let shown = run("nft", &["list", "chain", "inet", "tortie", "policy-in/gnp/p20"]);
                assert!(shown.contains("drop") && !shown.contains("refused: "), "{shown}");
                let shown = run("nft", &["list", "chain", "inet", "tortie", "policy-in/gnp/p21"]);
                assert!(shown.contains("accept"), "{shown}");
                assert!(!run("nft", &["list", "tables"]).contains("tortie-next"), "no trial is left");
                // Written anew they are taken.
                node.put(&policy(20, "Deny"));
                node.put(&policy(50, "Deny"));
                assert_eq!(refused(&node), [] as [String; 0]);
                node.kernel.remove().unwrap();
            }
        });
    });
}

#[test]
#[cfg(feature = "faults")]
fn a_search_among_many_bad_objects_ends_soon_and_quarantines_what_it_could_not_tell_apart() {
    use tortie_testkit::faults::{REFUSED_AT_COMMIT, with};
    in_namespace(|| {
        with(REFUSED_AT_COMMIT, || {
            let policy = |n: usize| {
                let action = if n.is_multiple_of(2) { "Log" } else { "Deny" };
                format!(
                    "GlobalNetworkPolicy p{n} {{selector: role == 'web', order: {n}, types: [Ingress], ingress: [{{action: {action}, protocol: TCP}}]}}"
                )
            };
            let mut all = vec![HOST.to_owned()];
            all.extend((0..400).map(policy));
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let node = Node::open(&all);
            assert!(node.kernel.refusals() <= 16 * 10 + 3, "{}", node.kernel.refusals());
            let refused = node.kernel.refused();
            let even = |refused: &Refused| match refused {
                Refused::Rules(id) => id.to_string().trim_end_matches(" ingress").ends_with(['0', '2', '4', '6', '8']),
                _ => false,
            };
            assert_eq!(refused.keys().filter(|one| even(one)).count(), 200, "each bad one is out");
            assert!(refused.len() < 400, "some good ones are told apart: {}", refused.len());
            assert!(refused.values().any(|reason| reason.contains("not told apart")), "{refused:?}");
        });
    });
}

/// Replaces whole states while another processor sends packets that all of them deny, as an agent does that starts. None gets
/// through, although the kernel asks base chains that a transaction makes before those that it removes.
#[test]
fn no_denied_packet_passes_while_everything_is_replaced() {
    in_namespace(|| {
        for open in [Kernel::open, Kernel::open_unowned] {
            let host = "HostEndpoint h role=web {node: n1, interfaceName: lo, expectedIPs: [127.0.0.1]}";
            let mut node =
                Node::new(open(TableOptions::default()).unwrap(), &[host, &policy("p", (0..20).map(few_ports))]);
            let state = node.kernel.state().clone();
            let inbox = UdpSocket::bind("127.0.0.1:7001").unwrap();
            inbox.set_nonblocking(true).unwrap();
            let end = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let outbox = UdpSocket::bind("127.0.0.1:0").unwrap();
                    while !end.load(Ordering::Relaxed) {
                        // The kernel may say that it was denied.
                        drop(outbox.send_to(b"x", "127.0.0.1:7001"));
                    }
                });
                for _ in 0..100 {
                    node.kernel.replace(state.clone()).unwrap();
                }
                end.store(true, Ordering::Relaxed);
            });
            assert!(inbox.recv(&mut [0; 8]).is_err(), "a denied packet got through");
            // So does the next agent.
            drop(node);
            let mut next = open(TableOptions::default()).unwrap();
            next.adopt().unwrap();
            next.replace(state).unwrap();
            assert_eq!(next.differences(3).unwrap(), [] as [String; 0]);
            next.remove().unwrap();
        }
    });
}

/// Linux 6.9 has the first.
fn has_owned_tables() -> bool {
    Feature::Persist.is_supported(&mut Socket::open().unwrap()).unwrap()
}

fn few_ports(n: usize) -> String {
    format!("protocol: TCP, destination: {{ports: [{}, {}]}}", 100 + n, 300 + n)
}

#[test]
fn a_set_that_the_kernel_refuses_is_quarantined_with_the_lists_that_look_in_it_until_it_changes() {
    in_namespace(|| {
        for open in [Kernel::open, Kernel::open_unowned] {
            let looks = "GlobalNetworkPolicy looks {selector: role == 'web', order: 1, types: [Ingress], ingress: [{action: Deny, source: {selector: trust == 'no'}}, {action: Allow}]}";
            let other = "GlobalNetworkPolicy other {selector: role == 'web', order: 2, types: [Ingress], ingress: [{action: Allow, source: {selector: trust == 'yes'}}]}";
            let good = "GlobalNetworkSet s trust=yes {nets: [192.0.2.0/24]}";
            let bad = "GlobalNetworkSet t trust=no {nets: [10.0.0.0/8, 198.51.100.0/24]}";
            let mut node = Node::new(open(TableOptions::default()).unwrap(), &[HOST, looks, other, good, bad]);
            let mut state = node.followed.state.clone();
            let eight: ipnet::IpNet = "10.0.0.0/8".parse().unwrap();
            let nine: ipnet::IpNet = "10.0.0.0/9".parse().unwrap();
            let (id, nets) = state
                .sets
                .iter_mut()
                .find_map(|(id, set)| match set {
                    SetState::Nets(nets) if nets.contains(&eight) => Some((id.clone(), nets)),
                    _ => None,
                })
                .unwrap();
            // Nets that overlap: no kernel takes them.
            nets.insert(nine);
            node.kernel.replace(state).unwrap();
            assert_eq!(node.kernel.refused().keys().collect::<Vec<_>>(), [&Refused::Set(id.clone())]);
            let listed = table();
            assert_eq!(listed.matches("refused: gnp looks").count(), 1, "{listed}");
            assert!(!listed.contains("nets4-") || listed.matches("set nets4-").count() == 1, "{listed}");
            assert!(node.kernel.is_intact().unwrap());
            // What does not look in it goes on.
            let delta = {
                node.followed.step(&Step::Put(resource(&other.replace("Allow", "Deny"))));
                node.flush()
            };
            node.kernel.apply(&delta).unwrap();
            assert_eq!((node.kernel.refused().len(), node.kernel.refusals()), (1, 1));
            assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
            // It is tried again when it changes.
            let change = SetChange { id, removed: Members::Nets(vec![nine]), added: Members::Nets(vec![]) };
            node.kernel.apply(&Delta { sets_changed: vec![change], ..Delta::default() }).unwrap();
            assert!(node.kernel.refused().is_empty());
            assert!(!table().contains("refused: "));
            assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
            assert!(node.kernel.is_intact().unwrap());
            node.delete("GlobalNetworkPolicy", "looks");
            node.kernel.remove().unwrap();
        }
    });
}

/// A send buffer of 128 KiB, which many machines do not let a user namespace exceed.
const SMALL: Buffers = Buffers { send: 1 << 16, receive: 1 << 18 };

#[test]
fn with_a_small_send_buffer_a_large_state_is_programmed_whole_and_never_open() {
    in_namespace(|| {
        for owned in [true, false] {
            let set = |count: u32| {
                let nets: Vec<String> =
                    (0..count).map(|n| format!("10.{}.{}.{}/32", n / 40_000, n / 200 % 200, n % 200)).collect();
                format!("GlobalNetworkSet s trust=yes {{nets: [{}]}}", nets.join(", "))
            };
            let policy = "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, source: {selector: trust == 'yes'}}]}";
            let mut node =
                Node::new(Kernel::open_with(TableOptions::default(), SMALL, owned).unwrap(), &[HOST, policy]);
            assert_eq!(node.kernel.is_owner(), owned && has_owned_tables());
            // A change, and then a whole state.
            node.put(&set(100_000));
            let names = || {
                let mut socket = Socket::open().unwrap();
                let ids = tortie_nft::dump::table_ids(&mut socket).unwrap();
                ids.into_iter().map(|id| id.name).collect::<Vec<_>>()
            };
            assert_eq!(names(), ["tortie"]);
            // While it is replaced, the base chains are those of one table or of the other at every moment.
            let done = AtomicBool::new(false);
            let looks = std::thread::scope(|scope| {
                let looking = scope.spawn(|| {
                    let mut socket = Socket::open().unwrap();
                    let mut looks = 0;
                    while !done.load(Ordering::SeqCst) {
                        let mut in_force = |name: &str| {
                            let chains = tortie_nft::piecewise::chains(&mut socket, &TableId::inet(name)).unwrap();
                            chains.into_iter().any(|(_, chain)| chain.is_some_and(|chain| chain.base.is_some()))
                        };
                        // They take turns: own, second, own.
                        assert!(in_force("tortie") || in_force("tortie-next") || in_force("tortie"));
                        looks += 1;
                    }
                    looks
                });
                node.kernel.replace(node.followed.state.clone()).unwrap();
                done.store(true, Ordering::SeqCst);
                looking.join().unwrap()
            });
            assert!(looks > 10, "{looks}");
            assert_eq!(names(), ["tortie"]);
            assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
            assert!(node.kernel.is_intact().unwrap());
            node.kernel.remove().unwrap();
            assert_eq!(names(), [] as [&str; 0]);
        }
    });
}

#[test]
fn a_replacement_in_pieces_that_was_interrupted_is_taken_up_by_the_next_agent() {
    in_namespace(|| {
        // The second table is in force, and the first is half built.
        let mut node = Node::open(&[HOST, &policy("p", [LONG.into()])]);
        let wanted = node.kernel.ruleset();
        let second = TableOptions { table: "tortie-next".to_owned(), ..TableOptions::default() };
        let mut earlier = Kernel::open_unowned(second).unwrap();
        earlier.replace(node.followed.state.clone()).unwrap();
        node.kernel.remove().unwrap();
        drop(earlier);
        earlier =
            Kernel::open_unowned(TableOptions { table: "tortie-next".to_owned(), ..TableOptions::default() }).unwrap();
        earlier.replace(node.followed.state.clone()).unwrap();
        let mut next = Kernel::open(TableOptions::default()).unwrap();
        assert_eq!(next.adopt().unwrap(), Existing::Table);
        assert!(table().contains("table inet tortie-next"));
        next.replace(node.followed.state.clone()).unwrap();
        assert!(!table().contains("tortie-next"));
        let there = tortie_dataplane_nft::read_back(&next.read().unwrap().unwrap());
        assert_eq!(tortie_dataplane_nft::differences(&wanted, &there, 3), [] as [String; 0]);
    });
}

#[test]
#[cfg(feature = "faults")]
fn a_refused_replacement_leaves_the_table_in_force_that_an_interrupted_one_left() {
    use tortie_testkit::faults::{REFUSED_AT_COMMIT, with};
    in_namespace(|| {
        with(REFUSED_AT_COMMIT, || {
            let log = "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [{action: Log, protocol: TCP}]}";
            let mut node = Node::open(&[HOST]);
            node.kernel.remove().unwrap();
            let second = TableOptions { table: "tortie-next".to_owned(), ..TableOptions::default() };
            let mut earlier = Kernel::open_unowned(second).unwrap();
            earlier.replace(node.followed.state.clone()).unwrap();
            let before = run("nft", &["-a", "list", "table", "inet", "tortie-next"]);
            node.followed.step(&Step::Put(resource(log)));
            node.flush();
            let mut next = Kernel::open(TableOptions::default()).unwrap();
            let result = next.replace(node.followed.state.clone());
            assert!(result.is_err(), "{:?}", next.refused());
            assert_eq!(run("nft", &["-a", "list", "table", "inet", "tortie-next"]), before);
        });
    });
}

#[test]
fn nobody_else_can_change_an_owned_table_and_the_next_agent_adopts_it() {
    in_namespace(|| {
        let mut node = Node::open(&[HOST]);
        assert_eq!(node.kernel.is_owner(), has_owned_tables());
        if !has_owned_tables() {
            return;
        }
        run("nft", &["flush", "ruleset"]);
        assert!(node.kernel.is_intact().unwrap());
        assert!(matches!(Kernel::uninstall(&TableOptions::default()), Err(ApplyError::Held(_))));
        let mut second = Kernel::open(TableOptions::default()).unwrap();
        assert!(matches!(second.adopt(), Err(ApplyError::Held(_))));
        assert!(matches!(second.replace(State::default()), Err(ApplyError::Held(_))));
        assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);

        // The agent dies; its policy stays.
        let Node { followed, kernel } = node;
        let wanted = kernel.ruleset();
        drop(kernel);
        let deadline = Instant::now() + limit(Duration::from_secs(5));
        while second.adopt().is_err() {
            assert!(Instant::now() < deadline, "the table was never let go");
            std::thread::yield_now();
        }
        assert_eq!(second.adopt().unwrap(), Existing::Table);
        let there = tortie_dataplane_nft::read_back(&second.read().unwrap().unwrap());
        assert_eq!(tortie_dataplane_nft::differences(&wanted, &there, 3), [] as [String; 0]);
        second.replace(followed.state).unwrap();
        assert_eq!(second.ruleset(), wanted);
        assert_eq!(second.remove().unwrap(), Existing::Table);
        assert_eq!(table(), "");
        assert_eq!(Kernel::uninstall(&TableOptions::default()).unwrap(), Existing::Nothing);
    });
}

/// 107 of the reference's functional tests.
#[test]
fn without_ownership_what_others_do_is_noticed_and_repaired() {
    in_namespace(|| {
        let mut node =
            Node::new(Kernel::open_unowned(TableOptions::default()).unwrap(), &[HOST, &policy("p", [LONG.into()])]);
        assert!(node.kernel.is_intact().unwrap());
        let list = shared(&mut node).into_iter().find(|name| name.contains("port")).unwrap();
        // Commits of others elsewhere are none of ours.
        run("nft", &["add", "table", "ip", "theirs"]);
        assert!(node.kernel.is_intact().unwrap());
        for damage in [
            "flush ruleset",
            "flush chain inet tortie host-in/early",
            "add rule inet tortie input accept",
            "insert rule inet tortie input accept",
            "delete element inet tortie host-in { \"eth0\" }",
            "add chain inet tortie more",
            "chain inet tortie input { policy drop; }",
            "add table inet tortie { flags dormant; }",
            &format!("delete element inet tortie {list} {{ 7 }}"),
            &format!("delete element inet tortie {list} {{ 7 }}; add element inet tortie {list} {{ 8 }}"),
            "add set inet tortie more { type mark; }",
            "insert rule inet tortie input ip saddr { 192.0.2.1, 192.0.2.2 } accept",
        ] {
            run_with_input("nft", &["-f", "-"], damage);
            assert!(!node.kernel.is_intact().unwrap(), "{damage}");
            node.kernel.repair().unwrap();
            assert!(node.kernel.is_intact().unwrap(), "{damage}");
            assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
        }
        assert_eq!(Kernel::uninstall(&TableOptions::default()).unwrap(), Existing::Table);
        assert!(!table().contains("tortie"));
    });
}

#[test]
fn connections_are_tracked_from_the_first_moment() {
    in_namespace(|| {
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        assert_eq!(kernel.adopt().unwrap(), Existing::Nothing);
        let listed = table();
        assert!(listed.contains("ct state new"), "{listed}");
        assert!(!listed.contains("hook"), "nothing is denied yet:\n{listed}");
    });
}

#[test]
fn the_first_state_is_one_transaction_and_the_next_agent_with_the_same_needs_none() {
    in_namespace(|| {
        let mut node = Node::open(&[HOST, &policy("p", [LONG.into()])]);
        let state = node.followed.state.clone();
        node.kernel.remove().unwrap();
        let mut first = Kernel::open_unowned(TableOptions::default()).unwrap();
        assert_eq!(first.adopt().unwrap(), Existing::Nothing);
        let before = generation();
        first.replace(state.clone()).unwrap();
        assert_eq!(generation(), before + 1);
        let mut second = Kernel::open_unowned(TableOptions::default()).unwrap();
        assert_eq!(second.adopt().unwrap(), Existing::Table);
        let before = generation();
        second.replace(state).unwrap();
        assert_eq!(generation(), before);
        assert_eq!(second.differences(3).unwrap(), [] as [String; 0]);
    });
}

#[test]
fn the_first_ipv6_member_brings_the_sets_for_ipv6_and_they_stay() {
    in_namespace(|| {
        let policy = "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, source: {selector: trust == 'yes'}}, {action: Deny, source: {notSelector: trust == 'yes'}}]}";
        let v4 = "GlobalNetworkSet s trust=yes {nets: [10.0.0.1/32]}";
        let mut node = Node::open(&[HOST, policy, v4]);
        let lists_v6 = || table().lines().any(|line| line.contains("ip6 saddr @"));
        assert!(!lists_v6(), "{}", table());
        node.put("GlobalNetworkSet s trust=yes {nets: [10.0.0.1/32, 'fd00::1/128']}");
        assert!(lists_v6());
        node.put(v4);
        assert_eq!(node.put("GlobalNetworkSet s trust=yes {nets: [10.0.0.1/32, 'fd00::2/128']}").messages, 1);
        node.kernel.replace(node.followed.state.clone()).unwrap();
        node.put(v4);
        node.kernel.replace(node.followed.state.clone()).unwrap();
        assert!(!lists_v6());
    });
}

/// The kernel's count of transactions.
fn generation() -> u32 {
    Socket::open().unwrap().generation().unwrap()
}

const WEB: &str = "GlobalNetworkPolicy web {selector: app == 'web', types: [Ingress], ingress: [{action: Allow, source: {selector: trust == 'yes'}}]}";
const DATABASE: &str =
    "NetworkPolicy a/db {selector: app == 'db', types: [Ingress], ingress: [{action: Deny, protocol: UDP}]}";
const TRUSTED: &str = "GlobalNetworkSet s trust=yes {nets: [10.0.0.1/32]}";

fn workload(number: u8, app: &str) -> String {
    format!(
        "WorkloadEndpoint a/w{number} app={app} {{node: n1, orchestrator: k8s, pod: p{number}, endpoint: eth0, interfaceName: cali{number}, ipNetworks: [10.0.0.{number}/32]}}"
    )
}

#[test]
fn a_change_is_one_transaction_unless_a_packet_in_flight_could_follow_an_element_to_a_new_chain_or_miss_one() {
    in_namespace(|| {
        let mut node = Node::open(&[HOST, WEB, DATABASE, TRUSTED, &workload(1, "web"), &workload(2, "db")]);
        let count = |node: &mut Node, line: &str| {
            let before = generation();
            node.put(line);
            generation() - before
        };
        assert_eq!(count(&mut node, &TRUSTED.replace("10.0.0.1/32", "10.0.0.7/32, 10.0.0.9/32")), 1, "members");
        assert_eq!(count(&mut node, &DATABASE.replace("UDP", "TCP")), 1, "a rule");
        assert_eq!(count(&mut node, &TRUSTED.replace("10.0.0.1/32", "10.0.0.0/24")), 1, "a set of another kind");
        assert_eq!(count(&mut node, &workload(3, "db")), 1, "a workload with a program that is there");
        assert_eq!(count(&mut node, &workload(2, "web")), 1, "a workload gets a program that is there");
        assert_eq!(count(&mut node, &workload(1, "none")), 2, "a workload gets a new program");
        let policy = "NetworkPolicy a/more {selector: app == 'web', types: [Ingress], ingress: [{action: Allow, protocol: TCP}]}";
        assert_eq!(count(&mut node, policy), 2, "a policy that comes to endpoints");
        let before = generation();
        node.delete("HostEndpoint", "h");
        assert_eq!(generation() - before, 1, "a host endpoint goes");
        node.put(HOST);
        node.followed.step(&Step::Delete(json!({"kind": "HostEndpoint", "namespace": "", "name": "h"})));
        assert_eq!(
            count(&mut node, "HostEndpoint all role=web {node: n1, interfaceName: '*'}"),
            2,
            "another takes its place"
        );
    });
}

#[test]
#[cfg(feature = "faults")]
fn what_was_made_for_a_transaction_that_is_refused_is_gone_afterwards() {
    use tortie_testkit::faults::{REFUSED_AT_COMMIT, with};
    in_namespace(|| {
        with(REFUSED_AT_COMMIT, || {
            for open in [Kernel::open, Kernel::open_unowned] {
                let mut node = Node::new(open(TableOptions::default()).unwrap(), &[HOST, DATABASE, &workload(1, "db")]);
                let (sets, before) = (shared(&mut node), generation());
                node.put("NetworkPolicy a/log {selector: app == 'db', types: [Ingress], ingress: [{action: Log}, {action: Allow, source: {nets: [10.1.0.0/16, 10.3.0.0/16, 10.5.0.0/16, 10.7.0.0/16, 10.9.0.0/16]}}]}");
                assert!(generation() - before > 3);
                assert_eq!(node.kernel.refused().len(), 1);
                assert_eq!(node.kernel.differences(3).unwrap(), [] as [String; 0]);
                assert!(matches!(node.kernel.refused().keys().next(), Some(Refused::Rules(_))));
                assert_eq!(shared(&mut node), sets);
                assert!(node.kernel.is_intact().unwrap());
                node.kernel.remove().unwrap();
            }
        });
    });
}

#[test]
fn a_change_in_several_transactions_is_whole_although_others_damage_what_each_of_them_needs() {
    in_namespace(|| {
        let unowned = || Kernel::open_unowned(TableOptions::default()).unwrap();
        let mut node = Node::new(unowned(), &[HOST, WEB, DATABASE, TRUSTED, &workload(1, "web")]);
        // The transaction after the one that makes the chains is refused.
        run("nft", &["delete", "element", "inet", "tortie", "workload-in", "{ \"cali1\" }"]);
        node.put(&workload(1, "db"));
        assert!(node.kernel.is_intact().unwrap());
        // The last one is refused, and what is in force by then is the change.
        run("nft", &["delete", "element", "inet", "tortie", "host-in", "{ \"eth0\" }"]);
        node.followed.step(&Step::Delete(json!({"kind": "HostEndpoint", "namespace": "", "name": "h"})));
        node.put("HostEndpoint all role=web {node: n1, interfaceName: '*'}");
        assert!(node.kernel.is_intact().unwrap());
        // An agent that ended between two of them has left chains and sets that nothing leads to.
        run("nft", &["add", "chain", "inet", "tortie", "left"]);
        run("nft", &["add", "set", "inet", "tortie", "left", "{ type mark; }"]);
        let mut next = unowned();
        next.replace(node.followed.state.clone()).unwrap();
        assert_eq!(next.differences(3).unwrap(), [] as [String; 0]);
    });
}
