//! The names of chains and sets in the kernel.
//!
//! A name says what the object is for, so that `nft list ruleset` can be read, and follows from the desired state alone, so
//! that it is the same after a restart. The characters are those that `nft` takes in names; the rest become dots, and
//! what is then too long or could be mistaken for another ends in a hash.

use sha2::{Digest, Sha256};
use tortie_dataplane::{Owner, ProgramId, RulesId, SetId};
use tortie_policy::{Direction, Family};

use crate::sets::Shape;

/// The kernel takes 255 bytes; room for what is put around a name.
const NAME_MAX: usize = 200;

/// A list of rules' chain.
pub(crate) fn list(id: &RulesId) -> String {
    let way = match id.direction {
        Direction::Ingress => "in",
        Direction::Egress => "out",
    };
    match &id.owner {
        Owner::Policy(policy) if policy.namespace.is_empty() => {
            format!("policy-{way}/{}/{}", policy.short_kind(), clean(&policy.name))
        }
        Owner::Policy(policy) => {
            format!("policy-{way}/{}/{}", policy.short_kind(), clean(&format!("{}/{}", policy.namespace, policy.name)))
        }
        Owner::Profile(name) => format!("profile-{way}/{}", clean(name)),
    }
}

/// The part of a program's chains that names it.
pub(crate) fn program(id: ProgramId) -> String {
    id.0[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A set's kernel set for one family.
pub(crate) fn set(id: &SetId, shape: Shape, family: Family) -> String {
    let family = match family {
        Family::V4 => 4,
        Family::V6 => 6,
    };
    let kind = match shape {
        Shape::Hosts => "hosts",
        Shape::Nets => "nets",
        Shape::Ports => "ports",
    };
    format!("{kind}{family}-{}", clean(id.as_str()))
}

/// Only characters that `nft` takes in a name, and not too many.
pub(crate) fn clean(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    // `s:` and the like begin the names of sets; there the dot cannot be mistaken for anything.
    let (head, rest) = name.split_once(':').filter(|(head, _)| head.len() <= 9).unwrap_or(("", name));
    let dot = if head.is_empty() { "" } else { "." };
    if name.len() <= NAME_MAX && rest.chars().all(plain) && head.chars().all(|c| c.is_ascii_alphabetic()) {
        return format!("{head}{dot}{rest}");
    }
    let readable: String = name.chars().map(|c| if plain(c) { c } else { '.' }).take(NAME_MAX / 2).collect();
    let hash = Sha256::digest(name.as_bytes());
    hash[..8].iter().fold(readable + "-", |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_kept() {
        assert_eq!(clean("default.web"), "default.web");
        assert_eq!(clean("s:Ab_-9"), "s.Ab_-9");
        assert_eq!(clean("svc:shop/db"), "svc.shop/db");
    }

    #[test]
    fn a_long_or_odd_name_ends_in_a_hash() {
        let long = "x".repeat(253);
        assert!(clean(&long).len() < NAME_MAX);
        assert_ne!(clean(&long), clean(&"x".repeat(252)));
        assert_ne!(clean("a b"), clean("a+b"));
        assert!(clean("a b").starts_with("a.b-"));
    }
}
