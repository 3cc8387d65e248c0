//! A rule of a policy or profile.

use serde_json::Value;
use tortie_net::{AddressError, parse_address, parse_cidr, parse_net};

use super::scalar;
use crate::problem::Problem;
use crate::validate::compiled_rules::Node;
use crate::validate::metadata::check_annotation_fields;
use crate::validate::place::Place;
use crate::validate::value::{Fields, filled, go_text, int, list, present, record, records, text, texts};

const SIDES: [(&str, &str); 2] = [("source", "Source"), ("destination", "Destination")];

/// The rules of Calico's own code: ports need a protocol that has them, and all nets are of one family.
pub(super) fn check(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let protocol = fields.get("protocol").filter(|value| !value.is_null());
    let mut families = Families { version: int(fields, "ipVersion"), v4: None, v6: None };
    for (side, go) in SIDES {
        let Some(entity) = record(fields, side) else { continue };
        let place = place.key(side);
        for (name, go_name) in [("ports", "Ports"), ("notPorts", "NotPorts")] {
            ports(list(entity, name), protocol, &place.key(name), &format!("{go}.{go_name}"), out);
        }
    }
    for (side, go) in SIDES {
        let Some(entity) = record(fields, side) else { continue };
        let place = place.key(side);
        for (name, go_name) in [("nets", "Nets"), ("notNets", "NotNets")] {
            if !list(entity, name).is_empty() {
                families.nets(fields, entity, name, &place.key(name), &format!("{go}.{go_name}"), out);
            }
        }
    }
}

fn ports(ports: &[Value], protocol: Option<&Value>, place: &Place, go: &str, out: &mut Vec<Problem>) {
    let named = |port: &Value| port.as_str().is_some_and(|text| !is_numeric(text));
    let (reason, message) = match protocol {
        None if ports.iter().all(named) => return,
        None => (
            "rules with numeric port or port range must set protocol to TCP or UDP or SCTP",
            "ports have numbers only within a protocol, and this rule names none".to_owned(),
        ),
        Some(protocol) if ports.is_empty() || scalar::has_ports(Some(protocol)) => return,
        Some(protocol) => (
            "rules that specify ports must set protocol to TCP or UDP or SCTP",
            format!("`{}` has no ports", go_text(protocol, None)),
        ),
    };
    let shown = go_text(&Value::Array(ports.to_vec()), None);
    let problem = Problem::field(place.path(), go, shown, reason).message(message);
    out.push(problem.help("add `protocol: TCP`, `UDP` or `SCTP` to the rule"));
}

fn is_numeric(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
}

/// Which families the nets of a rule are of, and where each was first seen.
struct Families {
    version: Option<i64>,
    v4: Option<tortie_api::Path>,
    v6: Option<tortie_api::Path>,
}

impl Families {
    fn nets(&mut self, rule: &Fields, entity: &Fields, name: &str, place: &Place, go: &str, out: &mut Vec<Problem>) {
        let (mut v4, mut v6) = (None, None);
        for (index, net) in texts(entity, name) {
            let here = place.index(index);
            // A bare address is refused here; a net with bits beyond its prefix was refused by its tag.
            let Ok(cidr) = parse_cidr(net)
                .and_then(|cidr| if net.contains('/') { Ok(cidr) } else { Err(AddressError::Net(net.to_owned())) })
            else {
                out.push(not_a_cidr(net, &here, go));
                continue;
            };
            if cidr.addr().is_ipv4() {
                v4.get_or_insert(index)
            } else {
                v6.get_or_insert(index)
            };
            let whole_v6 = cidr.addr().is_ipv6() && cidr.prefix_len() == 0;
            if name == "notNets" && (net == "0.0.0.0/0" || whole_v6) {
                let reason = "catch-all CIDR in negation creates logical contradiction (matches no traffic)";
                let problem = Problem::field(here.path(), go, net, reason);
                out.push(problem.message(format!("no address is outside `{net}`, so this rule would match nothing")));
            }
        }
        for (family, found) in [(4, v4), (6, v6)] {
            if let (Some(version), Some(index)) = (self.version, found)
                && version != family
            {
                let source = rule.get("source").and_then(|source| source.get("nets")).cloned();
                let shown = go_text(&source.unwrap_or_else(|| Value::Array(Vec::new())), None);
                let reason = "rule IP version doesn't match CIDR version";
                out.push(
                    Problem::field(place.index(index).path(), go, shown, reason)
                        .message(format!("this is an IPv{family} net in a rule for IPv{version}")),
                );
                break;
            }
        }
        let other = match (v4, v6) {
            (Some(_), Some(index)) => Some((index, v4.map(|first| place.index(first).path()))),
            (Some(index), None) if self.v6.is_some() => Some((index, self.v6.clone())),
            (None, Some(index)) if self.v4.is_some() => Some((index, self.v4.clone())),
            _ => None,
        };
        if let Some((index, first)) = other {
            let shown = go_text(&Value::Array(list(entity, name).to_vec()), None);
            let reason = "rule contains both IPv4 and IPv6 CIDRs";
            let problem = Problem::field(place.index(index).path(), go, shown, reason)
                .message("all nets of a rule, those of notNets too, must be of one family: IPv4 or IPv6")
                .help("write one rule for each");
            let also = first.map(|first| (first, "the other family is here".to_owned()));
            out.push(Problem { also: also.into_iter().collect(), ..problem });
        }
        if let Some(index) = v4 {
            self.v4.get_or_insert_with(|| place.index(index).path());
        }
        if let Some(index) = v6 {
            self.v6.get_or_insert_with(|| place.index(index).path());
        }
    }
}

