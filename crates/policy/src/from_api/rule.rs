//! Reads rules, and replaces those with an unreadable part.
//!
//! | The rule | if a condition is unreadable |
//! |---|---|
//! | allows | never matches |
//! | denies | denies what its other conditions match |
//! | passes | denies what its other conditions match: without it a later Allow could match |
//! | logs | never matches |
//! | has an unreadable action | denies |
//!
//! An unknown field counts as an unreadable condition: it may narrow the rule.

use serde_json::{Map, Value};
use tortie_net::{Port, Protocol, parse_cidr};
use tortie_selector::Selector;

use super::contradiction;
use super::read::{
    FieldPath, Invalidities, Read, UNKNOWN_FIELD, flag, items, list, owned, record, scalar, text, texts, whole,
};
use super::selector::{
    ALL_NAMESPACES, NAMESPACE_PREFIX, NO_NAMESPACE, SERVICE_ACCOUNT, SERVICE_ACCOUNT_PREFIX, in_namespace, rewritten,
    selector,
};
use crate::ServiceId;
use crate::rule::{Action, Family, Icmp, PeerMatch, Peers, PortMatch, Rule};

const RULE: &[&str] =
    &["action", "ipVersion", "protocol", "icmp", "notProtocol", "notICMP", "source", "destination", "http", "metadata"];
const ENTITY: &[&str] = &[
    "nets",
    "selector",
    "namespaceSelector",
    "services",
    "ports",
    "notNets",
    "notSelector",
    "notPorts",
    "serviceAccounts",
];
const ICMP: &[&str] = &["type", "code"];
const SERVICE: &[&str] = &["name", "namespace"];
const ACCOUNTS: &[&str] = &["names", "selector"];
const HTTP: &[&str] = &["methods", "paths"];
const PATH: &[&str] = &["exact", "prefix"];

/// Rules as they come, one after the other.
#[derive(Default)]
pub(crate) struct RuleList {
    rules: Vec<Rule>,
    too_many: bool,
}

impl RuleList {
    /// Reads one more rule, and returns whether to continue. Rules beyond the limit are unknown, so the list then
    /// denies.
    pub(super) fn push(&mut self, value: &Value, namespace: &str, at: FieldPath<'_>, wrong: &mut Invalidities) -> bool {
        match self.rules.len() {
            length if length < Rule::LIMIT => {
                let rule = rule(value, namespace, at.index(length), wrong);
                if length == self.rules.capacity() {
                    // Short rules are many times smaller as text, so a list does not grow by its double.
                    self.rules.reserve_exact((length / 4).max(16));
                }
                self.rules.push(rule);
            }
            _ if self.too_many => {}
            _ => {
                self.too_many = true;
                let reason = format!("more than {} rules in one list", Rule::LIMIT);
                wrong.note(at, reason, "what no rule before has matched is denied");
            }
        }
        !self.too_many
    }

    pub(super) fn finish(mut self) -> Vec<Rule> {
        if self.too_many {
            self.rules.reserve_exact(1);
            self.rules.push(Rule::any(Action::Deny));
        }
        self.rules
    }
}

/// The rules of one direction of an object in `namespace` (empty for global ones).
pub(super) fn rules(value: Option<&Value>, namespace: &str, at: FieldPath<'_>, wrong: &mut Invalidities) -> Vec<Rule> {
    let Some(value) = value else { return Vec::new() };
    let Some(values) = wrong.take(at, list(value), "everything is denied in this direction") else {
        return vec![Rule::any(Action::Deny)];
    };
    let mut rules = RuleList::default();
    // Stops where no more are wanted.
    let _ = values.iter().all(|value| rules.push(value, namespace, at, wrong));
    rules.finish()
}

/// What is wrong with one rule.
struct Checked<'a> {
    wrong: &'a mut Invalidities,
    consequence: &'static str,
    unreadable: bool,
}

impl Checked<'_> {
    /// A condition; no condition if it cannot be read, which is noted.
    fn condition<T: Default>(&mut self, at: FieldPath<'_>, value: Read<T>) -> T {
        value.unwrap_or_else(|reason| {
            self.unreadable = true;
            self.wrong.note(at, reason, self.consequence);
            T::default()
        })
    }

    /// Notes the fields that are not known.
    fn known(&mut self, map: &Map<String, Value>, known: &[&str], at: FieldPath<'_>) {
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            self.condition(at.key(name), Err::<(), _>(UNKNOWN_FIELD.into()));
        }
    }
}

