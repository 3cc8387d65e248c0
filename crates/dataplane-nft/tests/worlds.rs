//! Random worlds in the kernel: what the engine says of each goes into the kernel, is read back, and packets are walked
//! through what was read. The reference evaluator, which knows only the store, must agree on every one.
//!
//! `TORTIE_WORLDS` says how many worlds, `TORTIE_SEED` which one.

#![allow(clippy::unwrap_used)]

mod common;

use common::follow::Followed;
use common::walk::{plausible, start_mark, walk};
use tortie_dataplane::{Dataplane, Members, SetId, State};
use tortie_dataplane_nft::{Kernel, TableOptions, render};
use tortie_eval::judge;
use tortie_policy::packet::Packet;
use tortie_testkit::namespace::in_namespace;
use tortie_testkit::worlds::{Case, Probe, Step};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TORTIE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TORTIE_WORLDS").unwrap_or(default),
    }
}

/// Judges every probe of a world by what is in the kernel, and tells where the evaluator differs.
fn compare(kernel: &mut Kernel, followed: &Followed, case: &Case) -> Vec<String> {
    let dump = kernel.read().unwrap().unwrap();
    let packets: Vec<Packet> = case.probes.iter().map(Probe::packet).map(|packet| plausible(&packet)).collect();
    let traces = walk(&dump, &followed.state, &packets);
    let mut wrong = Vec::new();
    for (index, (packet, traced)) in packets.iter().zip(&traces).enumerate() {
        let verdict = judge(&followed.world.snapshot, &followed.world.host, packet);
        let agrees = traced.allowed == verdict.allowed && traced.rejected == verdict.rejected;
        let (start, lost) = (start_mark(index), start_mark(index) & !traced.mark);
        // Of our bits some may be gone; those of others are as they came, and none is gained.
        let hygienic = !traced.allowed || (traced.mark & !start == 0 && lost & 0xfffc_ffff == 0);
        if !agrees || !hygienic {
            let way = traced.rules.join("\n  ");
            let steps: Vec<String> = verdict
                .path
                .iter()
                .map(|step| format!("{:?} {} {:?} {:?}", step.stage, step.interface, step.endpoint, step.decision))
                .collect();
            wrong.push(format!(
                "seed {} packet {index}: {packet:?}\nevaluator: {} {}\n  {}\nkernel: {} {} {:#x}\n  {way}",
                case.seed,
                verdict.allowed,
                verdict.rejected,
                steps.join("\n  "),
                traced.allowed,
                traced.rejected,
                traced.mark
            ));
        }
    }
    wrong
}

/// Every step of every history goes into the kernel as a change. At the first and the last the packets are judged.
fn run(mut kernel: Kernel, seeds: std::ops::Range<u64>) {
    let options = TableOptions::default();
    let (mut judged, mut steps, mut followed_exactly, worlds) = (0, 0, 0, seeds.end - seeds.start);
    for seed in seeds {
        let case = Case::random(seed);
        let mut followed = Followed::new();
        let flushes = case.steps.iter().filter(|step| matches!(step, Step::Flush)).count();
        let (mut flush, mut needed_v6) = (0, false);
        for step in &case.steps {
            let Some(delta) = followed.step(step) else { continue };
            followed.state.apply(&delta).unwrap();
            flush += 1;
            match flush {
                // The world before gives way as a whole, as a new agent's first state does.
                1 => kernel.replace(followed.state.clone()),
                _ => kernel.apply(&delta),
            }
            .unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
            steps += 1;
            assert_eq!(kernel.refused().len(), 0, "seed {seed}: {:?}", kernel.refused());
            assert_eq!(kernel.state(), &followed.state, "seed {seed}");
            // IPv6 that was needed once is kept until everything is replaced.
            needed_v6 = needs_v6(&followed.state) || (needed_v6 && flush != 1);
            if needed_v6 == needs_v6(&followed.state) {
                assert_eq!(kernel.ruleset(), render(&followed.state, &options), "seed {seed}, flush {flush}");
                followed_exactly += 1;
            }
            let differences = kernel.differences(3).unwrap();
            assert!(differences.is_empty(), "seed {seed}, flush {flush}: {differences:#?}");
            assert!(kernel.is_intact().unwrap(), "seed {seed}");
            if flush == 1 || flush == flushes {
                let wrong = compare(&mut kernel, &followed, &case);
                assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong[0]);
                judged += case.probes.len();
            }
        }
    }
    eprintln!("{judged} packets, {steps} steps, {worlds} worlds");
    assert!(followed_exactly > steps / 2, "{followed_exactly} of {steps}");
}

/// Whether any set of the rules has an IPv6 member.
fn needs_v6(state: &State) -> bool {
    let mut sets = state.sets.iter().filter(|(id, _)| !SetId::WELL_KNOWN.contains(&id.as_str()));
    sets.any(|(_, set)| match set.members() {
        Members::Nets(nets) => nets.iter().any(|net| net.addr().is_ipv6()),
        Members::Ports(ports) => ports.iter().any(|port| port.address.is_ipv6()),
    })
}

#[test]
fn worlds_in_the_kernel_do_what_the_evaluator_says() {
    in_namespace(|| run(Kernel::open(TableOptions::default()).unwrap(), seeds(1000)));
}

#[test]
fn worlds_in_a_table_that_anyone_may_change_do_the_same() {
    in_namespace(|| run(Kernel::open_unowned(TableOptions::default()).unwrap(), seeds(100)));
}

#[cfg(feature = "faults")]
#[test]
fn every_fault_is_caught() {
    use tortie_testkit::faults::{RENDERING, with};
    // Without a fault they pass: these are among the worlds above.
    let play = |fault| {
        let played = || with(fault, || run(Kernel::open(TableOptions::default()).unwrap(), 0..400));
        std::panic::catch_unwind(|| in_namespace(played))
    };
    for fault in RENDERING {
        let caught = play(fault).expect_err(fault);
        let said = caught.downcast_ref::<String>().map_or("", |said| said.lines().next().unwrap_or_default());
        eprintln!("{fault}: caught: {said}");
    }
}
