//! What Calico's client demands of an object that is created or updated, before the validation of every object.
//! Facts: datastore sheet 2 (end), 4.6 and appendix C.

use serde_json::Value;
use tortie_api::kinds::workload_endpoint::WorkloadEndpointSpec;
use tortie_api::names::workload;
use tortie_api::{Kind, Object, Path};
use tortie_net::{IpNet, parse_cidr};

use super::rules::pool;
use super::validate;
use super::value::{Fields, filled, int, list, present, record, records, text};
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

/// The pools that share addresses with a new one.
pub fn overlaps<'a>(pool: &Object, others: impl IntoIterator<Item = &'a Object>) -> Vec<Problem> {
    let cidr = |object: &Object| parse_cidr(text(spec(object)?, "cidr")).ok().map(|net| net.trunc());
    let Some(net) = cidr(pool) else { return Vec::new() };
    let name = &pool.metadata.name;
    let others = others.into_iter().filter(|other| other.metadata.name != *name);
    let shared = others.filter_map(|other| Some((other, cidr(other)?))).filter(|(_, other)| pool::overlap(&net, other));
    let problem = |(other, other_net): (&Object, IpNet)| {
        let other = &other.metadata.name;
        let reason = format!("IPPool({name}) CIDR overlaps with IPPool({other}) CIDR {other_net}");
        Problem::field(Path::from("spec.cidr"), "IPPool.Spec.CIDR", net.to_string(), reason)
            .message(format!("`{net}` shares addresses with the pool `{other}`, which has `{other_net}`"))
    };
    shared.map(problem).collect()
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
        Kind::IPPool => ip_pool(fields, old),
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

fn ip_pool(fields: &Fields, old: Option<&Object>) -> Vec<Problem> {
    let cidr = text(fields, "cidr");
    let at = |field: &str, go: &str, value: String, reason: &str| {
        Problem::field(Path::from("spec").key(field), format!("IPPool.Spec.{go}"), value, reason)
    };
    if cidr.is_empty() {
        let problem = at("cidr", "CIDR", String::new(), "IPPool CIDR must be specified");
        return vec![Problem { value: None, ..problem }.message("`cidr` is missing").help("write it like 10.0.0.0/16")];
    }
    let Some(net) = parse_cidr(cidr).ok().filter(|_| cidr.contains('/')) else {
        let problem = at("cidr", "CIDR", cidr.to_owned(), "IPPool CIDR must be a valid subnet");
        return vec![match parse_cidr(cidr) {
            Ok(net) => problem.message(format!("`{cidr}` is an address, not a net")).help(format!("write `{net}`")),
            Err(_) => problem.message(format!("`{cidr}` is not a net")),
        }];
    };
    let mut problems = Vec::new();
    if let Some(old) = old.and_then(spec) {
        let balancer = |fields: &Fields| list(fields, "allowedUses").iter().any(|using| using == "LoadBalancer");
        let other = |fields: &Fields| list(fields, "allowedUses").iter().any(|using| using != "LoadBalancer");
        let old_net = parse_cidr(text(old, "cidr")).ok().map(|net| net.trunc());
        if old_net != Some(net.trunc()) {
            let problem = at("cidr", "CIDR", net.trunc().to_string(), "IPPool CIDR cannot be modified");
            problems.push(problem.message("the net of a pool cannot change").help("make a new pool and move to it"));
        }
        if balancer(old) && other(fields) {
            let shown = super::value::go_text(&Value::Array(list(fields, "allowedUses").to_vec()), None);
            let reason = "IPPool allowed use cannot be changed from LoadBalacer to Workload or Tunnel";
            return vec![at("allowedUses", "AllowedUses", shown, reason)];
        }
        let usual = if net.addr().is_ipv4() { 26 } else { 122 };
        let size = |fields: &Fields| int(fields, "blockSize").filter(|size| *size != 0).unwrap_or(usual);
        if size(old) != size(fields) {
            let shown = size(fields).to_string();
            let problem = at("blockSize", "BlockSize", shown, "IPPool BlockSize cannot be modified");
            problems.push(problem.message(format!("the block size of a pool cannot change; it is {}", size(old))));
        }
    }
    if net != net.trunc() {
        let problem = at("cidr", "CIDR", net.trunc().to_string(), "IPPool CIDR is not strictly masked");
        problems.push(pool::unmasked(problem, cidr, net));
    }
    problems
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
            return Some(problem(&of, "Template name must be unique").message(format!("`{name}` stands here twice")));
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
