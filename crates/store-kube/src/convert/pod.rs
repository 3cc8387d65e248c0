//! A pod as a workload endpoint.

use ipnet::IpNet;
use serde::Deserialize;
use sha1::{Digest, Sha1};
use tortie_api::kinds::workload_endpoint::{IpNat, WorkloadEndpointPort, WorkloadEndpointSpec};
use tortie_api::scalar::Protocol;
use tortie_api::{Key, Kind, names};
use tortie_net::parse_cidr;

use super::{ConversionError, Converted, object, qos};
use crate::meta::{Meta, null_is_empty};

/// The annotation that the CNI plugin keeps the first address in. Empty says that the network was taken away.
pub const POD_IP: &str = "cni.projectcalico.org/podIP";
/// The annotation that the CNI plugin keeps all addresses in.
pub const POD_IPS: &str = "cni.projectcalico.org/podIPs";
/// The annotation that the CNI plugin keeps the container in.
pub const CONTAINER_ID: &str = "cni.projectcalico.org/containerID";
const AWS_POD_IPS: &str = "vpc.amazonaws.com/pod-ips";
const FLOATING_IPS: &str = "cni.projectcalico.org/floatingIPs";
const SOURCE_PREFIXES: &str = "cni.projectcalico.org/allowedSourcePrefixes";
const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
const NAMESPACE_LABEL: &str = "projectcalico.org/namespace";
const ORCHESTRATOR_LABEL: &str = "projectcalico.org/orchestrator";
const ACCOUNT_LABEL: &str = "projectcalico.org/serviceaccount";
/// The one endpoint of a pod.
pub const ENDPOINT: &str = "eth0";
/// What names of pods' interfaces on the host begin with, unless the agent is told otherwise.
pub const DEFAULT_INTERFACE_PREFIX: &str = "cali";

/// A pod, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its metadata.
    pub metadata: Meta,
    /// What was asked for.
    pub spec: PodSpec,
    /// What became of it.
    pub status: PodStatus,
}

/// The spec of a pod, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node that it was scheduled to; empty before.
    pub node_name: String,
    /// Whether it is in the host's own network.
    pub host_network: bool,
    /// The service account that it runs as.
    pub service_account_name: String,
    /// Its containers.
    #[serde(deserialize_with = "null_is_empty")]
    pub containers: Vec<Container>,
    /// The containers that run before.
    #[serde(deserialize_with = "null_is_empty")]
    pub init_containers: Vec<Container>,
}

/// A container, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its ports.
    #[serde(deserialize_with = "null_is_empty")]
    pub ports: Vec<ContainerPort>,
}

/// A port of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Its name.
    pub name: String,
    /// Its number.
    pub container_port: u16,
    /// TCP, UDP or SCTP; TCP if empty.
    pub protocol: String,
    /// The port of the host that leads to it; 0 for none.
    pub host_port: u16,
    /// The address of the host that the port is on.
    #[serde(rename = "hostIP")]
    pub host_ip: String,
}

/// The status of a pod, as far as it is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Pending, Running, Succeeded or Failed.
    pub phase: String,
    /// Its first address.
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    /// All its addresses.
    #[serde(rename = "podIPs", deserialize_with = "null_is_empty")]
    pub pod_ips: Vec<PodIp>,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

impl Pod {
    /// Whether a workload endpoint is made of it at all: it is scheduled, and has a network of its own.
    pub fn is_endpoint(&self) -> bool {
        !self.spec.host_network && !self.spec.node_name.is_empty()
    }

    /// Whether its addresses are no longer its own.
    pub fn is_finished(&self) -> bool {
        let is_empty = |name: &str| self.metadata.annotations.get(name).is_some_and(String::is_empty);
        let is_over = matches!(self.status.phase.as_str(), "Failed" | "Succeeded" | "Completed");
        is_over || (self.metadata.deletion_timestamp.is_some() && (is_empty(POD_IP) || is_empty(AWS_POD_IPS)))
    }

