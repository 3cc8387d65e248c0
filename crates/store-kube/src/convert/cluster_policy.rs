//! A Kubernetes ClusterNetworkPolicy as a GlobalNetworkPolicy.
//!
//! A rule that cannot be read never allows more: one that accepts is left out, one that denies or passes on denies
//! everything that reaches it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tortie_api::Kind;
use tortie_api::kinds::network_policy::{GlobalNetworkPolicySpec, PolicyType};
use tortie_api::kinds::rule::{EntityRule, Rule, RuleMetadata};
use tortie_api::kinds::staged_kubernetes_network_policy::LabelSelector;
use tortie_api::scalar::Protocol;
use tortie_net::PortRange;

use super::network_policy::{net, scalars};
use super::ports::Ports;
use super::{ConversionError, Converted, Warning, object, understood};
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

/// The spec of a ClusterNetworkPolicy. What is in it is read when it is converted, each part by itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ClusterNetworkPolicyRules {
    /// `Admin` or `Baseline`.
    pub tier: String,
    /// Its place in the tier: lower comes first.
    pub priority: i32,
    /// The pods that it is for.
    pub subject: Value,
    /// Rules for what comes in.
    #[serde(deserialize_with = "null_is_empty")]
    pub ingress: Vec<Value>,
    /// Rules for what goes out.
    #[serde(deserialize_with = "null_is_empty")]
    pub egress: Vec<Value>,
    /// Fields that are not known here.
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A rule of a ClusterNetworkPolicy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespacedPods {
    /// Labels of the namespaces.
    pub namespace_selector: LabelSelector,
    /// Labels of the pods.
    pub pod_selector: LabelSelector,
}

/// A protocol, or the name of a port. Nothing set matches everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortsMatch {
    /// The ports; all if absent.
    pub destination_port: Option<PortMatch>,
}

/// A port or a range of ports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PortMatch {
    /// The port.
    pub number: Option<u16>,
    /// The range.
    pub range: Option<Range>,
}

/// A range of ports, both ends included.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    let subject = match subject(&spec.subject) {
        Ok(None) => return Ok(None),
        Ok(Some(selectors)) => Ok(selectors),
        Err(error) => Err(error),
    };
    let mut metadata = meta.as_calico(meta.name.clone(), String::new());
    if !meta.uid.is_empty() {
        metadata.uid = uid::transform(&meta.uid).map_err(|error| ConversionError(error.to_string()))?;
    }
    let mut warnings = Vec::new();
    let mut all = |direction: &str, list: &[Value]| -> Vec<Rule> {
        list.iter().enumerate().flat_map(|(at, rule)| rules(at, rule, direction, &mut warnings)).collect()
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
    let (selector, namespace_selector) =
        subject.as_ref().cloned().unwrap_or_else(|_| (LabelSelector::pods(None), String::new()));
    let converted = GlobalNetworkPolicySpec {
        tier: tier.to_owned(),
        order: Some(f64::from(spec.priority)),
        ingress,
        egress,
        selector,
        namespace_selector,
        types,
        ..GlobalNetworkPolicySpec::default()
    };
    let mut object = object(Kind::KubernetesClusterNetworkPolicy, metadata, converted);
    if let Err(error) = subject {
        let given = ("subject", &spec.subject);
        understood::unreadable_scope(&mut object, "namespaceSelector", given, &error, &mut warnings);
    }
    understood::unknown_fields(&mut object, "namespaceSelector", &spec.unknown, &mut warnings);
    Ok(Some(Converted { object, warnings }))
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
    matches!(subject(&spec.subject), Ok(None)).then(|| {
        "it is not enforced: its subject has neither `namespaces` nor `pods`, the only ones that are known".to_owned()
    })
}

/// The selectors of a policy's subject; none if it has none that is known.
fn subject(given: &Value) -> Result<Option<(String, String)>, ConversionError> {
    if given.is_null() {
        return Ok(None);
    }
    let pods: Pods = understood::whole(given)?;
    if pods.namespaces.is_none() && pods.pods.is_none() {
        return Ok(None);
    }
    pods.is_of_one_kind("it")?;
    selectors(&pods)
}

