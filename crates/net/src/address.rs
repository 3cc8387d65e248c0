//! Addresses and nets, read as Go's `net.ParseIP` and `net.ParseCIDR` read them.
//!
//! Three things differ from what Rust's own parsers do: an IPv4 address written inside IPv6
//! (`::ffff:10.0.0.1`) *is* that IPv4 address; so is a net of such addresses if its mask leaves the whole
//! `::ffff:` part fixed; and a prefix length may have leading zeros (`/08`). Zones (`fe80::1%eth0`) are
//! refused, as are leading zeros in an address.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How many bits of an IPv6 address come before an IPv4 address that is written inside it.
const MAPPED_BITS: u8 = 96;

/// Why a text is no address or net.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not an address at all.
    #[error("`{0}` is not an IP address")]
    Address(String),
    /// Neither a CIDR nor an address.
    #[error("`{0}` is not a CIDR or an IP address")]
    Net(String),
    /// A CIDR whose address has bits beyond its prefix.
    #[error("`{text}` has bits set beyond its prefix length; did you mean `{masked}`?")]
    HostBits {
        /// What was written.
        text: String,
        /// The net that it lies in.
        masked: IpNet,
    },
}

/// Reads an address.
pub fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical()),
        Err(_) => Err(AddressError::Address(text.to_owned())),
    }
}

/// Reads a CIDR or a bare address; the bits beyond the prefix must be zero.
pub fn parse_net(text: &str) -> Result<IpNet, AddressError> {
    let net = parse_cidr(text)?;
    let masked = net.trunc();
    if net == masked { Ok(net) } else { Err(AddressError::HostBits { text: text.to_owned(), masked }) }
}

/// Reads a CIDR or a bare address; bits beyond the prefix may be set and are kept.
pub fn parse_cidr(text: &str) -> Result<IpNet, AddressError> {
    let net = match text.split_once('/') {
        Some((address, length)) => cidr(address, length),
        None => parse_address(text).ok().map(IpNet::from),
    };
    net.ok_or_else(|| AddressError::Net(text.to_owned()))
}

fn cidr(address: &str, length: &str) -> Option<IpNet> {
    let length = prefix_length(length)?;
    match address.parse().ok()? {
        IpAddr::V4(v4) => Some(IpNet::V4(Ipv4Net::new(v4, length).ok()?)),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) if length >= MAPPED_BITS => Some(IpNet::V4(Ipv4Net::new(v4, length - MAPPED_BITS).ok()?)),
            _ => Some(IpNet::V6(Ipv6Net::new(v6, length).ok()?)),
        },
    }
}

/// Digits only: Rust's own parser would let a sign pass.
fn prefix_length(text: &str) -> Option<u8> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("1.2.3.4", Some("1.2.3.4")),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("::FFFF:102:304", Some("1.2.3.4")),
            ("fe80::1", Some("fe80::1")),
            ("FE80::0001", Some("fe80::1")),
            ("1:2:3:4:5:6:7::", Some("1:2:3:4:5:6:7:0")),
            ("::2:3:4:5:6:7:8", Some("0:2:3:4:5:6:7:8")),
            ("::1.2.3.4", Some("::102:304")),
            ("1:2:3:4:5:6:1.2.3.4", Some("1:2:3:4:5:6:102:304")),
            ("1:2:3:4:5::1.2.3.4", Some("1:2:3:4:5:0:102:304")),
            ("::", Some("::")),
            ("01.2.3.4", None),
            ("1.2.3", None),
            ("1.2.3.256", None),
            ("1.2.3.4.5", None),
            ("0x1.2.3.4", None),
            (" 1.2.3.4", None),
            ("", None),
            ("::1%eth0", None),
            ("1:2:3:4:5:6:7:8::", None),
            ("1::2::3", None),
            ("00001::", None),
            ("1:2:3:4:5:6:7:1.2.3.4", None),
            ("1:2:3:4:5:6::1.2.3.4", None),
            ("::1.2.3.04", None),
            ("::1.2.3.4:5", None),
        ] {
            let expected = expected.map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(parse_address(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn cidrs_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.0.0.1/8", Some("10.0.0.1/8")),
            ("10.0.0.0/08", Some("10.0.0.0/8")),
            ("10.0.0.0/0000000000000000000008", Some("10.0.0.0/8")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("::/0", Some("::/0")),
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("fd00::1", Some("fd00::1/128")),
            ("::ffff:10.0.0.1", Some("10.0.0.1/32")),
            ("::ffff:10.0.0.0/112", Some("10.0.0.0/16")),
            ("::ffff:10.0.0.0/24", Some("::ffff:10.0.0.0/24")),
            ("10.0.0.0/33", None),
            ("::/129", None),
            ("::ffff:10.0.0.0/129", None),
            ("10.0.0.0/", None),
            ("10.0.0.0/-1", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/ 8", None),
            ("10.0.0.0/8/9", None),
            ("10.0.0.0/255.0.0.0", None),
            ("10.0.0.0/99999999999999999999", None),
            ("10/8", None),
            ("/8", None),
            ("", None),
            ("fe80::%1/64", None),
        ] {
            let expected = expected.map(|text| text.parse::<IpNet>().unwrap());
            assert_eq!(parse_cidr(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn nets_must_be_masked_and_the_error_says_how() {
        assert_eq!(parse_net("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(parse_net("fd00::1").unwrap().to_string(), "fd00::1/128");
        assert!(parse_net("::ffff:10.0.0.0/24").is_err());
        assert!(parse_net("::ffff:0.0.0.0/95").is_err());
        assert_eq!(parse_net("::ffff:0.0.0.0/96").unwrap().to_string(), "0.0.0.0/0");
        assert_eq!(
            parse_net("10.0.0.1/8").unwrap_err().to_string(),
            "`10.0.0.1/8` has bits set beyond its prefix length; did you mean `10.0.0.0/8`?"
        );
    }
}
