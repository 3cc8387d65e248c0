//! What happens to packets that no rule of a policy decides, by endpoint and direction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use tortie_eval::{DefaultDecision, PolicyList, Subject};
use tortie_policy::{Direction, EndpointId, Snapshot};

use crate::affected::Affected;

/// What happens to such a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Default {
    /// The endpoint does not exist.
    NoEndpoint,
    /// The endpoint exists, and governs no interface.
    NotInForce,
    /// A rule without a condition decides.
    Rule {
        /// Whether it denies.
        denies: bool,
        /// `gnp web rule 3`, `profile open rule 1`.
        by: String,
    },
    /// The end of a tier denies it.
    TierDenies(String),
    /// These profiles decide, and what none of them allows is denied.
    Profiles(Vec<String>),
    /// It is denied: of the profiles that decide, none exists.
    NoProfile(Vec<String>),
    /// It is denied: the endpoint cannot be read, or has neither a policy nor a profile.
    Denies,
    /// It goes on: no policy is about packets that are forwarded.
    GoesOn,
}

/// A default that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultChange {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Whether it is about packets that are forwarded, which have a default of their own at host endpoints.
    pub forwarded: bool,
    /// The direction.
    pub direction: Direction,
    /// The default before the change.
    pub before: Default,
    /// The default after the change.
    pub after: Default,
}

impl Default {
    fn allows(&self) -> bool {
        matches!(self, Default::Rule { denies: false, .. })
    }

    /// Whether everything that no rule with a condition decides is denied.
    pub fn denies(&self) -> bool {
        matches!(
            self,
            Default::TierDenies(_) | Default::NoProfile(_) | Default::Denies | Default::Rule { denies: true, .. }
        )
    }
}

impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Default::NoEndpoint => f.write_str("no endpoint"),
            Default::NotInForce => f.write_str("not in force"),
            Default::Rule { denies: true, by } => write!(f, "denied by {by}"),
            Default::Rule { denies: false, by } => write!(f, "allowed by {by}"),
            Default::TierDenies(tier) => write!(f, "denied by the end of tier {tier}"),
            Default::Profiles(names) => {
                let word = if names.len() == 1 { "profile" } else { "profiles" };
                write!(f, "{word} {}, then denied", names.join(", "))
            }
            Default::NoProfile(names) => match names.as_slice() {
                [name] => write!(f, "denied: profile {name} does not exist"),
                _ => write!(f, "denied: profiles {} do not exist", names.join(", ")),
            },
            Default::Denies => f.write_str("denied"),
            Default::GoesOn => f.write_str("not policed"),
        }
    }
}

impl fmt::Display for DefaultChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, forwarded, direction, before, after } = self;
        let path = match (forwarded, direction) {
            (false, Direction::Ingress) => "ingress",
            (false, Direction::Egress) => "egress",
            (true, Direction::Ingress) => "forwarded ingress",
            (true, Direction::Egress) => "forwarded egress",
        };
        let what = match (before.denies(), after.denies()) {
            (false, true) => "becomes default-deny,",
            (true, false) => "is no longer default-deny,",
            _ => "has another default,",
        };
        write!(f, "{} {what} {path} (now: {after}; before: {before})", endpoint.for_users())
    }
}

/// The defaults that are not as they were, by endpoint. `idle` are the host endpoints of each side that govern no interface.
pub fn defaults(before: &Snapshot, after: &Snapshot, idle: [&BTreeSet<String>; 2]) -> Vec<DefaultChange> {
    let affected = Affected::new([before, after]);
    let [before, after] = [0, 1].map(|at| all([before, after], at, idle, &affected));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let at = |side: &BTreeMap<Place, (EndpointId, Default)>, place: &Place| {
        side.get(place).map_or(Default::NoEndpoint, |(_, default)| default.clone())
    };
    keys.into_iter()
        .filter_map(|place| {
            let (old, new) = (at(&before, place), at(&after, place));
            let (endpoint, _) = before.get(place).or_else(|| after.get(place))?;
            // What no policy is about passes, as what a rule allows does.
            let passes = |default: &Default| {
                default.allows() || matches!(default, Default::NoEndpoint | Default::NotInForce | Default::GoesOn)
            };
            let is_same = old == new || (old.denies() && new.denies()) || (passes(&old) && passes(&new));
            (!is_same).then(|| DefaultChange {
                endpoint: endpoint.clone(),
                forwarded: place.1,
                direction: place.2,
                before: old,
                after: new,
            })
        })
        .collect()
}

/// The endpoint's name, whether forwarded packets are meant, and the direction.
type Place = (String, bool, Direction);

