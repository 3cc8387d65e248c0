//! Explains in plain words why a text is not YAML, and points at the cause where the parser points at the place where it
//! noticed.

use std::ops::Range;

use super::tree::Fault;

/// Explains the parser's words `info` about the byte `at`.
pub(crate) fn explain(text: &str, part: &Range<usize>, at: usize, info: &str) -> Fault {
    let (span, message, help) = cause(text, part, at, info);
    Fault { span, message, help: help.map(str::to_owned) }
}

type Cause = (Range<usize>, String, Option<&'static str>);

fn cause(text: &str, part: &Range<usize>, at: usize, info: &str) -> Cause {
    let here = one(text, at);
    if info.contains("document start") || info.contains("document end") {
        let message = "text goes on after the end of the document".to_owned();
        return (here, message, Some("begin a new document with a line `---`"));
    }
    let line_start = text[part.start..at].rfind('\n').map_or(part.start, |newline| part.start + newline + 1);
    let before = &text[line_start..at];
    let rest = text[at..part.end].lines().next().unwrap_or_default();
    let said = |message: &str| message.to_owned();

    let unseen =
        no_space(text, part, line_start).or_else(|| no_space(text, part, start_of_line_before(text, part, line_start)));
    if let Some((span, name)) = unseen {
        return (span, format!("{name} stands here, which is no space to YAML"), Some("put plain spaces in its place"));
    }
    let tab =
        indenting_tab(text, part, at).or_else(|| next_indenting_tab(text, part, at).filter(|_| info.contains("tab")));
    if let Some(tab) = tab {
        return (tab..tab + 1, said("a tab indents this line; YAML indents with spaces only"), None);
    }
    if info.contains("anchor or alias") || info.contains("unknown anchor") {
        let mark =
            if rest.starts_with(['*', '&']) { at } else { before.rfind(['*', '&']).map_or(at, |i| line_start + i) };
        let name = text[mark..part.end].split([' ', '\t', '\r', '\n', ',', ']', '}']).next().unwrap_or_default();
        let message = format!("without quotes, YAML takes `{name}` for a reference to another value");
        return (mark..mark + name.len().max(1), message, Some("put it in quotes, as in \"*\""));
    }
    let unclosed = [
        "quoted scalar, found unexpected end of stream",
        "indentation in quoted scalar",
        "found unexpected document indicator",
    ];
    if unclosed.iter().any(|words| info.contains(words)) {
        return match open(text, part.clone()).quote {
            Some(quote) => (quote..quote + 1, said("this quote is never closed"), None),
            None => (here, said("a line of a quoted text has to be indented further than its key"), None),
        };
    }
    if info.contains("escape") && info.contains("quoted scalar") {
        let message = said("an unknown escape in double quotes");
        let escape = bad_escape(&text[at..part.end]).map_or(here, |escape| one(text, at + escape));
        return (escape, message, Some("in single quotes a backslash is a backslash"));
    }
    if info.contains("trailing content after double-quoted") || info.contains("unexpected end of plain scalar") {
        let message = said("text goes on after the closing quote");
        return (here, message, Some("put the whole value in quotes of the other kind: '\"a\" == b'"));
    }
    if info.contains("recursion limit") {
        return (here, said("lists and maps stand in each other too deep"), None);
    }
    let unclosed = open(text, part.start..at).brackets.last().is_some_and(|bracket| text[*bracket..at].contains('\n'));
    let ended = info.contains("node content") && text[at..part.end].trim().is_empty();
    if unclosed || ended || info.contains("flow sequence") || info.contains("flow mapping") || info.contains("bracket")
    {
        return brackets(text, part, at);
    }
    if info.contains("mapping values are not allowed") || info.contains("illegal placement of ':'") {
        let message = said("a `:` that makes no sense here");
        let help = if before.contains(": ") {
            "if it belongs to the value, put the value in quotes; else begin a new line"
        } else {
            "check that this line and the one before are indented as they should be"
        };
        return (here, message, Some(help));
    }
    if info.contains("simple key") {
        // The parser notices on a later line; the line at fault is the last one with text before it.
        let line = last_line_without_colon(text, part, at).unwrap_or_else(|| trimmed(text, line_start, part));
        return (line, said("there is no `:` on this line"), Some("write `key: value`, or `- value` in a list"));
    }
    if let Some((key, item)) = item_among_fields(text, part, line_start) {
        let message = format!("an item of a list stands among the fields of a map: `{key}` is not a list");
        let help = "write the name of the list on a line above it, such as `ingress:`, or leave out the `- `";
        return (item, message, Some(help));
    }
    if info.contains("indentation") || info.contains("expected key") || info.contains("'-' indicator") {
        let help = "keys of one map, and items of one list, begin in the same column";
        return (
            line_or(here, text, line_start, part),
            said("this line is not indented like those it belongs to"),
            Some(help),
        );
    }
    if info.contains("sequence entries are not allowed") {
        return (here, said("a list cannot begin here"), Some("begin it on its own line below the key"));
    }
    if let Some(char) = text[at..part.end].chars().next().filter(|char| matches!(char, '@' | '`' | '%')) {
        let message = format!("an unquoted value cannot begin with `{char}`");
        return (here, message, Some("put it in quotes"));
    }
    (here, format!("this is not YAML: {info}"), None)
}

/// The character at a place, or the last one before the end.
fn one(text: &str, at: usize) -> Range<usize> {
    let at = at.min(text.len());
    at..at + text[at..].chars().next().filter(|char| !matches!(char, '\n' | '\r')).map_or(0, char::len_utf8)
}

/// A line without the blanks around it.
fn trimmed(text: &str, line_start: usize, part: &Range<usize>) -> Range<usize> {
    let line = text[line_start..part.end].split(['\n', '\r']).next().unwrap_or_default();
    let start = line_start + (line.len() - line.trim_start().len());
    start..start + line.trim().len()
}

fn line_or(here: Range<usize>, text: &str, line_start: usize, part: &Range<usize>) -> Range<usize> {
    let line = trimmed(text, line_start, part);
    if line.is_empty() { here } else { line }
}

/// A line `- ...` in the column of the line above, which is a field with a value; and that field.
fn item_among_fields(text: &str, part: &Range<usize>, line_start: usize) -> Option<(String, Range<usize>)> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let item = text[line_start..part.end].lines().next()?;
    if !item.trim_start().starts_with("- ") {
        return None;
    }
    let is_content = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let above =
        text[part.start..line_start].lines().rev().filter(is_content).find(|line| indent(line) <= indent(item))?;
    let (key, value) = above.trim().split_once(':')?;
    let is_field = indent(above) == indent(item) && !key.starts_with("- ") && !value.trim().is_empty();
    is_field.then(|| (key.to_owned(), trimmed(text, line_start, part)))
}

