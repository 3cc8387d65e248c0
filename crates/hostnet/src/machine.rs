//! The routes of this machine and the interfaces that are ports of others, read once on request.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_netlink::wire::{Attrs, Message, address, host_u32, lossy_text};
use tortie_netlink::{Buffers, Protocol, RequestError, Socket};
use tortie_policy::machine::{ChoosingRule, DroppingRule, Incoming, Machine, Port, Route, RouteKind};

use crate::links::message::{self, IFINFO};
use crate::route::{RTMSG, hops, of_family};
use crate::sysctl;

const BUFFERS: Buffers = Buffers { send: 64 << 10, receive: 256 << 10 };
/// More routes than this are not kept: whoever routes for the Internet is asked for the interface.
const MAX_ROUTES: usize = 20_000;
/// Kinds of masters at which packets are seen instead of at their ports.
const MASTERS: [&str; 5] = ["bridge", "bond", "team", "vrf", "openvswitch"];
/// Kinds of interfaces that take frames of the interface that carries them before it hands them on.
const STACKED: [&str; 5] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"];
/// Length of `struct fib_rule_hdr`.
const RULE: usize = 12;

/// The routes of the network namespace of the calling thread, its interfaces that are ports of others, and those that
/// are down. Needs no privilege.
pub fn machine() -> Result<Machine, RequestError> {
    let mut socket = Socket::open(Protocol::Route, 0, BUFFERS)?;
    let links = links(&mut socket)?;
    let names: BTreeMap<u32, &Link> = links.iter().map(|link| (link.index, link)).collect();
    let down = links.iter().filter(|link| !link.is_running).map(|link| link.name.clone()).collect();
    let carried_by = links.iter().filter_map(|link| Some((link.name.clone(), names.get(&link.carrier?)?.name.clone())));
    let carried_by = carried_by.collect();
    let indexes = links.iter().map(|link| (link.name.clone(), link.index)).collect();
    let incoming = incoming(&links);
    let bridges = bridges(&links);
    let inner = inner(&links);
    let isolated = links.iter().filter(|link| link.is_isolated).map(|link| link.name.clone()).collect();
    let mut machine =
        Machine { carried_by, down, inner, indexes, incoming, bridges, isolated, ..interfaces_of(&links, &names) };
    for (at, family) in [libc::AF_INET, libc::AF_INET6].into_iter().enumerate() {
        let each = |(all, others): &mut (Vec<Route>, Vec<(u32, Route)>), message: &Message<'_>| {
            match route(message, &names) {
                Some((route, _, true)) if all.len() <= MAX_ROUTES => all.push(route),
                Some((route, table, false)) if others.len() <= MAX_ROUTES => others.push((table, route)),
                _ => {}
            }
            Ok(())
        };
        let (routes, others) =
            socket.dump("list the routes", libc::RTM_GETROUTE, &of_family::<RTMSG>(family), |_| (), each)?;
        let mut partial = (routes.len() > MAX_ROUTES).then(|| format!("it has more than {MAX_ROUTES} routes"));
        machine.routes.extend(routes);
        let each = |rules: &mut Vec<Rule>, message: &Message<'_>| {
            rules.extend(rule(message));
            Ok(())
        };
        let rules: Vec<Rule> =
            socket.dump("list the routing rules", libc::RTM_GETRULE, &of_family::<RULE>(family), |_| (), each)?;
        if rules.iter().any(|rule| !rule.is_usual) {
            partial = Some("it chooses routes by rules of its own (ip rule)".to_owned());
            machine.choosing_rules.extend(rules.iter().filter_map(|rule| rule.chooses.clone()));
            machine.dropping_rules.extend(dropping(rules));
            let blocked = others.iter().filter(|(_, route)| route.kind == RouteKind::Blocked);
            machine.dropping_rules.extend(blocked.map(|(_, route)| DroppingRule {
                ipv6: family == libc::AF_INET6,
                from: route.from,
                to: Some(route.to),
                incoming: None,
                is_certain: false,
            }));
            machine.other_tables.extend(others);
        }
        machine.complete[at] = partial.is_none();
        machine.partial = machine.partial.or(partial);
    }
    Ok(machine)
}

