//! Ends with several addresses of an IP version, known or not: a single question is answered for each class of them that
//! anything in force can distinguish.

use std::net::IpAddr;

use tortie_classes::{AddressSet, Names, enclosed};
use tortie_policy::{EndpointId, Family};

use crate::answer::PossiblePath;
use crate::question::{AskError, Question};
use crate::reach::{self, Asked, grouped, of_family};
use crate::relevant_conditions::{End, Relevance};
use crate::text::hops_decided_by;
use crate::topology::{Location, Topology};
use crate::trace::{Judging, Traced, paths, trace_between, with_judging};
use crate::unknown_addresses;

/// Up to so many known addresses are listed one by one, and no address is told as "another one".
const MAX_SINGLE_ADDRESSES: usize = 4;
/// More parts of a condition than this are counted, not listed.
const MAX_LISTED: usize = 4;
/// A single question is not asked about more classes of addresses than this.
const MAX_CLASSES: usize = 10_000;

/// What a packet comes to, for some of the addresses that the ends may have.
pub(crate) struct Case {
    /// `it goes to 192.0.2.11`, `the IPv6 address of eth0 of db1 is 2001:db8::5`; none where it is the same for all.
    pub(crate) when: Option<String>,
    pub(crate) traced: Traced,
    pub(crate) paths: Vec<PossiblePath>,
}

/// Traces the packet of a single question, for each class of addresses that its ends have or may have, with what that takes
/// for granted.
pub(crate) fn cases(
    topology: &Topology<'_>,
    question: &Question,
    from: Location,
    to: Location,
) -> Result<(Vec<Case>, Vec<String>), AskError> {
    with_judging(topology, [&from, &to], true, |judging| judged_cases(judging, topology, question, &from, &to))
}

fn judged_cases(
    judging: Judging<'_, '_>,
    topology: &Topology<'_>,
    question: &Question,
    from: &Location,
    to: &Location,
) -> Result<(Vec<Case>, Vec<String>), AskError> {
    let alone = || -> Result<Vec<Case>, AskError> {
        let traced = trace_between(topology, question, from.clone(), to.clone(), judging)?;
        let paths = paths(topology.snapshot(), &traced);
        Ok(vec![Case { when: None, traced, paths }])
    };
    let ends = [End::Single(from.clone()), End::Single(to.clone())];
    let Some((family, ends)) = divided(topology, question, &ends) else { return Ok((alone()?, Vec::new())) };
    let what = reach::named(topology, question, &question.what)?;
    let named = Question { what, ..question.clone() };
    let notes = ends.iter().filter_map(|end| unknown_addresses::note(end, family)).collect();
    let is_known = !ends.iter().any(End::has_unknown_address);
    let [source, destination] = ends;
    let asked = Asked { topology, question: &named, what: None, family, from: source, to: destination };
    let fixed = [&asked.from, &asked.to].map(End::location);
    let mut parts = Relevance::new(topology, judging.judge.snapshot(), &named).parts(&asked.from, &asked.to, family);
    parts.retain(|ends| of_packet(ends, family).is_some());
    if parts.len() > MAX_CLASSES {
        return Err(AskError(format!(
            "the rules tell {} kinds of addresses of the ends apart: ask about one address{}",
            parts.len(),
            if is_known { "" } else { ", or write those that are not known in expectedIPs" }
        )));
    }
    if is_known && parts.len() < 2 {
        return Ok((alone()?, notes));
    }
    let mut traced = Vec::new();
    for ends in &parts {
        let Some((source, destination)) = of_packet(ends, family) else { continue };
        let one = asked.trace(source, destination, None, judging)?;
        let paths = paths(topology.snapshot(), &one);
        traced.push((one, paths));
    }
    let verdict = |path: &PossiblePath| (path.when.clone(), hops_decided_by(topology.snapshot(), &path.hops));
    let keys = traced.iter().map(|(_, paths)| paths.iter().map(verdict).collect::<Vec<_>>());
    let mut groups: Vec<Vec<usize>> = grouped(keys).into_iter().map(|(_, members)| members).collect();
    // What the addresses asked about come to is told first.
    let has_first = |part: &usize| {
        let mut ends = parts[*part].iter().zip(&fixed);
        ends.all(|(end, location)| location.addresses().first().is_none_or(|first| end.addresses().contains(*first)))
    };
    groups.sort_by_key(|members| !members.iter().any(has_first));
    if is_known && groups.len() < 2 {
        return Ok((alone()?, notes));
    }
    let texts =
        conditions_text(family, &Names::new(judging.judge.snapshot()), &parts.iter().collect::<Vec<_>>(), &groups);
    let mut traced: Vec<_> = traced.into_iter().map(Some).collect();
    let cases = groups.iter().zip(texts).filter_map(|(members, when)| {
        // An address that the node is known to have stands for others.
        let is_told = |member: &&usize| parts[**member].iter().any(unknown_addresses::has_known);
        let member = members.iter().find(is_told).unwrap_or(&members[0]);
        let (traced, paths) = traced[*member].take()?;
        Some(Case { when, traced, paths })
    });
    Ok((cases.collect(), notes))
}

