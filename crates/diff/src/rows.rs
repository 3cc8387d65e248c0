//! Regions in words, and rows that say the same together.

use std::collections::{BTreeSet, HashMap};

use tortie_classes::{AddressSet, Names, enclosed};
use tortie_policy::{EndpointId, Family};

use crate::endpoint_paths::EndpointPath;
use crate::regions::Region;
use crate::traffic;
use crate::verdicts::VerdictChange;

/// The rows of one way, of no endpoint yet.
pub(crate) fn change_rows(path: &EndpointPath, regions: &[Region], names: &Names) -> Vec<VerdictChange> {
    let mut rows: Vec<VerdictChange> = Vec::new();
    for region in regions {
        let (far, all) = match path.reach.is_inward() {
            true => (&region.source, &path.source),
            false => (&region.destination, &path.destination),
        };
        let all = AddressSet::of_family(region.family, all.family(region.family).clone());
        let (near, whole) = match path.reach.is_inward() {
            true => (&region.destination, &path.destination),
            false => (&region.source, &path.source),
        };
        let whole = AddressSet::of_family(region.family, whole.family(region.family).clone());
        let mut others = places(names, far, &all);
        if *near != whole {
            let side = if path.reach.is_inward() { "to" } else { "from" };
            let near = places(names, near, &whole).join(", ");
            others.iter_mut().for_each(|other| *other = format!("{} ({side} {near})", enclosed(other)));
        }
        let row = VerdictChange {
            endpoints: Vec::new(),
            reach: path.reach,
            interfaces: Vec::new(),
            allowed: region.allowed,
            families: vec![region.family],
            apart: [Family::V4, Family::V6].into_iter().all(|family| path.has(family)),
            traffic: traffic::text(region.family, &region.transports, &region.all),
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
            return vec![everywhere_except(&left)];
        }
    }
    parts
}

/// All addresses but these: exceptions that have exceptions are enclosed.
fn everywhere_except(parts: &[String]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| enclosed(part)).collect();
    format!("everywhere except {}", parts.join(" and "))
}

/// Whether two rows say the same of whatever they are about.
fn is_same(one: &VerdictChange, other: &VerdictChange) -> bool {
    let key = |row: &VerdictChange| (row.reach, row.allowed);
    key(one) == key(other) && one.traffic == other.traffic && one.others == other.others && one.by == other.by
}

/// All places of each endpoint.
pub(crate) type Places = HashMap<EndpointId, BTreeSet<String>>;

/// Endpoints with the same rows are told together. What holds at all `places` of an endpoint names none of them.
pub(crate) fn together(rows: Vec<VerdictChange>, places: &Places) -> Vec<VerdictChange> {
    let mut order: Vec<EndpointId> = Vec::new();
    let mut of: HashMap<String, Vec<VerdictChange>> = HashMap::new();
    for row in rows {
        let Some(endpoint) = row.endpoints.first().cloned() else { continue };
        let known = of.entry(endpoint.to_string()).or_insert_with(|| {
            order.push(endpoint);
            Vec::new()
        });
        // Of an endpoint on several interfaces the same is told once.
        match known.iter_mut().find(|one| is_same(one, &row) && one.families == row.families) {
            Some(known) => known.interfaces.extend(row.interfaces),
            None => known.push(row),
        }
    }
    for rows in of.values_mut() {
        let all = rows.first().and_then(|row| places.get(row.endpoints.first()?));
        let holds_everywhere = |row: &&mut VerdictChange| all.is_some_and(|all| all.len() == row.interfaces.len());
        rows.iter_mut().filter(holds_everywhere).for_each(|row| row.interfaces.clear());
        // What is told of one place stands together.
        rows.sort_by(|one, other| (&one.interfaces, one.reach).cmp(&(&other.interfaces, other.reach)));
    }
    let mut groups: Vec<(Vec<EndpointId>, Vec<VerdictChange>)> = Vec::new();
    for endpoint in order {
        let Some(rows) = of.remove(&endpoint.to_string()) else { continue };
        let same = |known: &[VerdictChange]| {
            let is_alike = |(a, b): (&VerdictChange, &VerdictChange)| {
                is_same(a, b) && a.families == b.families && a.interfaces == b.interfaces
            };
            known.len() == rows.len() && known.iter().zip(&rows).all(is_alike)
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
mod tests {
    use super::*;

    #[test]
    fn exceptions_of_exceptions_are_read_in_one_way_only() {
        let text = |parts: &[&str]| everywhere_except(&parts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(text(&["set lab except 10.0.0.0/8"]), "everywhere except (set lab except 10.0.0.0/8)");
        // 10.1.1.1 is an exception of everywhere here, and of the set there.
        let [apart, within] =
            [text(&["set lab except 10.0.0.0/8", "10.1.1.1"]), text(&["set lab except 10.0.0.0/8 and 10.1.1.1"])];
        assert_eq!(apart, "everywhere except (set lab except 10.0.0.0/8) and 10.1.1.1");
        assert_eq!(within, "everywhere except (set lab except 10.0.0.0/8 and 10.1.1.1)");
        assert_eq!(text(&["set lab"]), "everywhere except set lab");
    }
}
