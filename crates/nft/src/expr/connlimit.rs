//! `connlimit`: passes while there are at most so many connections.
//!
//! The connections counted are those whose packets reached this very expression.
//!
//! Source: `enum nft_connlimit_attributes`.

use super::Coded;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table};

/// Ends the rule above `count` connections (or, inverted, up to it).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Connlimit {
    /// The most that pass.
    pub count: u32,
    /// Whether it is the excess that passes.
    pub inverted: bool,
}

impl Coded for Connlimit {
    const NAME: &'static str = "connlimit";

    fn encode(&self, writer: &mut Writer) {
        writer.u32(1, self.count);
        if self.inverted {
            writer.u32(2, 1);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, count, flags] = table::<3>(attrs)?;
        let inverted = match flags.map_or(Ok(0), |flags| be_u32(flags, "connlimit flags"))? {
            0 => false,
            1 => true,
            other => return Err(DecodeError::Unknown { what: "connlimit flags", value: other.into() }),
        };
        Ok(Self { count: be_u32(expect(count, "a connection limit")?, "a connection limit")?, inverted })
    }
}
