//! The model against a kernel made of values.
#![allow(clippy::unwrap_used)]

mod fake;
mod random;

use fake::{Fake, GRACE, at};

use super::*;

use crate::step::Step;

fn workload(addresses: &[&str]) -> Workload {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Workload { addresses, mac: Some([2, 0, 0, 0, 0, 9]), ..Workload::default() }
}

fn destinations<'a>(routes: impl IntoIterator<Item = &'a Route>) -> Vec<String> {
    routes.into_iter().map(|route| format!("{} {}", route.index, route.destination)).collect()
}

#[test]
fn nothing_is_done_for_an_endpoint_without_its_interface() {
    let mut fake = Fake::new();
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    let steps = fake.settle(at(0));
    assert!(
        steps.iter().all(|step| matches!(step, Step::WriteSetting(setting) if setting.index.is_none())),
        "{steps:?}"
    );
}

#[test]
fn an_interface_is_configured_before_it_gets_a_route() {
    let mut fake = Fake::new();
    let index = fake.link("cali1", true);
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    let steps = fake.settle(at(0));
    let kind = |step: &Step| match step {
        Step::WriteSetting(_) => 0,
        Step::RemoveRoute(_) => 1,
        Step::ForgetConnections(_) => 2,
        Step::MakeRoute(_) => 3,
        Step::RemoveNeighbour(_) => 4,
        Step::MakeNeighbour(_) => 5,
    };
    assert!(steps.is_sorted_by_key(kind), "{steps:?}");
    assert_eq!(destinations(&fake.routes), [format!("{index} 10.65.0.2/32")]);
}

#[test]
fn an_address_that_moves_loses_its_route_then_its_connections_then_gets_a_route() {
    let mut fake = Fake::new();
    let old = fake.link("cali1", true);
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    fake.settle(at(0));
    let new = fake.link("cali2", true);
    fake.model.put("cali2", workload(&["10.65.0.2"]));
    let steps = fake.settle(at(1));
    let moving: Vec<String> = steps
        .iter()
        .filter(|step| !matches!(step, Step::WriteSetting(_) | Step::MakeNeighbour(_)))
        .map(|step| match step {
            Step::RemoveRoute(route) => format!("- {}", route.index),
            Step::MakeRoute(route) => format!("+ {}", route.index),
            other => other.to_string(),
        })
        .collect();
    assert_eq!(moving, [format!("- {old}"), "forget the connections of 10.65.0.2".into(), format!("+ {new}")]);
}

#[test]
fn a_stray_route_is_removed_and_connections_stay() {
    let mut fake = Fake::new();
    let (right, wrong) = (fake.link("cali1", true), fake.link("cali2", true));
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    fake.model.put("cali2", workload(&["10.65.0.3"]));
    fake.settle(at(0));
    let stray = Route { index: wrong, metric: 7, ..*fake.routes.iter().find(|route| route.index == right).unwrap() };
    fake.foreign(stray);
    assert_eq!(fake.settle(at(1)), [Step::RemoveRoute(stray)]);
}

#[test]
fn a_route_with_other_attributes_is_replaced_and_not_missing_for_a_moment() {
    let mut fake = Fake::new();
    let index = fake.link("cali1", true);
    let destination = "10.65.0.2/32".parse().unwrap();
    let made = Route { protocol: 3, scope: 253, ..Route::new(index, destination) };
    fake.foreign(made);
    fake.foreign(Route { metric: 1024, protocol: 4, ..made });
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    let steps = fake.settle(at(0));
    let routes: Vec<&Step> =
        steps.iter().filter(|step| matches!(step, Step::MakeRoute(_) | Step::RemoveRoute(_))).collect();
    assert_eq!(routes, [&Step::MakeRoute(Route { metric: 1024, ..made }), &Step::RemoveRoute(made)]);
}

