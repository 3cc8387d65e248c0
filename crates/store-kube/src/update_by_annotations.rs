//! Updates of workload endpoints and nodes: what they keep in annotations of their pod or Kubernetes node.
//!
//! An update changes annotations only. Whether they make of the object what was asked for is not decided field by field:
//! the annotations are put into the object as it is, that is converted again, and what then differs from what was asked
//! for is refused with what it follows from.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};
use tortie_api::kinds::node::{NodeSpec, NodeStatus};
use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::{Key, Object, decode, kube_labels};
use tortie_store::{Operation, Stored, Unsupported, WriteError};

use crate::convert::node::{self, ANNOTATIONS, LABELS, PREFIX};
use crate::convert::pod::{CONTAINER_ID, POD_IP, POD_IPS};
use crate::item::{Decoder, Item};
use crate::source::Source;

/// Annotations to write; without a value one is removed.
type Annotations = BTreeMap<String, Option<String>>;

/// The patch of the pod or node that makes its object the wanted one. `body` is the pod or node as the server gave it, and
/// `current` the object that it is here.
pub(crate) fn patch(
    decoder: &Decoder,
    source: Source,
    body: &Bytes,
    current: &Stored,
    wanted: &[u8],
) -> Result<Json, WriteError> {
    let key = &current.key;
    let mut wanted = decode::stored(key, wanted).map_err(|error| WriteError::Refused(error.to_string()))?;
    if let Some(number) = wanted.body.get_mut("spec").and_then(|spec| spec.pointer_mut("/bgp/asNumber")) {
        // A number may be written as text.
        *number = node::as_number(&node::as_number_text(number)).0;
    }
    let raw: Json = serde_json::from_slice(body).map_err(|error| WriteError::Refused(error.to_string()))?;
    let before = decode::stored(key, &current.value).map_err(|_| unreadable(source, current))?;
    let annotations = match source {
        Source::Pods => of_pod(&before, &wanted),
        _ => of_node(&raw, &wanted),
    };
    let after = with(decoder, source, key, &raw, &annotations).map_err(refusal)?;
    let differing = match source {
        Source::Pods => fields_that_differ(&after, &wanted, &[]),
        _ => {
            let mut differing = fields_that_differ(&after, &wanted, &NODE_FIELDS_LEFT_OUT);
            // Addresses follow from others too: those of before the change are no request.
            differing.retain(|field| field != "spec.addresses" || field_of(&before, field) != field_of(&wanted, field));
            differing
        }
    };
    if let Some(field) = differing.first() {
        let follows = if source == Source::Pods { of_what_pod(field) } else { of_what_node(field) };
        return Err(refusal(format!("{field} cannot be changed here: {follows}")));
    }
    let metadata = &raw["metadata"];
    Ok(json!({ "metadata": {
        "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], "annotations": annotations,
    } }))
}

fn refusal(reason: String) -> WriteError {
    Unsupported { reason: Some(reason) }.refusal(Operation::Update)
}

fn unreadable(source: Source, current: &Stored) -> WriteError {
    let why = current.value.unreadable().unwrap_or("it cannot be read");
    refusal(format!("the {} that it is made of has to be corrected first: {why}", one_of(source)))
}

fn one_of(source: Source) -> &'static str {
    if source == Source::Pods { "pod" } else { "Kubernetes node" }
}

/// What the CNI plugin notes in a pod. A pod without addresses has the annotations of one whose network was taken away.
fn of_pod(before: &Object, wanted: &Object) -> Annotations {
    let spec = |object: &Object| object.spec::<WorkloadEndpointSpec>().unwrap_or_default();
    let (before, wanted) = (spec(before), spec(wanted));
    let mut annotations = Annotations::new();
    if before.ip_networks != wanted.ip_networks {
        annotations.insert(POD_IP.to_owned(), Some(wanted.ip_networks.first().cloned().unwrap_or_default()));
        annotations.insert(POD_IPS.to_owned(), Some(wanted.ip_networks.join(",")));
    }
    if before.container_id != wanted.container_id {
        annotations.insert(CONTAINER_ID.to_owned(), Some(wanted.container_id).filter(|id| !id.is_empty()));
    }
    annotations
}

