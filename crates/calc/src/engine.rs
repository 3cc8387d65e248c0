//! The engine: its parts, and the entry points.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;
use tortie_policy::packet::Link;
use tortie_policy::{Item, Settings};

use crate::cost::Cost;
use crate::endpoint_classes::Classes;
use crate::index::Requirements;
use crate::local_endpoints::LocalEndpoints;
use crate::members::{Members, Shared};
use crate::policies::{Lists, Policies, PolicyIndex, Resource, TierIndex};
use crate::profiles::ProfileIndex;
use crate::programs::Programs;
use crate::selectors::SelectorIndex;
use crate::sets::SetKey;
use crate::unlabelled_members::UnlabelledMembers;
use crate::update::{Id, Update};

/// Keeps what one node must enforce.
///
/// ```
/// use tortie_calc::{Engine, Update};
/// use tortie_policy::Settings;
///
/// let mut engine = Engine::new("web1");
/// engine.update(Update::Settings(Box::new(Settings::default())));
/// assert!(engine.flush().host.is_some());
/// assert!(engine.flush().is_empty());
/// ```
#[derive(Debug)]
pub struct Engine {
    pub(crate) node: String,
    pub(crate) settings: Settings,
    /// The interfaces, by name.
    pub(crate) links: BTreeMap<String, Link>,
    pub(crate) shared: Shared,
    pub(crate) members: Members,
    pub(crate) unlabelled: UnlabelledMembers,
    pub(crate) policies: Policies,
    pub(crate) lists: Lists,
    pub(crate) locals: LocalEndpoints,
    /// The selectors of policies, for local endpoints.
    pub(crate) applies: Requirements,
    pub(crate) classes: Classes,
    pub(crate) programs: Programs,
    pub(crate) host: Option<tortie_dataplane::HostState>,
    /// The set of the addresses of objects with unreadable labels, which emitted rules refer to. None while there are none.
    pub(crate) unreadable: Option<SetKey>,
    pub(crate) pending: Pending,
}

/// What the next flush has to compute again.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Selectors that no policy uses any more.
    pub(crate) gone_selectors: HashSet<SelectorIndex>,
    /// Selectors that a policy began to use.
    pub(crate) new_selectors: HashSet<SelectorIndex>,
    /// Selectors whose policies, or the order of whose policies, changed.
    pub(crate) reordered: HashSet<SelectorIndex>,
    /// Tiers that changed.
    pub(crate) tiers: BTreeSet<TierIndex>,
    /// Deleted policies, to be removed.
    pub(crate) deleted_policies: Vec<PolicyIndex>,
    /// Profiles that are kept because the dataplane may still have their rules.
    pub(crate) held_profiles: Vec<ProfileIndex>,
    /// Something else about the host changed.
    pub(crate) host: bool,
}

/// How many objects of each sort an engine holds. All are zero in a new one, except for the sets that always exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // said by the names
pub struct Size {
    pub names: usize,
    pub selectors: usize,
    pub profiles: usize,
    pub ends: usize,
    pub items: usize,
    pub policies: usize,
    pub tiers: usize,
    pub locals: usize,
    pub classes: usize,
    pub programs: usize,
    pub lists: usize,
    pub sets: usize,
    pub filed: usize,
    pub unlabelled: usize,
}

impl Engine {
    /// An engine for a node, without any object.
    pub fn new(node: &str) -> Self {
        let mut engine = Self {
            node: node.to_owned(),
            settings: Settings::default(),
            links: BTreeMap::new(),
            shared: Shared::default(),
            members: Members::default(),
            unlabelled: UnlabelledMembers::default(),
            policies: Policies::default(),
            lists: Lists::default(),
            locals: LocalEndpoints::default(),
            applies: Requirements::default(),
            classes: Classes::default(),
            programs: Programs::default(),
            host: None,
            unreadable: None,
            pending: Pending { host: true, ..Pending::default() },
        };
        engine.create_well_known_sets();
        engine
    }

    /// Takes in one change. The next flush emits its effect.
    pub fn update(&mut self, update: Update) {
        match update {
            Update::Put(item) => self.put(item),
            Update::Delete(id) => self.delete(id),
            Update::Settings(settings) => self.put_settings(*settings),
            Update::Links(links) => self.put_links(links),
            Update::Link(name, link) => self.put_link(name, link),
        }
    }

    fn put(&mut self, item: Item) {
        match item {
            Item::Tier(tier) => self.put_tier(&tier.name, Some(Resource::of(&tier))),
            Item::Policy(policy) => self.put_policy(*policy),
            Item::Profile(profile) => self.put_profile(profile),
            Item::HostEndpoint(endpoint) => self.put_host_endpoint(endpoint),
            Item::WorkloadEndpoint(endpoint) => self.put_workload_endpoint(endpoint),
            Item::NetworkSet(set) => self.put_network_set(set),
            Item::Node(node) => self.put_node(node),
            Item::Pool(pool) => self.put_pool(pool),
            Item::EndpointSlice(slice) => self.put_slice(slice),
            Item::Nothing => {}
        }
    }

    fn delete(&mut self, id: Id) {
        match id {
            Id::Tier(name) => self.put_tier(&name, None),
            Id::Policy(id) => self.delete_policy(&id),
            Id::Profile(name) => self.delete_profile(&name),
            Id::HostEndpoint(name) => self.delete_host_endpoint(&name),
            Id::WorkloadEndpoint(id) => self.delete_workload_endpoint(&id),
            Id::NetworkSet(id) => self.delete_network_set(&id),
            Id::Node(name) => self.delete_node(&name),
            Id::Pool(name) => self.delete_pool(&name),
            Id::EndpointSlice(id) => self.delete_slice(&id),
        }
    }

    /// The counts of work since the last call.
    pub fn take_cost(&mut self) -> Cost {
        std::mem::take(&mut self.shared.cost)
    }

    /// The sets of named ports with too many members, as texts for users. No object says so by itself.
    pub fn too_large(&self) -> Vec<String> {
        self.members.sets.too_large(&self.shared.selectors, &self.shared.names)
    }

    /// How many objects it holds.
    pub fn size(&self) -> Size {
        Size {
            names: self.shared.names.len(),
            selectors: self.shared.selectors.len(),
            profiles: self.shared.profiles.len(),
            ends: self.shared.ends.len(),
            items: self.members.items.len(),
            policies: self.policies.slab.len(),
            tiers: self.policies.tiers.len(),
            locals: self.locals.len(),
            classes: self.classes.len(),
            programs: self.programs.len(),
            lists: self.lists.active.len(),
            sets: self.members.sets.len(),
            filed: self.applies.len() + self.members.requirements.len(),
            unlabelled: self.unlabelled.len(),
        }
    }
}
