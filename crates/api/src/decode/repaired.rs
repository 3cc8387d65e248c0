//! Repairs JSON in which the reader refuses only single values: numbers beyond a double (`1e999`), texts with invalid bytes or
//! escapes (`"\ud800"`), and values that are nested too deep.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::Damage;

/// Ten numbers that the text does not have: `[NUMBER]` takes the place of a value, and the number says why. The reader makes
/// `[null]` of it, which is not a valid value of any field.
#[derive(Clone, Copy)]
pub(super) struct Marker(u64);

/// What a number says, by what it is above the first.
const DAMAGES: [Damage; 3] = [Damage::Number, Damage::Text, Damage::Nested];

impl Marker {
    /// Short ones, since there may be many, unless the text has those that are tried. Nobody who wrote it can know which these are.
    pub(super) fn unlike(bytes: &[u8]) -> Self {
        let sizes = std::iter::repeat_n(1_000_000, 3).chain(std::iter::repeat(100_000_000_000_000_000));
        let random = |size: u64| size + RandomState::new().hash_one(size) % size;
        let is_absent = |tens: &u64| {
            let digits = tens.to_string();
            !bytes.windows(digits.len()).any(|part| part == digits.as_bytes())
        };
        Self(sizes.map(random).find(is_absent).unwrap_or_default() * 10)
    }

    /// What was replaced, if the number is one of these.
    pub(super) fn damage(self, number: u64) -> Option<Damage> {
        DAMAGES.get(usize::try_from(number.checked_sub(self.0)?).ok()?).copied()
    }

    fn nothing(self, damage: Damage) -> String {
        let above = DAMAGES.iter().position(|one| *one == damage).unwrap_or_default();
        format!("[{}]", self.0 + above as u64)
    }
}

/// How many lists and objects may be around a list or an object. The reader takes 127, and the replacement is one itself.
pub(super) const MAX_DEPTH: usize = 126;

/// The text without these values; none if it has none, or ends in the middle of one. It takes time in proportion to the bytes.
pub(super) fn repaired(bytes: &[u8], marker: Marker) -> Option<Vec<u8>> {
    let (number, text, nested) =
        (marker.nothing(Damage::Number), marker.nothing(Damage::Text), marker.nothing(Damage::Nested));
    // The name of an entry whose name is no text.
    let name = format!("\"\u{FFFD}\":{text}");
    let mut out = Vec::new();
    let (mut at, mut copied, mut depth) = (0, 0, 0_usize);
    let mut replace = |from: usize, to: usize, with: &str| {
        out.extend_from_slice(&bytes[copied..from]);
        out.extend_from_slice(with.as_bytes());
        copied = to;
        to
    };
    while let Some(&byte) = bytes.get(at) {
        at = match byte {
            b'"' => {
                let end = end_of_text(bytes, at)?;
                let behind = end + space(&bytes[end..]);
                match (is_text(&bytes[at..end]), bytes.get(behind)) {
                    (true, _) => end,
                    (false, Some(b':')) => {
                        let value = behind + 1 + space(&bytes[behind + 1..]);
                        replace(at, end_of_value(bytes, value)?, &name)
                    }
                    (false, _) => replace(at, end, &text),
                }
            }
            b'{' | b'[' if depth == MAX_DEPTH => replace(at, end_of_value(bytes, at)?, &nested),
            b'{' | b'[' => {
                depth += 1;
                at + 1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(bytes, at);
                let is_infinite = |text: &str| text.parse().is_ok_and(f64::is_infinite);
                match std::str::from_utf8(&bytes[at..end]).is_ok_and(is_infinite) {
                    true => replace(at, end, &number),
                    false => end,
                }
            }
            _ => at + 1,
        };
    }
    (copied > 0).then(|| {
        out.extend_from_slice(&bytes[copied..]);
        out
    })
}

/// Whether the reader takes this for a text.
fn is_text(bytes: &[u8]) -> bool {
    // Most have nothing that could be wrong.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    bytes.iter().all(is_plain) || serde_json::from_slice::<String>(bytes).is_ok()
}

