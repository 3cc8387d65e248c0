//! What the patterns of fields ask for, in words.

use super::tag;
use crate::problem::Problem;

/// A pattern, what it stands for, and an example.
const FORMS: [(&str, &str, &str); 5] = [
    (
        r"^[1-9]\d{0,3}/(?:second|minute|hour|day)$",
        "a rate",
        "write how many in which time, such as `10/second`: 1 to 9999, and `second`, `minute`, `hour` or `day`",
    ),
    (
        r"^(\d+):(\d+)$|^(\d+):(\d+):(\d+)$",
        "a community",
        "write two or three numbers with `:` between them, such as `65000:100`",
    ),
    (
        r"^(([0-9]*(\.[0-9]*)?(ms|s|h|m|us)+)+|Auto)$",
        "a time",
        "write a number with a unit, such as `90s`, or `Auto`; units are us, ms, s, m and h",
    ),
    (
        "^([a-zA-Z0-9-_]+=(true|false|),)*([a-zA-Z0-9-_]+=(true|false|))?$",
        "a list of features",
        "write `NAME=true` or `NAME=false`, several of them with commas",
    ),
    (
        "^([a-zA-Z0-9-_]+=([^=]+),)*([a-zA-Z0-9-_]+=([^=]+))?$",
        "a list of names with values",
        "write `NAME=VALUE`, several of them with commas",
    ),
];

/// The characters of a log prefix.
const LOG_PREFIX: &str = "^([a-zA-Z0-9%: /_-])*$";

/// A part of the pattern of communities of BGP, which spells the bounds of its numbers out.
const LARGE_COMMUNITY: &str = "6553[0-5]):(";

/// Says in words why a text does not match a pattern.
pub(super) fn explain(problem: Problem, text: &str, pattern: &str) -> Problem {
    // Patterns that only list words are explained by the words.
    let words = pattern.strip_prefix("^(?i)(").and_then(|rest| rest.strip_suffix(")?$"));
    if let Some(words) = words.filter(|words| words.chars().all(|c| c.is_ascii_alphanumeric() || c == '|')) {
        return tag::one_of(problem, text, words.split('|'));
    }
    if pattern.contains("ms|s|m|h") {
        return problem
            .message(format!("`{text}` is not a duration that is allowed here"))
            .help("write whole numbers with a unit, like 90s or 1m30s; units are ms, s, m and h");
    }
    if pattern == LOG_PREFIX {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "%: /_-".contains(c);
        let fault = text.char_indices().find(|(_, c)| !is_allowed(*c));
        let shown = fault.map_or('\n', |(_, c)| c);
        let message = "a log prefix has ASCII letters, digits, spaces and `%`, `:`, `/`, `_`, `-`";
        let problem = match shown {
            '\n' => problem.message(format!("{message}; this has a line break")),
            c => problem.message(format!("{message}; this has `{c}`")),
        };
        return match fault {
            Some((at, c)) => problem.span(at..at + c.len_utf8()),
            None => problem,
        };
    }
    if pattern.contains(LARGE_COMMUNITY) {
        return problem
            .message(format!("`{text}` is not a community"))
            .help("write two numbers up to 65535, such as `65000:100`, or three up to 4294967295");
    }
    match FORMS.iter().find(|(known, ..)| *known == pattern) {
        Some((_, what, help)) => problem.message(format!("`{text}` is not {what}")).help(*help),
        None => problem.message(format!("`{text}` does not match `{pattern}`")),
    }
}

#[cfg(test)]
mod tests {
    use tortie_api::shape::{Form, Shape};
    use tortie_api::{Kind, Path, kinds};

    use super::*;

    fn patterns(shape: &Shape, found: &mut Vec<String>) {
        found.extend(shape.rules.pattern.clone());
        match &shape.form {
            Form::List(inner) | Form::Map(inner) => patterns(inner, found),
            Form::Record(record) => record.fields.iter().for_each(|field| patterns(&field.shape, found)),
            _ => {}
        }
    }

    #[test]
    fn every_pattern_of_a_kind_is_explained_in_words() {
        let mut found = Vec::new();
        Kind::ALL.iter().for_each(|kind| patterns(kinds::shape(*kind), &mut found));
        assert!(found.len() > 30);
        for pattern in found {
            let problem = explain(Problem::schema(Path::from("spec.x"), ""), "ü\"", &pattern);
            let said = format!("{} {}", problem.text(), problem.help.clone().unwrap_or_default());
            assert!(!said.contains(['^', '\\']) && !said.contains("[0-9]") && !problem.text().is_empty(), "{said}");
        }
    }
}
