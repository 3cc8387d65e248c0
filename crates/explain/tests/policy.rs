//! What is said of the rules of one policy holds for packets: random lists of rules in random worlds, judged by `eval`.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_api::Kind;
use tortie_eval::{EntryKind, Stage, judge};
use tortie_explain::policy::{LIMIT, PolicyName, Sample, Use, about, text, unused_rules};
use tortie_explain::{Counts, Topology};
use tortie_policy::packet::{Host, Link, Packet, PacketPath, Transport, first_tracking};
use tortie_policy::{
    Action, Direction, EndpointId, GovernedInterfaces, HostEndpoint, Icmp, Order, Policy, PolicyId, PolicyStage,
    PortMatch, Profile, Rule, Snapshot, Types,
};
use tortie_random::Random;
use tortie_selector::Selector;
use tortie_testkit::worlds::World;

const NODE: &str = "probe";

/// A random world in which nothing stands between packets and one policy: its host endpoint is on a node of its own.
struct Bench {
    snapshot: Snapshot,
    id: PolicyId,
    host: Host,
    addresses: Vec<IpAddr>,
    rules: Vec<Rule>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let world = World::random(seed);
        let mut snapshot = world.snapshot;
        let policies = std::mem::take(&mut snapshot.policies);
        let rules = policies.into_values().flat_map(|one| one.ingress.into_iter().chain(one.egress)).collect();
        let mut addresses: Vec<IpAddr> =
            ["198.51.100.9", "10.9.9.9", "2001:db8::9", "fd00::99"].iter().map(|text| text.parse().unwrap()).collect();
        addresses.extend(snapshot.workload_endpoints.values().flat_map(|one| &one.addresses));
        addresses.extend(snapshot.host_endpoints.values().flat_map(|one| &one.addresses));
        addresses.extend(snapshot.network_sets.values().flat_map(|one| one.nets.iter().map(|net| net.addr())));
        let mut settings = snapshot.default_settings.clone();
        settings.failsafe_inbound.clear();
        settings.failsafe_outbound.clear();
        snapshot.node_settings.insert(NODE.to_owned(), settings);
        let endpoint = HostEndpoint {
            name: NODE.to_owned(),
            node: NODE.to_owned(),
            interface: GovernedInterfaces::Named("eth0".to_owned()),
            addresses: Vec::new(),
            labels: Default::default(),
            profiles: Vec::new(),
            ports: Vec::new(),
            missing: Default::default(),
        };
        snapshot.host_endpoints.insert(NODE.to_owned(), endpoint);
        let id = PolicyId { kind: Kind::GlobalNetworkPolicy, namespace: String::new(), name: "p".to_owned() };
        let link = Link { name: "eth0".to_owned(), addresses: Vec::new() };
        let host = Host { node: NODE.to_owned(), links: vec![link] };
        Self { snapshot, id, host, addresses, rules }
    }

    /// Puts these rules in the policy, in a direction.
    fn put(&mut self, direction: Direction, rules: Vec<Rule>) {
        let is_ingress = direction == Direction::Ingress;
        let (ingress, egress) = if is_ingress { (rules, Vec::new()) } else { (Vec::new(), rules) };
        let policy = Policy {
            id: self.id.clone(),
            tier: "default".to_owned(),
            order: Order(Some(1.0)),
            selector: Selector::all(),
            written_selector: "all()".to_owned(),
            types: Types { ingress: is_ingress, egress: !is_ingress },
            ingress,
            egress,
            stage: PolicyStage::Normal { forward: false },
            staged: false,
            everywhere: false,
        };
        self.snapshot.policies.insert(self.id.clone(), policy);
    }

    fn uses(&self) -> Vec<Use> {
        let about = about(&self.snapshot, &self.snapshot.policies[&self.id]);
        about.directions.into_iter().flat_map(|side| side.rules).map(|rule| rule.used).collect()
    }

    /// Whether the packet is allowed, and the rules that match it up to the one that decides; none where the policy is not
    /// asked.
    fn judged(&self, direction: Direction, sample: &Sample) -> Option<(bool, Vec<usize>)> {
        let interface = "eth0".to_owned();
        let packet = Packet {
            source: sample.source,
            destination: sample.destination,
            protocol: sample.protocol,
            transport: sample.transport,
            path: match direction {
                Direction::Ingress => PacketPath::Input { interface },
                Direction::Egress => PacketPath::Output { interface },
            },
            translated: None,
            translated_interface: None,
            conntrack: first_tracking(sample.protocol, sample.transport, sample.source.is_ipv4()),
            source_route_ok: None,
            hop_limit: 64,
        };
        let verdict = judge(&self.snapshot, &self.host, &packet);
        let step = verdict.path.iter().find(|step| matches!(step.stage, Stage::HostIn | Stage::HostOut))?;
        let rules = step.entries.iter().filter(|entry| entry.reached).find_map(|entry| match &entry.kind {
            EntryKind::Policy { rules, .. } => Some(rules),
            _ => None,
        })?;
        let matched = rules.iter().filter(|rule| rule.matched()).map(|rule| rule.number);
        Some((verdict.allowed, matched.collect()))
    }

    /// A packet that some rule may mean.
    fn packet(&self, random: &mut Random, rules: &[Rule]) -> Sample {
        let source = *random.pick(&self.addresses);
        let family: Vec<IpAddr> =
            self.addresses.iter().copied().filter(|one| one.is_ipv4() == source.is_ipv4()).collect();
        let mut ports = vec![1, 40000];
        for side in rules.iter().flat_map(|rule| [&rule.source, &rule.destination]) {
            ports.extend(side.ports.iter().chain(&side.not_ports).filter_map(|port| match port {
                PortMatch::Range(range) => Some(*random.pick(&[range.first(), range.last()])),
                PortMatch::Named(_) => None,
            }));
        }
        let workloads = self.snapshot.workload_endpoints.values().flat_map(|one| &one.ports);
        ports.extend(workloads.map(|port| port.port));
        let (protocol, transport) = match random.below(4) {
            0 if source.is_ipv4() => (1, Transport::Icmp { kind: *random.pick(&[0, 8, 3]), code: 0 }),
            0 => (58, Transport::Icmp { kind: *random.pick(&[128, 1, 3]), code: 0 }),
            1 => (*random.pick(&[6, 17, 47, 132]), Transport::Opaque),
            _ => {
                let (source, destination) = (*random.pick(&ports), *random.pick(&ports));
                (*random.pick(&[6, 17, 132]), Transport::Ports { source, destination })
            }
        };
        Sample { source, destination: *random.pick(&family), protocol, transport }
    }
}

