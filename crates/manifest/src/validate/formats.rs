//! The formats of names and labels, matched by hand: they are checked for every object.
//!
//! The texts of the label rules are Kubernetes', which Calico passes on.

use tortie_api::names::kubernetes;

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, as messages show it.
pub(super) const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
/// Labels with dots between, as messages show it.
pub(super) const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
/// The longest name of an object.
pub const MAX_NAME: usize = 253;
/// The longest name of a tier, the longest label value, the longest last part of a label's name.
pub const MAX_LABEL: usize = 63;

/// Lower-case letters, digits and inner dashes.
pub fn is_label(text: &str) -> bool {
    framed(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), |byte| byte == b'-')
}

/// Labels with dots between: the name of an object.
pub fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// The name of a NetworkPolicy: at most one dot, or one of two prefixes that other programs write.
pub(super) fn is_network_policy_name(text: &str) -> bool {
    is_global_policy_name(text)
        || [kubernetes::NETWORK_POLICY, "ossg.default."]
            .iter()
            .any(|prefix| text.strip_prefix(prefix).is_some_and(is_subdomain))
}

/// The name of a GlobalNetworkPolicy: at most one dot.
pub(super) fn is_global_policy_name(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() <= 1 && is_subdomain(text)
}

/// Letters, digits and inner dashes.
pub(super) fn is_container_id(text: &str) -> bool {
    framed(text, |byte| byte.is_ascii_alphanumeric(), |byte| byte == b'-')
}

/// Letters, digits and inner `-`, `_` and `.`.
fn is_label_text(text: &str) -> bool {
    framed(text, |byte| byte.is_ascii_alphanumeric(), |byte| matches!(byte, b'-' | b'_' | b'.'))
}

/// 1 to `longest` characters, each a letter, a digit or one of `others`.
pub(super) fn is_word(text: &str, longest: usize, others: &str) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.as_bytes().contains(&byte))
}

/// The name of a port, as Kubernetes has it.
pub fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && !text.contains("--")
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && framed(text, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(), |byte| byte == b'-')
}

/// A class of service: 0 to 63, or one of the names that have numbers.
pub(super) fn is_dscp(text: &str) -> bool {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u8>().is_ok_and(|number| number <= 63);
    }
    let upper = text.to_ascii_uppercase();
    match upper.as_bytes() {
        b"DF" | b"EF" => true,
        [b'A', b'F', class, drop] => (b'1'..=b'4').contains(class) && (b'1'..=b'3').contains(drop),
        [b'C', b'S', class] => (b'0'..=b'6').contains(class),
        _ => false,
    }
}

/// What is wrong with a label's key, in Kubernetes' words.
pub fn label_key_errors(key: &str) -> Vec<String> {
    const WRONG: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
        alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
        '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let mut errors = Vec::new();
    let name = match key.split_once('/') {
        None => key,
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!(
                "a valid label key {WRONG} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(subdomain_errors(prefix).into_iter().map(|error| format!("prefix part {error}")));
            }
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > MAX_LABEL {
        errors.push(format!("name part must be no more than {MAX_LABEL} bytes"));
    }
    if !is_label_text(name) {
        errors.push(format!("name part {WRONG}"));
    }
    errors
}

/// The first half of such an error, which says it all; the regular expression stands in the second.
pub(super) fn in_short(error: &str) -> &str {
    error.find(" (e.g. ").map_or(error, |end| &error[..end])
}

/// What is wrong with a label's value, in Kubernetes' words.
pub fn label_value_errors(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX_LABEL {
        errors.push(format!("must be no more than {MAX_LABEL} bytes"));
    }
    if !value.is_empty() && !is_label_text(value) {
        errors.push(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
             start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
             validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                .to_owned(),
        );
    }
    errors
}

fn subdomain_errors(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > MAX_NAME {
        errors.push(format!("must be no more than {MAX_NAME} bytes"));
    }
    if !is_subdomain(text) {
        errors.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
        ));
    }
    errors
}

/// At least one byte, all of either sort, the first and last of the outer one.
fn framed(text: &str, outer: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if outer(*first) && outer(*last))
        && bytes.iter().all(|byte| outer(*byte) || inner(*byte))
}
