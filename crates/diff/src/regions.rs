//! Exactly which packets of one way of an endpoint are judged otherwise.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use tortie_classes::{AddressSet, Classes, Conditions, Domain, PacketClass, Partition, TransportClass};
use tortie_eval::{Conntrack, Packet, PolicyList, usual_hop_limit, workload_endpoint};
use tortie_policy::packet::Transport;
use tortie_policy::{Direction, Family};

use crate::align::Changed;
use crate::applied::Side;
use crate::decisions::Decisions;
use crate::endpoint_paths::{EndpointPath, OTHER, PlacedEndpoint};
use crate::fault;
use crate::packet_classes::Cells;
use crate::reduced_snapshot::ReducedSnapshot;
use crate::walk_facts::WalkFacts;

/// More packets than this are not judged for one way of an endpoint.
const MAX_PACKETS: usize = 20_000_000;

/// Cells that differ, each a class of sources and one of destinations.
type Pairs = Vec<(usize, usize)>;

/// Where transports differ, and by what.
#[derive(Default)]
struct Differing {
    pairs: Pairs,
    by: Vec<String>,
}

/// Exactly which packets of one way are judged otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    pub(crate) family: Family,
    pub(crate) allowed: bool,
    pub(crate) source: AddressSet,
    pub(crate) destination: AddressSet,
    pub(crate) transports: Vec<TransportClass>,
    /// All transports of the family, which tell what `transports` leaves out.
    pub(crate) all: Rc<[TransportClass]>,
    pub(crate) by: Vec<String>,
}

/// Where the two sides differ on one way; or how many classes are too many. `parts` and `facts` are of the interface, of each side.
pub(crate) fn regions(
    sides: &mut [Side<'_>; 2],
    parts: &[ReducedSnapshot; 2],
    facts: &[WalkFacts; 2],
    placed: &PlacedEndpoint,
    path: &EndpointPath,
) -> Result<Vec<Region>, usize> {
    let mut regions = Vec::new();
    for family in [Family::V4, Family::V6].into_iter().filter(|family| path.has(*family)) {
        let changed = changed(sides, facts, path, family);
        let source = path.source.family(family).intersection(&changed.source);
        let destination = path.destination.family(family).intersection(&changed.destination);
        if source.is_empty() || destination.is_empty() {
            continue;
        }
        let [source, destination] = [source, destination].map(|ranges| AddressSet::of_family(family, ranges));
        let domain = Domain { source, destination, ..Domain::default() };
        let mut fine: Option<Conditions<'_>> = None;
        let mut coarse = Vec::new();
        for ((side, part), facts) in sides.iter_mut().zip(parts).zip(facts) {
            let mut conditions = of_stages(side, part, &domain, placed);
            coarse.push(conditions.classes(family));
            for (number, lists) in facts.subjects() {
                for (list, direction) in asked(lists, facts.directions(&path.packet_path)) {
                    let sequence = side.sequence(number, list, direction, family);
                    let products = sequence.items.iter().flat_map(|item| item.products.iter());
                    products.for_each(|product| conditions.add_product(product, family));
                }
            }
            match &mut fine {
                Some(fine) => fine.add_all_of(&conditions),
                None => fine = Some(conditions),
            }
        }
        let (Some(fine), [before, after]) = (fine, &coarse[..]) else { continue };
        let cells = Cells::new(fine.classes(family), &changed);
        if cells.count() > MAX_PACKETS {
            return Err(cells.count());
        }
        regions.extend(of_cells(sides, parts, path, family, &cells, [before, after]));
    }
    Ok(regions)
}

/// The packets of a way that can be judged otherwise: of all others no packet is judged.
fn changed(sides: &mut [Side<'_>; 2], facts: &[WalkFacts; 2], path: &EndpointPath, family: Family) -> Changed {
    let [before, after] = facts;
    let same_nodes = sides[0].snapshot.nodes == sides[1].snapshot.nodes;
    let leads_alike = before.leads_alike(after, sides.each_ref()) || fault("diff-stages-alike");
    if !same_nodes || !leads_alike {
        return Changed::everything(family);
    }
    let mut changed = Changed::default();
    for ((was, lists), (is, _)) in before.subjects().zip(after.subjects()) {
        for (list, direction) in asked(lists, after.directions(&path.packet_path)) {
            let [one, other] = sides;
            let before = one.sequence(was, list, direction, family);
            let after = other.sequence(is, list, direction, family);
            changed.add_rule_sequences(&before, &after);
        }
    }
    // Rules see destinations after translation.
    if !after.floating.is_empty() && !changed.destination.is_empty() && !fault("diff-untranslated") {
        changed.destination = AddressSet::all().family(family).clone();
    }
    changed
}

fn asked(lists: &[PolicyList], directions: &[Direction]) -> impl Iterator<Item = (PolicyList, Direction)> {
    lists.iter().flat_map(|list| directions.iter().map(|direction| (*list, *direction)))
}

/// What settings and endpoints tell apart on one side, whatever the rules are.
fn of_stages<'a>(side: &Side<'a>, part: &ReducedSnapshot, domain: &Domain, placed: &PlacedEndpoint) -> Conditions<'a> {
    let node = &placed.host.node;
    let mut conditions = side.none.again(domain.clone());
    conditions.add_settings(side.snapshot.settings(node));
    conditions.add_floating(node);
    for interface in [&placed.interface, OTHER] {
        let endpoint = workload_endpoint(&part.snapshot, &part.host, interface);
        endpoint.into_iter().for_each(|one| conditions.add_source_check(one));
    }
    conditions
}

