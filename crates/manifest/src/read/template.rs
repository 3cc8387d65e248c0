//! Placeholders of templates, which other programs replace before a manifest is read: `{{ .Values.app }}` of Helm and Go,
//! `{% if x %}` of Jinja, `<%= x %>`, `${NAME}` of envsubst.

use std::ops::Range;

/// How a placeholder begins and ends.
const BRACKETS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("<%", "%>")];

/// The first placeholder of a text. It ends on its line.
pub(crate) fn first(text: &str) -> Option<Range<usize>> {
    let found = BRACKETS.iter().filter_map(|(open, close)| {
        let start = text.find(open)?;
        let line = text[start..].lines().next().unwrap_or_default();
        // Of `{{a: b}: c}}` and the like YAML makes maps.
        let length = line.find(close)? + close.len();
        Some(start..start + length)
    });
    found.min_by_key(|found| found.start)
}

/// The first placeholder in YAML that cannot be read, on the line of the byte at fault or before it. One in quotes, in a block of
/// text or in a comment is no fault.
pub(super) fn before(text: &str, part: &Range<usize>, at: usize) -> Option<Range<usize>> {
    let end = text[at..part.end].find('\n').map_or(part.end, |newline| at + newline);
    let mut start = part.start;
    for line in text[part.start..end].split_inclusive('\n') {
        if let Some(found) = first(line)
            && !line[..found.start].contains(['"', '\'', '#', '|', '>'])
        {
            return Some(start + found.start..start + found.end);
        }
        start += line.len();
    }
    None
}

/// What to do about a value that has a placeholder in it.
pub(crate) fn help(value: &str) -> Option<String> {
    if let Some(found) = first(value) {
        return Some(render(&value[found]));
    }
    let start = value.find("${")?;
    let end = start + value[start..].find('}')? + 1;
    let name = &value[start + 2..end - 1];
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| {
        format!("`{}` is not replaced here: put the value in first, for example with `envsubst`", &value[start..end])
    })
}

/// What to do about a placeholder.
pub(crate) fn render(placeholder: &str) -> String {
    let example = if placeholder.starts_with("{{") { ", for example with `helm template`," } else { "" };
    format!("this is a template: render it first{example} and give what that prints")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_templates_are_found() {
        for (text, found) in [
            ("{{ .Release.Name }}-web", Some("{{ .Release.Name }}")),
            ("a: {{- x -}}", Some("{{- x -}}")),
            ("{% if x %}", Some("{% if x %}")),
            ("<%= x %> {{ y }}", Some("<%= x %>")),
            ("{a: {b: c}}", None),
            ("{{a\nb}}", None),
        ] {
            assert_eq!(first(text).map(|found| &text[found]), found, "{text}");
        }
        assert!(help("{{ .x }}").unwrap().contains("helm template"));
        assert!(help("a${NAME}").unwrap().starts_with("`${NAME}` is not replaced here"));
        assert_eq!(help("$NAME"), None);
        assert_eq!(help("${}"), None);
    }
}