/// A machine of which only this is known: the interfaces that are ports of others, and those that are stacked on others.
pub fn masters() -> Result<Machine, RequestError> {
    let links = links(&mut Socket::open(Protocol::Route, 0, BUFFERS)?)?;
    let names = links.iter().map(|link| (link.index, link)).collect();
    Ok(interfaces_of(&links, &names))
}

/// What is done with packets that come in by these interfaces.
fn incoming(links: &[Link]) -> BTreeMap<String, Incoming> {
    let of_all = |name: &str| sysctl::number::<u32>(&format!("ipv4/conf/all/{name}")).unwrap_or_default();
    let (all, localnet) = (of_all("rp_filter"), of_all("route_localnet") != 0);
    // Of IPv6 this setting counts for all interfaces, but since Linux 6.17 an interface may say otherwise.
    let forwards_ipv6 = sysctl::number::<u32>("ipv6/conf/all/forwarding").is_none_or(|value| value != 0);
    let of = |link: &Link| {
        let [forwarding, rp_filter, route_localnet] = link.ipv4?;
        let forced = || sysctl::number::<u32>(&format!("ipv6/conf/{}/force_forwarding", link.name));
        let forwards_ipv6 = forwards_ipv6 || forced().is_some_and(|value| value != 0);
        let incoming = Incoming {
            forwards_ipv4: forwarding != 0,
            forwards_ipv6,
            rp_filter: rp_filter.max(all),
            route_localnet: Some(localnet || route_localnet != 0),
            without_ipv6: !link.takes_ipv6,
        };
        Some((link.name.clone(), incoming))
    };
    links.iter().filter_map(of).collect()
}

/// The settings `forwarding`, `rp_filter` and `route_localnet` of an interface, from what it says of its IPv4 (`IFLA_INET_CONF`).
fn ipv4_settings(of_families: &[u8]) -> Option<[u32; 3]> {
    let of_ipv4 = Attrs::new(of_families).find(libc::AF_INET as u16)?;
    let settings = Attrs::new(of_ipv4).find(IFLA_INET_CONF)?;
    let number = |setting: usize| host_u32(settings.get((setting - 1) * 4..setting * 4)?);
    let [forwarding, rp_filter] = [IPV4_DEVCONF_FORWARDING, IPV4_DEVCONF_RP_FILTER].map(number);
    Some([forwarding?, rp_filter?, number(IPV4_DEVCONF_ROUTE_LOCALNET)?])
}

/// Whether an interface may take in IPv6, from what it says of it (`IFLA_INET6_CONF`).
fn takes_ipv6(of_families: &[u8]) -> bool {
    let of_ipv6 = Attrs::new(of_families).find(libc::AF_INET6 as u16);
    let settings = of_ipv6.and_then(|of_ipv6| Attrs::new(of_ipv6).find(IFLA_INET6_CONF));
    let at = DEVCONF_DISABLE_IPV6 * 4;
    settings.and_then(|settings| host_u32(settings.get(at..at + 4)?)).is_none_or(|disabled| disabled == 0)
}

struct Link {
    index: u32,
    name: String,
    master: Option<u32>,
    /// The interface of this namespace that carries its packets; not the other end of a pair.
    carrier: Option<u32>,
    kind: Option<String>,
    /// Of a bridge: whether its own settings ask rules about the IPv4 and IPv6 packets between its ports.
    calls: [bool; 2],
    is_running: bool,
    /// A port of a bridge that hands on nothing to other ports like it.
    is_isolated: bool,
    /// Its settings `forwarding`, `rp_filter` and `route_localnet` of IPv4.
    ipv4: Option<[u32; 3]>,
    takes_ipv6: bool,
}

fn links(socket: &mut Socket) -> Result<Vec<Link>, RequestError> {
    let each = |all: &mut Vec<Link>, message: &Message<'_>| {
        all.extend(link(message));
        Ok(())
    };
    socket.dump("list the interfaces", libc::RTM_GETLINK, &[0; IFINFO], |_| (), each)
}

