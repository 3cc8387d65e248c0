//! The register file, and the expressions that only work on it.
//!
//! Source: `nft_data_copy` and the `*_eval` functions named at each.

use crate::expr::{BitOp, Bitwise, Byteorder, Cmp, CmpOp, Range};
use crate::register::Reg;

/// Sixteen words of four bytes. None is returned where a value would not fit.
#[derive(Debug, Clone)]
pub(super) struct Registers([u8; 64]);

impl Registers {
    pub(super) const fn new() -> Self {
        Self([0; 64])
    }

    /// `nft_data_copy`: a part of a word is filled up with zeros.
    pub(super) fn store(&mut self, reg: Reg, value: &[u8]) -> Option<()> {
        let start = reg.index() * 4;
        let words = self.0.get_mut(start..start + value.len().next_multiple_of(4))?;
        if let Some(last) = words.last_chunk_mut::<4>() {
            *last = [0; 4];
        }
        words[..value.len()].copy_from_slice(value);
        Some(())
    }

    pub(super) fn load(&self, reg: Reg, len: usize) -> Option<&[u8]> {
        self.0.get(reg.index() * 4..)?.get(..len)
    }

    pub(super) fn word(&self, reg: Reg) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.load(reg, 4)?.first_chunk()?))
    }

    /// `nft_cmp_eval`.
    pub(super) fn cmp(&self, cmp: &Cmp) -> Option<bool> {
        let order = self.load(cmp.sreg, cmp.data.len())?.cmp(&cmp.data);
        Some(match cmp.op {
            CmpOp::Eq => order.is_eq(),
            CmpOp::Ne => order.is_ne(),
            CmpOp::Lt => order.is_lt(),
            CmpOp::Le => order.is_le(),
            CmpOp::Gt => order.is_gt(),
            CmpOp::Ge => order.is_ge(),
        })
    }

    /// `nft_range_eval`.
    pub(super) fn range(&self, range: &Range) -> Option<bool> {
        let value = self.load(range.sreg, range.from.len().min(range.to.len()))?;
        let inside = range.from.as_slice() <= value && value <= range.to.as_slice();
        Some(inside != range.negated)
    }

    /// `nft_bitwise_eval`; shifts carry from word to word.
    pub(super) fn bitwise(&mut self, bitwise: &Bitwise) -> Option<()> {
        let len = bitwise.len as usize;
        let value = self.load(bitwise.sreg, len.next_multiple_of(4))?.to_vec();
        let words = value.chunks_exact(4).filter_map(|word| Some(u32::from_ne_bytes(*word.first_chunk()?)));
        let mut carry = 0;
        let result: Vec<u8> = match &bitwise.op {
            BitOp::MaskXor { mask, xor } => {
                let masked = value.iter().zip(mask).zip(xor).map(|((value, mask), xor)| value & mask ^ xor);
                masked.collect()
            }
            BitOp::Left(shift) => {
                let mut shifted: Vec<_> = Vec::new();
                for word in words.collect::<Vec<_>>().into_iter().rev() {
                    shifted.push(word.checked_shl(*shift)? | carry);
                    carry = word.checked_shr(32 - shift).unwrap_or(0);
                }
                shifted.into_iter().rev().flat_map(u32::to_ne_bytes).collect()
            }
            BitOp::Right(shift) => {
                let mut shifted: Vec<_> = Vec::new();
                for word in words {
                    shifted.push(carry | word.checked_shr(*shift)?);
                    carry = word.checked_shl(32 - shift).unwrap_or(0);
                }
                shifted.into_iter().flat_map(u32::to_ne_bytes).collect()
            }
        };
        self.store(bitwise.dreg, &result)
    }

    /// `nft_byteorder_eval`.
    pub(super) fn byteorder(&mut self, byteorder: &Byteorder) -> Option<()> {
        let mut value = self.load(byteorder.sreg, byteorder.len as usize)?.to_vec();
        let unit = usize::try_from(byteorder.size).ok().filter(|size| matches!(size, 2 | 4 | 8))?;
        if cfg!(target_endian = "little") {
            value.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        self.store(byteorder.dreg, &value)
    }
}
