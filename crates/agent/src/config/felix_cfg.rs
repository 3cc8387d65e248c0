//! `felix.cfg` as Calico's agent reads it, which is how the Go package `gopkg.in/ini.v1` reads a file by default:
//!
//! | In the file | What it means |
//! |---|---|
//! | `# text`, `; text` | a comment, also behind a value: `FelixHostname = h1 # here` is `h1` |
//! | `[name]` | a section; if a name is in several sections, the value of the last section counts |
//! | `Name = value`, `Name: value` | a setting; the later one of a section counts |
//! | `'value'`, `"value"` | the value between the quotes |
//! | `` `value` ``, `"""value"""` | the same; may hold `#`, `;` and go over several lines |
//! | `value \` | the value goes on in the next line |
//!
//! Any other line makes the whole file invalid, as in Calico's agent.

/// A file that cannot be read as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct FelixCfgError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub reason: String,
}

/// The names and values of the file, section by section; if a name occurs twice, the last one counts.
pub fn felix_cfg(text: &str) -> Result<Vec<(String, String)>, FelixCfgError> {
    let mut lines = Lines { rest: text.strip_prefix('\u{feff}').unwrap_or(text), number: 0 };
    let mut sections: Vec<(String, Vec<(String, String)>)> = vec![("DEFAULT".to_owned(), Vec::new())];
    let mut current = 0;
    while let Some(line) = lines.next() {
        let begin = lines.number;
        let wrong = |reason: &str| FelixCfgError { line: begin, reason: reason.to_owned() };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let end = rest.rfind(']').ok_or_else(|| wrong("the section is not closed: write [global]"))?;
            let name = &rest[..end];
            current = sections.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                sections.push((name.to_owned(), Vec::new()));
                sections.len() - 1
            });
            continue;
        }
        let (name, rest) = split_name(line).ok_or_else(|| wrong("this is not a setting: write Name = value"))?;
        let value = value(rest, &mut lines).map_err(|reason| wrong(&reason))?;
        sections[current].1.push((name.to_owned(), value));
    }
    Ok(sections.into_iter().flat_map(|(_, settings)| settings).collect())
}

/// The lines of the file, each with its line break.
struct Lines<'a> {
    rest: &'a str,
    /// The number of the last line that was returned, from 1.
    number: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.number += 1;
        Some(line)
    }
}

/// The name of a setting, and the text after the `=` or `:`.
fn split_name(line: &str) -> Option<(&str, &str)> {
    for quote in ["\"\"\"", "\"", "`"] {
        if let Some(quoted) = line.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote)?;
            return rest.split_once(['=', ':']).map(|(_, value)| (name.trim(), value));
        }
    }
    line.split_once(['=', ':']).filter(|(name, _)| !name.is_empty()).map(|(name, value)| (name.trim(), value))
}

/// The value that begins after the `=`. It may continue in the lines that follow.
fn value(text: &str, lines: &mut Lines<'_>) -> Result<String, String> {
    let text = text.trim_start();
    for quote in ["\"\"\"", "`"] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return verbatim(quoted, quote, lines);
        }
    }
    let text = text.trim_end();
    if let Some(begin) = text.strip_suffix('\\') {
        return Ok(continued(begin, lines));
    }
    let text = text.find(['#', ';']).map_or(text, |at| text[..at].trim_end());
    for quote in ['\'', '"'] {
        let inner = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            return Ok(inner.to_owned());
        }
    }
    Ok(text.to_owned())
}

/// The text up to the closing quote, also over several lines.
fn verbatim(first: &str, quote: &str, lines: &mut Lines<'_>) -> Result<String, String> {
    let mut value = String::new();
    let mut part = first;
    loop {
        if let Some(end) = part.rfind(quote) {
            value.push_str(&part[..end]);
            return Ok(value);
        }
        value.push_str(part);
        part = lines.next().ok_or_else(|| format!("the value is not closed: {quote} is missing at its end"))?;
    }
}

/// A line that ended in a backslash, joined with the lines that follow as long as they end in one too.
fn continued(first: &str, lines: &mut Lines<'_>) -> String {
    let mut value = first.to_owned();
    while let Some(next) = lines.next().map(str::trim).filter(|next| !next.is_empty()) {
        match next.strip_suffix('\\') {
            Some(part) => value.push_str(part),
            None => {
                value.push_str(next);
                break;
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_calico_reads_it() {
        let one = |value: &str| vec![("A".to_owned(), value.to_owned())];
        for (text, value) in [
            ("A = h1 # here\n", "h1"),
            ("A = h1 ; here\n", "h1"),
            ("A=h1#here", "h1"),
            ("A: h1\r\n", "h1"),
            ("\u{feff}A = 1\n", "1"),
            ("  A\t=\t1  \n", "1"),
            ("A = a=b:c\n", "a=b:c"),
            ("A =\n", ""),
            ("A = # nothing\n", ""),
            ("A = 'h 1'\n", "h 1"),
            ("A = \"h 1\" # here\n", "h 1"),
            // The comment begins before the quotes are looked at.
            ("A = \"h # 1\"\n", "\"h"),
            ("A = `h # 1`\n", "h # 1"),
            ("A = \"\"\"h ; 1\"\"\"\n", "h ; 1"),
            ("A = \"a\"b\"\n", "\"a\"b\""),
            ("A = tcp:22, \\\n    tcp:2222\n", "tcp:22, tcp:2222"),
            ("A = a\\\n  b\\\n  c\n", "abc"),
            ("A = a\\\n\nB = 1\n", "a"),
            ("A = `a\nb`\n", "a\nb"),
            ("\"A\" = 1\n", "1"),
            ("`A` : 1\n", "1"),
        ] {
            let read = felix_cfg(text).unwrap();
            assert_eq!(read[..1], one(value), "{text:?}");
        }
    }

    #[test]
    fn settings_are_sorted_by_section_and_a_section_may_continue_later() {
        let text = "A = 0\n[one] # first\nA = 1\n[two]\nA = 2\n[one]\nA = 3\n; end\n";
        let values: Vec<String> = felix_cfg(text).unwrap().into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["0", "1", "3", "2"]);
    }

    #[test]
    fn a_line_that_is_not_a_setting_is_refused_with_its_number() {
        for (text, line, says) in [
            ("A = 1\nLogSeverity\n", 2, "write Name = value"),
            ("= 1\n", 1, "write Name = value"),
            ("[global\n", 1, "not closed"),
            ("\nA = `b\nc\n", 2, "not closed"),
            ("\"A = 1\n", 1, "write Name = value"),
        ] {
            let error = felix_cfg(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}");
            assert!(error.reason.contains(says), "{text:?}: {error}");
        }
    }
}
