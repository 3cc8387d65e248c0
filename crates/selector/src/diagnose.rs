//! Turns the place where parsing stopped into words that help.
//!
//! Nothing here decides what is accepted: each function is called when something due did not come, looks at what
//! stands there instead, and guesses what was meant.

use std::ops::Range;

use crate::error::ParseError;
use crate::lexer::{Lexer, in_names};
use crate::{MAX_LABEL_LENGTH, MAX_LENGTH};

const ONE_LINE: &str = "a selector is one line: use a space instead (in YAML, `>-` joins lines with spaces)";
const LAST_LINE: &str = "the text ends with a line break: in YAML, `>-` and `|-` leave it out, `>` and `|` keep it";

/// A condition was due.
#[cold]
pub(crate) fn condition(text: &str, at: usize) -> ParseError {
    let found = found(text, at);
    let in_has = text[..at].trim_end_matches([' ', '\t']).ends_with("has(");
    let error = expected(if in_has { "a label name" } else { "a condition" }, text, at);
    match text[at..].chars().next() {
        Some('"' | '\'') => {
            let name = text[found].trim_matches(['"', '\'']);
            let error = expected("a label name", text, at);
            if name.bytes().all(in_names) {
                error.with_hint(format!("label names are not quoted: did you mean `{name}`?"))
            } else {
                error.with_hint("label names are not quoted")
            }
        }
        Some('*') => error.with_hint("`all()` selects everything"),
        Some('=') => error.with_hint("a label name comes before an operator"),
        Some('[') => error.with_hint("conditions are grouped with `(` and `)`"),
        _ => general(error, text, at),
    }
}

/// `has(`, `all(` or `global(` did not end.
#[cold]
pub(crate) fn call(text: &str, start: usize, at: usize) -> ParseError {
    let mut lexer = Lexer { text, at: start };
    let function = lexer.name();
    let error = expected("`)`", text, at);
    match function {
        _ if at == text.len() => ParseError::new(start..at, format!("`{function}(` is never closed")),
        "has" => error.with_hint("`has()` takes the name of one label"),
        _ => error.with_hint(format!("`{function}()` takes nothing")),
    }
}

/// An operator was due after a label.
#[cold]
pub(crate) fn operator(text: &str, label: &str, at: usize) -> ParseError {
    let mut lexer = Lexer { text, at };
    let error = expected(&format!("an operator after label `{}`", shorten(label)), text, at);
    let rest = lexer.rest();
    if rest.starts_with('(') {
        return match label.to_ascii_lowercase().as_str() {
            lower @ ("has" | "all" | "global") if lower == label => {
                error.with_hint(format!("no space may come between `{label}` and `(`"))
            }
            "has" => error.with_hint("did you mean `has(`?"),
            lower @ ("all" | "global") => error.with_hint(format!("did you mean `{lower}()`?")),
            "not" => error.with_hint("did you mean `!`?"),
            _ => error.with_hint("the functions are `has(label)`, `all()` and `global()`"),
        };
    }
    if rest.starts_with('=') {
        return ParseError::new(found(text, at), "`=` is not an operator").with_hint("did you mean `==`?");
    }
    if matches!(label.to_ascii_lowercase().as_str(), "all" | "global")
        && (rest.is_empty() || ["&&", "||", ")", "\n", "\r"].iter().any(|end| rest.starts_with(end)))
    {
        return error.with_hint(format!("did you mean `{}()`?", label.to_ascii_lowercase()));
    }
    if rest.is_empty() || ["&&", "||", ")"].iter().any(|end| rest.starts_with(end)) {
        // The word may be a label or the value of one.
        let label = shorten(label);
        return error.with_hint(format!(
            "write `has({label})` for a label `{label}` of any value, or compare a label with it: `LABEL == \"{label}\"`"
        ));
    }
    if rest.starts_with(':') {
        return error.with_hint("a label is compared like this: `label == \"value\"`");
    }
    let word = lexer.name();
    if label.eq_ignore_ascii_case("not") && !word.is_empty() {
        return error.with_hint("did you mean `!`?");
    }
    let lower = rest.to_ascii_lowercase();
    if let Some(kind) = (Lexer { text: &lower, at: 0 }).operator()
        && !word.is_empty()
    {
        return error.with_hint(format!("operators are in lower case: `{}`", kind.operator().trim()));
    }
    match word.to_ascii_lowercase().as_str() {
        "is" | "eq" | "equals" => error.with_hint("did you mean `==`?"),
        "ne" => error.with_hint("did you mean `!=`?"),
        "contain" | "includes" | "has" => error.with_hint("did you mean `contains`?"),
        "startwith" | "starts" | "start" => error.with_hint("did you mean `starts with`?"),
        "endwith" | "ends" | "end" => error.with_hint("did you mean `ends with`?"),
        "exists" | "and" | "or" => error.with_hint(format!("did you mean `has({})`?", shorten(label))),
        "not" => error.with_hint("`!` before the label negates a comparison"),
        "" if rest.starts_with('!') => error.with_hint("did you mean `!=` or `not in`?"),
        _ => general(error, text, at),
    }
}

/// A quoted value was due after an operator.
#[cold]
pub(crate) fn value(text: &str, at: usize) -> ParseError {
    let error = expected("a quoted value", text, at);
    match text[at..].chars().next() {
        Some('"' | '\'') => unterminated(text, at),
        Some('{') => error.with_hint("a set is compared with `in` or `not in`"),
        Some('=') => error.with_hint("`==` and `!=` are the operators"),
        _ => unquoted(error, text, at),
    }
}

