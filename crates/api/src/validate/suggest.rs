//! What the user probably meant.

use super::formats;

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
