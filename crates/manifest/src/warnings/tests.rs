//! Each code, when it is given and when not.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

fn object(kind: Kind, spec: Value) -> Object {
    let mut object = Object::new(Key::cluster(kind, "x"));
    object.body.insert("spec".to_owned(), spec);
    object
}

fn found(problems: &[Problem]) -> Vec<(&'static str, String)> {
    let code = |problem: &Problem| match problem.severity {
        crate::Severity::Warning(code) => code,
        crate::Severity::Error => "error",
    };
    let found: Vec<_> = problems.iter().map(|problem| (code(problem), problem.path.to_string())).collect();
    assert!(found.iter().all(|(code, _)| CODES.iter().any(|(known, _)| known == code)), "{found:?}");
    found
}

#[test]
fn codes_are_sorted_and_unique() {
    assert!(CODES.is_sorted_by(|one, other| one.0 < other.0));
}

#[test]
fn the_page_of_warnings_has_a_paragraph_for_every_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/warnings.md");
    let page = std::fs::read_to_string(path).unwrap();
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let known: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    assert_eq!(sections, known);
    assert!(page.split("\n## ").skip(1).all(|section| section.lines().skip(2).any(|line| line.len() > 20)));
}

/// Every code that the source names: `Problem::warning("code"`, or `warning[code]` in a text of its own.
fn printed(folder: &std::path::Path, out: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && !["tests", "target"].iter().any(|skipped| name == **skipped) {
            printed(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            let starts = [("warning(", "\""), ("\"warning[", "")];
            for (start, quote) in starts {
                let found = text.split(start).skip(1).filter_map(|rest| rest.trim_start().strip_prefix(quote));
                let code = |rest: &str| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
                out.extend(found.map(code).filter(|code: &String| !code.is_empty()));
            }
        }
    }
}

#[test]
fn every_code_that_the_program_prints_is_listed_and_every_listed_one_is_printed() {
    let mut found = BTreeSet::new();
    printed(concat!(env!("CARGO_MANIFEST_DIR"), "/..").as_ref(), &mut found);
    let known: BTreeSet<String> = CODES.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(found, known);
}

#[test]
fn a_host_endpoint_without_addresses_gets_a_warning() {
    let warned = found(&of(&object(Kind::HostEndpoint, json!({"node": "n", "interfaceName": "eth0"}))));
    assert_eq!(warned, [("no-expected-ips", "spec".to_owned())]);
    let whole = json!({"node": "n", "interfaceName": "eth0", "expectedIPs": ["10.0.0.1"]});
    assert!(of(&object(Kind::HostEndpoint, whole)).is_empty());
}

#[test]
fn a_port_name_for_two_protocols_gets_no_warning_and_one_used_twice_for_a_protocol_does() {
    let ports = |second: Value| {
        let ports =
            json!([{"name": "dns", "protocol": "UDP", "port": 53}, {"name": "dns", "protocol": second, "port": 54}]);
        found(&of(&object(Kind::WorkloadEndpoint, json!({"ports": ports}))))
    };
    assert!(ports(json!("TCP")).is_empty());
    assert_eq!(ports(json!("UDP")), [("duplicate-port", "spec.ports[1].name".to_owned())]);
    assert_eq!(ports(json!(17)), [("duplicate-port", "spec.ports[1].name".to_owned())]);
}

#[test]
fn profiles_that_do_not_exist_get_a_warning() {
    let endpoint =
        object(Kind::HostEndpoint, json!({"profiles": ["profile1", "there", "projectcalico-default-allow"]}));
    let problems = references(&endpoint, &|key| key.kind == Kind::Profile && key.name == "there");
    assert_eq!(found(&problems), [("unknown-profile", "spec.profiles[0]".to_owned())]);
    assert!(problems[0].text().contains("everything that no policy allows is denied"));
}

#[test]
fn a_tier_that_does_not_exist_gets_a_warning() {
    let exists = |key: &Key| key.name == "there";
    let tier = |name: &str| found(&references(&object(Kind::NetworkPolicy, json!({"tier": name})), &exists));
    assert_eq!(tier("nowhere"), [("unknown-tier", "spec.tier".to_owned())]);
    assert!(tier("there").is_empty() && tier("default").is_empty() && tier("").is_empty());
}

#[test]
fn rules_of_a_direction_that_types_leave_out_get_a_warning() {
    let policy = json!({"types": ["Ingress"], "egress": [{"action": "Deny"}], "ingress": [{"action": "Allow"}]});
    assert_eq!(found(&of(&object(Kind::GlobalNetworkPolicy, policy))), [("rules-not-asked", "spec.egress".to_owned())]);
    let open = json!({"egress": [{"action": "Deny"}]});
    assert!(of(&object(Kind::GlobalNetworkPolicy, open)).is_empty(), "without types, those with rules are meant");
}

#[test]
fn a_service_without_its_namespace_gets_a_warning() {
    let policy = |services: Value| {
        let rule = json!({"action": "Allow", "destination": {"services": services}});
        found(&of(&object(Kind::NetworkPolicy, json!({"egress": [{"action": "Deny"}, rule]}))))
    };
    let warned = [("service-without-namespace", "spec.egress[1].destination.services".to_owned())];
    assert_eq!(policy(json!({"name": "dns"})), warned);
    assert!(policy(json!({"name": "dns", "namespace": "kube-system"})).is_empty());
    assert!(policy(json!({})).is_empty(), "that is an error");
}

