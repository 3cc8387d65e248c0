//! Objects of Kubernetes' own kinds in previews: what the store would hold once kubectl has applied or deleted them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tortie_api::{Key, Kind, Object, decode, encode};
use tortie_store::{Listing, Revision, Stored};
use tortie_store_kube::convert::manifest::{self, KubernetesKind, Reference};
use tortie_store_kube::convert::{pod, profile};

use crate::services;
use crate::session::Session;
use crate::terminal::counted;

/// What kubectl would change.
#[derive(Default)]
pub(crate) struct KubernetesChanges {
    /// What becomes of keys of the store; none where the object is deleted.
    changes: BTreeMap<Key, Option<Stored>>,
    /// The names under which people know the objects of these keys.
    names: BTreeMap<Key, String>,
    /// Why pods of the manifests (namespace, name) have no endpoint.
    without_endpoint: BTreeMap<(String, String), String>,
    target: Target,
}

/// What kubectl's changes are previewed in.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Target {
    /// No store.
    #[default]
    Nothing,
    /// The cluster that kubectl writes to.
    Cluster,
    /// A store that controllers copy the cluster's objects into.
    Copies,
}

impl KubernetesChanges {
    pub(super) fn of(target: Target) -> Self {
        Self { target, ..Self::default() }
    }

    /// Whether the store is the cluster itself.
    pub(super) fn is_of_cluster(&self) -> bool {
        self.target == Target::Cluster
    }

    /// The names of the objects, by their keys in the store.
    pub(crate) fn names(&self) -> &BTreeMap<Key, String> {
        &self.names
    }

