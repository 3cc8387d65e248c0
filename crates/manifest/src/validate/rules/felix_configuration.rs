//! Settings of the node agent.

use serde_json::Value;
use tortie_api::{Object, Path};
use tortie_net::{Port, PrefixError, interface_prefixes, parse_address, parse_cidr};

use crate::problem::Problem;
use crate::validate::compiled_rules::{CompiledRules, Node};
use crate::validate::formats;
use crate::validate::place::Place;
use crate::validate::value::{Fields, go_text, int, list, present, record, records, text, texts};

/// The prefix of a namespace that is made of a region; both together are a label.
const REGION_PREFIX: &str = "openstack-region-";
/// How many route tables can be set aside at most.
const MAX_TABLES: i64 = 0xffff;
const MAX_TABLE: i64 = 0xffff_ffff;

/// The rules of Calico's own code.
pub(super) fn spec(fields: &Fields, node: &Node, place: &Place, out: &mut Vec<Problem>) {
    node_ports(fields, place, out);
    let prefixes = text(fields, "interfacePrefix");
    if let (false, (_, Some(problem))) = (prefixes.is_empty(), interface_prefixes(prefixes)) {
        let reason = match problem {
            PrefixError::None(_) => "names no prefix",
            PrefixError::Unusable(_) => "names a prefix that no interface can have",
        };
        let field = Problem::field(place.key("interfacePrefix").path(), "InterfacePrefix", prefixes, reason);
        out.push(field.message(problem.to_string()));
    }
    for (index, written) in texts(fields, "externalNodesList") {
        let here = || place.key("externalNodesList").index(index).path();
        let reason = match parse_cidr(written) {
            _ if written.is_empty() => "has invalid IPv6 CIDR",
            Err(_) => "has invalid CIDR(s)",
            Ok(net) if net.addr().is_ipv6() => "has invalid IPv6 CIDR",
            Ok(_) => continue,
        };
        let problem = Problem::field(here(), "ExternalNodesCIDRList", written, reason);
        out.push(problem.message(format!("`{written}` is not an IPv4 address or net")));
    }
    region(fields, place, out);
    for (name, go) in ADDRESSES {
        let written = text(fields, name);
        if !written.is_empty() && parse_address(written).is_err() {
            let problem = Problem::field(place.key(name).path(), go, written, "is not a valid IP address");
            out.push(problem.message(format!("`{written}` is not an IP address")));
        }
    }
    let tables = records(fields, "routeTableRanges").map(|(_, range)| {
        let (min, max) = bounds(range);
        max.saturating_sub(min).saturating_add(1)
    });
    let tables = tables.fold(0, i64::saturating_add);
    if tables > MAX_TABLES {
        let shape = node.field("routeTableRanges").map(|node| node.shape);
        let ranges = fields.get("routeTableRanges").cloned().unwrap_or_default();
        let shown = format!("&{}", go_text(&ranges, shape));
        let problem =
            Problem::field(place.key("routeTableRanges").path(), "RouteTableRanges", shown, "targets too many tables");
        out.push(problem.message(format!("the ranges name {tables} tables; {MAX_TABLES} is the most")));
    }
}

const ADDRESSES: [(&str, &str); 3] = [
    ("natOutgoingAddress", "NATOutgoingAddress"),
    ("deviceRouteSourceAddress", "DeviceRouteSourceAddress"),
    ("deviceRouteSourceAddressIPv6", "DeviceRouteSourceAddressIPv6"),
];

fn node_ports(fields: &Fields, place: &Place, out: &mut Vec<Problem>) {
    let ranges = list(fields, "kubeNodePortRanges");
    let problem = |path, reason: &str| {
        let shown = go_text(&Value::Array(ranges.to_vec()), None);
        Problem::field(path, "KubeNodePortRanges", shown, reason)
    };
    if ranges.len() > 7 {
        let problem = problem(place.key("kubeNodePortRanges").path(), "node port ranges list is too long (max 7)");
        out.push(problem.message(format!("at most 7 ranges are allowed; there are {}", ranges.len())));
    }
    for (index, range) in ranges.iter().enumerate() {
        if range.as_str().is_some_and(|text| matches!(text.parse(), Ok(Port::Name(_)))) {
            let path = place.key("kubeNodePortRanges").index(index).path();
            let problem = problem(path, "node port ranges should not contain named ports");
            out.push(problem.message("this must be a number or a range of numbers, not a name"));
        }
    }
}

fn region(fields: &Fields, place: &Place, out: &mut Vec<Problem>) {
    let region = text(fields, "openstackRegion");
    let longest = formats::MAX_LABEL - REGION_PREFIX.len();
    let problem = |reason: &str| Problem::field(place.key("openstackRegion").path(), "OpenstackRegion", region, reason);
    if region.len() > longest {
        let message = format!("a region has at most {longest} characters; this has {}", region.len());
        out.push(problem("is too long").message(message));
    } else if !region.is_empty() && !formats::is_label(region) {
        let message = "a region has lower-case letters, digits and inner `-`";
        out.push(problem("must be a valid DNS label").message(message));
    }
}

