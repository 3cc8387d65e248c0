//! Every setting that has an effect here, with its value and where the value comes from: what `tortie config` prints.
//!
//! Values are written as in a FelixConfiguration. A FelixConfiguration with exactly these values, and no other
//! source of settings, leads to the same settings; a test compares the two.

use serde::Serialize;
use serde_json::Value;
use tortie_api::Object;
use tortie_api::kinds::felix_configuration::FelixConfigurationSpec;
use tortie_api::shape::{Record, Shape};
use tortie_policy::Settings;

use super::{Local, Resolved, resolve, value};
use crate::status::SettingNote;

/// The settings in force on a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// Every setting that has an effect here, by its name.
    pub settings: Vec<EffectiveSetting>,
    /// Settings that have no effect, have an invalid value, or do not exist.
    pub notes: Vec<SettingNote>,
}

/// A setting, its value and where the value comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveSetting {
    /// Its name in a FelixConfiguration.
    pub name: String,
    /// Its value; null if it has none.
    pub value: Value,
    /// `default`, `the environment`, the path of the file, `FelixConfiguration NAME`, or another setting that it follows.
    pub source: String,
}

/// Who uses a setting, which decides how an invalid value is treated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SettingUse {
    /// Verdicts: the value with the next lower precedence is used.
    Verdicts,
    /// Verdicts, and it allows something: the default is used, which does not.
    Opening,
    /// The agent itself: the value with the next lower precedence is used, and the default for one that is out of range.
    Agent,
}

use SettingUse::{Agent, Opening, Verdicts};

/// The default inbound failsafe ports, in the syntax of the environment.
const INBOUND: &str = "tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667";
/// The failsafe ports of outbound packets, by default.
const OUTBOUND: &str = "udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667";

/// The settings that have an effect on a node, each with its default in the syntax of the environment; empty if it has none.
/// Sorted. `nodeSelector` is not among them: it chooses configurations.
pub(super) const SETTINGS: &[(&str, SettingUse, &str)] = &[
    ("allowIPIPPacketsFromWorkloads", Opening, "false"),
    ("allowVXLANPacketsFromWorkloads", Opening, "false"),
    ("defaultEndpointToHostAction", Opening, "Drop"),
    ("deviceRouteProtocol", Agent, "3"),
    ("deviceRouteSourceAddress", Agent, ""),
    ("deviceRouteSourceAddressIPv6", Agent, ""),
    ("disableConntrackInvalidCheck", Opening, "false"),
    ("endpointReportingDelay", Agent, "1s"),
    ("endpointReportingEnabled", Agent, "false"),
    ("endpointStatusPathPrefix", Agent, "/var/run/calico"),
    ("externalNodesList", Verdicts, ""),
    ("failsafeInboundHostPorts", Verdicts, INBOUND),
    ("failsafeOutboundHostPorts", Verdicts, OUTBOUND),
    ("floatingIPs", Verdicts, "Disabled"),
    ("healthEnabled", Agent, "false"),
    ("healthHost", Agent, "localhost"),
    ("healthPort", Agent, "9099"),
    ("interfaceExclude", Verdicts, "kube-ipvs0"),
    ("interfacePrefix", Verdicts, "cali"),
    ("ipForwarding", Agent, "Enabled"),
    ("ipipEnabled", Verdicts, "false"),
    ("iptablesFilterDenyAction", Verdicts, "Drop"),
    ("iptablesMarkMask", Agent, "0xffff0000"),
    ("iptablesNATOutgoingInterfaceFilter", Verdicts, ""),
    ("ipv4NormalRoutePriority", Agent, "1024"),
    ("ipv6NormalRoutePriority", Agent, "1024"),
    ("ipv6Support", Verdicts, "true"),
    ("logActionRateLimit", Verdicts, ""),
    ("logActionRateLimitBurst", Verdicts, "5"),
    ("logPrefix", Verdicts, "calico-packet"),
    ("logSeverityScreen", Agent, "Info"),
    ("metadataAddr", Verdicts, "127.0.0.1"),
    ("metadataPort", Verdicts, "8775"),
    ("natOutgoingAddress", Verdicts, ""),
    ("natOutgoingExclusions", Verdicts, "IPPoolsOnly"),
    ("natPortRange", Verdicts, ""),
    ("nftablesFilterDenyAction", Verdicts, "Drop"),
    ("nftablesMarkMask", Agent, "0xffff0000"),
    ("openstackRegion", Agent, ""),
    ("prometheusMetricsCAFile", Agent, ""),
    ("prometheusMetricsCertFile", Agent, ""),
    ("prometheusMetricsClientAuth", Agent, "NoClientCert"),
    ("prometheusMetricsEnabled", Agent, "false"),
    ("prometheusMetricsHost", Agent, "localhost"),
    ("prometheusMetricsKeyFile", Agent, ""),
    ("prometheusMetricsPort", Agent, "9091"),
    ("removeExternalRoutes", Agent, "true"),
    ("reportingInterval", Agent, "30s"),
    ("reportingTTL", Agent, "90s"),
    ("routeRefreshInterval", Agent, "90s"),
    ("routeSyncDisabled", Agent, "false"),
    ("vxlanEnabled", Verdicts, "false"),
    ("vxlanPort", Verdicts, "4789"),
    ("wireguardEnabled", Verdicts, "false"),
    ("wireguardEnabledV6", Verdicts, "false"),
    ("wireguardListeningPort", Verdicts, "51820"),
    ("wireguardListeningPortV6", Verdicts, "51821"),
    ("workloadSourceSpoofing", Opening, "Disabled"),
];

