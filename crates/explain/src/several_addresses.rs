//! Ends with several addresses of one IP version: whether it makes a difference which of them a packet has.

use tortie_eval::decide;
use tortie_policy::Family;

use crate::interfaces::ASSUMED;
use crate::listed::listed;
use crate::question::Question;
use crate::reach::{self, Asked};
use crate::relevant::{End, Relevance};
use crate::text::hops_decided_by;
use crate::topology::{Location, Topology};
use crate::trace::trace_between;
use crate::unknown_addresses;

/// More addresses of one end are not compared.
const MOST: usize = 64;
/// How many addresses are named.
const SHOWN: usize = 4;

/// What is said of a table where the addresses of a fixed end are not answered alike. `lines` answers for ends of one address.
pub(crate) fn of_table(asked: &Asked<'_, '_>, lines: impl Fn(&Asked<'_, '_>) -> Option<Vec<String>>) -> Vec<String> {
    let ends = [&asked.from, &asked.to];
    let different = |at: usize| {
        different(ends[at], |end| {
            let mut one = asked.clone();
            *(if at == 0 { &mut one.from } else { &mut one.to }) = end;
            lines(&one)
        })
    };
    let (topology, question) = (asked.topology, asked.question);
    let also = taken_in(topology, question, &asked.to, asked.family, |end| lines(&Asked { to: end, ..asked.clone() }));
    [0, 1].into_iter().filter_map(different).chain(also).collect()
}

/// What is said of a single question where the addresses of an end are not answered alike.
pub(crate) fn of_question(topology: &Topology<'_>, question: &Question, [from, to]: [&Location; 2]) -> Vec<String> {
    let of = |location: &Location, family| reach::of_family(topology, &End::Single(location.clone()), family);
    let has_both = |family: &Family| {
        let known = |location| matches!(of(location, *family), Some(End::Single(_)));
        known(from) && known(to) && !reach::excludes(&question.what, *family)
    };
    let Some(family) = [Family::V4, Family::V6].into_iter().find(has_both) else { return Vec::new() };
    let (Some(from), Some(to)) = (of(from, family), of(to, family)) else { return Vec::new() };
    let decided = |from: End, to: End| {
        let traced = trace_between(topology, question, from.location(), to.location(), decide).ok()?;
        Some(traced.answers.iter().map(|(_, hops)| hops_decided_by(topology.snapshot(), hops)).collect::<Vec<_>>())
    };
    let also = taken_in(topology, question, &to, family, |end| match end {
        End::UnknownAddress(..) => {
            let question =
                &Question { what: reach::named(topology, question, &question.what).ok()?, ..question.clone() };
            let asked = Asked { topology, question, what: None, family, from: from.clone(), to: end };
            let relevance = Relevance::new(topology, topology.snapshot(), question);
            let parts = relevance.parts(&asked.from, &asked.to, family);
            let verdict = |ends: &[End; 2]| {
                let (source, destination) = unknown_addresses::of_packet(ends, family)?;
                let traced = asked.trace(source, destination, None, decide).ok()?;
                Some(
                    traced
                        .answers
                        .iter()
                        .map(|(_, hops)| hops_decided_by(topology.snapshot(), hops))
                        .collect::<Vec<_>>(),
                )
            };
            let mut verdicts: Vec<_> = parts.iter().map(verdict).collect::<Option<_>>()?;
            verdicts.dedup();
            Some(verdicts.concat())
        }
        end => decided(from.clone(), end),
    });
    let of_source = different(&from, |one| decided(one, to.clone()));
    of_source.into_iter().chain(different(&to, |one| decided(from.clone(), one))).chain(also).collect()
}

/// What is said where addresses that the target's machine takes in beside those of its interfaces are judged otherwise than the
/// first of these.
fn taken_in<T: PartialEq>(
    topology: &Topology<'_>,
    question: &Question,
    to: &End,
    family: Family,
    answer: impl Fn(End) -> Option<T>,
) -> Option<String> {
    let others = reach::taken_in(topology, question, to, family)?;
    let End::Single(location) = to else { return None };
    let first = answer(End::Single(location.clone().with_addresses(vec![*location.addresses().first()?])))?;
    let nets: Vec<String> = others.addresses().nets().map(|net| net.to_string()).collect();
    (answer(others)? != first).then(|| {
        format!(
            "{ASSUMED}not one of the addresses that {} takes in by its local routes ({}), which are judged otherwise: ask about each by itself",
            location.node().unwrap_or_default(),
            listed(&nets, SHOWN)
        )
    })
}

/// Asks about each address of an end alone. None where all are answered alike, or there is only one.
fn different<T: PartialEq>(end: &End, answer: impl Fn(End) -> Option<T>) -> Option<String> {
    let End::Single(location) = end else { return None };
    let addresses = location.addresses();
    if addresses.len() < 2 {
        return None;
    }
    let mut answers =
        addresses.iter().take(MOST).map(|one| answer(End::Single(location.clone().with_addresses(vec![*one]))));
    let first = answers.next()?;
    let is_different = answers.any(|other| other != first);
    let whose = match location {
        Location::Workload(endpoint) => endpoint.to_string(),
        _ => location.node().unwrap_or_default().to_owned(),
    };
    is_different.then(|| {
        let addresses = listed(addresses, SHOWN);
        format!("{ASSUMED}one of the addresses of {whose} ({addresses}), which are not all judged alike: ask about each by itself")
    })
}
