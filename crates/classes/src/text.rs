//! Protocols, ports and ICMP types in words: `tcp`, `80,443,8000-8080`, `8,13-14`.

use tortie_eval::protocol_name;
use tortie_policy::Family;

use crate::ranges::Ranges;

/// The protocols of one class: `tcp`, `protocol 47`, or those that nothing names.
pub fn protocols_text(protocols: &Ranges, family: Family) -> String {
    let mut numbers = protocols.iter();
    match (numbers.next(), numbers.next()) {
        (Some((first, last)), None) if first == last => {
            let number = u8::try_from(first).unwrap_or_default();
            match (number, family) {
                // ICMP of the other family is a protocol like any other.
                (58, Family::V4) | (1, Family::V6) => format!("protocol {number}"),
                _ => protocol_name(number),
            }
        }
        _ => "protocols that no rule names".to_owned(),
    }
}

/// `80,443,8000-8080`; more ranges than `most` are counted, not listed.
pub fn ranges_text(ranges: &Ranges, most: usize) -> String {
    let one = |(first, last): (u128, u128)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let listed: Vec<String> = ranges.iter().take(most).map(one).collect();
    let more = ranges.count().saturating_sub(most);
    let rest = if more > 0 { format!(" and {more} more ranges") } else { String::new() };
    listed.join(",") + &rest
}

/// The types of a [`crate::TransportRanges::Icmp`]: `8,13-14`; a type of which only some codes are meant as `3 code 4`.
pub fn icmp_text(pairs: &Ranges, most: usize) -> String {
    let mut whole = Ranges::none();
    let mut some = Vec::new();
    for kind in 0..=255u128 {
        let all = Ranges::span(kind * 256, kind * 256 + 255);
        if all.is_within(pairs) {
            whole = whole.union(&Ranges::one(kind));
        } else if all.meets(pairs) {
            let codes = Ranges::of(pairs.intersection(&all).iter().map(|(first, last)| (first % 256, last % 256)));
            some.push(format!("{kind} code {}", ranges_text(&codes, most)));
        }
    }
    if !whole.is_empty() {
        some.insert(0, ranges_text(&whole, most));
    }
    some.join(", type ")
}
