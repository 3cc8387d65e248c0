//! Settings that cannot be read.

use serde_json::json;

use crate::{HostAction, Settings};

#[test]
fn an_unreadable_setting_closes_what_it_may_have_closed_and_never_turns_workload_policy_off() {
    let weak = json!({
        "interfacePrefix": "tap", "defaultEndpointToHostAction": "Accept", "disableConntrackInvalidCheck": true,
        "workloadSourceSpoofing": "Any", "vxlanPort": 4000,
    });
    for (field, value) in [
        ("interfacePrefix", json!(",")),
        ("interfacePrefix", json!(7)),
        ("interfacePrefix", json!("cali*")),
        ("interfacePrefix", json!("a b")),
        ("interfacePrefix", json!("sixteen-letters-")),
        ("defaultEndpointToHostAction", json!("perhaps")),
        ("defaultEndpointToHostAction", json!([])),
        ("disableConntrackInvalidCheck", json!("yes")),
        ("workloadSourceSpoofing", json!(1)),
        ("iptablesNATOutgoingInterfaceFilter", json!("a b")),
        ("vxlanPort", json!("many")),
        ("vxlanPort", json!(99_999_999)),
        ("vxlanPort", json!(-1)),
        ("workloadSourceSpoofing", json!("zz")),
        ("floatingIPs", json!("zz")),
        ("ipForwarding", json!("zz")),
        ("nftablesFilterDenyAction", json!("zz")),
        ("logSeverityScreen", json!("zz")),
        ("natOutgoingExclusions", json!("zz")),
        ("interfaceExclude", json!("eth0,/(/")),
        ("healthPort", json!(70_000)),
        ("deviceRouteSourceAddress", json!("zz")),
        // A key that appears twice.
        ("interfacePrefix", json!(null)),
        ("defaultEndpointToHostAction", json!(null)),
        ("workloadSourceSpoofing", json!(null)),
        ("vxlanPort", json!(null)),
    ] {
        let strong = json!({ field: value });
        let (settings, wrong) = Settings::default().settle(&[&weak, &strong]);
        let reasons: Vec<_> = wrong.iter().map(|(index, why)| (*index, why.path.to_string())).collect();
        assert_eq!(reasons, [(1, format!("spec.{field}"))], "{value}");
        assert_eq!(settings.interface_prefixes, ["tap"], "{value}");
        assert_eq!(settings.vxlan_port, 4000);
        let closes = |name: &str| name == field;
        assert_eq!(settings.host_action == HostAction::Drop, closes("defaultEndpointToHostAction"), "{value}");
        assert_eq!(settings.accept_invalid, !closes("disableConntrackInvalidCheck"));
        assert_eq!(settings.spoofing_allowed, !closes("workloadSourceSpoofing"));
    }
}

#[test]
fn values_are_read_in_any_case_and_an_empty_text_sets_nothing() {
    let spec = json!({
        "workloadSourceSpoofing": "any", "floatingIPs": "enabled", "nftablesFilterDenyAction": "REJECT", "logSeverityScreen": "",
        "natOutgoingExclusions": "ippoolsandhostips", "interfaceExclude": "/^kube.*/,eth0", "vxlanPort": 0,
    });
    let (settings, wrong) = Settings::default().settle(&[&spec]);
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(settings.spoofing_allowed && settings.floating_ips && settings.nat_outgoing.spare_nodes);
}

#[test]
fn a_prefix_that_no_interface_can_have_is_left_out_with_a_note_and_the_others_are_in_force() {
    let weak = json!({ "interfacePrefix": "tap,cali*" });
    let strong = json!({ "interfacePrefix": "veth,sixteen-letters-" });
    let (settings, wrong) = Settings::default().settle(&[&weak, &strong]);
    assert_eq!(settings.interface_prefixes, ["veth"]);
    let told: Vec<_> = wrong.iter().map(|(index, why)| (*index, why.to_string())).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].1.contains("cali*") && told[1].1.contains("sixteen-letters-"), "{told:?}");
    assert!(told.iter().all(|(_, why)| why.contains("only the other prefixes are in force")), "{told:?}");
    let (settings, _) = Settings::default().settle(&[&weak]);
    assert_eq!(settings.interface_prefixes, ["tap"]);
}

