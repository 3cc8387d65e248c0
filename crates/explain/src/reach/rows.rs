//! Answers of classes, put together into rows.

use std::collections::{BTreeSet, HashMap};

use tortie_classes::{AddressSet, Names, TransportClass};
use tortie_policy::Family;

use super::{ClassVerdict, Column, OR, Outcome, VerdictTable, grouped};
use crate::question::{EndSpec, Question};
use crate::relevant_conditions::End;
use crate::{several_addresses, transport_text};

/// More parts than this are counted, not listed, in text.
const MAX_LISTED: usize = 20;

/// One row: packets of some kind, and their verdicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `tcp 80,443`, `icmp type 8`, `everything else`.
    pub what: String,
    /// The families that it is about.
    pub families: Vec<Family>,
    /// There is an answer for the other family too, and it is another one.
    pub apart: bool,
    /// Exactly which packets, by family; empty where the question named one kind.
    pub traffic: Vec<(Family, TransportClass)>,
    /// Their verdicts; several only if an end has several addresses.
    pub parts: Vec<Part>,
}

/// The verdict for the packets of a row from some addresses, or to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The verdict.
    pub outcome: Outcome,
    /// The addresses of the end that is many addresses, or else of one with several; none where both ends have one address, or
    /// all of them are answered alike.
    pub addresses: Option<Addresses>,
    /// The addresses of the other end; none where it has one, or all of them are answered alike.
    pub other: Option<Addresses>,
    /// By what, each with the addresses that it is for.
    pub verdicts: Vec<Reason>,
}

/// What decides for some addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// `DENIED by gnp web rule 1, ingress of web1-eth0 on web1`.
    pub verdict: String,
    /// As in [`Part::addresses`].
    pub addresses: Option<Addresses>,
    /// The addresses of the other end; none where it is for all of the part's.
    pub other: Option<Addresses>,
}

/// Some of the addresses of an end with several.
#[derive(Clone, Debug, PartialEq)]
pub struct Addresses {
    /// Exactly which.
    pub set: AddressSet,
    /// In names: `set office`, `10.65.0.2 (wep shop/db)`, `everywhere else`.
    pub names: Vec<String>,
    /// Whether they are sources.
    pub from: bool,
}

impl Row {
    /// The row as one line of text.
    pub fn line(&self) -> String {
        let family = match self.families.as_slice() {
            [one] if self.apart && !self.what.starts_with("icmp") => format!("{one} "),
            _ => String::new(),
        };
        format!("{family}{}: {}", self.what, self.verdict())
    }

    /// The text after the colon.
    pub fn verdict(&self) -> String {
        self.parts.iter().map(Part::text).collect::<Vec<_>>().join("; ")
    }

    /// What decides for which addresses, a line each; nothing where both ends have one address.
    pub fn reasons(&self) -> Vec<String> {
        let verdicts = self.parts.iter().flat_map(|part| part.verdicts.iter().map(move |reason| (part, reason)));
        let reasons: Vec<String> = verdicts
            .filter_map(|(part, Reason { verdict, addresses, other })| {
                let whose = match (addresses, other.as_ref().or(part.other.as_ref())) {
                    (Some(addresses), Some(other)) => format!("{} {}", shown(&addresses.names, ""), other.text()),
                    (Some(one), None) | (None, Some(one)) => shown(&one.names, ""),
                    (None, None) => return None,
                };
                Some(format!("{whose}: {}", ways(verdict)))
            })
            .collect();
        let more = reasons.len().saturating_sub(MAX_LISTED);
        let mut lines: Vec<String> = reasons.into_iter().take(MAX_LISTED).collect();
        if more > 0 {
            lines.push(format!("and {more} more; -o json lists all"));
        }
        lines
    }
}

impl Part {
    fn text(&self) -> String {
        let word = self.outcome.word();
        match (&self.addresses, &self.other, self.verdicts.first()) {
            (Some(addresses), Some(other), _) => format!("{word} {} {}", addresses.text(), other.text()),
            (Some(one), None, _) | (None, Some(one), _) => format!("{word} {}", one.text()),
            (None, None, Some(reason)) => ways(&reason.verdict),
            (None, None, None) => word.to_owned(),
        }
    }