fn action(value: Option<&Value>) -> Read<Action> {
    let written = value.map_or(Ok(""), text)?;
    match written.to_ascii_lowercase().as_str() {
        "allow" => Ok(Action::Allow),
        "deny" => Ok(Action::Deny),
        "pass" | "next-tier" => Ok(Action::Pass),
        "log" => Ok(Action::Log),
        _ => Err(format!("{written:?} is no action").into()),
    }
}

fn rule(value: &Value, namespace: &str, at: FieldPath<'_>, wrong: &mut Invalidities) -> Rule {
    let Some(map) = wrong.take(at, record(value), "everything is denied from here on") else {
        return Rule::any(Action::Deny);
    };
    let action = wrong.take(at.key("action"), action(map.get("action")), "the rule denies");
    let consequence = match action {
        Some(Action::Allow) => "the rule never matches",
        Some(Action::Deny) | None => "the rule denies without this condition",
        Some(Action::Pass) => "the rule denies what it may have passed",
        Some(Action::Log) => "the rule does not log",
    };
    let mut checked = Checked { wrong, consequence, unreadable: false };
    checked.known(map, RULE, at);
    let protocol = checked.condition(at.key("protocol"), protocol(map.get("protocol")));
    let version = map.get("ipVersion").map_or(Ok(None), |value| match value.as_i64() {
        Some(4) => Ok(Some(Family::V4)),
        Some(6) => Ok(Some(Family::V6)),
        _ => Err(format!("{value} is no IP version").into()),
    });
    let family = checked.condition(at.key("ipVersion"), version);
    let mut rule = Rule {
        action: action.unwrap_or(Action::Deny),
        family: family.or_else(|| implied_family(protocol)),
        protocol,
        not_protocol: checked.condition(at.key("notProtocol"), self::protocol(map.get("notProtocol"))),
        icmp: icmp(map.get("icmp"), at.key("icmp"), &mut checked),
        not_icmp: icmp(map.get("notICMP"), at.key("notICMP"), &mut checked),
        source: peer(map.get("source"), namespace, at.key("source"), &mut checked),
        destination: peer(map.get("destination"), namespace, at.key("destination"), &mut checked),
        http: http(map.get("http"), at.key("http"), &mut checked),
        annotations: Vec::new(),
        never: false,
    };
    for (side, field, reason) in contradiction::take(&mut rule, family) {
        match side {
            Some(side) => checked.condition(at.key(side).key(field), Err::<(), _>(reason)),
            None => checked.condition(at.key(field), Err::<(), _>(reason)),
        }
    }
    if checked.unreadable {
        match rule.action {
            Action::Allow | Action::Log => rule = Rule { never: true, ..Rule::any(rule.action) },
            Action::Pass => rule.action = Action::Deny,
            Action::Deny => {}
        }
    }
    if let Some(metadata) = map.get("metadata") {
        let notes = record(metadata).and_then(|map| map.get("annotations").map_or(Ok(Default::default()), texts));
        let notes = wrong.take(at.key("metadata"), notes, "only the note is lost");
        rule.annotations = notes.into_iter().flatten().collect();
    }
    rule
}

/// ICMP is IPv4's and ICMPv6 is IPv6's.
pub(super) fn implied_family(protocol: Option<Protocol>) -> Option<Family> {
    match protocol {
        Some(protocol) if protocol == Protocol::ICMP => Some(Family::V4),
        Some(protocol) if protocol == Protocol::ICMPV6 => Some(Family::V6),
        _ => None,
    }
}

/// A protocol by name, in whatever case, or by number.
pub(super) fn parse_protocol(value: &Value) -> Read<Protocol> {
    let text = scalar(value)?;
    Protocol::parse_any_case(&text).map_err(|error| format!("{text:?}: {error}").into())
}

fn protocol(value: Option<&Value>) -> Read<Option<Protocol>> {
    value.map(parse_protocol).transpose()
}

