//! `get -l`: objects by their labels, in kubectl's syntax: `role=web,zone!=a,tier in (x,y),!old`.

use std::collections::BTreeMap;

/// Conditions, all of which hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LabelFilter(Vec<Term>);

/// A condition on one label.
#[derive(Debug, PartialEq, Eq)]
struct Term {
    key: String,
    /// The values that are meant; none for any value.
    values: Option<Vec<String>>,
    /// Whether the label must not be so; a missing label is not.
    negated: bool,
}

impl LabelFilter {
    /// Reads the conditions; an error says what is wrong with which.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        terms(text).map(|term| Term::parse(term.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether labels are so.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|term| {
            let found = labels.get(&term.key);
            let is_so = found.is_some_and(|value| term.values.as_ref().is_none_or(|values| values.contains(value)));
            is_so != term.negated
        })
    }
}

/// The parts between commas outside of parentheses.
fn terms(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |char| {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        char == ',' && depth == 0
    })
}

impl Term {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is not KEY=VALUE, KEY!=VALUE, KEY in (VALUE,...), KEY notin (VALUE,...), KEY or !KEY");
        let term = |key: &str, values: Option<Vec<String>>, negated| {
            let key = key.trim();
            let is_name = |char: char| char.is_ascii_alphanumeric() || "-_./".contains(char);
            let sound = |value: &String| value.chars().all(is_name);
            if key.is_empty() || !key.chars().all(is_name) || !values.iter().flatten().all(sound) {
                return Err(wrong());
            }
            Ok(Term { key: key.to_owned(), values, negated })
        };
        let one = |value: &str| Some(vec![value.trim().to_owned()]);
        if let Some((key, value)) = text.split_once("!=") {
            return term(key, one(value), true);
        }
        if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            return term(key, one(value), false);
        }
        if let Some((condition, values)) = text.split_once('(') {
            let values = values.strip_suffix(')').ok_or_else(wrong)?;
            let values = values.split(',').map(|value| value.trim().to_owned()).collect();
            return match condition.split_whitespace().collect::<Vec<_>>().as_slice() {
                [key, "in"] => term(key, Some(values), false),
                [key, "notin"] => term(key, Some(values), true),
                _ => Err(wrong()),
            };
        }
        match text.strip_prefix('!') {
            Some(key) => term(key, None, true),
            None => term(text, None, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_match_as_kubectls_do() {
        let labels = |text: &str| {
            let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
        };
        for (filter, yes, no) in [
            ("role=web", "role=web", "role=db"),
            ("role==web", "role=web zone=a", "zone=a"),
            ("role!=web", "zone=a", "role=web"),
            ("role", "role=", "zone=a"),
            ("!role", "zone=a", "role="),
            ("role in (web, db),zone=a", "role=db zone=a", "role=db zone=b"),
            ("role notin (web,db)", "zone=a", "role=db"),
            ("projectcalico.org/tier=default", "projectcalico.org/tier=default", "tier=default"),
            ("role=", "role=", "role=web"),
        ] {
            let filter = LabelFilter::parse(filter).unwrap();
            assert!(filter.matches(&labels(yes)), "{filter:?} {yes}");
            assert!(!filter.matches(&labels(no)), "{filter:?} {no}");
        }
    }

    #[test]
    fn texts_that_are_not_conditions_are_refused() {
        for text in ["", "role = 'web'", "a,,b", "=web", "role in web", "role in (web", "has(role)", "a && b", "all()"]
        {
            assert!(LabelFilter::parse(text).is_err(), "{text}");
        }
    }
}
