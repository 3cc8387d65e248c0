//! What the schemas say, and that they take what is valid.

use super::*;
use tortie_api::encode;
use tortie_testkit::generate::{self, Random};

#[test]
fn a_schema_names_its_kind_and_describes_the_fields() {
    let schema = json_schema(Kind::HostEndpoint);
    assert_eq!(schema["title"], "HostEndpoint");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["required"], json!(["kind", "apiVersion", "metadata"]));
    assert_eq!(schema["properties"]["kind"], json!({ "const": "HostEndpoint" }));
    let spec = &schema["properties"]["spec"];
    assert_eq!(spec["additionalProperties"], false);
    let node = &spec["properties"]["node"];
    assert_eq!(node["description"], "The name of the node that this endpoint is on.");
    assert_eq!(node["maxLength"], 253);
}

#[test]
fn a_schema_has_the_rules_of_the_schema_layer() {
    let felix = json_schema(Kind::FelixConfiguration);
    let field = |name: &str| felix["properties"]["spec"]["properties"][name].clone();
    assert_eq!(field("nftablesMode")["enum"], json!(["Disabled", "Enabled", "Auto"]));
    assert_eq!(field("chainInsertMode")["pattern"], "^([Ii][Nn][Ss][Ee][Rr][Tt]|[Aa][Pp][Pp][Ee][Nn][Dd])?$");
    assert_eq!(field("nftablesMarkMask")["maximum"], 4_294_967_295_u64);
    assert_eq!(field("kubeNodePortRanges")["maxItems"], 7);
    let policy = json_schema(Kind::GlobalNetworkPolicy);
    let rule = &policy["properties"]["spec"]["properties"]["ingress"]["items"];
    assert_eq!(rule["required"], json!(["action"]));
    assert_eq!(rule["properties"]["action"]["enum"], json!(["Allow", "Deny", "Log", "Pass"]));
}

#[test]
fn a_schema_has_no_internal_keywords() {
    for kind in Kind::ALL {
        let text = json_schema(*kind).to_string();
        assert!(!text.contains("\"x-"), "{kind}");
    }
}

#[test]
fn valid_objects_match_their_schema() {
    for seed in 0..50 {
        for kind in Kind::ALL {
            let object = generate::object(*kind, &mut Random::new(seed));
            let tree = encode::shown(&object);
            let mut misfits = Vec::new();
            check(&json_schema(*kind), &tree, kind.name(), &mut misfits);
            assert_eq!(misfits, Vec::<String>::new(), "{tree}");
        }
    }
}

/// The few words of JSON schema that are used here.
fn check(schema: &Value, value: &Value, path: &str, misfits: &mut Vec<String>) {
    let mut fail = |word: &str| misfits.push(format!("{path}: {word}: {value} against {}", schema[word]));
    let is = |name: &Value| match name.as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        _ => false,
    };
    match &schema["type"] {
        Value::Null => {}
        Value::Array(names) if names.iter().any(is) => {}
        name if is(name) => {}
        _ => fail("type"),
    }
    let one_of = |word: &str, is: &dyn Fn(&Value) -> bool| !schema[word].is_null() && !is(&schema[word]);
    if one_of("const", &|wanted| wanted == value) {
        fail("const");
    }
    if value != "" && one_of("enum", &|choices| choices.as_array().unwrap().contains(value)) {
        fail("enum");
    }
    if one_of("pattern", &|pattern| {
        let pattern = regex_lite::Regex::new(pattern.as_str().unwrap()).unwrap();
        value.as_str().is_some_and(|text| pattern.is_match(text))
    }) {
        fail("pattern");
    }
    let length = value.as_array().map_or(0, Vec::len) as u64;
    if one_of("maxItems", &|most| length <= most.as_u64().unwrap()) {
        fail("maxItems");
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            misfits.push(format!("{path}: {name} is missing"));
        }
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) => check(schema, value, &path, misfits),
            (None, Value::Bool(false)) => misfits.push(format!("{path} is unknown")),
            (None, schema) => check(schema, value, &path, misfits),
        }
    }
    for item in value.as_array().into_iter().flatten() {
        check(&schema["items"], item, path, misfits);
    }
}