/// Random lists of rules, each with what is said of it.
fn each_list(seeds: std::ops::Range<u64>, mut visit: impl FnMut(&mut Random, &mut Bench, Direction, &[Rule], &[Use])) {
    let mut random = Random::new(11);
    for seed in seeds {
        let mut bench = Bench::new(seed);
        if bench.rules.is_empty() {
            continue;
        }
        for direction in [Direction::Ingress, Direction::Egress, Direction::Ingress] {
            let count = 2 + random.below(5);
            let rules: Vec<Rule> = (0..count).map(|_| random.pick(&bench.rules).clone()).collect();
            bench.put(direction, rules.clone());
            let uses = bench.uses();
            visit(&mut random, &mut bench, direction, &rules, &uses);
        }
    }
}

#[test]
fn removing_a_rule_that_cannot_match_changes_no_verdict() {
    let (mut hidden, mut nothing, mut compared) = (0, 0, 0);
    each_list(0..60, |random, bench, direction, rules, uses| {
        let unused = |used: &Use| matches!(used, Use::Hidden(_) | Use::Nothing(_));
        hidden += uses.iter().filter(|used| matches!(used, Use::Hidden(_))).count();
        nothing += uses.iter().filter(|used| matches!(used, Use::Nothing(_))).count();
        if !uses.iter().any(unused) {
            return;
        }
        let packets: Vec<Sample> = (0..60).map(|_| bench.packet(random, rules)).collect();
        let allowed = |bench: &Bench| -> Vec<Option<bool>> {
            packets.iter().map(|one| bench.judged(direction, one).map(|(allowed, _)| allowed)).collect()
        };
        let before = allowed(bench);
        let left = rules.iter().zip(uses).filter(|(_, used)| !unused(used)).map(|(rule, _)| rule.clone()).collect();
        bench.put(direction, left);
        let after = allowed(bench);
        let differing = before.iter().zip(&after).position(|(before, after)| before != after);
        assert_eq!(differing.map(|at| &packets[at]), None, "{uses:?} of {rules:#?}");
        compared += packets.len();
    });
    assert!(hidden > 50 && nothing > 30 && compared > 4_000, "{hidden} hidden, {nothing} nothing, {compared} compared");
}