impl Pods {
    /// An error if it is of several kinds, each of which would narrow it, or of unknown ones.
    fn is_of_one_kind(&self, what: &str) -> Result<(), ConversionError> {
        let known = [
            ("namespaces", self.namespaces.is_some()),
            ("pods", self.pods.is_some()),
            ("networks", !self.networks.is_empty()),
        ];
        let known = known.into_iter().filter_map(|(name, is_set)| is_set.then_some(name));
        let fields: Vec<String> =
            self.unknown.keys().map(String::as_str).chain(known).map(|name| format!("`{name}`")).collect();
        match fields.len() {
            1 if self.unknown.is_empty() => Ok(()),
            0 => Err(ConversionError(format!("{what} is empty"))),
            _ => Err(ConversionError(format!("{what} is {}, which is not supported", fields.join(" and ")))),
        }
    }
}

/// The selectors of pods and of their namespaces; none for addresses.
fn selectors(pods: &Pods) -> Result<Option<(String, String)>, ConversionError> {
    Ok(match (&pods.namespaces, &pods.pods) {
        (Some(namespaces), _) => Some((LabelSelector::pods(None), understood::namespaces(Some(namespaces))?)),
        (None, Some(it)) => {
            let namespaces = understood::namespaces(Some(&it.namespace_selector))?;
            Some((understood::pods(Some(&it.pod_selector))?, namespaces))
        }
        (None, None) => None,
    })
}

/// The rules of one rule: one for each protocol and each peer. What can be read of its name and its action counts, even if the rest
/// cannot be read.
fn rules(at: usize, given: &Value, direction: &str, warnings: &mut Vec<Warning>) -> Vec<Rule> {
    let name = given["name"].as_str().filter(|name| !name.is_empty());
    // As users find a rule in their manifest: by its number from 1, and its name.
    let place = format!("{direction} rule {}{}", at + 1, name.map(|name| format!(" `{name}`")).unwrap_or_default());
    let metadata =
        name.map(|name| RuleMetadata { annotations: BTreeMap::from([("name".to_owned(), name.to_owned())]) });
    match understood::whole(given).and_then(|rule| converted(&rule, direction)) {
        Ok(rules) => rules.into_iter().map(|it| Rule { metadata: metadata.clone(), ..it }).collect(),
        Err(error) if given["action"] == "Accept" => {
            warnings.push(Warning::unreadable(format!("{place} is left out, and so accepts nothing: {error}")));
            Vec::new()
        }
        Err(error) => {
            warnings.push(Warning::unreadable(format!("{place} denies everything that reaches it: {error}")));
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
    peer.is_of_one_kind("one of its peers")?;
    if let Some((selector, namespace_selector)) = selectors(peer)? {
        return Ok(EntityRule { selector, namespace_selector, ..EntityRule::default() });
    }
    if !is_egress {
        return Err(ConversionError::new("one of its peers is `networks`, which is not supported"));
    }
    let nets = peer.networks.iter().map(|text| net("networks", text)).collect::<Result<_, _>>()?;
    Ok(EntityRule { nets, ..EntityRule::default() })
}

fn ports(protocols: &[ProtocolMatch]) -> Result<Ports, ConversionError> {
    let mut ports = Ports::default();
    let mut is_any = false;
    for it in protocols {
        let known = [("TCP", &it.tcp), ("UDP", &it.udp), ("SCTP", &it.sctp)];
        let mut known = known.into_iter().filter_map(|(name, found)| Some((name, found.as_ref()?)));
        let name = Some(it.destination_named_port.as_str()).filter(|name| !name.is_empty());
        match (known.next(), known.next(), name) {
            (Some((name, found)), None, None) => {
                ports.add(name, found.destination_port.as_ref().map(port).transpose()?);
            }
            (None, None, Some(name)) => {
                let name = name.parse().map_err(|error| ConversionError(format!("{error}")))?;
                ports.add("", Some(name));
            }
            // Everything: no other entry counts.
            (None, None, None) => is_any = true,
            _ => return Err(ConversionError::new("one of its protocols is several at once")),
        }
    }
    Ok(if is_any { Ports::default() } else { ports })
}

fn port(port: &PortMatch) -> Result<tortie_net::Port, ConversionError> {
    match (port.number, &port.range) {
        (Some(number), None) => Ok(tortie_net::Port::Number(number)),
        (None, Some(range)) => PortRange::new(range.start, range.end)
            .map(tortie_net::Port::from)
            .map_err(|error| ConversionError(error.to_string())),
        (Some(_), Some(_)) => Err(ConversionError::new("a port has both a number and a range")),
        (None, None) => Err(ConversionError::new("a port has neither a number nor a range")),
    }
}

#[cfg(test)]
mod tests;
