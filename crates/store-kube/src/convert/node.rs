//! A Kubernetes node as Calico's, which keeps what it adds in annotations.

use serde::Deserialize;
use serde_json::{Value, json};
use tortie_api::kinds::node::{
    NodeAddress, NodeBgpSpec, NodeInterface, NodeSpec, NodeStatus, NodeWireguardSpec, OrchRef,
};
use tortie_api::scalar::AsNumber;
use tortie_api::{Kind, kube_labels};
use tortie_net::{Mac, parse_address, parse_cidr};

use super::{ConversionError, Converted, Warning, object};
use crate::meta::{Meta, null_is_empty};

/// What the annotations that hold Calico's fields begin with.
pub const PREFIX: &str = "projectcalico.org/";
/// The annotation that holds labels which only Calico's node has.
pub const LABELS: &str = "projectcalico.org/labels";
/// The annotation that holds annotations which only Calico's node has.
pub const ANNOTATIONS: &str = "projectcalico.org/annotations";

/// A Kubernetes node, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Its metadata.
    pub metadata: Meta,
    /// What was asked for.
    pub spec: KubeNodeSpec,
    /// What became of it.
    pub status: KubeNodeStatus,
}

/// The spec of a node, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct KubeNodeSpec {
    /// Its first net for pods.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    /// All its nets for pods.
    #[serde(rename = "podCIDRs", deserialize_with = "null_is_empty")]
    pub pod_cidrs: Vec<String>,
}

/// The status of a node, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct KubeNodeStatus {
    /// Its addresses.
    #[serde(deserialize_with = "null_is_empty")]
    pub addresses: Vec<NodeAddress>,
}

/// Calico's node of a Kubernetes node. With `use_pod_cidr` the tunnel's address is the first of the net for pods.
/// Invalid annotations are left out, with a warning.
pub fn node(source: &Node, use_pod_cidr: bool) -> Result<Converted, ConversionError> {
    let mut reader = Reader { meta: &source.metadata, warnings: Vec::new() };
    let tunnel = static_tunnel(source, use_pod_cidr)?;
    let bgp = NodeBgpSpec {
        as_number: reader.read("ASNumber", is_as_number).map(|text| as_number(&text)),
        ipv4_address: reader.text("IPv4Address", |text| is_cidr(text, false)),
        ipv6_address: reader.text("IPv6Address", |text| is_cidr(text, true)),
        ipv4_ipip_tunnel_addr: match &tunnel {
            Some(address) => address.clone(),
            None => reader.text("IPv4IPIPTunnelAddr", is_v4),
        },
        route_reflector_cluster_id: reader.text("RouteReflectorClusterID", is_v4),
    };
    let key = |name: &str| source.metadata.annotation(&format!("{PREFIX}{name}")).unwrap_or_default().to_owned();
    let wireguard = match tunnel {
        Some(address) if !key("WireguardPublicKey").is_empty() => {
            NodeWireguardSpec { interface_i_pv4_address: address, ..NodeWireguardSpec::default() }
        }
        Some(_) => NodeWireguardSpec::default(),
        None => NodeWireguardSpec {
            interface_i_pv4_address: reader.text("IPv4WireguardInterfaceAddr", is_v4),
            interface_i_pv6_address: reader.text("IPv6WireguardInterfaceAddr", is_v6),
        },
    };
    let spec = NodeSpec {
        addresses: addresses(&bgp, &source.status.addresses),
        bgp: Some(bgp).filter(|it| *it != NodeBgpSpec::default()),
        ipv4_vxlan_tunnel_addr: reader.text("IPv4VXLANTunnelAddr", is_v4),
        vxlan_tunnel_mac_addr: reader.text("VXLANTunnelMACAddr", is_mac),
        ipv6_vxlan_tunnel_addr: reader.text("IPv6VXLANTunnelAddr", is_v6),
        vxlan_tunnel_mac_addr_v6: reader.text("VXLANTunnelMACAddrV6", is_mac),
        orch_refs: vec![OrchRef { node_name: source.metadata.name.clone(), orchestrator: "k8s".to_owned() }],
        wireguard: Some(wireguard).filter(|it| *it != NodeWireguardSpec::default()),
        interfaces: reader.json::<Vec<NodeInterface>>(&format!("{PREFIX}Interfaces")),
    };
    // A key that is none is shown as it is.
    let status = NodeStatus {
        wireguard_public_key: key("WireguardPublicKey"),
        wireguard_public_key_v6: key("WireguardPublicKeyV6"),
        pod_cidrs: source.spec.pod_cidrs.clone(),
    };
    let mut metadata = source.metadata.as_calico(source.metadata.name.clone(), String::new());
    metadata.labels = reader.json(LABELS);
    metadata.labels.extend(source.metadata.labels.clone());
    metadata.annotations = reader.json(ANNOTATIONS);
    metadata.annotations.insert(kube_labels::ANNOTATION.to_owned(), kube_labels::write(&source.metadata.labels));
    let warnings = reader.warnings;
    let mut object = object(Kind::Node, metadata, spec);
    object.body.insert("status".to_owned(), json!(status));
    Ok(Converted { object, warnings })
}

