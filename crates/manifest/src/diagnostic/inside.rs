//! From bytes of a scalar's value to bytes of its text, through quotes, escapes and folded lines.
//!
//! Folding only ever changes spaces, tabs and line breaks. So the other characters of the value stand in the text in the
//! same order, and counting them is enough.

use std::ops::Range;

/// Where a part of `value` stands in `raw`, the text that was read as it. None if the two do not go together.
pub(super) fn locate(raw: &str, value: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let solid = |text: &str| text.chars().filter(|char| !is_blank(*char)).count();
    let before = solid(value.get(..part.start)?);
    let upto = solid(value.get(..part.end)?);
    let places = places(raw);
    if places.len() != solid(value) {
        return None;
    }
    if upto > before {
        return Some(places[before].start..places[upto - 1].end);
    }
    // An empty part, or blanks: right behind what stands before it.
    match before.checked_sub(1) {
        Some(last) => Some(places[last].end..places[last].end),
        None => places.first().map(|first| first.start..first.start),
    }
}

/// What folding may change.
fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r')
}

/// The places of all characters that are not blank, in order.
fn places(raw: &str) -> Vec<Range<usize>> {
    let start = raw.len() - content(raw).len();
    let text = &raw[start..];
    let mut places = Vec::with_capacity(text.len());
    match text.as_bytes().first() {
        Some(b'"') => double_quoted(text, start, &mut places),
        Some(b'\'') => single_quoted(text, start, &mut places),
        Some(b'|' | b'>') if text.contains('\n') => {
            let header = text.find('\n').unwrap_or(0);
            plain(&text[header..], start + header, &mut places);
        }
        _ => plain(text, start, &mut places),
    }
    places
}

/// The text without its anchor and tag.
fn content(raw: &str) -> &str {
    let mut rest = raw;
    while rest.starts_with(['&', '!']) {
        let Some(end) = rest.find(char::is_whitespace) else { return rest };
        rest = rest[end..].trim_start();
    }
    rest
}

fn plain(text: &str, start: usize, places: &mut Vec<Range<usize>>) {
    let solid = text.char_indices().filter(|(_, char)| !is_blank(*char));
    places.extend(solid.map(|(at, char)| start + at..start + at + char.len_utf8()));
}

fn single_quoted(text: &str, start: usize, places: &mut Vec<Range<usize>>) {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    let mut chars = inner.char_indices();
    while let Some((at, char)) = chars.next() {
        let at = start + 1 + at;
        if char == '\'' {
            chars.next();
            places.push(at..at + 2);
        } else if !is_blank(char) {
            places.push(at..at + char.len_utf8());
        }
    }
}

fn double_quoted(text: &str, start: usize, places: &mut Vec<Range<usize>>) {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    let mut chars = inner.char_indices();
    while let Some((at, char)) = chars.next() {
        let first = start + 1 + at;
        if char != '\\' {
            if !is_blank(char) {
                places.push(first..first + char.len_utf8());
            }
            continue;
        }
        let Some((_, escape)) = chars.next() else { return };
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let code: String = chars.by_ref().take(digits).map(|(_, char)| char).collect();
        let meant = match escape {
            'x' | 'u' | 'U' => u32::from_str_radix(&code, 16).ok().and_then(char::from_u32).unwrap_or('?'),
            'n' | 't' | 'r' | ' ' | '\t' | '\n' | '\r' => ' ',
            _ => '?',
        };
        if !is_blank(meant) {
            places.push(first..first + 1 + escape.len_utf8() + digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(raw: &'a str, value: &str, part: &str) -> &'a str {
        let start = value.find(part).unwrap();
        &raw[locate(raw, value, &(start..start + part.len())).unwrap()]
    }

    #[test]
    fn a_part_is_found_through_every_style() {
        assert_eq!(found("a == b", "a == b", "=="), "==");
        assert_eq!(found("'a == ''b'''", "a == 'b'", "'b'"), "''b''");
        assert_eq!(found(r#""a == \"b\"""#, r#"a == "b""#, "\"b\""), r#"\"b\""#);
        assert_eq!(found(r#""\x61 == \u65e5""#, "a == 日", "日"), r"\u65e5");
        assert_eq!(found("a ==\n    b", "a == b", "b"), "b");
        assert_eq!(found("|-\n  a\n  && b", "a\n&& b", "&& b"), "&& b");
        assert_eq!(found("> # why\n  a\n  && b\n", "a && b\n", "a && b"), "a\n  && b");
        assert_eq!(found("!!str &x a == b", "a == b", "a"), "a");
        assert_eq!(found("\"a\\\n   b\"", "ab", "b"), "b");
        assert_eq!(found("|-\n  a &&\n  \u{A0}b", "a &&\n\u{A0}b", "\u{A0}"), "\u{A0}");
        assert_eq!(found(r#""a\_b""#, "a\u{A0}b", "\u{A0}"), r"\_");
    }

    #[test]
    fn an_empty_part_is_marked_after_the_text_before_it() {
        assert_eq!(locate("'a == '", "a == ", &(5..5)), Some(5..5));
        assert_eq!(locate("a", "a", &(0..0)), Some(0..0));
        assert_eq!(locate("''", "", &(0..0)), None);
        assert_eq!(locate("a b", "something else", &(0..1)), None);
        assert_eq!(locate("日", "日", &(1..2)), None, "no character begins there");
    }
}