    /// Its addresses as they are written, and the field or the annotation that they are from: the status, or the first annotation
    /// that has some.
    fn addresses(&self) -> (&'static str, Vec<&str>) {
        let (status, metadata) = (&self.status, &self.metadata);
        if !status.pod_ips.is_empty() {
            ("status.podIPs", status.pod_ips.iter().map(|it| it.ip.as_str()).collect())
        } else if !status.pod_ip.is_empty() {
            ("status.podIP", vec![&status.pod_ip])
        } else if let Some(list) = metadata.annotation(POD_IPS) {
            (POD_IPS, list.split(',').collect())
        } else if let Some(one) = metadata.annotation(POD_IP) {
            (POD_IP, vec![one])
        } else if let Some(list) = metadata.annotation(AWS_POD_IPS) {
            (AWS_POD_IPS, list.split(',').collect())
        } else {
            ("status.podIPs", Vec::new())
        }
    }

    /// Its nets.
    fn nets(&self) -> Result<Vec<IpNet>, ConversionError> {
        let (place, texts) = self.addresses();
        let net = |text: &str| match parse_cidr(text) {
            Ok(net) => Ok(net.trunc()),
            Err(error) => Err(ConversionError(format!("{place}: {error}"))),
        };
        texts.into_iter().map(net).collect()
    }
}

/// Why a pod has no endpoint, or one without an address; none if it has one.
pub fn why_no_endpoint(pod: &Pod) -> Option<String> {
    let Pod { metadata, spec, status } = pod;
    let its = format!("pod {}/{}", metadata.namespace, metadata.name);
    let node = &spec.node_name;
    if spec.host_network {
        let uses = format!("{its} has no endpoint of its own, since it uses the network of its node (hostNetwork)");
        return Some(match node.as_str() {
            "" => format!("{uses}, and it is not on a node yet"),
            node => format!("{uses}: its packets are those of the node; name node/{node} instead"),
        });
    }
    if node.is_empty() {
        return Some(format!("{its} has no endpoint yet, since it is not on a node"));
    }
    if pod.is_finished() {
        let state = match status.phase.as_str() {
            phase @ ("Failed" | "Succeeded" | "Completed") => format!("it has finished ({phase})"),
            _ => "it is being deleted, and its network was taken away".to_owned(),
        };
        return Some(format!("{its} has no endpoint any more, since {state}: its address may be another pod's"));
    }
    let is_without = pod.nets().is_ok_and(|nets| nets.is_empty());
    is_without.then(|| format!("{its} has no address yet, so it has no endpoint"))
}

/// The workload endpoint of a pod; `None` for a pod that has none ([`Pod::is_endpoint`]). `interface_prefix` is what
/// names of pods' interfaces begin with on the host.
pub fn workload_endpoint(pod: &Pod, interface_prefix: &str) -> Result<Option<Converted>, ConversionError> {
    if !pod.is_endpoint() {
        return Ok(None);
    }
    let nets = if pod.is_finished() {
        // A bad address is an error of a finished pod too.
        pod.nets().map(|_| Vec::new())?
    } else {
        pod.nets()?
    };
    let (meta, account) = (&pod.metadata, &pod.spec.service_account_name);
    let mut profiles = vec![names::kubernetes::namespace_profile(&meta.namespace)];
    if !account.is_empty() {
        profiles.push(super::profile::account_name(&meta.namespace, account));
    }
    let (qos_controls, warnings) = qos::controls(&meta.annotations);
    let spec = WorkloadEndpointSpec {
        orchestrator: "k8s".to_owned(),
        node: pod.spec.node_name.clone(),
        container_id: meta.annotations.get(CONTAINER_ID).cloned().unwrap_or_default(),
        pod: meta.name.clone(),
        endpoint: ENDPOINT.to_owned(),
        service_account_name: account.clone(),
        ip_networks: nets.iter().map(IpNet::to_string).collect(),
        ip_nats: floating(pod, &nets)?,
        profiles,
        interface_name: interface_name(interface_prefix, &meta.namespace, &meta.name),
        ports: ports(pod),
        allow_spoofed_source_prefixes: source_prefixes(meta)?,
        qos_controls,
        ..WorkloadEndpointSpec::default()
    };
    let name = names::workload::compose(&spec)
        .map_err(|_| ConversionError::new("no name of a workload endpoint can be made of its node's and its own"))?;
    let mut metadata = meta.as_calico(name, meta.namespace.clone());
    metadata.generate_name = meta.generate_name.clone();
    metadata.labels = meta.labels.clone();
    metadata.labels.insert(NAMESPACE_LABEL.to_owned(), meta.namespace.clone());
    metadata.labels.insert(ORCHESTRATOR_LABEL.to_owned(), "k8s".to_owned());
    if (1..63).contains(&account.len()) {
        metadata.labels.insert(ACCOUNT_LABEL.to_owned(), account.clone());
    }
    if let Some(status) = meta.annotations.get(NETWORK_STATUS) {
        metadata.annotations.insert(NETWORK_STATUS.to_owned(), status.clone());
    }
    Ok(Some(Converted { object: object(Kind::WorkloadEndpoint, metadata, spec), warnings }))
}

