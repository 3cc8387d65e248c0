//! What controllers do after a change: `tortie controllers`, or Calico's kube-controllers, make, change and delete the automatic host
//! endpoints of nodes. Previews take what they will write for a part of the change, by the plan that the controllers themselves make.

use tortie_api::{Kind, encode};
use tortie_controllers::Action;
use tortie_controllers::host_endpoints::{self, Cluster, KINDS};
use tortie_store::{Listing, Revision, Stored};

/// Makes the writes that follow from a change, and returns them in words; none if nothing follows. What controllers had to write
/// before the change, and have not written, does not follow from it.
pub(crate) fn follow(before: &Listing, after: &mut Listing) -> Option<String> {
    if of(before).eq(of(after)) {
        return None;
    }
    let waiting = planned(before);
    let mut actions = planned(after);
    actions.retain(|action| !waiting.contains(action));
    let (mut created, mut changed, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for action in actions {
        let key = action.key();
        match &action {
            Action::Create(object) | Action::Update(object) => {
                let list = if matches!(action, Action::Create(_)) { &mut created } else { &mut changed };
                list.push(key.as_argument());
                let value = encode::stored(object).into();
                // Its version is that of the object before, as in every preview.
                let revision = Revision::from(object.metadata.resource_version.as_str());
                after.items.retain(|stored| stored.key != key);
                after.items.push(Stored { key, revision, value });
            }
            Action::Delete { .. } => {
                deleted.push(key.as_argument());
                after.items.retain(|stored| stored.key != key);
            }
            Action::Label { .. } => {}
        }
    }
    after.items.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let parts = [("create", created), ("change", changed), ("delete", deleted)];
    let parts: Vec<String> = parts.into_iter().filter_map(|(verb, names)| part(verb, &names)).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "controllers then {}: this assumes that `tortie controllers` or Calico's kube-controllers run, with nothing in their \
             environment that changes what they do",
            parts.join(", ")
        )
    })
}

/// How many objects are named.
const NAMED: usize = 5;

fn part(verb: &str, names: &[String]) -> Option<String> {
    let more = names.len().saturating_sub(NAMED);
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (names.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(format!("{verb} {shown}")),
        (false, more) => Some(format!("{verb} {shown} and {more} more")),
    }
}

/// The objects that automatic host endpoints follow from, and these themselves.
fn of(listing: &Listing) -> impl Iterator<Item = &Stored> {
    // Every first write makes ClusterInformation; whether it is locked is looked at in the plan.
    listing
        .items
        .iter()
        .filter(|stored| KINDS.contains(&stored.key.kind) && stored.key.kind != Kind::ClusterInformation)
}

/// What controllers would write if a store had this content.
fn planned(listing: &Listing) -> Vec<Action> {
    let mut cluster = Cluster::default();
    for kind in KINDS {
        let all: Vec<Stored> = listing.items.iter().filter(|stored| stored.key.kind == kind).cloned().collect();
        cluster.list(kind, &all);
    }
    host_endpoints::plan(&cluster).actions
}
