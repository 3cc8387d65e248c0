//! The names of the settings that tortie supports, and of those with which an invalid value prevents the start. Any other setting
//! gives a note, which `tortie status` and `tortie config` show.

use super::effective::SETTINGS;

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
    names().any(|name| name == field)
}

/// The settings that have an effect. `nodeSelector` has no value to show: it chooses configurations.
fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|(name, _, _)| *name).chain(["nodeSelector"])
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
        assert!(SETTINGS.is_sorted_by_key(|(name, _, _)| *name));
        assert!(FATAL.is_sorted());
        for field in names().chain(FATAL.iter().copied()) {
            assert!(record.field(field).is_some(), "{field}");
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
        let mut effective: Vec<&str> = names().collect();
        effective.sort_unstable();
        assert_eq!(enforced, effective);
    }
}