/// How much white space is in front.
fn space(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// Behind the text that begins here.
fn end_of_text(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn end_of_number(bytes: &[u8], start: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    start + bytes[start..].iter().take_while(|byte| is_part(byte)).count()
}

/// Behind the value that begins here.
fn end_of_value(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    loop {
        let byte = *bytes.get(at)?;
        match byte {
            b'{' | b'[' => depth += 1,
            // Behind a value of its own there is nothing more of it.
            b'}' | b']' | b',' if depth == 0 => return Some(at),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at = if byte == b'"' { end_of_text(bytes, at)? } else { at + 1 };
        if depth == 0 && matches!(byte, b'"' | b'}' | b']') {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn repair(text: &str) -> Option<String> {
        let repaired = repaired(text.as_bytes(), Marker(0))?;
        let text = String::from_utf8(repaired).unwrap();
        Some(["[0]", "[1]", "[2]"].iter().fold(text, |text, one| text.replace(one, "[null]")))
    }

    #[test]
    fn only_numbers_that_no_double_holds_are_replaced() {
        assert_eq!(repair(r#"{"a":1e999,"b":[-1e400,2]}"#).unwrap(), r#"{"a":[null],"b":[[null],2]}"#);
        for text in [r#"{"a":1e30,"b":"1e999","c":"\"1e999"}"#, "", "\"", r#"{"a":"x\"#] {
            assert_eq!(repair(text), None, "{text}");
        }
    }

    #[test]
    fn only_invalid_texts_are_replaced_and_with_an_invalid_name_its_value() {
        for (text, repaired) in [
            (r#"{"a":"\ud800","b":"\ud83d\ude00 é \n"}"#, r#"{"a":[null],"b":"\ud83d\ude00 é \n"}"#),
            (r#"{"a":["x","\udc00y" ,"\x"]}"#, r#"{"a":["x",[null] ,[null]]}"#),
            ("{\"a\":\"line\nbreak\"}", r#"{"a":[null]}"#),
            (r#"{"\ud800" : {"b":["}",1]} , "c":1}"#, r#"{"�":[null] , "c":1}"#),
            (r#"{"\ud800":"\ud800"}"#, r#"{"�":[null]}"#),
            (r#"{"\ud800":1e999,"c":[]}"#, r#"{"�":[null],"c":[]}"#),
            (r#"{"\ud800":-3 }"#, r#"{"�":[null]}"#),
        ] {
            assert_eq!(repair(text).as_deref(), Some(repaired), "{text}");
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            assert!(serde_json::from_str::<Value>(repaired).is_ok(), "{repaired}");
        }
        let bytes = b"{\"a\":\"\xFF\",\"b\":1}";
        assert_eq!(repaired(bytes, Marker(0)).unwrap(), br#"{"a":[1],"b":1}"#);
    }

    #[test]
    fn values_that_are_nested_too_deep_are_replaced() {
        let nested = |depth: usize| format!("{{\"a\":{}1{},\"b\":2}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert_eq!(repair(&nested(MAX_DEPTH)), None);
        for depth in [MAX_DEPTH + 1, MAX_DEPTH + 2, 10_000] {
            let text = repair(&nested(depth)).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["b"], 2, "{depth}");
        }
        assert!(serde_json::from_str::<Value>(&nested(MAX_DEPTH + 2)).is_err(), "nothing need be replaced");
    }

    #[test]
    fn other_invalid_json_is_not_repaired() {
        for text in ["{", "[[", "\"\\ud800", "{\"\\ud800\":", "{\"\\ud800\":[", "{\"\\ud800\":3", "]]}"] {
            assert_eq!(repair(text), None, "{text}");
        }
    }

    #[test]
    fn it_takes_time_in_proportion_to_the_bytes() {
        let deep = "[".repeat(4 << 20);
        let names = "\"\\ud800\":".repeat(1 << 19);
        let blank = format!("\"\\ud800\"{}", " ".repeat(4 << 20)).repeat(2);
        for text in [deep, names, blank] {
            let begin = std::time::Instant::now();
            repair(&text);
            assert!(begin.elapsed() < std::time::Duration::from_secs(10));
        }
    }
}
