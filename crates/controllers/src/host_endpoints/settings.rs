//! The settings of automatic host endpoints, read once: selectors, nets and patterns included.

use std::collections::BTreeMap;

use regex_lite::Regex;
use tortie_api::kinds::kube_controllers_configuration::{AutoHostEndpointConfig, Template as Written};
use tortie_net::{IpNet, parse_cidr};
use tortie_selector::Selector;

/// Which automatic host endpoints nodes get.
#[derive(Clone, Debug)]
pub struct Settings {
    written: AutoHostEndpointConfig,
    /// Whether each node gets the one for all its interfaces.
    pub(super) default: bool,
    /// Further ones, each with the reason where it cannot be read.
    pub(super) templates: Vec<Result<Template, String>>,
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

/// A host endpoint to make on every node that fits.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// What its name has beside the node's; may be empty.
    pub(super) name: String,
    pub(super) nodes: Selector,
    pub(super) nets: Vec<IpNet>,
    /// The interfaces that get one each; none for one endpoint with the addresses in `nets`.
    pub(super) interfaces: Option<Regex>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Settings {
    /// Reads settings: none if automatic host endpoints are off.
    pub fn read(written: AutoHostEndpointConfig) -> Result<Option<Self>, String> {
        let is_enabled = |field: &str, text: &str, default: bool| match text {
            "" => Ok(default),
            "Enabled" => Ok(true),
            "Disabled" => Ok(false),
            other => Err(format!("{field} is {other:?}, and must be Enabled or Disabled")),
        };
        if !is_enabled("autoCreate", &written.auto_create, false)? {
            return Ok(None);
        }
        let default = is_enabled("createDefaultHostEndpoint", &written.create_default_host_endpoint, true)?;
        let templates = written
            .templates
            .iter()
            .enumerate()
            .map(|(at, template)| Template::read(template).map_err(|why| format!("templates[{at}].{why}")));
        let templates = templates.collect();
        Ok(Some(Self { default, templates, written }))
    }
}

impl Template {
    fn read(written: &Written) -> Result<Self, String> {
        let Written { generate_name, interface_cidrs, interface_pattern, labels, annotations, node_selector } = written;
        let nodes = Selector::parse(node_selector).map_err(|error| format!("nodeSelector: {error}"))?;
        let nets = interface_cidrs.iter().map(|text| match parse_cidr(text) {
            Ok(net) => Ok(net.trunc()),
            Err(error) => Err(format!("interfaceCIDRs: {text:?}: {error}")),
        });
        let interfaces = match interface_pattern.as_str() {
            "" => None,
            _ if generate_name.is_empty() => {
                return Err(
                    "generateName is empty: a template with an interfacePattern needs it for its names".to_owned()
                );
            }
            pattern => Some(Regex::new(pattern).map_err(|error| format!("interfacePattern: {error}"))?),
        };
        Ok(Self {
            name: generate_name.clone(),
            nodes,
            nets: nets.collect::<Result<_, String>>()?,
            interfaces,
            labels: labels.clone(),
            annotations: annotations.clone(),
        })
    }
}
