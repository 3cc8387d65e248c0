//! Selectors: what can be parsed has a canonical text that is parsed into the same, but for double negations, which are left
//! out, as under a prefix.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tortie_selector::Selector;

fuzz_target!(|text: &str| {
    let Ok(selector) = Selector::parse(text) else { return };
    let again = Selector::parse(selector.as_str()).expect("a canonical text can be parsed");
    let plain = selector.with_prefix("");
    assert_eq!(again, plain);
    assert_eq!(again.id(), plain.id());
    assert_eq!(Selector::all_of(&[selector.clone(), selector.not()]).not().matches(&[("a", "b")]), true);
    let _ = selector.restrictions();
});
