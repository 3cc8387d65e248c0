//! Ends whose addresses of an IP version are not known, as those of a host endpoint without `expectedIPs` of that version on a
//! machine whose agent was not asked. The interface may have any address that nobody else has, and is judged for each class of
//! them.

use std::collections::HashMap;
use std::net::IpAddr;

use tortie_classes::{AddressSet, Names};
use tortie_eval::judge;
use tortie_policy::Family;

use crate::interfaces::ASSUMED;
use crate::question::{AskError, EndSpec, Question, What};
use crate::reach::{self, Asked, ClassVerdict, Outcome, grouped, of_family};
use crate::relevant::{End, Relevance};
use crate::text::hops_decided_by;
use crate::topology::{Location, Topology};
use crate::trace::{PossiblePath, Traced, paths, trace_between, with_new_workloads};

/// Stand for the addresses that are not known, where they are of the class.
const PLACEHOLDERS: [&str; 2] = ["198.18.0.2", "2001:2::2"];
/// More parts of a condition than this are counted, not listed.
const SHOWN: usize = 4;
/// A single question is not asked about more addresses than this.
const MOST: usize = 10_000;

/// The addresses that a process may have of which none is known: all that cross the network and that nobody else has.
pub(crate) fn possible(topology: &Topology<'_>) -> AddressSet {
    let all = reach::remote(topology, &EndSpec::Any).unwrap_or_default();
    all.minus(&AddressSet::of(topology.owners().keys()))
}

/// The addresses that an end may have of which none is known: those, and what others of its node have. Packets to these may come
/// in by its interface too, and an address that is known of the node alone may be this interface's.
pub(crate) fn possible_at(topology: &Topology<'_>, location: &Location) -> AddressSet {
    possible(topology).union(&AddressSet::of(location.addresses()))
}

/// Whether some of the addresses that an end may have are known to be of its node.
fn has_known(end: &End) -> bool {
    let End::UnknownAddress(location, addresses) = end else { return false };
    location.addresses().iter().any(|address| addresses.contains(*address))
}

/// One address of a class: one of the node, where the class has one.
fn representative(location: &Location, addresses: &AddressSet, family: Family) -> Option<IpAddr> {
    let known = location.addresses().iter().copied().find(|one| Family::of(*one) == family && addresses.contains(*one));
    let placeholder = PLACEHOLDERS.iter().filter_map(|text| text.parse().ok()).find(|one| addresses.contains(*one));
    let first = || addresses.first(family);
    known.or(placeholder).or_else(first)
}

/// What is said where addresses stand for those of an end that are not known.
pub(crate) fn note(end: &End, family: Family) -> Option<String> {
    let End::UnknownAddress(Location::Process { node, unknown, .. }, _) = end else { return None };
    let whose = whose(end);
    unknown.contains(&family).then(|| format!(
        "{ASSUMED}{whose} may have any {family} address, since none is known: ask on {node} itself, whose agent knows them, or write them in expectedIPs"
    ))
}

/// `eth0 of db1`.
fn whose(end: &End) -> String {
    match end {
        End::UnknownAddress(Location::Process { node, interface: Some(interface), .. }, _) => {
            format!("{interface} of {node}")
        }
        End::Single(location) | End::UnknownAddress(location, _) => location.node().unwrap_or_default().to_owned(),
        End::Many(_) => String::new(),
    }
}

/// What a packet comes to, for some of the addresses that the ends may have.
pub(crate) struct Case {
    /// `the IPv6 address of eth0 of db1 is 2001:db8::5`; none where it is the same for all.
    pub(crate) when: Option<String>,
    pub(crate) traced: Traced,
    pub(crate) paths: Vec<PossiblePath>,
}

