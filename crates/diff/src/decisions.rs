//! The decisions of one side about classes of packets.
//!
//! [`tortie_eval::judge_with`] says which stages a packet passes and what follows from the answer of each. It is called once for
//! each class of packets that settings and endpoints can distinguish, and each combination of answers. The answer of a stage's
//! policies for a class is looked up in a [`Table`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use tortie_classes::{Classes, PacketClass};
use tortie_eval::{
    Builtin, DecidedBy, Decision, Outcome, Packet, PacketHeader, Policies, PolicyList, Subject, Verdict, judge_with,
};
use tortie_policy::{Direction, Family};

use crate::applied::Side;
use crate::packet_classes::Cells;
use crate::reduced_snapshot::ReducedSnapshot;
use crate::rule_sequence::{RuleSequence, Table};

/// The answer of the policies of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// They do not decide, so the packet goes on to the next stage.
    Nothing,
    /// They decide that the packet goes on.
    Pass,
    /// The packet goes on, and the later stages of the host endpoint do not judge it.
    Accept,
    /// They deny the packet.
    Deny,
}

impl Answer {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Pass => Answer::Pass,
            Outcome::Accept => Answer::Accept,
            Outcome::Deny => Answer::Deny,
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Answer::Nothing | Answer::Pass => Outcome::Pass,
            Answer::Accept => Outcome::Accept,
            Answer::Deny => Outcome::Deny,
        }
    }
}

/// What is known after some answers.
enum Node {
    /// Policies are asked next.
    Stage {
        /// The number of their table.
        table: usize,
        /// The destination, where it was translated before.
        translated: Option<Vec<u64>>,
        /// What follows, by answer.
        next: [Option<usize>; 4],
    },
    /// The packet is decided.
    End { allowed: bool, why: Why },
}

/// What decided.
enum Why {
    /// The policies of a stage, by its number among those that were asked.
    Stage(usize),
    /// Something else.
    Text(String),
    /// A failsafe, which packets of one class may have different ones of.
    Failsafe,
}

/// A packet of a class as it was decided.
pub(crate) struct Decided {
    pub(crate) allowed: bool,
    node: usize,
}

/// The decisions of one side about the packets of one way and family.
pub(crate) struct Decisions<'a, 's> {
    side: &'a mut Side<'s>,
    part: ReducedSnapshot,
    family: Family,
    cells: &'a Cells,
    /// The class that each class of the cells is in, of those that settings and endpoints tell apart.
    sources: Vec<usize>,
    destinations: Vec<usize>,
    transports: Vec<usize>,
    roots: HashMap<(usize, usize, usize), usize>,
    nodes: Vec<Node>,
    tables: Vec<(Rc<RuleSequence>, Table)>,
    by_question: HashMap<(usize, PolicyList, Direction), usize>,
    /// Of the packet that was decided last: what was answered, and the items that decided so.
    script: Vec<Answer>,
    hits: Vec<(usize, usize)>,
}

impl<'a, 's> Decisions<'a, 's> {
    /// `coarse` is what settings and endpoints tell apart, of the packets that the cells are of.
    pub(crate) fn new(
        side: &'a mut Side<'s>,
        part: &ReducedSnapshot,
        family: Family,
        cells: &'a Cells,
        coarse: &Classes,
    ) -> Self {
        let mut part = part.clone();
        part.snapshot.nodes = side.snapshot.nodes.clone();
        let class = |found: Option<usize>| found.unwrap_or_default();
        let sources = cells.source_addresses(family).map(|address| class(coarse.source_class(address))).collect();
        let destinations =
            cells.destination_addresses(family).map(|address| class(coarse.destination_class(address))).collect();
        let transports = cells.judged.iter().map(|at| {
            let (protocol, transport) = cells.transports[*at].representative();
            class(coarse.transport_of(protocol, transport))
        });
        Self {
            transports: transports.collect(),
            side,
            part,
            family,
            cells,
            sources,
            destinations,
            roots: HashMap::new(),
            nodes: Vec::new(),
            tables: Vec::new(),
            by_question: HashMap::new(),
            script: Vec::new(),
            hits: Vec::new(),
        }
    }

    /// The decision about the packets of a class. `packet` is one of them.
    pub(crate) fn decide(&mut self, cell: PacketClass, packet: &dyn Fn() -> Packet) -> Decided {
        self.script.clear();
        self.hits.clear();
        let place = (self.sources[cell.source], self.destinations[cell.destination], self.transports[cell.transport]);
        let mut node = match self.roots.get(&place) {
            Some(root) => *root,
            None => {
                let root = self.explore(&packet());
                self.roots.insert(place, root);
                root
            }
        };
        loop {
            let next = match &self.nodes[node] {
                Node::End { allowed, .. } => return Decided { allowed: *allowed, node },
                Node::Stage { table, next, translated } => {
                    let (_, known) = &self.tables[*table];
                    let destination = translated.as_deref().unwrap_or_else(|| known.destination(cell.destination));
                    let hit = known.decide(cell.source, destination, cell.transport);
                    self.hits.push((*table, hit.map_or(0, |(item, _)| item)));
                    self.script.push(hit.map_or(Answer::Nothing, |(_, outcome)| Answer::of(outcome)));
                    *next
                }
            };
            let answer = self.script.last().map_or(0, |answer| *answer as usize);
            node = match next[answer] {
                Some(next) => next,
                None => {
                    let found = self.explore(&packet());
                    if let Node::Stage { next, .. } = &mut self.nodes[node] {
                        next[answer] = Some(found);
                    }
                    found
                }
            };
        }
    }

