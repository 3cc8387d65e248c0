//! Stored objects: the first line names the kind, the rest is what the store holds. Whatever it is, something can be put in
//! force for it, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tortie_api::{Key, Kind, decode};
use tortie_policy::Item;

fuzz_target!(|data: &[u8]| {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (name, value) = (&data[..end], &data[end + 1..]);
    let Some(kind) = std::str::from_utf8(name).ok().and_then(Kind::from_name) else { return };
    let key = match kind.namespaced() {
        true => Key::namespaced(kind, "ns", "node-cni-pod-eth0"),
        false => Key::cluster(kind, "name"),
    };
    let _ = Item::read_stored(&key, value);
    // The short way says what the long one says, or nothing.
    if let Some(plain) = Item::plain(&key, value) {
        let object = decode::stored(&key, value).expect("what is plain can be decoded");
        assert_eq!(Item::read(&object), (plain, Vec::new()));
    }
});
