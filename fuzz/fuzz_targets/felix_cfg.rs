//! `felix.cfg` in any text: an error names a line of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tortie_agent::config::felix_cfg;

fuzz_target!(|text: &str| {
    if let Err(error) = felix_cfg(text) {
        assert!((1..=text.split('\n').count()).contains(&error.line), "{error}");
    }
});