/// What Calico's node adds to that of Kubernetes.
fn of_node(raw: &Json, wanted: &Object) -> Annotations {
    let spec: NodeSpec = wanted.spec().unwrap_or_default();
    let status = wanted.body.get("status").cloned().unwrap_or_default();
    let status: NodeStatus = serde_json::from_value(status).unwrap_or_default();
    let (bgp, wireguard) = (spec.bgp.unwrap_or_default(), spec.wireguard.unwrap_or_default());
    let interfaces = (!spec.interfaces.is_empty()).then(|| tortie_api::encode::go_json(&json!(spec.interfaces), false));
    let mut annotations: Annotations = [
        ("ASNumber", bgp.as_number.map(|number| node::as_number_text(&number.0)).unwrap_or_default()),
        ("IPv4Address", bgp.ipv4_address),
        ("IPv6Address", bgp.ipv6_address),
        ("IPv4IPIPTunnelAddr", bgp.ipv4_ipip_tunnel_addr),
        ("RouteReflectorClusterID", bgp.route_reflector_cluster_id),
        ("IPv4WireguardInterfaceAddr", wireguard.interface_i_pv4_address),
        ("IPv6WireguardInterfaceAddr", wireguard.interface_i_pv6_address),
        ("IPv4VXLANTunnelAddr", spec.ipv4_vxlan_tunnel_addr),
        ("VXLANTunnelMACAddr", spec.vxlan_tunnel_mac_addr),
        ("IPv6VXLANTunnelAddr", spec.ipv6_vxlan_tunnel_addr),
        ("VXLANTunnelMACAddrV6", spec.vxlan_tunnel_mac_addr_v6),
        ("WireguardPublicKey", status.wireguard_public_key),
        ("WireguardPublicKeyV6", status.wireguard_public_key_v6),
        ("Interfaces", interfaces.unwrap_or_default()),
    ]
    .map(|(name, text)| (format!("{PREFIX}{name}"), Some(text).filter(|text| !text.is_empty())))
    .into();
    let kubernetes = raw["metadata"]["labels"].as_object();
    let is_kubernetes = |name: &str| kubernetes.is_some_and(|labels| labels.contains_key(name));
    let labels = wanted.metadata.labels.iter().filter(|(name, _)| !is_kubernetes(name));
    let noted = wanted.metadata.annotations.iter().filter(|(name, _)| *name != kube_labels::ANNOTATION);
    annotations.insert(LABELS.to_owned(), map_text(labels));
    annotations.insert(ANNOTATIONS.to_owned(), map_text(noted));
    // What has no such annotation needs none removed.
    let has = |name: &String| !raw["metadata"]["annotations"][name].is_null();
    annotations.retain(|name, value| value.is_some() || has(name));
    annotations
}

fn map_text<'a>(map: impl Iterator<Item = (&'a String, &'a String)>) -> Option<String> {
    let map: Map<String, Json> = map.map(|(name, value)| (name.clone(), json!(value))).collect();
    (!map.is_empty()).then(|| tortie_api::encode::go_json(&Json::Object(map), false))
}

/// The object that the pod or node would be with these annotations.
fn with(decoder: &Decoder, source: Source, key: &Key, raw: &Json, annotations: &Annotations) -> Result<Object, String> {
    let mut raw = raw.clone();
    for (name, value) in annotations {
        match value {
            Some(value) => raw["metadata"]["annotations"][name] = json!(value),
            None => drop(raw["metadata"]["annotations"].as_object_mut().map(|all| all.shift_remove(name))),
        }
    }
    let body = serde_json::to_vec(&raw).map_err(|error| error.to_string())?;
    match decoder.object(source, &body)? {
        Item::Object(stored) => match stored.value.unreadable() {
            Some(why) => Err(why.to_owned()),
            None => decode::stored(key, &stored.value).map_err(|error| error.to_string()),
        },
        Item::Nothing(_) | Item::Foreign => Err(format!("the {} is none of ours", one_of(source))),
    }
}

/// Fields of nodes that a manifest may leave out, since they follow from the Kubernetes node.
const NODE_FIELDS_LEFT_OUT: [&str; 3] = ["spec.addresses", "spec.orchRefs", "status"];

