//! The settings of the agent itself, which verdicts do not depend on.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tortie_api::duration;
use tortie_hostnet::Config;

use crate::status::SettingNote;

/// The settings of the agent itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// Where liveness and readiness are served; none if they are not served.
    pub health: Option<Served>,
    /// Where metrics are served; none if they are not served.
    pub metrics: Option<Served>,
    /// The log level.
    pub log: log::LevelFilter,
    /// The bits of packet marks that tortie uses.
    pub mark_mask: u32,
    /// How the network of workloads is set up.
    pub network: NetworkSettings,
    /// What the agent reports to the store.
    pub reporting: Reporting,
}

/// What the agent reports to a store that keeps reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporting {
    /// How often the agent reports that it is alive, and how long each report is valid; none for never.
    pub alive: Option<(Duration, Duration)>,
    /// How long a change of an endpoint's status may wait before it is reported; none if status is not reported.
    pub endpoints: Option<Duration>,
    /// The region of this node; it need not have one.
    pub region: String,
}

/// How the network of workloads is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Routes, neighbours and forwarding. Settings that verdicts depend on too (prefixes, floating IPs, IPv6) are in
    /// `policy::Settings`.
    pub network: Config,
    /// The folder of the files that say which workloads are up; none if they are not written.
    pub status_files: Option<PathBuf>,
    /// How often everything is compared with the kernel, whose events are followed all the time; none for never.
    pub refresh: Option<Duration>,
}

/// The address that a server listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What it is encrypted with; none for plain HTTP.
    pub tls: Option<Tls>,
}

/// The files with which metrics are served over TLS: PEM, read again for each connection, so that they may be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate of the server, followed by those that sign it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// What clients must show.
    pub client_auth: ClientAuth,
}

/// What clients must show, as Go's `crypto/tls.ClientAuthType` means these names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    #[default]
    NoClientCert,
    /// Some certificate, whoever signed it.
    RequireAnyClientCert,
    /// A certificate that an authority signed, or none.
    VerifyClientCertIfGiven,
    /// A certificate that an authority signed.
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    /// By the value of `prometheusMetricsClientAuth`; the strictest one for a value that is not known.
    fn of(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "noclientcert" => Self::NoClientCert,
            "requireanyclientcert" => Self::RequireAnyClientCert,
            "verifyclientcertifgiven" => Self::VerifyClientCertIfGiven,
            _ => Self::RequireAndVerifyClientCert,
        }
    }
}

/// The bits that Calico uses by default.
const MARK_MASK: u32 = 0xffff_0000;
/// The status of endpoints is not read more often than this.
const SHORTEST: Duration = Duration::from_millis(100);

/// Where Calico's CNI plugin looks for files that say which workloads are up.
const STATUS_FILES: &str = "/var/run/calico";