#[test]
fn a_foreign_route_stays_for_its_grace_period_unless_a_workload_needs_its_place() {
    for comes in [false, true] {
        let mut fake = Fake::new();
        let index = fake.link("cali1", true);
        fake.settle(at(0));
        let destination = "10.66.0.0/16".parse().unwrap();
        let foreign = Route { protocol: 4, scope: 253, ..Route::new(index, destination) };
        fake.foreign(foreign);
        fake.settle(at(1));
        assert!(fake.routes.contains(&foreign));
        assert_eq!(fake.again, Some(GRACE));
        if comes {
            fake.model.put("cali1", workload(&["10.65.0.2"]));
            fake.settle(at(2));
        } else {
            fake.settle(GRACE);
        }
        assert!(!fake.routes.contains(&foreign));
    }
}

#[test]
fn what_fails_is_tried_again_more_and_more_slowly() {
    let mut fake = Fake::new();
    let index = fake.link("cali1", true);
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    fake.refuses = Some(index);
    let mut pauses = Vec::new();
    let mut now = at(0);
    for _ in 0..10 {
        fake.settle(now);
        let again = fake.again.unwrap();
        pauses.push((again - now).as_millis());
        assert!(fake.model.open_problems().count() > 0);
        // Nothing is tried before its time.
        assert_eq!(fake.settle(now), []);
        now = again;
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
    fake.refuses = None;
    fake.settle(now);
    assert_eq!((fake.again, fake.model.open_problems().count(), fake.routes.len()), (None, 0, 1));
    // The next failure begins anew.
    fake.refuses = Some(index);
    fake.model.put("cali1", workload(&["10.65.0.3"]));
    fake.settle(now);
    assert_eq!(fake.again.unwrap() - now, FIRST_RETRY_DELAY);
}

#[test]
fn what_failed_is_tried_at_once_when_its_interface_changes() {
    let mut fake = Fake::new();
    let index = fake.link("cali1", true);
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    fake.refuses = Some(index);
    fake.settle(at(0));
    fake.refuses = None;
    fake.flags("cali1", false);
    fake.settle(at(0));
    fake.flags("cali1", true);
    fake.settle(at(0));
    assert_eq!((fake.routes.len(), fake.model.open_problems().count()), (1, 0));
}

#[test]
fn a_host_without_ipv6_gets_no_ipv6() {
    let mut fake = Fake::new();
    fake.model = Model::new(Config { grace: GRACE, ..Config::default() }, HostFacts { ipv6: false, rp_filter: 1 });
    let index = fake.link("cali1", true);
    fake.model.put("cali1", workload(&["10.65.0.2", "fd00::2"]));
    let steps = fake.settle(at(0));
    let six = |step: &&Step| matches!(step, Step::WriteSetting(setting) if setting.file.contains("ipv6") && !setting.optional);
    assert_eq!(steps.iter().find(six), None);
    assert_eq!(destinations(&fake.routes), [format!("{index} 10.65.0.2/32")]);
}

#[test]
fn routes_and_neighbours_are_removed_from_an_interface_that_is_no_longer_a_workloads() {
    let mut fake = Fake::new();
    fake.link("cali1", true);
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    fake.settle(at(0));
    assert_eq!((fake.routes.len(), fake.neighbours.len()), (1, 1));
    let config = Config { prefixes: vec!["tap".to_owned()], ..fake.model.config().clone() };
    assert!(fake.model.configure(config));
    fake.reread(at(1));
    fake.settle(at(1));
    assert_eq!((fake.routes.len(), fake.neighbours.len()), (0, 0));
}

#[test]
fn a_workload_is_up_when_its_interface_runs_and_is_configured() {
    let mut fake = Fake::new();
    fake.model.put("cali1", workload(&["10.65.0.2"]));
    let up = |fake: &mut Fake| {
        fake.settle(at(0));
        fake.model.is_up("cali1")
    };
    assert!(!up(&mut fake));
    fake.link("cali1", false);
    assert!(!up(&mut fake));
    fake.flags("cali1", true);
    assert!(up(&mut fake));
    fake.flags("cali1", false);
    assert!(!up(&mut fake));
    fake.flags("cali1", true);
    fake.model.remove("cali1");
    assert!(!up(&mut fake));
}
