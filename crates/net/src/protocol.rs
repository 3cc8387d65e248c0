//! A rule's protocol: a number from 1 to 255, or one of six names.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU8;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A protocol as it was written.
///
/// Two are equal if their numbers are, so `TCP` equals `6`; each prints as it was written.
#[derive(Clone, Copy)]
pub struct Protocol {
    number: NonZeroU8,
    written_as_name: bool,
}

/// Why a text is not a protocol. The texts are Calico's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A number outside 1 to 255.
    #[error("protocol number invalid")]
    Number,
    /// None of the names. In manifests their case counts.
    #[error("protocol name invalid")]
    Name,
    /// A JSON or YAML number that is not a whole number from 0 to 255.
    #[error("cannot unmarshal number {0} into Go value of type uint8")]
    JsonNumber(String),
}

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Protocol = Protocol::named(1);
    /// TCP.
    pub const TCP: Protocol = Protocol::named(6);
    /// UDP.
    pub const UDP: Protocol = Protocol::named(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Protocol = Protocol::named(58);
    /// SCTP.
    pub const SCTP: Protocol = Protocol::named(132);
    /// UDP-Lite.
    pub const UDPLITE: Protocol = Protocol::named(136);

    /// The protocols that have names, and the names.
    pub const NAMES: [(&'static str, Protocol); 6] = [
        ("TCP", Protocol::TCP),
        ("UDP", Protocol::UDP),
        ("ICMP", Protocol::ICMP),
        ("ICMPv6", Protocol::ICMPV6),
        ("SCTP", Protocol::SCTP),
        ("UDPLite", Protocol::UDPLITE),
    ];

    const fn named(number: u8) -> Protocol {
        Protocol {
            number: NonZeroU8::new(number).expect("named protocols have numbers above 0"),
            written_as_name: true,
        }
    }

    /// The protocol with this number, written as a number. There is no protocol 0 in a rule.
    pub fn from_number(number: u8) -> Result<Protocol, ProtocolError> {
        let number = NonZeroU8::new(number).ok_or(ProtocolError::Number)?;
        Ok(Protocol { number, written_as_name: false })
    }

    /// Reads a number or a name in any case: for people at a command line, and for what older programs stored.
    pub fn parse_any_case(text: &str) -> Result<Protocol, ProtocolError> {
        parse(text, str::eq_ignore_ascii_case)
    }

    /// The number in the packet.
    pub fn number(self) -> u8 {
        self.number.get()
    }

    /// The name, if this protocol has one, however it was written.
    pub fn name(self) -> Option<&'static str> {
        let (name, _) = Protocol::NAMES.iter().find(|(_, named)| *named == self)?;
        Some(name)
    }

    /// Whether rules may name ports with this protocol: TCP, UDP and SCTP. UDP-Lite is not among them.
    pub fn has_ports(self) -> bool {
        self == Protocol::TCP || self == Protocol::UDP || self == Protocol::SCTP
    }
}

fn parse(text: &str, same: fn(&str, &str) -> bool) -> Result<Protocol, ProtocolError> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More than 255 was never a number to Calico, so it is told off as a name.
        let number = text.parse().map_err(|_| ProtocolError::Name)?;
        return Protocol::from_number(number);
    }
    let named = Protocol::NAMES.iter().find(|(name, _)| same(name, text));
    named.map(|(_, protocol)| *protocol).ok_or(ProtocolError::Name)
}

impl FromStr for Protocol {
    type Err = ProtocolError;

    /// Reads a number or a name as a manifest has it: the case of a name counts.
    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        parse(text, |name, text| name == text)
    }
}

impl PartialEq for Protocol {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Protocol {}

impl PartialOrd for Protocol {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Protocol {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl Hash for Protocol {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name().filter(|_| self.written_as_name) {
            Some(name) => f.pad(name),
            None => fmt::Display::fmt(&self.number, f),
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.name().filter(|_| self.written_as_name) {
            Some(name) => serializer.serialize_str(name),
            None => serializer.serialize_u8(self.number()),
        }
    }
}

impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Protocol;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a protocol's number or name")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Protocol, E> {
        u8::try_from(number)
            .map_err(|_| ProtocolError::JsonNumber(number.to_string()))
            .and_then(Protocol::from_number)
            .map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Protocol, E> {
        Err(E::custom(ProtocolError::JsonNumber(number.to_string())))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Protocol, E> {
        Err(E::custom(ProtocolError::JsonNumber(number.to_string())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Protocol, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_exact_names_are_read_and_printed_as_written() {
        for (text, number, printed) in [
            ("TCP", 6, "TCP"),
            ("UDP", 17, "UDP"),
            ("ICMP", 1, "ICMP"),
            ("ICMPv6", 58, "ICMPv6"),
            ("SCTP", 132, "SCTP"),
            ("UDPLite", 136, "UDPLite"),
            ("6", 6, "6"),
            ("006", 6, "6"),
            ("255", 255, "255"),
        ] {
            let protocol: Protocol = text.parse().unwrap();
            assert_eq!(protocol.number(), number, "{text}");
            assert_eq!(protocol.to_string(), printed, "{text}");
        }
    }

    #[test]
    fn invalid_protocols_are_refused_with_calicos_text() {
        for (text, reason) in [
            ("0", ProtocolError::Number),
            ("256", ProtocolError::Name),
            ("tcp", ProtocolError::Name),
            ("icmpv6", ProtocolError::Name),
            ("+6", ProtocolError::Name),
            ("-6", ProtocolError::Name),
            ("", ProtocolError::Name),
            ("GRE", ProtocolError::Name),
        ] {
            assert_eq!(text.parse::<Protocol>().unwrap_err(), reason, "{text}");
        }
    }

    #[test]
    fn the_command_line_accepts_any_case() {
        assert_eq!(Protocol::parse_any_case("udplite").unwrap(), Protocol::UDPLITE);
        assert_eq!(Protocol::parse_any_case("IcmpV6").unwrap().number(), 58);
        assert_eq!(Protocol::parse_any_case("47").unwrap().number(), 47);
        assert!(Protocol::parse_any_case("gre").is_err());
    }

    #[test]
    fn a_name_equals_its_number() {
        let number = Protocol::from_number(6).unwrap();
        assert_eq!(number, Protocol::TCP);
        assert_eq!(number.name(), Some("TCP"));
        assert_ne!(number.to_string(), Protocol::TCP.to_string());
    }

    #[test]
    fn only_tcp_udp_and_sctp_have_ports() {
        let with: Vec<u8> = (1..=255).filter(|n| Protocol::from_number(*n).unwrap().has_ports()).collect();
        assert_eq!(with, [6, 17, 132]);
    }

    #[test]
    fn json_is_a_number_or_a_text() {
        use serde::de::value::{Error, I64Deserializer, StrDeserializer, U64Deserializer};
        let number = |n| Protocol::deserialize(U64Deserializer::<Error>::new(n));
        let text = |t| Protocol::deserialize(StrDeserializer::<Error>::new(t));
        assert_eq!(number(6).unwrap().to_string(), "6");
        assert_eq!(text("6").unwrap().to_string(), "6");
        assert_eq!(text("TCP").unwrap().to_string(), "TCP");
        assert_eq!(number(0).unwrap_err().to_string(), "protocol number invalid");
        assert_eq!(number(256).unwrap_err().to_string(), "cannot unmarshal number 256 into Go value of type uint8");
        assert!(Protocol::deserialize(I64Deserializer::<Error>::new(-1)).is_err());
    }
}