fn link(message: &Message<'_>) -> Option<Link> {
    if message.kind != libc::RTM_NEWLINK {
        return None;
    }
    let (index, flags, attrs) = message::link(message)?;
    let running = (libc::IFF_UP | libc::IFF_RUNNING).cast_unsigned();
    let info = attrs.clone().find(libc::IFLA_LINKINFO);
    let kind = info.and_then(|info| Attrs::new(info).find(libc::IFLA_INFO_KIND)).map(lossy_text);
    let data = info.and_then(|info| Attrs::new(info).find(libc::IFLA_INFO_DATA));
    let is_set =
        |attr| data.and_then(|data| Attrs::new(data).find(attr)).is_some_and(|value| value.first() == Some(&1));
    let calls = [is_set(IFLA_BR_NF_CALL_IPTABLES), is_set(IFLA_BR_NF_CALL_IP6TABLES)];
    let of_port = info.and_then(|info| Attrs::new(info).find(IFLA_INFO_SLAVE_DATA));
    let is_isolated = of_port.and_then(|data| Attrs::new(data).find(IFLA_BRPORT_ISOLATED));
    let is_here = attrs.clone().find(libc::IFLA_LINK_NETNSID).is_none() && kind.as_deref() != Some("veth");
    let carrier = attrs.clone().find(libc::IFLA_LINK).and_then(host_u32);
    Some(Link {
        index,
        name: attrs.clone().find(libc::IFLA_IFNAME).map(lossy_text)?,
        ipv4: attrs.clone().find(libc::IFLA_AF_SPEC).and_then(ipv4_settings),
        takes_ipv6: attrs.clone().find(libc::IFLA_AF_SPEC).is_none_or(takes_ipv6),
        is_isolated: is_isolated.is_some_and(|value| value.first() == Some(&1)),
        master: attrs.find(libc::IFLA_MASTER).and_then(host_u32),
        carrier: carrier.filter(|carrier| is_here && *carrier != index),
        kind,
        calls,
        is_running: flags & running == running,
    })
}

fn interfaces_of(links: &[Link], names: &BTreeMap<u32, &Link>) -> Machine {
    let port = |link: &Link| {
        let master = names.get(&link.master?)?;
        let kind = master.kind.clone().filter(|kind| MASTERS.contains(&kind.as_str()))?;
        Some(Port { name: link.name.clone(), master: master.name.clone(), kind })
    };
    let stacked = |link: &Link| {
        let kind = link.kind.clone().filter(|kind| STACKED.contains(&kind.as_str()))?;
        Some(Port { name: names.get(&link.carrier?)?.name.clone(), master: link.name.clone(), kind })
    };
    let (ports, stacked) = (links.iter().filter_map(port).collect(), links.iter().filter_map(stacked).collect());
    Machine { ports, stacked, ..Machine::default() }
}

/// Of each bridge, whether rules are asked about the IPv4 and IPv6 packets that it hands on: by the setting of the namespace or by its
/// own. Without br_netfilter neither counts, and the first does not exist.
fn bridges(links: &[Link]) -> BTreeMap<String, [bool; 2]> {
    let of_all = ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"]
        .map(|file| sysctl::number::<u32>(&format!("bridge/{file}")));
    let asks = |link: &Link| [0, 1].map(|at| of_all[at].is_some_and(|value| value != 0 || link.calls[at]));
    let bridges = links.iter().filter(|link| link.kind.as_deref() == Some("bridge"));
    bridges.map(|link| (link.name.clone(), asks(link))).collect()
}

/// The dummies, and the bridges whose ports are all dummies or lead to containers and virtual machines.
fn inner(links: &[Link]) -> Vec<String> {
    let is_dummy = |link: &Link| link.kind.as_deref() == Some("dummy");
    let is_inner_port = |port: &Link| is_dummy(port) || matches!(port.kind.as_deref(), Some("veth" | "tun"));
    let is_inner = |link: &&Link| {
        let mut ports = links.iter().filter(|port| port.master == Some(link.index));
        is_dummy(link) || link.kind.as_deref() == Some("bridge") && ports.all(is_inner_port)
    };
    links.iter().filter(is_inner).map(|link| link.name.clone()).collect()
}