/// Settings whose default is the value of another setting.
const FOLLOWS: &[(&str, &str)] =
    &[("nftablesFilterDenyAction", "iptablesFilterDenyAction"), ("nftablesMarkMask", "iptablesMarkMask")];

/// The settings in force: `base` are the defaults; `configurations` are those of this node, lowest precedence first.
pub fn effective(local: &Local, base: &Settings, configurations: &[&Object]) -> Effective {
    let Resolved { notes, .. } = resolve(local, base.clone(), configurations);
    let shape = Shape::of::<FelixConfigurationSpec>();
    let record = shape.record().cloned().unwrap_or_default();
    let said = SettingSources { local, base, configurations, notes: &notes, record: &record };
    let all = SETTINGS.iter().map(|&(name, used, default)| {
        let follows = FOLLOWS.iter().find(|(one, _)| *one == name).map(|(_, other)| *other);
        let (value, source) = said
            .strongest(name, used)
            .or_else(|| {
                let (value, _) = said.strongest(follows?, used)?;
                Some((value, follows?.to_owned()))
            })
            .unwrap_or_else(|| said.default(name, default));
        EffectiveSetting { name: name.to_owned(), value, source }
    });
    Effective { settings: all.collect(), notes: notes.clone() }
}

/// All sources of settings, and the values that are known to be invalid.
struct SettingSources<'a> {
    local: &'a Local,
    base: &'a Settings,
    configurations: &'a [&'a Object],
    notes: &'a [SettingNote],
    record: &'a Record,
}

