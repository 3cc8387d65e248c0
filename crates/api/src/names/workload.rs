//! The name of a workload endpoint: four parts joined by `-`, every `-` inside a part doubled (datastore sheet 2).
//!
//! | orchestrator | parts |
//! |---|---|
//! | `k8s` | node, `k8s`, pod, endpoint |
//! | `cni` | node, `cni`, container, endpoint |
//! | `libnetwork` | node, `libnetwork`, `libnetwork`, endpoint |
//! | any other | node, orchestrator, workload, endpoint |
//!
//! Other programs compute the same names, so they are Calico's to the byte in both directions.

use crate::kinds::workload_endpoint::WorkloadEndpointSpec;
use crate::problem::{Path, Problem};

/// What names a workload endpoint. A part that is empty is not known, or matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identifiers {
    /// The node that it is on.
    pub node: String,
    /// Who made it.
    pub orchestrator: String,
    /// The workload, for orchestrators that have no word of their own for it.
    pub workload: String,
    /// The pod, for `k8s`.
    pub pod: String,
    /// The container, for `cni`.
    pub container_id: String,
    /// Which of the workload's interfaces.
    pub endpoint: String,
}

/// A name that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing to read.
    #[error("Cannot parse empty string")]
    Empty,
    /// It has more than four parts.
    #[error("Error parsing {0}, verify that WorkloadEndpoint name is correct")]
    TooManyParts(String),
}

/// The name that the spec demands. A part that is missing, or begins or ends with `-`, is a problem.
pub fn compose(spec: &WorkloadEndpointSpec) -> Result<String, Problem> {
    join(&Identifiers::from(spec), false)
}

/// How all names with these parts begin: the parts up to the first that is empty, and a `-`. The node must be given.
pub fn prefix(identifiers: &Identifiers) -> Result<String, Problem> {
    join(identifiers, true)
}

/// Reads a name, or the beginning of one, back into its parts.
pub fn parse(name: &str) -> Result<Identifiers, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let mut parts = split(name).into_iter();
    let mut identifiers = Identifiers { node: parts.next().unwrap_or_default(), ..Identifiers::default() };
    if let Some(orchestrator) = parts.next() {
        identifiers.orchestrator = orchestrator;
    }
    if let Some(workload) = parts.next() {
        match identifiers.orchestrator.as_str() {
            "k8s" => identifiers.pod = workload,
            "cni" => identifiers.container_id = workload,
            "libnetwork" => identifiers.orchestrator = workload,
            _ => identifiers.workload = workload,
        }
    }
    if let Some(endpoint) = parts.next() {
        identifiers.endpoint = endpoint;
    }
    match parts.next() {
        Some(_) => Err(NameError::TooManyParts(name.to_owned())),
        None => Ok(identifiers),
    }
}

/// The four parts of a whole name; `None` if it has more or fewer.
pub fn parts(name: &str) -> Option<[String; 4]> {
    // Four parts of one byte and three separators: anything shorter is no name, whatever it splits into.
    if name.len() < 7 {
        return None;
    }
    split(name).try_into().ok()
}

/// Whether the name has these parts; empty ones match anything. Needed after listing by [`prefix`], since names that
/// begin with `n1-k8s-pod-` include those of the pod `pod-1`.
pub fn matches(identifiers: &Identifiers, name: &str) -> Result<bool, Problem> {
    let wanted = segments(identifiers)?;
    let Some(found) = parts(name) else { return Ok(false) };
    Ok(wanted.iter().zip(&found).all(|((_, value), part)| value.is_empty() || value == part))
}

impl From<&WorkloadEndpointSpec> for Identifiers {
    fn from(spec: &WorkloadEndpointSpec) -> Self {
        Self {
            node: spec.node.clone(),
            orchestrator: spec.orchestrator.clone(),
            workload: spec.workload.clone(),
            pod: spec.pod.clone(),
            container_id: spec.container_id.clone(),
            endpoint: spec.endpoint.clone(),
        }
    }
}

type Segment<'a> = (&'static str, &'a str);

/// The fields that make the name, each with its value. Without a node there is not even a prefix.
fn segments(ids: &Identifiers) -> Result<[Segment<'_>; 4], Problem> {
    if ids.node.is_empty() {
        let mut problem = unassigned("node", "");
        problem.value = None;
        return Err(problem);
    }
    let workload: Segment = match ids.orchestrator.as_str() {
        "k8s" => ("pod", &ids.pod),
        "cni" => ("containerID", &ids.container_id),
        "libnetwork" => ("orchestrator", &ids.orchestrator),
        _ => ("workload", &ids.workload),
    };
    Ok([("node", &ids.node), ("orchestrator", &ids.orchestrator), workload, ("endpoint", &ids.endpoint)])
}

fn join(ids: &Identifiers, prefix: bool) -> Result<String, Problem> {
    let mut name = String::new();
    for (position, (field, value)) in segments(ids)?.into_iter().enumerate() {
        if position > 0 {
            name.push('-');
        }
        if value.is_empty() {
            return if prefix { Ok(name) } else { Err(unassigned(field, &ids.orchestrator)) };
        }
        for (wrong, word) in [(value.starts_with('-'), "begin"), (value.ends_with('-'), "end")] {
            if wrong {
                let reason = format!("field must not {word} with a '-'");
                let problem = Problem::field(Path::from("spec").key(field), field, value, reason);
                return Err(problem
                    .message(format!("`{field}` is part of the endpoint's name and cannot {word} with `-`"))
                    .help(format!("write `{}`", value.trim_matches('-'))));
            }
        }
        name.push_str(&value.replace('-', "--"));
    }
    Ok(name)
}

fn unassigned(field: &'static str, orchestrator: &str) -> Problem {
    let problem = Problem::field(Path::from("spec").key(field), field, "", "field should be assigned");
    let problem = problem.message(format!("`{field}` is missing; it is part of the endpoint's name"));
    match (field, orchestrator) {
        ("workload", orchestrator) if !orchestrator.is_empty() => problem.help(format!(
            "endpoints of the orchestrator `{orchestrator}` are named by node, orchestrator, workload and endpoint"
        )),
        (_, "k8s") => problem.help("endpoints of `k8s` are named by node, orchestrator, pod and endpoint"),
        (_, "cni") => problem.help("endpoints of `cni` are named by node, orchestrator, containerID and endpoint"),
        _ => problem,
    }
}

/// Cuts at every single `-`; a doubled one is a `-` of the part. The first byte never separates.
fn split(name: &str) -> Vec<String> {
    let bytes = name.as_bytes();
    let (mut found, mut start, mut at) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        if bytes[at] == b'-' {
            if bytes.get(at + 1) == Some(&b'-') {
                at += 1;
            } else {
                found.push(name[start..at].replace("--", "-"));
                start = at + 1;
            }
        }
        at += 1;
    }
    found.push(name.get(start..).unwrap_or_default().replace("--", "-"));
    found
}

#[cfg(test)]
mod tests;