    /// Whether the addresses of both ends are told.
    fn tells_both_ends(&self) -> bool {
        self.other.is_some() || self.verdicts.iter().any(|reason| reason.other.is_some())
    }
}

impl Addresses {
    /// `from set office, from 10.65.0.2 (wep shop/db)`.
    fn text(&self) -> String {
        shown(&self.names, if self.from { "from" } else { "to" })
    }
}

/// `DENIED by …; or 7 more ways; or ALLOWED by …`: a verdict with the first and the last of many ways in which it comes about.
/// The ways of one outcome follow each other, so every outcome is told.
fn ways(verdict: &str) -> String {
    let ways: Vec<&str> = verdict.split(OR).collect();
    match ways.as_slice() {
        [first, second, between @ .., last] if between.len() > 1 => {
            let more = between.len();
            format!("{first}{OR}{second}{OR}{more} more ways (-o json lists all){OR}{last}")
        }
        _ => verdict.to_owned(),
    }
}

/// `from a, from b and 7 more`.
fn shown(names: &[String], word: &str) -> String {
    let prefix = if word.is_empty() { String::new() } else { format!("{word} ") };
    let listed: Vec<String> = names.iter().take(MAX_LISTED).map(|name| format!("{prefix}{name}")).collect();
    let more = names.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!(" and {more} more (-o json lists all)") } else { String::new() };
    listed.join(", ") + &more
}

/// The rows of one family: what is allowed first, what is left last.
pub(super) fn rows(table: &VerdictTable<'_>, names: &Names, question: &Question) -> Vec<Row> {
    let parts = |transport: usize| Parts { table, names, question, transport }.all();
    let Some(transports) = &table.asked else {
        return vec![row(table, table.title.clone(), &[], &parts(0))];
    };
    // Between two fixed ends, and for one protocol and port, rows differ by what decides; else by what becomes of each address.
    let is_asked = !table.title.is_empty();
    let by_outcome = matches!(table.divided, Some(End::Many(_))) && !is_asked;
    let mut first = HashMap::new();
    let alike: Vec<usize> = table
        .verdicts
        .iter()
        .enumerate()
        .map(|(number, verdict)| match verdict.outcome {
            Outcome::Unanswered => number,
            outcome if by_outcome => *first.entry(outcome).or_insert(number),
            _ => number,
        })
        .collect();
    let cells = || table.columns.iter().flat_map(|column| &column.cells);
    let key = |transport: usize| cells().map(|cells| alike[cells[transport]]).collect::<Vec<usize>>();
    let groups = grouped((0..transports.len()).map(key));
    if is_asked && groups.len() == 1 {
        return vec![row(table, table.title.clone(), &[], &parts(0))];
    }
    let rest = table.transports.unnamed();
    let mut rows = Vec::new();
    let mut last = None;
    let single = groups.len() == 1;
    for (_, members) in groups {
        let parts = parts(members[0]);
        let members: Vec<usize> = members.into_iter().map(|column| transports[column]).collect();
        if members.contains(&rest) {
            let what = if single { "everything" } else { "everything else" };
            last = Some(row(table, what.to_owned(), &members, &parts));
            continue;
        }
        let members: BTreeSet<usize> = members.into_iter().collect();
        let texts = transport_text::texts(&table.transports, table.family, &members);
        let placed =
            |(what, members): (String, Vec<usize>)| (members.first().copied(), row(table, what, &members, &parts));
        rows.extend(texts.into_iter().map(placed));
    }
    // What is allowed comes first, and then protocol after protocol.
    rows.sort_by_key(|(first, row)| (row.parts.iter().map(|part| part.outcome).min(), *first));
    rows.into_iter().map(|(_, row)| row).chain(last).collect()
}

fn row(table: &VerdictTable<'_>, what: String, transports: &[usize], parts: &[Part]) -> Row {
    let family = table.family;
    let traffic = transports.iter().map(|class| (family, table.transports.class(*class))).collect();
    Row { what, families: vec![family], apart: false, traffic, parts: parts.to_vec() }
}

/// What becomes of one transport, by the addresses of the ends.
struct Parts<'a> {
    table: &'a VerdictTable<'a>,
    names: &'a Names,
    question: &'a Question,
    transport: usize,
}