#[test]
fn every_rule_that_can_match_is_met_by_the_packet_that_is_given_for_it() {
    let (mut met, mut settled) = (0, 0);
    each_list(200..260, |_, bench, direction, rules, uses| {
        for (index, used) in uses.iter().enumerate() {
            let Use::Matches(sample) = used else { continue };
            match bench.judged(direction, sample) {
                Some((_, matched)) => {
                    assert!(
                        matched.contains(&(index + 1)),
                        "{matched:?}: rule {}, {sample:?} of {rules:#?}",
                        index + 1
                    );
                    met += 1;
                }
                // Neighbour discovery and the like are settled before any policy.
                None => settled += 1,
            }
        }
    });
    assert!(met > 200 && settled < met / 10, "{met} meet their rule, {settled} settled before any policy");
}

#[test]
fn the_rules_that_are_named_as_hiding_a_rule_hide_it_without_others() {
    let mut seen = 0;
    each_list(400..440, |_, bench, direction, rules, uses| {
        for (index, used) in uses.iter().enumerate() {
            let Use::Hidden(by) = used else { continue };
            let mut few: Vec<Rule> = by.iter().map(|number| rules[number - 1].clone()).collect();
            few.push(rules[index].clone());
            bench.put(direction, few);
            let all: Vec<usize> = (1..=by.len()).collect();
            assert_eq!(bench.uses().last(), Some(&Use::Hidden(all)), "rule {} of {rules:#?}", index + 1);
            bench.put(direction, vec![rules[index].clone()]);
            assert!(matches!(bench.uses()[..], [Use::Matches(_)]), "rule {} of {rules:#?}", index + 1);
            seen += 1;
        }
    });
    assert!(seen > 20, "{seen} hidden rules");
}

#[test]
fn a_check_that_would_take_too_long_is_not_made_and_a_line_says_so() {
    let mut bench = Bench::new(1);
    let net = |index: u32| ipnet::IpNet::from(IpAddr::from(std::net::Ipv4Addr::from(index << 8)));
    let rule = |index: u32| {
        let mut rule = Rule::any(Action::Allow);
        rule.protocol = Some(tortie_net::Protocol::TCP);
        (rule.source.nets, rule.destination.nets) = (vec![net(index)], vec![net(index)]);
        rule
    };
    bench.put(Direction::Ingress, (1..400).map(rule).collect());
    assert!(400 * 400 * 400 > LIMIT && bench.uses().iter().all(|used| *used == Use::Unchecked));
    bench.put(Direction::Ingress, (1..40).map(rule).collect());
    assert!(bench.uses().iter().all(|used| matches!(used, Use::Matches(_))));
}

#[test]
fn twenty_endpoints_are_listed_and_the_others_counted() {
    let mut bench = Bench::new(1);
    bench.snapshot.host_endpoints.retain(|name, _| name == NODE);
    bench.snapshot.workload_endpoints.clear();
    for index in 0..24 {
        let mut one = bench.snapshot.host_endpoints[NODE].clone();
        (one.name, one.node) = (format!("e{index}"), format!("n{}", index % 3));
        bench.snapshot.host_endpoints.insert(one.name.clone(), one);
    }
    bench.put(Direction::Ingress, vec![Rule::any(Action::Allow)]);
    let found = about(&bench.snapshot, &bench.snapshot.policies[&bench.id]);
    let said = text(&Topology::new(&bench.snapshot), &found, &Counts::default());
    let listed = said.matches("hep/").count();
    assert!(listed == 20 && said.contains("  endpoints: 25\n") && said.contains("    and 5 more\n"), "{said}");
    assert!(said.contains("    n0: hep/e0, hep/e12, "), "{said}");
}

#[test]
fn untracked_policies_do_not_apply_to_workloads() {
    let mut bench = (0..20).map(Bench::new).find(|bench| !bench.snapshot.workload_endpoints.is_empty()).unwrap();
    bench.put(Direction::Ingress, vec![Rule::any(Action::Allow)]);
    let mut workloads = |stage| {
        bench.snapshot.policies.get_mut(&bench.id).unwrap().stage = stage;
        let found = about(&bench.snapshot, &bench.snapshot.policies[&bench.id]);
        found.endpoints.values().flatten().filter(|id| matches!(id, EndpointId::Workload(_))).count()
    };
    assert!(workloads(PolicyStage::Normal { forward: false }) > 0);
    assert_eq!([workloads(PolicyStage::Untracked), workloads(PolicyStage::PreDnat)], [0, 0]);
}

