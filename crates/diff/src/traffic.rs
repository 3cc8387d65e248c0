//! Kinds of packets in words: `tcp 22,80-90`, `icmp type 8`, `everything`.

use std::collections::BTreeMap;

use tortie_classes::{Payload, PayloadClass, Ranges};
use tortie_eval::protocol_name;

/// More ranges than this are counted, not listed.
const SHOWN: usize = 40;

/// What some of all classes carry, together.
pub(crate) fn text(some: &[PayloadClass], all: &[PayloadClass]) -> String {
    if some.len() == all.len() {
        return "everything".to_owned();
    }
    let rest: Vec<PayloadClass> = all.iter().filter(|class| !some.contains(class)).cloned().collect();
    let (said, left) = (parts(some, all), parts(&rest, all));
    // What is nearly everything is told by what it is not.
    if some.iter().any(is_open) && left.len() < said.len() {
        return format!("everything but {}", left.join(", "));
    }
    said.join(", ")
}

/// Whether a class is of the protocols that nothing names.
fn is_open(class: &PayloadClass) -> bool {
    class.protocols.iter().map(|(first, last)| last - first + 1).sum::<u128>() > 1
}

/// The ports or types of one protocol: destination ports by source ports.
#[derive(Default)]
struct OfProtocol {
    by_source: BTreeMap<Ranges, Ranges>,
    types: Option<Ranges>,
    opaque: bool,
    count: usize,
}

fn by_protocol(classes: &[PayloadClass]) -> BTreeMap<Ranges, OfProtocol> {
    let mut found: BTreeMap<Ranges, OfProtocol> = BTreeMap::new();
    for class in classes {
        let one = found.entry(class.protocols.clone()).or_default();
        one.count += 1;
        match &class.payload {
            Payload::Ports { source, destination } => {
                let ports = one.by_source.entry(source.clone()).or_insert_with(Ranges::none);
                *ports = ports.union(destination);
            }
            Payload::Icmp(types) => {
                one.types = Some(one.types.as_ref().map_or_else(|| types.clone(), |known| known.union(types)));
            }
            Payload::Opaque => one.opaque = true,
        }
    }
    found
}

fn parts(some: &[PayloadClass], all: &[PayloadClass]) -> Vec<String> {
    let whole = by_protocol(all);
    let mut texts = Vec::new();
    for (protocols, one) in by_protocol(some) {
        let name = name(&protocols);
        if whole.get(&protocols).is_some_and(|whole| whole.count == one.count) {
            texts.push(name);
            continue;
        }
        let mut by_ports: BTreeMap<Ranges, Ranges> = BTreeMap::new();
        for (source, destination) in &one.by_source {
            let sources = by_ports.entry(destination.clone()).or_insert_with(Ranges::none);
            *sources = sources.union(source);
        }
        for (destination, source) in &by_ports {
            let every = Ranges::span(0u16, u16::MAX);
            let ports = if *destination == every { "every port".to_owned() } else { ranges(destination) };
            let from = if *source == every { String::new() } else { format!(" from port {}", ranges(source)) };
            texts.push(format!("{name} {ports}{from}"));
        }
        if let Some(types) = &one.types {
            texts.push(format!("{name} type {}", icmp(types)));
        }
        if one.opaque {
            texts.push(format!("{name} without a readable header (non-first fragments)"));
        }
    }
    texts
}

fn name(protocols: &Ranges) -> String {
    let mut numbers = protocols.iter();
    match (numbers.next(), numbers.next()) {
        (Some((first, last)), None) if first == last => protocol_name(u8::try_from(first).unwrap_or_default()),
        _ => "protocols that no rule names".to_owned(),
    }
}

fn ranges(ranges: &Ranges) -> String {
    let one = |(first, last): (u128, u128)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    let mut texts: Vec<String> = ranges.iter().map(one).collect();
    let more = texts.len().saturating_sub(SHOWN);
    texts.truncate(SHOWN);
    let rest = if more > 0 { format!(" and {more} more ranges") } else { String::new() };
    texts.join(",") + &rest
}

/// Whole types as numbers, others with their codes.
fn icmp(pairs: &Ranges) -> String {
    let mut texts = Vec::new();
    let mut whole = Ranges::none();
    for kind in 0..=255u128 {
        let all = Ranges::span(kind * 256, kind * 256 + 255);
        if all.is_within(pairs) {
            whole = whole.union(&Ranges::one(kind));
        } else if all.meets(pairs) {
            let codes = pairs.intersection(&all);
            let codes = Ranges::of(codes.iter().map(|(first, last)| (first % 256, last % 256)));
            texts.push(format!("{kind} code {}", ranges(&codes)));
        }
    }
    if !whole.is_empty() {
        texts.insert(0, ranges(&whole));
    }
    texts.join(", type ")
}
