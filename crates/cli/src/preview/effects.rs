//! What a change makes, or leaves, without effect: host endpoints that govern no interface, policies that select no endpoint,
//! and rules that can never match.

use std::collections::{BTreeMap, BTreeSet};

use tortie_eval::{Subject, selects};
use tortie_explain::not_in_force::{self, NotInForce};
use tortie_explain::policy::{rules_behind_failsafes, unused_rules};
use tortie_policy::{EndpointId, Policy, PolicyId, Snapshot};

use crate::snapshot::topology;

/// With more changed workload endpoints or policies than this it is not examined whether they are in force, or whether their rules can match.
const MAX_EXAMINED: usize = 100;

/// The host endpoints of one side that govern no interface.
pub(super) type NotInForceByName = BTreeMap<String, NotInForce>;

/// Something that has no effect after the change.
pub(crate) struct NoEffect {
    /// The endpoint or policy.
    pub(crate) what: String,
    /// Why, in words that follow it.
    pub(crate) why: String,
}

/// The host endpoints that govern no interface.
pub(super) fn host_endpoints_not_in_force(
    snapshot: &Snapshot,
    local_facts: Option<&tortie_agent::LocalFacts>,
) -> NotInForceByName {
    not_in_force::all_host_endpoints(&topology(snapshot, local_facts))
}

/// What has no effect after the change and was not so before, or was written by it. And notes: on what was not looked at, and on host
/// endpoints that are judged as if their node existed.
pub(super) fn without(sides: [&Snapshot; 2], not_in_force: [&NotInForceByName; 2]) -> (Vec<NoEffect>, Vec<String>) {
    let [before, after] = sides;
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for (name, why) in not_in_force[1] {
        let is_written = before.host_endpoints.get(name) != after.host_endpoints.get(name);
        let what = EndpointId::Host(name.clone()).to_string();
        match is_written || not_in_force[0].get(name) != Some(why) {
            true if why.has_unknown_node => {
                notes.push(format!("{what} is judged as if its node existed: it {why}"));
                found.push(NoEffect {
                    what,
                    why: "is on a node that no other object names: only an agent of that name enforces it".to_owned(),
                });
            }
            true => found.push(NoEffect { what, why: why.to_string() }),
            false => {}
        }
    }
    let workloads: Vec<_> =
        after.workload_endpoints.iter().filter(|(id, one)| before.workload_endpoints.get(*id) != Some(one)).collect();
    notes.extend(not_looked_at(workloads.len(), "workload endpoints", "they are in force"));
    for (id, endpoint) in workloads.into_iter().take(MAX_EXAMINED) {
        if let Some(why) = not_in_force::workload_endpoint(after, endpoint) {
            found.push(NoEffect {
                what: EndpointId::Workload(id.clone()).for_users(),
                why: format!("is not in force: {why}"),
            });
        }
    }
    let written: Vec<&Policy> =
        after.policies.values().filter(|policy| before.policies.get(&policy.id) != Some(policy)).collect();
    let mut looked_at: BTreeMap<&PolicyId, &Policy> = written.iter().map(|policy| (&policy.id, *policy)).collect();
    looked_at.extend(losers(before, after));
    let subjects = if looked_at.is_empty() { Vec::new() } else { subjects(after) };
    let mut unused_policies = BTreeSet::new();
    for policy in looked_at.values() {
        if !subjects.iter().any(|subject| selects(&policy.selector, &subject.labels)) {
            unused_policies.insert(&policy.id);
            found.push(NoEffect { what: policy.id.to_string(), why: "selects no endpoint".to_owned() });
        }
    }
    let selecting: Vec<&Policy> = written.into_iter().filter(|policy| !unused_policies.contains(&policy.id)).collect();
    notes.extend(not_looked_at(selecting.len(), "policies", "their rules can match"));
    let looked_at: Vec<&Policy> = selecting.into_iter().take(MAX_EXAMINED).collect();
    let [unused, behind] = [unused_rules(after, &looked_at), rules_behind_failsafes(after, &looked_at)];
    for ((policy, unused), behind) in looked_at.iter().zip(unused).zip(behind) {
        for (direction, number, why) in unused.into_iter().chain(behind) {
            found.push(NoEffect { what: format!("{} {direction} rule {number}", policy.id), why });
        }
    }
    (found, notes)
}

fn not_looked_at(count: usize, things: &str, what: &str) -> Option<String> {
    (count > MAX_EXAMINED)
        .then(|| format!("of {count} written {things} only {MAX_EXAMINED} were checked: whether {what}"))
}

/// The policies that selected an endpoint which is not as it was.
fn losers<'a>(before: &Snapshot, after: &'a Snapshot) -> Vec<(&'a PolicyId, &'a Policy)> {
    let hosts = before.host_endpoints.iter().filter(|(name, one)| after.host_endpoints.get(*name) != Some(one));
    let workloads = before.workload_endpoints.iter().filter(|(id, one)| after.workload_endpoints.get(*id) != Some(one));
    let changed: Vec<Subject> = hosts
        .map(|(_, one)| Subject::host(before, one))
        .chain(workloads.map(|(_, one)| Subject::workload(before, one)))
        .collect();
    let selected = |policy: &&Policy| changed.iter().any(|subject| selects(&policy.selector, &subject.labels));
    let policies = before.policies.values().filter(selected);
    policies.filter_map(|policy| after.policies.get_key_value(&policy.id)).collect()
}

fn subjects(snapshot: &Snapshot) -> Vec<Subject> {
    let hosts = snapshot.host_endpoints.values().map(|one| Subject::host(snapshot, one));
    hosts.chain(snapshot.workload_endpoints.values().map(|one| Subject::workload(snapshot, one))).collect()
}
