//! One line of a text as it is shown, with where its mark goes: long lines cut, tabs and wide characters counted.

use std::ops::Range;

use crate::read::Source;

/// The widest line that is shown whole.
const WIDTH: usize = 100;
/// How much is shown before the mark of a line that is cut.
const LEAD: usize = 40;
const CUT: &str = "...";
const TAB: &str = "    ";

/// A line to show.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    /// The text.
    pub(super) text: String,
    /// The columns before the mark.
    pub(super) lead: usize,
    /// The columns of the mark, at least 1.
    pub(super) length: usize,
}

/// The line of this number with the mark; what of the mark is on later lines is left out.
pub(super) fn around(source: &Source, number: usize, mark: &Range<usize>) -> Shown {
    let line = source.line(number);
    let text = &source.text()[line.clone()];
    let start = mark.start.clamp(line.start, line.end) - line.start;
    let end = mark.end.clamp(line.start + start, line.end) - line.start;
    let (mut from, mut to) = (0, text.len());
    if text.len() > WIDTH && forward(text, 0, WIDTH) < text.len() {
        from = back(text, start, LEAD);
        // Not cut for less than what the sign of cutting takes.
        if from <= CUT.len() {
            from = 0;
        }
        to = forward(text, from, WIDTH - 2 * CUT.len());
    }
    let before = shown(&text[from..start]);
    let marked = shown(&text[start..end.min(to).max(start)]);
    let after = shown(&text[end.min(to).max(start)..to.max(end.min(to)).max(start)]);
    let head = if from > 0 { CUT } else { "" };
    let tail = if to < text.len() { CUT } else { "" };
    let lead = columns(head) + columns(&before);
    let length = columns(&marked).max(1);
    Shown { text: format!("{head}{before}{marked}{after}{tail}").trim_end().to_owned(), lead, length }
}

/// The byte up to which some columns from `from` on reach.
fn forward(text: &str, from: usize, columns: usize) -> usize {
    let mut left = columns;
    for (at, char) in text[from..].char_indices() {
        match left.checked_sub(width(char)) {
            Some(rest) => left = rest,
            None => return from + at,
        }
    }
    text.len()
}

/// The byte that is some columns before `from`.
fn back(text: &str, from: usize, columns: usize) -> usize {
    let mut left = columns;
    for (at, char) in text[..from].char_indices().rev() {
        match left.checked_sub(width(char)) {
            Some(rest) => left = rest,
            None => return at + char.len_utf8(),
        }
    }
    0
}

/// The text as a terminal may have it: tabs as spaces, and nothing that moves the cursor or turns the direction.
fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\t' => out.push_str(TAB),
            char if char.is_control() || is_direction(char) => out.push(char::REPLACEMENT_CHARACTER),
            char => out.push(char),
        }
    }
    out
}

fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// Whether a character turns the direction of the text behind it.
pub(super) fn is_direction(char: char) -> bool {
    matches!(char, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// How many columns a character takes, well enough for marks: 0 for what joins the one before, 2 for East Asian
/// letters and pictures.
fn width(char: char) -> usize {
    match char {
        '\t' => TAB.len(),
        ' '..='~' => 1,
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5BD}' | '\u{64B}'..='\u{65F}' => 0,
        '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{200B}'..='\u{200F}' | '\u{20D0}'..='\u{20F0}' => 0,
        '\u{FE00}'..='\u{FE0F}' | '\u{FE20}'..='\u{FE2F}' | '\u{FEFF}' => 0,
        '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{303E}' | '\u{3041}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}' => 2,
        '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE6F}' | '\u{FF00}'..='\u{FF60}' | '\u{FFE0}'..='\u{FFE6}' => 2,
        '\u{1F300}'..='\u{1F64F}'
        | '\u{1F680}'..='\u{1F6FF}'
        | '\u{1F900}'..='\u{1F9FF}'
        | '\u{20000}'..='\u{3FFFD}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The marked part of a line, cut out of what is shown.
    fn marked(text: &str, part: &str) -> (String, String) {
        let source = Source::new("f", text);
        let start = text.find(part).unwrap();
        let number = source.position(start).line;
        let shown = around(&source, number, &(start..start + part.len()));
        let mut column = 0;
        let mut under = String::new();
        for char in shown.text.chars() {
            if (shown.lead..shown.lead + shown.length).contains(&column) {
                under.push(char);
            }
            column += width(char);
        }
        (shown.text, under)
    }

    #[test]
    fn the_mark_is_under_its_part_after_any_text() {
        assert_eq!(marked("a: b c", "b"), ("a: b c".into(), "b".into()));
        assert_eq!(marked("\ta:\tb c", "b"), ("    a:    b c".into(), "b".into()));
        assert_eq!(marked("名前: 日本 c", "日本"), ("名前: 日本 c".into(), "日本".into()));
        assert_eq!(marked("e\u{301}: b", "b").1, "b");
        assert_eq!(marked("x\n  a: b\r\ny", "b"), ("  a: b".into(), "b".into()));
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let long = format!("{} here {}", "x".repeat(500), "y".repeat(500));
        let (text, under) = marked(&long, "here");
        assert_eq!(under, "here");
        assert!(text.starts_with("...x") && text.ends_with("y...") && columns(&text) <= WIDTH, "{text}");
        let wide = format!("{} here {}", "日".repeat(500), "本".repeat(500));
        assert_eq!(marked(&wide, "here").1, "here");
        let (text, under) = marked(&long, &long[400..900]);
        assert!(columns(&text) <= WIDTH && under.starts_with("xxx"), "{text}");
        let (text, under) = marked(&long, &long[..3]);
        assert!(text.starts_with("xxx") && under == "xxx");
    }

    #[test]
    fn control_characters_of_a_line_do_not_reach_the_terminal() {
        assert_eq!(marked("a\u{1b}[31m\u{202e}b", "b").0, "a\u{fffd}[31m\u{fffd}b");
    }

    #[test]
    fn an_empty_mark_or_one_outside_the_line_is_one_column() {
        let source = Source::new("f", "ab\n");
        assert_eq!(around(&source, 1, &(2..2)), Shown { text: "ab".into(), lead: 2, length: 1 });
        assert_eq!(around(&source, 2, &(3..9)), Shown { text: String::new(), lead: 0, length: 1 });
    }
}
