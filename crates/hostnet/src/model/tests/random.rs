//! Random histories: whatever the way there, the end is what a fresh start makes of the same interfaces and endpoints.

use proptest::prelude::*;

use super::fake::{Fake, GRACE, at};
use crate::config::Config;
use crate::route::Route;
use crate::workload::Workload;

#[derive(Clone, Debug)]
enum Event {
    Link(u8, bool),
    Unlink(u8),
    Up(u8, bool),
    Rename(u8, u8),
    Put(u8, Vec<u8>, bool),
    Remove(u8),
    Foreign(u8, u8, u8, u8),
    Unroute(u8),
    Configure(bool, u8, bool, u8),
    Restart,
    Settle,
    Wait,
}

fn events() -> impl Strategy<Value = Event> {
    let name = 0u8..5;
    prop_oneof![
        4 => (name.clone(), any::<bool>()).prop_map(|(name, up)| Event::Link(name, up)),
        2 => name.clone().prop_map(Event::Unlink),
        3 => (name.clone(), any::<bool>()).prop_map(|(name, up)| Event::Up(name, up)),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Event::Rename(from, to)),
        5 => (name.clone(), prop::collection::vec(1u8..5, 0..4), any::<bool>())
            .prop_map(|(name, addresses, spoofing)| Event::Put(name, addresses, spoofing)),
        2 => name.clone().prop_map(Event::Remove),
        2 => (name.clone(), 1u8..6, 0u8..2, 3u8..5).prop_map(|(name, to, metric, by)| Event::Foreign(name, to, metric, by)),
        1 => any::<u8>().prop_map(Event::Unroute),
        1 => (any::<bool>(), 3u8..5, any::<bool>(), 0u8..3)
            .prop_map(|(external, by, floating, prefixes)| Event::Configure(external, by, floating, prefixes)),
        1 => Just(Event::Restart),
        4 => Just(Event::Settle),
        1 => Just(Event::Wait),
    ]
}

/// The last is not a workload's but for one setting.
fn name(number: u8) -> String {
    if number == 4 { "tap4".to_owned() } else { format!("cali{number}") }
}

fn workload(addresses: &[u8], spoofing: bool) -> Workload {
    let four = addresses.iter().map(|last| [10, 65, 0, *last].into());
    let six = addresses.iter().filter(|last| **last > 2).map(|last| format!("fd00::{last}").parse().unwrap());
    Workload {
        addresses: four.chain(six).collect(),
        floating: addresses.first().map(|last| [172, 16, 0, *last].into()).into_iter().collect(),
        mac: Some([2, 0, 0, 0, 0, 9]),
        spoofing,
        openstack: false,
        kubernetes: false,
    }
}

fn happen(fake: &mut Fake, event: &Event, now: &mut u64) {
    match event {
        Event::Link(number, up) => {
            if fake.index(&name(*number)).is_none() {
                fake.link(&name(*number), *up);
            }
        }
        Event::Unlink(number) => fake.unlink(&name(*number)),
        Event::Up(number, up) => fake.flags(&name(*number), *up),
        Event::Rename(from, to) => fake.rename(&name(*from), &name(*to)),
        Event::Put(number, addresses, spoofing) => fake.model.put(&name(*number), workload(addresses, *spoofing)),
        Event::Remove(number) => fake.model.remove(&name(*number)),
        Event::Foreign(number, to, metric, protocol) => {
            let Some(index) = fake.index(&name(*number)) else { return };
            let destination = if *to == 5 { "10.66.0.0/16".parse() } else { format!("10.65.0.{to}/32").parse() };
            let (metric, protocol) = (u32::from(*metric) * 1024, *protocol);
            let destination = destination.unwrap();
            let key = |route: &Route| (route.destination, route.metric) == (destination, metric);
            // The kernel refuses a second of its net and metric.
            if !fake.routes.iter().any(key) {
                fake.foreign(Route { metric, protocol, scope: 253, ..Route::new(index, destination) });
            }
        }
        Event::Unroute(which) => {
            if let Some(route) = fake.routes.iter().nth(usize::from(*which) % fake.routes.len().max(1)).copied() {
                fake.unroute(route);
            }
        }
        Event::Configure(remove_external, protocol, floating_ips, prefixes) => {
            let prefixes: &[&str] = [&["cali"][..], &["cali", "tap"], &["tap"]][usize::from(*prefixes)];
            let prefixes = prefixes.iter().map(|one| (*one).to_owned()).collect();
            let (remove_external, protocol, floating_ips) = (*remove_external, *protocol, *floating_ips);
            let config =
                Config { prefixes, remove_external, protocol, floating_ips, grace: GRACE, ..Config::default() };
            if fake.model.configure(config) {
                fake.reread(at(*now));
            }
        }
        Event::Restart => {
            let workloads = fake.model.workloads().clone();
            fake.restart();
            workloads.into_iter().for_each(|(name, workload)| fake.model.put(&name, workload));
        }
        Event::Settle => drop(fake.settle(at(*now))),
        Event::Wait => {
            *now += 7;
            fake.settle(at(*now));
        }
    }
}

/// Lets pass every grace and retry.
fn end(fake: &mut Fake, mut now: u64) {
    for _ in 0..4 {
        now += 20;
        fake.settle(at(now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_ends_as_a_fresh_start_does(history in prop::collection::vec(events(), 0..40)) {
        let mut fake = Fake::new();
        let mut now = 0;
        for event in &history {
            happen(&mut fake, event, &mut now);
        }
        end(&mut fake, now);
        prop_assert_eq!(fake.model.open_problems().collect::<Vec<_>>(), []);

        // A fresh start on what this one has left finds the same to be right.
        let (routes, neighbours) = (fake.routes.clone(), fake.neighbours.clone());
        let (workloads, forgotten) = (fake.model.workloads().clone(), fake.forgotten.len());
        fake.restart();
        workloads.clone().into_iter().for_each(|(name, workload)| fake.model.put(&name, workload));
        end(&mut fake, 0);
        prop_assert_eq!(&fake.routes, &routes);
        prop_assert_eq!(&fake.neighbours, &neighbours);
        prop_assert_eq!(fake.forgotten.len(), forgotten, "connections of what stays are kept");

        // And one on a kernel with the interfaces only makes the same.
        let config = fake.model.config().clone();
        let ours = |route: &&Route| route.protocol == config.protocol && config.is_workload(&fake.links[&route.index].0);
        let wanted: Vec<Route> = routes.iter().filter(ours).filter(|route| route.metric == 1024).copied().collect();
        fake.routes.retain(|route| !wanted.contains(route));
        fake.neighbours.clear();
        fake.restart();
        workloads.into_iter().for_each(|(name, workload)| fake.model.put(&name, workload));
        end(&mut fake, 0);
        let made: Vec<Route> = fake.routes.iter().filter(|route| wanted.contains(route)).copied().collect();
        if config.remove_external {
            prop_assert_eq!(made, wanted);
            prop_assert_eq!(&fake.neighbours, &neighbours);
        }
    }
}