impl Parts<'_> {
    fn verdict(&self, column: &Column, class: usize) -> &ClassVerdict {
        &self.table.verdicts[column.cells[class][self.transport]]
    }

    fn all(&self) -> Vec<Part> {
        let columns: Vec<&Column> = self.table.columns.iter().collect();
        // Addresses of the other end are told apart where something else becomes of a packet.
        let outcomes = |column: &&Column| {
            (0..self.table.classes.len()).map(|class| self.verdict(column, class).outcome).collect::<Vec<_>>()
        };
        let groups = grouped(columns.iter().map(outcomes));
        let is_alone = groups.len() == 1;
        let sets: Vec<AddressSet> =
            groups.iter().map(|(_, members)| of_columns(members.iter().map(|at| columns[*at]))).collect();
        let best = |at: usize| groups[at].0.iter().min().copied();
        let rest = largest(&sets, self.table.family, best).filter(|_| !is_alone);
        let mut parts: Vec<(bool, Vec<Part>)> = Vec::new();
        for (at, (outcomes, members)) in groups.into_iter().enumerate() {
            let members: Vec<&Column> = members.into_iter().map(|at| columns[at]).collect();
            let other = (!is_alone).then(|| self.other(sets[at].clone(), rest == Some(at)));
            parts.push((rest == Some(at), self.of_columns(&outcomes, &members, other.as_ref())));
        }
        parts.sort_by_key(|(is_rest, parts)| (*is_rest, parts.iter().map(|part| part.outcome).min()));
        parts.into_iter().flat_map(|(_, parts)| parts).collect()
    }

    /// The parts of some columns to whose packets the same happens.
    fn of_columns(&self, outcomes: &[Outcome], columns: &[&Column], other: Option<&Addresses>) -> Vec<Part> {
        let Some(end) = self.table.divided else { return self.undivided(columns, other) };
        let classes = &self.table.classes;
        let family = self.table.family;
        let of = |members: &[usize]| AddressSet::union_of(members.iter().map(|class| &classes[*class]));
        let texts = |class: usize| columns.iter().map(|column| &self.verdict(column, class).text).collect::<Vec<_>>();
        let is_many = matches!(end, End::Many(_));
        if !is_many && (1..classes.len()).all(|class| outcomes[class] == outcomes[0] && texts(class) == texts(0)) {
            return self.undivided(columns, other);
        }
        let outcomes = grouped(outcomes.iter().copied());
        let sets: Vec<AddressSet> = outcomes.iter().map(|(_, members)| of(members)).collect();
        let rest = largest(&sets, family, |at| outcomes[at].0);
        let is_alone = outcomes.len() == 1;
        let mut parts: Vec<(bool, Part)> = Vec::new();
        for (at, (outcome, members)) in outcomes.iter().enumerate() {
            let is_rest = rest == Some(at);
            let decided = grouped(members.iter().map(|class| texts(*class)));
            let decided: Vec<(&Vec<&String>, AddressSet)> = decided
                .iter()
                .map(|(texts, at)| (texts, of(&at.iter().map(|index| members[*index]).collect::<Vec<_>>())))
                .collect();
            let largest = decided.iter().map(|(_, set)| set.size(family)).fold(0.0, f64::max);
            let is_one = is_alone && decided.len() == 1;
            let mut last = Vec::new();
            let mut listed = Vec::new();
            for (texts, set) in decided {
                let is_last = is_rest && last.is_empty() && set.size(family) >= largest;
                let addresses = self.addresses(set, is_one, is_last);
                let reasons = self.reasons(columns, texts, &addresses);
                if is_last { last.extend(reasons) } else { listed.extend(reasons) }
            }
            listed.extend(last);
            let addresses = Some(self.addresses(sets[at].clone(), is_alone, is_rest));
            parts.push((is_rest, Part { outcome: *outcome, addresses, other: other.cloned(), verdicts: listed }));
        }
        parts.sort_by_key(|(is_rest, part)| (*is_rest, part.outcome));
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// The part of columns whose packets meet the same whatever the address of the divided end is.
    fn undivided(&self, columns: &[&Column], other: Option<&Addresses>) -> Vec<Part> {
        let decided = grouped(columns.iter().map(|column| self.verdict(column, 0)));
        let Some((ClassVerdict { outcome, .. }, _)) = decided.first() else { return Vec::new() };
        let is_alone = decided.len() == 1;
        let all = || self.other(of_columns(columns.iter().copied()), false);
        let other = other.cloned().or_else(|| (!is_alone).then(all));
        let reason = |(verdict, members): &(&ClassVerdict, Vec<usize>)| {
            let own = || self.other(of_columns(members.iter().map(|at| columns[*at])), false);
            Reason { verdict: verdict.text.clone(), addresses: None, other: (!is_alone).then(own) }
        };
        let verdicts = decided.iter().map(reason).collect();
        vec![Part { outcome: *outcome, addresses: None, other, verdicts }]
    }

    /// Why, for some addresses of the divided end: once, or for each of the columns that have reasons of their own.
    fn reasons(&self, columns: &[&Column], texts: &[&String], addresses: &Addresses) -> Vec<Reason> {
        let decided = grouped(texts.iter().copied());
        let is_alone = decided.len() == 1;
        let reason = |(verdict, members): (&String, Vec<usize>)| {
            let other = || self.other(of_columns(members.iter().map(|at| columns[*at])), false);
            let other = (!is_alone).then(other);
            Reason { verdict: verdict.clone(), addresses: Some(addresses.clone()), other }
        };
        decided.into_iter().map(reason).collect()
    }

    /// Some addresses of the divided end, in names.
    fn addresses(&self, set: AddressSet, is_whole: bool, is_rest: bool) -> Addresses {
        let party = if self.table.from { &self.question.from } else { &self.question.to };
        let all = AddressSet::union_of(&self.table.classes);
        let names = match self.table.divided {
            Some(end @ End::OneOf { .. }) => self.of_one(end, &set, &all, is_rest),
            _ if is_whole => vec![everywhere(party, false)],
            _ if is_rest => vec![everywhere(party, true)],
            _ => self.names.parts(&set, &all),
        };
        Addresses { set, names, from: self.table.from }
    }

    /// Some addresses of the other end, in names.
    fn other(&self, set: AddressSet, is_rest: bool) -> Addresses {
        let all = of_columns(&self.table.columns);
        let names = self.of_one(self.table.other, &set, &all, is_rest);
        Addresses { set, names, from: !self.table.from }
    }

    /// Some of the known addresses of an end.
    fn of_one(&self, end: &End, set: &AddressSet, all: &AddressSet, is_rest: bool) -> Vec<String> {
        let whose = || several_addresses::whose(end);
        if set == all {
            return vec![format!("{EVERY}{}", whose())];
        }
        if is_rest && several_addresses::is_told_as_rest(set, self.table.family) {
            return vec![format!("{OTHERS}{}", whose())];
        }
        several_addresses::listed(self.names, set, all, self.table.family)
    }
}

