//! A policy as a user names it: `gnp/NAME`, `np/NAMESPACE/NAME`.

use tortie_api::Kind;
use tortie_policy::{Policy, PolicyId, Snapshot};

use crate::question::AskError;
use crate::shortened_list::shortened;
use crate::topology::similar;

/// The name of a policy, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName(PolicyId);

impl PolicyName {
    /// Reads a name; none if the text does not name a policy.
    pub fn parse(text: &str) -> Result<Option<Self>, AskError> {
        let kind = text.split_once('/').and_then(|(word, _)| Kind::from_alias(word));
        kind.map_or(Ok(None), |kind| Self::of_kind(kind, text))
    }

    /// Reads a name whose first word means this kind; none if it is no kind of policies.
    pub fn of_kind(kind: Kind, text: &str) -> Result<Option<Self>, AskError> {
        let Some((word, rest)) = text.split_once('/') else { return Ok(None) };
        let global = match kind {
            Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy | Kind::KubernetesClusterNetworkPolicy => true,
            Kind::NetworkPolicy
            | Kind::StagedNetworkPolicy
            | Kind::StagedKubernetesNetworkPolicy
            | Kind::KubernetesNetworkPolicy => false,
            _ => return Ok(None),
        };
        let (namespace, name) = match (global, rest.split_once('/')) {
            (true, None) => ("", rest),
            (false, Some((namespace, name))) => (namespace, name),
            (true, Some(_)) => {
                let kind = spoken(kind);
                return Err(AskError(format!("{text:?} has a namespace, and a {kind} has none: {word}/NAME")));
            }
            (false, None) => return Err(AskError(format!("{text:?} needs its namespace: {word}/NAMESPACE/{rest}"))),
        };
        if name.is_empty() || name.contains('/') || (!global && namespace.is_empty()) {
            return Err(AskError(format!("{text:?} is not {word}/{}NAME", if global { "" } else { "NAMESPACE/" })));
        }
        Ok(Some(Self(PolicyId { kind, namespace: namespace.to_owned(), name: name.to_owned() })))
    }

    /// What names it.
    pub fn id(&self) -> &PolicyId {
        &self.0
    }

    /// The policy; the error says what there is. NetworkPolicy is the name of a kind of Calico's and of one of Kubernetes', so where
    /// Calico's has no such object, the other is meant.
    pub fn find<'a>(&self, snapshot: &'a Snapshot) -> Result<&'a Policy, AskError> {
        const MAX_LISTED: usize = 10;
        let id = &self.0;
        if let Some(found) = snapshot.policies.get(id) {
            return Ok(found);
        }
        let other = PolicyId { kind: Kind::KubernetesNetworkPolicy, ..id.clone() };
        if let Some(found) = snapshot.policies.get(&other).filter(|_| id.kind == Kind::NetworkPolicy) {
            return Ok(found);
        }
        let alike = snapshot.policies.keys().filter(|one| one.kind == id.kind && one.namespace == id.namespace);
        let names: Vec<&str> = alike.map(|one| one.name.as_str()).collect();
        let meant = similar(&id.name, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
        let listed = if names.is_empty() { "none".to_owned() } else { shortened(&names, MAX_LISTED) };
        let within = if id.namespace.is_empty() { String::new() } else { format!(" in namespace {}", id.namespace) };
        Err(AskError(format!(
            "there is no {} {:?}{within}{}; there are: {listed}",
            spoken(id.kind),
            id.name,
            meant.unwrap_or_default()
        )))
    }
}

/// A kind of policies as its users name it.
fn spoken(kind: Kind) -> &'static str {
    match kind {
        Kind::KubernetesNetworkPolicy => "NetworkPolicy of Kubernetes",
        Kind::KubernetesClusterNetworkPolicy => "ClusterNetworkPolicy",
        kind => kind.name(),
    }
}
