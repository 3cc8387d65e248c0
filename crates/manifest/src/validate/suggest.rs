//! What the user probably meant.

use super::formats;
use crate::other_syntax;

/// The candidate that is near to what was written: the same but for case, or a small slip away.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1) && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A name near to what was written that works as an object's name, if there is one.
pub(super) fn name(written: &str, dots: Dots) -> Option<String> {
    let mut name = String::new();
    for c in written.trim().chars().flat_map(char::to_lowercase) {
        let c = match c {
            'a'..='z' | '0'..='9' => c,
            '.' if dots.allowed(&name) => c,
            _ => '-',
        };
        // A dash cannot stand at either end of a part.
        if c == '-' && (name.is_empty() || name.ends_with('.')) {
            continue;
        }
        if c == '.' {
            name.truncate(name.trim_end_matches(['-', '.']).len());
            if name.is_empty() {
                continue;
            }
        }
        name.push(c);
    }
    name.truncate(dots.longest());
    name.truncate(name.trim_end_matches(['-', '.']).len());
    (name != written && formats::is_subdomain(&name)).then_some(name)
}

/// What was probably meant by a protocol that is none of the six names: a number, another name, or no protocol at all.
pub(super) fn protocol(written: &str) -> Option<String> {
    const NUMBERS: [(&str, u8); 14] = [
        ("igmp", 2),
        ("ipip", 4),
        ("ipencap", 4),
        ("ipv6", 41),
        ("rsvp", 46),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("eigrp", 88),
        ("ospf", 89),
        ("pim", 103),
        ("vrrp", 112),
        ("carp", 112),
        ("l2tp", 115),
    ];
    let plain: String = written.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    if let Some((_, number)) = NUMBERS.iter().find(|(name, _)| *name == plain) {
        return Some(format!("write its number: {number}"));
    }
    match plain.as_str() {
        "icmp6" | "ipv6icmp" => Some("write `ICMPv6`".to_owned()),
        "icmp4" | "icmpv4" => Some("write `ICMP`".to_owned()),
        "any" | "all" | "ip" => Some("leave `protocol` out: the rule then matches every protocol".to_owned()),
        _ => {
            let names = tortie_net::Protocol::NAMES.iter().map(|(name, _)| *name);
            nearest(written, names)
                .map(|name| format!("did you mean `{name}`?"))
                .or_else(|| other_syntax::protocol(written))
        }
    }
}

/// What to do where a field has more than it may: there is another way to say the same.
pub(super) fn for_limit(field: &str) -> Option<String> {
    let help = match field {
        "nets" | "notNets" => "put the nets into a GlobalNetworkSet with a label of its own, and select that label",
        "ports" | "notPorts" => "join ports that follow each other to a range, `first:last`, or use several rules",
        "ingress" | "egress" => "divide the rules among several policies of the same tier",
        _ if field == "selector" || field.ends_with("Selector") => {
            "compare one label with many values by `label in {\"a\", \"b\"}`, or give what is selected one label for it"
        }
        _ => return None,
    };
    Some(help.to_owned())
}

/// How many dots a name may have.
#[derive(Clone, Copy)]
pub(super) enum Dots {
    /// Any.
    Any,
    /// At most one.
    One,
    /// None.
    None,
}

impl Dots {
    fn allowed(self, so_far: &str) -> bool {
        match self {
            Dots::Any => true,
            Dots::One => !so_far.contains('.'),
            Dots::None => false,
        }
    }

    fn longest(self) -> usize {
        match self {
            Dots::None => formats::MAX_LABEL,
            Dots::Any | Dots::One => formats::MAX_NAME,
        }
    }
}

/// `"Allow", "Deny" or "Log"` for a sentence.
pub(super) fn either<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
