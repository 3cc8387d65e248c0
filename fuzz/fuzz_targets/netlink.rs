//! What a kernel might answer: every decoder of nf_tables' messages on any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tortie_netlink::wire::Messages;
use tortie_nft::{Chain, Rule, Set, Table, decode_list};

fuzz_target!(|data: &[u8]| {
    for message in Messages::new(data) {
        let Ok(message) = message else { return };
        let _ = Table::decode(&message);
        let _ = Chain::decode(&message);
        let _ = Set::decode(&message);
        let _ = decode_list(&message);
        let _ = Rule::decode(&message).map(|rule| rule.shape());
    }
});
