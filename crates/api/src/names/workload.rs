//! The name of a workload endpoint: four parts joined by `-`, every `-` inside a part doubled.
//!
//! | orchestrator | parts |
//! |---|---|
//! | `k8s` | node, `k8s`, pod, endpoint |
//! | `cni` | node, `cni`, container, endpoint |
//! | `libnetwork` | node, `libnetwork`, `libnetwork`, endpoint |
//! | any other | node, orchestrator, workload, endpoint |
//!
//! Other programs compute the same names, so making and reading them must equal Calico's byte for byte.

use crate::kinds::workload_endpoint::WorkloadEndpointSpec;

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

/// A part of a name that cannot be one. The text is Calico's reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// It is empty.
    #[error("field should be assigned")]
    Missing {
        /// The field of the spec.
        field: &'static str,
        /// The endpoint's orchestrator; empty if the field is the node, without which nothing else is asked.
        orchestrator: String,
    },
    /// It begins or ends with `-`.
    #[error("field must not {word} with a '-'")]
    Edge {
        /// The field of the spec.
        field: &'static str,
        /// Its value.
        value: String,
        /// `begin` or `end`.
        word: &'static str,
    },
}

impl IdentifierError {
    /// The field of the spec.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Missing { field, .. } | Self::Edge { field, .. } => field,
        }
    }

    /// The value, as Calico shows it; none where it shows none.
    pub fn value(&self) -> Option<&str> {
        match self {
            // Without a node not even a prefix follows.
            Self::Missing { field, .. } => (*field != "node").then_some(""),
            Self::Edge { value, .. } => Some(value),
        }
    }
}

/// The name that the spec demands. A part that is missing, or begins or ends with `-`, is an error.
pub fn compose(spec: &WorkloadEndpointSpec) -> Result<String, IdentifierError> {
    join(&Identifiers::from(spec), false)
}

/// How all names with these parts begin: the parts up to the first that is empty, and a `-`. The node must be given.
pub fn prefix(identifiers: &Identifiers) -> Result<String, IdentifierError> {
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
pub fn matches(identifiers: &Identifiers, name: &str) -> Result<bool, IdentifierError> {
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
fn segments(ids: &Identifiers) -> Result<[Segment<'_>; 4], IdentifierError> {
    if ids.node.is_empty() {
        return Err(IdentifierError::Missing { field: "node", orchestrator: String::new() });
    }
    let workload: Segment = match ids.orchestrator.as_str() {
        "k8s" => ("pod", &ids.pod),
        "cni" => ("containerID", &ids.container_id),
        "libnetwork" => ("orchestrator", &ids.orchestrator),
        _ => ("workload", &ids.workload),
    };
    Ok([("node", &ids.node), ("orchestrator", &ids.orchestrator), workload, ("endpoint", &ids.endpoint)])
}

fn join(ids: &Identifiers, prefix: bool) -> Result<String, IdentifierError> {
    let mut name = String::new();
    for (position, (field, value)) in segments(ids)?.into_iter().enumerate() {
        if position > 0 {
            name.push('-');
        }
        if value.is_empty() {
            let missing = || IdentifierError::Missing { field, orchestrator: ids.orchestrator.clone() };
            return if prefix { Ok(name) } else { Err(missing()) };
        }
        for (wrong, word) in [(value.starts_with('-'), "begin"), (value.ends_with('-'), "end")] {
            if wrong {
                return Err(IdentifierError::Edge { field, value: value.to_owned(), word });
            }
        }
        name.push_str(&value.replace('-', "--"));
    }
    Ok(name)
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
