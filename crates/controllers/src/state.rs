//! What is known of the store and of Kubernetes, and whether it is everything.

use std::collections::BTreeMap;

use tortie_api::Kind;

use crate::copies::{self, Copies};
use crate::enabled::Environment;
use crate::follow::{News, Origin};
use crate::host_endpoints::{self, Cluster};
use crate::log_event;
use crate::node_labels::NodeLabels;
use crate::pod_labels::PodLabels;

/// What is known of the store and of Kubernetes.
#[derive(Debug)]
pub(crate) struct State {
    /// What host endpoints follow from.
    pub(crate) cluster: Cluster,
    /// What copies follow from, if Kubernetes is copied.
    pub(crate) copies: Option<Copies>,
    /// What labels of workload endpoints follow from.
    pub(crate) pod_labels: PodLabels,
    /// What labels of nodes follow from.
    pub(crate) node_labels: NodeLabels,
    /// How the store is followed.
    pub(crate) store: Followed,
    /// How what is copied of Kubernetes is followed, if it is.
    pub(crate) kubernetes: Followed,
    /// How pods are followed, if their labels are copied.
    pub(crate) pods: Followed,
    /// How nodes of Kubernetes are followed, if their labels are copied.
    pub(crate) nodes: Followed,
}

impl State {
    /// Nothing is known yet.
    pub(crate) fn new(is_copied: bool, environment: Environment) -> Self {
        let followed = |from| Followed::new(kinds(is_copied, environment, from));
        Self {
            cluster: Cluster::new(environment),
            copies: is_copied.then(|| Copies::new(environment.only)),
            pod_labels: PodLabels::default(),
            node_labels: NodeLabels::default(),
            store: followed(Origin::Store),
            kubernetes: followed(Origin::Kubernetes),
            pods: followed(Origin::Pods),
            nodes: followed(Origin::Nodes),
        }
    }

    /// Takes news in. Whether something has to be compared anew.
    pub(crate) fn take(&mut self, news: News) -> bool {
        match news {
            News::Listed(from, kind, all) => {
                match (from, &mut self.copies) {
                    (Origin::Store, _) if kind == Kind::WorkloadEndpoint => self.pod_labels.list(&all),
                    (Origin::Store, copies) => {
                        self.cluster.list(kind, &all);
                        if kind == Kind::Node {
                            self.node_labels.list(&all);
                        }
                        copies.iter_mut().for_each(|copies| copies.list(kind, &all));
                    }
                    (Origin::Pods, _) => self.pod_labels.list_source(&all),
                    (Origin::Nodes, _) => self.node_labels.list_source(&all),
                    (Origin::Kubernetes, Some(copies)) => copies.list_source(kind, &all),
                    (Origin::Kubernetes, None) => {}
                }
                self.reached(from, kind);
                true
            }
            News::Changed(Origin::Store, event) if event.key().kind == Kind::WorkloadEndpoint => {
                self.pod_labels.take(&event)
            }
            News::Changed(Origin::Store, event) => {
                let copies = self.copies.as_mut().is_some_and(|copies| copies.take(&event));
                let labels = event.key().kind == Kind::Node && self.node_labels.take(&event);
                self.cluster.take(&event) || copies || labels
            }
            News::Changed(Origin::Pods, event) => self.pod_labels.take_source(&event),
            News::Changed(Origin::Nodes, event) => self.node_labels.take_source(&event),
            News::Changed(Origin::Kubernetes, event) => {
                self.copies.as_mut().is_some_and(|copies| copies.take_source(&event))
            }
            News::Reached(from, kind) => {
                self.reached(from, kind);
                true
            }
            News::Lost(from, kind, reason) => {
                self.losing(from, kind, reason);
                false
            }
            News::Leadership => true,
            News::Stop => false,
        }
    }

    /// Whether all of Kubernetes that the enabled controllers need is known and followed, and why not.
    pub(crate) fn kubernetes_health(&self) -> (bool, String) {
        let needs_pods =
            self.copies.as_ref().and_then(|copies| copies.enabled.as_ref().ok()).is_none_or(|it| it.pod_labels);
        let needed = [(true, &self.kubernetes), (needs_pods, &self.pods), (self.cluster.labels, &self.nodes)];
        let missing = needed.into_iter().find(|(is_needed, followed)| *is_needed && !followed.is_in_sync());
        missing.map_or_else(|| (true, String::new()), |(_, followed)| (false, followed.lost()))
    }

    fn followed(&mut self, from: Origin) -> &mut Followed {
        match from {
            Origin::Store => &mut self.store,
            Origin::Kubernetes => &mut self.kubernetes,
            Origin::Pods => &mut self.pods,
            Origin::Nodes => &mut self.nodes,
        }
    }

    fn reached(&mut self, from: Origin, kind: Kind) {
        if !self.followed(from).reached(kind) {
            return;
        }
        match from {
            Origin::Store => log::info!(target: log_event::STORE_REACHED, "the store is followed again"),
            Origin::Kubernetes => log::info!(target: log_event::KUBERNETES_REACHED, "Kubernetes is followed again"),
            Origin::Pods => log::info!(target: log_event::KUBERNETES_REACHED, "pods are followed again"),
            Origin::Nodes => {
                log::info!(target: log_event::KUBERNETES_REACHED, "nodes of Kubernetes are followed again")
            }
        }
    }