/// All addresses of an end with several.
const EVERY: &str = "every address of ";
/// Those that are left of them.
const OTHERS: &str = "the other addresses of ";

fn of_columns<'a>(columns: impl IntoIterator<Item = &'a Column>) -> AddressSet {
    AddressSet::union_of(columns.into_iter().map(|column| &column.addresses))
}

/// The largest of some sets; of several the one of the last outcome.
fn largest<T: Ord>(sets: &[AddressSet], family: Family, outcome: impl Fn(usize) -> T) -> Option<usize> {
    let key = |at: usize| (sets[at].size(family), outcome(at));
    (0..sets.len()).max_by(|a, b| {
        let (one, other) = (key(*a), key(*b));
        one.0.total_cmp(&other.0).then(one.1.cmp(&other.1))
    })
}

/// All of an end with many addresses, or what is left of it.
fn everywhere(party: &EndSpec, rest: bool) -> String {
    let whole = match party {
        EndSpec::Net(net) => net.to_string(),
        EndSpec::Set(namespace, name) if namespace.is_empty() => format!("set {name}"),
        EndSpec::Set(namespace, name) => format!("set {namespace}/{name}"),
        _ => return if rest { "everywhere else" } else { "everywhere" }.to_owned(),
    };
    if rest { format!("the rest of {whole}") } else { format!("all of {whole}") }
}

