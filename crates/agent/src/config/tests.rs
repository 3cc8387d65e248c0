//! Strength, meaning and notes.

use serde_json::json;
use tortie_api::{Key, Kind};
use tortie_policy::HostAction;

use super::*;

fn local(env: &[(&str, &str)], file: &str) -> Result<Local, LocalError> {
    let place = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(place.path(), file).unwrap();
    let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Local::read(&Sources { env, file: place.path().to_owned() })
}

fn configuration(name: &str, spec: Value) -> Object {
    let mut object = Object::new(Key::cluster(Kind::FelixConfiguration, name));
    object.body.insert("spec".to_owned(), spec);
    object
}

#[test]
fn environment_comes_before_file_before_store() {
    let object = configuration("default", json!({ "logPrefix": "store", "healthPort": 1, "vxlanPort": 3 }));
    let local = local(
        &[("FELIX_LogPrefix", "env"), ("felix_healthenabled", "true")],
        "[global]\n# a comment\nLogPrefix = file\nHealthPort = 2\n",
    )
    .unwrap();
    let resolved = resolve(&local, Settings::default(), &[&object]);
    assert_eq!(resolved.settings.log_prefix, "env");
    assert_eq!(resolved.settings.vxlan_port, 3);
    assert_eq!(resolved.agent.health, Some(Served { host: "localhost".to_owned(), port: 2, tls: None }));
    assert_eq!(resolved.notes, []);
}

#[test]
fn of_several_configurations_the_stronger_counts_field_by_field() {
    let weak = configuration("default", json!({ "wireguardEnabled": true, "logPrefix": "weak" }));
    let own = configuration("node.n", json!({ "wireguardListeningPort": 7, "logPrefix": "" }));
    let resolved = resolve(&Local::default(), Settings::default(), &[&weak, &own]);
    assert_eq!(resolved.settings.wireguard, Some(7));
    assert_eq!(resolved.settings.log_prefix, "weak");
}

#[test]
fn an_invalid_value_leaves_the_next_weaker_one_or_closes_with_a_note() {
    let weak = configuration("default", json!({ "vxlanPort": 4000 }));
    let own = configuration("node.n", json!({ "vxlanPort": "many" }));
    assert_eq!(resolve(&Local::default(), Settings::default(), &[&weak, &own]).settings.vxlan_port, 4000);
    let weak = configuration("default", json!({ "defaultEndpointToHostAction": "Return" }));
    let own = configuration("node.n", json!({ "defaultEndpointToHostAction": "Perhaps" }));
    let resolved = resolve(&Local::default(), Settings::default(), &[&weak, &own]);
    assert_eq!(resolved.settings.host_action, HostAction::Drop);
    assert_eq!(resolved.notes.len(), 1);
    assert_eq!(resolved.notes[0].source, "FelixConfiguration node.n");
}

#[test]
fn an_invalid_local_value_leaves_the_default_as_in_calico() {
    let object = configuration("default", json!({ "healthEnabled": true, "vxlanPort": 3 }));
    let local = local(&[("FELIX_VXLANPort", "many"), ("FELIX_Frobnicate", "1")], "").unwrap();
    let resolved = resolve(&local, Settings::default(), &[&object]);
    assert_eq!(resolved.settings.vxlan_port, 4789);
    let notes: Vec<_> = resolved.notes.iter().map(|note| (note.name.as_str(), note.note.as_str())).collect();
    assert_eq!(
        notes,
        [
            ("VXLANPort", "\"many\" is not a whole number; the default is used"),
            ("Frobnicate", "there is no such setting")
        ]
    );
}

#[test]
fn the_agent_refuses_to_start_with_settings_with_which_calico_refuses() {
    for (name, value) in [
        ("FailsafeInboundHostPorts", "tcp:0:0"),
        ("FailsafeInboundHostPorts", "icmp:1"),
        ("DefaultEndpointToHostAction", "perhaps"),
        ("InterfacePrefix", "a-name-that-is-too-long"),
        ("InterfacePrefix", "none"),
        ("InterfacePrefix", ","),
        ("InterfacePrefix", "tap,cali*"),
        ("InterfacePrefix", "a b"),
        ("InterfacePrefix", " , "),
        ("NftablesMarkMask", "much"),
        ("ExternalNodesCIDRList", "10.0.0.0/33"),
    ] {
        let error = local(&[(&format!("FELIX_{name}"), value)], "").unwrap_err();
        assert!(error.to_string().starts_with(&format!("{name} in the environment: ")), "{error}");
    }
}

#[test]
fn failsafes_are_read_in_every_form() {
    let local =
        local(&[("FELIX_FailsafeInboundHostPorts", "22, udp:68,tcp:10.1.2.3/8:23,SCTP:[fd00::/8]:9")], "").unwrap();
    let resolved = resolve(&local, Settings::default(), &[]);
    let failsafes: Vec<String> = resolved
        .settings
        .failsafe_inbound
        .iter()
        .map(|one| format!("{} {} {:?}", one.protocol, one.port, one.net.map(|net| net.to_string())))
        .collect();
    assert_eq!(failsafes, ["TCP 22 None", "UDP 68 None", "TCP 23 Some(\"10.0.0.0/8\")", "SCTP 9 Some(\"fd00::/8\")"]);
    let none = super::tests::local(&[("FELIX_FailsafeInboundHostPorts", "none")], "").unwrap();
    assert_eq!(resolve(&none, Settings::default(), &[]).settings.failsafe_inbound, []);
}

#[test]
fn metrics_are_served_on_localhost_unless_another_address_is_set() {
    let served = |spec: Value| {
        let object = configuration("default", spec);
        resolve(&Local::default(), Settings::default(), &[&object]).agent.metrics.unwrap()
    };
    assert_eq!(served(json!({ "prometheusMetricsEnabled": true })).host, "localhost");
    let all = json!({ "prometheusMetricsEnabled": true, "prometheusMetricsHost": "0.0.0.0" });
    assert_eq!(served(all).host, "0.0.0.0");
}

#[test]
fn the_settings_of_the_iptables_mode_count_where_those_of_the_nftables_mode_are_not_set() {
    let old = configuration("default", json!({ "iptablesFilterDenyAction": "Reject", "iptablesMarkMask": 0xff }));
    let resolved = resolve(&Local::default(), Settings::default(), &[&old]);
    assert_eq!((resolved.settings.refusal, resolved.agent.mark_mask), (tortie_policy::Refusal::Reject, 0xff));
    let own = configuration("node.n", json!({ "nftablesFilterDenyAction": "Drop", "nftablesMarkMask": 0xff00 }));
    let resolved = resolve(&Local::default(), Settings::default(), &[&old, &own]);
    assert_eq!((resolved.settings.refusal, resolved.agent.mark_mask), (tortie_policy::Refusal::Drop, 0xff00));
}

#[test]
fn settings_without_effect_are_reported_wherever_they_are_set() {
    // The second one is what writing a configuration fills in.
    let spec = json!({ "bpfEnabled": true, "bpfConnectTimeLoadBalancing": "TCP", "chainInsertMode": "" });
    let object = configuration("default", spec);
    let local = local(&[("FELIX_IptablesFilterAllowAction", "Return"), ("FELIX_FelixHostname", "me")], "").unwrap();
    assert_eq!(local.node(), "me");
    let resolved = resolve(&local, Settings::default(), &[&object]);
    let names: Vec<_> = resolved.notes.iter().map(|note| note.name.as_str()).collect();
    assert_eq!(names, ["IptablesFilterAllowAction", "bpfEnabled"]);
}