#[test]
fn a_policy_is_named_by_its_kind_and_namespace() {
    assert!(PolicyName::parse("hep/web").unwrap().is_none());
    assert!(PolicyName::parse("192.0.2.0/24").unwrap().is_none());
    assert_eq!(PolicyName::parse("gnp/web").unwrap(), PolicyName::parse("globalnetworkpolicies/web").unwrap());
    assert!(PolicyName::parse("np/web").unwrap_err().0.contains("np/NAMESPACE/web"));
    assert!(PolicyName::parse("gnp/shop/web").unwrap_err().0.contains("gnp/NAME"));
    assert!(PolicyName::parse("np/shop/").is_err() && PolicyName::parse("gnp/").is_err());
    let of = |kind, text: &str| PolicyName::of_kind(kind, text);
    assert!(of(Kind::KubernetesNetworkPolicy, "knp/db").unwrap_err().0.contains("knp/NAMESPACE/db"));
    assert!(
        of(Kind::KubernetesClusterNetworkPolicy, "kcnp/shop/db")
            .unwrap_err()
            .0
            .contains("a ClusterNetworkPolicy has none")
    );
    assert!(of(Kind::HostEndpoint, "hep/db").unwrap().is_none());
}

#[test]
fn a_rule_about_icmp_types_that_begin_no_connection_matches_nothing_but_where_invalid_packets_come_to_it() {
    let mut bench = Bench::new(1);
    let icmp = |protocol, kind| {
        let mut rule = Rule::any(Action::Allow);
        (rule.protocol, rule.icmp) = (Some(protocol), Some(Icmp { kind: Some(kind), code: None }));
        rule
    };
    let (v4, v6) = (tortie_net::Protocol::ICMP, tortie_net::Protocol::ICMPV6);
    let rules: Vec<Rule> = vec![
        icmp(v4, 0),
        icmp(v4, 8),
        icmp(v4, 3),
        icmp(v6, 129),
        icmp(v6, 128),
        icmp(v6, 135),
        icmp(v6, 2),
        Rule { protocol: Some(v4), ..Rule::any(Action::Allow) },
    ];
    let matching = |bench: &Bench| -> Vec<usize> {
        let uses = bench.uses().into_iter().enumerate();
        uses.filter(|(_, used)| matches!(used, Use::Matches(_))).map(|(index, _)| index).collect()
    };
    for direction in [Direction::Ingress, Direction::Egress] {
        bench.put(direction, rules.clone());
        assert_eq!(matching(&bench), [1, 4, 5, 7]);
        let unused = unused_rules(&bench.snapshot, &[&bench.snapshot.policies[&bench.id]]).concat();
        let numbers: Vec<usize> = unused.iter().map(|(_, number, _)| *number).collect();
        assert_eq!(numbers, [1, 3, 4, 7]);
        assert!(unused.iter().all(|(.., why)| why.contains("connection tracking decides all others")), "{unused:?}");
    }
    // Untracked policy is asked before connection tracking.
    let all: Vec<usize> = (0..rules.len()).collect();
    for (stage, expected) in [(PolicyStage::PreDnat, &[1, 4, 5, 7][..]), (PolicyStage::Untracked, &all)] {
        bench.snapshot.policies.get_mut(&bench.id).unwrap().stage = stage;
        assert_eq!(matching(&bench), expected, "{stage:?}");
    }
    bench.snapshot.policies.get_mut(&bench.id).unwrap().stage = PolicyStage::Normal { forward: false };
    bench.snapshot.node_settings.get_mut(NODE).unwrap().accept_invalid = true;
    assert_eq!(matching(&bench), all);
    bench.snapshot.node_settings.get_mut(NODE).unwrap().accept_invalid = false;
    // The same of a profile.
    let profile = Profile { egress: vec![icmp(v4, 8)], ingress: vec![icmp(v4, 0)], ..Profile::default_allow() };
    bench.snapshot.profiles.insert("p".to_owned(), profile);
    let said = tortie_explain::profile::text(&Topology::new(&bench.snapshot), "p", &Counts::default()).unwrap();
    assert_eq!(said.matches("MATCHES NOTHING NOW: no ICMP type").count(), 1, "{said}");
}
