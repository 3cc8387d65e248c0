//! Text as a scalar: which style it takes, and how each style is written.

use super::out::Out;
use crate::read::is_text;

/// As a key without quotes, this brings in another map.
const MERGE: &str = "<<";

/// Whether a text has several lines, and so cannot be a plain key.
pub(super) fn is_multiline(text: &str) -> bool {
    text.contains(is_break)
}

/// Writes a text; a key is never folded.
pub(super) fn write(out: &mut Out, text: &str, key: bool) {
    let allowed = Allowed::of(text);
    let separators = text.contains(['\u{2028}', '\u{2029}']);
    if separators || (key && allowed.multiline) {
        double_quoted(out, text, !key);
    } else if text.contains('\n') {
        if allowed.block && !key { literal(out, text) } else { double_quoted(out, text, !key) }
    } else if !is_text(text) || is_base_60(text) || (key && text == MERGE) {
        double_quoted(out, text, !key);
    } else if allowed.plain {
        plain(out, text, !key);
    } else if allowed.single_quoted {
        single_quoted(out, text, !key);
    } else {
        double_quoted(out, text, !key);
    }
}

/// Which styles a text may take.
struct Allowed {
    multiline: bool,
    plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut break_space, mut space_break) = (false, false, false);
        let mut before = None;
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            let blank_after = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            indicators |= match (before, char) {
                (
                    None,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
                ) => true,
                (None, '?' | ':' | '-') | (Some(_), ':') => blank_after,
                (Some(before), '#') => matches!(before, ' ' | '\t' | '\0') || is_break(before),
                _ => false,
            };
            special |= !is_printable(char);
            break_space |= char == ' ' && before.is_some_and(is_break);
            space_break |= is_break(char) && before == Some(' ');
            before = Some(char);
        }
        let edge = |char: Option<char>| char.is_some_and(|char| char == ' ' || is_break(char));
        let edges = edge(text.chars().next()) || edge(before);
        let multiline = is_multiline(text);
        Self {
            multiline,
            plain: !(edges || break_space || space_break || special || multiline || indicators),
            single_quoted: !(break_space || space_break || special),
            block: !(before == Some(' ') || space_break || special),
        }
    }
}

fn plain(out: &mut Out, text: &str, fold: bool) {
    out.space();
    folded(out, text, fold, |out, char| out.push(char));
    out.raw("");
    out.line_begun(false);
}

fn single_quoted(out: &mut Out, text: &str, fold: bool) {
    out.indicator("'", false);
    // Never folded at its ends; plain text has no blanks there.
    folded(out, text, fold, |out, char| {
        if char == '\'' {
            out.push('\'');
        }
        out.push(char);
    });
    out.sign("'");
}

/// Writes text of one line, and in wide lines breaks it at single blanks.
fn folded(out: &mut Out, text: &str, fold: bool, push: impl Fn(&mut Out, char)) {
    let mut blank_before = false;
    for (at, char) in text.char_indices() {
        if char != ' ' {
            push(out, char);
        } else if fold && !blank_before && out.is_wide() && !at_edge(text, at) && !text[at + 1..].starts_with(' ') {
            out.line_begun(false);
            out.indent();
        } else {
            out.push(' ');
        }
        blank_before = char == ' ';
    }
}

fn at_edge(text: &str, at: usize) -> bool {
    at == 0 || at == text.len() - 1
}

fn double_quoted(out: &mut Out, text: &str, fold: bool) {
    // What begins with a byte order mark is escaped altogether.
    let escape_all = text.starts_with('\u{FEFF}');
    out.indicator("\"", false);
    let mut blank_before = false;
    for (at, char) in text.char_indices() {
        if escape_all || !is_printable(char) || is_break(char) || matches!(char, '"' | '\\') {
            escape(out, char);
        } else if char == ' ' && fold && !blank_before && out.is_wide() && !at_edge(text, at) {
            out.line_begun(false);
            out.indent();
            if text[at + 1..].starts_with(' ') {
                out.push('\\');
            }
        } else {
            out.push(char);
        }
        blank_before = char == ' ';
    }
    out.sign("\"");
}

fn escape(out: &mut Out, char: char) {
    let short = match char {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' | '\\' => char,
        '\u{85}' => 'N',
        '\u{A0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(char);
            return out.raw(&match code {
                ..=0xFF => format!("\\x{code:02X}"),
                0x100..=0xFFFF => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            });
        }
    };
    out.push('\\');
    out.push(short);
}

fn literal(out: &mut Out, text: &str) {
    out.indicator("|", false);
    if text.starts_with([' ', '\n']) {
        out.sign("2");
    }
    match text.strip_suffix('\n') {
        None => out.sign("-"),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => out.sign("+"),
        Some(_) => {}
    }
    out.line_break();
    out.line_begun(true);
    let mut new_line = true;
    for char in text.chars() {
        if char == '\n' {
            out.line_break();
            out.line_begun(true);
        } else {
            if new_line {
                out.indent();
            }
            out.push(char);
            out.line_begun(false);
        }
        new_line = char == '\n';
    }
}

/// What YAML's emitters write as it is, of characters beyond the BMP nothing.
fn is_printable(char: char) -> bool {
    matches!(char, '\n' | ' '..='~' | '\u{A0}'..='\u{FEFE}' | '\u{FF00}'..='\u{FFFD}')
}

fn is_break(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// A number to the base of 60, such as `12:30:45`: text to us, but other readers of YAML 1.1 differ.
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = text.split(':');
    let digits =
        |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let first = parts.next().unwrap_or_default();
    let first_fits = first.starts_with(|char: char| char.is_ascii_digit())
        && first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let sixty = |part: &str| digits(part, 2) && (part.len() == 1 || part < "60");
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    first_fits
        && middle.iter().all(|part| sixty(part))
        && sixty(last)
        && fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}