#[test]
fn empty_addresses_and_settings_without_effect_get_warnings() {
    let nets = object(Kind::NetworkSet, json!({"nets": ["10.0.0.0/8", ""]}));
    assert_eq!(found(&of(&nets)), [("empty-address", "spec.nets[1]".to_owned())]);
    let mut settings = object(Kind::FelixConfiguration, json!({"iptablesFilterAllowAction": "Return"}));
    settings.metadata.name = "default".to_owned();
    assert_eq!(found(&of(&settings)), [("no-effect", "spec.iptablesFilterAllowAction".to_owned())]);
}

#[test]
fn an_empty_list_of_failsafes_and_one_that_opens_nothing_get_a_warning() {
    let with = |spec| {
        let mut settings = object(Kind::FelixConfiguration, spec);
        settings.metadata.name = "default".to_owned();
        settings
    };
    let settings = |ports| with(json!({"failsafeInboundHostPorts": ports}));
    let warned = [("no-failsafes", "spec.failsafeInboundHostPorts".to_owned())];
    assert_eq!(found(&of(&settings(json!([])))), warned);
    assert!(of(&settings(json!([{"protocol": "tcp", "port": 2222}]))).is_empty());
    assert!(of(&with(json!({}))).is_empty(), "then there are the default ones");
    for (field, value) in [("net", "10.0.0.0/33"), ("protocol", "zz")] {
        let entry = json!([{"port": 22}, {"port": 23, field: value}]);
        let warned = [("no-effect", format!("spec.failsafeInboundHostPorts[1].{field}"))];
        assert_eq!(found(&of(&settings(entry))), warned);
    }
}

#[test]
fn an_untracked_policy_on_a_wildcard_endpoint_gets_a_warning() {
    let mut any = object(Kind::HostEndpoint, json!({"interfaceName": "*"}));
    any.metadata.labels.insert("role".to_owned(), "db".to_owned());
    let mut named = any.clone();
    named.body["spec"]["interfaceName"] = json!("eth0");
    let policy = |selector: &str| object(Kind::GlobalNetworkPolicy, json!({"doNotTrack": true, "selector": selector}));
    let warned = found(&untracked_on_any(&policy("role == 'db'"), [&any, &named]));
    assert_eq!(warned, [("untracked-on-any", "spec.doNotTrack".to_owned())]);
    assert!(untracked_on_any(&policy("role == 'db'"), [&named]).is_empty());
    assert!(untracked_on_any(&policy("role == 'web'"), [&any]).is_empty());
}

#[test]
fn settings_that_apply_to_no_node_get_a_warning() {
    let warned = |name: &str, spec: Value| {
        let mut object = object(Kind::FelixConfiguration, spec);
        object.metadata.name = name.to_owned();
        found(&of(&object))
    };
    let by_name = [("no-effect", "metadata.name".to_owned())];
    assert_eq!(warned("h7", json!({"vxlanPort": 1})), by_name);
    assert_eq!(warned("h7", json!({"nodeSelector": ""})), by_name);
    for invalid in ["all", "role=web", "((("] {
        assert_eq!(warned("h7", json!({ "nodeSelector": invalid })), [("no-effect", "spec.nodeSelector".to_owned())]);
    }
    assert!(warned("h7", json!({"nodeSelector": "role == 'web'"})).is_empty());
    assert!(warned("default", json!({})).is_empty() && warned("node.h7", json!({})).is_empty());
}

#[test]
fn words_for_everything_that_are_taken_as_names_are_warned_of() {
    let of = |kind, spec| {
        found(&of(&object(kind, spec)))
            .into_iter()
            .filter(|(code, _)| *code == "taken-as-name")
            .map(|(_, path)| path)
            .collect::<Vec<_>>()
    };
    for word in ["all", "any", "Any"] {
        assert_eq!(of(Kind::HostEndpoint, json!({"node": "n", "interfaceName": word})), ["spec.interfaceName"]);
    }
    for name in ["*", "eth0", "all0"] {
        assert!(of(Kind::HostEndpoint, json!({"node": "n", "interfaceName": name})).is_empty(), "{name}");
    }
    let rule = json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [80, "any"], "notPorts": ["all", "http"]}});
    for kind in [Kind::GlobalNetworkPolicy, Kind::StagedNetworkPolicy] {
        let spec = json!({"types": ["Egress"], "egress": [{"action": "Deny"}, rule]});
        assert_eq!(of(kind, spec), ["spec.egress[1].destination.ports[1]", "spec.egress[1].destination.notPorts[0]"]);
    }
}

#[test]
fn what_nobody_sees_in_a_selector_is_warned_of_in_any_record() {
    let unseen = "app == 'x\u{200B}'";
    let spec = json!({"selector": unseen, "namespaceSelector": "a == 'b c'", "ingress": [{"action": "Allow", "source": {"notSelector": "a == 'b\u{A0}c'"}}]});
    let found_in = found(&of(&object(Kind::GlobalNetworkPolicy, spec)));
    let invisible: Vec<_> =
        found_in.iter().filter(|(code, _)| *code == "invisible").map(|(_, path)| path.as_str()).collect();
    assert_eq!(invisible, ["spec.selector", "spec.ingress[0].source.notSelector"]);
    assert_eq!(
        found(&of(&object(Kind::IPPool, json!({"nodeSelector": unseen})))),
        [("invisible", "spec.nodeSelector".to_owned())]
    );
}
