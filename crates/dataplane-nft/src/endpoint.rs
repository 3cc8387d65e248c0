//! Endpoints as elements of maps: at each stage the name of an interface leads to a program.
//!
//! Endpoints with the same program share everything but their elements. Only limits of its own give a workload chains of
//! its own.

use tortie_dataplane::{Endpoint, Place};
use tortie_nft::expr::{Connlimit, Limit, LimitKind, Reject};
use tortie_nft::{DataType, Element, Key, Verdict, interface_name};
use tortie_policy::{Direction, Family, Limits, Settings};

use crate::match_expr::{address_type, fields, octets};
use crate::program::chain_name;
use crate::stage::Stage;
use crate::table_content::{ChainContent, Line};

/// What one endpoint puts into the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RenderedEndpoint {
    /// Elements by the name of their map or set.
    pub(crate) elements: Vec<(String, Element)>,
    /// Chains of its own by name.
    pub(crate) chains: Vec<(String, ChainContent)>,
}

/// What the names of chains of an endpoint's own have in them.
pub(crate) const OWN: &str = "/of/";

/// The set of the interfaces that workload endpoints govern.
pub(crate) const WORKLOADS: &str = "workloads";

/// The set of sources that workloads may send from although they are not their own.
pub(crate) fn exceptions(family: Family) -> String {
    match family {
        Family::V4 => "source-exceptions4".to_owned(),
        Family::V6 => "source-exceptions6".to_owned(),
    }
}

/// Writes one endpoint. `*` has no elements: it is the end of the base chains.
pub(crate) fn render(place: &Place, endpoint: &Endpoint, settings: &Settings) -> RenderedEndpoint {
    let (Place::Workload(interface) | Place::Host(interface)) = place else { return RenderedEndpoint::default() };
    // A name that is none governs nothing.
    let Some(key) = interface_name(interface) else { return RenderedEndpoint::default() };
    let mut rendered = RenderedEndpoint::default();
    for stage in Stage::ALL.into_iter().filter(|stage| stage.is_at(place)) {
        if let Some(chain) = target(stage, interface, endpoint, settings, &mut rendered) {
            let element = Element::verdict(Key::One(key.to_vec()), Verdict::Goto(chain));
            rendered.elements.push((stage.tag().to_owned(), element.comment(endpoint.id.to_string())));
        }
    }
    if matches!(place, Place::Workload(_)) {
        let element = Element::new(Key::One(key.to_vec())).comment(endpoint.id.to_string());
        rendered.elements.push((WORKLOADS.to_owned(), element));
    }
    if settings.spoofing_allowed && matches!(place, Place::Workload(_)) {
        for net in crate::match_expr::outermost(endpoint.spoofing.iter().copied()) {
            let family = Family::of_net(&net);
            let fields = fields(&[DataType::IfName, address_type(family)]);
            let value = |address| fields.value([&key[..], &octets(address)]);
            let range = Key::range(value(net.network()), value(net.broadcast()));
            rendered.elements.push((exceptions(family), Element::new(range).comment(endpoint.id.to_string())));
        }
    }
    rendered
}

/// Where a stage's map leads for an endpoint; nowhere if it leaves the stage to others.
fn target(
    stage: Stage,
    interface: &str,
    endpoint: &Endpoint,
    settings: &Settings,
    rendered: &mut RenderedEndpoint,
) -> Option<String> {
    let Some(program) = stage.program(endpoint) else {
        // It hides `*` from its interface.
        return matches!(stage, Stage::ForwardIn | Stage::ForwardOut).then(|| stage.nothing());
    };
    let chain = chain_name(stage.chains(settings), program);
    let direction = match stage {
        Stage::WorkloadIngress => Direction::Ingress,
        Stage::WorkloadEgress => Direction::Egress,
        _ => return Some(chain),
    };
    let limits = *endpoint.limits.get(direction);
    if limits == Limits::default() {
        return Some(chain);
    }
    let own = format!("{}{OWN}{}", stage.tag(), crate::names::clean(interface));
    let form = ChainContent::new(limited(stage, limits, chain));
    rendered.chains.push((own.clone(), form));
    Some(own)
}

/// Limits of packets come before established/related packets are accepted, limits of connections after.
fn limited(stage: Stage, limits: Limits, program: String) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(rate) = limits.packets {
        let limit = Limit {
            rate: rate.per_second.into(),
            unit: 1,
            burst: if rate.burst == 0 { 5 } else { rate.burst },
            kind: LimitKind::Packets,
            inverted: true,
        };
        lines.push(Line::new().expr(limit).count().verdict(Verdict::Drop).note("too many packets"));
    }
    if let Some(count) = limits.connections {
        lines.push(Line::new().jump(stage.early()));
        let limit = Connlimit { count, inverted: true };
        lines.push(Line::new().expr(limit).count().expr(Reject::TcpReset).note("too many connections"));
    }
    lines.push(Line::new().goto(program));
    lines
}
