//! Host and workload endpoints.

use serde_json::Value;
use tortie_net::parse_cidr;

use super::scalar;
use crate::problem::Problem;
use crate::validate::compiled_rules::Node;
use crate::validate::place::Place;
use crate::validate::value::{Fields, filled, go_text, int, list, records, text, texts};

/// A host endpoint's port is of a protocol that has ports.
pub(super) fn host_port(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    port_protocol(fields, "EndpointPort", place, out);
}

/// The rules of the CRD for host endpoints.
pub(super) fn host_schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    if !filled(fields, "interfaceName") && !filled(fields, "expectedIPs") {
        out.push(
            Problem::schema(place.path(), "at least one of interfaceName or expectedIPs must be specified")
                .message("the host endpoint names no interface")
                .help("add `interfaceName: eth0`, `interfaceName: \"*\"` for all, or `expectedIPs`"),
        );
    }
    if !filled(fields, "node") {
        out.push(
            Problem::schema(place.path(), "node must be specified")
                .message("`node` is missing")
                .help("add `node:` with the name of the node that the interface is on"),
        );
    }
}

/// A workload endpoint's port is of a protocol that has ports, and has a name or a port of the host.
pub(super) fn workload_port(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    port_protocol(fields, "WorkloadEndpointPort", place, out);
    if text(fields, "name").is_empty() && int(fields, "hostPort").unwrap_or(0) == 0 {
        let reason = "WorkloadEndpointPort name must not be empty if no HostPort is specified";
        let problem = Problem::field(place.key("name").path(), "WorkloadEndpointPort.Name", "", reason);
        out.push(problem.message("a port needs a `name`, or a `hostPort` that leads to it"));
    }
}

fn port_protocol(fields: &Fields, owner: &str, place: &Place, out: &mut Vec<Problem>) {
    let protocol = fields.get("protocol").filter(|value| !value.is_null());
    if !scalar::has_ports(protocol) {
        let shown = protocol.map_or_else(|| "0".to_owned(), |value| go_text(value, None));
        let reason = format!("{owner} protocol does not support ports.");
        let problem = Problem::field(place.key("protocol").path(), format!("{owner}.Protocol"), shown.as_str(), reason);
        let message = match protocol {
            None => "a protocol is missing".to_owned(),
            Some(_) => format!("`{shown}` has no ports"),
        };
        out.push(problem.message(message).help("write TCP, UDP or SCTP"));
    }
}

/// Both addresses of a translation are there and of one family.
pub(super) fn nat(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let external = text(fields, "externalIP");
    let mut families = Vec::new();
    for field in ["internalIP", "externalIP"] {
        let written = text(fields, field);
        match parse_cidr(written) {
            Ok(net) => families.push(Some(net.addr().is_ipv4())),
            Err(_) if written.is_empty() => families.push(None),
            Err(_) => {
                let problem = Problem::field(place.key(field).path(), "InternalIP", external, "invalid IP address");
                out.push(problem.message(format!("`{written}` is not an IP address")));
            }
        }
    }
    if let [inside, outside] = families[..]
        && inside != outside
    {
        let missing = if inside.is_none() { "internalIP" } else { "externalIP" };
        let path = place.key(missing).path();
        let problem = Problem::field(path, "ExternalIP", external, "mismatched IP versions");
        out.push(if inside.is_none() || outside.is_none() {
            problem.message(format!("`{missing}` is missing"))
        } else {
            problem.message("both addresses of a translation are IPv4 or both are IPv6")
        });
    }
}

/// Addresses stand alone in their nets, gateways are of their family, translations lead to an address of the endpoint.
pub(super) fn workload(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let shown = go_text(&Value::Array(list(fields, "ipNetworks").to_vec()), None);
    for (index, written) in texts(fields, "ipNetworks") {
        let at = || place.key("ipNetworks").index(index).path();
        match parse_cidr(written) {
            // Calico takes an empty text for an address; `warnings` speaks of it.
            Err(_) if written.is_empty() => {}
            Err(_) => {
                let problem = Problem::field(at(), "IPNetworks", written, "invalid CIDR");
                out.push(problem.message(format!("`{written}` is not an address or net")));
            }
            Ok(net) if net.prefix_len() != net.max_prefix_len() => {
                let reason = "IP network contains multiple addresses";
                out.push(
                    Problem::field(at(), "IPNetworks", shown.as_str(), reason)
                        .message(format!("`{written}` holds many addresses; an endpoint has single ones"))
                        .help(format!("write `{}/{}`", net.addr(), net.max_prefix_len())),
                );
            }
            Ok(_) => {}
        }
    }
    gateways(fields, place, out);
    nats_within(fields, place, out);
}

fn gateways(fields: &Fields, place: &Place, out: &mut Vec<Problem>) {
    for (name, go, family) in [("ipv4Gateway", "IPv4Gateway", 4), ("ipv6Gateway", "IPv6Gateway", 6)] {
        let written = text(fields, name);
        // An address of the wrong family fails its tag and this rule; both speak, as Calico does.
        if let Ok(net) = parse_cidr(written)
            && net.addr().is_ipv4() != (family == 4)
        {
            let reason = format!("invalid IPv{family} gateway address specified");
            let problem = Problem::field(place.key(name).path(), go, written, reason);
            out.push(problem.message(format!("`{written}` is not an IPv{family} address")));
        }
    }
}

fn nats_within(fields: &Fields, place: &Place, out: &mut Vec<Problem>) {
    let nets: Vec<_> = texts(fields, "ipNetworks").filter_map(|(_, net)| parse_cidr(net).ok()).collect();
    for (index, nat) in records(fields, "ipNATs") {
        let inside = text(nat, "internalIP");
        let address = match parse_cidr(inside) {
            Ok(net) => Some(net.trunc().addr()),
            Err(_) if inside.is_empty() => None,
            // What is no address was said before.
            Err(_) => continue,
        };
        if !address.is_some_and(|address| nets.iter().any(|net| net.trunc().contains(&address))) {
            let shown: Vec<String> = records(fields, "ipNATs")
                .map(|(_, nat)| format!("{{{} {}}}", text(nat, "internalIP"), text(nat, "externalIP")))
                .collect();
            let path = place.key("ipNATs").index(index).key("internalIP").path();
            let reason = "NAT is not in the endpoint networks";
            out.push(
                Problem::field(path, "IPNATs", format!("[{}]", shown.join(" ")), reason)
                    .message(format!("`{inside}` is not among the endpoint's `ipNetworks`")),
            );
            // Calico stops at the first.
            return;
        }
    }
}
