//! A Kubernetes ClusterNetworkPolicy as a GlobalNetworkPolicy.
//!
//! A rule that cannot be read never allows more: one that accepts is left out, one that denies or passes on denies
//! everything that reaches it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};
use tortie_api::Kind;
use tortie_api::kinds::network_policy::{GlobalNetworkPolicySpec, PolicyType};
use tortie_api::kinds::rule::{EntityRule, Rule, RuleMetadata};
use tortie_api::kinds::staged_kubernetes_network_policy::LabelSelector;
use tortie_api::scalar::Protocol;
use tortie_net::PortRange;

use super::network_policy::{net, scalars};
use super::ports::Ports;
use super::{ConversionError, Converted, object};
use crate::custom::uid;
use crate::meta::{Meta, null_is_empty};

/// A ClusterNetworkPolicy of `policy.networking.k8s.io/v1alpha2`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClusterNetworkPolicy {
    /// Its metadata.
    pub metadata: Meta,
    /// What it says.
    pub spec: ClusterNetworkPolicyRules,
}

/// The spec of a ClusterNetworkPolicy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClusterNetworkPolicyRules {
    /// `Admin` or `Baseline`.
    pub tier: String,
    /// Its place in the tier: lower comes first.
    pub priority: i32,
    /// The pods that it is for.
    pub subject: Pods,
    /// Rules for what comes in.
    #[serde(deserialize_with = "null_is_empty")]
    pub ingress: Vec<ClusterRule>,
    /// Rules for what goes out.
    #[serde(deserialize_with = "null_is_empty")]
    pub egress: Vec<ClusterRule>,
}

/// A rule of a ClusterNetworkPolicy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClusterRule {
    /// Its name, for people.
    pub name: String,
    /// `Accept`, `Deny` or `Pass`.
    pub action: String,
    /// Where it comes from, in ingress rules.
    #[serde(deserialize_with = "null_is_empty")]
    pub from: Vec<Pods>,
    /// Where it goes to, in egress rules.
    #[serde(deserialize_with = "null_is_empty")]
    pub to: Vec<Pods>,
    /// Only these protocols and ports.
    #[serde(deserialize_with = "null_is_empty")]
    pub protocols: Vec<ProtocolMatch>,
}

/// Pods or addresses: one of these is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pods {
    /// All pods of namespaces with these labels.
    pub namespaces: Option<LabelSelector>,
    /// Pods with these labels in namespaces with these.
    pub pods: Option<NamespacedPods>,
    /// Addresses; only for where egress rules go to.
    #[serde(deserialize_with = "null_is_empty")]
    pub networks: Vec<String>,
    /// Peers of other kinds, which are not known here: `nodes`, `domainNames`.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// Pods by their labels and their namespaces'.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespacedPods {
    /// Labels of the namespaces.
    pub namespace_selector: LabelSelector,
    /// Labels of the pods.
    pub pod_selector: LabelSelector,
}

/// A protocol, or the name of a port. Nothing set matches everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProtocolMatch {
    /// TCP.
    pub tcp: Option<PortsMatch>,
    /// UDP.
    pub udp: Option<PortsMatch>,
    /// SCTP.
    pub sctp: Option<PortsMatch>,
    /// The name of a port of the pods.
    pub destination_named_port: String,
}

/// Ports of a protocol.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortsMatch {
    /// The ports; all if absent.
    pub destination_port: Option<PortMatch>,
}

/// A port or a range of ports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PortMatch {
    /// The port.
    pub number: Option<u16>,
    /// The range.
    pub range: Option<Range>,
}

/// A range of ports, both ends included.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Range {
    /// The first.
    pub start: u16,
    /// The last.
    pub end: u16,
}

/// The global policy of a cluster policy; `None` for one of an unknown tier or subject, which counts as deleted.
pub fn global_network_policy(source: &ClusterNetworkPolicy) -> Result<Option<Converted>, ConversionError> {
    let (meta, spec) = (&source.metadata, &source.spec);
    let Some(tier) = tier(&spec.tier) else { return Ok(None) };
    let Some((selector, namespace_selector)) = selectors(&spec.subject) else { return Ok(None) };
    let mut metadata = meta.as_calico(meta.name.clone(), String::new());
    if !meta.uid.is_empty() {
        metadata.uid = uid::transform(&meta.uid).map_err(|error| ConversionError(error.to_string()))?;
    }
    let mut warnings = Vec::new();
    let mut all = |direction: &str, list: &[ClusterRule]| -> Vec<Rule> {
        let each = list.iter().enumerate();
        each.flat_map(|(at, rule)| rules(&place(direction, at, rule), rule, direction, &mut warnings)).collect()
    };
    let (ingress, egress) = (all("ingress", &spec.ingress), all("egress", &spec.egress));
    let mut types = Vec::new();
    for (name, rules) in [("Ingress", &ingress), ("Egress", &egress)] {
        if !rules.is_empty() {
            types.push(PolicyType(name.to_owned()));
        }
    }
    if types.is_empty() {
        // Without rules, packets pass on to the next tier whatever the types are; but no types at all would stand for
        // a policy of an old release.
        types.push(PolicyType("Ingress".to_owned()));
    }
    let spec = GlobalNetworkPolicySpec {
        tier: tier.to_owned(),
        order: Some(f64::from(spec.priority)),
        ingress,
        egress,
        selector,
        namespace_selector,
        types,
        ..GlobalNetworkPolicySpec::default()
    };
    Ok(Some(Converted { object: object(Kind::KubernetesClusterNetworkPolicy, metadata, spec), warnings }))
}

/// The tier that one of these policies names.
fn tier(name: &str) -> Option<&'static str> {
    match name {
        "Admin" => Some("kube-admin"),
        "Baseline" => Some("kube-baseline"),
        _ => None,
    }
}