/// Traces the packet of a single question, for each class of addresses that its ends may have, with what that takes for
/// granted.
pub(crate) fn cases(
    topology: &Topology<'_>,
    question: &Question,
    from: Location,
    to: Location,
) -> Result<(Vec<Case>, Vec<String>), AskError> {
    let ends = [End::Single(from), End::Single(to)];
    let Some((family, from, to)) = unknown_family(topology, &question.what, &ends) else {
        let [End::Single(from), End::Single(to)] = ends else { return Ok((Vec::new(), Vec::new())) };
        let traced = trace_between(topology, question, from, to, judge)?;
        let paths = paths(topology.snapshot(), &traced);
        return Ok((vec![Case { when: None, traced, paths }], Vec::new()));
    };
    let what = reach::named(topology, question, &question.what)?;
    let question = &Question { what, ..question.clone() };
    let asked = Asked { topology, question, what: None, family, from, to };
    let fixed = [&asked.from, &asked.to].map(End::location);
    let snapshot = with_new_workloads(topology, [&fixed[0], &fixed[1]]);
    let mut parts = Relevance::new(topology, &snapshot, question).parts(&asked.from, &asked.to, family);
    parts.retain(|ends| of_packet(ends, family).is_some());
    if parts.len() > MOST {
        return Err(AskError(format!(
            "the rules tell {} kinds of addresses of the ends apart, which are not known: write them in expectedIPs",
            parts.len()
        )));
    }
    let mut traced = Vec::new();
    for ends in &parts {
        let Some((source, destination)) = of_packet(ends, family) else { continue };
        let one = asked.trace(source, destination, None, judge)?;
        let paths = paths(topology.snapshot(), &one);
        traced.push((one, paths));
    }
    let verdict = |path: &PossiblePath| (path.when.clone(), hops_decided_by(topology.snapshot(), &path.hops));
    let keys = traced.iter().map(|(_, paths)| paths.iter().map(verdict).collect::<Vec<_>>());
    let groups: Vec<Vec<usize>> = grouped(keys).into_iter().map(|(_, members)| members).collect();
    let texts = conditions_text(family, &Names::new(&snapshot), &parts.iter().collect::<Vec<_>>(), &groups);
    let mut traced: Vec<_> = traced.into_iter().map(Some).collect();
    let cases = groups.iter().zip(texts).filter_map(|(members, when)| {
        // An address that the node is known to have stands for others.
        let member = members.iter().find(|member| parts[**member].iter().any(has_known)).unwrap_or(&members[0]);
        let (traced, paths) = traced[*member].take()?;
        Some(Case { when, traced, paths })
    });
    let cases = cases.collect();
    let notes = [&asked.from, &asked.to].into_iter().filter_map(|end| note(end, family)).collect();
    Ok((cases, notes))
}

/// The IP version of a single question, with both ends in it, if an end's addresses of it are not known. The version of which
/// both ends have addresses that are known comes first.
fn unknown_family(topology: &Topology<'_>, what: &What, ends: &[End; 2]) -> Option<(Family, End, End)> {
    let of = |family| Some([of_family(topology, &ends[0], family)?, of_family(topology, &ends[1], family)?]);
    let possible = [Family::V4, Family::V6].into_iter().filter(|family| !reach::excludes(what, *family));
    let found: Vec<(Family, [End; 2])> = possible.filter_map(|family| Some((family, of(family)?))).collect();
    if found.iter().any(|(_, ends)| !ends.iter().any(End::has_unknown_address)) {
        return None;
    }
    let (family, [from, to]) =
        found.into_iter().find(|(family, ends)| !reach::excludes_unknown(what, *family, ends))?;
    Some((family, from, to))
}

/// One source and destination of two ends. No packet goes from an address to itself over the network.
pub(crate) fn of_packet([from, to]: &[End; 2], family: Family) -> Option<(IpAddr, IpAddr)> {
    let chosen = |end: &End, addresses: &AddressSet| match end {
        End::UnknownAddress(location, _) => representative(location, addresses, family),
        _ => addresses.first(family),
    };
    let source = chosen(from, &from.addresses())?;
    if !from.has_unknown_address() && !to.has_unknown_address() {
        return Some((source, chosen(to, &to.addresses())?));
    }
    let destinations = to.addresses();
    let others = chosen(to, &destinations.minus(&AddressSet::of([&source])));
    // Where it is the only destination, there may be another source.
    let Some(destination) = others else {
        let destination = chosen(to, &destinations)?;
        return Some((chosen(from, &from.addresses().minus(&AddressSet::of([&destination])))?, destination));
    };
    Some((source, destination))
}

/// Puts the verdicts on an end that is many addresses, or on two fixed ends, together for all addresses that are not known.
pub(crate) fn together(
    asked: &Asked<'_, '_>,
    names: &Names,
    parts: Vec<[End; 2]>,
    cells: Vec<Vec<usize>>,
    verdicts: &mut Vec<ClassVerdict>,
) -> (Vec<[End; 2]>, Vec<Vec<usize>>) {
    if !asked.from.has_unknown_address() && !asked.to.has_unknown_address() {
        return (parts, cells);
    }
    let many = |ends: &[End; 2]| ends.iter().find(|end| matches!(end, End::Many(_))).map(End::addresses);
    let groups: Vec<Vec<usize>> = grouped(parts.iter().map(many)).into_iter().map(|(_, members)| members).collect();
    let mut known: HashMap<(Vec<usize>, Vec<usize>), usize> = HashMap::new();
    let mut merged = Vec::new();
    for members in &groups {
        let columns = cells.get(members[0]).map_or(0, Vec::len);
        let of_column = |column: usize| -> Vec<usize> { members.iter().map(|member| cells[*member][column]).collect() };
        let mut together = |numbers: Vec<usize>| {
            let key = (members.clone(), numbers.clone());
            *known.entry(key).or_insert_with(|| {
                let parts: Vec<&[End; 2]> = members.iter().map(|member| &parts[*member]).collect();
                let of = numbers.iter().map(|number| verdicts[*number].clone());
                let verdict = by_address(asked.family, names, &parts, of);
                verdicts.iter().position(|one| *one == verdict).unwrap_or_else(|| {
                    verdicts.push(verdict);
                    verdicts.len() - 1
                })
            })
        };
        merged.push((0..columns).map(|column| together(of_column(column))).collect());
    }
    (groups.iter().map(|members| parts[members[0]].clone()).collect(), merged)
}

