//! A node's settings from FelixConfiguration, weakest first: `default`, the one with a fitting `nodeSelector`, the
//! node's own `node.NAME`. What is not said, or has no meaning, leaves the weaker value; a
//! failsafe list that is no list leaves the weaker list, and an item that cannot be read opens nothing. What opens something is
//! closed instead.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;

use serde_json::{Map, Value};
use tortie_api::decode::Damage;
use tortie_api::shape::{Field, Form};
use tortie_api::{Object, Path};
use tortie_net::{Protocol, interface_prefixes, is_interface_filter, parse_cidr};

use super::Invalid;
use super::read::{self, MAX_NAMED, Reason, UNKNOWN_FIELD};
use crate::endpoint::Labels;
use crate::referenced::Pool;
use crate::settings::{Failsafe, HostAction, LogLimit, Refusal, Settings};
use crate::snapshot::Snapshot;

const OWN: &str = "node.";
/// The lists of failsafe ports, inbound and outbound.
const FAILSAFES: [&str; 2] = ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"];

impl Snapshot {
    /// Works out the settings of every node that has an own configuration or is known by name.
    pub(super) fn configure<'a>(&mut self, configurations: &[&'a Object], invalid: &mut Vec<(&'a Object, Invalid)>) {
        let mut names: Vec<&str> = self.nodes.keys().map(String::as_str).collect();
        names.extend(configurations.iter().filter_map(|object| object.metadata.name.strip_prefix(OWN)));
        names.sort();
        names.dedup();
        let settled = |node: Option<&str>| {
            let labels = node.and_then(|node| self.nodes.get(node)).map(|node| &node.labels);
            let objects = configurations_of(node.unwrap_or_default(), labels, configurations);
            let specs: Vec<&Value> = objects.iter().map(|object| spec_of(object)).collect();
            Settings::of_pools(self.pools.values()).settle(&specs).0
        };
        for object in configurations {
            invalid.extend(unreadable_settings(object).into_iter().map(|why| (*object, why)));
        }
        let base = settled(None);
        let own: Vec<_> = names.iter().map(|name| ((*name).to_owned(), settled(Some(name)))).collect();
        self.node_settings.extend(own.into_iter().filter(|(_, settings)| *settings != base));
        self.default_settings = base;
    }
}

/// The FelixConfigurations in force on a node, weakest first: `default`, the one that selects the node's labels (of
/// several the oldest, then the first by name), the node's own.
pub fn configurations_of<'a>(node: &str, labels: Option<&Labels>, all: &[&'a Object]) -> Vec<&'a Object> {
    let named = |name: &str| all.iter().copied().find(|object| object.metadata.name == name);
    let selects = |object: &&'a Object| {
        let text = spec_of(object).get("nodeSelector").and_then(Value::as_str);
        let selector = text.and_then(|text| tortie_selector::Selector::parse(text).ok());
        selector.zip(labels).is_some_and(|(selector, labels)| selector.matches(labels))
    };
    let age = |object: &&Object| {
        let created = object.metadata.creation_timestamp.as_ref().map(tortie_api::scalar::Time::text);
        (created.unwrap_or_default(), object.metadata.name.clone())
    };
    let selected = all.iter().copied().filter(selects).min_by_key(age);
    let own = if node.is_empty() { None } else { named(&format!("{OWN}{node}")) };
    [named("default"), selected, own].into_iter().flatten().collect()
}

/// The settings of a FelixConfiguration that cannot be used, whether another one is stronger or not.
pub fn unreadable_settings(object: &Object) -> Vec<Invalid> {
    let (_, wrong) = Settings::default().settle(&[spec_of(object)]);
    unreadable_selector(object).into_iter().chain(wrong.into_iter().map(|(_, why)| why)).collect()
}

/// The selector of nodes, which selects none if it cannot be read.
fn unreadable_selector(object: &Object) -> Option<Invalid> {
    let text = spec_of(object).get("nodeSelector")?.as_str()?;
    let reason = tortie_selector::Selector::parse(text).err()?.to_string();
    let path = Path::from("spec").key("nodeSelector");
    Some(Invalid { path, reason, consequence: consequence("nodeSelector") })
}

