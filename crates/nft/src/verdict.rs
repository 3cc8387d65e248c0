//! Verdicts: what a rule, or a verdict map's element, says about a packet.
//!
//! Source: `enum nft_verdicts`, `enum nft_verdict_attributes`, `NF_DROP` and `NF_ACCEPT` of
//! `linux/netfilter.h`.

use crate::register::DATA_VERDICT;
use crate::wire::{Attrs, DecodeError, Writer, be_u32, expect, table, text};

const CODE: u16 = 1;
const CHAIN: u16 = 2;

const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const CONTINUE: i32 = -1;
const BREAK: i32 = -2;
const JUMP: i32 = -3;
const GOTO: i32 = -4;
const RETURN: i32 = -5;

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The packet is gone.
    Drop,
    /// The packet leaves this base chain; the next one at the hook still sees it.
    Accept,
    /// The rule goes on with its next expression.
    Continue,
    /// The rule ends, the next one begins.
    Break,
    /// The other chain first, then the next rule here.
    Jump(String),
    /// The other chain, and then what would have come after this one.
    Goto(String),
    /// Back behind the last jump, or to the base chain's policy.
    Return,
}

impl Verdict {
    /// The chain that the verdict leads to.
    pub fn chain(&self) -> Option<&str> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            _ => None,
        }
    }

    /// Writes the verdict nested as data.
    pub(crate) fn write(&self, writer: &mut Writer, kind: u16) {
        let code = match self {
            Self::Drop => DROP,
            Self::Accept => ACCEPT,
            Self::Continue => CONTINUE,
            Self::Break => BREAK,
            Self::Jump(_) => JUMP,
            Self::Goto(_) => GOTO,
            Self::Return => RETURN,
        };
        writer.nest(kind, |writer| {
            writer.nest(DATA_VERDICT, |writer| {
                writer.bytes(CODE, &code.to_be_bytes());
                if let Some(chain) = self.chain() {
                    writer.text(CHAIN, chain);
                }
            });
        });
    }

    /// Reads the payload of `NFTA_DATA_VERDICT`.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, DecodeError> {
        let [_, code, chain] = table::<3>(Attrs::new(payload))?;
        let chain = || text(expect(chain, "a verdict's chain")?, "a verdict's chain");
        let code = be_u32(expect(code, "a verdict's code")?, "a verdict's code")?;
        Ok(match code.cast_signed() {
            DROP => Self::Drop,
            ACCEPT => Self::Accept,
            CONTINUE => Self::Continue,
            BREAK => Self::Break,
            JUMP => Self::Jump(chain()?),
            GOTO => Self::Goto(chain()?),
            RETURN => Self::Return,
            _ => return Err(DecodeError::Unknown { what: "a verdict", value: code.into() }),
        })
    }
}
