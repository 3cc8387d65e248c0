//! Chains of other programs beside the hooks from prerouting to postrouting: at the ingress and egress of devices, and at the
//! hooks of bridges.

use tortie_nft::dump::TableDump;
use tortie_nft::foreign::{DeviceChain, ForeignTable};
use tortie_nft::{BaseChain, Chain, Hook, TableId};
use tortie_policy::machine::{Machine, Port};
use tortie_policy::packet::{Host, Packet, Way};

use super::{Effect, HookPlace, base_chains, followed};

/// How a device is to the interface of a packet.
#[derive(PartialEq)]
enum Is {
    /// The interface itself.
    Itself,
    /// One that hands its packets to the interface, or to one that does.
    Port,
    Elsewhere,
}

fn ends(way: &Way) -> (Option<&str>, Option<&str>) {
    match way {
        Way::In { interface } => (Some(interface), None),
        Way::Forward { from, to } => (Some(from), Some(to)),
        Way::Out { interface } => (None, Some(interface)),
    }
}

/// Whether a device of a chain is the interface or one of its ports.
fn is_at(device: &str, interface: &str, machine: Option<&Machine>) -> Is {
    let names = |name: &str| match device.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == device,
    };
    if names(interface) {
        return Is::Itself;
    }
    let ports = machine.map_or(&[][..], |machine| &machine.ports);
    let leads = |port: &Port| {
        let mut at = Some(port);
        // No more steps than ports.
        (0..ports.len()).any(|_| {
            let master = at.map(|port| &port.master);
            at = ports.iter().find(|port| Some(&port.name) == master);
            master.is_some_and(|master| master == interface)
        })
    };
    match ports.iter().any(|port| names(&port.name) && leads(port)) {
        true => Is::Port,
        false => Is::Elsewhere,
    }
}

/// What the chains at devices do with a packet. Those at its own interfaces are evaluated; those at a port below are only
/// named if they can drop, since the port of the packet is not known.
pub(super) fn effect(table: &ForeignTable, host: &Host, machine: Option<&Machine>, packet: &Packet) -> Effect {
    let (from, to) = ends(&packet.way);
    let place = |chain: &DeviceChain| {
        let Some(interface) = (if chain.egress { to } else { from }) else { return Is::Elsewhere };
        let all: Vec<Is> = chain.devices.iter().map(|device| is_at(device, interface, machine)).collect();
        [Is::Itself, Is::Port].into_iter().find(|is| all.contains(is)).unwrap_or(Is::Elsewhere)
    };
    let own: Vec<&DeviceChain> = table.devices.iter().filter(|chain| place(chain) == Is::Itself).collect();
    if !own.is_empty() {
        match followed(&as_hooks(&table.dump, &own), host, machine, packet) {
            Effect::Nothing => {}
            effect => return effect,
        }
    }
    let below = |name: &str| table.devices.iter().any(|chain| chain.name == name && place(chain) == Is::Port);
    let may = base_chains(table).into_iter().find(|chain| {
        matches!(chain.place, HookPlace::Ingress(_) | HookPlace::Egress(_)) && below(&chain.name) && chain.may_drop()
    });
    match may {
        None => Effect::Nothing,
        Some(chain) => Effect::Unclear {
            why: format!("chain {} at the {} was not followed", chain.name, chain.place),
            may_drop: true,
            may_translate: None,
        },
    }
}

/// What the chains at the hooks of bridges may do with a packet that enters or leaves by a bridge.
pub(super) fn bridge_effect(table: &ForeignTable, machine: Option<&Machine>, packet: &Packet) -> Effect {
    let (from, to) = ends(&packet.way);
    let is_bridge = |name: &str| {
        machine.is_some_and(|machine| machine.ports.iter().any(|port| port.kind == "bridge" && port.master == name))
    };
    let crosses = from.is_some_and(is_bridge) || to.is_some_and(is_bridge);
    match base_chains(table).into_iter().find(|chain| crosses && chain.may_drop()) {
        None => Effect::Nothing,
        Some(chain) => Effect::Unclear {
            why: format!("chain {} at the {} was not followed", chain.name, chain.place),
            may_drop: true,
            may_translate: None,
        },
    }
}

/// The table with these chains where a packet meets them first and last, and no others at hooks.
fn as_hooks(table: &TableDump, chains: &[&DeviceChain]) -> TableDump {
    let base = |chain: &&DeviceChain| {
        let hook = if chain.egress { Hook::Postrouting } else { Hook::Prerouting };
        Chain::base(&chain.name, BaseChain { policy: chain.policy, ..BaseChain::filter(hook, chain.priority) })
    };
    let mut dump = table.clone();
    dump.table.id = TableId::inet(&table.table.id.name);
    dump.chains.iter_mut().for_each(|chain| chain.base = None);
    dump.chains.extend(chains.iter().map(base));
    dump
}
