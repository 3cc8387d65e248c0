//! What Calico's client demands of an object that is created or updated, before the validation of every object.

use serde_json::Value;
use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::names::workload;
use tortie_api::{Kind, Object, Path};

use super::rules::ip_pool;
use super::validate;
use super::value::{Fields, filled, present, record, records, text};
use crate::problem::Problem;

/// What is wrong with an object that is to be created. Give it with its defaults ([`tortie_api::defaults::apply`]), as it
/// would be stored.
///
/// As in Calico, what the client itself refuses comes alone.
pub fn create(object: &Object) -> Vec<Problem> {
    write(object, None)
}

/// What is wrong with an object that is to replace another of its name. Give it with its defaults.
pub fn update(old: &Object, new: &Object) -> Vec<Problem> {
    write(new, Some(old))
}

fn write(object: &Object, old: Option<&Object>) -> Vec<Problem> {
    let first = before(object, old);
    let problems = if first.is_empty() { validate(object) } else { first };
    if problems.is_empty() { after(object, old.is_none()) } else { problems }
}

fn spec(object: &Object) -> Option<&Fields> {
    object.body.get("spec").and_then(Value::as_object)
}

/// What is refused before validation.
fn before(object: &Object, old: Option<&Object>) -> Vec<Problem> {
    let none = Fields::new();
    let fields = spec(object).unwrap_or(&none);
    match object.kind {
        Kind::WorkloadEndpoint => workload_name(object).err().into_iter().collect(),
        Kind::IPPool => ip_pool::of_write(fields, old.and_then(spec)),
        Kind::KubeControllersConfiguration => templates(fields).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What is refused after it.
fn after(object: &Object, create: bool) -> Vec<Problem> {
    match (object.kind, spec(object)) {
        (Kind::BGPConfiguration, Some(fields)) => default_only(object, fields),
        _ => only_name(object, create).into_iter().collect(),
    }
}

/// The name of a workload endpoint is that of its spec.
fn workload_name(object: &Object) -> Result<(), Problem> {
    // A spec that is no workload endpoint's at all is refused where it is read.
    let Ok(spec) = object.spec::<WorkloadEndpointSpec>() else { return Ok(()) };
    let expected = workload::compose(&spec)?;
    let name = object.metadata.name.as_str();
    if name.is_empty() || name == expected {
        return Ok(());
    }
    let reason = format!(
        "the WorkloadEndpoint name does not match the primary identifiers assigned in the Spec: expected name {expected}"
    );
    Err(Problem::field(Path::from("metadata.name"), "Name", name, reason)
        .message("the name of a workload endpoint is made of its spec")
        .help(format!("the name is `{expected}`; leave it out and it is filled in")))
}

/// Templates of host endpoints have names of their own and say which interfaces they are for.
fn templates(fields: &Fields) -> Option<Problem> {
    let hosts = record(record(record(fields, "controllers")?, "node")?, "hostEndpoint")?;
    let mut seen: Vec<&str> = Vec::new();
    for (index, template) in records(hosts, "templates") {
        let place = Path::from("spec.controllers.node.hostEndpoint.templates").index(index);
        let name = text(template, "generateName");
        let problem = |of: &str, reason: &str| {
            let field = format!("KubeControllersConfiguration.Node.HostEndpoint.Templates{of}");
            Problem { value: None, ..Problem::field(place.clone(), field, "", reason) }
        };
        if name.is_empty() {
            return Some(problem("", "Template name must be specified").message("a template needs `generateName`"));
        }
        if name.len() > super::formats::MAX_NAME {
            return Some(problem("", "Template name must be shorter than 253 characters"));
        }
        let of = format!(".{name}");
        if seen.contains(&name) {
            return Some(problem(&of, "Template name must be unique").message(format!("`{name}` is given twice here")));
        }
        seen.push(name);
        if !filled(template, "interfaceCIDRs") && !filled(template, "interfacePattern") {
            return Some(problem(&of, "InterfaceCIDRs or InterfacePattern must be specified"));
        }
    }
    None
}

/// Some BGP settings stand only in the object `default`.
fn default_only(object: &Object, fields: &Fields) -> Vec<Problem> {
    if object.metadata.name == "default" {
        return Vec::new();
    }
    let set = |field: &str| match field {
        "serviceLoadBalancerIPs" | "serviceExternalIPs" | "serviceClusterIPs" => filled(fields, field),
        field => present(fields, field),
    };
    let found = DEFAULT_ONLY.iter().filter(|(field, ..)| set(field)).map(|(field, go, said)| {
        let reason = format!("Cannot set {said} on a non default BGP Configuration.");
        let field = Path::from("spec").key(*field);
        let problem = Problem::field(field, format!("BGPConfiguration.Spec.{go}"), "", reason);
        Problem { value: None, ..problem }.help("set it in the object named `default`")
    });
    found.collect()
}

const DEFAULT_ONLY: [(&str, &str, &str); 7] = [
    ("nodeToNodeMeshEnabled", "NodeToNodeMeshEnabled", "nodeToNodeMeshEnabled"),
    ("asNumber", "ASNumber", "ASNumber"),
    ("serviceLoadBalancerIPs", "ServiceLoadBalancerIPs", "ServiceLoadBalancerIPs"),
    ("serviceExternalIPs", "ServiceExternalIPs", "ServiceExternalIPs"),
    ("serviceClusterIPs", "ServiceClusterIPs", "ServiceClusterIPs"),
    ("nodeMeshPassword", "NodeMeshPassword", "nodeMeshPassword"),
    ("nodeMeshMaxRestartTime", "NodeMeshMaxRestartTime", "nodeMeshMaxRestartTime"),
];

/// Kinds of which there is one object, named `default`. Calico says so in a bare sentence, after all else.
fn only_name(object: &Object, create: bool) -> Option<Problem> {
    let what = match object.kind {
        Kind::ClusterInformation if create => "a Cluster Information",
        Kind::KubeControllersConfiguration if create => "a Kube Controllers Configuration",
        Kind::IPAMConfiguration => "an IPAMConfiguration",
        _ => return None,
    };
    (object.metadata.name != "default").then(|| {
        let reason = format!("Cannot create {what} resource with a name other than \"default\"");
        let problem = Problem::field(Path::from("metadata.name"), "", "", reason);
        problem.message(format!("the only {} is named `default`", object.kind)).help("name it `default`")
    })
}