/// Reads a route, its table, and whether every packet is looked up in that; none if it is of no interest.
fn route(message: &Message<'_>, names: &BTreeMap<u32, &Link>) -> Option<(Route, u32, bool)> {
    if message.kind != libc::RTM_NEWROUTE {
        return None;
    }
    let (&[family, prefix, from, tos, table, _, _, kind, f0, f1, f2, f3], rest) =
        message.body.split_first_chunk::<RTMSG>()?;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    // What is dead leads nowhere, and what is for one type of service is not for an ordinary packet.
    let passed_over = flags & RTNH_F_LINKDOWN != 0;
    if flags & libc::RTM_F_CLONED != 0 || flags & RTNH_F_DEAD != 0 && !passed_over || tos != 0 {
        return None;
    }
    let is_ipv4 = i32::from(family) == libc::AF_INET;
    let unspecified: IpAddr = if is_ipv4 { [0; 4].into() } else { [0; 16].into() };
    let passed_over = passed_over && flags & RTNH_F_DEAD != 0;
    let mut route = Route { passed_over, ..Route::to(IpNet::new(unspecified, prefix).ok()?) };
    let name = |index: u32| names.get(&index).map(|link| link.name.clone());
    let mut table = u32::from(table);
    for attr in Attrs::new(rest).flatten() {
        match attr.kind {
            libc::RTA_TABLE => table = host_u32(attr.payload)?,
            libc::RTA_DST => route.to = IpNet::new(address(attr.payload)?, prefix).ok()?,
            libc::RTA_SRC => route.from = Some(IpNet::new(address(attr.payload)?, from).ok()?),
            libc::RTA_OIF => route.interfaces.extend(host_u32(attr.payload).and_then(name)),
            libc::RTA_PRIORITY => route.metric = host_u32(attr.payload)?,
            libc::RTA_PREFSRC => route.source = address(attr.payload),
            libc::RTA_MULTIPATH => {
                let used = hops(attr.payload).filter(|hop| u32::from(hop.flags) & RTNH_F_DEAD == 0);
                route.interfaces.extend(used.filter_map(|hop| name(hop.index)));
            }
            RTA_PREF => route.preference = preference(attr.payload),
            // The kernel removes it a while later.
            libc::RTA_CACHEINFO if is_expired(attr.payload) => return None,
            _ => (),
        }
    }
    route.interfaces.dedup();
    route.kind = match kind {
        libc::RTN_UNICAST if is_ipv4 => RouteKind::Unicast,
        libc::RTN_LOCAL => RouteKind::Local,
        libc::RTN_BROADCAST if is_ipv4 => RouteKind::Broadcast,
        libc::RTN_MULTICAST if route.to.addr().is_multicast() => RouteKind::Multicast,
        libc::RTN_MULTICAST | libc::RTN_ANYCAST if is_ipv4 => RouteKind::NotForwarded,
        libc::RTN_ANYCAST => RouteKind::Local,
        // IPv6 takes no notice of these types, and sends nothing by the loopback interface.
        libc::RTN_UNICAST | libc::RTN_BROADCAST | libc::RTN_MULTICAST if !is_ipv4 && route.interfaces != ["lo"] => {
            RouteKind::Unicast
        }
        _ => RouteKind::Blocked,
    };
    route.local_table = table == u32::from(libc::RT_TABLE_LOCAL);
    // IPv6 has no rule for the table `default`.
    route.default_table = is_ipv4 && table == u32::from(libc::RT_TABLE_DEFAULT);
    let is_usual = route.local_table || route.default_table || table == u32::from(libc::RT_TABLE_MAIN);
    Some((route, table, is_usual))
}

/// `ICMPV6_ROUTER_PREF_HIGH`, `ICMPV6_ROUTER_PREF_LOW` and others, as numbers in their order.
fn preference(payload: &[u8]) -> i8 {
    match payload.first() {
        Some(1) => 1,
        Some(3) => -1,
        _ => 0,
    }
}

/// Whether `struct rta_cacheinfo` says that the time of a route is over.
fn is_expired(cacheinfo: &[u8]) -> bool {
    let expires = cacheinfo.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    expires.is_some_and(|expires| expires < 0)
}

/// A routing rule.
struct Rule {
    /// It only asks one of the tables local, main and default, for every packet, as in a machine that nobody has told otherwise.
    is_usual: bool,
    /// It only asks the table local, in which the machine's own addresses are.
    is_local: bool,
    /// What it drops; certain if it has no other condition.
    drops: Option<DroppingRule>,
    /// What it may choose, if it is not usual and drops nothing.
    chooses: Option<ChoosingRule>,
}

