//! Which packets are judged otherwise, computed from the classes that the rules of both sides can tell apart.
//!
//! For each way of each endpoint that the change can concern, one packet of each class is judged on both sides. So an answer
//! is about every packet of the way, for new connections; what connection tracking knows already and what other programs
//! translate is not looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use tortie_classes::{AddressSet, Conditions, Domain, Names, Partition, PayloadClass, address};
use tortie_eval::{Builtin, Conntrack, DecidedBy, Packet, Step, Subject, Verdict, judge};
use tortie_policy::packet::{Host, Transport};
use tortie_policy::{Direction, EndpointId, Family, Snapshot};

use crate::affected::Affected;
use crate::cells::Cells;
use crate::part::{Part, Parts};
use crate::traffic;
pub use crate::ways::Reach;
use crate::ways::{EndpointWay, Placed, placed, ways};

/// More packets than this are not judged for one way of an endpoint.
const MOST: usize = 400_000;

/// Packets that are judged otherwise: of some endpoints, one way, and alike in what they carry.
#[derive(Clone, Debug, PartialEq)]
pub struct VerdictChange {
    /// The endpoints, which all have this change.
    pub endpoints: Vec<EndpointId>,
    /// Their way.
    pub reach: Reach,
    /// Whether they are allowed after the change; they were denied before then.
    pub allowed: bool,
    /// The IP versions that the row is about.
    pub families: Vec<Family>,
    /// The endpoints have packets of the other IP version too, and it differs.
    pub apart: bool,
    /// What they carry: `tcp 22,80-90`.
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
    /// What could not be computed.
    pub too_many: Vec<TooMany>,
}

/// A way of an endpoint that has too many classes of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// The way.
    pub reach: Reach,
    /// How many classes.
    pub classes: usize,
}

/// Cells that differ, each a class of sources and one of destinations.
type Pairs = Vec<(usize, usize)>;

/// Where payloads differ, and by what.
#[derive(Default)]
struct Differing {
    pairs: Pairs,
    by: Vec<String>,
}

/// Exactly which packets of one way are judged otherwise.
#[derive(Clone, Debug)]
struct Region {
    family: Family,
    allowed: bool,
    source: AddressSet,
    destination: AddressSet,
    payloads: Vec<PayloadClass>,
    /// All payloads of the family, which tell what `payloads` leaves out.
    all: Vec<PayloadClass>,
    by: Vec<String>,
}

/// The packets that are judged otherwise after a change. `known` is the machine whose interfaces are known; `nowhere` are nodes
/// that do not exist, on which nothing is judged.
pub fn verdicts(before: &Snapshot, after: &Snapshot, known: Option<&Host>, nowhere: &BTreeSet<&str>) -> Verdicts {
    let sides = [before, after];
    let none = sides.map(|side| Conditions::new(side, Domain::default()));
    let names = Names::new(after);
    let mut found = Verdicts::default();
    let mut rows: Vec<VerdictChange> = Vec::new();
    let parts = sides.map(Parts::new);
    for placed in concerned(sides, known, nowhere) {
        let parts = parts.each_ref().map(|parts| parts.judging(&placed.host, &placed.interface));
        for way in ways(&placed, sides) {
            match regions(sides, &parts, &none, &placed, &way) {
                Ok(regions) => rows.extend(change_rows(&placed, &way, &regions, &names)),
                Err(classes) => {
                    let endpoint = placed.endpoint.clone();
                    found.too_many.push(TooMany { endpoint, reach: way.reach, classes });
                }
            }
        }
    }
    found.changes = together(rows);
    found
}

/// The endpoints that may be judged otherwise. Of all others no packet is judged.
fn concerned(sides: [&Snapshot; 2], known: Option<&Host>, nowhere: &BTreeSet<&str>) -> Vec<Placed> {
    let affected = Affected::new(sides);
    let mut found = placed(sides, known, |node| affected.is_node(node) && !nowhere.contains(node));
    found.retain(|placed| affected.is(placed));
    found
}

