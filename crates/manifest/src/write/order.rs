//! The order of keys: letters as they are, runs of digits as numbers, other signs before letters. It is Go's for all
//! keys of ASCII; beyond that the two have other ideas of what a letter is.

use std::cmp::Ordering;

/// Up to this many keys are sorted by insertion, as Go does; it matters where the order contradicts itself.
const MAX_INSERTION_SORTED: usize = 12;

/// Sorts keys. The order is not always transitive (that is how it came to be), so no sort that insists on it will do.
pub(super) fn sort(keys: &mut Vec<&String>) {
    if keys.len() <= MAX_INSERTION_SORTED {
        for end in 1..keys.len() {
            let mut at = end;
            while at > 0 && compare(keys[at], keys[at - 1]) == Ordering::Less {
                keys.swap(at, at - 1);
                at -= 1;
            }
        }
        return;
    }
    let mut right = keys.split_off(keys.len() / 2);
    sort(keys);
    sort(&mut right);
    let left = std::mem::replace(keys, Vec::with_capacity(keys.len() + right.len()));
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if compare(b, a) == Ordering::Less { right.next() } else { left.next() };
        keys.extend(next);
    }
    keys.extend(left.chain(right));
}

fn compare(a: &str, b: &str) -> Ordering {
    if a.bytes().chain(b.bytes()).all(|byte| byte.is_ascii_alphabetic()) {
        return a.cmp(b);
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else { return a.len().cmp(&b.len()) };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero inside a number counts as a digit of it; at its front it does not.
    let inside = (x == '0' || y == '0')
        && a[..at].iter().rev().take_while(|char| char.is_ascii_digit()).any(|char| *char != '0');
    let number = |chars: &[char]| {
        let digits = chars[at..].iter().map_while(|char| char.to_digit(10));
        digits.fold((0, i64::from(inside)), |(count, sum), digit| {
            (count + 1, sum.wrapping_mul(10).wrapping_add(i64::from(digit)))
        })
    };
    let ((x_digits, x_value), (y_digits, y_value)) = (number(&a), number(&b));
    x_value.cmp(&y_value).then(x_digits.cmp(&y_digits)).then(x.cmp(&y))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_numbers_and_signs_come_first() {
        let mut keys: Vec<String> =
            ["b", "a10", "a9", "a.b", "ab", "a-b", "A", "a", "_", "a09", "1", "10", "2", ""].map(String::from).into();
        keys.extend((0..20).map(|n| format!("k{n}")));
        let mut sorted: Vec<&String> = keys.iter().rev().collect();
        sort(&mut sorted);
        let first: Vec<&str> = sorted[..14].iter().map(|key| key.as_str()).collect();
        assert_eq!(first, ["", "_", "1", "2", "10", "A", "a", "a-b", "a.b", "a9", "a09", "a10", "ab", "b"]);
        assert_eq!(sorted[14..17], ["k0", "k1", "k2"]);
        assert_eq!(sorted[33], "k19");
    }
}
