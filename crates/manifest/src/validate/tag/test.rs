//! Whether a value passes a tag.

use regex_lite::Regex;
use serde_json::Value;
use tortie_net::{Mac, is_interface_filter, parse_address, parse_cidr, parse_net};
use tortie_selector::Selector;

use crate::validate::formats;
use crate::validate::value::as_int;

/// Whether the value passes. Tags that we do not know pass: they come from our own types, and a test knows them all.
pub(super) fn passes(tag: &str, argument: &str, value: Option<&Value>, empty: bool) -> bool {
    match (tag, value) {
        ("required", _) => !empty,
        // Calico reads an empty text as a net without an address.
        ("net" | "cidr", _) if empty => true,
        ("gt" | "gte" | "lt" | "lte", value) => bound(tag, argument, value),
        (_, Some(Value::String(text))) => text_passes(tag, argument, text),
        (_, Some(Value::Array(items))) => list_passes(tag, items),
        (_, Some(Value::Object(fields))) => map_passes(tag, fields),
        (_, None) => text_passes(tag, argument, ""),
        (_, Some(other)) => text_passes(tag, argument, &other.to_string()),
    }
}

fn bound(tag: &str, argument: &str, value: Option<&Value>) -> bool {
    let Ok(limit) = argument.parse::<i64>() else { return true };
    let Some(number) = value.map_or(Some(0), as_int) else { return true };
    match tag {
        "gt" => number > limit,
        "gte" => number >= limit,
        "lt" => number < limit,
        _ => number <= limit,
    }
}

fn text_passes(tag: &str, argument: &str, text: &str) -> bool {
    let address = |wanted: fn(&std::net::IpAddr) -> bool| parse_address(text).is_ok_and(|address| wanted(&address));
    match tag {
        "name" => formats::is_subdomain(text),
        "selector" => Selector::parse(text).is_ok(),
        "interface" => text == "*" || formats::is_word(text, 15, "_.-"),
        "bgpFilterInterface" => text == "*" || formats::is_word(text, 15, "_.*-"),
        "ignoredInterface" => text != "*" && formats::is_word(text, 15, "_.*-"),
        "ifaceFilter" => is_interface_filter(text),
        "prometheusHost" => formats::is_word(text, 64, ":._+-"),
        "containerID" => formats::is_container_id(text),
        "portName" => formats::is_port_name(text),
        "mac" => text.parse::<Mac>().is_ok(),
        "ip" => address(|_| true),
        "ipv4" => address(|address| address.is_ipv4()),
        "ipv6" => address(|address| address.is_ipv6()),
        "reachableBy" => text.is_empty() || address(|_| true),
        "net" => parse_net(text).is_ok(),
        "netv4" => parse_net(text).is_ok_and(|net| net.addr().is_ipv4()),
        "netv6" => parse_net(text).is_ok_and(|net| net.addr().is_ipv6()),
        "cidr" => parse_cidr(text).is_ok(),
        "cidrv4" => parse_cidr(text).is_ok_and(|net| net.addr().is_ipv4()),
        "cidrv6" => parse_cidr(text).is_ok_and(|net| net.addr().is_ipv6()),
        "bgpFilterPrefixLengthV4" => prefix_length(text, 32),
        "bgpFilterPrefixLengthV6" => prefix_length(text, 128),
        "IP:port" => peer_address(text).is_some(),
        "keyValueList" => text.trim().is_empty() || text.split(',').all(|item| item.is_empty() || is_assignment(item)),
        // Classes of letters are fine with Calico, but not part of our small regular expressions.
        "regexp" => Regex::new(text).is_ok() || text.contains(r"\p"),
        "wireguardPublicKey" => is_key(text),
        "ipType" => matches!(text, "CalicoNodeIP" | "InternalIP" | "ExternalIP"),
        "createDefaultHostEndpoint" => matches!(text, "Enabled" | "Disabled"),
        "dscp" => formats::is_dscp(text),
        "oneof" => argument.split(' ').any(|word| word == text),
        _ => true,
    }
}

fn list_passes(tag: &str, items: &[Value]) -> bool {
    let all = |wanted: fn(&str) -> bool| items.iter().filter_map(Value::as_str).all(wanted);
    match tag {
        "unique" => items.iter().enumerate().all(|(at, item)| !items[..at].contains(item)),
        "cidrs" => all(|text| text.is_empty() || parse_cidr(text).is_ok()),
        "interfaceSlice" => all(|text| formats::is_word(text, 15, "_.-")),
        "ifaceFilterSlice" => all(is_interface_filter),
        _ => true,
    }
}

fn map_passes(tag: &str, fields: &serde_json::Map<String, Value>) -> bool {
    match tag {
        "labels" => fields.iter().all(|(key, value)| {
            formats::label_key_errors(key).is_empty()
                && formats::label_value_errors(value.as_str().unwrap_or_default()).is_empty()
        }),
        "bpfLogFilters" => fields.keys().all(|key| formats::is_word(key, 15, "_.-")),
        _ => true,
    }
}

fn prefix_length(text: &str, longest: u8) -> bool {
    let plain = text == "0" || !text.starts_with('0');
    plain && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u8>().is_ok_and(|length| length <= longest)
}

/// The address of a BGP peer: `10.0.0.1`, `10.0.0.1:179`, `[fd00::1]:179`.
pub(in crate::validate) fn peer_address(text: &str) -> Option<std::net::IpAddr> {
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0) && !text.starts_with('+');
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once("]:")) {
        return parse_address(address).ok().filter(|_| port(rest));
    }
    match text.split_once(':') {
        Some((address, rest)) if !rest.contains(':') => {
            parse_address(address).ok().filter(|address| address.is_ipv4() && port(rest))
        }
        _ => parse_address(text).ok(),
    }
}

/// `key=value`, the key a word.
fn is_assignment(item: &str) -> bool {
    item.trim_start().split_once('=').is_some_and(|(key, value)| {
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !value.contains('\n')
    })
}

/// 32 bytes in base64.
fn is_key(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    text.len() == 44 && text.ends_with('=') && text.bytes().take(43).all(digit)
}
