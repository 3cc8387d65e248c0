//! Profiles, network sets, nodes and pools.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;
use tortie_api::names::kubernetes;
use tortie_api::{Kind, Object};
use tortie_net::{parse_address, parse_cidr};

use super::endpoint::{labels, unreadable_labels};
use super::policy::EarlyLists;
use super::read::{FieldPath, Fields, Invalidities, flag, items, list, one_of, text, texts};
use super::rule::{RuleList, rules};
use crate::referenced::{NetworkSet, Node, Pool, Profile, SetId};
use crate::{Action, Rule};

const NAMESPACE_LABEL: &str = "projectcalico.org/namespace";

impl Profile {
    /// The built-in profile that allows everything; no store holds it.
    pub fn default_allow() -> Profile {
        let allow = || vec![Rule::any(Action::Allow)];
        Profile {
            name: "projectcalico-default-allow".to_owned(),
            labels: Default::default(),
            ingress: allow(),
            egress: allow(),
        }
    }
}

pub(super) fn profile(object: &Object, early: EarlyLists, wrong: &mut Invalidities) -> Profile {
    let spec = Fields::of(object.body.get("spec"));
    let consequence = "the endpoints of the profile deny everything, failsafes aside";
    let labels = wrong.take(FieldPath::SPEC.key("labelsToApply"), spec.read("labelsToApply", texts), consequence);
    let mut list = |name: &str, early: Option<RuleList>| match (early, spec.get(name)) {
        (Some(early), Some(Value::Array(_))) => early.finish(),
        (_, value) => rules(value, "", FieldPath::SPEC.key(name), wrong),
    };
    Profile {
        name: object.metadata.name.clone(),
        ingress: list("ingress", early.ingress),
        egress: list("egress", early.egress),
        labels: labels.unwrap_or_else(unreadable_labels),
    }
}

/// The nets of a set as they come, one after the other.
#[derive(Default)]
pub(crate) struct NetList {
    nets: Vec<IpNet>,
    count: usize,
    incomplete: bool,
}

/// What follows when a net cannot be read.
const INCOMPLETE: &str =
    "rules that deny by this set deny whatever else they match; those that allow by it allow the other nets";

/// What follows when no net can be read.
pub(super) const NO_NETS: &str = "rules that deny by this set deny whatever else they match; none allows by it";

impl NetList {
    pub(super) fn push(&mut self, value: &Value, at: FieldPath<'_>, wrong: &mut Invalidities) {
        let net = text(value).and_then(|text| match text {
            // An empty text passes Calico's validator and means nothing.
            "" => Ok(None),
            _ => parse_cidr(text).map(|net| Some(net.trunc())).map_err(|error| error.to_string().into()),
        });
        let net = wrong.take(at.index(self.count), net, INCOMPLETE);
        self.count += 1;
        match net {
            Some(net) if self.count <= NetworkSet::LIMIT => self.nets.extend(net),
            Some(_) => self.nets = Vec::new(),
            None => self.incomplete = true,
        }
    }

    /// The nets, and whether there are others.
    fn finish(self, at: FieldPath<'_>, wrong: &mut Invalidities) -> (Vec<IpNet>, bool) {
        if self.count > NetworkSet::LIMIT {
            let reason = format!("{} nets are more than {}", self.count, NetworkSet::LIMIT);
            wrong.note(at, reason, NO_NETS);
            return (Vec::new(), true);
        }
        (self.nets, self.incomplete)
    }
}

pub(super) fn network_set(object: &Object, early: EarlyLists, wrong: &mut Invalidities) -> NetworkSet {
    let spec = Fields::of(object.body.get("spec"));
    let at = FieldPath::SPEC;
    let at = at.key("nets");
    let nets = match (spec.get("nets"), spec.names().next()) {
        (Some(nets), _) => list(nets),
        // Another name than `nets` may have meant them.
        (None, Some(_)) => Err("it does not exist, and the spec has other fields".into()),
        (None, None) => Ok(&[][..]),
    };
    let values = wrong.take(at, nets, NO_NETS);
    let mut nets = match early.nets {
        Some(early) if values.is_some() => early,
        _ => NetList { incomplete: values.is_none(), ..NetList::default() },
    };
    values.unwrap_or_default().iter().for_each(|value| nets.push(value, at, wrong));
    let (nets, incomplete) = nets.finish(at, wrong);
    let namespace = if object.kind == Kind::NetworkSet { object.metadata.namespace.clone() } else { String::new() };
    let consequence = "rules that deny by label mean its nets too; those that allow do not";
    let mut labels = labels(object, consequence, wrong);
    let mut profile = None;
    if !namespace.is_empty() {
        labels.insert(NAMESPACE_LABEL.to_owned(), namespace.clone());
        profile = Some(kubernetes::namespace_profile(&namespace));
    }
    let id = SetId { namespace, name: object.metadata.name.clone() };
    NetworkSet { id, labels, profile, nets, incomplete }
}

