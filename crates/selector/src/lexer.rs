//! Cuts a selector's text into its smallest parts.
//!
//! Which part may come depends on what came before (`in` is a label's name before an operator and an operator
//! after a label), so the parser asks for what it can use.

use crate::node::Kind;

/// A place in a selector's text. Only spaces and tabs separate parts.
#[derive(Clone, Copy)]
pub(crate) struct Lexer<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

/// The words that stand between a label and a value. Blanks within are optional: `notin`, `starts  with`.
const OPERATORS: [(&str, &str, Kind); 5] = [
    ("in", "", Kind::In),
    ("contains", "", Kind::Contains),
    ("not", "in", Kind::NotIn),
    ("starts", "with", Kind::StartsWith),
    ("ends", "with", Kind::EndsWith),
];

/// Whether a byte may stand in a label's name.
pub(crate) fn in_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-')
}

impl<'a> Lexer<'a> {
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next byte, after blanks; none at the end.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Passes `part` if it comes next.
    pub(crate) fn eat(&mut self, part: &str) -> bool {
        self.peek();
        self.eat_attached(part)
    }

    /// Passes `part` if it comes next without a blank.
    pub(crate) fn eat_attached(&mut self, part: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(part.as_bytes());
        if found {
            self.at += part.len();
        }
        found
    }

    /// The run of bytes that may stand in a name; empty if something else comes next.
    pub(crate) fn name(&mut self) -> &'a str {
        self.peek();
        let rest = self.rest();
        let length = rest.bytes().position(|b| !in_names(b)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The operator after a label.
    pub(crate) fn operator(&mut self) -> Option<Kind> {
        match self.peek()? {
            b'=' => self.eat_attached("==").then_some(Kind::Equal),
            b'!' => self.eat_attached("!=").then_some(Kind::NotEqual),
            b'c' | b'e' | b'i' | b'n' | b's' => OPERATORS.iter().find_map(|&(first, second, kind)| {
                let mut ahead = *self;
                let found = ahead.eat_attached(first) && (second.is_empty() || ahead.eat(second));
                let ends_here = !ahead.text.as_bytes().get(ahead.at).copied().is_some_and(in_names);
                (found && ends_here).then(|| {
                    *self = ahead;
                    kind
                })
            }),
            _ => None,
        }
    }

    /// A quoted value; none if no quote comes next or none ends it.
    pub(crate) fn value(&mut self) -> Option<&'a str> {
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''))?;
        let inner = &self.text[self.at + 1..];
        let (value, _) = inner.split_once(char::from(quote))?;
        self.at += value.len() + 2;
        Some(value)
    }
}