impl AgentSettings {
    /// Reads the settings from specs, the one with the highest precedence last.
    pub(super) fn from_specs(specs: &[&Value], notes: &mut Vec<SettingNote>) -> Self {
        let find = |field: &str| specs.iter().rev().find_map(|spec| spec.get(field).filter(|value| !value.is_null()));
        let is = |field: &str, default: bool| find(field).and_then(Value::as_bool).unwrap_or(default);
        let flag = |field: &str| is(field, false);
        let text = |field: &str, default: &str| {
            let found = find(field).and_then(Value::as_str).filter(|text| !text.is_empty());
            found.unwrap_or(default).to_owned()
        };
        let mut number = |field: &str, default: u32, most: u32| match find(field) {
            None => default,
            Some(value) => match value.as_u64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) if number <= most => number,
                _ => {
                    let note = format!("{value} is not a number from 0 to {most}; the default is used");
                    notes.push(SettingNote { source: "in force".to_owned(), name: field.to_owned(), note });
                    default
                }
            },
        };
        let default = Config::default();
        let protocol = number("deviceRouteProtocol", u32::from(default.protocol), u32::from(u8::MAX));
        let metric_v4 = number("ipv4NormalRoutePriority", default.metric_v4, u32::MAX);
        let metric_v6 = number("ipv6NormalRoutePriority", default.metric_v6, u32::MAX);
        let sources = ["deviceRouteSourceAddress", "deviceRouteSourceAddressIPv6"];
        let sources = sources.iter().filter_map(|field| text(field, "").parse::<IpAddr>().ok()).collect();
        // An empty value means that there is none.
        let folder = find("endpointStatusPathPrefix").and_then(Value::as_str).unwrap_or(STATUS_FILES);
        let network = NetworkSettings {
            network: Config {
                protocol: u8::try_from(protocol).unwrap_or(default.protocol),
                metric_v4,
                metric_v6,
                sources,
                remove_external: is("removeExternalRoutes", true),
                routes_disabled: flag("routeSyncDisabled"),
                forwarding: text("ipForwarding", "Enabled") == "Enabled",
                ..default
            },
            status_files: Some(folder).filter(|folder| !folder.is_empty()).map(PathBuf::from),
            refresh: None,
        };
        let port = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let health_port = port(number("healthPort", 9099, u32::from(u16::MAX)));
        let metrics_port = port(number("prometheusMetricsPort", 9091, u32::from(u16::MAX)));
        let weaker = number("iptablesMarkMask", MARK_MASK, u32::MAX);
        let mark_mask = number("nftablesMarkMask", weaker, u32::MAX);
        let mut interval = |field: &str, default: u64| match find(field) {
            None => Duration::from_secs(default),
            Some(value) => seconds(value).unwrap_or_else(|| {
                let note = format!("{value} is not a time such as 90s; the default is used");
                notes.push(SettingNote { source: "in force".to_owned(), name: field.to_owned(), note });
                Duration::from_secs(default)
            }),
        };
        let every = interval("reportingInterval", 30);
        let lasting = interval("reportingTTL", 90);
        let delay = interval("endpointReportingDelay", 1);
        let refresh = interval("routeRefreshInterval", 90);
        let file = |field: &str| Some(PathBuf::from(text(field, ""))).filter(|path| !path.as_os_str().is_empty());
        let (certificate, key) = (file("prometheusMetricsCertFile"), file("prometheusMetricsKeyFile"));
        // One of the two asks for TLS, as in Calico; the other one is then missing, and nothing is served.
        let tls = (certificate.is_some() || key.is_some()).then(|| Tls {
            certificate: certificate.unwrap_or_default(),
            key: key.unwrap_or_default(),
            client_ca: file("prometheusMetricsCAFile"),
            client_auth: ClientAuth::of(&text("prometheusMetricsClientAuth", "NoClientCert")),
        });
        let is_set = |name: &&str| !text(name, "").is_empty() && text(name, "") != "NoClientCert";
        let without_tls = ["prometheusMetricsCAFile", "prometheusMetricsClientAuth"].into_iter().filter(is_set);
        for name in without_tls.filter(|_| tls.is_none()) {
            let note = "has no effect without prometheusMetricsCertFile and prometheusMetricsKeyFile: metrics are served without TLS";
            notes.push(SettingNote { source: "in force".to_owned(), name: name.to_owned(), note: note.to_owned() });
        }
        Self {
            reporting: Reporting {
                alive: (!every.is_zero()).then_some((every, lasting)),
                endpoints: flag("endpointReportingEnabled").then_some(delay.max(SHORTEST)),
                region: text("openstackRegion", ""),
            },
            health: flag("healthEnabled").then(|| Served {
                host: text("healthHost", "localhost"),
                port: health_port,
                tls: None,
            }),
            // Calico listens on all addresses by default; tortie only if a setting says so.
            metrics: flag("prometheusMetricsEnabled").then(|| Served {
                host: text("prometheusMetricsHost", "localhost"),
                port: metrics_port,
                tls,
            }),
            log: level(&text("logSeverityScreen", "Info")),
            mark_mask,
            network: NetworkSettings { refresh: (!refresh.is_zero()).then_some(refresh), ..network },
        }
    }
}

/// A time as the store writes it (`1m30s`) or as the environment does (`90`).
fn seconds(value: &Value) -> Option<Duration> {
    if let Some(number) = value.as_f64() {
        return Duration::try_from_secs_f64(number).ok();
    }
    let text = value.as_str()?;
    text.parse().map_or_else(|_| duration::parse(text).ok(), |number| Duration::try_from_secs_f64(number).ok())
}

fn level(text: &str) -> log::LevelFilter {
    match text.to_ascii_lowercase().as_str() {
        "trace" => log::LevelFilter::Trace,
        "debug" => log::LevelFilter::Debug,
        "warning" => log::LevelFilter::Warn,
        "error" | "fatal" => log::LevelFilter::Error,
        _ => log::LevelFilter::Info,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_from_the_store_and_the_environment() {
        for (value, millis) in [
            (json!("1m30s"), 90_000),
            (json!("30"), 30_000),
            (json!("0.5"), 500),
            (json!(2), 2_000),
            (json!("1h0m0.25s"), 3_600_250),
            (json!("0s"), 0),
        ] {
            assert_eq!(seconds(&value), Some(Duration::from_millis(millis)), "{value}");
        }
        for wrong in [json!("soon"), json!("1d"), json!("-1s"), json!(true), json!("5s3")] {
            assert_eq!(seconds(&wrong), None, "{wrong}");
        }
    }
}
