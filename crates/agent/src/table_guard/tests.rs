//! Damage is repaired and counted, and the processor time that this takes comes out of a budget.

use std::sync::{Arc, Mutex};

use tortie_dataplane::{Delta, Fake, State};
use tortie_hostnet::EnterReport;

use super::*;
use crate::dataplane::NodeDataplane;

const SOON: Duration = Duration::from_secs(20);

/// Finds damage this many times.
struct Finding(usize);

impl DamageWatch for Finding {
    fn wait_for_damage(&mut self, most: Duration) -> Result<Damage, String> {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                Ok(Damage::everything())
            }
            None => {
                std::thread::sleep(most / 100);
                Ok(Damage::default())
            }
        }
    }

    fn recheck_all(&mut self) {
        self.0 += 1;
    }
}

/// A fake that cannot be repaired the first time.
struct Stubborn {
    fake: Fake,
    tries: usize,
}

impl NodeDataplane for Stubborn {
    fn name(&self) -> String {
        "stubborn".to_owned()
    }

    fn adopt(&mut self) -> Result<String, String> {
        self.fake.adopt()
    }

    fn apply(&mut self, delta: &Delta) -> Result<(), String> {
        NodeDataplane::apply(&mut self.fake, delta)
    }

    fn replace(&mut self, state: State) -> Result<(), String> {
        self.fake.replace(state)
    }

    fn state(&self) -> &State {
        &self.fake.state
    }

    fn refused(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn has_host_endpoints(&mut self) -> Result<bool, String> {
        self.fake.has_host_endpoints()
    }

    fn enter_open_connections(&mut self) -> Result<EnterReport, String> {
        self.fake.enter_open_connections()
    }

    fn watch(&mut self) -> Result<Option<Box<dyn DamageWatch>>, String> {
        Ok(None)
    }

    fn repair_damage(&mut self, _: &Damage) -> Result<(), String> {
        self.tries += 1;
        if self.tries == 1 { Err("not yet".to_owned()) } else { Ok(()) }
    }

    fn set_off(&mut self, _: bool) -> Result<(), String> {
        Ok(())
    }

    fn log_denied(&mut self, _: Option<u16>) -> Result<(), String> {
        Ok(())
    }

    fn set_mark_mask(&mut self, _: u32) -> Result<(), String> {
        Ok(())
    }

    fn remove(&mut self) -> Result<(), String> {
        NodeDataplane::remove(&mut self.fake)
    }
}

#[test]
fn changes_of_others_are_put_back_and_counted_and_tried_again_if_that_fails() {
    let dataplane: SharedDataplane = Arc::new(Mutex::new(Box::new(Stubborn { fake: Fake::new(), tries: 0 })));
    let (status, stop) = (Arc::new(StatusCell::default()), Arc::new(StopFlag::default()));
    let thread = {
        let (dataplane, status, stop) = (dataplane.clone(), status.clone(), stop.clone());
        std::thread::spawn(move || run(Box::new(Finding(2)), &dataplane, &status, &stop))
    };
    // One of three tries fails, and is made up for.
    assert!(status.wait(SOON, |record| record.repairs == 2 && record.problems.is_empty()));
    stop.set();
    thread.join().unwrap();
}

#[test]
fn watching_takes_at_most_its_share_of_a_core() {
    let mut budget = Budget::new();
    let second = Duration::from_secs(1);
    let (mut spent, mut passed) = (Duration::ZERO, Duration::ZERO);
    let work = second / 25;
    for _ in 0..1_000 {
        let pause = budget.spend(work, work);
        spent += work;
        passed += work + pause;
        budget.spend(Duration::ZERO, pause);
    }
    let most = passed.as_secs_f64() * SHARE + BURST;
    assert!(spent.as_secs_f64() <= most + 0.01, "{spent:?} of {passed:?}");
    // What was not needed is not saved up without end.
    budget.spend(Duration::ZERO, second * 10_000);
    assert_eq!(budget.spend(second * 2, Duration::ZERO), Duration::ZERO);
    // What takes long is not paid for in full: a table that is deleted must not stay away.
    assert_eq!(budget.spend(second, Duration::ZERO), MAX_RESTORE_DELAY);
    assert_eq!(budget.spend(second, second), MAX_RESTORE_DELAY);
}
