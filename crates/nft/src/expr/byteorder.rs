//! `byteorder`: between network and host order.
//!
//! Source: `enum nft_byteorder_ops`, `enum nft_byteorder_attributes`.

use super::Coded;
use crate::numbers::numbers;
use crate::register::Reg;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

numbers! {
    /// Which way.
    Order, "a byte order" {
        /// From network to host order.
        ToHost = 0,
        /// From host to network order.
        ToNetwork = 1,
    }
}

/// Turns the units of `size` bytes among the `len` bytes at `sreg`, into `dreg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Byteorder {
    /// Where from.
    pub sreg: Reg,
    /// Where to.
    pub dreg: Reg,
    /// Which way.
    pub order: Order,
    /// How many bytes in all.
    pub len: u32,
    /// The size of a unit: 2, 4 or 8 bytes.
    pub size: u32,
}

impl Coded for Byteorder {
    const NAME: &'static str = "byteorder";

    fn encode(&self, writer: &mut Writer) {
        self.sreg.write(writer, 1);
        self.dreg.write(writer, 2);
        writer.u32(3, self.order.number());
        writer.u32(4, self.len);
        writer.u32(5, self.size);
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, sreg, dreg, order, len, size] = table::<6>(attrs)?;
        Ok(Self {
            sreg: Reg::read(sreg, "a byteorder register")?,
            dreg: Reg::read(dreg, "a byteorder register")?,
            order: Order::from_number(be_u32(expect(order, "a byte order")?, "a byte order")?)?,
            len: be_u32(expect(len, "a byteorder length")?, "a byteorder length")?,
            size: be_u32(expect(size, "a byteorder unit")?, "a byteorder unit")?,
        })
    }
}