/// A set was due after `in` or `not in`.
#[cold]
pub(crate) fn set(text: &str, at: usize) -> ParseError {
    let error = expected("a set such as `{\"a\", \"b\"}`", text, at);
    match text[at..].chars().next() {
        Some('"' | '\'') => {
            let value = &text[found(text, at)];
            error.with_hint(format!("did you mean `{{{}}}`?", shorten(value)))
        }
        Some('(' | '[') => error.with_hint("a set is written in braces, `{` and `}`"),
        _ => general(error, text, at),
    }
}

/// A value, a comma or the end was due in a set.
#[cold]
pub(crate) fn member(text: &str, open: usize, at: usize) -> ParseError {
    if at == text.len() {
        return ParseError::new(open..open + 1, "this `{` is never closed");
    }
    // A value may stand here if the last thing before was no value.
    let first = text[..at].trim_end_matches([' ', '\t']).ends_with(['{', ',']);
    match text[at..].chars().next() {
        Some('"' | '\'') if first => unterminated(text, at),
        Some('"' | '\'') => expected("`,` or `}`", text, at).with_hint("values in a set are separated by commas"),
        _ if first => unquoted(expected("a quoted value or `}`", text, at), text, at),
        _ => general(expected("`,` or `}`", text, at), text, at),
    }
}

/// A condition has ended, and `&&`, `||` or the end was due.
#[cold]
pub(crate) fn connective(text: &str, at: usize) -> ParseError {
    if text[at..].starts_with(')') {
        return ParseError::new(at..at + 1, "this `)` closes nothing");
    }
    let error = expected("`&&`, `||` or the end", text, at);
    let word = Lexer { text, at }.name().to_ascii_lowercase();
    match (word.as_str(), text[at..].chars().next()) {
        ("and", _) | (_, Some('&' | ',')) => error.with_hint("did you mean `&&`?"),
        ("or", _) | (_, Some('|')) => error.with_hint("did you mean `||`?"),
        (word, Some(next)) if !word.is_empty() || matches!(next, '(' | '!') => {
            error.with_hint("conditions are joined with `&&` or `||`")
        }
        _ => general(error, text, at),
    }
}

/// The text ended inside a parenthesis.
#[cold]
pub(crate) fn unclosed(open: usize) -> ParseError {
    ParseError::new(open..open + 1, "this `(` is never closed")
}

/// A label's name is beyond the limit.
#[cold]
pub(crate) fn long_label(span: Range<usize>) -> ParseError {
    let length = span.len();
    ParseError::new(span, format!("a label name has at most {MAX_LABEL_LENGTH} bytes, this has {length}"))
}

/// The whole is beyond the limit.
#[cold]
pub(crate) fn too_long(text: &str) -> ParseError {
    let message = format!("a selector has at most {MAX_LENGTH} bytes, this has {}", text.len());
    ParseError::new(0..text.len(), message)
}

fn unterminated(text: &str, at: usize) -> ParseError {
    ParseError::new(at..text.len(), "this quote is never closed")
}

fn unquoted(error: ParseError, text: &str, at: usize) -> ParseError {
    let ends = |c: char| c.is_whitespace() || matches!(c, ')' | '}' | '(' | '{' | ',' | '&' | '|' | '"' | '\'');
    let length = text[at..].find(ends).unwrap_or(text.len() - at);
    let word = &text[at..at + length];
    if !word.starts_with(|c: char| c.is_alphanumeric() || c.is_ascii() && in_names(c as u8)) {
        return general(error, text, at);
    }
    let message = format!("values are quoted, found `{}`", shorten(word));
    ParseError::new(at..at + length, message).with_hint(format!("did you mean `\"{}\"`?", shorten(word)))
}

/// The hints that fit anywhere.
fn general(error: ParseError, text: &str, at: usize) -> ParseError {
    match text[at..].chars().next() {
        Some('\n' | '\r') if text[at..].trim().is_empty() => error.with_hint(LAST_LINE),
        Some('\n' | '\r') => error.with_hint(ONE_LINE),
        Some('“' | '”' | '„' | '‘' | '’' | '`') => error.with_hint("quotes are `\"` or `'`"),
        Some(c) if c.is_whitespace() || is_invisible(c) => {
            error.with_hint("only spaces and tabs may stand between words")
        }
        _ => error,
    }
}

fn expected(what: &str, text: &str, at: usize) -> ParseError {
    let span = found(text, at);
    let message = match &text[span.clone()] {
        "" => format!("expected {what}, but the selector ends"),
        "\n" | "\r" | "\r\n" => format!("expected {what}, found a line break"),
        found => match found.chars().next().filter(|c| !c.is_ascii() && (c.is_whitespace() || is_invisible(*c))) {
            Some('\u{A0}') => format!("expected {what}, found a no-break space (U+00A0)"),
            Some(c) => format!("expected {what}, found the invisible character U+{:04X}", u32::from(c)),
            None => format!("expected {what}, found `{}`", shorten(found)),
        },
    };
    ParseError::new(span, message)
}

/// What stands at a place: a name, a quoted value, a run of one operator's characters, or one character.
fn found(text: &str, at: usize) -> Range<usize> {
    let rest = &text[at..];
    let Some(first) = rest.chars().next() else { return at..at };
    let length = match first {
        '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
        '&' | '|' | '=' => rest.bytes().position(|b| b != rest.as_bytes()[0]).unwrap_or(rest.len()),
        '\r' if rest.starts_with("\r\n") => 2,
        _ => rest.bytes().position(|b| !in_names(b)).unwrap_or(rest.len()).max(first.len_utf8()),
    };
    at..at + length
}

/// Characters of no width, which copied text brings along.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}')
}

/// Enough of a text to recognise it.
fn shorten(text: &str) -> String {
    const MAX_QUOTED: usize = 40;
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
