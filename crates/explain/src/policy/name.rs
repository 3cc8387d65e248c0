//! A policy as a user names it: `gnp/NAME`, `np/NAMESPACE/NAME`.

use tortie_api::Kind;
use tortie_policy::{Policy, PolicyId, Snapshot};

use crate::listed::listed;
use crate::question::AskError;
use crate::topology::similar;

/// The name of a policy, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName(PolicyId);

impl PolicyName {
    /// Reads a name; none if the text does not name a policy.
    pub fn parse(text: &str) -> Result<Option<Self>, AskError> {
        let Some((word, rest)) = text.split_once('/') else { return Ok(None) };
        let global = match Kind::from_alias(word) {
            Some(Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy) => true,
            Some(Kind::NetworkPolicy | Kind::StagedNetworkPolicy | Kind::StagedKubernetesNetworkPolicy) => false,
            _ => return Ok(None),
        };
        let Some(kind) = Kind::from_alias(word) else { return Ok(None) };
        let (namespace, name) = match (global, rest.split_once('/')) {
            (true, None) => ("", rest),
            (false, Some((namespace, name))) => (namespace, name),
            (true, Some(_)) => {
                return Err(AskError(format!("{text:?} has a namespace, and a {} has none: {word}/NAME", kind.name())));
            }
            (false, None) => return Err(AskError(format!("{text:?} needs its namespace: {word}/NAMESPACE/{rest}"))),
        };
        if name.is_empty() || name.contains('/') || (!global && namespace.is_empty()) {
            return Err(AskError(format!("{text:?} is not {word}/{}NAME", if global { "" } else { "NAMESPACE/" })));
        }
        Ok(Some(Self(PolicyId { kind, namespace: namespace.to_owned(), name: name.to_owned() })))
    }

    /// The policy; the error says what there is.
    pub fn find<'a>(&self, snapshot: &'a Snapshot) -> Result<&'a Policy, AskError> {
        const SHOWN: usize = 10;
        let id = &self.0;
        if let Some(found) = snapshot.policies.get(id) {
            return Ok(found);
        }
        let alike = snapshot.policies.keys().filter(|one| one.kind == id.kind && one.namespace == id.namespace);
        let names: Vec<&str> = alike.map(|one| one.name.as_str()).collect();
        let meant = similar(&id.name, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
        let listed = if names.is_empty() { "none".to_owned() } else { listed(&names, SHOWN) };
        let within = if id.namespace.is_empty() { String::new() } else { format!(" in namespace {}", id.namespace) };
        Err(AskError(format!(
            "there is no {} {:?}{within}{}; there are: {listed}",
            id.kind.name(),
            id.name,
            meant.unwrap_or_default()
        )))
    }
}