fn spec_of(object: &Object) -> &Value {
    object.body.get("spec").unwrap_or(&Value::Null)
}

impl Settings {
    /// The settings if nothing is set: tunnels are in use if pools ask for them.
    pub fn of_pools<'a>(pools: impl Iterator<Item = &'a Pool>) -> Self {
        let mut settings = Self::default();
        for pool in pools {
            settings.ipip |= pool.ipip;
            settings.vxlan |= pool.vxlan && pool.net.addr().is_ipv4();
            settings.vxlan_v6 |= pool.vxlan && pool.net.addr().is_ipv6();
        }
        settings
    }

    /// What holds when these `spec`s of FelixConfigurations are in force, the strongest last; and what in which of them
    /// has no meaning, which leaves the value of the next weaker one. Empty text sets nothing; null is a key that
    /// appears twice ([`tortie_api::decode::without_repeats`]).
    pub fn settle(self, specs: &[&Value]) -> (Self, Vec<(usize, Invalid)>) {
        let mut wrong: Vec<(usize, Invalid)> = specs
            .iter()
            .enumerate()
            .flat_map(|(index, spec)| unusable_items(spec).map(move |why| (index, why)))
            .collect();
        // The fields that are wrong, with the number of their spec.
        let mut bad: HashSet<(usize, String)> = HashSet::new();
        loop {
            let mut merged = Map::new();
            let mut from: HashMap<&str, usize> = HashMap::new();
            for (index, spec) in specs.iter().enumerate() {
                let Some(fields) = spec.as_object() else { continue };
                for (field, value) in fields.iter().filter(|(field, _)| setting(field).is_some()) {
                    let silent = value.as_str() == Some("");
                    if !silent && !bad.contains(&(index, field.clone())) {
                        merged.insert(field.clone(), value.clone());
                        from.insert(field, index);
                    }
                }
            }
            let mut settings = self.clone();
            let invalid = settings.overlay(&Value::Object(merged));
            if invalid.is_empty() {
                settings.close(|field| bad.iter().any(|(_, name)| name == field));
                return (settings, wrong);
            }
            for (field, reason) in invalid {
                let index = *from.get(field.as_str()).expect("what is invalid stands in one of the specs");
                let consequence = consequence(&field);
                wrong.push((index, Invalid { path: Path::from("spec").key(&field), reason, consequence }));
                bad.insert((index, field));
            }
        }
    }

    /// A setting that opens something stays closed if its strongest value is unreadable.
    fn close(&mut self, is_unreadable: impl Fn(&str) -> bool) {
        if is_unreadable("defaultEndpointToHostAction") {
            self.host_action = HostAction::Drop;
        }
        for (field, into) in [
            ("disableConntrackInvalidCheck", &mut self.accept_invalid),
            ("allowVXLANPacketsFromWorkloads", &mut self.vxlan_from_workloads),
            ("allowIPIPPacketsFromWorkloads", &mut self.ipip_from_workloads),
            ("workloadSourceSpoofing", &mut self.spoofing_allowed),
        ] {
            *into &= !is_unreadable(field);
        }
    }

    /// OpenStack's interfaces begin with `tap`; a setting of its metadata server also means that OpenStack runs here.
    fn settle_openstack(&mut self, address: Option<&str>, port: Option<u64>) {
        const USUAL: (&str, u16) = ("127.0.0.1", 8775);
        let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0).unwrap_or(USUAL.1);
        let address = address.unwrap_or(USUAL.0);
        let tap = self.interface_prefixes.iter().any(|prefix| prefix == "tap");
        self.openstack = tap || (address, port) != USUAL;
        // A name instead of an address is ignored, as in Calico.
        self.metadata = address.parse().ok().map(|address| SocketAddrV4::new(address, port)).filter(|_| self.openstack);
    }

    /// Takes over what a merged `spec` says, and returns the fields that have no meaning, each with the reason.
    fn overlay(&mut self, spec: &Value) -> Vec<(String, String)> {
        let mut invalid = Vec::new();
        let mut note = |field: &str, reason: String| invalid.push((field.to_owned(), reason));
        for (field, value) in spec.as_object().into_iter().flatten() {
            if let Some(reason) = other_type(field, value).or_else(|| impossible(field, value)) {
                note(field, reason);
            }
        }
        let text = |field: &str| spec.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let list = |text: &str| -> Vec<String> {
            text.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
        };
        let flag = |field: &str, into: &mut bool| {
            if let Some(value) = spec.get(field).and_then(Value::as_bool) {
                *into = value;
            }
        };
        if let Some(prefixes) = text("interfacePrefix") {
            match interface_prefixes(prefixes) {
                (usable, Some(problem)) if usable.is_empty() => note("interfacePrefix", problem.to_string()),
                (usable, _) => self.interface_prefixes = usable.into_iter().map(str::to_owned).collect(),
            }
        }
        if let Some(names) = text("interfaceExclude") {
            self.interface_exclude = list(names);
        }
        for (field, into) in FAILSAFES.into_iter().zip([&mut self.failsafe_inbound, &mut self.failsafe_outbound]) {
            if let Some(list) = spec.get(field).and_then(Value::as_array) {
                *into = failsafes(list).flatten().collect();
            }
        }
        if let Some(action) = text("defaultEndpointToHostAction") {
            match action.to_ascii_uppercase().as_str() {
                "DROP" => self.host_action = HostAction::Drop,
                "RETURN" => self.host_action = HostAction::Return,
                "ACCEPT" => self.host_action = HostAction::Accept,
                _ => note("defaultEndpointToHostAction", format!("{action:?} is none of Drop, Return, Accept")),
            }
        }
        self.settle_openstack(text("metadataAddr"), spec.get("metadataPort").and_then(Value::as_u64));
        if let Some(action) = text("nftablesFilterDenyAction").or_else(|| text("iptablesFilterDenyAction")) {
            self.refusal = if action.eq_ignore_ascii_case("reject") { Refusal::Reject } else { Refusal::Drop };
        }
        flag("disableConntrackInvalidCheck", &mut self.accept_invalid);
        flag("allowVXLANPacketsFromWorkloads", &mut self.vxlan_from_workloads);
        flag("allowIPIPPacketsFromWorkloads", &mut self.ipip_from_workloads);
        flag("vxlanEnabled", &mut self.vxlan);
        flag("ipipEnabled", &mut self.ipip);
        flag("ipv6Support", &mut self.ipv6);
        if let Some(value) = text("workloadSourceSpoofing") {
            self.spoofing_allowed = value.eq_ignore_ascii_case("any");
        }
        if let Some(value) = text("floatingIPs") {
            self.floating_ips = value.eq_ignore_ascii_case("enabled");
        }
        let nat = &mut self.nat_outgoing;
        if let Some(address) = text("natOutgoingAddress") {
            match address.parse() {
                Ok(address) => nat.address = Some(address),
                Err(_) => note("natOutgoingAddress", format!("{address:?} is not an IPv4 address")),
            }
        }
        if let Some(value) = spec.get("natPortRange").filter(|value| !value.is_null() && value.as_str() != Some("")) {
            match port_range(value) {
                Some(ports) => nat.ports = Some(ports).filter(|ports| *ports != (0, 0)),
                None => note("natPortRange", format!("{value} is neither a port nor a range of ports")),
            }
        }
        if let Some(value) = text("natOutgoingExclusions") {
            nat.spare_nodes = value.eq_ignore_ascii_case("IPPoolsAndHostIPs");
        }
        if let Some(name) = text("iptablesNATOutgoingInterfaceFilter") {
            match is_interface_filter(name) {
                true => nat.interface = Some(name.to_owned()).filter(|name| name != "+"),
                false => note("iptablesNATOutgoingInterfaceFilter", format!("{name:?} is not a name of an interface")),
            }
        }
        if let Some(port) = spec.get("vxlanPort").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()) {
            self.vxlan_port = port;
        }
        for (on, port, default, into) in [
            ("wireguardEnabled", "wireguardListeningPort", 51820, &mut self.wireguard),
            ("wireguardEnabledV6", "wireguardListeningPortV6", 51821, &mut self.wireguard_v6),
        ] {
            if let Some(on) = spec.get(on).and_then(Value::as_bool) {
                let port = spec.get(port).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
                *into = on.then(|| port.unwrap_or(default));
            }
        }
        if let Some(nets) = spec.get("externalNodesList").and_then(Value::as_array) {
            let net =
                |value| read::text(value).and_then(|text| parse_cidr(text).map_err(|error| error.to_string().into()));
            let parsed: read::Read<Vec<_>> = nets.iter().map(|value| net(value).map(|net| net.trunc())).collect();
            match parsed {
                Ok(nets) => self.external_nodes = nets,
                Err(reason) => note("externalNodesList", reason.into_owned()),
            }
        }
        if let Some(prefix) = text("logPrefix") {
            self.log_prefix = prefix.to_owned();
        }
        if let Some(limit) = text("logActionRateLimit") {
            let burst = spec.get("logActionRateLimitBurst").and_then(Value::as_u64).unwrap_or(5);
            match log_limit(limit, u32::try_from(burst).unwrap_or(u32::MAX)) {
                Some(limit) => self.log_limit = Some(limit),
                None => note("logActionRateLimit", format!("{limit:?} is not like 10/minute")),
            }
        }
        invalid
    }
}