#[test]
fn a_failsafe_port_that_cannot_be_read_opens_nothing_and_is_told() {
    let key = tortie_api::Key::cluster(tortie_api::Kind::FelixConfiguration, "default");
    for (field, path) in [
        (r#""port":22,"net":7"#, ".net"),
        (r#""port":22,"net":null"#, ".net"),
        (r#""port":22,"net":[]"#, ".net"),
        (r#""port":22,"net":{"a":1}"#, ".net"),
        (r#""port":22,"net":true"#, ".net"),
        (r#""port":22,"net":"x""#, ".net"),
        (r#""port":22,"net":"192.0.2.0/24","net":"192.0.2.0/24""#, ".net"),
        (r#""port":22,"nets":["192.0.2.0/24"]"#, ".nets"),
        (r#""port":22,"protocol":7"#, ".protocol"),
        (r#""port":22,"protocol":null"#, ".protocol"),
        (r#""port":22,"protocol":"zz""#, ".protocol"),
        (r#""port":null"#, ".port"),
        (r#""port":70000"#, ".port"),
        (r#""net":"192.0.2.0/24""#, ".port"),
    ] {
        for list in ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"] {
            let stored = format!(r#"{{"spec":{{"{list}":[{{"port":68,"protocol":"UDP"}},{{{field}}}]}}}}"#);
            let object = crate::from_api::Stored::read(&key, stored.as_bytes()).object;
            let (settings, wrong) = Settings::default().settle(&[&object.body["spec"]]);
            let told: Vec<_> = wrong.iter().map(|(_, why)| why.to_string()).collect();
            assert_eq!(told.len(), 1, "{field}: {told:?}");
            assert!(told[0].starts_with(&format!("spec.{list}[1]{path}: ")), "{field}: {told:?}");
            assert!(told[0].ends_with("(this failsafe port opens nothing)"), "{told:?}");
            let inbound = list == "failsafeInboundHostPorts";
            let ports = if inbound { settings.failsafe_inbound } else { settings.failsafe_outbound };
            assert_eq!(ports.iter().map(|one| (one.port, one.net)).collect::<Vec<_>>(), [(68, None)], "{field}");
        }
    }
    for list in [r#"[null]"#, r#"[7]"#, r#"[[]]"#] {
        let stored = format!(r#"{{"spec":{{"failsafeInboundHostPorts":{list}}}}}"#);
        let object = crate::from_api::Stored::read(&key, stored.as_bytes()).object;
        let (settings, wrong) = Settings::default().settle(&[&object.body["spec"]]);
        assert_eq!((settings.failsafe_inbound, wrong.len()), (Vec::new(), 1), "{list}");
    }
    let (settings, wrong) = Settings::default().settle(&[&json!({ "failsafeInboundHostPorts": "nonsense" })]);
    assert_eq!((settings.failsafe_inbound, wrong.len()), (Settings::default().failsafe_inbound, 1));
}

#[test]
fn a_filter_of_outgoing_interfaces_that_every_name_passes_is_no_filter() {
    let settings =
        |filter: &str| Settings::default().settle(&[&json!({ "iptablesNATOutgoingInterfaceFilter": filter })]).0;
    assert_eq!(settings("eth+").nat_outgoing.interface.as_deref(), Some("eth+"));
    assert_eq!(settings("+").nat_outgoing.interface, None);
}

#[test]
fn a_selector_of_nodes_that_cannot_be_read_is_told() {
    let told = |selector: serde_json::Value| {
        let mut object =
            tortie_api::Object::new(tortie_api::Key::cluster(tortie_api::Kind::FelixConfiguration, "racks"));
        object.body.insert("spec".to_owned(), json!({ "nodeSelector": selector }));
        crate::from_api::unreadable_settings(&object).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for selector in [json!("all"), json!("role=web"), json!("((("), json!(7), json!([])] {
        let told = told(selector);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("spec.nodeSelector: ") && told[0].ends_with("(it selects no node)"), "{told:?}");
    }
    assert!(told(json!("role == 'web'")).is_empty() && told(json!("")).is_empty());
}
