//! Answers of classes, put together into rows.

use std::collections::{BTreeSet, HashMap};

use tortie_classes::{AddressSet, Names, PayloadClass};
use tortie_policy::Family;

use super::{ClassVerdict, OR, Outcome, VerdictTable, grouped};
use crate::payload_text;
use crate::question::{EndSpec, Question};

/// More parts than this are counted, not listed, in text.
const SHOWN: usize = 20;

/// One row: packets of some kind, and what becomes of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `tcp 80,443`, `icmp type 8`, `everything else`.
    pub what: String,
    /// The families that it is about.
    pub families: Vec<Family>,
    /// There is an answer for the other family too, and it is another one.
    pub apart: bool,
    /// Exactly which packets, by family; empty where the question named one kind.
    pub traffic: Vec<(Family, PayloadClass)>,
    /// What becomes of them; several only where an end is many addresses.
    pub parts: Vec<Part>,
}

/// What becomes of the packets of a row from some addresses, or to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What becomes of them.
    pub outcome: Outcome,
    /// The addresses; none where both ends are fixed.
    pub addresses: Option<Addresses>,
    /// By what, each with the addresses that it is for.
    pub verdicts: Vec<(String, Option<Addresses>)>,
}

/// Some of the addresses of an end with many.
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
    /// One line: the row as people read it.
    pub fn line(&self) -> String {
        let family = match self.families.as_slice() {
            [one] if self.apart && !self.what.starts_with("icmp") => format!("{one} "),
            _ => String::new(),
        };
        format!("{family}{}: {}", self.what, self.verdict())
    }

    /// What the line says after the colon.
    pub fn verdict(&self) -> String {
        self.parts.iter().map(Part::text).collect::<Vec<_>>().join("; ")
    }

    /// What decides for which addresses, a line each; nothing where both ends are fixed.
    pub fn reasons(&self) -> Vec<String> {
        let verdicts = self.parts.iter().flat_map(|part| &part.verdicts);
        let reasons: Vec<String> = verdicts
            .filter_map(|(verdict, addresses)| {
                let addresses = addresses.as_ref()?;
                Some(format!("{}: {}", shown(&addresses.names, ""), ways(verdict)))
            })
            .collect();
        let more = reasons.len().saturating_sub(SHOWN);
        let mut lines: Vec<String> = reasons.into_iter().take(SHOWN).collect();
        if more > 0 {
            lines.push(format!("and {more} more; -o json lists all"));
        }
        lines
    }
}

