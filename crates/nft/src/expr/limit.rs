//! `limit`: passes up to a rate, by a token bucket.
//!
//! Source: `enum nft_limit_attributes`. The kernel replaces a burst of 0 packets by 5.

use super::Coded;
use crate::numbers::numbers;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, be_u64, expect, table};

numbers! {
    /// What is counted.
    LimitKind, "a limit's kind" {
        /// Packets.
        Packets = 0,
        /// Bytes.
        Bytes = 1,
    }
}

/// Ends the rule above the rate (or, inverted, up to it).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limit {
    /// How many per unit.
    pub rate: u64,
    /// The unit, in seconds.
    pub unit: u64,
    /// How many more may come at once.
    pub burst: u32,
    /// What is counted.
    pub kind: LimitKind,
    /// Whether it is the excess that passes.
    pub inverted: bool,
}

impl Limit {
    /// Passes `rate` packets a second, and `burst` at once.
    pub const fn packets_per_second(rate: u64, burst: u32) -> Self {
        Self { rate, unit: 1, burst, kind: LimitKind::Packets, inverted: false }
    }
}

impl Coded for Limit {
    const NAME: &'static str = "limit";

    fn encode(&self, writer: &mut Writer) {
        writer.u64(1, self.rate);
        writer.u64(2, self.unit);
        writer.u32(3, self.burst);
        writer.u32(4, self.kind.number());
        writer.u32(5, self.inverted.into());
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, rate, unit, burst, kind, flags] = table::<6>(attrs)?;
        let number = |payload: Option<&[u8]>, what| payload.map_or(Ok(0), |payload| be_u32(payload, what));
        let inverted = match number(flags, "limit flags")? {
            0 => false,
            1 => true,
            other => return Err(DecodeError::Unknown { what: "limit flags", value: other.into() }),
        };
        Ok(Self {
            rate: be_u64(expect(rate, "a limit's rate")?, "a limit's rate")?,
            unit: be_u64(expect(unit, "a limit's unit")?, "a limit's unit")?,
            burst: number(burst, "a limit's burst")?,
            kind: LimitKind::from_number(number(kind, "a limit's kind")?)?,
            inverted,
        })
    }
}
