//! The log of placements: which interface each endpoint of this node governs, or that it governs none and why, and what happens
//! to packets that none of its policies allows or denies. Each change is logged once, when it is sent to the dataplane.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use tortie_dataplane::{Delta, Owner, Place, Program, ProgramEnd, ProgramId, RulesId, first_catch_all};
use tortie_policy::{Action, EndpointId};

use crate::not_in_force;
use crate::status_builder;
use crate::status_cell::NamedInterface;

/// How many lines are logged for one step at most.
const LINES: usize = 20;

/// How many policies a line names as added or as removed at most.
const POLICIES: usize = 5;

/// What happens to packets of one direction that no policy of the endpoint allows or denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DefaultAction {
    Deny,
    Allow,
    Profiles,
}

impl DefaultAction {
    /// `decides` has the action of each list's rule that matches every packet.
    fn of(program: &Program, decides: &HashMap<RulesId, Action>) -> Self {
        for tier in &program.tiers {
            let mut policies = tier.policies.iter();
            let first = policies.find_map(|policy| {
                decides.get(&RulesId { owner: Owner::Policy(policy.clone()), direction: program.direction })
            });
            match first {
                Some(Action::Allow) => return Self::Allow,
                Some(Action::Deny) => return Self::Deny,
                None if tier.denies => return Self::Deny,
                Some(Action::Pass | Action::Log) | None => {}
            }
        }
        match &program.then {
            ProgramEnd::Pass => Self::Allow,
            ProgramEnd::Deny => Self::Deny,
            ProgramEnd::Profiles(profiles) if profiles.is_empty() => Self::Deny,
            ProgramEnd::Profiles(_) => Self::Profiles,
        }
    }
}

impl fmt::Display for DefaultAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "default deny",
            Self::Allow => "default allow",
            Self::Profiles => "decided by profiles",
        })
    }
}

/// The program of an endpoint in one direction, and what happens to packets that none of its policies allows or denies.
type Asked = (Option<ProgramId>, DefaultAction);

/// The state of an endpoint before a step: its places, and its programs for ingress and egress.
type Before = (BTreeSet<Place>, Option<[Asked; 2]>);

/// The places of an endpoint, and its programs for ingress and egress.
#[derive(Clone, Debug, PartialEq)]
struct Placed {
    id: EndpointId,
    programs: [ProgramId; 2],
}

/// The state that was logged last.
#[derive(Default)]
pub(crate) struct PlacementLog {
    programs: HashMap<ProgramId, Program>,
    /// For each list with a rule that matches every packet, the action of that rule.
    decides: HashMap<RulesId, Action>,
    at: BTreeMap<Place, Placed>,
    places: BTreeMap<EndpointId, BTreeSet<Place>>,
    /// Endpoints that the store changed since the last step.
    changed: BTreeSet<EndpointId>,
    /// The prefixes of workloads' interfaces.
    prefixes: Vec<String>,
    started: bool,
}

impl PlacementLog {
    /// The store changed or removed this endpoint.
    pub(crate) fn endpoint_changed(&mut self, id: EndpointId) {
        self.changed.insert(id);
    }

    /// The lines for a change of the dataplane, one for each change of a placement or default, but at most [`LINES`]. `named_interfaces`
    /// are the endpoints that the store has.
    pub(crate) fn step(
        &mut self,
        delta: &Delta,
        named_interfaces: &BTreeMap<EndpointId, NamedInterface>,
    ) -> Vec<String> {
        let mut lines = self.changes(delta, named_interfaces);
        if let Some(more) = lines.len().checked_sub(LINES).filter(|more| *more > 0) {
            lines.truncate(LINES);
            lines.push(format!("and {more} more changes of endpoints; `tortie status` lists all endpoints"));
        }
        lines
    }