/// What names the endpoint of a pod, whether it can be converted or not.
pub(crate) fn key(pod: &Pod) -> Option<Key> {
    let spec = WorkloadEndpointSpec {
        orchestrator: "k8s".to_owned(),
        node: pod.spec.node_name.clone(),
        pod: pod.metadata.name.clone(),
        endpoint: ENDPOINT.to_owned(),
        ..WorkloadEndpointSpec::default()
    };
    let name = names::workload::compose(&spec).ok()?;
    Some(Key::namespaced(Kind::WorkloadEndpoint, &pod.metadata.namespace, name))
}

/// The name of a pod's interface on its host. The CNI plugin makes the same.
pub fn interface_name(prefix: &str, namespace: &str, pod: &str) -> String {
    let hash = Sha1::digest(format!("{namespace}.{pod}"));
    let hex: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{}", &hex[..11])
}

/// Each floating address, and the pod's own address of its family. One whose family the pod does not have is left out.
fn floating(pod: &Pod, nets: &[IpNet]) -> Result<Vec<IpNat>, ConversionError> {
    let Some(text) = pod.metadata.annotations.get(FLOATING_IPS).filter(|_| !nets.is_empty()) else {
        return Ok(Vec::new());
    };
    let external: Vec<String> = json_list(FLOATING_IPS, text)?;
    if let Some(net) = nets.iter().find(|net| net.prefix_len() != net.max_prefix_len()) {
        let (place, _) = pod.addresses();
        return Err(ConversionError(format!("{place}: {net} is not a single address, and {FLOATING_IPS} needs one")));
    }
    // As in Calico, of several addresses of one family the last one counts.
    let own = |v6: bool| nets.iter().rev().find(|net| net.addr().is_ipv6() == v6);
    let pair = |external: String| {
        let internal = own(external.contains(':'))?;
        Some(IpNat { internal_ip: internal.addr().to_string(), external_ip: external })
    };
    Ok(external.into_iter().filter_map(pair).collect())
}

fn source_prefixes(meta: &Meta) -> Result<Vec<String>, ConversionError> {
    let Some(text) = meta.annotation(SOURCE_PREFIXES) else { return Ok(Vec::new()) };
    let net = |text: String| {
        let wrong = || ConversionError(format!("{SOURCE_PREFIXES}: `{text}` is not a CIDR"));
        // A bare address is refused here, unlike elsewhere.
        let net = Some(&text).filter(|text| text.contains('/')).ok_or_else(wrong)?;
        parse_cidr(net).map(|net| net.trunc().to_string()).map_err(|_| wrong())
    };
    json_list(SOURCE_PREFIXES, text)?.into_iter().map(net).collect()
}

fn json_list(name: &str, text: &str) -> Result<Vec<String>, ConversionError> {
    // Go reads `null` as an empty list.
    let list: Result<Option<Vec<String>>, _> = serde_json::from_str(text);
    list.map(Option::unwrap_or_default)
        .map_err(|error| ConversionError(format!("{name}: `{text}` is not a JSON list of texts: {error}")))
}

fn ports(pod: &Pod) -> Vec<WorkloadEndpointPort> {
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let counts = |port: &&ContainerPort| port.container_port != 0 && (port.host_port != 0 || !port.name.is_empty());
    let made = |port: &ContainerPort| {
        let protocol = match port.protocol.as_str() {
            "" | "TCP" => "TCP",
            "UDP" => "UDP",
            "SCTP" => "SCTP",
            _ => return None,
        };
        Some(WorkloadEndpointPort {
            name: port.name.clone(),
            protocol: Protocol::from(protocol),
            port: port.container_port,
            host_port: port.host_port,
            host_ip: port.host_ip.clone(),
        })
    };
    containers.flat_map(|container| &container.ports).filter(counts).filter_map(made).collect()
}

#[cfg(test)]
mod tests;
