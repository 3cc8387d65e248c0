//! Why an endpoint of this node governs no interface, as the agent sees it: for `status` and for reports of other endpoints.
//! `explain::not_in_force` says the same from the store alone.

use std::collections::BTreeMap;

use tortie_dataplane::Place;
use tortie_hostnet::has_prefix;
use tortie_policy::{EndpointId, GovernedInterfaces};

use crate::status_cell::NamedInterface;

/// The first host endpoint whose interface cannot be read: it governs every interface of the host.
pub(crate) fn without_readable_interface(named: &BTreeMap<EndpointId, NamedInterface>) -> Option<String> {
    let is_unreadable = |named: &NamedInterface| *named == NamedInterface::Host(GovernedInterfaces::Unreadable);
    named.iter().find(|(_, named)| is_unreadable(named)).map(|(id, _)| id.to_string())
}

/// Why an endpoint that names this interface governs none. `unreadable` is the one of
/// [`without_readable_interface`]; `governor` returns the endpoint that governs a place; `prefixes` are those of workloads' interfaces.
pub(crate) fn why(
    named: &NamedInterface,
    unreadable: Option<&str>,
    governor: &dyn Fn(Place) -> Option<String>,
    prefixes: &[String],
) -> String {
    let is_workload = |name: &str| has_prefix(name, prefixes);
    match named {
        NamedInterface::Host(_) if let Some(first) = unreadable => {
            format!("{first}, whose interface cannot be read, governs every interface of the host")
        }
        NamedInterface::Host(GovernedInterfaces::ByAddress) => {
            "no interface has one of its expectedIPs, or endpoints whose names sort first govern those that do"
                .to_owned()
        }
        NamedInterface::Host(GovernedInterfaces::All | GovernedInterfaces::Unreadable) => {
            match governor(Place::AnyHost) {
                Some(governor) => format!("{governor}, whose name sorts first, is for all interfaces too"),
                None => "another endpoint for all interfaces comes before it".to_owned(),
            }
        }
        NamedInterface::Host(GovernedInterfaces::Named(name)) => match governor(Place::Host(name.clone())) {
            Some(governor) => format!("{governor}, whose name sorts first, governs {name}"),
            None => format!("a setting leaves {name} out"),
        },
        NamedInterface::Workload { interface, spoofs } => match governor(Place::Workload(interface.clone())) {
            Some(governor) => {
                format!("{governor}, which comes first by orchestrator, workload and endpoint, governs {interface}")
            }
            None if !is_workload(interface) => {
                format!("{interface} begins with none of the prefixes of workloads' interfaces (interfacePrefix)")
            }
            None if *spoofs => format!(
                "it asks for allowSpoofedSourcePrefixes while workloadSourceSpoofing is Disabled, so {interface} stays closed"
            ),
            None => "its interface cannot be read".to_owned(),
        },
    }
}