fn icmp(value: Option<&Value>, at: FieldPath<'_>, checked: &mut Checked<'_>) -> Option<Icmp> {
    let map = checked.condition(at, value.map(record).transpose())?;
    checked.known(map, ICMP, at);
    let byte = |name: &str| match map.get(name).map(whole).transpose()?.flatten() {
        None => Ok(None),
        // The type 255 stands for all types in the kernel's older tables, and Calico refuses it.
        Some(255) if name == "type" => Err("ICMP types are at most 254".into()),
        Some(value) => u8::try_from(value).map(Some).map_err(|_| format!("{value} is out of range").into()),
    };
    let icmp = byte("type").and_then(|kind| Ok(Icmp { kind, code: byte("code")? }));
    // Without a type there is nothing to match; a code without one is refused when written.
    checked.condition(at, icmp.map(Some)).filter(|icmp| icmp.kind.is_some())
}

/// Whether there is an HTTP match.
fn http(value: Option<&Value>, at: FieldPath<'_>, checked: &mut Checked<'_>) -> bool {
    let Some(map) = checked.condition(at, value.map(record).transpose()) else { return false };
    checked.known(map, HTTP, at);
    let path = |value| {
        let map = record(value)?;
        match map.iter().find(|(name, value)| !PATH.contains(&name.as_str()) || !value.is_string()) {
            Some((name, _)) => Err(format!("{name:?} cannot be read").into()),
            None => Ok(()),
        }
    };
    checked.condition(at.key("methods"), map.get("methods").map(|value| items(value, text)).transpose());
    checked.condition(at.key("paths"), map.get("paths").map(|value| items(value, path)).transpose());
    true
}

fn net(value: &Value) -> Read<ipnet::IpNet> {
    let text = text(value)?;
    parse_cidr(text).map(|net| net.trunc()).map_err(|error| format!("{text:?}: {error}").into())
}

fn port(value: &Value) -> Read<PortMatch> {
    if value.is_number() && !value.is_u64() {
        return Err(format!("{value} is not a port").into());
    }
    match scalar(value)?.parse::<Port>().map_err(|error| error.to_string())? {
        Port::Name(name) => Ok(PortMatch::Named(name)),
        number => {
            let range = number.range().ok_or("no port")?;
            if range.last() == 0 { Err("no packet has the port 0".into()) } else { Ok(PortMatch::Range(range)) }
        }
    }
}

fn peer(value: Option<&Value>, namespace: &str, at: FieldPath<'_>, checked: &mut Checked<'_>) -> PeerMatch {
    let Some(map) = checked.condition(at, value.map(record).transpose()) else { return PeerMatch::default() };
    checked.known(map, ENTITY, at);
    let mut each = |name: &str| checked_list(map.get(name), at.key(name), net, checked);
    let (nets, not_nets) = (each("nets"), each("notNets"));
    let ports = checked_list(map.get("ports"), at.key("ports"), port, checked);
    let mut not_ports = checked_list(map.get("notPorts"), at.key("notPorts"), port, checked);
    let service = service(map.get("services"), at.key("services"), checked);
    let peers = peers(map, namespace, at, checked);
    if peers.is_err() {
        // The endpoints of a named port are unknown, so it excludes nothing.
        not_ports.retain(|port| matches!(port, PortMatch::Range(_)));
    }
    PeerMatch { peers: peers.unwrap_or_default(), nets, not_nets, ports, not_ports, service }
}

/// A list of which every item can be read; else its first unreadable items are noted and it is not a condition.
fn checked_list<T>(
    value: Option<&Value>,
    at: FieldPath<'_>,
    read: impl Fn(&Value) -> Read<T>,
    checked: &mut Checked<'_>,
) -> Vec<T> {
    let values = checked.condition(at, value.map(list).transpose()).unwrap_or_default();
    let mut read_all = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        match read(value) {
            Ok(item) => read_all.push(item),
            Err(reason) => {
                checked.condition(at.index(index), Err::<(), _>(reason));
                return Vec::new();
            }
        }
    }
    read_all
}

/// A service. Without a namespace it is no service: the namespace of the policy is not assumed, as in Calico.
fn service(value: Option<&Value>, at: FieldPath<'_>, checked: &mut Checked<'_>) -> Option<Box<ServiceId>> {
    let map = checked.condition(at, value.map(record).transpose())?;
    checked.known(map, SERVICE, at);
    let field = |name: &str| map.get(name).map_or(Ok(String::new()), owned);
    let id = field("name").and_then(|name| Ok(ServiceId { name, namespace: field("namespace")? }));
    checked.condition(at, id.map(Some)).map(Box::new)
}

