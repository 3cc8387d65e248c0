//! Selectors: what can be parsed has a canonical text that is parsed into the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tortie_selector::Selector;

fuzz_target!(|text: &str| {
    let Ok(selector) = Selector::parse(text) else { return };
    let again = Selector::parse(selector.as_str()).expect("a canonical text can be parsed");
    assert_eq!(again.as_str(), selector.as_str());
    assert_eq!(again.id(), selector.id());
    let _ = selector.restrictions();
});
