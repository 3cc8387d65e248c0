//! What becomes of a Rust type.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::*;
use crate::scalar::{Duration, Interval, Port};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Outer {
    /// The name.
    #[schemars(length(max = 5), extend("x-tag" = "name", "x-always" = true, "x-required" = true))]
    name: String,
    order: Option<f64>,
    inner: Option<Inner>,
    #[schemars(length(min = 1, max = 3), extend("x-each" = "net"))]
    nets: Vec<String>,
    choices: Option<Vec<Choice>>,
    #[schemars(extend("enum" = ["A", "B"], "x-default" = "A"))]
    choice: Option<String>,
    #[schemars(extend("x-minimum" = 1, "x-maximum" = 9, "x-felix" = "-"))]
    small: Option<u8>,
    ports: BTreeMap<String, Port>,
    timeout: Duration,
    interval: Option<Interval>,
    #[serde(rename = "ipV6")]
    #[schemars(extend("x-go" = "IPv6"))]
    six: bool,
    any: Value,
}

#[derive(Serialize, JsonSchema)]
#[allow(dead_code)]
struct Inner {
    deep: Vec<Inner2>,
}

#[derive(Serialize, JsonSchema)]
#[allow(dead_code)]
struct Inner2 {
    size: i64,
}

#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("enum" = ["X", "Y"]))]
struct Choice(String);

fn field(name: &str) -> Field {
    let shape = Shape::of::<Outer>();
    shape.record().unwrap().field(name).unwrap().clone()
}

#[test]
fn fields_have_the_order_of_the_type_and_their_json_names() {
    let shape = Shape::of::<Outer>();
    let names: Vec<_> = shape.record().unwrap().fields.iter().map(|field| field.name.as_str()).collect();
    let wanted = "name order inner nets choices choice small ports timeout interval ipV6 any";
    assert_eq!(names.join(" "), wanted);
}

#[test]
fn fields_are_found_in_any_case_and_the_exact_name_first() {
    let shape = Shape::of::<Outer>();
    let record = shape.record().unwrap();
    assert_eq!(record.field("IPV6").unwrap().name, "ipV6");
    assert_eq!(record.field("net\u{17f}").unwrap().name, "nets");
    assert!(record.field("net").is_none());
}

#[test]
fn an_option_is_a_pointer_whatever_it_holds() {
    for name in ["order", "inner", "choices", "choice", "small", "interval", "any"] {
        assert!(field(name).shape.pointer, "{name}");
    }
    for name in ["name", "nets", "ports", "timeout", "ipV6"] {
        assert!(!field(name).shape.pointer, "{name}");
    }
}

#[test]
fn an_optional_record_is_a_record_and_nested_types_are_written_out() {
    let inner = field("inner");
    let Form::List(item) = &inner.shape.record().unwrap().field("deep").unwrap().shape.form else { panic!() };
    assert!(matches!(item.record().unwrap().field("size").unwrap().shape.form, Form::Int));
}

#[test]
fn rules_come_from_the_attributes() {
    let name = field("name");
    assert_eq!(name.doc, "The name.");
    assert!(name.always && name.shape.rules.required);
    assert_eq!(name.shape.rules.tag.as_deref(), Some("name"));
    assert_eq!(name.shape.rules.max_length, Some(5));
    let nets = field("nets").shape;
    assert_eq!((nets.rules.min_items, nets.rules.max_items), (Some(1), Some(3)));
    let Form::List(net) = nets.form else { panic!() };
    assert_eq!(net.rules.tag.as_deref(), Some("net"));
}

#[test]
fn enums_are_found_on_fields_and_on_types_and_null_is_not_among_their_values() {
    let choice = field("choice").shape.rules;
    assert_eq!((choice.one_of, choice.default), (vec![json!("A"), json!("B")], Some(json!("A"))));
    let Form::List(choice) = field("choices").shape.form else { panic!() };
    assert_eq!(choice.rules.one_of, [json!("X"), json!("Y")]);
}

#[test]
fn the_bounds_of_the_type_are_not_those_of_the_schema() {
    let small = field("small");
    let rules = &small.shape.rules;
    assert_eq!((rules.holds, rules.minimum, rules.maximum), (Some((0, 255)), Some(1), Some(9)));
    assert_eq!(small.felix.as_deref(), Some("-"));
}

#[test]
fn scalars_with_a_text_form_are_special_and_keep_their_pattern() {
    assert!(matches!(field("timeout").shape.form, Form::Special(kind) if kind == "duration"));
    assert!(field("timeout").shape.rules.pattern.is_none());
    let interval = field("interval").shape;
    assert!(matches!(interval.form, Form::Special(kind) if kind == "duration"));
    assert_eq!(interval.rules.pattern.unwrap(), r"^([0-9]+(\\.[0-9]+)?(ms|s|m|h))*$");
    let Form::Map(port) = field("ports").shape.form else { panic!() };
    assert!(matches!(port.form, Form::Special(kind) if kind == "port"));
}

#[test]
fn go_names_follow_from_json_names_unless_they_are_given() {
    assert_eq!(field("name").go, "Name");
    assert_eq!(field("ipV6").go, "IPv6");
    for (json, go) in [("ipVersion", "IPVersion"), ("icmp", "ICMP"), ("interfaceName", "InterfaceName")] {
        assert_eq!(go_name(json), go);
    }
}

#[test]
fn every_kind_has_a_typed_spec() {
    for kind in crate::Kind::ALL {
        let whole = crate::kinds::shape(*kind).record().unwrap();
        assert!(whole.field("spec").unwrap().shape.record().is_some(), "{kind}");
        assert!(whole.fields.iter().all(|field| !field.doc.is_empty()));
    }
}
