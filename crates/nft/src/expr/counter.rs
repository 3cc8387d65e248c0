//! `counter`: counts the packets that reach it.
//!
//! Source: `enum nft_counter_attributes`. Values written are where the count starts.

use super::Coded;
use crate::wire::{Attrs, DecodeError, Writer, be_u64, expect, table};

/// A count, as the value to start from or as read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Their bytes from the network header on.
    pub bytes: u64,
}

impl Coded for Counter {
    const NAME: &'static str = "counter";

    fn encode(&self, writer: &mut Writer) {
        if *self != Self::default() {
            writer.u64(1, self.bytes);
            writer.u64(2, self.packets);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, bytes, packets] = table::<3>(attrs)?;
        Ok(Self {
            packets: be_u64(expect(packets, "counted packets")?, "counted packets")?,
            bytes: be_u64(expect(bytes, "counted bytes")?, "counted bytes")?,
        })
    }
}
