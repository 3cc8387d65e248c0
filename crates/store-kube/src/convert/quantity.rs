//! Kubernetes' quantities: `1.5M`, `4Gi`, `100m`, `1e3`.

/// The whole number that a quantity stands for, rounded away from zero as Kubernetes does; what is too large is the
/// largest number. `None` if the text is no quantity.
pub fn value(text: &str) -> Option<i64> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let (base, exponent) = scale(suffix)?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    // More digits than these cannot change what is already beyond i64, or below what rounds up to 1.
    let places = i64::try_from(fraction.len()).ok()?;
    let magnitude = match base {
        10 => decimal(digits, exponent.saturating_sub(places)),
        _ => binary(digits, exponent, places),
    };
    let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
    Some(if negative { -magnitude } else { magnitude })
}

/// What a suffix multiplies by: a base and an exponent.
fn scale(suffix: &str) -> Option<(u32, i64)> {
    let decimal = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
    if let Some(at) = decimal.iter().position(|it| *it == suffix) {
        return Some((10, 3 * (i64::try_from(at).ok()? - 3)));
    }
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(at) = binary.iter().position(|it| *it == suffix) {
        return Some((2, 10 * (i64::try_from(at).ok()? + 1)));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    Some((10, exponent.parse().ok()?))
}

/// Digits times a power of ten, rounded up.
fn decimal(digits: &str, exponent: i64) -> u128 {
    if exponent >= 0 {
        let number: Option<u128> = digits.parse().ok();
        let power = u32::try_from(exponent).ok().and_then(|exponent| 10u128.checked_pow(exponent));
        return number.zip(power).and_then(|(number, power)| number.checked_mul(power)).unwrap_or(u128::MAX);
    }
    let dropped = usize::try_from(-exponent).unwrap_or(usize::MAX);
    let kept = digits.len().saturating_sub(dropped);
    let whole: u128 = match &digits[..kept] {
        "" => 0,
        kept => kept.parse().unwrap_or(u128::MAX),
    };
    whole.saturating_add(u128::from(digits[kept..].bytes().any(|digit| digit != b'0')))
}

/// Digits with this many places behind the point, times a power of two, rounded up.
fn binary(digits: &str, exponent: i64, places: i64) -> u128 {
    let number: Option<u128> = digits.parse().ok();
    let power = u32::try_from(exponent).ok().and_then(|exponent| 2u128.checked_pow(exponent));
    let divisor = u32::try_from(places).ok().and_then(|places| 10u128.checked_pow(places));
    match number.zip(power).and_then(|(number, power)| number.checked_mul(power)).zip(divisor) {
        Some((product, divisor)) => product.div_ceil(divisor),
        None => u128::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn quantities_are_whole_numbers_rounded_up_and_never_wrap() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("+7", Some(7)),
            ("-7", Some(-7)),
            ("10k", Some(10_000)),
            ("1.5M", Some(1_500_000)),
            ("1.01k", Some(1010)),
            ("4Gi", Some(1 << 32)),
            ("1.5Ki", Some(1536)),
            ("0.0001Ki", Some(1)),
            ("100m", Some(1)),
            ("1500m", Some(2)),
            ("2000m", Some(2)),
            ("1n", Some(1)),
            ("1e3", Some(1000)),
            ("1E3", Some(1000)),
            ("1E", Some(1_000_000_000_000_000_000)),
            ("12e-1", Some(2)),
            (".5", Some(1)),
            ("5.", Some(5)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", Some(i64::MAX)),
            ("100E", Some(i64::MAX)),
            ("100Ei", Some(i64::MAX)),
            ("-100E", Some(-i64::MAX)),
            ("1e99999", Some(i64::MAX)),
            ("1e-99999", Some(1)),
            ("99999999999999999999999999999999999999999999", Some(i64::MAX)),
            ("0.00000000000000000000000000000000000000000001", Some(1)),
            ("", None),
            (".", None),
            ("-", None),
            ("1.2.3", None),
            ("ten", None),
            ("10kb", None),
            ("10 k", None),
            ("1e", None),
            ("1ki", None),
            ("--1", None),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }
}
