//! Differences in the kernel's terms, and keys and verdicts as text.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use tortie_nft::expr::Immediate;
use tortie_nft::{BaseChain, ChainKind, Data, DataType, Element, Expr, Fields, Hook, Key, Policy, Set, Verdict};

use super::DifferenceKind;
use crate::table_content::Line;

/// The key of an element as text: `192.0.2.0/24`, `eth0`, `10.0.0.1 tcp 443`.
pub fn element_text(set: &Set, element: &Element) -> String {
    match &element.key {
        Key::One(value) => value_text(&set.key, value),
        Key::Range(first, last) => range_text(&set.key, first, last),
        Key::CatchAll => "*".to_owned(),
    }
}

/// The interface that the key of an element begins with.
pub fn interface_of(set: &Set, element: &Element) -> Option<String> {
    let (Key::One(value) | Key::Range(value, _)) = &element.key else { return None };
    let first = set.key.iter().next().filter(|first| *first == DataType::IfName)?;
    Some(field_text(first, value.get(..first.byte_len())?))
}

fn value_text(key: &Fields, value: &[u8]) -> String {
    fields(key, value).into_iter().map(|(kind, bytes)| field_text(kind, bytes)).collect::<Vec<_>>().join(" ")
}

/// Field by field: one value, a net, or both ends.
fn range_text(key: &Fields, first: &[u8], last: &[u8]) -> String {
    let pairs = fields(key, first).into_iter().zip(fields(key, last));
    let text = |kind, first, last| match net(kind, first, last) {
        _ if first == last => field_text(kind, first),
        Some(net) => net.to_string(),
        None => format!("{}-{}", field_text(kind, first), field_text(kind, last)),
    };
    pairs.map(|((kind, first), (_, last))| text(kind, first, last)).collect::<Vec<_>>().join(" ")
}

fn fields<'a>(key: &Fields, value: &'a [u8]) -> Vec<(DataType, &'a [u8])> {
    let mut rest = value;
    let mut found = Vec::new();
    for kind in key.iter() {
        let padded = kind.byte_len().next_multiple_of(if key.is_concatenation() { 4 } else { 1 });
        found.push((kind, rest.get(..kind.byte_len()).unwrap_or(rest)));
        rest = rest.get(padded..).unwrap_or_default();
    }
    found
}

fn net(kind: DataType, first: &[u8], last: &[u8]) -> Option<IpNet> {
    if !matches!(kind, DataType::Ipv4 | DataType::Ipv6) {
        return None;
    }
    let mut same = first.iter().zip(last).map(|(a, b)| (a ^ b).leading_zeros());
    let whole = same.clone().take_while(|bits| *bits == 8).count();
    let bits = (whole * 8) as u32 + same.nth(whole).unwrap_or_default();
    let bits = u8::try_from(bits).ok()?;
    let is_net = Key::prefix(first, usize::from(bits)) == Key::Range(first.to_vec(), last.to_vec());
    IpNet::new(field_text(kind, first).parse().ok()?, bits).ok().filter(|_| is_net)
}

