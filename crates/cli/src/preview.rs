//! What a change of the store means: the objects field by field, the defaults of endpoints, and the packets that are judged
//! otherwise. `diff` and `--dry-run` tell it.

mod connections;
mod effects;
mod json;
mod markdown;
mod text;

use std::borrow::Cow;
use std::collections::BTreeMap;

use tortie_api::{Key, Kind};
use tortie_client::initial_tiers;
use tortie_diff::{DefaultChange, ObjectChange, Verdicts, defaults, objects, verdicts};
use tortie_store::{Listing, Stored};

use crate::in_force::Sources;
use crate::snapshot::{judging_host, topology};
use connections::LostConnections;
pub(crate) use connections::Open;
use effects::NoEffect;

/// What a change means.
pub(crate) struct Preview {
    /// The objects that change.
    pub(crate) objects: Vec<ObjectChange>,
    /// The defaults that change.
    pub(crate) defaults: Vec<DefaultChange>,
    /// The packets that are judged otherwise.
    pub(crate) verdicts: Verdicts,
    /// What has no effect.
    without_effect: Vec<NoEffect>,
    /// Open connections that could not be opened again.
    lost: Vec<LostConnections>,
    /// What was not looked at, and which host endpoints are judged as if their node existed.
    notes: Vec<String>,
    /// What controllers are taken to write after the change; it is a part of what changes.
    controllers: Option<String>,
    /// The names of objects that people know under other names than those of the store.
    names: BTreeMap<Key, String>,
}

impl Preview {
    /// Computes what a change from one content of a store to another means.
    pub(crate) fn of(sources: &Sources, before: &Listing, after: &Listing, open: Open) -> Self {
        let [old, new] = [before, after].map(|listing| sources.in_force(listing).snapshot);
        let local_facts = sources.local_facts.as_ref();
        let host = local_facts.map(judging_host);
        let not_in_force = [&old, &new].map(|side| effects::host_endpoints_not_in_force(side, local_facts));
        // One on a node that no other object names may well be in force there.
        let [not_in_force_before, not_in_force_after] = not_in_force.each_ref().map(|not_in_force| {
            not_in_force.iter().filter(|(_, why)| !why.has_unknown_node).map(|(name, _)| name.clone()).collect()
        });
        let mut objects = objects(&begins_with(before, after), &after.items);
        // What a store keeps about itself is no change of anybody's.
        objects.retain(|change| change.key.kind != Kind::ClusterInformation);
        let lost = local_facts.filter(|_| !objects.is_empty()).map_or_else(Vec::new, |local_facts| {
            let [before, after] = [&old, &new].map(|side| topology(side, Some(local_facts)));
            open.lost(&before, &after, local_facts)
        });
        let (without_effect, mut notes) = effects::without([&old, &new], not_in_force.each_ref());
        notes.extend(open.note);
        Self {
            objects,
            defaults: defaults(&old, &new, [&not_in_force_before, &not_in_force_after]),
            verdicts: verdicts(&old, &new, host.as_ref()),
            without_effect,
            lost,
            notes,
            controllers: None,
            names: BTreeMap::new(),
        }
    }

    /// Shows some objects by the names that their users know.
    pub(crate) fn with_names(mut self, names: &BTreeMap<Key, String>) -> Self {
        self.names.extend(names.iter().map(|(key, name)| (key.clone(), name.clone())));
        self
    }

    /// Says what of it controllers are taken to write.
    pub(crate) fn with_controllers(self, controllers: Option<String>) -> Self {
        Self { controllers, ..self }
    }

    /// As people name an object: `hostendpoint/web1`, `networkpolicy.networking.k8s.io/shop/db`.
    pub(crate) fn name(&self, key: &Key) -> String {
        self.names.get(key).cloned().unwrap_or_else(|| key.as_argument())
    }

    /// Whether nothing changes.
    pub(crate) fn is_nothing(&self) -> bool {
        self.objects.is_empty()
    }

    /// The fields of one object that change.
    pub(crate) fn fields(&self, key: &Key) -> impl Iterator<Item = String> {
        let of = self.objects.iter().filter(move |change| change.key == *key);
        of.flat_map(|change| &change.fields).map(|field| format!("  {field}"))
    }
}

/// What a change begins with. An empty store has its tiers before the first object, and whoever writes them changes them.
fn begins_with<'l>(before: &'l Listing, after: &Listing) -> Cow<'l, [Stored]> {
    if !before.items.is_empty() {
        return Cow::Borrowed(&before.items);
    }
    let mut tiers = initial_tiers();
    tiers.retain(|tier| after.items.iter().any(|one| one.key == tier.key));
    Cow::Owned(tiers)
}
