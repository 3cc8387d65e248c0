//! `fib`: asks the routing table about the packet.
//!
//! With [`flags::IIF`] only at prerouting, input and forward. The strict
//! reverse-path check is `saddr . iif`, result [`FibResult::Oif`] equal to 0, drop.
//!
//! Source: `enum nft_fib_result`, `enum nft_fib_flags`, `enum nft_fib_attributes`.

use super::Coded;
use crate::numbers::numbers;
use crate::register::Reg;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

/// What of the packet goes into the question.
pub mod flags {
    /// Route towards the source address.
    pub const SADDR: u32 = 1;
    /// Route towards the destination address.
    pub const DADDR: u32 = 2;
    /// With the packet's mark.
    pub const MARK: u32 = 4;
    /// Only by the interface it came in by.
    pub const IIF: u32 = 8;
    /// Only by the interface it goes out by.
    pub const OIF: u32 = 16;
    /// Only whether there is an answer: 1 or 0.
    pub const PRESENT: u32 = 32;
}

numbers! {
    /// What is wanted to know.
    FibResult, "a fib result" {
        /// The index of the interface, 4 bytes in host order, 0 for none.
        Oif = 1,
        /// The name of the interface, 16 bytes.
        OifName = 2,
        /// The type of the address (`RTN_*`), 4 bytes in host order.
        AddrType = 3,
    }
}

/// Asks for `result` by `flags`, into `dreg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fib {
    /// Where the answer goes.
    pub dreg: Reg,
    /// What is wanted to know.
    pub result: FibResult,
    /// The bits of [`flags`].
    pub flags: u32,
}

impl Coded for Fib {
    const NAME: &'static str = "fib";

    fn encode(&self, writer: &mut Writer) {
        self.dreg.write(writer, 1);
        writer.u32(2, self.result.number());
        writer.u32(3, self.flags);
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, dreg, result, flags] = table::<4>(attrs)?;
        Ok(Self {
            dreg: Reg::read(dreg, "a fib register")?,
            result: FibResult::from_number(be_u32(expect(result, "a fib result")?, "a fib result")?)?,
            flags: be_u32(expect(flags, "fib flags")?, "fib flags")?,
        })
    }
}