    fn changes(&mut self, delta: &Delta, named_interfaces: &BTreeMap<EndpointId, NamedInterface>) -> Vec<String> {
        self.programs.extend(delta.programs_made.iter().cloned());
        if let Some(host) = &delta.host {
            self.prefixes.clone_from(&host.settings.interface_prefixes);
        }
        let mut before: BTreeMap<EndpointId, Before> = BTreeMap::new();
        for id in std::mem::take(&mut self.changed) {
            before.entry(id.clone()).or_insert_with(|| self.now(&id));
        }
        let put = delta.endpoints_put.iter().map(|(place, one)| (place, Some(one)));
        let removed = delta.endpoints_removed.iter().map(|place| (place, None));
        let changed: Vec<_> = put.chain(removed).collect();
        for (place, endpoint) in &changed {
            let ids = self.at.get(*place).map(|placed| &placed.id).into_iter().chain(endpoint.map(|one| &one.id));
            for id in ids.cloned().collect::<Vec<_>>() {
                before.entry(id.clone()).or_insert_with(|| self.now(&id));
            }
        }
        let decides: Vec<(&RulesId, Option<Action>)> = delta
            .rules_put
            .iter()
            .map(|(id, rules)| (id, first_catch_all(rules).map(|rule| rule.action)))
            .chain(delta.rules_removed.iter().map(|id| (id, None)))
            .filter(|(id, action)| self.decides.get(id) != action.as_ref())
            .collect();
        if !decides.is_empty() && self.started {
            for id in self.places.keys().cloned().collect::<Vec<_>>() {
                before.entry(id.clone()).or_insert_with(|| self.now(&id));
            }
        }
        for (id, action) in decides {
            match action {
                Some(action) => drop(self.decides.insert(id.clone(), action)),
                None => drop(self.decides.remove(id)),
            }
        }
        for (place, endpoint) in changed {
            if let Some(old) = self.at.remove(place)
                && let Some(places) = self.places.get_mut(&old.id)
            {
                places.remove(place);
                if places.is_empty() {
                    self.places.remove(&old.id);
                }
            }
            if let Some(endpoint) = endpoint {
                let programs = [endpoint.programs.normal.ingress, endpoint.programs.normal.egress];
                self.at.insert(place.clone(), Placed { id: endpoint.id.clone(), programs });
                self.places.entry(endpoint.id.clone()).or_default().insert(place.clone());
            }
        }
        let first = !std::mem::replace(&mut self.started, true);
        let unreadable = not_in_force::without_readable_interface(named_interfaces);
        let (mut lines, mut workloads, mut lists) = (Vec::new(), 0, HashMap::new());
        for (id, before) in before {
            // A machine may have thousands of them, and each governs the interface that it names.
            if first && matches!(id, EndpointId::Workload(_)) && self.places.contains_key(&id) {
                workloads += 1;
                continue;
            }
            lines.extend(self.line(&id, &before, named_interfaces.get(&id), unreadable.as_deref(), &mut lists));
        }
        for id in &delta.programs_removed {
            self.programs.remove(id);
        }
        if workloads > 0 {
            let (s, govern) =
                if workloads == 1 { ("", "governs its interface") } else { ("s", "govern their interfaces") };
            lines.insert(0, format!("{workloads} workload endpoint{s} {govern}"));
        }
        lines
    }

    /// The current state of an endpoint.
    fn now(&self, id: &EndpointId) -> Before {
        let places = self.places.get(id).cloned().unwrap_or_default();
        // An unknown program denies; the dataplane refuses such a change.
        let asked = |id| {
            let program = self.programs.get(&id);
            (program.map(|_| id), program.map_or(DefaultAction::Deny, |one| DefaultAction::of(one, &self.decides)))
        };
        let asked = places.first().and_then(|place| self.at.get(place)).map(|placed| placed.programs.map(asked));
        (places, asked)
    }

    fn line(
        &self,
        id: &EndpointId,
        (old_places, old): &Before,
        named: Option<&NamedInterface>,
        unreadable: Option<&str>,
        lists: &mut HashMap<(ProgramId, ProgramId), String>,
    ) -> Option<String> {
        let (places, now) = self.now(id);
        let names =
            |places: &BTreeSet<Place>| places.iter().map(status_builder::place_name).collect::<Vec<_>>().join(", ");
        let Some(asked) = now else {
            let governed =
                if old_places.is_empty() { String::new() } else { format!(", before {}", names(old_places)) };
            let governor = |place: Place| self.at.get(&place).map(|placed| placed.id.to_string());
            return match named {
                Some(named) => Some(format!(
                    "{id} governs no interface{governed}: {}",
                    not_in_force::why(named, unreadable, &governor, &self.prefixes)
                )),
                None if old_places.is_empty() => None,
                None => Some(format!("{id} governs no interface{governed}: it is not in the store any more")),
            };
        };
        let directions = ["ingress", "egress"].into_iter().zip(asked);
        if places != *old_places {
            let before = if old_places.is_empty() { String::new() } else { format!(", before {}", names(old_places)) };
            let all: Vec<String> = directions.map(|(direction, (_, now))| format!("{direction} {now}")).collect();
            return Some(format!("{id} governs {}{before}: {}", names(&places), all.join(", ")));
        }
        let old = (*old)?;
        let mut all = Vec::new();
        for ((direction, (list, now)), (old_list, old)) in directions.zip(old) {
            if now != old {
                all.push(format!("{direction} becomes {now}, before {old}"));
            }
            // A program never changes: another list of policies has another id.
            if let (Some(list), Some(old_list)) = (list, old_list)
                && list != old_list
            {
                let change = lists.entry((old_list, list)).or_insert_with(|| self.list_change(old_list, list));
                if !change.is_empty() {
                    all.push(format!("{direction} policies: {change}"));
                }
            }
        }
        (!all.is_empty()).then(|| format!("{id} on {}: {}", names(&places), all.join("; ")))
    }

    /// How the policies of one program differ from those of another; empty where they do not.
    fn list_change(&self, old: ProgramId, new: ProgramId) -> String {
        let list = |id| self.programs.get(&id).map(status_builder::policies).unwrap_or_default();
        let (old, new): (Vec<String>, Vec<String>) = (list(old), list(new));
        let without = |all: &[String], others: &[String]| {
            let others: BTreeSet<&String> = others.iter().collect();
            all.iter().filter(|one| !others.contains(one)).cloned().collect::<Vec<_>>()
        };
        let changes = [("added", without(&new, &old)), ("removed", without(&old, &new))];
        let some = |(word, names): &(&str, Vec<String>)| {
            let shown = names.iter().take(POLICIES).cloned().collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(POLICIES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            (!names.is_empty()).then(|| format!("{shown}{more} {word}"))
        };
        let told: Vec<String> = changes.iter().filter_map(some).collect();
        if told.is_empty() && old != new { "in another order".to_owned() } else { told.join(", ") }
    }
}

#[cfg(test)]
mod tests;
