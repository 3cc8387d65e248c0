//! Lengths of time as Go writes them: `1m30s`, `500ms`, `-1.5h`.

use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// A length of time that may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed {
    negative: bool,
    nanos: u64,
}

/// Reads a length of time that is not negative. The error has the words of Go's library.
pub fn parse(text: &str) -> Result<Duration, String> {
    match signed(text)? {
        Signed { negative: true, nanos: 1.. } => Err(format!("{text:?} is less than no time")),
        Signed { nanos, .. } => Ok(Duration::from_nanos(nanos)),
    }
}

/// Reads a length of time that is longer than none.
pub fn positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err(format!("{text:?} is no time at all: it must be longer than 0s")),
        time => Ok(time),
    }
}

/// A reader of lengths of time that are not shorter than this.
pub fn at_least(shortest: Duration) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |typed| match parse(typed)? {
        time if time < shortest => Err(format!("{typed:?} is too short: it must be {} or longer", text(shortest))),
        time => Ok(time),
    }
}

/// Writes a length of time. It is one of at most 292 years.
pub fn text(duration: Duration) -> String {
    Signed { negative: false, nanos: u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX) }.to_string()
}

/// Reads a length of time.
pub fn signed(text: &str) -> Result<Signed, String> {
    let wrong = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Signed { negative: false, nanos: 0 });
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() == 0 || fraction.contains('.') {
            return Err(wrong());
        }
        let unit_end = after.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let nanos = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            other => return Err(format!("time: unknown unit {other:?} in duration {text:?}")),
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| wrong())? };
        let part = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse::<f64>().unwrap_or(0.0) };
        let nanos = whole.checked_mul(nanos).and_then(|sum| sum.checked_add((part * nanos as f64) as u64));
        total = nanos.and_then(|nanos| total.checked_add(nanos)).filter(|sum| *sum <= 1 << 63).ok_or_else(wrong)?;
        rest = next;
    }
    if total > i64::MAX as u64 && !negative {
        return Err(wrong());
    }
    Ok(Signed { negative: negative && total > 0, nanos: total })
}

/// The form in which Go prints it: ninety seconds are `1m30s`.
impl std::fmt::Display for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = self.nanos;
        let fraction = |nanos: u64, unit: u64| {
            let digits = format!("{:0width$}", nanos % unit, width = unit.ilog10() as usize);
            let digits = digits.trim_end_matches('0');
            if digits.is_empty() { (nanos / unit).to_string() } else { format!("{}.{digits}", nanos / unit) }
        };
        f.write_str(if self.negative { "-" } else { "" })?;
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write!(f, "{}µs", fraction(nanos, 1_000)),
            1_000_000..SECOND => write!(f, "{}ms", fraction(nanos, 1_000_000)),
            _ => {
                let (minutes, seconds) = (nanos / (60 * SECOND), fraction(nanos % (60 * SECOND), SECOND));
                match (minutes / 60, minutes % 60) {
                    (0, 0) => write!(f, "{seconds}s"),
                    (0, minutes) => write!(f, "{minutes}m{seconds}s"),
                    (hours, minutes) => write!(f, "{hours}h{minutes}m{seconds}s"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_go_reads_are_read_and_no_others() {
        for (text, millis) in [("1m30s", 90_000), ("1.5s", 1500), ("250ms", 250), ("0", 0), ("+1h", 3_600_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "x", "5x", "s", "1..5s", "-1s", "9999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(positive("1ns"), Ok(Duration::from_nanos(1)));
        for text in ["0", "0s", "-0h", "0.0m", "-1s"] {
            assert!(positive(text).is_err(), "{text}");
        }
        let at_least = at_least(Duration::from_millis(100));
        assert_eq!(at_least("100ms"), Ok(Duration::from_millis(100)));
        for text in ["99ms", "0", "-1s"] {
            assert!(at_least(text).is_err(), "{text}");
        }
    }
}
