//! The products of rules, held against the evaluator over random worlds.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_classes::{Conditions, Domain, Product};
use tortie_eval::{End, single_rule};
use tortie_policy::packet::Transport;
use tortie_policy::{Action, Family, Rule, Snapshot};
use tortie_random::Random;
use tortie_testkit::worlds::{Damage, World};

/// Addresses of everything that rules can ask for, and some others.
fn addresses(snapshot: &Snapshot) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = ["198.51.100.1", "192.0.2.77", "2001:db8::5"].map(|text| text.parse().unwrap()).into();
    found.extend(snapshot.workload_endpoints.values().flat_map(|endpoint| &endpoint.addresses));
    found.extend(snapshot.host_endpoints.values().flat_map(|endpoint| &endpoint.addresses));
    found.extend(snapshot.network_sets.values().flat_map(|set| &set.nets).map(|net| net.addr()));
    found.extend(snapshot.slices.values().flat_map(|slice| &slice.addresses));
    let sides = rules(snapshot).into_iter().flat_map(|rule| [&rule.source, &rule.destination]);
    found.extend(sides.flat_map(|side| side.nets.iter().chain(&side.not_nets)).map(|net| net.addr()));
    found.sort_unstable();
    found.dedup();
    found
}

fn rules(snapshot: &Snapshot) -> Vec<&Rule> {
    let policies = snapshot.policies.values().flat_map(|one| one.ingress.iter().chain(&one.egress));
    let profiles = snapshot.profiles.values().flat_map(|one| one.ingress.iter().chain(&one.egress));
    policies.chain(profiles).collect()
}

/// Protocols and transports that packets may have, near what the rules of random worlds ask for.
fn headers(snapshot: &Snapshot) -> Vec<(u8, Transport)> {
    let mut ports = vec![0, 22, 40_000, 65_535];
    for rule in rules(snapshot) {
        for side in [&rule.source, &rule.destination] {
            for port in side.ports.iter().chain(&side.not_ports) {
                if let tortie_policy::PortMatch::Range(range) = port {
                    ports.extend([range.first(), range.last(), range.last().saturating_add(1)]);
                }
            }
        }
    }
    let endpoints = snapshot.workload_endpoints.values().flat_map(|one| &one.ports);
    let endpoints = endpoints.chain(snapshot.host_endpoints.values().flat_map(|one| &one.ports));
    ports.extend(endpoints.map(|port| port.port));
    ports.extend(snapshot.slices.values().flat_map(|slice| &slice.ports).map(|(_, port)| *port));
    ports.sort_unstable();
    ports.dedup();
    let mut found: Vec<(u8, Transport)> = Vec::new();
    for protocol in [6, 17, 132, 136] {
        found.push((protocol, Transport::Opaque));
        for &destination in &ports {
            found.push((protocol, Transport::Ports { source: 40_000, destination }));
            found.push((protocol, Transport::Ports { source: destination, destination: 22 }));
        }
    }
    for protocol in [1, 58] {
        found.push((protocol, Transport::Opaque));
        for kind in [0, 3, 8, 128, 135] {
            found.extend([0, 1].map(|code| (protocol, Transport::Icmp { kind, code })));
        }
    }
    found.extend([0, 4, 47, 253].map(|protocol| (protocol, Transport::Opaque)));
    found
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn has(product: &Product, source: IpAddr, destination: IpAddr, (protocol, transport): (u8, Transport)) -> bool {
    product.source.contains(number(source))
        && product.destination.contains(number(destination))
        && product.has_transport(protocol, transport)
}

#[test]
fn a_rule_matches_the_packets_of_its_products_and_no_others() {
    let mut random = Random::new(23);
    let (mut compared, mut matched, mut sound) = (0, 0, 0);
    for seed in 0..120 {
        let mut world = World::random(seed);
        // Some worlds have damaged objects: what is unknown of members is a condition too.
        let stored = if seed % 3 == 2 { world.stored() } else { Vec::new() };
        for _ in stored.iter().take(4) {
            let Some(damage) = Damage::random(&mut random, &stored) else { continue };
            world.put_stored(&damage.key, &damage.bytes);
        }
        let snapshot = &world.snapshot;
        let conditions = Conditions::new(snapshot, Domain::default());
        let (addresses, headers) = (addresses(snapshot), headers(snapshot));
        for rule in rules(snapshot) {
            for _ in 0..60 {
                let (source, destination) = (*random.pick(&addresses), *random.pick(&addresses));
                let header = *random.pick(&headers);
                let family = Family::of(source);
                let own = if family == Family::V4 { 1 } else { 58 };
                let is_icmp = matches!(header.1, Transport::Icmp { .. });
                if Family::of(destination) != family || (is_icmp && header.0 != own) {
                    continue;
                }
                let clauses = conditions.clauses(rule, family);
                let hit = clauses
                    .iter()
                    .find(|clause| clause.products.iter().any(|one| has(one, source, destination, header)));
                let found: Option<Action> = hit.map(|clause| clause.action);
                let ends = [source, destination].map(|address| End::new(snapshot, address));
                let expected = single_rule(snapshot, rule, [&ends[0], &ends[1]], header);
                assert_eq!(
                    found, expected,
                    "seed {seed}: {source} to {destination} {header:?}: {rule:?}\n{clauses:#?}"
                );
                compared += 1;
                matched += usize::from(found.is_some());
                sound += usize::from(found.is_some_and(|action| action != rule.action));
            }
        }
    }
    assert!(
        compared > 20_000 && matched > 1_000 && sound > 10,
        "{matched} of {compared} matched, {sound} by the unknown"
    );
}