impl SettingSources<'_> {
    /// The valid value with the highest precedence, and its source; none if the default is used.
    fn strongest(&self, name: &str, used: SettingUse) -> Option<(Value, String)> {
        if self.local.masked.contains(name) {
            return None;
        }
        let is_noted = |source: &str| self.notes.iter().any(|note| note.name == name && note.source == source);
        let mut said = self.said(name);
        match used {
            Agent => {
                said.find(|(_, source)| !is_noted(source)).filter(|_| !is_noted("in force")).filter(|(value, _)| {
                    // An empty value means that there is none.
                    value.as_str() != Some("") || name == "endpointStatusPathPrefix"
                })
            }
            Opening if self.said(name).any(|(_, source)| is_noted(&source)) => None,
            Opening | Verdicts => said.find(|(value, source)| value.as_str() != Some("") && !is_noted(source)),
        }
        .filter(|(value, _)| used == Agent || !value.is_null())
    }

    /// Every value of a setting with its source, highest precedence first.
    fn said(&self, name: &str) -> impl Iterator<Item = (Value, String)> {
        let own = self.local.spec.get(name).map(|value| (value.clone(), self.local.origin(name)));
        let is_decided = own.is_some();
        let stored = self.configurations.iter().rev().filter(move |_| !is_decided).filter_map(move |object| {
            let value = object.body.get("spec")?.get(name)?;
            Some((value.clone(), format!("FelixConfiguration {}", object.metadata.name)))
        });
        own.into_iter().chain(stored).filter(|(value, _)| !value.is_null())
    }

    fn default(&self, name: &str, text: &str) -> (Value, String) {
        let by_pools = match name {
            "vxlanEnabled" => self.base.vxlan,
            "ipipEnabled" => self.base.ipip,
            _ => false,
        };
        if by_pools {
            return (Value::Bool(true), "IP pools".to_owned());
        }
        (self.read(name, text), "default".to_owned())
    }

    fn read(&self, name: &str, text: &str) -> Value {
        let field = self.record.field(name).filter(|_| !text.is_empty());
        field.and_then(|field| value::read(field, text).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};
    use tortie_api::{Key, Kind};

    use super::super::Sources;
    use super::*;

    fn configuration(name: &str, spec: Value) -> Object {
        let mut object = Object::new(Key::cluster(Kind::FelixConfiguration, name));
        object.body.insert("spec".to_owned(), spec);
        object
    }

    fn local(env: &[(&str, &str)]) -> Local {
        let env = env.iter().map(|(key, value)| (format!("FELIX_{key}"), (*value).to_owned())).collect();
        Local::read(&Sources { env, file: "/does/not/exist".into() }).unwrap()
    }

    /// A configuration that says all of it.
    fn as_configuration(effective: &Effective) -> Object {
        let said = effective.settings.iter().filter(|one| !one.value.is_null());
        let spec: Map<String, Value> = said.map(|one| (one.name.clone(), one.value.clone())).collect();
        configuration("default", Value::Object(spec))
    }

    /// Checks that what is shown leads to what is in force, and gives the value and source of one setting.
    fn shown(local: &Local, configurations: &[Object], name: &str) -> (Value, String) {
        let configurations: Vec<&Object> = configurations.iter().collect();
        let effective = effective(local, &Settings::default(), &configurations);
        let resolved = resolve(local, Settings::default(), &configurations);
        let again = resolve(&Local::default(), Settings::default(), &[&as_configuration(&effective)]);
        assert_eq!((again.settings, again.agent), (resolved.settings, resolved.agent), "{name}");
        let one = effective.settings.iter().find(|one| one.name == name).unwrap();
        (one.value.clone(), one.source.clone())
    }

    #[test]
    fn every_setting_with_an_effect_is_shown_and_its_default_is_the_true_one() {
        let all = effective(&Local::default(), &Settings::default(), &[]);
        // Some settings have an effect only beside others.
        let beside = json!({
            "endpointReportingEnabled": true, "healthEnabled": true, "interfacePrefix": "tap", "logActionRateLimit": "1/minute",
            "prometheusMetricsEnabled": true, "wireguardEnabled": true, "wireguardEnabledV6": true,
        });
        for spec in [json!({}), beside] {
            let resolved = |spec: &Value| {
                resolve(&Local::default(), Settings::default(), &[&configuration("default", spec.clone())])
            };
            for one in &all.settings {
                assert_eq!(one.source, "default", "{}", one.name);
                let mut said = spec.clone();
                if !one.value.is_null() && spec.get(&one.name).is_none() {
                    said[&one.name] = one.value.clone();
                }
                assert_eq!(resolved(&said), resolved(&spec), "{}", one.name);
            }
        }
    }

    #[test]
    fn the_strongest_source_is_named() {
        let stored = [
            configuration(
                "default",
                json!({ "logPrefix": "weak", "healthPort": 1, "vxlanPort": 3, "logSeverityScreen": "Debug" }),
            ),
            configuration("node.n", json!({ "logPrefix": "own", "healthPort": 2 })),
        ];
        let local = local(&[("HealthPort", "7")]);
        for (name, value, source) in [
            ("logPrefix", json!("own"), "FelixConfiguration node.n"),
            ("vxlanPort", json!(3), "FelixConfiguration default"),
            ("logSeverityScreen", json!("Debug"), "FelixConfiguration default"),
            ("healthPort", json!(7), "the environment"),
            ("healthHost", json!("localhost"), "default"),
            ("natOutgoingAddress", Value::Null, "default"),
        ] {
            assert_eq!(shown(&local, &stored, name), (value, source.to_owned()), "{name}");
        }
    }

    #[test]
    fn for_an_invalid_value_the_one_in_force_instead_is_shown() {
        let weak = configuration(
            "default",
            json!({ "vxlanPort": 4000, "defaultEndpointToHostAction": "Accept", "healthPort": 5 }),
        );
        let own = |spec: Value| [weak.clone(), configuration("node.n", spec)];
        let none = Local::default();
        let default = || "default".to_owned();
        let of_weak = || "FelixConfiguration default".to_owned();
        assert_eq!(shown(&none, &own(json!({ "vxlanPort": "many" })), "vxlanPort"), (json!(4000), of_weak()));
        assert_eq!(shown(&none, &own(json!({ "logPrefix": "" })), "logPrefix"), (json!("calico-packet"), default()));
        let action = "defaultEndpointToHostAction";
        assert_eq!(shown(&none, &own(json!({ action: "Perhaps" })), action), (json!("Drop"), default()));
        assert_eq!(shown(&none, &own(json!({ "healthPort": "many" })), "healthPort"), (json!(5), of_weak()));
        for (field, impossible) in [
            ("vxlanPort", json!(99_999_999)),
            ("floatingIPs", json!("zz")),
            ("ipForwarding", json!("zz")),
            ("workloadSourceSpoofing", json!("zz")),
            ("nftablesFilterDenyAction", json!("zz")),
            ("logSeverityScreen", json!("zz")),
            ("interfaceExclude", json!("/(/")),
            ("deviceRouteProtocol", json!(999)),
        ] {
            let configurations = own(json!({ field: impossible }));
            assert_ne!(shown(&none, &configurations, field).0, impossible, "{field}");
            let all = effective(&none, &Settings::default(), &configurations.iter().collect::<Vec<_>>());
            assert!(all.notes.iter().any(|note| note.name == field), "{field}");
        }
        assert_eq!(shown(&local(&[("VXLANPort", "many")]), &own(json!({})), "vxlanPort"), (json!(4789), default()));
        let prefix = "endpointStatusPathPrefix";
        assert_eq!(shown(&none, &own(json!({ prefix: "" })), prefix).0, json!(""));
    }

    #[test]
    fn a_setting_of_the_iptables_mode_is_named_where_it_decides() {
        let stored =
            [configuration("default", json!({ "iptablesFilterDenyAction": "Reject", "iptablesMarkMask": 0xff }))];
        let none = Local::default();
        let follows = |name: &str| shown(&none, &stored, name);
        assert_eq!(follows("nftablesFilterDenyAction"), (json!("Reject"), "iptablesFilterDenyAction".to_owned()));
        assert_eq!(follows("nftablesMarkMask"), (json!(0xff), "iptablesMarkMask".to_owned()));
    }

    #[test]
    fn tunnels_that_ip_pools_ask_for_are_shown_as_theirs() {
        let base = Settings { vxlan: true, ..Settings::default() };
        let all = effective(&Local::default(), &base, &[]);
        let one = all.settings.iter().find(|one| one.name == "vxlanEnabled").unwrap();
        assert_eq!((&one.value, one.source.as_str()), (&json!(true), "IP pools"));
    }
}
