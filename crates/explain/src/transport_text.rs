//! Classes of transports in words: `tcp 80,443`, `tcp 7000 from port 53`, `icmp type 8`, `protocol 47`.

use std::collections::{BTreeMap, BTreeSet};

use tortie_classes::{Ranges, TransportClasses, TransportRanges, icmp_text, protocols_text, ranges_text};
use tortie_policy::Family;

/// More ranges than this are counted, not listed.
const MAX_LISTED: usize = 60;

/// The protocols and transports of some classes, with the classes that each text is about: one text for each protocol, what depends on the
/// source port and what has no readable header apart.
pub(crate) fn texts(
    classes: &TransportClasses,
    family: Family,
    members: &BTreeSet<usize>,
) -> Vec<(String, Vec<usize>)> {
    let mut texts = Vec::new();
    for group in groups(classes) {
        let mine: Vec<usize> = group.members.iter().copied().filter(|class| members.contains(class)).collect();
        let name = protocols_text(&group.protocols, family);
        match mine.len() {
            0 => {}
            all if all == group.members.len() => texts.push((name, mine)),
            _ => texts.extend(part_of(classes, &name, &group, &mine)),
        }
    }
    texts
}

/// The classes of one protocol.
struct Group {
    protocols: Ranges,
    members: Vec<usize>,
}

fn groups(classes: &TransportClasses) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (number, class) in classes.iter().enumerate() {
        match groups.last_mut().filter(|group| group.protocols == class.protocols) {
            Some(group) => group.members.push(number),
            None => groups.push(Group { protocols: class.protocols, members: vec![number] }),
        }
    }
    groups
}

/// Some of the classes of a protocol.
fn part_of(classes: &TransportClasses, name: &str, group: &Group, mine: &[usize]) -> Vec<(String, Vec<usize>)> {
    let mut by_destination: BTreeMap<Ranges, (Ranges, Vec<usize>)> = BTreeMap::new();
    let mut pairs = (Ranges::none(), Vec::new());
    let mut opaque = Vec::new();
    for &class in mine {
        match classes.class(class).transport {
            TransportRanges::Ports { source, destination } => {
                let (sources, of) = by_destination.entry(destination).or_default();
                *sources = sources.union(&source);
                of.push(class);
            }
            TransportRanges::Icmp(more) => {
                pairs.0 = pairs.0.union(&more);
                pairs.1.push(class);
            }
            TransportRanges::Opaque => opaque.push(class),
        }
    }
    let mut every_source = Ranges::none();
    for class in &group.members {
        if let TransportRanges::Ports { source, .. } = classes.class(*class).transport {
            every_source = every_source.union(&source);
        }
    }
    let mut by_source: BTreeMap<Ranges, (Ranges, Vec<usize>)> = BTreeMap::new();
    for (destination, (source, of)) in by_destination {
        let (destinations, all) = by_source.entry(source).or_default();
        *destinations = destinations.union(&destination);
        all.extend(of);
    }
    // What does not depend on the source port comes first.
    let mut rows: Vec<(Ranges, (Ranges, Vec<usize>))> = by_source.into_iter().collect();
    rows.sort_by_key(|(source, (destination, _))| (*source != every_source, destination.first()));
    let mut texts: Vec<(String, Vec<usize>)> = rows
        .into_iter()
        .map(|(source, (destination, of))| {
            let ports = ranges_text(&destination, MAX_LISTED);
            if source == every_source {
                return (format!("{name} {ports}"), of);
            }
            let plural = if is_single(&source) { "" } else { "s" };
            (format!("{name} {ports} from port{plural} {}", ranges_text(&source, MAX_LISTED)), of)
        })
        .collect();
    if !pairs.0.is_empty() {
        texts.push((format!("{name} type {}", icmp_text(&pairs.0, MAX_LISTED)), pairs.1));
    }
    if !opaque.is_empty() {
        texts.push((format!("{name} without a readable header (non-first fragments)"), opaque));
    }
    texts
}

fn is_single(ranges: &Ranges) -> bool {
    ranges.count() == 1 && ranges.iter().all(|(first, last)| first == last)
}
