use serde_json::{Value, json};

use super::*;

fn source_of(namespace: &str) -> Labelled {
    serde_json::from_value(json!({ "metadata": { "name": "shop", "namespace": namespace, "resourceVersion": "7",
        "uid": "30316465-6365-4463-ad63-3564622d3638", "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": { "team": "a" }, "annotations": { "not": "taken over" } } }))
    .unwrap()
}

fn stored(converted: &Converted) -> Value {
    serde_json::from_slice(&tortie_api::encode::stored(&converted.object)).unwrap()
}

#[test]
fn a_namespace_becomes_a_profile_that_allows_and_passes_its_labels_on() {
    let converted = of_namespace(&source_of("")).unwrap();
    assert_eq!(converted.object.metadata.resource_version, "7/");
    assert_eq!(
        stored(&converted),
        json!({ "kind": "Profile", "apiVersion": "projectcalico.org/v3",
            "metadata": { "name": "kns.shop", "uid": "0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c",
                "creationTimestamp": "2026-01-02T03:04:05Z" },
            "spec": { "ingress": [{ "action": "Allow" }], "egress": [{ "action": "Allow" }],
                "labelsToApply": { "pcns.projectcalico.org/name": "shop", "pcns.team": "a" } } })
    );
}

#[test]
fn a_service_account_becomes_a_profile_without_rules() {
    for (namespace, name) in [("prod", "ksa.prod.shop"), ("", "ksa.default.shop")] {
        let converted = of_service_account(&source_of(namespace)).unwrap();
        assert_eq!(converted.object.metadata.resource_version, "/7");
        assert_eq!(
            stored(&converted),
            json!({ "kind": "Profile", "apiVersion": "projectcalico.org/v3",
                "metadata": { "name": name, "uid": "0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c",
                    "creationTimestamp": "2026-01-02T03:04:05Z" },
                "spec": { "labelsToApply": { "pcsa.projectcalico.org/name": "shop", "pcsa.team": "a" } } })
        );
    }
}

#[test]
fn the_name_of_a_profile_gives_its_namespace_or_service_account() {
    let account = |namespace: &str, name: &str| Source::ServiceAccount(namespace.to_owned(), name.to_owned());
    for (name, expected) in [
        ("kns.shop", Ok(Source::Namespace("shop".to_owned()))),
        ("ksa.shop.web", Ok(account("shop", "web"))),
        ("ksa.shop.web.v2", Ok(account("shop", "web.v2"))),
        ("x", Err("Invalid name x")),
        ("ksa.shop", Err("Profile ksa.shop is not formatted correctly")),
    ] {
        assert_eq!(source(name), expected.map_err(ConversionError::new), "{name}");
    }
}
