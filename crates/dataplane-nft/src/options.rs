//! The operator's settings of the table itself, and the mark bits that follow from them.

/// The least bits that a mark mask must have.
const BITS: u32 = 2;

/// How our tables stand among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// The table's name.
    pub table: String,
    /// Added to the priority of every base chain of type filter.
    pub priority_shift: i32,
    /// The bits of packet marks that tortie uses.
    pub bits: Bits,
    /// Log to this nflog group; to the kernel's log if there is none.
    pub log_group: Option<u16>,
    /// Log denied packets to this nflog group, so that somebody can watch them; not at all if there is none.
    pub denied_group: Option<u16>,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            table: "tortie".to_owned(),
            priority_shift: 0,
            bits: Bits::default(),
            log_group: None,
            denied_group: None,
        }
    }
}

/// The bits of a packet's mark that tortie uses, each with its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// An untracked or pre-DNAT policy allowed the packet, which answers for later ingress stages of host endpoints.
    pub accept: u32,
    /// A rule passed, so the rest of its tier is not asked.
    pub pass: u32,
}

/// A mark mask has too few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mark mask {mask:#010x} has {} bit{}; {BITS} are needed", .mask.count_ones(), if .mask.count_ones() == 1 { "" } else { "s" })]
pub struct TooFewBits {
    /// The mask.
    pub mask: u32,
}

impl Bits {
    /// The lowest bits of a mask.
    pub fn from_mask(mask: u32) -> Result<Self, TooFewBits> {
        let mut left = mask;
        let mut lowest = || {
            let bit = left & left.wrapping_neg();
            left ^= bit;
            if bit == 0 { Err(TooFewBits { mask }) } else { Ok(bit) }
        };
        Ok(Self { accept: lowest()?, pass: lowest()? })
    }

    /// All of them.
    pub fn all(self) -> u32 {
        self.accept | self.pass
    }
}

impl Default for Bits {
    fn default() -> Self {
        Self { accept: 0x1_0000, pass: 0x2_0000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_from_the_mask_lowest_first() {
        assert_eq!(Bits::from_mask(0xffff_0000).unwrap(), Bits::default());
        let odd = Bits::from_mask(0x8000_0011).unwrap();
        assert_eq!((odd.accept, odd.pass), (1, 0x10));
    }

    #[test]
    fn a_mask_with_too_few_bits_is_refused_by_name() {
        let error = Bits::from_mask(0x1000).unwrap_err();
        assert_eq!(error.to_string(), "the mark mask 0x00001000 has 1 bit; 2 are needed");
    }
}
