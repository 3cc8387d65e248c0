//! Registers and the data in them.
//!
//! A rule works on sixteen words of four bytes. The kernel has two names for some of them: 8 to 23 are
//! the words, 1 to 4 are the four groups of four words, and it answers a dump with the group's name
//! wherever a word begins a group. [`Reg`] is the word, so both names compare equal; it is written the
//! way the kernel and `nft` write it.
//!
//! Source: `enum nft_registers`, `enum nft_data_attributes`.

use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

const WORDS: u32 = 16;
const FIRST_WORD: u32 = 8;
const GROUP: u32 = 4;

/// `NFTA_DATA_VALUE`.
pub(crate) const DATA_VALUE: u16 = 1;
/// `NFTA_DATA_VERDICT`.
pub(crate) const DATA_VERDICT: u16 = 2;
/// The longest value, `NFT_DATA_VALUE_MAXLEN`.
pub const VALUE_MAX: usize = 64;

/// A place of four bytes in the register file; longer values go on in the words behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(u32);

impl Reg {
    /// The first word, `NFT_REG_1`.
    pub const R1: Self = Self(0);
    /// The fifth word, `NFT_REG_2`.
    pub const R2: Self = Self(4);
    /// The ninth word, `NFT_REG_3`.
    pub const R3: Self = Self(8);
    /// The thirteenth word, `NFT_REG_4`.
    pub const R4: Self = Self(12);

    /// The word `0..16`; none beyond.
    pub const fn word(word: u32) -> Option<Self> {
        if word < WORDS { Some(Self(word)) } else { None }
    }

    /// The register a value of `len` bytes further, as the fields of a concatenation lie; none beyond
    /// the last word.
    pub const fn after(self, len: usize) -> Option<Self> {
        Self::word(self.0.saturating_add(len.div_ceil(4) as u32))
    }

    /// Which word this is.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn number(self) -> u32 {
        if self.0.is_multiple_of(GROUP) { self.0 / GROUP + 1 } else { FIRST_WORD + self.0 }
    }

    pub(crate) fn from_number(number: u32) -> Result<Self, DecodeError> {
        match number {
            1..=4 => Ok(Self((number - 1) * GROUP)),
            FIRST_WORD..=23 => Ok(Self(number - FIRST_WORD)),
            _ => Err(DecodeError::Unknown { what: "a register", value: number.into() }),
        }
    }

    pub(crate) fn write(self, writer: &mut Writer, kind: u16) {
        writer.u32(kind, self.number());
    }

    pub(crate) fn read(payload: Option<&[u8]>, what: &'static str) -> Result<Self, DecodeError> {
        Self::from_number(be_u32(expect(payload, what)?, what)?)
    }
}

/// Writes a nested value.
pub(crate) fn write_value(writer: &mut Writer, kind: u16, value: &[u8]) {
    writer.nest(kind, |writer| writer.bytes(DATA_VALUE, value));
}

/// Reads a nested value.
pub(crate) fn read_value(payload: Option<&[u8]>, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    let [_, value, _] = table::<3>(Attrs::new(expect(payload, what)?))?;
    let value = expect(value, what)?;
    if value.len() > VALUE_MAX {
        return Err(DecodeError::Length { what, len: value.len() });
    }
    Ok(value.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_numbers_of_a_register_are_the_same_register() {
        assert_eq!(Reg::from_number(2).unwrap(), Reg::from_number(12).unwrap());
        assert_eq!(Reg::word(4).unwrap().number(), 2);
        assert_eq!(Reg::word(5).unwrap().number(), 13);
        assert!(Reg::from_number(0).is_err() && Reg::from_number(24).is_err() && Reg::word(16).is_none());
    }

    #[test]
    fn fields_follow_each_other_by_whole_words() {
        assert_eq!(Reg::R1.after(1), Reg::word(1));
        assert_eq!(Reg::R1.after(16), Some(Reg::R2));
        assert_eq!(Reg::R4.after(16), None);
    }
}
