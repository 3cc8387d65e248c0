//! Numbers that no double holds, such as `1e999`.

/// The text with `[null]` in the place of each of them, which is JSON and no value of any field; none if it has none.
pub(super) fn tamed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at),
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                let number = &bytes[at..at + length];
                if std::str::from_utf8(number).is_ok_and(|text| text.parse().is_ok_and(f64::is_infinite)) {
                    out.extend_from_slice(&bytes[copied..at]);
                    out.extend_from_slice(b"[null]");
                    copied = at + length;
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    (copied > 0).then(|| {
        out.extend_from_slice(&bytes[copied..]);
        out
    })
}

/// Behind the text that begins here.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::tamed;

    #[test]
    fn only_numbers_that_no_double_holds_are_replaced() {
        let tame = |text: &str| tamed(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(tame(r#"{"a":1e999,"b":[-1e400,2]}"#).unwrap(), r#"{"a":[null],"b":[[null],2]}"#);
        for text in [r#"{"a":1e30,"b":"1e999","c":"\"1e999"}"#, "", "\"", r#"{"a":"x\"#] {
            assert_eq!(tame(text), None, "{text}");
        }
    }
}