/// Where the two sides differ on one way; or how many classes are too many. `none` are conditions of each side, to begin with; packets
/// are judged by the parts.
fn regions(
    sides: [&Snapshot; 2],
    parts: &[Part; 2],
    none: &[Conditions<'_>; 2],
    placed: &Placed,
    way: &EndpointWay,
) -> Result<Vec<Region>, usize> {
    let conditions = [0, 1].map(|at| conditions(sides[at], &none[at], &placed.governors[at], placed, way));
    let mut regions = Vec::new();
    for family in [Family::V4, Family::V6].into_iter().filter(|family| way.has(*family)) {
        let (source, destination) = (way.source.family(family), way.destination.family(family));
        let [before, after] = conditions.each_ref().map(|conditions| conditions.classes(family));
        let mut cells = Cells::new(source, destination, &before, &after);
        // It is about new connections.
        cells.payloads.retain(|class| class.begins_connections(family));
        if cells.count() > MOST {
            return Err(cells.count());
        }
        regions.extend(of_cells(parts, way, family, &cells));
    }
    Ok(regions)
}

/// What can tell packets of a way apart on one side.
fn conditions<'a>(
    side: &Snapshot,
    none: &Conditions<'a>,
    governors: &[Subject],
    placed: &Placed,
    way: &EndpointWay,
) -> Conditions<'a> {
    let domain = Domain { source: way.source.clone(), destination: way.destination.clone(), ..Domain::default() };
    let node = &placed.host.node;
    let mut conditions = none.again(domain);
    conditions.add_settings(side.settings(node));
    conditions.add_floating(node);
    for subject in governors {
        conditions.add_endpoint(subject, &[Direction::Ingress, Direction::Egress]);
    }
    if let EndpointId::Workload(id) = &placed.endpoint {
        side.workload_endpoints.get(id).into_iter().for_each(|one| conditions.add_source_check(one));
    }
    conditions
}

/// What differs, by what packets carry: payloads that differ at the same places are one region.
fn of_cells(parts: &[Part; 2], way: &EndpointWay, family: Family, cells: &Cells) -> Vec<Region> {
    // One address of each class.
    let addresses = |partition: &Partition| -> Vec<IpAddr> {
        (0..partition.len()).map(|class| address(family, partition.representative(class))).collect()
    };
    let (sources, destinations) = (addresses(&cells.sources), addresses(&cells.destinations));
    // By payload and new verdict: the pairs of places.
    let mut found: BTreeMap<(bool, Pairs), (Vec<usize>, Vec<String>)> = BTreeMap::new();
    for (number, payload) in cells.payloads.iter().enumerate() {
        let (protocol, transport) = payload.representative();
        let mut differing: [Differing; 2] = Default::default();
        for (s, source) in sources.iter().enumerate() {
            for (d, destination) in destinations.iter().enumerate() {
                let packet = Packet { source: *source, destination: *destination, protocol, transport, ..new(way) };
                let [before, after] = parts.each_ref().map(|part| judge(&part.snapshot, &part.host, &packet));
                if before.allowed != after.allowed {
                    let Differing { pairs, by } = &mut differing[usize::from(after.allowed)];
                    pairs.push((s, d));
                    let reason = reason(&after);
                    if !by.contains(&reason) {
                        by.push(reason);
                    }
                }
            }
        }
        for (allowed, Differing { pairs, by }) in [false, true].into_iter().zip(differing) {
            if pairs.is_empty() {
                continue;
            }
            let (payloads, known) = found.entry((allowed, pairs)).or_default();
            payloads.push(number);
            known.extend(by.into_iter().filter(|one| !known.contains(one)).collect::<Vec<_>>());
        }
    }
    let set = |partition: &Partition, at: &[usize]| {
        AddressSet::union_of(
            &at.iter().map(|at| AddressSet::of_family(family, partition.class(*at).clone())).collect::<Vec<_>>(),
        )
    };
    let mut regions = Vec::new();
    for ((allowed, pairs), (payloads, by)) in found {
        let payloads: Vec<PayloadClass> = payloads.into_iter().map(|at| cells.payloads[at].clone()).collect();
        for (near, far) in rectangles(&pairs, way.reach.is_inward()) {
            let (source, destination) = match way.reach.is_inward() {
                true => (set(&cells.sources, &far), set(&cells.destinations, &near)),
                false => (set(&cells.sources, &near), set(&cells.destinations, &far)),
            };
            regions.push(Region {
                family,
                allowed,
                source,
                destination,
                payloads: payloads.clone(),
                all: cells.payloads.clone(),
                by: by.clone(),
            });
        }
    }
    regions
}

/// Pairs of source and destination as rectangles: near ends that have the same far ends.
fn rectangles(pairs: &[(usize, usize)], inward: bool) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut by_near: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (source, destination) in pairs {
        let (near, far) = if inward { (destination, source) } else { (source, destination) };
        by_near.entry(*near).or_default().push(*far);
    }
    let mut by_far: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
    for (near, far) in by_near {
        by_far.entry(far).or_default().push(near);
    }
    by_far.into_iter().map(|(far, near)| (near, far)).collect()
}

/// A new packet of this way; its addresses and what it carries are put in.
fn new(way: &EndpointWay) -> Packet {
    let any = IpAddr::from([0, 0, 0, 0]);
    Packet {
        source: any,
        destination: any,
        protocol: 6,
        transport: Transport::Opaque,
        way: way.way.clone(),
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: 64,
    }
}

