//! Proves that the worlds can fail: each deliberate mistake is caught.

use tortie_testkit::faults::{self, ALL, DAMAGED};
use tortie_testkit::worlds::Case;

use crate::damage;
use crate::run::play;

/// The mistake that takes longest to show needs a few hundred.
const WORLDS: u64 = 3000;

#[test]
fn every_fault_is_caught() {
    std::panic::set_hook(Box::new(|_| {}));
    let missed: Vec<&str> = ALL
        .iter()
        .copied()
        .filter(|&fault| {
            let caught = (1..=WORLDS).find(|&seed| faults::with(fault, || play(&Case::random(seed)).is_err()));
            println!("{fault}: {}", caught.map_or("not caught".to_owned(), |seed| format!("caught in world {seed}")));
            caught.is_none()
        })
        .collect();
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn every_fault_about_damaged_objects_is_caught() {
    for &fault in DAMAGED {
        let caught = (1..=WORLDS).find(|&seed| faults::with(fault, || damage::try_seed(seed).is_err()));
        println!("{fault}: {}", caught.map_or("not caught".to_owned(), |seed| format!("caught in world {seed}")));
        assert!(caught.is_some(), "{fault} is not caught");
    }
}