    fn losing(&mut self, from: Origin, kind: Kind, reason: String) {
        if !self.followed(from).is_lost() {
            match from {
                Origin::Store => {
                    log::error!(target: log_event::STORE_LOST, "the store cannot be followed, so nothing is written until it can: {reason}");
                }
                Origin::Kubernetes => {
                    let effect = match self.kubernetes.was_listed() {
                        true => "so the copies stay as it was last, and none is deleted until it can",
                        false => "so the copies stay as they are until it can",
                    };
                    log::error!(target: log_event::KUBERNETES_LOST, "Kubernetes cannot be followed, {effect}: {reason}");
                }
                Origin::Pods => {
                    let effect = "so the labels of workload endpoints stay as they are until they can";
                    log::error!(target: log_event::KUBERNETES_LOST, "pods cannot be followed, {effect}: {reason}");
                }
                Origin::Nodes => {
                    let effect = match self.nodes.was_listed() {
                        true => "so the labels that nodes have from it stay as they were last until they can",
                        false => "so the labels of nodes stay as they are until they can",
                    };
                    log::error!(target: log_event::KUBERNETES_LOST, "nodes of Kubernetes cannot be followed, {effect}: {reason}");
                }
            }
        }
        self.followed(from).losing(kind, reason);
    }
}

/// The kinds that are followed at a place.
pub(crate) fn kinds(is_copied: bool, environment: Environment, from: Origin) -> Vec<Kind> {
    let of = |kinds: &'static [Kind]| if is_copied { kinds } else { &[] };
    let pods = if environment.only.is_none_or(|only| only.pod_labels) { of(&[Kind::WorkloadEndpoint]) } else { &[] };
    let may_have_labels = environment.only.is_none_or(|only| only.nodes) && environment.sync_labels != Some(false);
    match from {
        Origin::Store => [&host_endpoints::KINDS[..], of(&copies::KINDS), pods].concat(),
        Origin::Kubernetes => of(&copies::SOURCES).to_vec(),
        Origin::Pods => pods.to_vec(),
        Origin::Nodes if may_have_labels => of(&[Kind::Node]).to_vec(),
        Origin::Nodes => Vec::new(),
    }
}

/// How kinds are followed.
#[derive(Debug)]
pub(crate) struct Followed {
    all: Vec<Kind>,
    /// The kinds that were listed; with a reason while they cannot be followed.
    kinds: BTreeMap<Kind, Result<(), String>>,
    /// The kinds that cannot be listed yet.
    waiting: BTreeMap<Kind, String>,
}

impl Followed {
    fn new(all: Vec<Kind>) -> Self {
        Self { all, kinds: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// Whether everything is known and followed.
    pub(crate) fn is_in_sync(&self) -> bool {
        self.all.iter().all(|kind| matches!(self.kinds.get(kind), Some(Ok(()))))
    }

    /// Whether everything was known once, even if it cannot be followed now.
    pub(crate) fn was_listed(&self) -> bool {
        self.all.iter().all(|kind| self.kinds.contains_key(kind))
    }

    /// Why it is not followed; empty if it is, or at the start.
    pub(crate) fn lost(&self) -> String {
        let lost = self.kinds.values().find_map(|kind| kind.as_ref().err());
        lost.or_else(|| self.waiting.values().next()).cloned().unwrap_or_default()
    }

    fn is_lost(&self) -> bool {
        !self.lost().is_empty()
    }

    /// Whether everything is followed again by this.
    fn reached(&mut self, kind: Kind) -> bool {
        let was_lost = self.is_lost();
        self.waiting.remove(&kind);
        self.kinds.insert(kind, Ok(()));
        was_lost && !self.is_lost()
    }

    fn losing(&mut self, kind: Kind, reason: String) {
        match self.kinds.get_mut(&kind) {
            Some(known) => *known = Err(reason),
            None => drop(self.waiting.insert(kind, reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_is_known_once_all_of_it_was_listed_and_stays_known_while_it_is_lost() {
        let mut state = State::new(true, Environment::default());
        let listed = |kind| News::Listed(Origin::Kubernetes, kind, Vec::new());
        let lost = |kind| News::Lost(Origin::Kubernetes, kind, "away".to_owned());
        for (news, expected) in [
            (News::Listed(Origin::Store, Kind::Profile, Vec::new()), (false, false, "")),
            (listed(Kind::Profile), (false, false, "")),
            (lost(Kind::KubernetesNetworkPolicy), (false, false, "away")),
            (listed(Kind::KubernetesNetworkPolicy), (true, true, "")),
            (lost(Kind::Profile), (true, false, "away")),
            (News::Reached(Origin::Store, Kind::Profile), (true, false, "away")),
            (News::Reached(Origin::Kubernetes, Kind::Profile), (true, true, "")),
        ] {
            let text = format!("{news:?}");
            state.take(news);
            let known = &state.kubernetes;
            assert_eq!((known.was_listed(), known.is_in_sync(), known.lost().as_str()), expected, "{text}");
        }
        assert!(!state.store.was_listed());
    }
}
