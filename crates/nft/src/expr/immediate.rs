//! `immediate`: loads a constant, or gives a verdict.
//!
//! Source: `enum nft_immediate_attributes`.

use super::Coded;
use crate::register::{DATA_VERDICT, Reg, read_value, write_value};
use crate::verdict::Verdict;
use crate::wire::{Attrs, DecodeError, Writer, expect, table};

/// A constant into a register, or a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Immediate {
    /// Loads `data` into `dreg`.
    Data {
        /// Where to.
        dreg: Reg,
        /// What.
        data: Vec<u8>,
    },
    /// The rule's verdict.
    Verdict(Verdict),
}

impl Immediate {
    /// Loads `data` into `dreg`.
    pub fn data(dreg: Reg, data: impl Into<Vec<u8>>) -> Self {
        Self::Data { dreg, data: data.into() }
    }
}

impl From<Verdict> for super::Expr {
    fn from(verdict: Verdict) -> Self {
        Immediate::Verdict(verdict).into()
    }
}

impl Coded for Immediate {
    const NAME: &'static str = "immediate";

    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Data { dreg, data } => {
                dreg.write(writer, 1);
                write_value(writer, 2, data);
            }
            Self::Verdict(verdict) => {
                writer.u32(1, 0); // NFT_REG_VERDICT
                verdict.write(writer, 2);
            }
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, dreg, data] = table::<3>(attrs)?;
        let nested = table::<3>(Attrs::new(expect(data, "an immediate value")?))?;
        match nested[DATA_VERDICT as usize] {
            Some(verdict) => Ok(Self::Verdict(Verdict::read(verdict)?)),
            None => Ok(Self::Data {
                dreg: Reg::read(dreg, "an immediate register")?,
                data: read_value(data, "an immediate value")?,
            }),
        }
    }
}