/// What is left out of lists whose other items are in force.
fn unusable_items(spec: &Value) -> impl Iterator<Item = Invalid> {
    let prefix = spec.get("interfacePrefix").and_then(Value::as_str).and_then(unusable_prefix);
    prefix.into_iter().chain(unusable_failsafes(spec))
}

/// A prefix that is left out of a list whose other prefixes are in force.
fn unusable_prefix(list: &str) -> Option<Invalid> {
    let (usable, problem) = interface_prefixes(list);
    let reason = problem.filter(|_| !usable.is_empty())?.to_string();
    let path = Path::from("spec").key("interfacePrefix");
    Some(Invalid { path, reason, consequence: "only the other prefixes are in force" })
}

/// What an invalid setting counts as.
fn consequence(field: &str) -> &'static str {
    match field {
        "defaultEndpointToHostAction" => "it counts as Drop",
        "disableConntrackInvalidCheck"
        | "allowVXLANPacketsFromWorkloads"
        | "allowIPIPPacketsFromWorkloads"
        | "workloadSourceSpoofing" => "it counts as off",
        "nodeSelector" => "it selects no node",
        _ => "the next weaker value is in force",
    }
}

/// The setting of this name.
fn setting(field: &str) -> Option<&'static Field> {
    let spec = tortie_api::kinds::shape(tortie_api::Kind::FelixConfiguration).record()?.field("spec")?;
    spec.shape.record()?.field(field)
}

