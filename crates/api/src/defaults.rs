//! Defaults: what Calico's client and its schemas fill in before an object is stored.
//!
//! Applying them twice changes nothing. The name and the labels of workload endpoints are not among them, since only a write sets
//! them ([`crate::names::workload`], [`workload_labels`]), nor are uid and time, which are set when an object is created.

use serde_json::{Map, Value};

use crate::kind::Kind;
use crate::kinds;
use crate::object::Object;
use crate::shape::{Form, Shape};

/// The label that names a policy's tier.
pub const TIER_LABEL: &str = "projectcalico.org/tier";
/// The order of a tier that says none.
pub const TIER_ORDER: u64 = 1_000_000;

type Fields = Map<String, Value>;

/// Fills in what the object leaves open.
pub fn apply(object: &mut Object) {
    client(object);
    let defaults = !matches!(object.kind, Kind::Profile | Kind::Node | Kind::WorkloadEndpoint | Kind::LiveMigration);
    let shape = kinds::shape(object.kind);
    for field in shape.record().map_or(&[][..], |record| &record.fields) {
        if let "spec" | "status" = field.name.as_str()
            && let Some(value) = object.body.get_mut(&field.name)
        {
            schema(value, &field.shape, defaults);
        }
    }
}

/// The labels that every stored workload endpoint has, whatever the user wrote. Other kinds are not changed.
pub fn workload_labels(object: &mut Object) {
    if object.kind != Kind::WorkloadEndpoint {
        return;
    }
    let orchestrator = object.body.get("spec").and_then(|spec| spec.get("orchestrator")).and_then(Value::as_str);
    let orchestrator = orchestrator.unwrap_or_default().to_owned();
    let labels = &mut object.metadata.labels;
    labels.insert("projectcalico.org/namespace".to_owned(), object.metadata.namespace.clone());
    labels.insert("projectcalico.org/orchestrator".to_owned(), orchestrator);
}

/// What Calico's client fills in.
fn client(object: &mut Object) {
    let spec = object.body.entry("spec").or_insert_with(empty);
    let Value::Object(spec) = spec else { return };
    match object.kind {
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => {
            policy_types(spec);
            object.metadata.labels.insert(TIER_LABEL.to_owned(), tier(spec));
        }
        Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy => {
            policy_types(spec);
            if spec.get("stagedAction").and_then(Value::as_str) == Some("Delete") {
                spec.shift_remove("types");
            }
            object.metadata.labels.insert(TIER_LABEL.to_owned(), tier(spec));
        }
        Kind::Tier => {
            absent(spec, "order", || Value::from(TIER_ORDER));
            absent(spec, "defaultAction", || Value::from("Deny"));
        }
        Kind::FelixConfiguration => felix(spec),
        Kind::KubeControllersConfiguration => controllers(spec),
        Kind::IPPool => pool(spec),
        _ => {}
    }
}

fn tier(spec: &Fields) -> String {
    let tier = spec.get("tier").and_then(Value::as_str).filter(|tier| !tier.is_empty());
    tier.unwrap_or("default").to_owned()
}

/// The directions that have rules; Ingress if none has.
fn policy_types(spec: &mut Fields) {
    let filled = |field: &str| spec.get(field).and_then(Value::as_array).is_some_and(|items| !items.is_empty());
    if !filled("types") {
        let types: &[&str] = match (filled("ingress"), filled("egress")) {
            (_, false) => &["Ingress"],
            (false, true) => &["Egress"],
            (true, true) => &["Ingress", "Egress"],
        };
        spec.insert("types".to_owned(), types.iter().map(|direction| Value::from(*direction)).collect());
    }
}

fn felix(spec: &mut Fields) {
    absent(spec, "floatingIPs", || Value::from("Disabled"));
    absent(spec, "bpfConnectTimeLoadBalancing", || Value::from("TCP"));
    absent(spec, "bpfHostNetworkedNATWithoutCTLB", || Value::from("Enabled"));
    // The older switch, where it is set, is stronger than both newer ones.
    if let Some(on) = spec.get("bpfConnectTimeLoadBalancingEnabled").and_then(Value::as_bool) {
        spec.insert("bpfHostNetworkedNATWithoutCTLB".to_owned(), Value::from("Disabled"));
        let newer = if on { "Enabled" } else { "Disabled" };
        spec.insert("bpfConnectTimeLoadBalancing".to_owned(), Value::from(newer));
    }
}

