//! Profiles, network sets, nodes and pools. Facts: enforcement sheet 1.6, 2.9, 5.1; datastore sheet 1.6.

use serde_json::Value;
use tortie_api::kinds::network_set::NetworkSetSpec;
use tortie_api::kinds::profile::ProfileSpec;
use tortie_api::{Kind, Object, Path};
use tortie_net::{parse_address, parse_cidr};

use super::rule::rules;
use super::{Invalid, spec};
use crate::group::{NetworkSet, Node, Pool, Profile, SetId};
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

pub(super) fn profile(object: &Object) -> Result<Profile, Invalid> {
    let path = Path::from("spec");
    let spec: ProfileSpec = spec(object)?;
    Ok(Profile {
        name: object.metadata.name.clone(),
        labels: spec.labels_to_apply,
        ingress: rules(&spec.ingress, "", &path.key("ingress"))?,
        egress: rules(&spec.egress, "", &path.key("egress"))?,
    })
}

pub(super) fn network_set(object: &Object) -> Result<NetworkSet, Invalid> {
    let spec: NetworkSetSpec = spec(object)?;
    let path = Path::from("spec.nets");
    // An empty text passes Calico's validator and means nothing.
    let nets = spec.nets.iter().enumerate().filter(|(_, text)| !text.is_empty()).map(|(index, text)| {
        parse_cidr(text).map(|net| net.trunc()).map_err(|error| Invalid::new(&path.index(index), error))
    });
    if spec.nets.len() > NetworkSet::LIMIT {
        return Err(Invalid::new(&path, format!("{} nets are more than {}", spec.nets.len(), NetworkSet::LIMIT)));
    }
    let namespace = if object.kind == Kind::NetworkSet { object.metadata.namespace.clone() } else { String::new() };
    let mut labels = object.metadata.labels.clone();
    let mut profile = None;
    if !namespace.is_empty() {
        labels.insert(NAMESPACE_LABEL.to_owned(), namespace.clone());
        profile = Some(format!("kns.{namespace}"));
    }
    Ok(NetworkSet {
        nets: nets.collect::<Result<_, _>>()?,
        id: SetId { namespace, name: object.metadata.name.clone() },
        labels,
        profile,
        incomplete: false,
    })
}

pub(super) fn node(object: &Object) -> Result<Node, Invalid> {
    let spec = object.body.get("spec").unwrap_or(&Value::Null);
    let mut node =
        Node { name: object.metadata.name.clone(), labels: object.metadata.labels.clone(), ..Node::default() };
    for field in ["ipv4Address", "ipv6Address"] {
        if let Some(text) = spec.pointer(&format!("/bgp/{field}")).and_then(Value::as_str) {
            let net = parse_cidr(text).map_err(|error| Invalid::new(&Path::from("spec.bgp").key(field), error))?;
            node.addresses.push(net.addr());
        }
    }
    for address in spec.get("addresses").and_then(Value::as_array).into_iter().flatten() {
        if let Some(address) = address.get("address").and_then(Value::as_str).and_then(|text| parse_cidr(text).ok())
            && !node.addresses.contains(&address.addr())
        {
            node.addresses.push(address.addr());
        }
    }
    // The parent address of a VTEP is the node's BGP address of its family.
    for (tunnel, v4) in [("ipv4VXLANTunnelAddr", true), ("ipv6VXLANTunnelAddr", false)] {
        let tunnelled = spec.get(tunnel).and_then(Value::as_str).is_some_and(|text| parse_address(text).is_ok());
        if tunnelled && let Some(address) = node.addresses.iter().find(|address| address.is_ipv4() == v4) {
            node.vxlan_peers.push(*address);
        }
    }
    Ok(node)
}

pub(super) fn pool(object: &Object) -> Result<Pool, Invalid> {
    let spec = object.body.get("spec").unwrap_or(&Value::Null);
    let cidr = spec.get("cidr").and_then(Value::as_str).unwrap_or_default();
    let on =
        |field: &str| spec.get(field).and_then(Value::as_str).is_some_and(|mode| !mode.is_empty() && mode != "Never");
    let uses: Vec<&str> =
        spec.get("allowedUses").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    Ok(Pool {
        name: object.metadata.name.clone(),
        net: parse_cidr(cidr).map(|net| net.trunc()).map_err(|error| Invalid::new(&Path::from("spec.cidr"), error))?,
        nat_outgoing: spec.get("natOutgoing").and_then(Value::as_bool).unwrap_or(false),
        ipip: on("ipipMode"),
        vxlan: on("vxlanMode"),
        load_balancer_only: uses == ["LoadBalancer"],
    })
}
