//! The definitions of Calico's custom resources, made of the types that everything else here reads and writes them by, and of the
//! rules that the validator has for them: `tags` of single fields, `rules` of several.

mod cel_rules;
mod schema_bounds;

use serde_json::{Map, Value, json};
use tortie_api::shape::{Field, Form, Record, Rules, Shape};
use tortie_api::{Kind, kinds};

use crate::custom::Group;

/// Every definition of a group, in the order of the kinds.
pub fn all(group: Group) -> Vec<Value> {
    Kind::ALL.iter().filter_map(|kind| definition(group, *kind)).collect()
}

/// The definition of a kind in a group; none for kinds that are no custom resources.
pub fn definition(group: Group, kind: Kind) -> Option<Value> {
    let (name, plural) = group.resource(kind)?;
    let mut names =
        json!({ "kind": name, "listKind": format!("{name}List"), "plural": plural, "singular": name.to_lowercase() });
    let (_, version) = group.api_version().split_once('/')?;
    let mut schema = record(kinds::shape(kind).record()?);
    let properties = schema["properties"].as_object_mut()?;
    properties.insert("metadata".to_owned(), json!({ "type": "object" }));
    if (kind, group) == (Kind::BlockAffinity, Group::Packed)
        && let Some(deleted) = properties.get_mut("spec").and_then(|spec| spec.pointer_mut("/properties/deleted"))
    {
        *deleted = json!({ "type": "string", "description": deleted["description"] });
    }
    if let Some(object) = schema.as_object_mut() {
        object.remove("required");
    }
    let mut served = json!({ "name": version, "served": true, "storage": true });
    if group == Group::Native {
        schema["required"] = json!(["metadata", "spec"]);
        let short = short_names(kind);
        if !short.is_empty() {
            names["shortNames"] = json!(short);
        }
        let columns = columns(kind);
        if !columns.is_empty() {
            served["additionalPrinterColumns"] = json!(columns);
        }
        if kind.is_tiered() {
            served["selectableFields"] = json!([{ "jsonPath": ".spec.tier" }]);
        }
    }
    cel_rules::add(group, kind, &mut schema);
    served["schema"] = json!({ "openAPIV3Schema": schema });
    Some(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{}", group.name()) },
        "spec": {
            "group": group.name(),
            "names": names,
            "scope": if kind.namespaced() { "Namespaced" } else { "Cluster" },
            "versions": [served],
        },
    }))
}

/// What kubectl may be told in place of the plural: Calico's own names.
fn short_names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::BGPConfiguration => &["bgpconfig"],
        Kind::ClusterInformation => &["clusterinfo"],
        Kind::GlobalNetworkPolicy => &["gnp", "cgnp"],
        Kind::GlobalNetworkSet => &["gns"],
        Kind::HostEndpoint => &["hep", "heps"],
        Kind::IPAMConfiguration => &["ipamconfig", "ipamconfigs"],
        Kind::NetworkPolicy => &["cnp", "caliconetworkpolicy"],
        Kind::StagedGlobalNetworkPolicy => &["sgnp"],
        Kind::StagedKubernetesNetworkPolicy => &["sknp"],
        Kind::StagedNetworkPolicy => &["snp"],
        _ => &[],
    }
}

/// The columns of `kubectl get` beside the name.
fn columns(kind: Kind) -> Vec<Value> {
    let column = |name: &str, kind: &str, path: &str| json!({ "name": name, "type": kind, "jsonPath": path });
    match kind {
        Kind::HostEndpoint => {
            vec![column("Node", "string", ".spec.node"), column("Interface", "string", ".spec.interfaceName")]
        }
        Kind::Tier => {
            vec![column("Order", "number", ".spec.order"), column("Default Action", "string", ".spec.defaultAction")]
        }
        Kind::IPPool => vec![column("CIDR", "string", ".spec.cidr")],
        kind if kind.is_tiered() => {
            vec![column("Tier", "string", ".spec.tier"), column("Order", "number", ".spec.order")]
        }
        _ => Vec::new(),
    }
}

/// The schema of a value, in the form that definitions demand: one type each.
fn of(shape: &Shape) -> Value {
    let mut schema = match &shape.form {
        Form::Text => json!({ "type": "string" }),
        Form::Int => json!({ "type": "integer" }),
        Form::Float => json!({ "type": "number" }),
        Form::Bool => json!({ "type": "boolean" }),
        Form::Special(name) => match name.as_str() {
            "duration" => json!({ "type": "string" }),
            "time" => json!({ "type": "string", "format": "date-time", "nullable": true }),
            _ => json!({ "x-kubernetes-int-or-string": true }),
        },
        Form::List(item) => json!({ "type": "array", "items": of(item) }),
        Form::Map(item) => json!({ "type": "object", "additionalProperties": of(item) }),
        Form::Record(record) => self::record(record),
        Form::Any => json!({ "x-kubernetes-preserve-unknown-fields": true }),
    };
    if let Some(schema) = schema.as_object_mut() {
        add_rules(schema, shape);
        schema_bounds::add(schema, shape);
    }
    schema
}

fn record(record: &Record) -> Value {
    let properties: Map<_, _> = record.fields.iter().map(|field| (field.name.clone(), property(field))).collect();
    let is_required = |field: &&Field| field.shape.rules.required || schema_bounds::is_required(&field.shape);
    let required: Vec<_> = record.fields.iter().filter(is_required).map(|it| &it.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = of(&field.shape);
    if !field.doc.is_empty() {
        schema["description"] = json!(field.doc);
    }
    schema
}

/// The rules of the schema layer.
fn add_rules(schema: &mut Map<String, Value>, shape: &Shape) {
    let Rules {
        max_length, min_length, max_items, min_items, minimum, maximum, one_of, pattern, format, default, ..
    } = &shape.rules;
    let numbers = [
        ("maxLength", max_length.map(Value::from)),
        ("minLength", min_length.map(Value::from)),
        ("maxItems", max_items.map(Value::from)),
        ("minItems", min_items.map(Value::from)),
        ("minimum", minimum.map(Value::from)),
        ("maximum", maximum.map(Value::from)),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            schema.insert(name.to_owned(), value);
        }
    }
    if !one_of.is_empty() {
        schema.insert("enum".to_owned(), json!(one_of));
    }
    let is_text = schema.get("type").is_some_and(|kind| kind == "string");
    if let (Some(pattern), true) = (pattern, is_text) {
        schema.insert("pattern".to_owned(), json!(pattern));
    }
    if let (Some(format), true) = (format, is_text) {
        schema.insert("format".to_owned(), json!(format));
    }
    if let Some(default) = default {
        schema.insert("default".to_owned(), default.clone());
    }
}
