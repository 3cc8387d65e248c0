//! Hardware addresses, in every form that Go's `net.ParseMAC` takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest form: an IP-over-InfiniBand link-layer address.
const MAX_BYTES: usize = 20;

/// A hardware address of 6, 8 or 20 bytes. Printed as lower-case pairs with colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac {
    bytes: [u8; MAX_BYTES],
    length: u8,
}

/// Why a text is no hardware address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address")]
pub struct MacError(String);

impl Mac {
    /// The address's bytes: 6, 8 or 20 of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The six bytes of an Ethernet address; none for the longer kinds.
    pub fn ethernet(&self) -> Option<[u8; 6]> {
        self.as_bytes().try_into().ok()
    }
}

impl From<[u8; 6]> for Mac {
    fn from(ethernet: [u8; 6]) -> Self {
        let mut bytes = [0; MAX_BYTES];
        bytes[..6].copy_from_slice(&ethernet);
        Mac { bytes, length: 6 }
    }
}

impl FromStr for Mac {
    type Err = MacError;

    /// Reads `00:00:5e:00:53:01`, `00-00-5e-00-53-01`, `0000.5e00.5301` or `00005e005301`, and their longer kin.
    fn from_str(text: &str) -> Result<Self, MacError> {
        read(text.as_bytes()).ok_or_else(|| MacError(text.to_owned()))
    }
}

fn read(text: &[u8]) -> Option<Mac> {
    // The first separator tells how many digits stand in a group; it must be the only one used.
    let (separator, digits) = match (text.get(2)?, text.get(4)?) {
        (&separator @ (b':' | b'-'), _) => (Some(separator), 2),
        (_, b'.') => (Some(b'.'), 4),
        _ => (None, text.len()),
    };
    let mut mac = Mac { bytes: [0; MAX_BYTES], length: 0 };
    let mut groups = text.chunks(digits + usize::from(separator.is_some()));
    let last = groups.next_back()?;
    for group in groups {
        let (mark, pairs) = group.split_last()?;
        if Some(*mark) != separator {
            return None;
        }
        push(&mut mac, pairs)?;
    }
    if last.len() != digits {
        return None;
    }
    push(&mut mac, last)?;
    matches!(mac.length, 6 | 8 | 20).then_some(mac)
}

fn push(mac: &mut Mac, pairs: &[u8]) -> Option<()> {
    for pair in pairs.chunks(2) {
        let &[high, low] = pair else { return None };
        let high = char::from(high).to_digit(16)?;
        let low = char::from(low).to_digit(16)?;
        *mac.bytes.get_mut(usize::from(mac.length))? = u8::try_from(high << 4 | low).ok()?;
        mac.length += 1;
    }
    Some(())
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.as_bytes().iter().enumerate() {
            let separator = if i == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_that_go_accepts_are_accepted() {
        let eui = "02:00:5e:10:00:00:00:01";
        let infiniband = "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01";
        for (text, expected) in [
            ("00:00:5e:00:53:01", "00:00:5e:00:53:01"),
            ("00-00-5E-00-53-01", "00:00:5e:00:53:01"),
            ("0000.5e00.5301", "00:00:5e:00:53:01"),
            ("00005e005301", "00:00:5e:00:53:01"),
            (eui, eui),
            ("0200.5e10.0000.0001", eui),
            ("02005e1000000001", eui),
            (infiniband, infiniband),
            ("0000.0000.fe80.0000.0000.0000.0200.5e10.0000.0001", infiniband),
        ] {
            let mac: Mac = text.parse().unwrap();
            assert_eq!(mac.to_string(), expected, "{text}");
        }
        assert_eq!("00:00:5e:00:53:01".parse::<Mac>().unwrap().ethernet(), Some([0, 0, 0x5e, 0, 0x53, 1]));
        assert_eq!(eui.parse::<Mac>().unwrap().ethernet(), None);
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "00:00:5e:00:53",
            "00:00:5e:00:53:",
            "00:00:5e:00:53:01:",
            "00:00-5e:00:53:01",
            "0:0:5e:0:53:1",
            "00:00:5e:00:53:0g",
            "0000:5e00:5301",
            "0000.5e00-5301",
            "0000.5e00.530",
            "00005e005301000000",
            "00:00:5e:00:53:+1",
            "00:00:5e:00:53:01 ",
            "00:00:5e:00:53:é",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic_and_printing_reads_back(text in "[0-9a-f:.-]{0,60}|.*") {
            if let Ok(mac) = text.parse::<Mac>() {
                prop_assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
            }
        }
    }
}