    /// Why a pod of the manifests has no endpoint.
    pub(crate) fn why_no_endpoint(&self, namespace: &str, name: &str) -> Option<String> {
        self.without_endpoint.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Makes these changes in what a store holds.
    pub(crate) fn make(&self, listing: &mut Listing) {
        super::make(&self.changes, listing);
    }

    /// Applies manifests to what a store holds. False when one cannot be applied; the reason was printed.
    pub(super) fn apply(
        &mut self,
        manifests: &[Value],
        namespace: &str,
        listing: &Listing,
        session: &mut Session,
    ) -> bool {
        let prefixes = std::env::var("FELIX_INTERFACEPREFIX").unwrap_or_default();
        let prefix = tortie_net::interface_prefixes(&prefixes).0.first().copied();
        let prefix = prefix.unwrap_or(pod::DEFAULT_INTERFACE_PREFIX);
        let mut is_whole = true;
        let references: Vec<Reference> =
            manifests.iter().filter_map(|one| manifest::reference(one, namespace)).collect();
        for name in &references {
            if let Some(why) = self.why_impossible(name, &references, listing) {
                session.terminal.error(format_args!("{name} cannot be previewed: {why}"));
                is_whole = false;
            }
        }
        for one in manifests {
            let Some(name) = manifest::reference(one, namespace).filter(|one| one.kind != KubernetesKind::Service)
            else {
                continue;
            };
            if let Some(why) = manifest::why_no_endpoint(one, namespace) {
                session.terminal.note(&why);
                self.without_endpoint.insert((name.namespace, name.name), why);
                continue;
            }
            match manifest::convert(one, namespace, prefix, |namespace, name| existing(listing, namespace, name)) {
                Ok(converted) => {
                    for warning in converted.warnings {
                        session.terminal.note(format_args!("warning[left-out]: {name}: {}", warning.text));
                    }
                    if let Some(note) = note_of_labels(&name, one, &converted.object) {
                        session.terminal.note(note);
                    }
                    self.put(&converted.object, name.to_string());
                    if name.kind == KubernetesKind::Pod {
                        self.add_default_account(&name.namespace, &converted.object, listing);
                    }
                }
                Err(error) => {
                    session.terminal.error(format_args!("{name} cannot be previewed: {error}"));
                    is_whole = false;
                }
            }
        }
        for one in manifests {
            let service = manifest::reference(one, namespace);
            let Some(service) = service.filter(|one| one.kind == KubernetesKind::Service) else { continue };
            self.note_endpoints(&service, listing, session);
            let key = Key::namespaced(Kind::KubernetesService, &service.namespace, &service.name);
            let stored = services::applied(&key, listing.get(&key), one);
            self.names.insert(key.clone(), service.to_string());
            self.changes.insert(key, Some(stored));
        }
        is_whole
    }

    /// Deletes objects. False when one does not exist; that was printed.
    pub(super) fn delete(&mut self, references: &[Reference], listing: &Listing, session: &mut Session) -> bool {
        let mut is_whole = true;
        for reference in references {
            let found: Vec<&Stored> = listing.items.iter().filter(|it| is_of(reference, it)).collect();
            if found.is_empty() {
                session.terminal.error(format_args!("{reference} does not exist"));
                is_whole = false;
            }
            for Stored { key, .. } in found {
                let name = Reference::source_of(key).map_or_else(|| key.as_argument(), |own| own.to_string());
                self.names.insert(key.clone(), name);
                self.changes.insert(key.clone(), None);
            }
        }
        is_whole
    }

    /// Why kubectl's change cannot be made, or not be foretold here.
    fn why_impossible(&self, name: &Reference, given: &[Reference], listing: &Listing) -> Option<String> {
        match (self.target, name.kind) {
            (Target::Copies, KubernetesKind::Node) => {
                let text = "the Nodes of this store are those that calico-node writes, and Kubernetes' own are previewed where it is the store, and with --offline";
                Some(text.to_owned())
            }
            (Target::Cluster, kind) if kind.has_namespace() => {
                let namespace = Reference::new(KubernetesKind::Namespace, "", &name.namespace);
                let exists =
                    given.contains(&namespace) || namespace.key().is_some_and(|key| listing.get(&key).is_some());
                let why = || {
                    format!(
                        "the namespace {} does not exist in the cluster, so kubectl refuses it; give its Namespace too",
                        namespace.name
                    )
                };
                (!exists).then(why)
            }
            _ => None,
        }
    }

    fn put(&mut self, object: &Object, name: String) {
        let key = object.key();
        let stored = Stored { key: key.clone(), revision: Revision::default(), value: encode::stored(object).into() };
        self.names.insert(key.clone(), name);
        self.changes.insert(key, Some(stored));
    }

    /// The service account `default`, which every namespace has, where a pod uses it and nothing tells of it.
    fn add_default_account(&mut self, namespace: &str, pod: &Object, listing: &Listing) {
        let account = Reference::new(KubernetesKind::ServiceAccount, namespace, "default");
        let Some(key) = account.key() else { return };
        let is_used = pod.body["spec"]["profiles"].as_array().is_some_and(|all| all.iter().any(|one| *one == key.name));
        if !is_used || self.changes.contains_key(&key) || listing.get(&key).is_some() {
            return;
        }
        let written = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": account.name } });
        if let Ok(converted) = manifest::convert(&written, namespace, "", |_, _| None) {
            self.put(&converted.object, account.to_string());
        }
    }

    /// Notes which endpoints the preview assumes for a service. A controller of Kubernetes writes its EndpointSlices.
    fn note_endpoints(&self, reference: &Reference, listing: &Listing, session: &mut Session) {
        let is_its = |stored: &&Stored| stored.key.kind == Kind::KubernetesEndpointSlice && is_of(reference, stored);
        if self.changes.values().flatten().any(|stored| is_its(&stored)) {
            return;
        }
        let is_left = |stored: &&Stored| !self.changes.contains_key(&stored.key);
        match listing.items.iter().filter(is_left).filter(is_its).count() {
            0 => session.terminal.note(format_args!(
                "{reference} has no EndpointSlice in the files or the store, so it is taken to have no endpoints; give the EndpointSlices that it will have too"
            )),
            count => session.terminal.note(format_args!(
                "{reference} is taken to have the endpoints that its {} in the store says now",
                counted(count, "EndpointSlice")
            )),
        }
    }
}

/// The service of an EndpointSlice.
fn service(stored: &Stored) -> Option<String> {
    let object = (stored.key.kind == Kind::KubernetesEndpointSlice).then(|| decode::stored(&stored.key, &stored.value));
    Some(object?.ok()?.body.get("spec")?["service"].as_str()?.to_owned())
}

/// The pod of a workload endpoint.
fn pod_of(stored: &Stored) -> Option<String> {
    let object = (stored.key.kind == Kind::WorkloadEndpoint).then(|| decode::stored(&stored.key, &stored.value));
    Some(object?.ok()?.body.get("spec")?["pod"].as_str()?.to_owned())
}

/// Whether an object of the store exists because of one of Kubernetes', and is deleted with it.
fn is_of(reference: &Reference, stored: &Stored) -> bool {
    let Key { kind, namespace, name } = &stored.key;
    let is_in = *namespace == reference.namespace;
    match reference.kind {
        KubernetesKind::Pod => is_in && pod_of(stored).is_some_and(|pod| pod == reference.name),
        KubernetesKind::Service => {
            let is_itself = *kind == Kind::KubernetesService && *name == reference.name;
            is_in && (is_itself || service(stored).is_some_and(|service| service == reference.name))
        }
        KubernetesKind::Namespace => {
            let accounts = profile::account_name(&reference.name, "");
            let is_profile = reference.key().is_some_and(|key| key == stored.key) || name.starts_with(&accounts);
            *namespace == reference.name || *kind == Kind::Profile && is_profile
        }
        _ => reference.key().is_some_and(|key| key == stored.key),
    }
}

/// The labels that a node keeps although its manifest does not have them: kubectl removes those that an earlier manifest gave it.
fn note_of_labels(name: &Reference, manifest: &Value, made: &Object) -> Option<String> {
    let given = &manifest["metadata"]["labels"];
    let kept: Vec<&str> =
        made.metadata.labels.keys().map(String::as_str).filter(|key| given.get(key).is_none()).collect();
    (name.kind == KubernetesKind::Node && !kept.is_empty()).then(|| {
        let kept = kept.join(", ");
        format!("{name} is taken to keep its labels {kept}; kubectl removes those of them that it applied earlier")
    })
}

/// The Node that exists for a node (without a namespace), or the workload endpoint of a pod.
fn existing(listing: &Listing, namespace: &str, name: &str) -> Option<Object> {
    if !namespace.is_empty() {
        return endpoint(listing, namespace, name);
    }
    let stored = listing.get(&Key::cluster(Kind::Node, name))?;
    stored.value.unreadable().is_none().then(|| decode::stored(&stored.key, &stored.value).ok())?
}

/// The workload endpoint that exists for a pod.
fn endpoint(listing: &Listing, namespace: &str, pod: &str) -> Option<Object> {
    let of_namespace = listing.items.iter().filter(|it| {
        it.key.kind == Kind::WorkloadEndpoint && it.key.namespace == namespace && it.value.unreadable().is_none()
    });
    let mut objects = of_namespace.filter_map(|it| decode::stored(&it.key, &it.value).ok());
    objects.find(|object| object.body.get("spec").is_some_and(|spec| spec["pod"] == pod))
}