/// Why a setting is not of its type.
fn other_type(field: &str, value: &Value) -> Option<String> {
    let wanted = match setting(field)?.shape.form {
        _ if value.is_null() => return Some(Damage::Repeated.reason(&Path::from(field))),
        Form::Bool if !value.is_boolean() => "true or false",
        Form::Text if !value.is_string() => "a text",
        Form::Int if value.as_i64().is_none() => "a whole number",
        Form::List(_) if !value.is_array() => "a list",
        _ => return None,
    };
    Some(format!("expected {wanted}"))
}

/// Why a setting of the right type is no value that it can have.
fn impossible(field: &str, value: &Value) -> Option<String> {
    const PORTS: &[&str] = &[
        "healthPort",
        "metadataPort",
        "prometheusMetricsPort",
        "vxlanPort",
        "wireguardListeningPort",
        "wireguardListeningPortV6",
    ];
    const WORDS: &[&str] = &[
        "floatingIPs",
        "ipForwarding",
        "iptablesFilterDenyAction",
        "logSeverityScreen",
        "natOutgoingExclusions",
        "nftablesFilterDenyAction",
        "workloadSourceSpoofing",
    ];
    match value {
        Value::Number(number) if PORTS.contains(&field) => {
            let fits = number.as_u64().is_some_and(|port| port <= u64::from(u16::MAX));
            (!fits).then(|| format!("{number} is not a port"))
        }
        Value::String(text) if WORDS.contains(&field) && !text.is_empty() => {
            let rules = &setting(field)?.shape.rules;
            let is_word = |word: &Value| word.as_str().is_some_and(|word| word.eq_ignore_ascii_case(text));
            let fits = match &rules.pattern {
                Some(pattern) => regex_lite::Regex::new(pattern).map_or(true, |regex| regex.is_match(text)),
                None => rules.one_of.iter().any(is_word),
            };
            (!fits).then(|| format!("{text:?} is not one of the values that it may have"))
        }
        Value::String(text) if field == "interfaceExclude" => {
            let regex = |entry: &str| entry.strip_prefix('/')?.strip_suffix('/').map(str::to_owned);
            let mut entries = text.split(',').map(str::trim).filter_map(regex);
            let wrong = entries.find(|regex| regex_lite::Regex::new(regex).is_err());
            wrong.map(|regex| format!("/{regex}/ is not a regular expression"))
        }
        Value::String(text) if matches!(field, "deviceRouteSourceAddress" | "deviceRouteSourceAddressIPv6") => {
            let wrong = !text.is_empty() && text.parse::<std::net::IpAddr>().is_err();
            wrong.then(|| format!("{text:?} is no address"))
        }
        _ => None,
    }
}