fn not_a_cidr(net: &str, place: &Place, go: &str) -> Problem {
    let problem = Problem::field(place.path(), go, net, "invalid CIDR");
    match (parse_address(net), parse_net(net)) {
        _ if net.is_empty() => problem.message("an empty text is not a net"),
        (Ok(address), _) => {
            let full = if address.is_ipv4() { 32 } else { 128 };
            problem.message(format!("`{net}` is an address; rules take nets")).help(format!("write `{net}/{full}`"))
        }
        (_, Err(AddressError::Net(_)) | Ok(_)) => problem.message(format!("`{net}` is not a net in CIDR notation")),
        (_, Err(error)) => problem.message(error.to_string()),
    }
}

/// HTTP methods and paths.
pub(super) fn http(fields: &Fields, node: &Node, place: &Place, out: &mut Vec<Problem>) {
    let methods = list(fields, "methods");
    if let Some(index) = (1..methods.len()).find(|index| methods[..*index].contains(&methods[*index])) {
        let shown = go_text(&Value::Array(methods.to_vec()), None);
        let reason = format!("Invalid methods (duplicates): {shown}");
        let problem = Problem::field(place.key("methods").index(index).path(), "Methods", shown, reason);
        out.push(problem.message(format!("{} is given twice here", methods[index])).help("remove one of them"));
    }
    for (index, path) in records(fields, "paths") {
        let (exact, prefix) = (text(path, "exact"), text(path, "prefix"));
        let value = if exact.is_empty() { prefix } else { exact };
        let (reason, message) = if !exact.is_empty() && !prefix.is_empty() {
            let reason = "Invalid path match. Both 'exact' and 'prefix' are set".to_owned();
            (reason, "a path is `exact` or a `prefix`, not both".to_owned())
        } else if value.is_empty() {
            let reason = "Invalid path match. Either 'exact' or 'prefix' must be set".to_owned();
            (reason, "a path needs `exact` or `prefix`".to_owned())
        } else if !value.starts_with('/') || value.contains(['?', ' ', '#']) {
            let reason = format!("Invalid path {value}. (must start with `/` and not contain `?` or `#`");
            (reason, format!("a path begins with `/` and has no `?`, `#` or space; `{value}` is none"))
        } else {
            continue;
        };
        let paths = fields.get("paths").cloned().unwrap_or_default();
        let shown = go_text(&paths, node.field("paths").map(|node| node.shape));
        out.push(Problem::field(place.key("paths").index(index).path(), "Paths", shown, reason).message(message));
        // Calico stops at the first.
        break;
    }
}

/// Notes of a rule.
pub(super) fn metadata(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    if let Some(annotations) = record(fields, "annotations") {
        check_annotation_fields(annotations, &place.key("annotations").path(), out);
    }
}

/// The rules of the CRD.
pub(super) fn schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let protocol = fields.get("protocol").filter(|value| !value.is_null());
    let not_protocol = fields.get("notProtocol").filter(|value| !value.is_null());
    let at = |field: &str, reason: &str| {
        let problem = Problem::schema(place.path(), reason);
        Problem { path: place.key(field).path(), ..problem }
    };
    if present(fields, "http") {
        if protocol.is_some() && !scalar::is(protocol, "TCP", 6) {
            out.push(
                at("protocol", "rules with HTTP match must have protocol TCP or unset").help("write `protocol: TCP`"),
            );
        }
        if text(fields, "action") != "Allow" {
            out.push(
                at("http", "HTTP match is only valid on Allow rules")
                    .message("`http` can stand only in rules that allow"),
            );
        }
    }
    if let Some(destination) = record(fields, "destination")
        && present(destination, "services")
        && let Some(field) = ["ports", "notPorts"].into_iter().find(|field| filled(destination, field))
    {
        let side = place.key("destination");
        let problem = Problem::schema(place.path(), "ports and notPorts cannot be specified with services")
            .message(format!("`services` says already which ports are meant; `{field}` cannot stand beside it"));
        let also = vec![(side.key("services").path(), "here".to_owned())];
        out.push(Problem { path: side.key(field).path(), also, ..problem });
    }
    let v4 = |value| scalar::is(value, "ICMP", 1);
    let v6 = |value| scalar::is(value, "ICMPv6", 58);
    if present(fields, "icmp") && !v4(protocol) && !v6(protocol) {
        out.push(
            at("icmp", "ICMP fields require protocol to be ICMP or ICMPv6")
                .help("add `protocol: ICMP` or `protocol: ICMPv6` to the rule"),
        );
    }
    let Some(version) = int(fields, "ipVersion") else { return };
    for (field, value) in [("protocol", protocol), ("notProtocol", not_protocol)] {
        if v4(value) && version != 4 {
            out.push(at(field, "protocol ICMP requires ipVersion 4").help("for IPv6 the protocol is ICMPv6"));
        }
        if v6(value) && version != 6 {
            out.push(at(field, "protocol ICMPv6 requires ipVersion 6").help("for IPv4 the protocol is ICMP"));
        }
    }
}

/// A code needs its type.
pub(super) fn icmp_schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    if present(fields, "code") && !present(fields, "type") {
        let problem = Problem::schema(place.path(), "ICMP code specified without an ICMP type");
        let problem = Problem { path: place.key("code").path(), ..problem };
        out.push(problem.message("a `code` means something only with its `type`"));
    }
}
