//! The promise of the crate, held against random worlds.

#![allow(clippy::unwrap_used)]

use tortie_classes::{Classes, Conditions, Domain};
use tortie_eval::{By, Outcome, Verdict, judge};
use tortie_policy::Family;
use tortie_policy::packet::{Packet, Transport};
use tortie_random::Random;
use tortie_testkit::worlds::{Case, Step, World};

/// What decided each stage; which of the failsafes of one net opened is no difference.
fn decisions(verdict: &Verdict) -> Vec<(Outcome, By)> {
    let by = |by: &By| match by {
        By::Failsafe(_) => By::Failsafe(String::new()),
        by => by.clone(),
    };
    verdict.path.iter().map(|step| (step.decision.outcome, by(&step.decision.by))).collect()
}

/// The state of a case at each of its flushes, with the packets that try it.
fn each_state(seeds: std::ops::Range<u64>, mut visit: impl FnMut(u64, &World, &[Packet])) {
    for seed in seeds {
        let case = Case::random(seed);
        let packets: Vec<Packet> = case.probes.iter().map(|probe| probe.packet()).collect();
        let mut world = World::new();
        for step in &case.steps {
            world.apply(step).unwrap();
            if *step == Step::Flush {
                visit(seed, &world, &packets);
            }
        }
    }
}

fn classes(world: &World, domain: Domain) -> [Classes; 2] {
    let mut conditions = Conditions::new(&world.snapshot, domain);
    conditions.add_node(&world.host);
    [conditions.classes(Family::V4), conditions.classes(Family::V6)]
}

fn of_family<'a>(classes: &'a [Classes; 2], packet: &Packet) -> Option<&'a Classes> {
    if packet.source.is_ipv4() != packet.destination.is_ipv4() {
        return None;
    }
    classes.iter().find(|classes| classes.family == Family::of(packet.source))
}

#[test]
fn a_packet_gets_the_verdict_of_the_one_that_stands_for_its_class() {
    let mut compared = 0;
    each_state(0..60, |seed, world, packets| {
        let classes = classes(world, Domain::default());
        for packet in packets {
            let Some(classes) = of_family(&classes, packet) else { continue };
            let Some(class) = classes.class_of(packet) else { continue };
            let other = classes.packet(class, packet);
            assert_eq!(classes.class_of(&other), Some(class), "seed {seed}: {other:?} is not of its own class");
            let (one, other_verdict) =
                (judge(&world.snapshot, &world.host, packet), judge(&world.snapshot, &world.host, &other));
            assert_eq!(
                decisions(&one),
                decisions(&other_verdict),
                "seed {seed}: {packet:?} and {other:?} are of one class"
            );
            compared += usize::from(other != *packet);
        }
    });
    assert!(compared > 5_000, "{compared} packets had others that stand for them");
}

/// With the ends of the question fixed, what cannot match between them divides nothing, and the promise holds still.
#[test]
fn between_two_fixed_ends_any_payload_gets_the_verdict_of_its_class() {
    let mut random = Random::new(17);
    let (mut compared, mut fewer) = (0, 0);
    each_state(100..130, |seed, world, packets| {
        let all = classes(world, Domain::default());
        for packet in packets.iter().take(40) {
            let ends = |address: &std::net::IpAddr| tortie_classes::AddressSet::of([address]);
            let translated = packet.translated.iter().map(|(address, _)| address);
            let domain = Domain {
                source: ends(&packet.source),
                destination: ends(&packet.destination),
                translated: tortie_classes::AddressSet::of(translated),
                ..Domain::default()
            };
            let own = classes(world, domain);
            let (Some(own), Some(all)) = (of_family(&own, packet), of_family(&all, packet)) else { continue };
            fewer += usize::from(own.payloads.len() < all.payloads.len());
            for _ in 0..8 {
                let class = own.payloads.class(random.below(own.payloads.len()));
                let (protocol, transport) = class.representative();
                let port = |random: &mut Random| *random.pick(&[0, 1, 21, 22, 23, 53, 80, 443, 4789, 51820, 65535]);
                let varied = match transport {
                    Transport::Ports { .. } => {
                        Transport::Ports { source: port(&mut random), destination: port(&mut random) }
                    }
                    other => other,
                };
                let packet = Packet { protocol, transport: varied, ..packet.clone() };
                let Some(class) = own.class_of(&packet) else { panic!("seed {seed}: {packet:?} has no class") };
                let other = own.packet(class, &packet);
                assert_eq!(
                    decisions(&judge(&world.snapshot, &world.host, &packet)),
                    decisions(&judge(&world.snapshot, &world.host, &other)),
                    "seed {seed}: {packet:?} and {other:?} are of one class"
                );
                compared += 1;
            }
        }
    });
    assert!(compared > 5_000 && fewer > 100, "{compared} compared, {fewer} with fewer classes");
}

#[test]
fn the_product_is_iterated_whole_and_its_size_is_known() {
    each_state(200..203, |_, world, packets| {
        for classes in classes(world, Domain::default()) {
            let all = classes.packets();
            let size = all.len();
            let counted = all.clone().take(20_000).count() as u128;
            assert_eq!(counted, size.min(20_000));
            let mut seen: Vec<_> = all.take(20_000).collect();
            seen.dedup();
            assert_eq!(seen.len() as u128, counted, "one class came twice");
            for class in seen.into_iter().step_by(97) {
                assert_eq!(classes.class_of(&classes.packet(class, &packets[0])), Some(class));
            }
        }
    });
}