/// The fields in which an object is not the wanted one. Of those that may be left out only what is said counts.
fn fields_that_differ(made: &Object, wanted: &Object, may_be_left_out: &[&str]) -> Vec<String> {
    let mut differing = Vec::new();
    // Who read the labels before has the note of them; who has not says only which labels there are beside Kubernetes' own.
    let kubernetes = wanted.metadata.annotations.contains_key(kube_labels::ANNOTATION) || may_be_left_out.is_empty();
    let of = |object: &Object, name: &str| object.metadata.labels.get(name).cloned();
    let names = made.metadata.labels.keys().filter(|_| kubernetes).chain(wanted.metadata.labels.keys());
    differing.extend(
        names.filter(|name| of(made, name) != of(wanted, name)).take(1).map(|name| format!("metadata.labels.{name}")),
    );
    let noted = |object: &Object| {
        let all = object.metadata.annotations.iter().filter(|(name, _)| *name != kube_labels::ANNOTATION);
        all.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>()
    };
    if noted(made) != noted(wanted) {
        differing.push("metadata.annotations".to_owned());
    }
    for part in ["spec", "status"] {
        let of = |object: &Object| match object.body.get(part) {
            Some(Json::Object(fields)) => fields.clone(),
            _ => Map::new(),
        };
        let (made, wanted) = (of(made), of(wanted));
        let names: std::collections::BTreeSet<&String> = made.keys().chain(wanted.keys()).collect();
        for name in names {
            let field = format!("{part}.{name}");
            let may_lack = may_be_left_out.iter().any(|left| *left == field || *left == part);
            let value = |fields: &Map<String, Json>| fields.get(name).filter(|value| !is_empty(value)).cloned();
            let (made, wanted) = (value(&made), value(&wanted));
            if made != wanted && !(may_lack && wanted.is_none()) {
                differing.push(field);
            }
        }
    }
    differing
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.values().all(is_empty),
        Json::String(text) => text.is_empty(),
        _ => false,
    }
}

fn field_of<'a>(object: &'a Object, field: &str) -> Option<&'a Json> {
    let (part, name) = field.split_once('.')?;
    object.body.get(part)?.get(name)
}

/// What a field of a workload endpoint follows from.
fn of_what_pod(field: &str) -> &'static str {
    match field {
        "spec.orchestrator" | "spec.node" | "spec.pod" | "spec.endpoint" => "it follows from the pod and its node",
        "spec.serviceAccountName" => "it is the pod's serviceAccountName",
        "spec.profiles" => "they follow from the pod's namespace and service account",
        "spec.interfaceName" => "it follows from the names of namespace and pod",
        "spec.ports" => "they are the ports of the pod's containers",
        "spec.ipNetworks" => {
            "the addresses in the pod's status count before what the CNI plugin notes, and a finished pod has none"
        }
        "spec.ipNATs" => "they are the pod's annotation cni.projectcalico.org/floatingIPs",
        "spec.allowSpoofedSourcePrefixes" => {
            "they are the pod's annotation cni.projectcalico.org/allowedSourcePrefixes"
        }
        "spec.qosControls" => "they are the pod's annotations qos.projectcalico.org/...",
        "metadata.annotations" => "a pod's annotations are not the endpoint's",
        _ if field.starts_with("metadata.labels") => {
            "labels are those of the pod, so change them there with kubectl label"
        }
        _ => "pods have nothing that it could follow from",
    }
}

/// What a field of a node follows from.
fn of_what_node(field: &str) -> &'static str {
    match field {
        "spec.addresses" => "they are spec.bgp's and the InternalIP and ExternalIP of the Kubernetes node",
        "spec.orchRefs" => "it is the name of the Kubernetes node",
        "status.podCIDRs" => "they are the Kubernetes node's spec.podCIDRs",
        "spec.bgp" | "spec.wireguard" => "a tunnel's address follows from the podCIDR, or a value of it is invalid",
        _ if field.starts_with("metadata.labels") => {
            "the label is the Kubernetes node's, so change it there with kubectl label"
        }
        _ => "its value is invalid",
    }
}
