//! Texts with a meaning: names, labels, selectors, addresses, nets.

use std::collections::BTreeMap;

use super::Random;

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A word of letters and digits that begins with a letter.
pub(super) fn word(random: &mut Random) -> String {
    let mut word = String::from(char::from(LETTERS[random.below(26)]));
    for _ in 0..random.below(6) {
        word.push(char::from(*random.pick(LETTERS)));
    }
    word
}

/// A part of a name: `web-1`.
pub(super) fn label(random: &mut Random) -> String {
    match random.below(3) {
        0 => format!("{}-{}", word(random), word(random)),
        _ => word(random),
    }
}

/// A name of at most so many parts.
pub(super) fn name(random: &mut Random, parts: usize) -> String {
    let parts: Vec<_> = (0..=random.below(parts)).map(|_| label(random)).collect();
    parts.join(".")
}

/// Any text, some of it awkward.
pub(super) fn any(random: &mut Random) -> String {
    const AWKWARD: &[&str] =
        &["true", "1e3", "0x10", "~", "a: b", "- x", "#", "<a>&\"b\"", "é\u{2028}", " x ", "12:30", "null", "'", "\\"];
    if random.chance(20) { (*random.pick(AWKWARD)).to_owned() } else { word(random) }
}

pub(super) fn labels(random: &mut Random, least: usize) -> BTreeMap<String, String> {
    (0..least + random.below(4)).map(|_| (key(random), value(random))).collect()
}

pub(super) fn annotations(random: &mut Random) -> BTreeMap<String, String> {
    (0..random.below(3)).map(|_| (key(random), any(random))).collect()
}

fn key(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!("{}.example.com/{}", label(random), word(random)),
        1 => format!("{}_{}", word(random), word(random)),
        _ => word(random),
    }
}

fn value(random: &mut Random) -> String {
    match random.below(5) {
        0 => String::new(),
        1 => format!("{}.{}", word(random), word(random).to_uppercase()),
        _ => word(random),
    }
}

/// A selector of the label language, not longer than schemas allow.
pub(super) fn selector(random: &mut Random, depth: usize) -> String {
    let quoted = |random: &mut Random| format!("'{}'", value(random));
    match random.below(if depth == 0 { 7 } else { 10 }) {
        0 => "all()".to_owned(),
        1 => format!("has({})", key(random)),
        2 => format!("{} == {}", key(random), quoted(random)),
        3 => format!("{} != \"{}\"", key(random), value(random)),
        4 => format!("{} in {{{}, {}}}", key(random), quoted(random), quoted(random)),
        5 => format!("{} not in {{{}}}", key(random), quoted(random)),
        6 => format!("{} {} {}", key(random), random.pick(&["contains", "starts with", "ends with"]), quoted(random)),
        7 => format!("!({})", selector(random, depth - 1)),
        8 => format!("{} && {}", selector(random, depth - 1), selector(random, depth - 1)),
        _ => format!("({} || {})", selector(random, depth - 1), selector(random, depth - 1)),
    }
}

/// An address of version 4 or 6.
pub(super) fn address(random: &mut Random, six: bool) -> String {
    if six {
        format!("fd00:{:x}::{:x}", random.between(1, 0xffff), random.between(1, 0xffff))
    } else {
        format!("10.{}.{}.{}", random.below(256), random.below(256), random.between(1, 254))
    }
}

/// A net with no bits set behind its prefix.
pub(super) fn net(random: &mut Random, six: bool) -> String {
    match (six, random.below(3)) {
        (true, 0) => format!("{}/128", address(random, true)),
        (true, _) => format!("fd00:{:x}::/{}", random.between(1, 0xffff), random.pick(&[32, 48, 64])),
        (false, 0) => format!("{}/32", address(random, false)),
        (false, 1) => format!("10.{}.{}.0/24", random.below(256), random.below(256)),
        (false, _) => format!("10.{}.0.0/16", random.below(256)),
    }
}

/// A hardware address.
pub(super) fn mac(random: &mut Random) -> String {
    let byte = |random: &mut Random| format!("{:02x}", random.below(256));
    let bytes: Vec<_> = (0..5).map(|_| byte(random)).collect();
    format!("ee:{}", bytes.join(":"))
}

/// A duration as Go writes it.
pub(super) fn duration(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!("{}s", random.between(0, 59)),
        1 => format!("{}m{}s", random.between(1, 59), random.below(60)),
        2 => format!("{}h{}m{}s", random.between(1, 30), random.below(60), random.below(60)),
        _ => format!("{}ms", random.between(1, 999)),
    }
}

/// A time, in whole seconds as metadata has it.
pub(super) fn time(random: &mut Random) -> String {
    format!("20{:02}-0{}-{:02}T0{}:00:00Z", random.between(10, 40), random.between(1, 9), random.between(10, 28), {
        random.below(10)
    })
}

pub(super) fn uid(random: &mut Random) -> String {
    let (high, low) = (random.number(), random.number());
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
