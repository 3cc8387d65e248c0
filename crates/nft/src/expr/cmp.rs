//! `cmp`: compares a register with a constant, byte by byte from the front.
//!
//! The order is that of the bytes, so *less* and *greater* mean something for values in network order
//! only. A constant shorter than the value compares its beginning, which is how a name's prefix is
//! matched.
//!
//! Source: `enum nft_cmp_ops`, `enum nft_cmp_attributes`.

use super::Coded;
use crate::numbers::numbers;
use crate::register::{Reg, read_value, write_value};
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

numbers! {
    /// How to compare.
    CmpOp, "a comparison" {
        /// Equal.
        Eq = 0,
        /// Not equal.
        Ne = 1,
        /// Less.
        Lt = 2,
        /// Less or equal.
        Le = 3,
        /// Greater.
        Gt = 4,
        /// Greater or equal.
        Ge = 5,
    }
}

/// Ends the rule unless the comparison holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cmp {
    /// How.
    pub op: CmpOp,
    /// The left side.
    pub sreg: Reg,
    /// The right side.
    pub data: Vec<u8>,
}

impl Cmp {
    /// The register equals `data`.
    pub fn eq(sreg: Reg, data: impl Into<Vec<u8>>) -> Self {
        Self { op: CmpOp::Eq, sreg, data: data.into() }
    }

    /// The register differs from `data`.
    pub fn ne(sreg: Reg, data: impl Into<Vec<u8>>) -> Self {
        Self { op: CmpOp::Ne, sreg, data: data.into() }
    }
}

impl Coded for Cmp {
    const NAME: &'static str = "cmp";

    fn encode(&self, writer: &mut Writer) {
        self.sreg.write(writer, 1);
        writer.u32(2, self.op.number());
        write_value(writer, 3, &self.data);
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, sreg, op, data] = table::<4>(attrs)?;
        Ok(Self {
            op: CmpOp::from_number(be_u32(expect(op, "a comparison")?, "a comparison")?)?,
            sreg: Reg::read(sreg, "a cmp register")?,
            data: read_value(data, "a cmp value")?,
        })
    }
}