/// What becomes of some packets, by the addresses that are not known.
fn by_address(
    family: Family,
    names: &Names,
    parts: &[&[End; 2]],
    verdicts: impl Iterator<Item = ClassVerdict>,
) -> ClassVerdict {
    let (mut verdicts, groups): (Vec<ClassVerdict>, Vec<Vec<usize>>) = grouped(verdicts).into_iter().unzip();
    if let Some(unanswered) = verdicts.iter().find(|verdict| verdict.outcome == Outcome::Unanswered) {
        return unanswered.clone();
    }
    if verdicts.len() == 1 {
        return verdicts.remove(0);
    }
    let first = verdicts[0].outcome;
    let is_alike = verdicts.iter().all(|verdict| verdict.outcome == first);
    let conditions = conditions_text(family, names, parts, &groups);
    let with_condition = |(verdict, when): (ClassVerdict, Option<String>)| match when {
        Some(when) => format!("{} if {when}", verdict.text),
        None => verdict.text,
    };
    let texts: Vec<String> = verdicts.into_iter().zip(conditions).map(with_condition).collect();
    ClassVerdict { outcome: if is_alike { first } else { Outcome::DependsOnAddress }, text: texts.join("; ") }
}

/// When each group of parts is the case, by the addresses that are not known; none for the only group. The group with the most
/// addresses is what is left by the others.
fn conditions_text(family: Family, names: &Names, parts: &[&[End; 2]], groups: &[Vec<usize>]) -> Vec<Option<String>> {
    if groups.len() < 2 {
        return groups.iter().map(|_| None).collect();
    }
    // Of each end whose address is not known: its addresses in each part.
    let side = |at: usize| -> Option<(&End, Vec<AddressSet>)> {
        let end = parts.iter().map(|ends| &ends[at]).find(|end| end.has_unknown_address())?;
        Some((end, parts.iter().map(|ends| ends[at].addresses()).collect()))
    };
    let sides: Vec<(&End, Vec<AddressSet>)> = [0, 1].into_iter().filter_map(side).collect();
    let of = |addresses: &[AddressSet], members: &[usize]| {
        AddressSet::union_of(members.iter().map(|choice| &addresses[*choice]))
    };
    // Of one end what is left of the others can be said.
    let size = |members: &[usize]| sides.first().map_or(0.0, |side| of(&side.1, members).size(family));
    let rest = (0..groups.len()).max_by(|a, b| size(&groups[*a]).total_cmp(&size(&groups[*b])));
    let rest = rest.filter(|_| sides.len() == 1);
    let said = |members: &[usize], is_rest: bool| -> String {
        let one = |(end, addresses): &(&End, Vec<AddressSet>)| {
            let (all, mine) = (AddressSet::union_of(addresses), of(addresses, members));
            let which = if is_rest { "is another one".to_owned() } else { is_in(names, &mine, &all) };
            (mine != all).then(|| format!("the {} address of {} {which}", family, whose(end)))
        };
        sides.iter().filter_map(one).collect::<Vec<_>>().join(" and ")
    };
    let text = |(index, members): (usize, &Vec<usize>)| {
        if sides.len() == 1 {
            return Some(said(members, rest == Some(index)));
        }
        // Of two ends the combinations are told one by one.
        let mut each: Vec<String> = members.iter().take(SHOWN).map(|member| said(&[*member], false)).collect();
        if members.len() > SHOWN {
            each.push(format!("in {} more cases", members.len() - SHOWN));
        }
        Some(each.join(", or "))
    };
    groups.iter().enumerate().map(text).collect()
}

/// `is 2001:db8::5`, `is in 2001:db8::/64 or set office`.
fn is_in(names: &Names, addresses: &AddressSet, all: &AddressSet) -> String {
    let parts = names.parts(addresses, all);
    if let [one] = parts.as_slice()
        && one.parse::<IpAddr>().is_ok()
    {
        return format!("is {one}");
    }
    let mut shown: Vec<String> = parts.iter().take(SHOWN).cloned().collect();
    if parts.len() > SHOWN {
        shown.push(format!("{} more nets", parts.len() - SHOWN));
    }
    format!("is in {}", shown.join(" or "))
}
