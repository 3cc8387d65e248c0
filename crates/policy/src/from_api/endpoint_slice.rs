//! Addresses and ports behind a service.

use std::net::IpAddr;

use serde_json::Value;
use tortie_api::Object;
use tortie_net::{Protocol, parse_address};

use super::read::{FieldPath, Fields, Invalidities, Read, list, owned, record, text, whole};
use super::rule::parse_protocol;
use crate::NamedPort;
use crate::referenced::{EndpointSlice, ServiceId, SliceId};

/// What follows when an address or a port cannot be read.
const INCOMPLETE: &str =
    "rules that deny by the service deny whatever else they match; those that allow by it allow what else is known";

/// A slice; none if it is of no service.
pub(super) fn endpoint_slice(object: &Object, wrong: &mut Invalidities) -> Option<EndpointSlice> {
    let spec = Fields::of(object.body.get("spec"));
    let (namespace, name) = (object.metadata.namespace.clone(), object.metadata.name.clone());
    let service = wrong.take(FieldPath::SPEC.key("service"), spec.read("service", owned), "it is of no service")?;
    if service.is_empty() {
        return None;
    }
    let (addresses, all_addresses) = each(spec, "addresses", address, wrong);
    let (mut ports, all_ports) = each(spec, "ports", port, wrong);
    let mut incomplete = !(all_addresses && all_ports);
    if addresses.len().saturating_mul(ports.len()) > NamedPort::LIMIT {
        let reason =
            format!("{} ports of {} addresses are more than {}", ports.len(), addresses.len(), NamedPort::LIMIT);
        wrong.note(FieldPath::SPEC.key("ports"), reason, INCOMPLETE);
        ports = Vec::new();
        incomplete = true;
    }
    let service = ServiceId { namespace: namespace.clone(), name: service };
    Some(EndpointSlice { id: SliceId { namespace, name }, service, addresses, ports, incomplete })
}

/// What can be read of a list, and whether that is all of it.
fn each<T>(spec: Fields<'_>, name: &str, read: impl Fn(&Value) -> Read<T>, wrong: &mut Invalidities) -> (Vec<T>, bool) {
    let at = FieldPath::SPEC;
    let at = at.key(name);
    let Some(values) = wrong.take(at, spec.get(name).map_or(Ok(&[][..]), list), INCOMPLETE) else {
        return (Vec::new(), false);
    };
    let mut found = Vec::with_capacity(values.len());
    found.extend(
        values.iter().enumerate().filter_map(|(at_item, value)| wrong.take(at.index(at_item), read(value), INCOMPLETE)),
    );
    let all = found.len() == values.len();
    (found, all)
}

fn address(value: &Value) -> Read<IpAddr> {
    parse_address(text(value)?).map_err(|error| error.to_string().into())
}

fn port(value: &Value) -> Read<(Protocol, u16)> {
    let map = record(value)?;
    let field = |name: &'static str| map.get(name).ok_or_else(|| format!("{name}: a value is missing"));
    let number = whole(field("port")?)?.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
    let number = number.ok_or_else(|| "the port is out of range".to_owned())?;
    Ok((parse_protocol(field("protocol")?)?, number))
}