/// A port, or `first:last`.
fn port_range(value: &Value) -> Option<(u16, u16)> {
    let Some(text) = value.as_str() else {
        let port = value.as_u64().and_then(|port| u16::try_from(port).ok())?;
        return Some((port, port));
    };
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

/// The failsafe ports of a list that can be read. Of the others, an unknown field or an unreadable net may have narrowed one.
fn failsafes(list: &[Value]) -> impl Iterator<Item = Result<Failsafe, Unreadable>> {
    list.iter().map(failsafe)
}

/// The field of a record that cannot be read, and why.
type Unreadable = (Option<String>, Reason);

fn failsafe(value: &Value) -> Result<Failsafe, Unreadable> {
    let map = read::record(value).map_err(|reason| (None, reason))?;
    if let Some(name) = map.keys().find(|name| !["protocol", "port", "net"].contains(&name.as_str())) {
        return Err((Some(name.clone()), UNKNOWN_FIELD.into()));
    }
    let text = |name| map.get(name).map_or(Ok(""), read::text);
    let protocol = text("protocol").and_then(|name| match name {
        "" => Ok(Protocol::TCP),
        _ => Protocol::parse_any_case(name).map_err(|error| format!("{name:?}: {error}").into()),
    });
    let net = text("net").and_then(|net| match net {
        "" => Ok(None),
        _ => parse_cidr(net).map(|net| Some(net.trunc())).map_err(|error| format!("{net:?}: {error}").into()),
    });
    let port = map.get("port").map_or(Ok(None), read::whole);
    let port = port.and_then(|port| {
        port.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| "it has no port, or none from 0 to 65535".into())
    });
    let at = |name: &'static str| move |reason| (Some(name.to_owned()), reason);
    Ok(Failsafe {
        protocol: protocol.map_err(at("protocol"))?,
        net: net.map_err(at("net"))?,
        port: port.map_err(at("port"))?,
    })
}

/// The failsafe ports of a list that cannot be read. They open nothing; the others are in force.
fn unusable_failsafes<'a>(spec: &'a Value) -> impl Iterator<Item = Invalid> + 'a {
    let unusable = move |field: &'static str| {
        let list = spec.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        failsafes(list).enumerate().filter_map(move |(index, one)| {
            let (name, reason) = one.err()?;
            let entry = Path::from("spec").key(field).index(index);
            let path = name.map_or(entry.clone(), |name| entry.key(name));
            Some(Invalid { path, reason: reason.into_owned(), consequence: "this failsafe port opens nothing" })
        })
    };
    FAILSAFES.into_iter().flat_map(unusable).take(MAX_NAMED)
}

fn log_limit(text: &str, burst: u32) -> Option<LogLimit> {
    let (count, unit) = text.split_once('/')?;
    let seconds = match unit {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => 86400,
        _ => return None,
    };
    Some(LogLimit { count: count.parse().ok()?, seconds, burst })
}

#[cfg(test)]
mod tests;
