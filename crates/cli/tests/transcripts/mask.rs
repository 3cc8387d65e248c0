//! What differs from run to run, under a name of the same length, so that tables stay aligned.

use std::path::Path;

/// Replaces uids, times, the commit that was built and the folder that the session ran in.
pub(crate) fn mask(text: &str, folder: &Path) -> String {
    let text = text.replace(&*folder.to_string_lossy(), "<folder>");
    let text = text.replace(concat!(" ", env!("TORTIE_COMMIT")), " <commit>");
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        masked.push_str(&words(line));
    }
    masked
}

/// Words that are a uid, a GUID or a time.
fn words(line: &str) -> String {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':' || c == '.';
    let mut masked = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match name(word) {
            Some(name) => masked.push_str(&format!("<{name:·<width$}>", width = word.len() - 2)),
            None => masked.push_str(word),
        }
        let gap = after.find(inside).unwrap_or(after.len());
        masked.push_str(&after[..gap]);
        rest = &after[gap..];
    }
    masked
}

fn name(word: &str) -> Option<&'static str> {
    let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let bytes = word.as_bytes();
    if bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, &c)| if [8, 13, 18, 23].contains(&at) { c == b'-' } else { hex(c) })
    {
        return Some("uid");
    }
    if bytes.len() == 32 && bytes.iter().all(|&c| hex(c)) {
        return Some("guid");
    }
    let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    (shape == "0000-00-00T00:00:00Z").then_some("time")
}