/// Those of one side, the first or the second, without endpoints that have the same defaults on both.
fn all(
    sides: [&Snapshot; 2],
    at: usize,
    idle: [&BTreeSet<String>; 2],
    affected: &Affected<'_>,
) -> BTreeMap<Place, (EndpointId, Default)> {
    let (snapshot, other) = (sides[at], sides[1 - at]);
    let is_idle = |name: &String| idle.map(|names| names.contains(name));
    // A host endpoint whose node cannot be read is nowhere; the interface of such a workload is closed.
    let hosts = snapshot.host_endpoints.values().filter(|endpoint| !endpoint.node.is_empty());
    let hosts = hosts.map(|endpoint| {
        let [before, after] = is_idle(&endpoint.name);
        let is_same = before == after && other.host_endpoints.get(&endpoint.name) == Some(endpoint);
        (Subject::host(snapshot, endpoint), true, is_same)
    });
    let workloads = snapshot.workload_endpoints.values().map(|endpoint| {
        let is_same = other.workload_endpoints.get(&endpoint.id) == Some(endpoint);
        let subject = Subject::workload(snapshot, endpoint);
        (Subject { unreadable: subject.unreadable || !endpoint.has_place(), ..subject }, false, is_same)
    });
    let mut found = BTreeMap::new();
    // Endpoints with the same labels and profiles have the same defaults.
    let mut known: BTreeMap<(_, _, bool, bool), [Default; 4]> = BTreeMap::new();
    for (subject, is_host, is_same) in hosts.chain(workloads) {
        // What is the same on both sides, and has only policies and profiles that are, is left out.
        if is_same && ![0, 1].iter().any(|side| affected.concerns(*side, &subject)) {
            continue;
        }
        let key = (subject.labels.clone(), subject.profiles.clone(), subject.unreadable, is_host);
        let four = match &subject.id {
            EndpointId::Host(name) if idle[at].contains(name) => std::array::from_fn(|_| Default::NotInForce),
            _ => known.entry(key).or_insert_with(|| of_subject(snapshot, &subject, is_host)).clone(),
        };
        let places = [
            (false, Direction::Ingress),
            (false, Direction::Egress),
            (true, Direction::Ingress),
            (true, Direction::Egress),
        ];
        for ((forwarded, direction), default) in places.into_iter().zip(four) {
            if is_host || !forwarded {
                found.insert((subject.id.to_string(), forwarded, direction), (subject.id.clone(), default));
            }
        }
    }
    found
}

/// What profiles decide. The first that does not exist denies what those before it do not allow.
fn profiles(snapshot: &Snapshot, names: &[String]) -> Default {
    let exist: Vec<String> = names.iter().take_while(|name| snapshot.profiles.contains_key(*name)).cloned().collect();
    if exist.is_empty() { Default::NoProfile(names.to_vec()) } else { Default::Profiles(exist) }
}

fn of_subject(snapshot: &Snapshot, subject: &Subject, is_host: bool) -> [Default; 4] {
    let selecting = subject.selecting(snapshot);
    let of_list = |list, direction| match subject.default_decision_among(snapshot, &selecting, list, direction) {
        _ if subject.unreadable => Default::Denies,
        DefaultDecision::Rule { id, number, denies } => Default::Rule { denies, by: format!("{id} rule {number}") },
        DefaultDecision::TierEnd { tier } => Default::TierDenies(tier),
        DefaultDecision::NoProfile => Default::Denies,
        DefaultDecision::ProfileRule { name, number, denies } => {
            Default::Rule { denies, by: format!("profile {name} rule {number}") }
        }
        DefaultDecision::Profiles(names) => profiles(snapshot, &names),
        DefaultDecision::GoesOn => Default::GoesOn,
    };
    let normal = |direction| of_list(PolicyList::Normal, direction);
    let forwarded = |direction| if is_host { of_list(PolicyList::Forward, direction) } else { Default::GoesOn };
    [normal(Direction::Ingress), normal(Direction::Egress), forwarded(Direction::Ingress), forwarded(Direction::Egress)]
}

#[cfg(test)]
mod tests {
    use tortie_testkit::worlds::{Step, World};

    use super::*;

    fn world(steps: &[serde_json::Value]) -> World {
        let mut world = World::new();
        for step in steps {
            world.apply(&Step::Put(step.clone())).unwrap();
        }
        world
    }

