//! Random worlds with real packets: the kernel's answers are the evaluator's, foreign mark bits survive, ours gain nothing
//! and are gone in the end, and every denial is one that our rules counted.
//!
//! `TORTIE_PACKET_WORLDS` says how many worlds, `TORTIE_SEED` which one.

#![allow(clippy::unwrap_used)]

mod common;

use common::bed::{LINKS, SentPacket, TestBed};
use common::follow::Followed;
use common::real::{compare, shot};
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_testkit::namespace::in_namespace;
use tortie_testkit::worlds::{Case, Probe};

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TORTIE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 5000..5000 + number("TORTIE_PACKET_WORLDS").unwrap_or(60),
    }
}

#[test]
fn real_packets_get_the_verdicts_of_the_evaluator() {
    in_namespace(|| {
        let mut bed = TestBed::new(&LINKS);
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let (mut judged, mut allowed, mut torn) = (0, 0, 0);
        for seed in seeds() {
            let case = Case::random(seed);
            let followed = Followed::to_end(&case);
            kernel.replace(followed.state.clone()).unwrap();
            let packets = case.probes.iter().map(Probe::packet).enumerate();
            let shots: Vec<SentPacket> =
                packets.filter_map(|(index, packet)| shot(&packet, &followed.state, index % 5 == 0)).collect();
            let world = &followed.world;
            let compared = compare(&mut bed, &mut kernel, &world.snapshot, &world.host, &shots);
            assert!(compared.wrong.is_empty(), "seed {seed}: {}\n{}", compared.wrong.len(), compared.wrong.join("\n"));
            judged += shots.len();
            allowed += compared.allowed;
            torn += shots.iter().filter(|shot| shot.torn).count();
        }
        eprintln!("{judged} packets, {allowed} allowed, {torn} in fragments");
        assert!(std::env::var("TORTIE_SEED").is_ok() || (allowed > judged / 10 && torn > 0));
    });
}
