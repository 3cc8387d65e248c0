//! The automatic host endpoints that a node is to have.

use std::collections::BTreeMap;

use serde_json::json;
use tortie_api::kinds::host_endpoint::HostEndpointSpec;
use tortie_api::{Key, Kind, Object};
use tortie_client::DEFAULT_ALLOW;

use super::addresses::Addresses;
use super::settings::{Settings, Template};
use super::{Node, OWNER, OWNER_LABEL, name};

/// An automatic host endpoint as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Desired {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: HostEndpointSpec,
}

/// What a node is to have, by name. Of two templates that give one name the later counts, and each before the default.
pub(super) fn of(node: &str, known: &Node, settings: &Settings) -> BTreeMap<String, Desired> {
    let mut all = BTreeMap::new();
    let addresses = Addresses::of(&known.spec);
    if settings.default {
        all.insert(name::of(node, "", ""), Desired::new(node, known, None, "*", addresses.clone()));
    }
    for template in settings.templates.iter().flatten().filter(|template| template.nodes.matches(&known.labels)) {
        let within = addresses.within(&template.nets);
        let Some(pattern) = &template.interfaces else {
            // Without an interface it is known by its addresses, of which it must have one.
            if !within.is_empty() {
                let name = name::of(node, &template.name, "");
                all.insert(name, Desired::new(node, known, Some(template), "", within));
            }
            continue;
        };
        for interface in known.spec.interfaces.iter().filter(|interface| pattern.is_match(&interface.name)) {
            let name = name::of(node, &template.name, &interface.name);
            let addresses = within.clone().with(&interface.addresses);
            all.insert(name, Desired::new(node, known, Some(template), &interface.name, addresses));
        }
    }
    all
}

impl Desired {
    fn new(node: &str, known: &Node, template: Option<&Template>, interface: &str, addresses: Addresses) -> Self {
        let mut labels = known.labels.clone();
        labels.extend(template.map(|template| template.labels.clone()).unwrap_or_default());
        labels.insert(OWNER_LABEL.to_owned(), OWNER.to_owned());
        Self {
            labels,
            annotations: template.map(|template| template.annotations.clone()).unwrap_or_default(),
            spec: HostEndpointSpec {
                node: node.to_owned(),
                interface_name: interface.to_owned(),
                expected_ips: addresses.texts(),
                profiles: vec![DEFAULT_ALLOW.to_owned()],
                ports: Vec::new(),
            },
        }
    }

    /// Whether an endpoint is like this already.
    pub(super) fn is(&self, existing: &Object) -> bool {
        let metadata = &existing.metadata;
        (&metadata.labels, &metadata.annotations) == (&self.labels, &self.annotations)
            && existing.spec::<HostEndpointSpec>().is_ok_and(|spec| spec == self.spec)
    }

    /// A new endpoint like this.
    pub(super) fn object(&self, name: &str) -> Object {
        self.over(Object::new(Key::cluster(Kind::HostEndpoint, name)))
    }

    /// An endpoint made like this. What its metadata has beside labels and annotations stays.
    pub(super) fn over(&self, mut existing: Object) -> Object {
        existing.metadata.labels.clone_from(&self.labels);
        existing.metadata.annotations.clone_from(&self.annotations);
        existing.body.insert("spec".to_owned(), json!(self.spec));
        existing
    }
}
