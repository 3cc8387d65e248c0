//! The text of one file (or of standard input), decoded, with its lines found once.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

/// A text to read, with the name that messages give it.
#[derive(Clone, Debug)]
pub struct Source {
    /// What messages call it: a path, or `<stdin>`.
    pub name: String,
    text: String,
    /// Where the first bytes are that are no text.
    broken_at: Option<usize>,
    /// Where each line begins; found when a place is first asked for.
    lines: OnceLock<Vec<usize>>,
    /// How many characters begin before each [`BLOCK`] of bytes, so that a place in a long line is found without counting all of
    /// the line.
    blocks: OnceLock<Vec<usize>>,
}

/// How many bytes are counted anew at most for a column.
const BLOCK: usize = 1024;

/// A place in a text, as editors count: from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Source {
    /// A text under a name. UTF-8 and UTF-16 (with or without its mark) are understood.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let (text, broken_at) = decode(bytes.into());
        Self { name: name.into(), text, broken_at, lines: OnceLock::new(), blocks: OnceLock::new() }
    }

    /// What was read from standard input.
    pub fn stdin(bytes: impl Into<Vec<u8>>) -> Self {
        Self::new("<stdin>", bytes)
    }

    /// The text, without a byte order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the first bytes are that are no text; they stand as U+FFFD in [`Source::text`].
    pub fn broken_at(&self) -> Option<usize> {
        self.broken_at
    }

    /// Line and column of a byte of the text.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.floor(offset);
        let line = self.line_of(offset);
        let column = self.characters_before(offset) - self.characters_before(self.lines()[line]) + 1;
        Position { line: line + 1, column }
    }

    /// The bytes of a line (from 1), without its line break.
    pub fn line(&self, line: usize) -> Range<usize> {
        let lines = self.lines();
        let Some(start) = line.checked_sub(1).and_then(|line| lines.get(line).copied()) else {
            return self.text.len()..self.text.len();
        };
        let end = lines.get(line).copied().unwrap_or(self.text.len());
        let text = self.text[start..end].trim_end_matches(['\n', '\r']);
        start..start + text.len()
    }

    /// The nearest character boundary at or before an offset.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    fn line_of(&self, offset: usize) -> usize {
        self.lines().partition_point(|start| *start <= offset) - 1
    }

    fn characters_before(&self, offset: usize) -> usize {
        let bytes = self.text.as_bytes();
        let blocks = self.blocks.get_or_init(|| {
            let counts = bytes.chunks(BLOCK).scan(0, |sum, block| {
                *sum += beginnings(block);
                Some(*sum)
            });
            std::iter::once(0).chain(counts).collect()
        });
        let block = offset / BLOCK;
        blocks[block] + beginnings(&bytes[block * BLOCK..offset])
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let breaks = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect()
        })
    }
}

/// How many characters of UTF-8 begin in these bytes.
fn beginnings(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

fn decode(bytes: Vec<u8>) -> (String, Option<usize>) {
    match bytes.as_slice() {
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest.to_vec()),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => utf8(bytes),
    }
}

fn utf8(bytes: Vec<u8>) -> (String, Option<usize>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let broken_at = error.utf8_error().valid_up_to();
            match String::from_utf8_lossy(error.as_bytes()) {
                Cow::Owned(text) => (text, Some(broken_at)),
                Cow::Borrowed(text) => (text.to_owned(), Some(broken_at)),
            }
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> (String, Option<usize>) {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    let mut broken_at = None;
    for char in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match char {
            Ok(char) => text.push(char),
            Err(_) => {
                broken_at.get_or_insert(text.len());
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
    }
    if !rest.is_empty() {
        broken_at.get_or_insert(text.len());
    }
    (text, broken_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let source = Source::new("f", "ab\nü日c\r\n\nend");
        let at = |offset| {
            let position = source.position(offset);
            (position.line, position.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(2), (1, 3));
        assert_eq!(at(3), (2, 1));
        assert_eq!(at(5), (2, 2));
        assert_eq!(at(6), (2, 2), "a place inside a character is that character");
        assert_eq!(at(8), (2, 3));
        assert_eq!(at(11), (3, 1));
        assert_eq!(at(99), (4, 4));
        assert_eq!(&source.text()[source.line(2)], "ü日c");
        assert_eq!(&source.text()[source.line(3)], "");
        assert_eq!(&source.text()[source.line(4)], "end");
        assert!(source.line(5).is_empty() && source.line(0).is_empty());
    }

    #[test]
    fn a_column_of_a_long_line_is_the_number_of_characters_before_it() {
        let text = "x\n".to_owned() + &"a日ü😀".repeat(600) + "\n" + &"b".repeat(2 * BLOCK);
        let source = Source::new("f", text.clone());
        for (offset, _) in text.char_indices().chain([(text.len(), ' ')]) {
            let before = &text[..offset];
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            assert_eq!(source.position(offset).column, before[start..].chars().count() + 1, "{offset}");
        }
    }

    #[test]
    fn utf16_and_byte_order_marks_are_understood() {
        assert_eq!(Source::new("f", b"\xEF\xBB\xBFa: b".to_vec()).text(), "a: b");
        let units = || "a: 日😀".encode_utf16();
        let little = [0xFF, 0xFE].into_iter().chain(units().flat_map(u16::to_le_bytes)).collect::<Vec<u8>>();
        let big = [0xFE, 0xFF].into_iter().chain(units().flat_map(u16::to_be_bytes)).collect::<Vec<u8>>();
        assert_eq!(Source::new("f", little.clone()).text(), "a: 日😀");
        assert_eq!(Source::new("f", big).text(), "a: 日😀");
        assert_eq!(Source::new("f", little[..little.len() - 1].to_vec()).broken_at(), Some(6));
    }

    #[test]
    fn bytes_that_are_not_text_are_reported_with_their_place() {
        let source = Source::new("f", b"a: \xFFb".to_vec());
        assert_eq!((source.text(), source.broken_at()), ("a: \u{FFFD}b", Some(3)));
        assert_eq!(Source::new("f", "fine").broken_at(), None);
    }
}
