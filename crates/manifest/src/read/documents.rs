//! Where the documents of a text begin and end.
//!
//! Calico cuts at every line that begins with `---` and drops the rest of that line. So do we, but we say so when
//! something is dropped. What stands after `...` or after a JSON object's end is left to the tree.

use std::ops::Range;

/// The largest document.
pub(crate) const MAX_SIZE: usize = 10 * 1024 * 1024;

/// One part of a text between separators.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its bytes.
    pub(crate) span: Range<usize>,
    /// Text on the separator line that ends it, which is not read.
    pub(crate) dropped: Option<Range<usize>>,
}

/// Cuts a text at its separators. Parts without content are left out.
pub(crate) fn split(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut start = 0;
    loop {
        let Some(at) = text[start..].find("\n---").map(|at| start + at) else {
            push(&mut parts, text, start..text.len(), None);
            return parts;
        };
        let after = at + 4;
        let line_end = text[after..].find('\n').map_or(text.len(), |at| after + at);
        push(&mut parts, text, start..at, dropped(text, after..line_end));
        start = (line_end + 1).min(text.len());
    }
}

fn push(parts: &mut Vec<Part>, text: &str, span: Range<usize>, dropped: Option<Range<usize>>) {
    if dropped.is_some() || !is_blank(&text[span.clone()]) {
        parts.push(Part { span, dropped });
    }
}

/// Whether there is nothing but blanks, comments, directives and markers.
fn is_blank(text: &str) -> bool {
    text.lines().all(|line| {
        let content = line.trim();
        content.is_empty()
            || content.starts_with('#')
            || line.starts_with('%')
            || matches!(line.trim_end(), "---" | "...")
    })
}

/// What is lost after `---`: anything but blanks, a comment, or more dashes.
fn dropped(text: &str, rest: Range<usize>) -> Option<Range<usize>> {
    let line = &text[rest.clone()];
    let content = line.trim();
    let comment = content.starts_with('#') && line.starts_with([' ', '\t']);
    if content.is_empty() || comment || content.bytes().all(|byte| byte == b'-') {
        return None;
    }
    let start = rest.start + (line.len() - line.trim_start().len());
    Some(start..start + content.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(&str, Option<&str>)> {
        let part = |part: Part| (&text[part.span], part.dropped.map(|span| &text[span]));
        split(text).into_iter().map(part).collect()
    }

    #[test]
    fn a_line_that_begins_with_three_dashes_separates() {
        assert_eq!(cut("a\n---\nb\n"), [("a", None), ("b\n", None)]);
        assert_eq!(cut("a\n----\nb"), [("a", None), ("b", None)]);
        assert_eq!(cut("a\n--- # note\nb"), [("a", None), ("b", None)]);
        assert_eq!(cut("---\na\r\n---\r\nb"), [("---\na\r", None), ("b", None)]);
        assert_eq!(cut("a: |\n  ---\n  b"), [("a: |\n  ---\n  b", None)]);
        assert_eq!(cut("a\n---"), [("a", None)]);
    }

    #[test]
    fn text_on_the_separator_line_gets_a_warning() {
        assert_eq!(cut("a\n---x\nb"), [("a", Some("x")), ("b", None)]);
        assert_eq!(cut("a\n--- {}\nb"), [("a", Some("{}")), ("b", None)]);
        assert_eq!(cut("a\n---#x\nb"), [("a", Some("#x")), ("b", None)]);
    }

    #[test]
    fn blank_parts_are_not_documents() {
        assert_eq!(cut(""), []);
        assert_eq!(cut("\n \n# only this\n---\n\n---\n...\n"), []);
        assert_eq!(cut("%YAML 1.1\n---\na"), [("a", None)]);
    }
}