/// Reads a node. If a part cannot be read, fewer peers of tunnels are known.
pub(super) fn node(object: &Object, wrong: &mut Invalidities) -> Node {
    let spec = object.body.get("spec").unwrap_or(&Value::Null);
    let labels = labels(object, "no FelixConfiguration is for the node by its labels", wrong);
    let mut node = Node { name: object.metadata.name.clone(), labels, ..Node::default() };
    let consequence = "tunnels do not take it for an address of a node";
    // Without the node's own address of a family it is unknown where its tunnel ends.
    let mut known = [true; 2];
    for (family, field) in ["ipv4Address", "ipv6Address"].into_iter().enumerate() {
        let bgp = FieldPath::SPEC.key("bgp");
        if let Some(value) = spec.pointer(&format!("/bgp/{field}")) {
            let net = text(value).and_then(|text| parse_cidr(text).map_err(|error| error.to_string().into()));
            match wrong.take(bgp.key(field), net, consequence) {
                Some(net) => node.addresses.push(net.addr()),
                None => known[family] = false,
            }
        }
    }
    if spec.get("bgp").is_some_and(|bgp| !bgp.is_object()) {
        wrong.note(FieldPath::SPEC.key("bgp"), "expected an object", consequence);
        known = [false; 2];
    }
    let mut known_addresses: HashSet<IpAddr> = node.addresses.iter().copied().collect();
    for address in spec.get("addresses").and_then(Value::as_array).into_iter().flatten() {
        if let Some(address) = address.get("address").and_then(Value::as_str).and_then(|text| parse_cidr(text).ok())
            && known_addresses.insert(address.addr())
        {
            node.addresses.push(address.addr());
        }
    }
    // The parent address of a VTEP is the node's BGP address of its family.
    for (family, tunnel) in ["ipv4VXLANTunnelAddr", "ipv6VXLANTunnelAddr"].into_iter().enumerate() {
        let tunnelled = spec.get(tunnel).and_then(Value::as_str).is_some_and(|text| parse_address(text).is_ok());
        if tunnelled
            && known[family]
            && let Some(address) = node.addresses.iter().find(|address| address.is_ipv4() == (family == 0))
        {
            node.vxlan_peers.push(*address);
        }
    }
    node
}

/// A pool; none without its range.
pub(super) fn pool(object: &Object, wrong: &mut Invalidities) -> Option<Pool> {
    let spec = Fields::of(object.body.get("spec"));
    let cidr = spec.read("cidr", text);
    let net = cidr.and_then(|text| parse_cidr(text).map_err(|error| error.to_string().into()));
    let net = wrong.take(FieldPath::SPEC.key("cidr"), net, "the pool does not count")?;
    let consequence = "it counts as not set";
    let mut mode = |name: &str| {
        let mode = wrong.take(
            FieldPath::SPEC.key(name),
            spec.read(name, |value| one_of(value, &["Never", "Always", "CrossSubnet"])),
            consequence,
        );
        mode.is_some_and(|mode| !mode.is_empty() && mode != "Never")
    };
    let (ipip, vxlan) = (mode("ipipMode"), mode("vxlanMode"));
    let nat_outgoing = wrong.take(FieldPath::SPEC.key("natOutgoing"), spec.read("natOutgoing", flag), consequence);
    let uses =
        spec.read("allowedUses", |value| items(value, |value| one_of(value, &["Workload", "Tunnel", "LoadBalancer"])));
    let uses = wrong.take(FieldPath::SPEC.key("allowedUses"), uses, consequence).unwrap_or_default();
    Some(Pool {
        name: object.metadata.name.clone(),
        net: net.trunc(),
        nat_outgoing: nat_outgoing.unwrap_or(false),
        ipip,
        vxlan,
        load_balancer_only: uses == ["LoadBalancer"],
    })
}
