//! FelixConfiguration: settings that have no effect, or that leave no failsafe port.

use serde_json::{Map, Value};
use tortie_api::{Object, Path};
use tortie_net::{Protocol, parse_cidr};
use tortie_selector::Selector;

use crate::problem::Problem;

/// An object that is for no node, settings without effect here, and empty lists of failsafe ports.
pub(super) fn check(object: &Object, spec: &Map<String, Value>, out: &mut Vec<Problem>) {
    nodes(&object.metadata.name, spec, out);
    const ALLOW_ACTIONS: [&str; 4] = [
        "iptablesFilterAllowAction",
        "iptablesMangleAllowAction",
        "nftablesFilterAllowAction",
        "nftablesMangleAllowAction",
    ];
    for field in ALLOW_ACTIONS.into_iter().filter(|field| spec.contains_key(*field)) {
        let message = format!("`{field}` has no effect: what tortie allows is still seen by your other firewall rules");
        out.push(Problem::warning("no-effect", Path::from("spec").key(field), message));
    }
    for (field, danger) in [
        ("failsafeInboundHostPorts", "a host endpoint that no policy opens cannot be reached at all, not even by ssh"),
        ("failsafeOutboundHostPorts", "a host endpoint that no policy opens reaches nothing, not even its store"),
    ] {
        let Some(list) = spec.get(field).and_then(Value::as_array) else { continue };
        unusable_failsafes(field, list, out);
        if list.is_empty() {
            let message = format!("`{field}` is empty: {danger}");
            let problem = Problem::warning("no-failsafes", Path::from("spec").key(field), message);
            out.push(problem.help("leave it out for the default ports, or list those that you depend on"));
        }
    }
}

/// Failsafe ports that open nothing. Calico's validator does not look inside these lists.
fn unusable_failsafes(field: &str, list: &[Value], out: &mut Vec<Problem>) {
    for (index, entry) in list.iter().enumerate() {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let net = text("net").and_then(|net| Some(("net", net, parse_cidr(net).err()?.to_string())));
        let protocol = text("protocol");
        let protocol =
            protocol.and_then(|name| Some(("protocol", name, Protocol::parse_any_case(name).err()?.to_string())));
        for (name, value, reason) in net.into_iter().chain(protocol) {
            let message = format!("`{value}` cannot be read ({reason}): this failsafe port opens nothing");
            out.push(Problem::warning("no-effect", Path::from("spec").key(field).index(index).key(name), message));
        }
    }
}

/// Which nodes the settings are for: `default` for all, `node.NAME` for one, any other name for those that `nodeSelector` selects.
fn nodes(name: &str, spec: &Map<String, Value>, out: &mut Vec<Problem>) {
    let selector = spec.get("nodeSelector").and_then(Value::as_str).unwrap_or_default();
    if let Err(error) = Selector::parse(selector) {
        let message = format!("`nodeSelector` is no selector ({error}): the settings apply to no node");
        let problem = Problem::warning("no-effect", Path::from("spec.nodeSelector"), message);
        out.push(problem.help("for example `role == 'web'`, or `all()` for every node"));
    } else if selector.is_empty() && name != "default" && !name.starts_with("node.") {
        let message = format!(
            "the settings apply to no node: `{name}` is neither `default` nor `node.` and a name, and there is no `nodeSelector`"
        );
        let problem = Problem::warning("no-effect", Path::from("metadata.name"), message);
        out.push(problem.help(format!(
            "name it `node.{name}` for the node {name}, `default` for all nodes, or add a `nodeSelector`"
        )));
    }
}
