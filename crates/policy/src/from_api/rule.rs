//! Rules. Facts: enforcement sheet section 4, datastore sheet appendix A.

use tortie_api::Path;
use tortie_api::kinds::rule as written;
use tortie_net::{Port, Protocol, parse_cidr};

use super::{Invalid, selector};
use crate::ServiceId;
use crate::rule::{Action, Family, Icmp, PeerMatch, Peers, PortMatch, Rule};

/// Labels of namespaces stand under this prefix.
pub(super) const NAMESPACE_PREFIX: &str = "pcns.";
/// Labels of service accounts stand under this prefix.
pub(super) const SERVICE_ACCOUNT_PREFIX: &str = "pcsa.";
const IN_A_NAMESPACE: &str = "has(projectcalico.org/namespace)";

/// The rules of one direction of an object in `namespace` (empty for global ones).
pub(super) fn rules(list: &[written::Rule], namespace: &str, path: &Path) -> Result<Vec<Rule>, Invalid> {
    list.iter().enumerate().map(|(index, rule)| self::rule(rule, namespace, &path.index(index))).collect()
}

fn rule(rule: &written::Rule, namespace: &str, path: &Path) -> Result<Rule, Invalid> {
    let action = match rule.action.to_ascii_lowercase().as_str() {
        "allow" => Action::Allow,
        "deny" => Action::Deny,
        "pass" | "next-tier" => Action::Pass,
        "log" => Action::Log,
        other => return Err(Invalid::new(&path.key("action"), format!("{other:?} is no action"))),
    };
    let protocol = protocol(rule.protocol.as_ref(), &path.key("protocol"))?;
    let family = match rule.ip_version {
        Some(4) => Some(Family::V4),
        Some(6) => Some(Family::V6),
        None => implied_family(protocol),
        Some(other) => return Err(Invalid::new(&path.key("ipVersion"), format!("{other} is no IP version"))),
    };
    Ok(Rule {
        action,
        family,
        protocol,
        not_protocol: self::protocol(rule.not_protocol.as_ref(), &path.key("notProtocol"))?,
        icmp: icmp(rule.icmp.as_ref(), &path.key("icmp"))?,
        not_icmp: icmp(rule.not_icmp.as_ref(), &path.key("notICMP"))?,
        source: peer(&rule.source, namespace, &path.key("source"))?,
        destination: peer(&rule.destination, namespace, &path.key("destination"))?,
        http: rule.http.is_some(),
        annotations: rule.metadata.iter().flat_map(|metadata| metadata.annotations.clone()).collect(),
    })
}

/// ICMP is IPv4's and ICMPv6 is IPv6's.
fn implied_family(protocol: Option<Protocol>) -> Option<Family> {
    match protocol {
        Some(protocol) if protocol == Protocol::ICMP => Some(Family::V4),
        Some(protocol) if protocol == Protocol::ICMPV6 => Some(Family::V6),
        _ => None,
    }
}

fn protocol(written: Option<&tortie_api::scalar::Protocol>, path: &Path) -> Result<Option<Protocol>, Invalid> {
    written
        .map(|protocol| Protocol::parse_any_case(&protocol.text()).map_err(|error| Invalid::new(path, error)))
        .transpose()
}

