//! A Kubernetes NetworkPolicy as Calico's.
//!
//! Such a policy only allows: what it selects and does not allow is denied. So whatever cannot be read in a rule leaves
//! that rule out, which allows less. (Calico lets a peer with an unreadable CIDR match every address.)

use serde::Deserialize;
use serde_json::{Map, Value};
use tortie_api::Kind;
use tortie_api::kinds::network_policy::{NetworkPolicySpec, PolicyType};
use tortie_api::kinds::rule::{EntityRule, Rule};
use tortie_api::kinds::staged_kubernetes_network_policy::{EgressRule, IngressRule, Peer, PolicyPort};
use tortie_api::scalar::{Port, Protocol};
use tortie_net::{PortRange, parse_cidr};

use super::ports::Ports;
use super::{ConversionError, Converted, Warning, object, understood};
use crate::custom::uid;
use crate::meta::{Meta, null_is_empty};

const ORDER: f64 = 1000.0;
const TIER: &str = "default";

/// A NetworkPolicy of `networking.k8s.io/v1`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NetworkPolicy {
    /// Its metadata.
    pub metadata: Meta,
    /// What it says.
    pub spec: NetworkPolicyRules,
}

/// The spec of a NetworkPolicy. What is in it is read when it is converted, each part by itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkPolicyRules {
    /// The pods that it is for.
    pub pod_selector: Value,
    /// What may come in.
    #[serde(deserialize_with = "null_is_empty")]
    pub ingress: Vec<Value>,
    /// What may go out.
    #[serde(deserialize_with = "null_is_empty")]
    pub egress: Vec<Value>,
    /// The directions that it governs.
    #[serde(deserialize_with = "null_is_empty")]
    pub policy_types: Vec<String>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// The Calico policy of a Kubernetes one.
pub fn network_policy(source: &NetworkPolicy) -> Result<Converted, ConversionError> {
    let (meta, spec) = (&source.metadata, &source.spec);
    let mut metadata = meta.as_calico(meta.name.clone(), meta.namespace.clone());
    if !meta.uid.is_empty() {
        metadata.uid = uid::transform(&meta.uid).map_err(|error| ConversionError(error.to_string()))?;
    }
    let mut warnings = Vec::new();
    let ingress = spec.ingress.iter().enumerate().flat_map(|(at, rule)| {
        let source = |entity| Rule { source: entity, ..Rule::default() };
        let read = understood::whole::<IngressRule>(rule).and_then(|rule| rules(&rule.from, &rule.ports, source));
        or_left_out(read, "ingress", at, &mut warnings)
    });
    let ingress: Vec<Rule> = ingress.collect();
    let egress = spec.egress.iter().enumerate().flat_map(|(at, rule)| {
        let destination = |entity| Rule { destination: entity, ..Rule::default() };
        let read = understood::whole::<EgressRule>(rule).and_then(|rule| rules(&rule.to, &rule.ports, destination));
        or_left_out(read, "egress", at, &mut warnings)
    });
    let egress: Vec<Rule> = egress.collect();
    let named = |direction: &&str| spec.policy_types.iter().any(|it| it == direction);
    let mut types: Vec<PolicyType> =
        ["Ingress", "Egress"].iter().filter(|it| named(it)).map(|it| PolicyType((*it).to_owned())).collect();
    if types.is_empty() {
        types.push(PolicyType("Ingress".to_owned()));
    }
    let pods = match &spec.pod_selector {
        Value::Null => understood::pods(None),
        given => understood::whole(given).and_then(|selector| understood::pods(Some(&selector))),
    };
    let converted = NetworkPolicySpec {
        tier: TIER.to_owned(),
        order: Some(ORDER),
        ingress,
        egress,
        selector: pods.as_ref().cloned().unwrap_or_default(),
        types,
        ..NetworkPolicySpec::default()
    };
    let mut object = object(Kind::KubernetesNetworkPolicy, metadata, converted);
    if let Err(error) = pods {
        let given = ("podSelector", &spec.pod_selector);
        understood::unreadable_scope(&mut object, "selector", given, &error, &mut warnings);
    }
    understood::unknown_fields(&mut object, "selector", &spec.unknown, &mut warnings);
    Ok(Converted { object, warnings })
}