/// Reads a routing rule; none if the message is about something else.
fn rule(message: &Message<'_>) -> Option<Rule> {
    if message.kind != libc::RTM_NEWRULE {
        return None;
    }
    let unknown = Rule { is_usual: false, is_local: false, drops: None, chooses: None };
    let Some((&[family, to, from, tos, table, _, _, action, f0, f1, f2, f3], rest)) =
        message.body.split_first_chunk::<RULE>()
    else {
        return Some(unknown);
    };
    let is_inverted = u32::from_ne_bytes([f0, f1, f2, f3]) & FIB_RULE_INVERT != 0;
    let mut drops = DroppingRule {
        ipv6: i32::from(family) == libc::AF_INET6,
        from: None,
        to: None,
        incoming: None,
        is_certain: true,
    };
    let (mut table, mut priority, mut others) = (u32::from(table), 0, tos != 0 || is_inverted);
    for attr in Attrs::new(rest).flatten() {
        match attr.kind {
            FRA_DST => drops.to = IpNet::new(address(attr.payload)?, to).ok(),
            FRA_SRC => drops.from = IpNet::new(address(attr.payload)?, from).ok(),
            FRA_IIFNAME => drops.incoming = Some(lossy_text(attr.payload)),
            FRA_TABLE => table = host_u32(attr.payload).unwrap_or_default(),
            FRA_PRIORITY => priority = host_u32(attr.payload).unwrap_or_default(),
            FRA_PROTOCOL => (),
            FRA_SUPPRESS_PREFIXLEN => others |= host_u32(attr.payload) != Some(u32::MAX),
            _ => others = true,
        }
    }
    if is_inverted {
        (drops.from, drops.to, drops.incoming) = (None, None, None);
    }
    drops.is_certain = !others;
    let is_for_all = !others && [to, from] == [0; 2] && drops.incoming.is_none();
    let [local, main, default] = [libc::RT_TABLE_LOCAL, libc::RT_TABLE_MAIN, libc::RT_TABLE_DEFAULT].map(u32::from);
    let is_usual = is_for_all && action == FR_ACT_TO_TBL && [local, main, default].contains(&table);
    let is_drop = matches!(action, FR_ACT_BLACKHOLE | FR_ACT_UNREACHABLE | FR_ACT_PROHIBIT);
    let DroppingRule { ipv6, from, to, incoming, .. } = drops.clone();
    let table = (action == FR_ACT_TO_TBL && table != 0).then_some(table);
    let chooses = ChoosingRule { ipv6, priority, from, to, incoming, table };
    Some(Rule {
        is_usual,
        is_local: is_usual && table == Some(local),
        drops: is_drop.then_some(drops),
        chooses: (!is_usual && !is_drop).then_some(chooses),
    })
}

/// The rules that drop packets, of all rules in their order. Nothing is certain behind a rule that may have chosen a route.
fn dropping(rules: Vec<Rule>) -> Vec<DroppingRule> {
    let mut is_first = true;
    let mut found = Vec::new();
    for rule in rules {
        match rule.drops {
            Some(drops) => found.push(DroppingRule { is_certain: drops.is_certain && is_first, ..drops }),
            None => is_first &= rule.is_local,
        }
    }
    found
}

const IFLA_INET_CONF: u16 = 1;
const IFLA_BR_NF_CALL_IPTABLES: u16 = 36;
const IFLA_BR_NF_CALL_IP6TABLES: u16 = 37;
const IPV4_DEVCONF_FORWARDING: usize = 1;
const IPV4_DEVCONF_RP_FILTER: usize = 8;
const IPV4_DEVCONF_ROUTE_LOCALNET: usize = 26;
const IFLA_INET6_CONF: u16 = 2;
const DEVCONF_DISABLE_IPV6: usize = 26;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const RTA_PREF: u16 = 20;
const RTNH_F_DEAD: u32 = 1;
const RTNH_F_LINKDOWN: u32 = 16;
const FIB_RULE_INVERT: u32 = 2;
const FR_ACT_TO_TBL: u8 = 1;
const FR_ACT_BLACKHOLE: u8 = 6;
const FR_ACT_UNREACHABLE: u8 = 7;
const FR_ACT_PROHIBIT: u8 = 8;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_SUPPRESS_PREFIXLEN: u16 = 14;
const FRA_TABLE: u16 = 15;
const FRA_PROTOCOL: u16 = 21;
