//! Random worlds in the kernel: what the engine says of each goes into the kernel, is read back, and packets are walked
//! through what was read. The reference evaluator, which knows only the store, must agree on every one.
//!
//! `TORTIE_WORLDS` says how many worlds, `TORTIE_SEED` which one.

#![allow(clippy::unwrap_used)]

mod common;

use common::follow::Followed;
use common::namespace::in_namespace;
use common::walk::{plausible, start_mark, walk};
use tortie_dataplane_nft::{Options, render, replace};
use tortie_eval::judge;
use tortie_nft::{Socket, TableId, dump};
use tortie_policy::packet::Packet;
use tortie_testkit::worlds::{Case, Probe};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TORTIE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TORTIE_WORLDS").unwrap_or(default),
    }
}

/// Judges every probe of a world by what is in the kernel, and tells where the evaluator differs.
fn compare(socket: &mut Socket, followed: &Followed, case: &Case) -> Vec<String> {
    let dump = dump::table(socket, &TableId::inet("tortie")).unwrap().unwrap();
    let packets: Vec<Packet> =
        case.probes.iter().map(Probe::packet).map(|packet| plausible(&packet, &followed.state)).collect();
    let fates = walk(&dump, &followed.state, &packets);
    let mut wrong = Vec::new();
    for (index, (packet, fate)) in packets.iter().zip(&fates).enumerate() {
        let verdict = judge(&followed.world.snapshot, &followed.world.host, packet);
        let agrees = fate.allowed == verdict.allowed && fate.rejected == verdict.rejected;
        let hygienic = !fate.allowed || fate.mark == start_mark(index) || fate.mark == start_mark(index) & 0xffff;
        if !agrees || !hygienic {
            let way = fate.way.join("\n  ");
            let steps: Vec<String> = verdict
                .path
                .iter()
                .map(|step| format!("{:?} {} {:?} {:?}", step.hook, step.interface, step.endpoint, step.decision))
                .collect();
            wrong.push(format!(
                "seed {} packet {index}: {packet:?}\nevaluator: {} {}\n  {}\nkernel: {} {} {:#x}\n  {way}",
                case.seed,
                verdict.allowed,
                verdict.rejected,
                steps.join("\n  "),
                fate.allowed,
                fate.rejected,
                fate.mark
            ));
        }
    }
    wrong
}

#[test]
fn worlds_in_the_kernel_do_what_the_evaluator_says() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let options = Options::default();
        let (mut judged, mut allowed) = (0, 0);
        for seed in seeds(300) {
            let case = Case::random(seed);
            let mut followed = Followed::new();
            let flushes = case.steps.iter().filter(|step| matches!(step, tortie_testkit::worlds::Step::Flush)).count();
            let mut flush = 0;
            for step in &case.steps {
                let Some(delta) = followed.step(step) else { continue };
                followed.state.apply(&delta).unwrap();
                flush += 1;
                if flush != 1 && flush != flushes {
                    continue;
                }
                let ruleset = render(&followed.state, &options);
                replace(&ruleset).commit(&mut socket).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                let wrong = compare(&mut socket, &followed, &case);
                assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong[0]);
                judged += case.probes.len();
            }
            allowed += 1;
        }
        eprintln!("{judged} packets in {allowed} worlds");
    });
}
