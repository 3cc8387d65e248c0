//! Tables of other programs that overwrite the marks of packets: what is denied without them is denied with them, at whatever hook
//! and priority they stand. An allowed packet may be denied then: that an earlier stage allowed it is known by a bit of the mark.

#![allow(clippy::unwrap_used)]

mod common;

use common::bed::{LINKS, SentPacket, TestBed};
use common::follow::Followed;
use common::real::{denials, shot};
use common::scenario::resource;
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_eval::{Outcome, Stage, judge};
use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};
use tortie_random::Random;
use tortie_testkit::namespace::{in_namespace, run_with_input};
use tortie_testkit::worlds::{Case, Probe, Step};

/// Puts a table with one rule for every packet at a hook, in place of the one before.
fn overwrite(hook: &str, priority: i64, mark: &str) {
    let text = format!(
        "table inet marks {{}}\ndelete table inet marks\n\
         table inet marks {{ chain c {{ type filter hook {hook} priority {priority}; meta mark set {mark}; }}; }}\n"
    );
    run_with_input("nft", &["-f", "-"], &text);
}

#[test]
fn a_translated_packet_of_the_host_is_denied_whatever_becomes_of_its_mark() {
    in_namespace(|| {
        let mut bed = TestBed::new(&["eth0", "eth1"]);
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let mut followed = Followed::new();
        for line in [
            "HostEndpoint h0 {node: n1, interfaceName: eth0, profiles: [open]}",
            "HostEndpoint h1 {node: n1, interfaceName: eth1}",
            "Profile open {egress: [{action: Allow}]}",
        ] {
            followed.step(&Step::Put(resource(line)));
        }
        let delta = followed.step(&Step::Flush).unwrap();
        followed.state.apply(&delta).unwrap();
        kernel.replace(followed.state).unwrap();
        let to = "198.51.100.99".parse().unwrap();
        let packet = Packet {
            source: "192.0.2.11".parse().unwrap(),
            destination: "203.0.113.5".parse().unwrap(),
            protocol: 6,
            transport: Transport::Ports { source: 40_000, destination: 22 },
            path: PacketPath::Output { interface: "eth0".to_owned() },
            translated: Some((to, None)),
            translated_interface: Some("eth1".to_owned()),
            conntrack: Conntrack::New,
            source_route_ok: None,
            hop_limit: 64,
        };
        let shot = SentPacket { packet, lands: to, route_ok: true, torn: false };
        for (hook, priority) in [("output", -99), ("output", 10), ("postrouting", -160), ("postrouting", 100)] {
            for mark in ["7", "0", "0xffffffff", "meta mark and 0xffff"] {
                overwrite(hook, priority, mark);
                let before = denials(&kernel.read().unwrap().unwrap());
                bed.send(std::slice::from_ref(&shot));
                let denied = denials(&kernel.read().unwrap().unwrap()) - before;
                assert_eq!(denied, 1, "with mark {mark} at {hook} {priority}");
            }
        }
    });
}

/// What the bed knows packets by is in the lower half of the mark, and bits of tortie are in the upper half.
#[test]
fn no_denied_packet_passes_where_another_table_clears_all_bits_that_tortie_uses() {
    const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];
    let worlds = std::env::var("TORTIE_PACKET_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    in_namespace(|| {
        let mut bed = TestBed::new(&LINKS);
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let (mut denied, mut closed) = (0, 0);
        let world = |seed| {
            let case = Case::random(seed);
            let followed = Followed::to_end(&case);
            let packets = case.probes.iter().map(Probe::packet);
            let shots = packets.filter_map(|packet| shot(&packet, &followed.state, false));
            (seed, shots.collect::<Vec<SentPacket>>(), followed)
        };
        // Few worlds have a packet that an early stage allowed, which only a bit of the mark tells later.
        let is_allowed_early = |(_, shots, followed): &(u64, Vec<SentPacket>, Followed)| {
            let answers = shots.iter().map(|shot| judge(&followed.world.snapshot, &followed.world.host, &shot.packet));
            let mut steps = answers.flat_map(|answer| answer.path);
            steps.any(|step| step.stage == Stage::PreDnat && step.decision.outcome == Outcome::Accept)
        };
        let early = (9000 + worlds..).map(world).filter(is_allowed_early).take(10);
        for (seed, shots, followed) in (9000..9000 + worlds).map(world).chain(early) {
            kernel.replace(followed.state.clone()).unwrap();
            let mut random = Random::new(seed);
            for hook in HOOKS {
                let priority = random.between(-310, 110);
                overwrite(hook, priority, "meta mark and 0xffff");
                for (shot, seen) in shots.iter().zip(bed.send(&shots)) {
                    let answer = judge(&followed.world.snapshot, &followed.world.host, &shot.packet);
                    assert!(answer.allowed || !seen.allowed, "seed {seed}, {hook} {priority}: {shot:?}");
                    denied += usize::from(!answer.allowed);
                    closed += usize::from(answer.allowed && !seen.allowed);
                }
            }
        }
        eprintln!("{denied} packets denied; {closed} more because of the table");
        assert!(denied > 0 && closed > 0, "{denied}, {closed}");
    });
}
