//! Which packets are judged otherwise, computed from the classes that the rules of both sides can distinguish.
//!
//! For each way of each endpoint that the change can concern, each class of packets that may be judged otherwise is decided on
//! both sides. So an answer is about every packet of the way, for new connections; what connection tracking knows already and
//! what other sequences translate is not looked at. Endpoints to which the same applies are answered once.

use std::collections::HashMap;
use std::rc::Rc;

use tortie_classes::{AddressSet, Names};
use tortie_policy::packet::Host;
use tortie_policy::{EndpointId, Family, Snapshot};

use crate::affected::Affected;
use crate::applied::Side;
pub use crate::endpoint_paths::TrafficKind;
use crate::endpoint_paths::{EndpointPath, PlacedEndpoint, paths, placed};
use crate::fault;
use crate::reduced_snapshot::ReducedSnapshots;
use crate::regions::{Region, regions};
use crate::rows::{Places, change_rows, together};
use crate::walk_facts::{SettingsNumbers, WalkFacts};

/// Packets that are judged otherwise: of some endpoints, one way, and alike in protocol and ports.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictChange {
    /// The endpoints, which all have this change.
    pub endpoints: Vec<EndpointId>,
    /// Their way.
    pub reach: TrafficKind,
    /// Where this holds: empty if on all interfaces that the endpoints govern, which are the same before and after the change or
    /// only exist on one side.
    pub interfaces: Vec<String>,
    /// Whether they are allowed after the change; they were denied before then.
    pub allowed: bool,
    /// The IP versions that the row is about.
    pub families: Vec<Family>,
    /// The endpoints have packets of the other IP version too, and it differs.
    pub apart: bool,
    /// Their protocols and ports: `tcp 22,80-90`.
    pub traffic: String,
    /// Where they come from, or go to: `everywhere`, `set office`, `10.0.0.0/8`.
    pub others: Vec<String>,
    /// What decides after the change; several where parts of the row differ.
    pub by: Vec<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    /// Rows, in the order of endpoints.
    pub changes: Vec<VerdictChange>,
    /// The endpoints for which the changes could not be computed.
    pub too_many: Vec<TooMany>,
}

/// A way of an endpoint that has too many classes of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The way.
    pub reach: TrafficKind,
    /// How many classes.
    pub classes: usize,
}

/// The packets that are judged otherwise after a change. `known` is the machine whose interfaces are known.
pub fn verdicts(before: &Snapshot, after: &Snapshot, known: Option<&Host>) -> Verdicts {
    let sides = [before, after];
    let names = Names::new(after);
    let mut found = Verdicts::default();
    let mut all: Vec<VerdictChange> = Vec::new();
    let mut answers = Answers::new(sides);
    let (concerned, places) = concerned(sides, known);
    for placed in concerned {
        for (path, answer) in answers.of(&placed, &names) {
            let endpoint = placed.endpoint.clone();
            match &answer.regions {
                Ok(_) => all.extend(answer.rows.iter().map(|row| VerdictChange {
                    endpoints: vec![endpoint.clone()],
                    interfaces: vec![placed.place.clone()],
                    ..row.clone()
                })),
                Err(classes) => found.too_many.push(TooMany { endpoint, reach: path.reach, classes: *classes }),
            }
        }
    }
    found.changes = together(all, &places);
    found
}

/// The endpoints that may be judged otherwise, of all others no packet is judged; and the places of endpoints, of those that move
/// none: what is said of them names its places.
fn concerned(sides: [&Snapshot; 2], known: Option<&Host>) -> (Vec<PlacedEndpoint>, Places) {
    let affected = Affected::new(sides);
    let mut found = placed(sides, known, |node| affected.is_node(node));
    let mut places = Places::new();
    for placed in found.iter().filter(|placed| !placed.moves) {
        places.entry(placed.endpoint.clone()).or_default().insert(placed.place.clone());
    }
    found.retain(|placed| affected.is(placed));
    (found, places)
}

/// Everything that an answer about one way follows from: what is equal in this has the same answer.
#[derive(PartialEq, Eq, Hash)]
struct Question {
    reach: TrafficKind,
    source: AddressSet,
    destination: AddressSet,
    facts: [WalkFacts; 2],
}

/// What differs on one way.
struct Answer {
    /// Or how many classes are too many.
    regions: Result<Vec<Region>, usize>,
    /// The regions in words, of no endpoint.
    rows: Vec<VerdictChange>,
}

/// Answers of two sides, each found once.
struct Answers<'a> {
    snapshots: [&'a Snapshot; 2],
    sides: [Side<'a>; 2],
    parts: [ReducedSnapshots<'a>; 2],
    settings: SettingsNumbers<'a>,
    known: HashMap<Question, Rc<Answer>>,
}

impl<'a> Answers<'a> {
    fn new(snapshots: [&'a Snapshot; 2]) -> Self {
        Self {
            snapshots,
            sides: snapshots.map(Side::new),
            parts: snapshots.map(ReducedSnapshots::new),
            settings: SettingsNumbers::default(),
            known: HashMap::new(),
        }
    }

    /// What differs on each way of an endpoint.
    fn of(&mut self, placed: &PlacedEndpoint, names: &Names) -> Vec<(EndpointPath, Rc<Answer>)> {
        let parts = self.parts.each_ref().map(|parts| parts.governing(&placed.host, &placed.interface));
        let [before, after] = &mut self.sides;
        let facts = [(before, &parts[0]), (after, &parts[1])]
            .map(|(side, part)| WalkFacts::new(side, &mut self.settings, part, &placed.interface));
        let forwards = facts.iter().zip(&self.sides).any(|(facts, side)| facts.forwards(side));
        let mut found = Vec::new();
        for path in paths(placed, self.snapshots, forwards) {
            let (source, destination) = (path.source.clone(), path.destination.clone());
            let question = Question { reach: path.reach, source, destination, facts: facts.clone() };
            let shared = self.known.values().next().filter(|_| fault("diff-answers-shared"));
            let answer = self.known.get(&question).or(shared).cloned().unwrap_or_else(|| {
                let regions = regions(&mut self.sides, &parts, &question.facts, placed, &path);
                let rows = regions.as_ref().map_or_else(|_| Vec::new(), |regions| change_rows(&path, regions, names));
                let answer = Rc::new(Answer { regions, rows });
                self.known.insert(question, answer.clone());
                answer
            });
            found.push((path, answer));
        }
        found
    }
}

#[cfg(test)]
mod tests;
