//! Endpoints. Facts: enforcement sheet 2.1, 3, 3.11; datastore sheet appendix A.

use std::net::IpAddr;

use tortie_api::kinds::host_endpoint::HostEndpointSpec;
use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::{Metadata, Object, Path};
use tortie_net::{Protocol, parse_address, parse_cidr};

use super::rule::{NAMESPACE_PREFIX, SERVICE_ACCOUNT_PREFIX};
use super::{Invalid, spec};
use crate::endpoint::{HostEndpoint, Interface, Labels, Limits, NamedPort, Nat, Rate, WorkloadEndpoint, WorkloadId};

const SERVICE_ACCOUNT_LABEL: &str = "projectcalico.org/serviceaccount";
/// What Calico allows at once when only a rate is given.
const DEFAULT_PACKET_BURST: u32 = 5;

pub(super) fn host(object: &Object) -> Result<HostEndpoint, Invalid> {
    let path = Path::from("spec");
    let spec: HostEndpointSpec = spec(object)?;
    let ports = spec
        .ports
        .iter()
        .enumerate()
        .map(|(index, port)| named_port(&port.name, &port.protocol, port.port, &path.key("ports").index(index)));
    Ok(HostEndpoint {
        name: object.metadata.name.clone(),
        node: spec.node,
        interface: match spec.interface_name.as_str() {
            "" => Interface::ByAddress,
            "*" => Interface::All,
            name => Interface::Named(name.to_owned()),
        },
        addresses: spec
            .expected_ips
            .iter()
            .enumerate()
            .map(|(index, text)| address(text, &path.key("expectedIPs").index(index)))
            .collect::<Result<_, _>>()?,
        labels: object.metadata.labels.clone(),
        profiles: spec.profiles,
        ports: ports.collect::<Result<_, _>>()?,
    })
}

/// A workload endpoint; none while it has no address, as Calico leaves it out too: its interface stays closed.
pub(super) fn workload(object: &Object) -> Result<Option<WorkloadEndpoint>, Invalid> {
    let Metadata { namespace, name, labels, .. } = &object.metadata;
    let id = WorkloadId { namespace: namespace.clone(), name: name.clone() };
    workload_of(id, labels.clone(), spec(object)?)
}

/// The same out of its parts.
pub(super) fn workload_of(
    id: WorkloadId,
    mut labels: Labels,
    spec: WorkloadEndpointSpec,
) -> Result<Option<WorkloadEndpoint>, Invalid> {
    let path = Path::from("spec");
    if spec.ip_networks.is_empty() {
        return Ok(None);
    }
    if spec.interface_name.is_empty() {
        return Err(Invalid::new(&path.key("interfaceName"), "a workload endpoint needs an interface"));
    }
    let net = |text: &str, place: &Path| parse_cidr(text).map_err(|error| Invalid::new(place, error));
    let addresses = spec.ip_networks.iter().enumerate().map(|(index, text)| {
        let place = path.key("ipNetworks").index(index);
        let net = net(text, &place)?;
        if net.prefix_len() == net.max_prefix_len() {
            Ok(net.addr())
        } else {
            Err(Invalid::new(&place, "IP network contains multiple addresses"))
        }
    });
    let nats = spec.ip_nats.iter().enumerate().map(|(index, nat)| {
        let place = path.key("ipNATs").index(index);
        Ok(Nat {
            internal: address(&nat.internal_ip, &place.key("internalIP"))?,
            external: address(&nat.external_ip, &place.key("externalIP"))?,
        })
    });
    let spoofing =
        spec.allow_spoofed_source_prefixes.iter().enumerate().map(|(index, text)| {
            net(text, &path.key("allowSpoofedSourcePrefixes").index(index)).map(|net| net.trunc())
        });
    let ports = spec
        .ports
        .iter()
        .enumerate()
        .filter(|(_, port)| !port.name.is_empty())
        .map(|(index, port)| named_port(&port.name, &port.protocol, port.port, &path.key("ports").index(index)));
    labels.retain(|label, _| !label.starts_with(NAMESPACE_PREFIX) && !label.starts_with(SERVICE_ACCOUNT_PREFIX));
    if !spec.service_account_name.is_empty() {
        labels.insert(SERVICE_ACCOUNT_LABEL.to_owned(), spec.service_account_name.clone());
    }
    let qos = spec.qos_controls.clone().unwrap_or_default();
    Ok(Some(WorkloadEndpoint {
        precedence: precedence(&id.namespace, &spec),
        id,
        addresses: addresses.collect::<Result<_, _>>()?,
        nats: nats.collect::<Result<_, Invalid>>()?,
        spoofing: spoofing.collect::<Result<_, _>>()?,
        ports: ports.collect::<Result<_, _>>()?,
        ingress_limits: limits(qos.ingress_packet_rate, qos.ingress_packet_burst, qos.ingress_max_connections),
        egress_limits: limits(qos.egress_packet_rate, qos.egress_packet_burst, qos.egress_max_connections),
        node: spec.node,
        interface: spec.interface_name,
        pod: spec.pod,
        labels,
        profiles: spec.profiles,
        mac: spec.mac,
    }))
}

/// Orchestrator, namespace with workload, and endpoint, as the name spells them (datastore sheet section 2).
fn precedence(namespace: &str, spec: &WorkloadEndpointSpec) -> (String, String, String) {
    let workload = match spec.orchestrator.as_str() {
        "k8s" => &spec.pod,
        "cni" => &spec.container_id,
        "libnetwork" => &spec.orchestrator,
        _ => &spec.workload,
    };
    (spec.orchestrator.clone(), format!("{namespace}/{workload}"), spec.endpoint.clone())
}

fn limits(rate: i64, burst: i64, connections: i64) -> Limits {
    let positive = |value: i64| u32::try_from(value).ok().filter(|value| *value > 0);
    Limits {
        packets: positive(rate)
            .map(|per_second| Rate { per_second, burst: positive(burst).unwrap_or(DEFAULT_PACKET_BURST) }),
        connections: positive(connections),
    }
}

fn address(text: &str, path: &Path) -> Result<IpAddr, Invalid> {
    parse_address(text).map_err(|error| Invalid::new(path, error))
}

fn named_port(
    name: &str,
    protocol: &tortie_api::scalar::Protocol,
    port: u16,
    path: &Path,
) -> Result<NamedPort, Invalid> {
    let protocol =
        Protocol::parse_any_case(&protocol.text()).map_err(|error| Invalid::new(&path.key("protocol"), error))?;
    Ok(NamedPort { name: name.to_owned(), protocol, port })
}
