//! Addresses, nets, ports and protocols, as users write them and as the rest of the workspace holds them.
//!
//! Texts are read exactly as Calico's own programs read them (Go's `net` package and `numorstring`), so a
//! manifest is accepted here if and only if it is accepted there. Nets are [`ipnet`]'s types, exported again
//! so that every crate means the same ones. [`CoveringSet`] holds the members of an address set and says
//! which of them a kernel has to know.
//!
//! What a field may hold beyond its shape (port 0, a name that is no Kubernetes port name, an empty net) is
//! for the validation of resources to say.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
mod covering;
mod interface;
mod mac;
mod port;
mod protocol;

pub use address::{AddressError, parse_address, parse_cidr, parse_net};
pub use covering::{CoveringSet, Delta};
pub use interface::{PrefixError, interface_prefixes, is_interface_filter};
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use mac::{Mac, MacError};
pub use port::{Port, PortError, PortRange};
pub use protocol::{Protocol, ProtocolError};