/// The rules of one rule; none, with a warning, if something in it cannot be read.
fn or_left_out(
    read: Result<Vec<Rule>, ConversionError>,
    direction: &str,
    at: usize,
    warnings: &mut Vec<Warning>,
) -> Vec<Rule> {
    read.unwrap_or_else(|error| {
        let text = format!("{direction} rule {} is left out, and so allows nothing: {error}", at + 1);
        warnings.push(Warning::unreadable(text));
        Vec::new()
    })
}

/// A rule for each protocol and each peer.
fn rules(
    peers: &[Peer],
    ports: &[PolicyPort],
    with_peer: impl Fn(EntityRule) -> Rule,
) -> Result<Vec<Rule>, ConversionError> {
    let (entities, matches) = matches(peers, ports)?;
    let pairs =
        matches.iter().flat_map(|(protocol, ports)| entities.iter().map(move |entity| (protocol, ports, entity)));
    let rule = |(protocol, ports, entity): (&Option<String>, &Vec<Port>, &EntityRule)| {
        let mut rule = with_peer(entity.clone());
        rule.action = "Allow".to_owned();
        rule.protocol = protocol.as_deref().map(Protocol::from);
        rule.destination.ports = ports.clone();
        rule
    };
    Ok(pairs.map(rule).collect())
}

type Matches = (Vec<EntityRule>, Vec<(Option<String>, Vec<Port>)>);

fn matches(peers: &[Peer], ports: &[PolicyPort]) -> Result<Matches, ConversionError> {
    let mut wanted = Ports::default();
    for port in ports {
        wanted.add(port.protocol.as_deref().filter(|it| !it.is_empty()).unwrap_or("TCP"), self::port(port)?);
    }
    let entities = match peers {
        [] => vec![EntityRule::default()],
        peers => peers.iter().map(peer).collect::<Result<_, _>>()?,
    };
    Ok((entities, scalars(wanted)))
}

/// Converts ports to the form that rules have.
pub(super) fn scalars(ports: Ports) -> Vec<(Option<String>, Vec<Port>)> {
    let scalar = |port: tortie_net::Port| match port {
        tortie_net::Port::Number(number) => Port::from(u64::from(number)),
        other => Port::from(other.to_string().as_str()),
    };
    ports
        .into_matches()
        .into_iter()
        .map(|(protocol, ports)| (protocol, ports.into_iter().map(scalar).collect()))
        .collect()
}

fn port(port: &PolicyPort) -> Result<Option<tortie_net::Port>, ConversionError> {
    let Some(text) = port.port.as_ref().map(tortie_api::scalar::IntOrString::text).filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let parsed: tortie_net::Port = text.parse().map_err(|error| ConversionError(format!("`port`: {error}")))?;
    match (port.end_port, &parsed) {
        (None, _) => Ok(Some(parsed)),
        (Some(last), tortie_net::Port::Number(first)) => {
            let last =
                u16::try_from(last).map_err(|_| ConversionError(format!("`endPort`: {last} is not a port number")))?;
            let range = PortRange::new(*first, last).map_err(|error| ConversionError(error.to_string()))?;
            Ok(Some(range.into()))
        }
        (Some(last), _) => {
            Err(ConversionError(format!("the port `{text}` cannot be followed by the last port {last}")))
        }
    }
}

fn peer(peer: &Peer) -> Result<EntityRule, ConversionError> {
    let Some(block) = &peer.ip_block else {
        return Ok(EntityRule {
            selector: understood::pods(peer.pod_selector.as_ref())?,
            namespace_selector: understood::namespaces(peer.namespace_selector.as_ref())?,
            ..EntityRule::default()
        });
    };
    Ok(EntityRule {
        nets: vec![net("ipBlock.cidr", &block.cidr)?],
        not_nets: block.except.iter().map(|text| net("ipBlock.except", text)).collect::<Result<_, _>>()?,
        ..EntityRule::default()
    })
}

/// The CIDR of a field, without what is set beyond its prefix length.
pub(super) fn net(field: &str, text: &str) -> Result<String, ConversionError> {
    match parse_cidr(text) {
        Ok(net) if text.contains('/') => Ok(net.trunc().to_string()),
        _ => Err(ConversionError(format!("`{text}` in `{field}` is not a CIDR"))),
    }
}

#[cfg(test)]
mod tests;