/// What decided, in words.
fn reason(verdict: &Verdict) -> String {
    // What an earlier stage has accepted was decided there.
    let decides =
        |step: &&Step| !matches!(step.decision.by, DecidedBy::Nothing | DecidedBy::Builtin(Builtin::AcceptedBefore));
    let Some(step) = verdict.path.iter().rev().find(decides) else {
        let is_governed = verdict.path.iter().any(|step| step.endpoint.is_some());
        return if is_governed { "no rule denies it" } else { "no tortie endpoint applies" }.to_owned();
    };
    match &step.decision.by {
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

/// The rows of one way of an endpoint.
fn change_rows(placed: &Placed, way: &EndpointWay, regions: &[Region], names: &Names) -> Vec<VerdictChange> {
    let mut rows: Vec<VerdictChange> = Vec::new();
    for region in regions {
        let (far, all) = match way.reach.is_inward() {
            true => (&region.source, &way.source),
            false => (&region.destination, &way.destination),
        };
        let all = AddressSet::of_family(region.family, all.family(region.family).clone());
        let (near, whole) = match way.reach.is_inward() {
            true => (&region.destination, &way.destination),
            false => (&region.source, &way.source),
        };
        let whole = AddressSet::of_family(region.family, whole.family(region.family).clone());
        let mut others = places(names, far, &all);
        if *near != whole {
            let side = if way.reach.is_inward() { "to" } else { "from" };
            let near = places(names, near, &whole).join(", ");
            others.iter_mut().for_each(|other| *other += &format!(" ({side} {near})"));
        }
        let row = VerdictChange {
            endpoints: vec![placed.endpoint.clone()],
            reach: way.reach,
            allowed: region.allowed,
            families: vec![region.family],
            apart: [Family::V4, Family::V6].into_iter().all(|family| way.has(family)),
            traffic: traffic::text(region.family, &region.payloads, &region.all),
            others,
            by: region.by.clone(),
        };
        match rows.iter_mut().find(|known| is_same(known, &row)) {
            Some(known) => known
                .families
                .extend(row.families.into_iter().filter(|one| !known.families.contains(one)).collect::<Vec<_>>()),
            None => rows.push(row),
        }
    }
    rows.iter_mut().for_each(|row| row.apart &= row.families.len() == 1);
    rows
}

/// Addresses in names; most of all addresses by what is left out.
fn places(names: &Names, some: &AddressSet, all: &AddressSet) -> Vec<String> {
    if some == all {
        return vec!["everywhere".to_owned()];
    }
    let rest = all.minus(some);
    let parts = names.parts(some, all);
    let is_most = |family| some.size(family) > rest.size(family);
    if is_most(Family::V4) || is_most(Family::V6) {
        let left = names.parts(&rest, all);
        if left.len() <= parts.len() {
            return vec![format!("everywhere except {}", left.join(", "))];
        }
    }
    parts
}

/// Whether two rows say the same of whatever they are about.
fn is_same(one: &VerdictChange, other: &VerdictChange) -> bool {
    let key = |row: &VerdictChange| (row.reach, row.allowed, row.traffic.clone(), row.others.clone(), row.by.clone());
    key(one) == key(other)
}

/// Endpoints with the same rows are told together.
fn together(rows: Vec<VerdictChange>) -> Vec<VerdictChange> {
    let mut order: Vec<EndpointId> = Vec::new();
    let mut of: HashMap<String, Vec<VerdictChange>> = HashMap::new();
    for row in rows {
        let Some(endpoint) = row.endpoints.first().cloned() else { continue };
        let known = of.entry(endpoint.to_string()).or_insert_with(|| {
            order.push(endpoint);
            Vec::new()
        });
        // Of an endpoint on several interfaces the same is told once.
        if !known.iter().any(|one| is_same(one, &row) && one.families == row.families) {
            known.push(row);
        }
    }
    let mut groups: Vec<(Vec<EndpointId>, Vec<VerdictChange>)> = Vec::new();
    for endpoint in order {
        let Some(rows) = of.remove(&endpoint.to_string()) else { continue };
        let same = |known: &[VerdictChange]| {
            known.len() == rows.len() && known.iter().zip(&rows).all(|(a, b)| is_same(a, b) && a.families == b.families)
        };
        match groups.iter_mut().find(|(_, known)| same(known)) {
            Some((endpoints, _)) => endpoints.push(endpoint),
            None => groups.push((vec![endpoint], rows)),
        }
    }
    let group = |(endpoints, rows): (Vec<EndpointId>, Vec<VerdictChange>)| {
        rows.into_iter().map(move |row| VerdictChange { endpoints: endpoints.clone(), ..row }).collect::<Vec<_>>()
    };
    groups.into_iter().flat_map(group).collect()
}

#[cfg(test)]
mod tests;
