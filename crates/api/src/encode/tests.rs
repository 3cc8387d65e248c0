//! What Go writes for each thing a shape can say.

use serde_json::{Value, json};

use super::*;
use crate::kind::Key;

fn object(kind: Kind, body: Value) -> Object {
    let mut object = Object::new(Key { kind, namespace: String::new(), name: "x".into() });
    object.body = body.as_object().unwrap().clone();
    object
}

fn text(kind: Kind, body: Value) -> String {
    String::from_utf8(stored(&object(kind, body))).unwrap()
}

fn spec(kind: Kind, spec: Value) -> String {
    let whole = text(kind, json!({ "spec": spec }));
    whole.split_once(r#""spec":"#).unwrap().1.strip_suffix('}').unwrap().to_owned()
}

#[test]
fn fields_are_written_in_calicos_order_whatever_their_order_was() {
    assert_eq!(
        text(Kind::HostEndpoint, json!({ "spec": { "profiles": ["p"], "interfaceName": "eth0", "node": "n" } })),
        concat!(
            r#"{"kind":"HostEndpoint","apiVersion":"projectcalico.org/v3","metadata":{"name":"x"},"#,
            r#""spec":{"node":"n","interfaceName":"eth0","profiles":["p"]}}"#
        )
    );
}

#[test]
fn empty_values_are_left_out_unless_always_written() {
    let wep = json!({ "interfaceName": "cali1", "profiles": [], "mac": "", "ports": [{ "port": 80 }] });
    assert_eq!(
        spec(Kind::WorkloadEndpoint, wep),
        r#"{"interfaceName":"cali1","ports":[{"name":"","protocol":0,"port":80,"hostPort":0,"hostIP":""}]}"#
    );
    assert_eq!(spec(Kind::FelixConfiguration, json!({})), r#"{"bpfLogLevel":""}"#);
}

#[test]
fn an_explicit_zero_of_a_pointer_is_kept() {
    assert_eq!(spec(Kind::GlobalNetworkPolicy, json!({ "order": 0 })), r#"{"order":0}"#);
    let felix = json!({ "failsafeInboundHostPorts": [], "ipv6Support": false });
    assert_eq!(
        spec(Kind::FelixConfiguration, felix),
        r#"{"ipv6Support":false,"failsafeInboundHostPorts":[],"bpfLogLevel":""}"#
    );
}

#[test]
fn null_is_an_absent_field() {
    assert_eq!(spec(Kind::GlobalNetworkPolicy, json!({ "order": null, "selector": null })), "{}");
}

#[test]
fn a_source_without_fields_is_left_out_and_one_with_an_empty_field_is_written() {
    let rule = |source: Value| spec(Kind::Profile, json!({ "ingress": [{ "action": "Allow", "source": source }] }));
    let plain = r#"{"ingress":[{"action":"Allow"}]}"#;
    let touched = r#"{"ingress":[{"action":"Allow","source":{}}]}"#;
    assert_eq!(rule(json!({})), plain);
    assert_eq!(rule(json!({ "selector": "", "services": null })), plain);
    assert_eq!(rule(json!({ "nets": [] })), touched);
}

#[test]
fn a_status_that_is_always_written_is_written_empty() {
    let tier = text(Kind::Tier, json!({ "spec": { "order": 10.0 } }));
    assert!(tier.ends_with(r#""spec":{"order":10},"status":{}}"#), "{tier}");
    let pool = text(Kind::IPPool, json!({ "spec": { "cidr": "10.0.0.0/16" } }));
    assert!(pool.ends_with(r#""spec":{"cidr":"10.0.0.0/16"}}"#), "{pool}");
    let node = text(Kind::Node, json!({}));
    assert!(node.ends_with(r#""spec":{},"status":{}}"#), "{node}");
}

#[test]
fn an_empty_node_status_is_written_in_full() {
    let status = text(Kind::CalicoNodeStatus, json!({ "spec": { "node": "n" } }));
    let bgp = concat!(
        r#""bgp":{"numberEstablishedV4":0,"numberNotEstablishedV4":0,"#,
        r#""numberEstablishedV6":0,"numberNotEstablishedV6":0}"#
    );
    let want =
        format!(r#""status":{{"lastUpdated":null,"agent":{{"birdV4":{{}},"birdV6":{{}}}},{bgp},"routes":{{}}}}}}"#);
    assert!(status.ends_with(&want), "{status}");
}

#[test]
fn map_keys_are_sorted_by_byte() {
    let mut hep = object(Kind::HostEndpoint, json!({ "spec": {} }));
    for key in ["b", "a", "B", "a/b"] {
        hep.metadata.labels.insert(key.into(), key.into());
    }
    let text = String::from_utf8(stored(&hep)).unwrap();
    assert!(text.contains(r#""labels":{"B":"B","a":"a","a/b":"a/b","b":"b"}"#), "{text}");
}

#[test]
fn fields_of_other_programs_follow_the_known_ones() {
    let wep = json!({ "allowedIps": ["1.2.3.4"], "interfaceName": "tap1" });
    assert_eq!(spec(Kind::WorkloadEndpoint, wep), r#"{"interfaceName":"tap1","allowedIps":["1.2.3.4"]}"#);
    let mut hep = object(Kind::HostEndpoint, json!({ "extra": 1, "spec": {} }));
    hep.metadata.other.insert("clusterName".into(), json!("c"));
    let text = String::from_utf8(stored(&hep)).unwrap();
    assert!(text.ends_with(r#""metadata":{"name":"x","clusterName":"c"},"spec":{},"extra":1}"#), "{text}");
}

#[test]
fn the_revision_is_shown_and_not_stored() {
    let mut hep = object(Kind::HostEndpoint, json!({ "spec": {} }));
    hep.metadata.resource_version = "7".into();
    hep.metadata.self_link = "/x".into();
    assert!(!String::from_utf8(stored(&hep)).unwrap().contains("7"));
    assert_eq!(shown(&hep)["metadata"]["resourceVersion"], "7");
}

#[test]
fn the_flag_of_a_block_affinity_is_text_in_stores_only() {
    let block = object(Kind::BlockAffinity, json!({ "spec": { "state": "confirmed", "node": "n", "cidr": "::/64" } }));
    let text = String::from_utf8(stored(&block)).unwrap();
    assert!(text.ends_with(r#"{"state":"confirmed","node":"n","cidr":"::/64","deleted":"false"}}"#), "{text}");
    assert_eq!(shown(&block)["spec"]["deleted"], false);
}

#[test]
fn a_list_has_kind_version_revision_and_items() {
    let list = shown_list(Kind::Tier, "12", vec![]);
    assert_eq!(
        go_json(&list, true),
        "{\n  \"kind\": \"TierList\",\n  \"apiVersion\": \"projectcalico.org/v3\",\n  \"metadata\": {\n    \
         \"resourceVersion\": \"12\"\n  },\n  \"items\": []\n}"
    );
}

#[test]
fn text_is_escaped_for_html() {
    let text = "<a href=\"x\">&\u{2028}\u{2029}\u{7f}é\u{1}\u{8}\u{c}\n\r\t\\\u{201c}";
    assert_eq!(
        go_json(&json!(text), false),
        "\"\\u003ca href=\\\"x\\\"\\u003e\\u0026\\u2028\\u2029\u{7f}é\\u0001\\b\\f\\n\\r\\t\\\\\u{201c}\""
    );
}

#[test]
fn floats_are_written_as_go_writes_them() {
    for (float, text) in [
        (10.0, "10"),
        (0.5, "0.5"),
        (-0.0, "-0"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (2.5e-9, "2.5e-9"),
        (123456789.125, "123456789.125"),
    ] {
        assert_eq!(go_json(&json!(float), false), text);
    }
    assert_eq!(spec(Kind::Tier, json!({ "order": 1e6 })).split(',').next().unwrap(), r#"{"order":1000000}"#);
}
