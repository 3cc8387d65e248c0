//! A Kubernetes NetworkPolicy, the body of StagedKubernetesNetworkPolicy, as a Calico one.

use std::collections::BTreeMap;

use serde_json::Value;
use tortie_api::kinds::network_policy::{NetworkPolicySpec, PolicyType, StagedNetworkPolicySpec};
use tortie_api::kinds::rule::{EntityRule, Rule};
use tortie_api::kinds::staged_kubernetes_network_policy::{
    LabelSelector, Peer, PolicyPort, StagedKubernetesNetworkPolicySpec,
};
use tortie_api::scalar::{Port, Protocol};
use tortie_api::{Object, Path};
use tortie_net::parse_cidr;

use super::{Invalid, spec};

const ORDER: f64 = 1000.0;

/// The object as a policy of Calico. It is never enforced, so only the first unreadable field is reported.
pub(super) fn convert(object: &Object) -> Result<Object, Invalid> {
    let path = Path::from("spec");
    let spec: StagedKubernetesNetworkPolicySpec = spec(object)?;
    let mut policy = NetworkPolicySpec {
        tier: "default".to_owned(),
        order: Some(ORDER),
        selector: LabelSelector::pods(Some(&spec.pod_selector)),
        ..NetworkPolicySpec::default()
    };
    let types: &[String] = if spec.policy_types.is_empty() { &["Ingress".to_owned()] } else { &spec.policy_types };
    policy.types = ["Ingress", "Egress"]
        .into_iter()
        .filter(|name| types.iter().any(|one| one == name))
        .map(|name| PolicyType(name.to_owned()))
        .collect();
    for (index, rule) in spec.ingress.iter().enumerate() {
        let place = path.key("ingress").index(index);
        policy.ingress.extend(rules(&rule.ports, &rule.from, true, &place)?);
    }
    for (index, rule) in spec.egress.iter().enumerate() {
        let place = path.key("egress").index(index);
        policy.egress.extend(rules(&rule.ports, &rule.to, false, &place)?);
    }
    let spec = StagedNetworkPolicySpec { staged_action: spec.staged_action, policy };
    let spec = serde_json::to_value(spec).map_err(|error| Invalid::new(&path, error))?;
    let mut object = object.clone();
    object.body.insert("spec".to_owned(), without_nulls(spec));
    Ok(object)
}

/// One rule for each protocol and peer; protocols in the order of their names, no ports meaning any protocol.
fn rules(ports: &[PolicyPort], peers: &[Peer], ingress: bool, path: &Path) -> Result<Vec<Rule>, Invalid> {
    let mut by_protocol: BTreeMap<Option<String>, Option<Vec<Port>>> = BTreeMap::new();
    for (index, port) in ports.iter().enumerate() {
        let place = path.key("ports").index(index);
        let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        let list = by_protocol.entry(Some(protocol)).or_insert_with(|| Some(Vec::new()));
        match (&port.port, list.as_mut()) {
            // Without a number it is every port of the protocol, whatever else is said.
            (None, _) => *list = None,
            (Some(number), Some(list)) => list.push(self::port(&number.0, port.end_port, &place)?),
            (Some(_), None) => {}
        }
    }
    if by_protocol.is_empty() {
        by_protocol.insert(None, None);
    }
    let sides: Vec<EntityRule> = if peers.is_empty() {
        vec![EntityRule::default()]
    } else {
        peers
            .iter()
            .enumerate()
            .map(|(index, peer)| side(peer, &path.key("peers").index(index)))
            .collect::<Result<_, _>>()?
    };
    let mut rules = Vec::new();
    for (protocol, ports) in by_protocol {
        for side in &sides {
            let mut rule = Rule {
                action: "Allow".to_owned(),
                protocol: protocol.as_deref().map(Protocol::from),
                ..Rule::default()
            };
            if ingress {
                rule.source = side.clone();
            } else {
                rule.destination = side.clone();
            }
            rule.destination.ports = ports.clone().unwrap_or_default();
            rules.push(rule);
        }
    }
    Ok(rules)
}

fn port(number: &Value, end: Option<i32>, path: &Path) -> Result<Port, Invalid> {
    match (number, end) {
        (Value::Number(first), Some(last)) => Ok(Port::from(format!("{first}:{last}").as_str())),
        (_, None) => Ok(Port(number.clone())),
        (_, Some(_)) => Err(Invalid::new(&path.key("endPort"), "a range must begin with a number")),
    }
}

fn side(peer: &Peer, path: &Path) -> Result<EntityRule, Invalid> {
    if let Some(block) = &peer.ip_block {
        let masked = |text: &String| {
            parse_cidr(text)
                .map(|net| net.trunc().to_string())
                .map_err(|error| Invalid::new(&path.key("ipBlock"), error))
        };
        return Ok(EntityRule {
            nets: vec![masked(&block.cidr)?],
            not_nets: block.except.iter().map(masked).collect::<Result<_, _>>()?,
            ..EntityRule::default()
        });
    }
    Ok(EntityRule {
        selector: LabelSelector::pods(peer.pod_selector.as_ref()),
        namespace_selector: LabelSelector::namespaces(peer.namespace_selector.as_ref()),
        ..EntityRule::default()
    })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
