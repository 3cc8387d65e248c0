//! Ends whose addresses of an IP version are not known, as those of a host endpoint without `expectedIPs` of that version on a
//! machine whose agent was not asked. The interface may have any address that nobody else has, and is judged for each class of
//! them.

use std::collections::HashMap;
use std::net::IpAddr;

use tortie_classes::{AddressSet, Names};
use tortie_policy::Family;

use crate::interfaces::ASSUMED;
use crate::question::EndSpec;
use crate::reach::{self, Asked, ClassVerdict, Outcome, grouped};
use crate::relevant_conditions::End;
use crate::several_addresses::{conditions_text, whose};
use crate::topology::{Location, Topology};

/// Stand for the addresses that are not known, where they are of the class.
const PLACEHOLDERS: [&str; 2] = ["198.18.0.2", "2001:2::2"];

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
pub(crate) fn has_known(end: &End) -> bool {
    let End::OneOf { location, addresses, is_known: false } = end else { return false };
    location.addresses().iter().any(|address| addresses.contains(*address))
}

/// One address of a class: one of the node, where the class has one.
pub(crate) fn representative(location: &Location, addresses: &AddressSet, family: Family) -> Option<IpAddr> {
    let known = location.addresses().iter().copied().find(|one| Family::of(*one) == family && addresses.contains(*one));
    let placeholder = PLACEHOLDERS.iter().filter_map(|text| text.parse().ok()).find(|one| addresses.contains(*one));
    let first = || addresses.first(family);
    known.or(placeholder).or_else(first)
}

/// What is said where addresses stand for those of an end that are not known.
pub(crate) fn note(end: &End, family: Family) -> Option<String> {
    let End::OneOf { location: Location::Process { node, .. }, is_known: false, .. } = end else { return None };
    let whose = whose(end);
    Some(format!(
        "{ASSUMED}{whose} may have any {family} address, since none is known: ask on {node} itself, whose agent knows them, or write them in expectedIPs"
    ))
}

/// Puts the verdicts on packets whose addresses are known together for all addresses of the other end that are not known: each
/// part has all addresses that this end may have, since classes of the known addresses need not divide it alike.
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
    let known = |ends: &[End; 2]| ends.each_ref().map(|end| (!end.has_unknown_address()).then(|| end.addresses()));
    let groups: Vec<Vec<usize>> = grouped(parts.iter().map(known)).into_iter().map(|(_, members)| members).collect();
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
    let whole = |members: &Vec<usize>| {
        let [from, to] = parts[members[0]].clone();
        let of = |asked: &End, part: End| if asked.has_unknown_address() { asked.clone() } else { part };
        [of(&asked.from, from), of(&asked.to, to)]
    };
    (groups.iter().map(whole).collect(), merged)
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