impl Part {
    fn text(&self) -> String {
        match (&self.addresses, self.verdicts.first()) {
            (Some(addresses), _) => {
                let word = if addresses.from { "from" } else { "to" };
                format!("{} {}", self.outcome.word(), shown(&addresses.names, word))
            }
            (None, Some((verdict, _))) => ways(verdict),
            (None, None) => self.outcome.word().to_owned(),
        }
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
    let listed: Vec<String> = names.iter().take(SHOWN).map(|name| format!("{prefix}{name}")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more (-o json lists all)") } else { String::new() };
    listed.join(", ") + &more
}

/// The rows of one family: what is allowed first, what is left last.
pub(super) fn rows(table: &VerdictTable, names: &Names, question: &Question) -> Vec<Row> {
    let column = |payload: usize| table.cells.iter().map(|row| row[payload]).collect::<Vec<usize>>();
    let Some(payloads) = &table.asked else {
        let parts = parts(table, &column(0), names, question);
        return vec![row(table, table.title.clone(), &[], &parts)];
    };
    // Between two fixed ends, and for one protocol and port, rows differ by what decides; else by what becomes of each address.
    let is_asked = !table.title.is_empty();
    let by_outcome = table.addresses.is_some() && !is_asked;
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
    let key = |payload: usize| table.cells.iter().map(|row| alike[row[payload]]).collect::<Vec<usize>>();
    let groups = grouped((0..payloads.len()).map(key));
    if is_asked && groups.len() == 1 {
        let parts = parts(table, &column(0), names, question);
        return vec![row(table, table.title.clone(), &[], &parts)];
    }
    let rest = table.payloads.unnamed();
    let mut rows = Vec::new();
    let mut last = None;
    let single = groups.len() == 1;
    for (_, members) in groups {
        let parts = parts(table, &column(members[0]), names, question);
        let members: Vec<usize> = members.into_iter().map(|column| payloads[column]).collect();
        if members.contains(&rest) {
            let what = if single { "everything" } else { "everything else" };
            last = Some(row(table, what.to_owned(), &members, &parts));
            continue;
        }
        let members: BTreeSet<usize> = members.into_iter().collect();
        let texts = payload_text::texts(&table.payloads, table.family, &members);
        let placed =
            |(what, members): (String, Vec<usize>)| (members.first().copied(), row(table, what, &members, &parts));
        rows.extend(texts.into_iter().map(placed));
    }
    // What is allowed comes first, and then protocol after protocol.
    rows.sort_by_key(|(first, row)| (row.parts.iter().map(|part| part.outcome).min(), *first));
    rows.into_iter().map(|(_, row)| row).chain(last).collect()
}

fn row(table: &VerdictTable, what: String, payloads: &[usize], parts: &[Part]) -> Row {
    let family = table.family;
    let traffic = payloads.iter().map(|class| (family, table.payloads.class(*class))).collect();
    Row { what, families: vec![family], apart: false, traffic, parts: parts.to_vec() }
}

/// What becomes of one payload, by the addresses of the end with many.
fn parts(table: &VerdictTable, cells: &[usize], names: &Names, question: &Question) -> Vec<Part> {
    let verdicts: Vec<&ClassVerdict> = cells.iter().map(|number| &table.verdicts[*number]).collect();
    let Some(classes) = &table.addresses else {
        let ClassVerdict { outcome, text } = verdicts[0].clone();
        return vec![Part { outcome, addresses: None, verdicts: vec![(text, None)] }];
    };
    let family = table.family;
    let all = AddressSet::union_of(classes);
    let of = |members: &[usize]| AddressSet::union_of(members.iter().map(|class| &classes[*class]));
    let outcomes = grouped(verdicts.iter().map(|one| one.outcome));
    let largest = |groups: &[(Outcome, Vec<usize>)]| {
        let sizes = groups.iter().map(|(outcome, members)| (of(members).size(family), *outcome));
        sizes.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, outcome)| outcome)
    };
    let rest = largest(&outcomes);
    let party = if table.from { &question.from } else { &question.to };
    let named = |set: AddressSet, whole: bool, is_rest: bool| {
        let names = match (whole, is_rest) {
            (true, _) => vec![everywhere(party, false)],
            (false, true) => vec![everywhere(party, true)],
            (false, false) => names.parts(&set, &all),
        };
        Addresses { set, names, from: table.from }
    };
    let mut parts: Vec<Part> = outcomes
        .iter()
        .map(|(outcome, members)| {
            let alone = outcomes.len() == 1;
            let is_rest = rest == Some(*outcome);
            let decided = grouped(members.iter().map(|class| &verdicts[*class].text));
            let sets: Vec<(String, AddressSet)> = decided
                .iter()
                .map(|(verdict, at)| {
                    let classes: Vec<usize> = at.iter().map(|index| members[*index]).collect();
                    ((*verdict).clone(), of(&classes))
                })
                .collect();
            let largest = sets.iter().map(|(_, set)| set.size(family)).fold(0.0, f64::max);
            let mut last = Vec::new();
            let mut listed = Vec::new();
            for (verdict, set) in sets {
                let is_last = is_rest && last.is_empty() && set.size(family) >= largest;
                let addresses = Some(named(set, alone && decided.len() == 1, is_last));
                if is_last { last.push((verdict, addresses)) } else { listed.push((verdict, addresses)) }
            }
            listed.extend(last);
            Part { outcome: *outcome, addresses: Some(named(of(members), alone, is_rest)), verdicts: listed }
        })
        .collect();
    parts.sort_by_key(|part| (rest == Some(part.outcome), part.outcome));
    parts
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
    let whole = |part: &Part| match part.verdicts.first().filter(|_| part.addresses.is_none()) {
        Some((verdict, _)) => verdict.clone(),
        None => part.text(),
    };
    let contradict = |row: &Row, other: &Row| with_reasons && contradict(row, other);
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
        part.verdicts.iter().any(|(verdict, addresses)| {
            let same = other.verdicts.iter().find(|(one, _)| one == verdict);
            let whole = |addresses: &Option<Addresses>| {
                names(addresses).is_some_and(|names| names.iter().any(|name| is_rest(name)))
            };
            same.is_some_and(|(_, others)| (whole(addresses) || whole(others)) && names(addresses) != names(others))
        })
    })
}

/// Whether a name means all addresses of an end, or what is left of them.
fn is_rest(name: &str) -> bool {
    ["everywhere", "all of ", "the rest of "].iter().any(|start| name.starts_with(start))
}

/// The same row of another family, with its addresses.
fn join(row: &mut Row, other: Row, family: Family) {
    row.families.push(family);
    row.traffic.extend(other.traffic);
    for (part, more) in row.parts.iter_mut().zip(other.parts) {
        unite(&mut part.addresses, more.addresses);
        for (verdict, addresses) in more.verdicts {
            match part.verdicts.iter_mut().find(|(one, _)| *one == verdict) {
                Some((_, known)) => unite(known, addresses),
                None => part.verdicts.push((verdict, addresses)),
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
    let reasons: BTreeSet<&String> = parts().flat_map(|part| &part.verdicts).map(|(reason, _)| reason).collect();
    let unanswered = parts().all(|part| part.outcome == Outcome::Unanswered);
    reasons.first().filter(|_| unanswered && reasons.len() == 1).map(|reason| (*reason).clone())
}