/// A name of letters, digits, `_`, `-` and spaces, and a time that is not negative.
pub(super) fn health_timeout(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let (name, timeout) = (text(fields, "name"), text(fields, "timeout"));
    let shown = format!("{{{name} {{{timeout}}}}}");
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_ -".contains(&byte)) {
        let reason = "name should match regex ^[a-zA-Z0-9_ -]+$";
        let problem = Problem::field(place.key("name").path(), "HealthTimeoutOverride.Name", shown.as_str(), reason);
        out.push(problem.message("a name has letters, digits, `_`, `-` and spaces"));
    }
    if timeout.starts_with('-') {
        let path = place.key("timeout").path();
        out.push(
            Problem::field(path, "HealthTimeoutOverride.Timeout", shown, "Timeout should not be negative")
                .message("a time to wait is not negative"),
        );
    }
}

fn bounds(range: &Fields) -> (i64, i64) {
    (int(range, "min").unwrap_or(0), int(range, "max").unwrap_or(0))
}

/// Tables 1 to 250.
pub(super) fn table_range(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let (min, max) = bounds(fields);
    if !(min >= 1 && max >= min && max <= 250) {
        let reason = "must be a range of route table indices within 1..250";
        out.push(
            table_problem(place, min, max, reason).message(format!("tables are 1 to 250; this is {min} to {max}")),
        );
    }
}

/// Tables from 1.
pub(super) fn table_id_range(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let (min, max) = bounds(fields);
    for (wrong, reason) in [
        (min > max, "min value cannot be greater than max value"),
        (min <= 0, "cannot target indices < 1"),
        (max > MAX_TABLE, "max index too high"),
    ] {
        if wrong {
            out.push(table_problem(place, min, max, reason));
        }
    }
}

fn table_problem(place: &Place, min: i64, max: i64, reason: &str) -> Problem {
    Problem::field(place.path(), "RouteTableRange", format!("{{{min} {max}}}"), reason)
}

/// The rule of the CRD about name and content together.
pub(super) fn object_schema(object: &Object, _: &CompiledRules, out: &mut Vec<Problem>) {
    let name = &object.metadata.name;
    let selects = object.body.get("spec").and_then(Value::as_object).is_some_and(|spec| present(spec, "nodeSelector"));
    if selects && (name == "default" || name.starts_with("node.")) {
        let reason = "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration";
        let problem = Problem::schema(Path::from("spec.nodeSelector"), reason);
        out.push(
            Problem { field: "FelixConfiguration".to_owned(), ..problem }
                .message(format!("`{name}` applies to all nodes or to one by its name, so it cannot select nodes"))
                .help("remove `nodeSelector`, or give the object another name"),
        );
    }
}

/// The rules of the CRD about the settings.
pub(super) fn schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let at = |field: &str, reason: String| {
        let problem = Problem::schema(place.path(), reason);
        Problem { path: place.key(field).path(), ..problem }
    };
    if record(fields, "routeTableRange").is_some() && present(fields, "routeTableRanges") {
        let problem = at("routeTableRange", "routeTableRange and routeTableRanges cannot both be set".to_owned());
        out.push(problem.help("remove `routeTableRange`, which is the older of both"));
    }
    for ((name, _), family) in ADDRESSES.into_iter().zip([4, 4, 6]) {
        let written = text(fields, name);
        // Calico knows only plain spellings here: an IPv4 address in an IPv6 coat is neither.
        let plain = written.parse::<std::net::IpAddr>().ok().filter(|address| address.to_canonical() == *address);
        if !written.is_empty() && plain.is_none_or(|address| address.is_ipv4() != (family == 4)) {
            let problem = at(name, format!("{name} must be a valid IPv{family} address"));
            out.push(problem.message(format!("`{written}` is not an IPv{family} address")));
        }
    }
}

/// The rule of the CRD about tables 1 to 250.
pub(super) fn table_range_schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let (min, max) = bounds(fields);
    if !(min >= 1 && max >= min && max <= 250) {
        let reason = "must be a range of route table indices within 1..250";
        out.push(Problem::schema(place.path(), reason).message(format!("tables are 1 to 250; this is {min} to {max}")));
    }
}

/// The rules of the CRD about tables from 1.
pub(super) fn table_id_range_schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let (min, max) = bounds(fields);
    for (wrong, reason) in [(min < 1, "min must be >= 1"), (min > max, "min must not be greater than max")] {
        if wrong {
            out.push(Problem::schema(place.path(), reason));
        }
    }
}
