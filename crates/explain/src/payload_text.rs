//! Classes of payloads in words: `tcp 80,443`, `tcp 7000 from port 53`, `icmp type 8`, `protocol 47`.

use std::collections::{BTreeMap, BTreeSet};

use tortie_classes::{Payload, PayloadClasses, Ranges};
use tortie_eval::protocol_name;
use tortie_policy::Family;

/// More ranges than this are counted, not listed.
const SHOWN: usize = 60;

/// What some classes carry, with the classes that each text is about: one text for each protocol, what depends on the
/// source port and what has no readable header apart.
pub(crate) fn texts(classes: &PayloadClasses, family: Family, members: &BTreeSet<usize>) -> Vec<(String, Vec<usize>)> {
    let mut texts = Vec::new();
    for group in groups(classes) {
        let mine: Vec<usize> = group.members.iter().copied().filter(|class| members.contains(class)).collect();
        let name = group.name(family);
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

impl Group {
    fn name(&self, family: Family) -> String {
        let mut numbers = self.protocols.iter();
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
}

fn groups(classes: &PayloadClasses) -> Vec<Group> {
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
fn part_of(classes: &PayloadClasses, name: &str, group: &Group, mine: &[usize]) -> Vec<(String, Vec<usize>)> {
    let mut by_destination: BTreeMap<Ranges, (Ranges, Vec<usize>)> = BTreeMap::new();
    let mut pairs = (Ranges::none(), Vec::new());
    let mut opaque = Vec::new();
    for &class in mine {
        match classes.class(class).payload {
            Payload::Ports { source, destination } => {
                let (sources, of) = by_destination.entry(destination).or_default();
                *sources = sources.union(&source);
                of.push(class);
            }
            Payload::Icmp(more) => {
                pairs.0 = pairs.0.union(&more);
                pairs.1.push(class);
            }
            Payload::Opaque => opaque.push(class),
        }
    }
    let mut every_source = Ranges::none();
    for class in &group.members {
        if let Payload::Ports { source, .. } = classes.class(*class).payload {
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
            let ports = ranges_text(&destination);
            if source == every_source {
                return (format!("{name} {ports}"), of);
            }
            let plural = if is_single(&source) { "" } else { "s" };
            (format!("{name} {ports} from port{plural} {}", ranges_text(&source)), of)
        })
        .collect();
    if !pairs.0.is_empty() {
        texts.push((format!("{name} type {}", icmp_text(&pairs.0)), pairs.1));
    }
    if !opaque.is_empty() {
        texts.push((format!("{name} without a readable header (non-first fragments)"), opaque));
    }
    texts
}

fn is_single(ranges: &Ranges) -> bool {
    ranges.count() == 1 && ranges.iter().all(|(first, last)| first == last)
}

/// `80,443,8000-8080`.
pub(crate) fn ranges_text(ranges: &Ranges) -> String {
    let one = |(first, last): (u128, u128)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    limited(ranges.iter().map(one).collect())
}

/// `8,13-14`; a type of which only some codes are meant as `3 code 4`.
fn icmp_text(pairs: &Ranges) -> String {
    let mut whole = Ranges::none();
    let mut some = Vec::new();
    for kind in 0..=255u128 {
        let all = Ranges::span(kind * 256, kind * 256 + 255);
        if all.is_within(pairs) {
            whole = whole.union(&Ranges::one(kind));
        } else if all.meets(pairs) {
            let codes = Ranges::of(pairs.intersection(&all).iter().map(|(first, last)| (first % 256, last % 256)));
            some.push(format!("{kind} code {}", ranges_text(&codes)));
        }
    }
    let mut texts = Vec::new();
    if !whole.is_empty() {
        texts.push(ranges_text(&whole));
    }
    texts.extend(some);
    texts.join(", type ")
}

fn limited(mut texts: Vec<String>) -> String {
    let more = texts.len().saturating_sub(SHOWN);
    texts.truncate(SHOWN);
    let mut text = texts.join(",");
    if more > 0 {
        text += &format!(" and {more} more ranges");
    }
    text
}