fn indenting_tab(text: &str, part: &Range<usize>, at: usize) -> Option<usize> {
    let line_start = text[part.start..at].rfind('\n').map_or(part.start, |newline| part.start + newline + 1);
    let line = &text[line_start..part.end];
    let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
    line[..blank].find('\t').map(|tab| line_start + tab)
}

/// The first tab in the indentation of a line after a place.
fn next_indenting_tab(text: &str, part: &Range<usize>, at: usize) -> Option<usize> {
    let breaks = text[at..part.end].match_indices('\n').map(|(newline, _)| at + newline + 1);
    breaks.filter(|start| *start < part.end).find_map(|start| indenting_tab(text, part, start))
}

fn start_of_line_before(text: &str, part: &Range<usize>, line_start: usize) -> usize {
    let before = text[part.start..line_start].trim_end_matches(['\n', '\r']);
    before.rfind('\n').map_or(part.start, |newline| part.start + newline + 1)
}

/// A character where a space is due (before a line's text, or behind its first `:` or `-`) that looks like one.
fn no_space(text: &str, part: &Range<usize>, line_start: usize) -> Option<(Range<usize>, String)> {
    let line = text[line_start..part.end].lines().next().unwrap_or_default();
    let indent = line.len() - line.trim_start().len();
    let colon = line.find(':').map(|colon| colon + 1);
    let dash = line.trim_start().starts_with('-').then_some(indent + 1);
    [Some(line.len() - line.trim_start_matches([' ', '\t']).len()), colon, dash].into_iter().flatten().find_map(|at| {
        let char = line[at..].chars().next()?;
        Some((line_start + at..line_start + at + char.len_utf8(), unseen_name(char)?))
    })
}

