//! What controllers do after a change: `tortie controllers`, or Calico's kube-controllers, make, change and delete the automatic host
//! endpoints of nodes. Previews take what they will write for a part of the change, by the plan that the controllers themselves make.

use std::collections::BTreeMap;

use tortie_api::{Key, Kind, Object, encode};
use tortie_controllers::Action;
use tortie_controllers::host_endpoints::{self, Cluster, KINDS};
use tortie_explain::shortened;
use tortie_store::{Listing, Revision, Stored};

/// How many objects are named.
const MAX_NAMED: usize = 5;

/// Makes the writes that follow from a change, and returns them in words; none if nothing follows. What controllers had to write
/// before the change, and have not written, does not follow from it.
pub(crate) fn follow(before: &Listing, after: &mut Listing) -> Option<String> {
    if of(before).eq(of(after)) {
        return None;
    }
    let waiting: BTreeMap<Key, Action> = planned(before).map(|action| (action.key(), action)).collect();
    let mut changes = BTreeMap::new();
    let (mut created, mut changed, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for action in planned(after) {
        let key = action.key();
        if waiting.get(&key) == Some(&action) {
            continue;
        }
        let (names, becomes) = match &action {
            Action::Create(object) => (&mut created, Some(written(object))),
            Action::Update(object) => (&mut changed, Some(written(object))),
            Action::Delete { .. } => (&mut deleted, None),
            Action::Label { .. } => continue,
        };
        names.push(key.as_argument());
        changes.insert(key, becomes);
    }
    super::make(&changes, after);
    let parts = [("create", created), ("change", changed), ("delete", deleted)];
    let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> = parts.map(|(verb, names)| format!("{verb} {}", shortened(names, MAX_NAMED))).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "controllers then {}: this assumes that `tortie controllers` or Calico's kube-controllers run, with nothing in their \
             environment that changes what they do",
            parts.join(", ")
        )
    })
}

/// An object as it is in the store after it was written. Its version is that of the object before, as in every preview.
fn written(object: &Object) -> Stored {
    let revision = Revision::from(object.metadata.resource_version.as_str());
    Stored { key: object.key(), revision, value: encode::stored(object).into() }
}

/// The objects that automatic host endpoints follow from, and these themselves.
fn of(listing: &Listing) -> impl Iterator<Item = &Stored> {
    // Every first write makes ClusterInformation; whether it is locked is looked at in the plan.
    listing
        .items
        .iter()
        .filter(|stored| KINDS.contains(&stored.key.kind) && stored.key.kind != Kind::ClusterInformation)
}

/// What controllers would write if a store had this content: one write at most of each object.
fn planned(listing: &Listing) -> impl Iterator<Item = Action> {
    let mut cluster = Cluster::default();
    for of_kind in listing.items.chunk_by(|one, next| one.key.kind == next.key.kind) {
        cluster.list(of_kind[0].key.kind, of_kind);
    }
    host_endpoints::plan(&cluster).actions.into_iter()
}
