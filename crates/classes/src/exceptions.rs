//! Nets of which almost all addresses are meant: `198.51.100.0/24 except 198.51.100.7` instead of eight pieces.

use ipnet::IpNet;

use crate::addresses::AddressSet;

/// A net of which more pieces than this are missing is told in pieces.
pub(crate) const MAX_MISSING_PIECES: usize = 3;
/// Sets of more pieces than this are not looked at: nobody reads them.
const TOO_MANY: usize = 2_000;

/// A net, and what of it is not meant, which may be nothing.
pub(crate) struct NetExcept {
    pub(crate) net: IpNet,
    pub(crate) exceptions: Vec<IpNet>,
}

/// Nets, with holes where they have any, that tell some addresses with fewer words than their pieces would. Each net holds only
/// addresses of `meant` and its holes; what no such net holds is left out.
pub(crate) fn nets_with_exceptions(addresses: &AddressSet, meant: &AddressSet) -> Vec<NetExcept> {
    let mut found = Vec::new();
    if addresses.nets().take(TOO_MANY + 1).count() > TOO_MANY {
        return found;
    }
    for whole in ["0.0.0.0/0", "::/0"].iter().filter_map(|text| text.parse::<IpNet>().ok()) {
        best(whole, addresses, meant, &mut found);
    }
    found
}

/// How many nets and exceptions the addresses inside of a net take at best; the nets with holes are put to `found`.
fn best(net: IpNet, addresses: &AddressSet, meant: &AddressSet, found: &mut Vec<NetExcept>) -> usize {
    let span = AddressSet::of_nets([&net]);
    let (inside, meant) = (addresses.intersection(&span), meant.intersection(&span));
    let pieces = inside.nets().count();
    if pieces < 2 {
        return pieces;
    }
    let before = found.len();
    let length = net.prefix_len() + 1;
    let halves = net.subnets(length).into_iter().flatten();
    let divided: usize = halves.map(|half| best(half, &inside, &meant, found)).sum();
    let exceptions: Vec<IpNet> = span.minus(&meant).nets().take(MAX_MISSING_PIECES + 1).collect();
    let whole = 1 + exceptions.len();
    if exceptions.len() > MAX_MISSING_PIECES || whole >= divided {
        return divided;
    }
    found.truncate(before);
    found.push(NetExcept { net, exceptions });
    whole
}