/// Why a policy counts as deleted, as it does in Calico; none if it counts.
pub fn why_ignored(source: &ClusterNetworkPolicy) -> Option<String> {
    let spec = &source.spec;
    if tier(&spec.tier).is_none() {
        let name = &spec.tier;
        return Some(format!("it is not enforced: its tier is `{name}`, and only `Admin` and `Baseline` are known"));
    }
    selectors(&spec.subject).is_none().then(|| {
        "it is not enforced: its subject has neither `namespaces` nor `pods`, the only ones that are known".to_owned()
    })
}

/// The selectors of pods and of their namespaces.
fn selectors(pods: &Pods) -> Option<(String, String)> {
    match (&pods.namespaces, &pods.pods) {
        (Some(namespaces), _) => Some((LabelSelector::pods(None), LabelSelector::namespaces(Some(namespaces)))),
        (None, Some(it)) => {
            Some((LabelSelector::pods(Some(&it.pod_selector)), LabelSelector::namespaces(Some(&it.namespace_selector))))
        }
        (None, None) => None,
    }
}

/// As users find a rule in their manifest: by its number from 1, and its name.
fn place(direction: &str, at: usize, rule: &ClusterRule) -> String {
    let name = if rule.name.is_empty() { String::new() } else { format!(" `{}`", rule.name) };
    format!("{direction} rule {}{name}", at + 1)
}

/// The rules of one rule: one for each protocol and each peer.
fn rules(place: &str, rule: &ClusterRule, direction: &str, warnings: &mut Vec<String>) -> Vec<Rule> {
    let metadata = (!rule.name.is_empty())
        .then(|| RuleMetadata { annotations: BTreeMap::from([("name".to_owned(), rule.name.clone())]) });
    match converted(rule, direction) {
        Ok(rules) => rules.into_iter().map(|it| Rule { metadata: metadata.clone(), ..it }).collect(),
        Err(error) if rule.action == "Accept" => {
            warnings.push(format!("{place} is left out, and so accepts nothing: {error}"));
            Vec::new()
        }
        Err(error) => {
            warnings.push(format!("{place} denies everything that reaches it: {error}"));
            vec![Rule { action: "Deny".to_owned(), metadata, ..Rule::default() }]
        }
    }
}

fn converted(rule: &ClusterRule, direction: &str) -> Result<Vec<Rule>, ConversionError> {
    let action = match rule.action.as_str() {
        "Accept" => "Allow",
        "Deny" => "Deny",
        "Pass" => "Pass",
        other => return Err(ConversionError(format!("`{other}` is not an action"))),
    };
    let is_egress = direction == "egress";
    let peers = if is_egress { &rule.to } else { &rule.from };
    if peers.is_empty() {
        return Err(ConversionError::new("it names no peers"));
    }
    let peers: Vec<EntityRule> = peers.iter().map(|it| peer(it, is_egress)).collect::<Result<_, _>>()?;
    let matches = scalars(ports(&rule.protocols)?);
    let mut rules = Vec::with_capacity(peers.len() * matches.len());
    for (protocol, ports) in &matches {
        for peer in &peers {
            let mut made = Rule { action: action.to_owned(), ..Rule::default() };
            made.protocol = protocol.as_deref().map(Protocol::from);
            *(if is_egress { &mut made.destination } else { &mut made.source }) = peer.clone();
            made.destination.ports = ports.clone();
            rules.push(made);
        }
    }
    Ok(rules)
}

fn peer(peer: &Pods, is_egress: bool) -> Result<EntityRule, ConversionError> {
    if let Some((selector, namespace_selector)) = selectors(peer) {
        return Ok(EntityRule { selector, namespace_selector, ..EntityRule::default() });
    }
    if !is_egress || peer.networks.is_empty() {
        let networks = (!peer.networks.is_empty()).then_some("networks");
        let fields: Vec<String> =
            peer.unknown.keys().map(String::as_str).chain(networks).map(|name| format!("`{name}`")).collect();
        return Err(match fields.is_empty() {
            true => ConversionError::new("one of its peers is empty"),
            false => ConversionError(format!("one of its peers is {}, which is not supported", fields.join(" and "))),
        });
    }
    let nets = peer.networks.iter().map(|text| net("networks", text)).collect::<Result<_, _>>()?;
    Ok(EntityRule { nets, ..EntityRule::default() })
}

fn ports(protocols: &[ProtocolMatch]) -> Result<Ports, ConversionError> {
    let mut ports = Ports::default();
    for it in protocols {
        let known = [("TCP", &it.tcp), ("UDP", &it.udp), ("SCTP", &it.sctp)];
        match known.into_iter().find_map(|(name, found)| Some((name, found.as_ref()?))) {
            Some((name, found)) => ports.add(name, found.destination_port.as_ref().map(port).transpose()?),
            None if !it.destination_named_port.is_empty() => {
                let name = it.destination_named_port.parse().map_err(|error| ConversionError(format!("{error}")))?;
                ports.add("", Some(name));
            }
            // Everything: no other entry counts.
            None => return Ok(Ports::default()),
        }
    }
    Ok(ports)
}

fn port(port: &PortMatch) -> Result<tortie_net::Port, ConversionError> {
    match (port.number, &port.range) {
        (Some(number), _) => Ok(tortie_net::Port::Number(number)),
        (None, Some(range)) => PortRange::new(range.start, range.end)
            .map(tortie_net::Port::from)
            .map_err(|error| ConversionError(error.to_string())),
        (None, None) => Err(ConversionError::new("a port has neither a number nor a range")),
    }
}

#[cfg(test)]
mod tests;