/// A part of an end's selectors is unreadable.
struct Unreadable;

/// The endpoints and sets of one end: namespace, service accounts and selector as one selector; `notSelector`
/// is subtracted, or negated if it is the only one. If one part is unreadable, the whole is unknown.
fn peers(
    map: &Map<String, Value>,
    namespace: &str,
    at: FieldPath<'_>,
    checked: &mut Checked<'_>,
) -> Result<Option<Box<Peers>>, Unreadable> {
    let before = std::mem::replace(&mut checked.unreadable, false);
    let mut field = |map: &Map<String, Value>, name: &str, at: FieldPath<'_>| {
        let parsed = map.get(name).map_or(Ok(String::new()), owned);
        let parsed = parsed.and_then(|text| selector(&text).map(|selector| Some((text, selector))));
        checked.condition(at.key(name), parsed).filter(|(text, _)| !text.is_empty())
    };
    let of_namespaces = field(map, "namespaceSelector", at);
    let own = field(map, "selector", at);
    let not = field(map, "notSelector", at);
    let place = at.key("serviceAccounts");
    let (mut names, mut of_accounts) = (Vec::new(), None);
    let accounts = checked.condition(place, map.get("serviceAccounts").map(record).transpose());
    if let Some(accounts) = accounts {
        checked.known(accounts, ACCOUNTS, place);
        names = checked_list(accounts.get("names"), place.key("names"), account, checked);
        let parsed = accounts.get("selector").map_or(Ok(String::new()), owned);
        let parsed = parsed.and_then(|text| selector(&text).map(|selector| Some((text, selector))));
        of_accounts = checked.condition(place.key("selector"), parsed).filter(|(text, _)| !text.is_empty());
    }
    let unreadable = std::mem::replace(&mut checked.unreadable, before);
    if unreadable {
        checked.unreadable = true;
        return Err(Unreadable);
    }
    if of_namespaces.is_none() && own.is_none() && not.is_none() && names.is_empty() && of_accounts.is_none() {
        return Ok(None);
    }
    let (mut parts, mut written) = (Vec::new(), Vec::new());
    if let Some((text, selector)) = of_namespaces {
        let prefixed = selector.with_prefix(NAMESPACE_PREFIX);
        parts.push(rewritten(prefixed.clone(), prefixed.as_str(), &[ALL_NAMESPACES, NO_NAMESPACE]));
        written.push(format!("namespaceSelector {text}"));
    } else if !namespace.is_empty() {
        parts.push(in_namespace(namespace));
    }
    if let Some((text, selector)) = of_accounts {
        parts.push(Ok(selector.with_prefix(SERVICE_ACCOUNT_PREFIX)));
        written.push(format!("service accounts {text}"));
    }
    if !names.is_empty() {
        let names_all = Selector::one_of(SERVICE_ACCOUNT, names.iter().map(String::as_str));
        parts.push(names_all.ok_or_else(|| "a name has both kinds of quotes".into()));
        written.push(format!("service account {}", names.join(" or ")));
    }
    if let Some((text, selector)) = own {
        parts.push(Ok(selector));
        written.push(text);
    }
    let negated = parts.is_empty();
    if let Some((text, selector)) = not {
        parts.push(Ok(if negated { selector } else { selector.not() }));
        written.push(format!("not {}", text.trim()));
    }
    let parts = parts.into_iter().collect::<Read<Vec<_>>>().map(Some);
    let parts = checked.condition(at, parts).ok_or(Unreadable)?;
    Ok(Some(Box::new(Peers { selector: Selector::all_of(&parts), negated, written: written.join(", ") })))
}

/// The name of a service account, which becomes part of a selector's text.
fn account(value: &Value) -> Read<String> {
    let name = owned(value)?;
    if name.contains('\'') { Err(format!("{name:?} is no name").into()) } else { Ok(name) }
}

/// Whether a policy's flag is set.
pub(super) fn is_set(value: Option<&Value>) -> Read<bool> {
    value.map_or(Ok(false), flag)
}
