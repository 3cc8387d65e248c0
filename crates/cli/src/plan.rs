//! A change before it is made. Every preview plans it here: on what the store has that would be written to, whatever the
//! agent of this machine has in force, and with the code that writes.

pub(crate) mod controllers;
mod kubernetes;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tortie_api::{Key, Kind, names};
use tortie_client::Client;
use tortie_store::memory::MemoryStore;
use tortie_store::{Listing, Selection, Stored};
use tortie_store_kube::convert::manifest::Reference;

use crate::ask::Agent;
use crate::in_force::{self, InForceRequest, Purpose, Sources};
use crate::preview::{Open, Preview};
use crate::session::Session;
use crate::store::StoreAccess;
pub(crate) use kubernetes::KubernetesChanges;
use kubernetes::Target;

/// A change that goes no further than this.
pub(crate) struct Plan {
    /// What the store had, and what is in force beside it.
    pub(crate) sources: Sources,
    /// Makes the change.
    pub(crate) client: Client,
    /// What kubectl would change beside it.
    pub(crate) kubernetes: KubernetesChanges,
}

impl Plan {
    /// On what the store has now. Says first who does not enforce a change of this store.
    pub(crate) fn begin(
        access: &StoreAccess,
        request: InForceRequest,
        agent: &Agent,
        session: &mut Session,
    ) -> anyhow::Result<Self> {
        let sources = in_force::load(access, request, agent, session)?;
        let client = Client::plan(access.store()?, sources.listing.clone());
        if access.kubernetes().is_none() && sources.listing.items.is_empty() {
            // kubectl writes no initial content; whatever brings Kubernetes' objects into another store does.
            client.initialise("", "")?;
        }
        let target = if access.kubernetes().is_some() { Target::Cluster } else { Target::Copies };
        Ok(Self { sources, client, kubernetes: KubernetesChanges::of(target) })
    }

    /// On a store with nothing but what every store has after the first write, without any machine.
    pub(crate) fn offline() -> anyhow::Result<Self> {
        let client = Client::new(Arc::new(MemoryStore::new()));
        client.initialise("", "")?;
        Ok(Self { sources: Sources::default(), client, kubernetes: KubernetesChanges::default() })
    }

    /// What the store would have right after the change.
    pub(crate) fn written(&self) -> anyhow::Result<Listing> {
        let mut listing = self.client.store().list(&Selection::default())?;
        self.kubernetes.make(&mut listing);
        Ok(listing)
    }

    /// What the store would have once controllers have followed the change too.
    pub(crate) fn after(&self) -> anyhow::Result<Listing> {
        Ok(self.after_controllers()?.0)
    }

    /// The same, with what controllers will have written by then, in words.
    pub(crate) fn after_controllers(&self) -> anyhow::Result<(Listing, Option<String>)> {
        let mut listing = self.written()?;
        let written = controllers::follow(&self.sources.listing, &mut listing);
        Ok((listing, written))
    }

    /// Applies manifests of Kubernetes' own kinds; those without a namespace in this one. False when one of these, or an object that was
    /// planned before, cannot be applied, which was printed.
    pub(crate) fn apply_kubernetes(
        &mut self,
        manifests: &[Value],
        namespace: Option<&str>,
        session: &mut Session,
    ) -> anyhow::Result<bool> {
        let mut is_whole = true;
        if !manifests.is_empty() {
            let listing = self.written()?;
            is_whole = self.kubernetes.apply(manifests, namespace.unwrap_or_default(), &listing, session);
        }
        let missing = self.missing_namespaces()?;
        missing.iter().for_each(|line| session.terminal.error(line));
        Ok(is_whole && missing.is_empty())
    }

    /// Which new objects of the plan the API server would refuse because their namespace does not exist.
    pub(crate) fn missing_namespaces(&self) -> anyhow::Result<Vec<String>> {
        if !self.kubernetes.is_of_cluster() {
            return Ok(Vec::new());
        }
        let after = self.written()?;
        let profile = |namespace: &str| Key::cluster(Kind::Profile, names::kubernetes::namespace_profile(namespace));
        let is_missing = |key: &&Key| {
            key.kind.namespaced()
                && key.kind.is_calico()
                && key.kind != Kind::WorkloadEndpoint
                && self.sources.listing.get(key).is_none()
                && after.get(&profile(&key.namespace)).is_none()
        };
        let missing = after.items.iter().map(|stored| &stored.key).filter(is_missing);
        let line = |key: &Key| {
            let namespace = &key.namespace;
            format!(
                "{}: the namespace {namespace} does not exist in the cluster, so the API server refuses it; create the namespace before",
                key.as_argument()
            )
        };
        Ok(missing.map(line).collect())
    }

    /// Deletes objects of Kubernetes' own kinds. False when one does not exist, which was printed.
    pub(crate) fn delete_kubernetes(&mut self, objects: &[Reference], session: &mut Session) -> anyhow::Result<bool> {
        if objects.is_empty() {
            return Ok(true);
        }
        let listing = self.written()?;
        Ok(self.kubernetes.delete(objects, &listing, session))
    }

    /// What the change means.
    pub(crate) fn preview(&self) -> anyhow::Result<Preview> {
        let open = Open::of_this_machine(self.sources.local_facts.as_ref());
        let (after, written) = self.after_controllers()?;
        let preview = Preview::of(&self.sources, &self.sources.listing, &after, open);
        Ok(preview.with_names(self.kubernetes.names()).with_controllers(written))
    }
}

/// Makes changes in what a store holds: at each key what becomes of it, none where the object is deleted.
fn make(changes: &BTreeMap<Key, Option<Stored>>, listing: &mut Listing) {
    if changes.is_empty() {
        return;
    }
    listing.items.retain(|stored| !changes.contains_key(&stored.key));
    listing.items.extend(changes.values().flatten().cloned());
    listing.items.sort_unstable_by(|a, b| a.key.cmp(&b.key));
}

/// What a command writes with.
pub(crate) enum Writer {
    /// It writes to the store; as calicoctl, or where nothing will be written because of a mistake, only as if.
    Store(Client),
    /// A dry run.
    Plan(Box<Plan>),
}

impl Writer {
    /// Opens the writer of a command that writes, or of its dry run. With `held_back` nothing is written in any case.
    pub(crate) fn open(
        access: &StoreAccess,
        dry_run: bool,
        held_back: bool,
        agent: &Agent,
        session: &mut Session,
    ) -> anyhow::Result<Self> {
        Ok(match dry_run && !session.persona.is_calicoctl() {
            true => {
                let request = InForceRequest { from_store: false, purpose: Purpose::Change };
                Self::Plan(Box::new(Plan::begin(access, request, agent, session)?))
            }
            false => Self::Store(access.writer(dry_run || held_back)?),
        })
    }

    /// Its client.
    pub(crate) fn client(&self) -> &Client {
        match self {
            Self::Store(client) => client,
            Self::Plan(plan) => &plan.client,
        }
    }

    /// The plan of a dry run.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Store(_) => None,
            Self::Plan(plan) => Some(plan),
        }
    }

    /// What a dry run would change.
    pub(crate) fn preview(&self) -> anyhow::Result<Option<Preview>> {
        match self {
            Self::Store(_) => Ok(None),
            Self::Plan(plan) => plan.preview().map(Some),
        }
    }
}
