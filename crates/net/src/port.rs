//! A rule's port: a number, a range, or the name that endpoints give to one of theirs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest name that can be read; that it is a good name is checked later, and by stricter rules.
const LONGEST_NAME: usize = 128;

/// A port as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// One port. 0 can be read but not used: validation refuses it.
    Number(u16),
    /// A range of ports. One that holds a single port is read as [`Port::Number`].
    Range(PortRange),
    /// The ports that endpoints have under this name.
    Name(String),
}

/// A range of port numbers, both ends included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text or number is not a port. The texts are Calico's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// All digits, but more than 65535.
    #[error("invalid port format ({0})")]
    Number(String),
    /// The first number of a range is more than 65535.
    #[error("invalid minimum port number in range ({0})")]
    RangeFirst(String),
    /// The second number of a range is more than 65535.
    #[error("invalid maximum port number in range ({0})")]
    RangeLast(String),
    /// A range that runs backwards.
    #[error("minimum port number ({first}) is greater than maximum port number ({last}) in port range")]
    Backwards {
        /// Where it would begin.
        first: u16,
        /// Where it would end.
        last: u16,
    },
    /// Not a number, not a range, and no name either.
    #[error("invalid name for named port ({0})")]
    Name(String),
    /// A JSON or YAML number that is not a whole number from 0 to 65535.
    #[error("cannot unmarshal number {0} into Go value of type uint16")]
    JsonNumber(String),
}

impl PortRange {
    /// The range from `first` to `last`.
    pub fn new(first: u16, last: u16) -> Result<PortRange, PortError> {
        if first > last {
            return Err(PortError::Backwards { first, last });
        }
        Ok(PortRange { first, last })
    }

    /// The range that is one port.
    pub fn single(port: u16) -> PortRange {
        PortRange { first: port, last: port }
    }

    /// Its lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Its highest port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether the port is in it.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Port {
    /// The port numbers it stands for by itself; none for a name.
    pub fn range(&self) -> Option<PortRange> {
        match self {
            Port::Number(port) => Some(PortRange::single(*port)),
            Port::Range(range) => Some(*range),
            Port::Name(_) => None,
        }
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Port::Name(name) => Some(name),
            _ => None,
        }
    }
}

impl From<PortRange> for Port {
    fn from(range: PortRange) -> Self {
        if range.first == range.last { Port::Number(range.first) } else { Port::Range(range) }
    }
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        if all_digits(text) {
            let number = text.parse().map_err(|_| PortError::Number(text.to_owned()))?;
            return Ok(Port::Number(number));
        }
        if let Some((first, last)) = text.split_once(':')
            && all_digits(first)
            && all_digits(last)
        {
            let first = first.parse().map_err(|_| PortError::RangeFirst(text.to_owned()))?;
            let last = last.parse().map_err(|_| PortError::RangeLast(text.to_owned()))?;
            return PortRange::new(first, last).map(Port::from);
        }
        let in_names = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(in_names) {
            Ok(Port::Name(text.to_owned()))
        } else {
            Err(PortError::Name(text.to_owned()))
        }
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            fmt::Display::fmt(&self.first, f)
        } else {
            write!(f, "{}:{}", self.first, self.last)
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Number(port) => fmt::Display::fmt(port, f),
            Port::Range(range) => fmt::Display::fmt(range, f),
            Port::Name(name) => f.pad(name),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Port::Number(port) => serializer.serialize_u16(*port),
            Port::Range(range) => serializer.collect_str(range),
            Port::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Port;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port number, a range of ports or a port's name")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Port, E> {
        u16::try_from(number).map(Port::Number).map_err(|_| E::custom(PortError::JsonNumber(number.to_string())))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Port, E> {
        Err(E::custom(PortError::JsonNumber(number.to_string())))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Port, E> {
        Err(E::custom(PortError::JsonNumber(number.to_string())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Port, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ranges_and_names_are_read_and_printed() {
        for (text, printed) in [
            ("80", "80"),
            ("0", "0"),
            ("0080", "80"),
            ("65535", "65535"),
            ("1:65535", "1:65535"),
            ("80:80", "80"),
            ("http", "http"),
            ("-1", "-1"),
            ("1-2", "1-2"),
            ("8080.a_b-c", "8080.a_b-c"),
        ] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), printed);
        }
        assert_eq!("80:80".parse::<Port>().unwrap(), Port::Number(80));
        assert_eq!("-1".parse::<Port>().unwrap().name(), Some("-1"));
        assert!("a".repeat(128).parse::<Port>().is_ok());
    }

    #[test]
    fn invalid_ports_get_calicos_texts() {
        let long = "a".repeat(129);
        for (text, error) in [
            ("65536", "invalid port format (65536)".to_owned()),
            ("99999999999999999999", "invalid port format (99999999999999999999)".to_owned()),
            ("65536:1", "invalid minimum port number in range (65536:1)".to_owned()),
            ("1:65536", "invalid maximum port number in range (1:65536)".to_owned()),
            ("65535:1", "minimum port number (65535) is greater than maximum port number (1) in port range".to_owned()),
            ("", "invalid name for named port ()".to_owned()),
            ("1:2:3", "invalid name for named port (1:2:3)".to_owned()),
            ("1:", "invalid name for named port (1:)".to_owned()),
            (":1", "invalid name for named port (:1)".to_owned()),
            ("80 ", "invalid name for named port (80 )".to_owned()),
            ("+80", "invalid name for named port (+80)".to_owned()),
            ("a b", "invalid name for named port (a b)".to_owned()),
            ("é", "invalid name for named port (é)".to_owned()),
            (&long, format!("invalid name for named port ({long})")),
        ] {
            assert_eq!(text.parse::<Port>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_named_port_has_no_numbers() {
        assert_eq!(Port::Name("http".into()).range(), None);
        let range = "10:12".parse::<Port>().unwrap().range().unwrap();
        assert!(range.contains(10) && range.contains(12) && !range.contains(13));
    }

    #[test]
    fn json_is_a_number_or_a_text() {
        use serde::de::value::{Error, I64Deserializer, StrDeserializer, U64Deserializer};
        let number = |n| Port::deserialize(U64Deserializer::<Error>::new(n));
        assert_eq!(number(80).unwrap(), Port::Number(80));
        assert_eq!(
            Port::deserialize(StrDeserializer::<Error>::new("1:2")).unwrap(),
            Port::Range(PortRange::new(1, 2).unwrap())
        );
        assert_eq!(
            number(65536).unwrap_err().to_string(),
            "cannot unmarshal number 65536 into Go value of type uint16"
        );
        assert!(Port::deserialize(I64Deserializer::<Error>::new(-1)).is_err());
    }
}
