//! The words of `explain`: an end and a protocol with a port, in any text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tortie_explain::{EndSpec, TrafficSpec};

fuzz_target!(|text: &str| {
    let _ = text.parse::<EndSpec>().map_err(|error| error.to_string());
    let _ = text.parse::<TrafficSpec>().map_err(|error| error.to_string());
});