fn icmp(written: Option<&written::IcmpFields>, path: &Path) -> Result<Option<Icmp>, Invalid> {
    let Some(fields) = written else { return Ok(None) };
    let byte = |value: Option<i64>, name: &str| {
        value
            .map(|value| {
                u8::try_from(value).map_err(|_| Invalid::new(&path.key(name), format!("{value} is out of range")))
            })
            .transpose()
    };
    let icmp = Icmp { kind: byte(fields.r#type, "type")?, code: byte(fields.code, "code")? };
    // Without a type there is nothing to match; a code without one is refused when written.
    Ok(icmp.kind.is_some().then_some(icmp))
}

fn peer(entity: &written::EntityRule, namespace: &str, path: &Path) -> Result<PeerMatch, Invalid> {
    let nets = |list: &[String], name: &str| {
        let parse = |(index, net): (usize, &String)| {
            parse_cidr(net)
                .map(|net| net.trunc())
                .map_err(|error| Invalid::new(&path.key(name).index(index), format!("{net:?}: {error}")))
        };
        list.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()
    };
    let ports = |list: &[tortie_api::scalar::Port], name: &str| {
        let parse = |(index, port): (usize, &tortie_api::scalar::Port)| {
            let place = path.key(name).index(index);
            match port.text().parse::<Port>().map_err(|error| Invalid::new(&place, error))? {
                Port::Name(name) => Ok(PortMatch::Named(name)),
                number => number.range().map(PortMatch::Range).ok_or_else(|| Invalid::new(&place, "no port")),
            }
        };
        list.iter().enumerate().map(parse).collect::<Result<Vec<_>, Invalid>>()
    };
    Ok(PeerMatch {
        peers: peers(entity, namespace, path)?,
        nets: nets(&entity.nets, "nets")?,
        not_nets: nets(&entity.not_nets, "notNets")?,
        ports: ports(&entity.ports, "ports")?,
        not_ports: ports(&entity.not_ports, "notPorts")?,
        service: entity.services.as_ref().map(|service| ServiceId {
            namespace: if service.namespace.is_empty() { namespace.to_owned() } else { service.namespace.clone() },
            name: service.name.clone(),
        }),
    })
}

/// Who the known endpoints and sets of one end are: namespace, service accounts and selector in one; `notSelector`
/// taken off, or turned round when it stands alone.
fn peers(entity: &written::EntityRule, namespace: &str, path: &Path) -> Result<Option<Peers>, Invalid> {
    let mut parts = Vec::new();
    let mut written = Vec::new();
    let accounts = entity.service_accounts.clone().unwrap_or_default();
    let any = !entity.selector.is_empty()
        || !entity.not_selector.is_empty()
        || !entity.namespace_selector.is_empty()
        || !accounts.selector.is_empty()
        || !accounts.names.is_empty();
    if !any {
        return Ok(None);
    }
    if !entity.namespace_selector.is_empty() {
        // The rewriting is of the text, as Calico's is: `all()` means "in any namespace", `global()` "in none".
        let place = path.key("namespaceSelector");
        let text = selector(&entity.namespace_selector, &place)?.with_prefix(NAMESPACE_PREFIX).to_string();
        parts.push(text.replace("all()", IN_A_NAMESPACE).replace("global()", &format!("!{IN_A_NAMESPACE}")));
        written.push(format!("namespaceSelector {}", entity.namespace_selector));
    } else if !namespace.is_empty() {
        parts.push(format!("projectcalico.org/namespace == '{namespace}'"));
    }
    if !accounts.selector.is_empty() {
        let place = path.key("serviceAccounts").key("selector");
        parts.push(selector(&accounts.selector, &place)?.with_prefix(SERVICE_ACCOUNT_PREFIX).to_string());
        written.push(format!("service accounts {}", accounts.selector));
    }
    if !accounts.names.is_empty() {
        parts.push(format!("projectcalico.org/serviceaccount in {{ '{}' }}", accounts.names.join("', '")));
        written.push(format!("service account {}", accounts.names.join(" or ")));
    }
    if !entity.selector.is_empty() {
        selector(&entity.selector, &path.key("selector"))?;
        parts.push(entity.selector.trim().to_owned());
        written.push(entity.selector.clone());
    }
    let negated = parts.is_empty();
    if !entity.not_selector.is_empty() {
        selector(&entity.not_selector, &path.key("notSelector"))?;
        let not = entity.not_selector.trim();
        parts.push(if negated { not.to_owned() } else { format!("!({not})") });
        written.push(format!("not {not}"));
    }
    let text = parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" && ");
    Ok(Some(Peers { selector: selector(&text, path)?, negated, written: written.join(", ") }))
}
