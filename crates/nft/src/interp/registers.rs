//! The register file, and the expressions that only work on it.
//!
//! Source: `nft_data_copy` and the `*_eval` functions named at each.

use crate::expr::{BitOp, Bitwise, Byteorder, Cmp, CmpOp, Range};
use crate::register::Reg;

/// Sixteen words of four bytes, and which of their bits are open. None is returned where a value would not fit.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    values: [u8; 64],
    open: [u8; 64],
}

/// A result depends on open bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecided;

impl Registers {
    pub(super) const fn new() -> Self {
        Self { values: [0; 64], open: [0; 64] }
    }

    /// Stores a value of which no bit is open.
    pub(super) fn store(&mut self, reg: Reg, value: &[u8]) -> Option<()> {
        self.store_open(reg, value, &vec![0; value.len()])
    }

    /// Stores a value of which these bits are open.
    pub(super) fn store_open(&mut self, reg: Reg, value: &[u8], open: &[u8]) -> Option<()> {
        copy(&mut self.values, reg, value)?;
        copy(&mut self.open, reg, open)
    }

    pub(super) fn load(&self, reg: Reg, len: usize) -> Option<&[u8]> {
        self.values.get(reg.index() * 4..)?.get(..len)
    }

    /// The open bits of a value.
    pub(super) fn open(&self, reg: Reg, len: usize) -> Option<&[u8]> {
        self.open.get(reg.index() * 4..)?.get(..len)
    }

    /// Whether any bit of a value is open.
    pub(super) fn is_open(&self, reg: Reg, len: usize) -> bool {
        self.open(reg, len).is_some_and(|open| open.iter().any(|bits| *bits != 0))
    }

    /// The open bits of a word.
    pub(super) fn open_word(&self, reg: Reg) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.open(reg, 4)?.first_chunk()?))
    }

    /// The least and the greatest value that the open bits allow.
    fn bounds(&self, reg: Reg, len: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let both = || Some(self.load(reg, len)?.iter().zip(self.open(reg, len)?));
        let least = both()?.map(|(value, open)| value & !open).collect();
        Some((least, both()?.map(|(value, open)| value | open).collect()))
    }

    pub(super) fn word(&self, reg: Reg) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.load(reg, 4)?.first_chunk()?))
    }

    /// `nft_cmp_eval`.
    pub(super) fn cmp(&self, cmp: &Cmp) -> Option<Result<bool, Undecided>> {
        let len = cmp.data.len();
        if matches!(cmp.op, CmpOp::Eq | CmpOp::Ne) {
            let bits = self.load(cmp.sreg, len)?.iter().zip(self.open(cmp.sreg, len)?).zip(&cmp.data);
            // One fixed bit that differs decides.
            let differs = bits.into_iter().any(|((value, open), data)| (value ^ data) & !open != 0);
            return Some(match differs {
                false if self.is_open(cmp.sreg, len) => Err(Undecided),
                differs => Ok(differs == (cmp.op == CmpOp::Ne)),
            });
        }
        let (least, greatest) = self.bounds(cmp.sreg, len)?;
        let holds = |value: &[u8]| match cmp.op {
            CmpOp::Eq => value == cmp.data,
            CmpOp::Ne => value != cmp.data,
            CmpOp::Lt => value < cmp.data.as_slice(),
            CmpOp::Le => value <= cmp.data.as_slice(),
            CmpOp::Gt => value > cmp.data.as_slice(),
            CmpOp::Ge => value >= cmp.data.as_slice(),
        };
        Some(if holds(&least) == holds(&greatest) { Ok(holds(&least)) } else { Err(Undecided) })
    }

    /// `nft_range_eval`.
    pub(super) fn range(&self, range: &Range) -> Option<Result<bool, Undecided>> {
        let (least, greatest) = self.bounds(range.sreg, range.from.len().min(range.to.len()))?;
        let inside = range.from <= least && greatest <= range.to;
        let outside = greatest < range.from || least > range.to;
        Some(if inside || outside { Ok(inside != range.negated) } else { Err(Undecided) })
    }

    /// `nft_bitwise_eval`; shifts carry from word to word.
    pub(super) fn bitwise(&mut self, bitwise: &Bitwise) -> Option<()> {
        let len = (bitwise.len as usize).next_multiple_of(4);
        let result = Self::bits(self.load(bitwise.sreg, len)?, &bitwise.op)?;
        // An open bit stays open where it is kept and goes where it is shifted to; flipping it changes nothing.
        let open = match &bitwise.op {
            BitOp::MaskXor { mask, .. } => Self::bits(
                self.open(bitwise.sreg, len)?,
                &BitOp::MaskXor { mask: mask.clone(), xor: vec![0; mask.len()] },
            ),
            shift => Self::bits(self.open(bitwise.sreg, len)?, shift),
        };
        self.store_open(bitwise.dreg, &result, &open?)
    }

    fn bits(value: &[u8], op: &BitOp) -> Option<Vec<u8>> {
        let words = value.chunks_exact(4).filter_map(|word| Some(u32::from_ne_bytes(*word.first_chunk()?)));
        let mut carry = 0;
        Some(match op {
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
        })
    }

    /// `nft_byteorder_eval`.
    pub(super) fn byteorder(&mut self, byteorder: &Byteorder) -> Option<()> {
        let mut value = self.load(byteorder.sreg, byteorder.len as usize)?.to_vec();
        let mut open = self.open(byteorder.sreg, byteorder.len as usize)?.to_vec();
        let unit = usize::try_from(byteorder.size).ok().filter(|size| matches!(size, 2 | 4 | 8))?;
        if cfg!(target_endian = "little") {
            value.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
            open.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        self.store_open(byteorder.dreg, &value, &open)
    }
}

/// `nft_data_copy`: a part of a word is filled up with zeros.
fn copy(to: &mut [u8; 64], reg: Reg, value: &[u8]) -> Option<()> {
    let start = reg.index() * 4;
    let words = to.get_mut(start..start + value.len().next_multiple_of(4))?;
    if let Some(last) = words.last_chunk_mut::<4>() {
        *last = [0; 4];
    }
    words[..value.len()].copy_from_slice(value);
    Some(())
}