/// The IP version of a single question, with both ends in it, if an end has several addresses of it, known or not. The version
/// of which both ends have addresses that are known comes first, and IPv4.
fn divided(topology: &Topology<'_>, question: &Question, ends: &[End; 2]) -> Option<(Family, [End; 2])> {
    let what = &question.what;
    let possible = [Family::V4, Family::V6].into_iter().filter(|family| !reach::excludes(what, *family));
    let of = |family| Some((family, of_family(topology, question, ends.each_ref(), family)?));
    let found: Vec<(Family, [End; 2])> = possible.filter_map(of).collect();
    let is_known = |(_, ends): &&(Family, [End; 2])| !ends.iter().any(End::has_unknown_address);
    let known = found.iter().find(is_known).cloned();
    let chosen =
        known.or_else(|| found.into_iter().find(|(family, ends)| !reach::excludes_unknown(what, *family, ends)));
    chosen.filter(|(_, ends)| ends.iter().any(|end| matches!(end, End::OneOf { .. })))
}

/// One source and destination of two ends. No packet goes from an address to itself over the network.
pub(crate) fn of_packet([from, to]: &[End; 2], family: Family) -> Option<(IpAddr, IpAddr)> {
    let chosen = |end: &End, addresses: &AddressSet| match end {
        End::OneOf { location, .. } => unknown_addresses::representative(location, addresses, family),
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

/// `eth0 of db1`, `wep shop/db`, `db1`.
pub(crate) fn whose(end: &End) -> String {
    match end {
        End::OneOf { location: Location::Process { node, interface: Some(interface), .. }, .. } => {
            format!("{interface} of {node}")
        }
        End::Single(Location::Workload(endpoint)) | End::OneOf { location: Location::Workload(endpoint), .. } => {
            EndpointId::Workload(endpoint.id.clone()).for_users()
        }
        End::Single(location) | End::OneOf { location, .. } => location.node().unwrap_or_default().to_owned(),
        End::Many(_) => String::new(),
    }
}

/// Some of the known addresses of an end, in words: `192.0.2.11 or 192.0.2.12`.
pub(crate) fn listed(names: &Names, addresses: &AddressSet, all: &AddressSet, family: Family) -> Vec<String> {
    let singles: Vec<IpAddr> = addresses.singles(family).take(MAX_SINGLE_ADDRESSES + 1).collect();
    if singles.len() > MAX_SINGLE_ADDRESSES {
        return names.parts(addresses, all);
    }
    singles.iter().map(ToString::to_string).collect()
}

/// Whether some of the known addresses of an end are told as what is left of them: where they are too many to list.
pub(crate) fn is_told_as_rest(addresses: &AddressSet, family: Family) -> bool {
    addresses.size(family) > MAX_SINGLE_ADDRESSES as f64
}

/// When each group of parts is the case, by the addresses that differ between them; none for the only group. The group with the
/// most addresses is what is left by the others.
pub(crate) fn conditions_text(
    family: Family,
    names: &Names,
    parts: &[&[End; 2]],
    groups: &[Vec<usize>],
) -> Vec<Option<String>> {
    if groups.len() < 2 {
        return groups.iter().map(|_| None).collect();
    }
    let sides: Vec<Side<'_>> = [0, 1].into_iter().filter_map(|at| Side::new(family, names, parts, at)).collect();
    // Of one end what is left of the others can be said.
    let size = |members: &[usize]| sides.first().map_or(0.0, |side| side.of(members).size(family));
    let rest = (0..groups.len()).max_by(|a, b| size(&groups[*a]).total_cmp(&size(&groups[*b])));
    let rest = rest.filter(|_| sides.len() == 1);
    let said = |members: &[usize], is_rest: bool| -> String {
        sides.iter().filter_map(|side| side.text(members, is_rest)).collect::<Vec<_>>().join(" and ")
    };
    let text = |(index, members): (usize, &Vec<usize>)| {
        if sides.len() == 1 {
            return Some(said(members, rest == Some(index)));
        }
        // Of two ends the combinations are told one by one.
        let mut each: Vec<String> = members.iter().take(MAX_LISTED).map(|member| said(&[*member], false)).collect();
        if members.len() > MAX_LISTED {
            each.push(format!("in {} more cases", members.len() - MAX_LISTED));
        }
        Some(each.join(", or "))
    };
    groups.iter().enumerate().map(text).collect()
}

/// One end of some packets, with its addresses in each part.
struct Side<'a> {
    family: Family,
    names: &'a Names,
    end: &'a End,
    is_source: bool,
    parts: Vec<AddressSet>,
    all: AddressSet,
}

impl<'a> Side<'a> {
    /// None where all parts have the same addresses, or where it is an end that is many addresses.
    fn new(family: Family, names: &'a Names, parts: &[&'a [End; 2]], at: usize) -> Option<Self> {
        let end = parts.iter().map(|ends| &ends[at]).find(|end| matches!(end, End::OneOf { .. }))?;
        let parts: Vec<AddressSet> = parts.iter().map(|ends| ends[at].addresses()).collect();
        let all = AddressSet::union_of(&parts);
        let is_divided = parts.iter().any(|one| *one != all);
        is_divided.then_some(Self { family, names, end, is_source: at == 0, parts, all })
    }

    fn of(&self, members: &[usize]) -> AddressSet {
        AddressSet::union_of(members.iter().map(|part| &self.parts[*part]))
    }

    /// `it goes to 192.0.2.11`, `the IPv6 address of eth0 of db1 is 2001:db8::5`; none where all addresses are meant.
    fn text(&self, members: &[usize], is_rest: bool) -> Option<String> {
        let mine = self.of(members);
        if mine == self.all {
            return None;
        }
        let whose = whose(self.end);
        if self.end.has_unknown_address() {
            let which = if is_rest { "is another one".to_owned() } else { is_in(self.names, &mine, &self.all) };
            return Some(format!("the {} address of {whose} {which}", self.family));
        }
        let verb = if self.is_source { "comes from" } else { "goes to" };
        if is_rest && is_told_as_rest(&mine, self.family) {
            return Some(format!("it {verb} another address of {whose}"));
        }
        Some(format!("it {verb} {}", shown(listed(self.names, &mine, &self.all, self.family))))
    }
}

/// `is 2001:db8::5`, `is in 2001:db8::/64 or set office`.
fn is_in(names: &Names, addresses: &AddressSet, all: &AddressSet) -> String {
    let parts = names.parts(addresses, all);
    if let [one] = parts.as_slice()
        && one.parse::<IpAddr>().is_ok()
    {
        return format!("is {one}");
    }
    format!("is in {}", shown(parts))
}

/// `198.51.100.0/24 or (set office)`.
pub(crate) fn shown(mut parts: Vec<String>) -> String {
    if parts.len() > 1 {
        parts.iter_mut().for_each(|part| *part = enclosed(part));
    }
    if parts.len() > MAX_LISTED {
        let more = parts.len() - MAX_LISTED;
        parts.truncate(MAX_LISTED);
        parts.push(format!("{more} more nets"));
    }
    parts.join(" or ")
}
