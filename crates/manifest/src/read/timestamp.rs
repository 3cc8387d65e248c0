//! What YAML 1.1 takes for a date or a time. They stay text, but a writer has to quote them.

/// Whether a text is a date (`2001-1-1`), perhaps with a time (`2001-01-01T10:00:00Z`, `2001-01-01 10:00:00`).
pub(crate) fn is_timestamp(text: &str) -> bool {
    parse(text).is_some()
}

fn parse(text: &str) -> Option<()> {
    let year = text.get(..4).filter(|year| year.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (month, rest) = number(text[4..].strip_prefix('-')?)?;
    let (day, rest) = number(rest.strip_prefix('-')?)?;
    if !(1..=days(year.parse().ok()?, month)?).contains(&day) {
        return None;
    }
    if rest.is_empty() {
        return Some(());
    }
    let zoned = !rest.starts_with(' ');
    let (hour, rest) = number(rest.strip_prefix(['T', 't', ' '])?)?;
    let (minute, rest) = number(rest.strip_prefix(':')?)?;
    let (second, rest) = number(rest.strip_prefix(':')?)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = fraction(rest);
    match (zoned, rest) {
        (false, "") | (true, "Z") => Some(()),
        (true, zone) => offset(zone),
        _ => None,
    }
}

/// One or two digits.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

fn fraction(text: &str) -> &str {
    let Some(rest) = text.strip_prefix(['.', ',']) else { return text };
    let after = rest.trim_start_matches(|char: char| char.is_ascii_digit());
    if after.len() < rest.len() { after } else { text }
}

/// `+02:00`.
fn offset(zone: &str) -> Option<()> {
    let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
    let two = |text: &str| Some(text).filter(|text| text.len() == 2).and_then(number).map(|(number, _)| number);
    (two(hours)? <= 24 && two(minutes)? <= 60).then_some(())
}

fn days(year: u32, month: u32) -> Option<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => Some(if leap { 29 } else { 28 }),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_distinguished_from_similar_texts() {
        for text in [
            "2001-01-01",
            "2001-1-1",
            "2000-02-29",
            "2001-01-01T1:2:3Z",
            "2001-01-01t10:00:00.5+02:00",
            "2001-01-01 10:00:00",
            "2001-01-01 10:00:00.123456789012",
        ] {
            assert!(is_timestamp(text), "{text}");
        }
        for text in [
            "2001",
            "2001-13-01",
            "2001-02-29",
            "2001-01-00",
            "2001-01-01T10:00:00",
            "2001-01-01 10:00:00Z",
            "2001-01-01T24:00:00Z",
            "2001-01-01T10:00Z",
            "2001-01-01T10:00:00+2:00",
            "2001-01-011",
            "02001-01-01",
            "2001-01-01x",
            "2001-01-01T",
            "é001-1-1",
            "2001-1-é",
        ] {
            assert!(!is_timestamp(text), "{text}");
        }
    }
}
