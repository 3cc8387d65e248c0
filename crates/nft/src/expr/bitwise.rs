//! `bitwise`: masks, sets, flips or shifts bits.
//!
//! Source: `enum nft_bitwise_ops`, `enum nft_bitwise_attributes`. The operations on two registers that
//! kernels have from 6.13 on are not modelled. A shift works on host-order words.

use super::Coded;
use crate::register::{Reg, read_value, write_value};
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

const MASK_XOR: u32 = 0;
const LEFT: u32 = 1;
const RIGHT: u32 = 2;

/// What to do with the bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BitOp {
    /// `(value & mask) ^ xor`; both as long as the value.
    MaskXor {
        /// The bits to keep.
        mask: Vec<u8>,
        /// The bits to flip afterwards.
        xor: Vec<u8>,
    },
    /// To the left by 1 to 31 bits.
    Left(u32),
    /// To the right by 1 to 31 bits.
    Right(u32),
}

/// Applies `op` to the `len` bytes at `sreg`, into `dreg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bitwise {
    /// Where from.
    pub sreg: Reg,
    /// Where to.
    pub dreg: Reg,
    /// How many bytes.
    pub len: u32,
    /// What.
    pub op: BitOp,
}

impl Bitwise {
    /// Keeps the bits of `mask`, in place.
    pub fn mask(reg: Reg, mask: impl Into<Vec<u8>>) -> Self {
        let mask = mask.into();
        let xor = vec![0; mask.len()];
        Self { sreg: reg, dreg: reg, len: mask.len() as u32, op: BitOp::MaskXor { mask, xor } }
    }

    /// Sets the bits of `bits` in a host-order word to those of `value`, and leaves the others, in place.
    pub fn replace(reg: Reg, bits: u32, value: u32) -> Self {
        let op = BitOp::MaskXor { mask: (!bits).to_ne_bytes().into(), xor: (value & bits).to_ne_bytes().into() };
        Self { sreg: reg, dreg: reg, len: 4, op }
    }
}

impl Coded for Bitwise {
    const NAME: &'static str = "bitwise";

    fn encode(&self, writer: &mut Writer) {
        self.sreg.write(writer, 1);
        self.dreg.write(writer, 2);
        writer.u32(3, self.len);
        let (op, shift) = match &self.op {
            BitOp::MaskXor { mask, xor } => {
                write_value(writer, 4, mask);
                write_value(writer, 5, xor);
                return;
            }
            BitOp::Left(shift) => (LEFT, shift),
            BitOp::Right(shift) => (RIGHT, shift),
        };
        writer.u32(6, op);
        write_value(writer, 7, &shift.to_ne_bytes());
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, sreg, dreg, len, mask, xor, op, data] = table::<8>(attrs)?;
        let shift = || {
            let value = read_value(data, "a shift")?;
            let bytes =
                value.as_slice().try_into().map_err(|_| DecodeError::Length { what: "a shift", len: value.len() })?;
            Ok(u32::from_ne_bytes(bytes))
        };
        let op = match op.map_or(Ok(MASK_XOR), |op| be_u32(op, "a bitwise operation"))? {
            MASK_XOR => BitOp::MaskXor { mask: read_value(mask, "a mask")?, xor: read_value(xor, "an xor value")? },
            LEFT => BitOp::Left(shift()?),
            RIGHT => BitOp::Right(shift()?),
            other => return Err(DecodeError::Unknown { what: "a bitwise operation", value: other.into() }),
        };
        Ok(Self {
            sreg: Reg::read(sreg, "a bitwise register")?,
            dreg: Reg::read(dreg, "a bitwise register")?,
            len: be_u32(expect(len, "a bitwise length")?, "a bitwise length")?,
            op,
        })
    }
}