/// The address of the tunnel that follows from the net for pods: the first behind the net's own.
fn static_tunnel(source: &Node, use_pod_cidr: bool) -> Result<Option<String>, ConversionError> {
    let text = source.spec.pod_cidr.as_str();
    if !use_pod_cidr || text.is_empty() {
        return Ok(None);
    }
    match parse_cidr(text).map(|net| net.addr()) {
        Ok(std::net::IpAddr::V4(base)) => {
            let [a, b, c, d] = base.octets();
            Ok(Some(std::net::Ipv4Addr::new(a, b, c, d.wrapping_add(1)).to_string()))
        }
        Ok(std::net::IpAddr::V6(_)) => Ok(Some(String::new())),
        Err(error) => Err(ConversionError(format!("spec.podCIDR: {error}"))),
    }
}

fn addresses(bgp: &NodeBgpSpec, own: &[NodeAddress]) -> Vec<NodeAddress> {
    let calico = [&bgp.ipv4_address, &bgp.ipv6_address].into_iter().filter(|text| !text.is_empty());
    let calico = calico.map(|text| NodeAddress { address: text.clone(), r#type: "CalicoNodeIP".to_owned() });
    let kubernetes = own.iter().filter(|it| matches!(it.r#type.as_str(), "InternalIP" | "ExternalIP"));
    calico.chain(kubernetes.cloned()).collect()
}

/// Reads annotations and notes those that are invalid.
struct Reader<'a> {
    meta: &'a Meta,
    warnings: Vec<Warning>,
}

impl Reader<'_> {
    fn read(&mut self, name: &str, is_valid: fn(&str) -> bool) -> Option<String> {
        let name = format!("{PREFIX}{name}");
        let text = self.meta.annotation(&name)?;
        if is_valid(text) {
            return Some(text.to_owned());
        }
        self.warnings.push(Warning::ignored(format!("{name}: `{text}` is invalid and ignored")));
        None
    }

    fn text(&mut self, name: &str, is_valid: fn(&str) -> bool) -> String {
        self.read(name, is_valid).unwrap_or_default()
    }

    fn json<T: Default + serde::de::DeserializeOwned>(&mut self, name: &str) -> T {
        let Some(text) = self.meta.annotation(name) else { return T::default() };
        match serde_json::from_str::<Option<T>>(text) {
            Ok(value) => value.unwrap_or_default(),
            Err(error) => {
                self.warnings.push(Warning::ignored(format!("{name}: ignored, since its JSON is invalid: {error}")));
                T::default()
            }
        }
    }
}

fn is_cidr(text: &str, v6: bool) -> bool {
    parse_cidr(text).is_ok_and(|net| net.addr().is_ipv6() == v6)
}

fn is_v4(text: &str) -> bool {
    parse_address(text).is_ok_and(|address| address.is_ipv4())
}

fn is_v6(text: &str) -> bool {
    parse_address(text).is_ok_and(|address| address.is_ipv6())
}

fn is_mac(text: &str) -> bool {
    text.parse::<Mac>().is_ok()
}

/// A number, or two halves with a dot between.
fn is_as_number(text: &str) -> bool {
    match text.split_once('.') {
        Some((high, low)) => high.parse::<u16>().is_ok() && low.parse::<u16>().is_ok(),
        None => text.parse::<u32>().is_ok(),
    }
}

/// An AS number as an annotation has it.
pub(crate) fn as_number_text(number: &Value) -> String {
    number.as_str().map_or_else(|| number.to_string(), str::to_owned)
}

/// A valid AS number as it is kept: a number.
pub(crate) fn as_number(text: &str) -> AsNumber {
    let half = |text: &str| text.parse::<u64>().unwrap_or(0);
    let number = match text.split_once('.') {
        Some((high, low)) => (half(high) << 16) + half(low),
        None => half(text),
    };
    AsNumber(Value::from(number))
}

#[cfg(test)]
mod tests;
