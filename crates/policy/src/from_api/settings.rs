//! A node's settings from FelixConfiguration, weakest first: `default`, the one with a fitting `nodeSelector`, the
//! node's own `node.NAME` (enforcement sheet 6.1). What is not said, or has no meaning, leaves the weaker value; a
//! failsafe list that cannot be read leaves the weaker list, never an empty one.

use serde_json::Value;
use tortie_api::{Object, Path};
use tortie_net::{Protocol, parse_cidr};

use super::Invalid;
use crate::settings::{Failsafe, HostAction, LogLimit, Refusal, Settings};
use crate::snapshot::Snapshot;

const OWN: &str = "node.";

impl Snapshot {
    /// Works out the settings of every node that has an own configuration or is known by name.
    pub(super) fn configure<'a>(&mut self, configurations: &[&'a Object], invalid: &mut Vec<(&'a Object, Invalid)>) {
        let mut base = Settings {
            ipip: self.pools.values().any(|pool| pool.ipip),
            vxlan: self.pools.values().any(|pool| pool.vxlan && pool.net.addr().is_ipv4()),
            vxlan_v6: self.pools.values().any(|pool| pool.vxlan && pool.net.addr().is_ipv6()),
            ..Settings::default()
        };
        let mut overlay = |settings: &mut Settings, object: &'a Object| {
            invalid.extend(settings.overlay(object).into_iter().map(|why| (object, why)));
        };
        if let Some(object) = configurations.iter().find(|object| object.metadata.name == "default") {
            overlay(&mut base, object);
        }
        let own = |object: &&&'a Object| object.metadata.name.starts_with(OWN);
        let mut names: Vec<String> = self.nodes.keys().cloned().collect();
        names.extend(configurations.iter().filter(own).map(|object| object.metadata.name[OWN.len()..].to_owned()));
        names.sort();
        names.dedup();
        for name in names {
            let mut settings = base.clone();
            if let Some(object) = self.selected_configuration(configurations, &name) {
                overlay(&mut settings, object);
            }
            if let Some(object) = configurations.iter().find(|object| object.metadata.name == format!("{OWN}{name}")) {
                overlay(&mut settings, object);
            }
            if settings != base {
                self.node_settings.insert(name, settings);
            }
        }
        self.default_settings = base;
    }

    /// Of several configurations that select a node the oldest is in force, then the first by name.
    fn selected_configuration<'a>(&self, configurations: &[&'a Object], node: &str) -> Option<&'a Object> {
        let labels = &self.nodes.get(node)?.labels;
        let selects = |object: &&&'a Object| {
            let text = object.body.get("spec").and_then(|spec| spec.get("nodeSelector")).and_then(Value::as_str);
            text.and_then(|text| tortie_selector::Selector::parse(text).ok()).is_some_and(|s| s.matches(labels))
        };
        let age = |object: &&Object| {
            let created = object.metadata.creation_timestamp.as_ref().map(tortie_api::scalar::Time::text);
            (created.unwrap_or_default(), object.metadata.name.clone())
        };
        configurations.iter().filter(selects).copied().min_by_key(age)
    }
}

impl Settings {
    /// Takes over what a FelixConfiguration says, and returns what it says without meaning.
    fn overlay(&mut self, object: &Object) -> Vec<Invalid> {
        let empty = Value::Null;
        let spec = object.body.get("spec").unwrap_or(&empty);
        let mut invalid = Vec::new();
        let mut note = |field: &str, reason: String| invalid.push(Invalid::new(&Path::from("spec").key(field), reason));
        let text = |field: &str| spec.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let list =
            |text: &str| text.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect();
        let flag = |field: &str, into: &mut bool| {
            if let Some(value) = spec.get(field).and_then(Value::as_bool) {
                *into = value;
            }
        };
        if let Some(prefixes) = text("interfacePrefix") {
            self.interface_prefixes = list(prefixes);
        }
        if let Some(names) = text("interfaceExclude") {
            self.interface_exclude = list(names);
        }
        for (field, into) in [
            ("failsafeInboundHostPorts", &mut self.failsafe_inbound),
            ("failsafeOutboundHostPorts", &mut self.failsafe_outbound),
        ] {
            match spec.get(field).and_then(Value::as_array).map(|list| failsafes(list)) {
                Some(Ok(list)) => *into = list,
                Some(Err(reason)) => note(field, reason),
                None => {}
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
            let parsed: Result<Vec<_>, _> =
                nets.iter().filter_map(Value::as_str).map(|net| parse_cidr(net).map(|net| net.trunc())).collect();
            match parsed {
                Ok(nets) => self.external_nodes = nets,
                Err(error) => note("externalNodesList", error.to_string()),
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

fn failsafes(list: &[Value]) -> Result<Vec<Failsafe>, String> {
    let one = |value: &Value| {
        let protocol = match value.get("protocol") {
            None => Protocol::TCP,
            Some(Value::String(text)) => {
                Protocol::parse_any_case(text).map_err(|error| format!("protocol {text:?}: {error}"))?
            }
            Some(other) => {
                Protocol::parse_any_case(&other.to_string()).map_err(|error| format!("protocol {other}: {error}"))?
            }
        };
        let port = value.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let net = match value.get("net").and_then(Value::as_str).filter(|net| !net.is_empty()) {
            Some(text) => Some(parse_cidr(text).map_err(|error| format!("net {text:?}: {error}"))?.trunc()),
            None => None,
        };
        Ok(Failsafe { protocol, net, port: port.ok_or_else(|| format!("{value} has no port"))? })
    };
    list.iter().map(one).collect()
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