fn controllers(spec: &mut Fields) {
    absent(spec, "prometheusMetricsPort", || Value::from(9094));
    let Some(Value::Object(controllers)) = spec.get_mut("controllers") else { return };
    if let Some(Value::Object(node)) = controllers.get_mut("node") {
        absent(node, "leakGracePeriod", || Value::from("15m0s"));
    }
    if let Some(Value::Object(balancer)) = controllers.get_mut("loadBalancer") {
        empty_text(balancer, "assignIPs", "AllServices");
    }
}

fn pool(spec: &mut Fields) {
    let cidr = spec.get("cidr").and_then(Value::as_str).unwrap_or_default();
    // Without a net there is nothing to fill in; validation says so.
    let Some(net) = tortie_net::parse_cidr(cidr).ok().filter(|_| cidr.contains('/')) else { return };
    // Only the spelling is made uniform; bits beyond the prefix stay, and are refused.
    spec.insert("cidr".to_owned(), Value::from(net.to_string()));
    empty_text(spec, "nodeSelector", "all()");
    if spec.get("blockSize").and_then(Value::as_f64).unwrap_or(0.0) == 0.0 {
        spec.insert("blockSize".to_owned(), Value::from(if net.addr().is_ipv4() { 26 } else { 122 }));
    }
    if spec.get("allowedUses").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("allowedUses".to_owned(), Value::from(vec!["Workload", "Tunnel"]));
    }
    absent(spec, "assignmentMode", || Value::from("Automatic"));
    empty_text(spec, "ipipMode", "Never");
    empty_text(spec, "vxlanMode", "Never");
}

/// What the schema of a kind fills in, everywhere below; and what on the way is found to hold nothing and goes, such as
/// `source: {nets: []}`.
fn schema(value: &mut Value, shape: &Shape, defaults: bool) {
    match (value, &shape.form) {
        (Value::Object(fields), Form::Record(record)) => {
            for field in record.fields.iter().filter(|field| concerns(&field.shape)) {
                let shape = &field.shape;
                if let Some(default) = shape.rules.default.as_ref().filter(|_| defaults)
                    && !field.always
                    && fields.get(&field.name).is_none_or(|found| is_nothing(found, shape))
                {
                    fields.insert(field.name.clone(), default.clone());
                }
                let Some(found) = fields.get_mut(&field.name) else { continue };
                schema(found, shape, defaults);
                if let (Value::Object(inner), Form::Record(record)) = (found, &shape.form)
                    && !shape.pointer
                    && !field.always
                {
                    inner.retain(|name, value| record.field(name).is_none_or(|field| !is_nothing(value, &field.shape)));
                    if inner.is_empty() {
                        fields.shift_remove(&field.name);
                    }
                }
            }
        }
        (Value::Array(items), Form::List(shape)) => items.iter_mut().for_each(|item| schema(item, shape, defaults)),
        (Value::Object(values), Form::Map(shape)) => {
            values.values_mut().for_each(|value| schema(value, shape, defaults));
        }
        _ => {}
    }
}

/// Whether there is anything to fill in at or below a field, or to tidy away.
fn concerns(shape: &Shape) -> bool {
    match &shape.form {
        Form::Record(_) => true,
        Form::List(item) | Form::Map(item) => concerns(item),
        _ => shape.rules.default.is_some(),
    }
}

/// Whether a value would not be written, so that the schema finds nothing there.
fn is_nothing(value: &Value, shape: &Shape) -> bool {
    let empty = match value {
        Value::String(text) => text.is_empty(),
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && matches!(shape.form, Form::Map(_)),
        Value::Null => true,
    };
    value.is_null() || (empty && !shape.pointer)
}

fn absent(fields: &mut Fields, name: &str, value: impl FnOnce() -> Value) {
    if fields.get(name).is_none_or(Value::is_null) {
        fields.insert(name.to_owned(), value());
    }
}

fn empty_text(fields: &mut Fields, name: &str, value: &str) {
    if fields.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
        fields.insert(name.to_owned(), Value::from(value));
    }
}

fn empty() -> Value {
    Value::Object(Fields::new())
}

#[cfg(test)]
mod tests;
