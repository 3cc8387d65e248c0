//! Kinds of packets in words: `tcp 22,80-90`, `icmp type 8`, `everything`.

use std::collections::BTreeMap;

use tortie_classes::{Ranges, TransportClass, TransportRanges, icmp_text, protocols_text, ranges_text};
use tortie_policy::Family;

/// More ranges than this are counted, not listed.
const MAX_LISTED: usize = 40;

/// The text for some of all classes of a family.
pub(crate) fn text(family: Family, some: &[TransportClass], all: &[TransportClass]) -> String {
    if some.len() == all.len() {
        return "everything".to_owned();
    }
    let rest: Vec<TransportClass> = all.iter().filter(|class| !some.contains(class)).cloned().collect();
    let (said, left) = (parts(family, some, all), parts(family, &rest, all));
    // What is nearly everything is told by what it is not.
    if some.iter().any(is_open) && left.len() < said.len() {
        return format!("everything but {}", left.join(", "));
    }
    said.join(", ")
}

/// Whether a class is of the protocols that nothing names.
fn is_open(class: &TransportClass) -> bool {
    class.protocols.iter().map(|(first, last)| last - first + 1).sum::<u128>() > 1
}

/// The ports or types of one protocol: source ports by destination ports.
#[derive(Default)]
struct OfProtocol {
    by_destination: BTreeMap<Ranges, Ranges>,
    types: Option<Ranges>,
    opaque: bool,
    count: usize,
}

fn by_protocol(classes: &[TransportClass]) -> BTreeMap<Ranges, OfProtocol> {
    let mut found: BTreeMap<Ranges, OfProtocol> = BTreeMap::new();
    for class in classes {
        let one = found.entry(class.protocols.clone()).or_default();
        one.count += 1;
        match &class.transport {
            TransportRanges::Ports { source, destination } => {
                let ports = one.by_destination.entry(destination.clone()).or_insert_with(Ranges::none);
                *ports = ports.union(source);
            }
            TransportRanges::Icmp(types) => {
                one.types = Some(one.types.as_ref().map_or_else(|| types.clone(), |known| known.union(types)));
            }
            TransportRanges::Opaque => one.opaque = true,
        }
    }
    found
}

fn parts(family: Family, some: &[TransportClass], all: &[TransportClass]) -> Vec<String> {
    let whole = by_protocol(all);
    let mut texts = Vec::new();
    for (protocols, one) in by_protocol(some) {
        let name = protocols_text(&protocols, family);
        if whole.get(&protocols).is_some_and(|whole| whole.count == one.count) {
            texts.push(name);
            continue;
        }
        let every = Ranges::span(0u16, u16::MAX);
        let mut by_source: BTreeMap<&Ranges, Ranges> = BTreeMap::new();
        for (destination, source) in &one.by_destination {
            let ports = by_source.entry(source).or_insert_with(Ranges::none);
            *ports = ports.union(destination);
        }
        // What does not depend on the source port comes first.
        let mut rows: Vec<(&Ranges, Ranges)> = by_source.into_iter().collect();
        rows.sort_by_key(|(source, destination)| (**source != every, destination.first()));
        for (source, destination) in &rows {
            let ports =
                if *destination == every { "every port".to_owned() } else { ranges_text(destination, MAX_LISTED) };
            let from = if **source == every {
                String::new()
            } else {
                format!(" from port {}", ranges_text(source, MAX_LISTED))
            };
            texts.push(format!("{name} {ports}{from}"));
        }
        if let Some(types) = &one.types {
            texts.push(format!("{name} type {}", icmp_text(types, MAX_LISTED)));
        }
        if one.opaque {
            texts.push(format!("{name} without a readable header (non-first fragments)"));
        }
    }
    texts
}