    /// What follows from the answers so far.
    fn explore(&mut self, packet: &Packet) -> usize {
        let mut scripted = Scripted { side: self.side, script: &self.script, asked: 0, open: None };
        let verdict = judge_with(&self.part.snapshot, &self.part.host, packet, &mut scripted);
        let node = match scripted.open {
            Some((number, list, direction, destination)) => {
                let table = self.table(number, list, direction);
                let translated = (destination != packet.destination).then(|| {
                    let (sequence, table) = &self.tables[table];
                    table.at(sequence, destination)
                });
                Node::Stage { table, translated, next: [None; 4] }
            }
            None => Node::End { allowed: verdict.allowed, why: why(&verdict) },
        };
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn table(&mut self, number: usize, list: PolicyList, direction: Direction) -> usize {
        if let Some(table) = self.by_question.get(&(number, list, direction)) {
            return *table;
        }
        let sequence = self.side.sequence(number, list, direction, self.family);
        let table = Table::new(&sequence, self.cells);
        self.tables.push((sequence, table));
        self.by_question.insert((number, list, direction), self.tables.len() - 1);
        self.tables.len() - 1
    }

    /// What decided the packet that was decided last, in words.
    pub(crate) fn reason(&mut self, decided: &Decided, packet: &dyn Fn() -> Packet) -> String {
        match &self.nodes[decided.node] {
            Node::End { why: Why::Stage(number), .. } => {
                let (table, item) = self.hits[*number];
                text(&self.tables[table].0.items[item].by)
            }
            Node::End { why: Why::Text(text), .. } => text.clone(),
            Node::End { why: Why::Failsafe, .. } => {
                let mut scripted = Scripted { side: self.side, script: &self.script, asked: 0, open: None };
                let verdict = judge_with(&self.part.snapshot, &self.part.host, &packet(), &mut scripted);
                deciding(&verdict).map(text).unwrap_or_default()
            }
            Node::Stage { .. } => String::new(),
        }
    }
}

/// Policies that answer what they are told to. The first question after that is kept.
struct Scripted<'b, 's> {
    side: &'b mut Side<'s>,
    script: &'b [Answer],
    asked: usize,
    open: Option<(usize, PolicyList, Direction, IpAddr)>,
}

impl Policies for Scripted<'_, '_> {
    fn has_policy(&mut self, subject: &Subject, list: PolicyList, direction: Direction) -> bool {
        let number = self.side.number(subject);
        self.side.applied(number).has_policy(list, direction)
    }

    fn decide(&mut self, subject: &Subject, list: PolicyList, direction: Direction, header: &PacketHeader) -> Decision {
        let Some(answer) = self.script.get(self.asked) else {
            // What is denied is asked nothing more.
            self.open.get_or_insert((self.side.number(subject), list, direction, header.destination));
            return Decision { outcome: Outcome::Deny, by: DecidedBy::Nothing };
        };
        let by = match answer {
            Answer::Nothing => DecidedBy::Nothing,
            // Profiles are asked by policies alone, so this is the mark of an answer.
            _ => DecidedBy::Profile { name: String::new(), number: Some(self.asked) },
        };
        self.asked += 1;
        Decision { outcome: answer.outcome(), by }
    }
}

fn why(verdict: &Verdict) -> Why {
    match deciding(verdict) {
        Some(DecidedBy::Profile { number: Some(number), .. }) => Why::Stage(*number),
        Some(DecidedBy::Failsafe(_)) => Why::Failsafe,
        Some(by) => Why::Text(text(by)),
        None => {
            let is_governed = verdict.path.iter().any(|step| step.endpoint.is_some());
            Why::Text(if is_governed { "no rule denies it" } else { "no tortie endpoint applies" }.to_owned())
        }
    }
}

/// What decided a packet. What an earlier stage has accepted was decided there.
fn deciding(verdict: &Verdict) -> Option<&DecidedBy> {
    let decides = |by: &&DecidedBy| !matches!(by, DecidedBy::Nothing | DecidedBy::Builtin(Builtin::AcceptedBefore));
    verdict.path.iter().rev().map(|step| &step.decision.by).find(decides)
}

/// What decides, in words.
fn text(by: &DecidedBy) -> String {
    match by {
        DecidedBy::Rule { id, number, .. } => format!("{id} rule {number}"),
        DecidedBy::TierEnd { tier } => format!("the end of tier {tier}"),
        DecidedBy::Profile { name, number: Some(number) } => format!("profile {name} rule {number}"),
        DecidedBy::Profile { name, number: None } => format!("profile {name}, which does not exist"),
        DecidedBy::NoProfile => "no profile allows it".to_owned(),
        DecidedBy::Failsafe(text) => format!("failsafe {text}"),
        DecidedBy::Builtin(_) => "a built-in rule".to_owned(),
        DecidedBy::Established | DecidedBy::Invalid | DecidedBy::BeginsNothing => "connection tracking".to_owned(),
        DecidedBy::Nothing => "no tortie endpoint applies".to_owned(),
    }
}