/// What differs, by transport: transports that differ at the same places are one region.
fn of_cells(
    sides: &mut [Side<'_>; 2],
    parts: &[ReducedSnapshot; 2],
    path: &EndpointPath,
    family: Family,
    cells: &Cells,
    stages: [&Classes; 2],
) -> Vec<Region> {
    let (sources, destinations): (Vec<IpAddr>, Vec<IpAddr>) =
        (cells.source_addresses(family).collect(), cells.destination_addresses(family).collect());
    let [one, other] = sides;
    let mut before = Decisions::new(one, &parts[0], family, cells, stages[0]);
    let mut after = Decisions::new(other, &parts[1], family, cells, stages[1]);
    // By new verdict and places: the transports, and what decides.
    let mut found: BTreeMap<(bool, Pairs), (Vec<usize>, Vec<String>)> = BTreeMap::new();
    for (judged, number) in cells.judged.iter().enumerate() {
        let (protocol, transport) = cells.transports[*number].representative();
        let mut differing: [Differing; 2] = Default::default();
        for (source, from) in sources.iter().enumerate() {
            for (destination, to) in destinations.iter().enumerate() {
                let cell = PacketClass { source, destination, transport: judged };
                let packet = || Packet { source: *from, destination: *to, ..new(path, protocol, transport) };
                let was = before.decide(cell, &packet);
                let is = after.decide(cell, &packet);
                if was.allowed != is.allowed {
                    let Differing { pairs, by } = &mut differing[usize::from(is.allowed)];
                    pairs.push((source, destination));
                    let reason = after.reason(&is, &packet);
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
            let (transports, known) = found.entry((allowed, pairs)).or_default();
            transports.push(*number);
            known.extend(by.into_iter().filter(|one| !known.contains(one)).collect::<Vec<_>>());
        }
    }
    let set = |partition: &Partition, at: &[usize]| {
        AddressSet::union_of(
            &at.iter().map(|at| AddressSet::of_family(family, partition.class(*at).clone())).collect::<Vec<_>>(),
        )
    };
    let all: Rc<[TransportClass]> = cells.transports.clone().into();
    let mut regions = Vec::new();
    for ((allowed, pairs), (transports, by)) in found {
        let transports: Vec<TransportClass> = transports.into_iter().map(|at| cells.transports[at].clone()).collect();
        for (near, far) in rectangles(&pairs, path.reach.is_inward()) {
            let (source, destination) = match path.reach.is_inward() {
                true => (set(&cells.sources, &far), set(&cells.destinations, &near)),
                false => (set(&cells.sources, &near), set(&cells.destinations, &far)),
            };
            let (transports, all, by) = (transports.clone(), all.clone(), by.clone());
            regions.push(Region { family, allowed, source, destination, transports, all, by });
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

/// A new packet of this way; its addresses are put in.
pub(crate) fn new(path: &EndpointPath, protocol: u8, transport: Transport) -> Packet {
    let any = IpAddr::from([0, 0, 0, 0]);
    Packet {
        source: any,
        destination: any,
        protocol,
        transport,
        path: path.packet_path.clone(),
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: usual_hop_limit(protocol, transport),
    }
}
