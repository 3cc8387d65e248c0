//! The settings of FelixConfiguration that have an effect here. Any other one that is set gives a note, which `tortie status`
//! and `tortie config` show.

/// The fields of a FelixConfiguration that have an effect, sorted.
pub(super) const EFFECTIVE: &[&str] = &[
    "allowIPIPPacketsFromWorkloads",
    "allowVXLANPacketsFromWorkloads",
    "defaultEndpointToHostAction",
    "deviceRouteProtocol",
    "deviceRouteSourceAddress",
    "deviceRouteSourceAddressIPv6",
    "disableConntrackInvalidCheck",
    "endpointReportingDelay",
    "endpointReportingEnabled",
    "endpointStatusPathPrefix",
    "externalNodesList",
    "failsafeInboundHostPorts",
    "failsafeOutboundHostPorts",
    "floatingIPs",
    "healthEnabled",
    "healthHost",
    "healthPort",
    "interfaceExclude",
    "interfacePrefix",
    "ipForwarding",
    "ipipEnabled",
    "iptablesFilterDenyAction",
    "iptablesMarkMask",
    "iptablesNATOutgoingInterfaceFilter",
    "ipv4NormalRoutePriority",
    "ipv6NormalRoutePriority",
    "ipv6Support",
    "logActionRateLimit",
    "logActionRateLimitBurst",
    "logPrefix",
    "logSeverityScreen",
    "metadataAddr",
    "metadataPort",
    "natOutgoingAddress",
    "natOutgoingExclusions",
    "natPortRange",
    "nftablesFilterDenyAction",
    "nftablesMarkMask",
    "nodeSelector",
    "openstackRegion",
    "prometheusMetricsCAFile",
    "prometheusMetricsCertFile",
    "prometheusMetricsClientAuth",
    "prometheusMetricsEnabled",
    "prometheusMetricsHost",
    "prometheusMetricsKeyFile",
    "prometheusMetricsPort",
    "removeExternalRoutes",
    "reportingInterval",
    "reportingTTL",
    "routeRefreshInterval",
    "routeSyncDisabled",
    "vxlanEnabled",
    "vxlanPort",
    "wireguardEnabled",
    "wireguardEnabledV6",
    "wireguardListeningPort",
    "wireguardListeningPortV6",
    "workloadSourceSpoofing",
];

/// Settings with which Calico's agent does not start if their value is invalid.
const FATAL: &[&str] = &[
    "chainInsertMode",
    "defaultEndpointToHostAction",
    "externalNodesList",
    "failsafeInboundHostPorts",
    "failsafeOutboundHostPorts",
    "interfacePrefix",
    "iptablesFilterAllowAction",
    "iptablesFilterDenyAction",
    "iptablesMangleAllowAction",
    "iptablesMarkMask",
    "metadataAddr",
    "metadataPort",
    "nftablesFilterAllowAction",
    "nftablesFilterDenyAction",
    "nftablesMangleAllowAction",
    "nftablesMarkMask",
];

/// Whether a setting has an effect here.
pub(super) fn has(field: &str) -> bool {
    EFFECTIVE.binary_search(&field).is_ok()
}

/// Whether an invalid value keeps the agent from starting.
pub(super) fn is_fatal(field: &str) -> bool {
    FATAL.binary_search(&field).is_ok()
}

#[cfg(test)]
mod tests {
    use tortie_api::kinds::felix_configuration::FelixConfigurationSpec;
    use tortie_api::shape::Shape;

    use super::*;

    #[test]
    fn both_lists_are_sorted_and_name_fields_that_exist() {
        let shape = Shape::of::<FelixConfigurationSpec>();
        let record = shape.record().unwrap();
        for list in [EFFECTIVE, FATAL] {
            assert!(list.is_sorted(), "{list:?}");
            for field in list {
                assert!(record.field(field).is_some(), "{field}");
            }
        }
    }

    #[test]
    fn exactly_the_settings_that_the_documents_call_enforced_have_an_effect() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compat.md")).unwrap();
        let table = text.split("\n## FelixConfiguration\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let mut enforced: Vec<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `spec.")?.split_once("` | enforced |").map(|(field, _)| field))
            .filter(|field| !field.contains('['))
            .collect();
        enforced.sort_unstable();
        assert_eq!(enforced, EFFECTIVE);
    }
}
