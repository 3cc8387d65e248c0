//! A table of another program, read as far as it can be: what has a type here, chains at the hooks of devices, and what cannot be
//! decoded, by kind and name. It is never changed.
//!
//! Source: `enum nft_hook_attributes`, `NFT_NETDEV_*`, `NF_NETDEV_INGRESS` of `linux/netfilter.h`.

use tortie_netlink::RequestError;

use crate::chain::{Chain, Policy};
use crate::dump::{TableDump, objects};
use crate::inventory::{self, ForeignObject};
use crate::message::GET_CHAIN;
use crate::socket::Socket;
use crate::table::{Family, TableId};
use crate::wire::{Attrs, DecodeError, Message, be_u32, expect, table, text};

const NAME: usize = 3;
const HOOK: usize = 4;
const POLICY: usize = 5;

/// `NF_NETDEV_INGRESS`, `NF_NETDEV_EGRESS`.
const NETDEV_INGRESS: u32 = 0;
const NETDEV_EGRESS: u32 = 1;
/// `NF_INET_INGRESS`.
const INET_INGRESS: u32 = 5;

/// A table of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignTable {
    /// What has a type here. Chains at the hooks of devices are not among its chains, and their rules are among its rules.
    pub dump: TableDump,
    /// Its chains at the hooks of devices.
    pub devices: Vec<DeviceChain>,
    /// What cannot be decoded.
    pub undecoded: Vec<ForeignObject>,
    /// Its flowtables: packets of the connections in one pass none of the hooks from prerouting to postrouting.
    pub flowtables: Vec<String>,
}

impl From<TableDump> for ForeignTable {
    /// One of which everything has a type here.
    fn from(dump: TableDump) -> Self {
        Self { dump, devices: Vec::new(), undecoded: Vec::new(), flowtables: Vec::new() }
    }
}

/// A base chain at the hook of devices: what comes in by them meets it before all other hooks, what leaves by them behind all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceChain {
    /// Its name.
    pub name: String,
    /// What leaves meets it, not what comes in.
    pub egress: bool,
    /// Its place among the chains of the hook, lowest first.
    pub priority: i32,
    /// What becomes of packets that nothing decided.
    pub policy: Policy,
    /// The devices; a name that ends in `*` stands for all that begin so.
    pub devices: Vec<String>,
}

/// Reads a table of another program; none if it does not exist.
pub fn read(socket: &mut Socket, id: &TableId) -> Result<Option<ForeignTable>, RequestError> {
    let found = inventory::read(socket, id)?;
    let Some(dump) = found.table else { return Ok(None) };
    let decode = |message: &Message<'_>| Ok(device_chain(message, id.family).ok().flatten());
    let devices: Vec<DeviceChain> = objects(socket, GET_CHAIN, id, |_| (), decode)?.into_iter().flatten().collect();
    let mut table = ForeignTable { devices, ..ForeignTable::from(dump) };
    // In this family the numbers of its hooks mean others where a chain was read without its device.
    let is_device = |name: &str| table.devices.iter().any(|chain| chain.name == name);
    table.dump.chains.retain(|chain: &Chain| !is_device(&chain.name));
    for object in found.foreign {
        match (object.kind, &object.reason) {
            ("chain", _) if is_device(&object.name) => {}
            (_, Some(_)) => table.undecoded.push(object),
            ("flowtable", None) => table.flowtables.push(object.name),
            // Counters, limits and the like, which only the rules use that name them.
            (_, None) => {}
        }
    }
    Ok(Some(table))
}

/// The chain of a message, if it is at the hook of devices.
fn device_chain(message: &Message<'_>, family: Family) -> Result<Option<DeviceChain>, DecodeError> {
    let found = table::<13>(message.nfnetlink()?.1)?;
    let Some(hook) = found[HOOK] else { return Ok(None) };
    let [_, number, priority, device, devices] = table::<5>(Attrs::new(hook))?;
    let egress = match (family, be_u32(expect(number, "a hook")?, "a hook")?) {
        (Family::Netdev, NETDEV_INGRESS) | (Family::Inet, INET_INGRESS) => false,
        (Family::Netdev, NETDEV_EGRESS) => true,
        _ => return Ok(None),
    };
    let mut devices = match (devices, device) {
        (Some(devices), _) => device_names(devices)?,
        (None, Some(device)) => vec![text(device, "a device")?],
        (None, None) => Vec::new(),
    };
    devices.sort();
    Ok(Some(DeviceChain {
        name: text(expect(found[NAME], "a chain's name")?, "a chain's name")?,
        egress,
        priority: be_u32(expect(priority, "a priority")?, "a priority")?.cast_signed(),
        policy: found[POLICY].map_or(Ok(Policy::Accept), |policy| Policy::from_number(be_u32(policy, "a policy")?))?,
        devices,
    }))
}

/// `NFTA_DEVICE_NAME` is 1; 2 is the beginning of names.
fn device_names(list: &[u8]) -> Result<Vec<String>, DecodeError> {
    Attrs::new(list)
        .map(|attr| {
            let attr = attr?;
            let name = text(attr.payload, "a device")?;
            Ok(if attr.kind == 2 { name + "*" } else { name })
        })
        .collect()
}