fn field_text(kind: DataType, bytes: &[u8]) -> String {
    match (kind, bytes) {
        (DataType::IfName, name) => {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            let name = String::from_utf8_lossy(&name[..end]);
            if name.is_empty() { "(no name)".to_owned() } else { name.into_owned() }
        }
        (DataType::Port, &[high, low]) => u16::from_be_bytes([high, low]).to_string(),
        (DataType::Protocol, &[number]) => {
            let protocol = tortie_net::Protocol::from_number(number).ok().and_then(|protocol| protocol.name());
            protocol.map_or_else(|| format!("protocol {number}"), str::to_ascii_lowercase)
        }
        (_, &[one]) => one.to_string(),
        (DataType::Ipv4, address) => {
            <[u8; 4]>::try_from(address).map_or_else(|_| hex(address), |octets| Ipv4Addr::from(octets).to_string())
        }
        (DataType::Ipv6, address) => {
            <[u8; 16]>::try_from(address).map_or_else(|_| hex(address), |octets| Ipv6Addr::from(octets).to_string())
        }
        (_, other) => hex(other),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// What a rule ends in: `accept`, `drop`, `reject`, `jump NAME`; `continue` without a verdict.
pub fn last_word(line: &Line) -> String {
    let word = line.exprs.iter().rev().find_map(|expr| match expr {
        Expr::Immediate(Immediate::Verdict(verdict)) => Some(verdict_text(verdict)),
        Expr::Reject(_) => Some("reject".to_owned()),
        Expr::Lookup(lookup) if lookup.dest.is_some() => Some(format!("look in map {}", lookup.set)),
        _ => None,
    });
    word.unwrap_or_else(|| "continue".to_owned())
}

/// What an element of a map does: `goto NAME`, `drop`; none of an element of a set.
pub fn element_verdict(element: &Element) -> Option<String> {
    element.data.as_ref().map(|data| match data {
        Data::Verdict(verdict) => verdict_text(verdict),
        Data::Value(value) => hex(value),
    })
}

/// A comment that says something.
pub fn comment_text(comment: Option<&String>) -> Option<&str> {
    comment.map(String::as_str).filter(|comment| !comment.is_empty())
}

fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Drop => "drop".to_owned(),
        Verdict::Accept => "accept".to_owned(),
        Verdict::Continue | Verdict::Break => "continue".to_owned(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
        Verdict::Return => "return".to_owned(),
    }
}

/// What is set for a base chain, by name.
fn base_fields(base: &BaseChain) -> [(&'static str, String); 4] {
    let hook = match base.hook {
        Hook::Prerouting => "prerouting",
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
    };
    let kind = match base.kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
        ChainKind::Route => "route",
    };
    let policy = match base.policy {
        Policy::Drop => "drop",
        Policy::Accept => "accept",
    };
    let word = str::to_owned;
    [("hook", word(hook)), ("priority", base.priority.to_string()), ("type", word(kind)), ("policy", word(policy))]
}

/// `hook input, priority 1, type filter, policy accept`.
fn base_text(base: &BaseChain) -> String {
    base_fields(base).map(|(name, value)| format!("{name} {value}")).join(", ")
}

fn base_difference(chain: &str, wanted: Option<&BaseChain>, found: Option<&BaseChain>) -> String {
    let (Some(wanted), Some(found)) = (wanted, found) else {
        return match found {
            Some(found) => format!("chain `{chain}` is a base chain ({}) and should be none", base_text(found)),
            None => format!("chain `{chain}` is not a base chain and should be one"),
        };
    };
    let pairs = base_fields(wanted).into_iter().zip(base_fields(found));
    let other = pairs.filter(|(wanted, found)| wanted != found);
    let other = other.map(|((name, wanted), (_, found))| format!("{name} {found} instead of {wanted}"));
    let [(_, hook), ..] = base_fields(found);
    format!("base chain `{chain}` (hook {hook}) has {}", other.collect::<Vec<_>>().join(", "))
}

fn rule_text(line: &Line) -> String {
    let last = last_word(line);
    comment_text(line.comment.as_ref())
        .map_or_else(|| format!("rule without a comment ({last})"), |text| format!("rule \"{text}\" ({last})"))
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = |element: &Element| element_verdict(element).map_or_else(String::new, |text| format!(" : {text}"));
        match self {
            DifferenceKind::Dormant => f.write_str("the table is dormant: nothing is enforced"),
            DifferenceKind::ChainMissing { chain, base: None } => write!(f, "chain `{chain}` is missing"),
            DifferenceKind::ChainMissing { chain, base: Some(base) } => {
                write!(f, "base chain `{chain}` ({}) is missing", base_text(base))
            }
            DifferenceKind::BaseChainExtra { chain, base } => {
                write!(f, "base chain `{chain}` ({}) is not asked for", base_text(base))
            }
            DifferenceKind::ChainUnused { chain } => write!(f, "chain `{chain}` is unused"),
            DifferenceKind::BaseOther { chain, wanted, found } => {
                f.write_str(&base_difference(chain, wanted.as_ref(), found.as_ref()))
            }
            DifferenceKind::SetMissing { set } => write!(f, "set `{}` is missing", set.name),
            DifferenceKind::SetUnused { set } => write!(f, "set `{}` is unused", set.name),
            DifferenceKind::SetOther { wanted, found } => {
                write!(f, "set `{}` is {found:?} instead of {wanted:?}", found.name)
            }
            DifferenceKind::ElementMissing { set, element } => {
                write!(f, "set `{}`: {}{} is missing", set.name, element_text(set, element), data(element))
            }
            DifferenceKind::ElementExtra { set, element } => {
                write!(f, "set `{}`: {}{} is not asked for", set.name, element_text(set, element), data(element))
            }
            DifferenceKind::ElementOther { set, wanted, found } => {
                let all = |element: &Element| {
                    let comment = element.comment.as_ref().map(|text| format!(" comment \"{text}\""));
                    element_text(set, element) + &comment.unwrap_or_default() + &data(element)
                };
                write!(f, "set `{}`: {} instead of {}", set.name, all(found), all(wanted))
            }
            DifferenceKind::RuleMissing { chain, line } => write!(f, "chain `{chain}`: {} is missing", rule_text(line)),
            DifferenceKind::RuleExtra { chain, line } => {
                write!(f, "chain `{chain}`: {} is not asked for", rule_text(line))
            }
            DifferenceKind::RuleOther { chain, wanted, found } => {
                let (wanted_word, found_word) = (last_word(wanted), last_word(found));
                if wanted_word == found_word {
                    return write!(f, "chain `{chain}`: {} has other conditions", rule_text(wanted));
                }
                write!(f, "chain `{chain}`: {} ends in {found_word}", rule_text(wanted))
            }
            DifferenceKind::RuleOrder { chain, first, then } => {
                write!(f, "chain `{chain}`: {} stands before {}", rule_text(first), rule_text(then))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_printed_as_users_write_them() {
        let concatenation = |types: &[DataType]| Fields::new(types.iter().copied()).unwrap();
        let ports = concatenation(&[DataType::Ipv4, DataType::Protocol, DataType::Port]);
        let named = concatenation(&[DataType::IfName, DataType::Ipv4]);
        let (eth0, ipv4, ipv6) =
            (Fields::one(DataType::IfName), Fields::one(DataType::Ipv4), Fields::one(DataType::Ipv6));
        let name = |name: &str| tortie_nft::interface_name(name).unwrap().to_vec();
        let range = |first: &[u8], last: &[u8]| Key::Range(first.to_vec(), last.to_vec());
        let spoofed = |address: [u8; 4]| [name("cali1"), address.to_vec()].concat();
        let rows = [
            (eth0.clone(), Key::One(name("eth0")), "eth0"),
            (eth0, Key::CatchAll, "*"),
            (ipv4.clone(), Key::One(vec![192, 0, 2, 7]), "192.0.2.7"),
            (ipv4.clone(), range(&[10, 0, 0, 0], &[10, 255, 255, 255]), "10.0.0.0/8"),
            (ipv4.clone(), range(&[0, 0, 0, 0], &[255, 255, 255, 255]), "0.0.0.0/0"),
            (ipv4, range(&[10, 0, 0, 1], &[10, 0, 0, 4]), "10.0.0.1-10.0.0.4"),
            (ipv6, Key::prefix(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 65), "fd00::/65"),
            (ports, Key::One(vec![10, 0, 0, 1, 6, 0, 0, 0, 1, 187, 0, 0]), "10.0.0.1 tcp 443"),
            (named, range(&spoofed([10, 0, 0, 0]), &spoofed([10, 0, 0, 127])), "cali1 10.0.0.0/25"),
        ];
        for (fields, key, text) in rows {
            assert_eq!(element_text(&Set::new("s", fields), &Element::new(key)), text);
        }
    }
}
