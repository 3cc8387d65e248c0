//! Manifests: any text is read without a panic, every problem has a place in the text, and what was read without an error is
//! stored and read back as the same object.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tortie_manifest::read::{Source, read};
use tortie_api::{decode, defaults, encode};
use tortie_manifest::{validate, warnings};

fuzz_target!(|data: &[u8]| {
    let source = Source::new("fuzz.yaml", data);
    for located in read(&source) {
        for problem in &located.problems {
            assert!(!problem.reason.is_empty());
        }
        let Some(mut object) = located.object else { continue };
        defaults::apply(&mut object);
        let _ = warnings::of(&object);
        if validate::validate(&object).iter().any(tortie_manifest::Problem::is_error) {
            continue;
        }
        let bytes = encode::stored(&object);
        let again = decode::stored(&object.key(), &bytes).expect("what is valid can be read back");
        assert_eq!(encode::stored(&again), bytes);
    }
});
