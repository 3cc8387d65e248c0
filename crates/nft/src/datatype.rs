//! The types of set keys and map values.
//!
//! The kernel keeps a type number for each set and does not look at it; `nft` prints elements by it.
//! A concatenation's number is its fields' numbers, six bits each. In a key each field is padded to
//! four bytes, as the registers are.
//!
//! The numbers were compared with what `nft` 1.0.6 sends, type by type
//! (`tests/roundtrip.rs`).

use crate::wire::{DecodeError, padded};

/// The bits of one field's number in a concatenation's.
const FIELD_BITS: u32 = 6;
/// The most fields that fit a type number.
const FIELDS_MAX: usize = 5;

/// `nft`'s number for bytes in host order.
const HOST_ORDER: u32 = 1;
/// `nft`'s number for bytes in network order.
const NETWORK_ORDER: u32 = 2;

macro_rules! types {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $len:literal, $order:ident, $name:literal;)*) => {
        /// The type of one field.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum DataType { $($(#[$doc])* $variant = $number,)* }

        impl DataType {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its length in bytes, without padding.
            pub const fn byte_len(self) -> usize {
                match self { $(Self::$variant => $len,)* }
            }

            /// What `nft` calls it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            const fn order(self) -> u32 {
                match self { $(Self::$variant => $order,)* }
            }
        }
    };
}

types! {
    /// 2 for IPv4, 10 for IPv6.
    NfProto = 2, 1, HOST_ORDER, "nf_proto";
    /// An IPv4 address.
    Ipv4 = 7, 4, NETWORK_ORDER, "ipv4_addr";
    /// An IPv6 address.
    Ipv6 = 8, 16, NETWORK_ORDER, "ipv6_addr";
    /// A MAC address.
    Ether = 9, 6, NETWORK_ORDER, "ether_addr";
    /// An ether type.
    EtherType = 10, 2, NETWORK_ORDER, "ether_type";
    /// A protocol number.
    Protocol = 12, 1, NETWORK_ORDER, "inet_proto";
    /// A port.
    Port = 13, 2, NETWORK_ORDER, "inet_service";
    /// An ICMP type.
    IcmpType = 14, 1, NETWORK_ORDER, "icmp_type";
    /// A packet's or connection's mark.
    Mark = 19, 4, HOST_ORDER, "mark";
    /// An interface index.
    IfIndex = 20, 4, HOST_ORDER, "iface_index";
    /// A packet's priority.
    Priority = 23, 4, HOST_ORDER, "classid";
    /// A connection's state.
    CtState = 26, 4, HOST_ORDER, "ct_state";
    /// A connection's status.
    CtStatus = 28, 4, HOST_ORDER, "ct_status";
    /// An ICMPv6 type.
    Icmp6Type = 29, 1, NETWORK_ORDER, "icmpv6_type";
    /// An ICMP code.
    IcmpCode = 32, 1, NETWORK_ORDER, "icmp_code";
    /// An ICMPv6 code.
    Icmp6Code = 33, 1, NETWORK_ORDER, "icmpv6_code";
    /// An interface name, filled up with zeros.
    IfName = 41, 16, HOST_ORDER, "ifname";
}

impl DataType {
    /// The kernel's and `nft`'s number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    fn from_number(number: u32) -> Result<Self, DecodeError> {
        let found = Self::ALL.iter().find(|kind| kind.number() == number);
        found.copied().ok_or(DecodeError::Unknown { what: "a data type", value: number.into() })
    }
}

/// A field, or a concatenation of up to five.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fields(Vec<DataType>);

impl Fields {
    /// These fields, in this order; none if there are none or too many.
    pub fn new(fields: impl IntoIterator<Item = DataType>) -> Option<Self> {
        let fields: Vec<_> = fields.into_iter().collect();
        (1..=FIELDS_MAX).contains(&fields.len()).then_some(Self(fields))
    }

    /// One field.
    pub fn one(field: DataType) -> Self {
        Self(vec![field])
    }

    /// The fields.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = DataType> {
        self.0.iter().copied()
    }

    /// Whether there is more than one.
    pub fn is_concatenation(&self) -> bool {
        self.0.len() > 1
    }

    /// The length of a value in bytes; of a concatenation with the padding of each field.
    pub fn value_len(&self) -> usize {
        match self.0.as_slice() {
            [one] => one.byte_len(),
            many => many.iter().map(|field| padded(field.byte_len())).sum(),
        }
    }

    /// The value made of these parts, each padded as the type needs. The parts are taken as they are:
    /// one of a wrong length makes a value that the kernel refuses.
    pub fn value<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.value_len());
        for part in parts {
            value.extend_from_slice(part);
            if self.is_concatenation() {
                value.resize(padded(value.len()), 0);
            }
        }
        value
    }

    pub(crate) fn number(&self) -> u32 {
        self.0.iter().fold(0, |number, field| number << FIELD_BITS | field.number())
    }

    pub(crate) fn byte_order(&self) -> u32 {
        match self.0.as_slice() {
            [one] => one.order(),
            _ => 0,
        }
    }

    pub(crate) fn from_number(mut number: u32) -> Result<Self, DecodeError> {
        let mut fields = Vec::new();
        while number != 0 {
            fields.push(DataType::from_number(number & ((1 << FIELD_BITS) - 1))?);
            number >>= FIELD_BITS;
        }
        fields.reverse();
        Self::new(fields).ok_or(DecodeError::Unknown { what: "a data type", value: 0 })
    }
}

impl From<DataType> for Fields {
    fn from(field: DataType) -> Self {
        Self::one(field)
    }
}

/// An interface name as a key, filled up with zeros; none if it does not fit.
pub fn interface_name(name: &str) -> Option<[u8; 16]> {
    let mut key = [0; 16];
    let space = key.get_mut(..name.len()).filter(|space| space.len() < 16 && !name.is_empty())?;
    space.copy_from_slice(name.as_bytes());
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concatenation_is_its_fields_numbers_in_order() {
        let fields = Fields::new([DataType::Ipv4, DataType::Protocol, DataType::Port]).unwrap();
        assert_eq!(fields.number(), 7 << 12 | 12 << 6 | 13);
        assert_eq!(Fields::from_number(fields.number()).unwrap(), fields);
        assert_eq!(fields.value_len(), 12);
        assert_eq!(fields.value([&[10, 0, 0, 1][..], &[6], &[0, 80]]), [10, 0, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0]);
    }

    #[test]
    fn one_field_has_no_padding() {
        assert_eq!(Fields::one(DataType::Port).value_len(), 2);
        assert_eq!(Fields::one(DataType::Port).value([&[0, 80][..]]), [0, 80]);
    }

    #[test]
    fn numbers_without_a_type_are_errors() {
        assert!(Fields::from_number(0).is_err());
        assert!(Fields::from_number(63).is_err());
        assert!(Fields::from_number(7 << 6).is_err());
    }

    #[test]
    fn an_interface_name_leaves_room_for_its_end() {
        assert_eq!(interface_name("eth0").unwrap()[..5], *b"eth0\0");
        assert!(interface_name("exactly15chars_").is_some());
        assert!(interface_name("sixteen_chars_xx").is_none() && interface_name("").is_none());
    }
}
