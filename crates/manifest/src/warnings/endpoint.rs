//! Endpoints: what they leave out, repeat, or name without effect.

use serde_json::{Map, Value};
use tortie_api::{Key, Kind, Object, Path};

use super::spec_lists::{empty_texts, items};
use crate::problem::Problem;

/// The profile that is always there.
const BUILT_IN_PROFILE: &str = "projectcalico-default-allow";

/// A host endpoint.
pub(super) fn host(object: &Object, spec: &Map<String, Value>, out: &mut Vec<Problem>) {
    if items(spec, "expectedIPs").is_empty() && spec.contains_key("interfaceName") {
        let message = format!(
            "`{}` has no `expectedIPs`: rules elsewhere that match by label will not match its addresses",
            object.metadata.name
        );
        out.push(
            Problem::warning("no-expected-ips", Path::from("spec"), message)
                .help("list the interface's addresses in `expectedIPs` if other rules should match them by label"),
        );
    }
    if let Some(word) = spec.get("interfaceName").and_then(Value::as_str).filter(|name| is_word_for_all(name)) {
        let message = format!("`{word}` is the name of an interface here, and not every interface");
        let problem = Problem::warning("taken-as-name", Path::from("spec.interfaceName"), message);
        out.push(problem.help("write \"*\" for every interface"));
    }
    duplicate_ports(spec, out);
}

/// Whether people write this for everything.
pub(super) fn is_word_for_all(text: &str) -> bool {
    text.eq_ignore_ascii_case("all") || text.eq_ignore_ascii_case("any")
}

/// A workload endpoint.
pub(super) fn workload(spec: &Map<String, Value>, out: &mut Vec<Problem>) {
    empty_texts(spec, "ipNetworks", out);
    empty_texts(spec, "allowSpoofedSourcePrefixes", out);
    duplicate_ports(spec, out);
}

/// Profiles that do not exist.
pub(super) fn profiles(spec: &Map<String, Value>, exists: &dyn Fn(&Key) -> bool, out: &mut Vec<Problem>) {
    for (index, profile) in items(spec, "profiles").iter().enumerate() {
        let Some(name) = profile.as_str().filter(|name| *name != BUILT_IN_PROFILE) else { continue };
        if !exists(&Key::cluster(Kind::Profile, name)) {
            let path = Path::from("spec.profiles").index(index);
            let message =
                format!("there is no profile `{name}`: until there is, everything that no policy allows is denied");
            let problem = Problem::warning("unknown-profile", path, message);
            out.push(problem.help(format!("make the profile, or name `{BUILT_IN_PROFILE}`, which allows everything")));
        }
    }
}

/// One name for two protocols is usual (dns); one name for the same protocol twice is not.
fn duplicate_ports(spec: &Map<String, Value>, out: &mut Vec<Problem>) {
    let ports = items(spec, "ports");
    for (index, port) in ports.iter().enumerate() {
        let Some(name) = port.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else { continue };
        let same = |other: &Value| other.get("name") == port.get("name") && protocol(other) == protocol(port);
        if let Some(first) = ports[..index].iter().position(same) {
            let message =
                format!("the port `{name}` is given twice here for {}: rules that name it mean both", protocol(port));
            let path = Path::from("spec.ports").index(index).key("name");
            let problem = Problem::warning("duplicate-port", path, message);
            let first = Path::from("spec.ports").index(first).key("name");
            out.push(Problem { also: vec![(first, "the first is here".to_owned())], ..problem });
        }
    }
}

/// A port's protocol, numbers by their names.
fn protocol(port: &Value) -> String {
    match port.get("protocol") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(6) => "TCP".to_owned(),
            Some(17) => "UDP".to_owned(),
            Some(132) => "SCTP".to_owned(),
            _ => number.to_string(),
        },
        _ => String::new(),
    }
}
