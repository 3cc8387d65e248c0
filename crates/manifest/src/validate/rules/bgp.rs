//! BGP: configuration, peers and filters. Stored and given back; tortie speaks no BGP.

use std::net::IpAddr;

use tortie_net::{parse_address, parse_cidr};

use crate::problem::Problem;
use crate::validate::compiled_rules::Node;
use crate::validate::place::Place;
use crate::validate::tag::peer_address;
use crate::validate::value::{Fields, filled, is_empty, list, present, records, text, texts};

/// Communities have a value that can be sent, and those that are used are such or are named.
pub(super) fn configuration(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    const VALUE: &str = "Spec.Communities[].Value";
    const USE: &str = "Spec.PrefixAdvertisement[].Communities[]";
    let communities = place.key("communities");
    for (index, community) in records(fields, "communities") {
        let value = text(community, "value");
        if !community_value(value, VALUE, &communities.index(index).key("value"), out) {
            let reason = "invalid community value or format used.";
            let path = communities.index(index).key("value").path();
            out.push(Problem::field(path, VALUE, value, reason).help("write it like 65001:100 or 65001:100:200"));
        }
    }
    let advertisements = place.key("prefixAdvertisements");
    for (index, advertisement) in records(fields, "prefixAdvertisements") {
        let at = advertisements.index(index);
        let cidr = text(advertisement, "cidr");
        if !cidr.is_empty() && parse_cidr(cidr).is_err() {
            let path = at.key("cidr").path();
            let problem = Problem::field(path, "Spec.PrefixAdvertisement[].CIDR", cidr, "invalid CIDR value.");
            out.push(problem.message(format!("`{cidr}` is not an address or net")));
        }
        for (index, using) in texts(advertisement, "communities") {
            let at = at.key("communities");
            let at = at.index(index);
            let defined = || records(fields, "communities").any(|(_, community)| text(community, "name") == using);
            if !community_value(using, USE, &at, out) && !defined() {
                let reason = "community used is invalid or not defined.";
                let problem = Problem::field(at.path(), USE, using, reason);
                out.push(
                    problem.message(format!("`{using}` is neither a community nor the name of one in `communities`")),
                );
            }
        }
    }
}

/// Whether the text has the form of a community; a number in it that is too large is a problem.
fn community_value(value: &str, field: &str, place: &Place, out: &mut Vec<Problem>) -> bool {
    let parts: Vec<&str> = value.split(':').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(parts.len(), 2 | 3) || !parts.iter().all(digits) {
        return false;
    }
    let (bits, most) = if parts.len() == 2 { (16, u64::from(u16::MAX)) } else { (32, u64::from(u32::MAX)) };
    for _ in parts.iter().filter(|part| part.parse::<u64>().map_or(true, |part| part > most)) {
        let reason = format!("invalid community value, expected {bits} bit value");
        let problem = Problem::field(place.path(), field, value, reason);
        out.push(problem.message(format!("each number of this community is at most {most}")));
    }
    true
}

/// The gateway to a peer is of the peer's family.
pub(super) fn peer(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let gateway = text(fields, "reachableBy");
    if let (Ok(through), Some(to)) = (parse_address(gateway), peer_address(text(fields, "peerIP")))
        && through.is_ipv4() != to.is_ipv4()
    {
        let reason = "ReachableBy and PeerIP address family mismatched";
        let problem = Problem::field(place.key("reachableBy").path(), "ReachableBy", gateway, reason);
        let family = |address: IpAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
        out.push(problem.message(format!("`reachableBy` is {}, the peer is {}", family(through), family(to))));
    }
}

/// The rules of the CRD for the configuration.
pub(super) fn configuration_schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let no_mesh = fields.get("nodeToNodeMeshEnabled").and_then(serde_json::Value::as_bool) == Some(false);
    let mut rule = ruler(place, out);
    for field in ["nodeMeshPassword", "nodeMeshMaxRestartTime"] {
        let reason = format!("{field} cannot be set when nodeToNodeMeshEnabled is false");
        rule(no_mesh && present(fields, field), field, &reason);
    }
    let unused = filled(fields, "communities") && !filled(fields, "prefixAdvertisements");
    rule(unused, "communities", "communities are defined but not used in prefixAdvertisements");
}

/// The rules of the CRD for peers.
pub(super) fn peer_schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let has = |field: &str| filled(fields, field);
    let numbered = fields.get("asNumber").is_some_and(|value| !is_empty(value) && value != "0");
    let mut rule = ruler(place, out);
    rule(has("node") && has("nodeSelector"), "nodeSelector", "node and nodeSelector cannot both be set");
    rule(has("peerIP") && has("peerSelector"), "peerSelector", "peerIP and peerSelector cannot both be set");
    rule(has("peerSelector") && numbered, "asNumber", "asNumber must be empty when peerSelector is set");
    let local = has("localWorkloadSelector");
    rule(local && has("peerIP"), "peerIP", "peerIP must be empty when localWorkloadSelector is set");
    rule(local && has("peerSelector"), "peerSelector", "peerSelector must be empty when localWorkloadSelector is set");
    let reason = "asNumber is required when localWorkloadSelector is set";
    rule(local && !numbered, "localWorkloadSelector", reason);
    rule(has("reachableBy") && !has("peerIP"), "reachableBy", "reachableBy must be empty when peerIP is empty");
    let reason = "keepOriginalNextHop and nextHopMode cannot both be set; keepOriginalNextHop is deprecated, use \
                  nextHopMode instead";
    rule(has("keepOriginalNextHop") && present(fields, "nextHopMode"), "keepOriginalNextHop", reason);
}

/// The rules of the CRD for rules of filters.
pub(super) fn filter_rule_schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let mut rule = ruler(place, out);
    let (cidr, operator) = (filled(fields, "cidr"), filled(fields, "matchOperator"));
    let missing = if cidr { "cidr" } else { "matchOperator" };
    rule(cidr != operator, missing, "cidr and matchOperator must both be set or both be empty");
    rule(present(fields, "prefixLength") && !cidr, "prefixLength", "cidr is required when prefixLength is set");
    let reason = "operations may only be used with action Accept";
    rule(!list(fields, "operations").is_empty() && text(fields, "action") != "Accept", "operations", reason);
}

/// An operation does one thing.
pub(super) fn operation_schema(fields: &Fields, node: &Node, place: &Place, out: &mut Vec<Problem>) {
    let set = node.fields.iter().filter(|field| present(fields, &field.name)).count();
    let reason = match set {
        0 => format!("{} in body should have at least 1 properties", place.path()),
        1 => return,
        _ => "must have at most 1 item".to_owned(),
    };
    out.push(Problem::schema(place.path(), reason).message(format!("an operation does one thing; this does {set}")));
}

/// Pushes a problem of the schema layer at a field, if the rule is broken.
fn ruler<'a>(place: &'a Place<'a>, out: &'a mut Vec<Problem>) -> impl FnMut(bool, &str, &str) + 'a {
    move |wrong, field, reason| {
        if wrong {
            let problem = Problem::schema(place.path(), reason);
            out.push(Problem { path: place.key(field).path(), ..problem });
        }
    }
}
