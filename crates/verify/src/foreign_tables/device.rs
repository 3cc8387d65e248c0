//! Chains of other programs beside the hooks from prerouting to postrouting: at the ingress and egress of devices, and at the
//! hooks of bridges.

use tortie_nft::dump::TableDump;
use tortie_nft::foreign::{DeviceChain, ForeignTable};
use tortie_nft::{BaseChain, Chain, Hook, TableId};
use tortie_policy::machine::Machine;
use tortie_policy::packet::{Conntrack, Packet, PacketPath};

use super::{Asked, Effect, HookPlace, base_chains, followed, source, translated};

/// More than any priority at a device.
const DEVICES: i32 = 1 << 24;

/// How a device is to the interface of a packet.
#[derive(PartialEq)]
enum Is {
    /// The interface itself.
    Itself,
    /// One below, by which its packets come in or leave: a port of it, what carries it, or one below these.
    Below,
    Elsewhere,
}

fn ends(packet: &Packet) -> (Option<&str>, Option<&str>) {
    let enters = match &packet.path {
        PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. } => Some(interface.as_str()),
        PacketPath::Output { .. } => None,
    };
    (enters, packet.leaves_by(packet.conntrack != Conntrack::Untracked))
}

/// Whether a device of a chain is the interface or one below it. Where nobody tells of the machine, every other one may be below.
fn is_at(device: &str, interface: &str, machine: Option<&Machine>) -> Is {
    let names = |name: &str| match device.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == device,
    };
    if names(interface) {
        return Is::Itself;
    }
    match machine.is_none_or(|machine| machine.below(interface).into_iter().any(names)) {
        true => Is::Below,
        false => Is::Elsewhere,
    }
}

/// What the chains at devices do with a packet. Those at its own interfaces are evaluated; those at an interface below are only
/// named if they can drop, since neither the interface of the packet nor its form there is known.
pub(super) fn effect(table: &ForeignTable, asked: Asked<'_>) -> Effect {
    let (from, to) = ends(asked.packet);
    let place = |chain: &DeviceChain| {
        let Some(interface) = (if chain.egress { to } else { from }) else { return Is::Elsewhere };
        let all: Vec<Is> = chain.devices.iter().map(|device| is_at(device, interface, asked.machine)).collect();
        [Is::Itself, Is::Below].into_iter().find(|is| all.contains(is)).unwrap_or(Is::Elsewhere)
    };
    let own: Vec<&DeviceChain> = table.devices.iter().filter(|chain| place(chain) == Is::Itself).collect();
    if !own.is_empty() {
        match followed(&as_hooks(&table.dump, &own), asked) {
            Effect::Nothing => {}
            // The chains were followed as those of another family.
            Effect::Unclear { why, may_drop, may_translate, may_change } => {
                let id = &table.dump.table.id;
                let why = why.replace(&TableId::inet(&id.name).to_string(), &id.to_string());
                return Effect::Unclear { why, may_drop, may_translate, may_change };
            }
            effect => return effect,
        }
    }
    let below = |name: &str| table.devices.iter().any(|chain| chain.name == name && place(chain) == Is::Below);
    let may = base_chains(table).into_iter().find(|chain| {
        matches!(chain.place, HookPlace::Ingress(_) | HookPlace::Egress(_)) && below(&chain.name) && chain.may_drop()
    });
    match may {
        None => Effect::Nothing,
        Some(chain) => Effect::Unclear {
            why: format!("chain {} at the {} was not followed", chain.name, chain.place),
            may_drop: true,
            may_translate: None,
            may_change: false,
        },
    }
}

/// What the chains at the hooks of bridges may do with a packet that enters or leaves by a bridge.
pub(super) fn bridge_effect(table: &ForeignTable, asked: Asked<'_>) -> Effect {
    let (from, to) = ends(asked.packet);
    // A VLAN of a bridge is carried by it. Where nobody tells of the machine, every interface may be a bridge.
    let crosses_bridge = |name: &str| {
        asked.machine.is_none_or(|machine| {
            let is_bridge = |name: &str| machine.ports.iter().any(|port| port.kind == "bridge" && port.master == name);
            is_bridge(name) || machine.below(name).into_iter().any(is_bridge)
        })
    };
    let crosses = from.is_some_and(crosses_bridge) || to.is_some_and(crosses_bridge);
    match base_chains(table).into_iter().find(|chain| crosses && chain.may_drop()) {
        None => Effect::Nothing,
        Some(chain) => Effect::Unclear {
            why: format!("chain {} at the {} was not followed", chain.name, chain.place),
            may_drop: true,
            may_translate: None,
            may_change: false,
        },
    }
}

/// The table with these chains where a packet meets them first and last, and no others at hooks.
fn as_hooks(table: &TableDump, chains: &[&DeviceChain]) -> TableDump {
    let base = |chain: &&DeviceChain| {
        // What enters by a device is not yet tracked or translated, and what leaves by one is.
        let priority = chain.priority.clamp(-DEVICES, DEVICES);
        let (hook, priority) = if chain.egress {
            (Hook::Postrouting, priority + 2 * DEVICES)
        } else {
            (Hook::Prerouting, priority - 2 * DEVICES)
        };
        Chain::base(&chain.name, BaseChain { policy: chain.policy, ..BaseChain::filter(hook, priority) })
    };
    let mut dump = table.clone();
    dump.table.id = TableId::inet(&table.table.id.name);
    let is_added = |chain: &Chain| [translated::CHAIN, source::CHAIN].contains(&chain.name.as_str());
    dump.chains.iter_mut().filter(|chain| !is_added(chain)).for_each(|chain| chain.base = None);
    dump.chains.extend(chains.iter().map(base));
    dump
}
