//! Features that objects in the store ask for and the agent does not have: tunnels between nodes, BGP, and limits of bandwidth.
//! `status` notes them.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::Kind;
use tortie_policy::{Pool, Settings};

/// The name of the note about limits of bandwidth.
pub(crate) const BANDWIDTH: &str = "bandwidth limits";
/// The name of the note about classes of service.
pub(crate) const DSCP: &str = "classes of service (DSCP)";

/// How many endpoints are named at most.
const MAX_NAMED: usize = 5;

/// The note about workload endpoints of this node that ask for an unsupported feature; none if there are none.
pub(crate) fn asked_by(endpoints: &BTreeSet<String>) -> Option<String> {
    let named: Vec<&str> = endpoints.iter().take(MAX_NAMED).map(String::as_str).collect();
    let more = endpoints.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| format!("asked for by {}{more}; tortie makes none", named.join(", ")))
}

/// The name of the note about tunnels.
pub(crate) const TUNNELS: &str = "tunnels";

/// The note about tunnels that pools and settings ask for; none if they ask for none.
pub(crate) fn tunnels<'a>(pools: impl Iterator<Item = &'a Pool> + Clone, settings: &Settings) -> Option<String> {
    let named = |what: &str, asks: fn(&Pool) -> bool| {
        let names: Vec<&str> = pools.clone().filter(|pool| asks(pool)).map(|pool| pool.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{what} (IPPool {})", names.join(", ")))
    };
    let wireguard = settings.wireguard.is_some() || settings.wireguard_v6.is_some();
    let wireguard = wireguard.then(|| "WireGuard (FelixConfiguration)".to_owned());
    let asked = [named("IPIP", |pool| pool.ipip), named("VXLAN", |pool| pool.vxlan), wireguard];
    let asked: Vec<String> = asked.into_iter().flatten().collect();
    (!asked.is_empty())
        .then(|| format!("{} asked for; tortie makes no tunnels and encrypts nothing between nodes", asked.join(", ")))
}

/// The note about objects for BGP in the store; none if there are none.
pub(crate) fn bgp(counts: &BTreeMap<Kind, usize>) -> Option<String> {
    let kinds = [Kind::BGPConfiguration, Kind::BGPFilter, Kind::BGPPeer];
    let found = kinds.iter().filter_map(|kind| counts.get(kind).filter(|count| **count > 0).map(|count| (kind, count)));
    let found: Vec<String> = found.map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    (!found.is_empty()).then(|| format!("BGP: the store has {}; tortie speaks no BGP", found.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, ipip: bool, vxlan: bool) -> Pool {
        let net = "10.0.0.0/16".parse().unwrap();
        Pool { name: name.to_owned(), net, nat_outgoing: false, ipip, vxlan, load_balancer_only: false }
    }

    #[test]
    fn tunnels_are_named_with_the_pools_that_ask_for_them_and_only_then() {
        let plain = Settings::default();
        assert_eq!(tunnels([pool("a", false, false)].iter(), &plain), None);
        let pools = [pool("a", true, false), pool("b", false, true), pool("c", true, false)];
        let expected = "IPIP (IPPool a, c), VXLAN (IPPool b) asked for; tortie makes no tunnels and encrypts nothing between nodes";
        assert_eq!(tunnels(pools.iter(), &plain).as_deref(), Some(expected));
        for settings in [
            Settings { wireguard: Some(51820), ..Settings::default() },
            Settings { wireguard_v6: Some(51821), ..Settings::default() },
        ] {
            let note = tunnels([].iter(), &settings).unwrap();
            assert!(note.starts_with("WireGuard (FelixConfiguration) asked for"), "{note}");
        }
    }

    #[test]
    fn endpoints_that_ask_for_unsupported_features_are_named_up_to_five() {
        let all: BTreeSet<String> = (0..7).map(|number| format!("wep/shop/{number}")).collect();
        assert_eq!(asked_by(&BTreeSet::new()), None);
        let expected =
            "asked for by wep/shop/0, wep/shop/1, wep/shop/2, wep/shop/3, wep/shop/4 and 2 more; tortie makes none";
        assert_eq!(asked_by(&all).as_deref(), Some(expected));
    }

    #[test]
    fn objects_about_bgp_are_counted() {
        assert_eq!(bgp(&BTreeMap::from([(Kind::Node, 3), (Kind::BGPPeer, 0)])), None);
        let note = bgp(&BTreeMap::from([(Kind::BGPPeer, 2), (Kind::BGPConfiguration, 1)]));
        assert_eq!(note.as_deref(), Some("BGP: the store has 1 BGPConfiguration, 2 BGPPeer; tortie speaks no BGP"));
    }
}
