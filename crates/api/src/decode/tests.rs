//! What other programs have written, and what is left of it.

use serde_json::json;

use super::*;
use crate::encode;

fn read(kind: Kind, text: &str) -> Result<Object, DecodeError> {
    let namespace = if kind.namespaced() { "ns" } else { "" };
    stored(&Key { kind, namespace: namespace.into(), name: "x".into() }, text.as_bytes())
}

fn spec(kind: Kind, text: &str) -> Value {
    read(kind, &format!(r#"{{"spec":{text}}}"#)).unwrap().body["spec"].clone()
}

fn problem(text: &str) -> String {
    let error = read(Kind::HostEndpoint, text).unwrap_err();
    assert_eq!(error.key().name, "x");
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn names_match_without_case() {
    let hep = read(Kind::HostEndpoint, r#"{"Metadata":{"LABELS":{"A":"b"}},"SPEC":{"InterfaceName":"eth0"}}"#).unwrap();
    assert_eq!(hep.metadata.labels["A"], "b");
    assert_eq!(hep.body["spec"], json!({ "interfaceName": "eth0" }));
    // The long s and the Kelvin sign fold too.
    assert_eq!(spec(Kind::HostEndpoint, "{\"profile\u{17f}\":[\"p\"]}"), json!({ "profiles": ["p"] }));
}

#[test]
fn of_two_spellings_the_last_counts() {
    assert_eq!(spec(Kind::HostEndpoint, r#"{"node":"a","Node":"b"}"#), json!({ "node": "b" }));
}

#[test]
fn null_is_absence_and_in_a_list_emptiness() {
    assert_eq!(spec(Kind::HostEndpoint, r#"{"node":null,"ports":[null],"profiles":[null]}"#), {
        json!({ "ports": [{}], "profiles": [""] })
    });
    assert_eq!(read(Kind::HostEndpoint, r#"{"metadata":null,"spec":null}"#).unwrap().body, Map::new());
}

#[test]
fn unknown_fields_are_kept_everywhere() {
    let text = concat!(
        r#"{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","#,
        r#""metadata":{"name":"x","namespace":"ns","clusterName":"c"},"#,
        r#""spec":{"ports":[{"name":"","protocol":"TCP","port":1,"hostPort":0,"hostIP":"","via":"y"}],"#,
        r#""allowedIps":["1.2.3.4"]},"more":{"a":null}}"#
    );
    let wep = read(Kind::WorkloadEndpoint, text).unwrap();
    assert_eq!(wep.metadata.other, json!({ "clusterName": "c" }).as_object().unwrap().clone());
    assert_eq!(String::from_utf8(encode::stored(&wep)).unwrap(), text);
}

#[test]
fn what_does_not_fit_its_type_is_kept_for_those_who_need_it() {
    let hep = read(Kind::HostEndpoint, r#"{"spec":{"node":7,"ports":"none"}}"#).unwrap();
    assert_eq!(hep.body["spec"], json!({ "node": 7, "ports": "none" }));
    assert!(hep.spec::<crate::kinds::host_endpoint::HostEndpointSpec>().is_err());
}

#[test]
fn the_empty_sides_that_older_releases_wrote_are_no_difference() {
    let text = r#"{"ingress":[{"action":"Allow","source":{},"destination":{}}]}"#;
    let profile = read(Kind::Profile, &format!(r#"{{"spec":{text}}}"#)).unwrap();
    let again = String::from_utf8(encode::stored(&profile)).unwrap();
    assert!(again.ends_with(r#""spec":{"ingress":[{"action":"Allow"}]}}"#), "{again}");
}

#[test]
fn the_flag_of_a_block_affinity_is_text_in_stores() {
    assert_eq!(spec(Kind::BlockAffinity, r#"{"deleted":"true"}"#), json!({ "deleted": true }));
    assert_eq!(spec(Kind::BlockAffinity, r#"{"deleted":"false"}"#), json!({ "deleted": false }));
    assert_eq!(spec(Kind::BlockAffinity, r#"{"deleted":true}"#), json!({ "deleted": true }));
}

#[test]
fn the_key_names_the_object_whatever_the_value_says() {
    let np = read(Kind::NetworkPolicy, r#"{"metadata":{"name":"other","namespace":"elsewhere"}}"#).unwrap();
    assert_eq!(np.key(), Key::namespaced(Kind::NetworkPolicy, "ns", "x"));
}

#[test]
fn what_is_no_object_is_an_error_that_names_the_key_and_the_reason() {
    assert_eq!(problem(""), "HostEndpoint(x) is not JSON in the store: EOF while parsing a value at line 1 column 0");
    assert_eq!(problem("{\"a\":\u{0}}"), "HostEndpoint(x) is not JSON in the store: expected value at line 1 column 6");
    assert_eq!(problem("[]"), "HostEndpoint(x) has no object as its value in the store");
    assert_eq!(problem(r#"{"spec":[]}"#), "HostEndpoint(x) has no object as its spec in the store");
    assert_eq!(problem(r#"{"kind":"Tier"}"#), "HostEndpoint(x) holds a \"Tier\" in the store");
    assert_eq!(
        problem(r#"{"metadata":{"labels":{"a":1}}}"#),
        "HostEndpoint(x) has metadata of a wrong type in the store: invalid type: integer `1`, expected a string"
    );
}
