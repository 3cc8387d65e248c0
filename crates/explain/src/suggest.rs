//! Suggestions for a word that is not an end of a packet.

use std::net::IpAddr;

use tortie_api::Kind;
use tortie_policy::Snapshot;

use crate::question::{AskError, ENDS, EndSpec};
use crate::services;
use crate::topology::{Topology, similar};

/// Reads an end; the error says what the word may have been meant for, also by what is in the store.
pub fn end(topology: &Topology<'_>, text: &str) -> Result<EndSpec, AskError> {
    let meant = |hint: String| AskError(format!("{text:?} is not an end of a packet: {hint}"));
    match text.parse() {
        // No name of an object has a colon.
        Ok(
            EndSpec::Node(_)
            | EndSpec::HostEndpoint(_)
            | EndSpec::Pod(..)
            | EndSpec::Workload(..)
            | EndSpec::Either(..),
        ) if let Some(hint) = with_port(text) => Err(meant(hint)),
        // `hosts/web1` and `192.0.2.0/33` look like a namespace and a name.
        Ok(party @ EndSpec::Either(..)) if topology.find(&party, None).is_err() => {
            by_form(text).map_or(Ok(party), |hint| Err(meant(hint)))
        }
        Err(AskError(error)) if error.ends_with(ENDS) => Err(hint(topology, text).map_or(AskError(error), meant)),
        other => other,
    }
}

fn hint(topology: &Topology<'_>, text: &str) -> Option<String> {
    let service = text.split_once('/').filter(|(word, _)| ["service", "services", "svc"].contains(word));
    let service = service.and_then(|(_, name)| name.split_once('/'));
    let service = service.and_then(|(namespace, name)| services::hint(topology, namespace, name));
    service.or_else(|| by_form(text)).or_else(|| by_name(topology, text)).or_else(|| {
        text.contains('.').then(|| {
            "names of hosts are not looked up: write its address, or node/NAME for a machine that the store knows"
                .to_owned()
        })
    })
}

/// What to write for an end with a port.
fn with_port(text: &str) -> Option<String> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let (end, port) = text.rsplit_once(':').filter(|(_, port)| is_port(port))?;
    let bare = end.trim_matches(['[', ']']);
    (bare.parse::<IpAddr>().is_ok() || !end.contains(':'))
        .then(|| format!("an end has no port: write {bare}, and tcp/{port} or udp/{port} as the third word"))
}

/// By how it is written.
fn by_form(text: &str) -> Option<String> {
    if ["any", "all", "*", "all()", "everything"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Some("every address is written any".to_owned());
    }
    if text.contains('=') {
        return Some(format!("labels of a workload are written labels:{text}"));
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    if length.is_none_or(digits) && is_like_v4(address) {
        return Some(match address.parse::<IpAddr>() {
            Ok(address) => {
                format!("{} is not a prefix length of {address}: it goes from 0 to 32", length.unwrap_or_default())
            }
            Err(_) => format!("{address} is not an IPv4 address, which is four numbers from 0 to 255"),
        });
    }
    if let Some(hint) = with_port(text) {
        return Some(hint);
    }
    if text.matches(':').count() > 1 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":./z".contains(&byte)) {
        return Some("it is not an IPv6 address or net".to_owned());
    }
    let (word, rest) = text.split_once('/')?;
    if rest.trim_matches('/').is_empty() {
        return Some(format!("a name is missing after {word}/"));
    }
    match Kind::from_alias(word).or_else(|| word.strip_suffix('s').and_then(Kind::from_alias)) {
        Some(Kind::HostEndpoint) => Some(format!("did you mean hep/{rest}?")),
        Some(Kind::WorkloadEndpoint) => Some(format!("did you mean wep/{rest}?")),
        Some(Kind::Node) => Some(format!("did you mean node/{rest}?")),
        Some(Kind::GlobalNetworkSet | Kind::NetworkSet) => Some(format!("did you mean set/{rest}?")),
        Some(kind) => {
            Some(format!("no packet comes from an object of kind {} or goes to one; ends are {ENDS}", kind.name()))
        }
        None if word == "pods" => Some(format!("did you mean pod/{rest}?")),
        None => None,
    }
}

/// Digits and dots.
fn is_like_v4(text: &str) -> bool {
    text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// By what has this name, or nearly this name.
fn by_name(topology: &Topology<'_>, text: &str) -> Option<String> {
    let known = named(topology);
    let same: Vec<String> = known.iter().filter(|(name, _)| *name == text).map(|(_, end)| end.clone()).collect();
    let meant = match same.as_slice() {
        [] => {
            let near = similar(text, known.iter().map(|(name, _)| name.as_str()))?;
            known.iter().filter(|(name, _)| name == near).map(|(_, end)| end.clone()).collect()
        }
        _ => same,
    };
    Some(format!("did you mean {}?", meant.join(" or ")))
}

/// Everything that may be an end, by its bare name and as it is written.
fn named(topology: &Topology<'_>) -> Vec<(String, String)> {
    let snapshot: &Snapshot = topology.snapshot();
    let hosts = snapshot.host_endpoints.keys().map(|name| (name.clone(), format!("hep/{name}")));
    let nodes = topology.node_names().into_iter().map(|name| (name.to_owned(), format!("node/{name}")));
    let pods = snapshot.workload_endpoints.values().filter(|endpoint| !endpoint.pod.is_empty());
    let pods = pods.map(|endpoint| (endpoint.pod.clone(), format!("pod/{}/{}", endpoint.id.namespace, endpoint.pod)));
    let workloads = snapshot.workload_endpoints.keys();
    let workloads = workloads.map(|id| (id.name.clone(), format!("wep/{}/{}", id.namespace, id.name)));
    let sets = snapshot.network_sets.keys().map(|id| {
        let within = if id.namespace.is_empty() { String::new() } else { format!("{}/", id.namespace) };
        (id.name.clone(), format!("set/{within}{}", id.name))
    });
    hosts.chain(nodes).chain(pods).chain(workloads).chain(sets).collect()
}
