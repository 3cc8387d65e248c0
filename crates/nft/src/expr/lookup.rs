//! `lookup`: looks a key up in a set or map.
//!
//! A key that is not found takes the catch-all element if there is one, else the rule ends. The value
//! of a map goes into a register, that of a verdict map is the verdict.
//!
//! Source: `enum nft_lookup_attributes` (set 1, sreg 2, dreg 3, set id 4, flags 5).

use super::Coded;
use crate::register::Reg;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table, text};

const INVERT: u32 = 1;
/// `NFT_REG_VERDICT`.
const VERDICT: u32 = 0;

/// Where the value found goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dest {
    /// It is the verdict.
    Verdict,
    /// Into this register.
    Reg(Reg),
}

/// Ends the rule unless the key at `sreg` is in the set (or, inverted, is not).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lookup {
    /// The set's name. Of an anonymous set made in the same batch, the name it was made with.
    pub set: String,
    /// The number given to an anonymous set made in the same batch; never in a dump.
    pub set_id: Option<u32>,
    /// The key.
    pub sreg: Reg,
    /// Where the value goes, of a map.
    pub dest: Option<Dest>,
    /// Whether being absent passes.
    pub inverted: bool,
}

impl Lookup {
    /// Passes what is in `set`.
    pub fn set(set: impl Into<String>, sreg: Reg) -> Self {
        Self { set: set.into(), set_id: None, sreg, dest: None, inverted: false }
    }

    /// Passes what is not in `set`.
    pub fn not_in(set: impl Into<String>, sreg: Reg) -> Self {
        Self { inverted: true, ..Self::set(set, sreg) }
    }

    /// Loads from a map.
    pub fn map(set: impl Into<String>, sreg: Reg, dreg: Reg) -> Self {
        Self { dest: Some(Dest::Reg(dreg)), ..Self::set(set, sreg) }
    }

    /// Takes the verdict from a verdict map.
    pub fn vmap(set: impl Into<String>, sreg: Reg) -> Self {
        Self { dest: Some(Dest::Verdict), ..Self::set(set, sreg) }
    }

    /// Looks in an anonymous set of this batch.
    pub fn with_id(mut self, id: u32) -> Self {
        self.set_id = Some(id);
        self
    }
}

impl Coded for Lookup {
    const NAME: &'static str = "lookup";

    fn encode(&self, writer: &mut Writer) {
        writer.text(1, &self.set);
        self.sreg.write(writer, 2);
        match self.dest {
            None => (),
            Some(Dest::Verdict) => writer.u32(3, VERDICT),
            Some(Dest::Reg(dreg)) => dreg.write(writer, 3),
        }
        if let Some(id) = self.set_id {
            writer.u32(4, id);
        }
        if self.inverted {
            writer.u32(5, INVERT);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Self, DecodeError> {
        let [_, set, sreg, dreg, id, flags] = table::<6>(attrs)?;
        let flags = flags.map_or(Ok(0), |flags| be_u32(flags, "lookup flags"))?;
        if flags & !INVERT != 0 {
            return Err(DecodeError::Unknown { what: "lookup flags", value: flags.into() });
        }
        let dest = match dreg {
            None => None,
            Some(number) if be_u32(number, "a lookup register")? == VERDICT => Some(Dest::Verdict),
            some => Some(Dest::Reg(Reg::read(some, "a lookup register")?)),
        };
        Ok(Self {
            set: text(expect(set, "a lookup's set")?, "a lookup's set")?,
            set_id: id.map(|id| be_u32(id, "a set id")).transpose()?,
            sreg: Reg::read(sreg, "a lookup register")?,
            dest,
            inverted: flags & INVERT != 0,
        })
    }
}