/// What a character is called that looks like a space, or like nothing, and is neither to YAML: text copied from a page
/// has them.
pub(crate) fn unseen_name(char: char) -> Option<String> {
    let unseen = match char {
        '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' => true,
        char => !char.is_ascii() && char.is_whitespace(),
    };
    let name = if char == '\u{A0}' { "a no-break space" } else { "an invisible character" };
    unseen.then(|| format!("{name} (U+{:04X})", u32::from(char)))
}

/// What is still open at the end of a text: a quote, or brackets.
#[derive(Default)]
struct Open {
    quote: Option<usize>,
    brackets: Vec<usize>,
}

/// Looks for what was opened and not closed, roughly: quotes and brackets count where a value can begin.
fn open(text: &str, part: Range<usize>) -> Open {
    let mut open = Open::default();
    let bytes = text[part.clone()].as_bytes();
    let (mut before, mut at, mut quoted) = (b'\n', 0, 0);
    while at < bytes.len() {
        let byte = bytes[at];
        let begins = matches!(before, b' ' | b'\n' | b'\t' | b'[' | b'{' | b',' | b':');
        match (open.quote, byte) {
            (None, b'"' | b'\'') if begins => (open.quote, quoted) = (Some(part.start + at), byte),
            (None, b'[' | b'{') if begins || !open.brackets.is_empty() => open.brackets.push(part.start + at),
            (None, b']' | b'}') => _ = open.brackets.pop(),
            (None, b'#') if begins => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
                before = b'\n';
                continue;
            }
            (Some(_), b'\\') if quoted == b'"' => at += 1,
            (Some(_), b'\'') if quoted == b'\'' && bytes.get(at + 1) == Some(&b'\'') => at += 1,
            (Some(_), _) if byte == quoted => open.quote = None,
            _ => {}
        }
        before = byte;
        at += 1;
    }
    open
}

/// The first backslash before something that YAML has no escape for.
fn bad_escape(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'\\' {
            let (_, escape) = bytes.next()?;
            let digits = match escape {
                b'x' => 2,
                b'u' => 4,
                b'U' => 8,
                _ if b"0abt\tnvfre \"/\\N_LP\n\r".contains(&escape) => 0,
                _ => return Some(at),
            };
            let code = text.as_bytes().get(at + 2..at + 2 + digits)?;
            if !code.iter().all(u8::is_ascii_hexdigit) {
                return Some(at);
            }
        }
    }
    None
}

/// A bracket is missing, or stands where none may.
fn brackets(text: &str, part: &Range<usize>, at: usize) -> Cause {
    let here = one(text, at);
    match open(text, part.start..at).brackets.last() {
        Some(bracket) if text[at..part.end].trim().is_empty() || text[*bracket..at].contains('\n') => {
            (*bracket..bracket + 1, "this bracket is never closed".to_owned(), None)
        }
        Some(_) => (here, "a comma or a closing bracket is missing before this".to_owned(), None),
        None => (here, "a bracket that nothing opened".to_owned(), Some("if it is text, put the value in quotes")),
    }
}

fn last_line_without_colon(text: &str, part: &Range<usize>, at: usize) -> Option<Range<usize>> {
    let end = text[at..part.end].find('\n').map_or(part.end, |newline| at + newline);
    let mut stop = end;
    while stop > part.start {
        let line_start = text[part.start..stop].rfind('\n').map_or(part.start, |newline| part.start + newline + 1);
        let line = trimmed(text, line_start, &(part.start..stop));
        let content = &text[line.clone()];
        if !content.is_empty() && !content.starts_with('#') && !content.contains(':') && !content.starts_with("- ") {
            return Some(line);
        }
        if line_start == part.start || end - line_start > 2000 {
            return None;
        }
        stop = line_start - 1;
    }
    None
}