/// Puts the rows of a family to those of others: what is the same in both is told once. With reasons those are compared too.
pub(super) fn merge(rows: &mut Vec<Row>, more: Vec<Row>, family: Family, with_reasons: bool) {
    let is_fixed = |part: &Part| part.addresses.is_none() && part.other.is_none();
    let whole = |part: &Part| match part.verdicts.first().filter(|_| is_fixed(part)) {
        Some(reason) => reason.verdict.clone(),
        None => part.text(),
    };
    // Addresses of both ends are pairs, which are not put together with others.
    let tells_both_ends = |row: &Row| row.parts.iter().any(Part::tells_both_ends);
    let contradict = |row: &Row, other: &Row| {
        tells_both_ends(row) || tells_both_ends(other) || with_reasons && contradict(row, other)
    };
    let text = |row: &Row| row.parts.iter().map(whole).collect::<Vec<_>>();
    let last = rows.pop_if(|row| row.what.starts_with("everything"));
    let mut left = Vec::new();
    for row in more {
        let same = |other: &&mut Row| other.what == row.what && text(other) == text(&row) && !contradict(other, &row);
        match rows.iter_mut().find(same) {
            Some(other) => join(other, row, family),
            None => left.push(row),
        }
    }
    let new_last = left.pop_if(|row| row.what.starts_with("everything"));
    rows.append(&mut left);
    match (last, new_last) {
        (Some(mut one), Some(other))
            if one.what == other.what && text(&one) == text(&other) && !contradict(&one, &other) =>
        {
            join(&mut one, other, family);
            rows.push(one);
        }
        (one, other) => rows.extend(one.into_iter().chain(other)),
    }
}

/// Whether one verdict holds everywhere in one family and not in the other, so that their addresses cannot be told together.
fn contradict(row: &Row, other: &Row) -> bool {
    let names = |addresses: &Option<Addresses>| addresses.as_ref().map(|addresses| addresses.names.clone());
    row.parts.iter().zip(&other.parts).any(|(part, other)| {
        part.verdicts.iter().any(|Reason { verdict, addresses, .. }| {
            let same = other.verdicts.iter().find(|one| one.verdict == *verdict);
            let whole = |addresses: &Option<Addresses>| {
                names(addresses).is_some_and(|names| names.iter().any(|name| is_rest(name)))
            };
            let others = same.map(|reason| &reason.addresses);
            others.is_some_and(|others| (whole(addresses) || whole(others)) && names(addresses) != names(others))
        })
    })
}

/// Whether a name means all addresses of an end, or what is left of them.
fn is_rest(name: &str) -> bool {
    ["everywhere", "all of ", "the rest of ", EVERY, OTHERS].iter().any(|start| name.starts_with(start))
}

/// The same row of another family, with its addresses.
fn join(row: &mut Row, other: Row, family: Family) {
    row.families.push(family);
    row.traffic.extend(other.traffic);
    for (part, more) in row.parts.iter_mut().zip(other.parts) {
        unite(&mut part.addresses, more.addresses);
        for reason in more.verdicts {
            match part.verdicts.iter_mut().find(|one| one.verdict == reason.verdict) {
                Some(known) => unite(&mut known.addresses, reason.addresses),
                None => part.verdicts.push(reason),
            }
        }
    }
}

fn unite(known: &mut Option<Addresses>, more: Option<Addresses>) {
    if let (Some(known), Some(more)) = (known, more) {
        known.set = known.set.union(&more.set);
        known.names.extend(more.names.into_iter().filter(|name| !known.names.contains(name)).collect::<Vec<_>>());
    }
}

/// Why nothing is answered, if that is one reason.
pub(super) fn only_reason(rows: &[Row]) -> Option<String> {
    let parts = || rows.iter().flat_map(|row| &row.parts);
    let reasons: BTreeSet<&String> = parts().flat_map(|part| &part.verdicts).map(|reason| &reason.verdict).collect();
    let unanswered = parts().all(|part| part.outcome == Outcome::Unanswered);
    reasons.first().filter(|_| unanswered && reasons.len() == 1).map(|reason| (*reason).clone())
}
