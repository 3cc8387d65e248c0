//! `range`: whether a register lies between two constants, ends included, in the order of the bytes.
//!
//! Source: `enum nft_range_ops`, `enum nft_range_attributes`.

use super::Coded;
use crate::register::{Reg, read_value, write_value};
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

/// Ends the rule unless the register is inside (or, negated, outside).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Range {
    /// The value to test.
    pub sreg: Reg,
    /// Whether being outside passes.
    pub negated: bool,
    /// The first value inside.
    pub from: Vec<u8>,
    /// The last value inside.
    pub to: Vec<u8>,
}

impl Coded for Range {
    const NAME: &'static str = "range";

    fn encode(&self, writer: &mut Writer) {
        self.sreg.write(writer, 1);
        writer.u32(2, self.negated.into());
        write_value(writer, 3, &self.from);
        write_value(writer, 4, &self.to);
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, sreg, op, from, to] = table::<5>(attrs)?;
        let negated = match be_u32(expect(op, "a range's kind")?, "a range's kind")? {
            0 => false,
            1 => true,
            other => return Err(DecodeError::Unknown { what: "a range's kind", value: other.into() }),
        };
        Ok(Self {
            sreg: Reg::read(sreg, "a range register")?,
            negated,
            from: read_value(from, "a range's begin")?,
            to: read_value(to, "a range's end")?,
        })
    }
}