    #[test]
    fn an_endpoint_that_becomes_or_stops_being_default_deny_is_reported_by_direction() {
        let endpoint = serde_json::json!({"kind": "HostEndpoint", "name": "e", "labels": {"a": "b"},
            "spec": {"node": "n1", "interfaceName": "eth0", "profiles": ["p"]}});
        let policy = |types: &[&str], forward: bool| {
            serde_json::json!({"kind": "GlobalNetworkPolicy", "name": "x", "labels": {},
                "spec": {"selector": "a == 'b'", "types": types, "applyOnForward": forward}})
        };
        let changes = |before: &World, after: &World| -> Vec<String> {
            let none = BTreeSet::new();
            defaults(&before.snapshot, &after.snapshot, [&none, &none]).iter().map(ToString::to_string).collect()
        };
        let profile = serde_json::json!({"kind": "Profile", "name": "p", "labels": {}, "spec": {}});
        let (none, shut) = (world(&[]), world(std::slice::from_ref(&endpoint)));
        let open = world(&[profile.clone(), endpoint.clone()]);
        let ingress = world(&[profile.clone(), endpoint.clone(), policy(&["Ingress"], false)]);
        let forward = world(&[profile, endpoint, policy(&["Ingress"], true)]);
        assert_eq!(
            changes(&none, &shut)[0],
            "hep/e becomes default-deny, ingress (now: denied: profile p does not exist; before: no endpoint)"
        );
        assert_eq!(
            changes(&open, &ingress),
            [
                "hep/e becomes default-deny, ingress (now: denied by the end of tier default; before: profile p, then denied)"
            ]
        );
        assert_eq!(changes(&ingress, &open).len(), 1);
        assert!(changes(&ingress, &open)[0].starts_with("hep/e is no longer default-deny, ingress"));
        assert_eq!(
            changes(&ingress, &forward),
            [
                "hep/e becomes default-deny, forwarded ingress (now: denied by the end of tier default; before: not policed)"
            ]
        );
        let new = changes(&none, &ingress);
        assert_eq!(new.len(), 2, "{new:?}");
        assert!(new.iter().any(|text| text.starts_with("hep/e becomes default-deny, ingress")), "{new:?}");
        assert_eq!(changes(&ingress, &ingress), [""; 0]);
        // What governs no interface has no default that counts.
        let (idle, none) = (BTreeSet::from(["e".to_owned()]), BTreeSet::new());
        assert_eq!(defaults(&open.snapshot, &ingress.snapshot, [&idle, &idle]), []);
        let displaced = defaults(&ingress.snapshot, &ingress.snapshot, [&none, &idle]);
        assert!(
            displaced[0]
                .to_string()
                .starts_with("hep/e is no longer default-deny, ingress (now: not in force; before: "),
            "{displaced:?}"
        );
    }

    #[test]
    fn a_workload_whose_interface_becomes_unreadable_becomes_default_deny_and_a_host_endpoint_does_not() {
        let profile = serde_json::json!({"kind": "Profile", "name": "p", "labels": {},
            "spec": {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}});
        let workload = serde_json::json!({"kind": "WorkloadEndpoint", "namespace": "shop", "name": "w", "labels": {},
            "spec": {"orchestrator": "cni", "node": "n1", "containerID": "c", "endpoint": "eth0",
                     "interfaceName": "cali1", "ipNetworks": ["10.65.0.2/32"], "profiles": ["p"]}});
        let host = serde_json::json!({"kind": "HostEndpoint", "name": "e", "labels": {},
            "spec": {"node": "n1", "interfaceName": "eth0", "profiles": ["p"]}});
        let before = world(&[profile, workload, host]);
        let mut after = before.clone();
        for (key, bytes) in before.stored() {
            let mut object: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            if object["spec"]["node"].is_string() {
                object["spec"]["node"] = serde_json::json!(1);
                after.put_stored(&key, &serde_json::to_vec(&object).unwrap());
            }
        }
        let none = BTreeSet::new();
        let changes = defaults(&before.snapshot, &after.snapshot, [&none, &none]);
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            changes,
            [
                "wep/shop/w becomes default-deny, ingress (now: denied; before: allowed by profile p rule 1)",
                "wep/shop/w becomes default-deny, egress (now: denied; before: allowed by profile p rule 1)",
            ]
        );
    }

    #[test]
    fn a_rule_without_a_condition_is_the_default_and_one_that_passes_leads_to_the_next_tier() {
        let put = |objects: &[serde_json::Value]| {
            let endpoint = serde_json::json!({"kind": "HostEndpoint", "name": "e", "labels": {"a": "b"},
                "spec": {"node": "n1", "interfaceName": "eth0"}});
            world(&[&[endpoint], objects].concat())
        };
        let tier = |name: &str, order: u32| serde_json::json!({"kind": "Tier", "name": name, "labels": {}, "spec": {"order": order}});
        let policy = |tier: &str, action: &str| {
            serde_json::json!({"kind": "GlobalNetworkPolicy", "name": format!("{tier}.p"), "labels": {},
                "spec": {"tier": tier, "selector": "a == 'b'", "types": ["Ingress"], "ingress": [
                    {"action": "Allow", "protocol": "TCP"}, {"action": action}]}})
        };
        let changes = |before: &World, after: &World| -> Vec<String> {
            defaults(&before.snapshot, &after.snapshot, [&BTreeSet::new(), &BTreeSet::new()])
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        let none = put(&[]);
        let open = put(&[tier("one", 1), policy("one", "Allow")]);
        let mut passing = vec![tier("one", 1), tier("two", 2), policy("one", "Pass"), policy("two", "Log")];
        assert_eq!(
            changes(&none, &open),
            ["hep/e is no longer default-deny, ingress (now: allowed by gnp one.p rule 2; before: denied)"]
        );
        assert_eq!(
            changes(&open, &put(&passing)),
            [
                "hep/e becomes default-deny, ingress (now: denied by the end of tier two; before: allowed by gnp one.p rule 2)"
            ]
        );
        passing.truncate(3);
        assert_eq!(
            changes(&open, &put(&passing)),
            ["hep/e becomes default-deny, ingress (now: denied; before: allowed by gnp one.p rule 2)"]
        );
    }
}
