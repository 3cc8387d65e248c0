//! What has to be written so that every node has its automatic host endpoints.
//!
//! The plan follows from the cluster alone. Each write names the revision that it was planned on, so that what somebody else
//! changed meanwhile is never overwritten: that write is refused, and the next plan is made of the cluster as it is then.
//! New endpoints come first and deletions last: a node whose endpoint gets another name is never without one.

use std::collections::BTreeMap;

use tortie_api::{Key, Kind};
use tortie_manifest::validate;

use super::desired::{self, Desired};
use super::{Cluster, Settings, is_automatic};
use crate::plan::{Action, Plan};

/// Compares what nodes are to have with what exists. If the controller of nodes does not run, without valid settings, and while the store
/// is locked, nothing is done.
pub fn plan(cluster: &Cluster) -> Plan {
    let mut plan = Plan::default();
    if cluster.left {
        return plan;
    }
    let settings = match &cluster.settings {
        Ok(settings) => settings.as_ref(),
        Err(reason) => {
            plan.settings(format!("it cannot be read, so no host endpoint is created, updated or deleted: {reason}"));
            return plan;
        }
    };
    if cluster.locked {
        plan.locked("no host endpoint is written");
        return plan;
    }
    let templates = settings.into_iter().flat_map(|settings| &settings.templates);
    let unread: Vec<&String> = templates.filter_map(|template| template.as_ref().err()).collect();
    for reason in &unread {
        plan.settings(format!(
            "this template is left out until it is corrected, and meanwhile no host endpoint of a node that exists is deleted: {reason}"
        ));
    }
    let wanted = wanted(cluster, settings, &mut plan);
    plan.wanted = wanted.len();
    plan.write(cluster, &wanted);
    plan.delete(cluster, &wanted, !unread.is_empty());
    plan
}

/// What all nodes are to have, by name.
fn wanted(cluster: &Cluster, settings: Option<&Settings>, plan: &mut Plan) -> BTreeMap<String, Desired> {
    let mut all: BTreeMap<String, (&str, Desired)> = BTreeMap::new();
    let Some(settings) = settings else { return BTreeMap::new() };
    for (node, known) in &cluster.nodes {
        let known = match known {
            Ok(known) => known,
            Err(reason) => {
                plan.problem(
                    format!("Node({node})"),
                    format!("it cannot be read, so its host endpoints stay as they are: {reason}"),
                );
                continue;
            }
        };
        for (name, desired) in desired::of(node, known, settings) {
            if let Some((first, _)) = all.get(&name) {
                let text = format!(
                    "nodes {first} and {node} would both have an endpoint of this name, and only {first} gets it: \
                     rename a template (generateName)"
                );
                plan.endpoint(&name, text);
                continue;
            }
            all.insert(name, (node, desired));
        }
    }
    all.into_iter().map(|(name, (_, desired))| (name, desired)).collect()
}

impl Plan {
    fn endpoint(&mut self, name: &str, text: String) {
        self.problem(format!("HostEndpoint({name})"), text);
    }

    /// Creates what is missing, then updates what differs.
    fn write(&mut self, cluster: &Cluster, wanted: &BTreeMap<String, Desired>) {
        let mut updates = Vec::new();
        for (name, desired) in wanted {
            let (action, invalid) = match cluster.endpoints.get(name) {
                Some(Err(reason)) => {
                    self.endpoint(
                        name,
                        format!("it cannot be read, so it stays as it is; delete it, and it is made anew: {reason}"),
                    );
                    continue;
                }
                Some(Ok(existing)) if !is_automatic(existing) => {
                    let text = "somebody else made it, so it stays as it is, and the node has no automatic endpoint of this name; \
                                rename it if the node shall have one";
                    self.endpoint(name, text.to_owned());
                    continue;
                }
                Some(Ok(existing)) if desired.is(existing) => continue,
                Some(Ok(existing)) => {
                    let object = desired.over(existing.clone());
                    let invalid = validate::update(existing, &object);
                    (Action::Update(Box::new(object)), invalid)
                }
                None => {
                    let object = desired.object(name);
                    let invalid = validate::create(&object);
                    (Action::Create(Box::new(object)), invalid)
                }
            };
            let errors: Vec<String> =
                invalid.iter().filter(|problem| problem.is_error()).map(|problem| problem.text().to_owned()).collect();
            match action {
                _ if !errors.is_empty() => {
                    self.endpoint(name, format!("it would be invalid, and is not written: {}", errors.join("; ")));
                }
                Action::Create(_) => self.actions.push(action),
                _ => updates.push(action),
            }
        }
        self.actions.extend(updates);
    }

    /// Deletes automatic endpoints that no node is to have. Those of nodes that cannot be read stay, and with `keep` those of
    /// all nodes that exist.
    fn delete(&mut self, cluster: &Cluster, wanted: &BTreeMap<String, Desired>, keep: bool) {
        for (name, existing) in &cluster.endpoints {
            let Ok(existing) = existing else { continue };
            if wanted.contains_key(name) || !is_automatic(existing) {
                continue;
            }
            let node = existing.body.get("spec").and_then(|spec| spec.get("node")).and_then(|node| node.as_str());
            let stays = match node.and_then(|node| cluster.nodes.get(node)) {
                Some(Ok(_)) => keep,
                Some(Err(_)) => matches!(cluster.settings, Ok(Some(_))),
                None => false,
            };
            if !stays {
                let resource_version = existing.metadata.resource_version.clone();
                self.actions.push(Action::Delete { key: key(name), resource_version });
            }
        }
    }
}

/// The key of a host endpoint.
fn key(name: &str) -> Key {
    Key::cluster(Kind::HostEndpoint, name)
}

#[cfg(test)]
mod tests;
